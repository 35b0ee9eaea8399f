/* pool.c: fork-join and barriers over persistent workers.
 *
 * Two words are waited on: `start` counts runs, `phase` counts barriers (the end of a run is one that only worker 0
 * waits for). Who waits spins first, because the parts of a forward pass end within microseconds of each other, and
 * then sleeps, because a core that spins is taken from whoever else has work. With more workers than cores the others
 * need the core that we spin on: then spinning ends at once. Arrivals are counted in groups of eight and once more
 * over the groups, so that many cores do not queue for one cache line.
 */
#include "pool/pool.h"

#include <stdatomic.h>

#define LINE 64
#define GROUP 8
#define SPIN_NS 50000            /* about the price of a sleep and a wake */
#define SPINS_A_LOOK 64          /* looks at the word between two looks at the clock */

/* Each word on a cache line of its own: a write to its neighbour would disturb all who spin. */
typedef struct word {
    _Alignas(LINE) _Atomic uint32_t value;
} word;

struct pool {
    int n_workers, n_groups, n_started;
    bool pinned, overcommitted;
    /* Written by worker 0 before `start` moves, read by the others after. */
    pool_fn *fn;
    void *arg;
    bool closing;
    word start, start_sleepers;
    word phase, phase_sleepers;
    word groups_arrived;
    word arrived[POOL_WORKERS_MAX / GROUP];
    struct seat {
        pool *p;
        plat_thread *thread;
    } seat[POOL_WORKERS_MAX];
};

/* ---- waiting ------------------------------------------------------------------------------------- */

static bool spin(const pool *p, word *w, uint32_t old) {
    uint64_t until = p->overcommitted ? 0 : plat_time_ns() + SPIN_NS;
    do {
        for (int i = 0; i < SPINS_A_LOOK; i++, cpu_pause())
            if (atomic_load_explicit(&w->value, memory_order_acquire) != old) return true;
    } while (until && plat_time_ns() < until);
    return false;
}

/* Returns when w is no longer `old`. */
static void wait_past(const pool *p, word *w, word *sleepers, uint32_t old) {
    if (spin(p, w, old)) return;
    /* Sequentially consistent against advance(): either it sees a sleeper, or we see its new value. */
    atomic_fetch_add(&sleepers->value, 1);
    while (atomic_load(&w->value) == old) plat_wait(&w->value, old, UINT64_MAX);
    atomic_fetch_sub(&sleepers->value, 1);
}

static void advance(word *w, word *sleepers) {
    atomic_fetch_add(&w->value, 1);
    if (atomic_load(&sleepers->value)) plat_wake(&w->value, UINT32_MAX);
}

/* Counts a worker in; the last one of all moves the phase. */
static void arrive(pool *p, int worker) {
    int group = worker / GROUP, members = MIN(GROUP, p->n_workers - group * GROUP);
    word *at = &p->arrived[group];
    if (atomic_fetch_add_explicit(&at->value, 1, memory_order_acq_rel) + 1 != (uint32_t)members) return;
    atomic_store_explicit(&at->value, 0, memory_order_relaxed); /* nobody comes again before the phase moves */
    if (atomic_fetch_add_explicit(&p->groups_arrived.value, 1, memory_order_acq_rel) + 1 != (uint32_t)p->n_groups)
        return;
    atomic_store_explicit(&p->groups_arrived.value, 0, memory_order_relaxed);
    advance(&p->phase, &p->phase_sleepers);
}

/* ---- the pool ------------------------------------------------------------------------------------ */

static void work(void *arg) {
    struct seat *seat = arg;
    pool *p = seat->p;
    int worker = (int)(seat - p->seat);
    for (uint32_t run = 0;; run++) {
        wait_past(p, &p->start, &p->start_sleepers, run);
        if (p->closing) return;
        p->fn(p->arg, worker, p->n_workers);
        arrive(p, worker);
    }
}

err_code pool_open(pool **out, const pool_opts *o, err *e) {
    *out = NULL;
    int cores = plat_core_count(), n = o->n_workers ? o->n_workers : MIN(cores, POOL_WORKERS_MAX);
    if (n < 1 || n > POOL_WORKERS_MAX)
        return ERR(e, ERR_ARGUMENT, "%d workers wanted, 1 to %d are possible", n, POOL_WORKERS_MAX);
    pool *p = mem_block(MEM_ENGINE, sizeof *p);
    if (!p) return ERR(e, ERR_MEMORY, "%zu bytes for the pool of workers", sizeof *p);
    p->n_workers = n;
    p->n_groups = (int)div_up((size_t)n, GROUP);
    p->overcommitted = n > cores;
    p->pinned = o->pin && n == cores && (plat_caps() & PLAT_CAN_PIN) && plat_pin_self(0) == PLAT_OK;
    for (p->n_started = 1; p->n_started < n; p->n_started++) {
        struct seat *seat = &p->seat[p->n_started];
        seat->p = p;
        int error = plat_thread_start(&seat->thread, work, seat, p->pinned ? p->n_started : -1);
        if (!error) continue;
        ERR(e, ERR_MEMORY, "worker %d of %d did not start: %s", p->n_started + 1, n, plat_error_name(error));
        pool_close(p);
        return ERR_MEMORY;
    }
    *out = p;
    return ERR_NONE;
}

void pool_close(pool *p) {
    if (!p) return;
    p->closing = true;
    advance(&p->start, &p->start_sleepers);
    for (int i = 1; i < p->n_started; i++) plat_thread_join(p->seat[i].thread);
    if (p->pinned) plat_pin_self(-1);
    mem_block_free(p);
}

int pool_workers(const pool *p) { return p->n_workers; }

void pool_run(pool *p, pool_fn *fn, void *arg) {
    if (p->n_workers == 1) {
        fn(arg, 0, 1);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    advance(&p->start, &p->start_sleepers);
    fn(arg, 0, p->n_workers);
    pool_barrier(p, 0); /* for the others an arrival without a wait */
}

void pool_barrier(pool *p, int worker) {
    if (p->n_workers == 1) return;
    uint32_t phase = atomic_load_explicit(&p->phase.value, memory_order_relaxed); /* cannot move before we arrive */
    arrive(p, worker);
    wait_past(p, &p->phase, &p->phase_sleepers, phase);
}
