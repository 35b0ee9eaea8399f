/* fake_llama.c: a libllama that knows no model, to test leat-validate without the real one. It tokenizes every text to
 * the ids 1 2 3 ... and finds every token equally likely.
 *
 * LEAT_FAKE names a fault: "layout" and "batch" lay its structs out differently, "load" and "context" refuse, "crash"
 * ends the process, "vocab" counts another vocabulary. LEAT_FAKE_VOCAB is its number of tokens.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    uint32_t words[40];
} options;

typedef struct batch {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos, *n_seq_id, **seq_id;
    int8_t *logits;
} batch;

typedef void log_fn(int level, const char *text, void *user);

static log_fn *log_to;
static float row[65536];
static uint32_t n_ctx, n_batch;

static bool fault(const char *name) {
    const char *wanted = getenv("LEAT_FAKE");
    return wanted && strcmp(wanted, name) == 0;
}

const char *llama_version(void);
void llama_log_set(log_fn *fn, void *user);
void llama_backend_init(void);
options llama_model_default_params(void);
options llama_context_default_params(void);
void *llama_model_load_from_file(const char *path, options o);
void llama_model_free(void *model);
void *llama_model_get_vocab(void *model);
int32_t llama_vocab_n_tokens(void *vocab);
void *llama_init_from_model(void *model, options o);
void llama_free(void *context);
uint32_t llama_n_ctx(void *context);
uint32_t llama_n_batch(void *context);
void llama_set_n_threads(void *context, int32_t n, int32_t n_batch);
batch llama_batch_init(int32_t n, int32_t embd, int32_t n_seq_max);
void llama_batch_free(batch b);
int32_t llama_decode(void *context, batch b);
float *llama_get_logits_ith(void *context, int32_t i);
int32_t llama_tokenize(void *vocab, const char *text, int32_t bytes, int32_t *ids, int32_t cap, bool add, bool special);

const char *llama_version(void) { return "0.0.0-fake"; }
void llama_backend_init(void) {}
void llama_log_set(log_fn *fn, void *user) {
    (void)user;
    log_to = fn;
}

options llama_model_default_params(void) { return (options){0}; }
options llama_context_default_params(void) {
    options o = {{512, 2048, 512, 1}};
    if (fault("layout")) o.words[0] = 0;
    return o;
}

void *llama_model_load_from_file(const char *path, options o) {
    (void)o;
    if (fault("crash")) abort();
    if (fault("load")) log_to(4, "there is no such architecture\n", NULL);
    return fault("load") || !path ? NULL : row;
}
void llama_model_free(void *model) { (void)model; }
void *llama_model_get_vocab(void *model) { return model; }
int32_t llama_vocab_n_tokens(void *vocab) {
    (void)vocab;
    const char *n = getenv("LEAT_FAKE_VOCAB");
    return (n ? atoi(n) : 0) + fault("vocab");
}

void *llama_init_from_model(void *model, options o) {
    n_ctx = o.words[0];
    n_batch = o.words[1];
    return fault("context") ? NULL : model;
}
void llama_free(void *context) { (void)context; }
uint32_t llama_n_ctx(void *context) { return context ? n_ctx : 0; }
uint32_t llama_n_batch(void *context) { return context ? n_batch : 0; }
void llama_set_n_threads(void *context, int32_t n, int32_t for_batch) { (void)context, (void)n, (void)for_batch; }

batch llama_batch_init(int32_t n, int32_t embd, int32_t n_seq_max) {
    (void)embd, (void)n_seq_max;
    size_t count = (size_t)n;
    batch b = {.token = calloc(count, 4), .pos = calloc(count, 4), .n_seq_id = calloc(count, 4),
               .seq_id = calloc(count + 1, sizeof(int32_t *)), .logits = calloc(count, 1)};
    for (size_t i = 0; i < count; i++) b.seq_id[i] = calloc(1, 4);
    if (fault("batch")) b.embd = row;
    return b;
}
void llama_batch_free(batch b) {
    for (size_t i = 0; b.seq_id[i]; i++) free(b.seq_id[i]);
    free(b.token);
    free(b.pos);
    free(b.n_seq_id);
    free(b.seq_id);
    free(b.logits);
}

int32_t llama_decode(void *context, batch b) { return context && b.n_tokens > 0 && b.pos[0] >= 0 ? 0 : 1; }
float *llama_get_logits_ith(void *context, int32_t i) { return context && i >= 0 ? row : NULL; }

int32_t llama_tokenize(void *vocab, const char *text, int32_t bytes, int32_t *ids, int32_t cap, bool add,
                       bool special) {
    (void)vocab, (void)text, (void)add, (void)special;
    for (int32_t i = 0; i < bytes && i < cap; i++) ids[i] = i + 1;
    return bytes <= cap ? bytes : -bytes;
}
