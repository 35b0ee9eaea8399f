/* units.c: what the store reads and holds as a whole: the dense tensors of one layer, the output matrix, and gate, up
 * and down of one expert. Units are numbered in this order: layers, output, experts by layer. Next: experts.c.
 */
#include "model/model_int.h"

uint32_t model_unit_of_layer(const model *m, size_t layer) {
    (void)m;
    return (uint32_t)layer;
}

uint32_t model_unit_of_output(const model *m) { return (uint32_t)m->shape.n_layer; }

uint32_t model_unit_of_expert(const model *m, size_t layer, size_t expert) {
    return (uint32_t)(m->shape.n_layer + 1 + layer * m->shape.n_expert + expert);
}

static bool is_routed(int role) { return role == W_GATE_EXPS || role == W_UP_EXPS || role == W_DOWN_EXPS; }

typedef struct describer {
    const model *m;
    store_span *spans; /* (STORE_SPANS_MAX), filled anew for each unit */
} describer;

static void describe_layer(const describer *d, size_t layer, store_unit *out) {
    const bound_layer *l = &d->m->layers[layer];
    size_t n = 0;
    for (int w = 0; w < W_COUNT; w++) {
        const bound_matrix *b = &l->weights[w];
        if (b->tensor == NO_TENSOR || is_routed(w) || b->span < n) continue; /* a fused tensor is one part */
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
    if (i < s->n_layer) {
        describe_layer(d, i, out);
    } else if (i == s->n_layer) {
        uint32_t tensor = d->m->output.tensor;
        d->spans[0] = (store_span){.tensor = tensor, .bytes = gguf_tensor_at(d->m->file, tensor)->bytes};
        *out = (store_unit){.spans = d->spans, .n_spans = 1, .layer = (uint32_t)s->n_layer};
    } else {
        i -= s->n_layer + 1;
        describe_expert(d, i / s->n_expert, i % s->n_expert, out);
    }
}

/* Which part of its layer's unit each matrix is. */
static void number_spans(model *m) {
    for (size_t layer = 0; layer < m->shape.n_layer; layer++) {
        bound_layer *l = &m->layers[layer];
        size_t n = 0;
        for (int w = 0; w < W_COUNT; w++) {
            bound_matrix *b = &l->weights[w];
            if (b->tensor == NO_TENSOR || is_routed(w)) continue;
            bool again = false;
            for (int k = 0; k < w && !again; k++)
                if (l->weights[k].tensor == b->tensor) {
                    b->span = l->weights[k].span;
                    again = true;
                }
            if (!again) b->span = n++;
        }
    }
}

err_code model_set_units(model *m, err *e) {
    store_span spans[STORE_SPANS_MAX];
    describer d = {m, spans};
    const model_shape *s = &m->shape;
    number_spans(m);
    store_units units = {.describe = describe, .user = &d, .n_units = s->n_layer + 1 + s->n_layer * s->n_expert,
                         .n_layers = s->n_layer + 1, .n_used = s->n_expert_used};
    return store_set_units(m->store, &units, e);
}
