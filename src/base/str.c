/* str.c: views of bytes, and the parsing of whole numbers. Floating point is in decimal.c. */
#include "base/base.h"

size_t cstr_len(const char *s) {
    size_t n = 0;
    while (s[n]) n++;
    return n;
}

str str_of(const char *cstr) { return (str){cstr, cstr_len(cstr)}; }
bool str_eq(str a, str b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }
bool str_is(str a, const char *cstr) { return str_eq(a, str_of(cstr)); }
bool cstr_eq(const char *a, const char *b) { return str_eq(str_of(a), str_of(b)); }

int str_cmp(str a, str b) {
    size_t n = MIN(a.len, b.len);
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

bool str_starts(str s, str prefix) { return s.len >= prefix.len && str_eq(str_cut(s, 0, prefix.len), prefix); }
bool str_ends(str s, str suffix) {
    return s.len >= suffix.len && str_eq(str_cut(s, s.len - suffix.len, suffix.len), suffix);
}

size_t str_find(str s, str needle) {
    for (size_t i = 0; i + needle.len <= s.len; i++)
        if (str_eq((str){s.ptr + i, needle.len}, needle)) return i;
    return SIZE_MAX;
}

str str_cut(str s, size_t from, size_t len) {
    from = MIN(from, s.len);
    return (str){from ? s.ptr + from : s.ptr, MIN(len, s.len - from)}; /* an empty str may have no address */
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

str str_trim(str s) {
    while (s.len && is_blank(s.ptr[0])) s = str_cut(s, 1, s.len);
    while (s.len && is_blank(s.ptr[s.len - 1])) s.len--;
    return s;
}

str str_base_name(str path) {
    size_t from = path.len;
    while (from && path.ptr[from - 1] == '/') from--;
    while (from && path.ptr[from - 1] != '/') from--;
    return str_cut(path, from, path.len);
}

/* Optimal string alignment: insert, delete, replace, and swap of neighbours cost one each. */
size_t str_distance(str a, str b) {
    enum { MOST = 32 };
    size_t n = MIN(a.len, (size_t)MOST), m = MIN(b.len, (size_t)MOST);
    uint8_t d[MOST + 1][MOST + 1];
    for (size_t i = 0; i <= n; i++) d[i][0] = (uint8_t)i;
    for (size_t j = 0; j <= m; j++) d[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            best = MIN(best, d[i - 1][j] + 1);
            best = MIN(best, d[i][j - 1] + 1);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
                best = MIN(best, d[i - 2][j - 2] + 1);
            d[i][j] = (uint8_t)best;
        }
    }
    return d[n][m];
}

bool parse_u64(str s, uint64_t *out) {
    uint64_t v = 0;
    if (!s.len) return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool parse_i64(str s, int64_t *out) {
    bool negative = s.len && s.ptr[0] == '-';
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+')) s = str_cut(s, 1, s.len);
    uint64_t v;
    if (!parse_u64(s, &v) || v > (uint64_t)INT64_MAX + negative) return false;
    *out = negative ? (int64_t)-v : (int64_t)v;
    return true;
}

bool parse_bytes(str s, uint64_t *out) {
    static const char units[] = "KMGTPE";
    if (str_ends(s, STR("iB"))) s.len -= 2;
    else if (str_ends(s, STR("B"))) s.len -= 1;
    double factor = 1, v;
    if (s.len) {
        char c = s.ptr[s.len - 1];
        if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        for (size_t i = 0; units[i]; i++) {
            if (c != units[i]) continue;
            s.len--;
            while (i-- != SIZE_MAX) factor *= 1024;
            break;
        }
    }
    s = str_trim(s);
    if (factor == 1) return parse_u64(s, out);
    if (!s.len || s.ptr[0] == '-' || !parse_f64(s, &v) || v * factor >= 18446744073709551616.0) return false;
    *out = (uint64_t)(v * factor);
    return true;
}

int hex_digit(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
