/* kv_file.c: a sequence as a file, so that what was computed once need not be computed again. Numbers are
 * little-endian; a file is hostile: sizes are checked against each other and the file before anything is read by them,
 * and the sequence counts as loaded only when the checksum is right. Of a sliding window the pages are saved that may
 * still be seen.
 *
 *   0   8   "leat kv\n"         40  8  tokens                     96 ..  the note
 *   8   4   version, 1          48  8  bytes of the note          ..     tokens, 4 bytes each
 *  12   4   bytes of a page     56  24 layers, KV heads, dimen-   ..     roles, a byte each
 *  16   8   the model's hash           sions and types of K and V ..     pages
 *  24  16   instruction set     80  4  number of the first page   ..  8  hash of all before it
 *                               88  8  hash of 0..88 and the note
 */
#include "kv/kv.h"
#include "plat/plat.h"

#define VERSION 1
#define HEAD_BYTES 96

static const char magic[8] = {'l', 'e', 'a', 't', ' ', 'k', 'v', '\n'};

typedef struct head {
    size_t n_tokens, note_bytes, first, n_pages; /* pages [first, n_pages) are there */
    uint8_t raw[HEAD_BYTES];
} head;

/* ---- writing ------------------------------------------------------------------------------------------- */

typedef struct writer {
    plat_out *out;
    uint64_t hash;
    int status;
} writer;

static void write_part(writer *w, const void *bytes, size_t n) {
    if (w->status || !n) return;
    w->hash = hash_bytes(bytes, n, w->hash);
    w->status = plat_out_write(w->out, bytes, n);
}

static void make_head(uint8_t raw[HEAD_BYTES], const kv_shape *shape, const kv_identity *who, size_t n_tokens,
                      size_t first, str note) {
    memcpy(raw, magic, sizeof magic);
    store_u32(raw + 8, VERSION);
    store_u32(raw + 12, (uint32_t)kv_page_bytes(shape));
    store_u64(raw + 16, who->model);
    memcpy(raw + 24, who->isa, sizeof who->isa);
    store_u64(raw + 40, n_tokens);
    store_u64(raw + 48, note.len);
    const uint32_t of_shape[8] = {(uint32_t)shape->n_layer, (uint32_t)shape->n_head_kv, (uint32_t)shape->dim_k,
                                  (uint32_t)shape->dim_v,   (uint32_t)shape->type_k,    (uint32_t)shape->type_v,
                                  (uint32_t)first};
    memcpy(raw + 56, of_shape, sizeof of_shape);
    store_u64(raw + 88, hash_bytes(note.ptr, note.len, hash_bytes(raw, 88, 0)));
}

err_code kv_save(const kv_seq *s, const char *path, const kv_identity *who, const int32_t *tokens, const uint8_t *roles,
                 str note, err *e) {
    uint8_t raw[HEAD_BYTES];
    const kv_shape *shape = kv_seq_shape(s);
    size_t n = kv_seq_length(s), first = kv_seq_first(s), page_bytes = kv_page_bytes(shape);
    if (note.len > KV_NOTE_BYTES_MAX)
        return ERR(e, ERR_LIMIT, "a note of %zu bytes, at most %zu may be saved", note.len, KV_NOTE_BYTES_MAX);
    if (page_bytes > UINT32_MAX) return ERR(e, ERR_LIMIT, "a page of %zu bytes is too large to be saved", page_bytes);
    make_head(raw, shape, who, n, first, note);
    writer w = {0};
    w.status = plat_out_create(&w.out, path, false);
    if (w.status == PLAT_AGAIN) return ERR(e, ERR_IO, "%.150s: another program is writing it just now", path);
    if (w.status) return ERR(e, ERR_IO, "%.150s: %s", path, plat_error_name(w.status));
    write_part(&w, raw, sizeof raw);
    write_part(&w, note.ptr, note.len);
    write_part(&w, tokens, n * sizeof *tokens);
    write_part(&w, roles, n);
    for (size_t i = first; i < div_up(n, KV_PAGE); i++) write_part(&w, kv_seq_pages(s)[i], page_bytes);
    uint64_t hash = w.hash;
    write_part(&w, &hash, sizeof hash);
    w.status = plat_out_settle(w.out, w.status);
    return !w.status ? ERR_NONE : ERR(e, ERR_IO, "%.150s: %s", path, plat_error_name(w.status));
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct reader {
    plat_file *file;
    const char *path;
    uint64_t at, hash;
} reader;

static err_code read_part(reader *r, void *to, size_t n, err *e) {
    for (size_t done = 0; done < n;) {
        int64_t got = plat_file_read(r->file, r->at + done, (char *)to + done, n - done);
        if (got < 0) return ERR(e, ERR_IO, "%.150s: %s", r->path, plat_error_name((int)got));
        if (got == 0) return ERR(e, ERR_FORMAT, "%.150s ends at byte %zu", r->path, (size_t)r->at + done);
        done += (size_t)got;
    }
    r->at += n;
    if (n) r->hash = hash_bytes(to, n, r->hash);
    return ERR_NONE;
}

/* All sizes, in a file whose head and note are whole. */
static err_code read_head(reader *r, head *h, err *e) {
    err_code code = read_part(r, h->raw, HEAD_BYTES, e);
    if (code) return code;
    if (memcmp(h->raw, magic, sizeof magic)) return ERR(e, ERR_FORMAT, "%.150s is no saved conversation", r->path);
    uint32_t version = load_u32(h->raw + 8);
    if (version != VERSION)
        return ERR(e, ERR_UNSUPPORTED, "%.150s has version %u, wanted %u", r->path, version, VERSION);
    uint64_t tokens = load_u64(h->raw + 40), note = load_u64(h->raw + 48), page = load_u32(h->raw + 12);
    uint64_t bytes = plat_file_bytes(r->file), first = load_u32(h->raw + 80), n_pages = div_up((size_t)tokens, KV_PAGE);
    if (note > KV_NOTE_BYTES_MAX || tokens > ((uint64_t)1 << 32) || first > n_pages ||
        bytes != HEAD_BYTES + note + tokens * 5 + (n_pages - first) * page + 8)
        return ERR(e, ERR_FORMAT, "%.150s: %llu bytes do not suit %llu tokens and a note of %llu bytes", r->path,
                   (unsigned long long)bytes, (unsigned long long)tokens, (unsigned long long)note);
    h->n_tokens = (size_t)tokens;
    h->note_bytes = (size_t)note;
    h->first = (size_t)first;
    h->n_pages = (size_t)n_pages;
    return ERR_NONE;
}

/* Steps over the note, or takes the first cap bytes of it; its hash must be right in both cases. */
static err_code read_note(reader *r, const head *h, char *buf, size_t cap, err *e) {
    uint64_t hash = hash_bytes(h->raw, 88, 0);
    char *note = mem_block(MEM_KV, MAX(h->note_bytes, 1));
    if (!note) return ERR(e, ERR_MEMORY, "no memory for a note of %zu bytes", h->note_bytes);
    err_code code = read_part(r, note, h->note_bytes, e);
    if (!code && hash_bytes(note, h->note_bytes, hash) != load_u64(h->raw + 88))
        code = ERR(e, ERR_FORMAT, "%.150s is damaged: the checksum of its head is wrong", r->path);
    if (!code && buf) memcpy(buf, note, MIN(cap, h->note_bytes));
    mem_block_free(note);
    return code;
}

static err_code open_file(reader *r, const char *path, err *e) {
    *r = (reader){.path = path};
    int status = plat_file_open(&r->file, path);
    return status ? ERR(e, ERR_IO, "%.150s: %s", path, plat_error_name(status)) : ERR_NONE;
}

err_code kv_load_note(const char *path, char *buf, size_t cap, size_t *bytes, err *e) {
    reader r;
    head h;
    err_code code = open_file(&r, path, e);
    if (code) return code;
    code = read_head(&r, &h, e);
    if (!code) code = read_note(&r, &h, buf, cap, e);
    if (!code) *bytes = h.note_bytes;
    plat_file_close(r.file);
    return code;
}

static err_code check_identity(const reader *r, const head *h, const kv_seq *s, const kv_identity *who, size_t cap,
                               err *e) {
    const kv_shape *shape = kv_seq_shape(s);
    uint8_t own[HEAD_BYTES];
    make_head(own, shape, who, h->n_tokens, h->first, (str){0});
    if (memcmp(own + 16, h->raw + 16, 8) || memcmp(own + 56, h->raw + 56, 32) || memcmp(own + 12, h->raw + 12, 4) ||
        h->first > kv_first_seen(shape, h->n_tokens))
        return ERR(e, ERR_UNSUPPORTED, "%.150s was saved with another model or type of keys and values", r->path);
    if (memcmp(own + 24, h->raw + 24, sizeof who->isa))
        return ERR(e, ERR_UNSUPPORTED, "%.150s was saved with other kernels than %.16s", r->path, who->isa);
    if (h->n_tokens > cap)
        return ERR(e, ERR_LIMIT, "%.150s has %zu tokens, the context holds %zu", r->path, h->n_tokens, cap);
    return ERR_NONE;
}

static err_code read_sequence(reader *r, const head *h, kv_seq *s, const kv_identity *who, int32_t *tokens,
                              uint8_t *roles, err *e) {
    /* Pages that nobody will see, as earlier versions saved them: each is read where the first one comes to be. */
    size_t seen = kv_first_seen(kv_seq_shape(s), h->n_tokens - MIN(h->n_tokens, KV_BACK)), first = MAX(h->first, seen);
    size_t n = h->n_tokens - first * KV_PAGE;
    kv_seq_skip(s, first);
    err_code code = kv_seq_reserve(s, n, e);
    if (!code) code = read_part(r, tokens, h->n_tokens * sizeof *tokens, e);
    if (!code) code = read_part(r, roles, h->n_tokens, e);
    for (size_t i = 0; i < h->n_tokens && !code; i++)
        if (tokens[i] < 0 || tokens[i] >= who->n_vocab || roles[i] > 1)
            code = ERR(e, ERR_FORMAT, "%.150s: token %zu is %d in role %u, wanted 0 to %d and 0 or 1", r->path, i,
                       tokens[i], roles[i], who->n_vocab - 1);
    for (size_t i = h->first; i < h->n_pages && !code; i++)
        code = read_part(r, kv_seq_pages(s)[MAX(i, first)], kv_page_bytes(kv_seq_shape(s)), e);
    uint64_t hash = r->hash, stored = 0;
    if (!code) code = read_part(r, &stored, sizeof stored, e);
    if (!code && hash != stored) code = ERR(e, ERR_FORMAT, "%.150s is damaged: its checksum is wrong", r->path);
    if (!code) kv_seq_commit(s, n);
    return code;
}

err_code kv_load(kv_seq *s, const char *path, const kv_identity *who, int32_t *tokens, uint8_t *roles, size_t cap,
                 err *e) {
    reader r;
    head h;
    err_code code = open_file(&r, path, e);
    if (code) return code;
    code = read_head(&r, &h, e);
    if (!code) code = check_identity(&r, &h, s, who, cap, e);
    if (!code) code = read_note(&r, &h, NULL, 0, e);
    if (!code) {
        kv_seq_truncate(s, 0);
        code = read_sequence(&r, &h, s, who, tokens, roles, e);
        if (code) kv_seq_truncate(s, 0);
    }
    plat_file_close(r.file);
    return code;
}
