/* tools.c: the program as a list of commands. Finds the one that was asked for, parses its options, runs it and turns
 * the outcome into an exit status. Next: args.c (options), run.c (the command to read first).
 */
#include "tools/tools_int.h"

static const tools_command *const commands[] = {
    &tools_run,
    &tools_chat,
    &tools_serve,
    &tools_inspect,
    &tools_tokenize,
    &tools_quantize,
    &tools_imatrix,
    &tools_template,
    &tools_perplexity,
    &tools_eval,
    &tools_bench,
    &tools_plan,
    &tools_cache_sim,
    &tools_fingerprint,
};

typedef struct listing {
    const tools_command *const *hosted;
    size_t n_hosted;
} listing;

static const tools_command *command_at(const listing *l, size_t i) {
    if (i < COUNT_OF(commands)) return commands[i];
    i -= COUNT_OF(commands);
    return i < l->n_hosted ? l->hosted[i] : NULL;
}

static void print_help(tools *t, const listing *l) {
    tools_out(t, "leat runs large language models from GGUF files.\n\nusage: leat COMMAND [options]\n\n");
    for (size_t i = 0; command_at(l, i); i++)
        tools_out(t, "  %-12s %s\n", command_at(l, i)->name, command_at(l, i)->summary);
    tools_out(t, "\n`leat COMMAND --help` lists the options of a command; `leat --version` tells the version.\n"
                 "Exit status: 0 done, 1 failed, 2 wrong command line, 130 interrupted.\n");
}

static int unknown_command(tools *t, const listing *l, const char *word) {
    str bare = str_of(word);
    while (str_starts(bare, STR("-"))) bare = str_cut(bare, 1, bare.len);
    args_nearest n = {bare, NULL, SIZE_MAX};
    for (size_t i = 0; command_at(l, i); i++) args_consider(&n, command_at(l, i)->name);
    if (word[0] == '-') args_consider(&n, "help"), args_consider(&n, "version");
    if (!n.best) return tools_usage(t, "unknown command '%.100s'", word);
    const char *dashes = word[0] == '-' && (cstr_eq(n.best, "help") || cstr_eq(n.best, "version")) ? "--" : "";
    return tools_usage(t, "unknown command '%.100s'; did you mean '%s%s'?", word, dashes, n.best);
}

static int dispatch(tools *t, int argc, char **argv, const listing *l) {
    if (argc < 2) {
        print_help(t, l);
        return TOOLS_USAGE;
    }
    const char *word = argv[1];
    if (cstr_eq(word, "--version") || cstr_eq(word, "-V") || cstr_eq(word, "version")) {
        tools_out(t, "leat %s\n", leat_version());
        return TOOLS_OK;
    }
    bool help = cstr_eq(word, "help");
    if (cstr_eq(word, "--help") || cstr_eq(word, "-h") || (help && argc == 2)) {
        print_help(t, l);
        return TOOLS_OK;
    }
    if (help) word = argv[2];
    for (size_t i = 0; command_at(l, i); i++)
        if (cstr_eq(word, command_at(l, i)->name)) t->command = command_at(l, i);
    if (!t->command) return unknown_command(t, l, word);
    if (help) {
        args_help(t);
        return TOOLS_OK;
    }
    _Alignas(16) char values[TOOLS_VALUES_MAX];
    memset(values, 0, sizeof values);
    if (t->command->defaults) t->command->defaults(values);
    int status = args_parse(t, argc - 2, argv + 2, values);
    if (status == TOOLS_HELPED) return TOOLS_OK;
    return status == TOOLS_OK ? t->command->run(t, values) : status;
}

int tools_main(int argc, char **argv, const tools_command *const *hosted, size_t n_hosted) {
    tools t;
    t.command = NULL;
    t.out_error = PLAT_OK;
    t.out_used = 0;
    listing l = {hosted, n_hosted};
    int status = dispatch(&t, argc, argv, &l);
    tools_out_flush(&t);
    if (t.out_error && t.out_error != PLAT_CLOSED && status == TOOLS_OK) {
        int error = t.out_error;
        status = tools_fail(&t, "standard output: %s", plat_error_name(error));
    }
    return status == TOOLS_FAILED && plat_interrupted() ? TOOLS_INTERRUPTED : status;
}
