/* pci.c: configuration space by memory (ECAM) or ports, the walk over the buses, BARs and capabilities. A device is
 * believed as little as a file: loops in its capability list and in the numbers of buses end by themselves.
 */
#include "kernel/pci/pci.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/memory/memory.h"

enum { COMMAND = 0x04, CLASS = 0x08, HEADER = 0x0C, BAR0 = 0x10, BUSES = 0x18, CAPABILITIES = 0x34 };
enum { COMMAND_PORTS = 1, COMMAND_MEMORY = 2, COMMAND_MASTER = 4, COMMAND_NO_INTERRUPT = 1 << 10,
       STATUS_CAPABILITIES = 1 << 20 }; /* of the word at COMMAND */
enum { PORT_ADDRESS = 0xCF8, PORT_DATA = 0xCFC, BUS_DEPTH_MAX = 16 };

static struct {
    volatile uint8_t *ecam; /* NULL: ports */
    uint8_t bus_last;
    pci_device device[PCI_DEVICES_MAX];
    size_t n;
    uint32_t seen[8]; /* a bit for each bus that was walked */
    cpu_lock lock;    /* the two ports are one register */
} pci;

static uint32_t access(const pci_device *d, uint32_t offset, const uint32_t *value) {
    uint32_t at = (uint32_t)d->bus << 20 | (uint32_t)d->slot << 15 | (uint32_t)d->function << 12 | offset, got = 0;
    if (pci.ecam) {
        volatile uint32_t *word = (volatile uint32_t *)(pci.ecam + at);
        if (value) *word = *value;
        else got = *word;
        return got;
    }
    if (offset > 0xFC) return UINT32_MAX;
    cpu_lock_take(&pci.lock);
    cpu_out32(PORT_ADDRESS, 1u << 31 | (at >> 12 << 8) | offset);
    if (value) cpu_out32(PORT_DATA, *value);
    else got = cpu_in32(PORT_DATA);
    cpu_lock_leave(&pci.lock);
    return got;
}

uint32_t pci_read(const pci_device *d, uint32_t offset) { return access(d, offset & 0xFFC, NULL); }
static void write(const pci_device *d, uint32_t offset, uint32_t value) { access(d, offset & 0xFFC, &value); }
uint8_t pci_read8(const pci_device *d, uint32_t offset) { return (uint8_t)(pci_read(d, offset) >> offset % 4 * 8); }

uint8_t pci_capability(const pci_device *d, uint8_t number, uint8_t after) {
    if (!(pci_read(d, COMMAND) & STATUS_CAPABILITIES)) return 0;
    uint8_t at = pci_read8(d, after ? after + 1u : CAPABILITIES) & 0xFC;
    for (int steps = 0; at >= 0x40 && steps < 48; steps++) {
        if (pci_read8(d, at) == number) return at;
        at = pci_read8(d, at + 1u) & 0xFC;
    }
    return 0;
}

void pci_enable(const pci_device *d) {
    uint32_t command = pci_read(d, COMMAND) & 0xFFFF; /* writing ones to the upper half would clear errors */
    write(d, COMMAND, command | COMMAND_PORTS | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTERRUPT);
}

volatile void *pci_map(const pci_device *d, unsigned bar, uint64_t offset, uint64_t bytes) {
    if (bar > 5 || d->bar[bar].port || offset > d->bar[bar].bytes || bytes > d->bar[bar].bytes - offset) return NULL;
    return (volatile void *)memory_map_io(d->bar[bar].base + offset, bytes);
}

/* A BAR tells its size when ones are written to it. The device must not decode meanwhile. */
static void read_bars(pci_device *d, unsigned n) {
    uint32_t command = pci_read(d, COMMAND) & 0xFFFF;
    write(d, COMMAND, command & ~(uint32_t)(COMMAND_PORTS | COMMAND_MEMORY));
    for (unsigned i = 0; i < n; i++) {
        uint32_t at = BAR0 + 4 * i, low = pci_read(d, at);
        bool port = low & 1, wide = !port && (low >> 1 & 3) == 2 && i + 1 < n;
        uint32_t flags = port ? 3 : 15, high = wide ? pci_read(d, at + 4) : 0;
        write(d, at, UINT32_MAX);
        uint64_t mask = pci_read(d, at) & ~flags;
        write(d, at, low);
        if (wide) {
            write(d, at + 4, UINT32_MAX);
            mask |= (uint64_t)pci_read(d, at + 4) << 32;
            write(d, at + 4, high);
        } else if (mask) {
            mask |= UINT64_MAX << (port && !(mask >> 16) ? 16 : 32);
        }
        uint64_t base = (uint64_t)high << 32 | (low & ~flags);
        if (mask && base) d->bar[i] = (pci_bar){base, ~mask + 1, port};
        i += wide;
    }
    write(d, COMMAND, command);
}

static void walk(uint8_t bus, int depth);

static bool add(uint8_t bus, uint8_t slot, uint8_t function, int depth, bool *many) {
    pci_device d = {.bus = bus, .slot = slot, .function = function};
    uint32_t id = pci_read(&d, PCI_VENDOR_ID);
    if ((id & 0xFFFF) == 0xFFFF || (id & 0xFFFF) == 0) return false;
    uint32_t class = pci_read(&d, CLASS), header = pci_read(&d, HEADER) >> 16 & 0xFF;
    d.vendor = (uint16_t)id, d.device = (uint16_t)(id >> 16);
    d.class = (uint8_t)(class >> 24), d.subclass = (uint8_t)(class >> 16), d.interface = (uint8_t)(class >> 8);
    *many = header & 0x80;
    if ((header & 0x7F) == 0) read_bars(&d, 6);
    if (pci.n == PCI_DEVICES_MAX) return false;
    pci.device[pci.n++] = d;
    if ((header & 0x7F) == 1) walk((uint8_t)(pci_read(&d, BUSES) >> 8), depth + 1);
    return true;
}

static void walk(uint8_t bus, int depth) {
    if (depth > BUS_DEPTH_MAX || bus > pci.bus_last || pci.seen[bus / 32] >> bus % 32 & 1) return;
    pci.seen[bus / 32] |= 1u << bus % 32;
    for (uint8_t slot = 0; slot < 32; slot++) {
        bool many = false, unused;
        if (!add(bus, slot, 0, depth, &many) || !many) continue;
        for (uint8_t function = 1; function < 8; function++) add(bus, slot, function, depth, &unused);
    }
}

/* ACPI's MCFG: after 44 bytes rows of 16: physical address, segment, first and last bus. Ours is segment 0, bus 0. */
static void find_ecam(void) {
    size_t bytes = 0;
    const uint8_t *table = cpu_acpi_table("MCFG", 0, &bytes);
    for (size_t at = 44; table && at + 16 <= bytes; at += 16) {
        if (load_u16(table + at + 8) || table[at + 10]) continue;
        pci.bus_last = table[at + 11];
        pci.ecam = memory_map_io(load_u64(table + at), ((size_t)pci.bus_last + 1) << 20);
        return;
    }
}

void pci_start(void) {
    pci.bus_last = 255;
    find_ecam();
    walk(0, 0);
    if (pci.n) console_log("pci: %zu devices, configured by %s", pci.n, pci.ecam ? "memory" : "ports");
    if (pci.n == PCI_DEVICES_MAX) console_log("pci: no room for more than %d devices", PCI_DEVICES_MAX);
}

size_t pci_count(void) { return pci.n; }
const pci_device *pci_at(size_t i) { return i < pci.n ? &pci.device[i] : NULL; }

const char *pci_class_name(const pci_device *d) {
    static const struct {
        uint8_t class, subclass;
        const char *name;
    } names[] = {
        {0x01, 0x06, "SATA controller"}, {0x01, 0x08, "NVMe controller"}, {0x01, 0x00, "SCSI or virtio disk"},
        {0x02, 0x00, "network adapter"}, {0x03, 0x00, "VGA display"},     {0x03, 0x80, "display"},
        {0x06, 0x00, "host bridge"},     {0x06, 0x01, "ISA bridge"},      {0x06, 0x04, "PCI bridge"},
        {0x0C, 0x03, "USB controller"},  {0x0C, 0x05, "SMBus"},           {0x04, 0x03, "sound"},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].class == d->class && names[i].subclass == d->subclass) return names[i].name;
    return "device";
}
