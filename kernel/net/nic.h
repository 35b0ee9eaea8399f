/* nic.h: a network card, as net.c uses it: polled, frames copied at most once on either side. Drivers:
 * virtio_net.c, e1000.c; tests have a wire that loses things.
 */
#ifndef LEAT_NIC_H
#define LEAT_NIC_H

#include "base/base.h"

enum {
    NIC_FRAME_MAX = 1514, /* Ethernet without its checksum; there are no jumbo frames here */
    NIC_BUFFER_BYTES = 2048,
    NIC_FRAMES = 128,     /* buffers for either direction */
};

typedef struct nic nic;
struct nic {
    const char *kind; /* "virtio-net", "e1000e" */
    uint8_t mac[6];
    bool (*link)(nic *n);
    /* The oldest frame that has come, until rx_drop; NULL: none. */
    const uint8_t *(*rx_peek)(nic *n, size_t *bytes);
    void (*rx_drop)(nic *n);
    /* Where the next frame is written, NIC_FRAME_MAX bytes; NULL: all places are taken. Then it is sent. */
    uint8_t *(*tx_place)(nic *n);
    void (*tx_send)(nic *n, size_t bytes);
};

/* NULL: another device, or it does not start, which is said in the log. Each driver has one card. */
struct pci_device;
nic *virtio_net_open(const struct pci_device *d);
nic *virtio_net_open_mmio(uint64_t physical); /* what virtio_mmio_at names */
nic *e1000_open(const struct pci_device *d);

#endif
