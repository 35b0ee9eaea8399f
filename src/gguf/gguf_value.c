/* gguf_value.c: typed reads of values that gguf_read.c has checked.
 *
 * Files are generous with kinds (a count may be u16, u32, i32 or u64), so a read asks for what it needs and gets it
 * where nothing is lost; a bool is never a number.
 */
#include "gguf/gguf_int.h"

const char *gguf_kind_name(uint32_t kind) {
    static const char *const names[GGUF_KINDS] = {"u8",   "i8",  "u16",   "i16", "u32", "i32", "f32",
                                                  "bool", "str", "array", "u64", "i64", "f64"};
    return kind < GGUF_KINDS ? names[kind] : "unknown";
}

bool gguf_item_u64(const gguf_kv *kv, uint64_t i, uint64_t *out) {
    if (i >= kv->count) return false;
    if (kv->item == GGUF_U64) {
        *out = load_u64(kv->data + i * 8);
        return true;
    }
    int64_t v;
    if (!gguf_item_i64(kv, i, &v) || v < 0) return false;
    *out = (uint64_t)v;
    return true;
}

bool gguf_item_i64(const gguf_kv *kv, uint64_t i, int64_t *out) {
    if (i >= kv->count) return false;
    const uint8_t *p = kv->data + i * gguf_kind_bytes(kv->item);
    switch (kv->item) {
    case GGUF_U8: *out = *p; return true;
    case GGUF_I8: *out = (int8_t)*p; return true;
    case GGUF_U16: *out = load_u16(p); return true;
    case GGUF_I16: *out = (int16_t)load_u16(p); return true;
    case GGUF_U32: *out = load_u32(p); return true;
    case GGUF_I32: *out = (int32_t)load_u32(p); return true;
    case GGUF_I64: *out = (int64_t)load_u64(p); return true;
    case GGUF_U64:
        if (load_u64(p) > INT64_MAX) return false;
        *out = (int64_t)load_u64(p);
        return true;
    default: return false;
    }
}

bool gguf_item_f64(const gguf_kv *kv, uint64_t i, double *out) {
    if (i >= kv->count) return false;
    const uint8_t *p = kv->data + i * gguf_kind_bytes(kv->item);
    int64_t v;
    switch (kv->item) {
    case GGUF_F32: *out = (double)load_f32(p); return true;
    case GGUF_F64: *out = load_f64(p); return true;
    case GGUF_U64: *out = (double)load_u64(p); return true;
    default:
        if (!gguf_item_i64(kv, i, &v)) return false;
        *out = (double)v;
        return true;
    }
}

/* The value of a key that is no array. */
static const gguf_kv *scalar(const gguf *g, const char *key) {
    const gguf_kv *kv = gguf_find(g, key);
    return kv && kv->kind != GGUF_ARR ? kv : NULL;
}

bool gguf_get_u64(const gguf *g, const char *key, uint64_t *out) {
    const gguf_kv *kv = scalar(g, key);
    return kv && gguf_item_u64(kv, 0, out);
}

bool gguf_get_i64(const gguf *g, const char *key, int64_t *out) {
    const gguf_kv *kv = scalar(g, key);
    return kv && gguf_item_i64(kv, 0, out);
}

bool gguf_get_f64(const gguf *g, const char *key, double *out) {
    const gguf_kv *kv = scalar(g, key);
    return kv && gguf_item_f64(kv, 0, out);
}

bool gguf_get_bool(const gguf *g, const char *key, bool *out) {
    const gguf_kv *kv = scalar(g, key);
    if (!kv || kv->kind != GGUF_BOOL) return false;
    *out = *kv->data != 0;
    return true;
}

bool gguf_get_str(const gguf *g, const char *key, str *out) {
    const gguf_kv *kv = scalar(g, key);
    gguf_cursor start = {0, 0};
    return kv && gguf_next_str(kv, &start, out);
}

bool gguf_next_str(const gguf_kv *kv, gguf_cursor *c, str *out) {
    if (kv->item != GGUF_STR || c->index >= kv->count) return false;
    size_t len = (size_t)load_u64(kv->data + c->at);
    *out = (str){(const char *)kv->data + c->at + 8, len};
    c->at += 8 + len;
    c->index++;
    return true;
}
