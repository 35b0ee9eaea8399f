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

/* out (n, 16 * strips) += a (n, depth) * b, whose vector s of row k lies at element k * b_row + s * b_strip: floats, or
 * halves as they lie in the cache. Sums are of at most ATTN_DEPTH products and then added to those before: short sums round
 * less. */
#define ATTN_DEPTH 64
typedef struct attn_operand {
    const void *at;
    size_t row, strip;
    bool halves;
} attn_operand;

KERN_INLINE vf operand_load(attn_operand b, size_t k, size_t s) {
    size_t i = k * b.row + s * b.strip;
    return b.halves ? vf_load_f16((const uint16_t *)b.at + i) : vf_load((const float *)b.at + i);
}

KERN_INLINE void attn_block(float *out, size_t out_row, const float *a, size_t a_row, size_t n, attn_operand b,
                            size_t strips, size_t depth, attn_ahead ahead) {
    for (size_t k = 0; k < depth;) {
        vf sum[VEC_QUERIES][VEC_STRIP];
        for (size_t i = 0; i < n; i++)
            for (size_t s = 0; s < strips; s++) sum[i][s] = vf_set(0);
        for (size_t end = MIN(k + ATTN_DEPTH, depth); k < end; k++) {
            vf row[VEC_STRIP];
            for (size_t s = 0; s < strips; s++) row[s] = operand_load(b, k, s);
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

/* n is 1 or a constant of the level, as is strips. */
KERN_INLINE void attn_strips(float *out, size_t out_row, const float *a, size_t a_row, size_t n, attn_operand b,
                             size_t strips, size_t depth, attn_ahead ahead, size_t rows, size_t here) {
    if (n < rows || strips < here) return;
    ahead.lines = div_up(ahead.lines, n / rows * (strips / here)); /* a part with each block */
    for (size_t s = 0; s + here <= strips; s += here) {
        attn_operand at = b;
        at.at = (const char *)b.at + s * b.strip * (b.halves ? 2 : 4);
        for (size_t i = 0; i + rows <= n; i += rows, ahead.at += 64 * ahead.lines)
            attn_block(out + i * out_row + 16 * s, out_row, a + i * a_row, a_row, rows, at, here, depth, ahead);
    }
}

KERN_OUTLINE void attn_multiply(float *out, size_t out_row, const float *a, size_t a_row, size_t n, attn_operand b,
                                size_t strips, size_t depth, attn_ahead ahead) {
    static const attn_ahead nothing;
    size_t many = n / VEC_QUERIES * VEC_QUERIES, wide = strips / VEC_STRIP * VEC_STRIP;
    attn_operand rest = b;
    rest.at = (const float *)b.at + wide * b.strip;
    b.halves = rest.halves = false;
    if (many) attn_strips(out, out_row, a, a_row, many, b, wide, depth, ahead, VEC_QUERIES, VEC_STRIP);
    if (many) attn_strips(out + 16 * wide, out_row, a, a_row, many, rest, strips - wide, depth, wide ? nothing : ahead, VEC_QUERIES, 1);
    out += many * out_row, a += many * a_row, n -= many;
    attn_strips(out, out_row, a, a_row, n, b, wide, depth, many ? nothing : ahead, 1, VEC_STRIP);
    attn_strips(out + 16 * wide, out_row, a, a_row, n, rest, strips - wide, depth, many || wide ? nothing : ahead, 1, 1);
}

/* Few queries take halves from the cache themselves. */
KERN_OUTLINE void attn_multiply_halves(float *out, size_t out_row, const float *a, size_t a_row, size_t n, attn_operand b,
                                       size_t strips, size_t depth, attn_ahead ahead) {
    static const attn_ahead nothing;
    size_t many = n / VEC_QUERIES * VEC_QUERIES;
    b.halves = true;
    if (many) attn_strips(out, out_row, a, a_row, many, b, strips, depth, ahead, VEC_QUERIES, VEC_STRIP);
    attn_strips(out + many * out_row, out_row, a + many * a_row, a_row, n - many, b, strips, depth, many ? nothing : ahead, 1, VEC_STRIP);
}

/* ---- one tile -------------------------------------------------------------------------------------------- */

/* Turns the scores of n queries, a constant, into weights relative to their new maximum; updates maximum, sum and output
 * so far. Step by step for all of them: for each there is a chain of two sums across a vector and an exponential. */
KERN_INLINE void weigh(const kern_attn *a, size_t first, size_t n, size_t n_groups, float *scores) {
    vf x[VEC_QUERIES][KERN_ATTN_TILE / 16], tops[VEC_QUERIES], bases[VEC_QUERIES], sums[VEC_QUERIES];
    float top[VEC_QUERIES];
    for (size_t i = 0; i < n; i++) {
        tops[i] = vf_set(-F32_INF);
        for (size_t g = 0; g < n_groups; g++)
            tops[i] = vf_max(x[i][g] = vf_load(scores + i * KERN_ATTN_TILE + 16 * g), tops[i]);
    }
    for (size_t i = 0; i < n; i++) top[i] = vf_max_all(tops[i]);
    for (size_t i = 0; i < n; i++) {
        if (top[i] < a->max[first + i]) top[i] = a->max[first + i];
        bases[i] = vf_set(top[i] == -F32_INF ? 0 : top[i]); /* where all scores are -infinity: weights 0, not NaN */
        sums[i] = vf_set(0);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t g = 0; g < n_groups; g++) {
            x[i][g] = exp_vf(vf_sub(x[i][g], bases[i]));
            vf_store(scores + i * KERN_ATTN_TILE + 16 * g, x[i][g]);
            sums[i] = vf_add(sums[i], x[i][g]);
        }
    for (size_t i = 0; i < n; i++) {
        float *max = &a->max[first + i], *sum = &a->sum[first + i], factor[16];
        if (top[i] != *max) {
            vf_store(factor, exp_vf(vf_sub(vf_set(*max), bases[i])));
            scale(a->acc + (first + i) * align_up(a->dim_v, 16), factor[0], a->dim_v);
            *sum *= factor[0];
        }
        *sum += vf_sum(sums[i]);
        *max = top[i];
    }
}

static void attn_weigh(const kern_attn *a, size_t i, size_t n_groups, float *scores) {
    size_t from = a->from[i], to = a->to[i], n = 16 * n_groups;
    if (from >= to) {
        memset(scores, 0, n * sizeof *scores);
        return;
    }
    for (size_t p = 0; p < from; p++) scores[p] = -F32_INF;
    for (size_t p = to; p < n; p++) scores[p] = -F32_INF;
    weigh(a, i, 1, n_groups, scores);
}

static void attn_tile(const kern_attn *a) {
    size_t n_groups = div_up(a->n_pos, 16), acc_row = align_up(a->dim_v, 16), strips = acc_row / 16;
    float *scores = a->scratch, *tile = scores + a->n_q * KERN_ATTN_TILE;
    attn_operand keys = {tile, 16, 16 * a->dim_k, false}, values = {tile, a->dim_v, 16, false};
    attn_ahead next_k = ahead_of(a->k_next, a->type_k, a->dim_k), next_v = ahead_of(a->v_next, a->type_v, a->dim_v);
    bool all_seen = true, few = a->n_q <= 2 * VEC_QUERIES; /* fewer passes than unpacking costs */
    memset(scores, 0, a->n_q * KERN_ATTN_TILE * sizeof *scores);
    if (few && a->type_k == QUANT_F16 && n_groups % VEC_STRIP == 0) {
        keys.at = a->k;
        attn_multiply_halves(scores, KERN_ATTN_TILE, a->q, a->dim_k, a->n_q, keys, n_groups, a->dim_k, next_k);
    } else {
        tile_keys(a, n_groups, tile);
        attn_multiply(scores, KERN_ATTN_TILE, a->q, a->dim_k, a->n_q, keys, n_groups, a->dim_k, next_k);
    }
    for (size_t i = 0; i < a->n_q; i++) all_seen &= a->from[i] == 0 && a->to[i] >= a->n_pos;
    size_t at_once = all_seen && a->n_pos == KERN_ATTN_TILE ? a->n_q / VEC_QUERIES * VEC_QUERIES : 0;
    for (size_t i = 0; i < at_once; i += VEC_QUERIES)
        weigh(a, i, VEC_QUERIES, KERN_ATTN_TILE / 16, scores + i * KERN_ATTN_TILE);
    for (size_t i = at_once; i < a->n_q; i++) attn_weigh(a, i, n_groups, scores + i * KERN_ATTN_TILE);
    if (few && all_seen && a->type_v == QUANT_F16 && strips % VEC_STRIP == 0) {
        values.at = a->v;
        attn_multiply_halves(a->acc, acc_row, scores, KERN_ATTN_TILE, a->n_q, values, strips, a->n_pos, next_v);
        return;
    }
    tile_values(a, 0, a->n_pos, 16 * n_groups, tile);
    if (all_seen || all_finite(tile, a->n_pos * a->dim_v)) {
        attn_multiply(a->acc, acc_row, scores, KERN_ATTN_TILE, a->n_q, values, strips, 16 * n_groups, next_v);
        return;
    }
    for (size_t i = 0; i < a->n_q; i++) {
        if (a->from[i] >= a->to[i]) continue;
        tile_values(a, a->from[i], a->to[i], 16 * n_groups, tile);
        attn_multiply(a->acc + i * acc_row, acc_row, scores + i * KERN_ATTN_TILE, KERN_ATTN_TILE, 1, values, strips,
                      16 * n_groups, (attn_ahead){0});
    }
}

#endif
