/* fault.c: the calls of plat.h that can fail, each passing through unless the armed plan says otherwise.
 *
 * One sequence of random numbers decides, under a lock, so that a test whose calls come from one thread repeats
 * exactly.
 */
#include "plat/fault/fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool armed;
static fault_plan plan;
static rng dice;
static uint64_t calls, hits;

/* What the system's cache has. Of the thread that uses queues in a test, as the tickets below. */
enum { CACHED_MAX = 256 };
static struct cached {
    const plat_file *file;
    uint64_t from, end;
} cached[CACHED_MAX];
static size_t n_cached, n_cached_most;

void fault_arm(const fault_plan *p) {
    pthread_mutex_lock(&lock);
    armed = p != NULL;
    if (p) plan = *p;
    rng_seed(&dice, p ? p->seed : 0);
    calls = hits = 0;
    n_cached = n_cached_most = 0;
    pthread_mutex_unlock(&lock);
}

size_t fault_cached(void) { return n_cached; }
size_t fault_cached_most(void) { return n_cached_most; }

static uint64_t counter(const uint64_t *of) {
    pthread_mutex_lock(&lock);
    uint64_t n = *of;
    pthread_mutex_unlock(&lock);
    return n;
}

uint64_t fault_calls(void) { return counter(&calls); }
uint64_t fault_hits(void) { return counter(&hits); }

/* Counts a faultable call; true: it shall fail. `chance` points into the plan. */
static bool strikes(const double *chance) {
    pthread_mutex_lock(&lock);
    bool hit = armed && (plan.fail_at == (int64_t)calls || rng_unit(&dice) < *chance);
    calls += armed;
    hits += hit;
    pthread_mutex_unlock(&lock);
    return hit;
}

/* A roll that is not a call of its own: which kind of failure, how much shorter. */
static bool also(const double *chance) {
    pthread_mutex_lock(&lock);
    bool hit = armed && rng_unit(&dice) < *chance;
    hits += hit;
    pthread_mutex_unlock(&lock);
    return hit;
}

static size_t below(size_t n) {
    pthread_mutex_lock(&lock);
    size_t v = n ? (size_t)(rng_u64(&dice) % n) : 0;
    pthread_mutex_unlock(&lock);
    return v;
}

static bool queued_only(void) {
    pthread_mutex_lock(&lock);
    bool spared = armed && plan.queued_only;
    pthread_mutex_unlock(&lock);
    return spared;
}

/* What a read of `bytes` shall give: the same number, fewer, or an error. */
static int64_t read_fate(size_t bytes) {
    if (strikes(&plan.read_error)) return PLAT_IO_ERROR;
    return also(&plan.read_short) ? (int64_t)below(bytes) : (int64_t)bytes;
}

/* ---- time ----------------------------------------------------------------------------------------- */

static _Atomic uint64_t stands_ns; /* 0: it runs */

uint64_t __real_plat_time_ns(void);
uint64_t __wrap_plat_time_ns(void);
uint64_t __wrap_plat_time_ns(void) {
    uint64_t at = stands_ns;
    return at ? at : __real_plat_time_ns();
}

void fault_clock(uint64_t ns) { stands_ns = ns == FAULT_CLOCK_RUNS ? 0 : __wrap_plat_time_ns() + ns; }

/* ---- memory, threads ----------------------------------------------------------------------------- */

uint32_t __real_plat_caps(void);
uint32_t __wrap_plat_caps(void);
uint32_t __wrap_plat_caps(void) {
    pthread_mutex_lock(&lock);
    uint32_t hidden = armed && plan.no_map ? PLAT_CAN_MAP : 0;
    uint32_t shown = armed && plan.caller_waits ? PLAT_CALLER_WAITS : 0;
    pthread_mutex_unlock(&lock);
    return (__real_plat_caps() & ~hidden) | shown;
}

uint64_t __real_plat_mem_total(void);
uint64_t __wrap_plat_mem_total(void);
uint64_t __wrap_plat_mem_total(void) {
    pthread_mutex_lock(&lock);
    uint64_t said = armed ? plan.memory_total : 0;
    pthread_mutex_unlock(&lock);
    return said ? said : __real_plat_mem_total();
}

uint64_t __real_plat_mem_available(void);
uint64_t __wrap_plat_mem_available(void);
uint64_t __wrap_plat_mem_available(void) {
    pthread_mutex_lock(&lock);
    uint64_t said = armed ? plan.memory_available : 0;
    pthread_mutex_unlock(&lock);
    return said ? said : __real_plat_mem_available();
}

double __real_plat_mem_pressure(void);
double __wrap_plat_mem_pressure(void);
double __wrap_plat_mem_pressure(void) {
    pthread_mutex_lock(&lock);
    double said = armed && plan.memory_total ? plan.memory_pressure : -1;
    pthread_mutex_unlock(&lock);
    return said >= 0 ? said : __real_plat_mem_pressure();
}

void *__real_plat_reserve(size_t bytes);
void *__wrap_plat_reserve(size_t bytes);
void *__wrap_plat_reserve(size_t bytes) { return strikes(&plan.memory_error) ? NULL : __real_plat_reserve(bytes); }

int __real_plat_commit(void *at, size_t bytes);
int __wrap_plat_commit(void *at, size_t bytes);
int __wrap_plat_commit(void *at, size_t bytes) {
    return strikes(&plan.memory_error) ? PLAT_NO_MEMORY : __real_plat_commit(at, bytes);
}

/* ---- cores: asked by the thread that armed the plan ------------------------------------------------- */

static bool made_up(void) { return armed && plan.n_cores; }

int __real_plat_core_count(void);
int __wrap_plat_core_count(void);
int __wrap_plat_core_count(void) { return made_up() ? plan.n_cores : __real_plat_core_count(); }

plat_core __real_plat_core_at(int core);
plat_core __wrap_plat_core_at(int core);
plat_core __wrap_plat_core_at(int core) { return made_up() ? plan.cores[core] : __real_plat_core_at(core); }

int __real_plat_thread_start(plat_thread **out, void (*fn)(void *), void *arg, int core);
int __wrap_plat_thread_start(plat_thread **out, void (*fn)(void *), void *arg, int core);
int __wrap_plat_thread_start(plat_thread **out, void (*fn)(void *), void *arg, int core) {
    *out = NULL;
    if (strikes(&plan.memory_error)) return PLAT_NO_MEMORY;
    if (made_up()) *plan.pins++ = core;
    return __real_plat_thread_start(out, fn, arg, made_up() ? -1 : core);
}

/* ---- files --------------------------------------------------------------------------------------- */

static void uncache(const plat_file *f, uint64_t from, uint64_t end) {
    size_t left = 0;
    for (size_t i = 0; i < n_cached; i++)
        if (cached[i].file != f || cached[i].from < from || cached[i].end > end) cached[left++] = cached[i];
    n_cached = left;
}

static void will_cache(const plat_file *f, uint64_t from, uint64_t bytes) {
    uncache(f, from, from + bytes);
    if (armed && plat_file_align(f) == 1 && n_cached < CACHED_MAX)
        cached[n_cached++] = (struct cached){f, from, from + bytes};
    n_cached_most = MAX(n_cached_most, n_cached);
}

int64_t __real_plat_file_read(plat_file *f, uint64_t offset, void *to, size_t bytes);
int64_t __wrap_plat_file_read(plat_file *f, uint64_t offset, void *to, size_t bytes);
int64_t __wrap_plat_file_read(plat_file *f, uint64_t offset, void *to, size_t bytes) {
    will_cache(f, offset, bytes);
    int64_t fate = queued_only() ? (int64_t)bytes : read_fate(bytes);
    return fate < 0 ? fate : __real_plat_file_read(f, offset, to, (size_t)fate);
}

int __real_plat_file_open_direct(plat_file **out, const char *path);
int __wrap_plat_file_open_direct(plat_file **out, const char *path);
int __wrap_plat_file_open_direct(plat_file **out, const char *path) {
    *out = NULL;
    if (armed && plan.no_direct) return PLAT_UNSUPPORTED;
    return strikes(&plan.read_error) ? PLAT_UNSUPPORTED : __real_plat_file_open_direct(out, path);
}

int __real_plat_file_map(plat_file *f, const void **at);
int __wrap_plat_file_map(plat_file *f, const void **at);
int __wrap_plat_file_map(plat_file *f, const void **at) {
    return strikes(&plan.memory_error) ? PLAT_NO_MEMORY : __real_plat_file_map(f, at);
}

void __real_plat_file_uncache(plat_file *f);
void __wrap_plat_file_uncache(plat_file *f);
void __wrap_plat_file_uncache(plat_file *f) {
    uncache(f, 0, UINT64_MAX);
    __real_plat_file_uncache(f);
}

void __real_plat_file_forget(plat_file *f, uint64_t offset, uint64_t bytes);
void __wrap_plat_file_forget(plat_file *f, uint64_t offset, uint64_t bytes);
void __wrap_plat_file_forget(plat_file *f, uint64_t offset, uint64_t bytes) {
    uncache(f, offset, offset + bytes);
    __real_plat_file_forget(f, offset, bytes);
}

int __real_plat_out_create(plat_out **out, const char *path, bool private);
int __wrap_plat_out_create(plat_out **out, const char *path, bool private);
int __wrap_plat_out_create(plat_out **out, const char *path, bool private) {
    *out = NULL;
    return strikes(&plan.write_error) ? PLAT_DENIED : __real_plat_out_create(out, path, private);
}

int __real_plat_out_expect(plat_out *o, uint64_t bytes);
int __wrap_plat_out_expect(plat_out *o, uint64_t bytes);
int __wrap_plat_out_expect(plat_out *o, uint64_t bytes) {
    return strikes(&plan.write_error) ? PLAT_NO_SPACE : __real_plat_out_expect(o, bytes);
}

/* A full disk takes a part of it. */
int __real_plat_out_write(plat_out *o, const void *bytes, size_t n);
int __wrap_plat_out_write(plat_out *o, const void *bytes, size_t n);
int __wrap_plat_out_write(plat_out *o, const void *bytes, size_t n) {
    if (!strikes(&plan.write_error)) return __real_plat_out_write(o, bytes, n);
    int error = __real_plat_out_write(o, bytes, below(n));
    return error ? error : PLAT_NO_SPACE;
}

int __real_plat_out_sync(plat_out *o);
int __wrap_plat_out_sync(plat_out *o);
int __wrap_plat_out_sync(plat_out *o) {
    return strikes(&plan.write_error) ? PLAT_IO_ERROR : __real_plat_out_sync(o);
}

int __real_plat_out_settle(plat_out *o, int error);
int __wrap_plat_out_settle(plat_out *o, int error);
int __wrap_plat_out_settle(plat_out *o, int error) {
    bool hit = strikes(&plan.write_error);
    return __real_plat_out_settle(o, hit && !error ? PLAT_IO_ERROR : error);
}

int __real_plat_file_rename(const char *from, const char *to);
int __wrap_plat_file_rename(const char *from, const char *to);
int __wrap_plat_file_rename(const char *from, const char *to) {
    if (armed && plan.last_rename && !--plan.last_rename) _exit(FAULT_DIED);
    return strikes(&plan.write_error) ? PLAT_DENIED : __real_plat_file_rename(from, to);
}

/* ---- streams ------------------------------------------------------------------------------------- */

int __real_plat_listen(plat_stream **out, const char *host, uint16_t port);
int __wrap_plat_listen(plat_stream **out, const char *host, uint16_t port);
int __wrap_plat_listen(plat_stream **out, const char *host, uint16_t port) {
    *out = NULL;
    return strikes(&plan.stream_error) ? PLAT_DENIED : __real_plat_listen(out, host, port);
}

/* The one who came is lost. */
int __real_plat_accept(plat_stream *listener, plat_stream **out);
int __wrap_plat_accept(plat_stream *listener, plat_stream **out);
int __wrap_plat_accept(plat_stream *listener, plat_stream **out) {
    bool hit = strikes(&plan.stream_error);
    int error = __real_plat_accept(listener, out);
    if (error || !hit) return error;
    plat_stream_close(*out);
    *out = NULL;
    return PLAT_NO_MEMORY;
}

/* How many bytes a stream moves; 0: none just now. */
static size_t stream_part(size_t n) { return also(&plan.stream_short) ? below(n) : n; }

int64_t __real_plat_recv(plat_stream *s, void *to, size_t bytes);
int64_t __wrap_plat_recv(plat_stream *s, void *to, size_t bytes);
int64_t __wrap_plat_recv(plat_stream *s, void *to, size_t bytes) {
    if (strikes(&plan.stream_error)) return PLAT_CLOSED;
    size_t part = stream_part(bytes);
    return part ? __real_plat_recv(s, to, part) : PLAT_AGAIN;
}

int64_t __real_plat_send(plat_stream *s, const void *bytes, size_t n);
int64_t __wrap_plat_send(plat_stream *s, const void *bytes, size_t n);
int64_t __wrap_plat_send(plat_stream *s, const void *bytes, size_t n) {
    if (strikes(&plan.stream_error)) return PLAT_CLOSED;
    size_t part = stream_part(n);
    return part ? __real_plat_send(s, bytes, part) : PLAT_AGAIN;
}

/* ---- queued reads --------------------------------------------------------------------------------- */

/* What shall become of a submitted read. Decided when it is submitted, because reads end in any order. */
typedef struct ticket {
    plat_queue *queue;
    plat_read read;   /* as reaped, once it is back */
    int64_t fate;     /* bytes it may give at most, or its error */
    int reaps_left;   /* how many more reaps it stays unfinished */
    uint8_t *kept;    /* its bytes meanwhile: the buffer holds rubbish until it is finished */
    struct ticket *next;
} ticket;
static ticket *tickets; /* of the thread that uses queues in a test */

int __real_plat_queue_open(plat_queue **out, uint32_t depth);
int __wrap_plat_queue_open(plat_queue **out, uint32_t depth);
int __wrap_plat_queue_open(plat_queue **out, uint32_t depth) {
    *out = NULL;
    return strikes(&plan.memory_error) ? PLAT_NO_MEMORY : __real_plat_queue_open(out, depth);
}

int __real_plat_queue_submit(plat_queue *q, const plat_read *reads, size_t n);
int __wrap_plat_queue_submit(plat_queue *q, const plat_read *reads, size_t n);
int __wrap_plat_queue_submit(plat_queue *q, const plat_read *reads, size_t n) {
    if (!queued_only() && strikes(&plan.read_error)) return PLAT_IO_ERROR;
    int error = __real_plat_queue_submit(q, reads, n);
    for (size_t i = 0; i < n && !error; i++) {
        int64_t fate = read_fate(reads[i].bytes);
        will_cache(reads[i].file, reads[i].offset, reads[i].bytes);
        int reaps_left = also(&plan.read_delay) ? 1 + (int)below(5) : 0;
        if (fate == (int64_t)reads[i].bytes && !reaps_left) continue;
        ticket *t = malloc(sizeof *t);
        if (!t) abort();
        *t = (ticket){.queue = q, .read = reads[i], .fate = fate, .reaps_left = reaps_left, .next = tickets};
        tickets = t;
    }
    return error;
}

static void drop(ticket *t) {
    ticket **at = &tickets;
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    free(t->kept);
    free(t);
}

/* A real read came back: false when it shall stay unfinished. */
static bool deliver(plat_queue *q, plat_read *read) {
    ticket *t = tickets;
    while (t && (t->queue != q || t->read.to != read->to)) t = t->next;
    if (!t) return true;
    read->result = MIN(read->result, t->fate);
    size_t good = read->result > 0 ? (size_t)read->result : 0;
    memset((char *)read->to + good, 0xA5, read->bytes - good);
    if (t->reaps_left == 0) {
        drop(t);
        return true;
    }
    t->kept = malloc(read->bytes);
    if (!t->kept) abort();
    memcpy(t->kept, read->to, read->bytes);
    memset(read->to, 0xA5, read->bytes);
    t->read = *read;
    return false;
}

size_t __real_plat_queue_reap(plat_queue *q, plat_read *done, size_t max, uint64_t timeout_ns);
size_t __wrap_plat_queue_reap(plat_queue *q, plat_read *done, size_t max, uint64_t timeout_ns);
size_t __wrap_plat_queue_reap(plat_queue *q, plat_read *done, size_t max, uint64_t timeout_ns) {
    size_t n = 0;
    bool any_kept = false;
    for (ticket *t = tickets, *next; t && n < max; t = next) {
        next = t->next;
        if (t->queue != q || !t->kept) continue;
        any_kept = true;
        if (--t->reaps_left > 0) continue;
        memcpy(t->read.to, t->kept, t->read.bytes);
        done[n++] = t->read;
        drop(t);
    }
    /* With reads kept back an early return without any is what a slow machine looks like. */
    plat_read *fresh = done + n;
    size_t n_fresh = n < max ? __real_plat_queue_reap(q, fresh, max - n, any_kept ? 0 : timeout_ns) : 0;
    for (size_t i = 0; i < n_fresh; i++)
        if (deliver(q, &fresh[i])) done[n++] = fresh[i];
    return n;
}

void __real_plat_queue_close(plat_queue *q);
void __wrap_plat_queue_close(plat_queue *q);
void __wrap_plat_queue_close(plat_queue *q) {
    __real_plat_queue_close(q);
    for (ticket *t = tickets, *next; t; t = next) {
        next = t->next;
        if (t->queue == q) drop(t);
    }
}
