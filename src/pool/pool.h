/* pool.h: worker threads. Fork-join over all workers, with barriers inside; spins briefly, then sleeps,
 * so that more workers than cores do not collapse. Worker 0 is the caller, but where the platform wants its thread for
 * devices (PLAT_CALLER_WAITS): there all workers are threads of their own, and the caller waits.
 */
#ifndef LEAT_POOL_H
#define LEAT_POOL_H

#include "mem/mem.h"
#include "plat/plat.h"

#define POOL_WORKERS_MAX 256

typedef struct pool pool;

typedef struct pool_opts {
    int n_workers; /* 0: one per core of the affinity mask */
    bool pin;      /* bind workers to cores; honoured only when n_workers equals the cores of the mask */
    /* A caller that only waits calls it every millisecond, whatever it answers; may be NULL. */
    bool (*yield)(void *user);
    void *user;
} pool_opts;

typedef void pool_fn(void *arg, int worker, int n_workers);

err_code pool_open(pool **out, const pool_opts *o, err *e);
void pool_close(pool *p); /* accepts NULL; joins the workers */
int pool_workers(const pool *p);
/* Runs fn on all workers and returns when all have returned. One caller at a time. */
void pool_run(pool *p, pool_fn *fn, void *arg);
/* Inside pool_run: waits until all workers are here. Everything written before is visible after. */
void pool_barrier(pool *p, int worker);

/* The part of [0, n) that worker w takes, in multiples of step (the last part may be shorter). */
static inline void pool_share(size_t n, size_t step, int worker, int n_workers, size_t *from, size_t *to) {
    size_t units = div_up(n, step);
    size_t first = units * (size_t)worker / (size_t)n_workers, last = units * ((size_t)worker + 1) / (size_t)n_workers;
    *from = MIN(first * step, n);
    *to = MIN(last * step, n);
}

#endif
