/* score.h: how likely the tokens of a text were. */
#ifndef LEAT_TOOLS_SCORE_H
#define LEAT_TOOLS_SCORE_H

#include "base/base.h"

typedef struct score {
    double sum, sum_squares; /* of the negative log-likelihoods */
    uint64_t n;
} score;
/* log(sum(exp(logits))), with the largest logit taken out so that nothing overflows. */
double score_log_sum(const float *logits, int32_t n_vocab);
void score_add(score *s, double nll);
double score_perplexity(const score *s);
double score_uncertainty(const score *s); /* of the perplexity: from the deviation of the mean */

#endif
