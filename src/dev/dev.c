/* dev.c: opening, buffers, the op list. The ops themselves: dev_rows.c, dev_matmul.c, dev_experts.c, dev_attn.c. */
#include "dev/dev_int.h"

static size_t acts_bytes(const kern *k, uint32_t formats, size_t rows, size_t n_in) {
    size_t bytes = 0;
    for (int f = 0; f < KERN_ACT_FORMATS; f++)
        if (formats >> f & 1) bytes += rows * (kern_act_bytes(k, (kern_act)f, n_in) + sizeof(void *)) + 2 * 64;
    return bytes;
}

static bool acts_open(dev *d, dev_acts *a, uint32_t formats, size_t rows, size_t n_in) {
    a->n_rows = rows;
    for (int f = 0; f < KERN_ACT_FORMATS && rows; f++) {
        if (!(formats >> f & 1)) continue;
        size_t stride = kern_act_bytes(d->kern, (kern_act)f, n_in);
        char *data = arena_alloc(&d->memory, rows * stride, 64);
        a->rows[f] = arena_array(&d->memory, rows, sizeof *a->rows[f]);
        if (!data || !a->rows[f]) return false;
        for (size_t i = 0; i < rows; i++) a->rows[f][i] = data + i * stride;
    }
    return true;
}

static bool own_open(dev *d, size_t workers, uint32_t formats, size_t n_in) {
    d->own = arena_array(&d->memory, workers, sizeof *d->own);
    if (!d->own) return false;
    d->own[0] = d->acts[DEV_SET_ROWS];
    for (size_t w = 1; w < workers; w++)
        if (!acts_open(d, &d->own[w], formats, 1, n_in)) return false;
    return true;
}

static size_t routing_bytes(size_t slots, size_t n_experts) {
    return slots * (sizeof(float) + sizeof(uint32_t) * 3 + sizeof(void *) * (1 + DEV_JOBS_MAX)) +
           (2 * n_experts + 1) * sizeof(uint32_t) + 8 * 64;
}

static bool routing_open(dev *d, size_t slots, size_t n_experts) {
    dev_routing *r = &d->routing;
    r->weights = arena_array(&d->memory, slots, sizeof *r->weights);
    r->experts = arena_array(&d->memory, slots, sizeof *r->experts);
    r->order = arena_array(&d->memory, slots, sizeof *r->order);
    r->first = arena_array(&d->memory, n_experts + 1, sizeof *r->first);
    r->active = arena_array(&d->memory, n_experts, sizeof *r->active);
    r->chosen_slots = arena_array(&d->memory, slots, sizeof *r->chosen_slots);
    r->acts = arena_array(&d->memory, slots, sizeof *r->acts);
    r->outs = arena_array(&d->memory, slots * DEV_JOBS_MAX, sizeof *r->outs);
    return r->chosen_slots && r->weights && r->experts && r->order && r->first && r->active && r->acts && r->outs;
}

err_code dev_open(dev **out, const dev_opts *o, err *e) {
    *out = NULL;
    size_t workers = (size_t)pool_workers(o->pool);
    size_t attn_bytes = dev_attn_scratch_bytes(o->attn_rows_max, o->head_dim_max);
    size_t scratch = MAX(kern_scratch_bytes(o->kern, o->n_in_max), attn_bytes);
    scratch = align_up(MAX(scratch, o->n_in_max * sizeof(float)), 4096); /* a normed row, see dev_norm */
    size_t parts = DEV_ATTN_SEGMENTS_MAX * o->n_head * dev_attn_part_floats(o->head_dim_max) * sizeof(float);
    /* The sum of everything, so that no address space is asked for in vain: limits on it and valgrind would refuse. */
    uint32_t of_rows = o->formats[DEV_SET_ROWS], of_slots = o->formats[DEV_SET_SLOTS];
    size_t bytes = sizeof(dev) + 2 * 4096 + workers * scratch + acts_bytes(o->kern, of_rows, o->rows_max, o->n_in_max) +
                   workers * (sizeof(dev_acts) + acts_bytes(o->kern, of_rows, 1, o->n_in_max)) + 64 +
                   acts_bytes(o->kern, of_slots, o->slots_max, o->n_slot_in_max) +
                   routing_bytes(o->slots_max, o->n_experts) +
                   workers * DEV_OPS_MAX * sizeof *(*out)->taken + 2 * 64 + parts + o->buffers_bytes;
    arena memory;
    err_code code = arena_open(&memory, MEM_SCRATCH, bytes, e);
    if (code) return code;
    dev *d = arena_alloc(&memory, sizeof *d, 64);
    if (!d) goto fail;
    d->memory = memory;
    d->kern = o->kern;
    d->pool = o->pool;
    d->attn_rows_max = o->attn_rows_max;
    d->head_dim_max = o->head_dim_max;
    d->worker_scratch_bytes = scratch;
    d->worker_scratch = arena_alloc(&d->memory, workers * scratch, 4096);
    d->taken = arena_alloc(&d->memory, workers * DEV_OPS_MAX * sizeof *d->taken, 64);
    d->attn_parts_max = DEV_ATTN_SEGMENTS_MAX * o->n_head;
    d->attn_parts = arena_alloc(&d->memory, parts, 64);
    if (!d->worker_scratch || !d->taken || !d->attn_parts ||
        !acts_open(d, &d->acts[DEV_SET_ROWS], of_rows, o->rows_max, o->n_in_max) ||
        !own_open(d, workers, of_rows, o->n_in_max) ||
        !acts_open(d, &d->acts[DEV_SET_SLOTS], of_slots, o->slots_max, o->n_slot_in_max) ||
        (o->slots_max && !routing_open(d, o->slots_max, o->n_experts))) {
        memory = d->memory;
        goto fail;
    }
    *out = d;
    return ERR_NONE;
fail:
    arena_close(&memory);
    return ERR(e, ERR_MEMORY, "no memory for the activations of a step: %zu rows of up to %zu floats need %zu MiB",
               o->rows_max, o->n_in_max, bytes >> 20);
}

void dev_close(dev *d) {
    if (!d) return;
    arena memory = d->memory; /* the handle lies inside */
    arena_close(&memory);
}

size_t dev_bytes(const dev *d) { return d->memory.used_bytes; }
void dev_touch(const dev *d) {
    size_t page = plat_page_bytes();
    plat_populate(d->memory.base, d->memory.used_bytes / page * page);
}

size_t dev_buf_bytes(size_t n_rows, size_t width) {
    return n_rows * (align_up(width, 16) * sizeof(float) + sizeof(float *)) + 2 * 64;
}

err_code dev_buf_open(dev *d, dev_buf *out, size_t n_rows, size_t width, err *e) {
    size_t stride = align_up(width, 16);
    size_t bytes;
    out->n_rows = n_rows;
    out->width = width;
    out->rows = arena_array(&d->memory, n_rows, sizeof *out->rows);
    float *data = mul_size(n_rows * stride, sizeof(float), &bytes) ? arena_alloc(&d->memory, bytes, 64) : NULL;
    if (!out->rows || !data)
        return ERR(e, ERR_MEMORY, "no memory for a buffer of %zu rows of %zu floats", n_rows, width);
    for (size_t i = 0; i < n_rows; i++) out->rows[i] = data + i * stride;
    return ERR_NONE;
}

dev_op *dev_record(dev *d, void (*run)(dev *d, dev_op *op, int worker, int n_workers)) {
    if (d->n_ops == DEV_OPS_MAX) dev_submit(d);
    dev_op *op = &d->ops[d->n_ops++];
    memset(op, 0, sizeof *op);
    op->run = run;
    return op;
}

/* Ops that each part does for itself are one step with the op behind them. */
static void run_step(void *arg, size_t step, int part, int n_parts) {
    dev *d = arg;
    _Atomic uint32_t *taken = d->taken + part * DEV_OPS_MAX;
    /* Before the next step nobody takes from it; for this one the part was made ready with the step before. */
    for (size_t i = d->steps[step + 1]; i < d->n_ops && i < d->steps[step + 2]; i++)
        atomic_store_explicit(&taken[i], 0, memory_order_relaxed);
    for (size_t i = d->steps[step]; i < d->steps[step + 1]; i++) d->ops[i].run(d, &d->ops[i], part, n_parts);
    if (d->steps[step + 1] == d->n_ops) return;
    const dev_op *next = &d->ops[d->steps[step + 1]];
    if (next->approach) next->approach(d, next, part, n_parts);
}

void dev_submit(dev *d) {
    size_t n = 0;
    for (size_t i = 0; i < d->n_ops; i++)
        if (!i || !d->ops[i - 1].apart) d->steps[n++] = i;
    d->steps[n] = d->steps[n + 1] = d->n_ops;
    for (int w = 0; w < pool_workers(d->pool) && n; w++)
        for (size_t i = 0; i < d->steps[1]; i++)
            atomic_store_explicit(&d->taken[(size_t)w * DEV_OPS_MAX + i], 0, memory_order_relaxed);
    if (n) pool_run(d->pool, run_step, d, n);
    d->n_ops = 0;
}
