/* tok_text.c: UTF-8 as lenient as the tokenizers that models were trained with: what they let pass has tokens. */
#include "tok/tok_int.h"

uint32_t tok_get_cp(const char *s, size_t n, size_t *len) {
    uint8_t lead = (uint8_t)s[0];
    size_t need = tok_char_len(s[0]);
    *len = 1;
    if (lead < 0x80) return lead;
    if (need == 1 || need > n || lead >= 0xF8) return 0xFFFD;
    uint32_t cp = lead & (0x7Fu >> need);
    for (size_t i = 1; i < need; i++) {
        if (((uint8_t)s[i] & 0xC0) != 0x80) return 0xFFFD;
        cp = cp << 6 | ((uint8_t)s[i] & 0x3F);
    }
    if (cp > 0x10FFFF) return 0xFFFD;
    *len = need;
    return cp;
}

size_t tok_put_cp(uint32_t cp, char *out) {
    size_t len = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    if (len == 1) {
        out[0] = (char)cp;
        return 1;
    }
    for (size_t i = len - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)(0xF00u >> len | cp);
    return len;
}
