/* kern_i8mm.c: the level of ARM CPUs with products of matrices of bytes (ARMv8.6; Neoverse V1 and N2, Apple M2 and later).
 *
 * That of NEON but for panels of bytes. An instruction multiplies 8 columns of two rows with those of two activations. Sums of
 * bytes are exact and floats come in the same order: the bits are those of NEON.
 */
#include "kern/vec_neon.h"

#define VEC_TOKENS 2
#define VEC_MANY TILER
#include "kern/kern_chunk.h"

/* Weights are unsigned here, as the panel has them. */
static inline vi vd_signed(vi sum, const int32_t *minus, int q_max) { (void)minus; (void)q_max; return sum; }

/* Two steps of 4 columns become one of 8: 16 bytes are 8 columns of two rows; rows 0 to 7 first. */
static void join_steps(kern_panel *p, size_t n_steps) {
    for (size_t step = 0; step < n_steps; step += 2)
        for (size_t sub = 0; sub < KERN_PANEL_SUBS; sub++) {
            vb a = vb_load(p->q[step][sub]), b = vb_load(p->q[step + 1][sub]);
#define ROWS(i) vreinterpretq_u8_u32((i) % 2 ? vzip2q_u32(words(a.val[(i) / 2]), words(b.val[(i) / 2])) \
                                             : vzip1q_u32(words(a.val[(i) / 2]), words(b.val[(i) / 2])))
            vb_store(p->q[step][sub], vb_of(ROWS(0), ROWS(1), ROWS(2), ROWS(3)));
            vb_store(p->q[step + 1][sub], vb_of(ROWS(4), ROWS(5), ROWS(6), ROWS(7)));
#undef ROWS
        }
}

/* Steps [from, from + n) of a block's 8, added to sum; n_tok is 1 or 2. One activation alone is multiplied twice. */
KERN_INLINE void panel_steps(vi sum[][VEC_SUBS], const kern_panel *p, size_t sub, size_t block, size_t from, size_t n,
                             const kern_act8 *const *x, size_t n_tok, format f) {
    (void)f;
    int32x4_t d[8]; /* of two rows and two activations each */
    for (size_t i = 0; i < 8; i++) d[i] = vdupq_n_s32(0);
    for (size_t step = from; step < from + n; step += 2) {
        vb a = vb_load(p->q[8 * block + step][sub]), b = vb_load(p->q[8 * block + step + 1][sub]);
        int8x16_t q = vcombine_s8(vld1_s8(x[0][block].q + 4 * step), vld1_s8(x[n_tok - 1][block].q + 4 * step));
        for (size_t i = 0; i < 4; i++) {
            d[i] = vusmmlaq_s32(d[i], a.val[i], q);
            d[4 + i] = vusmmlaq_s32(d[4 + i], b.val[i], q);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        sum[0][0].val[i] = vaddq_s32(sum[0][0].val[i], vuzp1q_s32(d[2 * i], d[2 * i + 1]));
        if (n_tok == 2) sum[1][0].val[i] = vaddq_s32(sum[1][0].val[i], vuzp2q_s32(d[2 * i], d[2 * i + 1]));
    }
}

/* Two activations at a time: with four the registers do not do for types that have a scale for 16 weights or activations. */
KERN_OUTLINE void panel_multiply(kern_panel *p, const kern_act8 *const *acts, size_t n, size_t n_blocks,
                                 float (*sums)[KERN_PANEL_SUBS][16], kern_tiler *many, kern_tiler *one) {
    join_steps(p, 8 * n_blocks);
    kern_panel_tiles(p, (const void *const *)acts, n, n_blocks, sums, (kern_tilers){many, one, VEC_TOKENS, VEC_SUBS, 1});
}

#include "kern/kern_panel.h"
KERN_KINDS(MULTIPLIER)

static uint64_t byte_peak(uint64_t rounds) {
    enum { SUMS = 16, PRODUCTS = 32 };
    const uint64_t dots = rounds * SUMS * PRODUCTS;
    int32x4_t d[SUMS], sum = vdupq_n_s32(0);
    int8x16_t q = vdupq_n_s8(3);
    for (size_t i = 0; i < SUMS; i++) d[i] = sum;
    do {
        __asm__ volatile("" : "+w"(q));
        for (size_t i = 0; i < SUMS; i++) d[i] = vusmmlaq_s32(d[i], vreinterpretq_u8_s8(q), q);
    } while (--rounds);
    for (size_t i = 0; i < SUMS; i++) sum = vaddq_s32(sum, d[i]);
    volatile int32_t keep = vaddvq_s32(sum); /* or the loop would go */
    (void)keep;
    return dots;
}

static const kern_bytes bytes = {.multiply = {KERN_FORMATS(ENTRY_MULTIPLY)}, .peak = byte_peak};
const kern kern_i8mm = {
    .name = "i8mm",
    .needs = KERN_CPU_NEON_DOT | KERN_CPU_NEON_I8MM,
    .ops = &kern_neon_ops,
    .bytes = &bytes,
    .floats = &kern_neon_floats,
};
