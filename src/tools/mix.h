/* mix.h: the named mixes of tensor types, and which type a mix gives to a tensor. Data and pure functions. */
#ifndef LEAT_TOOLS_MIX_H
#define LEAT_TOOLS_MIX_H

#include "quant/quant.h"

typedef struct mix {
    const char *name;      /* "Q4_K_M" */
    const char *help;
    uint32_t ftype;        /* general.file_type, as llama.cpp numbers them */
    quant_id base;         /* of a matrix that no rule names               */
    bool copy;             /* COPY: tensors stay as they are               */
} mix;

const mix *mix_find(str name); /* case-insensitive; also aliases (Q4_K) and the number of the file type; NULL: none */
const mix *mix_at(size_t i);   /* NULL past the end */

/* What the rules ask about a model. */
typedef struct mix_model {
    str arch;
    uint64_t n_layer, n_head, n_head_kv, n_expert; /* of layer 0; 0 where the file does not say */
    bool has_importance;                           /* a matrix of importance is given           */
    bool has_output;                               /* a tensor output.weight: the embeddings are not tied */
    uint64_t n_values;                             /* tensors that hold values of attention     */
} mix_model;

/* What a tensor is, by its name. */
typedef enum {
    MIX_OTHER, MIX_EMBEDDING, MIX_OUTPUT, MIX_QUERY, MIX_KEY, MIX_VALUE /* also fused: qkv, kv_b */, MIX_ATTENTION_OUT,
    MIX_UP, MIX_GATE, MIX_DOWN,
} mix_role;
mix_role mix_role_of(str name);

typedef struct mix_tensor {
    str name;
    const uint64_t *dims; /* 4 */
} mix_tensor;

/* False for what never changes its type: vectors, norms, routers and other small or sensitive tensors. */
bool mix_may_encode(const mix_tensor *t);

/* Tensors seen so far, by role; starts zeroed. The rules count: "the first eighth of all ffn_down". */
typedef struct mix_counts {
    uint64_t value, up, gate, down;
} mix_counts;
/* The type of the next tensor that may be encoded. Tensors are given in the order of layers and, within one, of names
 * (mix_before). */
quant_id mix_type(const mix *x, const mix_model *m, mix_counts *seen, const mix_tensor *t);
bool mix_before(str a, str b);

/* The nearest type whose blocks divide a row of n weights: `wanted` itself where they do. */
quant_id mix_fit(quant_id wanted, uint64_t n);
/* Whether nothing good comes out for this tensor without a matrix of importance. */
bool mix_needs_importance(const mix *x, str name, quant_id type);

#endif
