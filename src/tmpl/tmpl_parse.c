/* tmpl_parse.c: the parser's half for statements, and the handle. Bodies are lists of nodes; a template's tree lives in
 * its arena. Next: tmpl_expr.c for expressions, tmpl_scope.c for what variables mean.
 */
#include "tmpl/tmpl_int.h"

/* ---- tokens ---------------------------------------------------------------------------------------- */

void tmpl_advance(parser *p) {
    if (p->has_ahead) {
        p->now = p->ahead;
        p->has_ahead = false;
    } else {
        tmpl_lex_next(&p->lex, &p->now);
    }
    if (p->lex.code) p->now = (token){.kind = T_END, .line = p->now.line, .text = {"", 0}};
}

const token *tmpl_look(parser *p) {
    if (!p->has_ahead) tmpl_lex_next(&p->lex, &p->ahead);
    p->has_ahead = true;
    return &p->ahead;
}

bool tmpl_at_op(const parser *p, int op) { return p->now.kind == T_OP && p->now.op == op; }
bool tmpl_at_word(const parser *p, const char *word) { return p->now.kind == T_NAME && str_is(p->now.text, word); }

bool tmpl_skip_op(parser *p, int op) {
    bool is = tmpl_at_op(p, op);
    if (is) tmpl_advance(p);
    return is;
}

bool tmpl_skip_word(parser *p, const char *word) {
    bool is = tmpl_at_word(p, word);
    if (is) tmpl_advance(p);
    return is;
}

void tmpl_wanted(parser *p, const char *wanted) {
    static const char *const others[] = {[T_END] = "the end", [T_DATA] = "text", [T_VAR_BEGIN] = "'{{'",
                                         [T_BLOCK_BEGIN] = "'{%'"};
    const token *t = &p->now;
    bool quoted = t->kind >= T_NAME || t->kind == T_VAR_END || t->kind == T_BLOCK_END;
    if (quoted)
        tmpl_syntax(&p->lex, ERR_FORMAT, t->line, "seen '%.*s', wanted %s", (int)MIN(t->text.len, (size_t)40),
                    t->text.ptr, wanted);
    else tmpl_syntax(&p->lex, ERR_FORMAT, t->line, "seen %s, wanted %s", others[t->kind], wanted);
    p->now.kind = T_END;
}

void tmpl_expect_op(parser *p, int op) {
    static const char pow[] = "'**'";
    char wanted[4] = {'\'', (char)op, '\'', 0};
    if (!tmpl_skip_op(p, op)) tmpl_wanted(p, op == OP_POW ? pow : wanted);
}

static void expect_word(parser *p, const char *word) {
    if (!tmpl_skip_word(p, word)) tmpl_wanted(p, word);
}

static void expect_block_end(parser *p) {
    if (p->now.kind == T_BLOCK_END) tmpl_advance(p);
    else tmpl_wanted(p, "'%}'");
}

/* ---- nodes ----------------------------------------------------------------------------------------- */

bool tmpl_enter(parser *p) {
    if (p->lex.code) return false;
    if (p->depth++ < TMPL_NEST_MAX) return true;
    tmpl_syntax(&p->lex, ERR_LIMIT, p->now.line, "nested more than %d levels deep", TMPL_NEST_MAX);
    return false;
}

static size_t height(const node *list) {
    size_t h = 0;
    for (; list; list = list->next) h = MAX(h, (size_t)list->height);
    return h;
}

node *tmpl_node(parser *p, node_kind kind, uint32_t line, node *a, node *b, node *c, node *d) {
    if (p->lex.code) return NULL;
    node *n = arena_alloc(p->lex.mem, sizeof *n, _Alignof(node));
    if (!n) {
        tmpl_syntax(&p->lex, ERR_MEMORY, line, "no memory");
        return NULL;
    }
    size_t h = MAX(MAX(height(a), height(b)), MAX(height(c), height(d))) + 1;
    if (h > TMPL_HEIGHT_MAX) {
        tmpl_syntax(&p->lex, ERR_LIMIT, line, "an expression of more than %d parts inside each other", TMPL_HEIGHT_MAX);
        return NULL;
    }
    *n = (node){.kind = (uint8_t)kind, .height = (uint16_t)h, .line = line, .a = a, .b = b, .c = c, .d = d};
    return n;
}

static void *parts(parser *p, size_t bytes) {
    void *at = p->lex.code ? NULL : arena_alloc(p->lex.mem, bytes, 0);
    if (!at) tmpl_syntax(&p->lex, ERR_MEMORY, p->now.line, "no memory");
    return at;
}

/* ---- targets and parameters ------------------------------------------------------------------------ */

static node *parse_name(parser *p) {
    static const char *const constants[] = {"true", "false", "none", "True", "False", "None"};
    if (p->now.kind != T_NAME) tmpl_wanted(p, "a name");
    for (size_t i = 0; i < COUNT_OF(constants); i++)
        if (tmpl_at_word(p, constants[i])) tmpl_wanted(p, "a name that can be set");
    node *n = tmpl_node(p, N_NAME, p->now.line, NULL, NULL, NULL, NULL);
    if (n) n->name = p->now.text;
    tmpl_advance(p);
    return n;
}

static node *parse_target(parser *p, const char *end, bool with_namespace);

static node *parse_one_target(parser *p) {
    if (!tmpl_at_op(p, '(')) return parse_name(p);
    if (!tmpl_enter(p)) return NULL;
    tmpl_advance(p);
    node *n = parse_target(p, NULL, false);
    tmpl_expect_op(p, ')');
    p->depth--;
    return n;
}

static node *parse_target(parser *p, const char *end, bool with_namespace) {
    uint32_t line = p->now.line;
    if (with_namespace && p->now.kind == T_NAME && tmpl_look(p)->kind == T_OP && tmpl_look(p)->op == '.') {
        node *n = tmpl_node(p, N_NAMESPACE, line, parse_name(p), NULL, NULL, NULL);
        tmpl_advance(p);
        if (p->now.kind != T_NAME) tmpl_wanted(p, "a name");
        if (n) n->name = p->now.text;
        tmpl_advance(p);
        return n;
    }
    node *first = parse_one_target(p);
    node **last = first ? &first->next : NULL;
    if (!tmpl_at_op(p, ',')) return first;
    while (!p->lex.code && last && tmpl_skip_op(p, ',')) {
        if (p->now.kind != T_NAME && !tmpl_at_op(p, '(')) break;
        if (end && tmpl_at_word(p, end)) break;
        *last = parse_one_target(p);
        if (*last) last = &(*last)->next;
    }
    return tmpl_node(p, N_TUPLE, line, first, NULL, NULL, NULL);
}

/* (a, b=1) of a macro or a call block. */
static node *parse_parameters(parser *p, size_t *count) {
    node *first = NULL, **last = &first;
    bool optional = false;
    tmpl_expect_op(p, '(');
    for (*count = 0; !p->lex.code && !tmpl_at_op(p, ')'); ++*count) {
        if (first) tmpl_expect_op(p, ',');
        node *n = parse_name(p);
        if (!n) return first;
        n->kind = N_PARAM;
        if (tmpl_skip_op(p, '=')) {
            optional = true;
            n->a = tmpl_parse_expression(p, true);
            if (n->a) n->height = (uint16_t)MIN(n->a->height + 1, TMPL_HEIGHT_MAX);
        } else if (optional) {
            tmpl_syntax(&p->lex, ERR_FORMAT, n->line, "'%.*s' has no default, but the parameter before it has one",
                        (int)MIN(n->name.len, (size_t)40), n->name.ptr);
        }
        *last = n;
        last = &n->next;
    }
    tmpl_expect_op(p, ')');
    return first;
}

/* ---- statements ------------------------------------------------------------------------------------ */

static node *parse_statement(parser *p, node **more);

static bool at_end_word(const parser *p, const char *const *ends) {
    for (; *ends; ends++)
        if (tmpl_at_word(p, *ends)) return true;
    return false;
}

/* A template's text and statements up to one of the words (whose token is then the current one), or to the end of the
 * source where ends[0] is NULL. */
static node *parse_nodes(parser *p, const char *const *ends) {
    node *first = NULL, **last = &first;
    while (!p->lex.code) {
        uint32_t line = p->now.line;
        node *n = NULL, *more = NULL;
        if (p->now.kind == T_DATA) {
            n = tmpl_node(p, N_TEXT, line, NULL, NULL, NULL, NULL);
            if (n) n->constant = val_str(p->now.text);
            tmpl_advance(p);
        } else if (p->now.kind == T_VAR_BEGIN) {
            tmpl_advance(p);
            n = tmpl_node(p, N_PRINT, line, tmpl_parse_tuple(p, true, NULL, false), NULL, NULL, NULL);
            if (p->now.kind != T_VAR_END) tmpl_wanted(p, "'}}'");
            tmpl_advance(p);
        } else if (p->now.kind == T_BLOCK_BEGIN) {
            tmpl_advance(p);
            if (at_end_word(p, ends)) return first;
            n = parse_statement(p, &more);
            expect_block_end(p);
        } else {
            if (ends[0]) {
                char wanted[40];
                fmt(wanted, sizeof wanted, "{%% %s %%}", ends[0]);
                tmpl_wanted(p, wanted);
            }
            return first;
        }
        if (p->unknown && !p->soft)
            tmpl_syntax(&p->lex, ERR_UNSUPPORTED, p->unknown->line, "no %s named '%.*s'",
                        p->unknown->kind == N_FILTER ? "filter" : "test", (int)MIN(p->unknown->name.len, (size_t)60),
                        p->unknown->name.ptr);
        p->unknown = NULL;
        for (n = n ? n : more; n; n = n->next) {
            *last = n;
            last = &n->next;
        }
    }
    return first;
}

/* The body of a statement, from the end of its tag on. `soft` holds for all of it but what is a scope of its own
 * inside. */
static node *parse_body(parser *p, bool soft, const char *const *ends) {
    bool was_soft = p->soft;
    const node *unknown = p->unknown;
    if (!tmpl_enter(p)) return NULL;
    tmpl_skip_op(p, ':');
    expect_block_end(p);
    p->soft = soft;
    p->unknown = NULL;
    node *body = parse_nodes(p, ends);
    p->soft = was_soft;
    p->unknown = unknown;
    p->depth--;
    return body;
}

/* A body that must not leave a loop around it: a function of its own in jinja2. */
static node *parse_function_body(parser *p, const char *end) {
    uint32_t loops = p->loops;
    p->loops = 0;
    node *body = parse_body(p, false, (const char *const[]){end, NULL});
    p->loops = loops;
    expect_word(p, end);
    return body;
}

static node *parse_if(parser *p, uint32_t line) {
    static const char *const ends[] = {"endif", "elif", "else", NULL};
    node *first = NULL, **last = NULL;
    node *otherwise = NULL;
    bool soft = p->soft;
    p->soft = true;
    do {
        uint32_t at = p->now.line;
        node *test = tmpl_parse_tuple(p, false, NULL, false);
        p->unknown = NULL;
        node *n = tmpl_node(p, N_IF, at, test, parse_body(p, true, ends), NULL, NULL);
        if (!n) break;
        if (!first) {
            first = n;
            last = &n->c;
        } else {
            *last = n;
            last = &n->next;
        }
    } while (tmpl_skip_word(p, "elif"));
    if (tmpl_skip_word(p, "else")) otherwise = parse_body(p, true, (const char *const[]){"endif", NULL});
    expect_word(p, "endif");
    p->soft = soft;
    return first ? tmpl_node(p, N_IF, line, first->a, first->b, first->c, otherwise) : NULL;
}

static node *parse_for(parser *p, uint32_t line) {
    node *target = parse_target(p, "in", false);
    expect_word(p, "in");
    node *in = tmpl_parse_tuple(p, false, "recursive", false), *test = NULL;
    if (tmpl_skip_word(p, "if")) test = tmpl_parse_expression(p, true);
    if (tmpl_at_word(p, "recursive")) tmpl_syntax(&p->lex, ERR_UNSUPPORTED, line, "recursive loops");
    p->loops++;
    node *body = parse_body(p, false, (const char *const[]){"endfor", "else", NULL}), *otherwise = NULL;
    p->loops--;
    if (tmpl_skip_word(p, "else")) otherwise = parse_body(p, false, (const char *const[]){"endfor", NULL});
    expect_word(p, "endfor");
    loop_parts *l = parts(p, sizeof *l);
    node *n = tmpl_node(p, N_FOR, line, target, in, test, body);
    if (!n || !l) return NULL;
    l->otherwise = otherwise;
    n->loop = l;
    n->height = (uint16_t)MAX(n->height, height(otherwise) + 1);
    return n;
}

static node *captured(parser *p, uint32_t line) { return tmpl_node(p, N_CAPTURED, line, NULL, NULL, NULL, NULL); }

static node *parse_set(parser *p, uint32_t line) {
    node *target = parse_target(p, NULL, true);
    if (tmpl_skip_op(p, '='))
        return tmpl_node(p, N_SET, line, target, tmpl_parse_tuple(p, true, NULL, false), NULL, NULL);
    node *filters = tmpl_at_op(p, '|') ? tmpl_parse_filters(p, captured(p, line), false) : NULL;
    node *body = parse_body(p, false, (const char *const[]){"endset", NULL});
    expect_word(p, "endset");
    return tmpl_node(p, N_SET_BLOCK, line, target, body, filters, NULL);
}

static node *parse_macro(parser *p, uint32_t line) {
    macro_parts *m = parts(p, sizeof *m);
    node *name = parse_name(p);
    if (!m) return NULL;
    node *parameters = parse_parameters(p, &m->n_params);
    node *n = tmpl_node(p, N_MACRO, line, name, parameters, parse_function_body(p, "endmacro"), NULL);
    if (n) n->macro = m;
    return n;
}

static node *parse_call_block(parser *p, uint32_t line) {
    macro_parts *m = parts(p, sizeof *m);
    if (!m) return NULL;
    node *parameters = tmpl_at_op(p, '(') ? parse_parameters(p, &m->n_params) : NULL;
    node *called = tmpl_parse_expression(p, true);
    if (called && called->kind != N_CALL) tmpl_syntax(&p->lex, ERR_FORMAT, line, "{%% call %%} wants a call");
    node *n = tmpl_node(p, N_CALL_BLOCK, line, called, parameters, parse_function_body(p, "endcall"), NULL);
    if (n) n->macro = m;
    return n;
}

static node *parse_filter_block(parser *p, uint32_t line) {
    node *filters = tmpl_parse_filters(p, captured(p, line), true);
    node *body = parse_body(p, false, (const char *const[]){"endfilter", NULL});
    expect_word(p, "endfilter");
    return tmpl_node(p, N_FILTER_BLOCK, line, filters, body, NULL, NULL);
}

static node *parse_with(parser *p, uint32_t line) {
    node *first = NULL, **last = &first;
    while (!p->lex.code && p->now.kind != T_BLOCK_END) {
        if (first) tmpl_expect_op(p, ',');
        node *target = parse_target(p, NULL, false);
        tmpl_expect_op(p, '=');
        *last = tmpl_node(p, N_PAIR, line, target, tmpl_parse_expression(p, true), NULL, NULL);
        if (*last) last = &(*last)->next;
    }
    node *body = parse_body(p, false, (const char *const[]){"endwith", NULL});
    expect_word(p, "endwith");
    return tmpl_node(p, N_WITH, line, first, body, NULL, NULL);
}

static node *parse_generation(parser *p, uint32_t line) {
    return tmpl_node(p, N_GENERATION, line, NULL, parse_function_body(p, "endgeneration"), NULL, NULL);
}

/* {% print a, b %}: several nodes. */
static node *parse_print(parser *p, uint32_t line) {
    node *first = NULL, **last = &first;
    while (!p->lex.code && p->now.kind != T_BLOCK_END) {
        if (first) tmpl_expect_op(p, ',');
        *last = tmpl_node(p, N_PRINT, line, tmpl_parse_expression(p, true), NULL, NULL, NULL);
        if (*last) last = &(*last)->next;
    }
    return first;
}

static node *parse_loop_control(parser *p, uint32_t line, node_kind kind) {
    if (!p->loops) tmpl_syntax(&p->lex, ERR_FORMAT, line, "break or continue outside a loop");
    return tmpl_node(p, kind, line, NULL, NULL, NULL, NULL);
}

/* One statement, up to the end of its last tag. What may be several nodes, or none, is in *more. */
static node *parse_statement(parser *p, node **more) {
    static const struct {
        const char *word;
        node *(*parse)(parser *p, uint32_t line);
    } statements[] = {
        {"if", parse_if},       {"for", parse_for},   {"set", parse_set},
        {"macro", parse_macro}, {"call", parse_call_block}, {"filter", parse_filter_block},
        {"with", parse_with},   {"generation", parse_generation},
    };
    static const char *const foreign[] = {"block", "extends", "include", "import", "from", "autoescape"};
    uint32_t line = p->now.line;
    for (size_t i = 0; i < COUNT_OF(statements); i++)
        if (tmpl_skip_word(p, statements[i].word)) return statements[i].parse(p, line);
    if (tmpl_skip_word(p, "print")) {
        *more = parse_print(p, line);
        return NULL;
    }
    if (tmpl_skip_word(p, "break")) return parse_loop_control(p, line, N_BREAK);
    if (tmpl_skip_word(p, "continue")) return parse_loop_control(p, line, N_CONTINUE);
    for (size_t i = 0; i < COUNT_OF(foreign); i++)
        if (tmpl_at_word(p, foreign[i]))
            tmpl_syntax(&p->lex, ERR_UNSUPPORTED, line, "the tag {%% %s %%}", foreign[i]);
    tmpl_wanted(p, "a tag that is known here");
    return NULL;
}

/* ---- the handle ------------------------------------------------------------------------------------ */

err_code tmpl_open(tmpl **out, str source, err *e) {
    static const char *const nothing[] = {NULL};
    arena mem;
    size_t len;
    *out = NULL;
    if (source.len > TMPL_SOURCE_BYTES_MAX)
        return ERR(e, ERR_LIMIT, "a template of %zu bytes, wanted %d at most", source.len, TMPL_SOURCE_BYTES_MAX);
    for (size_t i = 0; i < source.len; i += len)
        if (utf8_decode(source.ptr + i, source.len - i, &len) == UTF8_INVALID)
            return ERR(e, ERR_FORMAT, "a template that is not UTF-8 at offset %zu", i);
    /* Two bytes of source make a node at most; a scope's table of symbols is copied for each branch of an if. */
    err_code code = arena_open(&mem, MEM_ENGINE, source.len * 96 + ((size_t)64 << 20), e);
    if (code) return code;
    tmpl *t = arena_alloc(&mem, sizeof *t, 0);
    parser p = {.depth = 0};
    if (!t) {
        code = ERR(e, ERR_MEMORY, "no memory for a template");
        goto done;
    }
    tmpl_lex_start(&p.lex, &mem, source, e);
    tmpl_advance(&p);
    t->body = parse_nodes(&p, nothing);
    if (!p.lex.code && p.now.kind != T_END) tmpl_wanted(&p, "text or a tag");
    code = p.lex.code;
    t->mem = mem;
    if (!code) code = tmpl_resolve(t, e);
    mem = t->mem;
done:
    if (code) arena_close(&mem);
    else *out = t;
    return code;
}

void tmpl_close(tmpl *t) {
    if (!t) return;
    arena mem = t->mem;
    arena_close(&mem);
}
