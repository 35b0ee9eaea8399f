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
    for (size_t i = 0; i < KERN_UNITS / 2; i++) act->blocks[i % 2][i / 2] = act->sums[2 * i] + act->sums[2 * i + 1];
}

static inline void prepare_i16(const float *x, size_t n, void *act) {
    kern_act16 *to = act;
    _Alignas(64) int16_t q[KERN_CHUNK];
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        prepare_chunk(x + at, MIN(n - at, KERN_CHUNK), to, q);
        v_pack16(q, to->x);
    }
}

#define ACT8_TRIES 15
#define ACT8_OPPOSITE (32639.0f * KERN_ACT8_MAX) /* above it a word becomes +128 */

/* Elements 2i and 2i + 1 become the sum of both. */
KERN_INLINE vf sum_pairs(vf a) { return vf_add(a, vf_swap(a)); }

/* A chunk: w has the elements of its units as words of 16 bits, each unit with a peak of -32767 (both of a block with the
 * same where pairs is set), 4i and 4i + 2 of each in vector 2i, 4i + 1 and 4i + 3 in the next one. Returns the factors (of
 * 2^-15) that keep most of the units, and the scales of what they make of them, times the peak.
 *
 * Rounding errors depend on the scale by chance, so ACT8_TRIES scales are tried, from the one that makes the peak -128 on
 * (-127 where what is opposite, the largest of w, would be +128 beside it, which is no byte); for each the best multiplier
 * of its integers is sum(w q) / sum(q q), which leaves an error of sum(w w) - sum(w q)^2 / sum(q q). All sums are exact.
 * Rounded twice, an element is off by 0.002 of a step at most. */
KERN_INLINE vf best_factors(const vb w[8], vf opposite, bool pairs, vf *scale) {
    vf factor = vf_set(KERN_ACT8_MAX), most = vf_set(0), of = vf_set(1);
    for (uint32_t k = KERN_ACT8_MAX; k > KERN_ACT8_MAX - ACT8_TRIES; k--) {
        vb by = vb_set_4(k << 16 | k);
        vi wq_sum = vi_set(0), qq_sum = vi_set(0);
        for (size_t i = 0; i < 8; i++) {
            vb q = vb_mul_15(w[i], by);
            wq_sum = vi_dot_2(wq_sum, w[i], q);
            qq_sum = vi_dot_2(qq_sum, q, q);
        }
        vf wq = vf_of_vi(wq_sum), qq = vf_of_vi(qq_sum);
        if (pairs) {
            wq = sum_pairs(wq);
            qq = sum_pairs(qq);
        }
        wq = vf_where_above(vf_mul(opposite, vf_set((float)k)), vf_set(ACT8_OPPOSITE), vf_set(0), wq);
        vf now = vf_mul(vf_mul(wq, wq), of), before = vf_mul(vf_mul(most, most), qq);
        factor = vf_where_above(now, before, vf_set((float)k), factor);
        most = vf_where_above(now, before, wq, most);
        of = vf_where_above(now, before, qq, of);
    }
    *scale = vf_div(most, of);
    return factor;
}

/* 8 blocks of 32. */
static void prepare_blocks(const float *x, bool pairs, kern_act8 *act) {
    _Alignas(64) float t[16][16], scales[16], sums[16], sums_both[16];
    _Alignas(64) int32_t minus[16], minus_both[16];
    vf top = vf_set(0), most = top, least = top, scale;
    vb w[8], q[4], ones = vb_set_4(0xffffffff); /* negative ones */
    vi sum = vi_set(0);
    v_transpose(x, 64, t, 4 * sizeof t[0], sizeof t[0]);
    for (size_t i = 0; i < 16; i++) {
        top = vf_peak(top, vf_load(t[i]));
        most = vf_max(most, vf_load(t[i]));
        least = vf_min(least, vf_load(t[i]));
    }
    if (pairs) {
        top = vf_peak(top, vf_swap(top));
        most = vf_max(most, vf_swap(most));
        least = vf_min(least, vf_swap(least));
    }
    vf sign = vf_where_above(top, most, vf_set(1), vf_set(-1)); /* that makes the peak negative */
    vf fine = vf_mul(vf_div(vf_set(32767), vf_max(vf_set(0x1p-100f), top)), sign); /* in this order NaN stays */
    for (size_t i = 0; i < 8; i++) {
        size_t at = i / 2 * 4 + i % 2;
        w[i] = vb_pairs(vi_of_vf(vf_mul(vf_load(t[at]), fine)), vi_of_vf(vf_mul(vf_load(t[at + 2]), fine)));
    }
    vf opposite = vf_mul(vf_where_above(top, most, most, least), fine);
    vi factor = vi_of_vf(best_factors(w, opposite, pairs, &scale));
    for (size_t i = 0; i < 8; i++) {
        w[i] = vb_mul_15(w[i], vb_pairs(factor, factor));
        sum = vi_dot_2(sum, w[i], ones);
        if (i % 2) q[i / 2] = vb_join_bytes(w[i - 1], w[i]);
    }
    scale = vf_mul(vf_mul(scale, sign), vf_mul(top, vf_set(1 / 32767.0f))); /* NaN and infinity are in top */
    vf minus_each = vf_of_vi(sum), sum_each = vf_mul(vf_sub(vf_set(0), minus_each), scale), sum_both = sum_pairs(sum_each);
    vf_store(scales, scale);
    vi_store(minus, sum);
    vi_store(minus_both, vi_of_vf(sum_pairs(minus_each)));
    vf_store(sums, pairs ? sum_both : sum_each);
    vf_store(sums_both, sum_both);
    vb of_units[4] = {vb_load(scales), vb_load(minus), vb_load(sums), pairs ? vb_load(minus_both) : vb_load(sums_both)};
    v_turn_4(q);
    v_turn_4(of_units);
    v_store_lanes(act[0].q, 2 * sizeof *act, q[0], q[1], of_units[0], of_units[1]);
    v_store_lanes(act[1].q, 2 * sizeof *act, q[2], q[3], of_units[2], of_units[3]);
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
