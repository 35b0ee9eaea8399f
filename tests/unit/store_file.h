/* store_file.h: a small model file whose every byte is known, for tests of the store. */
#ifndef LEAT_STORE_FILE_H
#define LEAT_STORE_FILE_H

#include "check.h"
#include "gguf/gguf.h"

#include <string.h>

enum { STORE_FILE_TENSORS = 6 };
/* Rows of 32 floats. The fourth is longer than two pieces of the store's reading. */
static const uint64_t store_file_rows[STORE_FILE_TENSORS] = {1, 100, 7, (17 << 20) / 128 + 3, 64, 33};

/* A tensor's bytes; built once, kept to the end. */
static inline const uint8_t *store_file_bytes(size_t tensor) {
    static uint8_t *built[STORE_FILE_TENSORS];
    size_t n = (size_t)store_file_rows[tensor] * 128;
    if (!built[tensor]) {
        built[tensor] = malloc(n);
        for (size_t i = 0; i < n; i++) built[tensor][i] = (uint8_t)((uint32_t)(i + tensor * 53) * 2654435761u >> 24);
    }
    return built[tensor];
}

/* Fills path with tensors [from, to); part numbers are written where there are two of them. */
static inline void store_file_part(const char *path, size_t from, size_t to, uint32_t part, uint32_t n_parts) {
    gguf_writer *w;
    err e = {0};
    CHECK_EQ(gguf_writer_open(&w, 3, 64, &e), ERR_NONE);
    gguf_put_str(w, "general.architecture", STR("test"));
    if (n_parts > 1) {
        gguf_put_u32(w, "split.no", part);
        gguf_put_u32(w, "split.count", n_parts);
        gguf_put_u32(w, "split.tensors.count", STORE_FILE_TENSORS);
    }
    for (size_t t = from; t < to; t++) {
        char name[32];
        fmt(name, sizeof name, "blk.%zu.weight", t);
        gguf_put_tensor(w, name, quant_find(QUANT_F32), 2, (uint64_t[]){32, store_file_rows[t]});
    }
    CHECK_MSG(gguf_write_begin(w, path, &e) == ERR_NONE, "%s", e.text);
    for (size_t t = from; t < to; t++) {
        err_code code = gguf_write_data(w, store_file_bytes(t), (size_t)store_file_rows[t] * 128, &e);
        CHECK_MSG(code == ERR_NONE, "%s", e.text);
    }
    CHECK_MSG(gguf_write_finish(w, &e) == ERR_NONE, "%s", e.text);
    gguf_writer_close(w);
}

/* One file, or the first of two. Returns its path. */
static inline const char *store_file(bool split) {
    if (!split) {
        store_file_part(test_path(0, "store.gguf"), 0, STORE_FILE_TENSORS, 0, 1);
        return test_path(0, "store.gguf");
    }
    store_file_part(test_path(0, "store-00001-of-00002.gguf"), 0, 2, 0, 2);
    store_file_part(test_path(1, "store-00002-of-00002.gguf"), 2, STORE_FILE_TENSORS, 1, 2);
    return test_path(0, "store-00001-of-00002.gguf");
}

static inline bool store_file_same(const void *at, size_t tensor, uint64_t from, uint64_t bytes) {
    return memcmp(at, store_file_bytes(tensor) + from, bytes) == 0;
}

#endif
