/* volumes.c: disks, partitions and file systems, and the names of files on them. Next: file.c. */
#include "plat/bare/bare.h"

#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/memory/memory.h"

enum { VOLUMES_MAX = 64, TROUBLE_BYTES = 160, VERIFY_BYTES = 1 << 20 };

static bare_volume volumes[VOLUMES_MAX];
static size_t n_volumes;
static _Atomic uint32_t taken; /* file systems are looked at by one thread at a time */

static void take(void) {
    while (atomic_exchange(&taken, 1)) cpu_yield();
}
static void leave(void) { atomic_store(&taken, 0); }

size_t bare_volume_count(void) { return n_volumes; }
const bare_volume *bare_volume_at(size_t i) { return i < n_volumes ? &volumes[i] : NULL; }

static int read_volume(void *ctx, uint64_t offset, void *to, size_t bytes) {
    const bare_volume *v = ctx;
    return disk_read(v->d, v->offset + offset, to, bytes);
}

static volume_source source_of(bare_volume *v) { return (volume_source){read_volume, v, v->bytes, v->d->block_bytes}; }

static void tell(bare_volume *v, const err *e) {
    static char kept[VOLUMES_MAX][TROUBLE_BYTES];
    char *text = kept[v - volumes];
    fmt(text, TROUBLE_BYTES, "%s", e->text);
    v->trouble = text;
    console_log("%s: %s", v->name, text);
}

static bare_volume *add(disk *d, uint64_t offset, uint64_t bytes, uint32_t number) {
    if (n_volumes == VOLUMES_MAX) return NULL;
    bare_volume *v = &volumes[n_volumes++];
    *v = (bare_volume){.d = d, .offset = offset, .bytes = bytes};
    if (number) fmt(v->name, sizeof v->name, "%sp%u", d->name, number);
    else fmt(v->name, sizeof v->name, "%s", d->name);
    return v;
}

/* type: of a partition, or NULL. */
static void mount(bare_volume *v, const uint8_t *type) {
    volume_source s = source_of(v);
    char bytes[24];
    err e;
    err_code code = volume_open(&v->fs, &s, &e);
    if (!code && type && !memcmp(type, volume_type_leat, 16) && !cstr_eq(volume_kind(v->fs), "leat"))
        code = ERR(&e, ERR_FORMAT, "the manifest is missing; what is there is %s", volume_kind(v->fs));
    if (code) tell(v, &e);
    else console_log("%s: %s, %s", v->name, fmt_bytes(bytes, sizeof bytes, v->bytes), volume_kind(v->fs));
}

static void look_at(disk *d) {
    static volume_part parts[VOLUME_PARTS_MAX];
    size_t n = 0;
    bool from_backup = false;
    err e;
    bare_volume *all = add(d, 0, d->n_blocks * d->block_bytes, 0);
    if (!all) return;
    volume_source s = source_of(all);
    if (volume_parts(&s, parts, &n, &from_backup, &e)) tell(all, &e);
    else if (!n) mount(all, NULL);
    if (from_backup) console_log("%s: the first partition table is damaged, the second one is used", d->name);
    for (size_t i = 0; i < n; i++) {
        bare_volume *v = add(d, parts[i].offset, parts[i].bytes, parts[i].number);
        if (v) mount(v, parts[i].type);
    }
}

/* Options of the kernel on a disk, for a machine that was given the kernel without any. */
static void take_options(void) {
    static char text[4096];
    for (size_t i = 0; i < n_volumes; i++) {
        volume_file f;
        err e;
        if (!volumes[i].fs || !cstr_eq(volume_kind(volumes[i].fs), "leat")) continue;
        if (volume_find(volumes[i].fs, STR("leat.conf"), &f, &e)) continue;
        size_t n = (size_t)MIN(f.bytes, (uint64_t)sizeof text);
        if (f.n == 1 && !read_volume(&volumes[i], f.extents[0].at, text, n)) boot_add_options((str){text, n});
        volume_file_free(&f);
        return;
    }
}

void bare_volumes_start(void) {
    for (size_t i = 0; i < disk_count(); i++) look_at(disk_at(i));
    if (!boot_module_named(STR("leat.conf"))) take_options();
    if (n_volumes == VOLUMES_MAX) console_log("disk: no room for more than %d volumes", VOLUMES_MAX);
}

int bare_volume_list(size_t i, volume_each *each, void *ctx) {
    err e;
    if (i >= n_volumes || !volumes[i].fs) return PLAT_NOT_FOUND;
    take();
    err_code code = volume_list(volumes[i].fs, STR(""), each, ctx, &e);
    leave();
    return code ? PLAT_IO_ERROR : PLAT_OK;
}

/* ---- names ---------------------------------------------------------------------------------------- */

static int find_on(bare_volume *v, str path, volume_file *out) {
    err e;
    if (!path.len) { /* the volume itself */
        volume_extent *all = mem_block(MEM_ENGINE, sizeof *all);
        if (!all) return PLAT_NO_MEMORY;
        *all = (volume_extent){0, 0, v->bytes};
        *out = (volume_file){.bytes = v->bytes, .id = UINT64_MAX, .extents = all, .n = 1};
        return PLAT_OK;
    }
    if (!v->fs) return PLAT_NOT_FOUND;
    err_code code = volume_find(v->fs, path, out, &e);
    if (code && code != ERR_ARGUMENT) console_log("%s: %s", v->name, e.text);
    return code == ERR_NONE       ? PLAT_OK
           : code == ERR_ARGUMENT ? PLAT_NOT_FOUND
           : code == ERR_MEMORY   ? PLAT_NO_MEMORY
                                  : PLAT_IO_ERROR;
}

int bare_find(const char *path, const bare_volume **v, volume_file *out) {
    str rest = str_of(path), name = {NULL, 0};
    int error = PLAT_NOT_FOUND;
    if (str_starts(rest, STR("/"))) {
        rest = str_cut(rest, 1, rest.len);
        size_t n = MIN(str_find(rest, STR("/")), rest.len);
        name = str_cut(rest, 0, n);
        rest = str_cut(rest, n + (n < rest.len), rest.len);
    }
    if (!name.len && !rest.len) return PLAT_NOT_FOUND;
    take();
    for (size_t i = 0; i < n_volumes && error == PLAT_NOT_FOUND; i++) {
        if (name.len && !str_is(name, volumes[i].name)) continue;
        error = find_on(&volumes[i], rest, out);
        *v = &volumes[i];
    }
    leave();
    return error;
}

int bare_verify(const char *path, bare_sum *out) {
    const bare_volume *v;
    volume_file found = {0};
    plat_file *f = NULL;
    sha256 h;
    uint8_t wanted[32];
    *out = (bare_sum){.known = false};
    int64_t got = plat_file_open(&f, path);
    if (!got && !f->memory && !bare_find(path, &v, &found) && found.sha256) {
        memcpy(wanted, found.sha256, sizeof wanted);
        out->known = true;
    }
    volume_file_free(&found);
    char *buffer = got ? NULL : mem_block(MEM_ENGINE, VERIFY_BYTES);
    if (!got && !buffer) got = PLAT_NO_MEMORY;
    sha256_start(&h);
    for (uint64_t at = 0; !got && at < plat_file_bytes(f); at += VERIFY_BYTES) {
        got = plat_file_read(f, at, buffer, VERIFY_BYTES);
        if (got > 0) sha256_add(&h, buffer, (size_t)got);
        got = got > 0 ? plat_interrupted() ? PLAT_INTERRUPTED : 0 : got ? got : PLAT_IO_ERROR;
    }
    sha256_end(&h, out->sha256);
    out->matches = out->known && !got && memcmp(out->sha256, wanted, sizeof wanted) == 0;
    mem_block_free(buffer);
    plat_file_close(f);
    return (int)got;
}
