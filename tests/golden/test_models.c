/* test_models.c: every feature of model_cases.c, computed and compared with the exact logits in tests/data/models.
 *
 * Wanted on every instruction set: about half of libllama's own error as a prompt, and next to none of it token by
 * token, where activations keep 16 bits (AVX2 takes those of K types and TQ2_0 in 8, as prompts do). And the same bits
 * at any number of threads, in any chunks, for any number of tokens at a time.
 */
#include "check.h"
#include "golden/model_cases.h"
#include "kern/kern.h"
#include "leat.h"

#include <string.h>

/* Of libllama's error. As a prompt: with blocks of 256, where it has a scale for 256 activations, 0.19 to 0.39 by type;
 * with smaller ones, where it has one for 32, 0.45 to 0.53 by chance (docs/NUMERICS.md). Generated with 16 bits: 0.004
 * at most. */
#define SHARE_256 0.5
#define SHARE_32 0.6
#define SHARE_GENERATED 0.02
#define TURNED_MAX 8 /* of the 128 choices of experts in a prompt: 2 are seen */
/* What float rounding and the F16 of the KV cache may cost a model whose weights are exact; and the exact logits of a
 * window are libllama's of tokens one by one, 1.8e-7 off. */
#define FLOOR 2e-7

typedef struct run_options {
    const char *isa;
    int32_t n_threads, n_chunk;
    leat_role role;
    size_t step; /* tokens fed at a time */
    bool forced; /* a prompt whose tokens take the experts that they took when generated */
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

/* ---- experts ---------------------------------------------------------------------------------------------------- */

enum { CHOICES_MAX = 16 }; /* of a token: layers times experts */

typedef struct routes {
    leat_role role;
    int32_t seen[CHOICES_MAX]; /* tokens, by layer */
} routes;

static uint16_t chosen[MODEL_CASE_TOKENS_MAX * CHOICES_MAX]; /* by generated tokens, as leat_routing wants them */
static leat_routing choice = {.experts = chosen};
static int32_t n_turned; /* choices of the last prompt that were others */

static bool is_among(uint32_t expert, const uint16_t *experts, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (experts[i] == expert) return true;
    return false;
}

static void take_choice(void *user, const leat_routed *what) {
    routes *r = user;
    CHECK(what->layer < choice.n_layer && what->n_used == choice.n_used);
    for (int32_t t = 0; t < what->n_tokens; t++) {
        const uint32_t *now = what->experts + t * what->n_used;
        uint16_t *to = chosen + (r->seen[what->layer]++ * choice.n_layer + what->layer) * what->n_used;
        bool same = true;
        for (int32_t i = 0; i < what->n_used; i++) {
            if (r->role == LEAT_GENERATED) to[i] = (uint16_t)now[i];
            else same = same && is_among(now[i], to, what->n_used);
        }
        n_turned += !same;
    }
}

/* False when this machine lacks the instruction set. */
static bool compute(leat_model *model, const model_case *c, const run_options *o, float *logits) {
    leat_session_options options = {.n_ctx = (int32_t)c->n_tokens, .n_threads = o->n_threads, .n_chunk = o->n_chunk,
                                    .isa = o->isa, .routing = o->forced ? &choice : NULL};
    routes r = {.role = o->role};
    if (c->spec.n_expert && !o->forced) {
        choice.n_tokens = (int32_t)c->n_tokens;
        choice.n_layer = (int32_t)c->spec.n_layer;
        choice.n_used = (int32_t)c->spec.n_expert_used;
        CHECK(choice.n_layer * choice.n_used <= CHOICES_MAX);
        options.routed = take_choice;
        options.user = &r;
        n_turned = 0;
    }
    leat_session *session;
    leat_error e;
    int32_t ids[MODEL_CASE_TOKENS_MAX];
    leat_code code = leat_session_open(&session, model, &options, &e);
    if (code == LEAT_UNSUPPORTED && o->isa) return false;
    CHECK_MSG(!code, "%s: %s", c->name, e.text);
    model_case_ids(c, ids);
    for (size_t at = 0; at < c->n_tokens; at += o->step) {
        rows to = {logits + at * model_case_vocab(c), model_case_vocab(c)};
        code = leat_feed_each(session, ids + at, MIN(o->step, c->n_tokens - at), o->role, take_row, &to, &e);
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
    double share = quant_find(c->spec.type)->block_len >= 256 ? SHARE_256 : SHARE_32;
    kern_act format = kern_act_of(kern_find(str_of(last_isa)), c->spec.type, KERN_DECODE);
    if (o->role == LEAT_GENERATED && format != KERN_ACT_I8_HALVES) share = SHARE_GENERATED;
    double error = error_of(c, logits), limit = share * peer_error(c->name) + FLOOR;
    if (!(error <= limit)) complain(c, o, "NMSE", error, limit);
}

/* A choice that rounding turns is worth more than all other errors, so what is compared is the
 * prompt with the choices of generated tokens, which round less or alike; few of its own may be others. */
static void check_role(leat_model *model, const model_case *c, const run_options *o, float *logits) {
    run_options forced = *o;
    if (c->spec.n_expert && o->role == LEAT_PROMPT) {
            if (n_turned > TURNED_MAX) complain(c, o, "choices turned:", n_turned, TURNED_MAX);
        forced.forced = true;
        compute(model, c, &forced, logits);
    }
    check_error(c, &forced, logits);
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

    const run_options runs[2][3] = {{{NULL, 1, 0, LEAT_GENERATED, 1, false},
                                     {NULL, 5, 0, LEAT_GENERATED, 7, false},
                                     {NULL, 2, 3, LEAT_GENERATED, all, false}},
                                    {{NULL, 1, 0, LEAT_PROMPT, all, false},
                                     {NULL, 2, 7, LEAT_PROMPT, all, false},
                                     {NULL, 5, 64, LEAT_PROMPT, 33, false}}};
    for (size_t r = 0; r < 2; r++) {
        compute(model, c, &runs[r][0], first);
        for (size_t i = 1; i < 3; i++) {
            compute(model, c, &runs[r][i], again);
            check_same(c, &runs[r][i], again, first);
        }
        check_role(model, c, &runs[r][2], again);
    }
    char best[16];
    snprintf(best, sizeof best, "%s", last_isa);
    for (size_t i = 0; kern_at(i); i++) {
        const char *isa = kern_name(kern_at(i));
        const run_options generated = {isa, 2, 16, LEAT_GENERATED, 7, false};
        const run_options prompt = {isa, 2, 16, LEAT_PROMPT, all, false};
        if (strcmp(isa, best) == 0 || !compute(model, c, &generated, again)) continue;
        check_role(model, c, &generated, again);
        compute(model, c, &prompt, again);
        check_role(model, c, &prompt, again);
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
