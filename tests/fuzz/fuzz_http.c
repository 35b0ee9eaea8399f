/* fuzz_http.c: any bytes as what a connection brings. However the bytes are cut, the same request is read; what is read
 * lies within the bytes; a body in chunks has the same bytes in one piece as byte by byte.
 */
#include "fuzz/fuzz.h"
#include "srv/srv_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(str part, str all) {
    require(!part.len || (part.ptr >= all.ptr && part.ptr + part.len <= all.ptr + all.len), "a view of the bytes");
    for (size_t i = 0; i < part.len; i++)
        require((unsigned char)part.ptr[i] >= ' ' || part.ptr[i] == '\t', "no control");
}

/* The body of chunked bytes, taken `step` at a time; *end: offset behind it, or SIZE_MAX. */
static srv_chunk unchunk(str in, size_t step, char *out, size_t *n, size_t *end) {
    srv_chunks c = {0};
    srv_chunk kind = SRV_CHUNK_MORE;
    *n = 0;
    for (size_t at = 0; at < in.len; at += step) {
        str part = str_cut(in, at, step), piece = {0};
        while ((kind = srv_http_chunk(&c, &part, &piece)) == SRV_CHUNK_DATA) {
            memcpy(out + *n, piece.ptr, piece.len);
            *n += piece.len;
        }
        *end = MIN(at + step, in.len) - part.len;
        if (kind != SRV_CHUNK_MORE) return kind;
        require(!part.len, "all was taken");
    }
    return kind;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size = MIN(size, (size_t)SRV_HEAD_BYTES_MAX);
    char *copy = malloc(size + 1); /* so that a sanitizer sees where it ends */
    if (!copy) abort();
    memcpy(copy, data, size);
    str all = {copy, size};
    srv_head h, again;
    const char *why = NULL;
    int status = srv_http_head(all, &h, &why);
    require(status == 0 || status == 1 || (status >= 400 && status < 600 && why), "a status");
    if (status == 1) {
        require(h.bytes <= size && h.bytes >= 16, "the head lies within the bytes");
        if (!str_is(h.path, "/")) inside(h.path, all); /* that of a bare host is not in the bytes */
        inside(h.query, all), inside(h.authorization, all), inside(h.origin, all);
        inside(h.api_key, all), inside(h.asks_headers, all);
        require(!(h.chunked && h.has_length), "one way to tell a length");
        for (size_t n = 0; n < h.bytes; n += n < 64 ? 1 : 61)
            require(srv_http_head(str_cut(all, 0, n), &again, &why) == 0, "a beginning is no request yet");
        require(srv_http_head(str_cut(all, 0, h.bytes), &again, &why) == 1 && again.bytes == h.bytes &&
                    again.length == h.length && str_eq(again.path, h.path) && again.keep == h.keep,
                "what follows does not matter");
    }
    str body = status == 1 ? str_cut(all, h.bytes, size) : all;
    char *one = malloc(size + 1), *two = malloc(size + 1);
    if (!one || !two) abort();
    size_t n_one, n_two, end_one = 0, end_two = 0;
    srv_chunk first = unchunk(body, size + 1, one, &n_one, &end_one), second = unchunk(body, 1, two, &n_two, &end_two);
    require(first == second && n_one == n_two && !memcmp(one, two, n_one), "chunks in pieces are the same");
    require(first != SRV_CHUNK_END || end_one == end_two, "and end at the same place");
    require(srv_http_reason(status)[0], "a status has words");
    free(one);
    free(two);
    free(copy);
    return 0;
}
