/* model.h: a model's shape, its tensors by role, and the forward pass. A family (llama, qwen3moe, ...) is a table
 * row in families.c that says which blocks it has; the blocks themselves are written once, in graph.c.
 *
 * model: read-only, shared.  model_graph: the buffers with which one engine runs it.
 */
#ifndef LEAT_MODEL_H
#define LEAT_MODEL_H

#include "kv/kv.h"
#include "store/store.h"

typedef struct model model;
typedef struct model_graph model_graph;

typedef enum { MODEL_ROPE_NONE, MODEL_ROPE_LINEAR, MODEL_ROPE_YARN } model_rope_scaling;

typedef struct model_shape {
    size_t n_layer, n_embd, n_vocab, n_ctx_train;
    size_t n_head, n_head_kv, dim_k, dim_v, n_rot;
    size_t n_ff;                           /* dense feed-forward width; 0 where all layers have experts */
    size_t n_expert, n_expert_used, n_ff_expert, n_ff_shared;
    float rms_eps;
    size_t window;                         /* sliding window in tokens; 0: none */
    float rope_base;
    model_rope_scaling rope_scaling;
    float rope_factor;                     /* context is stretched by this; 1: not */
    float rope_attn_factor;                /* magnitude of the rotated rows */
    size_t rope_ctx_orig;
    float yarn_beta_fast, yarn_beta_slow, yarn_log_mul;
    float attn_temperature_scale;          /* mistral3: queries grow with log(position); 0: not */
} model_shape;

/* True when leat has a table row for this general.architecture. */
bool model_family_known(str name);
/* Whether such a model attends to attention.sliding_window tokens only; others carry the key and mean nothing by it. */
bool model_family_windows(str name);
/* All known names, comma-separated. */
size_t model_family_names(char *buf, size_t cap);

/* Reads and checks the header and binds every tensor; weights stay in the store. The gguf and the store must outlive
 * it. */
err_code model_open(model **out, const gguf *g, store *s, err *e);
void model_close(model *m); /* accepts NULL */
/* Before the store streams: dense weights in many small units instead of few large ones. */
err_code model_split_units(model *m, err *e);
const model_shape *model_shape_of(const model *m);
const char *model_family_name(const model *m);
kv_shape model_kv_shape(const model *m); /* in F16 */

typedef struct model_graph_opts {
    const kern *kern;
    pool *pool;        /* borrowed */
    size_t rows_max;   /* tokens a step */
    bool inputs;       /* sum up what goes into each matrix: model_graph_input */
    const uint16_t *routing; /* (routing_tokens, n_layer, routing_used): forced by position; NULL: the router chooses */
    size_t routing_tokens, routing_used;
    /* Told after each layer with experts: (n, n_used) of them. NULL: nobody asks. */
    void (*routed)(void *user, size_t layer, const uint32_t *experts, size_t n, size_t n_used);
    void *routed_user;
} model_graph_opts;
err_code model_graph_open(model_graph **out, const model *m, const model_graph_opts *o, err *e);
void model_graph_close(model_graph *g); /* accepts NULL */
size_t model_graph_bytes(const model_graph *g);
void model_graph_touch(const model_graph *g); /* its memory, before the first step does */

/* One step: rows of one role, in runs of consecutive positions of a sequence each. */
typedef struct model_batch {
    const int32_t *tokens;    /* (n), each checked against n_vocab */
    size_t n;                 /* at most rows_max */
    const dev_run *runs;      /* cover rows 0..n-1 in order; their pages are writable for these positions */
    size_t n_runs;
    kern_role role;
    const kv_cache *cache;
    bool (*yield)(void *user); /* once a layer, and where weights are waited for; true cancels */
    void *user;
} model_batch;
/* Computes hidden states of all rows and writes their K and V. On an error nothing must be committed. */
err_code model_graph_run(model_graph *g, const model_batch *b, err *e);
/* Logits of some rows of the last run: n at most model_graph_logits_max. rows_out[i] is (n_vocab), valid until the next
 * call. */
size_t model_graph_logits_max(const model_graph *g);
err_code model_graph_logits(model_graph *g, kern_role role, const uint32_t *rows, size_t n,
                            const float *const **rows_out, err *e);

/* What went into a weight matrix, over all steps of a graph opened with `inputs`; a failed step spoils it. */
typedef struct model_input {
    const char *tensor; /* name in the file */
    const dev_squares *squares;
} model_input;
/* False past the last matrix. */
bool model_graph_input(const model_graph *g, size_t index, model_input *out);

#endif
