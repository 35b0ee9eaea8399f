/* file.c: files by name. Those of this file are boot modules: memory that the loader filled, read and mapped in
 * place. */
#include "plat/bare/bare.h"

#include "kernel/boot/boot.h"
#include "kernel/memory/memory.h"

struct plat_file {
    const char *at;
    uint64_t bytes;
};

int plat_file_open(plat_file **out, const char *path) {
    *out = NULL;
    const boot_module *m = boot_module_named(str_of(path));
    if (!m) return PLAT_NOT_FOUND;
    plat_file *f = memory_pages(sizeof *f, 0);
    if (!f) return PLAT_NO_MEMORY;
    *f = (plat_file){(const char *)(uintptr_t)m->start, m->bytes};
    *out = f;
    return PLAT_OK;
}

int plat_file_open_direct(plat_file **out, const char *path) {
    (void)path;
    *out = NULL;
    return PLAT_UNSUPPORTED;
}

size_t plat_file_align(const plat_file *f) { return (void)f, 1; }
void plat_file_uncache(plat_file *f) { (void)f; }
void plat_file_close(plat_file *f) { memory_pages_free(f, sizeof *f); }
uint64_t plat_file_bytes(const plat_file *f) { return f->bytes; }

int64_t plat_file_read(plat_file *f, uint64_t offset, void *to, size_t bytes) {
    uint64_t n = offset < f->bytes ? MIN(bytes, f->bytes - offset) : 0;
    memcpy(to, f->at + offset, n);
    return (int64_t)n;
}

void plat_file_forget(plat_file *f, uint64_t offset, uint64_t bytes) { (void)f, (void)offset, (void)bytes; }

int plat_file_id(const char *path, uint64_t id[2]) {
    const boot_module *m = boot_module_named(str_of(path));
    if (!m) return PLAT_NOT_FOUND;
    id[0] = 0;
    id[1] = m->start;
    return PLAT_OK;
}

int plat_file_map(plat_file *f, const void **at) {
    *at = f->at;
    return PLAT_OK;
}

void plat_file_unmap(const void *at, uint64_t bytes) { (void)at, (void)bytes; }

/* ---- asynchronous reads: memory has no latency, so they are done when they are submitted ---------- */

struct plat_queue {
    uint32_t depth, n_done;
    plat_read done[];
};

static size_t queue_bytes(uint32_t depth) { return sizeof(plat_queue) + depth * sizeof(plat_read); }

int plat_queue_open(plat_queue **out, uint32_t depth) {
    plat_queue *q = *out = memory_pages(queue_bytes(depth), 0);
    if (!q) return PLAT_NO_MEMORY;
    q->depth = depth;
    return PLAT_OK;
}

void plat_queue_close(plat_queue *q) {
    if (q) memory_pages_free(q, queue_bytes(q->depth));
}

const char *plat_queue_kind(const plat_queue *q) { return (void)q, "memory"; }

int plat_queue_submit(plat_queue *q, const plat_read *reads, size_t n) {
    if (n > q->depth - q->n_done) return PLAT_NO_SPACE;
    for (size_t i = 0; i < n; i++) {
        plat_read *r = &q->done[q->n_done++];
        *r = reads[i];
        r->result = plat_file_read(r->file, r->offset, r->to, r->bytes);
    }
    return PLAT_OK;
}

size_t plat_queue_reap(plat_queue *q, plat_read *done, size_t max, uint64_t timeout_ns) {
    (void)timeout_ns;
    size_t n = MIN(max, q->n_done);
    memcpy(done, q->done, n * sizeof *done);
    memmove(q->done, q->done + n, (q->n_done - n) * sizeof *done);
    q->n_done -= (uint32_t)n;
    return n;
}

/* ---- nothing is written here ----------------------------------------------------------------------- */

int plat_out_create(plat_out **out, const char *path) { return (void)path, *out = NULL, PLAT_UNSUPPORTED; }
int plat_out_create_private(plat_out **out, const char *path) { return plat_out_create(out, path); }
int plat_out_expect(plat_out *o, uint64_t bytes) { return (void)o, (void)bytes, PLAT_UNSUPPORTED; }
int plat_out_write(plat_out *o, const void *bytes, size_t n) { return (void)o, (void)bytes, (void)n, PLAT_UNSUPPORTED; }
int plat_out_close(plat_out *o, bool sync) { return (void)o, (void)sync, PLAT_UNSUPPORTED; }
int plat_file_rename(const char *from, const char *to) { return (void)from, (void)to, PLAT_UNSUPPORTED; }
int plat_file_remove(const char *path) { return (void)path, PLAT_UNSUPPORTED; }
