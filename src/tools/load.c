/* load.c: opening models and sessions for commands, with the words that a user should read. Next: run.c. */
#include "tools/load.h"

int load_model(tools *t, loaded *out, const load_options *o) {
    leat_error e;
    leat_model_options options = {.no_map = o->memory.no_map, .map = o->memory.map, .ram_bytes = o->memory.ram};
    if (o->memory.map && o->memory.no_map) return tools_usage(t, "--mmap and --no-mmap contradict each other");
    if (leat_model_open(&out->model, o->path, &options, &e)) return tools_fail(t, "%s", e.text);
    return TOOLS_OK;
}

/* The engine asks at least once a layer, so that Ctrl-C need not wait for a whole prompt. */
static bool interrupted(void *user) {
    (void)user;
    return plat_interrupted();
}

int load_session(tools *t, loaded *out, const load_options *o) {
    leat_error e;
    leat_session_options options = {
        .n_ctx = o->n_ctx, .n_threads = o->n_threads, .n_chunk = o->n_chunk, .isa = o->isa,
        .importance = o->importance, .yield = interrupted};
    if (leat_session_open(&out->session, out->model, &options, &e)) return tools_fail(t, "%s", e.text);
    int32_t trained = leat_model_n_ctx_train(out->model), n_ctx = leat_session_n_ctx(out->session);
    if (!o->quiet && trained > 0 && n_ctx > trained)
        tools_err(t, "leat %s: warning: a context of %d is above the %d that the model was trained for\n",
                  tools_name(t), n_ctx, trained);
    return TOOLS_OK;
}

void load_say_memory(tools *t, const loaded *l, bool always) {
    char line[256];
    leat_session_memory(l->session, line, sizeof line);
    if (always || str_starts(str_of(line), STR("streaming"))) tools_err(t, "leat %s: %s\n", tools_name(t), line);
}

void load_close(loaded *l) {
    leat_session_close(l->session);
    leat_model_close(l->model);
    *l = (loaded){0};
}
