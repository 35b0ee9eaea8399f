/* huge_model.h: models of hundreds of GB, of which there is the header alone: a sparse file. */
#ifndef LEAT_HUGE_MODEL_H
#define LEAT_HUGE_MODEL_H

#include "gguf_bytes.h"

typedef struct huge_model {
    const char *arch, *name; /* llama or qwen3moe */
    uint32_t layers, embd, heads, heads_kv, head_dim, ff, experts, used, vocab, ctx;
} huge_model;

static inline void huge_tensor(bytes *b, uint64_t *next, int layer, const char *name, uint64_t d0, uint64_t d1,
                               uint64_t d2) {
    char full[64];
    size_t data;
    uint64_t dims[3] = {d0, d1, d2};
    quant_id type = d1 && !strstr(name, "_inp") ? QUANT_Q4_K : QUANT_F32;
    if (layer < 0) snprintf(full, sizeof full, "%s.weight", name);
    else snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);
    add_tensor(b, full, d2 ? 3 : d1 ? 2 : 1, dims, type, *next);
    CHECK(quant_bytes(quant_find(type), d0 * MAX(d1, 1) * MAX(d2, 1), &data));
    *next = (*next + data + 31) / 32 * 32;
}

static inline void huge_key(bytes *b, const huge_model *m, const char *key, uint32_t v) {
    char full[64];
    snprintf(full, sizeof full, "%s.%s", m->arch, key);
    add_key_u32(b, full, v);
}

static inline void huge_keys(bytes *b, const huge_model *m) {
    char key[64];
    add_key(b, "general.architecture", GGUF_STR);
    add_str(b, m->arch);
    add_key(b, "general.name", GGUF_STR);
    add_str(b, m->name);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", m->arch);
    add_key(b, key, GGUF_F32);
    add_bytes(b, &(float){1e-5f}, sizeof(float));
    huge_key(b, m, "vocab_size", m->vocab);
    huge_key(b, m, "context_length", m->ctx);
    huge_key(b, m, "embedding_length", m->embd);
    huge_key(b, m, "block_count", m->layers);
    huge_key(b, m, "feed_forward_length", m->ff);
    huge_key(b, m, "expert_feed_forward_length", m->ff);
    huge_key(b, m, "attention.head_count", m->heads);
    huge_key(b, m, "attention.head_count_kv", m->heads_kv);
    huge_key(b, m, "attention.key_length", m->head_dim);
    huge_key(b, m, "attention.value_length", m->head_dim);
    huge_key(b, m, "expert_count", m->experts);
    huge_key(b, m, "expert_used_count", m->used);
}

/* The header; returns how many bytes the whole file has. Matrices are Q4_K. */
static inline uint64_t huge_header(bytes *b, const huge_model *m) {
    bool qk_norm = strcmp(m->arch, "qwen3moe") == 0;
    uint64_t next = 0, q = (uint64_t)m->heads * m->head_dim, kv = (uint64_t)m->heads_kv * m->head_dim;
    add_start(b, 3, 3 + m->layers * (qk_norm ? 12 : 10), 15);
    huge_keys(b, m);
    huge_tensor(b, &next, -1, "token_embd", m->embd, m->vocab, 0);
    huge_tensor(b, &next, -1, "output_norm", m->embd, 0, 0);
    huge_tensor(b, &next, -1, "output", m->embd, m->vocab, 0);
    for (int l = 0; l < (int)m->layers; l++) {
        huge_tensor(b, &next, l, "attn_norm", m->embd, 0, 0);
        huge_tensor(b, &next, l, "ffn_norm", m->embd, 0, 0);
        huge_tensor(b, &next, l, "attn_q", m->embd, q, 0);
        huge_tensor(b, &next, l, "attn_k", m->embd, kv, 0);
        huge_tensor(b, &next, l, "attn_v", m->embd, kv, 0);
        huge_tensor(b, &next, l, "attn_output", q, m->embd, 0);
        if (qk_norm) huge_tensor(b, &next, l, "attn_q_norm", m->head_dim, 0, 0);
        if (qk_norm) huge_tensor(b, &next, l, "attn_k_norm", m->head_dim, 0, 0);
        huge_tensor(b, &next, l, "ffn_gate_inp", m->embd, m->experts, 0);
        huge_tensor(b, &next, l, "ffn_gate_exps", m->embd, m->ff, m->experts);
        huge_tensor(b, &next, l, "ffn_up_exps", m->embd, m->ff, m->experts);
        huge_tensor(b, &next, l, "ffn_down_exps", m->ff, m->embd, m->experts);
    }
    add_data(b, 32, 0);
    return b->n + next;
}

/* False where there are no sparse files of that size. */
static inline bool huge_write(const huge_model *m, const char *path, uint64_t *size) {
    static bytes b;
    *size = huge_header(&b, m);
    FILE *f = fopen(path, "wb");
    bool written = f && fwrite(b.at, 1, b.n, f) == b.n;
    if (f) written &= fclose(f) == 0;
    return written && truncate(path, (off_t)*size) == 0;
}

#endif
