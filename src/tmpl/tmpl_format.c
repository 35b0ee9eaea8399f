/* tmpl_format.c: the three small languages of texts: "%s" % x, "{}".format(x), and strftime. */
#include "tmpl/tmpl_filters.h"

/* ---- a value in a field ---------------------------------------------------------------------------- */

typedef struct field {
    str fill;    /* one character                              */
    int align;   /* '<' '>' '^' '=' or 0                       */
    int sign;    /* '+' ' ' or 0                               */
    int64_t width, precision; /* -1: not given */
    int type;    /* 0: of the value                            */
} field;

enum { FIELD_MAX = 4096, PRECISION_MAX = 60 };

static int64_t read_width(str *s) {
    int64_t n = -1;
    for (; s->len && s->ptr[0] >= '0' && s->ptr[0] <= '9'; *s = str_cut(*s, 1, s->len))
        n = MIN((n < 0 ? 0 : n) * 10 + (s->ptr[0] - '0'), (int64_t)FIELD_MAX);
    return n;
}

/* Pads; the sign of a number stays before zeros. */
static str padded(render *r, str s, const field *f, bool number) {
    int64_t room = f->width - (int64_t)tmpl_count_chars(s);
    if (room <= 0) return s;
    int align = f->align ? f->align : number ? '>' : '<';
    size_t sign = align == '=' && s.len && (s.ptr[0] == '-' || s.ptr[0] == '+' || s.ptr[0] == ' ');
    int64_t left = align == '<' ? 0 : align == '^' ? room / 2 : room;
    size_t mark = tmpl_capture(r);
    tmpl_put(r, str_cut(s, 0, sign));
    for (int64_t i = 0; i < left && !r->code; i++) tmpl_put(r, f->fill);
    tmpl_put(r, str_cut(s, sign, s.len));
    for (int64_t i = left; i < room && !r->code; i++) tmpl_put(r, f->fill);
    return tmpl_captured(r, mark);
}

static str signed_text(render *r, bool minus, str digits, const field *f) {
    char text[480] = {minus ? '-' : (char)f->sign};
    size_t sign = text[0] != 0;
    memcpy(text + sign, digits.ptr, digits.len);
    return tmpl_copy(r, text, sign + digits.len);
}

static str whole_text(render *r, int64_t i, const field *f) {
    char text[24];
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    size_t n = fmt(text, sizeof text,
                   f->type == 'x'   ? "%llx"
                   : f->type == 'X' ? "%llX"
                                    : "%llu",
                   (unsigned long long)u);
    return signed_text(r, i < 0, (str){text, n}, f);
}

static str float_text(render *r, double x, const field *f) {
    char text[448];
    double a = math_abs(x);
    int precision = f->precision < 0 ? 6 : (int)MIN(f->precision, (int64_t)PRECISION_MAX);
    size_t n;
    if (x - x != 0 || (!f->type && f->precision < 0)) n = json_float_text(text, a);
    else n = fmt(text, sizeof text, f->type == 'e' ? "%.*e" : f->type == '%' ? "%.*f%%" : "%.*f", precision,
                 f->type == '%' ? a * 100 : a);
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return signed_text(r, bits >> 63 && x == x, (str){text, n}, f);
}

/* ---- format() -------------------------------------------------------------------------------------- */

static bool read_spec(str s, field *f) {
    size_t len = 1;
    *f = (field){.fill = STR(" "), .width = -1, .precision = -1};
    if (s.len) utf8_decode(s.ptr, s.len, &len);
    static const char aligns[] = "<>=^";
    for (int i = 0; i < 4 && !f->align; i++)
        if (s.len > len && s.ptr[len] == aligns[i]) {
            f->fill = str_cut(s, 0, len);
            f->align = aligns[i];
            s = str_cut(s, len + 1, s.len);
        }
    for (int i = 0; i < 4 && !f->align; i++)
        if (s.len && s.ptr[0] == aligns[i]) {
            f->align = aligns[i];
            s = str_cut(s, 1, s.len);
        }
    if (s.len && (s.ptr[0] == '+' || s.ptr[0] == '-' || s.ptr[0] == ' ')) {
        f->sign = s.ptr[0] == '-' ? 0 : s.ptr[0];
        s = str_cut(s, 1, s.len);
    }
    if (str_starts(s, STR("0"))) {
        if (!f->align) f->align = '=', f->fill = STR("0");
        s = str_cut(s, 1, s.len);
    }
    f->width = read_width(&s);
    if (str_starts(s, STR("."))) {
        s = str_cut(s, 1, s.len);
        f->precision = read_width(&s);
        if (f->precision < 0) return false;
    }
    if (s.len) f->type = s.ptr[0], s = str_cut(s, 1, s.len);
    return s.len == 0;
}

static bool in(const char *set, int c) {
    for (; *set; set++)
        if (*set == c) return true;
    return false;
}

static str format_spec(render *r, val v, str spec) {
    field f;
    if (!spec.len) return tmpl_text(r, v);
    bool ok = read_spec(spec, &f);
    bool as_text = v.kind == V_STR || (v.kind == V_BOOL && !f.type);
    if (ok && as_text && in("s", f.type ? f.type : 's') && f.align != '=' && !f.sign) {
        str s = tmpl_text(r, v);
        if (f.precision >= 0) s = str_cut(s, 0, tmpl_char_offset(s, (size_t)f.precision));
        return padded(r, s, &f, false);
    }
    if (ok && is_number(v) && (v.kind == V_FLOAT || in("efF%", f.type ? f.type : '?')) &&
        in("efF%", f.type ? f.type : 'f'))
        return padded(r, float_text(r, float_of(v), &f), &f, true);
    if (ok && is_whole(v) && in("dxX", f.type ? f.type : 'd') && f.precision < 0)
        return padded(r, whole_text(r, whole_of(v), &f), &f, true);
    tmpl_fail(r, ERR_FORMAT, "'%.*s' is no format of a %s", (int)MIN(spec.len, (size_t)40), spec.ptr,
              tmpl_type_name(v));
    return STR("");
}

/* The value that a field of format() names: "", "0", "name", each with .attribute and [item] behind. */
static val field_value(render *r, str name, const call *c, int64_t *next) {
    size_t end = 0;
    while (end < name.len && name.ptr[end] != '.' && name.ptr[end] != '[') end++;
    str first = str_cut(name, 0, end), rest = str_cut(name, end, name.len);
    uint64_t index = (uint64_t)*next;
    val v = VAL_MISSING;
    if (!first.len) ++*next;
    if (!first.len || parse_u64(first, &index)) {
        if (index < c->n) v = c->at[index];
    } else {
        for (size_t i = 0; i < c->n_named; i++)
            if (str_eq(c->named[i].name, first)) v = c->named[i].value;
    }
    if (v.kind == V_MISSING)
        return tmpl_fail(r, ERR_FORMAT, "format has no value '%.*s'", (int)MIN(first.len, (size_t)40), first.ptr);
    while (rest.len && !r->code) {
        bool item = rest.ptr[0] == '[';
        rest = str_cut(rest, 1, rest.len);
        end = 0;
        while (end < rest.len && !in(item ? "]" : ".[", rest.ptr[end])) end++;
        str part = str_cut(rest, 0, end);
        v = !item ? tmpl_attr(r, v, part)
                  : tmpl_item(r, v, parse_u64(part, &index) ? val_int((int64_t)index) : val_str(part));
        rest = str_cut(rest, end + item, rest.len);
    }
    return v;
}

static void put_field(render *r, str in_braces, const call *c, int64_t *next) {
    size_t colon = MIN(str_find(in_braces, STR(":")), in_braces.len);
    str name = str_cut(in_braces, 0, colon), spec = str_cut(in_braces, colon + 1, in_braces.len);
    size_t mark = MIN(str_find(name, STR("!")), name.len);
    str conversion = str_cut(name, mark, name.len);
    val v = field_value(r, str_cut(name, 0, mark), c, next);
    if (r->code) return;
    if (str_is(conversion, "!r")) v = val_str(tmpl_repr(r, v));
    else if (str_is(conversion, "!s")) v = val_str(tmpl_text(r, v));
    else if (conversion.len) tmpl_fail(r, ERR_FORMAT, "format knows !r and !s only");
    if (str_find(spec, STR("{")) != SIZE_MAX) tmpl_fail(r, ERR_UNSUPPORTED, "a format inside a format");
    if (!r->code) tmpl_put(r, format_spec(r, v, spec));
}

str tmpl_format(render *r, str format, const call *c) {
    size_t mark = tmpl_capture(r);
    int64_t next = 0;
    while (format.len && !r->code) {
        size_t n = 0;
        while (n < format.len && format.ptr[n] != '{' && format.ptr[n] != '}') n++;
        tmpl_put(r, str_cut(format, 0, n));
        format = str_cut(format, n, format.len);
        if (!format.len) break;
        int brace = format.ptr[0];
        if (format.len > 1 && format.ptr[1] == brace) {
            tmpl_put(r, str_cut(format, 0, 1));
            format = str_cut(format, 2, format.len);
            continue;
        }
        size_t end = str_find(format, STR("}"));
        if (brace == '}' || end == SIZE_MAX) tmpl_fail(r, ERR_FORMAT, "a single brace in a format");
        else put_field(r, str_cut(format, 1, end - 1), c, &next);
        format = str_cut(format, end == SIZE_MAX ? 1 : end + 1, format.len);
    }
    return tmpl_captured(r, mark);
}

/* ---- % --------------------------------------------------------------------------------------------- */

/* %d and its like of a float: without what is behind the point. */
static str percent_value(render *r, val v, const field *f) {
    str s;
    if (f->type == 's' || f->type == 'r') {
        s = f->type == 's' ? tmpl_text(r, v) : tmpl_repr(r, v);
        return f->precision >= 0 ? str_cut(s, 0, tmpl_char_offset(s, (size_t)f->precision)) : s;
    }
    if (v.kind == V_UNDEFINED) tmpl_undefined(r, v);
    else if (!is_number(v)) tmpl_fail(r, ERR_FORMAT, "%%%c of a %s", f->type, tmpl_type_name(v));
    if (r->code) return STR("");
    if (in("efF", f->type)) return float_text(r, float_of(v), f);
    if (v.kind == V_FLOAT && (f->type == 'x' || f->type == 'X' || !(math_abs(v.f) < 0x1p63))) {
        tmpl_fail(r, ERR_FORMAT, "%%%c of a float", f->type);
        return STR("");
    }
    return whole_text(r, v.kind == V_FLOAT ? (int64_t)v.f : whole_of(v), f);
}

/* One %, format behind it; returns what is left of the format. */
static str put_percent(render *r, str format, val args, size_t *next) {
    field f = {.fill = STR(" "), .width = -1, .precision = -1, .align = '>'};
    val v = VAL_MISSING;
    bool zero = false;
    if (str_starts(format, STR("("))) {
        size_t end = str_find(format, STR(")"));
        const val *named = NULL;
        if (args.kind == V_DICT && end != SIZE_MAX) named = tmpl_dict_find_str(args.dict, str_cut(format, 1, end - 1));
        if (!named) tmpl_fail(r, ERR_FORMAT, "a %%(name) without its value");
        if (r->code) return STR("");
        v = *named;
        format = str_cut(format, end + 1, format.len);
        *next = SIZE_MAX;
    }
    for (; format.len && in("-+ 0", format.ptr[0]); format = str_cut(format, 1, format.len)) {
        int c = format.ptr[0];
        if (c == '-') f.align = '<';
        else if (c == '0') zero = true;
        else f.sign = f.sign == '+' ? '+' : c;
    }
    f.width = read_width(&format);
    if (str_starts(format, STR("."))) {
        format = str_cut(format, 1, format.len);
        f.precision = read_width(&format);
        if (f.precision < 0) f.precision = 0;
    }
    f.type = format.len ? format.ptr[0] : 0;
    if (f.type == '%') {
        tmpl_put(r, STR("%"));
        return str_cut(format, 1, format.len);
    }
    if (!in("srdiuxXefF", f.type ? f.type : '?'))
        tmpl_fail(r, ERR_UNSUPPORTED, "a %% with a conversion but srdiuxXefF");
    if (v.kind == V_MISSING) {
        size_t n = args.kind == V_TUPLE ? args.list->n : 1;
        if (*next >= n) tmpl_fail(r, ERR_FORMAT, "not enough arguments for a format");
        else v = args.kind == V_TUPLE ? args.list->at[*next] : args;
        ++*next;
    }
    if (r->code) return STR("");
    bool number = !in("sr", f.type);
    if (zero && number && f.align == '>') f.align = '=', f.fill = STR("0");
    tmpl_put(r, padded(r, percent_value(r, v, &f), &f, number));
    return str_cut(format, 1, format.len);
}

val tmpl_percent(render *r, str format, val args) {
    size_t mark = tmpl_capture(r), next = 0;
    while (format.len && !r->code) {
        size_t n = MIN(str_find(format, STR("%")), format.len);
        tmpl_put(r, str_cut(format, 0, n));
        format = str_cut(format, n, format.len);
        if (format.len) format = put_percent(r, str_cut(format, 1, format.len), args, &next);
    }
    bool all = args.kind == V_TUPLE ? next >= args.list->n : next > 0 || args.kind == V_DICT || args.kind == V_LIST ||
                                                                args.kind == V_UNDEFINED || args.kind == V_RANGE;
    if (!all && next != SIZE_MAX) tmpl_fail(r, ERR_FORMAT, "not all arguments of a format were used");
    return val_str(tmpl_captured(r, mark));
}

/* ---- time ------------------------------------------------------------------------------------------ */

typedef struct date {
    int64_t year;
    int month, day, weekday, yearday, hour, minute, second; /* month, weekday (0: Sunday), yearday from 0 */
} date;

/* Days from civil and back: Howard Hinnant's algorithms for the proleptic Gregorian calendar, from 1970 on. */
static date date_of(uint64_t s) {
    date d = {.hour = (int)(s / 3600 % 24), .minute = (int)(s / 60 % 60), .second = (int)(s % 60)};
    int64_t days = (int64_t)(s / 86400) + 719468, era = days / 146097, of_era = days % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), march = (5 * of_year + 2) / 153;
    d.day = (int)(of_year - (153 * march + 2) / 5 + 1);
    d.month = (int)(march < 10 ? march + 2 : march - 10);
    d.year = year + era * 400 + (d.month < 2);
    d.weekday = (int)((s / 86400 + 4) % 7);
    bool leap = d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    d.yearday = before[d.month] + (d.month > 1 && leap) + d.day - 1;
    return d;
}

static void put_date(render *r, const date *d, int c, int flag) {
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    char text[64];
    size_t n = 0;
    int hour12 = d->hour % 12 ? d->hour % 12 : 12, value = -1, width = 2;
    switch (c) {
    case 'Y': n = fmt(text, sizeof text, "%lld", (long long)d->year); break;
    case 'y': value = (int)(d->year % 100); break;
    case 'C': value = (int)(d->year / 100); break;
    case 'm': value = d->month + 1; break;
    case 'd': value = d->day; break;
    case 'H': value = d->hour; break;
    case 'I': value = hour12; break;
    case 'M': value = d->minute; break;
    case 'S': value = d->second; break;
    case 'j': value = d->yearday + 1, width = 3; break;
    case 'f': n = fmt(text, sizeof text, "000000"); break;
    case 'w': n = fmt(text, sizeof text, "%d", d->weekday); break;
    case 'u': n = fmt(text, sizeof text, "%d", d->weekday ? d->weekday : 7); break;
    case 'e': n = fmt(text, sizeof text, flag == '-' ? "%d" : "%2d", d->day); break;
    case 'A': n = fmt(text, sizeof text, "%s", days[d->weekday]); break;
    case 'a': n = fmt(text, sizeof text, "%.3s", days[d->weekday]); break;
    case 'B': n = fmt(text, sizeof text, "%s", months[d->month]); break;
    case 'b':
    case 'h': n = fmt(text, sizeof text, "%.3s", months[d->month]); break;
    case 'p': n = fmt(text, sizeof text, d->hour < 12 ? "AM" : "PM"); break;
    case 'z':
    case 'Z': break; /* a time without a zone */
    case 'n': n = fmt(text, sizeof text, "\n"); break;
    case 't': n = fmt(text, sizeof text, "\t"); break;
    case '%': n = fmt(text, sizeof text, "%%"); break;
    default: tmpl_fail(r, ERR_UNSUPPORTED, "strftime_now with %%%c", c > ' ' && c < 127 ? c : '?');
    }
    if (value >= 0) n = fmt(text, sizeof text, "%0*d", flag == '-' ? 1 : width, value);
    tmpl_put(r, (str){text, n});
}

val tmpl_strftime(render *r, str format) {
    static const struct {
        char c;
        const char *means;
    } groups[] = {{'F', "%Y-%m-%d"}, {'T', "%H:%M:%S"}, {'R', "%H:%M"},          {'D', "%m/%d/%y"},
                  {'x', "%m/%d/%y"}, {'X', "%H:%M:%S"}, {'c', "%a %b %e %H:%M:%S %Y"}};
    date d = date_of(MIN(r->now_s, (uint64_t)253402300799)); /* the last second of the year 9999 */
    size_t mark = tmpl_capture(r);
    for (size_t i = 0; i < format.len && !r->code; i++) {
        if (format.ptr[i] != '%' || i + 1 == format.len) {
            tmpl_put(r, str_cut(format, i, 1));
            continue;
        }
        int c = format.ptr[++i], flag = 0;
        if (c == '-' && i + 1 < format.len) flag = c, c = format.ptr[++i];
        const char *means = NULL;
        for (size_t k = 0; k < COUNT_OF(groups); k++)
            if (c == groups[k].c) means = groups[k].means;
        if (means) tmpl_put(r, text_of(tmpl_strftime(r, str_of(means))));
        else put_date(r, &d, c, flag);
    }
    return val_str(tmpl_captured(r, mark));
}
