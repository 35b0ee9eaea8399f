/* tmpl_attr.c: a.b, a[b] and a[b:c:d]. As in jinja2, a.b is an attribute before it is an item: the `items` of a dict is
 * its method even where the dict has such a key; a[b] is the other way round. What is not there is undefined, and only
 * what is then done with it fails.
 */
#include "tmpl/tmpl_int.h"

val tmpl_undefined(render *r, val v) {
    int n = (int)MIN(v.len, (size_t)120);
    if (v.kind != V_UNDEFINED) return VAL_NONE;
    if (v.sub == UNDEFINED_HINT) return tmpl_fail(r, ERR_FORMAT, "%.*s", n, v.chars);
    if (v.sub == UNDEFINED_NAME) return tmpl_fail(r, ERR_FORMAT, "'%.*s' is undefined", n, v.chars);
    return tmpl_fail(r, ERR_FORMAT, "a %s has no attribute '%.*s'", tmpl_type_name((val){.kind = v.of}), n, v.chars);
}

static val no_attr(val of, str name) {
    val v = val_text(V_UNDEFINED, UNDEFINED_ATTR, name);
    v.of = of.kind;
    return v;
}

static val bind(render *r, const callable *row, val self) {
    bound *b = tmpl_alloc(r, 1, sizeof *b);
    if (!b) return VAL_NONE;
    *b = (bound){row, self};
    return (val){.kind = V_METHOD, .bound = b};
}

/* What Python's getattr would find; V_MISSING when nothing. */
static val attribute(render *r, val of, str name) {
    bool known = false, unsafe = false, found = false;
    if (of.kind == V_LOOP) {
        val v = tmpl_loop_attr(r, of.loop, name, &found);
        if (found) return v;
    }
    if (of.kind == V_SPACE) {
        const val *v = tmpl_dict_find_str(of.dict, name);
        return v ? *v : VAL_MISSING;
    }
    if (of.kind == V_MACRO && str_is(name, "name"))
        return of.macro->of->kind == N_MACRO ? val_str(of.macro->of->a->name) : VAL_NONE;
    const callable *row = tmpl_find_method((val_kind)of.kind, name, &known, &unsafe);
    if (row) return bind(r, row, of);
    if (unsafe) return val_hint(STR("a list or dict cannot be changed by a template"));
    if (known)
        return tmpl_fail(r, ERR_UNSUPPORTED, "the method '%.*s' of a %s", (int)MIN(name.len, (size_t)40), name.ptr,
                         tmpl_type_name(of));
    return VAL_MISSING;
}

val tmpl_attr(render *r, val of, str name) {
    if (of.kind == V_UNDEFINED) return tmpl_undefined(r, of);
    val v = attribute(r, of, name);
    if (v.kind != V_MISSING) return v;
    const val *item = of.kind == V_DICT ? tmpl_dict_find_str(of.dict, name) : NULL;
    return item ? *item : no_attr(of, name);
}

static val char_at(str s, size_t offset) {
    size_t len;
    utf8_decode(s.ptr + offset, s.len - offset, &len);
    return val_str(str_cut(s, offset, len));
}

static bool is_sequence(val v) { return v.kind == V_STR || is_list(v) || v.kind == V_RANGE; }

/* i is in range. */
static val element(render *r, val of, size_t i) {
    if (is_list(of)) return of.list->at[i];
    if (of.kind == V_RANGE) return val_int(of.range->from + (int64_t)i * of.range->step);
    tmpl_step(r, of.len);
    return char_at(text_of(of), tmpl_char_offset(text_of(of), i));
}

val tmpl_item(render *r, val of, val key) {
    if (of.kind == V_UNDEFINED) return tmpl_undefined(r, of);
    if (of.kind == V_DICT && tmpl_can_be_key(key)) {
        const val *item =
            key.kind == V_STR ? tmpl_dict_find_str(of.dict, text_of(key)) : tmpl_dict_find(r, of.dict, key);
        if (item) return *item;
    }
    if (is_sequence(of) && is_whole(key)) {
        int64_t i = whole_of(key), n = tmpl_length(r, of);
        if (i < 0) i += n;
        return i < 0 || i >= n ? val_hint(STR("there is no such element")) : element(r, of, (size_t)i);
    }
    if (key.kind != V_STR) return val_hint(STR("there is no such element"));
    val v = attribute(r, of, text_of(key));
    return v.kind == V_MISSING ? no_attr(of, text_of(key)) : v;
}

/* ---- slices ---------------------------------------------------------------------------------------- */

/* A bound of a slice of n items, clipped to [low, high]. */
static int64_t clip(render *r, val v, int64_t n, int64_t low, int64_t high, int64_t otherwise) {
    if (v.kind == V_NONE || v.kind == V_MISSING) return otherwise;
    if (!is_whole(v)) {
        tmpl_fail(r, ERR_FORMAT, "a %s is no index", tmpl_type_name(v));
        return 0;
    }
    int64_t i = whole_of(v);
    if (i < 0) i = i < -n ? low : i + n;
    return MAX(low, MIN(i, high));
}

static val slice_text(render *r, str s, int64_t from, int64_t step, size_t count) {
    tmpl_step(r, s.len);
    if (step == 1) {
        str rest = str_cut(s, tmpl_char_offset(s, (size_t)from), s.len);
        return val_str(str_cut(rest, 0, tmpl_char_offset(rest, count)));
    }
    size_t n = tmpl_count_chars(s), mark = tmpl_capture(r), at = 0;
    uint32_t *offset = tmpl_alloc(r, n + 1, sizeof *offset);
    if (!offset) return VAL_NONE;
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.ptr[i] & 0xC0) != 0x80) offset[at++] = (uint32_t)i;
    for (size_t i = 0; i < count && !r->code; i++) tmpl_put(r, text_of(char_at(s, offset[from + (int64_t)i * step])));
    return val_str(tmpl_captured(r, mark));
}

val tmpl_slice(render *r, val of, val from, val to, val step) {
    if (of.kind == V_UNDEFINED) return tmpl_undefined(r, of);
    if (!is_sequence(of)) return tmpl_fail(r, ERR_FORMAT, "a %s cannot be sliced", tmpl_type_name(of));
    int64_t n = tmpl_length(r, of), by = 1;
    if (step.kind != V_NONE && step.kind != V_MISSING) by = clip(r, step, 0, -INT32_MAX, INT32_MAX, 1);
    if (is_whole(step) && whole_of(step) == 0) return tmpl_fail(r, ERR_FORMAT, "a slice with step zero");
    if (is_whole(step)) by = MAX(-INT32_MAX, MIN(whole_of(step), INT32_MAX));
    int64_t low = by > 0 ? 0 : -1, high = by > 0 ? n : n - 1;
    int64_t start = clip(r, from, n, low, high, by > 0 ? 0 : n - 1);
    int64_t stop = clip(r, to, n, low, high, by > 0 ? n : -1);
    if (r->code) return VAL_NONE;
    int64_t span = by > 0 ? stop - start : start - stop, width = by > 0 ? by : -by;
    size_t count = span > 0 ? (size_t)((span + width - 1) / width) : 0;
    if (of.kind == V_STR) {
        val v = slice_text(r, text_of(of), start, by, count);
        v.sub = of.sub;
        return v;
    }
    if (of.kind == V_RANGE) {
        val_range *x = tmpl_alloc(r, 1, sizeof *x);
        if (!x) return VAL_NONE;
        const val_range *old = of.range;
        *x = (val_range){old->from + start * old->step, old->from + stop * old->step, old->step * by, count};
        return (val){.kind = V_RANGE, .range = x};
    }
    val out = tmpl_list(r, (val_kind)of.kind, count);
    for (size_t i = 0; i < count && !r->code; i++) out.list->at[i] = of.list->at[start + (int64_t)i * by];
    return out;
}
