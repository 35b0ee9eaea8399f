/* srv_http.c: the head of a request, and bodies in chunks. Next: srv_conn.c. */
#include "srv/srv_http.h"

#define CHUNK_LINE_MAX 256     /* a size and its extensions    */
#define TRAILER_BYTES_MAX 4096 /* all trailers; they are ignored */

const char *srv_http_reason(int status) {
    switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 417: return "Expectation Failed";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
    }
}

/* ---- the head ------------------------------------------------------------------------------------- */

static bool is_token(char c) {
    unsigned char u = (unsigned char)c, low = u | 32;
    if ((u >= '0' && u <= '9') || (low >= 'a' && low <= 'z')) return true;
    return u && str_find(STR("!#$%&'*+-.^_`|~"), (str){&c, 1}) != SIZE_MAX;
}

/* Equal but for the case of ASCII letters; b is in lower case. */
static bool is_word(str a, const char *b) {
    size_t i = 0;
    for (; i < a.len && b[i]; i++) {
        char c = a.ptr[i] >= 'A' && a.ptr[i] <= 'Z' ? (char)(a.ptr[i] | 32) : a.ptr[i];
        if (c != b[i]) return false;
    }
    return i == a.len && !b[i];
}

/* Whether a list of words parted by commas has one. */
static bool has_word(str list, const char *word) {
    while (list.len) {
        size_t comma = MIN(str_find(list, STR(",")), list.len);
        if (is_word(str_trim(str_cut(list, 0, comma)), word)) return true;
        list = str_cut(list, comma + 1, list.len);
    }
    return false;
}

static int bad(int status, const char *text, const char **why) {
    *why = text;
    return status;
}

static int read_request_line(str line, srv_head *h, const char **why) {
    static const struct {
        const char *name;
        srv_method method;
    } methods[] = {{"GET", SRV_GET}, {"HEAD", SRV_HEAD}, {"POST", SRV_POST}, {"OPTIONS", SRV_OPTIONS}};
    size_t first = str_find(line, STR(" "));
    if (first == SIZE_MAX || !first) return bad(400, "the request line has no method", why);
    str method = str_cut(line, 0, first), rest = str_cut(line, first + 1, line.len);
    for (size_t i = 0; i < method.len; i++)
        if (!is_token(method.ptr[i])) return bad(400, "the method is no token", why);
    h->method = SRV_OTHER;
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (str_is(method, methods[i].name)) h->method = methods[i].method;
    size_t second = str_find(rest, STR(" "));
    if (second == SIZE_MAX) return bad(400, "the request line has no version", why);
    str target = str_cut(rest, 0, second), version = str_cut(rest, second + 1, rest.len);
    if (!str_is(version, "HTTP/1.1") && !str_is(version, "HTTP/1.0"))
        return str_starts(version, STR("HTTP/")) ? bad(505, "the version is neither HTTP/1.1 nor HTTP/1.0", why)
                                                 : bad(400, "the request line does not end with a version", why);
    h->old = str_is(version, "HTTP/1.0");
    h->keep = !h->old;
    /* A proxy sends the whole address. */
    size_t scheme = str_find(target, STR("://"));
    if (str_starts(target, STR("http")) && scheme != SIZE_MAX) {
        str host = str_cut(target, scheme + 3, target.len);
        target = str_cut(host, MIN(str_find(host, STR("/")), host.len), host.len);
        if (!target.len) target = STR("/");
    }
    for (size_t i = 0; i < target.len; i++)
        if ((unsigned char)target.ptr[i] <= ' ' || target.ptr[i] == 127)
            return bad(400, "the target has a character that no target has", why);
    if (!target.len || (target.ptr[0] != '/' && !(target.len == 1 && target.ptr[0] == '*')))
        return bad(400, "the target does not begin with /", why);
    size_t mark = MIN(str_find(target, STR("?")), target.len);
    h->path = str_cut(target, 0, mark);
    h->query = str_cut(target, mark + 1, target.len);
    return 0;
}

static int read_length(str value, srv_head *h, const char **why) {
    uint64_t n = 0;
    if (!value.len || value.len > 18) return bad(400, "Content-Length is no number of at most 18 digits", why);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') return bad(400, "Content-Length is no number", why);
        n = n * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    if (h->has_length) return bad(400, "Content-Length is there twice", why);
    h->has_length = true;
    h->length = n;
    return 0;
}

static int read_header(str line, srv_head *h, const char **why) {
    size_t colon = str_find(line, STR(":"));
    if (colon == SIZE_MAX || !colon) return bad(400, "a header has no name", why);
    str name = str_cut(line, 0, colon), value = str_trim(str_cut(line, colon + 1, line.len));
    for (size_t i = 0; i < name.len; i++)
        if (!is_token(name.ptr[i])) return bad(400, "the name of a header is no token", why);
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] == 127)
            return bad(400, "a header has a control character", why);
    if (is_word(name, "content-length")) return read_length(value, h, why);
    if (is_word(name, "transfer-encoding")) {
        if (h->chunked || !is_word(value, "chunked")) return bad(501, "Transfer-Encoding is not chunked alone", why);
        h->chunked = true;
    } else if (is_word(name, "connection")) {
        if (has_word(value, "close")) h->keep = false;
        else if (has_word(value, "keep-alive")) h->keep = true;
    } else if (is_word(name, "expect")) {
        if (!is_word(value, "100-continue")) return bad(417, "Expect is not 100-continue", why);
        h->expects = true;
    } else if (is_word(name, "content-encoding")) {
        if (!is_word(value, "identity")) return bad(501, "the body is compressed", why);
    } else if (is_word(name, "authorization")) {
        h->authorization = value;
    } else if (is_word(name, "x-api-key")) {
        h->api_key = value;
    } else if (is_word(name, "origin")) {
        h->origin = value;
    } else if (is_word(name, "access-control-request-headers")) {
        h->asks_headers = value;
    }
    return 0;
}

int srv_http_head(str bytes, srv_head *h, const char **why) {
    *h = (srv_head){0};
    size_t skipped = 0;
    /* An empty line before a request is an old habit of clients. */
    while (skipped < 4 && str_starts(str_cut(bytes, skipped, bytes.len), STR("\r\n"))) skipped += 2;
    str all = str_cut(bytes, skipped, bytes.len);
    for (size_t at = 0, n = 0;; n++) {
        size_t len = 0;
        while (at + len < all.len && all.ptr[at + len] != '\n') len++;
        if (at + len == all.len)
            return bytes.len < SRV_HEAD_BYTES_MAX ? 0 : bad(431, "the head is longer than 8192 bytes", why);
        if (!len || all.ptr[at + len - 1] != '\r') return bad(400, "a line does not end with CR LF", why);
        str line = str_cut(all, at, len - 1);
        at += len + 1;
        if (n > SRV_HEADERS_MAX) return bad(431, "more than 100 headers", why);
        if (n && !line.len) {
            h->bytes = skipped + at;
            break;
        }
        int status = n ? read_header(line, h, why) : read_request_line(line, h, why);
        if (status) return status;
    }
    if (h->chunked && h->has_length) return bad(400, "Content-Length beside Transfer-Encoding", why);
    if (h->chunked && h->old) return bad(400, "HTTP/1.0 has no chunks", why);
    if (h->old) h->expects = false;
    return 1;
}

/* ---- chunks --------------------------------------------------------------------------------------- */

enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_SIZE_LF, CHUNK_BYTES, CHUNK_CR, CHUNK_LF, TRAILER_START, TRAILER, TRAILER_LF,
       LAST_LF };

/* One byte of what is not body; false: it must not be there. */
static bool chunk_byte(srv_chunks *c, char b) {
    if (c->state != CHUNK_CR && c->state != CHUNK_LF && ++c->line > (c->state >= TRAILER_START ? TRAILER_BYTES_MAX
                                                                                               : CHUNK_LINE_MAX))
        return false;
    switch (c->state) {
    case CHUNK_SIZE: {
        int d = hex_digit(b);
        if (d >= 0) {
            c->left = c->left << 4 | (uint64_t)d;
            return ++c->digits <= 15;
        }
        if (!c->digits || (b != '\r' && b != ';')) return false;
        c->state = b == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
        return true;
    }
    case CHUNK_EXTENSION:
        if (b == '\r') c->state = CHUNK_SIZE_LF;
        return b == '\r' || b == '\t' || (unsigned char)b >= ' ';
    case CHUNK_SIZE_LF:
        c->state = c->left ? CHUNK_BYTES : TRAILER_START;
        c->line = 0;
        return b == '\n';
    case CHUNK_CR: c->state = CHUNK_LF; return b == '\r';
    case CHUNK_LF:
        *c = (srv_chunks){0};
        return b == '\n';
    case TRAILER_START: c->state = b == '\r' ? LAST_LF : TRAILER; return b == '\r' || is_token(b);
    case TRAILER:
        if (b == '\r') c->state = TRAILER_LF;
        return b == '\r' || b == '\t' || (unsigned char)b >= ' ';
    case TRAILER_LF: c->state = TRAILER_START; return b == '\n';
    default: return b == '\n';
    }
}

srv_chunk srv_http_chunk(srv_chunks *c, str *in, str *data) {
    while (in->len) {
        if (c->state == CHUNK_BYTES) {
            *data = str_cut(*in, 0, (size_t)MIN(c->left, (uint64_t)in->len));
            *in = str_cut(*in, data->len, in->len);
            c->left -= data->len;
            if (!c->left) c->state = CHUNK_CR;
            return SRV_CHUNK_DATA;
        }
        bool last = c->state == LAST_LF;
        if (!chunk_byte(c, in->ptr[0])) return SRV_CHUNK_BAD;
        *in = str_cut(*in, 1, in->len);
        if (last) return SRV_CHUNK_END;
    }
    return SRV_CHUNK_MORE;
}
