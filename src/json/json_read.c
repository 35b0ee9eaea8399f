/* json_read.c: the pull reader. It knows where it is from one byte of state and one bit for each open level, so that
 * deep texts cost no stack. Next: json_tree.c, which makes values of the events.
 */
#include "json/json.h"

/* What may come next. */
enum {
    WANT_VALUE,
    WANT_VALUE_OR_CLOSE, /* after [ */
    WANT_KEY,
    WANT_KEY_OR_CLOSE, /* after { */
    WANT_COMMA_OR_CLOSE,
    WANT_END,
};

void json_read(json_reader *r, str text, arena *strings) {
    *r = (json_reader){.text = text, .strings = strings, .state = WANT_VALUE};
}

static bool in_object(const json_reader *r) {
    return r->depth && r->in_object[(r->depth - 1) / 64] >> (r->depth - 1) % 64 & 1;
}

/* Says what is at r->at, and what should be there. */
static err_code unexpected(const json_reader *r, const char *wanted, err *e) {
    if (r->at >= r->text.len) return ERR(e, ERR_FORMAT, "JSON ends at offset %zu, wanted %s", r->at, wanted);
    unsigned char c = (unsigned char)r->text.ptr[r->at];
    const char *seen = c > ' ' && c < 127 ? "'%c'" : "byte 0x%02x";
    char text[16];
    fmt(text, sizeof text, seen, c);
    return ERR(e, ERR_FORMAT, "JSON at offset %zu: seen %s, wanted %s", r->at, text, wanted);
}

static int peek(const json_reader *r) { return r->at < r->text.len ? (unsigned char)r->text.ptr[r->at] : -1; }

static void skip_space(json_reader *r) {
    for (int c; (c = peek(r)) == ' ' || c == '\n' || c == '\t' || c == '\r';) r->at++;
}

/* ---- strings ------------------------------------------------------------------------------------- */

/* Four digits at r->at. */
static err_code read_hex(json_reader *r, uint32_t *unit, err *e) {
    *unit = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int d = hex_digit(peek(r));
        if (d < 0) return unexpected(r, "four hexadecimal digits after \\u", e);
        *unit = *unit << 4 | (uint32_t)d;
    }
    return ERR_NONE;
}

/* An escape, r->at behind its backslash; *n bytes to out. */
static err_code read_escape(json_reader *r, char out[4], size_t *n, err *e) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    size_t from = r->at - 1;
    uint32_t unit, low;
    int c = peek(r);
    for (size_t i = 0; i < sizeof names - 1; i++)
        if (c == names[i]) {
            out[0] = values[i], *n = 1, r->at++;
            return ERR_NONE;
        }
    if (c != 'u') return unexpected(r, "an escape: one of \"\\/bfnrtu", e);
    r->at++;
    err_code code = read_hex(r, &unit, e);
    if (code) return code;
    if (unit - 0xD800 < 0x800) { /* half of a pair: the other half must follow */
        bool pair = unit < 0xDC00 && peek(r) == '\\' && r->at + 1 < r->text.len && r->text.ptr[r->at + 1] == 'u';
        low = 0;
        if (pair) {
            r->at += 2;
            if ((code = read_hex(r, &low, e))) return code;
        }
        if (low - 0xDC00 >= 0x400)
            return ERR(e, ERR_FORMAT, "JSON at offset %zu: seen \\u%04x alone, wanted both halves of a surrogate pair",
                       from, (unsigned)unit);
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    *n = utf8_encode(unit, out);
    return ERR_NONE;
}

/* Moves over what stands for itself: up to a quote, a backslash or something wrong. */
static err_code skip_plain(json_reader *r, err *e) {
    while (r->at < r->text.len) {
        unsigned char c = (unsigned char)r->text.ptr[r->at];
        size_t len = 1;
        if (c == '"' || c == '\\') return ERR_NONE;
        if (c < 0x20) return unexpected(r, "an escape, since control characters must not stand in strings", e);
        if (c >= 0x80 && utf8_decode(r->text.ptr + r->at, r->text.len - r->at, &len) == UTF8_INVALID)
            return unexpected(r, "UTF-8", e);
        r->at += len;
    }
    return unexpected(r, "'\"' at the end of a string", e);
}

/* A string, r->at on its first quote. */
static err_code read_string(json_reader *r, json_value *value, err *e) {
    size_t from = ++r->at;
    err_code code = skip_plain(r, e);
    if (code) return code;
    str s = {r->text.ptr + from, r->at - from};
    if (peek(r) == '\\') { /* escapes only shrink a text: what is left of it is room enough */
        size_t end = r->at, cap;
        for (; end < r->text.len && r->text.ptr[end] != '"'; end++) end += r->text.ptr[end] == '\\';
        cap = MIN(end, r->text.len) - from;
        char *to = arena_alloc(r->strings, cap, 1);
        if (!to) return ERR(e, ERR_MEMORY, "JSON at offset %zu: no memory for a string of %zu bytes", from, cap);
        size_t n = s.len;
        memcpy(to, s.ptr, n);
        while (peek(r) == '\\') {
            char bytes[4];
            size_t len = 0;
            r->at++;
            if ((code = read_escape(r, bytes, &len, e))) return code;
            memcpy(to + n, bytes, len);
            n += len;
            size_t plain = r->at;
            if ((code = skip_plain(r, e))) return code;
            memcpy(to + n, r->text.ptr + plain, r->at - plain);
            n += r->at - plain;
        }
        arena_extend(r->strings, to, cap, n);
        s = (str){to, n};
    }
    r->at++;
    if (s.len > UINT32_MAX)
        return ERR(e, ERR_LIMIT, "JSON at offset %zu: a string of %zu bytes, wanted 4 GiB at most", from, s.len);
    *value = (json_value){.kind = JSON_STR, .count = (uint32_t)s.len, .s = s.ptr};
    return ERR_NONE;
}

/* ---- other scalars ------------------------------------------------------------------------------- */

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static err_code skip_digits(json_reader *r, err *e) {
    if (!is_digit(peek(r))) return unexpected(r, "a digit", e);
    while (is_digit(peek(r))) r->at++;
    return ERR_NONE;
}

static err_code read_number(json_reader *r, json_value *value, err *e) {
    size_t from = r->at;
    bool whole = true;
    err_code code = ERR_NONE;
    if (peek(r) == '-') r->at++;
    if (peek(r) == '0') r->at++;
    else code = skip_digits(r, e);
    if (!code && peek(r) == '.') {
        whole = false, r->at++;
        code = skip_digits(r, e);
    }
    if (!code && (peek(r) == 'e' || peek(r) == 'E')) {
        whole = false, r->at++;
        if (peek(r) == '-' || peek(r) == '+') r->at++;
        code = skip_digits(r, e);
    }
    if (code) return code;
    str digits = {r->text.ptr + from, r->at - from};
    *value = (json_value){.kind = JSON_INT};
    if (whole && parse_i64(digits, &value->i)) return ERR_NONE;
    if (whole && digits.len <= UINT32_MAX) {
        *value = (json_value){.kind = JSON_BIG, .count = (uint32_t)digits.len, .s = digits.ptr};
        return ERR_NONE;
    }
    value->kind = JSON_FLOAT;
    if (!whole && parse_f64(digits, &value->f)) return ERR_NONE;
    return ERR(e, ERR_FORMAT, "JSON at offset %zu: the number %.*s is out of range", from,
               (int)MIN(digits.len, (size_t)40), digits.ptr);
}

static err_code read_word(json_reader *r, json_value *value, err *e) {
    static const struct {
        str word;
        json_value value;
    } words[] = {
        {{"true", 4}, {.kind = JSON_BOOL, .b = true}},
        {{"false", 5}, {.kind = JSON_BOOL, .b = false}},
        {{"null", 4}, {.kind = JSON_NULL}},
    };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_starts(str_cut(r->text, r->at, words[i].word.len), words[i].word)) {
            r->at += words[i].word.len;
            *value = words[i].value;
            return ERR_NONE;
        }
    return unexpected(r, "a value", e);
}

/* ---- structure ----------------------------------------------------------------------------------- */

static uint8_t after_value(const json_reader *r) { return r->depth ? WANT_COMMA_OR_CLOSE : WANT_END; }

static err_code open_level(json_reader *r, bool object, json_event *event, err *e) {
    if (r->depth == JSON_DEPTH_MAX)
        return ERR(e, ERR_LIMIT, "JSON at offset %zu: more than %d arrays and objects inside each other", r->at,
                   JSON_DEPTH_MAX);
    uint64_t bit = (uint64_t)1 << r->depth % 64, *word = &r->in_object[r->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    r->depth++, r->at++;
    r->state = object ? WANT_KEY_OR_CLOSE : WANT_VALUE_OR_CLOSE;
    *event = object ? JSON_EVENT_OBJECT : JSON_EVENT_ARRAY;
    return ERR_NONE;
}

static err_code close_level(json_reader *r, json_event *event) {
    r->depth--, r->at++;
    r->state = after_value(r);
    *event = JSON_EVENT_CLOSE;
    return ERR_NONE;
}

static err_code read_value(json_reader *r, json_event *event, json_value *value, err *e) {
    int c = peek(r);
    if (c == '{' || c == '[') return open_level(r, c == '{', event, e);
    err_code code = c == '"' ? read_string(r, value, e)
                    : c == '-' || is_digit(c) ? read_number(r, value, e) : read_word(r, value, e);
    r->state = after_value(r);
    *event = JSON_EVENT_VALUE;
    return code;
}

static err_code read_key(json_reader *r, json_event *event, json_value *value, err *e) {
    if (peek(r) != '"') return unexpected(r, r->state == WANT_KEY ? "a key" : "a key or '}'", e);
    err_code code = read_string(r, value, e);
    if (code) return code;
    skip_space(r);
    if (peek(r) != ':') return unexpected(r, "':'", e);
    r->at++;
    r->state = WANT_VALUE;
    *event = JSON_EVENT_KEY;
    return ERR_NONE;
}

err_code json_next(json_reader *r, json_event *event, json_value *value, err *e) {
    skip_space(r);
    int c = peek(r), close = in_object(r) ? '}' : ']';
    if (r->state == WANT_END) {
        *event = JSON_EVENT_END;
        return c < 0 ? ERR_NONE : unexpected(r, "the end", e);
    }
    if (r->state == WANT_COMMA_OR_CLOSE && c == ',') {
        r->at++;
        r->state = in_object(r) ? WANT_KEY : WANT_VALUE;
        skip_space(r);
    } else if (c == close && (r->state == WANT_COMMA_OR_CLOSE || r->state == WANT_KEY_OR_CLOSE ||
                              r->state == WANT_VALUE_OR_CLOSE)) {
        return close_level(r, event);
    } else if (r->state == WANT_COMMA_OR_CLOSE) {
        return unexpected(r, in_object(r) ? "',' or '}'" : "',' or ']'", e);
    }
    if (r->state == WANT_KEY || r->state == WANT_KEY_OR_CLOSE) return read_key(r, event, value, e);
    return read_value(r, event, value, e);
}
