/* image.h: between image.c (the command) and image_disk.c (the bytes of the disk). */
#ifndef LEAT_IMAGE_H
#define LEAT_IMAGE_H

#include "hosted/hosted.h"
#include "volume/volume.h"

enum { IMAGE_FILES_MAX = 256, IMAGE_CONF_BYTES = 4096 };

typedef struct image_file {
    const char *path; /* NULL: the configuration */
    plat_file *file;
} image_file;

typedef struct image_plan {
    image_file files[IMAGE_FILES_MAX]; /* in the order of the disk; the first one is the configuration */
    volume_entry entries[IMAGE_FILES_MAX];
    size_t n;
    char conf[IMAGE_CONF_BYTES + 1];
    const char *loader; /* the image with the loaders and the kernel, or NULL: none on the disk */
    uint64_t bytes;     /* of all files */
    char aside[4096];   /* where the image is written until it is whole */
} image_plan;

/* Writes the disk: all of it, or no file of that name; one writer at a time. Fills the entries' offsets and sums. */
err_code image_write(image_plan *p, const char *out, tools *t, err *e);

#endif
