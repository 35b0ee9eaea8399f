/* test_fault_store.c: dense weights that stream while reads fail, and passes that end early: whoever waits for a unit
 * gets it or is told, and the next pass finds a store that works.
 */
#include "fault/scenario.h"
#include "store/store.h"
#include "unit/store_file.h"

#include <string.h>

enum { UNITS = 8, UNIT_BYTES = 100000, POLLS_MAX = 1000 };

/* From all pinned, over some and none, to the smallest ring there is. */
static const size_t budgets[] = {1000000, 850000, 650000, 520000, 420000, 300000};

/* A layer each, cut from the test file's large tensor (number 3). */
static void describe(const void *user, size_t i, store_unit *out) {
    static store_span span;
    (void)user;
    span = (store_span){.tensor = 3, .offset = i * UNIT_BYTES, .bytes = UNIT_BYTES - i};
    *out = (store_unit){.spans = &span, .n_spans = 1, .layer = (uint32_t)i};
}

typedef struct opened {
    gguf *g;
    store *s;
} opened;

static opened open_within(size_t bytes_max) {
    opened o;
    err e;
    store_units units = {.describe = describe, .n_units = UNITS, .n_layers = UNITS};
    CHECK_EQ(gguf_open(&o.g, store_file(false), &e), ERR_NONE);
    CHECK_EQ(store_open(&o.s, o.g, NULL, &e), ERR_NONE);
    CHECK_EQ(store_set_units(o.s, &units, &e), ERR_NONE);
    CHECK_MSG(store_stream(o.s, bytes_max, &e) == ERR_NONE, "%zu bytes: %s", bytes_max, e.text);
    return o;
}

static void close_both(opened o) {
    store_close(o.s);
    gguf_close(o.g);
}

/* store_lease_now with an end: what should have come by then never will. */
static store_state wait_for(store *s, uint32_t id, store_lease *out, err *e) {
    store_state state = STORE_PENDING;
    store_want(s, &id, 1);
    for (int i = 0; i < POLLS_MAX && state == STORE_PENDING; i++) {
        state = store_try_lease(s, id, out, e);
        if (state == STORE_PENDING) store_poll(s, UINT64_MAX);
    }
    return state;
}

/* The next units, each used and released. */
static void pass(store *s, uint32_t from, uint32_t end) {
    store_lease lease;
    err e = {0};
    for (uint32_t id = from; id < end; id++) {
        CHECK_MSG(wait_for(s, id, &lease, &e) == STORE_READY, "unit %u of %u to %u: %s", id, from, end, e.text);
        CHECK(store_file_same(lease.at, 3, (uint64_t)id * UNIT_BYTES, lease.bytes));
        store_release(s, &lease);
    }
}

static void come_to_rest(store *s) {
    for (int i = 0; store_poll(s, UINT64_MAX); i++) CHECK(i < POLLS_MAX);
}

/* Each unit is told of as often as it is asked for, also where it was under way already, and is there once reads
 * succeed. */
TEST(fault_store_tells_of_dense_reads) {
    static const fault_plan lasting[] = {
        {.seed = 1, .fail_at = -1, .queued_only = true, .read_error = 1},
        {.seed = 2, .fail_at = -1, .queued_only = true, .read_short = 1, .read_delay = 0.5}};
    for (size_t i = 0; i < COUNT_OF(budgets) * COUNT_OF(lasting) * UNITS; i++) {
        uint32_t id = i % UNITS, first = 0;
        size_t bytes_max = budgets[i / UNITS % COUNT_OF(budgets)];
        opened o = open_within(bytes_max);
        fault_arm(&lasting[i / UNITS / COUNT_OF(budgets)]);
        store_want(o.s, &first, 1); /* those after it are read on */
        for (int k = 0; k < 3; k++) {
            store_lease lease;
            err e = {0};
            CHECK_MSG(wait_for(o.s, id, &lease, &e) == STORE_FAILED, "unit %u within %zu bytes, lease %d: no end", id,
                      bytes_max, k);
            CHECK_MSG(e.code == ERR_IO && strstr(e.text, "tensor blk.3.weight: "), "%s", e.text);
        }
        fault_arm(NULL);
        store_forget_wants(o.s);
        pass(o.s, id, UNITS);
        pass(o.s, 0, UNITS);
        close_both(o);
    }
}

/* What fails of a read that was under way when it was wanted is nobody's business: it is read anew. */
TEST(fault_store_reads_anew_what_was_under_way) {
    for (size_t i = 0; i < COUNT_OF(budgets); i++) {
        opened o = open_within(budgets[i]);
        fault_arm(&(fault_plan){.seed = 1, .fail_at = -1, .queued_only = true, .read_error = 1});
        uint32_t first = 0;
        store_want(o.s, &first, 1); /* and units after it are read on */
        store_forget_wants(o.s);
        fault_arm(NULL);
        pass(o.s, 0, UNITS);
        pass(o.s, 0, UNITS);
        close_both(o);
    }
}

/* A pass ends anywhere, with what comes next read or being read; the next one begins anywhere, in less memory or
 * more. */
TEST(fault_store_passes_that_end_early) {
    for (size_t i = 0; i < COUNT_OF(budgets); i++)
        for (uint32_t from = 0; from < UNITS; from++) {
            opened o = open_within(budgets[i]);
            for (uint32_t end = 0; end <= UNITS; end++) {
                pass(o.s, 0, end);
                if (end % 2) come_to_rest(o.s);
                pass(o.s, from, UNITS);
                pass(o.s, 0, end);
                come_to_rest(o.s);
                pass(o.s, from, UNITS);
                pass(o.s, 0, end);
                CHECK(store_resize(o.s, end % 3 ? budgets[i] : budgets[COUNT_OF(budgets) - 1]));
                pass(o.s, from, UNITS);
            }
            close_both(o);
        }
}

/* In order each unit is read once a pass at most, and so many of the next one as the ring has slots. */
TEST(fault_store_reads_once_a_pass) {
    enum { PASSES = 5, SLOTS = 8 };
    for (size_t i = 0; i < COUNT_OF(budgets); i++) {
        opened o = open_within(budgets[i]);
        for (int k = 0; k < PASSES; k++) pass(o.s, 0, UNITS);
        come_to_rest(o.s);
        uint64_t reads = store_stats_of(o.s).reads;
        CHECK_MSG(reads <= PASSES * UNITS + SLOTS, "%llu reads within %zu bytes", (unsigned long long)reads,
                  budgets[i]);
        close_both(o);
    }
}

/* Of the ring, too, what is wanted keeps its place until it is leased or the want is forgotten. */
TEST(fault_store_keeps_what_is_wanted) {
    static const uint32_t last[] = {6, 7}, first = 0;
    opened o = open_within(520000);
    store_lease a, b, c;
    err e;
    pass(o.s, 0, 4);
    come_to_rest(o.s);
    store_want(o.s, last, 2);
    CHECK_EQ(wait_for(o.s, first, &a, &e), STORE_READY);
    CHECK_EQ(store_try_lease(o.s, 6, &b, &e), STORE_READY);
    CHECK_EQ(store_try_lease(o.s, 7, &c, &e), STORE_READY);
    store_want(o.s, last, 2);
    store_release(o.s, &b);
    store_release(o.s, &c);
    store_release(o.s, &a);
    come_to_rest(o.s);
    CHECK_EQ(store_try_lease(o.s, 6, &b, &e), STORE_READY);
    CHECK_EQ(store_try_lease(o.s, 6, &c, &e), STORE_READY);
    store_release(o.s, &b);
    CHECK(store_file_same(c.at, 3, 6 * UNIT_BYTES, c.bytes)); /* two use it, one is done */
    store_release(o.s, &c);
    /* All of it wanted, and another one asked for: the wants give way. */
    static const uint32_t all[] = {1, 2, 3, 4, 5, 6, 7};
    come_to_rest(o.s);
    store_want(o.s, all, 7);
    come_to_rest(o.s);
    store_want(o.s, all, 7);
    CHECK_MSG(store_lease_now(o.s, first, NULL, &a, &e) == ERR_NONE, "%s", e.text);
    store_release(o.s, &a);
    pass(o.s, 0, UNITS);
    close_both(o);
}

/* Where files cannot be read past the page cache: it keeps nothing of what came, failed, was given up or fetched row by
 * row, and has little of it meanwhile. */
TEST(fault_store_leaves_nothing_in_the_page_cache) {
    static const fault_plan sound = {.fail_at = -1, .no_direct = true};
    static const fault_plan failing = {.fail_at = -1, .queued_only = true, .read_error = 0.3, .read_short = 0.3,
                                       .read_delay = 0.5};
    char row[100], how[256];
    uint32_t first = 0;
    store_lease lease;
    err e;
    for (size_t i = 0; i < COUNT_OF(budgets); i++) {
        fault_arm(&sound);
        opened o = open_within(budgets[i]);
        store_describe(o.s, how, sizeof how);
        CHECK_MSG(strstr(how, "; buffered reads by"), "%s", how);
        CHECK_EQ(fault_cached(), 0);
        for (int k = 0; k < 3; k++) pass(o.s, 0, UNITS);
        CHECK_EQ(store_gather(o.s, 3, 12345, row, sizeof row, &e), ERR_NONE);
        CHECK_EQ(store_gather(o.s, 1, 123, row, sizeof row, &e), ERR_NONE);
        come_to_rest(o.s);
        CHECK_EQ(fault_cached(), 0);
        CHECK_MSG(fault_cached_most() > 0 && fault_cached_most() <= UNITS, "%zu reads", fault_cached_most());
        fault_arm(&failing);
        for (uint32_t k = 0; k < 20 * UNITS; k++)
            if (wait_for(o.s, k % UNITS, &lease, &e) == STORE_READY) store_release(o.s, &lease);
        store_want(o.s, &first, 1);
        store_want(o.s, &(uint32_t){UNITS - 2}, 1); /* another pass begins */
        store_forget_wants(o.s);
        come_to_rest(o.s);
        CHECK_EQ(fault_cached(), 0);
        store_want(o.s, &first, 1);
        store_close(o.s);
        CHECK_EQ(fault_cached(), 0);
        fault_arm(NULL);
        gguf_close(o.g);
    }
}

/* ---- memory that is refused ------------------------------------------------------------------------------------ */

enum { EXPERTS = 16, EXPERT_BYTES = 50000 };

/* The same layers, each with two experts. */
static void describe_experts(const void *user, size_t i, store_unit *out) {
    static store_span span;
    describe(user, i, out);
    if (i < UNITS) return;
    i -= UNITS;
    span = (store_span){.tensor = 3, .offset = UNITS * UNIT_BYTES + i * EXPERT_BYTES, .bytes = EXPERT_BYTES};
    *out = (store_unit){.spans = &span, .n_spans = 1, .layer = (uint32_t)i / 2, .expert = true};
}

/* It is told, and is no reason to plan as if there were less: what a better plan takes later lies beyond the block. */
TEST(fault_store_plans_as_ever_or_not_at_all) {
    enum { BYTES = 1200000 };
    char plan[200] = "", first[200] = "";
    const char *path = store_file(false);
    bool fails = true;
    for (int64_t at = -1; fails; at++) { /* the first time nothing does */
        opened o;
        err e;
        store_units units = {.describe = describe_experts, .n_units = UNITS + EXPERTS, .n_layers = UNITS, .n_used = 2};
        CHECK_EQ(gguf_open(&o.g, path, &e), ERR_NONE);
        CHECK_EQ(store_open(&o.s, o.g, NULL, &e), ERR_NONE);
        CHECK_EQ(store_set_units(o.s, &units, &e), ERR_NONE);
        fault_arm(&(fault_plan){.seed = 1, .fail_at = at});
        err_code code = store_stream(o.s, BYTES, &e);
        fails = at < 0 || fault_hits();
        fault_arm(NULL);
        if (code) CHECK_MSG(code == ERR_MEMORY && !strstr(e.text, "too little"), "call %d fails: %s", (int)at, e.text);
        if (code) CHECK_MSG(store_stream(o.s, BYTES, &e) == ERR_NONE, "%s", e.text);
        store_describe(o.s, plan, sizeof plan);
        bool direct = strstr(plan, "direct reads"); /* buffered ones need no windows */
        *strchr(plan, ';') = 0;
        if (at < 0) memcpy(first, plan, sizeof first);
        if (direct) CHECK_STR(plan, first);
        CHECK(!store_resize(o.s, 0));
        CHECK(store_resize(o.s, BYTES));
        pass(o.s, 0, UNITS);
        close_both(o);
    }
}

/* How often experts were used outlives every plan that is made anew, and memory that is refused meanwhile. */
TEST(fault_store_keeps_what_is_known_of_experts) {
    enum { BYTES = 1200000, LESS = 700000 };
    float known[UNITS + EXPERTS], now[UNITS + EXPERTS];
    store_units units = {.describe = describe_experts, .n_units = UNITS + EXPERTS, .n_layers = UNITS, .n_used = 2};
    int refused = 0;
    for (size_t i = 0; i < UNITS; i++) known[i] = 32;
    for (size_t i = UNITS; i < UNITS + EXPERTS; i++) known[i] = (float)(i - UNITS);
    bool fails = true;
    for (int64_t at = -1; fails; at++) { /* the first time nothing does */
        opened o;
        err e;
        store_usage u;
        CHECK_EQ(gguf_open(&o.g, store_file(false), &e), ERR_NONE);
        CHECK_EQ(store_open(&o.s, o.g, NULL, &e), ERR_NONE);
        CHECK_EQ(store_set_units(o.s, &units, &e), ERR_NONE);
        CHECK_EQ(store_stream(o.s, BYTES, &e), ERR_NONE);
        store_usage_size(o.s, &u);
        CHECK(u.n_layers == UNITS && u.n_experts == EXPERTS);
        u.tokens = known, u.uses = known + UNITS;
        store_usage_set(o.s, &u);
        fault_arm(&(fault_plan){.seed = 1, .fail_at = at});
        bool worked = store_resize(o.s, LESS);
        fails = at < 0 || fault_hits();
        fault_arm(NULL);
        CHECK(worked || at >= 0);
        refused += !worked;
        u.tokens = now, u.uses = now + UNITS;
        store_usage_get(o.s, &u);
        CHECK_MSG(!memcmp(known, now, sizeof now), "forgotten as call %d fails", (int)at);
        CHECK(store_resize(o.s, LESS));
        pass(o.s, 0, UNITS);
        close_both(o);
    }
    CHECK(refused >= 3);
}

/* ---- all at once ------------------------------------------------------------------------------------------------- */

/* Each unit has a part in both files. */
static void describe_split(const void *user, size_t i, store_unit *out) {
    static store_span spans[2];
    (void)user;
    spans[0] = (store_span){.tensor = 1, .offset = i * 128, .bytes = 128};
    spans[1] = (store_span){.tensor = 3, .offset = i * UNIT_BYTES, .bytes = UNIT_BYTES};
    *out = (store_unit){.spans = spans, .n_spans = 2};
}

typedef struct asked {
    size_t n, stop_at;
} asked;

static bool ask(void *user) {
    asked *a = user;
    return ++a->n == a->stop_at;
}

/* Nothing of any part stays in the page cache, and whoever waits is asked while a unit is read, not between two
 * alone. */
TEST(fault_store_reads_all) {
    gguf *g;
    store *s;
    err e;
    store_units units = {.describe = describe_split, .n_units = UNITS, .n_layers = 1};
    CHECK_EQ(gguf_open(&g, store_file(true), &e), ERR_NONE);
    CHECK_EQ(store_open(&s, g, &(store_opts){.no_map = true}, &e), ERR_NONE);
    CHECK_EQ(store_set_units(s, &units, &e), ERR_NONE);
    fault_arm(&(fault_plan){.seed = 1, .fail_at = -1, .read_delay = 1});
    asked a = {.stop_at = UNITS / 2};
    CHECK_EQ(store_read_all(s, true, &(yield_hook){ask, &a}, &e), ERR_CANCELLED);
    CHECK_STR(e.text, "cancelled while weights of layer 0 were read");
    CHECK_EQ(a.n, UNITS / 2);
    CHECK_MSG(store_read_all(s, true, &(yield_hook){ask, &a}, &e) == ERR_NONE, "%s", e.text);
    CHECK_MSG(a.n > 2 * UNITS, "%zu questions", a.n);
    CHECK_EQ(fault_cached(), 0);
    fault_arm(NULL);
    for (uint32_t id = 0; id < UNITS; id++) {
        store_lease lease;
        CHECK_EQ(store_try_lease(s, id, &lease, &e), STORE_READY);
        CHECK(store_file_same(store_span_at(s, &lease, 0), 1, id * 128, 128));
        CHECK(store_file_same(store_span_at(s, &lease, 1), 3, (uint64_t)id * UNIT_BYTES, UNIT_BYTES));
        store_release(s, &lease);
    }
    store_close(s);
    gguf_close(g);
}
