/* disk.h: disks, for reading: NVMe (nvme.c) and virtio-blk (virtio_blk.c), found at start and named in that order:
 * nvme0, nvme1, ..., disk0, disk1, ... A disk has hardware queues of many commands each; whoever waits for a command
 * polls the queue. Files, and what partitions hold, are found by src/plat/bare/volumes.c.
 *
 * A command that fails is told to who sent it and to the log, with the disk and the block; all others go on. A disk
 * that finishes nothing for DISK_TIMEOUT_NS is switched off, and its commands fail.
 */
#ifndef LEAT_DISK_H
#define LEAT_DISK_H

#include "base/base.h"
#include "kernel/cpu/cpu.h"

#include <stdatomic.h>

enum {
    DISK_COUNT_MAX = 16,
    DISK_QUEUES_MAX = 4,
    DISK_DEPTH_MAX = 127,
    DISK_BYTES_MAX = 512 << 10, /* of one command */
    DISK_PIECES_MAX = 124,      /* parts of memory in one command, each physically in one piece */
    DISK_TABLE_BYTES = 2048,    /* memory that a driver has for each command */
};
#define DISK_TIMEOUT_NS 30000000000u

/* What somebody waits for: some commands, whose number is `left`. */
typedef struct disk_job {
    _Atomic uint32_t left;
    _Atomic int error; /* 0, or PLAT_IO_ERROR */
} disk_job;

typedef struct disk_piece {
    uint64_t physical;
    uint32_t bytes;
} disk_piece;

typedef struct disk_command {
    disk_job *job; /* NULL: the slot is free */
    uint64_t block;
    uint32_t n_blocks;
    uint16_t next_free;
    uint8_t *table; /* (DISK_TABLE_BYTES), physically in one piece */
} disk_command;

typedef struct disk_queue {
    cpu_lock lock;
    uint16_t first_free, in_flight, depth;
    uint64_t progress_ns; /* when a command came back or the first one was sent */
    disk_command command[DISK_DEPTH_MAX];
} disk_queue;

typedef struct disk disk;
/* With the queue's lock held. */
typedef struct disk_driver {
    void (*send)(disk *d, uint32_t queue, uint32_t slot, const disk_piece *pieces, uint32_t n); /* has room */
    void (*poll)(disk *d, uint32_t queue); /* calls disk_finished for each slot that is done */
    void (*off)(disk *d);                  /* afterwards it touches no memory of ours; without a lock */
} disk_driver;

struct disk {
    char name[12], model[48];
    uint64_t n_blocks;
    uint32_t block_bytes, bytes_max, pieces_max, depth, n_queues;
    const disk_driver *driver;
    void *state;
    bool is_off;
    _Atomic uint64_t n_commands, bytes_read, n_errors;
    _Atomic uint64_t error_block; /* the last one, when n_errors */
    _Atomic uint32_t queue_turn;
    disk_queue *queue[DISK_QUEUES_MAX];
    _Atomic uint32_t window_taken; /* a lock that is waited for by yielding */
    uint8_t *window;               /* the last bytes that were read with an alignment of their own */
    uint64_t window_at;
    size_t window_bytes;
};

void disk_start(void); /* after pci_start */
size_t disk_count(void);
disk *disk_at(size_t i);

/* Sends one command for the first of these blocks, as many as it takes; 0: no room now. The buffer is a multiple of
 * block_bytes; it is the disk's until the job is done. */
uint32_t disk_send(disk *d, uint32_t queue, uint64_t block, uint64_t n_blocks, void *to, disk_job *job);
void disk_poll(disk *d, uint32_t queue);
/* Waits; any offset, length and buffer. PLAT_OK or a plat_error. */
int disk_read(disk *d, uint64_t offset, void *to, size_t bytes);

/* ---- for drivers ---------------------------------------------------------------------------------- */

/* A disk to be filled in; NULL: too many. Its name is `kind` and a number. */
disk *disk_new(const char *kind);
/* After all else is known: queues, tables, the log. False without memory. */
bool disk_add(disk *d);
/* status: 0, or what the device says, for the log. A slot that is not in flight is ignored. */
void disk_finished(disk *d, uint32_t queue, uint32_t slot, uint32_t status);
void disk_find_nvme(void);
void disk_find_virtio(void);

#endif
