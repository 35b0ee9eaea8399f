/* kern_asm.h: the tile of a panel (kern_panel.h) in AVX-512's instructions, six activations by 32 rows.
 *
 * The same arithmetic in the same order as panel_tile, so the same bits. Compilers spill and reorder what just fits 32
 * registers: gcc 12's tiles had 0.62 of the int8 peak where these have 0.69, in cache (Zen 5; docs/LAB.md has all kinds).
 *
 * Registers: 0 to 11 the sums of floats, 12 to 23 those of integers, two vectors an activation; 24 and 25 weights, scales or
 * offsets of 32 rows; 26 to 30 what activations bring; 31 the shift that makes their negated sums the start of integer sums.
 * Where the products of two units are joined before they are added, three activations have the integers of both: the first
 * unit's 12 to 17, the second's 18 to 23. In memory such products cost a sixth of the time on Zen 4.
 */
#ifndef LEAT_KERN_ASM_H
#define LEAT_KERN_ASM_H

#define ASM_Z(n) "%%zmm" n

/* OP(activation, its sums of floats, of integers, a register for it, two other places, argument). The places are those of the
 * sums of floats in memory; of three activations those of the first unit's products. */
#define ASM_EACH(OP, arg) \
    OP("%[x0]", "0", "1", "12", "13", "26", "0", "64", arg) \
    OP("%[x1]", "2", "3", "14", "15", "27", "128", "192", arg) \
    OP("%[x2]", "4", "5", "16", "17", "28", "256", "320", arg) \
    OP("%[x3]", "6", "7", "18", "19", "29", "384", "448", arg) \
    OP("%[x4]", "8", "9", "20", "21", "30", "512", "576", arg) \
    OP("%[x5]", "10", "11", "22", "23", "26", "640", "704", arg)
#define ASM_LOW_0(OP, arg) \
    OP("%[x0]", "0", "1", "12", "13", "26", "12", "13", arg) \
    OP("%[x1]", "2", "3", "14", "15", "27", "14", "15", arg) \
    OP("%[x2]", "4", "5", "16", "17", "28", "16", "17", arg)
#define ASM_LOW_1(OP, arg) \
    OP("%[x0]", "0", "1", "18", "19", "26", "12", "13", arg) \
    OP("%[x1]", "2", "3", "20", "21", "27", "14", "15", arg) \
    OP("%[x2]", "4", "5", "22", "23", "28", "16", "17", arg)
#define ASM_HIGH_0(OP, arg) \
    OP("%[x3]", "6", "7", "12", "13", "26", "12", "13", arg) \
    OP("%[x4]", "8", "9", "14", "15", "27", "14", "15", arg) \
    OP("%[x5]", "10", "11", "16", "17", "28", "16", "17", arg)
#define ASM_HIGH_1(OP, arg) \
    OP("%[x3]", "6", "7", "18", "19", "26", "12", "13", arg) \
    OP("%[x4]", "8", "9", "20", "21", "27", "14", "15", arg) \
    OP("%[x5]", "10", "11", "22", "23", "28", "16", "17", arg)

#define ASM_LOAD_SUMS(x, f0, f1, i0, i1, t, m0, m1, arg) \
    "vmovups " m0 "(%[out])," ASM_Z(f0) "\n vmovups " m1 "(%[out])," ASM_Z(f1) "\n"
#define ASM_STORE_SUMS(x, f0, f1, i0, i1, t, m0, m1, arg) \
    "vmovups " ASM_Z(f0) "," m0 "(%[out])\n vmovups " ASM_Z(f1) "," m1 "(%[out])\n"
#define ASM_CLEAR_SUMS(x, f0, f1, i0, i1, t, m0, m1, arg) \
    "vpxord " ASM_Z(f0) "," ASM_Z(f0) "," ASM_Z(f0) "\n vpxord " ASM_Z(f1) "," ASM_Z(f1) "," ASM_Z(f1) "\n"
#define ASM_ADD_TO_SUMS(x, f0, f1, i0, i1, t, m0, m1, arg) \
    "vfmadd213ps " m0 "(%[out]),%%zmm24," ASM_Z(f0) "\n vfmadd213ps " m1 "(%[out]),%%zmm25," ASM_Z(f1) "\n"
#define ASM_NEXT(x, f0, f1, i0, i1, t, m0, m1, arg) "add $64," x "\n"

/* Integer sums: zero, or what the activations' sums at a place say. */
#define ASM_ZERO(x, f0, f1, i0, i1, t, m0, m1, arg) \
    "vpxord " ASM_Z(i0) "," ASM_Z(i0) "," ASM_Z(i0) "\n vpxord " ASM_Z(i1) "," ASM_Z(i1) "," ASM_Z(i1) "\n"
#define ASM_START(x, f0, f1, i0, i1, t, m0, m1, minus) \
    "vpbroadcastd " minus "(" x ")," ASM_Z(t) "\n" \
    "vpsllvd %%zmm31," ASM_Z(t) "," ASM_Z(i0) "\n vmovdqa64 " ASM_Z(i0) "," ASM_Z(i1) "\n"
/* Four columns. */
#define ASM_DOT(x, f0, f1, i0, i1, t, m0, m1, step) \
    "vpbroadcastd 4*" step "(" x ")," ASM_Z(t) "\n" \
    "vpdpbusd " ASM_Z(t) ",%%zmm24," ASM_Z(i0) "\n vpdpbusd " ASM_Z(t) ",%%zmm25," ASM_Z(i1) "\n"
#define ASM_STEP(each, step) \
    "vmovdqa64 128*" step "(%[q]),%%zmm24\n vmovdqa64 128*" step "+64(%[q]),%%zmm25\n" each(ASM_DOT, step)
#define ASM_UNIT_0(each) ASM_STEP(each, "0") ASM_STEP(each, "1") ASM_STEP(each, "2") ASM_STEP(each, "3")
#define ASM_UNIT_1(each) ASM_STEP(each, "4") ASM_STEP(each, "5") ASM_STEP(each, "6") ASM_STEP(each, "7")
#define ASM_FLOATS(x, f0, f1, i0, i1, t, m0, m1, arg) \
    "vcvtdq2ps " ASM_Z(i0) "," ASM_Z(i0) "\n vcvtdq2ps " ASM_Z(i1) "," ASM_Z(i1) "\n"

/* What follows takes floats for integers. Times the activation's scale. */
#define ASM_BY_ACT(x, f0, f1, i0, i1, t, m0, m1, scale) \
    "vbroadcastss " scale "(" x ")," ASM_Z(t) "\n" \
    "vmulps " ASM_Z(t) "," ASM_Z(i0) "," ASM_Z(i0) "\n vmulps " ASM_Z(t) "," ASM_Z(i1) "," ASM_Z(i1) "\n"
/* Times the weights' scales in 24 and 25. */
#define ASM_BY_WEIGHTS(x, f0, f1, i0, i1, t, m0, m1, arg) \
    "vmulps %%zmm24," ASM_Z(i0) "," ASM_Z(i0) "\n vmulps %%zmm25," ASM_Z(i1) "," ASM_Z(i1) "\n"
/* The same, and the first unit's products. */
#define ASM_JOIN_BY_ACT(x, f0, f1, i0, i1, t, m0, m1, scale) \
    "vbroadcastss " scale "(" x ")," ASM_Z(t) "\n" \
    "vfmadd213ps " ASM_Z(m0) "," ASM_Z(t) "," ASM_Z(i0) "\n vfmadd213ps " ASM_Z(m1) "," ASM_Z(t) "," ASM_Z(i1) "\n"
#define ASM_JOIN_BY_WEIGHTS(x, f0, f1, i0, i1, t, m0, m1, arg) \
    "vfmadd213ps " ASM_Z(m0) ",%%zmm24," ASM_Z(i0) "\n vfmadd213ps " ASM_Z(m1) ",%%zmm25," ASM_Z(i1) "\n"
/* To the sums of floats. */
#define ASM_ADD_BY_ACT(x, f0, f1, i0, i1, t, m0, m1, scale) \
    "vbroadcastss " scale "(" x ")," ASM_Z(t) "\n" \
    "vfmadd231ps " ASM_Z(t) "," ASM_Z(i0) "," ASM_Z(f0) "\n vfmadd231ps " ASM_Z(t) "," ASM_Z(i1) "," ASM_Z(f1) "\n"
#define ASM_ADD_BY_WEIGHTS(x, f0, f1, i0, i1, t, m0, m1, arg) \
    "vfmadd231ps %%zmm24," ASM_Z(i0) "," ASM_Z(f0) "\n vfmadd231ps %%zmm25," ASM_Z(i1) "," ASM_Z(f1) "\n"
#define ASM_OFFSETS(x, f0, f1, i0, i1, t, m0, m1, sum) \
    "vbroadcastss " sum "(" x ")," ASM_Z(t) "\n" \
    "vfnmadd231ps " ASM_Z(t) ",%%zmm24," ASM_Z(f0) "\n vfnmadd231ps " ASM_Z(t) ",%%zmm25," ASM_Z(f1) "\n"

#define ASM_SCALES(unit) "vmovaps 128*" unit "(%[scale]),%%zmm24\n vmovaps 128*" unit "+64(%[scale]),%%zmm25\n"
#define ASM_MINS(unit) "vmovaps %c[min]+128*" unit "(%[scale]),%%zmm24\n vmovaps %c[min]+128*" unit "+64(%[scale]),%%zmm25\n"

/* A block of each kind, see panel_block. */
#define ASM_THREE_32_16(first, second, start) \
    first(start, "%c[minus0]") ASM_UNIT_0(first) first(ASM_FLOATS, ) first(ASM_BY_ACT, "%c[scale0]") \
    second(start, "%c[minus1]") ASM_UNIT_1(second) second(ASM_FLOATS, ) second(ASM_JOIN_BY_ACT, "%c[scale1]") \
    ASM_SCALES("0") second(ASM_ADD_BY_WEIGHTS, )
#define ASM_BLOCK_32_16(start) ASM_THREE_32_16(ASM_LOW_0, ASM_LOW_1, start) ASM_THREE_32_16(ASM_HIGH_0, ASM_HIGH_1, start)
#define ASM_THREE_16_32(first, second, start) \
    first(start, "%c[minus0]") ASM_UNIT_0(first) first(ASM_FLOATS, ) ASM_SCALES("0") first(ASM_BY_WEIGHTS, ) \
    second(start, "%c[minus1]") ASM_UNIT_1(second) second(ASM_FLOATS, ) ASM_SCALES("1") second(ASM_JOIN_BY_WEIGHTS, ) \
    second(ASM_ADD_BY_ACT, "%c[scale0]")
#define ASM_BLOCK_16_32(start) ASM_THREE_16_32(ASM_LOW_0, ASM_LOW_1, start) ASM_THREE_16_32(ASM_HIGH_0, ASM_HIGH_1, start)
#define ASM_BLOCK_16_16(start) \
    ASM_EACH(start, "%c[minus0]") ASM_UNIT_0(ASM_EACH) ASM_EACH(ASM_FLOATS, ) \
    ASM_SCALES("0") ASM_EACH(ASM_BY_ACT, "%c[scale0]") ASM_EACH(ASM_ADD_BY_WEIGHTS, ) \
    ASM_EACH(start, "%c[minus1]") ASM_UNIT_1(ASM_EACH) ASM_EACH(ASM_FLOATS, ) \
    ASM_SCALES("1") ASM_EACH(ASM_BY_ACT, "%c[scale1]") ASM_EACH(ASM_ADD_BY_WEIGHTS, )
#define ASM_BLOCK_32_32(start) \
    ASM_EACH(start, "%c[minus_both]") ASM_UNIT_0(ASM_EACH) ASM_UNIT_1(ASM_EACH) ASM_EACH(ASM_FLOATS, ) ASM_SCALES("0") \
    ASM_EACH(ASM_BY_ACT, "%c[scale0]") ASM_EACH(ASM_ADD_BY_WEIGHTS, )
/* Blocks of kinds whose scale is that of 128 weights: the sums of four, then times the scale to what there is in memory. */
#define ASM_BLOCK_128_16(start) \
    ASM_EACH(start, "%c[minus0]") ASM_UNIT_0(ASM_EACH) ASM_EACH(ASM_FLOATS, ) ASM_EACH(ASM_ADD_BY_ACT, "%c[scale0]") \
    ASM_EACH(start, "%c[minus1]") ASM_UNIT_1(ASM_EACH) ASM_EACH(ASM_FLOATS, ) ASM_EACH(ASM_ADD_BY_ACT, "%c[scale1]")
#define ASM_BLOCK_128_32(start) \
    ASM_EACH(start, "%c[minus_both]") ASM_UNIT_0(ASM_EACH) ASM_UNIT_1(ASM_EACH) ASM_EACH(ASM_FLOATS, ) \
    ASM_EACH(ASM_ADD_BY_ACT, "%c[scale0]")

#define ASM_MIN(unit, sum) ASM_MINS(unit) ASM_EACH(ASM_OFFSETS, sum)
#define ASM_MINS_128 \
    ASM_MIN("-8", "%c[sum0]-256") ASM_MIN("-7", "%c[sum1]-256") ASM_MIN("-6", "%c[sum0]-192") ASM_MIN("-5", "%c[sum1]-192") \
    ASM_MIN("-4", "%c[sum0]-128") ASM_MIN("-3", "%c[sum1]-128") ASM_MIN("-2", "%c[sum0]-64") ASM_MIN("-1", "%c[sum1]-64")

/* From the first sums to the last: each block, or four, for themselves. */
#define ASM_NEXT_BLOCK ASM_EACH(ASM_NEXT, ) "add $1024,%[q]\n add $256,%[scale]\n sub $1,%[n]\n"
#define ASM_BY_BLOCK(block) \
    ASM_EACH(ASM_LOAD_SUMS, ) ".p2align 6\n 1:\n" block ASM_NEXT_BLOCK "jnz 1b\n" ASM_EACH(ASM_STORE_SUMS, )
#define ASM_BY_FOUR(block, offsets) \
    "2:\n" ASM_EACH(ASM_CLEAR_SUMS, ) ".p2align 6\n 1:\n" block ASM_NEXT_BLOCK "test $3,%[n]\n jnz 1b\n" \
    ASM_SCALES("-8") ASM_EACH(ASM_ADD_TO_SUMS, ) offsets ASM_EACH(ASM_STORE_SUMS, ) "test %[n],%[n]\n jnz 2b\n"

#define ASM_TILE(name, blocks) \
    KERN_OUTLINE void name(kern_panel *p, size_t sub, size_t from, size_t to, const void *const *acts, \
                           float (*out)[KERN_PANEL_SUBS][16]) { \
        (void)sub; /* both at once */ \
        size_t n = to - from; \
        const kern_act8 *const *x = (const kern_act8 *const *)acts; \
        const void *q = p->q[8 * from], *scale = p->scale[2 * from], *x0 = x[0] + from, *x1 = x[1] + from, *x2 = x[2] + from, \
                   *x3 = x[3] + from, *x4 = x[4] + from, *x5 = x[5] + from; \
        __asm__ volatile("vpbroadcastd %[shift],%%zmm31\n" blocks \
                         : [q] "+r"(q), [scale] "+r"(scale), [n] "+r"(n), [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), \
                           [x3] "+r"(x3), [x4] "+r"(x4), [x5] "+r"(x5) \
                         : [out] "r"(out), [shift] "m"(p->zero_shift), \
                           [min] "i"(offsetof(kern_panel, min) - offsetof(kern_panel, scale)), \
                           [scale0] "i"(offsetof(kern_act8, unit[0].scale)), [scale1] "i"(offsetof(kern_act8, unit[1].scale)), \
                           [minus0] "i"(offsetof(kern_act8, unit[0].minus)), [minus1] "i"(offsetof(kern_act8, unit[1].minus)), \
                           [minus_both] "i"(offsetof(kern_act8, unit[0].minus_both)), \
                           [sum0] "i"(offsetof(kern_act8, unit[0].sum)), [sum1] "i"(offsetof(kern_act8, unit[1].sum)), \
                           [sum_both] "i"(offsetof(kern_act8, unit[0].sum_both)) \
                         : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
                           "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", \
                           "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"); \
    }
ASM_TILE(asm_32_16_0, ASM_BY_BLOCK(ASM_BLOCK_32_16(ASM_START)))
ASM_TILE(asm_32_16_1, ASM_BY_BLOCK(ASM_BLOCK_32_16(ASM_ZERO) ASM_MIN("0", "%c[sum_both]")))
ASM_TILE(asm_16_16_0, ASM_BY_BLOCK(ASM_BLOCK_16_16(ASM_START)))
ASM_TILE(asm_32_32_0, ASM_BY_BLOCK(ASM_BLOCK_32_32(ASM_START)))
ASM_TILE(asm_32_32_1, ASM_BY_BLOCK(ASM_BLOCK_32_32(ASM_ZERO) ASM_MIN("0", "%c[sum0]")))
ASM_TILE(asm_16_32_0, ASM_BY_BLOCK(ASM_BLOCK_16_32(ASM_START)))
ASM_TILE(asm_128_16_1, ASM_BY_FOUR(ASM_BLOCK_128_16(ASM_ZERO), ASM_MINS_128))
ASM_TILE(asm_128_32_0, ASM_BY_FOUR(ASM_BLOCK_128_32(ASM_START), ))
_Static_assert(VEC_TOKENS == 6 && VEC_SUBS == 2 && KERN_PANEL_SUBS == 2, "the tile of these registers");

#define VEC_MANY(name, n_tok, group, acts, has_min, top) \
    static void name(kern_panel *p, size_t sub, size_t from, size_t to, const void *const *x, \
                     float (*out)[KERN_PANEL_SUBS][16]) { \
        asm_##group##_##acts##_##has_min(p, sub, from, to, x, out); \
    }

#endif
