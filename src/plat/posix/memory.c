/* memory.c: pages by mmap, and how much memory this process may have. */
#include "plat/posix/posix.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void *plat_reserve(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

int plat_commit(void *at, size_t bytes) {
    return mprotect(at, bytes, PROT_READ | PROT_WRITE) ? PLAT_NO_MEMORY : PLAT_OK;
}

void plat_discard(void *at, size_t bytes) { madvise(at, bytes, MADV_DONTNEED); }

void plat_release(void *at, size_t bytes) { munmap(at, bytes); }
void plat_huge_pages(const void *at, size_t bytes) { madvise((void *)(uintptr_t)at, bytes, MADV_HUGEPAGE); }

#ifndef MADV_POPULATE_WRITE /* Linux 5.14; older ones refuse it and fault page by page */
#define MADV_POPULATE_WRITE 23
#endif
void plat_populate(void *at, size_t bytes) { madvise(at, bytes, MADV_POPULATE_WRITE); }

/* Nodes beyond 64 stay out of it. */
void plat_spread(void *at, size_t bytes) {
    enum { INTERLEAVE = 3 }; /* set_mempolicy(2) */
    unsigned long nodes = 0;
    for (int i = 0; i < plat_core_count(); i++) {
        int32_t node = plat_core_at(i).node;
        if (node < 64) nodes |= 1ul << node;
    }
    if (nodes & (nodes - 1)) syscall(SYS_mbind, at, bytes, INTERLEAVE, &nodes, 65, 0);
}

size_t plat_page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

uint64_t plat_mem_total(void) {
    posix_limits l;
    posix_group_limits("", &l);
    return MIN((uint64_t)sysconf(_SC_PHYS_PAGES) * plat_page_bytes(), l.memory_bytes);
}

double plat_mem_pressure(void) {
    posix_limits l;
    posix_group_limits("", &l);
    return l.pressure;
}

uint64_t plat_major_faults(void) {
    struct rusage r;
    return getrusage(RUSAGE_SELF, &r) ? 0 : (uint64_t)r.ru_majflt;
}

uint64_t plat_disk_bytes(void) {
    uint64_t bytes[2];
    return posix_file_numbers("/proc/self/io", "read_bytes:", bytes) ? bytes[0] : 0;
}

uint64_t plat_mem_resident(void) {
    uint64_t kib[2];
    return posix_file_numbers("/proc/self/status", "RssAnon:", kib) ? kib[0] * 1024 : UINT64_MAX;
}

uint64_t plat_mem_available(void) {
    uint64_t machine = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * plat_page_bytes(), kib[2];
    posix_limits l;
    posix_group_limits("", &l);
    if (posix_file_numbers("/proc/meminfo", "MemAvailable:", kib)) machine = kib[0] * 1024;
    return MIN(machine, l.memory_free_bytes);
}
