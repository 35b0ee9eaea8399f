/* retake.c: takes the reference logits of tests/data/models from a live libllama (see README.md beside this file).
 *
 * For each case of model_cases.c: the exact logits are the library's on the same file with all weights decoded to F32,
 * so that it computes in floats; its own error to them, on the file as it is, becomes the bound that leat must keep.
 * Each run has a process of its own: the library ends the process on a file that it does not like.
 */
#include "golden/model_cases.h"
#include "hosted/validate_peer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct shared {
    bool done;
    err error;
    float logits[MODEL_CASE_TOKENS_MAX * MODEL_CASE_VOCAB_MAX];
} shared;

static const char *library_dir;
static shared *answer;

static _Noreturn void stop(const char *what, const char *why) {
    fprintf(stderr, "retake: %s: %s\n", what, why);
    exit(1);
}

/* The logits of every token are left in *answer. */
static bool ask(const model_case *c, const char *path, peer_feed feed) {
    int32_t ids[MODEL_CASE_TOKENS_MAX];
    model_case_ids(c, ids);
    memset(answer, 0, sizeof *answer);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) stop("fork", "no second process");
    if (child == 0) {
        peer *p;
        feed.n_threads = 1; /* its numbers do not depend on it */
        feed.window = c->spec.window;
        if (feed.window) feed.step = 1;
        answer->done = !peer_open(&p, library_dir, &answer->error) && !peer_load(p, path, &answer->error) &&
                       !peer_logits(p, ids, c->n_tokens, &feed, answer->logits, &answer->error);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    return answer->done;
}

/* ---- the same file in F32 --------------------------------------------------------------------------------------- */

static void decode_tensor(const gguf *g, const gguf_tensor *t, gguf_writer *w) {
    err e;
    size_t n = (size_t)(t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3]);
    void *blocks = malloc((size_t)t->bytes);
    float *values = malloc(n * sizeof *values);
    if (!blocks || !values) stop("decode", "no memory");
    if (plat_file_read(gguf_part_file(g, t->part), t->offset, blocks, (size_t)t->bytes) != (int64_t)t->bytes)
        stop(gguf_part_path(g, t->part), "short read");
    t->type->decode(blocks, values, n);
    if (gguf_write_data(w, values, n * sizeof *values, &e)) stop("write", e.text);
    free(blocks);
    free(values);
}

static void decode_file(const char *from, const char *to) {
    gguf *g;
    gguf_writer *w;
    err e;
    char name[128];
    if (gguf_open(&g, from, &e) || gguf_writer_open(&w, 3, 32, &e)) stop(from, e.text);
    for (size_t i = 0; i < gguf_kv_count(g); i++)
        if (!str_starts(gguf_kv_at(g, i)->key, STR("split."))) gguf_put_kv(w, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        snprintf(name, sizeof name, "%.*s", (int)t->name.len, t->name.ptr);
        gguf_put_tensor(w, name, quant_find(QUANT_F32), t->n_dims, t->dims);
    }
    if (gguf_write_begin(w, to, &e)) stop(to, e.text);
    for (size_t i = 0; i < gguf_tensor_count(g); i++) decode_tensor(g, gguf_tensor_at(g, i), w);
    if (gguf_write_finish(w, &e)) stop(to, e.text);
    gguf_writer_close(w);
    gguf_close(g);
}

/* ---- one case ---------------------------------------------------------------------------------------------------- */

static void print_error(FILE *table, const model_case *c, const char *path, size_t step, const float *exact) {
    float samples[MODEL_CASE_SAMPLES];
    if (!ask(c, path, (peer_feed){.step = step})) {
        fprintf(table, "\t-");
        fprintf(stderr, "  %s: %s\n", c->name, answer->error.text);
        return;
    }
    model_case_samples(c, answer->logits, samples);
    fprintf(table, "\t%.3e", model_case_nmse(samples, exact));
}

static void take(const model_case *c, const char *work, const char *data, FILE *table) {
    float exact[MODEL_CASE_SAMPLES];
    char file[64], path[4096], decoded[4096], out[4096];
    err e;
    model_case_file(c, file, sizeof file);
    snprintf(path, sizeof path, "%s/%s", work, file);
    snprintf(decoded, sizeof decoded, "%s/decoded.gguf", work);
    snprintf(out, sizeof out, "%s/%s.f32", data, c->name);
    if (tiny_write_err(&c->spec, path, &e)) stop(path, e.text);
    decode_file(path, decoded);
    if (!ask(c, decoded, (peer_feed){0}))
        stop(c->name, answer->error.text[0] ? answer->error.text : "libllama crashed");
    model_case_samples(c, answer->logits, exact);
    FILE *f = fopen(out, "wb");
    if (!f || fwrite(exact, sizeof exact, 1, f) != 1 || fclose(f)) stop(out, "cannot be written");
    fprintf(table, "%s", c->name);
    print_error(table, c, path, 0, exact);
    print_error(table, c, path, 1, exact);
    fprintf(table, "\n");
}

int main(int argc, char **argv) {
    if (argc < 4) stop("usage", "retake LIB_DIR WORK_DIR DATA_DIR [name part]");
    library_dir = argv[1];
    answer = mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (answer == MAP_FAILED) stop("mmap", "no memory");
    char path[4096];
    /* A part of the cases leaves the table alone. */
    snprintf(path, sizeof path, "%s/cases.tsv", argc > 4 ? argv[2] : argv[3]);
    FILE *table = fopen(path, "w");
    if (!table) stop(path, "cannot be written");
    fprintf(table, "# libllama's NMSE to the exact logits of each case: as a prompt, token by token\n");
    for (size_t i = 0; i < model_case_count(); i++) {
        model_case c = model_case_at(i);
        if (argc > 4 && !strstr(c.name, argv[4])) continue;
        fprintf(stderr, "%s\n", c.name);
        take(&c, argv[2], argv[3], table);
    }
    if (fclose(table)) stop(path, "cannot be written");
    return 0;
}
