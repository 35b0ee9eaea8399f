/* template.c: `leat template`: a conversation as the model reads it. It reads the file's header only. Variables are
 * those that the transformers library gives to templates: messages, tools and documents (null when not given),
 * add_generation_prompt, and the texts of the special tokens. Next: tmpl/tmpl.h.
 */
#include "tmpl/tmpl.h"
#include "gguf/gguf.h"
#include "tools/tools.h"

typedef struct template_values {
    const char *model, *messages, *tool_list, *kwargs, *file, *builtin, *date;
    bool no_prompt;
} template_values;

/* A JSON value that an option gave: the text itself, @FILE, or - for standard input. */
typedef struct given {
    tools_text text;
    json_value value;
} given;

static err_code read_given(given *g, arena *a, const char *option, const char *from, err *e) {
    str text = str_of(from);
    err inner;
    if (str_is(text, "-") || str_starts(text, STR("@"))) {
        err_code code = tools_text_open(&g->text, from + (from[0] == '@'), e);
        if (code) return code;
        text = (str){g->text.data, g->text.bytes};
    }
    err_code code = json_parse(a, text, &g->value, &inner);
    return code ? ERR(e, code, "%s: %s", option, inner.text) : ERR_NONE;
}

/* ---- the file -------------------------------------------------------------------------------------- */

/* Token number id of the vocabulary. */
static bool token_text(const gguf *file, uint64_t id, str *out) {
    const gguf_kv *tokens = gguf_find(file, "tokenizer.ggml.tokens");
    gguf_cursor c = {0, 0};
    while (tokens && gguf_next_str(tokens, &c, out))
        if (c.index == id + 1) return true;
    return false;
}

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

/* ---- options --------------------------------------------------------------------------------------- */

/* YYYY-MM-DD, in seconds since 1970. */
static bool parse_date(const char *date, uint64_t *seconds) {
    str s = str_of(date);
    uint64_t year, month, day;
    if (s.len != 10 || s.ptr[4] != '-' || s.ptr[7] != '-' || !parse_u64(str_cut(s, 0, 4), &year) ||
        !parse_u64(str_cut(s, 5, 2), &month) || !parse_u64(str_cut(s, 8, 2), &day) || year < 1970 || month - 1 > 11 ||
        day - 1 > 30)
        return false;
    /* The civil calendar, with years that begin in March. */
    year -= month <= 2;
    uint64_t of_year = (153 * (month + (month > 2 ? (uint64_t)-3 : 9)) + 2) / 5 + day - 1;
    uint64_t days = year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719468;
    *seconds = days * 86400;
    return true;
}

typedef struct inputs {
    arena mem;
    tools_text source_text;
    given messages, tools, kwargs;
    members variables;
    char builtin[TMPL_BUILTIN_BYTES_MAX];
} inputs;

/* The source of the template that was asked for, or of the file's own. */
static err_code find_source(const template_values *o, const gguf *file, inputs *in, str *source, err *e) {
    tools_text *held = &in->source_text;
    char *builtin = in->builtin;
    if (o->file) {
        err_code code = tools_text_open(held, o->file, e);
        *source = (str){held->data, held->bytes};
        return code;
    }
    if (o->builtin) {
        *source = (str){builtin, tmpl_builtin(str_of(o->builtin), builtin, TMPL_BUILTIN_BYTES_MAX)};
        if (source->len) return ERR_NONE;
        return ERR(e, ERR_ARGUMENT, "no built-in template is named '%.60s'; see `leat template --help`", o->builtin);
    }
    if (gguf_get_str(file, "tokenizer.chat_template", source)) return ERR_NONE;
    return ERR(e, ERR_FORMAT, "the file has no chat template; --template FILE or --chat-template NAME gives one");
}

static err_code collect(const template_values *o, const gguf *file, inputs *in, err *e) {
    static const json_value null = {.kind = JSON_NULL};
    err_code code = read_given(&in->messages, &in->mem, "--messages", o->messages, e);
    if (!code && o->tool_list) code = read_given(&in->tools, &in->mem, "--tools", o->tool_list, e);
    if (!code && o->kwargs) code = read_given(&in->kwargs, &in->mem, "--kwargs", o->kwargs, e);
    if (code) return code;
    if (in->messages.value.kind != JSON_ARRAY)
        return ERR(e, ERR_ARGUMENT, "--messages is %s, wanted an array", json_kind_name(in->messages.value.kind));
    if (o->kwargs && in->kwargs.value.kind != JSON_OBJECT)
        return ERR(e, ERR_ARGUMENT, "--kwargs is %s, wanted an object", json_kind_name(in->kwargs.value.kind));
    members *m = &in->variables;
    code = put(m, STR("messages"), in->messages.value, e);
    if (!code) code = put(m, STR("tools"), in->tools.value, e);
    if (!code) code = put(m, STR("documents"), null, e);
    if (!code) code = put(m, STR("add_generation_prompt"), (json_value){.kind = JSON_BOOL, .b = !o->no_prompt}, e);
    if (!code) code = put_tokens(m, file, e);
    for (uint32_t i = 0; i < in->kwargs.value.count && !code; i++)
        code = put(m, in->kwargs.value.members[i].key, in->kwargs.value.members[i].value, e);
    return code;
}

/* Renders; a template that this engine cannot render gives way to the built-in one that it looks like. */
static err_code render(tools *t, str source, inputs *in, uint64_t now_s, str *text, err *e) {
    json_value variables = {.kind = JSON_OBJECT, .count = in->variables.n, .members = in->variables.at};
    tmpl_opts opts = {.now_s = now_s};
    tmpl *compiled = NULL;
    err_code code = tmpl_open(&compiled, source, e);
    if (!code) code = tmpl_render(compiled, &variables, &opts, &in->mem, text, e);
    tmpl_close(compiled);
    str like = tmpl_builtin_like(source);
    if (code != ERR_UNSUPPORTED || !like.len) return code;
    tools_err(t, "leat template: %s: not supported; rendered with the built-in template '%.*s'\n", e->text,
              (int)like.len, like.ptr);
    source = (str){in->builtin, tmpl_builtin(like, in->builtin, sizeof in->builtin)};
    code = tmpl_open(&compiled, source, e);
    if (!code) code = tmpl_render(compiled, &variables, &opts, &in->mem, text, e);
    tmpl_close(compiled);
    return code;
}

static int run(tools *t, const void *values) {
    const template_values *o = values;
    gguf *file = NULL;
    uint64_t now_s = plat_wall_ns() / 1000000000;
    str source, text;
    err e;
    if (o->file && o->builtin) return tools_usage(t, "--template and --chat-template exclude each other");
    if (o->date && !parse_date(o->date, &now_s))
        return tools_usage(t, "--date: '%.40s' is no date from 1970-01-01 on as YYYY-MM-DD", o->date);
    inputs *in = mem_block(MEM_TOOLS, sizeof *in);
    if (!in) return tools_fail(t, "no memory");
    err_code code = arena_open(&in->mem, MEM_TOOLS, (size_t)1 << 32, &e);
    if (!code) code = gguf_open(&file, o->model, &e);
    if (!code) code = find_source(o, file, in, &source, &e);
    if (!code) code = collect(o, file, in, &e);
    if (!code) code = render(t, source, in, now_s, &text, &e);
    if (!code) tools_out_bytes(t, text.ptr, text.len);
    int status = code ? tools_fail(t, "%s", e.text) : TOOLS_OK;
    gguf_close(file);
    tools_text_close(&in->source_text);
    tools_text_close(&in->messages.text);
    tools_text_close(&in->tools.text);
    tools_text_close(&in->kwargs.text);
    arena_close(&in->mem);
    mem_block_free(in);
    return status;
}

static const tools_option options[] = {
    TOOLS_MODEL(template_values, model),
    TOOLS_STR_REQUIRED(template_values, messages, 0, "messages", "JSON",
                       "the conversation: an array of messages, as JSON, as @FILE, or - for standard input"),
    TOOLS_STR(template_values, tool_list, 0, "tools", "JSON", "the tools, given likewise"),
    TOOLS_STR(template_values, kwargs, 0, "kwargs", "JSON", "an object with more variables, given likewise"),
    TOOLS_FLAG(template_values, no_prompt, 0, "no-generation-prompt", "end with the last message"),
    TOOLS_STR(template_values, file, 0, "template", "FILE", "a Jinja template to use instead of the file's own"),
    TOOLS_STR(template_values, builtin, 0, "chat-template", "NAME", "a built-in template to use instead"),
    TOOLS_STR(template_values, date, 0, "date", "YYYY-MM-DD", "the date that templates are told (default: today, UTC)"),
};

const tools_command tools_template = {
    .name = "template",
    .summary = "show a conversation as the model reads it",
    .usage = "FILE --messages JSON [options]",
    .notes =
        "Built-in templates: chatml, llama2, llama3, llama4, mistral-v1, mistral-v3, mistral-v3-tekken, mistral-v7, "
        "mistral-v7-tekken, phi3, phi4, gemma, zephyr, falcon3, chatglm4, glmedge, openchat, vicuna, vicuna-orca, "
        "deepseek, deepseek2, deepseek3, command-r, granite, exaone3, rwkv-world, gpt-oss, kimi-k2, seed_oss. They "
        "write no BOS: the tokenizer adds it.\nA template that asks for what leat has not is replaced by the one that "
        "it looks like, with a warning.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(template_values),
    .run = run,
};
