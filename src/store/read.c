/* read.c: units being read. A wanted unit with memory stands in a line; the unit at the head of the line sends pieces
 * of at most STORE_PIECE_BYTES into the queue while it has room. A piece that fails or comes short fails its unit,
 * whose other pieces are then awaited (the queue writes to its memory until they are back) before the memory is given
 * back.
 */
#include "store/store_int.h"

/* What is read ahead takes only a part of the queue: a want never stands behind much of it. */
#define AHEAD_DEPTH 4
/* Under way also in small pieces: while computing nobody sends more. With twice as much, disks that tell of reads only
 * when all are over let experts wait. */
#define DEPTH_BYTES ((size_t)4 << 20)
#define BUFFERED_PIECE_BYTES ((size_t)512 << 10) /* what is under way counts once more in the page cache */
#define PROMPT_BYTES ((size_t)32 << 20) /* the same in a prompt: each expert has many rows to compute */

/* The window of a span that is read: the span itself, or the aligned blocks around it. */
static uint64_t window_first(const store *s, const span *p) { return p->offset / s->align * s->align; }
static uint64_t window_bytes(const store *s, const span *p) {
    return align_up((size_t)(p->offset + p->bytes), s->align) - window_first(s, p);
}

plat_file *store_file_of(const store *s, uint32_t part) {
    return s->direct ? s->direct[part] : gguf_part_file(s->g, part);
}

bool store_is_buffered(const store *s) { return s->mode == STORE_STREAMING && !s->direct; }

void store_drop_read(const store *s, plat_file *file, uint64_t offset, size_t bytes) {
    if (store_is_buffered(s)) plat_file_forget(file, offset, bytes);
}

err_code store_read_error(const store *s, uint32_t tensor, uint64_t offset, uint64_t bytes, int64_t result, err *e) {
    const gguf_tensor *t = gguf_tensor_at(s->g, tensor);
    const char *path = gguf_part_path(s->g, t->part);
    if (result >= 0)
        return err_set(e, ERR_IO, "store", "tensor %.*s: %s ends early: %lld of %llu bytes at offset %llu",
                       (int)t->name.len, t->name.ptr, path, (long long)result, (unsigned long long)bytes,
                       (unsigned long long)offset);
    return err_set(e, ERR_IO, "store", "tensor %.*s: %s, %llu bytes at offset %llu: %s", (int)t->name.len,
                   t->name.ptr, path, (unsigned long long)bytes, (unsigned long long)offset,
                   plat_error_name((int)result));
}

static void join(store *s, uint32_t id, int which) {
    line *l = &s->lines[which];
    s->units[id].next = STORE_NOBODY;
    if (l->first == STORE_NOBODY) l->first = id;
    else s->units[l->last].next = id;
    l->last = id;
}

/* False where it stood in neither line. */
bool store_leave_line(store *s, uint32_t id) {
    for (int which = 0; which < 2; which++) {
        uint32_t before = STORE_NOBODY;
        for (uint32_t at = s->lines[which].first; at != STORE_NOBODY; before = at, at = s->units[at].next) {
            if (at != id) continue;
            *(before == STORE_NOBODY ? &s->lines[which].first : &s->units[before].next) = s->units[id].next;
            if (s->lines[which].last == id) s->lines[which].last = before;
            return true;
        }
    }
    return false;
}

bool store_start(store *s, uint32_t id, int which) {
    unit *u = &s->units[id];
    u->sent_span = 0;
    u->sent_bytes = 0;
    u->broken = u->abandoned = u->joined = false;
    uint64_t bytes = 0;
    for (size_t i = 0; i < u->n_spans; i++) bytes += s->spans[u->first_span + i].bytes;
    if (!bytes) return false;
    u->place = READING;
    store_hold(s, id);
    join(s, id, which);
    return true;
}

void store_hurry(store *s, uint32_t id) {
    if (store_leave_line(s, id)) join(s, id, LINE_WANTED);
}

/* A piece came to nothing, and the unit sends no more. */
static void fail(store *s, uint32_t id, const plat_read *r, const span *p, int64_t result) {
    unit *u = &s->units[id];
    if (u->broken) return;
    uint64_t from = MAX(r->offset, p->offset), end = MIN(r->offset + r->bytes, p->offset + p->bytes);
    u->broken = true;
    u->bad_tensor = p->tensor;
    u->bad_offset = from;
    u->bad_bytes = end - from;
    u->bad_result = result < 0 ? result : MAX(result - (int64_t)(from - r->offset), 0);
    store_leave_line(s, id);
}

/* With no piece under way the unit's fate may be decided. */
void store_settle(store *s, uint32_t id) {
    unit *u = &s->units[id];
    if (u->in_flight || u->place != READING) return;
    if (u->broken) {
        store_let_go(s, id);
        if (u->joined) { /* once: this read begins after the want */
            store_start(s, id, LINE_WANTED);
            return;
        }
        if (u->wanted) store_let_go(s, id); /* the want stands until somebody is told */
        store_leave_home(s, id);
        u->place = u->abandoned ? ON_DISK : FAILED;
    } else if (u->sent_span == u->n_spans) {
        u->place = IN_RAM;
        s->n_unread -= u->home == HOME_PINNED && s->n_unread > 0;
        store_let_go(s, id);
    }
}

void store_abandon(store *s, uint32_t id) {
    store_leave_line(s, id);
    s->units[id].broken = s->units[id].abandoned = true;
    store_settle(s, id);
}

uint64_t store_sent_bytes(const store *s, uint32_t id) {
    const unit *u = &s->units[id];
    uint64_t bytes = u->sent_bytes;
    for (size_t i = 0; i < u->sent_span; i++) bytes += window_bytes(s, &s->spans[u->first_span + i]);
    return bytes;
}

/* The unit that sends the next piece, or STORE_NOBODY. What is read ahead waits until nothing else is to be sent. */
static uint32_t next_to_send(store *s) {
    size_t ring = MIN(s->n_ring * s->ring_slot_bytes / 2, PROMPT_BYTES); /* ahead of what is computed */
    size_t bytes = store_is_buffered(s) ? DEPTH_BYTES : MAX(ring, s->many_rows ? PROMPT_BYTES : DEPTH_BYTES);
    if (s->in_flight >= STORE_DEPTH_MAX || (s->in_flight >= s->depth && s->in_flight_bytes >= bytes))
        return STORE_NOBODY;
    if (s->lines[LINE_WANTED].first != STORE_NOBODY || (s->mode == STORE_STREAMING && store_read_on(s)))
        return s->lines[LINE_WANTED].first;
    if (!s->sure && s->in_flight >= MIN(s->depth, AHEAD_DEPTH)) return STORE_NOBODY;
    if (s->lines[LINE_AHEAD].first == STORE_NOBODY && !store_read_ahead(s)) return STORE_NOBODY;
    return s->lines[LINE_AHEAD].first;
}

void store_pump(store *s) {
    for (uint32_t id; (id = next_to_send(s)) != STORE_NOBODY;) {
        unit *u = &s->units[id];
        const span *p = &s->spans[u->first_span + u->sent_span];
        uint64_t from = window_first(s, p), all = window_bytes(s, p);
        uint64_t most = store_is_buffered(s) ? BUFFERED_PIECE_BYTES : STORE_PIECE_BYTES;
        plat_read read = {.file = store_file_of(s, p->part),
                          .offset = from + u->sent_bytes,
                          .to = u->base + p->at - (p->offset - from) + u->sent_bytes,
                          .bytes = (size_t)MIN(all - u->sent_bytes, most),
                          .tag = (uint64_t)u->sent_span << 32 | id};
        if (!s->in_flight) s->busy_from_ns = plat_time_ns(); /* what the system has in its cache is there at once */
        int error = read.bytes ? plat_queue_submit(s->queue, &read, 1) : PLAT_OK;
        if (error) {
            fail(s, id, &read, p, error);
            store_settle(s, id);
            continue;
        }
        u->in_flight += read.bytes > 0;
        s->in_flight += read.bytes > 0;
        s->in_flight_bytes += read.bytes;
        u->sent_bytes += read.bytes;
        if (u->sent_bytes < all) continue;
        u->sent_bytes = 0;
        if (++u->sent_span < u->n_spans) continue;
        store_leave_line(s, id);
        store_settle(s, id); /* where its last part is empty nothing may be under way */
    }
}

void store_reap(store *s, uint64_t timeout_ns) {
    plat_read done[STORE_DEPTH_MAX];
    size_t n = plat_queue_reap(s->queue, done, STORE_DEPTH_MAX, timeout_ns);
    for (size_t i = 0; i < n; i++) {
        uint32_t id = (uint32_t)done[i].tag;
        unit *u = &s->units[id];
        const span *p = &s->spans[u->first_span + (done[i].tag >> 32)];
        uint64_t end = MIN(done[i].offset + done[i].bytes, p->offset + p->bytes);
        store_drop_read(s, done[i].file, done[i].offset, done[i].bytes);
        u->in_flight--;
        s->in_flight--;
        s->in_flight_bytes -= done[i].bytes;
        s->stats.reads++;
        s->stats.read_bytes += done[i].result > 0 ? (uint64_t)done[i].result : 0;
        if (done[i].result < (int64_t)(end - done[i].offset)) fail(s, id, &done[i], p, done[i].result);
        store_settle(s, id);
    }
    if (!s->in_flight) s->stats.busy_ns += plat_time_ns() - s->busy_from_ns;
}

bool store_poll(store *s, uint64_t timeout_ns) {
    if (s->mode == STORE_MAPPED || !s->in_flight) return false;
    store_reap(s, timeout_ns);
    store_pump(s);
    return true;
}
