/* kv.h: the KV cache. Pages of KV_PAGE positions, all layers of a position range in one page; sequences are tables
 * of pages, share them by reference count and copy on write. Page memory is reserved at open and first touched when
 * a page is first used.
 *
 * Where attention has a sliding window, a sequence that finds no free page gives up those that it will not see again:
 * memory is for the window then, and not for the context. It can go back less far: see kv_seq_truncate.
 *
 * A page: for each layer the tiles of keys of all KV heads, then those of values; what a tile is, kern.h says.
 */
#ifndef LEAT_KV_H
#define LEAT_KV_H

#include "dev/dev.h"
#include "mem/mem.h"

#define KV_PAGE DEV_PAGE
#define KV_BACK 128 /* positions that a sequence can go back at least: guesses, and the last words of a prompt */

typedef struct kv_cache kv_cache;
typedef struct kv_seq kv_seq;

typedef struct kv_shape {
    size_t n_layer, n_head_kv, dim_k, dim_v;
    quant_id type_k, type_v;
    size_t window; /* positions that one sees, itself included; 0: all */
} kv_shape;

/* ERR_UNSUPPORTED where heads of these dimensions cannot be held in the types. */
err_code kv_check(const kv_shape *shape, err *e);
/* Positions that a sequence of up to n_tokens holds at most, when it reserves no more than `step` at a time. */
size_t kv_held(size_t window, size_t step, size_t n_tokens);
/* The first page that position n and later ones see. */
size_t kv_first_seen(const kv_shape *shape, size_t n);
/* Sequences of up to n_tokens each, at most seqs_max; room for n_held positions in all of them together. */
err_code kv_open(kv_cache **out, const kv_shape *shape, size_t n_tokens, size_t n_held, size_t seqs_max, err *e);
void kv_close(kv_cache *c); /* accepts NULL; closes its sequences */
size_t kv_page_bytes(const kv_shape *shape);
size_t kv_bytes(const kv_cache *c); /* reserved for pages */
size_t kv_k_offset(const kv_cache *c, size_t layer); /* in bytes, of head 0 */
size_t kv_v_offset(const kv_cache *c, size_t layer);
const kv_shape *kv_shape_of(const kv_cache *c);

err_code kv_seq_open(kv_cache *c, kv_seq **out, err *e);
void kv_seq_close(kv_seq *s); /* accepts NULL */
/* A copy that shares all pages; pages are copied when one side writes into them. */
err_code kv_seq_fork(const kv_seq *s, kv_seq **out, err *e);

size_t kv_seq_length(const kv_seq *s); /* committed positions */
const kv_shape *kv_seq_shape(const kv_seq *s);
/* Makes positions [length, length + n) writable, in pages of their own. ERR_LIMIT when no page is free; the
 * sequence is unchanged then, but for pages given up. Positions count only after kv_seq_commit: a failed step just does
 * not commit. */
err_code kv_seq_reserve(kv_seq *s, size_t n, err *e);
void kv_seq_commit(kv_seq *s, size_t n);
/* Forgets what follows; gives whole pages back. All is forgotten where it does not hold what position `length` sees. */
void kv_seq_truncate(kv_seq *s, size_t length);
bool kv_seq_holds(const kv_seq *s, size_t length); /* what position `length` sees */
size_t kv_seq_first(const kv_seq *s); /* its first page that it sees, even after it went back by KV_BACK */
bool kv_seq_trim(kv_seq *s); /* gives up the pages before that one; false when there are none */
/* Makes an empty one begin with page `first`: those before are seen by nobody. */
void kv_seq_skip(kv_seq *s, size_t first);
char *const *kv_seq_pages(const kv_seq *s); /* by position / KV_PAGE, from the first one held on */

/* ---- files: kv_file.c ---------------------------------------------------------------------------------- */

#define KV_NOTE_BYTES_MAX ((size_t)16 << 20)

/* What a sequence's numbers depend on besides its tokens: a file is refused where any of it differs. */
typedef struct kv_identity {
    uint64_t model; /* a hash */
    char isa[16];   /* zero-padded */
    int32_t n_vocab;
} kv_identity;

/* Writes the sequence beside path, syncs it and renames it over path. tokens, roles (kv_seq_length): what made each
 * position; note: the caller's. */
err_code kv_save(const kv_seq *s, const char *path, const kv_identity *who, const int32_t *tokens, const uint8_t *roles,
                 str note, err *e);
/* Reads it into a sequence in place of what that holds, and tokens and roles of at most `cap` positions.
 * ERR_UNSUPPORTED: of something else; ERR_LIMIT: too long; ERR_FORMAT: damaged. After an error the sequence is as
 * before, or empty where the file broke in its middle. */
err_code kv_load(kv_seq *s, const char *path, const kv_identity *who, int32_t *tokens, uint8_t *roles, size_t cap,
                 err *e);
/* The note of a file, whoever wrote it; at most cap bytes of it; *bytes is the full number. */
err_code kv_load_note(const char *path, char *buf, size_t cap, size_t *bytes, err *e);

#endif
