/* virtio_blk.c: the disks of virtual machines. A request is a header that the device reads, the data and one byte of
 * status that it writes; header and status stand at the end of the command's table.
 */
#include "kernel/console/console.h"
#include "kernel/disk/disk.h"
#include "kernel/memory/memory.h"
#include "kernel/virtio/virtio.h"

#define FEATURE_PIECES (1ull << 2)
#define FEATURE_BLOCK_BYTES (1ull << 6)
#define FEATURE_QUEUES (1ull << 12)

enum { CONFIG_SECTORS = 0, CONFIG_PIECES = 12, CONFIG_BLOCK_BYTES = 20, CONFIG_QUEUES = 34 };
enum { HEADER_AT = (DISK_PIECES_MAX + 2) * 16, HEADER_BYTES = 16, STATUS_AT = HEADER_AT + HEADER_BYTES };
enum { PENDING = 0xFF }; /* a status that no device gives */
_Static_assert((int)STATUS_AT < (int)DISK_TABLE_BYTES && sizeof(virtio_descriptor) == 16,
               "the table has room for all of a request");

typedef struct block_device {
    virtio v;
    virtio_queue queue[DISK_QUEUES_MAX];
} block_device;

static void send(disk *d, uint32_t queue, uint32_t slot, const disk_piece *pieces, uint32_t n) {
    block_device *b = d->state;
    disk_command *c = &d->queue[queue]->command[slot];
    uint8_t *header = c->table + HEADER_AT;
    uint64_t at = memory_physical(c->table);
    virtio_piece all[DISK_PIECES_MAX + 2];
    store_u64(header, 0); /* type 0: read */
    store_u64(header + 8, c->block * (d->block_bytes / 512));
    c->table[STATUS_AT] = PENDING;
    all[0] = (virtio_piece){at + HEADER_AT, HEADER_BYTES};
    for (uint32_t i = 0; i < n; i++) all[1 + i] = (virtio_piece){pieces[i].physical, pieces[i].bytes};
    all[1 + n] = (virtio_piece){at + STATUS_AT, 1};
    virtio_descriptor *table = b->v.features & VIRTIO_INDIRECT ? (virtio_descriptor *)(void *)c->table : NULL;
    bool added = virtio_add(&b->queue[queue], all, 1, n + 1, table, slot);
    ASSERT(added); /* the depth was chosen so */
    virtio_kick(&b->queue[queue]);
}

static void poll(disk *d, uint32_t queue) {
    block_device *b = d->state;
    uint32_t slot, bytes;
    while (virtio_take(&b->queue[queue], &slot, &bytes))
        disk_finished(d, queue, slot, d->queue[queue]->command[slot].table[STATUS_AT]);
}

static void off(disk *d) { virtio_reset(&((block_device *)d->state)->v); }

static const disk_driver driver = {send, poll, off};

/* Takes b over, which stays for ever when true. */
static bool add(block_device *b) {
    disk *d;
    virtio *v = &b->v;
    if (!virtio_negotiate(v, FEATURE_PIECES | FEATURE_BLOCK_BYTES | FEATURE_QUEUES | VIRTIO_INDIRECT)) return false;
    if (!(d = disk_new("disk"))) return false;
    uint64_t f = v->features;
    uint32_t block_bytes = f & FEATURE_BLOCK_BYTES ? virtio_config(v, CONFIG_BLOCK_BYTES, 4) : 512;
    d->block_bytes = block_bytes == 4096 ? 4096 : 512; /* others are multiples of 512, which is what it counts in */
    d->n_blocks = virtio_config64(v, CONFIG_SECTORS) / (d->block_bytes / 512);
    d->pieces_max = f & FEATURE_PIECES ? MAX(virtio_config(v, CONFIG_PIECES, 4), 1u) : 1;
    if (!(f & VIRTIO_INDIRECT)) d->pieces_max = MIN(d->pieces_max, 14u);
    d->bytes_max = DISK_BYTES_MAX;
    d->n_queues = f & FEATURE_QUEUES ? virtio_config(v, CONFIG_QUEUES, 2) : 1;
    d->n_queues = MIN(MAX(d->n_queues, 1u), (uint32_t)DISK_QUEUES_MAX);
    fmt(d->model, sizeof d->model, "virtio%s", v->mmio ? " (memory-mapped)" : "");
    d->driver = &driver;
    d->state = b;
    d->depth = DISK_DEPTH_MAX;
    for (uint32_t i = 0; i < d->n_queues; i++) {
        if (!virtio_queue_open(v, &b->queue[i], (uint16_t)i)) {
            d->n_queues = i;
            break;
        }
        uint32_t chains = f & VIRTIO_INDIRECT ? b->queue[i].depth : b->queue[i].depth / (d->pieces_max + 2);
        d->depth = MIN(d->depth, chains);
    }
    if (!disk_add(d)) return false;
    virtio_ready(v);
    return true;
}

/* One device after another is opened in the same memory, until one is a disk. */
void disk_find_virtio(void) {
    block_device *b = NULL;
    for (size_t i = 0; i < pci_count(); i++) {
        const pci_device *d = pci_at(i);
        if (d->vendor != 0x1AF4 || (d->device != 0x1001 && d->device != 0x1042)) continue;
        if (!b && !(b = memory_pages(sizeof *b))) return;
        if (virtio_open_pci(&b->v, d) && add(b)) b = NULL;
    }
    for (size_t i = 0; virtio_mmio_at(i); i++) {
        if (!b && !(b = memory_pages(sizeof *b))) return;
        if (virtio_open_mmio(&b->v, virtio_mmio_at(i), VIRTIO_BLOCK) && add(b)) b = NULL;
    }
    if (b) memory_pages_free(b, sizeof *b);
}
