/* utf8.c: one code point at a time; nothing malformed passes. */
#include "base/base.h"

/* Bytes of the character that this one leads; 0 where none can. */
static size_t lead_len(unsigned char c) {
    return c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
}

/* Overlong forms, surrogates and values above 0x10FFFF all show in the second byte. */
static bool second_fits(unsigned char lead, unsigned char c) {
    unsigned from = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned to = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return c >= from && c <= to;
}

/* How many bytes of s[0..n) belong to a character or to the beginning of one; *need is its full length. */
static size_t well_formed(const char *s, size_t n, size_t *need) {
    *need = lead_len((unsigned char)s[0]);
    if (!*need) return 0;
    size_t i = 1;
    while (i < n && i < *need) {
        unsigned char c = (unsigned char)s[i];
        if (i == 1 ? !second_fits((unsigned char)s[0], c) : (c & 0xC0) != 0x80) break;
        i++;
    }
    return i;
}

uint32_t utf8_decode(const char *s, size_t n, size_t *len) {
    size_t need;
    *len = 1;
    if (well_formed(s, n, &need) != need || !need) return UTF8_INVALID;
    *len = need;
    uint32_t cp = (unsigned char)s[0];
    if (need == 1) return cp;
    cp &= 0x7Fu >> need;
    for (size_t i = 1; i < need; i++) cp = cp << 6 | ((unsigned char)s[i] & 0x3Fu);
    return cp;
}

size_t utf8_encode(uint32_t cp, char out[4]) {
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)(0xF00u >> len | cp);
    return len;
}

size_t utf8_complete(const char *s, size_t n) {
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const char *at = s + n - back;
        if (((unsigned char)*at & 0xC0) == 0x80) continue;
        size_t need;
        return well_formed(at, back, &need) == back && back < need ? n - back : n;
    }
    return n;
}
