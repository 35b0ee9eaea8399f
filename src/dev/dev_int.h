/* dev_int.h: the op list and what the files of dev/ share. */
#ifndef LEAT_DEV_INT_H
#define LEAT_DEV_INT_H

#include "dev/dev.h"

#include <stdatomic.h>

typedef struct dev_op dev_op;
struct dev_op {
    /* A worker here is a part of the pool's step: it has scratch and a range of tasks of its own, whichever thread
     * does it. */
    void (*run)(dev *d, dev_op *op, int worker, int n_workers);
    /* May be NULL. At the end of the step before, fetches what this one would wait for and nobody writes meanwhile. */
    void (*approach)(const dev *d, const dev_op *op, int worker, int n_workers);
    bool apart; /* each worker does all of it for itself, into its own copy of set ROWS: no barrier behind it */
    bool own;   /* reads those copies */
    bool gathered; /* experts: the lists of rows in dev_routing are made */
    kern_role role;
    dev_set set;
    uint32_t formats; /* mask of 1 << kern_act */
    size_t n;         /* rows */
    size_t n_jobs;
    dev_matrix matrices[DEV_JOBS_MAX];
    const dev_buf *bufs[DEV_JOBS_MAX];
    const float *vectors[DEV_JOBS_MAX]; /* weights and biases of length width */
    const dev_buf *onto; /* what the result is added to, or NULL */
    const uint32_t *rows;
    const uint16_t *const *forced; /* experts of each row, from forced_first on; NULL: the likeliest */
    size_t forced_first;
    dev_attn attn;
    bool stores; /* attention over rows of runs of one: whose keys and values are stored by who attends first */
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
    bool one_routed; /* the last dev_route recorded was for a single row */
    const uint16_t *const *forced; /* of the next dev_route */
    size_t forced_first;
    dev_op ops[DEV_OPS_MAX];
    size_t n_ops;
    size_t steps[DEV_OPS_MAX + 2]; /* while they run: the first op of each step of the pool, then n_ops */
    _Atomic uint32_t *taken; /* (workers, DEV_OPS_MAX): tasks gone of each worker's own, see dev_take */
};

/* Prepares n columns of a row, from `first` on (a multiple of DEV_COLUMNS), in all formats of the mask. */
void dev_prepare_columns(dev *d, const dev_acts *to, uint32_t formats, size_t row, const float *x,
                         size_t first, size_t n);
/* Appends an op, zeroed. */
dev_op *dev_record(dev *d, void (*run)(dev *d, dev_op *op, int worker, int n_workers));
static inline void *dev_scratch(dev *d, int worker) {
    return d->worker_scratch + (size_t)worker * d->worker_scratch_bytes;
}
#define DEV_COLUMNS 256 /* where workers share the columns of a row: so many at a time */
/* Set ROWS as the op's worker sees it. */
static inline const dev_acts *dev_rows(const dev *d, const dev_op *op, int worker) {
    return op->own || op->apart ? &d->own[worker] : &d->acts[DEV_SET_ROWS];
}
/* An op that prepares set ROWS from something that is complete. A single row costs less than a barrier and than
 * fetching it from another core. */
static inline void dev_sets_rows(dev *d, dev_op *op) { d->rows_own = op->apart = op->n == 1; }
/* Tasks [first, first + n) of an op, taken by a worker. */
typedef struct dev_tasks {
    int whose, done; /* whose range they come from, and how many ranges are empty; starts as {.whose = worker} */
    size_t first, n;
} dev_tasks;
static inline size_t dev_first_task(size_t n, int worker, int n_workers) {
    return n * (size_t)worker / (size_t)n_workers;
}
/* Takes from an op's n tasks; false when all are gone. Each worker has a range of its own, in order, so that it reads
 * on in memory where it stopped; when that is done it takes from the next worker's. What is taken at a time is a part
 * of what the range still has: large pieces first, and the last ones, for which the others wait, small. */
static inline bool dev_take(dev *d, const dev_op *op, size_t n, size_t part, int n_workers, dev_tasks *t) {
    for (; t->done < n_workers; t->done++, t->whose = (t->whose + 1) % n_workers) {
        size_t from = dev_first_task(n, t->whose, n_workers), all = dev_first_task(n, t->whose + 1, n_workers) - from;
        _Atomic uint32_t *taken = &d->taken[t->whose * DEV_OPS_MAX + (op - d->ops)];
        uint32_t gone = atomic_load_explicit(taken, memory_order_relaxed);
        while (gone < all) {
            t->n = MAX((all - gone) / part, 1);
            t->first = from + gone;
            if (atomic_compare_exchange_weak_explicit(taken, &gone, gone + (uint32_t)t->n, memory_order_relaxed,
                                                      memory_order_relaxed))
                return true;
        }
    }
    return false;
}
/* Rows a task: of a prompt, large pieces, `tasks` of all rows; else few, which are taken many at a time at first. */
size_t dev_task_rows(const dev *d, const dev_op *op, const dev_matrix *m, size_t rows, size_t tasks);
#define DEV_PART 4           /* of a matrix' rows */
#define DEV_PART_ONE SIZE_MAX /* tasks one by one */
/* Inlined at once: gcc takes a function that only prefetches for one that does nothing, and drops the call. */
static inline __attribute__((always_inline)) void dev_fetch(const void *at, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)at + i);
}
/* What a head of a row has of one segment of positions; segments for which there is room, of one row. */
static inline size_t dev_attn_part_floats(size_t head_dim) { return kern_attn_acc_row(head_dim) + 16; }
#define DEV_ATTN_SEGMENTS_MAX 128
/* Bytes of scratch that an attention task needs. */
size_t dev_attn_scratch_bytes(size_t rows, size_t head_dim);

#endif
