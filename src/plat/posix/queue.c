/* queue.c: asynchronous reads: io_uring (uring.c), or where that is forbidden a few threads behind submit and reap.
 * Every read is a slot that moves from waiting to running to done; depth slots exist, so that nothing here grows.
 */
#include "plat/posix/posix.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define THREADS_MAX 8 /* enough to keep an NVMe disk busy with reads of megabytes */

/* A ring of reads; holds at most depth. */
typedef struct ring {
    plat_read *slot;
    size_t first, n;
} ring;

struct plat_queue {
    pthread_mutex_t lock;
    pthread_cond_t has_work, has_done;
    ring work, done;
    size_t depth, taken; /* taken: submitted and not yet reaped */
    bool closing;
    posix_uring *uring; /* NULL: threads */
    char kind[16];
    int n_threads;
    plat_thread *thread[THREADS_MAX];
};

static void ring_put(ring *r, size_t depth, const plat_read *read) { r->slot[(r->first + r->n++) % depth] = *read; }

static plat_read ring_take(ring *r, size_t depth) {
    plat_read read = r->slot[r->first];
    r->first = (r->first + 1) % depth;
    r->n--;
    return read;
}

static void serve(void *arg) {
    plat_queue *q = arg;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (!q->work.n && !q->closing) pthread_cond_wait(&q->has_work, &q->lock);
        if (q->closing) break;
        plat_read read = ring_take(&q->work, q->depth);
        pthread_mutex_unlock(&q->lock);
        read.result = posix_read(read.file, read.offset, read.to, read.bytes);
        pthread_mutex_lock(&q->lock);
        ring_put(&q->done, q->depth, &read);
        pthread_cond_signal(&q->has_done);
    }
    pthread_mutex_unlock(&q->lock);
}

int plat_queue_open(plat_queue **out, uint32_t depth) {
    *out = NULL;
    if (!depth) return PLAT_INVALID;
    plat_queue *q = calloc(1, sizeof *q);
    if (q && (q->uring = posix_uring_open(depth))) {
        fmt(q->kind, sizeof q->kind, "io_uring");
        *out = q;
        return PLAT_OK;
    }
    plat_read *slots = calloc(2 * (size_t)depth, sizeof *slots);
    if (!q || !slots) {
        free(slots);
        free(q);
        return PLAT_NO_MEMORY;
    }
    q->depth = depth;
    q->work.slot = slots;
    q->done.slot = slots + depth;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->has_work, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->has_done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int error = PLAT_OK;
    while (q->n_threads < (int)MIN(depth, (uint32_t)THREADS_MAX)) {
        error = plat_thread_start(&q->thread[q->n_threads], serve, q, -1);
        if (error) break;
        q->n_threads++;
    }
    if (!q->n_threads) { /* one is enough to go on with */
        plat_queue_close(q);
        return error;
    }
    fmt(q->kind, sizeof q->kind, "%d thread%s", q->n_threads, q->n_threads == 1 ? "" : "s");
    *out = q;
    return PLAT_OK;
}

const char *plat_queue_kind(const plat_queue *q) { return q->kind; }

void plat_queue_close(plat_queue *q) {
    if (!q) return;
    if (q->uring) {
        posix_uring_close(q->uring);
        free(q);
        return;
    }
    pthread_mutex_lock(&q->lock);
    q->closing = true; /* waiting reads are dropped, running ones finish: afterwards nobody writes to their buffers */
    pthread_cond_broadcast(&q->has_work);
    pthread_mutex_unlock(&q->lock);
    for (int i = 0; i < q->n_threads; i++) plat_thread_join(q->thread[i]);
    pthread_cond_destroy(&q->has_done);
    pthread_cond_destroy(&q->has_work);
    pthread_mutex_destroy(&q->lock);
    free(q->work.slot);
    free(q);
}

int plat_queue_submit(plat_queue *q, const plat_read *reads, size_t n) {
    if (q->uring) return posix_uring_submit(q->uring, reads, n);
    pthread_mutex_lock(&q->lock);
    bool fits = n <= q->depth - q->taken;
    for (size_t i = 0; fits && i < n; i++) ring_put(&q->work, q->depth, &reads[i]);
    if (fits) q->taken += n;
    if (fits && n == 1) pthread_cond_signal(&q->has_work);
    else if (fits) pthread_cond_broadcast(&q->has_work);
    pthread_mutex_unlock(&q->lock);
    return fits ? PLAT_OK : PLAT_NO_SPACE;
}

size_t plat_queue_reap(plat_queue *q, plat_read *done, size_t max, uint64_t timeout_ns) {
    if (q->uring) return posix_uring_reap(q->uring, done, max, timeout_ns);
    struct timespec until;
    uint64_t now = plat_time_ns(), end = now > UINT64_MAX - timeout_ns ? UINT64_MAX : now + timeout_ns;
    end = MIN(end, (uint64_t)INT64_MAX); /* 292 years: for ever */
    until = (struct timespec){(time_t)(end / 1000000000), (long)(end % 1000000000)};
    pthread_mutex_lock(&q->lock);
    bool timed_out = timeout_ns == 0;
    while (!q->done.n && q->taken && !timed_out)
        timed_out = pthread_cond_timedwait(&q->has_done, &q->lock, &until) != 0;
    size_t n = 0;
    while (n < max && q->done.n) done[n++] = ring_take(&q->done, q->depth);
    q->taken -= n;
    pthread_mutex_unlock(&q->lock);
    return n;
}
