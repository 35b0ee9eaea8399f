/* json_tree.c: from events to values. Items of open arrays and objects wait on a stack of their own, the innermost on
 * top, and move to the caller's arena together when their container closes: each is copied once.
 */
#include "json/json.h"
#include "plat/plat.h"

enum {
    YIELD_STEPS = 8192,    /* values read, or keys compared, between two looks at the yield hook */
    KEYS_COMPARED_MAX = 8, /* larger objects look for equal keys with a hash table */
};

typedef struct tree {
    arena *out;
    arena stack; /* of json_member, and nothing else but a hash table for a moment */
    size_t n;    /* members on the stack */
    uint64_t seed;
    const yield_hook *yield;
    uint32_t steps;
    bool cancelled;
} tree;

static bool stopped(tree *t) {
    if (!t->cancelled && ++t->steps % YIELD_STEPS == 0) t->cancelled = yield_now(t->yield);
    return t->cancelled;
}

const char *json_kind_name(json_kind kind) {
    static const char *const names[] = {"null",    "a boolean", "an integer", "an integer",
                                        "a float", "a string",  "an array",   "an object"};
    return (unsigned)kind < COUNT_OF(names) ? names[kind] : "?";
}

static json_member *member_at(const tree *t, size_t i) {
    void *base = t->stack.base;
    return (json_member *)base + i;
}

static json_member *push(tree *t) {
    json_member *m = arena_alloc(&t->stack, sizeof(json_member), _Alignof(json_member));
    if (m) t->n++;
    return m;
}

/* Removes the members whose key comes again, after giving the last value to the first; returns how many are left. Does
 * nothing when there is no memory for the table: *ok is false then. */
static size_t merge_keys(tree *t, json_member *m, size_t n, bool *ok) {
    size_t slots = 4, kept = 0;
    while (slots < 2 * n) slots *= 2;
    uint32_t *table = NULL;
    if (n > KEYS_COMPARED_MAX) {
        if (!t->seed) plat_entropy(&t->seed, sizeof t->seed);
        table = arena_array(&t->stack, slots, sizeof(uint32_t));
        *ok = table != NULL;
        if (!table) return n;
    }
    for (size_t i = 0; i < n && !stopped(t); i++) {
        size_t same = kept, at = 0;
        if (table) {
            at = hash_bytes(m[i].key.ptr, m[i].key.len, t->seed) & (slots - 1);
            for (; table[at] && same == kept; at = (at + 1) & (slots - 1))
                if (str_eq(m[table[at] - 1].key, m[i].key)) same = table[at] - 1;
        } else {
            for (same = 0; same < kept && !str_eq(m[same].key, m[i].key); same++) {}
        }
        if (same < kept) {
            m[same].value = m[i].value;
            continue;
        }
        m[kept++] = m[i];
        if (table) table[at] = (uint32_t)kept;
    }
    return kept;
}

/* Moves the members from `first` on into the arena, as what `of` is. */
static bool close_container(tree *t, size_t first, json_value *of) {
    size_t n = t->n - first;
    json_member *m = member_at(t, first);
    bool ok = true;
    if (of->kind == JSON_OBJECT && n > 1) n = merge_keys(t, m, n, &ok);
    if (ok && n && of->kind == JSON_OBJECT) {
        json_member *to = arena_array(t->out, n, sizeof *to);
        if (to) memcpy(to, m, n * sizeof *to);
        of->members = to, ok = to != NULL;
    } else if (ok && n) {
        json_value *to = arena_array(t->out, n, sizeof *to);
        for (size_t i = 0; to && i < n && !stopped(t); i++) to[i] = m[i].value;
        of->items = to, ok = to != NULL;
    }
    of->count = (uint32_t)n;
    t->n = first;
    arena_reset(&t->stack, first * sizeof(json_member));
    return ok;
}

static err_code build(tree *t, json_reader *r, json_value *out, err *e) {
    static const char no_memory[] = "JSON at offset %zu: no memory for the tree";
    size_t opened[JSON_DEPTH_MAX]; /* the index on the stack of each container that is open */
    size_t depth = 0;
    json_event event;
    json_value value;
    str key = {NULL, 0};
    for (;;) {
        if (stopped(t)) return ERR(e, ERR_CANCELLED, "JSON at offset %zu: cancelled", r->at);
        err_code code = json_next(r, &event, &value, e);
        if (code || event == JSON_EVENT_END) return code;
        if (event == JSON_EVENT_KEY) {
            key = json_str(&value);
            continue;
        }
        if (event == JSON_EVENT_CLOSE) {
            size_t at = opened[--depth];
            value = member_at(t, at)->value;
            if (!close_container(t, at + 1, &value)) return ERR(e, ERR_MEMORY, no_memory, r->at);
            member_at(t, at)->value = value;
        } else {
            json_member *m = push(t);
            if (!m) return ERR(e, ERR_MEMORY, no_memory, r->at);
            m->key = key;
            m->value = value;
            key = (str){NULL, 0};
            if (event == JSON_EVENT_VALUE) {
                if (!depth) *out = value;
                continue;
            }
            m->value = (json_value){.kind = event == JSON_EVENT_OBJECT ? JSON_OBJECT : JSON_ARRAY};
            opened[depth++] = t->n - 1;
        }
        if (!depth) *out = member_at(t, 0)->value;
    }
}

err_code json_parse(arena *a, str text, json_value *out, err *e) { return json_parse_yielding(a, text, NULL, out, e); }

err_code json_parse_yielding(arena *a, str text, const yield_hook *yield, json_value *out, err *e) {
    tree t = {.out = a, .yield = yield};
    json_reader r;
    size_t bytes;
    *out = (json_value){.kind = JSON_NULL};
    if (text.len > UINT32_MAX)
        return ERR(e, ERR_LIMIT, "a JSON text of %zu bytes, wanted 4 GiB at most", text.len);
    /* A value takes two bytes of text at least, one while it is an array that is still open; and a hash table eight
     * bytes for a member. */
    if (!mul_size(text.len / 2 + 2 + JSON_DEPTH_MAX, sizeof(json_member) + 16, &bytes))
        return ERR(e, ERR_LIMIT, "a JSON text of %zu bytes is too long for this machine", text.len);
    err_code code = arena_open(&t.stack, a->tag, bytes + 64, e);
    if (!code) {
        json_read(&r, text, a);
        code = build(&t, &r, out, e);
    }
    arena_close(&t.stack);
    return code;
}

const json_value *json_get(const json_value *v, const char *key) {
    if (!v || v->kind != JSON_OBJECT) return NULL;
    str name = str_of(key);
    for (uint32_t i = 0; i < v->count; i++)
        if (str_eq(v->members[i].key, name)) return &v->members[i].value;
    return NULL;
}
