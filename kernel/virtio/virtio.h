/* virtio.h: the devices of virtual machines (virtio 1.x), over PCI or memory-mapped (microvm, Firecracker): features,
 * configuration, and queues of buffers that the device fills or empties. What a device is for stands in its driver
 * (disk/virtio_blk.c, the network's). A device is opened in this order:
 *
 *     virtio_open_pci or _mmio, virtio_negotiate, virtio_queue_open for each queue, virtio_ready
 *
 * Queues are polled; each is used by one core at a time (who shares one brings a lock).
 */
#ifndef LEAT_VIRTIO_H
#define LEAT_VIRTIO_H

#include "base/base.h"
#include "kernel/pci/pci.h"

enum { VIRTIO_NET = 1, VIRTIO_BLOCK = 2 };
#define VIRTIO_INDIRECT (1ull << 28)
#define VIRTIO_VERSION_1 (1ull << 32)

typedef struct virtio {
    uint32_t kind;          /* VIRTIO_NET, ...                                                      */
    uint64_t features;      /* as negotiated                                                        */
    bool legacy;            /* memory-mapped, version 1: QEMU's microvm unless told otherwise       */
    volatile uint8_t *mmio; /* NULL: PCI                                                            */
    volatile uint8_t *common, *notify, *config; /* PCI                                                         */
    uint32_t notify_step, notify_bytes, config_bytes;
} virtio;

/* False, said in the log, where this is no virtio device or one of a version that we do not speak. */
bool virtio_open_pci(virtio *v, const pci_device *d);
bool virtio_open_mmio(virtio *v, uint64_t physical, uint32_t kind); /* leaves devices of another kind alone */
/* Where memory-mapped devices may be: the options virtio_mmio.device=SIZE@ADDRESS:IRQ of the command line, as Linux
 * has them; without those and without PCI, where QEMU's microvm has them. 0 after the last. */
uint64_t virtio_mmio_at(size_t i);
/* Takes those of the wanted features that the device offers, VIRTIO_VERSION_1 among them in any case but legacy. */
bool virtio_negotiate(virtio *v, uint64_t wanted);
uint32_t virtio_config(const virtio *v, uint32_t offset, uint32_t bytes); /* bytes 1, 2, 4; 0 where there is none */
uint64_t virtio_config64(const virtio *v, uint32_t offset);
void virtio_ready(virtio *v);
void virtio_reset(virtio *v); /* afterwards it touches no memory of ours */

/* The rings in memory, as the device sees them; little-endian. */
typedef struct virtio_descriptor {
    uint64_t physical;
    uint32_t bytes;
    uint16_t flags, next;
} virtio_descriptor;

typedef struct virtio_piece {
    uint64_t physical;
    uint32_t bytes;
} virtio_piece;

enum { VIRTIO_DEPTH_MAX = 256 };
typedef struct virtio_queue {
    virtio *v;
    virtio_descriptor *descriptor; /* (depth) */
    volatile uint16_t *available;  /* flags, index, ring (depth) */
    volatile uint8_t *used;        /* u16 flags, u16 index, ring (depth) of u32 head, u32 bytes */
    volatile void *bell;
    uint16_t index, depth; /* of the queue among the device's; descriptors */
    uint16_t first_free, n_free, seen;
    uint32_t token[VIRTIO_DEPTH_MAX]; /* by head descriptor */
    bool busy[VIRTIO_DEPTH_MAX];      /* the device holds the chain of this head */
} virtio_queue;

/* Its depth is what the device takes, at most VIRTIO_DEPTH_MAX. */
bool virtio_queue_open(virtio *v, virtio_queue *q, uint16_t index);
/* Gives the device a chain: first n_out pieces that it reads, then n_in that it writes. table: memory of its own for
 * n_out + n_in descriptors, with VIRTIO_INDIRECT, physically in one piece; the chain then takes one descriptor of the
 * queue. NULL: it takes n_out + n_in of them. False when they are not free. The device sees it by virtio_kick. */
bool virtio_add(virtio_queue *q, const virtio_piece *pieces, unsigned n_out, unsigned n_in, virtio_descriptor *table,
                uint32_t token);
void virtio_kick(virtio_queue *q);
/* The next chain that the device has finished: its token, and how many bytes were written. */
bool virtio_take(virtio_queue *q, uint32_t *token, uint32_t *bytes);

#endif
