/* store.c: modes, units and leases. read.c gets the bytes, stream.c decides whose memory is whose.
 *
 * The state of a unit is DISK -> READING -> RAM, or FAILED; in STREAMING it may go back to DISK whenever nobody holds
 * it. A want that failed stands until try_lease has told of it, or it is forgotten; the next want starts anew. Refuses
 * nothing that gguf_open let through, and never blocks but in lease_now, gather and poll. One thread calls.
 */
#include "store/store_int.h"

/* ---- open and close ------------------------------------------------------------------------------ */

static void unmap_parts(store *s) {
    for (size_t i = 0; s->map && i < gguf_part_count(s->g); i++)
        if (s->map[i]) plat_file_unmap(s->map[i]);
    mem_block_free(s->map);
    s->map = NULL;
}

/* All parts or none. */
static bool map_parts(store *s) {
    size_t n = gguf_part_count(s->g);
    s->map = mem_block(MEM_ENGINE, n * sizeof *s->map);
    for (size_t i = 0; s->map && i < n; i++)
        if (plat_file_map(gguf_part_file(s->g, i), &s->map[i]) != PLAT_OK) unmap_parts(s);
    return s->map != NULL;
}

/* What the system reads now comes in large pages and stays so in its cache: this run and those after it map it in
 * hundreds of steps instead of ten thousands. */
void store_expect_all(const store *s) {
    for (size_t i = 0; s->map && i < gguf_part_count(s->g); i++)
        plat_huge_pages(s->map[i], plat_file_bytes(gguf_part_file(s->g, i)));
}

err_code store_open_queue(store *s, err *e) {
    if (s->queue) return ERR_NONE;
    int error = plat_queue_open(&s->queue, STORE_DEPTH_MAX);
    if (!error) return ERR_NONE;
    return ERR(e, error == PLAT_NO_MEMORY ? ERR_MEMORY : ERR_IO, "%s: no queue for %d reads: %s",
               gguf_part_path(s->g, 0), STORE_DEPTH_MAX, plat_error_name(error));
}

/* What the page cache has of the parts counts against the budget of the process. */
static void uncache_parts(const store *s) {
    for (size_t i = 0; i < gguf_part_count(s->g); i++) plat_file_uncache(gguf_part_file(s->g, i));
}

err_code store_begin_reads(store *s, err *e) {
    err_code code = store_open_queue(s, e);
    if (code) return code;
    unmap_parts(s);
    uncache_parts(s); /* of opening the model */
    return code;
}

/* Before a model says more: unit i is tensor i. */
typedef struct whole_tensors {
    const gguf *g;
    store_span *span;
} whole_tensors;

static void describe_tensor(const void *user, size_t i, store_unit *out) {
    const whole_tensors *w = user;
    *w->span = (store_span){.tensor = (uint32_t)i, .bytes = gguf_tensor_at(w->g, i)->bytes};
    *out = (store_unit){.spans = w->span, .n_spans = 1};
}

err_code store_open(store **out, const gguf *g, const store_opts *o, err *e) {
    *out = NULL;
    err_code code;
    store *s = mem_block(MEM_ENGINE, sizeof *s);
    if (!s) return ERR(e, ERR_MEMORY, "%s: no memory for a store", gguf_part_path(g, 0));
    s->g = g;
    s->align = 1;
    s->depth = STORE_DEPTH;
    store_span whole;
    whole_tensors tensors = {g, &whole};
    store_units units = {.describe = describe_tensor, .user = &tensors, .n_units = gguf_tensor_count(g), .n_layers = 1};
    if ((code = store_set_units(s, &units, e))) goto fail;
    s->mode = STORE_MAPPED;
    if ((o && o->no_map) || !(plat_caps() & PLAT_CAN_MAP) || !map_parts(s)) {
        s->mode = STORE_RESIDENT; /* also where the machine can map, but not these files */
        if ((code = store_open_queue(s, e))) goto fail;
    }
    *out = s;
    return ERR_NONE;
fail:
    store_close(s);
    return code;
}

void store_close(store *s) {
    if (!s) return;
    plat_queue_close(s->queue); /* waits for running reads: they write into the units' memory */
    if (store_is_buffered(s)) uncache_parts(s);
    for (size_t i = 0; i < s->n_units; i++)
        if (s->units[i].home == HOME_BLOCK) mem_block_free(s->units[i].base);
    store_close_stream(s);
    unmap_parts(s);
    arena_close(&s->tables);
    mem_block_free(s);
}

store_mode store_mode_of(const store *s) { return s->mode; }

/* ---- units ----------------------------------------------------------------------------------------- */

err_code store_set_units(store *s, const store_units *all, err *e) {
    size_t n = all->n_units, n_spans = 0, bytes;
    store_unit u;
    for (size_t i = 0; i < n; i++) {
        all->describe(all->user, i, &u);
        n_spans += u.n_spans; /* at most GGUF_TENSORS_MAX tensors of DEV_EXPERTS_MAX experts */
    }
    arena tables;
    err_code code = mul_size(n, sizeof(unit), &bytes) && n < STORE_NOBODY ? ERR_NONE : ERR_LIMIT;
    if (!code) code = arena_open(&tables, MEM_ENGINE, bytes + n_spans * sizeof(span) + 4096, e);
    if (code) return code;
    unit *units = arena_array(&tables, n, sizeof *units);
    span *spans = arena_array(&tables, n_spans, sizeof *spans), *next = spans;
    if (!units || !spans) {
        arena_close(&tables);
        return ERR(e, ERR_MEMORY, "%s: no memory to keep track of %zu units", gguf_part_path(s->g, 0), n);
    }
    for (size_t i = 0; i < n; i++) {
        all->describe(all->user, i, &u);
        ASSERT(u.n_spans >= 1 && u.n_spans <= STORE_SPANS_MAX && u.layer < all->n_layers);
        units[i] = (unit){.first_span = (uint32_t)(next - spans), .n_spans = (uint32_t)u.n_spans, .layer = u.layer,
                          .expert = u.expert, .next = STORE_NOBODY};
        for (size_t k = 0; k < u.n_spans; k++, next++) {
            const gguf_tensor *t = gguf_tensor_at(s->g, u.spans[k].tensor);
            ASSERT(u.spans[k].offset <= t->bytes && u.spans[k].bytes <= t->bytes - u.spans[k].offset);
            *next = (span){.offset = t->offset + u.spans[k].offset, .bytes = u.spans[k].bytes, .part = t->part,
                           .tensor = u.spans[k].tensor};
        }
    }
    for (size_t i = 0; i < s->n_units; i++)
        if (s->units[i].home == HOME_BLOCK) mem_block_free(s->units[i].base);
    arena_close(&s->tables);
    s->tables = tables;
    s->units = units;
    s->spans = spans;
    s->n_units = n;
    s->n_spans = n_spans;
    s->n_layers = all->n_layers;
    s->n_used = all->n_used;
    for (int i = 0; i < 2; i++) s->lines[i] = (line){STORE_NOBODY, STORE_NOBODY};
    s->gathered_tensor = 0;
    store_lay_out(s);
    return ERR_NONE;
}

uint64_t store_units_bytes(const store *s) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->n_spans; i++) bytes += s->spans[i].bytes;
    return bytes;
}

uint64_t store_held_bytes(const store *s) {
    uint64_t bytes = s->memory_bytes;
    for (size_t i = 0; i < s->n_units; i++)
        if (s->units[i].home == HOME_BLOCK && s->units[i].base) bytes += s->units[i].bytes;
    return bytes;
}

/* A block of its own takes whole pages, and one for its size. */
uint64_t store_unread_bytes(const store *s) {
    size_t page = plat_page_bytes();
    uint64_t bytes = s->mode == STORE_MAPPED ? store_units_bytes(s) : 0;
    for (size_t i = 0; s->mode == STORE_RESIDENT && i < s->n_units; i++)
        if (!s->units[i].base) bytes += align_up(s->units[i].bytes, page) + page;
    return bytes;
}

/* ---- wants ----------------------------------------------------------------------------------------- */

static void want(store *s, uint32_t id) {
    unit *u = &s->units[id];
    bool there = u->place == READING || u->place == IN_RAM;
    if (u->wanted) return;
    if (!there && u->home == HOME_RING) {
        store_seek(s, id);
        return; /* it comes in its order */
    }
    if (!there) {
        u->ahead = u->wasted = false;
        if (!store_take_home(s, id)) {
            u->place = u->home == HOME_BLOCK ? FAILED : ON_DISK; /* no memory; no room for now */
            u->broken = false;
            s->crowded |= u->expert;
            return;
        }
        s->stats.misses += u->expert;
        if (u->expert) store_credit(s, (int64_t)(u->bytes / AHEAD_WASTE));
        if (!store_start(s, id, LINE_WANTED)) u->place = IN_RAM; /* it has no bytes */
    } else if (u->abandoned) {
        return; /* its memory is still being written to */
    } else {
        s->stats.hits += u->expert;
        s->stats.ahead_used += u->ahead;
        u->ahead = false;
        if (u->wasted) store_credit(s, (int64_t)u->bytes); /* later than foreseen, but used */
        u->wasted = false;
        u->joined = u->place == READING;
        if (u->joined) store_hurry(s, id);
    }
    u->wanted = true;
    store_hold(s, id);
}

void store_want(store *s, const uint32_t *units, size_t n) {
    if (s->mode == STORE_MAPPED) return;
    /* Those here first, lest they be thrown out for the others. */
    for (int here = 1; here >= 0; here--)
        for (size_t i = 0; i < n; i++) {
            ASSERT(units[i] < s->n_units);
            store_place place = s->units[units[i]].place;
            if ((place == IN_RAM || place == READING) != (here == 1)) continue;
            want(s, units[i]);
            if (!here) store_pump(s); /* the disk begins while places for the others are looked for */
        }
    store_pump(s);
}

static void forget(store *s, uint32_t id) {
    unit *u = &s->units[id];
    u->joined = false;
    if (!u->wanted) return;
    u->wanted = false;
    if (u->place != FAILED) store_let_go(s, id);
    if (u->place == READING && u->sent_span < u->n_spans) store_abandon(s, id);
}

void store_forget_wants(store *s) {
    for (size_t i = 0; i < s->n_units; i++) forget(s, (uint32_t)i);
    s->n_expected = 0;
}

void store_visit(store *s, uint32_t layer, const uint32_t *units, const uint32_t *counts, size_t n, size_t n_tokens) {
    if (!s->experts) return;
    store_judge_ahead(s, layer, units, n, n_tokens);
    for (size_t i = 0; i < n; i++) {
        ASSERT(units[i] < s->n_units && s->units[units[i]].home == HOME_CACHE);
        s->visited[i] = s->units[units[i]].cache_id;
    }
    cache_visit(s->experts, layer, s->visited, counts, n, n_tokens);
    s->crowded = false;
    s->many_rows = n_tokens >= STORE_MANY_ROWS;
    s->blind -= s->blind > 0;
}

/* ---- leases ---------------------------------------------------------------------------------------- */

static const char *span_at(const store *s, const span *p, const unit *u) {
    return s->map ? (const char *)s->map[p->part] + p->offset : u->base + p->at;
}

const void *store_pinned_at(const store *s, uint32_t id, size_t i) {
    const unit *u = &s->units[id];
    ASSERT(id < s->n_units && i < u->n_spans);
    return s->mode == STORE_STREAMING && u->home == HOME_PINNED && u->place == IN_RAM
               ? span_at(s, &s->spans[u->first_span + i], u)
               : NULL;
}

store_state store_try_lease(store *s, uint32_t id, store_lease *out, err *e) {
    ASSERT(id < s->n_units);
    unit *u = &s->units[id];
    const span *first = &s->spans[u->first_span];
    const gguf_tensor *t = gguf_tensor_at(s->g, first->tensor);
    if (s->mode == STORE_MAPPED || u->place == IN_RAM) {
        *out = (store_lease){span_at(s, first, u), (size_t)first->bytes, id, u->home == HOME_RING};
        u->leases++;
        store_hold(s, id);
        forget(s, id);
        return STORE_READY;
    }
    if (u->place == FAILED) {
        if (u->broken) store_read_error(s, u->bad_tensor, u->bad_offset, u->bad_bytes, u->bad_result, e);
        else err_set(e, ERR_MEMORY, "store", "tensor %.*s: no memory for its %llu bytes (%zu are held)",
                     (int)t->name.len, t->name.ptr, (unsigned long long)u->bytes, mem_bytes_total());
        forget(s, id);
        return STORE_FAILED;
    }
    store_want(s, &id, 1);
    return STORE_PENDING;
}

const void *store_span_at(const store *s, const store_lease *lease, size_t i) {
    const unit *u = &s->units[lease->unit];
    ASSERT(i < u->n_spans);
    return span_at(s, &s->spans[u->first_span + i], u);
}

void store_release(store *s, const store_lease *lease) {
    ASSERT(lease->unit < s->n_units && s->units[lease->unit].leases > 0);
    unit *u = &s->units[lease->unit];
    u->leases--;
    store_let_go(s, lease->unit);
    if (u->home != HOME_RING || u->holds) return;
    store_leave_home(s, lease->unit); /* the next pass reads it again */
    store_pump(s);
}

err_code store_lease_now(store *s, uint32_t id, const yield_hook *yield, store_lease *out, err *e) {
    err why = {0};
    bool forgot = false;
    store_want(s, &id, 1);
    for (;;) {
        store_state state = store_try_lease(s, id, out, &why);
        if (state == STORE_READY) return ERR_NONE;
        if (state == STORE_FAILED) break;
        uint64_t from = plat_time_ns();
        bool stuck = !store_poll(s, UINT64_MAX) && s->units[id].place == ON_DISK;
        store_count_stall(s, plat_time_ns() - from);
        if (yield_now(yield)) {
            forget(s, id);
            ERR(&why, ERR_CANCELLED, "cancelled while weights of layer %u were read", s->units[id].layer);
            break;
        }
        if (!stuck) continue;
        if (forgot) { /* no room, and no read that will end */
            ERR(&why, ERR_MEMORY, "all memory for weights is held: none for layer %u", s->units[id].layer);
            break;
        }
        store_forget_wants(s); /* of steps that ended early */
        forgot = true;
    }
    if (e) *e = why;
    return why.code;
}

err_code store_read_all(store *s, bool uncache, const yield_hook *yield, err *e) {
    for (uint32_t id = 0; s->mode == STORE_RESIDENT && id < s->n_units; id++) {
        if (s->units[id].place == IN_RAM) continue;
        store_lease lease;
        err_code code = store_lease_now(s, id, yield, &lease, e);
        if (code) return code;
        store_release(s, &lease);
        const span *p = &s->spans[s->units[id].first_span];
        for (size_t i = 0; uncache && i < s->units[id].n_spans; i++)
            if (!i || p[i].part != p[i - 1].part) plat_file_uncache(gguf_part_file(s->g, p[i].part));
    }
    return ERR_NONE;
}

const void *store_tensor_at(const store *s, uint32_t tensor) {
    ASSERT(tensor < gguf_tensor_count(s->g));
    const gguf_tensor *t = gguf_tensor_at(s->g, tensor);
    return s->map ? (const char *)s->map[t->part] + t->offset : NULL;
}

uint64_t store_mark(const store *s) { return s->map ? plat_map_mark() : 0; }

err_code store_check(const store *s, uint64_t mark, err *e) {
    uint64_t offset;
    uint32_t part = 0, tensor = 0;
    uint64_t rest = 0; /* of the tensor */
    size_t n_parts = s->map ? gguf_part_count(s->g) : 0;
    while (part < n_parts && !plat_map_failed(s->map[part], mark, &offset)) part++;
    if (part == n_parts) return ERR_NONE;
    for (uint32_t i = 0; i < gguf_tensor_count(s->g); i++) {
        const gguf_tensor *t = gguf_tensor_at(s->g, i);
        if (t->part != part || t->offset > offset || offset - t->offset >= t->bytes) continue;
        tensor = i;
        rest = t->bytes - (offset - t->offset);
    }
    char byte;
    int64_t got = plat_file_read(gguf_part_file(s->g, part), offset, &byte, 1); /* does it end there? */
    return store_read_error(s, tensor, offset, rest, got == 1 ? PLAT_IO_ERROR : got, e);
}

/* ---- gathering --------------------------------------------------------------------------------------- */

/* The first dense unit that begins with some of the tensor; looked for once while the same tensor is asked for. */
static uint32_t find_unit(store *s, uint32_t tensor) {
    if (s->gathered_tensor == tensor + 1) return s->gathered_unit;
    s->gathered_tensor = tensor + 1;
    s->gathered_unit = STORE_NOBODY;
    for (size_t i = 0; i < s->n_units && s->gathered_unit == STORE_NOBODY; i++)
        if (!s->units[i].expert && s->spans[s->units[i].first_span].tensor == tensor) s->gathered_unit = (uint32_t)i;
    return s->gathered_unit;
}

/* Bytes of a tensor that are in memory now, or NULL. Not through a mapping: a page that the system must read first
 * brings its neighbours along, and with read-ahead of megabytes those of some hundred norms are a gigabyte. */
static const char *find_bytes(store *s, uint32_t tensor, uint64_t offset, size_t bytes) {
    uint64_t from = gguf_tensor_at(s->g, tensor)->offset + offset;
    if (s->mode == STORE_MAPPED) return NULL; /* nor is anything noted here: sessions may be in several threads */
    for (size_t id = find_unit(s, tensor); id < s->n_units; id++) { /* its parts follow each other */
        const span *p = &s->spans[s->units[id].first_span];
        if (p->tensor != tensor || from < p->offset) return NULL;
        if (from >= p->offset + p->bytes) continue;
        bool whole = from + bytes <= p->offset + p->bytes && s->units[id].place == IN_RAM;
        return whole ? s->units[id].base + p->at + (from - p->offset) : NULL;
    }
    return NULL;
}

/* Through the bounce buffer, in pieces. */
static err_code gather_direct(store *s, uint32_t tensor, uint64_t from, char *to, size_t bytes, err *e) {
    uint32_t part = gguf_tensor_at(s->g, tensor)->part;
    for (size_t done = 0; done < bytes;) {
        uint64_t window = (from + done) / s->align * s->align;
        size_t skip = (size_t)(from + done - window), n = MIN(bytes - done, s->bounce_bytes - skip);
        int64_t got = plat_file_read(s->direct[part], window, s->bounce, align_up(skip + n, s->align));
        if (got < (int64_t)(skip + n))
            return store_read_error(s, tensor, from + done, n, got < 0 ? got : MAX(got - (int64_t)skip, 0), e);
        memcpy(to + done, s->bounce + skip, n);
        done += n;
    }
    return ERR_NONE;
}

err_code store_gather(store *s, uint32_t tensor, uint64_t offset, void *to, size_t bytes, err *e) {
    ASSERT(tensor < gguf_tensor_count(s->g));
    const gguf_tensor *info = gguf_tensor_at(s->g, tensor);
    if (offset > info->bytes || bytes > info->bytes - offset)
        return ERR(e, ERR_ARGUMENT, "tensor %.*s has %llu bytes: %zu at offset %llu are not in it",
                   (int)info->name.len, info->name.ptr, (unsigned long long)info->bytes, bytes,
                   (unsigned long long)offset);
    const char *at = find_bytes(s, tensor, offset, bytes);
    if (at) {
        memcpy(to, at, bytes);
        return ERR_NONE;
    }
    if (s->direct) return gather_direct(s, tensor, info->offset + offset, to, bytes, e);
    plat_file *file = gguf_part_file(s->g, info->part);
    int64_t got = plat_file_read(file, info->offset + offset, to, bytes);
    store_drop_read(s, file, info->offset + offset, bytes);
    return got == (int64_t)bytes ? ERR_NONE : store_read_error(s, tensor, info->offset + offset, bytes, got, e);
}

/* ---- what happened ----------------------------------------------------------------------------------- */

store_stats store_stats_of(const store *s) {
    store_stats t = s->stats;
    if (s->in_flight) t.busy_ns += plat_time_ns() - s->busy_from_ns;
    return t;
}
void store_count_stall(store *s, uint64_t ns) { s->stats.stall_ns += ns; }
