/* tmpl_method.c: the methods of strings, lists, tuples, dicts and loops. Those that would change a list or a dict are
 * refused, as in jinja2's immutable sandbox (which lets pop and clear of a list through: so they are here).
 */
#include "tmpl/tmpl_filters.h"
#include "uni/uni.h"

/* ---- strings --------------------------------------------------------------------------------------- */

static val like(const call *c, str s) { return val_text(V_STR, c->self.sub, s); }

static bool want_str(render *r, val v, str *out) {
    if (v.kind == V_UNDEFINED) tmpl_undefined(r, v);
    else if (v.kind != V_STR) tmpl_fail(r, ERR_FORMAT, "wanted a str, seen %s", tmpl_type_name(v));
    else *out = text_of(v);
    return !r->code;
}

static bool given(val v) { return v.kind != V_MISSING && v.kind != V_NONE; }

bool tmpl_is_word(uint32_t cp) {
    uni_class c = uni_class_of(cp);
    return cp == '_' || c == UNI_LETTER || c == UNI_NUMBER;
}

const char *tmpl_cstr(render *r, str s) {
    char *to = tmpl_alloc(r, s.len + 1, 1);
    if (!to) return "";
    if (s.len) memcpy(to, s.ptr, s.len);
    return to;
}

static bool has_char(str chars, str one) { return str_find(chars, one) != SIZE_MAX; }

str tmpl_strip_chars(str s, str chars, bool left, bool right) {
    size_t len;
    while (left && s.len) {
        utf8_decode(s.ptr, s.len, &len);
        if (!has_char(chars, str_cut(s, 0, len))) break;
        s = str_cut(s, len, s.len);
    }
    while (right && s.len) {
        size_t from = s.len - 1;
        while (from && ((unsigned char)s.ptr[from] & 0xC0) == 0x80) from--;
        if (!has_char(chars, str_cut(s, from, s.len))) break;
        s.len = from;
    }
    return s;
}

static val strip(render *r, const call *c, const val *p, bool left, bool right) {
    str chars;
    tmpl_step(r, c->self.len);
    if (!given(p[0])) return like(c, tmpl_strip(text_of(c->self), left, right));
    return want_str(r, p[0], &chars) ? like(c, tmpl_strip_chars(text_of(c->self), chars, left, right)) : VAL_NONE;
}
static val run_strip(render *r, const call *c, const val *p) { return strip(r, c, p, true, true); }
static val run_lstrip(render *r, const call *c, const val *p) { return strip(r, c, p, true, false); }
static val run_rstrip(render *r, const call *c, const val *p) { return strip(r, c, p, false, true); }

/* The last place where needle is in s; SIZE_MAX when nowhere. */
static size_t find_last(str s, str needle) {
    for (size_t i = s.len + 1; i-- > 0;)
        if (i + needle.len <= s.len && str_starts(str_cut(s, i, needle.len), needle)) return i;
    return SIZE_MAX;
}

/* At white space, which belongs to no part. */
static void split_words(render *r, const call *c, int64_t max, val_list *out) {
    str rest = tmpl_strip(text_of(c->self), true, false);
    size_t len;
    for (; rest.len && !r->code; max--) {
        size_t end = 0;
        while (max != 0 && end < rest.len && !tmpl_is_space(utf8_decode(rest.ptr + end, rest.len - end, &len)))
            end += len;
        if (max == 0) end = rest.len;
        tmpl_push(r, out, like(c, str_cut(rest, 0, end)));
        rest = tmpl_strip(str_cut(rest, end, rest.len), true, false);
    }
}

static void split_words_right(render *r, const call *c, int64_t max, val_list *out) {
    str rest = tmpl_strip(text_of(c->self), false, true);
    size_t len;
    for (; rest.len && !r->code; max--) {
        size_t from = max == 0 ? 0 : rest.len;
        while (from) {
            size_t at = from - 1;
            while (at && ((unsigned char)rest.ptr[at] & 0xC0) == 0x80) at--;
            if (tmpl_is_space(utf8_decode(rest.ptr + at, rest.len - at, &len))) break;
            from = at;
        }
        tmpl_push(r, out, like(c, str_cut(rest, from, rest.len)));
        rest = tmpl_strip(str_cut(rest, 0, from), false, true);
    }
}

static void reverse_items(val_list *l) {
    for (size_t i = 0; i < l->n / 2; i++) {
        val v = l->at[i];
        l->at[i] = l->at[l->n - 1 - i];
        l->at[l->n - 1 - i] = v;
    }
}

static val split(render *r, const call *c, const val *p, bool right) {
    int64_t max = -1;
    str rest = text_of(c->self), between = STR("");
    val out = tmpl_list(r, V_LIST, 0);
    tmpl_step(r, rest.len);
    if (given(p[1]) && !tmpl_want_int(r, p[1], &max)) return VAL_NONE;
    if (given(p[0]) && !want_str(r, p[0], &between)) return VAL_NONE;
    if (r->code) return VAL_NONE;
    if (given(p[0]) && !between.len) return tmpl_fail(r, ERR_FORMAT, "split at an empty text");
    if (!given(p[0])) {
        if (right) split_words_right(r, c, max, out.list);
        else split_words(r, c, max, out.list);
    } else {
        for (; !r->code; max--) {
            size_t at = max == 0 ? SIZE_MAX : right ? find_last(rest, between) : str_find(rest, between);
            if (at == SIZE_MAX) break;
            tmpl_push(r, out.list, like(c, right ? str_cut(rest, at + between.len, rest.len) : str_cut(rest, 0, at)));
            rest = right ? str_cut(rest, 0, at) : str_cut(rest, at + between.len, rest.len);
        }
        tmpl_push(r, out.list, like(c, rest));
    }
    if (right && !r->code) reverse_items(out.list);
    return out;
}
static val run_split(render *r, const call *c, const val *p) { return split(r, c, p, false); }
static val run_rsplit(render *r, const call *c, const val *p) { return split(r, c, p, true); }

bool tmpl_next_line(str s, size_t *at, str *line, size_t *end_len) {
    size_t len, from = *at;
    if (from >= s.len) return false;
    *end_len = 0;
    for (size_t i = from; i < s.len; i += len) {
        uint32_t cp = utf8_decode(s.ptr + i, s.len - i, &len);
        bool end = cp - '\n' < 4 || cp - 0x1C < 3 || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
        if (!end) continue;
        if (cp == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n') len = 2;
        *end_len = len;
        *line = str_cut(s, from, i - from);
        *at = i + len;
        return true;
    }
    *line = str_cut(s, from, s.len);
    *at = s.len;
    return true;
}

static val run_splitlines(render *r, const call *c, const val *p) {
    val out = tmpl_list(r, V_LIST, 0);
    size_t at = 0, end;
    str line;
    bool keep = tmpl_truth(r, p[0]);
    while (!r->code && tmpl_next_line(text_of(c->self), &at, &line, &end)) {
        if (keep) line.len += end;
        tmpl_push(r, out.list, like(c, line));
    }
    return out;
}

/* The part of the text between the characters p[1] and p[2]; *offset: bytes before it. False when it is none. */
static bool window(render *r, const call *c, const val *p, str *part, size_t *offset) {
    int64_t n = tmpl_length(r, c->self), from = 0, to = n;
    if (given(p[1]) && !tmpl_want_int(r, p[1], &from)) return false;
    if (given(p[2]) && !tmpl_want_int(r, p[2], &to)) return false;
    if (from < 0) from = MAX(0, from + n);
    if (to < 0) to = MAX(0, to + n);
    if (from > n || from > to) return false;
    *offset = tmpl_char_offset(text_of(c->self), (size_t)from);
    *part = str_cut(text_of(c->self), *offset, tmpl_char_offset(text_of(c->self), (size_t)MIN(to, n)) - *offset);
    return true;
}

static val has_end(render *r, const call *c, const val *p, bool at_end) {
    str part, end;
    size_t offset;
    const val *one = &p[0];
    size_t n = 1;
    if (p[0].kind == V_TUPLE) one = p[0].list->at, n = p[0].list->n;
    bool is = false, inside = window(r, c, p, &part, &offset);
    for (size_t i = 0; i < n && !r->code; i++)
        if (want_str(r, one[i], &end) && inside) is |= at_end ? str_ends(part, end) : str_starts(part, end);
    return val_bool(is);
}
static val run_startswith(render *r, const call *c, const val *p) { return has_end(r, c, p, false); }
static val run_endswith(render *r, const call *c, const val *p) { return has_end(r, c, p, true); }

static val find(render *r, const call *c, const val *p, bool last, bool must) {
    str part, needle;
    size_t offset, at = SIZE_MAX;
    if (!want_str(r, p[0], &needle)) return VAL_NONE;
    if (window(r, c, p, &part, &offset)) at = last ? find_last(part, needle) : str_find(part, needle);
    if (at == SIZE_MAX && must) return tmpl_fail(r, ERR_FORMAT, "substring not found");
    return val_int(at == SIZE_MAX ? -1 : (int64_t)tmpl_count_chars(str_cut(text_of(c->self), 0, offset + at)));
}
static val run_find(render *r, const call *c, const val *p) { return find(r, c, p, false, false); }
static val run_rfind(render *r, const call *c, const val *p) { return find(r, c, p, true, false); }
static val run_index(render *r, const call *c, const val *p) { return find(r, c, p, false, true); }

static val run_count(render *r, const call *c, const val *p) {
    str part = {NULL, 0}, needle;
    size_t offset, at;
    int64_t n = 0;
    if (!want_str(r, p[0], &needle) || !window(r, c, p, &part, &offset)) return val_int(0);
    if (!needle.len) return val_int((int64_t)tmpl_count_chars(part) + 1);
    for (; (at = str_find(part, needle)) != SIZE_MAX; n++) part = str_cut(part, at + needle.len, part.len);
    return val_int(n);
}

static val run_replace(render *r, const call *c, const val *p) {
    str from, to;
    int64_t count = -1;
    if (!want_str(r, p[0], &from) || !want_str(r, p[1], &to)) return VAL_NONE;
    if (p[2].kind != V_MISSING && !tmpl_want_int(r, p[2], &count)) return VAL_NONE;
    return like(c, tmpl_replace(r, text_of(c->self), from, to, count));
}

/* A word is a run of letters that have a case. */
static val run_title(render *r, const call *c, const val *p) {
    str s = text_of(c->self);
    size_t mark = tmpl_capture(r), len;
    (void)p;
    for (size_t i = 0; i < s.len && !r->code;) {
        size_t end = i;
        for (; end < s.len; end += len) {
            uint32_t cp = utf8_decode(s.ptr + end, s.len - end, &len);
            if (uni_lower(cp) == cp && uni_upper(cp) == cp) break;
        }
        tmpl_put(r, tmpl_capitalize(r, str_cut(s, i, end - i)));
        if (end < s.len) tmpl_put(r, str_cut(s, end, len));
        i = end + (end < s.len ? len : 0);
    }
    return like(c, tmpl_captured(r, mark));
}

static val run_join(render *r, const call *c, const val *p) {
    size_t mark = tmpl_capture(r);
    walk w;
    val item;
    str s;
    if (p[0].kind == V_UNDEFINED || !tmpl_walk(r, &w, p[0])) return like(c, STR(""));
    for (size_t i = 0; tmpl_next(r, &w, &item); i++) {
        if (i) tmpl_put(r, text_of(c->self));
        if (want_str(r, item, &s)) tmpl_put(r, s);
    }
    return like(c, tmpl_captured(r, mark));
}

static val run_partition(render *r, const call *c, const val *p) {
    str between;
    val out = tmpl_list(r, V_TUPLE, 3);
    if (!want_str(r, p[0], &between)) return VAL_NONE;
    if (!between.len) return tmpl_fail(r, ERR_FORMAT, "partition at an empty text");
    size_t at = str_find(text_of(c->self), between);
    if (r->code) return VAL_NONE;
    bool found = at != SIZE_MAX;
    out.list->at[0] = like(c, str_cut(text_of(c->self), 0, at));
    out.list->at[1] = like(c, found ? between : STR(""));
    out.list->at[2] = like(c, found ? str_cut(text_of(c->self), at + between.len, SIZE_MAX) : STR(""));
    return out;
}

static val run_removeprefix(render *r, const call *c, const val *p) {
    str end;
    if (!want_str(r, p[0], &end)) return VAL_NONE;
    return like(c,
                str_starts(text_of(c->self), end) ? str_cut(text_of(c->self), end.len, c->self.len) : text_of(c->self));
}
static val run_removesuffix(render *r, const call *c, const val *p) {
    str end;
    if (!want_str(r, p[0], &end)) return VAL_NONE;
    return like(c, str_ends(text_of(c->self), end) ? str_cut(text_of(c->self), 0, c->self.len - end.len)
                                                   : text_of(c->self));
}

/* s with fill on its sides up to the width. */
static str pad(render *r, str s, int64_t left, int64_t right, str fill) {
    size_t mark = tmpl_capture(r);
    for (; left > 0 && tmpl_step(r, 0); left--) tmpl_put(r, fill);
    tmpl_put(r, s);
    for (; right > 0 && tmpl_step(r, 0); right--) tmpl_put(r, fill);
    return tmpl_captured(r, mark);
}

str tmpl_center(render *r, str s, int64_t width, str fill) {
    int64_t room = width - (int64_t)tmpl_count_chars(s);
    if (room <= 0) return s;
    int64_t left = room / 2 + (room & width & 1);
    return pad(r, s, left, room - left, fill);
}

static val justify(render *r, const call *c, const val *p, int side) {
    int64_t width;
    str fill = STR(" ");
    if (!tmpl_want_int(r, p[0], &width)) return VAL_NONE;
    if (p[1].kind != V_MISSING && (!want_str(r, p[1], &fill) || tmpl_count_chars(fill) != 1))
        return tmpl_fail(r, ERR_FORMAT, "the fill of a text is one character");
    int64_t room = width - (int64_t)tmpl_count_chars(text_of(c->self));
    if (side == 0) return like(c, tmpl_center(r, text_of(c->self), width, fill));
    return like(c, room <= 0 ? text_of(c->self)
                             : pad(r, text_of(c->self), side > 0 ? room : 0, side < 0 ? room : 0, fill));
}
static val run_center(render *r, const call *c, const val *p) { return justify(r, c, p, 0); }
static val run_ljust(render *r, const call *c, const val *p) { return justify(r, c, p, -1); }
static val run_rjust(render *r, const call *c, const val *p) { return justify(r, c, p, 1); }

/* Are all characters of that kind, and is there one? */
static val all_are(str s, bool (*is)(uint32_t cp)) {
    size_t len;
    bool all = s.len > 0;
    for (size_t i = 0; i < s.len && all; i += len) all = is(utf8_decode(s.ptr + i, s.len - i, &len));
    return val_bool(all);
}
static bool is_alpha(uint32_t cp) { return uni_class_of(cp) == UNI_LETTER; }
static bool is_digit(uint32_t cp) { return cp - '0' < 10 || (cp > 127 && uni_class_of(cp) == UNI_NUMBER); }
static bool is_alnum(uint32_t cp) { return is_alpha(cp) || is_digit(cp); }

#define ALL(name, is)                                                      \
    static val run_##name(render *r, const call *c, const val *p) {        \
        (void)p;                                                           \
        tmpl_step(r, c->self.len);                                       \
        return all_are(text_of(c->self), is);                                     \
    }
ALL(isalpha, is_alpha)
ALL(isdigit, is_digit)
ALL(isalnum, is_alnum)
ALL(isspace, tmpl_is_space)

static val run_case_test(render *r, const call *c, const val *p) {
    (void)p;
    call inner = {.self = c->self, .name = str_cut(c->name, 2, 5)};
    return val_bool(tmpl_test_row(r, tmpl_find_test(inner.name), &inner));
}

static val run_format(render *r, const call *c, const val *p) {
    (void)p;
    return like(c, tmpl_format(r, text_of(c->self), c));
}

static const callable of_str[] = {
    {"strip", ARGS(0, 1), NULL, run_strip},
    {"lstrip", ARGS(0, 1), NULL, run_lstrip},
    {"rstrip", ARGS(0, 1), NULL, run_rstrip},
    {"split", ARGS(0, 2), "sep maxsplit", run_split},
    {"rsplit", ARGS(0, 2), "sep maxsplit", run_rsplit},
    {"splitlines", ARGS(0, 1), "keepends", run_splitlines},
    {"startswith", ARGS(1, 3), NULL, run_startswith},
    {"endswith", ARGS(1, 3), NULL, run_endswith},
    {"replace", ARGS(2, 3), NULL, run_replace},
    {"format", ARGS(0, CALL_ANY), NULL, run_format},
    {"join", ARGS(1, 1), NULL, run_join},
    {"upper", ARGS(0, 0), NULL, tmpl_run_upper},
    {"lower", ARGS(0, 0), NULL, tmpl_run_lower},
    {"title", ARGS(0, 0), NULL, run_title},
    {"capitalize", ARGS(0, 0), NULL, tmpl_run_capitalize},
    {"find", ARGS(1, 3), NULL, run_find},
    {"rfind", ARGS(1, 3), NULL, run_rfind},
    {"index", ARGS(1, 3), NULL, run_index},
    {"count", ARGS(1, 3), NULL, run_count},
    {"partition", ARGS(1, 1), NULL, run_partition},
    {"removeprefix", ARGS(1, 1), NULL, run_removeprefix},
    {"removesuffix", ARGS(1, 1), NULL, run_removesuffix},
    {"center", ARGS(1, 2), NULL, run_center},
    {"ljust", ARGS(1, 2), NULL, run_ljust},
    {"rjust", ARGS(1, 2), NULL, run_rjust},
    {"isalpha", ARGS(0, 0), NULL, run_isalpha},
    {"isdigit", ARGS(0, 0), NULL, run_isdigit},
    {"isalnum", ARGS(0, 0), NULL, run_isalnum},
    {"isspace", ARGS(0, 0), NULL, run_isspace},
    {"islower", ARGS(0, 0), NULL, run_case_test},
    {"isupper", ARGS(0, 0), NULL, run_case_test},
};

/* ---- lists, dicts, loops --------------------------------------------------------------------------- */

static val run_list_index(render *r, const call *c, const val *p) {
    walk w = {c->self, 0};
    val item;
    for (int64_t i = 0; tmpl_next(r, &w, &item); i++)
        if (tmpl_equal(r, item, p[0])) return val_int(i);
    return tmpl_fail(r, ERR_FORMAT, "a value is not in the list");
}

static val run_list_count(render *r, const call *c, const val *p) {
    walk w = {c->self, 0};
    val item;
    int64_t n = 0;
    while (tmpl_next(r, &w, &item)) n += tmpl_equal(r, item, p[0]);
    return val_int(n);
}

static val run_copy(render *r, const call *c, const val *p) {
    (void)p;
    return c->self.kind == V_LIST ? tmpl_list_of(r, c->self) : c->self; /* a dict never changes */
}

/* The room of a list may be shared with a longer one that + made: it is never written, only left. */
static val run_pop(render *r, const call *c, const val *p) {
    val_list *l = c->self.list;
    int64_t i = -1, n = (int64_t)l->n;
    if (p[0].kind != V_MISSING && !tmpl_want_int(r, p[0], &i)) return VAL_NONE;
    if (i < 0) i += n;
    if (i < 0 || i >= n) return tmpl_fail(r, ERR_FORMAT, "pop of an element that is not there");
    val v = l->at[i];
    if (i == 0) {
        l->at++;
    } else if (i < n - 1) {
        val *at = tmpl_alloc(r, l->n, sizeof *at);
        if (!at) return VAL_NONE;
        memcpy(at, l->at, (size_t)i * sizeof *at);
        memcpy(at + i, l->at + i + 1, (size_t)(n - 1 - i) * sizeof *at);
        l->at = at;
    }
    l->n--;
    return v;
}

static val run_clear(render *r, const call *c, const val *p) {
    (void)r, (void)p;
    c->self.list->n = 0;
    return VAL_NONE;
}

static val run_get(render *r, const call *c, const val *p) {
    const val *v = tmpl_dict_find(r, c->self.dict, p[0]);
    return v ? *v : p[1].kind == V_MISSING ? VAL_NONE : p[1];
}

static val view(const call *c, int which) { return (val){.kind = V_VIEW, .sub = (uint8_t)which, .dict = c->self.dict}; }
static val run_keys(render *r, const call *c, const val *p) {
    (void)r, (void)p;
    return view(c, VIEW_KEYS);
}
static val run_values(render *r, const call *c, const val *p) {
    (void)r, (void)p;
    return view(c, VIEW_VALUES);
}
static val run_items(render *r, const call *c, const val *p) {
    (void)r, (void)p;
    return view(c, VIEW_ITEMS);
}

static val run_cycle(render *r, const call *c, const val *p) {
    (void)p;
    if (!c->n) return tmpl_fail(r, ERR_FORMAT, "no items for cycling given");
    return c->at[(size_t)c->self.loop->index0 % c->n];
}

static val run_changed(render *r, const call *c, const val *p) {
    loop *l = c->self.loop;
    val now = tmpl_list(r, V_TUPLE, c->n);
    (void)p;
    for (size_t i = 0; i < c->n && !r->code; i++) now.list->at[i] = c->at[i];
    if (r->code || (l->has_changed && tmpl_equal(r, l->changed, now))) return val_bool(false);
    l->changed = now;
    l->has_changed = true;
    return val_bool(true);
}

static const callable of_list[] = {
    {"index", ARGS(1, 1), NULL, run_list_index},
    {"count", ARGS(1, 1), NULL, run_list_count},
    {"copy", ARGS(0, 0), NULL, run_copy}, /* from here on of lists only */
    {"pop", ARGS(0, 1), NULL, run_pop},
    {"clear", ARGS(0, 0), NULL, run_clear},
};
static const callable of_dict[] = {
    {"get", ARGS(1, 2), NULL, run_get},   {"items", ARGS(0, 0), NULL, run_items},
    {"keys", ARGS(0, 0), NULL, run_keys}, {"values", ARGS(0, 0), NULL, run_values},
    {"copy", ARGS(0, 0), NULL, run_copy},
};
static const callable of_loop[] = {
    {"cycle", ARGS(0, CALL_ANY), NULL, run_cycle},
    {"changed", ARGS(0, CALL_ANY), NULL, run_changed},
};

/* ---- by type --------------------------------------------------------------------------------------- */

static bool is_one_of(str name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_is(name, names[i])) return true;
    return false;
}

const callable *tmpl_find_method(val_kind kind, str name, bool *known, bool *unsafe) {
    static const char *const str_others[] = {
        "casefold",    "encode",  "expandtabs", "format_map", "isascii",    "isdecimal", "isidentifier", "isnumeric",
        "isprintable", "istitle", "maketrans",  "rindex",     "rpartition", "swapcase",  "translate",    "zfill"};
    static const char *const list_changing[] = {"append", "extend", "insert", "remove", "reverse", "sort"};
    static const char *const dict_changing[] = {"clear", "pop", "popitem", "setdefault", "update"};
    *known = *unsafe = false;
    switch (kind) {
    case V_STR:
        *known = is_one_of(name, str_others, COUNT_OF(str_others));
        return tmpl_find_row(of_str, COUNT_OF(of_str), name);
    case V_RANGE:
    case V_TUPLE: return tmpl_find_row(of_list, 2, name);
    case V_LIST:
        *unsafe = is_one_of(name, list_changing, COUNT_OF(list_changing));
        return tmpl_find_row(of_list, COUNT_OF(of_list), name);
    case V_DICT:
        *unsafe = is_one_of(name, dict_changing, COUNT_OF(dict_changing));
        *known = str_is(name, "fromkeys");
        return tmpl_find_row(of_dict, COUNT_OF(of_dict), name);
    case V_LOOP: return tmpl_find_row(of_loop, COUNT_OF(of_loop), name);
    default: return NULL;
    }
}
