/* thread.c: cooperative threads, waiting on words, and what a core does when it has nothing to do.
 *
 * A core without a thread to run idles on the stack of the last one: it looks for deadlines, core 0 asks the devices,
 * and then it halts until another core wakes it or its timer ends. Locks: of the waiters, then of a queue; never the
 * other way.
 */
#include "kernel/console/console.h"
#include "kernel/cpu/cpu_int.h"
#include "kernel/memory/memory.h"

#define STACK_BYTES ((size_t)256 << 10)
#define POLLS_MAX 8

static cpu_thread *waiters;
static cpu_lock waiters_lock;
static void (*polls[POLLS_MAX])(void);
static size_t n_polls;
static uint64_t poll_interval_ns = 50000000; /* the shortest that one of them wants */
static uint64_t asked_ns, waits_ns; /* since when core 0's first thread waits for the same word, 0: it does not */
static _Atomic bool quiet;

/* ---- locks --------------------------------------------------------------------------------------- */

void cpu_lock_take(cpu_lock *l) {
    while (atomic_exchange_explicit(&l->taken, 1, memory_order_acquire))
        while (atomic_load_explicit(&l->taken, memory_order_relaxed)) cpu_pause();
}

void cpu_lock_leave(cpu_lock *l) { atomic_store_explicit(&l->taken, 0, memory_order_release); }

/* ---- queues -------------------------------------------------------------------------------------- */

static void make_ready(cpu_thread *t) {
    cpu_core *c = cpu_cores[t->core];
    cpu_lock_take(&c->lock);
    t->next_ready = NULL;
    *c->ready_end = t;
    c->ready_end = &t->next_ready;
    cpu_lock_leave(&c->lock);
    /* Sequentially consistent against idle(): either it sees the thread, or we see that it halts. */
    atomic_thread_fence(memory_order_seq_cst);
    if (c != cpu_here() && atomic_load(&c->idle)) cpu_apic_send(c->apic_id, CPU_VECTOR_WAKE);
}

static cpu_thread *next_ready(cpu_core *c) {
    cpu_lock_take(&c->lock);
    cpu_thread *t = c->ready;
    if (t && !(c->ready = t->next_ready)) c->ready_end = &c->ready;
    cpu_lock_leave(&c->lock);
    return t;
}

/* What the thread that ran before left to be done, once its stack is no longer ours. */
static void after_switch(void) {
    cpu_core *c = cpu_here();
    cpu_thread *t = c->ended;
    c->ended = NULL;
    if (!t) return;
    atomic_fetch_sub(&c->threads, 1);
    atomic_store(&t->ended, 1);
    cpu_wake(&t->ended, UINT32_MAX); /* by its address only: it may be gone already */
}

static void switch_to(cpu_core *c, cpu_thread *t) {
    cpu_thread *from = c->now;
    if (t == from) return;
    c->now = t;
    cpu_switch(&from->stack_at, t->stack_at);
    after_switch();
}

/* ---- idling -------------------------------------------------------------------------------------- */

static void ask_devices(void) {
    asked_ns = cpu_time_ns();
    /* Who has waited ten times as long for another core waits for ever. */
    if (!waits_ns || asked_ns - waits_ns < cpu_watchdog_seconds() * 10000000000) cpu_watchdog_feed();
    for (size_t i = 0; i < n_polls; i++) polls[i]();
}

void cpu_set_quiet(bool on) {
    static uint32_t watched; /* seconds, for afterwards */
    if (on == quiet) return;
    if (on) watched = cpu_watchdog_seconds();
    cpu_watchdog(on ? 0 : watched);
    quiet = on;
    for (int i = 0; i < cpu_count(); i++)
        if (i != cpu_self()) cpu_apic_send(cpu_cores[i]->apic_id, CPU_VECTOR_WAKE);
}

bool cpu_is_quiet(void) { return quiet; }

void cpu_ask_devices(void) {
    if (cpu_self() == 0 && cpu_time_ns() - asked_ns >= poll_interval_ns) ask_devices();
}

void cpu_on_idle(void (*poll)(void), uint64_t interval_ns) {
    if (n_polls >= POLLS_MAX) cpu_panic("more than %d devices want to be asked", POLLS_MAX);
    polls[n_polls++] = poll;
    poll_interval_ns = MIN(poll_interval_ns, interval_ns);
}

/* Makes those of this core ready whose time has come; the time until the next one. */
static uint64_t expire(int core) {
    uint64_t now = 0, left = UINT64_MAX;
    cpu_lock_take(&waiters_lock);
    for (cpu_thread **at = &waiters; *at;) {
        cpu_thread *t = *at;
        bool timed = t->core == core && t->until_ns != UINT64_MAX;
        if (timed && !now) now = cpu_time_ns();
        if (timed && t->until_ns <= now) {
            *at = t->next_waiter;
            make_ready(t);
            left = 0;
            continue;
        }
        if (timed) left = MIN(left, t->until_ns - now);
        at = &t->next_waiter;
    }
    cpu_lock_leave(&waiters_lock);
    return left;
}

static void idle(cpu_core *c) {
    uint64_t left = expire(c->index);
    if (c->index == 0) {
        ask_devices();
        left = MIN(left, poll_interval_ns);
    }
    if (!left) return;
    if (quiet) {
        cpu_pause();
        return;
    }
    if (cpu_watchdog_seconds()) left = MIN(left, 1000000000); /* the timer is the watchdog's, too */
    __asm__ volatile("cli");
    atomic_store(&c->idle, 1);
    atomic_thread_fence(memory_order_seq_cst);
    cpu_lock_take(&c->lock);
    bool empty = !c->ready;
    cpu_lock_leave(&c->lock);
    if (empty) {
        if (left != UINT64_MAX) cpu_apic_timer(left);
        __asm__ volatile("sti; hlt" : : : "memory");
    } else {
        __asm__ volatile("sti");
    }
    atomic_store(&c->idle, 0);
}

/* Runs others until the thread that calls is picked from the queue, where somebody will put it. */
static void run_others(cpu_core *c) {
    cpu_thread *me = c->now;
    for (;;) {
        cpu_thread *t = next_ready(c);
        if (t == me) return;
        if (!t) {
            idle(c);
            continue;
        }
        switch_to(c, t);
        if (!c->lent) return; /* who switches here took us from the queue, or needs a stack to idle on */
        c->lent = false;
    }
}

/* ---- waiting ------------------------------------------------------------------------------------- */

static void wait_until(_Atomic uint32_t *word, uint32_t expected, uint64_t until_ns) {
    cpu_core *c = cpu_here();
    cpu_thread *me = c->now;
    cpu_lock_take(&waiters_lock);
    if (word && atomic_load(word) != expected) {
        cpu_lock_leave(&waiters_lock);
        return;
    }
    me->word = word;
    me->until_ns = until_ns;
    me->next_waiter = waiters;
    waiters = me;
    cpu_lock_leave(&waiters_lock);
    bool counts = word && me == &cpu_cores[0]->first;
    if (counts && !waits_ns) waits_ns = cpu_time_ns();
    run_others(c);
    if (counts && atomic_load(word) != expected) waits_ns = 0;
}

void cpu_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    uint64_t now = timeout_ns == UINT64_MAX ? 0 : cpu_time_ns();
    wait_until(word, expected, timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns);
}

void cpu_sleep_ns(uint64_t ns) {
    if (ns) wait_until(NULL, 0, cpu_time_ns() + ns);
    else cpu_yield();
}

void cpu_wake(_Atomic uint32_t *word, uint32_t count) {
    cpu_lock_take(&waiters_lock);
    for (cpu_thread **at = &waiters; *at && count;) {
        cpu_thread *t = *at;
        if (t->word == word) {
            *at = t->next_waiter;
            make_ready(t);
            count--;
        } else {
            at = &t->next_waiter;
        }
    }
    cpu_lock_leave(&waiters_lock);
}

void cpu_yield(void) {
    cpu_core *c = cpu_here();
    if (c->index == 0) ask_devices();
    expire(c->index);
    cpu_lock_take(&c->lock);
    bool empty = !c->ready;
    cpu_lock_leave(&c->lock);
    if (empty) {
        cpu_pause();
        return;
    }
    make_ready(c->now);
    run_others(c);
}

/* ---- threads ------------------------------------------------------------------------------------- */

void cpu_thread_enter(void) {
    after_switch();
    cpu_core *c = cpu_here();
    cpu_thread *me = c->now;
    me->fn(me->arg);
    c->ended = me;
    cpu_thread *t = next_ready(c);
    /* Nobody is ready: the core's first thread idles, though it may itself be waiting. */
    c->lent = !t;
    switch_to(c, t ? t : &c->first);
}

/* Core 0 has the devices: it is taken only where there is no other. */
static int emptiest_core(void) {
    int best = cpu_count() - 1;
    for (int i = best - 1; i > 0; i--)
        if (atomic_load(&cpu_cores[i]->threads) < atomic_load(&cpu_cores[best]->threads)) best = i;
    return best;
}

cpu_thread *cpu_thread_start(void (*fn)(void *), void *arg, int core) {
    cpu_thread *t = memory_pages(sizeof *t);
    if (!t) return NULL;
    t->stack_top = memory_stack(STACK_BYTES);
    if (!t->stack_top) {
        memory_pages_free(t, sizeof *t);
        return NULL;
    }
    t->fn = fn;
    t->arg = arg;
    t->core = core >= 0 && core < cpu_count() ? core : emptiest_core();
    uint64_t *top = t->stack_top;
    top[-1] = (uintptr_t)cpu_thread_first; /* below it six registers, all 0 */
    t->stack_at = (uintptr_t)(top - 7);
    atomic_fetch_add(&cpu_cores[t->core]->threads, 1);
    make_ready(t);
    return t;
}

void cpu_thread_join(cpu_thread *t) {
    while (!atomic_load(&t->ended)) cpu_wait(&t->ended, 0, UINT64_MAX);
    memory_stack_free(t->stack_top, STACK_BYTES);
    memory_pages_free(t, sizeof *t);
}

void cpu_core_run(cpu_core *c) {
    for (;;) {
        cpu_thread *t = next_ready(c);
        if (t) switch_to(c, t);
        else idle(c);
        c->lent = false;
    }
}
