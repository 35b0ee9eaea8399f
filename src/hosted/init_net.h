/* init_net.h: the network of the leat that is the first process of a Linux (main_init.c). */
#ifndef LEAT_INIT_NET_H
#define LEAT_INIT_NET_H

#include "kernel/net/net.h"

/* Gives the first card its address; what asks a DHCP server goes on asking in a process of its own. Says on standard
 * error what went wrong, and what address came. */
void init_net_start(const net_config *c);

#endif
