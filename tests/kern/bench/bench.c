/* bench.c: how fast each kernel is, as a share of what this machine can do at best. `build/kern-bench --help`
 *
 * Every figure is the best of many runs of less than a millisecond, shorter than a time slice: the machine may be busy.
 * Runs of decode walk through more memory than caches hold. The bounds (read bandwidth, dot peak) are measured beside.
 */
#include "blocks.h"
#include "kern/kern.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { THREADS_MAX = 64, ACTS_MAX = 1024, SLICE = 8 << 20 };

static const char usage[] =
    "usage: kern-bench [bounds] [decode] [cache] [prompt] [error] [attn] [rows] [options]   (default: all but cache)\n"
    "  decode   weights from memory, GB/s and share of the read bandwidth\n"
    "  cache    weights that fit in L2, GB/s a thread\n"
    "  prompt   many activations, GMAC/s and share of the dot peak\n"
    "  error    normalised mean square error of both roles, normal and heavy-tailed activations\n"
    "  --isa=NAME  --types=Q4_K,Q8_0,...|all  -t THREADS  -a ACTIVATIONS  -n COLUMNS  -s SECONDS (a run, 0.1)\n";

static struct {
    const kern *k;
    const char *types;
    int n_threads;
    size_t n_act, n_in;
    double seconds;
} opt = {NULL, "F16,BF16,F32,Q4_0,Q8_0,Q4_K,Q5_K,Q6_K", 2, 0, 4096, 0.1};
static double read_gbs[2], peak_gmacs[2]; /* at 1 and n threads; int8 and float a thread */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- fork and join ------------------------------------------------------------------------------------- */

typedef struct job {
    void (*run)(struct job *, int worker, int n_workers);
    const uint8_t *weights;
    size_t bytes, row_bytes, n_rows;
    size_t at, n_slice; /* rows (or bytes) of this run: the next run takes the next ones */
    const quant_type *type;
    kern_role role;
    size_t n_act;
    const void **acts;
    float **outs;
    void *scratch[THREADS_MAX];
    kern_attn *attn;
    float *rows;
    pthread_barrier_t start, end;
    int n_workers;
} job;
typedef struct worker { job *j; int index; size_t rounds; } worker;

static void *work(void *arg) {
    worker *w = arg;
    for (size_t i = 0; i < w->rounds; i++) {
        pthread_barrier_wait(&w->j->start);
        w->j->run(w->j, w->index, w->j->n_workers);
        pthread_barrier_wait(&w->j->end);
    }
    return NULL;
}

/* The best time of one run on n threads. */
static double best(job *j, int n) {
    pthread_t threads[THREADS_MAX];
    worker w[THREADS_MAX];
    double least = 1e9, once;
    j->n_workers = n;
    once = now();
    j->run(j, 0, n);
    once = now() - once;
    size_t rounds = (size_t)(5 * opt.seconds / (once + 1e-9));
    rounds = MIN(MAX(rounds, 3), 20000);
    pthread_barrier_init(&j->start, NULL, (unsigned)n);
    pthread_barrier_init(&j->end, NULL, (unsigned)n);
    for (int i = 1; i < n; i++) {
        w[i] = (worker){j, i, rounds};
        pthread_create(&threads[i], NULL, work, &w[i]);
    }
    for (size_t i = 0; i < rounds; i++) {
        pthread_barrier_wait(&j->start);
        double t = now();
        j->run(j, 0, n);
        pthread_barrier_wait(&j->end);
        least = fmin(least, now() - t);
        size_t total = j->n_rows ? j->n_rows : j->bytes;
        if (j->n_slice && (j->at += j->n_slice) + j->n_slice > total) j->at = 0;
    }
    for (int i = 1; i < n; i++) pthread_join(threads[i], NULL);
    return least;
}

/* ---- bounds -------------------------------------------------------------------------------------------- */

static void run_read(job *j, int w, int n) {
    size_t part = j->n_slice / (size_t)n / 64 * 64;
    volatile uint64_t sum = kern_read(opt.k, j->weights + j->at + part * (size_t)w, part);
    (void)sum;
}

static void run_peak(job *j, int w, int n) {
    (void)w;
    (void)n;
    j->bytes = kern_dot_peak(opt.k, j->n_act != 0, 50000);
}

static void *big(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

static void bench_bounds(void) {
    size_t bytes = 256u << 20;
    uint8_t *p = big(bytes);
    memset(p, 1, bytes);
    job j = {.run = run_read, .weights = p, .bytes = bytes, .n_slice = SLICE};
    read_gbs[0] = SLICE / best(&j, 1) / 1e9;
    read_gbs[1] = opt.n_threads > 1 ? SLICE / best(&j, opt.n_threads) / 1e9 : read_gbs[0];
    munmap(p, bytes);
    for (size_t f = 0; f < 2; f++) {
        job peak = {.run = run_peak, .n_act = f};
        double t = best(&peak, 1);
        peak_gmacs[f] = (double)peak.bytes / t / 1e9;
    }
    printf("%s: read %.1f GB/s on 1 thread, %.1f on %d; peak a thread %.0f GMAC/s int8, %.0f float\n", kern_name(opt.k),
           read_gbs[0], read_gbs[1], opt.n_threads, peak_gmacs[0], peak_gmacs[1]);
}

/* ---- matmul -------------------------------------------------------------------------------------------- */

static void run_matmul(job *j, int w, int n) {
    size_t step = kern_row_step(opt.k), units = div_up(j->n_slice, step);
    size_t from = j->at + MIN(units * (size_t)w / (size_t)n * step, j->n_slice);
    size_t to = j->at + MIN(units * (size_t)(w + 1) / (size_t)n * step, j->n_slice);
    kern_matmul m = {.type = j->type->id, .role = j->role, .weights = j->weights + from * j->row_bytes,
                     .row_bytes = j->row_bytes, .n_rows = to - from, .n_in = opt.n_in, .acts = j->acts, .outs = j->outs,
                     .out_first = from, .n_act = j->n_act, .scale = 1, .scratch = j->scratch[w]};
    kern_run_matmul(opt.k, &m);
}

/* Each thread its own copy of the same few rows, over and over. */
static void run_cached(job *j, int w, int n) {
    (void)n;
    kern_matmul m = {.type = j->type->id, .role = j->role, .weights = j->weights + (size_t)w * j->bytes,
                     .row_bytes = j->row_bytes, .n_rows = j->n_rows, .n_in = opt.n_in, .acts = j->acts, .outs = j->outs,
                     .n_act = j->n_act, .scale = 1, .scratch = j->scratch[w]};
    for (size_t i = 0; i < 4; i++) kern_run_matmul(opt.k, &m);
}

static void fill(rng *r, float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = rng_normal(r);
}

static void job_open(job *j, const quant_type *t, kern_role role, size_t n_rows, size_t n_act, size_t copies) {
    rng r;
    rng_seed(&r, 1);
    *j = (job){.run = run_matmul, .type = t, .role = role, .n_rows = n_rows, .n_slice = n_rows, .n_act = n_act};
    if (!quant_bytes(t, opt.n_in, &j->row_bytes)) exit(1);
    j->bytes = n_rows * j->row_bytes;
    uint8_t *b = big(j->bytes * copies);
    size_t some = MIN(n_rows, 64) * j->row_bytes;
    blocks_random(&r, t, b, some);
    for (size_t at = some; at < j->bytes * copies; at += some) memcpy(b + at, b, MIN(some, j->bytes * copies - at));
    j->weights = b;
    kern_act format = kern_act_of(opt.k, t->id, role);
    float *x = malloc(opt.n_in * sizeof *x);
    size_t act_bytes = kern_act_bytes(opt.k, format, opt.n_in);
    char *acts = aligned_alloc(64, act_bytes * n_act);
    j->acts = malloc(n_act * sizeof *j->acts);
    j->outs = malloc(n_act * sizeof *j->outs);
    float *outs = malloc(n_act * n_rows * sizeof *outs);
    for (size_t a = 0; a < n_act; a++) {
        fill(&r, x, opt.n_in);
        kern_act_prepare(opt.k, format, x, opt.n_in, acts + a * act_bytes);
        j->acts[a] = acts + a * act_bytes;
        j->outs[a] = outs + a * n_rows;
    }
    free(x);
    for (int i = 0; i < opt.n_threads; i++) j->scratch[i] = aligned_alloc(64, kern_scratch_bytes(opt.k, opt.n_in));
}

static void job_close(job *j, size_t copies) {
    munmap((void *)(uintptr_t)j->weights, j->bytes * copies);
    free((void *)(uintptr_t)j->acts[0]);
    free(j->outs[0]);
    free(j->acts);
    free(j->outs);
    for (int i = 0; i < opt.n_threads; i++) free(j->scratch[i]);
}

static void bench_decode(const quant_type *t) {
    size_t n_act = opt.n_act ? opt.n_act : 1;
    job j;
    size_t row_bytes;
    if (!quant_bytes(t, opt.n_in, &row_bytes)) return;
    job_open(&j, t, KERN_DECODE, (256u << 20) / row_bytes, n_act, 1);
    j.n_slice = SLICE / row_bytes;
    double slice = (double)(j.n_slice * row_bytes);
    double one = slice / best(&j, 1) / 1e9, all = slice / best(&j, opt.n_threads) / 1e9;
    printf("decode %-8s %3zu act: %5.1f GB/s on 1 thread (%3.0f %%), %5.1f on %d (%3.0f %%)\n", t->name, n_act, one,
           100 * one / read_gbs[0], all, opt.n_threads, 100 * all / read_gbs[1]);
    job_close(&j, 1);
}

static void bench_cache(const quant_type *t) {
    size_t n_act = opt.n_act ? opt.n_act : 1, copies = (size_t)opt.n_threads, row_bytes;
    job j;
    if (!quant_bytes(t, opt.n_in, &row_bytes)) return;
    job_open(&j, t, KERN_DECODE, (256u << 10) / row_bytes, n_act, copies);
    j.run = run_cached;
    double all = best(&j, opt.n_threads) / 4;
    printf("cache  %-8s %3zu act: %5.1f GB/s a thread, %5.2f ns a block of 256\n", t->name, n_act, (double)j.bytes / all / 1e9,
           all * 1e9 / (double)(j.n_rows * opt.n_in / 256));
    job_close(&j, copies);
}

static void bench_prompt(const quant_type *t) {
    size_t n_act = opt.n_act ? opt.n_act : 512, n_rows = 2048;
    job j;
    job_open(&j, t, KERN_PROMPT, n_rows, n_act, 1);
    j.n_slice = 64;
    double one = (double)(64 * n_act) * (double)opt.n_in / best(&j, 1) / 1e9, peak = peak_gmacs[t->block_len == 1];
    j.at = 0;
    j.n_slice = 64 * (size_t)opt.n_threads;
    double all = (double)(j.n_slice * n_act) * (double)opt.n_in / best(&j, opt.n_threads) / 1e9;
    printf("prompt %-8s %3zu act: %6.1f GMAC/s on 1 thread (%3.0f %% of the peak), %6.1f on %d (%3.0f %%)\n", t->name, n_act,
           one, 100 * one / peak, all, opt.n_threads, 100 * all / peak / opt.n_threads);
    job_close(&j, 1);
}

/* ---- error --------------------------------------------------------------------------------------------- */

/* tail 0: normal; else products of normal values, whose tails grow with it. */
static double error_of(const quant_type *t, kern_role role, int tail) {
    enum { ROWS = 64, ACTS = 32 };
    job j;
    rng r;
    rng_seed(&r, 7);
    job_open(&j, t, role, ROWS, ACTS, 1);
    kern_act format = kern_act_of(opt.k, t->id, role);
    size_t act_bytes = kern_act_bytes(opt.k, format, opt.n_in);
    float *x = malloc(ACTS * opt.n_in * sizeof *x), *row = malloc(opt.n_in * sizeof *row);
    fill(&r, x, ACTS * opt.n_in);
    for (size_t i = 0; i < ACTS * opt.n_in; i++)
        for (int n = 0; n < tail; n++) x[i] *= rng_normal(&r);
    for (size_t a = 0; a < ACTS; a++)
        kern_act_prepare(opt.k, format, x + a * opt.n_in, opt.n_in, (char *)(uintptr_t)j.acts[0] + a * act_bytes);
    run_matmul(&j, 0, 1);
    double error = 0, power = 0;
    for (size_t i = 0; i < ROWS; i++) {
        t->decode(j.weights + i * j.row_bytes, row, opt.n_in);
        for (size_t a = 0; a < ACTS; a++) {
            double sum = 0;
            for (size_t c = 0; c < opt.n_in; c++) sum += (double)row[c] * (double)x[a * opt.n_in + c];
            error += pow((double)j.outs[a][i] - sum, 2);
            power += sum * sum;
        }
    }
    free(x);
    free(row);
    job_close(&j, 1);
    return error / power;
}

static void bench_error(const quant_type *t) {
    printf("error  %-8s decode %.3g normal, %.3g and %.3g with tails; prompt %.3g, %.3g, %.3g\n", t->name,
           error_of(t, KERN_DECODE, 0), error_of(t, KERN_DECODE, 1), error_of(t, KERN_DECODE, 2),
           error_of(t, KERN_PROMPT, 0), error_of(t, KERN_PROMPT, 1), error_of(t, KERN_PROMPT, 2));
}

/* ---- attention and rows --------------------------------------------------------------------------------- */

static void run_attn(job *j, int w, int n) {
    (void)n;
    if (w) return;
    kern_attn a = *j->attn;
    for (size_t at = 0; at < j->n_rows; at++) {
        a.k_next = (const char *)a.k + kern_attn_tile_bytes(a.type_k, a.dim_k);
        a.v_next = (const char *)a.v + kern_attn_tile_bytes(a.type_v, a.dim_v);
        kern_run_attn(opt.k, &a);
        a.k = a.k_next, a.v = a.v_next;
    }
}

static void bench_attn_type(quant_id type) {
    static const size_t cases[][2] = {{1, 128}, {4, 64}, {8, 64}, {4, 128}, {8, 128}, {32, 128}, {2, 8}};
    enum { TILES = 1024, DIM = 128, Q = 32 };
    size_t each = kern_attn_tile_bytes(type, DIM);
    char *kv = aligned_alloc(64, (2 * TILES + 3) * each);
    uint16_t from[Q], to[Q];
    float *q = malloc(Q * DIM * sizeof *q), *acc = calloc(Q * kern_attn_acc_row(DIM), sizeof *acc), base[Q];
    void *scratch = aligned_alloc(64, align_up(kern_attn_scratch_bytes(Q, DIM, DIM), 64));
    rng r;
    rng_seed(&r, 3);
    for (size_t i = 0; i < KERN_ATTN_TILE; i++) {
        fill(&r, q, DIM);
        kern_attn_store(opt.k, type, true, q, 1, DIM, kv, i);
        kern_attn_store(opt.k, type, false, q, 1, DIM, kv + TILES * each, i);
    }
    for (size_t i = 0; i < 2 * TILES + 3; i++)
        if (i % TILES) memcpy(kv + i * each, kv + (i < TILES ? 0 : TILES) * each, each);
    fill(&r, q, Q * DIM);
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        size_t n_q = cases[c][0], dim = cases[c][1], wanted;
        if (!kern_attn_holds(type, dim, &wanted)) continue;
        for (size_t i = 0; i < Q; i++) {
            base[i] = -F32_INF;
            from[i] = 0;
            to[i] = KERN_ATTN_TILE;
        }
        kern_attn a = {.n_q = n_q, .dim_k = dim, .dim_v = dim, .type_k = type, .type_v = type, .q = q, .k = kv,
                       .v = kv + TILES * each, .n_pos = KERN_ATTN_TILE, .from = from, .to = to, .base = base,
                       .acc = acc, .scratch = scratch};
        job j = {.run = run_attn, .attn = &a, .n_rows = TILES};
        double t = best(&j, 1);
        double macs = 2.0 * TILES * KERN_ATTN_TILE * (double)(dim * n_q);
        double bytes = 2.0 * TILES * (double)kern_attn_tile_bytes(type, dim);
        printf("attn   %-5s %3zu queries of %3zu: %5.1f GMAC/s (%3.0f %% of the float peak), KV at %5.1f GB/s\n",
               quant_find(type)->name, n_q, dim, macs / t / 1e9, 100 * macs / t / 1e9 / peak_gmacs[1], bytes / t / 1e9);
    }
    free(scratch);
    free(kv);
    free(q);
    free(acc);
}

static void bench_attn(void) {
    bench_attn_type(QUANT_F16);
    bench_attn_type(QUANT_BF16);
    bench_attn_type(QUANT_Q8_0);
    bench_attn_type(QUANT_Q4_0);
}

static void run_prepare_8(job *j, int w, int n) {
    (void)n;
    if (!w) kern_act_prepare(opt.k, KERN_ACT_I8_16, j->rows, 4096, j->scratch[0]);
}
static void run_prepare_16(job *j, int w, int n) {
    (void)n;
    if (!w) kern_act_prepare(opt.k, kern_act_of(opt.k, QUANT_Q8_0, KERN_DECODE), j->rows, 4096, j->scratch[0]);
}
static void run_norm(job *j, int w, int n) {
    (void)n;
    if (!w) kern_rms_norm(opt.k, j->rows, j->rows + 4096, 4096, 1e-5f, j->scratch[0]);
}
static void run_swiglu(job *j, int w, int n) {
    (void)n;
    if (!w) kern_swiglu(opt.k, j->rows, j->rows + 4096, 4096, j->scratch[0]);
}
static void run_softmax(job *j, int w, int n) {
    (void)n;
    memcpy(j->scratch[0], j->rows, 4096 * sizeof(float));
    if (!w) kern_softmax(opt.k, j->scratch[0], 4096);
}
static void run_rope(job *j, int w, int n) {
    (void)n;
    for (size_t i = 0; !w && i < 32; i++) kern_rope(opt.k, j->rows + 128 * i, j->rows + 4096, 128, i & 1);
}

static void bench_rows(void) {
    static const struct { const char *name; void (*run)(job *, int, int); } rows[] = {
        {"prepare i8", run_prepare_8}, {"prepare i16", run_prepare_16}, {"rms_norm", run_norm},
        {"swiglu", run_swiglu}, {"softmax", run_softmax}, {"rope", run_rope},
    };
    rng r;
    rng_seed(&r, 4);
    float *x = malloc(8192 * sizeof *x);
    fill(&r, x, 8192);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        job j = {.run = rows[i].run, .rows = x, .scratch = {aligned_alloc(64, 65536)}};
        double t = best(&j, 1);
        printf("rows   %-12s %6.2f us for 4096, %5.2f G/s\n", rows[i].name, 1e6 * t, 4096 / t / 1e9);
        free(j.scratch[0]);
    }
    free(x);
}

/* ---- the command ----------------------------------------------------------------------------------------- */

static void each_type(void (*bench)(const quant_type *)) {
    for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
        const quant_type *t = quant_find(id);
        if (!t) continue;
        str list = str_of(opt.types);
        bool wanted = str_is(list, "all");
        while (list.len && !wanted) {
            size_t comma = MIN(str_find(list, STR(",")), list.len);
            wanted = str_is(str_cut(list, 0, comma), t->name);
            list = str_cut(list, MIN(comma + 1, list.len), list.len);
        }
        if (wanted) bench(t);
    }
}

int main(int argc, char **argv) {
    static const char *const names[] = {"bounds", "decode", "cache", "prompt", "error", "attn", "rows"};
    bool wanted[COUNT_OF(names)] = {0}, any = false;
    opt.k = kern_best();
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (size_t n = 0; n < COUNT_OF(names); n++)
            if (!strcmp(argv[i], names[n])) known = any = wanted[n] = true;
        if (known) continue;
        if (!strncmp(argv[i], "--isa=", 6) && kern_find(str_of(argv[i] + 6))) opt.k = kern_find(str_of(argv[i] + 6));
        else if (!strncmp(argv[i], "--types=", 8)) opt.types = argv[i] + 8;
        else if (!strcmp(argv[i], "-t") && i + 1 < argc) opt.n_threads = atoi(argv[++i]);
        else if (!strcmp(argv[i], "-a") && i + 1 < argc) opt.n_act = (size_t)atol(argv[++i]);
        else if (!strcmp(argv[i], "-n") && i + 1 < argc) opt.n_in = (size_t)atol(argv[++i]);
        else if (!strcmp(argv[i], "-s") && i + 1 < argc) opt.seconds = atof(argv[++i]);
        else {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (opt.n_threads < 1 || opt.n_threads > THREADS_MAX || opt.n_act > ACTS_MAX || opt.n_in % 256 || !opt.n_in) {
        fputs(usage, stderr);
        return 2;
    }
    bench_bounds();
    if (wanted[1] || !any) each_type(bench_decode);
    if (wanted[2]) each_type(bench_cache);
    if (wanted[3] || !any) each_type(bench_prompt);
    if (wanted[4] || !any) each_type(bench_error);
    if (wanted[5] || !any) bench_attn();
    if (wanted[6] || !any) bench_rows();
    return 0;
}
