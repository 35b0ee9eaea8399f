/* kern_paired.h: decode of Q2_K and TQ2_0 in 512-bit registers (in place of kern_decode.h's way).
 *
 * Activations come as KERN_ACT_I16_PAIRS: units in the order paired_unit, which is the one of the pairs of bits in 64 bytes
 * of weights: vector k is the k-th pairs of all of them, without a shuffle. Scales and sums are in that order, too.
 */
#ifndef LEAT_KERN_PAIRED_H
#define LEAT_KERN_PAIRED_H

/* Unit 4 j + k, which is lane j of vector k. */
#define PAIRED_UNITS 0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15
static const _Alignas(16) uint8_t paired_unit[KERN_UNITS] = {PAIRED_UNITS};

KERN_INLINE vf paired_floats(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)); }
KERN_INLINE vf half_for_all(const uint8_t *b) { return _mm512_cvtph_ps(_mm256_set1_epi16((short)load_u16(b))); }

/* A chunk that is multiplied with its scales already: weight = d q - min. */
typedef struct paired {
    vb q[4];
    vf d, min;
} paired;
typedef paired paired_load(const uint8_t *b);

/* q times scale is at most 45, so a byte holds it: the four products of a unit are a table of four bytes, looked up by
 * nibbles that have two pairs each: tables for the lower pairs repeat them, for the upper ones have each four times. */
KERN_INLINE paired paired_q2_k(const uint8_t *b) {
    static const _Alignas(16) uint8_t upper[2][16] = {
        {FOUR(4, 4, 4, 4), FOUR(5, 5, 5, 5), FOUR(6, 6, 6, 6), FOUR(7, 7, 7, 7)},
        {FOUR(12, 12, 12, 12), FOUR(13, 13, 13, 13), FOUR(14, 14, 14, 14), FOUR(15, 15, 15, 15)}};
    paired p;
    __m128i s = _mm_shuffle_epi8(load_16(b, 0), load_16(paired_unit, 0)), nibble = _mm_set1_epi8(15);
    __m512i products = _mm512_mullo_epi32(_mm512_cvtepu8_epi32(_mm_and_si128(s, nibble)), _mm512_set1_epi32(0x03020100));
    vb x = once(vb_load(b + 16)), low = vb_low(x), high = vb_high(x);
    p.q[0] = vb_lookup(_mm512_shuffle_epi32(products, 0x00), low);
    p.q[1] = vb_lookup(vb_lookup(products, vb_load_16(upper[0])), low);
    p.q[2] = vb_lookup(_mm512_shuffle_epi32(products, 0xAA), high);
    p.q[3] = vb_lookup(vb_lookup(products, vb_load_16(upper[1])), high);
    p.d = half_for_all(b + 80);
    p.min = vf_mul(paired_floats(_mm_and_si128(_mm_srli_epi16(s, 4), nibble)), half_for_all(b + 82));
    return p;
}

/* (q - 4) times scale, -32 to 31, plus 127 is 3 to 255: of a unit eight products, four for each value of the third bit. That
 * one is bit 3 of an index or bit 2, so that two vectors of third bits do for four of indices; the other bit of these may be
 * anything, and the table has each half twice. Products and constants come as four bytes in a number: their sum has no carry. */
KERN_INLINE paired paired_q3_k(const uint8_t *b) {
#define SCALE(u) 2 + (u) % 8, 10 + (u) % 4, 128, 128
#define TOP(u) 4 + (u) / 4 * 2
    static const _Alignas(64) uint8_t place[64] = {SCALE(0), SCALE(2), SCALE(4), SCALE(6), SCALE(1), SCALE(3), SCALE(5), SCALE(7),
                                                   SCALE(8), SCALE(10), SCALE(12), SCALE(14), SCALE(9), SCALE(11), SCALE(13), SCALE(15)};
    static const _Alignas(64) uint32_t top[16] = {TOP(0), TOP(2), TOP(4), TOP(6), TOP(1), TOP(3), TOP(5), TOP(7),
                                                  TOP(8), TOP(10), TOP(12), TOP(14), TOP(9), TOP(11), TOP(13), TOP(15)};
#undef SCALE
#undef TOP
    paired p;
    vb upper = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(4), 1), s = vb_lookup(vb_load_16(b + 94), vb_load(place));
    s = vb_or_and(vb_and(_mm512_srlv_epi32(s, vb_load(top)), vb_set_4(0x30)), _mm512_srlv_epi32(s, upper), vb_set_4(15));
    vf without = vf_of_bits(_mm512_add_epi32(_mm512_mullo_epi32(s, _mm512_set1_epi32(-0x01020304)), vb_set_4(0x9fbfdfff)));
    vf with = vf_of_bits(_mm512_add_epi32(_mm512_mullo_epi32(s, _mm512_set1_epi32(0x03020100)), vb_set_4(0x1f3f5f7f)));
    vb x = once(vb_load(b + 32)), pair = vb_set(3);
    vb third = vb_and(_mm512_srlv_epi32(_mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)b)), upper), vb_set(15));
    vb higher = _mm512_slli_epi16(third, 2), turns = _mm512_set_epi32(28, 12, 28, 12, 24, 8, 24, 8, 20, 4, 20, 4, 16, 0, 16, 0);
    p.q[0] = _mm512_ternarylogic_epi32(pair, x, higher, 0xCA); /* a ? b : c */
    p.q[1] = _mm512_ternarylogic_epi32(pair, _mm512_srli_epi16(x, 2), higher, 0xCA);
    p.q[2] = _mm512_ternarylogic_epi32(pair, _mm512_srli_epi16(x, 4), third, 0xCA);
    p.q[3] = _mm512_ternarylogic_epi32(pair, _mm512_srli_epi16(x, 6), third, 0xCA);
    p.q[0] = vb_lookup(vi_of_bits(_mm512_permutex2var_ps(without, turns, with)), p.q[0]);
    p.q[1] = vb_lookup(vi_of_bits(_mm512_shuffle_ps(without, with, 0x55)), p.q[1]);
    p.q[2] = vb_lookup(vi_of_bits(_mm512_permutex2var_ps(without, _mm512_add_epi32(turns, _mm512_set1_epi32(2)), with)), p.q[2]);
    p.q[3] = vb_lookup(vi_of_bits(_mm512_shuffle_ps(without, with, 0xFF)), p.q[3]);
    p.d = half_for_all(b + 108);
    p.min = vf_mul(p.d, vf_set(127));
    return p;
}

KERN_INLINE paired paired_bits(vb x, vf d, vf min) {
    vb three = vb_set(3);
    x = once(x);
    return (paired){{vb_and(x, three), vb_and(_mm512_srli_epi16(x, 2), three), vb_and(_mm512_srli_epi16(x, 4), three),
                     vb_and(_mm512_srli_epi16(x, 6), three)}, d, min};
}
KERN_INLINE paired paired_tq2_0(const uint8_t *b) {
    vf d = half_for_all(b + 64);
    return paired_bits(vb_load(b), d, d);
}

/* An element adds 16 products of 255 * 32639 at most. Activations are loaded once for all rows, which the compiler would not do
 * by itself. */
KERN_INLINE void paired_dots(const paired p[VEC_ROWS], const kern_act16 *act, vf acc[VEC_ROWS]) {
    vi low[VEC_ROWS], high[VEC_ROWS];
    for (size_t r = 0; r < VEC_ROWS; r++) low[r] = high[r] = vi_set(0);
    for (size_t k = 0; k < 4; k++) {
        vb x = once(vb_load(act->x + 128 * k)), y = once(vb_load(act->x + 128 * k + 64));
        for (size_t r = 0; r < VEC_ROWS; r++) {
            high[r] = _mm512_dpbusd_epi32(high[r], p[r].q[k], x);
            low[r] = _mm512_dpbusd_epi32(low[r], p[r].q[k], y);
        }
    }
    for (size_t r = 0; r < VEC_ROWS; r++) {
        vf sum = vf_mul(vf_of_vi(_mm512_add_epi32(low[r], vi_shift_left(high[r], 8))), p[r].d);
        acc[r] = vf_fma(vf_fnma(p[r].min, vf_load(act->sums), sum), vf_set(act->scale), acc[r]);
    }
}

KERN_INLINE void paired_tile(const kern_matmul *m, size_t a, size_t n, size_t at, size_t step, size_t bytes, paired_load *load) {
    vf acc[DECODE_ACTS][VEC_ROWS];
    size_t n_chunks = m->n_in / KERN_CHUNK;
    const uint8_t *b = (const uint8_t *)m->weights + at * m->row_bytes, *ahead = rows_ahead(b, m, VEC_ROWS);
    memset(acc, 0, n * sizeof acc[0]);
    for (size_t i = 0; i < n_chunks; i++, b += bytes, ahead += VEC_ROWS * bytes) {
        for (size_t line = 0; line < VEC_ROWS * bytes; line += 64) v_prefetch(ahead + line);
        paired p[VEC_ROWS];
        for (size_t r = 0; r < VEC_ROWS; r++) p[r] = load(b + r * step * m->row_bytes);
#pragma GCC unroll 1
        for (size_t x = 0; x < n; x++) paired_dots(p, (const kern_act16 *)m->acts[a + x] + i, acc[x]);
    }
    decode_end(m, a, n, at, step, acc, m->scale);
}

KERN_INLINE void paired_rows(const kern_matmul *m, size_t a, size_t n, size_t bytes, paired_load *load) {
    for (size_t r = 0; r < m->n_rows; r += VEC_ROWS)
        paired_tile(m, a, n, MIN(r, MAX(m->n_rows, (size_t)VEC_ROWS) - VEC_ROWS), m->n_rows >= VEC_ROWS, bytes, load);
}
/* With a copy for a single activation, whose sums stay in registers. */
#define PAIRED(type, bytes)                                                                     \
    static void decode_##type(const kern_matmul *m) {                                           \
        if (m->n_act == 1) paired_rows(m, 0, 1, bytes, paired_##type);                          \
        else                                                                                    \
            for (size_t a = 0; a < m->n_act; a += DECODE_ACTS)                                  \
                paired_rows(m, a, MIN(m->n_act - a, (size_t)DECODE_ACTS), bytes, paired_##type); \
    }
PAIRED(q2_k, 84)
PAIRED(q3_k, 110)
PAIRED(tq2_0, 66)

static void prepare_i16_pairs(const float *x, size_t n, void *act) {
    kern_act16 *to = act;
    _Alignas(64) float turned[KERN_CHUNK];
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        for (size_t u = 0; u < KERN_UNITS; u++)
            memcpy(turned + KERN_UNIT * u, x + at + (size_t)KERN_UNIT * paired_unit[u], KERN_UNIT * sizeof *x);
        prepare_i16(turned, KERN_CHUNK, to);
    }
}

#endif
