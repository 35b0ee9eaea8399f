/* check.h: the whole test framework. A test file says
 *     TEST(gguf_reads_v2) { CHECK(...); CHECK_EQ(a, b); }
 * and is found by the runner (tests/main.c). A failed check prints the place and values and ends that test.
 */
#ifndef LEAT_CHECK_H
#define LEAT_CHECK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct test_case {
    const char *name, *file;
    void (*run)(void);
    struct test_case *next;
} test_case;
void test_register(test_case *t);
_Noreturn void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void test_skip(const char *why); /* counted as skipped, with the reason */

#define TEST(id)                                                                   \
    static void test_##id(void);                                                   \
    __attribute__((constructor)) static void register_##id(void) {                 \
        static test_case t = {#id, __FILE__, test_##id, NULL};                     \
        test_register(&t);                                                         \
    }                                                                              \
    static void test_##id(void)

#define CHECK(cond) do { if (!(cond)) test_fail(__FILE__, __LINE__, "%s", #cond); } while (0)
#define CHECK_MSG(cond, ...) do { if (!(cond)) test_fail(__FILE__, __LINE__, __VA_ARGS__); } while (0)
#define CHECK_EQ(a, b)                                                                            \
    do {                                                                                          \
        long long a_ = (long long)(a), b_ = (long long)(b);                                       \
        if (a_ != b_) test_fail(__FILE__, __LINE__, "%s is %lld, %s is %lld", #a, a_, #b, b_);    \
    } while (0)
#define CHECK_NEAR(a, b, tolerance)                                                                    \
    do {                                                                                               \
        double a_ = (a), b_ = (b), t_ = (tolerance);                                                   \
        if (!(a_ - b_ <= t_ && b_ - a_ <= t_))                                                         \
            test_fail(__FILE__, __LINE__, "%s is %.9g, %s is %.9g, allowed %.3g", #a, a_, #b, b_, t_); \
    } while (0)
#define CHECK_STR(a, b) test_check_str(__FILE__, __LINE__, #a, (a), (b))
void test_check_str(const char *file, int line, const char *what, const char *a, const char *b);

/* Where tests may write: a directory under build/, made on first use. Returns a static buffer per slot (0..7). */
const char *test_path(int slot, const char *name);
/* The folder beside the checkout with reference data, or NULL where it is not (then tests only do less). */
const char *test_shared(void);
/* Whole file; *bytes its size; test_fail when it cannot be read. Free it. */
unsigned char *test_slurp(const char *path, size_t *bytes);
/* Memory whose last byte is directly before an unreadable page (and whose first byte follows one). */
void *test_guard(size_t bytes);
void test_guard_free(void *at, size_t bytes);

#endif
