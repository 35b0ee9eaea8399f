/* families.c: the architectures that leat runs, a row each. Adding one: docs/adding-an-architecture.md. */
#include "model/model_int.h"

static const model_family families[] = {
    {"llama", FAMILY_ROPE_INTERLEAVED | FAMILY_EXPERTS | FAMILY_ROUTER_NORMALISED | FAMILY_WINDOW | FAMILY_ROPE_FREQS |
                  FAMILY_FFN_SCALES},
    {"mistral3", FAMILY_ROPE_INTERLEAVED | FAMILY_EXPERTS | FAMILY_ROUTER_NORMALISED | FAMILY_WINDOW |
                     FAMILY_ROPE_FREQS | FAMILY_FFN_SCALES | FAMILY_ATTN_TEMPERATURE},
    {"qwen2", 0},
    {"qwen3", FAMILY_QK_NORM | FAMILY_FFN_SCALES},
    {"qwen2moe", FAMILY_EXPERTS | FAMILY_EXPERTS_ONLY | FAMILY_EXPERT_FF | FAMILY_SHARED_EXPERT},
    {"qwen3moe", FAMILY_QK_NORM | FAMILY_EXPERTS | FAMILY_EXPERTS_ONLY | FAMILY_EXPERT_FF | FAMILY_ROUTER_NORMALISED |
                     FAMILY_FFN_SCALES},
    {"smollm3", FAMILY_ROPE_INTERLEAVED | FAMILY_NO_ROPE_4},
};

const model_family *model_family_find(str name) {
    for (size_t i = 0; i < COUNT_OF(families); i++)
        if (str_is(name, families[i].name)) return &families[i];
    return NULL;
}

bool model_family_known(str name) { return model_family_find(name) != NULL; }

bool model_family_windows(str name) {
    const model_family *f = model_family_find(name);
    return f && f->blocks & FAMILY_WINDOW;
}

size_t model_family_names(char *buf, size_t cap) {
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(families); i++) n += fmt(buf + n, cap - n, "%s%s", i ? ", " : "", families[i].name);
    return n;
}
