/* chat_talk.c: the conversation: messages to a prompt, of which only what the session does not hold yet is computed;
 * tokens to an answer on the screen; what it took. Next: chat_commands.c.
 */
#include "tools/chat.h"
#include "json/json.h"

#define TEXT_BYTES_MAX ((size_t)64 << 20)
#define PROMPT_STEP 1024 /* tokens fed between two looks at the progress bar    */
#define ANSWER_MIN 256   /* tokens that a prompt leaves to the answer, at least; an eighth of small contexts */

/* ---- text ------------------------------------------------------------------------------------------------- */

err_code chat_talk_text_open(chat_text *text, err *e) {
    return arena_open(&text->memory, MEM_TOOLS, TEXT_BYTES_MAX, e);
}

static void add(void *to, const char *bytes, size_t n) {
    chat_text *text = to;
    if (!text->at) text->at = arena_alloc(&text->memory, 1, 1);
    if (text->cut || !text->at || !arena_extend(&text->memory, text->at, text->n + 1, text->n + n + 1)) {
        text->cut = true;
        return;
    }
    if (n) memcpy(text->at + text->n, bytes, n);
    text->at[text->n += n] = 0;
}

void chat_talk_text_set(chat_text *text, str s) {
    arena_reset(&text->memory, 0);
    *text = (chat_text){.memory = text->memory};
    add(text, s.ptr, s.len);
}

/* ---- messages --------------------------------------------------------------------------------------------- */

bool chat_talk_add(chat *c, bool assistant, str content, str reasoning) {
    chat_message m = {.assistant = assistant, .mark = arena_mark(&c->words)};
    char *copy = arena_copy(&c->words, content), *thought = arena_copy(&c->words, reasoning);
    if (!copy || !thought || c->n_messages == CHAT_MESSAGES_MAX) {
        arena_reset(&c->words, m.mark);
        tools_fail(c->t, "no room for more messages; /clear begins anew");
        return false;
    }
    m.content = (str){copy, content.len};
    m.reasoning = (str){thought, reasoning.len};
    c->messages[c->n_messages++] = m;
    return true;
}

void chat_talk_drop(chat *c) {
    /* The first one's mark lies behind the words of old turns that were dropped. */
    if (c->n_messages) arena_reset(&c->words, --c->n_messages ? c->messages[c->n_messages].mark : 0);
}

void chat_talk_clear(chat *c) {
    while (c->n_messages) chat_talk_drop(c);
}

static void write_message(json_writer *w, const char *role, str content, str reasoning) {
    json_write_open(w, JSON_OBJECT);
    json_write_key(w, STR("role"));
    json_write_str(w, str_of(role));
    json_write_key(w, STR("content"));
    json_write_str(w, content);
    if (reasoning.len) {
        json_write_key(w, STR("reasoning_content"));
        json_write_str(w, reasoning);
    }
    json_write_close(w, JSON_OBJECT);
}

void chat_talk_messages_json(chat *c) {
    json_writer w;
    chat_talk_text_set(&c->json, (str){0});
    json_write_start(&w, &json_compact, add, &c->json);
    json_write_open(&w, JSON_ARRAY);
    if (c->system.n) write_message(&w, "system", (str){c->system.at, c->system.n}, (str){0});
    for (size_t i = 0; i < c->n_messages; i++)
        write_message(&w, c->messages[i].assistant ? "assistant" : "user", c->messages[i].content,
                      c->messages[i].reasoning);
    json_write_close(&w, JSON_ARRAY);
}

static str text_of(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->kind == JSON_STR ? json_str(v) : (str){0};
}

err_code chat_talk_messages_parse(chat *c, str text, err *e) {
    arena a;
    json_value all;
    err_code code = arena_open(&a, MEM_TOOLS, 32 * text.len + ((size_t)1 << 20), e);
    if (code) return code;
    code = json_parse(&a, text, &all, e);
    bool listed = !code && all.kind == JSON_ARRAY;
    size_t first = listed && all.count && str_is(text_of(&all.items[0], "role"), "system");
    if (!code && (!listed || all.count - first > CHAT_MESSAGES_MAX))
        code = ERR(e, ERR_FORMAT, "is no list of messages");
    for (size_t i = first; !code && i < all.count; i++) {
        str role = text_of(&all.items[i], "role");
        if (!str_is(role, "user") && !str_is(role, "assistant"))
            code = ERR(e, ERR_FORMAT, "message %zu is of '%.*s', wanted user or assistant", i,
                       (int)MIN(role.len, (size_t)40), role.ptr);
    }
    if (!code) {
        chat_talk_clear(c);
        chat_talk_text_set(&c->system, first ? text_of(&all.items[0], "content") : (str){0});
    }
    for (size_t i = first; !code && i < all.count; i++) {
        const json_value *m = &all.items[i];
        if (!chat_talk_add(c, str_is(text_of(m, "role"), "assistant"), text_of(m, "content"),
                           text_of(m, "reasoning_content")))
            code = ERR(e, ERR_MEMORY, "has too many messages");
    }
    arena_close(&a);
    return code;
}

/* ---- showing ---------------------------------------------------------------------------------------------- */

/* A model or a file may say what a terminal obeys. */
void chat_talk_show(chat *c, str s) {
    if (!s.len) return;
    c->last = s.ptr[s.len - 1];
    if (!c->screen) {
        tools_out_bytes(c->t, s.ptr, s.len);
        return;
    }
    for (size_t i = 0, len; i < s.len; i += len) {
        uint32_t cp = utf8_decode(s.ptr + i, s.len - i, &len);
        bool obeyed = (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7F && cp < 0xA0) || cp == UTF8_INVALID;
        tools_out_bytes(c->t, obeyed ? "?" : s.ptr + i, obeyed ? 1 : len);
    }
}

static void set_dim(chat *c, bool dim) {
    if (c->colours && c->dim != dim) tools_out(c->t, dim ? "\33[2m" : "\33[0m");
    c->dim = dim;
}

void chat_talk_say(chat *c, const char *format, ...) {
    char text[TOOLS_PIECE_MAX];
    va_list args;
    va_start(args, format);
    size_t n = fmt_v(text, sizeof text, format, args);
    va_end(args);
    set_dim(c, true);
    chat_talk_show(c, (str){text, n});
    set_dim(c, false);
    tools_out(c->t, "\n");
    c->last = '\n';
}

static void new_line(chat *c) {
    if (c->last && c->last != '\n') tools_out(c->t, "\n");
    c->last = 0;
}

static void write_shown(void *user, const char *bytes, size_t n) {
    chat *c = user;
    chat_talk_show(c, (str){bytes, n});
    tools_out_flush(c->t);
}

static void put_part(void *user, bool reasoning, const char *bytes, size_t n) {
    chat *c = user;
    add(reasoning ? &c->thought : &c->answer, bytes, n);
    if (!c->interactive && reasoning) return;
    if (c->interactive && c->dim != reasoning) {
        emit_end(&c->out);
        if (c->dim) new_line(c), tools_out(c->t, "\n");
        set_dim(c, reasoning);
    }
    emit_piece(&c->out, bytes, n); /* no stop strings */
}

/* ---- the prompt ------------------------------------------------------------------------------------------- */

int chat_talk_render(chat *c, bool prompt, leat_chat_prompt *out) {
    leat_error e;
    bool warned = leat_chat_warning(c->chat)[0] != 0;
    chat_talk_messages_json(c);
    if (c->json.cut) return tools_fail(c->t, "no memory for the conversation");
    leat_chat_input in = {.messages = {c->json.at, c->json.n}, .no_prompt = !prompt};
    if (c->o.variables) in.variables = (leat_text){c->o.variables, cstr_len(c->o.variables)};
    leat_code code = leat_chat_render(c->chat, &in, c->l.session, out, &e);
    if (!warned && leat_chat_warning(c->chat)[0])
        tools_err(c->t, "leat chat: warning: %s\n", leat_chat_warning(c->chat));
    return code ? tools_fail_text(c->t, e.text) : TOOLS_OK;
}

/* The oldest turn goes: a message of the user and what was answered. False when only the last message is left. */
static bool drop_turn(chat *c) {
    size_t n = 1;
    while (n < c->n_messages && c->messages[n].assistant) n++;
    if (n >= c->n_messages) return false;
    c->messages += n;
    c->n_messages -= n;
    return true;
}

/* A prompt that leaves room to answer. When it does not, turns are dropped down to three quarters of the context, so
 * that the next ones need not compute everything again. */
static int fitting_prompt(chat *c, leat_chat_prompt *p) {
    size_t n_ctx = (size_t)leat_session_n_ctx(c->l.session), n_all = c->n_messages;
    chat_message *all = c->messages;
    int status = chat_talk_render(c, true, p);
    if (status || p->n_tokens + MIN(n_ctx / 8, ANSWER_MIN) <= n_ctx) return status;
    while (!status && p->n_tokens > n_ctx / 4 * 3 && drop_turn(c)) status = chat_talk_render(c, true, p);
    if (!status && p->n_tokens >= n_ctx)
        status = tools_fail(c->t, "the message has %zu tokens, the context holds %zu (-c sets it)", p->n_tokens, n_ctx);
    if (status) c->n_messages = n_all;
    else memmove(all, c->messages, c->n_messages * sizeof *all);
    c->messages = all;
    if (n_all > c->n_messages)
        chat_talk_say(c, "(the context of %zu tokens is full: %zu old messages were dropped; /clear begins anew)",
                      n_ctx, n_all - c->n_messages);
    return status;
}

static int failed(const chat *c, leat_code code, const leat_error *e) {
    if (code == LEAT_CANCELLED && plat_interrupted()) return TOOLS_INTERRUPTED;
    return tools_fail_text(c->t, e->text);
}

static int feed_prompt(chat *c, const leat_chat_prompt *p) {
    leat_error e;
    tools_progress bar;
    size_t at;
    uint64_t start = plat_time_ns();
    leat_code code = leat_reuse(c->l.session, p->tokens, p->n_tokens, false, &at, &e);
    if (code) return failed(c, code, &e);
    c->stats.n_prompt = p->n_tokens;
    c->stats.n_kept = at;
    c->stats.n_fed = p->n_tokens - at;
    tools_progress_start(&bar, c->t, "prompt");
    for (size_t n; at < p->n_tokens && !code; at += n) {
        n = MIN((size_t)PROMPT_STEP, p->n_tokens - at);
        code = leat_feed(c->l.session, p->tokens + at, n, LEAT_PROMPT, &e);
        if (c->interactive && c->stats.n_fed > PROMPT_STEP)
            tools_progress_show(&bar, at + n - c->stats.n_kept, c->stats.n_fed, "tokens");
    }
    tools_progress_end(&bar);
    c->stats.prompt_ns = plat_time_ns() - start;
    return code ? failed(c, code, &e) : TOOLS_OK;
}

/* ---- the answer ------------------------------------------------------------------------------------------- */

static void say_full(chat *c) {
    int32_t n_ctx = leat_session_n_ctx(c->l.session);
    emit_end(&c->out);
    new_line(c);
    if (c->interactive) chat_talk_say(c, "(the context of %d tokens is full: the answer ends here; -c sets it)", n_ctx);
    else tools_err(c->t, "leat chat: the context of %d tokens is full: the answer is cut\n", n_ctx);
}

/* Tokens until one ends the answer. The first comes of the prompt's logits; the others are timed. */
static int generate(chat *c, leat_generator *g, uint64_t start) {
    leat_error e;
    chat_stats *s = &c->stats;
    for (;;) {
        int32_t id;
        if (c->o.n_predict >= 0 && s->n_generated >= (size_t)c->o.n_predict) return TOOLS_OK;
        uint64_t begin = plat_time_ns();
        leat_code code = leat_generate(g, &id, &e);
        uint64_t took = plat_time_ns() - begin;
        if (code == LEAT_LIMIT) return say_full(c), TOOLS_OK;
        if (code) return failed(c, code, &e);
        if (s->n_generated) {
            s->decode_ns += took;
            if (s->n_times < CHAT_TIMES_MAX) s->times_us[s->n_times++] = (uint32_t)MIN(took / 1000, UINT32_MAX);
        }
        if (leat_ends(c->l.model, id)) return TOOLS_OK;
        if (!s->n_generated++) s->first_ns = plat_time_ns() - start;
        leat_answer_token(c->chat, id, put_part, c);
        if (tools_out_closed(c->t)) return TOOLS_OK;
        if (plat_interrupted()) return TOOLS_INTERRUPTED;
    }
}

static double per_second(size_t n, uint64_t ns) { return ns ? (double)n * 1e9 / (double)ns : 0; }

static int answer_with(chat *c, leat_sampler *sampler) {
    leat_chat_prompt p;
    uint64_t start = plat_time_ns();
    c->stats.n_generated = c->stats.n_times = 0;
    c->stats.decode_ns = c->stats.first_ns = 0;
    int status = fitting_prompt(c, &p);
    if (!status) status = feed_prompt(c, &p);
    if (status) return status;
    for (size_t i = 0; i < p.n_tokens; i++) leat_sampler_accept(sampler, p.tokens[i]);
    chat_talk_text_set(&c->answer, (str){0});
    chat_talk_text_set(&c->thought, (str){0});
    c->out.write = write_shown;
    c->out.user = c;
    c->last = 0;
    leat_answer_begin(c->chat, p.reasoning);
    leat_error e;
    leat_generator *g;
    leat_generator_options options = {.n_draft = c->o.n_draft, .draft = c->l.draft};
    if (leat_generator_open(&g, c->l.session, sampler, &options, &e)) return tools_fail_text(c->t, e.text);
    status = generate(c, g, start);
    c->stats.guesses = leat_generator_stats_of(g);
    leat_generator_close(g);
    bool thinking = leat_answer_end(c->chat, put_part, c);
    emit_end(&c->out);
    set_dim(c, false);
    new_line(c);
    if (status == TOOLS_FAILED) return status;
    if (!c->interactive && thinking) tools_err(c->t, "leat chat: the answer ended within its reasoning\n");
    chat_talk_add(c, true, (str){c->answer.at, c->answer.n}, (str){c->thought.at, c->thought.n});
    if (c->interactive)
        chat_talk_say(c, "[ prompt %.1f tok/s | generation %.1f tok/s ]",
                      per_second(c->stats.n_fed, c->stats.prompt_ns), per_second(c->stats.n_times, c->stats.decode_ns));
    return status;
}

/* Each answer has a sampler of its own, so that an answer taken back leaves nothing behind. */
int chat_talk_answer(chat *c) {
    leat_error e;
    leat_sampler *sampler;
    leat_sampler_options options = c->o.sampler;
    options.seed += c->n_answers++; /* the first has the seed that was given; a second try is another one */
    if (leat_sampler_open(&sampler, c->l.model, &options, &e)) return tools_fail_text(c->t, e.text);
    int status = answer_with(c, sampler);
    leat_sampler_close(sampler);
    tools_out_flush(c->t);
    return status;
}

void chat_talk_turn(chat *c) {
    chat_message before = c->messages[c->n_messages - 1];
    if (before.assistant) c->n_messages--; /* it gives way to another answer only; its words stay */
    int status = chat_talk_answer(c);
    if (status == TOOLS_INTERRUPTED) plat_interrupt_clear();
    if (c->n_messages && c->messages[c->n_messages - 1].assistant) return;
    if (before.assistant) c->messages[c->n_messages++] = before;
    else chat_talk_drop(c);
    if (status == TOOLS_INTERRUPTED)
        chat_talk_say(c, "(interrupted: the %s)", before.assistant ? "answer before stays" : "message is taken back");
}
