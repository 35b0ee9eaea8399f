/* load.c: opening models and sessions for commands, with the words that a user should read. Next: run.c. */
#include "tools/load.h"

#include "kern/kern.h"

leat_code load_open(loaded *out, const load_options *o, leat_error *e) {
    leat_model_options draft = {.no_map = true, .ram_bytes = o->memory.ram};
    leat_code code = o->draft ? leat_model_open(&out->draft_model, o->draft, &draft, e) : LEAT_OK;
    leat_model_options options = {.no_map = o->memory.no_map, .map = o->memory.map, .ram_bytes = o->memory.ram,
                                  .keep_learnt = o->keep_learnt && !o->memory.no_learnt, .draft = out->draft_model};
    return code ? code : leat_model_open(&out->model, o->path, &options, e);
}

int load_check_memory(tools *t, const load_memory *m) {
    if (m->map && m->no_map) return tools_usage(t, "--mmap and --no-mmap contradict each other");
    if (m->map && m->ram)
        return tools_usage(t, "--mmap and --ram contradict each other: what is mapped takes what the system gives");
    return TOOLS_OK;
}

int load_model(tools *t, loaded *out, const load_options *o) {
    leat_error e;
    int status = load_check_memory(t, &o->memory);
    if (status) return status;
    return load_open(out, o, &e) ? tools_fail_text(t, e.text) : TOOLS_OK;
}

quant_id load_cache_type(const char *name) { return name ? quant_find_name(str_of(name))->id : QUANT_F16; }

/* The engine asks at least once a layer, so that Ctrl-C need not wait for a whole prompt. */
static bool interrupted(void *user) {
    (void)user;
    return plat_interrupted();
}

void load_say_warning(tools *t, const loaded *l) {
    const char *warning = leat_model_warning(l->model);
    if (*warning) tools_err(t, "leat %s: warning: %s\n", tools_name(t), warning);
}

int load_session(tools *t, loaded *out, const load_options *o) {
    leat_error e;
    leat_session_options options = {
        .n_ctx = o->n_ctx, .n_threads = o->n_threads, .n_chunk = o->n_chunk, .no_pin = o->no_pin, .isa = o->isa,
        .cache_type_k = o->cache.k, .cache_type_v = o->cache.v, .importance = o->importance, .routing = o->routing,
        .yield = o->yield ? o->yield : interrupted, .routed = o->routed, .user = o->user};
    if (out->draft_model && leat_session_open(&out->draft, out->draft_model, &options, &e))
        return tools_fail_text(t, e.text);
    options.n_kept = o->n_kept;
    options.kept_tokens = o->kept_tokens;
    if (leat_session_open(&out->session, out->model, &options, &e)) return tools_fail_text(t, e.text);
    if (!o->quiet) load_say_warning(t, out);
    int32_t trained = leat_model_n_ctx_train(out->model), n_ctx = leat_session_n_ctx(out->session);
    if (!o->quiet && trained > 0 && n_ctx > trained)
        tools_err(t, "leat %s: warning: a context of %d is above the %d that the model was trained for\n",
                  tools_name(t), n_ctx, trained);
    return TOOLS_OK;
}

void load_say_memory(tools *t, const loaded *l, bool verbose) {
    char line[256];
    leat_session_memory(l->session, line, sizeof line);
    tools_err(t, "leat %s: %s\n", tools_name(t), line);
    const kern *withheld = verbose ? kern_withheld() : NULL;
    if (withheld)
        tools_err(t, "leat %s: this CPU has %s, but the system does not allow it\n", tools_name(t),
                  kern_name(withheld));
}

/* Of mapped weights, after "stats: ...": what the system read of them. */
static void say_paged(tools *t, const leat_stats *before, const leat_stats *after, double tokens, const char *each) {
    tools_err(t, "; %.2f major faults%s", (double)(after->major_faults - before->major_faults) / tokens, each);
    if (after->disk_bytes)
        tools_err(t, "; read %.2f MB%s by the system", (double)(after->disk_bytes - before->disk_bytes) / 1e6 / tokens,
                  each);
}

void load_say_prompt(tools *t, const leat_stats *before, const leat_stats *after, uint64_t ns) {
    uint64_t bytes = after->read_bytes - before->read_bytes, busy = after->busy_ns - before->busy_ns;
    bool paged = !after->weights_bytes && after->major_faults > before->major_faults;
    if (!bytes && !paged) return;
    tools_err(t, "stats: prompt in %.3f s", (double)ns / 1e9);
    if (paged) say_paged(t, before, after, 1, "");
    else
        tools_err(t, "; read %.2f MB, %.2f GB/s while reading", (double)bytes / 1e6,
                  (double)bytes / (double)MAX(busy, 1));
    if (after->disk_bytes_s > 0) tools_err(t, " (the probe's: %.2f)", after->disk_bytes_s / 1e9);
    tools_err(t, "\n");
}

void load_meter_start(load_meter *m, const leat_session *s) {
    *m = (load_meter){.before = leat_session_stats(s)};
    m->row_stall_ns = m->before.stall_ns;
}

void load_meter_end_row(load_meter *m, uint64_t stall_ns) {
    double each = ((double)m->row_ns - (double)(stall_ns - m->row_stall_ns)) / (double)m->n_row;
    if (!m->quickest_ns || each < m->quickest_ns) m->quickest_ns = each;
    m->n_row = m->row_ns = 0;
    m->row_stall_ns = stall_ns;
}

void load_meter_add(load_meter *m, const leat_session *s, size_t n_tokens, uint64_t ns) {
    m->n_tokens += n_tokens;
    m->ns += ns;
    m->n_row += n_tokens;
    m->row_ns += ns;
    if (m->n_row >= LOAD_ROW && m->before.weights_bytes) load_meter_end_row(m, leat_session_stats(s).stall_ns);
}

double load_meter_compute_ns(const load_meter *m, const leat_stats *now) {
    if (m->quickest_ns > 0) return m->quickest_ns;
    return ((double)m->ns - (double)(now->stall_ns - m->before.stall_ns)) / (double)MAX(m->n_tokens, 1);
}

load_reads load_meter_read(const load_meter *m, const leat_stats *now, double compute_ns) {
    const leat_stats *before = &m->before;
    double tokens = (double)MAX(m->n_tokens, 1), ns = (double)MAX(m->ns, 1), disk = now->disk_bytes_s;
    double bytes = (double)(now->read_bytes - before->read_bytes), busy_ns = (double)(now->busy_ns - before->busy_ns);
    uint64_t hits = now->expert_hits - before->expert_hits, misses = now->expert_misses - before->expert_misses;
    load_reads r = {.tok_s = (double)m->n_tokens * 1e9 / ns,
                    .hit_rate = (double)hits / (double)MAX(hits + misses, 1),
                    .token_bytes = bytes / tokens,
                    .bytes_s = busy_ns > 0 ? bytes * 1e9 / busy_ns : 0,
                    .stalled = (double)(now->stall_ns - before->stall_ns) / ns,
                    .major_faults = (double)(now->major_faults - before->major_faults) / tokens};
    if (disk > 0) r.disk_share = r.bytes_s / disk;
    disk = MAX(disk, r.bytes_s);
    double least_ns = MAX(compute_ns, disk > 0 ? r.token_bytes * 1e9 / disk : 0);
    r.bound = least_ns > 0 ? 1e9 / least_ns : 0;
    return r;
}

void load_say_stats(tools *t, const loaded *l, const load_meter *m) {
    leat_stats now = leat_session_stats(l->session);
    const leat_stats *before = &m->before;
    char memory[32];
    double tokens = (double)MAX(m->n_tokens, 1);
    load_reads r = load_meter_read(m, &now, load_meter_compute_ns(m, &now));
    uint64_t ahead = now.experts_ahead - before->experts_ahead;
    tools_err(t, "stats: generation %.2f tok/s", r.tok_s);
    fmt_bytes(memory, sizeof memory, now.held_peak_bytes);
    if (!now.weights_bytes) {
        say_paged(t, before, &now, tokens, " a token");
        tools_err(t, "; memory beside the mapped weights %s at its peak\n", memory);
        return;
    }
    if (now.expert_hits + now.expert_misses > before->expert_hits + before->expert_misses)
        tools_err(t, "; experts in memory %.1f %%", 100.0 * r.hit_rate);
    if (ahead)
        tools_err(t, ", %.1f a token read ahead, of them used %.0f %%", (double)ahead / tokens,
                  100.0 * (double)(now.experts_ahead_used - before->experts_ahead_used) / (double)ahead);
    tools_err(t, "; read %.2f MB a token in %.0f reads", r.token_bytes / 1e6,
              (double)(now.reads - before->reads) / tokens);
    if (r.bytes_s > 0) tools_err(t, ", %.2f GB/s while reading", r.bytes_s / 1e9);
    if (now.disk_bytes_s > 0)
        tools_err(t, ", %.0f %% of the probe's %.2f", 100.0 * r.disk_share, now.disk_bytes_s / 1e9);
    tools_err(t, "; stalled %.0f %% of the time", 100.0 * r.stalled);
    if (r.bound > 0) tools_err(t, "; %.0f %% of the bound, %.2f tok/s", 100.0 * r.tok_s / r.bound, r.bound);
    tools_err(t, "; %.2f major faults a token; %.1f MB for weights, memory %s at its peak\n", r.major_faults,
              (double)now.weights_bytes / 1e6, memory);
}

void load_close(loaded *l) {
    leat_session_close(l->session);
    leat_model_close(l->model);
    leat_session_close(l->draft);
    leat_model_close(l->draft_model);
    *l = (loaded){0};
}
