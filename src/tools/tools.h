/* tools.h: the subcommands of `leat` and what they share: options, output, progress, input files.
 *
 * A command is one row: a name, the words of its help, a table of options that says where each value goes, and a run
 * function. The same table parses the command line and prints `leat NAME --help`, so that the two never differ.
 * To add a command: write src/tools/NAME.c with `const tools_command tools_NAME`, declare it below and name it in
 * the list of tools.c. The commands are part of the core: only main_*.c knows which machine it runs on.
 */
#ifndef LEAT_TOOLS_H
#define LEAT_TOOLS_H

#include "leat.h"
#include "mem/mem.h"
#include "plat/plat.h"
#include "version.h" /* LEAT_LEVELS: "scalar|avx2|..." */

typedef struct tools tools; /* one running command: its name and its buffered output */

/* What a command returns, and the program with it. */
enum {
    TOOLS_OK = 0,
    TOOLS_FAILED = 1,        /* the command line was fine; the work was not      */
    TOOLS_USAGE = 2,         /* the command line was not                         */
    TOOLS_INTERRUPTED = 130, /* stopped by Ctrl-C, as a shell expects to hear it */
};

/* ---- options ------------------------------------------------------------------------------------- */

typedef enum {
    TOOLS_KIND_FLAG,   /* bool: true when given                                    */
    TOOLS_KIND_INT,    /* int32_t, from min to max                                 */
    TOOLS_KIND_U64,    /* uint64_t                                                 */
    TOOLS_KIND_FLOAT,  /* float, from min to max                                   */
    TOOLS_KIND_SIZE,   /* uint64_t: 512, 64K, 1.5G                                 */
    TOOLS_KIND_STR,    /* const char *, of the command line                        */
    TOOLS_KIND_OBJECT, /* const char *: an object in JSON                          */
    TOOLS_KIND_CHOICE, /* const char *: one of the words of `value` ("md|json")    */
    TOOLS_KIND_STRS,   /* tools_strs: the option may be repeated                   */
    TOOLS_KIND_INTS,   /* tools_ints: 1,2,8 or 1-4 or 64-512*2; each min to max    */
} tools_kind;

#define TOOLS_STRS_MAX 32
typedef struct tools_strs {
    const char *at[TOOLS_STRS_MAX];
    size_t n;
} tools_strs;

#define TOOLS_INTS_MAX 64
typedef struct tools_ints {
    int32_t at[TOOLS_INTS_MAX];
    size_t n;
} tools_ints;

typedef struct tools_option {
    uint8_t kind;      /* tools_kind                                                   */
    char letter;       /* of the short form, or 0                                      */
    bool required;     /* a usage error when absent                                    */
    bool bare;         /* also taken from an argument without a dash                   */
    uint16_t at;       /* offset in the command's values                               */
    const char *word;  /* taken with one dash as well ("ctk"), or NULL                 */
    const char *name;  /* of the long form, without dashes                             */
    const char *value; /* its name in the help: "N", "FILE", "md|json"                 */
    const char *help;  /* "{}" becomes the default value; the rest is wrapped as words */
    double min, max;
} tools_option;

/* Rows of an option table. T is the command's values struct; the field's type is checked by the compiler. */
#define TOOLS_AT(T, field, type) (offsetof(T, field) + 0 * sizeof(&((T *)0)->field == (type *)0))
#define TOOLS_ROW(kind_, T, field, type, letter_, name_, value_, help_, ...)                                         \
    {.kind = kind_, .letter = letter_, .name = name_, .value = value_, .help = help_, .at = TOOLS_AT(T, field, type), \
     __VA_ARGS__}
#define TOOLS_FLAG(T, field, letter, name, help)                                                                     \
    TOOLS_ROW(TOOLS_KIND_FLAG, T, field, bool, letter, name, NULL, help, .min = 0)
#define TOOLS_INT(T, field, letter, name, value, lo, hi, help)                                                       \
    TOOLS_ROW(TOOLS_KIND_INT, T, field, int32_t, letter, name, value, help, .min = lo, .max = hi)
#define TOOLS_U64(T, field, letter, name, value, help)                                                               \
    TOOLS_ROW(TOOLS_KIND_U64, T, field, uint64_t, letter, name, value, help, .min = 0)
#define TOOLS_FLOAT(T, field, letter, name, value, lo, hi, help)                                                     \
    TOOLS_ROW(TOOLS_KIND_FLOAT, T, field, float, letter, name, value, help, .min = lo, .max = hi)
#define TOOLS_SIZE(T, field, letter, name, value, help)                                                              \
    TOOLS_ROW(TOOLS_KIND_SIZE, T, field, uint64_t, letter, name, value, help, .min = 0)
#define TOOLS_STR(T, field, letter, name, value, help)                                                               \
    TOOLS_ROW(TOOLS_KIND_STR, T, field, const char *, letter, name, value, help, .min = 0)
#define TOOLS_OBJECT(T, field, letter, name, value, help)                                                            \
    TOOLS_ROW(TOOLS_KIND_OBJECT, T, field, const char *, letter, name, value, help, .min = 0)
#define TOOLS_STR_REQUIRED(T, field, letter, name, value, help)                                                      \
    TOOLS_ROW(TOOLS_KIND_STR, T, field, const char *, letter, name, value, help, .required = true)
#define TOOLS_CHOICE(T, field, letter, name, words, help)                                                            \
    TOOLS_ROW(TOOLS_KIND_CHOICE, T, field, const char *, letter, name, words, help, .min = 0)
#define TOOLS_STRS(T, field, letter, name, value, help)                                                              \
    TOOLS_ROW(TOOLS_KIND_STRS, T, field, tools_strs, letter, name, value, help, .min = 0)
#define TOOLS_INTS(T, field, letter, name, value, lo, hi, help)                                                      \
    TOOLS_ROW(TOOLS_KIND_INTS, T, field, tools_ints, letter, name, value, help, .min = lo, .max = hi)
/* The options that many commands have, with one spelling. */
#define TOOLS_MODEL(T, field)                                                                                        \
    TOOLS_ROW(TOOLS_KIND_STR, T, field, const char *, 'm', "model", "FILE",                                          \
              "the GGUF file, or its first part; may be given without -m", .required = true, .bare = true)
#define TOOLS_NO_PIN(T, field) TOOLS_FLAG(T, field, 0, "no-pin", "do not bind threads to cores")
/* Two rows, for every command that opens a pool. */
#define TOOLS_THREADS(T, n, no_pin)                                                                                  \
    TOOLS_INT(T, n, 't', "threads", "N", 1, 256, "threads (default: one per core available)"),                       \
    TOOLS_NO_PIN(T, no_pin)
#define TOOLS_ISA(T, field)                                                                                          \
    TOOLS_CHOICE(T, field, 0, "isa", LEAT_LEVELS, "instruction set (default: the best this CPU has)")

typedef struct tools_command {
    const char *name;            /* "run"                                                             */
    const char *summary;         /* one line of `leat --help`                                         */
    const char *usage;           /* what follows "leat run " in its usage line                        */
    const char *notes;           /* paragraphs below the options in its help; may be NULL             */
    const tools_option *options;
    size_t n_options;
    size_t values_bytes;         /* of the values struct: at most TOOLS_VALUES_MAX                    */
    void (*defaults)(void *values); /* fills what is not zero by default; may be NULL                 */
    int (*run)(tools *t, const void *values);
} tools_command;
#define TOOLS_VALUES_MAX 2048

/* The whole program: argv[1] names the command. hosted: the commands that only this home has. */
int tools_main(int argc, char **argv, const tools_command *const *hosted, size_t n_hosted);

/* ---- output -------------------------------------------------------------------------------------- */

/* To standard output, through a buffer; a formatted piece may be TOOLS_PIECE_MAX bytes long, bytes any number. A closed
 * pipe is no error: what follows is dropped, and tools_out_closed tells a long command that it may stop. Any other
 * failure to write is reported at the end of the program, whose status is then TOOLS_FAILED. */
#define TOOLS_PIECE_MAX 1024
void tools_out(tools *t, const char *format, ...) PRINTF_LIKE(2, 3);
void tools_out_bytes(tools *t, const void *bytes, size_t n);
void tools_out_json_str(tools *t, str s); /* quoted and escaped; what is not UTF-8 becomes U+FFFD */
/* At most bytes_max, with \n for a line break and \x1b for what a terminal would obey; in quotes or without. */
void tools_out_escaped(tools *t, str s, size_t bytes_max, bool quoted);
void tools_out_flush(tools *t);
bool tools_out_closed(const tools *t);
/* To standard error, after standard output so that a terminal shows the two in order. */
void tools_err(tools *t, const char *format, ...) PRINTF_LIKE(2, 3);
/* "leat run: ..." on standard error; they return TOOLS_FAILED and TOOLS_USAGE, for `return tools_fail(...)`. */
int tools_fail(tools *t, const char *format, ...) PRINTF_LIKE(2, 3);
int tools_fail_text(tools *t, const char *text); /* as it is: an error's */
int tools_usage(tools *t, const char *format, ...) PRINTF_LIKE(2, 3);
const char *tools_name(const tools *t); /* of the running command */

/* A line on standard error that moves: redrawn in place on a terminal, else a plain line every few seconds. */
typedef struct tools_progress {
    tools *t;
    const char *label;
    uint64_t shown_ns;
    bool terminal, drawn;
} tools_progress;
void tools_progress_start(tools_progress *p, tools *t, const char *label);
/* The text after the bar is formatted (at most 120 bytes). */
void tools_progress_show(tools_progress *p, uint64_t done, uint64_t total, const char *format, ...) PRINTF_LIKE(4, 5);
void tools_progress_end(tools_progress *p); /* wipes the bar */

/* ---- input --------------------------------------------------------------------------------------- */

/* The bytes of a whole file ("-": standard input), unchanged. Close in any case; a zeroed one may be closed too. */
typedef struct tools_text {
    char *data;
    size_t bytes;
    arena memory;
} tools_text;
err_code tools_text_open(tools_text *out, const char *path, err *e);
void tools_text_close(tools_text *text);

/* Writing to `out` must not touch what is read, under whatever name: the files `read` (NULL: none), and all parts of
 * those that are split. Nor must writing to OUT.part, where files are until they are whole. ERR_ARGUMENT. */
err_code tools_check_out(const char *out, const char *const *read, size_t n, err *e);

/* Token ids: whole numbers in a text file, parted by white space or commas. One outside [0, n_vocab) is an error
 * that names it, as are a file without any and a word that is no number. */
typedef struct tools_ids {
    int32_t *at;
    size_t n;
    arena memory;
} tools_ids;
err_code tools_ids_open(tools_ids *out, const char *path, int32_t n_vocab, err *e);
/* Those of a text, with what the model begins and ends a text with. */
err_code tools_ids_encode(tools_ids *out, const leat_model *model, str text, bool special, err *e);
void tools_ids_close(tools_ids *ids);

/* ---- the commands -------------------------------------------------------------------------------- */

extern const tools_command tools_run, tools_eval, tools_perplexity, tools_bench, tools_inspect, tools_tokenize,
    tools_cache_sim, tools_plan;
extern const tools_command tools_quantize, tools_imatrix;
extern const tools_command tools_template;
extern const tools_command tools_chat, tools_serve, tools_fingerprint;

#endif
