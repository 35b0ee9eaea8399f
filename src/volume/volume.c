/* volume.c: which kind of volume it is, and raw ones. Next: gpt.c, manifest.c, ext4.c. */
#include "volume/volume_int.h"

err_code volume_read(const volume_source *s, uint64_t offset, void *to, size_t bytes, const char *what, err *e) {
    if (bytes > s->bytes || offset > s->bytes - bytes)
        return ERR(e, ERR_FORMAT, "%s is at %llu, wanted inside %llu bytes", what, (unsigned long long)offset,
                   (unsigned long long)s->bytes);
    int error = s->read(s->ctx, offset, to, bytes);
    if (!error) return ERR_NONE;
    return ERR(e, ERR_IO, "%s at %llu: %s", what, (unsigned long long)offset, plat_error_name(error));
}

uint32_t volume_crc(uint32_t polynomial, uint32_t crc, const void *bytes, size_t n) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
    }
    return crc;
}

err_code volume_open(volume **out, const volume_source *s, err *e) {
    *out = NULL;
    uint8_t head[sizeof MANIFEST_MAGIC - 1] = {0}, superblock[1024] = {0};
    err_code code = s->bytes < sizeof head ? ERR_NONE : volume_read(s, 0, head, sizeof head, "the first block", e);
    if (!code && s->bytes >= 2048) code = volume_read(s, 1024, superblock, sizeof superblock, "the superblock", e);
    if (code) return code;
    volume *v = mem_block(MEM_ENGINE, sizeof *v);
    if (!v) return ERR(e, ERR_MEMORY, "no memory for a volume");
    v->source = *s;
    if (memcmp(head, MANIFEST_MAGIC, sizeof head) == 0) code = volume_manifest_read(s, &v->entries, &v->n_entries, e);
    else if (volume_ext4_is(superblock)) code = volume_ext4_open(&v->fs, &v->source, e);
    if (code) volume_close(v);
    else *out = v;
    return code;
}

void volume_close(volume *v) {
    if (!v) return;
    volume_ext4_close(v->fs);
    mem_block_free(v->entries);
    mem_block_free(v);
}

const char *volume_kind(const volume *v) { return v->fs ? "ext4" : v->entries ? "leat" : "raw"; }

void volume_file_free(volume_file *f) {
    mem_block_free(f->extents);
    *f = (volume_file){0};
}

static err_code one_extent(volume_file *out, uint64_t at, uint64_t bytes, uint64_t id, err *e) {
    *out = (volume_file){.bytes = bytes, .id = id, .extents = mem_block(MEM_ENGINE, sizeof *out->extents), .n = 1};
    if (!out->extents) return ERR(e, ERR_MEMORY, "no memory for a file");
    out->extents[0] = (volume_extent){0, at, bytes};
    return ERR_NONE;
}

err_code volume_find(volume *v, str path, volume_file *out, err *e) {
    *out = (volume_file){0};
    if (v->fs) return volume_ext4_find(v->fs, path, out, e);
    if (!v->entries && !path.len) return one_extent(out, 0, v->source.bytes, 0, e);
    for (size_t i = 0; i < v->n_entries; i++) {
        if (!str_is(path, v->entries[i].name)) continue;
        err_code code = one_extent(out, v->entries[i].offset, v->entries[i].bytes, i, e);
        out->sha256 = v->entries[i].sha256;
        return code;
    }
    return ERR(e, ERR_ARGUMENT, "no file '%.*s' on this %s volume", (int)MIN(path.len, (size_t)100), path.ptr,
               volume_kind(v));
}

err_code volume_list(volume *v, str path, volume_each *each, void *ctx, err *e) {
    if (v->fs) return volume_ext4_list(v->fs, path, each, ctx, e);
    if (path.len) return ERR(e, ERR_ARGUMENT, "no folder '%.*s'", (int)MIN(path.len, (size_t)100), path.ptr);
    for (size_t i = 0; i < v->n_entries; i++) each(ctx, str_of(v->entries[i].name), v->entries[i].bytes, false);
    return ERR_NONE;
}
