/* encode_batch.h: sixteen groups of weights side by side, which is how the encoders see a row.
 *
 * Lane g is group g: a block of the 32-weight types, or what shares a scale within a block of the K types. So each lane
 * searches for itself and nothing is ever summed across lanes, and a block's own arithmetic goes over arrays of 16.
 * Weights are divided by a power of two that the groups of a block share: then sums of squares neither overflow nor
 * vanish, whatever the tensor's size. NaN counts as 0 and infinities as the largest float.
 */
#ifndef LEAT_ENCODE_BATCH_H
#define LEAT_ENCODE_BATCH_H

#include "base/base.h"

#define BATCH_GROUPS 16
#define BATCH_LEN_MAX 64
/* A short loop over vectors that should be registers, not an array in memory. */
#define EACH_OF(k, n) _Pragma("GCC unroll 4") for (size_t k = 0; k < (n); k++)
#define EACH_LANE(l) for (size_t l = 0; l < BATCH_GROUPS; l += ENCODE_LANES)

typedef struct batch {
    _Alignas(64) float x[BATCH_LEN_MAX][BATCH_GROUPS];
    _Alignas(64) float w[BATCH_LEN_MAX][BATCH_GROUPS]; /* importance: the largest of a block is 1 */
    _Alignas(64) float unit[BATCH_GROUPS];             /* x times this is the weight              */
    _Alignas(64) float peak[BATCH_GROUPS];             /* the x of the largest magnitude          */
    size_t len;                                        /* weights a group                         */
} batch;

/* Four by four floats, turned: the same at every width. */
static inline void batch_turn_4(float (*to)[BATCH_GROUPS], size_t g, const float *x, size_t stride) {
    v4 a = v4_load(x), b = v4_load(x + stride), c = v4_load(x + 2 * stride), d = v4_load(x + 3 * stride);
    v4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    v4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    v4_store(&to[0][g], __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
    v4_store(&to[1][g], __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
    v4_store(&to[2][g], __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5));
    v4_store(&to[3][g], __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7));
}

/* Lane g of to[i] becomes x[len g + i]; what lies beyond n is 0. len is a multiple of 4. */
static inline void batch_turn(float to[][BATCH_GROUPS], const float *x, size_t n, size_t len) {
    size_t n_groups = n / len, fours = n_groups / 4 * 4;
    for (size_t g = 0; g < fours; g += 4)
        for (size_t i = 0; i < len; i += 4) batch_turn_4(to + i, g, x + len * g + i, len);
    for (size_t i = 0; i < len; i++)
        for (size_t g = fours; g < BATCH_GROUPS; g++) to[i][g] = g < n_groups ? x[len * g + i] : 0.0f;
}

/* Each element becomes the largest of its n neighbours. */
static inline void batch_share_max(float v[BATCH_GROUPS], size_t n) {
    for (size_t at = 0; at < BATCH_GROUPS; at += n) {
        float max = v[at];
        for (size_t i = 1; i < n; i++) max = MAX(max, v[at + i]);
        for (size_t i = 0; i < n; i++) v[at + i] = max;
    }
}

static inline void batch_load_x(batch *b, const float *x, size_t n, size_t shared) {
    _Alignas(64) float down[BATCH_GROUPS];
    batch_turn(b->x, x, n, b->len);
    EACH_LANE(l) {
        vf max = {0};
        for (size_t i = 0; i < b->len; i++) {
            vf v = vf_load(&b->x[i][l]);
            v = vf_where(v == v, vf_max(vf_min(v, vf_all(F32_MAX)), vf_all(-F32_MAX)));
            vf_store(&b->x[i][l], v);
            max = vf_max(vf_abs(v), max);
        }
        vf_store(&b->unit[l], max);
    }
    batch_share_max(b->unit, shared);
    for (size_t g = 0; g < BATCH_GROUPS; g++) { /* 2^e <= largest < 2^(e + 1), within limits */
        int32_t e = (int32_t)(bits_of_f32(b->unit[g]) >> 23) - 127;
        e = MIN(MAX(e, -100), 126);
        b->unit[g] = f32_of_bits((uint32_t)(e + 127) << 23);
        down[g] = f32_of_bits((uint32_t)(127 - e) << 23);
    }
    EACH_LANE(l) {
        vf scale = vf_load(&down[l]), peak = {0}, max = {0};
        for (size_t i = 0; i < b->len; i++) {
            vf v = vf_load(&b->x[i][l]) * scale, a = vf_abs(v);
            vf_store(&b->x[i][l], v);
            peak = vf_pick(a > max, v, peak);
            max = vf_max(a, max);
        }
        vf_store(&b->peak[l], peak);
    }
}

/* A block without any importance is a block whose weights all matter alike. */
static inline void batch_load_w(batch *b, const float *importance, size_t n, size_t shared) {
    _Alignas(64) float max[BATCH_GROUPS];
    if (importance) batch_turn(b->w, importance, n, b->len);
    else
        for (size_t i = 0; i < b->len; i++) EACH_LANE(l) vf_store(&b->w[i][l], vf_all(1.0f));
    if (!importance) return;
    EACH_LANE(l) {
        vf most = {0};
        for (size_t i = 0; i < b->len; i++) most = vf_max(vf_load(&b->w[i][l]), most);
        vf_store(&max[l], most);
    }
    batch_share_max(max, shared);
    EACH_LANE(l) {
        vf most = vf_load(&max[l]);
        vi none = ~(most >= 0x1p-100f); /* 1 / most would overflow */
        most = vf_min(most, vf_all(F32_MAX));
        for (size_t i = 0; i < b->len; i++) {
            vf w = vf_max(vf_min(vf_load(&b->w[i][l]), most), vf_all(0.0f)) / most;
            vf_store(&b->w[i][l], vf_pick(none, vf_all(1.0f), w));
        }
    }
}

/* ---- scales --------------------------------------------------------------------------------------------- */

/* Half of the magnitude of a scale, which is never infinite. */
static inline vi scale_half(vf scale) {
    return vi_half(vf_max(vf_min(scale, vf_all(65504.0f)), vf_all(-65504.0f)));
}

/* 1 / d, or 0 for d = 0: the smallest half is 2^-24, so there is no overflow. */
static inline vf scale_inverse(vf d) { return vf_where(d != 0.0f, 1.0f / d); }
static inline float inverse_of(float d) { return d != 0.0f ? 1.0f / d : 0.0f; }

/* Least squares shrinks: of decoded weights y the sum of y x is only that of y y, less than that of x x by the squared
 * error, and so are the outputs of each layer. With few bits that is worse than what rounding does at random. So the
 * last step makes y x as large as x x, with the factor for y; where little fits it stops halfway. */
static inline float keep_size(float xx, float yx) { return yx > 0 ? MIN(xx / yx, 1.15f) : 1.0f; }

/* Over the groups of a block. */
static inline float block_sum(const float *v, size_t n) {
    v4 sum = v4_load(v);
    for (size_t i = 4; i < n; i += 4) sum += v4_load(v + i);
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* ---- loading -------------------------------------------------------------------------------------------- */

/* How much more larger weights matter than their importance says: by what root of 1 + x^2 / (mean x^2 of the block). It
 * costs plain error and is worth it where bits are few: docs/LAB.md has which, and by how much. */
typedef enum { FAVOUR_NONE, FAVOUR_FOURTH_ROOT, FAVOUR_ROOT, FAVOUR_ALL } favour;

static void batch_favour(batch *b, size_t shared, favour how) {
    _Alignas(64) float sum[BATCH_GROUPS];
    EACH_LANE(l) {
        vf squares = {0};
        for (size_t i = 0; i < b->len; i++) squares += vf_load(&b->x[i][l]) * vf_load(&b->x[i][l]);
        vf_store(&sum[l], squares);
    }
    for (size_t at = 0; at < BATCH_GROUPS; at += shared) {
        float mean = (shared < 4 ? sum[at] : block_sum(sum + at, shared)) / (float)(b->len * shared);
        for (size_t g = at; g < at + shared; g++) sum[g] = inverse_of(mean);
    }
    EACH_LANE(l)
        for (size_t i = 0; i < b->len; i++) {
            vf x = vf_load(&b->x[i][l]), more = 1.0f + x * x * vf_load(&sum[l]);
            if (how < FAVOUR_ALL) more = vf_sqrt(more);
            if (how < FAVOUR_ROOT) more = vf_sqrt(more);
            vf_store(&b->w[i][l], vf_load(&b->w[i][l]) * more);
        }
}

/* n <= 16 len weights, a multiple of a block; `shared` neighbouring groups, one or at least four, are a block. */
static __attribute__((noinline)) void batch_load(batch *b, const float *x, const float *importance, size_t n,
                                                 size_t len, size_t shared, favour how) {
    b->len = len;
    batch_load_x(b, x, n, shared);
    batch_load_w(b, importance, n, shared);
    if (how) batch_favour(b, shared, how);
}

#endif
