/* bare.h: plat.h where there is no operating system: over kernel/, file by file. machine.c has memory, cores and time,
 * console.c what is typed and shown, volumes.c the names of files, file.c their bytes, queue.c reads that go on by
 * themselves, stream.c connections.
 *
 * Names: NAME alone is a module that the loader put into memory, else the first file of that path on any volume, in the
 * order of the disks; /nvme0p2/models/m.gguf is the file models/m.gguf of a volume, /disk0p1 the bytes of the volume
 * itself, for a model that stands on a partition without a file system, and /disk0 those of a whole disk.
 */
#ifndef LEAT_PLAT_BARE_H
#define LEAT_PLAT_BARE_H

#include "kernel/disk/disk.h"
#include "plat/plat.h"
#include "volume/volume.h"

typedef struct bare_volume {
    char name[20]; /* nvme0p2, or that of the disk */
    disk *d;
    uint64_t offset, bytes; /* on the disk */
    volume *fs;             /* NULL: raw, because it is a whole disk that has partitions, or because it is damaged */
    const char *trouble;    /* why it is damaged, else NULL */
} bare_volume;

/* Looks at all disks, says in the log what is damaged; once, after disk_start. */
void bare_volumes_start(void);
size_t bare_volume_count(void);
const bare_volume *bare_volume_at(size_t i);
/* Calls each for all files in the first folder of the volume: for the prompt. */
int bare_volume_list(size_t i, volume_each *each, void *ctx);
/* Where a name leads: its volume and what volume_find says, whose extents are the caller's. PLAT_OK or a plat_error. */
int bare_find(const char *path, const bare_volume **v, volume_file *out);
/* Reads a file for its SHA-256, and compares it with the manifest of its volume, which may know it. */
typedef struct bare_sum {
    uint8_t sha256[32];
    bool known, matches;
} bare_sum;
int bare_verify(const char *path, bare_sum *out);

struct plat_file {
    const char *memory; /* of a module; NULL: the rest counts */
    disk *d;
    uint64_t base, bytes; /* base: of the volume, on the disk */
    volume_extent *extents;
    size_t n_extents;
    uint32_t align; /* 1, or the disk's blocks */
};
/* The extent that holds byte `at` of the file, or the first one behind it; n_extents: there is none. */
size_t bare_extent_at(const plat_file *f, uint64_t at);

#endif
