/* draft.c: guesses at the next tokens: what followed the text's last tokens when they were there before, or what a
 * smaller model would say. A guess costs time when it is wrong and is never part of the numbers. Back: generate.c.
 */
#include "engine/generate_int.h"

#define MATCH_MIN 2         /* tokens that must repeat                              */
#define MATCH_MAX 16        /* longer repeats are as good                           */
#define LOOK_BACK 65536     /* tokens of the text that are searched                 */
#define LEAD 0.5f           /* of the best logit over the second: less is no guess  */
#define PADDING_MAX 1024    /* ids that one of the vocabularies may have more       */
#define FEW 8               /* from here on tokens are fed as a prompt: it is faster */

/* The whole text: what the session holds, then what is decided. */
static size_t text_length(const leat_generator *g) {
    return (size_t)leat_session_length(g->session) + g->n_decided;
}
static int32_t text_at(const leat_generator *g, size_t i) {
    size_t held = (size_t)leat_session_length(g->session);
    return i < held ? leat_session_tokens(g->session)[i] : g->decided[i - held];
}

void engine_draft_by_repeats(leat_generator *g, size_t n) {
    size_t length = text_length(g), best = 0, at = 0, stop = length > LOOK_BACK ? length - LOOK_BACK : 0;
    int32_t last = text_at(g, length - 1);
    for (size_t i = length - 1; i-- > stop && best < MATCH_MAX;) {
        if (text_at(g, i) != last) continue;
        size_t same = 1;
        while (same <= i && same < MATCH_MAX && text_at(g, i - same) == text_at(g, length - 1 - same)) same++;
        if (same > best) best = same, at = i;
    }
    if (best < MATCH_MIN) return;
    for (size_t i = at + 1; i < length && g->n_guessed < n; i++) g->guesses[g->n_guessed++] = text_at(g, i);
}

/* Gives the smaller model the text, of which it has seen a part, up to a token that it does not have. */
static err_code follow(leat_generator *g, err *e) {
    leat_session *d = g->o.draft;
    size_t length = text_length(g), seen = (size_t)leat_session_length(d), same = 0;
    const int32_t *its = leat_session_tokens(d);
    while (same < seen && same < length - 1 && its[same] == text_at(g, same)) same++;
    err_code code = (err_code)leat_rewind(d, (int32_t)same, (leat_error *)e);
    leat_role role = length - same > FEW ? LEAT_PROMPT : LEAT_GENERATED;
    int32_t some[256], n_vocab = leat_model_n_vocab(d->model);
    while (same < length && !code) {
        size_t n = 0;
        for (int32_t id; n < COUNT_OF(some) && same + n < length && (id = text_at(g, same + n)) < n_vocab; n++)
            some[n] = id;
        if (!n) break;
        code = (err_code)leat_feed(d, some, n, role, (leat_error *)e);
        same += n;
    }
    return code;
}

/* The likeliest token, or -1 where another is nearly as likely. */
static int32_t likeliest(const float *logits, size_t n) {
    size_t best = 0;
    float first = -F32_INF, second = -F32_INF;
    for (size_t i = 0; i < n; i++)
        if (logits[i] > first) second = first, first = logits[i], best = i;
        else if (logits[i] > second) second = logits[i];
    return first - second >= LEAD ? (int32_t)best : -1;
}

err_code engine_draft_by_model(leat_generator *g, size_t n, err *e) {
    leat_session *d = g->o.draft;
    size_t room = (size_t)leat_session_n_ctx(d);
    if (text_length(g) + n > room) return ERR_NONE; /* its context is shorter */
    err_code code = follow(g, e);
    if ((size_t)leat_session_length(d) < text_length(g)) return code;
    while (!code && g->n_guessed < n) {
        int32_t id = likeliest(leat_logits(d), (size_t)leat_model_n_vocab(d->model));
        if (id < 0 || id >= leat_model_n_vocab(g->session->model)) break;
        g->guesses[g->n_guessed++] = id;
        if (g->n_guessed < n) code = (err_code)leat_feed(d, &id, 1, LEAT_GENERATED, (leat_error *)e);
    }
    return code;
}

err_code engine_draft_same_tokens(const leat_model *m, const leat_model *draft, err *e) {
    int32_t n = leat_model_n_vocab(m), n_draft = leat_model_n_vocab(draft), common = MIN(n, n_draft);
    bool comparable = leat_has_tokenizer(m) && leat_has_tokenizer(draft); /* or ids are all there is */
    if (MAX(n, n_draft) - common > (comparable ? PADDING_MAX : 0))
        return ERR(e, ERR_ARGUMENT, "the draft model has %d tokens, wanted %d", n_draft, n);
    if (!comparable) return ERR_NONE;
    for (int32_t i = 0; i < common; i++) {
        char a[64], b[64];
        size_t bytes = leat_piece(m, i, true, a, sizeof a);
        if (bytes != leat_piece(draft, i, true, b, sizeof b) || memcmp(a, b, MIN(bytes, sizeof a)))
            return ERR(e, ERR_ARGUMENT, "the draft model has other tokens: token %d is \"%.*s\", wanted \"%.*s\"", i,
                       (int)MIN(leat_piece(draft, i, true, b, sizeof b), sizeof b), b, (int)MIN(bytes, sizeof a), a);
    }
    return ERR_NONE;
}
