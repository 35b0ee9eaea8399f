/* test_levels.c: levels that promise each other's bits (docs/NUMERICS.md). */
#include "check_kern.h"
#include "kern/kern_int.h"

#include <string.h>

static const char *const pairs[][2] = {
    {"avx2", "avxvnni"}, {"avx2", "avxvnni-model"}, {"avx512", "amx"}, {"avx512", "amx-model"}, {"neon", "i8mm"},
};

static void same_bits(const kern *a, const kern *b, const quant_type *t, kern_role role, size_t n_act) {
    enum { ROWS = 37, ACTS_MAX = 19 };
    size_t n_in = t->block_len < 256 ? 640 : 768; /* a panel, and a part of one */
    rng r;
    rng_seed(&r, 31 + t->id);
    ck_weights w;
    ck_weights_open(&w, &r, t, ROWS, n_in);
    float *x = malloc(n_act * n_in * sizeof *x), seen[2][ACTS_MAX][ROWS];
    for (size_t i = 0; i < n_act; i++) ck_fill(&r, x + i * n_in, n_in, i % 2);
    ck_matmul(a, role, &w, 0, ROWS, x, n_act, seen[0][0]);
    ck_matmul(b, role, &w, 0, ROWS, x, n_act, seen[1][0]);
    CHECK_MSG(!memcmp(seen[0], seen[1], n_act * sizeof seen[0][0]), "%s %s, %zu activations: %s has other bits than %s",
              t->name, role == KERN_DECODE ? "decode" : "prompt", n_act, kern_name(b), kern_name(a));
    free(x);
    ck_weights_close(&w);
}

/* What this CPU lacks no test runs, and that is said. */
TEST(levels_all_run_here) {
    char lacking[128] = "";
    size_t n = 0;
    CHECK(kern_runs(kern_at(0)) && kern_runs(kern_best()));
    for (size_t i = 0; kern_at(i); i++)
        if (!kern_runs(kern_at(i))) n += fmt(lacking + n, sizeof lacking - n, " %s", kern_name(kern_at(i)));
    fmt(lacking + n, sizeof lacking - n, ": not of this CPU");
    if (n) test_skip(lacking + 1);
}

TEST(levels_share_bits) {
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        const kern *a = ck_find(pairs[i][0]), *b = ck_find(pairs[i][1]);
        if (!a || !b) continue;
        n++;
        for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
            const quant_type *t = quant_find(id);
            if (!t) continue;
            same_bits(a, b, t, KERN_DECODE, 3);
            if (t->block_len == 1 && strstr(pairs[i][1], "amx")) continue; /* floats of other parts */
            if (a->bytes->unfolded[id] != b->bytes->unfolded[id]) continue; /* scales in the integers, or not */
            same_bits(a, b, t, KERN_PROMPT, 1);
            same_bits(a, b, t, KERN_PROMPT, 19);
        }
    }
    if (!n) test_skip("no two such levels here");
}
