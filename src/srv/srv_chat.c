/* srv_chat.c: conversations as prompts, through the template of the model. The prompt is tokens that depend on the
 * request alone, never on what was generated for the one before: see srv_job.c.
 */
#include "srv/srv_int.h"

/* The JSON of a value, in a buffer of its own. */
static leat_text text_of(srv *s, const json_value *v, srv_buf *b) {
    json_writer w;
    srv_sink sink = {s, b, 0};
    if (!v) return (leat_text){0};
    json_write_start(&w, &json_compact, srv_sink_put, &sink);
    json_write_value(&w, v);
    return (leat_text){b->at, b->n};
}

/* Content in parts as one text, a line each: every template reads that, and few read parts. Other parts than texts were
 * refused. */
static void write_parts(json_writer *w, const json_value *parts, srv_buf *joined) {
    srv_buf_empty(joined);
    for (uint32_t i = 0; i < parts->count; i++) {
        str text = json_str(json_get(&parts->items[i], "text"));
        if (i) srv_buf_put(joined, "\n", 1);
        srv_buf_put(joined, text.ptr, text.len);
    }
    json_write_str(w, (str){joined->n ? joined->at : "", joined->n});
}

static leat_text messages_of(srv *s, const json_value *messages, srv_buf *b, srv_buf *joined) {
    json_writer w;
    srv_sink sink = {s, b, 0};
    json_write_start(&w, &json_compact, srv_sink_put, &sink);
    json_write_open(&w, JSON_ARRAY);
    for (uint32_t i = 0; i < messages->count; i++) {
        const json_value *m = &messages->items[i];
        json_write_open(&w, JSON_OBJECT);
        for (uint32_t k = 0; k < m->count; k++) {
            const json_value *v = &m->members[k].value;
            json_write_key(&w, m->members[k].key);
            if (v->kind == JSON_ARRAY && str_is(m->members[k].key, "content")) write_parts(&w, v, joined);
            else json_write_value(&w, v);
        }
        json_write_close(&w, JSON_OBJECT);
    }
    json_write_close(&w, JSON_ARRAY);
    return (leat_text){b->at, b->n};
}

/* Days since 1970 as a date; after Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static void put_date(srv_buf *b, uint64_t days) {
    static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    uint64_t shifted = days + 719468, era = shifted / 146097, of_era = shifted % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    const char *name = months + month * 3;
    uint32_t day = (uint32_t)(of_year - (153 * month + 2) / 5 + 1), y = (uint32_t)(year + era * 400 + (month >= 10));
    srv_buf_text(b, "\"date_string\":\"%02u %.3s %u\",\"datetime\":\"%.3s %02u %u\"", day, name, y, name, day, y);
}

/* The members of an object, behind others. */
static void put_members(srv_buf *b, const json_value *object) {
    json_writer w;
    for (uint32_t i = 0; object && i < object->count; i++) {
        srv_buf_put(b, ",", 1);
        json_write_start(&w, &json_compact, srv_buf_put, b);
        json_write_str(&w, object->members[i].key);
        srv_buf_put(b, ":", 1);
        json_write_start(&w, &json_compact, srv_buf_put, b);
        json_write_value(&w, &object->members[i].value);
    }
}

/* What templates are told besides: the date, under the names under which many ask for it and get an old one if nobody
 * says; the tools as a text, which one family wants; the server's variables; the request's. Of a name that is there
 * twice the last counts. */
static leat_text variables_of(const srv *s, leat_text tools, const json_value *own, srv_buf *b) {
    json_writer w;
    srv_buf_put(b, "{", 1);
    put_date(b, plat_wall_ns() / 1000000000 / 86400);
    srv_buf_text(b, ",\"functions\":");
    json_write_start(&w, &json_compact, srv_buf_put, b);
    json_write_str(&w, (str){tools.at ? tools.at : "", tools.bytes});
    put_members(b, &s->variables);
    put_members(b, own);
    srv_buf_put(b, "}", 1);
    return (leat_text){b->at, b->n};
}

static int render(srv *s, leat_chat *chat, const srv_request *o, leat_chat_prompt *out, srv_error *e) {
    srv_buf parts[4] = {{{0}, NULL, 0, false}};
    leat_error failed = {0};
    leat_code code = LEAT_MEMORY;
    if (!chat)
        return srv_fail(e, 400, "invalid_request_error", NULL, "the chat template of this model cannot be used");
    leat_chat_input input = {.messages = messages_of(s, o->messages, &parts[0], &parts[3]),
                             .tools = text_of(s, o->tools, &parts[1]),
                             .no_prompt = !o->start_answer};
    input.variables = variables_of(s, input.tools, o->variables, &parts[2]);
    if (!parts[0].failed && !parts[1].failed && !parts[2].failed && !parts[3].failed)
        code = leat_chat_render(chat, &input, NULL, out, &failed);
    for (size_t i = 0; i < COUNT_OF(parts); i++) srv_buf_close(&parts[i]);
    if (code == LEAT_MEMORY && !failed.text[0])
        return srv_fail(e, 503, "server_error", NULL, "no memory for this request; try again later");
    return code ? srv_fail_code(e, code, failed.text) : 0;
}

int srv_chat_prompt(srv *s, srv_error *e) {
    srv_job *j = s->job;
    leat_chat_prompt prompt;
    int status = render(s, s->chat, &j->request, &prompt, e);
    if (status) return status;
    j->prompt = arena_array(&j->memory, prompt.n_tokens, sizeof *j->prompt);
    if (!j->prompt) return srv_fail(e, 503, "server_error", NULL, "no memory for this request; try again later");
    memcpy(j->prompt, prompt.tokens, prompt.n_tokens * sizeof *j->prompt);
    j->n_prompt = prompt.n_tokens;
    j->reasons = prompt.reasoning;
    return 0;
}

int srv_chat_template(srv *s, srv_kind kind, const json_value *body, const srv_place *at, srv_error *e) {
    srv_wrong wrong = {0};
    srv_request o = {0};
    leat_chat_prompt prompt;
    json_writer w;
    srv_request_read(&o, kind, body, &wrong);
    if (wrong.status) return srv_fail(e, wrong.status, "invalid_request_error", wrong.param, "%s", wrong.text);
    int status = render(s, at->chat, &o, &prompt, e);
    if (status) return status;
    srv_sink sink = {s, at->json, 0};
    json_write_start(&w, &json_compact, srv_sink_put, &sink);
    json_write_open(&w, JSON_OBJECT);
    if (kind == SRV_COUNT) {
        srv_json_int(&w, "input_tokens", (int64_t)prompt.n_tokens);
    } else {
        srv_json_name(&w, "prompt");
        json_write_str(&w, (str){prompt.text, prompt.bytes});
    }
    json_write_close(&w, JSON_OBJECT);
    return 0;
}
