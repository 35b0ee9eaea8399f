/* gguf_read.c: reads and checks the header of one file.
 *
 * The header's length is written nowhere, so it is read in growing pieces behind the parser; the bytes stay where they
 * are, and keys, values and names are views into them. It refuses whatever the format does not allow, and counts that
 * the rest of the file cannot hold before anything is allocated for them. Next: gguf.c joins the parts.
 *
 *      offset  bytes  field
 *      0       4      "GGUF"
 *      4       4      version (2 or 3)
 *      8       8      number of tensors
 *      16      8      number of keys
 *      24             keys: u64 length, bytes, u32 kind, value
 *                       (a string is u64 length, bytes; an array is u32 kind, u64 count, items)
 *                     tensors: u64 length, name, u32 n_dims, n_dims x u64, u32 type, u64 offset into the data
 *                     padding to the alignment, then the data
 */
#include "gguf/gguf_int.h"

#define WHERE "gguf_open"

typedef struct reader {
    gguf *g;
    uint32_t part;
    plat_file *file;
    uint64_t file_bytes;
    const uint8_t *at; /* the header's first byte; stable while it grows */
    size_t have_bytes; /* read so far */
    size_t pos;
    size_t piece_bytes; /* what to read next at least */
    err *e;
} reader;

#define FAIL(r, code, ...) gguf_part_error((r)->g, (r)->part, (r)->e, (code), __VA_ARGS__)

err_code gguf_part_error(const gguf *g, uint32_t part, err *e, err_code code, const char *format, ...) {
    str name = str_base_name(str_of(g->parts[part].path));
    char text[sizeof e->text];
    va_list args;
    va_start(args, format);
    fmt_v(text, sizeof text, format, args);
    va_end(args);
    return err_set(e, code, WHERE, "%.*s: %s", gguf_shown(name), name.ptr, text);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

/* Makes the next n bytes available at r->at + r->pos. `what` ends the sentence when the file is too short. */
static err_code need(reader *r, uint64_t n, const char *what, str name) {
    if (n <= r->have_bytes - r->pos) return ERR_NONE;
    if (n > r->file_bytes - r->pos)
        return FAIL(r, ERR_FORMAT, "the file ends in %s%s%.*s: %llu bytes wanted at offset %zu, it has %llu", what,
                    name.len ? " " : "", gguf_shown(name), name.ptr, (unsigned long long)n, r->pos,
                    (unsigned long long)r->file_bytes);
    size_t room = r->g->heads.reserved_bytes - r->g->heads.used_bytes;
    size_t missing = (size_t)n - (r->have_bytes - r->pos);
    if (missing > room)
        return FAIL(r, ERR_LIMIT, "the header does not fit into %d bytes (at %s%s%.*s, %llu bytes long)",
                    GGUF_HEADER_BYTES_MAX, what, name.len ? " " : "", gguf_shown(name), name.ptr,
                    (unsigned long long)n);
    size_t bytes = (size_t)MIN((uint64_t)MIN(MAX(missing, r->piece_bytes), room), r->file_bytes - r->have_bytes);
    if (r->piece_bytes < GGUF_PIECE_BYTES_MAX) r->piece_bytes *= 2;
    uint8_t *to;
    if (!r->at) {
        to = arena_alloc(&r->g->heads, bytes, 16);
        r->at = to;
    } else {
        to = (uint8_t *)r->g->heads.base + ((size_t)(r->at - (const uint8_t *)r->g->heads.base));
        if (!arena_extend(&r->g->heads, to, r->have_bytes, r->have_bytes + bytes)) to = NULL;
    }
    if (!to) return FAIL(r, ERR_MEMORY, "no memory for %zu bytes of the header", r->have_bytes + bytes);
    int64_t got = plat_file_read(r->file, r->have_bytes, to + r->have_bytes, bytes);
    if (got < 0)
        return FAIL(r, ERR_IO, "reading %zu bytes at offset %zu: %s", bytes, r->have_bytes, plat_error_name((int)got));
    if ((size_t)got != bytes)
        return FAIL(r, ERR_IO, "reading %zu bytes at offset %zu: got %lld", bytes, r->have_bytes, (long long)got);
    r->have_bytes += bytes;
    return ERR_NONE;
}

/* Small reads: what follows was made available by need(). */
static uint32_t take_u32(reader *r) {
    uint32_t v = load_u32(r->at + r->pos);
    r->pos += 4;
    return v;
}
static uint64_t take_u64(reader *r) {
    uint64_t v = load_u64(r->at + r->pos);
    r->pos += 8;
    return v;
}

static uint64_t left(const reader *r) { return r->file_bytes - r->pos; }

/* A key or a tensor name: u64 length, bytes. */
static err_code take_name(reader *r, const char *what, size_t index, size_t bytes_max, str *out) {
    char which[48];
    fmt(which, sizeof which, "%s %zu", what, index);
    str none = {NULL, 0};
    err_code c = need(r, 8, which, none);
    if (c) return c;
    uint64_t len = take_u64(r);
    if (len == 0) return FAIL(r, ERR_FORMAT, "%s has an empty name", which);
    if (len > bytes_max)
        return FAIL(r, ERR_FORMAT, "%s has a name of %llu bytes, %zu are allowed", which, (unsigned long long)len,
                    bytes_max);
    c = need(r, len, which, none);
    if (c) return c;
    *out = (str){(const char *)r->at + r->pos, (size_t)len};
    r->pos += (size_t)len;
    if (!gguf_name_ok(*out)) return FAIL(r, ERR_FORMAT, "%s has a name that is not plain UTF-8 text", which);
    return ERR_NONE;
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

size_t gguf_kind_bytes(uint32_t kind) {
    static const uint8_t bytes[GGUF_KINDS] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2,  [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
        [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return kind < GGUF_KINDS ? bytes[kind] : 0;
}

/* Steps over n strings. */
static err_code skip_strings(reader *r, const gguf_kv *kv) {
    for (uint64_t i = 0; i < kv->count; i++) {
        err_code c = need(r, 8, "key", kv->key);
        if (c) return c;
        uint64_t len = take_u64(r);
        c = need(r, len, "key", kv->key);
        if (c) return c;
        r->pos += (size_t)len;
    }
    return ERR_NONE;
}

static err_code read_value(reader *r, gguf_kv *kv) {
    str key = kv->key;
    if (kv->kind == GGUF_ARR) {
        err_code c = need(r, 12, "key", key);
        if (c) return c;
        uint32_t item = take_u32(r);
        kv->count = take_u64(r);
        if (item == GGUF_ARR)
            return FAIL(r, ERR_UNSUPPORTED, "key %.*s is an array of arrays, which leat does not read", gguf_shown(key),
                        key.ptr);
        if (item >= GGUF_KINDS)
            return FAIL(r, ERR_FORMAT, "key %.*s has items of kind %u, wanted 0 to %d", gguf_shown(key), key.ptr, item,
                        GGUF_KINDS - 1);
        kv->item = (gguf_kind)item;
    }
    size_t size = gguf_kind_bytes(kv->item);
    if (kv->kind == GGUF_ARR && kv->count > left(r) / (size ? size : 8))
        return FAIL(r, ERR_FORMAT, "key %.*s has %llu items, the %llu bytes that are left of the file hold fewer",
                    gguf_shown(key), key.ptr, (unsigned long long)kv->count, (unsigned long long)left(r));
    size_t from = r->pos;
    err_code c = ERR_NONE;
    if (size == 0) {
        c = skip_strings(r, kv);
    } else {
        c = need(r, kv->count * size, "key", key);
        if (!c) r->pos += (size_t)kv->count * size;
    }
    if (c) return c;
    kv->data = r->at + from;
    kv->data_bytes = r->pos - from;
    if (kv->item == GGUF_BOOL)
        for (size_t i = 0; i < kv->data_bytes; i++)
            if (kv->data[i] > 1)
                return FAIL(r, ERR_FORMAT, "key %.*s has the bool %d, wanted 0 or 1", gguf_shown(key), key.ptr,
                            kv->data[i]);
    return ERR_NONE;
}

static err_code read_keys(reader *r, uint64_t n, gguf_head *out) {
    gguf *g = r->g;
    if (n > left(r) / GGUF_KV_BYTES_MIN)
        return FAIL(r, ERR_FORMAT, "%llu keys are announced, the %llu bytes of the file hold fewer",
                    (unsigned long long)n, (unsigned long long)r->file_bytes);
    if (n > GGUF_KEYS_MAX)
        return FAIL(r, ERR_LIMIT, "%llu keys, leat reads at most %d", (unsigned long long)n, GGUF_KEYS_MAX);
    out->first_kv = g->kvs.count;
    out->n_kv = (size_t)n;
    for (size_t i = 0; i < n; i++) {
        gguf_kv kv = {.count = 1};
        err_code c = take_name(r, "key", i, GGUF_KEY_BYTES_MAX, &kv.key);
        if (c) return c;
        c = need(r, 4, "key", kv.key);
        if (c) return c;
        uint32_t kind = take_u32(r);
        if (kind >= GGUF_KINDS)
            return FAIL(r, ERR_FORMAT, "key %.*s is of kind %u, wanted 0 to %d", gguf_shown(kv.key), kv.key.ptr, kind,
                        GGUF_KINDS - 1);
        kv.kind = kv.item = (gguf_kind)kind;
        c = read_value(r, &kv);
        if (c) return c;
        gguf_kv *to = gguf_table_push(&g->kvs, 1, sizeof kv);
        if (!to) return FAIL(r, ERR_MEMORY, "no memory for %llu keys", (unsigned long long)n);
        *to = kv;
    }
    size_t dup[2];
    const gguf_kv *items = (const gguf_kv *)g->kvs.at + out->first_kv;
    err_code c = gguf_index_build(&out->index, &g->own, items, sizeof *items, out->n_kv, g->hash_seed, dup);
    if (c == ERR_FORMAT)
        return FAIL(r, c, "key %.*s comes twice, as number %zu and %zu", gguf_shown(items[dup[0]].key),
                    items[dup[0]].key.ptr, dup[0], dup[1]);
    return c ? FAIL(r, c, "no memory for the index of %llu keys", (unsigned long long)n) : ERR_NONE;
}

const gguf_kv *gguf_head_find(const gguf *g, const gguf_head *h, const char *key) {
    const gguf_kv *items = (const gguf_kv *)g->kvs.at + h->first_kv;
    size_t i = gguf_index_find(&h->index, items, sizeof *items, g->hash_seed, str_of(key));
    return i == SIZE_MAX ? NULL : items + i;
}

static err_code read_alignment(reader *r, gguf_head *h) {
    const char *key = "general.alignment";
    const gguf_kv *kv = gguf_head_find(r->g, h, key);
    h->alignment = GGUF_ALIGNMENT_DEFAULT;
    if (!kv) return ERR_NONE;
    if (kv->kind != GGUF_U32)
        return FAIL(r, ERR_FORMAT, "key %s is of kind %s, wanted u32", key, gguf_kind_name(kv->kind));
    h->alignment = load_u32(kv->data);
    if (h->alignment < GGUF_ALIGNMENT_MIN || (h->alignment & (h->alignment - 1)) != 0)
        return FAIL(r, ERR_FORMAT, "key %s is %u, wanted a power of two that is a multiple of %d", key, h->alignment,
                    GGUF_ALIGNMENT_MIN);
    return ERR_NONE;
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

/* Ids that were retired, or that only other programs' tensors have. */
static const char *const foreign_types[QUANT_ID_MAX] = {
    [4] = "Q4_2",      [5] = "Q4_3",      [9] = "Q8_1",        [15] = "Q8_K",       [24] = "I8",
    [25] = "I16",      [26] = "I32",      [27] = "I64",        [31] = "Q4_0_4_4",   [32] = "Q4_0_4_8",
    [33] = "Q4_0_8_8", [36] = "IQ4_NL_4_4", [37] = "IQ4_NL_4_8", [38] = "IQ4_NL_8_8",
};

const char *gguf_type_name(uint32_t type_id) {
    const quant_type *t = quant_find(type_id);
    if (t) return t->name;
    return type_id < QUANT_ID_MAX && foreign_types[type_id] ? foreign_types[type_id] : "unknown";
}

static err_code check_shape(reader *r, gguf_tensor *t, bool keep_unknown) {
    str name = t->name;
    size_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] == 0)
            return FAIL(r, ERR_FORMAT, "tensor %.*s: dimension %u is 0", gguf_shown(name), name.ptr, i);
        if (!mul_size(n, t->dims[i], &n))
            return FAIL(r, ERR_FORMAT, "tensor %.*s: %llu x %llu x %llu x %llu weights are more than 64 bits count",
                        gguf_shown(name), name.ptr, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
                        (unsigned long long)t->dims[2], (unsigned long long)t->dims[3]);
    }
    t->type = quant_find(t->type_id);
    if (!t->type) {
        if (keep_unknown) return ERR_NONE;
        return FAIL(r, ERR_UNSUPPORTED, "tensor %.*s is of type %u (%s), which leat cannot read", gguf_shown(name),
                    name.ptr, t->type_id, gguf_type_name(t->type_id));
    }
    if (t->dims[0] % t->type->block_len != 0)
        return FAIL(r, ERR_FORMAT, "tensor %.*s: rows of %llu weights, wanted a multiple of %u for %s",
                    gguf_shown(name), name.ptr, (unsigned long long)t->dims[0], t->type->block_len, t->type->name);
    size_t bytes;
    if (!quant_bytes(t->type, n, &bytes))
        return FAIL(r, ERR_FORMAT, "tensor %.*s: %zu weights of %s are more bytes than 64 bits count", gguf_shown(name),
                    name.ptr, n, t->type->name);
    t->bytes = bytes;
    return ERR_NONE;
}

static err_code read_tensors(reader *r, uint64_t n, const gguf_head *h) {
    gguf *g = r->g;
    if (n > left(r) / GGUF_TENSOR_BYTES_MIN)
        return FAIL(r, ERR_FORMAT, "%llu tensors are announced, the %llu bytes of the file hold fewer",
                    (unsigned long long)n, (unsigned long long)r->file_bytes);
    if (n > GGUF_TENSORS_MAX - g->tensors.count)
        return FAIL(r, ERR_LIMIT, "%llu tensors, leat reads at most %d", (unsigned long long)(n + g->tensors.count),
                    GGUF_TENSORS_MAX);
    for (size_t i = 0; i < n; i++) {
        gguf_tensor t = {.part = r->part, .dims = {1, 1, 1, 1}};
        err_code c = take_name(r, "tensor", i, GGUF_NAME_BYTES_MAX, &t.name);
        if (c) return c;
        c = need(r, 4, "tensor", t.name);
        if (c) return c;
        uint32_t n_dims = take_u32(r);
        if (n_dims > 4)
            return FAIL(r, ERR_FORMAT, "tensor %.*s has %u dimensions, wanted at most 4", gguf_shown(t.name),
                        t.name.ptr, n_dims);
        c = need(r, n_dims * 8 + 12, "tensor", t.name);
        if (c) return c;
        for (uint32_t k = 0; k < n_dims; k++) t.dims[k] = take_u64(r);
        t.n_dims = MAX(n_dims, 1u);
        t.type_id = take_u32(r);
        t.offset = take_u64(r);
        c = check_shape(r, &t, g->keep_unknown);
        if (c) return c;
        if (t.offset % h->alignment != 0)
            return FAIL(r, ERR_FORMAT, "tensor %.*s begins at %llu, wanted a multiple of the alignment %u",
                        gguf_shown(t.name), t.name.ptr, (unsigned long long)t.offset, h->alignment);
        gguf_tensor *to = gguf_table_push(&g->tensors, 1, sizeof t);
        if (!to) return FAIL(r, ERR_MEMORY, "no memory for %llu tensors", (unsigned long long)n);
        *to = t;
    }
    return ERR_NONE;
}

/* Offsets become absolute here, where the end of the header is known. */
static err_code place_tensors(reader *r, size_t first, const gguf_head *h) {
    uint64_t start = ((uint64_t)r->pos + h->alignment - 1) & ~((uint64_t)h->alignment - 1);
    gguf_tensor *t = (gguf_tensor *)r->g->tensors.at;
    for (size_t i = first; i < r->g->tensors.count; i++) {
        if (start > r->file_bytes || t[i].offset > r->file_bytes - start ||
            t[i].bytes > r->file_bytes - start - t[i].offset)
            return FAIL(r, ERR_FORMAT, "tensor %.*s: %llu bytes at %llu + %llu, but the file has %llu",
                        gguf_shown(t[i].name), t[i].name.ptr, (unsigned long long)t[i].bytes, (unsigned long long)start,
                        (unsigned long long)t[i].offset, (unsigned long long)r->file_bytes);
        t[i].offset += start;
    }
    return ERR_NONE;
}

/* Sifts order[at] down in a heap of n tensor numbers, the largest offset on top. */
static void sift(uint32_t *order, size_t at, size_t n, const gguf_tensor *t) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && t[order[child]].offset < t[order[child + 1]].offset) child++;
        if (t[order[at]].offset >= t[order[child]].offset) return;
        uint32_t swap = order[at];
        order[at] = order[child];
        order[child] = swap;
    }
}

/* Tensors may come in any order and with gaps, but each byte belongs to one. */
static err_code check_overlap(reader *r, size_t first) {
    gguf *g = r->g;
    const gguf_tensor *t = (const gguf_tensor *)g->tensors.at + first;
    size_t n = g->tensors.count - first, mark = arena_mark(&g->own);
    uint32_t *order = arena_array(&g->own, n ? n : 1, sizeof *order);
    if (!order) return FAIL(r, ERR_MEMORY, "no memory to check %zu tensors", n);
    bool sorted = true;
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
        if (i > 0 && t[i].offset < t[i - 1].offset) sorted = false;
    }
    if (!sorted) {
        for (size_t i = n / 2; i-- > 0;) sift(order, i, n, t);
        for (size_t end = n; --end > 0;) {
            uint32_t largest = order[0];
            order[0] = order[end];
            order[end] = largest;
            sift(order, 0, end, t);
        }
    }
    err_code c = ERR_NONE;
    for (size_t i = 1; i < n && !c; i++) {
        const gguf_tensor *a = &t[order[i - 1]], *b = &t[order[i]];
        if (a->offset + a->bytes > b->offset)
            c = FAIL(r, ERR_FORMAT, "tensor %.*s (bytes %llu to %llu) reaches into %.*s (from %llu)",
                     gguf_shown(a->name), a->name.ptr, (unsigned long long)a->offset,
                     (unsigned long long)(a->offset + a->bytes), gguf_shown(b->name), b->name.ptr,
                     (unsigned long long)b->offset);
    }
    arena_reset(&g->own, mark);
    return c;
}

/* ---- the whole header ------------------------------------------------------------------------------------------- */

static err_code read_start(reader *r, uint32_t *version) {
    str none = {NULL, 0};
    err_code c = need(r, 24, "its first 24 bytes", none);
    if (c) return c;
    if (memcmp(r->at, "GGUF", 4) != 0)
        return FAIL(r, ERR_FORMAT, "not a GGUF file: it begins with %02x %02x %02x %02x, wanted 47 47 55 46", r->at[0],
                    r->at[1], r->at[2], r->at[3]);
    r->pos = 4;
    *version = take_u32(r);
    if (*version == 1) return FAIL(r, ERR_UNSUPPORTED, "GGUF version 1 is no longer read, wanted version 2 or 3");
    if (*version != 0 && (*version & 0xFFFF) == 0)
        return FAIL(r, ERR_UNSUPPORTED, "a big-endian GGUF file (version %08x), wanted a little-endian one", *version);
    if (*version != 2 && *version != 3)
        return FAIL(r, ERR_UNSUPPORTED, "GGUF version %u, wanted version 2 or 3", *version);
    return ERR_NONE;
}

err_code gguf_read_part(gguf *g, uint32_t part, gguf_head *out, err *e) {
    reader r = {.g = g, .part = part, .file = g->parts[part].file, .file_bytes = g->parts[part].bytes,
                .piece_bytes = GGUF_PIECE_BYTES_MIN, .e = e};
    *out = (gguf_head){0};
    err_code c = read_start(&r, &out->version);
    if (c) return c;
    uint64_t n_tensors = take_u64(&r), n_kv = take_u64(&r);
    size_t first = g->tensors.count;
    if ((c = read_keys(&r, n_kv, out))) return c;
    if ((c = read_alignment(&r, out))) return c;
    if ((c = read_tensors(&r, n_tensors, out))) return c;
    if ((c = place_tensors(&r, first, out))) return c;
    if ((c = check_overlap(&r, first))) return c;
    /* What was read beyond the header is given back for the next part's. */
    arena_reset(&g->heads, (size_t)((const char *)r.at + r.pos - g->heads.base));
    return ERR_NONE;
}
