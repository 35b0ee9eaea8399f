/* test_attn.c: the attention tile of every level against double arithmetic over all positions, and bit by bit against
 * itself in other company. */
#include "check_kern.h"

#include <math.h>
#include <string.h>

/* n_pos positions in tiles; query i sees [from[i], to[i]) of them. */
typedef struct scene {
    size_t n_q, dim_k, dim_v, n_pos, k_stride, v_stride;
    float *q;
    uint16_t *k, *v;
    size_t from[16], to[16];
} scene;

static void scene_open(scene *s, rng *r, size_t n_q, size_t dim_k, size_t dim_v, size_t n_pos) {
    *s = (scene){.n_q = n_q, .dim_k = dim_k, .dim_v = dim_v, .n_pos = n_pos, .k_stride = dim_k + 3, .v_stride = dim_v + 5};
    s->q = test_guard(n_q * dim_k * sizeof *s->q);
    s->k = test_guard(((n_pos - 1) * s->k_stride + dim_k) * sizeof *s->k);
    s->v = test_guard(((n_pos - 1) * s->v_stride + dim_v) * sizeof *s->v);
    for (size_t i = 0; i < n_q * dim_k; i++) s->q[i] = 3 * rng_normal(r) / sqrtf((float)dim_k);
    for (size_t i = 0; i < (n_pos - 1) * s->k_stride + dim_k; i++) s->k[i] = f16_of_f32(rng_normal(r));
    for (size_t i = 0; i < (n_pos - 1) * s->v_stride + dim_v; i++) s->v[i] = f16_of_f32(rng_normal(r));
    for (size_t i = 0; i < n_q; i++) {
        s->from[i] = rng_u64(r) % 4 ? 0 : rng_u64(r) % n_pos;
        s->to[i] = s->from[i] + rng_u64(r) % (n_pos - s->from[i] + 1);
        if (i % 3 == 0) s->to[i] = n_pos;
    }
}

static void scene_close(scene *s) {
    test_guard_free(s->q, s->n_q * s->dim_k * sizeof *s->q);
    test_guard_free(s->k, ((s->n_pos - 1) * s->k_stride + s->dim_k) * sizeof *s->k);
    test_guard_free(s->v, ((s->n_pos - 1) * s->v_stride + s->dim_v) * sizeof *s->v);
}

/* Queries [first, first + n) over all tiles; out (n, dim_v) is divided by the sum. */
static void run(const kern *k, const scene *s, size_t first, size_t n, float *out) {
    float max[16], sum[16];
    float *q = test_guard(n * s->dim_k * sizeof *q), *acc = test_guard(n * s->dim_v * sizeof *acc);
    memcpy(q, s->q + first * s->dim_k, n * s->dim_k * sizeof *q);
    memset(acc, 0, n * s->dim_v * sizeof *acc);
    for (size_t i = 0; i < n; i++) {
        max[i] = -F32_INF;
        sum[i] = 0;
    }
    for (size_t at = 0; at < s->n_pos; at += KERN_ATTN_TILE) {
        uint16_t from[16], to[16];
        size_t n_pos = MIN(s->n_pos - at, (size_t)KERN_ATTN_TILE);
        for (size_t i = 0; i < n; i++) {
            size_t a = MAX(s->from[first + i], at), b = MIN(s->to[first + i], at + n_pos);
            from[i] = (uint16_t)(a < b ? a - at : 0);
            to[i] = (uint16_t)(a < b ? b - at : 0);
        }
        kern_attn a = {.n_q = n, .dim_k = s->dim_k, .dim_v = s->dim_v, .q = q, .k = s->k + at * s->k_stride,
                       .v = s->v + at * s->v_stride, .k_stride = s->k_stride, .v_stride = s->v_stride, .n_pos = n_pos,
                       .from = from, .to = to, .max = max, .sum = sum, .acc = acc};
        kern_run_attn(k, &a);
    }
    for (size_t i = 0; i < n * s->dim_v; i++) out[i] = sum[i / s->dim_v] > 0 ? acc[i] / sum[i / s->dim_v] : acc[i];
    test_guard_free(q, n * s->dim_k * sizeof *q);
    test_guard_free(acc, n * s->dim_v * sizeof *acc);
}

static void exact(const scene *s, size_t i, double *out) {
    double score[512], top = -INFINITY, sum = 0;
    for (size_t p = s->from[i]; p < s->to[i]; p++) {
        score[p] = 0;
        for (size_t d = 0; d < s->dim_k; d++) score[p] += (double)s->q[i * s->dim_k + d] * f32_of_f16(s->k[p * s->k_stride + d]);
        top = fmax(top, score[p]);
    }
    for (size_t d = 0; d < s->dim_v; d++) out[d] = 0;
    for (size_t p = s->from[i]; p < s->to[i]; p++) {
        sum += exp(score[p] - top);
        for (size_t d = 0; d < s->dim_v; d++) out[d] += exp(score[p] - top) * f32_of_f16(s->v[p * s->v_stride + d]);
    }
    for (size_t d = 0; sum > 0 && d < s->dim_v; d++) out[d] /= sum;
}

static const size_t shapes[][4] = {/* n_q, dim_k, dim_v, n_pos */
    {1, 64, 64, 64}, {1, 128, 128, 200}, {2, 8, 8, 39}, {3, 80, 80, 65}, {4, 128, 128, 129}, {5, 40, 24, 17},
    {7, 64, 64, 1}, {8, 96, 128, 150}, {11, 192, 128, 100}, {16, 256, 256, 130}, {13, 1, 3, 70}, {6, 100, 65, 64},
};

TEST(attn_is_near_exact) {
    EACH_LEVEL(k)
        for (size_t n = 0; n < COUNT_OF(shapes); n++) {
            rng r;
            rng_seed(&r, n);
            scene s;
            scene_open(&s, &r, shapes[n][0], shapes[n][1], shapes[n][2], shapes[n][3]);
            float out[16 * 256];
            double want[256];
            run(k, &s, 0, s.n_q, out);
            for (size_t i = 0; i < s.n_q; i++) {
                exact(&s, i, want);
                for (size_t d = 0; d < s.dim_v; d++)
                    CHECK_MSG(fabs(out[i * s.dim_v + d] - want[d]) < 2e-6, "%s, shape %zu, query %zu, %zu: %g, wanted %g",
                              kern_name(k), n, i, d, (double)out[i * s.dim_v + d], want[d]);
            }
            scene_close(&s);
        }
}

TEST(attn_same_bits_in_any_company) {
    EACH_LEVEL(k)
        for (size_t n = 0; n < COUNT_OF(shapes); n++) {
            rng r;
            rng_seed(&r, n);
            scene s;
            scene_open(&s, &r, shapes[n][0], shapes[n][1], shapes[n][2], shapes[n][3]);
            float all[16 * 256], some[16 * 256];
            run(k, &s, 0, s.n_q, all);
            for (size_t first = 0; first < s.n_q; first++) {
                size_t m = 1 + rng_u64(&r) % 6;
                m = MIN(m, s.n_q - first);
                run(k, &s, first, m, some);
                CHECK(!memcmp(some, all + first * s.dim_v, m * s.dim_v * sizeof *some));
            }
            scene_close(&s);
        }
}

/* What a query does not see may be infinite; scores may be so small that a whole tile counts as nothing. */
TEST(attn_unseen_positions_do_no_harm) {
    EACH_LEVEL(k) {
        rng r;
        rng_seed(&r, 9);
        scene s;
        scene_open(&s, &r, 6, 64, 64, 128);
        for (size_t i = 0; i < 6; i++) {
            s.from[i] = 2;
            s.to[i] = 70 + i;
        }
        float before[6 * 64], after[6 * 64];
        run(k, &s, 0, 6, before);
        for (size_t p = 75; p < 128; p++) s.v[p * s.v_stride + 3] = s.k[p * s.k_stride + 1] = 0x7C00;
        s.v[0] = 0x7E00;
        for (size_t i = 0; i < 6 * 64; i++) after[i] = -1;
        run(k, &s, 0, 5, after);
        CHECK(!memcmp(before, after, 5 * 64 * sizeof *before));
        for (size_t i = 0; i < 64; i++) s.q[i] *= 1e4f; /* query 0: one position takes it all, others underflow */
        run(k, &s, 0, 1, after);
        for (size_t i = 0; i < 64; i++) CHECK(f32_is_finite(after[i]));
        scene_close(&s);
    }
}
