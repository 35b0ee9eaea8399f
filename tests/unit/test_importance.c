/* What a session sums up of the inputs of its matrices: the same whatever the threads and chunks, whole over experts,
 * and named as the file names them. The values themselves: tests/golden/test_double.c.
 */
#include "unit/tiny_model.h"

#include <math.h>
#include <string.h>

enum { TOKENS = 40, MATRICES_MAX = 64 };

typedef struct copy {
    char tensor[64];
    size_t n_in, n_experts;
    double *squares;
    uint64_t *counts;
} copy;

typedef struct copies {
    copy at[MATRICES_MAX];
    size_t n;
} copies;

static bool ignore(void *user, size_t index, const float *logits) {
    (void)user, (void)index, (void)logits;
    return true;
}

static void take(copies *all, const leat_session *s) {
    leat_importance x;
    for (all->n = 0; leat_importance_at(s, all->n, &x); all->n++) {
        copy *c = &all->at[all->n];
        CHECK(all->n < MATRICES_MAX && strlen(x.tensor) < sizeof c->tensor);
        size_t n = x.n_in * x.n_experts;
        *c = (copy){.n_in = x.n_in, .n_experts = x.n_experts, .squares = malloc(n * sizeof(double)),
                    .counts = malloc(x.n_experts * sizeof(uint64_t))};
        strcpy(c->tensor, x.tensor);
        memcpy(c->squares, x.squares, n * sizeof(double));
        memcpy(c->counts, x.counts, x.n_experts * sizeof(uint64_t));
    }
}

static void drop(copies *all) {
    for (size_t i = 0; i < all->n; i++) free(all->at[i].squares), free(all->at[i].counts);
}

static void run(copies *all, leat_model *m, int32_t n_threads, int32_t n_chunk) {
    leat_session_options o = {.n_ctx = TOKENS, .n_threads = n_threads, .n_chunk = n_chunk, .importance = true};
    leat_session *s;
    leat_error e;
    int32_t ids[TOKENS];
    for (int32_t i = 0; i < TOKENS; i++) ids[i] = i * 37 % 128;
    CHECK_MSG(leat_session_open(&s, m, &o, &e) == LEAT_OK, "%s", e.text);
    CHECK_MSG(leat_feed_each(s, ids, TOKENS, LEAT_PROMPT, ignore, NULL, &e) == LEAT_OK, "%s", e.text);
    take(all, s);
    leat_session_close(s);
}

static const copy *find(const copies *all, const char *name) {
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->at[i].tensor, name) == 0) return &all->at[i];
    test_fail(__FILE__, __LINE__, "%s is missing", name);
}

/* Every token goes to some experts, so their sums together are its input as often. */
static void check_experts(const copies *all, const tiny_spec *s) {
    const copy *whole = find(all, "blk.1.ffn_gate_inp.weight"), *gate = find(all, "blk.1.ffn_gate_exps.weight");
    const copy *up = find(all, "blk.1.ffn_up_exps.weight"), *down = find(all, "blk.1.ffn_down_exps.weight");
    uint64_t n = 0;
    CHECK(gate->n_experts == s->n_expert && down->n_experts == s->n_expert && whole->n_experts == 1);
    for (size_t x = 0; x < s->n_expert; x++) {
        n += gate->counts[x];
        CHECK(gate->counts[x] == up->counts[x] && gate->counts[x] == down->counts[x]);
        CHECK_EQ(gate->counts[x] > 0, down->squares[x * down->n_in] > 0);
    }
    CHECK_EQ(n, TOKENS * s->n_expert_used);
    CHECK_EQ(whole->n_in, gate->n_in);
    for (size_t i = 0; i < whole->n_in; i++) {
        double sum = 0;
        for (size_t x = 0; x < s->n_expert; x++) sum += gate->squares[x * gate->n_in + i];
        CHECK_NEAR(sum, s->n_expert_used * whole->squares[i], 1e-9 * sum);
    }
}

TEST(importance_of_every_architecture) {
    static const char *const archs[] = {"llama", "mistral3", "qwen2", "qwen3", "qwen2moe", "qwen3moe", "smollm3"};
    static copies first, other;
    for (size_t a = 0; a < COUNT_OF(archs); a++) {
        tiny_spec spec = tiny_default(archs[a]);
        spec.type = a % 2 ? QUANT_Q4_K : QUANT_F32; /* one that rounds its input, and one that does not */
        spec.n_ctx = 64;
        leat_model *m = open_tiny(&spec, "importance.gguf");
        run(&first, m, 1, 0);
        CHECK(first.n > spec.n_layer * 7);
        for (size_t i = 0; i < first.n; i++) {
            const copy *c = &first.at[i];
            if (c->n_experts > 1) continue;
            CHECK_MSG(c->counts[0] == TOKENS, "%s: %llu tokens", c->tensor, (unsigned long long)c->counts[0]);
            for (size_t k = 0; k < c->n_in; k++) CHECK(isfinite(c->squares[k]) && c->squares[k] > 0);
        }
        if (spec.n_expert) check_experts(&first, &spec);
        for (int32_t way = 0; way < 3; way++) {
            run(&other, m, way == 0 ? 3 : 1, way == 1 ? 1 : way == 2 ? 7 : 0);
            CHECK_EQ(first.n, other.n);
            for (size_t i = 0; i < first.n; i++) {
                const copy *c = &first.at[i], *o = &other.at[i];
                CHECK(strcmp(c->tensor, o->tensor) == 0);
                CHECK_MSG(!memcmp(c->squares, o->squares, c->n_in * c->n_experts * sizeof(double)), "%s %s, way %d",
                          archs[a], c->tensor, way);
                CHECK(!memcmp(c->counts, o->counts, c->n_experts * sizeof(uint64_t)));
            }
            drop(&other);
        }
        drop(&first);
        leat_model_close(m);
    }
}

TEST(importance_of_a_tied_output_is_the_embedding_s) {
    static copies all;
    tiny_spec spec = tiny_default("llama");
    spec.tied = true;
    leat_model *m = open_tiny(&spec, "importance.gguf");
    run(&all, m, 2, 0);
    CHECK_STR(all.at[all.n - 1].tensor, "token_embd.weight");
    drop(&all);
    leat_model_close(m);
}

TEST(importance_is_off_by_default) {
    tiny_spec spec = tiny_default("llama");
    leat_model *m = open_tiny(&spec, "importance.gguf");
    leat_session *s;
    leat_error e;
    leat_importance x;
    CHECK_MSG(leat_session_open(&s, m, NULL, &e) == LEAT_OK, "%s", e.text);
    CHECK(!leat_importance_at(s, 0, &x));
    leat_session_close(s);
    leat_model_close(m);
}
