/* virtio.c: the two transports and the split ring. What the device says is checked before it is an index. */
#include "kernel/virtio/virtio.h"
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/memory/memory.h"

#include <stdatomic.h>

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 }; /* of the status */
enum { CHAIN_NEXT = 1, CHAIN_WRITE = 2, CHAIN_INDIRECT = 4, NO_INTERRUPT = 1 };

/* Registers that only one of the transports has. */
enum { MAGIC = 0x00, VERSION = 0x04, KIND = 0x08, LEGACY_PAGE = 0x28, LEGACY_ALIGN = 0x3C, LEGACY_FRAME = 0x40,
       BELL = 0x50, MMIO_RINGS = 0x80, MMIO_CONFIG = 0x100, MMIO_BYTES = 0x200 };
enum { PCI_BELL = 30, PCI_RINGS = 32, PCI_COMMON_BYTES = 56, PAGE = 4096 };

/* Those that all have: of 32 bits where they are memory-mapped, else in the common structure. */
typedef enum place { OFFER_SELECT, OFFER, WANT_SELECT, WANT, STATUS, QUEUE, DEPTH_MAX, DEPTH, ENABLE } place;
static const struct {
    uint8_t mmio, pci, pci_bytes;
} places[] = {[OFFER_SELECT] = {0x14, 0, 4}, [OFFER] = {0x10, 4, 4},   [WANT_SELECT] = {0x24, 8, 4},
              [WANT] = {0x20, 12, 4},        [STATUS] = {0x70, 20, 1}, [QUEUE] = {0x30, 22, 2},
              [DEPTH_MAX] = {0x34, 24, 2},   [DEPTH] = {0x38, 24, 2},  [ENABLE] = {0x44, 28, 2}};

static uint32_t get16(volatile uint8_t *at) { return *(volatile uint16_t *)at; }
static uint32_t get32(volatile uint8_t *at) { return *(volatile uint32_t *)at; }
static void put32(volatile uint8_t *at, uint32_t v) { *(volatile uint32_t *)at = v; }

static uint32_t get_bytes(volatile uint8_t *at, uint32_t bytes) {
    return bytes == 1 ? *at : bytes == 2 ? get16(at) : get32(at);
}

static uint32_t get(const virtio *v, place p) {
    return v->mmio ? get32(v->mmio + places[p].mmio) : get_bytes(v->common + places[p].pci, places[p].pci_bytes);
}

static void put(const virtio *v, place p, uint32_t value) {
    volatile uint8_t *at = v->mmio ? v->mmio + places[p].mmio : v->common + places[p].pci;
    uint32_t bytes = v->mmio ? 4 : places[p].pci_bytes;
    if (bytes == 1) *at = (uint8_t)value;
    else if (bytes == 2) *(volatile uint16_t *)at = (uint16_t)value;
    else put32(at, value);
}

void virtio_reset(virtio *v) {
    put(v, STATUS, 0);
    uint64_t until = cpu_time_ns() + 100000000;
    while (get(v, STATUS) && cpu_time_ns() < until) cpu_pause();
}

static void begin(virtio *v) {
    virtio_reset(v);
    put(v, STATUS, ACKNOWLEDGE);
    put(v, STATUS, ACKNOWLEDGE | DRIVER);
}

/* A structure of registers that a capability places in a BAR: 3 says which, 4 the BAR, 8 and 12 offset and length. */
static volatile uint8_t *map_structure(const pci_device *d, uint8_t at, uint32_t *bytes) {
    *bytes = pci_read(d, at + 12u);
    return pci_map(d, pci_read8(d, at + 4u), pci_read(d, at + 8u), *bytes);
}

bool virtio_open_pci(virtio *v, const pci_device *d) {
    enum { COMMON = 1, NOTIFY = 2, CONFIG = 4 };
    if (d->vendor != 0x1AF4 || d->device < 0x1000 || d->device > 0x107F) return false;
    static const uint8_t transitional[] = {VIRTIO_NET, VIRTIO_BLOCK};
    uint32_t kind = d->device >= 0x1040 ? d->device - 0x1040u : 0, common_bytes = 0;
    if (d->device - 0x1000u < COUNT_OF(transitional)) kind = transitional[d->device - 0x1000];
    *v = (virtio){.kind = kind};
    pci_enable(d);
    for (uint8_t at = 0; (at = pci_capability(d, PCI_CAP_VENDOR, at));) {
        uint8_t what = pci_read8(d, at + 3u);
        if (what == COMMON && !v->common) v->common = map_structure(d, at, &common_bytes);
        if (what == CONFIG && !v->config) v->config = map_structure(d, at, &v->config_bytes);
        if (what != NOTIFY || v->notify) continue;
        v->notify = map_structure(d, at, &v->notify_bytes);
        v->notify_step = pci_read(d, at + 16u);
    }
    if (!v->common || !v->notify || common_bytes < PCI_COMMON_BYTES) {
        console_log("virtio: %04x:%04x at %02x:%02x.%x has no registers of version 1", d->vendor, d->device, d->bus,
                    d->slot, d->function);
        return false;
    }
    begin(v);
    return true;
}

bool virtio_open_mmio(virtio *v, uint64_t physical, uint32_t kind) {
    *v = (virtio){.mmio = memory_map_io(physical, MMIO_BYTES)};
    if (!v->mmio || get32(v->mmio + MAGIC) != 0x74726976) return false;
    uint32_t version = get32(v->mmio + VERSION);
    v->kind = get32(v->mmio + KIND);
    if (v->kind != kind || version < 1 || version > 2) return false;
    v->legacy = version == 1;
    v->config = v->mmio + MMIO_CONFIG;
    v->config_bytes = MMIO_BYTES - MMIO_CONFIG;
    begin(v);
    if (v->legacy) put32(v->mmio + LEGACY_PAGE, PAGE);
    return true;
}

uint64_t virtio_mmio_at(size_t i) {
    enum { MICROVM = 0xFEB00000, MICROVM_SLOTS = 24 };
    char text[64];
    uint64_t at = 0;
    if (boot_option("virtio_mmio.device", i, text, sizeof text)) {
        size_t c = 0;
        while (text[c] && text[c] != '@') c++;
        for (c += text[c] && text[c + 1] == '0' && text[c + 2] == 'x' ? 3 : 0; text[c] && text[c] != ':'; c++) {
            char digit = (char)(text[c] | 0x20);
            if (digit >= '0' && digit <= '9') at = at << 4 | (uint64_t)(digit - '0');
            else if (digit >= 'a' && digit <= 'f') at = at << 4 | (uint64_t)(digit - 'a' + 10);
            else return 0;
        }
        return at;
    }
    bool named = boot_option("virtio_mmio.device", 0, text, sizeof text);
    return named || pci_count() || i >= MICROVM_SLOTS ? 0 : MICROVM + MMIO_BYTES * (uint64_t)i;
}

bool virtio_negotiate(virtio *v, uint64_t wanted) {
    wanted = v->legacy ? wanted & UINT32_MAX : wanted | VIRTIO_VERSION_1;
    uint64_t offered = 0;
    for (uint32_t half = 0; half < 2; half++) {
        put(v, OFFER_SELECT, half);
        offered |= (uint64_t)get(v, OFFER) << 32 * half;
    }
    v->features = wanted & offered;
    for (uint32_t half = 0; half < 2; half++) {
        put(v, WANT_SELECT, half);
        put(v, WANT, (uint32_t)(v->features >> 32 * half));
    }
    if (v->legacy) return true;
    put(v, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    if ((v->features & VIRTIO_VERSION_1) && (get(v, STATUS) & FEATURES_OK)) return true;
    console_log("virtio: device of kind %u offers features %llx, refuses %llx", v->kind, (unsigned long long)offered,
                (unsigned long long)v->features);
    return false;
}

uint32_t virtio_config(const virtio *v, uint32_t offset, uint32_t bytes) {
    if (!v->config || bytes > v->config_bytes || offset > v->config_bytes - bytes) return 0;
    return get_bytes(v->config + offset, bytes);
}

uint64_t virtio_config64(const virtio *v, uint32_t offset) {
    return (uint64_t)virtio_config(v, offset + 4, 4) << 32 | virtio_config(v, offset, 4);
}

void virtio_ready(virtio *v) { put(v, STATUS, get(v, STATUS) | DRIVER_OK); }

/* ---- queues ------------------------------------------------------------------------------------------ */

/* Both kinds of register blocks have the three addresses in the same order, 8 or 16 bytes apart. */
static void place_rings(const virtio *v, const virtio_queue *q, uint32_t depth) {
    uint64_t base = memory_physical(q->descriptor);
    uint64_t at[3] = {base, memory_physical((const void *)(uintptr_t)q->available),
                      memory_physical((const void *)(uintptr_t)q->used)};
    put(v, DEPTH, depth);
    if (v->legacy) {
        put32(v->mmio + LEGACY_ALIGN, PAGE);
        put32(v->mmio + LEGACY_FRAME, (uint32_t)(base / PAGE));
        return;
    }
    for (int i = 0; i < 3; i++) {
        volatile uint8_t *to = v->mmio ? v->mmio + MMIO_RINGS + 16 * i : v->common + PCI_RINGS + 8 * i;
        put32(to, (uint32_t)at[i]);
        put32(to + 4, (uint32_t)(at[i] >> 32));
    }
    put(v, ENABLE, 1);
}

bool virtio_queue_open(virtio *v, virtio_queue *q, uint16_t index) {
    put(v, QUEUE, index);
    uint32_t depth = MIN(get(v, DEPTH_MAX), (uint32_t)VIRTIO_DEPTH_MAX);
    while (depth & (depth - 1)) depth &= depth - 1; /* a power of two */
    if (!depth) return false;
    /* The layout that legacy devices ask for, good for all: descriptors, available ring; on a new page the used one. */
    size_t used_at = align_up(16 * depth + 6 + 2 * depth, PAGE);
    uint8_t *rings = memory_pages(used_at + 6 + 8 * depth);
    if (!rings) return false;
    *q = (virtio_queue){.v = v, .index = index, .depth = (uint16_t)depth, .n_free = (uint16_t)depth};
    q->descriptor = (virtio_descriptor *)rings;
    q->available = (volatile uint16_t *)(rings + 16 * depth);
    q->used = rings + used_at;
    q->available[0] = NO_INTERRUPT;
    for (uint32_t i = 0; i < depth; i++) q->descriptor[i].next = (uint16_t)(i + 1);
    q->bell = v->mmio ? v->mmio + BELL : NULL;
    if (!v->mmio) {
        uint64_t at = (uint64_t)get16(v->common + PCI_BELL) * v->notify_step;
        if (at + 2 > v->notify_bytes) return false;
        q->bell = v->notify + at;
    }
    place_rings(v, q, depth);
    return true;
}

bool virtio_add(virtio_queue *q, const virtio_piece *pieces, unsigned n_out, unsigned n_in, virtio_descriptor *table,
                uint32_t token) {
    unsigned n = n_out + n_in;
    if (q->n_free < (table ? 1 : n) || !n) return false;
    uint16_t head = q->first_free, at = head, last = head;
    virtio_descriptor *chain = table ? table : q->descriptor;
    for (unsigned i = 0; i < n; i++) {
        virtio_descriptor *d = &chain[table ? i : at];
        uint16_t next = table ? (uint16_t)(i + 1) : d->next;
        *d = (virtio_descriptor){pieces[i].physical, pieces[i].bytes,
                                 (uint16_t)((i + 1 < n ? CHAIN_NEXT : 0) | (i >= n_out ? CHAIN_WRITE : 0)), next};
        last = at;
        at = next;
    }
    if (table) {
        virtio_descriptor *d = &q->descriptor[head];
        *d = (virtio_descriptor){memory_physical(table), n * 16, CHAIN_INDIRECT, d->next};
        last = head;
    }
    q->first_free = q->descriptor[last].next;
    q->n_free = (uint16_t)(q->n_free - (table ? 1 : n));
    q->token[head] = token;
    q->busy[head] = true;
    uint16_t index = q->available[1];
    q->available[2 + index % q->depth] = head;
    atomic_thread_fence(memory_order_release); /* the chain before the index that shows it */
    q->available[1] = (uint16_t)(index + 1);
    return true;
}

void virtio_kick(virtio_queue *q) {
    atomic_thread_fence(memory_order_seq_cst); /* our index before the device's wish not to be told */
    if (get16(q->used) & 1) return;
    if (q->v->mmio) *(volatile uint32_t *)q->bell = q->index;
    else *(volatile uint16_t *)q->bell = q->index;
}

bool virtio_take(virtio_queue *q, uint32_t *token, uint32_t *bytes) {
    while (get16(q->used + 2) != q->seen) {
        atomic_thread_fence(memory_order_acquire);
        volatile uint8_t *entry = q->used + 4 + 8 * (q->seen % q->depth);
        uint32_t head = get32(entry);
        *bytes = get32(entry + 4);
        q->seen++;
        if (head >= q->depth || !q->busy[head]) continue; /* never given: the device is wrong */
        *token = q->token[head];
        q->busy[head] = false;
        uint16_t last = (uint16_t)head;
        for (q->n_free++; q->descriptor[last].flags & CHAIN_NEXT; q->n_free++) last = q->descriptor[last].next;
        q->descriptor[last].next = q->first_free;
        q->first_free = (uint16_t)head;
        return true;
    }
    return false;
}
