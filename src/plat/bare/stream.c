/* stream.c: TCP connections behind plat.h's streams, over lwIP's callbacks; nothing waits but plat_poll, and
 * nothing comes or goes but there. A stream keeps what came in a ring as large as the window that its peer was
 * told, so that small packets cost no more than large ones; what is sent is copied to lwIP's heap until it is
 * acknowledged. A connection that is closed here ends on its own, without its stream.
 */
#include "kernel/net/net.h"
#include "mem/mem.h"
#include "plat/plat.h"

#include "lwip/tcp.h"
#include "lwip/priv/tcp_priv.h"

enum {
    BACKLOG = 255,     /* connections that wait to be accepted, or for their handshake's end */
    STREAMS_MAX = 512, /* those, and SRV_CONNS_MAX that are served                           */
    LISTENERS_MAX = 8,
    RING_BYTES = 24576,
    ORPHAN_HALF_SECONDS = 240,
};
#define SPIN_NS 100000
#define NAP_NS 100000
_Static_assert(RING_BYTES >= TCP_WND, "what may come has room");

struct plat_stream {
    struct tcp_pcb *pcb; /* NULL: it has ended on both sides, or was cut off */
    bool used, listens;
    bool fin, cut, ended; /* nothing more will come; the other side has reset it; nothing more will be sent */
    uint16_t port;
    uint32_t full_at; /* heap_mark when lwIP's heap had no room for what was to be sent, or 0 */
    uint8_t *ring; /* kept for the next one */
    uint32_t from, n;
    uint32_t lent; /* what came beyond the window: see on_recv */
    plat_stream *listener, *next; /* while it waits to be accepted */
    plat_stream *first, *last;    /* of a listener: those that wait */
};

static plat_stream streams[STREAMS_MAX + LISTENERS_MAX];
static uint32_t n_acknowledged;

/* Another number as soon as lwIP's heap may have room again: when something was acknowledged, and eight times a
 * second. */
static uint32_t heap_mark(void) { return (n_acknowledged + (uint32_t)(plat_time_ns() >> 27)) | 1u << 31; }

static plat_stream *new_stream(bool listens) {
    size_t from = listens ? STREAMS_MAX : 0, to = listens ? COUNT_OF(streams) : STREAMS_MAX;
    for (size_t i = from; i < to; i++) {
        plat_stream *s = &streams[i];
        if (s->used) continue;
        uint8_t *ring = s->ring;
        if (!listens && !ring && !(ring = mem_block(MEM_TOOLS, RING_BYTES))) return NULL;
        *s = (plat_stream){.used = true, .listens = listens, .ring = ring};
        return s;
    }
    return NULL;
}

static err_t end_orphan(void *user, struct tcp_pcb *pcb) {
    (void)user;
    tcp_abort(pcb);
    return ERR_ABRT;
}

/* The connection goes on, or ends, without the stream: before others when there is no room, and after two minutes
 * in any case, also if the other side keeps it waiting. */
static struct tcp_pcb *detach(plat_stream *s) {
    struct tcp_pcb *pcb = s->pcb;
    s->pcb = NULL;
    if (!pcb) return NULL;
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_err(pcb, NULL);
    tcp_poll(pcb, end_orphan, ORPHAN_HALF_SECONDS);
    tcp_setprio(pcb, TCP_PRIO_MIN);
    return pcb;
}

static void leave_queue(plat_stream *s) {
    plat_stream *l = s->listener, *before = NULL;
    for (plat_stream *q = l->first; q != s; q = q->next) before = q;
    *(before ? &before->next : &l->first) = s->next;
    if (l->last == s) l->last = before;
    s->listener = s->next = NULL;
}

/* ---- what lwIP tells ---------------------------------------------------------------------------------------- */

static err_t on_recv(void *user, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
    plat_stream *s = user;
    (void)error;
    if (!p) {
        s->fin = true;
        if (s->ended) detach(s); /* it waits for late packets now, and is not told of its end */
        return ERR_OK;
    }
    if (p->tot_len > RING_BYTES - s->n) return ERR_MEM; /* more than the window: it is offered again */
    for (uint32_t done = 0; done < p->tot_len;) {
        uint32_t to = (s->from + s->n) % RING_BYTES, part = MIN(p->tot_len - done, RING_BYTES - to);
        pbuf_copy_partial(p, s->ring + to, (u16_t)part, (u16_t)done);
        s->n += part;
        done += part;
    }
    pbuf_free(p);
    /* To lwIP a window of nothing puts every packet out of place, and it answers those: two of it would never end. The
     * ring has room beyond the window, so that a byte stays open, of which the peer is not told. */
    if (!pcb->rcv_wnd && s->n < RING_BYTES) {
        s->lent++;
        tcp_recved(pcb, 1);
    }
    return ERR_OK;
}

static err_t on_sent(void *user, struct tcp_pcb *pcb, u16_t bytes) {
    (void)user, (void)pcb, (void)bytes;
    n_acknowledged++;
    return ERR_OK;
}

/* The connection is no more. */
static void on_error(void *user, err_t error) {
    plat_stream *s = user;
    s->pcb = NULL;
    if (error == ERR_CLSD) s->fin = true;
    else s->cut = true;
    if (!s->listener) return;
    leave_queue(s);
    s->used = false;
}

static err_t on_accept(void *user, struct tcp_pcb *pcb, err_t error) {
    plat_stream *l = user, *s = error || !pcb ? NULL : new_stream(false);
    if (!s) return ERR_MEM; /* lwIP cuts it off */
    s->pcb = pcb;
    s->port = l->port;
    s->listener = l;
    *(l->last ? &l->last->next : &l->first) = s;
    l->last = s;
    tcp_arg(pcb, s);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb); /* a token is to be seen when it is there */
    tcp_backlog_delayed(pcb);
    return ERR_OK;
}

/* ---- plat.h ------------------------------------------------------------------------------------------------- */

int plat_listen(plat_stream **out, const char *host, uint16_t port) {
    str name = str_of(host);
    uint32_t address = 0;
    *out = NULL;
    if (str_is(name, "localhost")) name = STR("127.0.0.1");
    if (!str_is(name, "::") && !net_address_parse(name, &address)) return PLAT_NOT_FOUND;
    if (address && (address & 255) != 127 && address != net_address()) return PLAT_NOT_FOUND;
    plat_stream *s = new_stream(true);
    struct tcp_pcb *pcb = s && net_is_open() ? tcp_new_ip_type(IPADDR_TYPE_V4) : NULL;
    err_t error = ERR_MEM;
    if (pcb) {
        ip_set_option(pcb, SOF_REUSEADDR); /* a restart need not wait for old connections */
        ip_set_option(pcb, SOF_KEEPALIVE);
        error = tcp_bind(pcb, &(ip_addr_t){address}, port);
        struct tcp_pcb *listens = error ? NULL : tcp_listen_with_backlog_and_err(pcb, BACKLOG, &error);
        if (!listens) tcp_close(pcb);
        pcb = listens;
    }
    if (!pcb) {
        if (s) s->used = false;
        return error == ERR_USE ? PLAT_EXISTS : net_is_open() ? PLAT_NO_MEMORY : PLAT_NOT_FOUND;
    }
    s->pcb = pcb;
    s->port = pcb->local_port;
    tcp_arg(pcb, s);
    tcp_accept(pcb, on_accept);
    *out = s;
    return PLAT_OK;
}

uint16_t plat_stream_port(const plat_stream *s) { return s->port; }

int plat_accept(plat_stream *listener, plat_stream **out) {
    plat_stream *s = *out = listener->first;
    if (!s) return PLAT_AGAIN;
    leave_queue(s);
    if (s->pcb) tcp_backlog_accepted(s->pcb);
    return PLAT_OK;
}

int64_t plat_recv(plat_stream *s, void *to, size_t bytes) {
    uint32_t n = (uint32_t)MIN(bytes, s->n), part = MIN(n, RING_BYTES - s->from);
    if (!n) return s->cut ? PLAT_CLOSED : s->fin ? 0 : PLAT_AGAIN;
    memcpy(to, s->ring + s->from, part);
    memcpy((uint8_t *)to + part, s->ring, n - part);
    s->from = (s->from + n) % RING_BYTES;
    s->n -= n;
    part = MIN(n, s->lent);
    s->lent -= part;
    if (s->pcb && n > part) tcp_recved(s->pcb, (u16_t)(n - part));
    return n;
}

int64_t plat_send(plat_stream *s, const void *bytes, size_t n) {
    if (s->ended || !s->pcb) return PLAT_CLOSED;
    size_t part = MIN(n, tcp_sndbuf(s->pcb));
    if (!part || s->full_at == heap_mark()) return PLAT_AGAIN;
    err_t error = tcp_write(s->pcb, bytes, (u16_t)part, TCP_WRITE_FLAG_COPY);
    if (error && part > TCP_MSS) error = tcp_write(s->pcb, bytes, (u16_t)(part = TCP_MSS), TCP_WRITE_FLAG_COPY);
    s->full_at = error ? heap_mark() : 0;
    tcp_output(s->pcb);
    return error ? PLAT_AGAIN : (int64_t)part;
}

void plat_stream_end(plat_stream *s) {
    if (s->ended) return;
    s->ended = true;
    if (!s->pcb) return;
    struct tcp_pcb *pcb = s->fin ? detach(s) : s->pcb; /* both sides have ended: see on_recv */
    tcp_shutdown(pcb, 0, 1); /* lwIP tries again by itself when there is no memory for it */
}

void plat_stream_close(plat_stream *s) {
    if (!s) return;
    while (s->first) {
        plat_stream *q = s->first;
        leave_queue(q);
        plat_stream_close(q);
    }
    struct tcp_pcb *pcb = s->pcb;
    s->used = false;
    if (!pcb) return;
    if (s->listens) {
        s->pcb = NULL;
        tcp_arg(pcb, NULL);
        tcp_accept(pcb, NULL);
    } else {
        detach(s);
    }
    if (tcp_close(pcb) != ERR_OK) tcp_abort(pcb);
}

static uint32_t state_of(const plat_stream *s, uint32_t want) {
    uint32_t got = 0;
    if (s->listens) return s->first ? want & PLAT_READY_RECV : 0;
    if (s->n || s->fin || s->cut) got |= want & PLAT_READY_RECV;
    if (!s->pcb || s->ended ||
        (tcp_sndbuf(s->pcb) > TCP_SNDLOWAT && tcp_sndqueuelen(s->pcb) < TCP_SNDQUEUELOWAT && s->full_at != heap_mark()))
        got |= want & PLAT_READY_SEND;
    if (s->fin || s->cut) got |= want & PLAT_READY_END;
    return got | (s->cut || (s->fin && s->ended) ? PLAT_READY_GONE : 0);
}

size_t plat_poll(plat_ready *ready, size_t n, uint64_t timeout_ns) {
    uint64_t from = plat_time_ns();
    ASSERT(n <= PLAT_POLL_MAX);
    for (;;) {
        size_t n_got = 0;
        net_poll();
        for (size_t i = 0; i < n; i++) {
            ready[i].got = state_of(ready[i].stream, ready[i].want);
            n_got += ready[i].got != 0;
        }
        uint64_t passed = plat_time_ns() - from;
        if (n_got || passed >= timeout_ns || plat_interrupted()) return n_got;
        /* What follows at once is seen at once; later this core halts in between. */
        plat_sleep_ns(passed < SPIN_NS ? 0 : MIN(NAP_NS, timeout_ns - passed));
    }
}
