/* api_kept.c: prompts that a session had earlier and can go back to. Each is a sequence of the KV cache beside the
 * session's own: pages that begin alike are shared, and the page where two part is copied when it is written.
 *
 * Prompt tokens only: a generated one has other bits than the same token in a prompt, and what comes of a prompt must
 * not depend on who asked before. Bounded by their number and by pages: whoever was used least lately leaves first, and
 * all of them leave before the session's own sequence is refused a page.
 *
 * With a sliding window a sequence has lost its early pages and can go back a little only, if not to nothing: what is
 * kept is the window at the end of a prompt, and one prompt does not stand for its own beginning.
 */
#include "engine/engine_int.h"

static size_t common(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b) {
    size_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n]) n++;
    return n;
}

err_code engine_kept_open(leat_session *s, size_t n, err *e) {
    size_t each;
    if (!n) return ERR_NONE;
    if (!mul_size(s->n_ctx, sizeof(int32_t), &each) || !(s->kept = mem_block(MEM_ENGINE, n * (sizeof *s->kept + each))))
        return ERR(e, ERR_MEMORY, "no memory to keep %zu prompts of %zu tokens", n, s->n_ctx);
    s->n_kept = n;
    for (size_t i = 0; i < n; i++) s->kept[i].tokens = (int32_t *)(void *)(s->kept + n) + i * s->n_ctx;
    return ERR_NONE;
}

static void leave(engine_kept *k) {
    kv_seq_close(k->sequence);
    k->sequence = NULL;
}

static engine_kept *least_lately(const leat_session *s) {
    engine_kept *least = NULL;
    for (engine_kept *k = s->kept; k < s->kept + s->n_kept; k++)
        if (k->sequence && (!least || k->used < least->used)) least = k;
    return least;
}

bool engine_kept_drop(leat_session *s) {
    for (engine_kept *k = s->kept; k < s->kept + s->n_kept; k++)
        if (k->sequence && kv_seq_trim(k->sequence)) return true;
    engine_kept *k = least_lately(s);
    if (k) leave(k);
    return k != NULL;
}

/* Keeps the session's prompt of more than `least` tokens, unless it is the beginning of what is kept already. */
static void keep(leat_session *s, size_t least) {
    size_t all = kv_seq_length(s->sequence), n = 0;
    engine_kept *place = NULL;
    while (n < all && s->roles[n] == LEAT_PROMPT) n++;
    if (n <= least || !kv_seq_holds(s->sequence, n)) return;
    for (engine_kept *k = s->kept; k < s->kept + s->n_kept; k++) {
        size_t length = k->sequence ? kv_seq_length(k->sequence) : 0, same = common(k->tokens, length, s->tokens, n);
        if (same == n && kv_seq_holds(k->sequence, n)) {
            k->used = ++s->n_uses;
            return;
        }
        bool begins = k->sequence && same == length; /* the beginning of this one */
        if (begins && kv_seq_holds(s->sequence, length)) leave(k);
        if (!k->sequence) place = k;
    }
    if (!place) leave(place = least_lately(s));
    if (kv_seq_fork(s->sequence, &place->sequence, NULL)) return; /* cannot be: there is a sequence for each */
    kv_seq_truncate(place->sequence, n);
    memcpy(place->tokens, s->tokens, n * sizeof *s->tokens);
    place->used = ++s->n_uses;
}

void engine_kept_prompt(leat_session *s) {
    size_t n = kv_seq_length(s->sequence);
    if (n && s->n_kept && s->roles[n - 1] == LEAT_PROMPT && kv_seq_shape(s->sequence)->window) keep(s, 0);
}

size_t engine_kept_swap(leat_session *s, const int32_t *tokens, size_t n, size_t same) {
    size_t best = same;
    engine_kept *from = NULL;
    kv_seq *sequence = NULL;
    for (engine_kept *k = s->kept; k < s->kept + s->n_kept; k++) {
        size_t alike = k->sequence ? common(k->tokens, kv_seq_length(k->sequence), tokens, n) : 0;
        if (alike > best && kv_seq_holds(k->sequence, alike)) best = alike, from = k;
    }
    if (from && best == kv_seq_length(from->sequence)) { /* all of it: from now on the session's own */
        sequence = from->sequence;
        from->sequence = NULL;
    } else if (from) {
        from->used = ++s->n_uses;
        if (kv_seq_fork(from->sequence, &sequence, NULL)) return same; /* cannot be: there is one more */
        kv_seq_truncate(sequence, best);
    }
    keep(s, same);
    if (!sequence) return same;
    kv_seq_close(s->sequence);
    s->sequence = sequence;
    memcpy(s->tokens, tokens, best * sizeof *tokens);
    memset(s->roles, LEAT_PROMPT, best);
    return best;
}
