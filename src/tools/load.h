/* load.h: a model and a session opened the same way by the commands that run it. */
#ifndef LEAT_TOOLS_LOAD_H
#define LEAT_TOOLS_LOAD_H

#include "quant/quant.h"
#include "tools/tools.h"

/* How the weights are held. */
typedef struct load_memory {
    uint64_t ram;
    bool map, no_map;
} load_memory;
/* Three rows of an option table. */
#define LOAD_MEMORY(T, field)                                                                                        \
    TOOLS_SIZE(T, field.ram, 0, "ram", "SIZE",                                                                       \
               "all memory to use; weights that do not fit are streamed from disk (default: what is free)"),         \
    TOOLS_FLAG(T, field.map, 0, "mmap", "let the system page the weights, even if they do not fit"),                 \
    TOOLS_FLAG(T, field.no_map, 0, "no-mmap", "read the weights into memory instead of mapping the file")

/* How keys and values are kept; NULL: in F16. */
typedef struct load_cache {
    const char *k, *v;
} load_cache;
/* Two rows of an option table. */
#define LOAD_CACHE_ROW(T, field, letters, name, what)                                                                \
    TOOLS_ROW(TOOLS_KIND_CHOICE, T, field, const char *, 0, name, "f16|bf16|q8_0|q4_0",                              \
              "how the context's " what " are kept (default: f16)", .word = letters)
#define LOAD_CACHE(T, field)                                                                                         \
    LOAD_CACHE_ROW(T, field.k, "ctk", "cache-type-k", "keys"),                                                       \
    LOAD_CACHE_ROW(T, field.v, "ctv", "cache-type-v", "values")
quant_id load_cache_type(const char *name); /* one of these words, or NULL */

typedef struct load_options {
    const char *path;
    load_memory memory;
    load_cache cache;
    int32_t n_ctx, n_threads, n_chunk; /* 0: the default */
    const char *isa;
    const leat_routing *routing; /* for measurements */
    bool quiet;      /* no warnings */
    bool importance; /* see leat_importance_at */
    bool (*yield)(void *user); /* NULL: stops at Ctrl-C */
    void *user;
} load_options;

typedef struct loaded {
    leat_model *model;
    leat_session *session;
} loaded;

/* "leat run: streaming: ..." on standard error; of the other modes only if `always`. */
void load_say_memory(tools *t, const loaded *l, bool always);
/* "stats: ..." on standard error: what was read for n_tokens generated in ns, since `before`. */
void load_say_stats(tools *t, const loaded *l, const leat_stats *before, size_t n_tokens, uint64_t ns);
/* Both report on standard error and return TOOLS_FAILED when it did not work; TOOLS_OK otherwise. */
int load_model(tools *t, loaded *out, const load_options *o);
/* Stops at Ctrl-C; warns of a context above the model's. */
int load_session(tools *t, loaded *out, const load_options *o);
void load_close(loaded *l); /* accepts a zeroed one */

#endif
