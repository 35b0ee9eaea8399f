/* encode_fit.h: one scale for a group of weights: how integers are rounded to, and the first fits.
 *
 * A type's integers are either all from low to high, or a table: that of IQ4, or that of the E2M1 floats. Given the
 * integers q of a group, its best scale is sum(w x q) / sum(w q q), and it takes sum(w x q)^2 / sum(w q q) off the
 * weighted squared error. So a search needs only integers to choose from: those to which a few scales round.
 */
#ifndef LEAT_ENCODE_FIT_H
#define LEAT_ENCODE_FIT_H

#include "quant/encode_batch.h"
#include "quant/quant_grids.h"

typedef enum { ROUND_EVENLY, ROUND_IQ4, ROUND_FP4 } rounding;

typedef struct scale_kind {
    rounding to;
    float low, high;   /* of the integers */
    size_t len;        /* weights a group, at most BATCH_LEN_MAX */
    float from, step;  /* the scales of the first fits take the peak of a group to the integers from, from + step ... */
    size_t n_fits;
    size_t n_sides;    /* 2: also to the same share of high as these are of low; 1: a scale's sign hardly matters */
} scale_kind;

#define FITS_AT_ONCE 4 /* n_fits is a multiple */

/* Always inlined, so that `to` is a constant in the loops. */
#define INLINE static inline __attribute__((always_inline))

/* The table's integers that are nearest to each v: a step at the middle between each two; a loop, as it is many. */
INLINE void round_iq4(vf *q, const vf *v, size_t n) {
    static const float values[16] = {QUANT_VALUES_IQ4};
    EACH_OF(k, n) q[k] = vf_all(values[0]);
    _Pragma("GCC unroll 1") for (size_t i = 1; i < 16; i++) {
        vf middle = vf_all(0.5f * (values[i - 1] + values[i])), step = vf_all(values[i] - values[i - 1]);
        EACH_OF(k, n) q[k] += vf_where(v[k] > middle, step);
    }
}

/* 0 1 2 3 4 6 8 12: the last digit that counts has the value 1, from 4 on 2, from 8 on 4. */
INLINE vf round_fp4(vf v) {
    vf near = vf_max(vf_min(v, vf_all(12)), vf_all(-12)), size = vf_abs(near);
    vf digit = vf_pick(size > 8.0f, vf_all(4 * VF_ROUND), vf_pick(size > 4.0f, vf_all(2 * VF_ROUND), vf_all(VF_ROUND)));
    return (near + digit) - digit;
}

/* n vectors, n being a constant. */
INLINE void round_to(rounding to, vf *q, const vf *v, size_t n, vf low, vf high) {
    if (to == ROUND_IQ4) round_iq4(q, v, n);
    else EACH_OF(k, n) q[k] = vf_round(vf_max(vf_min(v[k], high), low));
}

typedef struct fit {
    vf scale, gain;
} fit;

INLINE fit fit_side_to(rounding to, const scale_kind *kind, const batch *b, size_t l, float times) {
    vf per_peak = scale_inverse(vf_load(&b->peak[l])) * times, low = vf_all(kind->low), high = vf_all(kind->high);
    fit best = {{0}, {0}};
    for (size_t at = 0; at < kind->n_fits; at += FITS_AT_ONCE) {
        vf inverse[FITS_AT_ONCE], xq[FITS_AT_ONCE] = {{0}}, qq[FITS_AT_ONCE] = {{0}};
        EACH_OF(k, FITS_AT_ONCE) inverse[k] = per_peak * (kind->from + kind->step * (float)(at + k));
        for (size_t i = 0; i < b->len; i++) {
            vf x = vf_load(&b->x[i][l]), w = vf_load(&b->w[i][l]);
            vf v[FITS_AT_ONCE], q[FITS_AT_ONCE];
            EACH_OF(k, FITS_AT_ONCE) v[k] = x * inverse[k];
            round_to(to, q, v, FITS_AT_ONCE, low, high);
            EACH_OF(k, FITS_AT_ONCE) {
                vf wq = w * q[k];
                xq[k] += wq * x;
                qq[k] += wq * q[k];
            }
        }
        EACH_OF(k, FITS_AT_ONCE) {
            vf scale = vf_where(qq[k] > 0.0f, xq[k] / qq[k]), gain = scale * xq[k];
            vi better = gain > best.gain;
            best.gain = vf_pick(better, gain, best.gain);
            best.scale = vf_pick(better, scale, best.scale);
        }
    }
    return best;
}

/* The best of one side: the peak comes to a negative integer, or with side 1 to a positive one. */
static __attribute__((unused)) fit fit_side(const scale_kind *kind, const batch *b, size_t l, size_t side) {
    float times = side ? kind->high / kind->low : 1.0f;
    if (kind->to == ROUND_IQ4) return fit_side_to(ROUND_IQ4, kind, b, l, times);
    return fit_side_to(ROUND_EVENLY, kind, b, l, times);
}

/* The best scale of each group as a half. */
static __attribute__((unused)) void fit_halves(const scale_kind *kind, const batch *b, int32_t halves[BATCH_GROUPS]) {
    EACH_LANE(l) {
        fit best = fit_side(kind, b, l, 0);
        if (kind->n_sides > 1) {
            fit other = fit_side(kind, b, l, 1);
            best.scale = vf_pick(other.gain > best.gain, other.scale, best.scale);
        }
        vi half = scale_half(best.scale * vf_load(&b->unit[l]));
        memcpy(&halves[l], &half, sizeof half);
    }
}

/* ---- output --------------------------------------------------------------------------------------------- */

/* The n weights of a group in their own order, n a multiple of 16: integers from low to high, plus `plus`. */
static inline void round_group(const float *x, size_t n, float inverse, float low, float high, float plus, int8_t *q) {
    vf lo = vf_all(low), hi = vf_all(high);
    for (size_t i = 0; i < n; i += ENCODE_LANES) {
        vf v = vf_max(vf_min(vf_load(x + i) * inverse, hi), lo);
        vi_store_bytes(q + i, vi_round(v + plus));
    }
}

/* Integers from 0 to high of x + offset, as many inverses. */
static inline void round_group_from(const float *x, size_t n, float offset, float inverse, float high, int8_t *q) {
    vf lo = vf_all(0.0f), hi = vf_all(high);
    for (size_t i = 0; i < n; i += ENCODE_LANES) {
        vf v = vf_max(vf_min((vf_load(x + i) + offset) * inverse, hi), lo);
        vi_store_bytes(q + i, vi_round(v));
    }
}

/* As places in the table of IQ4. */
static inline void round_group_iq4(const float *x, size_t n, float inverse, int8_t *q) {
    static const float values[16] = {QUANT_VALUES_IQ4};
    for (size_t i = 0; i < n; i += ENCODE_LANES) {
        vf v = vf_load(x + i) * inverse;
        vi place = {0};
        _Pragma("GCC unroll 16") for (size_t k = 1; k < 16; k++) place -= v > 0.5f * (values[k - 1] + values[k]);
        vi_store_bytes(q + i, place);
    }
}

/* 32 nibbles to 16 bytes: weights 0..15 low. */
static inline void pack_nibbles(uint8_t *restrict to, const int8_t *restrict q) {
    for (size_t i = 0; i < 16; i++) to[i] = (uint8_t)(q[i] | q[i + 16] << 4);
}

/* Fifth bits of 32 weights, then nibbles. */
static inline void pack_five_bits(uint8_t *restrict to, const int8_t *restrict q) {
    uint32_t fifth = 0;
    for (size_t i = 0; i < 32; i++) fifth |= (uint32_t)(q[i] >> 4) << i;
    store_u32(to, fifth);
    for (size_t i = 0; i < 16; i++) to[4 + i] = (uint8_t)((q[i] & 15) | q[i + 16] << 4);
}

/* 128 weights of two bits to 32 bytes: weight i in bits 0-1 of byte i, i + 32 in bits 2-3 ... */
static inline void pack_pairs(uint8_t *restrict to, const int8_t *restrict q) {
    for (size_t i = 0; i < 32; i++)
        to[i] = (uint8_t)((q[i] & 3) | (q[i + 32] & 3) << 2 | (q[i + 64] & 3) << 4 | (q[i + 96] & 3) << 6);
}

#endif
