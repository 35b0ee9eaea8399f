/* dev_squares.c: sums of squares of what matrices are multiplied with. Workers split columns, never sums. */
#include "dev/dev_int.h"

static void add_row(double *sums, const float *row, size_t n) {
    for (size_t i = 0; i < n; i++) sums[i] += (double)row[i] * (double)row[i];
}

static void run_add_squares(dev *d, dev_op *op, int worker, int n_workers) {
    size_t from, to;
    const dev_squares *s = op->squares;
    const void *const *rows = dev_rows(d, op, worker)->rows[KERN_ACT_F32];
    pool_share(s->n_in, 16, worker, n_workers, &from, &to);
    for (size_t i = 0; i < op->n; i++) add_row(s->sums + from, (const float *)rows[i] + from, to - from);
    if (worker == 0) s->counts[0] += op->n;
}

void dev_add_squares(dev *d, size_t n, const dev_squares *to) {
    dev_op *op = dev_record(d, run_add_squares);
    op->n = n;
    op->own = d->rows_own;
    op->squares = to;
}

static void run_add_squares_routed(dev *d, dev_op *op, int worker, int n_workers) {
    size_t from, to;
    const dev_squares *s = op->squares;
    const dev_routing *r = &d->routing;
    const void *const *rows = d->acts[op->set].rows[KERN_ACT_F32];
    pool_share(s->n_in, 16, worker, n_workers, &from, &to);
    for (size_t c = 0; c < r->n_chosen; c++) {
        size_t x = r->chosen[c];
        double *sums = s->sums + x * s->n_in + from;
        for (size_t i = r->first[x]; i < r->first[x + 1]; i++) {
            size_t slot = r->order[i], row = op->set == DEV_SET_ROWS ? slot / r->n_used : slot;
            add_row(sums, (const float *)rows[row] + from, to - from);
        }
        if (worker == 0) s->counts[x] += r->first[x + 1] - r->first[x];
    }
}

void dev_add_squares_routed(dev *d, dev_set in, const dev_squares *to) {
    dev_op *op = dev_record(d, run_add_squares_routed);
    op->set = in;
    op->squares = to;
}
