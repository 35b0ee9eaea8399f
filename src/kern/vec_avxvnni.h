/* vec_avxvnni.h: the vocabulary of AVX2 (vec_avx2.h) with dot products of bytes by VNNI's instruction, for panels alone.
 */
#ifndef LEAT_VEC_AVXVNNI_H
#define LEAT_VEC_AVXVNNI_H

#include "kern/vec_avx2.h"

#define VEC_TOKENS 4
#define VEC_MANY TILER
#define VEC_NARROW(wide, narrow) wide
#define VEC_STEPS(q_max, n) (n)
#define VEC_STEPS_MANY false
#define v_steps_many(sum, p, sub, step, x, n, q_max) (void)(x)
#define VEC_DOT_ADDS 1
#define VEC_ROLLED(q_max, n) (n)

static inline vi dot_bytes(vi d, vb w, vb x) {
    return VI(_mm256_dpbusd_avx_epi32(d.a, w.a, x.a), _mm256_dpbusd_avx_epi32(d.b, w.b, x.b));
}

typedef vi vd;
static inline vd vd_start(vi sum, int q_max) { (void)q_max; return sum; }
static inline vd vd_dot(vd d, vb w, vb x, int q_max) { (void)q_max; return dot_bytes(d, w, x); }
static inline vi vd_end(vi sum, vd d, int q_max) { (void)sum; (void)q_max; return d; }
static inline vi vd_signed(vi sum, const int32_t *minus, int q_max) { (void)minus; (void)q_max; return sum; }

#endif
