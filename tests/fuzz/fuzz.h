/* fuzz.h: what fuzz targets share: a promise that must hold, and the input as a file. */
#ifndef LEAT_FUZZ_H
#define LEAT_FUZZ_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static inline void require(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s: not so: %s\n", __BASE_FILE__, what);
    abort();
}

/* The path of a file in memory that holds these bytes until the next call. */
static inline const char *fuzz_file(const void *bytes, size_t n) {
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    require(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, bytes, n, 0) == (ssize_t)n, "a file in memory");
    return path;
}

#endif
