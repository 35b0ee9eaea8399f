/* run.c: `leat run`, a text completed. The whole of inference as a user of leat.h sees it: open, tokenise, feed the
 * prompt, then take one token after the other. Next: include/leat.h, and src/engine/ behind it.
 *
 * Standard output gets the completion and nothing else; what is said about it goes to standard error.
 */
#include "emit/emit.h"
#include "tools/load.h"

#define PROMPT_STEP 1024   /* tokens fed between two looks at the progress bar     */
#define PIECE_MAX 65536    /* bytes of a token's text, as leat_piece promises      */

typedef struct run_values {
    const char *model, *draft, *prompt, *file, *ids, *isa;
    int32_t n_predict, n_ctx, n_threads, n_draft;
    leat_sampler_options sampler;
    tools_strs stops;
    bool ignore_eos, no_pin, quiet, verbose, stats;
    load_cache cache;
    load_memory memory;
} run_values;

static void defaults(void *values) {
    run_values *o = values;
    o->n_predict = -1;
    o->n_draft = LOAD_DRAFT_MAX;
    leat_sampler_defaults(&o->sampler);
    o->sampler.seed = LOAD_SEED_RANDOM;
}

typedef enum { END_OF_TEXT, END_LENGTH, END_STOP, END_CONTEXT, END_INTERRUPT, END_CLOSED } ending;
static const char *const ending_text[] = {"the model ended the text", "-n reached",  "stop string", "context full",
                                          "interrupted",              "output closed"};

typedef struct runner {
    tools *t;
    const run_values *o;
    loaded l;
    leat_sampler *sampler;
    leat_generator *generator;
    tools_ids prompt;
    emit out;
    str stops[TOOLS_STRS_MAX];
    char *piece; /* (PIECE_MAX) */
    bool as_ids; /* no tokenizer: ids are printed instead of text */
    char last;   /* byte written to standard output */
    size_t n_generated;
    uint64_t prompt_ns;
    leat_stats opened; /* the prompt was fed                            */
    load_meter meter;  /* of all generated tokens but the first         */
} runner;

/* ---- the prompt ------------------------------------------------------------------------------------- */

static int encode(runner *r, str text) {
    err e;
    if (tools_ids_encode(&r->prompt, r->l.model, text, true, &e)) return tools_fail_text(r->t, e.text);
    if (!r->prompt.n && leat_bos(r->l.model) >= 0) r->prompt.at[r->prompt.n++] = leat_bos(r->l.model);
    if (!r->prompt.n) return tools_fail(r->t, "the prompt is empty, and this model has no token to begin a text with");
    return TOOLS_OK;
}

/* Editors and `echo` end a file with a newline that nobody means as part of the prompt. */
static str without_last_newline(str text) {
    if (str_ends(text, STR("\n"))) text.len--;
    if (str_ends(text, STR("\r"))) text.len--;
    return text;
}

static int read_prompt(runner *r) {
    const run_values *o = r->o;
    err e;
    if (o->ids) {
        if (tools_ids_open(&r->prompt, o->ids, leat_model_n_vocab(r->l.model), &e))
            return tools_fail_text(r->t, e.text);
        return TOOLS_OK;
    }
    if (!leat_has_tokenizer(r->l.model))
        return tools_fail(r->t, "%s has no tokenizer: give the prompt as token ids with --ids", o->model);
    if (o->prompt) return encode(r, str_of(o->prompt));
    if (!o->file && plat_is_terminal(0) && !o->quiet)
        tools_err(r->t, "leat run: type the text to complete, then Ctrl-D\n");
    tools_text text;
    if (tools_text_open(&text, o->file ? o->file : "-", &e)) return tools_fail_text(r->t, e.text);
    int status = encode(r, without_last_newline((str){text.data, text.bytes}));
    tools_text_close(&text);
    return status;
}

static int feed_prompt(runner *r) {
    leat_error e;
    tools_progress bar;
    int32_t n_ctx = leat_session_n_ctx(r->l.session);
    if (r->prompt.n > (size_t)n_ctx)
        return tools_fail(r->t, "the prompt has %zu tokens, the context holds %d (-c sets it)", r->prompt.n, n_ctx);
    tools_progress_start(&bar, r->t, "prompt");
    r->opened = leat_session_stats(r->l.session);
    uint64_t start = plat_time_ns();
    int status = TOOLS_OK;
    for (size_t i = 0; i < r->prompt.n && !status;) {
        size_t n = MIN((size_t)PROMPT_STEP, r->prompt.n - i);
        leat_code code = leat_feed(r->l.session, r->prompt.at + i, n, LEAT_PROMPT, &e);
        if (code == LEAT_CANCELLED && plat_interrupted()) status = TOOLS_INTERRUPTED;
        else if (code) status = tools_fail_text(r->t, e.text);
        i += n;
        if (!r->o->quiet && r->prompt.n > PROMPT_STEP) tools_progress_show(&bar, i, r->prompt.n, "tokens");
    }
    tools_progress_end(&bar);
    r->prompt_ns = plat_time_ns() - start;
    for (size_t i = 0; i < r->prompt.n; i++) leat_sampler_accept(r->sampler, r->prompt.at[i]);
    return status;
}

/* ---- generation ------------------------------------------------------------------------------------- */

static void write_text(void *user, const char *bytes, size_t n) {
    runner *r = user;
    tools_out_bytes(r->t, bytes, n);
    tools_out_flush(r->t);
    r->last = bytes[n - 1];
}

/* Writes a token; true when a stop string is complete. */
static bool show(runner *r, int32_t id) {
    if (r->as_ids) {
        tools_out(r->t, r->n_generated > 1 ? " %d" : "%d", id);
        tools_out_flush(r->t);
        return false;
    }
    size_t n = leat_piece(r->l.model, id, false, r->piece, PIECE_MAX);
    return emit_piece(&r->out, r->piece, MIN(n, (size_t)PIECE_MAX));
}

static int generate(runner *r, ending *why) {
    leat_error e;
    leat_generator_options options = {
        .n_draft = r->o->n_draft, .draft = r->l.draft, .endless = r->o->ignore_eos};
    if (leat_generator_open(&r->generator, r->l.session, r->sampler, &options, &e))
        return tools_fail_text(r->t, e.text);
    load_meter_start(&r->meter, r->l.session);
    for (;;) {
        int32_t id;
        if (r->o->n_predict >= 0 && r->n_generated >= (size_t)r->o->n_predict) return *why = END_LENGTH, TOOLS_OK;
        uint64_t start = plat_time_ns();
        leat_code code = leat_generate(r->generator, &id, &e);
        if (code == LEAT_LIMIT) return *why = END_CONTEXT, TOOLS_OK;
        if (code == LEAT_CANCELLED && plat_interrupted()) return *why = END_INTERRUPT, TOOLS_INTERRUPTED;
        if (code) return tools_fail_text(r->t, e.text);
        /* The first is of the prompt's logits. */
        if (r->n_generated) load_meter_add(&r->meter, r->l.session, 1, plat_time_ns() - start);
        if (leat_ends(r->l.model, id)) return *why = END_OF_TEXT, TOOLS_OK;
        r->n_generated++;
        if (show(r, id)) return *why = END_STOP, TOOLS_OK;
        if (tools_out_closed(r->t)) return *why = END_CLOSED, TOOLS_OK;
        if (plat_interrupted()) return *why = END_INTERRUPT, TOOLS_INTERRUPTED;
    }
}

/* ---- what is said about it ----------------------------------------------------------------------------- */

static double per_second(size_t n, uint64_t ns) { return ns ? (double)n * 1e9 / (double)ns : 0; }

static void say_loaded(runner *r, uint64_t load_ns) {
    const leat_model *m = r->l.model;
    const char *name = leat_model_name(m), *architecture = leat_model_architecture(m);
    bool named = !cstr_eq(name, architecture);
    char bytes[32];
    tools_err(r->t, "leat run: %.80s%s%.40s, %.2f M parameters, %s; loaded in %.2f s; %d thread%s, %s, context %d\n",
              named ? name : "", named ? ", " : "", architecture, (double)leat_model_n_params(m) / 1e6,
              fmt_bytes(bytes, sizeof bytes, leat_model_bytes(m)), (double)load_ns / 1e9,
              leat_session_threads(r->l.session), leat_session_threads(r->l.session) == 1 ? "" : "s",
              leat_session_isa(r->l.session), leat_session_n_ctx(r->l.session));
    if (leat_model_chat_template(m) && !r->o->ids)
        tools_err(r->t, "leat run: the text is completed as it is; to talk with the model: leat chat\n");
}

static void say_memory(runner *r) {
    char now[32];
    tools_err(r->t, "leat run: memory at its peak, each by itself:");
    for (int tag = 0; tag < MEM_TAGS; tag++)
        if (mem_bytes_peak((mem_tag)tag))
            tools_err(r->t, " %s %s", mem_tag_name((mem_tag)tag),
                      fmt_bytes(now, sizeof now, mem_bytes_peak((mem_tag)tag)));
    tools_err(r->t, "; in all %s\n", fmt_bytes(now, sizeof now, mem_bytes_peak_total()));
}

static void say_guesses(runner *r) {
    leat_generator_stats g = leat_generator_stats_of(r->generator);
    if (!g.drafted) return;
    tools_err(r->t, "stats: %llu guesses, %.1f %% right; %.2f tokens a pass\n", (unsigned long long)g.drafted,
              100.0 * (double)g.matched / (double)g.drafted, (double)g.tokens / (double)MAX(g.passes, 1));
}

static void say_end(runner *r, ending why) {
    if (why == END_CONTEXT)
        tools_err(r->t, "leat run: stopped: the context of %d tokens is full (-c sets it)\n",
                  leat_session_n_ctx(r->l.session));
    if (r->o->verbose) {
        if (why != END_CONTEXT) tools_err(r->t, "leat run: stopped: %s\n", ending_text[why]);
        say_memory(r);
    }
    bool stats = r->o->stats && r->generator; /* none of a prompt that was interrupted */
    if (stats) load_say_prompt(r->t, &r->opened, &r->meter.before, r->prompt_ns);
    if (stats && r->meter.n_tokens) load_say_stats(r->t, &r->l, &r->meter);
    if (stats) say_guesses(r);
    tools_err(r->t, "prompt %.1f tok/s, generation %.1f tok/s (%zu and %zu tokens)\n",
              per_second(r->prompt.n, r->prompt_ns), per_second(r->meter.n_tokens, r->meter.ns), r->prompt.n,
              r->n_generated);
}

/* ---- all of it --------------------------------------------------------------------------------------- */

static int open_all(runner *r) {
    leat_error e;
    err failed;
    const run_values *o = r->o;
    load_options options = {
        .path = o->model, .draft = o->n_draft ? o->draft : NULL, .memory = o->memory, .keep_learnt = true,
        .cache = o->cache, .n_ctx = o->n_ctx, .n_threads = o->n_threads,
        .isa = o->isa, .no_pin = o->no_pin, .quiet = o->quiet};
    uint64_t start = plat_time_ns();
    int status = load_model(r->t, &r->l, &options);
    if (!status) status = load_session(r->t, &r->l, &options);
    if (status) return status;
    if (!o->quiet) say_loaded(r, plat_time_ns() - start);
    if (!o->quiet) load_say_memory(r->t, &r->l, o->verbose);
    leat_sampler_options sampler = o->sampler;
    if (sampler.seed == LOAD_SEED_RANDOM) plat_entropy(&sampler.seed, sizeof sampler.seed);
    if (o->verbose) tools_err(r->t, "leat run: seed %llu\n", (unsigned long long)sampler.seed);
    if (leat_sampler_open(&r->sampler, r->l.model, &sampler, &e)) return tools_fail_text(r->t, e.text);
    r->as_ids = !leat_has_tokenizer(r->l.model);
    r->out.write = write_text;
    r->out.user = r;
    for (size_t i = 0; i < o->stops.n; i++) r->stops[i] = str_of(o->stops.at[i]);
    if (emit_open(&r->out, r->stops, o->stops.n, PIECE_MAX, &failed)) return tools_fail_text(r->t, failed.text);
    r->piece = mem_block(MEM_TOOLS, PIECE_MAX);
    if (!r->piece) return tools_fail(r->t, "no memory for the output");
    return TOOLS_OK;
}

static int complete(runner *r) {
    ending why = END_INTERRUPT;
    int status = read_prompt(r);
    if (!status) status = feed_prompt(r);
    if (!status) status = generate(r, &why);
    if (status && status != TOOLS_INTERRUPTED) return status;
    if (!r->as_ids) emit_end(&r->out);
    else if (r->n_generated) write_text(r, "\n", 1);
    if (r->o->quiet) return status;
    /* The next line begins at the left only where both streams go to one terminal. */
    if (r->last && r->last != '\n' && plat_is_terminal(1) && plat_is_terminal(2)) tools_err(r->t, "\n");
    say_end(r, why);
    return status;
}

static int run(tools *t, const void *values) {
    const run_values *o = values;
    if ((o->prompt != NULL) + (o->file != NULL) + (o->ids != NULL) > 1)
        return tools_usage(t, "-p, -f and --ids each give the prompt: choose one");
    for (size_t i = 0; i < o->stops.n; i++)
        if (!o->stops.at[i][0]) return tools_usage(t, "--stop: the string is empty");
    if (o->quiet && o->verbose) return tools_usage(t, "-q and -v contradict each other");
    runner r = {.t = t, .o = o};
    int status = open_all(&r);
    if (!status) status = complete(&r);
    mem_block_free(r.piece);
    emit_close(&r.out);
    tools_ids_close(&r.prompt);
    leat_generator_close(r.generator);
    leat_sampler_close(r.sampler);
    load_close(&r.l);
    return status;
}

#define T run_values
static const tools_option options[] = {
    TOOLS_MODEL(T, model),
    TOOLS_STR(T, prompt, 'p', "prompt", "TEXT", "the text to complete, taken as it is"),
    TOOLS_STR(T, file, 'f', "file", "FILE", "the text to complete; one newline at its end is dropped"),
    TOOLS_STR(T, ids, 0, "ids", "FILE", "the prompt as token ids; nothing is added (no BOS)"),
    TOOLS_INT(T, n_predict, 'n', "predict", "N", -1, INT32_MAX,
              "tokens to generate; -1: until the end of the text ({})"),
    LOAD_CTX(T, n_ctx),
    TOOLS_STRS(T, stops, 0, "stop", "TEXT", "end before this text comes; may be repeated"),
    TOOLS_FLAG(T, ignore_eos, 0, "ignore-eos", "never sample the tokens that end a text"),
    TOOLS_THREADS(T, n_threads, no_pin),
    TOOLS_ISA(T, isa),
    LOAD_SAMPLING(T, sampler),
    LOAD_CACHE(T, cache),
    LOAD_DRAFT(T, draft, n_draft),
    LOAD_MEMORY(T, memory),
    LOAD_LEARNT(T, memory),
    TOOLS_FLAG(T, stats, 0, "stats", "also what was read from disk while generating, and how fast"),
    TOOLS_FLAG(T, quiet, 'q', "quiet", "only the completion, and errors"),
    TOOLS_FLAG(T, verbose, 'v', "verbose", "also the seed, why it stopped, and memory by use"),
};
#undef T

const tools_command tools_run = {
    .name = "run",
    .summary = "Complete a text",
    .usage = "-m FILE [-p TEXT | -f FILE | --ids FILE] [options]",
    .notes =
        "Without -p, -f or --ids the text is read from standard input. BOS is added as the file asks. Special tokens "
        "that are spelled out in the text (such as <|im_start|>) become those tokens.\n"
        "Standard output gets the completion and nothing else, in whole UTF-8 characters; a model without a "
        "tokenizer gives token ids, parted by spaces. The same seed gives the same text with any number of threads.\n"
        "Ctrl-C ends the text where it is; the exit status is then 130. A full context ends it with a message and "
        "status 0.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(run_values),
    .defaults = defaults,
    .run = run,
};
