/* dev_matmul.c: matrices times the prepared rows. Workers take tasks (a matrix and a block of its rows), each from a
 * range of its own and then from others', so that a core taken away for a while delays one block, not the whole op.
 * Which worker computes a block never shows in the bits.
 */
#include "dev/dev_int.h"

#define DECODE_BYTES 8192 /* of weights a task */

size_t dev_task_rows(const dev *d, const dev_op *op, const dev_matrix *m, size_t rows, size_t tasks) {
    size_t step = kern_row_step(d->kern), few = DECODE_BYTES / m->row_bytes & ~(size_t)1;
    if (op->role == KERN_DECODE) return MIN(MAX(few, 2), step);
    return MAX(align_up(div_up(rows, tasks), step), step);
}

typedef struct matrix_tasks {
    size_t rows[DEV_JOBS_MAX];      /* rows a task */
    size_t first[DEV_JOBS_MAX + 1]; /* the first task of each matrix, then their number */
} matrix_tasks;

static matrix_tasks split(const dev *d, const dev_op *op) {
    matrix_tasks t = {.first = {0}};
    for (size_t j = 0; j < op->n_jobs; j++) {
        const dev_matrix *m = &op->matrices[j];
        t.rows[j] = dev_task_rows(d, op, m, m->n_rows, (size_t)pool_workers(d->pool) * 8);
        t.first[j + 1] = t.first[j] + div_up(op->matrices[j].n_rows, t.rows[j]);
    }
    return t;
}

/* onto += columns [first, first + n) of the result, + bias. */
static void add_columns(dev *d, const dev_op *op, size_t first, size_t n) {
    for (size_t i = 0; i < op->n; i++) {
        float *x = op->onto->rows[i] + first;
        kern_add(d->kern, x, op->bufs[0]->rows[i] + first, n);
        if (op->vectors[0]) kern_add(d->kern, x, op->vectors[0] + first, n);
    }
}

/* The first rows of task i, or NULL behind the last one. */
static const void *task_at(const dev_op *op, const matrix_tasks *t, size_t i) {
    size_t j = 0;
    while (j < op->n_jobs && i >= t->first[j + 1]) j++;
    const dev_matrix *m = &op->matrices[j];
    return j < op->n_jobs ? (const char *)m->data + (i - t->first[j]) * t->rows[j] * m->row_bytes : NULL;
}

/* Rows [first, first + n) of a matrix. */
static void run_rows(dev *d, const dev_op *op, size_t job, size_t first, size_t n, int worker, const void *then) {
    const dev_matrix *m = &op->matrices[job];
    kern_matmul args = {
        .type = m->type,
        .role = op->role,
        .weights = (const char *)m->data + first * m->row_bytes,
        .row_bytes = m->row_bytes,
        .n_rows = n,
        .n_in = m->n_in,
        .acts = dev_rows(d, op, worker)->rows[kern_act_of(d->kern, m->type, op->role)],
        .outs = op->bufs[job]->rows,
        .out_first = m->out_first + first,
        .n_act = op->n,
        .scale = m->scales ? m->scales[0] : 1.0f,
        .scratch = dev_scratch(d, worker),
        .then = then,
    };
    kern_run_matmul(d->kern, &args);
    if (op->onto) add_columns(d, op, m->out_first + first, n);
}

static void run_matmul(dev *d, dev_op *op, int worker, int n_workers) {
    matrix_tasks t = split(d, op);
    size_t part = op->role == KERN_DECODE ? DEV_PART : DEV_PART_ONE;
    for (dev_tasks taken = {.whose = worker}; dev_take(d, op, t.first[op->n_jobs], part, n_workers, &taken);)
        for (size_t at = taken.first, end = at + taken.n, j = 0; at < end; j++) {
            if (at >= t.first[j + 1]) continue;
            size_t stop = MIN(end, t.first[j + 1]), first = (at - t.first[j]) * t.rows[j];
            run_rows(d, op, j, first, MIN((stop - t.first[j]) * t.rows[j], op->matrices[j].n_rows) - first, worker,
                     task_at(op, &t, stop));
            at = stop;
        }
}

void dev_matmul(dev *d, kern_role role, const dev_matrix *const *matrices, const dev_buf *const *outs, size_t n_jobs,
                size_t n) {
    dev_op *op = dev_record(d, run_matmul);
    op->role = role;
    op->n = n;
    op->own = d->rows_own;
    op->n_jobs = n_jobs;
    for (size_t i = 0; i < n_jobs; i++) {
        op->matrices[i] = *matrices[i];
        op->bufs[i] = outs[i];
    }
}

void dev_matmul_onto(dev *d, kern_role role, const dev_matrix *matrix, const dev_buf *out, const dev_buf *x,
                     const float *bias, size_t n) {
    dev_matmul(d, role, &matrix, &out, 1, n);
    dev_op *op = &d->ops[d->n_ops - 1];
    op->onto = x;
    op->vectors[0] = bias;
}
