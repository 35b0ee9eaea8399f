/* quant.h: the tensor types of GGUF, the reference decoder and the encoder of each.
 *
 * One table row a type. Decoding here is the specification: bit-exact with the reference vectors, plain C,
 * one block at a time. The fast paths live in kern/ and are checked against this; they may compile the unpackers for
 * their own instruction set from quant_unpack.h, where the formats are described. The encoders (encode.h) are compiled
 * for each instruction set as well (kern_encoder) and give the same bytes everywhere.
 */
#ifndef LEAT_QUANT_H
#define LEAT_QUANT_H

#include "base/base.h"

/* Ids as stored in GGUF files. Ids that are missing were retired or never stored. */
typedef enum {
    QUANT_F32 = 0,
    QUANT_F16 = 1,
    QUANT_Q4_0 = 2,
    QUANT_Q4_1 = 3,
    QUANT_Q5_0 = 6,
    QUANT_Q5_1 = 7,
    QUANT_Q8_0 = 8,
    QUANT_Q2_K = 10,
    QUANT_Q3_K = 11,
    QUANT_Q4_K = 12,
    QUANT_Q5_K = 13,
    QUANT_Q6_K = 14,
    QUANT_IQ2_XXS = 16,
    QUANT_IQ2_XS = 17,
    QUANT_IQ3_XXS = 18,
    QUANT_IQ1_S = 19,
    QUANT_IQ4_NL = 20,
    QUANT_IQ3_S = 21,
    QUANT_IQ2_S = 22,
    QUANT_IQ4_XS = 23,
    QUANT_F64 = 28,
    QUANT_IQ1_M = 29,
    QUANT_BF16 = 30,
    QUANT_TQ1_0 = 34,
    QUANT_TQ2_0 = 35,
    QUANT_MXFP4 = 39,
    QUANT_NVFP4 = 40,
    QUANT_Q1_0 = 41,
    QUANT_Q2_0 = 42,
    QUANT_ID_MAX = 43, /* table size, not a type */
} quant_id;

/* The canonical integer form that every quantised type unpacks to, 256 weights at a time:
 *     weight[i] = scale[i / 16] * q[i] - min[i / 16]
 * Kernels take it from here (panels, slow decode), so a new type needs one function to run everywhere.
 * The integers and scales are exact: the reference decoder is this expression in float, without contraction. */
typedef struct quant_unpacked {
    int8_t q[256];
    float scale[16];
    float min[16]; /* zero for types without an offset */
} quant_unpacked;

/* Encodes n weights of one row, a multiple of block_len. importance: n factors, finite and not negative, of the squared
 * error of each weight (the mean square of what the column is multiplied with); NULL: all weights matter alike. Any
 * x is allowed and gives blocks that decode to finite values (but F16, BF16, F32 and F64, which keep what is not
 * finite): NaN counts as zero, what is too large as the largest that fits. */
typedef void quant_encode(const float *x, const float *importance, void *blocks, size_t n);

typedef struct quant_type {
    const char *name;      /* "Q4_K", as tools print it */
    quant_id id;
    uint32_t block_len;    /* weights a block: 1 for the float types */
    uint32_t block_bytes;
    bool has_min;          /* unpack may set min to non-zero */
    /* n is a multiple of block_len. Bit-exact with the reference. */
    void (*decode)(const void *blocks, float *out, size_t n);
    /* Unpacks n <= 256 weights (a multiple of block_len) starting at a block; NULL for F32 F16 BF16 F64.
     * Where n < 256 the rest of q is zero. */
    void (*unpack)(const void *blocks, quant_unpacked *out, size_t n);
    quant_encode *encode;  /* the reference; NULL where there is none */
    bool needs_importance; /* so few bits that nothing good comes out without; encode then still works with NULL */
} quant_type;

/* NULL when the id is not a storable type that leat knows. */
const quant_type *quant_find(uint32_t id);
const quant_type *quant_find_name(str name); /* case-insensitive */
/* Bytes of n weights; false when n is no multiple of the block or the size overflows. */
bool quant_bytes(const quant_type *t, uint64_t n, size_t *out);
/* The first infinity or NaN of x, or n: what an encoder should not be given. */
size_t quant_find_not_finite(const float *x, size_t n);

#endif
