/* dev_attn.c: attention. run_store finishes queries (bias, norm, rotation, scale) and writes K and V rows into
 * the pages; run_attn computes a head's attention: all queries that share a KV head walk its pages together. Where
 * these are of one row, and one worker walks through all pages, it does the former, too.
 *
 * Order of arithmetic (part of the numerics rule): a page is one tile of the online softmax; SEGMENT_PAGES pages make
 * a segment, and finished segments are merged in order of position. The bounds depend on positions only, so a
 * query's bits are the same in any chunk and company, and whether one worker computes all segments of a head or several
 * one each.
 */
#include "dev/dev_int.h"

#define SEGMENT_PAGES 16
#define SEGMENT (SEGMENT_PAGES * DEV_PAGE)

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

/* KV heads [head, head + n) of a row. */
static void store_kv(dev *d, const dev_attn *a, size_t row, size_t head, size_t n) {
    const dev_run *run = run_of_row(a, row);
    size_t pos = run->pos + row - run->row;
    char *page = run->pages[pos / DEV_PAGE];
    float *k = a->k->rows[row] + head * a->dim_k, *v = a->v->rows[row] + head * a->dim_v;
    for (size_t h = 0; h < n; h++)
        finish_head(d, a, row, k + h * a->dim_k, a->k_bias ? a->k_bias + (head + h) * a->dim_k : NULL, a->k_norm);
    if (a->v_bias) kern_add(d->kern, v, a->v_bias + head * a->dim_v, n * a->dim_v);
    kern_attn_store(d->kern, a->type_k, true, k, n, a->dim_k,
                    page + a->k_offset + head * kern_attn_tile_bytes(a->type_k, a->dim_k), pos % DEV_PAGE);
    kern_attn_store(d->kern, a->type_v, false, v, n, a->dim_v,
                    page + a->v_offset + head * kern_attn_tile_bytes(a->type_v, a->dim_v), pos % DEV_PAGE);
}

static void finish_query(dev *d, const dev_attn *a, size_t row, size_t head) {
    float *q = a->q->rows[row] + head * a->dim_k;
    finish_head(d, a, row, q, a->q_bias ? a->q_bias + head * a->dim_k : NULL, a->q_norm);
    kern_scale(d->kern, q, a->q_scale[row], a->dim_k);
}

/* KV heads a task: encoders of blocks like 512 values at a time. */
static size_t store_heads(const dev_attn *a) {
    bool blocks = quant_find(a->type_k)->block_len > 1 || quant_find(a->type_v)->block_len > 1;
    return blocks ? MAX(512 / a->dim_k, 1) : 1;
}

static void run_store(dev *d, dev_op *op, int worker, int n_workers) {
    const dev_attn *a = &op->attn;
    size_t each = store_heads(a), tasks = a->n_head + div_up(a->n_head_kv, each), from, to;
    pool_share(op->n * tasks, 1, worker, n_workers, &from, &to);
    for (size_t i = from; i < to; i++) {
        size_t row = i / tasks, head = i % tasks;
        if (head >= a->n_head) {
            head = (head - a->n_head) * each;
            store_kv(d, a, row, head, MIN(each, a->n_head_kv - head));
            continue;
        }
        finish_query(d, a, row, head);
    }
}

static size_t attn_n_rows(const dev_attn *a) {
    const dev_run *last = &a->runs[a->n_runs - 1];
    return last->row + last->n;
}

/* ---- attention ---------------------------------------------------------------------------------------- */

/* The running softmax of a set of query rows. */
typedef struct softmax_state {
    float *base; /* (rows) */
    float *acc;  /* (rows, kern_attn_acc_row): see kern_attn */
} softmax_state;

typedef struct attn_scratch {
    float *q; /* (rows, dim_k) */
    softmax_state segment, total;
    uint16_t *from, *to; /* (rows) */
    void *tile;
} attn_scratch;

size_t dev_attn_scratch_bytes(size_t rows, size_t head_dim) {
    rows = align_up(rows, 16);
    return rows * (align_up(head_dim, 16) + 2 * kern_attn_acc_row(head_dim) + 3) * sizeof(float) +
           kern_attn_scratch_bytes(rows, head_dim, head_dim);
}

static attn_scratch scratch_split(void *at, size_t rows, size_t dim_k, size_t dim_v) {
    attn_scratch s;
    float *p = at;
    rows = align_up(rows, 16);
    s.q = p, p += rows * dim_k;
    s.segment.acc = p, p += rows * kern_attn_acc_row(dim_v);
    s.total.acc = p, p += rows * kern_attn_acc_row(dim_v);
    s.segment.base = p, p += rows;
    s.total.base = p, p += rows;
    s.from = (uint16_t *)p, p += rows;
    s.to = s.from + rows;
    s.tile = p;
    return s;
}

static void state_clear(softmax_state *s, size_t rows, size_t dim_v) {
    for (size_t i = 0; i < rows; i++) s->base[i] = -F32_INF;
    memset(s->acc, 0, rows * kern_attn_acc_row(dim_v) * sizeof(float));
}

/* One row: total += segment. A state that has seen nothing counts for nothing. */
static void state_merge(dev *d, const softmax_state *total, const softmax_state *segment, size_t dim_v) {
    float top = MAX(*total->base, *segment->base);
    size_t n = kern_attn_acc_row(dim_v);
    kern_scale(d->kern, total->acc, kern_attn_factor(*total->base - top), n);
    kern_axpy(d->kern, total->acc, kern_attn_factor(*segment->base - top), segment->acc, n);
    *total->base = top;
}

/* Added to zero, so that a zero has one sign. */
static void finish_row(dev *d, const dev_attn *a, const softmax_state *total, size_t row, size_t head) {
    float *out = a->out->rows[row] + head * a->dim_v, sum = 0;
    const float *sums = total->acc + align_up(a->dim_v, 16);
    for (size_t i = 0; i < 16; i++) sum += sums[i];
    memset(out, 0, a->dim_v * sizeof *out);
    kern_axpy(d->kern, out, 1.0f / sum, total->acc, a->dim_v);
}

static softmax_state state_row(const softmax_state *s, size_t row, size_t dim_v) {
    return (softmax_state){s->base + row, s->acc + row * kern_attn_acc_row(dim_v)};
}

/* Queries [token, token + n_tok) of a run, all heads of one group: rows token-major. */
typedef struct attn_task {
    const dev_run *run;
    size_t token, n_tok, head_kv, group, segment;
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

static void gather_queries(const dev_attn *a, const attn_task *t, attn_scratch *s) {
    size_t of_token = t->group * a->dim_k;
    for (size_t i = 0; i < t->n_tok; i++)
        memcpy(s->q + i * of_token, a->q->rows[t->run->row + t->token + i] + t->head_kv * of_token,
               of_token * sizeof(float));
}

/* The pages that a task's queries see at all: [*first, returned). */
static size_t page_bounds(const dev_attn *a, const attn_task *t, size_t *first) {
    size_t pos = t->run->pos + t->token;
    *first = a->window && pos + 1 > a->window ? (pos + 1 - a->window) / DEV_PAGE : 0;
    return (pos + t->n_tok - 1) / DEV_PAGE + 1;
}

/* s->segment = the queries over the pages of t->segment. */
static void attend_segment(dev *d, const dev_attn *a, const attn_task *t, attn_scratch *s) {
    size_t rows = t->n_tok * t->group, n_pos = t->run->pos + t->token + t->n_tok, first;
    size_t seen = page_bounds(a, t, &first), end = MIN(seen, (t->segment + 1) * SEGMENT_PAGES);
    size_t k_at = a->k_offset + t->head_kv * kern_attn_tile_bytes(a->type_k, a->dim_k);
    size_t v_at = a->v_offset + t->head_kv * kern_attn_tile_bytes(a->type_v, a->dim_v);
    state_clear(&s->segment, rows, a->dim_v);
    first = MAX(first, t->segment * SEGMENT_PAGES);
    for (size_t page = first; page < end; page++) {
        if (!page_ranges(a, t, page, s->from, s->to)) continue;
        const char *at = t->run->pages[page], *next = page + 1 < seen ? t->run->pages[page + 1] : NULL;
        kern_attn args = {
            .n_q = rows,
            .dim_k = a->dim_k,
            .dim_v = a->dim_v,
            .type_k = a->type_k,
            .type_v = a->type_v,
            .q = s->q,
            .k = at + k_at,
            .v = at + v_at,
            .k_next = next ? next + k_at : NULL,
            .v_next = next ? next + v_at : NULL,
            .n_pos = MIN(DEV_PAGE, n_pos - page * DEV_PAGE),
            .from = s->from,
            .to = s->to,
            .base = s->segment.base,
            .acc = s->segment.acc,
            .scratch = s->tile,
        };
        kern_run_attn(d->kern, &args);
    }
}

static void attend(dev *d, const dev_attn *a, attn_task *t, attn_scratch *s) {
    size_t rows = t->n_tok * t->group, first, end = page_bounds(a, t, &first);
    gather_queries(a, t, s);
    state_clear(&s->total, rows, a->dim_v);
    for (t->segment = first / SEGMENT_PAGES; t->segment * SEGMENT_PAGES < end; t->segment++) {
        attend_segment(d, a, t, s);
        for (size_t i = 0; i < rows; i++) {
            softmax_state total = state_row(&s->total, i, a->dim_v), segment = state_row(&s->segment, i, a->dim_v);
            state_merge(d, &total, &segment, a->dim_v);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        softmax_state total = state_row(&s->total, i, a->dim_v);
        finish_row(d, a, &total, t->run->row + t->token + i / t->group, t->head_kv * t->group + i % t->group);
    }
}

/* ---- segments by several workers ------------------------------------------------------------------------- */

/* The first segment that any row sees. */
static size_t first_segment(const dev_attn *a) {
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < a->n_runs; i++) {
        size_t pos = a->runs[i].pos + 1;
        first = MIN(first, a->window && pos > a->window ? (pos - a->window) / SEGMENT : 0);
    }
    return first;
}

/* A part is what a head of a row has of one segment, counted from first_segment: acc, then base. */
static softmax_state part_of(const dev *d, const dev_attn *a, size_t segments, size_t row, size_t head, size_t i) {
    float *at = d->attn_parts + ((row * a->n_head + head) * segments + i) * dev_attn_part_floats(d->head_dim_max);
    return (softmax_state){at + kern_attn_acc_row(a->dim_v), at};
}

static void attend_part(dev *d, const dev_attn *a, attn_task *t, attn_scratch *s, size_t segments) {
    size_t part = t->segment;
    t->segment += first_segment(a);
    gather_queries(a, t, s);
    attend_segment(d, a, t, s);
    for (size_t i = 0; i < t->n_tok * t->group; i++) {
        softmax_state from = state_row(&s->segment, i, a->dim_v);
        softmax_state to = part_of(d, a, segments, t->run->row + t->token + i / t->group,
                                   t->head_kv * t->group + i % t->group, part);
        *to.base = *from.base;
        memcpy(to.acc, from.acc, kern_attn_acc_row(a->dim_v) * sizeof(float));
    }
}

static void run_merge(dev *d, dev_op *op, int worker, int n_workers) {
    const dev_attn *a = &op->attn;
    attn_scratch s = scratch_split(dev_scratch(d, worker), d->attn_rows_max, a->dim_k, a->dim_v);
    size_t from, to;
    pool_share(op->n * a->n_head, 1, worker, n_workers, &from, &to);
    for (size_t i = from; i < to; i++) {
        size_t row = i / a->n_head, head = i % a->n_head;
        state_clear(&s.total, 1, a->dim_v);
        for (size_t k = 0; k < op->n_jobs; k++) {
            softmax_state part = part_of(d, a, op->n_jobs, row, head, k);
            state_merge(d, &s.total, &part, a->dim_v);
        }
        finish_row(d, a, &s.total, row, head);
    }
}

/* ---- the op ---------------------------------------------------------------------------------------------- */

static size_t block_tokens(const dev *d, const dev_attn *a) {
    return MAX(d->attn_rows_max / (a->n_head / a->n_head_kv), 1);
}

/* Task number i. op->n_jobs: segments, each a task of its own; 0: a task walks through all of them. */
static bool task_at(const dev *d, const dev_op *op, size_t i, attn_task *t) {
    const dev_attn *a = &op->attn;
    size_t block = block_tokens(d, a), segments = MAX(op->n_jobs, 1), each = a->n_head_kv * segments;
    for (const dev_run *run = a->runs; run < a->runs + a->n_runs; run++) {
        size_t blocks = div_up(run->n, block);
        if (i >= blocks * each) {
            i -= blocks * each;
            continue;
        }
        /* Late positions see the most and are started first. */
        size_t token = (blocks - 1 - i / each) * block;
        *t = (attn_task){run, token, MIN(block, run->n - token), i / segments % a->n_head_kv, a->n_head / a->n_head_kv,
                         i % segments};
        return true;
    }
    return false;
}

static size_t count_tasks(const dev *d, const dev_attn *a, size_t segments) {
    size_t n = 0, block = block_tokens(d, a);
    for (size_t i = 0; i < a->n_runs; i++) n += div_up(a->runs[i].n, block) * a->n_head_kv * MAX(segments, 1);
    return n;
}

static void run_attn(dev *d, dev_op *op, int worker, int n_workers) {
    const dev_attn *a = &op->attn;
    attn_scratch s = scratch_split(dev_scratch(d, worker), d->attn_rows_max, a->dim_k, a->dim_v);
    size_t n = count_tasks(d, a, op->n_jobs);
    attn_task t;
    for (dev_tasks taken = {.whose = worker}; dev_take(d, op, n, DEV_PART_ONE, n_workers, &taken);) {
        if (!task_at(d, op, taken.first, &t)) return;
        if (op->stores) {
            store_kv(d, a, t.run->row, t.head_kv, 1);
            for (size_t i = 0; i < t.group; i++) finish_query(d, a, t.run->row, t.head_kv * t.group + i);
        }
        if (op->n_jobs) attend_part(d, a, &t, &s, op->n_jobs);
        else attend(d, a, &t, &s);
    }
}

/* The worker's first page. */
static void approach_attn(const dev *d, const dev_op *op, int worker, int n_workers) {
    const dev_attn *a = &op->attn;
    attn_task t;
    size_t k_bytes = kern_attn_tile_bytes(a->type_k, a->dim_k), v_bytes = kern_attn_tile_bytes(a->type_v, a->dim_v);
    size_t first;
    if (!task_at(d, op, dev_first_task(count_tasks(d, a, op->n_jobs), worker, n_workers), &t)) return;
    size_t end = page_bounds(a, &t, &first);
    if (op->n_jobs) first = MAX(first, (t.segment + first_segment(a)) * SEGMENT_PAGES);
    size_t n = first + 1 == end ? (t.run->pos + t.token + t.n_tok - 1) % DEV_PAGE + 1 : DEV_PAGE;
    const char *page = t.run->pages[first];
    dev_fetch(page + a->k_offset + t.head_kv * k_bytes, k_bytes * n / DEV_PAGE);
    dev_fetch(page + a->v_offset + t.head_kv * v_bytes, v_bytes * n / DEV_PAGE);
}

/* Few tasks over many positions are split, where the parts have room. */
static size_t segments_to_split(const dev *d, const dev_attn *a) {
    size_t segments = 0, workers = (size_t)pool_workers(d->pool);
    for (size_t i = 0; i < a->n_runs; i++) segments = MAX(segments, div_up(a->runs[i].pos + a->runs[i].n, SEGMENT));
    segments -= first_segment(a);
    bool few = workers > 1 && segments > 1 && count_tasks(d, a, 0) < 8 * workers;
    return few && attn_n_rows(a) * a->n_head * segments <= d->attn_parts_max ? segments : 0;
}

static dev_op *record_attn(dev *d, const dev_attn *a, size_t segments,
                           void (*run)(dev *d, dev_op *op, int worker, int n_workers)) {
    dev_op *op = dev_record(d, run);
    op->attn = *a;
    op->n = attn_n_rows(a);
    op->n_jobs = segments;
    return op;
}

void dev_attend(dev *d, const dev_attn *a) {
    size_t segments = segments_to_split(d, a);
    bool at_once = attn_n_rows(a) == a->n_runs && !segments;
    if (!at_once) record_attn(d, a, 0, run_store);
    dev_op *op = record_attn(d, a, segments, run_attn);
    op->approach = approach_attn;
    op->stores = at_once;
    if (segments) record_attn(d, a, segments, run_merge);
}
