/* test_double.c: leat against a forward pass in double precision that shares no code with it, on a dense llama.
 *
 * Only K and V are rounded to half floats, as leat's cache has them. What remains between the two is the rounding of
 * floats: an NMSE of 1e-10 or so. libllama stays 1e-7 away on prompts below 64 tokens and in generation, where it sums
 * up values in half floats: so that much of its logits, "exact" ones included, is its own.
 */
#include "check.h"
#include "gen/tiny.h"
#include "kern/kern.h"
#include "leat.h"

#include <math.h>
#include <string.h>

enum { TOKENS = 48 };

typedef struct reference {
    const tiny_spec *s;
    gguf *g;
    double x[TOKENS][256];                          /* the residual stream */
    double k[TOKENS][128], v[TOKENS][128];          /* of the layer at hand, rounded */
    double attn[2][256], o[2][256], ffn[2][256], down[2][512], output[256]; /* squares of what goes in, by layer */
} reference;

static void add_squares(double *sums, const double *x, size_t n) {
    for (size_t i = 0; i < n; i++) sums[i] += x[i] * x[i];
}

/* A tensor as doubles; freed by the caller. */
static double *weights(const reference *r, const char *format, uint32_t layer) {
    char name[64];
    snprintf(name, sizeof name, format, layer);
    const gguf_tensor *t = gguf_find_tensor(r->g, name);
    CHECK_MSG(t && t->type->id == QUANT_F32, "tensor %s", name);
    size_t n = (size_t)t->bytes / 4;
    float *f = malloc((size_t)t->bytes);
    double *d = malloc(n * sizeof *d);
    CHECK(f && d && plat_file_read(gguf_part_file(r->g, t->part), t->offset, f, (size_t)t->bytes) == (int64_t)t->bytes);
    for (size_t i = 0; i < n; i++) d[i] = (double)f[i];
    free(f);
    return d;
}

static void multiply(const double *w, const double *x, size_t n_in, size_t n_out, double *out) {
    for (size_t o = 0; o < n_out; o++) {
        out[o] = 0;
        for (size_t i = 0; i < n_in; i++) out[o] += w[o * n_in + i] * x[i];
    }
}

static void normalise(const double *x, const double *w, size_t n, double *out) {
    double square = 0;
    for (size_t i = 0; i < n; i++) square += x[i] * x[i];
    for (size_t i = 0; i < n; i++) out[i] = x[i] / sqrt(square / (double)n + (double)1e-5f) * w[i];
}

/* Pairs (2i, 2i + 1) of each head. */
static void rotate(double *x, size_t n_head, size_t dim, size_t position) {
    for (size_t i = 0; i < n_head * dim; i += 2) {
        double angle = (double)position * pow(10000, -(double)(i % dim) / (double)dim), a = x[i], b = x[i + 1];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + 1] = a * sin(angle) + b * cos(angle);
    }
}

static void round_half(double *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = (double)f32_of_f16(f16_of_f32((float)x[i]));
}

/* One query head over positions [0, n). */
static void attend(const reference *r, const double *q, size_t head_kv, size_t n, double *out) {
    size_t dim = r->s->head_dim, at = head_kv * dim;
    double score[TOKENS], top = -INFINITY, sum = 0;
    for (size_t p = 0; p < n; p++) {
        score[p] = 0;
        for (size_t i = 0; i < dim; i++) score[p] += q[i] * r->k[p][at + i];
        score[p] /= sqrt((double)dim);
        top = fmax(top, score[p]);
    }
    memset(out, 0, dim * sizeof *out);
    for (size_t p = 0; p < n; p++) {
        double weight = exp(score[p] - top);
        sum += weight;
        for (size_t i = 0; i < dim; i++) out[i] += weight * r->v[p][at + i];
    }
    for (size_t i = 0; i < dim; i++) out[i] /= sum;
}

static void attention(reference *r, uint32_t layer) {
    const tiny_spec *s = r->s;
    size_t n_q = s->n_head * s->head_dim, n_kv = s->n_head_kv * s->head_dim;
    double *norm = weights(r, "blk.%u.attn_norm.weight", layer), *wq = weights(r, "blk.%u.attn_q.weight", layer);
    double *wk = weights(r, "blk.%u.attn_k.weight", layer), *wv = weights(r, "blk.%u.attn_v.weight", layer);
    double *wo = weights(r, "blk.%u.attn_output.weight", layer), h[256], q[256], mixed[256], out[256];
    for (size_t t = 0; t < TOKENS; t++) {
        normalise(r->x[t], norm, s->n_embd, h);
        add_squares(r->attn[layer], h, s->n_embd);
        multiply(wq, h, s->n_embd, n_q, q);
        multiply(wk, h, s->n_embd, n_kv, r->k[t]);
        multiply(wv, h, s->n_embd, n_kv, r->v[t]);
        rotate(q, s->n_head, s->head_dim, t);
        rotate(r->k[t], s->n_head_kv, s->head_dim, t);
        round_half(r->k[t], n_kv);
        round_half(r->v[t], n_kv);
        for (size_t i = 0; i < s->n_head; i++)
            attend(r, q + i * s->head_dim, i * s->n_head_kv / s->n_head, t + 1, mixed + i * s->head_dim);
        add_squares(r->o[layer], mixed, n_q);
        multiply(wo, mixed, n_q, s->n_embd, out);
        for (size_t i = 0; i < s->n_embd; i++) r->x[t][i] += out[i];
    }
    free(norm), free(wq), free(wk), free(wv), free(wo);
}

static void feed_forward(reference *r, uint32_t layer) {
    const tiny_spec *s = r->s;
    double *norm = weights(r, "blk.%u.ffn_norm.weight", layer), *gate = weights(r, "blk.%u.ffn_gate.weight", layer);
    double *up = weights(r, "blk.%u.ffn_up.weight", layer), *down = weights(r, "blk.%u.ffn_down.weight", layer);
    double h[256], a[512], b[512], out[256];
    for (size_t t = 0; t < TOKENS; t++) {
        normalise(r->x[t], norm, s->n_embd, h);
        add_squares(r->ffn[layer], h, s->n_embd);
        multiply(gate, h, s->n_embd, s->n_ff, a);
        multiply(up, h, s->n_embd, s->n_ff, b);
        for (size_t i = 0; i < s->n_ff; i++) a[i] = a[i] / (1 + exp(-a[i])) * b[i];
        add_squares(r->down[layer], a, s->n_ff);
        multiply(down, a, s->n_ff, s->n_embd, out);
        for (size_t i = 0; i < s->n_embd; i++) r->x[t][i] += out[i];
    }
    free(norm), free(gate), free(up), free(down);
}

/* logits: (TOKENS, 128). Also what went into the matrices. */
static const reference *compute_reference(const tiny_spec *s, const char *path, const int32_t *ids, double *logits) {
    static reference r;
    err e;
    CHECK_EQ(s->n_layer, 2);
    memset(&r, 0, sizeof r);
    r.s = s;
    CHECK_MSG(!gguf_open(&r.g, path, &e), "%s", e.text);
    double *embedding = weights(&r, "token_embd.weight", 0);
    for (size_t t = 0; t < TOKENS; t++)
        memcpy(r.x[t], embedding + (size_t)ids[t] * s->n_embd, s->n_embd * sizeof(double));
    for (uint32_t i = 0; i < s->n_layer; i++) {
        attention(&r, i);
        feed_forward(&r, i);
    }
    double *norm = weights(&r, "output_norm.weight", 0), *output = weights(&r, "output.weight", 0), h[256];
    for (size_t t = 0; t < TOKENS; t++) {
        normalise(r.x[t], norm, s->n_embd, h);
        add_squares(r.output, h, s->n_embd);
        multiply(output, h, s->n_embd, 128, logits + 128 * t);
    }
    free(embedding), free(norm), free(output);
    gguf_close(r.g);
    return &r;
}

typedef struct distance {
    const double *exact;
    double error, square;
} distance;

static bool add_row(void *user, size_t index, const float *logits) {
    distance *d = user;
    for (size_t i = 0; i < 128; i++) {
        double e = (double)logits[i] - d->exact[128 * index + i];
        d->error += e * e;
        d->square += d->exact[128 * index + i] * d->exact[128 * index + i];
    }
    return true;
}

TEST(logits_are_those_of_double_precision) {
    static double exact[TOKENS * 128];
    tiny_spec s = tiny_default("llama");
    const char *path = test_path(0, "double.gguf");
    int32_t ids[TOKENS];
    leat_model *model;
    leat_error e;
    for (int32_t i = 0; i < TOKENS; i++) ids[i] = i * 37 % 128;
    tiny_write(&s, path);
    compute_reference(&s, path, ids, exact);
    CHECK_MSG(!leat_model_open(&model, path, NULL, &e), "%s", e.text);
    for (size_t i = 0; kern_at(i / 2); i++) {
        const char *level = kern_name(kern_at(i / 2));
        leat_session_options options = {.n_ctx = TOKENS, .isa = level};
        leat_session *session;
        distance d = {exact, 0, 0};
        if (leat_session_open(&session, model, &options, &e) == LEAT_UNSUPPORTED) continue;
        leat_role role = i % 2 ? LEAT_GENERATED : LEAT_PROMPT;
        CHECK_MSG(!leat_feed_each(session, ids, TOKENS, role, add_row, &d, &e), "%s", e.text);
        CHECK_MSG(d.error <= 1e-8 * d.square, "%s: squared error %.3g of the square", level,
                  d.error / d.square);
        leat_session_close(session);
    }
    leat_model_close(model);
}

static bool ignore(void *user, size_t index, const float *logits) {
    (void)user, (void)index, (void)logits;
    return true;
}

static void check_importance(const leat_session *session, const reference *r) {
    static const char *const names[8] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
    leat_importance x;
    size_t n = 0;
    for (; leat_importance_at(session, n, &x); n++) {
        char name[64] = "output.weight";
        size_t layer = n / 7, i = n % 7;
        const double *want = r->output;
        if (layer < 2) {
            snprintf(name, sizeof name, "blk.%zu.%s.weight", layer, names[i]);
            want = i < 3 ? r->attn[layer] : i == 3 ? r->o[layer] : i < 6 ? r->ffn[layer] : r->down[layer];
        }
        CHECK_STR(x.tensor, name);
        CHECK(x.n_experts == 1 && x.counts[0] == TOKENS);
        CHECK_EQ(x.n_in, i == 6 && layer < 2 ? r->s->n_ff : r->s->n_embd);
        for (size_t k = 0; k < x.n_in; k++)
            /* A value of V may round to the other neighbour among half floats: 5e-4 of it. */
            CHECK_MSG(fabs(x.squares[k] - want[k]) <= 5e-4 * want[k], "%s column %zu: %.9g, wanted %.9g", name, k,
                      x.squares[k], want[k]);
    }
    CHECK_EQ(n, 15);
}

TEST(importance_is_that_of_double_precision) {
    static double exact[TOKENS * 128];
    tiny_spec s = tiny_default("llama");
    const char *path = test_path(0, "double.gguf");
    int32_t ids[TOKENS];
    leat_model *model;
    leat_error e;
    for (int32_t i = 0; i < TOKENS; i++) ids[i] = i * 53 % 128;
    tiny_write(&s, path);
    const reference *r = compute_reference(&s, path, ids, exact);
    CHECK_MSG(!leat_model_open(&model, path, NULL, &e), "%s", e.text);
    for (int role = LEAT_PROMPT; role <= LEAT_GENERATED; role++) {
        leat_session_options options = {.n_ctx = TOKENS, .n_threads = 2, .importance = true};
        leat_session *session;
        CHECK_MSG(!leat_session_open(&session, model, &options, &e), "%s", e.text);
        CHECK_MSG(!leat_feed_each(session, ids, TOKENS, (leat_role)role, ignore, NULL, &e), "%s", e.text);
        check_importance(session, r);
        leat_session_close(session);
    }
    leat_model_close(model);
}
