/* encode_q8.h: Q8_0, the one encoder that a level of wider vectors compiles again: it is as fast as a disk only then.
 */
#ifndef LEAT_ENCODE_Q8_H
#define LEAT_ENCODE_Q8_H

#include "quant/encode_fit.h"

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
        batch_load(&b, x + at, importance ? importance + at : NULL, len, 32, 1, FAVOUR_NONE);
        search_q8(&b, scales);
        for (size_t g = 0; g < len / 32; g++, to += 34) {
            store_u16(to, (uint16_t)scales[g]);
            float inverse = inverse_of(f32_of_f16((uint16_t)scales[g]));
            round_group(x + at + 32 * g, 32, inverse, -127, 127, 0, (int8_t *)to + 2);
        }
    }
}

#endif
