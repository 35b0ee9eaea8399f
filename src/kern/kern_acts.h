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

static void prepare_chunk(const float *x, size_t n, kern_act16 *act) {
    _Alignas(64) float padded[KERN_CHUNK];
    _Alignas(64) int16_t q[KERN_CHUNK];
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
    v_pack16(q, act->x);
}

static void prepare_i16(const float *x, size_t n, void *act) {
    kern_act16 *to = act;
    for (size_t at = 0; at < n; at += KERN_CHUNK) prepare_chunk(x + at, MIN(n - at, KERN_CHUNK), to++);
}

static void prepare_block(const float *x, kern_act8 *act) {
    vf a = vf_load(x), b = vf_load(x + 16);
    float peak = vf_peak_all(vf_peak(a, b));
    act->scale = peak / KERN_ACT8_MAX;
    vf inverse = vf_set(peak < 0x1p-100f ? 0.0f : KERN_ACT8_MAX / peak);
    vi_store_i8(act->q, vi_of_vf(vf_mul(a, inverse)));
    vi_store_i8(act->q + 16, vi_of_vf(vf_mul(b, inverse)));
    for (size_t u = 0; u < 2; u++) {
        int32_t sum = 0;
        for (size_t i = 0; i < KERN_UNIT; i++) sum += act->q[KERN_UNIT * u + i];
        act->sums[u] = sum;
        act->sums_f32[u] = (float)sum;
    }
    act->sum = act->sums[0] + act->sums[1];
    act->sum_f32 = (float)act->sum;
    act->unused = 0;
}

/* Zero blocks up to a multiple of 256. */
static void prepare_i8(const float *x, size_t n, void *act) {
    kern_act8 *to = act;
    float padded[KERN_ACT8_LEN] = {0};
    size_t at = 0;
    for (; at + KERN_ACT8_LEN <= n; at += KERN_ACT8_LEN) prepare_block(x + at, to++);
    if (at < n) {
        memcpy(padded, x + at, (n - at) * sizeof *x);
        prepare_block(padded, to++);
        at += KERN_ACT8_LEN;
    }
    memset(to, 0, (align_up(n, KERN_CHUNK) - at) / KERN_ACT8_LEN * sizeof *to);
}

#endif
