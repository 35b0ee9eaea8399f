/* The types of the KV cache through include/leat.h: bits that do not depend on threads and chunks, also where the
 * segments of a long context go to several workers; windows; rewinding; the error of each type; heads that do not fit.
 */
#include "unit/tiny_model.h"

#include <string.h>

static const char *const types[] = {"f16", "bf16", "q8_0", "q4_0"};

static tiny_spec wide_heads(void) {
    tiny_spec s = tiny_default("llama");
    s.head_dim = 64;
    s.n_ctx = 4096;
    return s;
}

/* Logits after n prompt tokens and one generated, which is fed again after a rewind by `back`. */
static float *last_logits(leat_model *m, const leat_session_options *o, size_t n, size_t step, int32_t back) {
    leat_session *s;
    leat_error e;
    rng r;
    size_t n_vocab = (size_t)leat_model_n_vocab(m);
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    float *out = malloc(n_vocab * sizeof *out);
    rng_seed(&r, 11);
    for (size_t i = 0; i <= n; i++) ids[i] = (int32_t)(rng_u64(&r) % n_vocab);
    CHECK_MSG(leat_session_open(&s, m, o, &e) == LEAT_OK, "%s", e.text);
    for (size_t i = 0; i < n; i += step) CHECK_EQ(leat_feed(s, ids + i, MIN(step, n - i), LEAT_PROMPT, &e), LEAT_OK);
    if (back) {
        CHECK_EQ(leat_feed(s, ids, 1, LEAT_GENERATED, &e), LEAT_OK);
        CHECK_EQ(leat_rewind(s, (int32_t)n - back, &e), LEAT_OK);
        CHECK_EQ(leat_feed(s, ids + n - (size_t)back, (size_t)back, LEAT_PROMPT, &e), LEAT_OK);
    }
    CHECK_EQ(leat_feed(s, ids + n, 1, LEAT_GENERATED, &e), LEAT_OK);
    memcpy(out, leat_logits(s), n_vocab * sizeof *out);
    leat_session_close(s);
    free(ids);
    return out;
}

static void same_in_all_ways(leat_model *m, leat_session_options o, size_t n, const char *what) {
    static const struct { int threads, chunk, step, back; } ways[] = {{3, 33, 700, 0}, {2, 256, 1000, 100}};
    size_t n_vocab = (size_t)leat_model_n_vocab(m);
    o.n_threads = 1;
    float *first = last_logits(m, &o, n, n, 0);
    for (size_t i = 0; i < n_vocab; i++) CHECK(f32_is_finite(first[i]));
    for (size_t w = 0; w < COUNT_OF(ways); w++) {
        o.n_threads = ways[w].threads;
        o.n_chunk = ways[w].chunk;
        float *other = last_logits(m, &o, n, (size_t)ways[w].step, ways[w].back);
        CHECK_MSG(memcmp(first, other, n_vocab * sizeof(float)) == 0, "%s, keys %s: bits differ in way %zu", what,
                  o.cache_type_k, w);
        free(other);
    }
    free(first);
}

TEST(cache_types_same_bits_in_all_ways) {
    tiny_spec s = wide_heads();
    leat_model *m = open_tiny(&s, "cache.gguf");
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        leat_session_options o = {.n_ctx = 1300, .cache_type_k = types[t], .cache_type_v = types[(t + 1) % 4]};
        same_in_all_ways(m, o, 1100, "full"); /* more than a segment */
    }
    leat_model_close(m);
    s.window = 100;
    m = open_tiny(&s, "cache.gguf");
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        leat_session_options o = {.n_ctx = 1300, .cache_type_k = types[t], .cache_type_v = types[t]};
        same_in_all_ways(m, o, 1090, "window");
    }
    leat_model_close(m);
}

TEST(cache_types_have_their_errors) {
    static const double most[] = {0, 1e-4, 1e-3, 0.2}; /* NMSE of logits to those with F16: a tiny random model */
    tiny_spec s = wide_heads();
    leat_model *m = open_tiny(&s, "cache.gguf");
    size_t n_vocab = (size_t)leat_model_n_vocab(m), bytes = 0;
    leat_session_options o = {.n_ctx = 256};
    float *f16 = last_logits(m, &o, 200, 200, 0);
    double before = -1;
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        o.cache_type_k = o.cache_type_v = types[t];
        float *x = last_logits(m, &o, 200, 200, 0);
        double error = nmse(x, f16, n_vocab);
        CHECK_MSG(error <= most[t] && error > before, "%s: NMSE %g", types[t], error);
        before = error;
        free(x);
        leat_session *session;
        CHECK_EQ(leat_session_open(&session, m, &o, NULL), LEAT_OK);
        if (t >= 2) CHECK(leat_session_bytes(session) < bytes);
        bytes = leat_session_bytes(session);
        leat_session_close(session);
    }
    free(f16);
    leat_model_close(m);
}

TEST(cache_types_that_do_not_fit_are_refused) {
    tiny_spec s = tiny_default("llama");
    s.head_dim = 24;
    leat_model *m = open_tiny(&s, "cache.gguf");
    leat_session *session;
    leat_error e;
    leat_session_options o = {.cache_type_v = "q8_0"};
    CHECK_EQ(leat_session_open(&session, m, &o, &e), LEAT_UNSUPPORTED);
    CHECK_MSG(strstr(e.text, "values") && strstr(e.text, "24") && strstr(e.text, "32"), "%s", e.text);
    o = (leat_session_options){.cache_type_k = "q5_x"};
    CHECK_EQ(leat_session_open(&session, m, &o, &e), LEAT_ARGUMENT);
    CHECK_MSG(strstr(e.text, "q5_x"), "%s", e.text);
    o = (leat_session_options){.cache_type_k = "q4_k"};
    CHECK_EQ(leat_session_open(&session, m, &o, &e), LEAT_UNSUPPORTED);
    CHECK_MSG(strstr(e.text, "Q4_K"), "%s", e.text);
    leat_model_close(m);
}
