/* pattern.c: patterns for tensor names: a compiler to steps and a machine that is in many steps at once (Thompson
 * 1968).
 *
 * Jumps are relative, so that a piece of program can be moved or copied whole: that is how the quantifiers are made.
 * Refuses what it does not know instead of taking it literally. Next: quantize_plan.c, where patterns choose types.
 */
#include "tools/pattern.h"

enum { OP_BYTE, OP_ANY, OP_SET, OP_BEGIN, OP_END, OP_FORK, OP_FOUND };

#define DEPTH_MAX 16   /* of parentheses */
#define REPEAT_MAX 100 /* of {m,n} */

typedef struct compiler {
    pattern *p;
    str text;
    size_t at;
    int depth;
    err *e;
    err_code code;
} compiler;

/* Keeps the first error. */
#define FAIL(c, ...) \
    ((c)->code = (c)->code ? (c)->code : err_set((c)->e, ERR_ARGUMENT, "pattern_compile", __VA_ARGS__))

static bool more(const compiler *c) { return !c->code && c->at < c->text.len; }
static char peek(const compiler *c) { return c->at < c->text.len ? c->text.ptr[c->at] : 0; }
static bool take(compiler *c, char wanted) {
    if (!more(c) || peek(c) != wanted) return false;
    c->at++;
    return true;
}
static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte - 'A' + 'a') : byte; }

/* Makes room for n steps at `at`; what was there moves behind them. */
static pattern_step *insert(compiler *c, size_t at, size_t n) {
    pattern *p = c->p;
    if (c->code || p->n_steps + n > PATTERN_STEPS_MAX) {
        FAIL(c, "the pattern '%.*s' is too large: more than %d steps", (int)MIN(c->text.len, (size_t)100), c->text.ptr,
             PATTERN_STEPS_MAX);
        return NULL;
    }
    memmove(&p->step[at + n], &p->step[at], (p->n_steps - at) * sizeof p->step[0]);
    p->n_steps = (uint16_t)(p->n_steps + n);
    return &p->step[at];
}

static void emit(compiler *c, uint8_t op, uint8_t byte, int a, int b) {
    pattern_step *s = insert(c, c->p->n_steps, 1);
    if (s) *s = (pattern_step){op, byte, (int16_t)a, (int16_t)b};
}

/* ---- sets ----------------------------------------------------------------------------------------- */

static void set_add(uint8_t set[32], uint8_t byte) { set[byte / 8] = (uint8_t)(set[byte / 8] | 1u << byte % 8); }
static bool set_has(const uint8_t set[32], uint8_t byte) { return set[byte / 8] >> byte % 8 & 1; }

/* \d \w \s and their opposites; false when `kind` is none of them. */
static bool set_add_kind(uint8_t set[32], char kind) {
    bool opposite = kind == 'D' || kind == 'W' || kind == 'S';
    char k = (char)lower((uint8_t)kind);
    if (k != 'd' && k != 'w' && k != 's') return false;
    for (unsigned i = 0; i < 256; i++) {
        bool digit = i >= '0' && i <= '9', letter = lower((uint8_t)i) >= 'a' && lower((uint8_t)i) <= 'z';
        bool in = k == 'd' ? digit : k == 'w' ? digit || letter || i == '_' : i == ' ' || (i >= '\t' && i <= '\r');
        if (in != opposite) set_add(set, (uint8_t)i);
    }
    return true;
}

static uint8_t *set_new(compiler *c) {
    if (c->p->n_sets == PATTERN_SETS_MAX) {
        FAIL(c, "more than %d sets in one pattern", PATTERN_SETS_MAX);
        return NULL;
    }
    uint8_t *set = c->p->set[c->p->n_sets++];
    memset(set, 0, 32);
    return set;
}

/* An escaped byte that stands for itself. Letters and digits are kept for escapes that this language lacks. */
static uint8_t escaped(compiler *c, char byte) {
    bool word = (byte >= '0' && byte <= '9') || (lower((uint8_t)byte) >= 'a' && lower((uint8_t)byte) <= 'z');
    if (word || !byte) FAIL(c, "\\%c at character %zu of a pattern means nothing here", byte ? byte : ' ', c->at);
    return (uint8_t)byte;
}

/* What follows '['. */
static void parse_set(compiler *c) {
    uint8_t *set = set_new(c);
    size_t start = c->at;
    bool opposite = take(c, '^');
    for (bool first = true; set && !c->code; first = false) {
        if (c->at >= c->text.len) {
            FAIL(c, "the [ at character %zu of a pattern is not closed", start);
            return;
        }
        char low = c->text.ptr[c->at++];
        if (low == ']' && !first) break;
        if (low == '\\') {
            char kind = peek(c);
            c->at++;
            if (set_add_kind(set, kind)) continue;
            low = (char)escaped(c, kind);
        }
        char high = low;
        if (peek(c) == '-' && c->at + 1 < c->text.len && c->text.ptr[c->at + 1] != ']') {
            high = c->text.ptr[c->at + 1];
            c->at += 2;
            if (high == '\\') high = (char)escaped(c, peek(c)), c->at++;
        }
        if ((uint8_t)low > (uint8_t)high) FAIL(c, "the range %c-%c in a pattern runs backwards", low, high);
        for (unsigned i = (uint8_t)low; i <= (uint8_t)high; i++) set_add(set, lower((uint8_t)i));
    }
    if (!set) return;
    for (size_t i = 0; opposite && i < 32; i++) set[i] = (uint8_t)~set[i];
    emit(c, OP_SET, (uint8_t)(c->p->n_sets - 1), 0, 0);
}

/* ---- the grammar ---------------------------------------------------------------------------------- */

static void parse_choice(compiler *c);

static void parse_group(compiler *c) {
    size_t start = c->at;
    if (take(c, '?') && !take(c, ':')) FAIL(c, "(?%c at character %zu of a pattern: only (?: is known", peek(c), start);
    if (++c->depth > DEPTH_MAX) FAIL(c, "parentheses deeper than %d in a pattern", DEPTH_MAX);
    if (!c->code) parse_choice(c);
    c->depth--;
    if (!take(c, ')')) FAIL(c, "the ( at character %zu of a pattern is not closed", start);
}

static void parse_atom(compiler *c) {
    char byte = c->text.ptr[c->at++];
    switch (byte) {
    case '.': emit(c, OP_ANY, 0, 0, 0); return;
    case '^': emit(c, OP_BEGIN, 0, 0, 0); return;
    case '$': emit(c, OP_END, 0, 0, 0); return;
    case '[': parse_set(c); return;
    case '(': parse_group(c); return;
    case '*':
    case '+':
    case '?':
    case '{': FAIL(c, "%c at character %zu of a pattern has nothing to repeat", byte, c->at); return;
    case '\\': {
        char kind = peek(c);
        c->at++;
        if (kind && lower((uint8_t)kind) != 'd' && lower((uint8_t)kind) != 'w' && lower((uint8_t)kind) != 's') {
            emit(c, OP_BYTE, escaped(c, kind), 0, 0);
            return;
        }
        uint8_t *set = kind ? set_new(c) : NULL;
        if (set) set_add_kind(set, kind);
        else escaped(c, kind);
        if (set) emit(c, OP_SET, (uint8_t)(c->p->n_sets - 1), 0, 0);
        return;
    }
    default: emit(c, OP_BYTE, lower((uint8_t)byte), 0, 0);
    }
}

static size_t parse_count(compiler *c) {
    size_t n = 0, start = c->at;
    while (more(c) && peek(c) >= '0' && peek(c) <= '9' && n <= REPEAT_MAX)
        n = 10 * n + (size_t)(c->text.ptr[c->at++] - '0');
    if (c->at == start || n > REPEAT_MAX) FAIL(c, "{} in a pattern wants counts from 0 to %d", REPEAT_MAX);
    return n;
}

/* The steps from `first` on become low to high repetitions of themselves; high SIZE_MAX: any number. */
static void repeat(compiler *c, size_t first, size_t low, size_t high) {
    pattern *p = c->p;
    size_t len = p->n_steps - first;
    bool endless = high == SIZE_MAX;
    size_t copies = endless ? MAX(low, 1) : high;
    if (copies == 0) p->n_steps = (uint16_t)first;
    for (size_t i = 1; i < copies; i++) {
        pattern_step *to = insert(c, p->n_steps, len);
        if (!to) return;
        memcpy(to, &p->step[first], len * sizeof *to);
    }
    /* From the last copy to the first, since what is inserted moves the later ones. */
    for (size_t i = copies; i-- > low;) {
        pattern_step *skip = insert(c, first + i * len, 1);
        if (!skip) return;
        *skip = (pattern_step){OP_FORK, 0, 1, (int16_t)(len + 1 + (endless ? 1 : 0))};
    }
    if (!endless) return;
    if (low == 0) emit(c, OP_FORK, 0, -(int)len - 1, -(int)len - 1); /* back to the fork that may skip it */
    else emit(c, OP_FORK, 0, -(int)len, 1);
}

/* A quantifier, if there is one. The ? that would make it lazy changes nothing for who asks only whether. */
static void parse_quantifier(compiler *c, size_t first) {
    if (take(c, '*')) {
        repeat(c, first, 0, SIZE_MAX);
    } else if (take(c, '+')) {
        repeat(c, first, 1, SIZE_MAX);
    } else if (take(c, '?')) {
        repeat(c, first, 0, 1);
    } else if (take(c, '{')) {
        size_t low = parse_count(c), high = low;
        if (take(c, ',')) high = peek(c) == '}' ? SIZE_MAX : parse_count(c);
        if (!take(c, '}') || low > high) FAIL(c, "a {} in a pattern is not closed or runs backwards");
        else repeat(c, first, low, high);
    } else {
        return;
    }
    take(c, '?');
}

static void parse_sequence(compiler *c) {
    while (more(c) && peek(c) != '|' && peek(c) != ')') {
        size_t first = c->p->n_steps;
        parse_atom(c);
        parse_quantifier(c, first);
    }
}

static void parse_choice(compiler *c) {
    size_t first = c->p->n_steps;
    parse_sequence(c);
    if (!take(c, '|')) return;
    size_t len = c->p->n_steps - first;
    pattern_step *fork = insert(c, first, 1);
    if (fork) *fork = (pattern_step){OP_FORK, 0, 1, (int16_t)(len + 2)};
    size_t jump = c->p->n_steps;
    emit(c, OP_FORK, 0, 1, 1);
    if (c->code) return;
    parse_choice(c); /* at most PATTERN_BYTES_MAX deep */
    c->p->step[jump].a = c->p->step[jump].b = (int16_t)(c->p->n_steps - jump);
}

err_code pattern_compile(pattern *out, str text, err *e) {
    compiler c = {.p = out, .text = text, .e = e};
    out->n_steps = out->n_sets = 0;
    if (text.len == 0 || text.len > PATTERN_BYTES_MAX)
        return ERR(e, ERR_ARGUMENT, "a pattern of %zu bytes, wanted 1 to %d", text.len, PATTERN_BYTES_MAX);
    parse_choice(&c);
    if (!c.code && c.at < text.len) FAIL(&c, "the ) at character %zu of a pattern closes nothing", c.at + 1);
    emit(&c, OP_FOUND, 0, 0, 0);
    return c.code;
}

/* ---- searching ------------------------------------------------------------------------------------ */

typedef struct states {
    uint8_t in[PATTERN_STEPS_MAX / 8];
    uint16_t list[PATTERN_STEPS_MAX];
    size_t n;
} states;

static void reach(const pattern *p, states *s, size_t step, bool at_begin, bool at_end) {
    uint16_t todo[2 * PATTERN_STEPS_MAX + 1]; /* each step is entered once and leaves two at most */
    size_t n = 0;
    todo[n++] = (uint16_t)step;
    while (n) {
        size_t i = todo[--n];
        if (s->in[i / 8] >> i % 8 & 1) continue;
        s->in[i / 8] = (uint8_t)(s->in[i / 8] | 1u << i % 8);
        const pattern_step *x = &p->step[i];
        if (x->op == OP_FORK) {
            todo[n++] = (uint16_t)((int)i + x->a);
            if (x->b != x->a) todo[n++] = (uint16_t)((int)i + x->b);
        } else if ((x->op == OP_BEGIN && at_begin) || (x->op == OP_END && at_end)) {
            todo[n++] = (uint16_t)(i + 1);
        } else if (x->op != OP_BEGIN && x->op != OP_END) {
            s->list[s->n++] = (uint16_t)i;
        }
    }
}

bool pattern_finds(const pattern *p, str name) {
    states now = {.n = 0}, next;
    for (size_t at = 0;; at++) {
        reach(p, &now, 0, at == 0, at == name.len);
        memset(next.in, 0, sizeof next.in);
        next.n = 0;
        uint8_t byte = at < name.len ? lower((uint8_t)name.ptr[at]) : 0;
        for (size_t i = 0; i < now.n; i++) {
            const pattern_step *x = &p->step[now.list[i]];
            if (x->op == OP_FOUND) return true;
            bool fits = x->op == OP_ANY || (x->op == OP_BYTE && x->byte == byte) ||
                        (x->op == OP_SET && set_has(p->set[x->byte], byte));
            if (fits && at < name.len) reach(p, &next, now.list[i] + 1u, false, at + 1 == name.len);
        }
        if (at == name.len) return false;
        now = next;
    }
}
