/* math.c: the functions of libm that the engine needs, so that every home computes the same bits.
 *
 * Plain double arithmetic in a fixed order, without fused operations. Where one rounding too many would show (the
 * logarithm under a power, the remainder of a large angle) values are pairs hi + lo of two doubles, about 106 bits
 * (Dekker 1971, Knuth's TwoSum). Coefficients are the Taylor series, long enough for the reduced range.
 */
#include "base/base.h"

#define LN2_HI 0x1.62e42fefa39efp-1
#define LN2_LO 0x1.abc9e3b39803fp-56
#define LN2_HI32 0x1.62e42fee00000p-1 /* 32 bits, so that a product with an exponent is exact */
#define LN2_LO32 0x1.a39ef35793c76p-33
#define LOG2_E 0x1.71547652b82fep+0

/* pi/2 in three parts of 53 bits */
#define PI_2_HI 0x1.921fb54442d18p+0
#define PI_2_MID 0x1.1a62633145c07p-54
#define PI_2_LO -0x1.f1976b7ed8fbcp-110
#define TWO_OVER_PI 0x1.45f306dc9c883p-1

typedef struct pair {
    double hi, lo; /* |lo| at most half a unit in the last place of hi */
} pair;

static pair two_sum(double a, double b) {
    double s = a + b, from_b = s - a;
    return (pair){s, (a - (s - from_b)) + (b - from_b)};
}

static pair two_product(double a, double b) {
    double p = a * b, a_cut = 134217729.0 * a, b_cut = 134217729.0 * b; /* 2^27 + 1 halves the digits */
    double a_hi = a_cut - (a_cut - a), a_lo = a - a_hi, b_hi = b_cut - (b_cut - b), b_lo = b - b_hi;
    return (pair){p, ((a_hi * b_hi - p) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo};
}

static pair pair_add(pair a, pair b) {
    pair s = two_sum(a.hi, b.hi);
    return two_sum(s.hi, s.lo + (a.lo + b.lo));
}

static pair pair_mul(pair a, pair b) {
    pair p = two_product(a.hi, b.hi);
    return two_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

static pair pair_div(pair a, pair b) {
    double q = a.hi / b.hi;
    pair p = two_product(q, b.hi);
    return two_sum(q, (((a.hi - p.hi) - p.lo) + a.lo - q * b.lo) / b.hi);
}

static double bits_to_f64(uint64_t bits) {
    double x;
    memcpy(&x, &bits, 8);
    return x;
}

/* x * 2^k with one rounding, also where the result is subnormal; |k| < 2100. */
static double scale_by_power(double x, int k) {
    if (k >= -1022 && k <= 1023) return x * bits_to_f64((uint64_t)(k + 1023) << 52);
    if (k > 1023) return x * 0x1p1023 * bits_to_f64((uint64_t)(MIN(k - 1023, 1023) + 1023) << 52);
    /* x is near 1: times 2^-54 * 2^(k+54) is exact at first and rounds once at the end */
    return x * bits_to_f64((uint64_t)(MAX(k + 54, -1022) + 1023) << 52) * 0x1p-54;
}

/* e^(hi + lo), |lo| tiny beside hi. */
static double exp_pair(double hi, double lo) {
    if (hi != hi) return hi;
    if (hi > 709.79) return 1e308 * 1e308;
    if (hi < -745.14) return 0.0;
    double k = math_floor(hi * LOG2_E + 0.5);
    pair r = two_sum(hi - k * LN2_HI32, lo - k * LN2_LO32);
    /* |r| <= 0.35; 1/14! of it to the 14th is 2^-57.5 beside 1 */
    static const double inverse_factorial[] = {1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,
                                               1.0 / 720,    1.0 / 5040,    1.0 / 40320,    1.0 / 362880,
                                               1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
    double p = 0;
    for (size_t i = COUNT_OF(inverse_factorial); i-- > 0;) p = p * r.hi + inverse_factorial[i];
    double tail = r.lo + r.lo * r.hi + r.hi * r.hi * p;
    return scale_by_power(1.0 + (r.hi + tail), (int)k);
}

/* ln x for finite x > 0, to about 100 bits: x = m 2^k, ln m = 2 artanh((m-1)/(m+1)). */
static pair log_pair(double x) {
    uint64_t bits;
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    memcpy(&bits, &x, 8);
    k += (int)(bits >> 52) - 1023;
    double m = bits_to_f64((bits & 0xFFFFFFFFFFFFFu) | 0x3FF0000000000000u);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        k++;
    }
    pair s = pair_div((pair){m - 1.0, 0}, two_sum(m, 1.0)), z = pair_mul(s, s); /* |s| < 0.1716, z < 0.0295 */
    /* The terms z^n / (2n+1): from the eighth on one double is enough, z^8 being 2^-40. */
    double tail = 0;
    for (int n = 19; n >= 8; n--) tail = tail * z.hi + 1.0 / (2 * n + 1);
    pair p = {tail, 0};
    for (int n = 7; n >= 0; n--) p = pair_add(pair_mul(p, z), pair_div((pair){1, 0}, (pair){2 * n + 1, 0}));
    p = pair_mul(p, (pair){2 * s.hi, 2 * s.lo});
    return pair_add(pair_mul((pair){LN2_HI, LN2_LO}, (pair){k, 0}), p);
}

double math_exp(double x) { return exp_pair(x, 0); }

double math_log(double x) {
    if (x != x || x < 0) return __builtin_nan("");
    if (x == 0) return -__builtin_inf();
    if (x - x != 0) return x;
    return log_pair(x).hi;
}

double math_pow(double x, double y) {
    if (y == 0 || x == 1) return 1;
    if (!(x > 0) || x - x != 0 || y - y != 0) { /* the edges, in the order that C's Annex F gives them for x >= 0 */
        if (x != x || y != y || x < 0) return __builtin_nan("");
        if (x == 0) return y < 0 ? __builtin_inf() : 0;
        return (x > 1) == (y > 0) ? __builtin_inf() : 0;
    }
    if (y > 0x1p64 || y < -0x1p64) return (x > 1) == (y > 0) ? __builtin_inf() : 0; /* keeps the product finite */
    pair p = pair_mul(log_pair(x), (pair){y, 0});
    return exp_pair(p.hi, p.lo);
}

/* r = x - k pi/2 in [-pi/4, pi/4] as a pair; returns k mod 4. Each step is exact, so cancellation loses nothing. */
static unsigned reduce_angle(double x, pair *r) {
    double k = math_floor(x * TWO_OVER_PI + 0.5);
    pair a = two_product(k, PI_2_HI), b = two_product(k, PI_2_MID);
    pair s = two_sum(x - a.hi, -a.lo);
    s = pair_add(s, (pair){-b.hi, -b.lo});
    *r = pair_add(s, (pair){-(k * PI_2_LO), 0});
    return (unsigned)(int64_t)k & 3;
}

static double sin_reduced(pair r) {
    static const double c[] = {-1.0 / 6,         1.0 / 120,           -1.0 / 5040,           1.0 / 362880,
                               -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000};
    double z = r.hi * r.hi, p = 0;
    for (size_t i = COUNT_OF(c); i-- > 0;) p = p * z + c[i];
    return r.hi + (r.hi * z * p + r.lo * (1.0 - 0.5 * z));
}

static double cos_reduced(pair r) {
    static const double c[] = {1.0 / 24,        -1.0 / 720,          1.0 / 40320,           -1.0 / 3628800,
                               1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000, -1.0 / 6402373705728000};
    double z = r.hi * r.hi, p = 0;
    for (size_t i = COUNT_OF(c); i-- > 0;) p = p * z + c[i];
    double half = 0.5 * z, w = 1.0 - half;
    return w + (((1.0 - w) - half) + (z * z * p - r.hi * r.lo));
}

static double sin_quadrant(double x, unsigned turn) {
    if (!(math_abs(x) < 0x1p30)) return __builtin_nan("");
    pair r;
    unsigned q = (reduce_angle(x, &r) + turn) & 3;
    double v = q & 1 ? cos_reduced(r) : sin_reduced(r);
    return q & 2 ? -v : v;
}

double math_sin(double x) { return sin_quadrant(x, 0); }
double math_cos(double x) { return sin_quadrant(x, 1); }

double math_floor(double x) {
    if (!(math_abs(x) < 0x1p52)) return x; /* whole already, infinite, or not a number */
    double t = (double)(int64_t)x;
    return t > x ? t - 1 : t;
}

double math_sqrt(double x) { return __builtin_sqrt(x); }
