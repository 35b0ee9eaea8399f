/* test_pool.c: every part is done once, steps wait for each other, too many workers collapse nothing. */
#include "plat/fault/fault.h"
#include "pool/pool.h"
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

typedef struct job {
    pool *p;
    int rounds;
    int runs[POOL_WORKERS_MAX]; /* plain memory: the pool's own ordering must carry it */
    int slot[2][POOL_WORKERS_MAX];
    _Atomic int wrong;
    double work_ns;
} job;

static pool *open_pool(int n, bool pin) {
    pool *p;
    err e;
    CHECK_MSG(pool_open(&p, &(pool_opts){.n_workers = n, .pin = pin}, &e) == ERR_NONE, "%s", e.text);
    return p;
}

static void count_run(void *arg, size_t step, int part, int n_parts) {
    job *j = arg;
    j->runs[part]++;
    if (n_parts != pool_workers(j->p) || step) atomic_fetch_add(&j->wrong, 1);
}

/* Each step every part writes its slot, and reads what all wrote in the step before. */
static void exchange(void *arg, size_t step, int part, int n_parts) {
    job *j = arg;
    const int *before = j->slot[(step + 1) % 2];
    j->slot[step % 2][part] = (int)step + 1;
    for (int i = 0; i < n_parts; i++)
        if (before[i] != (int)step) atomic_fetch_add(&j->wrong, 1);
}

static void check_pool(int n, int runs, int rounds) {
    static job j;
    memset(&j, 0, sizeof j);
    j.p = open_pool(n, true);
    j.rounds = rounds;
    CHECK(n == 0 || pool_workers(j.p) == n);
    n = pool_workers(j.p);
    for (int i = 0; i < runs; i++) pool_run(j.p, count_run, &j, 1);
    for (int i = 0; i < n; i++) CHECK_EQ(j.runs[i], runs);
    for (int i = 0; i < 3; i++) {
        memset(j.slot, 0, sizeof j.slot);
        pool_run(j.p, exchange, &j, (size_t)j.rounds);
        if (i == 1) plat_sleep_ns(500000); /* the workers are asleep now */
    }
    CHECK_EQ(j.wrong, 0);
    pool_close(j.p);
}

TEST(pool_runs_everybody) {
    size_t before = mem_bytes_total();
    check_pool(0, 100, 100);
    check_pool(1, 1000, 100);
    check_pool(2, 3000, 3000);
    check_pool(3, 300, 300);
    check_pool(8, 200, 200);
    check_pool(9, 100, 100);
    check_pool(33, 20, 20);
    check_pool(POOL_WORKERS_MAX, 3, 3);
    pool_close(NULL);
    CHECK_EQ(mem_bytes_total(), before);
}

static void note_thread(void *arg, size_t step, int part, int n_parts) {
    (void)step, (void)n_parts;
    ((pthread_t *)arg)[part] = pthread_self();
}

typedef struct hooked {
    _Atomic int calls;
    pthread_t caller;
} hooked;

static bool count_call(void *user) {
    hooked *h = user;
    if (pthread_equal(h->caller, pthread_self())) atomic_fetch_add(&h->calls, 1);
    return true; /* which stops nobody */
}

static void wait_for_calls(void *arg, size_t step, int part, int n_parts) {
    hooked *h = arg;
    (void)step, (void)part, (void)n_parts;
    while (atomic_load(&h->calls) < 3) plat_yield();
}

/* Where the platform keeps the caller for devices, it is none of the workers, and looks after them meanwhile; all else
 * is as ever. */
TEST(pool_whose_caller_waits) {
    size_t before = mem_bytes_total();
    pthread_t who[4];
    fault_arm(&(fault_plan){.caller_waits = true, .fail_at = -1});
    for (int n = 1; n <= 4; n++) {
        pool *p = open_pool(n, n % 2);
        pool_run(p, note_thread, who, 1);
        for (int i = 0; i < n; i++) CHECK(!pthread_equal(who[i], pthread_self()));
        pool_close(p);
    }
    hooked h = {.caller = pthread_self()};
    pool *p;
    err e;
    CHECK_EQ(pool_open(&p, &(pool_opts){.n_workers = 2, .yield = count_call, .user = &h}, &e), ERR_NONE);
    pool_run(p, wait_for_calls, &h, 1);
    pool_close(p);
    CHECK(h.calls >= 3);
    check_pool(0, 100, 100);
    check_pool(1, 1000, 100);
    check_pool(2, 3000, 3000);
    check_pool(9, 100, 100);
    check_pool(33, 20, 20);
    fault_arm(NULL);
    CHECK_EQ(mem_bytes_total(), before);
}

/* A worker that does not start: those that did are joined. */
TEST(pool_whose_threads_fail) {
    size_t before = mem_bytes_total();
    err e;
    for (int waits = 0; waits < 2; waits++)
        for (int64_t at = 0;; at++) {
            pool *p;
            fault_arm(&(fault_plan){.caller_waits = waits, .fail_at = at});
            err_code code = pool_open(&p, &(pool_opts){.n_workers = 3}, &e);
            bool hit = fault_hits() > 0;
            fault_arm(NULL);
            CHECK_EQ(code, hit ? ERR_MEMORY : ERR_NONE);
            if (code && at > 1)
                CHECK(strstr(e.text, "of 3 did not start: not enough memory, or a limit of threads; -t wants fewer"));
            pool_close(p);
            CHECK_EQ(mem_bytes_total(), before);
            if (!hit) break;
        }
}

TEST(pool_refuses_silly_counts) {
    pool *p;
    err e;
    CHECK_EQ(pool_open(&p, &(pool_opts){.n_workers = -1}, &e), ERR_ARGUMENT);
    CHECK(p == NULL);
    CHECK_EQ(pool_open(&p, &(pool_opts){.n_workers = POOL_WORKERS_MAX + 1}, &e), ERR_ARGUMENT);
    CHECK_STR(e.text, "257 workers wanted, 1 to 256 are possible");
}

TEST(pool_closes_at_once) {
    for (int i = 0; i < 100; i++) {
        pool *p = open_pool(1 + i % 5, false);
        if (i % 3 == 0) plat_sleep_ns(100000);
        pool_close(p);
    }
}

TEST(pool_shares_cover_everything) {
    for (size_t n = 0; n < 300; n += 7) {
        for (size_t step = 1; step <= 32; step *= 2) {
            for (int workers = 1; workers < 20; workers++) {
                size_t at = 0;
                for (int w = 0; w < workers; w++) {
                    size_t from, to;
                    pool_share(n, step, w, workers, &from, &to);
                    CHECK(from == at && to >= from && (from % step == 0 || from == n));
                    at = to;
                }
                CHECK_EQ(at, n);
            }
        }
    }
}

typedef struct pinned {
    _Atomic int n_here; /* nobody leaves before all are here: so each worker has a part */
    int n_cpus[POOL_WORKERS_MAX]; /* that each worker may use */
    cpu_set_t masks[8];
} pinned;

static void note_mask(void *arg, size_t step, int part, int n_parts) {
    pinned *p = arg;
    cpu_set_t mask;
    (void)step;
    CPU_ZERO(&mask);
    sched_getaffinity(0, sizeof mask, &mask);
    p->n_cpus[part] = CPU_COUNT(&mask);
    if (part < (int)COUNT_OF(p->masks)) p->masks[part] = mask;
    for (atomic_fetch_add(&p->n_here, 1); atomic_load(&p->n_here) < n_parts;) plat_yield();
}

/* Workers are bound where they are as many as the cores of the mask, each to one of its own; else to none. */
TEST(pool_pins_inside_the_mask) {
    static pinned p;
    cpu_set_t whole, all;
    int cores = plat_core_count(), processors = plat_processor_count();
    sched_getaffinity(0, sizeof whole, &whole);
    if (!(plat_caps() & PLAT_CAN_PIN) || CPU_COUNT(&whole) != processors) test_skip("the cores are not ours alone");
    for (int more = 0; more < 2; more++) {
        for (int pin = 0; pin < 2; pin++) {
            pool *workers = open_pool(cores + more, pin);
            p.n_here = 0;
            pool_run(workers, note_mask, &p, 1);
            pool_close(workers);
            CPU_ZERO(&all);
            for (int i = 0, sum = 0; i < cores + more; i++) {
                if (!pin || more) CHECK_EQ(p.n_cpus[i], processors);
                else CHECK((sum += p.n_cpus[i]) <= processors && p.n_cpus[i] > 0);
            }
            for (int i = 0; i < MIN(cores, (int)COUNT_OF(p.masks)); i++) CPU_OR(&all, &all, &p.masks[i]);
            if (cores <= (int)COUNT_OF(p.masks)) CHECK(CPU_EQUAL(&all, &whole));
        }
    }
    sched_getaffinity(0, sizeof all, &all);
    CHECK_MSG(CPU_EQUAL(&all, &whole), "the caller stays bound after the pool was closed");
}

/* As where a session takes the place of another: the one closed last frees the caller, in whatever order. */
TEST(pool_keeps_its_caller_bound) {
    cpu_set_t whole, bound, seen;
    sched_getaffinity(0, sizeof whole, &whole);
    if (!(plat_caps() & PLAT_CAN_PIN)) test_skip("the cores are not ours alone");
    for (int first = 0; first < 2; first++) {
        pool *pools[2] = {open_pool(0, true), open_pool(0, true)};
        sched_getaffinity(0, sizeof bound, &bound);
        pool_close(pools[first]);
        sched_getaffinity(0, sizeof seen, &seen);
        CHECK(CPU_EQUAL(&seen, &bound));
        pool_close(pools[!first]);
        sched_getaffinity(0, sizeof seen, &seen);
        CHECK(CPU_EQUAL(&seen, &whole));
    }
}

/* Which cores the workers of a made-up machine are bound to, as "2 3 4": "-" where to none. */
static const char *bound_to(const plat_core *cores, int n_cores, int n_workers) {
    static char text[256];
    int core[16];
    size_t used = 0;
    for (size_t i = 0; i < COUNT_OF(core); i++) core[i] = -2;
    fault_arm(&(fault_plan){.caller_waits = true, .fail_at = -1, .cores = cores, .n_cores = n_cores, .pins = core});
    pool_close(open_pool(n_workers, true));
    fault_arm(NULL);
    text[0] = 0;
    for (size_t i = 0; i < COUNT_OF(core) && core[i] > -2; i++) {
        used += fmt(text + used, sizeof text - used, i ? " " : "");
        used += fmt(text + used, sizeof text - used, core[i] < 0 ? "-" : "%d", core[i]);
    }
    return text;
}

/* One worker a core; slow cores where a step is the shorter for it. */
TEST(pool_chooses_its_cores) {
    static const plat_core even[] = {{0, 1024}, {0, 1024}, {1, 1024}, {1, 1024}};
    static const plat_core half[] = {{0, 500}, {0, 500}, {0, 1024}, {0, 1024}}; /* 4 x 500 < 2 x 1024 */
    static const plat_core many[] = {{0, 1024}, {0, 400}, {0, 400}, {0, 400}, {0, 400}, {0, 400}};
    static const plat_core three[] = {{0, 200}, {0, 700}, {0, 1024}, {0, 700}}; /* 3 x 700 */
    if (!(plat_caps() & PLAT_CAN_PIN)) test_skip("the cores are not ours alone");
    CHECK_STR(bound_to(even, 4, 0), "0 1 2 3");
    CHECK_STR(bound_to(even, 4, 4), "0 1 2 3");
    CHECK_STR(bound_to(even, 4, 3), "- - -");
    CHECK_STR(bound_to(even, 4, 5), "- - - - -");
    CHECK_STR(bound_to(even, 1, 0), "0");
    CHECK_STR(bound_to(half, 4, 0), "2 3");
    CHECK_STR(bound_to(half, 4, 4), "0 1 2 3");
    CHECK_STR(bound_to(half, 4, 3), "- - -");
    CHECK_STR(bound_to(many, 6, 0), "0 1 2 3 4 5");
    CHECK_STR(bound_to(three, 4, 0), "1 2 3");
}

/* ---- speed: generous bounds, because test machines are busy --------------------------------------- */

static void grind(double ns) { /* about as long on every worker, however the clock is */
    static double a_ns; /* steps a nanosecond; set before the workers start */
    volatile double x = 1;
    if (ns < 0) {
        uint64_t from = plat_time_ns();
        for (int i = 0; i < 1000000; i++) x = x * 1.0000001;
        a_ns = 1e6 / (double)(plat_time_ns() - from);
        return;
    }
    for (long i = 0, n = (long)(ns * a_ns); i < n; i++) x = x * 1.0000001;
}

static void work_a_while(void *arg, size_t step, int part, int n_parts) {
    (void)step, (void)part;
    grind(((job *)arg)->work_ns / n_parts);
}

static void nothing(void *arg, size_t step, int part, int n_parts) { (void)arg, (void)step, (void)part, (void)n_parts; }

static double time_of(job *j, int n, int runs, pool_fn *fn) {
    double best = 1e30;
    j->p = open_pool(n, false);
    for (int i = 0; i < 3; i++) {
        uint64_t from = plat_time_ns();
        for (int k = 0; k < runs; k++) pool_run(j->p, fn, j, (size_t)j->rounds);
        best = MIN(best, (double)(plat_time_ns() - from));
    }
    pool_close(j->p);
    return best;
}

TEST(pool_is_quick) {
    static job j;
    int cores = plat_core_count();
    if (cores < 2) test_skip("one core");
    j.rounds = 5000;
    double barrier = time_of(&j, 2, 1, nothing) / j.rounds;
    j.rounds = 1;
    double run = time_of(&j, 2, 1000, nothing) / 1000;
    j.rounds = 100;
    double many = time_of(&j, 4 * cores, 1, nothing) / j.rounds;
    printf("     pool: a barrier of 2 workers %.0f ns, an empty run %.0f ns, a barrier of %d workers on %d cores %.0f "
           "ns\n",
           barrier, run, 4 * cores, cores, many);
    for (int i = 0; i < 20 && barrier >= 500000; i++) { /* cores that others use as well make it long */
        if (plat_load() >= 0.5) test_skip("the machine is busy");
        j.rounds = 5000;
        barrier = time_of(&j, 2, 1, nothing) / j.rounds;
    }
    CHECK_MSG(barrier < 500000, "a barrier takes %.0f ns", barrier);
}

TEST(pool_does_not_collapse) {
    static job j;
    int cores = plat_core_count();
    grind(-1);
    j.rounds = 300;
    j.work_ns = cores * 100000.0; /* a matrix of a small model */
    double even = time_of(&j, cores, 1, work_a_while), over = time_of(&j, 4 * cores, 1, work_a_while);
    printf("     pool: %d workers on %d cores do %.0f %% of the work of %d\n", 4 * cores, cores, 100 * even / over,
           cores);
    CHECK_MSG(over < 4 * even, "%d workers take %.1f ms, %d take %.1f ms", 4 * cores, over / 1e6, cores, even / 1e6);
}
