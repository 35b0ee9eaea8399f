/* tmpl_expr.c: the parser's half for expressions. Precedence is jinja2's, which is not Python's: a filter binds tighter
 * than any operator, ~ tighter than + and -, unary minus tighter than a filter. Next: tmpl_parse.c, the half for
 * statements.
 */
#include "tmpl/tmpl_int.h"

static node *parse_primary(parser *p);
static node *parse_unary(parser *p, bool with_filter);
static node *parse_or(parser *p);

/* ---- lists ----------------------------------------------------------------------------------------- */

typedef struct node_list {
    node *first, **end;
} node_list;

static void append(node_list *l, node *n) {
    if (!l->end) l->end = &l->first;
    if (!n) return;
    *l->end = n;
    l->end = &n->next;
}

/* Expressions up to `close`, which is taken too. */
static node *parse_items(parser *p, int close) {
    node_list l = {0};
    while (!p->lex.code && !tmpl_at_op(p, close)) {
        if (l.first) tmpl_expect_op(p, ',');
        if (tmpl_at_op(p, close)) break;
        append(&l, tmpl_parse_expression(p, true));
    }
    tmpl_expect_op(p, close);
    return l.first;
}

static node *parse_dict(parser *p, uint32_t line) {
    node_list l = {0};
    while (!p->lex.code && !tmpl_at_op(p, '}')) {
        if (l.first) tmpl_expect_op(p, ',');
        if (tmpl_at_op(p, '}')) break;
        node *key = tmpl_parse_expression(p, true);
        tmpl_expect_op(p, ':');
        append(&l, tmpl_node(p, N_PAIR, line, key, tmpl_parse_expression(p, true), NULL, NULL));
    }
    tmpl_expect_op(p, '}');
    return tmpl_node(p, N_DICT, line, l.first, NULL, NULL, NULL);
}

static bool at_tuple_end(const parser *p, const char *end) {
    return p->now.kind == T_VAR_END || p->now.kind == T_BLOCK_END || p->now.kind == T_END || tmpl_at_op(p, ')') ||
           (end && tmpl_at_word(p, end));
}

node *tmpl_parse_tuple(parser *p, bool with_condition, const char *end, bool in_brackets) {
    uint32_t line = p->now.line;
    node_list l = {0};
    bool comma = false;
    while (!p->lex.code && !at_tuple_end(p, end)) {
        append(&l, tmpl_parse_expression(p, with_condition));
        if (!tmpl_at_op(p, ',')) break;
        comma = true;
        tmpl_advance(p);
    }
    if (!comma && l.first) return l.first;
    if (!comma && !in_brackets) tmpl_wanted(p, "an expression");
    return tmpl_node(p, N_TUPLE, line, l.first, NULL, NULL, NULL);
}

/* (a, *b, name=c, **d), the first bracket still to come. */
static node *parse_arguments(parser *p) {
    node_list l = {0};
    uint32_t line = p->now.line;
    int stage = 0; /* positional, named, behind *, behind ** */
    tmpl_expect_op(p, '(');
    while (!p->lex.code && !tmpl_at_op(p, ')')) {
        if (l.first) tmpl_expect_op(p, ',');
        if (tmpl_at_op(p, ')')) break;
        int now;
        if (tmpl_at_op(p, '*') || tmpl_at_op(p, OP_POW)) {
            now = tmpl_at_op(p, '*') ? 2 : 3;
            tmpl_advance(p);
            node *of = tmpl_parse_expression(p, true);
            append(&l, tmpl_node(p, now == 2 ? N_STAR : N_STAR_STAR, line, of, NULL, NULL, NULL));
        } else if (p->now.kind == T_NAME && tmpl_look(p)->kind == T_OP && tmpl_look(p)->op == '=') {
            str name = p->now.text;
            now = 1;
            tmpl_advance(p);
            tmpl_advance(p);
            node *k = tmpl_node(p, N_KEYWORD, line, tmpl_parse_expression(p, true), NULL, NULL, NULL);
            if (k) k->name = name;
            append(&l, k);
        } else {
            now = 0;
            append(&l, tmpl_parse_expression(p, true));
        }
        /* Names may follow a *; anything else must keep the order. */
        if (now < stage && !(now == 1 && stage == 2))
            tmpl_syntax(&p->lex, ERR_FORMAT, line, "arguments of a call in an order that Python has not");
        if (now == stage && stage >= 2) tmpl_syntax(&p->lex, ERR_FORMAT, line, "a call with two * or ** arguments");
        stage = MAX(stage, now);
    }
    tmpl_expect_op(p, ')');
    return l.first;
}

/* ---- what follows a primary ------------------------------------------------------------------------ */

static node *parse_part_of_slice(parser *p) {
    return tmpl_at_op(p, ':') || tmpl_at_op(p, ']') || tmpl_at_op(p, ',') ? NULL : tmpl_parse_expression(p, true);
}

static node *parse_item(parser *p, node *of, uint32_t line) {
    node *key = parse_part_of_slice(p);
    if (tmpl_skip_op(p, ':')) {
        node *to = parse_part_of_slice(p), *step = NULL;
        if (tmpl_skip_op(p, ':')) step = parse_part_of_slice(p);
        of = tmpl_node(p, N_SLICE, line, of, key, to, step);
    } else {
        if (!key) tmpl_wanted(p, "an index");
        if (tmpl_at_op(p, ',')) { /* a[b, c] is a[(b, c)] */
            node_list l = {0};
            append(&l, key);
            while (tmpl_skip_op(p, ',') && !tmpl_at_op(p, ']')) append(&l, tmpl_parse_expression(p, true));
            key = tmpl_node(p, N_TUPLE, line, l.first, NULL, NULL, NULL);
        }
        of = tmpl_node(p, N_ITEM, line, of, key, NULL, NULL);
    }
    tmpl_expect_op(p, ']');
    return of;
}

static node *parse_dot(parser *p, node *of, uint32_t line) {
    if (p->now.kind == T_NUMBER && p->now.value.kind == V_INT) {
        node *index = tmpl_node(p, N_CONST, line, NULL, NULL, NULL, NULL);
        if (index) index->constant = p->now.value;
        tmpl_advance(p);
        return tmpl_node(p, N_ITEM, line, of, index, NULL, NULL);
    }
    str name = p->now.text;
    if (p->now.kind != T_NAME) tmpl_wanted(p, "a name or a number after '.'");
    tmpl_advance(p);
    of = tmpl_node(p, N_ATTR, line, of, NULL, NULL, NULL);
    if (of) of->name = name;
    return of;
}

static node *parse_postfix(parser *p, node *of) {
    while (!p->lex.code) {
        uint32_t line = p->now.line;
        if (tmpl_skip_op(p, '.')) of = parse_dot(p, of, line);
        else if (tmpl_skip_op(p, '[')) of = parse_item(p, of, line);
        else if (tmpl_at_op(p, '(')) of = tmpl_node(p, N_CALL, line, of, parse_arguments(p), NULL, NULL);
        else break;
    }
    return of;
}

/* A name with dots, which neither filters nor tests that we have. */
static str parse_row_name(parser *p, const char *what) {
    str name = p->now.text;
    if (p->now.kind != T_NAME) tmpl_wanted(p, what);
    tmpl_advance(p);
    if (tmpl_at_op(p, '.')) tmpl_wanted(p, "a plain name");
    return name;
}

static node *with_row(parser *p, node *n, str name, const callable *row) {
    if (!n) return NULL;
    n->name = name;
    n->row = row;
    if (!row) p->unknown = n;
    return n;
}

node *tmpl_parse_filters(parser *p, node *input, bool starts_inline) {
    while (!p->lex.code && (starts_inline || tmpl_skip_op(p, '|'))) {
        uint32_t line = p->now.line;
        starts_inline = false;
        str name = parse_row_name(p, "the name of a filter");
        node *arguments = tmpl_at_op(p, '(') ? parse_arguments(p) : NULL;
        input = with_row(p, tmpl_node(p, N_FILTER, line, input, arguments, NULL, NULL), name, tmpl_find_filter(name));
    }
    return input;
}

/* Behind `is`. A test may have one argument without brackets. */
static node *parse_test(parser *p, node *of) {
    uint32_t line = p->now.line;
    bool negated = tmpl_skip_word(p, "not");
    str name = parse_row_name(p, "the name of a test");
    node *arguments = NULL;
    int k = p->now.kind;
    if (tmpl_at_op(p, '(')) {
        arguments = parse_arguments(p);
    } else if ((k == T_NAME || k == T_STR || k == T_NUMBER || tmpl_at_op(p, '[') || tmpl_at_op(p, '{')) &&
               !tmpl_at_word(p, "else") && !tmpl_at_word(p, "or") && !tmpl_at_word(p, "and")) {
        if (tmpl_at_word(p, "is")) tmpl_wanted(p, "one test at a time");
        arguments = parse_postfix(p, parse_primary(p));
    }
    of = with_row(p, tmpl_node(p, N_TEST, line, of, arguments, NULL, NULL), name, tmpl_find_test(name));
    return negated ? tmpl_node(p, N_NOT, line, of, NULL, NULL, NULL) : of;
}

static node *parse_filters_and_tests(parser *p, node *of) {
    while (!p->lex.code) {
        uint32_t line = p->now.line;
        if (tmpl_at_op(p, '|')) of = tmpl_parse_filters(p, of, false);
        else if (tmpl_skip_word(p, "is")) of = parse_test(p, of);
        else if (tmpl_at_op(p, '(')) of = tmpl_node(p, N_CALL, line, of, parse_arguments(p), NULL, NULL);
        else break;
    }
    return of;
}

/* ---- primaries ------------------------------------------------------------------------------------- */

static bool word_constant(str name, val *v) {
    if (str_is(name, "true") || str_is(name, "True")) *v = val_bool(true);
    else if (str_is(name, "false") || str_is(name, "False")) *v = val_bool(false);
    else if (str_is(name, "none") || str_is(name, "None")) *v = VAL_NONE;
    else return false;
    return true;
}

/* Strings side by side are one. */
static val parse_strings(parser *p) {
    str s = p->now.text;
    tmpl_advance(p);
    while (!p->lex.code && p->now.kind == T_STR) {
        char *to = arena_alloc(p->lex.mem, s.len + p->now.text.len, 1);
        if (!to) {
            tmpl_syntax(&p->lex, ERR_MEMORY, p->now.line, "no memory");
            break;
        }
        if (s.len) memcpy(to, s.ptr, s.len);
        if (p->now.text.len) memcpy(to + s.len, p->now.text.ptr, p->now.text.len);
        s = (str){to, s.len + p->now.text.len};
        tmpl_advance(p);
    }
    return val_str(s);
}

static node *parse_primary(parser *p) {
    uint32_t line = p->now.line;
    val constant;
    if (p->now.kind == T_NAME && !word_constant(p->now.text, &constant)) {
        node *n = tmpl_node(p, N_NAME, line, NULL, NULL, NULL, NULL);
        if (n) n->name = p->now.text;
        tmpl_advance(p);
        return n;
    }
    if (p->now.kind == T_NAME || p->now.kind == T_NUMBER || p->now.kind == T_STR) {
        node *n = tmpl_node(p, N_CONST, line, NULL, NULL, NULL, NULL);
        if (p->now.kind == T_STR) {
            constant = parse_strings(p);
        } else {
            if (p->now.kind == T_NUMBER) constant = p->now.value;
            tmpl_advance(p);
        }
        if (n) n->constant = constant;
        return n;
    }
    node *n = NULL;
    if (!tmpl_enter(p)) return NULL;
    if (tmpl_skip_op(p, '(')) {
        n = tmpl_parse_tuple(p, true, NULL, true);
        tmpl_expect_op(p, ')');
    } else if (tmpl_skip_op(p, '[')) {
        n = tmpl_node(p, N_LIST, line, parse_items(p, ']'), NULL, NULL, NULL);
    } else if (tmpl_skip_op(p, '{')) {
        n = parse_dict(p, line);
    } else {
        tmpl_wanted(p, "an expression");
    }
    p->depth--;
    return n;
}

/* ---- operators, from tight to loose ---------------------------------------------------------------- */

static node *parse_unary(parser *p, bool with_filter) {
    uint32_t line = p->now.line;
    bool minus = tmpl_at_op(p, '-');
    node *n;
    if (minus || tmpl_at_op(p, '+')) {
        if (!tmpl_enter(p)) return NULL;
        tmpl_advance(p);
        n = tmpl_node(p, minus ? N_NEGATE : N_PLUS, line, parse_unary(p, false), NULL, NULL, NULL);
        p->depth--;
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    return with_filter ? parse_filters_and_tests(p, n) : n;
}

static node *binary(parser *p, uint32_t line, int op, node *a, node *b) {
    node *n = tmpl_node(p, N_BINARY, line, a, b, NULL, NULL);
    if (n) n->op = (uint8_t)op;
    return n;
}

static node *parse_power(parser *p) {
    uint32_t line = p->now.line;
    node *n = parse_unary(p, true);
    while (tmpl_skip_op(p, OP_POW)) n = binary(p, line, OP_POW, n, parse_unary(p, true));
    return n;
}

static node *parse_product(parser *p) {
    uint32_t line = p->now.line;
    node *n = parse_power(p);
    while (tmpl_at_op(p, '*') || tmpl_at_op(p, '/') || tmpl_at_op(p, OP_FLOOR) || tmpl_at_op(p, '%')) {
        int op = p->now.op;
        tmpl_advance(p);
        n = binary(p, line, op, n, parse_power(p));
    }
    return n;
}

static node *parse_concat(parser *p) {
    uint32_t line = p->now.line;
    node *n = parse_product(p);
    if (!tmpl_at_op(p, '~')) return n;
    node_list l = {0};
    append(&l, n);
    while (tmpl_skip_op(p, '~')) append(&l, parse_product(p));
    return tmpl_node(p, N_CONCAT, line, l.first, NULL, NULL, NULL);
}

static node *parse_sum(parser *p) {
    uint32_t line = p->now.line;
    node *n = parse_concat(p);
    while (tmpl_at_op(p, '+') || tmpl_at_op(p, '-')) {
        int op = p->now.op;
        tmpl_advance(p);
        n = binary(p, line, op, n, parse_concat(p));
    }
    return n;
}

static int comparison(parser *p) {
    int op = p->now.kind == T_OP ? p->now.op : 0;
    if (op == OP_EQ || op == OP_NE || op == OP_LE || op == OP_GE || op == '<' || op == '>') {
        tmpl_advance(p);
        return op;
    }
    if (tmpl_skip_word(p, "in")) return OP_IN;
    const token *next = tmpl_at_word(p, "not") ? tmpl_look(p) : NULL;
    if (!next || next->kind != T_NAME || !str_is(next->text, "in")) return 0;
    tmpl_advance(p);
    tmpl_advance(p);
    return OP_NOT_IN;
}

static node *parse_comparison(parser *p) {
    uint32_t line = p->now.line;
    node *n = parse_sum(p);
    node_list l = {0};
    for (int op; !p->lex.code && (op = comparison(p));) {
        node *operand = tmpl_node(p, N_OPERAND, line, parse_sum(p), NULL, NULL, NULL);
        if (operand) operand->op = (uint8_t)op;
        append(&l, operand);
    }
    return l.first ? tmpl_node(p, N_COMPARE, line, n, l.first, NULL, NULL) : n;
}

static node *parse_not(parser *p) {
    uint32_t line = p->now.line;
    if (!tmpl_at_word(p, "not")) return parse_comparison(p);
    if (!tmpl_enter(p)) return NULL;
    tmpl_advance(p);
    node *n = tmpl_node(p, N_NOT, line, parse_not(p), NULL, NULL, NULL);
    p->depth--;
    return n;
}

static node *parse_and(parser *p) {
    uint32_t line = p->now.line;
    node *n = parse_not(p);
    while (tmpl_skip_word(p, "and")) n = tmpl_node(p, N_AND, line, n, parse_not(p), NULL, NULL);
    return n;
}

static node *parse_or(parser *p) {
    uint32_t line = p->now.line;
    node *n = parse_and(p);
    while (tmpl_skip_word(p, "or")) n = tmpl_node(p, N_OR, line, n, parse_and(p), NULL, NULL);
    return n;
}

node *tmpl_parse_expression(parser *p, bool with_condition) {
    uint32_t line = p->now.line;
    if (!tmpl_enter(p)) return NULL;
    /* Inside `a if b else c` a filter may be unknown as long as it is not reached. */
    const node *unknown = p->unknown;
    p->unknown = NULL;
    node *n = parse_or(p);
    while (with_condition && tmpl_skip_word(p, "if")) {
        node *test = parse_or(p), *other = NULL;
        if (tmpl_skip_word(p, "else")) other = tmpl_parse_expression(p, true);
        n = tmpl_node(p, N_COND, line, test, n, other, NULL);
        p->unknown = NULL;
    }
    if (unknown) p->unknown = unknown;
    p->depth--;
    return n;
}
