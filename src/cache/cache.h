/* cache.h: which units of weights stay in memory. A pure policy: it knows units by number, each with a layer and a
 * size; it hands out slots of an arena that its caller owns, and says whom to throw out. It reads nothing and
 * measures nothing, so the store and `leat cache-sim` use the same one.
 *
 * A model walks its layers in order, token after token. So of two units equally likely to be used, the one whose layer
 * comes later is needed later; and a unit used with probability p at each visit of its layer is expected back after
 * 1/p - 1 further rounds. Thrown out is who has the largest
 *
 *     (layers until its layer's next visit) + n_layers * (1/p - 1)
 *
 * LRU, by contrast, hits nothing while the arena is smaller than what one token uses. How p is estimated: cache.c.
 */
#ifndef LEAT_CACHE_H
#define LEAT_CACHE_H

#include "mem/mem.h"

#define CACHE_NONE UINT32_MAX
#define CACHE_CLASSES_MAX 32

typedef struct cache cache;

typedef struct cache_opts {
    size_t n_units, n_layers;
    const uint32_t *layer_of; /* (n_units): which layer's visit may use it; copied                     */
    const size_t *bytes_of;   /* (n_units): room that it takes in a slot; copied                       */
    size_t align;             /* slots have multiples of this many bytes; a power of two               */
    size_t bytes_max;         /* of all slots together. More than all units need is not taken.         */
    size_t slots_min;         /* of each size: ERR_MEMORY when bytes_max does not suffice for as many  */
} cache_opts;

/* What any cache of these units takes, whatever bytes_max. ERR_LIMIT: they have more than CACHE_CLASSES_MAX sizes. */
typedef struct cache_need {
    size_t table_bytes; /* of its own, beside the slots */
    size_t slot_bytes;  /* of the fewest slots          */
} cache_need;
err_code cache_needs(const cache_opts *o, cache_need *out, err *e);
/* Slots come in classes by size (Q4_K_M has experts of two sizes); bytes_max is shared out by the classes' bytes. */
err_code cache_open(cache **out, const cache_opts *o, err *e);
void cache_close(cache *c); /* accepts NULL */

size_t cache_bytes(const cache *c); /* the arena's: slots lie at [0, cache_bytes) */
size_t cache_slots(const cache *c);
size_t cache_free_bytes(const cache *c); /* of slots within the limit that are empty */
/* From now on slots of at most bytes_max together are used, the first ones of each size, at least slots_min: memory
 * has become scarce, or is there again. Units beyond lose theirs but for held ones, which a later call takes care of.
 * Fills gone (cache_slots) and returns how many. */
size_t cache_limit(cache *c, size_t bytes_max, uint32_t *gone);
bool cache_slot_left(const cache *c, uint32_t slot); /* beyond the limit, and empty */
size_t cache_slot_bytes(const cache *c, uint32_t slot);
/* Where a slot lies in the arena. */
size_t cache_slot_offset(const cache *c, uint32_t slot);

/* The pass is at `layer` now, and of its units these were used, units[i] by counts[i] of n_tokens tokens (NULL: by
 * one). Call it before placing the layer's units. */
void cache_visit(cache *c, uint32_t layer, const uint32_t *units, const uint32_t *counts, size_t n, size_t n_tokens);

/* With this probability it will be used when its layer is visited next. */
void cache_expect(cache *c, uint32_t unit, float p);

/* What is known from before: tokens (n_layers) seen by each layer, and of these how many used a unit, uses (n_units).
 * Import it before the first visit; it counts as CACHE_KNOWN_TOKENS tokens at most, so that a new text soon outweighs
 * it. */
#define CACHE_KNOWN_TOKENS 64.0f
void cache_export(const cache *c, float *tokens, float *uses);
void cache_import(cache *c, const float *tokens, const float *uses);

uint32_t cache_find(const cache *c, uint32_t unit); /* its slot, or CACHE_NONE */
/* A slot for a unit that has none; *evicted is who lost it, or CACHE_NONE. CACHE_NONE when every slot of its size is
 * held. With `spare` only a free slot is given, or that of a unit expected back later than this one. */
uint32_t cache_place(cache *c, uint32_t unit, bool spare, uint32_t *evicted);
/* Held slots are not taken away: units being read or computed. Holds are counted. */
void cache_hold(cache *c, uint32_t slot);
void cache_let_go(cache *c, uint32_t slot);
/* The unit has no slot any more; its slot must not be held. */
void cache_drop(cache *c, uint32_t unit);

#endif
