/* Generators: the text is the same with guesses and without, whoever guesses; a session is left as if nobody had. */
#include "unit/tiny_model.h"

#include <string.h>

#define N_PROMPT 12
#define N_TEXT 70

static leat_model *open_seeded(const char *arch, const char *name, uint64_t seed) {
    tiny_spec spec = tiny_default(arch);
    spec.seed = seed;
    return open_tiny(&spec, name);
}

typedef struct writer {
    leat_session *session;
    leat_sampler *sampler;
    leat_generator *generator;
    int cancel_in; /* layers until the session's yield hook says stop; negative: never */
} writer;

static bool cancelled(void *user) {
    writer *w = user;
    return w->cancel_in >= 0 && w->cancel_in-- == 0;
}

static leat_session *open_session(leat_model *m, int n_ctx, writer *w) {
    leat_session *s;
    leat_session_options o = {.n_ctx = n_ctx, .n_threads = 2, .n_chunk = 16, .yield = w ? cancelled : NULL, .user = w};
    CHECK(leat_session_open(&s, m, &o, NULL) == LEAT_OK);
    return s;
}

static void begin(writer *w, leat_model *m, int n_ctx, float temperature, const leat_generator_options *o) {
    leat_error e;
    leat_sampler_options sampling;
    int32_t prompt[N_PROMPT];
    w->cancel_in = -1;
    w->session = open_session(m, n_ctx, w);
    leat_sampler_defaults(&sampling);
    sampling.temperature = temperature;
    sampling.seed = 7;
    sampling.repeat_penalty = 1.05f;
    CHECK(leat_sampler_open(&w->sampler, m, &sampling, NULL) == LEAT_OK);
    for (int i = 0; i < N_PROMPT; i++) prompt[i] = 10 + i % 4, leat_sampler_accept(w->sampler, prompt[i]);
    CHECK(leat_feed(w->session, prompt, N_PROMPT, LEAT_PROMPT, NULL) == LEAT_OK);
    CHECK_MSG(leat_generator_open(&w->generator, w->session, w->sampler, o, &e) == LEAT_OK, "%s", e.text);
}

static void end(writer *w) {
    leat_generator_close(w->generator);
    leat_sampler_close(w->sampler);
    leat_session_close(w->session);
}

/* Tokens handed out until n are there or the context is full; returns how many. */
static size_t take(writer *w, int32_t *ids, size_t n) {
    leat_error e;
    for (size_t i = 0; i < n; i++) {
        leat_code code = leat_generate(w->generator, &ids[i], &e);
        if (code == LEAT_LIMIT) return i;
        CHECK_MSG(code == LEAT_OK, "%s", e.text);
    }
    return n;
}

static void same_text(const char *arch, bool by_model, float temperature) {
    leat_model *m = open_seeded(arch, "text.gguf", 1), *other = open_seeded("llama", "draft.gguf", 2);
    int32_t plain[N_TEXT], ids[N_TEXT];
    writer w;
    begin(&w, m, 128, temperature, &(leat_generator_options){.endless = true});
    take(&w, plain, N_TEXT);
    end(&w);
    for (int n_draft = 1; n_draft <= 64; n_draft *= 8)
        for (int who = 0; who < 2; who++) { /* a model that is seldom right, then the model itself */
            leat_session *draft = by_model ? open_session(who ? m : other, 128, NULL) : NULL;
            leat_generator_options o = {.n_draft = n_draft, .draft = draft, .always = true, .endless = true};
            begin(&w, m, 128, temperature, &o);
            size_t n = (size_t)(N_TEXT - 3 * n_draft % 17);
            CHECK_EQ(take(&w, ids, n), n);
            CHECK_MSG(!memcmp(ids, plain, n * sizeof *ids), "%s: %d guesses at %g change the text", arch, n_draft,
                      (double)temperature);
            leat_generator_stats stats = leat_generator_stats_of(w.generator);
            CHECK(!by_model || stats.drafted > 0);
            if (by_model && who && temperature <= 0) CHECK(stats.matched > 0 && stats.passes < n - 1);
            /* The session goes on as if there had been no guesses. */
            leat_generator_close(w.generator);
            w.generator = NULL;
            CHECK_EQ(leat_session_length(w.session), N_PROMPT + n - 1);
            CHECK(!memcmp(leat_session_tokens(w.session) + N_PROMPT, plain, (n - 1) * sizeof *plain));
            CHECK(leat_feed(w.session, &plain[n - 1], 1, LEAT_GENERATED, NULL) == LEAT_OK);
            if (temperature <= 0 && n < N_TEXT) CHECK_EQ(leat_sample(w.sampler, leat_logits(w.session)), plain[n]);
            end(&w);
            leat_session_close(draft);
        }
    leat_model_close(other);
    leat_model_close(m);
}

TEST(generate_repeats_do_not_change_the_text) { same_text("llama", false, 0), same_text("llama", false, 0.9f); }
TEST(generate_a_draft_model_does_not_change_the_text) { same_text("llama", true, 0), same_text("llama", true, 0.9f); }
TEST(generate_experts_drafted_do_not_change_the_text) { same_text("qwen3moe", true, 0); }

TEST(generate_ends_with_the_context) {
    leat_model *m = open_seeded("llama", "full.gguf", 1);
    int32_t plain[N_TEXT], ids[N_TEXT];
    writer w;
    begin(&w, m, 40, 0, &(leat_generator_options){.endless = true});
    size_t n = take(&w, plain, N_TEXT);
    CHECK_EQ(n, 40 - N_PROMPT + 1); /* one is drawn that is not fed */
    end(&w);
    leat_session *draft = open_session(m, 40, NULL);
    begin(&w, m, 40, 0, &(leat_generator_options){.n_draft = 8, .draft = draft, .always = true, .endless = true});
    CHECK_EQ(take(&w, ids, N_TEXT), n);
    CHECK(!memcmp(ids, plain, n * sizeof *ids));
    CHECK_EQ(leat_session_length(w.session), 40);
    end(&w);
    leat_session_close(draft);
    leat_model_close(m);
}

TEST(generate_cancelled_loses_nothing) {
    leat_model *m = open_seeded("llama", "cancel.gguf", 1);
    int32_t plain[N_TEXT], ids[N_TEXT];
    writer w;
    begin(&w, m, 128, 0.8f, &(leat_generator_options){.endless = true});
    take(&w, plain, N_TEXT);
    end(&w);
    begin(&w, m, 128, 0.8f, &(leat_generator_options){.n_draft = 40, .always = true, .endless = true});
    size_t n_cancelled = 0;
    for (size_t i = 0; i < N_TEXT;) {
        w.cancel_in = (int)(i % 5) - 1;
        leat_code code = leat_generate(w.generator, &ids[i], NULL);
        if (!code) i++;
        else n_cancelled++;
        CHECK(!code || code == LEAT_CANCELLED);
        w.cancel_in = -1;
        if (code && leat_generate(w.generator, &ids[i], NULL) == LEAT_OK) i++;
    }
    CHECK(n_cancelled > 5);
    CHECK(!memcmp(ids, plain, sizeof ids));
    end(&w);
    leat_model_close(m);
}

/* The same tokens, but for some at the end that the smaller model lacks: it has nothing to say of texts with them. */
TEST(generate_a_draft_model_may_lack_tokens) {
    tiny_spec spec = tiny_default("llama");
    spec.tok = TINY_TOK_SPM;
    leat_model *draft_model = open_tiny(&spec, "fewer.gguf");
    int32_t n_vocab = leat_model_n_vocab(draft_model);
    spec.n_vocab = 2 * (uint32_t)n_vocab;
    spec.seed = 2;
    leat_model *m = open_tiny(&spec, "more.gguf");
    int32_t ids[N_TEXT], plain[N_TEXT];
    writer w = {0};
    begin(&w, m, 128, 0.9f, &(leat_generator_options){.endless = true});
    CHECK_EQ(take(&w, plain, N_TEXT), N_TEXT);
    end(&w);
    bool lacks = false;
    for (size_t i = 0; i < N_TEXT; i++) lacks |= plain[i] >= n_vocab;
    CHECK(lacks);
    leat_session *draft = open_session(draft_model, 128, NULL);
    begin(&w, m, 128, 0.9f, &(leat_generator_options){.n_draft = 4, .draft = draft, .always = true, .endless = true});
    CHECK_EQ(take(&w, ids, N_TEXT), N_TEXT);
    CHECK(!memcmp(ids, plain, sizeof ids));
    end(&w);
    leat_session_close(draft);
    leat_model_close(draft_model);
    leat_model_close(m);
}

static bool always(void *user) {
    (void)user;
    return true;
}

TEST(generate_a_draft_model_is_held_whole) {
    leat_error e;
    tiny_spec spec = tiny_default("llama");
    char draft_path[512], path[512];
    snprintf(draft_path, sizeof draft_path, "%s", test_path(0, "held.gguf"));
    snprintf(path, sizeof path, "%s", test_path(0, "holder.gguf"));
    tiny_write(&spec, draft_path);
    tiny_write(&spec, path);
    leat_model *draft, *m;
    CHECK(leat_model_open(&draft, draft_path, &(leat_model_options){.no_map = true}, NULL) == LEAT_OK);
    CHECK(leat_model_open(&m, path, &(leat_model_options){.draft = draft}, NULL) == LEAT_OK);
    leat_session *guesser = open_session(draft, 64, NULL), *s;
    leat_session_options stops = {.n_ctx = 64, .n_threads = 1, .yield = always};
    CHECK(!leat_session_stats(guesser).weights_bytes);
    CHECK(leat_session_open(&s, m, &stops, &e) == LEAT_CANCELLED && !s);
    s = open_session(m, 64, NULL);
    CHECK(leat_session_stats(guesser).weights_bytes > leat_model_bytes(draft) / 10 * 9); /* no embeddings */
    uint64_t reads = leat_session_stats(guesser).reads;
    leat_session *another = open_session(m, 64, NULL); /* nothing is read twice */
    CHECK_EQ(leat_session_stats(guesser).reads, reads);
    leat_session_close(another);
    leat_session_close(s);
    leat_model_close(m);
    leat_session_close(guesser);
    leat_model_close(draft);
    /* So is a model that is not mapped, where there is a ceiling. */
    CHECK(leat_model_open(&m, path, &(leat_model_options){.no_map = true, .ram_bytes = 1 << 30}, NULL) == LEAT_OK);
    s = open_session(m, 64, NULL);
    CHECK(leat_session_stats(s).weights_bytes > leat_model_bytes(m) / 10 * 9);
    leat_session_close(s);
    leat_model_close(m);
    spec.n_vocab = 129;
    tiny_write(&spec, draft_path);
    CHECK(leat_model_open(&draft, draft_path, NULL, NULL) == LEAT_OK);
    CHECK(leat_model_open(&m, path, &(leat_model_options){.draft = draft}, &e) == LEAT_ARGUMENT && !m);
    CHECK_MSG(strstr(e.text, "129 tokens, wanted 128"), "%s", e.text);
    leat_model_close(draft);
}

TEST(generate_refuses_what_cannot_be) {
    leat_model *m = open_seeded("llama", "refuse.gguf", 1);
    leat_error e;
    leat_generator *g;
    leat_session *s = open_session(m, 64, NULL);
    leat_sampler *sampler;
    CHECK(leat_sampler_open(&sampler, m, NULL, NULL) == LEAT_OK);
    CHECK(leat_generator_open(&g, s, sampler, NULL, &e) == LEAT_ARGUMENT && !g);
    CHECK(strstr(e.text, "no logits"));
    CHECK(leat_feed(s, &(int32_t){1}, 1, LEAT_PROMPT, NULL) == LEAT_OK);
    CHECK(leat_generator_open(&g, s, sampler, &(leat_generator_options){.n_draft = 65}, &e) == LEAT_ARGUMENT);
    CHECK(strstr(e.text, "65 guesses"));
    tiny_spec spec = tiny_default("llama");
    spec.n_vocab = 129;
    leat_model *other;
    tiny_write(&spec, test_path(0, "other.gguf"));
    CHECK(leat_model_open(&other, test_path(0, "other.gguf"), NULL, NULL) == LEAT_OK);
    leat_session *draft = open_session(other, 64, NULL);
    CHECK(leat_generator_open(&g, s, sampler, &(leat_generator_options){.n_draft = 2, .draft = draft}, &e) ==
          LEAT_ARGUMENT);
    CHECK_MSG(strstr(e.text, "129 tokens, wanted 128"), "%s", e.text);
    leat_session_close(draft);
    leat_model_close(other);
    leat_sampler_close(sampler);
    leat_session_close(s);
    leat_model_close(m);
}
