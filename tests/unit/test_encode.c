/* The encoders: what they must do on any data, and the same bytes at every instruction set. How good they are is in
 * test_encode_error.c. */
#include "base/base.h"
#include "check.h"
#include "kern/kern.h"
#include "quant/quant.h"

#include <math.h>

enum { N_MAX = 4096 };

/* Kinds of rows, from the usual to the absurd. */
typedef enum { NORMAL, HEAVY, SHIFTED, TINY, DENORMAL, LARGE, SPARSE, CONSTANT, ZERO, WILD, N_KINDS } row_kind;
static const char *const kind_names[N_KINDS] = {"normal", "heavy", "shifted",  "tiny", "denormal",
                                                "large",   "sparse", "constant", "zero", "wild"};

static float draw(rng *r, row_kind kind) {
    float x = rng_normal(r);
    switch (kind) {
    case HEAVY: return x / sqrtf((float)rng_unit(r) + 1e-3f);
    case SHIFTED: return x + 3.0f;
    case TINY: return x * 1e-6f;
    case DENORMAL: return x * 1e-41f;
    case LARGE: return x * 1e37f;
    case SPARSE: return rng_unit(r) < 0.02 ? x : 0.0f;
    case CONSTANT: return 0.37f;
    case ZERO: return rng_unit(r) < 0.5 ? 0.0f : -0.0f;
    case WILD: return f32_of_bits((uint32_t)rng_u64(r)); /* also infinities and NaN */
    default: return x;
    }
}

static void draw_row(rng *r, row_kind kind, float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = draw(r, kind);
}

/* Factors of a hundredfold range, some of them zero. */
static void draw_importance(rng *r, float *w, size_t n) {
    for (size_t i = 0; i < n; i++) w[i] = rng_unit(r) < 0.1 ? 0.0f : expf(rng_normal(r));
}

#define EACH_ENCODER(t)                                                        \
    for (uint32_t id_ = 0; id_ < QUANT_ID_MAX; id_++)                          \
        for (const quant_type *t = quant_find(id_); t && t->encode; t = NULL)

static size_t bytes_of(const quant_type *t, size_t n) {
    size_t bytes = 0;
    CHECK(quant_bytes(t, n, &bytes));
    return bytes;
}

TEST(encode_has_all_types) {
    size_t n = 0;
    EACH_ENCODER(t) n++;
    CHECK_EQ(n, 29);
    CHECK(quant_find(QUANT_IQ2_XXS)->needs_importance && quant_find(QUANT_IQ1_M)->needs_importance);
    CHECK(!quant_find(QUANT_Q4_K)->needs_importance && !quant_find(QUANT_IQ3_XXS)->needs_importance);
}

/* Rows of every number of blocks up to 20, and long ones; input, importance and output end at unreadable pages. */
static void check_levels(const quant_type *t, row_kind kind, size_t n, rng *r, bool weighted) {
    size_t bytes = bytes_of(t, n);
    float *x = test_guard(n * sizeof *x), *w = test_guard(n * sizeof *w);
    uint8_t *wanted = malloc(bytes), *seen = test_guard(bytes);
    draw_row(r, kind, x, n);
    draw_importance(r, w, n);
    t->encode(x, weighted ? w : NULL, wanted, n);
    for (size_t i = 0; kern_at(i); i++) {
        if (!kern_runs(kern_at(i))) continue;
        memset(seen, 0xa5, bytes);
        kern_encoder(kern_at(i), t->id)(x, weighted ? w : NULL, seen, n);
        for (size_t at = 0; at < bytes; at++)
            CHECK_MSG(seen[at] == wanted[at], "%s, %s, %zu weights, %s: byte %zu is %02x, wanted %02x", t->name,
                      kind_names[kind], n, kern_name(kern_at(i)), at, seen[at], wanted[at]);
    }
    test_guard_free(seen, bytes);
    free(wanted);
    test_guard_free(w, n * sizeof *w);
    test_guard_free(x, n * sizeof *x);
}

TEST(encode_same_bytes_at_every_level) {
    rng r;
    rng_seed(&r, 7);
    EACH_ENCODER(t)
        for (row_kind kind = 0; kind < N_KINDS; kind++) {
            for (size_t k = 1; k <= 3; k++) check_levels(t, kind, k * t->block_len, &r, k == 2);
            check_levels(t, kind, 17 * t->block_len, &r, kind % 2);
            check_levels(t, kind, 1024, &r, kind % 2 == 0);
        }
}

/* Whatever comes in, what comes out can be decoded to finite numbers, and zeros stay zeros. */
TEST(encode_survives_any_row) {
    static float x[N_MAX], w[N_MAX], y[N_MAX];
    static uint8_t blocks[8 * N_MAX];
    rng r;
    rng_seed(&r, 8);
    EACH_ENCODER(t)
        for (row_kind kind = 0; kind < N_KINDS; kind++) {
            if (kind == WILD && !t->unpack) continue;
            draw_row(&r, kind, x, N_MAX);
            draw_importance(&r, w, N_MAX);
            for (size_t i = 0; i < N_MAX / 8; i++) w[i] = 0;
            t->encode(x, kind % 2 ? w : NULL, blocks, N_MAX);
            t->decode(blocks, y, N_MAX);
            for (size_t i = 0; i < N_MAX; i++) {
                CHECK_MSG(f32_is_finite(y[i]) || (t->id == QUANT_F16 && kind == LARGE), "%s, %s: weight %zu is %g",
                          t->name, kind_names[kind], i, (double)y[i]);
                CHECK_MSG(kind != ZERO || y[i] == 0, "%s: weight %zu is %g, not 0", t->name, i, (double)y[i]);
            }
        }
}

/* A row does not depend on the blocks beside it: encoded block by block it has the same bytes. */
TEST(encode_takes_blocks_one_by_one) {
    static float x[N_MAX], w[N_MAX];
    static uint8_t all[8 * N_MAX], one[8 * N_MAX];
    rng r;
    rng_seed(&r, 9);
    draw_row(&r, HEAVY, x, N_MAX);
    draw_importance(&r, w, N_MAX);
    EACH_ENCODER(t) {
        t->encode(x, w, all, N_MAX);
        for (size_t i = 0; i < N_MAX / t->block_len; i++)
            t->encode(x + i * t->block_len, w + i * t->block_len, one + i * t->block_bytes, t->block_len);
        CHECK_MSG(memcmp(all, one, bytes_of(t, N_MAX)) == 0, "%s depends on the blocks beside", t->name);
    }
}

/* Only the ratios of importance count, and it counts: the marked weights come out nearer. */
TEST(encode_heeds_importance) {
    static float x[N_MAX], w[N_MAX], y[N_MAX];
    static uint8_t a[8 * N_MAX], b[8 * N_MAX];
    rng r;
    rng_seed(&r, 10);
    draw_row(&r, NORMAL, x, N_MAX);
    EACH_ENCODER(t) {
        if (!t->unpack) continue;
        draw_importance(&r, w, N_MAX);
        t->encode(x, w, a, N_MAX);
        for (size_t i = 0; i < N_MAX; i++) w[i] *= 64.0f;
        t->encode(x, w, b, N_MAX);
        CHECK_MSG(memcmp(a, b, bytes_of(t, N_MAX)) == 0, "%s: 64 times the importance is something else", t->name);
        t->encode(x, NULL, a, N_MAX);
        double error[2] = {0};
        for (size_t i = 0; i < N_MAX; i++) w[i] = i % 16 == 3 ? 100.0f : 0.5f;
        t->encode(x, w, b, N_MAX);
        for (size_t k = 0; k < 2; k++) {
            t->decode(k ? b : a, y, N_MAX);
            for (size_t i = 3; i < N_MAX; i += 16) error[k] += (double)(x[i] - y[i]) * (double)(x[i] - y[i]);
        }
        CHECK_MSG(error[1] < 0.95 * error[0], "%s: error %g with importance, %g without", t->name, error[1], error[0]);
    }
}

TEST(quant_finds_what_is_not_finite) {
    static float x[1000];
    CHECK_EQ(quant_find_not_finite(x, 1000), 1000);
    CHECK_EQ(quant_find_not_finite(x, 0), 0);
    for (size_t i = 0; i < 1000; i++) x[i] = i % 2 ? -F32_MAX : 1e-45f;
    CHECK_EQ(quant_find_not_finite(x, 1000), 1000);
    x[999] = -F32_INF;
    CHECK_EQ(quant_find_not_finite(x, 1000), 999);
    x[255] = F32_INF - F32_INF;
    CHECK_EQ(quant_find_not_finite(x, 1000), 255);
    x[0] = F32_INF;
    CHECK_EQ(quant_find_not_finite(x, 1000), 0);
}
