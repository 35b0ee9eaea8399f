/* imatrix_read.c: opens importance matrices of both kinds and reads their values.
 *
 * GGUF: tensors NAME.in_sum2 (columns, matrices), the sums of squares, and NAME.counts (1, matrices), the tokens summed
 * over; keys imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size. The .dat kind, all little-endian:
 *
 *      bytes  field
 *      4      number of entries (i32)
 *             each: i32 length, name, i32 calls, i32 number of values, floats: means times calls
 *      4      calls (i32); it and what follows may be missing
 *      4      length (i32), path of the text
 *
 * It refuses sizes that the file cannot hold, names that are no text and values that are no mean square. Next:
 * imatrix_write.c.
 */
#include "imatrix/imatrix.h"

enum {
    ENTRIES_MAX = 1 << 17,      /* half of the tensors that a GGUF file may have      */
    DAT_NAME_BYTES_MAX = 256,   /* of a .dat file; GGUF's own limit is lower          */
    DAT_ENTRY_BYTES_MIN = 4 + 1 + 4 + 4 + 4,
    DATASET_BYTES_MAX = 4096,
    COUNT_MAX = 1 << 30,        /* the sum of counts must stay exact: far below 2^53 */
};

struct imatrix {
    arena memory;
    gguf *file;     /* NULL: a .dat file */
    plat_file *dat;
    const char *path; /* its last component */
    imatrix_entry *entries;
    uint32_t *slots; /* entry + 1, or 0: open addressing by the hash of the name */
    size_t n_entries, slot_mask;
    uint64_t hash_seed;
    uint32_t chunk_count, chunk_size;
    str dataset; /* of a .dat file */
};

#define FAIL(m, code, format, ...) err_set(e, (code), "imatrix_open", "%.64s: " format, (m)->path, __VA_ARGS__)

/* For "%.*s". */
static int shown(str s) { return (int)utf8_complete(s.ptr, MIN(s.len, (size_t)64)); }

/* ---- the table of entries -------------------------------------------------------------------------------------- */

static err_code open_table(imatrix *m, size_t n_max, size_t text_bytes, const char *path, err *e) {
    size_t n_slots = 4;
    while (n_slots < 2 * n_max) n_slots *= 2;
    str name = str_base_name(str_of(path));
    size_t bytes = n_max * sizeof *m->entries + n_slots * sizeof *m->slots + text_bytes + name.len + 4096;
    err_code code = arena_open(&m->memory, MEM_GGUF, bytes, e);
    if (code) return code;
    m->path = arena_copy(&m->memory, name);
    m->entries = arena_array(&m->memory, n_max, sizeof *m->entries);
    m->slots = arena_array(&m->memory, n_slots, sizeof *m->slots);
    m->slot_mask = n_slots - 1;
    if (!m->path || !m->entries || !m->slots) return ERR(e, ERR_MEMORY, "no memory for %zu entries", n_max);
    return ERR_NONE;
}

static size_t slot_of(const imatrix *m, str name) {
    size_t at = (size_t)hash_bytes(name.ptr, name.len, m->hash_seed) & m->slot_mask;
    while (m->slots[at] && !str_eq(m->entries[m->slots[at] - 1].name, name)) at = (at + 1) & m->slot_mask;
    return at;
}

static err_code add_entry(imatrix *m, const imatrix_entry *x, err *e) {
    size_t slot = slot_of(m, x->name);
    if (m->slots[slot]) return FAIL(m, ERR_FORMAT, "%.*s comes twice", shown(x->name), x->name.ptr);
    if (x->n_counts == 0 || x->n_values % x->n_counts != 0)
        return FAIL(m, ERR_FORMAT, "%.*s has %llu sums and %llu counts, wanted as many sums for each count",
                    shown(x->name), x->name.ptr, (unsigned long long)x->n_values, (unsigned long long)x->n_counts);
    m->entries[m->n_entries++] = *x;
    m->slots[slot] = (uint32_t)m->n_entries;
    return ERR_NONE;
}

/* ---- the GGUF kind --------------------------------------------------------------------------------------------- */

#define SUMS ".in_sum2"
#define COUNTS ".counts"

/* The other tensor of a pair: NAME + tail. */
static const gguf_tensor *find_tail(const imatrix *m, str name, const char *tail) {
    char text[128];
    if (name.len + sizeof SUMS > sizeof text) return NULL;
    fmt(text, sizeof text, "%.*s%s", (int)name.len, name.ptr, tail);
    return gguf_find_tensor(m->file, text);
}

static err_code take_pair(imatrix *m, const gguf_tensor *sums, err *e) {
    str name = str_cut(sums->name, 0, sums->name.len - (sizeof SUMS - 1));
    const gguf_tensor *counts = find_tail(m, name, COUNTS);
    if (!counts) return FAIL(m, ERR_FORMAT, "%.*s has sums but no counts", shown(name), name.ptr);
    if (sums->type_id != QUANT_F32 || counts->type_id != QUANT_F32)
        return FAIL(m, ERR_FORMAT, "%.*s has sums of type %s and counts of type %s, wanted F32", shown(name), name.ptr,
                    sums->type->name, counts->type->name);
    imatrix_entry x = {
        .name = name,
        .n_values = sums->bytes / sizeof(float),
        .n_counts = counts->bytes / sizeof(float),
        .values_offset = sums->offset,
        .counts_offset = counts->offset,
        .part = sums->part,
    };
    if (counts->part != sums->part)
        return FAIL(m, ERR_FORMAT, "%.*s has its sums and its counts in two parts", shown(name), name.ptr);
    return add_entry(m, &x, e);
}

static err_code open_gguf(imatrix *m, const char *path, err *e) {
    err_code code = gguf_open(&m->file, path, e);
    if (code) return code;
    size_t n = gguf_tensor_count(m->file), n_pairs = 0;
    for (size_t i = 0; i < n; i++) n_pairs += str_ends(gguf_tensor_at(m->file, i)->name, STR(SUMS));
    if ((code = open_table(m, n_pairs, 0, path, e))) return code;
    for (size_t i = 0; i < n; i++) {
        const gguf_tensor *t = gguf_tensor_at(m->file, i);
        if (str_ends(t->name, STR(SUMS)) && (code = take_pair(m, t, e))) return code;
        if (!str_ends(t->name, STR(COUNTS))) continue;
        str name = str_cut(t->name, 0, t->name.len - (sizeof COUNTS - 1));
        if (!find_tail(m, name, SUMS))
            return FAIL(m, ERR_FORMAT, "%.*s has counts but no sums", shown(name), name.ptr);
    }
    if (!m->n_entries)
        return FAIL(m, ERR_FORMAT, "no importance matrix: none of its %zu tensors is named ..." SUMS, n);
    static const char *const keys[2] = {"imatrix.chunk_count", "imatrix.chunk_size"};
    uint32_t *to[2] = {&m->chunk_count, &m->chunk_size};
    for (size_t i = 0; i < 2; i++) {
        uint64_t v;
        if (!gguf_find(m->file, keys[i])) continue;
        if (!gguf_get_u64(m->file, keys[i], &v) || v > COUNT_MAX)
            return FAIL(m, ERR_FORMAT, "key %s is no whole number from 0 to %d", keys[i], COUNT_MAX);
        *to[i] = (uint32_t)v;
    }
    return ERR_NONE;
}

/* ---- the .dat kind --------------------------------------------------------------------------------------------- */

/* Exactly n bytes at an offset; ERR_FORMAT when the file ends before. */
static err_code read_dat(const imatrix *m, uint64_t offset, void *to, size_t n, const char *what, err *e) {
    uint64_t bytes = plat_file_bytes(m->dat);
    if (offset > bytes || n > bytes - offset)
        return FAIL(m, ERR_FORMAT, "the file ends in %s: %zu bytes wanted at offset %llu, it has %llu", what, n,
                    (unsigned long long)offset, (unsigned long long)bytes);
    int64_t got = plat_file_read(m->dat, offset, to, n);
    if (got != (int64_t)n)
        return FAIL(m, ERR_IO, "reading %zu bytes at offset %llu: %s", n, (unsigned long long)offset,
                    got < 0 ? plat_error_name((int)got) : "it was cut short");
    return ERR_NONE;
}

static err_code read_i32(const imatrix *m, uint64_t *offset, int32_t *out, const char *what, err *e) {
    uint8_t bytes[4];
    err_code code = read_dat(m, *offset, bytes, sizeof bytes, what, e);
    if (code) return code;
    *out = (int32_t)load_u32(bytes);
    *offset += sizeof bytes;
    return ERR_NONE;
}

/* A length and as many bytes. *out is {NULL, 0} where the length is 0. */
static err_code read_text(imatrix *m, uint64_t *offset, int32_t bytes_max, str *out, const char *what, err *e) {
    int32_t len;
    err_code code = read_i32(m, offset, &len, what, e);
    if (code) return code;
    *out = (str){NULL, 0};
    if (len < 0 || len > bytes_max)
        return FAIL(m, ERR_FORMAT, "%s is %d bytes long, wanted 0 to %d", what, len, bytes_max);
    if (len == 0) return ERR_NONE;
    char *text = arena_alloc(&m->memory, (size_t)len, 1);
    if (!text) return FAIL(m, ERR_MEMORY, "no memory for %s", what);
    if ((code = read_dat(m, *offset, text, (size_t)len, what, e))) return code;
    *offset += (uint64_t)len;
    *out = (str){text, (size_t)len};
    return ERR_NONE;
}

static err_code take_dat_entry(imatrix *m, uint64_t *offset, size_t index, err *e) {
    imatrix_entry x = {.n_counts = 1};
    int32_t calls, n_values;
    char what[32];
    fmt(what, sizeof what, "entry %zu", index);
    err_code code = read_text(m, offset, DAT_NAME_BYTES_MAX, &x.name, what, e);
    if (code) return code;
    if (!x.name.len || !gguf_name_ok(x.name)) return FAIL(m, ERR_FORMAT, "the name of %s is no plain text", what);
    if ((code = read_i32(m, offset, &calls, what, e)) || (code = read_i32(m, offset, &n_values, what, e))) return code;
    if (calls < 0 || n_values < 1)
        return FAIL(m, ERR_FORMAT, "%.*s: %d values of %d calls, wanted at least one and none below 0", shown(x.name),
                    x.name.ptr, n_values, calls);
    uint64_t left = plat_file_bytes(m->dat) - *offset;
    if ((uint64_t)n_values > left / sizeof(float))
        return FAIL(m, ERR_FORMAT, "%.*s: %d values, the %llu bytes that are left of the file hold fewer",
                    shown(x.name), x.name.ptr, n_values, (unsigned long long)left);
    x.n_calls = (uint32_t)calls;
    x.n_values = (uint64_t)n_values;
    x.values_offset = *offset;
    *offset += (uint64_t)n_values * sizeof(float);
    return add_entry(m, &x, e);
}

static err_code open_dat(imatrix *m, const char *path, err *e) {
    uint8_t head[4];
    uint64_t bytes = plat_file_bytes(m->dat), offset = 4;
    int64_t got = plat_file_read(m->dat, 0, head, sizeof head);
    if (got < 0) return ERR(e, ERR_IO, "%.150s: %s", path, plat_error_name((int)got));
    uint32_t n = got == sizeof head ? load_u32(head) : 0;
    if (n == 0 || n > (bytes - 4) / DAT_ENTRY_BYTES_MIN || n > ENTRIES_MAX)
        return ERR(e, ERR_FORMAT, "%.150s: no importance matrix: neither GGUF nor a .dat file of 1 to %d entries (%llu "
                   "bytes)", path, ENTRIES_MAX, (unsigned long long)bytes);
    err_code code = open_table(m, n, (size_t)n * DAT_NAME_BYTES_MAX + DATASET_BYTES_MAX, path, e);
    for (size_t i = 0; i < n && !code; i++) code = take_dat_entry(m, &offset, i, e);
    if (code || offset == bytes) return code;
    int32_t calls;
    if ((code = read_i32(m, &offset, &calls, "the number of calls", e))) return code;
    if (calls < 0) return FAIL(m, ERR_FORMAT, "%d calls, wanted 0 or more", calls);
    m->chunk_count = (uint32_t)calls;
    if (offset == bytes) return ERR_NONE;
    return read_text(m, &offset, DATASET_BYTES_MAX, &m->dataset, "the path of the text", e);
}

/* ---- open, close ----------------------------------------------------------------------------------------------- */

err_code imatrix_open(imatrix **out, const char *path, err *e) {
    *out = NULL;
    imatrix *m = mem_block(MEM_GGUF, sizeof *m);
    if (!m) return ERR(e, ERR_MEMORY, "no memory for a handle");
    m->path = path;
    plat_entropy(&m->hash_seed, sizeof m->hash_seed);
    int error = plat_file_open(&m->dat, path);
    err_code code = error ? ERR(e, ERR_IO, "%.150s: %s", path, plat_error_name(error)) : ERR_NONE;
    uint8_t magic[4] = {0};
    if (!code) {
        if (plat_file_read(m->dat, 0, magic, sizeof magic) == sizeof magic && memcmp(magic, "GGUF", 4) == 0) {
            plat_file_close(m->dat);
            m->dat = NULL;
            code = open_gguf(m, path, e);
        } else {
            code = open_dat(m, path, e);
        }
    }
    if (code) {
        imatrix_close(m);
        return code;
    }
    *out = m;
    return ERR_NONE;
}

void imatrix_close(imatrix *m) {
    if (!m) return;
    gguf_close(m->file);
    plat_file_close(m->dat);
    arena_close(&m->memory);
    mem_block_free(m);
}

/* ---- what is in it --------------------------------------------------------------------------------------------- */

bool imatrix_is_dat(const imatrix *m) { return m->dat != NULL; }
uint32_t imatrix_chunk_count(const imatrix *m) { return m->chunk_count; }
uint32_t imatrix_chunk_size(const imatrix *m) { return m->chunk_size; }

bool imatrix_next_dataset(const imatrix *m, gguf_cursor *c, str *out) {
    if (m->file) {
        const gguf_kv *kv = gguf_find(m->file, "imatrix.datasets");
        return kv && gguf_next_str(kv, c, out);
    }
    if (c->index++ || !m->dataset.len) return false;
    *out = m->dataset;
    return true;
}

size_t imatrix_entry_count(const imatrix *m) { return m->n_entries; }
const imatrix_entry *imatrix_entry_at(const imatrix *m, size_t i) { return &m->entries[i]; }
const imatrix_entry *imatrix_find(const imatrix *m, str name) {
    uint32_t at = m->slots[slot_of(m, name)];
    return at ? &m->entries[at - 1] : NULL;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

static err_code read_floats(const imatrix *m, const imatrix_entry *x, uint64_t offset, uint64_t n, float *out, err *e) {
    plat_file *file = m->file ? gguf_part_file(m->file, x->part) : m->dat;
    int64_t want = (int64_t)(n * sizeof(float)), got = plat_file_read(file, offset, out, (size_t)want);
    if (got != want)
        return ERR(e, ERR_IO, "%.64s, %.*s: %s", m->path, shown(x->name), x->name.ptr,
                   got < 0 ? plat_error_name((int)got) : "the file was cut short");
    for (uint64_t i = 0; i < n; i++)
        if (!f32_is_finite(out[i]) || out[i] < 0)
            return ERR(e, ERR_FORMAT, "%.64s, %.*s: the value at byte %llu is %g, wanted a finite number from 0 on",
                       m->path, shown(x->name), x->name.ptr, (unsigned long long)(offset + i * sizeof(float)),
                       (double)out[i]);
    return ERR_NONE;
}

/* Tokens (GGUF) or calls (.dat) of matrix i. */
static err_code read_count(const imatrix *m, const imatrix_entry *x, uint64_t i, double *out, err *e) {
    float count = (float)x->n_calls;
    err_code code = m->file ? read_floats(m, x, x->counts_offset + i * sizeof(float), 1, &count, e) : ERR_NONE;
    if (code) return code;
    if (count > (float)(1ull << 52))
        return ERR(e, ERR_FORMAT, "%.64s, %.*s: a count of %g, wanted less than 2^52", m->path, shown(x->name),
                   x->name.ptr, (double)count);
    *out = math_floor((double)count + 0.5);
    return ERR_NONE;
}

err_code imatrix_check(const imatrix_entry *x, uint64_t n_in, uint64_t n_experts, err *e) {
    size_t n;
    if (!mul_size((size_t)n_in, (size_t)n_experts, &n) || x->n_values != n)
        return ERR(e, ERR_FORMAT, "the importance of %.*s has %llu values, the tensor wants %llu columns for each of "
                   "%llu experts", shown(x->name), x->name.ptr, (unsigned long long)x->n_values,
                   (unsigned long long)n_in, (unsigned long long)n_experts);
    if (x->n_counts != 1 && x->n_counts != n_experts)
        return ERR(e, ERR_FORMAT, "the importance of %.*s has %llu counts, the tensor wants 1 or %llu", shown(x->name),
                   x->name.ptr, (unsigned long long)x->n_counts, (unsigned long long)n_experts);
    return ERR_NONE;
}

err_code imatrix_importance(const imatrix *m, const imatrix_entry *x, uint64_t n_in, uint64_t n_experts,
                            uint64_t expert, float *out, err *e) {
    ASSERT(expert < n_experts);
    err_code code = imatrix_check(x, n_in, n_experts, e);
    if (code) return code;
    double count;
    if ((code = read_count(m, x, x->n_counts == 1 ? 0 : expert, &count, e))) return code;
    if ((code = read_floats(m, x, x->values_offset + expert * n_in * sizeof(float), n_in, out, e))) return code;
    /* A .dat file without calls holds means already; elsewhere no count means that nothing is known. */
    if (count == 0 && !m->file) return ERR_NONE;
    for (uint64_t i = 0; i < n_in; i++) out[i] = count > 0 ? out[i] / (float)count : 1.0f;
    return ERR_NONE;
}

err_code imatrix_sums(const imatrix *m, const imatrix_entry *x, uint64_t n_in, uint64_t i, uint32_t chunk_size,
                      float *sums, double *count, err *e) {
    ASSERT(n_in > 0 && i < x->n_values / n_in && (x->n_counts == 1 || i < x->n_counts));
    err_code code = read_count(m, x, x->n_counts == 1 ? 0 : i, count, e);
    if (!code) code = read_floats(m, x, x->values_offset + i * n_in * sizeof(float), n_in, sums, e);
    if (code || m->file) return code;
    *count *= (double)chunk_size;
    for (uint64_t k = 0; k < n_in; k++) sums[k] *= (float)chunk_size;
    return ERR_NONE;
}
