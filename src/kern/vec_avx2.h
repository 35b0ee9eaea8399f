/* vec_avx2.h: the vector vocabulary (see vec_scalar.h) on pairs of 256-bit registers. Dot products: vec_avx2_dots.h.
 */
#ifndef LEAT_VEC_AVX2_H
#define LEAT_VEC_AVX2_H

#include <immintrin.h>

#include "base/base.h"
#include "kern/kern_int.h"

#define VEC_LEVEL avx2
#define VEC_NEEDS KERN_CPU_AVX2
#define VEC_SUBS 1
#define VEC_FLOAT_TOKENS 6
#define VEC_ACTS 4
#define VEC_ROWS 1
#define VEC_AHEAD 2048
#define VEC_AHEAD_FLOATS 1024
#define VEC_LOADS_ENTRIES(n) ((n) > 0)
/* Decode has ways of its own: kern_words.h, and of the K types kern_bytes.h. */
#define VEC_ACT_FUSED(len, most) ((most) <= 31 ? KERN_ACT_I16_BESIDE : KERN_ACT_I16_HALVES)
#define VEC_ACT_STORED VEC_ACT_FUSED
#define VEC_ACT_SIGNED(len, most) KERN_ACT_I16_HALVES
#define VEC_ACT_FOURS(len, most) ((len) == 256 && (most) <= 31 ? KERN_ACT_I8_HALVES : VEC_ACT_FUSED(len, most))
#define VEC_ACT_SIXES(len, most) KERN_ACT_I8_HALVES
#define VEC_ACT_PAIRED(len, most) KERN_ACT_I8_HALVES
#define VEC_ACT_DIGITS(len, most) KERN_ACT_I16_HALVES
#define VEC_PREPARE [KERN_ACT_I16_HALVES] = prepare_i16_halves, [KERN_ACT_I16_BESIDE] = prepare_i16_beside, [KERN_ACT_I8_HALVES] = prepare_i8_halves,
#define VEC_OPS_MORE
#define VEC_DECODE_FUSED(type, ...) static void decode_##type(const kern_matmul *m);
#define VEC_DECODE_STORED VEC_DECODE_FUSED
#define VEC_DECODE_SIGNED VEC_DECODE_FUSED
#define VEC_DECODE_FOURS VEC_DECODE_FUSED
#define VEC_DECODE_SIXES VEC_DECODE_FUSED
#define VEC_DECODE_PAIRED VEC_DECODE_FUSED
#define VEC_DECODE_DIGITS VEC_DECODE_FUSED
#define VEC_QUERIES 4
#define VEC_QUERIES_HALVES SIZE_MAX
#define VEC_STRIP 2
#define VEC_STRIP_LEFT 2
#define VEC_HALVES 3
#define VEC_HALVES_LEFT 2

typedef struct vb { __m256i a, b; } vb; /* lanes 0, 1 and 2, 3 */
typedef struct vi { __m256i a, b; } vi;
typedef struct vf { __m256 a, b; } vf;
#define VB(x, y) ((vb){x, y})
#define VI(x, y) ((vi){x, y})
#define VF(x, y) ((vf){x, y})

static inline float quant_half(const void *p) { return _cvtsh_ss(load_u16(p)); }

/* ---- bytes ------------------------------------------------------------------------------------------ */

static inline __m256i load_32(const void *p, size_t at) { return _mm256_loadu_si256((const void *)((const char *)p + at)); }
static inline __m128i load_16(const void *p, size_t at) { return _mm_loadu_si128((const void *)((const char *)p + at)); }
static inline __m256i join(__m128i low, __m128i high) { return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1); }
static inline vb vb_load(const void *p) { return VB(load_32(p, 0), load_32(p, 32)); }
static inline void vb_store(void *p, vb x) {
    _mm256_storeu_si256(p, x.a);
    _mm256_storeu_si256((void *)((char *)p + 32), x.b);
}
static inline vb vb_set(uint8_t x) { return VB(_mm256_set1_epi8((char)x), _mm256_set1_epi8((char)x)); }
static inline vb vb_xor(vb x, vb y) { return VB(_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)); }
static inline vb vb_and(vb x, vb y) { return VB(_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)); }
static inline vb vb_or_and(vb x, vb y, vb z) {
    vb m = vb_and(y, z);
    return VB(_mm256_or_si256(x.a, m.a), _mm256_or_si256(x.b, m.b));
}
static inline vb vb_low(vb x) { return vb_and(x, vb_set(15)); }
static inline vb vb_high(vb x) { return vb_and(VB(_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4)), vb_set(15)); }
static inline vb vb_load_lanes(const void *p, size_t stride) {
    return VB(join(load_16(p, 0), load_16(p, stride)), join(load_16(p, 2 * stride), load_16(p, 3 * stride)));
}
static inline void vb_load_blocks(const uint8_t *b, size_t at, size_t stride, vb *even, vb *odd) {
    *even = vb_load_lanes(b + at, 2 * stride);
    *odd = vb_load_lanes(b + at + stride, 2 * stride);
}
static inline void vb_load_split(const void *p, vb *even, vb *odd) {
    *even = vb_load_lanes(p, 32);
    *odd = vb_load_lanes((const char *)p + 16, 32);
}
static inline vb vb_add(vb x, vb y) { return VB(_mm256_add_epi8(x.a, y.a), _mm256_add_epi8(x.b, y.b)); }
static inline vb vb_load_each(const void *p0, const void *p1, const void *p2, const void *p3) {
    return VB(join(load_16(p0, 0), load_16(p1, 0)), join(load_16(p2, 0), load_16(p3, 0)));
}
static inline vb vb_load_16(const void *p) {
    __m256i x = _mm256_broadcastsi128_si256(load_16(p, 0));
    return VB(x, x);
}
static inline vb vb_load_2(const void *p, const void *q) {
    return VB(_mm256_broadcastsi128_si256(load_16(p, 0)), _mm256_broadcastsi128_si256(load_16(q, 0)));
}
static inline __m256i spread_8(const void *p) { return _mm256_permute4x64_epi64(_mm256_castsi128_si256(load_16(p, 0)), 0x50); }
static inline vb vb_load_8(const void *p, const void *q) { return VB(spread_8(p), spread_8(q)); }
static inline vb vb_load_4(const void *p) {
    __m256i x = _mm256_set1_epi32((int)load_u32(p));
    return VB(x, x);
}
/* Counts of 32 and more give zero, so one of the two shifts does nothing. */
static inline __m256i shift_lanes(__m256i x, int s0, int s1) {
    __m256i left = _mm256_set_epi32(s1, s1, s1, s1, s0, s0, s0, s0), right = _mm256_sub_epi32(_mm256_setzero_si256(), left);
    return _mm256_or_si256(_mm256_sllv_epi32(x, left), _mm256_srlv_epi32(x, right));
}
static inline vb vb_shift(vb x, int s0, int s1, int s2, int s3) {
    return VB(shift_lanes(x.a, s0, s1), shift_lanes(x.b, s2, s3));
}

static inline vb vb_set_4(uint32_t x) { return VB(_mm256_set1_epi32((int)x), _mm256_set1_epi32((int)x)); }
static inline vb vb_widen(const void *p) { return VB(_mm256_cvtepu8_epi16(load_16(p, 0)), _mm256_cvtepu8_epi16(load_16(p, 16))); }
static inline vb vb_lookup(vb x, vb y) { return VB(_mm256_shuffle_epi8(x.a, y.a), _mm256_shuffle_epi8(x.b, y.b)); }
static inline vb vb_zip_low(vb x, vb y) { return VB(_mm256_unpacklo_epi8(x.a, y.a), _mm256_unpacklo_epi8(x.b, y.b)); }
static inline vb vb_zip_high(vb x, vb y) { return VB(_mm256_unpackhi_epi8(x.a, y.a), _mm256_unpackhi_epi8(x.b, y.b)); }
static inline vb vb_join_low(vb x, vb y) { return VB(_mm256_unpacklo_epi64(x.a, y.a), _mm256_unpacklo_epi64(x.b, y.b)); }
static inline vb vb_join_high(vb x, vb y) { return VB(_mm256_unpackhi_epi64(x.a, y.a), _mm256_unpackhi_epi64(x.b, y.b)); }
static inline vb vb_mul_2(vb x, vb y) { return VB(_mm256_mullo_epi16(x.a, y.a), _mm256_mullo_epi16(x.b, y.b)); }
/* Of each lane byte `from` eight times and the next one. */
static inline __m256i each_of(__m256i x, size_t from) {
    __m128i at = _mm_set_epi64x((long long)((from + 1) * 0x0101010101010101), (long long)(from * 0x0101010101010101));
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(at));
}
static inline __m256i bits_of(__m256i x, size_t from) {
    __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    return _mm256_cmpeq_epi8(_mm256_and_si256(each_of(x, from), bit), bit);
}
static inline vb vb_or_bits(vb x, vb bits, size_t from, uint8_t value) {
    return vb_or_and(x, VB(bits_of(bits.a, from), bits_of(bits.b, from)), vb_set(value));
}
static inline __m256i plus_minus(__m256i x, __m256i y, __m256i minus) {
    return _mm256_add_epi8(x, _mm256_sub_epi8(_mm256_xor_si256(y, minus), minus));
}
static inline vb vb_plus_minus(vb x, vb y, vb bits, size_t from) {
    return VB(plus_minus(x.a, y.a, bits_of(bits.a, from)), plus_minus(x.b, y.b, bits_of(bits.b, from)));
}
static inline __m256i digits(__m256i x, __m256i power) {
    __m256i three = _mm256_set1_epi16(3), even = _mm256_mullo_epi16(_mm256_slli_epi16(x, 8), power);
    __m256i odd = _mm256_mullo_epi16(_mm256_and_si256(x, _mm256_set1_epi16((short)0xff00)), power);
    return _mm256_or_si256(_mm256_mulhi_epu16(even, three), _mm256_slli_epi16(_mm256_mulhi_epu16(odd, three), 8));
}
static inline vb vb_digits(vb x, vb power) { return VB(digits(x.a, power.a), digits(x.b, power.b)); }
static inline __m128i entries_2(const uint64_t *t, const uint8_t *at) {
    uint32_t i = load_u32(at);
    return _mm_castpd_si128(_mm_loadh_pd(_mm_load_sd((const double *)(t + (uint16_t)i)), (const double *)(t + (i >> 16))));
}
static inline void vb_entries_8(const uint64_t *table, const uint8_t *indices, vb q[4]) {
    for (size_t k = 0; k < 4; k++, indices += 4)
        q[k] = VB(join(entries_2(table, indices), entries_2(table, indices + 16)),
                  join(entries_2(table, indices + 32), entries_2(table, indices + 48)));
}
static inline __m128i entries_4(const uint32_t *t, const uint8_t *at) {
    uint64_t i = load_u64(at);
    __m128i low = _mm_insert_epi32(_mm_cvtsi32_si128((int)t[(uint16_t)i]), (int)t[(uint16_t)(i >> 16)], 1);
    __m128i high = _mm_insert_epi32(_mm_cvtsi32_si128((int)t[(uint16_t)(i >> 32)]), (int)t[i >> 48], 1);
    return _mm_unpacklo_epi64(low, high);
}
static inline void vb_entries_4(const uint32_t *table, const uint8_t *indices, vb q[4]) {
    for (size_t k = 0; k < 4; k++) {
        const uint8_t *at = indices + 64 * (k / 2) + 8 * (k % 2);
        q[k] = VB(join(entries_4(table, at), entries_4(table, at + 16)), join(entries_4(table, at + 32), entries_4(table, at + 48)));
    }
}
static inline vb vb_codes(const uint16_t *table, size_t n, vb at) {
    (void)table;
    (void)n;
    return at;
}
static inline uint64_t u64_deposit(uint64_t x, uint64_t mask) { return _pdep_u64(x, mask); }
static inline uint64_t u64_extract(uint64_t x, uint64_t mask) { return _pext_u64(x, mask); }

/* ---- int32 ------------------------------------------------------------------------------------------ */

static inline vi vi_set(int32_t x) { return VI(_mm256_set1_epi32(x), _mm256_set1_epi32(x)); }
static inline vi vi_of_vf(vf x) { return VI(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)); }
static inline vb vb_pairs(vi even, vi odd) {
    return VB(_mm256_blend_epi16(even.a, _mm256_slli_epi32(odd.a, 16), 0xAA), _mm256_blend_epi16(even.b, _mm256_slli_epi32(odd.b, 16), 0xAA));
}
static inline vb vb_mul_15(vb x, vb y) { return VB(_mm256_mulhrs_epi16(x.a, y.a), _mm256_mulhrs_epi16(x.b, y.b)); }
static inline __m256i join_bytes(__m256i x, __m256i y) {
    return _mm256_or_si256(_mm256_and_si256(x, _mm256_set1_epi16(255)), _mm256_slli_epi16(y, 8));
}
static inline vb vb_join_bytes(vb x, vb y) { return VB(join_bytes(x.a, y.a), join_bytes(x.b, y.b)); }
static inline vi vi_dot_2(vi sum, vb x, vb y) {
    return VI(_mm256_add_epi32(sum.a, _mm256_madd_epi16(x.a, y.a)), _mm256_add_epi32(sum.b, _mm256_madd_epi16(x.b, y.b)));
}
static inline vi vi_load_1(const int32_t *p) { return vi_set(*p); }
static inline void vi_store(int32_t *p, vi x) { vb_store(p, VB(x.a, x.b)); }
static inline vi vi_shift_left(vi x, int n) { return VI(_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)); }
static inline __m256i words_of(vi x) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xD8); }
static inline void vi_store_i16(int16_t *p, vi x) { _mm256_storeu_si256((void *)p, words_of(x)); }
static inline void vi_store_i8(int8_t *p, vi x) {
    __m256i w = words_of(x);
    _mm_storeu_si128((void *)p, _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
}

/* ---- float ------------------------------------------------------------------------------------------ */

static inline vf vf_set(float x) { return VF(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
static inline vf vf_load(const void *p) { return VF(_mm256_loadu_ps(p), _mm256_loadu_ps((const float *)p + 8)); }
static inline void vf_store(float *p, vf x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
static inline __m256i first_n(size_t n, int from) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - from), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
static inline vf vf_load_n(const float *p, size_t n) {
    return VF(_mm256_maskload_ps(p, first_n(n, 0)), _mm256_maskload_ps(p + 8, first_n(n, 8)));
}
static inline void vf_store_n(float *p, vf x, size_t n) {
    _mm256_maskstore_ps(p, first_n(n, 0), x.a);
    _mm256_maskstore_ps(p + 8, first_n(n, 8), x.b);
}
static inline vf vf_load_f16(const void *p) { return VF(_mm256_cvtph_ps(load_16(p, 0)), _mm256_cvtph_ps(load_16(p, 16))); }
static inline __m256 of_bf16(__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); }
static inline vf vf_load_bf16(const void *p) { return VF(of_bf16(load_16(p, 0)), of_bf16(load_16(p, 16))); }
static inline __m256 of_f64(const double *p) {
    return _mm256_set_m128(_mm256_cvtpd_ps(_mm256_loadu_pd(p + 4)), _mm256_cvtpd_ps(_mm256_loadu_pd(p)));
}
static inline vf vf_load_f64(const void *p) { return VF(of_f64(p), of_f64((const double *)p + 8)); }
static inline vf vf_of_vi(vi x) { return VF(_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)); }
static inline vf vf_add(vf x, vf y) { return VF(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
static inline vf vf_sub(vf x, vf y) { return VF(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
static inline vf vf_mul(vf x, vf y) { return VF(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
static inline vf vf_div(vf x, vf y) { return VF(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
static inline vf vf_fma(vf x, vf y, vf z) { return VF(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)); }
static inline vf vf_fnma(vf x, vf y, vf z) { return VF(_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)); }
static inline vf vf_max(vf x, vf y) { return VF(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
static inline vf vf_min(vf x, vf y) { return VF(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
static inline __m256 where_above(__m256 a, __m256 b, __m256 x, __m256 y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
static inline vf vf_where_above(vf a, vf b, vf x, vf y) {
    return VF(where_above(a.a, b.a, x.a, y.a), where_above(a.b, b.b, x.b, y.b));
}
static inline __m256 peak(__m256 x, __m256 y) {
    __m256i sign = _mm256_set1_epi32(0x7FFFFFFF);
    return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_and_si256(_mm256_castps_si256(x), sign),
                                                _mm256_and_si256(_mm256_castps_si256(y), sign)));
}
static inline vf vf_peak(vf x, vf y) { return VF(peak(x.a, y.a), peak(x.b, y.b)); }
static inline float vf_peak_all(vf x) {
    __m256 m = peak(x.a, x.b);
    m = peak(m, _mm256_permute2f128_ps(m, m, 1));
    m = peak(m, _mm256_permute_ps(m, 0x4E));
    m = peak(m, _mm256_permute_ps(m, 0xB1));
    return _mm256_cvtss_f32(m);
}
static inline float vf_max_all(vf x) {
    __m256 m = _mm256_max_ps(x.a, x.b);
    m = _mm256_max_ps(m, _mm256_permute2f128_ps(m, m, 1));
    m = _mm256_max_ps(m, _mm256_permute_ps(m, 0x4E));
    return _mm256_cvtss_f32(_mm256_max_ps(m, _mm256_permute_ps(m, 0xB1)));
}
static inline float vf_sum(vf x) {
    __m256 b = _mm256_add_ps(x.a, x.b);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
/* Interleaves and adds, so that each step halves the vectors: 4 words of a lane, then 2 lanes. */
static inline __m256 sum_words(vf x, vf y, vf z, vf w) {
    __m256 a = _mm256_add_ps(x.a, x.b), b = _mm256_add_ps(y.a, y.b), c = _mm256_add_ps(z.a, z.b), d = _mm256_add_ps(w.a, w.b);
    __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    return _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
}
static inline __m256 sum_lanes(__m256 a, __m256 b) {
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}
static inline vf vf_sum_each(const vf x[16]) {
    return VF(sum_lanes(sum_words(x[0], x[1], x[2], x[3]), sum_words(x[4], x[5], x[6], x[7])),
              sum_lanes(sum_words(x[8], x[9], x[10], x[11]), sum_words(x[12], x[13], x[14], x[15])));
}
static inline vf vf_spread(vf x, size_t k) {
    switch (k) {
    case 0: return VF(_mm256_permute_ps(x.a, 0x00), _mm256_permute_ps(x.b, 0x00));
    case 1: return VF(_mm256_permute_ps(x.a, 0x55), _mm256_permute_ps(x.b, 0x55));
    case 2: return VF(_mm256_permute_ps(x.a, 0xAA), _mm256_permute_ps(x.b, 0xAA));
    default: return VF(_mm256_permute_ps(x.a, 0xFF), _mm256_permute_ps(x.b, 0xFF));
    }
}
static inline vf vf_swap(vf x) { return VF(_mm256_permute_ps(x.a, 0xB1), _mm256_permute_ps(x.b, 0xB1)); }
#define ROUND_NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
static inline vf vf_round(vf x) { return VF(_mm256_round_ps(x.a, ROUND_NEAREST), _mm256_round_ps(x.b, ROUND_NEAREST)); }
static inline __m256 scale2(__m256 x, __m256 n) {
    __m256i e = _mm256_cvtps_epi32(n), first = _mm256_srai_epi32(e, 1), bias = _mm256_set1_epi32(127);
    __m256i second = _mm256_sub_epi32(e, first);
    x = _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(first, bias), 23)));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(second, bias), 23)));
}
static inline __m256 scale2_down(__m256 x, __m256 n) {
    __m256i e = _mm256_max_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), _mm256_setzero_si256());
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(e, 23)));
}
static inline vf vf_scale2_down(vf x, vf n) { return VF(scale2_down(x.a, n.a), scale2_down(x.b, n.b)); }
static inline vf vf_scale2(vf x, vf n) { return VF(scale2(x.a, n.a), scale2(x.b, n.b)); }
/* 16 floats: those of even place, those of odd place. */
static inline __m256 places(const float *p, int which) {
    __m256 a = _mm256_loadu_ps(p), b = _mm256_loadu_ps(p + 8);
    __m256 x = which ? _mm256_shuffle_ps(a, b, 0xDD) : _mm256_shuffle_ps(a, b, 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xD8));
}
static inline void vf_unzip(const float *p, vf *even, vf *odd) {
    *even = VF(places(p, 0), places(p + 16, 0));
    *odd = VF(places(p, 1), places(p + 16, 1));
}
static inline void zip(float *p, __m256 even, __m256 odd) {
    __m256 a = _mm256_unpacklo_ps(even, odd), b = _mm256_unpackhi_ps(even, odd);
    _mm256_storeu_ps(p, _mm256_permute2f128_ps(a, b, 0x20));
    _mm256_storeu_ps(p + 8, _mm256_permute2f128_ps(a, b, 0x31));
}
static inline void vf_zip(float *p, vf even, vf odd) {
    zip(p, even.a, odd.a);
    zip(p + 16, even.b, odd.b);
}

/* Attention's vectors are single registers: a tile of 4 by 3 has enough sums for the latency of two additions at a time. What is
 * converted is held where it is written, or compilers find that more operands want a register than there are. */
typedef __m256 vr;
#define VR_FLOATS 8
static inline vr vr_set(float x) { return _mm256_set1_ps(x); }
static inline vr vr_load(const void *p) { return _mm256_loadu_ps(p); }
static inline vr vr_load_f16(const void *p) {
    vr x = _mm256_cvtph_ps(load_16(p, 0));
    __asm__ volatile("" : "+x"(x));
    return x;
}
static inline void vr_store(float *p, vr x) { _mm256_storeu_ps(p, x); }
static inline vr vr_add(vr x, vr y) { return _mm256_add_ps(x, y); }
static inline vr vr_fma(vr x, vr y, vr z) { return _mm256_fmadd_ps(x, y, z); }

/* ---- scales of a chunk, a unit each ------------------------------------------------------------------- */

static inline vf twice(__m256 x) {
    return VF(_mm256_permutevar8x32_ps(x, _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0)),
              _mm256_permutevar8x32_ps(x, _mm256_set_epi32(7, 7, 6, 6, 5, 5, 4, 4)));
}
static inline vf vf_halves(const void *p, size_t stride, size_t units) {
    const char *b = p;
#define HALF(i) (short)load_u16(b + 2 * (i) / units * stride)
    __m128i h = _mm_setr_epi16(HALF(0), HALF(1), HALF(2), HALF(3), HALF(4), HALF(5), HALF(6), HALF(7));
#undef HALF
    return twice(_mm256_cvtph_ps(h));
}
static inline vf of_bytes(__m128i x) {
    return VF(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(x, 8))));
}
static inline vf vf_of_bytes(uint64_t low, uint64_t high) { return of_bytes(_mm_set_epi64x((long long)high, (long long)low)); }
static inline vf vf_of_pairs(uint64_t bytes) {
    __m128i x = _mm_cvtsi64_si128((long long)bytes);
    return of_bytes(_mm_unpacklo_epi8(x, x));
}
static inline vf vf_of_top_4(vb x) {
    return VF(_mm256_cvtepi32_ps(_mm256_srli_epi32(x.a, 28)), _mm256_cvtepi32_ps(_mm256_srli_epi32(x.b, 28)));
}
static inline __m256 halves_of_e8m0(__m256i e) { /* 2^(e - 128) */
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x200000), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
}
static inline vf vf_exponents(const void *p, size_t stride) {
    const uint8_t *b = p;
    return twice(halves_of_e8m0(_mm256_setr_epi32(b[0], b[stride], b[2 * stride], b[3 * stride], b[4 * stride], b[5 * stride],
                                                  b[6 * stride], b[7 * stride])));
}
static inline __m256 of_e4m3(__m128i x) {
    return _mm256_mul_ps(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu8_epi32(x), 20)), _mm256_set1_ps(0x1p119f));
}
static inline vf vf_of_e4m3(const void *p, size_t stride) {
    const char *b = p;
    __m128i x = _mm_setr_epi32((int)load_u32(b), (int)load_u32(b + stride), (int)load_u32(b + 2 * stride), (int)load_u32(b + 3 * stride));
    x = _mm_andnot_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)), _mm_and_si128(x, _mm_set1_epi8(0x7f)));
    return VF(of_e4m3(x), of_e4m3(_mm_srli_si128(x, 8)));
}
static inline vf times(uint64_t bytes, const void *half) {
    return vf_mul(twice(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)bytes)))), vf_set(quant_half(half)));
}
static inline void vf_scales(const void *p, vf *scale, vf *min) {
    const char *b = p;
    uint32_t low_scales = load_u32(b + 4), low_mins = load_u32(b + 8), high = load_u32(b + 12);
    uint32_t high_scales = (high & 0x0f0f0f0f) | (low_scales >> 2 & 0x30303030);
    uint32_t high_mins = (high >> 4 & 0x0f0f0f0f) | (low_mins >> 2 & 0x30303030);
    *scale = times((low_scales & 0x3f3f3f3f) | (uint64_t)high_scales << 32, b);
    *min = times((low_mins & 0x3f3f3f3f) | (uint64_t)high_mins << 32, b + 2);
}
static inline vf vf_of_i8(const void *p) {
    __m128i x = load_16(p, 0);
    return VF(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))));
}
static inline void vf_of_nibbles(const void *p, vf *low, vf *high) {
    __m128i x = load_16(p, 0);
    __m256i a = _mm256_cvtepu8_epi32(x), b = _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8)), mask = _mm256_set1_epi32(15);
    *low = VF(_mm256_cvtepi32_ps(_mm256_and_si256(a, mask)), _mm256_cvtepi32_ps(_mm256_and_si256(b, mask)));
    *high = VF(_mm256_cvtepi32_ps(_mm256_srli_epi32(a, 4)), _mm256_cvtepi32_ps(_mm256_srli_epi32(b, 4)));
}

/* ---- others ----------------------------------------------------------------------------------------- */

/* 8 rows of 8 words at from; column w goes to 32 bytes at to + (w / 4) * far + (w % 4) * near. */
static inline void transpose_8(const char *from, size_t stride, char *to, size_t far, size_t near) {
    __m256 quad[8];
    for (size_t i = 0; i < 8; i += 4) { /* words of a lane: quad[i + j] has words j and 4 + j of rows i..i+3 */
        const char *at = from + i * stride;
        __m256 a = _mm256_loadu_ps((const void *)at), b = _mm256_loadu_ps((const void *)(at + stride));
        __m256 c = _mm256_loadu_ps((const void *)(at + 2 * stride)), d = _mm256_loadu_ps((const void *)(at + 3 * stride));
        __m256 ab = _mm256_unpacklo_ps(a, b), cd = _mm256_unpacklo_ps(c, d);
        __m256 ef = _mm256_unpackhi_ps(a, b), gh = _mm256_unpackhi_ps(c, d);
        quad[i] = _mm256_shuffle_ps(ab, cd, 0x44);
        quad[i + 1] = _mm256_shuffle_ps(ab, cd, 0xEE);
        quad[i + 2] = _mm256_shuffle_ps(ef, gh, 0x44);
        quad[i + 3] = _mm256_shuffle_ps(ef, gh, 0xEE);
    }
    for (size_t j = 0; j < 4; j++) {
        _mm256_storeu_ps((void *)(to + j * near), _mm256_permute2f128_ps(quad[j], quad[4 + j], 0x20));
        _mm256_storeu_ps((void *)(to + far + j * near), _mm256_permute2f128_ps(quad[j], quad[4 + j], 0x31));
    }
}
static inline void v_transpose(const void *from, size_t stride, void *to, size_t far, size_t near) {
    for (size_t rows = 0; rows < 2; rows++)
        for (size_t words = 0; words < 2; words++)
            transpose_8((const char *)from + 8 * rows * stride + 32 * words, stride,
                        (char *)to + 2 * words * far + 32 * rows, far, near);
}
static inline void turn_4(__m256i *x, __m256i *y, __m256i *z, __m256i *u) {
    __m256i a = _mm256_unpacklo_epi32(*x, *y), b = _mm256_unpackhi_epi32(*x, *y);
    __m256i c = _mm256_unpacklo_epi32(*z, *u), d = _mm256_unpackhi_epi32(*z, *u);
    *x = _mm256_unpacklo_epi64(a, c);
    *y = _mm256_unpackhi_epi64(a, c);
    *z = _mm256_unpacklo_epi64(b, d);
    *u = _mm256_unpackhi_epi64(b, d);
}
static inline void v_turn_4(vb x[4]) {
    turn_4(&x[0].a, &x[1].a, &x[2].a, &x[3].a);
    turn_4(&x[0].b, &x[1].b, &x[2].b, &x[3].b);
}
static inline void store_lanes(char *to, size_t stride, __m256i a, __m256i b) {
    _mm256_storeu_si256((void *)to, _mm256_permute2x128_si256(a, b, 0x20));
    _mm256_storeu_si256((void *)(to + stride), _mm256_permute2x128_si256(a, b, 0x31));
}
static inline void v_store_lanes(void *to, size_t stride, vb a, vb b, vb c, vb d) {
    char *at = to;
    store_lanes(at, stride, a.a, b.a);
    store_lanes(at + 32, stride, c.a, d.a);
    store_lanes(at + 2 * stride, stride, a.b, b.b);
    store_lanes(at + 2 * stride + 32, stride, c.b, d.b);
}
/* To the first level, as VEC_AHEAD and VEC_AHEAD_FLOATS are near: farther ahead a stream has less of the memory (docs/LAB.md). */
static inline __attribute__((always_inline)) void v_prefetch(const void *p) { _mm_prefetch(p, _MM_HINT_T0); }
static inline uint64_t v_read(const void *p, size_t n_words) {
    const char *b = p;
    __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    size_t i = 0;
    for (; i + 16 <= n_words; i += 16, b += 128) {
        _mm_prefetch(b + 512, _MM_HINT_T0);
        _mm_prefetch(b + 576, _MM_HINT_T0);
        for (size_t k = 0; k < 4; k++) sum[k] = _mm256_add_epi64(sum[k], load_32(b, 32 * k));
    }
    uint64_t r = 0, parts[4];
    _mm256_storeu_si256((void *)parts, _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3])));
    for (size_t k = 0; k < 4; k++) r += parts[k];
    for (; i < n_words; i++, b += 8) r += load_u64(b);
    return r;
}

#endif
