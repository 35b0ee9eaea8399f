/* virtio_net.c: the network card of virtual machines (virtio 1.x; memory-mapped ones also before that): a queue of
 * empty buffers for what comes, one of frames that go. Before each frame stands a header, all zero: nothing is left to
 * the card.
 */
#include "kernel/console/console.h"
#include "kernel/memory/memory.h"
#include "kernel/net/nic.h"
#include "kernel/virtio/virtio.h"

enum {
    RX_QUEUE = 0,
    TX_QUEUE = 1,
    CONFIG_STATUS = 6, /* after the address: bit 0, there is a link */
    KICK_EACH = 16,    /* buffers given back before the card is told: it has others */
};
#define FEATURE_MAC (1ull << 5)
#define FEATURE_STATUS (1ull << 16)
#define FEATURE_ANY_LAYOUT (1ull << 27) /* before version 1: a frame may follow its header in one piece */

static struct {
    nic n;
    virtio device;
    virtio_queue rx, tx;
    uint32_t header_bytes;
    uint8_t *buffers; /* (2 * NIC_FRAMES, NIC_BUFFER_BYTES): those of rx, then those of tx */
    uint32_t n_rx, n_tx;
    uint8_t tx_free[NIC_FRAMES];
    uint32_t n_tx_free, n_given;
    uint32_t held, held_bytes; /* the frame that rx_peek shows */
    bool holds;
} card;

static uint8_t *buffer(uint32_t i) { return card.buffers + (size_t)i * NIC_BUFFER_BYTES; }

static void give(uint32_t i) {
    virtio_piece piece = {memory_physical(buffer(i)), NIC_BUFFER_BYTES};
    virtio_add(&card.rx, &piece, 0, 1, NULL, i);
    if (++card.n_given % KICK_EACH == 0) virtio_kick(&card.rx);
}

static bool link_up(nic *n) {
    (void)n;
    return !(card.device.features & FEATURE_STATUS) || (virtio_config(&card.device, CONFIG_STATUS, 2) & 1);
}

static const uint8_t *rx_peek(nic *n, size_t *bytes) {
    (void)n;
    while (!card.holds && virtio_take(&card.rx, &card.held, &card.held_bytes)) {
        card.holds = card.held_bytes > card.header_bytes && card.held_bytes <= NIC_BUFFER_BYTES;
        if (!card.holds) give(card.held); /* no frame: the device is wrong */
    }
    if (!card.holds) return NULL;
    *bytes = card.held_bytes - card.header_bytes;
    return buffer(card.held) + card.header_bytes;
}

static void rx_drop(nic *n) {
    (void)n;
    card.holds = false;
    give(card.held);
}

static uint8_t *tx_place(nic *n) {
    uint32_t i, bytes;
    (void)n;
    while (virtio_take(&card.tx, &i, &bytes)) card.tx_free[card.n_tx_free++] = (uint8_t)i;
    return card.n_tx_free ? buffer(card.n_rx + card.tx_free[card.n_tx_free - 1]) + card.header_bytes : NULL;
}

static void tx_send(nic *n, size_t bytes) {
    uint32_t i = card.tx_free[--card.n_tx_free];
    uint8_t *frame = buffer(card.n_rx + i);
    (void)n;
    memset(frame, 0, card.header_bytes);
    virtio_piece piece = {memory_physical(frame), card.header_bytes + (uint32_t)bytes};
    virtio_add(&card.tx, &piece, 1, 0, NULL, i);
    virtio_kick(&card.tx);
}

/* The device of `card` is open; one is enough. */
static nic *start(void) {
    virtio *v = &card.device;
    card.buffers = memory_pages(2 * NIC_FRAMES * NIC_BUFFER_BYTES);
    if (!card.buffers || !virtio_negotiate(v, FEATURE_MAC | FEATURE_STATUS | FEATURE_ANY_LAYOUT) ||
        !virtio_queue_open(v, &card.rx, RX_QUEUE) || !virtio_queue_open(v, &card.tx, TX_QUEUE)) {
        console_log("virtio-net: does not start");
        return NULL;
    }
    card.header_bytes = v->legacy ? 10 : 12;
    card.n = (nic){"virtio-net", {2, 'l', 'e', 'a', 't', 1}, link_up, rx_peek, rx_drop, tx_place, tx_send};
    for (uint32_t i = 0; i < 6 && v->features & FEATURE_MAC; i++) card.n.mac[i] = (uint8_t)virtio_config(v, i, 1);
    card.n_rx = MIN((uint32_t)NIC_FRAMES, card.rx.depth);
    card.n_tx = card.n_tx_free = MIN((uint32_t)NIC_FRAMES, card.tx.depth);
    for (uint32_t i = 0; i < card.n_tx; i++) card.tx_free[i] = (uint8_t)i;
    virtio_ready(v);
    for (uint32_t i = 0; i < card.n_rx; i++) give(i);
    virtio_kick(&card.rx);
    return &card.n;
}

nic *virtio_net_open(const pci_device *d) {
    virtio *v = &card.device;
    if (d->vendor != 0x1AF4 || (d->device != 0x1000 && d->device != 0x1041) || card.buffers) return NULL;
    return virtio_open_pci(v, d) && v->kind == VIRTIO_NET ? start() : NULL;
}

nic *virtio_net_open_mmio(uint64_t physical) {
    return !card.buffers && virtio_open_mmio(&card.device, physical, VIRTIO_NET) ? start() : NULL;
}
