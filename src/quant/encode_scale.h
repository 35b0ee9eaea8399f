/* encode_scale.h: blocks of 32 weights with one half as scale: Q4_0 and others; encode_q8.h has Q8_0.
 *
 * A lane tries many scales and keeps the one of the smallest weighted squared error. At eight bits the error of a block
 * is mostly chance, so that the best of some scales near the largest one is well below the usual; at four it pays to
 * clip the largest weight, or to turn the sign of the scale. The layouts are in quant_unpack.h.
 */
#ifndef LEAT_ENCODE_SCALE_H
#define LEAT_ENCODE_SCALE_H

#include "quant/encode_q8.h"

/* ---- few bits --------------------------------------------------------------------------------------- */

typedef void write_block(uint8_t *to, const float *x, float inverse);

/* Blocks with a half in front, each a group. kinds: without and with importance, which makes other roundings worth a
 * try, since it may be that the peak does not matter. */
static void encode_scaled(const scale_kind kinds[2], write_block *write, size_t bytes, const float *x,
                          const float *importance, uint8_t *to, size_t n) {
    batch b;
    int32_t halves[BATCH_GROUPS];
    const scale_kind *kind = &kinds[importance != NULL];
    size_t step = kind->len * BATCH_GROUPS;
    for (size_t at = 0; at < n; at += step) {
        size_t n_here = MIN(n - at, step);
        batch_load(&b, x + at, importance ? importance + at : NULL, n_here, kind->len, 1, FAVOUR_NONE);
        fit_halves(kind, &b, halves);
        for (size_t g = 0; g < n_here / kind->len; g++, to += bytes) {
            store_u16(to, (uint16_t)halves[g]);
            write(to + 2, x + at + kind->len * g, inverse_of(f32_of_f16((uint16_t)halves[g])));
        }
    }
}

static void write_q4_0(uint8_t *to, const float *x, float inverse) {
    int8_t q[32];
    round_group(x, 32, inverse, -8, 7, 8, q);
    pack_nibbles(to, q);
}

static void encode_q4_0(const float *x, const float *importance, void *blocks, size_t n) {
    static const scale_kind kinds[2] = {
        {.to = ROUND_EVENLY, .low = -8, .high = 7, .len = 32, .from = -9.2f, .step = 0.2f, .n_fits = 16, .n_sides = 1},
        {.to = ROUND_EVENLY, .low = -8, .high = 7, .len = 32, .from = -12, .step = 0.4f, .n_fits = 16, .n_sides = 2},
    };
    encode_scaled(kinds, write_q4_0, 18, x, importance, blocks, n);
}

static void write_q5_0(uint8_t *to, const float *x, float inverse) {
    int8_t q[32];
    round_group(x, 32, inverse, -16, 15, 16, q);
    pack_five_bits(to, q);
}

static void encode_q5_0(const float *x, const float *importance, void *blocks, size_t n) {
    static const scale_kind kinds[2] = {
        {.to = ROUND_EVENLY, .low = -16, .high = 15, .len = 32, .from = -17, .step = 0.2f, .n_fits = 16, .n_sides = 1},
        {.to = ROUND_EVENLY, .low = -16, .high = 15, .len = 32, .from = -20, .step = 0.4f, .n_fits = 16, .n_sides = 2},
    };
    encode_scaled(kinds, write_q5_0, 22, x, importance, blocks, n);
}

static void write_iq4_nl(uint8_t *to, const float *x, float inverse) {
    int8_t q[32];
    round_group_iq4(x, 32, inverse, q);
    pack_nibbles(to, q);
}

static void encode_iq4_nl(const float *x, const float *importance, void *blocks, size_t n) {
    static const scale_kind kinds[2] = {
        {.to = ROUND_IQ4, .low = -127, .high = 113, .len = 32, .from = -150, .step = 4, .n_fits = 12, .n_sides = 2},
        {.to = ROUND_IQ4, .low = -127, .high = 113, .len = 32, .from = -190, .step = 8, .n_fits = 12, .n_sides = 2},
    };
    encode_scaled(kinds, write_iq4_nl, 18, x, importance, blocks, n);
}

static void write_q2_0(uint8_t *to, const float *x, float inverse) {
    int8_t q[64];
    round_group(x, 64, inverse, -1, 2, 1, q);
    for (size_t i = 0; i < 16; i++)
        to[i] = (uint8_t)(q[4 * i] | q[4 * i + 1] << 2 | q[4 * i + 2] << 4 | q[4 * i + 3] << 6);
}

/* The low side is the shorter one here. */
static void encode_q2_0(const float *x, const float *importance, void *blocks, size_t n) {
    static const scale_kind kinds[2] = {
        {.to = ROUND_EVENLY, .low = -1, .high = 2, .len = 64, .from = -3.2f, .step = 0.2f, .n_fits = 16, .n_sides = 2},
        {.to = ROUND_EVENLY, .low = -1, .high = 2, .len = 64, .from = -6, .step = 0.25f, .n_fits = 24, .n_sides = 2},
    };
    encode_scaled(kinds, write_q2_0, 18, x, importance, blocks, n);
}

/* Signs and one scale: the best is the weighted mean of the magnitudes. */
static void encode_q1_0(const float *x, const float *importance, void *blocks, size_t n) {
    uint8_t *to = blocks;
    batch b;
    for (size_t at = 0; at < n; at += 128, to += 18) {
        _Alignas(64) float xw[BATCH_GROUPS], sw[BATCH_GROUPS];
        batch_load(&b, x + at, importance ? importance + at : NULL, 128, 8, BATCH_GROUPS, FAVOUR_NONE);
        EACH_LANE(l) {
            vf sum = {0}, sum_w = {0};
            for (size_t i = 0; i < 8; i++) {
                vf w = vf_load(&b.w[i][l]);
                sum += w * vf_abs(vf_load(&b.x[i][l]));
                sum_w += w;
            }
            vf_store(&xw[l], sum);
            vf_store(&sw[l], sum_w);
        }
        float scale = block_sum(xw, BATCH_GROUPS) / block_sum(sw, BATCH_GROUPS) * b.unit[0];
        store_u16(to, f16_of_f32(MIN(scale, 65504.0f)));
        for (size_t i = 0; i < 16; i++) {
            uint32_t bits = 0;
            for (size_t k = 0; k < 8; k++) bits |= (uint32_t)(x[at + 8 * i + k] >= 0) << k;
            to[2 + i] = (uint8_t)bits;
        }
    }
}

#endif
