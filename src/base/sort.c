/* sort.c: heap sort: in place, and no order of the items makes it slow, as they may come from a file. */
#include "base/base.h"

static void swap_items(char *a, char *b, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char c = a[i];
        a[i] = b[i];
        b[i] = c;
    }
}

/* Item i sinks until none of its children belongs above it. */
static void sink(char *items, size_t i, size_t n, size_t size, sort_before *before) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(items + child * size, items + (child + 1) * size)) child++;
        if (!before(items + i * size, items + child * size)) return;
        swap_items(items + i * size, items + child * size, size);
    }
}

void sort_items(void *items, size_t n, size_t size, sort_before *before) {
    for (size_t i = n / 2; i-- > 0;) sink(items, i, n, size, before);
    for (size_t i = n; i-- > 1;) {
        swap_items(items, (char *)items + i * size, size);
        sink(items, 0, i, size, before);
    }
}

static bool is_less(const void *a, const void *b) { return load_f64(a) < load_f64(b); }

double sort_median(double *values, size_t n) {
    sort_items(values, n, sizeof *values, is_less);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}
