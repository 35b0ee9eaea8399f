/* The generator of tiny models: its files open, have the right tensors, and never change. */
#include "check.h"
#include "gen/tiny.h"

#include <string.h>

static uint64_t fnv(const char *path) {
    size_t n;
    unsigned char *p = test_slurp(path, &n);
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3u;
    free(p);
    return h;
}

static gguf *open_ok(const char *path) {
    gguf *g;
    err e;
    CHECK_MSG(gguf_open(&g, path, &e) == ERR_NONE, "%s", e.text);
    return g;
}

TEST(tiny_architectures_have_their_tensors) {
    static const struct {
        const char *arch;
        size_t n_tensors;
    } cases[] = {{"llama", 21},    {"mistral3", 21}, {"qwen2", 27},  {"qwen3", 25},
                 {"qwen2moe", 37}, {"qwen3moe", 27}, {"smollm3", 39}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        tiny_spec s = tiny_default(cases[i].arch);
        const char *path = test_path(0, "tiny.gguf");
        tiny_write(&s, path);
        gguf *g = open_ok(path);
        str arch;
        CHECK(gguf_get_str(g, "general.architecture", &arch) && str_is(arch, cases[i].arch));
        CHECK_EQ(gguf_tensor_count(g), cases[i].n_tensors);
        const gguf_tensor *t = gguf_find_tensor(g, "blk.1.attn_k.weight");
        CHECK(t && t->n_dims == 2 && t->dims[0] == 256 && t->dims[1] == 128 && t->type->id == QUANT_F32);
        gguf_close(g);
    }
}

/* Reference logits are taken from files like these, so a changed byte makes them worthless. */
TEST(tiny_files_never_change) {
    tiny_spec specs[4] = {tiny_default("llama"), tiny_default("qwen2moe"), tiny_default("qwen3"),
                          tiny_default("mistral3")};
    specs[0].tok = TINY_TOK_SPM;
    specs[1].tok = TINY_TOK_WPM;
    specs[1].type = QUANT_Q4_K;
    specs[1].type2 = QUANT_Q6_K;
    specs[1].mixed = true;
    specs[2].tok = TINY_TOK_BPE;
    specs[2].type = QUANT_F16;
    specs[3].scales = specs[3].rope_freqs = true;
    specs[3].type = QUANT_NVFP4;
    static const uint64_t wanted[4] = {0x3bd055549cc3d081, 0xe21d80677861ad64, 0x0ae4f8a08df3cd17, 0x55983aca13ade1c5};
    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        const char *path = test_path(0, "tiny.gguf");
        tiny_write(&specs[i], path);
        CHECK_MSG(fnv(path) == wanted[i], "spec %zu: the file's hash is 0x%016llx", i, (unsigned long long)fnv(path));
    }
}

/* Every type: the decoded weights of a matrix deviate by 1 / sqrt(row) and have no common offset. */
TEST(tiny_weights_have_their_size) {
    for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
        const quant_type *t = quant_find(id);
        if (!t) continue;
        enum { N = 256 * 256 };
        static double blocks[N];
        static float out[N];
        rng r;
        rng_seed(&r, 7);
        tiny_weights(&r, t, blocks, N, 0.0625);
        t->decode(blocks, out, N);
        double sum = 0, squares = 0;
        for (size_t i = 0; i < N; i++) {
            sum += (double)out[i];
            squares += (double)out[i] * (double)out[i];
        }
        CHECK_NEAR(math_sqrt(squares / N), 0.0625, 0.008);
        CHECK_NEAR(sum / N, 0, 0.003);
    }
}

/* The float types hold the same weights, so that one reference serves them all. */
TEST(tiny_float_types_agree) {
    rng r;
    float f[512];
    double d[512];
    uint16_t h[512];
    rng_seed(&r, 3);
    tiny_weights(&r, quant_find(QUANT_F32), f, 512, 0.1);
    rng_seed(&r, 3);
    tiny_weights(&r, quant_find(QUANT_F64), d, 512, 0.1);
    rng_seed(&r, 3);
    tiny_weights(&r, quant_find(QUANT_F16), h, 512, 0.1);
    for (size_t i = 0; i < 512; i++) CHECK(d[i] == (double)f[i] && h[i] == f16_of_f32(f[i]));
}

TEST(tiny_parts_hold_what_one_file_holds) {
    tiny_spec s = tiny_default("llama");
    const char *whole = test_path(0, "tiny.gguf"), *first = test_path(1, "tiny-00001-of-00003.gguf");
    tiny_write(&s, whole);
    s.parts = 3;
    s.alignment = 128;
    s.version = 2;
    tiny_write(&s, first);
    gguf *a = open_ok(whole), *b = open_ok(first);
    CHECK_EQ(gguf_part_count(b), 3);
    CHECK_EQ(gguf_version(b), 2);
    CHECK_EQ(gguf_alignment(b), 128);
    CHECK_EQ(gguf_tensor_count(a), gguf_tensor_count(b));
    for (size_t i = 0; i < gguf_tensor_count(a); i++) {
        const gguf_tensor *x = gguf_tensor_at(a, i), *y = gguf_tensor_at(b, i);
        CHECK(str_eq(x->name, y->name) && x->bytes == y->bytes && y->offset % 128 == 0);
        char *p = malloc(x->bytes), *q = malloc(x->bytes);
        CHECK_EQ(plat_file_read(gguf_part_file(a, 0), x->offset, p, x->bytes), x->bytes);
        CHECK_EQ(plat_file_read(gguf_part_file(b, y->part), y->offset, q, y->bytes), y->bytes);
        CHECK(memcmp(p, q, x->bytes) == 0);
        free(p);
        free(q);
    }
    gguf_close(a);
    gguf_close(b);
}
