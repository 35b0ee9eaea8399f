/* kern_signed.h: decode of the codebooks with signs, IQ2 and IQ3, in 512-bit registers (in place of kern_decode.h's way).
 *
 * Activations come as KERN_ACT_I16_LANES: byte i of element d of vector k is that of weight 16 d + order[k] + {0, 2, 8,
 * 10}[i], where order is 0, 1, 4, 5. So element d of all four vectors is unit d: one sum takes all the dots of a chunk, and
 * is converted and scaled once. And it is how codes fall apart: a byte of them has a weight (or, of IQ2, two) of each
 * vector, so that no shuffle is needed.
 *
 * Two steps, 16 chunks each, because a chain of both is longer than a CPU sees ahead: indices become codes, and signs and
 * scales are spelt out; then codes become weights, which are multiplied. Of a table of 1024 codes each half has a step of its
 * own: half fits the registers.
 */
#ifndef LEAT_KERN_SIGNED_H
#define LEAT_KERN_SIGNED_H

/* 256 weights after the first step. codes: of IQ2 those of 32 entries, of IQ3 the even entries, then the odd ones. signs: a
 * byte for eight weights, twice. */
typedef struct signed_chunk {
    _Alignas(64) uint8_t codes[2][64], signs[64];
    float scale[KERN_UNITS];
} signed_chunk;
typedef void signed_look_up(const uint8_t *b, signed_chunk *to);

/* Of bytes in words, the lower ones twice. */
KERN_INLINE vb signs_twice(vb words) {
    return _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(_mm_set_epi8(14, 14, 12, 12, 10, 10, 8, 8, 6, 6, 4, 4, 2, 2, 0, 0)));
}
/* Words whose lower byte is seven signs: eight, an even number of them set, twice. */
KERN_INLINE vb signs_even_twice(vb words) {
    static const _Alignas(16) uint8_t odd[16] = {0, 128, 128, 0, 128, 0, 0, 128, 128, 0, 0, 128, 0, 128, 128, 0};
    vb x = signs_twice(words), at = _mm512_ternarylogic_epi32(x, _mm512_srli_epi16(x, 4), vb_set(15), 0x28); /* (a ^ b) & c */
    return vb_xor(x, vb_lookup(vb_load_16(odd), at));
}
/* (s * factor + half) times the half at b. */
KERN_INLINE void signed_scale(const uint8_t *b, vf s, float factor, float plus, signed_chunk *to) {
    vf d = _mm512_cvtph_ps(_mm256_set1_epi16((short)load_u16(b)));
    vf_store(to->scale, vf_mul(vf_fma(s, vf_set(factor), vf_set(plus)), d));
}
/* Pairs of the same word of 32 bits: four times seven signs, then four bits of scale. */
KERN_INLINE void signed_28(const uint8_t *b, vb x, float factor, signed_chunk *to) {
    vb first = vb_and(_mm512_rolv_epi32(x, _mm512_set1_epi64(18LL << 32)), vb_set_4(0x7f));
    vb second = _mm512_rolv_epi32(x, _mm512_set1_epi64(27LL << 32 | 9));
    vb_store(to->signs, signs_even_twice(vb_or_and(first, second, vb_set_4(0x7f0000))));
    signed_scale(b, vf_of_top_4(x), factor, 0.5f * factor, to);
}
KERN_INLINE void signed_bytes(const uint8_t *b, signed_chunk *to) { vb_store(to->signs, signs_twice(vb_widen(b))); }
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
    signed_28(b, vb_lookup(x, vb_load_16(rest)), 0.25f, to);
}
KERN_INLINE void signed_iq2_xs(const uint8_t *b, signed_chunk *to) {
    vb x = vb_load(b + 2);
    vb_store(to->codes[0], vb_codes(quant_codes_iq2_xs, 512, x));
    vb_store(to->signs, signs_even_twice(_mm512_srli_epi16(x, 9)));
    signed_nibbles(b, b + 66, to);
}
KERN_INLINE void signed_iq2_s(const uint8_t *b, signed_chunk *to) {
    vb_store(to->codes[1], indices_iq2_s(b));
    signed_bytes(b + 34, to);
    signed_nibbles(b, b + 74, to);
}
KERN_INLINE void signed_iq3_xxs(const uint8_t *b, signed_chunk *to) {
    vb x = vb_load(b + 2), signs = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(b + 66)));
    vb_store(to->codes[0], vb_codes(quant_codes_iq3_xxs, 256, x));
    vb_store(to->codes[1], vb_codes(quant_codes_iq3_xxs, 256, _mm512_srli_epi16(x, 8)));
    signs = _mm512_permutexvar_epi32(_mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0), signs);
    signed_28(b, signs, 0.5f, to);
}
KERN_INLINE void signed_iq3_s(const uint8_t *b, signed_chunk *to) {
    vb x = vb_load(b + 2);
    uint64_t ninth = load_u64(b + 66), even = 0x5555555555555555;
    vb_store(to->codes[0], codes_512_of(quant_codes_iq3_s, x, (__mmask32)u64_extract(ninth, even)));
    vb_store(to->codes[1], codes_512_of(quant_codes_iq3_s, _mm512_srli_epi16(x, 8), (__mmask32)u64_extract(ninth >> 1, even)));
    signed_bytes(b + 74, to);
    signed_scale(b, vf_of_pairs(u64_deposit(load_u32(b + 106), 15 * EACH_BYTE)), 2, 1, to);
}

static const pair_values signed_eights = PAIR_VALUES(64 + 8, 64 + 25, 64 + 43, 0);
static const pair_values signed_iq3_xxs_values = {{68, 76, 84, 92, 100, 108, 116, 126}, {0}};
static const pair_values signed_iq3_s_values = {{17, 19, 21, 23, 25, 27, 29, 31}, {0}};

KERN_INLINE void signed_expand(const signed_chunk *c, const pair_values *values, size_t vectors, int zero, vb q[4]) {
    vb first = vb_load_16(values->first), second = vectors == 1 ? vb_load_16(values->second) : first;
    vb a = vb_load(c->codes[0]), b = vectors == 1 ? a : vb_load(c->codes[1]), signs = vb_load(c->signs);
    if (vectors == 1) {
        q[0] = q[1] = vb_low(a);
        q[2] = q[3] = vb_high(a);
    } else {
        q[0] = vb_low(a);
        q[1] = vb_high(a);
        q[2] = vb_low(b);
        q[3] = vb_high(b);
    }
    for (size_t k = 0; k < 4; k++) {
        short bits = (short)(0x0401 << (k % 2 + k / 2 * 4));
        __mmask64 minus = _mm512_test_epi8_mask(signs, _mm512_set1_epi16(bits));
        q[k] = vb_lookup(k % 2 ? second : first, q[k]);
        q[k] = _mm512_mask_sub_epi8(q[k], minus, vb_set((uint8_t)(2 * zero)), q[k]);
    }
}

/* An element adds at most 16 products of 127 * 32639: no overflow. */
KERN_INLINE vf signed_dot(const vb q[4], vf scale, const kern_act16 *act, int zero, vf acc) {
    vi sum = vi_set(0), high = sum;
    for (size_t k = 0; k < 4; k++) {
        high = _mm512_dpbusd_epi32(high, q[k], vb_load(act->x + 128 * k));
        sum = _mm512_dpbusd_epi32(sum, q[k], vb_load(act->x + 128 * k + 64));
    }
    sum = _mm512_add_epi32(sum, vi_shift_left(high, 8));
    vf dot = vf_fnma(vf_set((float)zero), vf_load(act->sums), vf_of_vi(sum));
    return vf_fma(dot, vf_mul(scale, vf_set(act->scale)), acc);
}

/* VEC_ROWS rows as in decode_stored_tile. */
KERN_INLINE void signed_tile(const kern_matmul *m, size_t a, size_t n, size_t at, size_t step, size_t bytes, signed_look_up *look,
                             const uint16_t *table, const pair_values *values, size_t vectors, int zero) {
    signed_chunk c[16][VEC_ROWS];
    vf acc[DECODE_ACTS][VEC_ROWS];
    size_t n_chunks = m->n_in / KERN_CHUNK;
    const uint8_t *b = (const uint8_t *)m->weights + at * m->row_bytes;
    memset(acc, 0, n * sizeof acc[0]);
    for (size_t i = 0; i < n_chunks; i += 16, b += 16 * bytes) {
        size_t here = MIN(n_chunks - i, (size_t)16);
        const uint8_t *ahead = b + (VEC_ROWS - 1) * i * bytes + VEC_AHEAD;
        for (size_t line = 0; line < VEC_ROWS * here * bytes; line += 64) v_prefetch(ahead + line);
        for (size_t r = 0; r < VEC_ROWS; r++)
            for (size_t j = 0; j < here; j++) look(b + r * step * m->row_bytes + j * bytes, &c[j][r]);
        if (table)
            for (size_t half = 0; half < 2; half++)
                for (signed_chunk *to = c[0]; to < c[here]; to++) {
                    vb index = vb_load(to->codes[1]), found = vb_codes(table + 512 * half, 512, index);
                    if (half) found = _mm512_mask_mov_epi16(vb_load(to->codes[0]), _mm512_test_epi16_mask(index, _mm512_set1_epi16(512)), found);
                    vb_store(to->codes[0], found);
                }
        for (size_t x = 0; x < n; x++) {
            const kern_act16 *act = (const kern_act16 *)m->acts[a + x] + i;
            vf sum[VEC_ROWS];
            for (size_t r = 0; r < VEC_ROWS; r++) sum[r] = acc[x][r];
            for (size_t j = 0; j < here; j++)
                for (size_t r = 0; r < VEC_ROWS; r++) {
                    vb q[4];
                    signed_expand(&c[j][r], values, vectors, zero, q);
                    sum[r] = signed_dot(q, vf_load(c[j][r].scale), act + j, zero, sum[r]);
                }
            for (size_t r = 0; r < VEC_ROWS; r++) acc[x][r] = sum[r];
        }
    }
    for (size_t x = 0; x < n; x++)
        for (size_t r = 0; r < VEC_ROWS; r++) m->outs[a + x][m->out_first + at + r * step] = vf_sum(acc[x][r]) * m->scale;
}

#define SIGNED(type, bytes, table, values, vectors, zero)                                                                          \
    static void decode_##type(const kern_matmul *m) {                                                                       \
        for (size_t r = 0; r < m->n_rows; r += VEC_ROWS)                                                                    \
            for (size_t a = 0; a < m->n_act; a += DECODE_ACTS)                                                              \
                signed_tile(m, a, MIN(m->n_act - a, (size_t)DECODE_ACTS), MIN(r, MAX(m->n_rows, (size_t)VEC_ROWS) - VEC_ROWS), \
                            m->n_rows >= VEC_ROWS, bytes, signed_##type, table, values, vectors, zero);                            \
    }
SIGNED(iq2_xxs, 66, NULL, &signed_eights, 1, 64)
SIGNED(iq2_xs, 74, NULL, &signed_eights, 1, 64)
SIGNED(iq2_s, 82, quant_codes_iq2_s, &signed_eights, 1, 64)
SIGNED(iq3_xxs, 98, NULL, &signed_iq3_xxs_values, 2, 64)
SIGNED(iq3_s, 110, NULL, &signed_iq3_s_values, 2, 16)

static void prepare_i16_lanes(const float *x, size_t n, void *act) {
    kern_act16 *to = act;
    _Alignas(64) int16_t q[KERN_CHUNK];
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        prepare_chunk(x + at, MIN(n - at, KERN_CHUNK), to, q);
        v_pack16_lanes(q, to->x);
    }
}

#endif
