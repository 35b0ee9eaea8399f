/* srv_answer.c: JSON of answers: OpenAI's chat and text completions, whole or as streams, and llama.cpp's one. */
#include "srv/srv_int.h"

static const char *finish_text(const srv_job *j) {
    return j->finish == SRV_NOT_YET ? NULL : j->finish == SRV_AT_LIMIT ? "length" : "stop";
}

/* ---- pieces all shapes have ------------------------------------------------------------------------------------ */

static void write_timings(const srv_job *j, json_writer *w) {
    double prompt_ms = (double)j->prompt_ns / 1e6, ms = (double)j->generated_ns / 1e6;
    size_t n_prompt = j->n_prompt - j->n_cached;
    srv_json_name(w, "timings");
    json_write_open(w, JSON_OBJECT);
    srv_json_int(w, "cache_n", (int64_t)j->n_cached);
    srv_json_int(w, "prompt_n", (int64_t)n_prompt);
    srv_json_float(w, "prompt_ms", prompt_ms);
    srv_json_float(w, "prompt_per_token_ms", prompt_ms / (double)MAX(n_prompt, 1));
    srv_json_float(w, "prompt_per_second", prompt_ms > 0 ? (double)n_prompt * 1e3 / prompt_ms : 0);
    srv_json_int(w, "predicted_n", (int64_t)j->n_generated);
    srv_json_float(w, "predicted_ms", ms);
    srv_json_float(w, "predicted_per_token_ms", ms / (double)MAX(j->n_generated, 1));
    srv_json_float(w, "predicted_per_second", ms > 0 ? (double)j->n_generated * 1e3 / ms : 0);
    json_write_close(w, JSON_OBJECT);
}

static void write_usage(const srv_job *j, json_writer *w) {
    srv_json_name(w, "usage");
    json_write_open(w, JSON_OBJECT);
    srv_json_int(w, "prompt_tokens", (int64_t)j->all_prompt);
    srv_json_int(w, "completion_tokens", (int64_t)j->all_generated);
    srv_json_int(w, "total_tokens", (int64_t)(j->all_prompt + j->all_generated));
    srv_json_name(w, "prompt_tokens_details");
    json_write_open(w, JSON_OBJECT);
    srv_json_int(w, "cached_tokens", (int64_t)j->all_cached);
    json_write_close(w, JSON_OBJECT);
    json_write_close(w, JSON_OBJECT);
}

/* The prompt as the model got it, special tokens and all. */
static void write_prompt(srv *s, json_writer *w) {
    srv_job *j = s->job;
    size_t bytes = 0;
    leat_detokenize(s->model, j->prompt, j->n_prompt, true, NULL, 0, &bytes, NULL);
    char *text = arena_alloc(&j->memory, bytes + 1, 1);
    leat_detokenize(s->model, j->prompt, j->n_prompt, true, text, text ? bytes : 0, &bytes, NULL);
    srv_json_name(w, "prompt");
    json_write_str(w, (str){text, text ? bytes : 0});
}

/* ---- logprobs --------------------------------------------------------------------------------------------------- */

/* The records of j->probs one by one: *top has its n_top. */
static bool next_prob(const srv_job *j, size_t *at, srv_prob *p, const char **top) {
    if (*at >= j->probs.n) return false;
    memcpy(p, j->probs.at + *at, sizeof *p);
    *top = j->probs.at + *at + sizeof *p;
    *at += sizeof *p + p->n_top * sizeof(srv_bias);
    return true;
}

static srv_bias top_at(const char *top, uint32_t i) {
    srv_bias b;
    memcpy(&b, top + i * sizeof b, sizeof b);
    return b;
}

static double finite(float x) { return f32_is_finite(x) ? (double)x : -9999.0; } /* JSON has no infinity */

static str piece_of(srv *s, int32_t id) {
    srv_job *j = s->job;
    return (str){j->piece, MIN(leat_piece(s->model, id, true, j->piece, 65536), (size_t)65536)};
}

/* {"id", "token", "logprob", "bytes"} without its end. */
static void open_token(srv *s, json_writer *w, int32_t id, float logprob) {
    str piece = piece_of(s, id);
    json_write_open(w, JSON_OBJECT);
    srv_json_int(w, "id", id);
    srv_json_name(w, "token");
    json_write_str(w, piece);
    srv_json_name(w, "bytes");
    json_write_open(w, JSON_ARRAY);
    for (size_t i = 0; i < piece.len; i++) json_write_int(w, (unsigned char)piece.ptr[i]);
    json_write_close(w, JSON_ARRAY);
    srv_json_float(w, "logprob", finite(logprob));
}

static void write_tokens(srv *s, json_writer *w, const char *name) {
    srv_prob p;
    const char *top;
    srv_json_name(w, name);
    json_write_open(w, JSON_ARRAY);
    for (size_t at = 0; next_prob(s->job, &at, &p, &top);) {
        open_token(s, w, p.id, p.logprob);
        srv_json_name(w, "top_logprobs");
        json_write_open(w, JSON_ARRAY);
        for (uint32_t i = 0; i < p.n_top; i++) {
            srv_bias b = top_at(top, i);
            open_token(s, w, b.id, b.by);
            json_write_close(w, JSON_OBJECT);
        }
        json_write_close(w, JSON_ARRAY);
        json_write_close(w, JSON_OBJECT);
    }
    json_write_close(w, JSON_ARRAY);
}

/* A token's text in the older shape, which has no bytes: what is no whole text is spelled out, as OpenAI does. */
static void write_piece(srv *s, json_writer *w, int32_t id, bool key) {
    str piece = piece_of(s, id);
    char spelled[256];
    bool whole = true;
    for (size_t i = 0, len; i < piece.len; i += len)
        whole &= utf8_decode(piece.ptr + i, piece.len - i, &len) != UTF8_INVALID;
    if (!whole) {
        size_t n = fmt(spelled, sizeof spelled, "bytes:");
        for (size_t i = 0; i < piece.len && n + 5 < sizeof spelled; i++)
            n += fmt(spelled + n, sizeof spelled - n, "\\x%02x", (unsigned char)piece.ptr[i]);
        piece = (str){spelled, n};
    }
    if (key) json_write_key(w, piece);
    else json_write_str(w, piece);
}

static size_t characters(str text) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += (text.ptr[i] & 0xC0) != 0x80;
    return n;
}

static void write_legacy_probs(srv *s, json_writer *w) {
    srv_job *j = s->job;
    srv_prob p;
    const char *top;
    json_write_open(w, JSON_OBJECT);
    srv_json_name(w, "tokens");
    json_write_open(w, JSON_ARRAY);
    for (size_t at = 0; next_prob(j, &at, &p, &top);) write_piece(s, w, p.id, false);
    json_write_close(w, JSON_ARRAY);
    srv_json_name(w, "token_logprobs");
    json_write_open(w, JSON_ARRAY);
    for (size_t at = 0; next_prob(j, &at, &p, &top);) {
        if (f32_is_nan(p.logprob)) json_write_null(w);
        else json_write_float(w, finite(p.logprob));
    }
    json_write_close(w, JSON_ARRAY);
    srv_json_name(w, "top_logprobs");
    if (j->request.top) json_write_open(w, JSON_ARRAY);
    else json_write_null(w);
    for (size_t at = 0; j->request.top && next_prob(j, &at, &p, &top);) {
        if (f32_is_nan(p.logprob)) {
            json_write_null(w);
            continue;
        }
        json_write_open(w, JSON_OBJECT);
        for (uint32_t i = 0; i < p.n_top; i++) {
            srv_bias b = top_at(top, i);
            write_piece(s, w, b.id, true);
            json_write_float(w, finite(b.by));
        }
        json_write_close(w, JSON_OBJECT);
    }
    if (j->request.top) json_write_close(w, JSON_ARRAY);
    srv_json_name(w, "text_offset");
    json_write_open(w, JSON_ARRAY);
    for (size_t at = 0; next_prob(j, &at, &p, &top);) {
        json_write_int(w, (int64_t)j->n_chars);
        j->n_chars += characters(piece_of(s, p.id));
    }
    json_write_close(w, JSON_ARRAY);
    json_write_close(w, JSON_OBJECT);
}

static void write_probs(srv *s, json_writer *w) {
    srv_json_name(w, "logprobs");
    if (!s->job->request.logprobs) {
        json_write_null(w);
    } else if (s->job->request.kind == SRV_TEXT) {
        write_legacy_probs(s, w);
    } else {
        json_write_open(w, JSON_OBJECT);
        write_tokens(s, w, "content");
        json_write_close(w, JSON_OBJECT);
    }
}

/* ---- OpenAI's ---------------------------------------------------------------------------------------------------- */

static void open_answer(srv *s, json_writer *w) {
    srv_job *j = s->job;
    bool chat = j->request.kind == SRV_CHAT, part = j->request.stream;
    srv_json(s, w);
    srv_json_str(w, "id", j->id);
    srv_json_str(w, "object", !chat ? "text_completion" : part ? "chat.completion.chunk" : "chat.completion");
    srv_json_int(w, "created", j->created_s);
    srv_json_str(w, "model", s->id);
    srv_json_str(w, "system_fingerprint", leat_version());
    srv_json_name(w, "choices");
    json_write_open(w, JSON_ARRAY);
}

/* A choice, with what a stream has new or with all of it. */
static void write_choice(srv *s, json_writer *w, bool first) {
    srv_job *j = s->job;
    str text = {j->text.n ? j->text.at : "", j->text.n};
    bool part = j->request.stream, last = j->finish != SRV_NOT_YET;
    json_write_open(w, JSON_OBJECT);
    srv_json_int(w, "index", (int64_t)j->index);
    if (j->request.kind == SRV_TEXT) {
        srv_json_name(w, "text");
        json_write_str(w, text);
    } else {
        srv_json_name(w, part ? "delta" : "message");
        json_write_open(w, JSON_OBJECT);
        if (first || !part) srv_json_str(w, "role", "assistant");
        if (j->thoughts.n) {
            srv_json_name(w, "reasoning_content");
            json_write_str(w, (str){j->thoughts.at, j->thoughts.n});
        }
        if (first) srv_json_str(w, "content", NULL);
        else if (!part || text.len) srv_json_name(w, "content"), json_write_str(w, text);
        json_write_close(w, JSON_OBJECT);
    }
    if (!part || (!first && !last)) write_probs(s, w);
    else srv_json_str(w, "logprobs", NULL);
    srv_json_str(w, "finish_reason", finish_text(j));
    json_write_close(w, JSON_OBJECT);
}

static void send_part(srv *s, bool first) {
    srv_job *j = s->job;
    json_writer w;
    open_answer(s, &w);
    write_choice(s, &w, first);
    json_write_close(&w, JSON_ARRAY);
    if (j->request.usage) srv_json_str(&w, "usage", NULL);
    if ((j->finish != SRV_NOT_YET && !j->request.usage) || (j->request.timings && !first)) write_timings(j, &w);
    json_write_close(&w, JSON_OBJECT);
    srv_stream_event(s, j->conn);
}

/* ---- llama.cpp's ----------------------------------------------------------------------------------------------- */

static void write_ids(const srv_job *j, json_writer *w, bool all) {
    srv_json_name(w, "tokens");
    json_write_open(w, JSON_ARRAY);
    for (size_t i = 0; all && i + 4 <= j->ids.n; i += 4) json_write_int(w, (int32_t)load_u32(j->ids.at + i));
    json_write_close(w, JSON_ARRAY);
}

/* An object: a part of a stream, its end, or an answer. */
static void write_native(srv *s, json_writer *w) {
    srv_job *j = s->job;
    bool last = j->finish != SRV_NOT_YET, stream = j->request.stream;
    json_write_open(w, JSON_OBJECT);
    srv_json_int(w, "index", (int64_t)j->index);
    srv_json_name(w, "content");
    json_write_str(w, (str){j->text.n ? j->text.at : "", j->text.n});
    write_ids(j, w, stream ? !last : j->request.return_tokens);
    srv_json_bool(w, "stop", last);
    srv_json_int(w, "id_slot", 0);
    srv_json_int(w, "tokens_predicted", (int64_t)j->n_generated);
    srv_json_int(w, "tokens_evaluated", (int64_t)j->n_prompt);
    if (j->request.logprobs && (!stream || !last)) write_tokens(s, w, "completion_probabilities");
    if (last) {
        srv_json_str(w, "model", s->id);
        srv_json_name(w, "generation_settings");
        srv_request_settings(w, &j->request);
        write_prompt(s, w);
        srv_json_bool(w, "has_new_line", j->new_line);
        srv_json_bool(w, "truncated", false);
        srv_json_str(w, "stop_type", j->finish == SRV_AT_LIMIT ? "limit" : j->finish == SRV_AT_END ? "eos" : "word");
        srv_json_int(w, "tokens_cached", leat_session_length(s->session));
    }
    if (last || j->request.timings) write_timings(j, w);
    json_write_close(w, JSON_OBJECT);
}

static void send_native(srv *s) {
    json_writer w;
    srv_buf_empty(&s->json);
    json_write_start(&w, &json_compact, srv_buf_put, &s->json);
    write_native(s, &w);
    srv_stream_event(s, s->job->conn);
}

/* ---- when -------------------------------------------------------------------------------------------------------- */

static bool is_native(const srv *s) { return s->job->request.kind == SRV_NATIVE; }

static void forget_part(srv_job *j) {
    srv_buf_empty(&j->text);
    srv_buf_empty(&j->thoughts);
    srv_buf_empty(&j->ids);
    srv_buf_empty(&j->probs);
}

void srv_answer_first(srv *s) {
    srv_job *j = s->job;
    if (j->request.kind == SRV_CHAT) send_part(s, true);
}

void srv_answer_part(srv *s) {
    if (is_native(s)) send_native(s);
    else send_part(s, false);
    forget_part(s->job);
}

void srv_answer_end(srv *s) {
    srv_job *j = s->job;
    json_writer w;
    if (j->request.stream) {
        forget_part(j);
        if (is_native(s)) send_native(s);
        else send_part(s, false);
        return;
    }
    if (j->choices.n) srv_buf_put(&j->choices, ",", 1);
    json_write_start(&w, &json_compact, srv_buf_put, &j->choices);
    if (is_native(s)) write_native(s, &w);
    else write_choice(s, &w, false);
}

void srv_answer_whole(srv *s) {
    srv_job *j = s->job;
    json_writer w;
    if (j->request.stream && (is_native(s) || !j->request.usage)) {
        srv_stream_end(s, j->conn, NULL);
        return;
    }
    if (is_native(s)) {
        bool many = j->index > 1;
        srv_buf_empty(&s->json);
        if (many) srv_buf_put(&s->json, "[", 1);
        srv_buf_put(&s->json, j->choices.at, j->choices.n);
        if (many) srv_buf_put(&s->json, "]", 1);
    } else {
        open_answer(s, &w);
        if (!j->request.stream) json_write_raw(&w, (str){j->choices.at, j->choices.n});
        json_write_close(&w, JSON_ARRAY);
        write_usage(j, &w);
        write_timings(j, &w);
        if (j->request.verbose && !j->request.stream) {
            srv_json_name(&w, "__verbose");
            json_write_open(&w, JSON_OBJECT);
            write_prompt(s, &w);
            json_write_close(&w, JSON_OBJECT);
        }
        json_write_close(&w, JSON_OBJECT);
    }
    if (j->choices.failed) s->json.failed = true;
    if (j->request.stream) {
        srv_stream_event(s, j->conn);
        srv_stream_end(s, j->conn, NULL);
    } else {
        srv_reply_json(s, j->conn, 200);
    }
}
