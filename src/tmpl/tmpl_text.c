/* tmpl_text.c: texts: how values are printed, and what Python's str does with letters and white space. Texts are UTF-8
 * and count in code points. Case follows Unicode's simple mappings, and ß as SS. Next: tmpl_format.c for % and
 * format().
 */
#include "tmpl/tmpl_int.h"
#include "uni/uni.h"

/* ---- building -------------------------------------------------------------------------------------- */

void tmpl_put(render *r, str s) {
    if (!s.len || !tmpl_step(r, s.len)) return;
    char *to = arena_alloc(&r->text, s.len, 1);
    if (to) memcpy(to, s.ptr, s.len);
    else tmpl_fail(r, ERR_MEMORY, "the render needs more memory than it may have");
}

size_t tmpl_capture(render *r) { return arena_mark(&r->text); }

str tmpl_captured(render *r, size_t mark) {
    str s = tmpl_copy(r, r->text.base + mark, arena_mark(&r->text) - mark);
    arena_reset(&r->text, mark);
    return s;
}

str tmpl_copy(render *r, const char *s, size_t n) {
    char *to = n ? tmpl_alloc(r, n, 1) : NULL;
    if (!to) return STR("");
    memcpy(to, s, n);
    return (str){to, n};
}

void *tmpl_append(render *r, const void *a, size_t n, const void *b, size_t m) {
    size_t cap;
    if (r->code || !n || !m) return n ? (char *)(uintptr_t)a : (char *)(uintptr_t)b;
    for (size_t i = 0; i < COUNT_OF(r->growing); i++)
        if (r->growing[i].at && (const char *)a + n == r->growing[i].at + r->growing[i].used &&
            m <= r->growing[i].cap - r->growing[i].used && tmpl_step(r, m)) {
            memcpy(r->growing[i].at + r->growing[i].used, b, m);
            r->growing[i].used += m;
            return (char *)(uintptr_t)a;
        }
    if (!add_size(n, m, &cap) || !mul_size(cap, n + m < 256 ? 1 : 2, &cap)) cap = SIZE_MAX;
    char *to = tmpl_alloc(r, align_up(cap, 8), 1);
    if (!to) return NULL;
    memcpy(to, a, n);
    memcpy(to + n, b, m);
    if (cap > n + m) {
        size_t i = r->next_growing++ % COUNT_OF(r->growing);
        r->growing[i].at = to;
        r->growing[i].used = n + m;
        r->growing[i].cap = cap;
    }
    return to;
}

str tmpl_concat(render *r, str a, str b) {
    const char *at = tmpl_append(r, a.ptr, a.len, b.ptr, b.len);
    return r->code ? STR("") : (str){at, a.len + b.len};
}

/* ---- characters ------------------------------------------------------------------------------------ */

size_t tmpl_count_chars(str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

size_t tmpl_char_offset(str s, size_t index) {
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.ptr[i] & 0xC0) != 0x80 && index-- == 0) return i;
    return s.len;
}

bool tmpl_is_space(uint32_t cp) { return uni_class_of(cp) == UNI_SPACE || cp - 0x1C < 4; }

str tmpl_strip(str s, bool left, bool right) {
    size_t len;
    while (left && s.len && tmpl_is_space(utf8_decode(s.ptr, s.len, &len))) s = str_cut(s, len, s.len);
    while (right && s.len) {
        size_t from = s.len - 1;
        while (from && ((unsigned char)s.ptr[from] & 0xC0) == 0x80) from--;
        if (!tmpl_is_space(utf8_decode(s.ptr + from, s.len - from, &len))) break;
        s.len = from;
    }
    return s;
}

/* The capital that uni.h would lower to cp. */
static uint32_t upper_of(uint32_t cp) {
    return cp == 0xB5 ? 0x39C : cp == 0x131 ? 'I' : cp == 0x17F ? 'S' : cp == 0x3C2 ? 0x3A3 : uni_upper(cp);
}

typedef enum { CASE_LOWER, CASE_UPPER, CASE_FIRST } case_kind;

static str change_case(render *r, str s, case_kind kind) {
    size_t mark = tmpl_capture(r), len;
    for (size_t i = 0; i < s.len && !r->code; i += len) {
        uint32_t cp = utf8_decode(s.ptr + i, s.len - i, &len);
        bool up = kind == CASE_UPPER || (kind == CASE_FIRST && i == 0);
        char bytes[4];
        if (up && cp == 0xDF) {
            tmpl_put(r, kind == CASE_UPPER ? STR("SS") : STR("Ss"));
            continue;
        }
        size_t n = utf8_encode(up ? upper_of(cp) : uni_lower(cp), bytes);
        tmpl_put(r, (str){bytes, n});
    }
    return tmpl_captured(r, mark);
}

str tmpl_upper(render *r, str s) { return change_case(r, s, CASE_UPPER); }
str tmpl_lower(render *r, str s) { return change_case(r, s, CASE_LOWER); }
str tmpl_capitalize(render *r, str s) { return change_case(r, s, CASE_FIRST); }

str tmpl_replace(render *r, str s, str from, str to, int64_t count) {
    size_t mark = tmpl_capture(r), i = 0, next;
    tmpl_step(r, s.len);
    if (from.len == 0) { /* before every character, and at the end */
        for (size_t len = 0; count != 0 && i <= s.len && !r->code; i += len, count--) {
            tmpl_put(r, to);
            if (i == s.len) break;
            utf8_decode(s.ptr + i, s.len - i, &len);
            tmpl_put(r, str_cut(s, i, len));
        }
    }
    for (; from.len && count != 0 && !r->code; i += next + from.len, count--) {
        next = str_find(str_cut(s, i, s.len), from);
        if (next == SIZE_MAX) break;
        tmpl_put(r, str_cut(s, i, next));
        tmpl_put(r, to);
    }
    if (i == 0 && from.len) return s;
    if (i < s.len) tmpl_put(r, str_cut(s, i, s.len));
    return tmpl_captured(r, mark);
}

val tmpl_escape(render *r, val v) {
    static const str names[] = {{"&amp;", 5}, {"&lt;", 4}, {"&gt;", 4}, {"&#39;", 5}, {"&#34;", 5}};
    static const char chars[] = "&<>'\"";
    if (v.kind == V_STR && v.sub == STR_MARKUP) return v;
    str s = tmpl_text(r, v);
    size_t mark = tmpl_capture(r), from = 0;
    for (size_t i = 0; i < s.len && !r->code; i++)
        for (size_t k = 0; k < COUNT_OF(names); k++)
            if (s.ptr[i] == chars[k]) {
                tmpl_put(r, str_cut(s, from, i - from));
                tmpl_put(r, names[k]);
                from = i + 1;
            }
    tmpl_put(r, str_cut(s, from, s.len - from));
    return val_text(V_STR, STR_MARKUP, tmpl_captured(r, mark));
}

/* ---- numbers --------------------------------------------------------------------------------------- */

static int digit_of(int c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
}

/* int(s, base): white space around, a sign, 0x, 0o or 0b, single underscores between digits. */
val tmpl_parse_int(str s, int base) {
    s = tmpl_strip(s, true, true);
    bool minus = str_starts(s, STR("-")), over = false, any = false;
    if (minus || str_starts(s, STR("+"))) s = str_cut(s, 1, s.len);
    int mark = s.len > 1 && s.ptr[0] == '0' ? s.ptr[1] | 32 : 0;
    int prefix = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    bool guess = base == 0;
    if (guess) base = prefix ? prefix : 10;
    if (prefix == base) {
        s = str_cut(s, 2, s.len);
        if (str_starts(s, STR("_"))) s = str_cut(s, 1, s.len);
    } else if (guess && mark && str_find(s, STR("1")) == 0) {
        return VAL_MISSING;
    }
    int64_t out = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '_' && any && s.ptr[i - 1] != '_' && i + 1 < s.len) continue;
        int d = digit_of(s.ptr[i]);
        if (d >= base) return VAL_MISSING;
        over |= __builtin_mul_overflow(out, (int64_t)base, &out) || __builtin_sub_overflow(out, (int64_t)d, &out);
        any = true;
    }
    if (!any) return VAL_MISSING;
    if (over || (!minus && out == INT64_MIN)) return val_text(V_BIG, 0, s);
    return val_int(minus ? out : -out);
}

/* float(s). */
val tmpl_parse_float(str s) {
    char digits[512];
    size_t n = 0;
    double f;
    s = tmpl_strip(s, true, true);
    str bare = str_starts(s, STR("-")) || str_starts(s, STR("+")) ? str_cut(s, 1, s.len) : s;
    char word[9];
    for (; n < bare.len && n < sizeof word; n++) word[n] = (char)(bare.ptr[n] | 32);
    str w = {word, n};
    if (str_is(w, "inf") || str_is(w, "infinity")) return val_float(s.ptr[0] == '-' ? -F32_INF : F32_INF);
    if (str_is(w, "nan")) return val_float(F32_INF - F32_INF);
    n = 0;
    for (size_t i = 0; i < s.len && n < sizeof digits - 2; i++) {
        bool between = i && i + 1 < s.len && digit_of(s.ptr[i - 1]) < 10 && digit_of(s.ptr[i + 1]) < 10;
        if (s.ptr[i] == '_' && between) continue;
        digits[n++] = s.ptr[i];
    }
    if (n && digits[0] == '+') digits[0] = '0';
    return n < sizeof digits - 2 && parse_f64((str){digits, n}, &f) ? val_float(f) : VAL_MISSING;
}

/* ---- printing -------------------------------------------------------------------------------------- */

const char *tmpl_type_name(val v) {
    static const char *const names[] = {"undefined", "undefined", "None",  "bool", "int",       "int",   "float",
                                        "str",       "list",      "tuple", "dict", "dict view", "range", "generator",
                                        "namespace", "loop",      "macro", "method", "function"};
    return v.kind < COUNT_OF(names) ? names[v.kind] : "?";
}

static void put_repr(render *r, val v);

/* Python's repr: in apostrophes, unless only those are inside; what cannot be seen as an escape. */
static void put_quoted(render *r, str s) {
    static const char *const escapes[] = {"\\x%02x", "\\u%04x", "\\U%08x"};
    bool apostrophe = str_find(s, STR("'")) != SIZE_MAX, quote = str_find(s, STR("\"")) != SIZE_MAX;
    uint32_t q = apostrophe && !quote ? '"' : '\'';
    char text[12] = {(char)q};
    size_t len;
    tmpl_put(r, (str){text, 1});
    for (size_t i = 0; i < s.len && !r->code; i += len) {
        uint32_t cp = utf8_decode(s.ptr + i, s.len - i, &len);
        uni_class c = uni_class_of(cp);
        bool plain = cp == ' ' || (c != UNI_SPACE && c != UNI_CONTROL && c != UNI_UNASSIGNED);
        if (cp == q || cp == '\\') tmpl_put(r, (str){text, fmt(text, sizeof text, "\\%c", (int)cp)});
        else if (plain) tmpl_put(r, str_cut(s, i, len));
        else if (cp == '\n' || cp == '\t' || cp == '\r')
            tmpl_put(r, cp == '\n' ? STR("\\n") : cp == '\t' ? STR("\\t") : STR("\\r"));
        else
            tmpl_put(r, (str){text, fmt(text, sizeof text, escapes[(cp >= 0x100) + (cp >= 0x10000)], (unsigned)cp)});
    }
    text[0] = (char)q;
    tmpl_put(r, (str){text, 1});
}

static void put_items(render *r, val v, const char *open, const char *close) {
    walk w = {v, 0};
    val item;
    tmpl_put(r, str_of(open));
    for (size_t i = 0; tmpl_next(r, &w, &item); i++) {
        if (i) tmpl_put(r, STR(", "));
        put_repr(r, item);
    }
    if (v.kind == V_TUPLE && v.list->n == 1) tmpl_put(r, STR(","));
    tmpl_put(r, str_of(close));
}

static void put_dict(render *r, const val_dict *d) {
    tmpl_put(r, STR("{"));
    for (uint32_t i = 0; i < d->n && !r->code; i++) {
        if (i) tmpl_put(r, STR(", "));
        put_repr(r, d->at[i].key);
        tmpl_put(r, STR(": "));
        put_repr(r, d->at[i].value);
    }
    tmpl_put(r, STR("}"));
}

static void put_range(render *r, const val_range *x) {
    char text[80];
    size_t n = fmt(text, sizeof text, "range(%lld, %lld", (long long)x->from, (long long)x->to);
    if (x->step != 1) n += fmt(text + n, sizeof text - n, ", %lld", (long long)x->step);
    n += fmt(text + n, sizeof text - n, ")");
    tmpl_put(r, (str){text, n});
}

/* What is no container. */
static str scalar_text(render *r, val v, char *buf, size_t cap) {
    switch (v.kind) {
    case V_UNDEFINED: return STR("");
    case V_NONE: return STR("None");
    case V_BOOL: return v.b ? STR("True") : STR("False");
    case V_INT: return (str){buf, fmt(buf, cap, "%lld", (long long)v.i)};
    case V_FLOAT: return (str){buf, json_float_text(buf, v.f)};
    case V_BIG:
    case V_STR: return text_of(v);
    case V_LOOP: {
        bool found;
        val length = tmpl_loop_attr(r, v.loop, STR("length"), &found);
        return (str){buf, fmt(buf, cap, "<LoopContext %lld/%lld>", (long long)v.loop->index0 + 1,
                              r->code ? 0LL : (long long)length.i)};
    }
    case V_MACRO: {
        const node *of = v.macro->of;
        if (of->kind != N_MACRO) return STR("<Macro None>");
        return (str){buf, fmt(buf, cap, "<Macro '%.*s'>", (int)MIN(of->a->name.len, (size_t)60), of->a->name.ptr)};
    }
    case V_ITER: return STR("<generator object>");
    default: {
        str name = tmpl_row_name(v.kind == V_METHOD ? v.bound->row : v.row);
        return (str){buf, fmt(buf, cap, "<function %.*s>", (int)name.len, name.ptr)};
    }
    }
}

static void put_repr(render *r, val v) {
    static const char *const views[] = {"dict_keys([", "dict_values([", "dict_items(["};
    char buf[96];
    if (r->depth >= TMPL_DEPTH_MAX) tmpl_fail(r, ERR_LIMIT, "a value is nested too deep to be printed");
    if (r->code) return;
    r->depth++;
    switch (v.kind) {
    case V_STR:
        if (v.sub == STR_MARKUP) tmpl_put(r, STR("Markup("));
        put_quoted(r, text_of(v));
        if (v.sub == STR_MARKUP) tmpl_put(r, STR(")"));
        break;
    case V_UNDEFINED: tmpl_put(r, STR("Undefined")); break;
    case V_LIST: put_items(r, v, "[", "]"); break;
    case V_TUPLE: put_items(r, v, "(", ")"); break;
    case V_VIEW: put_items(r, v, views[v.sub], "])"); break;
    case V_DICT: put_dict(r, v.dict); break;
    case V_RANGE: put_range(r, v.range); break;
    case V_SPACE:
        tmpl_put(r, STR("<Namespace "));
        put_dict(r, v.dict);
        tmpl_put(r, STR(">"));
        break;
    default: tmpl_put(r, scalar_text(r, v, buf, sizeof buf));
    }
    r->depth--;
}

str tmpl_repr(render *r, val v) {
    size_t mark = tmpl_capture(r);
    put_repr(r, v);
    return tmpl_captured(r, mark);
}

str tmpl_text(render *r, val v) {
    if (v.kind == V_STR || v.kind == V_UNDEFINED) return scalar_text(r, v, NULL, 0);
    return tmpl_repr(r, v);
}
