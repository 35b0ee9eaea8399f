/* chat_commands.c: what a line that begins with a slash does. A row a command, for /help, the search and the hint after
 * a typing error. /set goes through the options of the command line, so it includes the framework's header.
 */
#include "tools/chat.h"
#include "tools/tools_int.h"

/* ---- the conversation ------------------------------------------------------------------------------------- */

static bool do_system(chat *c, str rest) {
    if (rest.len) chat_talk_text_set(&c->system, str_is(rest, "none") ? (str){0} : rest);
    if (c->system.n) chat_talk_say(c, "system: %.*s", (int)MIN(c->system.n, (size_t)800), c->system.at);
    else chat_talk_say(c, "no system message; /system TEXT sets one");
    return false;
}

static void undo(chat *c) {
    bool answered = c->n_messages && c->messages[c->n_messages - 1].assistant;
    if (answered) chat_talk_drop(c);
    chat_talk_drop(c);
}

static bool do_undo(chat *c, str rest) {
    (void)rest;
    if (!c->n_messages) return chat_talk_say(c, "there is nothing to undo"), false;
    undo(c);
    chat_talk_say(c, "the last turn is forgotten; %zu messages are left", c->n_messages);
    return false;
}

static bool do_regen(chat *c, str rest) {
    (void)rest;
    if (!c->n_messages) return chat_talk_say(c, "there is no answer yet"), false;
    chat_talk_turn(c);
    return false;
}

static bool do_clear(chat *c, str rest) {
    (void)rest;
    chat_talk_clear(c);
    chat_talk_say(c, "the conversation is forgotten%s", c->system.n ? "; the system message stays" : "");
    return false;
}

/* The path that begins the text: in quotes, or up to `end`, a space or nothing. False when there is none. */
static bool path_of(str text, char end, char path[4096], str *after) {
    bool quoted = text.len > 1 && (text.ptr[0] == '"' || text.ptr[0] == '\'');
    size_t from = quoted, n = from;
    if (quoted) end = text.ptr[0];
    while (n < text.len && text.ptr[n] != end) n++;
    if (quoted && n == text.len) from = 0; /* a name that begins so */
    str name = str_cut(text, from, n - from);
    if (after) *after = str_trim(str_cut(text, n + quoted, text.len));
    return name.len && fmt(path, 4096, "%.*s", (int)name.len, name.ptr) < 4095;
}

/* /read FILE TEXT: the file, and what to do with it. */
static bool do_read(chat *c, str rest) {
    tools_text file;
    err e;
    char path[4096];
    str question;
    if (!path_of(rest, ' ', path, &question))
        return chat_talk_say(c, "/read FILE [TEXT]: sends what the file holds, then the text"), false;
    if (tools_text_open(&file, path, &e)) return tools_fail_text(c->t, e.text), false;
    chat_talk_text_set(&c->answer, str_trim((str){file.data, file.bytes}));
    tools_text_close(&file);
    size_t bytes = c->answer.n;
    if (question.len && !c->answer.cut) {
        char *both = arena_alloc(&c->answer.memory, bytes + question.len + 2, 1);
        c->answer.cut = !both;
        if (both) {
            memcpy(both, c->answer.at, bytes);
            memcpy(both + bytes, "\n\n", 2);
            memcpy(both + bytes + 2, question.ptr, question.len);
            c->answer.at = both, c->answer.n = bytes + question.len + 2;
        }
    }
    if (c->answer.cut) tools_fail(c->t, "%.150s is too large to be read", path);
    else if (chat_talk_add(c, false, (str){c->answer.at, c->answer.n}, (str){0})) chat_talk_turn(c);
    return false;
}

/* ---- files and models ------------------------------------------------------------------------------------- */

static bool do_save(chat *c, str rest) {
    char path[4096];
    leat_error e;
    const char *const read[] = {c->path, c->o.model, c->o.draft, c->o.template};
    if (!path_of(rest, 0, path, NULL)) return chat_talk_say(c, "/save FILE"), false;
    if (tools_check_out(path, read, COUNT_OF(read), (err *)&e)) return tools_fail_text(c->t, e.text), false;
    chat_talk_messages_json(c);
    if (c->json.cut || leat_session_save(c->l.session, path, c->json.at, c->json.n, &e))
        tools_fail_text(c->t, c->json.cut ? "no memory for the conversation" : e.text);
    else chat_talk_say(c, "%zu messages saved, with the %d tokens that were computed", c->n_messages,
                  leat_session_length(c->l.session));
    return false;
}

int chat_commands_load(chat *c, const char *path) {
    leat_error e;
    size_t bytes = 0;
    char *note = mem_block(MEM_TOOLS, LEAT_NOTE_BYTES_MAX);
    if (!note) return tools_fail(c->t, "no memory for the conversation");
    leat_code code = leat_saved_note(path, note, LEAT_NOTE_BYTES_MAX, &bytes, &e);
    if (!code && chat_talk_messages_parse(c, (str){note, bytes}, (err *)&e)) {
        code = LEAT_FORMAT;
        fmt(e.text, sizeof e.text, "%.150s holds no conversation", path);
    }
    mem_block_free(note);
    if (code) return tools_fail_text(c->t, e.text);
    code = leat_session_load(c->l.session, path, &e);
    if (code) tools_err(c->t, "leat chat: %s: the conversation will be computed again\n", e.text);
    if (c->interactive && code) chat_talk_say(c, "%zu messages", c->n_messages);
    else if (c->interactive)
        chat_talk_say(c, "%zu messages; the context holds %d tokens of them", c->n_messages,
                      leat_session_length(c->l.session));
    return TOOLS_OK;
}

static bool do_load(chat *c, str rest) {
    char path[4096];
    if (path_of(rest, 0, path, NULL)) chat_commands_load(c, path);
    else chat_talk_say(c, "/load FILE");
    return false;
}

static bool do_model(chat *c, str rest) {
    char path[4096];
    if (path_of(rest, 0, path, NULL)) chat_open_model(c, path);
    else chat_talk_say(c, "%s (%s)", leat_model_name(c->l.model), leat_model_architecture(c->l.model));
    return false;
}

/* ---- options and figures ---------------------------------------------------------------------------------- */

/* What may change while talking. */
static bool settable(const tools_option *o) {
    return (o->at >= offsetof(chat_values, sampler) && o->at < offsetof(chat_values, cache)) ||
           o->at == offsetof(chat_values, n_predict);
}

static bool do_set(chat *c, str rest) {
    const tools_command *command = c->t->command;
    char name[64] = "--", value[64], *model = "-";
    size_t n = 0;
    while (n < rest.len && rest.ptr[n] != ' ' && rest.ptr[n] != '=') n++;
    while (n && rest.len && rest.ptr[0] == '-') rest = str_cut(rest, 1, rest.len), n--;
    fmt(name + 2, sizeof name - 2, "%.*s", (int)n, rest.ptr);
    str text = str_trim(str_cut(rest, n + 1, rest.len));
    fmt(value, sizeof value, "%.*s", (int)text.len, text.ptr);
    for (size_t i = 0; i < command->n_options; i++) {
        const tools_option *o = &command->options[i];
        const void *at = (const char *)&c->o + o->at;
        if (!settable(o) || (n && !cstr_eq(o->name, name + 2))) continue;
        if (text.len) {
            char *args[] = {name, value, model};
            chat_values changed;
            memset(&changed, 0, sizeof changed);
            command->defaults(&changed);
            if (args_parse(c->t, COUNT_OF(args), args, &changed)) return false;
            size_t size = o->kind == TOOLS_KIND_U64 ? sizeof(uint64_t) : 4;
            memcpy((char *)&c->o + o->at, (const char *)&changed + o->at, size);
        }
        if (o->kind == TOOLS_KIND_INT) chat_talk_say(c, "%-20s %d", o->name, *(const int32_t *)at);
        else if (o->kind == TOOLS_KIND_FLOAT) chat_talk_say(c, "%-20s %g", o->name, (double)*(const float *)at);
        else chat_talk_say(c, "%-20s %llu", o->name, (unsigned long long)*(const uint64_t *)at);
        if (n) return false;
    }
    if (!n) return false;
    args_nearest near = {{name + 2, n}, NULL, SIZE_MAX};
    for (size_t i = 0; i < command->n_options; i++)
        if (settable(&command->options[i])) args_consider(&near, command->options[i].name);
    chat_talk_say(c, "no option %s to set%s%s%s; /set lists them", name + 2, near.best ? "; did you mean " : "",
             near.best ? near.best : "", near.best ? "?" : "");
    return false;
}

static bool do_show(chat *c, str rest) {
    leat_chat_prompt p;
    if (str_is(rest, "prompt")) {
        if (!chat_talk_render(c, false, &p)) chat_talk_show(c, (str){p.text, p.bytes}), tools_out(c->t, "\n");
    } else if (str_is(rest, "template")) {
        const char *text = leat_model_chat_template(c->l.model);
        chat_talk_show(c, str_of(text ? text : "the file has none"));
        tools_out(c->t, "\n");
    } else {
        chat_talk_say(c, "model     %.80s, %s, %d threads, %s", leat_model_name(c->l.model),
                 leat_model_architecture(c->l.model), leat_session_threads(c->l.session),
                 leat_session_isa(c->l.session));
        chat_talk_say(c, "context   %d of %d tokens, %zu messages", leat_session_length(c->l.session),
                 leat_session_n_ctx(c->l.session), c->n_messages);
        do_system(c, (str){0});
        chat_talk_say(c, "also: /show prompt, /show template, /set");
    }
    return false;
}

static bool before_u32(const void *a, const void *b) { return *(const uint32_t *)a < *(const uint32_t *)b; }

static bool do_stats(chat *c, str rest) {
    chat_stats *s = &c->stats;
    (void)rest;
    chat_talk_say(c, "context      %d of %d tokens", leat_session_length(c->l.session),
                  leat_session_n_ctx(c->l.session));
    if (!s->n_generated) return chat_talk_say(c, "there is no answer yet"), false;
    uint32_t *sorted = mem_block(MEM_TOOLS, MAX(s->n_times, 1) * sizeof *sorted);
    uint64_t sum = 0;
    for (size_t i = 1; i < s->n_times; i++) {
        uint32_t a = s->times_us[i - 1], b = s->times_us[i];
        sum += a > b ? a - b : b - a;
    }
    chat_talk_say(c, "last prompt  %zu tokens, %zu of them held already, %zu computed in %.3f s", s->n_prompt,
                  s->n_kept, s->n_fed, (double)s->prompt_ns / 1e9);
    chat_talk_say(c, "first token  after %.3f s", (double)s->first_ns / 1e9);
    if (sorted && s->n_times) {
        memcpy(sorted, s->times_us, s->n_times * sizeof *sorted);
        sort_items(sorted, s->n_times, sizeof *sorted, before_u32);
        chat_talk_say(c, "a token      p50 %.2f ms, p99 %.2f ms, jitter %.2f ms, of %zu",
                 sorted[s->n_times / 2] / 1e3, sorted[(s->n_times - 1) * 99 / 100] / 1e3,
                 (double)sum / 1e3 / (double)MAX(s->n_times - 1, 1), s->n_times);
    }
    if (s->guesses.drafted)
        chat_talk_say(c, "guesses      %llu, %.1f %% right; %.2f tokens a pass", (unsigned long long)s->guesses.drafted,
                      100.0 * (double)s->guesses.matched / (double)s->guesses.drafted,
                      (double)s->guesses.tokens / (double)MAX(s->guesses.passes, 1));
    mem_block_free(sorted);
    return false;
}

/* ---- the list --------------------------------------------------------------------------------------------- */

static bool do_exit(chat *c, str rest) { return (void)c, (void)rest, true; }
static bool do_help(chat *c, str rest);

static const struct chat_row {
    const char *name, *args, *help;
    bool (*run)(chat *c, str rest); /* true: leave */
} rows[] = {
    {"help", "", "this list", do_help},
    {"system", "[TEXT]", "what the model is told first; none: nothing", do_system},
    {"set", "[NAME VALUE]", "options of sampling: temp, top-k, ...; alone: all of them", do_set},
    {"show", "[prompt|template]", "model and context; what the model reads", do_show},
    {"regen", "", "answer the last message anew", do_regen},
    {"undo", "", "forget the last message and its answer", do_undo},
    {"clear", "", "forget the conversation", do_clear},
    {"save", "FILE", "the conversation, and what was computed of it", do_save},
    {"load", "FILE", "go on with a saved one", do_load},
    {"read", "FILE [TEXT]", "send what a file holds, then the text", do_read},
    {"stats", "", "how long the last answer took", do_stats},
    {"model", "FILE", "go on with another model", do_model},
    {"exit", "", "leave, as Ctrl-D does", do_exit},
};

static bool do_help(chat *c, str rest) {
    (void)rest;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        chat_talk_say(c, "/%-7s %-18s %s", rows[i].name, rows[i].args, rows[i].help);
    chat_talk_say(c, "Ctrl-C stops an answer. \\ at its end carries a line on; \"\"\" begins and ends several lines.");
    return false;
}

bool chat_commands_run(chat *c, str text) {
    size_t n = 1;
    while (n < text.len && text.ptr[n] != ' ' && text.ptr[n] != '\n') n++;
    char lower[32] = "";
    for (size_t i = 1; i < MIN(n, sizeof lower); i++)
        lower[i - 1] = text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? (char)(text.ptr[i] + 32) : text.ptr[i];
    str name = {lower, MIN(n, sizeof lower) - 1}, rest = str_trim(str_cut(text, n, text.len));
    args_nearest near = {name, NULL, SIZE_MAX};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (str_is(name, rows[i].name)) return rows[i].run(c, rest);
        args_consider(&near, rows[i].name);
    }
    if (str_is(name, "quit") || str_is(name, "bye")) return true;
    chat_talk_say(c, near.best ? "no command /%.*s; did you mean /%s?" : "no command /%.*s; /help lists them",
                  (int)name.len, name.ptr, near.best);
    return false;
}
