/* imatrix.c: `leat imatrix`, how much each column of a model's matrices matters for a text, as a file for quantisers.
 *
 * The session sums up what goes into each matrix (leat_importance_at); this file feeds it the text and writes the sums,
 * added to those of other files where some are given. Those stay open and are read a row at a time, so that memory
 * holds one set of sums only. Next: perplexity.c, which judges what comes out in the end.
 */
#include "imatrix/imatrix.h"
#include "tools/chunks.h"
#include "tools/load.h"
#include "tools/score.h"

typedef struct imatrix_values {
    const char *model, *file, *out, *isa;
    tools_strs in_files;
    int32_t n_ctx, n_batch, n_chunks, from_chunk, n_threads, output_frequency, save_frequency;
    bool no_pin, process_output, no_ppl, parse_special;
    load_memory memory;
} imatrix_values;

static void defaults(void *values) {
    imatrix_values *o = values;
    o->out = "imatrix.gguf";
    o->n_ctx = 512;
    o->output_frequency = 10;
}

typedef struct collector {
    tools *t;
    const imatrix_values *o;
    loaded model; /* zeroed: files are only added up */
    chunks text;
    imatrix *files[TOOLS_STRS_MAX];
    uint64_t file_chunks; /* that the files were made of, in chunks of this length */
    arena memory;
    imatrix_shape *shapes; /* of the entries, sorted by name                            */
    leat_importance *live; /* (n_entries): where the session has it; tensor NULL: not   */
    size_t n_entries;
    float *row; /* of a file */
    size_t n_done; /* chunks */
    score ppl;
    const int32_t *next; /* the token that truly follows row i of the feed       */
    size_t n_unscored, n_scored; /* rows of the feed: context only; then those that have a next token */
} collector;

/* ---- which entries there are -------------------------------------------------------------------------------- */

static bool name_before(const void *a, const void *b) {
    return str_cmp(((const imatrix_shape *)a)->name, ((const imatrix_shape *)b)->name) < 0;
}

/* The matrices of the layers; the output only where it was asked for. */
static bool wanted(const collector *c, const leat_importance *x) {
    return c->o->process_output || str_starts(str_of(x->tensor), STR("blk."));
}

static void find_live(const collector *c, str name, leat_importance *out) {
    for (size_t i = 0; c->model.session && leat_importance_at(c->model.session, i, out); i++)
        if (str_is(name, out->tensor) && wanted(c, out)) return;
    *out = (leat_importance){0};
}

/* Every name once, in order. */
static void list_names(collector *c) {
    leat_importance x;
    size_t n = 0, n_different = 0;
    for (size_t i = 0; c->model.session && leat_importance_at(c->model.session, i, &x); i++)
        if (wanted(c, &x)) c->shapes[n++].name = str_of(x.tensor);
    for (size_t f = 0; f < c->o->in_files.n; f++)
        for (size_t i = 0; i < imatrix_entry_count(c->files[f]); i++)
            c->shapes[n++].name = imatrix_entry_at(c->files[f], i)->name;
    sort_items(c->shapes, n, sizeof *c->shapes, name_before);
    for (size_t i = 0; i < n; i++)
        if (!n_different || !str_eq(c->shapes[n_different - 1].name, c->shapes[i].name))
            c->shapes[n_different++] = c->shapes[i];
    c->n_entries = n_different;
}

/* Columns and matrices: as the model says, else as the file with the most counts. All others must agree. */
static int shape_entry(collector *c, size_t i) {
    imatrix_shape *s = &c->shapes[i];
    find_live(c, s->name, &c->live[i]);
    s->n_in = c->live[i].n_in;
    s->n_matrices = c->live[i].n_experts;
    for (size_t f = 0; f < c->o->in_files.n && !c->live[i].tensor; f++) {
        const imatrix_entry *x = imatrix_find(c->files[f], s->name);
        if (!x || x->n_counts <= s->n_matrices) continue;
        s->n_in = x->n_values / x->n_counts;
        s->n_matrices = x->n_counts;
    }
    for (size_t f = 0; f < c->o->in_files.n; f++) {
        const imatrix_entry *x = imatrix_find(c->files[f], s->name);
        err e;
        if (x && imatrix_check(x, s->n_in, s->n_matrices, &e))
            return tools_fail(c->t, "%s: %s", c->o->in_files.at[f], e.text);
    }
    return TOOLS_OK;
}

static int plan(collector *c) {
    err e;
    leat_importance x;
    size_t n_max = 0, n_in = 1;
    for (size_t i = 0; c->model.session && leat_importance_at(c->model.session, i, &x); i++) {
        n_max++;
        n_in = MAX(n_in, x.n_in);
    }
    for (size_t f = 0; f < c->o->in_files.n; f++) {
        n_max += imatrix_entry_count(c->files[f]);
        for (size_t i = 0; i < imatrix_entry_count(c->files[f]); i++)
            n_in = MAX(n_in, (size_t)imatrix_entry_at(c->files[f], i)->n_values);
    }
    if (arena_open(&c->memory, MEM_TOOLS, n_max * (sizeof *c->shapes + sizeof *c->live) + n_in * sizeof *c->row + 4096,
                   &e))
        return tools_fail_text(c->t, e.text);
    c->shapes = arena_array(&c->memory, n_max, sizeof *c->shapes);
    c->live = arena_array(&c->memory, n_max, sizeof *c->live);
    c->row = arena_array(&c->memory, n_in, sizeof *c->row);
    if (!c->shapes || !c->live || !c->row) return tools_fail(c->t, "no memory for %zu entries", n_max);
    list_names(c);
    int status = TOOLS_OK;
    for (size_t i = 0; i < c->n_entries && !status; i++) status = shape_entry(c, i);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* One matrix of an entry: the session's sums and those of all files. */
static err_code add_up(void *user, size_t entry, uint64_t matrix, float *sums, float *count, err *e) {
    const collector *c = user;
    const imatrix_shape *s = &c->shapes[entry];
    const leat_importance *live = &c->live[entry];
    double tokens = live->tensor ? (double)live->counts[matrix] : 0;
    for (size_t k = 0; k < s->n_in; k++) sums[k] = live->tensor ? (float)live->squares[matrix * s->n_in + k] : 0;
    for (size_t f = 0; f < c->o->in_files.n; f++) {
        const imatrix_entry *x = imatrix_find(c->files[f], s->name);
        double n;
        if (!x) continue;
        err_code code = imatrix_sums(c->files[f], x, s->n_in, matrix, (uint32_t)c->o->n_ctx, c->row, &n, e);
        if (code) return code;
        for (size_t k = 0; k < s->n_in; k++) sums[k] += c->row[k];
        tokens += n;
    }
    *count = (float)tokens;
    for (size_t k = 0; k < s->n_in; k++)
        if (!f32_is_finite(sums[k]))
            return ERR(e, ERR_FORMAT, "%.*s: the sum of squares of column %zu is %g: the model or a file is broken",
                       (int)MIN(s->name.len, (size_t)64), s->name.ptr, k, (double)sums[k]);
    return ERR_NONE;
}

/* Says no: up to here all was as it will be, so that what is wrong with the output is told before the work. */
static err_code refuse(void *user, size_t entry, uint64_t matrix, float *sums, float *count, err *e) {
    (void)user, (void)entry, (void)matrix, (void)sums, (void)count;
    return ERR(e, ERR_CANCELLED, "it was a trial");
}

static int write_to(collector *c, const char *path, bool trial) {
    enum { DATASETS_MAX = 1024 };
    str datasets[DATASETS_MAX];
    err e;
    imatrix_write_opts o = {.entries = c->shapes, .n_entries = c->n_entries, .datasets = datasets,
                            .chunk_size = (uint32_t)c->o->n_ctx, .sums = trial ? refuse : add_up, .user = c};
    o.chunk_count = (uint32_t)MIN(c->file_chunks + c->n_done, (uint64_t)INT32_MAX);
    for (size_t f = 0; f < c->o->in_files.n; f++) {
        gguf_cursor at = {0, 0};
        while (o.n_datasets + 1 < DATASETS_MAX && imatrix_next_dataset(c->files[f], &at, &datasets[o.n_datasets]))
            o.n_datasets++;
    }
    if (c->o->file) datasets[o.n_datasets++] = str_of(c->o->file);
    err_code code = imatrix_write(path, &o, &e);
    return !code || (trial && code == ERR_CANCELLED) ? TOOLS_OK : tools_fail_text(c->t, e.text);
}

typedef char copy_path[4200];
static const char *copy_at(const collector *c, size_t n_done, copy_path path) {
    return fmt(path, sizeof(copy_path), "%s.at_%zu", c->o->out, n_done), path;
}

/* The result so far, and copies of it, as often as was asked for. What cannot be written is told; the sums go on, and
 * the output may yet be written in the end. */
static int write_on_the_way(collector *c) {
    const imatrix_values *o = c->o;
    copy_path path;
    if (o->output_frequency && c->n_done % (size_t)o->output_frequency == 0 && c->n_done < c->text.n)
        write_to(c, o->out, false);
    bool copies = o->save_frequency && c->n_done % (size_t)o->save_frequency == 0;
    return copies ? write_to(c, copy_at(c, c->n_done, path), false) : TOOLS_OK;
}

/* The output may take the place of a file that it adds up, but is not written through it; copies are new files. */
static int check_outs(const collector *c) {
    const imatrix_values *o = c->o;
    const char *const read[] = {o->model, o->file};
    copy_path path;
    err e;
    err_code code = tools_check_out(o->out, read, COUNT_OF(read), &e);
    if (!code && plat_out_aside(o->out, path, sizeof path))
        code = tools_check_out(path, o->in_files.at, o->in_files.n, &e);
    for (size_t n = (size_t)o->save_frequency; n && n <= c->text.n && !code; n += (size_t)o->save_frequency) {
        code = tools_check_out(copy_at(c, n, path), read, COUNT_OF(read), &e);
        if (!code) code = tools_check_out(path, o->in_files.at, o->in_files.n, &e);
    }
    return code ? tools_usage(c->t, "%s", e.text) : TOOLS_OK;
}

/* ---- the text ------------------------------------------------------------------------------------------------ */

static bool score_row(void *user, size_t index, const float *logits) {
    collector *c = user;
    int32_t n_vocab = leat_model_n_vocab(c->model.model);
    if (c->o->no_ppl || index < c->n_unscored || index >= c->n_scored) return true;
    score_add(&c->ppl, score_log_sum(logits, n_vocab) - (double)logits[c->next[index]]);
    return true;
}

/* Logits are computed for what is scored, or for all rows where the output's input counts too. */
static leat_code feed_chunk(collector *c, const int32_t *chunk, leat_error *e) {
    size_t n = c->text.n_ctx, first = c->o->process_output ? 0 : n / 2;
    leat_code code = leat_rewind(c->model.session, 0, e);
    if (!code && c->o->no_ppl && !c->o->process_output) return leat_feed(c->model.session, chunk, n, LEAT_PROMPT, e);
    if (!code && first) code = leat_feed(c->model.session, chunk, first, LEAT_PROMPT, e);
    c->next = chunk + first + 1;
    c->n_unscored = n / 2 - first;
    c->n_scored = n - 1 - first;
    if (!code) code = leat_feed_each(c->model.session, chunk + first, n - first, LEAT_PROMPT, score_row, c, e);
    return code;
}

static int feed_text(collector *c) {
    tools_progress bar;
    leat_error e;
    int status = TOOLS_OK;
    size_t from = (size_t)c->o->from_chunk;
    uint64_t start = plat_time_ns();
    tools_progress_start(&bar, c->t, "imatrix");
    for (; c->n_done < c->text.n; status |= write_on_the_way(c)) {
        if (feed_chunk(c, chunks_at(&c->text, from + c->n_done), &e)) {
            tools_progress_end(&bar);
            if (!plat_interrupted()) return tools_fail_text(c->t, e.text);
            tools_err(c->t, "leat imatrix: interrupted after %zu chunks\n", c->n_done);
            return TOOLS_INTERRUPTED;
        }
        c->n_done++;
        uint64_t left_s = (plat_time_ns() - start) / c->n_done * (c->text.n - c->n_done) / 1000000000u;
        char ppl[32] = "";
        if (c->ppl.n) fmt(ppl, sizeof ppl, ", PPL %.4f", score_perplexity(&c->ppl));
        tools_progress_show(&bar, c->n_done, c->text.n, "chunks%s, %llu:%02llu left", ppl,
                            (unsigned long long)left_s / 60, (unsigned long long)left_s % 60);
    }
    tools_progress_end(&bar);
    return status;
}

/* Experts that no token was routed to: quantisers then weigh all their columns alike. */
static void report(collector *c) {
    size_t n = 0, n_unused = 0;
    for (size_t i = 0; i < c->n_entries; i++)
        for (size_t x = 0; x < c->live[i].n_experts && c->live[i].n_experts > 1; x++, n++)
            n_unused += c->live[i].counts[x] == 0;
    if (n_unused)
        tools_err(c->t, "leat imatrix: %zu of %zu expert matrices were never used: a longer text may reach them\n",
                  n_unused, n);
    if (c->ppl.n)
        tools_out(c->t, "Final estimate: PPL = %.4f +/- %.5f\n", score_perplexity(&c->ppl), score_uncertainty(&c->ppl));
    tools_err(c->t, "leat imatrix: %zu entries of %llu chunks in %s\n", c->n_entries,
              (unsigned long long)(c->file_chunks + c->n_done), c->o->out);
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static int open_files(collector *c) {
    err e;
    for (size_t f = 0; f < c->o->in_files.n; f++) {
        if (imatrix_open(&c->files[f], c->o->in_files.at[f], &e)) return tools_fail_text(c->t, e.text);
        uint64_t n = imatrix_chunk_count(c->files[f]), size = imatrix_chunk_size(c->files[f]);
        c->file_chunks += size ? n * size / (uint64_t)c->o->n_ctx : n;
    }
    return TOOLS_OK;
}

static int open_model(collector *c) {
    const imatrix_values *o = c->o;
    load_options options = {.path = o->model, .memory = o->memory, .n_ctx = o->n_ctx,
                            .n_threads = o->n_threads, .n_chunk = o->n_batch, .no_pin = o->no_pin, .isa = o->isa,
                            .importance = true};
    size_t n_ctx = (size_t)o->n_ctx, from = (size_t)o->from_chunk;
    int status = load_model(c->t, &c->model, &options);
    if (!status) status = chunks_open(c->t, &c->text, c->model.model, o->file, n_ctx, from + 1, 0, o->parse_special);
    if (!status) status = load_session(c->t, &c->model, &options);
    if (status) return status;
    load_say_memory(c->t, &c->model, false);
    c->text.n -= from;
    if (o->n_chunks) c->text.n = MIN(c->text.n, (size_t)o->n_chunks);
    tools_err(c->t, "leat imatrix: %zu tokens, %zu chunk%s of %zu; %d threads, %s\n", c->text.ids.n, c->text.n,
              c->text.n == 1 ? "" : "s", n_ctx,
              leat_session_threads(c->model.session), leat_session_isa(c->model.session));
    return TOOLS_OK;
}

static int run(tools *t, const void *values) {
    const imatrix_values *o = values;
    collector c = {.t = t, .o = o};
    int status = TOOLS_OK;
    if (!o->file && !o->in_files.n) return tools_usage(t, "the text is missing: -f TEXT, or --in-file FILE to add up");
    if (!o->file != !o->model) return tools_usage(t, "%s is missing: a text needs a model and a model a text",
                                                  o->file ? "the model (-m FILE)" : "the text (-f TEXT)");
    if ((status = open_files(&c)) || (o->model && (status = open_model(&c))) || (status = check_outs(&c)) ||
        (status = plan(&c)) || (o->model && (status = write_to(&c, o->out, true))))
        goto done;
    if (o->model) status = feed_text(&c);
    if (c.n_done < c.text.n) goto done;
    if (write_to(&c, o->out, false)) status = TOOLS_FAILED;
    else report(&c);
done:
    for (size_t f = 0; f < o->in_files.n; f++) imatrix_close(c.files[f]);
    arena_close(&c.memory);
    chunks_close(&c.text);
    load_close(&c.model);
    return status;
}

#define T imatrix_values
static const tools_option options[] = {
    TOOLS_ROW(TOOLS_KIND_STR, T, model, const char *, 'm', "model", "FILE",
              "the GGUF file, or its first part; may be given without -m", .bare = true),
    TOOLS_STR(T, file, 'f', "file", "TEXT", "the text to run the model on (- is standard input)"),
    TOOLS_STR(T, out, 'o', "output", "FILE", "where to write ({})"),
    TOOLS_INT(T, n_ctx, 'c', "ctx-size", "N", 4, 1 << 24, "tokens a chunk ({})"),
    TOOLS_INT(T, n_batch, 'b', "batch-size", "N", 1, 4096, "tokens computed at a time (default: 256)"),
    TOOLS_INT(T, n_chunks, 0, "chunks", "N", 1, INT32_MAX, "stop after N chunks (default: the whole text)"),
    TOOLS_INT(T, from_chunk, 0, "from-chunk", "N", 0, INT32_MAX, "skip the first N chunks of the text ({})"),
    TOOLS_STRS(T, in_files, 0, "in-file", "FILE", "add what another run wrote; may be repeated"),
    TOOLS_FLAG(T, process_output, 0, "process-output", "also for the output matrix"),
    TOOLS_FLAG(T, no_ppl, 0, "no-ppl", "do not compute perplexity: faster"),
    TOOLS_FLAG(T, parse_special, 0, "parse-special", "spelled-out control tokens in the text become those tokens"),
    TOOLS_INT(T, output_frequency, 0, "output-frequency", "N", 0, INT32_MAX,
              "write the output every N chunks; 0: at the end only ({})"),
    TOOLS_INT(T, save_frequency, 0, "save-frequency", "N", 0, INT32_MAX,
              "keep a copy as FILE.at_K every N chunks; 0: never ({})"),
    TOOLS_THREADS(T, n_threads, no_pin),
    TOOLS_ISA(T, isa),
    LOAD_MEMORY(T, memory),
};
#undef T

const tools_command tools_imatrix = {
    .name = "imatrix",
    .summary = "Find out which columns of a model's matrices matter, for quantize",
    .usage = "-m FILE -f TEXT [-o FILE] [options]",
    .notes = "The output is a GGUF file that quantize --imatrix reads, and llama.cpp too. It appears only when it is "
             "whole. Without -m and -f the files of --in-file are added up. Ctrl-C leaves what was written last; "
             "--from-chunk with --in-file goes on from there.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(imatrix_values),
    .defaults = defaults,
    .run = run,
};
