/* kern_entries.h: decode of types with codebooks for one activation, by words (AVX2; a part of kern_words.h).
 *
 * Entries are loaded one by one into the registers that are multiplied. Indices, signs and scales come 16 chunks ahead: their
 * chains of dependent instructions are longer than a CPU sees ahead. More than one activation goes by way of memory.
 */
#ifndef LEAT_KERN_ENTRIES_H
#define LEAT_KERN_ENTRIES_H

typedef struct entries_chunk {
    _Alignas(64) uint8_t at[128]; /* indices, as the loaders' first step leaves them */
    __m256i eights;               /* a byte for eight weights: their signs, or what is added to them */
    words_scales scales;
} entries_chunk;
/* Makes ready what needs no entries. */
typedef void entries_ready(const uint8_t *b, entries_chunk *to);

/* ---- signs and scales -------------------------------------------------------------------------------------- */

KERN_INLINE __m256i entries_even_signs(__m256i x) { return even_signs(VB(x, x)).a; }
/* Fields of words of 32 bits, from so many bits on: their numbers and a half, times the factor. */
KERN_INLINE __m256 entries_fields(__m256i x, __m256i from, int mask, float factor) {
    __m256 field = _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srlv_epi32(x, from), _mm256_set1_epi32(mask)));
    return _mm256_mul_ps(_mm256_add_ps(field, _mm256_set1_ps(0.5f)), _mm256_set1_ps(factor));
}
/* Eight words of 32 bits: four times seven signs, then four bits of scale. */
KERN_INLINE void entries_28(__m256i x, float factor, entries_chunk *to) {
    __m256i fourteens = _mm256_or_si256(_mm256_and_si256(x, _mm256_set1_epi32(0x3fff)),
                                        _mm256_and_si256(_mm256_slli_epi32(x, 2), _mm256_set1_epi32(0x3fff0000)));
    __m256i sevens = _mm256_or_si256(_mm256_and_si256(fourteens, _mm256_set1_epi16(0x7f)),
                                     _mm256_and_si256(_mm256_slli_epi16(fourteens, 1), _mm256_set1_epi16(0x7f00)));
    to->eights = entries_even_signs(sevens);
    to->scales.scale[0] = entries_fields(x, _mm256_set1_epi32(28), 15, factor);
}
/* A word for all of a lane. */
KERN_INLINE __m256i entries_lanes(uint32_t first, uint32_t second) { return join(_mm_set1_epi32((int)first), _mm_set1_epi32((int)second)); }
/* 16 units of four bits. */
KERN_INLINE void entries_nibbles(const uint8_t *b, float factor, entries_chunk *to) {
    __m256i x = entries_lanes(load_u32(b), load_u32(b + 4)), from = _mm256_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12);
    to->scales.scale[0] = entries_fields(x, from, 15, factor);
    to->scales.scale[1] = entries_fields(_mm256_srli_epi32(x, 16), from, 15, factor);
}

/* ---- types ------------------------------------------------------------------------------------------------- */

KERN_INLINE void entries_ready_iq2_xxs(const uint8_t *b, entries_chunk *to) {
    look_up_iq2_xxs(b, to->at);
    __m256 even = _mm256_castsi256_ps(words_halves(b + 2, 32)), odd = _mm256_castsi256_ps(words_halves(b + 18, 32));
    /* The second word of each two. */
    entries_28(_mm256_castps_si256(_mm256_shuffle_ps(even, odd, 0xDD)), 0.25f * quant_half(b), to);
}
KERN_INLINE void entries_ready_iq3_xxs(const uint8_t *b, entries_chunk *to) {
    look_up_iq3_xxs(b, to->at);
    entries_28(load_32(b, 66), 0.5f * quant_half(b), to);
}
KERN_INLINE void entries_ready_iq2_xs(const uint8_t *b, entries_chunk *to) {
    look_up_iq2_xs(b, to->at);
    __m256i signs = _mm256_packus_epi16(_mm256_srli_epi16(load_32(b, 2), 9), _mm256_srli_epi16(load_32(b, 34), 9));
    to->eights = entries_even_signs(_mm256_permute4x64_epi64(signs, 0xD8));
    entries_nibbles(b + 66, 0.25f * quant_half(b), to);
}
KERN_INLINE void entries_ready_iq2_s(const uint8_t *b, entries_chunk *to) {
    look_up_iq2_s(b, to->at);
    to->eights = load_32(b, 34);
    entries_nibbles(b + 74, 0.25f * quant_half(b), to);
}
KERN_INLINE void entries_ready_iq3_s(const uint8_t *b, entries_chunk *to) {
    look_up_iq3_s(b, to->at);
    to->eights = load_32(b, 74);
    __m256i x = _mm256_set1_epi32((int)load_u32(b + 106)), from = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    to->scales.scale[0] = entries_fields(x, from, 15, 2 * quant_half(b));
}
KERN_INLINE void entries_ready_iq1_s(const uint8_t *b, entries_chunk *to) {
    look_up_iq1_s(b, to->at);
    __m256i x = _mm256_cvtepu16_epi32(load_16(b, 34));
    __m256 scale = entries_fields(x, _mm256_set1_epi32(12), 7, 0.25f * quant_half(b)), down = _mm256_cvtepi32_ps(_mm256_srli_epi32(x, 15));
    to->scales.scale[0] = scale;
    to->scales.min = _mm256_mul_ps(scale, _mm256_fmadd_ps(down, _mm256_set1_ps(2), _mm256_set1_ps(7)));
    to->eights = _mm256_set1_epi8(-119);
}
KERN_INLINE void entries_ready_iq1_m(const uint8_t *b, entries_chunk *to) {
    uint64_t s = load_u64(b + 48), scales = u64_extract(s, 0x0fff0fff0fff0fff);
    uint16_t half = (uint16_t)u64_extract(s, 0xf000f000f000f000);
    float factor = 0.25f * quant_half(&half);
    __m256i x = entries_lanes((uint32_t)scales, (uint32_t)(scales >> 24)), from = _mm256_setr_epi32(0, 3, 6, 9, 0, 3, 6, 9);
    __m256i high = _mm256_cvtepu8_epi16(load_16(b, 32));
    look_up_iq1_m(b, to->at);
    to->scales.scale[0] = entries_fields(x, from, 7, factor);
    to->scales.scale[1] = entries_fields(_mm256_srli_epi32(x, 12), from, 7, factor);
    __m256i down = _mm256_and_si256(_mm256_or_si256(high, _mm256_slli_epi16(high, 4)), _mm256_set1_epi16(0x0808));
    to->eights = _mm256_sub_epi8(_mm256_set1_epi8(-110), _mm256_srli_epi16(down, 2));
}

/* What kern_words.h takes for the bytes of a chunk. */
KERN_INLINE const entries_chunk *entries_of(const uint8_t *b) { return (const entries_chunk *)b; }
/* Vector k of entries of eight weights, of four. */
KERN_INLINE __m256i entries_eights(const uint64_t *table, const uint8_t *b, size_t k) {
    const uint8_t *at = entries_of(b)->at + 4 * k;
    return join(entries_2(table, at), entries_2(table, at + 32));
}
KERN_INLINE __m256i entries_fours(const uint32_t *table, const uint8_t *b, size_t k) {
    const uint8_t *at = entries_of(b)->at + 64 * (k % 4 / 2) + 16 * (k / 4) + 8 * (k % 2);
    return join(entries_4(table, at), entries_4(table, at + 32));
}
KERN_INLINE words entries_signed(__m256i x, const uint8_t *b, size_t k, char zero) {
    return words_bytes(plus_minus(_mm256_set1_epi8(zero), x, bits_of(entries_of(b)->eights, 2 * k)));
}

KERN_INLINE words words_iq1_s(const uint8_t *b, size_t k) {
    return words_bytes(_mm256_add_epi8(entries_eights(quant_grid_iq1, b, k), entries_of(b)->eights));
}
KERN_INLINE words words_iq1_m(const uint8_t *b, size_t k) {
    return words_bytes(_mm256_add_epi8(entries_eights(quant_grid_iq1, b, k), each_of(entries_of(b)->eights, 2 * k)));
}
KERN_INLINE words words_iq2_xxs(const uint8_t *b, size_t k) { return entries_signed(entries_eights(quant_grid_iq2_xxs, b, k), b, k, 64); }
KERN_INLINE words words_iq2_xs(const uint8_t *b, size_t k) { return entries_signed(entries_eights(quant_grid_iq2_xs, b, k), b, k, 64); }
KERN_INLINE words words_iq2_s(const uint8_t *b, size_t k) { return entries_signed(entries_eights(quant_grid_iq2_s, b, k), b, k, 64); }
KERN_INLINE words words_iq3_xxs(const uint8_t *b, size_t k) { return entries_signed(entries_fours(quant_grid_iq3_xxs, b, k), b, k, 64); }
KERN_INLINE words words_iq3_s(const uint8_t *b, size_t k) { return entries_signed(entries_fours(quant_grid_iq3_s, b, k), b, k, 16); }

/* ---- rows -------------------------------------------------------------------------------------------------- */

KERN_INLINE void entries_row(const kern_matmul *m, size_t r, entries_ready *ready, words_type f) {
    entries_chunk c[16];
    const uint8_t *b = (const uint8_t *)m->weights + r * m->row_bytes;
    const kern_act16 *act = m->acts[0];
    words_sums sums = words_start();
    for (size_t left = m->n_in / KERN_CHUNK; left;) {
        size_t here = MIN(left, sizeof c / sizeof *c);
        fetch_ahead(b + VEC_AHEAD, here * f.bytes);
        for (size_t i = 0; i < here; i++, b += f.bytes) ready(b, &c[i]);
        for (size_t i = 0; i < here; i++, act++) words_add(&sums, (const uint8_t *)&c[i], c[i].scales, act, f);
        left -= here;
    }
    m->outs[0][m->out_first + r] = words_end(sums, f) * m->scale;
}
#define ENTRIES_ROWS(type, bytes, group, zero, has_min)                                       \
    static void decode_##type(const kern_matmul *m) {                                         \
        const words_type f = {bytes, group, words_##type, NULL, has_min, zero};               \
        if (m->n_act > 1) words_loaded_##group##_##has_min(m);                                \
        else                                                                                  \
            for (size_t r = 0; r < m->n_rows; r++) entries_row(m, r, entries_ready_##type, f); \
    }

#endif
