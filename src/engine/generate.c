/* generate.c: leat_generator: a token at a time out of a session and a sampler, with guesses ahead that are verified in
 * one pass. Owns which guesses are made and how many; the text never depends on them. Next: draft.c, which guesses.
 *
 * Tokens are decided by the sampler, in order. `decided` holds those that the session does not: usually the last one
 * alone. A pass feeds them with guesses behind, and draws at every row from the last decided one on, while what is
 * drawn is what was guessed.
 */
#include "engine/generate_int.h"

#define TRY_AGAIN 32    /* passes without guesses until one is tried again             */
#define TRY_PLAIN 64    /* passes with guesses until one without measures the time anew */
#define SLOWLY 0.125    /* weight of the newest measurement */

static void blend(double *mean, double seen) { *mean += (seen - *mean) * SLOWLY; }

leat_code leat_generator_open(leat_generator **out, leat_session *s, leat_sampler *sampler,
                              const leat_generator_options *options, leat_error *error) {
    static const leat_generator_options defaults;
    const leat_generator_options *o = options ? options : &defaults;
    err *e = err_of(error);
    *out = NULL;
    if (o->n_draft < 0 || o->n_draft > DRAFT_MAX)
        return (leat_code)ERR(e, ERR_ARGUMENT, "%d guesses a pass, wanted 0 to %d", o->n_draft, DRAFT_MAX);
    if (!leat_logits(s)) return (leat_code)ERR(e, ERR_ARGUMENT, "nothing was fed: there are no logits to begin with");
    if (o->n_draft && o->draft && s->draft != o->draft->model) {
        err_code code = engine_draft_same_tokens(s->model, o->draft->model, e);
        if (code) return (leat_code)code;
        s->draft = o->draft->model;
    }
    size_t n_vocab = (size_t)leat_model_n_vocab(s->model);
    leat_generator *g = mem_block(MEM_ENGINE, sizeof *g + (o->endless ? n_vocab * sizeof(float) : 0));
    if (!g) return (leat_code)ERR(e, ERR_MEMORY, "no memory for a generator");
    *g = (leat_generator){.session = s, .sampler = sampler, .o = *o, .right = 0.5, .extra = 0.2, .gain = 1};
    if (o->endless) g->logits = (float *)(void *)(g + 1);
    *out = g;
    return LEAT_OK;
}

void leat_generator_close(leat_generator *g) {
    if (!g) return;
    /* Guesses that were right and never asked for are in the session already, and so may be the last handed out. */
    size_t too_many = g->n_ready - MIN(g->n_ready, g->n_decided);
    if (g->tokens && g->n_ready >= g->n_decided) too_many++;
    if (too_many) leat_rewind(g->session, leat_session_length(g->session) - (int32_t)too_many, NULL);
    mem_block_free(g);
}

leat_generator_stats leat_generator_stats_of(const leat_generator *g) {
    return (leat_generator_stats){.passes = g->passes,
                                  .tokens = g->tokens,
                                  .drafted = g->drafted,
                                  .matched = g->matched,
                                  .gain = g->gain};
}

/* ---- drawing -------------------------------------------------------------------------------------- */

/* Decides one more token: it is ready to be handed out, and the sampler has it. */
static int32_t draw(leat_generator *g, const float *logits) {
    if (g->logits) {
        int32_t n_vocab = leat_model_n_vocab(g->session->model);
        memcpy(g->logits, logits, (size_t)n_vocab * sizeof(float));
        for (int32_t i = 0; i < n_vocab; i++)
            if (leat_ends(g->session->model, i)) g->logits[i] = -F32_INF;
        logits = g->logits;
    }
    int32_t id = g->o.draw ? g->o.draw(g->o.user, logits) : leat_sample(g->sampler, logits);
    leat_sampler_accept(g->sampler, id);
    g->decided[g->n_decided++] = id;
    g->n_ready++;
    return id;
}

/* A row's logits, in order. Rows before the last decided token say nothing new. */
static bool at_row(void *user, size_t row, const float *logits) {
    leat_generator *g = user;
    if (row + 1 < g->n_fed_decided) return true;
    size_t guess = row + 1 - g->n_fed_decided; /* what comes next, if the guesses are right */
    int32_t id = draw(g, logits);
    if (guess >= g->n_guessed || id != g->guesses[guess] || leat_ends(g->session->model, id)) return false;
    g->n_right++;
    return true;
}

/* ---- how many guesses pay --------------------------------------------------------------------------- */

/* Tokens of a pass with n guesses, each right with the chance `right` if those before it are. */
static double tokens_expected(double right, size_t n) {
    double sum = 1, chance = 1;
    for (size_t i = 0; i < n; i++) sum += chance *= right;
    return sum;
}

static double gain_of(const leat_generator *g, size_t n) {
    return tokens_expected(g->right, n) / (1 + (g->extra + g->guess_cost) * (double)n);
}

static size_t guesses_wanted(leat_generator *g) {
    size_t max = (size_t)g->o.n_draft, best = 0;
    int32_t room = leat_session_n_ctx(g->session) - leat_session_length(g->session) - (int32_t)g->n_decided;
    max = MIN(max, g->session->rows_max - MIN(g->session->rows_max, g->n_decided));
    max = MIN(max, room > 0 ? (size_t)room : 0);
    if (g->n_decided > DRAFT_MAX) return 0; /* passes have failed: what they decided comes first */
    if (!max || g->o.always) return max;
    if (!g->plain_ns || g->since_plain >= TRY_PLAIN) return 0;
    double best_gain = 1;
    for (size_t n = 1; n <= max; n++)
        if (gain_of(g, n) > best_gain) best_gain = gain_of(g, n), best = n;
    g->gain = best_gain;
    if (!best && g->since_guesses >= TRY_AGAIN) best = MIN(max, 2);
    return best;
}

/* ns of a pass with n_guessed guesses, n_right of them right, which took guess_ns to make. */
static void learn(leat_generator *g, uint64_t ns, uint64_t guess_ns) {
    if (!g->n_guessed) {
        if (g->n_fed_decided > 1) return; /* after an error: no measure of one row */
        if (!g->plain_ns) g->plain_ns = (double)ns;
        blend(&g->plain_ns, (double)ns);
        g->since_plain = 0, g->since_guesses++;
        return;
    }
    g->since_guesses = 0, g->since_plain++;
    for (size_t i = 0; i <= g->n_right && i < g->n_guessed; i++) blend(&g->right, i < g->n_right);
    if (!g->plain_ns) return;
    blend(&g->extra, ((double)ns / g->plain_ns - 1) / (double)g->n_guessed);
    g->extra = MAX(g->extra, 0.0);
    blend(&g->guess_cost, (double)guess_ns / g->plain_ns / (double)g->n_guessed);
}

/* ---- passes --------------------------------------------------------------------------------------- */

static err_code pass(leat_generator *g, err *e) {
    leat_session *s = g->session;
    int32_t rows[DECIDED_MAX + DRAFT_MAX], length = leat_session_length(s);
    size_t wanted = guesses_wanted(g);
    uint64_t start = plat_time_ns();
    g->n_guessed = g->n_right = 0;
    err_code code = ERR_NONE;
    if (wanted && g->o.draft) code = engine_draft_by_model(g, wanted, e);
    else if (wanted) engine_draft_by_repeats(g, wanted);
    if (code) return code;
    uint64_t guessed = plat_time_ns();
    size_t n = g->n_fed_decided = g->n_decided;
    memcpy(rows, g->decided, n * sizeof *rows);
    memcpy(rows + n, g->guesses, g->n_guessed * sizeof *rows);
    n += g->n_guessed;
    code = (err_code)leat_feed_each(s, rows, n, LEAT_GENERATED, at_row, g, (leat_error *)e);
    /* Rows that are text: those decided and the right guesses; after an error what whole chunks left in the session. */
    size_t held = g->n_fed_decided + g->n_right, fed = (size_t)(leat_session_length(s) - length);
    held = MIN(held, fed);
    if (!code) code = (err_code)leat_rewind(s, length + (int32_t)held, (leat_error *)e);
    g->n_decided -= held;
    memmove(g->decided, g->decided + held, g->n_decided * sizeof *g->decided);
    if (code) return code;
    g->passes++;
    g->drafted += g->n_guessed;
    g->matched += g->n_right;
    learn(g, plat_time_ns() - guessed, guessed - start);
    return ERR_NONE;
}

leat_code leat_generate(leat_generator *g, int32_t *token, leat_error *error) {
    if (!g->n_ready) {
        err_code code = ERR_NONE;
        if (g->n_decided) code = pass(g, err_of(error));
        else draw(g, leat_logits(g->session));
        if (code == ERR_IO && !g->n_ready) code = pass(g, err_of(error)); /* a disk may fail for a moment */
        /* A pass that failed late may have decided tokens all the same: they are handed out first. */
        if (code && !g->n_ready) return (leat_code)code;
    }
    /* The ready ones are the last of: the session's tokens, then the decided ones. */
    size_t held = g->n_ready > g->n_decided ? g->n_ready - g->n_decided : 0;
    *token = held ? leat_session_tokens(g->session)[(size_t)leat_session_length(g->session) - held]
                  : g->decided[g->n_decided - g->n_ready];
    g->n_ready--;
    g->tokens++;
    return LEAT_OK;
}
