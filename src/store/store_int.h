/* store_int.h: units and their places, shared by store.c (modes, leases), read.c (the line of reads), stream.c (who has
 * which memory) and probe.c (how fast the disk is).
 */
#ifndef LEAT_STORE_INT_H
#define LEAT_STORE_INT_H

#include "cache/cache.h"
#include "store/store.h"

#include <stdatomic.h>

#define STORE_PIECE_BYTES ((size_t)8 << 20)
#define STORE_DEPTH 8      /* reads under way, until the probe knows better */
#define STORE_RING_MAX 16
#define STORE_RANKS 16 /* guesses are counted by rank up to this one */
#define AHEAD_WASTE 8  /* of so many bytes read one may be read ahead for nothing */
#define STORE_NOBODY UINT32_MAX
#define STORE_MANY_ROWS 32
#define STORE_TOUCHERS 4 /* threads that make memory real, at most */

typedef enum { ON_DISK, READING, IN_RAM, FAILED } store_place;
typedef enum { HOME_BLOCK, HOME_PINNED, HOME_RING, HOME_CACHE } store_home;

/* A part of a unit: in its file, and in the unit's memory. Direct reads fetch the window around it that begins and ends
 * on multiples of the alignment. */
typedef struct span {
    uint64_t offset, bytes; /* in the file               */
    size_t at;              /* of its first byte in memory */
    uint32_t part, tensor;
} span;

typedef struct unit {
    char *base;          /* memory, while READING or IN_RAM                     */
    size_t bytes;        /* of it, with all slack                               */
    uint32_t first_span, n_spans;
    uint32_t layer;
    uint32_t slot;       /* HOME_RING, HOME_CACHE: while it has one             */
    uint32_t cache_id;   /* HOME_CACHE                                          */
    uint32_t next;       /* behind it in its line, or STORE_NOBODY              */
    uint32_t sent_span;  /* pieces before this were submitted ...               */
    uint64_t sent_bytes; /* ... and so much of its window                       */
    uint32_t in_flight;  /* pieces submitted and not reaped                     */
    uint32_t leases;     /* given out and not released                          */
    uint32_t holds;      /* leases, a want and a read: its memory stays its own */
    uint8_t place, home;
    bool expert, wanted;
    bool ahead;          /* read, or being read, before it was wanted             */
    bool wasted;         /* ... and was not chosen then                           */
    bool was_missing;    /* when it was last expected                             */
    bool abandoned;      /* nobody wants what was read ahead: on disk again once no piece is under way */
    bool joined;         /* wanted when it was being read already: if that fails it is read anew, once */
    bool broken;         /* a piece failed: FAILED once no other one is under way */
    uint32_t bad_tensor; /* of the piece that failed first                        */
    uint64_t bad_offset, bad_bytes; /* in the file                                */
    int64_t bad_result;  /* what came of it: a plat_error, or fewer bytes         */
} unit;

/* How often the router named an expert early, and how often rightly. */
typedef struct guesses {
    float all, right;
} guesses;

typedef struct line {
    uint32_t first, last; /* STORE_NOBODY: empty */
} line;
enum { LINE_WANTED, LINE_AHEAD };

struct store {
    const gguf *g;
    arena tables; /* units, spans, and what stream.c needs */
    store_mode mode;
    const void **map;   /* MAPPED: of each part */
    plat_queue *queue;  /* else */
    plat_file **direct; /* of each part, for reads past the page cache; NULL: buffered */
    size_t align;       /* of windows; 1: buffered */
    bool disk_known;    /* from an earlier run */
    size_t depth, in_flight, in_flight_bytes;
    unit *units;
    span *spans;
    size_t n_units, n_spans, n_layers, n_used;
    line lines[2]; /* of units with pieces to submit: wanted ones; then those read ahead */
    store_stats stats;
    uint64_t busy_from_ns; /* since when reads are under way without a break */
    /* STREAMING: one block of memory, in this order: pinned units with the ring's slots amid, the cache's slots, a
     * bounce buffer. */
    char *memory;
    char *ring_memory, *cache_memory, *bounce;
    size_t ring_slot_bytes, n_ring, n_pinned, n_dense;
    size_t bounce_bytes;
    size_t memory_bytes;                /* of the block                                    */
    size_t stream_bytes, planned_bytes; /* allowed when it began; that the plan was made for */
    plat_thread *touchers[STORE_TOUCHERS]; /* touch the block from its start, ahead of the reads */
    size_t n_touchers;
    _Atomic size_t touched; /* bytes taken by them; past the end: they return */
    uint32_t ring[STORE_RING_MAX]; /* who is there, or STORE_NOBODY */
    uint32_t next_dense;           /* the dense unit that is read next, if it is not in memory */
    size_t n_unread;               /* pinned units that were never read */
    cache *experts;                /* NULL: the model has none */
    cache_need need;               /* of that cache; its tables lie beside the block */
    uint32_t *unit_of;             /* by cache_id */
    uint32_t *visited;             /* scratch of store_visit */
    uint32_t *expected;            /* (n_expected) units that may be read ahead; before next_expected it was tried */
    size_t n_expected, next_expected;
    bool sure;                     /* that they will be used */
    bool many_rows;                /* the layer visited last, or expected, is one of a prompt */
    bool crowded;                  /* wanted units have no room: none for reading ahead */
    guesses guessed[2][STORE_RANKS]; /* of experts in memory, of missing ones; the router's likeliest first */
    int64_t credit;                /* bytes that may be read for nothing */
    size_t blind;                  /* layers yet without reading ahead */
    uint32_t gathered_tensor, gathered_unit; /* the last that store_gather looked for */
};

/* read.c */
bool store_start(store *s, uint32_t id, int line); /* a unit with memory joins a line; false: it has no bytes */
void store_hurry(store *s, uint32_t id);           /* a unit read ahead is wanted now */
bool store_leave_line(store *s, uint32_t id);
uint64_t store_sent_bytes(const store *s, uint32_t id); /* of the unit, so far */
void store_abandon(store *s, uint32_t id); /* nobody wants what is being read: it sends no more */
void store_settle(store *s, uint32_t id);
void store_reap(store *s, uint64_t timeout_ns); /* store_poll, but sends nothing */
void store_pump(store *s);               /* keeps the queue full */
plat_file *store_file_of(const store *s, uint32_t part);
bool store_is_buffered(const store *s); /* STREAMING through the page cache */
void store_drop_read(const store *s, plat_file *file, uint64_t offset, size_t bytes); /* nothing of it stays there */
err_code store_read_error(const store *s, uint32_t tensor, uint64_t offset, uint64_t bytes, int64_t result, err *e);

/* ahead.c */
bool store_read_ahead(store *s); /* one more unit joins the line */
void store_credit(store *s, int64_t bytes);
/* The layer's router has chosen. */
void store_judge_ahead(store *s, uint32_t layer, const uint32_t *chosen, size_t n, size_t n_tokens);

/* stream.c */
void store_lay_out(store *s); /* places of spans in memory, for the alignment */
bool store_read_on(store *s); /* one more dense unit joins the line */
void store_seek(store *s, uint32_t id); /* reading on goes on with this unit of the ring */
bool store_take_home(store *s, uint32_t id); /* memory for a unit; false: none now */
bool store_take_spare(store *s, uint32_t id); /* the same for an expert, at nobody's cost who is needed sooner */
void store_leave_home(store *s, uint32_t id); /* the unit is on disk again */
void store_hold(store *s, uint32_t id);
void store_let_go(store *s, uint32_t id);
void store_close_stream(store *s);

/* store.c */
err_code store_open_queue(store *s, err *e); /* once */
/* Ends MAPPED, opens a queue. */
err_code store_begin_reads(store *s, err *e);

/* probe.c: fills depth and stats.disk_bytes_s by reading for a part of a second. */
#define STORE_PROBE_BYTES ((size_t)64 << 20) /* of memory suffice: twice what caches hold */
void store_probe(store *s, char *to, size_t bytes);

#endif
