/* encode_rows.h: the rows whose error test_encode_error.c measures, and how; shared with the program that took the
 * figures of llama.cpp (tests/data/codec/take_errors.c). */
#ifndef LEAT_ENCODE_ROWS_H
#define LEAT_ENCODE_ROWS_H

#include "base/base.h"

enum { ROWS_N = 8, ROWS_N_IN = 1024 };
typedef struct encode_rows {
    float x[ROWS_N * ROWS_N_IN];
    float importance[ROWS_N_IN];
} encode_rows;

/* Normal, or Student's t with three degrees of freedom; importance over two orders of magnitude. */
static inline void encode_rows_draw(encode_rows *d, bool heavy) {
    rng r;
    rng_seed(&r, heavy ? 3 : 2);
    for (size_t i = 0; i < ROWS_N_IN; i++) d->importance[i] = (float)math_exp((double)rng_normal(&r));
    for (size_t i = 0; i < ROWS_N * ROWS_N_IN; i++) {
        double a = (double)rng_normal(&r), b = (double)rng_normal(&r), c = (double)rng_normal(&r);
        d->x[i] = rng_normal(&r) * 0.03f;
        if (heavy) d->x[i] /= (float)math_sqrt((a * a + b * b + c * c) / 3);
    }
}

/* Root of the weighted mean square of x - y, relative to that of x. */
static inline double encode_rows_error(const encode_rows *d, const float *y, bool weighted) {
    double error = 0, sum = 0;
    for (size_t i = 0; i < ROWS_N * ROWS_N_IN; i++) {
        double x = (double)d->x[i], w = weighted ? (double)d->importance[i % ROWS_N_IN] : 1;
        error += w * (x - (double)y[i]) * (x - (double)y[i]);
        sum += w * x * x;
    }
    return math_sqrt(error / sum);
}

#endif
