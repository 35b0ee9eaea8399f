/* net_command.c: the start of the network: a card, and the option ip=. */
#include "kernel/net/net.h"

#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/pci/pci.h"
#include "kernel/virtio/virtio.h"

static nic *find_card(void) {
    const pci_device *d;
    nic *n = NULL;
    for (size_t i = 0; !n && (d = pci_at(i)); i++) {
        n = virtio_net_open(d);
        if (!n) n = e1000_open(d);
    }
    for (size_t i = 0; !n && virtio_mmio_at(i); i++) n = virtio_net_open_mmio(virtio_mmio_at(i));
    return n;
}

void net_start(void) {
    char option[64] = "dhcp";
    net_config c;
    err e;
    boot_option("ip", 0, option, sizeof option);
    if (cstr_eq(option, "none")) return;
    nic *n = find_card();
    if (!n) return;
    if (net_config_parse(str_of(option), &c, &e) != ERR_NONE) {
        console_log("net: %s; dhcp is asked", e.text);
        c = (net_config){.dhcp = true};
    }
    if (net_open(n, &c, &e) != ERR_NONE) {
        console_log("net: %s", e.text);
        return;
    }
    const uint8_t *m = n->mac;
    console_log("net: %s, %02x:%02x:%02x:%02x:%02x:%02x, address: %s", n->kind, m[0], m[1], m[2], m[3], m[4], m[5],
                option);
    cpu_on_idle(net_poll, 1000000);
}
