/* perplexity.c: `leat perplexity`, how well a model predicts a text, as one figure; or how far it is from another
 * model, usually the one that it was quantised from.
 *
 * The text is cut as chunks.h says; the second half of each chunk is scored. Next: bench.c.
 */
#include "tools/chunks.h"
#include "tools/compare.h"
#include "tools/load.h"

typedef struct perplexity_values {
    const char *model, *file, *base, *isa;
    int32_t n_ctx, n_chunks, n_threads;
    load_cache cache;
    load_memory memory;
    bool no_pin;
} perplexity_values;

static void defaults(void *values) {
    perplexity_values *o = values;
    o->n_ctx = 512;
}

/* Two models share what --ram allows. */
static load_options options_of(const perplexity_values *o, const char *path) {
    load_options options = {
        .path = path, .memory = o->memory, .cache = o->cache, .n_ctx = o->n_ctx, .n_threads = o->n_threads,
        .no_pin = o->no_pin, .isa = o->isa};
    if (o->base) options.memory.ram /= 2;
    return options;
}

/* Rows of the base model that wait for those of the other: so many bytes, of --ram this part. */
#define WAITING_BYTES ((uint64_t)128 << 20)
#define WAITING_PART 16

typedef struct scorer {
    loaded model, base; /* base zeroed: no comparison */
    const int32_t *next; /* the token that truly follows row i of this feed */
    int32_t n_vocab;
    score ppl;
    compare to_base;
    float *waiting; /* (n_waiting_max, n_vocab) */
    size_t n_waiting_max;
} scorer;

static bool score_row(void *user, size_t index, const float *logits) {
    scorer *s = user;
    score_add(&s->ppl, score_log_sum(logits, s->n_vocab) - (double)logits[s->next[index]]);
    return true;
}

static bool keep_row(void *user, size_t index, const float *logits) {
    scorer *s = user;
    memcpy(s->waiting + index * (size_t)s->n_vocab, logits, (size_t)s->n_vocab * sizeof *logits);
    return true;
}

static bool compare_row(void *user, size_t index, const float *logits) {
    scorer *s = user;
    compare_add(&s->to_base, logits, s->waiting + index * (size_t)s->n_vocab, s->next[index]);
    return true;
}

/* The second half of a chunk, through both models in turn. */
static leat_code compare_rows(scorer *s, const int32_t *tokens, size_t n, leat_error *e) {
    leat_code code = LEAT_OK;
    for (size_t at = 0, part; at < n && !code; at += part) {
        part = MIN(n - at, s->n_waiting_max);
        s->next = tokens + at + 1;
        code = leat_feed_each(s->base.session, tokens + at, part, LEAT_PROMPT, keep_row, s, e);
        if (!code) code = leat_feed_each(s->model.session, tokens + at, part, LEAT_PROMPT, compare_row, s, e);
    }
    return code;
}

static leat_code begin_chunk(leat_session *session, const int32_t *chunk, size_t n, leat_error *e) {
    leat_code code = leat_rewind(session, 0, e);
    return code ? code : leat_feed(session, chunk, n, LEAT_PROMPT, e);
}

static int score_chunks(tools *t, const chunks *text, scorer *s) {
    leat_error e;
    size_t first = text->n_ctx / 2, n = text->n_ctx - 1 - first; /* what comes before is context only */
    leat_code code = LEAT_OK;
    tools_progress bar;
    tools_progress_start(&bar, t, "perplexity");
    for (size_t i = 0; i < text->n && !code; i++) {
        const int32_t *chunk = chunks_at(text, i);
        code = begin_chunk(s->model.session, chunk, first, &e);
        if (!code && s->base.session) code = begin_chunk(s->base.session, chunk, first, &e);
        s->next = chunk + first + 1;
        if (code) break;
        if (s->base.session) code = compare_rows(s, chunk + first, n, &e);
        else code = leat_feed_each(s->model.session, chunk + first, n, LEAT_PROMPT, score_row, s, &e);
        if (code) break;
        if (s->base.session) tools_progress_show(&bar, i + 1, text->n, "chunks, KLD %.6f", compare_mean(&s->to_base));
        else tools_progress_show(&bar, i + 1, text->n, "chunks, PPL %.4f", score_perplexity(&s->ppl));
    }
    tools_progress_end(&bar);
    if (code == LEAT_CANCELLED && plat_interrupted()) return TOOLS_INTERRUPTED;
    return code ? tools_fail_text(t, e.text) : TOOLS_OK;
}

/* Divergence means something only where token i is the same token for both. */
static int check_tokens(tools *t, const perplexity_values *o, const scorer *s, const chunks *text) {
    chunks other = {0};
    int32_t n = leat_model_n_vocab(s->base.model);
    if (n != s->n_vocab)
        return tools_fail(t, "%s has a vocabulary of %d tokens, %s one of %d: they cannot be compared", o->base, n,
                          o->model, s->n_vocab);
    if (!leat_has_tokenizer(s->base.model) || cstr_eq(o->file, "-")) return TOOLS_OK;
    int status = chunks_open(t, &other, s->base.model, o->file, text->n_ctx, 0, (size_t)o->n_chunks, false);
    size_t bytes = text->n * text->n_ctx * sizeof *text->ids.at;
    if (!status && (other.n != text->n || memcmp(other.ids.at, text->ids.at, bytes) != 0))
        status = tools_fail(t, "%s makes other tokens of the text than %s: they cannot be compared", o->base, o->model);
    chunks_close(&other);
    return status;
}

static int open_base(tools *t, const perplexity_values *o, scorer *s, const chunks *text) {
    load_options options = options_of(o, o->base);
    err e;
    options.quiet = true;
    /* A budget is of all that is counted, so what the other model holds by now is beside this one's half. */
    if (o->memory.ram) options.memory.ram += mem_bytes_total();
    int status = load_model(t, &s->base, &options);
    if (!status) status = check_tokens(t, o, s, text);
    if (status) return status;
    size_t row_bytes = (size_t)s->n_vocab * sizeof(float), n_scored = text->n_ctx - 1 - text->n_ctx / 2;
    uint64_t bytes = o->memory.ram ? MIN(WAITING_BYTES, o->memory.ram / WAITING_PART) : WAITING_BYTES;
    s->n_waiting_max = MIN(MAX((size_t)bytes / row_bytes, 1), n_scored);
    s->waiting = mem_block(MEM_TOOLS, s->n_waiting_max * row_bytes);
    if (!s->waiting) return tools_fail(t, "no memory for %zu rows of %d logits", s->n_waiting_max, s->n_vocab);
    if (compare_open(&s->to_base, s->n_vocab, text->n * n_scored, &e)) return tools_fail_text(t, e.text);
    return load_session(t, &s->base, &options); /* the weights take what is left */
}

static int run(tools *t, const void *values) {
    const perplexity_values *o = values;
    load_options options = options_of(o, o->model);
    scorer s = {0};
    chunks text = {0};
    size_t n_ctx = (size_t)o->n_ctx;
    int status = load_model(t, &s.model, &options);
    if (!status) status = chunks_open(t, &text, s.model.model, o->file, n_ctx, 2, (size_t)o->n_chunks, false);
    if (!status) status = load_session(t, &s.model, &options);
    if (status) goto done;
    load_say_memory(t, &s.model, false);
    s.n_vocab = leat_model_n_vocab(s.model.model);
    if (o->base && (status = open_base(t, o, &s, &text))) goto done;
    tools_err(t, "leat perplexity: %zu tokens, %zu chunks of %zu; %d threads, %s\n", text.ids.n, text.n, n_ctx,
              leat_session_threads(s.model.session), leat_session_isa(s.model.session));
    if ((status = score_chunks(t, &text, &s))) goto done;
    if (o->base) compare_report(t, &s.to_base);
    else tools_out(t, "Final estimate: PPL = %.4f +/- %.5f\n", score_perplexity(&s.ppl), score_uncertainty(&s.ppl));
done:
    compare_close(&s.to_base);
    mem_block_free(s.waiting);
    chunks_close(&text);
    load_close(&s.base);
    load_close(&s.model);
    return status;
}

#define T perplexity_values
static const tools_option options[] = {
    TOOLS_MODEL(T, model),
    TOOLS_ROW(TOOLS_KIND_STR, T, file, const char *, 'f', "file", "TEXT", "the text to score", .required = true),
    TOOLS_STR(T, base, 0, "kl-base", "FILE", "compare with this model, usually the one that FILE was quantised from"),
    TOOLS_INT(T, n_ctx, 'c', "ctx-size", "N", 4, 1 << 24, "tokens a chunk ({})"),
    TOOLS_INT(T, n_chunks, 0, "chunks", "N", 1, INT32_MAX, "stop after N chunks (default: the whole text)"),
    TOOLS_THREADS(T, n_threads, no_pin),
    TOOLS_ISA(T, isa),
    LOAD_CACHE(T, cache),
    LOAD_MEMORY(T, memory),
};
#undef T

const tools_command tools_perplexity = {
    .name = "perplexity",
    .summary = "Score how well a model predicts a text, or how far it is from another model",
    .usage = "-m FILE -f TEXT [--kl-base FILE] [-c N] [--chunks N] [options]",
    .notes = "The text is cut into chunks of N tokens; of each, the second half is scored with the first as its "
             "context. One newline at the end of the text is dropped; special tokens in it are plain text. With "
             "--kl-base both models run side by side: KLD is the Kullback-Leibler divergence of the predictions, base "
             "to FILE, in nats a token; Δp the difference of the true token's probability; same top p how often both "
             "find the same token likeliest.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(perplexity_values),
    .defaults = defaults,
    .run = run,
};
