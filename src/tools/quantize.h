/* quantize.h: what the files of `leat quantize` share: the command's options, the plan made of them, the output, and
 * the stream from one to the other.
 */
#ifndef LEAT_TOOLS_QUANTIZE_H
#define LEAT_TOOLS_QUANTIZE_H

#include "imatrix/imatrix.h"
#include "tools/pattern.h"
#include "tools/mix.h"
#include "tools/tools.h"

typedef struct quantize_values {
    const char *in, *out, *type, *threads_word, *importance, *output_type, *embedding_type, *type_file, *isa;
    tools_strs types, include, exclude, keys;
    int32_t n_threads;
    uint64_t ram_bytes, part_bytes_max;
    bool pure, leave_output, allow_requantize, keep_split, dry_run, list, no_pin, quiet, verbose;
} quantize_values;

/* ---- the plan: what becomes of each tensor ----------------------------------------------------------------------- */

typedef struct quantize_item {
    const gguf_tensor *from;
    const quant_type *to;         /* from->type: the bytes are copied                                  */
    const quant_type *wanted;     /* another than `to` where its blocks do not divide the tensor's rows */
    const imatrix_entry *columns; /* their importance, or NULL                                         */
    uint64_t bytes;               /* in the output                                                     */
    uint32_t part;                /* of the output                                                     */
} quantize_item;

/* A type for the tensors of some name. */
typedef struct quantize_choice {
    pattern pattern;
    str text; /* PATTERN=TYPE, as given */
    const quant_type *type;
    size_t n_found; /* tensors that it decided */
} quantize_choice;

typedef struct quantize_plan {
    arena memory, choice_memory;
    tools_text type_file; /* choices point into it */
    const gguf *in;
    const imatrix *importance; /* NULL without */
    size_t n_columns;          /* its entries, but those that were excluded */
    const mix *mix;
    quantize_item *items; /* in the order of the input */
    size_t n_items, n_parts;
    quantize_choice *choices;
    size_t n_choices;
    size_t n_large;            /* parts above the size that was asked for                        */
    size_t n_blind;            /* encoded without importance though there is a matrix of it      */
    const quantize_item *poor; /* the first that should not be encoded without, or NULL          */
    uint64_t in_bytes, out_bytes, n_weights; /* of all tensors */
} quantize_plan;

/* in and importance (may be NULL) must outlive the plan, and so must o. The error names the tensor or the option. */
err_code quantize_plan_open(quantize_plan *p, const gguf *in, const imatrix *importance, const quantize_values *o,
                            err *e);
void quantize_plan_close(quantize_plan *p); /* accepts a zeroed one */

/* ---- the output: headers and parts ------------------------------------------------------------------------------- */

typedef struct quantize_out {
    arena memory;
    gguf_writer **parts;
    const char **paths;
    size_t n_parts, n_sealed;
} quantize_out;

/* Begins all parts: their headers are written, and room for the rest is taken. Refuses an output that is a file of the
 * input. */
err_code quantize_out_open(quantize_out *out, const quantize_plan *p, const quantize_values *o, err *e);
/* The next bytes of the tensors, in the plan's order. */
err_code quantize_out_write(quantize_out *out, size_t part, const void *bytes, size_t n, err *e);
/* All parts are on the disk, then all appear under their names. */
err_code quantize_out_finish(quantize_out *out, err *e);
void quantize_out_close(quantize_out *out); /* removes what is not finished; accepts a zeroed one */

/* ---- the stream: tensor after tensor, in slices ------------------------------------------------------------------ */

typedef struct quantize_stats {
    int n_threads;
    const char *isa;
    uint64_t wait_read_ns, wait_write_ns; /* that the workers stood still */
} quantize_stats;

/* ERR_CANCELLED when interrupted. */
err_code quantize_stream_run(tools *t, const quantize_plan *p, quantize_out *out, const quantize_values *o,
                         quantize_stats *stats, err *e);

#endif
