/* The GGUF reader on well-formed files: kinds, lookups, alignments, parts, and what the writer writes. */
#include "gguf_bytes.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static gguf_writer *writer(uint32_t version, uint32_t alignment) {
    gguf_writer *w;
    err e;
    CHECK_MSG(gguf_writer_open(&w, version, alignment, &e) == ERR_NONE, "%s", e.text);
    return w;
}

/* Writes the tensors' bytes as 0, 1, 2 ... over the whole data, in pieces of 100 bytes at most; closes the writer. */
static void finish(gguf_writer *w, const char *path, const size_t *sizes, size_t n) {
    err e;
    CHECK_MSG(gguf_write_begin(w, path, &e) == ERR_NONE, "%s", e.text);
    uint8_t value = 0, piece[100];
    for (size_t i = 0; i < n; i++)
        for (size_t at = 0, part; at < sizes[i]; at += part) {
            part = MIN(sizes[i] - at, sizeof piece);
            for (size_t k = 0; k < part; k++) piece[k] = value++;
            CHECK_MSG(gguf_write_data(w, piece, part, &e) == ERR_NONE, "%s", e.text);
        }
    CHECK_MSG(gguf_write_finish(w, &e) == ERR_NONE, "%s", e.text);
    gguf_writer_close(w);
}

static gguf *open_ok(const char *path) {
    gguf *g;
    err e;
    CHECK_MSG(gguf_open(&g, path, &e) == ERR_NONE, "%s", e.text);
    return g;
}

/* Values of every kind, as scalars and as arrays. */
static gguf *open_kinds(void) {
    const char *path = test_path(0, "kinds.gguf");
    gguf_writer *w = writer(3, 0);
    gguf_put_u16(w, "u16", 65535);
    gguf_put_u32(w, "u32", 4000000000u);
    gguf_put_i32(w, "i32", -7);
    gguf_put_u64(w, "u64", UINT64_MAX);
    gguf_put_f32(w, "f32", 1.5f);
    gguf_put_bool(w, "yes", true);
    gguf_put_bool(w, "no", false);
    gguf_put_str(w, "str", STR("leat"));
    gguf_put_str(w, "empty", STR(""));
    str words[3] = {STR("a"), STR(""), STR("\xff\xfe")};
    gguf_put_strs(w, "words", words, 3);
    int8_t i8[2] = {-1, 1};
    int16_t i16[2] = {-300, 300};
    int64_t i64[2] = {INT64_MIN, INT64_MAX};
    uint8_t u8[2] = {0, 255};
    double f64[2] = {0.1, -2};
    gguf_put_array(w, "i8", GGUF_I8, i8, 2);
    gguf_put_array(w, "i16", GGUF_I16, i16, 2);
    gguf_put_array(w, "i64", GGUF_I64, i64, 2);
    gguf_put_array(w, "u8", GGUF_U8, u8, 2);
    gguf_put_array(w, "f64", GGUF_F64, f64, 2);
    gguf_put_array(w, "none", GGUF_F32, NULL, 0);
    finish(w, path, NULL, 0);
    return open_ok(path);
}

TEST(gguf_writes_and_reads_every_kind) {
    gguf *g = open_kinds();
    CHECK_EQ(gguf_kv_count(g), 16);
    CHECK_EQ(gguf_tensor_count(g), 0);
    CHECK_EQ(gguf_version(g), 3);
    CHECK_EQ(gguf_alignment(g), 32);
    uint64_t u;
    int64_t i;
    double d;
    bool b;
    str s;
    CHECK(gguf_get_u64(g, "u16", &u) && u == 65535);
    CHECK(gguf_get_u64(g, "u32", &u) && u == 4000000000u);
    CHECK(gguf_get_u64(g, "u64", &u) && u == UINT64_MAX);
    CHECK(gguf_get_i64(g, "i32", &i) && i == -7);
    CHECK(gguf_get_f64(g, "i32", &d) && d == -7);
    CHECK(gguf_get_f64(g, "f32", &d) && d == 1.5);
    CHECK(gguf_get_f64(g, "u64", &d) && d == 18446744073709551616.0);
    CHECK(gguf_get_bool(g, "yes", &b) && b);
    CHECK(gguf_get_bool(g, "no", &b) && !b);
    CHECK(gguf_get_str(g, "str", &s) && str_is(s, "leat"));
    CHECK(gguf_get_str(g, "empty", &s) && s.len == 0);
    CHECK(str_is(gguf_kv_at(g, 3)->key, "u64"));
    /* What does not convert without loss is refused. */
    CHECK(!gguf_get_i64(g, "u64", &i));
    CHECK(!gguf_get_u64(g, "i32", &u));
    CHECK(!gguf_get_u64(g, "f32", &u));
    CHECK(!gguf_get_u64(g, "yes", &u) && !gguf_get_f64(g, "yes", &d));
    CHECK(!gguf_get_bool(g, "u32", &b));
    CHECK(!gguf_get_str(g, "u32", &s) && !gguf_get_str(g, "words", &s));
    CHECK(!gguf_get_u64(g, "u8", &u) && !gguf_get_u64(g, "absent", &u));
    CHECK(!gguf_find(g, "absent") && !gguf_find(g, "") && !gguf_find_tensor(g, "str"));
    gguf_close(g);
}

TEST(gguf_reads_arrays) {
    gguf *g = open_kinds();
    uint64_t u;
    int64_t i;
    double d;
    str s;
    CHECK(gguf_item_i64(gguf_find(g, "i8"), 0, &i) && i == -1);
    CHECK(gguf_item_i64(gguf_find(g, "i16"), 1, &i) && i == 300);
    CHECK(gguf_item_i64(gguf_find(g, "i64"), 0, &i) && i == INT64_MIN);
    CHECK(gguf_item_u64(gguf_find(g, "u8"), 1, &u) && u == 255);
    CHECK(gguf_item_f64(gguf_find(g, "f64"), 0, &d) && d == 0.1);
    CHECK(!gguf_item_u64(gguf_find(g, "u8"), 2, &u) && !gguf_item_f64(gguf_find(g, "none"), 0, &d));
    const gguf_kv *kv = gguf_find(g, "words");
    CHECK(kv->kind == GGUF_ARR && kv->item == GGUF_STR && kv->count == 3);
    CHECK(!gguf_item_u64(kv, 0, &u));
    gguf_cursor c = {0, 0};
    CHECK(gguf_next_str(kv, &c, &s) && str_is(s, "a"));
    CHECK(gguf_next_str(kv, &c, &s) && s.len == 0);
    CHECK(gguf_next_str(kv, &c, &s) && str_is(s, "\xff\xfe"));
    CHECK(!gguf_next_str(kv, &c, &s));
    c = (gguf_cursor){0, 0};
    CHECK(!gguf_next_str(gguf_find(g, "u8"), &c, &s));
    gguf_close(g);
}

TEST(gguf_keeps_tensors_at_any_alignment_and_version) {
    static const uint32_t alignments[] = {8, 16, 32, 64, 4096};
    for (uint32_t version = 2; version <= 3; version++)
        for (size_t a = 0; a < COUNT_OF(alignments); a++) {
            const char *path = test_path(0, "tensors.gguf");
            gguf_writer *w = writer(version, alignments[a]);
            gguf_put_str(w, "general.architecture", STR("test"));
            gguf_put_tensor(w, "one", quant_find(QUANT_F32), 1, (const uint64_t[]){3});
            gguf_put_tensor(w, "two", quant_find(QUANT_Q8_0), 2, (const uint64_t[]){64, 5});
            gguf_put_tensor(w, "four", quant_find(QUANT_F16), 4, (const uint64_t[]){1, 2, 3, 4});
            const size_t sizes[3] = {12, 340, 48};
            finish(w, path, sizes, 3);

            gguf *g = open_ok(path);
            CHECK_EQ(gguf_version(g), version);
            CHECK_EQ(gguf_alignment(g), alignments[a]);
            CHECK_EQ(gguf_tensor_count(g), 3);
            const gguf_tensor *t = gguf_find_tensor(g, "four");
            CHECK(t && t->n_dims == 4 && t->dims[0] == 1 && t->dims[3] == 4);
            CHECK(t->type->id == QUANT_F16 && t->bytes == 48);
            t = gguf_find_tensor(g, "two");
            CHECK(t && t->dims[0] == 64 && t->dims[1] == 5 && t->dims[2] == 1 && t->dims[3] == 1 && t->bytes == 340);
            CHECK(t == gguf_tensor_at(g, 1) && t->part == 0 && t->type_id == QUANT_Q8_0);
            uint8_t value = 0;
            for (size_t i = 0; i < 3; i++) {
                t = gguf_tensor_at(g, i);
                CHECK_EQ(t->offset % alignments[a], 0);
                uint8_t data[512];
                CHECK_EQ(plat_file_read(gguf_part_file(g, 0), t->offset, data, t->bytes), t->bytes);
                for (size_t k = 0; k < t->bytes; k++) CHECK_EQ(data[k], value++);
            }
            CHECK_EQ(gguf_total_bytes(g) % alignments[a], 0);
            gguf_close(g);
        }
}

TEST(gguf_writer_copies_keys_of_another_file) {
    const char *from = test_path(0, "from.gguf"), *to = test_path(1, "to.gguf");
    gguf_writer *w = writer(2, 64);
    gguf_put_str(w, "name", STR("x"));
    gguf_put_strs(w, "list", (const str[]){STR("p"), STR("q")}, 2);
    gguf_put_array(w, "numbers", GGUF_F32, (const float[]){1, 2, 3}, 3);
    finish(w, from, NULL, 0);
    gguf *g = open_ok(from);
    CHECK_EQ(gguf_kv_count(g), 4);
    w = writer(3, 0);
    for (size_t i = 0; i < gguf_kv_count(g); i++) gguf_put_kv(w, gguf_kv_at(g, i));
    finish(w, to, NULL, 0);
    gguf *h = open_ok(to);
    CHECK_EQ(gguf_kv_count(h), 3); /* all but general.alignment */
    CHECK_EQ(gguf_alignment(h), 32);
    for (size_t i = 0; i < gguf_kv_count(h); i++) {
        const gguf_kv *a = gguf_kv_at(g, i), *b = gguf_kv_at(h, i);
        CHECK(str_eq(a->key, b->key) && a->kind == b->kind && a->item == b->item && a->count == b->count);
        CHECK(a->data_bytes == b->data_bytes && memcmp(a->data, b->data, a->data_bytes) == 0);
    }
    gguf_close(g);
    gguf_close(h);
}

static void check_writer_refuses(gguf_writer *w, const char *wanted) {
    err e;
    const char *path = test_path(2, "refused.gguf");
    CHECK_MSG(gguf_write_begin(w, path, &e) != ERR_NONE, "not refused: %s", wanted);
    CHECK_MSG(strstr(e.text, wanted), "\"%s\" is not in: %s", wanted, e.text);
    gguf_writer_close(w);
    CHECK(access(path, F_OK) != 0);
    CHECK(access(test_path(3, "refused.gguf.part"), F_OK) != 0);
}

TEST(gguf_writer_refuses_what_a_reader_would) {
    const quant_type *f32 = quant_find(QUANT_F32), *q4_k = quant_find(QUANT_Q4_K);
    gguf_writer *w;
    err e;
    CHECK(gguf_writer_open(&w, 1, 0, &e) == ERR_ARGUMENT && !w && strstr(e.text, "version 1"));
    CHECK(gguf_writer_open(&w, 3, 12, &e) == ERR_ARGUMENT && !w && strstr(e.text, "alignment 12"));
    CHECK(gguf_writer_open(&w, 3, 4, &e) == ERR_ARGUMENT && !w);
    w = writer(3, 0);
    gguf_put_u32(w, "k", 1);
    gguf_put_u32(w, "k", 2);
    check_writer_refuses(w, "key k was put twice");
    w = writer(3, 0);
    gguf_put_tensor(w, "t", f32, 1, (const uint64_t[]){1});
    gguf_put_tensor(w, "t", f32, 1, (const uint64_t[]){1});
    check_writer_refuses(w, "tensor t was put twice");
    w = writer(3, 0);
    gguf_put_u32(w, "", 1);
    check_writer_refuses(w, "key number 0");
    w = writer(3, 0);
    gguf_put_u32(w, "general.alignment", 64);
    check_writer_refuses(w, "general.alignment");
    w = writer(3, 0);
    gguf_put_tensor(w, "t", q4_k, 2, (const uint64_t[]){100, 1});
    check_writer_refuses(w, "rows of 100");
    w = writer(3, 0);
    gguf_put_tensor(w, "t", f32, 2, (const uint64_t[]){100, 0});
    check_writer_refuses(w, "tensor t");
    w = writer(3, 0);
    const char *long_name = "0123456789012345678901234567890123456789012345678901234567890123";
    gguf_put_tensor(w, long_name, f32, 1, (const uint64_t[]){1});
    check_writer_refuses(w, "64 bytes of name");
    w = writer(3, 0);
    gguf_put_tensor(w, "t", f32, 5, (const uint64_t[]){1, 1, 1, 1, 1});
    check_writer_refuses(w, "5 dimensions");
    w = writer(3, 0);
    gguf_put_array(w, "k", GGUF_STR, NULL, 0);
    check_writer_refuses(w, "key k");
}

TEST(gguf_writer_wants_all_bytes_and_no_more) {
    const char *path = test_path(0, "short.gguf");
    unlink(path);
    gguf_writer *w = writer(3, 0);
    err e;
    uint8_t data[64] = {0};
    gguf_put_tensor(w, "t", quant_find(QUANT_F32), 1, (const uint64_t[]){4});
    CHECK(gguf_write_data(w, data, 4, &e) == ERR_ARGUMENT);
    CHECK(gguf_write_finish(w, &e) == ERR_ARGUMENT);
    CHECK_EQ(gguf_write_begin(w, path, &e), ERR_NONE);
    CHECK_EQ(gguf_write_begin(w, path, &e), ERR_ARGUMENT);
    CHECK(gguf_write_data(w, data, 17, &e) == ERR_ARGUMENT && strstr(e.text, "tensor t has 16 bytes"));
    CHECK_EQ(gguf_write_data(w, data, 15, &e), ERR_NONE);
    CHECK(gguf_write_finish(w, &e) == ERR_ARGUMENT && strstr(e.text, "15 of 16"));
    CHECK_EQ(gguf_write_data(w, data, 1, &e), ERR_NONE);
    CHECK(gguf_write_data(w, data, 1, &e) == ERR_ARGUMENT);
    CHECK(access(path, F_OK) != 0 && access(test_path(3, "short.gguf.part"), F_OK) == 0);
    CHECK_EQ(gguf_write_finish(w, &e), ERR_NONE);
    CHECK(access(path, F_OK) == 0 && access(test_path(3, "short.gguf.part"), F_OK) != 0);
    CHECK_EQ(gguf_write_finish(w, &e), ERR_ARGUMENT);
    gguf_writer_close(w);
    CHECK(access(path, F_OK) == 0);
}

/* A part that waits for the others to be written is nobody else's: two models would become one. */
TEST(gguf_writer_keeps_a_sealed_file) {
    const char *path = test_path(0, "sealed.gguf");
    gguf_writer *first = writer(3, 0), *second = writer(3, 0);
    err e;
    CHECK_EQ(gguf_write_begin(first, path, &e), ERR_NONE);
    CHECK_EQ(gguf_write_seal(first, &e), ERR_NONE);
    CHECK_EQ(gguf_write_seal(first, &e), ERR_ARGUMENT);
    CHECK(gguf_write_begin(second, path, &e) == ERR_IO && strstr(e.text, "in use"));
    gguf_writer_close(second);
    CHECK_EQ(gguf_write_finish(first, &e), ERR_NONE);
    CHECK(access(path, F_OK) == 0);
    second = writer(3, 0);
    CHECK_EQ(gguf_write_begin(second, path, &e), ERR_NONE);
    gguf_writer_close(first);
    CHECK_EQ(gguf_write_finish(second, &e), ERR_NONE);
    gguf_writer_close(second);
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

typedef struct part_spec {
    int no, count, tensors; /* as in the header; -1: the key is left out */
    const char *tensor;
} part_spec;

static void write_part(int index, int count, const part_spec *p) {
    char name[64];
    snprintf(name, sizeof name, "split-%05d-of-%05d.gguf", index, count);
    gguf_writer *w = writer(3, 0);
    if (index == 1) gguf_put_str(w, "general.architecture", STR("test"));
    if (p->no >= 0) gguf_put_u16(w, "split.no", (uint16_t)p->no);
    if (p->count >= 0) gguf_put_u16(w, "split.count", (uint16_t)p->count);
    if (p->tensors >= 0) gguf_put_i32(w, "split.tensors.count", p->tensors);
    gguf_put_tensor(w, p->tensor, quant_find(QUANT_F32), 1, (const uint64_t[]){8});
    const size_t size = 32;
    finish(w, test_path(3, name), &size, 1);
}

static const part_spec good_parts[3] = {{0, 3, 3, "a"}, {1, 3, 3, "b"}, {2, 3, 3, "c"}};

static void write_parts(const part_spec *parts) {
    for (int i = 0; i < 3; i++) write_part(i + 1, 3, &parts[i]);
}

static void check_parts_refused(const char *first, const char *wanted) {
    err e;
    gguf *g;
    size_t before = mem_bytes(MEM_GGUF);
    CHECK_MSG(gguf_open(&g, test_path(0, first), &e) != ERR_NONE, "not refused: %s", wanted);
    CHECK_MSG(!g && strstr(e.text, wanted), "\"%s\" is not in: %s", wanted, e.text);
    CHECK_EQ(mem_bytes(MEM_GGUF), before);
}

TEST(gguf_joins_parts) {
    write_parts(good_parts);
    gguf *g = open_ok(test_path(0, "split-00001-of-00003.gguf"));
    CHECK_EQ(gguf_part_count(g), 3);
    CHECK_EQ(gguf_tensor_count(g), 3);
    CHECK_EQ(gguf_kv_count(g), 4);
    CHECK(gguf_find(g, "general.architecture"));
    CHECK_EQ(gguf_find_tensor(g, "c")->part, 2);
    CHECK(strstr(gguf_part_path(g, 1), "split-00002-of-00003.gguf"));
    CHECK_EQ(gguf_total_bytes(g), plat_file_bytes(gguf_part_file(g, 0)) + plat_file_bytes(gguf_part_file(g, 1)) +
                                      plat_file_bytes(gguf_part_file(g, 2)));
    gguf_close(g);
}

TEST(gguf_names_the_part_that_is_wrong) {
    const char *first = "split-00001-of-00003.gguf";
    write_parts(good_parts);
    check_parts_refused("split-00002-of-00003.gguf", "this is part 2 of 3: open ");
    check_parts_refused("split-00002-of-00003.gguf", "/split-00001-of-00003.gguf");
    check_parts_refused("split-00004-of-00003.gguf", "part 4 of 3");
    check_parts_refused("split-00000-of-00003.gguf", "part 0 of 3");
    check_parts_refused("split-00001-of-00000.gguf", "part 1 of 0");
    check_parts_refused("split-00001-of-90000.gguf", "90000 parts");
    unlink(test_path(0, "split-00002-of-00003.gguf"));
    check_parts_refused(first, "split-00002-of-00003.gguf: part 2 of 3: ");
    part_spec p[3];
#define CASE(i, field, value, wanted)        \
    memcpy(p, good_parts, sizeof p);         \
    p[i].field = value;                      \
    write_parts(p);                          \
    check_parts_refused(first, wanted)
    CASE(1, no, 2, "split-00002-of-00003.gguf: named part 2 of 3, but its header says part 3 of 3");
    CASE(2, count, 4, "split-00003-of-00003.gguf: named part 3 of 3, but its header says part 3 of 4");
    CASE(0, count, 2, "split-00001-of-00003.gguf: named part 1 of 3, but its header says part 1 of 2");
    CASE(1, no, -1, "split-00002-of-00003.gguf: named part 2 of 3, but it has no key split.no");
    CASE(0, count, -1, "has no key split.count");
    CASE(2, tensors, -1, "has no key split.tensors.count");
    CASE(1, tensors, 4, "split-00002-of-00003.gguf: split.tensors.count is 4, but 3 in the first part");
    CASE(2, tensor, "a", "split-00003-of-00003.gguf: tensor a comes twice");
#undef CASE
    memcpy(p, good_parts, sizeof p);
    for (int i = 0; i < 3; i++) p[i].tensors = 5;
    write_parts(p);
    check_parts_refused(first, "split.tensors.count is 5, but the 3 parts have 3");
    /* A part under a name of its own. */
    write_part(1, 1, &(part_spec){1, 3, 3, "a"});
    check_parts_refused("split-00001-of-00001.gguf",
                        "its header says part 2 of 3, so its name must end in -00002-of-00003.gguf");
    write_part(1, 1, &(part_spec){0, 1, 1, "a"});
    gguf_close(open_ok(test_path(0, "split-00001-of-00001.gguf")));
    write_part(1, 1, &(part_spec){-1, -1, -1, "a"});
    gguf_close(open_ok(test_path(0, "split-00001-of-00001.gguf")));
}

/* ---- time and size ---------------------------------------------------------------------------------------------- */

/* Of processor time, which other programs do not lengthen: the file is in the page cache. */
static double ms_to_open(const char *path, size_t *n_kv) {
    double best = 1e9;
    for (int i = 0; i < 3 || (i < 30 && best > 40); i++) { /* cores shared with others are slow ones at times */
        struct timespec a, b;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
        gguf *g = open_ok(path);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
        *n_kv = gguf_kv_count(g);
        gguf_close(g);
        best = MIN(best, (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
    }
    return best;
}

TEST(gguf_opens_a_large_header_in_time) {
    const char *path = test_path(0, "large.gguf");
    enum { N = 200000 };
    str *tokens = malloc(N * sizeof *tokens);
    char (*text)[48] = malloc(N * sizeof *text);
    for (size_t i = 0; i < N; i++) {
        int n = snprintf(text[i], sizeof text[i], "token number %zu with some more bytes", i);
        tokens[i] = (str){text[i], (size_t)n};
    }
    gguf_writer *w = writer(3, 0);
    gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, N);
    gguf_put_strs(w, "tokenizer.ggml.merges", tokens, N);
    finish(w, path, NULL, 0);
    free(tokens);
    free(text);
    size_t n_kv;
    double ms = ms_to_open(path, &n_kv);
    CHECK_EQ(n_kv, 2);
    CHECK_MSG(ms < 50, "a header of 19 MB took %.1f ms to open", ms);
    char real[512];
    if (!test_shared()) return;
    snprintf(real, sizeof real, "%s/golden/vocabs/gpt-oss.gguf", test_shared());
    if (access(real, R_OK) != 0) return;
    ms = ms_to_open(real, &n_kv);
    CHECK_MSG(ms < 50 && n_kv > 10, "the gpt-oss vocabulary took %.1f ms to open", ms);
}

/* Files of 100 GB that are mostly holes: time and memory follow the header, not the size. */
TEST(gguf_opens_a_huge_file_in_time) {
    const char *path = test_path(0, "huge.gguf");
    bytes b;
    add_start(&b, 3, 2, 1);
    add_key(&b, "general.architecture", GGUF_STR);
    add_str(&b, "test");
    uint64_t rows = 48ull << 20, dims[2] = {2048, rows}, size = 2048 / 32 * 34 * rows;
    add_tensor(&b, "huge", 2, dims, QUANT_Q8_0, 0);
    add_tensor(&b, "small", 1, (const uint64_t[]){8}, QUANT_F32, size);
    add_data(&b, 32, 0);
    write_file(path, b.at, b.n);
    if (truncate(path, (off_t)(b.n + size + 32)) != 0) test_skip("no sparse files here");
    size_t n_kv, before = mem_bytes_peak(MEM_GGUF);
    double ms = ms_to_open(path, &n_kv);
    size_t after = mem_bytes_peak(MEM_GGUF);
    gguf *g = open_ok(path);
    CHECK_EQ(gguf_find_tensor(g, "huge")->bytes, 109521666048);
    gguf_close(g);
    /* A string of 90 GB, and an array as large: within the file, but more than a header may hold. */
    err e;
    add_start(&b, 3, 0, 1);
    add_key(&b, "k", GGUF_STR);
    add_u64(&b, 90ull << 30);
    write_file(path, b.at, b.n);
    CHECK_EQ(truncate(path, 100ll << 30), 0);
    CHECK(gguf_open(&g, path, &e) == ERR_LIMIT && strstr(e.text, "key k"));
    add_start(&b, 3, 0, 1);
    add_key_array(&b, "k", GGUF_F64, 10ull << 30);
    write_file(path, b.at, b.n);
    CHECK_EQ(truncate(path, 100ll << 30), 0);
    CHECK(gguf_open(&g, path, &e) == ERR_LIMIT && strstr(e.text, "key k"));
    /* Counts that the file could hold, but that are beyond the limits. */
    add_start(&b, 3, 0, 1ull << 32);
    write_file(path, b.at, b.n);
    CHECK_EQ(truncate(path, 100ll << 30), 0);
    CHECK(gguf_open(&g, path, &e) == ERR_LIMIT && strstr(e.text, "4294967296 keys"));
    add_start(&b, 3, 1ull << 31, 0);
    write_file(path, b.at, b.n);
    CHECK_EQ(truncate(path, 100ll << 30), 0);
    CHECK(gguf_open(&g, path, &e) == ERR_LIMIT && strstr(e.text, "2147483648 tensors"));
    unlink(path);
    CHECK_MSG(ms < 50, "a header of 1 KB in a file of 100 GB took %.1f ms to open", ms);
    CHECK_MSG(after <= MAX(before, (size_t)(4 << 20)), "%zu bytes were committed at once", after);
}
