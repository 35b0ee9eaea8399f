/* test_attn.c: the attention tile of every level against double arithmetic over all positions, and bit by bit against
 * itself in other company, with every type that keys and values can have; what rounding to them costs. */
#include "check_kern.h"

#include <math.h>
#include <string.h>

#define Q_MAX 16
#define DIM_MAX 256

/* n_pos positions in tiles; query i sees [from[i], to[i]) of them. */
typedef struct scene {
    size_t n_q, dim_k, dim_v, n_pos, n_tiles;
    quant_id type_k, type_v;
    float *q, *k, *v; /* k, v: as given, then as the types hold them */
    char *k_tiles, *v_tiles;
    size_t from[Q_MAX], to[Q_MAX];
} scene;

static size_t tiles_bytes(const scene *s, bool keys) {
    return s->n_tiles * (keys ? kern_attn_tile_bytes(s->type_k, s->dim_k) : kern_attn_tile_bytes(s->type_v, s->dim_v));
}

/* Rows of random values go to the tiles; what the encoder and the reference decoder make of them stays. */
static void store(const kern *k, scene *s, bool keys) {
    size_t dim = keys ? s->dim_k : s->dim_v, bytes = tiles_bytes(s, keys) / s->n_tiles;
    quant_id type = keys ? s->type_k : s->type_v;
    float *x = keys ? s->k : s->v;
    char *tiles = keys ? s->k_tiles : s->v_tiles;
    uint8_t blocks[DIM_MAX * 2];
    for (size_t p = 0; p < s->n_pos; p++, x += dim) {
        kern_attn_store(k, type, keys, x, 1, dim, tiles + p / KERN_ATTN_TILE * bytes, p % KERN_ATTN_TILE);
        kern_encoder(k, type)(x, NULL, blocks, dim);
        quant_find(type)->decode(blocks, x, dim);
    }
}

static void scene_open(const kern *k, scene *s, rng *r, const size_t shape[4], quant_id type_k, quant_id type_v) {
    *s = (scene){.n_q = shape[0], .dim_k = shape[1], .dim_v = shape[2], .n_pos = shape[3], .type_k = type_k, .type_v = type_v};
    s->n_tiles = div_up(s->n_pos, KERN_ATTN_TILE);
    s->q = test_guard(s->n_q * s->dim_k * sizeof *s->q);
    s->k = test_guard(s->n_pos * s->dim_k * sizeof *s->k);
    s->v = test_guard(s->n_pos * s->dim_v * sizeof *s->v);
    s->k_tiles = test_guard(tiles_bytes(s, true));
    s->v_tiles = test_guard(tiles_bytes(s, false));
    memset(s->k_tiles, 0xFF, tiles_bytes(s, true)); /* positions never written hold NaN */
    memset(s->v_tiles, 0xFF, tiles_bytes(s, false));
    for (size_t i = 0; i < s->n_q * s->dim_k; i++) s->q[i] = 3 * rng_normal(r) / sqrtf((float)s->dim_k);
    for (size_t i = 0; i < s->n_pos * s->dim_k; i++) s->k[i] = rng_normal(r);
    for (size_t i = 0; i < s->n_pos * s->dim_v; i++) s->v[i] = rng_normal(r);
    store(k, s, true);
    store(k, s, false);
    for (size_t i = 0; i < s->n_q; i++) {
        s->from[i] = rng_u64(r) % 4 ? 0 : rng_u64(r) % s->n_pos;
        s->to[i] = s->from[i] + rng_u64(r) % (s->n_pos - s->from[i] + 1);
        if (i % 3 == 0) s->to[i] = s->n_pos;
    }
}

static void scene_close(scene *s) {
    test_guard_free(s->q, s->n_q * s->dim_k * sizeof *s->q);
    test_guard_free(s->k, s->n_pos * s->dim_k * sizeof *s->k);
    test_guard_free(s->v, s->n_pos * s->dim_v * sizeof *s->v);
    test_guard_free(s->k_tiles, tiles_bytes(s, true));
    test_guard_free(s->v_tiles, tiles_bytes(s, false));
}

/* Queries [first, first + n) over all tiles; out (n, dim_v) is divided by the sum. */
static void run(const kern *k, const scene *s, size_t first, size_t n, float *out) {
    float base[Q_MAX];
    size_t acc_row = kern_attn_acc_row(s->dim_v), scratch_bytes = kern_attn_scratch_bytes(n, s->dim_k, s->dim_v);
    float *q = test_guard(n * s->dim_k * sizeof *q), *acc = test_guard(n * acc_row * sizeof *acc);
    void *scratch = test_guard(scratch_bytes);
    memcpy(q, s->q + first * s->dim_k, n * s->dim_k * sizeof *q);
    memset(acc, 0, n * acc_row * sizeof *acc);
    memset(scratch, 0xFF, scratch_bytes);
    for (size_t i = 0; i < n; i++) base[i] = -F32_INF;
    for (size_t t = 0; t < s->n_tiles; t++) {
        uint16_t from[Q_MAX], to[Q_MAX];
        size_t at = t * KERN_ATTN_TILE, end = 0;
        for (size_t i = 0; i < n; i++) {
            size_t a = MAX(s->from[first + i], at), b = MIN(s->to[first + i], at + KERN_ATTN_TILE);
            from[i] = (uint16_t)(a < b ? a - at : 0);
            to[i] = (uint16_t)(a < b ? b - at : 0);
            end = MAX(end, to[i]);
        }
        const char *kt = s->k_tiles + t * tiles_bytes(s, true) / s->n_tiles;
        const char *vt = s->v_tiles + t * tiles_bytes(s, false) / s->n_tiles;
        kern_attn a = {.n_q = n, .dim_k = s->dim_k, .dim_v = s->dim_v, .type_k = s->type_k, .type_v = s->type_v, .q = q,
                       .k = kt, .v = vt, .k_next = t % 2 ? kt : NULL, .v_next = t % 2 ? vt : NULL, .n_pos = end,
                       .from = from, .to = to, .base = base, .acc = acc, .scratch = scratch};
        if (end) kern_run_attn(k, &a);
    }
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (size_t j = 0; j < 16; j++) sum += acc[(i + 1) * acc_row - 16 + j];
        for (size_t d = 0; d < s->dim_v; d++)
            out[i * s->dim_v + d] = (sum > 0 ? acc[i * acc_row + d] / sum : acc[i * acc_row + d]) + 0.0f;
    }
    test_guard_free(q, n * s->dim_k * sizeof *q);
    test_guard_free(acc, n * acc_row * sizeof *acc);
    test_guard_free(scratch, scratch_bytes);
}

static void exact(const scene *s, size_t i, double *out) {
    double score[512], top = -INFINITY, sum = 0;
    for (size_t p = s->from[i]; p < s->to[i]; p++) {
        score[p] = 0;
        for (size_t d = 0; d < s->dim_k; d++) score[p] += (double)s->q[i * s->dim_k + d] * s->k[p * s->dim_k + d];
        top = fmax(top, score[p]);
    }
    for (size_t d = 0; d < s->dim_v; d++) out[d] = 0;
    for (size_t p = s->from[i]; p < s->to[i]; p++) {
        sum += exp(score[p] - top);
        for (size_t d = 0; d < s->dim_v; d++) out[d] += exp(score[p] - top) * s->v[p * s->dim_v + d];
    }
    for (size_t d = 0; sum > 0 && d < s->dim_v; d++) out[d] /= sum;
}

static const size_t shapes[][4] = {/* n_q, dim_k, dim_v, n_pos */
    {1, 64, 64, 64}, {1, 128, 128, 200}, {2, 8, 8, 39}, {3, 80, 80, 65}, {4, 128, 128, 129}, {5, 40, 24, 17},
    {7, 64, 64, 1}, {8, 96, 128, 150}, {11, 192, 128, 100}, {16, 256, 256, 130}, {13, 1, 3, 70}, {6, 100, 65, 64}, {1, 24, 24, 64},
};
static const quant_id types[] = {QUANT_F16, QUANT_BF16, QUANT_Q8_0, QUANT_Q4_0};
/* Scenes of every shape and of pairs of types that the shape allows; the first pair is F16 with F16. */
#define N_SCENES (COUNT_OF(shapes) * 4)
static bool scene_at(const kern *k, scene *s, rng *r, size_t n) {
    const size_t *shape = shapes[n / 4];
    quant_id type_k = types[n % 4], type_v = types[(n % 4 + n / 16) % 4];
    size_t wanted;
    rng_seed(r, n);
    if (!kern_attn_holds(type_k, shape[1], &wanted) || !kern_attn_holds(type_v, shape[2], &wanted)) return false;
    scene_open(k, s, r, shape, type_k, type_v);
    return true;
}

TEST(attn_is_near_exact) {
    EACH_LEVEL(k)
        for (size_t n = 0; n < N_SCENES; n++) {
            rng r;
            scene s;
            if (!scene_at(k, &s, &r, n)) continue;
            float out[Q_MAX * DIM_MAX];
            double want[DIM_MAX];
            run(k, &s, 0, s.n_q, out);
            for (size_t i = 0; i < s.n_q; i++) {
                exact(&s, i, want);
                for (size_t d = 0; d < s.dim_v; d++)
                    CHECK_MSG(fabs(out[i * s.dim_v + d] - want[d]) < 2e-6 * (1 + fabs(want[d])), "%s, %s, scene %zu, query %zu, %zu: %g, wanted %g",
                              kern_name(k), quant_find(s.type_k)->name, n, i, d, (double)out[i * s.dim_v + d], want[d]);
            }
            scene_close(&s);
        }
}

TEST(attn_same_bits_in_any_company) {
    EACH_LEVEL(k)
        for (size_t n = 0; n < N_SCENES; n++) {
            rng r;
            scene s;
            if (!scene_at(k, &s, &r, n)) continue;
            float all[Q_MAX * DIM_MAX], some[Q_MAX * DIM_MAX];
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
    EACH_LEVEL(k)
        for (size_t t = 0; t < COUNT_OF(types); t++) {
            rng r;
            rng_seed(&r, 9);
            scene s;
            scene_open(k, &s, &r, (const size_t[4]){6, 64, 64, 128}, types[t], types[t]);
            for (size_t i = 0; i < 6; i++) {
                s.from[i] = 2;
                s.to[i] = 70 + i;
            }
            float before[6 * 64], after[6 * 64];
            run(k, &s, 0, 6, before);
            size_t bytes = tiles_bytes(&s, true) / 2, row = bytes / KERN_ATTN_TILE;
            float x[64];
            for (size_t d = 0; d < 64; d++) x[d] = F32_INF;
            for (size_t p = 74; p < 128; p++) kern_attn_store(k, types[t], true, x, 1, 64, s.k_tiles + bytes, p - 64);
            if (quant_find(types[t])->block_len == 1) { /* 0, and 74, which the last query sees */
                memset(s.v_tiles, 0xFF, row);
                memset(s.v_tiles + bytes + 10 * row, 0xFF, row);
            } else { /* their scales */
                memset(s.v_tiles + bytes - 64 * 4, 0xFF, 4);
                memset(s.v_tiles + 2 * bytes - 54 * 4, 0xFF, 4);
            }
            run(k, &s, 0, 5, after);
            CHECK_MSG(!memcmp(before, after, 5 * 64 * sizeof *before), "%s %s", kern_name(k), quant_find(types[t])->name);
            run(k, &s, 0, 6, after);
            CHECK_MSG(!memcmp(before, after, 5 * 64 * sizeof *before), "%s %s", kern_name(k), quant_find(types[t])->name);
            for (size_t i = 0; i < 64; i++) s.q[i] *= 1e4f; /* query 0: one position takes it all, others underflow */
            run(k, &s, 0, 1, after);
            for (size_t i = 0; i < 64; i++) CHECK(f32_is_finite(after[i]));
            scene_close(&s);
        }
}

/* Heads stored together or alone, by any level, in any order: the same tiles. What is not finite stays so in the floats, and
 * never makes a block that is not. */
TEST(attn_store_is_the_same_in_any_company) {
    enum { HEADS = 5, DIM = 160 };
    rng r;
    rng_seed(&r, 4);
    float x[HEADS * DIM];
    EACH_LEVEL(k)
        for (size_t t = 0; t < COUNT_OF(types); t++)
            for (int keys = 0; keys < 2; keys++) {
                size_t bytes = kern_attn_tile_bytes(types[t], DIM);
                char *together = test_guard(HEADS * bytes), *alone = test_guard(HEADS * bytes);
                memset(together, 1, HEADS * bytes);
                memset(alone, 1, HEADS * bytes);
                for (size_t i = 0; i < 7; i++) {
                    size_t pos = 63 - 9 * i;
                    ck_fill(&r, x, HEADS * DIM, true);
                    if (i == 3) x[5] = F32_INF, x[200] = -F32_INF, x[333] = __builtin_nanf(""), x[340] = 3e38f;
                    kern_attn_store(k, types[t], keys, x, HEADS, DIM, together, pos);
                    for (size_t h = HEADS; h-- > 0;)
                        kern_attn_store(kern_at(0), types[t], keys, x + h * DIM, 1, DIM, alone + h * bytes, pos);
                }
                CHECK_MSG(!memcmp(together, alone, HEADS * bytes), "%s %s", kern_name(k), quant_find(types[t])->name);
                test_guard_free(together, HEADS * bytes);
                test_guard_free(alone, HEADS * bytes);
            }
}

TEST(attn_types_have_their_errors) {
    static const double most[] = {1e-7, 4e-6, 3e-5, 8e-3}; /* NMSE of normal values; of F16 it is 2^-25 or so */
    size_t wanted;
    CHECK(!kern_attn_holds(QUANT_Q4_K, 256, &wanted) && wanted == 0);
    CHECK(!kern_attn_holds(QUANT_Q8_0, 80, &wanted) && wanted == 32);
    EACH_LEVEL(k)
        for (size_t t = 0; t < COUNT_OF(types); t++) {
            rng r;
            rng_seed(&r, 7);
            float x[64 * 64], held[64 * 64];
            uint8_t blocks[128];
            double error = 0, power = 0;
            for (size_t i = 0; i < 64 * 64; i++) x[i] = rng_normal(&r);
            for (size_t p = 0; p < 64; p++) {
                kern_encoder(k, types[t])(x + 64 * p, NULL, blocks, 64);
                quant_find(types[t])->decode(blocks, held + 64 * p, 64);
            }
            for (size_t i = 0; i < 64 * 64; i++) {
                error += pow((double)held[i] - x[i], 2);
                power += (double)x[i] * x[i];
            }
            CHECK_MSG(error / power < most[t], "%s %s: %g", kern_name(k), quant_find(types[t])->name, error / power);
        }
}
