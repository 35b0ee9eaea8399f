/* quant_int.h: the list of encoders, which encode.h describes, and the reference of each.
 */
#ifndef LEAT_QUANT_INT_H
#define LEAT_QUANT_INT_H

#include "quant/quant.h"

#define QUANT_ENCODERS(ROW) \
    ROW(f32, F32)           \
    ROW(f16, F16)           \
    ROW(bf16, BF16)         \
    ROW(f64, F64)           \
    ROW(q1_0, Q1_0)         \
    ROW(q2_0, Q2_0)         \
    ROW(q4_0, Q4_0)         \
    ROW(q4_1, Q4_1)         \
    ROW(q5_0, Q5_0)         \
    ROW(q5_1, Q5_1)         \
    ROW(q8_0, Q8_0)         \
    ROW(q2_k, Q2_K)         \
    ROW(q3_k, Q3_K)         \
    ROW(q4_k, Q4_K)         \
    ROW(q5_k, Q5_K)         \
    ROW(q6_k, Q6_K)         \
    ROW(iq1_s, IQ1_S)       \
    ROW(iq1_m, IQ1_M)       \
    ROW(iq2_xxs, IQ2_XXS)   \
    ROW(iq2_xs, IQ2_XS)     \
    ROW(iq2_s, IQ2_S)       \
    ROW(iq3_xxs, IQ3_XXS)   \
    ROW(iq3_s, IQ3_S)       \
    ROW(iq4_nl, IQ4_NL)     \
    ROW(iq4_xs, IQ4_XS)     \
    ROW(tq1_0, TQ1_0)       \
    ROW(tq2_0, TQ2_0)       \
    ROW(mxfp4, MXFP4)       \
    ROW(nvfp4, NVFP4)

/* As encode.c compiles them. */
#define QUANT_ENCODER(type, id) quant_encode quant_encode_##type;
QUANT_ENCODERS(QUANT_ENCODER)
#undef QUANT_ENCODER

#endif
