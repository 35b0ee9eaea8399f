/* test_stream.c: weights in less memory than they take: leases give the file's bytes within the budget, and the
 * engine's logits have the same bits for every budget and every way of reading.
 */
#include "check.h"
#include "gen/tiny.h"
#include "leat.h"
#include "plat/posix/posix.h"
#include "store/store.h"
#include "store_file.h"

#include <string.h>

/* ---- the store ------------------------------------------------------------------------------------------- */

enum { LAYERS = 8, EACH = 8, CHUNK = 40000, DENSE_CHUNK = 100000 };

/* Layers of one dense unit and EACH experts, cut from the test file's large tensor (number 3); sizes are odd. */
static void describe(const void *user, size_t i, store_unit *out) {
    static store_span spans[3];
    (void)user;
    if (i < LAYERS) {
        spans[0] = (store_span){.tensor = 3, .offset = i * DENSE_CHUNK, .bytes = DENSE_CHUNK - i};
        *out = (store_unit){.spans = spans, .n_spans = 1, .layer = (uint32_t)i};
        return;
    }
    i -= LAYERS;
    for (size_t k = 0; k < 3; k++)
        spans[k] = (store_span){
            .tensor = 3, .offset = 1000000 + (3 * i + k) * CHUNK, .bytes = CHUNK - 32 * (i / EACH % 2)};
    *out = (store_unit){.spans = spans, .n_spans = 3, .layer = (uint32_t)(i / EACH), .expert = true};
}

static void check_unit(const store *s, const store_lease *lease) {
    store_unit u;
    describe(NULL, lease->unit, &u);
    for (size_t k = 0; k < u.n_spans; k++)
        CHECK_MSG(store_file_same(store_span_at(s, lease, k), 3, u.spans[k].offset, u.spans[k].bytes),
                  "part %zu of unit %u has other bytes", k, lease->unit);
}

/* Two experts of a layer are expected there, right or wrong. */
static void foresee(store *s, uint32_t layer, rng *r) {
    uint32_t units[2];
    for (int i = 0; i < 2; i++) units[i] = LAYERS + layer * EACH + (uint32_t)(rng_u64(r) % EACH);
    store_expect(s, units, units[0] == units[1] ? 1 : 2, false);
}

/* Some passes over all layers with two random experts each; returns bytes read. */
static uint64_t walk(store *s, int passes, bool foresees) {
    rng r;
    err e;
    uint8_t row[100];
    rng_seed(&r, 3);
    for (int p = 0; p < passes; p++)
        for (uint32_t l = 0; l < LAYERS; l++) {
            uint32_t next = (l + 1) % LAYERS, used[2];
            store_lease dense, expert;
            CHECK_MSG(store_lease_now(s, l, NULL, &dense, &e) == ERR_NONE, "%s", e.text);
            store_want(s, &next, 1);
            used[0] = LAYERS + l * EACH + (uint32_t)(rng_u64(&r) % EACH);
            used[1] = LAYERS + l * EACH + (used[0] + 1 + (uint32_t)(rng_u64(&r) % (EACH - 1))) % EACH;
            if (used[1] == used[0]) used[1] = LAYERS + l * EACH + (used[0] - LAYERS + 1) % EACH;
            store_visit(s, l, used, NULL, 2, 1);
            store_want(s, used, 2);
            for (int i = 0; i < 2; i++) {
                CHECK_MSG(store_lease_now(s, used[i], NULL, &expert, &e) == ERR_NONE, "%s", e.text);
                check_unit(s, &expert);
                store_release(s, &expert);
            }
            if (foresees && l + 1 < LAYERS) foresee(s, l + 1, &r);
            check_unit(s, &dense);
            store_release(s, &dense);
            CHECK_EQ(store_gather(s, 1, l * 333, row, sizeof row, &e), ERR_NONE);
            CHECK(store_file_same(row, 1, l * 333, sizeof row));
        }
    return store_stats_of(s).read_bytes;
}

static void stream_within(const gguf *g, size_t bytes_max, uint64_t *read_bytes) {
    store *s;
    err e;
    store_units units = {.describe = describe, .n_units = LAYERS + LAYERS * EACH, .n_layers = LAYERS, .n_used = 2};
    CHECK_EQ(store_open(&s, g, NULL, &e), ERR_NONE);
    CHECK_EQ(store_set_units(s, &units, &e), ERR_NONE);
    size_t before = mem_bytes_total();
    CHECK_MSG(store_stream(s, bytes_max, &e) == ERR_NONE, "%zu bytes: %s", bytes_max, e.text);
    CHECK_EQ(store_mode_of(s), STORE_STREAMING);
    CHECK_MSG(mem_bytes_total() - before <= bytes_max + 32768, "%zu held, %zu allowed", mem_bytes_total() - before,
              bytes_max); /* blocks are whole pages with a page before them */
    CHECK_EQ(mem_bytes(MEM_WEIGHTS) <= bytes_max + 8192, true);
    *read_bytes = walk(s, 12, false);
    store_close(s);
}

TEST(stream_leases_give_the_bytes) {
    gguf *g;
    err e;
    size_t held = mem_bytes_total();
    for (int way = 0; way < 3; way++) {
        CHECK_EQ(gguf_open(&g, store_file(way == 2), &e), ERR_NONE);
        posix_uring_allow(way != 1);
        uint64_t last = UINT64_MAX, bytes;
        /* From all in memory to a ring for the dense units and hardly more experts than are used at once. */
        static const size_t budgets[] = {1200000, 1400000, 1800000, 3000000, 5000000, 20000000};
        for (size_t i = 0; i < COUNT_OF(budgets); i++) {
            stream_within(g, budgets[i], &bytes);
            CHECK_MSG(bytes <= last, "%zu bytes of memory: %llu read, %llu with less", budgets[i],
                      (unsigned long long)bytes, (unsigned long long)last);
            last = bytes;
        }
        gguf_close(g);
    }
    posix_uring_allow(true);
    CHECK_EQ(mem_bytes_total(), held);
}

/* Guesses at random: leases give the same bytes, and soon nothing is read ahead any more; hardly more is read. */
TEST(stream_reads_ahead_while_that_pays) {
    gguf *g;
    store *s;
    err e;
    store_units units = {.describe = describe, .n_units = LAYERS + LAYERS * EACH, .n_layers = LAYERS, .n_used = 2};
    for (int way = 0; way < 2; way++) {
        posix_uring_allow(way == 0);
        CHECK_EQ(gguf_open(&g, store_file(false), &e), ERR_NONE);
        CHECK_EQ(store_open(&s, g, NULL, &e), ERR_NONE);
        CHECK_EQ(store_set_units(s, &units, &e), ERR_NONE);
        CHECK_EQ(store_stream(s, 3000000, &e), ERR_NONE);
        CHECK(store_foresees(s));
        walk(s, 40, true);
        store_stats t = store_stats_of(s);
        CHECK(!store_foresees(s));
        CHECK_MSG(t.ahead >= 1 && t.ahead < 32 && t.ahead_used < t.ahead, "%llu read ahead, %llu used",
                  (unsigned long long)t.ahead, (unsigned long long)t.ahead_used);
        store_close(s);
        gguf_close(g);
    }
    posix_uring_allow(true);
}

/* Another file has got the name since the header was read: the bytes are those of the file that was opened. */
TEST(stream_reads_the_file_that_was_opened) {
    char other[700];
    gguf *g;
    uint64_t bytes;
    err e;
    for (int split = 0; split < 2; split++) {
        CHECK_EQ(gguf_open(&g, store_file(split), &e), ERR_NONE);
        const char *path = gguf_part_path(g, gguf_part_count(g) - 1);
        snprintf(other, sizeof other, "%s.other", path);
        FILE *f = fopen(other, "wb");
        CHECK(f && !fseek(f, 20 << 20, SEEK_SET) && fputc(0, f) == 0 && !fclose(f));
        CHECK_EQ(rename(other, path), 0);
        stream_within(g, 3000000, &bytes);
        CHECK_EQ(remove(path), 0);
        stream_within(g, 3000000, &bytes);
        gguf_close(g);
    }
}

/* What is allowed and not read yet: experts that come back are, and all that is pinned under a new plan. */
TEST(stream_knows_what_is_not_filled_yet) {
    gguf *g;
    store *s;
    err e;
    store_units units = {.describe = describe, .n_units = LAYERS + LAYERS * EACH, .n_layers = LAYERS, .n_used = 2};
    CHECK_EQ(gguf_open(&g, store_file(false), &e), ERR_NONE);
    CHECK_EQ(store_open(&s, g, NULL, &e), ERR_NONE);
    CHECK_EQ(store_set_units(s, &units, &e), ERR_NONE);
    CHECK_EQ(store_stream(s, 3000000, &e), ERR_NONE);
    CHECK(store_unfilled_bytes(s) > 2500000 && store_unfilled_bytes(s) <= 3000000);
    walk(s, 40, false);
    CHECK_EQ(store_unfilled_bytes(s), 0);
    CHECK(store_resize(s, 2000000));
    CHECK_EQ(store_unfilled_bytes(s), 0);
    CHECK(store_resize(s, 3000000));
    CHECK(store_unfilled_bytes(s) > 800000 && store_unfilled_bytes(s) <= 1000000);
    walk(s, 40, false);
    CHECK_EQ(store_unfilled_bytes(s), 0);
    CHECK(store_resize(s, 1000000));
    CHECK(store_unfilled_bytes(s) > 0);
    walk(s, 40, false);
    CHECK_EQ(store_unfilled_bytes(s), 0);
    store_close(s);
    gguf_close(g);
}

TEST(stream_says_what_is_too_little) {
    gguf *g;
    store *s;
    err e;
    store_lease lease;
    store_units units = {.describe = describe, .n_units = LAYERS + LAYERS * EACH, .n_layers = LAYERS, .n_used = 2};
    CHECK_EQ(gguf_open(&g, store_file(false), &e), ERR_NONE);
    CHECK_EQ(store_open(&s, g, NULL, &e), ERR_NONE);
    CHECK_EQ(store_set_units(s, &units, &e), ERR_NONE);
    CHECK_EQ(store_stream(s, 100000, &e), ERR_MEMORY);
    CHECK_MSG(strstr(e.text, "0 MiB for weights are too little: 1 MiB would do"), "%s", e.text);
    CHECK_EQ(store_mode_of(s), STORE_MAPPED); /* as before */
    CHECK_EQ(store_lease_now(s, 3, NULL, &lease, &e), ERR_NONE);
    check_unit(s, &lease);
    store_release(s, &lease);
    store_close(s);
    gguf_close(g);
}

/* ---- the engine ------------------------------------------------------------------------------------------- */

enum { N_IDS = 40, N_PROMPT = 28 };

typedef struct collected {
    float *at;
    size_t n_vocab, n;
} collected;

static bool collect(void *user, size_t index, const float *logits) {
    collected *c = user;
    (void)index;
    memcpy(c->at + c->n++ * c->n_vocab, logits, c->n_vocab * sizeof(float));
    return true;
}

/* Logits of a prompt and of tokens generated one by one and three at a time. NULL: the memory was too little. */
static float *run(const char *path, uint64_t ram, bool no_map, char *how, size_t cap) {
    leat_model *m;
    leat_session *s;
    leat_error e;
    CHECK_MSG(leat_model_open(&m, path, &(leat_model_options){.ram_bytes = ram, .no_map = no_map}, &e) == LEAT_OK, "%s",
              e.text);
    leat_session_options o = {.n_ctx = 64, .n_threads = 2, .n_chunk = 16};
    leat_code code = leat_session_open(&s, m, &o, &e);
    if (code) {
        CHECK_MSG(code == LEAT_MEMORY && strstr(e.text, "too little"), "%s", e.text);
        leat_model_close(m);
        return NULL;
    }
    size_t n_vocab = (size_t)leat_model_n_vocab(m);
    collected c = {malloc(N_IDS * n_vocab * sizeof(float)), n_vocab, 0};
    int32_t ids[N_IDS];
    for (int32_t i = 0; i < N_IDS; i++) ids[i] = (i * 37 + 11) % (int32_t)n_vocab;
    CHECK_MSG(leat_feed_each(s, ids, N_PROMPT, LEAT_PROMPT, collect, &c, &e) == LEAT_OK, "%s", e.text);
    for (size_t i = N_PROMPT; i < N_IDS; i += i < N_IDS - 3 ? 1 : 3) {
        leat_model_resize(m, i % 3 ? ram / (i % 5 + 1) : ram); /* memory comes and goes: the bits stay */
        CHECK_MSG(leat_feed_each(s, ids + i, i < N_IDS - 3 ? 1 : 3, LEAT_GENERATED, collect, &c, &e) == LEAT_OK, "%s",
                  e.text);
    }
    CHECK_EQ(c.n, N_IDS);
    leat_session_memory(s, how, cap);
    if (ram) CHECK_MSG(leat_session_stats(s).held_bytes <= ram, "%llu held", (unsigned long long)ram);
    leat_session_close(s);
    leat_model_close(m);
    return c.at;
}

/* Every budget from too little to enough. */
static void same_bits_within(const tiny_spec *spec, const char *name, int streams_min) {
    char how[256];
    const char *path = test_path(3, name);
    size_t held = mem_bytes_total();
    tiny_write(spec, path);
    float *want = run(path, 0, false, how, sizeof how);
    size_t bytes = N_IDS * (spec->n_vocab ? spec->n_vocab : 128) * sizeof(float);
    CHECK(want && strncmp(how, "mapped", 6) == 0);
    float *resident = run(path, 0, true, how, sizeof how);
    CHECK(resident && strncmp(how, "resident", 8) == 0 && memcmp(want, resident, bytes) == 0);
    free(resident);
    int streams = 0;
    for (uint64_t ram = (uint64_t)4 << 20;; ram += (uint64_t)300 << 10) {
        posix_uring_allow(streams % 3 != 2);
        float *got = run(path, ram, false, how, sizeof how);
        bool over = got && strncmp(how, "mapped", 6) == 0;
        if (got) CHECK_MSG(memcmp(want, got, bytes) == 0, "%s: other bits: %s", name, how);
        free(got);
        streams += got && !over;
        if (over) break;
        CHECK(ram < (uint64_t)256 << 20);
    }
    posix_uring_allow(true);
    CHECK_MSG(streams >= streams_min, "%s: streamed with %d budgets only", name, streams);
    free(want);
    CHECK_EQ(mem_bytes_total(), held);
}

TEST(stream_bits_of_experts) {
    tiny_spec s = tiny_default("qwen3moe");
    s.n_layer = 3, s.n_expert = 12, s.n_expert_used = 3, s.n_ff_expert = 256;
    s.type = QUANT_Q4_K, s.type2 = QUANT_Q6_K, s.mixed = true;
    same_bits_within(&s, "stream-experts.gguf", 4);
}

TEST(stream_bits_of_experts_beside_a_shared_one) {
    tiny_spec s = tiny_default("qwen2moe");
    s.n_expert = 8, s.n_expert_used = 2, s.n_ff_expert = 256, s.type = QUANT_Q8_0;
    same_bits_within(&s, "stream-shared.gguf", 4);
}

TEST(stream_bits_of_dense_layers) {
    tiny_spec s = tiny_default("llama");
    s.n_layer = 7, s.type = QUANT_F16, s.type2 = QUANT_Q5_K, s.mixed = true, s.tied = true;
    same_bits_within(&s, "stream-dense.gguf", 4);
    s.parts = 2, s.n_layer = 4, s.tied = false;
    same_bits_within(&s, "stream-00001-of-00002.gguf", 3);
}

/* ---- forced routing --------------------------------------------------------------------------------------- */

/* Logits after some tokens with the experts of `routing`, within `ram` (0: mapped). */
static void routed(const char *path, uint64_t ram, const leat_routing *routing, float *logits, bool *streams) {
    leat_model *m;
    leat_session *s;
    leat_error e;
    char how[256];
    static const int32_t ids[] = {1, 2, 3, 4, 5};
    CHECK_EQ(leat_model_open(&m, path, &(leat_model_options){.ram_bytes = ram}, &e), LEAT_OK);
    leat_session_options o = {.n_ctx = 32, .n_threads = 2, .routing = routing};
    CHECK_MSG(leat_session_open(&s, m, &o, &e) == LEAT_OK, "%s", e.text);
    CHECK_EQ(leat_feed(s, ids, 3, LEAT_PROMPT, &e), LEAT_OK);
    for (int i = 3; i < 5; i++) CHECK_EQ(leat_feed(s, ids + i, 1, LEAT_GENERATED, &e), LEAT_OK);
    memcpy(logits, leat_logits(s), 128 * sizeof *logits);
    leat_session_memory(s, how, sizeof how);
    *streams = strncmp(how, "streaming", 9) == 0;
    /* Three prompt tokens use five experts of layer 0 and four of layer 1; two tokens more three of each. */
    if (*streams) CHECK_EQ(leat_session_stats(s).expert_hits + leat_session_stats(s).expert_misses, 9 + 12);
    leat_session_close(s);
    leat_model_close(m);
}

TEST(stream_follows_recorded_routing) {
    tiny_spec spec = tiny_default("qwen3moe");
    spec.n_expert = 8, spec.n_expert_used = 2, spec.n_ff_expert = 512, spec.type = QUANT_Q8_0;
    const char *path = test_path(3, "stream-routed.gguf");
    tiny_write(&spec, path);
    uint16_t experts[2 * 2 * 3] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 3, 5}; /* three a token, where the model says two */
    leat_routing routing = {experts, 2, 2, 3};
    float a[128], b[128], c[128];
    bool streams;
    routed(path, 0, &routing, a, &streams);
    CHECK(!streams);
    routed(path, (uint64_t)13 << 20, &routing, b, &streams);
    CHECK(streams && memcmp(a, b, sizeof a) == 0);
    experts[8] = 5; /* in layer 0: seen by all tokens after */
    routed(path, 0, &routing, c, &streams);
    CHECK(memcmp(a, c, sizeof a) != 0);
    leat_model *m;
    leat_session *s;
    leat_error e;
    CHECK_EQ(leat_model_open(&m, path, NULL, &e), LEAT_OK);
    experts[11] = 1;
    CHECK_EQ(leat_session_open(&s, m, &(leat_session_options){.routing = &routing}, &e), LEAT_ARGUMENT);
    CHECK_STR(e.text, "routing of token 1, layer 1: expert 1 twice, wanted 0 to 7 once each");
    experts[11] = 8;
    CHECK_EQ(leat_session_open(&s, m, &(leat_session_options){.routing = &routing}, &e), LEAT_ARGUMENT);
    routing.n_layer = 3;
    CHECK_EQ(leat_session_open(&s, m, &(leat_session_options){.routing = &routing}, &e), LEAT_ARGUMENT);
    CHECK_STR(e.text, "routing of 2 tokens, 3 layers, 3 experts used; the model has 2 layers of 8");
    leat_model_close(m);
}
