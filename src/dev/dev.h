/* dev.h: where ops run. A step records ops on a dev and submits them; all workers of the pool walk the list
 * together, an op at most one step of the pool. This is the CPU's; the op list is what another device would take
 * instead.
 *
 * Rows are tokens. A buffer holds one float row per token (or per expert slot); prepared activations, the
 * form that kern's matrix kernels take, live inside the dev, one set per format. Nothing here allocates after open.
 */
#ifndef LEAT_DEV_H
#define LEAT_DEV_H

#include "kern/kern.h"
#include "pool/pool.h"

#define DEV_OPS_MAX 64   /* ops recorded between two submits */
#define DEV_JOBS_MAX 3   /* matrices that share one input in one op */
#define DEV_EXPERTS_MAX 1024

typedef struct dev dev;

/* The sets of prepared activations. */
typedef enum { DEV_SET_ROWS, DEV_SET_SLOTS, DEV_SETS } dev_set;

typedef struct dev_opts {
    const kern *kern;
    pool *pool;         /* borrowed */
    size_t rows_max;    /* tokens a step */
    size_t slots_max;   /* rows_max x experts used a token; 0 without experts */
    size_t n_in_max;    /* longest row of any matrix */
    size_t n_slot_in_max; /* longest input row of an expert's down matrix; 0 without experts */
    uint32_t formats[DEV_SETS]; /* masks of 1 << kern_act: all that the sets will be prepared in */
    size_t n_experts;
    size_t attn_rows_max; /* most query rows of one attention task: tokens x heads of a group */
    size_t head_dim_max, n_head;
    size_t buffers_bytes; /* of all buffers that will be opened: the sum of dev_buf_bytes */
} dev_opts;

err_code dev_open(dev **out, const dev_opts *o, err *e);
void dev_close(dev *d); /* accepts NULL */
size_t dev_bytes(const dev *d);
void dev_touch(const dev *d); /* all of its memory, now instead of in the first step */

/* A float buffer: rows[i] is row i, 64-byte aligned. */
typedef struct dev_buf {
    float **rows;
    size_t n_rows, width;
} dev_buf;
size_t dev_buf_bytes(size_t n_rows, size_t width);
err_code dev_buf_open(dev *d, dev_buf *out, size_t n_rows, size_t width, err *e);

/* A matrix of a model: (n_rows, n_in), or (n_experts, n_rows, n_in) for experts. */
typedef struct dev_matrix {
    const void *data;    /* leased from the store for the time of the op */
    quant_id type;
    size_t n_in, n_rows, row_bytes;
    size_t out_first;    /* of its first row, among the output's: a matrix may come in parts */
    size_t n_experts;    /* 1 for a plain matrix */
    const float *scales; /* one per expert (".scale" tensors), or NULL */
    const void *const *experts_at; /* (n_experts): each expert's matrix, where they do not follow each other at data */
} dev_matrix;

/* ---- recording. Each call appends one op; all see the results of those before. ---------------------- */

/* Which formats a set must be prepared in for these matrices, as a mask of 1 << kern_act. */
uint32_t dev_formats(const dev *d, kern_role role, const dev_matrix *const *matrices, size_t n);

/* set ROWS = prepared(rms_norm(x) * weight). rows: which rows of x, or NULL for 0..n-1; prepared row i belongs to
 * rows[i]. */
void dev_norm(dev *d, const dev_buf *x, const float *weight, float eps, size_t n, const uint32_t *rows,
              uint32_t formats);
/* set ROWS = prepared(x). */
void dev_prepare(dev *d, const dev_buf *x, size_t n, uint32_t formats);
/* outs[j] = matrices[j] x set ROWS, for up to DEV_JOBS_MAX matrices. */
void dev_matmul(dev *d, kern_role role, const dev_matrix *const *matrices, const dev_buf *const *outs, size_t n_jobs,
                size_t n);
/* out = matrix x set ROWS; x += out + bias, which may be NULL. */
void dev_matmul_onto(dev *d, kern_role role, const dev_matrix *matrix, const dev_buf *out, const dev_buf *x,
                     const float *bias, size_t n);
/* set (ROWS or SLOTS) = prepared(silu(gate + gate_bias) * (up + up_bias)); biases may be NULL, else gate and up are
 * overwritten. */
void dev_swiglu(dev *d, dev_set set, const dev_buf *gate, const dev_buf *up, const float *gate_bias,
                const float *up_bias, size_t n, uint32_t formats);

/* One sequence's part of a batch: rows [row, row + n) are its positions [pos, pos + n). */
typedef struct dev_run {
    size_t row, n, pos;
    char *const *pages; /* of DEV_PAGE positions each */
} dev_run;
#define DEV_PAGE KERN_ATTN_TILE

typedef struct dev_attn {
    size_t n_head, n_head_kv, dim_k, dim_v, n_rot;
    bool interleaved;          /* rope pairs, see kern_rope */
    const float *const *rope;  /* per row: (n_rot / 2) pairs cos, sin; NULL: no rotation in this layer */
    const float *q_scale;      /* per row: 1/sqrt(dim) and any temperature */
    const float *q_bias, *k_bias, *v_bias; /* or NULL */
    const float *q_norm, *k_norm;          /* per head (dim_k), or NULL */
    float eps;
    size_t window;             /* a query sees itself and window-1 positions before; 0: all */
    quant_id type_k, type_v;   /* in the pages */
    size_t k_offset, v_offset; /* of this layer in a page, in bytes; the heads' tiles follow each other, see kern.h */
    const dev_run *runs;
    size_t n_runs;
    const dev_buf *q, *k, *v;  /* (n_head * dim_k), (n_head_kv * dim_k), (n_head_kv * dim_v) */
    const dev_buf *out;        /* (n_head * dim_v) */
} dev_attn;
/* Biases, QK-norm, rotation, query scale; K and V rows go into the pages; then causal attention over the pages. */
void dev_attend(dev *d, const dev_attn *a);

/* Router: probabilities are softmax(logits); the n_used largest are taken (ties: lower index first), divided by their
 * sum where `normalise` (the sum clamped to 2^-14), and multiplied by `scale`. Groups the rows by expert for the ops
 * below. */
void dev_route(dev *d, const dev_buf *logits, size_t n, size_t n_experts, size_t n_used, bool normalise, float scale);
/* outs[j] row slot = matrices[j][expert of slot] x (set ROWS row of the slot's token, or set SLOTS row slot). */
void dev_matmul_experts(dev *d, kern_role role, dev_set in, const dev_matrix *const *matrices,
                        const dev_buf *const *outs, size_t n_jobs);
/* The next dev_route takes experts rows[i][first], [first + 1], ... for row i, whatever their probability: for
 * measurements with recorded routing. */
void dev_force_route(dev *d, const uint16_t *const *rows, size_t first);
/* After a submit of dev_route: the experts with rows, in *experts until the next dev_route, and in counts (n_experts)
 * how many rows each has. Returns their number. */
size_t dev_routed(const dev *d, const uint32_t **experts, uint32_t *counts);
/* The same by token: (n, n_used), largest weight first. Valid until the next submit. */
const uint32_t *dev_routed_rows(const dev *d);
/* The ops on experts recorded from here on work for these only, of those with rows; until the next dev_route. The list
 * must live until submit. */
void dev_choose_experts(dev *d, const uint32_t *experts, size_t n);
/* set SLOTS = prepared(silu(gate) * up), gate and up = gate_up[expert of slot] x set ROWS row of the slot's token, of
 * the chosen experts; n is how many slots there are, where these are all, else 0. What is in the bufs then is lost. */
void dev_gated_experts(dev *d, kern_role role, const dev_matrix *const *gate_up, const dev_buf *gate, const dev_buf *up,
                       size_t n, uint32_t formats);
/* out row = sum over its experts, in router order, of weight x slots row; x += out, where x is not NULL. */
void dev_combine(dev *d, const dev_buf *slots, const dev_buf *out, const dev_buf *x, size_t n);
/* out row += sigmoid(gate row [0]) x add row; x += out. */
void dev_add_gated(dev *d, const dev_buf *out, const dev_buf *add, const dev_buf *gate, const dev_buf *x, size_t n);
/* buf row += bias, (buf->width). */
void dev_add_bias(dev *d, const dev_buf *buf, const float *bias, size_t n);

/* Adds up what ops are fed with: for importance matrices. */
typedef struct dev_squares {
    size_t n_in, n_experts; /* n_experts: 1 for a plain matrix        */
    double *sums;           /* (n_experts, n_in): of squares          */
    uint64_t *counts;       /* (n_experts): of rows                   */
} dev_squares;
/* Adds the first n rows of set ROWS; they were prepared as KERN_ACT_F32, beside what else is wanted. A sum is added up
 * by one worker in the order of rows, so that it never depends on how many there are. */
void dev_add_squares(dev *d, size_t n, const dev_squares *to);
/* The same for each chosen expert with the rows that dev_route sent to it: of set ROWS, or of set SLOTS. */
void dev_add_squares_routed(dev *d, dev_set in, const dev_squares *to);

/* Runs everything recorded and forgets it. */
void dev_submit(dev *d);

#endif
