/* graph.c: the forward pass, as blocks recorded on a dev. One layer is
 *
 *     x -> norm -> Q K V -> (bias, QK-norm, rotation) -> attention -> O -> + x -> norm -> feed-forward -> + x
 *
 * with the sum "+ x" folded into the matrix before it. Weights are leased as ops are recorded and released when
 * these have run; what follows is read meanwhile. The arithmetic of a row never depends on the other rows of the batch.
 */
#include "model/model_int.h"

#define LEASES_MAX 64 /* units between two submits */

struct model_graph {
    arena memory;
    const model *model;
    dev *dev;
    size_t rows_max, logits_max;
    dev_buf x, q, k, v, attn, proj;              /* (rows, ...) */
    dev_buf gate, up;                            /* (rows, n_ff or n_ff_shared) */
    dev_buf foreseen;                            /* (FORESEE_ROWS, n_expert): the next layer's router */
    dev_buf router, shared, shared_gate;         /* (rows, n_expert), (rows, n_embd), (rows, 1) */
    dev_buf slot_gate, slot_up, slot_down;       /* (rows x experts used, ...) */
    dev_buf logits;                              /* (logits_max, n_vocab) */
    float *rope;                                 /* (rows, n_rot) */
    const float **rope_rows;                     /* (rows) */
    float *q_scale;                              /* (rows) */
    void *embedding_row;                         /* one row as stored */
    dev_matrix routed_weights[3];                /* gate, up, down of the experts of the layer in work */
    dev_matrix next_router;                      /* of the layer after it, pinned */
    store_lease leases[LEASES_MAX];              /* of what is recorded and not yet submitted */
    size_t n_leases;
    yield_hook yield;                            /* while the layers run: asked where their weights are waited for */
    model_leases experts;
    size_t n_used;                               /* experts of a layer for each token */
    const uint16_t *routing;                     /* forced, see model_graph_opts */
    size_t routing_tokens;
    const uint16_t **routes;                     /* (rows): the token's part of it */
    void (*routed)(void *user, size_t layer, const uint32_t *experts, size_t n, size_t n_used);
    void *routed_user;
    dev_attn attention;
    model_inputs inputs;                         /* zeroed: nobody wants to know */
};

/* Output rows are computed this many bytes at a time: prompts ask for one row, eval for all. */
#define LOGITS_BYTES ((size_t)32 << 20)
#define LOGITS_ROWS_MAX 64 /* more gain nothing */
/* Steps of so many rows foresee what each row will use; longer ones use nearly everything. */
#define FORESEE_ROWS 8
/* Layers are submitted together while they read no more than this, where weights are in place: between two submits
 * cores wait for what is recorded. */
#define SUBMIT_BYTES ((size_t)64 << 20)
/* Query rows that share one walk over the KV pages. */
#define ATTN_ROWS 64

/* ---- opening ---------------------------------------------------------------------------------------------- */

typedef struct buffer_plan {
    dev_buf *buf;
    size_t rows, width; /* rows 0: this model has no use for it */
} buffer_plan;
#define BUFFERS 16

static size_t plan_buffers(model_graph *g, buffer_plan *all) {
    const model_shape *s = &g->model->shape;
    size_t n = g->rows_max, slots = n * g->n_used, n_ff = MAX(s->n_ff, s->n_ff_shared), bytes = 0;
    const buffer_plan plan[BUFFERS] = {
        {&g->x, n, s->n_embd},
        {&g->q, n, s->n_head * s->dim_k},
        {&g->k, n, s->n_head_kv * s->dim_k},
        {&g->v, n, s->n_head_kv * s->dim_v},
        {&g->attn, n, s->n_head * s->dim_v},
        {&g->proj, n, s->n_embd},
        {&g->gate, n_ff ? n : 0, n_ff},
        {&g->up, n_ff ? n : 0, n_ff},
        {&g->router, s->n_expert ? n : 0, s->n_expert},
        {&g->foreseen, s->n_expert ? MIN(n, FORESEE_ROWS) : 0, s->n_expert},
        {&g->shared, s->n_ff_shared ? n : 0, s->n_embd},
        {&g->shared_gate, s->n_ff_shared ? n : 0, 1},
        {&g->slot_gate, slots, s->n_ff_expert},
        {&g->slot_up, slots, s->n_ff_expert},
        {&g->slot_down, slots, s->n_embd},
        {&g->logits, g->logits_max, s->n_vocab},
    };
    memcpy(all, plan, sizeof plan);
    for (size_t i = 0; i < BUFFERS; i++) bytes += dev_buf_bytes(all[i].rows, all[i].width);
    return bytes;
}

static err_code open_buffers(model_graph *g, const buffer_plan *all, err *e) {
    const model_shape *s = &g->model->shape;
    size_t n = g->rows_max;
    for (size_t i = 0; i < BUFFERS; i++) {
        err_code code = all[i].rows ? dev_buf_open(g->dev, all[i].buf, all[i].rows, all[i].width, e) : ERR_NONE;
        if (code) return code;
    }
    g->rope = arena_array(&g->memory, n * s->n_rot, sizeof *g->rope);
    g->rope_rows = arena_array(&g->memory, n, sizeof *g->rope_rows);
    g->q_scale = arena_array(&g->memory, n, sizeof *g->q_scale);
    g->embedding_row = arena_alloc(&g->memory, s->n_embd * sizeof(double), 64);
    g->routes = arena_array(&g->memory, n, sizeof *g->routes);
    if (!g->rope || !g->rope_rows || !g->q_scale || !g->embedding_row || !g->routes)
        return ERR(e, ERR_MEMORY, "no memory for the rotation tables of %zu rows", n);
    for (size_t i = 0; i < n; i++) g->rope_rows[i] = g->rope + i * s->n_rot;
    return ERR_NONE;
}

/* All formats that inputs of the model's matrices are prepared in; of the experts' last ones for SLOTS. */
static uint32_t formats_of(const model *m, const model_graph_opts *o, dev_set set) {
    uint32_t formats = o->inputs ? 1u << KERN_ACT_F32 : 0;
    for (kern_role role = KERN_PROMPT; role <= KERN_DECODE; role++) {
        if (set == DEV_SET_ROWS) formats |= 1u << kern_act_of(o->kern, m->output.matrix.type, role);
        for (size_t i = 0; i < m->shape.n_layer * W_COUNT; i++) {
            const bound_matrix *b = &m->layers[i / W_COUNT].weights[i % W_COUNT];
            bool is_in = b->tensor != NO_TENSOR && (i % W_COUNT == W_DOWN_EXPS) == (set == DEV_SET_SLOTS);
            if (is_in) formats |= 1u << kern_act_of(o->kern, b->matrix.type, role);
        }
    }
    return formats;
}

err_code model_graph_open(model_graph **out, const model *m, const model_graph_opts *o, err *e) {
    *out = NULL;
    const model_shape *s = &m->shape;
    arena memory;
    err_code code =
        arena_open(&memory, MEM_SCRATCH, ((size_t)1 << 20) + o->rows_max * (s->n_rot * 4 + 72) + s->n_embd * 8, e);
    if (code) return code;
    model_graph *g = arena_alloc(&memory, sizeof *g, 64);
    if (!g) {
        arena_close(&memory);
        return ERR(e, ERR_MEMORY, "no memory for a graph handle");
    }
    g->memory = memory;
    g->model = m;
    g->rows_max = o->rows_max;
    g->n_used = s->n_expert && o->routing ? o->routing_used : s->n_expert_used;
    g->routing = o->routing;
    g->routing_tokens = o->routing_tokens;
    g->routed = o->routed;
    g->routed_user = o->routed_user;
    size_t rows = LOGITS_BYTES / (s->n_vocab * sizeof(float));
    g->logits_max = MIN(MIN(MAX(rows, 1), LOGITS_ROWS_MAX), o->rows_max);
    buffer_plan buffers[BUFFERS];
    size_t n_in = MAX(MAX(s->n_embd, s->n_head * s->dim_v), MAX(s->n_ff, s->n_ff_shared));
    dev_opts device = {
        .kern = o->kern,
        .pool = o->pool,
        .rows_max = o->rows_max,
        .slots_max = o->rows_max * g->n_used,
        .n_in_max = MAX(n_in, s->n_ff_expert),
        .n_slot_in_max = s->n_ff_expert,
        .formats = {formats_of(m, o, DEV_SET_ROWS), formats_of(m, o, DEV_SET_SLOTS)},
        .n_experts = s->n_expert,
        .attn_rows_max = MAX(ATTN_ROWS, s->n_head / s->n_head_kv),
        .head_dim_max = MAX(s->dim_k, s->dim_v),
        .n_head = s->n_head,
        .buffers_bytes = plan_buffers(g, buffers),
    };
    if ((code = dev_open(&g->dev, &device, e)) || (code = open_buffers(g, buffers, e)) ||
        (s->n_expert && (code = model_leases_open(&g->experts, m, e))) ||
        (o->inputs && (code = model_inputs_open(&g->inputs, m, e)))) {
        model_graph_close(g);
        return code;
    }
    *out = g;
    return ERR_NONE;
}

void model_graph_close(model_graph *g) {
    if (!g) return;
    dev_close(g->dev);
    model_leases_close(&g->experts);
    model_inputs_close(&g->inputs);
    arena memory = g->memory; /* the handle lies inside */
    arena_close(&memory);
}

size_t model_graph_bytes(const model_graph *g) {
    return dev_bytes(g->dev) + g->memory.used_bytes + g->inputs.memory.used_bytes;
}
void model_graph_touch(const model_graph *g) { dev_touch(g->dev); }
size_t model_graph_logits_max(const model_graph *g) { return g->logits_max; }

bool model_graph_input(const model_graph *g, size_t index, model_input *out) {
    if (index >= g->inputs.n_matrices) return false;
    *out = g->inputs.matrices[index];
    return true;
}

/* ---- weights ------------------------------------------------------------------------------------------------ */

static bool in_place(const model_graph *g) { return store_mode_of(g->model->store) == STORE_MAPPED; }

/* Where the store does not read on by itself: this layer's units and those after it are wanted. */
static void want_ahead(model_graph *g, size_t layer) {
    uint32_t first = g->model->layers[layer].first_unit, n = g->model->n_dense_units;
    if (store_mode_of(g->model->store) != STORE_RESIDENT) return;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t unit = (first + i) % n;
        store_want(g->model->store, &unit, 1);
    }
}

/* What a row reads of the layer in work. */
static size_t layer_bytes(const model_graph *g, size_t layer) {
    size_t bytes = 0;
    for (int w = 0; w < W_COUNT; w++) {
        const bound_matrix *b = &g->model->layers[layer].weights[w];
        size_t n = b->tensor == NO_TENSOR ? 0 : model_is_routed(w) ? g->n_used : 1;
        bytes += n * b->matrix.n_rows * b->matrix.row_bytes;
    }
    return bytes;
}

/* Runs what was recorded: its weights are free again. */
static void run_recorded(model_graph *g) {
    dev_submit(g->dev);
    while (g->n_leases) store_release(g->model->store, &g->leases[--g->n_leases]);
    store_poll(g->model->store, 0);
}

/* One op on matrices with the same input, or several where these lie in pieces. */
typedef struct matrix_op {
    kern_role role;
    size_t n, n_jobs;
    dev_matrix matrices[DEV_JOBS_MAX];
    const dev_buf *outs[DEV_JOBS_MAX];
    const dev_buf *onto; /* or NULL; then a single matrix, and its bias */
    const float *bias;
} matrix_op;

static void record_op(model_graph *g, matrix_op *op) {
    const dev_matrix *matrices[DEV_JOBS_MAX];
    for (size_t i = 0; i < op->n_jobs; i++) matrices[i] = &op->matrices[i];
    for (size_t i = 0; i < op->n_jobs && op->onto; i++)
        dev_matmul_onto(g->dev, op->role, matrices[i], op->outs[i], op->onto, op->bias, op->n);
    if (op->n_jobs && !op->onto) dev_matmul(g->dev, op->role, matrices, op->outs, op->n_jobs, op->n);
    op->n_jobs = 0;
}

/* A unit that passes through a ring makes room for the next one as soon as it has been used. */
static err_code lease(model_graph *g, matrix_op *op, uint32_t unit, err *e) {
    store *s = g->model->store;
    err ignored;
    if (g->n_leases) {
        const store_lease *last = &g->leases[g->n_leases - 1];
        if (last->unit == unit) return ERR_NONE;
        if (g->n_leases == LEASES_MAX || last->passes) {
            record_op(g, op);
            run_recorded(g);
        }
    }
    if (store_try_lease(s, unit, &g->leases[g->n_leases], &ignored) != STORE_READY) {
        record_op(g, op); /* what can be computed is computed while it comes */
        run_recorded(g);
        err_code code = store_lease_now(s, unit, &g->yield, &g->leases[0], e);
        if (code) return code;
    }
    g->n_leases++;
    return ERR_NONE;
}

/* The matrix's rows in part i of its tensor; false: none are. */
static bool piece_of(const model_graph *g, const bound_matrix *b, size_t i, dev_matrix *out) {
    size_t from = i * b->part_rows, first = MAX(from, b->row_first);
    size_t end = MIN(from + b->part_rows, b->row_first + b->matrix.n_rows);
    if (first >= end) return false;
    const store_lease *last = &g->leases[g->n_leases - 1];
    *out = b->matrix;
    out->n_rows = end - first;
    out->out_first = first - b->row_first;
    out->data = (const char *)store_span_at(g->model->store, last, b->span) + (first - from) * out->row_bytes;
    return true;
}

static void add_piece(model_graph *g, matrix_op *op, const dev_matrix *piece, const dev_buf *out) {
    if (op->n_jobs == DEV_JOBS_MAX) record_op(g, op);
    op->outs[op->n_jobs] = out;
    op->matrices[op->n_jobs++] = *piece;
}

/* Where a matrix lies in one piece it is one, else it is taken as its weights come. */
static err_code record_matrix(model_graph *g, matrix_op *op, const bound_matrix *b, const dev_buf *out, err *e) {
    dev_matrix piece = b->matrix;
    const char *at = store_tensor_at(g->model->store, b->tensor);
    if (at) {
        piece.data = at + b->row_first * piece.row_bytes;
        add_piece(g, op, &piece, out);
        return ERR_NONE;
    }
    for (uint32_t i = 0; i < b->n_units; i++) {
        err_code code = lease(g, op, b->unit + i, e);
        if (code) return code;
        if (piece_of(g, b, i, &piece)) add_piece(g, op, &piece, out);
    }
    return ERR_NONE;
}

static void end_matmul(model_graph *g, matrix_op *op) {
    record_op(g, op);
    if (g->n_leases && g->leases[g->n_leases - 1].passes) run_recorded(g);
}

/* outs = matrices x set ROWS. */
static err_code record_matmul(model_graph *g, kern_role role, const bound_matrix *const *matrices,
                              const dev_buf *const *outs, size_t n_matrices, size_t n, err *e) {
    matrix_op op = {.role = role, .n = n};
    for (size_t j = 0; j < n_matrices; j++) {
        err_code code = record_matrix(g, &op, matrices[j], outs[j], e);
        if (code) return code;
    }
    end_matmul(g, &op);
    return ERR_NONE;
}

/* out = matrix x set ROWS; x += out + bias. */
static err_code record_matmul_onto(model_graph *g, kern_role role, const bound_matrix *matrix, const dev_buf *out,
                                   const float *bias, size_t n, err *e) {
    matrix_op op = {.role = role, .n = n, .onto = &g->x, .bias = bias};
    err_code code = record_matrix(g, &op, matrix, out, e);
    if (!code) end_matmul(g, &op);
    return code;
}

/* Matrices of experts have their place when they are leased, unless all are in place already. */
static void place_experts(model_graph *g, size_t layer) {
    for (size_t i = 0; i < 3; i++) {
        const bound_matrix *b = &g->model->layers[layer].weights[W_GATE_EXPS + i];
        dev_matrix *m = &g->routed_weights[i];
        *m = b->matrix;
        m->data = store_tensor_at(g->model->store, b->tensor);
        m->experts_at = m->data ? NULL : (const void *const *)g->experts.at[i];
    }
}

/* ---- blocks --------------------------------------------------------------------------------------------------- */

/* What an input must be prepared as for these matrices; to be summed up, as floats too. */
static uint32_t input_formats(const model_graph *g, kern_role role, const bound_matrix *const *matrices, size_t n) {
    uint32_t formats = g->inputs.n_matrices ? 1u << KERN_ACT_F32 : 0;
    for (size_t i = 0; i < n; i++) {
        const dev_matrix *m = &matrices[i]->matrix;
        formats |= dev_formats(g->dev, role, &m, 1);
    }
    return formats;
}

/* Set ROWS is now this input of the layer. */
static void record_input(model_graph *g, size_t layer, input_role input, size_t n) {
    if (g->inputs.n_matrices) dev_add_squares(g->dev, n, &g->inputs.layers[layer][input]);
}
static void record_routed_input(model_graph *g, size_t layer, input_role input, dev_set set) {
    if (g->inputs.n_matrices) dev_add_squares_routed(g->dev, set, &g->inputs.layers[layer][input]);
}

/* set ROWS = prepared(norm(x)). */
static void record_norm(model_graph *g, const float *weight, size_t n, const uint32_t *rows, uint32_t formats) {
    dev_norm(g->dev, &g->x, weight, g->model->shape.rms_eps, n, rows, formats);
}

static err_code record_attention(model_graph *g, const model_batch *b, size_t layer, err *e) {
    const bound_layer *l = &g->model->layers[layer];
    const bound_matrix *qkv[3] = {&l->weights[W_Q], &l->weights[W_K], &l->weights[W_V]}, *o = &l->weights[W_O];
    const dev_buf *qkv_out[3] = {&g->q, &g->k, &g->v};
    bool no_rope = (g->model->family->blocks & FAMILY_NO_ROPE_4) && (layer + 1) % 4 == 0;
    dev_attn *a = &g->attention;
    a->rope = no_rope ? NULL : g->rope_rows;
    a->q_bias = l->vectors[V_Q_BIAS];
    a->k_bias = l->vectors[V_K_BIAS];
    a->v_bias = l->vectors[V_V_BIAS];
    a->q_norm = l->vectors[V_Q_NORM];
    a->k_norm = l->vectors[V_K_NORM];
    a->k_offset = kv_k_offset(b->cache, layer);
    a->v_offset = kv_v_offset(b->cache, layer);
    record_norm(g, l->vectors[V_ATTN_NORM], b->n, NULL, input_formats(g, b->role, qkv, 3));
    record_input(g, layer, IN_ATTN, b->n);
    err_code code = record_matmul(g, b->role, qkv, qkv_out, 3, b->n, e);
    if (code) return code;
    dev_attend(g->dev, a);
    dev_prepare(g->dev, &g->attn, b->n, input_formats(g, b->role, &o, 1));
    record_input(g, layer, IN_O, b->n);
    return record_matmul_onto(g, b->role, o, &g->proj, l->vectors[V_O_BIAS], b->n, e);
}

/* What down takes: silu(gate x) * up x, from set ROWS. */
static err_code record_gated(model_graph *g, const model_batch *b, size_t layer, weight_role gate,
                             const float *gate_bias, const float *up_bias, size_t width, err *e) {
    const bound_matrix *first = &g->model->layers[layer].weights[gate];
    const bound_matrix *gate_up[2] = {first, first + 1}, *down = first + 2;
    const dev_buf *gate_up_out[2] = {&g->gate, &g->up};
    g->gate.width = g->up.width = width;
    err_code code = record_matmul(g, b->role, gate_up, gate_up_out, 2, b->n, e);
    if (code) return code;
    dev_swiglu(g->dev, DEV_SET_ROWS, &g->gate, &g->up, gate_bias, up_bias, b->n, input_formats(g, b->role, &down, 1));
    record_input(g, layer, gate == W_GATE ? IN_DOWN : IN_DOWN_SHARED, b->n);
    return ERR_NONE;
}

static err_code record_dense(model_graph *g, const model_batch *b, size_t layer, err *e) {
    const bound_layer *l = &g->model->layers[layer];
    const bound_matrix *gate_up[2] = {&l->weights[W_GATE], &l->weights[W_UP]};
    record_norm(g, l->vectors[V_FFN_NORM], b->n, NULL, input_formats(g, b->role, gate_up, 2));
    record_input(g, layer, IN_FFN, b->n);
    err_code code = record_gated(g, b, layer, W_GATE, l->vectors[V_GATE_BIAS], l->vectors[V_UP_BIAS],
                                 g->model->shape.n_ff, e);
    if (code) return code;
    return record_matmul_onto(g, b->role, &l->weights[W_DOWN], &g->proj, l->vectors[V_DOWN_BIAS], b->n, e);
}

/* Rows of the experts that ops are for now; all of them where n_slots says how many. */
static void record_routed(model_graph *g, kern_role role, size_t layer, size_t n_slots) {
    const dev_matrix *gate_up[2] = {&g->routed_weights[0], &g->routed_weights[1]}, *down = &g->routed_weights[2];
    const bound_matrix *bound_down = &g->model->layers[layer].weights[W_DOWN_EXPS];
    const dev_buf *down_out = &g->slot_down;
    uint32_t formats = input_formats(g, role, &bound_down, 1);
    record_routed_input(g, layer, IN_EXPERTS, DEV_SET_ROWS);
    dev_gated_experts(g->dev, role, gate_up, &g->slot_gate, &g->slot_up, n_slots, formats);
    record_routed_input(g, layer, IN_DOWN_EXPS, DEV_SET_SLOTS);
    dev_matmul_experts(g->dev, role, DEV_SET_SLOTS, &down, &down_out, 1);
}

typedef struct leased_step {
    model_graph *g;
    kern_role role;
    size_t layer;
} leased_step;

static void compute_leased(void *user, const uint32_t *experts, size_t n) {
    leased_step *step = user;
    dev_choose_experts(step->g->dev, experts, n);
    record_routed(step->g, step->role, step->layer, 0);
    dev_submit(step->g->dev);
}

/* The next layer's router on what enters this layer's experts: most of what it names is what it will choose, and there
 * is the time of these experts and of the next attention to read it. */
static bool foresee_experts(model_graph *g, const model_batch *b, size_t layer) {
    const model *m = g->model;
    const bound_layer *next = layer + 1 < m->shape.n_layer ? &m->layers[layer + 1] : NULL;
    bool by_router = next && b->n <= FORESEE_ROWS && !g->routing && store_foresees(m->store);
    if (by_router) {
        const bound_matrix *b_router = &next->weights[W_ROUTER];
        const dev_matrix *matrix = &g->next_router;
        const dev_buf *out = &g->foreseen;
        g->next_router = b_router->matrix;
        g->next_router.data = store_pinned_at(m->store, b_router->unit, b_router->span);
        by_router = g->next_router.data != NULL && b_router->n_units == 1;
        if (by_router) {
            record_norm(g, next->vectors[V_FFN_NORM], b->n, NULL, dev_formats(g->dev, b->role, &matrix, 1));
            dev_matmul(g->dev, b->role, &matrix, &out, 1, b->n);
        }
    }
    return by_router;
}

static err_code record_experts(model_graph *g, const model_batch *b, size_t layer, err *e) {
    const bound_layer *l = &g->model->layers[layer];
    const model_shape *s = &g->model->shape;
    bool shared = s->n_ff_shared > 0;
    const bound_matrix *w = l->weights, *router = &w[W_ROUTER], *shared_router = &w[W_ROUTER_SHARED];
    const bound_matrix *inputs[6] = {
        router, &w[W_GATE_EXPS], &w[W_UP_EXPS], shared_router, &w[W_GATE_SHARED], &w[W_UP_SHARED]};
    const bound_matrix *shared_down = &w[W_DOWN_SHARED];
    const dev_buf *router_out = &g->router, *shared_gate = &g->shared_gate, *shared_out = &g->shared;
    const dev_buf *foreseen = foresee_experts(g, b, layer) ? &g->foreseen : NULL;
    record_norm(g, l->vectors[V_FFN_NORM], b->n, NULL, input_formats(g, b->role, inputs, shared ? 6 : 3));
    record_input(g, layer, IN_FFN, b->n);
    err_code code = record_matmul(g, b->role, &router, &router_out, 1, b->n, e);
    if (code) return code;
    place_experts(g, layer);
    if (g->routing) dev_force_route(g->dev, g->routes, layer * g->n_used);
    dev_route(g->dev, &g->router, b->n, s->n_expert, g->n_used,
              (g->model->family->blocks & FAMILY_ROUTER_NORMALISED) != 0, 1.0f);
    if (g->routed_weights[2].experts_at) {
        leased_step step = {g, b->role, layer};
        run_recorded(g);
        code = model_leases_run(&g->experts, g->model, g->dev, layer, b, foreseen, compute_leased, &step, e);
        if (code) return code;
    } else {
        record_routed(g, b->role, layer, b->n * g->n_used);
    }
    dev_combine(g->dev, &g->slot_down, &g->proj, shared ? NULL : &g->x, b->n);
    if (shared) {
        if ((code = record_matmul(g, b->role, &shared_router, &shared_gate, 1, b->n, e)) ||
            (code = record_gated(g, b, layer, W_GATE_SHARED, NULL, NULL, s->n_ff_shared, e)) ||
            (code = record_matmul(g, b->role, &shared_down, &shared_out, 1, b->n, e)))
            return code;
        dev_add_gated(g->dev, &g->proj, &g->shared, &g->shared_gate, &g->x, b->n);
    }
    return ERR_NONE;
}

/* ---- a step --------------------------------------------------------------------------------------------------- */

/* x = rows of the embedding. */
static err_code embed(model_graph *g, const model_batch *b, err *e) {
    const gguf_tensor *t = gguf_tensor_at(g->model->file, g->model->embedding);
    size_t row_bytes = g->model->shape.n_embd / t->type->block_len * t->type->block_bytes;
    for (size_t i = 0; i < b->n; i++) {
        err_code code = store_gather(g->model->store, g->model->embedding, (uint64_t)b->tokens[i] * row_bytes,
                                     g->embedding_row, row_bytes, e);
        if (code) return code;
        t->type->decode(g->embedding_row, g->x.rows[i], g->model->shape.n_embd);
    }
    return ERR_NONE;
}

/* Rotation and query scale of each row; the same for all layers. */
static void place_rows(model_graph *g, const model_batch *b) {
    const model_shape *s = &g->model->shape;
    float scale = 1.0f / (float)math_sqrt((double)s->dim_k);
    for (size_t r = 0; r < b->n_runs; r++)
        for (size_t i = 0; i < b->runs[r].n; i++) {
            size_t row = b->runs[r].row + i, pos = b->runs[r].pos + i;
            model_rope_row(g->model, pos, g->rope + row * s->n_rot);
            g->q_scale[row] = scale;
            if (g->routing) g->routes[row] = g->routing + pos % g->routing_tokens * s->n_layer * g->n_used;
            if (s->attn_temperature_scale != 0) {
                double turns = math_floor((double)((float)pos / (float)s->rope_ctx_orig));
                g->q_scale[row] *= (float)(math_log(turns + 1.0) * (double)s->attn_temperature_scale + 1.0);
            }
        }
}

err_code model_yield(const model_batch *b, const model *m, size_t layer, err *e) {
    if (!b->yield || !b->yield(b->user)) return ERR_NONE;
    return ERR(e, ERR_CANCELLED, "cancelled at layer %zu of %zu", layer, m->shape.n_layer);
}

err_code model_graph_run(model_graph *g, const model_batch *b, err *e) {
    const model_shape *s = &g->model->shape;
    ASSERT(b->n > 0 && b->n <= g->rows_max);
    err_code code = embed(g, b, e);
    if (code) return code;
    place_rows(g, b);
    g->attention = (dev_attn){
        .n_head = s->n_head,
        .n_head_kv = s->n_head_kv,
        .dim_k = s->dim_k,
        .dim_v = s->dim_v,
        .n_rot = s->n_rot,
        .interleaved = (g->model->family->blocks & FAMILY_ROPE_INTERLEAVED) != 0,
        .q_scale = g->q_scale,
        .eps = s->rms_eps,
        .window = s->window,
        .type_k = kv_shape_of(b->cache)->type_k,
        .type_v = kv_shape_of(b->cache)->type_v,
        .runs = b->runs,
        .n_runs = b->n_runs,
        .q = &g->q,
        .k = &g->k,
        .v = &g->v,
        .out = &g->attn,
    };
    if (s->n_expert && !in_place(g)) model_leases_expect_all(&g->experts, g->model, 0, b->n);
    g->yield = (yield_hook){b->yield, b->user};
    uint64_t mark = store_mark(g->model->store);
    size_t recorded = 0; /* bytes of weights that ops not yet submitted read */
    for (size_t layer = 0; layer < s->n_layer; layer++) {
        code = model_yield(b, g->model, layer, e);
        want_ahead(g, layer);
        if (code || (code = record_attention(g, b, layer, e)) ||
            (code = s->n_expert ? record_experts(g, b, layer, e) : record_dense(g, b, layer, e)))
            break;
        recorded += layer_bytes(g, layer) * b->n;
        bool wait = in_place(g) && !g->routed && layer + 1 < s->n_layer && recorded < SUBMIT_BYTES;
        if (!wait) {
            run_recorded(g);
            recorded = 0;
        }
        if (g->routed && s->n_expert) g->routed(g->routed_user, layer, dev_routed_rows(g->dev), b->n, g->n_used);
    }
    g->yield = (yield_hook){0};
    if (code) { /* the layers ahead are wanted by nobody now, and what is recorded must not wait for the next step */
        run_recorded(g);
        store_forget_wants(g->model->store);
    }
    return code ? code : store_check(g->model->store, mark, e);
}

err_code model_graph_logits(model_graph *g, kern_role role, const uint32_t *rows, size_t n,
                            const float *const **rows_out, err *e) {
    ASSERT(n > 0 && n <= g->logits_max);
    const bound_matrix *matrix = &g->model->output;
    const dev_buf *out = &g->logits;
    uint64_t mark = store_mark(g->model->store);
    record_norm(g, g->model->output_norm, n, rows, input_formats(g, role, &matrix, 1));
    if (g->inputs.n_matrices) dev_add_squares(g->dev, n, &g->inputs.output);
    err_code code = record_matmul(g, role, &matrix, &out, 1, n, e);
    if (!code && g->model->output_bias) dev_add_bias(g->dev, &g->logits, g->model->output_bias, n);
    run_recorded(g);
    if (code || (code = store_check(g->model->store, mark, e))) return code;
    *rows_out = (const float *const *)g->logits.rows;
    return ERR_NONE;
}
