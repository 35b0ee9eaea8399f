/* encode_vec.h: the vectors that the encoders are written in.
 *
 * A vector has ENCODE_LANES floats (or as many int32); how many, and how a minimum or a root is taken, is all that
 * differs between instruction sets. Operators are the compiler's: + - * / on floats, comparisons that give masks of -1
 * and 0.
 * Each lane computes as one float would: no multiply-add is fused, no sum crosses lanes. So every width gives the same
 * bits.
 *
 * Whoever includes this has defined ENCODE_LANES (4, 8 or 16); then he provides
 *     vf vf_min(vf a, vf b)        a < b ? a : b, in each lane
 *     vf vf_max(vf a, vf b)        a > b ? a : b
 *     vf vf_sqrt(vf v)             rounded to nearest
 * and includes encode.h. encode_plain.h does both in plain C.
 */
#ifndef LEAT_ENCODE_VEC_H
#define LEAT_ENCODE_VEC_H

#include "base/base.h"

typedef float vf __attribute__((vector_size(4 * ENCODE_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * ENCODE_LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * ENCODE_LANES)));
typedef int8_t vb __attribute__((vector_size(ENCODE_LANES)));

typedef float v4 __attribute__((vector_size(16)));

static inline v4 v4_load(const float *at) {
    v4 v;
    memcpy(&v, at, sizeof v);
    return v;
}
static inline void v4_store(float *at, v4 v) { memcpy(at, &v, sizeof v); }
static inline vf vf_load(const float *at) {
    vf v;
    memcpy(&v, at, sizeof v);
    return v;
}
static inline void vf_store(float *at, vf v) { memcpy(at, &v, sizeof v); }
static inline vf vf_all(float x) { return x - (vf){0}; }
static inline vi vi_all(int32_t x) { return x - (vi){0}; }
static inline vi vi_bits(vf v) { return (vi)v; }
static inline vf vf_of_bits(vi v) { return (vf)v; }

/* mask ? a : b */
static inline vi vi_pick(vi mask, vi a, vi b) { return (a & mask) | (b & ~mask); }
static inline vf vf_pick(vi mask, vf a, vf b) { return (vf)vi_pick(mask, (vi)a, (vi)b); }
static inline vf vf_where(vi mask, vf a) { return (vf)(mask & (vi)a); } /* else 0 */
static inline vf vf_abs(vf v) { return (vf)((vi)v & 0x7fffffff); }

/* The nearest integer, ties to even, for |v| < 2^22: a float so large has no fraction left. */
#define VF_ROUND 12582912.0f
static inline vf vf_round(vf v) { return (v + VF_ROUND) - VF_ROUND; }
static inline vi vi_round(vf v) { return (vi)(v + VF_ROUND) - 0x4b400000; }

/* ---- halves: the bits of f16_of_f32 and bf16_of_f32 ----------------------------------------------------- */

static inline vi vi_half(vf v) {
    vi bits = (vi)v, rest = bits & 0x7fffffff, sign = (bits >> 16) & 0x8000;
    vi normal = ((rest + 0xfff + ((rest >> 13) & 1)) >> 13) - (112 << 10);
    vi small = (vi)((vf)rest + 0.5f) - 0x3f000000;
    vi nan = 0x7e00 | ((rest >> 13) & 0x3ff);
    vi half = vi_pick(rest < 0x38800000, small, normal);
    half = vi_pick(rest >= 0x47800000, vi_all(0x7c00), half);
    return sign | vi_pick(rest > 0x7f800000, nan, half);
}

static inline vi vi_bf16(vf v) {
    vi bits = (vi)v, round = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return vi_pick((bits & 0x7fffffff) > 0x7f800000, (bits >> 16) | 0x40, round) & 0xffff;
}

/* Finite halves only. */
static inline vf vf_of_half(vi half) {
    vi rest = half & 0x7fff;
    vf small = __builtin_convertvector(rest, vf) * 0x1p-24f;
    vf value = vf_pick(rest < 0x400, small, (vf)((rest << 13) + (112 << 23)));
    return (vf)((vi)value | (half & 0x8000) << 16);
}

static inline void vi_store_halves(uint8_t *at, vi v) {
    vh h = __builtin_convertvector(v, vh);
    memcpy(at, &h, sizeof h);
}
static inline void vi_store_bytes(void *at, vi v) {
    vb b = __builtin_convertvector(v, vb);
    memcpy(at, &b, sizeof b);
}

#endif
