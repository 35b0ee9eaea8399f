/* kern_fours.h: decode of nibbles with a scale for 32 weights and of Q6_K in 512-bit registers (in place of kern_decode.h's way),
 * four rows at a time.
 *
 * In blocks of 256 a third of what two rows cost is scales. Those of a chunk of four rows fill two vectors, lane r for row r,
 * element j for block 2 j or 2 j + 1, and are decoded together; what is to be taken off of row r gathers in lane r of one vector.
 * Activations are read half as often, which counts where those of a long row leave no room in L1. A chunk is added in halves
 * of 128 weights, which are split anew for each activation: storing 64 bytes costs more.
 */
#ifndef LEAT_KERN_FOURS_H
#define LEAT_KERN_FOURS_H

enum { FOURS_ROWS = 4 };

/* Of blocks 2 j and 2 j + 1 of four rows: scales and what is to be taken off. */
typedef struct fours {
    vf scale[2], min[2];
} fours;
typedef fours fours_scales(const uint8_t *const b[FOURS_ROWS]);
/* A row's scales of its own, a unit each, where they are not decoded together. */
typedef vf fours_units(const uint8_t *b);
/* What both halves of a row's integers come from, and two vectors of them, the first half or the second. */
typedef void fours_load(const uint8_t *b, vb raw[2]);
typedef void fours_split(const uint8_t *b, const vb raw[2], size_t half, vb q[2]);

typedef struct fours_type {
    size_t bytes, group; /* weights a scale: 32 (both vectors of a half have the same ones), or 16 */
    fours_scales *scales;
    fours_units *units;
    fours_load *load;
    fours_split *split;
    float zero; /* what is to be taken off counts so many times */
} fours_type;

/* Half `at` of each lane, for all of it. */
KERN_INLINE vf fours_halves(vb lanes, short at) {
#define EACH(lane) FOUR(8 * (lane), 8 * (lane), 8 * (lane), 8 * (lane))
    static const _Alignas(64) short from[32] = {EACH(0), EACH(1), EACH(2), EACH(3)};
#undef EACH
    vb place = _mm512_add_epi16(vb_load(from), _mm512_set1_epi16(at));
    return _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(place, lanes)));
}
/* Bytes first, first + step, first + 2 step, first + 3 step of each lane, as numbers. */
KERN_INLINE vi fours_bytes(vb lanes, int first, int step) {
    __m128i place = _mm_add_epi32(_mm_setr_epi32(0, step, 2 * step, 3 * step), _mm_set1_epi32((int)0x80808000 + first));
    return _mm512_shuffle_epi8(lanes, _mm512_broadcast_i32x4(place));
}

/* As vf_scales of vec_avx512.h. */
KERN_INLINE fours fours_scales_k(const uint8_t *const b[FOURS_ROWS]) {
    vb x = vb_load_each(b[0], b[1], b[2], b[3]);
    vb low = vb_lookup(x, _mm512_broadcast_i32x4(_mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15)));
    vb top = vb_lookup(x, _mm512_broadcast_i32x4(_mm_setr_epi8(-1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11)));
    low = vb_and(_mm512_srlv_epi32(low, _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4))),
                 _mm512_broadcast_i32x4(_mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f)));
    vb bytes = vb_or_and(low, _mm512_srli_epi32(top, 2), vb_set(0x30));
    vf d = fours_halves(x, 0), min = fours_halves(x, 1);
    return (fours){{vf_mul(vf_of_vi(fours_bytes(bytes, 0, 2)), d), vf_mul(vf_of_vi(fours_bytes(bytes, 1, 2)), d)},
                   {vf_mul(vf_of_vi(fours_bytes(bytes, 8, 2)), min), vf_mul(vf_of_vi(fours_bytes(bytes, 9, 2)), min)}};
}
KERN_INLINE fours fours_scales_q4_k(const uint8_t *const b[FOURS_ROWS]) {
    fours f = fours_scales_k(b);
    f.scale[1] = vf_mul(f.scale[1], vf_set(0x1p-4f)); /* high nibbles stay where they are, 16 times as large */
    return f;
}
/* Six bits less 32: four of each in bytes 4 to 7 and two of each in bytes 2 and 3. */
KERN_INLINE fours fours_scales_iq4_xs(const uint8_t *const b[FOURS_ROWS]) {
    vb x = vb_load_each(b[0], b[1], b[2], b[3]), low = fours_bytes(x, 4, 1);
    vb top = _mm512_shuffle_epi8(x, vb_set_4(0x80800302)), nibble = vb_set_4(15), pair = vb_set_4(0x30);
    vi turn = _mm512_broadcast_i32x4(_mm_setr_epi32(4, 0, -4, -8));
    vb even = vb_or_and(vb_and(low, nibble), _mm512_rolv_epi32(top, turn), pair);
    vb odd = vb_or_and(_mm512_srli_epi32(low, 4), _mm512_rolv_epi32(top, vi_add(turn, vi_set(-2))), pair);
    vf d = fours_halves(x, 0);
    vi middle = vi_set(-32);
    vf first = vf_mul(vf_of_vi(vi_add(even, middle)), d), second = vf_mul(vf_of_vi(vi_add(odd, middle)), d);
    return (fours){{first, second}, {first, second}};
}

/* Blocks of 256 have their nibbles in 128 bytes, 32 a pair of blocks: lane l of both vectors is of blocks 2 l and 2 l + 1. */
KERN_INLINE void load_raw_k(const uint8_t *b, vb raw[2]) {
    vb first = once(vb_load(b)), second = once(vb_load(b + 64));
    raw[0] = _mm512_shuffle_i32x4(first, second, 0x88);
    raw[1] = _mm512_shuffle_i32x4(first, second, 0xDD);
}
KERN_INLINE void raw_q4_k(const uint8_t *b, vb raw[2]) { load_raw_k(b + 16, raw); }
KERN_INLINE void raw_q5_k(const uint8_t *b, vb raw[2]) { load_raw_k(b + 48, raw); }
KERN_INLINE void raw_iq4_xs(const uint8_t *b, vb raw[2]) { load_raw_k(b + 8, raw); }
/* Of blocks of 32 the even ones and the odd ones. */
KERN_INLINE void raw_q4_0(const uint8_t *b, vb raw[2]) { vb_load_blocks(b, 2, 18, &raw[0], &raw[1]); }
KERN_INLINE void raw_mxfp4(const uint8_t *b, vb raw[2]) { vb_load_blocks(b, 1, 17, &raw[0], &raw[1]); }
KERN_INLINE void raw_q6_k(const uint8_t *b, vb raw[2]) { (void)b, (void)raw; }

/* Low nibbles are the even block of a pair, high ones the odd one. */
KERN_INLINE void split_q4_k(const uint8_t *b, const vb raw[2], size_t half, vb q[2]) {
    (void)b;
    for (size_t i = 0; i < 2; i++) q[i] = vb_and(raw[i], vb_set(half ? 0xf0 : 15));
}
/* See load_q5_k. */
KERN_INLINE void split_q5_k(const uint8_t *b, const vb raw[2], size_t half, vb q[2]) {
    int s = half ? 3 : 4;
    for (size_t i = 0; i < 2; i++)
        q[i] = vb_or_and(half ? vb_high(raw[i]) : vb_low(raw[i]), vb_shift(vb_load_16(b + 16 + 16 * i), s, s - 2, s - 4, s - 6), vb_set(16));
}
/* Low and high nibbles are units of the same block. */
KERN_INLINE void split_q4_0(const uint8_t *b, const vb raw[2], size_t half, vb q[2]) {
    (void)b;
    q[0] = vb_low(raw[half]);
    q[1] = vb_high(raw[half]);
}
KERN_INLINE void split_values(const int8_t values[16], uint8_t plus, const vb raw[2], size_t half, vb q[2]) {
    vb table = vb_add(vb_load_16(values), vb_set(plus));
    q[0] = vb_lookup(table, vb_low(raw[half]));
    q[1] = vb_lookup(table, vb_high(raw[half]));
}
KERN_INLINE void split_iq4(const uint8_t *b, const vb raw[2], size_t half, vb q[2]) {
    (void)b;
    split_values(quant_values_iq4, 128, raw, half, q);
}
KERN_INLINE void split_mxfp4(const uint8_t *b, const vb raw[2], size_t half, vb q[2]) {
    (void)b;
    split_values(quant_values_fp4, 16, raw, half, q);
}
/* 128 weights a half, in the order of their units: low nibbles, high ones; of 32 bytes lanes 0 and 1 need bits 0 and 1, 4 and 5,
 * the others 2 and 3, 6 and 7. */
KERN_INLINE void split_q6_k(const uint8_t *b, const vb raw[2], size_t half, vb q[2]) {
    (void)raw;
    vb nibbles = once(vb_load(b + 64 * half)), bits = vb_set(0x30);
    vb pairs = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(b + 128 + 32 * half)));
    q[0] = vb_or_and(vb_low(nibbles), vb_shift(pairs, 4, 4, 2, 2), bits);
    q[1] = vb_or_and(vb_high(nibbles), vb_shift(pairs, 0, 0, -2, -2), bits);
}

KERN_INLINE vf units_q4_0(const uint8_t *b) { return vf_halves(b, 18, 2); }
KERN_INLINE vf units_mxfp4(const uint8_t *b) { return vf_exponents(b, 17); }
KERN_INLINE vf units_q6_k(const uint8_t *b) { return vf_mul(vf_of_i8(b + 192), half_for_all(b + 208)); }

/* acc += a half of four rows times an activation; scales: of both vectors, or of one after the other. */
KERN_INLINE void fours_dots(vf acc[FOURS_ROWS], const vb q[FOURS_ROWS][2], const uint8_t *x, const vf scales[FOURS_ROWS][2], size_t group) {
    vb high[2] = {once(vb_load(x)), once(vb_load(x + 128))}, low[2] = {once(vb_load(x + 64)), once(vb_load(x + 192))};
    for (size_t r = 0; r < FOURS_ROWS; r++) {
        vi dot = _mm512_dpbusd_epi32(vi_set(0), q[r][0], high[0]);
        if (group == 32) dot = _mm512_dpbusd_epi32(dot, q[r][1], high[1]);
        dot = _mm512_dpbusd_epi32(vi_shift_left(dot, 8), q[r][0], low[0]);
        if (group == 32) dot = _mm512_dpbusd_epi32(dot, q[r][1], low[1]);
        acc[r] = vf_fma(vf_of_vi(dot), scales[r][0], acc[r]);
        if (group == 32) continue;
        dot = _mm512_dpbusd_epi32(vi_set(0), q[r][1], high[1]);
        dot = _mm512_dpbusd_epi32(vi_shift_left(dot, 8), q[r][1], low[1]);
        acc[r] = vf_fma(vf_of_vi(dot), scales[r][1], acc[r]);
    }
}

/* The sums of n activations leave, less those of the lanes of below, `zero` times. */
KERN_OUTLINE void fours_end(const kern_matmul *m, size_t a, size_t n, size_t at, size_t n_rows, const vf (*acc)[FOURS_ROWS], const vf *below,
                            float zero) {
    for (size_t x = 0; x < n; x++) {
        vf words = sum_words(acc[x][0], acc[x][1], acc[x][2], acc[x][3]);
        __m256 pairs = _mm256_add_ps(_mm512_castps512_ps256(words), _mm512_extractf32x8_ps(words, 1));
        __m128 sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
        __m128 off[FOURS_ROWS] = {_mm512_castps512_ps128(below[x]), _mm512_extractf32x4_ps(below[x], 1),
                                  _mm512_extractf32x4_ps(below[x], 2), _mm512_extractf32x4_ps(below[x], 3)};
        _MM_TRANSPOSE4_PS(off[0], off[1], off[2], off[3]);
        sums = _mm_fnmadd_ps(_mm_add_ps(_mm_add_ps(off[0], off[1]), _mm_add_ps(off[2], off[3])), _mm_set1_ps(zero), sums);
        _mm_mask_storeu_ps(m->outs[a + x] + m->out_first + at, (__mmask8)((1u << n_rows) - 1), _mm_mul_ps(sums, _mm_set1_ps(m->scale)));
    }
}

/* Four rows times n activations from a on, n a constant where it is 1. */
KERN_INLINE void fours_tile(const kern_matmul *m, size_t a, size_t n, size_t at, fours_type f) {
    size_t n_rows = MIN(m->n_rows - at, (size_t)FOURS_ROWS), n_full = m->n_in / KERN_CHUNK, n_chunks = div_up(m->n_in, KERN_CHUNK);
    uint8_t padded[FOURS_ROWS][KERN_CHUNK_BYTES_MAX];
    const uint8_t *b[FOURS_ROWS];
    vf acc[DECODE_ACTS][FOURS_ROWS], below[DECODE_ACTS];
    for (size_t r = 0; r < FOURS_ROWS; r++) b[r] = (const uint8_t *)m->weights + (at + MIN(r, n_rows - 1)) * m->row_bytes;
    memset(acc, 0, n * sizeof acc[0]);
    memset(below, 0, n * sizeof below[0]);
    const uint8_t *ahead = rows_ahead(b[0], m, FOURS_ROWS);
    vi lane = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    for (size_t i = 0; i < n_chunks; i++, ahead += FOURS_ROWS * f.bytes) {
        for (size_t line = 0; line < FOURS_ROWS * f.bytes; line += 64) v_prefetch(ahead + line);
        if (!f.scales && i == n_full)
            for (size_t r = 0; r < FOURS_ROWS; r++)
                b[r] = load_end(padded[r], b[r], m->n_in % KERN_CHUNK * f.bytes / KERN_CHUNK);
        fours all = {0};
        vf units[FOURS_ROWS];
        vb raw[FOURS_ROWS][2];
        if (f.scales) all = f.scales(b);
        for (size_t r = 0; r < FOURS_ROWS; r++) {
            if (!f.scales) units[r] = f.units(b[r]);
            f.load(b[r], raw[r]);
        }
#pragma GCC unroll 1
        for (size_t x = 0; x < n; x++) {
            const kern_act16 *act = (const kern_act16 *)m->acts[a + x] + i;
            vf by = vf_set(act->scale), scale[FOURS_ROWS], sum[FOURS_ROWS];
            for (size_t r = 0; r < FOURS_ROWS; r++) sum[r] = acc[x][r];
            if (f.scales) {
                vf sums = vf_mul(all.min[0], _mm512_broadcast_f32x4(_mm_load_ps(act->blocks[0])));
                sums = vf_fma(all.min[1], _mm512_broadcast_f32x4(_mm_load_ps(act->blocks[1])), sums);
                below[x] = vf_fma(sums, by, below[x]);
                for (size_t half = 0; half < 2; half++) scale[half] = vf_mul(all.scale[half], by);
            } else {
                vf sums = vf_mul(vf_load(act->sums), vf_set(f.zero));
                for (size_t r = 0; r < FOURS_ROWS; r++) {
                    scale[r] = vf_mul(units[r], by);
                    sum[r] = vf_fnma(scale[r], sums, sum[r]);
                }
            }
            for (size_t half = 0; half < 2; half++) {
                vf scales[FOURS_ROWS][2];
                vb q[FOURS_ROWS][2];
                for (size_t r = 0; r < FOURS_ROWS; r++) {
                    f.split(b[r], raw[r], half, q[r]);
                    if (f.scales) scales[r][0] = _mm512_permutexvar_ps(vi_add(lane, vi_set(4 * (int)r)), scale[half]);
                    else if (f.group == 32) scales[r][0] = vf_spread(scale[r], 2 * half);
                    else
                        for (size_t k = 0; k < 2; k++)
                            scales[r][k] = _mm512_permutexvar_ps(vi_add(lane, vi_set(8 * (int)half + 4 * (int)k)), scale[r]);
                }
                fours_dots(sum, q, act->x + 256 * half, scales, f.group);
            }
            for (size_t r = 0; r < FOURS_ROWS; r++) acc[x][r] = sum[r];
        }
        for (size_t r = 0; r < FOURS_ROWS; r++) b[r] += f.bytes;
    }
    fours_end(m, a, n, at, n_rows, acc, below, f.zero);
}

#define FOURS(type, ...)                                                                                           \
    static void decode_##type(const kern_matmul *m) {                                                             \
        const fours_type f = {__VA_ARGS__};                                                                       \
        for (size_t r = 0; r < m->n_rows; r += FOURS_ROWS)                                                        \
            if (m->n_act == 1) fours_tile(m, 0, 1, r, f);                                                         \
            else                                                                                                  \
                for (size_t a = 0; a < m->n_act; a += DECODE_ACTS)                                                \
                    fours_tile(m, a, MIN(m->n_act - a, (size_t)DECODE_ACTS), r, f);                               \
    }
FOURS(q4_k, 144, 32, fours_scales_q4_k, NULL, raw_q4_k, split_q4_k, 1)
FOURS(q5_k, 176, 32, fours_scales_k, NULL, raw_q5_k, split_q5_k, 1)
FOURS(iq4_xs, 136, 32, fours_scales_iq4_xs, NULL, raw_iq4_xs, split_iq4, 128)
FOURS(q4_0, 144, 32, NULL, units_q4_0, raw_q4_0, split_q4_0, 8)
FOURS(iq4_nl, 144, 32, NULL, units_q4_0, raw_q4_0, split_iq4, 128)
FOURS(mxfp4, 136, 32, NULL, units_mxfp4, raw_mxfp4, split_mxfp4, 16)
FOURS(q6_k, 210, 16, NULL, units_q6_k, raw_q6_k, split_q6_k, 32)

/* The order of Q6_K: 64 columns a vector, as they come. */
static void prepare_i16_units(const float *x, size_t n, void *act) {
    kern_act16 *to = act;
    _Alignas(64) int16_t q[KERN_CHUNK];
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        prepare_chunk(x + at, MIN(n - at, KERN_CHUNK), to, q);
        for (size_t i = 0; i < KERN_CHUNK; i += 32) pack16(vb_load(q + i), i / 32 % 2, to->x + 2 * (i - i % 64));
    }
}

#endif
