/* peer.c: see peer.h. lwIP's raw API, with the same options as the kernel's. */
#include "net/peer.h"

#include "base/base.h"

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

peer_conn peer_conns[PEER_CONNECTIONS_MAX];
static struct netif netif;
static void (*send_to_wire)(const void *frame, size_t bytes);
static uint8_t own_mac[6];

u32_t sys_now(void) { return (u32_t)(wire_time_ns() / 1000000); }
uint32_t net_random(void) {
    uint32_t bits;
    wire_entropy(&bits, sizeof bits);
    return bits;
}
void net_failed(const char *text, const char *file, int line) { assert_failed(text, file, line); }
uint32_t net_tcp_isn(const struct ip4_addr *local, uint16_t local_port, const struct ip4_addr *remote,
                     uint16_t remote_port) {
    (void)local, (void)local_port, (void)remote, (void)remote_port;
    return net_random();
}
signed char net_tcp_look(const struct tcp_pcb *pcb, const struct tcp_hdr *head) { return (void)pcb, (void)head, 0; }

uint8_t peer_byte(size_t connection, size_t i) { return (uint8_t)((i * 2654435761u + connection * 40503u) >> 13); }

static err_t output(struct netif *n, struct pbuf *p) {
    uint8_t frame[1600];
    (void)n;
    send_to_wire(frame, pbuf_copy_partial(p, frame, sizeof frame, 0));
    return ERR_OK;
}

static err_t start_netif(struct netif *n) {
    n->output = etharp_output;
    n->linkoutput = output;
    n->mtu = 1500;
    n->hwaddr_len = 6;
    memcpy(n->hwaddr, own_mac, 6);
    n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

void peer_start(uint32_t address, const uint8_t mac[6], void (*send)(const void *frame, size_t bytes)) {
    ip4_addr_t at = {address}, mask, gateway = {0};
    IP4_ADDR(&mask, 255, 255, 255, 0);
    memcpy(own_mac, mac, 6);
    send_to_wire = send;
    lwip_init();
    netif_add(&netif, &at, &mask, &gateway, NULL, start_netif, ethernet_input);
    netif_set_default(&netif);
    netif_set_up(&netif);
}

void peer_take(const void *frame, size_t bytes) {
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)bytes, PBUF_POOL);
    if (!p) return;
    pbuf_take(p, frame, (u16_t)bytes);
    if (netif.input(p, &netif) != ERR_OK) pbuf_free(p);
}

static void push(peer_conn *c) {
    struct tcp_pcb *pcb = c->pcb;
    if (!pcb || c->waits) return;
    while (c->sent < c->to_send) {
        uint8_t part[2000];
        size_t n = MIN(MIN(c->to_send - c->sent, sizeof part), (size_t)tcp_sndbuf(pcb));
        for (size_t i = 0; i < n; i++) part[i] = peer_byte((size_t)(c - peer_conns), c->sent + i);
        if (!n || tcp_write(pcb, part, (u16_t)n, TCP_WRITE_FLAG_COPY) != ERR_OK) break;
        c->sent += n;
    }
    tcp_output(pcb);
    if (c->sent == c->to_send && !c->keeps) {
        c->keeps = true; /* once */
        tcp_shutdown(pcb, 0, 1);
    }
}

static err_t on_recv(void *user, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
    peer_conn *c = user;
    (void)error;
    if (!p) {
        c->fin = true;
        tcp_arg(pcb, NULL), tcp_recv(pcb, NULL), tcp_err(pcb, NULL), tcp_sent(pcb, NULL), tcp_poll(pcb, NULL, 0);
        c->pcb = NULL;
        tcp_close(pcb);
        return ERR_OK;
    }
    for (u16_t i = 0; i < p->tot_len; i++)
        c->wrong |= (uint8_t)pbuf_get_at(p, i) != peer_byte((size_t)(c - peer_conns), c->came + i);
    c->came += p->tot_len;
    if (c->reads) tcp_recved(pcb, p->tot_len);
    else c->unread += p->tot_len;
    pbuf_free(p);
    return ERR_OK;
}

static void on_error(void *user, err_t error) {
    peer_conn *c = user;
    (void)error;
    c->pcb = NULL;
    c->cut = true;
}

static err_t on_sent(void *user, struct tcp_pcb *pcb, u16_t n) {
    (void)pcb, (void)n;
    push(user);
    return ERR_OK;
}

static err_t on_tick(void *user, struct tcp_pcb *pcb) {
    (void)pcb;
    push(user);
    return ERR_OK;
}

static err_t on_connected(void *user, struct tcp_pcb *pcb, err_t error) {
    peer_conn *c = user;
    (void)pcb, (void)error;
    c->waits = false;
    push(c);
    return ERR_OK;
}

void peer_connect(size_t connection, uint32_t address, uint16_t port, size_t to_send) {
    peer_conn *c = &peer_conns[connection];
    struct tcp_pcb *pcb = tcp_new();
    *c = (peer_conn){.pcb = pcb, .to_send = to_send, .waits = true, .reads = true};
    ASSERT(pcb);
    tcp_arg(pcb, c);
    tcp_recv(pcb, on_recv);
    tcp_err(pcb, on_error);
    tcp_sent(pcb, on_sent);
    tcp_poll(pcb, on_tick, 1);
    err_t error = tcp_connect(pcb, &(ip_addr_t){address}, port, on_connected);
    ASSERT(error == ERR_OK);
}

void peer_read_on(size_t connection) {
    peer_conn *c = &peer_conns[connection];
    c->reads = true;
    for (; c->pcb && c->unread; c->unread -= MIN(c->unread, (size_t)30000))
        tcp_recved(c->pcb, (u16_t)MIN(c->unread, (size_t)30000));
}

void peer_abort(size_t connection) {
    struct tcp_pcb *pcb = peer_conns[connection].pcb;
    if (!pcb) return;
    tcp_abort(pcb); /* on_error is told */
}

void peer_forget(size_t connection) {
    struct tcp_pcb *pcb = peer_conns[connection].pcb;
    if (!pcb) return;
    tcp_arg(pcb, NULL), tcp_recv(pcb, NULL), tcp_err(pcb, NULL), tcp_sent(pcb, NULL), tcp_poll(pcb, NULL, 0);
    peer_conns[connection].pcb = NULL;
    tcp_close(pcb);
}

size_t peer_open_count(void) {
    size_t n = 0;
    for (struct tcp_pcb *p = tcp_active_pcbs; p; p = p->next) n++;
    return n;
}

void peer_poll(void) { sys_check_timeouts(); }
