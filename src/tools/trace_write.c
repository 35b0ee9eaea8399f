/* trace_write.c: routing as it occurs, in the form that trace.c reads. Refuses shapes that trace.c would. Next:
 * bench.c, which records what it measures.
 */
#include "tools/trace.h"

#define TEXT_BYTES ((size_t)64 << 10)
#define ROW_BYTES 96

static void flush(trace_writer *w) {
    if (!w->error) w->error = plat_out_write(w->out, w->text, w->n);
    w->n = 0;
}

err_code trace_write_open(trace_writer *w, const char *path, const trace_shape *shape, err *e) {
    *w = (trace_writer){.path = path};
    if (!shape->n_expert || !shape->n_layer || shape->n_layer > TRACE_LAYERS_MAX || shape->n_expert > TRACE_EXPERTS_MAX)
        return ERR(e, ERR_UNSUPPORTED, "%llu layers of %llu experts: no routing to record, wanted 1 to %d and 1 to %d",
                   (unsigned long long)shape->n_layer, (unsigned long long)shape->n_expert, TRACE_LAYERS_MAX,
                   TRACE_EXPERTS_MAX);
    if (!(w->text = mem_block(MEM_TOOLS, TEXT_BYTES))) return ERR(e, ERR_MEMORY, "no memory to record routing");
    int error = plat_out_create(&w->out, path, false);
    if (error) {
        mem_block_free(w->text);
        w->text = NULL;
        return ERR(e, ERR_IO, "%.200s: %s", path, plat_error_name(error));
    }
    w->n = fmt(w->text, TEXT_BYTES, "# route_trace v1\n# n_layer=%llu n_expert=%llu n_expert_used=%llu\n",
               (unsigned long long)shape->n_layer, (unsigned long long)shape->n_expert,
               (unsigned long long)shape->n_used);
    for (uint64_t l = 0; l < shape->n_layer; l++) {
        if (TEXT_BYTES - w->n < ROW_BYTES) flush(w);
        w->n += fmt(w->text + w->n, TEXT_BYTES - w->n, "# layer=%llu expert_bytes=%llu\n", (unsigned long long)l,
                    (unsigned long long)shape->expert_bytes[l]);
    }
    w->n += fmt(w->text + w->n, TEXT_BYTES - w->n, "turn,phase,step,layer,slot,expert\n");
    return ERR_NONE;
}

void trace_write_put(trace_writer *w, const leat_routed *what) {
    for (int32_t t = 0; t < what->n_tokens; t++, w->step[what->layer]++)
        for (int32_t k = 0; k < what->n_used; k++) {
            if (TEXT_BYTES - w->n < ROW_BYTES) flush(w);
            w->n += fmt(w->text + w->n, TEXT_BYTES - w->n, "0,%d,%llu,%d,%d,%u\n", w->generated,
                        (unsigned long long)w->step[what->layer], what->layer, k,
                        what->experts[t * what->n_used + k]);
        }
}

err_code trace_write_close(trace_writer *w, bool whole, err *e) {
    if (!w->out) return ERR_NONE;
    flush(w);
    int error = plat_out_settle(w->out, whole ? w->error : PLAT_INTERRUPTED);
    mem_block_free(w->text);
    w->out = NULL;
    w->text = NULL;
    return error && whole ? ERR(e, ERR_IO, "%.200s: %s", w->path, plat_error_name(error)) : ERR_NONE;
}
