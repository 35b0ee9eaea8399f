/* inputs.c: which matrices share an input, and the sums that a graph keeps of each. graph.c records the summing. */
#include "model/model_int.h"

/* By weight_role. */
static const input_role input_of[W_COUNT] = {
    [W_Q] = IN_ATTN,           [W_K] = IN_ATTN,           [W_V] = IN_ATTN,
    [W_O] = IN_O,              [W_GATE] = IN_FFN,         [W_UP] = IN_FFN,
    [W_DOWN] = IN_DOWN,        [W_ROUTER] = IN_FFN,       [W_GATE_EXPS] = IN_EXPERTS,
    [W_UP_EXPS] = IN_EXPERTS,  [W_DOWN_EXPS] = IN_DOWN_EXPS, [W_GATE_SHARED] = IN_FFN,
    [W_UP_SHARED] = IN_FFN,    [W_DOWN_SHARED] = IN_DOWN_SHARED, [W_ROUTER_SHARED] = IN_FFN,
};

static size_t squares_bytes(const dev_matrix *m) {
    return m->n_experts * (m->n_in * sizeof(double) + sizeof(uint64_t)) + 2 * 64;
}

static bool open_squares(model_inputs *in, dev_squares *s, const dev_matrix *m) {
    if (s->sums) return true; /* another matrix' input too */
    s->n_in = m->n_in;
    s->n_experts = m->n_experts;
    s->sums = arena_array(&in->memory, m->n_experts * m->n_in, sizeof *s->sums);
    s->counts = arena_array(&in->memory, m->n_experts, sizeof *s->counts);
    return s->sums && s->counts;
}

static bool add_matrix(model_inputs *in, const model *m, uint32_t tensor, const dev_squares *squares) {
    model_input *x = &in->matrices[in->n_matrices++];
    x->tensor = arena_copy(&in->memory, gguf_tensor_at(m->file, tensor)->name);
    x->squares = squares;
    return x->tensor != NULL;
}

static bool open_layer(model_inputs *in, const model *m, size_t layer) {
    uint32_t last = NO_TENSOR; /* Q, K and V may be one tensor */
    for (int w = 0; w < W_COUNT; w++) {
        const bound_matrix *b = &m->layers[layer].weights[w];
        dev_squares *s = &in->layers[layer][input_of[w]];
        if (b->tensor == NO_TENSOR || b->tensor == last) continue;
        last = b->tensor;
        if (!open_squares(in, s, &b->matrix) || !add_matrix(in, m, b->tensor, s)) return false;
    }
    return true;
}

err_code model_inputs_open(model_inputs *in, const model *m, err *e) {
    size_t n_layer = m->shape.n_layer, n_max = n_layer * W_COUNT + 1;
    size_t bytes = n_layer * sizeof *in->layers + n_max * (sizeof *in->matrices + 96) + 4096;
    bytes += squares_bytes(&m->output.matrix);
    for (size_t i = 0; i < n_layer; i++)
        for (int w = 0; w < W_COUNT; w++)
            if (m->layers[i].weights[w].tensor != NO_TENSOR) bytes += squares_bytes(&m->layers[i].weights[w].matrix);
    err_code code = arena_open(&in->memory, MEM_SCRATCH, bytes, e);
    if (code) return code;
    in->layers = arena_array(&in->memory, n_layer, sizeof *in->layers);
    in->matrices = arena_array(&in->memory, n_max, sizeof *in->matrices);
    bool ok = in->layers && in->matrices;
    for (size_t i = 0; i < n_layer && ok; i++) ok = open_layer(in, m, i);
    ok = ok && open_squares(in, &in->output, &m->output.matrix) && add_matrix(in, m, m->output.tensor, &in->output);
    return ok ? ERR_NONE : ERR(e, ERR_MEMORY, "no memory for the sums of the inputs of %zu layers", n_layer);
}

void model_inputs_close(model_inputs *in) { arena_close(&in->memory); }
