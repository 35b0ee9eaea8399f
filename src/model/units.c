/* units.c: what the store reads and holds as a whole. A layer's dense tensors are several units, so that a ring of few
 * small slots can pass those through that do not fit; gate, up and down of one expert are one. Units are numbered in
 * the order of their use: layers, output; then experts by layer. Next: experts.c.
 */
#include "model/model_int.h"

uint32_t model_unit_of_output(const model *m) {
    const bound_layer *last = &m->layers[m->shape.n_layer - 1];
    return last->first_unit + last->n_units;
}

uint32_t model_unit_of_expert(const model *m, size_t layer, size_t expert) {
    return model_unit_of_output(m) + 1 + (uint32_t)(layer * m->shape.n_expert + expert);
}

typedef struct describer {
    const model *m;
    store_span *spans; /* (STORE_SPANS_MAX), filled anew for each unit */
} describer;

static void describe_dense(const describer *d, size_t unit, store_unit *out) {
    size_t layer = 0, n = 0;
    while (unit >= d->m->layers[layer].first_unit + d->m->layers[layer].n_units) layer++;
    const bound_layer *l = &d->m->layers[layer];
    for (int w = 0; w < W_COUNT; w++) {
        const bound_matrix *b = &l->weights[w];
        if (b->tensor == NO_TENSOR || model_is_routed(w) || b->unit != unit - l->first_unit) continue;
        if (b->span < n) continue; /* a fused tensor is one part */
        d->spans[n++] = (store_span){.tensor = b->tensor, .bytes = gguf_tensor_at(d->m->file, b->tensor)->bytes};
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
    const model_shape *s = &d->m->shape;
    size_t output = model_unit_of_output(d->m);
    if (i < output) {
        describe_dense(d, i, out);
    } else if (i == output) {
        uint32_t tensor = d->m->output.tensor;
        d->spans[0] = (store_span){.tensor = tensor, .bytes = gguf_tensor_at(d->m->file, tensor)->bytes};
        *out = (store_unit){.spans = d->spans, .n_spans = 1, .layer = (uint32_t)s->n_layer};
    } else {
        i -= output + 1;
        describe_expert(d, i / s->n_expert, i % s->n_expert, out);
    }
}

static int group_of(int role) {
    switch (role) {
    case W_GATE: return 1;
    case W_UP: return 2;
    case W_DOWN: return 3;
    case W_GATE_SHARED: case W_UP_SHARED: case W_DOWN_SHARED: return 4;
    default: return 0;
    }
}

/* The first other matrix of the layer in the same tensor, or w. */
static int same_tensor(const bound_layer *l, int w) {
    int k = 0;
    while (k < w && l->weights[k].tensor != l->weights[w].tensor) k++;
    return k;
}

/* In which of its layer's units each matrix is, and as which part of it. */
static void number_units(model *m) {
    uint32_t next = 0;
    for (size_t layer = 0; layer < m->shape.n_layer; layer++) {
        bound_layer *l = &m->layers[layer];
        l->first_unit = next;
        for (int group = 0; group < LAYER_UNITS_MAX; group++) {
            uint8_t n = 0;
            for (int w = 0; w < W_COUNT; w++) {
                bound_matrix *b = &l->weights[w];
                int first = same_tensor(l, w);
                if (b->tensor == NO_TENSOR || model_is_routed(w) || group_of(first) != group) continue;
                b->unit = (uint8_t)(next - l->first_unit);
                b->span = first == w ? n++ : l->weights[first].span;
            }
            next += n > 0;
        }
        l->n_units = next - l->first_unit;
    }
}

err_code model_set_units(model *m, err *e) {
    store_span spans[STORE_SPANS_MAX];
    describer d = {m, spans};
    const model_shape *s = &m->shape;
    number_units(m);
    store_units units = {.describe = describe, .user = &d,
                         .n_units = model_unit_of_output(m) + 1 + s->n_layer * s->n_expert,
                         .n_layers = s->n_layer + 1, .n_used = s->n_expert_used};
    return store_set_units(m->store, &units, e);
}
