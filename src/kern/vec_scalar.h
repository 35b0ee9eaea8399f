/* vec_scalar.h: the vector vocabulary in plain C: the specification of what each word means.
 *
 * Three vectors: vb 64 bytes (in 4 lanes of 16), vi 16 int32, vf 16 float; element i of vi and vf stands for bytes
 * 4i..4i+3 of vb. The other vocabularies have the same words on their registers; they may order the additions of a
 * sum differently and fuse multiply and add.
 */
#ifndef LEAT_VEC_SCALAR_H
#define LEAT_VEC_SCALAR_H

#include "base/base.h"
#include "kern/kern_int.h"
#include "quant/quant_scalar.h"

#define VEC_NAME "scalar"
#define VEC_TABLE kern_scalar
#define VEC_NEEDS 0
#define VEC_SUBS 1          /* a panel has 16 * VEC_SUBS rows                              */
#define VEC_TOKENS 1        /* activations a tile of the panel kernels                     */
#define VEC_FLOAT_TOKENS 1  /* the same for float types                                    */
#define VEC_ACTS 1          /* activations a pass of the decode kernels                    */
#define VEC_AHEAD 1024      /* bytes that the decode kernels prefetch ahead                */
#define VEC_STRIP 1         /* vectors of a query's output that the attention kernel holds */
#define VEC_STEPS(q_max, n) (n) /* of n dot steps, how many go between vd_start and vd_end      */

typedef struct vb { uint8_t v[64]; } vb;
typedef struct vi { int32_t v[16]; } vi;
typedef struct vf { float v[16]; } vf;
#define EACH16 for (size_t i = 0; i < 16; i++)

/* ---- bytes ------------------------------------------------------------------------------------------ */

static inline vb vb_load(const void *p) { vb r; memcpy(r.v, p, 64); return r; }
static inline void vb_store(void *p, vb a) { memcpy(p, a.v, 64); }
static inline vb vb_set(uint8_t x) { vb r; memset(r.v, x, 64); return r; }
static inline vb vb_xor(vb a, vb b) { for (size_t i = 0; i < 64; i++) a.v[i] ^= b.v[i]; return a; }
/* Lane j is the 16 bytes at p + j * stride. */
static inline vb vb_load_lanes(const void *p, size_t stride) {
    vb r;
    for (size_t j = 0; j < 4; j++) memcpy(r.v + 16 * j, (const char *)p + j * stride, 16);
    return r;
}
/* The same 4 bytes in all places. */
static inline vb vb_load_4(const void *p) {
    vb r;
    for (size_t i = 0; i < 16; i++) memcpy(r.v + 4 * i, p, 4);
    return r;
}

/* ---- int32 ------------------------------------------------------------------------------------------ */

static inline vi vi_set(int32_t x) { vi r; EACH16 r.v[i] = x; return r; }
/* Rounds to the nearest even; |x| < 2^22. */
static inline vi vi_of_vf(vf x) {
    vi r;
    EACH16 r.v[i] = (int32_t)(bits_of_f32(x.v[i] + 0x1.8p23f) - 0x4B400000);
    return r;
}
static inline vi vi_load_1(const int32_t *p) { return vi_set(*p); }
static inline void vi_store(int32_t *p, vi a) { memcpy(p, a.v, 64); }
static inline vi vi_shift_left(vi a, int n) { EACH16 a.v[i] = (int32_t)((uint32_t)a.v[i] << n); return a; }
static inline void vi_store_i16(int16_t *p, vi a) { EACH16 p[i] = (int16_t)a.v[i]; }
static inline void vi_store_i8(int8_t *p, vi a) { EACH16 p[i] = (int8_t)a.v[i]; }

/* Activations of 16 bits: here int16 in the order of the vectors. */
static inline void v_pack16(const int16_t x[KERN_CHUNK], uint8_t to[2 * KERN_CHUNK]) {
    for (size_t k = 0; k < 4; k++)
        for (size_t j = 0; j < 4; j++) memcpy(to + 128 * k + 32 * j, x + KERN_UNIT * (4 * j + k), 32);
}
/* Vector k of a chunk (unsigned bytes) times its activations, four products to an element. */
static inline vi vi_dot16(vb w, const kern_act16 *a, size_t k) {
    vi r = vi_set(0);
    for (size_t i = 0; i < 64; i++) {
        int16_t x;
        memcpy(&x, a->x + 128 * k + 2 * i, 2);
        r.v[i / 4] += w.v[i] * x;
    }
    return r;
}
/* Vectors k and k + 1 into the same elements. */
static inline vi vi_dot16_pair(vb w0, vb w1, const kern_act16 *a, size_t k) {
    vi r = vi_dot16(w0, a, k), s = vi_dot16(w1, a, k + 1);
    EACH16 r.v[i] += s.v[i];
    return r;
}

/* Dots of 8-bit activations: unsigned weights w <= q_max times signed x, four products to an element, VEC_STEPS(q_max)
 * times between start and end. What lies between may be narrower than 32 bits. */
typedef vi vd;
static inline vd vd_start(vi sum, int q_max) { (void)q_max; return sum; }
static inline vd vd_dot(vd d, vb w, vb x, int q_max) {
    (void)q_max;
    for (size_t i = 0; i < 64; i++) d.v[i / 4] += w.v[i] * (int8_t)x.v[i];
    return d;
}
static inline vi vd_end(vi sum, vd d, int q_max) { (void)sum; (void)q_max; return d; }

/* ---- float ------------------------------------------------------------------------------------------ */

static inline vf vf_set(float x) { vf r; EACH16 r.v[i] = x; return r; }
static inline vf vf_load(const void *p) { vf r; memcpy(r.v, p, 64); return r; }
static inline void vf_store(float *p, vf a) { memcpy(p, a.v, 64); }
/* The first n <= 16 elements, zero after them. */
static inline vf vf_load_n(const float *p, size_t n) { vf r = vf_set(0); memcpy(r.v, p, 4 * n); return r; }
static inline void vf_store_n(float *p, vf a, size_t n) { memcpy(p, a.v, 4 * n); }
static inline vf vf_load_f16(const void *p) { vf r; EACH16 r.v[i] = quant_half((const char *)p + 2 * i); return r; }
static inline void vf_store_f16(uint16_t *p, vf a) { EACH16 p[i] = f16_of_f32(a.v[i]); }
static inline vf vf_load_bf16(const void *p) {
    vf r;
    EACH16 r.v[i] = f32_of_bf16(load_u16((const char *)p + 2 * i));
    return r;
}
static inline vf vf_load_f64(const void *p) { vf r; EACH16 r.v[i] = (float)load_f64((const char *)p + 8 * i); return r; }
static inline vf vf_of_vi(vi a) { vf r; EACH16 r.v[i] = (float)a.v[i]; return r; }
static inline vf vf_add(vf a, vf b) { EACH16 a.v[i] += b.v[i]; return a; }
static inline vf vf_sub(vf a, vf b) { EACH16 a.v[i] -= b.v[i]; return a; }
static inline vf vf_mul(vf a, vf b) { EACH16 a.v[i] *= b.v[i]; return a; }
static inline vf vf_div(vf a, vf b) { EACH16 a.v[i] /= b.v[i]; return a; }
/* a * b + c, in one rounding where the machine can */
static inline vf vf_fma(vf a, vf b, vf c) { EACH16 c.v[i] += a.v[i] * b.v[i]; return c; }
/* c - a * b */
static inline vf vf_fnma(vf a, vf b, vf c) { EACH16 c.v[i] -= a.v[i] * b.v[i]; return c; }
/* Where one is no number, the second is the result. */
static inline vf vf_max(vf a, vf b) { EACH16 b.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return b; }
static inline vf vf_min(vf a, vf b) { EACH16 b.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i]; return b; }
/* a > b ? x : y */
static inline vf vf_where_above(vf a, vf b, vf x, vf y) { EACH16 x.v[i] = a.v[i] > b.v[i] ? x.v[i] : y.v[i]; return x; }
/* The larger magnitude; NaN counts as larger than infinity, so that it is never lost. */
static inline vf vf_peak(vf a, vf b) {
    EACH16 {
        uint32_t x = bits_of_f32(a.v[i]) & 0x7FFFFFFF, y = bits_of_f32(b.v[i]) & 0x7FFFFFFF;
        a.v[i] = f32_of_bits(x > y ? x : y);
    }
    return a;
}
static inline float vf_peak_all(vf a) {
    uint32_t top = 0;
    EACH16 top = MAX(top, bits_of_f32(a.v[i]) & 0x7FFFFFFF);
    return f32_of_bits(top);
}
static inline float vf_max_all(vf a) { float r = a.v[0]; EACH16 r = r > a.v[i] ? r : a.v[i]; return r; }
static inline float vf_sum(vf a) {
    for (size_t half = 8; half; half /= 2)
        for (size_t i = 0; i < half; i++) a.v[i] += a.v[i + half];
    return a.v[0];
}
/* Element i is the sum of a[i]; each sum has the same order of additions. */
static inline vf vf_sum_each(const vf a[16]) { vf r; EACH16 r.v[i] = vf_sum(a[i]); return r; }
/* Elements 4j..4j+3 are element 4j+k of a: the scales of vector k of a chunk from those of its units. */
static inline vf vf_spread(vf a, size_t k) { vf r; EACH16 r.v[i] = a.v[i / 4 * 4 + k]; return r; }
/* Elements 2i and 2i + 1 exchanged. */
static inline vf vf_swap(vf a) { vf r; EACH16 r.v[i] = a.v[i ^ 1]; return r; }
/* Nearest integer, half to even. */
static inline vf vf_round(vf x) { EACH16 x.v[i] = x.v[i] + 0x1.8p23f - 0x1.8p23f; return x; }
/* x * 2^n for integers |n| <= 252: two factors, so that results below the normal range come out right. */
static inline vf vf_scale2(vf x, vf n) {
    vi whole = vi_of_vf(n);
    EACH16 {
        int32_t e = whole.v[i], first = e / 2;
        x.v[i] = x.v[i] * f32_of_bits((uint32_t)(first + 127) << 23) * f32_of_bits((uint32_t)(e - first + 127) << 23);
    }
    return x;
}
/* 32 floats at p: those of even and of odd index; and back. */
static inline void vf_unzip(const float *p, vf *even, vf *odd) { EACH16 { even->v[i] = p[2 * i]; odd->v[i] = p[2 * i + 1]; } }
static inline void vf_zip(float *p, vf even, vf odd) { EACH16 { p[2 * i] = even.v[i]; p[2 * i + 1] = odd.v[i]; } }

/* ---- others ----------------------------------------------------------------------------------------- */

/* 16 rows of 16 words of 4 bytes, the rows stride apart; column w goes to 64 bytes at to + (w / 4) * far + (w % 4) * near. */
static inline void v_transpose(const void *from, size_t stride, void *to, size_t far, size_t near) {
    for (size_t w = 0; w < 16; w++)
        for (size_t row = 0; row < 16; row++)
            memcpy((char *)to + w / 4 * far + w % 4 * near + 4 * row, (const char *)from + row * stride + 4 * w, 4);
}
/* Inlined at once: gcc takes a function that only prefetches for one that does nothing, and drops the call. */
static inline __attribute__((always_inline)) void v_prefetch(const void *p) { __builtin_prefetch(p); }
/* Adds up words of 8 bytes. */
static inline uint64_t v_read(const void *p, size_t n_words) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n_words; i++) sum += load_u64((const char *)p + 8 * i);
    return sum;
}

#endif
