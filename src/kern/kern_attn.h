/* kern_attn.h: attention over one tile of positions (template of a level).
 *
 * Online softmax (Milakov, Gimelshein 2018; FlashAttention, Dao 2022). Keys, then values, are unpacked to floats once for
 * all queries; scores and outputs are then products of small matrices, each element a sum of its own in order of dimensions
 * or positions. What a query does not see is multiplied by zero for it; where such a value is not finite, each query goes
 * alone.
 */
#ifndef LEAT_KERN_ATTN_H
#define LEAT_KERN_ATTN_H

/* ---- a tile as floats ------------------------------------------------------------------------------------ */

/* n values in a row, up to 15 more. */
static void unpack_halves(quant_id type, const uint8_t *from, size_t n, float *to) {
    if (type == QUANT_F16)
        for (size_t i = 0; i < n; i += 16) vf_store(to + i, vf_load_f16(from + 2 * i));
    else
        for (size_t i = 0; i < n; i += 16) vf_store(to + i, vf_load_bf16(from + 2 * i));
}

/* A block's values: rows of 16 at from and to, of which Q4_0 holds two in one. */
KERN_INLINE void unpack_block(quant_id type, const uint8_t *from, size_t rows, vf scale, float *to) {
    if (type == QUANT_Q8_0) {
        for (size_t i = 0; i < rows; i++) vf_store(to + 16 * i, vf_mul(vf_of_i8(from + 16 * i), scale));
        return;
    }
    vf middle = vf_set(8);
    for (size_t i = 0; i < rows / 2; i++) {
        vf low, high;
        vf_of_nibbles(from + 16 * i, &low, &high);
        vf_store(to + 16 * i, vf_mul(vf_sub(low, middle), scale));
        vf_store(to + 16 * (rows / 2 + i), vf_mul(vf_sub(high, middle), scale));
    }
}

/* Keys: a block is 32 rows of 16 positions, which have scales of their own. */
KERN_INLINE void unpack_keys(quant_id type, const uint8_t *from, size_t dim, size_t n_groups, float *to) {
    size_t bytes = type == QUANT_Q8_0 ? 512 : 256, blocks = dim / 32;
    const uint8_t *scales = from + 4 * blocks * bytes;
    for (size_t i = 0; i < n_groups * blocks; i++)
        unpack_block(type, from + i * bytes, 32, vf_load_f16(scales + 32 * i), to + 512 * i);
}

/* Values: a block is 2 rows of one position. */
KERN_INLINE void unpack_values(quant_id type, const uint8_t *from, size_t dim, size_t n_pos, float *to) {
    size_t bytes = type == QUANT_Q8_0 ? 32 : 16, blocks = dim / 32;
    const uint8_t *scales = from + KERN_ATTN_TILE * blocks * bytes;
    float scale[KERN_ATTN_DIM_MAX / 32 + 15];
    for (size_t p = 0; p < n_pos; p++, from += blocks * bytes, to += dim) {
        for (size_t b = 0; b < blocks; b += 16) vf_store(scale + b, vf_load_f16(scales + 2 * (p * blocks + b)));
        for (size_t b = 0; b < blocks; b++) unpack_block(type, from + b * bytes, 2, vf_set(scale[b]), to + 32 * b);
    }
}

/* (4, dim, 16) of n_groups groups of 16 positions. */
static void tile_keys(const kern_attn *a, size_t n_groups, float *to) {
    if (a->type_k == QUANT_Q8_0) unpack_keys(QUANT_Q8_0, a->k, a->dim_k, n_groups, to);
    else if (a->type_k == QUANT_Q4_0) unpack_keys(QUANT_Q4_0, a->k, a->dim_k, n_groups, to);
    else unpack_halves(a->type_k, a->k, 16 * n_groups * a->dim_k, to);
}

/* (64, dim): positions [from, to), zeros in the others up to n, and 16 beyond. */
static void tile_values(const kern_attn *a, size_t from, size_t to, size_t n, float *tile) {
    size_t dim = a->dim_v;
    if (a->type_v == QUANT_Q8_0) unpack_values(QUANT_Q8_0, a->v, dim, to, tile);
    else if (a->type_v == QUANT_Q4_0) unpack_values(QUANT_Q4_0, a->v, dim, to, tile);
    else unpack_halves(a->type_v, a->v, to * dim, tile);
    memset(tile, 0, from * dim * sizeof *tile);
    memset(tile + to * dim, 0, ((n - to) * dim + 16) * sizeof *tile);
}

/* ---- products -------------------------------------------------------------------------------------------- */

/* Cache lines of the next tile, to be fetched one after the other while this one is multiplied. */
typedef struct attn_ahead {
    const char *at;
    size_t lines, due;
} attn_ahead;

static attn_ahead ahead_of(const void *next, quant_id type, size_t dim) {
    return (attn_ahead){next, next ? div_up(kern_attn_tile_bytes(type, dim), 64) : 0, 0};
}

/* out (n, 16 * strips) += a (n, depth) * b, whose vector s of row k lies at b + k * b_row + s * b_strip. Sums are of at most
 * ATTN_DEPTH products and then added to those before: short sums round less. */
#define ATTN_DEPTH 64
KERN_INLINE void attn_block(float *out, size_t out_row, const float *a, size_t a_row, size_t n, const float *b, size_t b_row,
                            size_t b_strip, size_t strips, size_t depth, attn_ahead ahead) {
    for (size_t k = 0; k < depth;) {
        vf sum[VEC_QUERIES][VEC_STRIP];
        for (size_t i = 0; i < n; i++)
            for (size_t s = 0; s < strips; s++) sum[i][s] = vf_set(0);
        for (size_t end = MIN(k + ATTN_DEPTH, depth); k < end; k++, b += b_row) {
            vf row[VEC_STRIP];
            for (size_t s = 0; s < strips; s++) row[s] = vf_load(b + s * b_strip);
            for (size_t i = 0; i < n; i++) {
                vf x = vf_set(a[i * a_row + k]);
                for (size_t s = 0; s < strips; s++) sum[i][s] = vf_fma(x, row[s], sum[i][s]);
            }
            for (ahead.due += ahead.lines; ahead.due >= depth; ahead.due -= depth, ahead.at += 64) v_prefetch(ahead.at);
        }
        for (size_t i = 0; i < n; i++)
            for (size_t s = 0; s < strips; s++) {
                float *to = out + i * out_row + 16 * s;
                vf_store(to, vf_add(vf_load(to), sum[i][s]));
            }
    }
}

KERN_OUTLINE void attn_multiply(float *out, size_t out_row, const float *a, size_t a_row, size_t n, const float *b, size_t b_row,
                                size_t b_strip, size_t strips, size_t depth, attn_ahead ahead) {
    static const attn_ahead nothing;
    for (size_t s = 0; s < strips;) {
        size_t here = s + VEC_STRIP <= strips ? VEC_STRIP : 1;
        for (size_t i = 0; i < n;) {
            size_t rows = i + VEC_QUERIES <= n ? VEC_QUERIES : 1;
            float *to = out + i * out_row + 16 * s;
            const float *x = a + i * a_row, *y = b + s * b_strip;
            attn_ahead next = i + s ? nothing : ahead;
            if (rows == VEC_QUERIES && here == VEC_STRIP)
                attn_block(to, out_row, x, a_row, VEC_QUERIES, y, b_row, b_strip, VEC_STRIP, depth, next);
            else if (rows == VEC_QUERIES)
                attn_block(to, out_row, x, a_row, VEC_QUERIES, y, b_row, b_strip, 1, depth, next);
            else if (here == VEC_STRIP)
                attn_block(to, out_row, x, a_row, 1, y, b_row, b_strip, VEC_STRIP, depth, next);
            else attn_block(to, out_row, x, a_row, 1, y, b_row, b_strip, 1, depth, next);
            i += rows;
        }
        s += here;
    }
}

/* ---- one tile -------------------------------------------------------------------------------------------- */

/* Turns the scores of a query into weights relative to its new maximum; updates its maximum, sum and output so far. */
static void attn_weigh(const kern_attn *a, size_t i, size_t n_groups, float *scores) {
    size_t from = a->from[i], to = a->to[i], n = 16 * n_groups;
    if (from >= to) {
        memset(scores, 0, n * sizeof *scores);
        return;
    }
    for (size_t p = 0; p < from; p++) scores[p] = -F32_INF;
    for (size_t p = to; p < n; p++) scores[p] = -F32_INF;
    vf tops = vf_set(-F32_INF), sum = vf_set(0);
    for (size_t p = 0; p < n; p += 16) tops = vf_max(vf_load(scores + p), tops);
    float old = a->max[i], top = vf_max_all(tops);
    if (top < old) top = old;
    vf base = vf_set(top == -F32_INF ? 0 : top); /* where all scores are -infinity: weights 0, not NaN */
    for (size_t p = 0; p < n; p += 16) {
        vf e = exp_vf(vf_sub(vf_load(scores + p), base));
        vf_store(scores + p, e);
        sum = vf_add(sum, e);
    }
    if (top != old) {
        float factor[16];
        vf_store(factor, exp_vf(vf_sub(vf_set(old), base)));
        scale(a->acc + i * align_up(a->dim_v, 16), factor[0], a->dim_v);
        a->sum[i] *= factor[0];
    }
    a->sum[i] += vf_sum(sum);
    a->max[i] = top;
}

static void attn_tile(const kern_attn *a) {
    size_t n_groups = div_up(a->n_pos, 16), acc_row = align_up(a->dim_v, 16), strips = acc_row / 16;
    float *scores = a->scratch, *tile = scores + a->n_q * KERN_ATTN_TILE;
    bool all_seen = true;
    tile_keys(a, n_groups, tile);
    memset(scores, 0, a->n_q * KERN_ATTN_TILE * sizeof *scores);
    attn_multiply(scores, KERN_ATTN_TILE, a->q, a->dim_k, a->n_q, tile, 16, 16 * a->dim_k, n_groups, a->dim_k,
                  ahead_of(a->k_next, a->type_k, a->dim_k));
    for (size_t i = 0; i < a->n_q; i++) {
        attn_weigh(a, i, n_groups, scores + i * KERN_ATTN_TILE);
        all_seen &= a->from[i] == 0 && a->to[i] >= a->n_pos;
    }
    tile_values(a, 0, a->n_pos, 16 * n_groups, tile);
    if (all_seen || all_finite(tile, a->n_pos * a->dim_v)) {
        attn_multiply(a->acc, acc_row, scores, KERN_ATTN_TILE, a->n_q, tile, a->dim_v, 16, strips, 16 * n_groups,
                      ahead_of(a->v_next, a->type_v, a->dim_v));
        return;
    }
    for (size_t i = 0; i < a->n_q; i++) {
        if (a->from[i] >= a->to[i]) continue;
        tile_values(a, a->from[i], a->to[i], 16 * n_groups, tile);
        attn_multiply(a->acc + i * acc_row, acc_row, scores + i * KERN_ATTN_TILE, KERN_ATTN_TILE, 1, tile, a->dim_v, 16,
                      strips, 16 * n_groups, ahead_of(NULL, a->type_v, a->dim_v));
    }
}

#endif
