/* store.h: where weights live. The engine asks for units of weights; the store has them mapped, holds all it ever read,
 * or holds what fits and reads the rest again and again. Asynchronous: say what you will want, then lease it when it is
 * there.
 *
 * A unit is what is read, held and leased as a whole: parts of one or several tensors. After open every tensor is a
 * unit of its own; a model then says what belongs together (one layer's dense tensors; gate, up and down of one
 * expert).
 *
 * MAPPED     the home can map files: a lease is a pointer into the mapping
 * RESIDENT   it cannot: a unit is read once, on first want, into memory that stays
 * STREAMING  within a given number of bytes: dense units pinned as far as they fit, the others through a ring of slots:
 *            leased one at a time in their order, and read ahead in it as there is room; experts in the slots of
 *            a cache (cache/cache.h). Nothing is ever copied: reads past the page cache go to where the kernels find
 *            them.
 * One thread calls; what is leased may be read by all. docs/STREAMING.md tells how it is used.
 */
#ifndef LEAT_STORE_H
#define LEAT_STORE_H

#include "gguf/gguf.h"

#define STORE_SPANS_MAX 16 /* parts of a unit */
#define STORE_DEPTH_MAX 32 /* reads under way  */

typedef struct store store;
typedef enum { STORE_MAPPED, STORE_RESIDENT, STORE_STREAMING } store_mode;

typedef struct store_opts {
    bool no_map; /* RESIDENT even where mapping works */
} store_opts;

typedef enum {
    STORE_READY,   /* the lease is yours               */
    STORE_PENDING, /* still being read: poll and retry */
    STORE_FAILED,  /* *e names the file and the offset; a later want tries again */
} store_state;

typedef struct store_lease {
    const void *at; /* the bytes of the unit's first part; valid until released */
    size_t bytes;
    uint32_t unit;
    bool passes; /* through the ring: the sooner it is released, the sooner others are read */
} store_lease;

err_code store_open(store **out, const gguf *g, const store_opts *o, err *e);
void store_close(store *s);
store_mode store_mode_of(const store *s);

/* ---- units -------------------------------------------------------------------------------------- */

typedef struct store_span {
    uint32_t tensor;        /* its index in the gguf */
    uint64_t offset, bytes; /* in the tensor         */
} store_span;

typedef struct store_unit {
    const store_span *spans; /* (n_spans), at most STORE_SPANS_MAX */
    size_t n_spans;
    uint32_t layer; /* units are used in their order, again and again; experts only by the router's choice, and they
                     * come after all others */
    bool expert;
} store_unit;

typedef struct store_units {
    /* Fills *out for unit number i; spans need live until the next call only. */
    void (*describe)(const void *user, size_t i, store_unit *out);
    const void *user;
    size_t n_units, n_layers;
    size_t n_used; /* experts of a layer that one token uses */
} store_units;
/* Replaces the units; nothing may be leased or wanted. Refuses nothing but for lack of memory: spans lie in their
 * tensors. */
err_code store_set_units(store *s, const store_units *units, err *e);
uint64_t store_units_bytes(const store *s); /* of all units */
uint64_t store_held_bytes(const store *s);  /* memory taken for them; STREAMING: given back or not */
/* What those not read yet will take beside that. MAPPED: in the system's cache; STREAMING: nothing. */
uint64_t store_unread_bytes(const store *s);

/* MAPPED: a hint that all of it fits and will be read again and again. */
void store_expect_all(const store *s);

/* From now on STREAMING within bytes_max, slack and tables of the store included. Nothing may be leased or wanted.
 * ERR_MEMORY where that is too little, of which the text says how much would do, and where the system refuses it; the
 * mode stays then. */
err_code store_stream(store *s, size_t bytes_max, err *e);

/* Gives memory back, or uses it again, so that all weights take bytes_max at most: never more than store_stream was
 * given, and never less than can be planned with. Experts go first; where they have no more to give, dense weights do,
 * and all is read again then. Not while leases are out. False where they still take more. */
bool store_resize(store *s, size_t bytes_max);
/* STREAMING: memory within those bytes in which nothing was read yet, and may be at any time. */
uint64_t store_unfilled_bytes(const store *s);

/* STREAMING: until all its memory has been touched once, which begins with store_stream. */
void store_await_memory(store *s);

/* What store_stream would do within bytes_max. Changes nothing. */
typedef struct store_plan {
    bool fits;                 /* all weights at once: there is nothing to stream                */
    size_t n_dense, n_pinned;  /* dense units; those that stay                                   */
    size_t n_experts, n_slots; /* experts; those that fit at a time                              */
    uint64_t pinned_bytes, ring_bytes, slot_bytes; /* held: the dense, the ring, the experts      */
    uint64_t scan_bytes;       /* of dense units that every pass reads                           */
    uint64_t pool_bytes;       /* of all experts                                                 */
    uint64_t routed_bytes;     /* of those that one token uses                                   */
    uint64_t least_bytes;      /* where it failed as bytes_max is too little: what would do; else 0 */
} store_plan;
err_code store_plan_within(store *s, size_t bytes_max, store_plan *out, err *e);
/* The disk was measured before: store_stream need not. */
void store_know_disk(store *s, double bytes_s, size_t depth);
typedef struct store_disk {
    double bytes_s; /* 0: not measured */
    size_t depth;
    bool known;     /* store_know_disk said so */
} store_disk;
store_disk store_disk_of(const store *s);
/* The disk as store_stream would probe it: bytes a second, and reads at a time; 0 where direct reads are refused. */
err_code store_measure_disk(store *s, double *bytes_s, size_t *depth, err *e);

/* How often experts were used, of as many layers: STREAMING only, else 0 experts. See cache_export. */
typedef struct store_usage {
    size_t n_layers, n_experts;
    float *tokens, *uses; /* (n_layers), (n_experts) */
} store_usage;
/* Sizes alone; then fill or set what the pointers lead to. */
void store_usage_size(const store *s, store_usage *out);
void store_usage_get(const store *s, const store_usage *u);
void store_usage_set(store *s, const store_usage *u);

/* ---- leases ------------------------------------------------------------------------------------- */

/* Starts reads where needed; never blocks. In STREAMING a wanted unit keeps its place until it is leased or the want is
 * forgotten; one for which there is no room now is not noted, so want it again. One whose read failed is not read again
 * before store_try_lease has told of it, or the want is forgotten. */
void store_want(store *s, const uint32_t *units, size_t n);
void store_forget_wants(store *s);
/* Before wanting them: the pass is at `layer` and uses these experts, units[i] by counts[i] of n_tokens tokens. */
void store_visit(store *s, uint32_t layer, const uint32_t *units, const uint32_t *counts, size_t n, size_t n_tokens);
/* Experts of the next layer that its router names, the likeliest first, as many a token as it will choose; or all of
 * the layer, of which nearly all will be used (`sure`). They are kept, and the likely ones are read while the disk has
 * nothing else to do, into free memory or that of experts expected back later. */
void store_expect(store *s, const uint32_t *units, size_t n, bool sure);
/* False where that is of no use: weights that do not come and go, a router that was wrong too often. */
bool store_foresees(const store *s);
/* Takes finished reads in; waits at most timeout_ns for one. False when no read is under way. */
bool store_poll(store *s, uint64_t timeout_ns);
store_state store_try_lease(store *s, uint32_t unit, store_lease *out, err *e);
/* The bytes of the i-th part of what is leased. */
const void *store_span_at(const store *s, const store_lease *lease, size_t i);
/* The same without a lease, of a unit that is in memory and stays there (STREAMING, pinned), else NULL. */
const void *store_pinned_at(const store *s, uint32_t unit, size_t i);
void store_release(store *s, const store_lease *lease);
/* want, poll until there, lease. ERR_CANCELLED: yield, asked after each wait, said stop. */
err_code store_lease_now(store *s, uint32_t unit, const yield_hook *yield, store_lease *out, err *e);
/* RESIDENT: all units. uncache: nothing of them is left in the system's page cache. ERR_CANCELLED as above. */
err_code store_read_all(store *s, bool uncache, const yield_hook *yield, err *e);
/* A tensor's bytes where they lie in one piece as long as the store is open (MAPPED), else NULL. */
const void *store_tensor_at(const store *s, uint32_t tensor);
/* MAPPED: what cannot be read when it is used has any values. Weights that are used between a mark and its check were
 * read if that says so; else *e names tensor, file and offset, and with the next mark it is tried again. In every
 * thread that uses them. */
uint64_t store_mark(const store *s);
err_code store_check(const store *s, uint64_t mark, err *e);
/* Copies part of a tensor (embedding rows are gathered, not leased). */
err_code store_gather(store *s, uint32_t tensor, uint64_t offset, void *to, size_t bytes, err *e);

/* ---- what happened ------------------------------------------------------------------------------- */

typedef struct store_stats {
    uint64_t reads, read_bytes; /* finished                                             */
    uint64_t hits, misses;      /* wanted experts that were in memory, and that were not */
    uint64_t ahead, ahead_used; /* experts that were read before they were wanted, and those of them that were wanted */
    uint64_t stall_ns;          /* waited for reads with nothing to compute              */
    uint64_t busy_ns;           /* reads were under way                                 */
    double disk_bytes_s;        /* as probed; 0 where it was not                         */
} store_stats;
store_stats store_stats_of(const store *s);
void store_count_stall(store *s, uint64_t ns);
/* One line on the mode and where things are, without a newline. */
size_t store_describe(const store *s, char *buf, size_t cap);

#endif
