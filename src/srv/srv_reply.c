/* srv_reply.c: answers as bytes: status lines, headers, streams of events, errors in OpenAI's shape. */
#include "srv/srv_int.h"

/* ---- JSON ------------------------------------------------------------------------------------------------ */

void srv_json(srv *s, json_writer *w) {
    srv_buf_empty(&s->json);
    json_write_start(w, &json_compact, srv_buf_put, &s->json);
    json_write_open(w, JSON_OBJECT);
}
void srv_json_name(json_writer *w, const char *key) { json_write_key(w, str_of(key)); }
void srv_json_str(json_writer *w, const char *key, const char *value) {
    srv_json_name(w, key);
    if (value) json_write_str(w, str_of(value));
    else json_write_null(w);
}
void srv_json_int(json_writer *w, const char *key, int64_t value) {
    srv_json_name(w, key);
    json_write_int(w, value);
}
void srv_json_bool(json_writer *w, const char *key, bool value) {
    srv_json_name(w, key);
    json_write_bool(w, value);
}
void srv_json_float(json_writer *w, const char *key, double value) {
    srv_json_name(w, key);
    json_write_float(w, value);
}

/* ---- errors ---------------------------------------------------------------------------------------------- */

int srv_fail(srv_error *e, int status, const char *type, const char *param, const char *format, ...) {
    va_list args;
    *e = (srv_error){.status = status, .type = type, .param = param};
    va_start(args, format);
    fmt_v(e->text, sizeof e->text, format, args);
    va_end(args);
    return status;
}

int srv_fail_code(srv_error *e, leat_code code, const char *text) {
    switch (code) {
    case LEAT_ARGUMENT:
    case LEAT_FORMAT:
    case LEAT_UNSUPPORTED:
    case LEAT_LIMIT: return srv_fail(e, 400, "invalid_request_error", NULL, "%s", text);
    case LEAT_MEMORY: return srv_fail(e, 503, "server_error", NULL, "%s", text);
    default: return srv_fail(e, 500, "server_error", NULL, "%s", text);
    }
}

static void write_error(srv *s, const srv_error *e) {
    json_writer w;
    srv_json(s, &w);
    srv_json_name(&w, "error");
    json_write_open(&w, JSON_OBJECT);
    srv_json_str(&w, "message", e->text);
    srv_json_str(&w, "type", e->type);
    srv_json_str(&w, "param", e->param);
    if (e->code) srv_json_str(&w, "code", e->code);
    else srv_json_int(&w, "code", e->status);
    if (e->n_ctx) {
        srv_json_int(&w, "n_prompt_tokens", (int64_t)e->n_prompt);
        srv_json_int(&w, "n_ctx", (int64_t)e->n_ctx);
    }
    json_write_close(&w, JSON_OBJECT);
    json_write_close(&w, JSON_OBJECT);
}

/* ---- heads ----------------------------------------------------------------------------------------------- */

/* length: of the body, or -1 for one that is sent in parts. */
static void put_head(srv_conn *c, int status, const char *type, int64_t length) {
    c->status = status;
    srv_buf_put(&c->out, &SRV_START[c->n_early], sizeof SRV_START - 1 - c->n_early);
    srv_buf_text(&c->out, "%d %s\r\nServer: leat\r\n", status, srv_http_reason(status));
    if (type) srv_buf_text(&c->out, "Content-Type: %s\r\n", type);
    if (length >= 0) srv_buf_text(&c->out, "Content-Length: %lld\r\n", (long long)length);
    else if (c->old) c->keep = false; /* ends with the connection */
    else srv_buf_text(&c->out, "Transfer-Encoding: chunked\r\n");
    if (length < 0) srv_buf_text(&c->out, "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    if (status == 401) srv_buf_text(&c->out, "WWW-Authenticate: Bearer\r\n");
    if (status == 405) srv_buf_text(&c->out, "Allow: GET, HEAD, POST, OPTIONS\r\n");
    if (status == 503) srv_buf_text(&c->out, "Retry-After: 1\r\n");
    if (c->origin[0]) srv_buf_text(&c->out, "Access-Control-Allow-Origin: %s\r\nVary: Origin\r\n", c->origin);
    srv_buf_text(&c->out, "Connection: %s\r\n\r\n", c->keep ? "keep-alive" : "close");
}

void srv_reply(srv *s, srv_conn *c, int status, const char *type, str body) {
    c->keep &= !s->draining || c->n_in; /* what was sent ahead came in time */
    put_head(c, status, type, (int64_t)body.len);
    if (!c->bare) srv_buf_put(&c->out, body.ptr, body.len);
    srv_conn_answered(s, c);
}

void srv_reply_buf(srv *s, srv_conn *c, int status, const srv_buf *json) {
    if (json->failed) { /* before any byte of it went out */
        srv_error e;
        srv_fail(&e, 500, "server_error", NULL, "the answer is larger than %d MiB, or there is no memory for it",
                 SRV_REPLY_BYTES_MAX >> 20);
        write_error(s, &e);
        status = e.status;
        json = &s->json;
    }
    srv_reply(s, c, status, "application/json; charset=utf-8", (str){json->at, json->n});
}

void srv_reply_json(srv *s, srv_conn *c, int status) { srv_reply_buf(s, c, status, &s->json); }

void srv_reply_error(srv *s, srv_conn *c, const srv_error *e) {
    write_error(s, e);
    srv_reply_json(s, c, e->status);
}

/* ---- streams --------------------------------------------------------------------------------------------- */

void srv_stream_start(srv *s, srv_conn *c) {
    if (c->streaming) return;
    c->streaming = true;
    c->keep &= !s->draining || c->n_in; /* what was sent ahead came in time */
    put_head(c, 200, "text/event-stream", -1);
    srv_conn_flush(s, c);
}

static void put_event(srv *s, srv_conn *c, str data) {
    if (!c->old) srv_buf_text(&c->out, "%zx\r\n", data.len + 8);
    srv_buf_text(&c->out, "data: ");
    srv_buf_put(&c->out, data.ptr, data.len);
    srv_buf_text(&c->out, c->old ? "\n\n" : "\n\n\r\n");
    srv_conn_flush(s, c);
}

void srv_stream_event(srv *s, srv_conn *c) {
    if (s->json.failed) c->gone = true; /* no memory: half an event would be worse than none */
    put_event(s, c, (str){s->json.at, s->json.n});
}

void srv_stream_end(srv *s, srv_conn *c, const srv_error *e) {
    if (e) {
        write_error(s, e);
        srv_stream_event(s, c);
    } else if (c->route->kind != SRV_NATIVE) {
        put_event(s, c, STR("[DONE]"));
    }
    if (!c->old) srv_buf_text(&c->out, "0\r\n\r\n");
    srv_conn_answered(s, c);
}
