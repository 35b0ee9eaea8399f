/* bench.c: `leat bench`, speeds with the bounds they are to be held against. The bounds come from bounds.c, measured in
 * the same run, since a machine shared with others is not the same twice.
 */
#include "tools/bounds.h"
#include "tools/load.h"
#include "tools/trace.h"
#include "version.h"

#define LOAD_BUSY 0.5 /* other runnable tasks that spoil a figure */

typedef struct bench_values {
    const char *model, *isa, *format, *routing;
    tools_ints n_prompt, n_gen, n_depth, n_threads;
    int32_t n_reps;
    load_cache cache;
    load_memory memory;
} bench_values;

static void defaults(void *values) {
    bench_values *o = values;
    o->n_prompt = (tools_ints){{512}, 1};
    o->n_gen = (tools_ints){{128}, 1};
    o->n_depth = (tools_ints){{0}, 1};
    o->n_reps = 5;
    o->format = "md";
}

typedef struct bench {
    tools *t;
    const bench_values *o;
    loaded l;
    trace trace;          /* of --routing */
    leat_routing routing;
    char cpu[96];
    const char *isa;
    bounds_model model;
    bounds_machine machines[TOOLS_INTS_MAX]; /* with each number of threads */
    const bounds_machine *machine;           /* with the current one        */
    int32_t *tokens; /* (n_tokens) random ids */
    size_t n_tokens;
    size_t n_rows;
} bench;

typedef struct row {
    int32_t n_prompt, n_gen, n_depth, n_threads; /* n_prompt or n_gen is 0 */
    double tok_s, deviation, bound;
} row;

/* ---- output -------------------------------------------------------------------------------------------- */

static double share(const row *r) { return r->bound > 0 ? r->tok_s / r->bound : 0; }

static void begin_md(bench *b, size_t n_machines) {
    tools *t = b->t;
    char bytes[32], each[32];
    tools_out(t, "cpu      %s, isa %s, leat commit %s\n", b->cpu, b->isa, LEAT_COMMIT);
    tools_out(t, "model    %.80s, %.40s, %s, %.2f M parameters\n", leat_model_name(b->l.model),
              leat_model_architecture(b->l.model), fmt_bytes(bytes, sizeof bytes, leat_model_bytes(b->l.model)),
              (double)leat_model_n_params(b->l.model) / 1e6);
    tools_out(t, "a token  reads %s of weights, and %s of keys and values for each token before it\n",
              fmt_bytes(bytes, sizeof bytes, (uint64_t)b->model.read_bytes),
              fmt_bytes(each, sizeof each, (uint64_t)b->model.kv_bytes));
    for (size_t i = 0; i < n_machines; i++) {
        const bounds_machine *m = &b->machines[i];
        tools_out(t, "machine  %d thread%s: reads %.1f GB/s, %.1f G int8 and %.1f G float multiply-adds a second\n",
                  m->n_threads, m->n_threads == 1 ? "" : "s", m->read_bytes_s / 1e9, m->dot_mac_s / 1e9,
                  m->float_mac_s / 1e9);
    }
    tools_out(t, "\n| threads | test            |                tok/s |      bound | share |\n");
    tools_out(t, "| ------: | --------------- | -------------------: | ---------: | ----: |\n");
    tools_out_flush(t);
}

static void row_md(bench *b, const row *r) {
    char test[48], speed[48];
    size_t n = fmt(test, sizeof test, r->n_prompt ? "pp%d" : "tg%d", r->n_prompt ? r->n_prompt : r->n_gen);
    if (r->n_depth) fmt(test + n, sizeof test - n, " @ d%d", r->n_depth);
    fmt(speed, sizeof speed, "%.2f ± %.2f", r->tok_s, r->deviation);
    tools_out(b->t, "| %7d | %-15s | %21s | %10.2f | %5.2f |\n", r->n_threads, test, speed, r->bound, share(r));
}

static void row_json(bench *b, const row *r) {
    tools *t = b->t;
    tools_out(t, "%s\n  {\"n_prompt\": %d, \"n_gen\": %d, \"n_depth\": %d, \"threads\": %d, ", b->n_rows ? "," : "[",
              r->n_prompt, r->n_gen, r->n_depth, r->n_threads);
    tools_out(t, "\"tok_s\": %.6g, \"tok_s_stddev\": %.6g, \"bound_tok_s\": %.6g, \"share\": %.4g, \"reps\": %d,\n   ",
              r->tok_s, r->deviation, r->bound, share(r), b->o->n_reps);
    tools_out(t, "\"model\": ");
    tools_out_json_str(t, str_of(leat_model_name(b->l.model)));
    tools_out(t, ", \"architecture\": ");
    tools_out_json_str(t, str_of(leat_model_architecture(b->l.model)));
    tools_out(t, ", \"model_bytes\": %llu, \"parameters\": %llu, ", (unsigned long long)leat_model_bytes(b->l.model),
              (unsigned long long)leat_model_n_params(b->l.model));
    tools_out(t, "\"token_bytes\": %.0f, \"kv_position_bytes\": %.0f,\n   \"cpu\": ", b->model.read_bytes,
              b->model.kv_bytes);
    tools_out_json_str(t, str_of(b->cpu));
    tools_out(t, ", \"isa\": \"%s\", \"commit\": \"%s\", ", b->isa, LEAT_COMMIT);
    tools_out(t, "\"read_bytes_s\": %.6g, \"dot_mac_s\": %.6g, \"float_mac_s\": %.6g}", b->machine->read_bytes_s,
              b->machine->dot_mac_s, b->machine->float_mac_s);
}

static void csv_str(tools *t, const char *s) {
    tools_out(t, "\"");
    for (; *s; s++) tools_out(t, *s == '"' ? "\"\"" : "%c", *s);
    tools_out(t, "\",");
}

static void row_csv(bench *b, const row *r) {
    tools *t = b->t;
    if (!b->n_rows)
        tools_out(t, "cpu,isa,commit,model,architecture,model_bytes,parameters,token_bytes,read_bytes_s,dot_mac_s,"
                     "float_mac_s,n_prompt,n_gen,n_depth,threads,tok_s,tok_s_stddev,bound_tok_s,share\n");
    csv_str(t, b->cpu);
    csv_str(t, b->isa);
    csv_str(t, LEAT_COMMIT);
    csv_str(t, leat_model_name(b->l.model));
    csv_str(t, leat_model_architecture(b->l.model));
    tools_out(t, "%llu,%llu,%.0f,", (unsigned long long)leat_model_bytes(b->l.model),
              (unsigned long long)leat_model_n_params(b->l.model), b->model.read_bytes);
    tools_out(t, "%.6g,%.6g,%.6g,", b->machine->read_bytes_s, b->machine->dot_mac_s, b->machine->float_mac_s);
    tools_out(t, "%d,%d,%d,%d,%.6g,%.6g,%.6g,%.4g\n", r->n_prompt, r->n_gen, r->n_depth, r->n_threads, r->tok_s,
              r->deviation, r->bound, share(r));
}

static void show(bench *b, const row *r) {
    bool json = cstr_eq(b->o->format, "json"), csv = cstr_eq(b->o->format, "csv");
    if (json) row_json(b, r);
    else if (csv) row_csv(b, r);
    else row_md(b, r);
    tools_out_flush(b->t);
    b->n_rows++;
}

/* ---- measuring -------------------------------------------------------------------------------------------- */

static int feed(bench *b, size_t first, size_t n, size_t step, leat_role role) {
    leat_error e;
    for (size_t i = 0; i < n; i += step) {
        leat_code code = leat_feed(b->l.session, b->tokens + first + i, MIN(step, n - i), role, &e);
        if (code == LEAT_CANCELLED && plat_interrupted()) return TOOLS_INTERRUPTED;
        if (code) return tools_fail(b->t, "%s", e.text);
    }
    return TOOLS_OK;
}

static int rewind_to(bench *b, int32_t n) {
    leat_error e;
    return leat_rewind(b->l.session, n, &e) ? tools_fail(b->t, "%s", e.text) : TOOLS_OK;
}

/* The session holds the row's depth already; each repetition starts there. A first one warms up, uncounted. */
static int measure(bench *b, row *r) {
    size_t n = (size_t)(r->n_prompt ? r->n_prompt : r->n_gen), step = r->n_prompt ? n : 1;
    leat_role role = r->n_prompt ? LEAT_PROMPT : LEAT_GENERATED;
    double sum = 0, squares = 0;
    tools_progress bar;
    char label[48];
    fmt(label, sizeof label, "%s%zu, %d thread%s", r->n_prompt ? "pp" : "tg", n, r->n_threads,
        r->n_threads == 1 ? "" : "s");
    tools_progress_start(&bar, b->t, label);
    int status = rewind_to(b, r->n_depth);
    if (!status) status = feed(b, (size_t)r->n_depth, r->n_prompt ? n : MIN(n, (size_t)4), step, role);
    leat_stats before = leat_session_stats(b->l.session);
    uint64_t all_ns = 0;
    for (int32_t rep = 0; rep < b->o->n_reps && !status; rep++) {
        tools_progress_show(&bar, (uint64_t)rep, (uint64_t)b->o->n_reps, "repetitions");
        if ((status = rewind_to(b, r->n_depth))) break;
        uint64_t start = plat_time_ns();
        status = feed(b, (size_t)r->n_depth, n, step, role);
        uint64_t ns = MAX(plat_time_ns() - start, 1);
        double tok_s = (double)n * 1e9 / (double)ns;
        all_ns += ns;
        sum += tok_s;
        squares += tok_s * tok_s;
    }
    tools_progress_end(&bar);
    if (!status && r->n_gen && leat_session_stats(b->l.session).reads)
        load_say_stats(b->t, &b->l, &before, n * (size_t)b->o->n_reps, all_ns);
    double reps = (double)b->o->n_reps, mean = sum / reps, variance = squares / reps - mean * mean;
    r->tok_s = mean;
    r->deviation = reps > 1 && variance > 0 ? math_sqrt(variance * reps / (reps - 1)) : 0;
    r->bound = r->n_prompt ? bounds_prompt(&b->model, b->machine, r->n_prompt, r->n_depth)
                           : bounds_decode(&b->model, b->machine, r->n_gen, r->n_depth);
    return status;
}

static int measure_depth(bench *b, int32_t depth) {
    const bench_values *o = b->o;
    int status = rewind_to(b, 0);
    if (!status && depth) status = feed(b, 0, (size_t)depth, (size_t)depth, LEAT_PROMPT);
    for (size_t i = 0; i < o->n_prompt.n + o->n_gen.n && !status; i++) {
        row r = {.n_depth = depth, .n_threads = leat_session_threads(b->l.session)};
        if (i < o->n_prompt.n) r.n_prompt = o->n_prompt.at[i];
        else r.n_gen = o->n_gen.at[i - o->n_prompt.n];
        if (!r.n_prompt && !r.n_gen) continue; /* -p 0: no such test */
        if (!(status = measure(b, &r))) show(b, &r);
    }
    return status;
}

static int measure_threads(bench *b, const bounds_machine *machine) {
    load_options options = {.path = b->o->model,
                            .cache = b->o->cache,
                            .n_ctx = (int32_t)b->n_tokens,
                            .n_threads = machine->n_threads,
                            .isa = b->o->isa,
                            .quiet = true};
    b->machine = machine;
    if (b->o->routing) options.routing = &b->routing;
    int status = load_session(b->t, &b->l, &options);
    if (!status) load_say_memory(b->t, &b->l, false);
    for (size_t i = 0; i < b->o->n_depth.n && !status; i++) status = measure_depth(b, b->o->n_depth.at[i]);
    leat_session_close(b->l.session);
    b->l.session = NULL;
    return status;
}

static int measure_machine(bench *b, const tools_ints *n_threads) {
    err e;
    const kern *k = b->o->isa ? kern_find(str_of(b->o->isa)) : kern_best();
    if (!k || !kern_runs(k)) return tools_fail(b->t, "this CPU does not have %s", b->o->isa);
    b->isa = kern_name(k);
    for (size_t i = 0; i < n_threads->n; i++) {
        if (bounds_measure(&b->machines[i], k, n_threads->at[i], &e)) return tools_fail(b->t, "%s", e.text);
        if (plat_interrupted()) return TOOLS_INTERRUPTED;
    }
    return TOOLS_OK;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static size_t largest(const tools_ints *list) {
    int32_t max = 0;
    for (size_t i = 0; i < list->n; i++) max = MAX(max, list->at[i]);
    return (size_t)max;
}

static int open_all(bench *b) {
    const bench_values *o = b->o;
    err e;
    load_options options = {.path = o->model, .memory = o->memory};
    double others = plat_load();
    if (others > LOAD_BUSY)
        tools_err(b->t, "leat bench: warning: %.1f other tasks want the cores; the figures will be too low\n", others);
    int status = load_model(b->t, &b->l, &options);
    if (status) return status;
    if (o->routing && (trace_open(&b->trace, o->routing, &e) || trace_routing(&b->trace, &b->routing, &e)))
        return tools_fail(b->t, "%s", e.text);
    quant_id type_k = load_cache_type(o->cache.k), type_v = load_cache_type(o->cache.v);
    if (bounds_count(&b->model, o->model, type_k, type_v, &e)) return tools_fail(b->t, "%s", e.text);
    plat_cpu_name(b->cpu, sizeof b->cpu);
    size_t bytes;
    b->n_tokens = MAX(largest(&o->n_prompt), largest(&o->n_gen)) + largest(&o->n_depth);
    if (!b->n_tokens) return tools_usage(b->t, "-p 0 -n 0 leaves nothing to measure");
    if (b->n_tokens > INT32_MAX || !mul_size(b->n_tokens, sizeof(int32_t), &bytes))
        return tools_usage(b->t, "%zu tokens are more than a context may hold", b->n_tokens);
    b->tokens = mem_block(MEM_TOOLS, bytes);
    if (!b->tokens) return tools_fail(b->t, "no memory for %zu tokens", b->n_tokens);
    rng r;
    rng_seed(&r, 1);
    for (size_t i = 0; i < b->n_tokens; i++)
        b->tokens[i] = (int32_t)(rng_u64(&r) % (uint64_t)leat_model_n_vocab(b->l.model));
    return TOOLS_OK;
}

static int run(tools *t, const void *values) {
    static const tools_ints all_cores = {{0}, 1};
    bench b = {.t = t, .o = values};
    const tools_ints *threads = b.o->n_threads.n ? &b.o->n_threads : &all_cores;
    bool json = cstr_eq(b.o->format, "json");
    int status = open_all(&b);
    if (!status) status = measure_machine(&b, threads);
    if (!status && cstr_eq(b.o->format, "md")) begin_md(&b, threads->n);
    for (size_t i = 0; i < threads->n && !status; i++) status = measure_threads(&b, &b.machines[i]);
    if (json) tools_out(t, b.n_rows ? "\n]\n" : "[]\n");
    mem_block_free(b.tokens);
    trace_close(&b.trace);
    load_close(&b.l);
    return status;
}

#define T bench_values
static const tools_option options[] = {
    TOOLS_MODEL(T, model),
    TOOLS_INTS(T, n_prompt, 'p', "n-prompt", "LIST", 0, 1 << 24, "prompt lengths to measure; 0: none ({})"),
    TOOLS_INTS(T, n_gen, 'n', "n-gen", "LIST", 0, 1 << 24, "numbers of tokens to generate; 0: none ({})"),
    TOOLS_INTS(T, n_depth, 'd', "n-depth", "LIST", 0, 1 << 24, "tokens in the context before ({})"),
    TOOLS_INTS(T, n_threads, 't', "threads", "LIST", 1, 256, "threads (default: one per core available)"),
    TOOLS_INT(T, n_reps, 'r', "repetitions", "N", 1, 1000, "of each test ({})"),
    TOOLS_CHOICE(T, format, 'o', "output", "md|json|csv", "format ({})"),
    TOOLS_ISA(T, isa),
    TOOLS_STR(T, routing, 0, "routing", "TRACE", "force recorded routing on a model of as many layers and experts"),
    LOAD_CACHE(T, cache),
    LOAD_MEMORY(T, memory),
};
#undef T

const tools_command tools_bench = {
    .name = "bench",
    .summary = "Measure speeds, and the bounds this machine sets them",
    .usage = "-m FILE [-p LIST] [-n LIST] [-d LIST] [-t LIST] [-r N] [-o md|json|csv]",
    .notes = "A list is numbers (128,512) or ranges (1-4, 0-4096+1024, 64-512*2). ppN feeds a prompt of N random "
             "tokens, tgN generates N, one by one; @ dN: after N others.\n"
             "The bound of tg is the read bandwidth divided by the bytes a token reads (all weights but the input "
             "embedding, of experts those used, and the KV cache at this depth); that of pp is the multiply-adds "
             "divided by their peak, or the weights read once if that takes longer. Both are measured in the same "
             "run. A model that fits into the caches may read faster than memory: its share then exceeds 1.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(bench_values),
    .defaults = defaults,
    .run = run,
};
