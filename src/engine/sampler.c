/* sampler.c: from logits to a token. The field's chain in the field's order:
 *     penalties, DRY, top-n-sigma, top-k, typical, top-p, min-p, XTC, temperature, draw.
 * Every stage works on a list of candidates sorted by logit, ties by id, so that a seed gives the same text everywhere.
 * Sources: frequency/presence penalties (OpenAI API), repetition penalty (Keskar 2019), DRY (p-e-w 2024), top-n-sigma
 * (Tang 2024), typical (Meister 2022), nucleus (Holtzman 2019), min-p (Nguyen 2024), XTC (p-e-w 2024).
 */
#include "engine/engine_int.h"

typedef struct candidate {
    int32_t id;
    float logit;
    float p; /* filled by softmax */
} candidate;

struct leat_sampler {
    leat_sampler_options o;
    rng rng;
    size_t n_vocab, block_bytes;
    candidate *all;     /* (n_vocab) */
    size_t n;           /* candidates left */
    int32_t *history;   /* ring of the last history_max accepted tokens */
    size_t history_max, history_n;
    uint16_t *counts;   /* (n_vocab): how often a token stands in the penalty window */
    uint8_t *breaks;    /* (n_vocab): DRY does not match across these */
    int32_t *recent;    /* (history_max): DRY's window, oldest first */
    uint32_t *matches;  /* (history_max): DRY's match lengths */
    uint32_t *dry_max;  /* (n_vocab): longest repeat a token would extend */
};

/* Tokens looked back on, at most: the penalty window and DRY's. */
#define HISTORY_MAX ((size_t)1 << 16)

void leat_sampler_defaults(leat_sampler_options *o) {
    *o = (leat_sampler_options){
        .temperature = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .typical_p = 1,
        .top_n_sigma = -1,
        .xtc_threshold = 0.1f,
        .penalty_last_n = 64,
        .repeat_penalty = 1,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_penalty_last_n = -1,
    };
}

static err_code check_options(const leat_sampler_options *o, err *e) {
    const struct {
        const char *name;
        float value, min, max;
    } ranges[] = {
        {"temperature", o->temperature, 0, 1e6f},
        {"top_p", o->top_p, 0, 1},
        {"min_p", o->min_p, 0, 1},
        {"typical_p", o->typical_p, 0, 1},
        {"top_n_sigma", o->top_n_sigma, -1e6f, 1e6f},
        {"xtc_probability", o->xtc_probability, 0, 1},
        {"xtc_threshold", o->xtc_threshold, 0, 1},
        {"repeat_penalty", o->repeat_penalty, 1e-3f, 1e3f},
        {"presence_penalty", o->presence_penalty, -1e3f, 1e3f},
        {"frequency_penalty", o->frequency_penalty, -1e3f, 1e3f},
        {"dry_multiplier", o->dry_multiplier, 0, 1e3f},
        {"dry_base", o->dry_base, 1, 1e3f},
    };
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        if (!(ranges[i].value >= ranges[i].min && ranges[i].value <= ranges[i].max))
            return ERR(e, ERR_ARGUMENT, "%s is %g, wanted %g to %g", ranges[i].name, (double)ranges[i].value,
                       (double)ranges[i].min, (double)ranges[i].max);
    if (o->top_k < 0 || o->penalty_last_n < 0 || (size_t)o->penalty_last_n > HISTORY_MAX || o->dry_allowed_length < 0)
        return ERR(e, ERR_ARGUMENT,
                   "top_k is %d, penalty_last_n %d, dry_allowed_length %d; wanted 0 or more (a window of %zu at most)",
                   o->top_k, o->penalty_last_n, o->dry_allowed_length, HISTORY_MAX);
    return ERR_NONE;
}

/* A token that holds one of these ends a phrase for DRY. */
static bool breaks_phrase(const leat_model *m, int32_t id) {
    char piece[256];
    size_t n = MIN(leat_piece(m, id, true, piece, sizeof piece), sizeof piece);
    for (size_t i = 0; i < n; i++)
        if (piece[i] == '\n' || piece[i] == ':' || piece[i] == '"' || piece[i] == '*') return true;
    return false;
}

size_t engine_sampler_bytes(const leat_model *m) {
    size_t v = (size_t)leat_model_n_vocab(m);
    return align_up(sizeof(leat_sampler), 64) + v * (sizeof(candidate) + 4 + 2 + 1) + HISTORY_MAX * 12 + 64;
}

leat_code leat_sampler_open(leat_sampler **out, const leat_model *m, const leat_sampler_options *options,
                            leat_error *error) {
    leat_sampler_options o;
    err *e = err_of(error);
    *out = NULL;
    leat_sampler_defaults(&o);
    if (options) o = *options;
    err_code code = check_options(&o, e);
    if (code) return (leat_code)code;
    size_t v = (size_t)leat_model_n_vocab(m), h = HISTORY_MAX, bytes = engine_sampler_bytes(m);
    char *at = mem_block(MEM_ENGINE, bytes);
    if (!at) return (leat_code)ERR(e, ERR_MEMORY, "no memory for a sampler of %zu tokens (%zu bytes)", v, bytes);
    leat_sampler *s = (leat_sampler *)(void *)at;
    at += align_up(sizeof *s, 64);
    s->o = o;
    s->n_vocab = v;
    s->history_max = h;
    s->all = (candidate *)(void *)at, at += v * sizeof(candidate);
    s->dry_max = (uint32_t *)(void *)at, at += v * 4;
    s->history = (int32_t *)(void *)at, at += h * 4;
    s->recent = (int32_t *)(void *)at, at += h * 4;
    s->matches = (uint32_t *)(void *)at, at += h * 4;
    s->counts = (uint16_t *)(void *)at, at += v * 2;
    s->breaks = (uint8_t *)at;
    rng_seed(&s->rng, o.seed);
    if (o.dry_multiplier > 0)
        for (size_t i = 0; i < v; i++) s->breaks[i] = breaks_phrase(m, (int32_t)i);
    *out = s;
    return LEAT_OK;
}

void leat_sampler_close(leat_sampler *s) { mem_block_free(s); }

/* The k-th last accepted token, k = 1 is the newest. */
static int32_t history_at(const leat_sampler *s, size_t k) { return s->history[(s->history_n - k) % s->history_max]; }

void leat_sampler_accept(leat_sampler *s, int32_t token) {
    if (token < 0 || (size_t)token >= s->n_vocab) return;
    size_t window = MIN((size_t)s->o.penalty_last_n, (size_t)UINT16_MAX); /* which counts can hold */
    if (window && s->history_n >= window) s->counts[history_at(s, window)]--;
    s->history[s->history_n++ % s->history_max] = token;
    if (window) s->counts[token]++;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static bool before(const candidate *a, const candidate *b) {
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

/* Heap with the worst candidate on top. */
static void sift_down(candidate *heap, size_t n, size_t at) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) return;
        if (child + 1 < n && before(&heap[child], &heap[child + 1])) child++;
        if (!before(&heap[at], &heap[child])) return;
        candidate t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
        at = child;
    }
}

/* Leaves the k best of the list, sorted. */
static void keep_best(leat_sampler *s, size_t k) {
    candidate *c = s->all;
    k = MIN(k, s->n);
    for (size_t i = k / 2; i-- > 0;) sift_down(c, k, i);
    for (size_t i = k; i < s->n; i++)
        if (before(&c[i], &c[0])) {
            c[0] = c[i];
            sift_down(c, k, 0);
        }
    for (size_t n = k; n-- > 1;) {
        candidate t = c[0];
        c[0] = c[n];
        c[n] = t;
        sift_down(c, n, 0);
    }
    s->n = k;
}

/* p = softmax of the logits of a sorted list, at a temperature. */
static void softmax(leat_sampler *s, float temperature) {
    double sum = 0, max = (double)s->all[0].logit;
    for (size_t i = 0; i < s->n; i++) {
        s->all[i].p = (float)math_exp(((double)s->all[i].logit - max) / (double)temperature);
        sum += (double)s->all[i].p;
    }
    for (size_t i = 0; i < s->n; i++) s->all[i].p = (float)((double)s->all[i].p / sum);
}

/* ---- the chain -------------------------------------------------------------------------------------------------- */

static void penalise(leat_sampler *s) {
    const leat_sampler_options *o = &s->o;
    if (!o->penalty_last_n || (o->repeat_penalty == 1 && o->presence_penalty == 0 && o->frequency_penalty == 0)) return;
    for (size_t i = 0; i < s->n; i++) {
        candidate *c = &s->all[i];
        uint16_t count = s->counts[c->id];
        if (!count) continue;
        c->logit = c->logit <= 0 ? c->logit * o->repeat_penalty : c->logit / o->repeat_penalty;
        c->logit -= (float)count * o->frequency_penalty + o->presence_penalty;
    }
}

/* DRY: a token that would continue a repeat of at least allowed_length tokens loses
 *     multiplier * base^(length - allowed_length)
 * matches[i] is the length of the longest common suffix of the window and of the window without its last i tokens (the
 * Z-function of the reversed window, Gusfield 1997), cut where a phrase breaks. */
static void dry(leat_sampler *s) {
    const leat_sampler_options *o = &s->o;
    size_t n = MIN(s->history_n, s->history_max), limit = 0;
    if (o->dry_multiplier <= 0 || o->dry_penalty_last_n == 0) return;
    if (o->dry_penalty_last_n > 0) n = MIN(n, (size_t)o->dry_penalty_last_n);
    while (limit < n && !s->breaks[history_at(s, limit + 1)]) limit++;
    if (limit < (size_t)o->dry_allowed_length || n < 2) return;
    for (size_t i = 0; i < n; i++) s->recent[i] = history_at(s, i + 1); /* newest first */
    size_t left = 0, right = 0;
    s->matches[0] = (uint32_t)n;
    for (size_t i = 1; i < n; i++) {
        size_t m = i < right ? MIN(right - i, (size_t)s->matches[i - left]) : 0;
        while (i + m < n && s->recent[m] == s->recent[i + m]) m++;
        if (i + m > right) left = i, right = i + m;
        s->matches[i] = (uint32_t)m;
        int32_t next = s->recent[i - 1]; /* what followed that occurrence */
        uint32_t length = (uint32_t)MIN(m, limit);
        if (length >= (uint32_t)o->dry_allowed_length && length > s->dry_max[next]) s->dry_max[next] = length;
    }
    for (size_t i = 0; i < s->n; i++) {
        uint32_t length = s->dry_max[s->all[i].id];
        if (!length) continue;
        uint32_t beyond = MIN(length - (uint32_t)o->dry_allowed_length, 64u);
        s->all[i].logit -= o->dry_multiplier * (float)math_pow((double)o->dry_base, (double)beyond);
    }
    for (size_t i = 1; i < n; i++) s->dry_max[s->recent[i - 1]] = 0;
}

static void top_n_sigma(leat_sampler *s) {
    if (s->o.top_n_sigma <= 0) return;
    double sum = 0, squares = 0, max = -1e30;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        double x = (double)s->all[i].logit;
        if (!f32_is_finite(s->all[i].logit)) continue;
        sum += x, n++;
        max = MAX(max, x);
    }
    if (!n) return;
    for (size_t i = 0; i < s->n; i++)
        if (f32_is_finite(s->all[i].logit)) {
            double x = (double)s->all[i].logit - sum / (double)n;
            squares += x * x;
        }
    double floor = max - (double)s->o.top_n_sigma * math_sqrt(squares / (double)n);
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++)
        if ((double)s->all[i].logit >= floor) s->all[kept++] = s->all[i];
    s->n = MAX(kept, 1);
}

/* Locally typical: keeps the tokens whose surprise is nearest to the expected one, until they hold typical_p. */
static void typical(leat_sampler *s) {
    if (s->o.typical_p >= 1 || s->n < 2) return;
    softmax(s, 1);
    double entropy = 0, held = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->all[i].p > 0) entropy -= (double)s->all[i].p * math_log((double)s->all[i].p);
    /* Sorted by distance through the logit field; the logit goes to p meanwhile and comes back after. */
    for (size_t i = 0; i < s->n; i++) {
        candidate *c = &s->all[i];
        float logit = c->logit, distance = c->p > 0 ? (float)math_abs(-math_log((double)c->p) - entropy) : F32_MAX;
        c->logit = -distance;
        c->p = logit;
    }
    double max = (double)s->all[0].p, sum = 0;
    for (size_t i = 0; i < s->n; i++) sum += math_exp((double)s->all[i].p - max);
    size_t all = s->n, kept = 0;
    keep_best(s, all);
    while (kept < all && held < (double)s->o.typical_p) held += math_exp((double)s->all[kept++].p - max) / sum;
    for (size_t i = 0; i < kept; i++) s->all[i].logit = s->all[i].p;
    s->n = MAX(kept, 1);
    keep_best(s, s->n);
}

static void top_p(leat_sampler *s) {
    if (s->o.top_p >= 1) return;
    softmax(s, 1);
    double held = 0;
    size_t kept = 0;
    while (kept < s->n && (kept == 0 || held < (double)s->o.top_p)) held += (double)s->all[kept++].p;
    s->n = kept;
}

static void min_p(leat_sampler *s) {
    if (s->o.min_p <= 0) return;
    double floor = (double)s->all[0].logit + math_log((double)s->o.min_p);
    while (s->n > 1 && (double)s->all[s->n - 1].logit < floor) s->n--;
}

/* Exclude top choices: with some chance, all but the least likely of those above a threshold go. */
static void xtc(leat_sampler *s) {
    if (s->o.xtc_probability <= 0 || s->o.xtc_threshold > 0.5f || s->n < 2) return;
    if (rng_unit(&s->rng) > (double)s->o.xtc_probability) return;
    softmax(s, 1);
    size_t above = 0;
    while (above < s->n && s->all[above].p >= s->o.xtc_threshold) above++;
    if (above < 2) return;
    s->n -= above - 1;
    memmove(s->all, s->all + above - 1, s->n * sizeof *s->all);
}

int32_t leat_sample(leat_sampler *s, const float *logits) {
    s->n = s->n_vocab;
    for (size_t i = 0; i < s->n; i++) {
        s->all[i].id = (int32_t)i;
        s->all[i].logit = f32_is_nan(logits[i]) ? -F32_INF : logits[i];
    }
    penalise(s);
    dry(s);
    if (s->o.temperature <= 0) {
        keep_best(s, 1);
        return s->all[0].id;
    }
    top_n_sigma(s);
    keep_best(s, s->o.top_k > 0 ? (size_t)s->o.top_k : s->n);
    typical(s);
    top_p(s);
    min_p(s);
    xtc(s);
    softmax(s, s->o.temperature);
    double draw = rng_unit(&s->rng);
    size_t at = 0;
    for (; at + 1 < s->n && draw >= (double)s->all[at].p; at++) draw -= (double)s->all[at].p;
    return s->all[at].id;
}
