/* experts.c: the experts that a router chose, leased one by one: all that are missing are wanted at once, those in
 * memory are computed while the others are read, and these as their bytes land. In which order that happens never shows
 * in the bits: every choice has a row of its own, and rows are summed in router order.
 */
#include "model/model_int.h"

err_code model_leases_open(model_leases *x, const model *m, err *e) {
    size_t n = m->shape.n_expert;
    size_t bytes = n * (3 * sizeof(void *) + 5 * sizeof(uint32_t) + sizeof(store_lease)) + 4096;
    err_code code = arena_open(&x->memory, MEM_SCRATCH, bytes, e);
    if (code) return code;
    for (int i = 0; i < 3; i++) x->at[i] = arena_array(&x->memory, n, sizeof *x->at[i]);
    x->units = arena_array(&x->memory, n, sizeof *x->units);
    x->counts = arena_array(&x->memory, n, sizeof *x->counts);
    x->pending = arena_array(&x->memory, n, sizeof *x->pending);
    x->ready = arena_array(&x->memory, n, sizeof *x->ready);
    x->next = arena_array(&x->memory, n, sizeof *x->next);
    x->leases = arena_array(&x->memory, n, sizeof *x->leases);
    bool ok = x->at[0] && x->at[1] && x->at[2] && x->units && x->counts && x->pending && x->ready && x->next;
    if (ok && x->leases) return ERR_NONE;
    return ERR(e, ERR_MEMORY, "no memory for the leases of %zu experts", n);
}

void model_leases_close(model_leases *x) { arena_close(&x->memory); }

/* Of a prompt's experts so many rows are computed between two looks at the reads: about as long as what is under way
 * takes. */
#define ROWS_AT_ONCE 256

/* Leases what is in memory of the pending units, at most so many; these leave the list. */
static err_code take_ready(model_leases *x, store *s, uint32_t first, size_t most, err *e) {
    size_t left = 0;
    err_code code = ERR_NONE;
    x->n_ready = 0;
    for (size_t i = 0; i < x->n_pending; i++) {
        uint32_t id = x->pending[i];
        store_lease *lease = &x->leases[x->n_ready];
        err why = {0};
        bool full = code || x->n_ready == most;
        store_state state = full ? STORE_PENDING : store_try_lease(s, id, lease, &why);
        if (state == STORE_READY) {
            x->ready[x->n_ready++] = id - first;
            for (size_t k = 0; k < 3; k++) x->at[k][id - first] = store_span_at(s, lease, k);
            continue;
        }
        x->pending[left++] = id;
        if (state != STORE_FAILED) continue;
        code = why.code;
        if (e) *e = why;
    }
    x->n_pending = left;
    return code;
}

/* The next layer's expert is among those foreseen. */
static void foresee(model_leases *x, uint32_t unit) {
    size_t at = 0;
    while (at < x->n_next && x->next[at] != unit) at++;
    if (at == x->n_next) x->next[x->n_next++] = unit;
}

void model_leases_expect_all(model_leases *x, const model *m, size_t layer, size_t n_tokens) {
    size_t n = m->shape.n_expert;
    if (layer == m->shape.n_layer || n_tokens * m->shape.n_expert_used < 3 * n) return;
    for (size_t i = 0; i < n; i++) x->next[i] = model_unit_of_expert(m, layer, i);
    store_expect(m->store, x->next, n, true);
}

/* Those that the next layer's router named. */
static void expect_named(model_leases *x, const model *m, size_t layer, const dev_buf *logits, size_t n_tokens) {
    size_t n = m->shape.n_expert;
    x->n_next = 0;
    for (size_t k = 0; k < m->shape.n_expert_used; k++)
        for (size_t t = 0; t < n_tokens; t++) {
            float *row = logits->rows[t];
            size_t best = 0;
            for (size_t i = 1; i < n; i++) best = row[i] > row[best] ? i : best;
            row[best] = -F32_INF;
            foresee(x, model_unit_of_expert(m, layer + 1, best));
        }
    store_expect(m->store, x->next, x->n_next, false);
}

static void release_ready(model_leases *x, store *s) {
    for (size_t i = 0; i < x->n_ready; i++) store_release(s, &x->leases[i]);
    x->n_ready = 0;
}

err_code model_leases_run(model_leases *x, const model *m, dev *d, size_t layer, const model_batch *b,
                          const dev_buf *named, void (*compute)(void *user, const uint32_t *experts, size_t n),
                          void *user, err *e) {
    store *s = m->store;
    uint32_t first = model_unit_of_expert(m, layer, 0);
    const uint32_t *active;
    size_t n = x->n_pending = dev_routed(d, &active, x->counts);
    for (size_t i = 0; i < n; i++) x->pending[i] = x->units[i] = first + active[i];
    store_visit(s, (uint32_t)layer, x->units, x->counts, n, b->n);
    size_t most = MAX(ROWS_AT_ONCE * n / (b->n * m->shape.n_expert_used), 1);
    bool forgot = false, asked = false;
    while (x->n_pending) {
        store_want(s, x->pending, x->n_pending);
        if (!asked) model_leases_expect_all(x, m, layer + 1, b->n);
        asked = true;
        err_code code = take_ready(x, s, first, most, e);
        /* Not before: a disk may tell of a finished read only when it has no other to do. */
        if (named && !code && !x->n_pending) expect_named(x, m, layer, named, b->n);
        if (!code && x->n_ready) compute(user, x->ready, x->n_ready);
        bool waits = !x->n_ready;
        release_ready(x, s);
        if (!code && waits) code = model_yield(b, m, layer, e);
        if (code) return code;
        if (!waits || !x->n_pending) {
            store_poll(s, 0);
            continue;
        }
        uint64_t from = plat_time_ns();
        bool reading = store_poll(s, UINT64_MAX);
        store_count_stall(s, plat_time_ns() - from);
        if (reading) continue;
        /* No room and no read that will end: wants of steps that ended early may be what is in the way. */
        if (forgot) return ERR(e, ERR_MEMORY, "all memory for experts is held: none for layer %zu", layer);
        store_forget_wants(s);
        forgot = true;
    }
    return ERR_NONE;
}
