/* space.c: address space above all RAM, for what the engine reserves and commits. Holes between reservations are
 * guards.
 */
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/memory/memory_int.h"

#define SPACE_START ((uint64_t)1 << 46)
#define SPACE_END ((uint64_t)1 << 47) /* the upper half is the kernel's in other systems; nobody lives there here */
#define HOLES_MAX 4096

/* Free address space, sorted, never touching. When there is no row left for a hole, its addresses are lost: 64 TiB
 * are enough. */
static struct hole {
    uint64_t start, end;
} holes[HOLES_MAX] = {{SPACE_START, SPACE_END - MEMORY_LARGE}};
static size_t n_holes = 1;
static cpu_lock lock;

static uint64_t span_of(size_t bytes) {
    /* A page, or a large one, of nothing behind each: whoever runs past an end faults. */
    size_t page = bytes >= MEMORY_LARGE ? MEMORY_LARGE : MEMORY_PAGE;
    return align_up(bytes, page) + page;
}

static void remove_hole(size_t i) { memmove(&holes[i], &holes[i + 1], (--n_holes - i) * sizeof *holes); }

static void insert_hole(size_t i, uint64_t start, uint64_t end) {
    if (start >= end || n_holes == HOLES_MAX) return;
    memmove(&holes[i + 1], &holes[i], (n_holes++ - i) * sizeof *holes);
    holes[i] = (struct hole){start, end};
}

void *memory_reserve(size_t bytes) {
    if (!bytes || bytes > SPACE_START) return NULL;
    uint64_t span = span_of(bytes), align = bytes >= MEMORY_LARGE ? MEMORY_LARGE : MEMORY_PAGE, found = 0;
    cpu_lock_take(&lock);
    for (size_t i = 0; i < n_holes && !found; i++) {
        uint64_t at = align_up(holes[i].start, align), end = holes[i].end;
        if (at > end || end - at < span) continue;
        found = at;
        uint64_t start = holes[i].start;
        if (at + span < end) {
            holes[i].start = at + span;
            insert_hole(i, start, at);
        } else if (start < at) {
            holes[i].end = at;
        } else {
            remove_hole(i);
        }
    }
    cpu_lock_leave(&lock);
    return (void *)(uintptr_t)found;
}

void memory_release(void *at, size_t bytes) {
    uint64_t start = (uintptr_t)at, end = start + span_of(bytes);
    tables_unmap(start, align_up(bytes, MEMORY_PAGE), true);
    cpu_lock_take(&lock);
    size_t i = 0;
    while (i < n_holes && holes[i].end < start) i++;
    if (i < n_holes && holes[i].end == start) {
        holes[i].end = end;
        if (i + 1 < n_holes && holes[i + 1].start == end) {
            holes[i].end = holes[i + 1].end;
            remove_hole(i + 1);
        }
    } else if (i < n_holes && holes[i].start == end) {
        holes[i].start = start;
    } else {
        insert_hole(i, start, end);
    }
    cpu_lock_leave(&lock);
}

bool memory_commit(void *at, size_t bytes) {
    uint64_t from = (uintptr_t)at, end = from + align_up(bytes, MEMORY_PAGE), now = from;
    while (now < end) {
        uint64_t step = MEMORY_LARGE, page = 0;
        if (!(now & (MEMORY_LARGE - 1)) && end - now >= MEMORY_LARGE) page = physical_large();
        if (!page) page = physical_page(), step = MEMORY_PAGE;
        if (!page) break;
        memset((void *)(uintptr_t)page, 0, step);
        if (!tables_map(now, page, step, MAP_WRITE)) {
            physical_free(page, step / MEMORY_PAGE);
            break;
        }
        now += step;
    }
    if (now == end) return true;
    if (now > from) tables_unmap(from, now - from, true);
    return false;
}

void *memory_stack(size_t bytes) {
    char *at = memory_reserve(bytes + MEMORY_PAGE);
    if (!at) return NULL;
    if (memory_commit(at + MEMORY_PAGE, bytes)) return at + MEMORY_PAGE + bytes;
    memory_release(at, bytes + MEMORY_PAGE);
    return NULL;
}

void memory_stack_free(void *top, size_t bytes) {
    if (top) memory_release((char *)top - bytes - MEMORY_PAGE, bytes + MEMORY_PAGE);
}

void memory_start(void) {
    physical_start();
    tables_start();
}
