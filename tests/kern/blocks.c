/* blocks.c: see blocks.h. */
#include "blocks.h"

static void random_floats(rng *r, const quant_type *t, uint8_t *b, size_t bytes) {
    for (size_t i = 0; i < bytes; i += t->block_bytes) {
        float v = 0.1f * rng_normal(r);
        double d = v;
        uint16_t half = t->id == QUANT_F16 ? f16_of_f32(v) : bf16_of_f32(v);
        memcpy(b + i, t->id == QUANT_F32 ? (void *)&v : t->id == QUANT_F64 ? (void *)&d : (void *)&half, t->block_bytes);
    }
}

/* Random bytes, then sane scales where a type has halves or exponents in its blocks. */
void blocks_random(rng *r, const quant_type *t, uint8_t *b, size_t bytes) {
    static const struct { quant_id id; int at, n; } halves[] = {
        {QUANT_Q4_0, 0, 1}, {QUANT_Q4_1, 0, 2}, {QUANT_Q5_0, 0, 1}, {QUANT_Q5_1, 0, 2}, {QUANT_Q8_0, 0, 1},
        {QUANT_Q2_K, 80, 2}, {QUANT_Q3_K, 108, 1}, {QUANT_Q4_K, 0, 2}, {QUANT_Q5_K, 0, 2}, {QUANT_Q6_K, 208, 1},
        {QUANT_IQ1_S, 0, 1}, {QUANT_IQ2_XXS, 0, 1}, {QUANT_IQ2_XS, 0, 1}, {QUANT_IQ2_S, 0, 1}, {QUANT_IQ3_XXS, 0, 1},
        {QUANT_IQ3_S, 0, 1}, {QUANT_IQ4_NL, 0, 1}, {QUANT_IQ4_XS, 0, 1}, {QUANT_TQ1_0, 52, 1}, {QUANT_TQ2_0, 64, 1},
        {QUANT_Q1_0, 0, 1}, {QUANT_Q2_0, 0, 1},
    };
    if (t->block_len == 1) {
        random_floats(r, t, b, bytes);
        return;
    }
    for (size_t i = 0; i < bytes; i++) b[i] = (uint8_t)rng_u64(r);
    for (size_t i = 0; i < bytes; i += t->block_bytes) {
        for (size_t h = 0; h < COUNT_OF(halves); h++)
            for (int n = 0; halves[h].id == t->id && n < halves[h].n; n++)
                store_u16(b + i + halves[h].at + 2 * n, f16_of_f32((float)(0.01 + 0.02 * rng_unit(r))));
        if (t->id == QUANT_MXFP4) b[i] = (uint8_t)(118 + rng_u64(r) % 8);
        if (t->id == QUANT_NVFP4)
            for (int n = 0; n < 4; n++) b[i + n] = (uint8_t)(40 + rng_u64(r) % 16);
        if (t->id == QUANT_IQ1_M) /* its half scale lies in the top nibbles of four words */
            for (int n = 0; n < 4; n++) b[i + 49 + 2 * n] = (uint8_t)((b[i + 49 + 2 * n] & 15) | (0x2400 >> 4 * n & 15) << 4);
    }
}
