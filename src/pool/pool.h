/* pool.h: worker threads. Work comes in steps of as many parts as there are workers; a step begins when the one before
 * it is done. Each worker takes the part of its own number, and then one that nobody has begun: so a worker that the
 * system lets wait for a core holds nobody up. Where workers are bound to cores they are numbered as plat.h numbers
 * those: neighbours are near the same memory, and what a part reads is read by the same core step after step. Who has
 * nothing to do spins briefly, then sleeps, so that more workers than cores do not collapse. Worker 0 is the caller,
 * but where the platform wants its thread for devices (PLAT_CALLER_WAITS): there all workers are threads of their own,
 * and the caller waits.
 */
#ifndef LEAT_POOL_H
#define LEAT_POOL_H

#include "mem/mem.h"
#include "plat/plat.h"

#define POOL_WORKERS_MAX 256

typedef struct pool pool;

typedef struct pool_opts {
    int n_workers; /* 0: one a core of the affinity mask; of cores of two speeds, those that make a step shortest */
    bool pin;      /* bind workers to cores; only when they are as many as those cores, or as all of the mask */
    /* A caller that only waits calls it every millisecond, whatever it answers; may be NULL. */
    bool (*yield)(void *user);
    void *user;
} pool_opts;

/* One part of a step. No two workers are in the same part; what a part of an earlier step wrote is visible. */
typedef void pool_fn(void *arg, size_t step, int part, int n_parts);

err_code pool_open(pool **out, const pool_opts *o, err *e);
void pool_close(pool *p); /* accepts NULL; joins the workers */
int pool_workers(const pool *p);
/* All parts of n_steps steps, one step after another; returns when all are done. One caller at a time. */
void pool_run(pool *p, pool_fn *fn, void *arg, size_t n_steps);

/* The share of [0, n) that a part has, in multiples of step (the last one may be shorter). */
static inline void pool_share(size_t n, size_t step, int part, int n_parts, size_t *from, size_t *to) {
    size_t units = div_up(n, step);
    size_t first = units * (size_t)part / (size_t)n_parts, last = units * ((size_t)part + 1) / (size_t)n_parts;
    *from = MIN(first * step, n);
    *to = MIN(last * step, n);
}

#endif
