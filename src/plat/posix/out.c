/* out.c: writing files.
 *
 * A large file goes around the page cache where the file system can do that: the cache would keep gigabytes that
 * nobody reads soon, at the price of what others have in it, and writing it back costs more time than the writing
 * itself (1 GB and a sync on the disk of a VM: 2.8 s, 1.8 s of it in the kernel; directly 0.5 s and 0.1 s). Such
 * writes are of whole pages from an aligned buffer, so a failure may be reported one buffer late, at the latest by
 * plat_out_sync.
 *
 * All are written beside their place, under a lock: of two writers that shared a name the second would cut what the
 * first is about to rename. The lock goes with the file when it is renamed, and with a process that ends.
 */
#include "plat/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRANSFER_MAX ((size_t)1 << 30)  /* one call moves no more than 2 GiB       */
#define DIRECT_BYTES ((size_t)4 << 20)  /* of the buffer                           */
#define DIRECT_MIN ((uint64_t)64 << 20) /* a file of fewer bytes may stay in cache */
#define DIRECT_ALIGN 4096               /* enough for the disks there are          */
#define TRIES_MAX 100                   /* to get a name that others use as well   */

struct plat_out {
    int fd;
    char *direct; /* NULL: through the cache */
    size_t used;
    bool synced; /* and nothing was written since */
    const char *path;
    char *aside; /* where it is written; NULL: at its place, which keeps nothing */
};

static bool is_at(const char *path, int fd) {
    struct stat named, opened;
    return !stat(path, &named) && !fstat(fd, &opened) && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

/* The file of this name, locked and empty, whoever left it there. Where there are no locks it must do without. What is
 * for its owner alone is so from the beginning. */
static int open_locked(const char *path, mode_t mode, int *fd) {
    for (int i = 0; i < TRIES_MAX; i++) {
        *fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, mode);
        if (*fd < 0) return posix_error(errno);
        int error = flock(*fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK ? PLAT_AGAIN : PLAT_OK;
        bool moved = !error && !is_at(path, *fd);
        if (!error && !moved && ((!(mode & 077) && fchmod(*fd, mode) != 0) || ftruncate(*fd, 0) != 0))
            error = posix_error(errno);
        if (!error && !moved) return fcntl(*fd, F_SETFL, 0), PLAT_OK; /* a pipe would have kept us waiting */
        close(*fd);
        if (error) return error;
        /* Whoever had the lock has renamed the file since it was opened here. */
    }
    return PLAT_AGAIN;
}

/* A link stays one. What has no name ("", a link that leads nowhere, /dev/stdout of a file that was removed) cannot be
 * replaced. */
bool plat_out_aside(const char *path, char *buf, size_t cap) {
    struct stat st;
    char *real = realpath(path, NULL);
    int n = *path && (real || lstat(path, &st)) ? snprintf(buf, cap, "%s.part", real ? real : path) : -1;
    free(real);
    return n >= 0 && (size_t)n < cap;
}

int plat_out_create(plat_out **out, const char *path, bool private) {
    struct stat st;
    char aside[4096] = "";
    bool there = !stat(path, &st), keeps = !there || S_ISREG(st.st_mode);
    int error = PLAT_OK;
    *out = NULL;
    if (keeps && !plat_out_aside(path, aside, sizeof aside)) return PLAT_INVALID;
    size_t n = strlen(aside) + 1;
    plat_out *o = calloc(1, sizeof *o + 2 * n);
    if (!o) return PLAT_NO_MEMORY;
    if (!keeps) {
        o->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (o->fd < 0) error = posix_error(errno);
    } else if (there && access(path, W_OK)) { /* its owner wants it to stay */
        error = posix_error(errno);
    } else {
        o->aside = memcpy(o + 1, aside, n);
        o->path = memcpy(o->aside + n, aside, n - sizeof ".part");
        error = open_locked(aside, private ? 0600 : there ? st.st_mode & 0777 : 0666, &o->fd);
    }
    if (error) free(o);
    else *out = o;
    return error;
}

int plat_out_expect(plat_out *o, uint64_t bytes) {
    if (bytes == 0 || bytes > INT64_MAX) return bytes ? PLAT_NO_SPACE : PLAT_OK;
    while (fallocate(o->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) != 0) {
        if (errno == EINTR) continue;
        if (posix_error(errno) == PLAT_NO_SPACE) return PLAT_NO_SPACE;
        break; /* this file system or kind of file cannot reserve */
    }
    if (bytes < DIRECT_MIN || o->direct || !o->aside) return PLAT_OK;
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
        if (w <= 0) return w ? posix_error(errno) : PLAT_IO_ERROR;
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
    o->synced = false;
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

int plat_out_sync(plat_out *o) {
    int error = end_direct(o);
    while (!error && !o->synced && fsync(o->fd) != 0) {
        if (errno == EINTR) continue;
        if (errno != EINVAL) error = posix_error(errno); /* EINVAL: a pipe or device, which keeps nothing to sync */
        break;
    }
    o->synced = !error;
    return error;
}

int plat_out_settle(plat_out *o, int error) {
    if (!error) error = plat_out_sync(o);
    bool ours = o->aside && is_at(o->aside, o->fd); /* else somebody took it away, and another may be at work there */
    if (error && ours) plat_file_remove(o->aside);
    else if (!error && o->aside) error = ours ? plat_file_rename(o->aside, o->path) : PLAT_NOT_FOUND;
    /* Some systems report a full disk only here. */
    if (close(o->fd) != 0 && errno != EINTR && !error) error = posix_error(errno);
    free(o->direct);
    free(o);
    return error;
}
