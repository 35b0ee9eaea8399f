/* json_write.c: values to text, in the styles of Python's json.dumps. */
#include "json/json.h"

const json_style json_compact = {.between = ",", .colon = ":"};
const json_style json_spaced = {.between = ", ", .colon = ": "};

static void put(json_writer *w, const char *bytes, size_t n) {
    if (n) w->put(w->to, bytes, n);
}

static void put_text(json_writer *w, const char *text) { put(w, text, cstr_len(text)); }

static void put_line(json_writer *w) {
    put(w, "\n", 1);
    for (uint32_t i = 0; i < w->depth; i++) put(w, w->style.indent.ptr, w->style.indent.len);
}

/* What stands before a value or a key. */
static void put_lead(json_writer *w) {
    if (w->after_key || !w->depth) {
        w->after_key = false;
    } else {
        if (!w->empty) put_text(w, w->style.between);
        if (w->style.lines) put_line(w);
    }
    w->empty = false;
}

void json_write_start(json_writer *w, const json_style *style, void (*to_put)(void *, const char *, size_t), void *to) {
    *w = (json_writer){.put = to_put, .to = to, .style = *style};
}

void json_write_open(json_writer *w, json_kind kind) {
    put_lead(w);
    put(w, kind == JSON_OBJECT ? "{" : "[", 1);
    w->depth++;
    w->empty = true;
}

void json_write_close(json_writer *w, json_kind kind) {
    w->depth--;
    if (w->style.lines && !w->empty) put_line(w);
    put(w, kind == JSON_OBJECT ? "}" : "]", 1);
    w->empty = false;
}

static void put_unit(json_writer *w, uint32_t unit) {
    char text[8];
    put(w, text, fmt(text, sizeof text, "\\u%04x", (unsigned)unit));
}

/* One character that does not stand for itself. */
static void put_escaped(json_writer *w, uint32_t cp) {
    static const char names[] = "\"\\bfnrt", values[] = "\"\\\b\f\n\r\t";
    for (size_t i = 0; i < sizeof names - 1; i++)
        if (cp == (unsigned char)values[i]) {
            put(w, (char[]){'\\', names[i]}, 2);
            return;
        }
    if (cp == UTF8_INVALID) {
        if (w->style.ascii) put_text(w, "\\ufffd");
        else put_text(w, "\xEF\xBF\xBD");
    } else if (cp >= 0x10000) {
        put_unit(w, 0xD800 + ((cp - 0x10000) >> 10));
        put_unit(w, 0xDC00 + (cp & 0x3FF));
    } else {
        put_unit(w, cp);
    }
}

static void put_quoted(json_writer *w, str s) {
    size_t from = 0, len;
    put(w, "\"", 1);
    for (size_t i = 0; i < s.len; i += len) {
        uint32_t cp = (unsigned char)s.ptr[i];
        len = 1;
        if (cp >= 0x80) cp = utf8_decode(s.ptr + i, s.len - i, &len);
        bool plain = cp >= 0x20 && cp != '"' && cp != '\\' && cp != UTF8_INVALID && (cp < 0x7F || !w->style.ascii);
        if (plain) continue;
        put(w, s.ptr + from, i - from);
        put_escaped(w, cp);
        from = i + len;
    }
    if (s.len) put(w, s.ptr + from, s.len - from);
    put(w, "\"", 1);
}

void json_write_key(json_writer *w, str key) {
    put_lead(w);
    put_quoted(w, key);
    put_text(w, w->style.colon);
    w->after_key = true;
}

void json_write_str(json_writer *w, str s) {
    put_lead(w);
    put_quoted(w, s);
}

void json_write_raw(json_writer *w, str text) {
    put_lead(w);
    put(w, text.ptr, text.len);
}

void json_write_null(json_writer *w) { json_write_raw(w, STR("null")); }
void json_write_bool(json_writer *w, bool b) { json_write_raw(w, b ? STR("true") : STR("false")); }

void json_write_int(json_writer *w, int64_t i) {
    char text[24];
    json_write_raw(w, (str){text, fmt(text, sizeof text, "%lld", (long long)i)});
}

void json_write_float(json_writer *w, double f) {
    char text[JSON_FLOAT_TEXT_MAX];
    if (f - f == 0) json_write_raw(w, (str){text, json_float_text(text, f)});
    else if (!w->style.not_finite) json_write_null(w);
    else json_write_raw(w, f != f ? STR("NaN") : f < 0 ? STR("-Infinity") : STR("Infinity"));
}

/* Trees are not deeper than JSON_DEPTH_MAX, so a walk with a stack of its own needs no check. */
void json_write_value(json_writer *w, const json_value *v) {
    struct {
        const json_value *of;
        uint32_t next;
    } open[JSON_DEPTH_MAX + 1];
    size_t depth = 0;
    for (;;) {
        switch (v->kind) {
        case JSON_NULL: json_write_null(w); break;
        case JSON_BOOL: json_write_bool(w, v->b); break;
        case JSON_INT: json_write_int(w, v->i); break;
        case JSON_BIG: json_write_raw(w, json_str(v)); break;
        case JSON_FLOAT: json_write_float(w, v->f); break;
        case JSON_STR: json_write_str(w, json_str(v)); break;
        case JSON_ARRAY:
        case JSON_OBJECT:
            ASSERT(depth <= JSON_DEPTH_MAX);
            json_write_open(w, v->kind);
            open[depth].of = v;
            open[depth++].next = 0;
        }
        while (depth && open[depth - 1].next == open[depth - 1].of->count) json_write_close(w, open[--depth].of->kind);
        if (!depth) return;
        const json_value *of = open[depth - 1].of;
        uint32_t i = open[depth - 1].next++;
        if (of->kind == JSON_OBJECT) json_write_key(w, of->members[i].key);
        v = of->kind == JSON_OBJECT ? &of->members[i].value : &of->items[i];
    }
}

/* ---- floats -------------------------------------------------------------------------------------- */

/* The digits of |f| with n of them, as "d.ddde+xx"; true when they read back as f. A number beside a power of two has a
 * neighbour that is nearer below than above: there the digits one step up may be right where the nearest are not. */
static bool digits_fit(char text[JSON_FLOAT_TEXT_MAX], double f, int n, bool up) {
    double back;
    size_t len = fmt(text, JSON_FLOAT_TEXT_MAX, "%.*e", n - 1, f);
    if (up) {
        size_t i = 0;
        while (text[i] != 'e') i++;
        while (i-- > 0 && (text[i] == '9' || text[i] == '.'))
            if (text[i] == '9') text[i] = '0';
        if (i == SIZE_MAX) return false;
        text[i]++;
    }
    return parse_f64((str){text, len}, &back) && back == f;
}

size_t json_float_text(char out[JSON_FLOAT_TEXT_MAX], double f) {
    char text[JSON_FLOAT_TEXT_MAX], digits[20];
    uint64_t bits;
    memcpy(&bits, &f, 8);
    if (f != f) return fmt(out, JSON_FLOAT_TEXT_MAX, "nan");
    const char *sign = bits >> 63 ? "-" : "";
    f = math_abs(f);
    if (f - f != 0) return fmt(out, JSON_FLOAT_TEXT_MAX, "%sinf", sign);
    if (f == 0) return fmt(out, JSON_FLOAT_TEXT_MAX, "%s0.0", sign);
    /* Fewer than 15 digits come from 15 by dropping zeros, but where a subnormal number has no 15 digits to tell. */
    int n = f < 0x1p-1022 ? 1 : 15;
    while (!digits_fit(text, f, n, false) && !(n == 16 && digits_fit(text, f, n, true))) n++;
    size_t at = 0;
    int count = 0, exponent = 0;
    for (; text[at] != 'e'; at++)
        if (text[at] != '.') digits[count++] = text[at];
    bool down = text[at + 1] == '-';
    for (at += 2; text[at]; at++) exponent = exponent * 10 + (text[at] - '0');
    if (down) exponent = -exponent;
    while (count > 1 && digits[count - 1] == '0') count--;
    if (exponent < -4 || exponent >= 16) {
        size_t len = fmt(out, JSON_FLOAT_TEXT_MAX, "%s%c", sign, digits[0]);
        if (count > 1) len += fmt(out + len, JSON_FLOAT_TEXT_MAX - len, ".%.*s", count - 1, digits + 1);
        return len +
               fmt(out + len, JSON_FLOAT_TEXT_MAX - len, "e%c%02d", down ? '-' : '+', down ? -exponent : exponent);
    }
    size_t len = fmt(out, JSON_FLOAT_TEXT_MAX, "%s", sign);
    for (int i = MIN(exponent, 0); i < MAX(count, exponent + 2); i++) {
        out[len++] = i >= 0 && i < count ? digits[i] : '0';
        if (i == exponent) out[len++] = '.';
    }
    out[len] = 0;
    return len;
}
