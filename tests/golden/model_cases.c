/* model_cases.c: the list. A feature is a change to a small default model of an architecture; its weights are F16 where
 * the feature is not the tensor type, since F16 keeps every error small and a wrong feature shows as 1e-2 or more.
 *
 * Widths are multiples of 256 where tensor types are tried, and deliberately not elsewhere. To add a case: a line here,
 * then retake the references (retake/README.md).
 */
#include "golden/model_cases.h"

#include <stdio.h>
#include <string.h>

/* From 64 tokens on, and for heads of a multiple of 16, libllama computes attention in floats; below, it sums up values
 * in half floats, and its logits are worth no more than an NMSE of 1e-7, whatever the weights. */
enum { TOKENS = 64 };

/* Every field that is set replaces the architecture's default (tiny_default, with F16 weights). */
static const struct {
    const char *name;
    uint32_t n_tokens; /* 0: TOKENS */
    tiny_spec change;
} features[] = {
    /* rope */
    {"llama-base-500000", 0, {.rope_base = 500000}},
    {"llama-rope-none", 0, {.rope_scaling = "none", .rope_factor = 4}},
    {"llama-rope-linear", 150, {.rope_scaling = "linear", .rope_factor = 4}},
    {"llama-rope-yarn", 150, {.rope_scaling = "yarn", .rope_factor = 4, .rope_ctx = 64}},
    {"llama-rope-yarn-attn", 150,
     {.rope_scaling = "yarn", .rope_factor = 8, .rope_ctx = 32, .rope_attn_factor = 1.25f}},
    {"llama-rope-freqs", 150, {.rope_base = 500000, .rope_freqs = true}},
    {"qwen2-rope-yarn", 150, {.arch = "qwen2", .rope_scaling = "yarn", .rope_factor = 4, .rope_ctx = 64}},
    {"mistral3-rope-yarn", 150, {.arch = "mistral3", .rope_scaling = "yarn", .rope_factor = 16, .rope_ctx = 32}},
    {"mistral3-temperature", 150,
     {.arch = "mistral3", .rope_scaling = "yarn", .rope_factor = 16, .rope_ctx = 32, .temperature = 0.3f}},
    /* attention */
    {"llama-long", 256, {.seed = 2}},
    {"llama-window", 150, {.window = 24}},
    {"llama-heads-mqa", 0, {.n_head_kv = 1}},
    {"llama-heads-mha", 0, {.n_head_kv = 4}},
    {"llama-heads-2-of-128", 0, {.n_head = 2, .n_head_kv = 1, .head_dim = 128}},
    {"llama-heads-3-of-96", 0,
     {.n_embd = 160, .n_head = 3, .n_head_kv = 1, .head_dim = 96, .n_ff = 224, .n_vocab = 101}},
    {"llama-heads-5-of-80", 0,
     {.n_embd = 320, .n_head = 5, .n_head_kv = 5, .head_dim = 80, .n_ff = 352, .n_vocab = 97}},
    {"llama-heads-6-of-16", 0, {.n_embd = 96, .n_head = 6, .n_head_kv = 2, .head_dim = 16, .n_ff = 160}},
    {"qwen3-heads-4-of-128", 0, {.arch = "qwen3", .n_embd = 128, .head_dim = 128, .n_ff = 256}},
    /* the rest of a dense model */
    {"llama-biases", 0, {.biases = true, .bias_output = true}},
    {"llama-tied", 0, {.tied = true}},
    {"qwen2-tied", 0, {.arch = "qwen2", .n_head_kv = 1, .tied = true}},
    {"llama-eps", 0, {.eps = 0.05f}},
    {"llama-scales", 0, {.scales = true}},
    {"llama-nvfp4-scales", 0, {.type = QUANT_NVFP4, .scales = true}},
    {"llama-mixed", 0, {.type = QUANT_Q4_K, .type2 = QUANT_Q6_K, .mixed = true}},
    /* the container */
    {"llama-parts", 0, {.parts = 3}},
    {"llama-version-2", 0, {.version = 2}},
    {"llama-alignment", 0, {.alignment = 4096}},
    /* experts */
    {"llama-moe", 0, {.n_expert = 4, .n_expert_used = 2}},
    {"llama-moe-8-of-8", 0, {.n_expert = 8, .n_expert_used = 8, .n_ff = 256}},
    {"llama-moe-1-of-3", 0, {.n_expert = 3, .n_expert_used = 1, .n_ff = 256}},
    {"llama-moe-nvfp4-scales", 0,
     {.n_expert = 4, .n_expert_used = 2, .n_ff = 256, .type = QUANT_NVFP4, .scales = true}},
    {"mistral3-moe", 0, {.arch = "mistral3", .n_expert = 4, .n_expert_used = 2, .n_ff = 256}},
    {"qwen2moe-3-of-6", 0,
     {.arch = "qwen2moe", .n_embd = 128, .n_head = 2, .n_expert = 6, .n_expert_used = 3, .n_ff_expert = 96,
      .n_ff_shexp = 352}},
    {"qwen3moe-5-of-16", 0,
     {.arch = "qwen3moe", .n_embd = 128, .n_head_kv = 1, .n_expert = 16, .n_expert_used = 5, .n_ff_expert = 64}},
};

/* Experts of these types: the others share their code. The seeds are such that libllama's rounding changes no router's
 * choice: another expert is worth an NMSE of 1e-3, and limits taken from that would say nothing. */
static const struct {
    quant_id type;
    uint64_t seed;
} experts[] = {
    {QUANT_Q8_0, 28}, {QUANT_Q4_K, 105}, {QUANT_Q5_K, 33}, {QUANT_Q6_K, 104}, {QUANT_Q3_K, 105},
    {QUANT_IQ4_XS, 102}, {QUANT_MXFP4, 59},
};

static const char *const architectures[] = {"llama", "mistral3", "qwen2", "qwen3", "qwen2moe", "qwen3moe", "smollm3"};

static size_t type_count(void) {
    size_t n = 0;
    for (uint32_t id = 0; id < QUANT_ID_MAX; id++) n += quant_find(id) != NULL;
    return n;
}

static const quant_type *type_at(size_t i) {
    uint32_t id = 0;
    while (!quant_find(id) || i-- > 0) id++;
    return quant_find(id);
}

static tiny_spec changed(const tiny_spec *c) {
    tiny_spec s = tiny_default(c->arch);
    s.type = QUANT_F16;
#define TAKE(field) if (c->field) s.field = c->field
    TAKE(n_layer); TAKE(n_embd); TAKE(n_head); TAKE(n_head_kv); TAKE(head_dim); TAKE(n_ff);
    TAKE(n_expert); TAKE(n_expert_used); TAKE(n_ff_expert); TAKE(n_ff_shexp);
    TAKE(n_vocab); TAKE(n_ctx); TAKE(type); TAKE(type2); TAKE(mixed); TAKE(tied); TAKE(biases); TAKE(bias_output);
    TAKE(scales); TAKE(rope_base); TAKE(rope_scaling); TAKE(rope_factor); TAKE(rope_attn_factor); TAKE(rope_ctx);
    TAKE(rope_freqs); TAKE(temperature); TAKE(window); TAKE(eps); TAKE(parts); TAKE(version); TAKE(alignment);
    TAKE(seed);
#undef TAKE
    return s;
}

size_t model_case_count(void) {
    return COUNT_OF(architectures) + COUNT_OF(features) + COUNT_OF(experts) + type_count();
}

static void lower(char *s) {
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z') *s = (char)(*s + ('a' - 'A'));
}

model_case model_case_at(size_t i) {
    model_case c = {.n_tokens = TOKENS};
    if (i < COUNT_OF(architectures)) {
        c.spec = tiny_default(architectures[i]);
        c.spec.type = QUANT_F16;
        snprintf(c.name, sizeof c.name, "arch-%s", architectures[i]);
        return c;
    }
    i -= COUNT_OF(architectures);
    if (i < COUNT_OF(features)) {
        c.spec = changed(&features[i].change);
        if (features[i].n_tokens) c.n_tokens = features[i].n_tokens;
        snprintf(c.name, sizeof c.name, "%s", features[i].name);
        return c;
    }
    i -= COUNT_OF(features);
    bool moe = i < COUNT_OF(experts);
    const quant_type *t = moe ? quant_find(experts[i].type) : type_at(i - COUNT_OF(experts));
    c.spec = tiny_default(moe ? "qwen3moe" : "llama");
    c.spec.type = t->id;
    c.spec.n_ff = 256;
    c.spec.seed = moe ? experts[i].seed : 20 + t->id;
    snprintf(c.name, sizeof c.name, "%s-%s", moe ? "experts" : "type", t->name);
    lower(c.name);
    return c;
}

uint32_t model_case_vocab(const model_case *c) { return c->spec.n_vocab ? c->spec.n_vocab : 128; }

void model_case_ids(const model_case *c, int32_t *ids) {
    rng r;
    rng_seed(&r, 4711);
    for (uint32_t i = 0; i < c->n_tokens; i++) ids[i] = (int32_t)(rng_u64(&r) % model_case_vocab(c));
}

void model_case_samples(const model_case *c, const float *logits, float samples[MODEL_CASE_SAMPLES]) {
    uint32_t n_vocab = model_case_vocab(c);
    for (uint32_t r = 0; r < MODEL_CASE_ROWS; r++) {
        const float *row = logits + (c->n_tokens * (r + 1) / MODEL_CASE_ROWS - 1) * n_vocab;
        for (uint32_t i = 0; i < MODEL_CASE_COLUMNS; i++)
            samples[r * MODEL_CASE_COLUMNS + i] = row[(i * n_vocab / MODEL_CASE_COLUMNS + r) % n_vocab];
    }
}

void model_case_file(const model_case *c, char *buf, size_t cap) {
    if (c->spec.parts > 1) snprintf(buf, cap, "%s-00001-of-%05u.gguf", c->name, c->spec.parts);
    else snprintf(buf, cap, "%s.gguf", c->name);
}

double model_case_nmse(const float ours[MODEL_CASE_SAMPLES], const float exact[MODEL_CASE_SAMPLES]) {
    double error = 0, sum = 0, square = 0;
    for (size_t i = 0; i < MODEL_CASE_SAMPLES; i++) {
        double e = (double)ours[i] - (double)exact[i];
        error += e * e;
        sum += (double)exact[i];
        square += (double)exact[i] * (double)exact[i];
    }
    return error / (square - sum * sum / MODEL_CASE_SAMPLES);
}
