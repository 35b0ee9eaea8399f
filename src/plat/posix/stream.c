/* stream.c: TCP connections behind plat.h's streams; nothing blocks but plat_poll. */
#include "plat/posix/posix.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 128    /* connections that wait to be accepted                         */
#define KEEP_IDLE_S 60 /* of silence, then the other side is asked whether it is there */

struct plat_stream {
    int fd;
};

static int wrap(plat_stream **out, int fd) {
    *out = malloc(sizeof **out);
    if (*out) {
        (*out)->fd = fd;
        return PLAT_OK;
    }
    close(fd);
    return PLAT_NO_MEMORY;
}

static int listen_at(plat_stream **out, const struct addrinfo *at) {
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol), one = 1;
    if (fd < 0) return posix_error(errno);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* a restart need not wait for old connections */
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return wrap(out, fd);
    int error = posix_error(errno);
    close(fd);
    return error;
}

int plat_listen(plat_stream **out, const char *host, uint16_t port) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    char service[8];
    *out = NULL;
    fmt(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) return PLAT_NOT_FOUND;
    int error = PLAT_NOT_FOUND;
    for (const struct addrinfo *at = found; at && error; at = at->ai_next) error = listen_at(out, at);
    freeaddrinfo(found);
    return error;
}

uint16_t plat_stream_port(const plat_stream *s) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name = {0};
    socklen_t bytes = sizeof name;
    if (getsockname(s->fd, &name.any, &bytes)) return 0;
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

int plat_accept(plat_stream *listener, plat_stream **out) {
    *out = NULL;
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1, idle = KEEP_IDLE_S;
    if (fd < 0) return errno == EINTR || errno == ECONNABORTED ? PLAT_AGAIN : posix_error(errno);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* a token is to be seen when it is there */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    return wrap(out, fd);
}

int64_t plat_recv(plat_stream *s, void *to, size_t bytes) {
    ssize_t n = recv(s->fd, to, bytes, 0);
    if (n >= 0) return n;
    return errno == EINTR ? PLAT_AGAIN : posix_error(errno);
}

int64_t plat_send(plat_stream *s, const void *bytes, size_t n) {
    ssize_t sent = send(s->fd, bytes, n, MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    return errno == EINTR ? PLAT_AGAIN : posix_error(errno);
}

void plat_stream_end(plat_stream *s) { shutdown(s->fd, SHUT_WR); }

void plat_stream_close(plat_stream *s) {
    if (!s) return;
    close(s->fd);
    free(s);
}

size_t plat_poll(plat_ready *streams, size_t n, uint64_t timeout_ns) {
    struct pollfd fds[PLAT_POLL_MAX];
    struct timespec wait = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
    size_t ready = 0;
    ASSERT(n <= PLAT_POLL_MAX);
    for (size_t i = 0; i < n; i++) {
        short events = 0;
        if (streams[i].want & PLAT_READY_RECV) events |= POLLIN;
        if (streams[i].want & PLAT_READY_SEND) events |= POLLOUT;
        if (streams[i].want & PLAT_READY_END) events |= POLLRDHUP;
        fds[i] = (struct pollfd){.fd = streams[i].stream->fd, .events = events};
        streams[i].got = 0;
    }
    if (ppoll(fds, (nfds_t)n, &wait, NULL) <= 0) return 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t got = 0;
        if (fds[i].revents & POLLIN) got |= PLAT_READY_RECV;
        if (fds[i].revents & POLLOUT) got |= PLAT_READY_SEND;
        if (fds[i].revents & (POLLHUP | POLLERR | POLLNVAL)) got |= PLAT_READY_GONE;
        if (fds[i].revents & POLLRDHUP) got |= PLAT_READY_END;
        streams[i].got = got;
        ready += got != 0;
    }
    return ready;
}
