/* kern_rows.h: rows of floats (template of a level).
 *
 * The end of a row goes through the same vector code as its beginning, with zeros (or what is neutral) beyond it.
 */
#ifndef LEAT_KERN_ROWS_H
#define LEAT_KERN_ROWS_H

/* e^x to about 1e-7 of the result: x = n ln 2 + r, |r| <= ln 2 / 2; the polynomial is that of Cephes (Moshier), e^r = 1 + r +
 * r^2 p(r). ln 2 comes in two parts, the first so short that n times it is exact. Below -110: 0; above 89: infinity. */
static vf exp_vf(vf x) {
    x = vf_min(vf_set(89.0f), vf_max(vf_set(-110.0f), x)); /* in this order NaN stays */
    vf n = vf_round(vf_mul(x, vf_set(1.44269504f)));
    vf r = vf_fnma(n, vf_set(0.693359375f), x);
    r = vf_fnma(n, vf_set(-2.12194440e-4f), r);
    vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    p = vf_fma(p, vf_mul(r, r), r);
    return vf_scale2(vf_add(p, vf_set(1.0f)), n);
}

static void rms_norm(const float *x, const float *weight, size_t n, float eps, float *out) {
    vf sums[4];
    for (size_t k = 0; k < 4; k++) sums[k] = vf_set(0);
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        for (size_t k = 0; k < 4; k++) {
            vf v = vf_load(x + i + 16 * k);
            sums[k] = vf_fma(v, v, sums[k]);
        }
    for (; i < n; i += 16) {
        vf v = vf_load_n(x + i, MIN(n - i, 16));
        sums[0] = vf_fma(v, v, sums[0]);
    }
    float sum = vf_sum(vf_add(vf_add(sums[0], sums[1]), vf_add(sums[2], sums[3])));
    vf factor = vf_set((float)(1.0 / math_sqrt((double)sum / (double)n + (double)eps)));
    for (i = 0; i < n; i += 16) {
        size_t here = MIN(n - i, 16);
        vf v = vf_mul(vf_load_n(x + i, here), factor);
        vf_store_n(out + i, weight ? vf_mul(v, vf_load_n(weight + i, here)) : v, here);
    }
}

static void add(float *x, const float *y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) vf_store(x + i, vf_add(vf_load(x + i), vf_load(y + i)));
    if (i < n) vf_store_n(x + i, vf_add(vf_load_n(x + i, n - i), vf_load_n(y + i, n - i)), n - i);
}

static void scale(float *x, float s, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) vf_store(x + i, vf_mul(vf_load(x + i), vf_set(s)));
    if (i < n) vf_store_n(x + i, vf_mul(vf_load_n(x + i, n - i), vf_set(s)), n - i);
}

static void axpy(float *x, float s, const float *y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) vf_store(x + i, vf_fma(vf_set(s), vf_load(y + i), vf_load(x + i)));
    if (i < n) vf_store_n(x + i, vf_fma(vf_set(s), vf_load_n(y + i, n - i), vf_load_n(x + i, n - i)), n - i);
}

static void swiglu(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i += 16) {
        size_t here = MIN(n - i, 16);
        vf g = vf_load_n(gate + i, here);
        vf silu = vf_div(g, vf_add(vf_set(1.0f), exp_vf(vf_sub(vf_set(0), g))));
        vf_store_n(out + i, vf_mul(silu, vf_load_n(up + i, here)), here);
    }
}

static float max(const float *x, size_t n) {
    vf top = vf_set(-F32_INF);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) top = vf_max(vf_load(x + i), top);
    if (i < n) {
        float last[16];
        vf_store(last, top);
        memcpy(last, x + i, (n - i) * sizeof *x);
        top = vf_max(vf_load(last), top);
    }
    return vf_max_all(top);
}

static void softmax(float *x, size_t n) {
    vf top = vf_set(max(x, n)), sum = vf_set(0), rest_sum = vf_set(0);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        vf e = exp_vf(vf_sub(vf_load(x + i), top));
        vf_store(x + i, e);
        sum = vf_add(sum, e);
    }
    if (i < n) {
        vf_store_n(x + i, exp_vf(vf_sub(vf_load_n(x + i, n - i), top)), n - i);
        rest_sum = vf_load_n(x + i, n - i);
    }
    scale(x, 1.0f / vf_sum(vf_add(sum, rest_sum)), n);
}

KERN_INLINE void rotate(vf *a, vf *b, vf cos, vf sin) {
    vf x = *a, y = *b;
    *a = vf_fnma(y, sin, vf_mul(x, cos));
    *b = vf_fma(x, sin, vf_mul(y, cos));
}

/* 16 pairs at a time; the last ones are copied out and back. */
static void rope(float *x, const float *cos_sin, size_t n_rot, bool interleaved) {
    size_t n_pairs = n_rot / 2;
    for (size_t i = 0; i < n_pairs; i += 16) {
        size_t here = MIN(n_pairs - i, 16);
        float angles[32] = {0}, pairs[32] = {0};
        vf cos, sin, a, b;
        memcpy(angles, cos_sin + 2 * i, 2 * here * sizeof *angles);
        vf_unzip(angles, &cos, &sin);
        if (interleaved) {
            memcpy(pairs, x + 2 * i, 2 * here * sizeof *pairs);
            vf_unzip(pairs, &a, &b);
            rotate(&a, &b, cos, sin);
            vf_zip(pairs, a, b);
            memcpy(x + 2 * i, pairs, 2 * here * sizeof *pairs);
        } else {
            a = vf_load_n(x + i, here);
            b = vf_load_n(x + n_pairs + i, here);
            rotate(&a, &b, cos, sin);
            vf_store_n(x + i, a, here);
            vf_store_n(x + n_pairs + i, b, here);
        }
    }
}

static void from_f16(const uint16_t *x, float *out, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) vf_store(out + i, vf_load_f16(x + i));
    if (i < n) {
        uint16_t last[16] = {0};
        memcpy(last, x + i, (n - i) * sizeof *last);
        vf_store_n(out + i, vf_load_f16(last), n - i);
    }
}

static void from_bf16(const uint16_t *x, float *out, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) vf_store(out + i, vf_load_bf16(x + i));
    for (; i < n; i++) out[i] = f32_of_bf16(x[i]);
}

/* What is not finite times zero is NaN, and stays it in a sum. */
static bool all_finite(const float *x, size_t n) {
    vf a = vf_set(0), b = a, zero = a;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a = vf_fma(vf_load(x + i), zero, a);
        b = vf_fma(vf_load(x + i + 16), zero, b);
    }
    float sum = vf_sum(vf_add(a, b));
    for (; i < n; i++) sum += x[i] * 0.0f;
    return sum == 0.0f;
}

/* ---- for the bench --------------------------------------------------------------------------------------- */

static uint64_t read_bytes(const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    uint64_t sum = v_read(p, n / 8);
    for (size_t i = n / 8 * 8; i < n; i++) sum += p[i];
    return sum;
}

#endif
