/* quantize.c: `leat quantize`, a model file in fewer bits: the command line, what is said about it, and the order of
 * the work.
 *
 * quantize_plan.c decides, quantize_out.c has the files, quantize_stream.c does the work. The output appears when it
 * is whole: whatever ends the command earlier leaves what was there before.
 */
#include "tools/quantize.h"

#include "kern/kern.h"

#define RAM_BYTES_MIN ((uint64_t)1 << 20)
#define SHOWN(s) (int)MIN((s).len, (size_t)64), (s).ptr

static void defaults(void *values) {
    quantize_values *o = values;
    o->ram_bytes = (uint64_t)512 << 20;
}

static int list(tools *t) {
    for (size_t i = 0; mix_at(i); i++) tools_out(t, "%-10s %s\n", mix_at(i)->name, mix_at(i)->help);
    return TOOLS_OK;
}

/* ---- what is said ------------------------------------------------------------------------------------------------ */

/* Tensors that did not get the type that they should have had: a line for each pair. */
static void say_fitted(tools *t, const quantize_plan *p) {
    for (size_t i = 0; i < p->n_items; i++) {
        const quantize_item *x = &p->items[i];
        size_t n = 0;
        bool told = false;
        if (x->to == x->wanted) continue;
        for (size_t k = 0; k < p->n_items; k++) {
            bool same = p->items[k].to == x->to && p->items[k].wanted == x->wanted;
            told |= same && k < i;
            n += same;
        }
        if (told) continue;
        tools_err(
            t,
            "leat quantize: %zu tensor%s %s instead of %s, whose blocks of %u do not divide their rows (%.*s: %llu)\n",
            n, n == 1 ? " is" : "s are", x->to->name, x->wanted->name, x->wanted->block_len, SHOWN(x->from->name),
            (unsigned long long)x->from->dims[0]);
    }
}

static void say_notes(tools *t, const quantize_plan *p, const quantize_values *o) {
    say_fitted(t, p);
    for (size_t i = 0; i < p->n_choices; i++)
        if (!p->choices[i].n_found)
            tools_err(t, "leat quantize: warning: --tensor-type %.*s decided nothing\n", SHOWN(p->choices[i].text));
    if (p->n_blind)
        tools_err(t, "leat quantize: %zu tensors have no entry in %s and are encoded without\n", p->n_blind,
                  o->importance);
    if (p->n_large)
        tools_err(t, "leat quantize: warning: %zu parts are above --split-max-size, having one larger tensor each\n",
                  p->n_large);
}

static void say_type(tools *t, const quantize_plan *p, const quant_type *type) {
    uint64_t n = 0, bytes = 0;
    char text[32];
    for (size_t i = 0; i < p->n_items; i++) {
        if (p->items[i].to != type) continue;
        n++;
        bytes += p->items[i].bytes;
    }
    if (n)
        tools_out(t, "  %-8s %5llu tensors %12s\n", type->name, (unsigned long long)n,
                  fmt_bytes(text, sizeof text, bytes));
}

static void say_tensors(tools *t, const quantize_plan *p) {
    for (size_t i = 0; i < p->n_items && !tools_out_closed(t); i++) {
        const quantize_item *x = &p->items[i];
        tools_out(t, "%-36.*s %s", SHOWN(x->from->name), x->from->type->name);
        tools_out(t, x->to == x->from->type ? "\n" : " -> %s\n", x->to->name);
    }
}

static double bits(uint64_t bytes, uint64_t n_weights) {
    return n_weights ? 8.0 * (double)bytes / (double)n_weights : 0;
}

static void say_sizes(tools *t, const quantize_plan *p) {
    char in[32], out[32];
    for (uint32_t id = 0; id < QUANT_ID_MAX; id++)
        if (quant_find(id)) say_type(t, p, quant_find(id));
    tools_out(t, "%s: %s, %.2f bits a weight (from %s, %.2f)", p->mix->name, fmt_bytes(out, sizeof out, p->out_bytes),
              bits(p->out_bytes, p->n_weights), fmt_bytes(in, sizeof in, p->in_bytes), bits(p->in_bytes, p->n_weights));
    if (p->n_parts > 1) tools_out(t, ", in %zu parts", p->n_parts);
    tools_out(t, "\n");
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

static int report(tools *t, const quantize_values *o, err_code code, const err *e) {
    if (code == ERR_CANCELLED) {
        tools_err(t, "leat quantize: interrupted: nothing was written to %s\n", o->out);
        return TOOLS_INTERRUPTED;
    }
    return code == ERR_ARGUMENT ? tools_usage(t, "%s", e->text) : tools_fail_text(t, e->text);
}

static err_code write_out(tools *t, const quantize_plan *p, const quantize_values *o, err *e) {
    quantize_out out = {0};
    quantize_stats stats = {0};
    uint64_t from = plat_time_ns();
    err_code code = quantize_out_open(&out, p, o, e);
    if (!code) code = quantize_stream_run(t, p, &out, o, &stats, e);
    if (!code) code = quantize_out_finish(&out, e);
    quantize_out_close(&out);
    if (code || o->quiet) return code;
    double seconds = (double)MAX(plat_time_ns() - from, 1) * 1e-9;
    say_sizes(t, p);
    tools_out(t, "%.1f s, %.0f MB/s, %d thread%s, %s", seconds, (double)p->in_bytes * 1e-6 / seconds, stats.n_threads,
              stats.n_threads == 1 ? "" : "s", stats.isa);
    if (o->verbose)
        tools_out(t, "; waited %.1f s for reads, %.1f s for writes", (double)stats.wait_read_ns * 1e-9,
                  (double)stats.wait_write_ns * 1e-9);
    tools_out(t, "\n");
    return ERR_NONE;
}

static err_code work(tools *t, const quantize_values *o, err *e) {
    gguf *in = NULL;
    imatrix *importance = NULL;
    quantize_plan plan = {0};
    err_code code = gguf_open(&in, o->in, e);
    if (!code && o->importance) code = imatrix_open(&importance, o->importance, e);
    if (!code) code = quantize_plan_open(&plan, in, importance, o, e);
    if (!code && !o->quiet) say_notes(t, &plan, o);
    if (!code && plan.poor) {
        const quantize_item *x = plan.poor;
        code = err_set(e, ERR_UNSUPPORTED, "quantize",
                       importance
                           ? "tensor %.*s has no entry in the matrix of importance, and %s needs one"
                           : "tensor %.*s: %s needs a matrix of importance: --imatrix FILE (`leat imatrix` makes one)",
                       SHOWN(x->from->name), x->to->name);
        if (o->dry_run) {
            tools_err(t, "leat quantize: warning: %s\n", e->text);
            code = ERR_NONE;
        }
    }
    if (!code && o->dry_run && o->verbose) say_tensors(t, &plan);
    if (!code && o->dry_run) say_sizes(t, &plan);
    else if (!code) code = write_out(t, &plan, o, e);
    quantize_plan_close(&plan);
    imatrix_close(importance);
    gguf_close(in);
    return code;
}

static int run(tools *t, const void *values) {
    quantize_values o = *(const quantize_values *)values;
    uint64_t threads;
    err e;
    if (o.list) return list(t);
    if (!o.in) return tools_usage(t, "-m FILE is missing");
    /* `quantize --dry-run IN TYPE` needs no output. */
    if (o.dry_run && o.out && !o.type && mix_find(str_of(o.out))) o.type = o.out, o.out = NULL;
    if (!o.out && !o.dry_run) return tools_usage(t, "the file to write is missing: leat quantize IN OUT TYPE");
    if (!o.type) return tools_usage(t, "the type is missing: leat quantize IN OUT TYPE (--list names them)");
    if (!mix_find(str_of(o.type)))
        return tools_usage(t, "'%.60s' is no type to quantise to; --list names them", o.type);
    if (o.threads_word) {
        if (!parse_u64(str_of(o.threads_word), &threads) || threads < 1 || threads > 256)
            return tools_usage(t, "'%.60s' is not a number of threads from 1 to 256", o.threads_word);
        o.n_threads = (int32_t)threads;
    }
    if (o.keep_split && o.part_bytes_max) return tools_usage(t, "--keep-split and --split-max-size: choose one");
    if (o.include.n && o.exclude.n) return tools_usage(t, "--include-weights and --exclude-weights: choose one");
    if (o.ram_bytes < RAM_BYTES_MIN) return tools_usage(t, "--ram: less than 1M holds no header");
    mem_limit_set((size_t)o.ram_bytes);
    err_code code = work(t, &o, &e);
    mem_limit_set(0);
    return code ? report(t, &o, code, &e) : TOOLS_OK;
}

#define T quantize_values
static const tools_option options[] = {
    TOOLS_ROW(TOOLS_KIND_STR, T, in, const char *, 'm', "model", "FILE",
              "the GGUF file to read, or its first part; may be given without -m", .bare = true),
    TOOLS_ROW(TOOLS_KIND_STR, T, out, const char *, 'o', "output", "FILE", "the file to write; may be given without -o",
              .bare = true),
    TOOLS_ROW(TOOLS_KIND_STR, T, type, const char *, 0, "type", "TYPE", "the mix of types; may be given without --type",
              .bare = true),
    TOOLS_ROW(TOOLS_KIND_STR, T, threads_word, const char *, 0, "nthreads", "N", "as -t; may be given without a name",
              .bare = true),
    TOOLS_THREADS(T, n_threads, no_pin),
    TOOLS_FLAG(T, list, 0, "list", "list the types"),
    TOOLS_STR(T, importance, 0, "imatrix", "FILE", "spend bits by this matrix of importance"),
    TOOLS_STRS(T, include, 0, "include-weights", "NAME",
               "use it for tensors with NAME in their names only; may be repeated"),
    TOOLS_STRS(T, exclude, 0, "exclude-weights", "NAME", "do not use it for those; may be repeated"),
    TOOLS_STRS(T, types, 0, "tensor-type", "PATTERN=TYPE",
               "tensors of such names become TYPE: attn_v=q6_k, 'blk\\.(1|2)\\.ffn_down=q6_k'; the first that is found "
               "counts; "
               "may be repeated"),
    TOOLS_STR(T, type_file, 0, "tensor-type-file", "FILE", "more of them, parted by white space"),
    TOOLS_STR(T, output_type, 0, "output-tensor-type", "TYPE", "of output.weight"),
    TOOLS_STR(T, embedding_type, 0, "token-embedding-type", "TYPE", "of token_embd.weight"),
    TOOLS_FLAG(T, pure, 0, "pure", "no mix: all matrices become the same type"),
    TOOLS_FLAG(T, leave_output, 0, "leave-output-tensor", "output.weight stays as it is"),
    TOOLS_FLAG(T, allow_requantize, 0, "allow-requantize", "also tensors that were quantised before: errors add up"),
    TOOLS_FLAG(T, keep_split, 0, "keep-split", "write the parts that the input has"),
    TOOLS_SIZE(T, part_bytes_max, 0, "split-max-size", "SIZE", "write parts of at most this size: 500M, 2G"),
    TOOLS_STRS(T, keys, 0, "override-kv", "KEY=TYPE:VALUE",
               "set a key of the output; TYPE is int, float, bool or str; may be repeated"),
    TOOLS_SIZE(T, ram_bytes, 0, "ram", "SIZE", "memory to use at most (default: 512M)"),
    TOOLS_FLAG(T, dry_run, 0, "dry-run", "say what it would be, and write nothing"),
    TOOLS_FLAG(T, verbose, 'v', "verbose", "a line for each tensor"),
    TOOLS_FLAG(T, quiet, 'q', "quiet", "say nothing but errors"),
    TOOLS_ISA(T, isa),
};
#undef T

const tools_command tools_quantize = {
    .name = "quantize",
    .summary = "Write a model in fewer bits",
    .usage = "IN OUT TYPE [THREADS] [options]",
    .notes =
        "IN is F32, F16 or BF16 (or quantised, with --allow-requantize). TYPE is a mix such as Q4_K_M: --list names "
        "them all. OUT appears when it is whole; with parts it is NAME-00001-of-0000N.gguf.\n"
        "A PATTERN is looked for anywhere in a tensor's name, in either case: . * + ? {m,n} | ( ) [ ] ^ $ \\d \\w and "
        "\\. have "
        "the usual meaning.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(quantize_values),
    .defaults = defaults,
    .run = run,
};
