/* vec_avx512.h: the vector vocabulary (see vec_scalar.h) on 512-bit registers with VNNI.
 */
#ifndef LEAT_VEC_AVX512_H
#define LEAT_VEC_AVX512_H

#include <immintrin.h>

#include "base/base.h"
#include "kern/kern_int.h"

#define VEC_LEVEL avx512
#define VEC_NEEDS (KERN_CPU_AVX2 | KERN_CPU_AVX512)
#define VEC_SUBS 2
#define VEC_TOKENS 6
#define VEC_FLOAT_TOKENS 12
#define VEC_ACTS 4
#define VEC_NARROW(wide, narrow) wide
#define VEC_ROWS 2
#define VEC_AHEAD 8192
#define VEC_AHEAD_FLOATS VEC_AHEAD
#define VEC_LOADS_ENTRIES(n) ((n) > 1024) /* entries of codebooks of n are loaded one by one, not looked up as codes */
#define VEC_ACT_FUSED(len, most) KERN_ACT_I16
#define VEC_ACT_STORED(len, most) KERN_ACT_I16
#define VEC_ACT_SIGNED(len, most) KERN_ACT_I16_LANES
#define VEC_ACT_FOURS(len, most) KERN_ACT_I16
#define VEC_ACT_PAIRED(len, most) KERN_ACT_I16_PAIRS
#define VEC_ACT_SIXES(len, most) KERN_ACT_I16_UNITS
#define VEC_ACT_DIGITS(len, most) KERN_ACT_I16_FIVES
#define VEC_PREPARE                                                                     \
    [KERN_ACT_I16] = prepare_i16,                                                       \
    [KERN_ACT_I16_LANES] = prepare_i16_lanes, [KERN_ACT_I16_PAIRS] = prepare_i16_pairs, \
    [KERN_ACT_I16_FIVES] = prepare_i16_fives, [KERN_ACT_I16_UNITS] = prepare_i16_units,
#define VEC_DECODE_FUSED DECODE_TILES
#define VEC_DECODE_STORED DECODE_BY_MEMORY
#define VEC_DECODE_SIGNED(type, ...) static void decode_##type(const kern_matmul *m); /* kern_signed.h */
#define VEC_DECODE_FOURS VEC_DECODE_SIGNED                                            /* kern_fours.h */
#define VEC_DECODE_SIXES VEC_DECODE_SIGNED
#define VEC_DECODE_PAIRED VEC_DECODE_SIGNED                                           /* kern_paired.h */
#define VEC_DECODE_DIGITS VEC_DECODE_SIGNED                                           /* kern_fives.h */
#define VEC_OPS_MORE /* kern_fill.h */                                                                              \
    .fill = {[QUANT_Q4_0] = fill_q4_0, [QUANT_Q8_0] = fill_q8_0, [QUANT_IQ4_NL] = fill_iq4_nl, [QUANT_MXFP4] = fill_mxfp4, \
             [QUANT_Q4_K] = fill_q4_k, [QUANT_Q5_K] = fill_q5_k, [QUANT_Q6_K] = fill_q6_k, [QUANT_IQ4_XS] = fill_iq4_xs},
#define VEC_QUERIES 4
#define VEC_QUERIES_HALVES 8
#define VEC_STRIP 4
#define VEC_STRIP_LEFT 1
#define VEC_HALVES 4
#define VEC_HALVES_LEFT 0
#define VEC_STEPS(q_max, n) (n)
#define VEC_STEPS_MANY false
#define v_steps_many(sum, p, sub, step, x, n, q_max) (void)(x)
#define VEC_MORE_BYTES 0
#define VEC_DOT_ADDS 1
#define VEC_ROLLED(q_max, n) (n)

typedef __m512i vb;
typedef __m512i vi;
typedef __m512 vf;

static inline float quant_half(const void *p) { return _cvtsh_ss(load_u16(p)); }

/* ---- bytes ------------------------------------------------------------------------------------------ */

static inline vb vb_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void vb_store(void *p, vb a) { _mm512_storeu_si512(p, a); }
static inline vb vb_set(uint8_t x) { return _mm512_set1_epi8((char)x); }
static inline vb vb_xor(vb a, vb b) { return _mm512_xor_si512(a, b); }
static inline vb vb_and(vb a, vb b) { return _mm512_and_si512(a, b); }
static inline vb vb_or_and(vb a, vb b, vb c) { return _mm512_ternarylogic_epi32(a, b, c, 0xF8); } /* a | (b & c) */
static inline vb vb_low(vb a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
static inline vb vb_high(vb a) { return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15)); }
static inline __m128i load_16(const void *p, size_t at) { return _mm_loadu_si128((const void *)((const char *)p + at)); }
static inline vb vb_load_lanes(const void *p, size_t stride) {
    vb r = _mm512_castsi128_si512(load_16(p, 0));
    r = _mm512_inserti32x4(r, load_16(p, stride), 1);
    r = _mm512_inserti32x4(r, load_16(p, 2 * stride), 2);
    return _mm512_inserti32x4(r, load_16(p, 3 * stride), 3);
}
/* In a register: the compiler would rather load it at each use. */
static inline vb once(vb x) {
    __asm__("" : "+v"(x));
    return x;
}
/* Words of the 128 bytes at p, which are loaded once for several calls. */
static inline vb words_of(const void *p, vb at) {
    return _mm512_permutex2var_epi16(once(_mm512_loadu_si512(p)), at, once(_mm512_loadu_si512((const char *)p + 64)));
}
/* The same 16 bytes of 8 blocks, of the even ones and of the odd ones: of blocks of 17 or 18 bytes those of either lie within 128. */
static inline __attribute__((always_inline)) void vb_load_blocks(const uint8_t *b, size_t at, size_t stride, vb *even, vb *odd) {
    if (stride > 18) {
        *even = vb_load_lanes(b + at, 2 * stride);
        *odd = vb_load_lanes(b + at + stride, 2 * stride);
        return;
    }
#define EIGHT(w) (short)((w) + 7), (short)((w) + 6), (short)((w) + 5), (short)((w) + 4), \
                 (short)((w) + 3), (short)((w) + 2), (short)((w) + 1), (short)(w)
#define EACH(first) _mm512_set_epi16(EIGHT((first) + 3 * stride), EIGHT((first) + 2 * stride), EIGHT((first) + stride), EIGHT(first))
    size_t last = 8 * stride - 128; /* where the last 128 bytes begin */
    *even = words_of(b + at % 2, EACH(at / 2));
    *odd = words_of(b + last, EACH((at + stride - last) / 2));
#undef EACH
#undef EIGHT
}
/* 128 bytes: the even ones of their 16-byte pieces, the odd ones. */
static inline void vb_load_split(const void *p, vb *even, vb *odd) {
    __m512i a = vb_load(p), b = vb_load((const char *)p + 64);
    *even = _mm512_shuffle_i32x4(a, b, 0x88);
    *odd = _mm512_shuffle_i32x4(a, b, 0xDD);
}
static inline vb vb_add(vb a, vb b) { return _mm512_add_epi8(a, b); }
static inline vb vb_load_each(const void *p0, const void *p1, const void *p2, const void *p3) {
    vb r = _mm512_inserti32x4(_mm512_castsi128_si512(load_16(p0, 0)), load_16(p1, 0), 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(r, load_16(p2, 0), 2), load_16(p3, 0), 3);
}
static inline vb vb_load_16(const void *p) { return _mm512_broadcast_i32x4(load_16(p, 0)); }
static inline vb vb_load_2(const void *p, const void *q) {
    return _mm512_mask_broadcast_i32x4(vb_load_16(p), 0xFF00, load_16(q, 0));
}
/* 16 bytes at p, 16 at q: each 8 of them twice in a lane. */
static inline vb vb_load_8(const void *p, const void *q) {
    __m256i x = _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(p, 0)), load_16(q, 0), 1);
    return _mm512_permutexvar_epi64(_mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0), _mm512_castsi256_si512(x));
}
static inline vb vb_load_4(const void *p) { return _mm512_set1_epi32((int)load_u32(p)); }
/* A rotation does for a shift both ways. */
static inline vb vb_shift(vb a, int s0, int s1, int s2, int s3) {
    return _mm512_rolv_epi32(a, _mm512_set_epi32(s3, s3, s3, s3, s2, s2, s2, s2, s1, s1, s1, s1, s0, s0, s0, s0));
}

static inline vb vb_set_4(uint32_t x) { return _mm512_set1_epi32((int)x); }
/* 32 bytes to as many words. */
static inline vb vb_widen(const void *p) { return _mm512_cvtepu8_epi16(_mm256_loadu_si256(p)); }
/* Byte at[i] of the lane of table for byte i; 0 where at[i] is above 127. */
static inline vb vb_lookup(vb table, vb at) { return _mm512_shuffle_epi8(table, at); }
/* The first 8 bytes of each lane of a and b in turns; the last 8. Then the same with all 8 of a before those of b. */
static inline vb vb_zip_low(vb a, vb b) { return _mm512_unpacklo_epi8(a, b); }
static inline vb vb_zip_high(vb a, vb b) { return _mm512_unpackhi_epi8(a, b); }
static inline vb vb_join_low(vb a, vb b) { return _mm512_unpacklo_epi64(a, b); }
static inline vb vb_join_high(vb a, vb b) { return _mm512_unpackhi_epi64(a, b); }
/* Words of 16 bits. */
static inline vb vb_mul_2(vb a, vb b) { return _mm512_mullo_epi16(a, b); }
static inline vb vb_mul_15(vb a, vb b) { return _mm512_mulhrs_epi16(a, b); }
static inline vb vb_join_bytes(vb a, vb b) { return vb_or_and(_mm512_slli_epi16(b, 8), a, _mm512_set1_epi16(255)); }
/* Bit i of the 16 that bytes from and from + 1 of each lane hold is for byte i of the lane. */
static inline __mmask64 bits_of(vb bits, size_t from) {
    __m128i at = _mm_set_epi64x((long long)((from + 1) * 0x0101010101010101), (long long)(from * 0x0101010101010101));
    return _mm512_test_epi8_mask(_mm512_shuffle_epi8(bits, _mm512_broadcast_i32x4(at)), _mm512_set1_epi64((long long)0x8040201008040201));
}
/* a, with value (of which a has no bit) where the bit is set. */
static inline vb vb_or_bits(vb a, vb bits, size_t from, uint8_t value) {
    return _mm512_mask_add_epi8(a, bits_of(bits, from), a, vb_set(value));
}
/* a + b, or a - b where the bit is set. */
static inline vb vb_plus_minus(vb a, vb b, vb bits, size_t from) {
    return _mm512_mask_sub_epi8(_mm512_add_epi8(a, b), bits_of(bits, from), a, b);
}
/* The digit in base 3 that (byte * power mod 256) * 3 / 256 is; power in words. */
static inline vb vb_digits(vb a, vb power) {
    __m512i three = _mm512_set1_epi16(3), even = _mm512_mullo_epi16(_mm512_slli_epi16(a, 8), power);
    __m512i odd = _mm512_mullo_epi16(_mm512_and_si512(a, _mm512_set1_epi16((short)0xff00)), power);
    return _mm512_or_si512(_mm512_mulhi_epu16(even, three), _mm512_slli_epi16(_mm512_mulhi_epu16(odd, three), 8));
}
/* The other step for 32 indices as they are: the entries of words 2k and 2k + 1 of each lane in a lane of q[k]. */
static inline __m128i entries_2(const uint64_t *t, uint64_t at) {
    return _mm_castpd_si128(_mm_loadh_pd(_mm_load_sd((const double *)(t + (at & 0xffff))), (const double *)(t + (at >> 16 & 0xffff))));
}
static inline void vb_entries_8(const uint64_t *table, const uint8_t *indices, vb q[4]) {
    uint64_t at[8];
    for (size_t i = 0; i < 8; i++) at[i] = load_u64(indices + 8 * i);
    for (size_t k = 0; k < 4; k++) {
        size_t i = k / 2, s = k % 2 * 32;
        __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(entries_2(table, at[i] >> s)), entries_2(table, at[2 + i] >> s), 1);
        __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(entries_2(table, at[4 + i] >> s)), entries_2(table, at[6 + i] >> s), 1);
        q[k] = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    }
}
/* The same for entries of 4 bytes: the first half of a lane of 64 indices in q[0], the second in q[1]; 64 more in q[2], q[3]. */
static inline void vb_entries_4(const uint32_t *table, const uint8_t *indices, vb q[4]) {
    for (size_t k = 0; k < 4; k++) {
        uint32_t r[16];
        for (size_t i = 0; i < 16; i++) r[i] = table[load_u16(indices + 64 * (k / 2) + 16 * (i / 4) + 8 * (k % 2) + 2 * (i % 4))];
        q[k] = vb_load(r);
    }
}
/* The first step of a look-up of 32 indices below n, a constant: codes, table[at], or where VEC_LOADS_ENTRIES says so the
 * indices as they are. Two vectors of the table are looked up at a time, and of two results bit k of the index chooses;
 * depth first, so that few are alive. */
typedef struct code_bits { __mmask32 bit[10]; } code_bits;
static inline __attribute__((always_inline)) vb codes_64(const uint16_t *t, vb at, const code_bits *b) {
    (void)b;
    return _mm512_permutex2var_epi16(vb_load(t), at, vb_load(t + 32));
}
#define CODES(n, half, k)                                                                                        \
    static inline __attribute__((always_inline)) vb codes_##n(const uint16_t *t, vb at, const code_bits *b) {    \
        return _mm512_mask_mov_epi16(codes_##half(t, at, b), b->bit[k], codes_##half(t + (half), at, b));        \
    }
CODES(128, 64, 6)
CODES(256, 128, 7)
CODES(512, 256, 8)
CODES(1024, 512, 9)
#undef CODES
static inline code_bits code_bits_of(vb at, int n) {
    code_bits b;
    for (int k = 6; k < n; k++) b.bit[k] = _mm512_test_epi16_mask(at, _mm512_set1_epi16((short)(1 << k)));
    return b;
}
static inline __attribute__((always_inline)) vb vb_codes(const uint16_t *table, size_t n, vb at) {
    if (VEC_LOADS_ENTRIES(n)) return at;
    code_bits b = code_bits_of(at, 10);
    return n == 256 ? codes_256(table, at, &b) : n == 512 ? codes_512(table, at, &b) : codes_1024(table, at, &b);
}
/* The same where ninth has bit 8 of the indices. */
static inline __attribute__((always_inline)) vb codes_512_of(const uint16_t *table, vb at, __mmask32 ninth) {
    code_bits b = code_bits_of(at, 8);
    b.bit[8] = ninth;
    return codes_512(table, at, &b);
}
/* The low bits of x to the bits of mask, and back. */
static inline uint64_t u64_deposit(uint64_t x, uint64_t mask) { return _pdep_u64(x, mask); }
static inline uint64_t u64_extract(uint64_t x, uint64_t mask) { return _pext_u64(x, mask); }

/* ---- int32 ------------------------------------------------------------------------------------------ */

static inline vi vi_set(int32_t x) { return _mm512_set1_epi32(x); }
static inline vi vi_of_vf(vf x) { return _mm512_cvtps_epi32(x); }
static inline vi vi_load_1(const int32_t *p) { return _mm512_set1_epi32(*p); }
static inline void vi_store(int32_t *p, vi a) { _mm512_storeu_si512(p, a); }
static inline vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi vi_shift_left(vi a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
static inline vb vb_pairs(vi even, vi odd) { return _mm512_mask_mov_epi16(even, 0xAAAAAAAA, _mm512_slli_epi32(odd, 16)); }
static inline vi vi_dot_2(vi sum, vb a, vb b) { return _mm512_dpwssd_epi32(sum, a, b); }
static inline void vi_store_i16(int16_t *p, vi a) { _mm256_storeu_si256((void *)p, _mm512_cvtsepi32_epi16(a)); }
static inline void vi_store_i8(int8_t *p, vi a) { _mm_storeu_si128((void *)p, _mm512_cvtsepi32_epi8(a)); }

/* Activations of 16 bits: for each vector 64 high bytes, then 64 low ones. */
static inline void pack16(__m512i v, size_t half, uint8_t to[128]) {
    __m512i high = _mm512_srai_epi16(_mm512_add_epi16(v, _mm512_set1_epi16(128)), 8);
    _mm256_storeu_si256((void *)(to + 32 * half), _mm512_cvtepi16_epi8(high));
    _mm256_storeu_si256((void *)(to + 64 + 32 * half), _mm512_cvtepi16_epi8(v));
}
static inline void v_pack16(const int16_t x[KERN_CHUNK], uint8_t to[2 * KERN_CHUNK]) {
    for (size_t k = 0; k < 4; k++)
        for (size_t half = 0; half < 2; half++) {
            const int16_t *from = x + KERN_UNIT * (8 * half + k);
            __m256i a = _mm256_loadu_si256((const void *)from), b = _mm256_loadu_si256((const void *)(from + 4 * KERN_UNIT));
            pack16(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1), half, to + 128 * k);
        }
}
/* In the order of kern_signed.h. */
static inline void v_pack16_lanes(const int16_t x[KERN_CHUNK], uint8_t to[2 * KERN_CHUNK]) {
    for (size_t k = 0; k < 4; k++)
        for (size_t half = 0; half < 2; half++) {
            _Alignas(64) int16_t q[32];
            for (size_t i = 0; i < 32; i++) q[i] = x[128 * half + i / 2 * 8 + i % 2 * 2 + k % 2 + k / 2 * 4];
            pack16(_mm512_load_si512(q), half, to + 128 * k);
        }
}
static inline vi vi_dot16(vb w, const kern_act16 *a, size_t k) {
    vi r = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, vb_load(a->x + 128 * k));
    return _mm512_dpbusd_epi32(_mm512_slli_epi32(r, 8), w, vb_load(a->x + 128 * k + 64));
}
static inline vi vi_dot16_pair(vb w0, vb w1, const kern_act16 *a, size_t k) {
    vi r = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w0, vb_load(a->x + 128 * k));
    r = _mm512_slli_epi32(_mm512_dpbusd_epi32(r, w1, vb_load(a->x + 128 * k + 128)), 8);
    r = _mm512_dpbusd_epi32(r, w0, vb_load(a->x + 128 * k + 64));
    return _mm512_dpbusd_epi32(r, w1, vb_load(a->x + 128 * k + 192));
}

typedef vi vd;
static inline vd vd_start(vi sum, int q_max) { (void)q_max; return sum; }
static inline vd vd_dot(vd d, vb w, vb x, int q_max) { (void)q_max; return _mm512_dpbusd_epi32(d, w, x); }
static inline vi vd_end(vi sum, vd d, int q_max) { (void)sum; (void)q_max; return d; }
static inline vi vd_signed(vi sum, const int32_t *minus, int q_max) { (void)minus; (void)q_max; return sum; }

/* ---- float ------------------------------------------------------------------------------------------ */

static inline __mmask16 first_n(size_t n) { return (__mmask16)((1u << n) - 1); }
static inline vf vf_set(float x) { return _mm512_set1_ps(x); }
static inline vf vf_load(const void *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline vf vf_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(first_n(n), p); }
static inline void vf_store_n(float *p, vf a, size_t n) { _mm512_mask_storeu_ps(p, first_n(n), a); }
static inline vf vf_load_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
static inline vf vf_load_bf16(const void *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
static inline vf vf_load_f64(const void *p) {
    __m256 a = _mm512_cvtpd_ps(_mm512_loadu_pd(p)), b = _mm512_cvtpd_ps(_mm512_loadu_pd((const double *)p + 8));
    return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
}
static inline vf vf_of_vi(vi a) { return _mm512_cvtepi32_ps(a); }
static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf vf_where_above(vf a, vf b, vf x, vf y) {
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), x);
}
static inline vf vf_peak(vf a, vf b) {
    __m512i sign = _mm512_set1_epi32(0x7FFFFFFF);
    return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), sign),
                                                _mm512_and_si512(_mm512_castps_si512(b), sign)));
}
static inline float vf_peak_all(vf a) {
    return f32_of_bits(_mm512_reduce_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7FFFFFFF))));
}
static inline float vf_max_all(vf a) { return _mm512_reduce_max_ps(a); }
static inline float vf_sum(vf a) {
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
/* Interleaves and adds, so that each step halves the vectors: 4 words of a lane, then 4 lanes. */
static inline vf sum_words(vf a, vf b, vf c, vf d) {
    vf ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    vf cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512d x = _mm512_castps_pd(ab), y = _mm512_castps_pd(cd);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
static inline vf sum_lanes(vf a, vf b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
}
static inline vf vf_sum_each(const vf a[16]) {
    return sum_lanes(sum_lanes(sum_words(a[0], a[1], a[2], a[3]), sum_words(a[4], a[5], a[6], a[7])),
                     sum_lanes(sum_words(a[8], a[9], a[10], a[11]), sum_words(a[12], a[13], a[14], a[15])));
}
static inline vf vf_spread(vf a, size_t k) {
    switch (k) {
    case 0: return _mm512_permute_ps(a, 0x00);
    case 1: return _mm512_permute_ps(a, 0x55);
    case 2: return _mm512_permute_ps(a, 0xAA);
    default: return _mm512_permute_ps(a, 0xFF);
    }
}
static inline vf vf_swap(vf a) { return _mm512_permute_ps(a, 0xB1); }
static inline vf vf_round(vf x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf vf_scale2(vf x, vf n) { return _mm512_scalef_ps(x, n); }
static inline vf vf_scale2_down(vf x, vf n) { return vf_scale2(x, n); }
static inline void vf_unzip(const float *p, vf *even, vf *odd) {
    vf a = vf_load(p), b = vf_load(p + 16);
    __m512i at = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    *even = _mm512_permutex2var_ps(a, at, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(at, _mm512_set1_epi32(1)), b);
}
static inline void vf_zip(float *p, vf even, vf odd) {
    __m512i at = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    vf_store(p, _mm512_permutex2var_ps(even, at, odd));
    vf_store(p + 16, _mm512_permutex2var_ps(even, _mm512_add_epi32(at, _mm512_set1_epi32(8)), odd));
}
/* ---- scales of a chunk, a unit each ------------------------------------------------------------------- */

/* Element i is element (i / 2 + first) of a. */
static inline vf twice(vf a, int first) {
    __m512i at = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    return _mm512_permutexvar_ps(_mm512_add_epi32(at, _mm512_set1_epi32(first)), a);
}
/* The halves of blocks that lie stride bytes apart, each for `units` units. */
static inline __attribute__((always_inline)) vf vf_halves(const void *p, size_t stride, size_t units) {
    const char *b = p;
    if (units == 2 && stride % 2 == 0 && stride <= 20) { /* those of four blocks lie within 64 bytes */
        size_t second = stride == 18 ? 64 : 80;          /* the first is what vb_load_blocks takes, too */
#define PAIR(i, at) (short)((i) * stride / 2 + (at)), (short)((i) * stride / 2 + (at))
#define PAIRS(at) PAIR(3, at), PAIR(2, at), PAIR(1, at), PAIR(0, at)
        __m512i at = _mm512_castsi256_si512(_mm256_set_epi16(PAIRS(2 * stride - second / 2 + 32), PAIRS(0)));
#undef PAIR
#undef PAIRS
        __m512i h = _mm512_permutex2var_epi16(once(_mm512_loadu_si512(b)), at, once(_mm512_loadu_si512(b + second)));
        return _mm512_cvtph_ps(_mm512_castsi512_si256(h));
    }
#define HALF(i) (short)load_u16(b + 2 * (i) / units * stride)
    __m128i h = _mm_setr_epi16(HALF(0), HALF(1), HALF(2), HALF(3), HALF(4), HALF(5), HALF(6), HALF(7));
#undef HALF
    return twice(_mm512_castps256_ps512(_mm256_cvtph_ps(h)), 0);
}
/* 16 unsigned bytes; 8 of them twice; the upper four bits of each 32. */
static inline vf vf_of_bytes(uint64_t low, uint64_t high) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_set_epi64x((long long)high, (long long)low)));
}
static inline vf vf_of_pairs(uint64_t bytes) {
    __m128i x = _mm_cvtsi64_si128((long long)bytes);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_unpacklo_epi8(x, x)));
}
static inline vf vf_of_top_4(vb x) { return _mm512_cvtepi32_ps(_mm512_srli_epi32(x, 28)); }
/* The E8M0 of 8 blocks, halved: see quant_block_mxfp4. */
static inline vf vf_exponents(const void *p, size_t stride) {
    const uint8_t *b = p;
    __m256i e = _mm256_setr_epi32(b[0], b[stride], b[2 * stride], b[3 * stride], b[4 * stride], b[5 * stride], b[6 * stride],
                                  b[7 * stride]);
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x200000), e);
    __m256i r = _mm256_blendv_epi8(normal, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e));
    return twice(_mm512_castps256_ps512(_mm256_castsi256_ps(r)), 0);
}
/* The E4M3 of 16 groups, four at a time, halved: see quant_block_nvfp4. Shifted into place they are 2^119 too small. */
static inline vf vf_of_e4m3(const void *p, size_t stride) {
    const char *b = p;
    __m128i x = _mm_setr_epi32((int)load_u32(b), (int)load_u32(b + stride), (int)load_u32(b + 2 * stride), (int)load_u32(b + 3 * stride));
    x = _mm_andnot_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)), x);
    __m512i bits = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_and_si128(x, _mm_set1_epi8(0x7f))), 20);
    return _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0x1p119f));
}
/* The 16 bytes at p that Q4_K and Q5_K begin with: two halves, then eight scales and eight offsets of six bits each. */
static inline void vf_scales(const void *p, vf *scale, vf *min) {
    __m128i x = load_16(p, 0);
    /* s0-3, the high fields, m0-3, the high fields again; and what holds their upper two bits. */
    __m128i low = _mm_shuffle_epi8(x, _mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
    __m128i top = _mm_shuffle_epi8(x, _mm_setr_epi8(-1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11));
    low = _mm_and_si128(_mm_srlv_epi32(low, _mm_setr_epi32(0, 0, 0, 4)),
                        _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    __m128i bytes = _mm_ternarylogic_epi32(low, _mm_srli_epi32(top, 2), _mm_set1_epi8(0x30), 0xF8);
    __m512 halves = _mm512_castps128_ps512(_mm_cvtph_ps(x));
    vf d = _mm512_permutexvar_ps(_mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0), halves);
    vf all = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), d);
    *scale = twice(all, 0);
    *min = twice(all, 8);
}
static inline vf vf_of_i8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16(p, 0))); }
static inline void vf_of_nibbles(const void *p, vf *low, vf *high) {
    __m512i x = _mm512_cvtepu8_epi32(load_16(p, 0));
    *low = _mm512_cvtepi32_ps(_mm512_and_si512(x, _mm512_set1_epi32(15)));
    *high = _mm512_cvtepi32_ps(_mm512_srli_epi32(x, 4));
}

/* ---- others ----------------------------------------------------------------------------------------- */

static inline vf row_once(const void *p) { return _mm512_castsi512_ps(once(vb_load(p))); }
/* 16 rows of 64 bytes: word 4 i + j of all of them is words[j][i]. */
static inline __attribute__((always_inline)) void transpose(const void *from, size_t stride, vf words[4][4]) {
    __m512 quad[16];
    for (size_t i = 0; i < 16; i += 4) { /* words of a lane: quad[i + j] has words j, 4+j, 8+j, 12+j of rows i..i+3 */
        const char *at = (const char *)from + i * stride;
        vf a = row_once(at), b = row_once(at + stride), c = row_once(at + 2 * stride), d = row_once(at + 3 * stride);
        __m512d ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b)), cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
        __m512d ef = _mm512_castps_pd(_mm512_unpackhi_ps(a, b)), gh = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
        quad[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        quad[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        quad[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ef, gh));
        quad[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ef, gh));
    }
    for (size_t j = 0; j < 4; j++) { /* lanes */
        vf ab = _mm512_shuffle_f32x4(quad[j], quad[4 + j], 0x88), cd = _mm512_shuffle_f32x4(quad[8 + j], quad[12 + j], 0x88);
        vf ef = _mm512_shuffle_f32x4(quad[j], quad[4 + j], 0xDD), gh = _mm512_shuffle_f32x4(quad[8 + j], quad[12 + j], 0xDD);
        words[j][0] = _mm512_shuffle_f32x4(ab, cd, 0x88);
        words[j][1] = _mm512_shuffle_f32x4(ef, gh, 0x88);
        words[j][2] = _mm512_shuffle_f32x4(ab, cd, 0xDD);
        words[j][3] = _mm512_shuffle_f32x4(ef, gh, 0xDD);
    }
}
static inline void v_transpose(const void *from, size_t stride, void *to, size_t far, size_t near) {
    vf words[4][4];
    transpose(from, stride, words);
    for (size_t j = 0; j < 4; j++)
        for (size_t i = 0; i < 4; i++) _mm512_storeu_ps((char *)to + j * near + i * far, words[j][i]);
}
static inline void v_turn_4(vb x[4]) {
    __m512i a = _mm512_unpacklo_epi32(x[0], x[1]), b = _mm512_unpackhi_epi32(x[0], x[1]);
    __m512i c = _mm512_unpacklo_epi32(x[2], x[3]), d = _mm512_unpackhi_epi32(x[2], x[3]);
    x[0] = vb_join_low(a, c);
    x[1] = vb_join_high(a, c);
    x[2] = vb_join_low(b, d);
    x[3] = vb_join_high(b, d);
}
static inline void v_store_lanes(void *to, size_t stride, vb a, vb b, vb c, vb d) {
    char *at = to;
    vb ab = _mm512_shuffle_i32x4(a, b, 0x88), cd = _mm512_shuffle_i32x4(c, d, 0x88);
    vb ef = _mm512_shuffle_i32x4(a, b, 0xDD), gh = _mm512_shuffle_i32x4(c, d, 0xDD);
    vb_store(at, _mm512_shuffle_i32x4(ab, cd, 0x88));
    vb_store(at + stride, _mm512_shuffle_i32x4(ef, gh, 0x88));
    vb_store(at + 2 * stride, _mm512_shuffle_i32x4(ab, cd, 0xDD));
    vb_store(at + 3 * stride, _mm512_shuffle_i32x4(ef, gh, 0xDD));
}
/* To the second level: in the first it would wait for few places, and take them from what is used (docs/LAB.md). */
static inline __attribute__((always_inline)) void v_prefetch(const void *p) { _mm_prefetch(p, _MM_HINT_T1); }
static inline uint64_t v_read(const void *p, size_t n_words) {
    const char *b = p;
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    size_t i = 0;
    for (; i + 32 <= n_words; i += 32, b += 256)
        for (size_t k = 0; k < 4; k++) {
            _mm_prefetch(b + 64 * k + 4096, _MM_HINT_T0);
            sum[k] = _mm512_add_epi64(sum[k], _mm512_loadu_si512(b + 64 * k));
        }
    uint64_t lanes[8], r = 0; /* the sum wraps around: _mm512_reduce_add_epi64 adds signed numbers, which may not */
    _mm512_storeu_si512(lanes,
                        _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3])));
    for (size_t k = 0; k < 8; k++) r += lanes[k];
    for (; i < n_words; i++, b += 8) r += load_u64(b);
    return r;
}

/* ---- for kern_tiles.h ------------------------------------------------------------------------------- */

static inline vi vi_of_bits(vf x) { return _mm512_castps_si512(x); }
static inline vf vf_of_bits(vi x) { return _mm512_castsi512_ps(x); }
static inline bool vi_is_zero(vi x) { return _mm512_test_epi32_mask(x, x) == 0; }
/* The upper halves of the words: one after the other; those of even and odd in one word. */
static inline void vi_store_high(uint16_t *p, vi x) { _mm256_storeu_si256((void *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(x, 16))); }
static inline vi vi_high_pairs(vi even, vi odd) { return _mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_srli_epi32(even, 16), odd); }

#include "kern/vec_whole.h"

#endif
