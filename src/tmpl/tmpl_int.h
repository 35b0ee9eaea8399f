/* tmpl_int.h: what the files of this folder share: values, the syntax tree, scopes, and the state of one render.
 *
 * Values are Python's, as far as a template can tell. They live in the render's arena and are never freed alone. The
 * first error stops a render: tmpl_fail keeps it, everything after it returns quickly, and loops look at r->code.
 */
#ifndef LEAT_TMPL_INT_H
#define LEAT_TMPL_INT_H

#include "tmpl/tmpl.h"

/* ---- values ---------------------------------------------------------------------------------------- */

typedef enum {
    V_MISSING, /* an empty slot: a variable before it is set, an argument not given. Never seen by a template */
    V_UNDEFINED,
    V_NONE,
    V_BOOL,
    V_INT,
    V_BIG, /* an integer of more than 64 bits from JSON: printed, never computed with */
    V_FLOAT,
    V_STR,
    V_LIST,
    V_TUPLE,
    V_DICT,
    V_VIEW,  /* keys(), values() or items() of a dict */
    V_RANGE,
    V_ITER,  /* a generator: can be walked once       */
    V_SPACE, /* a namespace                           */
    V_LOOP,
    V_MACRO,
    V_METHOD,
    V_FUNCTION,
} val_kind;

enum { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS };           /* val.sub of a view                                     */
enum { STR_PLAIN, STR_MARKUP };                        /* val.sub of a string: `safe` makes + escape what is not */
enum { UNDEFINED_NAME, UNDEFINED_ATTR, UNDEFINED_HINT }; /* val.sub of undefined: what val.s says                */

/* Two words, so that it travels in registers. */
typedef struct val {
    uint8_t kind; /* val_kind */
    uint8_t sub;
    uint8_t of;   /* of undefined: the kind of the value that had no such attribute */
    uint32_t len; /* of chars: text_of() */
    union {
        bool b;
        int64_t i;
        double f;
        const char *chars; /* of a string; also: of undefined, the name that was not there; of BIG, its digits */
        struct val_list *list;
        struct val_dict *dict; /* also of a view and a namespace */
        struct val_range *range;
        struct val_iter *iter;
        struct loop *loop;
        struct macro *macro;
        const struct callable *row; /* of a function */
        struct bound *bound;        /* of a method   */
    };
} val;
_Static_assert(sizeof(val) == 16, "two words");
typedef struct bound {
    const struct callable *row;
    val self;
} bound;

typedef struct val_list {
    val *at;
    size_t n;
} val_list;

typedef struct dict_entry {
    val key, value;
} dict_entry;
typedef struct val_dict {
    dict_entry *at; /* in order of insertion */
    uint32_t n, cap;
    uint32_t *slots; /* index + 1; NULL while the dict is small */
    uint32_t mask;
} val_dict;

typedef struct val_range {
    int64_t from, to, step;
    size_t n;
} val_range;

#define VAL_NONE ((val){.kind = V_NONE})
#define VAL_MISSING ((val){.kind = V_MISSING})
static inline val val_bool(bool b) { return (val){.kind = V_BOOL, .b = b}; }
static inline val val_int(int64_t i) { return (val){.kind = V_INT, .i = i}; }
static inline val val_float(double f) { return (val){.kind = V_FLOAT, .f = f}; }
static inline str text_of(val v) { return (str){v.chars, v.len}; }
static inline val val_text(val_kind kind, int sub, str s) { /* texts are shorter than TMPL_BYTES_MAX, by far */
    return (val){.kind = (uint8_t)kind, .sub = (uint8_t)sub, .len = (uint32_t)s.len, .chars = s.ptr};
}
static inline val val_str(str s) { return val_text(V_STR, STR_PLAIN, s); }
static inline val val_hint(str hint) { return val_text(V_UNDEFINED, UNDEFINED_HINT, hint); }
static inline bool is_list(val v) { return v.kind == V_LIST || v.kind == V_TUPLE; }
static inline bool is_whole(val v) { return v.kind == V_INT || v.kind == V_BOOL; }
static inline bool is_number(val v) { return is_whole(v) || v.kind == V_FLOAT; }
static inline int64_t whole_of(val v) { return v.kind == V_BOOL ? v.b : v.i; }
static inline double float_of(val v) { return v.kind == V_FLOAT ? v.f : (double)whole_of(v); }

/* ---- the syntax tree ------------------------------------------------------------------------------- */

typedef enum {
    /* statements */
    N_TEXT,      /* constant                                                                  */
    N_PRINT,     /* a: expression                                                             */
    N_IF,        /* a: test, b: body, c: elifs (each an N_IF with a and b), d: else           */
    N_FOR,       /* a: target, b: iterable, c: test, d: body; loop_parts                      */
    N_SET,       /* a: target, b: value                                                       */
    N_SET_BLOCK, /* a: target, b: body, c: filters over N_CAPTURED or NULL; scope             */
    N_MACRO,     /* a: N_NAME that it is bound to, b: N_PARAMs, c: body; macro_parts          */
    N_CALL_BLOCK, /* a: the N_CALL, b: N_PARAMs, c: body; macro_parts                         */
    N_FILTER_BLOCK, /* a: filters over N_CAPTURED, b: body; scope                             */
    N_WITH,      /* a: N_PAIRs of target and value, b: body; scope                            */
    N_GENERATION, /* b: body; scope                                                           */
    N_BREAK,
    N_CONTINUE,
    /* expressions */
    N_CONST,
    N_NAME,    /* name; hops, slot                                    */
    N_ATTR,    /* a.name                                              */
    N_ITEM,    /* a[b]                                                */
    N_SLICE,   /* a[b:c:d]                                            */
    N_CALL,    /* a(b): arguments, N_KEYWORD, N_STAR and N_STAR_STAR  */
    N_FILTER,  /* a|name(b); row, or NULL when there is no such one   */
    N_TEST,    /* a is name(b); row                                   */
    N_LIST,    /* a: items */
    N_TUPLE,
    N_DICT,    /* a: N_PAIRs */
    N_NOT,
    N_NEGATE,
    N_PLUS,
    N_AND,
    N_OR,
    N_BINARY,  /* a op b */
    N_CONCAT,  /* a ~ ...: items */
    N_COMPARE, /* a, then b: N_OPERANDs */
    N_COND,    /* b if a else c */
    N_CAPTURED, /* what the block that is being filtered wrote */
    /* parts */
    N_PAIR,
    N_PARAM,   /* name; slot; a: default or NULL */
    N_KEYWORD, /* name=a */
    N_STAR,
    N_STAR_STAR,
    N_OPERAND,   /* op a */
    N_NAMESPACE, /* a target: a is an N_NAME, name the attribute */
} node_kind;

/* Operators; also tokens, where one character is itself. */
enum { OP_POW = 'P', OP_FLOOR = 'D', OP_EQ = 'E', OP_NE = 'N', OP_LE = 'L', OP_GE = 'G', OP_IN = 'I', OP_NOT_IN = 'O' };

typedef struct node node;
struct node {
    uint8_t kind, op;
    uint16_t height, hops, slot;
    uint32_t line;
    node *a, *b, *c, *d;
    node *next; /* in a list */
    str name;
    union {
        val constant;
        const struct callable *row;
        struct scope *scope;
        struct loop_parts *loop;
        struct macro_parts *macro;
    };
};

/* How a slot is filled when its scope is entered. */
typedef enum { LOAD_PARAM, LOAD_VARIABLE, LOAD_OUTER, LOAD_MISSING } load_kind;
typedef struct symbol {
    str name;
    uint8_t load; /* load_kind */
    bool stored;
    uint16_t hops, slot; /* of LOAD_OUTER: where from */
} symbol;
typedef struct scope {
    struct scope *parent;
    symbol *at;
    size_t n;
} scope;

typedef struct loop_parts {
    node *otherwise;
    scope *body, *test, *other; /* test and other may be NULL */
    uint16_t loop_slot;         /* of the variable `loop` in the body */
} loop_parts;
typedef struct macro_parts {
    scope *scope;
    size_t n_params;
    bool caller, kwargs, varargs; /* used in the body */
    uint16_t caller_slot, kwargs_slot, varargs_slot;
} macro_parts;

struct tmpl {
    arena mem; /* the handle itself too */
    node *body;
    scope *root;
};

/* ---- lexer and parser ------------------------------------------------------------------------------ */

typedef enum {
    T_END,
    T_DATA,
    T_VAR_BEGIN,
    T_VAR_END,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_NAME,
    T_STR,
    T_NUMBER,
    T_OP,
} token_kind;
typedef struct token {
    uint8_t kind, op;
    uint32_t line;
    str text;  /* of a name, data or string: its value; else as written */
    val value; /* of a number */
} token;

typedef struct lexer {
    arena *mem;
    str source; /* line ends are \n */
    size_t at;
    uint32_t line;
    uint8_t state, after; /* after: the state that follows the data */
    uint8_t open[TMPL_NEST_MAX]; /* brackets */
    size_t n_open;
    err *e;
    err_code code;
} lexer;
void tmpl_lex_start(lexer *x, arena *mem, str source, err *e);
void tmpl_lex_next(lexer *x, token *t); /* T_END for ever after an error */

typedef struct parser {
    lexer lex;
    token now, ahead;
    bool has_ahead;
    bool soft;           /* inside an if: an unknown filter or test is an error only when it is reached */
    const node *unknown; /* such a one that was just read                                               */
    uint32_t depth, loops;
} parser;
/* Expressions (tmpl_expr.c); on an error they return NULL or any node, and p->lex.code is set. */
node *tmpl_parse_expression(parser *p, bool with_condition);
/* Comma-separated expressions make a tuple; `end` names a word that ends them, or is NULL. */
node *tmpl_parse_tuple(parser *p, bool with_condition, const char *end, bool in_brackets);
node *tmpl_parse_filters(parser *p, node *input, bool starts_inline);
/* What both halves of the parser use. */
void tmpl_advance(parser *p);
const token *tmpl_look(parser *p); /* the token after the current one */
bool tmpl_at_op(const parser *p, int op);
bool tmpl_at_word(const parser *p, const char *word);
bool tmpl_skip_op(parser *p, int op);
bool tmpl_skip_word(parser *p, const char *word);
void tmpl_expect_op(parser *p, int op);
void tmpl_wanted(parser *p, const char *wanted);
err_code tmpl_syntax(lexer *x, err_code code, uint32_t line, const char *format, ...) PRINTF_LIKE(4, 5);
node *tmpl_node(parser *p, node_kind kind, uint32_t line, node *a, node *b, node *c, node *d);
bool tmpl_enter(parser *p); /* one level deeper; false at the limit */
/* Finds all variables: fills hops, slots and scopes (tmpl_scope.c). */
err_code tmpl_resolve(tmpl *t, err *e);

/* ---- a render -------------------------------------------------------------------------------------- */

typedef struct frame {
    struct frame *parent;
    val slots[];
} frame;

typedef struct macro {
    const node *of;
    frame *outer;
} macro;

typedef struct keyword {
    str name;
    val value;
} keyword;
/* A call as it reaches a filter, a test, a method or a function. */
typedef struct call {
    val self; /* the input of a filter; the object of a method */
    const val *at;
    size_t n;
    const keyword *named;
    size_t n_named;
    str name; /* of what is called, for error texts */
} call;

typedef struct render {
    arena mem;  /* values */
    arena text; /* what was written: captures on top of each other, the innermost last */
    const tmpl *t;
    val_dict *variables;
    uint64_t steps, now_s; /* steps that are left */
    uint64_t yield_at;     /* so many left: the hook is called */
    const yield_hook *yield;
    uint32_t depth, line;
    err *e;
    err_code code;
    str captured; /* input of a filter over a block */
    struct {
        char *at;
        size_t used, cap;
    } growing[4]; /* the last results of + with room behind them: see tmpl_append */
    size_t next_growing;
} render;

/* Keeps the first error; returns VAL_NONE. */
val tmpl_fail(render *r, err_code code, const char *format, ...) PRINTF_LIKE(3, 4);
val tmpl_undefined(render *r, val v); /* fails with what an undefined value has to say */
#define TMPL_YIELD_STEPS 16384
bool tmpl_step(render *r, size_t bytes); /* false when the render must stop */
void *tmpl_alloc(render *r, size_t count, size_t size);
void tmpl_put(render *r, str s);

val tmpl_eval(render *r, frame *f, const node *n);
/* An N_CALL; caller: of a call block, or V_MISSING. */
val tmpl_eval_call(render *r, frame *f, const node *n, val caller);
val tmpl_call_macro(render *r, const macro *m, const call *c);

/* What can be called by name: filters, tests, methods and functions are rows of the same shape. */
typedef struct callable {
    char name[15];     /* no zero behind it where it is as long */
    uint8_t args;      /* ARGS(least, most) */
    const char *names; /* of the arguments, parted by blanks; NULL: none may be given by name */
    val (*run)(render *r, const call *c, const val *p); /* p[i]: argument i or V_MISSING */
} callable;
enum { CALL_ARGS_MAX = 8, CALL_ANY = 15 }; /* most: ANY when the function looks at the call itself */
#define ARGS(least, most) ((least) << 4 | (most))
str tmpl_row_name(const callable *row);
val tmpl_run_row(render *r, const callable *row, const call *c);
const callable *tmpl_find_row(const callable *rows, size_t n, str name);
const callable *tmpl_find_filter(str name);
const callable *tmpl_find_test(str name);
const callable *tmpl_find_function(str name);
/* A method of a value's type; *known is true for names that Python has there and leat has not, *unsafe for those that
 * change it. */
const callable *tmpl_find_method(val_kind kind, str name, bool *known, bool *unsafe);
bool tmpl_test_row(render *r, const callable *row, const call *c);

/* Attributes and items, as a template reads them. */
val tmpl_attr(render *r, val of, str name);
val tmpl_item(render *r, val of, val key);
val tmpl_slice(render *r, val of, val from, val to, val step);

/* Operators. */
val tmpl_binary(render *r, int op, val a, val b);
val tmpl_negate(render *r, val a);
val tmpl_add(render *r, val a, val b);
bool tmpl_truth(render *r, val v);
bool tmpl_equal(render *r, val a, val b);
int tmpl_order(render *r, val a, val b); /* -1, 0, 1; 2 where one is NaN; fails for what Python does not order */
bool tmpl_contains(render *r, val in, val item);

/* Containers. */
val tmpl_list(render *r, val_kind kind, size_t n); /* n missing items, for the caller to fill */
void tmpl_push(render *r, val_list *list, val v);
val_dict *tmpl_dict(render *r);
bool tmpl_can_be_key(val key);
val *tmpl_dict_find(render *r, const val_dict *d, val key); /* fails for what cannot be a key */
val *tmpl_dict_find_str(const val_dict *d, str key);
void tmpl_dict_put(render *r, val_dict *d, val key, val value);
val tmpl_copy_json(render *r, const json_value *v);
int64_t tmpl_length(render *r, val v); /* -1 for what has none */

/* Walking. A generator is a function that is asked for the next item until it answers false. */
typedef struct walk {
    val of;
    size_t at;
} walk;
typedef struct val_iter {
    bool (*next)(render *r, struct val_iter *i, val *out);
    const call *c; /* of the filter that made it; what it walks is c->self */
    walk source;
    val_dict *seen;
    enum { ITER_NEW, ITER_RUNS, ITER_DONE } state;
} val_iter;
bool tmpl_iterable(val v);
bool tmpl_walk(render *r, walk *w, val of); /* fails for what cannot be walked */
bool tmpl_next(render *r, walk *w, val *out);
val tmpl_list_of(render *r, val v); /* a new list of all items */

/* Text. */
str tmpl_text(render *r, val v); /* str(v) */
str tmpl_repr(render *r, val v);
str tmpl_concat(render *r, str a, str b);
/* a[0..n) and b[0..m) behind it, 8-byte aligned. Room is left behind the result, and where a is such a result already,
 * b goes there: many appends to one text cost what the text costs. */
void *tmpl_append(render *r, const void *a, size_t n, const void *b, size_t m);
str tmpl_copy(render *r, const char *s, size_t n);
const char *tmpl_type_name(val v);
bool tmpl_next_line(str s, size_t *at, str *line, size_t *end_len); /* splits as splitlines() */
size_t tmpl_count_chars(str s);
size_t tmpl_char_offset(str s, size_t index); /* bytes before character number index */
bool tmpl_is_space(uint32_t cp);
str tmpl_strip(str s, bool left, bool right);
str tmpl_replace(render *r, str s, str from, str to, int64_t count);
str tmpl_upper(render *r, str s);
str tmpl_lower(render *r, str s);
str tmpl_capitalize(render *r, str s);
val tmpl_escape(render *r, val v); /* HTML; a string that is markup already stays */
val tmpl_parse_int(str s, int base);   /* V_MISSING when it is none */
val tmpl_parse_float(str s);
/* Pieces are written to r->text and taken off again: begin, tmpl_put..., end. */
size_t tmpl_capture(render *r);
str tmpl_captured(render *r, size_t mark);
val tmpl_percent(render *r, str format, val args);
str tmpl_format(render *r, str format, const call *c);
val tmpl_strftime(render *r, str format);

/* The loop that a body sees. */
typedef struct loop {
    const node *of;
    frame *test;  /* where the filter of the loop is evaluated, or NULL */
    walk source;
    val_list waiting; /* items that were looked at before their turn */
    size_t taken;     /* of waiting */
    int64_t index0;   /* -1 before the first */
    val before, current, changed;
    bool has_changed, sized;
    int64_t length;
} loop;
val tmpl_loop_attr(render *r, loop *l, str name, bool *found);
val tmpl_sort(render *r, val items, val keys, bool reverse);

#endif
