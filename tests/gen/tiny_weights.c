/* tiny_weights.c: random weights of every tensor type.
 *
 * A block of a quantised type is random bytes with its scales set: most bit patterns are what an encoder could have
 * written, and the few that are not (a fifth value in a ternary type, -128 in Q8_0) are put right. Offsets belong to
 * their scales, so that the weights of a group have a mean near zero, as in a real model.
 */
#include "gen/tiny.h"

#include <stdlib.h>
#include <string.h>

double tiny_normal(rng *r) {
    uint64_t a = rng_u64(r), b = rng_u64(r);
    int64_t sum = -4 * 65535;
    for (int i = 0; i < 64; i += 16) sum += (int64_t)(a >> i & 0xFFFF) + (int64_t)(b >> i & 0xFFFF);
    return (double)sum / 53509.8; /* eight uniforms of 16 bits deviate by 65536 * sqrt(8 / 12) together */
}

static uint32_t below(rng *r, uint32_t n) { return (uint32_t)(rng_u64(r) >> 32) % n; }

static void put_half(uint8_t *at, double v) { store_u16(at, f16_of_f32((float)v)); }

/* Root of the mean square of a weight when the scale is 1, over the blocks that fill_block makes: measured once, and
 * constants since, so that the files never change. */
static const double units[QUANT_ID_MAX] = {
    [QUANT_Q1_0] = 1.01,    [QUANT_Q2_0] = 1.24,   [QUANT_Q4_0] = 4.69,   [QUANT_Q4_1] = 4.66,   [QUANT_Q5_0] = 9.34,
    [QUANT_Q5_1] = 9.33,    [QUANT_Q8_0] = 74.6,   [QUANT_Q2_K] = 9.96,   [QUANT_Q3_K] = 43.8,   [QUANT_Q4_K] = 202,
    [QUANT_Q5_K] = 405,     [QUANT_Q6_K] = 1600,   [QUANT_IQ1_S] = 7.28,  [QUANT_IQ1_M] = 7.27,  [QUANT_IQ2_XXS] = 53.9,
    [QUANT_IQ2_XS] = 56.7,  [QUANT_IQ2_S] = 57.0,  [QUANT_IQ3_XXS] = 144, [QUANT_IQ3_S] = 142,   [QUANT_IQ4_NL] = 68.2,
    [QUANT_IQ4_XS] = 1259,  [QUANT_TQ1_0] = 0.825, [QUANT_TQ2_0] = 0.824, [QUANT_MXFP4] = 3.66,  [QUANT_NVFP4] = 5.72,
};

/* Twelve bytes of six-bit scales and offsets, as in Q4_K and Q5_K: scales of 20 to 63, each offset near its scale. */
static void put_six_bits(rng *r, uint8_t *at) {
    uint8_t scale[8], min[8];
    for (int i = 0; i < 8; i++) {
        scale[i] = (uint8_t)(20 + below(r, 44));
        uint32_t m = scale[i] + below(r, 5) - 2;
        min[i] = (uint8_t)(m > 63 ? 63 : m);
    }
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(scale[i] | (scale[i + 4] >> 4) << 6);
        at[i + 4] = (uint8_t)(min[i] | (min[i + 4] >> 4) << 6);
        at[i + 8] = (uint8_t)((scale[i + 4] & 15) | (min[i + 4] & 15) << 4);
    }
}

/* n bytes of n_digits ternary digits each, as TQ1_0 packs them. */
static void put_ternary(rng *r, uint8_t *at, size_t n, int n_digits) {
    for (size_t i = 0; i < n; i++) {
        uint32_t v = 0;
        for (int k = 0; k < 5; k++) v = 3 * v + (k < n_digits ? below(r, 3) : 0);
        at[i] = (uint8_t)((v * 256 + 242) / 243);
    }
}

/* The code of the unsigned E4M3 scale nearest below v. */
static uint8_t ue4m3_of(double v) {
    uint8_t best = 1;
    for (int code = 1; code < 0x7F; code++) {
        int exponent = code >> 3, mantissa = code & 7;
        double value = exponent ? 1 + mantissa / 8.0 : mantissa / 8.0;
        for (int i = exponent ? exponent : 1; i < 7; i++) value /= 2;
        for (int i = 7; i < exponent; i++) value *= 2;
        if (value <= v) best = (uint8_t)code;
    }
    return best;
}

/* The block with scale d (for a type with scales of scales, d is the outermost). */
static void fill_block(rng *r, const quant_type *t, uint8_t *b, double d) {
    for (uint32_t i = 0; i < t->block_bytes; i++) b[i] = (uint8_t)(rng_u64(r) >> 56);
    switch (t->id) {
    case QUANT_Q2_0: /* where the levels are not even around zero, the scale's sign is */
    case QUANT_Q4_0:
    case QUANT_Q5_0:
    case QUANT_IQ4_NL: put_half(b, rng_u64(r) >> 63 ? d : -d); break;
    case QUANT_Q4_1:
        put_half(b, d);
        put_half(b + 2, -7.5 * d);
        break;
    case QUANT_Q5_1:
        put_half(b, d);
        put_half(b + 2, -15.5 * d);
        break;
    case QUANT_Q8_0:
        put_half(b, d);
        for (int i = 2; i < 34; i++) b[i] = b[i] == 0x80 ? 0x81 : b[i];
        break;
    case QUANT_Q2_K:
        for (int i = 0; i < 16; i++) b[i] = (uint8_t)((b[i] & 15) | (b[i] & 15) << 4);
        put_half(b + 80, d);
        put_half(b + 82, 1.5 * d);
        break;
    case QUANT_Q3_K: put_half(b + 108, d); break;
    case QUANT_Q4_K:
    case QUANT_Q5_K:
        put_six_bits(r, b + 4);
        put_half(b, d);
        put_half(b + 2, t->id == QUANT_Q4_K ? 7.5 * d : 15.5 * d);
        break;
    case QUANT_Q6_K:
        for (int i = 192; i < 208; i++) b[i] = (uint8_t)(b[i] & 0x80 ? -(int)(b[i] % 88 + 40) : b[i] % 88 + 40);
        put_half(b + 208, d);
        break;
    case QUANT_TQ1_0:
        put_ternary(r, b, 48, 5);
        put_ternary(r, b + 48, 4, 4);
        put_half(b + 52, d);
        break;
    case QUANT_TQ2_0:
        memset(b, 0, 64);
        for (int i = 0; i < 256; i++) b[i / 4] = (uint8_t)(b[i / 4] | below(r, 3) << 2 * (i % 4));
        put_half(b + 64, d);
        break;
    case QUANT_IQ1_M: {
        uint16_t half = f16_of_f32((float)d);
        for (int i = 0; i < 4; i++) b[49 + 2 * i] = (uint8_t)((b[49 + 2 * i] & 0x0F) | (half >> 4 * i & 15) << 4);
        break;
    }
    case QUANT_MXFP4: { /* the power of two at d or the one below */
        int e = 128;
        while (d < 1 && e > 2) d *= 2, e--;
        while (d >= 2 && e < 254) d /= 2, e++;
        b[0] = (uint8_t)(e - (int)(b[0] & 1));
        break;
    }
    case QUANT_NVFP4:
        for (int i = 0; i < 4; i++) b[i] = ue4m3_of(2 * d * (0.75 + 0.5 * rng_unit(r)));
        break;
    default: put_half(b, d); break; /* Q1_0, IQ4_XS and the grid types: the half comes first */
    }
}

void tiny_weights(rng *r, const quant_type *t, void *to, size_t n, double deviation) {
    for (size_t i = 0; t->block_len == 1 && i < n; i++) {
        float v = (float)(deviation * tiny_normal(r));
        switch (t->id) {
        case QUANT_F16: store_u16((uint8_t *)to + 2 * i, f16_of_f32(v)); break;
        case QUANT_BF16: store_u16((uint8_t *)to + 2 * i, bf16_of_f32(v)); break;
        case QUANT_F64: ((double *)to)[i] = (double)v; break;
        default: ((float *)to)[i] = v; break;
        }
    }
    if (t->block_len == 1) return;
    double d = deviation / units[t->id];
    for (size_t i = 0; i < n / t->block_len; i++)
        fill_block(r, t, (uint8_t *)to + i * t->block_bytes, d * (0.75 + 0.5 * rng_unit(r)));
}
