/* test_store_storm.c: the store alone, asked for anything on a machine that fails: units of any shape, in memory from
 * just enough to plenty, which comes and goes. After each operation its books are right, nobody lies in another's
 * memory, and what is there has the file's bytes. LEAT_STORM_SEEDS says how many seeds (`make soak`: 20000),
 * LEAT_STORM_FROM the first one.
 */
#include "fault/scenario.h"
#include "plat/posix/posix.h"
#include "store/store_int.h"
#include "unit/store_file.h"

enum { SEEDS = 100, OPERATIONS = 250, LEASES_MAX = 12, WAITS_MAX = 20000 };
enum { LAYERS_MAX = 6, DENSE_MAX = 4, EACH_MAX = 6, UNITS_MAX = LAYERS_MAX * (DENSE_MAX + EACH_MAX), PARTS_MAX = 3 };

static uint64_t seed, operation;
static rng asks, looks; /* what is asked for; which bytes are looked at, so that the same is asked for every time */
static store *s;
static size_t given; /* STREAMING: bytes */

#define RIGHT(cond)                                                                                  \
    CHECK_MSG(cond, "seed %llu, operation %llu: %s", (unsigned long long)seed, (unsigned long long)operation, #cond)

static uint64_t below(uint64_t n) { return n ? rng_u64(&asks) % n : 0; }

/* ---- units of a shape that the seed draws ---------------------------------------------------------------------- */

typedef struct drawn {
    store_span spans[PARTS_MAX];
    size_t n_spans;
    uint32_t layer;
    bool expert;
} drawn;
static drawn units[UNITS_MAX];
static size_t n_units, n_dense, n_layers, n_each, n_used;

static uint64_t tensor_bytes(size_t tensor) { return store_file_rows[tensor] * 128; }

static store_span draw_span(uint64_t bytes_max) {
    uint32_t tensor = below(3) ? 3 : (uint32_t)below(STORE_FILE_TENSORS);
    uint64_t all = tensor_bytes(tensor), bytes = 1 + below(MIN(all, bytes_max));
    uint64_t at = below(8) ? below(all - bytes + 1) : all - bytes; /* up to its end */
    return (store_span){.tensor = tensor, .offset = at, .bytes = bytes};
}

static void draw_units(void) {
    n_units = 0;
    n_layers = 1 + below(LAYERS_MAX);
    n_each = below(4) ? 1 + below(EACH_MAX) : 0;
    n_used = n_each ? 1 + below(n_each) : 0;
    size_t dense_each = 1 + below(DENSE_MAX), dense_bytes = below(2) ? 60000 : 9000;
    size_t expert_bytes = below(2) ? 30000 : 5000, bytes = 1 + below(expert_bytes);
    bool empty_parts = !below(4), one_size = below(2);
    for (size_t i = 0; i < n_layers * dense_each; i++) {
        drawn *u = &units[n_units++];
        *u = (drawn){.n_spans = 1 + below(PARTS_MAX), .layer = (uint32_t)(i / dense_each)};
        for (size_t k = 0; k < u->n_spans; k++) {
            u->spans[k] = draw_span(dense_bytes);
            if (empty_parts && !below(4)) u->spans[k].bytes = 0;
        }
    }
    n_dense = n_units;
    for (size_t i = 0; i < n_layers * n_each; i++) {
        drawn *u = &units[n_units++];
        *u = (drawn){.n_spans = PARTS_MAX, .layer = (uint32_t)(i / n_each), .expert = true};
        for (size_t k = 0; k < PARTS_MAX; k++) {
            u->spans[k] = draw_span(expert_bytes);
            if (empty_parts && k && !below(4)) u->spans[k].bytes = 0;
            if (one_size) u->spans[k] = (store_span){3, below(tensor_bytes(3) - bytes), bytes};
        }
    }
}

static void describe(const void *user, size_t i, store_unit *out) {
    const drawn *u = &units[i];
    (void)user;
    *out = (store_unit){.spans = u->spans, .n_spans = u->n_spans, .layer = u->layer, .expert = u->expert};
}

/* ---- what must be so -------------------------------------------------------------------------------------------- */

static store_lease leases[LEASES_MAX];
static size_t n_leases;

static bool same_bytes(const void *at, const store_span *part) {
    return !part->bytes || store_file_same(at, part->tensor, part->offset, part->bytes);
}

static bool is_here(const unit *u) { return u->place == READING || u->place == IN_RAM; }

/* Those that stand in either line, each once. */
static void check_lines(bool *in_line) {
    for (int which = LINE_WANTED; which <= LINE_AHEAD; which++) {
        uint32_t last = STORE_NOBODY;
        for (uint32_t at = s->lines[which].first; at != STORE_NOBODY; last = at, at = s->units[at].next) {
            RIGHT(at < n_units && !in_line[at]);
            in_line[at] = true;
        }
        RIGHT(last == STORE_NOBODY || s->lines[which].last == last);
    }
}

static void check_states(const unit *u, bool in_line, size_t n_leased) {
    bool read = u->place == READING;
    RIGHT(u->leases == n_leased && (!n_leased || u->place == IN_RAM));
    RIGHT(u->holds == u->leases + (u->wanted && u->place != FAILED) + read);
    RIGHT(read ? in_line || u->in_flight : !in_line && !u->in_flight);
    RIGHT(!in_line || (!u->broken && u->sent_span < u->n_spans));
    RIGHT(!u->joined || u->wanted);
    RIGHT(!u->wanted || u->place != ON_DISK);
    RIGHT(!read || !u->abandoned || (u->broken && !u->wanted));
}

static void check_home(uint32_t id) {
    const unit *u = &s->units[id];
    bool here = is_here(u), in_ring = false;
    RIGHT(!here || u->base);
    for (size_t i = 0; i < s->n_ring; i++) in_ring |= s->ring[i] == id;
    RIGHT(in_ring == (here && u->home == HOME_RING));
    if (in_ring) RIGHT(u->base == s->ring_memory + u->slot * s->ring_slot_bytes && u->bytes <= s->ring_slot_bytes);
    if (u->home != HOME_CACHE) return;
    uint32_t slot = cache_find(s->experts, u->cache_id);
    RIGHT((slot != CACHE_NONE) == here);
    if (here) RIGHT(slot == u->slot && u->base == s->cache_memory + cache_slot_offset(s->experts, slot));
    if (here) RIGHT(u->bytes <= cache_slot_bytes(s->experts, slot));
}

static void check_block(void) {
    const char *end = s->memory + s->memory_bytes;
    RIGHT(s->ring_memory >= s->memory && s->ring_memory + s->n_ring * s->ring_slot_bytes <= s->cache_memory);
    RIGHT(s->cache_memory + (s->experts ? cache_bytes(s->experts) : 0) <= s->bounce);
    RIGHT(s->bounce + s->bounce_bytes <= end);
    size_t reading = 0;
    for (size_t i = 0; i < s->n_ring; i++)
        reading += s->ring[i] != STORE_NOBODY && s->units[s->ring[i]].place == READING;
    RIGHT(reading <= div_up(s->n_ring, 2)); /* what lands can be followed at once */
    for (uint32_t a = 0; a < n_units; a++) {
        const unit *u = &s->units[a];
        if (!u->bytes || !(is_here(u) || u->home == HOME_PINNED)) continue;
        RIGHT(u->base >= s->memory && u->base + u->bytes <= s->bounce);
        for (uint32_t b = 0; b < a; b++) {
            const unit *v = &s->units[b];
            if (!is_here(v) && v->home != HOME_PINNED) continue;
            RIGHT(u->base + u->bytes <= v->base || v->base + v->bytes <= u->base);
        }
    }
}

static void check_all(void) {
    bool in_line[UNITS_MAX] = {false};
    size_t n_leased[UNITS_MAX] = {0}, in_flight = 0;
    for (size_t i = 0; i < n_leases; i++) n_leased[leases[i].unit]++;
    if (s->mode == STORE_MAPPED) {
        for (uint32_t id = 0; id < n_units; id++) RIGHT(s->units[id].leases == n_leased[id] && !s->units[id].in_flight);
        return;
    }
    check_lines(in_line);
    for (uint32_t id = 0; id < n_units; id++) {
        const unit *u = &s->units[id];
        in_flight += u->in_flight;
        check_states(u, in_line[id], n_leased[id]);
        check_home(id);
        for (size_t k = 0; u->place == IN_RAM && k < u->n_spans && rng_u64(&looks) % 16 == 0; k++)
            RIGHT(same_bytes(u->base + s->spans[u->first_span + k].at, &units[id].spans[k]));
    }
    RIGHT(in_flight == s->in_flight && in_flight <= STORE_DEPTH_MAX && !s->in_flight == !s->in_flight_bytes);
    if (s->mode == STORE_STREAMING && rng_u64(&looks) % 4 == 0) check_block();
}

/* Of all memory: without the slots that were given back. */
static size_t taken(void) {
    size_t bytes = (size_t)(s->cache_memory - s->memory) + s->bounce_bytes;
    if (!s->experts) return bytes;
    for (uint32_t slot = 0; slot < cache_slots(s->experts); slot++)
        bytes += cache_slot_left(s->experts, slot) ? 0 : cache_slot_bytes(s->experts, slot);
    return bytes + s->need.table_bytes;
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

typedef struct waits {
    size_t n, stop_at;
} waits;

static uint64_t n_taken, n_told, n_cancelled, n_resized; /* of all seeds */

static bool wait_on(void *user) {
    waits *w = user;
    RIGHT(++w->n < WAITS_MAX);
    return w->n == w->stop_at;
}

static uint32_t any_unit(void) { return (uint32_t)below(n_units); }

static void check_error(const err *e) {
    if (e->code == ERR_IO) RIGHT(strstr(e->text, ".gguf") && strstr(e->text, "tensor blk."));
    else RIGHT(e->code == ERR_MEMORY && (n_leases || s->mode == STORE_RESIDENT));
    n_told++;
}

static void take(const store_lease *lease) {
    const drawn *u = &units[lease->unit];
    RIGHT(lease->bytes == u->spans[0].bytes);
    for (size_t k = 0; k < u->n_spans; k++) RIGHT(same_bytes(store_span_at(s, lease, k), &u->spans[k]));
    leases[n_leases++] = *lease;
    n_taken++;
}

static void release(size_t i) {
    const drawn *u = &units[leases[i].unit];
    RIGHT(same_bytes(store_span_at(s, &leases[i], u->n_spans - 1), &u->spans[u->n_spans - 1]));
    store_release(s, &leases[i]);
    leases[i] = leases[--n_leases];
}

static void want_some(void) {
    uint32_t some[LEASES_MAX];
    size_t n = 1 + below(LEASES_MAX);
    for (size_t i = 0; i < n; i++) some[i] = any_unit();
    store_want(s, some, n);
}

static void try_one(void) {
    store_lease lease;
    err e = {0};
    if (n_leases == LEASES_MAX) return;
    store_state state = store_try_lease(s, any_unit(), &lease, &e);
    if (state == STORE_READY) take(&lease);
    else if (state == STORE_FAILED) check_error(&e);
}

static void wait_for_one(void) {
    waits w = {.stop_at = below(3) ? 0 : 1 + below(4)};
    store_lease lease;
    err e = {0};
    if (n_leases == LEASES_MAX) return;
    err_code code = store_lease_now(s, any_unit(), &(yield_hook){wait_on, &w}, &lease, &e);
    RIGHT(code == e.code);
    if (!code) take(&lease);
    else if (code != ERR_CANCELLED) check_error(&e);
    else RIGHT(w.n == w.stop_at);
    n_cancelled += code == ERR_CANCELLED;
}

static void release_one(void) {
    if (n_leases) release(below(n_leases));
}

static void forget(void) { store_forget_wants(s); }

static uint32_t layer; /* visited last */

/* Half of a layer's experts. */
static size_t draw_experts(size_t of_layer, uint32_t *out) {
    size_t n = 0;
    for (size_t k = 0; k < n_each; k++)
        if (below(2)) out[n++] = (uint32_t)(n_dense + of_layer * n_each + k);
    return n;
}

static void visit(void) {
    uint32_t some[EACH_MAX], counts[EACH_MAX] = {1, 1, 1, 1, 1, 1};
    layer = (uint32_t)(below(4) ? (layer + 1) % n_layers : below(n_layers));
    size_t n = draw_experts(layer, some);
    store_visit(s, layer, some, counts, n, below(3) ? 1 : 1 + below(2 * STORE_MANY_ROWS));
    if (below(2)) store_want(s, some, n);
}

static void expect(void) {
    uint32_t some[EACH_MAX];
    size_t n = draw_experts((layer + 1) % n_layers, some);
    store_expect(s, some, n, !below(3));
}

static void poll(void) { store_poll(s, below(2) ? 0 : 100000); }

/* Between steps. */
static void resize(void) {
    while (n_leases) release(0);
    size_t bytes = below(4) ? below(given + given / 8) : given;
    bool enough = store_resize(s, bytes);
    if (s->mode == STORE_STREAMING) RIGHT(!enough || taken() <= bytes);
    n_resized += s->mode == STORE_STREAMING;
}

static void gather(void) {
    static uint8_t to[200000];
    store_span part = draw_span(sizeof to);
    err e = {0};
    if (store_gather(s, part.tensor, part.offset, to, part.bytes, &e)) RIGHT(e.code == ERR_IO);
    else RIGHT(same_bytes(to, &part));
}

static void fail_otherwise(void) {
    static const double chances[] = {0, 0.02, 0.2, 1};
    fault_plan p = {.seed = rng_u64(&asks), .fail_at = -1, .queued_only = below(2)};
    p.read_error = below(2) ? chances[below(4)] : 0;
    p.read_short = below(2) ? chances[below(4)] : 0;
    p.read_delay = chances[below(4)];
    p.memory_error = below(2) ? 0.1 : 0;
    fault_arm(below(3) ? &p : NULL);
}

static void (*const operations[])(void) = {want_some, want_some, try_one, try_one, try_one, wait_for_one, wait_for_one,
                                           wait_for_one, release_one, release_one, release_one, forget, visit, visit,
                                           expect, poll, resize, gather, fail_otherwise};

/* ---- a seed ------------------------------------------------------------------------------------------------------ */

/* Within the least memory that does, or more. */
static void stream(void) {
    store_plan p;
    err e;
    size_t low = 0, most = (size_t)store_units_bytes(s) * 3 + ((size_t)2 << 20), high = most;
    while (high - low > 512) {
        size_t middle = low + (high - low) / 2;
        if (store_plan_within(s, middle, &p, NULL)) low = middle;
        else high = middle;
    }
    given = below(3) ? high + below(most - high) : high;
    fault_plan plan = {.seed = seed, .fail_at = -1, .memory_error = below(2) ? 0.15 : 0};
    plan.read_error = below(4) ? 0 : 1; /* then direct reads are given up */
    fault_arm(&plan);
    err_code code = store_stream(s, given, &e);
    fault_arm(NULL);
    RIGHT(!code || (code == ERR_MEMORY && s->mode == STORE_MAPPED));
    while (code) { /* windows take more than what would fit whole */
        code = store_stream(s, given, &e);
        given += code ? 4096 : 0;
        RIGHT(given < 2 * most);
    }
    if (below(2)) store_know_disk(s, 1e9, 1 + below(STORE_DEPTH_MAX));
}

/* In the end all can be had again. */
static void lease_all(void) {
    while (n_leases) release(0);
    store_resize(s, 0);
    store_resize(s, SIZE_MAX);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t id = 0; id < n_units; id++) {
            waits w = {0};
            store_lease lease;
            err e;
            yield_hook yield = {wait_on, &w};
            err_code code = store_lease_now(s, id, &yield, &lease, &e);
            if (code && !pass) code = store_lease_now(s, id, &yield, &lease, &e); /* an earlier failure is told of */
            CHECK_MSG(!code, "seed %llu, unit %u: %s", (unsigned long long)seed, id, e.text);
            take(&lease);
            release(0);
            check_all();
        }
}

static void run_seed(void) {
    gguf *g;
    err e;
    rng_seed(&asks, seed * OPERATIONS);
    rng_seed(&looks, seed);
    size_t held = mem_bytes_total();
    draw_units();
    uint64_t mode = below(10); /* mapped, resident, or mostly streaming */
    posix_uring_allow(below(3));
    CHECK_EQ(gguf_open(&g, test_path(0, below(3) ? "store.gguf" : "store-00001-of-00002.gguf"), &e), ERR_NONE);
    CHECK_EQ(store_open(&s, g, &(store_opts){.no_map = mode == 1}, &e), ERR_NONE);
    store_units all = {.describe = describe, .n_units = n_units, .n_layers = n_layers, .n_used = n_used};
    CHECK_EQ(store_set_units(s, &all, &e), ERR_NONE);
    n_leases = layer = 0;
    operation = given = 0;
    if (mode > 1) stream();
    for (operation = 1; operation < OPERATIONS; operation++) {
        rng_seed(&asks, seed * OPERATIONS + operation); /* whatever came of those before it */
        operations[below(COUNT_OF(operations))]();
        check_all();
    }
    fault_arm(NULL);
    if (below(4)) lease_all();
    fault_arm(&(fault_plan){.seed = seed, .fail_at = -1, .read_delay = 1}); /* closed with reads under way */
    want_some();
    store_close(s);
    fault_arm(NULL);
    gguf_close(g);
    RIGHT(mem_bytes_total() == held);
}

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *said = getenv(name);
    return said ? strtoull(said, NULL, 10) : otherwise;
}

TEST(store_storm) {
    uint64_t from = number("LEAT_STORM_FROM", 1), end = from + number("LEAT_STORM_SEEDS", SEEDS);
    store_file(false);
    store_file(true);
    n_taken = n_told = n_cancelled = n_resized = 0;
    for (seed = from; seed < end; seed++) run_seed();
    posix_uring_allow(true);
    if (getenv("LEAT_STORM_SEEDS"))
        printf("%llu seeds: %llu leases, %llu failures told, %llu waits cancelled, %llu changes of memory\n",
               (unsigned long long)(end - from), (unsigned long long)n_taken, (unsigned long long)n_told,
               (unsigned long long)n_cancelled, (unsigned long long)n_resized);
    CHECK(n_taken && n_told && n_cancelled && n_resized);
}

/* Of a step's wants that was cancelled nothing more is read, and no slot stays beyond the limit. */
TEST(store_shrinks_while_reads_are_under_way) {
    enum { DENSE = 4, EXPERTS = 32, PART_BYTES = 9000, GIVEN = 1600000, LESS = 600000 };
    gguf *g;
    err e;
    uint32_t ids[EXPERTS];
    seed = operation = n_leases = 0;
    n_layers = DENSE, n_dense = DENSE, n_units = DENSE + EXPERTS, n_used = 2;
    for (size_t i = 0; i < n_units; i++) {
        drawn *u = &units[i];
        *u = (drawn){.n_spans = PARTS_MAX, .expert = i >= DENSE};
        u->layer = (uint32_t)(u->expert ? (i - DENSE) / (EXPERTS / DENSE) : i);
        for (size_t k = 0; k < PARTS_MAX; k++)
            u->spans[k] = (store_span){.tensor = 3, .offset = (i * PARTS_MAX + k) * PART_BYTES, .bytes = PART_BYTES};
    }
    store_units all = {.describe = describe, .n_units = n_units, .n_layers = n_layers, .n_used = n_used};
    CHECK_EQ(gguf_open(&g, store_file(false), &e), ERR_NONE);
    CHECK_EQ(store_open(&s, g, NULL, &e), ERR_NONE);
    CHECK_EQ(store_set_units(s, &all, &e), ERR_NONE);
    CHECK_EQ(store_stream(s, GIVEN, &e), ERR_NONE);
    for (uint32_t i = 0; i < EXPERTS; i++) ids[i] = DENSE + i;
    fault_arm(&(fault_plan){.fail_at = -1, .read_delay = 1});
    store_want(s, ids, EXPERTS);
    store_forget_wants(s);
    CHECK(store_resize(s, LESS));
    CHECK_MSG(taken() <= LESS, "%zu bytes are held, wanted at most %d", taken(), LESS);
    CHECK(!s->in_flight && store_stats_of(s).reads <= STORE_DEPTH_MAX);
    fault_arm(NULL);
    lease_all();
    store_close(s);
    gguf_close(g);
}
