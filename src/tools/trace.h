/* trace.h: recorded routing: which experts a mixture-of-experts model chose, token by token. `leat cache-sim` replays
 * it.
 *
 * A text file. Lines that begin with # say the shape: n_layer, n_expert, n_expert_used, and of each layer the bytes of
 * an expert and of the dense tensors. Then one line a choice: turn,phase,step,layer,slot,expert,... (phase 0: prompt,
 * layer by layer; 1: generated, token by token). Columns after the sixth are not read. How many tokens there should be
 * nothing says: a file that was cut between two passes is a shorter one.
 */
#ifndef LEAT_TOOLS_TRACE_H
#define LEAT_TOOLS_TRACE_H

#include "tools/tools.h"

enum { TRACE_LAYERS_MAX = 1024, TRACE_EXPERTS_MAX = 1024 };

/* One layer of one pass: a generated token, or all of a turn's prompt. */
typedef struct trace_visit {
    bool prompt;
    uint32_t layer;
    uint32_t n_tokens;
    size_t first, n; /* its choices; every token has its own */
} trace_visit;

typedef struct trace {
    arena memory;
    size_t n_layer, n_expert, n_used;
    uint64_t *expert_bytes, *dense_bytes; /* (n_layer) */
    uint16_t *choices;
    trace_visit *visits;
    size_t n_choices, n_visits;
    size_t n_generated; /* tokens */
} trace;

err_code trace_open(trace *out, const char *path, err *e);
/* The routing of the generated tokens, as a session takes it; valid while the trace is open. ERR_FORMAT where they came
 * several at a time, as guesses do. */
err_code trace_routing(trace *t, leat_routing *out, err *e);
void trace_close(trace *t); /* accepts a zeroed one */

/* Routing as it occurs, written as such a file. */
typedef struct trace_writer {
    plat_out *out;
    const char *path;
    char *text; /* what is not written yet */
    size_t n;
    uint64_t step[TRACE_LAYERS_MAX]; /* next one's number, of each layer */
    bool generated; /* phase: set it between steps */
    int error;
} trace_writer;
typedef struct trace_shape {
    uint64_t n_layer, n_expert, n_used;
    const uint64_t *expert_bytes; /* (n_layer) */
} trace_shape;
err_code trace_write_open(trace_writer *w, const char *path, const trace_shape *shape, err *e);
void trace_write_put(trace_writer *w, const leat_routed *what);
/* whole: else what PATH was before stays. Accepts a zeroed one. */
err_code trace_write_close(trace_writer *w, bool whole, err *e);

#endif
