/* bounds.c: the machine measured and the model counted. Next: bench.c, which divides one by the other. */
#include "tools/bounds.h"
#include "pool/pool.h"

#define READ_BYTES_MAX ((size_t)512 << 20) /* beyond the last cache of the machines we know */
#define READ_BYTES_MIN ((size_t)32 << 20)
#define READ_PASSES 5
#define READ_NS 400000000u /* at least: neighbours on a shared machine come and go */
#define DOT_PASSES 5
#define DOT_PASS_NS 20000000u

/* ---- the machine -------------------------------------------------------------------------------------- */

typedef struct probe {
    const kern *k;
    char *buffer;
    size_t bytes;
    bool floats;
    uint64_t rounds;
    uint64_t results[POOL_WORKERS_MAX]; /* keeps the work from being optimised away; dot: multiply-adds done */
} probe;

/* Pages that were never written are one shared page of zeros, which would be read from cache. */
static void touch(void *arg, int worker, int n_workers) {
    probe *p = arg;
    size_t from, to;
    pool_share(p->bytes, 4096, worker, n_workers, &from, &to);
    for (size_t i = from; i < to; i++) p->buffer[i] = (char)(i >> 12 | 1);
}

static void read_share(void *arg, int worker, int n_workers) {
    probe *p = arg;
    size_t from, to;
    pool_share(p->bytes, 4096, worker, n_workers, &from, &to);
    p->results[worker] = kern_read(p->k, p->buffer + from, to - from);
}

static void dot_rounds(void *arg, int worker, int n_workers) {
    probe *p = arg;
    (void)n_workers;
    p->results[worker] = kern_dot_peak(p->k, p->floats, p->rounds);
}

static double measure_read(pool *workers, probe *p) {
    double best = 0;
    pool_run(workers, touch, p);
    uint64_t begin = plat_time_ns();
    for (int pass = 0; pass < READ_PASSES || plat_time_ns() - begin < READ_NS; pass++) {
        uint64_t start = plat_time_ns();
        pool_run(workers, read_share, p);
        uint64_t ns = MAX(plat_time_ns() - start, 1);
        best = MAX(best, (double)p->bytes * 1e9 / (double)ns);
    }
    return best;
}

static double measure_dot(pool *workers, probe *p, bool floats) {
    double best = 0;
    p->floats = floats;
    p->rounds = 1000;
    for (int pass = 0; pass < DOT_PASSES;) {
        uint64_t start = plat_time_ns(), macs = 0;
        pool_run(workers, dot_rounds, p);
        uint64_t ns = MAX(plat_time_ns() - start, 1);
        if (ns < DOT_PASS_NS && p->rounds < UINT64_MAX / 4) { /* too short to time */
            p->rounds *= 2;
            continue;
        }
        for (int w = 0; w < pool_workers(workers); w++) macs += p->results[w];
        best = MAX(best, (double)macs * 1e9 / (double)ns);
        pass++;
    }
    return best;
}

err_code bounds_measure(bounds_machine *out, const kern *k, int n_threads, err *e) {
    static const size_t page = 4096;
    pool *workers = NULL;
    pool_opts options = {.n_workers = n_threads, .pin = true};
    size_t bytes = MIN((size_t)(plat_mem_available() / 4), READ_BYTES_MAX);
    probe p = {.k = k, .bytes = MAX(bytes, READ_BYTES_MIN) / page * page};
    err_code code = pool_open(&workers, &options, e);
    if (code) return code;
    p.buffer = mem_block(MEM_TOOLS, p.bytes);
    if (p.buffer) {
        plat_huge_pages(p.buffer, p.bytes);
        out->n_threads = pool_workers(workers);
        out->read_bytes_s = measure_read(workers, &p);
        out->dot_mac_s = measure_dot(workers, &p, false);
        out->float_mac_s = measure_dot(workers, &p, true);
    } else {
        code = ERR(e, ERR_MEMORY, "no memory for the %zu bytes that measure the read bandwidth", p.bytes);
    }
    mem_block_free(p.buffer);
    pool_close(workers);
    return code;
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

static void count_tensor(bounds_model *m, const gguf *g, const gguf_tensor *t) {
    bool expert = str_find(t->name, STR("_exps.")) != SIZE_MAX;
    bool tied = !gguf_find_tensor(g, "output.weight");
    bool embedding = str_is(t->name, "token_embd.weight");
    bool head = str_is(t->name, "output.weight") || (embedding && tied);
    double share = expert ? m->expert_share : 1;
    if (!embedding || tied) m->read_bytes += (double)t->bytes * share;
    if (expert) m->expert_read_bytes += (double)t->bytes * share;
    if (embedding || head || t->dims[1] < 2) return;
    double macs = (double)t->dims[0] * (double)t->dims[1] * (double)t->dims[2] * (double)t->dims[3] * share;
    if (t->type->unpack) m->dot_macs += macs;
    else m->float_macs += macs;
}

static double bytes_each(quant_id type) { return (double)quant_find(type)->block_bytes / quant_find(type)->block_len; }

err_code bounds_count(bounds_model *out, const char *path, quant_id type_k, quant_id type_v, err *e) {
    gguf *g;
    str arch;
    err_code code = gguf_open(&g, path, e);
    if (code) return code;
    *out = (bounds_model){.expert_share = 1};
    if (!gguf_get_str(g, "general.architecture", &arch)) arch = STR("");
    uint64_t n_expert = get(g, arch, "expert_count", 0), n_used = get(g, arch, "expert_used_count", 0);
    if (n_expert && n_used && n_used < n_expert) out->expert_share = (double)n_used / (double)n_expert;
    for (size_t i = 0; i < gguf_tensor_count(g); i++) count_tensor(out, g, gguf_tensor_at(g, i));
    uint64_t n_layer = get(g, arch, "block_count", 0), n_head = MAX(get(g, arch, "attention.head_count", 1), 1);
    uint64_t dim = get(g, arch, "embedding_length", 0) / n_head;
    double dim_k = (double)get(g, arch, "attention.key_length", dim);
    double dim_v = (double)get(g, arch, "attention.value_length", dim);
    out->kv_bytes = sum_over_layers(g, arch, "attention.head_count_kv", n_layer, n_head) *
                    (dim_k * bytes_each(type_k) + dim_v * bytes_each(type_v));
    out->kv_macs = sum_over_layers(g, arch, "attention.head_count", n_layer, n_head) * (dim_k + dim_v);
    out->window = (double)get(g, arch, "attention.sliding_window", 0);
    gguf_close(g);
    return ERR_NONE;
}

/* ---- both ---------------------------------------------------------------------------------------------- */

/* Positions that a token attends to on average, itself included. */
static double attended(const bounds_model *m, int n, int depth) {
    double mean = (double)depth + ((double)n + 1) / 2;
    return m->window > 0 ? MIN(mean, m->window) : mean;
}

double bounds_decode(const bounds_model *m, const bounds_machine *on, int n, int depth) {
    double bytes = m->read_bytes + m->kv_bytes * attended(m, n, depth);
    return bytes > 0 ? on->read_bytes_s / bytes : 0;
}

double bounds_prompt(const bounds_model *m, const bounds_machine *on, int n, int depth) {
    /* The weights are read once at least; of the experts no more than n tokens can choose. */
    double experts = MIN((double)n, 1 / m->expert_share);
    double read_s = (m->read_bytes + m->expert_read_bytes * (experts - 1)) / on->read_bytes_s;
    double floats = m->float_macs + m->kv_macs * attended(m, n, depth);
    double dot_s = (double)n * (m->dot_macs / on->dot_mac_s + floats / on->float_mac_s);
    double seconds = MAX(read_s, dot_s);
    return seconds > 0 ? (double)n / seconds : 0;
}
