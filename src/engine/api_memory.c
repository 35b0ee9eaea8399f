/* api_memory.c: how much memory the weights may take, and so how they are held. Decided once for a model, when its
 * first session is opened: only then is it known what context and activations take.
 */
#include "engine/engine_int.h"

/* What the counted memory does not show: the program itself, its stacks, page tables, the file's header in the page
 * cache, the kernel's part of the reads under way. */
static uint64_t overhead(const leat_model *m, uint64_t ram) {
    uint64_t header = 0;
    for (size_t i = 0; i < gguf_part_count(m->file); i++)
        if (gguf_tensor_count(m->file)) header = MAX(header, gguf_tensor_at(m->file, 0)->offset);
    return ((uint64_t)12 << 20) + MIN(header, (uint64_t)64 << 20) + ram / 256;
}

static err_code too_small(const leat_session *s, uint64_t ram, uint64_t others, err *e) {
    return ERR(e, ERR_MEMORY,
               "%llu MiB are too little: context (%zu tokens), activations and tables take %llu MiB; then come the "
               "weights",
               (unsigned long long)(ram >> 20), s->n_ctx, (unsigned long long)(others >> 20));
}

err_code engine_place_weights(leat_session *s, err *e) {
    leat_model *m = s->model;
    if (m->placed || m->map) return ERR_NONE;
    /* Free memory shrinks as others work: a part of it stays theirs. */
    uint64_t available = plat_mem_available(), held = mem_bytes_total();
    uint64_t ram = m->ram_bytes ? m->ram_bytes : available + held - available / 16;
    uint64_t others = held + overhead(m, ram), weights = store_units_bytes(m->weights);
    if (weights <= ram && others <= ram - weights) {
        m->placed = true;
        return ERR_NONE;
    }
    if (others >= ram) return too_small(s, ram, others, e);
    err_code code = store_stream(m->weights, (size_t)(ram - others), e);
    m->placed = !code;
    return code;
}

const char *leat_session_memory(const leat_session *s, char *buf, size_t cap) {
    store_describe(s->model->weights, buf, cap);
    return buf;
}

leat_stats leat_session_stats(const leat_session *s) {
    store_stats t = store_stats_of(s->model->weights);
    leat_stats out = {.reads = t.reads,
                      .read_bytes = t.read_bytes,
                      .expert_hits = t.hits,
                      .expert_misses = t.misses,
                      .stall_ns = t.stall_ns,
                      .busy_ns = t.busy_ns,
                      .disk_bytes_s = t.disk_bytes_s,
                      .held_bytes = mem_bytes_total()};
    for (int tag = 0; tag < MEM_TAGS; tag++) out.held_peak_bytes += mem_bytes_peak((mem_tag)tag);
    return out;
}
