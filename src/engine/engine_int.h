/* engine_int.h: what the handles of include/leat.h are made of. */
#ifndef LEAT_ENGINE_INT_H
#define LEAT_ENGINE_INT_H

#include "leat.h"
#include "model/model.h"
#include "tok/tok.h"

struct leat_model {
    gguf *file;
    store *weights;
    model *model;
    tok *tokens; /* NULL when the file carries no tokenizer */
    yield_hook yield; /* of tokenizing and rendering */
    arena memory;
    const char *name, *chat_template;
    uint64_t identity; /* 0: not asked for yet; see api_saved.c */
    uint64_t ram_bytes; /* 0: what is free */
    bool map, placed;   /* only mapped; it is decided how the weights are held */
    bool keep_learnt;   /* see leat_model_options */
    bool guesses;       /* it is the draft of another one, which counts its memory */
    leat_model *draft;
    char warning[1280]; /* "": none */
    /* Streaming: */
    uint64_t table_bytes; /* of a store that streams, beside the weights */
    uint64_t other_bytes, ceiling_bytes; /* what is not for weights; all that may be held now, at most ram_bytes */
    uint64_t weights_bytes;              /* what the store was told last */
    uint64_t looked_ns;                  /* when the machine was last asked how it is */
    uint32_t squeezed;                   /* sixteenths given up while memory is short */
};

/* An earlier prompt: see api_kept.c. */
typedef struct engine_kept {
    kv_seq *sequence; /* NULL: none      */
    int32_t *tokens;  /* its, of (n_ctx) */
    uint64_t used;    /* when last, counted in uses */
} engine_kept;

struct leat_session {
    leat_model *model;
    pool *pool;
    const kern *kern;
    model_graph *graph;
    kv_cache *cache;
    kv_seq *sequence;
    size_t n_ctx, rows_max;
    int32_t *tokens; /* (n_ctx) what was fed */
    uint8_t *roles;  /* (n_ctx) leat_role of each, in the same block */
    bool (*yield)(void *user);
    void (*routed)(void *user, const leat_routed *what);
    void *user;
    float *logits; /* (n_vocab) of the last token */
    bool has_logits;
    engine_kept *kept; /* (n_kept), a block with their tokens */
    size_t n_kept;
    uint64_t n_uses;
    const leat_model *draft; /* known to have the same tokens */
};

/* api_memory.c: when a session has all that is not weights. The first one of a model decides how weights are held;
 * later ones take of their memory. */
err_code engine_place_weights(leat_session *s, err *e);
void engine_session_closed(leat_model *m);
uint64_t engine_all_weights(const leat_model *m); /* bytes, with those of its draft */
/* All memory that may be held, 0: what is free. Never more than is free, with what is held, whatever was asked for. */
uint64_t engine_ram(const leat_model *m);
/* Prompt tokens a pass, of a model whose weights are mapped whatever they take, or not. ram: all memory, 0: what is
 * free. */
size_t engine_chunk_within(const leat_model *m, uint64_t ram, bool map);

/* api_learnt.c. Experts used: when weights begin to be streamed, and when the model is closed. */
void engine_load_usage(leat_model *m);
void engine_save_usage(const leat_model *m);
/* How often a wanted expert would be one of the n_slots used most; below 0: too little is kept to say. */
float engine_known_hits(leat_model *m, size_t n_experts, size_t n_slots);
/* The disk's speed: before weights begin to be streamed; when it was measured; when the model is closed, where reads
 * turned out otherwise. */
void engine_load_disk(leat_model *m);
void engine_save_disk(const leat_model *m, double bytes_s, size_t depth);
void engine_judge_disk(const leat_model *m);
/* One more for leat_model_warning, beside those that are there. */
void engine_warn(leat_model *m, const char *format, ...) PRINTF_LIKE(2, 3);

/* sampler.c: what one takes. */
size_t engine_sampler_bytes(const leat_model *m);

/* api_kept.c. n: prompts to keep at most. */
err_code engine_kept_open(leat_session *s, size_t n, err *e);
/* Of the session, which shares `same` tokens with tokens[0..n), and the prompts that are kept: the one that shares most
 * becomes the session's, and what the session had before is kept. How many it shares. */
size_t engine_kept_swap(leat_session *s, const int32_t *tokens, size_t n, size_t same);
/* Before a first generated token: a model with a window may not find back to the prompt's end later. */
void engine_kept_prompt(leat_session *s);
/* Gives up pages that kept ones see no more, or else the one that was used least lately; false when there is none. */
bool engine_kept_drop(leat_session *s);

/* draft.c. ERR_ARGUMENT unless an id means the same text to both. */
err_code engine_draft_same_tokens(const leat_model *m, const leat_model *draft, err *e);

/* leat_error is err under its public name. */
_Static_assert(sizeof(leat_error) == sizeof(err), "leat_error and err must have one layout");
_Static_assert(offsetof(leat_error, text) == offsetof(err, text), "leat_error and err must have one layout");
_Static_assert((int)LEAT_INTERNAL == (int)ERR_INTERNAL && (int)LEAT_LIMIT == (int)ERR_LIMIT, "one list of codes");
static inline err *err_of(leat_error *e) { return (err *)e; }

#endif
