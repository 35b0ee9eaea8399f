/* tmpl_run.c: statements, loops and macros, and a render from beginning to end. What is written goes to one growing
 * text; a macro or a block that captures takes its piece off the end again. Next: tmpl_eval.c.
 */
#include "tmpl/tmpl_int.h"

typedef enum { GO_ON, BREAK, CONTINUE } outcome;

static outcome run_nodes(render *r, frame *f, const node *list);

/* ---- scopes ---------------------------------------------------------------------------------------- */

static val variable(render *r, str name) {
    const val *v = tmpl_dict_find_str(r->variables, name);
    if (v) return *v;
    const callable *row = tmpl_find_function(name);
    return row ? (val){.kind = V_FUNCTION, .row = row} : VAL_MISSING;
}

static void fill_frame(render *r, frame *f, const scope *s) {
    for (size_t i = 0; i < s->n; i++) {
        const symbol *own = &s->at[i];
        const frame *from = f->parent;
        switch (own->load) {
        case LOAD_VARIABLE: f->slots[i] = variable(r, own->name); break;
        case LOAD_OUTER:
            for (uint16_t h = own->hops; h; h--) from = from->parent;
            f->slots[i] = from->slots[own->slot];
            break;
        default: f->slots[i] = VAL_MISSING;
        }
    }
}

static frame *new_frame(render *r, const scope *s, frame *outer) {
    frame *f = tmpl_alloc(r, sizeof *f + s->n * sizeof *f->slots, 1);
    if (!f) return NULL;
    f->parent = outer;
    fill_frame(r, f, s);
    return f;
}

/* A macro that still sees this frame finds nothing in it, as in jinja2. */
static void drop_frame(frame *f, const scope *s) {
    for (size_t i = 0; i < s->n; i++) f->slots[i] = VAL_MISSING;
}

static void assign(render *r, frame *f, const node *target, val v) {
    walk w;
    val item;
    if (r->code) return;
    if (target->kind == N_NAME) {
        for (uint16_t h = target->hops; h; h--) f = f->parent;
        f->slots[target->slot] = v;
        return;
    }
    if (target->kind == N_NAMESPACE) {
        val space = tmpl_eval(r, f, target->a);
        if (space.kind != V_SPACE) tmpl_fail(r, ERR_FORMAT, "only a namespace can have its attributes set");
        else tmpl_dict_put(r, space.dict, val_str(target->name), v);
        return;
    }
    if (!tmpl_walk(r, &w, v)) return;
    for (const node *t = target->a; t && !r->code; t = t->next) {
        if (!tmpl_next(r, &w, &item)) tmpl_fail(r, ERR_FORMAT, "not enough values to unpack");
        else assign(r, f, t, item);
    }
    if (!r->code && tmpl_next(r, &w, &item)) tmpl_fail(r, ERR_FORMAT, "too many values to unpack");
}

/* ---- loops ----------------------------------------------------------------------------------------- */

/* The next item that the loop's filter lets through, from the source. */
static bool draw(render *r, loop *l, val *out) {
    while (tmpl_next(r, &l->source, out)) {
        if (!l->test) return true;
        assign(r, l->test, l->of->a, *out);
        uint32_t line = r->line;
        val is = r->code ? VAL_NONE : tmpl_eval(r, l->test, l->of->c);
        r->line = line;
        if (!r->code && tmpl_truth(r, is)) return true;
    }
    return false;
}

static bool peek(render *r, loop *l, val *out) {
    if (l->taken == l->waiting.n) {
        if (!draw(r, l, out)) return false;
        if (!l->waiting.at) l->waiting.at = tmpl_alloc(r, 1, sizeof *l->waiting.at);
        if (r->code) return false;
        l->waiting.at[0] = *out;
        l->taken = 0, l->waiting.n = 1;
        return true;
    }
    *out = l->waiting.at[l->taken];
    return true;
}

static bool next_item(render *r, loop *l, val *out) {
    if (l->taken < l->waiting.n) *out = l->waiting.at[l->taken++];
    else if (!draw(r, l, out)) return false;
    l->index0++;
    l->before = l->current;
    l->current = *out;
    return true;
}

/* Known, or found by drawing everything that is left. */
static int64_t loop_length(render *r, loop *l) {
    val item;
    if (l->sized) return l->length;
    l->length = l->test ? -1 : tmpl_length(r, l->source.of);
    if (l->length < 0) {
        val_list all = {NULL, 0};
        while (l->taken < l->waiting.n) tmpl_push(r, &all, l->waiting.at[l->taken++]);
        while (draw(r, l, &item)) tmpl_push(r, &all, item);
        l->waiting = all;
        l->taken = 0;
        l->length = l->index0 + 1 + (int64_t)all.n;
    }
    l->sized = true;
    return l->length;
}

val tmpl_loop_attr(render *r, loop *l, str name, bool *found) {
    val item;
    *found = true;
    if (str_is(name, "index")) return val_int(l->index0 + 1);
    if (str_is(name, "index0")) return val_int(l->index0);
    if (str_is(name, "first")) return val_bool(l->index0 == 0);
    if (str_is(name, "last")) return val_bool(!peek(r, l, &item));
    if (str_is(name, "length")) return val_int(loop_length(r, l));
    if (str_is(name, "revindex")) return val_int(loop_length(r, l) - l->index0);
    if (str_is(name, "revindex0")) return val_int(loop_length(r, l) - l->index0 - 1);
    if (str_is(name, "previtem")) return l->index0 ? l->before : val_hint(STR("there is no previous item"));
    if (str_is(name, "nextitem")) return peek(r, l, &item) ? item : val_hint(STR("there is no next item"));
    if (str_is(name, "depth")) return val_int(1);
    if (str_is(name, "depth0")) return val_int(0);
    *found = false;
    return VAL_MISSING;
}

static outcome run_for(render *r, frame *f, const node *n) {
    const loop_parts *parts = n->loop;
    val in = tmpl_eval(r, f, n->b), item;
    loop *l = tmpl_alloc(r, 1, sizeof *l);
    frame *body = r->code ? NULL : new_frame(r, parts->body, f);
    if (r->code) return GO_ON;
    *l = (loop){.of = n, .index0 = -1};
    if (!tmpl_walk(r, &l->source, in)) return GO_ON;
    if (parts->test) l->test = new_frame(r, parts->test, f);
    bool whole = false; /* jinja2's else is for loops none of whose rounds came to its end */
    while (!r->code && next_item(r, l, &item)) {
        fill_frame(r, body, parts->body);
        body->slots[parts->loop_slot] = (val){.kind = V_LOOP, .loop = l};
        assign(r, body, n->a, item);
        outcome o = run_nodes(r, body, n->d);
        if (o == BREAK) break;
        whole |= o == GO_ON;
    }
    drop_frame(body, parts->body);
    if (r->code || whole || !parts->otherwise) return GO_ON;
    frame *other = new_frame(r, parts->other, f);
    return other ? run_nodes(r, other, parts->otherwise) : GO_ON;
}

/* ---- macros ---------------------------------------------------------------------------------------- */

/* The value of a named argument, and marks it as taken. */
static val take_named(const call *c, str name, bool *taken) {
    for (size_t i = 0; i < c->n_named; i++)
        if (!taken[i] && str_eq(c->named[i].name, name)) {
            taken[i] = true;
            return c->named[i].value;
        }
    return VAL_MISSING;
}

/* What no parameter took goes to kwargs and varargs, or is an error. */
static void bind_rest(render *r, frame *f, const macro *m, const call *c, bool *taken) {
    const macro_parts *parts = m->of->macro;
    size_t extra = c->n > parts->n_params ? c->n - parts->n_params : 0;
    if (parts->caller) {
        val caller = take_named(c, STR("caller"), taken);
        f->slots[parts->caller_slot] = caller.kind != V_MISSING ? caller : val_hint(STR("No caller defined"));
    }
    if (parts->kwargs) f->slots[parts->kwargs_slot] = (val){.kind = V_DICT, .dict = tmpl_dict(r)};
    for (size_t i = 0; i < c->n_named && !r->code; i++) {
        if (taken[i]) continue;
        if (parts->kwargs)
            tmpl_dict_put(r, f->slots[parts->kwargs_slot].dict, val_str(c->named[i].name), c->named[i].value);
        else
            tmpl_fail(r, ERR_FORMAT, "a macro has no argument '%.*s'", (int)MIN(c->named[i].name.len, (size_t)60),
                      c->named[i].name.ptr);
    }
    if (parts->varargs) {
        val rest = tmpl_list(r, V_TUPLE, extra);
        for (size_t i = 0; i < extra && !r->code; i++) rest.list->at[i] = c->at[parts->n_params + i];
        f->slots[parts->varargs_slot] = rest;
    } else if (extra) {
        tmpl_fail(r, ERR_FORMAT, "a macro takes %zu arguments at most, seen %zu", parts->n_params, c->n);
    }
}

val tmpl_call_macro(render *r, const macro *m, const call *c) {
    const macro_parts *parts = m->of->macro;
    frame *f = new_frame(r, parts->scope, m->outer);
    bool *taken = tmpl_alloc(r, c->n_named + 1, sizeof *taken);
    size_t i = 0;
    if (r->code) return VAL_NONE;
    for (const node *p = m->of->b; p; p = p->next, i++)
        f->slots[p->slot] = i < c->n ? c->at[i] : take_named(c, p->name, taken);
    bind_rest(r, f, m, c, taken);
    for (const node *p = m->of->b; p && !r->code; p = p->next) {
        if (f->slots[p->slot].kind != V_MISSING) continue;
        f->slots[p->slot] = p->a ? tmpl_eval(r, f, p->a) : val_text(V_UNDEFINED, UNDEFINED_NAME, p->name);
    }
    size_t mark = tmpl_capture(r);
    run_nodes(r, f, m->of->c);
    return val_str(tmpl_captured(r, mark));
}

static val new_macro(render *r, frame *f, const node *n) {
    macro *m = tmpl_alloc(r, 1, sizeof *m);
    if (!m) return VAL_NONE;
    *m = (macro){n, f};
    return (val){.kind = V_MACRO, .macro = m};
}

/* ---- statements ------------------------------------------------------------------------------------ */

static outcome run_if(render *r, frame *f, const node *n) {
    val is = tmpl_eval(r, f, n->a);
    if (!r->code && tmpl_truth(r, is)) return run_nodes(r, f, n->b);
    for (const node *elif = n->c; elif && !r->code; elif = elif->next) {
        is = tmpl_eval(r, f, elif->a);
        if (!r->code && tmpl_truth(r, is)) return run_nodes(r, f, elif->b);
    }
    return run_nodes(r, f, n->d);
}

/* A block whose text is taken instead of written, then filtered. */
static outcome run_captured(render *r, frame *f, const node *n, const node *filters, val *out) {
    frame *body = new_frame(r, n->scope, f);
    size_t mark = tmpl_capture(r);
    if (r->code) return GO_ON;
    outcome o = run_nodes(r, body, n->b);
    str text = tmpl_captured(r, mark);
    *out = val_str(text);
    if (o != GO_ON || !filters || r->code) return o;
    r->captured = text;
    *out = tmpl_eval(r, body, filters);
    return GO_ON;
}

static outcome run_with(render *r, frame *f, const node *n) {
    frame *body = new_frame(r, n->scope, f);
    for (const node *pair = n->a; pair && !r->code; pair = pair->next)
        assign(r, body, pair->a, tmpl_eval(r, f, pair->b));
    return r->code ? GO_ON : run_nodes(r, body, n->b);
}

static outcome run_block(render *r, frame *f, const node *n) {
    val v = VAL_NONE;
    frame *body;
    outcome o = GO_ON;
    switch (n->kind) {
    case N_FOR: return run_for(r, f, n);
    case N_WITH: return run_with(r, f, n);
    case N_SET_BLOCK:
        o = run_captured(r, f, n, n->c, &v);
        if (o == GO_ON) assign(r, f, n->a, v);
        return o;
    case N_FILTER_BLOCK:
        o = run_captured(r, f, n, n->a, &v);
        if (o == GO_ON && !r->code) tmpl_put(r, tmpl_text(r, v));
        return o;
    case N_GENERATION:
        body = new_frame(r, n->scope, f);
        return body ? run_nodes(r, body, n->b) : GO_ON;
    default: /* N_CALL_BLOCK */
        v = new_macro(r, f, n);
        if (!r->code) v = tmpl_eval_call(r, f, n->a, v);
        if (!r->code) tmpl_put(r, tmpl_text(r, v));
        return GO_ON;
    }
}

static outcome run_node(render *r, frame *f, const node *n) {
    val v;
    switch (n->kind) {
    case N_TEXT: tmpl_put(r, text_of(n->constant)); return GO_ON;
    case N_PRINT:
        v = tmpl_eval(r, f, n->a);
        if (!r->code) tmpl_put(r, tmpl_text(r, v));
        return GO_ON;
    case N_IF: return run_if(r, f, n);
    case N_SET: assign(r, f, n->a, tmpl_eval(r, f, n->b)); return GO_ON;
    case N_MACRO: assign(r, f, n->a, new_macro(r, f, n)); return GO_ON;
    case N_BREAK: return BREAK;
    case N_CONTINUE: return CONTINUE;
    default: return run_block(r, f, n);
    }
}

static outcome run_nodes(render *r, frame *f, const node *list) {
    outcome o = GO_ON;
    if (r->depth >= TMPL_DEPTH_MAX)
        tmpl_fail(r, ERR_LIMIT, "blocks and macros are nested more than %d deep", TMPL_DEPTH_MAX);
    r->depth++;
    for (; list && o == GO_ON && tmpl_step(r, 0); list = list->next) {
        r->line = list->line;
        o = run_node(r, f, list);
    }
    r->depth--;
    return o;
}

/* ---- a render -------------------------------------------------------------------------------------- */

err_code tmpl_render(const tmpl *t, const json_value *variables, const tmpl_opts *opts, arena *a, str *text, err *e) {
    static const tmpl_opts defaults = {.now_s = 0};
    if (!opts) opts = &defaults;
    size_t bytes_max = opts->bytes_max ? opts->bytes_max : TMPL_BYTES_MAX;
    render *r = mem_block(MEM_ENGINE, sizeof *r);
    err_code code;
    *text = STR("");
    if (!r) return ERR(e, ERR_MEMORY, "no memory for a render");
    r->t = t;
    r->e = e;
    r->now_s = opts->now_s;
    r->steps = opts->steps_max ? opts->steps_max : TMPL_STEPS_MAX;
    r->yield_at = r->steps;
    r->yield = opts->yield;
    code = arena_open(&r->mem, MEM_ENGINE, bytes_max, e);
    if (!code) code = arena_open(&r->text, MEM_ENGINE, bytes_max, e);
    if (code) goto done;
    if (variables && variables->kind != JSON_OBJECT) {
        code = ERR(e, ERR_ARGUMENT, "the variables of a template are %s, wanted an object",
                   json_kind_name(variables->kind));
        goto done;
    }
    r->variables = variables ? tmpl_copy_json(r, variables).dict : tmpl_dict(r);
    frame *f = r->code ? NULL : new_frame(r, t->root, NULL);
    if (f) run_nodes(r, f, t->body);
    code = r->code;
    if (code) goto done;
    size_t n = arena_mark(&r->text);
    char *to = n ? arena_alloc(a, n, 1) : NULL;
    if (n && !to) code = ERR(e, ERR_MEMORY, "no memory for a text of %zu bytes", n);
    else if (n) *text = (str){memcpy(to, r->text.base, n), n};
done:
    arena_close(&r->text);
    arena_close(&r->mem);
    mem_block_free(r);
    return code;
}
