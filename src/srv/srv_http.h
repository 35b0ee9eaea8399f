/* srv_http.h: HTTP/1.1 requests (RFC 9112), read strictly from bytes that are in memory. No connection and no memory of
 * its own: srv_conn.c feeds it, tests/fuzz/fuzz_http.c too.
 *
 * Refused: bare line feeds, folded headers, space before a colon, names that are no tokens, Content-Length twice or
 * beside Transfer-Encoding, any transfer coding but chunked. What other programs on the way could read otherwise is an
 * error here.
 */
#ifndef LEAT_SRV_HTTP_H
#define LEAT_SRV_HTTP_H

#include "base/base.h"

enum {
    SRV_HEAD_BYTES_MAX = 8192, /* request line and headers  */
    SRV_HEADERS_MAX = 100,
};

typedef enum { SRV_GET, SRV_HEAD, SRV_POST, SRV_OPTIONS, SRV_OTHER } srv_method;

/* Views of the bytes that were read. */
typedef struct srv_head {
    srv_method method;
    str path, query;                /* as sent; query without its '?'    */
    str authorization, api_key, origin;
    str asks_headers;               /* Access-Control-Request-Headers    */
    uint64_t length;                /* of the body; 0 where chunked      */
    bool chunked, has_length;
    bool keep;                      /* the connection stays open         */
    bool expects;                   /* waits for 100 Continue            */
    bool old;                       /* HTTP/1.0                          */
    size_t bytes;                   /* of the head, with its empty line  */
} srv_head;

/* 0: more bytes are needed; 1: *out is filled; else the status of the error to answer with, and *why is its text. */
int srv_http_head(str bytes, srv_head *out, const char **why);

/* The chunked transfer coding. Zeroed at its start. */
typedef struct srv_chunks {
    uint8_t state;
    uint8_t digits;
    uint32_t line;   /* bytes of the line of a chunk or of the trailers */
    uint64_t left;   /* of the chunk                                    */
} srv_chunks;
typedef enum { SRV_CHUNK_MORE, SRV_CHUNK_DATA, SRV_CHUNK_END, SRV_CHUNK_BAD } srv_chunk;
/* Takes bytes off *in. DATA: *data is a part of the body. MORE: all was taken. END: the body is over, the rest of *in
 * is the next request. */
srv_chunk srv_http_chunk(srv_chunks *c, str *in, str *data);

/* The words of a status line: "Not Found". */
const char *srv_http_reason(int status);

#endif
