/* serve.c: `leat serve`: opens a model for src/srv, which does the rest. The model is opened on a thread of its own, so
 * that who asks meanwhile is told to wait. Next: srv/srv.h.
 */
#include "srv/srv.h"
#include "tools/load.h"

#include <stdatomic.h>

#define LOOK_NS 200000000 /* for a signal */

typedef struct serve_values {
    const char *model, *draft, *host, *alias, *key_file, *cors, *chat_template, *variables, *isa;
    tools_strs keys;
    int32_t port, n_ctx, n_threads, queue_max, n_predict, n_draft, n_kept, kept_tokens;
    leat_sampler_options sampler;
    bool no_pin, quiet, verbose;
    load_memory memory;
    load_cache cache;
} serve_values;

static void defaults(void *values) {
    serve_values *o = values;
    o->host = "127.0.0.1";
    o->port = 8080;
    o->cors = "local";
    o->queue_max = 64;
    o->n_predict = -1;
    o->n_draft = LOAD_DRAFT_MAX;
    o->n_kept = 16;
    o->kept_tokens = -1;
    leat_sampler_defaults(&o->sampler);
    o->sampler.seed = LOAD_SEED_RANDOM;
}

typedef struct serving {
    tools *t;
    const serve_values *o;
    loaded l;
    srv *server;
    tools_text key_text;
    const char *keys[SRV_KEYS_MAX];
    size_t n_keys;
    /* of the thread that opens the model */
    load_options options;
    leat_error error;
    leat_code code;
    _Atomic uint32_t opened;
} serving;

static void log_line(void *user, const char *line) {
    serving *v = user;
    tools_err(v->t, "%s\n", line);
}

/* Keys of the command line, and the lines of the file that are not empty. */
static int take_keys(serving *v) {
    const serve_values *o = v->o;
    err e;
    for (size_t i = 0; i < o->keys.n; i++) {
        if (!o->keys.at[i][0]) return tools_usage(v->t, "--api-key: the key is empty");
        v->keys[v->n_keys++] = o->keys.at[i];
    }
    if (!o->key_file) return TOOLS_OK;
    if (tools_text_open(&v->key_text, o->key_file, &e)) return tools_fail_text(v->t, e.text);
    size_t before = v->n_keys;
    for (size_t at = 0; at < v->key_text.bytes;) {
        str rest = {v->key_text.data + at, v->key_text.bytes - at};
        size_t len = MIN(str_find(rest, STR("\n")), rest.len);
        str key = str_trim(str_cut(rest, 0, len));
        at += len + 1;
        if (!key.len) continue;
        if (v->n_keys == SRV_KEYS_MAX) return tools_fail(v->t, "more than %d API keys", SRV_KEYS_MAX);
        v->key_text.data[(size_t)(key.ptr - v->key_text.data) + key.len] = 0; /* the byte of the line's end, or the one
                                                                                 behind the text */
        v->keys[v->n_keys++] = key.ptr;
    }
    if (v->n_keys == before) return tools_fail(v->t, "%s has no API key in it", o->key_file);
    return TOOLS_OK;
}

static void open_model(void *arg) {
    serving *v = arg;
    v->code = load_open(&v->l, &v->options, &v->error);
    atomic_store(&v->opened, 1);
}

static int load(serving *v) {
    const serve_values *o = v->o;
    plat_thread *thread;
    err e;
    v->options = (load_options){.path = o->model, .draft = o->n_draft ? o->draft : NULL, .memory = o->memory,
                                .keep_learnt = true, .cache = o->cache, .n_ctx = o->n_ctx, .n_threads = o->n_threads,
                                .n_kept = o->n_kept, .kept_tokens = o->kept_tokens, .no_pin = o->no_pin,
                                .isa = o->isa, .quiet = o->quiet, .yield = srv_yield, .user = v->server};
    if (plat_thread_start(&thread, open_model, v, -1) == PLAT_OK) {
        while (!atomic_load(&v->opened)) srv_poll(v->server, 1000000);
        plat_thread_join(thread);
    } else {
        open_model(v);
    }
    if (v->code) return tools_fail_text(v->t, v->error.text);
    int status = load_session(v->t, &v->l, &v->options);
    if (!status && srv_start(v->server, v->l.model, v->l.session, v->l.draft, &e))
        status = tools_fail_text(v->t, e.text);
    return status;
}

static void say_ready(serving *v, uint64_t load_ns) {
    const leat_model *m = v->l.model;
    char bytes[32];
    tools_err(v->t, "leat serve: %.80s, %s, %s; loaded in %.2f s; %d thread%s, %s, context %d%s\n", leat_model_name(m),
              leat_model_architecture(m), fmt_bytes(bytes, sizeof bytes, leat_model_bytes(m)), (double)load_ns / 1e9,
              leat_session_threads(v->l.session), leat_session_threads(v->l.session) == 1 ? "" : "s",
              leat_session_isa(v->l.session), leat_session_n_ctx(v->l.session), v->n_keys ? "; a key is needed" : "");
    load_say_memory(v->t, &v->l, v->o->verbose);
    if (srv_warning(v->server)[0]) tools_err(v->t, "leat serve: warning: %s\n", srv_warning(v->server));
}

static int serve(serving *v) {
    const serve_values *o = v->o;
    bool six = str_find(str_of(o->host), STR(":")) != SIZE_MAX;
    err e;
    int status = take_keys(v);
    if (status) return status;
    srv_opts options = {.host = o->host,
                        .port = (uint16_t)o->port,
                        .path = o->model,
                        .alias = o->alias,
                        .keys = v->keys,
                        .n_keys = v->n_keys,
                        .cors = o->cors,
                        .chat_template = o->chat_template,
                        .variables = o->variables,
                        .queue_max = o->queue_max,
                        .sampler = o->sampler,
                        .seeded = o->sampler.seed != LOAD_SEED_RANDOM,
                        .n_predict = o->n_predict,
                        .n_draft = o->n_draft,
                        .verbose = o->verbose,
                        .log = o->verbose ? log_line : NULL,
                        .user = v};
    if (srv_open(&v->server, &options, &e)) return tools_fail_text(v->t, e.text);
    if (!o->quiet)
        tools_err(v->t, six ? "leat serve: listening at http://[%s]:%u\n" : "leat serve: listening at http://%s:%u\n",
                  o->host, srv_port(v->server));
    uint64_t start = plat_time_ns();
    status = load(v);
    if (status) return status;
    if (!o->quiet) say_ready(v, plat_time_ns() - start);
    while (srv_step(v->server, LOOK_NS)) {}
    if (!o->quiet) tools_err(v->t, "leat serve: all requests are answered; bye\n");
    return TOOLS_OK;
}

static int run(tools *t, const void *values) {
    serving v = {.t = t, .o = values};
    if (v.o->quiet && v.o->verbose) return tools_usage(t, "-q and -v contradict each other");
    if (v.o->alias && !v.o->alias[0]) return tools_usage(t, "--alias: the name is empty");
    int status = load_check_memory(t, &v.o->memory);
    if (status) return status;
    status = serve(&v);
    srv_close(v.server);
    load_close(&v.l);
    tools_text_close(&v.key_text);
    return status;
}

#define T serve_values
static const tools_option options[] = {
    TOOLS_MODEL(T, model),
    TOOLS_STR(T, host, 0, "host", "HOST", "the address to listen at; 0.0.0.0 for all ({})"),
    TOOLS_INT(T, port, 0, "port", "N", 0, 65535, "the port; 0: any free one ({})"),
    LOAD_CTX(T, n_ctx),
    TOOLS_STR(T, alias, 0, "alias", "NAME",
              "what the model is called: a name, or several parted by commas (default: its file's)"),
    TOOLS_STRS(T, keys, 0, "api-key", "KEY", "answer only who sends this key; may be repeated"),
    TOOLS_STR(T, key_file, 0, "api-key-file", "FILE", "a file with such keys, one a line"),
    TOOLS_STR(T, chat_template, 0, "chat-template", "NAME",
              "a built-in template instead of the file's (see leat template --help), or one in Jinja"),
    TOOLS_OBJECT(T, variables, 0, "chat-template-kwargs", "JSON",
                 "an object: more variables for the template, where a request has none of that name"),
    TOOLS_STR(T, cors, 0, "cors", "ORIGIN",
              "which web pages may read answers: local (those of this machine), none, * or one origin ({})"),
    TOOLS_INT(T, n_predict, 'n', "predict", "N", -1, INT32_MAX,
              "tokens of an answer at most, where a request says nothing; -1: no limit ({})"),
    TOOLS_U64(T, sampler.seed, 's', "seed", "S", "where a request has none (default: a new one each time)"),
    TOOLS_FLOAT(T, sampler.temperature, 0, "temp", "X", 0, 1000, "likewise, and the next three ({})"),
    TOOLS_INT(T, sampler.top_k, 0, "top-k", "N", 0, INT32_MAX, "only the N likeliest; 0: off ({})"),
    TOOLS_FLOAT(T, sampler.top_p, 0, "top-p", "X", 0, 1, "the likeliest that together reach X; 1: off ({})"),
    TOOLS_FLOAT(T, sampler.min_p, 0, "min-p", "X", 0, 1, "at least X times as likely as the likeliest; 0: off ({})"),
    TOOLS_INT(T, queue_max, 0, "queue", "N", 1, SRV_QUEUE_MAX,
              "requests that may wait; more are told to come back ({})"),
    TOOLS_INT(T, n_kept, 0, "cache-prompts", "N", 0, LEAT_KEPT_MAX,
              "earlier prompts kept beside the last one, for those that begin alike ({})"),
    TOOLS_INT(T, kept_tokens, 0, "cache-tokens", "N", -1, INT32_MAX,
              "memory for them, in tokens; -1: as many as the context, where memory is plenty ({})"),
    LOAD_DRAFT(T, draft, n_draft),
    TOOLS_THREADS(T, n_threads, no_pin),
    TOOLS_ISA(T, isa),
    LOAD_CACHE(T, cache),
    LOAD_MEMORY(T, memory),
    LOAD_LEARNT(T, memory),
    TOOLS_FLAG(T, quiet, 'q', "quiet", "only errors"),
    TOOLS_FLAG(T, verbose, 'v', "verbose", "also a line for each request; chats show their prompt"),
};
#undef T

const tools_command tools_serve = {
    .name = "serve",
    .summary = "Serve a model over HTTP",
    .usage = "FILE [options]",
    .notes =
        "Speaks OpenAI's API: point a client at http://HOST:PORT/v1. docs/API.md has every endpoint and field.\n"
        "Each option but the file has a twin in the environment: LEAT_PORT, LEAT_CTX_SIZE, LEAT_API_KEY and so on (a "
        "flag is set by 1); the command line wins.\n"
        "Requests are answered one after the other. Ctrl-C or SIGTERM ends it when those that came are answered; a "
        "third one at once.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(serve_values),
    .defaults = defaults,
    .run = run,
};
