/* args.c: one parser and one help printer for all commands, both driven by the command's table of options.
 *
 * Forms: -n 5, -n5, --name 5, --name=5; flags may be bundled (-qv); "--" ends the options. A value may begin with a
 * dash (-n -1). Refuses abbreviations: a script that works today must not become ambiguous tomorrow. Next: output.c.
 */
#include "json/json.h"
#include "mem/mem.h"
#include "tools/tools_int.h"

#define HELP_COLUMN 28 /* where the help of an option begins */

typedef struct parser {
    tools *t;
    const tools_command *command;
    char *values;
    bool given[64]; /* by row; see _Static_assert in args_parse */
} parser;

/* ---- the nearest word ------------------------------------------------------------------------------ */

void args_consider(args_nearest *n, const char *candidate) {
    str c = str_of(candidate);
    size_t distance = str_distance(n->word, c);
    size_t near = MAX(n->word.len, c.len) / 3;
    /* A word that goes on as typed is near, too: "perp" for perplexity. */
    if (n->word.len >= 3 && str_starts(c, n->word)) distance = MIN(distance, 1), near = MAX(near, 1);
    if (distance > MAX(near, 1) || distance >= n->distance || distance >= MAX(n->word.len, c.len)) return;
    n->best = candidate;
    n->distance = distance;
}

/* ---- values ---------------------------------------------------------------------------------------- */

/* The option as the user wrote it, for messages: "--top-k" or "-n". */
static const char *spelled(const tools_option *o, bool longer, char *buf, size_t cap) {
    if (longer) fmt(buf, cap, "--%s", o->name);
    else fmt(buf, cap, "-%c", o->letter);
    return buf;
}

static int set_int(parser *p, const tools_option *o, const char *name, const char *text, void *at) {
    int64_t v;
    if (!parse_i64(str_of(text), &v) || (double)v < o->min || (double)v > o->max)
        return tools_usage(p->t, "%s: '%.100s' is not a whole number from %lld to %lld", name, text, (long long)o->min,
                           (long long)o->max);
    *(int32_t *)at = (int32_t)v;
    return TOOLS_OK;
}

static int set_float(parser *p, const tools_option *o, const char *name, const char *text, void *at) {
    double v;
    if (!parse_f64(str_of(text), &v) || !(v >= o->min && v <= o->max))
        return tools_usage(p->t, "%s: '%.100s' is not a number from %g to %g", name, text, o->min, o->max);
    *(float *)at = (float)v;
    return TOOLS_OK;
}

static bool next_word(str *rest, char sep, str *word) {
    if (!rest->ptr) return false;
    size_t end = 0;
    while (end < rest->len && rest->ptr[end] != sep) end++;
    *word = str_cut(*rest, 0, end);
    *rest = end < rest->len ? str_cut(*rest, end + 1, rest->len) : (str){0};
    return true;
}

static int set_choice(parser *p, const tools_option *o, const char *name, const char *text, void *at) {
    str rest = str_of(o->value), word;
    while (next_word(&rest, '|', &word)) {
        if (!str_is(word, text)) continue;
        *(const char **)at = text;
        return TOOLS_OK;
    }
    return tools_usage(p->t, "%s: '%.100s' is none of %s", name, text, o->value);
}

static int set_object(parser *p, const char *name, const char *text, const char **at) {
    arena mem;
    json_value v;
    err e;
    if (arena_open(&mem, MEM_TOOLS, (size_t)1 << 30, &e)) return tools_fail_text(p->t, e.text);
    err_code code = json_parse(&mem, str_of(text), &v, &e);
    arena_close(&mem);
    if (code == ERR_MEMORY) return tools_fail_text(p->t, e.text);
    if (code) return tools_usage(p->t, "%s: %s", name, e.text);
    if (v.kind != JSON_OBJECT) return tools_usage(p->t, "%s is %s, wanted an object", name, json_kind_name(v.kind));
    *at = text;
    return TOOLS_OK;
}

static int set_strs(parser *p, const char *name, const char *text, tools_strs *list) {
    if (list->n == TOOLS_STRS_MAX) return tools_usage(p->t, "%s: given more than %d times", name, TOOLS_STRS_MAX);
    list->at[list->n++] = text;
    return TOOLS_OK;
}

/* One item of a list: "8", "1-4" (every number), "0-4096+1024" (steps), "64-512*2" (factors). */
static bool add_range(const tools_option *o, str item, tools_ints *list) {
    int64_t first, last, by = 1;
    bool factor = false;
    str low = item, high = {0};
    for (size_t i = 1; i < item.len; i++) {
        if (item.ptr[i] != '-') continue;
        low = str_cut(item, 0, i);
        high = str_cut(item, i + 1, item.len);
        break;
    }
    for (size_t i = 0; i < high.len; i++) {
        if (high.ptr[i] != '+' && high.ptr[i] != '*') continue;
        factor = high.ptr[i] == '*';
        if (!parse_i64(str_cut(high, i + 1, high.len), &by) || by < (factor ? 2 : 1) || by > INT32_MAX) return false;
        high = str_cut(high, 0, i);
        break;
    }
    if (!parse_i64(low, &first)) return false;
    last = first;
    if (high.ptr && !parse_i64(high, &last)) return false;
    if ((double)first < o->min || (double)last > o->max || first > last || (factor && first < 1)) return false;
    for (int64_t v = first; v <= last; v = factor ? v * by : v + by) {
        if (list->n == TOOLS_INTS_MAX) return false;
        list->at[list->n++] = (int32_t)v;
    }
    return true;
}

static int set_ints(parser *p, const tools_option *o, const char *name, const char *text, tools_ints *list) {
    str rest = str_of(text), item;
    list->n = 0;
    while (next_word(&rest, ',', &item)) {
        if (!add_range(o, item, list))
            return tools_usage(
                p->t,
                "%s: '%.*s' is not a whole number from %lld to %lld nor a range of at most %d such (1,2,8 or 1-4 or "
                "0-4096+1024 or 64-512*2)",
                name, (int)MIN(item.len, (size_t)100), item.ptr, (long long)o->min, (long long)o->max, TOOLS_INTS_MAX);
    }
    return TOOLS_OK;
}

static int set_value(parser *p, const tools_option *o, const char *name, const char *text) {
    void *at = p->values + o->at;
    p->given[o - p->command->options] = true;
    switch ((tools_kind)o->kind) {
    case TOOLS_KIND_FLAG: *(bool *)at = true; return TOOLS_OK;
    case TOOLS_KIND_INT: return set_int(p, o, name, text, at);
    case TOOLS_KIND_FLOAT: return set_float(p, o, name, text, at);
    case TOOLS_KIND_CHOICE: return set_choice(p, o, name, text, at);
    case TOOLS_KIND_STRS: return set_strs(p, name, text, at);
    case TOOLS_KIND_INTS: return set_ints(p, o, name, text, at);
    case TOOLS_KIND_STR: *(const char **)at = text; return TOOLS_OK;
    case TOOLS_KIND_OBJECT: return set_object(p, name, text, at);
    case TOOLS_KIND_U64:
        if (parse_u64(str_of(text), at)) return TOOLS_OK;
        return tools_usage(p->t, "%s: '%.100s' is not a whole number from 0 to 18446744073709551615", name, text);
    case TOOLS_KIND_SIZE:
        if (parse_bytes(str_of(text), at) && *(uint64_t *)at) return TOOLS_OK;
        return tools_usage(p->t, "%s: '%.100s' is not a size such as 512, 64K or 1.5G", name, text);
    }
    return TOOLS_USAGE;
}

/* ---- the command line ------------------------------------------------------------------------------- */

static const tools_option *find_long(const tools_command *c, str name) {
    for (size_t i = 0; i < c->n_options; i++)
        if (str_is(name, c->options[i].name)) return &c->options[i];
    return NULL;
}

static const tools_option *find_letter(const tools_command *c, char letter) {
    for (size_t i = 0; i < c->n_options; i++)
        if (letter && c->options[i].letter == letter) return &c->options[i];
    return NULL;
}

static const tools_option *find_word(const tools_command *c, str word) {
    for (size_t i = 0; i < c->n_options; i++)
        if (c->options[i].word && str_is(word, c->options[i].word)) return &c->options[i];
    return NULL;
}

static int unknown_option(parser *p, str name, const char *written) {
    args_nearest n = {name, NULL, SIZE_MAX};
    for (size_t i = 0; i < p->command->n_options; i++) args_consider(&n, p->command->options[i].name);
    args_consider(&n, "help");
    if (n.best) return tools_usage(p->t, "unknown option %.100s; did you mean --%s?", written, n.best);
    return tools_usage(p->t, "unknown option %.100s", written);
}

static int parse_long(parser *p, int argc, char **argv, int *i) {
    const char *written = argv[*i];
    str name = str_of(written + 2);
    const char *value = NULL;
    for (size_t k = 0; k < name.len; k++) {
        if (name.ptr[k] != '=') continue;
        value = name.ptr + k + 1;
        name.len = k;
        break;
    }
    const tools_option *o = find_long(p->command, name);
    if (!o) return unknown_option(p, name, written);
    char buf[64];
    spelled(o, true, buf, sizeof buf);
    if (o->kind == TOOLS_KIND_FLAG) {
        if (value) return tools_usage(p->t, "%s takes no value", buf);
    } else if (!value) {
        if (*i + 1 >= argc) return tools_usage(p->t, "%s wants a value: %s", buf, o->value);
        value = argv[++*i];
    }
    return set_value(p, o, buf, value);
}

static int parse_short(parser *p, int argc, char **argv, int *i) {
    const char *written = argv[*i];
    str word = str_of(written + 1);
    const tools_option *whole = find_word(p->command, word);
    if (whole && *i + 1 >= argc) return tools_usage(p->t, "%s wants a value: %s", written, whole->value);
    if (whole) return set_value(p, whole, written, argv[++*i]);
    if (word.len > 1 && find_long(p->command, word))
        return tools_usage(p->t, "unknown option %s; did you mean --%s?", written, word.ptr);
    for (const char *at = word.ptr; *at; at++) {
        const tools_option *o = find_letter(p->command, *at);
        if (!o) return unknown_option(p, word, written);
        char buf[64];
        spelled(o, false, buf, sizeof buf);
        if (o->kind != TOOLS_KIND_FLAG) {
            const char *value = at[1] ? at + 1 : NULL;
            if (!value && *i + 1 >= argc) return tools_usage(p->t, "%s wants a value: %s", buf, o->value);
            return set_value(p, o, buf, value ? value : argv[++*i]);
        }
        int status = set_value(p, o, buf, NULL);
        if (status != TOOLS_OK) return status;
    }
    return TOOLS_OK;
}

static int parse_bare(parser *p, const char *word) {
    for (size_t i = 0; i < p->command->n_options; i++) {
        const tools_option *o = &p->command->options[i];
        if (o->bare && (!p->given[i] || o->kind == TOOLS_KIND_STRS)) return set_value(p, o, o->name, word);
    }
    return tools_usage(p->t, "what is '%.100s'? It is no option and has no place here", word);
}

int args_parse(tools *t, int argc, char **argv, void *values) {
    parser p = {.t = t, .command = t->command, .values = values};
    ASSERT(t->command->values_bytes <= TOOLS_VALUES_MAX && t->command->n_options <= COUNT_OF(p.given));
    bool options_over = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        int status;
        if (!options_over && cstr_eq(word, "--")) {
            options_over = true;
            continue;
        }
        if (!options_over && (cstr_eq(word, "--help") || cstr_eq(word, "-h"))) {
            args_help(t);
            return TOOLS_HELPED;
        }
        if (options_over || word[0] != '-' || !word[1]) status = parse_bare(&p, word);
        else if (word[1] == '-') status = parse_long(&p, argc, argv, &i);
        else status = parse_short(&p, argc, argv, &i);
        if (status != TOOLS_OK) return status;
    }
    for (size_t i = 0; i < p.command->n_options; i++) {
        const tools_option *o = &p.command->options[i];
        if (!o->required || p.given[i]) continue;
        if (o->letter) return tools_usage(t, "-%c %s is missing", o->letter, o->value);
        return tools_usage(t, "--%s %s is missing", o->name, o->value);
    }
    return TOOLS_OK;
}

/* ---- help ------------------------------------------------------------------------------------------ */

/* The option's default as help shows it. */
static size_t default_text(const tools_option *o, const char *values, char *buf, size_t cap) {
    const void *at = values + o->at;
    switch ((tools_kind)o->kind) {
    case TOOLS_KIND_INT: return fmt(buf, cap, "%d", *(const int32_t *)at);
    case TOOLS_KIND_U64:
    case TOOLS_KIND_SIZE: return fmt(buf, cap, "%llu", (unsigned long long)*(const uint64_t *)at);
    case TOOLS_KIND_FLOAT: return fmt(buf, cap, "%g", (double)*(const float *)at);
    case TOOLS_KIND_STR:
    case TOOLS_KIND_OBJECT:
    case TOOLS_KIND_CHOICE: return fmt(buf, cap, "%s", *(const char *const *)at);
    case TOOLS_KIND_INTS: {
        const tools_ints *list = at;
        size_t n = 0;
        for (size_t i = 0; i < list->n; i++) n += fmt(buf + n, cap - n, i ? ",%d" : "%d", list->at[i]);
        return n;
    }
    case TOOLS_KIND_FLAG:
    case TOOLS_KIND_STRS: break;
    }
    return fmt(buf, cap, "none");
}

/* Prints words from `column` on, folded at `width` and indented by `indent`. */
static void print_folded(tools *t, str text, size_t column, size_t indent, size_t width) {
    str rest = text, word;
    bool first = true;
    while (next_word(&rest, ' ', &word)) {
        if (!word.len) continue;
        if (!first && column + 1 + word.len > width) {
            tools_out(t, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            tools_out(t, " ");
            column++;
        }
        tools_out_bytes(t, word.ptr, word.len);
        column += word.len;
        first = false;
    }
    tools_out(t, "\n");
}

static void option_help(tools *t, const tools_option *o, const char *values, size_t width) {
    char head[128], text[768], standard[128];
    size_t n = o->letter ? fmt(head, sizeof head, "  -%c, --%s", o->letter, o->name)
               : o->word ? fmt(head, sizeof head, "  -%s, --%s", o->word, o->name)
                         : fmt(head, sizeof head, "      --%s", o->name);
    if (o->value) n += fmt(head + n, sizeof head - n, " %s", o->value);
    tools_out(t, "%s", head);
    if (n + 2 > HELP_COLUMN) tools_out(t, "\n%*s", HELP_COLUMN, "");
    else tools_out(t, "%*s", (int)(HELP_COLUMN - n), "");
    default_text(o, values, standard, sizeof standard);
    str help = str_of(o->help);
    size_t mark = str_find(help, STR("{}"));
    if (mark != SIZE_MAX) {
        size_t len = fmt(text, sizeof text, "%.*s%s%s", (int)mark, help.ptr, standard, help.ptr + mark + 2);
        help = (str){text, len};
    }
    print_folded(t, help, HELP_COLUMN, HELP_COLUMN, width);
}

void args_help(tools *t) {
    const tools_command *c = t->command;
    _Alignas(16) char values[TOOLS_VALUES_MAX];
    memset(values, 0, sizeof values);
    if (c->defaults) c->defaults(values);
    size_t width = MIN((size_t)MAX(plat_terminal_columns(), 60), (size_t)100);
    tools_out(t, "usage: leat %s %s\n\n%s.\n\n", c->name, c->usage, c->summary);
    for (size_t i = 0; i < c->n_options; i++) option_help(t, &c->options[i], values, width);
    tools_out(t, "  -h, --help                this text\n");
    str rest = c->notes ? str_of(c->notes) : (str){0}, paragraph;
    while (next_word(&rest, '\n', &paragraph)) {
        tools_out(t, "\n");
        print_folded(t, paragraph, 0, 0, width);
    }
}
