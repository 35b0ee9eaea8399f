/* tiny.c: writes the files that tiny.h describes. Weights are in tiny_weights.c, vocabularies in tiny_tok.c.
 *
 * Tensors are listed first (name, shape, how to fill), then declared and written part by part: the list is walked
 * twice, so no tensor is in memory longer than it takes to write it.
 */
#include "gen/tiny_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS_MAX = 4096, NAME_MAX_BYTES = 64 };

typedef enum { FILL_MATRIX, FILL_F32_MATRIX, FILL_NORM, FILL_BIAS, FILL_SCALE, FILL_ROPE_FREQS } fill_kind;

typedef struct tensor {
    char name[NAME_MAX_BYTES];
    fill_kind fill;
    const quant_type *type;
    uint32_t n_dims;
    uint64_t dims[3];
} tensor;

typedef struct list {
    const tiny_spec *s;
    tensor *at;
    size_t n, n_matrices;
} list;

static bool is(const tiny_spec *s, const char *arch) { return strcmp(s->arch, arch) == 0; }

tiny_spec tiny_default(const char *arch) {
    tiny_spec s = {.arch = arch ? arch : "llama", .n_layer = 2, .n_embd = 256, .n_head = 4, .n_head_kv = 2,
                   .head_dim = 64, .n_ff = 512, .n_ctx = 256, .type = QUANT_F32, .seed = 1};
    if (is(&s, "smollm3")) s.n_layer = 4; /* its fourth layer has no rope */
    if (is(&s, "qwen2") || is(&s, "qwen2moe")) s.biases = true;
    if (is(&s, "qwen2moe") || is(&s, "qwen3moe")) {
        s.n_expert = 4;
        s.n_expert_used = 2;
        s.n_ff_expert = 256;
    }
    return s;
}

/* ---- the tensors of an architecture ----------------------------------------------------------------------------- */

__attribute__((format(printf, 6, 7)))
static void add(list *l, fill_kind fill, uint64_t d0, uint64_t d1, uint64_t d2, const char *format, ...) {
    if (l->n == TENSORS_MAX) abort();
    tensor *t = &l->at[l->n++];
    va_list args;
    va_start(args, format);
    vsnprintf(t->name, sizeof t->name, format, args);
    va_end(args);
    t->fill = fill;
    t->n_dims = d2 ? 3 : d1 ? 2 : 1;
    t->dims[0] = d0;
    t->dims[1] = d1 ? d1 : 1;
    t->dims[2] = d2 ? d2 : 1;
    quant_id id = QUANT_F32;
    if (fill == FILL_MATRIX) id = l->s->mixed && l->n_matrices++ % 2 ? l->s->type2 : l->s->type;
    t->type = quant_find(id);
}

/* A matrix of a layer, with its scale where the file has scales. */
static void add_matrix(list *l, uint32_t layer, const char *name, uint64_t d0, uint64_t d1, uint64_t d2) {
    add(l, FILL_MATRIX, d0, d1, d2, "blk.%u.%s.weight", layer, name);
    if (l->s->scales) add(l, FILL_SCALE, d2 ? d2 : 1, 0, 0, "blk.%u.%s.scale", layer, name);
}

static void add_experts(list *l, uint32_t i, uint64_t n_ff) {
    const tiny_spec *s = l->s;
    add(l, FILL_F32_MATRIX, s->n_embd, s->n_expert, 0, "blk.%u.ffn_gate_inp.weight", i);
    add_matrix(l, i, "ffn_gate_exps", s->n_embd, n_ff, s->n_expert);
    add_matrix(l, i, "ffn_down_exps", n_ff, s->n_embd, s->n_expert);
    add_matrix(l, i, "ffn_up_exps", s->n_embd, n_ff, s->n_expert);
}

static void add_layer(list *l, uint32_t i) {
    const tiny_spec *s = l->s;
    uint64_t n_q = (uint64_t)s->n_head * s->head_dim, n_kv = (uint64_t)s->n_head_kv * s->head_dim;
    bool moe_family = is(s, "qwen2moe") || is(s, "qwen3moe");
    add(l, FILL_NORM, s->n_embd, 0, 0, "blk.%u.attn_norm.weight", i);
    add_matrix(l, i, "attn_q", s->n_embd, n_q, 0);
    add_matrix(l, i, "attn_k", s->n_embd, n_kv, 0);
    add_matrix(l, i, "attn_v", s->n_embd, n_kv, 0);
    if (s->biases) {
        add(l, FILL_BIAS, n_q, 0, 0, "blk.%u.attn_q.bias", i);
        add(l, FILL_BIAS, n_kv, 0, 0, "blk.%u.attn_k.bias", i);
        add(l, FILL_BIAS, n_kv, 0, 0, "blk.%u.attn_v.bias", i);
    }
    add_matrix(l, i, "attn_output", n_q, s->n_embd, 0);
    if (s->bias_output) add(l, FILL_BIAS, s->n_embd, 0, 0, "blk.%u.attn_output.bias", i);
    if (is(s, "qwen3") || is(s, "qwen3moe")) {
        add(l, FILL_NORM, s->head_dim, 0, 0, "blk.%u.attn_q_norm.weight", i);
        add(l, FILL_NORM, s->head_dim, 0, 0, "blk.%u.attn_k_norm.weight", i);
    }
    add(l, FILL_NORM, s->n_embd, 0, 0, "blk.%u.ffn_norm.weight", i);
    if (s->n_expert) {
        add_experts(l, i, moe_family && s->n_ff_expert ? s->n_ff_expert : s->n_ff);
    } else {
        add_matrix(l, i, "ffn_gate", s->n_embd, s->n_ff, 0);
        add_matrix(l, i, "ffn_down", s->n_ff, s->n_embd, 0);
        add_matrix(l, i, "ffn_up", s->n_embd, s->n_ff, 0);
    }
    if (is(s, "qwen2moe")) {
        uint64_t n_ff = s->n_ff_shexp ? s->n_ff_shexp : s->n_ff;
        add(l, FILL_F32_MATRIX, s->n_embd, 0, 0, "blk.%u.ffn_gate_inp_shexp.weight", i);
        add_matrix(l, i, "ffn_gate_shexp", s->n_embd, n_ff, 0);
        add_matrix(l, i, "ffn_down_shexp", n_ff, s->n_embd, 0);
        add_matrix(l, i, "ffn_up_shexp", s->n_embd, n_ff, 0);
    }
}

static void list_tensors(list *l, uint32_t n_vocab) {
    const tiny_spec *s = l->s;
    add(l, FILL_MATRIX, s->n_embd, n_vocab, 0, "token_embd.weight");
    add(l, FILL_NORM, s->n_embd, 0, 0, "output_norm.weight");
    if (!s->tied) add(l, FILL_MATRIX, s->n_embd, n_vocab, 0, "output.weight");
    if (s->rope_freqs) add(l, FILL_ROPE_FREQS, s->head_dim / 2, 0, 0, "rope_freqs.weight");
    for (uint32_t i = 0; i < s->n_layer; i++) add_layer(l, i);
}

/* ---- metadata --------------------------------------------------------------------------------------------------- */

static const char *key(const tiny_spec *s, const char *name) {
    static char text[96];
    snprintf(text, sizeof text, "%s.%s", s->arch, name);
    return text;
}

static void put_rope(gguf_writer *w, const tiny_spec *s) {
    gguf_put_u32(w, key(s, "rope.dimension_count"), s->head_dim);
    if (s->rope_base > 0) gguf_put_f32(w, key(s, "rope.freq_base"), s->rope_base);
    if (!s->rope_scaling) return;
    gguf_put_str(w, key(s, "rope.scaling.type"), str_of(s->rope_scaling));
    gguf_put_f32(w, key(s, "rope.scaling.factor"), s->rope_factor);
    if (s->rope_attn_factor > 0) gguf_put_f32(w, key(s, "rope.scaling.attn_factor"), s->rope_attn_factor);
    if (s->rope_ctx) gguf_put_u32(w, key(s, "rope.scaling.original_context_length"), s->rope_ctx);
}

static void put_keys(gguf_writer *w, const tiny_spec *s, const tiny_vocab *v) {
    char name[96];
    snprintf(name, sizeof name, "tiny %s, seed %llu", s->arch, (unsigned long long)s->seed);
    gguf_put_str(w, "general.architecture", str_of(s->arch));
    gguf_put_str(w, "general.name", str_of(name));
    gguf_put_u32(w, "general.quantization_version", 2);
    gguf_put_u32(w, key(s, "vocab_size"), v->n);
    gguf_put_u32(w, key(s, "context_length"), s->n_ctx);
    gguf_put_u32(w, key(s, "embedding_length"), s->n_embd);
    gguf_put_u32(w, key(s, "block_count"), s->n_layer);
    gguf_put_u32(w, key(s, "feed_forward_length"), s->n_ff);
    gguf_put_u32(w, key(s, "attention.head_count"), s->n_head);
    gguf_put_u32(w, key(s, "attention.head_count_kv"), s->n_head_kv);
    gguf_put_f32(w, key(s, "attention.layer_norm_rms_epsilon"), s->eps > 0 ? s->eps : 1e-5f);
    if (s->head_dim * s->n_head != s->n_embd || is(s, "qwen3") || is(s, "qwen3moe")) {
        gguf_put_u32(w, key(s, "attention.key_length"), s->head_dim);
        gguf_put_u32(w, key(s, "attention.value_length"), s->head_dim);
    }
    if (s->window) gguf_put_u32(w, key(s, "attention.sliding_window"), s->window);
    if (s->temperature > 0) gguf_put_f32(w, key(s, "attention.temperature_scale"), s->temperature);
    put_rope(w, s);
    if (s->n_expert) {
        gguf_put_u32(w, key(s, "expert_count"), s->n_expert);
        gguf_put_u32(w, key(s, "expert_used_count"), s->n_expert_used);
        if (s->n_ff_expert) gguf_put_u32(w, key(s, "expert_feed_forward_length"), s->n_ff_expert);
        if (s->n_ff_shexp) gguf_put_u32(w, key(s, "expert_shared_feed_forward_length"), s->n_ff_shexp);
    }
    if (s->chat_template) gguf_put_str(w, "tokenizer.chat_template", str_of(s->chat_template));
    tiny_vocab_put(w, s, v);
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

/* Fills the tensor's bytes. */
static void fill(const tiny_spec *s, const tensor *t, void *to, size_t n) {
    rng r;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a of the name */
    for (const char *c = t->name; *c; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    rng_seed(&r, hash ^ s->seed * 0x9e3779b97f4a7c15u);
    float *f = to;
    /* Embeddings are rows that are looked up, not multiplied with; a tied one is both. */
    bool embedding = strcmp(t->name, "token_embd.weight") == 0;
    double deviation = embedding && !s->tied ? 1.0 : 1.0 / math_sqrt((double)t->dims[0]);
    switch (t->fill) {
    case FILL_MATRIX:
        /* With a scale tensor beside it, a matrix is as much larger as that makes it smaller. */
        tiny_weights(&r, t->type, to, n, s->scales && !embedding && t->name[0] == 'b' ? 8 * deviation : deviation);
        break;
    case FILL_F32_MATRIX: /* routers: twice as large, so that experts differ clearly */
        tiny_weights(&r, t->type, to, n, 2 * deviation);
        break;
    case FILL_NORM:
        for (size_t i = 0; i < n; i++) f[i] = (float)(1 + 0.2 * tiny_normal(&r));
        break;
    case FILL_BIAS:
        for (size_t i = 0; i < n; i++) f[i] = (float)(0.3 * tiny_normal(&r));
        break;
    case FILL_SCALE:
        for (size_t i = 0; i < n; i++) f[i] = (float)(0.125 * (0.75 + 0.5 * rng_unit(&r)));
        break;
    case FILL_ROPE_FREQS: /* 1 for the fast frequencies, 8 for the slow ones, and steps between */
        for (size_t i = 0; i < n; i++) {
            double slow = (double)(4 * i) / (double)n - 1;
            f[i] = (float)(1 + 3.5 * (slow < 0 ? 0 : slow > 2 ? 2 : slow));
        }
        break;
    }
}

static err_code write_part(const list *l, const tiny_vocab *v, uint32_t part, const char *path, err *e) {
    const tiny_spec *s = l->s;
    uint32_t n_parts = s->parts > 1 ? s->parts : 1;
    size_t from = l->n * part / n_parts, to = l->n * (part + 1) / n_parts;
    gguf_writer *w;
    err_code c = gguf_writer_open(&w, s->version, s->alignment, e);
    if (c) return c;
    if (part == 0) put_keys(w, s, v);
    if (n_parts > 1) {
        gguf_put_u16(w, "split.no", (uint16_t)part);
        gguf_put_u16(w, "split.count", (uint16_t)n_parts);
        gguf_put_i32(w, "split.tensors.count", (int32_t)l->n);
    }
    for (size_t i = from; i < to; i++) gguf_put_tensor(w, l->at[i].name, l->at[i].type, l->at[i].n_dims, l->at[i].dims);
    c = gguf_write_begin(w, path, e);
    for (size_t i = from; i < to && !c; i++) {
        const tensor *t = &l->at[i];
        size_t n = t->dims[0] * t->dims[1] * t->dims[2], bytes;
        if (!quant_bytes(t->type, n, &bytes)) abort();
        void *data = calloc(1, bytes);
        if (!data) abort();
        fill(s, t, data, n);
        c = gguf_write_data(w, data, bytes, e);
        free(data);
    }
    if (!c) c = gguf_write_finish(w, e);
    gguf_writer_close(w);
    return c;
}

err_code tiny_write_err(const tiny_spec *s, const char *path, err *e) {
    tiny_vocab v;
    tiny_vocab_make(&v, s);
    list l = {.s = s, .at = calloc(TENSORS_MAX, sizeof(tensor))};
    if (!l.at) abort();
    list_tensors(&l, v.n);
    size_t len = strlen(path);
    char *name = malloc(len + 1);
    if (!name) abort();
    memcpy(name, path, len + 1);
    err_code c = ERR_NONE;
    uint32_t n_parts = s->parts > 1 ? s->parts : 1;
    char tail[32];
    snprintf(tail, sizeof tail, "-00001-of-%05u.gguf", n_parts);
    if (n_parts > 1 && (len < strlen(tail) || strcmp(path + len - strlen(tail), tail) != 0))
        c = err_set(e, ERR_ARGUMENT, "tiny_write", "%s: %u parts, so the name must end in %s", path, n_parts, tail);
    for (uint32_t i = 0; i < n_parts && !c; i++) {
        if (n_parts > 1) {
            snprintf(tail, sizeof tail, "-%05u-of-%05u.gguf", i + 1, n_parts);
            memcpy(name + len - strlen(tail), tail, strlen(tail));
        }
        c = write_part(&l, &v, i, name, e);
    }
    free(name);
    free(l.at);
    tiny_vocab_free(&v);
    return c;
}
