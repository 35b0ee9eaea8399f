/* cache_sim.c: `leat cache-sim`, recorded routing replayed against caches of several sizes: the engine's own policy
 * (cache/cache.h), LRU, LFU, and Belady's choice, which knows the future and cannot be beaten.
 *
 * Counted are the choices of generated tokens, first reads included. The cache is empty when the first is generated,
 * or as the prompt left it with --prompt. LRU, LFU and Belady's fill the arena to the byte; ours pays for its size
 * classes.
 */
#include "cache/cache.h"
#include "tools/trace.h"

#define NEVER UINT32_MAX

typedef struct sim_values {
    const char *path, *policy;
    tools_strs ram;
    bool prompt;
} sim_values;

typedef enum { P_LRU, P_LFU, P_OURS, P_BELADY, P_COUNT } policy;
static const char *const policy_names[P_COUNT] = {"lru", "lfu", "ours", "belady"};

typedef struct outcome {
    uint64_t hits, misses, bytes;
} outcome;

typedef struct sim {
    const trace *t;
    arena memory;
    bool prompt, titled; /* titled: the head of the table is printed */
    uint32_t *used;     /* (n_expert): units of the visit in work, each once */
    uint32_t *counts;   /* (n_expert): by how many tokens */
    size_t n_used;
    uint32_t *next_use; /* (n_choices): the visit in which the chosen expert comes next, or NEVER */
    bool *in_cache;     /* (units) */
    uint64_t *rank;     /* (units): the smallest goes first */
} sim;

static size_t n_units(const trace *t) { return t->n_layer * t->n_expert; }
static uint64_t unit_bytes(const trace *t, size_t unit) { return t->expert_bytes[unit / t->n_expert]; }

/* The visit's units in order of first choice. */
static void gather(sim *s, const trace_visit *v) {
    const trace *t = s->t;
    uint32_t first = (uint32_t)(v->layer * t->n_expert);
    s->n_used = 0;
    for (size_t i = 0; i < v->n; i++) {
        uint32_t unit = first + t->choices[v->first + i];
        size_t at = 0;
        while (at < s->n_used && s->used[at] != unit) at++;
        if (at == s->n_used) {
            s->used[s->n_used++] = unit;
            s->counts[at] = 0;
        }
        s->counts[at]++;
    }
}

static void count(outcome *o, const trace_visit *v, bool hit, uint64_t bytes) {
    if (v->prompt) return;
    o->hits += hit;
    o->misses += !hit;
    o->bytes += hit ? 0 : bytes;
}

/* ---- ours -------------------------------------------------------------------------------------------- */

static err_code run_ours(sim *s, uint64_t ram, outcome *o, err *e) {
    const trace *t = s->t;
    size_t n = n_units(t), mark = arena_mark(&s->memory);
    cache *c = NULL;
    uint32_t *layer_of = arena_array(&s->memory, n, sizeof *layer_of), evicted;
    size_t *bytes_of = arena_array(&s->memory, n, sizeof *bytes_of);
    err_code code = layer_of && bytes_of ? ERR_NONE : ERR(e, ERR_MEMORY, "no memory for %zu units", n);
    for (size_t i = 0; i < n && !code; i++) {
        layer_of[i] = (uint32_t)(i / t->n_expert);
        bytes_of[i] = (size_t)unit_bytes(t, i);
    }
    cache_opts options = {.n_units = n, .n_layers = t->n_layer, .layer_of = layer_of, .bytes_of = bytes_of,
                          .align = 4096, .bytes_max = (size_t)MIN(ram, (uint64_t)SIZE_MAX), .slots_min = 1};
    if (!code) code = cache_open(&c, &options, e);
    for (size_t i = 0; i < t->n_visits && !code && !plat_interrupted(); i++) {
        const trace_visit *v = &t->visits[i];
        if (v->prompt && !s->prompt) continue;
        gather(s, v);
        cache_visit(c, v->layer, s->used, s->counts, s->n_used, v->n_tokens);
        for (size_t u = 0; u < s->n_used; u++) {
            bool hit = cache_find(c, s->used[u]) != CACHE_NONE;
            count(o, v, hit, unit_bytes(t, s->used[u]));
            if (!hit) cache_place(c, s->used[u], false, &evicted);
        }
    }
    cache_close(c);
    arena_reset(&s->memory, mark);
    return code;
}

/* ---- the others ---------------------------------------------------------------------------------------- */

static void find_next_uses(sim *s) {
    const trace *t = s->t;
    uint64_t *next = s->rank; /* borrowed: by unit */
    for (size_t u = 0; u < n_units(t); u++) next[u] = NEVER;
    for (size_t i = t->n_visits; i-- > 0;) {
        const trace_visit *v = &t->visits[i];
        if (v->prompt && !s->prompt) continue; /* it does not occur */
        size_t first = v->layer * t->n_expert;
        for (size_t k = v->first; k < v->first + v->n; k++) s->next_use[k] = (uint32_t)next[first + t->choices[k]];
        for (size_t k = v->first; k < v->first + v->n; k++) next[first + t->choices[k]] = i;
    }
}

/* The unit of the smallest rank leaves. */
static void evict(sim *s, uint64_t *held) {
    size_t worst = SIZE_MAX;
    for (size_t u = 0; u < n_units(s->t); u++)
        if (s->in_cache[u] && (worst == SIZE_MAX || s->rank[u] < s->rank[worst])) worst = u;
    ASSERT(worst != SIZE_MAX);
    s->in_cache[worst] = false;
    *held -= unit_bytes(s->t, worst);
}

static void run_ranked(sim *s, policy p, uint64_t ram, outcome *o) {
    const trace *t = s->t;
    uint64_t held = 0, now = 0;
    memset(s->in_cache, 0, n_units(t) * sizeof *s->in_cache);
    memset(s->rank, 0, n_units(t) * sizeof *s->rank);
    for (size_t i = 0; i < t->n_visits && !plat_interrupted(); i++) {
        const trace_visit *v = &t->visits[i];
        if (v->prompt && !s->prompt) continue;
        gather(s, v);
        for (size_t k = 0; k < s->n_used; k++) {
            size_t u = s->used[k];
            uint64_t bytes = unit_bytes(t, u);
            bool hit = s->in_cache[u];
            count(o, v, hit, bytes);
            while (!hit && held && held + bytes > ram) evict(s, &held);
            if (!hit && held + bytes <= ram) {
                s->in_cache[u] = true;
                held += bytes;
            }
            now++;
            if (p == P_LRU) s->rank[u] = now;
            else if (p == P_LFU) s->rank[u] = (((s->rank[u] >> 40) + s->counts[k]) << 40) + now; /* ties: LRU */
            else
                for (size_t at = v->first; at < v->first + v->n; at++)
                    if (v->layer * t->n_expert + t->choices[at] == u) s->rank[u] = NEVER - s->next_use[at];
        }
    }
}

/* ---- the command --------------------------------------------------------------------------------------- */

static err_code open_sim(sim *s, const trace *t, bool prompt, err *e) {
    *s = (sim){.t = t, .prompt = prompt};
    size_t n = n_units(t);
    err_code code = arena_open(&s->memory, MEM_TOOLS, n * 32 + t->n_choices * 4 + t->n_expert * 8 + 4096, e);
    if (code) return code;
    s->used = arena_array(&s->memory, t->n_expert, sizeof *s->used);
    s->counts = arena_array(&s->memory, t->n_expert, sizeof *s->counts);
    s->next_use = arena_array(&s->memory, t->n_choices, sizeof *s->next_use);
    s->in_cache = arena_array(&s->memory, n, sizeof *s->in_cache);
    s->rank = arena_array(&s->memory, n, sizeof *s->rank);
    if (s->used && s->counts && s->next_use && s->in_cache && s->rank) {
        find_next_uses(s);
        return ERR_NONE;
    }
    arena_close(&s->memory);
    return ERR(e, ERR_MEMORY, "no memory to follow %zu units", n);
}

static bool shows(const sim_values *o, int p) {
    return cstr_eq(o->policy, "all") || cstr_eq(o->policy, policy_names[p]);
}

static void print_head(tools *t, const sim_values *o, const trace *r, uint64_t pool) {
    char a[32], b[32];
    uint64_t cycle = 0;
    for (size_t l = 0; l < r->n_layer; l++) cycle += r->expert_bytes[l] * r->n_used;
    tools_out(t, "%zu layers of %zu experts, %zu used: %s in all, %s a token; %zu tokens generated\n\n", r->n_layer,
              r->n_expert, r->n_used, fmt_bytes(a, sizeof a, pool), fmt_bytes(b, sizeof b, cycle), r->n_generated);
    tools_out(t, "| memory     | %% of all |");
    for (int p = 0; p < P_COUNT; p++)
        if (shows(o, p))
            tools_out(t, " %s hit %% | MB/token |", policy_names[p]);
    if (cstr_eq(o->policy, "all")) tools_out(t, " ours/belady |");
    tools_out(t, "\n| ---: | ---: |");
    for (int p = 0; p < P_COUNT; p++)
        if (shows(o, p)) tools_out(t, " ---: | ---: |");
    tools_out(t, cstr_eq(o->policy, "all") ? " ---: |\n" : "\n");
}

static int run_row(tools *t, sim *s, const sim_values *o, uint64_t ram, uint64_t pool) {
    err e;
    char size[32];
    outcome all[P_COUNT] = {{0}};
    for (int p = 0; p < P_COUNT; p++) {
        if (!shows(o, p)) continue;
        err_code code = ERR_NONE;
        if (p == P_OURS) code = run_ours(s, ram, &all[p], &e);
        else run_ranked(s, (policy)p, ram, &all[p]);
        if (code == ERR_MEMORY && !o->ram.n) return TOOLS_OK; /* a share of little that nobody asked for */
        if (code) return tools_fail_text(t, e.text);
    }
    if (plat_interrupted()) return TOOLS_INTERRUPTED;
    if (!s->titled) print_head(t, o, s->t, pool);
    s->titled = true;
    tools_out(t, "| %10s | %5.1f |", fmt_bytes(size, sizeof size, ram), 100.0 * MIN((double)ram / (double)pool, 1.0));
    for (int p = 0; p < P_COUNT; p++) {
        if (!shows(o, p)) continue;
        double tokens = (double)s->t->n_generated, choices = (double)(all[p].hits + all[p].misses);
        tools_out(t, " %6.1f | %8.1f |", 100.0 * (double)all[p].hits / choices, (double)all[p].bytes / tokens / 1e6);
    }
    if (cstr_eq(o->policy, "all"))
        tools_out(t, " %11.2f |", all[P_BELADY].bytes ? (double)all[P_OURS].bytes / (double)all[P_BELADY].bytes : 1.0);
    tools_out(t, "\n");
    tools_out_flush(t);
    return TOOLS_OK;
}

static int run(tools *t, const void *values) {
    static const double shares[] = {0.03, 0.0625, 0.125, 0.25, 0.5, 0.75};
    const sim_values *o = values;
    trace r;
    sim s = {0};
    err e;
    int status = TOOLS_OK;
    if (trace_open(&r, o->path, &e)) return tools_fail_text(t, e.text);
    if (open_sim(&s, &r, o->prompt, &e)) {
        status = tools_fail_text(t, e.text);
        goto done;
    }
    uint64_t pool = 0, ram[TOOLS_STRS_MAX];
    for (size_t l = 0; l < r.n_layer; l++) pool += r.expert_bytes[l] * r.n_expert;
    size_t n = o->ram.n ? o->ram.n : COUNT_OF(shares);
    for (size_t i = 0; i < n && !status; i++) {
        if (!o->ram.n) ram[i] = (uint64_t)((double)pool * shares[i]);
        else if (!parse_bytes(str_of(o->ram.at[i]), &ram[i]) || !ram[i])
            status = tools_usage(t, "--ram: '%.100s' is not a size such as 512M or 1.5G", o->ram.at[i]);
    }
    for (size_t i = 0; i < n && !status; i++) status = run_row(t, &s, o, ram[i], pool);
done:
    arena_close(&s.memory);
    trace_close(&r);
    return status;
}

static void defaults(void *values) {
    sim_values *o = values;
    o->policy = "all";
}

#define T sim_values
static const tools_option options[] = {
    TOOLS_ROW(TOOLS_KIND_STR, T, path, const char *, 0, "trace", "FILE",
              "the recorded routing; may be given without --trace", .required = true, .bare = true),
    TOOLS_STRS(T, ram, 0, "ram", "SIZE", "memory for experts; may be repeated (default: shares of all of them)"),
    TOOLS_CHOICE(T, policy, 0, "policy", "all|lru|lfu|ours|belady", "what to simulate ({})"),
    TOOLS_FLAG(T, prompt, 0, "prompt", "let the prompt fill the cache first"),
};
#undef T

const tools_command tools_cache_sim = {
    .name = "cache-sim",
    .summary = "Replay recorded routing against caches of experts",
    .usage = "TRACE [--ram SIZE]... [--policy NAME] [--prompt]",
    .notes = "Of every choice of a generated token: was the expert in memory, and how many bytes were read for those "
             "that were not. First reads count. ours is what the engine does; belady knows the future.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(sim_values),
    .defaults = defaults,
    .run = run,
};
