/* quantize_stream.c: tensors in slices from disk through the workers to disk.
 *
 * A ring of slots, each with room for a slice as it is read and as it is written: while the workers encode one slice
 * the next are being read (plat_queue) and the last ones written (a thread of its own, in order). Memory is the
 * ring's, whatever the size of a tensor or of the file; a slice has whole rows, of one expert where importance counts.
 * One slice is one run of the pool, so that an error in it names its first weight whatever the number of threads.
 * Next: quantize.c, the command.
 */
#include "kern/kern.h"
#include "pool/pool.h"
#include "tools/quantize.h"

#include <stdatomic.h>

#define SLOTS 4
#define SLOT_BYTES ((size_t)8 << 20) /* as read, and as written; more does not make it faster */
#define GRAB_WEIGHTS 16384           /* that a worker takes at a time */
#define POLL_NS 100000000u           /* between two looks at whether to stop */
#define SHOWN(s) (int)MIN((s).len, (size_t)64), (s).ptr

/* Part of a tensor: n rows from `first` where it is encoded, n blocks where it is copied. */
typedef struct slice {
    const quantize_item *item;
    uint64_t first, n;
    size_t in_bytes, out_bytes; /* of the slice                     */
    uint64_t offset;            /* of the slice in the input's part */
    bool last;                  /* of its tensor                    */
} slice;

typedef struct slot {
    slice s;
    uint8_t *in, *out; /* out is not used for a copy */
    float *columns;    /* importance, of s.item->columns */
    bool read;
    int64_t result; /* of the read */
} slot;

/* The first weight of a slice that cannot be encoded. */
typedef struct fault {
    uint64_t row, column;
    float value;
    bool any;
} fault;

typedef struct stream {
    tools *t;
    const quantize_plan *plan;
    quantize_out *out;
    const quantize_values *o;
    const kern *k;
    pool *workers;
    plat_queue *queue;
    plat_thread *writer;
    void *memory;
    size_t slot_bytes, row_max; /* row_max: weights in a row, of what is encoded */
    float *rows;                /* row_max for each worker */
    slot slots[SLOTS];
    size_t next_item; /* the next slice to read */
    uint64_t next_unit;
    bool forget; /* what was read, so that it does not displace what others need */
    /* The slice that is being encoded. */
    slot *now;
    quant_encode *encode;
    uint64_t grab;
    _Atomic uint64_t next_row;
    fault faults[POOL_WORKERS_MAX];
    /* Slices, counted: encoded by the workers, written by the writer, which ends at number n_all. */
    _Atomic uint32_t n_encoded, n_written, n_all;
    _Atomic bool failed; /* nothing more is written */
    err write_error;
    /* For the eye. */
    tools_progress bar;
    uint64_t start_ns, done_bytes;
    size_t done_items;
} stream;

/* ---- slices ------------------------------------------------------------------------------------------------------ */

static bool is_copy(const quantize_item *x) { return x->to == x->from->type; }

static uint64_t weights_of(const gguf_tensor *t) { return t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3]; }

/* Bytes of n weights that are whole blocks; they were checked with the tensor. */
static size_t bytes_of(const quant_type *t, uint64_t n) { return (size_t)(n / t->block_len) * t->block_bytes; }

/* False at the end. */
static bool next_slice(stream *st, slice *s) {
    const quantize_plan *p = st->plan;
    if (st->next_item == p->n_items) return false;
    const quantize_item *x = &p->items[st->next_item];
    const gguf_tensor *t = x->from;
    bool copy = is_copy(x);
    uint64_t unit = copy ? t->type->block_len : t->dims[0], total = weights_of(t) / unit;
    size_t in_unit = bytes_of(t->type, unit), out_unit = bytes_of(x->to, unit);
    uint64_t n = MIN(total - st->next_unit, MAX(st->slot_bytes / MAX(in_unit, out_unit), 1));
    if (x->columns) n = MIN(n, t->dims[1] - st->next_unit % t->dims[1]);
    bool last = n == total - st->next_unit;
    *s = (slice){x,   st->next_unit, n, (size_t)n * in_unit, (size_t)n * out_unit, t->offset + st->next_unit * in_unit,
                 last};
    st->next_unit = last ? 0 : st->next_unit + n;
    st->next_item += last;
    return true;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static err_code take_memory(stream *st, err *e) {
    const quantize_plan *p = st->plan;
    size_t need = 0, n_workers = (size_t)pool_workers(st->workers), columns = 0, ring, rows, all;
    for (size_t i = 0; i < p->n_items; i++) {
        const quantize_item *x = &p->items[i];
        if (is_copy(x)) continue;
        uint64_t n = x->from->dims[0];
        st->row_max = MAX(st->row_max, (size_t)n);
        need = MAX(need, MAX(bytes_of(x->from->type, n), bytes_of(x->to, n)));
        if (x->columns) columns = MAX(columns, (size_t)n * sizeof(float));
    }
    need = align_up(MAX(need, (size_t)4096), 64);
    columns = align_up(columns, 64);
    rows = align_up(st->row_max * sizeof(float), 64);
    size_t held = mem_bytes_total(), free_bytes = st->o->ram_bytes > held ? (size_t)st->o->ram_bytes - held : 0;
    size_t fixed = n_workers * rows + SLOTS * columns + ((size_t)1 << 16);
    bool fits = fixed < free_bytes && (free_bytes - fixed) / (2 * SLOTS) >= need;
    char wanted[32], given[32];
    if (!fits)
        return ERR(e, ERR_MEMORY, "--ram %s is too little: the longest row and the headers want %s",
                   fmt_bytes(given, sizeof given, st->o->ram_bytes),
                   fmt_bytes(wanted, sizeof wanted, (uint64_t)held + fixed + 2 * SLOTS * (uint64_t)need));
    st->slot_bytes = MAX(need, MIN(SLOT_BYTES, (free_bytes - fixed) / (2 * SLOTS) & ~(size_t)4095));
    ring = SLOTS * (2 * st->slot_bytes + columns);
    all = ring + n_workers * rows;
    uint8_t *at = st->memory = mem_block(MEM_TOOLS, all);
    if (!at) return ERR(e, ERR_MEMORY, "no memory for %zu bytes of buffers", all);
    for (size_t i = 0; i < SLOTS; i++) {
        st->slots[i].in = at;
        st->slots[i].out = at + st->slot_bytes;
        st->slots[i].columns = (float *)(void *)(at + 2 * st->slot_bytes);
        at += 2 * st->slot_bytes + columns;
    }
    st->row_max = rows / sizeof(float);
    st->rows = (float *)(void *)at;
    return ERR_NONE;
}

/* ---- the writer -------------------------------------------------------------------------------------------------- */

static void write_slices(void *arg) {
    stream *st = arg;
    for (uint32_t i = 0;; i++) {
        while (atomic_load(&st->n_encoded) == i) plat_wait(&st->n_encoded, i, UINT64_MAX);
        if (atomic_load(&st->n_all) == i) return;
        const slot *x = &st->slots[i % SLOTS];
        const quantize_item *item = x->s.item;
        if (!atomic_load(&st->failed) &&
            quantize_out_write(st->out, item->part, is_copy(item) ? x->in : x->out, x->s.out_bytes, &st->write_error))
            atomic_store(&st->failed, true);
        atomic_store(&st->n_written, i + 1);
        plat_wake(&st->n_written, 1);
    }
}

static void hand_over(stream *st) {
    atomic_fetch_add(&st->n_encoded, 1);
    plat_wake(&st->n_encoded, 1);
}

/* ---- the workers ------------------------------------------------------------------------------------------------- */

/* The largest magnitude of these types; the others bound what they are given. */
static float limit_of(quant_id to) { return to == QUANT_F16 ? 65520.0f : to == QUANT_BF16 ? 3.3961775e38f : F32_INF; }

static size_t find_large(const float *row, size_t n, float limit) {
    for (size_t i = 0; i < n; i++)
        if (row[i] >= limit || row[i] <= -limit) return i;
    return n;
}

static void note(fault *f, uint64_t row, uint64_t column, float value) {
    if (f->any && f->row <= row) return;
    *f = (fault){row, column, value, true};
}

static const float *floats_of_row(const stream *st, const gguf_tensor *t, const uint8_t *bytes, float *to) {
    if (t->type->id == QUANT_F32) return (const float *)(const void *)bytes;
    const uint16_t *halves = (const uint16_t *)(const void *)bytes;
    if (t->type->id == QUANT_F16) kern_f32_of_f16(st->k, halves, to, (size_t)t->dims[0]);
    else if (t->type->id == QUANT_BF16) kern_f32_of_bf16(st->k, halves, to, (size_t)t->dims[0]);
    else t->type->decode(bytes, to, (size_t)t->dims[0]);
    return to;
}

static void show(stream *st, uint64_t n_done);

static void encode_rows(void *arg, size_t step, int part, int n_parts) {
    stream *st = arg;
    const slot *x = st->now;
    const quantize_item *item = x->s.item;
    const gguf_tensor *t = item->from;
    size_t n = (size_t)t->dims[0], in_row = bytes_of(t->type, n), out_row = bytes_of(item->to, n);
    float limit = limit_of(item->to->id), *scratch = st->rows + (size_t)part * st->row_max;
    (void)step, (void)n_parts;
    while (!plat_interrupted()) {
        uint64_t first = atomic_fetch_add_explicit(&st->next_row, st->grab, memory_order_relaxed);
        if (first >= x->s.n) return;
        for (uint64_t r = first; r < MIN(first + st->grab, x->s.n); r++) {
            const float *row = floats_of_row(st, t, x->in + r * in_row, scratch);
            size_t bad = kern_all_finite(st->k, row, n) ? n : quant_find_not_finite(row, n);
            if (bad == n && limit < F32_INF) bad = find_large(row, n, limit);
            if (bad < n) note(&st->faults[part], x->s.first + r, bad, row[bad]);
            else st->encode(row, item->columns ? x->columns : NULL, x->out + r * out_row, n);
        }
        if (part == 0) show(st, MIN(first + st->grab, x->s.n));
    }
}

static err_code report_fault(stream *st, const quantize_item *x, err *e) {
    fault *first = NULL;
    for (int i = 0; i < pool_workers(st->workers); i++) {
        fault *f = &st->faults[i];
        if (f->any && (!first || f->row < first->row)) first = f;
    }
    if (!first) return ERR_NONE;
    const gguf_tensor *t = x->from;
    const char *why = f32_is_finite(first->value) ? ", more than the type can hold" : "";
    return ERR(e, ERR_FORMAT, "tensor %.*s, row %llu, column %llu: the weight is %g%s", SHOWN(t->name),
               (unsigned long long)first->row, (unsigned long long)first->column, (double)first->value, why);
}

static err_code encode_slice(stream *st, slot *x, err *e) {
    const quantize_item *item = x->s.item;
    const gguf_tensor *t = item->from;
    memset(st->faults, 0, sizeof st->faults);
    st->now = x;
    if (!is_copy(item)) {
        st->encode = kern_encoder(st->k, item->to->id);
        st->grab = MAX(GRAB_WEIGHTS / t->dims[0], 1);
        atomic_store(&st->next_row, 0);
        pool_run(st->workers, encode_rows, st, 1);
    } else if (t->type->id == QUANT_F32 && !st->plan->mix->copy) {
        const float *x0 = (const float *)(const void *)x->in;
        size_t bad = quant_find_not_finite(x0, (size_t)x->s.n);
        if (bad < x->s.n)
            note(&st->faults[0], (x->s.first + bad) / t->dims[0], (x->s.first + bad) % t->dims[0], x0[bad]);
    }
    return report_fault(st, item, e);
}

/* ---- the reader -------------------------------------------------------------------------------------------------- */

/* False at the end of all tensors. The slot is free. */
static err_code read_into(stream *st, uint32_t number, bool *more, err *e) {
    slot *x = &st->slots[number % SLOTS];
    *more = next_slice(st, &x->s);
    if (!*more) return ERR_NONE;
    const quantize_item *item = x->s.item;
    const gguf_tensor *t = item->from;
    x->read = false;
    plat_read r = {.file = gguf_part_file(st->plan->in, t->part), .offset = x->s.offset, .to = x->in,
                   .bytes = x->s.in_bytes, .tag = number % SLOTS};
    int error = plat_queue_submit(st->queue, &r, 1);
    if (error) return ERR(e, ERR_IO, "reading tensor %.*s: %s", SHOWN(t->name), plat_error_name(error));
    if (!item->columns) return ERR_NONE;
    uint64_t expert = x->s.first / t->dims[1];
    return imatrix_importance(st->plan->importance, item->columns, t->dims[0], t->dims[2] * t->dims[3], expert,
                              x->columns, e);
}

static err_code wait_read(stream *st, slot *x, quantize_stats *stats, err *e) {
    plat_read done[SLOTS];
    uint64_t from = plat_time_ns();
    while (!x->read) {
        size_t n = plat_queue_reap(st->queue, done, SLOTS, POLL_NS);
        for (size_t i = 0; i < n; i++) {
            st->slots[done[i].tag].read = true;
            st->slots[done[i].tag].result = done[i].result;
        }
        if (plat_interrupted()) return ERR(e, ERR_CANCELLED, "interrupted");
    }
    stats->wait_read_ns += plat_time_ns() - from;
    const gguf_tensor *t = x->s.item->from;
    const char *path = gguf_part_path(st->plan->in, t->part);
    if (x->result < 0)
        return ERR(e, ERR_IO, "%.120s: reading tensor %.*s: %s", path, SHOWN(t->name), plat_error_name((int)x->result));
    if ((uint64_t)x->result != x->s.in_bytes)
        return ERR(e, ERR_IO, "%.120s: tensor %.*s: the file ended after %lld of %zu bytes", path, SHOWN(t->name),
                   (long long)x->result, x->s.in_bytes);
    return ERR_NONE;
}

/* Until the slot of slice `number` is free. */
static err_code wait_written(stream *st, uint32_t number, quantize_stats *stats, err *e) {
    uint64_t from = plat_time_ns();
    for (;;) {
        uint32_t written = atomic_load(&st->n_written);
        if (atomic_load(&st->failed)) {
            if (e) *e = st->write_error;
            return st->write_error.code;
        }
        if (written + SLOTS > number) break;
        if (plat_interrupted()) return ERR(e, ERR_CANCELLED, "interrupted");
        plat_wait(&st->n_written, written, POLL_NS);
    }
    stats->wait_write_ns += plat_time_ns() - from;
    return ERR_NONE;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

/* n_done units of the slice at hand. */
static void show(stream *st, uint64_t n_done) {
    if (st->o->quiet) return;
    const slot *x = st->now;
    uint64_t done = st->done_bytes + x->s.in_bytes / x->s.n * n_done, total = st->plan->in_bytes;
    double seconds = (double)(plat_time_ns() - st->start_ns) * 1e-9;
    double speed = (double)done / MAX(seconds, 1e-3);
    uint64_t left = (uint64_t)((double)(total - MIN(done, total)) / MAX(speed, 1.0));
    str name = x->s.item->from->name;
    tools_progress_show(&st->bar, done >> 20, (total >> 20) + 1, "MiB, %.0f MB/s, %llu:%02llu left  %.*s", speed * 1e-6,
                        (unsigned long long)left / 60, (unsigned long long)left % 60, (int)MIN(name.len, (size_t)40),
                        name.ptr);
}

static void tell(stream *st, const quantize_item *x) {
    const gguf_tensor *t = x->from;
    char dims[64];
    size_t n = fmt(dims, sizeof dims, "%llu", (unsigned long long)t->dims[0]);
    for (uint32_t i = 1; i < t->n_dims; i++)
        n += fmt(dims + n, sizeof dims - n, " x %llu", (unsigned long long)t->dims[i]);
    tools_progress_end(&st->bar);
    tools_err(st->t, "%5zu/%zu  %-32.*s %-20s %s", st->done_items, st->plan->n_items, SHOWN(t->name), dims,
              t->type->name);
    if (!is_copy(x)) tools_err(st->t, " -> %s%s", x->to->name, x->columns ? ", by importance" : "");
    tools_err(st->t, "\n");
}

static err_code run_slices(stream *st, quantize_stats *stats, err *e) {
    bool more = true;
    uint32_t n_read = 0;
    err_code code = ERR_NONE;
    for (uint32_t i = 0; !code; i++) {
        /* Slots that the writer has left are filled at once; for the next one there is no way but to wait. */
        while (more && !code && (n_read == i || atomic_load(&st->n_written) + SLOTS > n_read)) {
            code = wait_written(st, n_read, stats, e);
            if (!code) code = read_into(st, n_read, &more, e);
            n_read += more && !code;
        }
        if (code || i == n_read) break;
        slot *x = &st->slots[i % SLOTS];
        const quantize_item *item = x->s.item;
        code = wait_read(st, x, stats, e);
        if (!code) code = encode_slice(st, x, e);
        if (!code && plat_interrupted()) code = ERR(e, ERR_CANCELLED, "interrupted");
        if (code) break;
        if (st->forget) plat_file_forget(gguf_part_file(st->plan->in, item->from->part), x->s.offset, x->s.in_bytes);
        st->done_items += x->s.last;
        if (x->s.last && st->o->verbose) tell(st, item);
        show(st, x->s.n);
        st->done_bytes += x->s.in_bytes;
        hand_over(st);
    }
    return code;
}

err_code quantize_stream_run(tools *t, const quantize_plan *p, quantize_out *out, const quantize_values *o,
                         quantize_stats *stats, err *e) {
    err_code code = ERR_NONE;
    stream *st = mem_block(MEM_TOOLS, sizeof *st);
    if (!st) return ERR(e, ERR_MEMORY, "no memory for the stream");
    *st = (stream){.t = t, .plan = p, .out = out, .o = o, .n_all = UINT32_MAX, .start_ns = plat_time_ns()};
    code = kern_choose(&st->k, o->isa, e);
    st->forget = gguf_total_bytes(p->in) > plat_mem_available() / 2;
    tools_progress_start(&st->bar, t, "quantize");
    if (!code) code = pool_open(&st->workers, &(pool_opts){.n_workers = o->n_threads, .pin = !o->no_pin}, e);
    if (!code) code = take_memory(st, e);
    int error = code ? PLAT_OK : plat_queue_open(&st->queue, SLOTS);
    if (!code && !error) error = plat_thread_start(&st->writer, write_slices, st, -1);
    if (error) code = ERR(e, ERR_MEMORY, "no thread to read or write with: %s", plat_error_name(error));
    if (!code) {
        *stats = (quantize_stats){.n_threads = pool_workers(st->workers), .isa = kern_name(st->k)};
        code = run_slices(st, stats, e);
    }
    if (st->writer) {
        if (code) atomic_store(&st->failed, true);
        atomic_store(&st->n_all, atomic_load(&st->n_encoded));
        hand_over(st);
        plat_thread_join(st->writer);
        if (!code && atomic_load(&st->failed)) {
            *e = st->write_error;
            code = st->write_error.code;
        }
    }
    tools_progress_end(&st->bar);
    plat_queue_close(st->queue);
    pool_close(st->workers);
    mem_block_free(st->memory);
    mem_block_free(st);
    return code;
}
