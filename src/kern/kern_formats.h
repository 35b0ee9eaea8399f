/* kern_formats.h: the loaders of the quantised types (template of a vector level).
 *
 * The blocks are described in quant/quant_unpack.h. A loader brings 256 weights to a chunk (kern_chunk.h): vector k holds
 * units k, 4 + k, 8 + k, 12 + k, which is how nibbles fall out of all of them. What a type has in common with others is a
 * function above its loader; constants of 16 bytes are tables of a lane, of 64 bytes tables of a vector.
 */
#ifndef LEAT_KERN_FORMATS_H
#define LEAT_KERN_FORMATS_H

#define FOUR(a, b, c, d) a, b, c, d
#define EACH_BYTE 0x0101010101010101u

/* ---- blocks of 32 to 128 ------------------------------------------------------------------------------------- */

/* 16 bytes of nibbles of 8 blocks, stride apart: the even ones in one vector, the odd ones in another. Low nibbles are a
 * block's first unit. */
KERN_INLINE void split_nibbles_32(vb even, vb odd, vb q[4]) {
    q[0] = vb_low(even);
    q[1] = vb_high(even);
    q[2] = vb_low(odd);
    q[3] = vb_high(odd);
}
KERN_INLINE void load_nibbles_32(const uint8_t *b, size_t at, size_t stride, vb q[4]) {
    vb even, odd;
    vb_load_blocks(b, at, stride, &even, &odd);
    split_nibbles_32(even, odd, q);
}

/* The fifth bits are 32 before the nibbles. */
KERN_INLINE void load_fives_32(const uint8_t *b, size_t stride, vb q[4]) {
    load_nibbles_32(b, 4, stride, q);
    vb even = vb_load_lanes(b, 2 * stride), odd = vb_load_lanes(b + stride, 2 * stride);
    q[0] = vb_or_bits(q[0], even, 0, 16);
    q[1] = vb_or_bits(q[1], even, 2, 16);
    q[2] = vb_or_bits(q[2], odd, 0, 16);
    q[3] = vb_or_bits(q[3], odd, 2, 16);
}

KERN_INLINE void look_up(const int8_t table[16], uint8_t plus, vb q[4]) {
    vb values = vb_add(vb_load_16(table), vb_set(plus));
    for (size_t k = 0; k < 4; k++) q[k] = vb_lookup(values, q[k]);
}

KERN_INLINE vf negated(vf a) { return vf_sub(vf_set(0), a); }

KERN_INLINE chunk load_q4_0(const uint8_t *b) {
    chunk c;
    load_nibbles_32(b, 2, 18, c.q);
    c.scale = c.min = vf_halves(b, 18, 2);
    return c;
}

KERN_INLINE chunk load_q4_1(const uint8_t *b) {
    chunk c;
    load_nibbles_32(b, 4, 20, c.q);
    c.scale = vf_halves(b, 20, 2);
    c.min = negated(vf_halves(b + 2, 20, 2));
    return c;
}

KERN_INLINE chunk load_q5_0(const uint8_t *b) {
    chunk c;
    load_fives_32(b + 2, 22, c.q);
    c.scale = c.min = vf_halves(b, 22, 2);
    return c;
}

KERN_INLINE chunk load_q5_1(const uint8_t *b) {
    chunk c;
    load_fives_32(b + 4, 24, c.q);
    c.scale = vf_halves(b, 24, 2);
    c.min = negated(vf_halves(b + 2, 24, 2));
    return c;
}

KERN_INLINE chunk load_q8_0(const uint8_t *b) {
    chunk c;
    vb sign = vb_set(0x80);
    c.q[0] = vb_xor(vb_load_lanes(b + 2, 68), sign);
    c.q[1] = vb_xor(vb_load_lanes(b + 18, 68), sign);
    c.q[2] = vb_xor(vb_load_lanes(b + 36, 68), sign);
    c.q[3] = vb_xor(vb_load_lanes(b + 52, 68), sign);
    c.scale = c.min = vf_halves(b, 34, 2);
    return c;
}

KERN_INLINE chunk load_iq4_nl(const uint8_t *b) {
    chunk c = load_q4_0(b);
    look_up(quant_values_iq4, 128, c.q);
    return c;
}

KERN_INLINE chunk load_mxfp4(const uint8_t *b) {
    chunk c;
    load_nibbles_32(b, 1, 17, c.q);
    look_up(quant_values_fp4, 16, c.q);
    c.scale = c.min = vf_exponents(b, 17);
    return c;
}

/* A lane's 16 bytes are two groups of 8 low and 8 high nibbles. */
KERN_INLINE chunk load_nvfp4(const uint8_t *b) {
    chunk c;
    vb first = vb_load_lanes(b + 4, 36), second = vb_load_lanes(b + 20, 36);
    c.q[0] = vb_join_low(vb_low(first), vb_high(first));
    c.q[1] = vb_join_high(vb_low(first), vb_high(first));
    c.q[2] = vb_join_low(vb_low(second), vb_high(second));
    c.q[3] = vb_join_high(vb_low(second), vb_high(second));
    look_up(quant_values_fp4, 16, c.q);
    c.scale = c.min = vf_of_e4m3(b, 36);
    return c;
}

/* A lane has the 64 bits of its units. */
KERN_INLINE chunk load_q1_0(const uint8_t *b) {
    chunk c;
    vb bits = vb_load_8(b + 2, b + 20);
    for (size_t k = 0; k < 4; k++) c.q[k] = vb_or_bits(vb_set(0), bits, 2 * k, 2);
    c.scale = c.min = vf_halves(b, 18, 8);
    return c;
}

/* Words of 8 pairs of bits, in the order of the weights, become values: a nibble is looked up for its first pair, then
 * for its second. */
typedef struct pair_values { _Alignas(16) uint8_t first[16], second[16]; } pair_values;
#define PAIR_VALUES(a, b, c, d) \
    {{FOUR(a, b, c, d), FOUR(a, b, c, d), FOUR(a, b, c, d), FOUR(a, b, c, d)}, \
     {FOUR(a, a, a, a), FOUR(b, b, b, b), FOUR(c, c, c, c), FOUR(d, d, d, d)}}
KERN_INLINE void expand_pairs(vb words, const pair_values *values, vb q[4]) {
    vb first = vb_load_16(values->first), second = vb_load_16(values->second);
    vb low = vb_low(words), high = vb_high(words), n[2] = {vb_zip_low(low, high), vb_zip_high(low, high)};
    for (size_t i = 0; i < 2; i++) {
        vb x = vb_lookup(first, n[i]), y = vb_lookup(second, n[i]);
        q[2 * i] = vb_zip_low(x, y);
        q[2 * i + 1] = vb_zip_high(x, y);
    }
}

KERN_INLINE chunk load_q2_0(const uint8_t *b) {
    static const pair_values values = PAIR_VALUES(0, 1, 2, 3);
    chunk c;
    expand_pairs(vb_load_lanes(b + 2, 18), &values, c.q);
    c.scale = c.min = vf_halves(b, 18, 4);
    return c;
}

/* ---- K types, TQ and IQ4_XS ---------------------------------------------------------------------------------- */

/* 32 bytes have the units of a lane: low nibbles 0 and 1, high nibbles 2 and 3. */
KERN_INLINE void load_nibbles(const uint8_t *b, vb q[4]) {
    vb first, second;
    vb_load_split(b, &first, &second);
    q[0] = vb_low(first);
    q[1] = vb_low(second);
    q[2] = vb_high(first);
    q[3] = vb_high(second);
}

/* Two halves of 128 weights are lanes 0, 1 and 2, 3: 32 bytes each, with four pairs of bits. */
KERN_INLINE void load_pairs(const uint8_t *b, vb q[4]) {
    vb three = vb_set(3), first = vb_load_2(b, b + 32), second = vb_load_2(b + 16, b + 48);
    q[0] = vb_and(vb_shift(first, 0, -4, 0, -4), three);
    q[1] = vb_and(vb_shift(second, 0, -4, 0, -4), three);
    q[2] = vb_and(vb_shift(first, -2, -6, -2, -6), three);
    q[3] = vb_and(vb_shift(second, -2, -6, -2, -6), three);
}

KERN_INLINE chunk load_q2_k(const uint8_t *b) {
    chunk c;
    uint64_t first = load_u64(b), second = load_u64(b + 8), low = 15 * EACH_BYTE;
    load_pairs(b + 16, c.q);
    c.scale = vf_mul(vf_of_bytes(first & low, second & low), vf_set(quant_half(b + 80)));
    c.min = vf_mul(vf_of_bytes(first >> 4 & low, second >> 4 & low), vf_set(quant_half(b + 82)));
    return c;
}

/* With the scales in the integers, up to 45: four products a unit are a lane's table for its units. */
KERN_INLINE chunk fold_q2_k(const uint8_t *b) {
    static const _Alignas(64) uint8_t unit[64] = {
        FOUR(0, 0, 0, 0), FOUR(1, 1, 1, 1), FOUR(2, 2, 2, 2), FOUR(3, 3, 3, 3), FOUR(4, 4, 4, 4), FOUR(5, 5, 5, 5),
        FOUR(6, 6, 6, 6), FOUR(7, 7, 7, 7), FOUR(8, 8, 8, 8), FOUR(9, 9, 9, 9), FOUR(10, 10, 10, 10), FOUR(11, 11, 11, 11),
        FOUR(12, 12, 12, 12), FOUR(13, 13, 13, 13), FOUR(14, 14, 14, 14), FOUR(15, 15, 15, 15)};
    chunk c;
    load_pairs(b + 16, c.q);
    vb s = vb_low(vb_lookup(vb_load_16(b), vb_load(unit)));
    vb products = vb_add(vb_and(s, vb_set_4(0xff00ff00)), vb_and(vb_add(s, s), vb_set_4(0xffff0000)));
    for (size_t k = 0; k < 4; k++) c.q[k] = vb_lookup(products, vb_add(c.q[k], vb_set((uint8_t)(4 * k))));
    uint64_t low = 15 * EACH_BYTE;
    c.scale = vf_set(quant_half(b + 80));
    c.min = vf_mul(vf_of_bytes(load_u64(b) >> 4 & low, load_u64(b + 8) >> 4 & low), vf_set(quant_half(b + 82)));
    return c;
}

/* The third bits of lane j are bits 2j and 2j + 1 of the same 32 bytes. */
/* Those of 16 units, plus 32. */
KERN_INLINE void scales_q3_k(const uint8_t *b, uint64_t scales[2]) {
    uint64_t s = load_u64(b + 96), low = 15 * EACH_BYTE, pair = 0x30 * EACH_BYTE, top = load_u32(b + 104);
    top |= top >> 2 << 32;
    scales[0] = (s & low) | (top << 4 & pair);
    scales[1] = (s >> 4 & low) | (top & pair);
}
KERN_INLINE chunk load_q3_k(const uint8_t *b) {
    chunk c;
    load_pairs(b + 32, c.q);
    vb first = vb_load_16(b), second = vb_load_16(b + 16), bit = vb_set(4);
    c.q[0] = vb_or_and(c.q[0], vb_shift(first, 2, 0, -2, -4), bit);
    c.q[1] = vb_or_and(c.q[1], vb_shift(second, 2, 0, -2, -4), bit);
    c.q[2] = vb_or_and(c.q[2], vb_shift(first, 1, -1, -3, -5), bit);
    c.q[3] = vb_or_and(c.q[3], vb_shift(second, 1, -1, -3, -5), bit);
    uint64_t scales[2];
    scales_q3_k(b, scales);
    c.scale = c.min = vf_mul(vf_sub(vf_of_bytes(scales[0], scales[1]), vf_set(32)), vf_set(quant_half(b + 108)));
    return c;
}

/* With the scales in the integers: 128 + (q - 4) (32 - scale), of which all fit a byte, times -d. A lane's tables are for two
 * units each. */
KERN_INLINE chunk fold_q3_k(const uint8_t *b) {
#define EIGHT(a) FOUR(a, a, a, a), FOUR(a, a, a, a)
    static const _Alignas(64) uint8_t unit[2][64] = {
        {EIGHT(0), EIGHT(1), EIGHT(4), EIGHT(5), EIGHT(8), EIGHT(9), EIGHT(12), EIGHT(13)},
        {EIGHT(2), EIGHT(3), EIGHT(6), EIGHT(7), EIGHT(10), EIGHT(11), EIGHT(14), EIGHT(15)}};
    static const _Alignas(16) uint8_t bits[3][16] = {{FOUR(0, 255, 0, 255), FOUR(0, 255, 0, 255), FOUR(0, 255, 0, 255), FOUR(0, 255, 0, 255)},
                                                     {FOUR(0, 0, 255, 255), FOUR(0, 0, 255, 255), FOUR(0, 0, 255, 255), FOUR(0, 0, 255, 255)},
                                                     {FOUR(0, 0, 0, 0), FOUR(255, 255, 255, 255), FOUR(0, 0, 0, 0), FOUR(255, 255, 255, 255)}};
#undef EIGHT
    chunk c = load_q3_k(b);
    uint64_t scales[2];
    scales_q3_k(b, scales);
    for (size_t i = 0; i < 2; i++) {
        vb scale = vb_lookup(vb_load_16((const uint8_t *)scales), vb_load(unit[i]));
        vb one = vb_add(vb_xor(scale, vb_set(255)), vb_set(33)), two = vb_add(one, one), four = vb_add(two, two); /* 32 - scale */
        vb t = vb_add(vb_add(vb_and(one, vb_load_16(bits[0])), vb_and(two, vb_load_16(bits[1]))),
                      vb_add(vb_and(four, vb_load_16(bits[2])), vb_add(vb_xor(four, vb_set(255)), vb_set(129))));
        c.q[2 * i] = vb_lookup(t, c.q[2 * i]);
        c.q[2 * i + 1] = vb_lookup(t, vb_add(c.q[2 * i + 1], vb_set(8)));
    }
    c.scale = c.min = vf_set(-quant_half(b + 108));
    return c;
}

KERN_INLINE chunk load_q4_k(const uint8_t *b) {
    chunk c;
    vf_scales(b, &c.scale, &c.min);
    load_nibbles(b + 16, c.q);
    return c;
}

/* The fifth bits of lane j are bits 2j (low nibbles) and 2j + 1 of the same 32 bytes. */
KERN_INLINE chunk load_q5_k(const uint8_t *b) {
    chunk c;
    vf_scales(b, &c.scale, &c.min);
    load_nibbles(b + 48, c.q);
    vb first = vb_load_16(b + 16), second = vb_load_16(b + 32), bit = vb_set(16);
    c.q[0] = vb_or_and(c.q[0], vb_shift(first, 4, 2, 0, -2), bit);
    c.q[1] = vb_or_and(c.q[1], vb_shift(second, 4, 2, 0, -2), bit);
    c.q[2] = vb_or_and(c.q[2], vb_shift(first, 3, 1, -1, -3), bit);
    c.q[3] = vb_or_and(c.q[3], vb_shift(second, 3, 1, -1, -3), bit);
    return c;
}

/* Two halves of 128 weights are lanes 0, 1 and 2, 3: low and high nibbles of the same bytes. */
KERN_INLINE chunk load_q6_k(const uint8_t *b) {
    chunk c;
    vb low = vb_set(15), bits = vb_set(0x30);
    vb first = vb_load_2(b + 128, b + 160), second = vb_load_2(b + 144, b + 176); /* high pairs */
    for (size_t k = 0; k < 4; k++) c.q[k] = vb_and(vb_shift(vb_load_2(b + 16 * k, b + 64 + 16 * k), 0, -4, 0, -4), low);
    c.q[0] = vb_or_and(c.q[0], vb_shift(first, 4, 0, 4, 0), bits);
    c.q[1] = vb_or_and(c.q[1], vb_shift(second, 4, 0, 4, 0), bits);
    c.q[2] = vb_or_and(c.q[2], vb_shift(first, 2, -2, 2, -2), bits);
    c.q[3] = vb_or_and(c.q[3], vb_shift(second, 2, -2, 2, -2), bits);
    c.scale = c.min = vf_mul(vf_of_i8(b + 192), vf_set(quant_half(b + 208)));
    return c;
}

KERN_INLINE chunk load_iq4_xs(const uint8_t *b) {
    chunk c;
    vb even, odd;
    vb_load_split(b + 8, &even, &odd);
    split_nibbles_32(even, odd, c.q);
    look_up(quant_values_iq4, 128, c.q);
    uint64_t s = u64_deposit(load_u32(b + 4), 15 * EACH_BYTE) | u64_deposit(load_u16(b + 2), 0x30 * EACH_BYTE);
    c.scale = c.min = vf_mul(vf_sub(vf_of_pairs(s), vf_set(32)), vf_set(quant_half(b)));
    return c;
}

KERN_INLINE chunk load_tq2_0(const uint8_t *b) {
    chunk c;
    load_pairs(b, c.q);
    c.scale = c.min = vf_set(quant_half(b + 64));
    return c;
}

/* Lanes of 16 bytes times powers of three: units 0 to 9 are digits of 32 bytes, units 10 to 14 of 16 bytes, 15 of 4. */
KERN_INLINE chunk load_tq1_0(const uint8_t *b) {
#define LANE(a, b, c, d) FOUR(a, a, b, b), FOUR(c, c, d, d)
    static const _Alignas(64) uint16_t power[4][32] = {
        {LANE(1, 1, 1, 1), LANE(9, 9, 9, 9), LANE(81, 81, 81, 81), LANE(9, 9, 9, 9)},
        {LANE(1, 1, 1, 1), LANE(9, 9, 9, 9), LANE(81, 81, 81, 81), LANE(27, 27, 27, 27)},
        {LANE(3, 3, 3, 3), LANE(27, 27, 27, 27), LANE(1, 1, 1, 1), LANE(81, 81, 81, 81)},
        {LANE(3, 3, 3, 3), LANE(27, 27, 27, 27), LANE(3, 3, 3, 3), LANE(1, 3, 9, 27)}};
#undef LANE
    chunk c;
    uint32_t last = load_u32(b + 48), fours[4] = {last, last, last, last};
    c.q[0] = vb_load_each(b, b, b, b + 32);
    c.q[1] = vb_load_each(b + 16, b + 16, b + 16, b + 32);
    c.q[2] = vb_load_each(b, b, b + 32, b + 32);
    c.q[3] = vb_load_each(b + 16, b + 16, b + 32, (const uint8_t *)fours);
    for (size_t k = 0; k < 4; k++) c.q[k] = vb_digits(c.q[k], vb_load(power[k]));
    c.scale = c.min = vf_set(quant_half(b + 52));
    return c;
}

/* ---- codebooks ------------------------------------------------------------------------------------------------ */

/* Entries are looked up 32 at a time: word i of lane j for weights 64 j + 8 i on where an entry has eight. A level looks up
 * codes of 16 bits (quant_grids.h), or leaves the indices and loads entries one by one. */
#define WORD(i) i, 128 /* byte i of a lane in a word, for vb_lookup */
#define WORDS(i) FOUR(WORD(i), WORD(i), WORD(i), WORD(i))
static const pair_values iq2_values = PAIR_VALUES(8, 25, 43, 0);

/* The first step of a type with a codebook leaves codes, or indices where a level rather loads entries one by one. */
KERN_INLINE void look_up_eights(uint8_t *to, const uint16_t *codes, size_t n, vb indices) {
    vb_store(to, vb_codes(codes, n, indices));
}
KERN_INLINE void expand_eights(const uint8_t *from, const uint64_t *grid, size_t n, const pair_values *values, vb q[4]) {
    if (VEC_LOADS_ENTRIES(n)) {
        vb_entries_8(grid, from, q);
        return;
    }
    vb x = vb_load(from); /* to the order of the weights */
    x = vb_or_and(vb_and(x, vb_set_4(0xf00ff00f)), vb_shift(x, 4, 4, 4, 4), vb_set_4(0x0f000f00));
    expand_pairs(vb_or_and(x, vb_shift(vb_load(from), -4, -4, -4, -4), vb_set_4(0x00f000f0)), values, q);
}

/* Entries of four weights: indices of the first two units of each lane, then of the others. */
KERN_INLINE void look_up_fours(uint8_t *to, const uint16_t *codes, size_t n, vb first, vb second) {
    vb_store(to, vb_codes(codes, n, first));
    vb_store(to + 64, vb_codes(codes, n, second));
}
KERN_INLINE void expand_fours(const uint8_t *from, const uint32_t *grid, size_t n, const uint8_t values[16], vb q[4]) {
    if (VEC_LOADS_ENTRIES(n)) {
        vb_entries_4(grid, from, q);
        return;
    }
    vb v = vb_load_16(values), at[2] = {vb_load(from), vb_load(from + 64)};
    for (size_t i = 0; i < 2; i++) {
        vb low = vb_low(at[i]), high = vb_high(at[i]);
        q[2 * i] = vb_lookup(v, vb_zip_low(low, high));
        q[2 * i + 1] = vb_lookup(v, vb_zip_high(low, high));
    }
}

/* Bytes of seven signs get the eighth that makes their number even. */
KERN_INLINE vb even_signs(vb bytes) {
    static const _Alignas(16) uint8_t odd[16] = {0, 128, 128, 0, 128, 0, 0, 128, 128, 0, 0, 128, 0, 128, 128, 0};
    return vb_xor(bytes, vb_lookup(vb_load_16(odd), vb_low(vb_xor(bytes, vb_high(bytes)))));
}

/* Words of 32 bits, a lane's first two the same and its last two: four times seven signs, then four bits of scale. */
KERN_INLINE vb signs_of_28(vb x) {
    vb bytes = vb_and(x, vb_set_4(0x7f));
    bytes = vb_or_and(bytes, vb_shift(x, 1, 1, 1, 1), vb_set_4(0x7f00));
    bytes = vb_or_and(bytes, vb_shift(x, 2, 2, 2, 2), vb_set_4(0x7f0000));
    return even_signs(vb_or_and(bytes, vb_shift(x, 3, 3, 3, 3), vb_set_4(0x7f000000)));
}
KERN_INLINE vf scale_of_28(vb x, float d, float factor) {
    return vf_mul(vf_mul(vf_set(d), vf_add(vf_set(0.5f), vf_of_top_4(x))), vf_set(factor));
}

/* Signs of unit k are the bits of bytes at[k] and at[k] + 1 of its lane. */
KERN_INLINE void apply_signs(vb q[4], vb signs, size_t apart, size_t half, uint8_t zero) {
    for (size_t k = 0; k < 4; k++)
        q[k] = vb_plus_minus(vb_set(zero), q[k], signs, k % 2 * apart + k / 2 * half);
}

KERN_INLINE void look_up_iq2_xxs(const uint8_t *b, uint8_t *to) {
    static const _Alignas(16) uint8_t index[16] = {FOUR(WORD(0), WORD(1), WORD(2), WORD(3)),
                                                   FOUR(WORD(8), WORD(9), WORD(10), WORD(11))};
    look_up_eights(to, quant_codes_iq2_xxs, 256, vb_lookup(vb_load(b + 2), vb_load_16(index)));
}
KERN_INLINE chunk load_iq2_xxs(const uint8_t *b, const uint8_t *codes) {
    static const _Alignas(16) uint8_t rest[16] = {FOUR(4, 5, 6, 7), FOUR(4, 5, 6, 7), FOUR(12, 13, 14, 15), FOUR(12, 13, 14, 15)};
    chunk c;
    vb x = vb_load(b + 2), signs = vb_lookup(x, vb_load_16(rest));
    expand_eights(codes, quant_grid_iq2_xxs, 256, &iq2_values, c.q);
    apply_signs(c.q, signs_of_28(signs), 2, 8, 64);
    c.scale = c.min = scale_of_28(signs, quant_half(b), 0.25f);
    return c;
}

KERN_INLINE void look_up_iq3_xxs(const uint8_t *b, uint8_t *to) {
    vb at = vb_load(b + 2), zero = vb_set(0);
    look_up_fours(to, quant_codes_iq3_xxs, 256, vb_zip_low(at, zero), vb_zip_high(at, zero));
}
KERN_INLINE chunk load_iq3_xxs(const uint8_t *b, const uint8_t *codes) {
    static const _Alignas(16) uint8_t values[16] = {4, 12, 20, 28, 36, 44, 52, 62};
    static const _Alignas(16) uint8_t rest[16] = {FOUR(0, 1, 2, 3), FOUR(0, 1, 2, 3), FOUR(4, 5, 6, 7), FOUR(4, 5, 6, 7)};
    chunk c;
    vb signs = vb_lookup(vb_load_8(b + 66, b + 82), vb_load_16(rest));
    expand_fours(codes, quant_grid_iq3_xxs, 256, values, c.q);
    apply_signs(c.q, signs_of_28(signs), 2, 8, 64);
    c.scale = c.min = scale_of_28(signs, quant_half(b), 0.5f);
    return c;
}

/* 8 bytes of nibbles, a unit each. */
KERN_INLINE vf iq2_scale(const uint8_t *b, float d) {
    uint64_t low = u64_deposit(load_u32(b), 15 * EACH_BYTE), high = u64_deposit(load_u32(b + 4), 15 * EACH_BYTE);
    return vf_mul(vf_mul(vf_set(d), vf_add(vf_set(0.5f), vf_of_bytes(low, high))), vf_set(0.25f));
}

KERN_INLINE void look_up_iq2_xs(const uint8_t *b, uint8_t *to) {
    look_up_eights(to, quant_codes_iq2_xs, 512, vb_and(vb_load(b + 2), vb_set_4(0x1ff01ff)));
}
KERN_INLINE chunk load_iq2_xs(const uint8_t *b, const uint8_t *codes) {
    static const _Alignas(16) uint8_t even[16] = {FOUR(0, 2, 4, 6), FOUR(8, 10, 12, 14), FOUR(0, 2, 4, 6), FOUR(8, 10, 12, 14)};
    chunk c;
    vb x = vb_load(b + 2), signs = vb_and(vb_shift(x, -9, -9, -9, -9), vb_set_4(0x7f007f));
    expand_eights(codes, quant_grid_iq2_xs, 512, &iq2_values, c.q);
    apply_signs(c.q, even_signs(vb_lookup(signs, vb_load_16(even))), 2, 4, 64);
    c.scale = c.min = iq2_scale(b + 66, quant_half(b));
    return c;
}

KERN_INLINE vb indices_iq2_s(const uint8_t *b) {
    static const _Alignas(64) uint8_t place[64] = {WORDS(0), WORDS(1), WORDS(2), WORDS(3),
                                                   WORDS(4), WORDS(5), WORDS(6), WORDS(7)};
    static const _Alignas(16) uint16_t times[8] = {256, 64, 16, 4, 256, 64, 16, 4};
    vb high = vb_mul_2(vb_lookup(vb_load_16(b + 66), vb_load(place)), vb_load_16(times));
    return vb_or_and(vb_widen(b + 2), high, vb_set_4(0x3000300));
}
KERN_INLINE void look_up_iq2_s(const uint8_t *b, uint8_t *to) {
    look_up_eights(to, quant_codes_iq2_s, 1024, indices_iq2_s(b));
}
KERN_INLINE chunk load_iq2_s(const uint8_t *b, const uint8_t *codes) {
    chunk c;
    expand_eights(codes, quant_grid_iq2_s, 1024, &iq2_values, c.q);
    apply_signs(c.q, vb_load_8(b + 34, b + 50), 2, 4, 64);
    c.scale = c.min = iq2_scale(b + 74, quant_half(b));
    return c;
}

KERN_INLINE void look_up_iq3_s(const uint8_t *b, uint8_t *to) {
    static const _Alignas(64) uint8_t place[2][64] = {
        {WORDS(0), WORDS(0), WORDS(2), WORDS(2), WORDS(4), WORDS(4), WORDS(6), WORDS(6)},
        {WORDS(1), WORDS(1), WORDS(3), WORDS(3), WORDS(5), WORDS(5), WORDS(7), WORDS(7)}};
    static const _Alignas(16) uint16_t times[8] = {256, 128, 64, 32, 16, 8, 4, 2};
    vb x = vb_load(b + 2), zero = vb_set(0), at[2] = {vb_zip_low(x, zero), vb_zip_high(x, zero)}, ninth = vb_load_16(b + 66);
    for (size_t i = 0; i < 2; i++)
        at[i] = vb_or_and(at[i], vb_mul_2(vb_lookup(ninth, vb_load(place[i])), vb_load_16(times)), vb_set_4(0x1000100));
    look_up_fours(to, quant_codes_iq3_s, 512, at[0], at[1]);
}
KERN_INLINE chunk load_iq3_s(const uint8_t *b, const uint8_t *codes) {
    static const _Alignas(16) uint8_t values[16] = {1, 3, 5, 7, 9, 11, 13, 15};
    chunk c;
    expand_fours(codes, quant_grid_iq3_s, 512, values, c.q);
    apply_signs(c.q, vb_load_8(b + 74, b + 90), 2, 4, 16);
    vf s = vf_of_pairs(u64_deposit(load_u32(b + 106), 15 * EACH_BYTE));
    c.scale = c.min = vf_mul(vf_set(quant_half(b)), vf_add(vf_set(1), vf_add(s, s)));
    return c;
}

/* A weight is scale * (grid - 1 +- 1/8): what is added to the grid goes to the offset. */
KERN_INLINE void look_up_iq1_s(const uint8_t *b, uint8_t *to) {
    /* The fourth index has bits 9 to 11 of the word: 1 to 3 of its upper byte. */
#define GROUP(g) FOUR(2 * g, 2 * g + 1, 2 * g, 2 * g + 1), FOUR(2 * g, 2 * g + 1, 2 * g + 1, 128)
    static const _Alignas(64) uint8_t place[64] = {GROUP(0), GROUP(1), GROUP(2), GROUP(3),
                                                   GROUP(4), GROUP(5), GROUP(6), GROUP(7)};
#undef GROUP
    static const _Alignas(16) uint16_t times[8] = {256, 32, 4, 128, 256, 32, 4, 128};
    vb high = vb_mul_2(vb_lookup(vb_load_16(b + 34), vb_load(place)), vb_load_16(times));
    look_up_eights(to, NULL, 2048, vb_or_and(vb_widen(b + 2), high, vb_set_4(0x7000700)));
}
KERN_INLINE chunk load_iq1_s(const uint8_t *b, const uint8_t *codes) {
    chunk c;
    expand_eights(codes, quant_grid_iq1, 2048, NULL, c.q);
    for (size_t k = 0; k < 4; k++) c.q[k] = vb_add(c.q[k], vb_set((uint8_t)-119));
    uint64_t h[2] = {load_u64(b + 34), load_u64(b + 42)}, three = 0x7000700070007000, one = 0x8000800080008000;
    uint64_t s = u64_extract(h[0], three) | u64_extract(h[1], three) << 12;
    uint64_t down = u64_extract(h[0], one) | u64_extract(h[1], one) << 4;
    vf scales = vf_of_pairs(u64_deposit(s, 7 * EACH_BYTE));
    c.scale = vf_mul(vf_set(quant_half(b)), vf_fma(scales, vf_set(0.25f), vf_set(0.125f)));
    c.min = vf_mul(c.scale, vf_fma(vf_of_pairs(u64_deposit(down, EACH_BYTE)), vf_set(2), vf_set(7)));
    return c;
}

/* The upper four bits of each index: three of the index, and whether its weights are shifted down. */
KERN_INLINE vb high_iq1_m(const uint8_t *b) {
#define FOURTH(j) FOUR(WORD(4 * j), WORD(4 * j), WORD(4 * j + 1), WORD(4 * j + 1)), \
                  FOUR(WORD(4 * j + 2), WORD(4 * j + 2), WORD(4 * j + 3), WORD(4 * j + 3))
    static const _Alignas(64) uint8_t place[64] = {FOURTH(0), FOURTH(1), FOURTH(2), FOURTH(3)};
#undef FOURTH
    static const _Alignas(16) uint16_t times[8] = {256, 16, 256, 16, 256, 16, 256, 16};
    return vb_mul_2(vb_lookup(vb_load_16(b + 32), vb_load(place)), vb_load_16(times));
}
KERN_INLINE void look_up_iq1_m(const uint8_t *b, uint8_t *to) {
    look_up_eights(to, NULL, 2048, vb_or_and(vb_widen(b), high_iq1_m(b), vb_set_4(0x7000700)));
}
KERN_INLINE chunk load_iq1_m(const uint8_t *b, const uint8_t *codes) {
    chunk c;
    static const _Alignas(16) uint8_t odd[16] = {FOUR(1, 3, 5, 7), FOUR(9, 11, 13, 15)}, all[16] = {0, 255};
    uint64_t s = load_u64(b + 48), scales = u64_extract(s, 0x0fff0fff0fff0fff);
    uint16_t half = (uint16_t)u64_extract(s, 0xf000f000f000f000);
    vb high = high_iq1_m(b);
    expand_eights(codes, quant_grid_iq1, 2048, NULL, c.q);
    /* The twelfth bit of a word is the sign of the shift of eight weights: all bits of a byte. */
    vb down = vb_lookup(vb_and(vb_shift(high, -3, -3, -3, -3), vb_set_4(0x1000100)), vb_load_16(odd));
    vb signs = vb_lookup(vb_load_16(all), down);
    for (size_t k = 0; k < 4; k++) c.q[k] = vb_plus_minus(vb_add(c.q[k], vb_set((uint8_t)-111)), vb_set(1), signs, 2 * k);
    vf threes = vf_of_bytes(u64_deposit(scales, 7 * EACH_BYTE), u64_deposit(scales >> 24, 7 * EACH_BYTE));
    c.scale = c.min = vf_mul(vf_set(quant_half(&half)), vf_fma(threes, vf_set(0.25f), vf_set(0.125f)));
    return c;
}

#endif
