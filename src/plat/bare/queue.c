/* queue.c: asynchronous reads. A direct read becomes commands of its disk, as many as fit at a time; more are sent
 * while the queue is reaped. What is not direct, and modules, are read while reaping.
 */
#include "plat/bare/bare.h"

typedef struct slot {
    plat_read read;
    disk_job job;
    uint64_t sent, bytes; /* of the file, from the read's offset */
    bool taken;
} slot;

struct plat_queue {
    uint32_t depth, n_taken, turn;
    slot slots[];
};

static _Atomic uint32_t turns; /* queues of a disk are given out in turn */

int plat_queue_open(plat_queue **out, uint32_t depth) {
    *out = NULL;
    if (!depth || depth > 4096) return PLAT_INVALID;
    plat_queue *q = mem_block(MEM_ENGINE, sizeof *q + depth * sizeof(slot));
    if (!q) return PLAT_NO_MEMORY;
    q->depth = depth;
    q->turn = atomic_fetch_add(&turns, 1);
    *out = q;
    return PLAT_OK;
}

const char *plat_queue_kind(const plat_queue *q) { return (void)q, "polled disk queues"; }

static uint32_t queue_of(const plat_queue *q, const disk *d) { return q->turn % d->n_queues; }

/* Sends what the disk takes now. */
static void go_on(plat_queue *q, slot *s) {
    plat_file *f = s->read.file;
    while (s->sent < s->bytes) {
        uint64_t at = s->read.offset + s->sent;
        size_t i = bare_extent_at(f, at);
        const volume_extent *x = i < f->n_extents ? &f->extents[i] : NULL;
        char *to = (char *)s->read.to + s->sent;
        if (!x || at < x->from) {
            uint64_t zeros = MIN(s->bytes - s->sent, x ? x->from - at : UINT64_MAX);
            memset(to, 0, zeros);
            s->sent += zeros;
            continue;
        }
        /* The file's last bytes bring the rest of their block with them: the buffer has room for it. */
        uint64_t part = MIN(align_up(s->bytes - s->sent, f->align), align_up(x->from + x->bytes - at, f->align));
        uint64_t block = (f->base + x->at + (at - x->from)) / f->align;
        uint64_t n = disk_send(f->d, queue_of(q, f->d), block, part / f->align, to, &s->job) * (uint64_t)f->align;
        if (!n) return;
        s->sent = s->job.error ? s->bytes : MIN(s->sent + n, s->bytes);
    }
}

int plat_queue_submit(plat_queue *q, const plat_read *reads, size_t n) {
    if (n > q->depth - q->n_taken) return PLAT_NO_SPACE;
    for (uint32_t i = 0; n; i++) {
        slot *s = &q->slots[i];
        if (s->taken) continue;
        *s = (slot){.read = *reads, .taken = true};
        plat_file *f = reads->file;
        s->bytes = reads->offset < f->bytes ? MIN(reads->bytes, f->bytes - reads->offset) : 0;
        if (f->align > 1) {
            bool aligned = (reads->offset | reads->bytes | (uintptr_t)reads->to) % f->align == 0;
            if (!aligned) s->bytes = 0, s->job.error = PLAT_INVALID;
            go_on(q, s);
        }
        q->n_taken++;
        reads++;
        n--;
    }
    return PLAT_OK;
}

static bool is_done(plat_queue *q, slot *s) {
    plat_file *f = s->read.file;
    if (f->align == 1) {
        s->read.result = plat_file_read(f, s->read.offset, s->read.to, s->read.bytes);
        return true;
    }
    go_on(q, s);
    disk_poll(f->d, queue_of(q, f->d));
    if (atomic_load_explicit(&s->job.left, memory_order_acquire) || s->sent < s->bytes) return false;
    s->read.result = s->job.error ? s->job.error : (int64_t)s->bytes;
    return true;
}

size_t plat_queue_reap(plat_queue *q, plat_read *done, size_t max, uint64_t timeout_ns) {
    uint64_t from = cpu_time_ns();
    size_t n = 0;
    for (;;) {
        for (uint32_t i = 0, left = q->n_taken; left && n < max; i++) {
            slot *s = &q->slots[i];
            left -= s->taken;
            if (!s->taken || !is_done(q, s)) continue;
            done[n++] = s->read;
            s->taken = false;
            q->n_taken--;
        }
        if (n || !q->n_taken || !timeout_ns || cpu_time_ns() - from >= timeout_ns) return n;
        cpu_yield();
    }
}

void plat_queue_close(plat_queue *q) {
    if (!q) return;
    for (uint32_t i = 0; i < q->depth; i++) /* what is under way writes into its reader's memory until it ends */
        while (q->slots[i].taken && atomic_load_explicit(&q->slots[i].job.left, memory_order_acquire)) {
            disk_poll(q->slots[i].read.file->d, queue_of(q, q->slots[i].read.file->d));
            cpu_yield();
        }
    mem_block_free(q);
}
