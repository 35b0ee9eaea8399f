/* tmpl_eval.c: expressions to values. Every node costs a step, and nesting is counted, so that whatever a template does
 * ends. Next: tmpl_ops.c, tmpl_attr.c, and the tables of what can be called: tmpl_filter.c, tmpl_test.c, tmpl_method.c.
 */
#include "tmpl/tmpl_int.h"

val tmpl_fail(render *r, err_code code, const char *format, ...) {
    char text[200];
    va_list args;
    if (r->code) return VAL_NONE;
    va_start(args, format);
    fmt_v(text, sizeof text, format, args);
    va_end(args);
    r->code = ERR(r->e, code, "template line %u: %s", r->line, text);
    return VAL_NONE;
}

bool tmpl_step(render *r, size_t bytes) {
    uint64_t cost = 1 + bytes / 64;
    if (r->code) return false;
    if (cost > r->steps) {
        tmpl_fail(r, ERR_LIMIT, "the template takes too many steps");
        return false;
    }
    r->steps -= cost;
    if (r->steps > r->yield_at) return true;
    r->yield_at = r->steps - MIN(r->steps, TMPL_YIELD_STEPS);
    if (yield_now(r->yield)) tmpl_fail(r, ERR_CANCELLED, "cancelled");
    return !r->code;
}

/* ---- calls ----------------------------------------------------------------------------------------- */

typedef struct call_builder {
    val *at;
    keyword *named;
    size_t n, n_named;
} call_builder;

/* How much room the arguments take; * and ** are counted when they are known. */
static void unpack(render *r, call_builder *b, val of, bool named) {
    walk w;
    val item;
    if (named && of.kind != V_DICT) {
        tmpl_fail(r, ERR_FORMAT, "a %s behind ** is no dict", tmpl_type_name(of));
    } else if (named) {
        keyword *all = tmpl_alloc(r, b->n_named + of.dict->n, sizeof *all);
        if (!all) return;
        if (b->n_named) memcpy(all, b->named, b->n_named * sizeof *all);
        b->named = all;
        for (uint32_t i = 0; i < of.dict->n && !r->code; i++) {
            if (of.dict->at[i].key.kind != V_STR) tmpl_fail(r, ERR_FORMAT, "names of arguments must be texts");
            b->named[b->n_named++] = (keyword){text_of(of.dict->at[i].key), of.dict->at[i].value};
        }
    } else if (tmpl_walk(r, &w, of)) {
        val_list l = {NULL, 0};
        for (size_t i = 0; i < b->n; i++) tmpl_push(r, &l, b->at[i]);
        while (tmpl_next(r, &w, &item)) tmpl_push(r, &l, item);
        b->at = l.at;
        b->n = l.n;
    }
}

/* The arguments of a call, in the arena: a generator may need them later. caller: of a call block, or V_MISSING. */
static call *build_call(render *r, frame *f, const node *list, val self, str name, val caller) {
    size_t n = 0, n_named = 0;
    for (const node *a = list; a; a = a->next) {
        n += a->kind != N_KEYWORD;
        n_named += a->kind == N_KEYWORD;
    }
    call *c = tmpl_alloc(r, 1, sizeof *c);
    call_builder b = {0};
    if (n) b.at = tmpl_alloc(r, n, sizeof *b.at);
    if (n_named) b.named = tmpl_alloc(r, n_named, sizeof *b.named);
    for (const node *a = list; a && !r->code; a = a->next) {
        val v = tmpl_eval(r, f, a->kind == N_KEYWORD || a->kind == N_STAR || a->kind == N_STAR_STAR ? a->a : a);
        if (r->code) break;
        if (a->kind == N_KEYWORD) b.named[b.n_named++] = (keyword){a->name, v};
        else if (a->kind == N_STAR || a->kind == N_STAR_STAR) unpack(r, &b, v, a->kind == N_STAR_STAR);
        else b.at[b.n++] = v;
    }
    if (r->code) return NULL;
    if (caller.kind != V_MISSING) {
        keyword *all = tmpl_alloc(r, b.n_named + 1, sizeof *all);
        if (!all) return NULL;
        if (b.n_named) memcpy(all, b.named, b.n_named * sizeof *all);
        b.named = all;
        b.named[b.n_named++] = (keyword){STR("caller"), caller};
    }
    *c = (call){self, b.at, b.n, b.named, b.n_named, name};
    return c;
}

/* Which argument a name stands for: its place in "a b c"; SIZE_MAX for none. */
static size_t name_index(const char *names, str name) {
    str rest = names ? str_of(names) : STR("");
    for (size_t i = 0; rest.len; i++) {
        size_t end = MIN(str_find(rest, STR(" ")), rest.len);
        if (str_eq(str_cut(rest, 0, end), name)) return i;
        rest = str_cut(rest, end + 1, rest.len);
    }
    return SIZE_MAX;
}

val tmpl_run_row(render *r, const callable *row, const call *c) {
    val p[CALL_ARGS_MAX] = {{0}};
    size_t most = row->args & 15, least = row->args >> 4;
    if (most == CALL_ANY) return row->run(r, c, p);
    int len = (int)MIN(c->name.len, (size_t)40);
    if (c->n > most)
        return tmpl_fail(r, ERR_FORMAT, "'%.*s' takes %zu arguments at most, seen %zu", len, c->name.ptr, most,
                         c->n);
    for (size_t i = 0; i < c->n; i++) p[i] = c->at[i];
    for (size_t k = 0; k < c->n_named; k++) {
        size_t i = name_index(row->names, c->named[k].name);
        if (i >= most || p[i].kind != V_MISSING)
            return tmpl_fail(r, ERR_FORMAT, "'%.*s' has no argument '%.*s', or has it twice", len, c->name.ptr,
                             (int)MIN(c->named[k].name.len, (size_t)40), c->named[k].name.ptr);
        p[i] = c->named[k].value;
    }
    for (size_t i = 0; i < least; i++)
        if (p[i].kind == V_MISSING)
            return tmpl_fail(r, ERR_FORMAT, "'%.*s' wants %zu arguments, seen %zu", len, c->name.ptr, least,
                             c->n + c->n_named);
    return row->run(r, c, p);
}

str tmpl_row_name(const callable *row) {
    size_t n = 0;
    while (n < sizeof row->name && row->name[n]) n++;
    return (str){row->name, n};
}

const callable *tmpl_find_row(const callable *rows, size_t n, str name) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(name, tmpl_row_name(&rows[i]))) return &rows[i];
    return NULL;
}

static val call_value(render *r, val callee, const call *c) {
    call with_self = *c;
    const callable *row;
    switch (callee.kind) {
    case V_MACRO: return tmpl_call_macro(r, callee.macro, c);
    case V_METHOD:
    case V_FUNCTION:
        if (callee.kind == V_METHOD) with_self.self = callee.bound->self;
        row = callee.kind == V_METHOD ? callee.bound->row : callee.row;
        with_self.name = tmpl_row_name(row);
        return tmpl_run_row(r, row, &with_self);
    case V_UNDEFINED: return tmpl_undefined(r, callee);
    default: return tmpl_fail(r, ERR_FORMAT, "a %s cannot be called", tmpl_type_name(callee));
    }
}

val tmpl_eval_call(render *r, frame *f, const node *n, val caller) {
    val callee = tmpl_eval(r, f, n->a);
    if (r->code) return VAL_NONE;
    const call *c = build_call(r, f, n->b, VAL_MISSING, STR("macro"), caller);
    r->line = n->line;
    return r->code ? VAL_NONE : call_value(r, callee, c);
}

static val eval_row(render *r, frame *f, const node *n) {
    val input = tmpl_eval(r, f, n->a);
    if (r->code) return VAL_NONE;
    if (!n->row)
        return tmpl_fail(r, ERR_UNSUPPORTED, "no %s named '%.*s'", n->kind == N_FILTER ? "filter" : "test",
                         (int)MIN(n->name.len, (size_t)60), n->name.ptr);
    const call *c = build_call(r, f, n->b, input, n->name, VAL_MISSING);
    r->line = n->line;
    if (r->code) return VAL_NONE;
    return n->kind == N_FILTER ? tmpl_run_row(r, n->row, c) : val_bool(tmpl_test_row(r, n->row, c));
}

/* ---- the other nodes ------------------------------------------------------------------------------- */

static val eval_name(render *r, frame *f, const node *n) {
    for (uint16_t h = n->hops; h; h--) f = f->parent;
    val v = f->slots[n->slot];
    (void)r;
    return v.kind == V_MISSING ? val_text(V_UNDEFINED, UNDEFINED_NAME, n->name) : v;
}

static val eval_items(render *r, frame *f, const node *n) {
    size_t count = 0, i = 0;
    for (const node *a = n->a; a; a = a->next) count++;
    val out = tmpl_list(r, n->kind == N_LIST ? V_LIST : V_TUPLE, count);
    for (const node *a = n->a; a && !r->code; a = a->next) out.list->at[i++] = tmpl_eval(r, f, a);
    return r->code ? VAL_NONE : out;
}

static val eval_dict(render *r, frame *f, const node *n) {
    val_dict *d = tmpl_dict(r);
    for (const node *pair = n->a; pair && !r->code; pair = pair->next) {
        val key = tmpl_eval(r, f, pair->a), value = tmpl_eval(r, f, pair->b);
        if (!r->code) tmpl_dict_put(r, d, key, value);
    }
    return r->code ? VAL_NONE : (val){.kind = V_DICT, .dict = d};
}

static bool compare(render *r, int op, val a, val b) {
    switch (op) {
    case OP_EQ: return tmpl_equal(r, a, b);
    case OP_NE: return !tmpl_equal(r, a, b);
    case OP_IN: return tmpl_contains(r, b, a);
    case OP_NOT_IN: return !tmpl_contains(r, b, a);
    default: break;
    }
    int order = tmpl_order(r, a, b);
    if (order == 2) return false; /* NaN */
    return op == '<' ? order < 0 : op == '>' ? order > 0 : op == OP_LE ? order <= 0 : order >= 0;
}

static val eval_comparison(render *r, frame *f, const node *n) {
    val a = tmpl_eval(r, f, n->a);
    bool is = true;
    for (const node *o = n->b; o && is && !r->code; o = o->next) {
        val b = tmpl_eval(r, f, o->a);
        r->line = o->line;
        is = !r->code && compare(r, o->op, a, b);
        a = b;
    }
    return val_bool(is);
}

static val eval_concat(render *r, frame *f, const node *n) {
    str s = STR("");
    val pieces = eval_items(r, f, n);
    for (size_t i = 0; !r->code && i < pieces.list->n; i++) s = tmpl_concat(r, s, tmpl_text(r, pieces.list->at[i]));
    return val_str(s);
}

static val eval_slice(render *r, frame *f, const node *n) {
    val of = tmpl_eval(r, f, n->a), from = n->b ? tmpl_eval(r, f, n->b) : VAL_NONE;
    val to = n->c ? tmpl_eval(r, f, n->c) : VAL_NONE, step = n->d ? tmpl_eval(r, f, n->d) : VAL_NONE;
    r->line = n->line;
    return r->code ? VAL_NONE : tmpl_slice(r, of, from, to, step);
}

/* Nodes with two operands, both of which are always evaluated. */
static val eval_two(render *r, frame *f, const node *n) {
    val a = tmpl_eval(r, f, n->a), b = r->code ? VAL_NONE : tmpl_eval(r, f, n->b);
    r->line = n->line;
    if (r->code) return VAL_NONE;
    return n->kind == N_ITEM ? tmpl_item(r, a, b) : tmpl_binary(r, n->op, a, b);
}

static val eval_one(render *r, frame *f, const node *n) {
    val a = tmpl_eval(r, f, n->a);
    r->line = n->line;
    if (r->code) return VAL_NONE;
    switch (n->kind) {
    case N_ATTR: return tmpl_attr(r, a, n->name);
    case N_NOT: return val_bool(!tmpl_truth(r, a));
    case N_NEGATE: return tmpl_negate(r, a);
    default: /* N_PLUS: of a bool, an int */
        if (a.kind == V_UNDEFINED) return tmpl_undefined(r, a);
        if (!is_number(a)) return tmpl_fail(r, ERR_FORMAT, "a %s has no sign", tmpl_type_name(a));
        return a.kind == V_FLOAT ? a : val_int(whole_of(a));
    }
}

static val eval_choice(render *r, frame *f, const node *n) {
    val a = tmpl_eval(r, f, n->a);
    if (r->code) return VAL_NONE;
    bool yes = tmpl_truth(r, a);
    if (n->kind == N_AND) return yes ? tmpl_eval(r, f, n->b) : a;
    if (n->kind == N_OR) return yes ? a : tmpl_eval(r, f, n->b);
    if (yes) return tmpl_eval(r, f, n->b);
    return n->c ? tmpl_eval(r, f, n->c) : val_hint(STR("an inline if without an else was not true"));
}

static val eval(render *r, frame *f, const node *n) {
    switch (n->kind) {
    case N_CONST: return n->constant;
    case N_NAME: return eval_name(r, f, n);
    case N_ITEM:
    case N_BINARY: return eval_two(r, f, n);
    case N_ATTR:
    case N_NOT:
    case N_NEGATE:
    case N_PLUS: return eval_one(r, f, n);
    case N_AND:
    case N_OR:
    case N_COND: return eval_choice(r, f, n);
    case N_CALL: return tmpl_eval_call(r, f, n, VAL_MISSING);
    case N_FILTER:
    case N_TEST: return eval_row(r, f, n);
    case N_LIST:
    case N_TUPLE: return eval_items(r, f, n);
    case N_DICT: return eval_dict(r, f, n);
    case N_COMPARE: return eval_comparison(r, f, n);
    case N_CONCAT: return eval_concat(r, f, n);
    case N_SLICE: return eval_slice(r, f, n);
    case N_CAPTURED: return val_str(r->captured);
    default: return tmpl_fail(r, ERR_INTERNAL, "node %d is no expression", n->kind);
    }
}

val tmpl_eval(render *r, frame *f, const node *n) {
    r->line = n->line;
    if (r->depth >= TMPL_DEPTH_MAX)
        return tmpl_fail(r, ERR_LIMIT, "evaluation is nested more than %d deep", TMPL_DEPTH_MAX);
    if (!tmpl_step(r, 0)) return VAL_NONE;
    r->depth++;
    val v = eval(r, f, n);
    r->depth--;
    return v;
}
