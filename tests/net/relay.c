/* relay.c: a bad cable between two network cards of QEMU (-netdev dgram over Unix sockets): loses, doubles and
 * delays frames, and brings some of its own.
 *
 *     relay DIR LOST DOUBLED JITTER_US GARBAGE FLOOD
 *
 * Frames come to DIR/a and DIR/b, and go on to DIR/guest and DIR/host. LOST and DOUBLED are of a thousand; GARBAGE
 * are frames of random bytes and FLOOD openings of connections from nowhere to port 80 that come to the guest each
 * second. Ends with its parent. For the guest's address of QEMU's user network, 10.0.2.15.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MAX = 65536, FLYING_MAX = 4096 };

typedef struct frame {
    uint64_t due_us; /* 0: an empty place */
    int to;          /* 0: the guest */
    size_t bytes;
    uint8_t data[1600];
} frame;

static frame flying[FLYING_MAX];
static int fds[2];
static struct sockaddr_un ends[2];
static unsigned lost, doubled, jitter_us, garbage, flood;
static uint64_t n_frames, n_lost;

static uint32_t roll(uint32_t n) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 16) % n;
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct sockaddr_un at(const char *dir, const char *name) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", dir, name);
    return a;
}

/* An end that is not there yet loses what is sent to it, as a cable does. */
static void put(int to, const void *data, size_t bytes) {
    sendto(fds[to], data, bytes, MSG_DONTWAIT, (struct sockaddr *)&ends[to], sizeof ends[to]);
}

static void fly(int to, const void *data, size_t bytes) {
    for (size_t i = 0; i < FLYING_MAX && bytes <= sizeof flying->data; i++) {
        if (flying[i].due_us) continue;
        flying[i].due_us = now_us() + roll(jitter_us + 1);
        flying[i].to = to;
        flying[i].bytes = bytes;
        memcpy(flying[i].data, data, bytes);
        return;
    }
}

static void take(int from) {
    static uint8_t data[FRAME_MAX];
    for (ssize_t n; (n = recv(fds[from], data, sizeof data, MSG_DONTWAIT)) > 0;) {
        n_frames++;
        if (roll(1000) < lost) {
            n_lost++;
            continue;
        }
        fly(!from, data, (size_t)n);
        if (roll(1000) < doubled) fly(!from, data, (size_t)n);
    }
}

static void sum(uint8_t *to, const uint8_t *from, size_t n, uint32_t s) {
    to[0] = to[1] = 0;
    for (size_t i = 0; i < n; i += 2) s += (uint32_t)from[i] << 8 | from[i + 1];
    while (s >> 16) s = (s & 0xffff) + (s >> 16);
    to[0] = (uint8_t)(~s >> 8), to[1] = (uint8_t)~s;
}

static void bring_garbage(void) {
    uint8_t f[1514];
    size_t n = 14 + roll(roll(4) ? 80 : 1500);
    for (size_t i = 0; i < n; i++) f[i] = (uint8_t)roll(256);
    memset(f, 0xff, 6);
    if (roll(4)) f[12] = 8, f[13] = roll(3) ? 0 : 6;
    if (roll(2) && n > 34) {
        f[14] = 0x45, f[16] = (uint8_t)((n - 14) >> 8), f[17] = (uint8_t)(n - 14), f[20] = f[21] = 0;
        f[23] = roll(2) ? 6 : 17;
        memcpy(f + 30, "\12\0\2\17", 4);
        sum(f + 24, f + 14, 20, 0);
    }
    put(0, f, n);
}

static void bring_opening(void) {
    uint8_t f[54] = {0x52, 0x54, 0, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 9, 8, 0};
    uint8_t *ip = f + 14, *tcp = ip + 20;
    ip[0] = 0x45, ip[3] = 40, ip[8] = 64, ip[9] = 6;
    for (int i = 12; i < 16; i++) ip[i] = (uint8_t)(1 + roll(200));
    memcpy(ip + 16, "\12\0\2\17", 4);
    sum(ip + 10, ip, 20, 0);
    tcp[0] = (uint8_t)roll(256), tcp[1] = (uint8_t)roll(256), tcp[3] = 80;
    tcp[12] = 0x50, tcp[13] = 2, tcp[14] = 0x40;
    uint32_t s = 6 + 20;
    for (int i = 12; i < 20; i += 2) s += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum(tcp + 16, tcp, 20, s);
    put(0, f, sizeof f);
}

static volatile sig_atomic_t ended;
static void end(int signal) { ended = signal; }

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGTERM, end);
    lost = (unsigned)atoi(argv[2]), doubled = (unsigned)atoi(argv[3]), jitter_us = (unsigned)atoi(argv[4]);
    garbage = (unsigned)atoi(argv[5]), flood = (unsigned)atoi(argv[6]);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_un own = at(argv[1], i ? "b" : "a");
        ends[i] = at(argv[1], i ? "host" : "guest");
        unlink(own.sun_path);
        fds[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
        if (bind(fds[i], (struct sockaddr *)&own, sizeof own)) return perror("bind"), 1;
    }
    uint64_t from = now_us(), n_garbage = 0, n_flood = 0;
    while (!ended) {
        struct pollfd p[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
        poll(p, 2, 1);
        for (int i = 0; i < 2; i++) take(i);
        uint64_t now = now_us();
        for (size_t i = 0; i < FLYING_MAX; i++) {
            frame *f = &flying[i];
            if (!f->due_us || f->due_us > now) continue;
            put(f->to, f->data, f->bytes);
            f->due_us = 0;
        }
        /* A machine that stands still does not get all of it at once. */
        for (int i = 0; i < 50 && n_garbage < (now - from) * garbage / 1000000; i++, n_garbage++) bring_garbage();
        for (int i = 0; i < 50 && n_flood < (now - from) * flood / 1000000; i++, n_flood++) bring_opening();
    }
    printf("relay: %llu of %llu frames lost, %llu of garbage, %llu openings\n", (unsigned long long)n_lost,
           (unsigned long long)n_frames, (unsigned long long)n_garbage, (unsigned long long)n_flood);
    return 0;
}
