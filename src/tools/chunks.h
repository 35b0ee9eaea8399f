/* chunks.h: a text cut into chunks as the field's common tools do, so that figures compare: each has the context's
 * length and begins anew, with BOS in place of its first token where the model asks for one.
 */
#ifndef LEAT_TOOLS_CHUNKS_H
#define LEAT_TOOLS_CHUNKS_H

#include "tools/tools.h"

typedef struct chunks {
    tools_ids ids;
    size_t n_ctx, n;
} chunks;
/* One newline at the end of the text is dropped; special: spelled-out control tokens become those tokens. n_max 0: no
 * limit; the text must have n_min chunks at least. Reports on standard error and returns TOOLS_FAILED when it did not
 * work. Close in any case. */
int chunks_open(tools *t, chunks *out, const leat_model *model, const char *path, size_t n_ctx, size_t n_min,
                size_t n_max, bool special);
void chunks_close(chunks *c); /* accepts a zeroed one */
/* (n_ctx) */
static inline const int32_t *chunks_at(const chunks *c, size_t i) { return c->ids.at + i * c->n_ctx; }

#endif
