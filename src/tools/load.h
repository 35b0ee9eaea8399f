/* load.h: a model and a session opened the same way by the commands that run it. */
#ifndef LEAT_TOOLS_LOAD_H
#define LEAT_TOOLS_LOAD_H

#include "quant/quant.h"
#include "tools/tools.h"

/* How the weights are held. */
typedef struct load_memory {
    uint64_t ram;
    bool map, no_map;
    bool no_learnt;
} load_memory;
/* For commands that generate text (keep_learnt): what they learn of a model's experts and the disk is kept. */
#define LOAD_LEARNT(T, field)                                                                                        \
    TOOLS_FLAG(T, field.no_learnt, 0, "no-usage",                                                                    \
               "neither use nor keep what was learnt of streamed models: experts used, the disk's speed")
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

/* The sampler's rows of an option table. */
#define LOAD_SEED_RANDOM UINT64_MAX /* a new one each time */
#define LOAD_SAMPLING(T, field)                                                                                      \
    TOOLS_U64(T, field.seed, 's', "seed", "S", "of the random choices (default: a new one each time)"),              \
    TOOLS_FLOAT(T, field.temperature, 0, "temp", "X", 0, 1000,                                                       \
                "temperature; 0 always takes the likeliest token ({})"),                                             \
    TOOLS_INT(T, field.top_k, 0, "top-k", "N", 0, INT32_MAX, "only the N likeliest; 0: off ({})"),                   \
    TOOLS_FLOAT(T, field.top_p, 0, "top-p", "X", 0, 1, "the likeliest that together reach X; 1: off ({})"),          \
    TOOLS_FLOAT(T, field.min_p, 0, "min-p", "X", 0, 1, "at least X times as likely as the likeliest; 0: off ({})"),  \
    TOOLS_FLOAT(T, field.typical_p, 0, "typical", "X", 0, 1, "locally typical sampling; 1: off ({})"),               \
    TOOLS_FLOAT(T, field.top_n_sigma, 0, "top-nsigma", "X", -1, 1000,                                                \
                "within X deviations of the best logit; -1: off ({})"),                                              \
    TOOLS_FLOAT(T, field.xtc_probability, 0, "xtc-probability", "X", 0, 1,                                           \
                "chance of excluding top choices; 0: off ({})"),                                                     \
    TOOLS_FLOAT(T, field.xtc_threshold, 0, "xtc-threshold", "X", 0, 1, "what counts as a top choice ({})"),          \
    TOOLS_INT(T, field.penalty_last_n, 0, "repeat-last-n", "N", 0, INT32_MAX,                                        \
              "tokens that penalties look back on ({})"),                                                            \
    TOOLS_FLOAT(T, field.repeat_penalty, 0, "repeat-penalty", "X", 0.01, 100, "on tokens seen; 1: off ({})"),        \
    TOOLS_FLOAT(T, field.presence_penalty, 0, "presence-penalty", "X", -100, 100,                                    \
                "once for a token seen; 0: off ({})"),                                                               \
    TOOLS_FLOAT(T, field.frequency_penalty, 0, "frequency-penalty", "X", -100, 100,                                  \
                "each time it was seen; 0: off ({})"),                                                               \
    TOOLS_FLOAT(T, field.dry_multiplier, 0, "dry-multiplier", "X", 0, 100, "against repeated sequences; 0: off ({})"),\
    TOOLS_FLOAT(T, field.dry_base, 0, "dry-base", "X", 1, 100, "growth with their length ({})"),                     \
    TOOLS_INT(T, field.dry_allowed_length, 0, "dry-allowed-length", "N", 0, INT32_MAX,                               \
              "length that costs nothing ({})"),                                                                     \
    TOOLS_INT(T, field.dry_penalty_last_n, 0, "dry-penalty-last-n", "N", -1, INT32_MAX,                              \
              "tokens looked back on; -1: the whole context ({})")
/* Two rows for leat_generator_options. */
#define LOAD_DRAFT(T, file, n)                                                                                       \
    TOOLS_STR(T, file, 0, "draft", "FILE", "a smaller model with the same tokens, which guesses ahead (or: repeats)"), \
    TOOLS_INT(T, n, 0, "draft-max", "N", 0, 64, "tokens guessed at a time, where it gains time; 0: none ({})")
#define LOAD_DRAFT_MAX 8 /* the default */
#define LOAD_CTX(T, field)                                                                                           \
    TOOLS_INT(T, field, 'c', "ctx-size", "N", 1, INT32_MAX, "context in tokens (default: the model's, at most 4096)")

typedef struct load_options {
    const char *path, *draft; /* draft: a smaller model that guesses, or NULL */
    load_memory memory;
    load_cache cache;
    bool keep_learnt;
    int32_t n_ctx, n_threads, n_chunk; /* 0: the default */
    const char *isa;
    const leat_routing *routing; /* for measurements */
    int32_t n_kept, kept_tokens; /* see leat_session_options */
    bool no_pin;     /* do not bind threads to cores */
    bool quiet;      /* no warnings */
    bool importance; /* see leat_importance_at */
    bool (*yield)(void *user); /* NULL: stops at Ctrl-C */
    void (*routed)(void *user, const leat_routed *what); /* for measurements */
    void *user;
} load_options;

typedef struct loaded {
    leat_model *model, *draft_model;
    leat_session *session, *draft;
} loaded;

/* TOOLS_OK, or the usage error of options that contradict each other. */
int load_check_memory(tools *t, const load_memory *m);
/* "leat run: warning: ..." on standard error, where there is anything to warn of. */
void load_say_warning(tools *t, const loaded *l);
/* "leat run: mapped: ..." on standard error: how the weights are held. `verbose`: also what this CPU may not do. */
void load_say_memory(tools *t, const loaded *l, bool verbose);
/* Follows what tokens cost, from the start on. */
typedef struct load_meter {
    leat_stats before;
    size_t n_tokens;
    uint64_t ns;
    size_t n_row;                  /* tokens of the row in work, */
    uint64_t row_ns, row_stall_ns; /* their time, and all stalls before them */
    double quickest_ns; /* a token of the quickest LOAD_ROW in a row, without what they waited for reads; 0: none yet */
} load_meter;
#define LOAD_ROW 8 /* so that guesses that were right do not count as tokens computed in no time */
void load_meter_start(load_meter *m, const leat_session *s);
void load_meter_add(load_meter *m, const leat_session *s, size_t n_tokens, uint64_t ns);
/* Ends the row in work, as add does when it is full; stall_ns: all stalls so far. */
void load_meter_end_row(load_meter *m, uint64_t stall_ns);

/* A token's reads, from the start of a meter to `now`. */
typedef struct load_reads {
    double tok_s;
    double hit_rate;           /* experts in memory of those wanted; 0 also where none were */
    double token_bytes;        /* 0: nothing was read                                       */
    double bytes_s;            /* while reading; 0: unknown                                 */
    double disk_share;         /* of the disk's speed as probed; 0: it was not              */
    double stalled;            /* share of the time                                         */
    double major_faults;
    double bound; /* tokens a second: the lesser of the disk's, probed or seen, whichever is faster, and computing's */
} load_reads;
/* compute_ns: of a token, were all weights in memory; 0: unknown, the disk alone bounds. */
load_reads load_meter_read(const load_meter *m, const leat_stats *now, double compute_ns);
/* That of the quickest tokens; of fewer than a row, of all. */
double load_meter_compute_ns(const load_meter *m, const leat_stats *now);

/* "stats: ..." on standard error: what was read for the generated tokens. Of mapped weights only what the system
 * counts: what a page fault waits for, and so what bounds them, nobody sees. */
void load_say_stats(tools *t, const loaded *l, const load_meter *m);
/* The same of a prompt that took ns; nothing where nothing was read. */
void load_say_prompt(tools *t, const leat_stats *before, const leat_stats *after, uint64_t ns);
/* Without a word. */
leat_code load_open(loaded *out, const load_options *o, leat_error *e);
/* Both report on standard error and return TOOLS_FAILED when it did not work; TOOLS_OK otherwise. */
int load_model(tools *t, loaded *out, const load_options *o);
/* Stops at Ctrl-C; warns of a context above the model's. */
int load_session(tools *t, loaded *out, const load_options *o);
void load_close(loaded *l); /* accepts a zeroed one */

#endif
