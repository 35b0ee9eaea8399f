/* out.c: writing files.
 *
 * A large file goes around the page cache where the file system can do that: the cache would keep gigabytes that
 * nobody reads soon, at the price of what others have in it, and writing it back costs more time than the writing
 * itself (1 GB and a sync on the disk of a VM: 2.8 s, 1.8 s of it in the kernel; directly 0.5 s and 0.1 s). Such
 * writes are of whole pages from an aligned buffer, so a failure may be reported one buffer late, at the latest by
 * plat_out_close.
 */
#include "plat/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define TRANSFER_MAX ((size_t)1 << 30)  /* one call moves no more than 2 GiB       */
#define DIRECT_BYTES ((size_t)4 << 20)  /* of the buffer                           */
#define DIRECT_MIN ((uint64_t)64 << 20) /* a file of fewer bytes may stay in cache */
#define DIRECT_ALIGN 4096               /* enough for the disks there are          */

struct plat_out {
    int fd;
    char *direct; /* NULL: through the cache */
    size_t used;
};

static int create(plat_out **out, const char *path, mode_t mode) {
    *out = NULL;
    plat_out *o = calloc(1, sizeof *o);
    if (!o) return PLAT_NO_MEMORY;
    o->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, mode);
    if (o->fd < 0) {
        int error = posix_error(errno);
        free(o);
        return error;
    }
    *out = o;
    return PLAT_OK;
}

int plat_out_create(plat_out **out, const char *path) { return create(out, path, 0666); }
int plat_out_create_private(plat_out **out, const char *path) { return create(out, path, 0600); }

int plat_out_expect(plat_out *o, uint64_t bytes) {
    if (bytes == 0 || bytes > INT64_MAX) return bytes ? PLAT_NO_SPACE : PLAT_OK;
    while (fallocate(o->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) != 0) {
        if (errno == EINTR) continue;
        if (posix_error(errno) == PLAT_NO_SPACE) return PLAT_NO_SPACE;
        break; /* this file system or kind of file cannot reserve */
    }
    if (bytes < DIRECT_MIN || o->direct) return PLAT_OK;
    int flags = fcntl(o->fd, F_GETFL);
    if (flags < 0 || fcntl(o->fd, F_SETFL, flags | O_DIRECT) != 0) return PLAT_OK;
    o->direct = aligned_alloc(DIRECT_ALIGN, DIRECT_BYTES);
    if (!o->direct) fcntl(o->fd, F_SETFL, flags);
    return PLAT_OK;
}

static int write_all(int fd, const char *at, size_t n) {
    while (n) {
        ssize_t w = write(fd, at, MIN(n, TRANSFER_MAX));
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return posix_error(errno);
        at += w;
        n -= (size_t)w;
    }
    return PLAT_OK;
}

/* From here on through the cache, beginning with what the buffer holds. */
static int end_direct(plat_out *o) {
    if (!o->direct) return PLAT_OK;
    int flags = fcntl(o->fd, F_GETFL);
    int error = flags < 0 || fcntl(o->fd, F_SETFL, flags & ~O_DIRECT) != 0 ? posix_error(errno) : PLAT_OK;
    if (!error) error = write_all(o->fd, o->direct, o->used);
    free(o->direct);
    o->direct = NULL;
    return error;
}

int plat_out_write(plat_out *o, const void *bytes, size_t n) {
    const char *at = bytes;
    while (o->direct && n) {
        size_t part = MIN(n, DIRECT_BYTES - o->used);
        memcpy(o->direct + o->used, at, part);
        o->used += part;
        at += part;
        n -= part;
        if (o->used < DIRECT_BYTES) continue;
        int error = write_all(o->fd, o->direct, DIRECT_BYTES);
        if (error == PLAT_INVALID) error = end_direct(o); /* said yes and meant no */
        if (error) return error;
        o->used = 0;
    }
    return write_all(o->fd, at, n);
}

int plat_out_close(plat_out *o, bool sync) {
    int error = end_direct(o);
    while (sync && !error && fsync(o->fd) != 0) {
        if (errno == EINTR) continue;
        if (errno != EINVAL) error = posix_error(errno); /* EINVAL: a pipe or device, which keeps nothing to sync */
        break;
    }
    /* Some systems report a full disk only here. */
    if (close(o->fd) != 0 && errno != EINTR && error == PLAT_OK) error = posix_error(errno);
    free(o->direct);
    free(o);
    return error;
}
