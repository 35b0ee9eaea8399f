/* net.c: lwIP between a network card and the streams of plat.h: frames in and out, the clock, addresses, ping.
 * What lwIP's arch/cc.h asks for is here, too. Nothing here waits but net_ping. Next: src/plat/bare/stream.c.
 */
#include "kernel/net/net.h"

#include "plat/plat.h"

#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/icmp.h"
#include "lwip/inet_chksum.h"
#include "lwip/init.h"
#include "lwip/prot/dhcp.h"
#include "lwip/prot/iana.h"
#include "lwip/prot/icmp.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "lwip/raw.h"
#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#define SECOND_NS ((uint64_t)1000000000)
#define DHCP_WAIT_NS (10 * SECOND_NS) /* then the fixed address is taken, where there is one */
#define FRAMES_A_POLL 256
#define FRAMES_A_LOOK 16 /* half-open connections are counted that often */
#define QUESTIONS_A_SECOND 4
#define HALF_OPEN_ROOM FRAMES_A_LOOK

static struct {
    nic *card;
    struct netif netif;
    net_config config;
    uint64_t asked_ns, link_ns; /* when DHCP was; when the card was looked at */
    uint64_t questions_ns; /* of DHCP, since then */
    uint32_t n_questions;
    uint64_t isn_seed;
    uint64_t n_in, n_out, n_in_lost, n_out_lost; /* frames; lost: there was no room for them */
    struct raw_pcb *ping;
    uint32_t ping_from;
    uint16_t ping_sequence;
    bool ping_came;
} net;

/* ---- what lwIP asks of its machine -------------------------------------------------------------------------- */

u32_t sys_now(void) { return (u32_t)(plat_time_ns() / 1000000); }

uint32_t net_random(void) {
    uint32_t bits;
    plat_entropy(&bits, sizeof bits);
    return bits;
}

_Noreturn void net_failed(const char *text, const char *file, int line) { assert_failed(text, file, line); }

/* A clock of 4 us beside a secret of the connection's ends, as RFC 6528 has it. */
uint32_t net_tcp_isn(const struct ip4_addr *local, uint16_t local_port, const struct ip4_addr *remote,
                     uint16_t remote_port) {
    uint32_t ends[3] = {local->addr, remote->addr, (uint32_t)local_port << 16 | remote_port};
    return (uint32_t)(plat_time_ns() / 4000) + (uint32_t)hash_bytes(ends, sizeof ends, net.isn_seed);
}

/* Numbers that lie half of all numbers apart have any order for lwIP, which then fails an assertion: one byte of a peer
 * would stop the machine. Who is there sends numbers near those that are awaited, or the first of a new connection. */
signed char net_tcp_look(const struct tcp_pcb *pcb, const struct tcp_hdr *head) {
    enum { NEAR = 1 << 20 };
    bool known = pcb->state != LISTEN && pcb->state != SYN_SENT && !(TCPH_FLAGS(head) & TCP_SYN);
    return known && head->seqno - pcb->rcv_nxt + NEAR > 2 * NEAR ? ERR_VAL : ERR_OK;
}

/* ---- frames ------------------------------------------------------------------------------------------------- */

/* Questions for an address beyond a few a second stay here: lwIP asks again as soon as a server refuses. */
static bool asks_too_often(const uint8_t *frame, size_t bytes) {
    bool udp = bytes >= 42 && frame[12] == 8 && !frame[13] && frame[23] == IP_PROTO_UDP;
    if (!udp || frame[37] != LWIP_IANA_PORT_DHCP_SERVER) return false;
    uint64_t now = plat_time_ns();
    if (now - net.questions_ns > SECOND_NS) net.questions_ns = now, net.n_questions = 0;
    return net.n_questions++ >= QUESTIONS_A_SECOND;
}

static err_t send_frame(struct netif *netif, struct pbuf *p) {
    (void)netif;
    uint8_t *to = p->tot_len <= NIC_FRAME_MAX ? net.card->tx_place(net.card) : NULL;
    if (!to) {
        net.n_out_lost++;
        return ERR_MEM;
    }
    size_t bytes = pbuf_copy_partial(p, to, p->tot_len, 0);
    if (asks_too_often(to, bytes)) return ERR_OK;
    net.card->tx_send(net.card, bytes);
    net.n_out++;
    return ERR_OK;
}

static err_t start_netif(struct netif *netif) {
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->hostname = "leat";
    netif->output = etharp_output;
    netif->linkoutput = send_frame;
    netif->mtu = 1500;
    netif->hwaddr_len = 6;
    memcpy(netif->hwaddr, net.card->mac, 6);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    return ERR_OK;
}

/* False: none has come. */
static bool take_frame(void) {
    size_t bytes;
    const uint8_t *frame = net.card->rx_peek(net.card, &bytes);
    if (!frame) return false;
    struct pbuf *p = bytes <= NIC_FRAME_MAX ? pbuf_alloc(PBUF_RAW, (u16_t)bytes, PBUF_POOL) : NULL;
    if (p) pbuf_take(p, frame, (u16_t)bytes);
    net.card->rx_drop(net.card);
    net.n_in++;
    if (!p) net.n_in_lost++;
    else if (net.netif.input(p, &net.netif) != ERR_OK) pbuf_free(p);
    return true;
}

/* Of a listener that has hardly any room left, the half-open connections that wait longest give way, so that a flood of
 * them does not keep others out for twenty seconds. */
static void drop_half_open(void) {
    for (struct tcp_pcb_listen *l = tcp_listen_pcbs.listen_pcbs; l; l = l->next) {
        while (l->accepts_pending + HALF_OPEN_ROOM > l->backlog) {
            struct tcp_pcb *oldest = NULL;
            for (struct tcp_pcb *p = tcp_active_pcbs; p; p = p->next)
                if (p->state == SYN_RCVD && p->listener == l && (!oldest || (s32_t)(p->tmr - oldest->tmr) <= 0))
                    oldest = p;
            if (!oldest) break;
            tcp_abandon(oldest, 0);
        }
    }
}

/* ---- addresses ---------------------------------------------------------------------------------------------- */

static void take_fixed(void) {
    ip4_addr_t address = {net.config.address}, mask = {net.config.mask}, gateway = {net.config.gateway};
    netif_set_addr(&net.netif, &address, &mask, &gateway);
}

bool net_is_open(void) { return net.card != NULL; }

uint32_t net_address(void) { return net.card ? netif_ip4_addr(&net.netif)->addr : 0; }

void net_configure(const net_config *c) {
    if (!net.card) return;
    net.config = *c;
    net.asked_ns = plat_time_ns();
    dhcp_release_and_stop(&net.netif);
    netif_set_addr(&net.netif, NULL, NULL, NULL);
    if (c->dhcp) dhcp_start(&net.netif);
    else take_fixed();
}

/* Once a second: the cable, and a fixed address for a network where nobody gives any. */
static void look_around(uint64_t now) {
    bool link = net.card->link(net.card);
    net.link_ns = now;
    if (link && !netif_is_link_up(&net.netif)) netif_set_link_up(&net.netif);
    if (!link && netif_is_link_up(&net.netif)) netif_set_link_down(&net.netif);
    if (!net.config.dhcp || !net.config.address || now - net.asked_ns < DHCP_WAIT_NS || net_address()) return;
    dhcp_release_and_stop(&net.netif);
    take_fixed();
}

err_code net_open(nic *n, const net_config *c, err *e) {
    plat_entropy(&net.isn_seed, sizeof net.isn_seed);
    lwip_init();
    net.card = n;
    if (!netif_add_noaddr(&net.netif, NULL, start_netif, ethernet_input)) {
        net.card = NULL;
        return ERR(e, ERR_INTERNAL, "the network does not take the card %s", n->kind);
    }
    netif_set_default(&net.netif);
    netif_set_up(&net.netif);
    look_around(plat_time_ns());
    net_configure(c);
    return ERR_NONE;
}

void net_poll(void) {
    if (!net.card) return;
    bool more = true;
    for (int i = 0; more && i < FRAMES_A_POLL; i++) {
        more = take_frame();
        if (i % FRAMES_A_LOOK == 0) drop_half_open();
    }
    netif_poll_all();
    sys_check_timeouts();
    uint64_t now = plat_time_ns();
    if (now - net.link_ns > SECOND_NS) look_around(now);
}

/* ---- for the console ---------------------------------------------------------------------------------------- */

size_t net_describe(char *buf, size_t cap) {
    char address[16], mask[16], gateway[16];
    if (!net.card) return fmt(buf, cap, "no network card that there is a driver for\n");
    const uint8_t *m = net.card->mac;
    size_t n = fmt(buf, cap, "%s %02x:%02x:%02x:%02x:%02x:%02x, link %s\n", net.card->kind, m[0], m[1], m[2], m[3],
                   m[4], m[5], netif_is_link_up(&net.netif) ? "up" : "down");
    if (net_address())
        n += fmt(buf + n, cap - n, "address %s, mask %s, gateway %s, %s\n",
                 net_address_text(address, sizeof address, net_address()),
                 net_address_text(mask, sizeof mask, netif_ip4_netmask(&net.netif)->addr),
                 net_address_text(gateway, sizeof gateway, netif_ip4_gw(&net.netif)->addr),
                 dhcp_supplied_address(&net.netif) ? "from DHCP" : "fixed");
    else
        n += fmt(buf + n, cap - n, "no address yet: %s\n", net.config.dhcp ? "DHCP is asked" : "none is given");
    return n + fmt(buf + n, cap - n, "%llu frames came, %llu of them had no room; %llu went, %llu had no room\n",
                   (unsigned long long)net.n_in, (unsigned long long)net.n_in_lost, (unsigned long long)net.n_out,
                   (unsigned long long)net.n_out_lost);
}

size_t net_connections(char *buf, size_t cap) {
    char address[16];
    size_t n = fmt(buf, cap, "state         port  peer                   unread  unsent\n");
    for (struct tcp_pcb_listen *l = net.card ? tcp_listen_pcbs.listen_pcbs : NULL; l; l = l->next)
        n += fmt(buf + n, cap - n, "%-12s %5u  %d of %d wait\n", "listens", l->local_port, l->accepts_pending,
                 l->backlog);
    struct tcp_pcb *lists[] = {tcp_active_pcbs, tcp_tw_pcbs};
    for (size_t i = 0; net.card && i < COUNT_OF(lists); i++)
        for (struct tcp_pcb *p = lists[i]; p; p = p->next) {
            net_address_text(address, sizeof address, p->remote_ip.addr);
            size_t at = n + fmt(buf + n, cap - n, "%-12s %5u  %s:%u", tcp_debug_state_str(p->state), p->local_port,
                                address, p->remote_port);
            n = at + fmt(buf + at, cap - at, "%*s%u  %u\n", (int)(at - n < 44 ? 44 - (at - n) : 1), " ",
                         (unsigned)(TCP_WND_MAX(p) - p->rcv_wnd), (unsigned)(TCP_SND_BUF - p->snd_buf));
        }
    return n;
}

static u8_t take_answer(void *user, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from) {
    struct icmp_echo_hdr echo;
    u8_t head = p->len ? (u8_t)(IPH_HL((const struct ip_hdr *)p->payload) * 4) : 0;
    (void)user, (void)pcb;
    if (pbuf_copy_partial(p, &echo, sizeof echo, head) != sizeof echo || ICMPH_TYPE(&echo) != ICMP_ER ||
        echo.id != 0x6c6c || echo.seqno != net.ping_sequence || from->addr != net.ping_from)
        return 0;
    net.ping_came = true;
    pbuf_free(p);
    return 1;
}

int64_t net_ping(uint32_t address, uint64_t timeout_ns) {
    if (!net.card) return PLAT_UNSUPPORTED;
    if (!net.ping) {
        net.ping = raw_new(IP_PROTO_ICMP);
        if (!net.ping) return PLAT_NO_MEMORY;
        raw_recv(net.ping, take_answer, NULL);
        raw_bind(net.ping, IP_ADDR_ANY);
    }
    struct pbuf *p = pbuf_alloc(PBUF_IP, sizeof(struct icmp_echo_hdr) + 32, PBUF_RAM);
    if (!p) return PLAT_NO_MEMORY;
    struct icmp_echo_hdr *echo = p->payload;
    memset(echo, 'l', p->len);
    net.ping_from = address;
    net.ping_came = false;
    ICMPH_TYPE_SET(echo, ICMP_ECHO);
    ICMPH_CODE_SET(echo, 0);
    echo->id = 0x6c6c;
    echo->seqno = ++net.ping_sequence;
    echo->chksum = 0;
    echo->chksum = inet_chksum(echo, p->len);
    uint64_t from = plat_time_ns(), now = from;
    err_t error = raw_sendto(net.ping, p, &(ip_addr_t){address});
    pbuf_free(p);
    while (!error && !net.ping_came && now - from < timeout_ns && !plat_interrupted()) {
        net_poll();
        now = plat_time_ns();
        if (!net.ping_came) cpu_pause();
    }
    net.ping_from = 0;
    return net.ping_came ? (int64_t)(now - from) : plat_interrupted() ? PLAT_INTERRUPTED : PLAT_NOT_FOUND;
}
