/* bench.h: a row of `leat bench` and the formats it is shown in. */
#ifndef LEAT_TOOLS_BENCH_H
#define LEAT_TOOLS_BENCH_H

#include "tools/bounds.h"
#include "tools/load.h"
#include "tools/peer.h"

#define BENCH_PEERS_MAX 4

typedef struct bench_ratio { /* leat's speed over a peer's */
    double tok_s;            /* the peer's median */
    double ratio, min, max;  /* of the repetitions' own ratios: the median, the least and the largest */
} bench_ratio;

typedef struct bench_row {
    int32_t n_prompt, n_gen, n_depth, n_threads; /* n_prompt or n_gen is 0 */
    double tok_s, deviation; /* median, standard deviation              */
    double share;            /* median: each repetition has a bound of its own; 0: no reads could be measured */
    double bound;            /* that of which tok_s is this share       */
    load_reads reads;        /* of streamed weights: then bound is theirs; zeroed where nothing was read */
    double sustained; /* share of what a bare loop in turns would allow, median; 0: no room for a probe */
    double growth; /* at a depth: time over that at depth 0 and the bound of reading the keys and values; else 0 */
    bench_ratio peers[BENCH_PEERS_MAX];
} bench_row;

/* What all rows have in common. */
typedef struct bench_head {
    const leat_model *model;
    const bounds_model *counted;
    const bounds_machine *machines; /* with each number of threads */
    size_t n_machines;
    const bounds_machine *machine; /* with the current one        */
    const char *format, *isa;
    char cpu[96];
    const peer *peers;
    size_t n_peers;
    bool depths; /* some row has a growth */
    int32_t n_reps;
} bench_head;

void bench_show_head(tools *t, const bench_head *h);
void bench_show_row(tools *t, const bench_head *h, const bench_row *r, bool first);
void bench_show_end(tools *t, const bench_head *h, bool empty);

#endif
