/* kern_attn.h: attention over one tile of positions (template of a level).
 *
 * Online softmax (Milakov, Gimelshein 2018; FlashAttention, Dao 2022), in powers of two. Keys, then values, are unpacked to
 * floats once for all queries, or F16 is converted as it is multiplied (VEC_QUERIES_HALVES); scores and outputs are
 * products of small matrices, each element a sum of its own in order of dimensions or positions. What a query does not see is
 * multiplied by zero for it; where such a value is not finite, each query goes alone.
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

/* out (n, 16 * groups) += a (n, depth) * b: floats, or halves as they lie in the cache. Group g of row k of b lies at byte
 * k * row + g * group. Sums are of at most ATTN_DEPTH products and then added to those before: short sums round less. */
#define ATTN_DEPTH 64
#define ATTN_STRIPS MAX(VEC_STRIP, VEC_HALVES)
_Static_assert(VEC_STRIP * VR_FLOATS % 16 == 0 && VEC_STRIP_LEFT * VR_FLOATS % 16 == 0, "floats are taken in whole groups");
_Static_assert(VEC_STRIP_LEFT <= 2 && VEC_HALVES_LEFT <= 2, "where pieces are of two at least, no single strip is left");
typedef struct attn_product {
    size_t out_row, a_row, row, group, depth;
    size_t ahead; /* bytes of the next tile to fetch each step: of full tiles no more than are read there as halves */
} attn_product;

/* n rows by strips of VR_FLOATS, from the one numbered `strip` on. */
KERN_INLINE void attn_block(const attn_product *p, float *out, const float *a, const char *b, size_t strip, const char *ahead,
                            size_t n, size_t strips, bool halves) {
    const size_t a_row = p->a_row, row = p->row, out_row = p->out_row, more = p->ahead;
    size_t at[ATTN_STRIPS], first = strip * VR_FLOATS;
    out += first;
    b += first / 16 * p->group;
    for (size_t s = 0, i = halves ? first % 16 : 0; s < strips; s++, i += VR_FLOATS)
        at[s] = i / 16 * p->group + i % 16 * (halves ? 2 : 4);
    for (size_t left = p->depth; left;) {
        vr sum[VEC_QUERIES][ATTN_STRIPS];
        for (size_t i = 0; i < n; i++)
            for (size_t s = 0; s < strips; s++) sum[i][s] = vr_set(0);
        size_t here = MIN(left, ATTN_DEPTH);
        left -= here;
        for (const float *end = a + here; a != end; a++, b += row, ahead += more) {
            vr r[ATTN_STRIPS];
            for (size_t s = 0; s < strips; s++) r[s] = halves ? vr_load_f16(b + at[s]) : vr_load(b + at[s]);
            for (size_t i = 0; i < n; i++) {
                vr x = vr_set(a[i * a_row]);
                for (size_t s = 0; s < strips; s++) sum[i][s] = vr_fma(x, r[s], sum[i][s]);
            }
            v_prefetch(ahead);
            if (2 * ATTN_STRIPS * VR_FLOATS > 64 && more > 64) v_prefetch(ahead + 64);
        }
        for (size_t i = 0; i < n; i++)
            for (size_t s = 0; s < strips; s++) {
                float *to = out + i * out_row + VR_FLOATS * s;
                vr_store(to, vr_add(vr_load(to), sum[i][s]));
            }
    }
}
#define ATTN_BLOCK(name, n, strips, halves) \
    KERN_OUTLINE void name(const attn_product *p, float *out, const float *a, const char *b, size_t strip, const char *ahead) { \
        attn_block(p, out, a, b, strip, ahead, n, strips, halves); \
    }
ATTN_BLOCK(attn_many, VEC_QUERIES, VEC_STRIP, false)
ATTN_BLOCK(attn_many_left, VEC_QUERIES, VEC_STRIP_LEFT, false)
ATTN_BLOCK(attn_one, 1, VEC_STRIP, false)
ATTN_BLOCK(attn_one_left, 1, VEC_STRIP_LEFT, false)
ATTN_BLOCK(attn_many_halves, VEC_QUERIES, VEC_HALVES, true)
ATTN_BLOCK(attn_many_halves_left, VEC_QUERIES, VEC_HALVES_LEFT, true)
ATTN_BLOCK(attn_one_halves, 1, VEC_HALVES, true)
ATTN_BLOCK(attn_one_halves_left, 1, VEC_HALVES_LEFT, true)

/* Of so many strips, how many come next: pieces of one size, and of another where those do not fit. */
static size_t strips_next(size_t left, bool halves) {
    size_t n = halves ? VEC_HALVES : VEC_STRIP, other = halves ? VEC_HALVES_LEFT : VEC_STRIP_LEFT;
    return left == n || left >= n + other ? n : other;
}
static bool halves_fit(size_t groups) { return VEC_HALVES_LEFT || groups * 16 / VR_FLOATS % VEC_HALVES == 0; }

/* Halves: halves_fit(groups). A copy of p would be read in other pieces than it was written, for which CPUs wait. */
KERN_OUTLINE void attn_multiply(const attn_product *p, float *out, const float *a, size_t n, const char *b, size_t groups,
                                bool halves, const char *ahead) {
    const size_t strips = groups * 16 / VR_FLOATS;
    if (!p->ahead) ahead = b; /* is there already */
    for (size_t s = 0, next; s < strips; s += next) {
        next = strips_next(strips - s, halves);
        for (size_t i = 0; i < n;) {
            bool many = n - i >= VEC_QUERIES;
            float *to = out + i * p->out_row;
            const float *from = a + i * p->a_row;
            if (halves && (next == VEC_HALVES || !VEC_HALVES_LEFT)) (many ? attn_many_halves : attn_one_halves)(p, to, from, b, s, ahead);
            else if (halves) (many ? attn_many_halves_left : attn_one_halves_left)(p, to, from, b, s, ahead);
            else if (next == VEC_STRIP) (many ? attn_many : attn_one)(p, to, from, b, s, ahead);
            else (many ? attn_many_left : attn_one_left)(p, to, from, b, s, ahead);
            i += many ? VEC_QUERIES : 1;
            ahead += p->depth * p->ahead;
        }
    }
}

/* ---- one tile -------------------------------------------------------------------------------------------- */

#define LOG2_E 1.44269504f
/* 2^(x log2(e) - base) = 2^(n + r), |r| <= 1/2, for x of at least least; r is rounded once, and the polynomial, the best of its
 * degree that is 1 at 0, has an error of 1e-7 of the result. Its terms are added in pairs, a shorter chain than one by one. */
KERN_INLINE vf exp2_vf(vf x, vf minus_base, vf least) {
    x = vf_max(least, x); /* in this order NaN stays */
    vf n = vf_round(vf_fma(x, vf_set(LOG2_E), minus_base)), r = vf_fma(x, vf_set(LOG2_E), vf_sub(minus_base, n));
    vf r2 = vf_mul(r, r), p = vf_fma(vf_set(1.5353361e-4f), r, vf_set(1.3398874e-3f));
    p = vf_fma(p, r2, vf_fma(vf_set(9.6184374e-3f), r, vf_set(5.5503325e-2f)));
    p = vf_fma(p, r2, vf_fma(vf_set(2.4022648e-1f), r, vf_set(6.9314720e-1f)));
    return vf_scale2_down(vf_fma(p, r, vf_set(1.0f)), n);
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

/* Before weigh: no chain leads from the largest score to the weights. While it is being found, CPUs guess that it is below the
 * base. */
KERN_INLINE void find_base(const kern_attn *a, size_t i, size_t n_groups, const float *scores) {
    vf tops = vf_set(-F32_INF);
    for (size_t g = 0; g < n_groups; g++) tops = vf_max(vf_load(scores + 16 * g), tops);
    float top = vf_max_all(tops) * LOG2_E;
    if (top > a->base[i]) raise_base(a, i, top);
}

/* Turns scores into weights 2^(score log2(e) - base). */
static void weigh(const kern_attn *a, size_t n_groups, float *scores) {
    size_t row = kern_attn_acc_row(a->dim_v);
    float *sums = a->acc + row - 16;
    for (size_t i = 0; i < a->n_q; i++, scores += KERN_ATTN_TILE, sums += row) {
        float base = a->base[i] == -F32_INF ? 0 : a->base[i]; /* where all scores are -infinity: weights 0, not NaN */
        vf minus_base = vf_set(-base), least = vf_set((base - 160) * (1 / LOG2_E));
        vf sum = vf_load(sums);
        for (size_t g = 0; g < n_groups; g++) {
            vf x = exp2_vf(vf_load(scores + 16 * g), minus_base, least);
            vf_store(scores + 16 * g, x);
            sum = vf_add(sum, x);
        }
        vf_store(sums, sum);
    }
}

/* Bytes of a tile of so many to fetch each step of a product. */
KERN_OUTLINE size_t bytes_ahead(const kern_attn *a, size_t tile_bytes, size_t groups, size_t depth, bool halves) {
    size_t across = 0;
    for (size_t left = groups * 16 / VR_FLOATS; left; across++) left -= strips_next(left, halves);
    return div_up(tile_bytes, across * (a->n_q / VEC_QUERIES + a->n_q % VEC_QUERIES) * depth);
}

static void attn_tile(const kern_attn *a) {
    size_t n_groups = div_up(a->n_pos, 16), acc_row = kern_attn_acc_row(a->dim_v), v_groups = acc_row / 16 - 1;
    float *scores = a->scratch, *tile = scores + a->n_q * KERN_ATTN_TILE;
    attn_product keys = {KERN_ATTN_TILE, a->dim_k, 64, 64 * a->dim_k, a->dim_k, 0};
    attn_product values = {acc_row, KERN_ATTN_TILE, 4 * a->dim_v, 64, a->n_pos, 0};
    bool all_seen = true, few = a->n_q <= VEC_QUERIES_HALVES; /* to convert F16 each time takes no longer than to unpack it */
    bool k_halves = few && a->type_k == QUANT_F16 && halves_fit(n_groups);
    bool v_halves = few && a->type_v == QUANT_F16 && a->dim_v % 16 == 0 && halves_fit(v_groups);
    if (a->k_next) keys.ahead = bytes_ahead(a, kern_attn_tile_bytes(a->type_k, a->dim_k), n_groups, a->dim_k, k_halves);
    memset(scores, 0, a->n_q * KERN_ATTN_TILE * sizeof *scores);
    if (k_halves) {
        keys.row = 32, keys.group = 32 * a->dim_k;
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
        find_base(a, i, n_groups, s);
    }
    weigh(a, n_groups, scores);
    v_halves &= all_seen;
    if (a->v_next) values.ahead = bytes_ahead(a, kern_attn_tile_bytes(a->type_v, a->dim_v), v_groups, a->n_pos, v_halves);
    if (v_halves) {
        values.row = 2 * a->dim_v, values.group = 32;
        attn_multiply(&values, a->acc, scores, a->n_q, a->v, v_groups, true, a->v_next);
        return;
    }
    tile_values(a, 0, a->n_pos, tile);
    if (all_seen || all_finite(tile, a->n_pos * a->dim_v)) {
        attn_multiply(&values, a->acc, scores, a->n_q, (const char *)tile, v_groups, false, a->v_next);
        return;
    }
    values.ahead = 0;
    for (size_t i = 0; i < a->n_q; i++) {
        if (a->from[i] >= a->to[i]) continue;
        tile_values(a, a->from[i], a->to[i], tile);
        attn_multiply(&values, a->acc + i * acc_row, scores + i * KERN_ATTN_TILE, 1, (const char *)tile, v_groups, false, NULL);
    }
}

#endif
