/* fuzz_volume.c: any disk: partitions, ext4, manifests. What opens must keep the promises of volume.h: every extent
 * lies in the volume and they come in order; what does not open says why; nothing stays behind. The input is a packed
 * image.
 */
#include "fuzz/fuzz.h"
#include "volume_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct listed {
    char name[512];
    size_t n;
} listed;

static void remember(void *ctx, str name, uint64_t bytes, bool folder) {
    listed *l = ctx;
    (void)bytes, (void)folder;
    require(name.len > 0 && name.len < 256, "a name has 1 to 255 bytes");
    if (l->n++ == 0 || name.ptr[0] == 'm') fmt(l->name, sizeof l->name, "%.*s", (int)name.len, name.ptr);
}

static void use_file(const volume_source *s, volume_file *f) {
    uint64_t next = 0;
    for (size_t i = 0; i < f->n; i++) {
        const volume_extent *x = &f->extents[i];
        require(x->bytes > 0 || s->bytes == 0 || f->n == 1, "an extent has bytes");
        require(x->from >= next, "extents come in order");
        require(x->bytes <= s->bytes && x->at <= s->bytes - x->bytes, "an extent is in the volume");
        next = x->from + x->bytes;
    }
    volume_file_free(f);
}

static void use_volume(const volume_source *s) {
    volume *v;
    err e = {0};
    volume_file f;
    err_code code = volume_open(&v, s, &e);
    require((code == ERR_NONE) == (v != NULL), "a handle or an error");
    if (code) {
        require(e.text[0] != 0, "an error says why");
        return;
    }
    listed l = {.n = 0};
    if (volume_list(v, STR(""), remember, &l, &e) == ERR_NONE && l.n) {
        if (volume_find(v, str_of(l.name), &f, &e) == ERR_NONE) use_file(s, &f);
        char below[600];
        listed inner = {.n = 0};
        if (volume_list(v, str_of(l.name), remember, &inner, &e) == ERR_NONE && inner.n) {
            fmt(below, sizeof below, "%.250s/%.250s", l.name, inner.name);
            if (volume_find(v, str_of(below), &f, &e) == ERR_NONE) use_file(s, &f);
        }
    }
    if (volume_find(v, STR(""), &f, &e) == ERR_NONE) use_file(s, &f);
    volume_close(v);
}

typedef struct window {
    volume_image *image;
    uint64_t offset;
} window;

static int read_window(void *ctx, uint64_t offset, void *to, size_t bytes) {
    window *w = ctx;
    return volume_image_read(w->image, w->offset + offset, to, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static volume_part parts[VOLUME_PARTS_MAX];
    volume_image image = volume_image_unpack(data, size);
    volume_source disk = volume_image_source(&image);
    err e = {0};
    size_t n;
    bool backup;
    err_code code = volume_parts(&disk, parts, &n, &backup, &e);
    require(!code || (e.text[0] && !n), "an error says why");
    for (size_t i = 0; i < n && i < 4; i++) {
        require(parts[i].bytes <= disk.bytes && parts[i].offset <= disk.bytes - parts[i].bytes,
                "a partition is on the disk");
        window w = {&image, parts[i].offset};
        volume_source part = {read_window, &w, parts[i].bytes, 512};
        use_volume(&part);
    }
    if (!n) use_volume(&disk);
    free(image.at);
    require(mem_bytes(MEM_ENGINE) == 0, "nothing stays behind");
    return 0;
}
