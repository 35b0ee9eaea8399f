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

/* zero * scale + min */
KERN_INLINE vf decode_below(const chunk *c, format f) {
    if (f.zero == 0) return c->min;
    vf zero = vf_set((float)f.zero);
    return f.has_min ? vf_fma(c->scale, zero, c->min) : vf_mul(c->scale, zero);
}

/* One row times n activations, n a constant. The end of a row that fills no chunk is copied to one. */
KERN_INLINE void decode_row(const uint8_t *b, size_t n_in, const void *const *acts, float *const *outs, size_t at,
                            float scale, size_t n, format f) {
    vf acc[VEC_ACTS];
    uint8_t padded[KERN_CHUNK_BYTES_MAX];
    for (size_t a = 0; a < n; a++) acc[a] = vf_set(0);
    size_t n_full = n_in / KERN_CHUNK, n_chunks = div_up(n_in, KERN_CHUNK);
    for (size_t i = 0; i < n_chunks; i++, b += f.bytes) {
        for (size_t line = 0; line < f.bytes; line += 64) v_prefetch(b + line + VEC_AHEAD);
        if (i == n_full) {
            memset(padded, 0, sizeof padded);
            b = memcpy(padded, b, n_in % KERN_CHUNK * f.bytes / KERN_CHUNK);
        }
        chunk c = format_load(f, b);
        vf below = decode_below(&c, f);
        for (size_t a = 0; a < n; a++) acc[a] = decode_chunk(acc[a], &c, below, (const kern_act16 *)acts[a] + i, f);
    }
    for (size_t a = 0; a < n; a++) outs[a][at] = vf_sum(acc[a]) * scale;
}

/* VEC_ACTS activations at a time. Of the rest, two are cheaper one by one; more of them go together, with copies of the
 * last in the places left over. */
KERN_INLINE void decode_rows(const kern_matmul *m, format f) {
    const uint8_t *b = m->weights;
    for (size_t r = 0; r < m->n_rows; r++, b += m->row_bytes) {
        size_t a = 0, at = m->out_first + r;
        for (; m->n_act - a > 2 && VEC_ACTS > 2; a += MIN(m->n_act - a, (size_t)VEC_ACTS)) {
            const void *acts[VEC_ACTS];
            float *outs[VEC_ACTS];
            for (size_t i = 0; i < VEC_ACTS; i++) {
                acts[i] = m->acts[MIN(a + i, m->n_act - 1)];
                outs[i] = m->outs[MIN(a + i, m->n_act - 1)];
            }
            decode_row(b, m->n_in, acts, outs, at, m->scale, VEC_ACTS, f);
        }
        for (; a < m->n_act; a++) decode_row(b, m->n_in, m->acts + a, m->outs + a, at, m->scale, 1, f);
    }
}

#define DECODE_VECTOR(type, id, len, bytes, group, acts, has_min, zero, top)              \
    static void decode_##type(const kern_matmul *m) {                                     \
        decode_rows(m, FORMAT_VECTOR(type, len, bytes, group, acts, has_min, zero, top)); \
    }
VEC_FORMATS(DECODE_VECTOR, KERN_NOTHING)
/* The others, as the most general kind: their unpackers take longer than that. */
static void decode_other(const kern_matmul *m) { decode_rows(m, format_other(quant_find(m->type), 16, 32, true)); }

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
