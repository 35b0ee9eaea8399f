/* init_net.c: an address for the first network card of a Linux that has no other process: a fixed one, or by DHCP (RFC
 * 2131), for which the first offer is taken, and asked for again when half of its time is over. Answers are wanted as
 * broadcasts, so that an ordinary socket of a card without an address hears them.
 */
#include "hosted/init_net.h"

#include "plat/plat.h"

#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CARD "eth0"

enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5 };
enum { OPTION_MASK = 1, OPTION_GATEWAY = 3, OPTION_ADDRESS = 50, OPTION_SECONDS = 51, OPTION_KIND = 53,
       OPTION_SERVER = 54, OPTION_WANTED = 55, OPTION_END = 255 };
enum { TRY_S = 2, FIXED_AFTER_S = 10, SECONDS_MIN = 60, SECONDS_MAX = 86400 };

typedef struct message {
    uint8_t op, hardware, address_bytes, hops;
    uint32_t id;
    uint16_t seconds, flags;
    uint32_t client, yours, server, relay;
    uint8_t mac[16], names[192], cookie[4];
    uint8_t options[312];
} message;
_Static_assert(sizeof(message) == 552, "as it goes over the wire");

typedef struct lease {
    uint32_t address, mask, gateway, server; /* as in packets */
    uint32_t seconds;
} lease;

static const uint8_t cookie[4] = {99, 130, 83, 99};

static void say(const char *what) { fprintf(stderr, "leat: %s: %s: %s\n", CARD, what, strerror(errno)); }

static int card_socket(void) {
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0) say("socket");
    return s;
}

static bool set_up(int s) {
    struct ifreq r = {.ifr_name = CARD, .ifr_flags = IFF_UP | IFF_RUNNING};
    if (!ioctl(s, SIOCSIFFLAGS, &r)) return true;
    say("the network card");
    return false;
}

static void take(uint32_t address, uint32_t mask, uint32_t gateway) {
    struct ifreq r = {.ifr_name = CARD};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {address}};
    int s = card_socket();
    memcpy(&r.ifr_addr, &a, sizeof a);
    if (ioctl(s, SIOCSIFADDR, &r)) say("address");
    a.sin_addr.s_addr = mask;
    memcpy(&r.ifr_netmask, &a, sizeof a);
    if (ioctl(s, SIOCSIFNETMASK, &r)) say("mask");
    if (gateway) {
        struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
        a.sin_addr.s_addr = gateway;
        memcpy(&route.rt_gateway, &a, sizeof a);
        a.sin_addr.s_addr = 0;
        memcpy(&route.rt_dst, &a, sizeof a);
        memcpy(&route.rt_genmask, &a, sizeof a);
        if (ioctl(s, SIOCADDRT, &route) && errno != EEXIST) say("gateway");
    }
    close(s);
}

/* ---- DHCP ---------------------------------------------------------------------------------------- */

static size_t put(uint8_t *to, uint8_t option, const void *value, uint8_t bytes) {
    to[0] = option, to[1] = bytes;
    memcpy(to + 2, value, bytes);
    return 2u + bytes;
}

static void send_message(int s, uint32_t id, const uint8_t mac[6], const lease *asked) {
    static const uint8_t wanted[] = {OPTION_MASK, OPTION_GATEWAY, OPTION_SECONDS};
    message m = {.op = 1, .hardware = 1, .address_bytes = 6, .id = id, .flags = htons(0x8000)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(67), .sin_addr = {INADDR_BROADCAST}};
    uint8_t kind = asked->address ? REQUEST : DISCOVER, *at = m.options;
    memcpy(m.mac, mac, 6);
    memcpy(m.cookie, cookie, sizeof cookie);
    at += put(at, OPTION_KIND, &kind, 1);
    if (asked->address) at += put(at, OPTION_ADDRESS, &asked->address, 4);
    if (asked->address) at += put(at, OPTION_SERVER, &asked->server, 4);
    at += put(at, OPTION_WANTED, wanted, sizeof wanted);
    *at = OPTION_END;
    if (sendto(s, &m, sizeof m, 0, (struct sockaddr *)&to, sizeof to) < 0) say("DHCP");
}

/* The kind of an answer to us, or 0. Whatever is in it stays within its n bytes. */
static uint8_t read_message(const message *m, size_t n, uint32_t id, const uint8_t mac[6], lease *l) {
    size_t end = n < offsetof(message, options) ? 0 : n - offsetof(message, options);
    uint8_t kind = 0;
    uint32_t number;
    if (!end || m->op != 2 || m->id != id || memcmp(m->mac, mac, 6) != 0 || memcmp(m->cookie, cookie, 4) != 0)
        return 0;
    *l = (lease){.address = m->yours, .mask = htonl(0xffffff00), .seconds = SECONDS_MAX};
    for (size_t at = 0; at < end && m->options[at] != OPTION_END;) {
        const uint8_t *o = m->options + at;
        if (!*o) {
            at++;
            continue;
        }
        if (end - at < 2 || end - at - 2 < o[1]) break;
        at += 2u + o[1];
        if (*o == OPTION_KIND && o[1] == 1) kind = o[2];
        if (o[1] < 4) continue;
        memcpy(&number, o + 2, 4);
        if (*o == OPTION_MASK) l->mask = number;
        if (*o == OPTION_GATEWAY) l->gateway = number;
        if (*o == OPTION_SERVER) l->server = number;
        if (*o == OPTION_SECONDS) l->seconds = ntohl(number);
    }
    return l->address ? kind : 0;
}

static int64_t now_s(void) { return (int64_t)(plat_time_ns() / 1000000000); }

/* Sends, and waits TRY_S for an answer of that kind. */
static bool ask(int s, const uint8_t mac[6], const lease *asked, uint8_t kind, lease *out) {
    message m;
    uint32_t id;
    plat_entropy(&id, sizeof id);
    send_message(s, id, mac, asked);
    for (int64_t until = now_s() + TRY_S; now_s() <= until;) {
        ssize_t n = recv(s, &m, sizeof m, 0); /* at most a second */
        if (n < 0 && errno != EAGAIN) sleep(1);
        if (n > 0 && read_message(&m, (size_t)n, id, mac, out) == kind) return true;
    }
    return false;
}

static int dhcp_socket(void) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(68)};
    struct timeval limit = {1, 0};
    int s = card_socket(), on = 1;
    if (setsockopt(s, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) ||
        setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, CARD, sizeof CARD) ||
        setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) || bind(s, (struct sockaddr *)&any, sizeof any))
        say("DHCP");
    return s;
}

static _Noreturn void ask_for_ever(const net_config *c) {
    struct ifreq r = {.ifr_name = CARD};
    int s = dhcp_socket();
    uint8_t mac[6];
    char text[16];
    bool fixed = false;
    uint32_t taken = 0;
    ioctl(s, SIOCGIFHWADDR, &r);
    memcpy(mac, r.ifr_hwaddr.sa_data, sizeof mac);
    for (int64_t from = now_s();;) {
        lease l = {0}, offer;
        if (ask(s, mac, &l, OFFER, &offer) && ask(s, mac, &offer, ACK, &l)) {
            take(l.address, l.mask, l.gateway);
            if (l.address != taken)
                fprintf(stderr, "leat: address %s, from DHCP\n", net_address_text(text, sizeof text, l.address));
            taken = l.address;
            sleep(MAX(MIN(l.seconds, SECONDS_MAX), SECONDS_MIN) / 2);
        } else if (c->address && !taken && !fixed && now_s() - from >= FIXED_AFTER_S) {
            take(c->address, c->mask, c->gateway);
            fixed = true;
        }
    }
}

void init_net_start(const net_config *c) {
    int s = card_socket();
    bool up = set_up(s);
    close(s);
    if (up && !c->dhcp) take(c->address, c->mask, c->gateway);
    fflush(NULL);
    if (up && c->dhcp && fork() == 0) ask_for_ever(c);
}
