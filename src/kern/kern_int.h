/* kern_int.h: what the levels and the dispatcher share: the table of a level and the layout of prepared activations.
 *
 * A level is one file, kern_<level>.c: it includes its vector vocabulary (vec_<level>.h), then kern_level.h, which
 * is the templates and the table. Nothing here is known to the engine.
 *
 * Quantised weights are met 256 at a time: a chunk, one block of the K types or 8 of the 32-weight types. A chunk has 16
 * units of 16 weights. Inside the kernels its bytes are four vectors of 64: vector k holds units k, 4+k, 8+k, 12+k. In
 * this order a nibble split needs no shuffle, for the K types and the 32-weight types alike, and 16 bytes never have
 * more than one scale.
 */
#ifndef LEAT_KERN_INT_H
#define LEAT_KERN_INT_H

#include "kern/kern.h"

#define KERN_CHUNK 256
#define KERN_UNIT 16
#define KERN_UNITS 16
#define KERN_CHUNK_BYTES_MAX 272 /* Q8_0; the float types have no chunks */

/* 256 activations in 16 bits, for decode: x = scale * q with |q| <= 32639, so that q = 256 * high + low with two
 * signed bytes. The order and the split of the bytes are the level's own, and those of the formats after KERN_ACT_I16 are others.
 * KERN_ACT_I16_BESIDE has whole words up to 32767, and `blocks` alone of the sums (prepare_i16_beside). */
typedef struct kern_act16 {
    _Alignas(64) uint8_t x[2 * KERN_CHUNK];
    float sums[KERN_UNITS]; /* of q, a unit each: exact */
    float blocks[2][KERN_UNITS / 4]; /* of two units, the even pairs and the odd ones */
    float scale;
    float unused[7];
} kern_act16;
#define KERN_ACT16_MAX 32639

/* The same in the order of KERN_ACT_I16_FIVES: five vectors for 64 bytes of base-3 digits. */
typedef struct kern_act16_fives {
    _Alignas(64) uint8_t x[5 * 128];
    float sums[KERN_UNITS];
    float scale;
    float unused[15];
} kern_act16_fives;

/* 32 activations in 8 bits, for prefill: one cache line. x = scale * q for each unit of 16, -128 <= q <= 127, natural
 * order; a scale may be negative. In KERN_ACT_I8_32 both units have the same. */
#define KERN_ACT8_LEN 32
#define KERN_ACT8_MAX 128
typedef struct kern_act8 {
    _Alignas(64) int8_t q[KERN_ACT8_LEN];
    struct {
        float scale;
        int32_t minus; /* the sum of q, negated                                  */
        float sum;     /* the sum of scale * q; in KERN_ACT_I8_32 of both units  */
        union {
            int32_t minus_both; /* in KERN_ACT_I8_32: minus of both units        */
            float sum_both;     /* in KERN_ACT_I8_16: the sum of both units      */
        };
    } unit[2];
} kern_act8;

/* 256 in KERN_ACT_I8_HALVES: vector k of eight has units k and 8 + k side by side; 32 share a scale. */
typedef struct kern_act8_halves {
    _Alignas(64) int8_t q[KERN_CHUNK];
    float scale[KERN_UNITS / 4][8]; /* of vectors 2 k and 2 k + 1: four times a lane */
    float blocks[KERN_UNITS / 2];   /* the same in turn                              */
    float sums[KERN_UNITS / 2];     /* of scale * q, a block each                    */
    int16_t units[KERN_UNITS];      /* sums of q, a unit each                        */
    float unused[8];
} kern_act8_halves;

_Static_assert(sizeof(kern_act16) == 640 && sizeof(kern_act8) == 64 && sizeof(kern_act8_halves) == 512, "whole cache lines");

/* ---- panels: see panel.c --------------------------------------------------------------------------------- */

#define KERN_PANEL_SUBS 2                    /* 16 rows each                                      */
#define KERN_PANEL_ROWS (16 * KERN_PANEL_SUBS)
#define KERN_PANEL_DEPTH 512                 /* columns of a panel of bytes                       */
#define KERN_PANEL_FLOAT_DEPTH 256           /* columns of a panel of floats                      */
#define KERN_PANEL_ACTS 512                  /* activations a pass: their sums must stay in L2    */
#define KERN_PANEL_FEW 32                    /* activations, whose tiles take less time than filling */
#define KERN_PANEL_GROUP 4                   /* blocks of 32 columns that 128 weights with one scale are */
#define KERN_PANEL_EXCESS 16                 /* sums that a multiplier may write beyond           */

/* Per-worker scratch. Step s is columns 4s..4s+3: of each row 4 bytes, 16 rows to 64 bytes. Scales and offsets: a unit each. */
typedef struct kern_panel {
    union {
        struct {
            _Alignas(64) uint8_t q[KERN_PANEL_DEPTH / 4][KERN_PANEL_SUBS][64];
            float scale[KERN_PANEL_DEPTH / KERN_UNIT][KERN_PANEL_SUBS][16];
            float min[KERN_PANEL_DEPTH / KERN_UNIT][KERN_PANEL_SUBS][16];
        };
        float f[KERN_PANEL_FLOAT_DEPTH][KERN_PANEL_SUBS][16];
    };
    int zero_shift; /* log2 of what is taken off the integers */
    struct { /* weights that are used after this panel: rows of so many bytes, of the first of which `done` are fetched */
        const uint8_t *at;
        size_t row_bytes, n_rows, bytes, done;
        size_t share; /* bytes to fetch while this panel is multiplied */
        bool early;   /* fetched while panels are filled instead */
    } next;
    struct { /* where the sums of n activations go (0: not yet), and of how many they went there */
        float *const *to;
        size_t at, n_rows, n, done;
    } out;
    float sums[KERN_PANEL_ACTS + KERN_PANEL_EXCESS][KERN_PANEL_SUBS][16];
} kern_panel;

/* 256 columns of 16 rows as a level's loaders give them, before they are turned into a panel: the bytes of a row in the order
 * of the vectors of a chunk. Of the columns n_in exist, the others become zero; rows from n_rows on are left
 * alone. */
typedef struct kern_rows {
    _Alignas(64) uint8_t q[16][KERN_CHUNK];
    _Alignas(64) float scale[16][KERN_UNITS], min[16][KERN_UNITS];
} kern_rows;
typedef void kern_load_rows(kern_rows *to, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, const quant_type *t);
/* 256 columns of 16 rows straight to the panel, from column `at` and row 16 * sub on. */
typedef void kern_fill(kern_panel *p, size_t at, size_t sub, const uint8_t *b, size_t row_bytes);
typedef void kern_load_floats(float to[16][16], const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in);
/* sums[i] += panel * activation i, for n of them: of n_blocks blocks of 32 columns (or n_in columns of floats). */
typedef void kern_multiply(kern_panel *p, const kern_act8 *const *acts, size_t n, size_t n_blocks,
                           float (*sums)[KERN_PANEL_SUBS][16]);
/* A tile of a panel, from rows 16 * sub on, times a few activations: out += their sums over blocks (of floats: columns) [from, to). */
typedef void kern_tiler(kern_panel *p, size_t sub, size_t from, size_t to, const void *const *x,
                        float (*out)[KERN_PANEL_SUBS][16]);
typedef void kern_multiply_floats(kern_panel *p, const float *const *acts, size_t n, size_t n_in,
                                  float (*sums)[KERN_PANEL_SUBS][16]);
void kern_panel_run(const kern *k, const kern_matmul *m);
/* The loops over n activations, `tokens` at a time by many, and a panel's rows, `subs` times 16 at a time from the first on: the
 * panel stays in L1, activations come from L2 once. Of the rest up to `few` are cheaper one by one; more go together with copies
 * of the last, whose sums are in excess. */
typedef struct kern_tilers {
    kern_tiler *many, *one;
    size_t tokens, subs, few;
} kern_tilers;
void kern_panel_tiles(kern_panel *p, const void *const *acts, size_t n, size_t to, float (*sums)[KERN_PANEL_SUBS][16], kern_tilers t);

/* ---- levels ------------------------------------------------------------------------------------------------ */

/* What a CPU must have; cpu_<architecture>.c finds out. */
#define KERN_CPU_AVX2 1u   /* AVX2 FMA F16C BMI2, and an OS that keeps the registers */
#define KERN_CPU_AVX512 2u /* besides F BW VL DQ VNNI */
#define KERN_CPU_AVXVNNI 4u
#define KERN_CPU_TILES 8u /* AMX: products of matrices of bytes and of halves of floats (BF16) */
#define KERN_CPU_NEON_DOT 1u  /* dot products of bytes */
#define KERN_CPU_NEON_I8MM 2u /* products of matrices of bytes */

/* A level is three tables, so that levels can share some of them: panels of bytes, panels of floats, and all the rest. */
typedef struct kern_bytes {
    kern_multiply *multiply[QUANT_ID_MAX]; /* NULL for float types */
    bool unfolded[QUANT_ID_MAX]; /* types that it wants as they are loaded, though they could be folded (KERN_FOLDED) */
    uint64_t (*peak)(uint64_t rounds);
} kern_bytes;
typedef struct kern_floats {
    kern_multiply_floats *multiply;
    uint64_t (*peak)(uint64_t rounds);
} kern_floats;
typedef struct kern_ops {
    void (*prepare[KERN_ACT_FORMATS])(const float *x, size_t n, void *act);
    kern_act prompt_act[QUANT_ID_MAX];
    kern_act decode_act[QUANT_ID_MAX];
    bool has_min[QUANT_ID_MAX];      /* whether the multiplier takes offsets */
    uint8_t zero_shift[QUANT_ID_MAX]; /* for those that take none */
    void (*decode[QUANT_ID_MAX])(const kern_matmul *m);
    kern_load_rows *load_rows[QUANT_ID_MAX]; /* NULL for float types */
    kern_load_rows *load_folded[QUANT_ID_MAX]; /* in place of that one for panels, see KERN_FOLDED; NULL for most */
    kern_load_floats *load_floats[QUANT_ID_MAX];
    kern_fill *fill[QUANT_ID_MAX]; /* in place of loading rows and turning them, where all 16 have all 256 columns; NULL for most */
    /* 16 rows of 16 words of 4 bytes, the rows stride apart, turned: column w goes to the 64 bytes at
     * to + w / 4 * far + w % 4 * near. */
    void (*turn)(const void *from, size_t stride, void *to, size_t far, size_t near);
    void (*attn)(const kern_attn *a);
    void (*rms_norm)(const float *x, const float *weight, size_t n, float eps, float *out);
    void (*add)(float *x, const float *y, size_t n);
    void (*scale)(float *x, float s, size_t n);
    void (*axpy)(float *x, float s, const float *y, size_t n);
    void (*swiglu)(const float *gate, const float *up, size_t n, float *out);
    void (*softmax)(float *x, size_t n);
    void (*rope)(float *x, const float *cos_sin, size_t n_rot, bool interleaved);
    void (*f32_of_f16)(const uint16_t *x, float *out, size_t n);
    void (*f32_of_bf16)(const uint16_t *x, float *out, size_t n);
    bool (*all_finite)(const float *x, size_t n);
    quant_encode *const *encoders; /* by type; NULL: those of quant/ */
    quant_encode *encode_q8_0;     /* in place of that one; may be NULL */
    uint64_t (*read)(const void *bytes, size_t n);
} kern_ops;

struct kern {
    const char *name;
    uint32_t needs;
    size_t more_bytes; /* of scratch, after the panel */
    const kern_ops *ops;
    const kern_bytes *bytes;
    const kern_floats *floats;
};

typedef void kern_unpack(const void *blocks, quant_unpacked *out, size_t n);

/* encode.h compiled for AVX2 (encode_avx2.c); AVX-512 uses it too, but for Q8_0. */
extern quant_encode *const kern_encoders_avx2[QUANT_ID_MAX];
quant_encode kern_encode_q8_0_avx512;

/* cpu_<architecture>.c. Withheld (may be NULL): what the CPU has and the system does not let programs use. */
uint32_t kern_cpu_features(uint32_t *withheld);

extern const kern kern_scalar, kern_avx2, kern_avxvnni, kern_avx512, kern_amx, kern_neon, kern_i8mm;
extern const kern_ops kern_scalar_ops, kern_avx2_ops, kern_avx512_ops, kern_neon_ops;
extern const kern_bytes kern_scalar_bytes, kern_avx2_bytes, kern_avx512_bytes, kern_neon_bytes;
extern const kern_floats kern_scalar_floats, kern_avx2_floats, kern_avx512_floats, kern_neon_floats;
/* kern_<level><what> */
#define KERN_PASTE(level, what) kern_##level##what
#define KERN_OF(level, what) KERN_PASTE(level, what)
#define KERN_QUOTE(level) #level
#define KERN_NAME(level) KERN_QUOTE(level)

/* The quantised types. Columns: name in code, id, weights and bytes a block; how kern_formats.h loads them: weights a scale,
 * and what is taken off the unsigned integers, 0 or a power of two; how prefill multiplies them: weights a scale, activations
 * a scale, whether there are offsets, and a bound of the integers (31, 63 or 255). A level without loaders (scalar) has
 * integers plus 128 up to 255. Then the way of decode and of the loader: FUSED types are multiplied as they are loaded, what
 * costs code for each; STORED ones by way of memory. Where a level has no better way, SIGNED
 * ones go by way of memory, too, with codebooks that are looked up in a step before, DIGITS ones like STORED, PAIRED, FOURS
 * and SIXES ones like FUSED ones. Last, for levels that add products in 16 bits (AVX2), in
 * place of two columns: weights a scale in prefill, and a bound that is nearer (15, 31, 63, 127 or 255).
 *
 * Activations a scale: the peers use 32 for blocks below 256 weights, 256 for the others; half of the first and an eighth of
 * the second give about half of their error or less (docs/LAB.md). Weights a scale in prefill are 128 where the integers can
 * hold the finer scales of 256. */
#define KERN_FORMATS(ROW)                                                   \
    ROW(q1_0, Q1_0, 128, 18, 32, 1, 32, 16, 0, 31, STORED, 32, 31)          \
    ROW(q2_0, Q2_0, 64, 18, 32, 1, 32, 16, 0, 31, STORED, 32, 31)           \
    ROW(q4_0, Q4_0, 32, 18, 32, 8, 32, 16, 0, 31, FOURS, 32, 31)            \
    ROW(q4_1, Q4_1, 32, 20, 32, 0, 32, 16, 1, 31, FUSED, 32, 31)            \
    ROW(q5_0, Q5_0, 32, 22, 32, 16, 32, 16, 0, 31, FUSED, 32, 31)           \
    ROW(q5_1, Q5_1, 32, 24, 32, 0, 32, 16, 1, 31, STORED, 32, 31)           \
    ROW(q8_0, Q8_0, 32, 34, 32, 128, 32, 16, 0, 255, FUSED, 32, 255)        \
    ROW(q2_k, Q2_K, 256, 84, 16, 0, 128, 16, 1, 63, PAIRED, 128, 63)        \
    ROW(q3_k, Q3_K, 256, 110, 16, 4, 128, 32, 0, 255, PAIRED, 16, 31)       \
    ROW(q4_k, Q4_K, 256, 144, 32, 0, 32, 32, 1, 31, FOURS, 32, 15)          \
    ROW(q5_k, Q5_K, 256, 176, 32, 0, 32, 32, 1, 31, FOURS, 32, 31)          \
    ROW(q6_k, Q6_K, 256, 210, 16, 32, 16, 16, 0, 63, SIXES, 16, 63)         \
    ROW(iq1_s, IQ1_S, 256, 50, 32, 0, 32, 32, 1, 31, SIGNED, 32, 31)        \
    ROW(iq1_m, IQ1_M, 256, 56, 16, 16, 16, 32, 0, 255, SIGNED, 16, 31)      \
    ROW(iq2_xxs, IQ2_XXS, 256, 66, 32, 64, 32, 32, 0, 255, SIGNED, 32, 127) \
    ROW(iq2_xs, IQ2_XS, 256, 74, 16, 64, 16, 32, 0, 255, SIGNED, 16, 127)   \
    ROW(iq2_s, IQ2_S, 256, 82, 16, 64, 16, 32, 0, 255, SIGNED, 16, 127)     \
    ROW(iq3_xxs, IQ3_XXS, 256, 98, 32, 64, 32, 32, 0, 255, SIGNED, 32, 127) \
    ROW(iq3_s, IQ3_S, 256, 110, 32, 16, 32, 32, 0, 255, SIGNED, 32, 31)     \
    ROW(iq4_nl, IQ4_NL, 32, 18, 32, 128, 32, 16, 0, 255, FOURS, 32, 255)    \
    ROW(iq4_xs, IQ4_XS, 256, 136, 32, 128, 32, 32, 0, 255, FOURS, 32, 255)  \
    ROW(tq1_0, TQ1_0, 256, 54, 32, 1, 128, 32, 0, 255, DIGITS, 128, 31)     \
    ROW(tq2_0, TQ2_0, 256, 66, 32, 1, 128, 32, 0, 255, PAIRED, 128, 31)     \
    ROW(mxfp4, MXFP4, 32, 17, 32, 16, 32, 16, 0, 31, FOURS, 32, 31)         \
    ROW(nvfp4, NVFP4, 64, 36, 16, 16, 16, 16, 0, 63, STORED, 16, 63)
/* The kinds that four of the columns make: weights a scale in prefill, activations a scale, offsets, bound. */
#define KERN_KINDS(KIND) \
    KIND(32, 16, 0, 31) KIND(32, 16, 0, 255) KIND(32, 16, 1, 31) KIND(16, 16, 0, 63) KIND(32, 32, 1, 31) \
    KIND(32, 32, 0, 255) KIND(16, 32, 0, 255) KIND(128, 16, 1, 63) KIND(128, 32, 0, 255)
/* Those with the last two columns. */
#define KERN_NARROW_KINDS(KIND) \
    KIND(32, 16, 0, 31) KIND(32, 16, 0, 255) KIND(32, 16, 1, 31) KIND(16, 16, 0, 63) \
    KIND(32, 32, 1, 15) KIND(32, 32, 1, 31) KIND(32, 32, 0, 31) KIND(32, 32, 0, 127) KIND(32, 32, 0, 255) KIND(16, 32, 0, 31) \
    KIND(16, 32, 0, 127) KIND(128, 16, 1, 63) KIND(128, 32, 0, 31)
/* The same without bounds. */
#define KERN_WIDE_KINDS(KIND) \
    KIND(32, 16, 0, 255) KIND(32, 16, 1, 255) KIND(16, 16, 0, 255) KIND(32, 32, 1, 255) KIND(32, 32, 0, 255) \
    KIND(16, 32, 0, 255) KIND(16, 16, 1, 255)
/* Types whose integers hold their units' scales, too, when a panel is filled: group 128, and where there are no offsets 128 is
 * taken off. */
#define KERN_FOLDED(ROW)          \
    ROW(q2_k, Q2_K, 84, true)     \
    ROW(q3_k, Q3_K, 110, false)
#define KERN_FLOAT_FORMATS(ROW) \
    ROW(f32, F32, 4)            \
    ROW(f16, F16, 2)            \
    ROW(bf16, BF16, 2)          \
    ROW(f64, F64, 8)

#endif
