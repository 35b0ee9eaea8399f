/* tok_merge.c: the merge loop that BPE and SPM share, and the cache of words above it.
 *
 * A word's symbols are a chain. Each knows the best merge with its right neighbour; a heap of (rank, position) keys
 * finds the next one, so a word of n bytes takes O(n log n) even when it is the whole text. A key is stale when its
 * symbol has another rank by now; then it is passed over. The kinds differ only in what a pair merges into, which
 * tok_bpe.c and tok_spm.c say.
 */
#include "tok/tok_int.h"

/* ---- a heap of keys, the smallest first: four children to a node, for the cache's sake ---------------- */

static void rise(uint64_t *heap, size_t at, uint64_t key) {
    for (; at > 0 && heap[(at - 1) / 4] > key; at = (at - 1) / 4) heap[at] = heap[(at - 1) / 4];
    heap[at] = key;
}

void tok_heap_push(uint64_t *heap, size_t *count, uint64_t key) { rise(heap, (*count)++, key); }

/* The hole at the top sinks to a leaf first, without a look at the key that will fill it: that key was a leaf and
 * mostly belongs near one, and no step has to wait for a comparison with it. */
uint64_t tok_heap_pop(uint64_t *heap, size_t *count) {
    uint64_t top = heap[0], last = heap[--*count];
    size_t at = 0, n = *count, child = 1;
    for (; child + 3 < n; child = 4 * at + 1) {
        size_t a = child + (heap[child + 1] < heap[child]), b = child + 2 + (heap[child + 3] < heap[child + 2]);
        child = heap[b] < heap[a] ? b : a;
        heap[at] = heap[child];
        at = child;
    }
    for (size_t best = child; child < n; child++) { /* the last node may have fewer */
        if (heap[child] < heap[best]) best = child;
        if (child + 1 < n) continue;
        heap[at] = heap[best];
        at = best;
    }
    rise(heap, at, last);
    return top;
}

/* ---- merging ------------------------------------------------------------------------------------------ */

/* A key for each pair at first, and each merge takes one key and adds two at most: never more than two a symbol. */
#define SYMBOL_BYTES (sizeof(tok_symbol) + 2 * sizeof(uint64_t))

static void use_symbols(tok_work *w, void *at, size_t cap) {
    w->symbols = at;
    w->symbol_cap = at ? cap : 0;
    w->heap = (uint64_t *)(void *)(w->symbols + w->symbol_cap);
}

bool tok_work_reserve(tok_work *w, size_t n_symbols) {
    if (n_symbols <= w->symbol_cap) return true;
    mem_block_free(w->block);
    w->block = mem_block(MEM_TOK, n_symbols * SYMBOL_BYTES);
    use_symbols(w, w->block, n_symbols);
    return w->block != NULL;
}

static void rate(tok_work *w, tok_pair_fn *pair, uint32_t left) {
    tok_symbol *s = &w->symbols[left];
    s->rank = TOK_NONE;
    if (s->next != TOK_NONE && pair(w, s, &w->symbols[s->next], &s->rank, &s->merged))
        tok_heap_push(w->heap, &w->heap_count, (uint64_t)s->rank << 32 | left);
}

void tok_merge(tok_work *w, size_t n_symbols, tok_pair_fn *pair) {
    w->heap_count = 0;
    for (uint32_t i = 0; i < n_symbols && !tok_stopped(w); i++) rate(w, pair, i);
    while (w->heap_count && !tok_stopped(w)) {
        uint64_t key = tok_heap_pop(w->heap, &w->heap_count);
        uint32_t left = (uint32_t)key;
        tok_symbol *s = &w->symbols[left];
        if (s->rank != key >> 32) continue;
        tok_symbol *gone = &w->symbols[s->next];
        gone->rank = TOK_NONE;
        s->id = s->merged;
        s->next = gone->next;
        if (s->next != TOK_NONE) w->symbols[s->next].prev = left;
        if (s->prev != TOK_NONE) rate(w, pair, s->prev);
        rate(w, pair, left);
    }
}

/* ---- words seen before -------------------------------------------------------------------------------- */

/* Most words are short and come again. An entry is half a cache line; a word that hashes to a taken one replaces it. */
enum { CACHE_SLOTS_MAX = 4096, CACHE_WORD_MAX = 15, CACHE_IDS_MAX = 4 };
struct tok_cached {
    uint64_t key[2];            /* the word, padded with zeros, and its length in the last byte; never zero */
    int32_t ids[CACHE_IDS_MAX]; /* -1 behind the last */
};

/* Address space: 13 bytes of a text's byte at most are cover and search keys, or cover and characters and a word. */
err_code tok_work_open(tok_work *w, size_t text_bytes, err *e) {
    enum { SYMBOLS = 256 }; /* most words have fewer; a longer one gets a block of its own */
    size_t slots = 16, spelled = 2 * w->t->token_bytes_max;
    while (slots < CACHE_SLOTS_MAX && slots < text_bytes / 4) slots *= 2;
    size_t fixed = slots * sizeof(tok_cached) + SYMBOLS * SYMBOL_BYTES + spelled;
    err_code code = arena_open(&w->mem, MEM_TOK, 16 * text_bytes + fixed + 4096, e);
    if (code != ERR_NONE) return code;
    w->cache = arena_array(&w->mem, slots, sizeof(tok_cached));
    w->cache_mask = (uint32_t)(slots - 1);
    use_symbols(w, arena_array(&w->mem, SYMBOLS, SYMBOL_BYTES), SYMBOLS);
    w->spelled = arena_alloc(&w->mem, spelled, 1);
    bool ok = w->cache && w->symbols && w->spelled;
    return ok ? ERR_NONE : ERR(e, ERR_MEMORY, "no memory to encode a text of %zu bytes", text_bytes);
}

void tok_work_close(tok_work *w) {
    arena_close(&w->mem);
    mem_block_free(w->block);
}

err_code tok_word(tok_work *w, str word, tok_word_fn *encode, err *e) {
    if (tok_stopped(w)) return ERR_NONE;
    if (word.len > CACHE_WORD_MAX) return encode(w, word, e);
    char bytes[16] = {0};
    for (size_t i = 0; i < word.len; i++) bytes[i] = word.ptr[i];
    bytes[15] = (char)(word.len + 1);
    uint64_t key[2] = {load_u64(bytes), load_u64(bytes + 8)};
    uint64_t hash = (key[0] ^ key[1] * 0x9E3779B97F4A7C15u) * 0xBB67AE8584CAA73Bu;
    tok_cached *c = &w->cache[hash >> 32 & w->cache_mask];
    if (c->key[0] == key[0] && c->key[1] == key[1]) {
        for (size_t i = 0; i < CACHE_IDS_MAX && c->ids[i] >= 0; i++) tok_emit(w, c->ids[i]);
        return ERR_NONE;
    }
    int32_t ids[CACHE_IDS_MAX + 1];
    w->recent = ids;
    w->n_recent = 0;
    err_code code = encode(w, word, e);
    w->recent = NULL;
    if (code != ERR_NONE || w->n_recent > CACHE_IDS_MAX) return code;
    *c = (tok_cached){{key[0], key[1]}, {-1, -1, -1, -1}};
    for (size_t i = 0; i < w->n_recent; i++) c->ids[i] = ids[i];
    return ERR_NONE;
}
