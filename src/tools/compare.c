/* compare.c: Kullback-Leibler divergence and its companions, under the names that the field's common tool gives them.
 * Everything is computed in double from both models' logits as they are. Next: perplexity.c.
 */
#include "tools/compare.h"

err_code compare_open(compare *c, int32_t n_vocab, size_t n_max, err *e) {
    *c = (compare){.n_vocab = n_vocab, .n_max = n_max};
    size_t bytes;
    if (!mul_size(n_max, sizeof *c->kl, &bytes)) return ERR(e, ERR_LIMIT, "%zu positions are too many", n_max);
    err_code code = arena_open(&c->memory, MEM_TOOLS, bytes, e);
    if (code) return code;
    c->kl = arena_alloc(&c->memory, bytes, 0);
    return c->kl ? ERR_NONE : ERR(e, ERR_MEMORY, "no memory for the figures of %zu positions", n_max);
}

void compare_close(compare *c) { arena_close(&c->memory); }

static int32_t top(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

void compare_add(compare *c, const float *own, const float *base, int32_t next) {
    ASSERT(c->n < c->n_max);
    double own_sum = score_log_sum(own, c->n_vocab), base_sum = 0, difference = 0;
    int32_t base_top = top(base, c->n_vocab);
    /* sum(p (log p - log q)) with p = e / sum(e): one exponential a token. */
    for (int32_t i = 0; i < c->n_vocab; i++) {
        double e = math_exp((double)(base[i] - base[base_top]));
        base_sum += e;
        if (e > 0) difference += e * ((double)base[i] - (double)own[i]);
    }
    double base_log_sum = (double)base[base_top] + math_log(base_sum);
    double kl = MAX(difference / base_sum - base_log_sum + own_sum, 0.0); /* rounding may end below */
    double own_nll = own_sum - (double)own[next], base_nll = base_log_sum - (double)base[next];
    double dp = math_exp(-own_nll) - math_exp(-base_nll), dp2 = dp * dp;
    score_add(&c->own, own_nll);
    score_add(&c->base, base_nll);
    c->sum_product += own_nll * base_nll;
    c->kl[c->n++] = (float)kl;
    c->sum_kl += kl;
    c->sum_kl2 += kl * kl;
    c->sum_dp += dp;
    c->sum_dp2 += dp2;
    c->sum_dp4 += dp2 * dp2;
    c->n_same_top += top(own, c->n_vocab) == base_top;
}

double compare_mean(const compare *c) { return c->sum_kl / (double)c->n; }

/* ---- figures ------------------------------------------------------------------------------------------------- */

static bool float_before(const void *a, const void *b) { return *(const float *)a < *(const float *)b; }

/* Of sorted values, between the two nearest ones. */
static double quantile(const compare *c, double share) {
    double at = share * (double)(c->n - 1);
    size_t i = (size_t)at;
    double part = at - (double)i;
    return (1 - part) * (double)c->kl[i] + part * (double)c->kl[MIN(i + 1, c->n - 1)];
}

/* Standard error of a mean. */
static double error_of(double sum, double sum_squares, size_t count) {
    double n = (double)count, variance = sum_squares / n - sum / n * (sum / n);
    return count > 1 && variance > 0 ? math_sqrt(variance / (n - 1)) : 0;
}

void compare_report(tools *t, compare *c) {
    double n = (double)c->n;
    double ratio = (c->own.sum - c->base.sum) / n;
    double own_error = error_of(c->own.sum, c->own.sum_squares, c->n);
    double base_error = error_of(c->base.sum, c->base.sum_squares, c->n);
    double covariance = c->n > 1 ? (c->sum_product / n - c->own.sum / n * (c->base.sum / n)) / (n - 1) : 0;
    double ratio_variance = own_error * own_error + base_error * base_error - 2 * covariance;
    double rms = math_sqrt(c->sum_dp2 / n), same = (double)c->n_same_top / n;
    tools_out(t, "Mean PPL(Q)               : %10.6f ± %10.6f\n", score_perplexity(&c->own),
              score_uncertainty(&c->own));
    tools_out(t, "Mean PPL(base)            : %10.6f ± %10.6f\n", score_perplexity(&c->base),
              score_uncertainty(&c->base));
    tools_out(t, "Mean ln(PPL(Q)/PPL(base)) : %10.6f ± %10.6f\n", ratio, math_sqrt(MAX(ratio_variance, 0.0)));
    sort_items(c->kl, c->n, sizeof *c->kl, float_before);
    tools_out(t, "Mean    KLD: %10.6f ± %10.6f\n", compare_mean(c), error_of(c->sum_kl, c->sum_kl2, c->n));
    tools_out(t, "Maximum KLD: %10.6f\n", (double)c->kl[c->n - 1]);
    static const struct {
        double share;
        const char *name;
    } quantiles[] = {{0.999, "99.9%  "}, {0.99, "99.0%  "}, {0.95, "95.0%  "}, {0.9, "90.0%  "}, {0.5, "Median "}};
    for (size_t i = 0; i < COUNT_OF(quantiles); i++)
        tools_out(t, "%s KLD: %10.6f\n", quantiles[i].name, quantile(c, quantiles[i].share));
    tools_out(t, "Mean    Δp: %7.3f ± %6.3f %%\n", 100 * c->sum_dp / n, 100 * error_of(c->sum_dp, c->sum_dp2, c->n));
    tools_out(t, "RMS     Δp: %7.3f ± %6.3f %%\n", 100 * rms,
              rms > 0 ? 50 / rms * error_of(c->sum_dp2, c->sum_dp4, c->n) : 0.0);
    tools_out(t, "Same top p: %7.3f ± %6.3f %%\n", 100 * same,
              c->n > 1 ? 100 * math_sqrt(same * (1 - same) / (n - 1)) : 0.0);
}
