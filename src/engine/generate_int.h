/* generate_int.h: a generator's state, shared by what decides (generate.c) and what guesses (draft.c). */
#ifndef LEAT_GENERATE_INT_H
#define LEAT_GENERATE_INT_H

#include "engine/engine_int.h"

enum { DRAFT_MAX = 64, DECIDED_MAX = 2 * (DRAFT_MAX + 1) };

struct leat_generator {
    leat_session *session;
    leat_sampler *sampler;
    leat_generator_options o;
    float *logits;                /* (n_vocab) without the tokens that end a text; NULL: those may come */
    int32_t decided[DECIDED_MAX]; /* tokens behind the session's */
    size_t n_decided, n_ready;    /* ready: decided or held by the session, not yet handed out */
    /* Of the pass under way: */
    int32_t guesses[DRAFT_MAX];
    size_t n_guessed, n_right, n_fed_decided;
    /* Measured: */
    double plain_ns;              /* a pass of one row                                      */
    double extra, guess_cost;     /* a further row's time, a guess's, in parts of plain_ns  */
    double right;                 /* chance of a guess, if those before it are right        */
    double gain;
    uint32_t since_plain, since_guesses;
    uint64_t passes, tokens, drafted, matched;
};

/* Both fill guesses, up to n; there may be fewer. The model's error is that of its feed. */
void engine_draft_by_repeats(leat_generator *g, size_t n);
err_code engine_draft_by_model(leat_generator *g, size_t n, err *e);
#endif
