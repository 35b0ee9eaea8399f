/* test_base.c: text, numbers and the small functions of base, against libc where it has the same thing. */
#include "base/base.h"
#include "check.h"

#include <limits.h>
#include <math.h>

static double random_double(rng *r) {
    for (;;) {
        uint64_t bits = rng_u64(r);
        double x;
        memcpy(&x, &bits, 8);
        if (isfinite(x)) return x;
    }
}

/* A number that people print: a few digits, a moderate size. */
static double plain_double(rng *r) {
    static const double scale[] = {1, 1e-3, 1e3, 0.125, 1e-9, 1e12, 1e22, 1e-22};
    double x = (double)(int64_t)(rng_u64(r) % 2000001) - 1000000;
    return x * scale[rng_u64(r) % COUNT_OF(scale)];
}

TEST(err_values) {
    err e = {0};
    CHECK_EQ(err_set(NULL, ERR_IO, "here", "x"), ERR_IO);
    CHECK_EQ(ERR(&e, ERR_FORMAT, "tensor %s: %d, wanted %d", "a.weight", 3, 4), ERR_FORMAT);
    CHECK_STR(e.text, "tensor a.weight: 3, wanted 4");
    CHECK_EQ(e.code, ERR_FORMAT);
    CHECK_STR(err_name(ERR_NONE), "no error");
    CHECK_STR(err_name(ERR_INTERNAL), "internal error");
    CHECK_STR(err_name((err_code)99), "unknown error");
    char big[1000];
    memset(big, 'x', sizeof big - 1);
    big[999] = 0;
    ERR(&e, ERR_IO, "%s", big);
    CHECK_EQ(cstr_len(e.text), sizeof e.text - 1);
}

static jmp_buf assert_escape;
static char assert_text[256];
static void assert_note(const char *text) {
    snprintf(assert_text, sizeof assert_text, "%s", text);
    longjmp(assert_escape, 1);
}

TEST(assert_calls_the_hook) {
    void (*saved)(const char *) = assert_hook;
    assert_hook = assert_note;
    if (!setjmp(assert_escape)) {
        ASSERT(1 + 1 == 3);
        test_fail(__FILE__, __LINE__, "the assertion passed");
    }
    assert_hook = saved;
    CHECK_MSG(strstr(assert_text, "assertion failed: 1 + 1 == 3"), "%s", assert_text);
}

TEST(str_functions) {
    CHECK(str_eq(STR("abc"), str_of("abc")) && !str_eq(STR("abc"), STR("abd")) && !str_eq(STR("ab"), STR("abc")));
    CHECK(str_eq((str){NULL, 0}, STR("")));
    CHECK(str_is(STR("x"), "x") && cstr_eq("", "") && !cstr_eq("a", "b"));
    CHECK(str_cmp(STR("a"), STR("b")) < 0 && str_cmp(STR("b"), STR("a")) > 0 && str_cmp(STR("a"), STR("ab")) < 0);
    CHECK(str_cmp(STR("\x80"), STR("a")) > 0 && str_cmp(STR(""), STR("")) == 0);
    CHECK(str_starts(STR("blk.0"), STR("blk.")) && !str_starts(STR("b"), STR("blk")) && str_starts(STR("b"), STR("")));
    CHECK(str_ends(STR("a.gguf"), STR(".gguf")) && !str_ends(STR("gguf"), STR(".gguf")));
    CHECK_EQ(str_find(STR("hello"), STR("ll")), 2);
    CHECK_EQ(str_find(STR("hello"), STR("")), 0);
    CHECK(str_find(STR("he"), STR("hello")) == SIZE_MAX);
    CHECK(str_is(str_cut(STR("hello"), 3, 100), "lo") && str_is(str_cut(STR("hello"), 9, 1), ""));
    CHECK(str_is(str_trim(STR(" \t\n a b \r\n")), "a b") && str_is(str_trim(STR("  ")), ""));
    CHECK(str_is(str_base_name(STR("a/b/c")), "c") && str_is(str_base_name(STR("c")), "c"));
    CHECK(str_is(str_base_name(STR("a/b//")), "b//") && str_is(str_base_name(STR("/")), "/"));
    CHECK(str_is(str_base_name(STR("")), ""));
    CHECK_EQ(str_distance(STR("perplexty"), STR("perplexity")), 1);
    CHECK_EQ(str_distance(STR("rnu"), STR("run")), 1);
    CHECK_EQ(str_distance(STR(""), STR("run")), 3);
    CHECK_EQ(str_distance(STR("kitten"), STR("sitting")), 3);
    char long_text[100];
    memset(long_text, 'a', sizeof long_text);
    CHECK_EQ(str_distance((str){long_text, 100}, STR("")), 32);
}

static const char *fmt_one(const char *format, ...) {
    static char out[2048];
    va_list args;
    va_start(args, format);
    fmt_v(out, sizeof out, format, args);
    va_end(args);
    return out;
}

TEST(fmt_like_libc) {
    char a[256], b[256];
    size_t n;
#define SAME(...)                                                                    \
    do {                                                                             \
        n = fmt(a, sizeof a, __VA_ARGS__);                                           \
        int m = snprintf(b, sizeof b, __VA_ARGS__);                                  \
        CHECK_STR(a, b);                                                             \
        CHECK_EQ(n, m);                                                              \
    } while (0)
    SAME("plain %% text");
    SAME("%d %i %5d|%-5d|%05d|%+d|% d", 1, -2, 33, 44, -55, 66, 77);
    SAME("%u %x %X %08x %lu %llu %zu", 4000000000u, 0xbeefu, 0xBEEFu, 0x12u, ~0ul, ~0ull, (size_t)-1);
    SAME("%ld %lld %jd %td", LONG_MIN, LLONG_MIN, INTMAX_MIN, (ptrdiff_t)-7);
    SAME("%hhu %hhd %hu %hd", (unsigned char)200, (signed char)-3, (unsigned short)65535, (short)-4);
    SAME("%.3d|%.0d|%8.3d|%-8.3d|", 7, 0, 7, -7);
    SAME("%c%5c%-3c|", 'a', 'b', 'c');
    SAME("%s|%10s|%-10s|%.2s|%*s|%-*s|%.*s", "abc", "abc", "abc", "abc", 6, "x", 6, "y", 2, "zzz");
    SAME("%p", (void *)a);
    SAME("%f %e %g", 1.5, 1.5, 1.5);
    SAME("%.0f %.0f %.0f %.0f %.1f", 0.5, 1.5, 2.5, 1e15, 0.25);
    SAME("%8.3f|%-8.2f|%08.2f|%+.1f|% .1f|%+g", 3.14159, 2.5, -2.5, 1.0, 1.0, -0.0);
    SAME("%g %g %g %g %g %g", 0.0, 1e-5, 1e-4, 123456.0, 1234567.0, 100000.0);
    SAME("%f %f %g %e %5f|%-5f|%05f", HUGE_VAL, -HUGE_VAL, HUGE_VAL, HUGE_VAL, HUGE_VAL, HUGE_VAL, HUGE_VAL);
    SAME("%e %e %.0e %.17g", 0.0, 1e100, 9.5, 0.1);
    SAME("%.9f %.9f %g", 9.9999999999, 0.99999999999, 9.9999999);
#undef SAME
    CHECK_STR(fmt_one("%f", (double)NAN) + (fmt_one("%f", (double)NAN)[0] == '-'), "nan");
    CHECK_STR(fmt_one("%s", (char *)NULL), "(null)");
    CHECK_STR(fmt_one("%.*s", 0, (char *)NULL), "");
}

TEST(fmt_cuts_at_the_cap) {
    char buf[8];
    memset(buf, 'z', sizeof buf);
    CHECK_EQ(fmt(buf, 4, "%s%d", "abcdef", 12), 3);
    CHECK_STR(buf, "abc");
    CHECK_EQ(buf[4], 'z');
    CHECK_EQ(fmt(buf, 1, "%f", 1e300), 0);
    CHECK_EQ(buf[0], 0);
    size_t n = 0;
    for (int i = 0; i < 10; i++) n += fmt(buf + n, sizeof buf - n, "%d,", i);
    CHECK_STR(buf, "0,1,2,3");
}

TEST(fmt_doubles_random) {
    static const char *const formats[] = {"%.17g", "%.16g", "%g",   "%.9g",  "%.3f",  "%f",
                                          "%.0f",  "%e",    "%.0e", "%.17e", "%.30f", "%.1g"};
    rng r;
    rng_seed(&r, 1);
    char a[1024], b[1024];
    for (int i = 0; i < 60000; i++) {
        double x = i % 2 ? random_double(&r) : plain_double(&r);
        const char *format = formats[(size_t)i / 2 % COUNT_OF(formats)];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        fmt(a, sizeof a, format, x);
        snprintf(b, sizeof b, format, x);
#pragma GCC diagnostic pop
        CHECK_STR(a, b);
    }
    fmt(a, sizeof a, "%.1000g", 0x1p-1074);
    snprintf(b, sizeof b, "%.1000g", 0x1p-1074);
    CHECK_STR(a, b);
    fmt(a, sizeof a, "%.1000g", 0x1.fffffffffffffp-1022);
    snprintf(b, sizeof b, "%.1000g", 0x1.fffffffffffffp-1022);
    CHECK_STR(a, b);
    fmt(a, sizeof a, "%f", 1.7976931348623157e308);
    snprintf(b, sizeof b, "%f", 1.7976931348623157e308);
    CHECK_STR(a, b);
}

TEST(fmt_bytes_units) {
    char b[32];
    CHECK_STR(fmt_bytes(b, sizeof b, 0), "0 B");
    CHECK_STR(fmt_bytes(b, sizeof b, 1023), "1023 B");
    CHECK_STR(fmt_bytes(b, sizeof b, 1024), "1.0 KiB");
    CHECK_STR(fmt_bytes(b, sizeof b, 1536), "1.5 KiB");
    CHECK_STR(fmt_bytes(b, sizeof b, (1u << 20) - 1), "1.0 MiB");
    CHECK_STR(fmt_bytes(b, sizeof b, 25126000000u), "23.4 GiB");
    CHECK_STR(fmt_bytes(b, sizeof b, UINT64_MAX), "16.0 EiB");
}

TEST(parse_integers) {
    uint64_t u;
    int64_t i;
    CHECK(parse_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    CHECK(parse_u64(STR("007"), &u) && u == 7);
    CHECK(!parse_u64(STR("18446744073709551616"), &u) && !parse_u64(STR("99999999999999999999"), &u));
    CHECK(!parse_u64(STR(""), &u) && !parse_u64(STR("-1"), &u) && !parse_u64(STR("1 "), &u) &&
          !parse_u64(STR("+1"), &u));
    CHECK(parse_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(parse_i64(STR("+9223372036854775807"), &i) && i == INT64_MAX);
    CHECK(!parse_i64(STR("9223372036854775808"), &i) && !parse_i64(STR("-9223372036854775809"), &i) &&
          !parse_i64(STR("--1"), &i));
}

TEST(parse_byte_counts) {
    uint64_t n;
    CHECK(parse_bytes(STR("512"), &n) && n == 512);
    CHECK(parse_bytes(STR("64K"), &n) && n == 65536);
    CHECK(parse_bytes(STR("1.5G"), &n) && n == 1610612736);
    CHECK(parse_bytes(STR("2GiB"), &n) && n == 2147483648u);
    CHECK(parse_bytes(STR("3 MB"), &n) && n == 3145728);
    CHECK(parse_bytes(STR("7B"), &n) && n == 7);
    CHECK(!parse_bytes(STR("1.5"), &n) && !parse_bytes(STR("K"), &n) && !parse_bytes(STR(""), &n) &&
          !parse_bytes(STR("-1K"), &n));
    CHECK(!parse_bytes(STR("16E"), &n) && !parse_bytes(STR("1KK"), &n) && !parse_bytes(STR("iB"), &n));
}

static void check_parse(const char *text) {
    double v, want = strtod(text, NULL);
    bool ok = parse_f64(str_of(text), &v);
    CHECK_MSG(ok == (bool)isfinite(want), "%s: %s", text, ok ? "taken" : "refused");
    CHECK_MSG(!ok || memcmp(&v, &want, 8) == 0, "%s gives %a, wanted %a", text, ok ? v : 0.0, want);
}

TEST(parse_doubles) {
    static const char *const good[] = {
        "0", "-0", "1", "-1.5", "+2.", ".5", "1e5", "1E-5", "123456789.125e+3", "0.1", "1e22", "1e23", "1e-400",
        "1e308", "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1e309", "9e999999999",
        "1e-999999999", "4.9406564584124654e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
        "2.2250738585072011e-308", "2.2250738585072014e-308", "9007199254740993",
        "9007199254740992.99999999999999999999", "0e999999999",
        "9007199254740993.0000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
        "0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001e85",
        "1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000e-80",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) check_parse(good[i]);
    static const char *const bad[] = {"",     "-",   ".",   "e5", "1e", "1e+",  "1.2.3",
                                      "0x10", "inf", "nan", " 1", "1 ", "1e5.", "--1"};
    double v;
    for (size_t i = 0; i < COUNT_OF(bad); i++) CHECK_MSG(!parse_f64(str_of(bad[i]), &v), "%s", bad[i]);
    rng r;
    rng_seed(&r, 2);
    char text[2000];
    for (int i = 0; i < 60000; i++) {
        snprintf(text, sizeof text, "%.*g", (int)(1 + rng_u64(&r) % 19), i % 2 ? random_double(&r) : plain_double(&r));
        check_parse(text);
    }
    for (int i = 0; i < 300; i++) { /* exact midpoints between two doubles, and a hair beside them */
        double a = fabs(random_double(&r)) * (i % 3 ? 1 : 0x1p-1000), b = nextafter(a, INFINITY);
        if (!isfinite(b)) continue;
        long double mid = ((long double)a + (long double)b) / 2;
        snprintf(text, sizeof text, "%.1100Lg", mid);
        check_parse(text);
        char *e = strchr(text, 'e');
        char tail[16] = "";
        if (e) {
            snprintf(tail, sizeof tail, "%s", e);
            *e = 0;
        }
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s00000000001%s", strchr(text, '.') ? "" : ".", tail);
        check_parse(text);
    }
    memset(text, '7', 1500);
    text[1500] = 0;
    check_parse(text); /* overflows */
    memcpy(text, "0.", 2);
    check_parse(text);
    memset(text + 2, '0', 1400);
    check_parse(text);
}

TEST(utf8_decodes_every_code_point) {
    char b[4];
    size_t len;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        size_t n = utf8_encode(cp, b);
        bool surrogate = cp >= 0xD800 && cp <= 0xDFFF;
        CHECK_EQ(utf8_decode(b, n, &len), surrogate ? 0xFFFD : cp);
        CHECK_EQ(len, n);
        CHECK_EQ(utf8_complete(b, n), n);
        for (size_t cut = 1; cut < n; cut++) {
            CHECK_EQ(utf8_decode(b, cut, &len), UTF8_INVALID);
            CHECK_EQ(len, 1);
            CHECK_EQ(utf8_complete(b, cut), 0);
        }
    }
    CHECK_EQ(utf8_encode(0x110000, b), 3);
    CHECK(memcmp(b, "\xEF\xBF\xBD", 3) == 0);
}

TEST(utf8_refuses_the_malformed) {
    static const char *const bad[] = {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xED\xA0\x80",
                                      "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80", "\xFF", "\xC3(", "\xE2\x82(", "\xF0\x9F\x98("};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        size_t len;
        CHECK_EQ(utf8_decode(bad[i], strlen(bad[i]), &len), UTF8_INVALID);
        CHECK_EQ(len, 1);
        CHECK_EQ(utf8_complete(bad[i], strlen(bad[i])), strlen(bad[i]));
    }
    CHECK_EQ(utf8_complete("", 0), 0);
    CHECK_EQ(utf8_complete("abc\xE2\x82", 5), 3);
    CHECK_EQ(utf8_complete("abc\xE0\x80", 5), 5); /* can never become a character */
    CHECK_EQ(utf8_complete("\x80\x80\x80\x80", 4), 4);
    CHECK_EQ(utf8_complete("a\xF0\x9F\x98", 4), 1);
}

TEST(f16_every_value) {
    for (uint32_t h = 0; h <= 0xFFFF; h++) {
        float f = f32_of_f16((uint16_t)h);
        if (!f32_is_nan(f)) CHECK_EQ(f16_of_f32(f), h);
    }
    CHECK_EQ(bits_of_f32(f32_of_f16(0xFC01)), 0xFFC02000); /* a signalling NaN becomes quiet */
    CHECK(f32_of_f16(0x0001) == 0x1p-24f && f32_of_f16(0x7BFF) == 65504 && f32_of_f16(0xC000) == -2);
}

TEST(bf16_rounds_to_even) {
    for (uint32_t high = 0; high <= 0xFFFF; high++) {
        float exact = f32_of_bf16((uint16_t)high);
        if (f32_is_nan(exact)) {
            CHECK(f32_is_nan(f32_of_bf16(bf16_of_f32(exact))));
            CHECK(f32_is_nan(f32_of_bf16(bf16_of_f32(f32_of_bits(high << 16 | 0xFFFF)))));
            continue;
        }
        CHECK_EQ(bf16_of_f32(exact), high);
        if ((high & 0x7F80) == 0x7F80) continue;
        CHECK_EQ(bf16_of_f32(f32_of_bits(high << 16 | 0x7FFF)), high);
        CHECK_EQ(bf16_of_f32(f32_of_bits(high << 16 | 0x8000)), high + (high & 1));
        CHECK_EQ(bf16_of_f32(f32_of_bits(high << 16 | 0x8001)), high + 1);
    }
}

TEST(hash_spreads) {
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37);
    for (size_t n = 1; n <= sizeof bytes; n++) {
        uint64_t h = hash_bytes(bytes, n, 5);
        CHECK(h != hash_bytes(bytes, n - 1, 5) && h != hash_bytes(bytes, n, 6));
        for (size_t bit = 0; bit < 8 * n; bit++) { /* about half of the result changes with every bit */
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            int changed = __builtin_popcountll(h ^ hash_bytes(bytes, n, 5));
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK_MSG(changed >= 10 && changed <= 54, "length %zu bit %zu: %d bits changed", n, bit, changed);
        }
    }
    /* Short keys in a table of 2^17: as many collisions as chance gives (about 11,000 of 2^16). */
    static uint8_t taken[1 << 17];
    int collisions = 0;
    for (uint32_t i = 0; i < 1 << 16; i++) {
        uint64_t h = hash_bytes(&i, 4, 0) & (COUNT_OF(taken) - 1);
        collisions += taken[h];
        taken[h] = 1;
    }
    CHECK_MSG(collisions < 15000, "%d collisions", collisions);
}

TEST(rng_is_the_known_stream) {
    rng r = {{1, 2, 3, 4}};
    static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240}; /* the authors' example state */
    for (size_t i = 0; i < COUNT_OF(want); i++) CHECK(rng_u64(&r) == want[i]);
    rng_seed(&r, 0);
    CHECK(r.s[0] == 0xE220A8397B1DCDAFu && r.s[1] == 0x6E789E6AA1B965F4u); /* splitmix64 from 0 */
    double sum = 0, squares = 0, unit = 0;
    enum { N = 200000 };
    for (int i = 0; i < N; i++) {
        double x = rng_normal(&r), u = rng_unit(&r);
        CHECK(u >= 0 && u < 1);
        sum += x;
        squares += x * x;
        unit += u;
    }
    CHECK_NEAR(sum / N, 0, 0.01);
    CHECK_NEAR(squares / N, 1, 0.015);
    CHECK_NEAR(unit / N, 0.5, 0.005);
}

TEST(base_median) {
    double one[] = {7}, two[] = {4, 1}, odd[] = {9, -2, 5}, even[] = {8, 1, 3, 2};
    CHECK(sort_median(one, 1) == 7 && sort_median(two, 2) == 2.5);
    CHECK(sort_median(odd, 3) == 5 && odd[0] == -2 && odd[2] == 9); /* sorted */
    CHECK(sort_median(even, 4) == 2.5);
}
