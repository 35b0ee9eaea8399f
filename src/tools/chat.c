/* chat.c: `leat chat`: a conversation with a model. On a terminal a line editor, streamed answers, commands; elsewhere
 * one message in and one answer out. Next: chat_talk.c (prompts and answers), chat_commands.c, chat_line.c.
 */
#include "tools/chat.h"

#define PIECE_MAX (65536 + 64) /* bytes of a token's text, and what was held back before it */

static void defaults(void *values) {
    chat_values *o = values;
    o->n_predict = -1;
    o->n_draft = LOAD_DRAFT_MAX;
    leat_sampler_defaults(&o->sampler);
    o->sampler.seed = LOAD_SEED_RANDOM;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static int open_chat(chat *c, const leat_model *model, leat_chat **out) {
    leat_error e;
    tools_text file = {0};
    const char *from = c->o.builtin;
    if (c->o.template) {
        if (tools_text_open(&file, c->o.template, (err *)&e)) return tools_fail_text(c->t, e.text);
        from = arena_copy(&file.memory, (str){file.data, file.bytes});
        if (!from) {
            tools_text_close(&file);
            return tools_fail(c->t, "no memory for the template");
        }
    }
    leat_code code = leat_chat_open(out, model, from, &e);
    tools_text_close(&file);
    if (code) return tools_fail_text(c->t, e.text);
    if (leat_chat_warning(*out)[0]) tools_err(c->t, "leat chat: warning: %s\n", leat_chat_warning(*out));
    return TOOLS_OK;
}

int chat_open_model(chat *c, const char *path) {
    load_options options = {.path = path, .memory = c->o.memory, .keep_learnt = true,
                            .n_ctx = c->o.n_ctx, .n_threads = c->o.n_threads, .no_pin = c->o.no_pin,
                            .cache = c->o.cache, .isa = c->o.isa, .quiet = !c->interactive};
    loaded l = {0};
    leat_chat *opened = NULL;
    if (!c->l.model && c->o.n_draft) options.draft = c->o.draft; /* it guesses for the first one */
    int status = load_model(c->t, &l, &options);
    if (!status) status = load_session(c->t, &l, &options);
    if (!status) status = open_chat(c, l.model, &opened);
    if (status) {
        load_close(&l);
        return status;
    }
    leat_chat_close(c->chat);
    load_close(&c->l);
    c->l = l;
    c->chat = opened;
    fmt(c->path, sizeof c->path, "%s", path);
    if (c->interactive) {
        char bytes[32], how[256];
        str mode = str_of(leat_session_memory(l.session, how, sizeof how));
        chat_talk_say(c, "%.80s, %s, context %d, %.*s; /help lists the commands", leat_model_name(l.model),
                      fmt_bytes(bytes, sizeof bytes, leat_model_bytes(l.model)), leat_session_n_ctx(l.session),
                      (int)str_find(mode, STR(":")), how);
        if (str_starts(mode, STR("streaming"))) load_say_memory(c->t, &c->l, false);
    }
    return TOOLS_OK;
}

static int open_all(chat *c) {
    err e;
    c->messages = mem_block(MEM_TOOLS, CHAT_MESSAGES_MAX * sizeof *c->messages);
    if (!c->messages) return tools_fail(c->t, "no memory");
    if (arena_open(&c->words, MEM_TOOLS, (size_t)1 << 30, &e) || chat_talk_text_open(&c->system, &e) ||
        chat_talk_text_open(&c->json, &e) || chat_talk_text_open(&c->answer, &e) ||
        chat_talk_text_open(&c->thought, &e) ||
        emit_open(&c->out, NULL, 0, PIECE_MAX, &e) ||
        (c->interactive && chat_line_open(&c->line, c->t, c->o.no_history ? NULL : "chat_history", c->colours, &e)))
        return tools_fail_text(c->t, e.text);
    if (c->o.sampler.seed == LOAD_SEED_RANDOM) plat_entropy(&c->o.sampler.seed, sizeof c->o.sampler.seed);
    if (c->o.system) chat_talk_text_set(&c->system, str_of(c->o.system));
    int status = chat_open_model(c, c->o.model);
    return status || !c->o.saved ? status : chat_commands_load(c, c->o.saved);
}

static void close_all(chat *c) {
    chat_line_close(c->line);
    leat_chat_close(c->chat);
    load_close(&c->l);
    emit_close(&c->out);
    arena_close(&c->words);
    arena_close(&c->system.memory);
    arena_close(&c->json.memory);
    arena_close(&c->answer.memory);
    arena_close(&c->thought.memory);
    mem_block_free(c->messages);
}

/* ---- talking ---------------------------------------------------------------------------------------------- */

/* One message, from -p or standard input, and its answer. */
static int talk_once(chat *c) {
    tools_text text = {0};
    str message = c->o.prompt ? str_of(c->o.prompt) : (str){0};
    err e;
    if (!c->o.prompt) {
        if (tools_text_open(&text, "-", &e)) return tools_fail_text(c->t, e.text);
        message = str_trim((str){text.data, text.bytes});
    }
    int status = TOOLS_OK;
    if (!message.len) status = tools_fail(c->t, "the message is empty");
    else if (!chat_talk_add(c, false, message, (str){0})) status = TOOLS_FAILED;
    else status = chat_talk_answer(c);
    tools_text_close(&text);
    return status;
}

/* While the user thinks. */
static bool watch_memory(void *user) {
    const chat *c = user;
    leat_model_watch(c->l.model);
    return false;
}

static int talk(chat *c) {
    yield_hook idle = {watch_memory, c};
    for (bool warned = false;;) {
        line_result result = chat_line_read(c->line, "> ", &idle);
        if (result == LINE_END || plat_interrupted()) return TOOLS_OK;
        if (result == LINE_FAILED) return tools_fail(c->t, "the terminal cannot be read");
        if (result == LINE_INTERRUPT && warned) return TOOLS_OK;
        if (result == LINE_INTERRUPT) {
            chat_talk_say(c, "(Ctrl-C again leaves, as Ctrl-D does)");
            warned = true;
            continue;
        }
        warned = false;
        if (result == LINE_CLEARED) continue;
        str text = str_trim(chat_line_text(c->line)), quotes = STR("\"\"\"");
        bool quoted = text.len >= 6 && str_starts(text, quotes) && str_ends(text, quotes);
        if (quoted) text = str_trim(str_cut(text, 3, text.len - 6));
        if (!text.len) continue;
        if (text.ptr[0] == '/' && !quoted) {
            if (chat_commands_run(c, text)) return TOOLS_OK;
        } else if (chat_talk_add(c, false, text, (str){0})) {
            chat_talk_turn(c);
        }
        if (tools_out_closed(c->t)) return TOOLS_OK;
    }
}

static int run(tools *t, const void *values) {
    const chat_values *o = values;
    if (o->template && o->builtin) return tools_usage(t, "--template and --chat-template exclude each other");
    chat *c = mem_block(MEM_TOOLS, sizeof *c);
    if (!c) return tools_fail(t, "no memory");
    c->t = t;
    c->o = *o;
    c->interactive = !o->prompt && plat_is_terminal(0) && plat_is_terminal(1);
    c->screen = plat_is_terminal(1);
    c->colours = c->interactive && plat_terminal_colours();
    int status = open_all(c);
    if (!status) status = c->interactive ? talk(c) : talk_once(c);
    close_all(c);
    mem_block_free(c);
    return status;
}

#define T chat_values
static const tools_option options[] = {
    TOOLS_MODEL(T, model),
    TOOLS_STR(T, prompt, 'p', "prompt", "TEXT", "one message; its answer is printed and that is all"),
    TOOLS_STR(T, system, 0, "system", "TEXT", "what the model is told first"),
    TOOLS_STR(T, saved, 0, "load", "FILE", "go on with a conversation that /save wrote"),
    TOOLS_INT(T, n_predict, 'n', "predict", "N", -1, INT32_MAX, "tokens of an answer at most; -1: as it likes ({})"),
    LOAD_CTX(T, n_ctx),
    TOOLS_STR(T, template, 0, "template", "FILE", "a Jinja template to use instead of the file's own"),
    TOOLS_STR(T, builtin, 0, "chat-template", "NAME", "a built-in template to use instead"),
    TOOLS_OBJECT(T, variables, 0, "kwargs", "JSON", "an object with more variables for the template"),
    TOOLS_FLAG(T, no_history, 0, "no-history", "keep no lines for the next time"),
    TOOLS_THREADS(T, n_threads, no_pin),
    TOOLS_ISA(T, isa),
    LOAD_SAMPLING(T, sampler),
    LOAD_CACHE(T, cache),
    LOAD_DRAFT(T, draft, n_draft),
    LOAD_MEMORY(T, memory),
    LOAD_LEARNT(T, memory),
};
#undef T

const tools_command tools_chat = {
    .name = "chat",
    .summary = "Talk with a model",
    .usage = "FILE [options]",
    .notes =
        "Ctrl-C stops an answer, Ctrl-D leaves, /help lists the commands. A line that ends with a backslash goes on; "
        "\"\"\" begins and ends a message of several lines; pasted lines are one message.\n"
        "Where standard input or output is no terminal, the input is one message, and the answer is all that is "
        "printed, without its reasoning.\n"
        "Lines typed are kept in $XDG_STATE_HOME/leat/chat_history, or ~/.local/state/leat/chat_history. NO_COLOR "
        "switches colours off.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(chat_values),
    .defaults = defaults,
    .run = run,
};
