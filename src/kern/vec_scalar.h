/* vec_scalar.h: the vector vocabulary without instructions of its own: the specification of what each word means.
 *
 * Three vectors: vb 64 bytes (in 4 lanes of 16), vi 16 int32, vf 16 float; element i of vi and vf stands for bytes
 * 4i..4i+3 of vb. The other vocabularies have the same words on their registers; they may order the additions of a
 * sum differently and fuse multiply and add.
 */
#ifndef LEAT_VEC_SCALAR_H
#define LEAT_VEC_SCALAR_H

#include "base/base.h"
#include "kern/kern_int.h"
#include "kern/kern_plain.h"
#include "quant/quant_scalar.h"

#define VEC_LEVEL scalar
#define VEC_NEEDS 0
#define VEC_SUBS 1          /* a panel has 16 * VEC_SUBS rows                              */
#define VEC_TOKENS 1        /* activations a tile of the panel kernels                     */
#define VEC_MANY TILER      /* how the tiles of VEC_TOKENS are written: in C               */
#define VEC_NARROW(wide, narrow) wide /* which columns of KERN_FORMATS a level takes             */
#define VEC_FLOAT_TOKENS 1  /* the same for float types                                    */
#define VEC_ACTS 1          /* activations a pass of the decode kernels of F16 and BF16    */
#define VEC_ROWS 1         /* rows that the decode kernels take together             */
#define VEC_AHEAD 1024      /* bytes that the decode kernels prefetch ahead                */
#define VEC_AHEAD_FLOATS VEC_AHEAD /* those of float types                                  */
#define VEC_QUERIES 1       /* queries that the attention kernel takes together                 */
#define VEC_QUERIES_HALVES 2 /* queries up to which F16 is converted as it is multiplied, not before */
#define VEC_STRIP 2         /* vectors of VR_FLOATS of a query's output that the attention kernel holds */
#define VEC_STRIP_LEFT 1    /* the same for those at the end, which are not as many  */
#define VEC_HALVES 2        /* the same of F16 that is converted as it is multiplied    */
#define VEC_HALVES_LEFT 0   /* and of those at its end; 0: it is not, where there are any  */
#define VEC_STEPS(q_max, n) (n) /* of n dot steps, how many go between vd_start and vd_end      */
#define VEC_STEPS_MANY false /* whether v_steps_many does all of VEC_TOKENS activations at once */
#define v_steps_many(sum, p, sub, step, x, n, q_max) (void)(x)
#define VEC_MORE_BYTES 0    /* of scratch, after the panel, for that                      */
#define VEC_DOT_ADDS 0      /* vd_dot is one instruction, that adds to the sum             */
#define VEC_ROLLED(q_max, n) (n) /* n, opaque where the loop over steps must not be unrolled */

/* Vectors of the compiler: it has them on every machine, with whatever registers there are. */
typedef uint8_t vb __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef float vf __attribute__((vector_size(64)));
typedef int16_t words __attribute__((vector_size(64)));
typedef uint16_t uwords __attribute__((vector_size(64)));
typedef int32_t lane __attribute__((vector_size(16)));
typedef float float_lane __attribute__((vector_size(16)));
#define EACH16 for (size_t i = 0; i < 16; i++)

/* The same 4 bytes in all places; by lanes, or compilers store 16 words and wait for them. */
static inline vi splat(int32_t x) {
    lane l = (lane){0} + x, all[4] = {l, l, l, l};
    vi r;
    memcpy(&r, all, 64);
    return r;
}

/* ---- bytes ------------------------------------------------------------------------------------------ */

static inline vb vb_load(const void *p) { vb r; memcpy(&r, p, 64); return r; }
static inline void vb_store(void *p, vb a) { memcpy(p, &a, 64); }
static inline vb vb_set(uint8_t x) { return (vb)splat((int32_t)(x * 0x01010101u)); }
static inline vb vb_xor(vb a, vb b) { return a ^ b; }
/* Lane j is the 16 bytes at p + j * stride. */
static inline vb vb_load_lanes(const void *p, size_t stride) {
    uint8_t r[64];
    for (size_t j = 0; j < 4; j++) memcpy(r + 16 * j, (const char *)p + j * stride, 16);
    return vb_load(r);
}
static inline void vb_load_blocks(const uint8_t *b, size_t at, size_t stride, vb *even, vb *odd) {
    *even = vb_load_lanes(b + at, 2 * stride);
    *odd = vb_load_lanes(b + at + stride, 2 * stride);
}
static inline vb vb_set_4(uint32_t x) { return (vb)splat((int32_t)x); }
static inline vb vb_load_4(const void *p) { return vb_set_4(load_u32(p)); }

/* ---- int32 ------------------------------------------------------------------------------------------ */

static inline vi vi_set(int32_t x) { return splat(x); }
/* Rounds to the nearest even; |x| < 2^22. */
static inline vi vi_of_vf(vf x) { return (vi)(x + 0x1.8p23f) - 0x4B400000; }
static inline vi vi_load_1(const int32_t *p) { return vi_set(*p); }
static inline void vi_store(int32_t *p, vi a) { memcpy(p, &a, 64); }
static inline vi vi_shift_left(vi a, int n) { return a << n; }
/* Words of 16 bits: those of even and of odd number; (a * b + 2^14) / 2^15, rounded down; two products to an element. */
static inline vb vb_pairs(vi even, vi odd) { return (vb)((even & 0xffff) | odd << 16); }
static inline vi vi_even(vb a) { return (vi)a << 16 >> 16; }
static inline vi vi_odd(vb a) { return (vi)a >> 16; }
static inline vb vb_mul_15(vb a, vb b) {
    return vb_pairs((vi_even(a) * vi_even(b) + 0x4000) >> 15, (vi_odd(a) * vi_odd(b) + 0x4000) >> 15);
}
static inline vi vi_dot_2(vi sum, vb a, vb b) { return sum + vi_even(a) * vi_even(b) + vi_odd(a) * vi_odd(b); }
/* Their low bytes, in turns. */
static inline vb vb_join_bytes(vb a, vb b) { return (vb)(((words)a & 255) | (words)b << 8); }
static inline void vi_store_i16(int16_t *p, vi a) { EACH16 p[i] = (int16_t)a[i]; }
static inline void vi_store_i8(int8_t *p, vi a) { EACH16 p[i] = (int8_t)a[i]; }

/* Unsigned w times signed x, four products to an element. A product fits 16 bits. */
static inline vi dot_bytes(vb w, vb x) {
    words even = ((words)w & 255) * ((words)x << 8 >> 8), odd = (words)((uwords)w >> 8) * ((words)x >> 8);
    vi e = (vi)even, o = (vi)odd;
    return (e << 16 >> 16) + (e >> 16) + (o << 16 >> 16) + (o >> 16);
}
/* Activations of 16 bits: for each vector 64 high bytes, then 64 low ones, both signed. */
static inline void v_pack16(const int16_t x[KERN_CHUNK], uint8_t to[2 * KERN_CHUNK]) {
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < 64; i++) {
            int16_t v = x[KERN_UNIT * (4 * (i / 16) + k) + i % 16];
            to[128 * k + i] = (uint8_t)((v + 128) >> 8);
            to[128 * k + 64 + i] = (uint8_t)v;
        }
}
/* Vector k of a chunk (unsigned bytes) times its activations, four products to an element. */
static inline vi vi_dot16(vb w, const kern_act16 *a, size_t k) {
    return (dot_bytes(w, vb_load(a->x + 128 * k)) << 8) + dot_bytes(w, vb_load(a->x + 128 * k + 64));
}
/* Vectors k and k + 1 into the same elements. */
static inline vi vi_dot16_pair(vb w0, vb w1, const kern_act16 *a, size_t k) {
    return vi_dot16(w0, a, k) + vi_dot16(w1, a, k + 1);
}

/* Dots of 8-bit activations: unsigned weights w <= q_max times signed x, four products to an element, VEC_STEPS times
 * between start and end. What lies between may be narrower than 32 bits. */
typedef vi vd;
static inline vd vd_start(vi sum, int q_max) { (void)q_max; return sum; }
static inline vd vd_dot(vd d, vb w, vb x, int q_max) { (void)q_max; return d + dot_bytes(w, x); }
static inline vi vd_end(vi sum, vd d, int q_max) { (void)sum; (void)q_max; return d; }
/* Where vd_dot takes 128 off the weights: sum plus what that was. minus is the sum of the activations, negated. */
static inline vi vd_signed(vi sum, const int32_t *minus, int q_max) { (void)minus; (void)q_max; return sum; }

/* ---- float ------------------------------------------------------------------------------------------ */

static inline vf vf_set(float x) { return (vf)splat((int32_t)bits_of_f32(x)); }
static inline vf vf_load(const void *p) { vf r; memcpy(&r, p, 64); return r; }
static inline void vf_store(float *p, vf a) { memcpy(p, &a, 64); }
/* The first n <= 16 elements, zero after them. */
static inline vf vf_load_n(const float *p, size_t n) { vf r = {0}; memcpy(&r, p, 4 * n); return r; }
static inline void vf_store_n(float *p, vf a, size_t n) { memcpy(p, &a, 4 * n); }
/* Shifted into place a half is 2^112 too small, also where it is subnormal; infinities and NaN have an exponent of their
 * own, NaN becomes quiet. */
static inline vf vf_load_f16(const void *p) {
    int32_t halves[16];
    EACH16 halves[i] = load_u16((const char *)p + 2 * i);
    vi h;
    memcpy(&h, halves, 64);
    vi rest = h & 0x7FFF, shifted = rest << 13, special = (0x7BFF - rest) >> 31, nan = (0x7C00 - rest) >> 31;
    vi bits = (vi)((vf)shifted * 0x1p112f);
    bits = (bits & ~special) | ((shifted | 0x7F800000 | (nan & 0x400000)) & special);
    return (vf)(bits | (h & 0x8000) << 16);
}
static inline vf vf_load_bf16(const void *p) {
    vf r;
    EACH16 r[i] = f32_of_bf16(load_u16((const char *)p + 2 * i));
    return r;
}
static inline vf vf_load_f64(const void *p) { vf r; EACH16 r[i] = (float)load_f64((const char *)p + 8 * i); return r; }
static inline vf vf_of_vi(vi a) { return __builtin_convertvector(a, vf); }
/* 16 signed bytes; the low and the high four bits of 16 bytes. */
static inline vf vf_of_i8(const void *p) { vi r; EACH16 r[i] = ((const int8_t *)p)[i]; return vf_of_vi(r); }
static inline void vf_of_nibbles(const void *p, vf *low, vf *high) {
    vi r;
    EACH16 r[i] = ((const uint8_t *)p)[i];
    *low = vf_of_vi(r & 15);
    *high = vf_of_vi(r >> 4);
}
static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
/* a * b + c, in one rounding where the machine can */
static inline vf vf_fma(vf a, vf b, vf c) { return a * b + c; }
/* c - a * b */
static inline vf vf_fnma(vf a, vf b, vf c) { return c - a * b; }
/* a > b ? x : y. By lanes, or compilers compare element by element. */
static inline vf vf_where_above(vf a, vf b, vf x, vf y) {
    float_lane p[4], q[4];
    lane m[4];
    vi mask;
    memcpy(p, &a, 64);
    memcpy(q, &b, 64);
    for (size_t j = 0; j < 4; j++) m[j] = p[j] > q[j];
    memcpy(&mask, m, 64);
    return (vf)(((vi)x & mask) | ((vi)y & ~mask));
}
/* Where one is no number, the second is the result. */
static inline vf vf_max(vf a, vf b) { return vf_where_above(a, b, a, b); }
static inline vf vf_min(vf a, vf b) { return vf_where_above(b, a, a, b); }
/* The larger magnitude; NaN counts as larger than infinity, so that it is never lost. */
static inline vf vf_peak(vf a, vf b) {
    vi x = (vi)a & 0x7FFFFFFF, y = (vi)b & 0x7FFFFFFF, mask = (y - x) >> 31;
    return (vf)((x & mask) | (y & ~mask));
}
static inline float vf_peak_all(vf a) {
    uint32_t top = 0;
    EACH16 top = MAX(top, bits_of_f32(a[i]) & 0x7FFFFFFF);
    return f32_of_bits(top);
}
static inline float vf_max_all(vf a) { float r = a[0]; EACH16 r = r > a[i] ? r : a[i]; return r; }
static inline float vf_sum(vf a) {
    float s[8];
    for (size_t i = 0; i < 8; i++) s[i] = a[i] + a[i + 8];
    for (size_t half = 4; half; half /= 2)
        for (size_t i = 0; i < half; i++) s[i] += s[i + half];
    return s[0];
}
/* Element i is the sum of a[i]; each sum has the same order of additions. */
static inline vf vf_sum_each(const vf a[16]) { vf r; EACH16 r[i] = vf_sum(a[i]); return r; }
/* Elements 4j..4j+3 are element 4j+k of a: the scales of vector k of a chunk from those of its units. */
static inline vf vf_spread(vf a, size_t k) { vf r; EACH16 r[i] = a[i / 4 * 4 + k]; return r; }
/* Elements 2i and 2i + 1 exchanged. */
static inline vf vf_swap(vf a) { vf r; EACH16 r[i] = a[i ^ 1]; return r; }
/* Nearest integer, half to even. */
static inline vf vf_round(vf x) { return x + 0x1.8p23f - 0x1.8p23f; }
/* x * 2^n for integers |n| <= 252: two factors, so that results below the normal range come out right. */
static inline vf vf_scale2(vf x, vf n) {
    vi e = vi_of_vf(n), first = e >> 1;
    return x * (vf)((first + 127) << 23) * (vf)((e - first + 127) << 23);
}
/* The same for n <= 127 by one factor, which may be 0 below the normal range, and is for n < -150. */
static inline vf vf_scale2_down(vf x, vf n) {
    vi e = vi_of_vf(n) + 127;
    return x * (vf)((e & (e > 0)) << 23);
}
/* 32 floats at p: those of even and of odd index; and back. */
static inline void vf_unzip(const float *p, vf *even, vf *odd) { EACH16 { (*even)[i] = p[2 * i]; (*odd)[i] = p[2 * i + 1]; } }
static inline void vf_zip(float *p, vf even, vf odd) { EACH16 { p[2 * i] = even[i]; p[2 * i + 1] = odd[i]; } }

/* ---- others ----------------------------------------------------------------------------------------- */

/* 16 rows of 16 words of 4 bytes, the rows stride apart; column w goes to 64 bytes at to + (w / 4) * far + (w % 4) * near. */
static inline void v_transpose(const void *from, size_t stride, void *to, size_t far, size_t near) {
    for (size_t w = 0; w < 16; w++)
        for (size_t row = 0; row < 16; row++)
            memcpy((char *)to + w / 4 * far + w % 4 * near + 4 * row, (const char *)from + row * stride + 4 * w, 4);
}
/* The same for 4 rows of 4 words in each lane; then lane j of each to the 64 bytes at to + j * stride. */
static inline void v_turn_4(vb x[4]) {
    vb r[4];
    for (size_t i = 0; i < 16; i++)
        for (size_t k = 0; k < 4; k++) memcpy((char *)&r[i % 4] + i / 4 * 16 + 4 * k, (const char *)&x[k] + 4 * i, 4);
    memcpy(x, r, sizeof r);
}
static inline void v_store_lanes(void *to, size_t stride, vb a, vb b, vb c, vb d) {
    const vb x[4] = {a, b, c, d};
    for (size_t i = 0; i < 16; i++) memcpy((char *)to + i / 4 * stride + i % 4 * 16, (const char *)&x[i % 4] + i / 4 * 16, 16);
}
/* Inlined at once: gcc takes a function that only prefetches for one that does nothing, and drops the call. */
static inline __attribute__((always_inline)) void v_prefetch(const void *p) { __builtin_prefetch(p); }
/* Adds up words of 8 bytes. */
static inline uint64_t v_read(const void *p, size_t n_words) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n_words; i++) sum += load_u64((const char *)p + 8 * i);
    return sum;
}

#include "kern/vec_whole.h"

#endif
