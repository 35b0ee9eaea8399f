/* test_soak.c: a streamed model for a long time while its memory changes at random, a second session comes and goes,
 * the disk fails, is slow, and gives less than asked, and memory is refused: every logit has its bits, and in the end
 * nothing is held. LEAT_SOAK_SECONDS says how long (`make soak`: 20 minutes); without it a number of steps is done.
 */
#include "fault/scenario.h"
#include "gen/tiny.h"
#include "leat.h"

#include <string.h>

enum { N_IDS = 40, N_PROMPT = 4, N_VOCAB = 128, STEPS = 300, REPORT_STEPS = 1 << 14 };

static int32_t ids[N_IDS];
static float want[N_IDS][N_VOCAB]; /* after each token, the prompt's from its last one on */

/* A session, and how many tokens it holds. */
typedef struct talk {
    leat_session *s; /* NULL: closed */
    size_t at;
} talk;

/* One step from where the session is; 0 tokens where the machine failed. */
static size_t step(leat_session *s, size_t at, size_t n, leat_error *e) {
    leat_code code = leat_feed(s, ids + at, at ? n : N_PROMPT, at ? LEAT_GENERATED : LEAT_PROMPT, e);
    if (code) {
        CHECK_MSG(code == LEAT_IO || code == LEAT_MEMORY, "a failing machine is called: %s", e->text);
        return 0;
    }
    return at ? n : N_PROMPT;
}

static void know(const char *path) {
    leat_model *m;
    leat_session *s;
    leat_error e;
    for (int32_t i = 0; i < N_IDS; i++) ids[i] = (i * 37 + 11) % N_VOCAB;
    CHECK_EQ(leat_model_open(&m, path, NULL, &e), LEAT_OK);
    CHECK_EQ(leat_session_open(&s, m, &(leat_session_options){.n_ctx = N_IDS, .n_threads = 1}, &e), LEAT_OK);
    for (size_t at = 0; at < N_IDS;) {
        at += step(s, at, 1, &e);
        memcpy(want[at - 1], leat_logits(s), sizeof want[0]);
    }
    leat_session_close(s);
    leat_model_close(m);
}

/* Other memory, other faults. Returns how many faults there were. */
static uint64_t change(leat_model *m, uint64_t ram, rng *r) {
    static const fault_plan plans[] = {{.fail_at = -1},
                                       {.fail_at = -1, .read_delay = 0.5},
                                       {.fail_at = -1, .read_error = 0.02, .read_short = 0.02, .read_delay = 0.2},
                                       {.fail_at = -1, .memory_error = 0.1, .read_delay = 0.2}};
    fault_plan plan = plans[rng_u64(r) % COUNT_OF(plans)];
    uint64_t faults = fault_hits();
    plan.seed = rng_u64(r);
    fault_arm(&plan);
    leat_model_resize(m, ram / 16 * (rng_u64(r) % 17));
    return faults;
}

/* The session goes; or comes where there is memory for it, else it stays away. */
static void come_or_go(leat_model *m, talk *t, rng *r) {
    leat_error e;
    leat_session_options o = {.n_ctx = N_IDS << rng_u64(r) % 6, .n_threads = 1, .n_chunk = 4};
    bool comes = !t->s;
    leat_session_close(t->s);
    *t = (talk){0};
    if (comes && leat_session_open(&t->s, m, &o, &e)) CHECK_MSG(e.code == LEAT_MEMORY, "%s", e.text);
}

/* From where it is, or somewhere before. Tokens; 0 where the machine failed. */
static size_t go_on(talk *t, rng *r) {
    leat_error e;
    if (t->at >= N_IDS - 3 || rng_u64(r) % 16 == 0) {
        t->at = t->at > N_PROMPT && rng_u64(r) % 4 ? N_PROMPT + (size_t)(rng_u64(r) % (t->at - N_PROMPT)) : 0;
        CHECK_EQ(leat_rewind(t->s, (int32_t)t->at, &e), LEAT_OK);
    }
    size_t more = 1 + (size_t)(rng_u64(r) % 3), n = step(t->s, t->at, MIN(more, N_IDS - t->at), &e);
    t->at += n;
    if (!n) CHECK_EQ(leat_session_length(t->s), t->at);
    else CHECK_MSG(!memcmp(want[t->at - 1], leat_logits(t->s), sizeof want[0]), "other bits after %zu tokens", t->at);
    return n;
}

static void soak(const tiny_spec *spec, const char *name, uint64_t steps, uint64_t seconds) {
    const char *path = test_path(2, name);
    leat_model *m = NULL;
    leat_session *s = NULL;
    talk talks[2] = {0};
    leat_error e;
    rng r;
    uint64_t ram = (uint64_t)4 << 20, begin = plat_time_ns(), failures = 0, changes = 0, done = 0;
    uint64_t faults = 0, tokens = 0, others = 0;
    size_t held = mem_bytes_total();
    char how[256];
    tiny_write(spec, path);
    know(path);
    rng_seed(&r, seconds + 1);
    for (;; ram += (uint64_t)256 << 10) { /* the least; then some for weights and another session */
        CHECK_EQ(leat_model_open(&m, path, &(leat_model_options){.ram_bytes = ram}, &e), LEAT_OK);
        if (!leat_session_open(&s, m, &(leat_session_options){.n_ctx = N_IDS, .n_threads = 2, .n_chunk = 4}, &e)) break;
        leat_model_close(m);
    }
    CHECK(strncmp(leat_session_memory(s, how, sizeof how), "streaming", 9) == 0);
    leat_session_close(s);
    leat_model_close(m);
    ram += (uint64_t)4 << 20;
    leat_session_options first = {.n_ctx = N_IDS, .n_threads = 2, .n_chunk = 4};
    CHECK_EQ(leat_model_open(&m, path, &(leat_model_options){.ram_bytes = ram}, &e), LEAT_OK);
    CHECK_EQ(leat_session_open(&talks[0].s, m, &first, &e), LEAT_OK);
    for (;; done++) {
        if (seconds ? plat_time_ns() - begin > seconds * 1000000000u : done == steps) break;
        if (rng_u64(&r) % 8 == 0) faults += change(m, ram, &r), changes++;
        if (rng_u64(&r) % 16 == 0) come_or_go(m, &talks[1], &r);
        size_t which = talks[1].s && rng_u64(&r) % 2, n = go_on(&talks[which], &r);
        failures += n == 0;
        tokens += n;
        others += which ? n : 0;
        if (seconds > 60 && done % REPORT_STEPS == 0)
            printf("%s: %llu steps, %llu changes, %llu failures; %s\n", name, (unsigned long long)done,
                   (unsigned long long)changes, (unsigned long long)failures,
                   leat_session_memory(talks[0].s, how, sizeof how));
    }
    fault_arm(NULL);
    if (seconds > 1)
        printf("%s: %llu tokens, %llu changes of memory, %llu faults, %llu steps that failed; all bits right\n", name,
               (unsigned long long)tokens, (unsigned long long)changes, (unsigned long long)faults,
               (unsigned long long)failures);
    CHECK_MSG(changes && others && (failures || seconds < 2), "%llu changes, %llu tokens beside, %llu failures",
              (unsigned long long)changes, (unsigned long long)others, (unsigned long long)failures);
    for (size_t i = 0; i < COUNT_OF(talks); i++) leat_session_close(talks[i].s);
    leat_model_close(m);
    CHECK_EQ(mem_bytes_total(), held);
}

static uint64_t soak_seconds(void) {
    const char *said = getenv("LEAT_SOAK_SECONDS");
    return said ? strtoull(said, NULL, 10) / 2 : 0; /* each model half of them */
}

TEST(soak_experts) {
    tiny_spec s = tiny_default("qwen3moe");
    s.n_layer = 3, s.n_expert = 8, s.n_ff_expert = 256, s.type = QUANT_Q8_0;
    soak(&s, "soak-experts.gguf", STEPS, soak_seconds());
}

TEST(soak_dense) {
    tiny_spec s = tiny_default("llama");
    s.n_layer = 8, s.type = QUANT_Q8_0;
    soak(&s, "soak-dense.gguf", STEPS, soak_seconds());
}
