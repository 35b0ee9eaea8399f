/* gguf_write.c: writes a file: keys and tensor infos gathered in memory, tensor data streamed behind them.
 *
 * Nothing is checked twice: what is put is laid out at once in the file's format, the first error is kept and told by
 * gguf_write_begin. The file appears under its name only when it is whole.
 */
#include "gguf/gguf_int.h"

/* ggml refuses a name of 64 bytes. */
enum { NAME_BYTES_MAX = GGUF_NAME_BYTES_MAX - 1 };

typedef struct written {
    str name; /* first: the index looks here */
    uint64_t bytes;
} written;

struct gguf_writer {
    gguf_table kvs, infos;    /* bytes, as they will be in the file              */
    gguf_table keys, tensors; /* of str (views into kvs), of written             */
    arena own;                /* paths, tensor names, indices                    */
    uint32_t version, alignment;
    uint64_t data_bytes; /* so far, padded */
    err first;           /* first error of the put calls */
    plat_out *out;
    const char *path; /* NULL before gguf_write_begin */
    size_t tensor;    /* whose data is being written  */
    uint64_t at;      /* bytes of it that were        */
    bool sealed;
};

/* ---- open, close ------------------------------------------------------------------------------------------------ */

err_code gguf_writer_open(gguf_writer **out, uint32_t version, uint32_t alignment, err *e) {
    *out = NULL;
    if (version == 0) version = 3;
    if (alignment == 0) alignment = GGUF_ALIGNMENT_DEFAULT;
    if (version != 2 && version != 3) return ERR(e, ERR_ARGUMENT, "GGUF version %u, wanted 2 or 3", version);
    if (alignment < GGUF_ALIGNMENT_MIN || (alignment & (alignment - 1)) != 0)
        return ERR(e, ERR_ARGUMENT, "alignment %u, wanted a power of two that is a multiple of %d", alignment,
                   GGUF_ALIGNMENT_MIN);
    gguf_writer *w = mem_block(MEM_GGUF, sizeof *w);
    if (!w) return ERR(e, ERR_MEMORY, "no memory for a writer");
    w->version = version;
    w->alignment = alignment;
    err_code c = gguf_table_open(&w->kvs, GGUF_HEADER_BYTES_MAX, 1, e);
    if (!c) c = gguf_table_open(&w->infos, (size_t)GGUF_TENSORS_MAX * (GGUF_NAME_BYTES_MAX + 56), 1, e);
    if (!c) c = gguf_table_open(&w->keys, GGUF_KEYS_MAX, sizeof(str), e);
    if (!c) c = gguf_table_open(&w->tensors, GGUF_TENSORS_MAX, sizeof(written), e);
    size_t own_bytes = 128 * (size_t)(GGUF_KEYS_MAX + GGUF_TENSORS_MAX) + 4 * GGUF_PATH_BYTES_MAX;
    if (!c) c = arena_open(&w->own, MEM_GGUF, own_bytes, e);
    if (c) {
        gguf_writer_close(w);
        return c;
    }
    *out = w;
    return ERR_NONE;
}

void gguf_writer_close(gguf_writer *w) {
    if (!w) return;
    if (w->out) plat_out_settle(w->out, PLAT_INTERRUPTED);
    arena_close(&w->kvs.mem);
    arena_close(&w->infos.mem);
    arena_close(&w->keys.mem);
    arena_close(&w->tensors.mem);
    arena_close(&w->own);
    mem_block_free(w);
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

/* Keeps the first error of the put calls. */
#define PUT_FAIL(w, ...) ((void)((w)->first.code || err_set(&(w)->first, __VA_ARGS__)))

/* NULL (and the error kept) without memory. */
static uint8_t *append(gguf_writer *w, gguf_table *t, const void *bytes, size_t n) {
    uint8_t *to = gguf_table_push(t, n, 1);
    if (!to) {
        PUT_FAIL(w, ERR_LIMIT, "gguf_put", "the header is larger than %d bytes, or there is no memory for it",
                 GGUF_HEADER_BYTES_MAX);
        return NULL;
    }
    if (n) memcpy(to, bytes, n);
    return to;
}
static void append_u32(gguf_writer *w, gguf_table *t, uint32_t v) { append(w, t, &v, 4); }
static void append_u64(gguf_writer *w, gguf_table *t, uint64_t v) { append(w, t, &v, 8); }

/* Length and bytes of a key. False when nothing more may be appended. */
static bool begin_key(gguf_writer *w, str key) {
    if (w->first.code) return false;
    if (w->path) {
        PUT_FAIL(w, ERR_ARGUMENT, "gguf_put", "key %.*s after gguf_write_begin", gguf_shown(key), key.ptr);
        return false;
    }
    if (key.len == 0 || key.len > GGUF_KEY_BYTES_MAX || !gguf_name_ok(key)) {
        PUT_FAIL(w, ERR_ARGUMENT, "gguf_put", "key number %zu (%zu bytes) is no UTF-8 text of 1 to %d bytes",
                 w->keys.count, key.len, GGUF_KEY_BYTES_MAX);
        return false;
    }
    append_u64(w, &w->kvs, key.len);
    uint8_t *at = append(w, &w->kvs, key.ptr, key.len);
    str *kept = gguf_table_push(&w->keys, 1, sizeof *kept);
    if (kept) *kept = (str){(const char *)at, key.len};
    else PUT_FAIL(w, ERR_LIMIT, "gguf_put", "more than %d keys, or no memory for them", GGUF_KEYS_MAX);
    return w->first.code == ERR_NONE;
}

/* The alignment was decided at open, so the key is the writer's own. */
static bool is_alignment(gguf_writer *w, const char *key) {
    if (!cstr_eq(key, "general.alignment")) return false;
    PUT_FAIL(w, ERR_ARGUMENT, "gguf_put", "key general.alignment is written by gguf_writer_open's argument alone");
    return true;
}

static void put_scalar(gguf_writer *w, const char *key, gguf_kind kind, const void *v) {
    if (is_alignment(w, key) || !begin_key(w, str_of(key))) return;
    append_u32(w, &w->kvs, kind);
    append(w, &w->kvs, v, gguf_kind_bytes(kind));
}

void gguf_put_u16(gguf_writer *w, const char *key, uint16_t v) { put_scalar(w, key, GGUF_U16, &v); }
void gguf_put_u32(gguf_writer *w, const char *key, uint32_t v) { put_scalar(w, key, GGUF_U32, &v); }
void gguf_put_i32(gguf_writer *w, const char *key, int32_t v) { put_scalar(w, key, GGUF_I32, &v); }
void gguf_put_u64(gguf_writer *w, const char *key, uint64_t v) { put_scalar(w, key, GGUF_U64, &v); }
void gguf_put_f32(gguf_writer *w, const char *key, float v) { put_scalar(w, key, GGUF_F32, &v); }
void gguf_put_bool(gguf_writer *w, const char *key, bool v) {
    uint8_t byte = v;
    put_scalar(w, key, GGUF_BOOL, &byte);
}

static void append_str(gguf_writer *w, str v) {
    append_u64(w, &w->kvs, v.len);
    append(w, &w->kvs, v.ptr, v.len);
}

void gguf_put_str(gguf_writer *w, const char *key, str v) {
    if (is_alignment(w, key) || !begin_key(w, str_of(key))) return;
    append_u32(w, &w->kvs, GGUF_STR);
    append_str(w, v);
}

void gguf_put_strs(gguf_writer *w, const char *key, const str *v, uint64_t n) {
    if (is_alignment(w, key) || !begin_key(w, str_of(key))) return;
    append_u32(w, &w->kvs, GGUF_ARR);
    append_u32(w, &w->kvs, GGUF_STR);
    append_u64(w, &w->kvs, n);
    for (uint64_t i = 0; i < n && !w->first.code; i++) append_str(w, v[i]);
}

void gguf_put_array(gguf_writer *w, const char *key, gguf_kind item, const void *v, uint64_t n) {
    size_t bytes;
    if (gguf_kind_bytes(item) == 0 || !mul_size(gguf_kind_bytes(item), n, &bytes)) {
        PUT_FAIL(w, ERR_ARGUMENT, "gguf_put", "key %s: %llu items of kind %s", key, (unsigned long long)n,
                 gguf_kind_name(item));
        return;
    }
    if (is_alignment(w, key) || !begin_key(w, str_of(key))) return;
    append_u32(w, &w->kvs, GGUF_ARR);
    append_u32(w, &w->kvs, item);
    append_u64(w, &w->kvs, n);
    append(w, &w->kvs, v, bytes);
}

void gguf_put_kv(gguf_writer *w, const gguf_kv *kv) {
    if (str_is(kv->key, "general.alignment") || !begin_key(w, kv->key)) return;
    append_u32(w, &w->kvs, kv->kind);
    if (kv->kind == GGUF_ARR) {
        append_u32(w, &w->kvs, kv->item);
        append_u64(w, &w->kvs, kv->count);
    }
    append(w, &w->kvs, kv->data, kv->data_bytes);
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

void gguf_put_tensor(gguf_writer *w, const char *name, const quant_type *t, uint32_t n_dims, const uint64_t *dims) {
    str view = str_of(name);
    if (w->first.code) return;
    if (w->path || view.len == 0 || view.len > NAME_BYTES_MAX || !gguf_name_ok(view) || n_dims < 1 || n_dims > 4) {
        PUT_FAIL(w, ERR_ARGUMENT, "gguf_put", "tensor %.*s: %zu bytes of name (1 to %d), %u dimensions (1 to 4)%s",
                 gguf_shown(view), name, view.len, NAME_BYTES_MAX, n_dims,
                 w->path ? ", after gguf_write_begin" : "");
        return;
    }
    size_t n = 1, bytes;
    bool fits = true;
    for (uint32_t i = 0; i < n_dims; i++) fits = fits && dims[i] > 0 && mul_size(n, dims[i], &n);
    if (!fits || dims[0] % t->block_len != 0 || !quant_bytes(t, n, &bytes) || bytes > UINT64_MAX / 2 - w->data_bytes) {
        PUT_FAIL(w, ERR_ARGUMENT, "gguf_put",
                 "tensor %s: rows of %llu weights of %s (blocks of %u), or its size is 0 or overflows", name,
                 (unsigned long long)dims[0], t->name, t->block_len);
        return;
    }
    written *kept = gguf_table_push(&w->tensors, 1, sizeof *kept);
    char *copy = arena_copy(&w->own, view);
    if (!kept || !copy) {
        PUT_FAIL(w, ERR_LIMIT, "gguf_put", "more than %d tensors, or no memory for them", GGUF_TENSORS_MAX);
        return;
    }
    *kept = (written){{copy, view.len}, bytes};
    append_u64(w, &w->infos, view.len);
    append(w, &w->infos, name, view.len);
    append_u32(w, &w->infos, n_dims);
    for (uint32_t i = 0; i < n_dims; i++) append_u64(w, &w->infos, dims[i]);
    append_u32(w, &w->infos, t->id);
    append_u64(w, &w->infos, w->data_bytes);
    w->data_bytes = align_up(w->data_bytes + bytes, w->alignment);
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static err_code write_bytes(gguf_writer *w, const void *bytes, size_t n, err *e) {
    int error = n ? plat_out_write(w->out, bytes, n) : PLAT_OK;
    return error ? err_set(e, ERR_IO, "gguf_write", "writing %zu bytes to %.150s: %s", n, w->path,
                           plat_error_name(error))
                 : ERR_NONE;
}

/* Zeros from `bytes` up to the next multiple of the alignment. */
static err_code write_padding(gguf_writer *w, uint64_t bytes, err *e) {
    static const uint8_t zeros[256];
    size_t n = (size_t)(align_up((size_t)bytes, w->alignment) - bytes);
    err_code c = ERR_NONE;
    for (size_t part; n > 0 && !c; n -= part) {
        part = MIN(n, sizeof zeros);
        c = write_bytes(w, zeros, part, e);
    }
    return c;
}

/* Is any key or tensor there twice? */
static err_code check_names(gguf_writer *w, err *e) {
    const gguf_table *tables[2] = {&w->keys, &w->tensors};
    const size_t sizes[2] = {sizeof(str), sizeof(written)};
    for (size_t i = 0; i < 2; i++) {
        gguf_index x;
        size_t dup[2], mark = arena_mark(&w->own);
        err_code c = gguf_index_build(&x, &w->own, tables[i]->at, sizes[i], tables[i]->count, 0, dup);
        arena_reset(&w->own, mark);
        if (c == ERR_FORMAT) {
            str name = *(const str *)(const void *)((const char *)tables[i]->at + dup[1] * sizes[i]);
            return err_set(e, ERR_ARGUMENT, "gguf_write", "%s %.*s was put twice", i ? "tensor" : "key",
                           gguf_shown(name), name.ptr);
        }
        if (c) return err_set(e, c, "gguf_write", "no memory to check the names");
    }
    return ERR_NONE;
}

err_code gguf_write_begin(gguf_writer *w, const char *path, err *e) {
    if (w->path) return err_set(e, ERR_ARGUMENT, "gguf_write", "begun twice");
    if (w->alignment != GGUF_ALIGNMENT_DEFAULT && begin_key(w, STR("general.alignment"))) {
        append_u32(w, &w->kvs, GGUF_U32);
        append_u32(w, &w->kvs, w->alignment);
    }
    if (w->first.code) {
        if (e) *e = w->first;
        return w->first.code;
    }
    str view = str_of(path);
    if (view.len == 0 || view.len > GGUF_PATH_BYTES_MAX)
        return err_set(e, ERR_ARGUMENT, "gguf_write", "a path of %zu bytes, wanted 1 to %d", view.len,
                       GGUF_PATH_BYTES_MAX);
    err_code c = check_names(w, e);
    if (c) return c;
    if (!(w->path = arena_copy(&w->own, view))) return err_set(e, ERR_MEMORY, "gguf_write", "no memory for the path");
    int error = plat_out_create(&w->out, path, false);
    if (error) return err_set(e, ERR_IO, "gguf_write", "%.150s: %s", path, plat_error_name(error));
    uint64_t bytes = align_up(sizeof(uint8_t[24]) + w->kvs.count + w->infos.count, w->alignment) + w->data_bytes;
    if ((error = plat_out_expect(w->out, bytes)))
        return err_set(e, ERR_IO, "gguf_write", "%.150s: %llu bytes: %s", path, (unsigned long long)bytes,
                       plat_error_name(error));
    uint8_t start[24];
    memcpy(start, "GGUF", 4);
    store_u32(start + 4, w->version);
    store_u64(start + 8, w->tensors.count);
    store_u64(start + 16, w->keys.count);
    c = write_bytes(w, start, sizeof start, e);
    if (!c) c = write_bytes(w, w->kvs.at, w->kvs.count, e);
    if (!c) c = write_bytes(w, w->infos.at, w->infos.count, e);
    if (!c) c = write_padding(w, sizeof start + w->kvs.count + w->infos.count, e);
    return c;
}

err_code gguf_write_data(gguf_writer *w, const void *bytes, size_t n, err *e) {
    if (!w->out || w->sealed)
        return err_set(e, ERR_ARGUMENT, "gguf_write", "data before gguf_write_begin or after the end");
    if (w->tensor == w->tensors.count)
        return n ? err_set(e, ERR_ARGUMENT, "gguf_write", "%zu bytes after the last tensor", n) : ERR_NONE;
    const written *t = (const written *)w->tensors.at + w->tensor;
    if (n > t->bytes - w->at)
        return err_set(e, ERR_ARGUMENT, "gguf_write", "tensor %.*s has %llu bytes, %llu were written and %zu more came",
                       gguf_shown(t->name), t->name.ptr, (unsigned long long)t->bytes, (unsigned long long)w->at, n);
    err_code c = write_bytes(w, bytes, n, e);
    if (c) return c;
    w->at += n;
    if (w->at < t->bytes) return ERR_NONE;
    w->tensor++;
    w->at = 0;
    return write_padding(w, t->bytes, e);
}

err_code gguf_write_seal(gguf_writer *w, err *e) {
    if (!w->out || w->sealed)
        return err_set(e, ERR_ARGUMENT, "gguf_write", "finish before gguf_write_begin or twice");
    if (w->tensor != w->tensors.count) {
        const written *t = (const written *)w->tensors.at + w->tensor;
        return err_set(e, ERR_ARGUMENT, "gguf_write", "tensor %.*s: %llu of %llu bytes came", gguf_shown(t->name),
                       t->name.ptr, (unsigned long long)w->at, (unsigned long long)t->bytes);
    }
    int error = plat_out_sync(w->out);
    if (error) return err_set(e, ERR_IO, "gguf_write", "%.150s: %s", w->path, plat_error_name(error));
    w->sealed = true;
    return ERR_NONE;
}

err_code gguf_write_finish(gguf_writer *w, err *e) {
    err_code c = w->sealed && w->out ? ERR_NONE : gguf_write_seal(w, e);
    if (c) return c;
    int error = plat_out_settle(w->out, PLAT_OK);
    w->out = NULL;
    return error ? err_set(e, ERR_IO, "gguf_write", "all is written, but %.150s.part cannot be renamed: %s", w->path,
                           plat_error_name(error))
                 : ERR_NONE;
}
