/* Every tensor type against the reference: blocks that ggml encoded, and seeded random bytes (which hold every scale,
 * also infinities and NaN). The expected hashes come from a live libggml: tests/data/codec/README.md. */
#include "base/base.h"
#include "check.h"
#include "quant/quant_grids.h"
#include "quant/quant.h"

#include <unistd.h>

enum { N_GOLDEN = 8 * 1024, N_RANDOM = 64 * 256 };

static const struct expected {
    const char *name;
    uint64_t golden, random;
} expected[] = {
    {"f16", 0x7d73fbc14bad7971, 0x2be6d06dfc78cb80},
    {"q4_0", 0x28c52296090ba2e5, 0xd24f4c80f3494183},
    {"q4_1", 0x9aee153c999b765f, 0x741bfb33a1934992},
    {"q5_0", 0x8de952cd3d6ef22d, 0x475f8bc674062149},
    {"q5_1", 0x285aac2b58f33807, 0xfdb07001c42b6b31},
    {"q8_0", 0xf51e72bf750165f2, 0xd9036e8352049468},
    {"q2_k", 0xbfb9b9b8d9897d00, 0x53b3ba0dadef9856},
    {"q3_k", 0x69dd1420bfc8ed25, 0x0e0ba2f35d1091c3},
    {"q4_k", 0x51b798fc422212cb, 0x239c85bd5721b690},
    {"q5_k", 0x402745a359036e25, 0xb1d41d5ac2102c95},
    {"q6_k", 0xdadd9042c25a2573, 0x2f5b25a55d68171c},
    {"iq2_xxs", 0x87374771195ab88f, 0xdf14eec1adbc9701},
    {"iq2_xs", 0x7eef7a572046201e, 0x84b9a1ee9e24f587},
    {"iq3_xxs", 0xf810fa41cd6c298b, 0xc8f18378b590be83},
    {"iq1_s", 0xc6853342d25d7cd1, 0xcf50aebe75f799c2},
    {"iq4_nl", 0xc1095313171409ee, 0xf5d02fdaaa95c67c},
    {"iq3_s", 0xfab9675173dd132c, 0xa1a740d78354808b},
    {"iq2_s", 0x347ef84283539f82, 0x31e45a46963f3623},
    {"iq4_xs", 0x9b0990c524b70b8f, 0x98faa6bd75805f0e},
    {"iq1_m", 0x76d89f73c5afc017, 0x016f8d2863c79b41},
    {"bf16", 0xc195f19238122ff6, 0x67e335648de808af},
    {"tq1_0", 0x4e5eccc3e7313df4, 0x016b2c2545782a4b},
    {"tq2_0", 0x4e5eccc3e7313df4, 0x9bd307c2a500393f},
    {"mxfp4", 0x9d618e379b1946f1, 0x1f5f02183465aef7},
    {"nvfp4", 0xb527699ab418d252, 0x132d62fd04b1e687},
    {"q1_0", 0xd60f4da1387118a5, 0xcf82a7cd4374b9a5},
    {"q2_0", 0x457eea0b91d3947e, 0x8705234cc2494512},
};

static const quant_type *type_of(const struct expected *e) {
    const quant_type *t = quant_find_name(str_of(e->name));
    CHECK_MSG(t, "%s is not known", e->name);
    return t;
}

static uint32_t bits_without_payload(float f) { return f32_is_nan(f) ? 0x7fc00000 : bits_of_f32(f); }

static uint64_t hash_floats(const float *v, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < 4; k++) h = (h ^ (bits_without_payload(v[i]) >> 8 * k & 0xff)) * 0x100000001b3u;
    return h;
}

static void *random_blocks(const quant_type *t) {
    size_t bytes;
    CHECK(quant_bytes(t, N_RANDOM, &bytes));
    uint64_t *blocks = malloc(bytes);
    rng r;
    rng_seed(&r, t->id);
    for (size_t i = 0; i < bytes / 8; i++) blocks[i] = rng_u64(&r);
    return blocks;
}

static void *golden_blocks(const struct expected *e, const quant_type *t) {
    char path[128];
    size_t bytes, wanted;
    snprintf(path, sizeof path, "tests/data/codec/%s.blk", e->name);
    void *blocks = test_slurp(path, &bytes);
    CHECK(quant_bytes(t, N_GOLDEN, &wanted));
    CHECK_EQ(bytes, wanted);
    return blocks;
}

/* Names the first weight that differs, where the reference values themselves are at hand. */
static void compare_shared(const struct expected *e, const float *seen) {
    char path[256];
    size_t bytes;
    snprintf(path, sizeof path, "%s/golden/codec/%s.f32", test_shared(), e->name);
    if (access(path, R_OK) != 0) return; /* a type younger than that folder */
    float *wanted = (float *)(void *)test_slurp(path, &bytes);
    CHECK_EQ(bytes, N_GOLDEN * sizeof(float));
    for (size_t i = 0; i < N_GOLDEN; i++)
        CHECK_MSG(bits_of_f32(seen[i]) == bits_of_f32(wanted[i]), "%s weight %zu is %.9g, wanted %.9g", e->name, i,
                  (double)seen[i], (double)wanted[i]);
    free(wanted);
}

TEST(quant_decodes_golden_blocks) {
    for (size_t k = 0; k < COUNT_OF(expected); k++) {
        const quant_type *t = type_of(&expected[k]);
        void *blocks = golden_blocks(&expected[k], t);
        float *out = malloc(N_GOLDEN * sizeof *out);
        t->decode(blocks, out, N_GOLDEN);
        if (test_shared()) compare_shared(&expected[k], out);
        CHECK_MSG(hash_floats(out, N_GOLDEN) == expected[k].golden, "%s decodes to hash %016llx, wanted %016llx",
                  expected[k].name, (unsigned long long)hash_floats(out, N_GOLDEN),
                  (unsigned long long)expected[k].golden);
        free(out);
        free(blocks);
    }
}

TEST(quant_decodes_random_blocks) {
    for (size_t k = 0; k < COUNT_OF(expected); k++) {
        const quant_type *t = type_of(&expected[k]);
        void *blocks = random_blocks(t);
        float *out = malloc(N_RANDOM * sizeof *out);
        t->decode(blocks, out, N_RANDOM);
        CHECK_MSG(hash_floats(out, N_RANDOM) == expected[k].random, "%s decodes to hash %016llx, wanted %016llx",
                  expected[k].name, (unsigned long long)hash_floats(out, N_RANDOM),
                  (unsigned long long)expected[k].random);
        free(out);
        free(blocks);
    }
}

/* n weights in memory that ends with the last block: also finds a read past it. */
static void check_unpack(const quant_type *t, const uint8_t *blocks, size_t n) {
    size_t bytes = n / t->block_len * t->block_bytes;
    uint8_t *guarded = test_guard(bytes);
    memcpy(guarded, blocks, bytes);
    float decoded[256];
    quant_unpacked u;
    memset(&u, 0x5a, sizeof u);
    t->decode(guarded, decoded, n);
    t->unpack(guarded, &u, n);
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        if (f32_is_finite(decoded[i])) {
            largest = MAX(largest, math_abs((double)u.scale[i / 16] * u.q[i]));
            largest = MAX(largest, math_abs((double)u.min[i / 16]));
        }
    for (size_t i = 0; i < n; i++) {
        double seen = (double)u.scale[i / 16] * u.q[i] - (double)u.min[i / 16];
        if (f32_is_finite(decoded[i]))
            CHECK_MSG(math_abs(seen - (double)decoded[i]) <= 1e-6 * largest,
                      "%s weight %zu of %zu unpacks to %.9g, wanted %.9g", t->name, i, n, seen, (double)decoded[i]);
        CHECK_MSG(t->has_min || u.min[i / 16] == 0, "%s has an offset and says that it has none", t->name);
    }
    for (size_t i = n; i < 256; i++)
        CHECK_MSG(u.q[i] == 0 && u.scale[i / 16] == 0 && u.min[i / 16] == 0, "%s leaves weight %zu of %zu", t->name, i,
                  n);
    test_guard_free(guarded, bytes);
}

TEST(quant_unpacks_what_it_decodes) {
    for (size_t k = 0; k < COUNT_OF(expected); k++) {
        const quant_type *t = type_of(&expected[k]);
        if (!t->unpack) continue;
        uint8_t *golden = golden_blocks(&expected[k], t), *random = random_blocks(t);
        for (size_t at = 0; at < N_GOLDEN; at += 256) check_unpack(t, golden + at / t->block_len * t->block_bytes, 256);
        for (size_t at = 0; at < N_RANDOM; at += 256) check_unpack(t, random + at / t->block_len * t->block_bytes, 256);
        for (size_t n = t->block_len; n < 256; n += t->block_len) check_unpack(t, golden, n);
        free(golden);
        free(random);
    }
}

TEST(quant_unpacks_all_but_floats) {
    size_t n_types = 0;
    for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
        const quant_type *t = quant_find(id);
        if (!t) continue;
        n_types++;
        CHECK_EQ(t->id, id);
        CHECK(t->decode);
        CHECK_MSG(256 % t->block_len == 0, "%s has blocks of %u", t->name, t->block_len);
        CHECK_MSG((t->block_len == 1) == !t->unpack, "%s: unpack is for blocks, and for all of them", t->name);
        CHECK(quant_find_name(str_of(t->name)) == t);
    }
    CHECK_EQ(n_types, 29);
    CHECK_EQ(n_types, COUNT_OF(expected) + 2); /* F32 and F64 have tests of their own */
}

TEST(quant_finds_only_stored_types) {
    static const uint32_t gone[] = {4,  5,  9,  15, 24, 25, 26, 27,          31,
                                    32, 33, 36, 37, 38, 43, 44, 0x80000000u, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(gone); i++) CHECK_MSG(!quant_find(gone[i]), "id %u is found", gone[i]);
    CHECK_EQ(quant_find_name(STR("iq2_xxs"))->id, QUANT_IQ2_XXS);
    CHECK_EQ(quant_find_name(STR("Mxfp4"))->id, QUANT_MXFP4);
    CHECK(!quant_find_name(STR("")) && !quant_find_name(STR("Q4")) && !quant_find_name(STR("Q4_K_M")));
    CHECK(!quant_find_name(STR("F3\0")));
}

TEST(quant_bytes_refuses_parts_and_overflow) {
    const quant_type *t = quant_find(QUANT_Q4_K);
    size_t bytes = 7;
    CHECK(quant_bytes(t, 512, &bytes) && bytes == 288);
    CHECK(quant_bytes(t, 0, &bytes) && bytes == 0);
    CHECK(!quant_bytes(t, 255, &bytes) && !quant_bytes(t, 1, &bytes));
    CHECK(quant_bytes(t, UINT64_MAX / 256 * 256, &bytes)); /* fewer bytes than weights */
    CHECK(!quant_bytes(quant_find(QUANT_F32), UINT64_MAX / 4 + 1, &bytes));
    CHECK(quant_bytes(quant_find(QUANT_F64), UINT64_MAX / 8, &bytes) && bytes == UINT64_MAX - 7);
    CHECK(!quant_bytes(quant_find(QUANT_F64), UINT64_MAX, &bytes));
}

TEST(quant_decodes_floats) {
    static const uint32_t single[] = {0, 0x80000000, 1, 0x3f800000, 0x7f800000, 0xff7fffff};
    float out[7];
    quant_find(QUANT_F32)->decode(single, out, COUNT_OF(single));
    CHECK(memcmp(out, single, sizeof single) == 0);
    /* F64 rounds to nearest, ties to even; what is too large is infinite, what is too small subnormal or zero. */
    static const double wide[] = {1.0, -0.0, 0.1, 1.0 + 0x1p-24, 1.0 + 0x1.8p-23, 1e300, 0x1p-149};
    static const uint32_t wanted[] = {0x3f800000, 0x80000000, 0x3dcccccd, 0x3f800000, 0x3f800002, 0x7f800000, 1};
    quant_find(QUANT_F64)->decode(wide, out, COUNT_OF(wide));
    for (size_t i = 0; i < COUNT_OF(wide); i++)
        CHECK_MSG(bits_of_f32(out[i]) == wanted[i], "%.17g decodes to %08x, wanted %08x", wide[i], bits_of_f32(out[i]),
                  wanted[i]);
}

/* Codebooks as text, where they are: a line an entry. */
static void check_grid(const char *name, const void *grid, size_t n_entries, size_t width, int times, int plus) {
    char path[256];
    size_t bytes, n_read = 0;
    snprintf(path, sizeof path, "%s/golden/iq-codebooks/%s.txt", test_shared(), name);
    char *text = (char *)test_slurp(path, &bytes), *at = text;
    for (const uint8_t *v = grid; *at && n_read < n_entries * width; n_read++, v++) {
        long wanted = strtol(at, &at, 10) * times + plus;
        CHECK_MSG((uint8_t)wanted == *v, "%s entry %zu value %zu is %d, wanted %ld", name, n_read / width,
                  n_read % width, *v, wanted);
    }
    CHECK_EQ(n_read, n_entries * width);
    free(text);
}

TEST(quant_grids_equal_the_golden_ones) {
    if (!test_shared()) test_skip("no reference data beside the checkout; the decoders' hashes cover most entries");
    check_grid("iq4_nl-values", quant_values_iq4, COUNT_OF(quant_values_iq4), 1, 1, 0);
    check_grid("mxfp4-values", quant_values_fp4, COUNT_OF(quant_values_fp4), 1, 1, 0);
    check_grid("ksigns", quant_signs, COUNT_OF(quant_signs), 1, 1, 0);
    check_grid("iq1_s", quant_grid_iq1, COUNT_OF(quant_grid_iq1), 8, 8, 127);
    check_grid("iq2_xxs", quant_grid_iq2_xxs, COUNT_OF(quant_grid_iq2_xxs), 8, 1, 0);
    check_grid("iq2_xs", quant_grid_iq2_xs, COUNT_OF(quant_grid_iq2_xs), 8, 1, 0);
    check_grid("iq2_s", quant_grid_iq2_s, COUNT_OF(quant_grid_iq2_s), 8, 1, 0);
    check_grid("iq3_xxs", quant_grid_iq3_xxs, COUNT_OF(quant_grid_iq3_xxs), 4, 1, 0);
    check_grid("iq3_s", quant_grid_iq3_s, COUNT_OF(quant_grid_iq3_s), 4, 1, 0);
}
