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
    /* Of a prompt about 128 tasks a worker: some experts have ten times the rows of most. */
    expert_tasks t = {.rows = dev_task_rows(d, op, &op->matrices[0], rows_max * matrices, n_workers * 128)};
    t.each = div_up(rows_max, t.rows);
    t.n = t.each * matrices;
    return t;
}

static const char *matrix_at(const dev_matrix *m, size_t expert) {
    return m->experts_at ? m->experts_at[expert] : (const char *)m->data + expert * m->n_rows * m->row_bytes;
}

/* Rows [first, first + n) of a matrix of the expert, times the rows that chose it. */
static kern_matmul matmul_of(dev *d, const dev_op *op, size_t expert, size_t job, size_t first, size_t n, int worker) {
    const dev_routing *r = &d->routing;
    const dev_matrix *m = &op->matrices[job];
    size_t begin = r->first[expert], slots = r->n_tokens * r->n_used;
    return (kern_matmul){
        .type = m->type,
        .role = op->role,
        .weights = matrix_at(m, expert) + first * m->row_bytes,
        .row_bytes = m->row_bytes,
        .n_rows = n,
        .n_in = m->n_in,
        .acts = r->acts + begin,
        .outs = r->outs + job * slots + begin,
        .out_first = first,
        .n_act = r->first[expert + 1] - begin,
        .scale = m->scales ? m->scales[expert] : 1.0f,
        .scratch = dev_scratch(d, worker),
    };
}

static void run_rows(dev *d, const dev_op *op, size_t expert, size_t job, size_t first, size_t n, int worker,
                     const void *then) {
    const dev_routing *r = &d->routing;
    kern_matmul args = matmul_of(d, op, expert, job, first, n, worker);
    size_t slot = r->order[r->first[expert]];
    const dev_acts *in = op->set == DEV_SET_ROWS ? dev_rows(d, op, worker) : &d->acts[DEV_SET_SLOTS];
    const void *act = in->rows[kern_act_of(d->kern, args.type, op->role)][op->set == DEV_SET_ROWS ? 0 : slot];
    if (!op->gathered) args.acts = &act, args.outs = &op->bufs[job]->rows[slot];
    args.then = then;
    kern_run_matmul(d->kern, &args);
}

/* The first rows of task i, of n_jobs matrices an expert. */
static const void *task_at(const dev *d, const dev_op *op, expert_tasks t, size_t n_jobs, size_t i) {
    const dev_matrix *m = &op->matrices[i / t.each % n_jobs];
    size_t first = i % t.each * t.rows;
    if (i >= t.n || first >= m->n_rows) return NULL;
    return matrix_at(m, d->routing.chosen[i / t.each / n_jobs]) + first * m->row_bytes;
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
            run_rows(d, op, d->routing.chosen[matrix / op->n_jobs], job, first, MIN(n * t.rows, rows - first), worker,
                     task_at(d, op, t, op->n_jobs, at + n));
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

/* ---- gate, up and SwiGLU of a prompt at once ------------------------------------------------------------------ */

/* DEV_COLUMNS rows of gate and of up give each activation so many floats, which stay in L2 until they are what down
 * takes. A worker has a part of gate's buffer for them, whose rows follow each other. */
#define GATED (2 * DEV_COLUMNS)
#define GATED_ACTS 512 /* so many activations at a time; few experts have more than the 300 for which L2 has room */
static size_t gated_acts(const dev *d, const dev_buf *gate) {
    size_t floats = gate->n_rows * align_up(gate->width, 16) / (size_t)pool_workers(d->pool);
    return MIN(floats / GATED, (size_t)GATED_ACTS);
}

/* A slot's place in the set of what down takes, which is not near the one before: fetched, to be written. */
static void fetch_slot(const dev *d, uint32_t formats, size_t slot, size_t first, size_t n) {
    for (int f = 0; f < KERN_ACT_FORMATS; f++)
        if (formats & 1u << f) {
            const char *to = d->acts[DEV_SET_SLOTS].rows[f][slot];
            size_t end = kern_act_offset(d->kern, (kern_act)f, first + n);
            for (size_t i = kern_act_offset(d->kern, (kern_act)f, first); i < end; i += 64)
                __builtin_prefetch(to + i, 1);
        }
}

/* Rows [first, first + n) of gate and up of an expert. */
static void run_gated_rows(dev *d, const dev_op *op, size_t expert, size_t first, size_t n, int worker,
                           const void *then) {
    const dev_routing *r = &d->routing;
    size_t most = gated_acts(d, op->bufs[0]), all = r->first[expert + 1] - r->first[expert];
    const uint32_t *slots = r->order + r->first[expert];
    float *outs[GATED_ACTS], *product = dev_scratch(d, worker);
    for (size_t i = 0; i < most; i++) outs[i] = op->bufs[0]->rows[0] + (most * (size_t)worker + i) * GATED;
    for (size_t at = 0, here; at < all; at += here) {
        here = MIN(all - at, most);
        for (size_t job = 0; job < 2; job++) {
            const dev_matrix *up = &op->matrices[1];
            kern_matmul args = matmul_of(d, op, expert, job, first, n, worker);
            args.acts += at;
            args.n_act = here;
            args.outs = outs;
            args.out_first = job * DEV_COLUMNS;
            args.then = job ? then : matrix_at(up, expert) + first * up->row_bytes;
            kern_run_matmul(d->kern, &args);
        }
        for (size_t i = 0; i < here; i++) {
            if (i + 2 < here) fetch_slot(d, op->formats, slots[at + i + 2], first, n);
            kern_swiglu(d->kern, outs[i], outs[i] + DEV_COLUMNS, n, product);
            dev_prepare_columns(d, &d->acts[DEV_SET_SLOTS], op->formats, slots[at + i], product - first, first, n);
        }
    }
}

static void run_gated(dev *d, dev_op *op, int worker, int n_workers) {
    const dev_routing *r = &d->routing;
    size_t rows = op->matrices[0].n_rows, each = div_up(rows, DEV_COLUMNS);
    expert_tasks tasks = {.rows = DEV_COLUMNS, .each = each, .n = r->n_chosen * each};
    for (dev_tasks t = {.whose = worker}; dev_take(d, op, tasks.n, DEV_PART_ONE, n_workers, &t);) {
        size_t first = t.first % each * DEV_COLUMNS;
        run_gated_rows(d, op, r->chosen[t.first / each], first, MIN(rows - first, (size_t)DEV_COLUMNS), worker,
                       task_at(d, op, tasks, 1, t.first + 1));
    }
}

void dev_gated_experts(dev *d, kern_role role, const dev_matrix *const *gate_up, const dev_buf *gate, const dev_buf *up,
                       size_t n, uint32_t formats) {
    const dev_routing *r = &d->routing;
    const dev_buf *outs[2] = {gate, up};
    bool all = n > 0;
    dev_matmul_experts(d, role, DEV_SET_ROWS, gate_up, outs, 2);
    dev_op *op = &d->ops[d->n_ops - 1];
    if (op->gathered && role == KERN_PROMPT && op->n_jobs == 2 && gated_acts(d, gate)) {
        op->run = run_gated;
        op->formats = formats;
        return;
    }
    for (size_t i = 0; !all && i < r->n_chosen; i++)
        for (size_t k = r->first[r->chosen[i]]; k < r->first[r->chosen[i] + 1]; k++) r->chosen_slots[n++] = r->order[k];
    dev_swiglu(d, DEV_SET_SLOTS, gate, up, NULL, NULL, n, formats);
    if (!all) d->ops[d->n_ops - 1].rows = r->chosen_slots;
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
