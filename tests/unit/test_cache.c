/* test_cache.c: the cache policy: slots and classes, who is thrown out, and what that gives on routing with a skew. */
#include "check.h"

#include "cache/cache.h"

typedef struct setup {
    uint32_t layer_of[4096];
    size_t bytes_of[4096];
} setup;

/* n_layers layers of `each` units of `bytes`; every third layer's are larger by half. */
static cache *open_cache(size_t n_layers, size_t each, size_t bytes, size_t bytes_max, bool two_sizes) {
    static setup s;
    cache *c;
    err e;
    CHECK(n_layers * each <= 4096);
    for (size_t i = 0; i < n_layers * each; i++) {
        s.layer_of[i] = (uint32_t)(i / each);
        s.bytes_of[i] = two_sizes && i / each % 3 == 0 ? bytes / 2 * 3 : bytes;
    }
    cache_opts o = {.n_units = n_layers * each, .n_layers = n_layers, .layer_of = s.layer_of, .bytes_of = s.bytes_of,
                    .align = 64, .bytes_max = bytes_max, .slots_min = 1};
    CHECK_MSG(cache_open(&c, &o, &e) == ERR_NONE, "%s", e.text);
    return c;
}

TEST(cache_slots_are_apart_and_inside) {
    cache *c = open_cache(6, 4, 1000, 14000, true);
    CHECK(cache_bytes(c) <= 14000);
    size_t n = cache_slots(c), large = 0;
    CHECK(n >= 8);
    for (uint32_t s = 0; s + 1 < n; s++) {
        size_t gap = cache_slot_offset(c, s + 1) - cache_slot_offset(c, s);
        CHECK(gap == 1024 || gap == 1536);
        large += gap == 1536;
        CHECK_EQ(cache_slot_offset(c, s) % 64, 0);
    }
    CHECK(large >= 2);
    cache_close(c);
    c = open_cache(6, 4, 1000, SIZE_MAX, true); /* no more slots than units */
    CHECK_EQ(cache_slots(c), 24);
    CHECK_EQ(cache_bytes(c), 16 * 1024 + 8 * 1536);
    cache_close(c);
}

TEST(cache_wants_a_slot_of_each_size) {
    cache *c = NULL;
    err e;
    uint32_t layer_of[2] = {0, 1};
    size_t bytes_of[2] = {1 << 20, 1 << 10};
    cache_opts o = {.n_units = 2, .n_layers = 2, .layer_of = layer_of, .bytes_of = bytes_of, .align = 4096,
                    .bytes_max = 1 << 20, .slots_min = 1};
    CHECK_EQ(cache_open(&c, &o, &e), ERR_MEMORY);
    CHECK_STR(e.text, "1048576 bytes for weights that come and go are too few, wanted 1052672 at least");
    CHECK(c == NULL);
}

/* What is said beforehand is what it can be opened with, and brought to; of too many sizes both say so. */
TEST(cache_needs_what_it_can_be_opened_with) {
    enum { UNITS = 200, ROUNDS = 300 };
    uint32_t layer_of[UNITS], gone[UNITS];
    size_t bytes_of[UNITS], too_many = 0;
    cache_need need;
    cache *c;
    err e;
    rng r;
    rng_seed(&r, 1);
    for (int round = 0; round < ROUNDS; round++) {
        cache_opts o = {.n_units = 1 + rng_u64(&r) % UNITS, .n_layers = 1 + rng_u64(&r) % 5, .layer_of = layer_of,
                        .bytes_of = bytes_of, .align = 64, .slots_min = rng_u64(&r) % 9};
        for (size_t i = 0, spread = 1 + rng_u64(&r) % 24; i < o.n_units; i++) {
            layer_of[i] = (uint32_t)(rng_u64(&r) % o.n_layers);
            bytes_of[i] = 1 + rng_u64(&r) % ((size_t)1 << (8 + rng_u64(&r) % spread));
        }
        err_code code = cache_needs(&o, &need, &e);
        o.bytes_max = code ? SIZE_MAX : need.slot_bytes - 1;
        CHECK_EQ(cache_open(&c, &o, &e), code ? ERR_LIMIT : ERR_MEMORY);
        too_many += code != ERR_NONE;
        if (code) continue;
        o.bytes_max++;
        CHECK_MSG(cache_open(&c, &o, &e) == ERR_NONE, "round %d: %s", round, e.text);
        CHECK_EQ(cache_bytes(c), need.slot_bytes);
        cache_close(c);
        o.bytes_max = SIZE_MAX;
        size_t used = 0;
        CHECK_EQ(cache_open(&c, &o, &e), ERR_NONE);
        cache_limit(c, 0, gone);
        for (uint32_t s = 0; s < cache_slots(c); s++) used += cache_slot_left(c, s) ? 0 : cache_slot_bytes(c, s);
        CHECK_EQ(used, need.slot_bytes);
        cache_close(c);
    }
    CHECK_MSG(too_many && too_many < ROUNDS, "%zu of too many sizes", too_many);
}

TEST(cache_gives_slots_back_and_takes_them_again) {
    cache *c = open_cache(4, 8, 1000, SIZE_MAX, false);
    uint32_t gone[32], evicted;
    for (uint32_t u = 0; u < 32; u++) CHECK_EQ(cache_place(c, u, false, &evicted), u);
    cache_hold(c, 31);
    CHECK_EQ(cache_limit(c, cache_bytes(c) / 2, gone), 15); /* the held one stays */
    CHECK_EQ(gone[0], 16);
    CHECK(cache_slot_left(c, 30) && !cache_slot_left(c, 31) && !cache_slot_left(c, 15));
    CHECK_EQ(cache_find(c, 30), CACHE_NONE);
    CHECK(cache_place(c, 30, false, &evicted) < 16 && evicted != CACHE_NONE);
    cache_let_go(c, 31);
    CHECK_EQ(cache_limit(c, 0, gone), 16); /* one slot is left */
    CHECK(!cache_slot_left(c, 0) && cache_slot_left(c, 1) && cache_slot_left(c, 31));
    CHECK_EQ(cache_free_bytes(c), 0);
    CHECK_EQ(cache_limit(c, SIZE_MAX, gone), 0);
    CHECK_EQ(cache_free_bytes(c), cache_bytes(c) / 32 * 31);
    CHECK_EQ(cache_place(c, 31, false, &evicted), 1);
    CHECK_EQ(evicted, CACHE_NONE);
    CHECK_EQ(cache_free_bytes(c), cache_bytes(c) / 32 * 30);
    cache_close(c);
}

/* Few large units beside many small ones, and as many of each at least: what the one keeps is taken from the other. */
TEST(cache_limit_holds_for_two_sizes) {
    enum { SMALL = 64, LARGE = 8, LEAST = 8, KIB = 1024 };
    uint32_t layer_of[SMALL + LARGE] = {0}, gone[SMALL + LARGE];
    size_t bytes_of[SMALL + LARGE];
    cache_need need;
    cache *c;
    err e;
    for (size_t i = 0; i < SMALL + LARGE; i++) bytes_of[i] = i < SMALL ? KIB : 4 * KIB;
    cache_opts o = {.n_units = SMALL + LARGE, .n_layers = 1, .layer_of = layer_of, .bytes_of = bytes_of, .align = 64,
                    .bytes_max = SIZE_MAX, .slots_min = LEAST};
    CHECK_EQ(cache_open(&c, &o, &e), ERR_NONE);
    CHECK_EQ(cache_bytes(c), (SMALL + 4 * LARGE) * KIB);
    CHECK_EQ(cache_needs(&o, &need, &e), ERR_NONE);
    CHECK_EQ(need.slot_bytes, (LEAST + 4 * LEAST) * KIB);
    for (size_t limit = cache_bytes(c); limit >= need.slot_bytes; limit -= KIB) {
        size_t used = 0;
        cache_limit(c, limit, gone);
        for (uint32_t s = 0; s < cache_slots(c); s++) used += cache_slot_left(c, s) ? 0 : cache_slot_bytes(c, s);
        CHECK_EQ(used, limit);
    }
    cache_close(c);
}

TEST(cache_never_takes_a_held_slot) {
    cache *c = open_cache(2, 4, 1000, 2 * 1024, false);
    uint32_t used[2] = {0, 1}, evicted;
    cache_visit(c, 0, used, NULL, 2, 1);
    uint32_t a = cache_place(c, 0, false, &evicted), b = cache_place(c, 1, false, &evicted);
    CHECK(a != CACHE_NONE && b != CACHE_NONE && a != b && evicted == CACHE_NONE);
    cache_hold(c, a);
    cache_hold(c, b);
    CHECK_EQ(cache_place(c, 5, false, &evicted), CACHE_NONE);
    cache_let_go(c, b);
    CHECK_EQ(cache_place(c, 5, false, &evicted), b);
    CHECK_EQ(evicted, 1);
    CHECK_EQ(cache_find(c, 1), CACHE_NONE);
    CHECK_EQ(cache_find(c, 5), b);
    cache_drop(c, 5);
    CHECK_EQ(cache_place(c, 6, true, &evicted), b); /* a free slot is given to anyone */
    CHECK_EQ(evicted, CACHE_NONE);
    cache_close(c);
}

/* Equally used units: the one whose layer has just gone by leaves first; a unit in use often stays. */
TEST(cache_throws_out_who_is_needed_last) {
    cache *c = open_cache(4, 2, 1000, 4 * 1024, false);
    uint32_t evicted;
    for (int round = 0; round < 8; round++)
        for (uint32_t l = 0; l < 4; l++) {
            uint32_t used[1] = {2 * l};
            cache_visit(c, l, used, NULL, 1, 1);
            if (cache_find(c, 2 * l) == CACHE_NONE) CHECK(cache_place(c, 2 * l, false, &evicted) != CACHE_NONE);
        }
    uint32_t used[1] = {3}; /* layer 1, for the first time: layers 2, 3, 0 come before 1 does again */
    cache_visit(c, 1, used, NULL, 1, 1);
    CHECK(cache_place(c, 7, true, &evicted) == CACHE_NONE); /* never used: not worth anyone's slot */
    CHECK(cache_place(c, 3, false, &evicted) != CACHE_NONE);
    CHECK_EQ(evicted, 2);
    cache_close(c);
}

/* Hits of a random router with a few favourites, from a quarter of the memory that one token uses up. */
TEST(cache_hits_below_one_token_cycle) {
    enum { LAYERS = 24, EACH = 64, USED = 4, TOKENS = 200 };
    cache *c = open_cache(LAYERS, EACH, 1000, LAYERS * USED * 1024 * 3 / 4, false);
    rng r;
    rng_seed(&r, 7);
    size_t hits = 0;
    for (int t = 0; t < TOKENS; t++)
        for (uint32_t l = 0; l < LAYERS; l++) {
            uint32_t used[USED], evicted;
            for (size_t i = 0; i < USED;) {
                double x = rng_unit(&r);
                used[i] = l * EACH + (uint32_t)(x * x * x * EACH);
                bool twice = false;
                for (size_t j = 0; j < i; j++) twice |= used[j] == used[i];
                i += !twice;
            }
            cache_visit(c, l, used, NULL, USED, 1);
            for (size_t i = 0; i < USED; i++) {
                bool hit = cache_find(c, used[i]) != CACHE_NONE;
                hits += hit;
                if (!hit) CHECK(cache_place(c, used[i], false, &evicted) != CACHE_NONE);
            }
        }
    CHECK_MSG(hits > TOKENS * LAYERS * USED / 5, "%zu of %d hits", hits, TOKENS * LAYERS * USED);
    cache_close(c);
}

/* A chunk of many tokens counts by shares, and its order says nothing of what follows what. */
TEST(cache_visits_of_many_tokens) {
    cache *c = open_cache(2, 4, 1000, 2 * 1024, false);
    uint32_t used[3] = {0, 1, 2}, counts[3] = {64, 1, 32}, evicted;
    cache_visit(c, 0, used, counts, 3, 64);
    for (uint32_t i = 1; i < 3; i++) CHECK(cache_place(c, i, false, &evicted) != CACHE_NONE);
    CHECK(cache_place(c, 0, true, &evicted) != CACHE_NONE);
    CHECK_EQ(evicted, 1);
    for (int i = 0; i < 5000; i++) cache_visit(c, 0, used, NULL, 3, 1); /* counts that would overflow are halved */
    CHECK(cache_find(c, 2) != CACHE_NONE);
    cache_close(c);
}
