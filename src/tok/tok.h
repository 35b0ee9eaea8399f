/* tok.h: text to token ids and back, from the tables in the file.
 * Kinds: BPE (byte-level, with a pre-tokenizer by name), SPM (sentencepiece unigram scores, merged greedily),
 * WPM (WordPiece). tok_open refuses what it does not know, by name.
 */
#ifndef LEAT_TOK_H
#define LEAT_TOK_H

#include "gguf/gguf.h"

typedef struct tok tok; /* read-only after open: any number of threads may use it */

/* The file may be closed afterwards. A file that names no pre-tokenizer gets "default". ERR_UNSUPPORTED: a tokenizer or
 * pre-tokenizer that is not known; ERR_FORMAT: tables that are missing, too short, of the wrong kind, or ambiguous. */
err_code tok_open(tok **out, const gguf *g, err *e);
void tok_close(tok *t);

enum {
    TOK_BOS = 1 << 0,     /* add what the file asks for: BOS, EOS, CLS, SEP */
    TOK_SPECIAL = 1 << 1, /* spell-outs of control tokens in the text become those tokens */
};
/* Token ids of text[0..n). Writes at most cap of them and sets *count to how many there are in all, so that a
 * caller may ask with cap 0 first; n + 16 suffice for all but odd texts, 4 * n + 16 for any, unless the vocabulary is
 * hostile. Special tokens that the vocabulary's user defined are found whatever the flags say. ERR_LIMIT: text longer
 * than 2^29 bytes. */
err_code tok_encode(const tok *t, str text, uint32_t flags, int32_t *ids, size_t cap, size_t *count, err *e);
/* The same; yield may be NULL. */
err_code tok_encode_yielding(const tok *t, str text, uint32_t flags, const yield_hook *yield, int32_t *ids, size_t cap,
                             size_t *count, err *e);

/* The bytes of one token as they appear in running text. Control tokens give nothing unless `special`.
 * Returns the length (at most TOK_PIECE_MAX); writes at most cap. */
#define TOK_PIECE_MAX 65536
size_t tok_piece(const tok *t, int32_t id, bool special, char *buf, size_t cap);
/* Whole text of n ids, with the clean-ups of the file's kind (SPM drops the leading space that encode added, also after
 * a BOS that is not shown; many BPE files drop spaces before punctuation). Same cap rule. */
err_code tok_decode(const tok *t, const int32_t *ids, size_t n, bool special, char *buf, size_t cap, size_t *len,
                    err *e);

/* Undoes TOK_BOS: steps over a BOS or CLS that encode puts first and returns how many ids are left, without an EOS or
 * SEP that it puts last. */
size_t tok_unwrap(const tok *t, const int32_t **ids, size_t n);

size_t tok_count(const tok *t);              /* vocabulary size */
bool tok_ends(const tok *t, int32_t id);     /* EOS, EOT, EOM ...: generation stops here */
int32_t tok_bos(const tok *t);               /* -1 when there is none */
bool tok_adds_bos(const tok *t);
str tok_text(const tok *t, int32_t id);      /* as stored in the file */
const char *tok_kind_name(const tok *t);     /* "BPE", "SPM", "WPM" */
const char *tok_pre_name(const tok *t);      /* pre-tokenizer, or "" */
/* True when the file carries a tokenizer at all (tokenizer.ggml.model present and not "no_vocab"/"none"). */
bool tok_present(const gguf *g);

#endif
