/* encode_scale.h: blocks of 32 weights with one half as scale: Q8_0, Q4_0.
 *
 * A lane tries many scales and keeps the one of the smallest weighted squared error. At eight bits the error of a block
 * is mostly chance, so that the best of some scales near the largest one is well below the usual; at four it pays to
 * clip the largest weight, or to turn the sign of the scale. The layouts are in quant_unpack.h.
 */
#ifndef LEAT_ENCODE_SCALE_H
#define LEAT_ENCODE_SCALE_H

#include "quant/encode_batch.h"

/* ---- Q8_0 --------------------------------------------------------------------------------------------- */

#define Q8_TRIES 9
#define Q8_AT_ONCE 3

/* The scales as halves: for each lane the best of those that take its peak to 127.4 and a little less. A scale that is
 * too small, because halves are few down there or at an end up there, is no candidate: the first stands if none is. */
static void search_q8(const batch *b, int32_t scales[BATCH_GROUPS]) {
    EACH_LANE(l) {
        vf unit = vf_load(&b->unit[l]), peak = vf_abs(vf_load(&b->peak[l])), least = vf_all(F32_MAX);
        vi best = scale_half(peak * (1.0f / 127) * unit);
        for (size_t k = 0; k < Q8_TRIES; k += Q8_AT_ONCE) {
            vi half[Q8_AT_ONCE];
            vf d[Q8_AT_ONCE], inverse[Q8_AT_ONCE], sum[Q8_AT_ONCE] = {{0}};
            EACH_OF(t, Q8_AT_ONCE) {
                half[t] = scale_half(peak * (1.0f / (127.4f - 0.7f * (float)(k + t))) * unit);
                d[t] = vf_of_half(half[t]) / unit;
                inverse[t] = scale_inverse(d[t]);
            }
            for (size_t i = 0; i < 32; i++) {
                vf x = vf_load(&b->x[i][l]), w = vf_load(&b->w[i][l]);
                EACH_OF(t, Q8_AT_ONCE) {
                    vf v = x * inverse[t], r = v - vf_round(v);
                    sum[t] += w * r * r;
                }
            }
            EACH_OF(t, Q8_AT_ONCE) {
                vf error = d[t] * d[t] * sum[t];
                vi better = (error < least) & (d[t] > 0.0f) & (peak * inverse[t] < 127.5f);
                least = vf_pick(better, error, least);
                best = vi_pick(better, half[t], best);
            }
        }
        memcpy(&scales[l], &best, sizeof best);
    }
}

static void encode_q8_0(const float *x, const float *importance, void *blocks, size_t n) {
    uint8_t *to = blocks;
    batch b;
    int32_t scales[BATCH_GROUPS];
    for (size_t at = 0; at < n; at += 32 * BATCH_GROUPS) {
        size_t len = MIN(n - at, 32 * BATCH_GROUPS);
        batch_load(&b, x + at, importance ? importance + at : NULL, len, 32, 1);
        search_q8(&b, scales);
        for (size_t g = 0; g < len / 32; g++, to += 34) {
            store_u16(to, (uint16_t)scales[g]);
            float inverse = inverse_of(f32_of_f16((uint16_t)scales[g]));
            round_group(x + at + 32 * g, 32, inverse, -127, 127, 0, (int8_t *)to + 2);
        }
    }
}

/* ---- the others --------------------------------------------------------------------------------------- */

/* Which scales to try: those that take the peak of a group to from, from + step ... */
typedef struct scale_tries {
    float low, high; /* the integers */
    float from, step;
    size_t n;
} scale_tries;

/* The best scale of each lane as a half. For given integers q the best scale is sum(w x q) / sum(w q q), and leaves
 * sum(w x x) - sum(w x q)^2 / sum(w q q): the larger the quotient the better. */
static void search_scale(const batch *b, const scale_tries *s, int32_t scales[BATCH_GROUPS]) {
    EACH_LANE(l) {
        vf peak = vf_load(&b->peak[l]), best = {0}, scale = {0};
        vf per_peak = scale_inverse(peak);
        for (size_t k = 0; k < s->n; k++) {
            vf inverse = per_peak * (s->from + s->step * (float)k), xq = {0}, qq = {0};
            for (size_t i = 0; i < b->len; i++) {
                vf v = vf_load(&b->x[i][l]), w = vf_load(&b->w[i][l]);
                vf q = vf_round(vf_min(vf_max(v * inverse, vf_all(s->low)), vf_all(s->high))), wq = w * q;
                xq += wq * v;
                qq += wq * q;
            }
            vf d = vf_where(qq > 0.0f, xq / qq), gain = d * xq;
            vi better = gain > best;
            best = vf_pick(better, gain, best);
            scale = vf_pick(better, d, scale);
        }
        vi half = scale_half(scale * vf_load(&b->unit[l]));
        memcpy(&scales[l], &half, sizeof half);
    }
}

/* 32 nibbles to 16 bytes: weights 0..15 low. */
static inline void pack_nibbles(uint8_t *to, const int8_t q[32]) {
    for (size_t i = 0; i < 16; i++) to[i] = (uint8_t)(q[i] | q[i + 16] << 4);
}

static void encode_q4_0(const float *x, const float *importance, void *blocks, size_t n) {
    static const scale_tries tries = {.low = -8, .high = 7, .from = -9.2f, .step = 0.1f, .n = 32};
    uint8_t *to = blocks;
    batch b;
    int32_t scales[BATCH_GROUPS];
    int8_t q[32];
    for (size_t at = 0; at < n; at += 32 * BATCH_GROUPS) {
        size_t len = MIN(n - at, 32 * BATCH_GROUPS);
        batch_load(&b, x + at, importance ? importance + at : NULL, len, 32, 1);
        search_scale(&b, &tries, scales);
        for (size_t g = 0; g < len / 32; g++, to += 18) {
            store_u16(to, (uint16_t)scales[g]);
            float inverse = inverse_of(f32_of_f16((uint16_t)scales[g]));
            round_group(x + at + 32 * g, 32, inverse, -8, 7, 8, q);
            pack_nibbles(to + 2, q);
        }
    }
}

#endif
