/* uring.c: asynchronous reads by io_uring: no threads of ours, one system call a batch. A read that comes short in the
 * middle of a file goes on where it stopped; one that the kernel refuses for a moment is a plain one. What it refuses
 * for good shows when the ring is opened, by a read; should it come later, reads that are not submitted yet are plain
 * ones from then on.
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
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#define DEPTH_MAX 4096
#define PIECE_MAX ((size_t)1 << 30) /* one read moves no more than 2 GiB */

#define FREE UINT64_MAX

typedef struct pending {
    plat_read read;
    size_t done;  /* bytes that came already               */
    uint64_t nth; /* of all put into the ring; FREE: of none */
    uint32_t next_free;
} pending;

struct posix_uring {
    struct io_uring ring;
    pending *slots; /* (depth) */
    uint32_t depth, first_free, n_taken;
    uint64_t n_put, n_sent; /* into the ring; of them taken by the kernel, which goes by their order */
    bool refused;           /* the kernel takes no more: the ring's rest stays there */
};

/* A byte through a pipe: sandboxes let a ring be made and refuse to enter it, and before Linux 5.6 it has no reads. */
static bool can_read(struct io_uring *ring) {
    struct io_uring_cqe *cqe;
    int ends[2], error;
    char byte = 1, back = 0;
    if (pipe2(ends, O_CLOEXEC)) return false;
    bool ok = write(ends[1], &byte, 1) == 1;
    if (ok) {
        io_uring_prep_read(io_uring_get_sqe(ring), ends[0], &back, 1, 0);
        ok = io_uring_submit(ring) == 1;
    }
    while (ok && (error = io_uring_wait_cqe(ring, &cqe)) != 0) ok = error == -EINTR;
    if (ok) {
        ok = cqe->res == 1 && back == byte;
        io_uring_cqe_seen(ring, cqe);
    }
    close(ends[0]);
    close(ends[1]);
    return ok;
}

posix_uring *posix_uring_open(uint32_t depth) {
    if (!allowed || depth > DEPTH_MAX) return NULL;
    posix_uring *u = calloc(1, sizeof *u);
    pending *slots = calloc(depth, sizeof *slots);
    bool made = u && slots && io_uring_queue_init(depth, &u->ring, 0) == 0, reads = made && can_read(&u->ring);
    if (made && !reads) io_uring_queue_exit(&u->ring);
    if (!reads) {
        free(slots);
        free(u);
        return NULL;
    }
    u->slots = slots;
    u->depth = depth;
    for (uint32_t i = 0; i < depth; i++) slots[i] = (pending){.nth = FREE, .next_free = i + 1};
    return u;
}

/* Puts the rest of a read into the ring; the ring has room for all slots. */
static void prepare(posix_uring *u, uint32_t slot) {
    const plat_read *r = &u->slots[slot].read;
    size_t done = u->slots[slot].done;
    u->slots[slot].nth = u->n_put++;
    if (u->refused) return;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    io_uring_prep_read(sqe, posix_file_fd(r->file), (char *)r->to + done, (unsigned)MIN(r->bytes - done, PIECE_MAX),
                       r->offset + done);
    io_uring_sqe_set_data64(sqe, slot);
}

/* What the kernel does not take now stays in the ring for the next call. */
static void flush(posix_uring *u) {
    while (u->n_sent < u->n_put && !u->refused) {
        int n = io_uring_submit(&u->ring);
        u->n_sent = u->n_put - MIN((uint64_t)io_uring_sq_ready(&u->ring), u->n_put - u->n_sent);
        if (n == -EAGAIN || n == -EBUSY || n == 0) return;
        u->refused = n < 0 && n != -EINTR;
    }
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
    flush(u);
    return PLAT_OK;
}

/* What the ring does not take. */
static void read_plainly(pending *p) {
    int64_t got = posix_read(p->read.file, p->read.offset + p->done, (char *)p->read.to + p->done,
                             p->read.bytes - p->done);
    p->read.result = got < 0 ? got : got + (int64_t)p->done;
}

/* True when the read is over; else its rest is under way. */
static bool settle(posix_uring *u, uint32_t slot, int result) {
    pending *p = &u->slots[slot];
    if (result == -EINTR || result == -EAGAIN) {
        read_plainly(p); /* put into the ring again it might be refused for ever */
        return true;
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

static void end_read(posix_uring *u, uint32_t slot, plat_read *done) {
    pending *p = &u->slots[slot];
    *done = p->read;
    p->nth = FREE;
    p->next_free = u->first_free;
    u->first_free = slot;
    u->n_taken--;
}

static size_t take_done(posix_uring *u, plat_read *done, size_t max) {
    struct io_uring_cqe *cqe;
    size_t n = 0;
    while (n < max && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        uint32_t slot = (uint32_t)io_uring_cqe_get_data64(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        if (settle(u, slot, result)) end_read(u, slot, &done[n++]);
    }
    return n;
}

static size_t read_unsent(posix_uring *u, plat_read *done, size_t max) {
    size_t n = 0;
    for (uint32_t slot = 0; slot < u->depth && n < max; slot++) {
        pending *p = &u->slots[slot];
        if (p->nth == FREE || p->nth < u->n_sent) continue;
        read_plainly(p);
        end_read(u, slot, &done[n++]);
    }
    return n;
}

size_t posix_uring_reap(posix_uring *u, plat_read *done, size_t max, uint64_t timeout_ns) {
    uint64_t now = plat_time_ns(), end = now > UINT64_MAX - timeout_ns ? UINT64_MAX : now + timeout_ns;
    for (;;) {
        size_t n = take_done(u, done, max);
        flush(u);
        if (u->refused) n += read_unsent(u, done + n, max - n);
        if (n || !u->n_taken || now >= end) return n;
        struct io_uring_cqe *cqe;
        uint64_t wait_ns = MIN(end - now, (uint64_t)1000000000); /* looked at anew each second, whatever was lost */
        struct __kernel_timespec ts = {.tv_sec = (long long)(wait_ns / 1000000000),
                                       .tv_nsec = (long long)(wait_ns % 1000000000)};
        int error = u->refused ? 0 : io_uring_wait_cqe_timeout(&u->ring, &cqe, &ts);
        if (u->refused) usleep(1000); /* what it took before will end */
        u->refused |= error < 0 && error != -ETIME && error != -EINTR;
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
