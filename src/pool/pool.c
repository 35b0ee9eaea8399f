/* pool.c: steps of work over persistent workers.
 *
 * Two words are waited on: `open` counts the steps that there are to do, `phase` those that are done. A part is claimed
 * by moving its count of claims from the step's number to the next, which only one worker can, and only while the step
 * is not done: so a worker that comes late finds its part taken, looks where the others are and goes on there. It reads
 * nothing of the work before it has claimed a part, and a run cannot end while it has one. Where the caller only waits,
 * worker 0 is a thread as well, and a third word tells the end of a run: `done`.
 *
 * Who waits spins first, because the parts of a forward pass end within microseconds of each other. Then it does what
 * nobody has begun: beside busy programs a worker that was woken gets its core back milliseconds later, and a pass has
 * thousands of steps. Then it spins on and at last sleeps, because a core that spins is taken from whoever else has
 * work. Spinning in vain makes the next wait brief, twice in vain the next three, and so on up to BRIEF_MOST: with
 * another busy process on our cores a wait soon costs a sleep and not a core. Arrivals are counted in groups of eight
 * and once more over the groups, so that many cores do not queue for one cache line.
 */
#include "pool/pool.h"

#include <stdatomic.h>

#define LINE 64
#define GROUP 8
#define SPIN_NS 50000   /* about the price of a sleep and a wake */
#define SPINS_A_LOOK 64 /* looks at the word between two looks at the clock; a brief wait is one such round */
#define BRIEF_MOST 63
#define YIELD_NS 1000000

/* Each word on a cache line of its own: a write to its neighbour would disturb all who spin. */
typedef struct word {
    _Alignas(LINE) _Atomic uint32_t value;
} word;

/* One worker's experience with one word. */
typedef struct patience {
    uint32_t brief_left; /* waits that will be brief                  */
    uint32_t brief_last; /* how many the last vain spin made it; 0 after one that paid */
} patience;

struct pool {
    int n_workers, n_groups, n_started;
    bool pinned, caller_waits;
    uint64_t spin_ns; /* 0 with more workers than processors: somebody waits for the core that we would spin on */
    /* Written by the caller before `open` moves, read by who has a part of the run. */
    pool_fn *fn;
    void *arg;
    uint32_t first, end; /* the run's first step, as all are counted, and the first after it */
    atomic_bool closing;
    word open, open_sleepers;
    word phase, phase_sleepers;
    word done, done_sleepers;
    bool (*yield)(void *user);
    void *user;
    word groups_arrived;
    word arrived[POOL_WORKERS_MAX / GROUP];
    struct seat {
        _Alignas(LINE) pool *p;
        plat_thread *thread;
        patience for_open, for_phase;
        word claimed; /* steps of which the part of this number was begun: as many as are done, or one more */
    } seat[POOL_WORKERS_MAX];
};

/* ---- waiting ------------------------------------------------------------------------------------- */

static bool spin(word *w, uint32_t old, uint64_t spin_ns) {
    uint64_t from = spin_ns ? plat_time_ns() : 0;
    do {
        for (int i = 0; i < SPINS_A_LOOK; i++, cpu_pause())
            if (atomic_load_explicit(&w->value, memory_order_acquire) != old) return true;
    } while (spin_ns && plat_time_ns() - from < spin_ns);
    return false;
}

/* Returns when w is no longer `old`. */
static void wait_past(const pool *p, word *w, word *sleepers, uint32_t old, patience *pt) {
    if (atomic_load_explicit(&w->value, memory_order_acquire) != old) return; /* no wait, no experience */
    bool brief = pt->brief_left > 0, came = spin(w, old, brief ? 0 : p->spin_ns);
    if (brief) pt->brief_left--;
    else pt->brief_left = pt->brief_last = came ? 0 : MIN(2 * pt->brief_last + 1, BRIEF_MOST);
    if (came) return;
    /* Sequentially consistent against advance(): either it sees a sleeper, or we see its new value. */
    atomic_fetch_add(&sleepers->value, 1);
    while (atomic_load(&w->value) == old) plat_wait(&w->value, old, UINT64_MAX);
    atomic_fetch_sub(&sleepers->value, 1);
}

static void advance(word *w, word *sleepers, uint32_t n) {
    atomic_fetch_add(&w->value, n);
    if (atomic_load(&sleepers->value)) plat_wake(&w->value, UINT32_MAX);
}

/* A caller that only waits. Nobody else wants its core. */
static void wait_done(pool *p, uint32_t old) {
    if (spin(&p->done, old, p->spin_ns)) return;
    atomic_fetch_add(&p->done_sleepers.value, 1);
    while (atomic_load(&p->done.value) == old) {
        plat_wait(&p->done.value, old, p->yield ? YIELD_NS : UINT64_MAX);
        if (p->yield) p->yield(p->user);
    }
    atomic_fetch_sub(&p->done_sleepers.value, 1);
}

/* Counts a part as done; the last one of all moves the phase. */
static void arrive(pool *p, int part) {
    int group = part / GROUP, members = MIN(GROUP, p->n_workers - group * GROUP);
    word *at = &p->arrived[group];
    if (atomic_fetch_add_explicit(&at->value, 1, memory_order_acq_rel) + 1 != (uint32_t)members) return;
    atomic_store_explicit(&at->value, 0, memory_order_relaxed); /* nobody comes again before the phase moves */
    if (atomic_fetch_add_explicit(&p->groups_arrived.value, 1, memory_order_acq_rel) + 1 != (uint32_t)p->n_groups)
        return;
    atomic_store_explicit(&p->groups_arrived.value, 0, memory_order_relaxed);
    bool last = p->caller_waits && atomic_load_explicit(&p->phase.value, memory_order_relaxed) + 1 == p->end;
    advance(&p->phase, &p->phase_sleepers, 1); /* from here on the next run may begin, if the caller does not wait */
    if (last) advance(&p->done, &p->done_sleepers, 1);
}

/* ---- the pool ------------------------------------------------------------------------------------ */

/* Does a part of the step that the phase was seen at, unless somebody has begun it. */
static void try_part(pool *p, uint32_t step, int part) {
    _Atomic uint32_t *claimed = &p->seat[part].claimed.value;
    uint32_t seen = step;
    if (atomic_load_explicit(claimed, memory_order_relaxed) != step ||
        !atomic_compare_exchange_strong_explicit(claimed, &seen, step + 1, memory_order_relaxed, memory_order_relaxed))
        return;
    p->fn(p->arg, step - p->first, part, p->n_workers);
    arrive(p, part);
}

/* Until the step is done. */
static void finish_step(pool *p, uint32_t step, int worker) {
    patience *pt = &p->seat[worker].for_phase;
    try_part(p, step, worker);
    if (atomic_load_explicit(&p->phase.value, memory_order_acquire) != step) return;
    if (spin(&p->phase, step, 0)) {
        if (pt->brief_left) pt->brief_left--;
        else pt->brief_last = 0;
        return;
    }
    for (int i = 1; i < p->n_workers; i++) try_part(p, step, (worker + i) % p->n_workers);
    wait_past(p, &p->phase, &p->phase_sleepers, step, pt);
}

static void work(void *arg) {
    struct seat *seat = arg;
    pool *p = seat->p;
    int worker = (int)(seat - p->seat);
    for (;;) {
        uint32_t open = atomic_load_explicit(&p->open.value, memory_order_acquire);
        if (atomic_load_explicit(&p->closing, memory_order_relaxed)) return;
        uint32_t step = atomic_load_explicit(&p->phase.value, memory_order_acquire);
        if ((int32_t)(open - step) > 0) finish_step(p, step, worker);
        else wait_past(p, &p->open, &p->open_sleepers, open, &seat->for_open);
    }
}

/* The cores that make a step the shortest, in their order; returns how many. Parts are alike, so a step takes as long
 * as its slowest worker: slow cores take part where their number makes up for it, or else not at all. */
static int choose_cores(int core[POOL_WORKERS_MAX]) {
    int n_all = MIN(plat_core_count(), POOL_WORKERS_MAX), slowest = 0, best = 0, n = 0;
    for (int i = 0; i < n_all; i++) {
        int capacity = plat_core_at(i).capacity, sum = 0;
        for (int j = 0; j < n_all; j++) sum += plat_core_at(j).capacity < capacity ? 0 : capacity;
        if (sum > best) best = sum, slowest = capacity;
    }
    for (int i = 0; i < n_all; i++)
        if (plat_core_at(i).capacity >= slowest) core[n++] = i;
    return n;
}

err_code pool_open(pool **out, const pool_opts *o, err *e) {
    *out = NULL;
    int core[POOL_WORKERS_MAX], n_chosen = choose_cores(core), n = o->n_workers ? o->n_workers : n_chosen;
    if (n < 1 || n > POOL_WORKERS_MAX)
        return ERR(e, ERR_ARGUMENT, "%d workers wanted, 1 to %d are possible", n, POOL_WORKERS_MAX);
    pool *p = mem_block(MEM_ENGINE, sizeof *p);
    if (!p) return ERR(e, ERR_MEMORY, "%zu bytes for the pool of workers", sizeof *p);
    p->n_workers = n;
    p->yield = o->yield;
    p->user = o->user;
    p->n_groups = (int)div_up((size_t)n, GROUP);
    for (int i = 0; n == plat_core_count() && i < n; i++) core[i] = i;
    p->spin_ns = n > plat_processor_count() ? 0 : SPIN_NS;
    p->caller_waits = plat_caps() & PLAT_CALLER_WAITS;
    p->pinned = o->pin && (n == n_chosen || n == plat_core_count()) && (plat_caps() & PLAT_CAN_PIN) &&
                (p->caller_waits || !plat_pin_self(core[0]));
    for (p->n_started = !p->caller_waits; p->n_started < n; p->n_started++) {
        struct seat *seat = &p->seat[p->n_started];
        seat->p = p;
        int error = plat_thread_start(&seat->thread, work, seat, p->pinned ? core[p->n_started] : -1);
        if (!error) continue;
        ERR(e, ERR_MEMORY, "worker %d of %d did not start: %s, or a limit of threads; -t wants fewer",
            p->n_started + 1, n, plat_error_name(error));
        pool_close(p);
        return ERR_MEMORY;
    }
    *out = p;
    return ERR_NONE;
}

void pool_close(pool *p) {
    if (!p) return;
    atomic_store_explicit(&p->closing, true, memory_order_relaxed);
    advance(&p->open, &p->open_sleepers, 1);
    for (int i = !p->caller_waits; i < p->n_started; i++) plat_thread_join(p->seat[i].thread);
    if (p->pinned && !p->caller_waits) plat_pin_self(-1);
    mem_block_free(p);
}

int pool_workers(const pool *p) { return p->n_workers; }

void pool_run(pool *p, pool_fn *fn, void *arg, size_t n_steps) {
    if (p->n_workers == 1 && !p->caller_waits) {
        for (size_t i = 0; i < n_steps; i++) fn(arg, i, 0, 1);
        return;
    }
    ASSERT(n_steps <= INT32_MAX);
    if (!n_steps) return;
    uint32_t done = atomic_load_explicit(&p->done.value, memory_order_relaxed);
    p->fn = fn;
    p->arg = arg;
    p->first = atomic_load_explicit(&p->phase.value, memory_order_relaxed); /* all that was open is done */
    p->end = p->first + (uint32_t)n_steps;
    advance(&p->open, &p->open_sleepers, (uint32_t)n_steps);
    if (p->caller_waits) {
        wait_done(p, done);
        return;
    }
    for (uint32_t step; (step = atomic_load_explicit(&p->phase.value, memory_order_acquire)) != p->end;)
        finish_step(p, step, 0);
}
