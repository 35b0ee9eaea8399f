/* net.h: the network of the bootable image: one card, IPv4 by DHCP or fixed, TCP by lwIP. Polled: nothing happens
 * but in net_poll, which src/plat/bare/stream.c calls in plat_poll; all calls come from one core. State is static:
 * there is one network.
 */
#ifndef LEAT_NET_H
#define LEAT_NET_H

#include "kernel/net/nic.h"

/* Addresses as they stand in packets: the first byte is the lowest. */
typedef struct net_config {
    bool dhcp;                       /* ask for an address                                          */
    uint32_t address, mask, gateway; /* a fixed one; with dhcp the one that is taken when none came */
} net_config;
/* "dhcp", "10.0.0.2/24", "10.0.0.2/24,10.0.0.1" (a gateway), or both, as "dhcp,10.0.0.2/24,10.0.0.1". */
err_code net_config_parse(str text, net_config *out, err *e);
bool net_address_parse(str text, uint32_t *out);
const char *net_address_text(char *buf, size_t cap, uint32_t address); /* returns buf */

/* The first card that there is a driver for, as the option ip= says (dhcp; none: no network), polled by core 0
 * from now on. */
void net_start(void);

err_code net_open(nic *n, const net_config *c, err *e); /* once; does not wait for an address */
/* Takes the frames that came, at most 256 of them, and does what is due. Cheap when there is nothing; nothing
 * before net_open. */
void net_poll(void);
void net_configure(const net_config *c); /* other addresses, from now on */
bool net_is_open(void);
uint32_t net_address(void); /* 0: none yet */

/* For the console: lines of text. */
size_t net_describe(char *buf, size_t cap);    /* the card, its link, address, counts of frames */
size_t net_connections(char *buf, size_t cap); /* all connections, one a line */
/* One echo request: how long its answer took, or PLAT_NOT_FOUND: none came, PLAT_INTERRUPTED, PLAT_UNSUPPORTED: no
 * network. */
int64_t net_ping(uint32_t address, uint64_t timeout_ns);

#endif
