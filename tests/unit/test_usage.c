/* test_usage.c: what is kept of a model's experts from run to run: it comes back, a file with anything wrong is ignored
 * with a warning and replaced, the bits never depend on it, and an end at any moment leaves a sound one, as do many
 * runs that end at once.
 */
#include "check.h"
#include "gen/tiny.h"
#include "leat.h"
#include "state_folder.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char warning[640];

/* Logits after a few tokens; streams. What the model warned of is in `warning`. */
static void answer(const char *path, bool keep, float *logits) {
    static const int32_t ids[] = {1, 2, 3, 4, 5, 6};
    leat_model *m;
    leat_session *s;
    leat_error e;
    char how[256];
    leat_model_options options = {.ram_bytes = (uint64_t)13 << 20, .keep_learnt = keep};
    CHECK_MSG(leat_model_open(&m, path, &options, &e) == LEAT_OK, "%s", e.text);
    leat_session_options session = {.n_ctx = 32, .n_threads = 1};
    CHECK_MSG(leat_session_open(&s, m, &session, &e) == LEAT_OK, "%s", e.text);
    CHECK(strncmp(leat_session_memory(s, how, sizeof how), "streaming", 9) == 0);
    snprintf(warning, sizeof warning, "%s", leat_model_warning(m));
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        CHECK_MSG(leat_feed(s, ids + i, 1, LEAT_GENERATED, &e) == LEAT_OK, "%s", e.text);
    memcpy(logits, leat_logits(s), 128 * sizeof *logits);
    leat_session_close(s);
    leat_model_close(m);
}

/* The file that has the experts, or "". */
static const char *kept(const char *state) { return state_file(state, "experts-"); }

static size_t read_kept(const char *path, char *to, size_t cap) {
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(to, 1, cap, f) : 0;
    if (f) fclose(f);
    return n;
}
static void write_kept(const char *path, const char *from, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(from, 1, n, f) == n && fclose(f) == 0);
}

static const char *model_file(void) {
    tiny_spec spec = tiny_default("qwen3moe");
    spec.n_expert = 8, spec.n_expert_used = 2, spec.n_ff_expert = 512, spec.type = QUANT_Q8_0;
    const char *path = test_path(5, "usage.gguf");
    tiny_write(&spec, path);
    return path;
}

TEST(usage_is_kept_and_never_trusted) {
    const char *path = model_file(), *state = state_folder(4, "usage-state", "experts-");
    float plain[128], got[128];
    char whole[4096], bad[4096];
    answer(path, false, plain);
    CHECK_STR(kept(state), "");
    answer(path, true, got);
    CHECK(*kept(state) && !*warning && memcmp(plain, got, sizeof plain) == 0);
    size_t n = read_kept(kept(state), whole, sizeof whole);
    CHECK_EQ(n, 24 + (3 + 16) * sizeof(float) + 8);
    float uses = 0;
    for (size_t i = 0; i < 16; i++) uses += load_f32(whole + 24 + 12 + 4 * i);
    CHECK_EQ(uses, 6 * 2 * 2); /* six tokens, two layers, two experts each */
    answer(path, true, got);
    CHECK(!*warning && memcmp(plain, got, sizeof plain) == 0);
    read_kept(kept(state), bad, sizeof bad);
    CHECK(load_f32(bad + 24) == 12); /* it went on counting */
    for (int way = 0; way < 6; way++) {
        static const char *const says[] = {"damaged", "damaged", "of another version", "of another model", "damaged",
                                           "damaged"};
        memcpy(bad, whole, n);
        size_t length = n;
        uint64_t hash;
        switch (way) {
        case 0: bad[40] ^= 1; break;
        case 1: length = 30; break;
        case 2: bad[7] = '9'; break;
        case 3: bad[8] ^= 1; break; /* the identity, with a hash that is right */
        case 4: length = 0; break;
        case 5: memset(bad + 24, 0xFF, 4); break; /* not a number, the same */
        }
        hash = hash_bytes(bad, n - 8, 0);
        if (way == 3 || way == 5) memcpy(bad + n - 8, &hash, 8);
        write_kept(kept(state), bad, length);
        answer(path, true, got);
        CHECK_MSG(strstr(warning, says[way]) && strstr(warning, "experts-"), "way %d: \"%s\"", way, warning);
        CHECK(memcmp(plain, got, sizeof plain) == 0);
        answer(path, true, got);
        CHECK_MSG(!*warning, "not replaced: %s", warning);
    }
}

/* A plan knows what is kept, where that is enough: the experts used most are those that memory holds. */
TEST(usage_says_what_a_plan_expects) {
    const char *path = model_file(), *state = state_folder(4, "usage-state", "experts-");
    float got[128];
    char whole[4096];
    answer(path, true, got);
    size_t n = read_kept(kept(state), whole, sizeof whole);
    for (int kept_tokens = 50; kept_tokens <= 100; kept_tokens += 50) {
        float values[3 + 16] = {(float)kept_tokens, (float)kept_tokens, 0};
        for (int i = 0; i < 16; i++) values[3 + i] = (float)kept_tokens * (i < 8 ? 0.1f : i < 12 ? 0.3f : 0);
        memcpy(whole + 24, values, sizeof values);
        uint64_t hash = hash_bytes(whole, n - 8, 0);
        memcpy(whole + n - 8, &hash, 8);
        write_kept(kept(state), whole, n);
        leat_model *m;
        leat_session *s;
        leat_error e;
        leat_plan p;
        leat_model_options options = {.map = true, .keep_learnt = true};
        CHECK_MSG(leat_model_open(&m, path, &options, &e) == LEAT_OK, "%s", e.text);
        leat_session_options session = {.n_ctx = 32, .n_threads = 1};
        CHECK_MSG(leat_session_open(&s, m, &session, &e) == LEAT_OK, "%s", e.text);
        for (uint64_t mib = 12; mib <= 32; mib += 2) {
            CHECK_MSG(leat_plan_memory(s, mib << 20, &p, &e) == LEAT_OK, "%s", e.text);
            float slots = (float)p.n_slots, most = MIN(slots, 4) * 0.3f + MIN(MAX(slots - 4, 0), 8) * 0.1f;
            float wanted = kept_tokens < 64 ? -1 : most / 2;
            CHECK_MSG(p.known_hits > wanted - 1e-4f && p.known_hits < wanted + 1e-4f, "%d slots: %g, wanted %g",
                      p.n_slots, (double)p.known_hits, (double)wanted);
        }
        leat_session_close(s);
        leat_model_close(m);
    }
}

TEST(usage_survives_an_end_at_any_moment) {
    const char *path = model_file(), *state = state_folder(4, "usage-state", "experts-");
    float got[128];
    rng r;
    rng_seed(&r, 7);
    for (int i = 0; i < 12; i++) {
        int begun[2];
        char byte;
        CHECK_EQ(pipe(begun), 0);
        pid_t child = fork();
        if (!child) {
            for (;;) {
                answer(path, true, got);
                if (write(begun[1], "", 1) != 1) _exit(1);
            }
        }
        close(begun[1]);
        CHECK(child > 0 && read(begun[0], &byte, 1) == 1); /* one whole run has ended; another is somewhere */
        usleep((useconds_t)(rng_u64(&r) % 30000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(begun[0]);
        CHECK(*kept(state));
        answer(path, true, got);
        CHECK_MSG(!*warning, "%s", warning);
    }
}

TEST(usage_survives_many_that_end_at_once) {
    enum { WRITERS = 4, RUNS = 12 };
    const char *path = model_file(), *state = state_folder(4, "usage-state", "experts-");
    float got[128];
    char whole[4096], file[900];
    pid_t children[WRITERS];
    answer(path, true, got);
    snprintf(file, sizeof file, "%s", kept(state));
    size_t n = read_kept(file, whole, sizeof whole), left = WRITERS, looks = 0, bad = 0;
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i]) continue;
        for (int run = 0; run < RUNS; run++) answer(path, true, got);
        _exit(*warning != 0);
    }
    for (; left; looks++) {
        size_t now = read_kept(file, whole, sizeof whole);
        bad += now != n || load_u64(whole + n - 8) != hash_bytes(whole, n - 8, 0);
        for (int i = 0; i < WRITERS; i++) {
            int status;
            if (!children[i] || waitpid(children[i], &status, WNOHANG) != children[i]) continue;
            bad += status != 0;
            children[i] = 0;
            left--;
        }
    }
    CHECK_MSG(!bad, "%zu of %zu looks saw no whole file", bad, looks);
    snprintf(file + strlen(file), sizeof file - strlen(file), ".part");
    CHECK(access(file, F_OK) != 0);
}
