/* tmpl_filter.c: the filters that give texts, numbers and JSON, and the table of all. What walks through sequences is
 * in tmpl_filter_list.c. Filters have the arguments of jinja2's, by place or by name; tojson those of transformers'.
 */
#include "tmpl/tmpl_filters.h"

/* ---- texts ----------------------------------------------------------------------------------------- */

static val run_string(render *r, const call *c, const val *p) {
    (void)p;
    return c->self.kind == V_STR ? c->self : val_str(tmpl_text(r, c->self));
}

static val run_safe(render *r, const call *c, const val *p) {
    (void)p;
    return val_text(V_STR, STR_MARKUP, tmpl_text(r, c->self));
}

static val run_escape(render *r, const call *c, const val *p) {
    (void)p;
    return tmpl_escape(r, c->self);
}

/* A text that keeps being markup, or not. */
static val like(val of, str s) { return val_text(V_STR, of.kind == V_STR ? of.sub : STR_PLAIN, s); }

val tmpl_run_upper(render *r, const call *c, const val *p) {
    (void)p;
    return like(c->self, tmpl_upper(r, tmpl_text(r, c->self)));
}

val tmpl_run_lower(render *r, const call *c, const val *p) {
    (void)p;
    return like(c->self, tmpl_lower(r, tmpl_text(r, c->self)));
}

val tmpl_run_capitalize(render *r, const call *c, const val *p) {
    (void)p;
    return like(c->self, tmpl_capitalize(r, tmpl_text(r, c->self)));
}

/* Words begin behind white space and the brackets - ( { [ <. */
static val run_title(render *r, const call *c, const val *p) {
    str s = tmpl_text(r, c->self);
    size_t mark = tmpl_capture(r), len, from = 0;
    (void)p;
    for (size_t i = 0; i <= s.len && !r->code; i += len) {
        uint32_t cp = i < s.len ? utf8_decode(s.ptr + i, s.len - i, &len) : (len = 1, ' ');
        bool parts = tmpl_is_space(cp) || cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<';
        if (!parts) continue;
        tmpl_put(r, tmpl_capitalize(r, str_cut(s, from, i - from)));
        if (i < s.len) tmpl_put(r, str_cut(s, i, len));
        from = i + len;
    }
    return like(c->self, tmpl_captured(r, mark));
}

static val run_trim(render *r, const call *c, const val *p) {
    str s = tmpl_text(r, c->self);
    if (p[0].kind == V_MISSING || p[0].kind == V_NONE) return like(c->self, tmpl_strip(s, true, true));
    if (p[0].kind != V_STR) return tmpl_fail(r, ERR_FORMAT, "trim wants a str, seen %s", tmpl_type_name(p[0]));
    return like(c->self, tmpl_strip_chars(s, text_of(p[0]), true, true));
}

static val run_replace(render *r, const call *c, const val *p) {
    int64_t count = -1;
    if (p[2].kind != V_MISSING && p[2].kind != V_NONE && !tmpl_want_int(r, p[2], &count)) return VAL_NONE;
    return val_str(tmpl_replace(r, tmpl_text(r, c->self), tmpl_text(r, p[0]), tmpl_text(r, p[1]), count));
}

static val run_indent(render *r, const call *c, const val *p) {
    int64_t width = 4;
    bool first = tmpl_truth(r, p[1]), blank = tmpl_truth(r, p[2]);
    if (c->self.kind == V_UNDEFINED) return tmpl_undefined(r, c->self);
    if (c->self.kind != V_STR) return tmpl_fail(r, ERR_FORMAT, "indent wants a str, seen %s", tmpl_type_name(c->self));
    if (p[0].kind != V_MISSING && p[0].kind != V_STR && !tmpl_want_int(r, p[0], &width)) return VAL_NONE;
    val blanks = p[0].kind == V_STR ? p[0] : tmpl_binary(r, '*', val_str(STR(" ")), val_int(width));
    size_t mark = tmpl_capture(r), at = 0, end;
    str line, s = text_of(c->self);
    bool any = false, ends = true;
    if (first) tmpl_put(r, text_of(blanks));
    while (!r->code && tmpl_next_line(s, &at, &line, &end)) {
        if (any) tmpl_put(r, STR("\n"));
        if (any && (line.len || blank)) tmpl_put(r, text_of(blanks));
        tmpl_put(r, line);
        any = true;
        ends = end > 0;
    }
    if (any && ends) tmpl_put(r, STR("\n")); /* jinja2 adds a line end before it splits */
    if (any && ends && blank) tmpl_put(r, text_of(blanks));
    return like(c->self, tmpl_captured(r, mark));
}

static val run_center(render *r, const call *c, const val *p) {
    int64_t width = 80;
    if (p[0].kind != V_MISSING && !tmpl_want_int(r, p[0], &width)) return VAL_NONE;
    return like(c->self, tmpl_center(r, tmpl_text(r, c->self), width, STR(" ")));
}

static val run_format(render *r, const call *c, const val *p) {
    str format = tmpl_text(r, c->self);
    (void)p;
    if (c->n && c->n_named) return tmpl_fail(r, ERR_FORMAT, "format takes values by place or by name, not both");
    val args = tmpl_list(r, V_TUPLE, c->n);
    for (size_t i = 0; i < c->n && !r->code; i++) args.list->at[i] = c->at[i];
    if (c->n_named) args = (val){.kind = V_DICT, .dict = tmpl_dict(r)};
    for (size_t i = 0; i < c->n_named && !r->code; i++)
        tmpl_dict_put(r, args.dict, val_str(c->named[i].name), c->named[i].value);
    return r->code ? VAL_NONE : tmpl_percent(r, format, args);
}

static val run_wordcount(render *r, const call *c, const val *p) {
    str s = tmpl_text(r, c->self);
    size_t len;
    int64_t n = 0;
    bool inside = false;
    (void)p;
    for (size_t i = 0; i < s.len; i += len) {
        bool is = tmpl_is_word(utf8_decode(s.ptr + i, s.len - i, &len));
        n += is && !inside;
        inside = is;
    }
    return val_int(n);
}

/* ---- numbers --------------------------------------------------------------------------------------- */

static val run_abs(render *r, const call *c, const val *p) {
    (void)p;
    if (c->self.kind == V_UNDEFINED) return tmpl_undefined(r, c->self);
    if (!is_number(c->self)) return tmpl_fail(r, ERR_FORMAT, "abs of a %s", tmpl_type_name(c->self));
    if (c->self.kind == V_FLOAT) return val_float(math_abs(c->self.f));
    return whole_of(c->self) < 0 ? tmpl_negate(r, c->self) : val_int(whole_of(c->self));
}

static val whole_of_float(render *r, double f, val otherwise) {
    if (f != f) return otherwise;
    if (f - f != 0) return tmpl_fail(r, ERR_FORMAT, "infinity is no integer");
    if (!(math_abs(f) < 0x1p63)) return tmpl_fail(r, ERR_UNSUPPORTED, "an integer of more than 64 bits");
    return val_int((int64_t)f);
}

static val run_int(render *r, const call *c, const val *p) {
    val v = c->self, otherwise = p[0].kind == V_MISSING ? val_int(0) : p[0];
    int64_t base = 10;
    if (v.kind == V_UNDEFINED) return tmpl_undefined(r, v);
    if (p[1].kind != V_MISSING && !tmpl_want_int(r, p[1], &base)) return VAL_NONE;
    if (base != 0 && (base < 2 || base > 36)) return otherwise;
    if (v.kind == V_BIG) return v;
    if (is_whole(v)) return val_int(whole_of(v));
    if (v.kind == V_FLOAT) return whole_of_float(r, v.f, otherwise);
    if (v.kind != V_STR) return otherwise;
    val i = tmpl_parse_int(text_of(v), (int)base);
    if (i.kind == V_BIG) return tmpl_fail(r, ERR_UNSUPPORTED, "an integer of more than 64 bits");
    if (i.kind == V_INT) return i;
    val f = tmpl_parse_float(text_of(v));
    return f.kind == V_FLOAT ? whole_of_float(r, f.f, otherwise) : otherwise;
}

static val run_float(render *r, const call *c, const val *p) {
    val otherwise = p[0].kind == V_MISSING ? val_float(0) : p[0];
    if (c->self.kind == V_UNDEFINED) return tmpl_undefined(r, c->self);
    if (is_number(c->self)) return val_float(float_of(c->self));
    val f = c->self.kind == V_STR || c->self.kind == V_BIG ? tmpl_parse_float(text_of(c->self)) : VAL_MISSING;
    return f.kind == V_FLOAT ? f : otherwise;
}

static val rounded(render *r, val v, int64_t digits) {
    char text[80];
    double f;
    if (v.kind == V_UNDEFINED) return tmpl_undefined(r, v);
    if (!is_number(v)) return tmpl_fail(r, ERR_FORMAT, "round of a %s", tmpl_type_name(v));
    if (digits < 0) return tmpl_fail(r, ERR_UNSUPPORTED, "rounding to tens");
    if (is_whole(v)) return val_int(whole_of(v));
    if (digits > 22 || !(math_abs(v.f) < 1e22)) return v;
    size_t n = fmt(text, sizeof text, "%.*f", (int)digits, v.f);
    return parse_f64((str){text, n}, &f) ? val_float(f) : v;
}

static val run_round(render *r, const call *c, const val *p) {
    int64_t digits = 0;
    double scale = 1;
    if (p[0].kind != V_MISSING && !tmpl_want_int(r, p[0], &digits)) return VAL_NONE;
    if (p[1].kind == V_MISSING || (p[1].kind == V_STR && str_is(text_of(p[1]), "common")))
        return rounded(r, c->self, digits);
    bool up = p[1].kind == V_STR && str_is(text_of(p[1]), "ceil");
    if (!up && !(p[1].kind == V_STR && str_is(text_of(p[1]), "floor")))
        return tmpl_fail(r, ERR_FORMAT, "round wants common, ceil or floor");
    if (!is_number(c->self)) return tmpl_fail(r, ERR_FORMAT, "round of a %s", tmpl_type_name(c->self));
    if (digits < 0 || digits > 22) return tmpl_fail(r, ERR_UNSUPPORTED, "rounding to %lld digits", (long long)digits);
    for (int64_t i = 0; i < digits; i++) scale *= 10;
    double f = float_of(c->self) * scale;
    return val_float((up ? -math_floor(-f) : math_floor(f)) / scale);
}

/* ---- JSON ------------------------------------------------------------------------------------------ */

typedef struct json_out {
    render *r;
    json_writer w;
    bool sorted;
} json_out;

static void put_bytes(void *to, const char *bytes, size_t n) { tmpl_put(to, (str){bytes, n}); }

static void put_json(json_out *o, val v);

static str json_key(render *r, val key, char *buf, size_t cap) {
    switch (key.kind) {
    case V_STR: return text_of(key);
    case V_NONE: return STR("null");
    case V_BOOL: return key.b ? STR("true") : STR("false");
    case V_INT: return (str){buf, fmt(buf, cap, "%lld", (long long)key.i)};
    case V_FLOAT: return (str){buf, json_float_text(buf, key.f)};
    default: tmpl_fail(r, ERR_FORMAT, "a %s cannot be a key in JSON", tmpl_type_name(key)); return STR("");
    }
}

static void put_json_dict(json_out *o, const val_dict *d) {
    char buf[JSON_FLOAT_TEXT_MAX];
    val keys = tmpl_list_of(o->r, (val){.kind = V_DICT, .dict = (val_dict *)(uintptr_t)d});
    if (o->sorted && !o->r->code) keys = tmpl_sort(o->r, keys, keys, false);
    json_write_open(&o->w, JSON_OBJECT);
    for (uint32_t i = 0; i < d->n && !o->r->code; i++) {
        const val *value = o->sorted ? tmpl_dict_find(o->r, d, keys.list->at[i]) : &d->at[i].value;
        json_write_key(&o->w, json_key(o->r, keys.list->at[i], buf, sizeof buf));
        if (value) put_json(o, *value);
    }
    json_write_close(&o->w, JSON_OBJECT);
}

static void put_json(json_out *o, val v) {
    render *r = o->r;
    if (r->depth >= TMPL_DEPTH_MAX) tmpl_fail(r, ERR_LIMIT, "a value is nested too deep for JSON");
    if (r->code) return;
    r->depth++;
    switch (v.kind) {
    case V_NONE: json_write_null(&o->w); break;
    case V_BOOL: json_write_bool(&o->w, v.b); break;
    case V_INT: json_write_int(&o->w, v.i); break;
    case V_BIG: json_write_raw(&o->w, text_of(v)); break;
    case V_FLOAT: json_write_float(&o->w, v.f); break;
    case V_STR: json_write_str(&o->w, text_of(v)); break;
    case V_LIST:
    case V_TUPLE:
        json_write_open(&o->w, JSON_ARRAY);
        for (size_t i = 0; i < v.list->n && !r->code; i++) put_json(o, v.list->at[i]);
        json_write_close(&o->w, JSON_ARRAY);
        break;
    case V_DICT: put_json_dict(o, v.dict); break;
    default: tmpl_fail(r, ERR_FORMAT, "JSON has nothing for a %s", tmpl_type_name(v));
    }
    r->depth--;
}

static val to_json(render *r, val v, const json_style *style, bool sorted) {
    json_out o = {.r = r, .sorted = sorted};
    size_t mark = tmpl_capture(r);
    json_write_start(&o.w, style, put_bytes, r);
    put_json(&o, v);
    return val_str(tmpl_captured(r, mark));
}

static val run_tojson(render *r, const call *c, const val *p) {
    json_style style = json_spaced;
    style.ascii = tmpl_truth(r, p[0]);
    style.not_finite = true;
    if (p[1].kind != V_MISSING && p[1].kind != V_NONE) {
        int64_t width = 0;
        if (p[1].kind != V_STR && !tmpl_want_int(r, p[1], &width)) return VAL_NONE;
        val blanks = p[1].kind == V_STR ? p[1] : tmpl_binary(r, '*', val_str(STR(" ")), val_int(width));
        style.lines = true;
        style.indent = text_of(blanks);
        style.between = ",";
    }
    if (p[2].kind != V_MISSING && p[2].kind != V_NONE) {
        if (!is_list(p[2]) || p[2].list->n != 2 || p[2].list->at[0].kind != V_STR || p[2].list->at[1].kind != V_STR)
            return tmpl_fail(r, ERR_FORMAT, "separators are two texts");
        style.between = tmpl_cstr(r, text_of(p[2].list->at[0]));
        style.colon = tmpl_cstr(r, text_of(p[2].list->at[1]));
    }
    return r->code ? VAL_NONE : to_json(r, c->self, &style, tmpl_truth(r, p[3]));
}

static val run_from_json(render *r, const call *c, const val *p) {
    json_value v;
    err e;
    (void)p;
    if (c->self.kind == V_UNDEFINED) return tmpl_undefined(r, c->self);
    if (c->self.kind != V_STR)
        return tmpl_fail(r, ERR_FORMAT, "from_json wants a str, seen %s", tmpl_type_name(c->self));
    if (!tmpl_step(r, 16 * c->self.len)) return VAL_NONE;
    if (json_parse(&r->mem, text_of(c->self), &v, &e)) return tmpl_fail(r, e.code, "from_json: %s", e.text);
    return tmpl_copy_json(r, &v);
}

/* ---- anything -------------------------------------------------------------------------------------- */

static val run_default(render *r, const call *c, const val *p) {
    bool missing = c->self.kind == V_UNDEFINED || (tmpl_truth(r, p[1]) && !tmpl_truth(r, c->self));
    return !missing ? c->self : p[0].kind == V_MISSING ? val_str(STR("")) : p[0];
}

static val run_attr(render *r, const call *c, const val *p) {
    if (p[0].kind != V_STR) return tmpl_fail(r, ERR_FORMAT, "attr wants a str, seen %s", tmpl_type_name(p[0]));
    if (c->self.kind == V_DICT) return val_hint(STR("a dict has no such attribute"));
    return tmpl_attr(r, c->self, text_of(p[0]));
}

static val run_length(render *r, const call *c, const val *p) {
    int64_t n = tmpl_length(r, c->self);
    (void)p;
    if (n < 0) return tmpl_fail(r, ERR_FORMAT, "a %s has no length", tmpl_type_name(c->self));
    return val_int(n);
}

static const callable filters[] = {
    {"tojson", ARGS(0, 4), "ensure_ascii indent separators sort_keys", run_tojson},
    {"length", ARGS(0, 0), NULL, run_length},
    {"count", ARGS(0, 0), NULL, run_length},
    {"trim", ARGS(0, 1), "chars", run_trim},
    {"string", ARGS(0, 0), NULL, run_string},
    {"default", ARGS(0, 2), "default_value boolean", run_default},
    {"d", ARGS(0, 2), "default_value boolean", run_default},
    {"safe", ARGS(0, 0), NULL, run_safe},
    {"escape", ARGS(0, 0), NULL, run_escape},
    {"e", ARGS(0, 0), NULL, run_escape},
    {"lower", ARGS(0, 0), NULL, tmpl_run_lower},
    {"upper", ARGS(0, 0), NULL, tmpl_run_upper},
    {"title", ARGS(0, 0), NULL, run_title},
    {"capitalize", ARGS(0, 0), NULL, tmpl_run_capitalize},
    {"replace", ARGS(2, 3), "old new count", run_replace},
    {"from_json", ARGS(0, 0), NULL, run_from_json},
    {"indent", ARGS(0, 3), "width first blank", run_indent},
    {"center", ARGS(0, 1), "width", run_center},
    {"format", ARGS(0, CALL_ANY), NULL, run_format},
    {"wordcount", ARGS(0, 0), NULL, run_wordcount},
    {"int", ARGS(0, 2), "default base", run_int},
    {"float", ARGS(0, 1), "default", run_float},
    {"abs", ARGS(0, 0), NULL, run_abs},
    {"round", ARGS(0, 2), "precision method", run_round},
    {"attr", ARGS(1, 1), "name", run_attr},
};

const callable *tmpl_find_filter(str name) {
    const callable *row = tmpl_find_row(filters, COUNT_OF(filters), name);
    return row ? row : tmpl_find_row(tmpl_list_filters, tmpl_n_list_filters, name);
}
