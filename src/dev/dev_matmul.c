/* dev_matmul.c: matrices times the prepared rows. Workers take tasks (a matrix and a block of its rows) from a
 * shared counter, so that a core taken away for a while delays one block, not the whole op. Which worker computes
 * a block never shows in the bits.
 */
#include "dev/dev_int.h"

/* Rows a task: enough tasks for balance (8 a worker and matrix), each long enough for the prefetchers. */
static size_t task_rows(const dev *d, size_t n_rows) {
    size_t step = kern_row_step(d->kern);
    size_t tasks = (size_t)pool_workers(d->pool) * 8;
    return MAX(align_up(div_up(n_rows, tasks), step), step);
}

static void run_matmul(dev *d, dev_op *op, int worker, int n_workers) {
    (void)n_workers;
    for (;;) {
        size_t task = dev_take(op), job = 0, rows = 0;
        for (; job < op->n_jobs; job++) {
            rows = task_rows(d, op->matrices[job]->n_rows);
            size_t tasks = div_up(op->matrices[job]->n_rows, rows);
            if (task < tasks) break;
            task -= tasks;
        }
        if (job == op->n_jobs) return;
        const dev_matrix *m = op->matrices[job];
        size_t first = task * rows;
        kern_matmul args = {
            .type = m->type,
            .role = op->role,
            .weights = (const char *)m->data + first * m->row_bytes,
            .row_bytes = m->row_bytes,
            .n_rows = MIN(rows, m->n_rows - first),
            .n_in = m->n_in,
            .acts = d->acts[DEV_SET_ROWS].rows[kern_act_of(d->kern, m->type, op->role)],
            .outs = op->bufs[job]->rows,
            .out_first = first,
            .n_act = op->n,
            .scale = m->scales ? m->scales[0] : 1.0f,
            .scratch = dev_scratch(d, worker),
        };
        kern_run_matmul(d->kern, &args);
    }
}

void dev_matmul(dev *d, kern_role role, const dev_matrix *const *matrices, const dev_buf *const *outs, size_t n_jobs,
                size_t n) {
    dev_op *op = dev_record(d, run_matmul);
    op->role = role;
    op->n = n;
    op->n_jobs = n_jobs;
    for (size_t i = 0; i < n_jobs; i++) {
        op->matrices[i] = matrices[i];
        op->bufs[i] = outs[i];
    }
}
