/* test_models.c: every feature of model_cases.c, computed and compared with the exact logits in tests/data/models.
 *
 * Wanted on every instruction set: an error no larger than libllama's own on the same file as a prompt, and at most
 * half of it token by token, where activations keep 16 bits. And the same bits at any number of threads, in any chunks,
 * for any number of tokens at a time.
 */
#include "check.h"
#include "golden/model_cases.h"
#include "kern/kern.h"
#include "leat.h"

#include <string.h>

#define FLOOR 1e-7 /* what float rounding and the F16 of the KV cache may cost a model whose weights are exact */

typedef struct run_options {
    const char *isa;
    int32_t n_threads, n_chunk;
    leat_role role;
    size_t step; /* tokens fed at a time */
} run_options;

static char last_isa[16]; /* of the last run */

typedef struct rows {
    float *at; /* (n_tokens, n_vocab) */
    size_t n_vocab;
} rows;

static bool take_row(void *user, size_t index, const float *logits) {
    rows *r = user;
    memcpy(r->at + index * r->n_vocab, logits, r->n_vocab * sizeof *logits);
    return true;
}

/* False when this machine lacks the instruction set. */
static bool compute(leat_model *model, const model_case *c, const run_options *o, float *logits) {
    leat_session_options options = {.n_ctx = (int32_t)c->n_tokens, .n_threads = o->n_threads, .n_chunk = o->n_chunk,
                                    .isa = o->isa};
    leat_session *session;
    leat_error e;
    int32_t ids[MODEL_CASE_TOKENS_MAX];
    leat_code code = leat_session_open(&session, model, &options, &e);
    if (code == LEAT_UNSUPPORTED && o->isa) return false;
    CHECK_MSG(!code, "%s: %s", c->name, e.text);
    model_case_ids(c, ids);
    for (size_t at = 0; at < c->n_tokens; at += o->step) {
        rows r = {logits + at * model_case_vocab(c), model_case_vocab(c)};
        code = leat_feed_each(session, ids + at, MIN(o->step, c->n_tokens - at), o->role, take_row, &r, &e);
        CHECK_MSG(!code, "%s: %s", c->name, e.text);
    }
    snprintf(last_isa, sizeof last_isa, "%s", leat_session_isa(session));
    leat_session_close(session);
    return true;
}

/* ---- references ---------------------------------------------------------------------------------------------- */

/* libllama's own error as a prompt, from the line of the case in cases.tsv; 0 where it cannot run the file. */
static double peer_error(const char *name) {
    static char *table;
    size_t bytes, len = strlen(name);
    if (!table) table = (char *)test_slurp("tests/data/models/cases.tsv", &bytes);
    for (const char *line = table; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, name, len) != 0 || line[len] != '\t') continue;
        return line[len + 1] == '-' ? 0 : strtod(line + len + 1, NULL);
    }
    test_fail("tests/data/models/cases.tsv", 0, "no line of %s: retake the references", name);
}

static double error_of(const model_case *c, const float *logits) {
    float samples[MODEL_CASE_SAMPLES];
    char path[128];
    size_t bytes;
    snprintf(path, sizeof path, "tests/data/models/%s.f32", c->name);
    unsigned char *exact = test_slurp(path, &bytes);
    CHECK_EQ(bytes, sizeof samples);
    model_case_samples(c, logits, samples);
    double error = model_case_nmse(samples, (const float *)(const void *)exact);
    free(exact);
    return error;
}

/* ---- the checks of one case ------------------------------------------------------------------------------------ */

static int n_wrong;

static void complain(const model_case *c, const run_options *o, const char *what, double value, double limit) {
    printf("     %s, %s, %s, %d threads, chunk %d, step %zu: %s %.3g, allowed %.3g\n", c->name,
           o->isa ? o->isa : "best", o->role == LEAT_PROMPT ? "prompt" : "generated", o->n_threads, o->n_chunk, o->step,
           what, value, limit);
    n_wrong++;
}

static void check_error(const model_case *c, const run_options *o, const float *logits) {
    double error = error_of(c, logits), limit = (o->role == LEAT_PROMPT ? 1.0 : 0.5) * peer_error(c->name) + FLOOR;
    if (!(error <= limit)) complain(c, o, "NMSE", error, limit);
}

static void check_same(const model_case *c, const run_options *o, const float *logits, const float *first) {
    size_t n = (size_t)c->n_tokens * model_case_vocab(c), differ = 0;
    for (size_t i = 0; i < n; i++) differ += memcmp(&logits[i], &first[i], sizeof *first) != 0;
    if (differ) complain(c, o, "logits whose bits differ:", (double)differ, 0);
}

static void check_case(const model_case *c) {
    static float first[MODEL_CASE_TOKENS_MAX * MODEL_CASE_VOCAB_MAX];
    static float again[MODEL_CASE_TOKENS_MAX * MODEL_CASE_VOCAB_MAX];
    const size_t all = c->n_tokens;
    char file[64];
    leat_model *model;
    leat_error e;
    model_case_file(c, file, sizeof file);
    const char *path = test_path(0, file);
    tiny_write(&c->spec, path);
    CHECK_MSG(!leat_model_open(&model, path, NULL, &e), "%s: %s", c->name, e.text);
    CHECK_EQ(leat_model_n_vocab(model), model_case_vocab(c));

    const run_options prompt[] = {
        {NULL, 1, 0, LEAT_PROMPT, all}, {NULL, 2, 7, LEAT_PROMPT, all}, {NULL, 5, 64, LEAT_PROMPT, 33}};
    const run_options generated[] = {
        {NULL, 1, 0, LEAT_GENERATED, 1}, {NULL, 5, 0, LEAT_GENERATED, 7}, {NULL, 2, 3, LEAT_GENERATED, all}};
    const run_options *const roles[] = {prompt, generated};
    for (size_t r = 0; r < 2; r++) {
        compute(model, c, &roles[r][0], first);
        check_error(c, &roles[r][0], first);
        for (size_t i = 1; i < 3; i++) {
            compute(model, c, &roles[r][i], again);
            check_same(c, &roles[r][i], again, first);
        }
    }
    char best[16];
    snprintf(best, sizeof best, "%s", last_isa);
    for (size_t i = 0; kern_at(i); i++) {
        run_options o = {kern_name(kern_at(i)), 2, 16, LEAT_PROMPT, all};
        if (strcmp(kern_name(kern_at(i)), best) == 0) continue; /* done above */
        if (!compute(model, c, &o, again)) continue;
        check_error(c, &o, again);
        o.role = LEAT_GENERATED;
        o.step = 7;
        compute(model, c, &o, again);
        check_error(c, &o, again);
    }
    leat_model_close(model);
    remove(path);
}

static bool starts(const char *name, const char *prefix) { return strncmp(name, prefix, strlen(prefix)) == 0; }

/* The cases whose names start with the prefix; NULL: those of no other test. */
static void check_all(const char *prefix) {
    n_wrong = 0;
    size_t n_cases = 0;
    for (size_t i = 0; i < model_case_count(); i++) {
        model_case c = model_case_at(i);
        bool other = starts(c.name, "arch-") || starts(c.name, "type-") || starts(c.name, "experts-");
        if (prefix ? !starts(c.name, prefix) : other) continue;
        check_case(&c);
        n_cases++;
    }
    CHECK(n_cases > 0);
    CHECK_MSG(n_wrong == 0, "%d runs of %zu models are wrong", n_wrong, n_cases);
}

TEST(models_of_each_architecture) { check_all("arch-"); }
TEST(models_of_each_type) { check_all("type-"); }
TEST(models_of_experts_by_type) { check_all("experts-"); }
TEST(models_of_each_feature) { check_all(NULL); }
