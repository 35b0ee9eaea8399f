/* bare_models.c: the commands of the bare console that are about models: which there are, which one is meant when none
 * is named, and how steadily it answers. Next: main_bare.c, the console itself.
 *
 * A model that is loaded lies in memory as boot modules do, read once: every command maps it and starts in
 * milliseconds.
 */
#include "hosted/bare.h"
#include "kernel/boot/boot.h"
#include "kernel/cpu/cpu.h"
#include "plat/bare/bare.h"
#include "tools/load.h"

#define NAME_BYTES 288 /* of the longest name that a file can have, and its volume */
#define WHICH "as `models` lists it (default: the one in use)"

typedef struct perf_values {
    const char *name;
    int32_t n_predict;
} perf_values;

static char now[NAME_BYTES];

const char *bare_model_now(void) { return now; }

static void use(const char *name) {
    if (name != now) fmt(now, sizeof now, "%s", name);
}

/* The one that a command names, else the one in use; NULL, with a message, without both. */
static const char *model_of(tools *t, const char *name) {
    if (name || *now) return name ? name : now;
    tools_fail(t, "no model; `models` lists what there is");
    return NULL;
}

bool bare_is_file(const char *word) {
    plat_file *f;
    if (plat_file_open(&f, word) != PLAT_OK) return false;
    plat_file_close(f);
    return true;
}

static bool is_model(str name) { return str_ends(name, STR(".gguf")); }

/* ---- which there are ----------------------------------------------------------------------------- */

typedef void see_model(void *ctx, const char *name, uint64_t bytes);
typedef struct search {
    see_model *see;
    void *ctx;
    const char *volume;
} search;

static void see_file(void *ctx, str name, uint64_t bytes, bool folder) {
    const search *s = ctx;
    char path[NAME_BYTES];
    if (folder || !is_model(name)) return;
    fmt(path, sizeof path, "/%s/%.*s", s->volume, (int)name.len, name.ptr);
    s->see(s->ctx, path, bytes);
}

/* Those in memory, then those in the first folders of the disks, in their order. */
static void each_model(see_model *see, void *ctx) {
    search s = {.see = see, .ctx = ctx};
    for (size_t i = 0; i < boot.n_modules; i++)
        if (is_model(str_of(boot.modules[i].name))) see(ctx, boot.modules[i].name, boot.modules[i].bytes);
    for (size_t i = 0; i < bare_volume_count(); i++) {
        s.volume = bare_volume_at(i)->name;
        bare_volume_list(i, see_file, &s);
    }
}

static void take_first(void *ctx, const char *name, uint64_t bytes) {
    (void)ctx, (void)bytes;
    if (!*now) use(name);
}

void bare_model_first(void) { each_model(take_first, NULL); }

static void show_model(void *ctx, const char *name, uint64_t bytes) {
    char text[24];
    tools_out(ctx, "%10s  %s%s\n", fmt_bytes(text, sizeof text, bytes), name, cstr_eq(name, now) ? "  (in use)" : "");
}

static int models_run(tools *t, const void *values) {
    (void)values;
    each_model(show_model, t);
    if (!*now) tools_out(t, "no models: none in memory, none in the first folder of any volume\n");
    return TOOLS_OK;
}

/* ---- loading ------------------------------------------------------------------------------------- */

static int read_all(tools *t, plat_file *f, char *to, uint64_t bytes) {
    enum { STEP = 4 << 20 };
    tools_progress p;
    tools_progress_start(&p, t, "load");
    int64_t n = 0;
    uint64_t at = 0;
    for (; at < bytes && !plat_interrupted(); at += (uint64_t)n) {
        n = plat_file_read(f, at, to + at, MIN(STEP, bytes - at));
        if (n <= 0) break;
        tools_progress_show(&p, at, bytes, " ");
    }
    tools_progress_end(&p);
    return at == bytes ? PLAT_OK : n < 0 ? (int)n : plat_interrupted() ? PLAT_INTERRUPTED : PLAT_IO_ERROR;
}

static int load_run(tools *t, const void *values) {
    const char *name = model_of(t, ((const bare_word *)values)->word);
    plat_file *f = NULL;
    if (!name) return TOOLS_FAILED;
    if (!boot_module_named(str_of(name))) {
        int error = plat_file_open(&f, name);
        if (error) return tools_fail(t, "%s: %s; `models` lists what there is", name, plat_error_name(error));
        if (boot.n_modules >= BOOT_MODULES_MAX || cstr_len(name) >= sizeof boot.modules[0].name)
            error = PLAT_NO_SPACE;
        uint64_t bytes = plat_file_bytes(f);
        char *to = error ? NULL : mem_block(MEM_WEIGHTS, bytes);
        if (!error) error = to ? read_all(t, f, to, bytes) : PLAT_NO_MEMORY;
        plat_file_close(f);
        if (error) {
            mem_block_free(to);
            return tools_fail(t, "%s: %s", name, plat_error_name(error));
        }
        boot_add_module((uintptr_t)to, bytes, str_of(name));
        boot.modules[boot.n_modules - 1].loaded = true;
    }
    use(name);
    tools_out(t, "%s is in memory, and is what run, chat, bench and others take\n", now);
    return TOOLS_OK;
}

static int switch_run(tools *t, const void *values) {
    const char *name = ((const bare_word *)values)->word;
    if (!name) return tools_usage(t, "wanted the name of a model; `models` lists what there is");
    if (!bare_is_file(name)) return tools_fail(t, "%s: no such file; `models` lists what there is", name);
    use(name);
    return TOOLS_OK;
}

static int unload_run(tools *t, const void *values) {
    const char *name = model_of(t, ((const bare_word *)values)->word);
    for (size_t i = 0; name && i < boot.n_modules; i++) {
        boot_module *m = &boot.modules[i];
        if (!cstr_eq(m->name, name)) continue;
        if (!m->loaded) return tools_fail(t, "%s came with the kernel and stays", name);
        mem_block_free((void *)(uintptr_t)m->start);
        if (cstr_eq(now, name)) now[0] = 0;
        memmove(m, m + 1, (boot.n_modules - i - 1) * sizeof *m);
        boot.n_modules--;
        return TOOLS_OK;
    }
    return name ? tools_fail(t, "%s: not in memory", name) : TOOLS_FAILED;
}

/* ---- how steadily -------------------------------------------------------------------------------- */

enum { TIMES_MAX = 4096 };

static bool less(const void *a, const void *b) { return *(const uint64_t *)a < *(const uint64_t *)b; }

static void show_times(tools *t, uint64_t *ns, size_t n) {
    sort_items(ns, n, sizeof *ns, less);
    static const struct {
        const char *name;
        double share;
    } marks[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};
    tools_out(t, "%zu tokens:", n);
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        size_t at = MIN((size_t)(marks[i].share * (double)n), n - 1);
        tools_out(t, " %s %.3f ms", marks[i].name, (double)ns[at] * 1e-6);
    }
    tools_out(t, "\n");
    /* A row for each fifth part more. */
    for (size_t i = 0; i < n;) {
        double end = (double)ns[i] * 1.2;
        size_t from = i;
        while (i < n && (double)ns[i] < end) i++;
        tools_out(t, "%10.3f ms %6zu %.*s\n", (double)ns[from] * 1e-6, i - from, (int)MAX(1, (i - from) * 50 / n),
                  "##################################################");
    }
}

static int measure(tools *t, const char *name, int32_t n_predict) {
    load_options options = {.path = name, .n_ctx = n_predict + 16};
    loaded l = {0};
    leat_error e;
    int32_t token = 1;
    uint64_t *ns = mem_block(MEM_TOOLS, (size_t)n_predict * sizeof *ns);
    int status = ns ? load_model(t, &l, &options) : tools_fail(t, "out of memory");
    if (!status) status = load_session(t, &l, &options);
    size_t n = 0;
    for (; !status && n < (size_t)n_predict && !plat_interrupted(); n++) {
        uint64_t from = cpu_time_ns();
        if (leat_feed(l.session, &token, 1, LEAT_GENERATED, &e)) status = tools_fail_text(t, e.text);
        ns[n] = cpu_time_ns() - from;
    }
    if (!status && n) show_times(t, ns, n);
    load_close(&l);
    mem_block_free(ns);
    return status;
}

static int perf_run(tools *t, const void *values) {
    const perf_values *o = values;
    const char *name = model_of(t, o->name);
    return name ? measure(t, name, o->n_predict) : TOOLS_FAILED;
}

static void perf_defaults(void *values) { ((perf_values *)values)->n_predict = 64; }

static int deterministic_run(tools *t, const void *values) {
    const char *how = ((const bare_word *)values)->word;
    bool on = how && cstr_eq(how, "on");
    if (how && !on && !cstr_eq(how, "off")) return tools_usage(t, "on or off, not '%.40s'", how);
    if (how) cpu_set_quiet(on);
    tools_out(t, cpu_is_quiet() ? "on: cores that wait spin; no timer, no watchdog, no interrupt to wake them\n"
                                : "off: cores that wait halt\n");
    return how && *now ? measure(t, now, 64) : TOOLS_OK;
}

static int validate_run(tools *t, const void *values) {
    const char *name = model_of(t, ((const bare_word *)values)->word);
    char reference[NAME_BYTES + 8];
    bare_sum sum = {.known = false};
    if (!name) return TOOLS_FAILED;
    const boot_module *m = boot_module_named(str_of(name));
    int error = m ? PLAT_OK : bare_verify(name, &sum);
    if (error) return tools_fail(t, "%s: %s", name, plat_error_name(error));
    if (sum.known) tools_out(t, "%s: %s its SHA-256 in the manifest\n", name, sum.matches ? "has" : "HAS NOT");
    if (sum.known && !sum.matches) return TOOLS_FAILED;
    fmt(reference, sizeof reference, "%s.ref", name);
    char path[NAME_BYTES], program[] = "leat", command[] = "fingerprint", option[] = "-m", check[] = "--check";
    char *words[] = {program, command, option, path, check, reference};
    fmt(path, sizeof path, "%s", name);
    bool has_reference = bare_is_file(reference);
    if (!has_reference) tools_out(t, "no %s to compare with; this is what it computes here:\n", reference);
    tools_out_flush(t);
    return tools_main(has_reference ? 6 : 4, words, NULL, 0);
}

static const tools_option perf_options[] = {
    TOOLS_ROW(TOOLS_KIND_STR, perf_values, name, const char *, 'm', "model", "NAME", WHICH, .bare = true),
    TOOLS_INT(perf_values, n_predict, 'n', "predict", "N", 1, TIMES_MAX, "tokens ({})"),
};

const tools_command bare_model_commands[] = {
    BARE_COMMAND(models, "List the models in memory and on disks"),
    BARE_COMMAND_WORD(load, "NAME", "Read a model into memory, and use it", WHICH),
    BARE_COMMAND_WORD(switch, "NAME", "Use another model", "as `models` lists it"),
    BARE_COMMAND_WORD(unload, "NAME", "Take a model out of memory", WHICH),
    BARE_COMMAND_WORD(validate, "NAME", "Compare a model's bytes, tokens and logits with what was written down", WHICH),
    BARE_COMMAND_OPTIONS(perf, "[NAME] [-n N]", perf_values, perf_options, perf_defaults,
                         "Measure how long each token takes"),
    BARE_COMMAND_WORD(deterministic, "on|off", "Switch interrupts off, and measure how long each token takes",
                      "without: what it is now"),
    {0},
};
