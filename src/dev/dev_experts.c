/* dev_experts.c: mixture of experts. The router's choice, then each expert's matrices once for all rows that chose
 * it. Every (token, rank) pair has a slot of its own, and slots are summed in router order: the order in which
 * experts finish never shows in the bits.
 */
#include "dev/dev_int.h"

/* Keeps the n_used largest probabilities of one row, largest first, equal ones by index. */
static void choose(const float *probability, size_t n_experts, size_t n_used, uint32_t *experts, float *weights) {
    for (size_t r = 0; r < n_used; r++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < n_experts; i++) {
            bool taken = false;
            for (size_t j = 0; j < r; j++) taken |= experts[j] == i;
            /* NaN compares false: with a broken router the first free experts are taken. */
            if (!taken && (best == SIZE_MAX || probability[i] > probability[best])) best = i;
        }
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

/* Counting sort of the slots by expert, stable. One worker: a few microseconds for a chunk. */
static void run_group(dev *d, dev_op *op, int worker, int n_workers) {
    (void)n_workers;
    if (worker != 0) return;
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

void dev_route(dev *d, const dev_buf *logits, size_t n, size_t n_experts, size_t n_used, bool normalise, float scale) {
    for (int phase = 0; phase < 2; phase++) {
        dev_op *op = dev_record(d, phase == 0 ? run_route : run_group);
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

/* Row pointers in sorted order, for each job and for the input. One worker. */
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

static void run_experts(dev *d, dev_op *op, int worker, int n_workers) {
    dev_routing *r = &d->routing;
    size_t slots = r->n_tokens * r->n_used, step = kern_row_step(d->kern);
    size_t rows_max = 0;
    for (size_t j = 0; j < op->n_jobs; j++) rows_max = MAX(rows_max, op->matrices[j].n_rows);
    /* All experts together should give about 32 tasks a worker, and a task at least one row step. */
    size_t rows = rows_max * r->n_chosen * op->n_jobs / ((size_t)n_workers * 32);
    rows = MAX(align_up(rows, step), step);
    size_t tasks_a_matrix = div_up(rows_max, rows), n = tasks_a_matrix * op->n_jobs * r->n_chosen;
    for (dev_tasks taken = {.whose = worker}; dev_take(d, op, n, DEV_PART_ONE, n_workers, &taken);) {
        size_t task = taken.first, x = task / (tasks_a_matrix * op->n_jobs), job = task / tasks_a_matrix % op->n_jobs;
        const dev_matrix *m = &op->matrices[job];
        size_t expert = r->chosen[x], first = task % tasks_a_matrix * rows, begin = r->first[expert];
        if (first >= m->n_rows) continue;
        const char *matrix = m->experts_at ? m->experts_at[expert]
                                           : (const char *)m->data + expert * m->n_rows * m->row_bytes;
        kern_matmul args = {
            .type = m->type,
            .role = op->role,
            .weights = matrix + first * m->row_bytes,
            .row_bytes = m->row_bytes,
            .n_rows = MIN(rows, m->n_rows - first),
            .n_in = m->n_in,
            .acts = r->acts + begin,
            .outs = r->outs + job * slots + begin,
            .out_first = first,
            .n_act = r->first[expert + 1] - begin,
            .scale = m->scales ? m->scales[expert] : 1.0f,
            .scratch = dev_scratch(d, worker),
        };
        kern_run_matmul(d->kern, &args);
    }
}

void dev_matmul_experts(dev *d, kern_role role, dev_set in, const dev_matrix *const *matrices,
                        const dev_buf *const *outs, size_t n_jobs) {
    /* Matrices of one op share a gathered input, so they must take the same format; others get an op of their own. */
    for (size_t begin = 0; begin < n_jobs;) {
        size_t end = begin + 1;
        kern_act format = kern_act_of(d->kern, matrices[begin]->type, role);
        while (end < n_jobs && kern_act_of(d->kern, matrices[end]->type, role) == format) end++;
        for (int phase = 0; phase < 2; phase++) {
            dev_op *op = dev_record(d, phase == 0 ? run_gather : run_experts);
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

static void run_combine(dev *d, dev_op *op, int worker, int n_workers) {
    size_t from, to;
    pool_share(op->n, 1, worker, n_workers, &from, &to);
    const dev_routing *r = &d->routing;
    for (size_t t = from; t < to; t++) {
        float *out = op->bufs[1]->rows[t];
        memset(out, 0, op->bufs[1]->width * sizeof *out);
        for (size_t i = 0; i < r->n_used; i++) {
            size_t slot = t * r->n_used + i;
            kern_axpy(d->kern, out, r->weights[slot], op->bufs[0]->rows[slot], op->bufs[1]->width);
        }
        if (op->onto) kern_add(d->kern, op->onto->rows[t], out, op->bufs[1]->width);
    }
}

void dev_combine(dev *d, const dev_buf *slots, const dev_buf *out, const dev_buf *x, size_t n) {
    dev_op *op = dev_record(d, run_combine);
    op->bufs[0] = slots;
    op->bufs[1] = out;
    op->onto = x;
    op->n = n;
}
