/* The option parser: one table, every kind of value, and the words for what is wrong. */
#include "check.h"
#include "tools/tools_int.h"

#include <fcntl.h>
#include <unistd.h>

typedef struct values {
    const char *file, *text, *format;
    bool quiet, verbose;
    int32_t n;
    uint64_t seed, bytes;
    float temp;
    tools_strs stops;
    tools_ints list;
} values;

static void defaults(void *at) {
    values *v = at;
    v->n = -1;
    v->temp = 0.8f;
    v->list = (tools_ints){{5, 6}, 2};
}

static int run(tools *t, const void *at) {
    (void)t;
    (void)at;
    return TOOLS_OK;
}

static const tools_option options[] = {
    TOOLS_MODEL(values, file),
    TOOLS_STR(values, text, 'p', "prompt", "TEXT", "a text"),
    TOOLS_CHOICE(values, format, 'o', "output", "md|json|csv", "a word"),
    TOOLS_FLAG(values, quiet, 'q', "quiet", "a flag"),
    TOOLS_FLAG(values, verbose, 'v', "verbose", "another"),
    TOOLS_INT(values, n, 'n', "predict", "N", -1, 100, "a number ({})"),
    TOOLS_U64(values, seed, 's', "seed", "S", "a large one"),
    TOOLS_SIZE(values, bytes, 0, "budget", "SIZE", "a size"),
    TOOLS_FLOAT(values, temp, 0, "temp", "X", 0, 10, "a real one ({})"),
    TOOLS_STRS(values, stops, 0, "stop", "TEXT", "some texts"),
    TOOLS_INTS(values, list, 'l', "list", "LIST", 0, 4096, "some numbers ({})"),
};
static const tools_command command = {.name = "try",
                                      .summary = "Try",
                                      .usage = "-m FILE",
                                      .options = options,
                                      .n_options = COUNT_OF(options),
                                      .values_bytes = sizeof(values),
                                      .defaults = defaults,
                                      .run = run};

static char said[4096]; /* on standard error by the last parse */

/* Parses words that are parted by single spaces. */
static int parse(const char *line, values *v) {
    static char words[512], *argv[64];
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    const char *path = test_path(0, "args-stderr");
    int saved = dup(2), file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(saved >= 0 && file >= 0 && dup2(file, 2) == 2);
    tools t;
    memset(&t, 0, sizeof t);
    t.command = &command;
    memset(v, 0, sizeof *v);
    defaults(v);
    int status = args_parse(&t, argc, argv, v);
    dup2(saved, 2);
    ssize_t n = pread(file, said, sizeof said - 1, 0);
    said[MAX(n, 0)] = 0;
    close(saved);
    close(file);
    return status;
}

#define FAILS(line, words)                                                                     \
    do {                                                                                       \
        values v_;                                                                             \
        CHECK_EQ(parse(line, &v_), TOOLS_USAGE);                                               \
        CHECK_MSG(strstr(said, words) != NULL, "'%s' gives '%s', wanted '%s'", line, said, words); \
    } while (0)

TEST(args_every_kind) {
    values v;
    CHECK_EQ(parse("-m a.gguf -p -x -o csv -qv -n -1 -s 18446744073709551615 --budget 1.5K --temp=0.25 "
                   "--stop a --stop b -l 1,2",
                   &v),
             TOOLS_OK);
    CHECK_STR(v.file, "a.gguf");
    CHECK_STR(v.text, "-x");
    CHECK_STR(v.format, "csv");
    CHECK(v.quiet && v.verbose);
    CHECK_EQ(v.n, -1);
    CHECK(v.seed == UINT64_MAX);
    CHECK_EQ(v.bytes, 1536);
    CHECK(v.temp == 0.25f);
    CHECK(v.stops.n == 2 && !strcmp(v.stops.at[1], "b"));
    CHECK(v.list.n == 2 && v.list.at[0] == 1);
    CHECK_STR(said, "");
}

TEST(args_forms) {
    values v;
    CHECK_EQ(parse("a.gguf -n5 --prompt=x=y --predict 7", &v), TOOLS_OK);
    CHECK_STR(v.file, "a.gguf");
    CHECK_STR(v.text, "x=y");
    CHECK_EQ(v.n, 7); /* the last one counts */
    CHECK(v.temp == 0.8f && v.list.n == 2);
    CHECK_EQ(parse("-q -- -m", &v), TOOLS_OK);
    CHECK_STR(v.file, "-m");
    CHECK_EQ(parse("-", &v), TOOLS_OK);
    CHECK_STR(v.file, "-");
    CHECK_EQ(parse("x --prompt=", &v), TOOLS_OK);
    CHECK_STR(v.text, "");
}

TEST(args_lists) {
    values v;
    CHECK_EQ(parse("x -l 1-4", &v), TOOLS_OK);
    CHECK(v.list.n == 4 && v.list.at[3] == 4);
    CHECK_EQ(parse("x -l 0-4096+1024,7", &v), TOOLS_OK);
    CHECK(v.list.n == 6 && v.list.at[4] == 4096 && v.list.at[5] == 7);
    CHECK_EQ(parse("x -l 64-1000*2", &v), TOOLS_OK);
    CHECK(v.list.n == 4 && v.list.at[3] == 512);
    FAILS("x -l 1,,2", "-l: '' is not");
    FAILS("x -l 4-1", "-l: '4-1' is not");
    FAILS("x -l 0-8*2", "'0-8*2' is not"); /* would never end */
    FAILS("x -l 1-8*1", "'1-8*1' is not");
    FAILS("x -l 1-8+0", "'1-8+0' is not");
    FAILS("x -l 0-4096", "at most 64");
    FAILS("x -l 5000", "'5000' is not a whole number from 0 to 4096");
    FAILS("x -l -1", "'-1' is not");
}

TEST(args_wrong) {
    FAILS("-q", "leat try: -m FILE is missing");
    FAILS("x y", "what is 'y'");
    FAILS("x -n", "-n wants a value: N");
    FAILS("x --temp", "--temp wants a value: X");
    FAILS("x -n 101", "-n: '101' is not a whole number from -1 to 100");
    FAILS("x -n 5x", "'5x' is not a whole number");
    FAILS("x -n 99999999999999999999", "is not a whole number");
    FAILS("x --temp nan", "--temp: 'nan' is not a number from 0 to 10");
    FAILS("x -s -1", "-s: '-1' is not a whole number");
    FAILS("x --budget much", "is not a size");
    FAILS("x -o xml", "-o: 'xml' is none of md|json|csv");
    FAILS("x -o md|json", "is none of");
    FAILS("x --quiet=1", "--quiet takes no value");
    FAILS("x --promt a", "unknown option --promt; did you mean --prompt?");
    FAILS("x -prompt a", "unknown option -prompt; did you mean --prompt?");
    FAILS("x -Z", "unknown option -Z\n");
}

TEST(args_nearest) {
    static const char *const names[] = {"run", "eval", "perplexity", "bench"};
    static const struct {
        const char *word, *best;
    } cases[] = {{"rnu", "run"}, {"evla", "eval"}, {"perp", "perplexity"}, {"benhc", "bench"}, {"xyzzy", NULL},
                 {"r", NULL},    {"", NULL}};
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        args_nearest n = {str_of(cases[c].word), NULL, SIZE_MAX};
        for (size_t i = 0; i < COUNT_OF(names); i++) args_consider(&n, names[i]);
        if (cases[c].best) CHECK_STR(n.best, cases[c].best);
        else CHECK_MSG(!n.best, "'%s' suggests '%s'", cases[c].word, n.best);
    }
}
