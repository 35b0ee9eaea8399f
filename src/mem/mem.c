/* mem.c: blocks, arenas and the count of what they hold. Refuses what would pass the limit, before asking the machine.
 *
 * A block is a reservation of its own: one page that remembers its size, then the caller's bytes. The counters are
 * the only state; every thread may allocate.
 */
#include "mem/mem.h"
#include "plat/plat.h"

#include <stdatomic.h>

#define COMMIT_STEP ((size_t)256 << 10) /* arenas commit this much at a time: few calls, little waste */
#define HUGE_FROM ((size_t)4 << 20)     /* from here on larger pages pay */
#define HUGE_ARRAY_FROM ((size_t)8 << 20) /* in arenas: of smaller arrays a token touches many, a page of zeros each */

static atomic_size_t held[MEM_TAGS], peak[MEM_TAGS], held_total, peak_total, limit_bytes;

typedef struct block_head {
    size_t span_bytes; /* with this head */
    mem_tag tag;
} block_head;

/* ---- accounting --------------------------------------------------------------------------------- */

/* Sets *at to `to` where it is *seen; else updates *seen. */
static bool swap(atomic_size_t *at, size_t *seen, size_t to) {
    return atomic_compare_exchange_weak_explicit(at, seen, to, memory_order_relaxed, memory_order_relaxed);
}

static void raise(atomic_size_t *most, size_t now) {
    size_t seen = atomic_load_explicit(most, memory_order_relaxed);
    while (seen < now && !swap(most, &seen, now)) {}
}

static bool charge(mem_tag tag, size_t bytes) {
    size_t limit = atomic_load_explicit(&limit_bytes, memory_order_relaxed);
    size_t total = atomic_load_explicit(&held_total, memory_order_relaxed), sum;
    do {
        if (!add_size(total, bytes, &sum) || (limit && sum > limit)) return false;
    } while (!swap(&held_total, &total, sum));
    raise(&peak_total, sum);
    raise(&peak[tag], atomic_fetch_add_explicit(&held[tag], bytes, memory_order_relaxed) + bytes);
    return true;
}

static void discharge(mem_tag tag, size_t bytes) {
    atomic_fetch_sub_explicit(&held[tag], bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&held_total, bytes, memory_order_relaxed);
}

/* Charged and committed, or neither. */
static bool commit(mem_tag tag, void *at, size_t bytes) {
    if (!charge(tag, bytes)) return false;
    if (plat_commit(at, bytes) == PLAT_OK) return true;
    discharge(tag, bytes);
    return false;
}

void mem_limit_set(size_t bytes_max) { atomic_store(&limit_bytes, bytes_max); }
size_t mem_bytes(mem_tag tag) { return atomic_load(&held[tag]); }
size_t mem_bytes_peak(mem_tag tag) { return atomic_load(&peak[tag]); }
size_t mem_bytes_total(void) { return atomic_load(&held_total); }
size_t mem_bytes_peak_total(void) { return atomic_load(&peak_total); }

const char *mem_tag_name(mem_tag tag) {
    static const char *const names[MEM_TAGS] = {"gguf",    "tokenizer", "weights", "KV cache",
                                                "scratch", "engine",    "tools"};
    return (size_t)tag < MEM_TAGS ? names[tag] : "unknown";
}

/* ---- blocks ------------------------------------------------------------------------------------- */

void *mem_block(mem_tag tag, size_t bytes) {
    size_t page = plat_page_bytes(), span;
    if (!add_size(bytes, 2 * page, &span)) return NULL;
    span = (span - 1) / page * page; /* the head's page and whole pages for the caller, at least one byte */
    span = MAX(span, 2 * page);
    char *at = plat_reserve(span);
    if (!at) return NULL;
    if (!commit(tag, at, span)) {
        plat_release(at, span);
        return NULL;
    }
    if (span >= HUGE_FROM) plat_huge_pages(at, span);
    *(block_head *)(void *)at = (block_head){span, tag};
    return at + page;
}

void mem_block_free(void *block) {
    if (!block) return;
    char *at = (char *)block - plat_page_bytes();
    block_head head = *(block_head *)(void *)at;
    plat_release(at, head.span_bytes);
    discharge(head.tag, head.span_bytes);
}

/* ---- arenas ------------------------------------------------------------------------------------- */

err_code arena_open(arena *a, mem_tag tag, size_t reserve_bytes, err *e) {
    size_t page = plat_page_bytes();
    *a = (arena){.tag = tag};
    if (reserve_bytes > SIZE_MAX - page)
        return ERR(e, ERR_MEMORY, "%s: %zu bytes of address space do not exist", mem_tag_name(tag), reserve_bytes);
    size_t span = align_up(MAX(reserve_bytes, 1), page);
    a->base = plat_reserve(span);
    if (!a->base)
        return ERR(e, ERR_MEMORY, "%s: the machine refuses %zu bytes of address space", mem_tag_name(tag), span);
    a->reserved_bytes = span;
    return ERR_NONE;
}

void arena_close(arena *a) {
    if (a->base) plat_release(a->base, a->reserved_bytes);
    discharge(a->tag, a->committed_bytes);
    *a = (arena){.tag = a->tag};
}

/* How much to commit so that `need` bytes more can be used. What a file's header and tokenizer take is used from the
 * front to the back: from HUGE_FROM on in whole large pages. */
static size_t commit_step(const arena *a, size_t need) {
    bool dense = a->tag == MEM_GGUF || a->tag == MEM_TOK;
    size_t left = a->reserved_bytes - a->committed_bytes, end = (size_t)((uintptr_t)a->base + a->committed_bytes);
    if (!dense || a->committed_bytes + need < HUGE_FROM) return MIN(MAX(need, COMMIT_STEP), left);
    plat_huge_pages(a->base + a->committed_bytes, left);
    return MIN(align_up(end + need, MEM_LARGE_PAGE) - end, left);
}

/* Makes [used, end) usable and zero, end an offset; takes it. */
static bool take(arena *a, size_t end) {
    if (end > a->reserved_bytes) return false;
    if (end > a->committed_bytes) {
        size_t need = align_up(end, plat_page_bytes()) - a->committed_bytes;
        size_t step = commit_step(a, need);
        char *at = a->base + a->committed_bytes;
        if (!commit(a->tag, at, step)) {
            step = need; /* near the limit the exact need may still fit */
            if (!commit(a->tag, at, step)) return false;
        }
        a->committed_bytes += step;
    }
    if (a->used_bytes < a->dirty_bytes) memset(a->base + a->used_bytes, 0, MIN(end, a->dirty_bytes) - a->used_bytes);
    a->used_bytes = end;
    a->dirty_bytes = MAX(a->dirty_bytes, end);
    return true;
}

void *arena_alloc(arena *a, size_t bytes, size_t align) {
    align = align ? align : 16;
    size_t from = align_up((uintptr_t)a->base + a->used_bytes, align) - (uintptr_t)a->base, end;
    if (!a->base || !add_size(from, bytes, &end) || !take(a, end)) return NULL;
    size_t page = plat_page_bytes(), first = align_up(from, page);
    if (bytes >= HUGE_ARRAY_FROM) plat_huge_pages(a->base + first, (end - first) / page * page);
    return a->base + from;
}

void *arena_array(arena *a, size_t count, size_t size) {
    size_t bytes;
    return mul_size(count, size, &bytes) ? arena_alloc(a, bytes, 0) : NULL;
}

bool arena_extend(arena *a, void *last, size_t old_bytes, size_t new_bytes) {
    size_t from = (size_t)((char *)last - a->base), end;
    if (from + old_bytes != a->used_bytes || !add_size(from, new_bytes, &end)) return false;
    if (end > a->used_bytes) return take(a, end);
    a->used_bytes = end;
    return true;
}

char *arena_copy(arena *a, str s) {
    char *copy = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1, 1) : NULL;
    if (copy && s.len) memcpy(copy, s.ptr, s.len);
    return copy;
}

void arena_reset(arena *a, size_t mark) {
    ASSERT(mark <= a->used_bytes);
    a->used_bytes = mark;
}
