/* srv_route.c: which path is what, who may ask, and the answers that need no computing. Next: srv_request.c. */
#include "srv/srv_int.h"

static const srv_route routes[] = {
    {SRV_POST, "/v1/chat/completions", false, SRV_CHAT},
    {SRV_POST, "/chat/completions", false, SRV_CHAT},
    {SRV_POST, "/v1/chat/completions/input_tokens", false, SRV_COUNT},
    {SRV_POST, "/chat/completions/input_tokens", false, SRV_COUNT},
    {SRV_POST, "/v1/completions", false, SRV_TEXT},
    {SRV_POST, "/completion", false, SRV_NATIVE},
    {SRV_POST, "/completions", false, SRV_NATIVE},
    {SRV_POST, "/apply-template", false, SRV_TEMPLATE},
    {SRV_POST, "/tokenize", false, SRV_TOKENIZE},
    {SRV_POST, "/detokenize", false, SRV_DETOKENIZE},
    {SRV_GET, "/v1/models", false, SRV_MODELS},
    {SRV_GET, "/models", false, SRV_MODELS},
    {SRV_GET, "/v1/models/", false, SRV_MODEL},
    {SRV_GET, "/health", true, SRV_HEALTH},
    {SRV_GET, "/v1/health", true, SRV_HEALTH},
    {SRV_GET, "/metrics", false, SRV_METRICS},
    {SRV_GET, "/props", false, SRV_PROPS},
    {SRV_GET, "/slots", false, SRV_SLOTS},
};

/* ---- who may ask ------------------------------------------------------------------------------------------- */

/* Takes the same time wherever the two differ. */
static bool same_key(str given, const char *key) {
    size_t n = cstr_len(key);
    uint32_t differ = given.len != n;
    for (size_t i = 0; i < given.len; i++) differ |= (uint32_t)(given.ptr[i] ^ key[i % MAX(n, 1)]);
    return !differ;
}

static bool may_ask(const srv *s, const srv_head *h) {
    str given = h->api_key;
    if (str_starts(h->authorization, STR("Bearer "))) given = str_trim(str_cut(h->authorization, 7, SIZE_MAX - 7));
    bool any = !s->o->n_keys;
    for (size_t i = 0; i < s->o->n_keys; i++) any |= same_key(given, s->o->keys[i]);
    return any;
}

/* A page that this machine serves, on any port. */
static bool is_local(str origin) {
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    size_t scheme = str_starts(origin, STR("http://")) ? 7 : str_starts(origin, STR("https://")) ? 8 : SIZE_MAX;
    str rest = str_cut(origin, MIN(scheme, origin.len), origin.len);
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        str host = str_of(hosts[i]);
        if (!str_starts(rest, host)) continue;
        str port = str_cut(rest, host.len, rest.len);
        bool ok = !port.len || (port.len > 1 && port.ptr[0] == ':');
        for (size_t k = 1; k < port.len; k++) ok &= port.ptr[k] >= '0' && port.ptr[k] <= '9';
        if (ok) return true;
    }
    return false;
}

static void find_origin(const srv *s, srv_conn *c, const srv_head *h) {
    const char *cors = s->o->cors;
    bool ok = cstr_eq(cors, "*") || (cstr_eq(cors, "local") && is_local(h->origin)) || str_is(h->origin, cors);
    if (ok && h->origin.len && h->origin.len < sizeof c->origin)
        fmt(c->origin, sizeof c->origin, "%.*s", (int)h->origin.len, h->origin.ptr);
}

int srv_route_find(srv *s, srv_conn *c, const srv_head *h, srv_error *e) {
    srv_method method = h->method == SRV_HEAD ? SRV_GET : h->method;
    bool known = h->method == SRV_OPTIONS && str_is(h->path, "*");
    find_origin(s, c, h);
    for (size_t i = 0; i < COUNT_OF(routes) && !c->route; i++) {
        str path = str_of(routes[i].path);
        bool rest = routes[i].kind == SRV_MODEL;
        if (rest ? !str_starts(h->path, path) || h->path.len == path.len : !str_eq(h->path, path)) continue;
        known = true;
        if (routes[i].method != method) continue;
        c->route = &routes[i];
        str name = str_cut(h->path, path.len, h->path.len);
        fmt(c->name, sizeof c->name, "%.*s", (int)MIN(name.len, sizeof c->name), name.ptr);
    }
    if (h->method == SRV_OPTIONS && known) { /* a browser asks before it asks; it sends no key */
        fmt(c->name, sizeof c->name, "%.*s", (int)MIN(h->asks_headers.len, sizeof c->name), h->asks_headers.ptr);
        return 0;
    }
    if (!may_ask(s, h) && !(c->route && c->route->open)) {
        srv_fail(e, 401, "authentication_error", NULL, "a valid API key is needed, as 'Authorization: Bearer KEY'");
        e->code = "invalid_api_key";
        return e->status;
    }
    if (c->route) return 0;
    str path = str_cut(h->path, 0, 100);
    if (known)
        return srv_fail(e, 405, "invalid_request_error", NULL, "%.*s has no such method", (int)path.len, path.ptr);
    return srv_fail(e, 404, "not_found_error", NULL, "there is no %.*s", (int)path.len, path.ptr);
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static void answer_options(srv *s, srv_conn *c) {
    const char *asked = c->name[0] ? c->name : "Authorization, Content-Type, X-Api-Key";
    c->status = 200;
    srv_buf_text(&c->out, "HTTP/1.1 200 OK\r\nServer: leat\r\nContent-Length: 0\r\n");
    if (c->origin[0])
        srv_buf_text(&c->out,
                     "Access-Control-Allow-Origin: %s\r\nVary: Origin\r\nAccess-Control-Allow-Methods: GET, POST, "
                     "OPTIONS\r\nAccess-Control-Allow-Headers: %s\r\nAccess-Control-Max-Age: 600\r\n",
                     c->origin, asked);
    srv_buf_text(&c->out, "Connection: %s\r\n\r\n", c->keep ? "keep-alive" : "close");
    srv_conn_answered(s, c);
}

static void answer_health(srv *s, srv_conn *c) {
    json_writer w;
    srv_json(s, &w);
    srv_json_str(&w, "status", "ok");
    json_write_close(&w, JSON_OBJECT);
    srv_reply_json(s, c, 200);
}

static void write_model(const srv *s, json_writer *w) {
    json_write_open(w, JSON_OBJECT);
    srv_json_str(w, "id", s->id);
    srv_json_str(w, "object", "model");
    srv_json_int(w, "created", (int64_t)s->started_s);
    srv_json_str(w, "owned_by", "leat");
    srv_json_name(w, "aliases");
    json_write_open(w, JSON_ARRAY);
    for (str rest = str_of(s->o->alias ? s->o->alias : ""), name; srv_next_name(&rest, &name);) json_write_str(w, name);
    json_write_close(w, JSON_ARRAY);
    srv_json_name(w, "meta");
    json_write_open(w, JSON_OBJECT);
    srv_json_str(w, "architecture", leat_model_architecture(s->model));
    srv_json_int(w, "n_vocab", leat_model_n_vocab(s->model));
    srv_json_int(w, "n_ctx", leat_session_n_ctx(s->session));
    srv_json_int(w, "n_ctx_train", leat_model_n_ctx_train(s->model));
    srv_json_int(w, "n_params", (int64_t)leat_model_n_params(s->model));
    srv_json_int(w, "size", (int64_t)leat_model_bytes(s->model));
    json_write_close(w, JSON_OBJECT);
    json_write_close(w, JSON_OBJECT);
}

static void answer_models(srv *s, srv_conn *c) {
    json_writer w;
    srv_json(s, &w);
    srv_json_str(&w, "object", "list");
    srv_json_name(&w, "data");
    json_write_open(&w, JSON_ARRAY);
    write_model(s, &w);
    json_write_close(&w, JSON_ARRAY);
    json_write_close(&w, JSON_OBJECT);
    srv_reply_json(s, c, 200);
}

/* c->name as a path spells it: %20 and the like. */
static str plain_name(srv_conn *c) {
    size_t n = 0;
    for (size_t i = 0; c->name[i]; i++) {
        int high, low;
        char b = c->name[i];
        if (b == '%' && (high = hex_digit(c->name[i + 1])) >= 0 && (low = hex_digit(c->name[i + 2])) >= 0)
            b = (char)(high << 4 | low), i += 2;
        c->name[n++] = b;
    }
    return (str){c->name, n};
}

static void answer_model(srv *s, srv_conn *c) {
    srv_error e;
    json_writer w;
    str name = plain_name(c);
    if (srv_job_model(s, name, &e)) {
        srv_reply_error(s, c, &e);
        return;
    }
    srv_buf_empty(&s->json);
    json_write_start(&w, &json_compact, srv_buf_put, &s->json);
    write_model(s, &w);
    srv_reply_json(s, c, 200);
}

static void metric(srv *s, const char *name, const char *type, const char *help, double value) {
    srv_buf_text(&s->json, "# HELP leat_%s %s\n# TYPE leat_%s %s\nleat_%s %.17g\n", name, help, name, type, name,
                 value);
}

static void answer_metrics(srv *s, srv_conn *c) {
    const srv_count *n = &s->count;
    const struct {
        const char *name, *help;
        double value;
        bool now;
    } rows[] = {
        {"requests_total", "Requests that came.", (double)n->requests, false},
        {"answers_2xx_total", "Answers with a status of 2xx.", (double)n->answers_2xx, false},
        {"answers_4xx_total", "Answers with a status of 4xx.", (double)n->answers_4xx, false},
        {"answers_5xx_total", "Answers with a status of 5xx.", (double)n->answers_5xx, false},
        {"requests_cancelled_total", "Requests whose client hung up before the answer was whole.",
         (double)n->cancelled, false},
        {"prompt_tokens_total", "Prompt tokens that were computed.", (double)n->prompt_tokens, false},
        {"prompt_tokens_cached_total", "Prompt tokens that were there from an earlier request.",
         (double)n->cached_tokens, false},
        {"prompt_seconds_total", "Time spent on prompts.", (double)n->prompt_ns / 1e9, false},
        {"tokens_predicted_total", "Tokens that were generated.", (double)n->generated_tokens, false},
        {"tokens_predicted_seconds_total", "Time spent on generating.", (double)n->generated_ns / 1e9, false},
        {"requests_processing", "Requests that are being computed.", s->running ? 1 : 0, true},
        {"requests_deferred", "Requests that wait.", (double)s->n_queue, true},
        {"context_tokens", "Tokens that the context holds.", (double)leat_session_length(s->session), true},
        {"memory_bytes", "Memory that is held, mapped files apart.",
         (double)leat_session_stats(s->session).held_bytes, true},
    };
    srv_buf_empty(&s->json);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        metric(s, rows[i].name, rows[i].now ? "gauge" : "counter", rows[i].help, rows[i].value);
    srv_reply(s, c, 200, "text/plain; version=0.0.4; charset=utf-8", (str){s->json.at, s->json.n});
}

static void write_piece(srv *s, json_writer *w, const char *key, int32_t id) {
    char piece[256];
    size_t n = id < 0 ? 0 : MIN(leat_piece(s->model, id, true, piece, sizeof piece), sizeof piece);
    srv_json_name(w, key);
    json_write_str(w, (str){piece, n});
}

static void answer_props(srv *s, srv_conn *c) {
    json_writer w;
    srv_json(s, &w);
    srv_json_name(&w, "default_generation_settings");
    json_write_open(&w, JSON_OBJECT);
    srv_json_int(&w, "n_ctx", leat_session_n_ctx(s->session));
    srv_json_name(&w, "params");
    srv_request defaults = {.max_tokens = s->o->n_predict, .sampler = s->o->sampler, .seeded = s->o->seeded};
    srv_request_settings(&w, &defaults);
    json_write_close(&w, JSON_OBJECT);
    srv_json_int(&w, "total_slots", 1);
    srv_json_str(&w, "model_alias", s->id);
    srv_json_str(&w, "model_path", s->o->path);
    srv_json_str(&w, "chat_template", s->o->chat_template ? s->o->chat_template : leat_model_chat_template(s->model));
    write_piece(s, &w, "bos_token", leat_bos(s->model));
    srv_json_str(&w, "build_info", leat_version());
    json_write_close(&w, JSON_OBJECT);
    srv_reply_json(s, c, 200);
}

/* llama.cpp's word for a place where a request is computed: there is one. */
static void answer_slots(srv *s, srv_conn *c) {
    json_writer w;
    srv_buf_empty(&s->json);
    json_write_start(&w, &json_compact, srv_buf_put, &s->json);
    json_write_open(&w, JSON_ARRAY);
    json_write_open(&w, JSON_OBJECT);
    srv_json_int(&w, "id", 0);
    srv_json_int(&w, "n_ctx", leat_session_n_ctx(s->session));
    srv_json_bool(&w, "is_processing", s->running != NULL);
    json_write_close(&w, JSON_OBJECT);
    json_write_close(&w, JSON_ARRAY);
    srv_reply_json(s, c, 200);
}

/* ---- tokens ------------------------------------------------------------------------------------------------- */

/* A token's text: as bytes where it is no whole text. */
static void write_token(srv *s, json_writer *w, int32_t id) {
    char piece[1024];
    size_t n = MIN(leat_piece(s->model, id, true, piece, sizeof piece), sizeof piece);
    json_write_open(w, JSON_OBJECT);
    srv_json_int(w, "id", id);
    srv_json_name(w, "piece");
    bool whole = true;
    for (size_t i = 0, len; i < n; i += len) whole &= utf8_decode(piece + i, n - i, &len) != UTF8_INVALID;
    if (whole) {
        json_write_str(w, (str){piece, n});
    } else {
        json_write_open(w, JSON_ARRAY);
        for (size_t i = 0; i < n; i++) json_write_int(w, (unsigned char)piece[i]);
        json_write_close(w, JSON_ARRAY);
    }
    json_write_close(w, JSON_OBJECT);
}

static int tokenize(srv *s, const json_value *body, const srv_place *at, srv_error *e) {
    const json_value *text = json_get(body, "content");
    bool pieces = false, add_special = false, parse_special = true;
    srv_wrong wrong = {0};
    int32_t *ids;
    size_t n;
    json_writer w;
    srv_sink sink = {s, at->json, 0};
    if (!text || text->kind != JSON_STR)
        return srv_fail(e, 400, "invalid_request_error", "content", "content is %s, wanted a string",
                        text ? json_kind_name(text->kind) : "missing");
    srv_request_flag(&pieces, body, "with_pieces", &wrong);
    srv_request_flag(&add_special, body, "add_special", &wrong);
    srv_request_flag(&parse_special, body, "parse_special", &wrong);
    if (wrong.status) return srv_fail(e, wrong.status, "invalid_request_error", wrong.param, "%s", wrong.text);
    int status = srv_job_tokens(s, at->memory, json_str(text), add_special, parse_special, &ids, &n, e);
    if (status) return status;
    json_write_start(&w, &json_compact, srv_sink_put, &sink);
    json_write_open(&w, JSON_OBJECT);
    srv_json_name(&w, "tokens");
    json_write_open(&w, JSON_ARRAY);
    for (size_t i = 0; i < n; i++) {
        if (pieces) write_token(s, &w, ids[i]);
        else json_write_int(&w, ids[i]);
    }
    json_write_close(&w, JSON_ARRAY);
    json_write_close(&w, JSON_OBJECT);
    return 0;
}

static int detokenize(srv *s, const json_value *body, const srv_place *at, srv_error *e) {
    const json_value *tokens = json_get(body, "tokens");
    int32_t n_vocab = leat_model_n_vocab(s->model);
    leat_error failed;
    json_writer w;
    srv_sink sink = {s, at->json, 0};
    if (!tokens || tokens->kind != JSON_ARRAY)
        return srv_fail(e, 400, "invalid_request_error", "tokens", "tokens is %s, wanted an array of ids",
                        tokens ? json_kind_name(tokens->kind) : "missing");
    int32_t *ids = arena_array(at->memory, tokens->count + 1, sizeof *ids);
    if (!ids) return srv_fail(e, 503, "server_error", NULL, "no memory for %u tokens", tokens->count);
    for (uint32_t i = 0; i < tokens->count; i++) {
        const json_value *v = &tokens->items[i];
        if (v->kind != JSON_INT || v->i < 0 || v->i >= n_vocab)
            return srv_fail(e, 400, "invalid_request_error", "tokens", "entry %u of tokens is no id from 0 to %d", i,
                            n_vocab - 1);
        ids[i] = (int32_t)v->i;
    }
    size_t bytes = 0, cap = 0;
    char *text = NULL;
    for (int attempt = 0; attempt < 2; attempt++, cap = bytes) {
        text = arena_alloc(at->memory, cap + 1, 1);
        if (!text) return srv_fail(e, 503, "server_error", NULL, "no memory for %zu bytes of text", cap);
        leat_code code = leat_detokenize(s->model, ids, tokens->count, true, text, cap, &bytes, &failed);
        if (code) return srv_fail_code(e, code, failed.text);
        srv_yield(s);
    }
    json_write_start(&w, &json_compact, srv_sink_put, &sink);
    json_write_open(&w, JSON_OBJECT);
    srv_json_name(&w, "content");
    json_write_str(&w, (str){text, bytes});
    json_write_close(&w, JSON_OBJECT);
    return 0;
}

int srv_route_work(srv *s, srv_conn *c, const srv_place *at, srv_error *e) {
    json_value body;
    srv_buf_empty(at->json);
    int status = srv_job_body(s, c, at->memory, &body, e);
    if (!status && body.kind != JSON_OBJECT)
        status = srv_fail(e, 400, "invalid_request_error", NULL, "the body is %s, wanted an object",
                          json_kind_name(body.kind));
    if (!status && c->route->kind == SRV_TOKENIZE) status = tokenize(s, &body, at, e);
    else if (!status && c->route->kind == SRV_DETOKENIZE) status = detokenize(s, &body, at, e);
    else if (!status) status = srv_chat_template(s, c->route->kind, &body, at, e);
    return status;
}

static void answer_at_once(srv *s, srv_conn *c) {
    srv_error e;
    int status = srv_route_work(s, c, &(srv_place){&s->scratch, &s->json, s->preview}, &e);
    srv_job_empty(&s->scratch);
    if (status) srv_reply_error(s, c, &e);
    else srv_reply_json(s, c, 200);
}

void srv_route_answer(srv *s, srv_conn *c) {
    srv_error e;
    if (!c->route) {
        answer_options(s, c);
    } else if (!s->model) {
        srv_fail(&e, 503, "unavailable_error", NULL, "the model is being loaded");
        srv_reply_error(s, c, &e);
    } else {
        switch (c->route->kind) {
        case SRV_HEALTH: answer_health(s, c); return;
        case SRV_MODELS: answer_models(s, c); return;
        case SRV_MODEL: answer_model(s, c); return;
        case SRV_METRICS: answer_metrics(s, c); return;
        case SRV_PROPS: answer_props(s, c); return;
        case SRV_SLOTS: answer_slots(s, c); return;
        case SRV_TOKENIZE:
        case SRV_DETOKENIZE:
        case SRV_COUNT:
        case SRV_TEMPLATE: (c->body.n <= SRV_AT_ONCE_BYTES_MAX ? answer_at_once : srv_job_queue)(s, c); return;
        default: srv_job_queue(s, c);
        }
    }
}
