/* image_disk.c: the bytes of a bootable disk:
 *
 *     0           boot code and protective MBR; GPT in sectors 1 to 33
 *     32 KiB      an ISO 9660 file system with GRUB's core for BIOS and, as partition 1, a FAT one with our UEFI
 *                 loader, the kernel and leat.conf: all as the build made it (kernel/iso.sh), but for the text of
 *                 leat.conf
 *     next MiB    partition 2, of leat's own type: manifest and files (volume.h), each at a MiB
 *     the end     GPT again, 33 sectors
 *
 * GUIDs are drawn from the manifest, times are left out: the same input gives the same bytes.
 */
#include "hosted/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEP_BYTES = 1 << 20, MIB = 1 << 20, LOADER_BYTES_MAX = 64 << 20, LINE_BYTES = 64, FAT_STEP = 2048 };

typedef struct writer {
    int fd;
    const char *path;
    err *e;
} writer;

static err_code put(const writer *w, uint64_t at, const void *bytes, size_t n) {
    const char *from = bytes;
    while (n) {
        ssize_t done = pwrite(w->fd, from, n, (off_t)at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return ERR(w->e, ERR_IO, "%s: %s", w->path, strerror(errno));
        from += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return ERR_NONE;
}

/* ---- the loaders ---------------------------------------------------------------------------------- */

typedef struct loader {
    uint8_t *at;
    size_t bytes, fat_at, fat_bytes;
} loader;

/* The FAT volume whose label is LEAT; its boot sector tells its size. */
static bool find_fat(loader *l) {
    for (size_t at = FAT_STEP; at + 512 <= l->bytes; at += FAT_STEP) {
        const uint8_t *b = l->at + at;
        bool fat = load_u16(b + 510) == 0xAA55 && load_u16(b + 11) == 512;
        if (!fat || (memcmp(b + 43, "LEAT ", 5) != 0 && memcmp(b + 71, "LEAT ", 5) != 0)) continue;
        l->fat_at = at;
        l->fat_bytes = 512 * (size_t)(load_u16(b + 19) ? load_u16(b + 19) : load_u32(b + 32));
        return l->fat_bytes && l->fat_bytes <= l->bytes - at;
    }
    return false;
}

/* The build left as many lines of comment as fit: the text replaces them, and comments fill what is left. */
static bool put_conf(const loader *l, const char *conf) {
    char line[LINE_BYTES + 1], all[IMAGE_CONF_BYTES + 1];
    for (size_t i = 0; i < IMAGE_CONF_BYTES / LINE_BYTES; i++) {
        fmt(line, sizeof line, "# leat.conf %-51zu\n", i);
        memcpy(all + i * LINE_BYTES, line, LINE_BYTES);
    }
    uint8_t *at = memmem(l->at + l->fat_at, l->fat_bytes, all, IMAGE_CONF_BYTES);
    if (!at) return false;
    size_t n = strlen(conf);
    memset(at, '#', IMAGE_CONF_BYTES);
    memcpy(at, conf, n);
    at[IMAGE_CONF_BYTES - 1] = '\n';
    return true;
}

static err_code open_loader(loader *l, const image_plan *p, err *e) {
    plat_file *file;
    *l = (loader){0};
    if (!p->loader) return ERR_NONE;
    int error = plat_file_open(&file, p->loader);
    if (error)
        return ERR(e, ERR_IO, "%s: %s; `make image` writes it, --boot names another, --raw needs none", p->loader,
                   plat_error_name(error));
    l->bytes = (size_t)MIN(plat_file_bytes(file), (uint64_t)LOADER_BYTES_MAX);
    l->at = malloc(l->bytes + 1);
    bool ok = l->at && plat_file_read(file, 0, l->at, l->bytes) == (int64_t)l->bytes;
    plat_file_close(file);
    if (!ok) return ERR(e, ERR_IO, "%s: cannot be read", p->loader);
    if (l->bytes < VOLUME_GPT_HEAD || memcmp(l->at + VOLUME_SECTOR, "EFI PART", 8) != 0 || !find_fat(l))
        return ERR(e, ERR_FORMAT, "%s: no image of loaders: it has no GPT for ours to replace, or no FAT volume LEAT",
                   p->loader);
    if (!put_conf(l, p->conf))
        return ERR(e, ERR_FORMAT, "%s: its leat.conf is not the one that `make image` left for us", p->loader);
    return ERR_NONE;
}

/* ---- the files ------------------------------------------------------------------------------------ */

/* One pass: the sum is made of the bytes that are written. */
static err_code copy(const writer *w, image_plan *p, size_t i, uint64_t at, tools_progress *progress, uint64_t *done) {
    volume_entry *x = &p->entries[i];
    char *buffer = malloc(STEP_BYTES);
    sha256 h;
    err_code code = buffer ? ERR_NONE : ERR(w->e, ERR_MEMORY, "no memory to copy with");
    sha256_start(&h);
    for (uint64_t from = 0; from < x->bytes && !code;) {
        size_t n = (size_t)MIN(x->bytes - from, (uint64_t)STEP_BYTES);
        if (p->files[i].file) {
            int64_t got = plat_file_read(p->files[i].file, from, buffer, n);
            if (got != (int64_t)n) {
                code = ERR(w->e, ERR_IO, "%s: %s", p->files[i].path,
                           got < 0 ? plat_error_name((int)got) : "it became shorter");
                break;
            }
        } else {
            memcpy(buffer, p->conf + from, n);
        }
        sha256_add(&h, buffer, n);
        code = put(w, at + from, buffer, n);
        from += n;
        *done += n;
        tools_progress_show(progress, *done, p->bytes, "%s", x->name);
        if (!code && plat_interrupted()) code = ERR(w->e, ERR_CANCELLED, "interrupted");
    }
    sha256_end(&h, x->sha256);
    free(buffer);
    return code;
}

/* A GUID of version 8: whatever the manifest and a word make of it. */
static void draw_id(uint8_t id[16], const char *manifest, size_t n, const char *what) {
    sha256 h;
    uint8_t sum[32];
    sha256_start(&h);
    sha256_add(&h, what, strlen(what));
    sha256_add(&h, manifest, n);
    sha256_end(&h, sum);
    memcpy(id, sum, 16);
    id[7] = (uint8_t)(0x80 | (id[7] & 0x0F));
    id[8] = (uint8_t)(0x80 | (id[8] & 0x3F));
}

static void name_part(volume_part *v, const uint8_t type[16], const char *name, uint64_t offset, uint64_t bytes,
                      uint32_t number) {
    *v = (volume_part){.offset = offset, .bytes = bytes, .number = number};
    memcpy(v->type, type, 16);
    fmt(v->name, sizeof v->name, "%s", name);
}

static err_code write_tables(const writer *w, const loader *l, const char *manifest, size_t n, uint64_t part_at,
                             uint64_t bytes) {
    static uint8_t head[VOLUME_GPT_HEAD], tail[VOLUME_GPT_TAIL];
    volume_part parts[2];
    size_t n_parts = 0;
    uint8_t disk_id[16];
    if (l->at) {
        name_part(&parts[0], volume_type_efi, "leat loaders", l->fat_at, l->fat_bytes, 1);
        draw_id(parts[n_parts++].id, manifest, n, "loaders");
    }
    name_part(&parts[n_parts], volume_type_leat, "leat models", part_at, bytes - MIB - part_at, (uint32_t)n_parts + 1);
    draw_id(parts[n_parts++].id, manifest, n, "models");
    draw_id(disk_id, manifest, n, "disk");
    volume_gpt_write(parts, n_parts, bytes, disk_id, head, tail);
    if (l->at) memcpy(head, l->at, 446); /* the boot code */
    err_code code = put(w, 0, head, sizeof head);
    return code ? code : put(w, bytes - sizeof tail, tail, sizeof tail);
}

static err_code write_all(const writer *w, image_plan *p, const loader *l, tools *t) {
    uint64_t part_at = align_up(MAX(l->bytes, (size_t)MIB), MIB), at = MIB, done = 0;
    char *manifest = malloc(VOLUME_MANIFEST_MAX);
    tools_progress progress;
    err_code code = manifest ? ERR_NONE : ERR(w->e, ERR_MEMORY, "no memory for a manifest");
    for (size_t i = 0; i < p->n; i++) {
        p->entries[i].offset = at;
        at += align_up(MAX(p->entries[i].bytes, 1), MIB);
    }
    uint64_t bytes = part_at + at + MIB;
    if (!code && ftruncate(w->fd, (off_t)bytes)) code = ERR(w->e, ERR_IO, "%s: %s", w->path, strerror(errno));
    if (!code) code = put(w, 0, l->at ? l->at : (const uint8_t *)"", l->bytes);
    tools_progress_start(&progress, t, "image");
    for (size_t i = 0; i < p->n && !code; i++) code = copy(w, p, i, part_at + p->entries[i].offset, &progress, &done);
    tools_progress_end(&progress);
    size_t n = code ? 0 : volume_manifest_write(p->entries, p->n, manifest, VOLUME_MANIFEST_MAX);
    if (!code && !n) code = ERR(w->e, ERR_LIMIT, "the manifest has no room for %zu files", p->n);
    if (!code) code = put(w, part_at, manifest, n);
    if (!code) code = write_tables(w, l, manifest, n, part_at, bytes);
    free(manifest);
    return code;
}

/* What keeps other writers away, and renames, is a plat_out; it goes on one's way only, so the bytes take another. */
err_code image_write(image_plan *p, const char *out, tools *t, err *e) {
    loader l;
    plat_out *lock = NULL;
    err_code code = open_loader(&l, p, e);
    writer w = {-1, out, e};
    int error = code ? PLAT_OK : plat_out_create(&lock, out, false);
    if (error) code = ERR(e, ERR_IO, "%s: %s", out, plat_error_name(error));
    if (!code) w.fd = open(p->aside, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (!code && w.fd < 0) code = ERR(e, ERR_IO, "%s: %s", out, strerror(errno));
    if (!code) code = write_all(&w, p, &l, t);
    if (!code && fsync(w.fd)) code = ERR(e, ERR_IO, "%s: %s", out, strerror(errno));
    if (w.fd >= 0 && close(w.fd) && !code) code = ERR(e, ERR_IO, "%s: %s", out, strerror(errno));
    error = lock ? plat_out_settle(lock, code ? PLAT_INTERRUPTED : PLAT_OK) : PLAT_OK;
    if (error && !code) code = ERR(e, ERR_IO, "%s: %s", out, plat_error_name(error));
    free(l.at);
    return code;
}
