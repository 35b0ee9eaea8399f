/* Sliding windows hold their window only: a session in little memory gives the bits of one that holds all, in whatever
 * way it is fed, rewound, guessed for, saved or shared with earlier prompts. */
#include "unit/tiny_model.h"
#include "kv/kv.h"

#include <string.h>
#include <sys/stat.h>

enum { WINDOW = 70, N_TEXT = 1500, N_CTX = 1536, STEP = 48, HELD = (WINDOW + KV_BACK + STEP + 63) / 64 * 64 + 64 };
static const char *const types[] = {"f16", "bf16", "q8_0", "q4_0"};

static leat_model *open_windowed(const char *arch) {
    tiny_spec spec = tiny_default(arch);
    spec.n_embd = 64, spec.head_dim = 32, spec.n_ff = 64, spec.n_ctx = N_CTX, spec.window = WINDOW;
    return open_tiny(&spec, "window.gguf");
}

/* What is fed at most N_CTX at a time holds all: the arithmetic of before. */
static leat_session *open_session(leat_model *m, int32_t n_chunk, const char *type) {
    return open_tiny_session(m, (leat_session_options){
        .n_ctx = N_CTX, .n_threads = 2, .n_chunk = n_chunk, .cache_type_k = type, .cache_type_v = type});
}

static void draw(int32_t *ids, size_t n, uint64_t seed) {
    rng r;
    rng_seed(&r, seed);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)(rng_u64(&r) % 128);
}

typedef struct collected {
    float *at;
    size_t n_vocab;
} collected;

static bool collect(void *user, size_t index, const float *logits) {
    collected *c = user;
    (void)index;
    memcpy(c->at, logits, c->n_vocab * sizeof *logits);
    c->at += c->n_vocab;
    return true;
}

/* Tokens in turns of a prompt of 100 and an answer of 60, at most `step` at a time; (n, n_vocab) logits. */
static leat_role role_at(size_t i) { return i % 160 < 100 ? LEAT_PROMPT : LEAT_GENERATED; }

static void feed(leat_session *s, const int32_t *ids, size_t from, size_t to, size_t step, collected *c) {
    leat_error e;
    for (size_t i = from, n; i < to; i += n) {
        for (n = 1; n < step && i + n < to && role_at(i + n) == role_at(i);) n++;
        CHECK_MSG(leat_feed_each(s, ids + i, n, role_at(i), collect, c, &e) == LEAT_OK, "%s", e.text);
    }
}

static float *logits_of(leat_model *m, leat_session *s, const int32_t *ids, size_t n, size_t step) {
    size_t n_vocab = (size_t)leat_model_n_vocab(m);
    float *all = malloc(n * n_vocab * sizeof *all);
    feed(s, ids, 0, n, step, &(collected){all, n_vocab});
    return all;
}

TEST(window_held_alone_gives_the_same_bits) {
    leat_model *m = open_windowed("llama");
    static const struct { int32_t chunk; size_t step; } ways[] = {{STEP, N_TEXT}, {STEP, 1}, {1, N_TEXT}, {200, 77}};
    size_t bytes = N_TEXT * (size_t)leat_model_n_vocab(m) * sizeof(float);
    int32_t ids[N_TEXT];
    draw(ids, N_TEXT, 3);
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        leat_session *s = open_session(m, N_CTX, types[t]);
        float *whole = logits_of(m, s, ids, N_TEXT, N_TEXT);
        leat_session_close(s);
        for (size_t w = 0; w < COUNT_OF(ways); w++) {
            s = open_session(m, ways[w].chunk, types[t]);
            float *windowed = logits_of(m, s, ids, N_TEXT, ways[w].step);
            CHECK_MSG(!memcmp(whole, windowed, bytes), "%s: bits differ in way %zu", types[t], w);
            free(windowed);
            leat_session_close(s);
        }
        free(whole);
    }
    leat_model_close(m);
}

TEST(window_bounds_what_is_held) {
    const kv_shape shape = {.n_layer = 1, .n_head_kv = 1, .dim_k = 8, .dim_v = 8, .type_k = QUANT_F16,
                            .type_v = QUANT_F16, .window = WINDOW};
    kv_cache *c;
    kv_seq *s, *other;
    err e;
    CHECK_EQ(kv_held(WINDOW, STEP, N_CTX), HELD);
    CHECK_EQ(kv_held(WINDOW, STEP, 100), 100);
    CHECK_EQ(kv_held(SIZE_MAX, STEP, N_CTX), N_CTX); /* a header may say anything */
    CHECK_EQ(kv_open(&c, &shape, N_CTX, kv_held(WINDOW, STEP, N_CTX), 2, NULL), ERR_NONE);
    CHECK_EQ(kv_bytes(c), HELD / KV_PAGE * kv_page_bytes(&shape));
    CHECK_EQ(kv_seq_open(c, &s, NULL), ERR_NONE);
    for (size_t n = 1; kv_seq_length(s) + STEP <= N_CTX; n = n % STEP + 1) {
        CHECK_MSG(kv_seq_reserve(s, n, &e) == ERR_NONE, "at %zu: %s", kv_seq_length(s), e.text);
        CHECK(kv_seq_holds(s, kv_seq_length(s)));
        CHECK(kv_seq_length(s) < KV_BACK || kv_seq_holds(s, kv_seq_length(s) - KV_BACK));
        kv_seq_commit(s, n);
    }
    CHECK(!kv_seq_holds(s, 0) && !kv_seq_holds(s, N_CTX / 2));
    /* What a fork shares is nobody's until both have given it up. */
    CHECK_EQ(kv_seq_fork(s, &other, NULL), ERR_NONE);
    size_t length = kv_seq_length(s);
    kv_seq_truncate(other, length - KV_BACK);
    CHECK_EQ(kv_seq_length(other), length - KV_BACK);
    kv_seq_truncate(other, N_CTX / 2); /* it has lost what that sees */
    CHECK_EQ(kv_seq_length(other), 0);
    CHECK_EQ(kv_seq_reserve(other, STEP, &e), ERR_LIMIT);
    CHECK(kv_seq_trim(s) && !kv_seq_trim(s));
    CHECK_EQ(kv_seq_reserve(other, STEP, &e), ERR_NONE);
    kv_seq_close(other);
    kv_seq_close(s);
    CHECK_EQ(kv_seq_open(c, &s, NULL), ERR_NONE);
    CHECK_EQ(kv_seq_reserve(s, HELD, &e), ERR_NONE); /* every page came back */
    kv_close(c);
}

TEST(window_costs_its_memory_whatever_the_context) {
    leat_model *m = open_windowed("llama");
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        leat_session_options o = {.n_ctx = 1024 << i, .n_threads = 1, .n_chunk = STEP};
        leat_session *s;
        CHECK_EQ(leat_session_open(&s, m, &o, NULL), LEAT_OK);
        bytes[i] = leat_session_bytes(s);
        leat_session_close(s);
    }
    CHECK_EQ(bytes[0], bytes[1]);
    leat_model_close(m);
}

TEST(window_rewound_goes_on_with_the_same_bits) {
    leat_model *m = open_windowed("llama");
    leat_session *s = open_session(m, N_CTX, NULL);
    size_t n_vocab = (size_t)leat_model_n_vocab(m), to[] = {1400, 1372, 1371, 900, 890, 70, 69, 1, 0};
    leat_error e;
    int32_t ids[N_TEXT];
    draw(ids, N_TEXT, 5);
    float *whole = logits_of(m, s, ids, N_TEXT, N_TEXT), *some = malloc(100 * n_vocab * sizeof *some);
    leat_session_close(s);
    s = open_session(m, STEP, NULL);
    for (size_t i = 0; i < COUNT_OF(to); i++) {
        size_t length = (size_t)leat_session_length(s), n = to[i];
        for (size_t at = length; at < N_TEXT; at++) CHECK_EQ(leat_feed(s, ids + at, 1, role_at(at), &e), LEAT_OK);
        size_t kept = n;
        leat_code code = i % 2 ? leat_reuse(s, ids, n + 1, false, &kept, &e) : leat_rewind(s, (int32_t)n, &e);
        CHECK_MSG(code == LEAT_OK && kept == n, "%s", e.text);
        CHECK_EQ(leat_session_length(s), n);
        CHECK(!leat_logits(s) && !memcmp(leat_session_tokens(s), ids, n * sizeof *ids));
        feed(s, ids, n, n + 100, 13, &(collected){some, n_vocab});
        CHECK_MSG(!memcmp(some, whole + n * n_vocab, 100 * n_vocab * sizeof *some), "rewound to %zu", n);
    }
    leat_session_close(s);
    free(some);
    free(whole);
    leat_model_close(m);
}

static bool cancels(void *user) {
    int *steps = user;
    return *steps >= 0 && (*steps)-- == 0;
}

/* What it computes again may be cancelled: less is left, and none of it is wrong. */
TEST(window_rewind_cancelled_leaves_a_beginning) {
    leat_model *m = open_windowed("llama");
    leat_session *s = open_session(m, N_CTX, NULL);
    size_t n_vocab = (size_t)leat_model_n_vocab(m);
    leat_error e;
    int32_t ids[N_TEXT];
    draw(ids, N_TEXT, 6);
    float *whole = logits_of(m, s, ids, 1000, N_TEXT), *some = malloc(1000 * n_vocab * sizeof *some);
    leat_session_close(s);
    int cancel_in = -1;
    leat_session_options o = {
        .n_ctx = N_CTX, .n_threads = 1, .n_chunk = STEP, .yield = cancels, .user = &cancel_in};
    CHECK_EQ(leat_session_open(&s, m, &o, &e), LEAT_OK);
    feed(s, ids, 0, 1000, STEP, &(collected){some, n_vocab});
    cancel_in = 25;
    CHECK_EQ(leat_rewind(s, 500, &e), LEAT_CANCELLED);
    size_t left = (size_t)leat_session_length(s);
    CHECK_MSG(left > 0 && left < 500, "%zu tokens", left);
    feed(s, ids, left, 1000, STEP, &(collected){some, n_vocab});
    CHECK(!memcmp(some, whole + left * n_vocab, (1000 - left) * n_vocab * sizeof *some));
    leat_session_close(s);
    free(some);
    free(whole);
    leat_model_close(m);
}

/* ---- speculation ---- */

static void generate(leat_model *m, int32_t n_chunk, int32_t n_draft, int32_t draft_chunk, int32_t *ids, size_t n) {
    leat_session *s = open_session(m, n_chunk, NULL), *draft = draft_chunk ? open_session(m, draft_chunk, NULL) : NULL;
    leat_sampler *sampler;
    leat_generator *g;
    leat_error e;
    leat_sampler_options sampling;
    leat_sampler_defaults(&sampling);
    sampling.seed = 5;
    sampling.temperature = 0.7f;
    CHECK_EQ(leat_sampler_open(&sampler, m, &sampling, &e), LEAT_OK);
    int32_t prompt[300];
    draw(prompt, 300, 8);
    CHECK_EQ(leat_feed(s, prompt, 300, LEAT_PROMPT, &e), LEAT_OK);
    leat_generator_options o = {.n_draft = n_draft, .draft = draft, .always = true, .endless = true};
    CHECK_MSG(leat_generator_open(&g, s, sampler, &o, &e) == LEAT_OK, "%s", e.text);
    for (size_t i = 0; i < n; i++) CHECK_MSG(leat_generate(g, &ids[i], &e) == LEAT_OK, "%s", e.text);
    leat_generator_stats stats = leat_generator_stats_of(g);
    CHECK_MSG(!n_draft || stats.drafted > stats.matched, "%d guesses", n_draft);
    leat_generator_close(g);
    CHECK_EQ(leat_session_length(s), 300 + n - 1);
    leat_sampler_close(sampler);
    leat_session_close(draft);
    leat_session_close(s);
}

TEST(window_guesses_do_not_change_the_text) {
    leat_model *m = open_windowed("mistral3");
    enum { N = 400 };
    int32_t whole[N], ids[N];
    static const struct { int32_t chunk, n_draft, draft_chunk; } ways[] = {
        {STEP, 0, 0}, {STEP, 8, 0}, {STEP, 8, STEP}, {65, 64, 1}, {3, 64, STEP}};
    generate(m, N_CTX, 0, 0, whole, N);
    for (size_t w = 0; w < COUNT_OF(ways); w++) {
        generate(m, ways[w].chunk, ways[w].n_draft, ways[w].draft_chunk, ids, N);
        CHECK_MSG(!memcmp(ids, whole, sizeof whole), "way %zu changes the text", w);
    }
    leat_model_close(m);
}

/* ---- files ---- */

TEST(window_saved_goes_on_with_the_same_bits) {
    leat_model *m = open_windowed("llama");
    leat_session *all = open_session(m, N_CTX, NULL), *s = open_session(m, STEP, NULL);
    size_t n_vocab = (size_t)leat_model_n_vocab(m), file_bytes[2];
    leat_error e;
    int32_t ids[N_TEXT];
    const char *path = test_path(1, "window.kv");
    draw(ids, N_TEXT, 9);
    float *whole = logits_of(m, all, ids, N_TEXT, N_TEXT), *some = malloc(N_TEXT * n_vocab * sizeof *some);
    CHECK_EQ(leat_rewind(all, 1300, &e), LEAT_OK);
    feed(s, ids, 0, 1300, N_TEXT, &(collected){some, n_vocab});
    for (int i = 0; i < 2; i++) { /* both hold the same of use to others */
        CHECK_MSG(leat_session_save(i ? s : all, path, "", 0, &e) == LEAT_OK, "%s", e.text);
        free(test_slurp(path, &file_bytes[i]));
        leat_session *b = open_session(m, 1, NULL);
        CHECK_MSG(leat_session_load(b, path, &e) == LEAT_OK, "%s", e.text);
        CHECK_EQ(leat_session_length(b), 1300);
        feed(b, ids, 1300, N_TEXT, 40, &(collected){some, n_vocab});
        CHECK(!memcmp(some, whole + 1300 * n_vocab, (N_TEXT - 1300) * n_vocab * sizeof *some));
        CHECK_EQ(leat_session_load(b, path, &e), LEAT_OK);
        CHECK_MSG(leat_rewind(b, 600, &e) == LEAT_OK, "%s", e.text); /* before all that the file has */
        feed(b, ids, 600, 700, 40, &(collected){some, n_vocab});
        CHECK(!memcmp(some, whole + 600 * n_vocab, 100 * n_vocab * sizeof *some));
        leat_session_close(b);
    }
    CHECK_EQ(file_bytes[0], file_bytes[1]);
    leat_session_close(all);
    leat_session_close(s);
    free(some);
    free(whole);
    leat_model_close(m);
}

/* Pages that a file has not, of positions that its next token sees: refused, with all its checksums right. */
TEST(window_file_that_begins_too_late_is_refused) {
    kv_shape shape = {.n_layer = 1, .n_head_kv = 1, .dim_k = 8, .dim_v = 8, .type_k = QUANT_F16, .type_v = QUANT_F16,
                      .window = WINDOW};
    const kv_identity who = {.model = 1, .isa = "scalar", .n_vocab = 1};
    static int32_t tokens[N_CTX];
    static uint8_t roles[N_CTX];
    const char *path = test_path(1, "late.kv");
    static const struct { size_t window; err_code code; } readers[] = {
        {WINDOW, ERR_NONE},
        {WINDOW + KV_BACK, ERR_NONE},
        {WINDOW + KV_BACK + 64, ERR_UNSUPPORTED},
        {0, ERR_UNSUPPORTED}};
    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        kv_cache *c;
        kv_seq *s;
        err e;
        if (i == 0) {
            CHECK_EQ(kv_open(&c, &shape, N_CTX, kv_held(WINDOW, STEP, N_CTX), 1, &e), ERR_NONE);
            CHECK_EQ(kv_seq_open(c, &s, &e), ERR_NONE);
            for (size_t n = 0; n < 1024; n += 32) {
                CHECK_EQ(kv_seq_reserve(s, 32, &e), ERR_NONE);
                memset(kv_seq_pages(s)[n / KV_PAGE], 0, kv_page_bytes(&shape));
                kv_seq_commit(s, 32);
            }
            CHECK_MSG(kv_save(s, path, &who, tokens, roles, (str){0}, &e) == ERR_NONE, "%s", e.text);
            kv_close(c);
        }
        shape.window = readers[i].window;
        CHECK_EQ(kv_open(&c, &shape, N_CTX, kv_held(WINDOW, STEP, N_CTX), 1, &e), ERR_NONE);
        CHECK_EQ(kv_seq_open(c, &s, &e), ERR_NONE);
        CHECK_MSG(kv_load(s, path, &who, tokens, roles, N_CTX, &e) == readers[i].code, "reader %zu: %s", i, e.text);
        CHECK_EQ(kv_seq_length(s), readers[i].code ? 0 : 1024);
        kv_close(c);
    }
}

/* Files of earlier versions have the pages that nobody will see, too: more than there is room for. */
TEST(window_file_with_all_pages_is_loaded) {
    kv_shape shape = {.n_layer = 1, .n_head_kv = 1, .dim_k = 8, .dim_v = 8, .type_k = QUANT_F16, .type_v = QUANT_F16};
    const kv_identity who = {.model = 1, .isa = "scalar", .n_vocab = 1};
    static int32_t tokens[N_CTX];
    static uint8_t roles[N_CTX];
    const char *path = test_path(1, "whole.kv");
    size_t n = 1000, page_bytes = kv_page_bytes(&shape);
    kv_cache *c;
    kv_seq *s;
    err e;
    CHECK_EQ(kv_open(&c, &shape, N_CTX, N_CTX, 1, &e), ERR_NONE);
    CHECK_EQ(kv_seq_open(c, &s, &e), ERR_NONE);
    CHECK_EQ(kv_seq_reserve(s, n, &e), ERR_NONE);
    for (size_t i = 0; i < div_up(n, KV_PAGE); i++) memset(kv_seq_pages(s)[i], (int)i, page_bytes);
    kv_seq_commit(s, n);
    CHECK_MSG(kv_save(s, path, &who, tokens, roles, (str){0}, &e) == ERR_NONE, "%s", e.text);
    kv_close(c);
    shape.window = WINDOW;
    CHECK_EQ(kv_open(&c, &shape, N_CTX, kv_held(WINDOW, 1, N_CTX), 1, &e), ERR_NONE);
    CHECK_EQ(kv_seq_open(c, &s, &e), ERR_NONE);
    CHECK_MSG(kv_load(s, path, &who, tokens, roles, N_CTX, &e) == ERR_NONE, "%s", e.text);
    CHECK_EQ(kv_seq_length(s), n);
    CHECK(kv_seq_holds(s, n - KV_BACK));
    for (size_t i = kv_seq_first(s); i < div_up(n, KV_PAGE); i++) {
        CHECK_EQ((size_t)kv_seq_pages(s)[i][0], i);
        CHECK_EQ((size_t)kv_seq_pages(s)[i][page_bytes - 1], i);
    }
    kv_close(c);
}

/* ---- earlier prompts ---- */

static leat_session *open_kept(leat_model *m, int32_t n_kept, int32_t kept_tokens) {
    return open_tiny_session(m, (leat_session_options){
        .n_ctx = N_CTX, .n_threads = 1, .n_chunk = STEP, .n_kept = n_kept, .kept_tokens = kept_tokens});
}

/* Turn by turn, with long answers between: a prompt's end is found again while there is memory beside the context. */
TEST(window_prompts_are_gone_on_with) {
    leat_model *m = open_windowed("llama");
    leat_session *s = open_kept(m, 4, 2 * HELD), *poor = open_kept(m, 4, 0);
    int32_t a[N_TEXT], b[N_TEXT];
    draw(a, N_TEXT, 1), draw(b, N_TEXT, 2);
    for (size_t n = 300, before = 0; n < 1200; before = n, n += 300) {
        CHECK_EQ(ask(s, a, n, 310), before);
        CHECK_EQ(ask(s, a, n, 310), n - 1); /* another answer */
        CHECK_EQ(ask(s, b, n, 310), before);
        CHECK_EQ(ask(poor, a, n, 310), 0); /* computed anew: there is room for the answer only */
    }
    leat_session_close(poor);
    leat_session_close(s);
    leat_model_close(m);
}

/* Prompts of any length out of a tree of texts, little memory: always the logits of a session that had no other. */
TEST(window_kept_prompts_change_no_bit) {
    leat_model *m = open_windowed("llama");
    leat_session *s = open_kept(m, 3, 256), *fresh = open_session(m, N_CTX, NULL);
    size_t n_vocab = (size_t)leat_model_n_vocab(m), reused = 0;
    leat_error e;
    int32_t ids[700];
    rng r;
    rng_seed(&r, 4);
    for (int turn = 0; turn < 100; turn++) {
        draw(ids, 700, 1);
        size_t at = rng_u64(&r) % 500, n = 200 + rng_u64(&r) % 500, answer = rng_u64(&r) % 3 * 100;
        draw(ids + at, 700 - at, 2 + rng_u64(&r) % 2);
        reused += ask(s, ids, n, 0);
        CHECK_EQ(leat_rewind(fresh, 0, &e), LEAT_OK);
        ask(fresh, ids, n, 0);
        CHECK_MSG(!memcmp(leat_logits(s), leat_logits(fresh), n_vocab * sizeof(float)), "turn %d", turn);
        if (answer) ask(s, ids, n, answer);
    }
    CHECK_MSG(reused > 1000, "%zu tokens", reused);
    leat_session_close(s);
    leat_session_close(fresh);
    leat_model_close(m);
}
