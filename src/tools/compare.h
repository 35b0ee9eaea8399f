/* compare.h: how far a model's predictions are from another one's, row by row: what quantising a file has cost. */
#ifndef LEAT_TOOLS_COMPARE_H
#define LEAT_TOOLS_COMPARE_H

#include "tools/score.h"
#include "tools/tools.h"

typedef struct compare {
    arena memory;
    int32_t n_vocab;
    score own, base;       /* perplexities                                                                      */
    double sum_product;    /* of both negative log-likelihoods                                                  */
    float *kl;             /* (n): Kullback-Leibler divergence of each row, base to own                         */
    double sum_kl, sum_kl2;
    double sum_dp, sum_dp2, sum_dp4; /* difference of the true token's probability                              */
    size_t n, n_max, n_same_top;
} compare;

err_code compare_open(compare *c, int32_t n_vocab, size_t n_max, err *e);
void compare_close(compare *c); /* accepts a zeroed one */
/* One position: both models' logits (n_vocab) and the token that truly follows. At most n_max times. */
void compare_add(compare *c, const float *own, const float *base, int32_t next);
double compare_mean(const compare *c); /* divergence so far */
/* Prints the figures. n > 0; sorts kl. */
void compare_report(tools *t, compare *c);

#endif
