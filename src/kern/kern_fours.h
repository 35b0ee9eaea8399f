/* kern_fours.h: decode of nibbles with a scale for 32 weights, four rows at a time in 512-bit registers (in place of
 * kern_decode.h's way, with the same bits).
 *
 * In blocks of 256 a third of what two rows cost is scales. Those of a chunk of four rows fill two vectors, lane r for row r,
 * element j for block 2 j or 2 j + 1, and are decoded together. Activations are read half as often, which counts where those of a long row
 * leave no room in L1. High nibbles of Q4_K stay where they are, 16 times as large, and their scales are a 16th.
 */
#ifndef LEAT_KERN_FOURS_H
#define LEAT_KERN_FOURS_H

enum { FOURS_ROWS = 4 };

/* Of blocks 2 j and 2 j + 1: scales and what is to be taken off. */
typedef struct fours {
    vf scale[2], min[2];
} fours;
typedef fours fours_scales(const uint8_t *const b[FOURS_ROWS]);
/* A row's weights, and of types whose scales are not decoded together its scales, a unit each. */
typedef void fours_split(const uint8_t *b, vb q[4], vf *scale);

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

KERN_INLINE void split_q4_k(const uint8_t *b, vb q[4], vf *scale) {
    (void)scale;
    vb first, second, high = vb_set(0xf0);
    vb_load_split(b + 16, &first, &second);
    q[0] = vb_low(first);
    q[1] = vb_low(second);
    q[2] = vb_and(first, high);
    q[3] = vb_and(second, high);
}
KERN_INLINE void split_iq4_xs(const uint8_t *b, vb q[4], vf *scale) {
    (void)scale;
    vb even, odd;
    vb_load_split(b + 8, &even, &odd);
    split_nibbles_32(even, odd, q);
    look_up(quant_values_iq4, 128, q);
}
#define FOURS_SPLIT(type)                                                  \
    KERN_INLINE void split_##type(const uint8_t *b, vb q[4], vf *scale) { \
        chunk c = load_##type(b);                                         \
        for (size_t k = 0; k < 4; k++) q[k] = c.q[k];                     \
        *scale = c.scale;                                                 \
    }
FOURS_SPLIT(q5_k)
FOURS_SPLIT(q4_0)
FOURS_SPLIT(iq4_nl)

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

/* What is taken off counts `zero` times; scales of odd blocks `odd` times. The operations are those of decode_chunks. */
KERN_INLINE void fours_tile(const kern_matmul *m, size_t a, size_t at, size_t bytes, fours_scales *scales, fours_split *split,
                            float zero, float odd) {
    const kern_act16 *act = m->acts[a];
    size_t n_rows = MIN(m->n_rows - at, (size_t)FOURS_ROWS), n_full = m->n_in / KERN_CHUNK, n_chunks = div_up(m->n_in, KERN_CHUNK);
    uint8_t padded[FOURS_ROWS][KERN_CHUNK_BYTES_MAX];
    const uint8_t *b[FOURS_ROWS];
    vf acc[FOURS_ROWS];
    for (size_t r = 0; r < FOURS_ROWS; r++) {
        b[r] = (const uint8_t *)m->weights + (at + MIN(r, n_rows - 1)) * m->row_bytes;
        acc[r] = vf_set(0);
    }
    const uint8_t *ahead = rows_ahead(b[0], m, FOURS_ROWS);
    vi lane = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    vi both = vi_add(lane, _mm512_set4_epi32(16, 16, 0, 0)); /* of two vectors */
    for (size_t i = 0; i < n_chunks; i++, act++, ahead += FOURS_ROWS * bytes) {
        for (size_t line = 0; line < FOURS_ROWS * bytes; line += 64) v_prefetch(ahead + line);
        if (!scales && i == n_full)
            for (size_t r = 0; r < FOURS_ROWS; r++)
                b[r] = load_end(padded[r], b[r], m->n_in % KERN_CHUNK * bytes / KERN_CHUNK);
        fours f = {0};
        if (scales) f = scales(b);
        vf sums = vf_mul(vf_load(act->sums), vf_set(zero));
        if (odd != 1) f.scale[1] = vf_mul(f.scale[1], vf_set(odd));
        for (size_t r = 0; r < FOURS_ROWS; r += 2) {
            vb q[2][4];
            vf part[2], own[2];
            for (size_t s = 0; s < 2; s++) split(b[r + s], q[s], &own[s]);
            for (size_t k = 0; k < 2; k++) {
                vb x[4];
                for (size_t p = 0; p < 4; p++) x[p] = vb_load(act->x + 256 * k + 64 * p);
                for (size_t s = 0; s < 2; s++) {
                    vi dot = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(vi_set(0), q[s][2 * k], x[0]), q[s][2 * k + 1], x[2]);
                    dot = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(vi_shift_left(dot, 8), q[s][2 * k], x[1]), q[s][2 * k + 1], x[3]);
                    vf scale = scales ? _mm512_permutexvar_ps(vi_add(lane, vi_set(4 * (int)(r + s))), f.scale[k])
                                      : vf_spread(own[s], 2 * k);
                    part[s] = k ? vf_fma(vf_of_vi(dot), scale, part[s]) : vf_mul(vf_of_vi(dot), scale);
                }
            }
            for (size_t s = 0; s < 2; s++) {
                vf below = scales ? _mm512_permutex2var_ps(f.min[0], vi_add(both, vi_set(4 * (int)(r + s))), f.min[1]) : own[s];
                acc[r + s] = vf_fma(vf_fnma(below, sums, part[s]), vf_set(act->scale), acc[r + s]);
            }
        }
        for (size_t r = 0; r < FOURS_ROWS; r++) b[r] += bytes;
    }
    for (size_t r = 0; r < n_rows; r++) m->outs[a][m->out_first + at + r] = vf_sum(acc[r]) * m->scale;
}

/* More activations are cheaper stored. */
enum { FOURS_EACH = 8 };

#define FOURS(type, bytes, stored, scales, zero, odd)                                                                   \
    static void decode_##type(const kern_matmul *m) {                                                             \
        if (m->n_act > FOURS_EACH) stored(m);                                                                     \
        else                                                                                                      \
            for (size_t r = 0; r < m->n_rows; r += FOURS_ROWS)                                                    \
                for (size_t a = 0; a < m->n_act; a++) fours_tile(m, a, r, bytes, scales, split_##type, zero, odd); \
    }
FOURS(q4_k, 144, stored_32_1, fours_scales_k, 1, 0x1p-4f)
FOURS(q5_k, 176, stored_32_1, fours_scales_k, 1, 1)
FOURS(iq4_xs, 136, stored_32_0, fours_scales_iq4_xs, 128, 1)
FOURS(q4_0, 144, stored_32_0, NULL, 8, 1)
FOURS(iq4_nl, 144, stored_32_0, NULL, 128, 1)

#endif
