/* pool_speed.c: what is left of the pool's throughput when there are more workers than cores, when two programs share
 * them, or when somebody takes cores away. Part of `make check-all`. Figures need a machine that is not busy: each is a
 * ratio within one try, the best of several tries counts. What falls short where the cores were others' says `skip`,
 * which the suites show and count beside what passed and failed.
 */
#include "check.h"
#include "pool/pool.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 6       /* on a machine that does nothing else */
#define TRIES_MAX 12
#define STEP_NS 100000.0 /* of one core: a matrix of a small model */
#define RUN_NS 250000000u

typedef struct job {
    pool *p;
    double units; /* of work for all workers together, in a step */
} job;

static void work(double units) {
    volatile double x = 1;
    for (long i = 0, n = (long)units; i < n; i++) x = x * 1.0000001;
}

static double units_a_ns(void) {
    double best = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t from = plat_time_ns();
        work(100000);
        best = MAX(best, 100000 / (double)(plat_time_ns() - from));
    }
    return best;
}

static void one_step(void *arg, size_t step, int part, int n_parts) {
    (void)step, (void)part;
    work(((job *)arg)->units / n_parts);
}

/* Runs of ten steps a second. */
static double throughput(int n_workers, double units, uint64_t ns) {
    job j = {.units = units};
    err e;
    if (pool_open(&j.p, &(pool_opts){.n_workers = n_workers, .pin = true}, &e)) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    uint64_t from = plat_time_ns();
    int n = 0;
    for (; plat_time_ns() - from < ns; n++) pool_run(j.p, one_step, &j, 10);
    double s = (double)(plat_time_ns() - from) / 1e9;
    pool_close(j.p);
    return n / s;
}

static int cores, passed, failed, skipped;
static double units;

/* What all cores do at once, each by itself, over what they should: 1 on a machine that does nothing else. */
static double share_of_machine(void) {
    double worst = 1;
    pid_t pids[64];
    int ends[2], n = MIN(cores, (int)COUNT_OF(pids));
    if (pipe(ends)) return 0;
    for (int i = 0; i < n; i++) {
        if ((pids[i] = fork())) continue;
        uint64_t from = plat_time_ns();
        work(units / STEP_NS / cores * 50e6);
        double share = 50e6 / (double)(plat_time_ns() - from);
        _exit(write(ends[1], &share, sizeof share) != sizeof share);
    }
    close(ends[1]);
    for (double share; read(ends[0], &share, sizeof share) == sizeof share;) worst = MIN(worst, share);
    close(ends[0]);
    for (int i = 0; i < n; i++) waitpid(pids[i], NULL, 0);
    return worst;
}

static bool idle(void) { return share_of_machine() >= 0.8; }

static double against(int n_workers) {
    double even = throughput(cores, units, RUN_NS);
    return throughput(n_workers, units, RUN_NS) / even;
}

/* A child that works while `disturb` acts on it; its throughput is left in shared memory. */
static double child(double *shared, void (*disturb)(pid_t)) {
    *shared = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        *shared = throughput(cores, units, 2 * RUN_NS);
        _exit(0);
    }
    if (disturb) disturb(pid);
    waitpid(pid, NULL, 0);
    return *shared;
}

static pid_t other;
static double *other_shared;
static void start_another(pid_t pid) {
    (void)pid;
    other = fork();
    if (!other) {
        *other_shared = throughput(cores, units, 2 * RUN_NS);
        _exit(0);
    }
}

/* All threads of the process to the first core that it may use. */
static void take_cores(pid_t pid) {
    cpu_set_t mask, one;
    char path[64];
    usleep(50000);
    sched_getaffinity(0, sizeof mask, &mask);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &mask)) continue;
        CPU_SET(cpu, &one);
        break;
    }
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (atoi(entry->d_name)) sched_setaffinity(atoi(entry->d_name), sizeof one, &one);
    if (d) closedir(d);
}

static pid_t hog;
static void start_hog(pid_t pid) {
    (void)pid;
    hog = fork();
    if (!hog)
        for (;;) work(1e6);
}

static double disturbed(double *shared, void (*disturb)(pid_t)) {
    double alone = child(shared, NULL), seen = child(shared, disturb);
    if (other) {
        waitpid(other, NULL, 0);
        seen = MIN(seen, *other_shared); /* each of the two */
    }
    if (hog) {
        kill(hog, SIGKILL);
        waitpid(hog, NULL, 0);
    }
    other = hog = 0;
    return seen / alone;
}

/* Of n_workers, or of as many as cores while something disturbs them. */
static void judge(const char *what, double wanted, int n_workers, double *shared, void (*disturb)(pid_t)) {
    double best = 0;
    int quiet = 0;
    for (int i = 0; i < TRIES_MAX && quiet < TRIES && best < wanted; i++) {
        bool before = idle();
        best = MAX(best, disturb ? disturbed(shared, disturb) : against(n_workers));
        if (best < wanted && before && idle()) quiet++;
    }
    bool well = best >= wanted, judged = well || quiet == TRIES;
    printf("%s%-60s %.2f, at least %.2f%s\n", judged ? "" : "skip pool: ", what, best, wanted,
           well ? "" : judged ? "  FAIL" : ": the machine is busy");
    passed += well;
    failed += judged && !well;
    skipped += !judged;
}

int main(void) {
    cores = plat_core_count();
    if (cores < 2) return printf("skip pool: one core\n0 passed, 0 failed\n"), 0;
    double *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    other_shared = shared + 1;
    units = units_a_ns() * STEP_NS * cores;
    char text[96];
    for (int n = 2; n <= 64; n *= 2) {
        if (n == cores) continue;
        snprintf(text, sizeof text, "%d workers on %d cores, over %d", n, cores, cores);
        judge(text, n < cores ? 0.8 * n / cores : n <= 4 * cores ? 0.7 : n <= 16 * cores ? 0.4 : 0.2, n, NULL, NULL);
    }
    judge("two programs at once, the slower over one alone", 0.4, 0, shared, start_another);
    judge("all threads moved to one core, over all cores", 0.7 / cores, 0, shared, take_cores);
    judge("beside a busy process, over an idle machine", 0.35, 0, shared, start_hog);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed > 0;
}
