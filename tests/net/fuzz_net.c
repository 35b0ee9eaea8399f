/* fuzz_net.c: any frames as what a network card brings, to the whole way up: kernel/net, lwIP and the streams, with a
 * server that sends back what comes. An input is a byte (1: by DHCP) and frames:
 *
 *     0   what is put right in the frame: FIX_*, so that more than one in a billion gets past checksums and numbers
 *     1   0..2: how much time passes then (delays_ms), 3..4: what the server does with its connections
 *     2   bytes of the frame, 16 bits of which 11 count
 *
 * Whatever came: all packets are free again afterwards, and the next connection is answered.
 */
#include "base/base.h"
#include "kernel/net/net.h"
#include "plat/plat.h"

#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/tcp.h"
#include "lwip/priv/tcp_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
uint64_t wire_time_ns(void);
void wire_sleep_ns(uint64_t ns);
void wire_entropy(void *out, size_t bytes);

enum { FIX_ETHERNET = 1, FIX_IP = 2, FIX_SUM = 4, FIX_TCP = 8, FIX_DHCP = 16, FIX_FROM = 32 };
enum { ECHO = 0, IGNORE = 1, CLOSE = 2, END = 3 };
enum { IP = 14, UP = IP + 20, CONNS = 32, DHCP_XID = UP + 8 + 4, DHCP_MAC = UP + 8 + 28, STEP_MS = 250 };
static const uint32_t delays_ms[8] = {0, 1, 10, 100, 300, 1000, 5000, 60000};
#define MS ((uint64_t)1000000)

static uint64_t now_ns = 1000 * MS;
static rng dice;
static plat_stream *listener, *conns[CONNS];
static uint8_t coming[2048], going[NIC_BUFFER_BYTES];
static size_t n_coming;
static struct {
    uint32_t ours, theirs; /* the next numbers of either side, by the other side's port */
} next[16];
static uint8_t xid[4];
static uint8_t last_flags;
static size_t n_echoed;

uint64_t wire_time_ns(void) { return now_ns += 20; }
void wire_sleep_ns(uint64_t ns) { now_ns += ns; }
void wire_entropy(void *out, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)out)[i] = (uint8_t)rng_u64(&dice);
}

static uint32_t get32(const uint8_t *at) { return __builtin_bswap32(load_u32(at)); }
static void put32(uint8_t *at, uint32_t v) { store_u32(at, __builtin_bswap32(v)); }

/* ---- the card ------------------------------------------------------------------------------------------------ */

static bool link_up(nic *n) { return (void)n, true; }
static const uint8_t *rx_peek(nic *n, size_t *bytes) {
    (void)n;
    *bytes = n_coming;
    return n_coming ? coming : NULL;
}
static void rx_drop(nic *n) { (void)n, n_coming = 0; }
static uint8_t *tx_place(nic *n) { return (void)n, going; }

/* What the other side would remember. */
static void tx_send(nic *n, size_t bytes) {
    (void)n;
    ASSERT(bytes >= 14 && bytes <= NIC_FRAME_MAX);
    if (bytes < UP + 8 || going[12] != 8 || going[13]) return;
    if (going[IP + 9] == 17 && going[UP + 3] == 67 && bytes > DHCP_XID + 4) memcpy(xid, going + DHCP_XID, 4);
    if (going[IP + 9] != 6 || bytes < UP + 20) return;
    size_t port = going[UP + 3] & 15, head = 20 + (going[UP + 12] >> 4) * 4u;
    size_t all = (size_t)going[IP + 2] << 8 | going[IP + 3];
    ASSERT(all >= head && IP + all <= bytes);
    last_flags = going[UP + 13];
    next[port].ours = get32(going + UP + 4) + (uint32_t)(all - head) + (last_flags & 1) + (last_flags >> 1 & 1);
    if (last_flags & 16) next[port].theirs = get32(going + UP + 8);
}
static nic card = {"fuzz", {2, 0, 0, 0, 0, 2}, link_up, rx_peek, rx_drop, tx_place, tx_send};

static void put_sum(uint8_t *at, const uint8_t *from, size_t n, uint32_t sum) {
    at[0] = at[1] = 0;
    for (size_t i = 0; i < n; i++) sum += i & 1 ? from[i] : (uint32_t)from[i] << 8;
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    at[0] = (uint8_t)(~sum >> 8), at[1] = (uint8_t)~sum;
}

static void put_right(uint8_t *f, size_t n, uint32_t what) {
    if (what & FIX_ETHERNET && n >= IP) memcpy(f, card.mac, 6), f[12] = 8, f[13] = what & FIX_IP ? 0 : f[13];
    if (n < UP) return;
    uint32_t address = net_address() ? net_address() : 0xffffffff;
    if (what & FIX_FROM) memcpy(f + IP + 12, "\12\0\0\1", 4);
    if (what & FIX_IP) {
        f[IP] = 0x45, f[IP + 2] = (uint8_t)((n - IP) >> 8), f[IP + 3] = (uint8_t)(n - IP), f[IP + 6] = f[IP + 7] = 0;
        memcpy(f + IP + 16, &address, 4);
        put_sum(f + IP + 10, f + IP, 20, 0);
    }
    uint8_t *up = f + UP, kind = f[IP + 9];
    size_t bytes = n - UP;
    if (what & FIX_DHCP && n >= DHCP_MAC + 6) memcpy(f + DHCP_XID, xid, 4), memcpy(f + DHCP_MAC, card.mac, 6);
    if (what & FIX_TCP && kind == 6 && bytes >= 20) {
        put32(up + 4, get32(up + 4) + next[up[1] & 15].theirs);
        put32(up + 8, get32(up + 8) + next[up[1] & 15].ours);
    }
    uint32_t sum = kind + (uint32_t)bytes;
    for (size_t k = 12; k < 20; k += 2) sum += (uint32_t)f[IP + k] << 8 | f[IP + k + 1];
    if (!(what & FIX_SUM)) return;
    if (kind == 6 && bytes >= 20) put_sum(up + 16, up, bytes, sum);
    if (kind == 1 && bytes >= 8) put_sum(up + 2, up, bytes, 0);
    if (kind == 17 && bytes >= 8) up[4] = (uint8_t)(bytes >> 8), up[5] = (uint8_t)bytes, up[6] = up[7] = 0;
}

/* ---- the server ---------------------------------------------------------------------------------------------- */

static void serve(uint32_t how) {
    static uint8_t bytes[4096];
    plat_ready ready[CONNS + 1];
    size_t n = 0;
    for (size_t i = 0; i < CONNS; i++)
        if (conns[i]) ready[n++] = (plat_ready){.stream = conns[i], .want = PLAT_READY_RECV | PLAT_READY_SEND};
    ready[n++] = (plat_ready){.stream = listener, .want = PLAT_READY_RECV};
    plat_poll(ready, n, 0);
    for (size_t i = 0; i < CONNS; i++) {
        if (!conns[i] && plat_accept(listener, &conns[i]) != PLAT_OK) continue;
        if (how == END) plat_stream_end(conns[i]);
        int64_t got = how == ECHO ? plat_recv(conns[i], bytes, sizeof bytes) : PLAT_AGAIN;
        if (got > 0) n_echoed += (size_t)got;
        if (got > 0) plat_send(conns[i], bytes, (size_t)got);
        if (how != CLOSE && (got > 0 || got == PLAT_AGAIN)) continue;
        plat_stream_close(conns[i]);
        conns[i] = NULL;
    }
    net_poll();
}

static void take(const uint8_t *frame, size_t n, uint32_t what, uint32_t then) {
    memcpy(coming, frame, n);
    put_right(coming, n, what);
    n_coming = n;
    serve(then >> 3 & 3);
    for (uint32_t left = delays_ms[then & 7]; left; left -= MIN(left, (uint32_t)STEP_MS)) {
        now_ns += MIN(left, (uint32_t)STEP_MS) * MS;
        serve(then >> 3 & 3);
    }
}

static void forget_all(void) {
    serve(CLOSE);
    while (tcp_active_pcbs) tcp_abort(tcp_active_pcbs);
    while (tcp_tw_pcbs) tcp_abort(tcp_tw_pcbs);
    etharp_cleanup_netif(netif_default);
    n_coming = 0;
}

/* A connection from 10.0.0.1 with three bytes. */
static void expect_answer(void) {
    uint8_t f[UP + 23] = {0};
    const uint32_t all = FIX_ETHERNET | FIX_IP | FIX_SUM | FIX_FROM;
    f[IP + 8] = 64, f[IP + 9] = 6;
    f[UP] = 0x40, f[UP + 1] = 1, f[UP + 3] = 80, f[UP + 12] = 0x50, f[UP + 13] = 2, f[UP + 14] = 0x40;
    memcpy(f + 6, "\2\0\0\0\0\1", 6);
    /* Who it is: otherwise the answer waits for ARP's. */
    uint8_t arp[42] = "\2\0\0\0\0\2\2\0\0\0\0\1\10\6\0\1\10\0\6\4\0\2\2\0\0\0\0\1\12\0\0\1\2\0\0\0\0\2\12\0\0\2";
    n_echoed = 0;
    take(arp, sizeof arp, 0, 0);
    take(f, UP + 20, all, 0);
    ASSERT(last_flags == 18 || net_address() != 0x0200000a);
    f[UP + 13] = 24, memcpy(f + UP + 20, "abc", 3);
    memset(f + UP + 4, 0, 8);
    take(f, UP + 23, all | FIX_TCP, 1);
    ASSERT(n_echoed == 3);
}

static size_t n_free(void) {
    static struct pbuf *all[PBUF_POOL_SIZE + 1];
    size_t n = 0;
    while (n < COUNT_OF(all) && (all[n] = pbuf_alloc(PBUF_RAW, 1, PBUF_POOL))) n++;
    for (size_t i = 0; i < n; i++) pbuf_free(all[i]);
    return n;
}

static void on_assert(const char *text) { /* also lwIP's */
    plat_stderr_write(text, cstr_len(text));
    __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const net_config fixed = {.address = 0x0200000a, .mask = 0x00ffffff}, asked = {.dhcp = true};
    err e;
    rng_seed(&dice, 1);
    if (!listener) {
        assert_hook = on_assert;
        bool ok = net_open(&card, &fixed, &e) == ERR_NONE && plat_listen(&listener, "0.0.0.0", 80) == PLAT_OK;
        ASSERT(ok && n_free() == PBUF_POOL_SIZE);
    }
    if (!size) return 0;
    net_configure(*data & 1 ? &asked : &fixed);
    for (size_t at = 1; at + 4 <= size;) {
        size_t n = MIN((size_t)(load_u16(data + at + 2) & 2047), size - at - 4);
        take(data + at + 4, n, data[at], data[at + 1]);
        at += 4 + n;
    }
    forget_all();
    net_configure(&fixed);
    forget_all();
    ASSERT(n_free() == PBUF_POOL_SIZE);
    expect_answer();
    forget_all();
    return 0;
}
