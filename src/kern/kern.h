/* kern.h: the compute kernels. Plain pointers and counts, no engine structs, no threads, no allocation.
 *
 * One table per ISA level, filled from the same templates (see kern_int.h). kern_scalar is the specification.
 * The bits of a result depend on the ISA level, the weight type, the role and the row's own inputs only:
 * never on how many rows or activations a call has.
 */
#ifndef LEAT_KERN_H
#define LEAT_KERN_H

#include "quant/quant.h"

typedef struct kern kern; /* one ISA level: immutable, static */

const kern *kern_best(void);            /* of those that run */
/* The level of that name ("scalar", "avx2", ...), or for NULL the best; what is wrong says which levels there are. */
err_code kern_choose(const kern **out, const char *name, err *e);
const kern *kern_find(str name);        /* NULL when unknown */
bool kern_runs(const kern *k);          /* this CPU and OS support it */
const kern *kern_withheld(void);        /* a level that this CPU has, but its system does not allow; NULL: none */
const char *kern_name(const kern *k);
const kern *kern_at(size_t i);          /* all levels, slowest first; NULL past the end */

/* ---- weights (n_rows, n_in) times activations (n_act, n_in) ----------------------------------------- */

/* Prompt tokens take the panel kernels, generated and drafted ones the decode kernels. */
typedef enum { KERN_PROMPT, KERN_DECODE } kern_role;

/* Activations are prepared once per row and format, then used with every matrix of that format. A level has those that
 * kern_act_of names. */
typedef enum {
    KERN_ACT_F32,   /* as they are: F32 F16 BF16 F64 weights                             */
    KERN_ACT_I16,   /* decode of quantised types: 16 bits, nearly exact                  */
    KERN_ACT_I16_LANES, /* the same in another order, for codebooks with signs           */
    KERN_ACT_I16_PAIRS, /* and in others: for pairs of bits,                             */
    KERN_ACT_I16_UNITS, /* as they come, for Q6_K,                                       */
    KERN_ACT_I16_HALVES, /* with units k and 8 + k side by side,                         */
    KERN_ACT_I16_BESIDE, /* the same for words of two small integers,                    */
    KERN_ACT_I16_FIVES, /* for bytes of five digits                                      */
    KERN_ACT_I8_16, /* prefill of types with blocks below 256, and Q2_K and Q6_K: 8 bits, 16 share a scale */
    KERN_ACT_I8_32, /* prefill of the other quantised types: 8 bits, 32 share a scale   */
    KERN_ACT_I8_HALVES, /* as KERN_ACT_I8_32, for decode, with units k and 8 + k side by side */
    KERN_ACT_FORMATS
} kern_act;
kern_act kern_act_of(const kern *k, quant_id type, kern_role role);
size_t kern_act_bytes(const kern *k, kern_act format, size_t n_in); /* a multiple of 64 */
void kern_act_prepare(const kern *k, kern_act format, const float *x, size_t n_in, void *act);
/* Where column `first` of a prepared row lies, a multiple of 256: parts of a row can be prepared one by one. */
size_t kern_act_offset(const kern *k, kern_act format, size_t first);

typedef struct kern_matmul {
    quant_id type;
    kern_role role;
    const void *weights;       /* (n_rows, n_in), the first row of this call */
    size_t row_bytes;
    size_t n_rows, n_in;
    const void *const *acts;   /* n_act prepared rows, each 64-byte aligned */
    float *const *outs;        /* n_act output rows; element out_first + r is written for row r */
    size_t out_first;
    size_t n_act;
    float scale;               /* of the whole tensor: 1 but for NVFP4 */
    void *scratch;             /* kern_scratch_bytes, 64-byte aligned, of this worker */
    const void *then;          /* rows that this worker is to multiply next, fetched by KERN_PROMPT; or NULL */
} kern_matmul;
void kern_run_matmul(const kern *k, const kern_matmul *m);
size_t kern_scratch_bytes(const kern *k, size_t n_in_max);
size_t kern_row_step(const kern *k); /* split rows between workers in multiples of this */

/* ---- attention: one tile of KV positions ------------------------------------------------------------ */

#define KERN_ATTN_TILE 64 /* positions a tile; a KV page is one */
#define KERN_ATTN_DIM_MAX 4096

/* The keys (or values) of a tile's positions, of one KV head. Keys lie dimension by dimension, 16 positions side by side,
 * so that scores need no sum across a vector; values row by row:
 *     F16, BF16 keys    (4, dim, 16)             values  (64, dim)
 *     Q8_0      keys    (4, dim, 16) int8        values  (64, dim),      then scales in F16, keys (4, dim / 32, 16),
 *     Q4_0      keys    (4, dim / 2, 16) bytes   values  (64, dim / 2)   values (64, dim / 32)
 * Bytes of Q4_0 hold two dimensions as in its blocks. Positions never share a byte: they may be written at the same time. */
size_t kern_attn_tile_bytes(quant_id type, size_t dim);
/* Whether heads of this many dimensions can be held in the type; else wants what they must be a multiple of, 0: never. */
bool kern_attn_holds(quant_id type, size_t dim, size_t *wanted);
/* Rounds the rows of n_heads heads, one after the other at x, to the type; the head's tiles follow each other, too. */
void kern_attn_store(const kern *k, quant_id type, bool keys, const float *x, size_t n_heads, size_t dim, void *tiles,
                     size_t pos);

typedef struct kern_attn {
    size_t n_q;                 /* query rows that share this KV head (tokens x heads of its group) */
    size_t dim_k, dim_v;
    quant_id type_k, type_v;
    const float *q;             /* (n_q, dim_k), already scaled */
    const void *k, *v;          /* a tile each */
    size_t n_pos;               /* at most KERN_ATTN_TILE */
    const uint16_t *from, *to;  /* (n_q): each query sees positions [from, to) of this tile */
    const void *k_next, *v_next; /* the next tile, to be fetched meanwhile; NULL: none */
    float *base;                /* (n_q): weights are powers of two relative to 2^base; starts with -inf */
    float *acc;                 /* (n_q, kern_attn_acc_row(dim_v)): starts with 0; the last 16 add up to the sum of the
                                 * weights, by which the others are to be divided at the end */
    void *scratch;              /* kern_attn_scratch_bytes, 64-byte aligned */
} kern_attn;
size_t kern_attn_scratch_bytes(size_t n_q, size_t dim_k, size_t dim_v);
static inline size_t kern_attn_acc_row(size_t dim_v) { return align_up(dim_v, 16) + 16; }
/* 2^n of a whole number n <= 0, 0 where it would be subnormal: what acc is scaled with when its base grows by -n. */
static inline float kern_attn_factor(float n) { return n >= -126 ? f32_of_bits((uint32_t)(127 + (int)n) << 23) : 0; }
/* Online softmax (Milakov, Gimelshein 2018; FlashAttention, Dao 2022). A query whose range is empty stays as it is;
 * the result for a query does not depend on the other queries of the call, but for the sign of a zero in acc: add 0. */
void kern_run_attn(const kern *k, const kern_attn *a);

/* ---- rows of floats ---------------------------------------------------------------------------------- */

void kern_rms_norm(const kern *k, const float *x, const float *weight, size_t n, float eps, float *out); /* weight may be NULL; out may be x */
void kern_add(const kern *k, float *x, const float *y, size_t n);             /* x += y            */
void kern_scale(const kern *k, float *x, float s, size_t n);                  /* x *= s            */
void kern_axpy(const kern *k, float *x, float s, const float *y, size_t n);   /* x += s * y        */
void kern_swiglu(const kern *k, const float *gate, const float *up, size_t n, float *out); /* silu(gate) * up; out may be gate or up */
void kern_softmax(const kern *k, float *x, size_t n);
/* Rotary embedding of one head, RoFormer (Su 2021): cos_sin holds n_rot/2 pairs (cos, sin) for this position, with any
 * magnitude scale already in them. interleaved: pairs (2i, 2i+1) ("norm"); else (i, i + n_rot/2) ("neox"). */
void kern_rope(const kern *k, float *x, const float *cos_sin, size_t n_rot, bool interleaved);
void kern_f32_of_f16(const kern *k, const uint16_t *x, float *out, size_t n);
void kern_f32_of_bf16(const kern *k, const uint16_t *x, float *out, size_t n);
bool kern_all_finite(const kern *k, const float *x, size_t n);

/* ---- encoding --------------------------------------------------------------------------------------------- */

/* The encoder of a type (see quant.h) for this instruction set: the bytes are those of the reference, at every level.
 * NULL for what has none. */
quant_encode *kern_encoder(const kern *k, quant_id type);

/* ---- for the bench: what this machine can do -------------------------------------------------------- */

/* Sums bytes[0..n) in the widest loads: a read-bandwidth probe. */
uint64_t kern_read(const kern *k, const void *bytes, size_t n);
/* Runs `rounds` of independent int8 (or float, with `floats`) dot steps in registers; returns multiply-adds done. */
uint64_t kern_dot_peak(const kern *k, bool floats, uint64_t rounds);

#endif
