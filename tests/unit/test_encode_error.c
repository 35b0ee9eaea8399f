/* The error of every encoder is at most that of llama.cpp's on the same rows, without and with importance; and what was
 * decoded is encoded again without much new error. */
#include "check.h"
#include "kern/kern.h"
#include "encode_rows.h"

#include <string.h>

/* What llama.cpp v0.5.0 has (taken by tests/data/codec/take_errors.c): normal rows, normal rows with importance,
 * heavy-tailed rows, these with importance. 0: it takes the type with importance only. */
static const struct limits {
    const char *name;
    double error[4];
} limits[] = {
    {"Q4_0", {0.08518, 0.07572, 0.13048, 0.12144}},
    {"Q4_1", {0.07824, 0.06291, 0.09872, 0.08290}},
    {"Q5_0", {0.04234, 0.03841, 0.06613, 0.06270}},
    {"Q5_1", {0.03764, 0.03021, 0.04765, 0.03928}},
    {"Q8_0", {0.00534, 0.00529, 0.00837, 0.00828}},
    {"Q2_K", {0.29489, 0.23220, 0.35225, 0.28045}},
    {"Q3_K", {0.14976, 0.13316, 0.19591, 0.17830}},
    {"Q4_K", {0.07040, 0.06370, 0.09196, 0.08604}},
    {"Q5_K", {0.03573, 0.03233, 0.04631, 0.04424}},
    {"Q6_K", {0.01766, 0.01603, 0.02549, 0.02396}},
    {"IQ2_XXS", {0, 0.29643, 0, 0.42469}},
    {"IQ2_XS", {0, 0.26066, 0, 0.34590}},
    {"IQ3_XXS", {0.21300, 0.15388, 0.27275, 0.19757}},
    {"IQ1_S", {0, 0.43922, 0, 0.55389}},
    {"IQ4_NL", {0.07649, 0.07013, 0.10345, 0.09611}},
    {"IQ3_S", {0.16709, 0.11931, 0.21554, 0.16857}},
    {"IQ2_S", {0, 0.22723, 0, 0.32210}},
    {"IQ4_XS", {0.07716, 0.07080, 0.10473, 0.09770}},
    {"IQ1_M", {0, 0.38674, 0, 0.44035}},
    {"TQ1_0", {0.80647, 0.80022, 0.81884, 0.83994}},
    {"TQ2_0", {0.80647, 0.80022, 0.81884, 0.83994}},
    {"MXFP4", {0.11424, 0.11547, 0.14774, 0.14342}},
    {"NVFP4", {0.09861, 0.09932, 0.09212, 0.09217}},
    {"Q1_0", {0.59992, 0.60232, 0.75627, 0.73771}},
    {"Q2_0", {0.71323, 0.70899, 0.69105, 0.71853}},
};

static double error_of(const quant_type *t, const encode_rows *d, bool weighted, float *y) {
    static uint8_t blocks[sizeof d->x];
    quant_encode *encode = kern_encoder(kern_best(), t->id);
    for (size_t row = 0; row < ROWS_N; row++)
        encode(d->x + row * ROWS_N_IN, weighted ? d->importance : NULL,
               blocks + row * ROWS_N_IN / t->block_len * t->block_bytes, ROWS_N_IN);
    t->decode(blocks, y, ROWS_N * ROWS_N_IN);
    return encode_rows_error(d, y, weighted);
}

/* The figures were printed with five digits; Q1_0 has nothing to choose but by importance, and ties without. */
TEST(encode_error_is_at_most_the_peers) {
    static encode_rows rows[2];
    static float y[ROWS_N * ROWS_N_IN];
    for (size_t k = 0; k < 2; k++) encode_rows_draw(&rows[k], k);
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        for (size_t k = 0; k < 4; k++) {
            const quant_type *t = quant_find_name(str_of(limits[i].name));
            double error = error_of(t, &rows[k / 2], k % 2, y), most = limits[i].error[k];
            CHECK_MSG(most == 0 || error <= most + 0.000006, "%s, %s rows%s: error %.5f, wanted at most %.5f", t->name,
                      k / 2 ? "heavy-tailed" : "normal", k % 2 ? ", importance" : "", error, most);
        }
}

/* Rows that a type can hold exactly come back nearly as they are: the second error is small beside the first. */
TEST(encode_again_adds_little) {
    static encode_rows rows, again;
    static float y[ROWS_N * ROWS_N_IN];
    encode_rows_draw(&rows, false);
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        const quant_type *t = quant_find_name(str_of(limits[i].name));
        double first = error_of(t, &rows, false, y);
        memcpy(again.x, y, sizeof y);
        double second = error_of(t, &again, false, y);
        CHECK_MSG(second <= 0.5 * first, "%s: error %.5f at first, %.5f when encoded again", t->name, first, second);
    }
}

/* Ternary weights are exact in the ternary types, as BitNet has them. */
TEST(encode_keeps_ternary_weights) {
    static float x[2560], y[2560];
    static uint8_t blocks[2560];
    rng r;
    rng_seed(&r, 5);
    for (size_t i = 0; i < COUNT_OF(x); i++) x[i] = (float)(rng_u64(&r) % 3) * 0.15625f - 0.15625f;
    for (quant_id id = QUANT_TQ1_0; id <= QUANT_TQ2_0; id++) {
        quant_find(id)->encode(x, NULL, blocks, COUNT_OF(x));
        quant_find(id)->decode(blocks, y, COUNT_OF(x));
        for (size_t i = 0; i < COUNT_OF(x); i++) CHECK_NEAR(y[i], x[i], 0);
    }
}
