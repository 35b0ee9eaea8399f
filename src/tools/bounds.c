/* bounds.c: the machine measured and the model counted. Next: bench.c, which divides one by the other. */
#include "tools/bounds.h"
#include "model/model.h"
#include "pool/pool.h"

#define READ_BYTES_MAX ((size_t)512 << 20) /* beyond the last cache of the machines we know */
#define READ_BYTES_MIN ((size_t)32 << 20)
#define PROGRAM_BYTES ((size_t)6 << 20) /* what the counted memory does not show: the program, its stacks */
#define PASSES_MIN 3
#define DOT_PASS_NS 2000000u
#define LOOK_ALONE_NS 600000000u

/* ---- the machine -------------------------------------------------------------------------------------- */

struct bounds_probe {
    const kern *k;
    pool *workers;
    char *buffer; /* (bytes); NULL: no room for one */
    size_t bytes;
    bool floats;
    uint64_t rounds[2];                 /* of a pass, int8 and float: as many as take DOT_PASS_NS */
    uint64_t results[POOL_WORKERS_MAX]; /* keeps the work from being optimised away; dot: multiply-adds done */
};

/* Pages that were never written are one shared page of zeros, which would be read from cache. */
static void touch(void *arg, size_t step, int part, int n_parts) {
    bounds_probe *p = arg;
    (void)step;
    size_t from, to;
    pool_share(p->bytes, 4096, part, n_parts, &from, &to);
    for (size_t i = from; i < to; i += 4096) p->buffer[i] = (char)(i >> 12 | 1);
}

static void read_share(void *arg, size_t step, int part, int n_parts) {
    bounds_probe *p = arg;
    (void)step;
    size_t from, to;
    pool_share(p->bytes, 4096, part, n_parts, &from, &to);
    p->results[part] = kern_read(p->k, p->buffer + from, to - from);
}

static void dot_rounds(void *arg, size_t step, int part, int n_parts) {
    bounds_probe *p = arg;
    (void)step, (void)n_parts;
    p->results[part] = kern_dot_peak(p->k, p->floats, p->rounds[p->floats]);
}

/* Returns the best pass; the mean is bytes a second, too. */
static double measure_read(bounds_probe *p, int passes_min, uint64_t ns_min, double *mean) {
    double best = *mean = 0;
    uint64_t begin = plat_time_ns(), at = begin;
    for (int pass = 0; p->buffer && (pass < passes_min || at - begin < ns_min); pass++) {
        uint64_t start = at;
        pool_run(p->workers, read_share, p, 1);
        at = MAX(plat_time_ns(), start + 1);
        best = MAX(best, (double)p->bytes * 1e9 / (double)(at - start));
        *mean = (double)p->bytes * 1e9 * (pass + 1) / (double)(at - begin);
    }
    return best;
}

/* The same of multiply-adds a second. */
static double measure_dot(bounds_probe *p, bool floats, uint64_t ns_min, double *mean) {
    double best = 0, all = 0;
    uint64_t begin = plat_time_ns(), taken = 0;
    p->floats = floats;
    for (int pass = 0; pass < PASSES_MIN || plat_time_ns() - begin < ns_min; pass++) {
        uint64_t start = plat_time_ns(), macs = 0;
        pool_run(p->workers, dot_rounds, p, 1);
        uint64_t ns = MAX(plat_time_ns() - start, 1);
        if (ns < DOT_PASS_NS && p->rounds[floats] < UINT64_MAX / 4) { /* too short to time */
            p->rounds[floats] *= 2;
            pass = -1;
            continue;
        }
        for (int w = 0; w < pool_workers(p->workers); w++) macs += p->results[w];
        best = MAX(best, (double)macs * 1e9 / (double)ns);
        all += (double)macs;
        taken += ns;
    }
    *mean = all * 1e9 / (double)taken;
    return best;
}

static size_t without(uint64_t bytes, uint64_t held) { return (size_t)(bytes - MIN(bytes, held)); }

/* Of bytes_max (0: all) and what is free; 0 where that is no more than caches hold. */
static size_t probe_bytes(uint64_t bytes_max) {
    uint64_t available = plat_mem_available(), wanted = MIN(available / 8, (uint64_t)READ_BYTES_MAX);
    size_t room = without(available, PROGRAM_BYTES);
    if (bytes_max) {
        wanted = MIN(wanted, bytes_max / 2);
        room = MIN(room, without(bytes_max, mem_bytes_total() + PROGRAM_BYTES));
    }
    size_t bytes = MAX((size_t)wanted, READ_BYTES_MIN) / 4096 * 4096;
    return bytes <= room ? bytes : 0;
}

err_code bounds_probe_open(bounds_probe **out, const kern *k, int n_threads, bool no_pin, uint64_t bytes_max, err *e) {
    pool_opts options = {.n_workers = n_threads, .pin = !no_pin};
    bounds_probe *p = *out = mem_block(MEM_TOOLS, sizeof *p);
    if (!p) return ERR(e, ERR_MEMORY, "no memory for a probe of %zu bytes", sizeof *p);
    p->k = k;
    p->bytes = probe_bytes(bytes_max);
    p->rounds[0] = p->rounds[1] = 1000;
    err_code code = pool_open(&p->workers, &options, e);
    if (!code && p->bytes && !(p->buffer = mem_block(MEM_TOOLS, p->bytes)))
        code = ERR(e, ERR_MEMORY, "no memory for the %zu bytes that measure the read bandwidth", p->bytes);
    if (code) {
        bounds_probe_close(p);
        *out = NULL;
        return code;
    }
    if (p->buffer) plat_huge_pages(p->buffer, p->bytes);
    pool_run(p->workers, touch, p, 1);
    return ERR_NONE;
}

void bounds_probe_close(bounds_probe *p) {
    if (!p) return;
    mem_block_free(p->buffer);
    pool_close(p->workers);
    mem_block_free(p);
}

void bounds_mean(bounds_probe *p, bool prompt, uint64_t ns, bounds_machine *out) {
    *out = (bounds_machine){.n_threads = pool_workers(p->workers)};
    measure_read(p, 1, prompt ? ns / 8 : ns, &out->read_bytes_s);
    if (!prompt) return;
    measure_dot(p, false, ns / 8 * 5, &out->dot_mac_s);
    measure_dot(p, true, ns / 4, &out->float_mac_s);
}

void bounds_look(bounds_probe *p, uint64_t ns, bounds_machine *out) {
    double mean;
    out->n_threads = pool_workers(p->workers);
    out->read_bytes_s = measure_read(p, PASSES_MIN, ns / 2, &mean);
    out->dot_mac_s = measure_dot(p, false, ns / 4, &mean);
    out->float_mac_s = measure_dot(p, true, ns / 4, &mean);
}

err_code bounds_measure(bounds_machine *out, const kern *k, int n_threads, bool no_pin, uint64_t bytes_max, err *e) {
    bounds_probe *p;
    err_code code = bounds_probe_open(&p, k, n_threads, no_pin, bytes_max, e);
    if (code) return code;
    bounds_look(p, LOOK_ALONE_NS, out);
    bounds_probe_close(p);
    return ERR_NONE;
}

/* ---- the model ---------------------------------------------------------------------------------------- */

static uint64_t get(const gguf *g, str arch, const char *key, uint64_t otherwise) {
    char name[128];
    uint64_t v;
    fmt(name, sizeof name, "%.*s.%s", (int)MIN(arch.len, (size_t)64), arch.ptr, key);
    return gguf_get_u64(g, name, &v) ? v : otherwise;
}

/* Sum over the layers; the key may be one number for all. */
static double sum_over_layers(const gguf *g, str arch, const char *key, uint64_t n_layer, uint64_t otherwise) {
    char name[128];
    fmt(name, sizeof name, "%.*s.%s", (int)MIN(arch.len, (size_t)64), arch.ptr, key);
    const gguf_kv *kv = gguf_find(g, name);
    double sum = 0;
    uint64_t v;
    if (!kv || kv->kind != GGUF_ARR) return (double)n_layer * (double)get(g, arch, key, otherwise);
    for (uint64_t i = 0; i < kv->count; i++)
        if (gguf_item_u64(kv, i, &v)) sum += (double)v;
    return sum;
}

/* blk.LAYER.ffn_NAME_exps.weight */
static void count_expert(bounds_model *m, const gguf_tensor *t) {
    uint64_t layer;
    size_t at = sizeof "blk." - 1, end = at;
    while (end < t->name.len && t->name.ptr[end] != '.') end++;
    if (m->n_expert && parse_u64(str_cut(t->name, at, end - at), &layer) && layer < BOUNDS_LAYERS_MAX)
        m->expert_bytes[layer] += t->bytes / m->n_expert;
}

static void count_tensor(bounds_model *m, const gguf *g, const gguf_tensor *t) {
    bool expert = str_find(t->name, STR("_exps.")) != SIZE_MAX;
    bool tied = !gguf_find_tensor(g, "output.weight");
    bool embedding = str_is(t->name, "token_embd.weight");
    bool head = str_is(t->name, "output.weight") || (embedding && tied);
    double share = expert ? m->expert_share : 1;
    if (!embedding || tied) m->read_bytes += (double)t->bytes * share;
    if (expert) m->expert_read_bytes += (double)t->bytes * share;
    if (str_find(t->name, STR("_exps.weight")) != SIZE_MAX) count_expert(m, t);
    if (embedding || head || t->dims[1] < 2) return;
    double macs = (double)t->dims[0] * (double)t->dims[1] * (double)t->dims[2] * (double)t->dims[3] * share;
    if (t->type->unpack) m->dot_macs += macs;
    else m->float_macs += macs;
}

static double bytes_each(quant_id type) { return (double)quant_find(type)->block_bytes / quant_find(type)->block_len; }

err_code bounds_count(bounds_model *out, const char *path, quant_id type_k, quant_id type_v, uint64_t n_used, err *e) {
    gguf *g;
    str arch;
    err_code code = gguf_open(&g, path, e);
    if (code) return code;
    memset(out, 0, sizeof *out);
    out->expert_share = 1;
    if (!gguf_get_str(g, "general.architecture", &arch)) arch = STR("");
    uint64_t n_layer = out->n_layer = get(g, arch, "block_count", 0);
    uint64_t n_head = MAX(get(g, arch, "attention.head_count", 1), 1);
    uint64_t n_expert = out->n_expert = get(g, arch, "expert_count", 0);
    if (!n_used) n_used = get(g, arch, "expert_used_count", 0);
    out->n_used = n_used;
    if (n_expert && n_used && n_used < n_expert) out->expert_share = (double)n_used / (double)n_expert;
    for (size_t i = 0; i < gguf_tensor_count(g); i++) count_tensor(out, g, gguf_tensor_at(g, i));
    uint64_t dim = get(g, arch, "embedding_length", 0) / n_head;
    double dim_k = (double)get(g, arch, "attention.key_length", dim);
    double dim_v = (double)get(g, arch, "attention.value_length", dim);
    out->kv_bytes = sum_over_layers(g, arch, "attention.head_count_kv", n_layer, n_head) *
                    (dim_k * bytes_each(type_k) + dim_v * bytes_each(type_v));
    out->kv_macs = sum_over_layers(g, arch, "attention.head_count", n_layer, n_head) * (dim_k + dim_v);
    if (model_family_windows(arch)) out->window = (double)get(g, arch, "attention.sliding_window", 0);
    gguf_close(g);
    return ERR_NONE;
}

/* ---- both ---------------------------------------------------------------------------------------------- */

/* Positions that a token attends to on average, itself included. */
static double attended(const bounds_model *m, int n, int depth) {
    double below = m->window > 0 ? MIN(MAX(m->window - (double)depth, 0), (double)n) : (double)n; /* see all before */
    return (below * ((double)depth + (below + 1) / 2) + ((double)n - below) * m->window) / (double)n;
}

double bounds_decode(const bounds_model *m, const bounds_machine *on, int n, int depth) {
    double bytes = m->read_bytes + m->kv_bytes * attended(m, n, depth);
    return bytes > 0 ? on->read_bytes_s / bytes : 0;
}

double bounds_prompt(const bounds_model *m, const bounds_machine *on, int n, int depth) {
    if (on->read_bytes_s <= 0) return 0;
    /* The weights are read once at least; of the experts no more than n tokens can choose. */
    double experts = MIN((double)n, 1 / m->expert_share);
    double read_s = (m->read_bytes + m->expert_read_bytes * (experts - 1)) / on->read_bytes_s;
    double floats = m->float_macs + m->kv_macs * attended(m, n, depth);
    double dot_s = (double)n * (m->dot_macs / on->dot_mac_s + floats / on->float_mac_s);
    double seconds = MAX(read_s, dot_s);
    return seconds > 0 ? (double)n / seconds : 0;
}
