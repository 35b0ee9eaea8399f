/* kern_decode.h: rows of weights times a few activations, from block bytes to accumulator (template of a level).
 *
 * Two ways, with the same operations in the same order, so with the same bits: types that many files have are decoded and
 * multiplied at once (decode_tile, a copy a type), for each activation in turn; all others, and whatever has more activations
 * than DECODE_EACH, go by way of memory (decode_stored, a copy a kind). Next: kern_formats.h, what a block's bytes mean.
 */
#ifndef LEAT_KERN_DECODE_H
#define LEAT_KERN_DECODE_H

/* ---- quantised types ----------------------------------------------------------------------------------- */

/* acc += chunk * 256 activations, of VEC_ROWS rows; below is what to take off per unit of them.
 * No overflow: an element adds at most 8 products of 255 * 32639, 0.07e9 in all. */
KERN_INLINE void decode_chunks(vf acc[VEC_ROWS], const chunk c[VEC_ROWS], const vf below[VEC_ROWS], const kern_act16 *act, format f) {
    for (size_t r = 0; r < VEC_ROWS; r++) {
        vf sum;
        if (f.group == 32) {
            sum = vf_mul(vf_of_vi(vi_dot16_pair(c[r].q[0], c[r].q[1], act, 0)), vf_spread(c[r].scale, 0));
            sum = vf_fma(vf_of_vi(vi_dot16_pair(c[r].q[2], c[r].q[3], act, 2)), vf_spread(c[r].scale, 2), sum);
        } else {
            sum = vf_mul(vf_of_vi(vi_dot16(c[r].q[0], act, 0)), vf_spread(c[r].scale, 0));
            for (size_t k = 1; k < 4; k++)
                sum = vf_fma(vf_of_vi(vi_dot16(c[r].q[k], act, k)), vf_spread(c[r].scale, k), sum);
        }
        sum = vf_fnma(below[r], vf_load(act->sums), sum);
        acc[r] = vf_fma(sum, vf_set(act->scale), acc[r]);
    }
}

/* What to take off: scale * zero + min. */
KERN_INLINE vf decode_below(const chunk *c, format f) {
    if (f.has_min && f.zero == 0) return c->min;
    vf zero = vf_set((float)f.zero);
    return f.has_min ? vf_fma(c->scale, zero, c->min) : vf_mul(c->scale, zero);
}

/* Memory is fetched in one stream, however many rows are read side by side, and early enough for the last of them. */
KERN_INLINE const uint8_t *rows_ahead(const uint8_t *b, const kern_matmul *m, size_t n_rows) {
    return b + VEC_AHEAD + (n_rows - 1) * m->row_bytes;
}
/* The next n bytes of that stream: a chunk's where little is computed beside it, since long bursts are waited for. Returns where
 * it goes on. */
KERN_INLINE const uint8_t *fetch_ahead(const uint8_t *ahead, size_t n) {
    for (size_t line = 0; line < n; line += 64) v_prefetch(ahead + line);
    return ahead + n;
}

/* VEC_ROWS rows times one activation, which is loaded once for them; step is 1, or 0 where all rows are the same one. */
KERN_INLINE void decode_tile(const kern_matmul *m, size_t a, size_t at, size_t step, format f) {
    vf acc[VEC_ROWS];
    uint8_t padded[VEC_ROWS][KERN_CHUNK_BYTES_MAX];
    const kern_act16 *act = m->acts[a];
    const uint8_t *b = (const uint8_t *)m->weights + at * m->row_bytes, *from[VEC_ROWS];
    for (size_t r = 0; r < VEC_ROWS; r++) {
        from[r] = b + r * step * m->row_bytes;
        acc[r] = vf_set(0);
    }
    size_t n_full = m->n_in / KERN_CHUNK, n_chunks = div_up(m->n_in, KERN_CHUNK);
    for (size_t i = 0; i < n_chunks; i++, b += VEC_ROWS * f.bytes) {
        for (size_t line = 0; line < VEC_ROWS * f.bytes; line += 64) v_prefetch(rows_ahead(b, m, VEC_ROWS) + line);
        if (i == n_full)
            for (size_t r = 0; r < VEC_ROWS; r++)
                from[r] = load_end(padded[r], from[r], m->n_in % KERN_CHUNK * f.bytes / KERN_CHUNK);
        chunk c[VEC_ROWS];
        vf below[VEC_ROWS];
        for (size_t r = 0; r < VEC_ROWS; r++, from[r - 1] += f.bytes) c[r] = format_load(f, from[r]);
        for (size_t r = 0; r < VEC_ROWS; r++) below[r] = decode_below(&c[r], f);
        decode_chunks(acc, c, below, act + i, f);
    }
    for (size_t r = 0; r < VEC_ROWS; r++) m->outs[a][m->out_first + at + r * step] = vf_sum(acc[r]) * m->scale;
}

/* A tile for each activation in turn: its rows are in the cache from the second on. More than DECODE_EACH are cheaper stored. */
enum { DECODE_EACH = 3 };

KERN_INLINE void decode_each(const kern_matmul *m, format f) {
    for (size_t r = 0; r < m->n_rows; r += VEC_ROWS)
        for (size_t a = 0; a < m->n_act; a++)
            decode_tile(m, a, MIN(r, MAX(m->n_rows, (size_t)VEC_ROWS) - VEC_ROWS), m->n_rows >= VEC_ROWS, f);
}

/* Chunks [first, first + n) of a row, to be multiplied: n is at most 16. */
KERN_INLINE void load_chunks(kern_rows *to, const kern_matmul *m, const quant_type *t, const uint8_t *b, size_t first, size_t n, size_t bytes) {
    size_t n_full = MIN(m->n_in / KERN_CHUNK - first, n);
    KERN_OF(VEC_LEVEL, _ops).load_rows[m->type](to, b, bytes, n_full, KERN_CHUNK, t);
    if (n_full == n) return;
    kern_rows last;
    KERN_OF(VEC_LEVEL, _ops).load_rows[m->type](&last, b + n_full * bytes, bytes, 1, m->n_in % KERN_CHUNK, t);
    memcpy(to->q[n_full], last.q[0], sizeof last.q[0]);
    memcpy(to->scale[n_full], last.scale[0], sizeof last.scale[0]);
    memcpy(to->min[n_full], last.min[0], sizeof last.min[0]);
}

KERN_INLINE void stored_chunks(chunk c[VEC_ROWS], vf below[VEC_ROWS], const kern_rows rows[VEC_ROWS], size_t j, format f) {
    for (size_t r = 0; r < VEC_ROWS; r++) {
        for (size_t k = 0; k < 4; k++) c[r].q[k] = vb_load(rows[r].q[j] + 64 * k);
        c[r].scale = vf_load(rows[r].scale[j]);
        c[r].min = vf_load(rows[r].min[j]);
        below[r] = decode_below(&c[r], f);
    }
}

enum { DECODE_ACTS = 16 };

/* The sums of n activations leave, VEC_ROWS each; step as above. */
KERN_OUTLINE void decode_end(const kern_matmul *m, size_t a, size_t n, size_t at, size_t step, const vf (*acc)[VEC_ROWS], float scale) {
    for (size_t x = 0; x < n; x++)
        for (size_t r = 0; r < VEC_ROWS; r++) m->outs[a + x][m->out_first + at + r * step] = vf_sum(acc[x][r]) * scale;
}

/* VEC_ROWS rows times up to DECODE_ACTS activations from a on: of each row 16 chunks are loaded to memory for all of them.
 * Shared by types: what differs comes from the table. */
KERN_INLINE void decode_stored_tile(const kern_matmul *m, const quant_type *t, size_t a, size_t n, size_t at, size_t step, format f) {
    kern_rows rows[VEC_ROWS];
    vf acc[DECODE_ACTS][VEC_ROWS];
    size_t n_chunks = div_up(m->n_in, KERN_CHUNK);
    const uint8_t *b = (const uint8_t *)m->weights + at * m->row_bytes;
    memset(acc, 0, n * sizeof acc[0]);
    for (size_t i = 0; i < n_chunks; i += 16, b += 16 * f.bytes) {
        size_t here = MIN(n_chunks - i, (size_t)16);
        const uint8_t *ahead = rows_ahead(b, m, VEC_ROWS) + (VEC_ROWS - 1) * i * f.bytes;
        for (size_t r = 0; r < VEC_ROWS; r++) load_chunks(&rows[r], m, t, b + r * step * m->row_bytes, i, here, f.bytes);
        chunk c[VEC_ROWS];
        vf below[VEC_ROWS], sum[VEC_ROWS];
        for (size_t r = 0; r < VEC_ROWS; r++) sum[r] = acc[0][r];
        if (VEC_ACTS > 1 && n == 1)
            for (size_t j = 0; j < here; j++) { /* in registers */
                ahead = fetch_ahead(ahead, VEC_ROWS * f.bytes);
                stored_chunks(c, below, rows, j, f);
                decode_chunks(sum, c, below, (const kern_act16 *)m->acts[a] + i + j, f);
            }
        for (size_t r = 0; r < VEC_ROWS; r++) acc[0][r] = sum[r];
        for (size_t j = 0; (VEC_ACTS == 1 || n > 1) && j < here; j++) {
            ahead = fetch_ahead(ahead, VEC_ROWS * f.bytes);
            stored_chunks(c, below, rows, j, f);
#pragma GCC unroll 1
            for (size_t x = 0; x < n; x++) decode_chunks(acc[x], c, below, (const kern_act16 *)m->acts[a + x] + i + j, f);
        }
    }
    decode_end(m, a, n, at, step, acc, m->scale);
}

KERN_INLINE void decode_stored(const kern_matmul *m, int group, bool has_min, int zero) {
    const quant_type *t = quant_find(m->type);
    format f = {NULL, NULL, NULL, NULL, (size_t)t->block_bytes * (KERN_CHUNK / t->block_len), group, 0, has_min, zero, 255};
    for (size_t r = 0; r < m->n_rows; r += VEC_ROWS)
        for (size_t a = 0; a < m->n_act; a += DECODE_ACTS)
            decode_stored_tile(m, t, a, MIN(m->n_act - a, (size_t)DECODE_ACTS), MIN(r, MAX(m->n_rows, (size_t)VEC_ROWS) - VEC_ROWS),
                               m->n_rows >= VEC_ROWS, f);
}

/* A level without loaders of its own has integers plus 128 and offsets always. */
#define STORED(group, has_min)                                                                       \
    KERN_OUTLINE void stored_##group##_##has_min(const kern_matmul *m) {                                    \
        decode_stored(m, group, has_min, has_min ? 0 : 1 << KERN_OF(VEC_LEVEL, _ops).zero_shift[m->type]);                 \
    }
#define DECODE_UNPACKED \
    static void decode_unpacked(const kern_matmul *m) { decode_stored(m, 16, true, 128); }
#define DECODE_TILES(type, stored, f)                                   \
    static void decode_##type(const kern_matmul *m) {                   \
        if (m->n_act > DECODE_EACH) stored(m);                          \
        else decode_each(m, f);                                         \
    }
#define DECODE_BY_MEMORY(type, stored, f) \
    static void decode_##type(const kern_matmul *m) { stored(m); }
#define DECODE_FUSED VEC_DECODE_FUSED
#define DECODE_STORED VEC_DECODE_STORED
#define DECODE_SIGNED VEC_DECODE_SIGNED
#define DECODE_FOURS VEC_DECODE_FOURS
#define DECODE_SIXES VEC_DECODE_SIXES
#define DECODE_PAIRED VEC_DECODE_PAIRED
#define DECODE_DIGITS VEC_DECODE_DIGITS
#define DECODE(type, id, len, size, group, zero, panel_group, acts, has_min, top, way, narrow, most) \
    DECODE_##way(type, stored_##group##_##has_min, FORMAT_LOADED(type, id, len, size, group, zero, panel_group, acts, has_min, top, way, narrow, most))
VEC_STORED(STORED)
VEC_LOADED(DECODE)
VEC_UNPACKED(DECODE_UNPACKED)

/* ---- float types --------------------------------------------------------------------------------------- */

typedef vf load_floats(const void *p);
#define floats_f32 vf_load
#define floats_f16 vf_load_f16
#define floats_bf16 vf_load_bf16
#define floats_f64 vf_load_f64

/* The first n < 16 weights at b, zero after them. */
KERN_INLINE vf load_some(const uint8_t *b, size_t n, load_floats *load, size_t bytes) {
    uint8_t padded[16 * 8] = {0};
    memcpy(padded, b, n * bytes);
    return load(padded);
}

/* One row times n activations, n a constant. Four accumulators each: short sums, and the latency is hidden. */
KERN_INLINE void decode_float_row(const uint8_t *b, size_t n_in, const void *const *acts, float *const *outs,
                                  size_t at, float scale, size_t n, load_floats *load, size_t bytes) {
    vf acc[VEC_ACTS][4];
    for (size_t a = 0; a < n; a++)
        for (size_t k = 0; k < 4; k++) acc[a][k] = vf_set(0);
    size_t i = 0;
    for (; i + 64 <= n_in; i += 64, b += 64 * bytes) {
        for (size_t line = 0; line < 64 * bytes; line += 64) v_prefetch(b + line + VEC_AHEAD_FLOATS);
        for (size_t k = 0; k < 4; k++) {
            vf w = load(b + 16 * k * bytes);
            for (size_t a = 0; a < n; a++) acc[a][k] = vf_fma(w, vf_load((const float *)acts[a] + i + 16 * k), acc[a][k]);
        }
    }
    for (; i < n_in; i += 16, b += 16 * bytes) {
        vf w = n_in - i < 16 ? load_some(b, n_in - i, load, bytes) : load(b);
        for (size_t a = 0; a < n; a++) acc[a][0] = vf_fma(w, vf_load((const float *)acts[a] + i), acc[a][0]);
    }
    for (size_t a = 0; a < n; a++)
        outs[a][at] = vf_sum(vf_add(vf_add(acc[a][0], acc[a][1]), vf_add(acc[a][2], acc[a][3]))) * scale;
}

KERN_INLINE void decode_float_rows(const kern_matmul *m, load_floats *load, size_t bytes) {
    const uint8_t *b = m->weights;
    for (size_t r = 0; r < m->n_rows; r++, b += m->row_bytes) {
        size_t a = 0;
        /* Wider types do without: they are rare, and one row stays in the cache. */
        for (; VEC_ACTS > 1 && bytes == 2 && a + VEC_ACTS <= m->n_act; a += VEC_ACTS)
            decode_float_row(b, m->n_in, m->acts + a, m->outs + a, m->out_first + r, m->scale, VEC_ACTS, load, bytes);
        for (; a < m->n_act; a++)
            decode_float_row(b, m->n_in, m->acts + a, m->outs + a, m->out_first + r, m->scale, 1, load, bytes);
    }
}

#define DECODE_FLOAT(type, id, bytes) \
    static void decode_##type(const kern_matmul *m) { decode_float_rows(m, floats_##type, bytes); }
KERN_FLOAT_FORMATS(DECODE_FLOAT)

#endif
