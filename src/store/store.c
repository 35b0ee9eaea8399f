/* store.c: leases on tensors, from a mapping of the files or from memory that they were read into.
 *
 * RESIDENT: a wanted tensor gets a block of its own and stands in a line; the tensor at the head of the line sends
 * pieces of at most PIECE_BYTES into the queue while it has room. A piece that fails or comes short fails its tensor,
 * whose other pieces are then awaited (the queue writes to the block until they are back) before the block is freed.
 * The state of a tensor is DISK -> READING -> RAM, or FAILED, from where a later want starts anew.
 * It refuses nothing that gguf_open let through, and never blocks but in lease_now, gather and poll. One thread calls.
 */
#include "store/store.h"

#define PIECE_BYTES ((size_t)8 << 20)
#define DEPTH 8
#define NOBODY UINT32_MAX

typedef enum { ON_DISK, READING, IN_RAM, FAILED } place;

typedef struct slot {
    char *block;         /* mem_block, while READING or IN_RAM                                     */
    uint64_t sent_bytes; /* of which pieces were submitted                                         */
    uint64_t bad_offset; /* in the tensor: where the piece began that failed first                 */
    uint64_t bad_bytes;  /* its length                                                             */
    int64_t bad_result;  /* what came of it: a plat_error, or fewer bytes                          */
    uint32_t in_flight;  /* pieces submitted and not reaped                                        */
    uint32_t next;       /* behind it in the line, or NOBODY                                       */
    uint32_t leases;     /* given out and not released                                             */
    uint8_t place;
    bool broken;         /* a piece failed: FAILED once no other one is under way                  */
} slot;

struct store {
    const gguf *g;
    store_mode mode;
    const void **map; /* MAPPED: of each part */
    plat_queue *queue; /* RESIDENT */
    size_t in_flight;
    uint32_t first, last; /* the line of tensors with pieces to submit; NOBODY: empty */
    slot slots[];
};

/* ---- open and close ------------------------------------------------------------------------------ */

static void unmap_parts(store *s) {
    for (size_t i = 0; s->map && i < gguf_part_count(s->g); i++)
        if (s->map[i]) plat_file_unmap(s->map[i], plat_file_bytes(gguf_part_file(s->g, i)));
    mem_block_free(s->map);
    s->map = NULL;
}

/* All parts or none. */
static bool map_parts(store *s) {
    size_t n = gguf_part_count(s->g);
    s->map = mem_block(MEM_ENGINE, n * sizeof *s->map);
    for (size_t i = 0; s->map && i < n; i++)
        if (plat_file_map(gguf_part_file(s->g, i), &s->map[i]) != PLAT_OK) unmap_parts(s);
    return s->map != NULL;
}

err_code store_open(store **out, const gguf *g, const store_opts *o, err *e) {
    *out = NULL;
    size_t n = gguf_tensor_count(g); /* at most GGUF_TENSORS_MAX: no overflow below */
    store *s = mem_block(MEM_ENGINE, sizeof *s + n * sizeof s->slots[0]);
    if (!s) return ERR(e, ERR_MEMORY, "%s: no memory to keep track of %zu tensors", gguf_part_path(g, 0), n);
    s->g = g;
    s->first = s->last = NOBODY;
    s->mode = STORE_MAPPED;
    if ((o && o->no_map) || !(plat_caps() & PLAT_CAN_MAP) || !map_parts(s)) {
        s->mode = STORE_RESIDENT; /* also where the machine can map, but not these files */
        int error = plat_queue_open(&s->queue, DEPTH);
        if (error) {
            err_code code = ERR(e, error == PLAT_NO_MEMORY ? ERR_MEMORY : ERR_IO, "%s: no queue for %d reads: %s",
                                gguf_part_path(g, 0), DEPTH, plat_error_name(error));
            mem_block_free(s);
            return code;
        }
    }
    *out = s;
    return ERR_NONE;
}

void store_close(store *s) {
    if (!s) return;
    plat_queue_close(s->queue); /* waits for running reads: they write into the blocks */
    for (size_t i = 0; i < gguf_tensor_count(s->g); i++) mem_block_free(s->slots[i].block);
    unmap_parts(s);
    mem_block_free(s);
}

store_mode store_mode_of(const store *s) { return s->mode; }

/* ---- reading ------------------------------------------------------------------------------------- */

static void leave_line(store *s) {
    s->first = s->slots[s->first].next;
    if (s->first == NOBODY) s->last = NOBODY;
}

/* A piece came to nothing. Only the head of the line has pieces left to send. */
static void fail(store *s, uint32_t tensor, uint64_t offset, uint64_t bytes, int64_t result) {
    slot *t = &s->slots[tensor];
    if (t->broken) return;
    t->broken = true;
    t->bad_offset = offset;
    t->bad_bytes = bytes;
    t->bad_result = result;
    if (s->first == tensor) leave_line(s);
}

/* With no piece under way the tensor's fate may be decided. */
static void settle(store *s, uint32_t tensor) {
    slot *t = &s->slots[tensor];
    if (t->in_flight) return;
    if (t->broken) {
        mem_block_free(t->block);
        t->block = NULL;
        t->place = FAILED;
    } else if (t->sent_bytes == gguf_tensor_at(s->g, tensor)->bytes) {
        t->place = IN_RAM;
    }
}

/* Keeps the queue full. */
static void pump(store *s) {
    while (s->in_flight < DEPTH && s->first != NOBODY) {
        uint32_t tensor = s->first;
        slot *t = &s->slots[tensor];
        const gguf_tensor *info = gguf_tensor_at(s->g, tensor);
        plat_read read = {.file = gguf_part_file(s->g, info->part),
                          .offset = info->offset + t->sent_bytes,
                          .to = t->block + t->sent_bytes,
                          .bytes = (size_t)MIN(info->bytes - t->sent_bytes, PIECE_BYTES),
                          .tag = tensor};
        int error = plat_queue_submit(s->queue, &read, 1);
        if (error) {
            fail(s, tensor, t->sent_bytes, read.bytes, error);
            settle(s, tensor);
            continue;
        }
        t->sent_bytes += read.bytes;
        t->in_flight++;
        s->in_flight++;
        if (t->sent_bytes == info->bytes) leave_line(s);
    }
}

static void want(store *s, uint32_t tensor) {
    slot *t = &s->slots[tensor];
    const gguf_tensor *info = gguf_tensor_at(s->g, tensor);
    if (t->place == READING || t->place == IN_RAM) return;
    *t = (slot){.next = NOBODY, .place = FAILED};
    t->block = info->bytes <= SIZE_MAX ? mem_block(MEM_WEIGHTS, (size_t)info->bytes) : NULL;
    if (!t->block) return; /* a failure without a broken piece: no memory */
    t->place = info->bytes ? READING : IN_RAM;
    if (!info->bytes) return;
    if (s->first == NOBODY) s->first = tensor;
    else s->slots[s->last].next = tensor;
    s->last = tensor;
}

void store_want(store *s, const uint32_t *tensors, size_t n) {
    if (s->mode == STORE_MAPPED) return;
    for (size_t i = 0; i < n; i++) {
        ASSERT(tensors[i] < gguf_tensor_count(s->g));
        want(s, tensors[i]);
    }
    pump(s);
}

void store_poll(store *s, uint64_t timeout_ns) {
    if (s->mode == STORE_MAPPED || !s->in_flight) return;
    plat_read done[DEPTH];
    size_t n = plat_queue_reap(s->queue, done, DEPTH, timeout_ns);
    for (size_t i = 0; i < n; i++) {
        uint32_t tensor = (uint32_t)done[i].tag;
        s->slots[tensor].in_flight--;
        s->in_flight--;
        if (done[i].result != (int64_t)done[i].bytes)
            fail(s, tensor, done[i].offset - gguf_tensor_at(s->g, tensor)->offset, done[i].bytes, done[i].result);
        settle(s, tensor);
    }
    pump(s);
}

/* ---- leases -------------------------------------------------------------------------------------- */

/* Fills *e: which bytes of which file, and what came instead of them. */
static err_code read_error(const store *s, const gguf_tensor *info, uint64_t offset, uint64_t bytes, int64_t result,
                           err *e) {
    const char *path = gguf_part_path(s->g, info->part);
    uint64_t at = info->offset + offset;
    if (result >= 0)
        return err_set(e, ERR_IO, "store", "tensor %.*s: %s ends early: %lld of %llu bytes at offset %llu",
                       (int)info->name.len, info->name.ptr, path, (long long)result, (unsigned long long)bytes,
                       (unsigned long long)at);
    return err_set(e, ERR_IO, "store", "tensor %.*s: %s, %llu bytes at offset %llu: %s", (int)info->name.len,
                   info->name.ptr, path, (unsigned long long)bytes, (unsigned long long)at,
                   plat_error_name((int)result));
}

/* The tensor's bytes where they can be had at once, or NULL. */
static const char *bytes_of(const store *s, uint32_t tensor) {
    const gguf_tensor *info = gguf_tensor_at(s->g, tensor);
    if (s->mode == STORE_MAPPED) return (const char *)s->map[info->part] + info->offset;
    return s->slots[tensor].place == IN_RAM ? s->slots[tensor].block : NULL;
}

store_state store_try_lease(store *s, uint32_t tensor, store_lease *out, err *e) {
    ASSERT(tensor < gguf_tensor_count(s->g));
    const gguf_tensor *info = gguf_tensor_at(s->g, tensor);
    slot *t = &s->slots[tensor];
    const char *at = bytes_of(s, tensor);
    if (at) {
        t->leases++;
        *out = (store_lease){at, (size_t)info->bytes, tensor};
        return STORE_READY;
    }
    if (t->place == FAILED) {
        if (t->broken) read_error(s, info, t->bad_offset, t->bad_bytes, t->bad_result, e);
        else err_set(e, ERR_MEMORY, "store", "tensor %.*s: no memory for its %llu bytes (%zu are held)",
                     (int)info->name.len, info->name.ptr, (unsigned long long)info->bytes, mem_bytes_total());
        return STORE_FAILED;
    }
    store_want(s, &tensor, 1);
    return STORE_PENDING;
}

void store_release(store *s, const store_lease *lease) {
    ASSERT(lease->tensor < gguf_tensor_count(s->g) && s->slots[lease->tensor].leases > 0);
    s->slots[lease->tensor].leases--;
}

err_code store_lease_now(store *s, uint32_t tensor, store_lease *out, err *e) {
    err why = {0};
    store_want(s, &tensor, 1);
    for (;;) {
        store_state state = store_try_lease(s, tensor, out, &why);
        if (state == STORE_READY) return ERR_NONE;
        if (state == STORE_FAILED) break;
        store_poll(s, UINT64_MAX);
    }
    if (e) *e = why;
    return why.code;
}

err_code store_gather(store *s, uint32_t tensor, uint64_t offset, void *to, size_t bytes, err *e) {
    ASSERT(tensor < gguf_tensor_count(s->g));
    const gguf_tensor *info = gguf_tensor_at(s->g, tensor);
    if (offset > info->bytes || bytes > info->bytes - offset)
        return ERR(e, ERR_ARGUMENT, "tensor %.*s has %llu bytes: %zu at offset %llu are not in it",
                   (int)info->name.len, info->name.ptr, (unsigned long long)info->bytes, bytes,
                   (unsigned long long)offset);
    const char *at = bytes_of(s, tensor);
    if (at) {
        memcpy(to, at + offset, bytes);
        return ERR_NONE;
    }
    int64_t got = plat_file_read(gguf_part_file(s->g, info->part), info->offset + offset, to, bytes);
    return got == (int64_t)bytes ? ERR_NONE : read_error(s, info, offset, bytes, got, e);
}
