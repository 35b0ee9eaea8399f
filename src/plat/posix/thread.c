/* thread.c: threads on the cores of the affinity mask, and sleeping on a word. Next: cores.c, which finds them. */
#include "plat/posix/posix.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The mask that the process started with: a pinned thread would otherwise see only its own core. A quota of time may
 * grant less than the mask has: more workers than that would be stopped together for the rest of each period. */
static posix_processors mask;
static posix_cores cores;
static int quota;
static pthread_once_t mask_once = PTHREAD_ONCE_INIT;

static void mask_read(void) {
    posix_limits l;
    posix_group_limits("", &l);
    if (sched_getaffinity(0, sizeof mask, mask.set)) memset(&mask, 0, sizeof mask);
    posix_cores_read("", &mask, &cores);
    quota = (int)MIN(l.cores, (uint64_t)POSIX_PROCESSORS);
}

static const posix_cores *known(void) {
    pthread_once(&mask_once, mask_read);
    return &cores;
}

int plat_core_count(void) { return MIN(MAX(known()->n, 1), quota); }
int plat_processor_count(void) { return MIN(MAX(known()->n_processors, 1), quota); }
plat_core plat_core_at(int core) { return core < known()->n ? cores.at[core] : (plat_core){0, 1024}; }

/* Under a quota other groups share the mask's cores with us: then binding to the first ones would crowd them. */
bool posix_can_pin(void) { return plat_core_count() == cores.n; }

/* To all processors of a core: the system knows best which of them is idle. */
int posix_bind(int core) {
    if (core >= plat_core_count() || !cores.n) return PLAT_INVALID;
    posix_processors one = mask;
    for (size_t i = 0; core >= 0 && i < POSIX_PROCESSORS; i++)
        if (cores.of[i] != core + 1) CPU_CLR_S(i, sizeof one, one.set);
    return sched_setaffinity(0, sizeof one, one.set) ? posix_error(errno) : PLAT_OK;
}

static _Thread_local int n_bound; /* bindings that were not taken back */

int plat_pin_self(int core) {
    if (core < 0 && n_bound && --n_bound) return PLAT_OK;
    int error = posix_bind(core);
    n_bound += core >= 0 && !error;
    return error;
}

struct plat_thread {
    pthread_t id;
    void (*fn)(void *);
    void *arg;
    int core;
    bool bind; /* else it has the mask that it was started with, which is not always ours */
};

static void *thread_main(void *arg) {
    plat_thread *t = arg;
    if (t->bind) posix_bind(t->core); /* a wish: the thread works on any core */
    t->fn(t->arg);
    return NULL;
}

int plat_thread_start(plat_thread **out, void (*fn)(void *), void *arg, int core) {
    *out = NULL;
    plat_core_count(); /* the mask is read before any thread is pinned */
    plat_thread *t = malloc(sizeof *t);
    if (!t) return PLAT_NO_MEMORY;
    *t = (plat_thread){.fn = fn, .arg = arg, .core = core, .bind = core >= 0 || n_bound};
    /* Signals go to the first thread only: a worker has nothing to interrupt. But what it does wrong itself does not
     * wait: blocked, it ends the process without a word. */
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&t->id, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        free(t);
        return error == EAGAIN ? PLAT_NO_MEMORY : posix_error(error);
    }
    *out = t;
    return PLAT_OK;
}

void plat_thread_join(plat_thread *t) {
    pthread_join(t->id, NULL);
    free(t);
}

void plat_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    struct timespec t = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns == UINT64_MAX ? NULL : &t, NULL, 0);
}

void plat_wake(_Atomic uint32_t *word, uint32_t count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, (int)MIN(count, (uint32_t)INT_MAX), NULL, NULL, 0);
}

void plat_yield(void) { sched_yield(); }
