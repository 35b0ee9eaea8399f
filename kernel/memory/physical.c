/* physical.c: which pages of RAM are free. A bit a page, and for each block of 2 MiB a count, so that small requests
 * fill blocks that are already broken and large ones find whole blocks. Refuses what the firmware did not call RAM.
 * Next: tables.c.
 */
#include "kernel/cpu/cpu.h"
#include "kernel/memory/memory_int.h"

#define BLOCK_PAGES 512u

typedef struct block {
    uint64_t used[BLOCK_PAGES / 64];
} block;

static boot_range map[BOOT_RANGES_MAX]; /* sorted, without overlaps */
static size_t n_map;
static block *blocks;
static uint16_t *n_free; /* pages of each block */
static size_t n_blocks, broken_from, whole_from; /* no block before has any of that kind */
static uint64_t total_bytes, free_pages, low_page;
static cpu_lock lock;

/* ---- the map ------------------------------------------------------------------------------------- */

static bool starts_before(const void *a, const void *b) { return *(const uint64_t *)a < *(const uint64_t *)b; }

/* The most restrictive range that holds `at`; RESERVED beats TAKEN beats TABLES beats RAM. */
static uint64_t kind_at(uint64_t at) {
    static const uint8_t weight[] = {[0] = 0, [BOOT_RAM] = 1, [BOOT_TABLES] = 2, [BOOT_TAKEN] = 3, [BOOT_RESERVED] = 4};
    uint64_t kind = 0;
    for (size_t i = 0; i < boot.n_ranges; i++) {
        const boot_range *r = &boot.ranges[i];
        if (at >= r->start && at - r->start < r->bytes && weight[r->kind] > weight[kind]) kind = r->kind;
    }
    return kind;
}

static void sort_map(void) {
    static uint64_t edges[2 * BOOT_RANGES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < boot.n_ranges; i++) {
        edges[n++] = boot.ranges[i].start;
        edges[n++] = boot.ranges[i].start + boot.ranges[i].bytes;
    }
    sort_items(edges, n, sizeof *edges, starts_before);
    for (size_t i = 0; i + 1 < n; i++) {
        uint64_t kind = edges[i + 1] > edges[i] ? kind_at(edges[i]) : 0;
        boot_range *last = n_map ? &map[n_map - 1] : NULL;
        if (!kind) continue;
        if (last && last->kind == kind && last->start + last->bytes == edges[i]) last->bytes += edges[i + 1] - edges[i];
        else if (n_map < BOOT_RANGES_MAX) map[n_map++] = (boot_range){edges[i], edges[i + 1] - edges[i], kind};
    }
}

size_t memory_map_count(void) { return n_map; }
void memory_map_at(size_t i, uint64_t *start, uint64_t *bytes, uint64_t *kind) {
    *start = map[i].start;
    *bytes = map[i].bytes;
    *kind = map[i].kind;
}

/* ---- pages --------------------------------------------------------------------------------------- */

static bool is_used(uint64_t page) {
    return blocks[page / BLOCK_PAGES].used[page % BLOCK_PAGES / 64] >> page % 64 & 1;
}

static void set_used(uint64_t page, bool used) {
    uint64_t *word = &blocks[page / BLOCK_PAGES].used[page % BLOCK_PAGES / 64], bit = (uint64_t)1 << page % 64;
    if (!(*word & bit) == !used) return;
    *word ^= bit;
    if (used) n_free[page / BLOCK_PAGES]--, free_pages--;
    else n_free[page / BLOCK_PAGES]++, free_pages++;
}

static void take(uint64_t page, size_t n) {
    for (size_t i = 0; i < n; i++) set_used(page + i, true);
}

/* The books themselves lie in the first RAM above 1 MiB that has room for them. */
static void *place_books(size_t bytes) {
    for (size_t i = 0; i < n_map; i++) {
        uint64_t from = align_up(MAX(map[i].start, (uint64_t)1 << 20), MEMORY_PAGE), end = map[i].start + map[i].bytes;
        if (map[i].kind == BOOT_RAM && from < end && end - from >= bytes && from + bytes < (uint64_t)1 << 32)
            return memset((void *)(uintptr_t)from, 0, bytes);
    }
    for (;;) __asm__ volatile("cli; hlt"); /* less RAM than a bit a page */
}

/* Whole pages, so that what follows a module in its last page is not given out, and is mapped. */
static void take_range(uint64_t start, uint64_t bytes) {
    uint64_t from = start & ~(uint64_t)(MEMORY_PAGE - 1);
    boot_add_range(from, align_up(start + bytes, MEMORY_PAGE) - from, BOOT_TAKEN);
}

void physical_start(void) {
    take_range(boot.kernel_start, boot.kernel_bytes);
    for (size_t i = 0; i < boot.n_modules; i++) take_range(boot.modules[i].start, boot.modules[i].bytes);
    sort_map();
    uint64_t end = 0;
    for (size_t i = 0; i < n_map; i++) {
        if (map[i].kind == BOOT_RESERVED) continue;
        end = map[i].start + map[i].bytes;
        total_bytes += map[i].bytes;
    }
    n_blocks = (size_t)div_up(end, MEMORY_LARGE);
    size_t bytes = n_blocks * (sizeof *blocks + sizeof *n_free);
    blocks = place_books(bytes);
    n_free = (uint16_t *)(void *)(blocks + n_blocks);
    memset(blocks, 0xff, n_blocks * sizeof *blocks);
    for (size_t i = 0; i < n_map; i++) {
        if (map[i].kind != BOOT_RAM) continue;
        uint64_t from = align_up(map[i].start, MEMORY_PAGE) / MEMORY_PAGE;
        uint64_t to = (map[i].start + map[i].bytes) / MEMORY_PAGE;
        for (uint64_t page = MAX(from, 256); page < to; page++) set_used(page, false);
        for (uint64_t page = MAX(from, 1); page < MIN(to, 0x9f) && !low_page; page++) low_page = page * MEMORY_PAGE;
    }
    take((uintptr_t)blocks / MEMORY_PAGE, div_up(bytes, MEMORY_PAGE));
}

uint64_t physical_page(void) {
    cpu_lock_take(&lock);
    uint64_t found = 0;
    for (int whole = 0; whole < 2 && !found; whole++)
        for (size_t b = whole ? whole_from : broken_from; b < n_blocks && !found; b++) {
            if (!n_free[b] || (!whole && n_free[b] == BLOCK_PAGES)) continue;
            if (!whole) broken_from = b;
            else broken_from = MIN(broken_from, b);
            for (size_t w = 0; w < COUNT_OF(blocks[b].used) && !found; w++)
                if (~blocks[b].used[w])
                    found = b * BLOCK_PAGES + w * 64 + (unsigned)__builtin_ctzll(~blocks[b].used[w]);
        }
    if (found) set_used(found, true);
    cpu_lock_leave(&lock);
    return found * MEMORY_PAGE;
}

/* Pages in one piece that begin at a multiple of `align` pages. Page 0 is never free, so that 0 can mean none. */
static uint64_t find_run(size_t pages, size_t align) {
    cpu_lock_take(&lock);
    uint64_t found = 0, all = (uint64_t)n_blocks * BLOCK_PAGES, page = align;
    if (pages >= BLOCK_PAGES) page = MAX(page, whole_from * BLOCK_PAGES);
    bool first = true;
    while (!found && page + pages <= all) {
        if (!n_free[page / BLOCK_PAGES] || (pages >= BLOCK_PAGES && n_free[page / BLOCK_PAGES] < BLOCK_PAGES &&
                                            page % BLOCK_PAGES == 0)) {
            page = align_up(page + 1, MAX(align, BLOCK_PAGES));
            continue;
        }
        if (pages >= BLOCK_PAGES && first && page % BLOCK_PAGES == 0) whole_from = page / BLOCK_PAGES, first = false;
        size_t n = 0;
        while (n < pages && !is_used(page + n)) n++;
        if (n == pages) found = page;
        else page = align_up(page + n + 1, align);
    }
    if (found) take(found, pages);
    cpu_lock_leave(&lock);
    return found * MEMORY_PAGE;
}

uint64_t physical_large(void) { return find_run(BLOCK_PAGES, BLOCK_PAGES); }

void physical_free(uint64_t at, size_t pages) {
    cpu_lock_take(&lock);
    for (size_t i = 0; i < pages; i++) {
        uint64_t page = at / MEMORY_PAGE + i;
        set_used(page, false);
        broken_from = MIN(broken_from, page / BLOCK_PAGES);
        whole_from = MIN(whole_from, page / BLOCK_PAGES);
    }
    cpu_lock_leave(&lock);
}

uint64_t memory_bytes_total(void) { return total_bytes; }
uint64_t memory_bytes_free(void) { return free_pages * MEMORY_PAGE; }
uint64_t memory_low_page(void) { return low_page; }

void *memory_pages(size_t bytes) {
    uint64_t at = find_run(div_up(bytes, MEMORY_PAGE), 1);
    return at ? memset((void *)(uintptr_t)at, 0, align_up(bytes, MEMORY_PAGE)) : NULL;
}

void memory_pages_free(void *pages, size_t bytes) {
    if (pages) physical_free((uintptr_t)pages, div_up(bytes, MEMORY_PAGE));
}
