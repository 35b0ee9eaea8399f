/* The GGUF reader on malformed files: every rule by name, every truncation, thousands of mutations. */
#include "gguf_bytes.h"

/* The file must be refused, and the text must have these words in it. */
static void check_refused(const bytes *b, err_code code, const char *wanted) {
    err e = {0};
    gguf *g = open_bytes(b, &e);
    if (g) {
        gguf_close(g);
        CHECK_MSG(false, "not refused: %s", wanted);
    }
    CHECK_MSG(strstr(e.text, wanted), "\"%s\" is not in: %s", wanted, e.text);
    CHECK_MSG(e.code == code, "%s: code %s, wanted %s", e.text, err_name(e.code), err_name(code));
    const char *name = strrchr(memory_file(b), '/') + 1;
    CHECK_MSG(strncmp(e.text, name, strlen(name)) == 0, "does not begin with the file's name: %s", e.text);
}

static void check_ok(const bytes *b) {
    err e;
    gguf *g = open_bytes(b, &e);
    CHECK_MSG(g, "%s", e.text);
    gguf_close(g);
}

TEST(gguf_refuses_other_versions_and_files) {
    bytes b;
    add_start(&b, 3, 0, 0);
    check_ok(&b);
    b.n = 23;
    check_refused(&b, ERR_FORMAT, "24 bytes wanted at offset 0, it has 23");
    b.n = 0;
    check_refused(&b, ERR_FORMAT, "it has 0");
    b.n = 24;
    b.at[0] = 'g';
    check_refused(&b, ERR_FORMAT, "not a GGUF file: it begins with 67 47 55 46");
    add_start(&b, 1, 0, 0);
    check_refused(&b, ERR_UNSUPPORTED, "version 1");
    add_start(&b, 4, 0, 0);
    check_refused(&b, ERR_UNSUPPORTED, "version 4");
    add_start(&b, 0, 0, 0);
    check_refused(&b, ERR_UNSUPPORTED, "version 0");
    add_start(&b, 0x03000000, 0, 0);
    check_refused(&b, ERR_UNSUPPORTED, "big-endian");
    err e;
    gguf *g;
    CHECK(gguf_open(&g, test_path(0, "absent.gguf"), &e) == ERR_IO && !g && strstr(e.text, "absent.gguf"));
    CHECK(gguf_open(&g, "", &e) == ERR_ARGUMENT && !g);
    CHECK(gguf_open(&g, test_path(0, ""), &e) != ERR_NONE && !g);
    gguf_close(NULL);
}

TEST(gguf_checks_keys) {
    bytes b;
    add_start(&b, 3, 0, UINT64_MAX);
    check_refused(&b, ERR_FORMAT, "18446744073709551615 keys are announced");
    add_start(&b, 3, 0, 2);
    add_key_u32(&b, "a", 1);
    check_refused(&b, ERR_FORMAT, "2 keys are announced");
    add_start(&b, 3, 0, 1);
    add_u64(&b, 0);
    add_data(&b, 1, 64);
    check_refused(&b, ERR_FORMAT, "key 0 has an empty name");
    add_start(&b, 3, 0, 1);
    add_u64(&b, 1ull << 63);
    add_data(&b, 1, 64);
    check_refused(&b, ERR_FORMAT, "key 0 has a name of 9223372036854775808 bytes, 65535 are allowed");
    add_start(&b, 3, 0, 1);
    add_u64(&b, 1000);
    add_data(&b, 1, 64);
    check_refused(&b, ERR_FORMAT, "the file ends in key 0");
    static const char *const names[] = {"a\nb", "\x1b[31m", "a\x7f", "\xff", "\xc3", "\xed\xa0\x80", "\xc2\x9b"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        add_start(&b, 3, 0, 1);
        add_key_u32(&b, names[i], 1);
        check_refused(&b, ERR_FORMAT, "key 0 has a name that is not plain UTF-8 text");
    }
    add_start(&b, 3, 0, 1);
    add_key_u32(&b, "schl\xc3\xbcssel", 1);
    check_ok(&b);
    add_start(&b, 3, 0, 3);
    add_key_u32(&b, "a", 1);
    add_key_u32(&b, "b", 1);
    add_key_u32(&b, "a", 2);
    check_refused(&b, ERR_FORMAT, "key a comes twice, as number 0 and 2");
    add_start(&b, 3, 0, 1);
    add_key(&b, "odd", 13);
    add_data(&b, 1, 64);
    check_refused(&b, ERR_FORMAT, "key odd is of kind 13, wanted 0 to 12");
    add_start(&b, 3, 0, 1);
    add_key(&b, "b", GGUF_BOOL);
    add_u8(&b, 2);
    check_refused(&b, ERR_FORMAT, "key b has the bool 2, wanted 0 or 1");
    add_start(&b, 3, 0, 1);
    add_key(&b, "number", GGUF_U64);
    add_u32(&b, 2);
    check_refused(&b, ERR_FORMAT, "the file ends in key number: 8 bytes wanted");
    add_start(&b, 3, 0, 1);
    add_key(&b, "text", GGUF_STR);
    add_u64(&b, 5);
    add_bytes(&b, "1234", 4);
    check_refused(&b, ERR_FORMAT, "the file ends in key text: 5 bytes wanted");
    add_start(&b, 3, 0, 1);
    add_key(&b, "text", GGUF_STR);
    add_u64(&b, UINT64_MAX);
    check_refused(&b, ERR_FORMAT, "the file ends in key text: 18446744073709551615 bytes wanted");
}

TEST(gguf_checks_arrays) {
    bytes b;
    add_start(&b, 3, 0, 1);
    add_key_array(&b, "nested", GGUF_ARR, 1);
    add_data(&b, 1, 64);
    check_refused(&b, ERR_UNSUPPORTED, "key nested is an array of arrays");
    add_start(&b, 3, 0, 1);
    add_key_array(&b, "odd", 200, 1);
    add_data(&b, 1, 64);
    check_refused(&b, ERR_FORMAT, "key odd has items of kind 200");
    static const uint64_t counts[] = {17, 1ull << 61, UINT64_MAX / 4 + 2, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        add_start(&b, 3, 0, 1);
        add_key_array(&b, "many", GGUF_U32, counts[i]);
        add_data(&b, 1, 64);
        check_refused(&b, ERR_FORMAT, "key many has ");
        add_start(&b, 3, 0, 1);
        add_key_array(&b, "words", GGUF_STR, counts[i]);
        add_data(&b, 1, 64);
        check_refused(&b, ERR_FORMAT, "key words has ");
    }
    add_start(&b, 3, 0, 1);
    add_key_array(&b, "words", GGUF_STR, 2);
    add_str(&b, "a");
    add_u64(&b, 100);
    check_refused(&b, ERR_FORMAT, "the file ends in key words");
    add_start(&b, 3, 0, 1);
    add_key_array(&b, "flags", GGUF_BOOL, 3);
    add_bytes(&b, "\0\1\7", 3);
    check_refused(&b, ERR_FORMAT, "key flags has the bool 7");
}

TEST(gguf_checks_alignment) {
    bytes b;
    static const uint32_t bad[] = {0, 1, 4, 12, 24, 33, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        add_start(&b, 3, 0, 1);
        add_key_u32(&b, "general.alignment", bad[i]);
        check_refused(&b, ERR_FORMAT, "key general.alignment is ");
    }
    add_start(&b, 3, 0, 1);
    add_key(&b, "general.alignment", GGUF_U64);
    add_u64(&b, 32);
    check_refused(&b, ERR_FORMAT, "key general.alignment is of kind u64, wanted u32");
    add_start(&b, 3, 0, 1);
    add_key_u32(&b, "general.alignment", 1u << 31);
    check_ok(&b); /* no tensors, so nothing to align */
    add_start(&b, 3, 1, 1);
    add_key_u32(&b, "general.alignment", 1u << 31);
    add_tensor(&b, "t", 1, (const uint64_t[]){1}, QUANT_F32, 0);
    add_data(&b, 32, 4);
    check_refused(&b, ERR_FORMAT, "tensor t: 4 bytes at 2147483648 + 0, but the file has");
}

/* One tensor; the data is 64 bytes. */
static void one_tensor(bytes *b, const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type,
                       uint64_t offset) {
    add_start(b, 3, 1, 0);
    add_tensor(b, name, n_dims, dims, type, offset);
    add_data(b, 32, 64);
}

TEST(gguf_checks_tensors) {
    bytes b;
    const uint64_t four[4] = {4, 1, 1, 1};
    one_tensor(&b, "t", 1, four, QUANT_F32, 0);
    check_ok(&b);
    one_tensor(&b, "t", 4, four, QUANT_F32, 32);
    check_ok(&b);
    one_tensor(&b, "t", 0, four, QUANT_F32, 0); /* as ggml reads it: one weight */
    check_ok(&b);
    one_tensor(&b, "0123456789012345678901234567890123456789012345678901234567890123", 1, four, QUANT_F32, 0);
    check_ok(&b);
    one_tensor(&b, "01234567890123456789012345678901234567890123456789012345678901234", 1, four, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "tensor 0 has a name of 65 bytes, 64 are allowed");
    one_tensor(&b, "", 1, four, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "tensor 0 has an empty name");
    one_tensor(&b, "a\tb", 1, four, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "tensor 0 has a name that is not plain UTF-8 text");
    one_tensor(&b, "t", 5, (const uint64_t[]){1, 1, 1, 1, 1}, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "tensor t has 5 dimensions, wanted at most 4");
    one_tensor(&b, "t", UINT32_MAX, (const uint64_t[]){1, 1, 1, 1, 1, 1, 1, 1}, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "tensor t has 4294967295 dimensions");
    one_tensor(&b, "t", 2, (const uint64_t[]){4, 0}, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "tensor t: dimension 1 is 0");
    one_tensor(&b, "t", 3, (const uint64_t[]){1ull << 40, 1ull << 20, 16}, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "tensor t: 1099511627776 x 1048576 x 16 x 1 weights");
    one_tensor(&b, "t", 1, (const uint64_t[]){1ull << 62}, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "4611686018427387904 weights of F32");
    one_tensor(&b, "t", 1, (const uint64_t[]){48}, QUANT_Q4_0, 0);
    check_refused(&b, ERR_FORMAT, "tensor t: rows of 48 weights, wanted a multiple of 32 for Q4_0");
    one_tensor(&b, "t", 2, (const uint64_t[]){128, 2}, QUANT_Q4_K, 0);
    check_refused(&b, ERR_FORMAT, "rows of 128 weights, wanted a multiple of 256 for Q4_K");
    one_tensor(&b, "t", 1, four, 99, 0);
    check_refused(&b, ERR_UNSUPPORTED, "tensor t is of type 99 (unknown)");
    one_tensor(&b, "t", 1, four, 31, 0);
    check_refused(&b, ERR_UNSUPPORTED, "tensor t is of type 31 (Q4_0_4_4)");
    one_tensor(&b, "t", 1, four, QUANT_F32, 16);
    check_refused(&b, ERR_FORMAT, "tensor t begins at 16, wanted a multiple of the alignment 32");
    one_tensor(&b, "t", 1, four, QUANT_F32, 64);
    check_refused(&b, ERR_FORMAT, "tensor t: 16 bytes at 64 + 64, but the file has 128");
    one_tensor(&b, "t", 1, four, QUANT_F32, UINT64_MAX & ~31ull);
    check_refused(&b, ERR_FORMAT, "tensor t: 16 bytes at 64 + 18446744073709551584, but the file has 128");
    one_tensor(&b, "t", 1, (const uint64_t[]){17}, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "tensor t: 68 bytes at 64 + 0, but the file has 128");
    add_start(&b, 3, UINT64_MAX, 0);
    check_refused(&b, ERR_FORMAT, "18446744073709551615 tensors are announced");
    add_start(&b, 3, 2, 0);
    add_tensor(&b, "t", 1, four, QUANT_F32, 0);
    check_refused(&b, ERR_FORMAT, "2 tensors are announced");
    add_start(&b, 3, 2, 0);
    add_tensor(&b, "t", 1, four, QUANT_F32, 0);
    add_tensor(&b, "t", 1, four, QUANT_F32, 32);
    add_data(&b, 32, 64);
    check_refused(&b, ERR_FORMAT, "tensor t comes twice, as number 0 and 1");
}

TEST(gguf_keeps_unknown_types_when_asked) {
    bytes b;
    add_start(&b, 3, 2, 0);
    add_tensor(&b, "new", 2, (const uint64_t[]){100, 3}, 137, 0);
    add_tensor(&b, "old", 1, (const uint64_t[]){4}, QUANT_F32, 32);
    add_data(&b, 32, 64);
    const char *path = test_path(0, "bytes.gguf");
    write_file(path, b.at, b.n);
    gguf *g;
    err e;
    CHECK_EQ(gguf_open(&g, path, &e), ERR_UNSUPPORTED);
    CHECK_EQ(gguf_open_opts(&g, path, &(gguf_opts){.keep_unknown = true}, &e), ERR_NONE);
    const gguf_tensor *t = gguf_find_tensor(g, "new");
    CHECK(t && !t->type && t->type_id == 137 && t->bytes == 0 && t->dims[0] == 100 && t->dims[1] == 3);
    CHECK(gguf_find_tensor(g, "old")->type->id == QUANT_F32);
    gguf_close(g);
    CHECK_STR(gguf_type_name(QUANT_Q4_K), "Q4_K");
    CHECK_STR(gguf_type_name(31), "Q4_0_4_4");
    CHECK_STR(gguf_type_name(137), "unknown");
}

TEST(gguf_checks_overlap) {
    bytes b;
    const uint64_t eight[1] = {8}, nine[1] = {9};
    static const struct {
        uint64_t offset[4];
        bool nine; /* the first tensor is 4 bytes longer */
        bool ok;
    } cases[] = {
        {{0, 32, 64, 96}, false, true},   {{96, 64, 32, 0}, false, true}, {{64, 0, 96, 32}, false, true},
        {{0, 64, 160, 224}, false, true}, /* gaps */
        {{0, 0, 32, 64}, false, false},   {{0, 32, 64, 32}, false, false}, {{0, 32, 64, 96}, true, false},
        {{96, 64, 32, 0}, true, true},    {{32, 64, 0, 96}, true, false},  {{32, 96, 64, 32}, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        add_start(&b, 3, 4, 0);
        const char *const names[4] = {"a", "b", "c", "d"};
        for (size_t k = 0; k < 4; k++)
            add_tensor(&b, names[k], 1, k == 0 && cases[i].nine ? nine : eight, QUANT_F32, cases[i].offset[k]);
        add_data(&b, 32, 256);
        if (cases[i].ok) check_ok(&b);
        else check_refused(&b, ERR_FORMAT, " reaches into ");
    }
    add_start(&b, 3, 2, 0);
    add_tensor(&b, "first", 1, nine, QUANT_F32, 32);
    add_tensor(&b, "second", 1, eight, QUANT_F32, 64);
    add_data(&b, 32, 128);
    check_refused(&b, ERR_FORMAT, "tensor first (bytes 160 to 196) reaches into second (from 192)");
}

/* Many tensors in a shuffled order, so that sorting them is exercised. */
TEST(gguf_sorts_many_tensors) {
    enum { N = 100 };
    static bytes b;
    rng r;
    rng_seed(&r, 5);
    for (int round = 0; round < 20; round++) {
        uint64_t order[N];
        for (uint64_t i = 0; i < N; i++) order[i] = i;
        for (uint64_t i = N; i-- > 1;) {
            uint64_t k = rng_u64(&r) % (i + 1), swap = order[i];
            order[i] = order[k];
            order[k] = swap;
        }
        bool overlap = round % 2;
        if (overlap) order[rng_u64(&r) % (N / 2)] = order[N / 2 + rng_u64(&r) % (N / 2)];
        add_start(&b, 3, N, 0);
        for (uint64_t i = 0; i < N; i++) {
            char name[16];
            snprintf(name, sizeof name, "t%d", (int)i);
            add_tensor(&b, name, 1, (const uint64_t[]){2}, QUANT_F32, 32 * order[i]);
        }
        add_data(&b, 32, 32 * N);
        if (overlap) check_refused(&b, ERR_FORMAT, " reaches into ");
        else check_ok(&b);
    }
}

/* ---- damage ----------------------------------------------------------------------------------------------------- */

/* A file with something of everything. */
static void sample(bytes *b) {
    add_start(b, 3, 3, 7);
    add_key(b, "general.architecture", GGUF_STR);
    add_str(b, "test");
    add_key_u32(b, "general.alignment", 32);
    add_key(b, "flag", GGUF_BOOL);
    add_u8(b, 1);
    add_key_array(b, "words", GGUF_STR, 3);
    add_str(b, "one");
    add_str(b, "");
    add_str(b, "three");
    add_key_array(b, "bools", GGUF_BOOL, 2);
    add_u16(b, 1);
    add_key_array(b, "floats", GGUF_F32, 2);
    add_u64(b, 0);
    add_key(b, "f64", GGUF_F64);
    add_u64(b, 0x3FF0000000000000);
    add_tensor(b, "token_embd.weight", 2, (const uint64_t[]){32, 2}, QUANT_Q4_0, 0);
    add_tensor(b, "norm.weight", 1, (const uint64_t[]){4}, QUANT_F32, 64);
    add_tensor(b, "experts.weight", 3, (const uint64_t[]){2, 2, 2}, QUANT_F16, 96);
    add_data(b, 32, 112);
}

/* Uses all that an open file offers; memory checkers see what is out of bounds. */
static uint64_t walk(gguf *g) {
    uint64_t sum = 0;
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        gguf_cursor c = {0, 0};
        str s;
        uint64_t u;
        int64_t n;
        double d;
        for (uint64_t k = 0; k < kv->count; k++) {
            if (gguf_item_u64(kv, k, &u)) sum += u;
            if (gguf_item_i64(kv, k, &n)) sum += (uint64_t)n;
            if (gguf_item_f64(kv, k, &d)) sum += d > 1;
        }
        while (gguf_next_str(kv, &c, &s))
            for (size_t k = 0; k < s.len; k++) sum += (uint8_t)s.ptr[k];
        for (size_t k = 0; k < kv->data_bytes; k++) sum += kv->data[k];
        char key[128];
        fmt(key, sizeof key, "%.*s", (int)MIN(kv->key.len, (size_t)100), kv->key.ptr);
        CHECK(kv->key.len > 100 || gguf_find(g, key) == kv);
    }
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        CHECK(t->part < gguf_part_count(g) && t->bytes <= plat_file_bytes(gguf_part_file(g, t->part)) &&
              t->offset <= plat_file_bytes(gguf_part_file(g, t->part)) - t->bytes);
        CHECK(t->n_dims >= 1 && t->n_dims <= 4 && t->dims[0] % t->type->block_len == 0);
        for (size_t k = 0; k < t->name.len; k++) sum += (uint8_t)t->name.ptr[k];
    }
    return sum;
}

TEST(gguf_survives_every_truncation) {
    bytes b;
    sample(&b);
    check_ok(&b);
    for (size_t n = b.n; n-- > 0;) {
        bytes cut = b;
        cut.n = n;
        err e = {0};
        gguf *g = open_bytes(&cut, &e);
        CHECK_MSG(!g && e.code == ERR_FORMAT && e.text[0], "cut to %zu of %zu bytes", n, b.n);
    }
}

TEST(gguf_survives_every_changed_byte) {
    bytes b;
    sample(&b);
    size_t n_open = 0;
    static const uint8_t values[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
    for (size_t i = 0; i < b.n; i++)
        for (size_t k = 0; k < COUNT_OF(values) + 2; k++) {
            bytes changed = b;
            changed.at[i] = k < COUNT_OF(values) ? values[k] : k == COUNT_OF(values) ? b.at[i] + 1 : b.at[i] ^ 0x20;
            err e = {0};
            gguf *g = open_bytes(&changed, &e);
            CHECK(g || (e.code != ERR_NONE && e.code != ERR_INTERNAL && e.text[0]));
            if (!g) continue;
            n_open++;
            walk(g);
            gguf_close(g);
        }
    CHECK(n_open > 200); /* changed values and weights open */
}

TEST(gguf_survives_random_damage) {
    rng r;
    rng_seed(&r, 11);
    for (int round = 0; round < 3000; round++) {
        bytes b;
        sample(&b);
        int n = 1 + (int)(rng_u64(&r) % 4);
        for (int i = 0; i < n; i++) {
            size_t at = rng_u64(&r) % b.n;
            switch (rng_u64(&r) % 4) {
            case 0: b.at[at] = (uint8_t)rng_u64(&r); break;
            case 1: /* a number of its own size */
                if (at + 8 <= b.n) store_u64(b.at + at, rng_u64(&r) >> rng_u64(&r) % 64);
                break;
            case 2: /* a piece moved */
                memmove(b.at + at, b.at + at / 2, MIN((size_t)16, b.n - at));
                break;
            default: b.n = at + 1; break;
            }
        }
        err e;
        gguf *g = open_bytes(&b, &e);
        if (g) walk(g);
        gguf_close(g);
    }
}
