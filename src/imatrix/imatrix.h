/* imatrix.h: importance matrices: for each column of a weight matrix, the mean square of what it was multiplied with.
 * Quantisers spend their bits where it is large.
 *
 * Files as llama.cpp reads and writes them: the GGUF kind, and the older .dat kind (read only). Everything in a file is
 * hostile until checked here. Values stay in the file and are read when asked for: those of a model with hundreds of
 * experts take gigabytes.
 */
#ifndef LEAT_IMATRIX_H
#define LEAT_IMATRIX_H

#include "gguf/gguf.h"

typedef struct imatrix imatrix;

typedef struct imatrix_entry {
    str name;          /* of the weights: "blk.0.attn_q.weight"                            */
    uint64_t n_values; /* columns of one matrix times matrices (experts)                   */
    uint64_t n_counts; /* how many matrices have a count of their own; divides n_values    */
    uint64_t values_offset, counts_offset; /* in the file, of floats                       */
    uint32_t part;
    uint32_t n_calls;  /* .dat: values are means times this                                */
} imatrix_entry;

/* Opens a file of either kind and reads what it has, not the values. On error nothing stays open, *out is NULL. */
err_code imatrix_open(imatrix **out, const char *path, err *e);
void imatrix_close(imatrix *m); /* accepts NULL */

bool imatrix_is_dat(const imatrix *m);
/* Chunks of text that it was computed on, and their length in tokens; 0 where the file does not say. */
uint32_t imatrix_chunk_count(const imatrix *m);
uint32_t imatrix_chunk_size(const imatrix *m);
/* Paths of the texts. Start with a cursor of zero; false at the end. */
bool imatrix_next_dataset(const imatrix *m, gguf_cursor *c, str *out);

size_t imatrix_entry_count(const imatrix *m);
const imatrix_entry *imatrix_entry_at(const imatrix *m, size_t i);
const imatrix_entry *imatrix_find(const imatrix *m, str name); /* NULL when absent; hashed */

/* Is it the entry of a tensor with rows of n_in weights and n_experts matrices (1: no experts)? Else ERR_FORMAT, which
 * names both. */
err_code imatrix_check(const imatrix_entry *x, uint64_t n_in, uint64_t n_experts, err *e);
/* The importance of the columns of one expert, as llama.cpp passes it to its quantisers: sums over counts, and 1 for
 * an expert that no token was routed to. out: (n_in), finite and not negative. Checks as imatrix_check does. Several
 * threads may read at once. */
err_code imatrix_importance(const imatrix *m, const imatrix_entry *x, uint64_t n_in, uint64_t n_experts,
                            uint64_t expert, float *out, err *e);
/* What was summed up for matrix i of those with n_in columns each: sums (n_in), and the tokens counted. A .dat file
 * holds means; they become sums over chunks of chunk_size tokens. */
err_code imatrix_sums(const imatrix *m, const imatrix_entry *x, uint64_t n_in, uint64_t i, uint32_t chunk_size,
                      float *sums, double *count, err *e);

/* ---- writing ----------------------------------------------------------------------------------------------------- */

typedef struct imatrix_shape {
    str name;
    uint64_t n_in, n_matrices; /* with a count each */
} imatrix_shape;

typedef struct imatrix_write_opts {
    const imatrix_shape *entries; /* sorted by name, as others write them */
    size_t n_entries;
    const str *datasets;
    size_t n_datasets;
    uint32_t chunk_count, chunk_size;
    /* Fills the sums (n_in) and the count of one matrix. Called in order. */
    err_code (*sums)(void *user, size_t entry, uint64_t matrix, float *sums, float *count, err *e);
    void *user;
} imatrix_write_opts;
/* Writes the GGUF kind. It appears at path only when it is whole; what was there stays until then. */
err_code imatrix_write(const char *path, const imatrix_write_opts *o, err *e);

#endif
