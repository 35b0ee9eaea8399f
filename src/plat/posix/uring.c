/* uring.c: asynchronous reads by io_uring: no threads of ours, one system call a batch. A read that comes short in the
 * middle of a file goes on where it stopped; what the kernel refuses for a moment is submitted again.
 */
#include "plat/posix/posix.h"

static bool allowed = true;
void posix_uring_allow(bool allow) { allowed = allow; }

#ifdef POSIX_NO_URING

posix_uring *posix_uring_open(uint32_t depth) {
    (void)depth;
    return NULL;
}
void posix_uring_close(posix_uring *u) { (void)u; }
int posix_uring_submit(posix_uring *u, const plat_read *reads, size_t n) {
    (void)u, (void)reads, (void)n;
    return PLAT_UNSUPPORTED;
}
size_t posix_uring_reap(posix_uring *u, plat_read *done, size_t max, uint64_t timeout_ns) {
    (void)u, (void)done, (void)max, (void)timeout_ns;
    return 0;
}

#else

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#define DEPTH_MAX 4096
#define PIECE_MAX ((size_t)1 << 30) /* one read moves no more than 2 GiB */

typedef struct pending {
    plat_read read;
    size_t done;       /* bytes that came already */
    uint32_t next_free;
} pending;

struct posix_uring {
    struct io_uring ring;
    pending *slots; /* (depth) */
    uint32_t depth, first_free, n_taken, n_unsent;
};

posix_uring *posix_uring_open(uint32_t depth) {
    if (!allowed || depth > DEPTH_MAX) return NULL;
    posix_uring *u = calloc(1, sizeof *u);
    pending *slots = calloc(depth, sizeof *slots);
    if (!u || !slots || io_uring_queue_init(depth, &u->ring, 0) < 0) {
        free(slots);
        free(u);
        return NULL;
    }
    u->slots = slots;
    u->depth = depth;
    for (uint32_t i = 0; i < depth; i++) slots[i].next_free = i + 1;
    return u;
}

/* Puts the rest of a read into the ring; the ring has room for all slots. */
static void prepare(posix_uring *u, uint32_t slot) {
    const plat_read *r = &u->slots[slot].read;
    size_t done = u->slots[slot].done;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    io_uring_prep_read(sqe, posix_file_fd(r->file), (char *)r->to + done, (unsigned)MIN(r->bytes - done, PIECE_MAX),
                       r->offset + done);
    io_uring_sqe_set_data64(sqe, slot);
    u->n_unsent++;
}

/* What the kernel does not take now stays in the ring for the next call. */
static int flush(posix_uring *u) {
    while (u->n_unsent) {
        int n = io_uring_submit(&u->ring);
        if (n == -EINTR) continue;
        if (n == -EAGAIN || n == -EBUSY || n == 0) return PLAT_OK;
        if (n < 0) return posix_error(-n);
        u->n_unsent -= MIN((uint32_t)n, u->n_unsent);
    }
    return PLAT_OK;
}

int posix_uring_submit(posix_uring *u, const plat_read *reads, size_t n) {
    if (n > u->depth - u->n_taken) return PLAT_NO_SPACE;
    for (size_t i = 0; i < n; i++) {
        uint32_t slot = u->first_free;
        u->first_free = u->slots[slot].next_free;
        u->slots[slot].read = reads[i];
        u->slots[slot].done = 0;
        u->n_taken++;
        prepare(u, slot);
    }
    flush(u); /* an error of the ring itself shows when reaping: the reads are ours by now */
    return PLAT_OK;
}

/* True when the read is over; else its rest is under way. */
static bool settle(posix_uring *u, uint32_t slot, int result) {
    pending *p = &u->slots[slot];
    if (result == -EINTR || result == -EAGAIN) {
        prepare(u, slot);
        return false;
    }
    if (result < 0) {
        p->read.result = posix_error(-result);
        return true;
    }
    p->done += (size_t)result;
    p->read.result = (int64_t)p->done;
    /* Zero, or an odd part of a direct read: the end of the file. */
    if (!result || p->done == p->read.bytes || (size_t)result % plat_file_align(p->read.file)) return true;
    prepare(u, slot);
    return false;
}

static size_t take_done(posix_uring *u, plat_read *done, size_t max) {
    struct io_uring_cqe *cqe;
    size_t n = 0;
    while (n < max && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        uint32_t slot = (uint32_t)io_uring_cqe_get_data64(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        if (!settle(u, slot, result)) continue;
        done[n++] = u->slots[slot].read;
        u->slots[slot].next_free = u->first_free;
        u->first_free = slot;
        u->n_taken--;
    }
    return n;
}

size_t posix_uring_reap(posix_uring *u, plat_read *done, size_t max, uint64_t timeout_ns) {
    uint64_t now = plat_time_ns(), end = now > UINT64_MAX - timeout_ns ? UINT64_MAX : now + timeout_ns;
    for (;;) {
        size_t n = take_done(u, done, max);
        flush(u);
        if (n || !u->n_taken || now >= end) return n;
        struct io_uring_cqe *cqe;
        uint64_t wait_ns = MIN(end - now, (uint64_t)1000000000); /* looked at anew each second, whatever was lost */
        struct __kernel_timespec ts = {.tv_sec = (long long)(wait_ns / 1000000000),
                                       .tv_nsec = (long long)(wait_ns % 1000000000)};
        io_uring_wait_cqe_timeout(&u->ring, &cqe, &ts);
        now = plat_time_ns();
    }
}

void posix_uring_close(posix_uring *u) {
    plat_read done[8];
    /* Running reads write into buffers of the caller until they are over. */
    while (u->n_taken) posix_uring_reap(u, done, COUNT_OF(done), UINT64_MAX);
    io_uring_queue_exit(&u->ring);
    free(u->slots);
    free(u);
}

#endif
