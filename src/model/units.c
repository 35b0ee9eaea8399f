/* units.c: what the store reads and holds as a whole. The dense tensors that one op of a layer uses are a unit; where
 * weights are streamed a large tensor is several, of some rows each, so that a ring of few small slots can pass those
 * through that do not fit. Gate, up and down of one expert are one. Units are numbered in the order of their use:
 * layers, output; then experts by layer. Next: experts.c.
 */
#include "model/model_int.h"

/* Dense weights are cut into so many parts: a slot of the ring is that share of them. */
#define PARTS 1024
#define PART_BYTES_MIN ((size_t)64 << 10)
#define PART_ROWS 64 /* a multiple of all kernels' steps */

uint32_t model_unit_of_expert(const model *m, size_t layer, size_t expert) {
    return m->n_dense_units + (uint32_t)(layer * m->shape.n_expert + expert);
}

static uint64_t tensor_bytes(const model *m, const bound_matrix *b) {
    return gguf_tensor_at(m->file, b->tensor)->bytes;
}

/* ---- telling the store ------------------------------------------------------------------------------------ */

typedef struct describer {
    const model *m;
    store_span *spans; /* (STORE_SPANS_MAX), filled anew for each unit */
} describer;

/* What the unit has of a matrix's tensor. */
static store_span span_of(const model *m, const bound_matrix *b, size_t unit) {
    uint64_t all = tensor_bytes(m, b), part = (uint64_t)b->part_rows * b->matrix.row_bytes;
    uint64_t from = (unit - b->unit) * part;
    return (store_span){.tensor = b->tensor, .offset = from, .bytes = b->n_units == 1 ? all : MIN(part, all - from)};
}

static void describe_dense(const describer *d, size_t unit, store_unit *out) {
    const model *m = d->m;
    size_t layer = 0, n = 0;
    while (layer < m->shape.n_layer && unit >= m->layers[layer].first_unit + m->layers[layer].n_units) layer++;
    if (layer == m->shape.n_layer) d->spans[n++] = span_of(m, &m->output, unit);
    for (int w = 0; w < W_COUNT && layer < m->shape.n_layer; w++) {
        const bound_matrix *b = &m->layers[layer].weights[w];
        if (b->tensor == NO_TENSOR || model_is_routed(w) || unit < b->unit || unit >= b->unit + b->n_units) continue;
        if (b->span < n) continue; /* a fused tensor is one part */
        d->spans[n++] = span_of(m, b, unit);
    }
    *out = (store_unit){.spans = d->spans, .n_spans = n, .layer = (uint32_t)layer};
}

static void describe_expert(const describer *d, size_t layer, size_t expert, store_unit *out) {
    static const int roles[] = {W_GATE_EXPS, W_UP_EXPS, W_DOWN_EXPS};
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        const bound_matrix *b = &d->m->layers[layer].weights[roles[i]];
        uint64_t bytes = (uint64_t)b->matrix.n_rows * b->matrix.row_bytes;
        d->spans[i] = (store_span){.tensor = b->tensor, .offset = expert * bytes, .bytes = bytes};
    }
    *out = (store_unit){.spans = d->spans, .n_spans = COUNT_OF(roles), .layer = (uint32_t)layer, .expert = true};
}

static void describe(const void *user, size_t i, store_unit *out) {
    const describer *d = user;
    size_t n_expert = d->m->shape.n_expert, dense = d->m->n_dense_units;
    if (i < dense) describe_dense(d, i, out);
    else describe_expert(d, (i - dense) / n_expert, (i - dense) % n_expert, out);
}

/* ---- numbers ---------------------------------------------------------------------------------------------- */

/* Matrices of one op, in the order of their use. */
static int op_of(int role) {
    switch (role) {
    case W_Q: case W_K: case W_V: return 0;
    case W_O: return 1;
    case W_ROUTER: return 2;
    case W_GATE: case W_UP: return 3;
    case W_DOWN: return 4;
    case W_ROUTER_SHARED: return 5;
    case W_GATE_SHARED: case W_UP_SHARED: return 6;
    case W_DOWN_SHARED: return 7;
    default: return OPS_NONE;
    }
}

/* The first other matrix of the layer in the same tensor, or w. */
static int same_tensor(const bound_layer *l, int w) {
    int k = 0;
    while (k < w && l->weights[k].tensor != l->weights[w].tensor) k++;
    return k;
}

/* Units of an op, begun with the next number. */
typedef struct numbering {
    uint32_t next;
    size_t part_bytes;        /* 0: all of an op's tensors are one unit */
    uint64_t open_bytes;      /* of the last unit, which may take more tensors; 0: it may not */
    uint8_t n_open;
} numbering;

static void number_tensor(numbering *x, const model *m, bound_matrix *b) {
    uint64_t bytes = tensor_bytes(m, b);
    size_t rows = (size_t)(bytes / b->matrix.row_bytes);
    b->part_rows = rows;
    b->n_units = 1;
    b->span = 0;
    if (x->part_bytes && bytes > x->part_bytes) {
        b->part_rows = align_up(div_up(rows, (size_t)div_up(bytes, x->part_bytes)), PART_ROWS);
        b->n_units = (uint32_t)div_up(rows, b->part_rows);
    }
    bool joins = x->open_bytes && b->n_units == 1 && (!x->part_bytes || x->open_bytes + bytes <= x->part_bytes);
    if (!joins) {
        b->unit = x->next;
        x->next += b->n_units;
        x->n_open = 0;
        x->open_bytes = 0;
    } else {
        b->unit = x->next - 1;
    }
    if (b->n_units > 1) return;
    b->span = x->n_open++;
    x->open_bytes += bytes;
}

static void number_units(model *m, size_t part_bytes) {
    numbering x = {.part_bytes = part_bytes};
    for (size_t layer = 0; layer < m->shape.n_layer; layer++) {
        bound_layer *l = &m->layers[layer];
        l->first_unit = x.next;
        for (int op = 0; op < OPS_NONE; op++) {
            x.open_bytes = 0;
            for (int w = 0; w < W_COUNT; w++) {
                bound_matrix *b = &l->weights[w];
                int first = same_tensor(l, w);
                if (b->tensor == NO_TENSOR || model_is_routed(w) || op_of(first) != op) continue;
                if (first == w) {
                    number_tensor(&x, m, b);
                    continue;
                }
                const bound_matrix *same = &l->weights[first];
                b->unit = same->unit;
                b->n_units = same->n_units;
                b->part_rows = same->part_rows;
                b->span = same->span;
            }
        }
        l->n_units = x.next - l->first_unit;
    }
    x.open_bytes = 0;
    number_tensor(&x, m, &m->output);
    m->n_dense_units = x.next;
}

static err_code tell_store(model *m, err *e) {
    store_span spans[STORE_SPANS_MAX];
    describer d = {m, spans};
    const model_shape *s = &m->shape;
    store_units units = {.describe = describe, .user = &d,
                         .n_units = m->n_dense_units + s->n_layer * s->n_expert,
                         .n_layers = s->n_layer + 1, .n_used = s->n_expert_used};
    return store_set_units(m->store, &units, e);
}

static err_code set_units(model *m, size_t part_bytes, err *e) {
    number_units(m, part_bytes);
    err_code code = tell_store(m, e);
    if (code) number_units(m, m->part_bytes); /* as the store still has them */
    else m->part_bytes = part_bytes;
    return code;
}

err_code model_set_units(model *m, err *e) { return set_units(m, 0, e); }

err_code model_split_units(model *m, err *e) {
    uint64_t bytes = tensor_bytes(m, &m->output);
    for (size_t layer = 0; layer < m->shape.n_layer; layer++)
        for (int w = 0; w < W_COUNT; w++) {
            const bound_layer *l = &m->layers[layer];
            if (l->weights[w].tensor == NO_TENSOR || model_is_routed(w) || same_tensor(l, w) != w) continue;
            bytes += tensor_bytes(m, &l->weights[w]);
        }
    return set_units(m, MAX((size_t)(bytes / PARTS), PART_BYTES_MIN), e);
}
