/* kern_bytes.h: decode of the K types and of pairs of bits, in 256-bit registers (AVX2; beside kern_words.h).
 *
 * The only product of bytes there, vpmaddubsw, leaves sums of two as words: 32 products an instruction, where words have 16. So
 * these types take activations in 8 bits, those that Q4_K has in prompts, as KERN_ACT_I8_HALVES: vector k has units k and 8 + k,
 * a lane each. Sums of a unit or a block are multiplied by the integers that are the weights' scales, then by the activations' scale times
 * that of the chunk. What is to be taken off is a multiple of the activations' sums. With blocks of 32 weights
 * half as many activations would have to share a scale, which takes as long as words do (docs/LAB.md).
 */
#ifndef LEAT_KERN_BYTES_H
#define LEAT_KERN_BYTES_H

/* How scales come. */
typedef enum {
    BYTES_UNITS,  /* words: of 16 units, in turn             */
    BYTES_BLOCKS, /* bytes: of 8 blocks of 32, in both lanes */
    BYTES_ONE     /* none but the chunk's float              */
} bytes_scaling;
typedef struct bytes_scales {
    __m256i by;   /* the integers                                                                    */
    __m256i off;  /* UNITS: words, by which the units' sums are multiplied, too                      */
    __m256 scale; /* of the chunk                                                                    */
    __m256 min;   /* UNITS: times that taken off; BLOCKS: of each block, times its sum; ONE: not set */
} bytes_scales;
typedef __m256i bytes_load(const uint8_t *b, size_t k);
typedef bytes_scales bytes_scales_of(const uint8_t *b);
typedef struct bytes_type {
    size_t bytes; /* of a chunk */
    bytes_scaling scaling;
    bytes_load *load;
    bytes_scales_of *scales;
    int up; /* vectors 4 to 7 are loaded times 2^up: their bits stay where they are, and their sum is divided at the row's end */
} bytes_type;

/* ---- what types are made of -------------------------------------------------------------------------------- */

/* Bits of the words of x, moved up by n or down by -n. */
KERN_INLINE __m256i bytes_moved(__m256i x, int n, int mask) {
    return _mm256_and_si256(n < 0 ? _mm256_srli_epi16(x, -n) : _mm256_slli_epi16(x, n), _mm256_set1_epi8((char)mask));
}
KERN_INLINE __m256 bytes_numbers(__m256i x) { return _mm256_cvtepi32_ps(_mm256_shuffle_epi8(x, words_places())); }
/* The two halves at b in turn. */
KERN_INLINE __m256 bytes_two_halves(const uint8_t *b) { return _mm256_cvtph_ps(_mm_set1_epi32((int)load_u32(b))); }

/* ---- types ------------------------------------------------------------------------------------------------- */

KERN_INLINE __m256i bytes_q4_k(const uint8_t *b, size_t k) {
    return words_nibbles(words_halves(b + 16 + 32 * (k / 4) + 16 * (k % 2), 64), k % 4 >= 2);
}
KERN_INLINE bytes_scales bytes_scales_k(const uint8_t *b) {
    uint32_t low_scales = load_u32(b + 4), low_mins = load_u32(b + 8), high = load_u32(b + 12);
    uint64_t high_scales = (high & 0x0f0f0f0f) | (low_scales >> 2 & 0x30303030);
    uint64_t high_mins = (high >> 4 & 0x0f0f0f0f) | (low_mins >> 2 & 0x30303030);
    __m256 d = bytes_two_halves(b);
    bytes_scales s;
    s.by = words_spread((low_scales & 0x3f3f3f3f) | high_scales << 32);
    s.scale = _mm256_moveldup_ps(d);
    s.min = _mm256_mul_ps(bytes_numbers(words_spread((low_mins & 0x3f3f3f3f) | high_mins << 32)), _mm256_movehdup_ps(d));
    return s;
}

/* The fifth bits of block i are bits i of the same 32 bytes: of a lane bits 0 to 3, once the second's are moved down. */
KERN_INLINE __m256i bytes_lane_bits(const uint8_t *b) {
    return _mm256_srlv_epi32(_mm256_broadcastsi128_si256(load_16(b, 0)), _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4));
}
KERN_INLINE __m256i bytes_q5_k(const uint8_t *b, size_t k) {
    return _mm256_or_si256(bytes_q4_k(b + 32, k), bytes_moved(bytes_lane_bits(b + 16 + 16 * (k % 2)), 4 - (int)(k / 2), 0x10));
}

KERN_INLINE __m256i bytes_q6_k(const uint8_t *b, size_t k) {
    __m256i pairs = bytes_moved(words_halves(b + 128 + 16 * (k % 2), 32), 4 - (int)(k & 6), 0x30);
    return _mm256_or_si256(words_nibbles(words_halves(b + 16 * (k % 4), 64), k >= 4), pairs);
}
/* Scales of units; the weights are less `zero`. */
KERN_INLINE bytes_scales bytes_signed_units(__m128i scales, const uint8_t *half, float zero) {
    bytes_scales s = {.by = _mm256_cvtepi8_epi16(scales), .scale = words_half(half)};
    s.off = s.by;
    s.min = _mm256_mul_ps(s.scale, _mm256_set1_ps(zero));
    return s;
}
KERN_INLINE bytes_scales bytes_scales_q6_k(const uint8_t *b) { return bytes_signed_units(load_16(b, 192), b + 208, 32); }

/* Pairs p of 16 bytes of each half; those from 2 on times 16. */
KERN_INLINE __m256i bytes_pairs(const uint8_t *b, size_t k) {
    return bytes_moved(words_halves(b + 16 * (k % 2), 32), -(int)(k & 2), k < 4 ? 3 : 3 << 4);
}
KERN_INLINE __m256i bytes_q2_k(const uint8_t *b, size_t k) { return bytes_pairs(b + 16, k); }
KERN_INLINE bytes_scales bytes_scales_q2_k(const uint8_t *b) {
    __m256i x = _mm256_cvtepu8_epi16(load_16(b, 0));
    __m256 d = bytes_two_halves(b + 80);
    return (bytes_scales){_mm256_and_si256(x, words_set(15)), _mm256_srli_epi16(x, 4), _mm256_moveldup_ps(d), _mm256_movehdup_ps(d)};
}
KERN_INLINE bytes_scales bytes_scales_tq2_0(const uint8_t *b) { return (bytes_scales){.scale = words_half(b + 64)}; }

/* The third bits of vector 2 p + j are bits p of a lane's. They are looked up for pairs p and p + 2 at once, which
 * stay times 16. */
KERN_INLINE __m256i bytes_q3_k(const uint8_t *b, size_t k) {
#define THIRD(p, n) ((n) >> (p) & 1) << 2 | ((n) >> ((p) + 2) & 1) << 6
#define THIRDS(p) THIRD(p, 0), THIRD(p, 1), THIRD(p, 2), THIRD(p, 3), THIRD(p, 4), THIRD(p, 5), THIRD(p, 6), THIRD(p, 7), \
                  THIRD(p, 8), THIRD(p, 9), THIRD(p, 10), THIRD(p, 11), THIRD(p, 12), THIRD(p, 13), THIRD(p, 14), THIRD(p, 15)
    static const _Alignas(16) uint8_t third[2][16] = {{THIRDS(0)}, {THIRDS(1)}};
#undef THIRDS
#undef THIRD
    __m256i bits = bytes_moved(bytes_lane_bits(b + 16 * (k % 2)), 0, 15), table = _mm256_broadcastsi128_si256(load_16(third[k / 2 % 2], 0));
    __m256i x = bytes_moved(words_halves(b + 32 + 16 * (k % 2), 32), -(int)(k & 2), 0x33);
    return bytes_moved(_mm256_or_si256(x, _mm256_shuffle_epi8(table, bits)), 0, k < 4 ? 7 : 7 << 4);
}
KERN_INLINE bytes_scales bytes_scales_q3_k(const uint8_t *b) {
    uint64_t scales[2];
    scales_q3_k(b, scales);
    return bytes_signed_units(_mm_set_epi64x((long long)words_less_32(scales[1]), (long long)words_less_32(scales[0])), b + 108, 4);
}

/* ---- chunks ------------------------------------------------------------------------------------------------ */

/* The scales of vector k, or those that vectors k and k + 1 have in common, for all words of it. */
KERN_INLINE __m256i bytes_scale(__m256i by, size_t k, bytes_scaling scaling) {
#define UNIT(i) 2 * (i), 2 * (i) + 1
#define BLOCK(i) (i), -1
#define ALL(of) of, of, of, of, of, of, of, of
#define UNITS(i) {ALL(UNIT(i)), ALL(UNIT(i))}
#define BLOCKS(i) {ALL(BLOCK(i)), ALL(BLOCK(4 + (i)))}
    static const _Alignas(32) int8_t units[8][32] = {UNITS(0), UNITS(1), UNITS(2), UNITS(3), UNITS(4), UNITS(5), UNITS(6), UNITS(7)};
    static const _Alignas(32) int8_t blocks[4][32] = {BLOCKS(0), BLOCKS(1), BLOCKS(2), BLOCKS(3)};
#undef BLOCKS
#undef UNITS
#undef ALL
#undef BLOCK
#undef UNIT
    return scaling == BYTES_ONE ? words_set(1) : _mm256_shuffle_epi8(by, load_32(scaling == BYTES_UNITS ? units[k] : blocks[k / 2], 0));
}

/* No overflow: a word adds four products of at most 48 * 128, or two of 112 * 128; 32 bits four words times -128, which a float
 * holds exactly. */
KERN_INLINE void bytes_add(words_sums *to, const uint8_t *b, bytes_scales s, const kern_act8_halves *act, bytes_type f) {
#pragma GCC unroll 4 /* k must be a constant */
    for (size_t k = 0; k < 8; k += 2) {
        __m256i x = _mm256_maddubs_epi16(f.load(b, k), load_32(act->q, 32 * k)), sum;
        __m256i y = _mm256_maddubs_epi16(f.load(b, k + 1), load_32(act->q, 32 * k + 32));
        __m256 scale = _mm256_mul_ps(_mm256_load_ps(act->scale[k / 2]), s.scale), *of = &to->of[f.up ? k / 4 : k / 2 % 2];
        if (f.scaling == BYTES_UNITS)
            sum = _mm256_add_epi32(_mm256_madd_epi16(x, bytes_scale(s.by, k, f.scaling)),
                                   _mm256_madd_epi16(y, bytes_scale(s.by, k + 1, f.scaling)));
        else sum = _mm256_madd_epi16(_mm256_add_epi16(x, y), bytes_scale(s.by, k, f.scaling));
        *of = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, *of);
    }
    if (f.scaling == BYTES_UNITS) {
        __m256i off = _mm256_madd_epi16(s.off, load_32(act->units, 0));
        __m256 min = _mm256_mul_ps(_mm256_load_ps(act->blocks), s.min);
        to->below = _mm256_fmadd_ps(_mm256_cvtepi32_ps(off), min, to->below);
    } else to->below = _mm256_fmadd_ps(f.scaling == BYTES_ONE ? s.scale : s.min, _mm256_load_ps(act->sums), to->below);
}
KERN_INLINE float bytes_end(words_sums s, int up) {
    __m256 sum = up ? _mm256_fmadd_ps(s.of[1], _mm256_set1_ps(1 / (float)(1 << up)), s.of[0]) : _mm256_add_ps(s.of[0], s.of[1]);
    return vf_sum(VF(_mm256_sub_ps(sum, s.below), _mm256_setzero_ps()));
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

/* Rows are whole chunks: all of these types have blocks of 256. */
KERN_INLINE void bytes_row(const kern_matmul *m, size_t r, bytes_type f) {
    const uint8_t *b = (const uint8_t *)m->weights + r * m->row_bytes;
    const kern_act8_halves *act = m->acts[0];
    words_sums sums = words_start();
    for (size_t left = m->n_in / KERN_CHUNK; left; left--, b += f.bytes, act++) {
        for (size_t line = 0; line < f.bytes; line += 64) v_prefetch(b + VEC_AHEAD + line);
        bytes_add(&sums, b, f.scales(b), act, f);
    }
    m->outs[0][m->out_first + r] = bytes_end(sums, f.up) * m->scale;
}

/* A chunk as its type's functions leave it, for several activations. */
typedef struct bytes_chunk {
    __m256i q[8];
    bytes_scales scales;
} bytes_chunk;
KERN_INLINE __m256i bytes_stored(const uint8_t *b, size_t k) { return ((const bytes_chunk *)b)->q[k]; }

/* sums[x] += chunks times activations x from their chunk `at` on: a copy a way of scaling. */
#define BYTES_TIMES(scaling, up)                                                                                     \
    KERN_OUTLINE void bytes_times_##scaling##_##up(words_sums *sums, const bytes_chunk *c, size_t n,                 \
                                                   const void *const *acts, size_t n_act, size_t at) {               \
        const bytes_type f = {0, BYTES_##scaling, bytes_stored, NULL, up};                                           \
        for (size_t x = 0; x < n_act; x++) {                                                                         \
            const kern_act8_halves *act = (const kern_act8_halves *)acts[x] + at;                                    \
            words_sums sum = sums[x];                                                                                \
            for (size_t i = 0; i < n; i++) bytes_add(&sum, (const uint8_t *)&c[i], c[i].scales, act + i, f);         \
            sums[x] = sum;                                                                                           \
        }                                                                                                            \
    }
BYTES_TIMES(UNITS, 0)
BYTES_TIMES(UNITS, 4)
BYTES_TIMES(BLOCKS, 0)
BYTES_TIMES(ONE, 4)
typedef void bytes_times(words_sums *sums, const bytes_chunk *c, size_t n, const void *const *acts, size_t n_act, size_t at);

/* A row times up to DECODE_ACTS activations, 16 chunks of it at a time. */
KERN_INLINE void bytes_row_stored(const kern_matmul *m, size_t r, size_t a, size_t n, bytes_type f, bytes_times *multiply) {
    bytes_chunk c[16];
    words_sums sums[DECODE_ACTS];
    const uint8_t *b = (const uint8_t *)m->weights + r * m->row_bytes;
    size_t n_chunks = m->n_in / KERN_CHUNK;
    for (size_t x = 0; x < n; x++) sums[x] = words_start();
    for (size_t at = 0; at < n_chunks; at += 16) {
        size_t here = MIN(n_chunks - at, (size_t)16);
        fetch_ahead(b + VEC_AHEAD, here * f.bytes);
        for (size_t i = 0; i < here; i++, b += f.bytes) {
            c[i].scales = f.scales(b);
#pragma GCC unroll 8
            for (size_t k = 0; k < 8; k++) c[i].q[k] = f.load(b, k);
        }
        multiply(sums, c, here, m->acts + a, n, at);
    }
    for (size_t x = 0; x < n; x++) m->outs[a + x][m->out_first + r] = bytes_end(sums[x], f.up) * m->scale;
}

#define BYTES_ROWS(type, bytes, scaling, up, load, scales)                                                      \
    static void decode_##type(const kern_matmul *m) {                                                           \
        const bytes_type f = {bytes, BYTES_##scaling, bytes_##load, bytes_scales_##scales, up};                 \
        for (size_t r = 0; r < m->n_rows; r++)                                                                  \
            if (m->n_act == 1) bytes_row(m, r, f);                                                              \
            else                                                                                                \
                for (size_t a = 0; a < m->n_act; a += DECODE_ACTS)                                              \
                    bytes_row_stored(m, r, a, MIN(m->n_act - a, (size_t)DECODE_ACTS), f, bytes_times_##scaling##_##up); \
    }
BYTES_ROWS(q2_k, 84, UNITS, 4, q2_k, q2_k)
BYTES_ROWS(q3_k, 110, UNITS, 4, q3_k, q3_k)
BYTES_ROWS(q4_k, 144, BLOCKS, 0, q4_k, k)
BYTES_ROWS(q5_k, 176, BLOCKS, 0, q5_k, k)
BYTES_ROWS(q6_k, 210, UNITS, 0, q6_k, q6_k)
BYTES_ROWS(tq2_0, 66, ONE, 4, pairs, tq2_0)

/* ---- activations ------------------------------------------------------------------------------------------- */

static void prepare_i8_halves(const float *x, size_t n, void *act) {
    kern_act8_halves *to = act;
    kern_act8 of[KERN_CHUNK / KERN_ACT8_LEN];
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        prepare_i8(x + at, MIN(n - at, KERN_CHUNK), true, of);
        for (size_t u = 0; u < KERN_UNITS; u++) {
            memcpy(to->q + 32 * (u % 8) + 16 * (u / 8), of[u / 2].q + KERN_UNIT * (u % 2), KERN_UNIT);
            to->units[u] = (int16_t)-of[u / 2].unit[u % 2].minus;
        }
        for (size_t i = 0; i < KERN_UNITS / 2; i++) {
            to->blocks[i] = of[i].unit[0].scale;
            to->sums[i] = of[i].unit[0].sum;
            for (size_t j = 0; j < 4; j++) to->scale[i % 4][i / 4 * 4 + j] = to->blocks[i];
        }
    }
}

#endif
