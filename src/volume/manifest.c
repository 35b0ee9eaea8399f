/* manifest.c: the text at the head of a leat partition: which files it has, where, and their SHA-256. Its own
 * SHA-256 is its last line, so that damage is told from a file system of somebody else. Next: ext4.c.
 */
#include "volume/volume_int.h"

enum { HEAD_BYTES = sizeof MANIFEST_MAGIC - 1 + sizeof "00000000 bytes", SUM_LINE_BYTES = 7 + 64 + 1 };

bool volume_name_ok(str name) {
    if (!name.len || name.len > VOLUME_NAME_MAX || str_is(name, ".") || str_is(name, "..")) return false;
    for (size_t i = 0, n; i < name.len; i += n) {
        uint32_t c = utf8_decode(name.ptr + i, name.len - i, &n);
        if (c == UTF8_INVALID || c < ' ' || c == '/' || (c >= 0x7F && c < 0xA0)) return false;
    }
    return name.ptr[0] != ' ' && name.ptr[name.len - 1] != ' ';
}

static size_t write_hex(char *to, const uint8_t bytes[32]) {
    for (size_t i = 0; i < 32; i++) fmt(to + 2 * i, 3, "%02x", bytes[i]);
    return 64;
}

static bool read_hex(str s, uint8_t bytes[32]) {
    if (s.len != 64) return false;
    memset(bytes, 0, 32);
    for (size_t i = 0; i < 64; i++) {
        char c = s.ptr[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return false;
        bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | digit);
    }
    return true;
}

static void sum(const void *text, size_t n, uint8_t out[32]) {
    sha256 h;
    sha256_start(&h);
    sha256_add(&h, text, n);
    sha256_end(&h, out);
}

size_t volume_manifest_write(const volume_entry *entries, size_t n, char *buf, size_t cap) {
    size_t at = HEAD_BYTES;
    char hex[65];
    uint8_t all[32];
    if (cap > VOLUME_MANIFEST_MAX) cap = VOLUME_MANIFEST_MAX;
    for (size_t i = 0; i < n; i++) {
        if (cap < at + 128 + VOLUME_NAME_MAX) return 0;
        write_hex(hex, entries[i].sha256);
        at += fmt(buf + at, cap - at, "file %llu %llu %s %s\n", (unsigned long long)entries[i].offset,
                  (unsigned long long)entries[i].bytes, hex, entries[i].name);
    }
    if (cap < at + SUM_LINE_BYTES + 1) return 0;
    char head[HEAD_BYTES + 1];
    fmt(head, sizeof head, MANIFEST_MAGIC "%08zu bytes\n", at + SUM_LINE_BYTES);
    memcpy(buf, head, HEAD_BYTES);
    sum(buf, at, all);
    write_hex(hex, all);
    return at + fmt(buf + at, cap - at, "sha256 %s\n", hex);
}

/* The next word of a line, up to a blank. */
static str word(str *line) {
    size_t n = str_find(*line, STR(" "));
    str w = str_cut(*line, 0, MIN(n, line->len));
    *line = str_cut(*line, MIN(n, line->len) + (n < line->len), line->len);
    return w;
}

static err_code read_line(str line, const volume_source *s, volume_entry *entries, size_t *n, err *e) {
    str rest = line;
    volume_entry *x = &entries[*n];
    uint64_t from = *n ? x[-1].offset + x[-1].bytes : 1;
    bool ok = *n < VOLUME_FILES_MAX && str_is(word(&rest), "file") && parse_u64(word(&rest), &x->offset) &&
              parse_u64(word(&rest), &x->bytes) && read_hex(word(&rest), x->sha256) && volume_name_ok(rest);
    if (!ok)
        return ERR(e, ERR_FORMAT, "line %zu of the manifest is '%.*s', wanted 'file OFFSET BYTES SHA256 NAME'", *n + 2,
                   (int)MIN(line.len, (size_t)60), line.ptr);
    if (x->offset < from || x->offset % 4096 || x->bytes > s->bytes || x->offset > s->bytes - x->bytes)
        return ERR(e, ERR_FORMAT,
                   "%.*s has %llu bytes at %llu, wanted behind %llu, at a multiple of 4096, in a partition of %llu",
                   (int)MIN(rest.len, (size_t)60), rest.ptr, (unsigned long long)x->bytes,
                   (unsigned long long)x->offset, (unsigned long long)from, (unsigned long long)s->bytes);
    memcpy(x->name, rest.ptr, rest.len);
    for (size_t i = 0; i < *n; i++)
        if (cstr_eq(entries[i].name, x->name)) return ERR(e, ERR_FORMAT, "the manifest has %.60s twice", x->name);
    ++*n;
    return ERR_NONE;
}

static err_code read_text(const volume_source *s, str text, volume_entry *entries, size_t *n, err *e) {
    uint8_t is[32], wanted[32];
    size_t at = text.len - SUM_LINE_BYTES;
    str last = str_cut(text, at, SUM_LINE_BYTES);
    sum(text.ptr, at, is);
    if (!str_starts(last, STR("sha256 ")) || last.ptr[SUM_LINE_BYTES - 1] != '\n' ||
        !read_hex(str_cut(last, 7, 64), wanted))
        return ERR(e, ERR_FORMAT, "the manifest has no SHA-256 of its own at byte %zu", at);
    if (memcmp(is, wanted, 32) != 0) return ERR(e, ERR_FORMAT, "the manifest is damaged: its SHA-256 is another one");
    for (size_t from = HEAD_BYTES; from < at;) {
        str line = str_cut(text, from, at - from);
        size_t end = str_find(line, STR("\n"));
        if (end == SIZE_MAX) return ERR(e, ERR_FORMAT, "the manifest's last line has no end");
        err_code code = read_line(str_cut(line, 0, end), s, entries, n, e);
        if (code) return code;
        from += end + 1;
    }
    return ERR_NONE;
}

err_code volume_manifest_read(const volume_source *s, volume_entry **entries, size_t *n, err *e) {
    char head[HEAD_BYTES];
    uint64_t bytes = 0;
    *entries = NULL;
    *n = 0;
    err_code code = volume_read(s, 0, head, sizeof head, "the manifest", e);
    if (code) return code;
    str line = {head, sizeof head};
    if (!str_starts(line, STR(MANIFEST_MAGIC)) || !str_ends(line, STR(" bytes\n")) ||
        !parse_u64(str_cut(line, sizeof MANIFEST_MAGIC - 1, 8), &bytes) || bytes < HEAD_BYTES + SUM_LINE_BYTES ||
        bytes > VOLUME_MANIFEST_MAX)
        return ERR(e, ERR_FORMAT, "the manifest's first line is damaged, wanted '" MANIFEST_MAGIC "00000000 bytes'");
    size_t lines_max = (size_t)bytes / (9 + 64 + 1) + 1; /* no line is shorter */
    char *text = mem_block(MEM_ENGINE, (size_t)bytes);
    *entries = mem_block(MEM_ENGINE, MIN(lines_max, (size_t)VOLUME_FILES_MAX + 1) * sizeof **entries);
    if (!text || !*entries)
        code = ERR(e, ERR_MEMORY, "no memory for a manifest of %llu bytes", (unsigned long long)bytes);
    if (!code) code = volume_read(s, 0, text, (size_t)bytes, "the manifest", e);
    if (!code) code = read_text(s, (str){text, (size_t)bytes}, *entries, n, e);
    mem_block_free(text);
    if (!code) return ERR_NONE;
    mem_block_free(*entries);
    *entries = NULL;
    *n = 0;
    return code;
}
