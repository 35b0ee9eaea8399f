/* chunks.c: texts as chunks of tokens. Next: perplexity.c, imatrix.c. */
#include "tools/chunks.h"

static int encode(tools *t, tools_ids *ids, const leat_model *model, const char *path, bool special) {
    err e;
    tools_text text;
    if (tools_text_open(&text, path, &e)) return tools_fail_text(t, e.text);
    if (text.bytes && text.data[text.bytes - 1] == '\n') text.bytes--; /* as the common tool reads it */
    err_code code = tools_ids_encode(ids, model, (str){text.data, text.bytes}, special, &e);
    int status = code ? tools_fail_text(t, e.text) : TOOLS_OK;
    tools_text_close(&text);
    return status;
}

int chunks_open(tools *t, chunks *out, const leat_model *model, const char *path, size_t n_ctx, size_t n_min,
                size_t n_max, bool special) {
    *out = (chunks){.n_ctx = n_ctx};
    if (!leat_has_tokenizer(model)) return tools_fail(t, "%s has no tokenizer", leat_model_name(model));
    int status = encode(t, &out->ids, model, path, special);
    if (status) return status;
    out->n = out->ids.n / n_ctx;
    if (out->n < n_min)
        return tools_fail(t, "%s has %zu tokens; a context of %zu wants %zu at least (-c sets it)", path, out->ids.n,
                          n_ctx, n_min * n_ctx);
    if (n_max) out->n = MIN(out->n, n_max);
    int32_t bos = leat_bos(model);
    for (size_t i = 1; i < out->n && bos >= 0 && out->ids.at[0] == bos; i++) out->ids.at[i * n_ctx] = bos;
    return TOOLS_OK;
}

void chunks_close(chunks *c) {
    tools_ids_close(&c->ids);
    *c = (chunks){0};
}
