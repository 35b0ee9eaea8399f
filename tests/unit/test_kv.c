/* Pages of the KV cache: lengths, sharing, copy on write, running out. */
#include "check.h"
#include "kv/kv.h"

#include <string.h>

static const kv_shape shape = {
    .n_layer = 3, .n_head_kv = 2, .dim_k = 8, .dim_v = 4, .type_k = QUANT_F16, .type_v = QUANT_F16};

static void fill(kv_seq *s, size_t n, char value) {
    err e;
    CHECK_MSG(kv_seq_reserve(s, n, &e) == ERR_NONE, "%s", e.text);
    for (size_t i = kv_seq_length(s); i < kv_seq_length(s) + n; i++) kv_seq_pages(s)[i / KV_PAGE][i % KV_PAGE] = value;
    kv_seq_commit(s, n);
}

static char value_at(const kv_seq *s, size_t pos) { return kv_seq_pages(s)[pos / KV_PAGE][pos % KV_PAGE]; }

TEST(kv_layout_covers_a_page_once) {
    kv_cache *c;
    CHECK_EQ(kv_open(&c, &shape, 100, 100, 1, NULL), ERR_NONE);
    size_t k = 2 * KV_PAGE * 8 * 2, v = 2 * KV_PAGE * 4 * 2;
    for (size_t l = 0; l < 3; l++) {
        CHECK_EQ(kv_k_offset(c, l), l * (k + v));
        CHECK_EQ(kv_v_offset(c, l), l * (k + v) + k);
    }
    CHECK_EQ(kv_page_bytes(&shape), 3 * (k + v));
    CHECK_EQ(kv_bytes(c), 2 * kv_page_bytes(&shape)); /* 100 tokens: two pages */
    kv_close(c);
}

TEST(kv_positions_count_after_commit_only) {
    kv_cache *c;
    kv_seq *s;
    CHECK_EQ(kv_open(&c, &shape, 3 * KV_PAGE, 3 * KV_PAGE, 1, NULL), ERR_NONE);
    CHECK_EQ(kv_seq_open(c, &s, NULL), ERR_NONE);
    CHECK_EQ(kv_seq_reserve(s, KV_PAGE + 1, NULL), ERR_NONE);
    CHECK_EQ(kv_seq_length(s), 0);
    kv_seq_commit(s, KV_PAGE + 1);
    CHECK_EQ(kv_seq_length(s), KV_PAGE + 1);
    kv_seq_truncate(s, 5);
    CHECK_EQ(kv_seq_length(s), 5);
    kv_seq_truncate(s, 9); /* never grows */
    CHECK_EQ(kv_seq_length(s), 5);
    kv_close(c);
}

TEST(kv_full_cache_is_an_error_that_changes_nothing) {
    kv_cache *c;
    kv_seq *a, *b;
    err e;
    CHECK_EQ(kv_open(&c, &shape, 2 * KV_PAGE, 2 * KV_PAGE, 2, NULL), ERR_NONE);
    CHECK_EQ(kv_seq_open(c, &a, NULL), ERR_NONE);
    CHECK_EQ(kv_seq_open(c, &b, NULL), ERR_NONE);
    fill(a, KV_PAGE + 1, 7);
    CHECK_EQ(kv_seq_reserve(b, 1, &e), ERR_LIMIT);
    CHECK(strstr(e.text, "full"));
    CHECK_EQ(kv_seq_length(b), 0);
    CHECK_EQ(kv_seq_reserve(a, KV_PAGE, &e), ERR_LIMIT);
    fill(a, KV_PAGE - 1, 8);
    kv_seq_truncate(a, 1);
    fill(b, 1, 9);
    CHECK_EQ(value_at(a, 0), 7);
    CHECK_EQ(value_at(b, 0), 9);
    CHECK_EQ(kv_seq_open(c, &b, &e), ERR_LIMIT);
    kv_close(c);
}

TEST(kv_fork_copies_on_write) {
    kv_cache *c;
    kv_seq *a, *b;
    CHECK_EQ(kv_open(&c, &shape, 6 * KV_PAGE, 6 * KV_PAGE, 2, NULL), ERR_NONE);
    CHECK_EQ(kv_seq_open(c, &a, NULL), ERR_NONE);
    fill(a, KV_PAGE + 10, 1);
    CHECK_EQ(kv_seq_fork(a, &b, NULL), ERR_NONE);
    CHECK_EQ(kv_seq_length(b), KV_PAGE + 10);
    CHECK(kv_seq_pages(a)[1] == kv_seq_pages(b)[1]);
    fill(b, 5, 2);
    CHECK(kv_seq_pages(a)[0] == kv_seq_pages(b)[0]); /* whole pages stay shared */
    CHECK(kv_seq_pages(a)[1] != kv_seq_pages(b)[1]);
    fill(a, 5, 3);
    for (size_t i = 0; i < 5; i++) {
        CHECK_EQ(value_at(a, KV_PAGE + 10 + i), 3);
        CHECK_EQ(value_at(b, KV_PAGE + 10 + i), 2);
        CHECK_EQ(value_at(b, KV_PAGE + i), 1);
    }
    kv_seq_close(a);
    for (size_t i = 0; i < KV_PAGE; i++) CHECK_EQ(value_at(b, i), 1);
    kv_seq_close(b);
    CHECK_EQ(kv_seq_open(c, &a, NULL), ERR_NONE);
    fill(a, 6 * KV_PAGE, 4); /* every page came back */
    kv_close(c);
}

TEST(kv_types_make_pages_smaller) {
    kv_cache *c;
    err e;
    kv_shape s = {.n_layer = 2, .n_head_kv = 3, .dim_k = 64, .dim_v = 96, .type_k = QUANT_Q8_0, .type_v = QUANT_Q4_0};
    CHECK_EQ(kv_open(&c, &s, KV_PAGE, KV_PAGE, 1, NULL), ERR_NONE);
    CHECK_EQ(kv_v_offset(c, 0), 3 * KV_PAGE * 2 * 34);
    CHECK_EQ(kv_page_bytes(&s), 2 * 3 * KV_PAGE * (2 * 34 + 3 * 18));
    kv_close(c);
    s.dim_v = 80;
    CHECK_EQ(kv_open(&c, &s, KV_PAGE, KV_PAGE, 1, &e), ERR_UNSUPPORTED);
    CHECK_MSG(strstr(e.text, "values") && strstr(e.text, "80") && strstr(e.text, "32"), "%s", e.text);
    s.type_v = QUANT_Q4_K;
    CHECK_EQ(kv_open(&c, &s, KV_PAGE, KV_PAGE, 1, &e), ERR_UNSUPPORTED);
    CHECK_MSG(strstr(e.text, "Q4_K"), "%s", e.text);
}
