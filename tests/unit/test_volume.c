/* test_volume.c: partitions, ext4 and manifests: whole ones give what was written, damaged ones are refused. */
#include "check.h"
#include "volume_image.h"

#include <string.h>

static volume_image load(const char *name) {
    char path[128];
    size_t n;
    snprintf(path, sizeof path, "tests/data/volume/%s", name);
    unsigned char *packed = test_slurp(path, &n);
    volume_image image = volume_image_unpack(packed, n);
    free(packed);
    CHECK(image.bytes > 0);
    return image;
}

/* The file's bytes, as a reader of its extents puts them together; free it. */
static char *content(const volume_image *image, const volume_file *f) {
    char *out = calloc(1, f->bytes + 1);
    for (size_t i = 0; i < f->n; i++) {
        const volume_extent *x = &f->extents[i];
        if (x->from < f->bytes) memcpy(out + x->from, image->at + x->at, MIN(x->bytes, f->bytes - x->from));
    }
    return out;
}

typedef struct names {
    char text[1024];
    size_t n;
} names;
static void collect(void *ctx, str name, uint64_t bytes, bool folder) {
    names *l = ctx;
    l->n += fmt(l->text + l->n, sizeof l->text - l->n, "%.*s%s %llu\n", (int)name.len, name.ptr, folder ? "/" : "",
                folder ? 0ull : (unsigned long long)bytes);
}

/* All that can be seen of the volume, as a text; empty when it does not open, cut off where something is refused. */
static void look(volume_image *image, names *seen) {
    volume_source s = volume_image_source(image);
    volume *v;
    err e;
    *seen = (names){.n = 0};
    if (volume_open(&v, &s, &e)) return;
    static const char *const paths[] = {"small.txt", "models/m.gguf", "/models//m.gguf", "holes"};
    if (!volume_list(v, STR(""), collect, seen, &e) && !volume_list(v, STR("models"), collect, seen, &e))
        for (size_t i = 0; i < COUNT_OF(paths); i++) {
            volume_file f;
            if (volume_find(v, str_of(paths[i]), &f, &e)) break;
            char *bytes = content(image, &f);
            seen->n += fmt(seen->text + seen->n, sizeof seen->text - seen->n, "%s %llu %016llx\n", paths[i],
                           (unsigned long long)f.bytes, (unsigned long long)hash_bytes(bytes, f.bytes, 1));
            free(bytes);
            volume_file_free(&f);
        }
    volume_close(v);
}

static void check_ext4(const char *name) {
    volume_image image = load(name);
    volume_source s = volume_image_source(&image);
    volume *v;
    volume_file f;
    err e = {0};
    CHECK_MSG(volume_open(&v, &s, &e) == ERR_NONE, "%s: %s", name, e.text);
    CHECK_STR(volume_kind(v), "ext4");
    CHECK_MSG(volume_find(v, STR("small.txt"), &f, &e) == ERR_NONE, "%s: %s", name, e.text);
    char *bytes = content(&image, &f);
    CHECK_STR(bytes, "hello\n");
    free(bytes);
    volume_file_free(&f);
    CHECK_EQ(volume_find(v, STR("models/m.gguf"), &f, &e), ERR_NONE);
    bytes = content(&image, &f);
    CHECK(f.bytes == 3000 && strspn(bytes, "x") == 3000);
    free(bytes);
    volume_file_free(&f);
    CHECK_EQ(volume_find(v, STR("holes"), &f, &e), ERR_NONE);
    bytes = content(&image, &f);
    CHECK(f.bytes == 200000 && f.n == 1 && memcmp(bytes + 150000, "end", 4) == 0);
    free(bytes);
    volume_file_free(&f);
    CHECK_EQ(volume_find(v, STR("nothing"), &f, &e), ERR_ARGUMENT);
    CHECK_STR(e.text, "no file 'nothing' on this ext4 volume");
    CHECK_EQ(volume_find(v, STR("models"), &f, &e), ERR_ARGUMENT);
    CHECK_EQ(volume_find(v, STR("small.txt/x"), &f, &e), ERR_ARGUMENT);
    volume_close(v);
    free(image.at);
    CHECK_EQ(mem_bytes(MEM_ENGINE), 0);
}

TEST(volume_reads_ext4) {
    check_ext4("ext4-1k");
    check_ext4("ext4-4k");
}

/* With checksums no changed byte passes: all is seen as before, or less. */
TEST(volume_ext4_damage_is_noticed) {
    volume_image image = load("ext4-1k");
    names whole, seen;
    look(&image, &whole);
    CHECK(strstr(whole.text, "models/ 0\n") && strstr(whole.text, "small.txt 6\n") &&
          strstr(whole.text, "holes 200000"));
    size_t noticed = 0;
    size_t listing = (size_t)(strstr(whole.text, "small.txt 6 ") - whole.text);
    for (size_t i = 1024; i < 64 * 1024; i += i < 4096 ? 3 : 7) {
        if (!image.at[i]) continue;
        image.at[i] ^= 0x10;
        look(&image, &seen);
        image.at[i] ^= 0x10;
        if (strcmp(seen.text, whole.text) == 0) continue;
        noticed++;
        /* Files have no checksums of their own: their content may differ, nothing else. */
        bool same_files = seen.n == whole.n && memcmp(seen.text, whole.text, listing) == 0;
        CHECK_MSG(same_files || seen.n < whole.n, "byte %zu: \n%s\n%s", i, seen.text, whole.text);
    }
    CHECK_MSG(noticed > 100, "%zu", noticed);
    free(image.at);
}

TEST(volume_ext4_refuses) {
    volume_image image = load("ext4-4k");
    volume_source s = volume_image_source(&image);
    volume *v;
    err e;
    store_u32(image.at + 1024 + 0x60, load_u32(image.at + 1024 + 0x60) | 4);
    CHECK_EQ(volume_open(&v, &s, &e), ERR_UNSUPPORTED);
    CHECK(strstr(e.text, "was not unmounted") && !v);
    store_u32(image.at + 1024 + 0x60, 0x10242);
    CHECK_EQ(volume_open(&v, &s, &e), ERR_UNSUPPORTED);
    store_u32(image.at + 1024 + 0x60, 0x242);
    CHECK_EQ(volume_open(&v, &s, &e), ERR_NONE);
    volume_close(v);
    store_u32(image.at + 1024 + 4, 513); /* blocks of 4 KiB on 2 MiB */
    CHECK_EQ(volume_open(&v, &s, &e), ERR_FORMAT);
    store_u32(image.at + 1024 + 4, 512);
    store_u32(image.at + 1024 + 0x18, 31);
    CHECK_EQ(volume_open(&v, &s, &e), ERR_UNSUPPORTED);
    free(image.at);
}

TEST(volume_reads_gpt) {
    volume_image image = load("gpt");
    volume_source s = volume_image_source(&image);
    static volume_part p[VOLUME_PARTS_MAX];
    size_t n;
    bool backup;
    err e;
    for (int damaged = 0; damaged < 2; damaged++) {
        CHECK_EQ(volume_parts(&s, p, &n, &backup, &e), ERR_NONE);
        CHECK_EQ(n, 2);
        CHECK_EQ(backup, damaged);
        CHECK(p[0].offset == 64 * 512 && p[0].bytes == 960 * 512 && p[0].number == 1);
        CHECK(p[1].offset == 1024 * 512 && p[1].bytes == 1024 * 512);
        CHECK_STR(p[1].name, "second");
        image.at[2 * 512 + 40]++; /* the last block of the first partition: the checksum of the entries is wrong */
    }
    image.at[image.bytes - 512 + 16]++;
    CHECK_EQ(volume_parts(&s, p, &n, &backup, &e), ERR_FORMAT);
    CHECK(strstr(e.text, "checksum") && n == 0);
    memset(image.at + 512, 0, 8);
    memset(image.at + image.bytes - 512, 0, 8);
    CHECK_EQ(volume_parts(&s, p, &n, &backup, &e), ERR_NONE); /* there is none at all */
    CHECK_EQ(n, 0);
    free(image.at);
}

static void write_table(volume_image *image, volume_part *parts, size_t n) {
    static const uint8_t id[16] = {1, 2, 3};
    volume_gpt_write(parts, n, image->bytes, id, image->at, image->at + image->bytes - VOLUME_GPT_TAIL);
}

TEST(volume_writes_gpt) {
    volume_image image = {.bytes = 1 << 20};
    image.at = calloc(1, image.bytes);
    volume_source s = volume_image_source(&image);
    static volume_part got[VOLUME_PARTS_MAX];
    volume_part parts[2] = {{.offset = 64 * 512, .bytes = 512 * 512, .number = 1, .name = "one"},
                            {.offset = 1024 * 512, .bytes = 64 * 512, .number = 2, .name = "two"}};
    memcpy(parts[0].type, volume_type_efi, 16);
    memcpy(parts[1].type, volume_type_leat, 16);
    size_t n;
    bool backup;
    err e;
    write_table(&image, parts, 2);
    CHECK_EQ(volume_parts(&s, got, &n, &backup, &e), ERR_NONE);
    CHECK(n == 2 && !backup && memcmp(got, parts, sizeof parts) == 0);
    parts[1].offset = 500 * 512;
    write_table(&image, parts, 2);
    CHECK_EQ(volume_parts(&s, got, &n, &backup, &e), ERR_FORMAT);
    CHECK_STR(e.text, "partitions 1 and 2 overlap");
    parts[1].offset = 1990 * 512;
    write_table(&image, parts, 2);
    CHECK_EQ(volume_parts(&s, got, &n, &backup, &e), ERR_FORMAT);
    CHECK(strstr(e.text, "partition 2 has blocks 1990 to 2053"));
    free(image.at);
}

static void put_manifest(volume_image *image, const volume_entry *entries, size_t n) {
    memset(image->at, 0, 4096);
    CHECK(volume_manifest_write(entries, n, (char *)image->at, 4096) > 0);
}

TEST(volume_manifests) {
    volume_image image = {.bytes = 1 << 20};
    image.at = calloc(1, image.bytes);
    volume_source s = volume_image_source(&image);
    volume_entry entries[2] = {{.offset = 4096, .bytes = 5000, .sha256 = {0xAB, 1}, .name = "leat.conf"},
                               {.offset = 12288, .bytes = 6, .name = "a model.gguf"}};
    volume *v;
    volume_file f;
    err e;
    put_manifest(&image, entries, 2);
    CHECK_EQ(volume_open(&v, &s, &e), ERR_NONE);
    CHECK_STR(volume_kind(v), "leat");
    CHECK_EQ(volume_find(v, STR("leat.conf"), &f, &e), ERR_NONE);
    CHECK(f.bytes == 5000 && f.n == 1 && f.extents[0].at == 4096 && f.sha256[0] == 0xAB);
    volume_file_free(&f);
    CHECK_EQ(volume_find(v, STR("a model.gguf"), &f, &e), ERR_NONE);
    volume_file_free(&f);
    CHECK_EQ(volume_find(v, STR("other"), &f, &e), ERR_ARGUMENT);
    volume_close(v);
    for (size_t i = 16; i < 300 && image.at[i]; i++) { /* no byte may change */
        image.at[i] ^= 1;
        CHECK_EQ(volume_open(&v, &s, &e), ERR_FORMAT);
        CHECK(strstr(e.text, "manifest"));
        image.at[i] ^= 1;
    }
    entries[1].offset = 8192; /* inside the first file */
    put_manifest(&image, entries, 2);
    CHECK_EQ(volume_open(&v, &s, &e), ERR_FORMAT);
    CHECK(strstr(e.text, "a model.gguf has 6 bytes at 8192"));
    entries[1] = (volume_entry){.offset = 12288, .bytes = 1 << 20, .name = "big"};
    put_manifest(&image, entries, 2);
    CHECK_EQ(volume_open(&v, &s, &e), ERR_FORMAT);
    entries[1] = (volume_entry){.offset = 12288, .bytes = 1, .name = "leat.conf"};
    put_manifest(&image, entries, 2);
    CHECK_EQ(volume_open(&v, &s, &e), ERR_FORMAT);
    CHECK_STR(e.text, "the manifest has leat.conf twice");
    CHECK(!volume_name_ok(STR("a/b")) && !volume_name_ok(STR("..")) && !volume_name_ok(STR("a\nb")) &&
          volume_name_ok(STR("\xC3\xA9")));
    free(image.at);
}

TEST(volume_raw) {
    volume_image image = {.bytes = 8192};
    image.at = calloc(1, image.bytes);
    volume_source s = volume_image_source(&image);
    volume *v;
    volume_file f;
    err e;
    CHECK_EQ(volume_open(&v, &s, &e), ERR_NONE);
    CHECK_STR(volume_kind(v), "raw");
    CHECK_EQ(volume_find(v, STR(""), &f, &e), ERR_NONE);
    CHECK(f.bytes == 8192 && f.n == 1 && f.extents[0].bytes == 8192);
    volume_file_free(&f);
    volume_close(v);
    free(image.at);
}

TEST(sha256_of_known_texts) {
    static const struct {
        const char *text, *hex;
    } known[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++)
        for (size_t piece = 1; piece < 70; piece += 23) {
            sha256 h;
            uint8_t out[32];
            char hex[65];
            size_t n = strlen(known[i].text);
            sha256_start(&h);
            for (size_t at = 0; at < n; at += piece) sha256_add(&h, known[i].text + at, MIN(piece, n - at));
            sha256_end(&h, out);
            for (int b = 0; b < 32; b++) snprintf(hex + 2 * b, 3, "%02x", out[b]);
            CHECK_STR(hex, known[i].hex);
        }
}
