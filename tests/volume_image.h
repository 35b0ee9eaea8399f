/* volume_image.h: disk images for tests, packed: what is not zero, in pieces of 64 bytes. See pack.py.
 *
 *     2 bytes: 4 KiB blocks of the image; then pieces: 2 bytes position / 64, 1 byte length / 64 - 1, the bytes
 */
#ifndef LEAT_VOLUME_IMAGE_H
#define LEAT_VOLUME_IMAGE_H

#include "volume/volume.h"

#include <stdlib.h>

typedef struct volume_image {
    unsigned char *at;
    size_t bytes, reads;
} volume_image;

/* Whatever the bytes are, an image comes of them; free(image.at). */
static inline volume_image volume_image_unpack(const uint8_t *data, size_t n) {
    volume_image image = {.bytes = (n < 2 ? 0 : (size_t)load_u16(data) % 1025) * 4096};
    image.at = calloc(1, image.bytes + 1);
    for (size_t i = 2; i + 3 <= n;) {
        size_t at = (size_t)load_u16(data + i) * 64, len = ((size_t)data[i + 2] + 1) * 64;
        i += 3;
        len = MIN(len, n - i);
        if (at < image.bytes) memcpy(image.at + at, data + i, MIN(len, image.bytes - at));
        i += len;
    }
    return image;
}

static inline int volume_image_read(void *ctx, uint64_t offset, void *to, size_t bytes) {
    volume_image *image = ctx;
    image->reads++;
    if (offset > image->bytes || bytes > image->bytes - offset) return PLAT_INVALID;
    memcpy(to, image->at + offset, bytes);
    return PLAT_OK;
}

static inline volume_source volume_image_source(volume_image *image) {
    return (volume_source){volume_image_read, image, image->bytes, 512};
}

#endif
