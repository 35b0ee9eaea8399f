/* encode_affine_k.h: the K types with a scale and an offset for each group: Q4_K, Q5_K, Q2_K.
 *
 * A weight is d ls q - dm lm: q of the weight, small integers ls and lm of its group, halves d and dm of the block.
 * First each group is fitted for itself by least squares from several roundings; the largest scale and offset give d
 * and dm. From there on only what can be stored is compared, by the exact weighted squared error: pairs (ls, lm) around
 * the fit, then d and dm by least squares over the whole block, then pairs again.
 */
#ifndef LEAT_ENCODE_AFFINE_K_H
#define LEAT_ENCODE_AFFINE_K_H

#include "quant/encode_affine.h"

typedef struct affine_kind {
    span_kind fit;
    bool keep_size;
    float level_high; /* of ls and lm                                        */
    int reach;        /* how many levels off the first fits are tried at first */
} affine_kind;

typedef struct affine {
    const affine_kind *kind;
    size_t n_groups;                            /* of a block */
    _Alignas(64) float scale[BATCH_GROUPS], offset[BATCH_GROUPS]; /* of the first fit */
    _Alignas(64) float mean_q[BATCH_GROUPS], mean_x[BATCH_GROUPS];
    _Alignas(64) float sum_w[BATCH_GROUPS], sum_xx[BATCH_GROUPS];
    _Alignas(64) float d[BATCH_GROUPS], dm[BATCH_GROUPS];         /* of the block, repeated; in units of the batch */
    _Alignas(64) float ls[BATCH_GROUPS], lm[BATCH_GROUPS], error[BATCH_GROUPS];
    _Alignas(64) float sums[5][BATCH_GROUPS];   /* for d and dm */
    int32_t half_d[BATCH_GROUPS], half_dm[BATCH_GROUPS];
} affine;

/* ---- pairs ------------------------------------------------------------------------------------------------ */

/* The weighted squared errors of the groups with one scale, not 0, and three offsets rounded to. */
static inline void affine_errors(vf error[3], const batch *b, size_t l, vf scale, const vf offset[3], vf high) {
    vf inverse = scale_inverse(scale), sums[3] = {{0}, {0}, {0}}, from[3];
    EACH_OF(k, 3) from[k] = offset[k] * inverse;
    for (size_t i = 0; i < b->len; i++) {
        vf x = vf_load(&b->x[i][l]) * inverse, w = vf_load(&b->w[i][l]);
        EACH_OF(k, 3) {
            vf v = x + from[k], r = v - vf_round(vf_max(vf_min(v, high), vf_all(0.0f)));
            sums[k] += w * r * r;
        }
    }
    EACH_OF(k, 3) error[k] = sums[k] * scale * scale;
}

static void affine_try(affine *a, const batch *b, int reach) {
    vf top = vf_all(a->kind->level_high), high = vf_all(a->kind->fit.high);
    EACH_LANE(l) {
        vf d = vf_load(&a->d[l]), dm = vf_load(&a->dm[l]), per_dm = scale_inverse(dm);
        vf ls = vf_load(&a->ls[l]), best_ls = ls, best_lm = vf_load(&a->lm[l]), least = vf_load(&a->error[l]);
        vf mean_q = vf_load(&a->mean_q[l]), mean_x = vf_load(&a->mean_x[l]);
        vf sum_w = vf_load(&a->sum_w[l]), sum_xx = vf_load(&a->sum_xx[l]);
        for (int ds = -reach; ds <= reach; ds++) {
            vf new_ls = vf_max(vf_min(ls + (float)ds, top), vf_all(0.0f)), scale = d * new_ls;
            vf lm = vf_round(vf_max(vf_min((scale * mean_q - mean_x) * per_dm, top), vf_all(0.0f)));
            vf new_lm[3], offset[3], error[3];
            EACH_OF(k, 3) {
                new_lm[k] = vf_max(vf_min(lm + ((float)k - 1.0f), top), vf_all(0.0f));
                offset[k] = dm * new_lm[k];
            }
            affine_errors(error, b, l, scale, offset, high);
            EACH_OF(k, 3) {
                vf flat = sum_xx + sum_w * offset[k] * (mean_x + mean_x + offset[k]); /* the error with a scale of 0 */
                vf e = vf_pick(scale == 0.0f, flat, error[k]);
                vi better = e < least;
                least = vf_pick(better, e, least);
                best_ls = vf_pick(better, new_ls, best_ls);
                best_lm = vf_pick(better, new_lm[k], best_lm);
            }
        }
        vf_store(&a->ls[l], best_ls);
        vf_store(&a->lm[l], best_lm);
        vf_store(&a->error[l], least);
    }
}

/* ---- the scales of the block --------------------------------------------------------------------------------- */

static void affine_store_d(affine *a, const batch *b) {
    EACH_LANE(l) {
        vf unit = vf_load(&b->unit[l]);
        vi d = scale_half(vf_load(&a->d[l]) * unit), dm = scale_half(vf_load(&a->dm[l]) * unit);
        memcpy(&a->half_d[l], &d, sizeof d);
        memcpy(&a->half_dm[l], &dm, sizeof dm);
        vf_store(&a->d[l], vf_of_half(d) / unit);
        vf_store(&a->dm[l], vf_of_half(dm) / unit);
    }
}

/* What least squares over the block needs: with x = d (ls q) - dm lm. Also the mean q of each group. */
static void affine_sums(affine *a, const batch *b) {
    vf high = vf_all(a->kind->fit.high);
    EACH_LANE(l) {
        vf ls = vf_load(&a->ls[l]), lm = vf_load(&a->lm[l]), scale = ls * vf_load(&a->d[l]);
        vf offset = lm * vf_load(&a->dm[l]), inverse = scale_inverse(scale);
        vf sw = {0}, sx = {0}, sq = {0}, sqq = {0}, sxq = {0};
        for (size_t i = 0; i < b->len; i++) {
            vf x = vf_load(&b->x[i][l]), w = vf_load(&b->w[i][l]);
            vf q = vf_round(vf_max(vf_min((x + offset) * inverse, high), vf_all(0.0f))), wq = w * q;
            sw += w;
            sx += w * x;
            sq += wq;
            sqq += wq * q;
            sxq += wq * x;
        }
        vf_store(&a->mean_q[l], sq * scale_inverse(sw));
        vf_store(&a->sums[0][l], ls * ls * sqq);
        vf_store(&a->sums[1][l], ls * lm * sq);
        vf_store(&a->sums[2][l], lm * lm * sw);
        vf_store(&a->sums[3][l], ls * sxq);
        vf_store(&a->sums[4][l], lm * sx);
    }
}

static void affine_refit(affine *a, const batch *b) {
    affine_sums(a, b);
    for (size_t at = 0; at < BATCH_GROUPS; at += a->n_groups) {
        float s[5];
        for (size_t i = 0; i < 5; i++) s[i] = block_sum(a->sums[i] + at, a->n_groups);
        float det = s[0] * s[2] - s[1] * s[1];
        if (!(s[0] > 0)) continue;
        float d = s[3] / s[0], dm = a->dm[at];
        if (det > 1e-6f * s[0] * s[2]) {
            d = (s[3] * s[2] - s[4] * s[1]) / det;
            dm = (s[3] * s[1] - s[4] * s[0]) / det;
        }
        if (!(d > 0) || !(dm >= 0)) continue;
        for (size_t i = 0; i < a->n_groups; i++) {
            a->d[at + i] = d;
            a->dm[at + i] = dm;
        }
    }
    affine_store_d(a, b);
}

static void affine_start(affine *a, const batch *b) {
    EACH_LANE(l) {
        span s = span_fit(&a->kind->fit, b, l);
        vf_store(&a->scale[l], s.scale);
        vf_store(&a->offset[l], vf_max(-s.base, vf_all(0.0f)));
        vf_store(&a->mean_q[l], s.mean_q);
        vf_store(&a->mean_x[l], s.mean_x);
        vf_store(&a->sum_w[l], s.sum_w);
        vf_store(&a->sum_xx[l], s.sum_xx);
    }
    memcpy(a->d, a->scale, sizeof a->d);
    memcpy(a->dm, a->offset, sizeof a->dm);
    batch_share_max(a->d, a->n_groups);
    batch_share_max(a->dm, a->n_groups);
    for (size_t g = 0; g < BATCH_GROUPS; g++) {
        a->d[g] /= a->kind->level_high;
        a->dm[g] /= a->kind->level_high;
    }
    affine_store_d(a, b);
    EACH_LANE(l) {
        vf top = vf_all(a->kind->level_high);
        vf ls = vf_load(&a->scale[l]) * scale_inverse(vf_load(&a->d[l]));
        vf lm = vf_load(&a->offset[l]) * scale_inverse(vf_load(&a->dm[l]));
        vf_store(&a->ls[l], vf_round(vf_min(ls, top)));
        vf_store(&a->lm[l], vf_round(vf_min(lm, top)));
        vf_store(&a->error[l], vf_all(F32_MAX));
    }
}

#define AFFINE_ROUNDS 2

static void affine_search(affine *a, const batch *b) {
    affine_start(a, b);
    affine_try(a, b, a->kind->reach);
    for (int round = 0; round < AFFINE_ROUNDS; round++) {
        affine kept = *a;
        affine_refit(a, b);
        for (size_t g = 0; g < BATCH_GROUPS; g++) a->error[g] = F32_MAX;
        affine_try(a, b, 1);
        for (size_t at = 0; at < BATCH_GROUPS; at += a->n_groups) { /* better, or as before */
            if (block_sum(a->error + at, a->n_groups) < block_sum(kept.error + at, a->n_groups)) continue;
            for (size_t g = at; g < at + a->n_groups; g++) {
                a->d[g] = kept.d[g], a->dm[g] = kept.dm[g], a->ls[g] = kept.ls[g], a->lm[g] = kept.lm[g];
                a->half_d[g] = kept.half_d[g], a->half_dm[g] = kept.half_dm[g], a->error[g] = kept.error[g];
            }
        }
    }
}

/* ---- output ------------------------------------------------------------------------------------------------- */

/* The block's integers in their own order, from its first group on. */
static void affine_round(const affine *a, size_t first, const float *x, int8_t q[256]) {
    float d = f32_of_f16((uint16_t)a->half_d[first]), dm = f32_of_f16((uint16_t)a->half_dm[first]);
    size_t len = a->kind->fit.len;
    for (size_t g = 0; g < a->n_groups; g++)
        round_group_from(x + len * g, len, dm * a->lm[first + g], inverse_of(d * a->ls[first + g]), a->kind->fit.high,
                         q + len * g);
}

/* Eight scales and eight offsets of six bits in twelve bytes: quant_six_bits turned around. */
static inline void pack_six_bits(uint8_t *to, const float ls[8], const float lm[8]) {
    for (size_t i = 0; i < 4; i++) {
        uint32_t s = (uint32_t)ls[i], m = (uint32_t)lm[i], s4 = (uint32_t)ls[i + 4], m4 = (uint32_t)lm[i + 4];
        to[i] = (uint8_t)(s | (s4 & 0x30) << 2);
        to[4 + i] = (uint8_t)(m | (m4 & 0x30) << 2);
        to[8 + i] = (uint8_t)((s4 & 15) | (m4 & 15) << 4);
    }
}

/* What Q4_K and Q5_K begin with, for the block whose first group is g: d, dmin and what multiplies them. */
static inline void pack_scales(uint8_t *to, const affine *a, size_t g) {
    store_u16(to, (uint16_t)a->half_d[g]);
    store_u16(to + 2, (uint16_t)a->half_dm[g]);
    pack_six_bits(to + 4, a->ls + g, a->lm + g);
}

/* Undoes the shrinking (encode_batch.h). */
static void affine_keep_size(affine *a, const batch *b) {
    affine_sums(a, b);
    for (size_t at = 0; at < BATCH_GROUPS; at += a->n_groups) {
        float xq = a->d[at] * block_sum(a->sums[3] + at, a->n_groups) -
                   a->dm[at] * block_sum(a->sums[4] + at, a->n_groups);
        float f = keep_size(block_sum(a->sum_xx + at, a->n_groups), xq);
        for (size_t g = at; g < at + a->n_groups; g++) {
            a->d[g] *= f;
            a->dm[g] *= f;
        }
    }
    affine_store_d(a, b);
}

static void affine_load(affine *a, batch *b, const float *x, const float *importance, size_t n) {
    batch_load(b, x, importance, n, a->kind->fit.len, a->n_groups, a->kind->fit.more);
    affine_search(a, b);
    if (a->kind->keep_size) affine_keep_size(a, b);
}

static void encode_q4_k(const float *x, const float *importance, void *blocks, size_t n) {
    static const affine_kind kinds[2] = {
        {.fit = {.more = FAVOUR_ROOT, .high = 15, .len = 32, .from = -1.2f, .step = 0.4f, .n_fits = 8, .n_anchors = 3},
         .level_high = 63, .keep_size = true, .reach = 1},
        {.fit = {.more = FAVOUR_ROOT, .high = 15, .len = 32, .from = -1.2f, .step = 0.6f, .n_fits = 10, .n_anchors = 3},
         .level_high = 63, .reach = 2},
    };
    uint8_t *to = blocks;
    int8_t q[256];
    batch b;
    affine a = {.kind = &kinds[importance != NULL], .n_groups = 8};
    for (size_t at = 0; at < n; at += 512) {
        size_t len = MIN(n - at, 512);
        affine_load(&a, &b, x + at, importance ? importance + at : NULL, len);
        for (size_t g = 0; g < len / 32; g += 8, to += 144) {
            affine_round(&a, g, x + at + 32 * g, q);
            pack_scales(to, &a, g);
            for (size_t pair = 0; pair < 4; pair++)
                for (size_t i = 0; i < 32; i++)
                    to[16 + 32 * pair + i] = (uint8_t)(q[64 * pair + i] | q[64 * pair + 32 + i] << 4);
        }
    }
}

static void encode_q5_k(const float *x, const float *importance, void *blocks, size_t n) {
    static const affine_kind kinds[2] = {
        {.fit = {.high = 31, .len = 32, .from = -2.8f, .step = 0.4f, .n_fits = 12, .n_anchors = 2},
         .level_high = 63, .reach = 1},
        {.fit = {.high = 31, .len = 32, .from = -2.8f, .step = 0.4f, .n_fits = 12, .n_anchors = 2},
         .level_high = 63, .reach = 2},
    };
    uint8_t *to = blocks;
    int8_t q[256];
    batch b;
    affine a = {.kind = &kinds[importance != NULL], .n_groups = 8};
    for (size_t at = 0; at < n; at += 512) {
        size_t len = MIN(n - at, 512);
        affine_load(&a, &b, x + at, importance ? importance + at : NULL, len);
        for (size_t g = 0; g < len / 32; g += 8, to += 176) {
            affine_round(&a, g, x + at + 32 * g, q);
            pack_scales(to, &a, g);
            memset(to + 16, 0, 32);
            for (size_t pair = 0; pair < 4; pair++)
                for (size_t i = 0; i < 32; i++) {
                    uint32_t low = (uint32_t)q[64 * pair + i], high = (uint32_t)q[64 * pair + 32 + i];
                    to[16 + i] = (uint8_t)(to[16 + i] | (low >> 4 | high >> 4 << 1) << 2 * pair);
                    to[48 + 32 * pair + i] = (uint8_t)((low & 15) | high << 4);
                }
        }
    }
}

static void encode_q2_k(const float *x, const float *importance, void *blocks, size_t n) {
    static const affine_kind kinds[2] = {
        {.fit = {.high = 3, .len = 16, .from = -0.6f, .step = 0.3f, .n_fits = 8, .n_anchors = 3},
         .level_high = 15, .keep_size = true, .reach = 1},
        {.fit = {.high = 3, .len = 16, .from = -0.6f, .step = 0.4f, .n_fits = 12, .n_anchors = 3},
         .level_high = 15, .keep_size = true, .reach = 2},
    };
    uint8_t *to = blocks;
    int8_t q[256];
    batch b;
    affine a = {.kind = &kinds[importance != NULL], .n_groups = 16};
    for (size_t at = 0; at < n; at += 256, to += 84) {
        affine_load(&a, &b, x + at, importance ? importance + at : NULL, 256);
        affine_round(&a, 0, x + at, q);
        for (size_t g = 0; g < 16; g++) to[g] = (uint8_t)((uint32_t)a.ls[g] | (uint32_t)a.lm[g] << 4);
        for (size_t half = 0; half < 2; half++) pack_pairs(to + 16 + 32 * half, q + 128 * half);
        store_u16(to + 80, (uint16_t)a.half_d[0]);
        store_u16(to + 82, (uint16_t)a.half_dm[0]);
    }
}

#endif
