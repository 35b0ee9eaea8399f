/* model_cases.h: tiny models, one a feature, that leat's logits are checked on. */
#ifndef LEAT_MODEL_CASES_H
#define LEAT_MODEL_CASES_H

#include "gen/tiny.h"

enum { MODEL_CASE_ROWS = 64, MODEL_CASE_COLUMNS = 16, MODEL_CASE_SAMPLES = 1024 };
enum { MODEL_CASE_TOKENS_MAX = 256, MODEL_CASE_VOCAB_MAX = 128 };

typedef struct model_case {
    char name[40];
    tiny_spec spec;
    uint32_t n_tokens;
} model_case;

size_t model_case_count(void);
model_case model_case_at(size_t i);
/* The tokens fed, the same for every case of a length and vocabulary. */
void model_case_ids(const model_case *c, int32_t *ids);
/* What is kept of the logits (n_tokens, n_vocab): 16 columns of 64 positions, the last one included; other columns at
 * each position, so that together they are all seen. An error of any position shows in a few columns; a few whole rows
 * would say less, since the errors within a row hang together. */
void model_case_samples(const model_case *c, const float *logits, float samples[MODEL_CASE_SAMPLES]);
uint32_t model_case_vocab(const model_case *c);
/* NAME.gguf, or the first part's name. */
void model_case_file(const model_case *c, char *buf, size_t cap);
/* Squared error over the variance of the exact values. */
double model_case_nmse(const float ours[MODEL_CASE_SAMPLES], const float exact[MODEL_CASE_SAMPLES]);

#endif
