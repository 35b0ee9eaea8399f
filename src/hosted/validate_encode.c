/* validate_encode.c: `leat-validate encoders`: leat's encoders beside those of a live libggml-base, on the same rows.
 *
 * Rows are normal, heavy-tailed (Student's t with 3 degrees of freedom) or the matrices of a file; each without and
 * with importance. The error is the root of the mean square, relative to that of the weights and weighted by the
 * importance; both encodings are decoded by leat. Speed is of one thread, in processor time. It judges nothing: the
 * bounds that hold are in the tests. Next: quant/encode.h.
 */
#include "hosted/validate_encode.h"
#include "kern/kern.h"

#include "gguf/gguf.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef size_t quantize_chunk(int type, const float *x, void *blocks, int64_t start, int64_t n_rows, int64_t n_per_row,
                              const float *importance);

typedef struct values {
    const char *model, *lib, *type, *isa;
    int32_t n_rows;
    bool no_peer;
} values;

/* One kind of data: rows of one width. */
typedef struct rows {
    const char *name;
    size_t n, n_in;
    float *x, *importance; /* (n, n_in), (n_in) */
    struct rows *next;
} rows;

typedef struct result {
    double error, sum;       /* weighted squares: of the differences, of the weights     */
    double weighted;         /* the same differences, larger weights mattering more      */
    double weighted_sum;
    double seconds;
    uint64_t bytes;
} result;

/* ---- data --------------------------------------------------------------------------------------------- */

static rows *rows_new(rows **list, const char *name, size_t n, size_t n_in, rng *r) {
    rows *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    *d = (rows){.name = name, .n = n, .n_in = n_in, .next = *list};
    d->x = malloc(n * n_in * sizeof *d->x);
    d->importance = malloc(n_in * sizeof *d->importance);
    *list = d;
    if (!d->x || !d->importance) return NULL;
    for (size_t i = 0; i < n_in; i++) d->importance[i] = (float)math_exp(1.5 * (double)rng_normal(r));
    return d;
}

static void rows_free(rows *list) {
    while (list) {
        rows *next = list->next;
        free(list->x);
        free(list->importance);
        free(list);
        list = next;
    }
}

static bool draw_rows(rows **list, size_t n, rng *r) {
    rows *normal = rows_new(list, "normal", n, 4096, r);
    rows *heavy = normal ? rows_new(list, "heavy", n, 4096, r) : NULL;
    if (!heavy) return false;
    for (size_t i = 0; i < n * 4096; i++) {
        double a = (double)rng_normal(r), b = (double)rng_normal(r), c = (double)rng_normal(r);
        normal->x[i] = rng_normal(r) * 0.02f;
        heavy->x[i] = rng_normal(r) * 0.02f / (float)math_sqrt((a * a + b * b + c * c) / 3);
    }
    return true;
}

static err_code load_rows(rows **list, const char *path, rng *r, err *e) {
    gguf *g;
    err_code code = gguf_open(&g, path, e);
    if (code) return code;
    for (size_t i = 0; i < gguf_tensor_count(g) && !code; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        uint64_t n = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        if (t->n_dims < 2 || n > 1 << 24) continue;
        rows *d = rows_new(list, "file", (size_t)(n / t->dims[0]), (size_t)t->dims[0], r);
        void *raw = malloc(t->bytes);
        if (!d || !raw) code = ERR(e, ERR_MEMORY, "no memory for %zu weights", (size_t)n);
        else if (plat_file_read(gguf_part_file(g, t->part), t->offset, raw, t->bytes) != (int64_t)t->bytes)
            code = ERR(e, ERR_IO, "%s cannot be read", path);
        else t->type->decode(raw, d->x, (size_t)n);
        free(raw);
    }
    gguf_close(g);
    return code;
}

/* ---- measuring ------------------------------------------------------------------------------------------ */

static double seconds_used(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add_errors(result *to, const rows *d, const float *y, const float *importance) {
    for (size_t at = 0; at < d->n * d->n_in; at++) {
        double x = (double)d->x[at], error = x - (double)y[at], w = importance ? (double)importance[at % d->n_in] : 1;
        double larger = w * math_sqrt(0.0004 + x * x);
        to->error += w * error * error;
        to->sum += w * x * x;
        to->weighted += larger * error * error;
        to->weighted_sum += larger * x * x;
    }
}

/* Encodes with leat, or with the peer where one is given, several times while that is quick. */
static bool measure(result *to, const rows *d, const quant_type *t, const kern *k, quantize_chunk *peer,
                    bool weighted) {
    size_t n = d->n * d->n_in, row_bytes = d->n_in / t->block_len * t->block_bytes;
    uint8_t *blocks = malloc(d->n * row_bytes);
    float *y = malloc(n * sizeof *y);
    const float *importance = weighted ? d->importance : NULL;
    quant_encode *encode = kern_encoder(k, t->id);
    double best = 1e30, all = 0;
    bool good = blocks && y;
    if (good && peer) peer((int)t->id, d->x, blocks, 0, 0, (int64_t)d->n_in, importance); /* makes its tables */
    for (size_t run = 0; good && (run < 1 || (run < 20 && all < 0.1)); run++) {
        double start = seconds_used();
        if (peer) peer((int)t->id, d->x, blocks, 0, (int64_t)d->n, (int64_t)d->n_in, importance);
        else
            for (size_t i = 0; i < d->n; i++) encode(d->x + i * d->n_in, importance, blocks + i * row_bytes, d->n_in);
        double used = seconds_used() - start;
        best = MIN(best, used);
        all += used;
    }
    if (good) {
        t->decode(blocks, y, n);
        add_errors(to, d, y, importance);
        to->seconds += best;
        to->bytes += n * sizeof(float);
    }
    free(y);
    free(blocks);
    return good;
}

static double relative(double error, double sum) { return sum > 0 ? math_sqrt(error / sum) : 0; }

static bool compare_type(tools *t, const rows *list, const quant_type *type, const kern *k, quantize_chunk *peer) {
    static const char *const kinds[] = {"normal", "heavy", "file"};
    for (size_t kind = 0; kind < COUNT_OF(kinds); kind++)
        for (size_t weighted = type->needs_importance; weighted < 2; weighted++) {
            result ours = {0}, theirs = {0};
            for (const rows *d = list; d; d = d->next) {
                if (strcmp(d->name, kinds[kind]) != 0 || d->n_in % type->block_len != 0) continue;
                if (!measure(&ours, d, type, k, NULL, weighted)) return false;
                if (peer && !measure(&theirs, d, type, k, peer, weighted)) return false;
            }
            if (!ours.bytes) continue;
            double a = relative(ours.error, ours.sum), b = relative(theirs.error, theirs.sum);
            double c = relative(ours.weighted, ours.weighted_sum), f = relative(theirs.weighted, theirs.weighted_sum);
            double speed = 1e-6 * (double)ours.bytes / ours.seconds;
            tools_out(t, "| %-7s | %-6s | %-3s | %.5f ", type->name, kinds[kind], weighted ? "yes" : "no", a);
            if (peer)
                tools_out(t, "| %.5f | %.3f | %.3f | %6.0f | %6.0f | %5.1fx |\n", b, a / b, c / f, speed,
                          1e-6 * (double)theirs.bytes / theirs.seconds, theirs.seconds / ours.seconds);
            else tools_out(t, "| %6.0f |\n", speed);
            tools_out_flush(t);
        }
    return true;
}

/* ---- the command ----------------------------------------------------------------------------------------- */

static int open_peer(tools *t, const char *lib, quantize_chunk **out) {
    char path[4096];
    fmt(path, sizeof path, "%s%s/libggml-base.so", lib[0] == '/' ? "" : "./", lib);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return tools_fail_text(t, dlerror());
    void *at = dlsym(library, "ggml_quantize_chunk");
    if (!at) return tools_fail(t, "%s: no ggml_quantize_chunk", path);
    memcpy(out, &at, sizeof at);
    return TOOLS_OK;
}

static int run_with(tools *t, const values *v, rows **list) {
    const kern *k;
    quantize_chunk *peer = NULL;
    rng r;
    err e;
    rng_seed(&r, 1);
    if (kern_choose(&k, v->isa, &e)) return tools_fail_text(t, e.text);
    if (!v->no_peer) {
        int status = open_peer(t, v->lib ? v->lib : VALIDATE_LIB_DEFAULT, &peer);
        if (status) return status;
    }
    if (!draw_rows(list, (size_t)v->n_rows, &r)) return tools_fail(t, "no memory");
    if (v->model && load_rows(list, v->model, &r, &e)) return tools_fail_text(t, e.text);
    if (peer)
        tools_out(t, "| type | rows | importance | error | llama.cpp | ratio | ratio, larger weights mattering more "
                     "| MB/s | llama.cpp | |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
        const quant_type *type = quant_find(id);
        if (!type || !type->encode || (!type->unpack && !v->type)) continue;
        if (v->type && quant_find_name(str_of(v->type)) != type) continue;
        if (!compare_type(t, *list, type, k, peer)) return tools_fail(t, "no memory");
    }
    return TOOLS_OK;
}

static int run(tools *t, const void *at) {
    rows *list = NULL;
    int status = run_with(t, at, &list);
    rows_free(list);
    return status;
}

static void defaults(void *at) {
    values *v = at;
    v->n_rows = 32;
}

static const tools_option options[] = {
    TOOLS_STR(values, model, 'm', "model", "FILE", "encode the matrices of this file as well"),
    TOOLS_STR(values, lib, 0, "lib", "DIR", "the folder of libggml-base.so (default: " VALIDATE_LIB_DEFAULT ")"),
    TOOLS_STR(values, type, 0, "type", "NAME", "only this type"),
    TOOLS_INT(values, n_rows, 'n', "rows", "N", 1, 100000, "rows of 4096 weights to draw ({})"),
    TOOLS_FLAG(values, no_peer, 0, "alone", "leat's figures only"),
    TOOLS_ISA(values, isa),
};

const tools_command validate_encoders = {
    .name = "encoders",
    .summary = "compare the error and the speed of leat's encoders with a live libggml-base",
    .usage = "[-m FILE] [--lib DIR] [options]",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(values),
    .defaults = defaults,
    .run = run,
};
