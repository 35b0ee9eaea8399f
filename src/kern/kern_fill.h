/* kern_fill.h: panels of bytes and nibbles filled in 512-bit registers, in place of the rows of kern_load.h.
 *
 * Rows are turned as they lie in the file, nibbles in half as many vectors as their bytes, and split on their way to the panel.
 * So are scales, of which an instruction then decodes those of 16 rows. Filling is most of what a prompt of a few tokens takes,
 * or one that few of reach an expert.
 */
#ifndef LEAT_KERN_FILL_H
#define LEAT_KERN_FILL_H

/* 16 bytes of each of 16 rows: words[k] has word k of all of them. */
KERN_INLINE void fill_words(const uint8_t *b, size_t row_bytes, vb words[4]) {
    for (size_t i = 0; i < 4; i++) words[i] = vb_load_lanes(b + i * row_bytes, 4 * row_bytes);
    v_turn_4(words);
}
KERN_INLINE vf fill_halves(vb words) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words)); }
KERN_INLINE vb fill_or_bits(vb a, vb b, uint32_t right, uint8_t bits) { return vb_or_and(a, _mm512_srli_epi32(b, right), vb_set(bits)); }

/* Scales and offsets of Q4_K and Q5_K, see vf_scales. Both units of a block have the same; the first has them in a panel. */
KERN_INLINE void fill_affine(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes) {
    vb w[4];
    fill_words(b, row_bytes, w);
    vf d = fill_halves(w[0]), d_min = fill_halves(_mm512_srli_epi32(w[0], 16));
    vb scales[2] = {vb_and(w[1], vb_set(63)), fill_or_bits(vb_low(w[3]), w[1], 2, 0x30)};
    vb mins[2] = {vb_and(w[2], vb_set(63)), fill_or_bits(vb_high(w[3]), w[2], 2, 0x30)};
    for (size_t i = 0; i < 8; i++) {
        vi byte = vi_set(255), right = vi_set((int)(8 * (i % 4)));
        vf scale = vf_of_vi(vb_and(_mm512_srlv_epi32(scales[i / 4], right), byte));
        vf min = vf_of_vi(vb_and(_mm512_srlv_epi32(mins[i / 4], right), byte));
        vf_store(p->scale[at / KERN_UNIT + 2 * i][sub], vf_mul(scale, d));
        vf_store(p->min[at / KERN_UNIT + 2 * i][sub], vf_mul(min, d_min));
    }
}

/* 8 words are the low nibbles of a block of 32 and the high ones of the next. */
static void fill_q4_k(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes) {
    for (size_t half = 0; half < 2; half++) {
        vf words[4][4];
        transpose(b + 16 + 64 * half, row_bytes, words);
        for (size_t j = 0; j < 4; j++)
            for (size_t i = 0; i < 4; i++) {
                vb x = _mm512_castps_si512(words[j][i]);
                uint8_t(*to)[KERN_PANEL_SUBS][64] = p->q + at / 4 + 32 * half + 16 * (i / 2) + 4 * (i % 2) + j;
                vb_store(to[0][sub], vb_low(x));
                vb_store(to[8][sub], vb_high(x));
            }
    }
    fill_affine(p, at, sub, b, row_bytes);
}

/* The same with a fifth bit: bit k of the 32 bytes `tops` is that of the weights of block k. 160 bytes are turned, some twice. */
static void fill_q5_k(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes) {
    vf words[3][4][4];
    transpose(b + 16, row_bytes, words[0]);
    transpose(b + 80, row_bytes, words[1]);
    transpose(b + 112, row_bytes, words[2]);
    for (size_t pair = 0; pair < 4; pair++)
        for (size_t j = 0; j < 4; j++)
            for (size_t i = 0; i < 2; i++) {
                static const uint8_t third[4] = {0, 1, 1, 2}, first[4] = {2, 0, 2, 2};
                vb x = _mm512_castps_si512(words[third[pair]][j][first[pair] + i]);
                vb tops = _mm512_srlv_epi32(_mm512_castps_si512(words[0][j][i]), vi_set((int)(2 * pair)));
                uint8_t(*to)[KERN_PANEL_SUBS][64] = p->q + at / 4 + 16 * pair + 4 * i + j;
                vb_store(to[0][sub], vb_or_and(vb_low(x), _mm512_slli_epi32(tops, 4), vb_set(16)));
                vb_store(to[8][sub], vb_or_and(vb_high(x), _mm512_slli_epi32(tops, 3), vb_set(16)));
            }
    fill_affine(p, at, sub, b, row_bytes);
}

/* Halves of 128 weights: 64 bytes of low nibbles and high ones; 32 of pairs of bits, of which four weights 32 apart share each. */
static void fill_q6_k(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes) {
    vf pairs[4][4];
    transpose(b + 128, row_bytes, pairs);
    for (size_t half = 0; half < 2; half++) {
        vf words[4][4];
        transpose(b + 64 * half, row_bytes, words);
        for (size_t j = 0; j < 4; j++)
            for (size_t i = 0; i < 4; i++) {
                vb x = _mm512_castps_si512(words[j][i]), top = _mm512_castps_si512(pairs[j][2 * half + i % 2]), bits = vb_set(0x30);
                uint8_t(*to)[KERN_PANEL_SUBS][64] = p->q + at / 4 + 32 * half + 4 * i + j;
                vb_store(to[0][sub], vb_or_and(vb_low(x), i < 2 ? _mm512_slli_epi32(top, 4) : _mm512_slli_epi32(top, 2), bits));
                vb_store(to[16][sub], vb_or_and(vb_high(x), i < 2 ? top : _mm512_srli_epi32(top, 2), bits));
            }
    }
    vb scales[4], last[4];
    fill_words(b + 192, row_bytes, scales);
    fill_words(b + 194, row_bytes, last);
    vf d = fill_halves(_mm512_srli_epi32(last[3], 16));
    for (size_t i = 0; i < KERN_UNITS; i++) {
        vi scale = _mm512_srai_epi32(_mm512_sllv_epi32(scales[i / 4], vi_set((int)(24 - 8 * (i % 4)))), 24);
        vf_store(p->scale[at / KERN_UNIT + i][sub], vf_mul(vf_of_vi(scale), d));
    }
}

/* ---- blocks of 32 ------------------------------------------------------------------------------------------- */

/* The halves of 8 blocks. */
KERN_INLINE void fill_scales(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes, size_t block_bytes) {
    _Alignas(32) uint16_t halves[8][16];
    for (size_t r = 0; r < 16; r++)
        for (size_t i = 0; i < 8; i++) halves[i][r] = load_u16(b + r * row_bytes + i * block_bytes);
    for (size_t i = 0; i < 8; i++) vf_store(p->scale[at / KERN_UNIT + 2 * i][sub], vf_load_f16(halves[i]));
}
/* The E8M0 of 8 blocks, halved: see quant_block_mxfp4. */
KERN_INLINE void fill_exponents(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes, size_t block_bytes) {
    _Alignas(16) uint8_t bytes[8][16];
    for (size_t r = 0; r < 16; r++)
        for (size_t i = 0; i < 8; i++) bytes[i][r] = b[r * row_bytes + i * block_bytes];
    for (size_t i = 0; i < 8; i++) {
        vi e = _mm512_cvtepu8_epi32(load_16(bytes[i], 0)), normal = _mm512_slli_epi32(_mm512_sub_epi32(e, vi_set(1)), 23);
        vi r = _mm512_mask_sllv_epi32(normal, _mm512_cmplt_epi32_mask(e, vi_set(2)), vi_set(0x200000), e);
        vf_store(p->scale[at / KERN_UNIT + 2 * i][sub], vf_of_bits(r));
    }
}

/* 16 bytes of each block of low nibbles, of its first 16 weights, and high ones: as they are, or places in a table. */
KERN_INLINE void fill_nibbles(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes, size_t block_bytes,
                              const int8_t *table, uint8_t plus) {
    vb values = table ? vb_add(vb_load_16(table), vb_set(plus)) : vb_set(0);
    for (size_t i = 0; i < 8; i++, b += block_bytes) {
        vb words[4];
        fill_words(b, row_bytes, words);
        for (size_t k = 0; k < 4; k++) {
            vb low = vb_low(words[k]), high = vb_high(words[k]);
            uint8_t(*to)[KERN_PANEL_SUBS][64] = p->q + at / 4 + 8 * i + k;
            vb_store(to[0][sub], table ? vb_lookup(values, low) : low);
            vb_store(to[4][sub], table ? vb_lookup(values, high) : high);
        }
    }
}

static void fill_q4_0(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes) {
    fill_nibbles(p, at, sub, b + 2, row_bytes, 18, NULL, 0);
    fill_scales(p, at, sub, b, row_bytes, 18);
}

static void fill_iq4_nl(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes) {
    fill_nibbles(p, at, sub, b + 2, row_bytes, 18, quant_values_iq4, 128);
    fill_scales(p, at, sub, b, row_bytes, 18);
}

static void fill_mxfp4(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes) {
    fill_nibbles(p, at, sub, b + 1, row_bytes, 17, quant_values_fp4, 16);
    fill_exponents(p, at, sub, b, row_bytes, 17);
}

/* Eight scales of six bits, less 32: four bits each in a word, two in half of the one before. */
static void fill_iq4_xs(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes) {
    vb w[4];
    fill_nibbles(p, at, sub, b + 8, row_bytes, 16, quant_values_iq4, 128);
    fill_words(b, row_bytes, w);
    vf d = fill_halves(w[0]);
    for (size_t i = 0; i < 8; i++) {
        vi low = vb_and(_mm512_srlv_epi32(w[1], vi_set((int)(4 * i))), vi_set(15));
        vi scale = vb_or_and(low, _mm512_srlv_epi32(w[0], vi_set((int)(12 + 2 * i))), vi_set(0x30));
        vf_store(p->scale[at / KERN_UNIT + 2 * i][sub], vf_mul(vf_sub(vf_of_vi(scale), vf_set(32)), d));
    }
}

static void fill_q8_0(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes) {
    for (size_t i = 0; i < 16; i++) {
        vb words[4];
        fill_words(b + i / 2 * 34 + 2 + i % 2 * 16, row_bytes, words);
        for (size_t k = 0; k < 4; k++) vb_store(p->q[at / 4 + 4 * i + k][sub], vb_xor(words[k], vb_set(0x80)));
    }
    fill_scales(p, at, sub, b, row_bytes, 34);
}

#endif
