/* peer.h: another engine, or another leat, as `leat bench --vs` knows it: a command line that measures one speed and
 * prints it.
 */
#ifndef LEAT_TOOLS_PEER_H
#define LEAT_TOOLS_PEER_H

#include "tools/tools.h"

typedef struct peer {
    char name[24];
    const char *line;
} peer;
/* "NAME: LINE"; without a name the first word's, less its folders. */
peer peer_of(const char *option);

/* n_prompt or n_gen is 0. */
typedef struct peer_test {
    const char *file;
    int32_t n_prompt, n_gen, n_depth, n_threads;
} peer_test;
/* Runs the line with its {words} replaced. ERR_IO where it fails, takes longer than limit_ns or prints no speed. */
err_code peer_run(const peer *p, const peer_test *test, uint64_t limit_ns, double *tok_s, err *e);

/* Tokens a second in what a bench printed, the last if there are several. In this order:
 * a JSON field avg_ts or tok_s; the column avg_ts or tok_s of comma-separated values; the column t/s or tok/s of a
 * table drawn with |; a number before tok/s, t/s, tokens/s or tokens per second. Of "20 ± 3" and "20 +- 3" it is 20.
 * False where there is none (seen is empty), or where what stands there is no plain number: 1,234.5, 1 234, 0x10, -5,
 * 0, two speeds in a line (seen is that). */
bool peer_speed(str printed, str *seen, double *tok_s);

#endif
