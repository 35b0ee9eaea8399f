/* gguf_int.h: what the files of this folder share: the written limits, the handle, the reader of one part.
 */
#ifndef LEAT_GGUF_INT_H
#define LEAT_GGUF_INT_H

#include "gguf/gguf.h"

/* Limits on what a file may ask for. The largest header seen in the wild is about 30 MB (a vocabulary of 262,144
 * tokens with its merges), the most tensors about 4,000. */
enum {
    GGUF_HEADER_BYTES_MAX = 256 << 20, /* the headers of all parts together                                   */
    GGUF_KEYS_MAX = 1 << 16,           /* of one part                                                         */
    GGUF_TENSORS_MAX = 1 << 18,        /* of all parts                                                        */
    GGUF_KEY_BYTES_MAX = 65535,        /* the format's limit                                                  */
    GGUF_NAME_BYTES_MAX = 64,          /* the format's limit; ggml itself stops at 63, so the writer does too */
    GGUF_PARTS_MAX = 1000,             /* files open at once                                                  */
    GGUF_PATH_BYTES_MAX = 4096,
    GGUF_PIECE_BYTES_MIN = 64 << 10, /* reads of the header start with this and double ... */
    GGUF_PIECE_BYTES_MAX = 1 << 20,  /* ... up to this                                     */
    GGUF_ALIGNMENT_DEFAULT = 32,
    GGUF_ALIGNMENT_MIN = 8,
};

/* Least bytes of one entry, for checking a count against what is left of the file. */
enum {
    GGUF_KV_BYTES_MIN = 8 + 1 + 4 + 1,              /* key length, key, kind, value                 */
    GGUF_TENSOR_BYTES_MIN = 8 + 1 + 4 + 4 + 8,      /* name length, name, dimensions, type, offset  */
};

/* An open-addressing hash over an array of structs that begin with a str. Slots hold index + 1; 0 is free. */
typedef struct gguf_index {
    uint32_t *slots;
    size_t mask; /* slots - 1; twice the items at least */
} gguf_index;

/* A growing array: one arena holds it alone, so its address never changes. */
typedef struct gguf_table {
    arena mem;
    void *at;
    size_t count;
} gguf_table;
err_code gguf_table_open(gguf_table *t, size_t count_max, size_t size, err *e);
/* Appends n zeroed items of size bytes; NULL without memory. */
void *gguf_table_push(gguf_table *t, size_t n, size_t size);

typedef struct gguf_part {
    plat_file *file;
    const char *path;
    uint64_t bytes;
} gguf_part;

struct gguf {
    arena heads;        /* header bytes of all parts, as in the files: keys, values and names point into it */
    arena own;          /* parts, paths, hash indices                                                       */
    gguf_table kvs;     /* of gguf_kv: the keys of part 0                                                   */
    gguf_table tensors; /* of gguf_tensor: all parts                                                        */
    gguf_index kv_index, tensor_index;
    uint64_t hash_seed;
    gguf_part *parts;
    size_t n_parts;
    uint32_t version, alignment; /* of part 0 */
    bool keep_unknown;
};

/* What the header of one part says. Its keys are items first_kv... of the table, under an index of their own. */
typedef struct gguf_head {
    uint32_t version, alignment;
    size_t first_kv, n_kv;
    gguf_index index;
} gguf_head;
/* Reads and parses the header of one part, appends its keys and tensors to the tables, and checks every tensor's range
 * against the file. Errors begin with the file's name. */
err_code gguf_read_part(gguf *g, uint32_t part, gguf_head *out, err *e);
const gguf_kv *gguf_head_find(const gguf *g, const gguf_head *h, const char *key);
/* Fills *e with "NAME: " and the text, NAME being the last component of that part's path. */
err_code gguf_part_error(const gguf *g, uint32_t part, err *e, err_code code, const char *format, ...)
    PRINTF_LIKE(5, 6);

/* ERR_FORMAT when a name comes twice: dup[] are the two items. ERR_MEMORY without memory. */
err_code gguf_index_build(gguf_index *x, arena *a, const void *items, size_t stride, size_t n, uint64_t seed,
                          size_t dup[2]);
/* Index of the item, or SIZE_MAX. */
size_t gguf_index_find(const gguf_index *x, const void *items, size_t stride, uint64_t seed, str name);

/* Bytes of one value of a fixed-size kind; 0 for strings, arrays and unknown kinds. */
size_t gguf_kind_bytes(uint32_t kind);

/* For "%.*s": at most 64 bytes of a name, cut between characters. */
static inline int gguf_shown(str s) { return (int)utf8_complete(s.ptr, MIN(s.len, (size_t)64)); }

#endif
