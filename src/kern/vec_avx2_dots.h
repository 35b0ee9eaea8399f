/* vec_avx2_dots.h: the words of vec_avx2.h that are dot products, for CPUs without an instruction for them.
 *
 * A dot of bytes has two shapes. Weights of up to seven bits: vpmaddubsw, pairs of products added in 16 bits a few times before
 * they are widened. Wider weights: bytes split into words of even and odd place, then vpmaddwd.
 */
#ifndef LEAT_VEC_AVX2_DOTS_H
#define LEAT_VEC_AVX2_DOTS_H

#include "kern/vec_avx2.h"

#define VEC_TOKENS 3
#define VEC_MANY WORDS_TILER
#define VEC_MORE_BYTES (sizeof(words_panel) - sizeof(kern_panel))
#define VEC_NARROW(wide, narrow) narrow
/* 16 bits hold 8 sums of 2 products of 15 * 128 (30720), 4 of 31 * 128, 2 of 63 * 128, 1 of 127 * 128 (32512). */
#define VEC_STEPS(q_max, n) ((q_max) <= 15 ? (n) : (q_max) <= 31 ? 4 : (q_max) <= 63 ? 2 : 1)
#define VEC_STEPS_MANY true
#define VEC_DOT_ADDS 0
/* Unrolled, the steps of wide weights do not fit the registers. */
#define VEC_ROLLED(q_max, n) ((q_max) <= 127 ? (n) : opaque(n))
static inline size_t opaque(size_t n) {
    __asm__("" : "+r"(n));
    return n;
}

/* Activations of 16 bits: for each 32 bytes of a vector 16 words of even place, then 16 of odd place. */
static inline __m256i split_places(__m256i x) { /* 8 words of even place, 8 of odd place */
    __m128i at = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(at)), 0xD8);
}
static inline void v_pack16(const int16_t x[KERN_CHUNK], uint8_t to[2 * KERN_CHUNK]) {
    for (size_t i = 0; i < 8; i++, to += 64) { /* vector i / 2, half i % 2: two units */
        const int16_t *from = x + KERN_UNIT * (8 * (i % 2) + i / 2);
        __m256i a = split_places(load_32(from, 0)), b = split_places(load_32(from + 4 * KERN_UNIT, 0));
        _mm256_storeu_si256((void *)to, _mm256_permute2x128_si256(a, b, 0x20));
        _mm256_storeu_si256((void *)(to + 32), _mm256_permute2x128_si256(a, b, 0x31));
    }
}
static inline __m256i dot_words(__m256i w, const uint8_t *x) {
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(w, _mm256_set1_epi16(255)), load_32(x, 0));
    return _mm256_add_epi32(even, _mm256_madd_epi16(_mm256_srli_epi16(w, 8), load_32(x, 32)));
}
static inline vi vi_dot16(vb w, const kern_act16 *act, size_t k) {
    const uint8_t *x = act->x + 128 * k;
    return VI(dot_words(w.a, x), dot_words(w.b, x + 64));
}
static inline vi vi_dot16_pair(vb w0, vb w1, const kern_act16 *act, size_t k) {
    vi x = vi_dot16(w0, act, k), y = vi_dot16(w1, act, k + 1);
    return VI(_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b));
}

typedef vi vd; /* words where q_max is below 128 */
static inline vd vd_start(vi sum, int q_max) { return q_max > 127 ? sum : vi_set(0); }
static inline __m256i dot_bytes(__m256i d, __m256i w, __m256i x, int q_max) {
    if (q_max <= 127) return _mm256_add_epi16(d, _mm256_maddubs_epi16(w, x));
    __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), odd = _mm256_srai_epi16(x, 8);
    d = _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_and_si256(w, _mm256_set1_epi16(255)), even));
    return _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_srli_epi16(w, 8), odd));
}
static inline vd vd_dot(vd d, vb w, vb x, int q_max) {
    return VI(dot_bytes(d.a, w.a, x.a, q_max), dot_bytes(d.b, w.b, x.b, q_max));
}
static inline vi vd_end(vi sum, vd d, int q_max) {
    if (q_max > 127) return d;
    __m256i one = _mm256_set1_epi16(1);
    return VI(_mm256_add_epi32(sum.a, _mm256_madd_epi16(d.a, one)), _mm256_add_epi32(sum.b, _mm256_madd_epi16(d.b, one)));
}

/* n steps of 16 rows and three activations in instructions: compilers keep half of the sums in memory. Operands: weights w0 (rows
 * 0 to 7) and w1, activations x, a product t; sums of activation a are a and b, those of 16 bits are new. Two products before their
 * two sums, not in turn: 0.70 cycles each instead of 0.78 (docs/LAB.md). */
#define STEP_LOAD(s) "vmovdqa 128*" s "(%[q]),%[w0]\n vmovdqa 128*" s "+32(%[q]),%[w1]\n"
#define STEP_FIRST(act, s, a, b) \
    "vpbroadcastd 4*" s "(%[" act "]),%[x]\n vpmaddubsw %[x],%[w0],%[" a "]\n vpmaddubsw %[x],%[w1],%[" b "]\n"
#define STEP_NEXT(act, s, a, b) \
    "vpbroadcastd 4*" s "(%[" act "]),%[x]\n vpmaddubsw %[x],%[w0],%[t]\n vpmaddubsw %[x],%[w1],%[x]\n" \
    "vpaddw %[t],%[" a "],%[" a "]\n vpaddw %[x],%[" b "],%[" b "]\n"
#define STEP_WIDER(act, s, a, b) /* to sums of 32 bits */ \
    "vpbroadcastd 4*" s "(%[" act "]),%[x]\n vpmaddubsw %[x],%[w0],%[t]\n vpmaddubsw %[x],%[w1],%[x]\n" \
    "vpmaddwd %[one],%[t],%[t]\n vpmaddwd %[one],%[x],%[x]\n vpaddd %[t],%[" a "],%[" a "]\n vpaddd %[x],%[" b "],%[" b "]\n"
#define STEP_WORDS(act, at, a, b, u, v) /* weights of even place, or of odd place */ \
    "vpbroadcastd " at "(%[" act "]),%[x]\n vpmaddwd %[x],%[" u "],%[t]\n vpmaddwd %[x],%[" v "],%[x]\n" \
    "vpaddd %[t],%[" a "],%[" a "]\n vpaddd %[x],%[" b "],%[" b "]\n"
#define STEP_SPLIT "vpsrlw $8,%[w0],%[w2]\n vpsrlw $8,%[w1],%[w3]\n vpand %[mask],%[w0],%[w0]\n vpand %[mask],%[w1],%[w1]\n"
#define STEP_PAIR(act, x0, x1, a, b) /* two steps at once */ \
    "vpbroadcastd 4*" x0 "(%[" act "]),%[x]\n vpbroadcastd 4*" x1 "(%[" act "]),%[y]\n" \
    "vpmaddubsw %[x],%[w0],%[t]\n vpmaddubsw %[y],%[w2],%[u]\n vpaddw %[u],%[t],%[t]\n vpmaddwd %[one],%[t],%[t]\n vpaddd %[t],%[" a "],%[" a "]\n" \
    "vpmaddubsw %[x],%[w1],%[t]\n vpmaddubsw %[y],%[w3],%[u]\n vpaddw %[u],%[t],%[t]\n vpmaddwd %[one],%[t],%[t]\n vpaddd %[t],%[" b "],%[" b "]\n"
#define STEP_ADD_PAIR(s, next) \
    STEP_LOAD(s) "vmovdqa 128*" next "(%[q]),%[w2]\n vmovdqa 128*" next "+32(%[q]),%[w3]\n" \
    STEP_PAIR("x0", s, next, "a0", "b0") STEP_PAIR("x1", s, next, "a1", "b1") STEP_PAIR("x2", s, next, "a2", "b2")
#define STEP_EACH(op, s) op("x0", s, "a0", "b0") op("x1", s, "a1", "b1") op("x2", s, "a2", "b2")
#define STEP_EACH_WORDS(act, s, a, b) STEP_WORDS(act, "4*" s, a, b, "w0", "w1") STEP_WORDS(act, "32+4*" s, a, b, "w2", "w3")
#define STEP_SET STEP_LOAD("0") STEP_EACH(STEP_FIRST, "0")
#define STEP_ADD(s) STEP_LOAD(s) STEP_EACH(STEP_NEXT, s)
#define STEP_ADD_WIDER(s) STEP_LOAD(s) STEP_EACH(STEP_WIDER, s)
#define STEP_ADD_WORDS(s) STEP_LOAD(s) STEP_SPLIT STEP_EACH(STEP_EACH_WORDS, s)
#define STEPS_SUMS(type, s) [a0] type(s[0].a), [b0] type(s[0].b), [a1] type(s[1].a), [b1] type(s[1].b), [a2] type(s[2].a), [b2] type(s[2].b)
#define STEPS_ACTS [q] "r"(q), [x0] "r"(x[0]), [x1] "r"(x[1]), [x2] "r"(x[2]) : "memory"
static inline __attribute__((always_inline)) void steps_narrow(vi d[3], const uint8_t *q, const int8_t *const x[3], size_t n) {
    __m256i w0, w1, by, t;
#define STEPS(steps) __asm__(steps : STEPS_SUMS("=&x", d), [w0] "=&x"(w0), [w1] "=&x"(w1), [x] "=&x"(by), [t] "=&x"(t) : STEPS_ACTS)
    if (n == 4) STEPS(STEP_SET STEP_ADD("1") STEP_ADD("2") STEP_ADD("3"));
    else STEPS(STEP_SET STEP_ADD("1") STEP_ADD("2") STEP_ADD("3") STEP_ADD("4") STEP_ADD("5") STEP_ADD("6") STEP_ADD("7"));
#undef STEPS
}
static inline __attribute__((always_inline)) void steps_wider(vi sum[3], const uint8_t *q, const int8_t *const x[3], size_t n) {
    __m256i w0, w1, by, t, one = _mm256_set1_epi16(1);
#define STEPS(steps) \
    __asm__(steps : STEPS_SUMS("+&x", sum), [w0] "=&x"(w0), [w1] "=&x"(w1), [x] "=&x"(by), [t] "=&x"(t) : [one] "x"(one), STEPS_ACTS)
    if (n == 4) STEPS(STEP_ADD_WIDER("0") STEP_ADD_WIDER("1") STEP_ADD_WIDER("2") STEP_ADD_WIDER("3"));
    else STEPS(STEP_ADD_WIDER("0") STEP_ADD_WIDER("1") STEP_ADD_WIDER("2") STEP_ADD_WIDER("3")
               STEP_ADD_WIDER("4") STEP_ADD_WIDER("5") STEP_ADD_WIDER("6") STEP_ADD_WIDER("7"));
#undef STEPS
}
/* Activations are words: those of even place of each step of a block, 32 bytes further those of odd place. */
static inline __attribute__((always_inline)) void steps_words(vi sum[3], const uint8_t *q, const int16_t *const x[3], size_t n) {
    __m256i w0, w1, w2, w3, by, t, mask = _mm256_set1_epi16(255);
#define STEPS(steps) \
    __asm__(steps : STEPS_SUMS("+&x", sum), [w0] "=&x"(w0), [w1] "=&x"(w1), [w2] "=&x"(w2), [w3] "=&x"(w3), [x] "=&x"(by), [t] "=&x"(t) \
            : [mask] "x"(mask), STEPS_ACTS)
    if (n == 4) STEPS(STEP_ADD_WORDS("0") STEP_ADD_WORDS("1") STEP_ADD_WORDS("2") STEP_ADD_WORDS("3"));
    else STEPS(STEP_ADD_WORDS("0") STEP_ADD_WORDS("1") STEP_ADD_WORDS("2") STEP_ADD_WORDS("3")
               STEP_ADD_WORDS("4") STEP_ADD_WORDS("5") STEP_ADD_WORDS("6") STEP_ADD_WORDS("7"));
#undef STEPS
}
static inline __attribute__((always_inline)) void steps_pairs(vi sum[3], const uint8_t *q, const int8_t *const x[3], size_t n) {
    __m256i w0, w1, w2, w3, bx, by, t, u, one = _mm256_set1_epi16(1);
#define STEPS(steps) \
    __asm__(steps : STEPS_SUMS("+&x", sum), [w0] "=&x"(w0), [w1] "=&x"(w1), [w2] "=&x"(w2), [w3] "=&x"(w3), [x] "=&x"(bx), [y] "=&x"(by), \
                    [t] "=&x"(t), [u] "=&x"(u) : [one] "x"(one), STEPS_ACTS)
    if (n == 4) STEPS(STEP_ADD_PAIR("0", "1") STEP_ADD_PAIR("2", "3"));
    else STEPS(STEP_ADD_PAIR("0", "1") STEP_ADD_PAIR("2", "3") STEP_ADD_PAIR("4", "5") STEP_ADD_PAIR("6", "7"));
#undef STEPS
}

/* For wide weights: activations as words, see steps_words, made for a panel's first rows. Scratch: the panel comes first. */
typedef struct words_panel {
    kern_panel p;
    _Alignas(64) int16_t x[VEC_TOKENS][KERN_PANEL_DEPTH];
} words_panel;
static void acts_to_words(words_panel *to, const kern_act8 *const *x, size_t n_blocks) {
    for (size_t t = 0; t < VEC_TOKENS; t++)
        for (size_t block = 0; block < n_blocks; block++) {
            __m256i q = load_32(x[t][block].q, 0), even = _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8);
            _mm256_store_si256((void *)(to->x[t] + KERN_ACT8_LEN * block), even);
            _mm256_store_si256((void *)(to->x[t] + KERN_ACT8_LEN * block + KERN_UNIT), _mm256_srai_epi16(q, 8));
        }
}
#define WORDS_TILER(name, n_tok, group, acts, has_min, top)                                                   \
    TILER(name##_ready, n_tok, group, acts, has_min, top)                                                     \
    static void name(kern_panel *p, size_t sub, size_t from, size_t to, const void *const *x,                 \
                     float (*out)[KERN_PANEL_SUBS][16]) {                                                     \
        if ((top) > 127 && !sub) acts_to_words((words_panel *)p, (const kern_act8 *const *)x, to);                    \
        name##_ready(p, sub, from, to, x, out);                                                               \
    }

static inline __attribute__((always_inline)) void v_steps_many(vi (*sum)[1], const kern_panel *p, size_t sub, size_t step,
                                                               const int8_t *const x[3], size_t n, int q_max) {
    const words_panel *words = (const words_panel *)p;
    const uint8_t *q = p->q[step][sub];
    vi to[3] = {sum[0][0], sum[1][0], sum[2][0]};
    if (q_max > 127) {
        size_t at = step / 8 * KERN_ACT8_LEN + step % 8 * 2;
        const int16_t *from[3] = {words->x[0] + at, words->x[1] + at, words->x[2] + at};
        steps_words(to, q, from, n);
    } else if (q_max > 63) steps_wider(to, q, x, n);
    else if (q_max > 31) steps_pairs(to, q, x, n);
    else
        for (size_t at = 0; at < n; at += VEC_STEPS(q_max, n)) {
            const int8_t *from[3] = {x[0] + 4 * at, x[1] + 4 * at, x[2] + 4 * at};
            __m256i one = _mm256_set1_epi16(1);
            vi d[3];
            steps_narrow(d, q + 128 * at, from, VEC_STEPS(q_max, n));
            for (size_t t = 0; t < 3; t++)
                to[t] = VI(_mm256_add_epi32(to[t].a, _mm256_madd_epi16(d[t].a, one)), _mm256_add_epi32(to[t].b, _mm256_madd_epi16(d[t].b, one)));
        }
    for (size_t t = 0; t < 3; t++) sum[t][0] = to[t];
}

static inline vi vd_signed(vi sum, const int32_t *minus, int q_max) { (void)minus; (void)q_max; return sum; }

#endif
