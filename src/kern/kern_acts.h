/* kern_acts.h: activations made ready for the kernels (template of a level).
 *
 * A magnitude below 2^-100 in a whole block counts as zero: its inverse would overflow. NaN and infinity go into the
 * scale, so that they reach every result; the integers beside them mean nothing then.
 */
#ifndef LEAT_KERN_ACTS_H
#define LEAT_KERN_ACTS_H

/* As they are, with zeros up to a multiple of 64. */
static void prepare_f32(const float *x, size_t n, void *act) {
    float *to = act;
    memcpy(to, x, n * sizeof *to);
    memset(to + n, 0, (align_up(n, 64) - n) * sizeof *to);
}

/* All but the bytes; q gets the integers in the order of the activations. */
KERN_OUTLINE void prepare_chunk(const float *x, size_t n, kern_act16 *act, int16_t q[KERN_CHUNK]) {
    _Alignas(64) float padded[KERN_CHUNK];
    if (n < KERN_CHUNK) {
        memset(padded, 0, sizeof padded);
        memcpy(padded, x, n * sizeof *x);
        x = padded;
    }
    vf top = vf_set(0);
    for (size_t i = 0; i < KERN_CHUNK; i += 16) top = vf_peak(top, vf_load(x + i));
    float peak = vf_peak_all(top);
    act->scale = peak / KERN_ACT16_MAX;
    vf inverse = vf_set(peak < 0x1p-100f ? 0.0f : KERN_ACT16_MAX / peak);
    for (size_t i = 0; i < KERN_CHUNK; i += 16) vi_store_i16(q + i, vi_of_vf(vf_mul(vf_load(x + i), inverse)));
    for (size_t u = 0; u < KERN_UNITS; u++) {
        int32_t sum = 0;
        for (size_t i = 0; i < KERN_UNIT; i++) sum += q[KERN_UNIT * u + i];
        act->sums[u] = (float)sum;
    }
}

static void prepare_i16(const float *x, size_t n, void *act) {
    kern_act16 *to = act;
    _Alignas(64) int16_t q[KERN_CHUNK];
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        prepare_chunk(x + at, MIN(n - at, KERN_CHUNK), to, q);
        v_pack16(q, to->x);
    }
}

#define ACT8_TRIES 12

/* Elements 2i and 2i + 1 become the sum of both. */
KERN_INLINE vf sum_pairs(vf a) { return vf_add(a, vf_swap(a)); }

/* The inverse scales of 16 units (an element each; both units of a block the same where pairs is set) that keep most of
 * them, and the scales that go with them. x[i] has element i of each unit. Rounding errors depend on the scale by
 * chance, so ACT8_TRIES scales are tried, from the one that makes the peak 127 down; for each the best multiplier of its
 * integers is sum(x q) / sum(q q), which leaves an error of sum(x x) - sum(x q)^2 / sum(q q). */
static void best_scales(const vf x[16], bool pairs, vf *inverse, vf *scale) {
    vf top = vf_set(0), best = vf_set(-1);
    for (size_t i = 0; i < 16; i++) top = vf_peak(top, x[i]);
    if (pairs) top = vf_peak(top, vf_swap(top));
    vf per_step = vf_div(vf_set(1), vf_max(vf_set(0x1p-100f), top)); /* in this order NaN stays */
    *inverse = *scale = vf_mul(top, vf_set(0)); /* for NaN and infinity, which no sum is above */
    for (size_t k = 0; k < ACT8_TRIES; k += 2) { /* two at once: four chains of sums instead of two */
        vf by[2], xq[2], qq[2];
        for (size_t j = 0; j < 2; j++) {
            by[j] = vf_mul(per_step, vf_set((float)(KERN_ACT8_MAX - k - j)));
            xq[j] = qq[j] = vf_set(0);
        }
        for (size_t i = 0; i < 16; i++)
            for (size_t j = 0; j < 2; j++) {
                vf q = vf_round(vf_mul(x[i], by[j]));
                xq[j] = vf_fma(x[i], q, xq[j]);
                qq[j] = vf_fma(q, q, qq[j]);
            }
        for (size_t j = 0; j < 2; j++) {
            if (pairs) {
                xq[j] = sum_pairs(xq[j]);
                qq[j] = sum_pairs(qq[j]);
            }
            vf multiplier = vf_div(xq[j], vf_max(vf_set(0x1p-100f), qq[j])), kept = vf_mul(xq[j], multiplier);
            *inverse = vf_where_above(kept, best, by[j], *inverse);
            *scale = vf_where_above(kept, best, multiplier, *scale);
            best = vf_max(kept, best);
        }
    }
}

/* 8 blocks of 32. */
static void prepare_blocks(const float *x, bool pairs, kern_act8 *act) {
    vf columns[16], inverse, scale, sum = vf_set(0);
    _Alignas(64) float t[16][16], inverses[16], scales[16], sums[16], sums_both[16];
    _Alignas(64) int32_t minus[16], minus_both[16];
    v_transpose(x, 64, t, 4 * sizeof t[0], sizeof t[0]);
    for (size_t i = 0; i < 16; i++) columns[i] = vf_load(t[i]);
    best_scales(columns, pairs, &inverse, &scale);
    for (size_t i = 0; i < 16; i++) sum = vf_sub(sum, vf_round(vf_mul(columns[i], inverse)));
    vf_store(inverses, inverse);
    vf_store(scales, scale);
    vi_store(minus, vi_of_vf(sum));
    vi_store(minus_both, vi_of_vf(sum_pairs(sum)));
    sum = vf_mul(sum, scale);
    vf_store(sums, vf_sub(vf_set(0), sum));
    vf_store(sums_both, vf_sub(vf_set(0), sum_pairs(sum)));
    for (size_t u = 0; u < KERN_UNITS; u++) {
        kern_act8 *to = act + u / 2;
        vi_store_i8(to->q + u % 2 * KERN_UNIT, vi_of_vf(vf_mul(vf_load(x + KERN_UNIT * u), vf_set(inverses[u]))));
        to->scale[u % 2] = scales[u];
        to->minus[u % 2] = minus[u];
        to->sum[u % 2] = sums[u];
        to->minus_both = minus_both[u];
        to->sum_both = sums_both[u];
    }
}

/* Zeros up to a multiple of 256. */
KERN_OUTLINE void prepare_i8(const float *x, size_t n, bool pairs, void *act) {
    kern_act8 *to = act;
    float padded[KERN_CHUNK];
    for (size_t at = 0; at < n; at += KERN_CHUNK, to += KERN_CHUNK / KERN_ACT8_LEN) {
        const float *from = x + at;
        if (n - at < KERN_CHUNK) {
            memset(padded, 0, sizeof padded);
            from = memcpy(padded, from, (n - at) * sizeof *x);
        }
        prepare_blocks(from, pairs, to);
    }
}

static void prepare_i8_16(const float *x, size_t n, void *act) { prepare_i8(x, n, false, act); }
static void prepare_i8_32(const float *x, size_t n, void *act) { prepare_i8(x, n, true, act); }

#endif
