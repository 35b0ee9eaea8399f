/* memory_int.h: between the files of kernel/memory. */
#ifndef LEAT_MEMORY_INT_H
#define LEAT_MEMORY_INT_H

#include "kernel/boot/boot.h"
#include "kernel/memory/memory.h"

enum {
    MAP_WRITE = 1 << 1,
    MAP_WRITE_THROUGH = 1 << 3, /* with our page attributes: writes combined */
    MAP_UNCACHED = 1 << 4,
    MAP_RUN = 1 << 9, /* executable: of the bits that the processor leaves to us */
};

/* physical.c: pages that are free. 0: none. */
void physical_start(void);
uint64_t physical_page(void);
uint64_t physical_large(void);
void physical_free(uint64_t at, size_t pages);

/* tables.c */
void tables_start(void);
bool tables_map(uint64_t at, uint64_t physical, uint64_t bytes, uint64_t flags); /* false without memory for tables */
/* Unmaps what of it is mapped; give: the pages become free. Large pages that are cut are split. */
void tables_unmap(uint64_t at, uint64_t bytes, bool give);

#endif
