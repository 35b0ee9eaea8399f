/* net_command.c: the start of the network, and what a person asks of it: net, ip, ping, ss. */
#include "kernel/net/net.h"

#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/pci/pci.h"
#include "plat/plat.h"

#define PINGS 4
#define ADDRESS_WAIT_S 20
#define PING_NS ((uint64_t)1000000000) /* from one to the next, and as long an answer is waited for */

static nic *find_card(void) {
    const pci_device *d;
    nic *n = NULL;
    for (size_t i = 0; !n && (d = pci_at(i)); i++) {
        n = virtio_net_open(d);
        if (!n) n = e1000_open(d);
    }
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

static void say(const char *format, ...) PRINTF_LIKE(1, 2);
static void say(const char *format, ...) {
    char line[256];
    va_list args;
    va_start(args, format);
    console_write(line, fmt_v(line, sizeof line, format, args));
    va_end(args);
}

static void ping(const char *where) {
    uint32_t address;
    if (!net_address_parse(str_of(where), &address)) {
        say("ping: '%.64s' is no address; wanted one as 10.0.0.1\n", where);
        return;
    }
    for (int i = 0; i < ADDRESS_WAIT_S * 100 && net_is_open() && !net_address() && !plat_interrupted(); i++)
        plat_sleep_ns(PING_NS / 100); /* after the start DHCP may still be asked */
    for (int i = 0; i < PINGS && !plat_interrupted(); i++) {
        uint64_t from = plat_time_ns(), took;
        int64_t ns = net_ping(address, PING_NS);
        if (ns >= 0) say("%s: %.3f ms\n", where, (double)ns / 1e6);
        else say("%s: %s\n", where, ns == PLAT_NOT_FOUND ? "no answer" : plat_error_name((int)ns));
        took = plat_time_ns() - from;
        if (i + 1 < PINGS && took < PING_NS) plat_sleep_ns(PING_NS - took);
    }
}

bool net_command(int n, char **words) {
    static char text[32768]; /* 640 connections */
    err e;
    net_config c;
    if (cstr_eq(words[0], "ping")) {
        if (n == 2) ping(words[1]);
        else say("ping ADDRESS\n");
    } else if (cstr_eq(words[0], "ss")) {
        console_write(text, net_connections(text, sizeof text));
    } else if (cstr_eq(words[0], "ip") && n > 1) {
        if (net_config_parse(str_of(words[1]), &c, &e) != ERR_NONE) say("ip: %s\n", e.text);
        else net_configure(&c);
    } else if (cstr_eq(words[0], "net") || cstr_eq(words[0], "ip")) {
        console_write(text, net_describe(text, sizeof text));
    } else {
        return false;
    }
    return true;
}
