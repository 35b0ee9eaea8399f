/* net_check.c: the streams of the bootable image (src/plat/bare/stream.c) over a wire that loses, doubles, delays
 * and damages frames; the other end is another instance of the same TCP/IP stack (peer.h). All of it in one
 * process, on a clock of its own that runs as fast as the machine can: the same every time.
 *
 *     net-check [NAME]      the tests, or those whose name has NAME in it; one line at the end: N passed, N failed
 *
 * Each test runs in a process of its own, since there is one network in a process.
 */
#include "base/base.h"
#include "kernel/net/net.h"
#include "mem/mem.h"
#include "net/peer.h"
#include "plat/plat.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(cond) check(cond, __LINE__, #cond)
#define SERVER_ADDRESS 0x0200000au /* 10.0.0.2 */
#define PEER_ADDRESS 0x0100000au
#define MS ((uint64_t)1000000)

static void check(bool ok, int line, const char *what) {
    if (ok) return;
    printf("FAIL line %d: %s\n", line, what);
    exit(1);
}

/* ---- the wire ---------------------------------------------------------------------------------------------- */

enum { FLYING_MAX = 8192, CARD_FRAMES = 128 };

typedef struct frame {
    uint64_t due_ns;
    bool to_peer;
    size_t bytes;
    uint8_t data[1600];
} frame;

/* The first n_flying are on their way, in the order in which they come. */
static frame frames[FLYING_MAX], *flying[FLYING_MAX];
static size_t n_flying;
static frame card[CARD_FRAMES]; /* of the server's card: those that came */
static size_t card_from, card_n;
static uint8_t card_tx[NIC_BUFFER_BYTES];
static uint64_t now_ns = 1000 * MS;
static rng dice;
static struct {
    uint32_t lost, doubled, damaged; /* of a thousand */
    uint64_t jitter_ns;
    bool cut;      /* nothing comes through */
    bool no_card;  /* the link is down */
} wire;
static uint64_t n_sent, n_lost;

uint64_t wire_time_ns(void) { return now_ns += 20; }
void wire_sleep_ns(uint64_t ns) { now_ns += ns; }
void wire_entropy(void *out, size_t bytes) {
    static rng r;
    if (!r.s[0]) rng_seed(&r, 7);
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)out)[i] = (uint8_t)rng_u64(&r);
}

static uint32_t roll(uint32_t n) { return (uint32_t)(rng_u64(&dice) % n); }

static void fly(bool to_peer, const void *data, size_t bytes) {
    if (n_flying == FLYING_MAX) return;
    frame *f = flying[n_flying] ? flying[n_flying] : &frames[n_flying];
    f->due_ns = now_ns + 100000 + (wire.jitter_ns ? rng_u64(&dice) % wire.jitter_ns : 0);
    f->to_peer = to_peer;
    f->bytes = bytes;
    memcpy(f->data, data, bytes);
    if (roll(1000) < wire.damaged) f->data[14 + roll((uint32_t)bytes - 14)] ^= (uint8_t)(1 + roll(255));
    size_t at = n_flying++;
    for (; at && flying[at - 1]->due_ns > f->due_ns; at--) flying[at] = flying[at - 1];
    flying[at] = f;
}

static void put_on_wire(bool to_peer, const void *data, size_t bytes) {
    n_sent++;
    if (wire.cut || roll(1000) < wire.lost) {
        n_lost++;
        return;
    }
    fly(to_peer, data, bytes);
    if (roll(1000) < wire.doubled) fly(to_peer, data, bytes);
}
static void from_peer(const void *data, size_t bytes) { put_on_wire(false, data, bytes); }

static void answer_dhcp(void); /* to what stands in card_tx, if it asks for an address */

static bool link_up(nic *n) {
    (void)n;
    return !wire.no_card;
}
static const uint8_t *rx_peek(nic *n, size_t *bytes) {
    (void)n;
    if (!card_n) return NULL;
    *bytes = card[card_from].bytes;
    return card[card_from].data;
}
static void rx_drop(nic *n) {
    (void)n;
    card_from = (card_from + 1) % CARD_FRAMES;
    card_n--;
}
static uint8_t *tx_place(nic *n) {
    (void)n;
    return card_tx;
}
static void tx_send(nic *n, size_t bytes) {
    (void)n;
    put_on_wire(true, card_tx, bytes);
    answer_dhcp();
}
static nic server_card = {"wire", {2, 0, 0, 0, 0, 2}, link_up, rx_peek, rx_drop, tx_place, tx_send};

static void to_card(const void *data, size_t bytes) {
    if (card_n == CARD_FRAMES) return; /* as any card does */
    frame *f = &card[(card_from + card_n++) % CARD_FRAMES];
    f->bytes = bytes;
    memcpy(f->data, data, bytes);
}

/* A millisecond, or less, passes. */
static void deliver(void) {
    uint64_t next = now_ns + MS;
    if (n_flying && flying[0]->due_ns < next) next = flying[0]->due_ns;
    if (next > now_ns) now_ns = next;
    while (n_flying && flying[0]->due_ns <= now_ns) {
        frame *f = flying[0];
        memmove(flying, flying + 1, --n_flying * sizeof(frame *));
        flying[n_flying] = f;
        if (f->to_peer) peer_take(f->data, f->bytes);
        else to_card(f->data, f->bytes);
    }
    peer_poll();
}

/* ---- a server that sends back what comes --------------------------------------------------------------------- */

enum { SERVED_MAX = 384 };
typedef struct served {
    plat_stream *stream;
    uint8_t data[4096];
    size_t n, at;
    uint64_t total;
} served;
static served conns[SERVED_MAX];
static plat_stream *listener;
static size_t n_served, n_gone, n_accepted;

static void serve_one(served *c) {
    while (c->stream) {
        if (c->at == c->n) {
            int64_t n = plat_recv(c->stream, c->data, 1 + roll(sizeof c->data));
            if (n == PLAT_AGAIN) return;
            if (n <= 0) {
                n_gone += n < 0;
                plat_stream_close(c->stream);
                c->stream = NULL;
                n_served--;
                return;
            }
            c->n = (size_t)n, c->at = 0;
            c->total += c->n;
        }
        int64_t sent = plat_send(c->stream, c->data + c->at, c->n - c->at);
        if (sent < 0 && sent != PLAT_AGAIN) sent = (int64_t)(c->n - c->at); /* seen by plat_recv */
        if (sent < 0) return;
        c->at += (size_t)sent;
    }
}

static void serve(void) {
    plat_ready ready[SERVED_MAX + 1];
    served *whose[SERVED_MAX];
    size_t n = 0;
    for (size_t i = 0; i < SERVED_MAX; i++)
        if (conns[i].stream) {
            whose[n] = &conns[i];
            ready[n++] = (plat_ready){.stream = conns[i].stream,
                                      .want = conns[i].at < conns[i].n ? PLAT_READY_SEND : PLAT_READY_RECV};
        }
    ready[n] = (plat_ready){.stream = listener, .want = PLAT_READY_RECV};
    plat_poll(ready, n + 1, 0);
    for (size_t i = 0; i < n; i++)
        if (ready[i].got) serve_one(whose[i]);
    for (plat_stream *s; ready[n].got && n_served < SERVED_MAX && plat_accept(listener, &s) == PLAT_OK;) {
        size_t i = 0;
        while (conns[i].stream) i++;
        conns[i] = (served){.stream = s};
        n_served++;
        n_accepted++;
    }
}

static void start(void) {
    err e;
    rng_seed(&dice, 1);
    peer_start(PEER_ADDRESS, (const uint8_t[]){2, 0, 0, 0, 0, 1}, from_peer);
    net_config c = {.address = SERVER_ADDRESS, .mask = 0x00ffffff, .gateway = PEER_ADDRESS};
    CHECK(net_open(&server_card, &c, &e) == ERR_NONE);
    CHECK(plat_listen(&listener, "0.0.0.0", 80) == PLAT_OK);
}

static void pass_ms(uint64_t ms) {
    for (uint64_t until = now_ns + ms * MS; now_ns < until;) {
        deliver();
        serve();
    }
}

/* n connections of `bytes` each, all answered whole within that time. */
static void echo(size_t n, size_t bytes, uint64_t limit_s) {
    uint64_t until = now_ns + limit_s * 1000 * MS;
    for (size_t i = 0; i < n; i++) peer_connect(i, SERVER_ADDRESS, 80, bytes + i);
    for (size_t left = n; left && now_ns < until;) {
        deliver();
        serve();
        left = 0;
        for (size_t i = 0; i < n; i++) left += !peer_conns[i].fin && !peer_conns[i].cut;
    }
    for (size_t i = 0; i < n; i++) {
        if (!peer_conns[i].fin || peer_conns[i].cut || peer_conns[i].came != bytes + i)
            printf("  connection %zu: fin %d cut %d sent %zu came %zu of %zu; %llu s\n", i, peer_conns[i].fin,
                   peer_conns[i].cut, peer_conns[i].sent, peer_conns[i].came, bytes + i,
                   (unsigned long long)(now_ns / 1000 / MS));
        CHECK(peer_conns[i].fin && !peer_conns[i].cut && !peer_conns[i].wrong);
        CHECK(peer_conns[i].came == bytes + i);
    }
}

/* ---- tests --------------------------------------------------------------------------------------------------- */

static void test_echo(void) {
    start();
    echo(100, 100000, 60);
    pass_ms(100);
    CHECK(n_served == 0 && n_gone == 0 && n_accepted == 100 && n_lost == 0);
}

static void test_bad_wire(void) {
    start();
    wire.lost = 30, wire.doubled = 50, wire.damaged = 10, wire.jitter_ns = 4 * MS;
    echo(50, 60000, 600);
    wire.lost = 100;
    echo(20, 20000, 1200);
    CHECK(n_lost > 300);
    printf("  %llu of %llu frames lost, %llu s on the wire's clock\n", (unsigned long long)n_lost,
           (unsigned long long)n_sent, (unsigned long long)(now_ns / (1000 * MS)));
}

/* What a stream says of itself, as on Linux (tests/unit/test_plat.c). */
static void test_states(void) {
    plat_stream *again, *s = NULL;
    plat_ready r[2] = {{0}};
    char text[16];
    start();
    CHECK(plat_stream_port(listener) == 80);
    CHECK(plat_listen(&again, "0.0.0.0", 80) == PLAT_EXISTS && !again);
    CHECK(plat_listen(&again, "10.0.0.2", 80) == PLAT_OK);
    plat_stream_close(again);
    CHECK(plat_listen(&again, "10.0.0.3", 81) == PLAT_NOT_FOUND);
    CHECK(plat_listen(&again, "no.such.host", 81) == PLAT_NOT_FOUND);
    CHECK(plat_listen(&again, "localhost", 0) == PLAT_OK && plat_stream_port(again) >= 1024);
    plat_stream_close(again);
    plat_stream_close(NULL);
    r[0] = (plat_ready){.stream = listener, .want = PLAT_READY_RECV};
    uint64_t from = now_ns;
    CHECK(plat_accept(listener, &s) == PLAT_AGAIN && !s);
    CHECK(plat_poll(r, 1, 5 * MS) == 0 && now_ns - from >= 5 * MS);
    peer_connect(0, SERVER_ADDRESS, 80, 3);
    peer_conns[0].keeps = true;
    peer_conns[0].reads = false;
    for (int i = 0; i < 20; i++) deliver(), plat_poll(r, 1, 0);
    CHECK(r[0].got == PLAT_READY_RECV && plat_accept(listener, &s) == PLAT_OK);
    CHECK(plat_poll(r, 1, 0) == 0 && plat_accept(listener, &again) == PLAT_AGAIN);
    r[1] = (plat_ready){.stream = s, .want = PLAT_READY_RECV | PLAT_READY_SEND};
    CHECK(plat_poll(r, 2, 0) == 1 && r[1].got == (PLAT_READY_RECV | PLAT_READY_SEND));
    CHECK(plat_recv(s, text, 2) == 2 && plat_recv(s, text + 2, sizeof text) == 1);
    CHECK((uint8_t)text[2] == peer_byte(0, 2));
    CHECK(plat_recv(s, text, sizeof text) == PLAT_AGAIN);
    /* A peer that does not read: what may be sent has an end. */
    size_t sent = 0;
    static uint8_t bytes[1000];
    for (int i = 0; i < 200; i++) {
        for (size_t k = 0; k < sizeof bytes; k++) bytes[k] = peer_byte(0, sent + k);
        int64_t n = plat_send(s, bytes, sizeof bytes);
        CHECK(n > 0 || n == PLAT_AGAIN);
        sent += n > 0 ? (size_t)n : 0;
        deliver(), plat_poll(r, 2, 0);
    }
    CHECK(sent > 20000 && sent < 100000 && r[1].got == 0 && plat_send(s, bytes, 1) == PLAT_AGAIN);
    pass_ms(30000);
    peer_read_on(0);
    for (int i = 0; i < 20000 && !r[1].got; i++) deliver(), plat_poll(r, 2, 0);
    CHECK(peer_conns[0].came == sent && !peer_conns[0].wrong && r[1].got == PLAT_READY_SEND);
    /* The end on this side, then on the other. */
    plat_stream_end(s);
    plat_stream_end(s);
    CHECK(plat_send(s, "x", 1) == PLAT_CLOSED);
    for (int i = 0; i < 100 && !peer_conns[0].fin; i++) deliver(), plat_poll(r, 2, 0);
    CHECK(peer_conns[0].fin);
    for (int i = 0; i < 100 && !(r[1].got & PLAT_READY_GONE); i++) deliver(), r[1].want = 0, plat_poll(r, 2, 0);
    CHECK(r[1].got == PLAT_READY_GONE && plat_recv(s, text, sizeof text) == 0);
    for (int i = 0; i < 30000; i++) deliver(), plat_poll(r, 2, 0); /* lwIP has forgotten it: the stream has not */
    CHECK(r[1].got == PLAT_READY_GONE && plat_recv(s, text, sizeof text) == 0);
    plat_stream_close(s);
}

static void test_resets(void) {
    start();
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < 60; i++) peer_connect(i, SERVER_ADDRESS, 80, 1000000);
        pass_ms(5 + roll(40));
        for (size_t i = 0; i < 60; i++)
            if (i % 3) peer_abort(i);
            else peer_forget(i);
        pass_ms(30000);
        CHECK(n_served == 0);
    }
    CHECK(n_gone > 300);
    wire.lost = 20;
    echo(20, 10000, 300);
    /* Reset before it is accepted. */
    plat_stream *s;
    plat_ready r = {.stream = listener, .want = PLAT_READY_RECV};
    peer_connect(0, SERVER_ADDRESS, 80, 5);
    for (int i = 0; i < 5000 && peer_conns[0].waits; i++) deliver(), plat_poll(&r, 1, 0);
    wire.lost = 0;
    peer_abort(0);
    for (int i = 0; i < 50; i++) deliver(), plat_poll(&r, 1, 0);
    CHECK(r.got == 0 && plat_accept(listener, &s) == PLAT_AGAIN);
}

/* More connections than wait to be accepted: the others come later. */
static void test_many(void) {
    start();
    for (size_t i = 0; i < 300; i++) peer_connect(i, SERVER_ADDRESS, 80, 10), peer_conns[i].keeps = true;
    for (int i = 0; i < 3000; i++) deliver(), net_poll();
    pass_ms(30000);
    CHECK(n_accepted == 300 && n_served == 300);
    for (size_t i = 0; i < 300; i++) CHECK(peer_conns[i].came == 10 && !peer_conns[i].wrong);
    for (size_t i = 0; i < 300; i++) peer_forget(i);
    pass_ms(20000);
    CHECK(n_served == 0);
    /* A listener that is closed takes those with it that wait. */
    for (size_t i = 0; i < 50; i++) peer_connect(i, SERVER_ADDRESS, 80, 10);
    for (int i = 0; i < 50; i++) deliver(), net_poll();
    plat_stream_close(listener);
    for (int i = 0; i < 2000; i++) deliver(), net_poll();
    for (size_t i = 0; i < 50; i++) CHECK(!peer_conns[i].pcb);
    CHECK(plat_listen(&listener, "0.0.0.0", 80) == PLAT_OK);
    echo(10, 1000, 20);
}

static void put_checksum(uint8_t *at, const uint8_t *from, size_t n, uint32_t sum) {
    at[0] = at[1] = 0;
    for (size_t i = 0; i < n; i += 2) sum += (uint32_t)from[i] << 8 | (i + 1 < n ? from[i + 1] : 0);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    at[0] = (uint8_t)(~sum >> 8), at[1] = (uint8_t)~sum;
}

/* The first packet of a connection from an address that never answers. */
static void flood_one(void) {
    uint8_t f[54] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 0};
    uint8_t *ip = f + 14, *tcp = ip + 20;
    ip[0] = 0x45, ip[3] = 40, ip[8] = 64, ip[9] = 6;
    ip[12] = 11, ip[13] = (uint8_t)roll(256), ip[14] = (uint8_t)roll(256), ip[15] = (uint8_t)roll(256);
    ip[16] = 10, ip[19] = 2;
    put_checksum(ip + 10, ip, 20, 0);
    tcp[0] = (uint8_t)roll(256), tcp[1] = (uint8_t)roll(256), tcp[3] = 80;
    tcp[12] = 0x50, tcp[13] = 2, tcp[14] = 0x40;
    uint32_t sum = 6 + 20;
    for (int k = 12; k < 20; k += 2) sum += (uint32_t)ip[k] << 8 | ip[k + 1];
    put_checksum(tcp + 16, tcp, 20, sum);
    to_card(f, sizeof f);
}

static size_t count_in(const char *text, const char *word) {
    size_t n = 0;
    for (str rest = str_of(text); (rest = str_cut(rest, str_find(rest, str_of(word)), rest.len)).len; n++)
        rest = str_cut(rest, 1, rest.len);
    return n;
}

static void test_half_open(void) {
    static char text[65536];
    start();
    for (size_t i = 0; i < 20; i++) peer_connect(i, SERVER_ADDRESS, 80, 20000);
    uint64_t from = now_ns, flooded = from;
    bool again = false;
    while (now_ns - from < 3000 * MS) { /* forty a millisecond, while others connect and are answered */
        for (; flooded < now_ns; flooded += MS / 40) flood_one();
        deliver();
        serve();
        if (again || now_ns - from < 1500 * MS) continue;
        again = true;
        for (size_t i = 20; i < 40; i++) peer_connect(i, SERVER_ADDRESS, 80, 20000);
    }
    net_connections(text, sizeof text);
    CHECK(count_in(text, "SYN_RCVD") > 150 && count_in(text, "SYN_RCVD") <= 255);
    pass_ms(20000);
    for (size_t i = 0; i < 40; i++) CHECK(peer_conns[i].fin && peer_conns[i].came == 20000 && !peer_conns[i].wrong);
    pass_ms(40000);
    net_connections(text, sizeof text);
    CHECK(count_in(text, "SYN_RCVD") == 0 && count_in(text, "ESTABLISHED") == 0);
    CHECK(count_in(text, "listens") == 1);
    echo(50, 1000, 20);
}

/* Frames of random bytes, and real ones with some bytes changed and their checksums made good, beside real traffic. */
static void test_garbage(void) {
    uint8_t f[1514];
    start();
    for (int i = 0; i < 30000; i++) {
        size_t n = 14 + roll(roll(4) ? 100 : 1500);
        for (size_t k = 0; k < n; k++) f[k] = (uint8_t)rng_u64(&dice);
        memcpy(f, roll(2) ? "\2\0\0\0\0\2" : "\377\377\377\377\377\377", 6);
        if (roll(4)) f[12] = 8, f[13] = roll(3) ? 0 : 6;
        if (f[12] == 8 && !f[13] && roll(8) && n >= 54) {
            uint8_t *ip = f + 14, *tcp = ip + 20;
            ip[0] = roll(16) ? 0x45 : (uint8_t)roll(256);
            if (roll(8)) ip[2] = (uint8_t)((n - 14) >> 8), ip[3] = (uint8_t)(n - 14), ip[6] = ip[7] = 0;
            if (roll(8)) ip[9] = (uint8_t[]){6, 6, 6, 17, 1}[roll(5)];
            if (roll(8)) memcpy(ip + 12, "\12\0\0", 3), memcpy(ip + 16, "\12\0\0\2", 4);
            put_checksum(ip + 10, ip, 20, 0);
            if (ip[9] == 6) {
                if (roll(8)) tcp[2] = 0, tcp[3] = 80;
                if (roll(2)) tcp[12] = (uint8_t)((5 + roll(11)) << 4);
                uint32_t sum = 6 + (uint32_t)(n - 34);
                for (int k = 12; k < 20; k += 2) sum += (uint32_t)ip[k] << 8 | ip[k + 1];
                put_checksum(tcp + 16, tcp, n - 34, sum);
            }
            if (ip[9] == 17) tcp[6] = tcp[7] = 0;
        }
        to_card(f, n);
        if (i % 8 == 0) deliver();
        serve();
    }
    pass_ms(60000);
    echo(50, 20000, 60);
}

/* Nobody reads what is sent back: what is held has its limit. */
static void test_memory(void) {
    start();
    echo(10, 1000, 20);
    for (size_t i = 0; i < 380; i++) peer_connect(i, SERVER_ADDRESS, 80, 55000), peer_conns[i].reads = false;
    pass_ms(60000);
    size_t held = mem_bytes_total();
    CHECK(n_served == 380 && held < ((size_t)24 << 20));
    for (size_t i = 0; i < 380; i++) peer_read_on(i);
    pass_ms(120000);
    for (size_t i = 0; i < 380; i++) CHECK(peer_conns[i].came == 55000 && !peer_conns[i].wrong);
    CHECK(n_served == 0 && mem_bytes_total() == held);
    printf("  380 connections hold %zu KiB\n", held >> 10);
}

/* Neither side reads, and both windows close: then there is hardly a word until somebody does. */
static void test_closed_windows(void) {
    plat_stream *s[10];
    plat_ready r[10];
    uint8_t bytes[4096];
    size_t sent[10] = {0}, came[10] = {0};
    start();
    for (size_t i = 0; i < 10; i++) {
        peer_connect(i, SERVER_ADDRESS, 80, 60000);
        peer_conns[i].reads = false;
        for (int k = 0; k < 500 && plat_accept(listener, &s[i]) != PLAT_OK; k++) deliver(), net_poll();
        CHECK(s[i]);
        r[i] = (plat_ready){.stream = s[i], .want = PLAT_READY_SEND};
    }
    for (int ms = 0; ms < 20000; ms++) {
        for (size_t i = 0; i < 10; i++) {
            for (size_t k = 0; k < sizeof bytes; k++) bytes[k] = peer_byte(i, sent[i] + k);
            int64_t n = plat_send(s[i], bytes, sizeof bytes);
            sent[i] += n > 0 ? (size_t)n : 0;
        }
        deliver(), plat_poll(r, 10, 0);
    }
    uint64_t before = n_sent;
    for (uint64_t until = now_ns + 600000 * MS; now_ns < until;) deliver(), plat_poll(r, 10, 0);
    printf("  10 connections, closed on both sides: %llu frames in ten minutes\n",
           (unsigned long long)(n_sent - before));
    CHECK(n_sent - before < 5000);
    for (size_t i = 0; i < 10; i++) peer_read_on(i);
    for (uint64_t until = now_ns + 600000 * MS; now_ns < until;) {
        size_t left = 0;
        for (size_t i = 0; i < 10; i++) {
            for (int64_t n; (n = plat_recv(s[i], bytes, sizeof bytes)) > 0;)
                for (int64_t k = 0; k < n; k++) CHECK(bytes[k] == peer_byte(i, came[i]++));
            left += came[i] < 60000 || peer_conns[i].came < sent[i];
        }
        if (!left) break;
        deliver(), plat_poll(r, 10, 0);
    }
    for (size_t i = 0; i < 10; i++) {
        CHECK(came[i] == 60000 && peer_conns[i].came == sent[i] && !peer_conns[i].wrong);
        plat_stream_close(s[i]);
    }
}

/* The other machine is gone, and says nothing. */
static void test_silence(void) {
    start();
    for (size_t i = 0; i < 20; i++) peer_connect(i, SERVER_ADDRESS, 80, 10), peer_conns[i].keeps = true;
    pass_ms(5000);
    CHECK(n_served == 20);
    for (size_t i = 0; i < 10; i++) peer_conns[i].to_send = 1000000; /* these talk when it happens */
    pass_ms(600);
    wire.cut = true;
    pass_ms(60000);
    CHECK(n_served > 0);
    pass_ms(400000);
    CHECK(n_served == 0 && n_gone == 20);
    wire.cut = false;
    for (size_t i = 0; i < 20; i++) peer_forget(i);
    echo(20, 1000, 60);
}

static void test_addresses(void) {
    static const char *const good[] = {"dhcp", "10.0.0.2/24", "10.0.0.2/24,10.0.0.1", "dhcp,10.0.0.2/24,10.0.0.1",
                                       "1.2.3.4/32"};
    static const char *const bad[] = {"",              "dhcp,",         "dhcpx",         "10.0.0.2",   "10.0.0/24",
                                      "10.0.0.2/0",    "10.0.0.2/33",   "10.0.0.256/24", "10.0..2/24", "a.b.c.d/8",
                                      "10.0.0.2.3/24", "10.0.0.2/24,",  "10.0.0.2/24,1", "10.0.0.2,1.1.1.1/8"};
    net_config c;
    char text[512];
    err e;
    for (size_t i = 0; i < COUNT_OF(good); i++) CHECK(net_config_parse(str_of(good[i]), &c, &e) == ERR_NONE);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK(net_config_parse(str_of(bad[i]), &c, &e) == ERR_ARGUMENT);
        CHECK(str_find(str_of(e.text), STR("wanted dhcp, or as 10.0.0.2/24")) != SIZE_MAX);
    }
    CHECK(net_config_parse(STR("dhcp,10.0.0.2/24,10.0.0.1"), &c, &e) == ERR_NONE);
    CHECK(c.dhcp && c.address == SERVER_ADDRESS && c.mask == 0x00ffffff && c.gateway == PEER_ADDRESS);
    /* Nobody gives an address, the link comes late: the fixed one is taken in the end. */
    rng_seed(&dice, 1);
    peer_start(PEER_ADDRESS, (const uint8_t[]){2, 0, 0, 0, 0, 1}, from_peer);
    CHECK(plat_listen(&listener, "0.0.0.0", 80) == PLAT_NOT_FOUND && net_ping(PEER_ADDRESS, MS) == PLAT_UNSUPPORTED);
    wire.no_card = true;
    CHECK(net_open(&server_card, &c, &e) == ERR_NONE && net_address() == 0);
    CHECK(plat_listen(&listener, "0.0.0.0", 80) == PLAT_OK);
    net_describe(text, sizeof text);
    CHECK(count_in(text, "link down") && count_in(text, "no address yet: DHCP is asked"));
    pass_ms(3000);
    wire.no_card = false;
    pass_ms(5000);
    CHECK(net_address() == 0);
    pass_ms(5000);
    CHECK(net_address() == SERVER_ADDRESS);
    net_describe(text, sizeof text);
    CHECK(count_in(text, "link up") && count_in(text, "address 10.0.0.2, mask 255.255.255.0, gateway 10.0.0.1, fixed"));
    echo(5, 1000, 20);
}

/* A DHCP server that says nonsense, then one that does not; and the end of what it lent. */
static struct {
    bool on;
    uint32_t yours, mask, gateway, seconds, id_off;
    uint8_t answers[4]; /* to DISCOVER (1) and REQUEST (3) */
    size_t n_asked;
} dhcp;

static uint8_t *put_option(uint8_t *to, uint8_t kind, const void *value, uint8_t bytes) {
    to[0] = kind, to[1] = bytes;
    memcpy(to + 2, value, bytes);
    return to + 2 + bytes;
}

static void answer_dhcp(void) {
    const uint8_t *asked = card_tx + 42, *o = asked + 240;
    if (!dhcp.on || memcmp(card_tx + 12, "\10\0", 2) != 0 || card_tx[23] != 17 || card_tx[37] != 67) return;
    dhcp.n_asked++;
    while (*o != 53 && *o != 255) o += 2 + o[1];
    uint8_t kind = *o == 53 && o[2] < 4 ? dhcp.answers[o[2]] : 0, f[42 + 300] = {0}, *b = f + 42, *ip = f + 14;
    if (!kind) return;
    memset(f, 255, 6);
    memcpy(f + 6, "\2\0\0\0\0\1\10\0\105", 9);
    ip[2] = (uint8_t)((sizeof f - 14) >> 8), ip[3] = (uint8_t)(sizeof f - 14), ip[8] = 64, ip[9] = 17;
    memcpy(ip + 12, "\12\0\0\1\377\377\377\377", 8);
    put_checksum(ip + 10, ip, 20, 0);
    ip[21] = 67, ip[23] = 68, ip[24] = (uint8_t)((sizeof f - 34) >> 8), ip[25] = (uint8_t)(sizeof f - 34);
    memcpy(b, asked, 44);
    b[0] = 2;
    store_u32(b + 4, load_u32(asked + 4) + dhcp.id_off);
    store_u32(b + 16, dhcp.yours);
    memcpy(b + 236, "\143\202\123\143", 4);
    uint32_t seconds = __builtin_bswap32(dhcp.seconds), server = PEER_ADDRESS;
    uint8_t *to = put_option(b + 240, 53, &kind, 1);
    to = put_option(to, 54, &server, 4);
    to = put_option(to, 1, &dhcp.mask, 4);
    to = put_option(to, 3, &dhcp.gateway, 4);
    *put_option(to, 51, &seconds, 4) = 255;
    fly(false, f, sizeof f);
}

static void test_dhcp(void) {
    err e;
    rng_seed(&dice, 1);
    peer_start(PEER_ADDRESS, (const uint8_t[]){2, 0, 0, 0, 0, 1}, from_peer);
    CHECK(net_open(&server_card, &(net_config){.dhcp = true}, &e) == ERR_NONE);
    CHECK(plat_listen(&listener, "0.0.0.0", 80) == PLAT_OK);
    dhcp.on = true, dhcp.seconds = 600;
    dhcp.yours = SERVER_ADDRESS, dhcp.mask = 0x00ffffff, dhcp.gateway = PEER_ADDRESS;
    for (int bad = 0; bad < 4; bad++) {
        memcpy(dhcp.answers, "\0\2\0\5", 4);
        dhcp.id_off = bad == 0;
        if (bad == 1) dhcp.answers[3] = 6; /* no, after an offer */
        if (bad == 2) dhcp.answers[1] = 5; /* what was not asked */
        if (bad == 3) dhcp.answers[1] = 9, dhcp.answers[3] = 255;
        dhcp.n_asked = 0;
        pass_ms(130000); /* a minute between tries, at most */
        CHECK(net_address() == 0 && dhcp.n_asked > 0 && dhcp.n_asked < 600);
    }
    memcpy(dhcp.answers, "\0\2\0\5", 4);
    pass_ms(120000);
    CHECK(net_address() == SERVER_ADDRESS);
    echo(5, 1000, 20);
    dhcp.n_asked = 0;
    pass_ms(500000); /* asked again, and lent again */
    CHECK(net_address() == SERVER_ADDRESS && dhcp.n_asked > 0);
    dhcp.on = false;
    pass_ms(1300000);
    CHECK(net_address() == 0); /* nobody lends it any more */
    dhcp.on = true;
    pass_ms(120000);
    CHECK(net_address() == SERVER_ADDRESS);
    echo(5, 1000, 20);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {{"echo", test_echo},       {"bad_wire", test_bad_wire},   {"states", test_states},
             {"resets", test_resets},   {"many", test_many},           {"half_open", test_half_open},
             {"garbage", test_garbage}, {"memory", test_memory},       {"closed", test_closed_windows},
             {"silence", test_silence}, {"addresses", test_addresses}, {"dhcp", test_dhcp}};

static void on_assert(const char *text) {
    printf("assertion: %s\n", text);
    exit(1);
}

int main(int argc, char **argv) {
    int passed = 0, failed = 0;
    assert_hook = on_assert;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < COUNT_OF(tests); i++) {
        int status = 0;
        if (argc > 1 && str_find(str_of(tests[i].name), str_of(argv[1])) == SIZE_MAX) continue;
        pid_t pid = fork();
        if (pid == 0) {
            tests[i].run();
            exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
            printf("FAIL %s: status %x\n", tests[i].name, (unsigned)status);
        *(status ? &failed : &passed) += 1;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
