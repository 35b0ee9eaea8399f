/* test_mem.c: blocks and arenas, and that the counters say what is held. */
#include "mem/mem.h"
#include "plat/plat.h"
#include "check.h"

static bool all_zero(const void *p, size_t n) {
    const unsigned char *at = p;
    for (size_t i = 0; i < n; i++)
        if (at[i]) return false;
    return true;
}

TEST(mem_blocks_are_counted) {
    size_t before = mem_bytes(MEM_TOOLS), total = mem_bytes_total(), page = plat_page_bytes();
    char *a = mem_block(MEM_TOOLS, 100), *b = mem_block(MEM_TOOLS, 5 << 20), *c = mem_block(MEM_TOOLS, 0);
    CHECK(a && b && c);
    CHECK((uintptr_t)a % page == 0 && (uintptr_t)b % page == 0);
    CHECK(all_zero(a, 100) && all_zero(b, 5 << 20));
    memset(a, 1, 100);
    memset(b, 1, 5 << 20);
    CHECK_EQ(mem_bytes(MEM_TOOLS) - before, 2 * page + (5 << 20) + page + 2 * page);
    CHECK_EQ(mem_bytes_total() - total, mem_bytes(MEM_TOOLS) - before);
    CHECK(mem_bytes_peak(MEM_TOOLS) >= mem_bytes(MEM_TOOLS));
    mem_block_free(a);
    mem_block_free(b);
    mem_block_free(c);
    mem_block_free(NULL);
    CHECK_EQ(mem_bytes(MEM_TOOLS), before);
    CHECK_EQ(mem_bytes_total(), total);
    CHECK(mem_bytes_peak(MEM_TOOLS) >= before + (5 << 20));
    CHECK(!mem_block(MEM_TOOLS, SIZE_MAX) && !mem_block(MEM_TOOLS, SIZE_MAX - page) &&
          !mem_block(MEM_TOOLS, SIZE_MAX / 2));
    CHECK_EQ(mem_bytes_total(), total);
    CHECK_STR(mem_tag_name(MEM_KV), "KV cache");
}

TEST(mem_peak_is_of_the_sum) {
    size_t peak = mem_bytes_peak_total(), room = peak - mem_bytes_total(), page = plat_page_bytes();
    for (int tag = 0; tag < MEM_TAGS; tag++) mem_block_free(mem_block((mem_tag)tag, room + (1 << 20)));
    CHECK(mem_bytes_peak_total() >= peak + (1 << 20) && mem_bytes_peak_total() <= peak + (1 << 20) + 2 * page);
}

TEST(mem_limit_is_honoured) {
    size_t total = mem_bytes_total();
    mem_limit_set(total + (1 << 20));
    void *fits = mem_block(MEM_TOOLS, 512 << 10), *refused = mem_block(MEM_TOOLS, 512 << 10);
    arena a;
    bool opened = arena_open(&a, MEM_TOOLS, 16 << 20, NULL) == ERR_NONE;
    /* about 500 KiB are left: arenas commit coarsely, but near the limit what still fits is given */
    void *some = arena_alloc(&a, 400 << 10, 0), *more = arena_alloc(&a, 90 << 10, 0),
         *over = arena_alloc(&a, 100 << 10, 0);
    size_t held = mem_bytes_total();
    mem_limit_set(0);
    arena_close(&a);
    mem_block_free(fits);
    CHECK(fits && !refused && opened && some && more && !over);
    CHECK(held <= total + (1 << 20));
    CHECK_EQ(mem_bytes_total(), total);
}

TEST(arena_allocates_zeroed_and_aligned) {
    size_t total = mem_bytes_total();
    arena a;
    CHECK_EQ(arena_open(&a, MEM_TOOLS, 1 << 20, NULL), ERR_NONE);
    CHECK_EQ(mem_bytes_total(), total);
    rng r;
    rng_seed(&r, 1);
    for (int round = 0; round < 20; round++) {
        size_t mark = arena_mark(&a);
        char *last = a.base;
        for (int i = 0; i < 50; i++) {
            size_t n = rng_u64(&r) % 3000, align = (size_t)1 << rng_u64(&r) % 8;
            char *p = arena_alloc(&a, n, align);
            CHECK(p && (uintptr_t)p % align == 0 && p >= last && all_zero(p, n));
            memset(p, 0xAA, n);
            last = p + n;
        }
        if (round % 2) arena_reset(&a, mark);
        if (a.used_bytes > 700000) arena_reset(&a, 0);
    }
    arena_reset(&a, 0);
    CHECK((uintptr_t)arena_alloc(&a, 1, 0) % 16 == 0);
    CHECK(arena_alloc(&a, 1 << 20, 1) == NULL && arena_alloc(&a, SIZE_MAX, 0) == NULL);
    CHECK(arena_array(&a, SIZE_MAX / 2, 4) == NULL && arena_array(&a, 10, 4) != NULL);
    char *copy = arena_copy(&a, STR("hello"));
    CHECK_STR(copy, "hello");
    CHECK(mem_bytes_total() - total == a.committed_bytes && a.committed_bytes <= a.reserved_bytes);
    arena_close(&a);
    arena_close(&a);
    CHECK(arena_alloc(&a, 1, 0) == NULL);
    CHECK_EQ(mem_bytes_total(), total);
}

TEST(arena_extends_the_last) {
    arena a;
    CHECK_EQ(arena_open(&a, MEM_TOOLS, 100000, NULL), ERR_NONE);
    char *p = arena_alloc(&a, 100, 0), *q = arena_alloc(&a, 100, 4);
    memset(q, 1, 100);
    CHECK(!arena_extend(&a, p, 100, 200)); /* not the last */
    CHECK(arena_extend(&a, q, 100, 50000) && all_zero(q + 100, 49900) && q[99] == 1);
    memset(q, 2, 50000);
    CHECK(arena_extend(&a, q, 50000, 10) && arena_extend(&a, q, 10, 60000) && all_zero(q + 10, 59990) && q[9] == 2);
    CHECK(!arena_extend(&a, q, 60000, 200000) && !arena_extend(&a, q, 60000, SIZE_MAX));
    CHECK(arena_extend(&a, q, 60000, a.reserved_bytes - (size_t)(q - a.base)) && !arena_alloc(&a, 1, 1));
    arena_close(&a);
    err e;
    CHECK_EQ(arena_open(&a, MEM_TOOLS, SIZE_MAX, &e), ERR_MEMORY);
    CHECK_EQ(arena_open(&a, MEM_TOOLS, (size_t)1 << 60, &e), ERR_MEMORY);
    CHECK_MSG(strstr(e.text, "tools"), "%s", e.text);
}

static void churn(void *arg) {
    (void)arg;
    for (int i = 0; i < 200; i++) {
        char *p = mem_block(MEM_TOOLS, (size_t)(1 + i) * 100);
        if (p) p[i] = 1;
        mem_block_free(p);
    }
}

TEST(mem_counts_across_threads) {
    size_t total = mem_bytes_total();
    plat_thread *t[4];
    for (int i = 0; i < 4; i++) CHECK_EQ(plat_thread_start(&t[i], churn, NULL, -1), PLAT_OK);
    for (int i = 0; i < 4; i++) plat_thread_join(t[i]);
    CHECK_EQ(mem_bytes_total(), total);
}
