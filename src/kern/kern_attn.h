/* kern_attn.h: attention over one tile of positions (template of a level).
 *
 * Online softmax (Milakov, Gimelshein 2018; FlashAttention, Dao 2022), VEC_QUERIES at a time where there are as many: a
 * row of K or V is converted once for them. A query's sums have the same order either way, and rows that it
 * does not see are never multiplied for it, not even by zero: they may hold infinities.
 */
#ifndef LEAT_KERN_ATTN_H
#define LEAT_KERN_ATTN_H

KERN_INLINE vf load_f16_n(const uint16_t *p, size_t n) {
    if (n == 16) return vf_load_f16(p);
    uint16_t padded[16] = {0};
    memcpy(padded, p, n * sizeof *p);
    return vf_load_f16(padded);
}

/* dot[i * per + j] += query i times row j, over 16 dimensions of which `here` exist. */
KERN_INLINE void attn_step(vf dot[16], const float *q, size_t q_stride, const uint16_t *const *rows, size_t d, size_t here,
                           size_t n) {
    size_t per = 16 / n;
    vf x[VEC_QUERIES];
    for (size_t i = 0; i < n; i++) x[i] = here == 16 ? vf_load(q + i * q_stride + d) : vf_load_n(q + i * q_stride + d, here);
    for (size_t j = 0; j < per; j++) {
        vf row = here == 16 ? vf_load_f16(rows[j] + d) : load_f16_n(rows[j] + d, here);
        for (size_t i = 0; i < n; i++) dot[per * i + j] = vf_fma(x[i], row, dot[per * i + j]);
    }
}

/* Rows [from, to) of the next tile, while those of this one are used by its first queries. */
KERN_INLINE void attn_ahead(const uint16_t *next, size_t stride, size_t dim, size_t from, size_t to) {
    for (size_t p = from; p < to; p++)
        for (size_t d = 0; d < dim; d += 32) v_prefetch(next + p * stride + d);
}

/* scores[i][p] for n queries and positions [from, to); n is 1 or VEC_QUERIES. 16 dot products at once: their sums across a vector
 * share the shuffles. Positions past the end repeat the last one. */
KERN_INLINE void attn_scores(const kern_attn *a, size_t first, size_t n, size_t from, size_t to,
                             float scores[][KERN_ATTN_TILE + 16]) {
    const float *q = a->q + first * a->dim_k;
    size_t per = 16 / n, whole = a->dim_k / 16 * 16;
    for (size_t at = from; at < to; at += per) {
        vf dot[16];
        const uint16_t *rows[16];
        float sums[16];
        if (first == 0 && a->k_next) attn_ahead(a->k_next, a->k_stride, a->dim_k, at, MIN(at + per, to));
        for (size_t j = 0; j < 16; j++) dot[j] = vf_set(0);
        for (size_t j = 0; j < per; j++) rows[j] = a->k + MIN(at + j, to - 1) * a->k_stride;
        for (size_t d = 0; d < whole; d += 16) attn_step(dot, q, a->dim_k, rows, d, 16, n);
        if (whole < a->dim_k) attn_step(dot, q, a->dim_k, rows, whole, a->dim_k - whole, n);
        vf_store(sums, vf_sum_each(dot));
        for (size_t i = 0; i < n; i++) memcpy(scores[i] + at, sums + per * i, per * sizeof *sums);
    }
}

/* Turns the scores of a query into weights relative to its new maximum; updates its maximum, sum and output so far. */
static void attn_weigh(const kern_attn *a, size_t i, float *scores) {
    size_t from = a->from[i], to = a->to[i];
    for (size_t p = 0; p < from; p++) scores[p] = -F32_INF;
    for (size_t p = to; p < KERN_ATTN_TILE; p++) scores[p] = -F32_INF;
    float old = a->max[i], top = max(scores, KERN_ATTN_TILE);
    vf sum = vf_set(0);
    if (top < old) top = old;
    float base = top == -F32_INF ? 0 : top; /* where all scores are -infinity: weights 0, not NaN */
    for (size_t p = 0; p < KERN_ATTN_TILE; p += 16) {
        vf e = exp_vf(vf_sub(vf_load(scores + p), vf_set(base)));
        vf_store(scores + p, e);
        sum = vf_add(sum, e);
    }
    float factor[16];
    vf_store(factor, exp_vf(vf_set(old - base)));
    if (top != old) scale(a->acc + i * a->dim_v, factor[0], a->dim_v);
    a->sum[i] = a->sum[i] * factor[0] + vf_sum(sum);
    a->max[i] = top;
}

/* acc += weights * V over positions [from, to) for n queries, VEC_STRIP vectors of their outputs at a time. */
KERN_INLINE void attn_values(const kern_attn *a, size_t first, size_t n, size_t from, size_t to,
                             float weights[][KERN_ATTN_TILE + 16]) {
    size_t d = 0;
    if (from >= to) return;
    for (; d + 16 * VEC_STRIP <= a->dim_v; d += 16 * VEC_STRIP) {
        vf acc[VEC_QUERIES][VEC_STRIP];
        for (size_t i = 0; i < n; i++)
            for (size_t s = 0; s < VEC_STRIP; s++) acc[i][s] = vf_load(a->acc + (first + i) * a->dim_v + d + 16 * s);
        for (size_t p = from; p < to; p++) {
            vf v[VEC_STRIP];
            if (first == 0 && d == 0 && a->v_next) attn_ahead(a->v_next, a->v_stride, a->dim_v, p, p + 1);
            for (size_t s = 0; s < VEC_STRIP; s++) v[s] = vf_load_f16(a->v + p * a->v_stride + d + 16 * s);
            for (size_t i = 0; i < n; i++)
                for (size_t s = 0; s < VEC_STRIP; s++) acc[i][s] = vf_fma(vf_set(weights[i][p]), v[s], acc[i][s]);
        }
        for (size_t i = 0; i < n; i++)
            for (size_t s = 0; s < VEC_STRIP; s++) vf_store(a->acc + (first + i) * a->dim_v + d + 16 * s, acc[i][s]);
    }
    for (; d < a->dim_v; d += 16) {
        size_t here = MIN(a->dim_v - d, 16);
        for (size_t i = 0; i < n; i++) {
            float *out = a->acc + (first + i) * a->dim_v + d;
            vf acc = vf_load_n(out, here);
            for (size_t p = from; p < to; p++)
                acc = vf_fma(vf_set(weights[i][p]), load_f16_n(a->v + p * a->v_stride + d, here), acc);
            vf_store_n(out, acc, here);
        }
    }
}

static void attn_values_1(const kern_attn *a, size_t i, size_t from, size_t to, float weights[][KERN_ATTN_TILE + 16]) {
    attn_values(a, i, 1, from, to, weights);
}

/* n queries, n being 1 or VEC_QUERIES. What all of them see goes together; what lies before and after, one by one. */
KERN_INLINE void attn_queries(const kern_attn *a, size_t first, size_t n) {
    float scores[VEC_QUERIES][KERN_ATTN_TILE + 16]; /* the last step may write beyond */
    size_t from = KERN_ATTN_TILE, to = 0, all_from = 0, all_to = KERN_ATTN_TILE;
    for (size_t i = first; i < first + n; i++) {
        if (a->from[i] >= a->to[i]) {
            all_to = 0;
            continue;
        }
        from = MIN(from, a->from[i]);
        to = MAX(to, a->to[i]);
        all_from = MAX(all_from, a->from[i]);
        all_to = MIN(all_to, a->to[i]);
    }
    attn_scores(a, first, n, from, to, scores);
    for (size_t i = 0; i < n; i++)
        if (a->from[first + i] < a->to[first + i]) attn_weigh(a, first + i, scores[i]);
    if (all_from >= all_to) {
        for (size_t i = first; i < first + n; i++) attn_values_1(a, i, a->from[i], a->to[i], scores + (i - first));
        return;
    }
    for (size_t i = first; i < first + n; i++) attn_values_1(a, i, a->from[i], all_from, scores + (i - first));
    if (n == 1) attn_values_1(a, first, all_from, all_to, scores);
    else attn_values(a, first, n, all_from, all_to, scores);
    for (size_t i = first; i < first + n; i++) attn_values_1(a, i, all_to, a->to[i], scores + (i - first));
}

static void attn_tile(const kern_attn *a) {
    size_t i = 0;
    for (; VEC_QUERIES > 1 && i + VEC_QUERIES <= a->n_q; i += VEC_QUERIES) attn_queries(a, i, VEC_QUERIES);
    for (; i < a->n_q; i++) attn_queries(a, i, 1);
}

#endif
