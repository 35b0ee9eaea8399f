/* tmpl_scope.c: what each variable means, decided once, as jinja2 does: scopes are the template, the body of a loop
 * (and its filter, and its else), of a macro, of a call, filter, set or with block; an if is none. A scope's slots are
 * found by a walk over it that stays out of the scopes inside; a second walk gives every name its slot. A name that is
 * set somewhere in a scope is its own there: it begins as a copy of the outer one (each time round, in a loop) and the
 * outer one never changes. A macro sees the variables around it as they are when it is called. Next: tmpl_run.c.
 */
#include "tmpl/tmpl_int.h"

enum { WORK_MAX = 1 << 28 }; /* names compared: real templates need some thousands */

typedef struct resolver {
    arena *mem;
    err *e;
    err_code code;
    scope *now;
    size_t work;
} resolver;

static symbol *find_own(resolver *r, const scope *s, str name) {
    r->work += s->n + 1;
    if (r->work > WORK_MAX && !r->code) r->code = ERR(r->e, ERR_LIMIT, "a template with too many variables and scopes");
    for (size_t i = 0; i < s->n && !r->code; i++)
        if (str_eq(s->at[i].name, name)) return &s->at[i];
    return NULL;
}

/* The symbol in s or around it, and how many scopes up. */
static symbol *find(resolver *r, scope *s, str name, uint16_t *hops) {
    for (*hops = 0; s; s = s->parent, ++*hops) {
        symbol *found = find_own(r, s, name);
        if (found) return found;
    }
    return NULL;
}

static symbol *define(resolver *r, str name, load_kind load) {
    scope *s = r->now;
    symbol *old = find_own(r, s, name);
    if (r->code) return NULL;
    if (!old && s->n == TMPL_NAMES_MAX) {
        r->code = ERR(r->e, ERR_LIMIT, "a template with more than %d variables in one scope", TMPL_NAMES_MAX);
        return NULL;
    }
    if (!old) {
        old = &s->at[s->n++];
        *old = (symbol){.stored = false};
    }
    old->name = name;
    old->load = (uint8_t)load;
    return old;
}

static void load(resolver *r, str name) {
    uint16_t hops;
    if (!find(r, r->now, name, &hops)) define(r, name, LOAD_VARIABLE);
}

static void parameter(resolver *r, str name) {
    symbol *s = define(r, name, LOAD_PARAM);
    if (s) s->stored = true;
}

/* Where a copy of an outer variable comes from; LOAD_MISSING where there is none. */
static void from_outer(resolver *r, symbol *own, load_kind otherwise) {
    uint16_t hops;
    symbol *outer = find(r, r->now->parent, own->name, &hops);
    own->load = (uint8_t)(outer ? LOAD_OUTER : otherwise);
}

static void store(resolver *r, str name) {
    symbol *own = find_own(r, r->now, name);
    if (!own) {
        own = define(r, name, LOAD_MISSING);
        if (!own) return;
        from_outer(r, own, LOAD_MISSING);
    }
    own->stored = true;
}

static void visit_target(resolver *r, const node *n, bool as_parameter) {
    if (!n || r->code) return;
    if (n->kind == N_NAME && as_parameter) parameter(r, n->name);
    else if (n->kind == N_NAME) store(r, n->name);
    else if (n->kind == N_NAMESPACE) load(r, n->a->name);
    else for (n = n->a; n; n = n->next) visit_target(r, n, as_parameter);
}

static void visit_list(resolver *r, const node *list);

typedef struct branch {
    symbol *at;
    size_t n;
} branch;

/* What the scope's symbols would be after this branch, the new ones last; the scope itself is left as it was. */
static branch visit_branch(resolver *r, const node *list) {
    scope *s = r->now;
    branch before = {s->at, s->n}, after;
    if (!list) return before;
    s->at = arena_array(r->mem, TMPL_NAMES_MAX, sizeof(symbol));
    r->work += TMPL_NAMES_MAX;
    if (!s->at) r->code = ERR(r->e, ERR_MEMORY, "no memory for the variables of a template");
    else if (s->n) memcpy(s->at, before.at, s->n * sizeof(symbol));
    if (!r->code) visit_list(r, list);
    after = (branch){s->at, s->n};
    s->at = before.at;
    s->n = before.n;
    return after;
}

/* A name that only some of the three branches set keeps, where they do not, what it had outside. */
static void merge_branches(resolver *r, const branch *b) {
    scope *s = r->now;
    size_t before = s->n;
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < before; k++) s->at[k].stored |= b[i].at[k].stored;
        for (size_t k = before; k < b[i].n && !r->code; k++) {
            symbol *to = find_own(r, s, b[i].at[k].name);
            bool stored = to && to->stored;
            to = define(r, b[i].at[k].name, b[i].at[k].load);
            if (!to) return;
            to->stored = stored || b[i].at[k].stored;
            to->hops = (uint16_t)((stored ? to->hops : 0) + b[i].at[k].stored); /* counts, for a moment, the setters */
        }
    }
    for (size_t k = before; k < s->n; k++) {
        if (s->at[k].stored && s->at[k].hops < 3) from_outer(r, &s->at[k], LOAD_VARIABLE);
        s->at[k].hops = 0;
    }
}

static void visit_if(resolver *r, const node *n) {
    visit_list(r, n->a);
    size_t mark = arena_mark(r->mem);
    branch b[3];
    b[0] = visit_branch(r, n->b);
    b[1] = visit_branch(r, n->c);
    b[2] = visit_branch(r, n->d);
    if (!r->code) merge_branches(r, b);
    arena_reset(r->mem, mark);
}

/* What a statement or an expression does to the scope that it stands in. */
static void visit(resolver *r, const node *n) {
    switch (n->kind) {
    case N_NAME: load(r, n->name); break;
    case N_IF: visit_if(r, n); break;
    case N_FOR: visit_list(r, n->b); break;
    case N_SET:
        visit_list(r, n->b);
        visit_target(r, n->a, false);
        break;
    case N_SET_BLOCK: visit_target(r, n->a, false); break;
    case N_MACRO: store(r, n->a->name); break;
    case N_CALL_BLOCK: visit_list(r, n->a); break;
    case N_FILTER_BLOCK: visit_list(r, n->a); break;
    case N_WITH:
        for (const node *pair = n->a; pair; pair = pair->next) visit_list(r, pair->b);
        break;
    case N_GENERATION: break;
    default:
        visit_list(r, n->a);
        visit_list(r, n->b);
        visit_list(r, n->c);
        visit_list(r, n->d);
    }
}

static void visit_list(resolver *r, const node *list) {
    for (; list && !r->code; list = list->next) visit(r, list);
}

/* ---- the second walk ------------------------------------------------------------------------------- */

static void bind_list(resolver *r, node *list);

static void bind_name(resolver *r, node *n) {
    uint16_t hops;
    symbol *s = find(r, r->now, n->name, &hops);
    if (r->code) return;
    ASSERT(s != NULL);
    scope *at = r->now;
    for (n->hops = 0; n->hops < hops; n->hops++) at = at->parent;
    n->slot = (uint16_t)(s - at->at);
}

static void bind_target(resolver *r, node *n) {
    if (!n || r->code) return;
    if (n->kind == N_NAME) bind_name(r, n);
    else if (n->kind == N_NAMESPACE) bind_name(r, n->a);
    else for (n = n->a; n; n = n->next) bind_target(r, n);
}

static uint16_t slot_of(resolver *r, const char *name) {
    symbol *s = find_own(r, r->now, str_of(name));
    return s ? (uint16_t)(s - r->now->at) : 0;
}

/* Enters a new scope: its symbols are found by visits until seal() is called, which keeps just them. */
static scope *begin_scope(resolver *r) {
    scope *s = arena_alloc(r->mem, sizeof *s, 0);
    symbol *at = arena_array(r->mem, TMPL_NAMES_MAX, sizeof *at);
    if (!s || !at) {
        if (!r->code) r->code = ERR(r->e, ERR_MEMORY, "no memory for the variables of a template");
        return NULL;
    }
    *s = (scope){.parent = r->now, .at = at};
    r->work += TMPL_NAMES_MAX;
    r->now = s;
    return s;
}

/* Nothing was left in the arena behind the symbols: the rest of the room goes back. */
static void seal_scope(resolver *r) {
    scope *s = r->now;
    arena_extend(r->mem, s->at, TMPL_NAMES_MAX * sizeof *s->at, s->n * sizeof *s->at);
    for (size_t i = 0; i < s->n; i++) {
        symbol *own = &s->at[i];
        if (own->load != LOAD_OUTER) continue;
        symbol *outer = find(r, s->parent, own->name, &own->hops);
        if (r->code) return;
        scope *at = s->parent;
        for (uint16_t h = 0; h < own->hops; h++) at = at->parent;
        own->slot = (uint16_t)(outer - at->at);
    }
}

static scope *leave_scope(resolver *r) {
    scope *s = r->now;
    r->now = s->parent;
    return s;
}

/* A body that is a scope and no more. */
static scope *resolve_body(resolver *r, node *body, node *filters) {
    if (!begin_scope(r)) return NULL;
    visit_list(r, body);
    visit_list(r, filters);
    seal_scope(r);
    bind_list(r, body);
    bind_list(r, filters);
    return leave_scope(r);
}

static void resolve_for(resolver *r, node *n) {
    loop_parts *l = n->loop;
    bind_list(r, n->b);
    if (n->c) {
        if (!begin_scope(r)) return;
        parameter(
            r, STR("")); /* in the place of `loop`, which a filter does not have: targets have the slots of the body */
        visit_target(r, n->a, true);
        visit_list(r, n->c);
        seal_scope(r);
        bind_list(r, n->c);
        l->test = leave_scope(r);
    }
    if (!begin_scope(r)) return;
    parameter(r, STR("loop"));
    visit_target(r, n->a, true);
    visit_list(r, n->d);
    seal_scope(r);
    if (r->code) return;
    l->loop_slot = slot_of(r, "loop");
    bind_target(r, n->a);
    bind_list(r, n->d);
    l->body = leave_scope(r);
    if (l->otherwise) l->other = resolve_body(r, l->otherwise, NULL);
}

/* Is the name read anywhere in the list, scopes inside included, before it is set? */
static bool reads(const node *list, const char *name) {
    for (; list; list = list->next) {
        if (list->kind == N_NAME && str_is(list->name, name)) return true;
        if (list->kind == N_FOR && reads(list->loop->otherwise, name)) return true;
        if (reads(list->a, name) || reads(list->b, name) || reads(list->c, name) || reads(list->d, name)) return true;
    }
    return false;
}

static bool has_parameter(const node *list, const char *name) {
    for (; list; list = list->next)
        if (str_is(list->name, name)) return true;
    return false;
}

static void resolve_macro(resolver *r, node *n) {
    macro_parts *m = n->macro;
    if (!begin_scope(r)) return;
    for (node *p = n->b; p; p = p->next) parameter(r, p->name);
    m->caller = reads(n->c, "caller") && !has_parameter(n->b, "caller");
    m->kwargs = reads(n->c, "kwargs") && !has_parameter(n->b, "kwargs");
    m->varargs = reads(n->c, "varargs") && !has_parameter(n->b, "varargs");
    if (m->caller) parameter(r, STR("caller"));
    if (m->kwargs) parameter(r, STR("kwargs"));
    if (m->varargs) parameter(r, STR("varargs"));
    for (node *p = n->b; p; p = p->next) visit_list(r, p->a);
    visit_list(r, n->c);
    seal_scope(r);
    if (r->code) return;
    m->caller_slot = slot_of(r, "caller");
    m->kwargs_slot = slot_of(r, "kwargs");
    m->varargs_slot = slot_of(r, "varargs");
    for (node *p = n->b; p; p = p->next) {
        bind_name(r, p);
        bind_list(r, p->a);
    }
    bind_list(r, n->c);
    m->scope = leave_scope(r);
}

static void resolve_with(resolver *r, node *n) {
    for (node *pair = n->a; pair; pair = pair->next) bind_list(r, pair->b);
    if (!begin_scope(r)) return;
    for (node *pair = n->a; pair; pair = pair->next) visit_target(r, pair->a, true);
    visit_list(r, n->b);
    seal_scope(r);
    if (r->code) return;
    for (node *pair = n->a; pair; pair = pair->next) bind_target(r, pair->a);
    bind_list(r, n->b);
    n->scope = leave_scope(r);
}

static void bind(resolver *r, node *n) {
    switch (n->kind) {
    case N_NAME: bind_name(r, n); break;
    case N_FOR: resolve_for(r, n); break;
    case N_SET:
        bind_target(r, n->a);
        bind_list(r, n->b);
        break;
    case N_SET_BLOCK:
        bind_target(r, n->a);
        n->scope = resolve_body(r, n->b, n->c);
        break;
    case N_MACRO:
        bind_name(r, n->a);
        resolve_macro(r, n);
        break;
    case N_CALL_BLOCK:
        bind_list(r, n->a);
        resolve_macro(r, n);
        break;
    case N_FILTER_BLOCK: n->scope = resolve_body(r, n->b, n->a); break;
    case N_WITH: resolve_with(r, n); break;
    case N_GENERATION: n->scope = resolve_body(r, n->b, NULL); break;
    default:
        bind_list(r, n->a);
        bind_list(r, n->b);
        bind_list(r, n->c);
        bind_list(r, n->d);
    }
}

static void bind_list(resolver *r, node *list) {
    for (; list && !r->code; list = list->next) bind(r, list);
}

err_code tmpl_resolve(tmpl *t, err *e) {
    resolver r = {.mem = &t->mem, .e = e};
    t->root = resolve_body(&r, t->body, NULL);
    return r.code;
}
