/* kern_decode.h: rows of weights times a few activations, from block bytes to accumulator (template of a level).
 *
 * A chunk of a row is loaded once and used for up to VEC_ACTS activations. Each activation has an accumulator of its own
 * and the same operations in the same order, however many there are. Next: kern_formats.h, what a block's bytes mean.
 */
#ifndef LEAT_KERN_DECODE_H
#define LEAT_KERN_DECODE_H

/* ---- quantised types ----------------------------------------------------------------------------------- */

/* acc += chunk * 256 activations; below is what to take off per unit of them.
 * No overflow: an element adds at most 8 products of 255 * 32639, 0.07e9 in all. */
KERN_INLINE vf decode_chunk(vf acc, const chunk *c, vf below, const kern_act16 *act, format f) {
    vf sum;
    if (f.group == 32) {
        sum = vf_mul(vf_of_vi(vi_dot16_pair(c->q[0], c->q[1], act, 0)), vf_spread(c->scale, 0));
        sum = vf_fma(vf_of_vi(vi_dot16_pair(c->q[2], c->q[3], act, 2)), vf_spread(c->scale, 2), sum);
    } else {
        sum = vf_mul(vf_of_vi(vi_dot16(c->q[0], act, 0)), vf_spread(c->scale, 0));
        for (size_t k = 1; k < 4; k++)
            sum = vf_fma(vf_of_vi(vi_dot16(c->q[k], act, k)), vf_spread(c->scale, k), sum);
    }
    sum = vf_fnma(below, vf_load(act->sums), sum);
    return vf_fma(sum, vf_set(act->scale), acc);
}

/* What to take off: scale * zero + min. */
KERN_INLINE vf decode_below(const chunk *c, format f) {
    if (f.has_min && f.zero == 0) return c->min;
    vf zero = vf_set((float)f.zero);
    return f.has_min ? vf_fma(c->scale, zero, c->min) : vf_mul(c->scale, zero);
}

/* VEC_ROWS rows times one activation, which is loaded once for them; step is 1, or 0 where all rows are the same one.
 * Memory is fetched ahead in one stream, however many rows. */
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
        for (size_t line = 0; line < VEC_ROWS * f.bytes; line += 64) v_prefetch(b + line + VEC_AHEAD);
        if (i == n_full)
            for (size_t r = 0; r < VEC_ROWS; r++)
                from[r] = load_end(padded[r], from[r], m->n_in % KERN_CHUNK * f.bytes / KERN_CHUNK);
        chunk c[VEC_ROWS];
        for (size_t r = 0; r < VEC_ROWS; r++, from[r - 1] += f.bytes) c[r] = format_load(f, from[r]);
        for (size_t r = 0; r < VEC_ROWS; r++) acc[r] = decode_chunk(acc[r], &c[r], decode_below(&c[r], f), act + i, f);
    }
    for (size_t r = 0; r < VEC_ROWS; r++) m->outs[a][m->out_first + at + r * step] = vf_sum(acc[r]) * m->scale;
}

KERN_INLINE void decode_one(const kern_matmul *m, size_t a, format f) {
    for (size_t r = 0; r < m->n_rows; r += VEC_ROWS)
        decode_tile(m, a, MIN(r, MAX(m->n_rows, (size_t)VEC_ROWS) - VEC_ROWS), m->n_rows >= VEC_ROWS, f);
}

/* VEC_ACTS activations from a on, with copies of the last in the places left over: 16 rows at a time, 256 columns of
 * which are loaded to memory once for all. Shared by types: what differs comes from the table. */
KERN_INLINE void decode_several(const kern_matmul *m, size_t a, int group, bool has_min) {
    const quant_type *t = quant_find(m->type);
    size_t bytes = (size_t)t->block_bytes * (KERN_CHUNK / t->block_len);
    format f = {NULL, NULL, bytes, group, 0, has_min, has_min ? 0 : 1 << VEC_TABLE.zero_shift[m->type], 255};
    const uint8_t *rows_at = m->weights;
    const kern_act16 *acts[VEC_ACTS];
    kern_rows rows;
    vf acc[16][VEC_ACTS];
    for (size_t x = 0; x < VEC_ACTS; x++) acts[x] = m->acts[MIN(a + x, m->n_act - 1)];
    for (size_t first = 0; first < m->n_rows; first += 16, rows_at += 16 * m->row_bytes) {
        size_t n = MIN(m->n_rows - first, (size_t)16);
        for (size_t r = 0; r < n; r++)
            for (size_t x = 0; x < VEC_ACTS; x++) acc[r][x] = vf_set(0);
        const uint8_t *b = rows_at;
        for (size_t i = 0, at = 0; at < m->n_in; i++, at += KERN_CHUNK, b += bytes) {
            for (size_t r = 16; r < 32; r++)
                for (size_t line = 0; line < bytes; line += 64) v_prefetch(b + r * m->row_bytes + line);
            VEC_TABLE.load_rows[m->type](&rows, b, m->row_bytes, n, MIN(m->n_in - at, (size_t)KERN_CHUNK), t);
            for (size_t r = 0; r < n; r++) {
                chunk c;
                for (size_t k = 0; k < 4; k++) c.q[k] = vb_load(rows.q[r] + 64 * k);
                c.scale = vf_load(rows.scale[r]);
                c.min = vf_load(rows.min[r]);
                vf below = decode_below(&c, f);
                for (size_t x = 0; x < VEC_ACTS; x++) acc[r][x] = decode_chunk(acc[r][x], &c, below, acts[x] + i, f);
            }
        }
        for (size_t r = 0; r < n; r++)
            for (size_t x = 0; x < VEC_ACTS && a + x < m->n_act; x++)
                m->outs[a + x][m->out_first + first + r] = vf_sum(acc[r][x]) * m->scale;
    }
}

/* Two activations are cheaper one by one; more of them go together. */
#define DECODE_SEVERAL(group, has_min)                                           \
    KERN_OUTLINE void several_##group##_##has_min(const kern_matmul *m, size_t a) { decode_several(m, a, group, has_min); }
#define DECODE(type, id, len, size, group, zero, panel_group, acts, has_min, top)                                   \
    static void decode_##type(const kern_matmul *m) {                                                               \
        size_t a = 0;                                                                                               \
        for (; m->n_act - a > 2; a += MIN(m->n_act - a, (size_t)VEC_ACTS)) several_##group##_##has_min(m, a);       \
        for (; a < m->n_act; a++)                                                                                   \
            decode_one(m, a, FORMAT_LOADED(type, id, len, size, group, zero, panel_group, acts, has_min, top));     \
    }
#define DECODE_UNPACKED                                                                                             \
    static void decode_unpacked(const kern_matmul *m) {                                                             \
        for (size_t a = 0; a < m->n_act; a++) decode_one(m, a, FORMAT_UNPACKED(quant_find(m->type)));               \
    }
VEC_SEVERAL(DECODE_SEVERAL)
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
        for (size_t line = 0; line < 64 * bytes; line += 64) v_prefetch(b + line + VEC_AHEAD);
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
        for (; VEC_ACTS > 1 && a + VEC_ACTS <= m->n_act; a += VEC_ACTS)
            decode_float_row(b, m->n_in, m->acts + a, m->outs + a, m->out_first + r, m->scale, VEC_ACTS, load, bytes);
        for (; a < m->n_act; a++)
            decode_float_row(b, m->n_in, m->acts + a, m->outs + a, m->out_first + r, m->scale, 1, load, bytes);
    }
}

#define DECODE_FLOAT(type, id, bytes) \
    static void decode_##type(const kern_matmul *m) { decode_float_rows(m, floats_##type, bytes); }
KERN_FLOAT_FORMATS(DECODE_FLOAT)

#endif
