/* test_matmul.c: weights times activations, every type at every level: against double arithmetic, and bit by bit
 * against itself in other company. */
#include "check_kern.h"

#include <math.h>
#include <string.h>

static const kern_role roles[] = {KERN_DECODE, KERN_PROMPT};

/* The error that the number formats explain, derived for a row w and activations x.
 *
 * Quantised types: weights are exact, activations are rounded. In a block with the peak p, x = s q with |q| <= N has the step
 * s = p / N, so each element is off by an even deviate of variance s^2 / 12, and the product of the block by the sum of
 * w^2 s^2 / 12. Decode: N = 32639 in blocks of 256, but with the K types of AVX2. There, and in prompts: N = 128 in blocks of 16
 * or 32; of the scales that are tried the best is kept, so that the error is below that. What follows is float arithmetic, which is off by 2^-24 of
 * each partial sum; partial sums may be 128 times the weights' (the zero point of bytes), in chains of a chunk each.
 *
 * Float types: chains of fused multiply-adds in float. A chain of k terms is off by the sum over i of (2^-24)^2 i / 3 terms:
 * k^2 / 6, which is k / 6 of the power of its terms. In the prompt kernels k is 256 (a panel), in decode n / 16 at most.
 *
 * Rows share the errors of an activation, so only activations count as independent. Of n of them the sum of squares exceeds
 * its mean by the factor below once in 3000 (exp(-8); Laurent and Massart 2000, lemma 1). */
static const double eps = 0x1p-24;

static double rounding(kern_act format, const float *row, const float *x, size_t n) {
    bool wide = format >= KERN_ACT_I16 && format <= KERN_ACT_I16_FIVES;
    size_t len = wide ? 256 : format == KERN_ACT_I8_16 ? 16 : 32;
    double max = wide ? 32639 : 128, sum = 0;
    for (size_t at = 0; at < n; at += len) {
        double peak = 0, w = 0;
        for (size_t i = at; i < MIN(at + len, n); i++) {
            peak = fmax(peak, fabs((double)x[i]));
            w += (double)row[i] * (double)row[i];
        }
        sum += w * peak / max * peak / max / 12;
    }
    return sum;
}

static double tail(size_t n) { return 1 + 2 * sqrt(8.0 / (double)n) + 2 * 8.0 / (double)n; }

static void near_exact(const kern *k, const quant_type *t, kern_role role, size_t n_rows, size_t n_in, size_t n_act) {
    rng r;
    rng_seed(&r, 1000 * t->id + n_rows + n_in);
    ck_weights w;
    ck_weights_open(&w, &r, t, n_rows, n_in);
    float *x = malloc(n_act * n_in * sizeof *x), *out = malloc(n_act * n_rows * sizeof *out);
    float *row = malloc(n_in * sizeof *row);
    double *exact = malloc(n_act * n_rows * sizeof *exact), error = 0, power = 0, rounded = 0;
    for (size_t a = 0; a < n_act; a++) ck_fill(&r, x + a * n_in, n_in, a % 2);
    ck_exact(&w, x, n_act, exact);
    ck_matmul(k, role, &w, 0, n_rows, x, n_act, out);
    kern_act format = kern_act_of(k, t->id, role);
    for (size_t i = 0; i < n_rows; i++) {
        ck_row(&w, i, row);
        for (size_t a = 0; a < n_act; a++) {
            /* The power of what is summed, not of the sum: a row may cancel out. */
            for (size_t j = 0; j < n_in; j++) power += pow((double)row[j] * (double)x[a * n_in + j], 2);
            if (format != KERN_ACT_F32) rounded += rounding(format, row, x + a * n_in, n_in);
        }
    }
    double chain = role == KERN_PROMPT ? 256 : (double)n_in / 16 + 1;
    double sums = format == KERN_ACT_F32 ? chain / 6 : 128 * 128 * (double)div_up(n_in, 256);
    double allowed = tail(n_act) * (rounded + eps * eps * sums * power);
    for (size_t i = 0; i < n_act * n_rows; i++) error += pow((double)out[i] - exact[i], 2);
    free(row);
    free(exact);
    free(out);
    free(x);
    ck_weights_close(&w);
    CHECK_MSG(error <= allowed, "%s %s %s, %zu x %zu, %zu activations: error %.3g, allowed %.3g", kern_name(k), t->name,
              role == KERN_DECODE ? "decode" : "prompt", n_rows, n_in, n_act, error / power, allowed / power);
}

TEST(matmul_is_near_exact) {
    EACH_LEVEL(k)
        for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
            const quant_type *t = quant_find(id);
            if (!t) continue;
            for (size_t i = 0; i < 2; i++) {
                size_t len = t->block_len;
                near_exact(k, t, roles[i], 1, len, 1);
                near_exact(k, t, roles[i], 3, 3 * len, 2);
                near_exact(k, t, roles[i], 17, MAX(len, 32) * 8, 5);
                near_exact(k, t, roles[i], 39, MAX(len, 32) * 9, 17);
                near_exact(k, t, roles[i], 2, 18 * 256, 1);
                if (len == 1) near_exact(k, t, roles[i], 5, 1000 + 37, 3);
            }
        }
}

/* Activations of one magnitude lose nothing in either role. */
static void is_exact(const kern *k, const ck_weights *w, const float *x) {
    enum { ROWS = 3, COLUMNS = 512 };
    CHECK(w->n_rows == ROWS && w->n_in == COLUMNS);
    float out[ROWS], row[COLUMNS];
    double exact[ROWS];
    ck_exact(w, x, 1, exact);
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        ck_matmul(k, roles[i], w, 0, ROWS, x, 1, out);
        for (size_t at = 0; at < ROWS; at++) {
            double all = 0;
            ck_row(w, at, row);
            for (size_t j = 0; j < COLUMNS; j++) all += fabs((double)row[j]) * fabs((double)x[j]);
            CHECK_MSG(fabs((double)out[at] - exact[at]) <= 1e-5 * all, "%s %s %s: %g of %g, off by %.2g of what is summed", kern_name(k),
                      w->type->name, roles[i] == KERN_DECODE ? "decode" : "prompt", (double)out[at], exact[at],
                      fabs((double)out[at] - exact[at]) / all);
        }
    }
}

/* Bytes hold plus and minus the peak as well as each other: with -127 beside 127, since there is no 128. */
TEST(matmul_keeps_peaks_of_both_signs) {
    static const quant_id types[] = {QUANT_Q8_0, QUANT_Q4_K}; /* a scale for 16 activations, and for 32 */
    EACH_LEVEL(k)
        for (size_t i = 0; i < COUNT_OF(types); i++) {
            rng r;
            rng_seed(&r, 5 + types[i]);
            ck_weights w;
            ck_weights_open(&w, &r, quant_find(types[i]), 3, 512);
            float x[512];
            ck_fill(&r, x, 512, 0);
            for (size_t j = 0; j < 512; j++) x[j] = x[j] < 0 ? -1.5f : 1.5f;
            is_exact(k, &w, x);
            ck_weights_close(&w);
        }
}

/* No sum of integers overflows where all weights, their scales and all activations are as large as they get. */
TEST(matmul_holds_the_largest_integers) {
    static const struct {
        quant_id id;
        size_t halves, n_halves; /* which are 1 */
        uint8_t bytes[3];
    } types[] = {
        {QUANT_Q8_0, 0, 1, {0x80, 0x81, 0x7f}}, {QUANT_Q4_0, 0, 1, {0xff, 0x00, 0xf0}},   {QUANT_IQ4_XS, 0, 1, {0xff, 0x00, 0xf0}},
        {QUANT_Q2_K, 80, 2, {0xff, 0x0f, 0xf0}}, {QUANT_Q3_K, 108, 1, {0xff, 0x00, 0xf0}}, {QUANT_Q4_K, 0, 2, {0xff, 0x7f, 0xf0}},
        {QUANT_Q5_K, 0, 2, {0xff, 0x7f, 0xf0}},  {QUANT_Q6_K, 208, 1, {0xff, 0x7f, 0x80}}, {QUANT_TQ2_0, 64, 1, {0xff, 0x00, 0xaa}},
        {QUANT_TQ1_0, 52, 1, {0xff, 0x00, 0xf0}}, {QUANT_IQ3_S, 0, 1, {0xff, 0x00, 0x7f}}, {QUANT_IQ2_S, 0, 1, {0xff, 0x00, 0x7f}},
    };
    static const float values[] = {-1.5f, 1.5f}; /* both become the most negative integer */
    EACH_LEVEL(k)
        for (size_t i = 0; i < COUNT_OF(types); i++)
            for (size_t j = 0; j < COUNT_OF(types[i].bytes) * COUNT_OF(values); j++) {
                rng r;
                rng_seed(&r, 1);
                ck_weights w;
                ck_weights_open(&w, &r, quant_find(types[i].id), 3, 512);
                memset(w.b, types[i].bytes[j / 2], w.bytes);
                if (types[i].id == QUANT_Q6_K) /* scales of -128 beside the largest weights */
                    for (size_t at = 0; at < w.bytes; at += w.type->block_bytes) memset(w.b + at + 192, 0x80, 16);
                for (size_t at = types[i].halves; at < w.bytes; at += w.type->block_bytes)
                    for (size_t h = 0; h < types[i].n_halves; h++) memcpy(w.b + at + 2 * h, &(uint16_t){0x3c00}, 2);
                float x[512];
                for (size_t at = 0; at < 512; at++) x[at] = values[j % 2];
                is_exact(k, &w, x);
                ck_weights_close(&w);
            }
}

/* The same bits alone, in any batch and in any slice of rows. */
static void same_in_company(const kern *k, const quant_type *t, kern_role role, size_t n_in) {
    enum { ROWS = 37, ACTS = 17 };
    rng r;
    rng_seed(&r, 77 + t->id);
    ck_weights w;
    ck_weights_open(&w, &r, t, ROWS, n_in);
    float *x = malloc(ACTS * n_in * sizeof *x), all[ACTS][ROWS], some[ACTS][ROWS];
    for (size_t a = 0; a < ACTS; a++) ck_fill(&r, x + a * n_in, n_in, a % 2);
    ck_matmul(k, role, &w, 0, ROWS, x, ACTS, all[0]);
    for (size_t n = 1; n <= ACTS; n += n < 8 ? 1 : 3) {
        ck_matmul(k, role, &w, 0, ROWS, x + (ACTS - n) * n_in, n, some[0]);
        CHECK_MSG(!memcmp(some, all[ACTS - n], n * sizeof some[0]), "%s %s: %zu activations differ from %d", kern_name(k),
                  t->name, n, ACTS);
    }
    static const size_t cuts[][2] = {{0, 1}, {36, 1}, {3, 16}, {16, 21}, {5, 31}};
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        size_t from = cuts[i][0], n = cuts[i][1];
        ck_matmul(k, role, &w, from, n, x, 3, some[0]);
        for (size_t a = 0; a < 3; a++)
            CHECK_MSG(!memcmp(some[0] + a * n, all[a] + from, n * sizeof(float)), "%s %s: rows %zu to %zu differ",
                      kern_name(k), t->name, from, from + n);
    }
    free(x);
    ck_weights_close(&w);
}

TEST(matmul_same_bits_in_any_company) {
    EACH_LEVEL(k)
        for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
            const quant_type *t = quant_find(id);
            for (size_t i = 0; t && i < 2; i++) same_in_company(k, t, roles[i], MAX(t->block_len, 32) * 5);
            /* More chunks than decode takes at a time, and a part of one. */
            if (t) same_in_company(k, t, KERN_DECODE, 17 * 256 + MAX(t->block_len, 32));
        }
}

/* Blocks of any bytes at all, and activations that are not numbers: nothing to assert but that it comes back. */
TEST(matmul_survives_any_bytes) {
    float x[512], out[5 * 2];
    EACH_LEVEL(k)
        for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
            const quant_type *t = quant_find(id);
            if (!t) continue;
            rng r;
            rng_seed(&r, id);
            ck_weights w;
            ck_weights_open(&w, &r, t, 5, 256);
            for (size_t i = 0; i < w.bytes; i++) w.b[i] = (uint8_t)rng_u64(&r);
            ck_fill(&r, x, 512, true);
            x[3] = F32_INF;
            x[300] = __builtin_nanf("");
            x[301] = -0.0f;
            x[302] = 1e-42f;
            for (size_t i = 0; i < 2; i++) ck_matmul(k, roles[i], &w, 0, 5, x, 2, out);
            ck_weights_close(&w);
        }
}

TEST(matmul_keeps_what_is_no_number) {
    static const quant_id ids[] = {QUANT_F16,    QUANT_Q4_K,  QUANT_Q8_0, QUANT_IQ2_S, QUANT_Q4_0,
                                    QUANT_IQ4_XS, QUANT_MXFP4, QUANT_Q6_K, QUANT_Q2_K,  QUANT_TQ2_0};
    EACH_LEVEL(k)
        for (size_t j = 0; j < 2 * COUNT_OF(ids); j++) {
            rng r;
            rng_seed(&r, j);
            ck_weights w;
            ck_weights_open(&w, &r, quant_find(ids[j / 2]), 3, 512);
            float x[2 * 512], out[2 * 3];
            ck_fill(&r, x, 2 * 512, false);
            static const float bad[] = {F32_INF, -F32_INF, __builtin_nanf("")};
            for (size_t i = 0; i < COUNT_OF(bad); i++) {
                x[400] = bad[i];
                for (size_t n_act = 1; n_act <= 2; n_act++) {
                    ck_matmul(k, roles[j % 2], &w, 0, 3, x, n_act, out);
                    for (size_t n = 0; n < 3 * n_act; n++) {
                        bool none = f32_is_nan(i < 2 ? out[n] - out[n] : out[n]); /* infinity may stay */
                        CHECK_MSG(none == (n < 3), "%s %s: %g", kern_name(k), w.type->name, (double)out[n]);
                    }
                }
            }
            ck_weights_close(&w);
        }
}

TEST(matmul_scales_and_places_its_output) {
    EACH_LEVEL(k)
        for (size_t i = 0; i < 2; i++) {
            rng r;
            rng_seed(&r, 5);
            ck_weights w;
            ck_weights_open(&w, &r, quant_find(QUANT_Q4_K), 20, 256);
            float x[256], once[20], out[30] = {0}, *outs[] = {out};
            ck_fill(&r, x, 256, false);
            ck_matmul(k, roles[i], &w, 0, 20, x, 1, once);
            kern_act format = kern_act_of(k, QUANT_Q4_K, roles[i]);
            void *act = aligned_alloc(64, kern_act_bytes(k, format, 256));
            void *scratch = aligned_alloc(64, kern_scratch_bytes(k, 256));
            kern_act_prepare(k, format, x, 256, act);
            const void *acts[] = {act};
            kern_matmul m = {.type = QUANT_Q4_K, .role = roles[i], .weights = w.b, .row_bytes = w.row_bytes, .n_rows = 20,
                             .n_in = 256, .acts = acts, .outs = outs, .out_first = 7, .n_act = 1, .scale = 0.5f,
                             .scratch = scratch};
            kern_run_matmul(k, &m);
            for (size_t n = 0; n < 30; n++) CHECK(out[n] == (n < 7 || n >= 27 ? 0.0f : once[n - 7] * 0.5f));
            free(act);
            free(scratch);
            ck_weights_close(&w);
        }
}
