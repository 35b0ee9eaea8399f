/* kern_attn.h: attention over one tile of positions (template of a level).
 *
 * Online softmax (Milakov, Gimelshein 2018; FlashAttention, Dao 2022), in powers of two. Keys, then values, are unpacked to
 * floats once for all queries; scores and outputs are then products of small matrices, each element a sum of its own in order
 * of dimensions or positions. What a query does not see is multiplied by zero for it; where such a value is not finite, each
 * query goes alone.
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

/* Values: a block is 2 rows of one position. Scales come 16 at a time from the tile's first on, of which there are 64 a block: so
 * none is of another head, which may be written meanwhile. */
KERN_INLINE void unpack_values(quant_id type, const uint8_t *from, size_t dim, size_t n_pos, float *to) {
    size_t bytes = type == QUANT_Q8_0 ? 32 : 16, blocks = dim / 32, n = n_pos * blocks;
    const uint8_t *scales = from + KERN_ATTN_TILE * blocks * bytes;
    float scale[16];
    for (size_t at = 0; at < n; at += 16) {
        vf_store(scale, vf_load_f16(scales + 2 * at));
        for (size_t i = at; i < MIN(at + 16, n); i++) unpack_block(type, from + i * bytes, 2, vf_set(scale[i - at]), to + 32 * i);
    }
}

/* (4, dim, 16) of n_groups groups of 16 positions. */
static void tile_keys(const kern_attn *a, size_t n_groups, float *to) {
    if (a->type_k == QUANT_Q8_0) unpack_keys(QUANT_Q8_0, a->k, a->dim_k, n_groups, to);
    else if (a->type_k == QUANT_Q4_0) unpack_keys(QUANT_Q4_0, a->k, a->dim_k, n_groups, to);
    else unpack_halves(a->type_k, a->k, 16 * n_groups * a->dim_k, to);
}

/* (64, dim): positions [from, to), zeros in the others up to n_pos, and 16 beyond. */
static void tile_values(const kern_attn *a, size_t from, size_t to, float *tile) {
    size_t dim = a->dim_v;
    if (a->type_v == QUANT_Q8_0) unpack_values(QUANT_Q8_0, a->v, dim, to, tile);
    else if (a->type_v == QUANT_Q4_0) unpack_values(QUANT_Q4_0, a->v, dim, to, tile);
    else unpack_halves(a->type_v, a->v, to * dim, tile);
    memset(tile, 0, from * dim * sizeof *tile);
    memset(tile + to * dim, 0, ((a->n_pos - to) * dim + 16) * sizeof *tile);
}

/* ---- products -------------------------------------------------------------------------------------------- */

/* out (n, 16 * strips) += a (n, depth) * b, whose vector s of row k lies at byte k * row + s * strip: floats, or halves as
 * they lie in the cache. Sums are of at most ATTN_DEPTH products and then added to those before: short sums round less. */
#define ATTN_DEPTH 64
typedef struct attn_product {
    size_t out_row, a_row, row, strip, depth;
    size_t ahead; /* bytes of the next tile to fetch each step */
} attn_product;

KERN_INLINE void attn_block(const attn_product *p, float *out, const float *a, const char *b, const char *ahead, size_t n,
                            size_t strips, bool halves) {
    const size_t a_row = p->a_row, row = p->row, strip = p->strip, out_row = p->out_row, more = p->ahead;
    for (size_t left = p->depth; left;) {
        vf sum[VEC_QUERIES][VEC_STRIP];
        for (size_t i = 0; i < n; i++)
            for (size_t s = 0; s < strips; s++) sum[i][s] = vf_set(0);
        size_t here = MIN(left, ATTN_DEPTH);
        left -= here;
        for (const float *end = a + here; a != end; a++, b += row, ahead += more) {
            vf r[VEC_STRIP];
            for (size_t s = 0; s < strips; s++) r[s] = halves ? vf_load_f16(b + s * strip) : vf_load(b + s * strip);
            for (size_t i = 0; i < n; i++) {
                vf x = vf_set(a[i * a_row]);
                for (size_t s = 0; s < strips; s++) sum[i][s] = vf_fma(x, r[s], sum[i][s]);
            }
            if (more) v_prefetch(ahead);
            if (more > 64) v_prefetch(ahead + 64);
        }
        for (size_t i = 0; i < n; i++)
            for (size_t s = 0; s < strips; s++) {
                float *to = out + i * out_row + 16 * s;
                vf_store(to, vf_add(vf_load(to), sum[i][s]));
            }
    }
}
#define ATTN_BLOCK(name, n, strips, halves) \
    KERN_OUTLINE void name(const attn_product *p, float *out, const float *a, const char *b, const char *ahead) { \
        attn_block(p, out, a, b, ahead, n, strips, halves); \
    }
ATTN_BLOCK(attn_many_wide, VEC_QUERIES, VEC_STRIP, false)
ATTN_BLOCK(attn_many_narrow, VEC_QUERIES, 1, false)
ATTN_BLOCK(attn_one_wide, 1, VEC_STRIP, false)
ATTN_BLOCK(attn_one_narrow, 1, 1, false)
ATTN_BLOCK(attn_many_halves, VEC_QUERIES, VEC_STRIP, true)
ATTN_BLOCK(attn_one_halves, 1, VEC_STRIP, true)

/* Halves: strips fill VEC_STRIP. A copy of p would be read in other pieces than it was written, for which CPUs wait. */
KERN_OUTLINE void attn_multiply(const attn_product *p, float *out, const float *a, size_t n, const char *b, size_t strips,
                                bool halves, const char *ahead) {
    for (size_t s = 0; s < strips;) {
        bool wide = strips - s >= VEC_STRIP;
        for (size_t i = 0; i < n;) {
            bool many = n - i >= VEC_QUERIES;
            float *to = out + i * p->out_row + 16 * s;
            const float *from = a + i * p->a_row;
            if (halves) (many ? attn_many_halves : attn_one_halves)(p, to, from, b + s * p->strip, ahead);
            else if (wide) (many ? attn_many_wide : attn_one_wide)(p, to, from, b + s * p->strip, ahead);
            else (many ? attn_many_narrow : attn_one_narrow)(p, to, from, b + s * p->strip, ahead);
            i += many ? VEC_QUERIES : 1;
            ahead += p->depth * p->ahead;
        }
        s += wide ? VEC_STRIP : 1;
    }
}

/* ---- one tile -------------------------------------------------------------------------------------------- */

#define LOG2_E 1.44269504f
/* 2^(x log2(e) - base) = 2^(n + r), |r| <= 1/2, for x of at least least; r is rounded once, and the polynomial, the best of its
 * degree that is 1 at 0, has an error of 8e-8 of the result. */
KERN_INLINE vf exp2_vf(vf x, vf minus_base, vf least) {
    x = vf_max(least, x); /* in this order NaN stays */
    vf n = vf_round(vf_fma(x, vf_set(LOG2_E), minus_base)), r = vf_fma(x, vf_set(LOG2_E), vf_sub(minus_base, n));
    vf p = vf_set(1.5353361e-4f);
    p = vf_fma(p, r, vf_set(1.3398874e-3f));
    p = vf_fma(p, r, vf_set(9.6184374e-3f));
    p = vf_fma(p, r, vf_set(5.5503325e-2f));
    p = vf_fma(p, r, vf_set(2.4022648e-1f));
    p = vf_fma(p, r, vf_set(6.9314720e-1f));
    p = vf_fma(p, r, vf_set(1.0f));
    return vf_scale2(p, n);
}

/* A query's base is a whole number above all its scores times log2(e) so far: with room, so that it seldom grows; then all there
 * is is scaled exactly. */
#define ATTN_ROOM 4
KERN_OUTLINE void raise_base(const kern_attn *a, size_t i, float top) {
    float base = (float)math_floor((double)top) + ATTN_ROOM;
    size_t row = kern_attn_acc_row(a->dim_v);
    scale(a->acc + i * row, kern_attn_factor(a->base[i] - base), row);
    a->base[i] = base;
}

/* Turns a query's scores into weights 2^(score log2(e) - base). No chain leads from the largest score to the weights: while it is
 * being found, CPUs guess that it is below the base. */
KERN_INLINE void weigh(const kern_attn *a, size_t i, size_t n_groups, float *scores) {
    size_t row = kern_attn_acc_row(a->dim_v);
    float *sums = a->acc + (i + 1) * row - 16;
    vf tops = vf_set(-F32_INF);
    for (size_t g = 0; g < n_groups; g++) tops = vf_max(vf_load(scores + 16 * g), tops);
    float top = vf_max_all(tops) * LOG2_E;
    if (top > a->base[i]) raise_base(a, i, top);
    float base = a->base[i] == -F32_INF ? 0 : a->base[i]; /* where all scores are -infinity: weights 0, not NaN */
    vf minus_base = vf_set(-base), least = vf_set((base - 160) / LOG2_E);
    vf sum = vf_load(sums);
    for (size_t g = 0; g < n_groups; g++) {
        vf x = exp2_vf(vf_load(scores + 16 * g), minus_base, least);
        vf_store(scores + 16 * g, x);
        sum = vf_add(sum, x);
    }
    vf_store(sums, sum);
}

/* Bytes of a tile of so many to fetch each step of a product. */
static size_t bytes_ahead(const kern_attn *a, size_t tile_bytes, size_t strips, size_t depth) {
    size_t blocks = (strips / VEC_STRIP + strips % VEC_STRIP) * (a->n_q / VEC_QUERIES + a->n_q % VEC_QUERIES);
    return div_up(tile_bytes, blocks * depth);
}

static void attn_tile(const kern_attn *a) {
    size_t n_groups = div_up(a->n_pos, 16), acc_row = kern_attn_acc_row(a->dim_v), strips = acc_row / 16 - 1;
    float *scores = a->scratch, *tile = scores + a->n_q * KERN_ATTN_TILE;
    attn_product keys = {KERN_ATTN_TILE, a->dim_k, 64, 64 * a->dim_k, a->dim_k, 0};
    attn_product values = {acc_row, KERN_ATTN_TILE, 4 * a->dim_v, 64, a->n_pos, 0};
    if (a->k_next) keys.ahead = bytes_ahead(a, kern_attn_tile_bytes(a->type_k, a->dim_k), n_groups, a->dim_k);
    if (a->v_next) values.ahead = bytes_ahead(a, kern_attn_tile_bytes(a->type_v, a->dim_v), strips, a->n_pos);
    bool all_seen = true, few = a->n_q <= 2 * VEC_QUERIES; /* fewer passes than unpacking costs */
    memset(scores, 0, a->n_q * KERN_ATTN_TILE * sizeof *scores);
    if (few && a->type_k == QUANT_F16 && n_groups % VEC_STRIP == 0) {
        keys.row = 32, keys.strip = 32 * a->dim_k;
        attn_multiply(&keys, scores, a->q, a->n_q, a->k, n_groups, true, a->k_next);
    } else {
        tile_keys(a, n_groups, tile);
        attn_multiply(&keys, scores, a->q, a->n_q, (const char *)tile, n_groups, false, a->k_next);
    }
    for (size_t i = 0; i < a->n_q; i++) {
        float *s = scores + i * KERN_ATTN_TILE;
        for (size_t p = 0; p < a->from[i]; p++) s[p] = -F32_INF;
        for (size_t p = a->to[i]; p < 16 * n_groups; p++) s[p] = -F32_INF;
        all_seen &= a->from[i] == 0 && a->to[i] >= a->n_pos;
        weigh(a, i, n_groups, s);
    }
    if (few && all_seen && a->type_v == QUANT_F16 && a->dim_v % (16 * VEC_STRIP) == 0) {
        values.row = 2 * a->dim_v, values.strip = 32;
        attn_multiply(&values, a->acc, scores, a->n_q, a->v, strips, true, a->v_next);
        return;
    }
    tile_values(a, 0, a->n_pos, tile);
    if (all_seen || all_finite(tile, a->n_pos * a->dim_v)) {
        attn_multiply(&values, a->acc, scores, a->n_q, (const char *)tile, strips, false, a->v_next);
        return;
    }
    values.ahead = 0;
    for (size_t i = 0; i < a->n_q; i++) {
        if (a->from[i] >= a->to[i]) continue;
        tile_values(a, a->from[i], a->to[i], tile);
        attn_multiply(&values, a->acc + i * acc_row, scores + i * KERN_ATTN_TILE, 1, (const char *)tile, strips, false, NULL);
    }
}

#endif
