/* cc.h: what lwIP asks of its compiler and its machine; kernel/net/net.c has the functions. */
#ifndef LEAT_LWIP_CC_H
#define LEAT_LWIP_CC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_LIMITS_H 1
#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_UNISTD_H 1
typedef ptrdiff_t ssize_t;
#define SSIZE_MAX PTRDIFF_MAX
#define INT_MAX __INT_MAX__

uint32_t net_random(void);
_Noreturn void net_failed(const char *text, const char *file, int line);
#define LWIP_RAND() net_random()
#define LWIP_PLATFORM_DIAG(x)
#define LWIP_PLATFORM_ASSERT(text) net_failed(text, __FILE__, __LINE__)

/* The first number of a connection's bytes: not to be guessed by whom it is not sent to. */
struct ip4_addr;
uint32_t net_tcp_isn(const struct ip4_addr *local, uint16_t local_port, const struct ip4_addr *remote,
                     uint16_t remote_port);

/* Whether a packet is for this connection at all: 0, or an error of lwIP's, and it is dropped. */
struct tcp_pcb;
struct tcp_hdr;
signed char net_tcp_look(const struct tcp_pcb *pcb, const struct tcp_hdr *head);

#endif
