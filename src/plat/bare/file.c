/* file.c: the bytes of files: modules, which are memory, and files on disks, by their extents. Nothing is written.
 * Next: queue.c.
 */
#include "plat/bare/bare.h"

#include "kernel/boot/boot.h"
#include "kernel/memory/memory.h"

int plat_file_open(plat_file **out, const char *path) {
    *out = NULL;
    const boot_module *m = boot_module_named(str_of(path));
    const bare_volume *v;
    volume_file found = {0};
    int error = m ? PLAT_OK : bare_find(path, &v, &found);
    if (error) return error;
    plat_file *f = mem_block(MEM_ENGINE, sizeof *f);
    if (!f) {
        volume_file_free(&found);
        return PLAT_NO_MEMORY;
    }
    if (m) *f = (plat_file){.memory = (const char *)(uintptr_t)m->start, .bytes = m->bytes, .align = 1};
    else *f = (plat_file){NULL, v->d, v->offset, found.bytes, found.extents, found.n, 1};
    *out = f;
    return PLAT_OK;
}

/* Whole blocks straight into the reader's memory: only where the file's parts begin with blocks of the disk. */
int plat_file_open_direct(plat_file **out, const char *path) {
    int error = plat_file_open(out, path);
    if (error) return error;
    plat_file *f = *out;
    bool fits = !f->memory;
    for (size_t i = 0; i < f->n_extents && fits; i++)
        fits = ((f->base + f->extents[i].at) | f->extents[i].from) % f->d->block_bytes == 0;
    if (fits) {
        f->align = f->d->block_bytes;
        return PLAT_OK;
    }
    plat_file_close(f);
    *out = NULL;
    return PLAT_UNSUPPORTED;
}

bool plat_file_same(const plat_file *a, const plat_file *b) { return (void)a, (void)b, true; } /* nobody writes */
size_t plat_file_align(const plat_file *f) { return f->align; }
void plat_file_uncache(plat_file *f) { (void)f; }
uint64_t plat_file_bytes(const plat_file *f) { return f->bytes; }
void plat_file_forget(plat_file *f, uint64_t offset, uint64_t bytes) { (void)f, (void)offset, (void)bytes; }

void plat_file_close(plat_file *f) {
    if (!f) return;
    mem_block_free(f->extents);
    mem_block_free(f);
}

size_t bare_extent_at(const plat_file *f, uint64_t at) {
    size_t low = 0, high = f->n_extents;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (f->extents[middle].from + f->extents[middle].bytes <= at) low = middle + 1;
        else high = middle;
    }
    return low;
}

int64_t plat_file_read(plat_file *f, uint64_t offset, void *to, size_t bytes) {
    size_t n = offset < f->bytes ? (size_t)MIN(bytes, f->bytes - offset) : 0, done = 0;
    if (f->memory) memcpy(to, f->memory + offset, n);
    for (size_t i = bare_extent_at(f, offset); done < n && !f->memory;) {
        const volume_extent *x = i < f->n_extents ? &f->extents[i] : NULL;
        uint64_t at = offset + done, hole_end = x ? x->from : UINT64_MAX;
        char *here = (char *)to + done;
        if (at < hole_end) {
            size_t zeros = (size_t)MIN((uint64_t)(n - done), hole_end - at);
            memset(here, 0, zeros);
            done += zeros;
            continue;
        }
        size_t part = (size_t)MIN((uint64_t)(n - done), x->from + x->bytes - at);
        int error = disk_read(f->d, f->base + x->at + (at - x->from), here, part);
        if (error) return error;
        done += part;
        i++;
    }
    return (int64_t)n;
}

int plat_file_id(const char *path, uint64_t id[2]) {
    const boot_module *m = boot_module_named(str_of(path));
    const bare_volume *v = NULL;
    volume_file found = {0};
    int error = m ? PLAT_OK : bare_find(path, &v, &found);
    id[0] = v ? (uint64_t)(v - bare_volume_at(0)) + 1 : 0;
    id[1] = v ? found.id : m ? m->start : 0;
    volume_file_free(&found);
    return error;
}

int plat_file_map(plat_file *f, const void **at) {
    *at = f->memory;
    return f->memory ? PLAT_OK : PLAT_UNSUPPORTED;
}

void plat_file_unmap(const void *at) { (void)at; }
uint64_t plat_map_mark(void) { return 0; }
bool plat_map_failed(const void *at, uint64_t mark, uint64_t *offset) {
    return (void)at, (void)mark, (void)offset, false; /* modules are in memory */
}

/* ---- nothing is written here ----------------------------------------------------------------------- */

int plat_out_create(plat_out **out, const char *path, bool private) {
    return (void)path, (void)private, *out = NULL, PLAT_UNSUPPORTED;
}
bool plat_out_aside(const char *path, char *buf, size_t cap) { return (void)path, (void)buf, (void)cap, false; }
int plat_out_expect(plat_out *o, uint64_t bytes) { return (void)o, (void)bytes, PLAT_UNSUPPORTED; }
int plat_out_write(plat_out *o, const void *bytes, size_t n) { return (void)o, (void)bytes, (void)n, PLAT_UNSUPPORTED; }
int plat_out_sync(plat_out *o) { return (void)o, PLAT_UNSUPPORTED; }
int plat_out_settle(plat_out *o, int error) { return (void)o, (void)error, PLAT_UNSUPPORTED; }
int plat_file_rename(const char *from, const char *to) { return (void)from, (void)to, PLAT_UNSUPPORTED; }
int plat_file_remove(const char *path) { return (void)path, PLAT_UNSUPPORTED; }
