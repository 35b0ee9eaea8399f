/* mem.h: every byte the engine holds, tagged and counted.
 *
 * Memory comes from plat_reserve/plat_commit in whole pages. An arena reserves its largest size once and
 * commits as it grows, so pointers stay valid and the decode loop touches nothing new. There is no general
 * heap: what needs to be freed alone gets a block of its own (mem_block).
 */
#ifndef LEAT_MEM_H
#define LEAT_MEM_H

#include "base/base.h"

/* Bytes of the pages that plat_huge_pages asks for, which lie at multiples of this. */
#define MEM_LARGE_PAGE ((size_t)2 << 20)

typedef enum {
    MEM_GGUF,    /* file headers and metadata       */
    MEM_TOK,     /* tokenizer tables                */
    MEM_WEIGHTS, /* weights read into memory        */
    MEM_KV,      /* the KV cache                    */
    MEM_SCRATCH, /* activations, per-worker scratch */
    MEM_ENGINE,  /* handles, samplers, plans        */
    MEM_TOOLS,   /* commands: prompts, outputs      */
    MEM_TAGS
} mem_tag;

/* ---- whole blocks ------------------------------------------------------------------------------ */

/* Zeroed, 64-byte aligned at least (page aligned in fact); NULL when the machine or the budget refuses. */
void *mem_block(mem_tag tag, size_t bytes);
void mem_block_free(void *block); /* accepts NULL */

/* ---- arenas ------------------------------------------------------------------------------------ */

typedef struct arena {
    char *base;
    size_t used_bytes, committed_bytes, reserved_bytes;
    size_t dirty_bytes; /* below it memory may hold what a reset gave back: zeroed when taken again */
    mem_tag tag;
} arena;

/* Reserves address space only. ERR_MEMORY when refused. */
err_code arena_open(arena *a, mem_tag tag, size_t reserve_bytes, err *e);
void arena_close(arena *a); /* accepts a zeroed arena */
/* Zeroed memory, align a power of two (0 means 16); NULL when reservation, machine or budget is exhausted. */
void *arena_alloc(arena *a, size_t bytes, size_t align);
/* count * size with an overflow check. */
void *arena_array(arena *a, size_t count, size_t size);
/* Extends the arena's last allocation in place: the pointer stays; false when it cannot. */
bool arena_extend(arena *a, void *last, size_t old_bytes, size_t new_bytes);
char *arena_copy(arena *a, str s); /* zero-terminated copy */
/* Everything allocated after the mark is given back (memory stays committed). */
static inline size_t arena_mark(const arena *a) { return a->used_bytes; }
void arena_reset(arena *a, size_t mark);

/* ---- accounting -------------------------------------------------------------------------------- */

void mem_limit_set(size_t bytes_max); /* 0: no limit. Covers all tags together. */
size_t mem_bytes(mem_tag tag);        /* committed now */
size_t mem_bytes_peak(mem_tag tag);
size_t mem_bytes_total(void);
size_t mem_bytes_peak_total(void); /* of the sum: tags have their peaks at different moments */
const char *mem_tag_name(mem_tag tag);

#endif
