/* test_engine_pin.c: on which cores a session computes, as its options say (the pool itself: test_pool.c). */
#include "unit/tiny_model.h"

#include "plat/plat.h"

#include <sched.h>

static bool note_mask(void *user) {
    sched_getaffinity(0, sizeof(cpu_set_t), user);
    return false;
}

/* The mask that the caller has while it computes; it has all its cores again afterwards. */
static int processors_while_computing(leat_model *m, bool no_pin, int32_t n_threads) {
    cpu_set_t before, during, after;
    int32_t ids[40] = {0};
    leat_session *s;
    leat_error e;
    CPU_ZERO(&during);
    sched_getaffinity(0, sizeof before, &before);
    leat_session_options o = {
        .n_ctx = 64, .n_threads = n_threads, .no_pin = no_pin, .yield = note_mask, .user = &during};
    CHECK_MSG(leat_session_open(&s, m, &o, &e) == LEAT_OK, "%s", e.text);
    CHECK_EQ(leat_feed(s, ids, 40, LEAT_PROMPT, &e), LEAT_OK);
    leat_session_close(s);
    sched_getaffinity(0, sizeof after, &after);
    CHECK(CPU_EQUAL(&before, &after));
    return CPU_COUNT(&during);
}

TEST(engine_pins_unless_told_not_to) {
    cpu_set_t whole;
    int processors = plat_processor_count();
    sched_getaffinity(0, sizeof whole, &whole);
    if (!(plat_caps() & PLAT_CAN_PIN) || CPU_COUNT(&whole) != processors) test_skip("the cores are not ours alone");
    if (plat_core_count() < 2) test_skip("one core");
    tiny_spec s = tiny_default("llama");
    leat_model *m = open_tiny(&s, "pin.gguf");
    CHECK(processors_while_computing(m, false, 0) < processors);
    CHECK_EQ(processors_while_computing(m, true, 0), processors);
    CHECK_EQ(processors_while_computing(m, false, plat_core_count() + 1), processors);
    leat_model_close(m);
}
