/* pattern.h: a small regular-expression language for tensor names.
 *
 * Literals, . * + ? {m} {m,} {m,n} | ( ) (?: ) [ ] [^ ] ^ $ and the escapes \d \w \s \D \W \S \. and so on; upper and
 * lower case are one. A pattern is looked for anywhere in a name, as users of llama-quantize know it. There are no
 * back-references and no look-around, so a search takes at most (name bytes) x (steps of the pattern).
 */
#ifndef LEAT_TOOLS_PATTERN_H
#define LEAT_TOOLS_PATTERN_H

#include "base/base.h"

#define PATTERN_STEPS_MAX 512
#define PATTERN_SETS_MAX 16
#define PATTERN_BYTES_MAX 255

typedef struct pattern_step {
    uint8_t op, byte; /* byte: the literal, or the number of the set */
    int16_t a, b;     /* where to go on, relative to this step       */
} pattern_step;

typedef struct pattern {
    uint16_t n_steps, n_sets;
    pattern_step step[PATTERN_STEPS_MAX];
    uint8_t set[PATTERN_SETS_MAX][32]; /* a bit for each byte */
} pattern;

/* ERR_ARGUMENT names what is wrong and where. */
err_code pattern_compile(pattern *out, str text, err *e);
bool pattern_finds(const pattern *p, str name);

#endif
