/* volume.h: what stands on a disk: partitions (GPT), and in a partition the files of an ext4 file system or of a leat
 * partition. Pure code over a function that reads, and for reading only: the bootable image finds its models with it,
 * `leat image` shows what it wrote. A disk is a file like any other: every number in it is checked before it is used.
 *
 * A leat partition is a text, the manifest, and behind it the files one after another, each in one piece:
 *
 *     leat manifest 1 00000231 bytes
 *     file 1048576 669763 9f86d081884c7d65... model.gguf         (offset in the partition, bytes, SHA-256, name)
 *     sha256 2c26b46b68ffc68f...                                 (of all lines above it)
 */
#ifndef LEAT_VOLUME_H
#define LEAT_VOLUME_H

#include "mem/mem.h"
#include "plat/plat.h"

typedef struct volume_source {
    int (*read)(void *ctx, uint64_t offset, void *to, size_t bytes); /* all of them: PLAT_OK, or a plat_error */
    void *ctx;
    uint64_t bytes;
    uint32_t block_bytes; /* of the disk: 512 or 4096 */
} volume_source;

/* ---- partitions ---------------------------------------------------------------------------------- */

enum { VOLUME_PARTS_MAX = 128 };
typedef struct volume_part {
    uint64_t offset, bytes;
    uint8_t type[16], id[16]; /* GUIDs, as the disk has them */
    uint32_t number;          /* from 1, its place in the table */
    char name[36 * 3 + 1];
} volume_part;
extern const uint8_t volume_type_leat[16], volume_type_efi[16];

/* *n = 0 where the disk has no GPT. ERR_FORMAT where both of its copies are damaged, or agree on nonsense;
 * *from_backup where only the first one is. */
err_code volume_parts(const volume_source *s, volume_part parts[VOLUME_PARTS_MAX], size_t *n, bool *from_backup,
                      err *e);

/* The sectors of a GPT for a disk of `bytes`, whose partitions' offsets and lengths are whole blocks of 512 bytes: head
 * gets the first 34 sectors (with a protective MBR), tail the last 33. disk_id: its GUID. */
enum { VOLUME_SECTOR = 512, VOLUME_GPT_HEAD = 34 * VOLUME_SECTOR, VOLUME_GPT_TAIL = 33 * VOLUME_SECTOR };
void volume_gpt_write(const volume_part *parts, size_t n, uint64_t bytes, const uint8_t disk_id[16], uint8_t *head,
                      uint8_t *tail);

/* ---- files --------------------------------------------------------------------------------------- */

/* A part of a file that stands in one piece; where a file has none it is zero. */
typedef struct volume_extent {
    uint64_t from, at, bytes; /* offset in the file, offset in the source */
} volume_extent;

typedef struct volume_file {
    uint64_t bytes, id;     /* id: no other file of the volume has it */
    volume_extent *extents; /* (n), by `from`; mem_block, of who found the file */
    size_t n;
    const uint8_t *sha256; /* of a leat partition, while the volume is open; else NULL */
} volume_file;
void volume_file_free(volume_file *f); /* accepts a zeroed one */

typedef struct volume volume;
/* Looks for a file system. What has none is raw: one file, whose name is empty. A damaged one is an error. Keeps a
 * copy of *s. One thread at a time. */
err_code volume_open(volume **out, const volume_source *s, err *e);
void volume_close(volume *v);             /* accepts NULL */
const char *volume_kind(const volume *v); /* "ext4", "leat" or "raw" */
/* path: names parted by slashes. ERR_ARGUMENT: there is none, or it is no plain file. */
err_code volume_find(volume *v, str path, volume_file *out, err *e);
/* Calls each for what is in the folder of that path. */
typedef void volume_each(void *ctx, str name, uint64_t bytes, bool folder);
err_code volume_list(volume *v, str path, volume_each *each, void *ctx, err *e);

/* ---- manifests ----------------------------------------------------------------------------------- */

enum { VOLUME_NAME_MAX = 200, VOLUME_FILES_MAX = 1024, VOLUME_MANIFEST_MAX = 1 << 19, VOLUME_FILE_ALIGN = 1 << 20 };
typedef struct volume_entry {
    uint64_t offset, bytes;
    uint8_t sha256[32];
    char name[VOLUME_NAME_MAX + 1];
} volume_entry;
/* The text; 0 when it does not fit. */
size_t volume_manifest_write(const volume_entry *entries, size_t n, char *buf, size_t cap);
bool volume_name_ok(str name); /* for a manifest: text without slashes and control characters, not too long */
/* *entries is a mem_block. The source is the partition. */
err_code volume_manifest_read(const volume_source *s, volume_entry **entries, size_t *n, err *e);

#endif
