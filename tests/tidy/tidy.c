/* tidy.c: reads the source text and names every breach of the tree's own rules, a line each: file:line, seen, wanted.
 *
 *     tidy DIR...        exit status 1 when there is a breach, 2 when something cannot be read
 *
 * The rules are docs of their own: the tables below say which folder stands on which floor, what may be included from
 * outside and how long things may be. What needs a compiler or symbols is in symbols.sh. Files are judged by their path
 * from src/ on, so that a tree of bad examples (selftest.sh) can be read as well.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the rules ------------------------------------------------------------------------------------- */

/* Include paths by their longest match. A file sees its own row, rows of lower floors, and the edges. */
static const struct floor_row {
    const char *prefix;
    int floor;
} floors[] = {
    {"base/", 0},  {"plat/plat.h", 1}, {"mem/", 1},    {"quant/", 2},       {"gguf/", 2},       {"json/", 2},
    {"uni/", 2},   {"imatrix/", 3},    {"kern/", 3},   {"pool/", 3},        {"store/", 3},      {"tok/", 4},
    {"tmpl/", 4},  {"gram/", 4},       {"dev/", 4},    {"kv/", 5},          {"model/", 5},      {"engine/", 6},
    {"dist/", 6},  {"leat.h", 6},      {"version.h", 6}, {"srv/", 7},       {"tools/", 8},      {"plat/posix/", 9},
    {"plat/fault/", 9},                {"plat/bare/", 9},                   {"hosted/", 9},     {"cache/", 2},
    {"emit/", 2},  {"kern_levels.h", 2}, {"kernel/", 8}, {"volume/", 2},
    {"lwip/", 1},  {"netif/", 1}, /* build/lwip: for kernel/net and plat/bare/stream.c */
};
static const char *const same_floor_edges[][2] = {
    {"mem/", "plat/plat.h"}, {"gguf/", "quant/"}, {"model/", "kv/"},   {"engine/", "dist/"},
    {"engine/", "leat.h"},   {"dist/", "leat.h"}, {"engine/", "version.h"},
    {"hosted/", "plat/posix/"}, {"plat/fault/", "plat/posix/"}, {"hosted/", "plat/bare/"},
};
/* What the core may include in angle brackets: the freestanding headers, and base/shim/string.h. */
static const char *const free_headers[] = {"stdint.h", "stddef.h",    "stdbool.h",   "stdarg.h",
                                           "float.h",  "stdatomic.h", "immintrin.h", "cpuid.h", "arm_neon.h",
                                           "string.h"};

enum {
    FILE_LINES = 1000,
    PUBLIC_HEADER_LINES = 300,
    FACE_LINES = 500, /* include/leat.h: the whole public API */
    FUNCTION_LINES = 70,
    LONG_FUNCTION_LINES = 150, /* kern/, tests, and where the comment above says "state machine" */
    LINE_COLUMNS = 120,      /* but in tables */
    LONG_LINE_COLUMNS = 160, /* kern/ and its tests: a word of the vector vocabulary is a line */
};

/* ---- reading --------------------------------------------------------------------------------------- */

typedef struct source {
    char *path;      /* as found */
    const char *key; /* from src/ on, or the path itself: base/base.h, leat.h, tests/... */
    char *raw;
    char *code;      /* raw with comments, literals and preprocessor lines blanked */
    size_t bytes;
    size_t *edges;   /* sources that it includes */
    size_t n_edges;
    int colour;      /* of the search for cycles */
} source;

static source *sources;
static size_t n_sources;
static size_t n_breaches;

static void *must(void *p) {
    if (p) return p;
    perror("tidy");
    exit(2);
}

static void breach(const char *path, size_t line, const char *format, ...) {
    va_list args;
    printf("%s:%zu: ", path, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    n_breaches++;
}

static bool starts(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }
static bool ends(const char *s, const char *suffix) {
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static const char *key_of(const char *path) {
    const char *at;
    if ((at = strstr(path, "src/"))) return at + 4;
    if ((at = strstr(path, "include/"))) return at + 8;
    return path;
}

static void read_source(const char *path) {
    FILE *f = must(fopen(path, "rb"));
    struct stat st;
    stat(path, &st);
    sources = must(realloc(sources, (n_sources + 1) * sizeof *sources));
    source *s = &sources[n_sources++];
    *s = (source){.path = must(strdup(path)), .bytes = (size_t)st.st_size};
    s->key = key_of(s->path);
    s->raw = must(malloc(s->bytes + 1));
    s->code = must(malloc(s->bytes + 1));
    if (fread(s->raw, 1, s->bytes, f) != s->bytes) must(NULL);
    s->raw[s->bytes] = s->code[s->bytes] = 0;
    fclose(f);
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void read_tree(const char *dir) {
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, NULL, by_name);
    if (n < 0) {
        perror(dir);
        exit(2);
    }
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char path[1024];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, name);
        if (name[0] != '.' && stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode)) read_tree(path);
            else if (ends(name, ".c") || ends(name, ".h")) read_source(path);
        }
        free(entries[i]);
    }
    free(entries);
}

/* Blanks what is no code, newlines excepted, so that offsets and lines stay. State machine. */
static void strip(source *s) {
    enum { CODE, LINE, BLOCK, STRING, CHAR, DIRECTIVE } state = CODE;
    bool fresh = true; /* only white space so far on this line */
    for (size_t i = 0; i < s->bytes; i++) {
        char c = s->raw[i], next = s->raw[i + 1];
        bool keep = c == '\n';
        switch (state) {
        case CODE:
            if (c == '/' && next == '/') state = LINE;
            else if (c == '/' && next == '*') state = BLOCK, s->code[i++] = ' ';
            else if (c == '"') state = STRING;
            else if (c == '\'') state = CHAR;
            else if (c == '#' && fresh) state = DIRECTIVE;
            else keep = true;
            break;
        case LINE:
            if (c == '\n') state = CODE;
            break;
        case BLOCK:
            if (c == '*' && next == '/') state = CODE, s->code[i++] = ' ';
            break;
        case STRING:
        case CHAR:
            if (c == '\\') s->code[i++] = ' ';
            else if (c == (state == STRING ? '"' : '\'')) state = CODE;
            break;
        case DIRECTIVE:
            if (c == '\\' && next == '\n') s->code[i] = ' ', s->code[++i] = '\n';
            else if (c == '/' && next == '*') state = BLOCK, s->code[i++] = ' ';
            else if (c == '\n') state = CODE;
            if (state == DIRECTIVE && s->raw[i] == '\n') continue;
            break;
        }
        s->code[i] = keep ? c : ' ';
        if (s->raw[i] == '\n') fresh = true;
        else if (!isspace((unsigned char)s->raw[i]) && state != BLOCK) fresh = false;
    }
}

/* ---- floors ---------------------------------------------------------------------------------------- */

static const struct floor_row *row_of(const char *key) {
    const struct floor_row *best = NULL;
    for (size_t i = 0; i < sizeof floors / sizeof *floors; i++)
        if (starts(key, floors[i].prefix) && (!best || strlen(best->prefix) < strlen(floors[i].prefix)))
            best = &floors[i];
    return best;
}

static bool may_see(const struct floor_row *from, const struct floor_row *to) {
    if (from == to) return true;
    for (size_t i = 0; i < sizeof same_floor_edges / sizeof *same_floor_edges; i++)
        if (strcmp(from->prefix, same_floor_edges[i][0]) == 0 && strcmp(to->prefix, same_floor_edges[i][1]) == 0)
            return true;
    return from->floor > to->floor;
}

static bool is_core(const char *key) {
    const struct floor_row *row = row_of(key);
    return row && row->floor < 9;
}

static void check_include(const source *s, size_t line, const char *name) {
    const struct floor_row *from = row_of(s->key), *to = row_of(name);
    if (!to) {
        breach(s->path, line, "includes \"%s\", which stands on no floor; wanted a path from src/", name);
    } else if (!may_see(from, to)) {
        breach(s->path, line, "includes \"%s\" (floor %d); wanted lower than floor %d of %s", name, to->floor,
               from->floor, from->prefix);
    } else if (from != to && ends(name, "_int.h")) {
        breach(s->path, line, "includes \"%s\", which is for its own folder; wanted its public header", name);
    }
}

static void check_system_include(const source *s, size_t line, const char *name) {
    for (size_t i = 0; i < sizeof free_headers / sizeof *free_headers; i++)
        if (strcmp(name, free_headers[i]) == 0) {
            bool of_processor = strcmp(name, "immintrin.h") == 0 || strcmp(name, "cpuid.h") == 0 ||
                                strcmp(name, "arm_neon.h") == 0;
            if (of_processor && !starts(s->key, "kern/") && !starts(s->key, "base/"))
                breach(s->path, line, "includes <%s>; wanted only in kern/ and base/", name);
            return;
        }
    breach(s->path, line, "includes <%s>; wanted only freestanding headers in the core", name);
}

static void note_edge(source *s, const char *name) {
    for (size_t i = 0; i < n_sources; i++)
        if (strcmp(sources[i].key, name) == 0) {
            s->edges = must(realloc(s->edges, (s->n_edges + 1) * sizeof *s->edges));
            s->edges[s->n_edges++] = i;
        }
}

static void check_includes(source *s) {
    const char *line_at = s->raw;
    for (size_t line = 1; line_at; line++, line_at = strchr(line_at, '\n'), line_at += line_at != NULL) {
        char quote, name[256];
        if (sscanf(line_at, " # include %c%255[^\">\n]", &quote, name) != 2) continue;
        if (quote == '"') note_edge(s, name);
        if (!row_of(s->key)) continue; /* tests and examples see everything */
        if (quote == '"') check_include(s, line, name);
        else if (is_core(s->key) && !starts(s->key, "base/shim/")) check_system_include(s, line, name);
    }
}

/* Depth first; colour 1 is on the way, 2 is done. */
static void check_cycles(source *s) {
    s->colour = 1;
    for (size_t i = 0; i < s->n_edges; i++) {
        source *to = &sources[s->edges[i]];
        if (to->colour == 1) breach(s->path, 1, "includes %s, which includes it; wanted no cycle", to->path);
        else if (to->colour == 0) check_cycles(to);
    }
    s->colour = 2;
}

/* ---- sizes and words ------------------------------------------------------------------------------- */

static bool is_table(const char *path) { return ends(path, "_tables.c") || ends(path, "_grids.c"); }

/* folder/folder.h, include/NAME.h */
static bool is_public_header(const source *s) {
    const char *slash = strchr(s->key, '/');
    if (!ends(s->path, ".h") || !row_of(s->key)) return false;
    if (!slash) return true;
    size_t n = (size_t)(slash - s->key);
    return strlen(s->key) == 2 * n + 3 && strncmp(slash + 1, s->key, n) == 0;
}

static void check_lines(const source *s) {
    size_t n_lines = 0, limit = strstr(s->path, "/kern/") ? LONG_LINE_COLUMNS : LINE_COLUMNS;
    for (const char *at = s->raw; *at; n_lines++) {
        const char *end = strchr(at, '\n');
        size_t columns = 0;
        if (!end) end = at + strlen(at);
        for (const char *c = at; c < end; c++) {
            columns += (*c & 0xc0) != 0x80; /* one a UTF-8 character */
            if (*c == '\t') breach(s->path, n_lines + 1, "a tab; wanted spaces"), c = end - 1;
        }
        if (columns > limit && !is_table(s->path))
            breach(s->path, n_lines + 1, "%zu columns; wanted at most %zu", columns, limit);
        if (end > at && end[-1] == ' ') breach(s->path, n_lines + 1, "white space at the end; wanted none");
        if (*end == 0) {
            breach(s->path, n_lines + 1, "no newline at the end; wanted one");
            break;
        }
        at = end + 1;
    }
    if (n_lines > FILE_LINES && !is_table(s->path))
        breach(s->path, n_lines, "%zu lines; wanted at most %d", n_lines, FILE_LINES);
    int header_lines = strncmp(s->path, "include/", 8) ? PUBLIC_HEADER_LINES : FACE_LINES;
    if (n_lines > (size_t)header_lines && is_public_header(s))
        breach(s->path, n_lines, "a public header of %zu lines; wanted at most %d", n_lines, header_lines);
}

static size_t line_of(const source *s, size_t offset) {
    size_t line = 1;
    for (size_t i = 0; i < offset; i++) line += s->raw[i] == '\n';
    return line;
}

static void check_words(const source *s) {
    if (!starts(s->raw, "/*")) breach(s->path, 1, "no banner; wanted a comment that says what the file owns");
    bool may_choose = starts(s->key, "base/") || strcmp(s->key, "leat.h") == 0;
    if (!is_core(s->key) || may_choose) return;
    for (const char *at = s->raw; (at = strstr(at, "\n#")); at++) {
        const char *word = at + 2;
        while (*word == ' ') word++;
        if (!starts(word, "if") || starts(word, "ifndef LEAT_")) continue;
        breach(s->path, line_of(s, (size_t)(at - s->raw)) + 1,
               "a conditional in the core; wanted a choice by file list");
    }
}

static bool says_state_machine(const char *at, const char *end) {
    static const char mark[] = "state machine";
    for (; at + sizeof mark - 1 <= end; at++) {
        size_t i = 0;
        while (mark[i] && tolower((unsigned char)at[i]) == mark[i]) i++;
        if (!mark[i]) return true;
    }
    return false;
}

/* The identifier before the parameters that end at `close`; attributes are stepped over. Of TEST(name) all. */
static void function_name(const char *code, size_t close, char *name, size_t cap) {
    for (;;) {
        size_t depth = 0, at = close + 1;
        do {
            at--;
            depth += (code[at] == ')') - (code[at] == '(');
        } while (depth && at);
        while (at && isspace((unsigned char)code[at - 1])) at--;
        size_t end = at;
        while (at && (isalnum((unsigned char)code[at - 1]) || code[at - 1] == '_')) at--;
        if (starts(code + at, "TEST(")) end = close + 1;
        snprintf(name, cap, "%.*s", (int)(end - at), code + at);
        if (!starts(name, "__attribute")) return;
        while (at && code[at] != ')') at--;
        if (!at) return;
        close = at;
    }
}

static void check_functions(const source *s) {
    size_t depth = 0, top = 0, open = 0, last = 0; /* top: where the definition began; last: last visible character */
    char name[128] = "";
    bool in_function = false;
    for (size_t i = 0; i < s->bytes; i++) {
        char c = s->code[i];
        if (isspace((unsigned char)c)) continue;
        if (c == '{' && depth++ == 0 && s->code[last] == ')') {
            in_function = true;
            open = i;
            function_name(s->code, last, name, sizeof name);
        }
        if (c == '}' && depth) depth--;
        if (c == '}' && depth == 0 && in_function) {
            size_t first = line_of(s, open), n = line_of(s, i) - first + 1;
            bool is_long =
                starts(s->key, "kern/") || !row_of(s->key) || says_state_machine(s->raw + top, s->raw + open);
            size_t limit = is_long ? LONG_FUNCTION_LINES : FUNCTION_LINES;
            if (n > limit) breach(s->path, first, "%s has %zu lines; wanted at most %zu", name, n, limit);
            in_function = false;
        }
        if (depth == 0 && (c == '}' || c == ';')) top = i;
        last = i;
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: tidy DIR...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) read_tree(argv[i]);
    for (size_t i = 0; i < n_sources; i++) {
        strip(&sources[i]);
        check_includes(&sources[i]);
        check_lines(&sources[i]);
        check_words(&sources[i]);
        if (!is_table(sources[i].path)) check_functions(&sources[i]);
    }
    for (size_t i = 0; i < n_sources; i++)
        if (sources[i].colour == 0) check_cycles(&sources[i]);
    for (size_t i = 0; i < n_sources; i++) {
        free(sources[i].path);
        free(sources[i].raw);
        free(sources[i].code);
        free(sources[i].edges);
    }
    printf("tidy: %zu files, %zu breaches\n", n_sources, n_breaches);
    free(sources);
    return n_breaches > 0;
}
