/* Earlier prompts that a session goes back to: which one is taken, which leaves first, that no bit depends on them. */
#include "unit/tiny_model.h"

#include <string.h>

static leat_model *open_model(void) {
    tiny_spec spec = tiny_default("llama");
    spec.n_embd = 64, spec.head_dim = 16, spec.n_ff = 64;
    return open_tiny(&spec, "kept.gguf");
}

static leat_session *open_session(leat_model *m, int32_t n_kept, int32_t kept_tokens) {
    return open_tiny_session(m, (leat_session_options){
        .n_ctx = 256, .n_threads = 1, .n_kept = n_kept, .kept_tokens = kept_tokens});
}

static void fill(int32_t *ids, size_t n, int32_t from) {
    for (size_t i = 0; i < n; i++) ids[i] = (from + (int32_t)i * 7) % 128;
}

TEST(kept_conversations_that_alternate) {
    leat_model *m = open_model();
    leat_session *s = open_session(m, 2, 256), *one = open_session(m, 0, 0);
    int32_t a[200], b[200], c[200];
    fill(a, 200, 1), fill(b, 200, 2), fill(c, 200, 3);
    CHECK_EQ(ask(s, a, 100, 5), 0);
    CHECK_EQ(ask(s, b, 110, 5), 0);
    CHECK_EQ(ask(s, a, 150, 5), 100); /* the prompt, not what was generated */
    CHECK_EQ(ask(s, b, 160, 5), 110);
    CHECK_EQ(ask(s, a, 150, 0), 149); /* the last one is always computed */
    CHECK_EQ(ask(one, a, 100, 0), 0);
    CHECK_EQ(ask(one, b, 110, 0), 0);
    CHECK_EQ(ask(one, a, 150, 0), 0); /* without: only the last prompt counts */
    /* Where two part: what they share is taken, and both stay. */
    memcpy(c, a, 70 * sizeof *a);
    CHECK_EQ(ask(s, c, 120, 3), 70);
    CHECK_EQ(ask(s, a, 160, 0), 150);
    CHECK_EQ(ask(s, c, 130, 0), 120);
    leat_session_close(s);
    leat_session_close(one);
    leat_model_close(m);
}

TEST(kept_prompts_leave_in_order) {
    leat_model *m = open_model();
    leat_session *s = open_session(m, 2, 512);
    int32_t ids[5][60];
    for (int i = 0; i < 5; i++) fill(ids[i], 60, i + 1);
    for (int i = 0; i < 4; i++) CHECK_EQ(ask(s, ids[i], 60, 1), 0);
    CHECK_EQ(ask(s, ids[0], 60, 0), 0);  /* two beside the last: 2 and 1 were left, 1 went for 3 */
    CHECK_EQ(ask(s, ids[3], 60, 0), 59);
    leat_session_close(s);
    /* No memory beside the context: who needs a page gets it from them. */
    s = open_session(m, 8, 0);
    for (int i = 0; i < 4; i++) CHECK_EQ(ask(s, ids[i], 60, 1), 0); /* a page of 64 each: it is full */
    CHECK_EQ(ask(s, ids[0], 60, 0), 59);
    int32_t all[256];
    fill(all, 256, 9);
    CHECK_EQ(ask(s, all, 256, 0), 0);
    CHECK_EQ(ask(s, ids[1], 60, 0), 0);
    leat_session_close(s);
    leat_model_close(m);
}

/* Prompts of any length out of a tree of texts, little memory: always the logits of a session that had no other. */
TEST(kept_prompts_change_no_bit) {
    leat_model *m = open_model();
    leat_session *s = open_session(m, 3, 64), *fresh = open_session(m, 0, 0);
    size_t n_vocab = (size_t)leat_model_n_vocab(m), reused = 0;
    leat_error e;
    int32_t ids[256];
    rng r;
    rng_seed(&r, 4);
    for (int turn = 0; turn < 120; turn++) {
        fill(ids, 256, 1);
        for (size_t at = rng_u64(&r) % 100, step = 0; step < 2; step++, at += rng_u64(&r) % 90)
            fill(ids + at, 256 - at, (int32_t)(rng_u64(&r) % 3) + 2);
        size_t n = 1 + rng_u64(&r) % 256;
        reused += ask(s, ids, n, 0);
        CHECK_EQ(leat_rewind(fresh, 0, &e), LEAT_OK);
        ask(fresh, ids, n, 0);
        CHECK_MSG(!memcmp(leat_logits(s), leat_logits(fresh), n_vocab * sizeof(float)), "turn %d", turn);
        for (size_t i = 0; i < rng_u64(&r) % 4 && n + i < 256; i++)
            CHECK(leat_feed(s, (int32_t[]){9}, 1, LEAT_GENERATED, &e) == LEAT_OK);
    }
    CHECK_MSG(reused > 2000, "%zu tokens", reused);
    leat_session_close(s);
    leat_session_close(fresh);
    leat_model_close(m);
}

TEST(kept_nonsense_is_refused) {
    leat_model *m = open_model();
    leat_session *s;
    leat_error e;
    leat_session_options o = {.n_ctx = 64, .n_kept = LEAT_KEPT_MAX + 1};
    CHECK_EQ(leat_session_open(&s, m, &o, &e), LEAT_ARGUMENT);
    o.n_kept = 1, o.kept_tokens = -2;
    CHECK_EQ(leat_session_open(&s, m, &o, &e), LEAT_ARGUMENT);
    leat_model_close(m);
}
