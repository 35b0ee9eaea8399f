/* ahead.c: experts read before they are wanted. The next layer's router, asked early, names those that it will probably
 * choose; how often it was right is counted by rank, apart for experts in memory and missing ones (of those it is right
 * less often: what is chosen often is in memory). Read ahead is what is likely enough, and only on credit: every byte
 * wanted and read earns a fraction of a byte, one read for nothing costs a whole one. So bytes a token rise by that
 * fraction at most, and where foresight fails nothing is read ahead.
 */
#include "store/store_int.h"

#define P_READ 0.6f           /* as likely as this an expert must be */
#define P_SURE 0.9f           /* where nearly all experts are used */
#define P_USELESS 0.4f        /* the likeliest of a layer is right less often: the router is not asked early ... */
#define BLIND_LAYERS 4096     /* ... for so many layers */
#define PRIOR 16.0f           /* guesses that everyone starts with ... */
#define PRIOR_P 0.75f         /* ... of them right */
#define GUESSES_MAX 512.0f    /* then old ones begin to fade */
#define CREDIT_UNITS 4        /* credit is worth as many experts at most */

static guesses *guesses_of(store *s, bool missing, size_t i, size_t n) {
    size_t rank = n > s->n_used ? i * s->n_used / n : i; /* of several tokens together */
    return &s->guessed[missing][MIN(rank, (size_t)STORE_RANKS - 1)];
}

static float precision(const guesses *g) { return (g->right + PRIOR * PRIOR_P) / (g->all + PRIOR); }

bool store_foresees(const store *s) { return s->experts && !s->blind; }

void store_credit(store *s, int64_t bytes) {
    int64_t most = (int64_t)s->units[s->n_units - 1].bytes * CREDIT_UNITS; /* experts come last */
    s->credit = MIN(MAX(s->credit + bytes, -most), most);
}

/* Puts the next expected unit that is on disk into the line, where there is a place for it. */
bool store_read_ahead(store *s) {
    while (s->next_expected < s->n_expected && !s->crowded && (s->sure || s->credit > 0)) {
        size_t i = s->next_expected++;
        uint32_t id = s->expected[i];
        unit *u = &s->units[id];
        if (u->wanted || (u->place != ON_DISK && u->place != FAILED) ||
            (!s->sure && precision(guesses_of(s, true, i, s->n_expected)) < P_READ) || !store_take_spare(s, id))
            continue;
        u->wasted = false;
        u->ahead = store_start(s, id, LINE_AHEAD);
        s->stats.ahead += u->ahead;
        if (u->ahead) return true;
        u->place = IN_RAM; /* it has no bytes */
    }
    return false;
}

void store_expect(store *s, const uint32_t *units, size_t n, bool sure) {
    if (!n || !store_foresees(s)) return;
    for (size_t i = 0; i < n; i++) {
        ASSERT(units[i] < s->n_units && s->units[units[i]].home == HOME_CACHE);
        unit *u = &s->units[units[i]];
        u->was_missing = u->place != IN_RAM;
        s->expected[i] = units[i];
        cache_expect(s->experts, u->cache_id, sure ? P_SURE : precision(guesses_of(s, u->was_missing, i, n)));
    }
    s->sure = sure;
    s->many_rows |= sure;
    s->n_expected = n;
    s->next_expected = 0;
    store_pump(s);
}

static void count_guess(guesses *g, bool right) {
    if (g->all >= GUESSES_MAX) {
        g->all /= 2;
        g->right /= 2;
    }
    g->all++;
    g->right += right;
}

static bool is_among(const uint32_t *units, size_t n, uint32_t id) {
    for (size_t i = 0; i < n; i++)
        if (units[i] == id) return true;
    return false;
}

/* What was not read yet for the layer, and nobody wants, will not be. */
static void abandon(store *s, uint32_t layer) {
    for (uint32_t id = s->lines[LINE_AHEAD].first, next; id != STORE_NOBODY; id = next) {
        const unit *u = &s->units[id];
        next = u->next;
        if (u->layer != layer || u->wanted) continue;
        store_abandon(s, id);
    }
    s->n_expected = s->next_expected = 0;
}

void store_judge_ahead(store *s, uint32_t layer, const uint32_t *chosen, size_t n, size_t n_tokens) {
    for (size_t i = 0; i < n; i++)
        if (s->units[chosen[i]].place == READING && !s->units[chosen[i]].wanted) store_hurry(s, chosen[i]);
    for (size_t i = 0; i < s->n_expected; i++) {
        unit *u = &s->units[s->expected[i]];
        if (u->layer != layer) break;
        bool right = is_among(chosen, n, s->expected[i]);
        if (!s->sure && n_tokens == 1) count_guess(guesses_of(s, u->was_missing, i, s->n_expected), right);
        if (right || s->sure || i >= s->next_expected || !u->ahead || u->wasted) continue;
        u->wasted = true;
        store_credit(s, -(int64_t)store_sent_bytes(s, s->expected[i]));
    }
    abandon(s, layer);
    const guesses *here = s->guessed[false], *missing = s->guessed[true];
    guesses first = {here->all + missing->all, here->right + missing->right};
    if (first.all < GUESSES_MAX / 4 || precision(&first) >= P_USELESS) return;
    memset(s->guessed, 0, sizeof s->guessed);
    s->blind = BLIND_LAYERS;
}
