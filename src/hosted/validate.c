/* validate.c: the program leat-validate: leat's tokens and logits of a file beside those of a live libllama.
 *
 * libllama runs in a child process that writes into shared memory: a library that aborts, as ggml does on files that it
 * does not like, then costs a message and not the comparison. Next: validate_peer.c, which finds and drives it.
 */
#include "tools/load.h"
#include "hosted/validate_encode.h"
#include "hosted/validate_options.h"
#include "hosted/validate_peer.h"

#include "plat/posix/posix.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Many scripts, digits, code, white space: where tokenizers differ, they differ here. */
static const char paragraph[] =
    "The mill stood where the leat left the river, and for 312 years nobody had asked why it ran uphill. \"It "
    "doesn't,\" said Ada (aged 9); \"water can't.\" She'd measured: 0.75% down, 1,024 steps, three bends.\n\n"
    "  for (int i = 0; i < n; i++) {\n\t\tsum += w[i] * x[i];  // 2^10 = 1024\n  }\n\n"
    "Der Müller sagte: „Größe täuscht.“ L'été, l'eau était à 17 °C; в июле — теплее. 水は低きに流れる。 한국어도 흐른다. "
    "🙂👩‍🔬 Ελληνικά, العربية, हिन्दी, ภาษาไทย.\n";

#define IDS_WITHOUT_TOKENIZER 64

/* What the child leaves for its parent; the logits follow it. */
typedef struct results {
    err error;
    char version[64];
    int32_t n_vocab;
    size_t n_ids;     /* the peer's tokens of the text    */
    bool done;
} results;

typedef struct comparison {
    tools *t;
    const validate_values *o;
    loaded l;
    tools_text text;
    tools_ids file_ids;
    arena memory;
    int32_t *ids, *peer_ids; /* (n_ids), (peer->n_ids, at most ids_max) */
    size_t n_ids, ids_max;
    size_t n;          /* of the tokens whose logits are compared */
    int32_t n_vocab;
    results *peer;     /* shared with the child; peer_ids and logits behind it */
    size_t peer_bytes;
    float *logits;     /* (n, n_vocab) of the peer */
} comparison;

/* ---- distance of two rows of logits ------------------------------------------------------------------ */

typedef struct distance {
    const comparison *c;
    double error, sum, square; /* sum and square: of the peer's logits, for their variance */
    double kl;
    size_t n, n_top;
} distance;

static double log_sum_exp(const float *x, int32_t n, double top) {
    double s = 0;
    for (int32_t i = 0; i < n; i++) s += math_exp(x[i] - top);
    return top + math_log(s);
}

static int32_t largest(const float *x, int32_t n) {
    int32_t at = 0;
    for (int32_t i = 1; i < n; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

static bool add_row(void *user, size_t index, const float *ours) {
    distance *d = user;
    int32_t n = d->c->n_vocab;
    const float *theirs = d->c->logits + index * (size_t)n;
    int32_t top_ours = largest(ours, n), top_theirs = largest(theirs, n);
    double z_ours = log_sum_exp(ours, n, ours[top_ours]), z_theirs = log_sum_exp(theirs, n, theirs[top_theirs]);
    for (int32_t i = 0; i < n; i++) {
        double b = theirs[i], e = ours[i] - b, log_p = b - z_theirs;
        d->error += e * e;
        d->sum += b;
        d->square += b * b;
        d->kl += math_exp(log_p) * (log_p - (ours[i] - z_ours));
    }
    d->n++;
    d->n_top += top_ours == top_theirs;
    return !plat_interrupted();
}

static double nmse_of(const distance *d) {
    double count = (double)d->n * d->c->n_vocab;
    double variance = d->square - d->sum * d->sum / count;
    return variance > 0 ? d->error / variance : d->error;
}

/* ---- tokens ------------------------------------------------------------------------------------------ */

static int fail(tools *t, const err *e) { return tools_fail_text(t, e->text); }

/* ids: from a file, or leat's of the text, or arbitrary ones for a file without a tokenizer. */
static int take_ids(comparison *c, str *text) {
    err e;
    *text = (str){0};
    if (c->o->ids) {
        if (tools_ids_open(&c->file_ids, c->o->ids, c->n_vocab, &e)) return fail(c->t, &e);
        c->ids = c->file_ids.at;
        c->n_ids = c->file_ids.n;
        return TOOLS_OK;
    }
    *text = STR(paragraph);
    if (c->o->text) {
        if (tools_text_open(&c->text, c->o->text, &e)) return fail(c->t, &e);
        *text = (str){c->text.data, c->text.bytes};
    }
    if (leat_has_tokenizer(c->l.model)) {
        if (tools_ids_encode(&c->file_ids, c->l.model, *text, true, &e)) return fail(c->t, &e);
        c->ids = c->file_ids.at;
        c->n_ids = c->file_ids.n;
        if (c->n_ids == 0) return tools_fail(c->t, "the text gives no tokens");
        return TOOLS_OK;
    }
    if (arena_open(&c->memory, MEM_TOOLS, IDS_WITHOUT_TOKENIZER * sizeof *c->ids + 64, &e)) return fail(c->t, &e);
    c->ids = arena_alloc(&c->memory, IDS_WITHOUT_TOKENIZER * sizeof *c->ids, 4);
    if (!c->ids) return tools_fail(c->t, "no memory for %d token ids", IDS_WITHOUT_TOKENIZER);
    *text = (str){0};
    rng r;
    rng_seed(&r, 1);
    for (c->n_ids = 0; c->n_ids < IDS_WITHOUT_TOKENIZER; c->n_ids++)
        c->ids[c->n_ids] = (int32_t)(rng_u64(&r) % (uint64_t)c->n_vocab);
    return TOOLS_OK;
}

/* True when they agree. */
static bool report_ids(const comparison *c, bool from_text) {
    if (!from_text) {
        tools_out(c->t, "tokens     %zu given\n", c->n_ids);
        return true;
    }
    size_t same = 0, n = MIN(MIN(c->n_ids, c->peer->n_ids), c->ids_max);
    while (same < n && c->ids[same] == c->peer_ids[same]) same++;
    if (same == c->n_ids && same == c->peer->n_ids) {
        tools_out(c->t, "tokens     all %zu equal\n", same);
        return true;
    }
    tools_out(c->t, "tokens     DIFFER from number %zu on: leat has", same);
    for (size_t i = same; i < MIN(c->n_ids, same + 4); i++) tools_out(c->t, " %d", c->ids[i]);
    tools_out(c->t, " (%zu in all), libllama", c->n_ids);
    n = MIN(c->peer->n_ids, c->ids_max);
    for (size_t i = same; i < MIN(n, same + 4); i++) tools_out(c->t, " %d", c->peer_ids[i]);
    tools_out(c->t, " (%zu in all)\n", c->peer->n_ids);
    return false;
}

/* ---- the peer ---------------------------------------------------------------------------------------- */

static bool open_shared(comparison *c) {
    size_t logits_bytes;
    c->ids_max = c->n_ids + 1024;
    size_t head = align_up(sizeof(results), 64), ids_bytes = align_up(c->ids_max * sizeof *c->ids, 64);
    if (!mul_size(c->n * sizeof *c->logits, (size_t)c->n_vocab, &logits_bytes)) return false;
    c->peer_bytes = head + ids_bytes + logits_bytes;
    void *at = mmap(NULL, c->peer_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return false;
    c->peer = at;
    c->peer_ids = (int32_t *)(void *)((char *)at + head);
    c->logits = (float *)(void *)((char *)at + head + ids_bytes);
    return true;
}

static err_code ask_peer(comparison *c, str text) {
    results *r = c->peer;
    peer *p;
    peer_feed feed = {.n_threads = c->o->n_threads ? c->o->n_threads : plat_core_count()};
    err_code code = peer_open(&p, c->o->lib ? c->o->lib : VALIDATE_LIB_DEFAULT, &r->error);
    if (code) return code;
    fmt(r->version, sizeof r->version, "%s", peer_version(p));
    if ((code = peer_load(p, c->o->model, &r->error))) return code;
    r->n_vocab = peer_n_vocab(p);
    if (r->n_vocab != c->n_vocab)
        return ERR(&r->error, ERR_FORMAT, "libllama counts %d tokens in the vocabulary, leat %d", r->n_vocab,
                   c->n_vocab);
    if (text.ptr && (code = peer_tokenize(p, text, c->peer_ids, c->ids_max, &r->n_ids, &r->error))) return code;
    return peer_logits(p, c->ids, c->n, &feed, c->logits, &r->error);
}

static int run_peer(comparison *c, str text) {
    tools_out_flush(c->t);
    pid_t child = fork();
    if (child < 0) return tools_fail(c->t, "no second process for libllama");
    if (child == 0) {
        setenv("GGML_NO_BACKTRACE", "1", 1); /* or an abort of it would start a debugger */
        c->peer->done = ask_peer(c, text) == ERR_NONE;
        _exit(0); /* without the library's own clean-up, which has crashed in some versions */
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && !plat_interrupted()) continue;
    if (plat_interrupted()) {
        kill(child, SIGTERM);
        return TOOLS_INTERRUPTED;
    }
    if (c->peer->done) return TOOLS_OK;
    if (WIFSIGNALED(status)) return tools_fail(c->t, "libllama crashed on this file: %s", strsignal(WTERMSIG(status)));
    tools_fail_text(c->t, c->peer->error.text);
    if (!c->peer->version[0] && c->peer->error.code == ERR_IO)
        tools_err(c->t, "`npm install @node-llama-cpp/linux-x64` brings a libllama; --lib DIR names another folder.\n");
    return TOOLS_FAILED;
}

/* ---- the whole comparison ---------------------------------------------------------------------------- */

static int compare(comparison *c, const char *label, leat_role role, bool *close) {
    distance d = {.c = c};
    leat_error e;
    if (leat_rewind(c->l.session, 0, &e) || leat_feed_each(c->l.session, c->ids, c->n, role, add_row, &d, &e))
        return tools_fail_text(c->t, e.text);
    if (plat_interrupted()) return TOOLS_INTERRUPTED;
    double nmse = nmse_of(&d);
    bool within = nmse <= (double)c->o->nmse_max; /* false for NaN */
    tools_out(c->t, "%-10s NMSE %.2e, KL %.2e, top-1 %zu of %zu%s\n", label, nmse, d.kl / (double)d.n, d.n_top, d.n,
              within ? "" : "   TOO FAR");
    *close = *close && within;
    return TOOLS_OK;
}

static int run_all(comparison *c) {
    const validate_values *o = c->o;
    load_options options = {.path = o->model, .n_threads = o->n_threads, .no_pin = o->no_pin, .isa = o->isa};
    str text;
    int status = load_model(c->t, &c->l, &options);
    if (status) return status;
    c->n_vocab = leat_model_n_vocab(c->l.model);
    if ((status = take_ids(c, &text))) return status;
    c->n = MIN(c->n_ids, (size_t)c->o->n_max);
    if (!open_shared(c)) return tools_fail(c->t, "no memory for the logits of %zu tokens", c->n);
    if ((status = run_peer(c, text))) return status;
    tools_out(c->t, "leat %s against llama.cpp %s\n", leat_version(), c->peer->version);
    bool agree = report_ids(c, text.ptr != NULL);
    options.n_ctx = (int32_t)c->n;
    if ((status = load_session(c->t, &c->l, &options))) return status;
    if ((status = compare(c, "prompt", LEAT_PROMPT, &agree))) return status;
    if ((status = compare(c, "generated", LEAT_GENERATED, &agree))) return status;
    tools_out(c->t, agree ? "they agree\n" : "they DIFFER\n");
    return agree ? TOOLS_OK : TOOLS_FAILED;
}

static int run(tools *t, const void *values) {
    comparison c = {.t = t, .o = values};
    int status = run_all(&c);
    load_close(&c.l);
    tools_text_close(&c.text);
    tools_ids_close(&c.file_ids);
    arena_close(&c.memory);
    if (c.peer) munmap(c.peer, c.peer_bytes);
    return status;
}

static const tools_command validate = VALIDATE_COMMAND(run);

/* leat-validate [options] is `leat validate [options]`: the same parser, told the command's name. Besides there is
 * leat-validate encoders [options]. */
int main(int argc, char **argv) {
    static const tools_command *const commands[] = {&validate, &validate_encoders};
    static char name[] = "validate";
    char *args[64];
    int n = 0;
    plat_posix_start();
    args[n++] = argv[0];
    if (argc < 2 || strcmp(argv[1], validate_encoders.name) != 0) args[n++] = name;
    for (int i = 1; i < argc && n < 63; i++) args[n++] = argv[i];
    args[n] = NULL;
    return tools_main(n, args, commands, COUNT_OF(commands));
}
