/* decimal.c: doubles to decimal digits and back, both exact.
 *
 * Big integers are little-endian limbs of nine decimal digits. A finite double is m * 2^e, so its digits are those
 * of the integer m * 2^e, or, for e < 0, of m * 5^-e with the point moved. Going back, digits times a power of ten
 * are scaled by a power of two into 65 to 72 bits and rounded once: in base 10^9 a division by a power of ten
 * only drops limbs.
 */
#include "base/base_int.h"

#define LIMB 1000000000u
#define LIMB_DIGITS 9
/* Printing needs 86 limbs. Parsing: 800 digits, plus 63 limbs that a scale of 2^1900 adds at most. */
#define LIMBS_MAX 160
#define PARSE_DIGITS_MAX 800

typedef struct big {
    uint32_t limb[LIMBS_MAX];
    int n; /* limb[n - 1] is not 0 */
} big;

static void big_set(big *b, uint64_t v) {
    for (b->n = 0; v; v /= LIMB) b->limb[b->n++] = (uint32_t)(v % LIMB);
}

static void big_mul_add(big *b, uint32_t by, uint32_t add) {
    uint64_t carry = add;
    for (int i = 0; i < b->n; i++) {
        carry += (uint64_t)b->limb[i] * by;
        b->limb[i] = (uint32_t)(carry % LIMB);
        carry /= LIMB;
    }
    for (; carry; carry /= LIMB) {
        ASSERT(b->n < LIMBS_MAX);
        b->limb[b->n++] = (uint32_t)(carry % LIMB);
    }
}

/* Divides in place and returns the remainder. */
static uint32_t big_div(big *b, uint32_t by) {
    uint64_t rest = 0;
    for (int i = b->n - 1; i >= 0; i--) {
        rest = rest * LIMB + b->limb[i];
        b->limb[i] = (uint32_t)(rest / by);
        rest %= by;
    }
    while (b->n && !b->limb[b->n - 1]) b->n--;
    return (uint32_t)rest;
}

static void big_mul_power(big *b, uint32_t base, int exponent, uint32_t chunk, int chunk_exponent) {
    for (; exponent >= chunk_exponent; exponent -= chunk_exponent) big_mul_add(b, chunk, 0);
    uint32_t rest = 1;
    while (exponent-- > 0) rest *= base;
    if (rest > 1) big_mul_add(b, rest, 0);
}

static uint32_t power_of_ten(int n) {
    uint32_t p = 1;
    while (n-- > 0) p *= 10;
    return p;
}

void decimal_of(decimal *d, double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    uint64_t m = bits & 0xFFFFFFFFFFFFFu;
    int e = (int)(bits >> 52 & 0x7FF);
    if (e) m |= 1ull << 52;
    e = (e ? e : 1) - 1075;
    d->n = d->point = 0;
    if (!m) return;
    int zeros = __builtin_ctzll(m); /* fewer factors of five to multiply in */
    m >>= zeros;
    e += zeros;
    big b;
    big_set(&b, m);
    if (e >= 0) big_mul_power(&b, 2, e, 1u << 29, 29);
    else big_mul_power(&b, 5, -e, 1220703125u, 13);
    for (int i = b.n - 1; i >= 0; i--) {
        uint32_t v = b.limb[i];
        for (int k = LIMB_DIGITS - 1; k >= 0; k--, v /= 10) d->digits[d->n + k] = (char)('0' + v % 10);
        d->n += LIMB_DIGITS;
    }
    int lead = 0;
    while (d->digits[lead] == '0') lead++;
    d->n -= lead;
    memmove(d->digits, d->digits + lead, (size_t)d->n);
    d->point = d->n + MIN(e, 0);
}

static void strip_zeros(decimal *d) {
    while (d->n && d->digits[d->n - 1] == '0') d->n--;
    if (!d->n) d->point = 0;
}

void decimal_round(decimal *d, int keep) {
    if (keep >= d->n) {
        strip_zeros(d);
        return;
    }
    if (keep < 0) {
        d->n = d->point = 0;
        return;
    }
    bool up = d->digits[keep] > '5';
    if (d->digits[keep] == '5') {
        for (int i = keep + 1; i < d->n && !up; i++) up = d->digits[i] != '0';
        if (!up && keep > 0) up = (d->digits[keep - 1] - '0') % 2 == 1;
    }
    d->n = keep;
    if (up) {
        int i = keep;
        while (i > 0 && d->digits[i - 1] == '9') i--;
        d->n = i; /* the nines after it became zeros */
        if (i > 0) d->digits[i - 1]++;
        else {
            d->digits[0] = '1';
            d->n = 1;
            d->point++;
        }
    }
    strip_zeros(d);
}

/* b * 2^exponent2, rounded half to even; `inexact` tells that b itself was cut short. False on overflow. */
static bool round_to_double(big *b, int exponent10, bool inexact, double *out) {
    /* Scale so that the integer has 65 to 72 bits: its decimal length gives its binary one to within four. */
    int digits = b->n * LIMB_DIGITS;
    for (uint32_t top = b->limb[b->n - 1]; top < LIMB / 10; top *= 10) digits--;
    int whole = digits + exponent10; /* 10^(whole-1) <= value < 10^whole */
    if (whole > 310) return false;
    if (whole < -330) {
        *out = 0;
        return true;
    }
    int scale = 65 - (int)math_floor((whole - 1) * 3.3219280948873623);
    if (scale > 0) big_mul_power(b, 2, scale, 1u << 29, 29);
    if (exponent10 > 0) big_mul_power(b, 10, exponent10, LIMB, LIMB_DIGITS);
    int drop_limbs = exponent10 < 0 ? -exponent10 / LIMB_DIGITS : 0;
    for (int i = 0; i < drop_limbs && i < b->n; i++) inexact |= b->limb[i] != 0;
    drop_limbs = MIN(drop_limbs, b->n);
    b->n -= drop_limbs;
    memmove(b->limb, b->limb + drop_limbs, (size_t)b->n * sizeof b->limb[0]);
    if (exponent10 < 0) inexact |= big_div(b, power_of_ten(-exponent10 % LIMB_DIGITS)) != 0;
    for (int left = -scale; left > 0; left -= 29) inexact |= big_div(b, 1u << MIN(left, 29)) != 0;

    unsigned __int128 q = 0;
    for (int i = b->n - 1; i >= 0; i--) q = q * LIMB + b->limb[i];
    uint64_t high = (uint64_t)(q >> 64);
    int q_bits = high ? 128 - __builtin_clzll(high) : 64;
    int exponent = q_bits - 1 - scale, floor_exponent = MAX(exponent, -1022);
    int keep = 53 - (floor_exponent - exponent), drop = q_bits - MAX(keep, -1);
    uint64_t m = (uint64_t)(q >> drop);
    unsigned __int128 rest = q & (((unsigned __int128)1 << drop) - 1), half = (unsigned __int128)1 << (drop - 1);
    if (rest > half || (rest == half && (inexact || (m & 1)))) m++;
    uint64_t bits = ((uint64_t)(floor_exponent + 1022) << 52) + m; /* m carries the implicit one, or is subnormal */
    if (bits >= 0x7FFull << 52) return false;
    memcpy(out, &bits, 8);
    return true;
}

bool parse_f64(str s, double *out) {
    size_t i = 0;
    bool negative = i < s.len && s.ptr[i] == '-';
    if (i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+')) i++;
    big b = {.n = 0};
    bool any = false, point = false, inexact = false;
    int used = 0, exponent10 = 0;
    uint32_t group = 0, group_size = 1; /* digits gathered into limbs before they are multiplied in */
    for (; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9') break;
        any = true;
        if (used < PARSE_DIGITS_MAX) {
            if (used || c != '0') used++;
            exponent10 -= point && exponent10 > -100000;
            group = group * 10 + (uint32_t)(c - '0');
            if ((group_size *= 10) == LIMB) {
                big_mul_add(&b, LIMB, group);
                group = 0;
                group_size = 1;
            }
        } else {
            inexact |= c != '0';
            exponent10 += !point && exponent10 < 100000;
        }
    }
    if (!any) return false;
    big_mul_add(&b, group_size, group);
    if (i < s.len) {
        if (s.ptr[i] != 'e' && s.ptr[i] != 'E') return false;
        bool down = ++i < s.len && s.ptr[i] == '-';
        if (i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+')) i++;
        if (i == s.len) return false;
        int value = 0;
        for (; i < s.len; i++) {
            if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
            if (value < 1000000) value = value * 10 + (s.ptr[i] - '0');
        }
        exponent10 += down ? -value : value;
    }
    double v = 0;
    if (b.n && !round_to_double(&b, exponent10, inexact, &v)) return false;
    *out = negative ? -v : v;
    return true;
}
