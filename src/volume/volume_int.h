/* volume_int.h: what the kinds of volumes share. */
#ifndef LEAT_VOLUME_INT_H
#define LEAT_VOLUME_INT_H

#include "volume/volume.h"

typedef struct ext4 ext4;

struct volume {
    volume_source source;
    ext4 *fs;              /* NULL: the next, or raw */
    volume_entry *entries; /* NULL: raw */
    size_t n_entries;
};

/* Reads inside the source, or says what could not be read. */
err_code volume_read(const volume_source *s, uint64_t offset, void *to, size_t bytes, const char *what, err *e);

/* Goes on with a checksum, lowest bits first: CRC-32 of GPT, CRC-32C of ext4. */
#define CRC_32 0xEDB88320u
#define CRC_32C 0x82F63B78u
uint32_t volume_crc(uint32_t polynomial, uint32_t crc, const void *bytes, size_t n);

bool volume_ext4_is(const uint8_t *superblock);
err_code volume_ext4_open(ext4 **out, const volume_source *s, err *e);
void volume_ext4_close(ext4 *x);
err_code volume_ext4_find(ext4 *x, str path, volume_file *out, err *e);
err_code volume_ext4_list(ext4 *x, str path, volume_each *each, void *ctx, err *e);

#define MANIFEST_MAGIC "leat manifest 1 "

#endif
