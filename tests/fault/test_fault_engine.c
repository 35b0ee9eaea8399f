/* test_fault_engine.c: the whole engine on a machine that fails: a model is opened, a prompt tokenised and fed, text
 * generated. Whatever fails, the caller is told, everything is given back, and logits that come out are right.
 */
#include "fault/scenario.h"
#include "gen/tiny.h"
#include "leat.h"

static const char *model_path;
static bool no_map;
static float *want; /* logits of a run without faults, once known */

static bool told(leat_code code, const leat_error *e) {
    if (code == LEAT_OK) return false;
    CHECK_MSG(e->code == code && e->text[0], "a failure with code %d without a text", (int)code);
    CHECK_MSG(code != LEAT_INTERNAL && code != LEAT_ARGUMENT, "a failing machine is called %s", e->text);
    return true;
}

/* Feeds the prompt and three tokens; a step that fails is tried once more, since the session is as before. */
static bool feed(leat_session *s, const int32_t *ids, size_t n) {
    leat_error e = {0};
    int32_t length = leat_session_length(s);
    leat_code code = leat_feed(s, ids, n, LEAT_PROMPT, &e);
    if (told(code, &e)) {
        size_t done = (size_t)(leat_session_length(s) - length);
        CHECK(done <= n);
        if (leat_feed(s, ids + done, n - done, LEAT_PROMPT, &e)) return false;
    }
    for (int32_t token = 5; token < 8; token++) {
        length = leat_session_length(s);
        if (told(leat_feed(s, &token, 1, LEAT_GENERATED, &e), &e)) {
            CHECK_EQ(leat_session_length(s), length);
            if (leat_feed(s, &token, 1, LEAT_GENERATED, &e)) return false;
        }
    }
    return true;
}

static bool sample(const leat_model *m, const float *logits) {
    leat_sampler *sampler;
    leat_sampler_options o;
    leat_error e = {0};
    leat_sampler_defaults(&o);
    if (told(leat_sampler_open(&sampler, m, &o, &e), &e)) return false;
    int32_t id = leat_sample(sampler, logits);
    CHECK(id >= 0 && id < leat_model_n_vocab(m));
    leat_sampler_accept(sampler, id);
    leat_sampler_close(sampler);
    return true;
}

static bool use_session(leat_model *m, const int32_t *ids, size_t n) {
    leat_session *s;
    leat_error e = {0};
    if (told(leat_session_open(&s, m, &(leat_session_options){.n_ctx = 64, .n_threads = 2, .n_chunk = 8}, &e), &e)) {
        CHECK(s == NULL);
        return false;
    }
    bool ok = feed(s, ids, n);
    if (ok) {
        const float *logits = leat_logits(s);
        size_t bytes = (size_t)leat_model_n_vocab(m) * sizeof *want;
        if (!want) {
            want = malloc(bytes);
            memcpy(want, logits, bytes);
        }
        CHECK_MSG(memcmp(want, logits, bytes) == 0, "logits differ from those of a sound machine");
        ok = sample(m, logits);
    }
    leat_session_close(s);
    return ok;
}

static bool answer(void) {
    static const char text[] = "the miller opened the gate, and the water went to the wheel";
    leat_model *m;
    leat_error e = {0};
    if (told(leat_model_open(&m, model_path, &(leat_model_options){.no_map = no_map}, &e), &e)) {
        CHECK(m == NULL);
        return false;
    }
    int32_t ids[sizeof text * 4 + 16];
    size_t n;
    bool ok = !told(leat_tokenize(m, text, 30, true, false, ids, COUNT_OF(ids), &n, &e), &e);
    if (ok) ok = use_session(m, ids, MIN(n, (size_t)20));
    leat_model_close(m);
    return ok;
}

static void check_model(tiny_spec spec) {
    spec.tok = TINY_TOK_SPM;
    spec.type = QUANT_Q4_K;
    spec.type2 = QUANT_F16;
    spec.mixed = true;
    model_path = test_path(2, "fault-engine.gguf");
    tiny_write(&spec, model_path);
    free(want);
    want = NULL;
    no_map = true;
    CHECK(answer() && want);
    every_call_fails_once(answer);
    int worked = 0;
    random_faults(answer, &(fault_plan){.read_delay = 0.5}, 10, &worked);
    CHECK_EQ(worked, 10);
    random_faults(answer, &(fault_plan){.read_error = 0.02, .read_short = 0.02, .read_delay = 0.2}, 30, &worked);
    no_map = false;
    random_faults(answer, &(fault_plan){.memory_error = 0.03}, 30, &worked);
    CHECK(worked > 10 && worked < 70);
    free(want);
    want = NULL;
}

/* Refused by whatever fails beside, a session too large leaves the model to a smaller one. */
TEST(fault_engine_after_a_refused_session) {
    static const int32_t ids[] = {1, 2, 7};
    tiny_spec spec = tiny_default("llama");
    spec.n_layer = 1, spec.type = QUANT_F32;
    model_path = test_path(2, "fault-engine.gguf");
    tiny_write(&spec, model_path);
    bool fails = true;
    for (int64_t at = -1; fails; at++) { /* the first time nothing does */
        leat_model *m;
        leat_session *s;
        leat_error e;
        leat_model_options o = {.ram_bytes = (uint64_t)40 << 20, .no_map = true};
        CHECK_MSG(!leat_model_open(&m, model_path, &o, &e), "%s", e.text);
        fault_arm(&(fault_plan){.seed = 1, .fail_at = at});
        leat_code code = leat_session_open(&s, m, &(leat_session_options){.n_ctx = 1 << 17, .n_threads = 1}, &e);
        fails = at < 0 || fault_hits();
        fault_arm(NULL);
        CHECK_MSG(code == LEAT_MEMORY, "call %lld fails: %s", (long long)at, e.text);
        CHECK_MSG(use_session(m, ids, COUNT_OF(ids)), "call %lld failed before", (long long)at);
        leat_model_close(m);
    }
    free(want);
    want = NULL;
}

TEST(fault_engine_dense) { check_model(tiny_default("llama")); }

TEST(fault_engine_experts) { check_model(tiny_default("qwen3moe")); }
