/* srv_job.c: the queue, and how its requests are computed: the same steps as `leat run`, so that the same prompt gives
 * the same text. Next: srv_answer.c.
 *
 * What the session holds of this prompt or an earlier one is taken (leat_reuse). Only prompt tokens are: a generated
 * token that comes back in the next prompt is computed again, as a prompt token, because the role is part of the
 * numbers (docs/NUMERICS.md) and an answer must not depend on who asked before.
 */
#include "srv/srv_int.h"

#define PIECE_MAX 65536 /* bytes of a token's text, as leat_piece promises */
#define KEEP_BYTES ((size_t)1 << 20)
#define BIASES_MAX (SRV_BIASES_MAX * 4) /* tokens of logit_bias: a text may be several */
#define BIAS_MAX 1e9    /* more would be the same, or no number when added to a token that is forbidden */
#define YIELD_PUTS 4096 /* pieces of JSON written between two looks at the network */
#define ENDS_MAX 256    /* tokens that ignore_eos forbids */

void srv_job_empty(arena *a) {
    err e;
    if (a->committed_bytes <= KEEP_BYTES) {
        arena_reset(a, 0);
        return;
    }
    size_t reserved = a->reserved_bytes;
    arena_close(a);
    arena_open(a, MEM_TOOLS, reserved, &e); /* refused: every allocation fails, and with it a request */
}

static int no_memory(srv_error *e) {
    return srv_fail(e, 503, "server_error", NULL, "no memory for this request; try again later");
}

/* ---- what is asked for ---------------------------------------------------------------------------------------- */

void srv_sink_put(void *sink, const char *bytes, size_t n) {
    srv_sink *k = sink;
    srv_buf_put(k->to, bytes, n);
    if (++k->puts % YIELD_PUTS == 0) srv_yield(k->s);
}

int srv_job_body(srv *s, srv_conn *c, arena *a, json_value *out, srv_error *e) {
    err failed;
    str text = {c->body.n ? c->body.at : "", c->body.n};
    err_code code = json_parse_yielding(a, text, &(yield_hook){srv_yield, s}, out, &failed);
    if (code == ERR_CANCELLED) return srv_fail_code(e, LEAT_CANCELLED, failed.text);
    if (code == ERR_MEMORY) return no_memory(e);
    return code ? srv_fail(e, 400, "invalid_request_error", NULL, "the body is no JSON: %s", failed.text) : 0;
}

bool srv_next_name(str *list, str *name) {
    while (list->len) {
        size_t comma = MIN(str_find(*list, STR(",")), list->len);
        *name = str_trim(str_cut(*list, 0, comma));
        *list = str_cut(*list, comma + 1, list->len);
        if (name->len) return true;
    }
    return false;
}

int srv_job_model(const srv *s, str name, srv_error *e) {
    str path = str_of(s->o->path);
    bool file = name.len && str_ends(path, name) && (path.len == name.len || path.ptr[path.len - name.len - 1] == '/');
    bool known = !name.len || str_is(name, s->id) || file;
    for (str rest = str_of(s->o->alias ? s->o->alias : ""), one; !known && srv_next_name(&rest, &one);)
        known = str_eq(name, one);
    if (known) return 0;
    int status = srv_fail(e, 404, "invalid_request_error", "model", "there is no model '%.*s'; this is '%s'",
                          (int)MIN(name.len, (size_t)80), name.ptr, s->id);
    e->code = "model_not_found";
    return status;
}

static int read_request(srv *s, srv_kind kind, const json_value *body, srv_request *o, srv_error *e) {
    srv_wrong wrong = {0};
    *o = (srv_request){
        .sampler = s->o->sampler, .seeded = s->o->seeded, .max_tokens = s->o->n_predict, .verbose = s->o->verbose};
    srv_request_read(o, kind, body, &wrong);
    if (wrong.status) return srv_fail(e, wrong.status, "invalid_request_error", wrong.param, "%s", wrong.text);
    return srv_job_model(s, o->model, e);
}

int srv_job_tokens(srv *s, arena *a, str text, bool bos, bool special, int32_t **ids, size_t *n, srv_error *e) {
    leat_error failed;
    size_t cap = text.len + 16, count = 0; /* enough for nearly every text; else the count says how many */
    for (int attempt = 0; attempt < 2; attempt++, cap = count) {
        *ids = arena_array(a, cap, sizeof **ids);
        if (!*ids) return no_memory(e);
        leat_code code = leat_tokenize(s->model, text.ptr, text.len, bos, special, *ids, cap, &count, &failed);
        if (code) return srv_fail_code(e, code, failed.text);
        if (count <= cap) break;
    }
    *n = count;
    return 0;
}

/* A prompt of ids, with texts between them. */
static int mixed_tokens(srv *s, const json_value *v, srv_error *e) {
    srv_job *j = s->job;
    int32_t n_vocab = leat_model_n_vocab(s->model);
    size_t bytes = 0;
    for (uint32_t i = 0; i < v->count; i++) bytes += v->items[i].kind == JSON_STR ? v->items[i].count * 4u + 16 : 1;
    j->prompt = arena_array(&j->memory, bytes, sizeof *j->prompt);
    if (!j->prompt) return no_memory(e);
    for (uint32_t i = 0; i < v->count; i++) {
        const json_value *item = &v->items[i];
        if (item->kind == JSON_STR) {
            int32_t *ids;
            size_t n;
            int status = srv_job_tokens(s, &j->memory, json_str(item), i == 0, true, &ids, &n, e);
            if (status) return status;
            memcpy(j->prompt + j->n_prompt, ids, n * sizeof *ids);
            j->n_prompt += n;
        } else if (item->i < 0 || item->i >= n_vocab) {
            return srv_fail(e, 400, "invalid_request_error", "prompt", "token %u of prompt is %lld, wanted 0 to %d", i,
                            (long long)item->i, n_vocab - 1);
        } else {
            j->prompt[j->n_prompt++] = (int32_t)item->i;
        }
    }
    return 0;
}

static int check_prompt(srv *s, srv_error *e) {
    srv_job *j = s->job;
    int32_t n_ctx = leat_session_n_ctx(s->session);
    if (!j->n_prompt)
        return srv_fail(e, 400, "invalid_request_error", "prompt",
                        "the prompt is empty, and this model has no token to begin a text with");
    if (j->n_prompt <= (size_t)n_ctx) return 0;
    int status = srv_fail(e, 400, "exceed_context_size_error", NULL,
                          "the request has %zu tokens, the context holds %d", j->n_prompt, n_ctx);
    e->n_prompt = j->n_prompt;
    e->n_ctx = (size_t)n_ctx;
    e->code = "context_length_exceeded";
    return status;
}

/* The prompt as tokens. */
static int take_prompt(srv *s, const json_value *v, srv_error *e) {
    srv_job *j = s->job;
    int status;
    j->n_prompt = j->n_bos = 0;
    j->prompt_text = (str){0};
    if (j->request.kind == SRV_CHAT) {
        status = srv_chat_prompt(s, e);
    } else if (v->kind == JSON_STR) {
        j->prompt_text = json_str(v);
        status = srv_job_tokens(s, &j->memory, j->prompt_text, true, true, &j->prompt, &j->n_prompt, e);
        if (!status && !j->n_prompt && leat_bos(s->model) >= 0) j->prompt[j->n_prompt++] = leat_bos(s->model);
        j->n_bos = j->n_prompt && j->prompt[0] == leat_bos(s->model);
    } else {
        status = mixed_tokens(s, v, e);
    }
    return status ? status : check_prompt(s, e);
}

/* ---- biases --------------------------------------------------------------------------------------------------- */

/* False where there is no room. */
static bool add_bias(srv_job *j, int32_t id, float by) {
    if (j->n_biases == j->n_biases_max) return false;
    j->biases[j->n_biases++] = (srv_bias){id, by};
    return true;
}

/* An id, or a text whose tokens are all meant. */
static int take_bias(srv *s, const json_value *token, const json_value *by, srv_error *e) {
    srv_job *j = s->job;
    int64_t id = token->kind == JSON_INT ? token->i : -1;
    double given = by->kind == JSON_INT ? (double)by->i : by->kind == JSON_FLOAT ? by->f : 0;
    float value = by->kind == JSON_BOOL ? -F32_INF : (float)MAX(-BIAS_MAX, MIN(given, BIAS_MAX));
    if (token->kind == JSON_INT || parse_i64(json_str(token), &id)) {
        if (id < 0 || id >= leat_model_n_vocab(s->model))
            return srv_fail(e, 400, "invalid_request_error", "logit_bias", "logit_bias names token %lld of %d",
                            (long long)id, leat_model_n_vocab(s->model));
        add_bias(j, (int32_t)id, value);
        return 0;
    }
    int32_t *ids;
    size_t n;
    int status = srv_job_tokens(s, &j->memory, json_str(token), false, true, &ids, &n, e);
    for (size_t i = 0; i < n && !status; i++)
        if (!add_bias(j, ids[i], value))
            return srv_fail(e, 400, "invalid_request_error", "logit_bias",
                            "the texts of logit_bias are more than %d tokens", BIASES_MAX);
    return status;
}

static int take_biases(srv *s, srv_error *e) {
    srv_job *j = s->job;
    const json_value *v = j->request.bias;
    int status = 0;
    j->n_biases = 0;
    j->n_biases_max = (v ? BIASES_MAX : 0) + (j->request.ignore_eos ? ENDS_MAX : 0);
    if (!j->n_biases_max) return 0;
    j->biases = arena_array(&j->memory, j->n_biases_max, sizeof *j->biases);
    j->logits = arena_array(&j->memory, (size_t)leat_model_n_vocab(s->model), sizeof *j->logits);
    if (!j->biases || !j->logits) return no_memory(e);
    for (uint32_t i = 0; v && i < v->count && !status; i++) {
        if (v->kind == JSON_ARRAY) {
            status = take_bias(s, &v->items[i].items[0], &v->items[i].items[1], e);
        } else {
            str key = v->members[i].key;
            json_value token = {.kind = JSON_STR, .count = (uint32_t)key.len, .s = key.ptr};
            status = take_bias(s, &token, &v->members[i].value, e);
        }
    }
    for (int32_t id = 0; j->request.ignore_eos && id < leat_model_n_vocab(s->model); id++)
        if (leat_ends(s->model, id)) (void)add_bias(j, id, -F32_INF);
    return status;
}

/* ---- what the model thinks of a token --------------------------------------------------------------------------- */

static void put_prob(srv_job *j, int32_t id, const float *logits, size_t n_vocab) {
    srv_bias top[SRV_TOP_MAX];
    size_t n = 0, want = MIN((size_t)j->request.top, n_vocab);
    float most = logits[0];
    double sum = 0;
    for (size_t i = 1; i < n_vocab; i++) most = MAX(most, logits[i]);
    for (size_t i = 0; i < n_vocab; i++) sum += math_exp((double)logits[i] - (double)most);
    double norm = (double)most + math_log(sum);
    for (size_t i = 0; i < n_vocab && want; i++) {
        if (n == want && logits[i] <= top[n - 1].by) continue;
        size_t at = n < want ? n++ : n - 1;
        for (; at && top[at - 1].by < logits[i]; at--) top[at] = top[at - 1];
        top[at] = (srv_bias){(int32_t)i, logits[i]};
    }
    for (size_t i = 0; i < n; i++) top[i].by = (float)((double)top[i].by - norm);
    srv_prob p = {id, (float)((double)logits[id] - norm), (uint32_t)n};
    srv_buf_put(&j->probs, (const char *)&p, sizeof p);
    srv_buf_put(&j->probs, (const char *)top, n * sizeof *top);
}

/* ---- the prompt ------------------------------------------------------------------------------------------------- */

/* Logits of the prompt's tokens, for echo: those at index i speak of token i + 1. */
static bool each_prompt(void *user, size_t index, const float *logits) {
    srv *s = user;
    srv_job *j = s->job;
    if (index + 1 < j->n_prompt && index + 1 >= j->n_bos)
        put_prob(j, j->prompt[index + 1], logits, (size_t)leat_model_n_vocab(s->model));
    return true;
}

static leat_code feed_prompt(srv *s, leat_error *e) {
    srv_job *j = s->job;
    bool probs = j->request.echo && j->request.logprobs;
    size_t same = 0;
    leat_code code = leat_reuse(s->session, j->prompt, j->n_prompt, true, &same, e); /* keeps the prompt before */
    if (!code && (probs || !j->request.cache)) code = leat_rewind(s->session, (int32_t)(same = 0), e);
    uint64_t start = plat_time_ns();
    if (probs && !j->n_bos) {
        srv_prob first = {j->prompt[0], f32_of_bits(0x7FC00000), 0};
        srv_buf_put(&j->probs, (const char *)&first, sizeof first);
    }
    const int32_t *rest = j->prompt + same;
    size_t n = j->n_prompt - same;
    if (!code)
        code = probs ? leat_feed_each(s->session, rest, n, LEAT_PROMPT, each_prompt, s, e)
                     : leat_feed(s->session, rest, n, LEAT_PROMPT, e);
    j->prompt_ns = plat_time_ns() - start;
    j->n_cached = same;
    s->count.prompt_ns += j->prompt_ns;
    s->count.prompt_tokens += (size_t)leat_session_length(s->session) - same;
    s->count.cached_tokens += same;
    for (size_t i = 0; i < j->n_prompt && !code; i++) leat_sampler_accept(j->sampler, j->prompt[i]);
    return code;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static void take_text(void *user, const char *bytes, size_t n) {
    srv_job *j = user;
    srv_buf_put(&j->text, bytes, n);
    for (size_t i = 0; i < n; i++) j->new_line |= bytes[i] == '\n';
}

static void take_thought(void *user, const char *bytes, size_t n) {
    srv_job *j = user;
    srv_buf_put(&j->thoughts, bytes, n);
}

/* A stop string ends the text; the reasoning may have it in it. */
static void take_part(void *user, bool reasoning, const char *bytes, size_t n) {
    srv_job *j = user;
    for (size_t part; n && !j->stopped; bytes += part, n -= part) {
        part = MIN(n, (size_t)PIECE_MAX);
        if (reasoning) emit_piece(&j->thinking, bytes, part);
        else j->stopped = emit_piece(&j->out, bytes, part);
    }
}

/* The next token, as leat_generate draws it. */
static int32_t draw(void *user, const float *logits) {
    srv *s = user;
    srv_job *j = s->job;
    size_t n_vocab = (size_t)leat_model_n_vocab(s->model);
    if (j->n_biases) {
        memcpy(j->logits, logits, n_vocab * sizeof *logits);
        for (size_t i = 0; i < j->n_biases; i++) j->logits[j->biases[i].id] += j->biases[i].by;
    }
    int32_t id = leat_sample(j->sampler, j->n_biases ? j->logits : logits);
    if (j->request.logprobs && !leat_ends(s->model, id)) put_prob(j, id, logits, n_vocab);
    return id;
}

static void echo_prompt(srv *s) {
    srv_job *j = s->job;
    if (j->prompt_text.len) srv_buf_put(&j->text, j->prompt_text.ptr, j->prompt_text.len);
    for (size_t i = j->n_bos; i < j->n_prompt && !j->prompt_text.len; i++) { /* a text's BOS is not its */
        size_t n = leat_piece(s->model, j->prompt[i], true, j->piece, PIECE_MAX);
        srv_buf_put(&j->text, j->piece, MIN(n, (size_t)PIECE_MAX));
    }
    if (j->request.stream) srv_answer_part(s);
}

static void text_came(srv_job *j) {
    j->told_ids = j->ids.n;
    j->told_probs = j->probs.n;
}

/* The token's text, on its way to the client; true when a stop string is complete. */
static bool show(srv *s, int32_t id) {
    srv_job *j = s->job;
    size_t before = j->text.n + j->thoughts.n;
    if (j->request.kind == SRV_CHAT && s->chat) {
        leat_answer_token(s->chat, id, take_part, j);
    } else {
        size_t n = leat_piece(s->model, id, false, j->piece, PIECE_MAX);
        if (j->request.kind == SRV_NATIVE) srv_buf_put(&j->ids, (const char *)&id, sizeof id);
        take_part(j, false, j->piece, MIN(n, (size_t)PIECE_MAX));
    }
    if (j->text.n + j->thoughts.n > before) text_came(j);
    if (j->request.stream && (j->text.n || j->thoughts.n)) srv_answer_part(s);
    return j->stopped;
}

static leat_code generate(srv *s, leat_error *e) {
    srv_job *j = s->job;
    const srv_request *o = &j->request;
    /* What a guess would bring is not known to be asked for: no probabilities of it. */
    leat_generator_options options = {
        .n_draft = o->logprobs ? 0 : s->o->n_draft, .draft = s->draft, .draw = draw, .user = s};
    leat_generator *g;
    leat_code code = leat_generator_open(&g, s->session, j->sampler, &options, e);
    while (!code && !j->finish) {
        int32_t id;
        if (o->max_tokens >= 0 && j->n_generated >= (size_t)o->max_tokens) {
            j->finish = SRV_AT_LIMIT;
        } else if ((code = leat_generate(g, &id, e)) == LEAT_LIMIT) {
            j->finish = SRV_AT_LIMIT;
            code = LEAT_OK;
        } else if (!code && !o->ignore_eos && leat_ends(s->model, id)) {
            j->finish = SRV_AT_END;
        } else if (!code) {
            j->n_generated++;
            if (show(s, id)) j->finish = SRV_AT_STOP;
            else if (srv_yield(s)) code = LEAT_CANCELLED;
        }
    }
    leat_generator_close(g);
    return code;
}

/* One answer to the prompt at hand. */
static leat_code answer(srv *s, int32_t number, leat_error *e) {
    srv_job *j = s->job;
    err failed;
    leat_sampler_options options = j->request.sampler;
    if (!j->request.seeded) plat_entropy(&options.seed, sizeof options.seed);
    options.seed += (uint64_t)number;
    srv_buf_empty(&j->text);
    srv_buf_empty(&j->thoughts);
    srv_buf_empty(&j->ids);
    srv_buf_empty(&j->probs);
    j->finish = SRV_NOT_YET;
    j->n_generated = j->n_chars = j->told_ids = j->told_probs = 0;
    for (size_t i = 0; i < j->prompt_text.len && !j->request.echo; i++)
        j->n_chars += (j->prompt_text.ptr[i] & 0xC0) != 0x80;
    j->new_line = j->stopped = false;
    j->out = (emit){.write = take_text, .user = j};
    j->thinking = (emit){.write = take_thought, .user = j};
    if (j->request.kind == SRV_CHAT && s->chat) leat_answer_begin(s->chat, j->reasons);
    leat_code code = leat_sampler_open(&j->sampler, s->model, &options, e);
    if (!code && (emit_open(&j->out, j->request.stops, j->request.n_stops, PIECE_MAX, &failed) ||
                  emit_open(&j->thinking, NULL, 0, PIECE_MAX, &failed))) {
        code = LEAT_MEMORY;
        fmt(e->text, sizeof e->text, "%s", failed.text);
    }
    if (!code && j->request.stream) srv_answer_first(s);
    if (!code) code = feed_prompt(s, e);
    if (!code && j->request.echo) echo_prompt(s), text_came(j);
    uint64_t start = plat_time_ns();
    if (!code) code = generate(s, e);
    j->generated_ns = plat_time_ns() - start;
    s->count.generated_ns += j->generated_ns;
    s->count.generated_tokens += j->n_generated;
    j->all_generated += j->n_generated;
    if (!code) {
        if (j->request.kind == SRV_CHAT && s->chat) leat_answer_end(s->chat, take_part, j);
        emit_end(&j->thinking);
        emit_end(&j->out);
        /* What was held back is a part like others; also where no text comes of it, since it is half a character. */
        srv_finish finish = j->finish;
        bool tells = !j->stopped && (j->probs.n || j->ids.n);
        j->finish = SRV_NOT_YET;
        if (j->request.stream && (j->text.n || j->thoughts.n || tells)) srv_answer_part(s);
        if (j->stopped && !j->request.stream) /* of a stop string nothing is told, here as there */
            j->ids.n = j->told_ids, j->probs.n = j->told_probs;
        j->finish = finish;
        srv_answer_end(s);
    }
    emit_close(&j->thinking);
    emit_close(&j->out);
    leat_sampler_close(j->sampler);
    j->sampler = NULL;
    return code;
}

static void name_answer(srv *s) {
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    srv_job *j = s->job;
    size_t n = fmt(j->id, sizeof j->id, j->request.kind == SRV_CHAT ? "chatcmpl-" : "cmpl-");
    for (int i = 0; i < 24; i++) j->id[n++] = letters[rng_u64(&s->ids) % (sizeof letters - 1)];
    j->id[n] = 0;
}

/* ---- the queue -------------------------------------------------------------------------------------------------- */

static int compute(srv *s, srv_error *e) {
    srv_job *j = s->job;
    json_value body;
    leat_error failed = {0};
    int status = srv_job_body(s, j->conn, &j->memory, &body, e);
    if (!status) status = read_request(s, j->conn->route->kind, &body, &j->request, e);
    if (!status) status = take_biases(s, e);
    name_answer(s);
    size_t n_prompts = j->request.kind == SRV_CHAT ? 1 : j->request.n_prompts;
    for (size_t i = 0; i < n_prompts && !status; i++) {
        status = take_prompt(s, j->request.kind == SRV_CHAT ? NULL : srv_request_prompt(&j->request, i), e);
        if (!status && j->request.stream) srv_stream_start(s, j->conn);
        for (int32_t k = 0; k < j->request.n && !status; k++, j->index++) {
            leat_code code = answer(s, k, &failed);
            if (code) status = srv_fail_code(e, code, failed.text);
            else if (j->text.failed || j->thoughts.failed || j->probs.failed) status = no_memory(e);
            if (k == 0) j->all_prompt += j->n_prompt, j->all_cached += j->n_cached;
        }
    }
    return status;
}

void srv_job_next(srv *s) {
    srv_job *j = s->job;
    srv_conn *c = s->queue[0];
    srv_error e = {0};
    memmove(s->queue, s->queue + 1, --s->n_queue * sizeof *s->queue);
    s->running = c;
    c->state = SRV_RUNNING;
    c->since_ns = plat_time_ns();
    j->conn = c;
    j->created_s = (int64_t)(plat_wall_ns() / 1000000000);
    j->index = j->all_prompt = j->all_cached = j->all_generated = 0;
    srv_buf_empty(&j->choices);
    bool generates = c->route->kind <= SRV_NATIVE;
    int status = generates ? compute(s, &e)
                           : srv_route_work(s, c, &(srv_place){&j->memory, &j->choices, s->chat}, &e);
    s->running = NULL;
    s->count.cancelled += c->gone;
    if (!status && !generates) srv_reply_buf(s, c, 200, &j->choices);
    else if (status && c->streaming) srv_stream_end(s, c, &e);
    else if (status) srv_reply_error(s, c, &e);
    else srv_answer_whole(s);
    srv_job_empty(&j->memory);
}

void srv_job_queue(srv *s, srv_conn *c) {
    srv_error e;
    json_value body;
    srv_request o;
    int status = 0;
    bool small = c->body.n <= SRV_AT_ONCE_BYTES_MAX;
    /* What makes no sense is told now; the tree is made again when its turn comes, as only bodies are kept. Of a large
     * body it is told then: that takes its time. */
    if (s->n_queue >= (size_t)s->o->queue_max)
        status = srv_fail(&e, 503, "server_error", NULL, "%zu requests wait already; try again later", s->n_queue);
    if (!status && small) status = srv_job_body(s, c, &s->scratch, &body, &e);
    if (!status && small) status = read_request(s, c->route->kind, &body, &o, &e);
    srv_job_empty(&s->scratch);
    if (status) {
        srv_reply_error(s, c, &e);
        return;
    }
    c->state = SRV_QUEUED;
    s->queue[s->n_queue++] = c;
}

void srv_job_forget(srv *s, srv_conn *c) {
    for (size_t i = 0; i < s->n_queue; i++) {
        if (s->queue[i] != c) continue;
        memmove(s->queue + i, s->queue + i + 1, (--s->n_queue - i) * sizeof *s->queue);
        s->count.cancelled++;
        return;
    }
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static err_code read_variables(srv *s, err *e) {
    err why;
    str text = str_of(s->o->variables);
    if (arena_open(&s->settings, MEM_TOOLS, 32 * text.len + 4096, e)) return ERR_MEMORY;
    err_code code = json_parse(&s->settings, text, &s->variables, &why);
    if (code) return ERR(e, ERR_ARGUMENT, "the template's variables: %s", why.text);
    if (s->variables.kind == JSON_OBJECT) return ERR_NONE;
    return ERR(e, ERR_ARGUMENT, "the template's variables are %s, wanted an object",
               json_kind_name(s->variables.kind));
}

err_code srv_start(srv *s, leat_model *model, leat_session *session, leat_session *draft, err *e) {
    leat_error failed;
    if (!leat_has_tokenizer(model)) return ERR(e, ERR_UNSUPPORTED, "the file has no tokenizer: nothing to talk with");
    srv_job *j = mem_block(MEM_TOOLS, sizeof *j + PIECE_MAX);
    if (!j) return ERR(e, ERR_MEMORY, "no memory for a request");
    s->job = j;
    j->piece = (char *)(j + 1);
    err_code code = arena_open(&j->memory, MEM_TOOLS, SRV_SCRATCH_BYTES_MAX, e);
    if (!code && s->o->variables) code = read_variables(s, e);
    if (code) return code;
    /* Without them there are still completions. */
    if (leat_chat_open(&s->chat, model, s->o->chat_template, &failed) == LEAT_OK &&
        leat_chat_open(&s->preview, model, s->o->chat_template, &failed) == LEAT_OK)
        fmt(s->warning, sizeof s->warning, "%s", leat_chat_warning(s->chat));
    else
        fmt(s->warning, sizeof s->warning, "no chats with this model: %s", failed.text);
    str name = str_base_name(str_of(s->o->path));
    if (str_ends(name, STR(".gguf"))) name.len -= 5;
    str names = str_of(s->o->alias ? s->o->alias : "");
    srv_next_name(&names, &name);
    fmt(s->id, sizeof s->id, "%.*s", (int)MIN(name.len, sizeof s->id), name.ptr);
    leat_model_yield(model, srv_yield, s);
    s->session = session;
    s->draft = draft;
    s->model = model;
    return ERR_NONE;
}

const char *srv_warning(const srv *s) { return s->warning; }

void srv_job_close(srv *s) {
    srv_job *j = s->job;
    leat_chat_close(s->chat);
    leat_chat_close(s->preview);
    if (s->model) leat_model_yield(s->model, NULL, NULL);
    if (!j) return;
    arena_close(&j->memory);
    srv_buf_close(&j->text);
    srv_buf_close(&j->thoughts);
    srv_buf_close(&j->ids);
    srv_buf_close(&j->probs);
    srv_buf_close(&j->choices);
    mem_block_free(j);
}
