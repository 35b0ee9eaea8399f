/* model_int.h: families, tensor roles and the bound model, shared by the files of model/. */
#ifndef LEAT_MODEL_INT_H
#define LEAT_MODEL_INT_H

#include "model/model.h"

/* ---- families: what blocks an architecture has --------------------------------------------------------- */

enum {
    FAMILY_ROPE_INTERLEAVED = 1 << 0,  /* pairs (2i, 2i+1), else (i, i + n_rot/2)                          */
    FAMILY_QK_NORM = 1 << 1,           /* RMS norm of each query and key head before the rotation           */
    FAMILY_EXPERTS = 1 << 2,           /* may have experts (expert_count > 0)                               */
    FAMILY_EXPERTS_ONLY = 1 << 3,      /* must have them                                                    */
    FAMILY_EXPERT_FF = 1 << 4,         /* their width is expert_feed_forward_length, else feed_forward_length */
    FAMILY_ROUTER_NORMALISED = 1 << 5, /* chosen probabilities are divided by their sum                     */
    FAMILY_SHARED_EXPERT = 1 << 6,     /* one more expert for all tokens, behind a sigmoid gate             */
    FAMILY_NO_ROPE_4 = 1 << 7,         /* every fourth layer has no rotation                                */
    FAMILY_ATTN_TEMPERATURE = 1 << 8,  /* attention.temperature_scale and the yarn_* keys are read          */
    FAMILY_WINDOW = 1 << 9,            /* attention.sliding_window is honoured                              */
    FAMILY_ROPE_FREQS = 1 << 10,       /* rope_freqs.weight divides the rotation frequencies (Llama 3)      */
    FAMILY_FFN_SCALES = 1 << 11,       /* ".scale" tensors of the FFN apply to every type, else to NVFP4 only */
};

typedef struct model_family {
    const char *name; /* general.architecture */
    uint32_t blocks;  /* FAMILY_* */
} model_family;
const model_family *model_family_find(str name);

/* ---- tensors by role ------------------------------------------------------------------------------------ */

typedef enum {
    W_Q, W_K, W_V, W_O,
    W_GATE, W_UP, W_DOWN,
    W_ROUTER, W_GATE_EXPS, W_UP_EXPS, W_DOWN_EXPS,
    W_GATE_SHARED, W_UP_SHARED, W_DOWN_SHARED, W_ROUTER_SHARED,
    W_COUNT
} weight_role;
static inline bool model_is_routed(int role) { return role >= W_GATE_EXPS && role <= W_DOWN_EXPS; }

typedef enum {
    V_ATTN_NORM, V_FFN_NORM, V_Q_NORM, V_K_NORM,
    V_Q_BIAS, V_K_BIAS, V_V_BIAS, V_O_BIAS, V_GATE_BIAS, V_UP_BIAS, V_DOWN_BIAS,
    V_COUNT
} vector_role;

#define NO_TENSOR UINT32_MAX

/* A matrix in the file; data is filled in while it is leased. */
typedef struct bound_matrix {
    uint32_t tensor;   /* NO_TENSOR: this layer has none */
    uint32_t unit, n_units; /* in which units; not for experts: several have part_rows rows of the tensor each ... */
    uint8_t span;      /* ... or it is this part of a unit */
    size_t part_rows;
    size_t row_first;  /* where it starts inside a fused tensor (attn_qkv) */
    dev_matrix matrix; /* data NULL */
} bound_matrix;

#define OPS_NONE 8 /* more than a layer has ops with dense matrices */

typedef struct bound_layer {
    bound_matrix weights[W_COUNT];
    uint32_t first_unit, n_units; /* its dense tensors in the store */
    const float *vectors[V_COUNT]; /* decoded to floats at open; NULL: absent */
} bound_layer;

struct model {
    arena memory;
    const gguf *file;
    store *store;
    const model_family *family;
    model_shape shape;
    bound_layer *layers;          /* (n_layer) */
    uint32_t embedding;           /* tensor index of token_embd.weight */
    bound_matrix output;
    const float *output_norm, *output_bias;
    const float *rope_freqs;      /* (n_rot / 2), or NULL */
    uint32_t n_dense_units;       /* experts come after them */
    size_t part_bytes;            /* at which units are cut; 0: whole tensors */
};

err_code model_read_shape(model *m, err *e);
err_code model_bind(model *m, err *e);

/* ---- what is read and held as a whole ------------------------------------------------------------------- */

err_code model_set_units(model *m, err *e);
uint32_t model_unit_of_expert(const model *m, size_t layer, size_t expert);

/* The leases of one layer's experts, where these are not all in place for good. */
typedef struct model_leases {
    arena memory;
    const void **at[3];     /* (n_expert) each: gate, up, down of those leased */
    uint32_t *units, *counts, *pending, *ready; /* (n_expert) each             */
    store_lease *leases;    /* (n_expert): of those ready                      */
    size_t n_pending, n_ready;
    uint32_t *next;         /* (n_expert): units of the next layer that will probably be used */
    size_t n_next;          /* the likeliest first */
} model_leases;
err_code model_leases_open(model_leases *x, const model *m, err *e);
void model_leases_close(model_leases *x); /* accepts a zeroed one */
/* All of a layer's experts (n_layer: none) are read when nothing else is, where so many tokens will use nearly all. */
void model_leases_expect_all(model_leases *x, const model *m, size_t layer, size_t n_tokens);
/* After dev_route was submitted: calls compute with experts that are leased, their matrices in x->at, until all that
 * were chosen for b's rows have been computed. compute submits what it records. named, if not NULL: logits (which are
 * spoilt) of the next layer's router on what entered these experts; what it names is read when nothing else is. */
err_code model_leases_run(model_leases *x, const model *m, dev *d, size_t layer, const model_batch *b,
                          const dev_buf *named, void (*compute)(void *user, const uint32_t *experts, size_t n),
                          void *user, err *e);
/* ERR_CANCELLED where b's hook says so. */
err_code model_yield(const model_batch *b, const model *m, size_t layer, err *e);

/* ---- what goes into the matrices: for importance matrices ----------------------------------------------- */

/* Several matrices of a layer share an input. */
typedef enum { IN_ATTN, IN_O, IN_FFN, IN_DOWN, IN_EXPERTS, IN_DOWN_EXPS, IN_DOWN_SHARED, IN_COUNT } input_role;

typedef struct model_inputs {
    arena memory;
    dev_squares (*layers)[IN_COUNT]; /* (n_layer); sums NULL: the layer has no such input */
    dev_squares output;
    model_input *matrices;           /* (n_matrices): by tensor, in the order of layers */
    size_t n_matrices;
} model_inputs;
/* Everything is allocated here. */
err_code model_inputs_open(model_inputs *in, const model *m, err *e);
void model_inputs_close(model_inputs *in); /* accepts a zeroed one */

/* ---- rotation ------------------------------------------------------------------------------------------- */

/* (n_rot / 2) pairs cos, sin of one position. Source: RoFormer (Su 2021), linear scaling, YaRN (Peng 2023). */
void model_rope_row(const model *m, size_t pos, float *cos_sin);

#endif
