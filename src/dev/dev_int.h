/* dev_int.h: the op list and what the files of dev/ share. */
#ifndef LEAT_DEV_INT_H
#define LEAT_DEV_INT_H

#include "dev/dev.h"

#include <stdatomic.h>

typedef struct dev_op dev_op;
struct dev_op {
    void (*run)(dev *d, dev_op *op, int worker, int n_workers);
    _Atomic uint32_t next; /* the next task, for ops that hand tasks out */
    bool apart; /* each worker does all of it for itself, into its own copy of set ROWS: no barrier behind it */
    bool own;   /* reads those copies */
    kern_role role;
    dev_set set;
    uint32_t formats; /* mask of 1 << kern_act */
    size_t n;         /* rows */
    size_t n_jobs;
    const dev_matrix *matrices[DEV_JOBS_MAX];
    const dev_buf *bufs[DEV_JOBS_MAX];
    const float *vectors[DEV_JOBS_MAX]; /* weights and biases of length width */
    const dev_buf *onto; /* what the result is added to, or NULL */
    const uint32_t *rows;
    const uint16_t *const *forced; /* experts of each row, from forced_first on; NULL: the likeliest */
    size_t forced_first;
    const dev_attn *attn;
    const dev_squares *squares;
    size_t n_experts, n_used;
    float eps, scale;
    bool normalise;
};

/* Prepared activations: one row pointer table per format; rows of one format have the stride of the longest input. */
typedef struct dev_acts {
    const void **rows[KERN_ACT_FORMATS];
    size_t n_rows;
} dev_acts;

/* What dev_route leaves for the expert ops. Slot = token * n_used + rank. */
typedef struct dev_routing {
    size_t n_tokens, n_used, n_active;
    float *weights;      /* (slots) */
    uint32_t *experts;   /* (slots) */
    uint32_t *order;     /* (slots): slots sorted by expert, stable */
    uint32_t *first;     /* (n_experts + 1): where an expert's slots start in order */
    uint32_t *active;    /* (n_active): experts with work */
    const uint32_t *chosen; /* (n_chosen): those that ops are for: active, or a part of it */
    size_t n_chosen;
    uint32_t *chosen_slots; /* (slots): of a part */
    const void **acts;   /* (slots): in sorted order */
    float **outs;        /* (DEV_JOBS_MAX, slots): in sorted order */
} dev_routing;

struct dev {
    arena memory;
    const kern *kern;
    pool *pool;
    dev_acts acts[DEV_SETS];
    dev_acts *own;   /* (workers): set ROWS of a single row, each worker's copy; the first is the set itself */
    bool rows_own;   /* set ROWS lies there, as far as ops have been recorded */
    dev_routing routing;
    char *worker_scratch; /* (workers, worker_scratch_bytes): matrix kernels, attention and norms, one op at a time */
    size_t worker_scratch_bytes;
    size_t attn_rows_max, head_dim_max;
    float *attn_parts; /* (attn_parts_max, dev_attn_part_floats) */
    size_t attn_parts_max;
    const uint16_t *const *forced; /* of the next dev_route */
    size_t forced_first;
    dev_op ops[DEV_OPS_MAX];
    size_t n_ops;
    size_t steps[DEV_OPS_MAX + 2]; /* while they run: the first op of each step of the pool, then n_ops */
    _Atomic uint32_t *taken; /* (workers, DEV_OPS_MAX): tasks gone of each worker's own, see dev_take_near */
};

/* Appends an op, zeroed. */
dev_op *dev_record(dev *d, void (*run)(dev *d, dev_op *op, int worker, int n_workers));
static inline void *dev_scratch(dev *d, int worker) {
    return d->worker_scratch + (size_t)worker * d->worker_scratch_bytes;
}
/* Prepares n columns of a row, from `first` on, a multiple of DEV_COLUMNS, in all formats of the mask. */
void dev_prepare_columns(dev *d, const dev_acts *to, uint32_t formats, size_t row, const float *x, size_t first, size_t n);
#define DEV_COLUMNS 256
/* Set ROWS as the op's worker sees it. */
static inline const dev_acts *dev_rows(const dev *d, const dev_op *op, int worker) {
    return op->own || op->apart ? &d->own[worker] : &d->acts[DEV_SET_ROWS];
}
/* An op that prepares set ROWS from something that is complete. A single row costs less than a barrier and than
 * fetching it from another core. */
static inline void dev_sets_rows(dev *d, dev_op *op) { d->rows_own = op->apart = op->n == 1; }
/* The next task index of the op. */
static inline uint32_t dev_take(dev_op *op) { return atomic_fetch_add_explicit(&op->next, 1, memory_order_relaxed); }
/* Of an op's n tasks, the next for this worker, or n: each worker has a range of its own, in order, so that it reads on
 * in memory where it stopped; when that is done it takes from the next worker's. *whose starts as the worker. */
static inline size_t dev_take_near(dev *d, const dev_op *op, size_t n, int n_workers, int *whose, int *done) {
    for (; *done < n_workers; (*done)++, *whose = (*whose + 1) % n_workers) {
        size_t from = n * (size_t)*whose / (size_t)n_workers, to = n * ((size_t)*whose + 1) / (size_t)n_workers;
        _Atomic uint32_t *taken = &d->taken[*whose * DEV_OPS_MAX + (op - d->ops)];
        size_t task = from + atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
        if (task < to) return task;
    }
    return n;
}
/* What a head of a row has of one segment of positions; segments for which there is room, of one row. */
static inline size_t dev_attn_part_floats(size_t head_dim) { return align_up(head_dim, 16) + 16; }
#define DEV_ATTN_SEGMENTS_MAX 128
/* Bytes of scratch that an attention task needs. */
size_t dev_attn_scratch_bytes(size_t rows, size_t head_dim);

#endif
