/* lwipopts.h: what is built of lwIP, and the written limits of its memory. No operating system under it, polled; IPv4,
 * ARP, ICMP, DHCP, TCP. All memory is fixed, 8 MiB: 6 of blocks (bytes that are sent and not yet acknowledged), 1.2 of
 * packets (that wait to be taken, or for others that were lost), half a megabyte of connections.
 */
#ifndef LEAT_LWIPOPTS_H
#define LEAT_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_STATS 0

#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define ARP_TABLE_SIZE 127
#define ARP_QUEUE_LEN 3
#define ETHARP_SUPPORT_STATIC_ENTRIES 0
#define LWIP_ICMP 1
#define LWIP_RAW 1 /* ping */
#define LWIP_UDP 1 /* DHCP */
#define LWIP_DHCP 1
#define DHCP_DOES_ARP_CHECK 0
#define IP_REASSEMBLY 0 /* nobody whom we talk to sends fragments */
#define IP_FRAG 0
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_LOOPBACK 1
#define LWIP_HAVE_LOOPIF 1
#define LWIP_LOOPBACK_MAX_PBUFS 64

#define MEM_ALIGNMENT 8
#define MEM_USE_POOLS 1 /* lwippools.h */
#define MEM_USE_POOLS_TRY_BIGGER_POOL 1
#define MEMP_USE_CUSTOM_POOLS 1

#define PBUF_POOL_SIZE 768
#define PBUF_POOL_BUFSIZE 1536
#define MEMP_NUM_PBUF 256
#define MEMP_NUM_RAW_PCB 2
#define MEMP_NUM_UDP_PCB 4
#define MEMP_NUM_TCP_PCB 640 /* 512 streams, those that end without us; then the oldest that have ended give way */
#define MEMP_NUM_TCP_PCB_LISTEN 8
#define MEMP_NUM_TCP_SEG 8192
#define MEMP_NUM_SYS_TIMEOUT (LWIP_NUM_SYS_TIMEOUT_INTERNAL + 2)

#define LWIP_TCP 1
#define TCP_MSS 1460
#define TCP_WND (16 * TCP_MSS) /* of one stream; what came is kept in its ring (src/plat/bare/stream.c) */
#define TCP_SND_BUF (12 * TCP_MSS)
#define TCP_SND_QUEUELEN 64 /* pbufs of one connection that wait to be acknowledged */
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_MAX_PBUFS 32
#define TCP_LISTEN_BACKLOG 1
#define SO_REUSE 1
#define TCP_MAXRTX 10 /* about two minutes of silence, then the other side is gone */
#define TCP_SYNMAXRTX 4
#define LWIP_TCP_RTO_TIME 1000
#define LWIP_TCP_KEEPALIVE 1
#define TCP_KEEPIDLE_DEFAULT 60000U
#define TCP_KEEPINTVL_DEFAULT 15000U
#define TCP_KEEPCNT_DEFAULT 4U
#define TCP_MSL 30000U /* connections that ended keep their place for twice as long, or until it is wanted */
struct tcp_pcb;
#define LWIP_HOOK_TCP_ISN net_tcp_isn /* of arch/cc.h, as what follows */
#define LWIP_HOOK_TCP_INPACKET_PCB(pcb, head, bytes, bytes1, more, p) net_tcp_look(pcb, head)

#define LWIP_CHKSUM_ALGORITHM 3

#endif
