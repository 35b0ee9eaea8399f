/* tmpl_lex.c: from source to tokens, white space rules included: trim_blocks drops the line end behind a block or a
 * comment, lstrip_blocks the blanks before it on its line, `-` all white space on its side, `+` keeps it. Names,
 * strings and numbers are Python's. Next: tmpl_parse.c.
 */
#include "tmpl/tmpl_int.h"
#include "uni/uni.h"

enum { STATE_DATA, STATE_COMMENT, STATE_RAW, STATE_BLOCK, STATE_VAR };

err_code tmpl_syntax(lexer *x, err_code code, uint32_t line, const char *format, ...) {
    char text[160];
    va_list args;
    if (x->code) return x->code;
    va_start(args, format);
    fmt_v(text, sizeof text, format, args);
    va_end(args);
    return x->code = ERR(x->e, code, "template line %u: %s", line, text);
}

void tmpl_lex_start(lexer *x, arena *mem, str source, err *e) {
    *x = (lexer){.mem = mem, .line = 1, .e = e};
    char *to = arena_alloc(mem, source.len, 1);
    size_t n = 0;
    if (!to) {
        x->code = ERR(e, ERR_MEMORY, "no memory for a template of %zu bytes", source.len);
        return;
    }
    for (size_t i = 0; i < source.len; i++) {
        bool cr = source.ptr[i] == '\r';
        to[n++] = cr ? '\n' : source.ptr[i];
        if (cr && i + 1 < source.len && source.ptr[i + 1] == '\n') i++;
    }
    if (n && to[n - 1] == '\n') n--; /* jinja2 drops one line end at the end */
    x->source = (str){to, n};
}

static int at(const lexer *x, size_t offset) {
    return x->at + offset < x->source.len ? (unsigned char)x->source.ptr[x->at + offset] : -1;
}

static void move(lexer *x, size_t n) {
    for (size_t i = 0; i < n; i++) x->line += x->source.ptr[x->at + i] == '\n';
    x->at += n;
}

static void skip_space(lexer *x) {
    size_t len;
    while (x->at < x->source.len &&
           tmpl_is_space(utf8_decode(x->source.ptr + x->at, x->source.len - x->at, &len)))
        move(x, len);
}

/* ---- data ------------------------------------------------------------------------------------------ */

/* Is s[i..] one of "{%", "{{", "{#"? */
static bool is_tag(str s, size_t i) {
    return s.ptr[i] == '{' && i + 1 < s.len && (s.ptr[i + 1] == '%' || s.ptr[i + 1] == '{' || s.ptr[i + 1] == '#');
}

/* Behind "{%" and its sign at `from`: where the word stands alone in the block, the offset behind "%}" (and behind the
 * white space that a "-" takes); else 0. */
static size_t lone_word(str s, size_t from, const char *word, bool *plain_end) {
    str rest = str_cut(s, from, s.len), w = str_of(word);
    size_t skip = rest.len - tmpl_strip(rest, true, false).len;
    rest = str_cut(rest, skip, rest.len);
    if (!str_starts(rest, w)) return 0;
    str tail = str_cut(rest, w.len, rest.len), end = tmpl_strip(tail, true, false);
    bool minus = str_starts(end, STR("-%}")), plus = str_starts(end, STR("+%}"));
    *plain_end = str_starts(end, STR("%}"));
    if (!minus && !plus && !*plain_end) return 0;
    end = str_cut(end, *plain_end ? 2 : 3, end.len);
    if (minus) end = tmpl_strip(end, true, false);
    return s.len - end.len;
}

/* The data before a tag, without the white space that the tag takes. */
static str trim_data(str data, int sign, bool is_var, bool line_start) {
    if (sign == '-') return tmpl_strip(data, false, true);
    if (sign == '+' || is_var) return data;
    size_t from = data.len;
    while (from && data.ptr[from - 1] != '\n') from--;
    if ((from || line_start) && tmpl_strip(str_cut(data, from, data.len), true, false).len == 0)
        return str_cut(data, 0, from);
    return data;
}

static void emit(token *t, token_kind kind, uint32_t line, str text) {
    *t = (token){.kind = (uint8_t)kind, .line = line, .text = text};
}

/* Up to the next tag; true when there was data. */
static bool lex_data(lexer *x, token *t) {
    str s = x->source;
    size_t from = x->at, i = from, end;
    uint32_t line = x->line;
    bool line_start = from == 0 || s.ptr[from - 1] == '\n', plain;
    while (i < s.len && !is_tag(s, i)) i++;
    str data = str_cut(s, from, i - from);
    if (i == s.len) {
        move(x, data.len);
        emit(t, T_DATA, line, data);
        return data.len > 0;
    }
    int sign = i + 2 < s.len ? s.ptr[i + 2] : 0, kind = s.ptr[i + 1];
    size_t signs = sign == '-' || sign == '+';
    data = trim_data(data, sign, kind == '{', line_start);
    move(x, i - from);
    end = kind == '%' ? lone_word(s, i + 2 + signs, "raw", &plain) : 0;
    if (end) {
        move(x, end - x->at);
        x->state = STATE_RAW;
    } else {
        move(x, 2 + signs);
        x->state = kind == '%' ? STATE_BLOCK : kind == '{' ? STATE_VAR : STATE_COMMENT;
        x->after = x->state != STATE_COMMENT;
    }
    emit(t, T_DATA, line, data);
    return data.len > 0;
}

static void lex_comment(lexer *x) {
    size_t n = str_find(str_cut(x->source, x->at, x->source.len), STR("#}"));
    if (n == SIZE_MAX) {
        tmpl_syntax(x, ERR_FORMAT, x->line, "a comment without its end, wanted '#}'");
        return;
    }
    int sign = n ? at(x, n - 1) : 0;
    move(x, n + 2);
    if (sign == '-') skip_space(x);
    else if (sign != '+' && at(x, 0) == '\n') move(x, 1);
    x->state = STATE_DATA;
}

/* Everything up to {% endraw %} is data. */
static void lex_raw(lexer *x, token *t) {
    str s = x->source;
    size_t from = x->at;
    for (size_t i = from; i + 1 < s.len; i++) {
        if (s.ptr[i] != '{' || s.ptr[i + 1] != '%') continue;
        int sign = i + 2 < s.len ? s.ptr[i + 2] : 0;
        bool plain;
        size_t end = lone_word(s, i + 2 + (sign == '-' || sign == '+'), "endraw", &plain);
        if (!end) continue;
        bool line_start = from == 0 || s.ptr[from - 1] == '\n';
        emit(t, T_DATA, x->line, trim_data(str_cut(s, from, i - from), sign, false, line_start));
        move(x, end - from);
        if (plain && at(x, 0) == '\n') move(x, 1);
        x->state = STATE_DATA;
        return;
    }
    tmpl_syntax(x, ERR_FORMAT, x->line, "{%% raw %%} without {%% endraw %%}");
}

/* ---- inside a tag ---------------------------------------------------------------------------------- */

/* The end of the tag, if it is here and no bracket is open. */
static bool lex_end(lexer *x, token *t) {
    int close = x->state == STATE_BLOCK ? '%' : '}', sign = at(x, 0);
    bool signs = sign == '-' || (sign == '+' && x->state == STATE_BLOCK);
    if (x->n_open || at(x, signs) != close || at(x, signs + 1) != '}') return false;
    emit(t, x->state == STATE_BLOCK ? T_BLOCK_END : T_VAR_END, x->line, str_cut(x->source, x->at, signs + 2u));
    move(x, signs + 2u);
    if (sign == '-') skip_space(x);
    else if (!signs && x->state == STATE_BLOCK && at(x, 0) == '\n') move(x, 1);
    x->state = STATE_DATA;
    return true;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

/* Digits with single underscores between them, from offset i on; returns the offset behind. */
static size_t skip_digits(const lexer *x, size_t i) {
    while (is_digit(at(x, i)) || (at(x, i) == '_' && is_digit(at(x, i + 1)) && is_digit(at(x, i - 1)))) i++;
    return i;
}

static bool is_base_digit(int c, int base) {
    int d = is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
    return d < base;
}

static void lex_number(lexer *x, token *t) {
    uint32_t line = x->line;
    size_t n = skip_digits(x, 0), e = n, len = 0;
    bool whole = true;
    int mark = at(x, 1) | 32, base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    if (at(x, n) == '.' && is_digit(at(x, n + 1))) e = n = skip_digits(x, n + 1), whole = false;
    if ((at(x, e) | 32) == 'e') {
        e += at(x, e + 1) == '+' || at(x, e + 1) == '-' ? 2 : 1;
        if (is_digit(at(x, e))) n = skip_digits(x, e), whole = false;
    }
    if (whole && at(x, 0) == '0' && n == 1 && base != 10 && is_base_digit(at(x, 2), base)) {
        for (n = 3; is_base_digit(at(x, n), base) || (at(x, n) == '_' && is_base_digit(at(x, n + 1), base));) n++;
    } else if (whole && at(x, 0) == '0') { /* 007 is 00 and 7, as in jinja2 */
        for (base = 10, n = 1; at(x, n) == '0' || (at(x, n) == '_' && at(x, n + 1) == '0');) n++;
    } else {
        base = 10;
    }
    str text = str_cut(x->source, x->at, n);
    emit(t, T_NUMBER, line, text);
    char digits[400];
    if (text.len >= sizeof digits) {
        tmpl_syntax(x, ERR_UNSUPPORTED, line, "a number of %zu digits", text.len);
        return;
    }
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_') digits[len++] = text.ptr[i];
    t->value = whole ? tmpl_parse_int((str){digits, len}, base) : tmpl_parse_float((str){digits, len});
    if (t->value.kind == V_MISSING || t->value.kind == V_BIG)
        tmpl_syntax(x, ERR_UNSUPPORTED, line, "the number %.*s is out of range", (int)MIN(len, (size_t)40), digits);
    move(x, n);
}

static bool is_name(uint32_t cp, bool first) {
    uni_class c = uni_class_of(cp);
    if (cp < 128) return cp == '_' || (cp | 32) - 'a' < 26 || (!first && cp - '0' < 10);
    return c == UNI_LETTER || (!first && (c == UNI_MARK || c == UNI_NUMBER));
}

static size_t name_len(const lexer *x) {
    size_t n = 0, len;
    while (x->at + n < x->source.len &&
           is_name(utf8_decode(x->source.ptr + x->at + n, x->source.len - x->at - n, &len), n == 0))
        n += len;
    return n;
}

/* One escape of a string, at s[0] behind the backslash; returns how many bytes it takes, 0 on an error. */
static size_t unescape(lexer *x, str s, char *out, size_t *n) {
    static const char names[] = "\\'\"abfnrtv\n", values[] = "\\'\"\a\b\f\n\r\t\v";
    int c = (unsigned char)s.ptr[0];
    for (size_t i = 0; i < sizeof names - 1; i++)
        if (c == names[i]) {
            if (c != '\n') out[(*n)++] = values[i];
            return 1;
        }
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0, i;
    uint32_t cp = 0;
    if (!digits && c >= '0' && c <= '7') {
        for (i = 0; i < 3 && i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '7'; i++)
            cp = cp * 8 + (uint32_t)(s.ptr[i] - '0');
        *n += utf8_encode(cp, out + *n);
        return i;
    }
    if (!digits && c != 'N') { /* unknown: the backslash stays */
        out[(*n)++] = '\\', out[(*n)++] = s.ptr[0];
        return 1;
    }
    for (i = 1; i <= digits && i < s.len && is_base_digit(s.ptr[i], 16); i++)
        cp = cp << 4 | (uint32_t)(is_digit(s.ptr[i]) ? s.ptr[i] - '0' : (s.ptr[i] | 32) - 'a' + 10);
    if (i != digits + 1 || cp > 0x10FFFF || cp - 0xD800 < 0x800 || c == 'N') {
        tmpl_syntax(x, c == 'N' ? ERR_UNSUPPORTED : ERR_FORMAT, x->line,
                    "a string has an escape \\%c that is no character", c);
        return 0;
    }
    *n += utf8_encode(cp, out + *n);
    return i;
}

static void lex_string(lexer *x, token *t) {
    uint32_t line = x->line;
    int quote = at(x, 0);
    size_t end = 1;
    while (at(x, end) >= 0 && at(x, end) != quote) end += at(x, end) == '\\' ? 2 : 1;
    if (at(x, end) < 0) {
        tmpl_syntax(x, ERR_FORMAT, line, "a string without its closing %c", quote);
        return;
    }
    str raw = str_cut(x->source, x->at + 1, end - 1);
    if (str_find(raw, STR("\\")) != SIZE_MAX) {
        char *to = arena_alloc(x->mem, raw.len + 4, 1); /* an escape is never longer than what it stands for */
        size_t n = 0;
        if (!to) {
            tmpl_syntax(x, ERR_MEMORY, line, "no memory");
            return;
        }
        for (size_t i = 0; i < raw.len;) {
            if (raw.ptr[i] != '\\') {
                to[n++] = raw.ptr[i++];
                continue;
            }
            size_t used = unescape(x, str_cut(raw, i + 1, raw.len), to, &n);
            if (!used) return;
            i += 1 + used;
        }
        raw = (str){to, n};
    }
    emit(t, T_STR, line, raw);
    move(x, end + 1);
}

/* Brackets must pair before the tag can end. */
static void lex_bracket(lexer *x, int c) {
    static const char opening[] = "([{", closing[] = ")]}";
    for (int i = 0; i < 3; i++) {
        if (c == opening[i]) {
            if (x->n_open == sizeof x->open)
                tmpl_syntax(x, ERR_LIMIT, x->line, "more than %d brackets inside each other", TMPL_NEST_MAX);
            else x->open[x->n_open++] = (uint8_t)closing[i];
        } else if (c == closing[i]) {
            if (!x->n_open) tmpl_syntax(x, ERR_FORMAT, x->line, "seen '%c', which closes nothing", c);
            else if (x->open[--x->n_open] != c)
                tmpl_syntax(x, ERR_FORMAT, x->line, "seen '%c', wanted '%c'", c, x->open[x->n_open]);
        }
    }
}

static void lex_op(lexer *x, token *t) {
    static const struct {
        char text[3];
        uint8_t op;
    } pairs[] = {{"**", OP_POW}, {"//", OP_FLOOR}, {"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE}};
    int c = at(x, 0);
    emit(t, T_OP, x->line, str_cut(x->source, x->at, 1));
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        if (c == pairs[i].text[0] && at(x, 1) == pairs[i].text[1]) {
            t->op = pairs[i].op;
            t->text.len = 2;
            x->at += 2;
            return;
        }
    bool known = false;
    for (const char *p = "+-/*%~[](){}><=.:|,;"; *p; p++) known |= c == *p;
    if (!known) {
        const char *seen =
            c > ' ' && c < 127 ? "seen '%c', which begins nothing" : "seen byte 0x%02x, which begins nothing";
        char text[64];
        fmt(text, sizeof text, seen, c);
        tmpl_syntax(x, ERR_FORMAT, x->line, "%s", text);
        return;
    }
    t->op = (uint8_t)c;
    lex_bracket(x, c);
    x->at++;
}

static void lex_expression(lexer *x, token *t) {
    skip_space(x);
    if (x->at == x->source.len) {
        emit(t, T_END, x->line, (str){"", 0});
        return;
    }
    if (lex_end(x, t)) return;
    size_t n = name_len(x);
    int c = at(x, 0);
    if (n) {
        emit(t, T_NAME, x->line, str_cut(x->source, x->at, n));
        x->at += n;
    } else if (is_digit(c)) {
        lex_number(x, t);
    } else if (c == '\'' || c == '"') {
        lex_string(x, t);
    } else {
        lex_op(x, t);
    }
}

void tmpl_lex_next(lexer *x, token *t) {
    emit(t, T_END, x->line, (str){"", 0});
    while (!x->code && (x->at < x->source.len || x->after)) {
        if (x->after) {
            x->after = false;
            emit(t, x->state == STATE_BLOCK ? T_BLOCK_BEGIN : T_VAR_BEGIN, x->line, (str){"", 0});
            return;
        }
        if (x->state == STATE_DATA) {
            if (lex_data(x, t)) return;
        } else if (x->state == STATE_COMMENT) {
            lex_comment(x);
        } else if (x->state == STATE_RAW) {
            lex_raw(x, t);
            if (t->kind == T_DATA && t->text.len) return;
        } else {
            lex_expression(x, t);
            break;
        }
    }
    if (!x->code && x->at == x->source.len && t->kind == T_DATA) emit(t, T_END, x->line, (str){"", 0});
    if (x->code) emit(t, T_END, x->line, (str){"", 0});
}
