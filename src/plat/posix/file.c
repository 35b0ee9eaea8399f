/* file.c: reading, mapping and writing files. Asynchronous reads are in queue.c. */
#include "plat/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRANSFER_MAX ((size_t)1 << 30) /* one read or write call moves no more than 2 GiB */

int posix_error(int error_number) {
    switch (error_number) {
    case 0: return PLAT_OK;
    case ENOENT:
    case ENOTDIR: return PLAT_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS: return PLAT_DENIED;
    case ENOMEM:
    case EMFILE:
    case ENFILE: return PLAT_NO_MEMORY;
    case EEXIST: return PLAT_EXISTS;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP: return PLAT_INVALID;
    case ENOSYS:
    case EOPNOTSUPP:
    case ENODEV: return PLAT_UNSUPPORTED;
    case EINTR: return PLAT_INTERRUPTED;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return PLAT_NO_SPACE;
    case EPIPE: return PLAT_CLOSED;
    default: return PLAT_IO_ERROR;
    }
}

const char *plat_error_name(int error) {
    static const char *const names[] = {
        "no error", "no such file", "permission denied", "not enough memory", "input or output error",
        "it exists already", "not a usable file or argument", "not supported here", "interrupted", "no space left",
        "closed by its reader"};
    return error <= 0 && (size_t)-error < COUNT_OF(names) ? names[-error] : "unknown error";
}

struct plat_file {
    int fd;
    uint64_t bytes;
};

int plat_file_open(plat_file **out, const char *path) {
    *out = NULL;
    /* Without O_NONBLOCK a pipe of that name would keep us waiting for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return posix_error(errno);
    struct stat st;
    off_t bytes = -1;
    if (fstat(fd, &st) == 0)
        bytes = S_ISREG(st.st_mode) ? st.st_size : S_ISBLK(st.st_mode) ? lseek(fd, 0, SEEK_END) : -1;
    plat_file *f = bytes >= 0 ? malloc(sizeof *f) : NULL;
    if (!f) {
        close(fd);
        return bytes >= 0 ? PLAT_NO_MEMORY : PLAT_INVALID;
    }
    *f = (plat_file){fd, (uint64_t)bytes};
    *out = f;
    return PLAT_OK;
}

void plat_file_close(plat_file *f) {
    if (!f) return;
    close(f->fd);
    free(f);
}

uint64_t plat_file_bytes(const plat_file *f) { return f->bytes; }

int64_t posix_read(plat_file *f, uint64_t offset, void *to, size_t bytes) {
    size_t done = 0;
    if (offset > INT64_MAX || bytes > INT64_MAX - offset) return PLAT_INVALID;
    while (done < bytes) {
        ssize_t n = pread(f->fd, (char *)to + done, MIN(bytes - done, TRANSFER_MAX), (off_t)(offset + done));
        if (n == 0) break;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return posix_error(errno);
        done += (size_t)n;
    }
    return (int64_t)done;
}

int64_t plat_file_read(plat_file *f, uint64_t offset, void *to, size_t bytes) {
    return posix_read(f, offset, to, bytes);
}

int plat_file_map(plat_file *f, const void **at) {
    if (!f->bytes) return PLAT_INVALID;
    void *p = mmap(NULL, f->bytes, PROT_READ, MAP_SHARED, f->fd, 0);
    if (p == MAP_FAILED) return posix_error(errno);
    *at = p;
    return PLAT_OK;
}

void plat_file_unmap(const void *at, uint64_t bytes) {
    union {
        const void *from;
        void *to;
    } p = {at};
    munmap(p.to, bytes);
}

/* ---- writing ------------------------------------------------------------------------------------- */

struct plat_out {
    int fd;
};

int plat_out_create(plat_out **out, const char *path) {
    *out = NULL;
    plat_out *o = malloc(sizeof *o);
    if (!o) return PLAT_NO_MEMORY;
    o->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (o->fd < 0) {
        int error = posix_error(errno);
        free(o);
        return error;
    }
    *out = o;
    return PLAT_OK;
}

int plat_out_write(plat_out *o, const void *bytes, size_t n) {
    const char *at = bytes;
    while (n) {
        ssize_t w = write(o->fd, at, MIN(n, TRANSFER_MAX));
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return posix_error(errno);
        at += w;
        n -= (size_t)w;
    }
    return PLAT_OK;
}

int plat_out_close(plat_out *o, bool sync) {
    int error = PLAT_OK;
    while (sync && fsync(o->fd) != 0) {
        if (errno == EINTR) continue;
        if (errno != EINVAL) error = posix_error(errno); /* EINVAL: a pipe or device, which keeps nothing to sync */
        break;
    }
    /* Some systems report a full disk only here. */
    if (close(o->fd) != 0 && errno != EINTR && error == PLAT_OK) error = posix_error(errno);
    free(o);
    return error;
}

int plat_file_rename(const char *from, const char *to) { return rename(from, to) ? posix_error(errno) : PLAT_OK; }
int plat_file_remove(const char *path) { return unlink(path) ? posix_error(errno) : PLAT_OK; }
