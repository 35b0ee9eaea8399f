/* vec_neon.h: the vector vocabulary (see vec_scalar.h) on four 128-bit registers.
 */
#ifndef LEAT_VEC_NEON_H
#define LEAT_VEC_NEON_H

#include <arm_neon.h>

#include "base/base.h"
#include "kern/kern_int.h"
#include "kern/kern_plain.h"

#define VEC_LEVEL neon
#define VEC_NEEDS KERN_CPU_NEON_DOT
#define VEC_SUBS 1
#define VEC_FLOAT_TOKENS 6
#define VEC_ACTS 4
#define VEC_NARROW(wide, narrow) wide
#define VEC_ROWS 1
#define VEC_AHEAD 1024
#define VEC_AHEAD_FLOATS VEC_AHEAD
#define VEC_LOADS_ENTRIES(n) ((n) > 0)
#define VEC_QUERIES 4
#define VEC_QUERIES_HALVES 8
#define VEC_STRIP 1
#define VEC_STRIP_LEFT 1
#define VEC_HALVES 1
#define VEC_HALVES_LEFT 1

typedef uint8x16x4_t vb;
typedef int32x4x4_t vi;
typedef float32x4x4_t vf;
/* A vector of what f makes of each register. */
#define EACH(type, f) ((type){{f(0), f(1), f(2), f(3)}})
#define EACH_1(type, f, x) ((type){{f((x).val[0]), f((x).val[1]), f((x).val[2]), f((x).val[3])}})
#define EACH_2(type, f, x, y) \
    ((type){{f((x).val[0], (y).val[0]), f((x).val[1], (y).val[1]), f((x).val[2], (y).val[2]), f((x).val[3], (y).val[3])}})
#define EACH_3(type, f, x, y, z)                                                              \
    ((type){{f((x).val[0], (y).val[0], (z).val[0]), f((x).val[1], (y).val[1], (z).val[1]), \
             f((x).val[2], (y).val[2], (z).val[2]), f((x).val[3], (y).val[3], (z).val[3])}})

static inline float quant_half(const void *p) {
    __fp16 h;
    memcpy(&h, p, sizeof h);
    return h;
}

/* ---- bytes ------------------------------------------------------------------------------------------ */

static inline vb vb_of(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) { return (vb){{a, b, c, d}}; }
static inline uint32x4_t words(uint8x16_t x) { return vreinterpretq_u32_u8(x); }
static inline uint16x8_t halves(uint8x16_t x) { return vreinterpretq_u16_u8(x); }
static inline uint64x2_t doubles(uint8x16_t x) { return vreinterpretq_u64_u8(x); }
static inline int8x16_t signs(uint8x16_t x) { return vreinterpretq_s8_u8(x); }

static inline vb vb_load(const void *p) { return vld1q_u8_x4(p); }
static inline void vb_store(void *p, vb a) { vst1q_u8_x4(p, a); }
static inline vb vb_dup(uint8x16_t x) { return vb_of(x, x, x, x); }
static inline vb vb_set(uint8_t x) { return vb_dup(vdupq_n_u8(x)); }
static inline vb vb_set_4(uint32_t x) { return vb_dup(vreinterpretq_u8_u32(vdupq_n_u32(x))); }
static inline vb vb_load_4(const void *p) { return vb_set_4(load_u32(p)); }
static inline vb vb_xor(vb a, vb b) { return EACH_2(vb, veorq_u8, a, b); }
static inline vb vb_and(vb a, vb b) { return EACH_2(vb, vandq_u8, a, b); }
static inline uint8x16_t or_and(uint8x16_t a, uint8x16_t b, uint8x16_t c) { return vorrq_u8(a, vandq_u8(b, c)); }
static inline vb vb_or_and(vb a, vb b, vb c) { return EACH_3(vb, or_and, a, b, c); }
static inline vb vb_low(vb a) { return vb_and(a, vb_set(15)); }
static inline uint8x16_t high_4(uint8x16_t a) { return vshrq_n_u8(a, 4); }
static inline vb vb_high(vb a) { return EACH_1(vb, high_4, a); }
static inline vb vb_add(vb a, vb b) { return EACH_2(vb, vaddq_u8, a, b); }
static inline vb vb_load_each(const void *p0, const void *p1, const void *p2, const void *p3) {
    return vb_of(vld1q_u8(p0), vld1q_u8(p1), vld1q_u8(p2), vld1q_u8(p3));
}
static inline vb vb_load_lanes(const void *p, size_t stride) {
    const char *b = p;
    return vb_load_each(b, b + stride, b + 2 * stride, b + 3 * stride);
}
static inline void vb_load_blocks(const uint8_t *b, size_t at, size_t stride, vb *even, vb *odd) {
    *even = vb_load_lanes(b + at, 2 * stride);
    *odd = vb_load_lanes(b + at + stride, 2 * stride);
}
static inline void vb_load_split(const void *p, vb *even, vb *odd) {
    *even = vb_load_lanes(p, 32);
    *odd = vb_load_lanes((const char *)p + 16, 32);
}
static inline vb vb_load_16(const void *p) { return vb_dup(vld1q_u8(p)); }
static inline vb vb_load_2(const void *p, const void *q) {
    uint8x16_t a = vld1q_u8(p), b = vld1q_u8(q);
    return vb_of(a, a, b, b);
}
static inline uint8x16_t low_twice(uint8x16_t x) { return vcombine_u8(vget_low_u8(x), vget_low_u8(x)); }
static inline uint8x16_t high_twice(uint8x16_t x) { return vcombine_u8(vget_high_u8(x), vget_high_u8(x)); }
static inline vb vb_load_8(const void *p, const void *q) {
    uint8x16_t a = vld1q_u8(p), b = vld1q_u8(q);
    return vb_of(low_twice(a), high_twice(a), low_twice(b), high_twice(b));
}
static inline uint8x16_t shift(uint8x16_t x, int n) { return vreinterpretq_u8_u32(vshlq_u32(words(x), vdupq_n_s32(n))); }
static inline vb vb_shift(vb a, int s0, int s1, int s2, int s3) {
    return vb_of(shift(a.val[0], s0), shift(a.val[1], s1), shift(a.val[2], s2), shift(a.val[3], s3));
}
static inline vb vb_widen(const void *p) {
#define WIDE(j) vreinterpretq_u8_u16(vmovl_u8(vld1_u8((const uint8_t *)p + 8 * (j))))
    return EACH(vb, WIDE);
#undef WIDE
}
/* Indices above 15 give zero. */
static inline vb vb_lookup(vb table, vb at) { return EACH_2(vb, vqtbl1q_u8, table, at); }
static inline vb vb_zip_low(vb a, vb b) { return EACH_2(vb, vzip1q_u8, a, b); }
static inline vb vb_zip_high(vb a, vb b) { return EACH_2(vb, vzip2q_u8, a, b); }
static inline uint8x16_t join_low(uint8x16_t a, uint8x16_t b) { return vreinterpretq_u8_u64(vzip1q_u64(doubles(a), doubles(b))); }
static inline uint8x16_t join_high(uint8x16_t a, uint8x16_t b) { return vreinterpretq_u8_u64(vzip2q_u64(doubles(a), doubles(b))); }
static inline vb vb_join_low(vb a, vb b) { return EACH_2(vb, join_low, a, b); }
static inline vb vb_join_high(vb a, vb b) { return EACH_2(vb, join_high, a, b); }
static inline uint8x16_t mul_2(uint8x16_t a, uint8x16_t b) { return vreinterpretq_u8_u16(vmulq_u16(halves(a), halves(b))); }
static inline vb vb_mul_2(vb a, vb b) { return EACH_2(vb, mul_2, a, b); }
static inline vb bits_of(vb bits, size_t from) {
    uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    uint8x16_t at = vcombine_u8(vdup_n_u8((uint8_t)from), vdup_n_u8((uint8_t)(from + 1)));
#define BITS(j) vtstq_u8(vqtbl1q_u8(bits.val[j], at), bit)
    return EACH(vb, BITS);
#undef BITS
}
static inline vb vb_or_bits(vb a, vb bits, size_t from, uint8_t value) { return vb_or_and(a, bits_of(bits, from), vb_set(value)); }
static inline uint8x16_t plus_minus(uint8x16_t a, uint8x16_t b, uint8x16_t minus) {
    return vaddq_u8(a, vsubq_u8(veorq_u8(b, minus), minus));
}
static inline vb vb_plus_minus(vb a, vb b, vb bits, size_t from) { return EACH_3(vb, plus_minus, a, b, bits_of(bits, from)); }
static inline uint8x16_t digits(uint8x16_t x, uint8x16_t power) {
    uint8x16_t top = vmulq_u8(x, vtrn1q_u8(power, power));
    uint8x8_t three = vdup_n_u8(3);
    return vshrn_high_n_u16(vshrn_n_u16(vmull_u8(vget_low_u8(top), three), 8), vmull_u8(vget_high_u8(top), three), 8);
}
static inline vb vb_digits(vb a, vb power) { return EACH_2(vb, digits, a, power); }
static inline uint8x16_t entries_2(const uint64_t *t, const uint8_t *at) {
    return vreinterpretq_u8_u64(vcombine_u64(vld1_u64(t + load_u16(at)), vld1_u64(t + load_u16(at + 2))));
}
static inline void vb_entries_8(const uint64_t *table, const uint8_t *indices, vb q[4]) {
    for (size_t k = 0; k < 4; k++, indices += 4)
        q[k] = vb_of(entries_2(table, indices), entries_2(table, indices + 16), entries_2(table, indices + 32),
                     entries_2(table, indices + 48));
}
static inline uint8x16_t entries_4(const uint32_t *t, const uint8_t *at) {
    uint32x4_t r = vdupq_n_u32(t[load_u16(at)]);
    r = vld1q_lane_u32(t + load_u16(at + 2), r, 1);
    r = vld1q_lane_u32(t + load_u16(at + 4), r, 2);
    return vreinterpretq_u8_u32(vld1q_lane_u32(t + load_u16(at + 6), r, 3));
}
static inline void vb_entries_4(const uint32_t *table, const uint8_t *indices, vb q[4]) {
    for (size_t k = 0; k < 4; k++) {
        const uint8_t *at = indices + 64 * (k / 2) + 8 * (k % 2);
        q[k] = vb_of(entries_4(table, at), entries_4(table, at + 16), entries_4(table, at + 32), entries_4(table, at + 48));
    }
}
static inline vb vb_codes(const uint16_t *table, size_t n, vb at) {
    (void)table;
    (void)n;
    return at;
}
/* Masks are constants: the loops over their runs of ones are unrolled. */
static inline __attribute__((always_inline)) uint64_t u64_deposit(uint64_t x, uint64_t mask) {
    uint64_t r = 0;
    while (mask) {
        int from = __builtin_ctzll(mask), len = __builtin_ctzll(~(mask >> from));
        uint64_t run = mask & ~(mask + ((uint64_t)1 << from));
        r |= x << from & run;
        x >>= len;
        mask ^= run;
    }
    return r;
}
static inline __attribute__((always_inline)) uint64_t u64_extract(uint64_t x, uint64_t mask) {
    uint64_t r = 0;
    for (int to = 0; mask;) {
        int from = __builtin_ctzll(mask), len = __builtin_ctzll(~(mask >> from));
        uint64_t run = mask & ~(mask + ((uint64_t)1 << from));
        r |= (x & run) >> from << to;
        to += len;
        mask ^= run;
    }
    return r;
}

/* ---- int32 ------------------------------------------------------------------------------------------ */

static inline vi vi_set(int32_t x) { return (vi){{vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x)}}; }
static inline vi vi_of_vf(vf x) { return EACH_1(vi, vcvtnq_s32_f32, x); }
static inline uint8x16_t pairs_of(int32x4_t even, int32x4_t odd) { return vreinterpretq_u8_s32(vsliq_n_s32(even, odd, 16)); }
static inline vb vb_pairs(vi even, vi odd) { return EACH_2(vb, pairs_of, even, odd); }
static inline int16x8_t signed_halves(uint8x16_t x) { return vreinterpretq_s16_u8(x); }
static inline uint8x16_t mul_15(uint8x16_t a, uint8x16_t b) { return vreinterpretq_u8_s16(vqrdmulhq_s16(signed_halves(a), signed_halves(b))); }
static inline vb vb_mul_15(vb a, vb b) { return EACH_2(vb, mul_15, a, b); }
static inline uint8x16_t join_bytes(uint8x16_t a, uint8x16_t b) { return vreinterpretq_u8_u16(vsliq_n_u16(halves(a), halves(b), 8)); }
static inline vb vb_join_bytes(vb a, vb b) { return EACH_2(vb, join_bytes, a, b); }
/* Even and odd products of pairs, added up. */
static inline int32x4_t dot_2(int32x4_t sum, uint8x16_t a, uint8x16_t b) {
    int16x8_t x = signed_halves(a), y = signed_halves(b);
    return vaddq_s32(sum, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}
static inline vi vi_dot_2(vi sum, vb a, vb b) { return EACH_3(vi, dot_2, sum, a, b); }
static inline vi vi_load_1(const int32_t *p) { return vi_set(*p); }
static inline void vi_store(int32_t *p, vi a) { vst1q_s32_x4(p, a); }
static inline vi vi_add(vi a, vi b) { return EACH_2(vi, vaddq_s32, a, b); }
static inline vi vi_sub(vi a, vi b) { return EACH_2(vi, vsubq_s32, a, b); }
static inline vi vi_shift_left(vi a, int n) { return EACH_2(vi, vshlq_s32, a, vi_set(n)); }
static inline int16x8_t narrow(int32x4_t a, int32x4_t b) { return vqmovn_high_s32(vqmovn_s32(a), b); }
static inline void vi_store_i16(int16_t *p, vi a) {
    vst1q_s16(p, narrow(a.val[0], a.val[1]));
    vst1q_s16(p + 8, narrow(a.val[2], a.val[3]));
}
static inline void vi_store_i8(int8_t *p, vi a) {
    vst1q_s8(p, vqmovn_high_s16(vqmovn_s16(narrow(a.val[0], a.val[1])), narrow(a.val[2], a.val[3])));
}

/* ---- float ------------------------------------------------------------------------------------------ */

static inline vf vf_set(float x) { return (vf){{vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x)}}; }
static inline vf vf_load(const void *p) { return vld1q_f32_x4(p); }
static inline void vf_store(float *p, vf a) { vst1q_f32_x4(p, a); }
static inline vf vf_load_n(const float *p, size_t n) {
    float padded[16] = {0};
    memcpy(padded, p, n * sizeof *p);
    return vf_load(padded);
}
static inline void vf_store_n(float *p, vf a, size_t n) {
    float all[16];
    vf_store(all, a);
    memcpy(p, all, n * sizeof *p);
}
static inline vf vf_load_f16(const void *p) {
#define HALF(j) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)p + 4 * (j))))
    return EACH(vf, HALF);
#undef HALF
}
static inline vf vf_load_bf16(const void *p) {
#define HALF(j) vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16((const uint16_t *)p + 4 * (j))), 16))
    return EACH(vf, HALF);
#undef HALF
}
static inline vf vf_load_f64(const void *p) {
#define FOUR_OF(j) vcvt_high_f32_f64(vcvt_f32_f64(vld1q_f64((const double *)p + 4 * (j))), vld1q_f64((const double *)p + 4 * (j) + 2))
    return EACH(vf, FOUR_OF);
#undef FOUR_OF
}
static inline vf vf_of_vi(vi x) { return EACH_1(vf, vcvtq_f32_s32, x); }
static inline vf vf_add(vf a, vf b) { return EACH_2(vf, vaddq_f32, a, b); }
static inline vf vf_sub(vf a, vf b) { return EACH_2(vf, vsubq_f32, a, b); }
static inline vf vf_mul(vf a, vf b) { return EACH_2(vf, vmulq_f32, a, b); }
static inline vf vf_div(vf a, vf b) { return EACH_2(vf, vdivq_f32, a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return EACH_3(vf, vfmaq_f32, c, a, b); }
static inline vf vf_fnma(vf a, vf b, vf c) { return EACH_3(vf, vfmsq_f32, c, a, b); }
static inline vf vf_where_above(vf a, vf b, vf x, vf y) {
#define WHERE(j) vbslq_f32(vcgtq_f32(a.val[j], b.val[j]), x.val[j], y.val[j])
    return EACH(vf, WHERE);
#undef WHERE
}
static inline vf vf_max(vf a, vf b) { return vf_where_above(a, b, a, b); }
static inline vf vf_min(vf a, vf b) { return vf_where_above(b, a, a, b); }
static inline uint32x4_t magnitude(float32x4_t a) { return vreinterpretq_u32_f32(vabsq_f32(a)); }
static inline float32x4_t peak(float32x4_t a, float32x4_t b) {
    return vreinterpretq_f32_u32(vmaxq_u32(magnitude(a), magnitude(b)));
}
static inline vf vf_peak(vf a, vf b) { return EACH_2(vf, peak, a, b); }
static inline float vf_peak_all(vf a) {
    return f32_of_bits(vmaxvq_u32(magnitude(peak(peak(a.val[0], a.val[1]), peak(a.val[2], a.val[3])))));
}
static inline float vf_max_all(vf a) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.val[0], a.val[1]), vmaxq_f32(a.val[2], a.val[3])));
}
static inline float vf_sum(vf a) {
    float32x4_t b = vaddq_f32(vaddq_f32(a.val[0], a.val[2]), vaddq_f32(a.val[1], a.val[3]));
    float32x2_t c = vadd_f32(vget_low_f32(b), vget_high_f32(b));
    return vget_lane_f32(c, 0) + vget_lane_f32(c, 1);
}
static inline vf vf_spread(vf a, size_t k) {
    switch (k) {
#define ELEMENT(k) ((vf){{vdupq_laneq_f32(a.val[0], k), vdupq_laneq_f32(a.val[1], k), vdupq_laneq_f32(a.val[2], k), vdupq_laneq_f32(a.val[3], k)}})
    case 0: return ELEMENT(0);
    case 1: return ELEMENT(1);
    case 2: return ELEMENT(2);
    default: return ELEMENT(3);
#undef ELEMENT
    }
}
static inline vf vf_swap(vf a) { return EACH_1(vf, vrev64q_f32, a); }
static inline vf vf_round(vf x) { return EACH_1(vf, vrndnq_f32, x); }
static inline float32x4_t scale2(float32x4_t x, float32x4_t n) {
    int32x4_t e = vcvtnq_s32_f32(n), first = vshrq_n_s32(e, 1), bias = vdupq_n_s32(127);
    x = vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(first, bias), 23)));
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(e, first), bias), 23)));
}
static inline float32x4_t scale2_down(float32x4_t x, float32x4_t n) {
    int32x4_t e = vmaxq_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), vdupq_n_s32(0));
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(e, 23)));
}
static inline vf vf_scale2_down(vf x, vf n) { return EACH_2(vf, scale2_down, x, n); }
static inline vf vf_scale2(vf x, vf n) { return EACH_2(vf, scale2, x, n); }
static inline void vf_unzip(const float *p, vf *even, vf *odd) {
    for (size_t j = 0; j < 4; j++) {
        float32x4x2_t x = vld2q_f32(p + 8 * j);
        even->val[j] = x.val[0];
        odd->val[j] = x.val[1];
    }
}
static inline void vf_zip(float *p, vf even, vf odd) {
    for (size_t j = 0; j < 4; j++) vst2q_f32(p + 8 * j, (float32x4x2_t){{even.val[j], odd.val[j]}});
}

/* ---- scales of a chunk, a unit each ------------------------------------------------------------------- */

static inline vf twice(float32x4_t a, float32x4_t b) {
    return (vf){{vzip1q_f32(a, a), vzip2q_f32(a, a), vzip1q_f32(b, b), vzip2q_f32(b, b)}};
}
static inline vf vf_halves(const void *p, size_t stride, size_t units) {
    uint16_t h[8];
    for (size_t i = 0; i < 8; i++) h[i] = load_u16((const char *)p + 2 * i / units * stride);
    uint16x8_t x = vld1q_u16(h);
    return twice(vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(x))), vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(x))));
}
static inline vf of_words(uint16x8_t a, uint16x8_t b) {
    return (vf){{vcvtq_f32_u32(vmovl_u16(vget_low_u16(a))), vcvtq_f32_u32(vmovl_high_u16(a)),
                 vcvtq_f32_u32(vmovl_u16(vget_low_u16(b))), vcvtq_f32_u32(vmovl_high_u16(b))}};
}
static inline vf of_bytes(uint8x16_t x) { return of_words(vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x)); }
static inline vf vf_of_bytes(uint64_t low, uint64_t high) {
    return of_bytes(vcombine_u8(vcreate_u8(low), vcreate_u8(high)));
}
static inline vf vf_of_pairs(uint64_t bytes) {
    uint8x16_t x = vcombine_u8(vcreate_u8(bytes), vcreate_u8(bytes));
    return of_bytes(vzip1q_u8(x, x));
}
static inline float32x4_t top_4(uint8x16_t x) { return vcvtq_f32_u32(vshrq_n_u32(words(x), 28)); }
static inline vf vf_of_top_4(vb x) { return EACH_1(vf, top_4, x); }
static inline float32x4_t exponents(const uint8_t *b, size_t stride) {
    const uint32_t at[4] = {b[0], b[stride], b[2 * stride], b[3 * stride]};
    uint32x4_t e = vld1q_u32(at), normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    uint32x4_t small = vshlq_u32(vdupq_n_u32(0x200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), small, normal));
}
static inline vf vf_exponents(const void *p, size_t stride) {
    return twice(exponents(p, stride), exponents((const uint8_t *)p + 4 * stride, stride));
}
static inline float32x4_t of_e4m3(const void *p) {
    uint32x4_t x = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(load_u32(p)))));
    x = vandq_u32(vbicq_u32(x, vceqq_u32(x, vdupq_n_u32(0x7f))), vdupq_n_u32(0x7f));
    return vmulq_n_f32(vreinterpretq_f32_u32(vshlq_n_u32(x, 20)), 0x1p119f);
}
static inline vf vf_of_e4m3(const void *p, size_t stride) {
#define SCALES(j) of_e4m3((const char *)p + (j) * stride)
    return EACH(vf, SCALES);
#undef SCALES
}
static inline vf times(uint64_t bytes, const void *half) { return vf_mul(vf_of_pairs(bytes), vf_set(quant_half(half))); }
static inline void vf_scales(const void *p, vf *scale, vf *min) {
    const char *b = p;
    uint32_t low_scales = load_u32(b + 4), low_mins = load_u32(b + 8), high = load_u32(b + 12);
    uint32_t high_scales = (high & 0x0f0f0f0f) | (low_scales >> 2 & 0x30303030);
    uint32_t high_mins = (high >> 4 & 0x0f0f0f0f) | (low_mins >> 2 & 0x30303030);
    *scale = times((low_scales & 0x3f3f3f3f) | (uint64_t)high_scales << 32, b);
    *min = times((low_mins & 0x3f3f3f3f) | (uint64_t)high_mins << 32, b + 2);
}
static inline vf vf_of_i8(const void *p) {
    int8x16_t x = vld1q_s8(p);
    int16x8_t a = vmovl_s8(vget_low_s8(x)), b = vmovl_high_s8(x);
    return (vf){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(a))), vcvtq_f32_s32(vmovl_high_s16(a)),
                 vcvtq_f32_s32(vmovl_s16(vget_low_s16(b))), vcvtq_f32_s32(vmovl_high_s16(b))}};
}
static inline void vf_of_nibbles(const void *p, vf *low, vf *high) {
    uint8x16_t x = vld1q_u8(p);
    *low = of_bytes(vandq_u8(x, vdupq_n_u8(15)));
    *high = of_bytes(vshrq_n_u8(x, 4));
}

/* ---- others ----------------------------------------------------------------------------------------- */

static inline void v_transpose(const void *from, size_t stride, void *to, size_t far, size_t near) {
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++) {
            const char *at = (const char *)from + 4 * i * stride + 16 * j;
            char *out = (char *)to + j * far + 16 * i;
            float32x4_t a = vld1q_f32((const void *)at), b = vld1q_f32((const void *)(at + stride));
            float32x4_t c = vld1q_f32((const void *)(at + 2 * stride)), d = vld1q_f32((const void *)(at + 3 * stride));
            float64x2_t ab = vreinterpretq_f64_f32(vtrn1q_f32(a, b)), cd = vreinterpretq_f64_f32(vtrn1q_f32(c, d));
            float64x2_t ef = vreinterpretq_f64_f32(vtrn2q_f32(a, b)), gh = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
            vst1q_f64((void *)out, vzip1q_f64(ab, cd));
            vst1q_f64((void *)(out + near), vzip1q_f64(ef, gh));
            vst1q_f64((void *)(out + 2 * near), vzip2q_f64(ab, cd));
            vst1q_f64((void *)(out + 3 * near), vzip2q_f64(ef, gh));
        }
}
static inline void v_turn_4(vb x[4]) {
    for (size_t j = 0; j < 4; j++) {
        uint32x4_t r0 = words(x[0].val[j]), r1 = words(x[1].val[j]), r2 = words(x[2].val[j]), r3 = words(x[3].val[j]);
        uint32x4_t a = vzip1q_u32(r0, r2), b = vzip1q_u32(r1, r3), c = vzip2q_u32(r0, r2), d = vzip2q_u32(r1, r3);
        x[0].val[j] = vreinterpretq_u8_u32(vzip1q_u32(a, b));
        x[1].val[j] = vreinterpretq_u8_u32(vzip2q_u32(a, b));
        x[2].val[j] = vreinterpretq_u8_u32(vzip1q_u32(c, d));
        x[3].val[j] = vreinterpretq_u8_u32(vzip2q_u32(c, d));
    }
}
static inline void v_store_lanes(void *to, size_t stride, vb a, vb b, vb c, vb d) {
    for (size_t j = 0; j < 4; j++) vst1q_u8_x4((uint8_t *)to + j * stride, vb_of(a.val[j], b.val[j], c.val[j], d.val[j]));
}
static inline __attribute__((always_inline)) void v_prefetch(const void *p) { __builtin_prefetch(p); }
static inline uint64_t v_read(const void *p, size_t n_words) {
    const uint8_t *b = p;
    uint64x2_t sum[4] = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
    size_t i = 0;
    for (; i + 8 <= n_words; i += 8, b += 64) {
        v_prefetch(b + 4096);
        for (size_t k = 0; k < 4; k++) sum[k] = vaddq_u64(sum[k], doubles(vld1q_u8(b + 16 * k)));
    }
    uint64_t r = vaddvq_u64(vaddq_u64(vaddq_u64(sum[0], sum[1]), vaddq_u64(sum[2], sum[3])));
    for (; i < n_words; i++, b += 8) r += load_u64(b);
    return r;
}

#include "kern/vec_whole.h"

#endif
