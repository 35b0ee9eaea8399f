/* tmpl_value.c: containers: lists, dicts in the order of their keys, and everything that can be walked. Next:
 * tmpl_ops.c for what is done with values, tmpl_text.c for how they look.
 */
#include "tmpl/tmpl_int.h"

enum { DICT_SEARCHED_MAX = 8, DICT_FIRST = 4 }; /* larger dicts have a hash table */

void *tmpl_alloc(render *r, size_t count, size_t size) {
    size_t bytes;
    void *at = NULL;
    if (!r->code && mul_size(count, size, &bytes)) {
        tmpl_step(r, bytes);
        at = r->code ? NULL : arena_alloc(&r->mem, bytes, 8);
        if (!at && !r->code) tmpl_fail(r, ERR_MEMORY, "the render needs more memory than it may have");
    }
    return at;
}

/* ---- lists ----------------------------------------------------------------------------------------- */

val tmpl_list(render *r, val_kind kind, size_t n) {
    val_list *l = tmpl_alloc(r, 1, sizeof *l);
    val *at = n ? tmpl_alloc(r, n, sizeof *at) : NULL;
    if (r->code) return VAL_NONE;
    *l = (val_list){at, n};
    return (val){.kind = (uint8_t)kind, .list = l};
}

static val pair(render *r, val a, val b) {
    val v = tmpl_list(r, V_TUPLE, 2);
    if (r->code) return v;
    v.list->at[0] = a;
    v.list->at[1] = b;
    return v;
}

/* Doubles at powers of two, so that n tells the capacity. For lists that only their maker has seen. */
void tmpl_push(render *r, val_list *list, val v) {
    size_t n = list->n;
    if (n == 0 || (n >= 4 && !(n & (n - 1)))) {
        val *at = tmpl_alloc(r, n ? 2 * n : 4, sizeof *at);
        if (at && n) memcpy(at, list->at, n * sizeof *at);
        list->at = at;
    }
    if (r->code) return;
    list->at[list->n++] = v;
}

/* ---- dicts ----------------------------------------------------------------------------------------- */

val_dict *tmpl_dict(render *r) { return tmpl_alloc(r, 1, sizeof(val_dict)); }

static uint64_t hash_key(val key) {
    if (key.kind == V_STR) return hash_bytes(key.chars, key.len, 1);
    if (is_number(key)) { /* 1, 1.0 and true are one key */
        double f = float_of(key);
        f = f == 0 ? 0 : f;
        return hash_bytes(&f, sizeof f, 2);
    }
    uint64_t h = key.kind;
    if (key.kind == V_TUPLE)
        for (size_t i = 0; i < key.list->n; i++) h = h * 0x9E3779B97F4A7C15u + hash_key(key.list->at[i]);
    return h;
}

/* Depth is bounded: tuples nest as deep as tmpl_equal and others let them, and this looks at a key once. */
static bool hashable(val key, int depth) {
    if (key.kind == V_LIST || key.kind == V_DICT || depth > TMPL_NEST_MAX) return false;
    if (key.kind == V_TUPLE)
        for (size_t i = 0; i < key.list->n; i++)
            if (!hashable(key.list->at[i], depth + 1)) return false;
    return true;
}

bool tmpl_can_be_key(val key) { return hashable(key, 0); }

/* The entry's index, or n; *slot where its place in the table is. */
static size_t dict_index(render *r, const val_dict *d, val key, size_t *slot) {
    size_t i = 0;
    if (!d->slots) {
        while (i < d->n && !tmpl_equal(r, d->at[i].key, key)) i++;
        return i;
    }
    for (i = hash_key(key) & d->mask; d->slots[i]; i = (i + 1) & d->mask)
        if (tmpl_equal(r, d->at[d->slots[i] - 1].key, key)) break;
    *slot = i;
    return d->slots[i] ? d->slots[i] - 1 : d->n;
}

val *tmpl_dict_find(render *r, const val_dict *d, val key) {
    size_t slot;
    if (!tmpl_can_be_key(key)) {
        tmpl_fail(r, ERR_FORMAT, "a %s cannot be the key of a dict", tmpl_type_name(key));
        return NULL;
    }
    size_t i = dict_index(r, d, key, &slot);
    return i < d->n ? &d->at[i].value : NULL;
}

val *tmpl_dict_find_str(const val_dict *d, str key) {
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++)
            if (d->at[i].key.kind == V_STR && str_eq(text_of(d->at[i].key), key)) return &d->at[i].value;
        return NULL;
    }
    for (size_t i = hash_bytes(key.ptr, key.len, 1) & d->mask; d->slots[i]; i = (i + 1) & d->mask) {
        dict_entry *e = &d->at[d->slots[i] - 1];
        if (e->key.kind == V_STR && str_eq(text_of(e->key), key)) return &e->value;
    }
    return NULL;
}

static void dict_grow(render *r, val_dict *d) {
    uint32_t cap = d->cap ? 2 * d->cap : DICT_FIRST;
    dict_entry *at = tmpl_alloc(r, cap, sizeof *at);
    uint32_t *slots = cap > DICT_SEARCHED_MAX ? tmpl_alloc(r, 2 * (size_t)cap, sizeof *slots) : NULL;
    if (r->code) return;
    if (d->n) memcpy(at, d->at, d->n * sizeof *at);
    *d = (val_dict){at, d->n, cap, slots, 2 * cap - 1};
    for (uint32_t i = 0; slots && i < d->n; i++) {
        size_t s = hash_key(at[i].key) & d->mask;
        while (slots[s]) s = (s + 1) & d->mask;
        slots[s] = i + 1;
    }
}

void tmpl_dict_put(render *r, val_dict *d, val key, val value) {
    size_t slot = 0;
    val *old = d ? tmpl_dict_find(r, d, key) : NULL;
    if (r->code) return;
    if (old) {
        *old = value;
        return;
    }
    if (d->n == d->cap) dict_grow(r, d);
    if (r->code) return;
    dict_index(r, d, key, &slot);
    d->at[d->n++] = (dict_entry){key, value};
    if (d->slots) d->slots[slot] = d->n;
}

/* The depth of a JSON tree is bounded by its reader. */
val tmpl_copy_json(render *r, const json_value *v) {
    val out;
    switch (v->kind) {
    case JSON_BOOL: return val_bool(v->b);
    case JSON_INT: return val_int(v->i);
    case JSON_FLOAT: return val_float(v->f);
    case JSON_STR: return val_str(json_str(v));
    case JSON_BIG: return val_text(V_BIG, 0, json_str(v));
    case JSON_ARRAY:
        out = tmpl_list(r, V_LIST, v->count);
        for (uint32_t i = 0; i < v->count && !r->code; i++) out.list->at[i] = tmpl_copy_json(r, &v->items[i]);
        return out;
    case JSON_OBJECT:
        out = (val){.kind = V_DICT, .dict = tmpl_dict(r)};
        for (uint32_t i = 0; i < v->count && !r->code; i++)
            tmpl_dict_put(r, out.dict, val_str(v->members[i].key), tmpl_copy_json(r, &v->members[i].value));
        return out;
    default: return VAL_NONE;
    }
}

/* ---- walking --------------------------------------------------------------------------------------- */

int64_t tmpl_length(render *r, val v) {
    tmpl_step(r, v.kind == V_STR ? v.len : 0);
    switch (v.kind) {
    case V_UNDEFINED: return 0;
    case V_STR: return (int64_t)tmpl_count_chars(text_of(v));
    case V_LIST:
    case V_TUPLE: return (int64_t)v.list->n;
    case V_DICT:
    case V_VIEW: return v.dict->n;
    case V_RANGE: return (int64_t)v.range->n;
    default: return -1;
    }
}

bool tmpl_iterable(val v) {
    return v.kind == V_ITER || v.kind == V_UNDEFINED || (v.kind >= V_STR && v.kind <= V_RANGE);
}

bool tmpl_walk(render *r, walk *w, val of) {
    *w = (walk){of, 0};
    if (!tmpl_iterable(of)) tmpl_fail(r, ERR_FORMAT, "a %s cannot be walked through", tmpl_type_name(of));
    return !r->code;
}

bool tmpl_next(render *r, walk *w, val *out) {
    size_t len, i = w->at;
    if (!tmpl_step(r, 0)) return false;
    switch (w->of.kind) {
    case V_STR:
        if (i >= w->of.len) return false;
        utf8_decode(w->of.chars + i, w->of.len - i, &len);
        *out = val_str(str_cut(text_of(w->of), i, len));
        w->at += len;
        return true;
    case V_LIST:
    case V_TUPLE:
        if (i >= w->of.list->n) return false;
        *out = w->of.list->at[i];
        break;
    case V_DICT:
    case V_VIEW: {
        if (i >= w->of.dict->n) return false;
        const dict_entry *e = &w->of.dict->at[i];
        int which = w->of.kind == V_DICT ? VIEW_KEYS : w->of.sub;
        *out = which == VIEW_KEYS ? e->key : which == VIEW_VALUES ? e->value : pair(r, e->key, e->value);
        break;
    }
    case V_RANGE:
        if (i >= w->of.range->n) return false;
        *out = val_int(w->of.range->from + (int64_t)i * w->of.range->step);
        break;
    case V_ITER: {
        if (r->depth >= TMPL_DEPTH_MAX) {
            tmpl_fail(r, ERR_LIMIT, "filters of filters of filters are nested too deep");
            return false;
        }
        r->depth++;
        bool more = w->of.iter->next(r, w->of.iter, out);
        r->depth--;
        return more && !r->code;
    }
    default: return false;
    }
    w->at++;
    return !r->code;
}

val tmpl_list_of(render *r, val v) {
    val out = tmpl_list(r, V_LIST, 0), item;
    walk w;
    if (r->code || !tmpl_walk(r, &w, v)) return VAL_NONE;
    while (tmpl_next(r, &w, &item)) tmpl_push(r, out.list, item);
    return out;
}

/* A merge sort: it keeps the order of equals, and its steps do not depend on what a hostile template makes of them.
 * keys has a key for each item, or is the items. */
val tmpl_sort(render *r, val items, val keys, bool reverse) {
    size_t n = items.list->n;
    val out = tmpl_list(r, V_LIST, n);
    uint32_t *from = tmpl_alloc(r, n, sizeof *from), *to = tmpl_alloc(r, n, sizeof *to);
    if (r->code) return VAL_NONE;
    const val *key = keys.list->at;
    for (size_t i = 0; i < n; i++) from[i] = (uint32_t)i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = MIN(lo + width, n), hi = MIN(lo + 2 * width, n), a = lo, b = mid;
            for (size_t i = lo; i < hi; i++) {
                bool right = a == mid;
                if (a < mid && b < hi && !r->code) {
                    int order = tmpl_order(r, key[from[b]], key[from[a]]);
                    right = reverse ? order > 0 : order < 0;
                }
                to[i] = right ? from[b++] : from[a++];
            }
        }
        uint32_t *swap = from;
        from = to, to = swap;
    }
    for (size_t i = 0; i < n && !r->code; i++) out.list->at[i] = items.list->at[from[i]];
    return out;
}
