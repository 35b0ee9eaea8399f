/* tok_decode.c: ids back to bytes.
 *
 * A token's bytes depend on the token alone, so they can be streamed; what depends on the neighbours (the space that
 * encoding put before the text, the tidying of spaces before punctuation) is for whole texts only.
 */
#include "tok/tok_int.h"

typedef struct sink {
    char *buf;
    size_t cap, len;
    bool skip_space; /* if it comes first */
} sink;

static void put(sink *s, char c) {
    bool skip = s->skip_space && c == ' ';
    s->skip_space = false;
    if (skip) return;
    if (s->len < s->cap) s->buf[s->len] = c;
    s->len++;
}

static void put_text(sink *s, str text) {
    for (size_t i = 0; i < text.len; i++) put(s, text.ptr[i]);
}

/* U+2581 back to the space. */
static void put_unblanked(sink *s, str text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.len - i >= 3 && memcmp(text.ptr + i, TOK_BLANK, 3) == 0) {
            put(s, ' ');
            i += 2;
        } else {
            put(s, text.ptr[i]);
        }
    }
}

/* The byte alphabet back to bytes; a character outside it stands for itself. */
static void put_alphabet(const tok *t, sink *s, str text) {
    for (size_t at = 0, len; at < text.len; at += len) {
        uint32_t cp = tok_get_cp(text.ptr + at, text.len - at, &len);
        int byte = cp < COUNT_OF(t->cp_byte) ? t->cp_byte[cp] : -1;
        if (byte >= 0) put(s, (char)byte);
        else put_text(s, (str){text.ptr + at, len});
    }
}

/* <0x0A> */
static void put_byte(sink *s, str text) {
    int high = text.len == 6 ? hex_digit(text.ptr[3]) : -1, low = high < 0 ? -1 : hex_digit(text.ptr[4]);
    if (low < 0) put_text(s, text);
    else put(s, (char)(high << 4 | low));
}

static void put_token(const tok *t, sink *s, uint32_t id, bool special) {
    uint32_t attr = t->attr[id];
    str text = t->names.items[id];
    if (!special && (attr & (ATTR_UNKNOWN | ATTR_CONTROL))) return;
    if (attr & ATTR_SPECIAL) put_text(s, text);
    else if ((attr & ATTR_NORMAL) && t->kind == TOK_BPE && !(t->pre_flags & PRE_BLANKS)) put_alphabet(t, s, text);
    else if (attr & ATTR_NORMAL) put_unblanked(s, text);
    else if (attr & ATTR_BYTE) put_byte(s, text);
}

size_t tok_piece(const tok *t, int32_t id, bool special, char *buf, size_t cap) {
    sink s = {buf, cap, 0, false};
    if (id >= 0 && (uint32_t)id < t->names.count) put_token(t, &s, (uint32_t)id, special);
    return s.len;
}

/* ---- whole texts ------------------------------------------------------------------------------------- */

/* The clean-up that some vocabularies were made with: no space before ? ! . , nor around a lone apostrophe, nor before
 * the English endings 's 'm 're 've. Each step sees what the step before left. In place; returns the new length. */
static size_t tidy(char *text, size_t n) {
    size_t out = n ? 1 : 0;
    for (size_t i = 1; i < n; i++) {
        char c = text[i];
        if (text[i - 1] == ' ' && (c == '?' || c == '!' || c == '.' || c == ',')) out--;
        text[out++] = c;
    }
    n = out;
    out = n ? 1 : 0;
    for (size_t i = 1; i < n; i++) {
        char c = text[i];
        if (c == '\'' && i + 1 < n && text[i - 1] == ' ' && text[i + 1] == ' ') {
            out--;
            text[++i] = 0; /* the space behind is skipped, and is no space to what follows */
        }
        text[out++] = c;
    }
    n = out;
    out = n ? 1 : 0;
    for (size_t i = 1; i < n; i++) {
        char c = text[i], a = i + 1 < n ? text[i + 1] : 0, b = i + 2 < n ? text[i + 2] : 0;
        if (text[i - 1] == ' ' && c == '\'' &&
            (a == 's' || a == 'm' || (a == 'r' && b == 'e') || (a == 'v' && b == 'e')))
            out--;
        text[out++] = c;
    }
    return out;
}

/* The first token loses the space that encoding put there; a BOS that is not shown does not count as the first. */
static void put_all(const tok *t, sink *s, const int32_t *ids, size_t n, bool special) {
    size_t first = n && ids[0] == t->bos && !special;
    for (size_t i = first; i < n; i++) {
        s->skip_space = t->add_space && i == first;
        if (ids[i] >= 0 && (uint32_t)ids[i] < t->names.count) put_token(t, s, (uint32_t)ids[i], special);
    }
}

err_code tok_decode(const tok *t, const int32_t *ids, size_t n, bool special, char *buf, size_t cap, size_t *len,
                    err *e) {
    sink s = {buf, cap, 0, false};
    put_all(t, &s, ids, n, special);
    *len = s.len;
    if (!t->tidy_spaces) return ERR_NONE;
    char *whole = s.len > cap ? mem_block(MEM_TOK, s.len) : buf;
    if (!whole && s.len) return ERR(e, ERR_MEMORY, "no memory for a text of %zu bytes", s.len);
    if (whole != buf) {
        s = (sink){whole, s.len, 0, false};
        put_all(t, &s, ids, n, special);
    }
    *len = tidy(whole, s.len);
    if (whole != buf) {
        if (cap) memcpy(buf, whole, MIN(*len, cap));
        mem_block_free(whole);
    }
    return ERR_NONE;
}
