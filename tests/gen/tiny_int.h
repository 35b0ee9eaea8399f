/* tiny_int.h: what the files of the generator share. */
#ifndef LEAT_TINY_INT_H
#define LEAT_TINY_INT_H

#include "gen/tiny.h"

typedef struct tiny_vocab {
    uint32_t n;
    str *text;     /* (n); NULL without a tokenizer */
    float *score;  /* (n) */
    int32_t *kind; /* (n): 1 normal, 2 unknown, 3 control, 5 unused, 6 byte */
    str *merges;
    uint32_t n_merges;
    char *bytes; /* what the texts point into */
    size_t n_bytes;
} tiny_vocab;

void tiny_vocab_make(tiny_vocab *v, const tiny_spec *s);
void tiny_vocab_free(tiny_vocab *v);
void tiny_vocab_put(gguf_writer *w, const tiny_spec *s, const tiny_vocab *v);

#endif
