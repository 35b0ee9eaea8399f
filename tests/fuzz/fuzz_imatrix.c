/* fuzz_imatrix.c: any bytes as an importance matrix. What opens gives values that are finite and not negative, or says
 * why not; what does not open says why; nothing stays behind.
 */
#include "fuzz/fuzz.h"
#include "imatrix/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_values(const float *v, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) require(f32_is_finite(v[i]) && v[i] >= 0, "a value is finite and not negative");
}

static void use_entry(const imatrix *m, const imatrix_entry *x, size_t size) {
    err e = {0};
    double count;
    require(imatrix_find(m, x->name) == x, "every entry is found");
    require(x->n_values * sizeof(float) <= size && x->n_counts <= x->n_values, "values are in the file");
    uint64_t n_in = x->n_values / x->n_counts;
    float *row = malloc((size_t)x->n_values * sizeof *row);
    require(row != NULL, "memory");
    require(!imatrix_check(x, n_in, x->n_counts, &e), "an entry suits its own shape");
    require(imatrix_check(x, n_in + 1, x->n_counts, &e) == ERR_FORMAT && e.text[0], "and no other");
    for (uint64_t i = 0; i < x->n_counts; i++) {
        if (!imatrix_importance(m, x, n_in, x->n_counts, i, row, &e)) require_values(row, n_in);
        else require(e.code == ERR_FORMAT && e.text[0], "an error says why");
        if (!imatrix_sums(m, x, n_in, i, 1, row, &count, &e))
            require(count >= 0 && row[0] >= 0, "sums are sums of squares");
    }
    /* One count for all experts. */
    if (x->n_counts == 1 && !imatrix_importance(m, x, 1, x->n_values, x->n_values - 1, row, &e)) require_values(row, 1);
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    imatrix *m;
    err e = {0};
    err_code code = imatrix_open(&m, fuzz_file(data, size), &e);
    require((code == ERR_NONE) == (m != NULL), "a handle or an error");
    if (code) {
        require(code == e.code && code != ERR_INTERNAL && e.text[0] != 0, "an error says why");
    } else {
        gguf_cursor c = {0, 0};
        str dataset;
        size_t n = 0;
        require(imatrix_entry_count(m) > 0, "there is something in it");
        for (size_t i = 0; i < imatrix_entry_count(m); i++) use_entry(m, imatrix_entry_at(m, i), size);
        while (imatrix_next_dataset(m, &c, &dataset)) n += dataset.len;
        require(n <= size, "the names of the texts are in the file");
    }
    imatrix_close(m);
    require(mem_bytes(MEM_GGUF) == 0, "nothing stays behind");
    return 0;
}
