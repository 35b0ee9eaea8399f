/* The engine through include/leat.h on tiny models: the numerics rule (a token's bits depend on file, ISA, tokens and
 * roles only), sessions that fail or are cancelled and go on, files that do not fit.
 */
#include "kern/kern.h"
#include "plat/posix/posix.h"
#include "unit/tiny_model.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_TOKENS 150

static void random_tokens(int32_t *ids, size_t n, int32_t n_vocab, uint64_t seed) {
    rng r;
    rng_seed(&r, seed);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)(rng_u64(&r) % (uint64_t)n_vocab);
}

typedef struct collector {
    float *at;
    size_t n_vocab;
} collector;

static bool collect(void *user, size_t index, const float *logits) {
    collector *c = user;
    memcpy(c->at + index * c->n_vocab, logits, c->n_vocab * sizeof(float));
    return true;
}

/* Logits (n, n_vocab) of every token; step tokens a feed. Free it. */
static float *logits_of(leat_model *m, const leat_session_options *o, const int32_t *ids, size_t n, leat_role role,
                        size_t step) {
    leat_session *s;
    leat_error e;
    size_t n_vocab = (size_t)leat_model_n_vocab(m);
    float *all = malloc(n * n_vocab * sizeof(float));
    CHECK_MSG(leat_session_open(&s, m, o, &e) == LEAT_OK, "%s", e.text);
    for (size_t i = 0; i < n; i += step) {
        collector c = {all + i * n_vocab, n_vocab};
        CHECK_MSG(leat_feed_each(s, ids + i, MIN(step, n - i), role, collect, &c, &e) == LEAT_OK, "%s", e.text);
    }
    leat_session_close(s);
    return all;
}

/* ---- the numerics rule -------------------------------------------------------------------------------------- */

static void same_bits(const tiny_spec *spec) {
    leat_model *m = open_tiny(spec, "bits.gguf");
    size_t n = N_TOKENS, bytes = n * (size_t)leat_model_n_vocab(m) * sizeof(float);
    int32_t ids[N_TOKENS];
    random_tokens(ids, n, leat_model_n_vocab(m), 5);
    for (size_t i = 0; kern_at(i); i++) {
        const char *level = kern_name(kern_at(i));
        leat_session_options o = {.n_ctx = 256, .n_threads = 1, .isa = level};
        leat_session *probe;
        if (leat_session_open(&probe, m, &o, NULL) != LEAT_OK) continue; /* not on this CPU */
        leat_session_close(probe);
        float *prompt = logits_of(m, &o, ids, n, LEAT_PROMPT, n),
              *generated = logits_of(m, &o, ids, n, LEAT_GENERATED, 1);
        for (size_t k = 0; k < bytes / sizeof(float); k++)
            CHECK(f32_is_finite(prompt[k]) && f32_is_finite(generated[k]));
        static const struct { int threads, chunk, step; } ways[] = {{1, 1, 150}, {2, 7, 150}, {5, 64, 33}, {2, 100, 1}};
        for (size_t w = 0; w < COUNT_OF(ways); w++) {
            o.n_threads = ways[w].threads;
            o.n_chunk = ways[w].chunk;
            float *a = logits_of(m, &o, ids, n, LEAT_PROMPT, (size_t)ways[w].step);
            float *b = logits_of(m, &o, ids, n, LEAT_GENERATED, (size_t)ways[w].step);
            CHECK_MSG(memcmp(a, prompt, bytes) == 0, "%s %s: prompt bits differ in way %zu", spec->arch, level, w);
            CHECK_MSG(memcmp(b, generated, bytes) == 0, "%s %s: generated bits differ in way %zu", spec->arch,
                      level, w);
            free(a);
            free(b);
        }
        double distance = nmse(prompt, generated, bytes / sizeof(float));
        CHECK_MSG(distance < 2e-3, "%s %s: prompt and generated differ by NMSE %g", spec->arch, level, distance);
        free(prompt);
        free(generated);
    }
    leat_model_close(m);
}

TEST(engine_bits_do_not_depend_on_threads_and_chunks) {
    tiny_spec s = tiny_default("llama");
    s.type = QUANT_Q4_K, s.type2 = QUANT_Q6_K, s.mixed = true;
    same_bits(&s);
}

TEST(engine_bits_do_not_depend_on_threads_and_chunks_with_experts) {
    tiny_spec s = tiny_default("qwen2moe");
    s.type = QUANT_Q8_0, s.type2 = QUANT_F16, s.mixed = true;
    same_bits(&s);
    s = tiny_default("qwen3moe");
    s.type = QUANT_Q5_K, s.type2 = QUANT_IQ4_XS, s.mixed = true;
    same_bits(&s);
}

/* Rows longer than the scratch that kernels ask for: the workers' normed rows must not reach into each other. */
TEST(engine_bits_do_not_depend_on_threads_with_wide_rows) {
    tiny_spec s = tiny_default("llama");
    s.n_layer = 1, s.n_embd = 49152, s.head_dim = 16, s.n_ff = 32, s.n_vocab = 16, s.type = QUANT_Q8_0;
    leat_model *m = open_tiny(&s, "wide.gguf");
    int32_t ids[24];
    random_tokens(ids, 24, leat_model_n_vocab(m), 6);
    leat_session_options one = {.n_ctx = 64, .n_threads = 1, .isa = "scalar"}, four = one;
    four.n_threads = 4;
    float *a = logits_of(m, &one, ids, 24, LEAT_PROMPT, 24), *b = logits_of(m, &four, ids, 24, LEAT_PROMPT, 24);
    CHECK(memcmp(a, b, 24 * (size_t)leat_model_n_vocab(m) * sizeof(float)) == 0);
    free(a);
    free(b);
    leat_model_close(m);
}

TEST(engine_runs_every_type) {
    for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
        if (!quant_find(id)) continue;
        tiny_spec s = tiny_default("llama");
        s.type = (quant_id)id;
        leat_model *m = open_tiny(&s, "type.gguf");
        int32_t ids[20];
        random_tokens(ids, 20, leat_model_n_vocab(m), id);
        leat_session_options o = {.n_ctx = 64, .isa = "scalar"};
        size_t n = 20 * (size_t)leat_model_n_vocab(m);
        float *prompt = logits_of(m, &o, ids, 20, LEAT_PROMPT, 20),
              *generated = logits_of(m, &o, ids, 20, LEAT_GENERATED, 1);
        double distance = nmse(prompt, generated, n);
        CHECK_MSG(distance < 2e-3, "%s: prompt and generated differ by NMSE %g", quant_find(id)->name, distance);
        free(prompt);
        free(generated);
        leat_model_close(m);
    }
}

TEST(engine_reads_weights_like_a_mapping) {
    tiny_spec s = tiny_default("qwen3moe");
    s.type = QUANT_Q6_K;
    leat_model *mapped = open_tiny(&s, "nomap.gguf"), *read;
    leat_model_options no_map = {.no_map = true};
    CHECK_EQ(leat_model_open(&read, test_path(0, "nomap.gguf"), &no_map, NULL), LEAT_OK);
    int32_t ids[40];
    random_tokens(ids, 40, leat_model_n_vocab(mapped), 1);
    leat_session_options o = {.n_ctx = 64};
    float *a = logits_of(mapped, &o, ids, 40, LEAT_PROMPT, 40), *b = logits_of(read, &o, ids, 40, LEAT_PROMPT, 40);
    CHECK(memcmp(a, b, 40 * (size_t)leat_model_n_vocab(mapped) * sizeof(float)) == 0);
    free(a);
    free(b);
    leat_model_close(mapped);
    leat_model_close(read);
}

/* What a program gets is there, so this runs in a process of its own: its status, of a check that failed, or 44. */
static int fail_for_a_while(const tiny_spec *spec) {
    const char *path = test_path(0, "lost.gguf"), *copy = test_path(1, "whole.gguf");
    leat_error e;
    leat_model *m = open_tiny(spec, "lost.gguf");
    int32_t ids[40], more = 5;
    random_tokens(ids, 40, leat_model_n_vocab(m), 1);
    leat_session *s = open_tiny_session(m, (leat_session_options){.n_ctx = 64, .n_threads = 2});
    leat_session *sound = open_tiny_session(m, (leat_session_options){.n_ctx = 64, .n_threads = 2});
    size_t row = (size_t)leat_model_n_vocab(m) * sizeof(float);
    if (leat_feed(sound, ids, 40, LEAT_PROMPT, &e) || leat_feed(sound, &more, 1, LEAT_GENERATED, &e)) return 1;
    tiny_write(spec, copy);
    FILE *whole = fopen(copy, "rb");
    static char bytes[4 << 20];
    size_t n = whole ? fread(bytes, 1, sizeof bytes, whole) : 0;
    size_t cut = n / 4 * 3; /* behind the embedding, which is read */
    if (!whole || n == sizeof bytes || fclose(whole)) return 2;
    for (int generated = 0; generated < 2; generated++) {
        const int32_t *fed = generated ? &more : ids;
        size_t n_fed = generated ? 1 : 40;
        leat_role role = generated ? LEAT_GENERATED : LEAT_PROMPT;
        if (truncate(path, (off_t)cut)) return 3;
        for (int again = 0; again < 2; again++) {
            if (leat_feed(s, fed, n_fed, role, &e) != LEAT_IO) return 4;
            if (!strstr(e.text, "lost.gguf ends early: 0 of ")) return 5;
            if (leat_session_length(s) != (generated ? 40 : 0)) return 6;
        }
        FILE *lost = fopen(path, "rb+");
        if (!lost || fwrite(bytes, 1, n, lost) != n || fclose(lost)) return 7;
        if (leat_feed(s, fed, n_fed, role, &e)) return 8;
    }
    if (memcmp(leat_logits(s), leat_logits(sound), row)) return 9;
    leat_session_close(s);
    leat_session_close(sound);
    leat_model_close(m);
    return 44;
}

TEST(engine_mapped_weights_that_cannot_be_read) {
    static const char *const archs[] = {"llama", "qwen3moe"};
    for (size_t i = 0; i < COUNT_OF(archs); i++) {
        tiny_spec spec = tiny_default(archs[i]);
        spec.type = QUANT_Q4_K;
        pid_t pid = fork();
        if (!pid) {
            plat_posix_start();
            _exit(fail_for_a_while(&spec));
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 44);
    }
}

/* ---- windows -------------------------------------------------------------------------------------------------- */

/* With one layer a position's logits depend on the tokens that it sees only, and rotation is relative: a window of W
 * gives what a context of the last W tokens alone gives. */
TEST(engine_sliding_window_sees_the_window_only) {
    tiny_spec s = tiny_default("llama");
    s.n_layer = 1, s.window = 70, s.n_ctx = 512;
    leat_model *windowed = open_tiny(&s, "window.gguf");
    s.window = 0;
    leat_model *full;
    tiny_write(&s, test_path(1, "no-window.gguf"));
    CHECK_EQ(leat_model_open(&full, test_path(1, "no-window.gguf"), NULL, NULL), LEAT_OK);
    int32_t ids[200];
    size_t v = (size_t)leat_model_n_vocab(full);
    random_tokens(ids, 200, (int32_t)v, 9);
    leat_session_options o = {.n_ctx = 256};
    float *w = logits_of(windowed, &o, ids, 200, LEAT_PROMPT, 200),
          *f = logits_of(full, &o, ids, 200, LEAT_PROMPT, 200);
    CHECK(memcmp(w, f, 70 * v * sizeof(float)) == 0); /* as long as all fits in the window */
    CHECK(nmse(w + 150 * v, f + 150 * v, v) > 1e-6);
    for (size_t last = 80; last < 200; last += 37) {
        float *alone = logits_of(full, &o, ids + last + 1 - 70, 70, LEAT_PROMPT, 70);
        double distance = nmse(w + last * v, alone + 69 * v, v);
        CHECK_MSG(distance < 1e-5, "position %zu: NMSE %g", last, distance);
        free(alone);
    }
    free(w);
    free(f);
    leat_model_close(windowed);
    leat_model_close(full);
}

/* ---- sessions --------------------------------------------------------------------------------------------------- */

TEST(engine_remembers_what_was_fed) {
    tiny_spec spec = tiny_default("llama");
    leat_model *m = open_tiny(&spec, "tokens.gguf");
    leat_session_options o = {.n_ctx = 64, .n_threads = 1, .n_chunk = 7};
    leat_session *s;
    int32_t ids[40];
    random_tokens(ids, 40, leat_model_n_vocab(m), 3);
    CHECK(leat_session_open(&s, m, &o, NULL) == LEAT_OK);
    CHECK(leat_feed(s, ids, 30, LEAT_PROMPT, NULL) == LEAT_OK);
    CHECK(leat_rewind(s, 20, NULL) == LEAT_OK);
    CHECK(leat_feed(s, ids + 20, 20, LEAT_GENERATED, NULL) == LEAT_OK);
    CHECK_EQ(leat_session_length(s), 40);
    CHECK(!memcmp(leat_session_tokens(s), ids, sizeof ids));
    leat_session_close(s);
    leat_model_close(m);
}

TEST(engine_context_full_is_a_clear_stop) {
    tiny_spec spec = tiny_default("llama");
    leat_model *m = open_tiny(&spec, "full.gguf");
    leat_session *s;
    leat_error e;
    int32_t ids[40];
    random_tokens(ids, 40, leat_model_n_vocab(m), 2);
    leat_session_options o = {.n_ctx = 32};
    CHECK_EQ(leat_session_open(&s, m, &o, NULL), LEAT_OK);
    CHECK_EQ(leat_session_n_ctx(s), 32);
    CHECK(leat_logits(s) == NULL);
    CHECK_EQ(leat_feed(s, ids, 30, LEAT_PROMPT, NULL), LEAT_OK);
    CHECK_EQ(leat_feed(s, ids, 3, LEAT_PROMPT, &e), LEAT_LIMIT);
    CHECK(strstr(e.text, "30 of 32"));
    CHECK_EQ(leat_session_length(s), 30);
    CHECK_EQ(leat_feed(s, ids, 2, LEAT_GENERATED, &e), LEAT_OK);
    CHECK_EQ(leat_feed(s, ids, 1, LEAT_GENERATED, &e), LEAT_LIMIT);
    CHECK_EQ(leat_rewind(s, 33, &e), LEAT_ARGUMENT);
    CHECK_EQ(leat_rewind(s, 10, &e), LEAT_OK);
    CHECK(leat_logits(s) == NULL);
    CHECK_EQ(leat_feed(s, ids, 22, LEAT_PROMPT, &e), LEAT_OK);
    leat_session_close(s);
    leat_model_close(m);
}

TEST(engine_refuses_nonsense) {
    tiny_spec spec = tiny_default("llama");
    leat_model *m = open_tiny(&spec, "nonsense.gguf");
    leat_session *s;
    leat_error e;
    leat_session_options o = {.isa = "mmx"};
    CHECK_EQ(leat_session_open(&s, m, &o, &e), LEAT_ARGUMENT);
    CHECK(strstr(e.text, "mmx") && s == NULL);
    o = (leat_session_options){.n_threads = 100000};
    CHECK_EQ(leat_session_open(&s, m, &o, &e), LEAT_ARGUMENT);
    o = (leat_session_options){.n_ctx = -5};
    CHECK_EQ(leat_session_open(&s, m, &o, &e), LEAT_ARGUMENT);
    o = (leat_session_options){.n_ctx = 64};
    CHECK_EQ(leat_session_open(&s, m, &o, &e), LEAT_OK);
    int32_t bad[2] = {0, leat_model_n_vocab(m)};
    CHECK_EQ(leat_feed(s, bad, 2, LEAT_PROMPT, &e), LEAT_ARGUMENT);
    CHECK(strstr(e.text, "token 1"));
    bad[1] = -1;
    CHECK_EQ(leat_feed(s, bad, 2, LEAT_PROMPT, &e), LEAT_ARGUMENT);
    CHECK_EQ(leat_feed(s, bad, 0, LEAT_PROMPT, &e), LEAT_ARGUMENT);
    CHECK_EQ(leat_session_length(s), 0);
    leat_session_close(s);
    leat_model_close(m);
}

static bool cancel_third(void *user) { return ++*(int *)user == 3; }

TEST(engine_cancelled_feed_leaves_the_session_usable) {
    tiny_spec spec = tiny_default("llama");
    leat_model *m = open_tiny(&spec, "cancel.gguf");
    leat_session *s;
    leat_error e;
    int calls = 0;
    int32_t ids[40];
    random_tokens(ids, 40, leat_model_n_vocab(m), 3);
    leat_session_options o = {.n_ctx = 64, .n_chunk = 16, .yield = cancel_third, .user = &calls};
    CHECK_EQ(leat_session_open(&s, m, &o, NULL), LEAT_OK);
    CHECK_EQ(leat_feed(s, ids, 40, LEAT_PROMPT, &e), LEAT_CANCELLED); /* two layers a chunk: in the second chunk */
    CHECK_EQ(leat_session_length(s), 16);
    CHECK(leat_logits(s) == NULL);
    CHECK_EQ(leat_feed(s, ids + 16, 24, LEAT_PROMPT, &e), LEAT_OK);
    o.yield = NULL;
    float *whole = logits_of(m, &o, ids, 40, LEAT_PROMPT, 40);
    size_t v = (size_t)leat_model_n_vocab(m);
    CHECK(memcmp(whole + 39 * v, leat_logits(s), v * sizeof(float)) == 0);
    calls = 1; /* in the first chunk: all is as before */
    CHECK_EQ(leat_feed(s, ids, 20, LEAT_PROMPT, &e), LEAT_CANCELLED);
    CHECK_EQ(leat_session_length(s), 40);
    CHECK(leat_logits(s) && memcmp(whole + 39 * v, leat_logits(s), v * sizeof(float)) == 0);
    free(whole);
    leat_session_close(s);
    leat_model_close(m);
}

/* ---- files that do not fit -------------------------------------------------------------------------------------- */

/* Overwrites the first occurrence of `from` in the file with `to` (same length). */
static void patch(const char *path, const char *from, const char *to, size_t n) {
    size_t bytes;
    unsigned char *data = test_slurp(path, &bytes);
    unsigned char *at = memmem(data, bytes, from, n);
    CHECK_MSG(at != NULL, "%s not found", from);
    memcpy(at, to, n);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, bytes, f) == bytes);
    fclose(f);
    free(data);
}

static void refused(const tiny_spec *spec, const char *from, const char *to, size_t n, leat_code code,
                    const char *names) {
    leat_model *m;
    leat_error e;
    const char *path = test_path(0, "patched.gguf");
    size_t before = mem_bytes_total();
    tiny_write(spec, path);
    patch(path, from, to, n);
    CHECK_EQ(leat_model_open(&m, path, NULL, &e), code);
    CHECK(m == NULL);
    CHECK_MSG(strstr(e.text, names), "\"%s\" does not name %s", e.text, names);
    CHECK_EQ(mem_bytes_total(), before);
}

#define REFUSED(spec, from, to, code, names) refused(spec, from, to, sizeof(from) - 1, code, names)

TEST(engine_names_what_a_file_lacks) {
    tiny_spec llama = tiny_default("llama"), moe = tiny_default("qwen3moe");
    REFUSED(&llama, "blk.1.ffn_norm.weight", "blk.1.ffn_nork.weight", LEAT_FORMAT,
            "blk.1.ffn_norm.weight");
    REFUSED(&llama, "output_norm.weight", "output_nork.weight", LEAT_FORMAT,
            "output_norm.weight");
    REFUSED(&llama, "llama.block_count", "llama.block_cownt", LEAT_FORMAT,
            "llama.block_count");
    REFUSED(&llama, "llama.attention.head_count\4", "llama.attention.heed_count\4", LEAT_FORMAT,
            "llama.attention.head_count");
    REFUSED(&moe, "blk.0.ffn_up_exps.weight", "blk.0.ffn_up_axps.weight", LEAT_FORMAT,
            "blk.0.ffn_up_exps.weight");
    REFUSED(&moe, "qwen3moe.expert_count", "qwen3moe.expert_cownt", LEAT_FORMAT,
            "expert_count");
    /* Without its width there would be no shared expert, though its tensors are there. */
    tiny_spec shared = tiny_default("qwen2moe");
    shared.n_ff_expert = shared.n_ff_shexp = 256, shared.n_ff = 0;
    REFUSED(&shared, "expert_shared_feed_forward_length", "expert_shared_feed_forwerd_length", LEAT_FORMAT,
            "qwen2moe.expert_shared_feed_forward_length");
    REFUSED(&llama, "\5\0\0\0\0\0\0\0llama", "\5\0\0\0\0\0\0\0lloma", LEAT_UNSUPPORTED,
            "lloma");
}

TEST(engine_names_a_wrong_shape) {
    leat_model *m;
    leat_error e;
    tiny_spec spec = tiny_default("llama");
    const char *path = test_path(0, "shape.gguf");
    tiny_write(&spec, path);
    /* The shape of blk.0.attn_norm.weight: name, n_dims = 1, dims[0] = 256 becomes 128 (inside the file still). */
    char from[64] = "blk.0.attn_norm.weight", to[64] = "blk.0.attn_norm.weight";
    size_t n = strlen(from);
    memcpy(from + n, "\1\0\0\0\0\1\0\0\0\0\0\0", 12);
    memcpy(to + n, "\1\0\0\0\200\0\0\0\0\0\0\0", 12);
    patch(path, from, to, n + 12);
    CHECK_EQ(leat_model_open(&m, path, NULL, &e), LEAT_FORMAT);
    CHECK_MSG(strstr(e.text, "blk.0.attn_norm.weight") && strstr(e.text, "128") && strstr(e.text, "256"), "%s", e.text);
}
