/* test_quantize.c: the bytes that `leat quantize` writes, against each row encoded alone: slices, workers, experts and
 * their importance, parts. The command line is in tests/cli/quantize.sh.
 */
#include "check.h"
#include "gen/tiny.h"
#include "imatrix/imatrix.h"
#include "tools/tools.h"

#include <string.h>

/* Words of the command line, parted by spaces. */
static int quantize(const char *format, ...) {
    static char line[4096];
    char *args[24] = {(char[]){"leat"}, (char[]){"quantize"}, (char[]){"-q"}};
    int n = 3;
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) args[n++] = word;
    return tools_main(n, args, NULL, 0);
}

static const char *model(quant_id type, const char *name) {
    const char *path = test_path(0, name);
    tiny_spec spec = tiny_default("qwen3moe");
    spec.type = type;
    tiny_write(&spec, path);
    return path;
}

static void *bytes_of(const gguf *g, const gguf_tensor *t) {
    void *at = malloc(t->bytes);
    CHECK(at && plat_file_read(gguf_part_file(g, t->part), t->offset, at, t->bytes) == (int64_t)t->bytes);
    return at;
}

/* Every tensor of `made` is that of `from`, row by row through its type's encoder. importance may be NULL. */
static void check_rows(const char *from_path, const char *made_path, const imatrix *importance) {
    gguf *from, *made;
    err e;
    CHECK(!gguf_open(&from, from_path, &e) && !gguf_open(&made, made_path, &e));
    CHECK_EQ(gguf_tensor_count(from), gguf_tensor_count(made));
    for (size_t i = 0; i < gguf_tensor_count(from); i++) {
        const gguf_tensor *a = gguf_tensor_at(from, i), *b = gguf_tensor_at(made, i);
        uint8_t *old = bytes_of(from, a), *new = bytes_of(made, b);
        size_t n = (size_t)a->dims[0], old_row = n / a->type->block_len * a->type->block_bytes;
        size_t new_row = n / b->type->block_len * b->type->block_bytes;
        float *row = malloc(n * sizeof *row), *columns = malloc(n * sizeof *columns);
        uint8_t *wanted = malloc(new_row);
        const imatrix_entry *entry = importance && b->type->unpack ? imatrix_find(importance, a->name) : NULL;
        /* That of the embeddings may be of another shape: it is not used. */
        if (entry && imatrix_check(entry, n, a->dims[2], NULL)) entry = NULL;
        CHECK(str_eq(a->name, b->name) && !memcmp(a->dims, b->dims, sizeof a->dims) && row && columns && wanted);
        for (uint64_t r = 0; r < a->dims[1] * a->dims[2]; r++) {
            if (entry)
                CHECK(!imatrix_importance(importance, entry, n, a->dims[2], r / a->dims[1], columns, &e));
            a->type->decode(old + r * old_row, row, n);
            if (a->type == b->type) memcpy(wanted, old + r * old_row, new_row);
            else b->type->encode(row, entry ? columns : NULL, wanted, n);
            CHECK_MSG(!memcmp(wanted, new + r *new_row, new_row), "%.*s, row %llu, as %s", (int)a->name.len,
                      a->name.ptr, (unsigned long long)r, b->type->name);
        }
        free(old), free(new), free(row), free(columns), free(wanted);
    }
    gguf_close(from);
    gguf_close(made);
}

TEST(quantize_encodes_rows) {
    static const quant_id sources[] = {QUANT_F32, QUANT_F16, QUANT_BF16, QUANT_Q8_0};
    const char *made = test_path(1, "quantized.gguf");
    for (size_t s = 0; s < COUNT_OF(sources); s++) {
        const char *from = model(sources[s], "float.gguf");
        /* Little memory: slices of a few rows. */
        CHECK_EQ(quantize("%s %s q4_k_m 3 --allow-requantize --ram 6M", from, made), TOOLS_OK);
        check_rows(from, made, NULL);
        CHECK_EQ(quantize("%s %s f16 1 --allow-requantize", from, made), TOOLS_OK);
        check_rows(from, made, NULL);
    }
}

/* Columns differ in importance, and so do experts. */
static err_code sums(void *user, size_t entry, uint64_t matrix, float *out, float *count, err *e) {
    const imatrix_shape *shapes = user;
    (void)e;
    for (uint64_t i = 0; i < shapes[entry].n_in; i++)
        out[i] = (float)((i * 7 + matrix * 13 + entry) % 31 * ((i + matrix) % 5 ? 1 : 40));
    *count = 16;
    return ERR_NONE;
}

TEST(quantize_by_importance) {
    static imatrix_shape shapes[] = {
        {STR("blk.0.attn_q.weight"), 256, 1},       {STR("blk.0.ffn_down_exps.weight"), 256, 4},
        {STR("blk.0.ffn_up_exps.weight"), 256, 4},  {STR("blk.1.ffn_gate_exps.weight"), 256, 4},
        {STR("token_embd.weight"), 77, 1},
    };
    const char *from = model(QUANT_F32, "float.gguf"), *made = test_path(1, "quantized.gguf");
    const char *blind = test_path(2, "blind.gguf"), *path = test_path(3, "importance.gguf");
    const str dataset = STR("a text");
    imatrix_write_opts w = {.entries = shapes, .n_entries = COUNT_OF(shapes), .datasets = &dataset, .n_datasets = 1,
                            .chunk_count = 3, .chunk_size = 512, .sums = sums, .user = shapes};
    err e;
    imatrix *m;
    CHECK_MSG(!imatrix_write(path, &w, &e) && !imatrix_open(&m, path, &e), "%s", e.text);
    CHECK_EQ(quantize("%s %s q4_k --pure 2 --ram 6M --imatrix %s", from, made, path), TOOLS_OK);
    check_rows(from, made, m);
    CHECK_EQ(quantize("%s %s q4_k --pure 2", from, blind), TOOLS_OK);
    size_t n, n_blind;
    unsigned char *a = test_slurp(made, &n), *b = test_slurp(blind, &n_blind);
    CHECK(n > n_blind && memcmp(a + n - 1000000, b + n_blind - 1000000, 1000000) != 0);
    free(a), free(b);
    imatrix_close(m);
    gguf *g;
    str text;
    uint64_t number;
    CHECK(!gguf_open(&g, made, &e));
    CHECK(gguf_get_str(g, "quantize.imatrix.file", &text) && str_is(text, path));
    CHECK(gguf_get_str(g, "quantize.imatrix.dataset", &text) && str_is(text, "a text"));
    CHECK(gguf_get_u64(g, "quantize.imatrix.entries_count", &number) && number == 5);
    CHECK(gguf_get_u64(g, "quantize.imatrix.chunks_count", &number) && number == 3);
    gguf_close(g);
}
