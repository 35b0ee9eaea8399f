/* store.h: where weights live. The engine asks for a tensor's bytes; the store has them mapped, resident, or reads
 * them. Asynchronous from the start: say what you will want, then lease it when it is there.
 *
 * Modes now: MAPPED (the home can map files: a lease is a pointer into the mapping) and RESIDENT (it cannot: a
 * tensor is read once, on first want, into memory that stays). Streaming will come behind these calls.
 * One thread calls; what is leased may be read by all.
 */
#ifndef LEAT_STORE_H
#define LEAT_STORE_H

#include "gguf/gguf.h"

typedef struct store store;
typedef enum { STORE_MAPPED, STORE_RESIDENT } store_mode;

typedef struct store_opts {
    bool no_map; /* RESIDENT even where mapping works */
} store_opts;

typedef enum {
    STORE_READY,   /* the lease is yours               */
    STORE_PENDING, /* still being read: poll and retry */
    STORE_FAILED,  /* *e names the file and the offset; a later want tries again */
} store_state;

typedef struct store_lease {
    const void *at; /* the tensor's bytes; valid until released */
    size_t bytes;
    uint32_t tensor;
} store_lease;

err_code store_open(store **out, const gguf *g, const store_opts *o, err *e);
void store_close(store *s);
store_mode store_mode_of(const store *s);

/* Tensors are named by their index in the gguf. Starts reads where needed; never blocks. */
void store_want(store *s, const uint32_t *tensors, size_t n);
/* Takes finished reads in; waits at most timeout_ns for one. */
void store_poll(store *s, uint64_t timeout_ns);
store_state store_try_lease(store *s, uint32_t tensor, store_lease *out, err *e);
void store_release(store *s, const store_lease *lease);
/* want, poll until there, lease. The simple way for what is held for the model's whole life. */
err_code store_lease_now(store *s, uint32_t tensor, store_lease *out, err *e);
/* Copies part of a tensor (embedding rows are gathered, not leased). */
err_code store_gather(store *s, uint32_t tensor, uint64_t offset, void *to, size_t bytes, err *e);

#endif
