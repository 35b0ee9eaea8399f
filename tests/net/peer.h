/* peer.h: the other machine of the network tests: clients on a TCP/IP stack of their own. Its connections know
 * what they send and what must come back, so nothing is buffered here: byte i of connection c is peer_byte(c, i).
 */
#ifndef LEAT_TEST_PEER_H
#define LEAT_TEST_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_CONNECTIONS_MAX = 400 };

typedef struct peer_conn {
    void *pcb;       /* NULL: it is over */
    size_t to_send, sent, came;
    bool waits;      /* until it is connected           */
    bool reads;      /* takes what comes                */
    bool keeps;      /* does not end when all is sent   */
    bool fin, cut;   /* the other side has ended; was reset, or gave up */
    bool wrong;      /* a byte that came is not the one that was sent   */
    size_t unread;   /* while it does not read          */
} peer_conn;
extern peer_conn peer_conns[PEER_CONNECTIONS_MAX];

uint8_t peer_byte(size_t connection, size_t i);
void peer_start(uint32_t address, const uint8_t mac[6], void (*send)(const void *frame, size_t bytes));
void peer_take(const void *frame, size_t bytes); /* a frame has come */
void peer_poll(void);
/* A connection to send that many bytes. */
void peer_connect(size_t connection, uint32_t address, uint16_t port, size_t to_send);
void peer_read_on(size_t connection); /* reads from now on */
void peer_abort(size_t connection);   /* resets it */
void peer_forget(size_t connection);  /* closes its side without a look */
size_t peer_open_count(void);         /* connections that lwIP still knows */

/* Of wire.c. */
uint64_t wire_time_ns(void);
void wire_sleep_ns(uint64_t ns);
void wire_entropy(void *out, size_t bytes);

#endif
