/* dev_matmul.c: matrices times the prepared rows. Workers take tasks (a matrix and a block of its rows), each from a
 * range of its own and then from others', so that a core taken away for a while delays one block, not the whole op.
 * Which worker computes a block never shows in the bits.
 */
#include "dev/dev_int.h"

/* Rows a task. A worker reads on from task to task, so they are short: the last ones are what cores wait for. */
static size_t task_rows(const dev *d, const dev_op *op, size_t n_rows) {
    size_t step = kern_row_step(d->kern), tasks = (size_t)pool_workers(d->pool) * (op->role == KERN_DECODE ? 32 : 8);
    return MAX(align_up(div_up(n_rows, tasks), step), step);
}

/* onto += rows [first, first + n) of the result, + bias. */
static void add_rows(dev *d, const dev_op *op, size_t first, size_t n) {
    for (size_t i = 0; i < op->n; i++) {
        float *x = op->onto->rows[i] + first;
        kern_add(d->kern, x, op->bufs[0]->rows[i] + first, n);
        if (op->vectors[0]) kern_add(d->kern, x, op->vectors[0] + first, n);
    }
}

static void run_matmul(dev *d, dev_op *op, int worker, int n_workers) {
    size_t rows[DEV_JOBS_MAX], first_task[DEV_JOBS_MAX + 1] = {0}, task;
    for (size_t j = 0; j < op->n_jobs; j++) {
        rows[j] = task_rows(d, op, op->matrices[j]->n_rows);
        first_task[j + 1] = first_task[j] + div_up(op->matrices[j]->n_rows, rows[j]);
    }
    size_t n = first_task[op->n_jobs], job;
    for (int whose = worker, done = 0; (task = dev_take_near(d, op, n, n_workers, &whose, &done)) < n;) {
        for (job = 0; task >= first_task[job + 1]; job++) {}
        const dev_matrix *m = op->matrices[job];
        size_t first = (task - first_task[job]) * rows[job];
        kern_matmul args = {
            .type = m->type,
            .role = op->role,
            .weights = (const char *)m->data + first * m->row_bytes,
            .row_bytes = m->row_bytes,
            .n_rows = MIN(rows[job], m->n_rows - first),
            .n_in = m->n_in,
            .acts = dev_rows(d, op, worker)->rows[kern_act_of(d->kern, m->type, op->role)],
            .outs = op->bufs[job]->rows,
            .out_first = first,
            .n_act = op->n,
            .scale = m->scales ? m->scales[0] : 1.0f,
            .scratch = dev_scratch(d, worker),
        };
        kern_run_matmul(d->kern, &args);
        if (op->onto) add_rows(d, op, first, args.n_rows);
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
        op->matrices[i] = matrices[i];
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
