/* inspect.h: what there is to say about a GGUF file, collected from its header alone; any architecture, also one that
 * leat cannot run.
 */
#ifndef LEAT_TOOLS_INSPECT_H
#define LEAT_TOOLS_INSPECT_H

#include "gguf/gguf.h"

#define INSPECT_TYPES_MAX 48
#define INSPECT_PROBLEMS_MAX 8

typedef struct inspect_type {
    uint32_t id;
    uint64_t n_tensors, n_weights, n_bytes; /* bytes are 0 where leat does not know the type */
} inspect_type;

typedef struct inspect_facts {
    /* Views into the file; empty where it does not say. */
    str arch, name, rope_scaling, tok_model, tok_pre, chat_template;
    /* Of the architecture; 0 where the file does not say. Where layers differ, the largest. */
    uint64_t n_layer, n_embd, n_head, n_head_kv, dim_k, dim_v, n_ff;
    uint64_t n_expert, n_expert_used, n_ff_expert, n_vocab, n_ctx_train, window;
    double rope_base, rope_factor;
    /* Of the tensors. Active: what one token is multiplied with, experts by those used. */
    uint64_t n_weights, n_weights_active, weight_bytes;
    double bits_per_weight; /* of the tensors whose type leat knows */
    inspect_type types[INSPECT_TYPES_MAX]; /* most bytes first; a file with more kinds of types leaves the rest out */
    size_t n_types;
    /* Of the tokenizer; ids are -1 where there is none. */
    uint64_t n_tokens;
    int64_t bos, eos;
    str bos_text, eos_text;
    /* Memory at a context: keys and values as f16, all layers at full length. */
    uint64_t n_ctx, kv_bytes, scratch_bytes, need_bytes;
    /* Why leat cannot run it: one line each, none where it can. */
    char problems[INSPECT_PROBLEMS_MAX][sizeof((err *)0)->text];
    size_t n_problems;
} inspect_facts;

/* n_ctx 0: the file's, at most 4096. The file was opened with keep_unknown. */
void inspect_facts_collect(inspect_facts *f, const gguf *g, uint64_t n_ctx);

#endif
