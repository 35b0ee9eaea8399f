/* bare_prompt.c: the console of a machine that does nothing else: commands from the options run="...", then a prompt.
 * The same without an operating system (main_bare.c) and as the first process of a Linux (main_init.c).
 */
#include "hosted/bare_prompt.h"
#include "tools/chat_line.h"

#define WORDS_MAX 64
#define LINE_BYTES 2048

static const bare_home *home; /* set once, by bare_prompt_stay: a command has no other way to be told */

/* Words parted by spaces; "..." and '...' hold them together. Cut in place. */
static int split(char *text, char **words, int max) {
    int n = 0;
    char *to = text, quote = 0;
    for (char *at = text; n < max;) {
        while (*at == ' ' || *at == '\n' || *at == '\r') at++;
        if (!*at) break;
        words[n++] = to;
        for (; *at && (quote || (*at != ' ' && *at != '\n' && *at != '\r')); at++) {
            if (quote ? *at == quote : *at == '"' || *at == '\'') quote = quote ? 0 : *at;
            else *to++ = *at;
        }
        if (*at) at++;
        *to++ = 0;
    }
    return n;
}

/* Whether the command wants a model and none of its words is one. */
static bool lacks_model(const bare_home *h, char **words, int n) {
    static const char *const take_one[] = {"run",  "chat",       "serve", "bench",    "inspect",    "tokenize",
                                           "eval", "perplexity", "plan",  "template", "fingerprint"};
    bool takes = false;
    for (size_t i = 0; i < COUNT_OF(take_one); i++) takes |= cstr_eq(words[1], take_one[i]);
    for (int i = 2; i < n && takes; i++)
        if (cstr_eq(words[i], "-m") || cstr_eq(words[i], "--help") || cstr_eq(words[i], "-h") ||
            str_starts(str_of(words[i]), STR("--model")) || (words[i][0] != '-' && h->is_file(words[i])))
            takes = false;
    return takes && *h->model();
}

/* Whether it is a server that was not told where to listen: here nobody could ask one that only it reaches. */
static bool lacks_host(char **words, int n) {
    bool lacks = cstr_eq(words[1], "serve");
    for (int i = 2; i < n; i++) lacks &= !str_starts(str_of(words[i]), STR("--host"));
    return lacks;
}

static int run(const bare_home *h, char *text) {
    static char program[] = "leat", option[] = "-m", name[128], everywhere[] = "--host=0.0.0.0";
    char *words[WORDS_MAX + 5] = {program};
    int n = split(text, words + 1, WORDS_MAX) + 1;
    if (n == 1) return TOOLS_OK;
    if (lacks_model(h, words, n)) {
        fmt(name, sizeof name, "%s", h->model());
        words[n++] = option;
        words[n++] = name;
    }
    if (lacks_host(words, n)) words[n++] = everywhere;
    plat_interrupt_clear();
    int status = tools_main(n, words, h->commands, h->n_commands);
    plat_terminal_keys(PLAT_KEYS_LINES);
    return status;
}

int bare_prompt_options(const bare_home *h) {
    char text[LINE_BYTES];
    int status = TOOLS_OK;
    for (size_t i = 0; h->option("run", i, text, sizeof text); i++) {
        int s = run(h, text);
        status = status ? status : s;
    }
    return status;
}

static int prompt(tools *t, const void *values) {
    line *l = NULL;
    err e;
    char text[LINE_BYTES];
    const bare_home *h = home;
    (void)values;
    if (chat_line_open(&l, t, NULL, plat_terminal_colours(), &e)) return tools_fail_text(t, e.text);
    for (;;) {
        line_result result = chat_line_read(l, "> ", NULL);
        if (result == LINE_FAILED) break;
        if (result != LINE_OK) continue;
        str typed = chat_line_text(l);
        fmt(text, sizeof text, "%.*s", (int)MIN(typed.len, sizeof text - 1), typed.ptr);
        run(h, text);
        plat_interrupt_clear();
        plat_terminal_keys(PLAT_KEYS_SIGNAL);
    }
    chat_line_close(l);
    return TOOLS_FAILED;
}

void bare_prompt_stay(const bare_home *h) {
    static const tools_command console = {.name = "console", .summary = "", .usage = "", .run = prompt};
    static const tools_command *const only[] = {&console};
    static const char hello[] = "leat: `help` lists the commands, `chat` talks with the model\n";
    static char program[] = "leat", name[] = "console";
    home = h;
    plat_stdout_write(hello, sizeof hello - 1);
    for (;;) tools_main(2, (char *[]){program, name, NULL}, only, 1);
}
