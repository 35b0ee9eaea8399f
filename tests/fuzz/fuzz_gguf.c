/* fuzz_gguf.c: any bytes as a GGUF file. What opens must keep the promises of gguf.h: every value and every tensor's
 * range may be used without further checks; what does not open says why; nothing stays behind.
 */
#include "fuzz/fuzz.h"
#include "gguf/gguf_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is this inside the bytes of the header? */
static bool in_header(const gguf *g, const void *at, size_t n) {
    uintptr_t from = (uintptr_t)g->heads.base, p = (uintptr_t)at;
    return p >= from && p - from <= g->heads.used_bytes && n <= g->heads.used_bytes - (p - from);
}

static void use_key(const gguf *g, const gguf_kv *kv) {
    uint64_t u;
    int64_t i;
    double d;
    require(in_header(g, kv->key.ptr, kv->key.len) && gguf_name_ok(kv->key), "a key is text of the header");
    require(in_header(g, kv->data, kv->data_bytes), "a value is in the header");
    require(kv->kind < GGUF_KINDS && kv->item < GGUF_KINDS && kv->item != GGUF_ARR, "a kind is one of the format");
    for (uint64_t k = 0; k < kv->count; k++) {
        bool is_u = gguf_item_u64(kv, k, &u), is_i = gguf_item_i64(kv, k, &i), is_f = gguf_item_f64(kv, k, &d);
        require(is_f == (kv->item != GGUF_STR && kv->item != GGUF_BOOL), "every number is an f64");
        require(!is_u || !is_i || u == (uint64_t)i, "both ways to read a number agree");
    }
    require(!gguf_item_u64(kv, kv->count, &u), "there is nothing after the last item");
    gguf_cursor c = {0, 0};
    str s;
    size_t n = 0;
    while (gguf_next_str(kv, &c, &s)) {
        require(in_header(g, s.ptr, s.len), "a string is in the header");
        n++;
    }
    require(n == (kv->item == GGUF_STR ? kv->count : 0), "there are as many strings as counted");
    require(n == 0 || c.at == kv->data_bytes, "the strings fill the value");
}

static void use_tensor(const gguf *g, const gguf_tensor *t) {
    require(in_header(g, t->name.ptr, t->name.len) && gguf_name_ok(t->name), "a name is text of the header");
    require(t->n_dims >= 1 && t->n_dims <= 4, "1 to 4 dimensions");
    for (int i = 0; i < 4; i++) require(t->dims[i] > 0, "no dimension is 0");
    uint64_t file_bytes = plat_file_bytes(gguf_part_file(g, t->part));
    require(t->bytes <= file_bytes && t->offset <= file_bytes - t->bytes, "a tensor is in the file");
    require(t->offset % gguf_alignment(g) == 0, "a tensor is aligned");
    size_t n_bytes;
    if (t->type)
        require(t->dims[0] % t->type->block_len == 0 &&
                    quant_bytes(t->type, t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3], &n_bytes) &&
                    n_bytes == t->bytes,
                "a tensor's bytes follow from its shape");
}

static void use(const gguf *g) {
    char name[GGUF_KEY_BYTES_MAX + 1];
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        use_key(g, kv);
        memcpy(name, kv->key.ptr, kv->key.len);
        name[kv->key.len] = 0;
        require(gguf_find(g, name) == kv, "every key is found");
    }
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        use_tensor(g, t);
        memcpy(name, t->name.ptr, t->name.len);
        name[t->name.len] = 0;
        require(gguf_find_tensor(g, name) == t, "every tensor is found");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gguf *g;
    err e = {0};
    gguf_opts opts = {.keep_unknown = size % 2};
    err_code code = gguf_open_opts(&g, fuzz_file(data, size), &opts, &e);
    require((code == ERR_NONE) == (g != NULL), "a handle or an error");
    if (code) require(code == e.code && code != ERR_INTERNAL && e.text[0] != 0, "an error says why");
    else use(g);
    gguf_close(g);
    require(mem_bytes(MEM_GGUF) == 0, "nothing stays behind");
    return 0;
}
