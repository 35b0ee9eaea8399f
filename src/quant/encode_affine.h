/* encode_affine.h: a scale and a base for a group of weights: the first fits, and Q4_1 and Q5_1, which need no more.
 *
 * A weight is scale q + base. Given the integers q of a group, least squares gives the best of both. The integers to
 * choose from are those to which the range of the group rounds when it is spread over a little less or more than all;
 * what is more is clipped at the one end, at the other, or at both.
 */
#ifndef LEAT_ENCODE_AFFINE_H
#define LEAT_ENCODE_AFFINE_H

#include "quant/encode_fit.h"

typedef struct span_kind {
    favour more;      /* how much more larger weights matter */
    bool free;        /* whether the base may be above zero, as it may not in the K types */
    float high;       /* of the integers, which start at 0 */
    size_t len;       /* weights a group */
    float from, step; /* the range of a group is spread over high + from, high + from + step ... */
    size_t n_fits;
    size_t n_anchors; /* so many times: its low end held at 0, then what is held wanders to the high end */
} span_kind;

/* What is known of the groups after a fit, a lane each. */
typedef struct span {
    vf scale, base;
    vf mean_q, mean_x; /* weighted by importance */
    vf sum_w, sum_xx;
} span;

#define SPANS_AT_ONCE 2 /* n_fits is a multiple */

/* Sums over each group of w q, w q q and w q x, for several roundings at once: that hides most of the waiting. */
typedef struct span_sums {
    vf q[SPANS_AT_ONCE], qq[SPANS_AT_ONCE], xq[SPANS_AT_ONCE];
} span_sums;

/* x takes the integer nearest to (x - low) inverse + first. */
INLINE void span_sum(span_sums *s, const batch *b, size_t l, vf low, const vf inverse[], const vf first[], vf high) {
    *s = (span_sums){0};
    for (size_t i = 0; i < b->len; i++) {
        vf x = vf_load(&b->x[i][l]), w = vf_load(&b->w[i][l]);
        EACH_OF(k, SPANS_AT_ONCE) {
            vf q = vf_round(vf_max(vf_min((x - low) * inverse[k] + first[k], high), vf_all(0.0f))), wq = w * q;
            s->q[k] += wq;
            s->qq[k] += wq * q;
            s->xq[k] += wq * x;
        }
    }
}

/* All at one base is the first choice: the scale is 0 then. */
static span span_fit(const span_kind *kind, const batch *b, size_t l) {
    span s = {{0}, {0}, {0}, {0}, {0}, {0}};
    vf low = kind->free ? vf_all(F32_MAX) : vf_all(0.0f), high = vf_all(-F32_MAX), sx = {0};
    for (size_t i = 0; i < b->len; i++) {
        vf x = vf_load(&b->x[i][l]), w = vf_load(&b->w[i][l]);
        low = vf_min(x, low);
        high = vf_max(x, high);
        s.sum_w += w;
        sx += w * x;
        s.sum_xx += w * x * x;
    }
    vf per_w = scale_inverse(s.sum_w), per_range = scale_inverse(high - low);
    s.mean_x = per_w * sx;
    s.base = kind->free ? s.mean_x : vf_min(s.mean_x, vf_all(0.0f));
    vf most = s.base * sx, sum_q = {0};
    for (size_t at = 0; at < kind->n_fits * kind->n_anchors; at += SPANS_AT_ONCE) {
        float anchor = kind->n_anchors == 1 ? 0.0f : (float)(at / kind->n_fits) / (float)(kind->n_anchors - 1);
        vf inverse[SPANS_AT_ONCE], first[SPANS_AT_ONCE];
        span_sums t;
        EACH_OF(k, SPANS_AT_ONCE) {
            float more = kind->from + kind->step * (float)(at % kind->n_fits + k);
            inverse[k] = per_range * (kind->high + more);
            first[k] = vf_all(-anchor * more);
        }
        span_sum(&t, b, l, low, inverse, first, vf_all(kind->high));
        EACH_OF(k, SPANS_AT_ONCE) {
            vf det = s.sum_w * t.qq[k] - t.q[k] * t.q[k], per_det = vf_where(det > 0.0f, 1.0f / det);
            vf scale = (s.sum_w * t.xq[k] - sx * t.q[k]) * per_det, base = (t.qq[k] * sx - t.q[k] * t.xq[k]) * per_det;
            vi above = kind->free ? vi_all(0) : base > 0.0f;
            scale = vf_pick(above, t.xq[k] * scale_inverse(t.qq[k]), scale);
            base = vf_where(~above, base);
            vf gain = scale * t.xq[k] + base * sx;
            vi better = (gain > most) & (scale > 0.0f);
            most = vf_pick(better, gain, most);
            s.scale = vf_pick(better, scale, s.scale);
            s.base = vf_pick(better, base, s.base);
            sum_q = vf_pick(better, t.q[k], sum_q);
        }
    }
    s.mean_q = sum_q * per_w;
    return s;
}

/* ---- Q4_1, Q5_1 ------------------------------------------------------------------------------------------- */

typedef void write_span(uint8_t *to, const int8_t *q);

/* Blocks of a half as scale, a half as base, and the integers of 32 weights. kinds: without and with importance. */
static void encode_spans(const span_kind kinds[2], write_span *write, size_t bytes, const float *x,
                         const float *importance, uint8_t *to, size_t n) {
    batch b;
    int32_t scales[BATCH_GROUPS], bases[BATCH_GROUPS];
    const span_kind *kind = &kinds[importance != NULL];
    for (size_t at = 0; at < n; at += 32 * BATCH_GROUPS) {
        size_t n_here = MIN(n - at, 32 * BATCH_GROUPS);
        batch_load(&b, x + at, importance ? importance + at : NULL, n_here, 32, 1, kind->more);
        EACH_LANE(l) {
            vf unit = vf_load(&b.unit[l]);
            span s = span_fit(kind, &b, l);
            vi scale = scale_half(s.scale * unit), base = scale_half(s.base * unit);
            memcpy(&scales[l], &scale, sizeof scale);
            memcpy(&bases[l], &base, sizeof base);
        }
        for (size_t g = 0; g < n_here / 32; g++, to += bytes) {
            int8_t q[32];
            store_u16(to, (uint16_t)scales[g]);
            store_u16(to + 2, (uint16_t)bases[g]);
            round_group_from(x + at + 32 * g, 32, -f32_of_f16((uint16_t)bases[g]),
                             inverse_of(f32_of_f16((uint16_t)scales[g])), kind->high, q);
            write(to + 4, q);
        }
    }
}

static void encode_q4_1(const float *x, const float *importance, void *blocks, size_t n) {
    static const span_kind kinds[2] = {
        {.free = true, .high = 15, .len = 32, .from = -1.2f, .step = 0.4f, .n_fits = 10, .n_anchors = 3},
        {.free = true, .high = 15, .len = 32, .from = -1.2f, .step = 0.6f, .n_fits = 8, .n_anchors = 5},
    };
    encode_spans(kinds, pack_nibbles, 20, x, importance, blocks, n);
}

static void encode_q5_1(const float *x, const float *importance, void *blocks, size_t n) {
    static const span_kind kinds[2] = {
        {.free = true, .high = 31, .len = 32, .from = -1.2f, .step = 0.4f, .n_fits = 10, .n_anchors = 3},
        {.free = true, .high = 31, .len = 32, .from = -2.4f, .step = 0.6f, .n_fits = 10, .n_anchors = 4},
    };
    encode_spans(kinds, pack_five_bits, 24, x, importance, blocks, n);
}

#endif
