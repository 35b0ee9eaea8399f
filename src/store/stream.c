/* stream.c: STREAMING: which unit lies where within the bytes allowed.
 *
 * Filled in this order: dense units, all pinned where they fit; a cache of experts with the rest. Where the dense units
 * do not fit either, as many as can stay pinned, and the others, evenly spread over the layers, pass through a ring of
 * slots: every pass reads each of them once, which is the least there is, since a pass needs all of them in the same
 * order. A slot is free as soon as its unit was used.
 */
#include "store/store_int.h"

/* Slots of the ring: a sixteenth of the units that share it, since each takes the place of one that could be pinned; at
 * least so many, and beyond that no more bytes than let a disk run ahead. */
#define RING_SHARE 16
#define RING_SLOTS_MIN 8
#define RING_BYTES ((size_t)32 << 20)
#define RING_LEAST 2 /* where nothing else does */
#define BOUNCE_BYTES ((size_t)64 << 10)
#define PROBE_FROM_BYTES ((uint64_t)256 << 20) /* smaller files are read before a probe is done */

/* ---- layout of a unit ------------------------------------------------------------------------------- */

/* Parts follow each other, each at its offset in the file modulo the alignment, so that direct reads land in place. */
void store_lay_out(store *s) {
    for (size_t i = 0; i < s->n_units; i++) {
        unit *u = &s->units[i];
        size_t at = 0;
        for (size_t k = 0; k < u->n_spans; k++) {
            span *p = &s->spans[u->first_span + k];
            size_t skip = (size_t)(p->offset % s->align);
            p->at = at + skip;
            at = align_up(p->at + (size_t)p->bytes, MAX(s->align, 64));
        }
        u->bytes = s->align > 1 || u->n_spans > 1 ? at : (size_t)s->spans[u->first_span].bytes;
    }
}

/* ---- homes -------------------------------------------------------------------------------------------- */

/* At most half of the slots are being read: disks may tell of their reads only when the last one is over, and then
 * those for the other half are sent before anything is computed. */
static bool take_ring(store *s, uint32_t id) {
    size_t reading = 0;
    for (size_t i = 0; i < s->n_ring; i++)
        reading += s->ring[i] != STORE_NOBODY && s->units[s->ring[i]].place == READING;
    if (reading >= div_up(s->n_ring, 2)) return false;
    for (size_t i = 0; i < s->n_ring; i++) {
        if (s->ring[i] != STORE_NOBODY) continue;
        s->ring[i] = id;
        s->units[id].slot = (uint32_t)i;
        s->units[id].base = s->ring_memory + i * s->ring_slot_bytes;
        return true;
    }
    return false;
}

static bool take_cached(store *s, uint32_t id, bool spare) {
    uint32_t evicted, slot = cache_place(s->experts, s->units[id].cache_id, spare, &evicted);
    if (slot == CACHE_NONE) return false;
    if (evicted != CACHE_NONE) {
        unit *loser = &s->units[s->unit_of[evicted]];
        loser->place = ON_DISK;
        loser->base = NULL;
    }
    s->units[id].slot = slot;
    s->units[id].base = s->cache_memory + cache_slot_offset(s->experts, slot);
    return true;
}

bool store_take_home(store *s, uint32_t id) {
    unit *u = &s->units[id];
    switch ((store_home)u->home) {
    case HOME_BLOCK: return (u->base = mem_block(MEM_WEIGHTS, u->bytes)) != NULL;
    case HOME_PINNED: return true;
    case HOME_RING: return take_ring(s, id);
    case HOME_CACHE: return take_cached(s, id, false);
    }
    return false;
}

static uint32_t dense_after(const store *s, uint32_t id) { return id + 1 < s->n_dense ? id + 1 : 0; }

/* Dense units in their order, again and again: pinned ones once, the others as the ring has room. */
bool store_read_on(store *s) {
    if (!s->n_unread && s->n_pinned == s->n_dense) return false;
    for (size_t looked = 0; looked < s->n_dense; looked++) {
        uint32_t id = s->next_dense;
        unit *u = &s->units[id];
        if (u->place == ON_DISK) {
            if (!store_take_home(s, id)) return false;
            if (store_start(s, id, LINE_WANTED)) return true;
            u->place = IN_RAM; /* it has no bytes */
        }
        s->next_dense = dense_after(s, id);
    }
    return false;
}

/* A pass takes the ring's units in the order in which they are read. So where it asks for one that is neither there nor
 * being read, what nobody uses or wants was read for a pass that ended early, or comes later: it gives way. */
void store_seek(store *s, uint32_t id) {
    s->units[id].place = ON_DISK;
    s->next_dense = id;
    for (size_t i = 0; i < s->n_ring; i++) {
        unit *u = s->ring[i] == STORE_NOBODY ? NULL : &s->units[s->ring[i]];
        if (!u || u->leases || u->wanted) continue;
        if (u->place == READING) store_abandon(s, s->ring[i]);
        else store_leave_home(s, s->ring[i]);
    }
}

bool store_take_spare(store *s, uint32_t id) { return take_cached(s, id, true); }

void store_leave_home(store *s, uint32_t id) {
    unit *u = &s->units[id];
    ASSERT(u->holds == 0);
    u->place = ON_DISK;
    switch ((store_home)u->home) {
    case HOME_BLOCK: mem_block_free(u->base); break;
    case HOME_PINNED: return;
    case HOME_RING: s->ring[u->slot] = STORE_NOBODY; break;
    case HOME_CACHE: cache_drop(s->experts, u->cache_id); break;
    }
    u->base = NULL;
}

void store_hold(store *s, uint32_t id) {
    unit *u = &s->units[id];
    u->holds++;
    if (u->home == HOME_CACHE) cache_hold(s->experts, u->slot);
}

void store_let_go(store *s, uint32_t id) {
    unit *u = &s->units[id];
    ASSERT(u->holds > 0);
    u->holds--;
    if (u->home == HOME_CACHE) cache_let_go(s->experts, u->slot);
}

/* ---- planning ------------------------------------------------------------------------------------------ */

typedef struct plan {
    size_t n_dense, n_experts;
    size_t n_ring, n_ringed;           /* slots, and the units that share them */
    size_t pinned_bytes, ring_slot_bytes;
    size_t n_last;                     /* units of the last layer: the output matrix, which not every step uses */
    size_t fixed_bytes;                /* all but the experts' */
    size_t least_bytes;                /* what would do; 0: it fits */
    cache_need need;
} plan;

/* Of the dense units in order, so many pass through the ring, evenly spread. Those of the last layer only when all
 * others do. */
static bool is_ringed(const plan *p, size_t i) {
    size_t n = p->n_dense - p->n_last;
    if (i >= n) return p->n_ringed > n && i < p->n_ringed;
    return p->n_ringed >= n || (i + 1) * p->n_ringed / n > i * p->n_ringed / n;
}

static void measure(const store *s, plan *p) {
    p->pinned_bytes = p->ring_slot_bytes = 0;
    for (size_t i = 0; i < p->n_dense; i++) {
        size_t bytes = align_up(s->units[i].bytes, 4096);
        if (is_ringed(p, i)) p->ring_slot_bytes = MAX(p->ring_slot_bytes, bytes);
        else p->pinned_bytes += bytes;
    }
}

static void count_units(const store *s, plan *p) {
    while (p->n_dense < s->n_units && !s->units[p->n_dense].expert) p->n_dense++;
    p->n_experts = s->n_units - p->n_dense;
}

/* What a cache is told of the experts. Its arrays are one block, which the caller frees; NULL: refused. */
static void *describe_experts(const store *s, const plan *p, cache_opts *o) {
    size_t n = p->n_experts, pairs = align_up(n, 2);
    uint32_t *layer_of = mem_block(MEM_ENGINE, pairs * (sizeof(uint32_t) + sizeof(size_t)));
    if (!layer_of) return NULL;
    size_t *bytes_of = (size_t *)(void *)(layer_of + pairs);
    for (size_t i = 0; i < n; i++) {
        const unit *u = &s->units[p->n_dense + i];
        layer_of[i] = u->layer;
        bytes_of[i] = u->bytes;
    }
    *o = (cache_opts){.n_units = n, .n_layers = s->n_layers, .layer_of = layer_of, .bytes_of = bytes_of, .align = 4096,
                      .slots_min = s->n_used};
    return layer_of;
}

static size_t ring_slots(const plan *p) {
    size_t n = MIN(p->n_ringed / RING_SHARE, RING_BYTES / MAX(p->ring_slot_bytes, (size_t)1));
    return p->n_ringed ? MIN(MAX(n, (size_t)RING_SLOTS_MIN), (size_t)STORE_RING_MAX) : 0;
}

/* The first plan that fits beside the experts' least, from all dense units pinned to none. So within fewer bytes none
 * takes more than this one: a plan before it did not fit, and one after it is chosen where this does not fit. 0, or
 * where none does the bytes that would do. */
static size_t find_plan(const store *s, plan *p, size_t bytes_max) {
    size_t least = SIZE_MAX, for_experts = p->need.table_bytes + p->need.slot_bytes;
    for (size_t i = p->n_dense; i > 0 && s->units[i - 1].layer == s->units[p->n_dense - 1].layer; i--) p->n_last++;
    for (p->n_ringed = 0; p->n_ringed <= p->n_dense; p->n_ringed++) {
        bool last = p->n_ringed == p->n_dense; /* only then fewer slots than let reads run ahead */
        measure(s, p);
        for (p->n_ring = ring_slots(p);; p->n_ring--) {
            bool gains = !p->n_ringed || p->n_ringed > p->n_ring; /* over pinning them */
            p->fixed_bytes = p->pinned_bytes + p->n_ring * p->ring_slot_bytes + BOUNCE_BYTES;
            if (gains) least = MIN(least, p->fixed_bytes + for_experts);
            if (least <= bytes_max) return 0;
            if (!last || p->n_ring <= RING_LEAST) break;
        }
    }
    return least;
}

/* A plan, and a cache for it. */
static err_code choose(store *s, plan *p, size_t bytes_max, err *e) {
    cache_opts o;
    void *arrays = NULL;
    count_units(s, p);
    if (p->n_experts && !(arrays = describe_experts(s, p, &o)))
        return ERR(e, ERR_MEMORY, "no memory to plan for %zu experts", p->n_experts);
    err_code code = arrays ? cache_needs(&o, &p->need, e) : ERR_NONE;
    if (!code && (p->least_bytes = find_plan(s, p, bytes_max)))
        code = ERR(e, ERR_MEMORY, "%zu MiB for weights are too little: %zu MiB would do", bytes_max >> 20,
                   (p->least_bytes + ((size_t)1 << 20) - 1) >> 20);
    if (!code && arrays) {
        o.bytes_max = bytes_max - p->fixed_bytes - p->need.table_bytes;
        code = cache_open(&s->experts, &o, e);
    }
    mem_block_free(arrays);
    return code;
}

/* ---- making memory real ---------------------------------------------------------------------------------- */

#define TOUCH_BYTES ((size_t)8 << 20)

/* Fresh memory costs a page fault, which direct reads would take one by one where they are submitted. */
static void touch(void *arg) {
    store *s = arg;
    size_t all = (size_t)(s->bounce - s->memory), at;
    while ((at = atomic_fetch_add_explicit(&s->touched, TOUCH_BYTES, memory_order_relaxed)) < all)
        plat_populate(s->memory + at, MIN(TOUCH_BYTES, all - at) / plat_page_bytes() * plat_page_bytes());
}

/* Where no thread starts it is done by the reads. */
static void start_touching(store *s) {
    plat_spread(s->memory, (size_t)(s->bounce - s->memory));
    size_t n = MIN((size_t)plat_core_count(), STORE_TOUCHERS);
    atomic_store(&s->touched, 0);
    while (s->n_touchers < n && !plat_thread_start(&s->touchers[s->n_touchers], touch, s, -1)) s->n_touchers++;
}

void store_await_memory(store *s) {
    while (s->n_touchers) plat_thread_join(s->touchers[--s->n_touchers]);
}

static void stop_touching(store *s) {
    atomic_store(&s->touched, SIZE_MAX / 2);
    store_await_memory(s);
}

/* ---- beginning and end ---------------------------------------------------------------------------------- */

static void close_direct(store *s) {
    for (size_t i = 0; s->direct && i < gguf_part_count(s->g); i++) plat_file_close(s->direct[i]);
    mem_block_free(s->direct);
    s->direct = NULL;
    s->align = 1;
}

/* All parts or none: then reads go through the page cache, of the files whose header was read. */
static void open_direct(store *s) {
    size_t n = gguf_part_count(s->g);
    s->direct = mem_block(MEM_ENGINE, n * sizeof *s->direct);
    for (size_t i = 0; s->direct && i < n; i++) {
        int error = plat_file_open_direct(&s->direct[i], gguf_part_path(s->g, i));
        if (!error) s->align = MAX(s->align, plat_file_align(s->direct[i]));
        if (error || !plat_file_same(s->direct[i], gguf_part_file(s->g, i))) close_direct(s);
    }
}

/* The ring lies in the middle of what is pinned: the ends of the block are the system's small pages, of which a disk's
 * queue may hold no more than one read at a time. */
static void settle_homes(store *s, const plan *p) {
    uint32_t cached = 0;
    size_t pinned = 0, ring_bytes = p->n_ring * p->ring_slot_bytes;
    s->ring_memory = NULL;
    for (size_t i = 0; i < s->n_units; i++) {
        unit *u = &s->units[i];
        if (u->expert) {
            u->home = HOME_CACHE;
            u->cache_id = cached;
            s->unit_of[cached++] = (uint32_t)i;
        } else if (is_ringed(p, i)) {
            u->home = HOME_RING;
        } else {
            if (!s->ring_memory && pinned >= p->pinned_bytes / 2) s->ring_memory = s->memory + pinned;
            u->home = HOME_PINNED;
            u->base = s->memory + pinned + (s->ring_memory ? ring_bytes : 0);
            pinned += align_up(u->bytes, 4096);
        }
    }
    for (size_t i = 0; i < STORE_RING_MAX; i++) s->ring[i] = STORE_NOBODY;
    s->n_ring = p->n_ring;
    s->n_dense = p->n_dense;
    s->n_pinned = s->n_unread = p->n_dense - p->n_ringed;
    s->next_dense = 0;
    s->ring_slot_bytes = p->ring_slot_bytes;
    s->need = p->need;
    if (!s->ring_memory) s->ring_memory = s->memory + pinned;
    s->cache_memory = s->memory + pinned + ring_bytes;
    s->bounce = s->cache_memory + (s->experts ? cache_bytes(s->experts) : 0);
    s->bounce_bytes = BOUNCE_BYTES;
    ASSERT(s->bounce + s->bounce_bytes <= s->memory + s->memory_bytes);
}

err_code store_stream(store *s, size_t bytes_max, err *e) {
    plan p = {0};
    size_t taken = 0;
    uint64_t file_bytes = gguf_total_bytes(s->g);
    ASSERT(s->mode != STORE_STREAMING);
    open_direct(s);
    store_lay_out(s);
    err_code code = choose(s, &p, bytes_max, e);
    if (!code) {
        taken = p.fixed_bytes + (s->experts ? cache_bytes(s->experts) : 0);
        s->unit_of = mem_block(MEM_ENGINE, 3 * MAX(p.n_experts, 1) * sizeof *s->unit_of);
        s->memory = mem_block(MEM_WEIGHTS, taken);
        if (!s->unit_of || !s->memory)
            code = ERR(e, ERR_MEMORY, "the system refuses %zu bytes for weights", taken);
        else code = store_begin_reads(s, e);
    }
    if (code) {
        store_close_stream(s);
        store_lay_out(s);
        return code;
    }
    s->visited = s->unit_of + MAX(p.n_experts, 1);
    s->expected = s->visited + MAX(p.n_experts, 1);
    s->memory_bytes = taken;
    settle_homes(s, &p);
    s->mode = STORE_STREAMING;
    s->stream_bytes = s->planned_bytes = bytes_max;
    start_touching(s);
    if (s->direct && file_bytes >= PROBE_FROM_BYTES && !s->disk_known) store_probe(s, s->memory, taken);
    return ERR_NONE;
}

/* ---- memory comes and goes ---------------------------------------------------------------------------------- */

/* The whole pages of these bytes go, and come again when touched. */
static void give_back(char *at, size_t bytes) {
    size_t page = plat_page_bytes(), skip = (page - (size_t)((uintptr_t)at % page)) % page;
    if (bytes < skip + page) return;
    plat_discard(at + skip, (bytes - skip) / page * page);
}

/* All but the experts' slots, and with the fewest of them. */
static size_t fixed_bytes(const store *s) {
    return (size_t)(s->cache_memory - s->memory) + s->bounce_bytes + s->need.table_bytes;
}
static size_t least_bytes(const store *s) { return fixed_bytes(s) + s->need.slot_bytes; }

/* Experts alone give memory back, or take it again. */
static void limit_cache(store *s, size_t bytes_max) {
    size_t n = cache_limit(s->experts, bytes_max - MIN(fixed_bytes(s), bytes_max), s->visited);
    for (size_t i = 0; i < n; i++) {
        unit *u = &s->units[s->unit_of[s->visited[i]]];
        u->place = ON_DISK;
        u->base = NULL;
    }
    for (uint32_t slot = 0; slot < cache_slots(s->experts); slot++)
        if (cache_slot_left(s->experts, slot))
            give_back(s->cache_memory + cache_slot_offset(s->experts, slot), cache_slot_bytes(s->experts, slot));
}

/* Nothing is wanted, read or leased any more; false where leases are out. */
static bool come_to_rest(store *s) {
    store_forget_wants(s);
    for (int which = LINE_WANTED; which <= LINE_AHEAD; which++)
        while (s->lines[which].first != STORE_NOBODY) store_abandon(s, s->lines[which].first);
    while (s->in_flight) store_reap(s, UINT64_MAX);
    for (size_t i = 0; i < s->n_units; i++)
        if (s->units[i].holds) return false;
    return true;
}

static bool keep_usage(store *s, const cache *from) {
    store_usage u;
    store_usage_size(s, &u);
    if (!from) return true;
    if (!(u.tokens = mem_block(MEM_ENGINE, (u.n_layers + u.n_experts) * sizeof(float)))) return false;
    u.uses = u.tokens + u.n_layers;
    cache_export(from, u.tokens, u.uses);
    store_usage_set(s, &u);
    mem_block_free(u.tokens);
    return true;
}

/* Plans anew within the memory that there is: so dense weights give memory back, too, and take it again. All is read
 * again then. The old plan stays where there is none for so little, or no memory to make it in. */
static void plan_anew(store *s, size_t bytes_max) {
    plan p = {0};
    cache *before = s->experts;
    s->experts = NULL;
    if (choose(s, &p, bytes_max, NULL) || !keep_usage(s, before)) {
        cache_close(s->experts);
        s->experts = before;
        return;
    }
    cache_close(before);
    for (size_t i = 0; i < s->n_units; i++) {
        s->units[i].place = ON_DISK;
        s->units[i].base = NULL;
    }
    settle_homes(s, &p);
    s->planned_bytes = bytes_max;
    give_back(s->memory, s->memory_bytes);
}

bool store_resize(store *s, size_t bytes_max) {
    if (s->mode != STORE_STREAMING) return true;
    stop_touching(s);
    if (!come_to_rest(s)) return false;
    bytes_max = MIN(bytes_max, s->stream_bytes);
    bool grows = bytes_max > s->planned_bytes + s->planned_bytes / 16 ||
                 (bytes_max == s->stream_bytes && s->planned_bytes < bytes_max);
    if (bytes_max < least_bytes(s) || grows) plan_anew(s, bytes_max);
    if (s->experts) limit_cache(s, bytes_max);
    return bytes_max >= least_bytes(s);
}

uint64_t store_unfilled_bytes(const store *s) {
    uint64_t bytes = s->experts ? cache_free_bytes(s->experts) : 0;
    for (size_t i = 0; i < s->n_dense; i++)
        if (s->units[i].home == HOME_PINNED && s->units[i].place != IN_RAM) bytes += s->units[i].bytes;
    return bytes;
}

void store_usage_size(const store *s, store_usage *out) {
    *out = (store_usage){0};
    if (s->experts) *out = (store_usage){.n_layers = s->n_layers, .n_experts = s->n_units - s->n_dense};
}

void store_usage_get(const store *s, const store_usage *u) { cache_export(s->experts, u->tokens, u->uses); }
void store_usage_set(store *s, const store_usage *u) { cache_import(s->experts, u->tokens, u->uses); }

/* ---- asking beforehand ------------------------------------------------------------------------------------- */

static void count_bytes(const store *s, const plan *p, store_plan *out) {
    size_t layers = 0;
    uint32_t last = STORE_NOBODY;
    for (size_t i = 0; i < s->n_units; i++) {
        const unit *u = &s->units[i];
        uint64_t bytes = 0;
        for (size_t k = 0; k < u->n_spans; k++) bytes += s->spans[u->first_span + k].bytes;
        if (!u->expert) {
            if (is_ringed(p, i)) out->scan_bytes += bytes;
            continue;
        }
        layers += u->layer != last; /* experts come layer by layer */
        last = u->layer;
        out->pool_bytes += bytes;
    }
    if (p->n_experts) out->routed_bytes = out->pool_bytes / p->n_experts * s->n_used * layers;
}

err_code store_plan_within(store *s, size_t bytes_max, store_plan *out, err *e) {
    uint64_t whole = store_unread_bytes(s);
    *out = (store_plan){.fits = whole <= bytes_max};
    ASSERT(s->mode != STORE_STREAMING);
    plan p = {0};
    err_code code = ERR_NONE;
    s->align = 4096;
    store_lay_out(s);
    if (!out->fits) {
        code = choose(s, &p, bytes_max, e);
    } else {
        count_units(s, &p);
        measure(s, &p);
    }
    if (!code) {
        count_bytes(s, &p, out);
        out->n_dense = p.n_dense;
        out->n_pinned = p.n_dense - p.n_ringed;
        out->n_experts = p.n_experts;
        out->n_slots = out->fits ? p.n_experts : s->experts ? cache_slots(s->experts) : 0;
        out->pinned_bytes = p.pinned_bytes;
        out->ring_bytes = p.n_ring * p.ring_slot_bytes;
        out->slot_bytes = out->fits ? out->pool_bytes : s->experts ? cache_bytes(s->experts) : 0;
    }
    out->least_bytes = MIN(p.least_bytes, whole);
    cache_close(s->experts);
    s->experts = NULL;
    s->align = 1;
    store_lay_out(s);
    return code;
}

void store_know_disk(store *s, double bytes_s, size_t depth) {
    ASSERT(bytes_s > 0 && depth > 0 && depth <= STORE_DEPTH_MAX);
    s->stats.disk_bytes_s = bytes_s;
    s->depth = depth;
    s->disk_known = true;
}

store_disk store_disk_of(const store *s) { return (store_disk){s->stats.disk_bytes_s, s->depth, s->disk_known}; }

err_code store_measure_disk(store *s, double *bytes_s, size_t *depth, err *e) {
    ASSERT(s->mode == STORE_MAPPED);
    *bytes_s = 0;
    *depth = s->depth;
    err_code code = store_open_queue(s, e);
    if (code) return code;
    uint64_t most = plat_mem_available() / 4, all = STORE_PROBE_BYTES + MEM_LARGE_PAGE; /* a group may have little */
    size_t bytes = (size_t)MIN(all, most);
    char *to = mem_block(MEM_WEIGHTS, bytes);
    if (!to) return ERR(e, ERR_MEMORY, "no memory to probe the disk");
    open_direct(s);
    if (s->direct) store_probe(s, to, bytes);
    close_direct(s);
    mem_block_free(to);
    *bytes_s = s->stats.disk_bytes_s;
    *depth = s->depth;
    return ERR_NONE;
}

void store_close_stream(store *s) {
    stop_touching(s);
    cache_close(s->experts);
    mem_block_free(s->memory);
    mem_block_free(s->unit_of);
    close_direct(s);
    s->experts = NULL;
    s->memory = NULL;
    s->unit_of = NULL;
}

/* ---- saying so -------------------------------------------------------------------------------------------- */

size_t store_describe(const store *s, char *buf, size_t cap) {
    char all[32], held[32];
    fmt_bytes(all, sizeof all, store_units_bytes(s));
    if (s->mode == STORE_MAPPED) return fmt(buf, cap, "mapped: the system pages %s of weights", all);
    if (s->mode == STORE_RESIDENT) return fmt(buf, cap, "resident: %s of weights are read into memory as needed", all);
    size_t memory = (size_t)(s->bounce - s->memory), n = 0;
    n += fmt(buf + n, cap - n, "streaming: %s of %s of weights in memory", fmt_bytes(held, sizeof held, memory), all);
    if (s->n_pinned == s->n_dense) n += fmt(buf + n, cap - n, ", dense pinned");
    else n += fmt(buf + n, cap - n, ", %zu of %zu dense parts pinned", s->n_pinned, s->n_dense);
    if (s->experts)
        n += fmt(buf + n, cap - n, ", %zu of %zu experts", cache_slots(s->experts), s->n_units - s->n_dense);
    n += fmt(buf + n, cap - n, "; %s reads by %s", s->direct ? "direct" : "buffered", plat_queue_kind(s->queue));
    if (s->stats.disk_bytes_s > 0)
        n += fmt(buf + n, cap - n, ", %zu at a time, %.2f GB/s%s", s->depth, s->stats.disk_bytes_s / 1e9,
                 s->disk_known ? " as measured before" : "");
    return n;
}
