/* score.c: log-likelihoods and perplexity, summed in double. Next: perplexity.c. */
#include "tools/score.h"

double score_log_sum(const float *logits, int32_t n_vocab) {
    float max = logits[0];
    double sum = 0;
    for (int32_t i = 1; i < n_vocab; i++) max = MAX(max, logits[i]);
    for (int32_t i = 0; i < n_vocab; i++) sum += math_exp((double)(logits[i] - max));
    return (double)max + math_log(sum);
}

void score_add(score *s, double nll) {
    s->sum += nll;
    s->sum_squares += nll * nll;
    s->n++;
}

double score_perplexity(const score *s) { return math_exp(s->sum / (double)s->n); }

double score_uncertainty(const score *s) {
    double mean = s->sum / (double)s->n, variance = s->sum_squares / (double)s->n - mean * mean;
    return s->n > 1 && variance > 0 ? math_sqrt(variance / (double)(s->n - 1)) * score_perplexity(s) : 0;
}
