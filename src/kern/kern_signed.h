/* kern_signed.h: decode of the codebooks, IQ1 to IQ3, in 512-bit registers (in place of kern_decode.h's way).
 *
 * Activations come as KERN_ACT_I16_LANES: byte i of element d of vector k is that of weight 16 d + order[k] + {0, 2, 8,
 * 10}[i], where order is 0, 1, 4, 5. So element d of all four vectors is unit d: one sum takes all the dots of a chunk, and
 * is converted and scaled once. And it is how codes fall apart: a byte of them has a weight (or, of IQ1 and IQ2, two) of each
 * vector, so that no shuffle is needed.
 *
 * Two steps, 16 chunks each, because a chain of both is longer than a CPU sees ahead: indices become codes, and signs and
 * scales are spelt out; then codes become weights, which are multiplied. Of a table of more than 512 codes each 512 have a step
 * of their own: so many fit the registers.
 */
#ifndef LEAT_KERN_SIGNED_H
#define LEAT_KERN_SIGNED_H

/* 256 weights after the first step. codes: of IQ1 and IQ2 those of 32 entries; of IQ3 the even entries, then the odd ones, with
 * signs: nibbles 8 to 15, or 7 to 0 where negative. signs: of IQ2 a byte for eight weights, twice; of IQ1 8 where eight weights
 * are shifted up, twice. */
typedef struct signed_chunk {
    _Alignas(64) uint8_t codes[2][64], signs[64];
    float scale[KERN_UNITS];
} signed_chunk;
typedef void signed_look_up(const uint8_t *b, signed_chunk *to);

/* Of bytes in words, the lower ones twice. */
KERN_INLINE vb signs_twice(vb words) {
    return _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(_mm_set_epi8(14, 14, 12, 12, 10, 10, 8, 8, 6, 6, 4, 4, 2, 2, 0, 0)));
}
/* Words whose lower byte is seven signs, and the upper one 0: eight, an even number of them set. */
KERN_INLINE vb signs_even(vb words) {
    static const _Alignas(16) uint8_t odd[16] = {0, 128, 128, 0, 128, 0, 0, 128, 128, 0, 0, 128, 0, 128, 128, 0};
    vb at = _mm512_ternarylogic_epi32(words, _mm512_srli_epi16(words, 4), vb_set(15), 0x28); /* (a ^ b) & c */
    return vb_xor(words, vb_lookup(vb_load_16(odd), at));
}
/* Codes of even and odd entries of four with signs, from words of eight signs: a nibble n becomes n ^ 8 or n ^ 7. */
KERN_INLINE void signed_fours(vb even, vb odd, vb signs, signed_chunk *to) {
#define FLIP(i) ((i) & 1 ? 0x7 : 0x8) | ((i) & 2 ? 0x70 : 0x80) | ((i) & 4 ? 0x700 : 0x800) | ((i) & 8 ? 0x7000 : 0x8000)
#define FLIPS FOUR(FLIP(0), FLIP(1), FLIP(2), FLIP(3)), FOUR(FLIP(4), FLIP(5), FLIP(6), FLIP(7)), \
              FOUR(FLIP(8), FLIP(9), FLIP(10), FLIP(11)), FOUR(FLIP(12), FLIP(13), FLIP(14), FLIP(15))
    static const _Alignas(64) uint16_t flips[32] = {FLIPS, FLIPS}; /* twice: five bits of a word are looked up */
    vb table = vb_load(flips);
    vb_store(to->codes[0], vb_xor(even, _mm512_permutexvar_epi16(signs, table)));
    vb_store(to->codes[1], vb_xor(odd, _mm512_permutexvar_epi16(_mm512_srli_epi16(signs, 4), table)));
}
/* (s * factor + half) times the half at b. */
KERN_INLINE void signed_scale(const uint8_t *b, vf s, float factor, float plus, signed_chunk *to) {
    vf d = _mm512_cvtph_ps(_mm256_set1_epi16((short)load_u16(b)));
    vf_store(to->scale, vf_mul(vf_fma(s, vf_set(factor), vf_set(plus)), d));
}
/* Pairs of the same word of 32 bits: four times seven signs, then four bits of scale. Returns the signs as words. */
KERN_INLINE vb signed_28(const uint8_t *b, vb x, float factor, signed_chunk *to) {
    vb first = vb_and(_mm512_rolv_epi32(x, _mm512_set1_epi64(18LL << 32)), vb_set_4(0x7f));
    vb second = _mm512_rolv_epi32(x, _mm512_set1_epi64(27LL << 32 | 9));
    signed_scale(b, vf_of_top_4(x), factor, 0.5f * factor, to);
    return signs_even(vb_or_and(first, second, vb_set_4(0x7f0000)));
}
/* 8 bytes of nibbles, a unit each. */
KERN_INLINE void signed_nibbles(const uint8_t *b, const uint8_t *nibbles, signed_chunk *to) {
    __m128i x = _mm_loadl_epi64((const void *)nibbles), low = _mm_set1_epi8(15);
    x = _mm_unpacklo_epi8(_mm_and_si128(x, low), _mm_and_si128(_mm_srli_epi16(x, 4), low));
    signed_scale(b, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(x)), 0.25f, 0.125f, to);
}

KERN_INLINE void signed_iq2_xxs(const uint8_t *b, signed_chunk *to) {
    static const _Alignas(16) uint8_t rest[16] = {FOUR(4, 5, 6, 7), FOUR(4, 5, 6, 7), FOUR(12, 13, 14, 15), FOUR(12, 13, 14, 15)};
    vb x = vb_load(b + 2);
    look_up_iq2_xxs(b, to->codes[0]);
    vb_store(to->signs, signs_twice(signed_28(b, vb_lookup(x, vb_load_16(rest)), 0.25f, to)));
}
KERN_INLINE void signed_iq2_xs(const uint8_t *b, signed_chunk *to) {
    vb x = vb_load(b + 2);
    vb_store(to->codes[0], vb_codes(quant_codes_iq2_xs, 512, x));
    vb_store(to->signs, signs_twice(signs_even(_mm512_srli_epi16(x, 9))));
    signed_nibbles(b, b + 66, to);
}
KERN_INLINE void signed_iq2_s(const uint8_t *b, signed_chunk *to) {
    vb_store(to->codes[1], indices_iq2_s(b));
    vb_store(to->signs, signs_twice(vb_widen(b + 34)));
    signed_nibbles(b, b + 74, to);
}
KERN_INLINE void signed_iq3_xxs(const uint8_t *b, signed_chunk *to) {
    vb x = vb_load(b + 2), signs = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(b + 66)));
    signs = _mm512_permutexvar_epi32(_mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0), signs);
    signs = signed_28(b, signs, 0.5f, to);
    signed_fours(vb_codes(quant_codes_iq3_xxs, 256, x), vb_codes(quant_codes_iq3_xxs, 256, _mm512_srli_epi16(x, 8)), signs, to);
}
KERN_INLINE void signed_iq3_s(const uint8_t *b, signed_chunk *to) {
    vb x = vb_load(b + 2);
    uint64_t ninth = load_u64(b + 66), even = 0x5555555555555555;
    signed_fours(codes_512_of(quant_codes_iq3_s, x, (__mmask32)u64_extract(ninth, even)),
                 codes_512_of(quant_codes_iq3_s, _mm512_srli_epi16(x, 8), (__mmask32)u64_extract(ninth >> 1, even)),
                 vb_widen(b + 74), to);
    signed_scale(b, vf_of_pairs(u64_deposit(load_u32(b + 106), 15 * EACH_BYTE)), 4, 2, to);
}

/* Scales of three bits, 1 to 15: what is beyond them in four bits of an index is another's. */
#define ODDS(unit) FOUR(unit, 3 * (unit), 5 * (unit), 7 * (unit)), FOUR(9 * (unit), 11 * (unit), 13 * (unit), 15 * (unit))
static const _Alignas(64) float signed_odds[16] = {ODDS(0x1p-5f), ODDS(0x1p-5f)};

/* The upper four bits of eight words: a scale, and whether 32 weights are shifted down. */
KERN_INLINE void signed_iq1_s(const uint8_t *b, signed_chunk *to) {
#define LOW(i) i, 0, i, 0
    static const _Alignas(64) uint16_t place[32] = {FOUR(LOW(0), LOW(1), LOW(2), LOW(3)), FOUR(LOW(4), LOW(5), LOW(6), LOW(7))};
#define UPPER(i) FOUR(2 * (i) + 1, 2 * (i) + 1, 2 * (i) + 1, 2 * (i) + 1), FOUR(2 * (i) + 1, 2 * (i) + 1, 2 * (i) + 1, 2 * (i) + 1)
    static const _Alignas(64) uint8_t upper[64] = {FOUR(UPPER(0), UPPER(1), UPPER(2), UPPER(3)), FOUR(UPPER(4), UPPER(5), UPPER(6), UPPER(7))};
    vb h = vb_load_16(b + 34), s = _mm512_maskz_permutexvar_epi16(0x55555555, vb_load(place), h);
    look_up_iq1_s(b, to->codes[1]);
    vb_store(to->signs, _mm512_srli_epi16(_mm512_andnot_si512(vb_lookup(h, vb_load(upper)), vb_set(128)), 4));
    vf_store(to->scale, vf_mul(half_for_all(b), _mm512_permutexvar_ps(_mm512_srli_epi32(s, 12), vf_load(signed_odds))));
}
KERN_INLINE void signed_iq1_m(const uint8_t *b, signed_chunk *to) {
#define LOWS(i) FOUR(i, 0, i, 0), FOUR(i, 0, i, 0)
    static const _Alignas(64) uint16_t place[32] = {FOUR(LOWS(0), LOWS(1), LOWS(2), LOWS(3))};
    uint64_t packed = load_u64(b + 48);
    vf d = _mm512_cvtph_ps(_mm256_set1_epi16((short)u64_extract(packed, 0xf000f000f000f000)));
    vi s = _mm512_maskz_permutexvar_epi16(0x55555555, vb_load(place), _mm512_set1_epi64((long long)packed));
    s = _mm512_srlv_epi32(s, _mm512_set_epi32(9, 6, 3, 0, 9, 6, 3, 0, 9, 6, 3, 0, 9, 6, 3, 0));
    look_up_iq1_m(b, to->codes[1]);
    vb up = _mm512_andnot_si512(high_iq1_m(b), vb_set_4(0x8000800));
    vb_store(to->signs, vb_xor(up, _mm512_srli_epi16(up, 8)));
    vf_store(to->scale, vf_mul(d, _mm512_permutexvar_ps(s, vf_load(signed_odds))));
}

typedef void signed_expand(const signed_chunk *c, vb q[4]);

/* IQ2: values plus 64. */
KERN_INLINE void expand_signed_eights(const signed_chunk *c, vb q[4]) {
    static const pair_values values = PAIR_VALUES(64 + 8, 64 + 25, 64 + 43, 0);
    vb codes = once(vb_load(c->codes[0])), signs = once(vb_load(c->signs));
    q[0] = q[1] = vb_low(codes);
    q[2] = q[3] = vb_high(codes);
    for (size_t k = 0; k < 4; k++) {
        __mmask64 minus = _mm512_test_epi8_mask(signs, _mm512_set1_epi16((short)(0x0401 << (k % 2 + k / 2 * 4))));
        q[k] = vb_lookup(vb_load_16(k % 2 ? values.second : values.first), q[k]);
        q[k] = _mm512_mask_sub_epi8(q[k], minus, vb_set(128), q[k]);
    }
}
/* IQ3_S: half of what is odd, plus 7.5. */
KERN_INLINE void expand_signed_fours(const signed_chunk *c, vb q[4]) {
    vb even = once(vb_load(c->codes[0])), odd = once(vb_load(c->codes[1]));
    q[0] = vb_low(even);
    q[1] = vb_high(even);
    q[2] = vb_low(odd);
    q[3] = vb_high(odd);
}
/* IQ3_XXS: values plus 64. */
KERN_INLINE void expand_signed_values(const signed_chunk *c, vb q[4]) {
    static const _Alignas(16) uint8_t values[16] = {2, 12, 20, 28, 36, 44, 52, 60, 68, 76, 84, 92, 100, 108, 116, 126};
    expand_signed_fours(c, q);
    for (size_t k = 0; k < 4; k++) q[k] = vb_lookup(vb_load_16(values), q[k]);
}
/* IQ1: 32 times an entry, whose weights are 0 to 2, and 4 where shifted down or 12 where up, less 4: its middle is 36. */
KERN_INLINE void expand_signed_thirds(const signed_chunk *c, vb q[4]) {
    vb codes = once(vb_load(c->codes[0])), up = once(vb_load(c->signs)), two = vb_set(0x60);
    q[0] = _mm512_ternarylogic_epi32(up, _mm512_slli_epi16(codes, 5), two, 0xF8);
    q[1] = _mm512_ternarylogic_epi32(up, _mm512_slli_epi16(codes, 3), two, 0xF8);
    q[2] = _mm512_ternarylogic_epi32(up, _mm512_slli_epi16(codes, 1), two, 0xF8);
    q[3] = _mm512_ternarylogic_epi32(up, _mm512_srli_epi16(codes, 1), two, 0xF8);
}

/* An element adds at most 16 products of 127 * 32639: no overflow. */
KERN_INLINE void signed_dots(const signed_chunk c[VEC_ROWS], const kern_act16 *act, signed_expand *expand, float zero, vf acc[VEC_ROWS]) {
    vb q[VEC_ROWS][4];
    vi low[VEC_ROWS], high[VEC_ROWS];
    for (size_t r = 0; r < VEC_ROWS; r++) {
        expand(&c[r], q[r]);
        low[r] = high[r] = vi_set(0);
    }
    for (size_t k = 0; k < 4; k++) {
        vb x = once(vb_load(act->x + 128 * k)), y = once(vb_load(act->x + 128 * k + 64));
        for (size_t r = 0; r < VEC_ROWS; r++) {
            high[r] = _mm512_dpbusd_epi32(high[r], q[r][k], x);
            low[r] = _mm512_dpbusd_epi32(low[r], q[r][k], y);
        }
    }
    for (size_t r = 0; r < VEC_ROWS; r++) {
        vf dot = vf_of_vi(_mm512_add_epi32(low[r], vi_shift_left(high[r], 8)));
        dot = vf_fnma(vf_set(zero), vf_load(act->sums), dot);
        acc[r] = vf_fma(dot, vf_mul(vf_load(c[r].scale), vf_set(act->scale)), acc[r]);
    }
}

/* The codes of n entries, of which 512 are looked up at a time, for indices in codes[1]. */
KERN_INLINE void signed_look_up_all(signed_chunk c[2][16][VEC_ROWS], size_t here, const uint16_t *table, size_t n) {
    for (size_t from = 0; from < n; from += 512)
        for (size_t p = 0; p < 2; p++)
            for (signed_chunk *to = c[p][0]; to < c[p][here]; to++) {
                vb index = once(vb_load(to->codes[1])), found = vb_codes(table + from, 512, index);
                if (from) found = _mm512_mask_mov_epi16(vb_load(to->codes[0]), _mm512_cmpge_epu16_mask(index, _mm512_set1_epi16((short)from)), found);
                vb_store(to->codes[0], found);
            }
}

/* The chunks of two times VEC_ROWS rows by n activations, from chunk `first` of them on; a copy for each way to expand. */
typedef void signed_multiply(signed_chunk c[2][16][VEC_ROWS], size_t here, const void *const *acts, size_t n, size_t first, vf (*acc)[2][VEC_ROWS]);
#define SIGNED_MULTIPLY(kind, zero)                                                                                             \
    KERN_OUTLINE void multiply_##kind(signed_chunk c[2][16][VEC_ROWS], size_t here, const void *const *acts, size_t n,          \
                                      size_t first, vf (*acc)[2][VEC_ROWS]) {                                                   \
        for (size_t x = 0; x < n; x++)                                                                                          \
            for (size_t p = 0; p < 2; p++) {                                                                                    \
                const kern_act16 *act = (const kern_act16 *)acts[x] + first;                                                    \
                vf sum[VEC_ROWS];                                                                                               \
                for (size_t r = 0; r < VEC_ROWS; r++) sum[r] = acc[x][p][r];                                                    \
                for (size_t j = 0; j < here; j++) signed_dots(c[p][j], act + j, expand_signed_##kind, zero, sum);               \
                for (size_t r = 0; r < VEC_ROWS; r++) acc[x][p][r] = sum[r];                                                    \
            }                                                                                                                   \
    }
SIGNED_MULTIPLY(eights, 64)
SIGNED_MULTIPLY(fours, 7.5f)
SIGNED_MULTIPLY(values, 64)
SIGNED_MULTIPLY(thirds, 36)

/* Rows of a tile: each step is a loop, which ends with a wrong guess, and two rows alone are short ones. Rows beyond the last
 * are that one again. */
enum { SIGNED_ROWS = 2 * VEC_ROWS };

KERN_INLINE void signed_tile(const kern_matmul *m, size_t a, size_t n, size_t at, size_t bytes, signed_look_up *look, const uint16_t *table,
                             size_t n_table, signed_multiply *multiply) {
    signed_chunk c[2][16][VEC_ROWS];
    vf acc[DECODE_ACTS][2][VEC_ROWS];
    size_t n_chunks = m->n_in / KERN_CHUNK;
    const uint8_t *b = (const uint8_t *)m->weights + at * m->row_bytes, *ahead = rows_ahead(b, m, SIGNED_ROWS);
    memset(acc, 0, n * sizeof acc[0]);
    for (size_t i = 0; i < n_chunks; i += 16, b += 16 * bytes) {
        size_t here = MIN(n_chunks - i, (size_t)16);
        ahead = fetch_ahead(ahead, SIGNED_ROWS * here * bytes);
        for (size_t r = 0; r < SIGNED_ROWS; r++) {
            const uint8_t *from = b + MIN(r, m->n_rows - 1 - at) * m->row_bytes;
            for (size_t j = 0; j < here; j++) look(from + j * bytes, &c[r / VEC_ROWS][j][r % VEC_ROWS]);
        }
        if (table) signed_look_up_all(c, here, table, n_table);
        multiply(c, here, m->acts + a, n, i, acc);
    }
    for (size_t x = 0; x < n; x++)
        for (size_t r = 0; r < MIN((size_t)SIGNED_ROWS, m->n_rows - at); r++)
            m->outs[a + x][m->out_first + at + r] = vf_sum(acc[x][r / VEC_ROWS][r % VEC_ROWS]) * m->scale;
}

#define SIGNED(type, bytes, table, n_table, kind)                                                                              \
    static void decode_##type(const kern_matmul *m) {                                                                          \
        for (size_t r = 0; r < m->n_rows; r += SIGNED_ROWS)                                                                    \
            for (size_t a = 0; a < m->n_act; a += DECODE_ACTS)                                                                 \
                signed_tile(m, a, MIN(m->n_act - a, (size_t)DECODE_ACTS), r, bytes, signed_##type, table, n_table, multiply_##kind); \
    }
SIGNED(iq1_s, 50, quant_codes_iq1, 2048, thirds)
SIGNED(iq1_m, 56, quant_codes_iq1, 2048, thirds)
SIGNED(iq2_xxs, 66, NULL, 0, eights)
SIGNED(iq2_xs, 74, NULL, 0, eights)
SIGNED(iq2_s, 82, quant_codes_iq2_s, 1024, eights)
SIGNED(iq3_xxs, 98, NULL, 0, values)
SIGNED(iq3_s, 110, NULL, 0, fours)

static void prepare_i16_lanes(const float *x, size_t n, void *act) {
    kern_act16 *to = act;
    _Alignas(64) int16_t q[KERN_CHUNK];
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        prepare_chunk(x + at, MIN(n - at, KERN_CHUNK), to, q);
        v_pack16_lanes(q, to->x);
    }
}

#endif
