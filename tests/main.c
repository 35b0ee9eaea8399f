/* The one test runner: `build/test [--list] [-v] [--part=I/N] [name part ...]`. Prints "N passed, N failed" at the end.
 * --part=I/N takes every N-th test from the I-th on (from 1), for running N processes side by side. */
#include "check.h"
#include "plat/fault/fault.h"

#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static test_case *first;
static jmp_buf escape;
static char failure[1024];
static char skipped_why[256];

void test_register(test_case *t) {
    test_case **at = &first;
    while (*at && (strcmp((*at)->file, t->file) < 0 || (strcmp((*at)->file, t->file) == 0))) at = &(*at)->next;
    t->next = *at;
    *at = t;
}

void test_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = snprintf(failure, sizeof failure, "%s:%d: ", file, line);
    vsnprintf(failure + n, sizeof failure - (size_t)n, format, args);
    va_end(args);
    longjmp(escape, 1);
}

void test_skip(const char *why) {
    snprintf(skipped_why, sizeof skipped_why, "%s", why);
    longjmp(escape, 2);
}

void test_check_str(const char *file, int line, const char *what, const char *a, const char *b) {
    if (!a || !b || strcmp(a, b) != 0)
        test_fail(file, line, "%s is \"%s\", wanted \"%s\"", what, a ? a : "(null)", b ? b : "(null)");
}

const char *test_path(int slot, const char *name) {
    static char paths[8][512];
    const char *dir = getenv("LEAT_TEST_DIR");
    if (!dir) dir = "build/test-files";
    mkdir("build", 0777);
    mkdir(dir, 0777);
    snprintf(paths[slot], sizeof paths[slot], "%s/%s", dir, name);
    return paths[slot];
}

const char *test_shared(void) {
    static const char *const places[] = {"../shared", "../../shared"};
    for (size_t i = 0; i < 2; i++) {
        char probe[64];
        snprintf(probe, sizeof probe, "%s/golden/README.md", places[i]);
        if (access(probe, R_OK) == 0) return places[i];
    }
    return NULL;
}

unsigned char *test_slurp(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    if (!f) test_fail(path, 0, "cannot be opened");
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    unsigned char *p = malloc((size_t)n + 1);
    if (fread(p, 1, (size_t)n, f) != (size_t)n) test_fail(path, 0, "cannot be read");
    p[n] = 0;
    fclose(f);
    *bytes = (size_t)n;
    return p;
}

static size_t guard_span(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

void *test_guard(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), span = guard_span(bytes);
    char *p = mmap(NULL, span + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + page, span, PROT_READ | PROT_WRITE)) test_fail(__FILE__, __LINE__, "mmap");
    return p + page + span - bytes;
}

void test_guard_free(void *at, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), span = guard_span(bytes);
    munmap((char *)at + bytes - span - page, span + 2 * page);
}

static bool selected(const test_case *t, int argc, char **argv) {
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') continue;
        any = true;
        if (strstr(t->name, argv[i]) || strstr(t->file, argv[i])) return true;
    }
    return !any;
}

int main(int argc, char **argv) {
    static bool list, verbose; /* static: they live across the longjmp */
    static int part = 1, parts = 1, number;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--list")) list = true;
        if (!strcmp(argv[i], "-v")) verbose = true;
        sscanf(argv[i], "--part=%d/%d", &part, &parts);
    }
    static volatile int passed, failed, skipped;
    for (test_case *volatile t = first; t; t = t->next) {
        if (!selected(t, argc, argv) || number++ % parts != part - 1) continue;
        if (list) {
            printf("%s (%s)\n", t->name, t->file);
            continue;
        }
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        int out = setjmp(escape);
        if (out == 0) {
            t->run();
            passed++;
        } else if (out == 1) {
            failed++;
            fault_arm(NULL); /* the next one's machine is sound */
            printf("FAIL %s\n     %s\n", t->name, failure);
        } else {
            skipped++;
            printf("skip %s: %s\n", t->name, skipped_why);
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        double s = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        if (out == 0 && (verbose || s > 5)) printf("ok   %s (%.2f s)\n", t->name, s);
        fflush(stdout);
    }
    if (list) return 0;
    printf("%d passed, %d failed", passed, failed);
    if (skipped) printf(", %d skipped", skipped);
    printf("\n");
    return failed != 0 || passed == 0;
}
