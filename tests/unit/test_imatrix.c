/* Importance matrices: what is written is read back, both kinds of files, and files that lie. */
#include "gguf_bytes.h"
#include "imatrix/imatrix.h"

#include <math.h>

/* Value k of matrix m of entry i; matrix 1 of the second entry was never used. */
static float value(size_t entry, uint64_t matrix, uint64_t k) { return (float)(100 * entry + 10 * matrix + k) * 6; }
static float count(size_t entry, uint64_t matrix) { return entry == 1 && matrix == 1 ? 0.0f : 3.0f; }

static err_code fill(void *user, size_t entry, uint64_t matrix, float *sums, float *n, err *e) {
    (void)e;
    const imatrix_shape *shapes = user;
    for (uint64_t k = 0; k < shapes[entry].n_in; k++) sums[k] = value(entry, matrix, k);
    *n = count(entry, matrix);
    return ERR_NONE;
}

static const char *write_two(void) {
    static imatrix_shape shapes[2] = {{STR("blk.0.attn_q.weight"), 8, 1}, {STR("blk.0.ffn_up_exps.weight"), 4, 3}};
    static const str texts[2] = {STR("a.txt"), STR("b.txt")};
    imatrix_write_opts o = {.entries = shapes, .n_entries = 2, .datasets = texts, .n_datasets = 2, .chunk_count = 7,
                            .chunk_size = 512, .sums = fill, .user = shapes};
    const char *path = test_path(0, "two.imatrix");
    err e;
    CHECK_MSG(imatrix_write(path, &o, &e) == ERR_NONE, "%s", e.text);
    return path;
}

static imatrix *open_ok(const char *path) {
    imatrix *m;
    err e;
    CHECK_MSG(imatrix_open(&m, path, &e) == ERR_NONE, "%s", e.text);
    return m;
}

static void expect_refused(const bytes *b, const char *words) {
    imatrix *m;
    err e = {0};
    CHECK(imatrix_open(&m, memory_file(b), &e) != ERR_NONE && m == NULL);
    CHECK_MSG(strstr(e.text, words), "\"%s\" lacks \"%s\"", e.text, words);
}

TEST(imatrix_reads_what_it_writes) {
    imatrix *m = open_ok(write_two());
    float row[8];
    double n;
    err e;
    CHECK(!imatrix_is_dat(m));
    CHECK_EQ(imatrix_chunk_count(m), 7);
    CHECK_EQ(imatrix_chunk_size(m), 512);
    CHECK_EQ(imatrix_entry_count(m), 2);
    gguf_cursor c = {0, 0};
    str text;
    CHECK(imatrix_next_dataset(m, &c, &text) && str_is(text, "a.txt"));
    CHECK(imatrix_next_dataset(m, &c, &text) && str_is(text, "b.txt") && !imatrix_next_dataset(m, &c, &text));
    CHECK(!imatrix_find(m, STR("blk.0.attn_k.weight")));
    const imatrix_entry *q = imatrix_find(m, STR("blk.0.attn_q.weight"));
    const imatrix_entry *up = imatrix_find(m, STR("blk.0.ffn_up_exps.weight"));
    CHECK(q && up);
    CHECK(!imatrix_importance(m, q, 8, 1, 0, row, &e));
    for (uint64_t k = 0; k < 8; k++) CHECK(row[k] == value(0, 0, k) / 3);
    for (uint64_t x = 0; x < 3; x++) {
        CHECK(!imatrix_importance(m, up, 4, 3, x, row, &e));
        /* An expert that nothing was routed to: all columns alike. */
        for (uint64_t k = 0; k < 4; k++) CHECK(row[k] == (x == 1 ? 1.0f : value(1, x, k) / 3));
        CHECK(!imatrix_sums(m, up, 4, x, 0, row, &n, &e) && n == (double)count(1, x) && row[3] == value(1, x, 3));
    }
    imatrix_close(m);
}

TEST(imatrix_must_suit_the_tensor) {
    imatrix *m = open_ok(write_two());
    const imatrix_entry *up = imatrix_find(m, STR("blk.0.ffn_up_exps.weight"));
    err e;
    float row[16];
    CHECK_EQ(imatrix_importance(m, up, 8, 3, 0, row, &e), ERR_FORMAT);
    CHECK_MSG(strstr(e.text, "ffn_up_exps.weight has 12 values") && strstr(e.text, "8 columns for each of 3"), "%s",
              e.text);
    /* As many values, but cut otherwise: counts tell. */
    CHECK_EQ(imatrix_importance(m, up, 6, 2, 0, row, &e), ERR_FORMAT);
    CHECK_MSG(strstr(e.text, "has 3 counts, the tensor wants 1 or 2"), "%s", e.text);
    CHECK_EQ(imatrix_check(up, UINT64_MAX, 3, &e), ERR_FORMAT);
    imatrix_close(m);
}

/* ---- the older kind ---------------------------------------------------------------------------------------------- */

static void add_dat_text(bytes *b, const char *s) {
    add_u32(b, (uint32_t)strlen(s));
    add_bytes(b, s, strlen(s));
}
static void add_dat_entry(bytes *b, const char *name, uint32_t calls, uint32_t n, float first) {
    add_dat_text(b, name);
    add_u32(b, calls);
    add_u32(b, n);
    for (uint32_t i = 0; i < n; i++) {
        float v = first + (float)i;
        add_bytes(b, &v, 4);
    }
}

TEST(imatrix_reads_dat_files) {
    static bytes b;
    float row[4];
    double n;
    err e;
    b.n = 0;
    add_u32(&b, 2);
    add_dat_entry(&b, "blk.0.attn_q.weight", 4, 4, 8);
    add_dat_entry(&b, "blk.0.ffn_up_exps.weight", 0, 6, 1);
    for (int tail = 0; tail < 3; tail++) { /* the end may be missing */
        if (tail == 1) add_u32(&b, 4);
        if (tail == 2) add_dat_text(&b, "text.txt");
        imatrix *m = open_ok(memory_file(&b));
        CHECK(imatrix_is_dat(m) && imatrix_entry_count(m) == 2);
        CHECK_EQ(imatrix_chunk_count(m), tail ? 4 : 0);
        gguf_cursor c = {0, 0};
        str text;
        CHECK_EQ(imatrix_next_dataset(m, &c, &text), tail == 2);
        const imatrix_entry *q = imatrix_find(m, STR("blk.0.attn_q.weight"));
        const imatrix_entry *up = imatrix_find(m, STR("blk.0.ffn_up_exps.weight"));
        CHECK(!imatrix_importance(m, q, 4, 1, 0, row, &e) && row[0] == 2 && row[3] == 11.0f / 4);
        CHECK(!imatrix_importance(m, up, 2, 3, 1, row, &e) && row[0] == 3 && row[1] == 4);
        CHECK(!imatrix_sums(m, q, 4, 0, 512, row, &n, &e) && n == 4 * 512 && row[0] == 8 * 512);
        imatrix_close(m);
    }
}

TEST(imatrix_refuses_bad_dat_files) {
    static bytes b;
    b.n = 0;
    expect_refused(&b, "neither GGUF nor a .dat file");
    add_u32(&b, 1000000);
    expect_refused(&b, "neither GGUF nor a .dat file");
    b.n = 0;
    add_u32(&b, 1);
    add_u32(&b, 0xFFFFFFFF);
    for (int i = 0; i < 20; i++) add_u8(&b, 'x');
    expect_refused(&b, "entry 0 is -1 bytes long, wanted 0 to 256");
    b.n = 0;
    add_u32(&b, 2);
    add_dat_entry(&b, "blk.0.attn_q.weight", 4, 4, 8);
    bytes first = b;
    expect_refused(&b, "the file ends in entry 1");
    add_dat_entry(&b, "blk.0.attn_q.weight", 4, 4, 8);
    expect_refused(&b, "blk.0.attn_q.weight comes twice");
    b = first;
    add_dat_text(&b, "x");
    add_u32(&b, 1);
    add_u32(&b, 0x7FFFFFFF);
    add_u64(&b, 0);
    expect_refused(&b, "2147483647 values");
    b = first;
    add_dat_entry(&b, "a\nb", 4, 4, 8);
    expect_refused(&b, "the name of entry 1 is no plain text");
    b = first;
    add_dat_entry(&b, "x", 4, 4, 8);
    add_u32(&b, 4);
    add_u32(&b, 100);
    expect_refused(&b, "the file ends in the path of the text");
}

/* ---- GGUF files that lie --------------------------------------------------------------------------------------- */

static void add_pair(bytes *b, const char *sums, uint64_t n_sums, const char *counts, uint64_t n_counts,
                     uint32_t type) {
    uint64_t dims[2] = {n_sums, n_counts};
    add_start(b, 3, (sums != NULL) + (counts != NULL), 0);
    if (sums) add_tensor(b, sums, 1, &dims[0], type, 0);
    if (counts) add_tensor(b, counts, 1, &dims[1], QUANT_F32, 32);
    add_data(b, 32, 64);
}

TEST(imatrix_refuses_bad_gguf_files) {
    static bytes b;
    add_pair(&b, "x.in_sum2", 4, NULL, 0, QUANT_F32);
    expect_refused(&b, "x has sums but no counts");
    add_pair(&b, NULL, 0, "x.counts", 1, QUANT_F32);
    expect_refused(&b, "x has counts but no sums");
    add_pair(&b, "x.in_sum2", 4, "x.counts", 3, QUANT_F32);
    expect_refused(&b, "x has 4 sums and 3 counts");
    add_pair(&b, "x.in_sum2", 4, "x.counts", 1, QUANT_F16);
    expect_refused(&b, "sums of type F16");
    add_start(&b, 3, 0, 0);
    add_data(&b, 32, 0);
    expect_refused(&b, "no importance matrix");
    add_start(&b, 3, 0, 1);
    expect_refused(&b, "1 keys are announced");
}

TEST(imatrix_refuses_values_that_are_no_squares) {
    static const float bad[3] = {-1, INFINITY, NAN};
    static bytes b;
    for (size_t i = 0; i < 6; i++) {
        add_pair(&b, "x.in_sum2", 4, "x.counts", 1, QUANT_F32);
        float values[9] = {1, 2, 3, 4, 0, 0, 0, 0, 5};
        values[i < 3 ? 2 : 8] = bad[i % 3];
        memcpy(b.at + b.n - 64, values, sizeof values);
        imatrix *m = open_ok(memory_file(&b));
        float row[4];
        err e;
        CHECK_EQ(imatrix_importance(m, imatrix_entry_at(m, 0), 4, 1, 0, row, &e), ERR_FORMAT);
        CHECK_MSG(strstr(e.text, "wanted a finite number from 0 on"), "%s", e.text);
        imatrix_close(m);
    }
}
