/* dev_rows.c: ops that treat each row by itself: norms, preparation of activations, SwiGLU, sums. */
#include "dev/dev_int.h"

void dev_prepare_columns(dev *d, const dev_acts *to, uint32_t formats, size_t row, const float *x,
                         size_t first, size_t n) {
    for (int f = 0; f < KERN_ACT_FORMATS; f++)
        if (formats & (1u << f)) {
            /* The table is const for the kernels that read it; here is where the rows are written. */
            union { const void *in; char *out; } at = {to->rows[f][row]};
            kern_act_prepare(d->kern, (kern_act)f, x + first, n, at.out + kern_act_offset(d->kern, (kern_act)f, first));
        }
}

uint32_t dev_formats(const dev *d, kern_role role, const dev_matrix *const *matrices, size_t n) {
    uint32_t mask = 0;
    for (size_t i = 0; i < n; i++) mask |= 1u << kern_act_of(d->kern, matrices[i]->type, role);
    return mask;
}

/* The rows that are this worker's. */
static void share_rows(const dev_op *op, int worker, int n_workers, size_t *from, size_t *to) {
    if (op->apart) worker = 0, n_workers = 1;
    pool_share(op->n, 1, worker, n_workers, from, to);
}

static void run_norm(dev *d, dev_op *op, int worker, int n_workers) {
    size_t from, to;
    share_rows(op, worker, n_workers, &from, &to);
    const dev_buf *x = op->bufs[0];
    float *normed = dev_scratch(d, worker);
    for (size_t i = from; i < to; i++) {
        kern_rms_norm(d->kern, x->rows[op->rows ? op->rows[i] : i], op->vectors[0], x->width, op->eps, normed);
        dev_prepare_columns(d, dev_rows(d, op, worker), op->formats, i, normed, 0, x->width);
    }
}

static void approach_norm(const dev *d, const dev_op *op, int worker, int n_workers) {
    (void)d, (void)worker, (void)n_workers;
    dev_fetch(op->vectors[0], op->bufs[0]->width * sizeof(float));
}

void dev_norm(dev *d, const dev_buf *x, const float *weight, float eps, size_t n, const uint32_t *rows,
              uint32_t formats) {
    ASSERT(x->width * sizeof(float) <= d->worker_scratch_bytes);
    dev_op *op = dev_record(d, run_norm);
    op->approach = approach_norm;
    op->bufs[0] = x;
    op->vectors[0] = weight;
    op->eps = eps;
    op->n = n;
    op->rows = rows;
    op->formats = formats;
    dev_sets_rows(d, op);
}

static void run_prepare(dev *d, dev_op *op, int worker, int n_workers) {
    size_t from, to;
    const dev_buf *x = op->bufs[0];
    share_rows(op, worker, n_workers, &from, &to);
    for (size_t i = from; i < to; i++)
        dev_prepare_columns(d, dev_rows(d, op, worker), op->formats, i, x->rows[i], 0, x->width);
}

void dev_prepare(dev *d, const dev_buf *x, size_t n, uint32_t formats) {
    dev_op *op = dev_record(d, run_prepare);
    op->bufs[0] = x;
    op->n = n;
    op->formats = formats;
    dev_sets_rows(d, op);
}

/* Workers share columns, too: of a single row, or of an expert's few. Pieces of a row stay in L1; the next one is
 * fetched meanwhile. */
#define PIECE (2 * DEV_COLUMNS)
static void run_swiglu(dev *d, dev_op *op, int worker, int n_workers) {
    const dev_buf *gate = op->bufs[0], *up = op->bufs[1];
    size_t from, to, parts = div_up(gate->width, DEV_COLUMNS);
    float *product = dev_scratch(d, worker);
    pool_share(op->n * parts, 1, worker, n_workers, &from, &to);
    while (from < to) {
        size_t k = from / parts, i = op->rows ? op->rows[k] : k, at = from % parts * DEV_COLUMNS;
        size_t end = MIN(at + MIN((to - from) * DEV_COLUMNS, PIECE), gate->width), n = end - at;
        float *g = gate->rows[i] + at, *u = up->rows[i] + at;
        dev_fetch(g + PIECE, PIECE * sizeof *g);
        dev_fetch(u + PIECE, PIECE * sizeof *u);
        if (op->vectors[0]) kern_add(d->kern, g, op->vectors[0] + at, n);
        if (op->vectors[1]) kern_add(d->kern, u, op->vectors[1] + at, n);
        kern_swiglu(d->kern, g, u, n, product);
        dev_prepare_columns(d, &d->acts[op->set], op->formats, i, product - at, at, n);
        from += div_up(n, DEV_COLUMNS);
    }
}

void dev_swiglu(dev *d, dev_set set, const dev_buf *gate, const dev_buf *up, const float *gate_bias,
                const float *up_bias, size_t n, uint32_t formats) {
    dev_op *op = dev_record(d, run_swiglu);
    op->bufs[0] = gate;
    op->bufs[1] = up;
    op->vectors[0] = gate_bias;
    op->vectors[1] = up_bias;
    op->set = set;
    op->n = n;
    op->formats = formats;
    if (set == DEV_SET_ROWS) d->rows_own = false;
}

static void run_add_gated(dev *d, dev_op *op, int worker, int n_workers) {
    size_t from, to;
    pool_share(op->n, 1, worker, n_workers, &from, &to);
    const dev_buf *out = op->bufs[0], *add = op->bufs[1], *gate = op->bufs[2];
    for (size_t i = from; i < to; i++) {
        float factor = (float)(1.0 / (1.0 + math_exp(-(double)gate->rows[i][0])));
        kern_axpy(d->kern, out->rows[i], factor, add->rows[i], out->width);
        kern_add(d->kern, op->onto->rows[i], out->rows[i], out->width);
    }
}

void dev_add_gated(dev *d, const dev_buf *out, const dev_buf *add, const dev_buf *gate, const dev_buf *x, size_t n) {
    dev_op *op = dev_record(d, run_add_gated);
    op->bufs[0] = out;
    op->bufs[1] = add;
    op->bufs[2] = gate;
    op->onto = x;
    op->n = n;
}

static void run_add_bias(dev *d, dev_op *op, int worker, int n_workers) {
    size_t from, to;
    pool_share(op->n, 1, worker, n_workers, &from, &to);
    for (size_t i = from; i < to; i++) kern_add(d->kern, op->bufs[0]->rows[i], op->vectors[0], op->bufs[0]->width);
}

void dev_add_bias(dev *d, const dev_buf *buf, const float *bias, size_t n) {
    dev_op *op = dev_record(d, run_add_bias);
    op->bufs[0] = buf;
    op->vectors[0] = bias;
    op->n = n;
}
