/* quant_unpack.h: what the bytes of each quantised type mean, a block at a time.
 *
 * This is a template. The includer first provides two primitives, from quant_scalar.h or from its own instruction set:
 *     float quant_half(const void *p)
 *         the half at p, exactly;
 *     void quant_lookup(const int8_t table[16], const uint8_t nibbles[16], int8_t low[16], int8_t high[16])
 *         the table's values for 16 low and 16 high nibbles;
 * and receives quant_unpack_<type>(blocks, out, n) for every quantised type, each as the table of quant.h describes
 * it, compiled for the includer's instruction set. Nothing here branches on the data; loops have constant counts, so
 * that compilers vectorise them.
 *
 * quant_block_<type>(b, q, scale[, min]) reads one block: integers to q, one scale (and offset) per 16 weights.
 * The comments give offset, bytes and meaning of each field. What is wider than a byte is little-endian; a half is an
 * IEEE binary16; nibbles go low before high. The blocks are those of ggml (MIT licence), which defines them for GGUF.
 * Next: quant_grids.c (the codebooks), quant.c (the table).
 */
#ifndef LEAT_QUANT_UNPACK_H
#define LEAT_QUANT_UNPACK_H

#include "quant/quant_grids.h"
#include "quant/quant.h"

/* ---- tools ----------------------------------------------------------------------------------------- */

static inline void quant_repeat(float *restrict at, float value, size_t n) {
    for (size_t i = 0; i < n; i++) at[i] = value;
}

/* Takes plus off each byte of eight that are below 128. */
static inline uint64_t quant_less(uint64_t bytes, uint8_t plus) {
    return (bytes + (0x80u - plus) * 0x0101010101010101u) ^ 0x8080808080808080u;
}

/* 16 bytes of nibbles: the low ones are weights 0..15, the high ones 16..31; plus is taken off. */
static inline void quant_nibbles(const uint8_t *restrict b, uint8_t plus, int8_t *restrict q) {
    for (size_t i = 0; i < 2; i++) {
        uint64_t v = load_u64(b + 8 * i);
        store_u64(q + 8 * i, quant_less(v & 0x0f0f0f0f0f0f0f0fu, plus));
        store_u64(q + 8 * i + 16, quant_less(v >> 4 & 0x0f0f0f0f0f0f0f0fu, plus));
    }
}

/* Bit i of the byte becomes byte i of the result, 0 or 1. */
static inline uint64_t quant_spread(uint8_t bits) {
    uint64_t one_each = (bits * 0x0101010101010101u) & 0x8040201008040201u;
    return ((one_each + 0x7f7f7f7f7f7f7f7fu) >> 7) & 0x0101010101010101u;
}

/* Negates byte i of eight where bit i of signs is set. No byte may be zero: its negation would carry. */
static inline uint64_t quant_negate(uint64_t bytes, uint8_t signs) {
    uint64_t m = quant_spread(signs);
    return (bytes ^ (m * 255)) + m;
}

/* Adds 1 to each byte of an entry of quant_grid_iq1, or takes 1 off where down is 1. The entry is 127 too high, so that
 * no byte carries or borrows. */
static inline uint64_t quant_shift_iq1(uint64_t entry, uint64_t down) {
    return (entry + (1 - down) * 0x0202020202020202u) ^ 0x8080808080808080u;
}

/* The eight scales and eight offsets of six bits that Q4_K and Q5_K pack in twelve bytes. */
static inline void quant_six_bits(const uint8_t *restrict b, uint8_t *restrict scales, uint8_t *restrict mins) {
    uint32_t low_scales = load_u32(b), low_mins = load_u32(b + 4), high = load_u32(b + 8);
    store_u32(scales, low_scales & 0x3f3f3f3f);
    store_u32(mins, low_mins & 0x3f3f3f3f);
    store_u32(scales + 4, (high & 0x0f0f0f0f) | ((low_scales >> 2) & 0x30303030));
    store_u32(mins + 4, (high >> 4 & 0x0f0f0f0f) | ((low_mins >> 2) & 0x30303030));
}

/* ---- blocks of 32, 64 and 128 ---------------------------------------------------------------------- */

/* Q1_0: 128 weights.
 *       0    2  half: scale
 *       2   16  a bit each: 1 is +1, 0 is -1 */
static inline void quant_block_q1_0(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    quant_repeat(scale, quant_half(b), 8);
    for (size_t i = 0; i < 16; i++) store_u64(q + 8 * i, ~(quant_spread(b[2 + i]) * 0xfe));
}

/* Q2_0: 64 weights.
 *       0    2  half: scale
 *       2   16  two bits each plus 1, four neighbours a byte */
static inline void quant_block_q2_0(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    quant_repeat(scale, quant_half(b), 4);
    for (size_t i = 0; i < 16; i++) {
        uint32_t v = b[2 + i];
        store_u32(q + 4 * i, (((v | v << 6 | v << 12 | v << 18) & 0x03030303) + 0x7f7f7f7f) ^ 0x80808080);
    }
}

/* Q4_0: 32 weights.
 *       0    2  half: scale
 *       2   16  nibbles plus 8 */
static inline void quant_block_q4_0(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    quant_repeat(scale, quant_half(b), 2);
    quant_nibbles(b + 2, 8, q);
}

/* Q4_1: 32 weights.
 *       0    2  half: scale
 *       2    2  half: what is added to each weight
 *       4   16  nibbles */
static inline void quant_block_q4_1(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale,
                                    float *restrict min) {
    quant_repeat(scale, quant_half(b), 2);
    quant_repeat(min, -quant_half(b + 2), 2);
    quant_nibbles(b + 4, 0, q);
}

/* 4 bytes of fifth bits, then 16 of nibbles, as Q5_0 and Q5_1 have them. */
static inline void quant_five_bits(const uint8_t *restrict b, uint8_t plus, int8_t *restrict q) {
    for (size_t i = 0; i < 2; i++) {
        uint64_t v = load_u64(b + 4 + 8 * i);
        uint64_t low = (v & 0x0f0f0f0f0f0f0f0fu) | quant_spread(b[i]) << 4;
        uint64_t high = (v >> 4 & 0x0f0f0f0f0f0f0f0fu) | quant_spread(b[i + 2]) << 4;
        store_u64(q + 8 * i, quant_less(low, plus));
        store_u64(q + 8 * i + 16, quant_less(high, plus));
    }
}

/* Q5_0: 32 weights.
 *       0    2  half: scale
 *       2    4  fifth bits
 *       6   16  nibbles; the five bits are plus 16 */
static inline void quant_block_q5_0(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    quant_repeat(scale, quant_half(b), 2);
    quant_five_bits(b + 2, 16, q);
}

/* Q5_1: 32 weights.
 *       0    2  half: scale
 *       2    2  half: what is added to each weight
 *       4    4  fifth bits
 *       8   16  nibbles */
static inline void quant_block_q5_1(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale,
                                    float *restrict min) {
    quant_repeat(scale, quant_half(b), 2);
    quant_repeat(min, -quant_half(b + 2), 2);
    quant_five_bits(b + 4, 0, q);
}

/* Q8_0: 32 weights.
 *       0    2  half: scale
 *       2   32  signed bytes */
static inline void quant_block_q8_0(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    quant_repeat(scale, quant_half(b), 2);
    memcpy(q, b + 2, 32);
}

/* IQ4_NL: 32 weights.
 *       0    2  half: scale
 *       2   16  nibbles: indices into quant_values_iq4 */
static inline void quant_block_iq4_nl(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    quant_repeat(scale, quant_half(b), 2);
    quant_lookup(quant_values_iq4, b + 2, q, q + 16);
}

/* MXFP4 (OCP Microscaling Formats, 2023): 32 weights.
 *       0    1  E8M0, a power of two: scale
 *       1   16  nibbles: E2M1 floats
 * The table of E2M1 holds doubled values, so the scale is half of 2^(e - 127): subnormal for e < 2. */
static inline void quant_block_mxfp4(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    uint32_t e = b[0];
    quant_repeat(scale, f32_of_bits(e < 2 ? 0x200000u << e : (e - 1) << 23), 2);
    quant_lookup(quant_values_fp4, b + 1, q, q + 16);
}

/* NVFP4: 64 weights in groups of 16.
 *       0    4  E4M3 floats without sign, 0x7f counting as zero: scale of each group
 *       4   32  nibbles: E2M1 floats; 8 bytes a group, the low ones first
 * Doubled values and half scales, as in MXFP4. */
static inline void quant_block_nvfp4(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    for (size_t i = 0; i < 4; i++) {
        uint32_t e = b[i] >> 3 & 15, m = b[i] & 7;
        float normal = f32_of_bits((e + 119) << 23 | m << 20), subnormal = (float)m * (1.0f / 1024);
        scale[i] = b[i] == 0x7f ? 0.0f : e == 0 ? subnormal : normal;
    }
    int8_t low[32], high[32];
    for (size_t i = 0; i < 2; i++) quant_lookup(quant_values_fp4, b + 4 + 16 * i, low + 16 * i, high + 16 * i);
    for (size_t i = 0; i < 4; i++) {
        memcpy(q + 16 * i, low + 8 * i, 8);
        memcpy(q + 16 * i + 8, high + 8 * i, 8);
    }
}

/* ---- K types: 256 weights ---------------------------------------------------------------------------- */

/* Q2_K: 256 weights in groups of 16.
 *       0   16  scale (low nibble) and offset (high nibble) of each group
 *      16   64  two bits each: of 32 bytes, bits 0-1 are 32 weights, bits 2-3 the next 32 ...
 *      80    2  half: scale of the scales
 *      82    2  half: scale of the offsets */
static inline void quant_block_q2_k(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale,
                                    float *restrict min) {
    float d = quant_half(b + 80), d_min = quant_half(b + 82);
    for (size_t i = 0; i < 16; i++) {
        scale[i] = d * (float)(b[i] & 15);
        min[i] = d_min * (float)(b[i] >> 4);
    }
    for (size_t half = 0; half < 2; half++)
        for (size_t i = 0; i < 32; i++) {
            uint8_t v = b[16 + 32 * half + i];
            int8_t *to = q + 128 * half + i;
            to[0] = (int8_t)(v & 3);
            to[32] = (int8_t)(v >> 2 & 3);
            to[64] = (int8_t)(v >> 4 & 3);
            to[96] = (int8_t)(v >> 6);
        }
}

/* Q3_K: 256 weights in groups of 16.
 *       0   32  third bits: bit k of byte i belongs to weight 32 k + i
 *      32   64  low two bits, placed as in Q2_K; the three bits are plus 4
 *      96   12  16 scales of six bits plus 32: the low nibbles in 8 bytes, then the high pairs
 *     108    2  half: scale of the scales */
static inline void quant_block_q3_k(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    uint32_t low_a = load_u32(b + 96), low_b = load_u32(b + 100), high = load_u32(b + 104);
    uint8_t scales[16];
    store_u32(scales, (low_a & 0x0f0f0f0f) | (high << 4 & 0x30303030));
    store_u32(scales + 4, (low_b & 0x0f0f0f0f) | (high << 2 & 0x30303030));
    store_u32(scales + 8, (low_a >> 4 & 0x0f0f0f0f) | (high & 0x30303030));
    store_u32(scales + 12, (low_b >> 4 & 0x0f0f0f0f) | (high >> 2 & 0x30303030));
    float d = quant_half(b + 108);
    for (size_t i = 0; i < 16; i++) scale[i] = d * (float)(scales[i] - 32);
    for (size_t half = 0; half < 2; half++)
        for (size_t i = 0; i < 32; i++) {
            uint8_t v = b[32 + 32 * half + i], third = (uint8_t)(b[i] >> 4 * half);
            int8_t *to = q + 128 * half + i;
            to[0] = (int8_t)(((v & 3) | (third << 2 & 4)) - 4);
            to[32] = (int8_t)(((v >> 2 & 3) | (third << 1 & 4)) - 4);
            to[64] = (int8_t)(((v >> 4 & 3) | (third & 4)) - 4);
            to[96] = (int8_t)(((v >> 6) | (third >> 1 & 4)) - 4);
        }
}

/* Q4_K: 256 weights in groups of 32.
 *       0    2  half: scale of the scales
 *       2    2  half: scale of the offsets
 *       4   12  scales and offsets of six bits (quant_six_bits)
 *      16  128  nibbles: of 32 bytes, the low ones are a group, the high ones the next */
static inline void quant_block_q4_k(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale,
                                    float *restrict min) {
    uint8_t scales[8], mins[8];
    quant_six_bits(b + 4, scales, mins);
    float d = quant_half(b), d_min = quant_half(b + 2);
    for (size_t i = 0; i < 8; i++) {
        scale[2 * i] = scale[2 * i + 1] = d * (float)scales[i];
        min[2 * i] = min[2 * i + 1] = d_min * (float)mins[i];
    }
    for (size_t pair = 0; pair < 4; pair++)
        for (size_t i = 0; i < 32; i++) {
            uint8_t v = b[16 + 32 * pair + i];
            q[64 * pair + i] = (int8_t)(v & 15);
            q[64 * pair + 32 + i] = (int8_t)(v >> 4);
        }
}

/* Q5_K: 256 weights in groups of 32.
 *       0   16  as in Q4_K
 *      16   32  fifth bits: bit k of byte i belongs to weight 32 k + i
 *      48  128  nibbles as in Q4_K */
static inline void quant_block_q5_k(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale,
                                    float *restrict min) {
    uint8_t scales[8], mins[8];
    quant_six_bits(b + 4, scales, mins);
    float d = quant_half(b), d_min = quant_half(b + 2);
    for (size_t i = 0; i < 8; i++) {
        scale[2 * i] = scale[2 * i + 1] = d * (float)scales[i];
        min[2 * i] = min[2 * i + 1] = d_min * (float)mins[i];
    }
    for (size_t pair = 0; pair < 4; pair++)
        for (size_t i = 0; i < 32; i++) {
            uint8_t v = b[48 + 32 * pair + i], fifth = (uint8_t)(b[16 + i] >> 2 * pair);
            q[64 * pair + i] = (int8_t)((v & 15) | (fifth << 4 & 16));
            q[64 * pair + 32 + i] = (int8_t)((v >> 4) | (fifth << 3 & 16));
        }
}

/* Q6_K: 256 weights in groups of 16.
 *       0  128  low nibbles
 *     128   64  high pairs; the six bits are plus 32
 *     192   16  signed bytes: scale of each group
 *     208    2  half: scale of the scales
 * 64 bytes of nibbles and 32 of pairs hold 128 weights: 0-31 are the low nibbles of bytes 0-31 and bits 0-1, 32-63
 * those of bytes 32-63 and bits 2-3, 64-95 the high nibbles of bytes 0-31 and bits 4-5, 96-127 the rest. */
static inline void quant_block_q6_k(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    float d = quant_half(b + 208);
    for (size_t i = 0; i < 16; i++) scale[i] = d * (float)(int8_t)b[192 + i];
    for (size_t half = 0; half < 2; half++)
        for (size_t i = 0; i < 32; i++) {
            uint8_t v = b[64 * half + i], w = b[64 * half + 32 + i], high = b[128 + 32 * half + i];
            int8_t *to = q + 128 * half + i;
            to[0] = (int8_t)(((v & 15) | (high << 4 & 0x30)) - 32);
            to[32] = (int8_t)(((w & 15) | (high << 2 & 0x30)) - 32);
            to[64] = (int8_t)(((v >> 4) | (high & 0x30)) - 32);
            to[96] = (int8_t)(((w >> 4) | (high >> 2 & 0x30)) - 32);
        }
}

/* ---- ternary types: 256 weights ------------------------------------------------------------------------ */

/* n bytes of ternary digits to q, in rows of n. A byte is a fraction of 256 in base 3: times 3^k (mod 256) moves digit
 * k to the top, times 3 again lifts it over the byte. The digits are plus 1. */
static inline void quant_ternary(const uint8_t *restrict b, size_t n, size_t n_digits, int8_t *restrict q) {
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    for (size_t k = 0; k < n_digits; k++)
        for (size_t i = 0; i < n; i++) q[n * k + i] = (int8_t)(((uint8_t)(b[i] * power[k]) * 3 >> 8) - 1);
}

/* TQ1_0: 256 weights.
 *       0   32  five digits each: weights 0-159
 *      32   16  five digits each: weights 160-239
 *      48    4  four digits each: weights 240-255
 *      52    2  half: scale */
static inline void quant_block_tq1_0(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    quant_repeat(scale, quant_half(b + 52), 16);
    quant_ternary(b, 32, 5, q);
    quant_ternary(b + 32, 16, 5, q + 160);
    quant_ternary(b + 48, 4, 4, q + 240);
}

/* TQ2_0: 256 weights.
 *       0   64  two bits each plus 1, placed as in Q2_K
 *      64    2  half: scale */
static inline void quant_block_tq2_0(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    quant_repeat(scale, quant_half(b + 64), 16);
    for (size_t half = 0; half < 2; half++)
        for (size_t i = 0; i < 32; i++) {
            uint8_t v = b[32 * half + i];
            int8_t *to = q + 128 * half + i;
            to[0] = (int8_t)((v & 3) - 1);
            to[32] = (int8_t)((v >> 2 & 3) - 1);
            to[64] = (int8_t)((v >> 4 & 3) - 1);
            to[96] = (int8_t)((v >> 6) - 1);
        }
}

/* ---- grid types: 256 weights in groups of 32; indices into codebooks ------------------------------------ */

/* IQ1_S: 256 weights in groups of 32.
 *       0    2  half: scale of the scales
 *       2   32  indices of 8 weights, low 8 bits
 *      34   16  u16 a group: bits 3k..3k+2 are the high bits of index k, 12-14 the scale, 15 the sign of the shift
 * A weight is scale * (grid +- 1/8): here (8 grid +- 1) * (scale / 8). */
static inline void quant_block_iq1_s(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    float d = quant_half(b);
    for (size_t g = 0; g < 8; g++) {
        uint32_t h = load_u16(b + 34 + 2 * g);
        quant_repeat(scale + 2 * g, d * (float)(2 * (h >> 12 & 7) + 1) * 0.125f, 2);
        for (size_t k = 0; k < 4; k++) {
            uint64_t grid = quant_grid_iq1[b[2 + 4 * g + k] | (h >> 3 * k & 7) << 8];
            store_u64(q + 32 * g + 8 * k, quant_shift_iq1(grid, h >> 15));
        }
    }
}

/* IQ1_M: 256 weights in groups of 16.
 *       0   32  indices of 8 weights, low 8 bits
 *      32   16  a nibble an index: its high bits 0-2, the sign of its shift
 *      48    8  four u16: each four scales of 3 bits, and in its top nibble a part of the half that scales them */
static inline void quant_block_iq1_m(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    uint64_t s = load_u64(b + 48);
    uint16_t half = (uint16_t)((s >> 12 & 0xf) | (s >> 24 & 0xf0) | (s >> 36 & 0xf00) | (s >> 48 & 0xf000));
    float d = quant_half(&half);
    for (size_t i = 0; i < 16; i++) scale[i] = d * (float)(2 * (s >> (16 * (i / 4) + 3 * (i % 4)) & 7) + 1) * 0.125f;
    for (size_t i = 0; i < 16; i++) {
        uint32_t h = b[32 + i];
        store_u64(q + 16 * i, quant_shift_iq1(quant_grid_iq1[b[2 * i] | (h & 7) << 8], h >> 3 & 1));
        store_u64(q + 16 * i + 8, quant_shift_iq1(quant_grid_iq1[b[2 * i + 1] | (h & 0x70) << 4], h >> 7));
    }
}

/* IQ2_XXS: 256 weights in groups of 32.
 *       0    2  half: scale of the scales
 *       2   64  8 bytes a group: four indices of 8 weights, then a u32 of four times 7 signs and 4 bits of scale */
static inline void quant_block_iq2_xxs(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    float d = quant_half(b);
    for (size_t g = 0; g < 8; g++) {
        const uint8_t *at = b + 2 + 8 * g;
        uint32_t s = load_u32(at + 4);
        quant_repeat(scale + 2 * g, d * (0.5f + (float)(s >> 28)) * 0.25f, 2);
        for (size_t k = 0; k < 4; k++)
            store_u64(q + 32 * g + 8 * k, quant_negate(quant_grid_iq2_xxs[at[k]], quant_signs[s >> 7 * k & 127]));
    }
}

/* IQ2_XS: 256 weights in groups of 16.
 *       0    2  half: scale of the scales
 *       2   64  u16 for 8 weights: 9 bits of index, 7 signs
 *      66    8  nibbles: scale of each group */
static inline void quant_block_iq2_xs(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    float d = quant_half(b);
    for (size_t g = 0; g < 8; g++) {
        scale[2 * g] = d * (0.5f + (float)(b[66 + g] & 15)) * 0.25f;
        scale[2 * g + 1] = d * (0.5f + (float)(b[66 + g] >> 4)) * 0.25f;
    }
    for (size_t g = 0; g < 8; g++)
        for (size_t k = 0; k < 4; k++) {
            uint32_t v = load_u16(b + 2 + 8 * g + 2 * k);
            store_u64(q + 32 * g + 8 * k, quant_negate(quant_grid_iq2_xs[v & 511], quant_signs[v >> 9]));
        }
}

/* IQ2_S: 256 weights in groups of 16.
 *       0    2  half: scale of the scales
 *       2   32  indices of 8 weights, low 8 bits
 *      34   32  signs
 *      66    8  high pairs of the indices
 *      74    8  nibbles: scale of each group */
static inline void quant_block_iq2_s(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    float d = quant_half(b);
    for (size_t g = 0; g < 8; g++) {
        scale[2 * g] = d * (0.5f + (float)(b[74 + g] & 15)) * 0.25f;
        scale[2 * g + 1] = d * (0.5f + (float)(b[74 + g] >> 4)) * 0.25f;
    }
    for (size_t g = 0; g < 8; g++)
        for (size_t k = 0; k < 4; k++) {
            uint32_t index = b[2 + 4 * g + k] | ((uint32_t)b[66 + g] >> 2 * k & 3) << 8;
            store_u64(q + 32 * g + 8 * k, quant_negate(quant_grid_iq2_s[index], b[34 + 4 * g + k]));
        }
}

/* IQ3_XXS: 256 weights in groups of 32.
 *       0    2  half: scale of the scales
 *       2   64  indices of 4 weights
 *      66   32  u32 a group: four times 7 signs and 4 bits of scale */
static inline void quant_block_iq3_xxs(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    float d = quant_half(b);
    for (size_t g = 0; g < 8; g++) {
        uint32_t s = load_u32(b + 66 + 4 * g);
        quant_repeat(scale + 2 * g, d * (0.5f + (float)(s >> 28)) * 0.5f, 2);
        for (size_t k = 0; k < 4; k++) {
            const uint8_t *at = b + 2 + 8 * g + 2 * k;
            uint64_t grid = quant_grid_iq3_xxs[at[0]] | (uint64_t)quant_grid_iq3_xxs[at[1]] << 32;
            store_u64(q + 32 * g + 8 * k, quant_negate(grid, quant_signs[s >> 7 * k & 127]));
        }
    }
}

/* IQ3_S: 256 weights in groups of 32.
 *       0    2  half: scale of the scales
 *       2   64  indices of 4 weights, low 8 bits
 *      66    8  ninth bits of the indices, a byte a group
 *      74   32  signs
 *     106    4  nibbles: scale of each group */
static inline void quant_block_iq3_s(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    float d = quant_half(b);
    for (size_t g = 0; g < 8; g++) {
        quant_repeat(scale + 2 * g, d * (float)(1 + 2 * (b[106 + g / 2] >> 4 * (g % 2) & 15)), 2);
        for (size_t k = 0; k < 4; k++) {
            const uint8_t *at = b + 2 + 8 * g + 2 * k;
            uint32_t ninth = (uint32_t)b[66 + g] >> 2 * k;
            uint64_t first = quant_grid_iq3_s[at[0] | (ninth & 1) << 8];
            uint64_t second = quant_grid_iq3_s[at[1] | (ninth & 2) << 7];
            store_u64(q + 32 * g + 8 * k, quant_negate(first | second << 32, b[74 + 4 * g + k]));
        }
    }
}

/* IQ4_XS: 256 weights in groups of 32.
 *       0    2  half: scale of the scales
 *       2    2  high pairs of the groups' scales
 *       4    4  low nibbles of them; the six bits are plus 32
 *       8  128  nibbles: indices into quant_values_iq4, 16 bytes a group */
static inline void quant_block_iq4_xs(const uint8_t *restrict b, int8_t *restrict q, float *restrict scale) {
    float d = quant_half(b);
    uint32_t high = load_u16(b + 2), low = load_u32(b + 4);
    for (size_t g = 0; g < 8; g++) {
        int s = (int)((low >> 4 * g & 15) | (high >> 2 * g & 3) << 4) - 32;
        quant_repeat(scale + 2 * g, d * (float)s, 2);
        quant_lookup(quant_values_iq4, b + 8 + 16 * g, q + 32 * g, q + 32 * g + 16);
    }
}

/* ---- up to 256 weights ------------------------------------------------------------------------------------ */

/* The quantised types, one row each: name in code, name as tools print it, weights and bytes a block; ROW_MIN where the
 * block has offsets. A new type is a row here and a quant_block_ function above. */
#define QUANT_PACKED_TYPES(ROW, ROW_MIN) \
    ROW(q1_0, Q1_0, 128, 18)             \
    ROW(q2_0, Q2_0, 64, 18)              \
    ROW(q4_0, Q4_0, 32, 18)              \
    ROW_MIN(q4_1, Q4_1, 32, 20)          \
    ROW(q5_0, Q5_0, 32, 22)              \
    ROW_MIN(q5_1, Q5_1, 32, 24)          \
    ROW(q8_0, Q8_0, 32, 34)              \
    ROW_MIN(q2_k, Q2_K, 256, 84)         \
    ROW(q3_k, Q3_K, 256, 110)            \
    ROW_MIN(q4_k, Q4_K, 256, 144)        \
    ROW_MIN(q5_k, Q5_K, 256, 176)        \
    ROW(q6_k, Q6_K, 256, 210)            \
    ROW(iq1_s, IQ1_S, 256, 50)           \
    ROW(iq1_m, IQ1_M, 256, 56)           \
    ROW(iq2_xxs, IQ2_XXS, 256, 66)       \
    ROW(iq2_xs, IQ2_XS, 256, 74)         \
    ROW(iq2_s, IQ2_S, 256, 82)           \
    ROW(iq3_xxs, IQ3_XXS, 256, 98)       \
    ROW(iq3_s, IQ3_S, 256, 110)          \
    ROW(iq4_nl, IQ4_NL, 32, 18)          \
    ROW(iq4_xs, IQ4_XS, 256, 136)        \
    ROW(tq1_0, TQ1_0, 256, 54)           \
    ROW(tq2_0, TQ2_0, 256, 66)           \
    ROW(mxfp4, MXFP4, 32, 17)            \
    ROW(nvfp4, NVFP4, 64, 36)

#define QUANT_UNPACK_BODY(len, bytes, ...)                                                              \
    const uint8_t *b = blocks;                                                                          \
    memset(out->min, 0, sizeof out->min);                                                               \
    for (size_t at = 0; at < n; at += (len), b += (bytes)) __VA_ARGS__;                                 \
    if (n < 256) {                                                                                      \
        memset(out->q + n, 0, 256 - n);                                                                 \
        memset(out->scale + n / 16, 0, (256 - n) / 16 * sizeof *out->scale);                            \
    }
#define QUANT_UNPACK(type, id, len, bytes)                                                              \
    static inline void quant_unpack_##type(const void *blocks, quant_unpacked *out, size_t n) {         \
        QUANT_UNPACK_BODY(len, bytes, quant_block_##type(b, out->q + at, out->scale + at / 16))         \
    }
#define QUANT_UNPACK_MIN(type, id, len, bytes)                                                          \
    static inline void quant_unpack_##type(const void *blocks, quant_unpacked *out, size_t n) {         \
        QUANT_UNPACK_BODY(len, bytes, quant_block_##type(b, out->q + at, out->scale + at / 16,          \
                                                         out->min + at / 16))                           \
    }
QUANT_PACKED_TYPES(QUANT_UNPACK, QUANT_UNPACK_MIN)
#undef QUANT_UNPACK
#undef QUANT_UNPACK_MIN
#undef QUANT_UNPACK_BODY

#endif
