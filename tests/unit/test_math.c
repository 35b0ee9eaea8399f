/* test_math.c: base's math against libm in long double, in units in the last place. */
#include "base/base.h"
#include "check.h"

#include <math.h>

static double ulps(double got, long double want) {
    if (want != want) return got != got ? 0 : INFINITY;
    double rounded = (double)want;
    if (isinf(rounded) || rounded == 0) return got == rounded ? 0 : INFINITY;
    double unit = fabs(nextafter(fabs(rounded), INFINITY) - fabs(rounded));
    return (double)(fabsl((long double)got - want) / unit);
}

static double between(rng *r, double from, double to) { return from + (to - from) * rng_unit(r); }

#define ULPS(got, want, most, ...)                                                                     \
    do {                                                                                               \
        double u_ = ulps((got), (want));                                                               \
        if (!(u_ <= (most))) {                                                                         \
            char at_[128];                                                                             \
            snprintf(at_, sizeof at_, __VA_ARGS__);                                                    \
            test_fail(__FILE__, __LINE__, "%s: off by %.3g units (%a)", at_, u_, (double)(got));       \
        }                                                                                              \
    } while (0)

enum { POINTS = 200000 };

TEST(math_exp_points) {
    rng r;
    rng_seed(&r, 11);
    for (int i = 0; i < POINTS; i++) {
        double x = i % 3 == 0 ? between(&r, -745, 709.7) : i % 3 == 1 ? between(&r, -2, 2) : between(&r, -1e-3, 1e-3);
        ULPS(math_exp(x), expl((long double)x), x < -708 ? 1.001 : 0.9, "exp(%a)", x);
    }
    CHECK(math_exp(0) == 1 && math_exp(-1e300) == 0 && isinf(math_exp(710)) && math_exp(-INFINITY) == 0);
    CHECK(isinf(math_exp(INFINITY)) && isnan(math_exp(NAN)));
}

TEST(math_log_points) {
    rng r;
    rng_seed(&r, 12);
    for (int i = 0; i < POINTS; i++) {
        double x = i % 3 == 0   ? exp2(between(&r, -1074, 1024))
                   : i % 3 == 1 ? between(&r, 0.5, 2)
                                : 1 + between(&r, -1e-6, 1e-6);
        ULPS(math_log(x), logl((long double)x), 0.52, "log(%a)", x);
    }
    CHECK(math_log(1) == 0 && isinf(math_log(0)) && math_log(0) < 0 && isnan(math_log(-1)) &&
          isinf(math_log(INFINITY)));
    CHECK(isnan(math_log(NAN)));
}

TEST(math_pow_points) {
    rng r;
    rng_seed(&r, 13);
    for (int i = 0; i < POINTS; i++) {
        double x = i % 2 ? between(&r, 1e-3, 3e6) : exp2(between(&r, -60, 60));
        double y = i % 3 == 0 ? between(&r, -40, 40) : between(&r, -1, 1);
        long double want = powl((long double)x, (long double)y);
        if (fabsl(want) < 1e-300L || want > 1.7e308L) continue;
        ULPS(math_pow(x, y), want, 0.9, "pow(%a, %a)", x, y);
    }
    for (int base = 0; base < 4; base++) { /* rope frequencies */
        static const double bases[] = {10000, 500000, 1000000, 150000};
        for (int i = 0; i < 64; i++)
            ULPS(math_pow(bases[base], -2.0 * i / 128), powl(bases[base], -2.0L * i / 128), 0.9, "rope %g %d",
                 bases[base], i);
    }
    CHECK(math_pow(2, 10) == 1024 && math_pow(7, 0) == 1 && math_pow(1, 1e300) == 1 && math_pow(0, 3) == 0);
    CHECK(isinf(math_pow(0, -1)) && isinf(math_pow(2, 1e30)) && math_pow(2, -1e30) == 0 && math_pow(0.5, 1e30) == 0);
    CHECK(isinf(math_pow(INFINITY, 2)) && math_pow(INFINITY, -2) == 0 && isnan(math_pow(-1, 2)) &&
          isnan(math_pow(2, NAN)));
    CHECK(math_pow(2, -1074) == 0x1p-1074 && isinf(math_pow(2, 1024)));
}

TEST(math_sin_cos_points) {
    rng r;
    rng_seed(&r, 14);
    for (int i = 0; i < POINTS; i++) {
        double x = i % 4 == 0   ? between(&r, -4, 4)
                   : i % 4 == 1 ? between(&r, -1e5, 1e5)
                   : i % 4 == 2 ? between(&r, -0x1p30, 0x1p30)
                                : (double)(rng_u64(&r) % (1u << 30)) * 1.5707963267948966;
        if (fabs(x) >= 0x1p30) continue;
        /* libm's long double reduction is exact enough: 64 bits of sin and cos over this range */
        ULPS(math_sin(x), sinl((long double)x), 0.8, "sin(%a)", x);
        ULPS(math_cos(x), cosl((long double)x), 0.8, "cos(%a)", x);
    }
    CHECK(math_sin(0) == 0 && math_cos(0) == 1 && isnan(math_sin(0x1p30)) && isnan(math_cos(INFINITY)) &&
          isnan(math_sin(NAN)));
}

TEST(math_floor_sqrt) {
    rng r;
    rng_seed(&r, 15);
    for (int i = 0; i < POINTS; i++) {
        uint64_t bits = rng_u64(&r);
        double x;
        memcpy(&x, &bits, 8);
        if (isnan(x)) continue;
        double y = between(&r, -1e6, 1e6);
        CHECK(math_floor(x) == floor(x) && math_floor(y) == floor(y) && math_floor(floor(y)) == floor(y));
        CHECK(math_sqrt(fabs(x)) == sqrt(fabs(x)));
    }
}
