/* read.c: units being read. A wanted unit with memory stands in a line; the unit at the head of the line sends pieces
 * of at most STORE_PIECE_BYTES into the queue while it has room. A piece that fails or comes short fails its unit,
 * whose other pieces are then awaited (the queue writes to its memory until they are back) before the memory is given
 * back.
 */
#include "store/store_int.h"

/* The window of a span that is read: the span itself, or the aligned blocks around it. */
static uint64_t window_first(const store *s, const span *p) { return p->offset / s->align * s->align; }
static uint64_t window_bytes(const store *s, const span *p) {
    return align_up((size_t)(p->offset + p->bytes), s->align) - window_first(s, p);
}

plat_file *store_file_of(const store *s, uint32_t part) {
    return s->direct ? s->direct[part] : gguf_part_file(s->g, part);
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

static void leave_line(store *s) {
    s->first = s->units[s->first].next;
    if (s->first == STORE_NOBODY) s->last = STORE_NOBODY;
}

bool store_start(store *s, uint32_t id) {
    unit *u = &s->units[id];
    u->sent_span = 0;
    u->sent_bytes = 0;
    u->next = STORE_NOBODY;
    uint64_t bytes = 0;
    for (size_t i = 0; i < u->n_spans; i++) bytes += s->spans[u->first_span + i].bytes;
    if (!bytes) return false;
    u->place = READING;
    store_hold(s, id);
    if (s->first == STORE_NOBODY) s->first = id;
    else s->units[s->last].next = id;
    s->last = id;
    return true;
}

/* A piece came to nothing. Only the head of the line has pieces left to send. */
static void fail(store *s, uint32_t id, const plat_read *r, const span *p, int64_t result) {
    unit *u = &s->units[id];
    if (u->broken) return;
    uint64_t from = MAX(r->offset, p->offset), end = MIN(r->offset + r->bytes, p->offset + p->bytes);
    u->broken = true;
    u->bad_tensor = p->tensor;
    u->bad_offset = from;
    u->bad_bytes = end - from;
    u->bad_result = result < 0 ? result : MAX(result - (int64_t)(from - r->offset), 0);
    if (s->first == id) leave_line(s);
}

/* With no piece under way the unit's fate may be decided. */
static void settle(store *s, uint32_t id) {
    unit *u = &s->units[id];
    if (u->in_flight || u->place != READING) return;
    if (u->broken) {
        store_let_go(s, id);
        if (u->wanted) store_let_go(s, id);
        u->wanted = false;
        store_leave_home(s, id);
        u->place = FAILED;
    } else if (u->sent_span == u->n_spans) {
        u->place = IN_RAM;
        store_let_go(s, id);
    }
}

void store_pump(store *s) {
    while (s->in_flight < s->depth && s->first != STORE_NOBODY) {
        uint32_t id = s->first;
        unit *u = &s->units[id];
        const span *p = &s->spans[u->first_span + u->sent_span];
        uint64_t from = window_first(s, p), all = window_bytes(s, p);
        plat_read read = {.file = store_file_of(s, p->part),
                          .offset = from + u->sent_bytes,
                          .to = u->base + p->at - (p->offset - from) + u->sent_bytes,
                          .bytes = (size_t)MIN(all - u->sent_bytes, STORE_PIECE_BYTES),
                          .tag = (uint64_t)u->sent_span << 32 | id};
        int error = read.bytes ? plat_queue_submit(s->queue, &read, 1) : PLAT_OK;
        if (error) {
            fail(s, id, &read, p, error);
            settle(s, id);
            continue;
        }
        if (!s->in_flight) s->busy_from_ns = plat_time_ns();
        u->in_flight += read.bytes > 0;
        s->in_flight += read.bytes > 0;
        u->sent_bytes += read.bytes;
        if (u->sent_bytes < all) continue;
        u->sent_bytes = 0;
        if (++u->sent_span < u->n_spans) continue;
        leave_line(s);
        settle(s, id); /* where its last part is empty nothing may be under way */
    }
}

bool store_poll(store *s, uint64_t timeout_ns) {
    if (s->mode == STORE_MAPPED || !s->in_flight) return false;
    plat_read done[STORE_DEPTH_MAX];
    size_t n = plat_queue_reap(s->queue, done, STORE_DEPTH_MAX, timeout_ns);
    for (size_t i = 0; i < n; i++) {
        uint32_t id = (uint32_t)done[i].tag;
        unit *u = &s->units[id];
        const span *p = &s->spans[u->first_span + (done[i].tag >> 32)];
        uint64_t end = MIN(done[i].offset + done[i].bytes, p->offset + p->bytes);
        u->in_flight--;
        s->in_flight--;
        s->stats.reads++;
        s->stats.read_bytes += done[i].result > 0 ? (uint64_t)done[i].result : 0;
        if (done[i].result < (int64_t)(end - done[i].offset)) fail(s, id, &done[i], p, done[i].result);
        settle(s, id);
    }
    if (!s->in_flight) s->stats.busy_ns += plat_time_ns() - s->busy_from_ns;
    store_pump(s);
    return true;
}
