/* gguf_bytes.h: files put together byte by byte, for tests of what a writer would refuse to write. */
#ifndef LEAT_GGUF_BYTES_H
#define LEAT_GGUF_BYTES_H

#include "check.h"
#include "gguf/gguf.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct bytes {
    uint8_t at[1 << 16];
    size_t n;
} bytes;

static inline void add_bytes(bytes *b, const void *p, size_t n) {
    CHECK(b->n + n <= sizeof b->at);
    if (n) memcpy(b->at + b->n, p, n);
    b->n += n;
}
static inline void add_u8(bytes *b, uint8_t v) { add_bytes(b, &v, 1); }
static inline void add_u16(bytes *b, uint16_t v) { add_bytes(b, &v, 2); }
static inline void add_u32(bytes *b, uint32_t v) { add_bytes(b, &v, 4); }
static inline void add_u64(bytes *b, uint64_t v) { add_bytes(b, &v, 8); }
static inline void add_str(bytes *b, const char *s) {
    add_u64(b, strlen(s));
    add_bytes(b, s, strlen(s));
}
static inline void add_start(bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv) {
    b->n = 0;
    add_bytes(b, "GGUF", 4);
    add_u32(b, version);
    add_u64(b, n_tensors);
    add_u64(b, n_kv);
}
static inline void add_key(bytes *b, const char *key, uint32_t kind) {
    add_str(b, key);
    add_u32(b, kind);
}
static inline void add_key_u32(bytes *b, const char *key, uint32_t v) {
    add_key(b, key, GGUF_U32);
    add_u32(b, v);
}
static inline void add_key_array(bytes *b, const char *key, uint32_t item, uint64_t count) {
    add_key(b, key, GGUF_ARR);
    add_u32(b, item);
    add_u64(b, count);
}
static inline void add_tensor(bytes *b, const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type,
                              uint64_t offset) {
    add_str(b, name);
    add_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims && i < 8; i++) add_u64(b, dims[i]);
    add_u32(b, type);
    add_u64(b, offset);
}
/* Zeros up to a multiple of align, then n more. */
static inline void add_data(bytes *b, size_t align, size_t n) {
    size_t to = (b->n + align - 1) / align * align + n;
    CHECK(to <= sizeof b->at);
    memset(b->at + b->n, 0, to - b->n);
    b->n = to;
}

static inline void write_file(const char *path, const void *p, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && (n == 0 || fwrite(p, 1, n, f) == n) && fclose(f) == 0);
}

/* The bytes as a file in memory, since thousands of files on a busy disk take their time. Returns its path. */
static inline const char *memory_file(const bytes *b) {
    static int fd = -1;
    static char path[64];
    if (fd < 0) fd = memfd_create("bytes", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, b->at, b->n, 0) == (ssize_t)b->n);
    return path;
}

/* Opens the bytes as a file. A failed open must have given back all its memory. */
static inline gguf *open_bytes(const bytes *b, err *e) {
    const char *path = memory_file(b);
    size_t before = mem_bytes(MEM_GGUF);
    gguf *g = NULL;
    err_code c = gguf_open(&g, path, e);
    CHECK((c == ERR_NONE) == (g != NULL));
    if (!g) CHECK_EQ(mem_bytes(MEM_GGUF), before);
    return g;
}

#endif
