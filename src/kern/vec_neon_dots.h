/* vec_neon_dots.h: the words of vec_neon.h that are dot products, of signed bytes, which ARMv8.2 and later have.
 *
 * They want signed weights: bytes up to 127 are that already, of others 128 is taken off, and given back by the sums of the
 * activations that lie beside them.
 */
#ifndef LEAT_VEC_NEON_DOTS_H
#define LEAT_VEC_NEON_DOTS_H

#include "kern/vec_neon.h"

#define VEC_TOKENS 3
#define VEC_MANY TILER
#define VEC_STEPS(q_max, n) (n)
#define VEC_STEPS_MANY false
#define v_steps_many(sum, p, sub, step, x, n, q_max) (void)(x)
#define VEC_MORE_BYTES 0
#define VEC_DOT_ADDS 1
#define VEC_ROLLED(q_max, n) (n)

/* Activations of 16 bits: for each vector 64 high bytes, then 64 low ones. */
static inline void v_pack16(const int16_t x[KERN_CHUNK], uint8_t to[2 * KERN_CHUNK]) {
    int16x8_t half = vdupq_n_s16(128);
    for (size_t k = 0; k < 4; k++)
        for (size_t j = 0; j < 4; j++) {
            const int16_t *from = x + KERN_UNIT * (4 * j + k);
            int16x8_t a = vld1q_s16(from), b = vld1q_s16(from + 8);
            int8x8_t high = vshrn_n_s16(vaddq_s16(a, half), 8);
            vst1q_s8((int8_t *)to + 128 * k + 16 * j, vshrn_high_n_s16(high, vaddq_s16(b, half), 8));
            vst1q_s8((int8_t *)to + 128 * k + 64 + 16 * j, vmovn_high_s16(vmovn_s16(a), b));
        }
}
static inline vi dot_signed(vi d, vb w, vb x) {
#define DOT(j) vdotq_s32(d.val[j], signs(w.val[j]), signs(x.val[j]))
    return EACH(vi, DOT);
#undef DOT
}
/* Sums of the activations of units 4j + k in element k of lane j, the other elements zero. */
static inline vi sums_of(const kern_act16 *a, uint32_t first, uint32_t second, uint32_t third, uint32_t fourth) {
    const uint32_t only[4] = {first, second, third, fourth};
    int32x4_t mask = vreinterpretq_s32_u32(vld1q_u32(only));
#define SUMS(j) vandq_s32(vcvtq_s32_f32(vld1q_f32(a->sums + 4 * (j))), mask)
    return EACH(vi, SUMS);
#undef SUMS
}
/* 256 high + low of weights less 128, and 128 for each activation, all of a unit's in one element. */
static inline vi vi_dot16(vb w, const kern_act16 *a, size_t k) {
    vb x = vb_xor(w, vb_set(0x80));
    vi less = sums_of(a, k == 0 ? UINT32_MAX : 0, k == 1 ? UINT32_MAX : 0, k == 2 ? UINT32_MAX : 0, k == 3 ? UINT32_MAX : 0);
    vi r = vi_add(vi_shift_left(dot_signed(vi_set(0), x, vb_load(a->x + 128 * k)), 8), vi_shift_left(less, 7));
    return dot_signed(r, x, vb_load(a->x + 128 * k + 64));
}
static inline vi vi_dot16_pair(vb w0, vb w1, const kern_act16 *a, size_t k) {
    vb x0 = vb_xor(w0, vb_set(0x80)), x1 = vb_xor(w1, vb_set(0x80));
    vi less = k == 0 ? sums_of(a, UINT32_MAX, UINT32_MAX, 0, 0) : sums_of(a, 0, 0, UINT32_MAX, UINT32_MAX);
    vi r = dot_signed(dot_signed(vi_set(0), x0, vb_load(a->x + 128 * k)), x1, vb_load(a->x + 128 * k + 128));
    r = vi_add(vi_shift_left(r, 8), vi_shift_left(less, 7));
    return dot_signed(dot_signed(r, x0, vb_load(a->x + 128 * k + 64)), x1, vb_load(a->x + 128 * k + 192));
}

typedef vi vd;
static inline vd vd_start(vi sum, int q_max) { (void)q_max; return sum; }
static inline vd vd_dot(vd d, vb w, vb x, int q_max) { return dot_signed(d, q_max > 127 ? vb_xor(w, vb_set(0x80)) : w, x); }
static inline vi vd_end(vi sum, vd d, int q_max) { (void)sum; (void)q_max; return d; }
static inline vi vd_signed(vi sum, const int32_t *minus, int q_max) {
    return q_max > 127 ? vi_sub(sum, vi_shift_left(vi_load_1(minus), 7)) : sum;
}

#endif
