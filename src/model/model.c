/* model.c: opening and closing; what the tools ask about a model. Next in the tour: graph.c. */
#include "model/model_int.h"

/* Address space for vectors and tables: every small tensor is counted in the file, so its size bounds them. */
static size_t reserve_bytes(const gguf *g) { return align_up(((size_t)64 << 20) + (size_t)gguf_total_bytes(g), 4096); }

err_code model_open(model **out, const gguf *g, store *s, err *e) {
    *out = NULL;
    arena memory;
    err_code code = arena_open(&memory, MEM_ENGINE, reserve_bytes(g), e);
    if (code) return code;
    model *m = arena_alloc(&memory, sizeof *m, 64);
    if (!m) {
        arena_close(&memory);
        return ERR(e, ERR_MEMORY, "no memory for a model handle");
    }
    m->memory = memory;
    m->file = g;
    m->store = s;
    if ((code = model_read_shape(m, e)) || (code = model_bind(m, e)) || (code = model_set_units(m, e))) {
        model_close(m);
        return code;
    }
    *out = m;
    return ERR_NONE;
}

void model_close(model *m) {
    if (!m) return;
    arena memory = m->memory; /* the handle lies inside */
    arena_close(&memory);
}

const model_shape *model_shape_of(const model *m) { return &m->shape; }
const char *model_family_name(const model *m) { return m->family->name; }

kv_shape model_kv_shape(const model *m) {
    const model_shape *s = &m->shape;
    return (kv_shape){.n_layer = s->n_layer, .n_head_kv = s->n_head_kv, .dim_k = s->dim_k, .dim_v = s->dim_v,
                      .type_k = QUANT_F16, .type_v = QUANT_F16, .window = s->window};
}
