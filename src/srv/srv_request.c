/* srv_request.c: fields of a request. Those that are not known are not looked at: clients send many. A null counts as a
 * field that is not there. Next: srv_job.c.
 */
#include "srv/srv_request.h"

static void wrong_text(srv_wrong *w, const char *param, const char *format, ...) PRINTF_LIKE(3, 4);
static void wrong_text(srv_wrong *w, const char *param, const char *format, ...) {
    if (w->status) return;
    va_list args;
    va_start(args, format);
    fmt_v(w->text, sizeof w->text, format, args);
    va_end(args);
    w->status = 400;
    w->param = param;
}

static const json_value *field(const json_value *body, const char *key) {
    const json_value *v = json_get(body, key);
    return v && v->kind != JSON_NULL ? v : NULL;
}

/* ---- the plain fields ----------------------------------------------------------------------------------- */

typedef enum { FIELD_BOOL, FIELD_INT, FIELD_FLOAT } field_kind;
#define AT(name) offsetof(srv_request, name)
#define COUNT_MAX 2e9f
enum { IN_CHAT = 1 << SRV_CHAT, IN_TEXT = 1 << SRV_TEXT, IN_NATIVE = 1 << SRV_NATIVE, IN_ALL = 7 };
static const struct plain_field {
    const char *key;
    uint8_t kinds, kind;
    uint16_t at;
    float min, max;
} fields[] = {
    {"stream", IN_ALL, FIELD_BOOL, AT(stream), 0, 0},
    {"cache_prompt", IN_ALL, FIELD_BOOL, AT(cache), 0, 0},
    {"timings_per_token", IN_ALL, FIELD_BOOL, AT(timings), 0, 0},
    {"ignore_eos", IN_ALL, FIELD_BOOL, AT(ignore_eos), 0, 0},
    {"echo", IN_TEXT, FIELD_BOOL, AT(echo), 0, 0},
    {"verbose", IN_CHAT, FIELD_BOOL, AT(verbose), 0, 0},
    {"return_tokens", IN_NATIVE, FIELD_BOOL, AT(return_tokens), 0, 0},
    {"logprobs", IN_CHAT, FIELD_BOOL, AT(logprobs), 0, 0},
    {"n", IN_ALL, FIELD_INT, AT(n), 1, SRV_CHOICES_MAX},
    {"n_predict", IN_ALL, FIELD_INT, AT(max_tokens), -1, COUNT_MAX},
    {"max_tokens", IN_ALL, FIELD_INT, AT(max_tokens), -1, COUNT_MAX},
    {"max_completion_tokens", IN_ALL, FIELD_INT, AT(max_tokens), -1, COUNT_MAX},
    {"top_logprobs", IN_CHAT, FIELD_INT, AT(top), 0, SRV_TOP_MAX},
    {"temperature", IN_ALL, FIELD_FLOAT, AT(sampler.temperature), 0, 1000},
    {"top_k", IN_ALL, FIELD_INT, AT(sampler.top_k), 0, COUNT_MAX},
    {"top_p", IN_ALL, FIELD_FLOAT, AT(sampler.top_p), 0, 1},
    {"min_p", IN_ALL, FIELD_FLOAT, AT(sampler.min_p), 0, 1},
    {"typical_p", IN_ALL, FIELD_FLOAT, AT(sampler.typical_p), 0, 1},
    {"top_n_sigma", IN_ALL, FIELD_FLOAT, AT(sampler.top_n_sigma), -1, 1000},
    {"xtc_probability", IN_ALL, FIELD_FLOAT, AT(sampler.xtc_probability), 0, 1},
    {"xtc_threshold", IN_ALL, FIELD_FLOAT, AT(sampler.xtc_threshold), 0, 1},
    {"repeat_last_n", IN_ALL, FIELD_INT, AT(sampler.penalty_last_n), 0, 65536},
    {"repeat_penalty", IN_ALL, FIELD_FLOAT, AT(sampler.repeat_penalty), 0.01f, 100},
    {"presence_penalty", IN_ALL, FIELD_FLOAT, AT(sampler.presence_penalty), -100, 100},
    {"frequency_penalty", IN_ALL, FIELD_FLOAT, AT(sampler.frequency_penalty), -100, 100},
    {"dry_multiplier", IN_ALL, FIELD_FLOAT, AT(sampler.dry_multiplier), 0, 100},
    {"dry_base", IN_ALL, FIELD_FLOAT, AT(sampler.dry_base), 1, 100},
    {"dry_allowed_length", IN_ALL, FIELD_INT, AT(sampler.dry_allowed_length), 0, COUNT_MAX},
    {"dry_penalty_last_n", IN_ALL, FIELD_INT, AT(sampler.dry_penalty_last_n), -1, 65536},
};

static bool is_number(const json_value *v) { return v->kind == JSON_INT || v->kind == JSON_FLOAT; }
static double number_of(const json_value *v) { return v->kind == JSON_INT ? (double)v->i : v->f; }

void srv_request_flag(bool *flag, const json_value *object, const char *key, srv_wrong *w) {
    const json_value *v = field(object, key);
    if (v && v->kind == JSON_BOOL) *flag = v->b;
    else if (v) wrong_text(w, key, "%s is %s, wanted true or false", key, json_kind_name(v->kind));
}

static void read_field(srv_request *o, const struct plain_field *f, const json_value *body, srv_wrong *w) {
    void *at = (char *)o + f->at;
    const json_value *v = field(body, f->key);
    if (f->kind == FIELD_BOOL) srv_request_flag(at, body, f->key, w);
    if (!v || f->kind == FIELD_BOOL) return;
    double x = is_number(v) ? number_of(v) : 0;
    /* A whole number written as 8.0 is one. */
    bool fits = is_number(v) && x >= (double)f->min && x <= (double)f->max;
    if (f->kind == FIELD_INT) fits = fits && x == math_floor(x);
    if (!is_number(v))
        wrong_text(w, f->key, "%s is %s, wanted a number", f->key, json_kind_name(v->kind));
    else if (!fits)
        wrong_text(w, f->key, "%s is %g, wanted %s from %g to %g", f->key, x,
                   f->kind == FIELD_INT ? "a whole number" : "a number", (double)f->min, (double)f->max);
    else if (f->kind == FIELD_INT)
        *(int32_t *)at = (int32_t)x;
    else
        *(float *)at = (float)x;
}

/* What the sampler was told is what a request may say of it. */
void srv_request_settings(json_writer *w, const srv_request *o) {
    json_write_open(w, JSON_OBJECT);
    json_write_key(w, STR("n_predict"));
    json_write_int(w, o->max_tokens);
    json_write_key(w, STR("max_tokens"));
    json_write_int(w, o->max_tokens);
    json_write_key(w, STR("seed"));
    json_write_int(w, o->seeded ? (int64_t)o->sampler.seed : -1);
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        const void *at = (const char *)o + fields[i].at;
        if (fields[i].at < AT(sampler) || fields[i].at >= AT(sampler) + sizeof o->sampler) continue;
        json_write_key(w, str_of(fields[i].key));
        if (fields[i].kind == FIELD_INT) json_write_int(w, *(const int32_t *)at);
        else json_write_float(w, (double)*(const float *)at);
    }
    json_write_key(w, STR("adaptive_target")); /* llama.cpp's sampler of that name is off: leat has not got it */
    json_write_int(w, -1);
    json_write_key(w, STR("adaptive_decay"));
    json_write_int(w, 0);
    json_write_close(w, JSON_OBJECT);
}

/* ---- the others --------------------------------------------------------------------------------------------- */

static void read_seed(srv_request *o, const json_value *v, srv_wrong *w) {
    json_value whole = {.kind = JSON_INT};
    if (v->kind == JSON_FLOAT && v->f == math_floor(v->f) && v->f >= -0x1p53 && v->f <= 0x1p53) { /* 5.0 is one, too */
        whole.i = (int64_t)v->f;
        v = &whole;
    }
    if (v->kind != JSON_INT) {
        bool big = v->kind == JSON_BIG;
        wrong_text(w, "seed", "seed is %s, wanted a whole number%s", json_kind_name(v->kind), big ? " below 2^63" : "");
        return;
    }
    o->seeded = v->i != -1;
    o->sampler.seed = (uint64_t)v->i;
}

static void add_stop(srv_request *o, const json_value *v, srv_wrong *w) {
    if (v->kind != JSON_STR) {
        wrong_text(w, "stop", "stop has %s, wanted strings", json_kind_name(v->kind));
    } else if (v->count > SRV_STOP_BYTES_MAX) {
        wrong_text(w, "stop", "a stop string has %u bytes, at most %d are taken", v->count, SRV_STOP_BYTES_MAX);
    } else if (v->count) { /* an empty one would stop everything: clients mean none */
        if (o->n_stops == SRV_STOPS_MAX) wrong_text(w, "stop", "more than %d stop strings", SRV_STOPS_MAX);
        else o->stops[o->n_stops++] = json_str(v);
    }
}

static void read_stops(srv_request *o, const json_value *v, srv_wrong *w) {
    if (v->kind != JSON_ARRAY) add_stop(o, v, w);
    for (uint32_t i = 0; v->kind == JSON_ARRAY && i < v->count; i++) add_stop(o, &v->items[i], w);
}

/* {"15": -100}, or llama.cpp's [[15, -100], ["text", -1], [15, false]]. Ids and texts are looked up by the job. */
static void check_bias(srv_request *o, const json_value *v, srv_wrong *w) {
    bool object = v->kind == JSON_OBJECT;
    if (!object && v->kind != JSON_ARRAY) {
        wrong_text(w, "logit_bias", "logit_bias is %s, wanted an object", json_kind_name(v->kind));
        return;
    }
    if (v->count > SRV_BIASES_MAX)
        wrong_text(w, "logit_bias", "logit_bias has %u entries, at most %d are taken", v->count, SRV_BIASES_MAX);
    for (uint32_t i = 0; i < v->count && !w->status; i++) {
        const json_value *pair = object ? NULL : &v->items[i];
        if (pair && (pair->kind != JSON_ARRAY || pair->count != 2 ||
                     (pair->items[0].kind != JSON_INT && pair->items[0].kind != JSON_STR))) {
            wrong_text(w, "logit_bias", "entry %u of logit_bias is no pair of a token and a number", i);
            return;
        }
        const json_value *by = object ? &v->members[i].value : &pair->items[1];
        bool never = by->kind == JSON_BOOL && !by->b;
        if (!never && !is_number(by))
            wrong_text(w, "logit_bias", "entry %u of logit_bias is %s, wanted a number", i, json_kind_name(by->kind));
    }
    o->bias = v;
}

/* llama.cpp's other spelling of a text: an object, with pictures beside it if the model saw any. */
static const json_value *plain_prompt(const json_value *v) {
    const json_value *text = json_get(v, "prompt_string");
    return text && !field(v, "multimodal_data") ? text : v;
}

/* A prompt, or a part of one. */
static bool is_tokens(const json_value *v) {
    if (v->kind != JSON_ARRAY || !v->count) return false;
    bool any_id = false, ok = true;
    for (uint32_t i = 0; i < v->count; i++) {
        any_id |= v->items[i].kind == JSON_INT;
        ok &= v->items[i].kind == JSON_INT || v->items[i].kind == JSON_STR;
    }
    return ok && any_id;
}

const json_value *srv_request_prompt(const srv_request *o, size_t i) { return plain_prompt(&o->prompts[i]); }

static void read_prompt(srv_request *o, const json_value *v, srv_wrong *w) {
    static const char shape[] = "a string, an array of token ids, or an array of those";
    if (!v) {
        wrong_text(w, "prompt", "prompt is missing");
        return;
    }
    v = plain_prompt(v);
    o->prompts = v;
    o->n_prompts = 1;
    if (v->kind == JSON_STR || is_tokens(v)) return;
    if (v->kind != JSON_ARRAY || !v->count) {
        wrong_text(w, "prompt", "prompt is %s, wanted %s", v->kind == JSON_ARRAY ? "empty" : json_kind_name(v->kind),
                   shape);
        return;
    }
    o->prompts = v->items;
    o->n_prompts = v->count;
    for (uint32_t i = 0; i < v->count; i++) {
        const json_value *one = plain_prompt(&v->items[i]);
        if (one->kind != JSON_STR && !is_tokens(one))
            wrong_text(w, "prompt", "entry %u of prompt is %s, wanted %s", i, json_kind_name(one->kind), shape);
    }
}

/* Content: a string, null, or parts of which leat reads the texts. */
static void check_content(const json_value *content, uint32_t i, srv_wrong *w) {
    if (!content || content->kind == JSON_STR) return;
    if (content->kind != JSON_ARRAY)
        wrong_text(w, "messages", "content of message %u is %s, wanted a string or an array of parts", i,
                   json_kind_name(content->kind));
    for (uint32_t k = 0; k < content->count && content->kind == JSON_ARRAY && !w->status; k++) {
        const json_value *type = json_get(&content->items[k], "type"), *text = json_get(&content->items[k], "text");
        if (!type || type->kind != JSON_STR)
            wrong_text(w, "messages", "part %u of message %u has no type", k, i);
        else if (!str_is(json_str(type), "text"))
            wrong_text(w, "messages", "part %u of message %u is of type '%.*s'; this model reads text only", k, i,
                       (int)MIN(type->count, 40u), type->s);
        else if (!text || text->kind != JSON_STR)
            wrong_text(w, "messages", "part %u of message %u has no text", k, i);
    }
}

static void read_messages(srv_request *o, const json_value *v, srv_wrong *w) {
    if (!v || v->kind != JSON_ARRAY || !v->count) {
        wrong_text(w, "messages", "messages is %s, wanted an array of messages",
                   !v ? "missing" : v->kind == JSON_ARRAY ? "empty" : json_kind_name(v->kind));
        return;
    }
    for (uint32_t i = 0; i < v->count && !w->status; i++) {
        const json_value *m = &v->items[i], *role = json_get(m, "role"), *content = field(m, "content");
        if (m->kind != JSON_OBJECT)
            wrong_text(w, "messages", "message %u is %s, wanted an object", i, json_kind_name(m->kind));
        else if (!role || role->kind != JSON_STR)
            wrong_text(w, "messages", "message %u has no role", i);
        else if (!content && !field(m, "tool_calls") && !str_is(json_str(role), "assistant"))
            wrong_text(w, "messages", "message %u has no content", i);
        else
            check_content(content, i, w);
    }
    o->messages = v;
}

/* What would change the answer and cannot be done is refused; what only could is not looked at. */
static void refuse_unable(const srv_request *o, const json_value *body, srv_wrong *w) {
    static const char *const keys[] = {"grammar", "json_schema", "functions"};
    const json_value *format = field(body, "response_format"), *type = json_get(format, "type");
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_value *v = field(body, keys[i]);
        if (v && !(v->kind == JSON_STR && !v->count)) wrong_text(w, keys[i], "%s is not supported", keys[i]);
    }
    if (format && !(type && type->kind == JSON_STR && str_is(json_str(type), "text")))
        wrong_text(w, "response_format", "response_format: only the type 'text' is supported");
    const json_value *choice = field(body, "tool_choice");
    if (o->kind == SRV_CHAT && choice &&
        !(choice->kind == JSON_STR && (str_is(json_str(choice), "auto") || str_is(json_str(choice), "none"))))
        wrong_text(w, "tool_choice", "tool_choice: a call cannot be forced; only 'auto' and 'none' are supported");
    const json_value *suffix = field(body, "suffix"), *more = field(body, "continue_final_message");
    if (more && o->kind == SRV_CHAT && !(more->kind == JSON_BOOL && !more->b))
        wrong_text(w, "continue_final_message", "continue_final_message is not supported");
    if (o->kind == SRV_TEXT && suffix && !(suffix->kind == JSON_STR && !suffix->count))
        wrong_text(w, "suffix", "suffix is not supported: leat completes a text at its end");
    const json_value *best = field(body, "best_of");
    if (best && o->kind == SRV_TEXT && !(best->kind == JSON_INT && best->i <= o->n))
        wrong_text(w, "best_of", "best_of is not supported: it must be n or less");
}

static void read_counts(srv_request *o, const json_value *body, srv_wrong *w) {
    const char *key = o->kind == SRV_NATIVE ? "n_probs" : "logprobs";
    const json_value *v = o->kind == SRV_CHAT ? NULL : field(body, key);
    double top = v && is_number(v) ? number_of(v) : -1;
    if (top >= 0 && top <= SRV_TOP_MAX && top == math_floor(top)) {
        o->top = (int32_t)top;
        o->logprobs = o->kind == SRV_TEXT || o->top > 0;
    } else if (v && !(v->kind == JSON_BOOL && !v->b)) {
        wrong_text(w, key, "%s is no whole number from 0 to %d", key, SRV_TOP_MAX);
    }
    if (o->kind == SRV_CHAT && o->top && !o->logprobs)
        wrong_text(w, "top_logprobs", "top_logprobs wants logprobs to be true");
    if (!w->status && o->n_prompts * (size_t)o->n > SRV_CHOICES_MAX)
        wrong_text(w, "n", "%zu prompts and n of %d are more than %d answers", o->n_prompts, o->n, SRV_CHOICES_MAX);
    const json_value *options = field(body, "stream_options");
    if (options && options->kind != JSON_OBJECT)
        wrong_text(w, "stream_options", "stream_options is %s, wanted an object", json_kind_name(options->kind));
    srv_request_flag(&o->usage, options, "include_usage", w);
}

void srv_request_read(srv_request *o, srv_kind kind, const json_value *body, srv_wrong *w) {
    o->kind = kind;
    o->n = 1;
    if (kind == SRV_TEXT && o->max_tokens < 0) o->max_tokens = 16; /* OpenAI's default */
    o->cache = o->start_answer = true;
    if (body->kind != JSON_OBJECT) {
        wrong_text(w, NULL, "the body is %s, wanted an object", json_kind_name(body->kind));
        return;
    }
    for (size_t i = 0; i < COUNT_OF(fields) && kind <= SRV_NATIVE; i++) {
        if (fields[i].kinds >> kind & 1) read_field(o, &fields[i], body, w);
    }
    const json_value *v = field(body, "model");
    if (v && v->kind != JSON_STR) wrong_text(w, "model", "model is %s, wanted a string", json_kind_name(v->kind));
    else if (v) o->model = json_str(v);
    if (kind == SRV_CHAT || kind == SRV_TEMPLATE || kind == SRV_COUNT) {
        read_messages(o, json_get(body, "messages"), w);
        if ((o->tools = field(body, "tools")) && o->tools->kind != JSON_ARRAY)
            wrong_text(w, "tools", "tools is %s, wanted an array", json_kind_name(o->tools->kind));
        if ((o->variables = field(body, "chat_template_kwargs")) && o->variables->kind != JSON_OBJECT)
            wrong_text(w, "chat_template_kwargs", "chat_template_kwargs is %s, wanted an object",
                       json_kind_name(o->variables->kind));
        srv_request_flag(&o->start_answer, body, "add_generation_prompt", w);
    } else {
        read_prompt(o, field(body, "prompt"), w);
    }
    if (kind == SRV_TEMPLATE || kind == SRV_COUNT) return;
    if ((v = field(body, "seed"))) read_seed(o, v, w);
    if ((v = field(body, "stop"))) read_stops(o, v, w);
    if ((v = field(body, "logit_bias"))) check_bias(o, v, w);
    read_counts(o, body, w);
    refuse_unable(o, body, w);
}
