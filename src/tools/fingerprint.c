/* fingerprint.c: `leat fingerprint`, what a model answers by its likeliest tokens, and a sum over all its logits: equal
 * wherever the same instruction set computes the same, on another machine, with other threads, without an operating
 * system. --check compares with what was written down before.
 */
#include "tools/load.h"

enum { TOKENS_MAX = 4096 };

typedef struct fingerprint_values {
    const char *model, *prompt, *check, *isa;
    int32_t n_predict, n_threads;
    bool no_pin;
    load_memory memory;
} fingerprint_values;

typedef struct fingerprint {
    sha256 sum;
    size_t n_vocab;
    int32_t tokens[TOKENS_MAX];
    size_t n_prompt, n_drawn;
} fingerprint;

static bool add_row(void *user, size_t index, const float *logits) {
    fingerprint *f = user;
    (void)index;
    sha256_add(&f->sum, logits, f->n_vocab * sizeof *logits);
    return !plat_interrupted();
}

static int32_t likeliest(const float *logits, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

static leat_code draw_all(const fingerprint_values *o, const loaded *l, fingerprint *f, leat_error *e) {
    leat_code code = leat_tokenize(l->model, o->prompt, cstr_len(o->prompt), true, true, f->tokens, TOKENS_MAX / 2,
                                   &f->n_prompt, e);
    if (!code && f->n_prompt > TOKENS_MAX / 2) {
        fmt(e->text, sizeof e->text, "the prompt has %zu tokens, wanted at most %d", f->n_prompt, TOKENS_MAX / 2);
        return LEAT_LIMIT;
    }
    if (!code) code = leat_feed_each(l->session, f->tokens, f->n_prompt, LEAT_PROMPT, add_row, f, e);
    while (!code && f->n_drawn < (size_t)o->n_predict && !plat_interrupted()) {
        int32_t *token = &f->tokens[f->n_prompt + f->n_drawn];
        *token = likeliest(leat_logits(l->session), f->n_vocab);
        f->n_drawn++;
        code = leat_feed_each(l->session, token, 1, LEAT_GENERATED, add_row, f, e);
    }
    return !code && plat_interrupted() ? LEAT_CANCELLED : code; /* less than all is no fingerprint */
}

/* The lines: tokens, then the sum. Returns the bytes written. */
static size_t write_lines(fingerprint *f, char *to, size_t cap) {
    uint8_t sum[32];
    size_t n = fmt(to, cap, "tokens");
    for (size_t i = 0; i < f->n_drawn; i++) n += fmt(to + n, cap - n, " %d", (int)f->tokens[f->n_prompt + i]);
    sha256_end(&f->sum, sum);
    n += fmt(to + n, cap - n, "\nlogits ");
    for (size_t i = 0; i < sizeof sum; i++) n += fmt(to + n, cap - n, "%02x", sum[i]);
    return n + fmt(to + n, cap - n, "\n");
}

static int compare(tools *t, const char *path, str seen) {
    tools_text wanted = {0};
    err e;
    int status = TOOLS_OK;
    if (tools_text_open(&wanted, path, &e)) status = tools_fail_text(t, e.text);
    else if (!str_eq(str_trim((str){wanted.data, wanted.bytes}), str_trim(seen)))
        status = tools_fail(t, "%.150s: other tokens or logits were written down", path);
    else tools_out(t, "as written down in %s\n", path);
    tools_text_close(&wanted);
    return status;
}

static int run(tools *t, const void *values) {
    const fingerprint_values *o = values;
    load_options options = {.path = o->model, .memory = o->memory, .n_threads = o->n_threads, .isa = o->isa,
                            .no_pin = o->no_pin, .n_ctx = TOKENS_MAX};
    loaded l = {0};
    leat_error e;
    char lines[8 * TOKENS_MAX / 2];
    fingerprint *f = mem_block(MEM_TOOLS, sizeof *f);
    int status = f ? load_model(t, &l, &options) : tools_fail(t, "out of memory");
    if (!status) status = load_session(t, &l, &options);
    if (status) goto done;
    f->n_vocab = (size_t)leat_model_n_vocab(l.model);
    sha256_start(&f->sum);
    if (draw_all(o, &l, f, &e)) {
        status = plat_interrupted() ? TOOLS_INTERRUPTED : tools_fail_text(t, e.text);
        goto done;
    }
    size_t n = write_lines(f, lines, sizeof lines);
    tools_out_bytes(t, lines, n);
    if (o->check) status = compare(t, o->check, (str){lines, n});
done:
    mem_block_free(f);
    load_close(&l);
    return status;
}

static void defaults(void *values) {
    fingerprint_values *o = values;
    o->prompt = "What is 17+25?";
    o->n_predict = 16;
}

static const tools_option options[] = {
    TOOLS_MODEL(fingerprint_values, model),
    TOOLS_STR(fingerprint_values, prompt, 'p', "prompt", "TEXT", "what the model is given ({})"),
    TOOLS_INT(fingerprint_values, n_predict, 'n', "predict", "N", 1, 1024, "tokens to draw ({})"),
    TOOLS_STR(fingerprint_values, check, 0, "check", "FILE", "fail unless it is what was written to that file before"),
    TOOLS_THREADS(fingerprint_values, n_threads, no_pin),
    TOOLS_ISA(fingerprint_values, isa),
    LOAD_MEMORY(fingerprint_values, memory),
};

const tools_command tools_fingerprint = {
    .name = "fingerprint",
    .summary = "Sum up what a model computes, to compare machines",
    .usage = "-m FILE [-p TEXT] [-n N] [--check FILE] [options]",
    .notes = "Prints the likeliest tokens after the prompt and the SHA-256 of all logits, which are the same with any "
             "number of threads and on every machine that computes with the same instruction set (--isa).",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(fingerprint_values),
    .defaults = defaults,
    .run = run,
};
