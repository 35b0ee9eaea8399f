/* tok_names.c: strings with numbers, by an open-addressing hash. The seed is the process's own, so that no file can
 * be made of names that collide. */
#include "tok/tok_int.h"

/* The slot of s, or the free one where it would go. */
static uint64_t *slot_of(const tok_names *n, str s, uint64_t hash) {
    for (uint32_t at = (uint32_t)(hash >> 32);; at++) {
        uint64_t *slot = &n->slots[at & n->mask];
        if (!*slot) return slot;
        if ((*slot ^ hash) >> 32 == 0 && str_eq(n->items[(uint32_t)*slot - 1], s)) return slot;
    }
}

bool tok_names_open(tok_names *n, arena *a, size_t cap, uint64_t seed) {
    size_t slots = 16;
    while (slots < 2 * cap) slots *= 2;
    if (cap > TOK_NONE / 4) return false;
    *n = (tok_names){.seed = seed, .cap = (uint32_t)cap, .mask = (uint32_t)(slots - 1)};
    n->items = arena_array(a, cap, sizeof(str));
    n->slots = arena_array(a, slots, sizeof(uint64_t));
    return n->items && n->slots;
}

uint64_t tok_names_hash(const tok_names *n, str s) { return hash_bytes(s.ptr, s.len, n->seed); }

uint32_t tok_names_find_hashed(const tok_names *n, str s, uint64_t hash) {
    return (uint32_t)*slot_of(n, s, hash) - 1; /* 0 - 1 is TOK_NONE */
}

uint32_t tok_names_find(const tok_names *n, str s) { return tok_names_find_hashed(n, s, tok_names_hash(n, s)); }

void tok_names_warm(const tok_names *n, uint64_t hash, int step) {
    const uint64_t *slot = &n->slots[hash >> 32 & n->mask];
    if (step == 0) __builtin_prefetch(slot);
    else if (*slot && step == 1) __builtin_prefetch(&n->items[(uint32_t)*slot - 1]);
    else if (*slot && step == 2) __builtin_prefetch(n->items[(uint32_t)*slot - 1].ptr);
}

/* Doubles the room. What was there stays behind in the arena: at most as much again as the names in the end. */
static bool grow(tok_names *n, arena *a) {
    tok_names big;
    if (!tok_names_open(&big, a, MAX((size_t)n->cap * 2, 64), n->seed)) return false;
    for (uint32_t i = 0; i < n->count; i++) tok_names_add(&big, a, n->items[i]);
    *n = big;
    return true;
}

uint32_t tok_names_add(tok_names *n, arena *a, str s) {
    uint64_t hash = tok_names_hash(n, s);
    uint64_t *slot = slot_of(n, s, hash);
    if (*slot) return (uint32_t)*slot - 1;
    if (n->count == n->cap) {
        if (!grow(n, a)) return TOK_NONE;
        slot = slot_of(n, s, hash);
    }
    n->items[n->count++] = s;
    *slot = (hash >> 32 << 32) | n->count;
    return n->count - 1;
}
