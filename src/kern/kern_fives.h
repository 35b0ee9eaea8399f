/* kern_fives.h: decode of TQ1_0 in 512-bit registers (in place of kern_decode.h's way).
 *
 * 52 bytes of a block are fractions in base 3, of five digits or, the last four, of four. Vector k is the k-th digits of all
 * of them, and activations are in that order as KERN_ACT_I16_FIVES, with zeros where there is no weight. So nothing is
 * shuffled, and ten dots instead of eight cost less than that would.
 */
#ifndef LEAT_KERN_FIVES_H
#define LEAT_KERN_FIVES_H

/* The upper two bits are 1 + the digit before the point of 3 / 256 of a byte: 64 + (x + (x / 2 - 1) + 1) / 2. */
KERN_INLINE vb fives_digit(vb x) { return vb_and(_mm512_avg_epu8(x, _mm512_avg_epu8(x, vb_set(253))), vb_set(0xC0)); }

/* A weight is q / 64 - 2; an element adds 20 products of 192 * 32639 at most. */
KERN_INLINE void fives_dots(const uint8_t *const b[VEC_ROWS], const kern_act16_fives *act, vf acc[VEC_ROWS]) {
    vi low[VEC_ROWS], high[VEC_ROWS];
    vb x[VEC_ROWS];
    for (size_t r = 0; r < VEC_ROWS; r++) {
        low[r] = high[r] = vi_set(0);
        x[r] = _mm512_maskz_loadu_epi8(0xfffffffffffff, b[r]);
    }
    for (size_t k = 0; k < 5; k++) {
        vb y = once(vb_load(act->x + 128 * k)), z = once(vb_load(act->x + 128 * k + 64));
        for (size_t r = 0; r < VEC_ROWS; r++) {
            vb q = fives_digit(x[r]);
            high[r] = _mm512_dpbusd_epi32(high[r], q, y);
            low[r] = _mm512_dpbusd_epi32(low[r], q, z);
            x[r] = vb_add(x[r], vb_add(x[r], x[r]));
        }
    }
    for (size_t r = 0; r < VEC_ROWS; r++) {
        vf sum = vf_fnma(vf_load(act->sums), vf_set(128), vf_of_vi(_mm512_add_epi32(low[r], vi_shift_left(high[r], 8))));
        acc[r] = vf_fma(sum, vf_mul(half_for_all(b[r] + 52), vf_set(act->scale)), acc[r]);
    }
}

KERN_INLINE void fives_rows(const kern_matmul *m, size_t a, size_t n) {
    size_t n_chunks = m->n_in / KERN_CHUNK, step = m->n_rows >= VEC_ROWS;
    for (size_t row = 0; row < m->n_rows; row += VEC_ROWS) {
        vf acc[DECODE_ACTS][VEC_ROWS];
        size_t at = MIN(row, MAX(m->n_rows, (size_t)VEC_ROWS) - VEC_ROWS);
        const uint8_t *b[VEC_ROWS];
        for (size_t r = 0; r < VEC_ROWS; r++) b[r] = (const uint8_t *)m->weights + (at + r * step) * m->row_bytes;
        const uint8_t *ahead = rows_ahead(b[0], m, VEC_ROWS);
        memset(acc, 0, n * sizeof acc[0]);
        for (size_t i = 0; i < n_chunks; i++, ahead += VEC_ROWS * 54) {
            for (size_t line = 0; line < VEC_ROWS * 54; line += 64) v_prefetch(ahead + line);
#pragma GCC unroll 1
            for (size_t x = 0; x < n; x++) fives_dots(b, (const kern_act16_fives *)m->acts[a + x] + i, acc[x]);
            for (size_t r = 0; r < VEC_ROWS; r++) b[r] += 54;
        }
        decode_end(m, a, n, at, step, acc, m->scale / 64);
    }
}

static void decode_tq1_0(const kern_matmul *m) {
    for (size_t a = 0; a < m->n_act; a += DECODE_ACTS) fives_rows(m, a, MIN(m->n_act - a, (size_t)DECODE_ACTS));
}

/* Digit k of byte i is weight 32 k + i, of 16 bytes from the 32nd on 160 + 16 k, of the last four 240 + 4 k. */
static void prepare_i16_fives(const float *x, size_t n, void *act) {
    kern_act16_fives *to = act;
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        kern_act16 whole;
        int16_t q[KERN_CHUNK], turned[64];
        prepare_chunk(x + at, MIN(n - at, KERN_CHUNK), &whole, q);
        memcpy(to->sums, whole.sums, sizeof to->sums);
        to->scale = whole.scale;
        for (size_t k = 0; k < 5; k++) {
            memset(turned, 0, sizeof turned);
            memcpy(turned, q + 32 * k, 32 * sizeof *q);
            memcpy(turned + 32, q + 160 + 16 * k, 16 * sizeof *q);
            if (k < 4) memcpy(turned + 48, q + 240 + 4 * k, 4 * sizeof *q);
            for (size_t half = 0; half < 2; half++) pack16(vb_load(turned + 32 * half), half, to->x + 128 * k);
        }
    }
}

#endif
