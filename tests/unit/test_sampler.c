/* The sampler's chain, stage by stage, on logits made for the purpose. */
#include "unit/tiny_model.h"

#include <math.h>
#include <string.h>

#define V 128

static leat_model *open_model(void) {
    tiny_spec spec = tiny_default("llama");
    spec.n_vocab = V;
    return open_tiny(&spec, "sampler.gguf");
}

/* All stages off, temperature 1. */
static leat_sampler_options plain(void) {
    leat_sampler_options o;
    leat_sampler_defaults(&o);
    o.temperature = 1;
    o.top_k = 0;
    o.top_p = 1;
    o.min_p = 0;
    return o;
}

/* Draws n tokens and counts them. */
static void draw(leat_model *m, const leat_sampler_options *o, const float *logits, int n, int *counts) {
    leat_sampler *s;
    leat_error e;
    CHECK_MSG(leat_sampler_open(&s, m, o, &e) == LEAT_OK, "%s", e.text);
    memset(counts, 0, V * sizeof *counts);
    for (int i = 0; i < n; i++) counts[leat_sample(s, logits)]++;
    leat_sampler_close(s);
}

/* log-probabilities 0.5, 0.25, 0.125 ... for tokens 100, 99, 98 ... and nothing for the others. */
static void halves(float *logits) {
    for (int i = 0; i < V; i++) logits[i] = i > 80 && i <= 100 ? (float)(log(2) * (i - 100)) : -1e9f;
}

TEST(sampler_draws_by_probability) {
    leat_model *m = open_model();
    float logits[V];
    int counts[V];
    halves(logits);
    leat_sampler_options o = plain();
    draw(m, &o, logits, 20000, counts);
    CHECK_NEAR(counts[100] / 20000.0, 0.5, 0.02);
    CHECK_NEAR(counts[99] / 20000.0, 0.25, 0.02);
    CHECK_NEAR(counts[98] / 20000.0, 0.125, 0.02);
    o.temperature = 0.5f; /* squares the odds: 3/4, 3/16 ... */
    draw(m, &o, logits, 20000, counts);
    CHECK_NEAR(counts[100] / 20000.0, 0.75, 0.02);
    CHECK_NEAR(counts[99] / 20000.0, 0.1875, 0.02);
    leat_model_close(m);
}

TEST(sampler_greedy_takes_the_first_of_the_best) {
    leat_model *m = open_model();
    float logits[V] = {0};
    int counts[V];
    leat_sampler_options o = plain();
    o.temperature = 0;
    logits[40] = logits[70] = 3;
    draw(m, &o, logits, 3, counts);
    CHECK_EQ(counts[40], 3);
    logits[40] = NAN;
    draw(m, &o, logits, 3, counts);
    CHECK_EQ(counts[70], 3);
    for (int i = 0; i < V; i++) logits[i] = NAN;
    draw(m, &o, logits, 1, counts); /* whatever it is, it is a token */
    leat_model_close(m);
}

TEST(sampler_cuts_the_tail) {
    leat_model *m = open_model();
    float logits[V];
    int counts[V];
    halves(logits);
    leat_sampler_options o = plain();
    o.top_k = 3;
    draw(m, &o, logits, 5000, counts);
    CHECK_EQ(counts[100] + counts[99] + counts[98], 5000);
    CHECK(counts[98] > 500);
    o = plain(), o.top_p = 0.7f; /* 0.5 + 0.25 reaches it */
    draw(m, &o, logits, 5000, counts);
    CHECK_EQ(counts[100] + counts[99], 5000);
    o = plain(), o.min_p = 0.2f; /* 0.25 and more of the best */
    draw(m, &o, logits, 5000, counts);
    CHECK_EQ(counts[100] + counts[99] + counts[98], 5000);
    CHECK(counts[98] > 500);
    o = plain(), o.typical_p = 0.2f; /* entropy is 2 bits: 0.25 is the most typical */
    draw(m, &o, logits, 5000, counts);
    CHECK_EQ(counts[99], 5000);
    o = plain(), o.xtc_probability = 1, o.xtc_threshold = 0.2f; /* 0.5 goes, 0.25 is the least above */
    draw(m, &o, logits, 5000, counts);
    CHECK_EQ(counts[100], 0);
    CHECK(counts[99] > 2000 && counts[98] > 1000);
    leat_model_close(m);
}

TEST(sampler_top_n_sigma_measures_from_the_best) {
    leat_model *m = open_model();
    float logits[V];
    int counts[V];
    for (int i = 0; i < V; i++) logits[i] = i % 2 ? 1.0f : -1.0f; /* deviation 1 */
    logits[7] = 1.5f;
    leat_sampler_options o = plain();
    o.top_n_sigma = 1;
    draw(m, &o, logits, 3000, counts);
    for (int i = 0; i < V; i += 2) CHECK_EQ(counts[i], 0);
    CHECK(counts[9] > 0);
    leat_model_close(m);
}

static int32_t greedy_after(leat_model *m, leat_sampler_options o, const int32_t *history, size_t n,
                            const float *logits) {
    leat_sampler *s;
    o.temperature = 0;
    CHECK_EQ(leat_sampler_open(&s, m, &o, NULL), LEAT_OK);
    for (size_t i = 0; i < n; i++) leat_sampler_accept(s, history[i]);
    int32_t id = leat_sample(s, logits);
    leat_sampler_close(s);
    return id;
}

TEST(sampler_penalises_repetition) {
    leat_model *m = open_model();
    float logits[V] = {0};
    logits[10] = 5, logits[11] = 4;
    const int32_t once[] = {10}, past[] = {10, 1, 2, 3};
    leat_sampler_options o = plain();
    CHECK_EQ(greedy_after(m, o, once, 1, logits), 10);
    o.repeat_penalty = 1.5f;
    CHECK_EQ(greedy_after(m, o, once, 1, logits), 11);
    o.penalty_last_n = 3; /* 10 has left the window */
    CHECK_EQ(greedy_after(m, o, past, 4, logits), 10);
    o = plain(), o.presence_penalty = 1.5f;
    CHECK_EQ(greedy_after(m, o, once, 1, logits), 11);
    o = plain(), o.frequency_penalty = 0.4f;
    const int32_t thrice[] = {10, 10, 10};
    CHECK_EQ(greedy_after(m, o, once, 1, logits), 10);
    CHECK_EQ(greedy_after(m, o, thrice, 3, logits), 11);
    leat_model_close(m);
}

TEST(sampler_counts_a_window_of_the_largest_size) {
    leat_model *m = open_model();
    float logits[V] = {0};
    logits[10] = 5, logits[11] = 4;
    enum { WINDOW = 65536, N = 2 * WINDOW };
    int32_t *past = malloc(N * sizeof *past);
    for (int i = 0; i < N; i++) past[i] = i < WINDOW ? 10 : 1;
    leat_sampler_options o = plain();
    o.presence_penalty = 1.5f;
    o.penalty_last_n = WINDOW;
    CHECK_EQ(greedy_after(m, o, past, WINDOW, logits), 11);
    CHECK_EQ(greedy_after(m, o, past, N, logits), 10); /* all of them have left it */
    free(past);
    leat_model_close(m);
}

TEST(sampler_dry_breaks_a_loop) {
    leat_model *m = open_model();
    float logits[V] = {0};
    logits[23] = 5, logits[11] = 4;
    const int32_t loop[] = {20, 21, 22, 23, 5, 20, 21, 22}; /* 23 would repeat 20 21 22 23 */
    leat_sampler_options o = plain();
    CHECK_EQ(greedy_after(m, o, loop, COUNT_OF(loop), logits), 23);
    o.dry_multiplier = 0.8f; /* 0.8 * 1.75^(3 - 2) = 1.4 */
    CHECK_EQ(greedy_after(m, o, loop, COUNT_OF(loop), logits), 11);
    o.dry_allowed_length = 4;
    CHECK_EQ(greedy_after(m, o, loop, COUNT_OF(loop), logits), 23);
    leat_model_close(m);
}

TEST(sampler_repeats_with_its_seed) {
    leat_model *m = open_model();
    float logits[V];
    leat_sampler *a, *b;
    for (int i = 0; i < V; i++) logits[i] = (float)sin(i * 1.7) * 3;
    leat_sampler_options o;
    leat_sampler_defaults(&o);
    o.seed = 77;
    CHECK_EQ(leat_sampler_open(&a, m, &o, NULL), LEAT_OK);
    CHECK_EQ(leat_sampler_open(&b, m, &o, NULL), LEAT_OK);
    for (int i = 0; i < 200; i++) CHECK_EQ(leat_sample(a, logits), leat_sample(b, logits));
    leat_sampler_close(a);
    leat_sampler_close(b);
    leat_model_close(m);
}

TEST(sampler_refuses_ranges) {
    leat_model *m = open_model();
    leat_sampler *s;
    leat_error e;
    leat_sampler_options o = plain();
    o.top_p = 1.5f;
    CHECK_EQ(leat_sampler_open(&s, m, &o, &e), LEAT_ARGUMENT);
    CHECK(strstr(e.text, "top_p") && s == NULL);
    o = plain(), o.temperature = NAN;
    CHECK_EQ(leat_sampler_open(&s, m, &o, &e), LEAT_ARGUMENT);
    o = plain(), o.top_k = -1;
    CHECK_EQ(leat_sampler_open(&s, m, &o, &e), LEAT_ARGUMENT);
    leat_model_close(m);
}
