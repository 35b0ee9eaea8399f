/* validate_peer.c: drives a libllama of which only the file is at hand: no header of it is needed to build leat.
 *
 * Its functions pass option structs by value, whose layouts change from version to version. Three facts make that
 * safe to live with: such a struct is larger than 16 bytes, so it travels in memory and a longer one than expected
 * does no harm in either direction (System V x86-64 and AArch64); the fields set here are the first of their struct
 * and have been since 2023; and the defaults read back tell whether that still holds. What remains unknown keeps the
 * library's own default. Refuses a version in which any of this fails.
 */
#include "hosted/validate_peer.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the library as seen from outside --------------------------------------------------------------- */

typedef struct llama_model llama_model;
typedef struct llama_vocab llama_vocab;
typedef struct llama_context llama_context;

typedef struct options_blob {
    uint64_t words[64]; /* three times the largest option struct of 2026 */
} options_blob;

/* Offset 0 of struct llama_context_params. */
typedef struct context_head {
    uint32_t n_ctx;    /* default 512  */
    uint32_t n_batch;  /* default 2048 */
    uint32_t n_ubatch; /* default 512  */
    uint32_t n_seq_max; /* default 1   */
} context_head;

typedef struct batch_head {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos;
    int32_t *n_seq_id;
    int32_t **seq_id;
    int8_t *logits;
} batch_head;

typedef union batch_blob {
    batch_head head;
    uint64_t words[32];
} batch_blob;

typedef void log_fn(int level, const char *text, void *user);

struct peer {
    void *library;
    llama_model *model;
    const llama_vocab *vocab;
    char version[64];
    /* Required. */
    void (*backend_init)(void);
    void (*log_set)(log_fn *fn, void *user);
    options_blob (*model_default_params)(void);
    options_blob (*context_default_params)(void);
    llama_model *(*model_load_from_file)(const char *path, options_blob options);
    void (*model_free)(llama_model *model);
    const llama_vocab *(*model_get_vocab)(const llama_model *model);
    int32_t (*vocab_n_tokens)(const llama_vocab *vocab);
    llama_context *(*init_from_model)(llama_model *model, options_blob options);
    void (*free_context)(llama_context *context);
    uint32_t (*n_ctx)(const llama_context *context);
    uint32_t (*n_batch)(const llama_context *context);
    void (*set_n_threads)(llama_context *context, int32_t n_threads, int32_t n_threads_batch);
    batch_blob (*batch_init)(int32_t n_tokens, int32_t embd, int32_t n_seq_max);
    void (*batch_free)(batch_blob batch);
    int32_t (*decode)(llama_context *context, batch_blob batch);
    float *(*get_logits_ith)(llama_context *context, int32_t i);
    int32_t (*tokenize)(const llama_vocab *vocab, const char *text, int32_t bytes, int32_t *ids, int32_t cap,
                        bool add_special, bool parse_special);
    /* Of newer versions. */
    void *(*get_memory)(const llama_context *context);
    bool (*memory_seq_rm)(void *memory, int32_t seq, int32_t from, int32_t to);
    void (*load_all_from_path)(const char *dir);
    const char *(*get_version)(void);
};

/* The last line of its log that was an error, for messages of ours. */
static char last_error[200];

static void on_log(int level, const char *text, void *user) {
    (void)user;
    if (level != 4 || !text[0] || text[0] == '\n') return; /* 4: GGML_LOG_LEVEL_ERROR */
    size_t n = fmt(last_error, sizeof last_error, "%s", text);
    while (n && (last_error[n - 1] == '\n' || last_error[n - 1] == ' ')) last_error[--n] = 0;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

/* libllama.so, or the first of libllama.*.so in the folder; libllama-common.so is another library. */
static bool find_library(const char *dir, char *path, size_t cap) {
    char best[256] = "";
    DIR *d = opendir(dir);
    if (!d) return false;
    for (struct dirent *entry; (entry = readdir(d));) {
        str name = str_of(entry->d_name);
        if (!str_starts(name, STR("libllama.")) || str_find(name, STR(".so")) == SIZE_MAX) continue;
        if (!best[0] || str_cmp(name, str_of(best)) < 0) fmt(best, sizeof best, "%s", entry->d_name);
    }
    closedir(d);
    fmt(path, cap, "%s%s/%s", dir[0] == '/' ? "" : "./", dir, best);
    return best[0] != 0;
}

static err_code bind_all(peer *p, err *e) {
    const struct {
        const char *name;
        void *slot; /* a function pointer's address */
        bool optional;
    } wanted[] = {
        {"llama_backend_init", &p->backend_init, false},
        {"llama_log_set", &p->log_set, false},
        {"llama_model_default_params", &p->model_default_params, false},
        {"llama_context_default_params", &p->context_default_params, false},
        {"llama_model_load_from_file", &p->model_load_from_file, false},
        {"llama_model_free", &p->model_free, false},
        {"llama_model_get_vocab", &p->model_get_vocab, false},
        {"llama_vocab_n_tokens", &p->vocab_n_tokens, false},
        {"llama_init_from_model", &p->init_from_model, false},
        {"llama_free", &p->free_context, false},
        {"llama_n_ctx", &p->n_ctx, false},
        {"llama_n_batch", &p->n_batch, false},
        {"llama_set_n_threads", &p->set_n_threads, false},
        {"llama_batch_init", &p->batch_init, false},
        {"llama_batch_free", &p->batch_free, false},
        {"llama_decode", &p->decode, false},
        {"llama_get_logits_ith", &p->get_logits_ith, false},
        {"llama_tokenize", &p->tokenize, false},
        {"llama_get_memory", &p->get_memory, true},
        {"llama_memory_seq_rm", &p->memory_seq_rm, true},
        {"ggml_backend_load_all_from_path", &p->load_all_from_path, true},
        {"llama_version", &p->get_version, true},
    };
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        void *at = dlsym(p->library, wanted[i].name);
        if (!at && !wanted[i].optional)
            return ERR(e, ERR_UNSUPPORTED, "this libllama has no %s: too old a version (wanted: one of 2025 or later)",
                       wanted[i].name);
        memcpy(wanted[i].slot, &at, sizeof at); /* ISO C has no cast from an object to a function pointer */
    }
    return ERR_NONE;
}

/* The structs are where they were expected, or nothing is called with them. */
static err_code check_layout(peer *p, err *e) {
    options_blob options = p->context_default_params();
    context_head head;
    memcpy(&head, &options, sizeof head);
    if (head.n_ctx != 512 || head.n_batch != 2048 || head.n_ubatch != 512 || head.n_seq_max != 1)
        return ERR(e, ERR_UNSUPPORTED,
                   "this libllama's default context options begin with %u %u %u %u, not with 512 2048 512 1: a version "
                   "that leat cannot drive", head.n_ctx, head.n_batch, head.n_ubatch, head.n_seq_max);
    batch_blob batch = p->batch_init(2, 0, 1);
    const batch_head *b = &batch.head;
    bool good = b->n_tokens == 0 && b->token && !b->embd && b->pos && b->n_seq_id && b->seq_id && b->seq_id[0] &&
                b->seq_id[1] && !b->seq_id[2] && b->logits;
    if (!good)
        return ERR(e, ERR_UNSUPPORTED,
                   "this libllama's batches are laid out differently: a version that leat cannot drive");
    p->batch_free(batch);
    return ERR_NONE;
}

err_code peer_open(peer **out, const char *dir, err *e) {
    char path[4096];
    *out = NULL;
    if (!find_library(dir, path, sizeof path))
        return ERR(e, ERR_IO, "%.150s: no libllama.so or libllama.*.so in this folder", dir);
    peer *p = calloc(1, sizeof *p);
    if (!p) return ERR(e, ERR_MEMORY, "no memory for the handle of libllama");
    err_code code = ERR_NONE;
    p->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!p->library) code = ERR(e, ERR_IO, "%.230s", dlerror());
    if (!code) code = bind_all(p, e);
    if (!code) {
        p->log_set(on_log, NULL);
        code = check_layout(p, e);
    }
    if (code) {
        peer_close(p);
        return code;
    }
    fmt(p->version, sizeof p->version, "%.60s", p->get_version ? p->get_version() : "of an unknown version");
    if (p->load_all_from_path) p->load_all_from_path(dir);
    p->backend_init();
    *out = p;
    return ERR_NONE;
}

void peer_close(peer *p) {
    if (!p) return;
    if (p->model) p->model_free(p->model);
    free(p); /* the library stays: its threads may outlive a dlclose */
}

const char *peer_version(const peer *p) { return p->version; }

/* ---- use -------------------------------------------------------------------------------------------- */

err_code peer_load(peer *p, const char *path, err *e) {
    if (p->model) p->model_free(p->model);
    last_error[0] = 0;
    p->model = p->model_load_from_file(path, p->model_default_params());
    if (!p->model) return ERR(e, ERR_UNSUPPORTED, "libllama cannot load %.80s: %s", path, last_error);
    p->vocab = p->model_get_vocab(p->model);
    return ERR_NONE;
}

int32_t peer_n_vocab(const peer *p) { return p->vocab_n_tokens(p->vocab); }

err_code peer_tokenize(peer *p, str text, int32_t *ids, size_t cap, size_t *count, err *e) {
    *count = 0;
    if (text.len > INT32_MAX || cap > INT32_MAX) return ERR(e, ERR_LIMIT, "%zu bytes of text are too many", text.len);
    int32_t n = p->tokenize(p->vocab, text.ptr, (int32_t)text.len, ids, (int32_t)cap, true, true);
    if (n == INT32_MIN) return ERR(e, ERR_LIMIT, "libllama cannot tokenize %zu bytes", text.len);
    *count = (size_t)(n < 0 ? -n : n); /* negative: the number there would be, and the buffer is too small */
    return ERR_NONE;
}

static err_code feed_all(peer *p, llama_context *context, batch_blob *batch, const int32_t *ids, size_t n,
                         const peer_feed *feed, size_t step, float *logits, err *e) {
    size_t n_vocab = (size_t)peer_n_vocab(p);
    batch_head *b = &batch->head;
    for (size_t at = 0; at < n; at += step) {
        size_t m = MIN(step, n - at);
        for (size_t i = 0; i < m; i++) {
            b->token[i] = ids[at + i];
            b->pos[i] = (int32_t)(at + i);
            b->n_seq_id[i] = 1;
            b->seq_id[i][0] = 0;
            b->logits[i] = 1;
        }
        b->n_tokens = (int32_t)m;
        if (feed->window && at >= feed->window)
            p->memory_seq_rm(p->get_memory(context), 0, 0, (int32_t)(at - feed->window + 1));
        int32_t status = p->decode(context, *batch);
        if (status)
            return ERR(e, ERR_INTERNAL, "llama_decode failed at token %zu: status %d %s", at, status, last_error);
        for (size_t i = 0; i < m; i++) {
            const float *row = p->get_logits_ith(context, (int32_t)i);
            if (!row) return ERR(e, ERR_INTERNAL, "libllama gives no logits of token %zu", at + i);
            memcpy(logits + (at + i) * n_vocab, row, n_vocab * sizeof *row);
        }
    }
    return ERR_NONE;
}

err_code peer_logits(peer *p, const int32_t *ids, size_t n, const peer_feed *feed, float *logits, err *e) {
    size_t step = feed->step ? MIN(feed->step, n) : n;
    if (n == 0 || n > 1 << 20 || (feed->window && step != 1))
        return ERR(e, ERR_ARGUMENT, "%zu tokens, %zu at a time, a window of %zu", n, step, feed->window);
    if (feed->window && !(p->get_memory && p->memory_seq_rm))
        return ERR(e, ERR_UNSUPPORTED, "this libllama has no llama_memory_seq_rm");
    options_blob options = p->context_default_params();
    context_head head;
    memcpy(&head, &options, sizeof head);
    head.n_ctx = (uint32_t)n;
    head.n_batch = (uint32_t)step;
    head.n_ubatch = (uint32_t)MIN(step, 512);
    memcpy(&options, &head, sizeof head);
    last_error[0] = 0;
    llama_context *context = p->init_from_model(p->model, options);
    if (!context) return ERR(e, ERR_UNSUPPORTED, "libllama makes no context of %zu tokens: %s", n, last_error);
    err_code code = ERR_NONE;
    if (p->n_ctx(context) < n || p->n_batch(context) < step)
        code = ERR(e, ERR_UNSUPPORTED,
                   "libllama made a context of %u tokens and batches of %u where %zu and %zu were asked for",
                   p->n_ctx(context), p->n_batch(context), n, step);
    if (!code) {
        p->set_n_threads(context, feed->n_threads, feed->n_threads);
        batch_blob batch = p->batch_init((int32_t)step, 0, 1);
        code = feed_all(p, context, &batch, ids, n, feed, step, logits, e);
        p->batch_free(batch);
    }
    p->free_context(context);
    return code;
}
