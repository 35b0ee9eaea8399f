/* perplexity.c: `leat perplexity`, how well a model predicts a text, as one figure.
 *
 * The text is cut as the field's common tool does, so that figures compare: chunks of the context's length, each
 * begun anew with BOS in place of its first token where the model asks for one, the second half of each scored. Next:
 * bench.c.
 */
#include "tools/load.h"

typedef struct perplexity_values {
    const char *model, *file, *isa;
    int32_t n_ctx, n_chunks, n_threads;
    load_memory memory;
} perplexity_values;

static void defaults(void *values) {
    perplexity_values *o = values;
    o->n_ctx = 512;
}

typedef struct scorer {
    const int32_t *next; /* the token that truly follows row i of this chunk */
    int32_t n_vocab;
    double sum, sum_squares; /* of the negative log-likelihoods */
    uint64_t n;
} scorer;

/* -log softmax(logits)[next], summed in double from the largest logit down so that nothing overflows. */
static bool score(void *user, size_t index, const float *logits) {
    scorer *s = user;
    float max = logits[0];
    for (int32_t i = 1; i < s->n_vocab; i++) max = MAX(max, logits[i]);
    double sum = 0;
    for (int32_t i = 0; i < s->n_vocab; i++) sum += math_exp((double)(logits[i] - max));
    double nll = math_log(sum) - (double)(logits[s->next[index]] - max);
    s->sum += nll;
    s->sum_squares += nll * nll;
    s->n++;
    return true;
}

static double estimate(const scorer *s) { return math_exp(s->sum / (double)s->n); }

/* Of the estimate: from the deviation of the mean. */
static double uncertainty(const scorer *s) {
    double mean = s->sum / (double)s->n, variance = s->sum_squares / (double)s->n - mean * mean;
    return s->n > 1 && variance > 0 ? math_sqrt(variance / (double)(s->n - 1)) * estimate(s) : 0;
}

static int score_chunks(tools *t, const loaded *l, tools_ids *ids, size_t n_ctx, size_t n_chunks, scorer *s) {
    leat_error e;
    size_t first = n_ctx / 2; /* what comes before it is context only */
    bool bos = ids->at[0] == leat_bos(l->model) && leat_bos(l->model) >= 0;
    tools_progress bar;
    tools_progress_start(&bar, t, "perplexity");
    leat_code code = LEAT_OK;
    for (size_t c = 0; c < n_chunks && !code; c++) {
        int32_t *chunk = ids->at + c * n_ctx;
        int32_t begins = chunk[0];
        if (bos) chunk[0] = leat_bos(l->model);
        code = leat_rewind(l->session, 0, &e);
        if (!code) code = leat_feed(l->session, chunk, first, LEAT_PROMPT, &e);
        s->next = chunk + first + 1;
        if (!code) code = leat_feed_each(l->session, chunk + first, n_ctx - 1 - first, LEAT_PROMPT, score, s, &e);
        chunk[0] = begins;
        if (!code) tools_progress_show(&bar, c + 1, n_chunks, "chunks, PPL %.4f", estimate(s));
    }
    tools_progress_end(&bar);
    if (code == LEAT_CANCELLED && plat_interrupted()) return TOOLS_INTERRUPTED;
    return code ? tools_fail(t, "%s", e.text) : TOOLS_OK;
}

static int encode(tools *t, const leat_model *model, const char *path, tools_ids *ids) {
    err e;
    leat_error failed;
    tools_text text;
    if (tools_text_open(&text, path, &e)) return tools_fail(t, "%s", e.text);
    if (text.bytes && text.data[text.bytes - 1] == '\n') text.bytes--; /* as the common tool reads it */
    size_t cap = 4 * text.bytes + 16, count = 0;
    int status = TOOLS_OK;
    if (arena_open(&ids->memory, MEM_TOOLS, cap * sizeof(int32_t), &e)) status = tools_fail(t, "%s", e.text);
    else if (!(ids->at = arena_array(&ids->memory, cap, sizeof(int32_t))))
        status = tools_fail(t, "%s: no memory for the tokens of its %zu bytes", path, text.bytes);
    else if (leat_tokenize(model, text.data, text.bytes, true, false, ids->at, cap, &count, &failed))
        status = tools_fail(t, "%s", failed.text);
    ids->n = count;
    tools_text_close(&text);
    return status;
}

static int run(tools *t, const void *values) {
    const perplexity_values *o = values;
    load_options options = {
        .path = o->model, .memory = o->memory, .n_ctx = o->n_ctx, .n_threads = o->n_threads, .isa = o->isa};
    loaded l = {0};
    tools_ids ids = {0};
    scorer s = {0};
    size_t n_ctx = (size_t)o->n_ctx;
    int status = load_model(t, &l, &options);
    if (status) goto done;
    if (!leat_has_tokenizer(l.model)) {
        status = tools_fail(t, "%s has no tokenizer", o->model);
        goto done;
    }
    if ((status = encode(t, l.model, o->file, &ids))) goto done;
    if (ids.n < 2 * n_ctx) {
        status = tools_fail(t, "%s has %zu tokens; a context of %d wants %zu at least (-c sets it)", o->file, ids.n,
                            o->n_ctx, 2 * n_ctx);
        goto done;
    }
    if ((status = load_session(t, &l, &options))) goto done;
    load_say_memory(t, &l, false);
    size_t n_chunks = ids.n / n_ctx;
    if (o->n_chunks) n_chunks = MIN(n_chunks, (size_t)o->n_chunks);
    s.n_vocab = leat_model_n_vocab(l.model);
    tools_err(t, "leat perplexity: %zu tokens, %zu chunks of %zu; %d threads, %s\n", ids.n, n_chunks, n_ctx,
              leat_session_threads(l.session), leat_session_isa(l.session));
    status = score_chunks(t, &l, &ids, n_ctx, n_chunks, &s);
    if (!status) tools_out(t, "Final estimate: PPL = %.4f +/- %.5f\n", estimate(&s), uncertainty(&s));
done:
    tools_ids_close(&ids);
    load_close(&l);
    return status;
}

#define T perplexity_values
static const tools_option options[] = {
    TOOLS_MODEL(T, model),
    TOOLS_ROW(TOOLS_KIND_STR, T, file, const char *, 'f', "file", "TEXT", "the text to score", .required = true),
    TOOLS_INT(T, n_ctx, 'c', "ctx-size", "N", 4, 1 << 24, "tokens a chunk ({})"),
    TOOLS_INT(T, n_chunks, 0, "chunks", "N", 1, INT32_MAX, "stop after N chunks (default: the whole text)"),
    TOOLS_THREADS(T, n_threads),
    TOOLS_ISA(T, isa),
    LOAD_MEMORY(T, memory),
};
#undef T

const tools_command tools_perplexity = {
    .name = "perplexity",
    .summary = "Score how well a model predicts a text",
    .usage = "-m FILE -f TEXT [-c N] [--chunks N] [options]",
    .notes = "The text is cut into chunks of N tokens; of each, the second half is scored with the first as its "
             "context. One newline at the end of the text is dropped; special tokens in it are plain text.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(perplexity_values),
    .defaults = defaults,
    .run = run,
};
