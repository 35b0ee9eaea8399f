/* probe.c: how fast the disk is when read as the store reads it, and how many reads it wants at once: the fewest that
 * give 95 % of the best. Each number of reads is tried twice for a twentieth of a second at most, and all those tries
 * count that were made with a number which does as well: the best of ten is faster than what lasts. Like experts, each
 * read has a place of its own: a virtual disk may be a copy in memory, and into the same few megabytes, which caches
 * hold, few reads at once look a quarter faster. A file of holes, of which there is little more than the header, says
 * nothing of the disk.
 */
#include "store/store_int.h"

#define PROBE_READ_BYTES ((size_t)1 << 20)
#define PROBE_READS 48
#define PROBE_NS 50000000u

/* The places of a block that are read into, in turn. */
typedef struct places {
    char *first;
    size_t n, next;
} places;

/* Bytes a second with `depth` reads at a time, at random offsets; 0 where a read failed, and where most are holes. */
static double measure(store *s, rng *dice, places *to, size_t depth) {
    size_t sent = 0, back = 0, blank = 0, in_flight = 0, part = gguf_part_count(s->g) - 1;
    uint64_t offsets = plat_file_bytes(store_file_of(s, (uint32_t)part)) / PROBE_READ_BYTES, start = plat_time_ns();
    bool failed = !offsets;
    double bytes_s = 0;
    while (!failed && (back < sent || sent < PROBE_READS)) {
        bool over = sent == PROBE_READS || plat_time_ns() - start > PROBE_NS;
        while (!over && !failed && in_flight < depth && sent < PROBE_READS) {
            plat_read r = {.file = store_file_of(s, (uint32_t)part),
                           .offset = rng_u64(dice) % offsets * PROBE_READ_BYTES,
                           .to = to->first + to->next++ % to->n * PROBE_READ_BYTES,
                           .bytes = PROBE_READ_BYTES};
            failed = plat_queue_submit(s->queue, &r, 1) != PLAT_OK;
            sent += !failed;
            in_flight += !failed;
        }
        if (!in_flight) break;
        plat_read done[STORE_DEPTH_MAX];
        size_t n = plat_queue_reap(s->queue, done, STORE_DEPTH_MAX, UINT64_MAX);
        for (size_t i = 0; i < n; i++) {
            failed |= done[i].result != (int64_t)done[i].bytes;
            blank += load_u64(done[i].to) == 0;
        }
        back += n;
        in_flight -= n;
    }
    bytes_s = (double)back * (double)PROBE_READ_BYTES * 1e9 / (double)MAX(plat_time_ns() - start, 1);
    plat_read done[STORE_DEPTH_MAX];
    while (in_flight) in_flight -= plat_queue_reap(s->queue, done, STORE_DEPTH_MAX, UINT64_MAX);
    return failed || blank > back / 2 ? 0 : bytes_s;
}

#define ROUNDS 2 /* others may disturb one */
#define AS_WELL 0.95

void store_probe(store *s, char *to, size_t bytes) {
    static const size_t depths[] = {1, 2, 4, 8, 16};
    double speed[COUNT_OF(depths)][ROUNDS] = {0}, best = 0, as_well[COUNT_OF(depths) * ROUNDS];
    size_t n = 0, first = 0;
    rng dice;
    rng_seed(&dice, 1);
    /* Small pages before the first large one would slow reads at low depths down. */
    size_t skip = (size_t)(align_up((uintptr_t)to, MEM_LARGE_PAGE) - (uintptr_t)to);
    if (bytes >= 4 * MEM_LARGE_PAGE) to += skip, bytes -= skip;
    bytes = MIN(bytes, (size_t)STORE_PROBE_BYTES);
    if (bytes < depths[COUNT_OF(depths) - 1] * PROBE_READ_BYTES) return; /* the result is kept for others with more */
    places all = {.first = to, .n = bytes / PROBE_READ_BYTES};
    plat_populate(to, bytes);
    measure(s, &dice, &all, 1); /* wakes the disk */
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < COUNT_OF(depths); i++)
            best = MAX(best, speed[i][round] = measure(s, &dice, &all, depths[i]));
    if (best <= 0) return;
    for (size_t i = 0; i < COUNT_OF(depths); i++) {
        if (MAX(speed[i][0], speed[i][1]) < AS_WELL * best) continue;
        if (!n) first = depths[i];
        for (int round = 0; round < ROUNDS; round++)
            if (speed[i][round] > 0) as_well[n++] = speed[i][round];
    }
    s->stats.disk_bytes_s = sort_median(as_well, n);
    s->depth = MAX(first, (size_t)2); /* while one is taken in, another should be under way */
}
