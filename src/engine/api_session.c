/* api_session.c: leat_session: one sequence of a model, with its pool, buffers and KV cache. A step commits its
 * positions only when it is whole; an error or a cancel leaves the session at the last whole chunk.
 */
#include "engine/engine_int.h"

#define CTX_DEFAULT_MAX 4096
#define CHUNK_MAX 4096

/* Every row names as many different experts as are used. */
static err_code check_routing(const leat_routing *r, const model_shape *shape, err *e) {
    if (r->n_tokens < 1 || (size_t)r->n_layer != shape->n_layer || r->n_used < 1 || (size_t)r->n_used > shape->n_expert)
        return ERR(e, ERR_ARGUMENT, "routing of %d tokens, %d layers, %d experts used; the model has %zu layers of %zu",
                   r->n_tokens, r->n_layer, r->n_used, shape->n_layer, shape->n_expert);
    size_t rows = (size_t)r->n_tokens * (size_t)r->n_layer, n = (size_t)r->n_used;
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < n; k++) {
            uint16_t expert = r->experts[i * n + k];
            bool again = false;
            for (size_t j = 0; j < k; j++) again |= r->experts[i * n + j] == expert;
            if (expert >= shape->n_expert || again)
                return ERR(e, ERR_ARGUMENT, "routing of token %zu, layer %zu: expert %u%s, wanted 0 to %zu once each",
                           i / (size_t)r->n_layer, i % (size_t)r->n_layer, expert, again ? " twice" : "",
                           shape->n_expert - 1);
        }
    return ERR_NONE;
}

static err_code cache_type(const char *name, quant_id *out, err *e) {
    const quant_type *t = name ? quant_find_name(str_of(name)) : NULL;
    if (name && !t) return ERR(e, ERR_ARGUMENT, "cache type \"%.32s\": wanted f16, bf16, q8_0 or q4_0", name);
    if (t) *out = t->id;
    return ERR_NONE;
}

static err_code check_options(const leat_session_options *o, err *e) {
    if (o->n_ctx < 0 || o->n_ctx > LEAT_CTX_MAX)
        return ERR(e, ERR_ARGUMENT, "context is %d tokens, wanted 1 to %d", o->n_ctx, LEAT_CTX_MAX);
    if (o->n_threads < 0 || o->n_threads > POOL_WORKERS_MAX)
        return ERR(e, ERR_ARGUMENT, "%d threads, wanted 1 to %d", o->n_threads, POOL_WORKERS_MAX);
    if (o->n_chunk < 0 || o->n_chunk > CHUNK_MAX)
        return ERR(e, ERR_ARGUMENT, "chunk is %d tokens, wanted 1 to %d", o->n_chunk, CHUNK_MAX);
    if (o->n_kept < 0 || o->n_kept > LEAT_KEPT_MAX || o->kept_tokens < -1 || o->kept_tokens > LEAT_CTX_MAX)
        return ERR(e, ERR_ARGUMENT, "%d prompts of %d tokens to keep, wanted 0 to %d of -1 to %d", o->n_kept,
                   o->kept_tokens, LEAT_KEPT_MAX, LEAT_CTX_MAX);
    return ERR_NONE;
}

static void tell_routed(void *user, size_t layer, const uint32_t *experts, size_t n, size_t n_used) {
    const leat_session *s = user;
    leat_routed what = {experts, (int32_t)layer, (int32_t)n, (int32_t)n_used};
    s->routed(s->user, &what);
}

/* Room for the context, and for kept prompts beside it. Weights come first: nobody shall stream them for these. */
static size_t tokens_held(const leat_session *s, const leat_session_options *o, const kv_shape *shape) {
    const leat_model *m = s->model;
    size_t held = kv_held(shape->window, s->rows_max, s->n_ctx);
    if (!o->n_kept) return held;
    if (o->kept_tokens >= 0) return held + (size_t)o->kept_tokens;
    uint64_t cache = (uint64_t)div_up(held, KV_PAGE) * kv_page_bytes(shape);
    uint64_t weights = engine_all_weights(m);
    uint64_t memory = m->ram_bytes ? engine_ram(m) : plat_mem_available();
    return weights <= memory && cache <= (memory - weights) / 4 ? 2 * held : held;
}

leat_code leat_session_open(leat_session **out, leat_model *m, const leat_session_options *options, leat_error *error) {
    static const leat_session_options defaults;
    const leat_session_options *o = options ? options : &defaults;
    err *e = err_of(error);
    *out = NULL;
    err_code code = check_options(o, e);
    if (!code && o->routing) code = check_routing(o->routing, model_shape_of(m->model), e);
    kv_shape shape = model_kv_shape(m->model);
    if (code || (code = cache_type(o->cache_type_k, &shape.type_k, e)) ||
        (code = cache_type(o->cache_type_v, &shape.type_v, e)) || (code = kv_check(&shape, e)))
        return (leat_code)code;
    size_t n_vocab = model_shape_of(m->model)->n_vocab, n_train = model_shape_of(m->model)->n_ctx_train;
    leat_session *s = mem_block(MEM_ENGINE, align_up(sizeof *s, 64) + n_vocab * sizeof(float));
    if (!s) return (leat_code)ERR(e, ERR_MEMORY, "no memory for a session");
    s->model = m;
    s->draft = m->draft;
    s->logits = (float *)(void *)((char *)s + align_up(sizeof *s, 64));
    s->n_ctx = o->n_ctx ? (size_t)o->n_ctx : MIN(n_train, CTX_DEFAULT_MAX);
    size_t chunk = engine_chunk_within(m, engine_ram(m), m->map);
    s->rows_max = MIN(o->n_chunk ? (size_t)o->n_chunk : chunk, s->n_ctx);
    s->yield = o->yield;
    s->routed = o->routed;
    s->user = o->user;
    pool_opts workers = {.n_workers = o->n_threads, .pin = !o->no_pin, .yield = o->yield, .user = o->user};
    if (!(s->tokens = mem_block(MEM_ENGINE, s->n_ctx * (sizeof *s->tokens + sizeof *s->roles)))) {
        code = ERR(e, ERR_MEMORY, "no memory for a context of %zu tokens", s->n_ctx);
        goto fail;
    }
    s->roles = (uint8_t *)(s->tokens + s->n_ctx);
    if ((code = kern_choose(&s->kern, o->isa, e)) || (code = pool_open(&s->pool, &workers, e))) goto fail;
    model_graph_opts graph = {.kern = s->kern, .pool = s->pool, .rows_max = s->rows_max, .inputs = o->importance};
    if (o->routed) {
        graph.routed = tell_routed;
        graph.routed_user = s;
    }
    if (o->routing) {
        graph.routing = o->routing->experts;
        graph.routing_tokens = (size_t)o->routing->n_tokens;
        graph.routing_used = (size_t)o->routing->n_used;
    }
    if ((code = model_graph_open(&s->graph, m->model, &graph, e)) ||
        (code = kv_open(&s->cache, &shape, s->n_ctx, tokens_held(s, o, &shape), (size_t)o->n_kept + 2, e)) ||
        (code = kv_seq_open(s->cache, &s->sequence, e)) || (code = engine_kept_open(s, (size_t)o->n_kept, e)) ||
        (code = engine_place_weights(s, e)))
        goto fail;
    *out = s;
    return LEAT_OK;
fail:
    leat_session_close(s);
    return (leat_code)code;
}

void leat_session_close(leat_session *s) {
    if (!s) return;
    kv_close(s->cache);
    model_graph_close(s->graph);
    pool_close(s->pool);
    mem_block_free(s->kept);
    mem_block_free(s->tokens);
    leat_model *m = s->model;
    mem_block_free(s);
    if (m->placed) engine_session_closed(m);
}

int32_t leat_session_n_ctx(const leat_session *s) { return (int32_t)s->n_ctx; }
int32_t leat_session_length(const leat_session *s) { return (int32_t)kv_seq_length(s->sequence); }
const int32_t *leat_session_tokens(const leat_session *s) { return s->tokens; }
const char *leat_session_isa(const leat_session *s) { return kern_name(s->kern); }
int32_t leat_session_threads(const leat_session *s) { return pool_workers(s->pool); }
size_t leat_session_bytes(const leat_session *s) { return kv_bytes(s->cache) + model_graph_bytes(s->graph); }
const float *leat_logits(const leat_session *s) { return s->has_logits ? s->logits : NULL; }

bool leat_importance_at(const leat_session *s, size_t index, leat_importance *out) {
    model_input input;
    if (!model_graph_input(s->graph, index, &input)) return false;
    const dev_squares *q = input.squares;
    *out = (leat_importance){input.tensor, q->n_in, q->n_experts, q->sums, q->counts};
    return true;
}

/* ---- feeding -------------------------------------------------------------------------------------------------- */

/* Who wants the logits of a feed. */
typedef struct logits_want {
    leat_logits_fn *each; /* NULL: only the last token's, kept in the session */
    void *user;
    bool stopped;
} logits_want;

static err_code check_feed(const leat_session *s, const int32_t *tokens, size_t n, err *e) {
    size_t length = kv_seq_length(s->sequence);
    int32_t n_vocab = (int32_t)model_shape_of(s->model->model)->n_vocab;
    if (n == 0) return ERR(e, ERR_ARGUMENT, "no tokens to feed");
    if (n > s->n_ctx - length)
        return ERR(e, ERR_LIMIT, "the context is full: %zu of %zu tokens held, %zu more wanted", length, s->n_ctx, n);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return ERR(e, ERR_ARGUMENT, "token %zu is %d, wanted 0 to %d", i, tokens[i], n_vocab - 1);
    return ERR_NONE;
}

/* Logits of rows [from, to) of the chunk just run, whose first token is number `first` of the feed. */
static err_code deliver(leat_session *s, kern_role role, size_t from, size_t to, size_t first, logits_want *w, err *e) {
    size_t n_vocab = model_shape_of(s->model->model)->n_vocab, at_once = MIN(model_graph_logits_max(s->graph), 64);
    uint32_t rows[64];
    for (size_t at = from; at < to && !w->stopped; at += at_once) {
        size_t n = MIN(at_once, to - at);
        const float *const *logits;
        for (size_t i = 0; i < n; i++) rows[i] = (uint32_t)(at + i);
        err_code code = model_graph_logits(s->graph, role, rows, n, &logits, e);
        if (code) return code;
        for (size_t i = 0; i < n && w->each && !w->stopped; i++)
            w->stopped = !w->each(w->user, first + at + i, logits[i]);
        s->has_logits = false; /* not the last token's any more, if the step fails yet */
        memcpy(s->logits, logits[n - 1], n_vocab * sizeof(float));
    }
    return ERR_NONE;
}

static err_code feed(leat_session *s, const int32_t *tokens, size_t n, leat_role role, logits_want *w, err *e) {
    err_code code = check_feed(s, tokens, n, e);
    if (code) return code;
    kern_role k = role == LEAT_PROMPT ? KERN_PROMPT : KERN_DECODE;
    if (role == LEAT_GENERATED) engine_kept_prompt(s);
    for (size_t done = 0; done < n && !w->stopped;) {
        size_t rows = MIN(s->rows_max, n - done);
        bool last = done + rows == n;
        leat_model_watch(s->model);
        while ((code = kv_seq_reserve(s->sequence, rows, e)) == ERR_LIMIT && engine_kept_drop(s)) {}
        if (code) return code;
        dev_run run = {.row = 0, .n = rows, .pos = kv_seq_length(s->sequence), .pages = kv_seq_pages(s->sequence)};
        model_batch batch = {.tokens = tokens + done,
                             .n = rows,
                             .runs = &run,
                             .n_runs = 1,
                             .role = k,
                             .cache = s->cache,
                             .yield = s->yield,
                             .user = s->user};
        if ((code = model_graph_run(s->graph, &batch, e))) return code;
        if (w->each || last) code = deliver(s, k, w->each ? 0 : rows - 1, rows, done, w, e);
        if (code) return code;
        memmove(s->tokens + run.pos, tokens + done, rows * sizeof *tokens); /* its own when fed again */
        memset(s->roles + run.pos, (int)role, rows);
        kv_seq_commit(s->sequence, rows);
        s->has_logits = last && !w->stopped;
        done += rows;
    }
    return ERR_NONE;
}

leat_code leat_feed(leat_session *s, const int32_t *tokens, size_t n, leat_role role, leat_error *error) {
    logits_want w = {0};
    return (leat_code)feed(s, tokens, n, role, &w, err_of(error));
}

leat_code leat_feed_each(leat_session *s, const int32_t *tokens, size_t n, leat_role role, leat_logits_fn *each,
                         void *user, leat_error *error) {
    logits_want w = {.each = each, .user = user};
    return (leat_code)feed(s, tokens, n, role, &w, err_of(error));
}

/* ---- going back ------------------------------------------------------------------------------------------------ */

/* Until n tokens are held as before: each in its role. A window's pages were given up where any are missing. */
static leat_code feed_again(leat_session *s, size_t n, leat_error *error) {
    leat_code code = LEAT_OK;
    for (size_t at = kv_seq_length(s->sequence), end; at < n && !code; at = end) {
        for (end = at + 1; end < n && s->roles[end] == s->roles[at];) end++;
        code = leat_feed(s, s->tokens + at, end - at, (leat_role)s->roles[at], error);
    }
    return code;
}

leat_code leat_rewind(leat_session *s, int32_t n, leat_error *error) {
    if (n < 0 || (size_t)n > kv_seq_length(s->sequence))
        return (leat_code)ERR(err_of(error), ERR_ARGUMENT, "cannot rewind to %d tokens: the session holds %zu", n,
                              kv_seq_length(s->sequence));
    kv_seq_truncate(s->sequence, (size_t)n);
    leat_code code = feed_again(s, (size_t)n, error);
    s->has_logits = false;
    return code;
}

leat_code leat_reuse(leat_session *s, const int32_t *tokens, size_t n, bool prompt_only, size_t *kept,
                     leat_error *error) {
    size_t length = kv_seq_length(s->sequence), same = 0;
    if (n == 0) return (leat_code)ERR(err_of(error), ERR_ARGUMENT, "no tokens to compare with the session's");
    while (same < n - 1 && same < length && tokens[same] == s->tokens[same] &&
           !(prompt_only && s->roles[same] != LEAT_PROMPT))
        same++;
    if (prompt_only && !kv_seq_holds(s->sequence, same)) same = 0;
    if (s->n_kept) same = engine_kept_swap(s, tokens, n - 1, same);
    *kept = same;
    return leat_rewind(s, (int32_t)same, error);
}
