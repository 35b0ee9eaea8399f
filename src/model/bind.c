/* bind.c: finds every tensor of the model by name, checks its shape, and keeps where it lies. Small vectors (norms,
 * biases, scales) are decoded to floats here; matrices stay in the store.
 */
#include "model/model_int.h"

/* Dimensions by name, so that the tables below read like the papers. */
typedef enum { D_NONE, D_EMBD, D_Q, D_K, D_V, D_ATTN, D_HEAD, D_FF, D_EXPERTS, D_FF_EXPERT, D_FF_SHARED, D_ONE } dim;

static size_t dim_of(const model_shape *s, dim d) {
    switch (d) {
    case D_EMBD: return s->n_embd;
    case D_Q: return s->n_head * s->dim_k;
    case D_K: return s->n_head_kv * s->dim_k;
    case D_V: return s->n_head_kv * s->dim_v;
    case D_ATTN: return s->n_head * s->dim_v;
    case D_HEAD: return s->dim_k;
    case D_FF: return s->n_ff;
    case D_EXPERTS: return s->n_expert;
    case D_FF_EXPERT: return s->n_ff_expert;
    case D_FF_SHARED: return s->n_ff_shared;
    case D_ONE: return 1;
    case D_NONE: break;
    }
    return 0;
}

/* When a row of the tables applies. */
typedef enum {
    WHEN_ALWAYS, WHEN_DENSE, WHEN_EXPERTS, WHEN_SHARED, WHEN_QK_NORM, WHEN_PRESENT, WHEN_DENSE_PRESENT
} when;

static bool applies(const model *m, when w) {
    switch (w) {
    case WHEN_ALWAYS: case WHEN_PRESENT: return true;
    case WHEN_DENSE: case WHEN_DENSE_PRESENT: return m->shape.n_expert == 0;
    case WHEN_EXPERTS: return m->shape.n_expert > 0;
    case WHEN_SHARED: return m->shape.n_ff_shared > 0;
    case WHEN_QK_NORM: return (m->family->blocks & FAMILY_QK_NORM) != 0;
    }
    return false;
}
static bool optional(when w) { return w == WHEN_PRESENT || w == WHEN_DENSE_PRESENT; }

/* blk.N.<name>.weight is (n_rows, n_in), or (n_expert, n_rows, n_in) with many. */
static const struct weight_row {
    const char *name;
    dim n_in, n_rows;
    bool many, ffn;
    when when;
} weight_rows[W_COUNT] = {
    [W_Q] = {"attn_q", D_EMBD, D_Q, false, false, WHEN_ALWAYS},
    [W_K] = {"attn_k", D_EMBD, D_K, false, false, WHEN_ALWAYS},
    [W_V] = {"attn_v", D_EMBD, D_V, false, false, WHEN_ALWAYS},
    [W_O] = {"attn_output", D_ATTN, D_EMBD, false, false, WHEN_ALWAYS},
    [W_GATE] = {"ffn_gate", D_EMBD, D_FF, false, true, WHEN_DENSE},
    [W_UP] = {"ffn_up", D_EMBD, D_FF, false, true, WHEN_DENSE},
    [W_DOWN] = {"ffn_down", D_FF, D_EMBD, false, true, WHEN_DENSE},
    [W_ROUTER] = {"ffn_gate_inp", D_EMBD, D_EXPERTS, false, true, WHEN_EXPERTS},
    [W_GATE_EXPS] = {"ffn_gate_exps", D_EMBD, D_FF_EXPERT, true, true, WHEN_EXPERTS},
    [W_UP_EXPS] = {"ffn_up_exps", D_EMBD, D_FF_EXPERT, true, true, WHEN_EXPERTS},
    [W_DOWN_EXPS] = {"ffn_down_exps", D_FF_EXPERT, D_EMBD, true, true, WHEN_EXPERTS},
    [W_GATE_SHARED] = {"ffn_gate_shexp", D_EMBD, D_FF_SHARED, false, true, WHEN_SHARED},
    [W_UP_SHARED] = {"ffn_up_shexp", D_EMBD, D_FF_SHARED, false, true, WHEN_SHARED},
    [W_DOWN_SHARED] = {"ffn_down_shexp", D_FF_SHARED, D_EMBD, false, true, WHEN_SHARED},
    [W_ROUTER_SHARED] = {"ffn_gate_inp_shexp", D_EMBD, D_ONE, false, true, WHEN_SHARED},
};

static const struct vector_row {
    const char *name; /* blk.N.<name> */
    dim n;
    when when;
} vector_rows[V_COUNT] = {
    [V_ATTN_NORM] = {"attn_norm.weight", D_EMBD, WHEN_ALWAYS},
    [V_FFN_NORM] = {"ffn_norm.weight", D_EMBD, WHEN_ALWAYS},
    [V_Q_NORM] = {"attn_q_norm.weight", D_HEAD, WHEN_QK_NORM},
    [V_K_NORM] = {"attn_k_norm.weight", D_HEAD, WHEN_QK_NORM},
    [V_Q_BIAS] = {"attn_q.bias", D_Q, WHEN_PRESENT},
    [V_K_BIAS] = {"attn_k.bias", D_K, WHEN_PRESENT},
    [V_V_BIAS] = {"attn_v.bias", D_V, WHEN_PRESENT},
    [V_O_BIAS] = {"attn_output.bias", D_EMBD, WHEN_PRESENT},
    [V_GATE_BIAS] = {"ffn_gate.bias", D_FF, WHEN_DENSE_PRESENT},
    [V_UP_BIAS] = {"ffn_up.bias", D_FF, WHEN_DENSE_PRESENT},
    [V_DOWN_BIAS] = {"ffn_down.bias", D_EMBD, WHEN_DENSE_PRESENT},
};

/* ---- one tensor ------------------------------------------------------------------------------------------ */

static uint32_t tensor_index(const gguf *g, const gguf_tensor *t) { return (uint32_t)(t - gguf_tensor_at(g, 0)); }

static err_code wrong_shape(const gguf_tensor *t, const char *name, size_t n0, size_t n1, size_t n2, err *e) {
    return ERR(e, ERR_FORMAT, "tensor %s has shape [%llu, %llu, %llu, %llu], wanted [%zu, %zu, %zu, 1]", name,
               (unsigned long long)t->dims[0], (unsigned long long)t->dims[1], (unsigned long long)t->dims[2],
               (unsigned long long)t->dims[3], n0, n1, n2);
}

/* Finds a tensor of exactly this shape. *out is NULL when it is absent and may be. */
static err_code find_tensor(const model *m, const char *name, size_t n0, size_t n1, size_t n2, bool may_miss,
                            const gguf_tensor **out, err *e) {
    const gguf_tensor *t = *out = gguf_find_tensor(m->file, name);
    if (!t) {
        if (may_miss) return ERR_NONE;
        return ERR(e, ERR_FORMAT, "tensor %s is missing; %s needs it with shape [%zu, %zu, %zu]", name, m->family->name,
                   n0, n1, n2);
    }
    if (t->dims[0] != n0 || t->dims[1] != n1 || t->dims[2] != n2 || t->dims[3] != 1)
        return wrong_shape(t, name, n0, n1, n2, e);
    return ERR_NONE;
}

/* Reads a small tensor as floats. */
static err_code read_vector(model *m, const char *name, size_t n, bool may_miss, const float **out, err *e) {
    const gguf_tensor *t;
    *out = NULL;
    err_code code = find_tensor(m, name, n, 1, 1, may_miss, &t, e);
    if (code || !t) return code;
    float *values = arena_array(&m->memory, n, sizeof *values);
    size_t mark = arena_mark(&m->memory);
    void *blocks = arena_alloc(&m->memory, (size_t)t->bytes, 64);
    if (!values || !blocks) return ERR(e, ERR_MEMORY, "no memory for tensor %s (%zu values)", name, n);
    code = store_gather(m->store, tensor_index(m->file, t), 0, blocks, (size_t)t->bytes, e);
    if (!code) t->type->decode(blocks, values, n);
    arena_reset(&m->memory, mark);
    *out = values;
    return code;
}

static void describe(bound_matrix *b, const model *m, const gguf_tensor *t, size_t n_in, size_t n_rows,
                     size_t n_experts) {
    b->tensor = tensor_index(m->file, t);
    b->matrix = (dev_matrix){.type = t->type->id, .n_in = n_in, .n_rows = n_rows, .n_experts = n_experts};
    b->matrix.row_bytes = n_in / t->type->block_len * t->type->block_bytes;
}

/* The factors beside a matrix ("<base>.scale"): one, or one per expert. */
static err_code read_scales(model *m, const char *base, bool ffn, bound_matrix *b, err *e) {
    char name[96];
    if (ffn && !(m->family->blocks & FAMILY_FFN_SCALES) && b->matrix.type != QUANT_NVFP4) return ERR_NONE;
    fmt(name, sizeof name, "%s.scale", base);
    return read_vector(m, name, b->matrix.n_experts, true, &b->matrix.scales, e);
}

static err_code bind_weight(model *m, size_t layer, const struct weight_row *row, bound_matrix *b, err *e) {
    char base[64], name[80];
    const gguf_tensor *t;
    size_t n_in = dim_of(&m->shape, row->n_in), n_rows = dim_of(&m->shape, row->n_rows);
    size_t n_experts = row->many ? m->shape.n_expert : 1;
    b->tensor = NO_TENSOR;
    if (!applies(m, row->when)) return ERR_NONE;
    fmt(base, sizeof base, "blk.%zu.%s", layer, row->name);
    fmt(name, sizeof name, "%s.weight", base);
    err_code code = find_tensor(m, name, n_in, n_rows, n_experts, optional(row->when), &t, e);
    if (code || !t) return code;
    describe(b, m, t, n_in, n_rows, n_experts);
    return read_scales(m, base, row->ffn, b, e);
}

/* Q, K and V in one tensor, rows in that order. *found tells. */
static err_code bind_fused_qkv(model *m, size_t layer, bool *found, err *e) {
    char base[64], name[80];
    const gguf_tensor *t;
    const model_shape *s = &m->shape;
    size_t rows[3] = {dim_of(s, D_Q), dim_of(s, D_K), dim_of(s, D_V)};
    fmt(base, sizeof base, "blk.%zu.attn_qkv", layer);
    fmt(name, sizeof name, "%s.weight", base);
    err_code code = find_tensor(m, name, s->n_embd, rows[0] + rows[1] + rows[2], 1, true, &t, e);
    *found = t != NULL;
    if (code || !t) return code;
    bound_layer *l = &m->layers[layer];
    const float *bias;
    fmt(name, sizeof name, "%s.bias", base);
    if ((code = read_vector(m, name, rows[0] + rows[1] + rows[2], true, &bias, e))) return code;
    for (size_t i = 0, first = 0; i < 3; first += rows[i++]) {
        bound_matrix *b = &l->weights[W_Q + i];
        describe(b, m, t, s->n_embd, rows[i], 1);
        b->row_first = first;
        if (bias) l->vectors[V_Q_BIAS + i] = bias + first;
        if ((code = read_scales(m, base, false, b, e))) return code;
    }
    return ERR_NONE;
}

/* In the feed-forward block a matrix' ".scale" covers its bias too: (W x + b) * scale. */
static err_code scale_bias(model *m, const float **bias, const bound_matrix *b, err *e) {
    if (!*bias || !b->matrix.scales) return ERR_NONE;
    float *scaled = arena_array(&m->memory, b->matrix.n_rows, sizeof *scaled);
    if (!scaled) return ERR(e, ERR_MEMORY, "no memory for a bias of %zu values", b->matrix.n_rows);
    for (size_t i = 0; i < b->matrix.n_rows; i++) scaled[i] = (*bias)[i] * b->matrix.scales[0];
    *bias = scaled;
    return ERR_NONE;
}

static err_code bind_layer(model *m, size_t layer, err *e) {
    bound_layer *l = &m->layers[layer];
    bool fused;
    err_code code = bind_fused_qkv(m, layer, &fused, e);
    if (code) return code;
    for (int i = fused ? W_O : W_Q; i < W_COUNT; i++)
        if ((code = bind_weight(m, layer, &weight_rows[i], &l->weights[i], e))) return code;
    for (int i = 0; i < V_COUNT; i++) {
        char name[80];
        const struct vector_row *row = &vector_rows[i];
        if (!applies(m, row->when) || l->vectors[i]) continue;
        fmt(name, sizeof name, "blk.%zu.%s", layer, row->name);
        if ((code = read_vector(m, name, dim_of(&m->shape, row->n), optional(row->when), &l->vectors[i], e)))
            return code;
    }
    for (int i = 0; i < 3; i++)
        if ((code = scale_bias(m, &l->vectors[V_GATE_BIAS + i], &l->weights[W_GATE + i], e))) return code;
    return ERR_NONE;
}

/* ---- the whole model -------------------------------------------------------------------------------------- */

err_code model_bind(model *m, err *e) {
    const gguf_tensor *t = gguf_find_tensor(m->file, "token_embd.weight");
    model_shape *s = &m->shape;
    err_code code;
    if (!t)
        return ERR(e, ERR_FORMAT, "tensor token_embd.weight is missing; %s needs it with shape [%zu, n_vocab]",
                   m->family->name, s->n_embd);
    if (t->dims[1] == 0 || t->dims[1] > (1u << 26)) return wrong_shape(t, "token_embd.weight", s->n_embd, 1, 1, e);
    s->n_vocab = (size_t)t->dims[1];
    if ((code = find_tensor(m, "token_embd.weight", s->n_embd, s->n_vocab, 1, false, &t, e))) return code;
    m->embedding = tensor_index(m->file, t);
    const gguf_tensor *output;
    if ((code = find_tensor(m, "output.weight", s->n_embd, s->n_vocab, 1, true, &output, e))) return code;
    describe(&m->output, m, output ? output : t, s->n_embd, s->n_vocab, 1);
    if (output && (code = read_scales(m, "output", false, &m->output, e))) return code;
    if ((code = read_vector(m, "output_norm.weight", s->n_embd, false, &m->output_norm, e))) return code;
    if ((code = read_vector(m, "output.bias", s->n_vocab, true, &m->output_bias, e))) return code;
    if ((m->family->blocks & FAMILY_ROPE_FREQS) &&
        (code = read_vector(m, "rope_freqs.weight", s->n_rot / 2, true, &m->rope_freqs, e)))
        return code;
    m->layers = arena_array(&m->memory, s->n_layer, sizeof *m->layers);
    if (!m->layers) return ERR(e, ERR_MEMORY, "no memory for %zu layers", s->n_layer);
    for (size_t i = 0; i < s->n_layer; i++)
        if ((code = bind_layer(m, i, e))) return code;
    return ERR_NONE;
}
