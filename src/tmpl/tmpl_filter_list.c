/* tmpl_filter_list.c: the filters that walk through sequences. Those that are generators in jinja2 are generators here:
 * they do nothing until somebody asks, can be walked once, have no length and are always true.
 */
#include "tmpl/tmpl_filters.h"

/* ---- attributes by name ---------------------------------------------------------------------------- */

static bool is_digits(str s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
    return s.len > 0;
}

/* item.a.0.b for the attribute "a.0.b"; item[attr] for what is no text; the item itself for none. otherwise: what an
 * undefined step becomes, or V_MISSING. */
static val get_path(render *r, val item, val attr, val otherwise) {
    if (attr.kind == V_MISSING || attr.kind == V_NONE) return item;
    if (attr.kind != V_STR) return tmpl_item(r, item, attr);
    str rest = text_of(attr);
    for (bool more = true; more && !r->code;) {
        size_t end = str_find(rest, STR("."));
        str part = str_cut(rest, 0, MIN(end, rest.len));
        more = end != SIZE_MAX;
        if (more) rest = str_cut(rest, end + 1, rest.len);
        item = tmpl_item(r, item, is_digits(part) ? tmpl_parse_int(part, 10) : val_str(part));
        if (item.kind == V_UNDEFINED && otherwise.kind != V_MISSING && otherwise.kind != V_NONE) item = otherwise;
    }
    return item;
}

static val fold_case(render *r, val v, bool case_sensitive) {
    return v.kind == V_STR && !case_sensitive ? val_str(tmpl_lower(r, text_of(v))) : v;
}

/* ---- generators ------------------------------------------------------------------------------------ */

static val new_iter(render *r, const call *c, bool (*next)(render *, val_iter *, val *)) {
    val_iter *i = tmpl_alloc(r, 1, sizeof *i);
    if (!i) return VAL_NONE;
    *i = (val_iter){.next = next, .c = c};
    return (val){.kind = V_ITER, .iter = i};
}

/* The next item of what the filter was applied to. A false one has none, whatever it is. */
static bool draw(render *r, val_iter *i, bool look_at_truth, val *out) {
    if (i->state == ITER_NEW) {
        i->state = ITER_RUNS;
        if (look_at_truth && !tmpl_truth(r, i->c->self)) i->state = ITER_DONE;
        else tmpl_walk(r, &i->source, i->c->self);
    }
    if (r->code || i->state == ITER_DONE) return false;
    if (tmpl_next(r, &i->source, out)) return true;
    i->state = ITER_DONE;
    return false;
}

/* The arguments behind the first `skip`, for a filter or test that another one calls. */
static call inner_call(const call *c, size_t skip, val self, str name) {
    return (call){self, c->at + skip, c->n - skip, c->named, c->n_named, name};
}

static val named(const call *c, const char *name) {
    for (size_t i = 0; i < c->n_named; i++)
        if (str_is(c->named[i].name, name)) return c->named[i].value;
    return VAL_MISSING;
}

static bool next_mapped(render *r, val_iter *i, val *out) {
    const call *c = i->c;
    val item, attr = named(c, "attribute");
    if (!draw(r, i, true, &item)) return false;
    if (!c->n && attr.kind != V_MISSING) {
        *out = get_path(r, item, attr, named(c, "default"));
        return !r->code;
    }
    if (!c->n || c->at[0].kind != V_STR) {
        tmpl_fail(r, ERR_FORMAT, "map wants the name of a filter or attribute=");
        return false;
    }
    const callable *row = tmpl_find_filter(text_of(c->at[0]));
    if (!row) {
        tmpl_fail(r, ERR_UNSUPPORTED, "no filter named '%.*s'", (int)MIN(c->at[0].len, (size_t)60), c->at[0].chars);
        return false;
    }
    call *inner = tmpl_alloc(r, 1, sizeof *inner); /* it may make a generator */
    if (!inner) return false;
    *inner = inner_call(c, 1, item, text_of(c->at[0]));
    *out = tmpl_run_row(r, row, inner);
    return !r->code;
}

static val run_map(render *r, const call *c, const val *p) {
    (void)p;
    return new_iter(r, c, next_mapped);
}

/* Is the item one that the test (argument number `skip`) lets through? Without a test: is it true? */
static bool passes(render *r, const call *c, size_t skip, val item) {
    if (c->n <= skip) return tmpl_truth(r, item);
    val name = c->at[skip];
    const callable *row = name.kind == V_STR ? tmpl_find_test(text_of(name)) : NULL;
    if (!row) {
        tmpl_fail(r, ERR_UNSUPPORTED, "no test named '%.*s'", name.kind == V_STR ? (int)MIN(name.len, (size_t)60) : 1,
                  name.kind == V_STR ? name.chars : "?");
        return false;
    }
    call inner = inner_call(c, skip + 1, item, text_of(name));
    return tmpl_test_row(r, row, &inner);
}

static bool next_selected(render *r, val_iter *i, bool by_attr, bool wanted, val *out) {
    while (draw(r, i, true, out)) {
        if (by_attr && !i->c->n) {
            tmpl_fail(r, ERR_FORMAT, "the name of an attribute is missing");
            return false;
        }
        val judged = by_attr ? get_path(r, *out, i->c->at[0], VAL_MISSING) : *out;
        if (!r->code && passes(r, i->c, by_attr, judged) == wanted && !r->code) return true;
    }
    return false;
}

static bool next_select(render *r, val_iter *i, val *out) { return next_selected(r, i, false, true, out); }
static bool next_reject(render *r, val_iter *i, val *out) { return next_selected(r, i, false, false, out); }
static bool next_selectattr(render *r, val_iter *i, val *out) { return next_selected(r, i, true, true, out); }
static bool next_rejectattr(render *r, val_iter *i, val *out) { return next_selected(r, i, true, false, out); }

static val run_select(render *r, const call *c, const val *p) {
    (void)p;
    return new_iter(r, c, next_select);
}
static val run_reject(render *r, const call *c, const val *p) {
    (void)p;
    return new_iter(r, c, next_reject);
}
static val run_selectattr(render *r, const call *c, const val *p) {
    (void)p;
    return new_iter(r, c, next_selectattr);
}
static val run_rejectattr(render *r, const call *c, const val *p) {
    (void)p;
    return new_iter(r, c, next_rejectattr);
}

static val arg(const call *c, size_t i, const char *name) { return i < c->n ? c->at[i] : named(c, name); }

static bool next_unique(render *r, val_iter *i, val *out) {
    bool case_sensitive = tmpl_truth(r, arg(i->c, 0, "case_sensitive"));
    if (!i->seen) i->seen = tmpl_dict(r);
    while (draw(r, i, false, out)) {
        val key = fold_case(r, get_path(r, *out, arg(i->c, 1, "attribute"), VAL_MISSING), case_sensitive);
        if (r->code || tmpl_dict_find(r, i->seen, key)) continue;
        tmpl_dict_put(r, i->seen, key, VAL_NONE);
        return !r->code;
    }
    return false;
}

static val run_unique(render *r, const call *c, const val *p) {
    (void)p;
    return new_iter(r, c, next_unique);
}

static bool next_pair(render *r, val_iter *i, val *out) {
    if (i->state == ITER_NEW) {
        if (i->c->self.kind != V_DICT && i->c->self.kind != V_UNDEFINED) {
            tmpl_fail(r, ERR_FORMAT, "items of a %s, wanted a dict", tmpl_type_name(i->c->self));
            return false;
        }
        i->source.of = i->c->self;
        if (i->c->self.kind == V_DICT) i->source.of.kind = V_VIEW;
        i->source.of.sub = VIEW_ITEMS;
        i->state = ITER_RUNS;
    }
    return tmpl_next(r, &i->source, out);
}

static val run_items(render *r, const call *c, const val *p) {
    (void)p;
    return new_iter(r, c, next_pair);
}

static bool next_batch(render *r, val_iter *i, val *out) {
    int64_t size;
    val item, fill = arg(i->c, 1, "fill_with");
    if (!tmpl_want_int(r, arg(i->c, 0, "linecount"), &size)) return false;
    *out = tmpl_list(r, V_LIST, 0);
    while (!r->code && (out->list->n == 0 || (int64_t)out->list->n != size) && draw(r, i, false, &item))
        tmpl_push(r, out->list, item);
    if (r->code || !out->list->n) return false;
    while (fill.kind != V_MISSING && fill.kind != V_NONE && (int64_t)out->list->n < size && !r->code)
        tmpl_push(r, out->list, fill);
    return !r->code;
}

static val run_batch(render *r, const call *c, const val *p) {
    (void)p;
    return new_iter(r, c, next_batch);
}

static bool next_reversed(render *r, val_iter *i, val *out) {
    if (i->state == ITER_NEW) {
        i->source.at = i->source.of.list->n;
        i->state = ITER_RUNS;
    }
    if (!i->source.at || i->source.at > i->source.of.list->n || !tmpl_step(r, 0)) return false;
    *out = i->source.of.list->at[--i->source.at];
    return true;
}

static val run_reverse(render *r, const call *c, const val *p) {
    (void)p;
    if (c->self.kind == V_STR)
        return tmpl_slice(r, c->self, VAL_NONE, VAL_NONE, val_int(-1));
    val all = c->self.kind == V_LIST ? c->self : tmpl_list_of(r, c->self);
    if (c->self.kind == V_ITER && !r->code) /* Python cannot walk it backwards: jinja2 makes a list of it */
        return tmpl_slice(r, all, VAL_NONE, VAL_NONE, val_int(-1));
    val v = new_iter(r, c, next_reversed);
    if (!r->code) v.iter->source.of = all;
    return v;
}

/* ---- whole sequences ------------------------------------------------------------------------------- */

static val run_list(render *r, const call *c, const val *p) {
    (void)p;
    return tmpl_list_of(r, c->self);
}

static val run_join(render *r, const call *c, const val *p) {
    str between = p[0].kind == V_MISSING ? STR("") : tmpl_text(r, p[0]);
    size_t mark = tmpl_capture(r);
    walk w;
    val item;
    if (!tmpl_walk(r, &w, c->self)) return VAL_NONE;
    for (size_t i = 0; tmpl_next(r, &w, &item); i++) {
        if (i) tmpl_put(r, between);
        item = get_path(r, item, p[1], VAL_MISSING);
        if (!r->code) tmpl_put(r, tmpl_text(r, item));
    }
    return val_str(tmpl_captured(r, mark));
}

static val run_first(render *r, const call *c, const val *p) {
    walk w;
    val item;
    (void)p;
    if (!tmpl_walk(r, &w, c->self)) return VAL_NONE;
    return tmpl_next(r, &w, &item) ? item : val_hint(STR("No first item, sequence was empty."));
}

static val run_last(render *r, const call *c, const val *p) {
    (void)p;
    if (c->self.kind == V_ITER) return tmpl_fail(r, ERR_FORMAT, "a generator has no last item before it is a list");
    val all = is_list(c->self) ? c->self : tmpl_list_of(r, c->self);
    if (r->code) return VAL_NONE;
    return all.list->n ? all.list->at[all.list->n - 1] : val_hint(STR("No last item, sequence was empty."));
}

static val extreme(render *r, const call *c, const val *p, bool largest) {
    walk w;
    val item, best = VAL_MISSING, best_key = VAL_MISSING;
    bool case_sensitive = tmpl_truth(r, p[0]);
    if (!tmpl_walk(r, &w, c->self)) return VAL_NONE;
    while (tmpl_next(r, &w, &item)) {
        val key = fold_case(r, get_path(r, item, p[1], VAL_MISSING), case_sensitive);
        if (r->code) return VAL_NONE;
        int order = best.kind == V_MISSING ? 0 : tmpl_order(r, key, best_key);
        if (best.kind != V_MISSING && (largest ? order <= 0 || order == 2 : order >= 0)) continue;
        best = item;
        best_key = key;
    }
    return best.kind != V_MISSING ? best : val_hint(STR("No aggregated item, sequence was empty."));
}

static val run_min(render *r, const call *c, const val *p) { return extreme(r, c, p, false); }
static val run_max(render *r, const call *c, const val *p) { return extreme(r, c, p, true); }

static val run_sum(render *r, const call *c, const val *p) {
    val total = p[1].kind == V_MISSING ? val_int(0) : p[1], item;
    walk w;
    if (total.kind == V_STR) return tmpl_fail(r, ERR_FORMAT, "sum of texts");
    if (!tmpl_walk(r, &w, c->self)) return VAL_NONE;
    while (tmpl_next(r, &w, &item)) {
        item = get_path(r, item, p[0], VAL_MISSING);
        if (!r->code) total = tmpl_add(r, total, item);
    }
    return total;
}

/* The attributes of "a,b.c" make a list: that is compared item by item. */
static val sort_key(render *r, val item, val attr, bool case_sensitive) {
    val key = tmpl_list(r, V_LIST, 0);
    str rest = attr.kind == V_STR ? text_of(attr) : STR("");
    for (bool more = true; more && !r->code;) {
        size_t end = str_find(rest, STR(","));
        more = end != SIZE_MAX;
        val part = attr.kind == V_STR ? val_str(str_cut(rest, 0, MIN(end, rest.len))) : attr;
        if (more) rest = str_cut(rest, end + 1, rest.len);
        tmpl_push(r, key.list, fold_case(r, get_path(r, item, part, VAL_MISSING), case_sensitive));
    }
    return key;
}

static val run_sort(render *r, const call *c, const val *p) {
    val all = tmpl_list_of(r, c->self);
    if (r->code) return VAL_NONE;
    val keys = tmpl_list(r, V_LIST, all.list->n);
    bool case_sensitive = tmpl_truth(r, p[1]);
    for (size_t i = 0; i < all.list->n && !r->code; i++)
        keys.list->at[i] = sort_key(r, all.list->at[i], p[2], case_sensitive);
    return r->code ? VAL_NONE : tmpl_sort(r, all, keys, tmpl_truth(r, p[0]));
}

static val run_dictsort(render *r, const call *c, const val *p) {
    bool case_sensitive = tmpl_truth(r, p[0]), by_value = p[1].kind == V_STR && str_is(text_of(p[1]), "value");
    if (c->self.kind == V_UNDEFINED) return tmpl_undefined(r, c->self);
    if (c->self.kind != V_DICT) return tmpl_fail(r, ERR_FORMAT, "dictsort of a %s", tmpl_type_name(c->self));
    if (p[1].kind != V_MISSING && !by_value && !(p[1].kind == V_STR && str_is(text_of(p[1]), "key")))
        return tmpl_fail(r, ERR_FORMAT, "dictsort wants by='key' or by='value'");
    val pairs = tmpl_list_of(r, (val){.kind = V_VIEW, .sub = VIEW_ITEMS, .dict = c->self.dict});
    if (r->code) return VAL_NONE;
    val keys = tmpl_list(r, V_LIST, pairs.list->n);
    for (size_t i = 0; i < pairs.list->n && !r->code; i++)
        keys.list->at[i] = fold_case(r, pairs.list->at[i].list->at[by_value], case_sensitive);
    return r->code ? VAL_NONE : tmpl_sort(r, pairs, keys, tmpl_truth(r, p[2]));
}

const callable tmpl_list_filters[] = {
    {"join", ARGS(0, 2), "d attribute", run_join},
    {"items", ARGS(0, 0), NULL, run_items},
    {"list", ARGS(0, 0), NULL, run_list},
    {"map", ARGS(0, CALL_ANY), NULL, run_map},
    {"select", ARGS(0, CALL_ANY), NULL, run_select},
    {"reject", ARGS(0, CALL_ANY), NULL, run_reject},
    {"selectattr", ARGS(0, CALL_ANY), NULL, run_selectattr},
    {"rejectattr", ARGS(0, CALL_ANY), NULL, run_rejectattr},
    {"unique", ARGS(0, 2), "case_sensitive attribute", run_unique},
    {"batch", ARGS(1, 2), "linecount fill_with", run_batch},
    {"reverse", ARGS(0, 0), NULL, run_reverse},
    {"first", ARGS(0, 0), NULL, run_first},
    {"last", ARGS(0, 0), NULL, run_last},
    {"min", ARGS(0, 2), "case_sensitive attribute", run_min},
    {"max", ARGS(0, 2), "case_sensitive attribute", run_max},
    {"sum", ARGS(0, 2), "attribute start", run_sum},
    {"sort", ARGS(0, 3), "reverse case_sensitive attribute", run_sort},
    {"dictsort", ARGS(0, 3), "case_sensitive by reverse", run_dictsort},
};
const size_t tmpl_n_list_filters = COUNT_OF(tmpl_list_filters);
