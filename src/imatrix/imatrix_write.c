/* imatrix_write.c: writes importance matrices in the GGUF kind, the values streamed behind the header. What the fields
 * are: imatrix_read.c.
 */
#include "imatrix/imatrix.h"

static err_code put_header(gguf_writer *w, const imatrix_write_opts *o, err *e) {
    const quant_type *f32 = quant_find(QUANT_F32);
    gguf_put_str(w, "general.type", STR("imatrix"));
    gguf_put_strs(w, "imatrix.datasets", o->datasets, o->n_datasets);
    gguf_put_u32(w, "imatrix.chunk_count", o->chunk_count);
    gguf_put_u32(w, "imatrix.chunk_size", o->chunk_size);
    for (size_t i = 0; i < o->n_entries; i++) {
        const imatrix_shape *x = &o->entries[i];
        char name[512];
        if (x->name.len > sizeof name - 16)
            return ERR(e, ERR_LIMIT, "a tensor's name is %zu bytes long: too long for a file", x->name.len);
        uint64_t sums[2] = {x->n_in, x->n_matrices}, counts[2] = {1, x->n_matrices};
        uint32_t n_dims = x->n_matrices > 1 ? 2 : 1; /* as others write it */
        fmt(name, sizeof name, "%.*s.in_sum2", (int)x->name.len, x->name.ptr);
        gguf_put_tensor(w, name, f32, n_dims, sums);
        fmt(name, sizeof name, "%.*s.counts", (int)x->name.len, x->name.ptr);
        gguf_put_tensor(w, name, f32, n_dims, counts);
    }
    return ERR_NONE;
}

/* One matrix at a time; the counts wait behind the sums. */
static err_code write_entry(gguf_writer *w, const imatrix_write_opts *o, size_t i, float *sums, float *counts, err *e) {
    const imatrix_shape *x = &o->entries[i];
    err_code code = ERR_NONE;
    for (uint64_t k = 0; k < x->n_matrices && !code; k++) {
        code = o->sums(o->user, i, k, sums, &counts[k], e);
        if (!code) code = gguf_write_data(w, sums, (size_t)x->n_in * sizeof *sums, e);
    }
    return code ? code : gguf_write_data(w, counts, (size_t)x->n_matrices * sizeof *counts, e);
}

err_code imatrix_write(const char *path, const imatrix_write_opts *o, err *e) {
    gguf_writer *w = NULL;
    float *values = NULL;
    uint64_t n_in = 0, n_matrices = 0;
    for (size_t i = 0; i < o->n_entries; i++) {
        n_in = MAX(n_in, o->entries[i].n_in);
        n_matrices = MAX(n_matrices, o->entries[i].n_matrices);
    }
    err_code code = gguf_writer_open(&w, 0, 0, e);
    if (code) return code;
    size_t n, bytes;
    if (!add_size((size_t)n_in, (size_t)n_matrices, &n) || !mul_size(n, sizeof *values, &bytes) ||
        !(values = mem_block(MEM_GGUF, MAX(bytes, 1)))) {
        code = ERR(e, ERR_MEMORY, "no memory for a row of %llu sums and %llu counts", (unsigned long long)n_in,
                   (unsigned long long)n_matrices);
        goto done;
    }
    if ((code = put_header(w, o, e)) || (code = gguf_write_begin(w, path, e))) goto done;
    for (size_t i = 0; i < o->n_entries; i++)
        if ((code = write_entry(w, o, i, values, values + n_in, e))) goto done;
    code = gguf_write_finish(w, e);
done:
    mem_block_free(values);
    gguf_writer_close(w);
    return code;
}
