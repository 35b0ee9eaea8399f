/* tables.c: the page tables: four levels, the largest pages that fit, nothing both writable and executable.
 * Next: space.c, which hands out address space.
 */
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/kernel.h"
#include "kernel/memory/memory_int.h"

enum { PRESENT = 1, LARGE = 1 << 7 };
#define NO_RUN ((uint64_t)1 << 63)
#define ADDRESS 0x000ffffffffff000u
#define ENTRIES 512

static uint64_t *root;
static bool giant; /* pages of 1 GiB */
static cpu_lock lock;

/* That an entry covers; level 0: 4 KiB. */
static uint64_t span_of(int level) { return (uint64_t)1 << (12 + 9 * level); }
static uint64_t *entry_of(uint64_t *table, int level, uint64_t at) {
    return &table[at >> (12 + 9 * level) & (ENTRIES - 1)];
}

/* CR3 must lie below 4 GiB for the trampoline, and memory is handed out from below: so do all early tables. */
static uint64_t *new_table(void) {
    uint64_t at = physical_page();
    return at ? memset((void *)(uintptr_t)at, 0, MEMORY_PAGE) : NULL;
}

static uint64_t *table_in(uint64_t entry) { return (uint64_t *)(uintptr_t)(entry & ADDRESS); }

/* The table below an entry; made, or a large page split into one. NULL without memory. */
static uint64_t *descend(uint64_t *entry, int level) {
    if ((*entry & PRESENT) && !(*entry & LARGE)) return table_in(*entry);
    uint64_t *table = new_table();
    if (!table) return NULL;
    if (*entry & PRESENT) {
        uint64_t kept = *entry & ~(uint64_t)(level == 1 ? LARGE : 0);
        for (uint64_t i = 0; i < ENTRIES; i++) table[i] = kept + i * span_of(level - 1);
    }
    *entry = (uint64_t)(uintptr_t)table | PRESENT | MAP_WRITE;
    return table;
}

static uint64_t flags_of(uint64_t flags) {
    uint64_t bits = PRESENT | (flags & (MAP_WRITE | MAP_WRITE_THROUGH | MAP_UNCACHED));
    return flags & MAP_RUN ? bits : bits | NO_RUN;
}

bool tables_map(uint64_t at, uint64_t physical, uint64_t bytes, uint64_t flags) {
    cpu_lock_take(&lock);
    bool ok = true;
    while (bytes && ok) {
        uint64_t *table = root, step = 0;
        for (int level = 3; level >= 0; level--) {
            uint64_t *entry = entry_of(table, level, at), span = span_of(level);
            bool fits = !((at | physical) & (span - 1)) && bytes >= span;
            bool free = !(*entry & PRESENT) || (*entry & LARGE) || level == 0;
            if (free && fits && (level < 2 || (level == 2 && giant))) {
                *entry = physical | flags_of(flags) | (level ? LARGE : 0);
                __asm__ volatile("invlpg (%0)" : : "r"(at) : "memory");
                step = span;
                break;
            }
            if (!(table = descend(entry, level))) break;
        }
        ok = step != 0;
        at += step;
        physical += step;
        bytes -= step;
    }
    cpu_lock_leave(&lock);
    return ok;
}

void tables_unmap(uint64_t at, uint64_t bytes, bool give) {
    cpu_lock_take(&lock);
    for (uint64_t end = at + bytes; at < end;) {
        uint64_t *table = root, step = 0;
        for (int level = 3; level >= 0 && !step; level--) {
            uint64_t *entry = entry_of(table, level, at), span = span_of(level);
            uint64_t rest = MIN(span - (at & (span - 1)), end - at);
            if (!(*entry & PRESENT)) {
                step = rest;
            } else if (level == 0 || ((*entry & LARGE) && rest == span)) {
                if (give) physical_free(*entry & ADDRESS & ~(span - 1), span / MEMORY_PAGE);
                *entry = 0;
                __asm__ volatile("invlpg (%0)" : : "r"(at) : "memory");
                step = span;
            } else if (!(table = descend(entry, level))) {
                step = rest; /* no page to split it with: it stays mapped, and taken */
            }
        }
        at += step;
    }
    cpu_lock_leave(&lock);
    cpu_flush_tlbs();
}

uint64_t memory_physical(const void *p) {
    uint64_t *table = root, at = (uintptr_t)p;
    for (int level = 3; level >= 0; level--) {
        uint64_t entry = *entry_of(table, level, at), span = span_of(level);
        if (!(entry & PRESENT)) return 0;
        if (level == 0 || (entry & LARGE)) return (entry & ADDRESS & ~(span - 1)) | (at & (span - 1));
        table = table_in(entry);
    }
    return 0;
}

uint64_t memory_root(void) { return (uintptr_t)root; }

void memory_unmap_page(void *at) { tables_unmap((uintptr_t)at, MEMORY_PAGE, false); }

static volatile void *map_device(uint64_t physical, size_t bytes, uint64_t flags) {
    uint64_t from = physical & ~(uint64_t)(MEMORY_PAGE - 1), to = align_up(physical + bytes, MEMORY_PAGE);
    if (!tables_map(from, from, to - from, MAP_WRITE | flags)) cpu_panic("no memory for page tables");
    return (volatile void *)(uintptr_t)physical;
}

volatile void *memory_map_io(uint64_t physical, size_t bytes) {
    return map_device(physical, bytes, MAP_WRITE_THROUGH | MAP_UNCACHED);
}
volatile void *memory_map_screen(uint64_t physical, size_t bytes) {
    return map_device(physical, bytes, MAP_WRITE_THROUGH);
}
const void *memory_map_tables(uint64_t physical, size_t bytes) {
    uint64_t from = physical & ~(uint64_t)(MEMORY_PAGE - 1), to = align_up(physical + bytes, MEMORY_PAGE);
    for (uint64_t at = from; at < to; at += MEMORY_PAGE)
        if (!memory_physical((void *)(uintptr_t)at) && !tables_map(at, at, MEMORY_PAGE, 0)) return NULL;
    return (const void *)(uintptr_t)physical;
}

void tables_start(void) {
    giant = cpu_id_of(0x80000000, 0).a >= 0x80000001 && (cpu_id_of(0x80000001, 0).d >> 26 & 1);
    root = new_table();
    for (size_t i = 0; i < memory_map_count(); i++) {
        uint64_t start, bytes, kind;
        memory_map_at(i, &start, &bytes, &kind);
        uint64_t from = align_up(start, MEMORY_PAGE), to = (start + bytes) & ~(uint64_t)(MEMORY_PAGE - 1);
        from = MAX(from, MEMORY_PAGE); /* whoever follows NULL is to fault */
        if (kind != BOOT_RESERVED && from < to) tables_map(from, from, to - from, MAP_WRITE);
    }
    uint64_t image = (uintptr_t)boot_image, constants = (uintptr_t)kernel_rodata, data = (uintptr_t)kernel_data;
    tables_map(image, image, constants - image, MAP_RUN);
    tables_map(constants, constants, data - constants, 0);
    /* The trampoline runs from its page while paging is already on. */
    if (memory_low_page()) tables_map(memory_low_page(), memory_low_page(), MEMORY_PAGE, MAP_WRITE | MAP_RUN);
    __asm__ volatile("movq %0, %%cr3" : : "r"(root) : "memory");
}
