/* stream.c: connections: none without a network card. */
#include "plat/bare/bare.h"

#include "kernel/cpu/cpu.h"

int plat_listen(plat_stream **out, const char *host, uint16_t port) {
    (void)host, (void)port;
    *out = NULL;
    return PLAT_UNSUPPORTED;
}
uint16_t plat_stream_port(const plat_stream *listener) { return (void)listener, 0; }
int plat_accept(plat_stream *listener, plat_stream **out) { return (void)listener, *out = NULL, PLAT_AGAIN; }
int64_t plat_recv(plat_stream *s, void *to, size_t bytes) { return (void)s, (void)to, (void)bytes, PLAT_CLOSED; }
int64_t plat_send(plat_stream *s, const void *bytes, size_t n) { return (void)s, (void)bytes, (void)n, PLAT_CLOSED; }
void plat_stream_end(plat_stream *s) { (void)s; }
void plat_stream_close(plat_stream *s) { (void)s; }
size_t plat_poll(plat_ready *streams, size_t n, uint64_t timeout_ns) {
    (void)streams, (void)n;
    cpu_sleep_ns(MIN(timeout_ns, 1000000));
    return 0;
}
