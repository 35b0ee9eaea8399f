/* test_json.c: what the reader takes and refuses, that trees and texts go round, and that large texts take linear time.
 */
#include "check.h"
#include "json/json.h"

#include <string.h>
#include <time.h>

static arena mem;

static err_code parse(const char *text, size_t n, json_value *v, err *e) {
    if (!mem.base) CHECK(!arena_open(&mem, MEM_TOOLS, (size_t)1 << 32, e));
    arena_reset(&mem, 0);
    return json_parse(&mem, (str){text, n}, v, e);
}

typedef struct out {
    char *at;
    size_t n, cap;
} out;

static void put(void *to, const char *bytes, size_t n) {
    out *o = to;
    if (o->n + n + 1 > o->cap) o->at = realloc(o->at, o->cap = 2 * (o->n + n + 1));
    memcpy(o->at + o->n, bytes, n);
    o->n += n;
    o->at[o->n] = 0;
}

static const char *write(const json_value *v, const json_style *style) {
    static out o;
    json_writer w;
    o.n = 0;
    json_write_start(&w, style, put, &o);
    json_write_value(&w, v);
    return o.at;
}

/* Texts and what they are written as; "" where the text itself. */
static const char *const good[][2] = {
    {"null", ""}, {"true", ""}, {" false ", "false"}, {"0", ""}, {"-0", "0"}, {"1", ""}, {"-12", ""},
    {"9223372036854775807", ""}, {"-9223372036854775808", ""}, {"9223372036854775808", ""},
    {"123456789012345678901234567890", ""}, {"1.0", ""}, {"-0.0", ""}, {"1e0", "1.0"}, {"1E+2", "100.0"},
    {"1.5e-7", "1.5e-07"}, {"0.1", ""}, {"1e16", "1e+16"}, {"123456789.125", ""}, {"5e-324", ""}, {"1e-400", "0.0"},
    {"\"\"", ""}, {"\"a\"", ""}, {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
    {"\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", "\"Aé€😀\""}, {"\"\\u0000\\u001f\"", ""}, {"\"é€😀\x7f\"", ""},
    {"[]", ""}, {"{}", ""}, {"[[],{}]", ""}, {"\t[ 1 ,\r\n2 ] ", "[1,2]"}, {"{\"a\":1,\"b\":[true,null]}", ""},
    {"{\"a\":{\"a\":{\"a\":0}}}", ""}, {"{\"\":0}", ""}, {"{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"},
    {"{\"a\":1,\"\\u0061\":2}", "{\"a\":2}"},
    {"{\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":0,\"1\":1,\"9\":9}",
     "{\"1\":1,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":9}"},
};

TEST(json_reads_and_writes) {
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        json_value v;
        err e = {0};
        err_code code = parse(good[i][0], strlen(good[i][0]), &v, &e);
        CHECK_MSG(!code, "%s: %s", good[i][0], e.text);
        CHECK_STR(write(&v, &json_compact), good[i][1][0] ? good[i][1] : good[i][0]);
    }
}

/* Texts and what the error says. */
static const char *const bad[][2] = {
    {"", "ends at offset 0, wanted a value"},
    {" ", "ends at offset 1"},
    {"nul", "offset 0: seen 'n', wanted a value"},
    {"nulll", "offset 4: seen 'l', wanted the end"},
    {"True", "seen 'T'"},
    {"NaN", "seen 'N'"},
    {"Infinity", "seen 'I'"},
    {"-", "ends at offset 1, wanted a digit"},
    {"-a", "offset 1"},
    {"+1", "seen '+'"},
    {"01", "offset 1: seen '1', wanted the end"},
    {"1.", "wanted a digit"},
    {".5", "seen '.'"},
    {"1e", "wanted a digit"},
    {"1e+", "wanted a digit"},
    {"0x1", "seen 'x'"},
    {"1e400", "the number 1e400 is out of range"},
    {"[", "wanted a value"},
    {"[1", "wanted ',' or ']'"},
    {"[1,", "wanted a value"},
    {"[1,]", "offset 3: seen ']', wanted a value"},
    {"[,1]", "seen ','"},
    {"[1 2]", "seen '2', wanted ',' or ']'"},
    {"[1}", "seen '}'"},
    {"]", "seen ']'"},
    {"{", "wanted a key or '}'"},
    {"{a:1}", "wanted a key or '}'"},
    {"{\"a\"}", "wanted ':'"},
    {"{\"a\":}", "wanted a value"},
    {"{\"a\":1,}", "wanted a key"},
    {"{\"a\":1", "wanted ',' or '}'"},
    {"{\"a\":1]", "seen ']'"},
    {"{1:1}", "wanted a key"},
    {"'a'", "seen '''"},
    {"\"", "wanted '\"'"},
    {"\"a", "ends at offset 2"},
    {"\"\\", "wanted an escape"},
    {"\"\\x\"", "seen 'x', wanted an escape"},
    {"\"\\u12\"", "wanted four hexadecimal"},
    {"\"\\u12g4\"", "seen 'g'"},
    {"\"\n\"", "seen byte 0x0a, wanted an escape"},
    {"\"\\ud800\"", "\\ud800 alone"},
    {"\"\\ud800\\n\"", "\\ud800 alone"},
    {"\"\\udc00\\ud800\"", "\\udc00 alone"},
    {"\"\\ud800\\ud800\"", "\\ud800 alone"},
    {"\"\x80\"", "byte 0x80, wanted UTF-8"},
    {"\"\xC0\x80\"", "wanted UTF-8"},
    {"\"\xED\xA0\x80\"", "wanted UTF-8"},
    {"\"\xF4\x90\x80\x80\"", "wanted UTF-8"},
    {"\"\xE2\x82\"", "wanted UTF-8"},
    {"\xEF\xBB\xBFnull", "byte 0xef"},
    {"1 // c", "seen '/'"},
    {"\x0cnull", "0x0c"},
};

TEST(json_refuses) {
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        json_value v;
        err e = {0};
        CHECK_MSG(parse(bad[i][0], strlen(bad[i][0]), &v, &e) == ERR_FORMAT, "%s was taken", bad[i][0]);
        CHECK_MSG(strstr(e.text, bad[i][1]) != NULL, "%s: \"%s\", wanted \"%s\"", bad[i][0], e.text, bad[i][1]);
    }
    json_value v;
    err e = {0};
    CHECK(parse("\0", 1, &v, &e) == ERR_FORMAT); /* also bytes of zero have an end */
    for (size_t i = 0; i < COUNT_OF(good); i++) { /* a cut text is refused, or another one */
        for (size_t n = strlen(good[i][0]); n-- > 0;) parse(good[i][0], n, &v, &e);
    }
}

TEST(json_kinds_and_members) {
    static const char text[] = "{\"i\":1,\"f\":1.0,\"big\":99999999999999999999,\"s\":\"x\\u00e9\",\"l\":[1]}";
    json_value v;
    err e = {0};
    CHECK(!parse(text, strlen(text), &v, &e));
    CHECK_EQ(v.kind, JSON_OBJECT);
    CHECK_EQ(v.count, 5);
    CHECK(json_get(&v, "i")->kind == JSON_INT && json_get(&v, "i")->i == 1);
    CHECK(json_get(&v, "f")->kind == JSON_FLOAT);
    CHECK(json_get(&v, "big")->kind == JSON_BIG && str_is(json_str(json_get(&v, "big")), "99999999999999999999"));
    CHECK(str_is(json_str(json_get(&v, "s")), "xé"));
    CHECK(json_get(&v, "l")->items[0].i == 1);
    CHECK(!json_get(&v, "none") && !json_get(NULL, "x") && !json_get(json_get(&v, "i"), "x"));
}

TEST(json_styles) {
    static const char text[] = "{\"a\":[1,{}],\"é😀\":[],\"d\":{\"x\":\"\x7f\"}}";
    json_value v;
    err e = {0};
    CHECK(!parse(text, strlen(text), &v, &e));
    CHECK_STR(write(&v, &json_spaced), "{\"a\": [1, {}], \"é😀\": [], \"d\": {\"x\": \"\x7f\"}}");
    json_style style = json_spaced;
    style.ascii = true;
    CHECK_STR(write(&v, &style), "{\"a\": [1, {}], \"\\u00e9\\ud83d\\ude00\": [], \"d\": {\"x\": \"\\u007f\"}}");
    style = json_spaced;
    style.between = ",", style.lines = true, style.indent = str_of("  ");
    CHECK_STR(write(&v, &style),
              "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"é😀\": [],\n  \"d\": {\n    \"x\": \"\x7f\"\n  }\n}");
    json_value odd = {.kind = JSON_FLOAT, .f = (double)F32_INF};
    CHECK_STR(write(&odd, &json_compact), "null");
    style.not_finite = true;
    CHECK_STR(write(&odd, &style), "Infinity");
    json_value broken = {.kind = JSON_STR, .count = 3, .s = "a\xFFz"};
    CHECK_STR(write(&broken, &json_compact), "\"a\xEF\xBF\xBDz\"");
}

TEST(json_depth) {
    char text[2 * (JSON_DEPTH_MAX + 1)];
    json_value v;
    err e = {0};
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    CHECK(!parse(text, 2 * JSON_DEPTH_MAX, &v, &e));
    CHECK(strlen(write(&v, &json_compact)) == 2 * JSON_DEPTH_MAX);
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    CHECK(parse(text, sizeof text, &v, &e) == ERR_LIMIT);
    CHECK(strstr(e.text, "more than 512"));
}

TEST(json_floats_are_shortest) {
    static const struct {
        double f;
        const char *text;
    } floats[] = {{0.1, "0.1"},
                  {100, "100.0"},
                  {1e15, "1000000000000000.0"},
                  {1e16, "1e+16"},
                  {0.0001, "0.0001"},
                  {0.00001, "1e-05"},
                  {123456.789, "123456.789"},
                  {1.7976931348623157e308, "1.7976931348623157e+308"},
                  {2.2250738585072014e-308, "2.2250738585072014e-308"},
                  {0x1p-44, "5.684341886080802e-14"},
                  {9007199254740993.0, "9007199254740992.0"},
                  {-1.5, "-1.5"},
                  {1.0 / 3, "0.3333333333333333"}};
    char text[JSON_FLOAT_TEXT_MAX];
    for (size_t i = 0; i < COUNT_OF(floats); i++) {
        json_float_text(text, floats[i].f);
        CHECK_STR(text, floats[i].text);
    }
    rng r;
    rng_seed(&r, 7);
    for (int i = 0; i < 20000;
         i++) { /* whatever the bits: what is read back is the same number, and no shorter text is */
        uint64_t bits = rng_u64(&r);
        double f, back;
        char shorter[64];
        memcpy(&f, &bits, 8);
        if (f - f != 0) continue;
        json_float_text(text, f);
        CHECK_MSG(parse_f64(str_of(text), &back) && back == f, "%a is written as %s", f, text);
        int digits = 0;
        for (const char *p = text; *p && *p != 'e'; p++) digits += *p >= (digits ? '0' : '1') && *p <= '9';
        if (digits < 16 || strstr(text, ".0")) continue;
        snprintf(shorter, sizeof shorter, "%.*e", digits - 2, f);
        CHECK_MSG(strtod(shorter, NULL) != f, "%s is as good as %s", shorter, text);
    }
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A text of about n bytes of one shape; the time to read it. */
static double time_of(int shape, size_t n) {
    out o = {0};
    char piece[64];
    put(&o, shape == 1 ? "{" : "[", 1);
    for (size_t i = 0; o.n < n; i++) {
        if (i) put(&o, ",", 1);
        int len = shape == 0   ? snprintf(piece, sizeof piece, "%zu", i)
                  : shape == 1 ? snprintf(piece, sizeof piece, "\"key%zu\":%zu", i, i)
                  : shape == 2 ? snprintf(piece, sizeof piece, "[{\"a\":\"\\n\\u00e9\"}]")
                               : snprintf(piece, sizeof piece, "\"%s\"", "\\\\\\\\\\\\\\\\");
        put(&o, piece, (size_t)len);
    }
    put(&o, shape == 1 ? "}" : "]", 1);
    json_value v;
    err e = {0};
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        double from = seconds();
        CHECK(!parse(o.at, o.n, &v, &e));
        best = MIN(best, seconds() - from);
    }
    free(o.at);
    return best;
}

TEST(json_time_is_linear) {
    for (int shape = 0; shape < 4; shape++) {
        double small, large;
        int tries = 0;
        do small = time_of(shape, 200000), large = time_of(shape, 1600000);
        while (large >= 8 * 6 * small + 0.05 && ++tries < 5);
        CHECK_MSG(large < 8 * 6 * small + 0.05, "shape %d: %.4f s for 200 KB, %.4f s for 1.6 MB", shape, small, large);
    }
    arena_close(&mem);
}
