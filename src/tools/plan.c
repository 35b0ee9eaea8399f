/* plan.c: `leat plan`, what a model would do in a given memory: what is held, what is read, and how fast that can be.
 * The engine's own planning, asked without reading any weights; so a header alone is enough (a sparse file).
 */
#include "tools/bounds.h"
#include "tools/load.h"

typedef struct plan_values {
    const char *model;
    uint64_t ram;
    int32_t n_ctx, n_threads;
    float disk_gbs, mem_gbs;
    load_cache cache;
} plan_values;

typedef struct planner {
    tools *t;
    const plan_values *o;
    loaded l;
    load_options options;
    double disk_bytes_s, mem_bytes_s; /* 0: unknown */
    int32_t depth;                    /* reads at a time; 0: not measured */
    double active_bytes;              /* of weights that a token is multiplied with */
} planner;

/* Hits of the engine's policy with so much of all experts in memory. What the model's own texts used says it best. Else
 * known is the recorded routing of models that use 6 of 128 experts; where 1 of 8 is used, misses are the mean (of
 * their logarithms) of those and of an even choice, and where 1 of 3 is, all is even. See "what plan expects" in
 * docs/LAB.md. */
static double hit_rate(const leat_plan *p) {
    static const double known[][2] = {{0, 0},      {0.03, 0.30},  {0.0625, 0.47}, {0.125, 0.66},
                                      {0.25, 0.84}, {0.5, 0.965}, {0.75, 0.99},   {1, 1}};
    double share = (double)p->n_slots / (double)MAX(p->n_experts, 1);
    double one_of = p->routed_bytes ? (double)p->pool_bytes / (double)p->routed_bytes : 1;
    double skew = (math_log(one_of) - math_log(3)) / (math_log(128.0 / 6) - math_log(3));
    if (p->known_hits >= 0) return p->known_hits;
    skew = MIN(MAX(skew, 0.0), 1.0);
    for (size_t i = 1; i < COUNT_OF(known) && share < 1; i++)
        if (share <= known[i][0]) {
            double from = known[i - 1][0], part = (share - from) / (known[i][0] - from);
            double hits = known[i - 1][1] + part * (known[i][1] - known[i - 1][1]);
            return 1 - math_pow(1 - hits, skew) * math_pow(1 - share, 1 - skew);
        }
    return 1;
}

/* From disk, for a generated token. */
static double disk_bytes(const leat_plan *p) {
    if (p->fits) return 0;
    return (double)p->scan_bytes + (double)p->routed_bytes * (1 - hit_rate(p));
}

/* Tokens a second, expected: computing and reading side by side, so the slower of them. 0: unknown. */
static double speed(const planner *x, const leat_plan *p) {
    double compute_s = x->mem_bytes_s > 0 ? x->active_bytes / x->mem_bytes_s : 0;
    double read_s = x->disk_bytes_s > 0 ? disk_bytes(p) / x->disk_bytes_s : 0;
    double s = MAX(compute_s, read_s);
    return s > 0 ? 1 / s : 0;
}

static void print_plan(planner *x, const leat_plan *p) {
    tools *t = x->t;
    char a[32], b[32];
    tools_out(t, "model      %.80s, %.40s, %s of weights", leat_model_name(x->l.model),
              leat_model_architecture(x->l.model), fmt_bytes(a, sizeof a, p->weight_bytes));
    if (p->n_experts)
        tools_out(t, ", of them %s in %d experts, %s used by a token", fmt_bytes(a, sizeof a, p->pool_bytes),
                  p->n_experts, fmt_bytes(b, sizeof b, p->routed_bytes));
    tools_out(t, "\nmachine    ");
    if (x->disk_bytes_s > 0) tools_out(t, "disk %.2f GB/s, ", x->disk_bytes_s / 1e9);
    if (x->disk_bytes_s > 0 && x->depth) tools_out(t, "%d reads at a time, ", x->depth);
    tools_out(t, "memory %.1f GB/s\n", x->mem_bytes_s / 1e9);
    tools_out(t, "memory     %s\n", fmt_bytes(a, sizeof a, p->ram_bytes));
    tools_out(t, "  other    %s: context of %d tokens, activations, tables, leat itself\n",
              fmt_bytes(a, sizeof a, p->other_bytes), leat_session_n_ctx(x->l.session));
    if (p->fits) {
        tools_out(t, "  weights  all of them: mapped\n\n");
        return;
    }
    tools_out(t, "  pinned   %s: %d of %d dense parts\n", fmt_bytes(a, sizeof a, p->pinned_bytes), p->n_pinned,
              p->n_dense);
    if (p->ring_bytes)
        tools_out(t, "  ring     %s: the others in turn, %.1f MB read for every token\n",
                  fmt_bytes(a, sizeof a, p->ring_bytes), (double)p->scan_bytes / 1e6);
    if (p->n_experts)
        tools_out(t, "  cached   %s: %d of %d experts\n", fmt_bytes(a, sizeof a, p->slot_bytes), p->n_slots,
                  p->n_experts);
    tools_out(t, "\n");
}

static void print_row(planner *x, const leat_plan *p, bool chosen) {
    char ram[32];
    tools_out(x->t, "| %10s%s | %-9s | %5d / %-5d | ", fmt_bytes(ram, sizeof ram, p->ram_bytes), chosen ? " *" : "  ",
              p->fits ? "mapped" : "streaming", p->n_pinned, p->n_dense);
    if (p->n_experts) tools_out(x->t, "%7.1f %% | ", 100.0 * (double)p->n_slots / (double)p->n_experts);
    else tools_out(x->t, "%9s | ", "");
    tools_out(x->t, "%13.1f | ", disk_bytes(p) / 1e6);
    if (p->fits || x->disk_bytes_s > 0) tools_out(x->t, "%8.2f |\n", speed(x, p));
    else tools_out(x->t, "%8s |\n", "?");
}

/* A session as it would be opened in so much memory: chunks of a prompt are shorter where there is little. */
static int open_session(planner *x, uint64_t ram) {
    int32_t n_chunk = leat_plan_chunk(x->l.model, ram);
    if (x->l.session && n_chunk == x->options.n_chunk) return TOOLS_OK;
    leat_session_close(x->l.session);
    x->l.session = NULL;
    x->options.n_chunk = n_chunk;
    int status = load_session(x->t, &x->l, &x->options);
    x->options.quiet = true; /* it has said its warnings */
    return status;
}

/* The memory asked about, and others from what is hardly enough to what fits all, whatever was asked. */
static int print_table(planner *x, const leat_plan *chosen) {
    static const double steps[] = {0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.02};
    bool shown = false;
    leat_plan all, p = {0};
    leat_error e;
    int status = open_session(x, UINT64_MAX);
    if (status) return status;
    if (leat_plan_memory(x->l.session, UINT64_MAX, &all, &e)) return tools_fail(x->t, "%s", e.text);
    tools_out(x->t, "Expected%s:\n\n", !all.n_experts ? ""
                  : chosen->known_hits >= 0 ? ", where texts use experts as this model's earlier ones"
                  : ", where experts are used as in recorded routing of other models");
    tools_out(x->t, "| memory       | mode      | dense pinned | experts   | MB read/token |    tok/s |\n");
    tools_out(x->t, "| -----------: | --------- | -----------: | --------: | ------------: | -------: |\n");
    for (size_t i = 0; i < COUNT_OF(steps) && !p.fits; i++) {
        uint64_t ram = all.other_bytes + (uint64_t)((double)all.weight_bytes * steps[i]);
        if (!shown && ram >= chosen->ram_bytes) print_row(x, chosen, shown = true);
        if ((status = open_session(x, ram))) return status;
        if (plat_interrupted()) return TOOLS_INTERRUPTED;
        if (ram == chosen->ram_bytes || leat_plan_memory(x->l.session, ram, &p, NULL)) continue; /* too little */
        print_row(x, &p, false);
    }
    if (!shown) print_row(x, chosen, true);
    return TOOLS_OK;
}

static int measure(planner *x) {
    leat_error e;
    err failed;
    bounds_model weights;
    bounds_machine machine;
    x->disk_bytes_s = (double)x->o->disk_gbs * 1e9;
    x->mem_bytes_s = (double)x->o->mem_gbs * 1e9;
    if (bounds_count(&weights, x->o->model, QUANT_F16, QUANT_F16, 0, &failed))
        return tools_fail(x->t, "%s", failed.text);
    x->active_bytes = weights.read_bytes;
    if (x->disk_bytes_s <= 0 && leat_measure_disk(x->l.session, &x->disk_bytes_s, &x->depth, &e))
        return tools_fail(x->t, "%s", e.text);
    if (x->disk_bytes_s <= 0)
        tools_err(x->t, "leat plan: the disk's speed is unknown: no direct reads, or a file of holes (--disk-gbps)\n");
    if (x->mem_bytes_s > 0) return TOOLS_OK;
    if (bounds_measure(&machine, kern_best(), x->o->n_threads, true, 0, &failed))
        return tools_fail(x->t, "%s", failed.text);
    x->mem_bytes_s = machine.read_bytes_s;
    return TOOLS_OK;
}

static int run(tools *t, const void *values) {
    const plan_values *o = values;
    planner x = {.t = t, .o = o};
    leat_plan p;
    leat_error e;
    x.options = (load_options){.path = o->model, .memory = {.map = true}, .cache = o->cache, .n_ctx = o->n_ctx,
                               .n_threads = o->n_threads, .no_pin = true, .keep_learnt = true};
    int status = load_model(t, &x.l, &x.options);
    if (!status) status = open_session(&x, o->ram);
    if (!status && leat_plan_memory(x.l.session, o->ram, &p, &e)) status = tools_fail(t, "%s", e.text);
    if (!status) load_say_warning(t, &x.l);
    if (!status) status = measure(&x);
    if (!status && plat_interrupted()) status = TOOLS_INTERRUPTED;
    if (!status) {
        print_plan(&x, &p);
        status = print_table(&x, &p);
    }
    load_close(&x.l);
    return status;
}

#define T plan_values
static const tools_option options[] = {
    TOOLS_MODEL(T, model),
    TOOLS_SIZE(T, ram, 0, "ram", "SIZE", "all memory to use (default: what is free)"),
    LOAD_CTX(T, n_ctx),
    LOAD_CACHE(T, cache),
    TOOLS_FLOAT(T, disk_gbs, 0, "disk-gbps", "X", 1e-4f, 100000, "the disk reads X GB/s (default: measured)"),
    TOOLS_FLOAT(T, mem_gbs, 0, "mem-gbps", "X", 1e-4f, 100000, "memory reads X GB/s (default: measured)"),
    TOOLS_INT(T, n_threads, 't', "cores", "N", 1, 256, "cores that compute (default: those available)"),
};
#undef T

const tools_command tools_plan = {
    .name = "plan",
    .summary = "Tell what a model would do in a given memory, and what more would bring",
    .usage = "-m FILE [--ram SIZE] [-c N] [--disk-gbps X] [--mem-gbps X] [--cores N]",
    .notes = "The speeds are what is to be expected where reading goes on beside computing: what a token reads from "
             "memory, or what of it is missing, from disk, whichever takes longer. How many experts are missing is "
             "estimated from what the model's earlier texts used, or else from other models' recorded routing.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(plan_values),
    .run = run,
};
