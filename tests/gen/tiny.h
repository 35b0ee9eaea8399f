/* tiny.h: a seeded generator of tiny models, so that tests have any architecture, tensor type, tokenizer and container
 * without a file from outside.
 *
 * The same spec gives the same bytes on every machine: nothing here uses libm or the order of floating-point sums,
 * and every tensor draws from a stream of its own (seed and name), so that the same tensor of two specs has the same
 * weights whatever else is in the file. F32, F16, BF16 and F64 files of a seed hold the same weights, rounded (F64
 * those of F32). Quantised matrices are random blocks that an encoder could have written, scaled so that the weights of
 * a row of n deviate by about 1 / sqrt(n): activations stay of order one.
 */
#ifndef LEAT_TINY_H
#define LEAT_TINY_H

#include "gguf/gguf.h"

typedef enum {
    TINY_TOK_NONE, /* tokenizer.ggml.model "no_vocab"                                             */
    TINY_TOK_SPM,  /* "llama": byte fallback, pieces with scores; 3 + 256 + pieces                */
    TINY_TOK_BPE,  /* "gpt2" with pre-tokenizer tok_pre: 256 bytes, pieces with merges, 2 control */
    TINY_TOK_WPM,  /* "bert": whole words and letters, [CLS] [SEP] and so on                      */
} tiny_tok;

typedef struct tiny_spec {
    const char *arch; /* llama mistral3 qwen2 qwen3 qwen2moe qwen3moe smollm3 */
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff;
    uint32_t n_expert, n_expert_used; /* 0: dense. llama, mistral3, and always in the two moe families */
    uint32_t n_ff_expert, n_ff_shexp; /* of the two moe families; 0: n_ff. llama's experts have n_ff   */
    uint32_t n_vocab;                 /* 0: what the tokenizer needs (none: 128); more is filled up    */
    uint32_t n_ctx;
    quant_id type, type2; /* of the matrices; with `mixed`, type2 of every second one */
    bool mixed;
    bool tied;         /* no output matrix (not qwen2moe)                                          */
    bool biases;       /* of q, k and v; not in qwen3 and qwen3moe files                           */
    bool bias_output;  /* of the attention's output (llama, mistral3)                              */
    bool scales;       /* a .scale tensor for every matrix of the layers, as NVFP4 files have them */
    float rope_base;   /* 0: not written (10000)                                                   */
    const char *rope_scaling; /* "none" "linear" "yarn"; NULL: no scaling keys                     */
    float rope_factor;        /* the context grows by this                                         */
    float rope_attn_factor;   /* 0: not written                                                    */
    uint32_t rope_ctx;        /* original context; 0: not written                                  */
    bool rope_freqs;   /* the rope_freqs.weight tensor of Llama 3.1 (llama, mistral3)              */
    float temperature; /* mistral3: attention.temperature_scale; 0: not written. Needs rope_ctx    */
    uint32_t window;   /* attention.sliding_window; 0: not written                                 */
    float eps;         /* 0: 1e-5 */
    tiny_tok tok;
    const char *tok_pre;  /* BPE; NULL: "gpt-2" */
    const char *chat_template; /* NULL: none */
    uint32_t parts;    /* above 1, path is the first part's: NAME-00001-of-000NN.gguf */
    uint32_t version;  /* 0: 3  */
    uint32_t alignment; /* 0: 32 */
    uint64_t seed;
} tiny_spec;

/* A small model of an architecture: 2 layers (smollm3: 4), 256 wide so that every tensor type fits, 4 heads over 2,
 * 4 experts of which 2 are used where the family has them, F32, no tokenizer, seed 1. NULL names llama. */
tiny_spec tiny_default(const char *arch);
/* Writes the file or all parts. */
err_code tiny_write_err(const tiny_spec *s, const char *path, err *e);
/* The same; ends the running test where it fails. */
void tiny_write(const tiny_spec *s, const char *path);

/* One block of a type, or n weights of a float type: what the matrices above consist of. n is a multiple of the
 * block; deviation: of a weight. */
void tiny_weights(rng *r, const quant_type *t, void *to, size_t n, double deviation);
/* Near enough to a normal distribution (eight uniforms), and the same on every machine. */
double tiny_normal(rng *r);

#endif
