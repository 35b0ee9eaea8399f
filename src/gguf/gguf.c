/* gguf.c: opens one file or all parts of a split one, joins them and answers by name.
 *
 * Parts are found from the first one's name (NAME-00001-of-00004.gguf) and must agree with what their headers say
 * (split.no, split.count, split.tensors.count). Keys are the first part's; tensors are everybody's. The parts stay
 * open, the data is left to the store. Header parsing is in gguf_read.c, values in gguf_value.c, writing in
 * gguf_write.c.
 */
#include "gguf/gguf_int.h"

/* ---- tables and indices ----------------------------------------------------------------------------------------- */

err_code gguf_table_open(gguf_table *t, size_t count_max, size_t size, err *e) {
    err_code c = arena_open(&t->mem, MEM_GGUF, count_max * size, e);
    t->at = t->mem.base;
    return c;
}

void *gguf_table_push(gguf_table *t, size_t n, size_t size) {
    if (t->count == 0) {
        if (!arena_alloc(&t->mem, n * size, 1)) return NULL;
    } else if (!arena_extend(&t->mem, t->at, t->count * size, (t->count + n) * size)) {
        return NULL;
    }
    t->count += n;
    return (char *)t->at + (t->count - n) * size;
}

static str name_at(const void *items, size_t stride, size_t i) {
    str s;
    memcpy(&s, (const char *)items + i * stride, sizeof s);
    return s;
}

err_code gguf_index_build(gguf_index *x, arena *a, const void *items, size_t stride, size_t n, uint64_t seed,
                          size_t dup[2]) {
    size_t n_slots = 4;
    while (n_slots < 2 * n) n_slots *= 2;
    x->slots = arena_array(a, n_slots, sizeof *x->slots);
    if (!x->slots) return ERR_MEMORY;
    x->mask = n_slots - 1;
    for (size_t i = 0; i < n; i++) {
        str name = name_at(items, stride, i);
        size_t at = (size_t)hash_bytes(name.ptr, name.len, seed) & x->mask;
        for (; x->slots[at]; at = (at + 1) & x->mask)
            if (str_eq(name, name_at(items, stride, x->slots[at] - 1))) {
                dup[0] = x->slots[at] - 1;
                dup[1] = i;
                return ERR_FORMAT;
            }
        x->slots[at] = (uint32_t)i + 1;
    }
    return ERR_NONE;
}

size_t gguf_index_find(const gguf_index *x, const void *items, size_t stride, uint64_t seed, str name) {
    size_t at = (size_t)hash_bytes(name.ptr, name.len, seed) & x->mask;
    for (; x->slots[at]; at = (at + 1) & x->mask)
        if (str_eq(name, name_at(items, stride, x->slots[at] - 1))) return x->slots[at] - 1;
    return SIZE_MAX;
}

bool gguf_name_ok(str s) {
    for (size_t i = 0, len; i < s.len; i += len) {
        uint32_t c = utf8_decode(s.ptr + i, s.len - i, &len);
        if (c == UTF8_INVALID || c < 0x20 || (c >= 0x7F && c < 0xA0)) return false;
    }
    return true;
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

#define SPLIT_TAIL_BYTES (sizeof "-00001-of-00004.gguf" - 1)

bool gguf_split_name(str path, str *stem, uint64_t *no, uint64_t *count) {
    if (path.len < SPLIT_TAIL_BYTES) return false;
    str tail = str_cut(path, path.len - SPLIT_TAIL_BYTES, SPLIT_TAIL_BYTES);
    if (tail.ptr[0] != '-' || !str_eq(str_cut(tail, 6, 4), STR("-of-")) || !str_ends(tail, STR(".gguf"))) return false;
    for (size_t i = 0; i < 5; i++)
        if (tail.ptr[1 + i] < '0' || tail.ptr[1 + i] > '9' || tail.ptr[10 + i] < '0' || tail.ptr[10 + i] > '9')
            return false;
    *stem = str_cut(path, 0, path.len - SPLIT_TAIL_BYTES);
    return parse_u64(str_cut(tail, 1, 5), no) && parse_u64(str_cut(tail, 10, 5), count);
}

/* Which parts there are, from the name alone; paths are copied into the handle. */
static err_code name_parts(gguf *g, const char *path, err *e) {
    str whole = str_of(path);
    if (whole.len == 0 || whole.len > GGUF_PATH_BYTES_MAX)
        return err_set(e, ERR_ARGUMENT, "gguf_open", "a path of %zu bytes, wanted 1 to %d", whole.len,
                       GGUF_PATH_BYTES_MAX);
    str stem;
    uint64_t no = 1, count = 1;
    bool split = gguf_split_name(whole, &stem, &no, &count);
    str tail = str_cut(whole, whole.len - MIN(whole.len, (size_t)160), 160); /* what tells files of long paths apart */
    if (split && (count == 0 || no == 0 || no > count))
        return err_set(e, ERR_ARGUMENT, "gguf_open", "%.*s: a name for part %llu of %llu", (int)tail.len, tail.ptr,
                       (unsigned long long)no, (unsigned long long)count);
    if (split && count > GGUF_PARTS_MAX)
        return err_set(e, ERR_LIMIT, "gguf_open", "%.*s: %llu parts, leat opens at most %d", (int)tail.len, tail.ptr,
                       (unsigned long long)count, GGUF_PARTS_MAX);
    if (no != 1) {
        stem = str_cut(tail, 0, tail.len - SPLIT_TAIL_BYTES);
        return err_set(e, ERR_ARGUMENT, "gguf_open", "this is part %llu of %llu: open %.*s-00001-of-%05llu.gguf",
                       (unsigned long long)no, (unsigned long long)count, (int)stem.len, stem.ptr,
                       (unsigned long long)count);
    }
    g->n_parts = (size_t)count;
    g->parts = arena_array(&g->own, g->n_parts, sizeof *g->parts);
    if (!g->parts) return err_set(e, ERR_MEMORY, "gguf_open", "no memory for %zu parts", g->n_parts);
    for (size_t i = 0; i < g->n_parts; i++) {
        char *copy = arena_copy(&g->own, whole);
        if (!copy) return err_set(e, ERR_MEMORY, "gguf_open", "no memory for %zu parts", g->n_parts);
        if (split) {
            char number[8];
            fmt(number, sizeof number, "%05zu", i + 1);
            memcpy(copy + stem.len + 1, number, 5);
        }
        g->parts[i].path = copy;
    }
    return ERR_NONE;
}

static err_code open_files(gguf *g, err *e) {
    for (size_t i = 0; i < g->n_parts; i++) {
        int error = plat_file_open(&g->parts[i].file, g->parts[i].path);
        if (error) {
            err_code code = error == PLAT_NO_MEMORY ? ERR_MEMORY : ERR_IO;
            if (g->n_parts == 1) return gguf_part_error(g, 0, e, code, "%s", plat_error_name(error));
            return gguf_part_error(g, (uint32_t)i, e, code, "part %zu of %zu: %s", i + 1, g->n_parts,
                                   plat_error_name(error));
        }
        g->parts[i].bytes = plat_file_bytes(g->parts[i].file);
    }
    return ERR_NONE;
}

/* Does what the header says about the split agree with the name? *n_tensors: of all parts. */
static err_code check_split(const gguf *g, uint32_t part, const gguf_head *h, uint64_t *n_tensors, err *e) {
    static const char *const keys[3] = {"split.no", "split.count", "split.tensors.count"};
    uint64_t seen[3] = {0, 0, 0};
    for (size_t i = 0; i < 3; i++) {
        const gguf_kv *kv = gguf_head_find(g, h, keys[i]);
        if (!kv && g->n_parts == 1) continue;
        if (!kv)
            return gguf_part_error(g, part, e, ERR_FORMAT, "named part %u of %zu, but it has no key %s", part + 1,
                                   g->n_parts, keys[i]);
        if (kv->kind == GGUF_ARR || !gguf_item_u64(kv, 0, &seen[i]))
            return gguf_part_error(g, part, e, ERR_FORMAT, "key %s is of kind %s or negative, wanted a count", keys[i],
                                   gguf_kind_name(kv->kind));
    }
    *n_tensors = seen[2];
    /* A merged file keeps the keys of its parts, with a count of 0 or 1. */
    if (g->n_parts == 1 && seen[1] > 1)
        return gguf_part_error(g, part, e, ERR_FORMAT, "its header says part %llu of %llu, so its name must end in "
                               "-%05llu-of-%05llu.gguf", (unsigned long long)seen[0] + 1, (unsigned long long)seen[1],
                               (unsigned long long)seen[0] + 1, (unsigned long long)seen[1]);
    if (g->n_parts > 1 && (seen[0] != part || seen[1] != g->n_parts))
        return gguf_part_error(g, part, e, ERR_FORMAT, "named part %u of %zu, but its header says part %llu of %llu",
                               part + 1, g->n_parts, (unsigned long long)seen[0] + 1, (unsigned long long)seen[1]);
    return ERR_NONE;
}

static err_code read_parts(gguf *g, err *e) {
    uint64_t n_tensors = 0, n = 0;
    for (uint32_t i = 0; i < g->n_parts; i++) {
        gguf_head head;
        size_t own = arena_mark(&g->own), keys = arena_mark(&g->kvs.mem);
        err_code c = gguf_read_part(g, i, &head, e);
        if (c) return c;
        if ((c = check_split(g, i, &head, &n, e))) return c;
        if (i == 0) {
            g->version = head.version;
            g->alignment = head.alignment;
            g->kv_index = head.index;
            n_tensors = n;
            continue;
        }
        if (n != n_tensors)
            return gguf_part_error(g, i, e, ERR_FORMAT, "split.tensors.count is %llu, but %llu in the first part",
                                   (unsigned long long)n, (unsigned long long)n_tensors);
        g->kvs.count = head.first_kv;
        arena_reset(&g->kvs.mem, keys);
        arena_reset(&g->own, own);
    }
    if (g->n_parts > 1 && n_tensors != g->tensors.count)
        return gguf_part_error(g, 0, e, ERR_FORMAT, "split.tensors.count is %llu, but the %zu parts have %zu tensors",
                               (unsigned long long)n_tensors, g->n_parts, g->tensors.count);
    return ERR_NONE;
}

static err_code index_tensors(gguf *g, err *e) {
    const gguf_tensor *t = g->tensors.at;
    size_t dup[2];
    err_code c = gguf_index_build(&g->tensor_index, &g->own, t, sizeof *t, g->tensors.count, g->hash_seed, dup);
    if (c == ERR_FORMAT)
        return gguf_part_error(g, t[dup[1]].part, e, c, "tensor %.*s comes twice, as number %zu and %zu",
                               gguf_shown(t[dup[0]].name), t[dup[0]].name.ptr, dup[0], dup[1]);
    return c ? gguf_part_error(g, 0, e, c, "no memory for the index of %zu tensors", g->tensors.count) : ERR_NONE;
}

/* ---- open, close ------------------------------------------------------------------------------------------------ */

err_code gguf_open_opts(gguf **out, const char *path, const gguf_opts *opts, err *e) {
    *out = NULL;
    gguf *g = mem_block(MEM_GGUF, sizeof *g);
    if (!g) return err_set(e, ERR_MEMORY, "gguf_open", "no memory for a handle");
    g->keep_unknown = opts && opts->keep_unknown;
    plat_entropy(&g->hash_seed, sizeof g->hash_seed);
    /* Indices have 4 to 8 bytes a slot and up to 4 slots an item; the parts' paths are short beside them. */
    size_t own_bytes = 8 * (size_t)(2 * GGUF_KEYS_MAX + 2 * GGUF_TENSORS_MAX) * 4 +
                       (size_t)GGUF_PARTS_MAX * (GGUF_PATH_BYTES_MAX + 64);
    err_code c = arena_open(&g->own, MEM_GGUF, own_bytes, e);
    /* Keys of two parts at most are held at a time. */
    if (!c) c = gguf_table_open(&g->kvs, 2 * (size_t)GGUF_KEYS_MAX, sizeof(gguf_kv), e);
    if (!c) c = gguf_table_open(&g->tensors, GGUF_TENSORS_MAX, sizeof(gguf_tensor), e);
    if (!c) c = name_parts(g, path, e);
    if (!c) c = open_files(g, e);
    if (!c) c = arena_open(&g->heads, MEM_GGUF, (size_t)MIN(gguf_total_bytes(g) + 16 * g->n_parts + 64,
                                                            (uint64_t)GGUF_HEADER_BYTES_MAX), e);
    if (!c) c = read_parts(g, e);
    if (!c) c = index_tensors(g, e);
    if (c) {
        gguf_close(g);
        return c;
    }
    *out = g;
    return ERR_NONE;
}

err_code gguf_open(gguf **out, const char *path, err *e) { return gguf_open_opts(out, path, NULL, e); }

void gguf_close(gguf *g) {
    if (!g) return;
    for (size_t i = 0; g->parts && i < g->n_parts; i++) plat_file_close(g->parts[i].file);
    arena_close(&g->heads);
    arena_close(&g->tensors.mem);
    arena_close(&g->kvs.mem);
    arena_close(&g->own);
    mem_block_free(g);
}

/* ---- what is in it ---------------------------------------------------------------------------------------------- */

uint32_t gguf_version(const gguf *g) { return g->version; }
uint32_t gguf_alignment(const gguf *g) { return g->alignment; }
size_t gguf_part_count(const gguf *g) { return g->n_parts; }
plat_file *gguf_part_file(const gguf *g, size_t part) { return g->parts[part].file; }
const char *gguf_part_path(const gguf *g, size_t part) { return g->parts[part].path; }

uint64_t gguf_total_bytes(const gguf *g) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < g->n_parts; i++) bytes += g->parts[i].bytes;
    return bytes;
}

size_t gguf_kv_count(const gguf *g) { return g->kvs.count; }
const gguf_kv *gguf_kv_at(const gguf *g, size_t i) { return (const gguf_kv *)g->kvs.at + i; }
const gguf_kv *gguf_find(const gguf *g, const char *key) {
    size_t i = gguf_index_find(&g->kv_index, g->kvs.at, sizeof(gguf_kv), g->hash_seed, str_of(key));
    return i == SIZE_MAX ? NULL : gguf_kv_at(g, i);
}

size_t gguf_tensor_count(const gguf *g) { return g->tensors.count; }
const gguf_tensor *gguf_tensor_at(const gguf *g, size_t i) { return (const gguf_tensor *)g->tensors.at + i; }
const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name) {
    size_t i = gguf_index_find(&g->tensor_index, g->tensors.at, sizeof(gguf_tensor), g->hash_seed, str_of(name));
    return i == SIZE_MAX ? NULL : gguf_tensor_at(g, i);
}
