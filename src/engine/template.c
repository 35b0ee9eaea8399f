/* template.c: a conversation as the model reads it: which template, which variables, what to do when it cannot be
 * rendered. Next: tmpl/tmpl.h; api_chat.c, which makes tokens of it.
 */
#include "engine/engine.h"

/* ---- the template ----------------------------------------------------------------------------------------- */

static err_code open_builtin(tmpl **out, str name, err *e) {
    char source[TMPL_BUILTIN_BYTES_MAX];
    size_t n = tmpl_builtin(name, source, sizeof source);
    if (n) return tmpl_open(out, (str){source, n}, e);
    if (!name.len) return ERR(e, ERR_ARGUMENT, "the template is empty, wanted one in Jinja or a built-in one's name");
    return ERR(e, ERR_ARGUMENT, "no built-in template is named '%.*s'", (int)MIN(name.len, (size_t)60), name.ptr);
}

/* After an error: the built-in template that this one looks like. */
static err_code open_like(tmpl **out, engine_template *t, err_code code, err *e) {
    fmt(t->warning, sizeof t->warning, "%.150s%s; rendered with the built-in template '%.*s'", e->text,
        code == ERR_UNSUPPORTED ? ": not supported" : "", (int)t->like.len, t->like.ptr);
    return open_builtin(out, t->like, e);
}

err_code engine_template_open(engine_template *t, const gguf *file, const char *from, err *e) {
    err own;
    if (!e) e = &own;
    *t = (engine_template){.file = file};
    str source = from ? str_of(from) : (str){0};
    if (from && str_find(source, STR("{")) == SIZE_MAX) return open_builtin(&t->compiled, source, e);
    if (!from && !gguf_get_str(file, "tokenizer.chat_template", &source)) {
        fmt(t->warning, sizeof t->warning, "the file has no chat template; rendered with the built-in 'chatml'");
        return open_builtin(&t->compiled, STR("chatml"), e);
    }
    t->like = tmpl_builtin_like(source);
    if (!t->like.len) t->like = STR("chatml");
    err_code code = tmpl_open(&t->compiled, source, e);
    bool falls = code == ERR_UNSUPPORTED || (!from && (code == ERR_FORMAT || code == ERR_LIMIT));
    if (!falls) return code;
    code = open_like(&t->compiled, t, code, e);
    t->like = (str){0};
    return code;
}

void engine_template_close(engine_template *t) {
    tmpl_close(t->compiled);
    t->compiled = NULL;
}

/* ---- variables -------------------------------------------------------------------------------------------- */

typedef struct members {
    json_member at[256];
    uint32_t n;
} members;

/* Adds a variable, or changes it. */
static err_code put(members *m, str key, json_value value, err *e) {
    uint32_t i = 0;
    while (i < m->n && !str_eq(m->at[i].key, key)) i++;
    if (i == COUNT_OF(m->at)) return ERR(e, ERR_LIMIT, "more than %zu variables", COUNT_OF(m->at));
    m->at[i] = (json_member){key, value};
    m->n = MAX(m->n, i + 1);
    return ERR_NONE;
}

/* Token number id of the vocabulary. */
static bool token_text(const gguf *file, uint64_t id, str *out) {
    const gguf_kv *tokens = gguf_find(file, "tokenizer.ggml.tokens");
    gguf_cursor c = {0, 0};
    while (tokens && gguf_next_str(tokens, &c, out))
        if (c.index == id + 1) return true;
    return false;
}

static err_code put_tokens(members *m, const gguf *file, err *e) {
    static const struct {
        const char *key;
        str name;
    } tokens[] = {
        {"tokenizer.ggml.bos_token_id", {"bos_token", 9}},     {"tokenizer.ggml.eos_token_id", {"eos_token", 9}},
        {"tokenizer.ggml.unknown_token_id", {"unk_token", 9}}, {"tokenizer.ggml.seperator_token_id", {"sep_token", 9}},
        {"tokenizer.ggml.padding_token_id", {"pad_token", 9}}, {"tokenizer.ggml.cls_token_id", {"cls_token", 9}},
        {"tokenizer.ggml.mask_token_id", {"mask_token", 10}},
    };
    err_code code = ERR_NONE;
    for (size_t i = 0; i < COUNT_OF(tokens) && !code; i++) {
        uint64_t id;
        str text;
        if (!gguf_get_u64(file, tokens[i].key, &id) || !token_text(file, id, &text)) continue;
        json_value v = {.kind = JSON_STR, .count = (uint32_t)text.len, .s = text.ptr};
        code = put(m, tokens[i].name, v, e);
    }
    return code;
}

static err_code collect(members *m, const gguf *file, const engine_conversation *c, err *e) {
    static const json_value null = {.kind = JSON_NULL};
    if (c->messages.kind != JSON_ARRAY)
        return ERR(e, ERR_FORMAT, "messages is %s, wanted an array", json_kind_name(c->messages.kind));
    if (c->variables.kind != JSON_NULL && c->variables.kind != JSON_OBJECT)
        return ERR(e, ERR_FORMAT, "the template's variables are %s, wanted an object",
                   json_kind_name(c->variables.kind));
    err_code code = put(m, STR("messages"), c->messages, e);
    if (!code) code = put(m, STR("tools"), c->tools, e);
    if (!code) code = put(m, STR("documents"), null, e);
    if (!code) code = put(m, STR("add_generation_prompt"), (json_value){.kind = JSON_BOOL, .b = !c->no_prompt}, e);
    if (!code) code = put_tokens(m, file, e);
    for (uint32_t i = 0; c->variables.kind == JSON_OBJECT && i < c->variables.count && !code; i++)
        code = put(m, c->variables.members[i].key, c->variables.members[i].value, e);
    return code;
}

err_code engine_template_render(engine_template *t, const engine_conversation *c, arena *a, str *text, err *e) {
    err own;
    if (!e) e = &own;
    members *m = arena_alloc(a, sizeof *m, 0);
    if (!m) return ERR(e, ERR_MEMORY, "no memory for a template's variables");
    err_code code = collect(m, t->file, c, e);
    if (code) return code;
    json_value variables = {.kind = JSON_OBJECT, .count = m->n, .members = m->at};
    tmpl_opts opts = {.now_s = c->now_s, .yield = c->yield};
    code = tmpl_render(t->compiled, &variables, &opts, a, text, e);
    if (code != ERR_UNSUPPORTED || !t->like.len) return code;
    tmpl *like;
    code = open_like(&like, t, code, e);
    if (code) return code;
    code = tmpl_render(like, &variables, &opts, a, text, e);
    tmpl_close(like);
    return code;
}
