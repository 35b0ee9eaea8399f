/* kern_asm.h: the tile of a panel (kern_panel.h) in AVX-512's instructions, six activations by 32 rows.
 *
 * The same arithmetic in the same order as panel_tile, so the same bits. Compilers spill and reorder what just fits 32
 * registers: gcc 12's tiles had 0.62 of the int8 peak where these have 0.69, in cache (Zen 5; docs/LAB.md has all kinds).
 *
 * Registers: 0 to 11 the sums of floats, 12 to 23 those of integers, two vectors an activation; 24 and 25 weights, scales or
 * offsets of 32 rows; 26 to 30 what activations bring; 31 the shift that makes their negated sums the start of integer sums.
 */
#ifndef LEAT_KERN_ASM_H
#define LEAT_KERN_ASM_H

/* OP(activation, its sums of floats, of integers, a register for it, a place in memory, argument) */
#define ASM_EACH(OP, arg) \
    OP("%[x0]", "0", "1", "12", "13", "26", "0", arg) \
    OP("%[x1]", "2", "3", "14", "15", "27", "128", arg) \
    OP("%[x2]", "4", "5", "16", "17", "28", "256", arg) \
    OP("%[x3]", "6", "7", "18", "19", "29", "384", arg) \
    OP("%[x4]", "8", "9", "20", "21", "30", "512", arg) \
    OP("%[x5]", "10", "11", "22", "23", "26", "640", arg)
#define ASM_Z(n) "%%zmm" n

#define ASM_LOAD_SUMS(x, f0, f1, i0, i1, t, at, arg) \
    "vmovups " at "(%[out])," ASM_Z(f0) "\n vmovups " at "+64(%[out])," ASM_Z(f1) "\n"
#define ASM_STORE_SUMS(x, f0, f1, i0, i1, t, at, arg) \
    "vmovups " ASM_Z(f0) "," at "(%[out])\n vmovups " ASM_Z(f1) "," at "+64(%[out])\n"
#define ASM_CLEAR_SUMS(x, f0, f1, i0, i1, t, at, arg) \
    "vpxord " ASM_Z(f0) "," ASM_Z(f0) "," ASM_Z(f0) "\n vpxord " ASM_Z(f1) "," ASM_Z(f1) "," ASM_Z(f1) "\n"
#define ASM_ADD_TO_SUMS(x, f0, f1, i0, i1, t, at, arg) \
    "vfmadd213ps " at "(%[out]),%%zmm24," ASM_Z(f0) "\n vfmadd213ps " at "+64(%[out]),%%zmm25," ASM_Z(f1) "\n"
#define ASM_NEXT(x, f0, f1, i0, i1, t, at, arg) "add $64," x "\n"

/* Integer sums: zero, or what the activations' sums at a place say. */
#define ASM_ZERO(x, f0, f1, i0, i1, t, at, arg) \
    "vpxord " ASM_Z(i0) "," ASM_Z(i0) "," ASM_Z(i0) "\n vpxord " ASM_Z(i1) "," ASM_Z(i1) "," ASM_Z(i1) "\n"
#define ASM_START(x, f0, f1, i0, i1, t, at, minus) \
    "vpbroadcastd " minus "(" x ")," ASM_Z(t) "\n" \
    "vpsllvd %%zmm31," ASM_Z(t) "," ASM_Z(i0) "\n vmovdqa64 " ASM_Z(i0) "," ASM_Z(i1) "\n"
/* Four columns. */
#define ASM_DOT(x, f0, f1, i0, i1, t, at, step) \
    "vpbroadcastd 4*" step "(" x ")," ASM_Z(t) "\n" \
    "vpdpbusd " ASM_Z(t) ",%%zmm24," ASM_Z(i0) "\n vpdpbusd " ASM_Z(t) ",%%zmm25," ASM_Z(i1) "\n"
#define ASM_STEP(step) \
    "vmovdqa64 128*" step "(%[q]),%%zmm24\n vmovdqa64 128*" step "+64(%[q]),%%zmm25\n" ASM_EACH(ASM_DOT, step)
#define ASM_UNIT_0 ASM_STEP("0") ASM_STEP("1") ASM_STEP("2") ASM_STEP("3")
#define ASM_UNIT_1 ASM_STEP("4") ASM_STEP("5") ASM_STEP("6") ASM_STEP("7")
#define ASM_FLOATS(x, f0, f1, i0, i1, t, at, arg) \
    "vcvtdq2ps " ASM_Z(i0) "," ASM_Z(i0) "\n vcvtdq2ps " ASM_Z(i1) "," ASM_Z(i1) "\n"

/* What follows takes floats for integers. Times the activation's scale. */
#define ASM_BY_ACT(x, f0, f1, i0, i1, t, at, scale) \
    "vbroadcastss " scale "(" x ")," ASM_Z(t) "\n" \
    "vmulps " ASM_Z(t) "," ASM_Z(i0) "," ASM_Z(i0) "\n vmulps " ASM_Z(t) "," ASM_Z(i1) "," ASM_Z(i1) "\n"
/* Times the weights' scales in 24 and 25. */
#define ASM_BY_WEIGHTS(x, f0, f1, i0, i1, t, at, arg) \
    "vmulps %%zmm24," ASM_Z(i0) "," ASM_Z(i0) "\n vmulps %%zmm25," ASM_Z(i1) "," ASM_Z(i1) "\n"
/* The first unit waits in memory for the second. */
#define ASM_PUT(x, f0, f1, i0, i1, t, at, arg) \
    "vmovaps " ASM_Z(i0) "," at "(%[part])\n vmovaps " ASM_Z(i1) "," at "+64(%[part])\n"
#define ASM_JOIN_BY_ACT(x, f0, f1, i0, i1, t, at, scale) \
    "vbroadcastss " scale "(" x ")," ASM_Z(t) "\n" \
    "vfmadd213ps " at "(%[part])," ASM_Z(t) "," ASM_Z(i0) "\n vfmadd213ps " at "+64(%[part])," ASM_Z(t) "," ASM_Z(i1) "\n"
#define ASM_JOIN_BY_WEIGHTS(x, f0, f1, i0, i1, t, at, arg) \
    "vfmadd213ps " at "(%[part]),%%zmm24," ASM_Z(i0) "\n vfmadd213ps " at "+64(%[part]),%%zmm25," ASM_Z(i1) "\n"
/* To the sums of floats. */
#define ASM_ADD_BY_ACT(x, f0, f1, i0, i1, t, at, scale) \
    "vbroadcastss " scale "(" x ")," ASM_Z(t) "\n" \
    "vfmadd231ps " ASM_Z(t) "," ASM_Z(i0) "," ASM_Z(f0) "\n vfmadd231ps " ASM_Z(t) "," ASM_Z(i1) "," ASM_Z(f1) "\n"
#define ASM_ADD_BY_WEIGHTS(x, f0, f1, i0, i1, t, at, arg) \
    "vfmadd231ps %%zmm24," ASM_Z(i0) "," ASM_Z(f0) "\n vfmadd231ps %%zmm25," ASM_Z(i1) "," ASM_Z(f1) "\n"
#define ASM_OFFSETS(x, f0, f1, i0, i1, t, at, sum) \
    "vbroadcastss " sum "(" x ")," ASM_Z(t) "\n" \
    "vfnmadd231ps " ASM_Z(t) ",%%zmm24," ASM_Z(f0) "\n vfnmadd231ps " ASM_Z(t) ",%%zmm25," ASM_Z(f1) "\n"

#define ASM_SCALES(unit) "vmovaps 128*" unit "(%[scale]),%%zmm24\n vmovaps 128*" unit "+64(%[scale]),%%zmm25\n"
#define ASM_MINS(unit) "vmovaps %c[min]+128*" unit "(%[scale]),%%zmm24\n vmovaps %c[min]+128*" unit "+64(%[scale]),%%zmm25\n"

/* A block of each kind, see panel_block. */
#define ASM_BLOCK_32_16(start) \
    start("%c[minus0]") ASM_UNIT_0 ASM_EACH(ASM_FLOATS, ) ASM_EACH(ASM_BY_ACT, "%c[scale0]") ASM_EACH(ASM_PUT, ) \
    start("%c[minus1]") ASM_UNIT_1 ASM_EACH(ASM_FLOATS, ) ASM_EACH(ASM_JOIN_BY_ACT, "%c[scale1]") \
    ASM_SCALES("0") ASM_EACH(ASM_ADD_BY_WEIGHTS, )
#define ASM_BLOCK_16_16(start) \
    start("%c[minus0]") ASM_UNIT_0 ASM_EACH(ASM_FLOATS, ) ASM_SCALES("0") ASM_EACH(ASM_BY_ACT, "%c[scale0]") ASM_EACH(ASM_ADD_BY_WEIGHTS, ) \
    start("%c[minus1]") ASM_UNIT_1 ASM_EACH(ASM_FLOATS, ) ASM_SCALES("1") ASM_EACH(ASM_BY_ACT, "%c[scale1]") ASM_EACH(ASM_ADD_BY_WEIGHTS, )
#define ASM_BLOCK_16_32(start) \
    start("%c[minus0]") ASM_UNIT_0 ASM_EACH(ASM_FLOATS, ) ASM_SCALES("0") ASM_EACH(ASM_BY_WEIGHTS, ) ASM_EACH(ASM_PUT, ) \
    start("%c[minus1]") ASM_UNIT_1 ASM_EACH(ASM_FLOATS, ) ASM_SCALES("1") ASM_EACH(ASM_JOIN_BY_WEIGHTS, ) ASM_EACH(ASM_ADD_BY_ACT, "%c[scale0]")
#define ASM_BLOCK_32_32(start) \
    start("%c[minus_both]") ASM_UNIT_0 ASM_UNIT_1 ASM_EACH(ASM_FLOATS, ) ASM_SCALES("0") \
    ASM_EACH(ASM_BY_ACT, "%c[scale0]") ASM_EACH(ASM_ADD_BY_WEIGHTS, )
/* Blocks of kinds whose scale is that of 128 weights: the sums of four, then times the scale to what there is in memory. */
#define ASM_BLOCK_128_16(start) \
    start("%c[minus0]") ASM_UNIT_0 ASM_EACH(ASM_FLOATS, ) ASM_EACH(ASM_ADD_BY_ACT, "%c[scale0]") \
    start("%c[minus1]") ASM_UNIT_1 ASM_EACH(ASM_FLOATS, ) ASM_EACH(ASM_ADD_BY_ACT, "%c[scale1]")
#define ASM_BLOCK_128_32(start) \
    start("%c[minus_both]") ASM_UNIT_0 ASM_UNIT_1 ASM_EACH(ASM_FLOATS, ) ASM_EACH(ASM_ADD_BY_ACT, "%c[scale0]")
#define ASM_NO_START(minus) ASM_EACH(ASM_ZERO, )
#define ASM_WITH_START(minus) ASM_EACH(ASM_START, minus)

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
    KERN_OUTLINE void name(const kern_panel *p, size_t sub, size_t from, size_t to, const void *const *acts, \
                           float (*out)[KERN_PANEL_SUBS][16]) { \
        (void)sub; /* both at once */ \
        _Alignas(64) float part[VEC_TOKENS][VEC_SUBS][16]; \
        size_t n = to - from; \
        const kern_act8 *const *x = (const kern_act8 *const *)acts; \
        const void *q = p->q[8 * from], *scale = p->scale[2 * from], *x0 = x[0] + from, *x1 = x[1] + from, *x2 = x[2] + from, \
                   *x3 = x[3] + from, *x4 = x[4] + from, *x5 = x[5] + from; \
        __asm__ volatile("vpbroadcastd %[shift],%%zmm31\n" blocks \
                         : [q] "+r"(q), [scale] "+r"(scale), [n] "+r"(n), [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), \
                           [x3] "+r"(x3), [x4] "+r"(x4), [x5] "+r"(x5) \
                         : [out] "r"(out), [part] "r"(part), [shift] "m"(p->zero_shift), \
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
ASM_TILE(asm_32_16_0, ASM_BY_BLOCK(ASM_BLOCK_32_16(ASM_WITH_START)))
ASM_TILE(asm_32_16_1, ASM_BY_BLOCK(ASM_BLOCK_32_16(ASM_NO_START) ASM_MIN("0", "%c[sum_both]")))
ASM_TILE(asm_16_16_0, ASM_BY_BLOCK(ASM_BLOCK_16_16(ASM_WITH_START)))
ASM_TILE(asm_32_32_0, ASM_BY_BLOCK(ASM_BLOCK_32_32(ASM_WITH_START)))
ASM_TILE(asm_32_32_1, ASM_BY_BLOCK(ASM_BLOCK_32_32(ASM_NO_START) ASM_MIN("0", "%c[sum0]")))
ASM_TILE(asm_16_32_0, ASM_BY_BLOCK(ASM_BLOCK_16_32(ASM_WITH_START)))
ASM_TILE(asm_128_16_1, ASM_BY_FOUR(ASM_BLOCK_128_16(ASM_NO_START), ASM_MINS_128))
ASM_TILE(asm_128_32_0, ASM_BY_FOUR(ASM_BLOCK_128_32(ASM_WITH_START), ))
_Static_assert(VEC_TOKENS == 6 && VEC_SUBS == 2 && KERN_PANEL_SUBS == 2, "the tile of these registers");

#define VEC_MANY(name, n_tok, group, acts, has_min, top) \
    static void name(const kern_panel *p, size_t sub, size_t from, size_t to, const void *const *x, \
                     float (*out)[KERN_PANEL_SUBS][16]) { \
        asm_##group##_##acts##_##has_min(p, sub, from, to, x, out); \
    }

#endif
