/* check_kern.c: see check_kern.h. */
#include "check_kern.h"

#include "blocks.h"

#include <math.h>
#include <string.h>

static const kern *level_or_model(size_t i) {
    const kern *const models[] = {&ck_avxvnni_model, &ck_amx_model};
    size_t n = 0;
    while (kern_at(n)) n++;
    return i < n ? kern_at(i) : i < n + COUNT_OF(models) ? models[i - n] : NULL;
}

const kern *ck_next(const kern *k) {
    size_t i = 0;
    while (level_or_model(i) != k) i++;
    do k = level_or_model(++i);
    while (k && !kern_runs(k));
    return k;
}

const kern *ck_find(const char *name) {
    EACH_LEVEL(k)
        if (!strcmp(kern_name(k), name)) return k;
    return NULL;
}

void ck_fill(rng *r, float *x, size_t n, bool outliers) {
    for (size_t i = 0; i < n; i++) {
        x[i] = rng_normal(r);
        if (outliers && rng_u64(r) % 64 == 0) x[i] *= 30.0f;
    }
}

void ck_weights_open(ck_weights *w, rng *r, const quant_type *type, size_t n_rows, size_t n_in) {
    *w = (ck_weights){.type = type, .n_rows = n_rows, .n_in = n_in};
    CHECK(quant_bytes(type, n_in, &w->row_bytes));
    w->bytes = n_rows * w->row_bytes;
    w->b = test_guard(w->bytes);
    blocks_random(r, type, w->b, w->bytes);
}

void ck_weights_close(ck_weights *w) { test_guard_free(w->b, w->bytes); }

void ck_row(const ck_weights *w, size_t r, float *out) { w->type->decode(w->b + r * w->row_bytes, out, w->n_in); }

void ck_matmul(const kern *k, kern_role role, const ck_weights *w, size_t first_row, size_t n_rows, const float *x,
               size_t n_act, float *out) {
    enum { ACTS_MAX = 64 };
    kern_act format = kern_act_of(k, w->type->id, role);
    size_t act_bytes = kern_act_bytes(k, format, w->n_in), scratch_bytes = kern_scratch_bytes(k, w->n_in);
    CHECK_EQ(act_bytes % 64, 0);
    CHECK(n_act <= ACTS_MAX);
    void *acts[ACTS_MAX], *scratch = test_guard(scratch_bytes);
    float *outs[ACTS_MAX];
    for (size_t a = 0; a < n_act; a++) {
        float *row = test_guard(w->n_in * sizeof *row);
        memcpy(row, x + a * w->n_in, w->n_in * sizeof *row);
        acts[a] = test_guard(act_bytes);
        memset(acts[a], 0xA5, act_bytes); /* old contents must not matter */
        kern_act_prepare(k, format, row, w->n_in, acts[a]);
        test_guard_free(row, w->n_in * sizeof *row);
        outs[a] = test_guard(n_rows * sizeof(float));
    }
    memset(scratch, 0xFF, scratch_bytes);
    kern_matmul m = {.type = w->type->id, .role = role, .weights = w->b + first_row * w->row_bytes,
                     .row_bytes = w->row_bytes, .n_rows = n_rows, .n_in = w->n_in, .acts = (const void *const *)acts,
                     .outs = outs, .n_act = n_act, .scale = 1, .scratch = scratch};
    kern_run_matmul(k, &m);
    for (size_t a = 0; a < n_act; a++) {
        memcpy(out + a * n_rows, outs[a], n_rows * sizeof(float));
        test_guard_free(outs[a], n_rows * sizeof(float));
        test_guard_free(acts[a], act_bytes);
    }
    test_guard_free(scratch, scratch_bytes);
}

void ck_exact(const ck_weights *w, const float *x, size_t n_act, double *out) {
    float *row = malloc(w->n_in * sizeof *row);
    for (size_t r = 0; r < w->n_rows; r++) {
        ck_row(w, r, row);
        for (size_t a = 0; a < n_act; a++) {
            double sum = 0;
            for (size_t i = 0; i < w->n_in; i++) sum += (double)row[i] * (double)x[a * w->n_in + i];
            out[a * w->n_rows + r] = sum;
        }
    }
    free(row);
}
