/* kern_panel.h: rows of weights times many activations (template of a level).
 *
 * A tile of rows is unpacked once into a panel of bytes (or floats) that stays in L1 and L2, then multiplied with all
 * activations: any type has the speed of the plainest from its loader alone. Sums of 32 products are exact integers;
 * they are scaled and added in float in the order of the columns, PANEL_DEPTH columns at a time, so a result does not
 * depend on the tile it was in.
 */
#ifndef LEAT_KERN_PANEL_H
#define LEAT_KERN_PANEL_H

#define PANEL_ROWS (16 * VEC_SUBS)
#define PANEL_DEPTH 512       /* columns of a panel of bytes */
#define PANEL_FLOAT_DEPTH 256 /* columns of a panel of floats */
#define PANEL_TOKENS 512      /* activations a pass: their sums must stay in L2 */

/* Per-worker scratch. q: step s, sub p, row r of 16: the bytes of columns 4s..4s+3. */
typedef struct panel {
    union {
        struct {
            uint8_t q[PANEL_DEPTH / 4][VEC_SUBS][64];
            float scale[PANEL_DEPTH / KERN_UNIT][VEC_SUBS][16];
            float min[PANEL_DEPTH / KERN_UNIT][VEC_SUBS][16];
        };
        float f[PANEL_FLOAT_DEPTH][VEC_SUBS][16];
    };
    float sums[PANEL_TOKENS + VEC_TOKENS - 1][VEC_SUBS][16];
} panel;

/* ---- quantised types ----------------------------------------------------------------------------------- */

/* 256 columns of 16 rows as loaders give them, before they are turned. */
typedef struct panel_rows {
    _Alignas(64) uint8_t q[16][KERN_CHUNK];
    _Alignas(64) float scale[16][KERN_UNITS], min[16][KERN_UNITS];
} panel_rows;

/* Of the 16 rows n_rows exist, the others become zero; of the columns n_in exist. */
typedef void panel_loader(panel_rows *to, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, format f);
KERN_INLINE void load_rows(panel_rows *to, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, format f) {
    for (size_t r = 0; r < 16; r++) {
        const uint8_t *at = b + r * row_bytes;
        uint8_t padded[KERN_CHUNK_BYTES_MAX];
        if (r >= n_rows || n_in < KERN_CHUNK) {
            memset(padded, 0, sizeof padded);
            if (r < n_rows) memcpy(padded, at, n_in * f.bytes / KERN_CHUNK);
            at = padded;
        }
        chunk c = format_load(f, at);
        for (size_t k = 0; k < 4; k++) vb_store(to->q[r] + 64 * k, c.q[k]);
        vf_store(to->scale[r], c.scale);
        if (f.has_min) vf_store(to->min[r], c.min);
    }
}

/* 16 rows of 16 words of 4 bytes, the rows stride apart, turned: column w goes to 64 bytes at to + w / 4 * far + w % 4 * near. */
KERN_OUTLINE void turn(const void *from, size_t stride, void *to, size_t far, size_t near) {
    v_transpose(from, stride, to, far, near);
}

/* n_in columns from the start of the rows at b, of which n_rows exist. */
KERN_OUTLINE void panel_fill(panel *p, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, panel_loader *load, format f) {
    size_t near = sizeof p->q[0], per_unit = sizeof p->scale[0];
    panel_rows rows;
    for (size_t sub = 0; sub < VEC_SUBS; sub++, b += 16 * row_bytes) {
        size_t here = n_rows > 16 * sub ? n_rows - 16 * sub : 0;
        for (size_t at = 0; at < n_in; at += KERN_CHUNK) {
            size_t step = at / 4, unit = at / KERN_UNIT;
            load(&rows, b + at / KERN_CHUNK * f.bytes, row_bytes, here, MIN(n_in - at, KERN_CHUNK), f);
            for (size_t k = 0; k < 4; k++) turn(rows.q[0] + 64 * k, KERN_CHUNK, p->q[step + 4 * k][sub], 16 * near, near);
            turn(rows.scale, sizeof rows.scale[0], p->scale[unit][sub], 4 * per_unit, per_unit);
            if (f.has_min) turn(rows.min, sizeof rows.min[0], p->min[unit][sub], 4 * per_unit, per_unit);
        }
    }
}

/* Steps [from, from + n) of a block's 8, added to sum. */
KERN_INLINE void panel_steps(vi sum[][VEC_SUBS], const panel *p, size_t block, size_t from, size_t n,
                             const kern_act8 *const *x, size_t n_tok, format f) {
    for (size_t at = from; at < from + n; at += VEC_STEPS(f.top)) {
        vd d[VEC_TOKENS][VEC_SUBS];
        for (size_t t = 0; t < n_tok; t++)
            for (size_t s = 0; s < VEC_SUBS; s++) d[t][s] = vd_start(sum[t][s], f.top);
        for (size_t step = at; step < at + VEC_STEPS(f.top); step++) {
            vb w[VEC_SUBS];
            for (size_t s = 0; s < VEC_SUBS; s++) w[s] = vb_load(p->q[8 * block + step][s]);
            for (size_t t = 0; t < n_tok; t++) {
                vb q = vb_load_4(x[t][block].q + 4 * step);
                for (size_t s = 0; s < VEC_SUBS; s++) d[t][s] = vd_dot(d[t][s], w[s], q, f.top);
            }
        }
        for (size_t t = 0; t < n_tok; t++)
            for (size_t s = 0; s < VEC_SUBS; s++) sum[t][s] = vd_end(sum[t][s], d[t][s], f.top);
    }
}

/* sum = minus * zero: what the weights' zero point adds. */
KERN_INLINE void panel_start(vi sum[VEC_SUBS], const int32_t *minus, format f) {
    vi start = f.zero ? vi_shift_left(vi_load_1(minus), __builtin_ctz((unsigned)f.zero)) : vi_set(0);
    for (size_t s = 0; s < VEC_SUBS; s++) sum[s] = start;
}

/* part = or += unit u of a block, times what differs between its two units: the scales of the weights or of the
 * activations, whichever are finer. */
KERN_INLINE void panel_unit(vf part[][VEC_SUBS], const panel *p, size_t block, size_t u, const kern_act8 *const *x,
                            size_t n_tok, format f) {
    vi sum[VEC_TOKENS][VEC_SUBS];
    for (size_t t = 0; t < n_tok; t++) panel_start(sum[t], &x[t][block].minus[u], f);
    panel_steps(sum, p, block, 4 * u, 4, x, n_tok, f);
    for (size_t s = 0; s < VEC_SUBS; s++) {
        vf scale = vf_load(p->scale[2 * block + u][s]);
        for (size_t t = 0; t < n_tok; t++) {
            vf by = f.group == 16 ? scale : vf_set(x[t][block].scale[u]);
            part[t][s] = u == 0 ? vf_mul(vf_of_vi(sum[t][s]), by) : vf_fma(vf_of_vi(sum[t][s]), by, part[t][s]);
        }
    }
}

/* acc -= offsets * sums of the activations */
KERN_INLINE void panel_offsets(vf acc[][VEC_SUBS], const panel *p, size_t block, const kern_act8 *const *x, size_t n_tok,
                               format f) {
    for (size_t u = 0; u < (f.group == 16 ? 2 : 1); u++)
        for (size_t s = 0; s < VEC_SUBS; s++) {
            vf min = vf_load(p->min[2 * block + u][s]);
            for (size_t t = 0; t < n_tok; t++)
                acc[t][s] = vf_fnma(min, vf_set(f.group == 16 ? x[t][block].sum[u] : x[t][block].sum_both), acc[t][s]);
        }
}

/* acc += 32 columns. Three cases: one scale on either side, two for the weights, two for the activations. */
KERN_INLINE void panel_block(vf acc[][VEC_SUBS], const panel *p, size_t block, const kern_act8 *const *x, size_t n_tok,
                             format f) {
    vf part[VEC_TOKENS][VEC_SUBS];
    if (f.group == 32 && f.acts == 32) {
        vi sum[VEC_TOKENS][VEC_SUBS];
        for (size_t t = 0; t < n_tok; t++) panel_start(sum[t], &x[t][block].minus_both, f);
        panel_steps(sum, p, block, 0, 8, x, n_tok, f);
        for (size_t t = 0; t < n_tok; t++)
            for (size_t s = 0; s < VEC_SUBS; s++) part[t][s] = vf_of_vi(sum[t][s]);
    } else {
        panel_unit(part, p, block, 0, x, n_tok, f);
        panel_unit(part, p, block, 1, x, n_tok, f);
    }
    for (size_t s = 0; s < VEC_SUBS; s++) {
        vf scale = vf_load(p->scale[2 * block][s]);
        for (size_t t = 0; t < n_tok; t++) {
            if (f.group == 32 && f.acts == 32) part[t][s] = vf_mul(part[t][s], vf_set(x[t][block].scale[0]));
            acc[t][s] = vf_fma(part[t][s], f.group == 16 ? vf_set(x[t][block].scale[0]) : scale, acc[t][s]);
        }
    }
    if (f.has_min) panel_offsets(acc, p, block, x, n_tok, f);
}

/* out += panel * activations over n_blocks blocks of 32 columns; n_tok is a constant. */
KERN_INLINE void panel_tile(const panel *p, size_t n_blocks, const kern_act8 *const *x, float (*out)[VEC_SUBS][16],
                            size_t n_tok, format f) {
    vf acc[VEC_TOKENS][VEC_SUBS];
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) acc[t][s] = vf_load(out[t][s]);
    for (size_t b = 0; b < n_blocks; b++) panel_block(acc, p, b, x, n_tok, f);
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) vf_store(out[t][s], acc[t][s]);
}

static void panel_write(const panel *p, const kern_matmul *m, size_t first, size_t n_tok, size_t row) {
    size_t n = MIN(m->n_rows - row, (size_t)PANEL_ROWS);
    for (size_t t = 0; t < n_tok; t++) {
        float *out = m->outs[first + t] + m->out_first + row;
        for (size_t i = 0; i < n; i++) out[i] = p->sums[t][i / 16][i % 16] * m->scale;
    }
}

/* The panel times the activations [first, first + n_tok), from block `block` of their columns. VEC_TOKENS at a time; of
 * the rest, two are cheaper one by one, more of them go together with copies of the last, whose sums are in excess. */
typedef void panel_multiplier(panel *p, const kern_matmul *m, size_t first, size_t n_tok, size_t block, size_t n_blocks);
KERN_INLINE void panel_multiply(panel *p, const kern_matmul *m, size_t first, size_t n_tok, size_t block,
                                size_t n_blocks, format f) {
    const kern_act8 *x[VEC_TOKENS];
    size_t t = 0;
    for (; VEC_TOKENS > 2 && t + 2 < n_tok; t += VEC_TOKENS) {
        for (size_t i = 0; i < VEC_TOKENS; i++)
            x[i] = (const kern_act8 *)m->acts[first + MIN(t + i, n_tok - 1)] + block;
        panel_tile(p, n_blocks, x, p->sums + t, VEC_TOKENS, f);
    }
    for (; t < n_tok; t++) {
        x[0] = (const kern_act8 *)m->acts[first + t] + block;
        panel_tile(p, n_blocks, x, p->sums + t, 1, f);
    }
}

KERN_OUTLINE void panel_run(const kern_matmul *m, panel_loader *load, panel_multiplier *multiply, format f) {
    panel *p = m->scratch;
    for (size_t first = 0; first < m->n_act; first += PANEL_TOKENS) {
        size_t n_tok = MIN(m->n_act - first, (size_t)PANEL_TOKENS);
        for (size_t row = 0; row < m->n_rows; row += PANEL_ROWS) {
            memset(p->sums, 0, sizeof p->sums[0] * (n_tok + VEC_TOKENS - 1));
            for (size_t at = 0; at < m->n_in; at += PANEL_DEPTH) {
                size_t depth = MIN(m->n_in - at, (size_t)PANEL_DEPTH);
                const uint8_t *b = (const uint8_t *)m->weights + row * m->row_bytes + at / KERN_CHUNK * f.bytes;
                panel_fill(p, b, m->row_bytes, m->n_rows - row, depth, load, f);
                multiply(p, m, first, n_tok, at / KERN_ACT8_LEN, div_up(depth, KERN_ACT8_LEN));
            }
            panel_write(p, m, first, n_tok, row);
        }
    }
}

/* A multiplier per kind of type, of which there are fewer than types; a loader for each type with vector code, one for the
 * others. */
#define MULTIPLIER(group, acts, has_min, zero, top)                                                                   \
    static void multiply_##group##_##acts##_##has_min##_##top(panel *p, const kern_matmul *m, size_t first,           \
                                                              size_t n_tok, size_t block, size_t n_blocks) {          \
        panel_multiply(p, m, first, n_tok, block, n_blocks, (format){NULL, NULL, 0, group, acts, has_min, zero, top}); \
    }
VEC_KINDS(MULTIPLIER)
VEC_OTHER_KINDS(MULTIPLIER)

#define PROMPT_VECTOR(type, id, len, bytes, group, acts, has_min, zero, top)                                   \
    static void rows_##type(panel_rows *to, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in,    \
                            format f) {                                                                        \
        (void)f;                                                                                               \
        load_rows(to, b, row_bytes, n_rows, n_in, FORMAT_VECTOR(type, len, bytes, group, acts, has_min, zero, top)); \
    }                                                                                                          \
    static void prompt_##type(const kern_matmul *m) {                                                          \
        panel_run(m, rows_##type, multiply_##group##_##acts##_##has_min##_##top,                               \
                  FORMAT_VECTOR(type, len, bytes, group, acts, has_min, zero, top));                           \
    }
VEC_FORMATS(PROMPT_VECTOR, KERN_NOTHING)

static void rows_other(panel_rows *to, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, format f) {
    f.load = NULL;
    load_rows(to, b, row_bytes, n_rows, n_in, f);
}
#define PROMPT_OTHER(group, acts, has_min, zero, top)                                                            \
    static void prompt_##group##_##acts##_##has_min(const kern_matmul *m) {                                      \
        panel_run(m, rows_other, multiply_##group##_##acts##_##has_min##_##top, format_other(m->type, group, acts, has_min)); \
    }
VEC_OTHER_KINDS(PROMPT_OTHER)

/* ---- float types --------------------------------------------------------------------------------------- */

/* 16 columns of 16 rows, of which n_in and n_rows exist; the others become zero. */
typedef void float_loader(float to[16][16], const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in);
KERN_INLINE void load_float_rows(float to[16][16], const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in,
                                 load_floats *load, size_t bytes) {
    for (size_t r = 0; r < 16; r++, b += row_bytes)
        vf_store(to[r], r >= n_rows ? vf_set(0) : n_in < 16 ? load_some(b, n_in, load, bytes) : load(b));
}

/* The sums of a panel start at zero and are added to out at its end: short sums round less. n_tok is a constant. */
KERN_INLINE void panel_tile_floats(const panel *p, size_t n_in, const float *const *x, float (*out)[VEC_SUBS][16],
                                   size_t n_tok) {
    vf acc[VEC_FLOAT_TOKENS][VEC_SUBS];
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) acc[t][s] = vf_set(0);
    for (size_t i = 0; i < n_in; i++) {
        vf w[VEC_SUBS];
        for (size_t s = 0; s < VEC_SUBS; s++) w[s] = vf_load(p->f[i][s]);
        for (size_t t = 0; t < n_tok; t++) {
            vf a = vf_set(x[t][i]);
            for (size_t s = 0; s < VEC_SUBS; s++) acc[t][s] = vf_fma(a, w[s], acc[t][s]);
        }
    }
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) vf_store(out[t][s], vf_add(vf_load(out[t][s]), acc[t][s]));
}

static void panel_multiply_floats(panel *p, const kern_matmul *m, size_t first, size_t n_tok, size_t at,
                                       size_t depth) {
    const float *x[VEC_FLOAT_TOKENS];
    size_t t = 0;
    for (; t + VEC_FLOAT_TOKENS <= n_tok; t += VEC_FLOAT_TOKENS) {
        for (size_t i = 0; i < VEC_FLOAT_TOKENS; i++) x[i] = (const float *)m->acts[first + t + i] + at;
        panel_tile_floats(p, depth, x, p->sums + t, VEC_FLOAT_TOKENS);
    }
    for (; VEC_FLOAT_TOKENS > 4 && t + 4 <= n_tok; t += 4) {
        for (size_t i = 0; i < 4; i++) x[i] = (const float *)m->acts[first + t + i] + at;
        panel_tile_floats(p, depth, x, p->sums + t, 4);
    }
    for (; VEC_FLOAT_TOKENS > 1 && t < n_tok; t++) {
        x[0] = (const float *)m->acts[first + t] + at;
        panel_tile_floats(p, depth, x, p->sums + t, 1);
    }
}

/* n_in <= PANEL_FLOAT_DEPTH columns of PANEL_ROWS rows, of which n_rows exist. */
KERN_OUTLINE void panel_fill_floats(panel *p, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, float_loader *load,
                              size_t bytes) {
    _Alignas(64) float w[16][16];
    for (size_t sub = 0; sub < VEC_SUBS; sub++, b += 16 * row_bytes)
        for (size_t at = 0; at < n_in; at += 16) {
            load(w, b + at * bytes, row_bytes, n_rows > 16 * sub ? n_rows - 16 * sub : 0, MIN(n_in - at, 16));
            turn(w, sizeof w[0], p->f[at][sub], 4 * sizeof p->f[0], sizeof p->f[0]);
        }
}

KERN_OUTLINE void panel_run_floats(const kern_matmul *m, float_loader *load, size_t bytes) {
    panel *p = m->scratch;
    for (size_t first = 0; first < m->n_act; first += PANEL_TOKENS) {
        size_t n_tok = MIN(m->n_act - first, (size_t)PANEL_TOKENS);
        for (size_t row = 0; row < m->n_rows; row += PANEL_ROWS) {
            memset(p->sums, 0, sizeof p->sums[0] * n_tok);
            for (size_t at = 0; at < m->n_in; at += PANEL_FLOAT_DEPTH) {
                size_t depth = MIN(m->n_in - at, (size_t)PANEL_FLOAT_DEPTH);
                const uint8_t *b = (const uint8_t *)m->weights + row * m->row_bytes + at * bytes;
                panel_fill_floats(p, b, m->row_bytes, m->n_rows - row, depth, load, bytes);
                panel_multiply_floats(p, m, first, n_tok, at, depth);
            }
            panel_write(p, m, first, n_tok, row);
        }
    }
}

#define PROMPT_FLOAT(type, id, bytes)                                                                            \
    static void float_rows_##type(float to[16][16], const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in) { \
        load_float_rows(to, b, row_bytes, n_rows, n_in, floats_##type, bytes);                                   \
    }                                                                                                            \
    static void prompt_##type(const kern_matmul *m) { panel_run_floats(m, float_rows_##type, bytes); }
KERN_FLOAT_FORMATS(PROMPT_FLOAT)

#endif
