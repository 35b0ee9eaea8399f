/* encode_level_k.h: the K types with one scale for each group: Q6_K, Q3_K.
 *
 * A weight is d ls q: q of the weight, a small integer ls of its group, of either sign, a half d of the block. As in
 * encode_affine_k.h: a first fit of each group gives d, then what can be stored is compared by its exact weighted
 * squared error, then d is fitted to the block and the groups search again.
 */
#ifndef LEAT_ENCODE_LEVEL_K_H
#define LEAT_ENCODE_LEVEL_K_H

#include "quant/encode_fit.h"

typedef struct level_kind {
    scale_kind fit;
    favour more[2]; /* without and with importance */
    bool keep_size;
    float level_low, level_high;
    int reach; /* how many levels off the first fits are tried */
} level_kind;

typedef struct level {
    const level_kind *kind;
    size_t n_groups; /* of a block */
    _Alignas(64) float scale[2][BATCH_GROUPS], gain[2][BATCH_GROUPS]; /* the first fits, of each side */
    _Alignas(64) float d[BATCH_GROUPS];        /* of the block, repeated; in units of the batch */
    _Alignas(64) float ls[BATCH_GROUPS], error[BATCH_GROUPS];
    _Alignas(64) float sums[2][BATCH_GROUPS];  /* for d */
    _Alignas(64) float none[BATCH_GROUPS];     /* the error with a scale of 0 */
    int32_t half_d[BATCH_GROUPS];
} level;

/* ---- levels ------------------------------------------------------------------------------------------------ */

#define LEVELS_AT_ONCE 3

/* The weighted squared errors of the groups with scales, not 0, rounded to. */
INLINE void level_errors(rounding to, vf error[], const scale_kind *kind, const batch *b, size_t l,
                         const vf scale[]) {
    vf inverse[LEVELS_AT_ONCE], sums[LEVELS_AT_ONCE] = {{0}}, low = vf_all(kind->low), high = vf_all(kind->high);
    EACH_OF(k, LEVELS_AT_ONCE) inverse[k] = scale_inverse(scale[k]);
    for (size_t i = 0; i < b->len; i++) {
        vf x = vf_load(&b->x[i][l]), w = vf_load(&b->w[i][l]);
        vf v[LEVELS_AT_ONCE], q[LEVELS_AT_ONCE];
        EACH_OF(k, LEVELS_AT_ONCE) v[k] = x * inverse[k];
        round_to(to, q, v, LEVELS_AT_ONCE, low, high);
        EACH_OF(k, LEVELS_AT_ONCE) {
            vf r = v[k] - q[k];
            sums[k] += w * r * r;
        }
    }
    EACH_OF(k, LEVELS_AT_ONCE) error[k] = sums[k] * scale[k] * scale[k];
}

/* Tries the levels from `reach` below `from` to as many above, or to one or two more. */
static inline void level_try(level *a, const batch *b, size_t l, vf from, int reach) {
    vf low = vf_all(a->kind->level_low), high = vf_all(a->kind->level_high);
    vf d = vf_load(&a->d[l]), ls = vf_load(&a->ls[l]), least = vf_load(&a->error[l]);
    for (int ds = -reach; ds <= reach; ds += LEVELS_AT_ONCE) {
        vf new_ls[LEVELS_AT_ONCE], scale[LEVELS_AT_ONCE], error[LEVELS_AT_ONCE];
        EACH_OF(k, LEVELS_AT_ONCE) {
            new_ls[k] = vf_max(vf_min(from + (float)(ds + (int)k), high), low);
            scale[k] = d * new_ls[k];
        }
        if (a->kind->fit.to == ROUND_IQ4) level_errors(ROUND_IQ4, error, &a->kind->fit, b, l, scale);
        else level_errors(ROUND_EVENLY, error, &a->kind->fit, b, l, scale);
        EACH_OF(k, LEVELS_AT_ONCE) {
            vf e = vf_pick(scale[k] == 0.0f, vf_load(&a->none[l]), error[k]);
            vi better = e < least;
            least = vf_pick(better, e, least);
            ls = vf_pick(better, new_ls[k], ls);
        }
    }
    vf_store(&a->ls[l], ls);
    vf_store(&a->error[l], least);
}

static void level_store_d(level *a, const batch *b) {
    EACH_LANE(l) {
        vf unit = vf_load(&b->unit[l]);
        vi d = scale_half(vf_load(&a->d[l]) * unit);
        memcpy(&a->half_d[l], &d, sizeof d);
        vf_store(&a->d[l], vf_of_half(d) / unit);
    }
}

/* The largest scale of the block becomes the lowest level, which is one more than the highest. */
static void level_start(level *a, const batch *b) {
    EACH_LANE(l) {
        for (size_t side = 0; side < a->kind->fit.n_sides; side++) {
            fit f = fit_side(&a->kind->fit, b, l, side);
            vf_store(&a->scale[side][l], f.scale);
            vf_store(&a->gain[side][l], f.gain);
        }
    }
    for (size_t at = 0; at < BATCH_GROUPS; at += a->n_groups) {
        float largest = 0;
        for (size_t g = at; g < at + a->n_groups; g++) {
            float scale = a->scale[a->kind->fit.n_sides > 1 && a->gain[1][g] > a->gain[0][g]][g];
            if (scale * scale > largest * largest) largest = scale;
        }
        for (size_t g = at; g < at + a->n_groups; g++) a->d[g] = largest / a->kind->level_low;
    }
    level_store_d(a, b);
    EACH_LANE(l) {
        vf sum = {0};
        for (size_t i = 0; i < b->len; i++) {
            vf x = vf_load(&b->x[i][l]);
            sum += vf_load(&b->w[i][l]) * x * x;
        }
        vf_store(&a->none[l], sum);
        vf per_d = scale_inverse(vf_load(&a->d[l]));
        vf_store(&a->error[l], vf_all(F32_MAX));
        for (size_t side = 0; side < a->kind->fit.n_sides; side++)
            level_try(a, b, l, vf_round(vf_load(&a->scale[side][l]) * per_d), a->kind->reach);
    }
}

/* What d is fitted by, for the integers as they are: sums over each group of w x (ls q) and w (ls q)^2. */
static void level_sums(level *a, const batch *b) {
    vf low = vf_all(a->kind->fit.low), high = vf_all(a->kind->fit.high);
    EACH_LANE(l) {
        vf ls = vf_load(&a->ls[l]), inverse = scale_inverse(ls * vf_load(&a->d[l])), xq = {0}, qq = {0};
        for (size_t i = 0; i < b->len; i++) {
            vf x = vf_load(&b->x[i][l]), v = x * inverse, q;
            round_to(a->kind->fit.to, &q, &v, 1, low, high);
            vf wq = vf_load(&b->w[i][l]) * q;
            xq += wq * x;
            qq += wq * q;
        }
        vf_store(&a->sums[0][l], ls * xq);
        vf_store(&a->sums[1][l], ls * ls * qq);
    }
}

/* d by least squares over the block. */
static void level_refit(level *a, const batch *b) {
    level_sums(a, b);
    for (size_t at = 0; at < BATCH_GROUPS; at += a->n_groups) {
        float xq = block_sum(a->sums[0] + at, a->n_groups), qq = block_sum(a->sums[1] + at, a->n_groups);
        if (!(qq > 0)) continue;
        for (size_t g = at; g < at + a->n_groups; g++) a->d[g] = xq / qq;
    }
    level_store_d(a, b);
}

#define LEVEL_ROUNDS 2

static void level_search(level *a, const batch *b) {
    level_start(a, b);
    for (int round = 0; round < LEVEL_ROUNDS; round++) {
        level kept = *a;
        level_refit(a, b);
        EACH_LANE(l) {
            vf_store(&a->error[l], vf_all(F32_MAX));
            level_try(a, b, l, vf_load(&a->ls[l]), 1);
        }
        for (size_t at = 0; at < BATCH_GROUPS; at += a->n_groups) { /* better, or as before */
            if (block_sum(a->error + at, a->n_groups) < block_sum(kept.error + at, a->n_groups)) continue;
            for (size_t g = at; g < at + a->n_groups; g++) {
                a->d[g] = kept.d[g], a->half_d[g] = kept.half_d[g];
                a->ls[g] = kept.ls[g], a->error[g] = kept.error[g];
            }
        }
    }
}

/* Undoes the shrinking (encode_batch.h). */
static void level_keep_size(level *a, const batch *b) {
    level_sums(a, b);
    for (size_t at = 0; at < BATCH_GROUPS; at += a->n_groups) {
        float xq = a->d[at] * block_sum(a->sums[0] + at, a->n_groups), xx = block_sum(a->none + at, a->n_groups);
        float f = keep_size(xx, xq);
        for (size_t g = at; g < at + a->n_groups; g++) a->d[g] *= f;
    }
    level_store_d(a, b);
}

static void level_load(level *a, batch *b, const float *x, const float *importance, size_t n) {
    favour more = a->kind->more[importance != NULL];
    batch_load(b, x, importance, n, a->kind->fit.len, a->n_groups, more);
    level_search(a, b);
    if (a->kind->keep_size) level_keep_size(a, b);
}

/* ---- output ------------------------------------------------------------------------------------------------- */

/* The integers of a block less the lowest of them, in their own order. */
static void level_round(const level *a, size_t first, const float *x, int8_t q[256]) {
    float d = f32_of_f16((uint16_t)a->half_d[first]);
    const scale_kind *kind = &a->kind->fit;
    for (size_t g = 0, len = kind->len; g < a->n_groups; g++) {
        float inverse = inverse_of(d * a->ls[first + g]);
        if (kind->to == ROUND_IQ4) round_group_iq4(x + len * g, len, inverse, q + len * g);
        else round_group(x + len * g, len, inverse, kind->low, kind->high, -kind->low, q + len * g);
    }
}

static void encode_q6_k(const float *x, const float *importance, void *blocks, size_t n) {
    static const level_kind kind = {.fit = {.to = ROUND_EVENLY, .low = -32, .high = 31, .len = 16, .from = -33,
                                            .step = 1, .n_fits = 8, .n_sides = 1},
                                    .level_low = -128, .level_high = 127, .reach = 4};
    uint8_t *to = blocks;
    int8_t q[256];
    batch b;
    level a = {.kind = &kind, .n_groups = 16};
    for (size_t at = 0; at < n; at += 256, to += 210) {
        level_load(&a, &b, x + at, importance ? importance + at : NULL, 256);
        level_round(&a, 0, x + at, q);
        for (size_t half = 0; half < 2; half++)
            for (size_t i = 0; i < 32; i++) {
                const int8_t *from = q + 128 * half + i;
                to[64 * half + i] = (uint8_t)((from[0] & 15) | from[64] << 4);
                to[64 * half + 32 + i] = (uint8_t)((from[32] & 15) | from[96] << 4);
                to[128 + 32 * half + i] =
                    (uint8_t)(from[0] >> 4 | from[32] >> 4 << 2 | from[64] >> 4 << 4 | from[96] >> 4 << 6);
            }
        for (size_t g = 0; g < 16; g++) to[192 + g] = (uint8_t)(int8_t)a.ls[g];
        store_u16(to + 208, (uint16_t)a.half_d[0]);
    }
}

static void encode_q3_k(const float *x, const float *importance, void *blocks, size_t n) {
    static const level_kind kind = {.fit = {.to = ROUND_EVENLY, .low = -4, .high = 3, .len = 16, .from = -7,
                                            .step = 0.5f, .n_fits = 8, .n_sides = 2},
                                    .more = {FAVOUR_ROOT, FAVOUR_NONE}, .keep_size = true,
                                    .level_low = -32, .level_high = 31, .reach = 4};
    uint8_t *to = blocks;
    int8_t q[256];
    batch b;
    level a = {.kind = &kind, .n_groups = 16};
    for (size_t at = 0; at < n; at += 256, to += 110) {
        level_load(&a, &b, x + at, importance ? importance + at : NULL, 256);
        level_round(&a, 0, x + at, q);
        for (size_t i = 0; i < 32; i++) {
            uint32_t third = 0;
            for (size_t k = 0; k < 8; k++) third |= (uint32_t)(q[32 * k + i] >> 2) << k;
            to[i] = (uint8_t)third;
        }
        for (size_t half = 0; half < 2; half++) pack_pairs(to + 32 + 32 * half, q + 128 * half);
        uint32_t ls[16], high[4] = {0};
        for (size_t g = 0; g < 16; g++) {
            ls[g] = (uint32_t)((int32_t)a.ls[g] + 32);
            high[g % 4] |= ls[g] >> 4 << 2 * (g / 4);
        }
        for (size_t g = 0; g < 8; g++) to[96 + g] = (uint8_t)((ls[g] & 15) | (ls[g + 8] & 15) << 4);
        for (size_t g = 0; g < 4; g++) to[104 + g] = (uint8_t)high[g];
        store_u16(to + 108, (uint16_t)a.half_d[0]);
    }
}

static void encode_iq4_xs(const float *x, const float *importance, void *blocks, size_t n) {
    static const level_kind kind = {.fit = {.to = ROUND_IQ4, .low = -127, .high = 113, .len = 32, .from = -150,
                                            .step = 6, .n_fits = 8, .n_sides = 2},
                                    .level_low = -32, .level_high = 31, .reach = 1};
    uint8_t *to = blocks;
    int8_t q[256];
    batch b;
    level a = {.kind = &kind, .n_groups = 8};
    for (size_t at = 0; at < n; at += 512) {
        size_t n_here = MIN(n - at, 512);
        level_load(&a, &b, x + at, importance ? importance + at : NULL, n_here);
        for (size_t g = 0; g < n_here / 32; g += 8, to += 136) {
            uint32_t low = 0, high = 0;
            level_round(&a, g, x + at + 32 * g, q);
            for (size_t k = 0; k < 8; k++) {
                uint32_t ls = (uint32_t)((int32_t)a.ls[g + k] + 32);
                low |= (ls & 15) << 4 * k;
                high |= ls >> 4 << 2 * k;
                pack_nibbles(to + 8 + 16 * k, q + 32 * k);
            }
            store_u16(to, (uint16_t)a.half_d[g]);
            store_u16(to + 2, (uint16_t)high);
            store_u32(to + 4, low);
        }
    }
}

#endif
