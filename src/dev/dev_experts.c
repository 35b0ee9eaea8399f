/* dev_experts.c: mixture of experts. The router's choice, then each expert's matrices once for all rows that chose
 * it. Every (token, rank) pair has a slot of its own, and slots are summed in router order: the order in which
 * experts finish never shows in the bits.
 */
#include "dev/dev_int.h"

/* Keeps the n_used largest probabilities of one row, largest first, equal ones by index. */
static void choose(const float *probability, size_t n_experts, size_t n_used, uint32_t *experts, float *weights) {
    bool taken[DEV_EXPERTS_MAX];
    memset(taken, 0, n_experts * sizeof *taken);
    for (size_t r = 0; r < n_used; r++) {
        size_t best = 0;
        while (taken[best]) best++;
        /* NaN compares false: with a broken router the first free experts are taken. */
        for (size_t i = best + 1; i < n_experts; i++)
            if (probability[i] > probability[best] && !taken[i]) best = i;
        taken[best] = true;
        experts[r] = (uint32_t)best;
        weights[r] = probability[best];
    }
}

/* Those that it is told to keep. */
static void obey(const float *probability, const uint16_t *forced, size_t n_used, uint32_t *experts, float *weights) {
    for (size_t r = 0; r < n_used; r++) {
        experts[r] = forced[r];
        weights[r] = probability[forced[r]];
    }
}

static void run_route(dev *d, dev_op *op, int worker, int n_workers) {
    size_t from, to;
    pool_share(op->n, 1, worker, n_workers, &from, &to);
    dev_routing *r = &d->routing;
    for (size_t t = from; t < to; t++) {
        float *probability = op->bufs[0]->rows[t], *weights = r->weights + t * op->n_used;
        kern_softmax(d->kern, probability, op->n_experts);
        uint32_t *experts = r->experts + t * op->n_used;
        if (op->forced) obey(probability, op->forced[t] + op->forced_first, op->n_used, experts, weights);
        else choose(probability, op->n_experts, op->n_used, experts, weights);
        float sum = 0;
        for (size_t i = 0; i < op->n_used; i++) sum += weights[i];
        float factor = op->normalise ? op->scale / MAX(sum, 6.103515625e-5f) : op->scale;
        for (size_t i = 0; i < op->n_used; i++) weights[i] *= factor;
    }
}

/* Counting sort of the slots by expert, stable. */
static void group_slots(dev *d, const dev_op *op) {
    dev_routing *r = &d->routing;
    size_t slots = op->n * op->n_used;
    r->n_tokens = op->n;
    r->n_used = op->n_used;
    memset(r->first, 0, (op->n_experts + 1) * sizeof *r->first);
    for (size_t s = 0; s < slots; s++) r->first[r->experts[s] + 1]++;
    r->n_active = 0;
    for (size_t x = 0; x < op->n_experts; x++) {
        if (r->first[x + 1]) r->active[r->n_active++] = (uint32_t)x;
        r->first[x + 1] += r->first[x];
    }
    for (size_t s = 0; s < slots; s++) r->order[r->first[r->experts[s]]++] = (uint32_t)s;
    for (size_t x = op->n_experts; x > 0; x--) r->first[x] = r->first[x - 1];
    r->first[0] = 0;
    r->chosen = r->active;
    r->n_chosen = r->n_active;
}

/* One worker: a few microseconds for a chunk. */
static void run_group(dev *d, dev_op *op, int worker, int n_workers) {
    (void)n_workers;
    if (worker == 0) group_slots(d, op);
}

/* A single row: all of it by one worker. */
static void run_route_one(dev *d, dev_op *op, int worker, int n_workers) {
    (void)n_workers;
    if (worker != 0) return;
    run_route(d, op, 0, 1);
    group_slots(d, op);
}

void dev_route(dev *d, const dev_buf *logits, size_t n, size_t n_experts, size_t n_used, bool normalise, float scale) {
    d->one_routed = n == 1;
    for (int phase = 0; phase < (n == 1 ? 1 : 2); phase++) {
        dev_op *op = dev_record(d, n == 1 ? run_route_one : phase == 0 ? run_route : run_group);
        op->bufs[0] = logits;
        op->n = n;
        op->n_experts = n_experts;
        op->n_used = n_used;
        op->normalise = normalise;
        op->scale = scale;
        op->forced = d->forced;
        op->forced_first = d->forced_first;
    }
    d->forced = NULL;
}

void dev_force_route(dev *d, const uint16_t *const *rows, size_t first) {
    d->forced = rows;
    d->forced_first = first;
}

size_t dev_routed(const dev *d, const uint32_t **experts, uint32_t *counts) {
    const dev_routing *r = &d->routing;
    *experts = r->active;
    for (size_t i = 0; i < r->n_active; i++) counts[i] = r->first[r->active[i] + 1] - r->first[r->active[i]];
    return r->n_active;
}

const uint32_t *dev_routed_rows(const dev *d) { return d->routing.experts; }

void dev_choose_experts(dev *d, const uint32_t *experts, size_t n) {
    d->routing.chosen = experts;
    d->routing.n_chosen = n;
}

void dev_swiglu_chosen(dev *d, const dev_buf *gate, const dev_buf *up, uint32_t formats) {
    const dev_routing *r = &d->routing;
    size_t n = 0;
    for (size_t i = 0; i < r->n_chosen; i++)
        for (size_t k = r->first[r->chosen[i]]; k < r->first[r->chosen[i] + 1]; k++) r->chosen_slots[n++] = r->order[k];
    dev_swiglu(d, DEV_SET_SLOTS, gate, up, NULL, NULL, n, formats);
    d->ops[d->n_ops - 1].rows = r->chosen_slots;
}

/* Row pointers in sorted order, for each job and for the input. One worker; a single row does without. */
static void run_gather(dev *d, dev_op *op, int worker, int n_workers) {
    (void)n_workers;
    if (worker != 0) return;
    dev_routing *r = &d->routing;
    size_t slots = r->n_tokens * r->n_used;
    kern_act format = kern_act_of(d->kern, op->matrices[0].type, op->role);
    for (size_t i = 0; i < slots; i++) {
        size_t slot = r->order[i], in = op->set == DEV_SET_ROWS ? slot / r->n_used : slot;
        r->acts[i] = d->acts[op->set].rows[format][in];
        for (size_t j = 0; j < op->n_jobs; j++) r->outs[j * slots + i] = op->bufs[j]->rows[slot];
    }
}

/* Tasks: by expert, then matrix, then rows. */
typedef struct expert_tasks {
    size_t rows, each, n; /* rows a task; tasks a matrix; all */
} expert_tasks;

static expert_tasks split(const dev *d, const dev_op *op, size_t n_workers) {
    size_t rows_max = 0, matrices = d->routing.n_chosen * op->n_jobs;
    for (size_t j = 0; j < op->n_jobs; j++) rows_max = MAX(rows_max, op->matrices[j].n_rows);
    /* Of a prompt about 32 tasks a worker. */
    expert_tasks t = {.rows = dev_task_rows(d, op, &op->matrices[0], rows_max * matrices, n_workers * 32)};
    t.each = div_up(rows_max, t.rows);
    t.n = t.each * matrices;
    return t;
}

/* Rows [first, first + n) of a matrix of the expert, times the rows that chose it. */
static void run_rows(dev *d, const dev_op *op, size_t expert, size_t job, size_t first, size_t n, int worker) {
    const dev_routing *r = &d->routing;
    const dev_matrix *m = &op->matrices[job];
    size_t begin = r->first[expert], slots = r->n_tokens * r->n_used, slot = r->order[begin];
    const dev_acts *in = op->set == DEV_SET_ROWS ? dev_rows(d, op, worker) : &d->acts[DEV_SET_SLOTS];
    const void *act = in->rows[kern_act_of(d->kern, m->type, op->role)][op->set == DEV_SET_ROWS ? 0 : slot];
    const char *matrix = m->experts_at ? m->experts_at[expert]
                                       : (const char *)m->data + expert * m->n_rows * m->row_bytes;
    kern_matmul args = {
        .type = m->type,
        .role = op->role,
        .weights = matrix + first * m->row_bytes,
        .row_bytes = m->row_bytes,
        .n_rows = n,
        .n_in = m->n_in,
        .acts = op->gathered ? r->acts + begin : &act,
        .outs = op->gathered ? r->outs + job * slots + begin : &op->bufs[job]->rows[slot],
        .out_first = first,
        .n_act = r->first[expert + 1] - begin,
        .scale = m->scales ? m->scales[expert] : 1.0f,
        .scratch = dev_scratch(d, worker),
    };
    kern_run_matmul(d->kern, &args);
}

static void run_experts(dev *d, dev_op *op, int worker, int n_workers) {
    expert_tasks t = split(d, op, (size_t)n_workers);
    size_t part = op->role == KERN_DECODE ? DEV_PART : DEV_PART_ONE;
    for (dev_tasks taken = {.whose = worker}; dev_take(d, op, t.n, part, n_workers, &taken);)
        for (size_t at = taken.first, end = at + taken.n, n; at < end; at += n) {
            size_t matrix = at / t.each, job = matrix % op->n_jobs, first = at % t.each * t.rows;
            size_t rows = op->matrices[job].n_rows;
            n = MIN(end - at, t.each - at % t.each);
            if (first >= rows) continue;
            run_rows(d, op, d->routing.chosen[matrix / op->n_jobs], job, first, MIN(n * t.rows, rows - first), worker);
        }
}

void dev_matmul_experts(dev *d, kern_role role, dev_set in, const dev_matrix *const *matrices,
                        const dev_buf *const *outs, size_t n_jobs) {
    /* Matrices of one op share a gathered input, so they must take the same format; others get an op of their own. */
    for (size_t begin = 0; begin < n_jobs;) {
        size_t end = begin + 1;
        kern_act format = kern_act_of(d->kern, matrices[begin]->type, role);
        while (end < n_jobs && kern_act_of(d->kern, matrices[end]->type, role) == format) end++;
        for (int phase = d->one_routed; phase < 2; phase++) {
            dev_op *op = dev_record(d, phase == 0 ? run_gather : run_experts);
            op->gathered = !d->one_routed;
            op->own = d->rows_own;
            op->role = role;
            op->set = in;
            op->n_jobs = end - begin;
            for (size_t j = begin; j < end; j++) {
                op->matrices[j - begin] = *matrices[j];
                op->bufs[j - begin] = outs[j];
            }
        }
        begin = end;
    }
}

/* Workers share columns: of a single row, too. */
static void run_combine(dev *d, dev_op *op, int worker, int n_workers) {
    const dev_routing *r = &d->routing;
    size_t from, to, n, width = op->bufs[1]->width, parts = div_up(width, DEV_COLUMNS);
    pool_share(op->n * parts, 1, worker, n_workers, &from, &to);
    for (; from < to; from += div_up(n, DEV_COLUMNS)) {
        size_t t = from / parts, at = from % parts * DEV_COLUMNS;
        float *out = op->bufs[1]->rows[t] + at;
        n = MIN((to - from) * DEV_COLUMNS, width - at);
        memset(out, 0, n * sizeof *out);
        for (size_t i = 0; i < r->n_used; i++) {
            size_t slot = t * r->n_used + i;
            kern_axpy(d->kern, out, r->weights[slot], op->bufs[0]->rows[slot] + at, n);
        }
        if (op->onto) kern_add(d->kern, op->onto->rows[t] + at, out, n);
    }
}

void dev_combine(dev *d, const dev_buf *slots, const dev_buf *out, const dev_buf *x, size_t n) {
    dev_op *op = dev_record(d, run_combine);
    op->bufs[0] = slots;
    op->bufs[1] = out;
    op->onto = x;
    op->n = n;
}
