/* test_bounds.c: what `leat bench` counts of a model. */
#include "check.h"
#include "gen/tiny.h"
#include "tools/bounds.h"

static bounds_model count(const char *arch, uint32_t window) {
    tiny_spec s = tiny_default(arch);
    s.window = window;
    bounds_model m;
    err e;
    tiny_write(&s, test_path(0, "bounds.gguf"));
    CHECK_MSG(bounds_count(&m, test_path(0, "bounds.gguf"), QUANT_F16, QUANT_F16, 0, &e) == ERR_NONE, "%s", e.text);
    return m;
}

/* Other files carry the key as well, and the model attends to everything. */
TEST(bounds_window_is_that_of_the_model) {
    CHECK(count("llama", 16).window == 16);
    CHECK(count("mistral3", 16).window == 16);
    CHECK(count("llama", 0).window == 0);
    CHECK(count("qwen2", 16).window == 0);
    CHECK(count("qwen3moe", 16).window == 0);
}

/* Routing that is forced on a model may use more or fewer experts than it would: what is counted is what runs. */
TEST(bounds_count_the_experts_that_are_used) {
    bounds_model own = count("qwen3moe", 0), m[5];
    CHECK(own.n_expert == 4 && own.n_used == 2 && own.expert_share == 0.5);
    for (uint64_t n = 1; n <= 4; n++) {
        err e;
        double more = ((double)n - 2) / 2 * own.expert_read_bytes;
        CHECK(!bounds_count(&m[n], test_path(0, "bounds.gguf"), QUANT_F16, QUANT_F16, n, &e));
        CHECK(m[n].n_used == n && m[n].expert_share == (double)n / 4);
        CHECK(m[n].expert_read_bytes == own.expert_read_bytes + more && m[n].read_bytes == own.read_bytes + more);
    }
    CHECK(own.expert_read_bytes > 0 && m[1].float_macs < own.float_macs && m[4].float_macs > own.float_macs);
    CHECK(m[4].float_macs - m[2].float_macs == 2 * (m[2].float_macs - m[1].float_macs));
}

/* On a machine that reads a byte a second and a model of keys and values alone: a byte for each position that a token
 * attends to. */
TEST(bounds_count_positions_within_the_window) {
    static const struct {
        int window, n, depth;
    } cases[] = {{0, 1, 0}, {0, 9, 100}, {16, 4, 0}, {16, 32, 0}, {16, 16, 8}, {16, 5, 40}, {1, 7, 0}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int window = cases[i].window, n = cases[i].n, depth = cases[i].depth, sum = 0;
        bounds_model m = {.kv_bytes = 1, .window = window};
        bounds_machine machine = {.read_bytes_s = 1};
        for (int t = 1; t <= n; t++) sum += window && window < depth + t ? window : depth + t;
        double seen = (double)n / bounds_decode(&m, &machine, n, depth);
        CHECK_MSG(seen > sum - 1e-9 && seen < sum + 1e-9, "window %d, n %d, depth %d: %g", window, n, depth, seen);
    }
}
