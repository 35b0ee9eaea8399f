/* load.h: a model and a session opened the same way by run, eval and perplexity. */
#ifndef LEAT_TOOLS_LOAD_H
#define LEAT_TOOLS_LOAD_H

#include "tools/tools.h"

typedef struct load_options {
    const char *path;
    bool no_map;
    int32_t n_ctx, n_threads; /* 0: the default */
    const char *isa;
    bool quiet; /* no warnings */
} load_options;

typedef struct loaded {
    leat_model *model;
    leat_session *session;
} loaded;

/* Both report on standard error and return TOOLS_FAILED when it did not work; TOOLS_OK otherwise. */
int load_model(tools *t, loaded *out, const load_options *o);
/* Stops at Ctrl-C; warns of a context above the model's. */
int load_session(tools *t, loaded *out, const load_options *o);
void load_close(loaded *l); /* accepts a zeroed one */

#endif
