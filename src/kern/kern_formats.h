/* kern_formats.h: the loaders of the types that most weights have (template of a vector level).
 *
 * The blocks are described in quant/quant_unpack.h. A loader brings 256 weights to a chunk (kern_chunk.h): vector k holds
 * units k, 4 + k, 8 + k, 12 + k, which is how nibbles fall out of all of them.
 */
#ifndef LEAT_KERN_FORMATS_H
#define LEAT_KERN_FORMATS_H

/* 8 blocks: the even ones in one vector, the odd ones in another. Low nibbles are a block's first unit. */
KERN_INLINE chunk load_q4_0(const uint8_t *b) {
    chunk c;
    vb even = vb_load_lanes(b + 2, 36), odd = vb_load_lanes(b + 20, 36);
    c.q[0] = vb_low(even);
    c.q[1] = vb_high(even);
    c.q[2] = vb_low(odd);
    c.q[3] = vb_high(odd);
    c.scale = c.min = vf_halves(b, 18);
    return c;
}

KERN_INLINE chunk load_q8_0(const uint8_t *b) {
    chunk c;
    vb sign = vb_set(0x80);
    c.q[0] = vb_xor(vb_load_lanes(b + 2, 68), sign);
    c.q[1] = vb_xor(vb_load_lanes(b + 18, 68), sign);
    c.q[2] = vb_xor(vb_load_lanes(b + 36, 68), sign);
    c.q[3] = vb_xor(vb_load_lanes(b + 52, 68), sign);
    c.scale = c.min = vf_halves(b, 34);
    return c;
}

/* 32 bytes have the units of a lane: low nibbles 0 and 1, high nibbles 2 and 3. */
KERN_INLINE void load_nibbles(const uint8_t *b, vb q[4]) {
    vb first, second;
    vb_load_split(b, &first, &second);
    q[0] = vb_low(first);
    q[1] = vb_low(second);
    q[2] = vb_high(first);
    q[3] = vb_high(second);
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

#endif
