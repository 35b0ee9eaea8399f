/* encode_ternary.h: -1, 0 and 1, with one scale for 256 weights: TQ1_0, TQ2_0.
 *
 * What is below a threshold becomes 0. Given which, the best scale is the weighted mean of the magnitudes above, so
 * thresholds are tried: powers of two in quarters, from the largest magnitude down to a fiftieth of it. Of weights that
 * are ternary already any of them finds the same.
 */
#ifndef LEAT_ENCODE_TERNARY_H
#define LEAT_ENCODE_TERNARY_H

#include "quant/encode_fit.h"

#define TERNARY_TRIES 24

/* The scale as a half, and 1 over the double of the threshold. */
typedef struct ternary {
    uint16_t half;
    float inverse;
} ternary;

static ternary search_ternary(const batch *b) {
    _Alignas(64) float sum_x[BATCH_GROUPS], sum_w[BATCH_GROUPS], peaks[BATCH_GROUPS];
    ternary best = {0, 0};
    float most = 0, scale = 0;
    EACH_LANE(l) vf_store(&peaks[l], vf_abs(vf_load(&b->peak[l])));
    batch_share_max(peaks, BATCH_GROUPS);
    float threshold = peaks[0] * 0.96f;
    for (size_t k = 0; k < TERNARY_TRIES; k++, threshold *= 0.8409f) {
        EACH_LANE(l) {
            vf xs = {0}, ws = {0};
            for (size_t i = 0; i < b->len; i++) {
                vf x = vf_abs(vf_load(&b->x[i][l])), w = vf_load(&b->w[i][l]);
                vi above = x > threshold;
                xs += vf_where(above, w * x);
                ws += vf_where(above, w);
            }
            vf_store(&sum_x[l], xs);
            vf_store(&sum_w[l], ws);
        }
        float xs = block_sum(sum_x, BATCH_GROUPS), ws = block_sum(sum_w, BATCH_GROUPS);
        if (!(xs * xs > most * ws)) continue;
        most = xs * xs / ws;
        scale = xs / ws;
        best.inverse = threshold;
    }
    best.half = f16_of_f32(MIN(scale * b->unit[0], 65504.0f));
    best.inverse = inverse_of(2.0f * best.inverse * b->unit[0]);
    return best;
}

/* The digits plus 1. */
static void load_ternary(ternary *t, batch *b, const float *x, const float *importance, int8_t q[256]) {
    batch_load(b, x, importance, 256, 16, BATCH_GROUPS, FAVOUR_NONE);
    *t = search_ternary(b);
    round_group(x, 256, t->inverse, -1, 1, 1, q);
}

/* A byte has digits of weights n apart, the first the highest: a fraction of 256 rounded up, so that the digits come
 * back when it is multiplied with 3. */
static void pack_ternary(uint8_t *to, const int8_t *q, size_t n, size_t n_digits) {
    for (size_t i = 0; i < n; i++) {
        uint32_t v = 0;
        for (size_t k = 0; k < 5; k++) v = 3 * v + (k < n_digits ? (uint32_t)q[n * k + i] : 0);
        to[i] = (uint8_t)((v * 256 + 242) / 243);
    }
}

static void encode_tq1_0(const float *x, const float *importance, void *blocks, size_t n) {
    uint8_t *to = blocks;
    batch b;
    ternary t;
    int8_t q[256];
    for (size_t at = 0; at < n; at += 256, to += 54) {
        load_ternary(&t, &b, x + at, importance ? importance + at : NULL, q);
        pack_ternary(to, q, 32, 5);
        pack_ternary(to + 32, q + 160, 16, 5);
        pack_ternary(to + 48, q + 240, 4, 4);
        store_u16(to + 52, t.half);
    }
}

static void encode_tq2_0(const float *x, const float *importance, void *blocks, size_t n) {
    uint8_t *to = blocks;
    batch b;
    ternary t;
    int8_t q[256];
    for (size_t at = 0; at < n; at += 256, to += 66) {
        load_ternary(&t, &b, x + at, importance ? importance + at : NULL, q);
        for (size_t half = 0; half < 2; half++) pack_pairs(to + 32 * half, q + 128 * half);
        store_u16(to + 64, t.half);
    }
}

#endif
