/* map.c: files in memory, and what of them cannot be read when it is touched. The system tells of that by a signal to
 * who touched it (SIGBUS): zeros are put there, so that he goes on, and it is noted, so that what he made of them is
 * thrown away.
 */
#include "plat/posix/posix.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

typedef struct mapping mapping;
struct mapping {
    mapping *next;
    const plat_file *file;
    char *at;
    uint64_t bytes;
    uint64_t failure, failed_at; /* the number of its last failure, 0: none; the offset of that  */
    bool holed;                  /* from failed_at, or earlier, to its end there are zeros        */
};

/* Who holds the lock touches nothing that is mapped, so a handler may take it, too. */
static atomic_flag lock = ATOMIC_FLAG_INIT;
static mapping *mappings;
static _Atomic uint64_t failures; /* so far; counted when the zeros are there and n_holed says so */
static _Atomic size_t n_holed;

static void take_lock(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) plat_yield();
}

static void give_lock(void) { atomic_flag_clear_explicit(&lock, memory_order_release); }

static bool holds(const mapping *m, const char *at) { return at >= m->at && at < m->at + m->bytes; }

/* To the end of the mapping: where a page is lost those behind it often are, and each costs a signal, or a disk's
 * patience. */
static bool put_zeros(mapping *m, size_t from) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (mmap(m->at + from, m->bytes - from, PROT_READ, flags, -1, 0) == MAP_FAILED) return false;
    n_holed += !m->holed;
    m->holed = true;
    return true;
}

static void note_failure(mapping *m, uint64_t at) {
    m->failed_at = at;
    m->failure = failures + 1;
    failures++;
}

bool posix_map_fault(const void *touched) {
    take_lock();
    mapping *m = mappings;
    while (m && !holds(m, touched)) m = m->next;
    size_t at = m ? (size_t)((const char *)touched - m->at) : 0;
    bool ours = m && put_zeros(m, at / plat_page_bytes() * plat_page_bytes());
    if (ours) note_failure(m, at);
    give_lock();
    return ours;
}

static bool map_again(mapping *m) {
    int flags = MAP_SHARED | MAP_FIXED;
    if (mmap(m->at, m->bytes, PROT_READ, flags, posix_file_fd(m->file), 0) == MAP_FAILED) return false;
    m->holed = false;
    n_holed--;
    return true;
}

uint64_t plat_map_mark(void) {
    uint64_t mark = failures; /* before the holes are looked for: one that comes meanwhile is behind the mark */
    if (!n_holed) return mark;
    take_lock();
    for (mapping *m = mappings; m; m = m->next)
        if (m->holed && !map_again(m)) note_failure(m, m->failed_at);
    give_lock();
    return mark;
}

bool plat_map_failed(const void *at, uint64_t mark, uint64_t *offset) {
    bool failed = false;
    if (failures == mark) return false;
    take_lock();
    for (const mapping *m = mappings; m; m = m->next) {
        if (m->at != at || m->failure <= mark) continue;
        *offset = m->failed_at;
        failed = true;
    }
    give_lock();
    return failed;
}

int plat_file_map(plat_file *f, const void **at) {
    uint64_t bytes = plat_file_bytes(f);
    if (!bytes) return PLAT_INVALID;
    mapping *m = malloc(sizeof *m);
    if (!m) return PLAT_NO_MEMORY;
    void *p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, posix_file_fd(f), 0);
    if (p == MAP_FAILED) {
        int error = posix_error(errno);
        free(m);
        return error;
    }
    take_lock();
    *m = (mapping){.next = mappings, .file = f, .at = p, .bytes = bytes};
    mappings = m;
    give_lock();
    *at = p;
    return PLAT_OK;
}

void plat_file_unmap(const void *at) {
    take_lock();
    mapping **link = &mappings, *m;
    while ((*link)->at != at) link = &(*link)->next;
    m = *link;
    *link = m->next;
    n_holed -= m->holed;
    munmap(m->at, m->bytes);
    give_lock();
    free(m);
}
