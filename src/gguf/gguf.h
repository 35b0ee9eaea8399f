/* gguf.h: reader and writer of the GGUF container, versions 2 and 3, one file or N parts.
 * Format: the GGUF document of the ggml project. Everything in a file is hostile until checked here:
 * after gguf_open every key, value and tensor range may be used without further bounds checks.
 */
#ifndef LEAT_GGUF_H
#define LEAT_GGUF_H

#include "mem/mem.h"
#include "plat/plat.h"
#include "quant/quant.h"

typedef enum {
    GGUF_U8 = 0, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STR, GGUF_ARR,
    GGUF_U64, GGUF_I64, GGUF_F64, GGUF_KINDS
} gguf_kind;
const char *gguf_kind_name(uint32_t kind);

typedef struct gguf gguf;

typedef struct gguf_kv {
    str key;
    gguf_kind kind;
    gguf_kind item;      /* kind of an array's items; equals kind otherwise. Arrays of arrays are refused. */
    uint64_t count;      /* items of an array; 1 otherwise */
    const uint8_t *data; /* little-endian values, or strings each led by its u64 length; unaligned */
    size_t data_bytes;
} gguf_kv;

typedef struct gguf_tensor {
    str name;
    const quant_type *type; /* never NULL, unless the file was opened with keep_unknown */
    uint32_t type_id;  /* as stored */
    uint32_t n_dims;   /* 1..4; a tensor stored without dimensions is one of one weight */
    uint64_t dims[4];  /* dims[0] runs fastest: a row of dims[0] weights; unused ones are 1; none is 0 */
    uint32_t part;     /* which file */
    uint64_t offset;   /* in that file, absolute */
    uint64_t bytes;
} gguf_tensor;

/* Opens FILE, or all parts when its name ends in -00001-of-000NN.gguf; reads headers only. The limits (keys,
 * tensors, name and header lengths) are in gguf_int.h. On error nothing stays open and *out is NULL. */
err_code gguf_open(gguf **out, const char *path, err *e);
void gguf_close(gguf *g); /* accepts NULL */
/* Is this the name of a part, STEM-00001-of-00004.gguf? Then its stem and the two numbers. */
bool gguf_split_name(str path, str *stem, uint64_t *no, uint64_t *count);

typedef struct gguf_opts {
    bool keep_unknown; /* keep tensors whose type leat does not know: their type is NULL and their bytes are 0 */
} gguf_opts;
/* gguf_open with options, for tools that look at any file; opts may be NULL. */
err_code gguf_open_opts(gguf **out, const char *path, const gguf_opts *opts, err *e);
/* "Q4_K"; also the retired and the integer types, which leat does not run; "type 99" is "unknown". Static. */
const char *gguf_type_name(uint32_t type_id);

/* Names are printed to terminals and put into JSON: UTF-8 without control characters. */
bool gguf_name_ok(str s);

uint32_t gguf_version(const gguf *g);
uint32_t gguf_alignment(const gguf *g);
size_t gguf_part_count(const gguf *g);
plat_file *gguf_part_file(const gguf *g, size_t part);
const char *gguf_part_path(const gguf *g, size_t part);
uint64_t gguf_total_bytes(const gguf *g); /* all parts */

size_t gguf_kv_count(const gguf *g);
const gguf_kv *gguf_kv_at(const gguf *g, size_t i);
const gguf_kv *gguf_find(const gguf *g, const char *key); /* NULL when absent; hashed */

/* Typed reads of a scalar. False when absent or of a kind that does not convert without loss
 * (any integer kind to u64/i64 in range; any number to f64; bool only to bool). */
bool gguf_get_u64(const gguf *g, const char *key, uint64_t *out);
bool gguf_get_i64(const gguf *g, const char *key, int64_t *out);
bool gguf_get_f64(const gguf *g, const char *key, double *out);
bool gguf_get_bool(const gguf *g, const char *key, bool *out);
bool gguf_get_str(const gguf *g, const char *key, str *out);

/* Items of arrays (or, with i == 0, of a scalar): the same rules. */
bool gguf_item_u64(const gguf_kv *kv, uint64_t i, uint64_t *out);
bool gguf_item_i64(const gguf_kv *kv, uint64_t i, int64_t *out);
bool gguf_item_f64(const gguf_kv *kv, uint64_t i, double *out);
/* Strings have no random access: walk them. Start with a cursor of zero; false at the end. */
typedef struct gguf_cursor { size_t at; uint64_t index; } gguf_cursor;
bool gguf_next_str(const gguf_kv *kv, gguf_cursor *c, str *out);

size_t gguf_tensor_count(const gguf *g);
const gguf_tensor *gguf_tensor_at(const gguf *g, size_t i);
const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name); /* NULL when absent; hashed */

/* ---- writer: header in memory, tensor data streamed ------------------------------------------------------------- */

typedef struct gguf_writer gguf_writer;
/* version 2 or 3 (0: 3); alignment a power of two from 8 (0: 32), written as general.alignment where it is not 32. */
err_code gguf_writer_open(gguf_writer **out, uint32_t version, uint32_t alignment, err *e);
void gguf_writer_close(gguf_writer *w);
void gguf_put_u16(gguf_writer *w, const char *key, uint16_t v);
void gguf_put_u32(gguf_writer *w, const char *key, uint32_t v);
void gguf_put_i32(gguf_writer *w, const char *key, int32_t v);
void gguf_put_u64(gguf_writer *w, const char *key, uint64_t v);
void gguf_put_f32(gguf_writer *w, const char *key, float v);
void gguf_put_bool(gguf_writer *w, const char *key, bool v);
void gguf_put_str(gguf_writer *w, const char *key, str v);
void gguf_put_strs(gguf_writer *w, const char *key, const str *v, uint64_t n);
/* Any fixed-size kind, n items laid out little-endian. */
void gguf_put_array(gguf_writer *w, const char *key, gguf_kind item, const void *v, uint64_t n);
/* Copied from another file. general.alignment is the writer's own: a copied one is dropped. */
void gguf_put_kv(gguf_writer *w, const gguf_kv *kv);
/* Declares a tensor; its data follows in the same order. n_dims 1..4. */
void gguf_put_tensor(gguf_writer *w, const char *name, const quant_type *t, uint32_t n_dims, const uint64_t *dims);
/* Errors of the put calls are kept and reported here. Then write each tensor's bytes in order, in pieces of any size
 * (no piece reaches into the next tensor; padding is the writer's work); finish checks that all came, syncs and renames
 * path.part to path; where that cannot be, path.part stays. A writer closed before that removes path.part. seal is
 * finish without its last step, for who writes several files that shall appear together: finish then renames. Up to
 * then nobody else writes there. */
err_code gguf_write_begin(gguf_writer *w, const char *path, err *e);
err_code gguf_write_data(gguf_writer *w, const void *bytes, size_t n, err *e);
err_code gguf_write_seal(gguf_writer *w, err *e);
err_code gguf_write_finish(gguf_writer *w, err *e);

#endif
