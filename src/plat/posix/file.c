/* file.c: reading files, names of files. Asynchronous reads are in queue.c, mapping in map.c, writing in out.c. */
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
    case ENOMEM: return PLAT_NO_MEMORY;
    case EMFILE:
    case ENFILE: return PLAT_TOO_MANY;
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
    case EADDRINUSE: return PLAT_EXISTS;
    case EADDRNOTAVAIL: return PLAT_NOT_FOUND;
    case EAGAIN: return PLAT_AGAIN;
    case ECONNRESET:
    case EPIPE: return PLAT_CLOSED;
    default: return PLAT_IO_ERROR;
    }
}

const char *plat_error_name(int error) {
    static const char *const names[] = {
        "no error", "no such file", "permission denied", "not enough memory", "input or output error",
        "it exists already", "not a regular file, or not to be used so", "not supported here", "interrupted",
        "no space left", "closed by its reader", "in use, or not ready", "too many files are open"};
    return error <= 0 && (size_t)-error < COUNT_OF(names) ? names[-error] : "unknown error";
}

/* What direct reads are multiples of: the block size of every disk and file system we know, or a multiple of it. */
#define DIRECT_ALIGN 4096
#define PAGE_MOST 65536 /* bytes of the system's pages, at most */

struct plat_file {
    int fd;
    uint32_t align; /* 1, or DIRECT_ALIGN */
    uint64_t bytes;
};

static int open_file(plat_file **out, const char *path, int flags) {
    *out = NULL;
    /* Without O_NONBLOCK a pipe of that name would keep us waiting for a writer. It goes again, since before Linux 6.5
     * io_uring refuses to read such files where the device may sleep (dm-crypt, zram). */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
    if (fd < 0) return posix_error(errno);
    struct stat st;
    off_t bytes = -1;
    if (fstat(fd, &st) == 0)
        bytes = S_ISREG(st.st_mode) ? st.st_size : S_ISBLK(st.st_mode) ? lseek(fd, 0, SEEK_END) : -1;
    fcntl(fd, F_SETFL, flags);
    plat_file *f = bytes >= 0 ? malloc(sizeof *f) : NULL;
    if (!f) {
        close(fd);
        return bytes >= 0 ? PLAT_NO_MEMORY : PLAT_INVALID;
    }
    *f = (plat_file){fd, flags & O_DIRECT ? DIRECT_ALIGN : 1, (uint64_t)bytes};
    *out = f;
    return PLAT_OK;
}

int plat_file_open(plat_file **out, const char *path) { return open_file(out, path, 0); }

/* The system's cache has the page at `at`; so it says also of a file that is not ours to write. */
static bool is_cached(const plat_file *f, uint64_t at) {
    unsigned char in = 0;
    void *page = mmap(NULL, DIRECT_ALIGN, PROT_READ, MAP_SHARED, f->fd, (off_t)at);
    if (page == MAP_FAILED) return true;
    bool cached = mincore(page, DIRECT_ALIGN, &in) || in & 1;
    munmap(page, DIRECT_ALIGN);
    return cached;
}

/* Some file systems take O_DIRECT at open and refuse the read, some fall short of what was asked, some read through the
 * cache all the same (ext4 that journals data): a read tells, amid the file, where weights are; then another one, once
 * the block is written and out of the cache. What cannot be got out of it (others map it) tells nothing. */
static bool reads_direct(plat_file *f) {
    void *block = NULL;
    uint64_t at = f->bytes / 2 / PAGE_MOST * PAGE_MOST;
    int64_t want = (int64_t)MIN(f->bytes - at, (uint64_t)DIRECT_ALIGN);
    if (posix_memalign(&block, DIRECT_ALIGN, DIRECT_ALIGN)) return false;
    bool reads = posix_read(f, at, block, DIRECT_ALIGN) == want;
    plat_file_forget(f, at, DIRECT_ALIGN);
    if (reads && !is_cached(f, at)) reads = posix_read(f, at, block, DIRECT_ALIGN) == want && !is_cached(f, at);
    free(block);
    return reads;
}

int plat_file_open_direct(plat_file **out, const char *path) {
    int error = open_file(out, path, O_DIRECT);
    if (error) return error == PLAT_INVALID ? PLAT_UNSUPPORTED : error;
    if (reads_direct(*out)) return PLAT_OK;
    plat_file_close(*out);
    *out = NULL;
    return PLAT_UNSUPPORTED;
}

bool plat_file_same(const plat_file *a, const plat_file *b) {
    struct stat x, y;
    return !fstat(a->fd, &x) && !fstat(b->fd, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

size_t plat_file_align(const plat_file *f) { return f->align; }

void plat_file_uncache(plat_file *f) {
    posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
    posix_fadvise(f->fd, 0, 0, POSIX_FADV_RANDOM);
}

int posix_file_fd(const plat_file *f) { return f->fd; }

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
        if ((size_t)n % f->align) break; /* the end of the file; from here on no direct read is possible */
    }
    return (int64_t)done;
}

int64_t plat_file_read(plat_file *f, uint64_t offset, void *to, size_t bytes) {
    return posix_read(f, offset, to, bytes);
}

void plat_file_forget(plat_file *f, uint64_t offset, uint64_t bytes) {
    uint64_t page = plat_page_bytes(), from = offset / page * page; /* the system keeps those that are cut */
    posix_fadvise(f->fd, (off_t)from, (off_t)align_up((size_t)(offset + bytes - from), page), POSIX_FADV_DONTNEED);
}

int plat_file_id(const char *path, uint64_t id[2]) {
    struct stat st;
    if (stat(path, &st) != 0) return posix_error(errno);
    if (!S_ISREG(st.st_mode)) return PLAT_INVALID;
    id[0] = (uint64_t)st.st_dev;
    id[1] = (uint64_t)st.st_ino;
    return PLAT_OK;
}

/* root may put a file in the place of /dev/full; nobody means that. Who was kept from the old file is kept from the new
 * one. */
int plat_file_rename(const char *from, const char *to) {
    struct stat old, made;
    bool there = stat(to, &old) == 0;
    if (there && !S_ISREG(old.st_mode)) return PLAT_INVALID;
    if (there && !stat(from, &made) && made.st_mode & ~old.st_mode & 0777)
        chmod(from, made.st_mode & old.st_mode & 0777);
    return rename(from, to) ? posix_error(errno) : PLAT_OK;
}
int plat_file_remove(const char *path) { return unlink(path) ? posix_error(errno) : PLAT_OK; }
