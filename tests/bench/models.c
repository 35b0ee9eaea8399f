/* models.c: writes the models that `make bench` measures: `bench-model SHAPE TYPE FILE`. Random weights, of the shapes
 * of well-known models, since a speed depends on nothing else. A type is that of all matrices ("q4_k"); mixtures like
 * Q4_K_M are made of an F16 file by `leat quantize`.
 */
#include "check.h"
#include "gen/tiny.h"

#include <ctype.h>
#include <string.h>

static const struct {
    const char *name;
    tiny_spec spec;
} shapes[] = {
    /* TinyLlama */
    {"1.1b", {.arch = "llama", .n_layer = 22, .n_embd = 2048, .n_head = 32, .n_head_kv = 4, .head_dim = 64,
              .n_ff = 5632}},
    /* Llama 3.1 8B, cut to four layers and a smaller vocabulary */
    {"8b4", {.arch = "llama", .n_layer = 4, .n_embd = 4096, .n_head = 32, .n_head_kv = 8, .head_dim = 128,
             .n_ff = 14336}},
    /* the shape of OLMoE: 64 experts, 8 used; 6.7 milliard weights */
    {"moe64x8", {.arch = "qwen3moe", .n_layer = 16, .n_embd = 2048, .n_head = 16, .n_head_kv = 16, .head_dim = 128,
                 .n_ff = 1024, .n_ff_expert = 1024, .n_expert = 64, .n_expert_used = 8}},
    /* Layers and experts of Qwen3-30B-A3B, smaller ones: routing recorded from that model can be forced on it */
    {"48x128", {.arch = "qwen3moe", .n_layer = 48, .n_embd = 1024, .n_head = 16, .n_head_kv = 4, .head_dim = 64,
                .n_ff = 256, .n_ff_expert = 256, .n_expert = 128, .n_expert_used = 8}},
    /* 240 MB, for tests of what memory does; token ids in, token ids out */
    {"8x32", {.arch = "qwen3moe", .n_layer = 8, .n_embd = 1024, .n_head = 16, .n_head_kv = 4, .head_dim = 64,
              .n_ff = 512, .n_ff_expert = 512, .n_expert = 32, .n_expert_used = 4, .n_vocab = 256}},
};

static quant_id type_named(const char *name) {
    for (quant_id id = 0; id < QUANT_ID_MAX; id++) {
        const quant_type *t = quant_find(id);
        const char *a = name, *b = t ? t->name : "";
        for (; *a && *b && tolower((unsigned char)*a) == tolower((unsigned char)*b); a++) b++;
        if (t && !*a && !*b) return id;
    }
    return QUANT_ID_MAX;
}

int main(int argc, char **argv) {
    if (argc != 4) return fprintf(stderr, "usage: bench-model SHAPE TYPE FILE\n"), 2;
    quant_id type = type_named(argv[2]);
    if (type == QUANT_ID_MAX) return fprintf(stderr, "bench-model: no tensor type %s\n", argv[2]), 2;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        if (strcmp(shapes[i].name, argv[1]) != 0) continue;
        tiny_spec s = shapes[i].spec;
        s.n_ctx = 32768;
        if (!s.n_vocab) s.n_vocab = 32000, s.tok = TINY_TOK_SPM;
        s.type = type;
        s.seed = 1;
        tiny_write(&s, argv[3]);
        return 0;
    }
    return fprintf(stderr, "bench-model: no shape %s\n", argv[1]), 2;
}
