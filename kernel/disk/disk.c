/* disk.c: commands of disks, in slots; reads that wait. Next: nvme.c, virtio_blk.c. */
#include "kernel/disk/disk.h"
#include "kernel/console/console.h"
#include "kernel/memory/memory.h"
#include "plat/plat.h"

enum { WINDOW_BYTES = 64 << 10 };

static disk disks[DISK_COUNT_MAX];
static size_t n_disks;

size_t disk_count(void) { return n_disks; }
disk *disk_at(size_t i) { return i < n_disks ? &disks[i] : NULL; }

disk *disk_new(const char *kind) {
    if (n_disks == DISK_COUNT_MAX) {
        console_log("disk: no room for more than %d", DISK_COUNT_MAX);
        return NULL;
    }
    size_t number = 0;
    for (size_t i = 0; i < n_disks; i++) number += str_starts(str_of(disks[i].name), str_of(kind));
    disk *d = &disks[n_disks];
    memset(d, 0, sizeof *d);
    fmt(d->name, sizeof d->name, "%s%zu", kind, number);
    return d;
}

static disk_queue *new_queue(uint32_t depth) {
    disk_queue *q = memory_pages(sizeof *q);
    uint8_t *tables = memory_pages((size_t)depth * DISK_TABLE_BYTES);
    if (!q || !tables) return NULL;
    q->depth = (uint16_t)depth;
    for (uint32_t i = 0; i < depth; i++) {
        q->command[i].next_free = (uint16_t)(i + 1);
        q->command[i].table = tables + (size_t)i * DISK_TABLE_BYTES;
    }
    return q;
}

bool disk_add(disk *d) {
    d->depth = MIN(d->depth, (uint32_t)DISK_DEPTH_MAX);
    d->bytes_max = MIN(d->bytes_max, (uint32_t)DISK_BYTES_MAX);
    d->pieces_max = MIN(d->pieces_max, (uint32_t)DISK_PIECES_MAX);
    bool ok = (d->block_bytes == 512 || d->block_bytes == 4096) && d->n_blocks && d->depth && d->n_queues &&
              d->n_blocks <= UINT64_MAX / d->block_bytes && d->bytes_max >= 4096 && d->pieces_max;
    d->window = ok ? memory_pages(WINDOW_BYTES) : NULL;
    for (uint32_t i = 0; i < d->n_queues && ok && d->window; i++) ok = (d->queue[i] = new_queue(d->depth)) != NULL;
    char bytes[24];
    console_log("%s: %s of %u bytes a block, %s; %u queues of %u%s", d->name,
                fmt_bytes(bytes, sizeof bytes, d->n_blocks * d->block_bytes), d->block_bytes, d->model, d->n_queues,
                d->depth, ok && d->window ? "" : ": not usable");
    if (!ok || !d->window) return false;
    n_disks++;
    return true;
}

/* Parts of memory that are physically in one piece, for at most *bytes; *bytes becomes what they hold. */
static uint32_t find_pieces(const disk *d, char *to, uint32_t *bytes, disk_piece *pieces) {
    uint32_t n = 0, done = 0;
    while (done < *bytes) {
        uint64_t at = memory_physical(to + done);
        uint32_t step = (uint32_t)(MEMORY_PAGE - (uintptr_t)(to + done) % MEMORY_PAGE);
        step = MIN(step, *bytes - done);
        if (!at) break;
        if (n && pieces[n - 1].physical + pieces[n - 1].bytes == at) {
            pieces[n - 1].bytes += step;
        } else {
            if (n == d->pieces_max) break;
            pieces[n++] = (disk_piece){at, step};
        }
        done += step;
    }
    *bytes = done;
    return n;
}

uint32_t disk_send(disk *d, uint32_t queue, uint64_t block, uint64_t n_blocks, void *to, disk_job *job) {
    disk_piece pieces[DISK_PIECES_MAX];
    uint32_t bytes = (uint32_t)MIN(n_blocks, (uint64_t)(d->bytes_max / d->block_bytes)) * d->block_bytes;
    uint32_t n = find_pieces(d, to, &bytes, pieces);
    disk_queue *q = d->queue[queue];
    ASSERT(bytes && bytes % d->block_bytes == 0 && block < d->n_blocks && n_blocks <= d->n_blocks - block);
    cpu_lock_take(&q->lock);
    uint16_t slot = q->first_free;
    bool room = slot < q->depth;
    if (room && d->is_off) {
        atomic_store(&job->error, PLAT_IO_ERROR);
    } else if (room) {
        disk_command *c = &q->command[slot];
        q->first_free = c->next_free;
        c->job = job;
        c->block = block;
        c->n_blocks = bytes / d->block_bytes;
        atomic_fetch_add(&job->left, 1);
        if (!q->in_flight++) q->progress_ns = cpu_time_ns();
        d->driver->send(d, queue, slot, pieces, n);
    }
    cpu_lock_leave(&q->lock);
    return room ? bytes / d->block_bytes : 0;
}

void disk_finished(disk *d, uint32_t queue, uint32_t slot, uint32_t status) {
    disk_queue *q = d->queue[queue];
    if (slot >= q->depth || !q->command[slot].job) return;
    disk_command *c = &q->command[slot];
    disk_job *job = c->job;
    if (status) {
        console_log("%s: reading blocks %llu to %llu failed, status %x", d->name, (unsigned long long)c->block,
                    (unsigned long long)(c->block + c->n_blocks - 1), status);
        atomic_store(&d->error_block, c->block);
        atomic_fetch_add(&d->n_errors, 1);
        atomic_store(&job->error, PLAT_IO_ERROR);
    } else {
        atomic_fetch_add(&d->bytes_read, (uint64_t)c->n_blocks * d->block_bytes);
    }
    atomic_fetch_add(&d->n_commands, 1);
    c->job = NULL;
    c->next_free = q->first_free;
    q->first_free = (uint16_t)slot;
    q->in_flight--;
    q->progress_ns = cpu_time_ns();
    atomic_fetch_sub_explicit(&job->left, 1, memory_order_release); /* the last look at the job: it may be gone now */
}

static void switch_off(disk *d) {
    console_log("%s: nothing comes from it; switched off", d->name);
    d->is_off = true;
    d->driver->off(d);
    for (uint32_t i = 0; i < d->n_queues; i++) {
        cpu_lock_take(&d->queue[i]->lock);
        for (uint32_t slot = 0; slot < d->depth; slot++) disk_finished(d, i, slot, UINT32_MAX);
        cpu_lock_leave(&d->queue[i]->lock);
    }
}

void disk_poll(disk *d, uint32_t queue) {
    disk_queue *q = d->queue[queue];
    cpu_lock_take(&q->lock);
    if (q->in_flight && !d->is_off) d->driver->poll(d, queue);
    bool late = q->in_flight && !d->is_off && cpu_time_ns() - q->progress_ns > DISK_TIMEOUT_NS;
    cpu_lock_leave(&q->lock);
    if (late) switch_off(d);
}

/* ---- reads that wait ------------------------------------------------------------------------------ */

static int read_blocks(disk *d, uint64_t block, uint64_t n, char *to) {
    disk_job job = {0};
    uint32_t queue = atomic_fetch_add(&d->queue_turn, 1) % d->n_queues;
    while (n || atomic_load_explicit(&job.left, memory_order_acquire)) {
        uint32_t sent = n && !job.error ? disk_send(d, queue, block, n, to, &job) : 0;
        if (job.error) n = 0;
        n -= MIN(n, (uint64_t)sent);
        block += sent;
        to += (size_t)sent * d->block_bytes;
        if (sent && n) continue;
        disk_poll(d, queue);
        if (atomic_load(&job.left)) cpu_yield();
    }
    return job.error;
}

/* Of the window at most `bytes` from offset on: reads it anew where it has none of them. A block that cannot be read
 * does not take its neighbours with it. */
static int64_t read_window(disk *d, uint64_t offset, void *to, size_t bytes) {
    if (offset < d->window_at || offset - d->window_at >= d->window_bytes) {
        uint64_t first = offset / d->block_bytes;
        uint64_t n = MIN((uint64_t)WINDOW_BYTES / d->block_bytes, d->n_blocks - first);
        d->window_bytes = 0;
        int error = read_blocks(d, first, n, (char *)d->window);
        if (error && n > 1) error = read_blocks(d, first, n = 1, (char *)d->window);
        if (error) return error;
        d->window_at = first * d->block_bytes;
        d->window_bytes = (size_t)n * d->block_bytes;
    }
    size_t skip = (size_t)(offset - d->window_at), take = MIN(bytes, d->window_bytes - skip);
    memcpy(to, d->window + skip, take);
    return (int64_t)take;
}

int disk_read(disk *d, uint64_t offset, void *to, size_t bytes) {
    uint64_t all = d->n_blocks * d->block_bytes;
    if (bytes > all || offset > all - bytes) return PLAT_INVALID;
    if ((offset | bytes | (uintptr_t)to) % d->block_bytes == 0 && bytes >= WINDOW_BYTES)
        return read_blocks(d, offset / d->block_bytes, bytes / d->block_bytes, to);
    int64_t got = 0;
    while (atomic_exchange(&d->window_taken, 1)) cpu_yield();
    for (size_t done = 0; done < bytes && got >= 0; done += got > 0 ? (size_t)got : 0)
        got = read_window(d, offset + done, (char *)to + done, bytes - done);
    atomic_store(&d->window_taken, 0);
    return got < 0 ? (int)got : PLAT_OK;
}

void disk_start(void) {
    disk_find_nvme();
    disk_find_virtio();
}
