/* take.c: prints the rows of test_quant.c's table, decoded by a live libggml-base (how: README.md). */
#include "base/base.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* The first members of ggml.h's struct of this name. */
struct ggml_type_traits {
    const char *type_name;
    int64_t blck_size, blck_size_interleave;
    size_t type_size;
    bool is_quantized;
    void (*to_float)(const void *x, float *y, int64_t k);
};

enum { N_GOLDEN = 8 * 1024, N_RANDOM = 64 * 256 };
static float out[N_RANDOM];

/* FNV-1a over the bits, every NaN counting as 0x7fc00000. */
static unsigned long long hash(size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = f32_is_nan(out[i]) ? 0x7fc00000 : bits_of_f32(out[i]);
        for (int k = 0; k < 4; k++) h = (h ^ (bits >> 8 * k & 0xff)) * 0x100000001b3u;
    }
    return h;
}

int main(int argc, char **argv) {
    static const char *const names[43] = {
        [1] = "f16",     [2] = "q4_0",     [3] = "q4_1",   [6] = "q5_0",    [7] = "q5_1",   [8] = "q8_0",
        [10] = "q2_k",   [11] = "q3_k",    [12] = "q4_k",  [13] = "q5_k",   [14] = "q6_k",  [16] = "iq2_xxs",
        [17] = "iq2_xs", [18] = "iq3_xxs", [19] = "iq1_s", [20] = "iq4_nl", [21] = "iq3_s", [22] = "iq2_s",
        [23] = "iq4_xs", [29] = "iq1_m",   [30] = "bf16",  [34] = "tq1_0",  [35] = "tq2_0", [39] = "mxfp4",
        [40] = "nvfp4",  [41] = "q1_0",    [42] = "q2_0"};
    void *lib = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    const struct ggml_type_traits *(*traits)(int) = NULL;
    if (lib) *(void **)&traits = dlsym(lib, "ggml_get_type_traits");
    if (!traits) {
        fprintf(stderr, "usage: take DIR/libggml-base.so, from the root of the checkout\n");
        return 1;
    }
    for (int id = 0; id < 43; id++) {
        if (!names[id]) continue;
        const struct ggml_type_traits *t = traits(id);
        static uint64_t blocks[N_RANDOM];
        char path[64];
        snprintf(path, sizeof path, "tests/data/codec/%s.blk", names[id]);
        FILE *f = fopen(path, "rb");
        size_t bytes = N_GOLDEN / (size_t)t->blck_size * t->type_size;
        if (!f || fread(blocks, 1, bytes, f) != bytes) {
            fprintf(stderr, "%s: wanted %zu bytes\n", path, bytes);
            return 1;
        }
        fclose(f);
        t->to_float(blocks, out, N_GOLDEN);
        unsigned long long golden = hash(N_GOLDEN);
        rng r;
        rng_seed(&r, (uint64_t)id);
        bytes = N_RANDOM / (size_t)t->blck_size * t->type_size;
        for (size_t i = 0; i < bytes / 8; i++) blocks[i] = rng_u64(&r);
        t->to_float(blocks, out, N_RANDOM);
        printf("    {\"%s\", 0x%016llx, 0x%016llx},\n", names[id], golden, hash(N_RANDOM));
    }
    return 0;
}
