/* test_rows.c: the row kernels of every level against double arithmetic, at every length, between guard pages. */
#include "check_kern.h"

#include <math.h>
#include <string.h>

static const size_t lengths[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 256, 1000, 1031};
#define EACH_LENGTH(n) for (size_t n##_i = 0, n; n##_i < COUNT_OF(lengths) && (n = lengths[n##_i], true); n##_i++)

/* n floats from a generator, ending at a guard page. */
static float *row(rng *r, size_t n) {
    float *x = test_guard(n * sizeof *x);
    ck_fill(r, x, n, true);
    return x;
}

static void drop(float *x, size_t n) { test_guard_free(x, n * sizeof *x); }

#define CHECK_CLOSE(got, want, relative)                                                                        \
    CHECK_MSG(fabs((double)(got) - (want)) <= (relative) * fabs(want) + 1e-37, "%s, %zu: got %.9g, wanted %.9g", \
              kern_name(k), n, (double)(got), (double)(want))

TEST(rows_add_scale_axpy) {
    rng r;
    rng_seed(&r, 1);
    EACH_LEVEL(k) EACH_LENGTH(n) {
        float *x = row(&r, n), *y = row(&r, n), *z = row(&r, n);
        memcpy(z, x, n * sizeof *z);
        kern_add(k, z, y, n);
        for (size_t i = 0; i < n; i++) CHECK(z[i] == x[i] + y[i]);
        memcpy(z, x, n * sizeof *z);
        kern_scale(k, z, 0.3f, n);
        for (size_t i = 0; i < n; i++) CHECK(z[i] == x[i] * 0.3f);
        memcpy(z, x, n * sizeof *z);
        kern_axpy(k, z, 0.3f, y, n);
        for (size_t i = 0; i < n; i++)
            CHECK_NEAR(z[i], x[i] + 0.3 * y[i], 1e-6 * (fabs(x[i]) + fabs(y[i])));
        drop(x, n);
        drop(y, n);
        drop(z, n);
    }
}

TEST(rows_rms_norm) {
    rng r;
    rng_seed(&r, 2);
    EACH_LEVEL(k) EACH_LENGTH(n) {
        float *x = row(&r, n), *w = row(&r, n), *out = row(&r, n);
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
        double factor = 1 / sqrt(sum / (double)n + 1e-5);
        kern_rms_norm(k, x, w, n, 1e-5f, out);
        for (size_t i = 0; i < n; i++) CHECK_CLOSE(out[i], x[i] * factor * w[i], 4e-7);
        kern_rms_norm(k, x, NULL, n, 1e-5f, out);
        for (size_t i = 0; i < n; i++) CHECK_CLOSE(out[i], x[i] * factor, 4e-7);
        kern_rms_norm(k, x, NULL, n, 1e-5f, x);
        CHECK(!memcmp(x, out, n * sizeof *x));
        drop(x, n);
        drop(w, n);
        drop(out, n);
    }
}

TEST(rows_swiglu) {
    rng r;
    rng_seed(&r, 3);
    EACH_LEVEL(k) EACH_LENGTH(n) {
        float *gate = row(&r, n), *up = row(&r, n), *out = row(&r, n);
        kern_swiglu(k, gate, up, n, out);
        for (size_t i = 0; i < n; i++) CHECK_CLOSE(out[i], gate[i] / (1 + exp(-(double)gate[i])) * up[i], 1e-6);
        kern_swiglu(k, gate, up, n, gate);
        CHECK(!memcmp(gate, out, n * sizeof *out));
        drop(gate, n);
        drop(up, n);
        drop(out, n);
    }
    static const float odd[] = {-200, -100, -89, -88, 88, 100, 1e30f, -1e30f, 0, -0.0f, 1e-40f};
    EACH_LEVEL(k) for (size_t n = 0; n < COUNT_OF(odd); n++) {
        float one = 1, out;
        kern_swiglu(k, &odd[n], &one, 1, &out);
        double want = odd[n] / (1 + exp(-(double)odd[n]));
        CHECK_MSG(fabs(out - want) <= 1e-6 * fabs(want) + 1e-36, "%s: silu(%g) is %g, wanted %g", kern_name(k), odd[n], out, want);
    }
}

TEST(rows_softmax) {
    rng r;
    rng_seed(&r, 4);
    EACH_LEVEL(k) EACH_LENGTH(n) {
        float *x = row(&r, n), *p = row(&r, n);
        memcpy(p, x, n * sizeof *x);
        double top = -INFINITY, sum = 0, total = 0;
        for (size_t i = 0; i < n; i++) top = fmax(top, x[i]);
        for (size_t i = 0; i < n; i++) sum += exp(x[i] - top);
        kern_softmax(k, p, n);
        for (size_t i = 0; i < n; i++) {
            CHECK_CLOSE(p[i], exp(x[i] - top) / sum, 1e-5); /* x - top is rounded */
            total += p[i];
        }
        CHECK_NEAR(total, 1, 1e-6);
        drop(x, n);
        drop(p, n);
    }
    EACH_LEVEL(k) {
        float x[] = {-F32_INF, 0, -F32_INF, 0}, y[] = {-5};
        kern_softmax(k, x, 4);
        CHECK(x[0] == 0 && x[1] == 0.5f && x[2] == 0 && x[3] == 0.5f);
        kern_softmax(k, y, 1);
        CHECK(y[0] == 1);
    }
}

TEST(rows_rope) {
    static const size_t pairs[] = {1, 2, 3, 8, 15, 16, 17, 32, 40, 64};
    rng r;
    rng_seed(&r, 5);
    EACH_LEVEL(k)
        for (size_t p = 0; p < COUNT_OF(pairs); p++)
            for (int interleaved = 0; interleaved < 2; interleaved++) {
                size_t half = pairs[p], n = 2 * half;
                float *x = row(&r, n), *was = row(&r, n), *angles = row(&r, n);
                memcpy(was, x, n * sizeof *x);
                kern_rope(k, x, angles, n, interleaved);
                for (size_t i = 0; i < half; i++) {
                    size_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + half;
                    double c = angles[2 * i], s = angles[2 * i + 1], size = hypot(was[a], was[b]) * hypot(c, s);
                    CHECK_NEAR(x[a], was[a] * c - was[b] * s, 2e-7 * size);
                    CHECK_NEAR(x[b], was[a] * s + was[b] * c, 2e-7 * size);
                }
                drop(x, n);
                drop(was, n);
                drop(angles, n);
            }
}

TEST(rows_all_finite) {
    enum { N = 256 };
    static const float bad[] = {F32_INF, -F32_INF, NAN, -NAN};
    float *x = test_guard(N * sizeof *x);
    EACH_LEVEL(k) EACH_LENGTH(n) {
        size_t len = MIN(n, (size_t)N);
        float *row = x + N - len;
        for (size_t i = 0; i < len; i++) row[i] = i % 3 ? F32_MAX : -1e-45f * (float)i;
        CHECK(kern_all_finite(k, row, len));
        for (size_t i = 0; i < len; i++) {
            float kept = row[i];
            row[i] = bad[i % COUNT_OF(bad)];
            CHECK_MSG(!kern_all_finite(k, row, len), "%s: %g at %zu of %zu", kern_name(k), (double)row[i], i, len);
            row[i] = kept;
        }
    }
    test_guard_free(x, N * sizeof *x);
}

TEST(rows_of_halves) {
    enum { N = 65536 };
    uint16_t *h = test_guard(N * sizeof *h);
    float *x = test_guard(N * sizeof *x);
    EACH_LEVEL(k) {
        for (size_t i = 0; i < N; i++) h[i] = (uint16_t)i;
        kern_f32_of_f16(k, h, x, N);
        for (size_t i = 0; i < N; i++) CHECK(bits_of_f32(x[i]) == bits_of_f32(f32_of_f16(h[i])));
    }
    EACH_LEVEL(k) {
        for (size_t i = 0; i < N; i++) h[i] = (uint16_t)i;
        kern_f32_of_bf16(k, h, x, N);
        for (size_t i = 0; i < N; i++) CHECK(bits_of_f32(x[i]) == i << 16);
        kern_f32_of_bf16(k, h + 5, x + N - 37, 37);
        for (size_t i = 0; i < 37; i++) CHECK(bits_of_f32(x[N - 37 + i]) == (i + 5) << 16);
    }
    EACH_LEVEL(k) EACH_LENGTH(n) {
        kern_f32_of_f16(k, h + N - n, x + N - n, n);
        CHECK(bits_of_f32(x[N - 1]) == bits_of_f32(f32_of_f16(h[N - 1])));
    }
    test_guard_free(h, N * sizeof *h);
    test_guard_free(x, N * sizeof *x);
}

TEST(rows_probes_of_the_bench) {
    EACH_LEVEL(k) EACH_LENGTH(n) {
        uint8_t *b = test_guard(n);
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++) b[i] = (uint8_t)(i * 37);
        for (size_t i = 0; i + 8 <= n; i += 8) sum += load_u64(b + i);
        for (size_t i = n / 8 * 8; i < n; i++) sum += b[i];
        CHECK(kern_read(k, b, n) == sum);
        test_guard_free(b, n);
    }
    EACH_LEVEL(k) {
        CHECK(kern_dot_peak(k, false, 100) >= 100);
        CHECK(kern_dot_peak(k, true, 100) >= 100);
    }
}
