/* vec_avx2_dots.h: the words of vec_avx2.h that are dot products, for CPUs without an instruction for them.
 *
 * A dot of bytes has two shapes. Weights of up to six bits: vpmaddubsw, pairs of products added in 16 bits a few times before
 * they are widened. Wider weights: bytes split into words of even and odd place, then vpmaddwd.
 */
#ifndef LEAT_VEC_AVX2_DOTS_H
#define LEAT_VEC_AVX2_DOTS_H

#include "kern/vec_avx2.h"

#define VEC_TOKENS 3
#define VEC_MANY TILER
/* 16 bits hold 4 sums of 2 products of 31 * 128 (31744), or 2 of 63 * 128 (32256). */
#define VEC_STEPS(q_max, n) ((q_max) <= 31 ? 4 : (q_max) <= 63 ? 2 : 1)
#define VEC_DOT_ADDS 0
/* Unrolled, the steps of wide weights do not fit the registers. */
#define VEC_ROLLED(q_max, n) ((q_max) <= 63 ? (n) : opaque(n))
static inline size_t opaque(size_t n) {
    __asm__("" : "+r"(n));
    return n;
}

/* Activations of 16 bits: for each 32 bytes of a vector 16 words of even place, then 16 of odd place. */
static inline __m256i split_places(__m256i x) { /* 8 words of even place, 8 of odd place */
    __m128i at = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(at)), 0xD8);
}
static inline void v_pack16(const int16_t x[KERN_CHUNK], uint8_t to[2 * KERN_CHUNK]) {
    for (size_t i = 0; i < 8; i++, to += 64) { /* vector i / 2, half i % 2: two units */
        const int16_t *from = x + KERN_UNIT * (8 * (i % 2) + i / 2);
        __m256i a = split_places(load_32(from, 0)), b = split_places(load_32(from + 4 * KERN_UNIT, 0));
        _mm256_storeu_si256((void *)to, _mm256_permute2x128_si256(a, b, 0x20));
        _mm256_storeu_si256((void *)(to + 32), _mm256_permute2x128_si256(a, b, 0x31));
    }
}
static inline __m256i dot_words(__m256i w, const uint8_t *x) {
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(w, _mm256_set1_epi16(255)), load_32(x, 0));
    return _mm256_add_epi32(even, _mm256_madd_epi16(_mm256_srli_epi16(w, 8), load_32(x, 32)));
}
static inline vi vi_dot16(vb w, const kern_act16 *act, size_t k) {
    const uint8_t *x = act->x + 128 * k;
    return VI(dot_words(w.a, x), dot_words(w.b, x + 64));
}
static inline vi vi_dot16_pair(vb w0, vb w1, const kern_act16 *act, size_t k) {
    vi x = vi_dot16(w0, act, k), y = vi_dot16(w1, act, k + 1);
    return VI(_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b));
}

typedef vi vd; /* words where q_max is below 64 */
static inline vd vd_start(vi sum, int q_max) { return q_max > 63 ? sum : vi_set(0); }
static inline __m256i dot_bytes(__m256i d, __m256i w, __m256i x, int q_max) {
    if (q_max <= 63) return _mm256_add_epi16(d, _mm256_maddubs_epi16(w, x));
    __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), odd = _mm256_srai_epi16(x, 8);
    d = _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_and_si256(w, _mm256_set1_epi16(255)), even));
    return _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_srli_epi16(w, 8), odd));
}
static inline vd vd_dot(vd d, vb w, vb x, int q_max) {
    return VI(dot_bytes(d.a, w.a, x.a, q_max), dot_bytes(d.b, w.b, x.b, q_max));
}
static inline vi vd_end(vi sum, vd d, int q_max) {
    if (q_max > 63) return d;
    __m256i one = _mm256_set1_epi16(1);
    return VI(_mm256_add_epi32(sum.a, _mm256_madd_epi16(d.a, one)), _mm256_add_epi32(sum.b, _mm256_madd_epi16(d.b, one)));
}
static inline vi vd_signed(vi sum, const int32_t *minus, int q_max) { (void)minus; (void)q_max; return sum; }

#endif
