/* validate_peer.h: a libllama found at run time, for comparing leat with it. Not part of leat's program. */
#ifndef LEAT_VALIDATE_PEER_H
#define LEAT_VALIDATE_PEER_H

#include "base/base.h"

typedef struct peer peer;

/* Loads libllama and the CPU code beside it from the folder. ERR_UNSUPPORTED when it is not a version that can be
 * driven: a function is missing, or its defaults are not where they were expected. Once per process. */
err_code peer_open(peer **out, const char *dir, err *e);
void peer_close(peer *p); /* accepts NULL */
const char *peer_version(const peer *p);

err_code peer_load(peer *p, const char *path, err *e); /* closes the model loaded before */
int32_t peer_n_vocab(const peer *p);
/* Ids of the text with what the file asks for (BOS ...) and spelled-out control tokens parsed. *count is the full
 * number. */
err_code peer_tokenize(peer *p, str text, int32_t *ids, size_t cap, size_t *count, err *e);

typedef struct peer_feed {
    size_t step;   /* tokens at a time; 0: all at once */
    size_t window; /* not 0: each token sees so many, itself included. For architectures whose window the library
                    * ignores: older tokens are taken out of its cache one by one, so step must be 1. */
    int32_t n_threads;
} peer_feed;
/* logits: (n, n_vocab), of every token of the sequence. */
err_code peer_logits(peer *p, const int32_t *ids, size_t n, const peer_feed *feed, float *logits, err *e);

#endif
