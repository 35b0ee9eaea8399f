/* pci.h: the devices of the machine: found, their registers mapped, allowed to move data by themselves.
 *
 * Firmware has numbered the buses and placed the registers; what it left without a place stays without. All
 * drivers poll, so interrupts are switched off. Devices are found once, at start, by one core.
 */
#ifndef LEAT_PCI_H
#define LEAT_PCI_H

#include "base/base.h"

typedef struct pci_bar {
    uint64_t base, bytes; /* physical, or a port; bytes 0: there is none, or firmware gave it no place */
    bool port;
} pci_bar;

typedef struct pci_device {
    uint8_t bus, slot, function;
    uint8_t class, subclass, interface; /* 01 08 02: mass storage, NVMe */
    uint16_t vendor, device;
    pci_bar bar[6];
} pci_device;

enum { PCI_DEVICES_MAX = 128, PCI_VENDOR_ID = 0x00, PCI_CAP_VENDOR = 0x09 };

/* Configuration space is where ACPI's table MCFG says; without one, behind ports 0xCF8 and 0xCFC. */
void pci_start(void);
size_t pci_count(void);
const pci_device *pci_at(size_t i); /* in the order of the bus; NULL after the last */

/* Configuration space; offset a multiple of 4. */
uint32_t pci_read(const pci_device *d, uint32_t offset);
uint8_t pci_read8(const pci_device *d, uint32_t offset);
/* The offset of the first capability with that number behind `after` (0: the first of all), or 0. */
uint8_t pci_capability(const pci_device *d, uint8_t number, uint8_t after);

/* Registers decoded, the device may read and write memory, no interrupts. */
void pci_enable(const pci_device *d);
/* A part of a BAR as memory, uncached; NULL when the BAR is a port, absent or smaller than that. */
volatile void *pci_map(const pci_device *d, unsigned bar, uint64_t offset, uint64_t bytes);
const char *pci_class_name(const pci_device *d); /* for lspci: "NVMe controller" */

#endif
