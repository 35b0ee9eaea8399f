/* kv.c: page pool, page tables, reference counts. See kv.h for the layout of a page. */
#include "kv/kv.h"

struct kv_seq {
    kv_cache *cache;
    bool open;
    size_t length;         /* committed positions */
    size_t first, n_pages; /* pages [first, n_pages) are held, committed or reserved */
    char **pages;          /* (table_max) */
};

struct kv_cache {
    arena memory; /* this struct, the tables */
    size_t page_bytes, pages_max, table_max, seqs_max;
    char *page_memory;   /* (pages_max, page_bytes) */
    uint32_t *refs;      /* (pages_max) */
    uint32_t *free_list; /* (pages_max), a stack */
    size_t n_free;
    kv_seq *seqs;        /* (seqs_max) */
    kv_shape shape;
};

static size_t k_bytes(const kv_shape *s) { return s->n_head_kv * kern_attn_tile_bytes(s->type_k, s->dim_k); }
static size_t layer_bytes(const kv_shape *s) {
    return k_bytes(s) + s->n_head_kv * kern_attn_tile_bytes(s->type_v, s->dim_v);
}
size_t kv_page_bytes(const kv_shape *s) { return align_up(s->n_layer * layer_bytes(s), 64); }

err_code kv_check(const kv_shape *s, err *e) {
    const quant_id types[2] = {s->type_k, s->type_v};
    const size_t dims[2] = {s->dim_k, s->dim_v};
    for (int i = 0; i < 2; i++) {
        size_t wanted;
        if (kern_attn_holds(types[i], dims[i], &wanted)) continue;
        const quant_type *t = quant_find(types[i]);
        const char *name = t ? t->name : "?", *what = i ? "values" : "keys";
        if (!wanted)
            return ERR(e, ERR_UNSUPPORTED, "%s cannot be kept as %s; wanted F16, BF16, Q8_0 or Q4_0", what, name);
        return ERR(e, ERR_UNSUPPORTED, "%s cannot be kept as %s: heads have %zu dimensions, wanted a multiple of %zu",
                   what, name, dims[i], wanted);
    }
    return ERR_NONE;
}

/* After a trim: the window of the position KV_BACK before, all from there on, a step; begun in the middle of a page. */
size_t kv_held(size_t window, size_t step, size_t n_tokens) {
    return window && window < n_tokens ? MIN(n_tokens, align_up(window + KV_BACK + step, KV_PAGE) + KV_PAGE) : n_tokens;
}

size_t kv_first_seen(const kv_shape *s, size_t n) {
    return s->window && n >= s->window ? (n + 1 - s->window) / KV_PAGE : 0;
}

err_code kv_open(kv_cache **out, const kv_shape *shape, size_t n_tokens, size_t n_held, size_t seqs_max, err *e) {
    *out = NULL;
    err_code code = kv_check(shape, e);
    if (code) return code;
    size_t pages_max = div_up(n_held, KV_PAGE), table_max = div_up(n_tokens, KV_PAGE);
    size_t page_bytes = kv_page_bytes(shape), bytes, tables;
    /* Tables: a page pointer per sequence and page, a count and a free entry per page. */
    if (!mul_size(pages_max, page_bytes, &bytes) ||
        !mul_size(pages_max + table_max, seqs_max * sizeof(void *) + 8, &tables) ||
        tables > ((size_t)1 << 40))
        return ERR(e, ERR_LIMIT, "a context of %zu tokens is too large", n_tokens);
    arena memory;
    code = arena_open(&memory, MEM_KV, tables + seqs_max * sizeof(kv_seq) + ((size_t)1 << 20), e);
    if (code) return code;
    kv_cache *c = arena_alloc(&memory, sizeof *c, 64);
    if (!c) goto no_memory;
    c->shape = *shape;
    c->page_bytes = page_bytes;
    c->pages_max = pages_max;
    c->table_max = table_max;
    c->seqs_max = seqs_max;
    c->refs = arena_array(&memory, pages_max, sizeof *c->refs);
    c->free_list = arena_array(&memory, pages_max, sizeof *c->free_list);
    c->seqs = arena_array(&memory, seqs_max, sizeof *c->seqs);
    if (!c->refs || !c->free_list || !c->seqs) goto no_memory;
    for (size_t i = 0; i < seqs_max; i++) {
        c->seqs[i].cache = c;
        c->seqs[i].pages = arena_array(&memory, table_max, sizeof *c->seqs[i].pages);
        if (!c->seqs[i].pages) goto no_memory;
    }
    c->page_memory = mem_block(MEM_KV, bytes);
    if (!c->page_memory) goto no_memory;
    while (c->n_free < pages_max) {
        c->free_list[c->n_free] = (uint32_t)(pages_max - 1 - c->n_free);
        c->n_free++;
    }
    c->memory = memory;
    *out = c;
    return ERR_NONE;
no_memory:
    arena_close(&memory);
    return ERR(e, ERR_MEMORY, "no memory for a KV cache of %zu tokens (%zu MiB); a smaller context (-c) needs less",
               n_tokens, bytes >> 20);
}

void kv_close(kv_cache *c) {
    if (!c) return;
    mem_block_free(c->page_memory);
    arena memory = c->memory;
    arena_close(&memory);
}

size_t kv_bytes(const kv_cache *c) { return c->pages_max * c->page_bytes; }
const kv_shape *kv_shape_of(const kv_cache *c) { return &c->shape; }
size_t kv_k_offset(const kv_cache *c, size_t layer) { return layer * layer_bytes(&c->shape); }
size_t kv_v_offset(const kv_cache *c, size_t layer) { return kv_k_offset(c, layer) + k_bytes(&c->shape); }

/* ---- pages ---------------------------------------------------------------------------------------------- */

static size_t page_index(const kv_cache *c, const char *page) {
    return (size_t)(page - c->page_memory) / c->page_bytes;
}

static char *page_take(kv_cache *c) {
    ASSERT(c->n_free > 0);
    size_t i = c->free_list[--c->n_free];
    c->refs[i] = 1;
    return c->page_memory + i * c->page_bytes;
}

static void page_drop(kv_cache *c, const char *page) {
    size_t i = page_index(c, page);
    if (--c->refs[i] == 0) c->free_list[c->n_free++] = (uint32_t)i;
}

/* ---- sequences ------------------------------------------------------------------------------------------ */

err_code kv_seq_open(kv_cache *c, kv_seq **out, err *e) {
    *out = NULL;
    for (size_t i = 0; i < c->seqs_max; i++) {
        kv_seq *s = &c->seqs[i];
        if (s->open) continue;
        s->open = true;
        s->length = s->first = s->n_pages = 0;
        *out = s;
        return ERR_NONE;
    }
    return ERR(e, ERR_LIMIT, "all %zu sequences of the KV cache are in use", c->seqs_max);
}

void kv_seq_close(kv_seq *s) {
    if (!s || !s->open) return;
    kv_seq_truncate(s, 0);
    s->open = false;
}

err_code kv_seq_fork(const kv_seq *s, kv_seq **out, err *e) {
    err_code code = kv_seq_open(s->cache, out, e);
    if (code) return code;
    (*out)->length = s->length;
    (*out)->first = s->first;
    (*out)->n_pages = div_up(s->length, KV_PAGE);
    for (size_t i = s->first; i < (*out)->n_pages; i++) {
        (*out)->pages[i] = s->pages[i];
        s->cache->refs[page_index(s->cache, s->pages[i])]++;
    }
    return ERR_NONE;
}

size_t kv_seq_length(const kv_seq *s) { return s->length; }
const kv_shape *kv_seq_shape(const kv_seq *s) { return &s->cache->shape; }
char *const *kv_seq_pages(const kv_seq *s) { return s->pages; }
size_t kv_seq_first(const kv_seq *s) {
    return MAX(s->first, kv_first_seen(&s->cache->shape, s->length - MIN(s->length, KV_BACK)));
}
bool kv_seq_holds(const kv_seq *s, size_t length) { return kv_first_seen(&s->cache->shape, length) >= s->first; }

err_code kv_seq_reserve(kv_seq *s, size_t n, err *e) {
    kv_cache *c = s->cache;
    size_t wanted = div_up(s->length + n, KV_PAGE), first = s->length / KV_PAGE;
    bool shared = first < s->n_pages && c->refs[page_index(c, s->pages[first])] > 1;
    size_t needed = (wanted > s->n_pages ? wanted - s->n_pages : 0) + shared;
    if (wanted > c->table_max || needed > c->n_free) {
        if (kv_seq_trim(s)) return kv_seq_reserve(s, n, e);
        return ERR(e, ERR_LIMIT, "the KV cache is full: %zu tokens held, %zu more wanted, room for %zu in all",
                   s->length, n, c->pages_max * KV_PAGE);
    }
    if (shared) {
        char *own = page_take(c);
        memcpy(own, s->pages[first], c->page_bytes);
        page_drop(c, s->pages[first]);
        s->pages[first] = own;
    }
    while (s->n_pages < wanted) s->pages[s->n_pages++] = page_take(c);
    return ERR_NONE;
}

void kv_seq_commit(kv_seq *s, size_t n) {
    s->length += n;
    ASSERT(s->length <= s->n_pages * KV_PAGE);
}

void kv_seq_truncate(kv_seq *s, size_t length) {
    s->length = MIN(s->length, length);
    if (!kv_seq_holds(s, s->length)) s->length = 0;
    size_t keep = MAX(div_up(s->length, KV_PAGE), s->first);
    while (s->n_pages > keep) page_drop(s->cache, s->pages[--s->n_pages]);
    if (!s->length) s->first = s->n_pages = 0;
}

bool kv_seq_trim(kv_seq *s) {
    size_t before = s->first, first = kv_seq_first(s);
    while (s->first < first) page_drop(s->cache, s->pages[s->first++]);
    return s->first > before;
}

void kv_seq_skip(kv_seq *s, size_t first) {
    s->first = s->n_pages = first;
    s->length = first * KV_PAGE;
}
