/* memory.h: pages. Physical ones of 4 KiB and 2 MiB, counted in bitmaps; address space for plat_reserve; the page
 * tables.
 *
 * All RAM is mapped one to one, never executable, in the largest pages that fit: memory_pages gives pointers that are
 * physical addresses too. What plat_reserve hands out lies above 64 TiB and is mapped page by page. Address 0, the page
 * under each stack and the gaps between reservations are not mapped.
 */
#ifndef LEAT_MEMORY_H
#define LEAT_MEMORY_H

#include "base/base.h"

#define MEMORY_PAGE ((size_t)4096)
#define MEMORY_LARGE ((size_t)2 << 20)

void memory_start(void); /* from `boot`; the page tables of the loader end here */

/* Physically contiguous, zeroed, mapped one to one: for rings, stacks, tables. NULL without memory. Free with the same
 * bytes. */
void *memory_pages(size_t bytes);
void memory_pages_free(void *pages, size_t bytes);
/* A device asks for physical addresses: of anything, committed pages included; 0 where nothing is mapped. Contiguous
 * up to the next multiple of MEMORY_PAGE only. */
uint64_t memory_physical(const void *p);
/* A device's registers, uncached, mapped one to one for ever. */
volatile void *memory_map_io(uint64_t physical, size_t bytes);
/* The same for a screen: writes are combined. */
volatile void *memory_map_screen(uint64_t physical, size_t bytes);
/* RAM that is not ours to write, for ACPI's tables. */
const void *memory_map_tables(uint64_t physical, size_t bytes);

/* plat.h's calls of these names. memory_commit: false without memory, and then nothing has changed. */
void *memory_reserve(size_t bytes);
bool memory_commit(void *at, size_t bytes);
void memory_release(void *at, size_t bytes);
/* A stack with a page under it that is not mapped; its top. */
void *memory_stack(size_t bytes);
void memory_stack_free(void *top, size_t bytes);
void memory_unmap_page(void *at); /* makes a guard of it */

uint64_t memory_bytes_total(void); /* RAM that the firmware reports, what we take for ourselves included */
uint64_t memory_bytes_free(void);
uint64_t memory_low_page(void);    /* a physical page below 640 KiB for the other cores' first instructions; 0: none */
uint64_t memory_root(void);        /* CR3: below 4 GiB */
/* The map as booted, sorted and without overlaps. */
size_t memory_map_count(void);
void memory_map_at(size_t i, uint64_t *start, uint64_t *bytes, uint64_t *kind);

#endif
