/* dev_attn.c: attention. dev_attn_store finishes queries (bias, norm, rotation, scale) and writes K and V rows into
 * the pages; dev_attn_run computes a head's attention: all queries that share a KV head walk its pages together.
 *
 * Order of arithmetic (part of the numerics rule): a page is one tile of the online softmax; SEGMENT_PAGES pages make
 * a segment, and finished segments are merged in order of position. The bounds depend on positions only, so a
 * query's bits are the same in any chunk and company, and segments may be given to different workers later.
 */
#include "dev/dev_int.h"

#define SEGMENT_PAGES 16

/* ---- store ------------------------------------------------------------------------------------------- */

static const dev_run *run_of_row(const dev_attn *a, size_t row) {
    const dev_run *run = a->runs;
    while (row >= run->row + run->n) run++;
    return run;
}

static void finish_head(dev *d, const dev_attn *a, size_t row, float *x, const float *bias, const float *norm) {
    if (bias) kern_add(d->kern, x, bias, a->dim_k);
    if (norm) kern_rms_norm(d->kern, x, norm, a->dim_k, a->eps, x);
    if (a->rope) kern_rope(d->kern, x, a->rope[row], a->n_rot, a->interleaved);
}

static void store_kv(dev *d, const dev_attn *a, size_t row, size_t head) {
    const dev_run *run = run_of_row(a, row);
    size_t pos = run->pos + row - run->row;
    uint16_t *page = run->pages[pos / DEV_PAGE];
    size_t at = head * DEV_PAGE + pos % DEV_PAGE;
    float *k = a->k->rows[row] + head * a->dim_k, *v = a->v->rows[row] + head * a->dim_v;
    finish_head(d, a, row, k, a->k_bias ? a->k_bias + head * a->dim_k : NULL, a->k_norm);
    if (a->v_bias) kern_add(d->kern, v, a->v_bias + head * a->dim_v, a->dim_v);
    kern_f16_of_f32(d->kern, k, page + a->k_offset + at * a->dim_k, a->dim_k);
    kern_f16_of_f32(d->kern, v, page + a->v_offset + at * a->dim_v, a->dim_v);
}

static void run_store(dev *d, dev_op *op, int worker, int n_workers) {
    const dev_attn *a = op->attn;
    size_t heads = a->n_head + a->n_head_kv, from, to;
    pool_share(op->n * heads, 1, worker, n_workers, &from, &to);
    for (size_t i = from; i < to; i++) {
        size_t row = i / heads, head = i % heads;
        if (head >= a->n_head) {
            store_kv(d, a, row, head - a->n_head);
            continue;
        }
        float *q = a->q->rows[row] + head * a->dim_k;
        finish_head(d, a, row, q, a->q_bias ? a->q_bias + head * a->dim_k : NULL, a->q_norm);
        kern_scale(d->kern, q, a->q_scale[row], a->dim_k);
    }
}

static size_t attn_n_rows(const dev_attn *a) {
    const dev_run *last = &a->runs[a->n_runs - 1];
    return last->row + last->n;
}

void dev_attn_store(dev *d, const dev_attn *a) {
    dev_op *op = dev_record(d, run_store);
    op->attn = a;
    op->n = attn_n_rows(a);
}

/* ---- attention ---------------------------------------------------------------------------------------- */

/* The running softmax of a set of query rows. */
typedef struct softmax_state {
    float *max, *sum; /* (rows) */
    float *acc;       /* (rows, dim_v) */
} softmax_state;

typedef struct attn_scratch {
    float *q; /* (rows, dim_k) */
    softmax_state segment, total;
    uint16_t *from, *to; /* (rows) */
} attn_scratch;

static size_t scratch_floats(size_t rows, size_t head_dim) {
    return align_up(rows, 16) * (3 * align_up(head_dim, 16) + 5);
}
size_t dev_attn_scratch_bytes(size_t rows, size_t head_dim) { return scratch_floats(rows, head_dim) * sizeof(float); }

static attn_scratch scratch_split(void *at, size_t rows, size_t dim_k, size_t dim_v) {
    attn_scratch s;
    float *p = at;
    rows = align_up(rows, 16);
    s.q = p, p += rows * dim_k;
    s.segment.acc = p, p += rows * dim_v;
    s.total.acc = p, p += rows * dim_v;
    s.segment.max = p, p += rows;
    s.segment.sum = p, p += rows;
    s.total.max = p, p += rows;
    s.total.sum = p, p += rows;
    s.from = (uint16_t *)p;
    s.to = s.from + rows;
    return s;
}

static void state_clear(softmax_state *s, size_t rows, size_t dim_v) {
    for (size_t i = 0; i < rows; i++) s->max[i] = -F32_INF, s->sum[i] = 0;
    memset(s->acc, 0, rows * dim_v * sizeof(float));
}

/* total += segment, row by row. A row that saw nothing in the segment stays untouched. */
static void state_merge(dev *d, softmax_state *total, const softmax_state *segment, size_t rows, size_t dim_v) {
    for (size_t i = 0; i < rows; i++) {
        float *to = total->acc + i * dim_v;
        const float *from = segment->acc + i * dim_v;
        if (segment->sum[i] == 0) continue;
        if (total->sum[i] == 0) {
            total->max[i] = segment->max[i];
            total->sum[i] = segment->sum[i];
            memcpy(to, from, dim_v * sizeof *to);
            continue;
        }
        float max = MAX(total->max[i], segment->max[i]);
        float keep = (float)math_exp((double)total->max[i] - max),
              take = (float)math_exp((double)segment->max[i] - max);
        kern_scale(d->kern, to, keep, dim_v);
        kern_axpy(d->kern, to, take, from, dim_v);
        total->sum[i] = total->sum[i] * keep + segment->sum[i] * take;
        total->max[i] = max;
    }
}

/* Queries [token, token + n_tok) of a run, all heads of one group: rows token-major. */
typedef struct attn_task {
    const dev_run *run;
    size_t token, n_tok, head_kv, group;
} attn_task;

/* The range of a page that each row sees; false when none sees any. */
static bool page_ranges(const dev_attn *a, const attn_task *t, size_t page, uint16_t *from, uint16_t *to) {
    bool any = false;
    size_t begin = page * DEV_PAGE;
    for (size_t i = 0; i < t->n_tok; i++) {
        size_t end_pos = t->run->pos + t->token + i + 1; /* one past the last position seen */
        size_t first_pos = a->window && end_pos > a->window ? end_pos - a->window : 0;
        size_t lo = first_pos > begin ? MIN(first_pos - begin, DEV_PAGE) : 0;
        size_t hi = end_pos > begin ? MIN(end_pos - begin, DEV_PAGE) : 0;
        if (lo >= hi) lo = hi = 0;
        else any = true;
        for (size_t h = 0; h < t->group; h++)
            from[i * t->group + h] = (uint16_t)lo, to[i * t->group + h] = (uint16_t)hi;
    }
    return any;
}

static void attend(dev *d, const dev_attn *a, const attn_task *t, attn_scratch *s) {
    size_t rows = t->n_tok * t->group, first_row = t->run->row + t->token, first_head = t->head_kv * t->group;
    for (size_t i = 0; i < t->n_tok; i++)
        memcpy(s->q + i * t->group * a->dim_k, a->q->rows[first_row + i] + first_head * a->dim_k,
               t->group * a->dim_k * sizeof(float));
    state_clear(&s->total, rows, a->dim_v);
    size_t first_pos = t->run->pos + t->token, last_page = (first_pos + t->n_tok - 1) / DEV_PAGE;
    size_t first_page = a->window && first_pos + 1 > a->window ? (first_pos + 1 - a->window) / DEV_PAGE : 0;
    for (size_t page = first_page; page <= last_page;) {
        size_t segment_end = MIN((page / SEGMENT_PAGES + 1) * SEGMENT_PAGES, last_page + 1);
        state_clear(&s->segment, rows, a->dim_v);
        for (; page < segment_end; page++) {
            if (!page_ranges(a, t, page, s->from, s->to)) continue;
            const uint16_t *at = t->run->pages[page], *next = page < last_page ? t->run->pages[page + 1] : NULL;
            size_t k_at = a->k_offset + t->head_kv * DEV_PAGE * a->dim_k;
            size_t v_at = a->v_offset + t->head_kv * DEV_PAGE * a->dim_v;
            kern_attn args = {
                .n_q = rows,
                .dim_k = a->dim_k,
                .dim_v = a->dim_v,
                .q = s->q,
                .k = at + k_at,
                .v = at + v_at,
                .k_next = next ? next + k_at : NULL,
                .v_next = next ? next + v_at : NULL,
                .k_stride = a->dim_k,
                .v_stride = a->dim_v,
                .n_pos = MIN(DEV_PAGE, first_pos + t->n_tok - page * DEV_PAGE),
                .from = s->from,
                .to = s->to,
                .max = s->segment.max,
                .sum = s->segment.sum,
                .acc = s->segment.acc,
            };
            kern_run_attn(d->kern, &args);
        }
        state_merge(d, &s->total, &s->segment, rows, a->dim_v);
    }
    for (size_t i = 0; i < rows; i++) {
        float *out = a->out->rows[first_row + i / t->group] + (first_head + i % t->group) * a->dim_v;
        memcpy(out, s->total.acc + i * a->dim_v, a->dim_v * sizeof *out);
        kern_scale(d->kern, out, 1.0f / s->total.sum[i], a->dim_v);
    }
}

static void run_attn(dev *d, dev_op *op, int worker, int n_workers) {
    (void)n_workers;
    const dev_attn *a = op->attn;
    size_t group = a->n_head / a->n_head_kv, block = MAX(d->attn_rows_max / group, 1);
    attn_scratch s = scratch_split(dev_scratch(d, worker), d->attn_rows_max, a->dim_k, a->dim_v);
    for (;;) {
        size_t task = dev_take(op);
        const dev_run *run = NULL;
        size_t blocks = 0;
        for (size_t i = 0; i < a->n_runs && !run; i++) {
            blocks = div_up(a->runs[i].n, block);
            if (task < blocks * a->n_head_kv) run = &a->runs[i];
            else task -= blocks * a->n_head_kv;
        }
        if (!run) return;
        /* Late positions see the most and are started first. */
        size_t token = (blocks - 1 - task / a->n_head_kv) * block;
        attn_task t = {run, token, MIN(block, run->n - token), task % a->n_head_kv, group};
        attend(d, a, &t, &s);
    }
}

void dev_attn_run(dev *d, const dev_attn *a) {
    dev_op *op = dev_record(d, run_attn);
    op->attn = a;
    op->n = attn_n_rows(a);
}
