/* quantize_out.c: the files that are written: names of the parts, their keys, and the moment at which they appear.
 *
 * Keys stay as they are and where they are, but those that say what the file has become. Parts are all begun before the
 * work, so that what stands in their way is told then: a full disk, too many open files, another writer. They are
 * written aside and get their names only when all are on the disk. Next: quantize_stream.c.
 */
#include "tools/quantize.h"

#define PARTS_MAX 1000 /* what the reader opens */
#define SETS_MAX (TOOLS_STRS_MAX + 8)
#define NUMBERS_BYTES (sizeof "-00001-of-00004.gguf")
#define SHOWN(s) (int)MIN((s).len, (size_t)100), (s).ptr

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The path without ".gguf", and without the number of a part. */
static str stem_of(str path) {
    str stem;
    uint64_t no, count;
    if (gguf_split_name(path, &stem, &no, &count)) return stem;
    return str_ends(path, STR(".gguf")) ? str_cut(path, 0, path.len - 5) : path;
}

static err_code name_parts(quantize_out *out, const char *path, err *e) {
    str whole = str_of(path), stem = stem_of(whole);
    size_t cap = whole.len + NUMBERS_BYTES;
    for (size_t i = 0; i < out->n_parts; i++) {
        char *name = arena_alloc(&out->memory, cap, 1);
        if (!name) return ERR(e, ERR_MEMORY, "no memory for the names of %zu parts", out->n_parts);
        if (out->n_parts == 1) memcpy(name, whole.ptr, whole.len);
        else fmt(name, cap, "%.*s-%05zu-of-%05zu.gguf", (int)stem.len, stem.ptr, i + 1, out->n_parts);
        out->paths[i] = name;
    }
    return ERR_NONE;
}

static err_code check_paths(const quantize_out *out, const quantize_values *o, err *e) {
    const char *const read[] = {o->in, o->importance, o->type_file};
    err_code code = ERR_NONE;
    for (size_t i = 0; i < out->n_parts && !code; i++) {
        uint64_t id[2];
        const char *path = out->paths[i];
        int error = plat_file_id(path, id);
        if (error && error != PLAT_NOT_FOUND)
            return ERR(e, ERR_ARGUMENT, "%.150s: %s", path, plat_error_name(error));
        code = tools_check_out(path, read, COUNT_OF(read), e);
    }
    return code;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* Keys that get a new value. */
typedef struct sets {
    arena *memory;
    gguf_kv at[SETS_MAX];
    bool put[SETS_MAX];
    size_t n;
} sets;

static gguf_kv *find_set(sets *s, str key) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->at[i].key, key)) return &s->at[i];
    return NULL;
}

/* The first value given for a key holds. */
static err_code set_key(sets *s, str key, gguf_kind kind, const void *value, size_t bytes, err *e) {
    if (find_set(s, key)) return ERR_NONE;
    size_t lead = kind == GGUF_STR ? 8 : 0;
    uint8_t *data = s->n < SETS_MAX ? arena_alloc(s->memory, lead + bytes + 1, 0) : NULL;
    if (!data) return ERR(e, ERR_MEMORY, "no memory for the key %.*s", SHOWN(key));
    if (lead) store_u64(data, bytes);
    memcpy(data + lead, value, bytes);
    s->at[s->n++] = (gguf_kv){key, kind, kind, 1, data, lead + bytes};
    return ERR_NONE;
}

static err_code set_u32(sets *s, const char *key, uint32_t value, err *e) {
    return set_key(s, str_of(key), GGUF_U32, &value, sizeof value, e);
}

/* A whole number keeps the kind that the file has for it, where it fits. */
static err_code set_int(sets *s, const gguf *in, str key, int64_t value, err *e) {
    const gguf_kv *old = NULL;
    for (size_t i = 0; i < gguf_kv_count(in); i++)
        if (str_eq(gguf_kv_at(in, i)->key, key)) old = gguf_kv_at(in, i);
    gguf_kind kind = old && (old->kind <= GGUF_I32 || old->kind == GGUF_U64 || old->kind == GGUF_I64) ? old->kind
                     : value < 0                                                                       ? GGUF_I32
                                                                                                       : GGUF_U32;
    static const struct {
        int64_t low, high;
        size_t bytes;
    } ranges[GGUF_KINDS] = {
        [GGUF_U8] = {0, UINT8_MAX, 1},          [GGUF_I8] = {INT8_MIN, INT8_MAX, 1},
        [GGUF_U16] = {0, UINT16_MAX, 2},        [GGUF_I16] = {INT16_MIN, INT16_MAX, 2},
        [GGUF_U32] = {0, UINT32_MAX, 4},        [GGUF_I32] = {INT32_MIN, INT32_MAX, 4},
        [GGUF_U64] = {0, INT64_MAX, 8},         [GGUF_I64] = {INT64_MIN, INT64_MAX, 8},
    };
    if (value < ranges[kind].low || value > ranges[kind].high)
        return ERR(e, ERR_ARGUMENT, "--override-kv %.*s: %lld does not fit the kind %s", SHOWN(key), (long long)value,
                   gguf_kind_name(kind));
    return set_key(s, key, kind, &value, ranges[kind].bytes, e); /* little-endian: the low bytes come first */
}

/* KEY=TYPE:VALUE with TYPE int, float, bool or str. */
static err_code set_override(sets *s, const gguf *in, str text, err *e) {
    size_t sign = str_find(text, STR("="));
    str key = str_cut(text, 0, MIN(sign, text.len)), rest = str_cut(text, key.len + 1, text.len);
    size_t colon = str_find(rest, STR(":"));
    str type = str_cut(rest, 0, MIN(colon, rest.len)), value = str_cut(rest, type.len + 1, rest.len);
    int64_t number;
    double real;
    if (sign == SIZE_MAX || colon == SIZE_MAX || !key.len)
        return ERR(e, ERR_ARGUMENT, "--override-kv: '%.*s' is not KEY=TYPE:VALUE with TYPE int, float, bool or str",
                   SHOWN(text));
    if (str_is(key, "general.alignment") || str_starts(key, STR("split.")))
        return ERR(e, ERR_ARGUMENT, "--override-kv: %.*s follows from the file", SHOWN(key));
    if (str_is(type, "str")) return set_key(s, key, GGUF_STR, value.ptr, value.len, e);
    if (str_is(type, "int") && parse_i64(value, &number)) return set_int(s, in, key, number, e);
    if (str_is(type, "float") && parse_f64(value, &real)) {
        float narrow = (float)real;
        return set_key(s, key, GGUF_F32, &narrow, sizeof narrow, e);
    }
    if (str_is(type, "bool") && (str_is(value, "true") || str_is(value, "false"))) {
        uint8_t yes = str_is(value, "true");
        return set_key(s, key, GGUF_BOOL, &yes, 1, e);
    }
    return ERR(e, ERR_ARGUMENT,
               "--override-kv %.*s: '%.*s' is not int, float, bool (true, false) or str with such a value", SHOWN(key),
               SHOWN(rest));
}

static err_code make_sets(sets *s, const quantize_plan *p, const quantize_values *o, err *e) {
    err_code code = ERR_NONE;
    for (size_t i = 0; i < o->keys.n && !code; i++) code = set_override(s, p->in, str_of(o->keys.at[i]), e);
    if (p->mix->copy) return code;
    if (!code) code = set_u32(s, "general.quantization_version", 2, e);
    if (!code) code = set_u32(s, "general.file_type", p->mix->ftype, e);
    if (!p->importance) return code;
    str path = str_of(o->importance), text;
    gguf_cursor c = {0, 0};
    uint32_t n_chunks = imatrix_chunk_count(p->importance);
    if (!code) code = set_key(s, STR("quantize.imatrix.file"), GGUF_STR, path.ptr, path.len, e);
    if (!code && imatrix_next_dataset(p->importance, &c, &text))
        code = set_key(s, STR("quantize.imatrix.dataset"), GGUF_STR, text.ptr, text.len, e);
    if (!code) code = set_u32(s, "quantize.imatrix.entries_count", (uint32_t)p->n_columns, e);
    if (!code && n_chunks) code = set_u32(s, "quantize.imatrix.chunks_count", n_chunks, e);
    return code;
}

static void put_keys(gguf_writer *w, const gguf *in, sets *s) {
    for (size_t i = 0; i < gguf_kv_count(in); i++) {
        const gguf_kv *kv = gguf_kv_at(in, i), *set = find_set(s, kv->key);
        if (str_is(kv->key, "split.no") || str_is(kv->key, "split.count") || str_is(kv->key, "split.tensors.count"))
            continue;
        if (set) s->put[set - s->at] = true;
        gguf_put_kv(w, set ? set : kv);
    }
    for (size_t i = 0; i < s->n; i++)
        if (!s->put[i]) gguf_put_kv(w, &s->at[i]);
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static err_code open_writers(quantize_out *out, const quantize_plan *p, sets *s, err *e) {
    size_t item = 0;
    for (size_t i = 0; i < out->n_parts; i++) {
        err_code code = gguf_writer_open(&out->parts[i], 0, gguf_alignment(p->in), e);
        if (code) return code;
        gguf_writer *w = out->parts[i];
        if (i == 0) put_keys(w, p->in, s);
        if (out->n_parts > 1) {
            gguf_put_u16(w, "split.no", (uint16_t)i);
            gguf_put_u16(w, "split.count", (uint16_t)out->n_parts);
            gguf_put_i32(w, "split.tensors.count", (int32_t)p->n_items);
        }
        for (; item < p->n_items && p->items[item].part == i; item++) {
            const quantize_item *x = &p->items[item];
            char name[80];
            fmt(name, sizeof name, "%.*s", (int)x->from->name.len, x->from->name.ptr);
            gguf_put_tensor(w, name, x->to, x->from->n_dims, x->from->dims);
        }
        if ((code = gguf_write_begin(w, out->paths[i], e))) return code;
    }
    return ERR_NONE;
}

err_code quantize_out_open(quantize_out *out, const quantize_plan *p, const quantize_values *o, err *e) {
    *out = (quantize_out){.n_parts = p->n_parts};
    if (p->n_parts > PARTS_MAX)
        return ERR(e, ERR_ARGUMENT, "--split-max-size would make %zu parts, at most %d are possible", p->n_parts,
                   PARTS_MAX);
    str path = str_of(o->out);
    if (!path.len || path.len > 4000) return ERR(e, ERR_ARGUMENT, "a path of %zu bytes, wanted 1 to 4000", path.len);
    sets s = {.memory = &out->memory};
    size_t bytes = p->n_parts * (path.len + NUMBERS_BYTES + 64) + (64 << 10);
    for (size_t i = 0; i < o->keys.n; i++) bytes += str_of(o->keys.at[i]).len + 64;
    err_code code = arena_open(&out->memory, MEM_TOOLS, bytes, e);
    if (!code) {
        out->parts = arena_array(&out->memory, out->n_parts, sizeof *out->parts);
        out->paths = arena_array(&out->memory, out->n_parts, sizeof *out->paths);
        if (!out->parts || !out->paths) code = ERR(e, ERR_MEMORY, "no memory for %zu parts", out->n_parts);
    }
    if (!code) code = name_parts(out, o->out, e);
    if (!code) code = check_paths(out, o, e);
    if (!code) code = make_sets(&s, p, o, e);
    if (!code) code = open_writers(out, p, &s, e);
    if (code) quantize_out_close(out);
    return code;
}

/* Parts before this one have all their bytes. */
static err_code seal_before(quantize_out *out, size_t part, err *e) {
    err_code code = ERR_NONE;
    while (out->n_sealed < part && !code) code = gguf_write_seal(out->parts[out->n_sealed++], e);
    return code;
}

err_code quantize_out_write(quantize_out *out, size_t part, const void *bytes, size_t n, err *e) {
    err_code code = seal_before(out, part, e);
    return code ? code : gguf_write_data(out->parts[part], bytes, n, e);
}

err_code quantize_out_finish(quantize_out *out, err *e) {
    err_code code = seal_before(out, out->n_parts, e);
    if (code) return code;
    /* Whoever is killed amid this leaves no set of old and new parts that opens: the first is gone until the end. */
    char first[4096];
    if (out->n_parts > 1 && plat_out_aside(out->paths[0], first, sizeof first)) {
        first[cstr_len(first) - (sizeof ".part" - 1)] = 0;
        plat_file_remove(first);
    }
    for (size_t i = out->n_parts; i-- > 0;) /* one that keeps its name does not hold the others up */
        if (gguf_write_finish(out->parts[i], code ? NULL : e)) code = ERR_IO;
    return code;
}

void quantize_out_close(quantize_out *out) {
    for (size_t i = 0; out->parts && i < out->n_parts; i++) gguf_writer_close(out->parts[i]);
    arena_close(&out->memory);
    *out = (quantize_out){0};
}
