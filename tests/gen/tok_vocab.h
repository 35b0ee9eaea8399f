/* tok_vocab.h: small vocabularies of every kind, trained on the records in tests/data/tok.
 *
 * Merges are learnt across all boundaries that pre-tokenizers cut at (a space and the word behind it, a letter and a
 * digit, two lines), so that a cut in another place gives other tokens. The same bytes on every machine.
 */
#ifndef LEAT_TOK_VOCAB_H
#define LEAT_TOK_VOCAB_H

#include "gguf/gguf.h"

/*  bpe          byte level; some merges make texts that are no tokens
 *  bpe-whole    all of them make tokens
 *  bpe-special  the first one, with tokens of all sorts that are found in the text first, and BOS and EOS
 *  bpe-utf8     merges on characters, U+2581 for the space
 *  bpe-words    the same without spaces (tokenizer.ggml.model "whitespace")
 *  spm          scores, byte fallback, a space before the text
 *  spm-bare     whole scores, no space, EOS
 *  spm-phi3     special tokens swallow the white space behind them
 *  wpm          lower case, no accents
 *  wpm-cased    as it is written
 */
extern const char *const tok_vocab_names[]; /* ends with NULL */

/* Writes one of them. pre: tokenizer.ggml.pre, or NULL for the one that suits. Ends the running test where it fails. */
void tok_vocab_write(const char *name, const char *pre, const char *path);

/* The records of a file of tests/data/tok; free with tok_records_free. */
typedef struct tok_records {
    str at[256];
    size_t n;
    char *bytes;
} tok_records;
tok_records tok_records_read(const char *path);
void tok_records_free(tok_records *r);

#endif
