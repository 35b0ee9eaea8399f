/* test_fault_stream.c: streaming on a machine that fails: reads that fail, come short or late, memory that is refused.
 * Nothing hangs, nothing wrong is computed, and a step that failed can be taken again.
 */
#include "fault/scenario.h"
#include "gen/tiny.h"
#include "leat.h"
#include "unit/state_folder.h"

#include <string.h>
#include <unistd.h>

enum { N_PROMPT = 5, N_GENERATED = 2 };

static const char *model_path;
static uint64_t ram;
static int tries;    /* for each step */
static bool keeps;   /* experts are counted from run to run */
static bool sound;   /* nothing fails: what an earlier run kept is whole */
static float *want;  /* logits of a run without faults, once known */

static bool told(leat_code code, const leat_error *e) {
    if (code == LEAT_OK) return false;
    CHECK_MSG(e->code == code && e->text[0], "a failure with code %d without a text", (int)code);
    CHECK_MSG(code == LEAT_IO || code == LEAT_MEMORY || code == LEAT_FORMAT, "a failing machine is called %s", e->text);
    if (code == LEAT_IO) CHECK_MSG(strstr(e->text, ".gguf"), "no file is named: %s", e->text);
    return true;
}

/* The session is as before a step that failed: it may be taken again. */
static bool feed(leat_session *s, const int32_t *ids, size_t n, leat_role role) {
    leat_error e = {0};
    for (int i = 0; i < tries; i++) {
        int32_t length = leat_session_length(s);
        if (!told(leat_feed(s, ids, n, role, &e), &e)) return true;
        size_t done = (size_t)(leat_session_length(s) - length); /* whole chunks */
        ids += done;
        n -= done;
    }
    return false;
}

static bool generate(leat_session *s, size_t n_vocab) {
    int32_t ids[N_PROMPT + N_GENERATED];
    for (int32_t i = 0; i < N_PROMPT + N_GENERATED; i++) ids[i] = (i * 29 + 3) % (int32_t)n_vocab;
    if (!feed(s, ids, N_PROMPT, LEAT_PROMPT)) return false;
    for (int i = 0; i < N_GENERATED; i++)
        if (!feed(s, ids + N_PROMPT + i, 1, LEAT_GENERATED)) return false;
    const float *logits = leat_logits(s);
    if (!want) {
        want = malloc(n_vocab * sizeof *want);
        memcpy(want, logits, n_vocab * sizeof *want);
    }
    CHECK_MSG(memcmp(want, logits, n_vocab * sizeof *want) == 0, "logits differ from those of a sound machine");
    return true;
}

/* What the session holds: empty where there is none. */
static char how[256];

static bool answer(void) {
    leat_model *m;
    leat_session *s;
    leat_error e = {0};
    how[0] = 0;
    if (told(leat_model_open(&m, model_path, &(leat_model_options){.ram_bytes = ram, .keep_learnt = keeps}, &e), &e))
        return false;
    leat_session_options o = {.n_ctx = 32, .n_threads = 1, .n_chunk = 4};
    bool ok = !told(leat_session_open(&s, m, &o, &e), &e);
    if (ok) {
        leat_session_memory(s, how, sizeof how);
        if (sound) CHECK_MSG(!*leat_model_warning(m), "%s", leat_model_warning(m));
        ok = generate(s, (size_t)leat_model_n_vocab(m));
        leat_session_close(s);
    }
    leat_model_close(m);
    return ok;
}

static void check_model(const tiny_spec *spec, const char *name) {
    model_path = test_path(2, name);
    char here[256], state[600];
    const char *path = test_path(3, "fault-state");
    CHECK(getcwd(here, sizeof here));
    snprintf(state, sizeof state, "%s%s%s", *path == '/' ? "" : here, *path == '/' ? "" : "/", path);
    setenv("XDG_STATE_HOME", state, 1);
    tiny_write(spec, model_path);
    free(want);
    want = NULL;
    tries = 1;
    ram = (uint64_t)4 << 20;
    while (!answer()) ram += (uint64_t)256 << 10; /* the least that does */
    CHECK(strncmp(how, "streaming", 9) == 0);
    every_call_fails_once(answer);
    tries = 20;
    int worked = 0;
    random_faults(answer, &(fault_plan){.read_delay = 0.7}, 5, &worked);
    CHECK_EQ(worked, 5);
    worked = 0;
    random_faults(answer, &(fault_plan){.read_error = 0.02, .read_short = 0.02, .read_delay = 0.3}, 10, &worked);
    CHECK_MSG(worked >= 3, "%d of 10 runs came through", worked);
    random_faults(answer, &(fault_plan){.memory_error = 0.02}, 10, &worked);
    keeps = true;
    for (int i = 0; i < 8; i++) {
        random_faults(answer, &(fault_plan){.write_error = 0.3}, 1, &worked);
        sound = true;
        CHECK(answer());
        sound = false;
    }
    keeps = false;
    free(want);
    want = NULL;
}

TEST(fault_stream_experts) {
    tiny_spec s = tiny_default("qwen3moe");
    s.n_expert = 8, s.n_ff_expert = 256, s.type = QUANT_Q4_K;
    check_model(&s, "fault-stream-experts.gguf");
}

TEST(fault_stream_dense) {
    tiny_spec s = tiny_default("llama");
    s.n_layer = 4, s.type = QUANT_Q8_0;
    check_model(&s, "fault-stream-dense.gguf");
}

/* ---- reads that fail for good ------------------------------------------------------------------------------------ */

enum { N_STEPS = 24, N_MOST = 4 };

static size_t n_yields, stop_at; /* calls of the hook, and the one that cancels */
static bool yields(void *user) {
    (void)user;
    return ++n_yields == stop_at;
}

static const leat_session_options with = {.n_ctx = 64, .n_threads = 1, .n_chunk = N_MOST, .yield = yields};

static bool open_both(leat_model **m, leat_session **s, const leat_model_options *o) {
    leat_error e;
    CHECK_MSG(leat_model_open(m, model_path, o, &e) == LEAT_OK, "%s", e.text);
    bool ok = leat_session_open(s, *m, &with, &e) == LEAT_OK;
    if (ok) leat_session_memory(*s, how, sizeof how);
    return ok;
}

static void close_both(leat_model *m, leat_session *s) {
    leat_session_close(s);
    leat_model_close(m);
}

static size_t step_ids(int step, size_t n_vocab, int32_t *ids) {
    size_t n = step % 3 == 2 ? N_MOST : 1; /* a prompt; a token */
    for (size_t k = 0; k < n; k++) ids[k] = (int32_t)(((size_t)step * 37 + k * 11) % n_vocab);
    return n;
}

/* A step is told of an expert that cannot be read, as often as it is taken, and goes on once reads succeed again; the
 * first one of a dense weight. lasting NULL: keeps the logits. */
static void check_lasting(const leat_model_options *o, const fault_plan *lasting, float *logits) {
    leat_model *m;
    leat_session *s;
    leat_error e = {0};
    int failures[2] = {0};
    CHECK(open_both(&m, &s, o));
    size_t n_vocab = (size_t)leat_model_n_vocab(m), bytes = n_vocab * sizeof *logits;
    for (int i = 0; i < N_STEPS; i++, logits += n_vocab) {
        int32_t ids[N_MOST], length = leat_session_length(s);
        size_t n = step_ids(i, n_vocab, ids);
        leat_role role = n > 1 ? LEAT_PROMPT : LEAT_GENERATED;
        leat_code code = LEAT_IO;
        for (int k = 0; lasting && code && k < 3; k++) {
            fault_arm(lasting);
            code = leat_feed(s, ids, n, role, &e);
            fault_arm(NULL);
            if (told(code, &e))
                CHECK_MSG((!i || strstr(e.text, "_exps")) && strstr(e.text, " at offset "), "%s", e.text);
            if (code) CHECK_EQ(leat_session_length(s), length);
            failures[n > 1] += code != LEAT_OK;
        }
        if (code) CHECK_MSG(leat_feed(s, ids, n, role, &e) == LEAT_OK, "%s", e.text);
        if (lasting) CHECK_MSG(!memcmp(logits, leat_logits(s), bytes), "other bits at step %d", i);
        else memcpy(logits, leat_logits(s), bytes);
    }
    CHECK_MSG(!lasting || (failures[0] && failures[1]), "%d and %d failures", failures[0], failures[1]);
    close_both(m, s);
}

/* The least memory in which the model is held so. */
static leat_model_options streamed(const tiny_spec *spec, const char *name, const char *held) {
    leat_model_options o = {.ram_bytes = (uint64_t)4 << 20};
    leat_model *m;
    leat_session *s;
    model_path = test_path(2, name);
    tiny_write(spec, model_path);
    for (how[0] = 0; !strstr(how, held);) {
        o.ram_bytes += (uint64_t)64 << 10;
        open_both(&m, &s, &o);
        close_both(m, s);
    }
    CHECK_MSG(!strncmp(how, "streaming", 9), "%s", how);
    return o;
}

static leat_model_options streamed_experts(void) {
    tiny_spec spec = tiny_default("qwen3moe");
    spec.n_expert = 16, spec.n_expert_used = 2, spec.n_ff_expert = 256, spec.type = QUANT_Q4_K;
    return streamed(&spec, "fault-stream-lasting.gguf", "dense pinned");
}

TEST(fault_stream_reads_fail_for_good) {
    static const fault_plan lasting[] = {
        {.seed = 1, .fail_at = -1, .queued_only = true, .read_error = 1},
        {.seed = 2, .fail_at = -1, .queued_only = true, .read_short = 1},
        {.seed = 3, .fail_at = -1, .queued_only = true, .read_short = 0.7, .read_error = 0.7, .read_delay = 0.5}};
    static float logits[N_STEPS * 128];
    leat_model_options streamed = streamed_experts(), resident = {.no_map = true};
    stop_at = 0;
    check_lasting(NULL, NULL, logits);
    for (size_t i = 0; i < COUNT_OF(lasting); i++) {
        check_lasting(&streamed, &lasting[i], logits);
        check_lasting(&resident, &lasting[i], logits);
    }
}

/* Ids of a text after a prompt; of what each token needs of the machine the call with this number fails. How many
 * did. */
static uint64_t write_text(const leat_model_options *o, int64_t fail_at, int32_t *ids, size_t n) {
    static const int32_t prompt[N_MOST] = {9, 70, 33, 51};
    leat_model *m;
    leat_session *s;
    leat_sampler *sampler;
    leat_generator *g;
    leat_error e = {0};
    leat_sampler_options greedy;
    uint64_t hits = 0;
    leat_sampler_defaults(&greedy);
    greedy.temperature = 0;
    CHECK(open_both(&m, &s, o));
    CHECK_EQ(leat_feed(s, prompt, N_MOST, LEAT_PROMPT, &e), LEAT_OK);
    CHECK_EQ(leat_sampler_open(&sampler, m, &greedy, &e), LEAT_OK);
    CHECK_EQ(leat_generator_open(&g, s, sampler, &(leat_generator_options){.n_draft = 4, .always = true}, &e), LEAT_OK);
    for (size_t i = 0; i < n; i++) {
        fault_arm(fail_at < 0 ? NULL : &(fault_plan){.seed = 1, .fail_at = fail_at});
        CHECK_MSG(leat_generate(g, &ids[i], &e) == LEAT_OK, "token %zu: %s", i, e.text);
        hits += fault_hits();
        fault_arm(NULL);
    }
    leat_generator_close(g);
    leat_sampler_close(sampler);
    close_both(m, s);
    return hits;
}

TEST(fault_stream_a_read_that_fails_once_ends_no_text) {
    enum { N = 12 };
    int32_t sound_ids[N], ids[N];
    uint64_t hits = 0;
    leat_model_options o = streamed_experts();
    stop_at = 0;
    write_text(&o, -1, sound_ids, N);
    for (int64_t at = 0; at < 10; at++) {
        hits += write_text(&o, at, ids, N);
        CHECK(!memcmp(ids, sound_ids, sizeof ids));
    }
    CHECK_MSG(hits > 10, "%d faults", (int)hits);
}

static void check_waits(const leat_model_options *o) {
    static const int32_t ids[N_MOST] = {9, 70, 33, 51};
    leat_model *m;
    leat_session *s;
    leat_error e;
    leat_code code = LEAT_CANCELLED;
    CHECK(open_both(&m, &s, o));
    fault_arm(&(fault_plan){.seed = 1, .fail_at = -1, .read_delay = 1});
    for (stop_at = 1; code == LEAT_CANCELLED; stop_at++) {
        n_yields = 0;
        code = leat_feed(s, ids, N_MOST, LEAT_PROMPT, &e);
        if (!code) break;
        CHECK_MSG(code == LEAT_CANCELLED && n_yields == stop_at, "%s", e.text);
        CHECK_EQ(leat_session_length(s), 0);
    }
    fault_arm(NULL);
    CHECK_MSG(!code && n_yields > 2, "%zu calls in 2 layers: %s", n_yields, e.text);
    close_both(m, s);
    stop_at = 0;
}

/* Who waits for experts, or for dense weights, is asked whether to go on, not once a layer alone. */
TEST(fault_stream_waits_are_cancelled) {
    leat_model_options o = streamed_experts();
    check_waits(&o);
    tiny_spec spec = tiny_default("llama");
    spec.type = QUANT_Q8_0;
    o = streamed(&spec, "fault-stream-waits.gguf", "dense parts pinned");
    check_waits(&o);
}

/* A budget is no more than is free when the weights are placed, whatever was asked for, and is not more later; a plan
 * is made for any. */
TEST(fault_stream_asked_for_more_than_is_free) {
    leat_model_options o = streamed_experts(), mapped = {.map = true};
    leat_model *m;
    leat_session *s;
    leat_error e;
    leat_plan p;
    double there = 0;
    fault_plan busy = {.fail_at = -1, .memory_available = o.ram_bytes};
    o.ram_bytes = (uint64_t)1 << 40;
    fault_arm(&busy);
    CHECK(open_both(&m, &s, &o));
    fault_arm(NULL);
    CHECK_MSG(!strncmp(how, "streaming", 9), "%s", how);
    const char *said = leat_model_warning(m);
    CHECK_MSG(sscanf(said, "1.0 TiB of memory were asked for, only %lf MiB are free here", &there) == 1, "%s", said);
    CHECK(there > (double)busy.memory_available / (1 << 20) - 0.1);
    leat_model_resize(m, o.ram_bytes);
    CHECK_MSG((double)leat_session_stats(s).held_bytes <= (there + 1) * (1 << 20), "%s", said);
    close_both(m, s);
    fault_arm(&busy);
    CHECK(open_both(&m, &s, &mapped));
    CHECK_MSG(leat_plan_memory(s, o.ram_bytes, &p, &e) == LEAT_OK, "%s", e.text);
    CHECK(p.fits && p.ram_bytes == o.ram_bytes && !*leat_model_warning(m));
    close_both(m, s);
    busy.memory_available = (uint64_t)1 << 20;
    fault_arm(&busy);
    CHECK_EQ(leat_model_open(&m, model_path, &o, &e), LEAT_OK);
    CHECK_EQ(leat_session_open(&s, m, &(leat_session_options){.n_ctx = 32, .n_threads = 1}, &e), LEAT_MEMORY);
    CHECK_MSG(strstr(e.text, "MiB of memory that are free here are too little"), "%s", e.text);
    leat_model_close(m);
    fault_arm(NULL);
    o.ram_bytes = 12 << 10;
    CHECK_EQ(leat_model_open(&m, model_path, &o, &e), LEAT_OK);
    CHECK_EQ(leat_session_open(&s, m, &(leat_session_options){.n_ctx = 32, .n_threads = 1}, &e), LEAT_MEMORY);
    CHECK_MSG(!strncmp(e.text, "12.0 KiB of memory are too little: ", 35), "%s", e.text);
    leat_model_close(m);
}

/* A damaged count of experts and a budget that is not free: both are told, once each, also where a session was refused
 * before; and no budget where none was asked for. */
static void check_warning(leat_model_options o, uint64_t asked, const char *file, const char *begins) {
    leat_session_options large = with;
    leat_model *m;
    leat_session *s;
    leat_error e;
    char consequence[1000];
    fault_plan busy = {.fail_at = -1, .memory_available = o.ram_bytes};
    FILE *f = fopen(file, "wb");
    CHECK(f && fputs("broken", f) >= 0 && !fclose(f));
    large.n_ctx = 1 << 20;
    o.ram_bytes = asked;
    fault_arm(&busy);
    CHECK_EQ(leat_model_open(&m, model_path, &o, &e), LEAT_OK);
    CHECK_EQ(leat_session_open(&s, m, &large, &e), LEAT_MEMORY);
    busy.memory_available -= 64 << 10;
    fault_arm(&busy);
    CHECK_MSG(leat_session_open(&s, m, &with, &e) == LEAT_OK, "%s", e.text);
    snprintf(consequence, sizeof consequence, "%s%s is damaged: experts are counted anew", *begins ? " here; " : "",
             file);
    const char *said = leat_model_warning(m), *at = strstr(said, consequence);
    CHECK_MSG(at && !at[strlen(consequence)], "%s", said);
    CHECK_MSG(!strncmp(said, begins, strlen(begins)) && at - said < 64 && (*begins || at == said), "%s", said);
    close_both(m, s);
    fault_arm(NULL);
}

TEST(fault_stream_tells_all_warnings) {
    const char *state = state_folder(4, "warned-state", "experts-");
    leat_model_options o = streamed_experts();
    leat_model *m;
    leat_session *s;
    char file[900];
    o.keep_learnt = true;
    CHECK(open_both(&m, &s, &o));
    close_both(m, s);
    snprintf(file, sizeof file, "%s", state_file(state, "experts-"));
    o.ram_bytes += 256 << 10;
    check_warning(o, (uint64_t)1 << 40, file, "1.0 TiB of memory were asked for, only ");
    check_warning(o, 0, file, "");
}

/* Memory that is refused while streaming is set up is not called a budget too small: more of that would not do. */
TEST(fault_stream_memory_is_refused) {
    leat_model_options o = streamed_experts();
    int refused = 0;
    for (int64_t at = 0, hits = 1; hits; at++) {
        leat_model *m;
        leat_session *s = NULL;
        leat_error e;
        fault_arm(&(fault_plan){.fail_at = at});
        leat_code code = leat_model_open(&m, model_path, &o, &e);
        if (!code) code = leat_session_open(&s, m, &with, &e);
        hits = (int64_t)fault_hits();
        fault_arm(NULL);
        refused += code == LEAT_MEMORY;
        if (told(code, &e)) CHECK_MSG(!strstr(e.text, "too little"), "call %d fails: %s", (int)at, e.text);
        close_both(m, s);
    }
    CHECK_MSG(refused > 10, "refused %d times", refused);
}

/* Without mapping each unit has a block of its own, of whole pages and one more: many small experts take twice their
 * bytes. What is read at once in the least memory that does stays within it, with a sampler, less what is kept for the
 * program. */
TEST(fault_stream_whole_weights_within_the_ceiling) {
    enum { PROGRAM = 6 << 20 };
    tiny_spec spec = tiny_default("qwen3moe");
    leat_model_options o = {.no_map = true};
    leat_model *m;
    leat_session *s;
    leat_sampler *sampler;
    leat_error e;
    spec.n_layer = 4, spec.n_expert = 128, spec.n_ff_expert = 32, spec.type = QUANT_Q8_0;
    model_path = test_path(2, "fault-stream-whole.gguf");
    tiny_write(&spec, model_path);
    for (how[0] = 0, o.ram_bytes = PROGRAM; strncmp(how, "resident", 8); o.ram_bytes += (uint64_t)64 << 10) {
        bool opened = open_both(&m, &s, &o);
        CHECK_EQ(leat_sampler_open(&sampler, m, NULL, &e), LEAT_OK);
        uint64_t held = opened && !strncmp(how, "resident", 8) ? leat_session_stats(s).held_bytes : 0;
        CHECK_MSG(held + PROGRAM <= o.ram_bytes, "%llu bytes are held of %llu", (unsigned long long)held,
                  (unsigned long long)o.ram_bytes);
        leat_sampler_close(sampler);
        close_both(m, s);
    }
}

/* ---- memory that comes and goes ------------------------------------------------------------------------------- */

static int pinned(const leat_session *s) {
    int n = -1;
    const char *before = "of weights in memory, ", *at = strstr(leat_session_memory(s, how, sizeof how), before);
    CHECK_MSG(at && sscanf(at + strlen(before), "%d of", &n) == 1 && strstr(at, "dense parts pinned"), "%s", how);
    return n;
}

/* Steps, each with the same bits, until fewer (or more) dense parts stay in memory. */
static void feed_until(leat_session *s, int from, bool fewer) {
    static const int32_t id = 7;
    leat_error e;
    for (int i = 0; i < 200000; i++) {
        CHECK_EQ(leat_rewind(s, 2, &e), LEAT_OK);
        CHECK_MSG(leat_feed(s, &id, 1, LEAT_GENERATED, &e) == LEAT_OK, "%s", e.text);
        CHECK(memcmp(want, leat_logits(s), 128 * sizeof *want) == 0);
        if (fewer ? pinned(s) < from : pinned(s) > from) return;
    }
    CHECK_MSG(false, "still: %s", how);
}

TEST(fault_stream_dense_weights_give_way) {
    static const int32_t ids[] = {1, 2, 7};
    tiny_spec spec = tiny_default("llama");
    leat_model *m;
    leat_session *s, *other;
    leat_error e;
    spec.n_layer = 12, spec.type = QUANT_F16;
    model_path = test_path(2, "fault-stream-shrink.gguf");
    tiny_write(&spec, model_path);
    for (ram = (uint64_t)6 << 20;; ram += (uint64_t)256 << 10) { /* until some dense parts stay */
        CHECK_EQ(leat_model_open(&m, model_path, &(leat_model_options){.ram_bytes = ram}, &e), LEAT_OK);
        if (!leat_session_open(&s, m, &(leat_session_options){.n_ctx = 32, .n_threads = 1}, &e)) {
            if (pinned(s) >= 140) break;
            leat_session_close(s);
        }
        leat_model_close(m);
    }
    CHECK_EQ(leat_feed(s, ids, 3, LEAT_GENERATED, &e), LEAT_OK);
    want = malloc(128 * sizeof *want);
    memcpy(want, leat_logits(s), 128 * sizeof *want);
    int most = pinned(s);
    CHECK(leat_session_memory(s, NULL, 0) == NULL); /* no room: nothing is said */
    feed_until(s, most + 1, true); /* as it is */
    fault_arm(&(fault_plan){.fail_at = -1, .memory_total = ram - ((uint64_t)1 << 20)}); /* a limit falls */
    feed_until(s, most, true);
    fault_arm(NULL);
    feed_until(s, most - 1, false); /* and is gone again */
    CHECK_EQ(pinned(s), most);
    fault_arm(&(fault_plan){.fail_at = -1, .memory_total = ram, .memory_pressure = 0.5}); /* others wait for memory */
    feed_until(s, most, true);
    fault_arm(NULL);
    feed_until(s, most - 1, false);
    CHECK_EQ(pinned(s), most);
    /* One more session takes its memory of the weights'; one for which there is none is refused. */
    leat_session_options options = {.n_ctx = 512, .n_threads = 1, .n_chunk = 16};
    CHECK_MSG(leat_session_open(&other, m, &options, &e) == LEAT_OK, "%s", e.text);
    CHECK(pinned(s) < most);
    CHECK(leat_session_stats(s).held_bytes <= ram + ((uint64_t)4 << 20)); /* address space given back counts */
    feed_until(s, most, true);
    leat_session_close(other);
    feed_until(s, most - 1, false);
    CHECK_EQ(pinned(s), most);
    options.n_ctx = 1 << 20;
    CHECK_EQ(leat_session_open(&other, m, &options, &e), LEAT_MEMORY);
    CHECK_MSG(strstr(e.text, "too little for one more session of 1048576 tokens"), "%s", e.text);
    feed_until(s, most - 1, false);
    CHECK_EQ(pinned(s), most);
    leat_session_close(s);
    leat_model_close(m);
    free(want);
    want = NULL;
}

/* The limit falls amid a prompt, by which the session's hook is asked. */
static bool limit_falls(void *user) {
    const uint64_t *total = user;
    fault_arm(&(fault_plan){.fail_at = -1, .memory_total = *total});
    fault_clock(2000000000);
    return false;
}

/* A second later, on such a machine. */
static void look(leat_model *m, const fault_plan *plan) {
    fault_arm(plan);
    fault_clock(2000000000);
    leat_model_watch(m);
}

/* Memory is looked at between the chunks of a prompt, and while there is nothing to do. */
TEST(fault_stream_memory_is_watched_between_steps) {
    static int32_t ids[12];
    static float logits[128];
    tiny_spec spec = tiny_default("llama");
    leat_model *m;
    leat_session *s;
    leat_error e;
    spec.n_layer = 12, spec.type = QUANT_F16;
    leat_model_options o = streamed(&spec, "fault-stream-watch.gguf", "dense parts pinned");
    o.ram_bytes += (uint64_t)2 << 20;
    for (int32_t i = 0; i < 12; i++) ids[i] = i * 7 % 128;
    uint64_t total = o.ram_bytes - ((uint64_t)1 << 20);
    leat_session_options options = {.n_ctx = 64, .n_threads = 1, .n_chunk = 4, .user = &total};
    leat_model_watch(NULL);
    for (int falls = 0; falls < 2; falls++) {
        options.yield = falls ? limit_falls : NULL;
        CHECK_EQ(leat_model_open(&m, model_path, &o, &e), LEAT_OK);
        CHECK_MSG(leat_session_open(&s, m, &options, &e) == LEAT_OK, "%s", e.text);
        int most = pinned(s);
        CHECK_MSG(leat_feed(s, ids, 12, LEAT_PROMPT, &e) == LEAT_OK, "%s", e.text);
        if (!falls) {
            memcpy(logits, leat_logits(s), sizeof logits);
        } else {
            CHECK(!memcmp(logits, leat_logits(s), sizeof logits));
            CHECK_MSG(pinned(s) < most, "%d parts are pinned as before", most);
            leat_model_watch(m);
            fault_arm(NULL);
            leat_model_watch(m);
            CHECK(pinned(s) < most); /* it was looked at less than a second ago */
            fault_clock(2000000000);
            leat_model_watch(m);
            CHECK_EQ(pinned(s), most);
            look(m, &(fault_plan){.fail_at = -1, .memory_total = o.ram_bytes, .memory_pressure = 0.5});
            int squeezed = pinned(s);
            CHECK(squeezed < most);
            /* Nobody waits any more, but what was given back is used by others. */
            look(m, &(fault_plan){.fail_at = -1, .memory_total = o.ram_bytes, .memory_available = 1});
            CHECK_EQ(pinned(s), squeezed);
            look(m, NULL);
            CHECK_EQ(pinned(s), most);
            fault_clock(FAULT_CLOCK_RUNS);
        }
        close_both(m, s);
    }
}

/* Four sixteenths are given back, of which one and a half would fit again. So one comes back, however often memory is
 * looked at, and none while those left are not in memory yet. */
TEST(fault_stream_memory_comes_back_as_far_as_it_is_used) {
    static const int32_t id = 7;
    tiny_spec spec = tiny_default("llama");
    leat_model *m;
    leat_session *s;
    leat_error e;
    spec.n_layer = 12, spec.type = QUANT_F16;
    leat_model_options o = streamed(&spec, "fault-stream-back.gguf", "dense parts pinned");
    o.ram_bytes += (uint64_t)2 << 20;
    stop_at = 0;
    CHECK(open_both(&m, &s, &o));
    CHECK_MSG(leat_feed(s, &id, 1, LEAT_GENERATED, &e) == LEAT_OK, "%s", e.text);
    int most = pinned(s);
    fault_plan waits = {.fail_at = -1, .memory_total = o.ram_bytes, .memory_pressure = 1}, room = waits;
    room.memory_pressure = 0, room.memory_available = leat_session_stats(s).weights_bytes * 3 / 32;
    for (int i = 0; i < 4; i++) look(m, &waits);
    int least = pinned(s);
    CHECK(least < most);
    for (int i = 0; i < 4; i++) look(m, &room);
    CHECK_EQ(pinned(s), least); /* nothing of it is in memory yet */
    CHECK_MSG(leat_feed(s, &id, 1, LEAT_GENERATED, &e) == LEAT_OK, "%s", e.text);
    look(m, &room);
    int more = pinned(s);
    CHECK(more > least && more < most);
    for (int i = 0; i < 4; i++) look(m, &room);
    CHECK_EQ(pinned(s), more);
    for (int i = 0; i < 4; i++) look(m, NULL);
    CHECK_EQ(pinned(s), most);
    fault_clock(FAULT_CLOCK_RUNS);
    close_both(m, s);
}

/* However little the ceiling leaves, and as often as it is asked. */
TEST(fault_stream_refuses_sessions_above_the_ceiling) {
    static const int32_t id = 7;
    leat_session_options large = {.n_ctx = 1 << 17, .n_threads = 1};
    tiny_spec spec = tiny_default("llama");
    leat_model *m;
    leat_session *s, *other;
    leat_error e;
    spec.n_layer = 12, spec.type = QUANT_F16;
    leat_model_options o = streamed(&spec, "fault-stream-ceiling.gguf", "dense parts pinned");
    o.ram_bytes += (uint64_t)1 << 20;
    stop_at = 0;
    CHECK(open_both(&m, &s, &o));
    CHECK_EQ(leat_session_open(&other, m, &large, &e), LEAT_MEMORY);
    leat_model_resize(m, 0);
    for (int i = 0; i < 2; i++) CHECK_EQ(leat_session_open(&other, m, &large, &e), LEAT_MEMORY);
    leat_model_resize(m, o.ram_bytes);
    fault_arm(&(fault_plan){.fail_at = -1, .memory_total = 1 << 20}); /* a limit falls */
    fault_clock(2000000000);
    CHECK_MSG(leat_feed(s, &id, 1, LEAT_GENERATED, &e) == LEAT_OK, "%s", e.text);
    fault_clock(FAULT_CLOCK_RUNS);
    for (int i = 0; i < 2; i++) CHECK_EQ(leat_session_open(&other, m, &large, &e), LEAT_MEMORY);
    fault_arm(NULL);
    CHECK_MSG(leat_feed(s, &id, 1, LEAT_GENERATED, &e) == LEAT_OK, "%s", e.text);
    close_both(m, s);
}
