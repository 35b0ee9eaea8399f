/* eval.c: `leat eval`, the logits of every position as a file, for comparing figures with other programs.
 *
 * Logits are streamed: the file may be larger than memory. Next: perplexity.c, which reduces them to one figure.
 */
#include "tools/load.h"

typedef struct eval_values {
    const char *model, *ids, *logits, *isa;
    int32_t n_batch, n_threads;
    load_cache cache;
    load_memory memory;
    bool no_pin;
} eval_values;

typedef struct eval {
    plat_out *out;
    int out_error; /* of the first failed write */
    size_t row_bytes;
    size_t n_done, n_ids;
    tools_progress progress;
} eval;

static bool write_row(void *user, size_t index, const float *logits) {
    eval *v = user;
    (void)index;
    v->out_error = plat_out_write(v->out, logits, v->row_bytes);
    v->n_done++;
    tools_progress_show(&v->progress, v->n_done, v->n_ids, "tokens");
    return !v->out_error && !plat_interrupted();
}

/* The .npy header, version 1.0 (NEP 1): magic, header length, a Python literal, padded to 64 bytes. */
static int write_npy_header(plat_out *out, size_t n_rows, int32_t n_cols) {
    char head[128];
    size_t n = 10;
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", n); /* 0x76: the 118 bytes that follow */
    n += fmt(head + n, sizeof head - n, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %d), }", n_rows,
             n_cols);
    memset(head + n, ' ', sizeof head - n);
    head[sizeof head - 1] = '\n';
    return plat_out_write(out, head, sizeof head);
}

static int feed_all(tools *t, const eval_values *o, leat_session *session, const tools_ids *ids, eval *v) {
    leat_role role = o->n_batch ? LEAT_GENERATED : LEAT_PROMPT;
    size_t n_batch = o->n_batch ? (size_t)o->n_batch : ids->n;
    for (size_t i = 0; i < ids->n; i += n_batch) {
        leat_error e;
        leat_code code = leat_feed_each(session, ids->at + i, MIN(n_batch, ids->n - i), role, write_row, v, &e);
        if (v->out_error) return tools_fail(t, "%s: %s", o->logits, plat_error_name(v->out_error));
        if (plat_interrupted()) return TOOLS_INTERRUPTED;
        if (code) return tools_fail_text(t, e.text);
    }
    return TOOLS_OK;
}

static int run(tools *t, const void *values) {
    const eval_values *o = values;
    load_options options = {
        .path = o->model, .memory = o->memory, .cache = o->cache, .n_threads = o->n_threads,
        .no_pin = o->no_pin, .isa = o->isa};
    loaded l = {0};
    tools_ids ids = {0};
    eval v = {0};
    err e;
    if (tools_check_out(o->logits, (const char *const[]){o->model, o->ids}, 2, &e)) return tools_usage(t, "%s", e.text);
    int status = load_model(t, &l, &options);
    if (status) goto done;
    if (tools_ids_open(&ids, o->ids, leat_model_n_vocab(l.model), &e)) {
        status = tools_fail_text(t, e.text);
        goto done;
    }
    if (ids.n > INT32_MAX) {
        status = tools_fail(t, "%s: %zu token ids are more than a context may hold", o->ids, ids.n);
        goto done;
    }
    options.n_ctx = (int32_t)ids.n;
    if ((status = load_session(t, &l, &options))) goto done;
    int error = plat_out_create(&v.out, o->logits, false);
    if (!error && str_ends(str_of(o->logits), STR(".npy")))
        error = write_npy_header(v.out, ids.n, leat_model_n_vocab(l.model));
    if (error) {
        status = tools_fail(t, "%s: %s", o->logits, plat_error_name(error));
        goto done;
    }
    v.row_bytes = (size_t)leat_model_n_vocab(l.model) * sizeof(float);
    v.n_ids = ids.n;
    tools_progress_start(&v.progress, t, "eval");
    status = feed_all(t, o, l.session, &ids, &v);
    tools_progress_end(&v.progress);
done:
    if (v.out) {
        error = plat_out_settle(v.out, status ? PLAT_INTERRUPTED : PLAT_OK);
        if (error && !status) status = tools_fail(t, "%s: %s", o->logits, plat_error_name(error));
    }
    tools_ids_close(&ids);
    load_close(&l);
    return status;
}

static const tools_option options[] = {
    TOOLS_MODEL(eval_values, model),
    TOOLS_STR_REQUIRED(eval_values, ids, 0, "ids", "IDS",
                       "token ids: whole numbers in a text file (- is standard input)"),
    TOOLS_STR_REQUIRED(eval_values, logits, 0, "logits", "OUT",
                       "where to write: raw little-endian float32, or NumPy's format when the name ends in .npy"),
    TOOLS_INT(eval_values, n_batch, 'b', "batch", "N", 1, INT32_MAX,
              "feed N tokens at a time as generated tokens (default: all of them as one prompt)"),
    TOOLS_THREADS(eval_values, n_threads, no_pin),
    TOOLS_ISA(eval_values, isa),
    LOAD_CACHE(eval_values, cache),
    LOAD_MEMORY(eval_values, memory),
};

const tools_command tools_eval = {
    .name = "eval",
    .summary = "Write the logits of every position of a sequence of tokens",
    .usage = "-m FILE --ids IDS --logits OUT [-b N] [options]",
    .notes = "OUT holds (n_tokens, n_vocab) floats, row i being the logits after token i. Prompt tokens and "
             "generated tokens are computed by different kernels, each with bits of its own; threads and batch sizes "
             "never change them. OUT appears when it is whole.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(eval_values),
    .run = run,
};
