/* template.c: `leat template`: a conversation as the model reads it. It reads the file's header only. Next:
 * engine/template.c.
 */
#include "engine/engine.h"
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

/* ---- options --------------------------------------------------------------------------------------- */

/* YYYY-MM-DD, in seconds since 1970. */
static bool parse_date(const char *date, uint64_t *seconds) {
    str s = str_of(date);
    uint64_t year, month, day;
    if (s.len != 10 || s.ptr[4] != '-' || s.ptr[7] != '-' || !parse_u64(str_cut(s, 0, 4), &year) ||
        !parse_u64(str_cut(s, 5, 2), &month) || !parse_u64(str_cut(s, 8, 2), &day) || year < 1970 || month - 1 > 11)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    static const uint8_t days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (day - 1 >= days_of[month - 1] + (uint64_t)(leap && month == 2)) return false;
    /* The civil calendar, with years that begin in March. */
    year -= month <= 2;
    uint64_t of_year = (153 * (month + (month > 2 ? (uint64_t)-3 : 9)) + 2) / 5 + day - 1;
    uint64_t days = year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719468;
    *seconds = days * 86400;
    return true;
}

typedef struct inputs {
    arena mem;
    tools_text source;
    given messages, tools, variables;
    engine_template used;
} inputs;

static err_code open_template(const template_values *o, const gguf *file, inputs *in, err *e) {
    const char *from = o->builtin;
    if (o->file) {
        err_code code = tools_text_open(&in->source, o->file, e);
        if (code) return code;
        from = arena_copy(&in->mem, (str){in->source.data, in->source.bytes});
        if (!from) return ERR(e, ERR_MEMORY, "no memory for a template of %zu bytes", in->source.bytes);
    } else if (!from && !gguf_find(file, "tokenizer.chat_template")) {
        return ERR(e, ERR_FORMAT, "the file has no chat template; --template FILE or --chat-template NAME gives one");
    }
    return engine_template_open(&in->used, file, from, e);
}

static err_code render(const template_values *o, inputs *in, uint64_t now_s, str *text, err *e) {
    err_code code = read_given(&in->messages, &in->mem, "--messages", o->messages, e);
    if (!code && o->tool_list) code = read_given(&in->tools, &in->mem, "--tools", o->tool_list, e);
    if (!code && o->kwargs) code = read_given(&in->variables, &in->mem, "--kwargs", o->kwargs, e);
    engine_conversation all = {.messages = in->messages.value, .tools = in->tools.value,
                               .variables = in->variables.value, .no_prompt = o->no_prompt, .now_s = now_s};
    return code ? code : engine_template_render(&in->used, &all, &in->mem, text, e);
}

static int run(tools *t, const void *values) {
    const template_values *o = values;
    gguf *file = NULL;
    uint64_t now_s = plat_wall_ns() / 1000000000;
    str text;
    err e;
    if (o->file && o->builtin) return tools_usage(t, "--template and --chat-template exclude each other");
    if (o->date && !parse_date(o->date, &now_s))
        return tools_usage(t, "--date: '%.40s' is no date from 1970-01-01 on as YYYY-MM-DD", o->date);
    inputs *in = mem_block(MEM_TOOLS, sizeof *in);
    if (!in) return tools_fail(t, "no memory");
    err_code code = arena_open(&in->mem, MEM_TOOLS, (size_t)1 << 32, &e);
    if (!code) code = gguf_open(&file, o->model, &e);
    if (!code) code = open_template(o, file, in, &e);
    if (!code) code = render(o, in, now_s, &text, &e);
    if (in->used.warning[0]) tools_err(t, "leat template: %s\n", in->used.warning);
    if (!code) tools_out_bytes(t, text.ptr, text.len);
    int status = code ? tools_fail_text(t, e.text) : TOOLS_OK;
    engine_template_close(&in->used);
    gguf_close(file);
    tools_text_close(&in->source);
    tools_text_close(&in->messages.text);
    tools_text_close(&in->tools.text);
    tools_text_close(&in->variables.text);
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
    .summary = "Show a conversation as the model reads it",
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
