/* e1000.c: Intel's gigabit cards of the 8254x and 82574 families, as QEMU, VirtualBox and VMware have them: two
 * rings of descriptors with a buffer each. Registers and descriptors: PCI/PCI-X Family of Gigabit Ethernet
 * Controllers Software Developer's Manual (8254x), chapters 3, 13 and 14; 82574 datasheet, chapters 7 and 10.
 */
#include <stdatomic.h>

#include "kernel/cpu/cpu.h"
#include "kernel/console/console.h"
#include "kernel/memory/memory.h"
#include "kernel/net/nic.h"
#include "kernel/pci/pci.h"

/* Registers, and their bits. */
enum {
    CTRL = 0x0000, STATUS = 0x0008, IMC = 0x00D8, RCTL = 0x0100, TCTL = 0x0400, TIPG = 0x0410,
    RDBAL = 0x2800, TDBAL = 0x3800, /* of either ring: address, its upper half, bytes, head, tail */
    RING_HIGH = 0x04, RING_BYTES = 0x08, RING_HEAD = 0x10, RING_TAIL = 0x18,
    TXDCTL = 0x3828, MTA = 0x5200, RAL = 0x5400, RAH = 0x5404, REGISTER_BYTES = 0x8000,
    CTRL_LINK_RESET = 1 << 3, CTRL_DETECT_SPEED = 1 << 5, CTRL_LINK_UP = 1 << 6, CTRL_INVERT_LOSS = 1 << 7,
    CTRL_RESET = 1 << 26, STATUS_LINK = 1 << 1,
    RCTL_ON = 1 << 1, RCTL_BROADCAST = 1 << 15, RCTL_STRIP_CHECKSUM = 1 << 26,
    TCTL_ON = 1 << 1, TCTL_PAD = 1 << 3, TCTL_COLLISIONS = 0x0F << 4 | 0x40 << 12,
    TIPG_COPPER = 10 | 8 << 10 | 6 << 20, TXDCTL_BY_DESCRIPTOR = 1 << 22,
};
#define RAH_VALID (1u << 31)
enum { DONE = 1, END_OF_FRAME = 2 };                         /* of a descriptor's status   */
enum { TX_END = 1, TX_CHECKSUM = 2, TX_REPORT = 8 };         /* of a frame's command       */
enum { TELL_EACH = 16 };                                     /* buffers given back at once */

/* Both kinds: for a frame that goes, the byte after `checksum` is the command. */
typedef struct descriptor {
    uint64_t physical;
    uint16_t bytes;
    uint8_t checksum, command;
    uint8_t status, errors;
    uint16_t special;
} descriptor;
_Static_assert(sizeof(descriptor) == 16, "as the card has it");

static struct {
    nic n;
    volatile uint8_t *registers;
    volatile descriptor *rx, *tx; /* (NIC_FRAMES) each */
    uint8_t *buffers;             /* (2 * NIC_FRAMES, NIC_BUFFER_BYTES): those of rx, then those of tx */
    uint32_t rx_at, tx_at;
} card;

static uint32_t get(uint32_t at) { return *(volatile uint32_t *)(card.registers + at); }
static void put(uint32_t at, uint32_t v) { *(volatile uint32_t *)(card.registers + at) = v; }
static uint8_t *buffer(uint32_t i) { return card.buffers + (size_t)i * NIC_BUFFER_BYTES; }

static bool link_up(nic *n) {
    (void)n;
    return get(STATUS) & STATUS_LINK;
}

static void rx_drop(nic *n) {
    (void)n;
    card.rx[card.rx_at].status = 0;
    atomic_thread_fence(memory_order_release);
    /* The card owns all up to the tail, which is never its head: it would own none. */
    if (card.rx_at % TELL_EACH == TELL_EACH - 1) put(RDBAL + RING_TAIL, card.rx_at);
    card.rx_at = (card.rx_at + 1) % NIC_FRAMES;
}

static const uint8_t *rx_peek(nic *n, size_t *bytes) {
    for (uint8_t status; (status = card.rx[card.rx_at].status) & DONE; rx_drop(n)) {
        atomic_thread_fence(memory_order_acquire);
        *bytes = card.rx[card.rx_at].bytes;
        if (status & END_OF_FRAME && !card.rx[card.rx_at].errors && *bytes && *bytes <= NIC_BUFFER_BYTES)
            return buffer(card.rx_at);
    }
    return NULL;
}

static uint8_t *tx_place(nic *n) {
    (void)n;
    uint32_t next = (card.tx_at + 1) % NIC_FRAMES; /* one stays free: a full ring would look empty */
    bool room = card.tx[card.tx_at].status & DONE && card.tx[next].status & DONE;
    return room ? buffer(NIC_FRAMES + card.tx_at) : NULL;
}

static void tx_send(nic *n, size_t bytes) {
    volatile descriptor *d = &card.tx[card.tx_at];
    (void)n;
    d->bytes = (uint16_t)bytes;
    d->command = TX_END | TX_CHECKSUM | TX_REPORT;
    d->status = 0;
    card.tx_at = (card.tx_at + 1) % NIC_FRAMES;
    atomic_thread_fence(memory_order_release);
    put(TDBAL + RING_TAIL, card.tx_at);
}

static void reset(void) {
    put(IMC, UINT32_MAX);
    put(RCTL, 0);
    put(TCTL, 0);
    put(CTRL, get(CTRL) | CTRL_RESET);
    for (int i = 0; i < 100 && (cpu_delay_ns(1000000), get(CTRL) & CTRL_RESET); i++) {}
    put(IMC, UINT32_MAX);
    put(CTRL, (get(CTRL) & ~(uint32_t)(CTRL_LINK_RESET | CTRL_INVERT_LOSS)) | CTRL_LINK_UP | CTRL_DETECT_SPEED);
    for (uint32_t i = 0; i < 128; i++) put(MTA + 4 * i, 0);
}

static void place_ring(uint32_t at, volatile descriptor *ring, uint32_t first_buffer, uint8_t status) {
    uint64_t physical = memory_physical((const void *)(uintptr_t)ring);
    for (uint32_t i = 0; i < NIC_FRAMES; i++)
        ring[i] = (descriptor){.physical = memory_physical(buffer(first_buffer + i)), .status = status};
    put(at, (uint32_t)physical);
    put(at + RING_HIGH, (uint32_t)(physical >> 32));
    put(at + RING_BYTES, NIC_FRAMES * sizeof(descriptor));
    put(at + RING_HEAD, 0);
    put(at + RING_TAIL, 0);
}

nic *e1000_open(const pci_device *d) {
    static const struct {
        uint16_t device;
        const char *kind;
    } kinds[] = {{0x1004, "e1000 (82543GC)"}, {0x1008, "e1000 (82544EI)"}, {0x100E, "e1000 (82540EM)"},
                 {0x100F, "e1000 (82545EM)"}, {0x1010, "e1000 (82546EB)"}, {0x10D3, "e1000e (82574L)"}};
    size_t k = 0;
    while (k < COUNT_OF(kinds) && (d->vendor != 0x8086 || d->device != kinds[k].device)) k++;
    if (k == COUNT_OF(kinds) || card.registers) return NULL;
    pci_enable(d);
    card.registers = pci_map(d, 0, 0, REGISTER_BYTES);
    uint8_t *rings = card.registers ? memory_pages(2 * NIC_FRAMES * sizeof(descriptor)) : NULL;
    card.buffers = rings ? memory_pages(2 * NIC_FRAMES * NIC_BUFFER_BYTES) : NULL;
    if (!card.buffers) {
        console_log("%s: no registers, or no memory for its rings", kinds[k].kind);
        return NULL;
    }
    reset();
    card.rx = (volatile descriptor *)(uintptr_t)rings;
    card.tx = card.rx + NIC_FRAMES;
    place_ring(RDBAL, card.rx, 0, 0);
    place_ring(TDBAL, card.tx, NIC_FRAMES, DONE);
    uint64_t address = (uint64_t)get(RAH) << 32 | get(RAL);
    card.n = (nic){kinds[k].kind, {0}, link_up, rx_peek, rx_drop, tx_place, tx_send};
    for (int i = 0; i < 6; i++) card.n.mac[i] = (uint8_t)(address >> (8 * i));
    put(RAH, (uint32_t)(address >> 32) | RAH_VALID);
    put(TXDCTL, get(TXDCTL) | TXDCTL_BY_DESCRIPTOR);
    put(TIPG, TIPG_COPPER);
    put(TCTL, TCTL_ON | TCTL_PAD | TCTL_COLLISIONS);
    put(RCTL, RCTL_ON | RCTL_BROADCAST | RCTL_STRIP_CHECKSUM);
    put(RDBAL + RING_TAIL, NIC_FRAMES - 1);
    return &card.n;
}
