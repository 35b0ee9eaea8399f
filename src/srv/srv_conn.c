/* srv_conn.c: connections as state machines over plat.h's streams, and the loop that serves them.
 *
 *     head -> body -> queued -> running -> send -> head (kept open) or linger -> closed
 *
 * While a request is answered nothing more is read from its connection: what a client sends ahead waits with the
 * machine. Next: srv_route.c.
 */
#include "srv/srv_int.h"

#define SECOND_NS ((uint64_t)1000000000)
#define YIELD_NS 1000000                  /* the network is served so often while computing, at most */
#define LAST_POLLS 4                      /* one accepts, the next ones read */
#define ACCEPT_PAUSE_NS (SECOND_NS / 10)  /* when the machine has no room for a connection            */

/* ---- bytes that grow ---------------------------------------------------------------------------------------- */

#define KEEP_BYTES ((size_t)256 << 10)

void srv_buf_put(void *buf, const char *bytes, size_t n) {
    srv_buf *b = buf;
    if (!n || b->failed) return;
    if (!b->memory.base) b->failed = arena_open(&b->memory, MEM_TOOLS, SRV_REPLY_BYTES_MAX, NULL) != ERR_NONE;
    if (!b->failed && !b->at) b->failed = !(b->at = arena_alloc(&b->memory, 0, 1));
    if (!b->failed) b->failed = !arena_extend(&b->memory, b->at, b->n, b->n + n);
    if (b->failed) return;
    memcpy(b->at + b->n, bytes, n);
    b->n += n;
}

void srv_buf_text(srv_buf *b, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    size_t n = fmt_v(text, sizeof text, format, args);
    va_end(args);
    srv_buf_put(b, text, n);
}

void srv_buf_empty(srv_buf *b) {
    if (b->memory.committed_bytes > KEEP_BYTES) arena_close(&b->memory);
    else if (b->memory.base) arena_reset(&b->memory, 0);
    b->at = NULL;
    b->n = 0;
    b->failed = false;
}

void srv_buf_close(srv_buf *b) {
    arena_close(&b->memory);
    *b = (srv_buf){0};
}

/* ---- a connection's life ------------------------------------------------------------------------------------ */

static void enter(srv_conn *c, srv_state state) {
    c->state = state;
    c->since_ns = plat_time_ns();
}

/* How long the connection may stay as it is. */
static uint64_t limit_ns(const srv_conn *c) {
    switch (c->state) {
    case SRV_READ_HEAD: return (c->n_in ? SRV_HEAD_S : SRV_IDLE_S) * SECOND_NS;
    case SRV_READ_BODY: return SRV_BODY_S * SECOND_NS;
    case SRV_SEND: return SRV_SEND_S * SECOND_NS;
    case SRV_LINGER: return SRV_LINGER_S * SECOND_NS;
    case SRV_RUNNING: return c->blocked ? SRV_SEND_S * SECOND_NS : UINT64_MAX;
    default: return UINT64_MAX;
    }
}

static void drop_body(srv *s, srv_conn *c) {
    s->bodies_bytes -= c->body.n;
    srv_buf_empty(&c->body);
}

static void hang_up(srv *s, srv_conn *c) {
    if (c->state == SRV_QUEUED) srv_job_forget(s, c);
    if (c->state == SRV_RUNNING) { /* the job ends first: srv_conn_answered comes back here */
        c->gone = true;
        return;
    }
    drop_body(s, c);
    srv_buf_empty(&c->out);
    plat_stream_close(c->stream);
    c->stream = NULL;
    c->state = SRV_FREE;
}

/* A free place; when there is none, that of the connection that has asked for nothing, or read nothing, for longest. */
static srv_conn *free_place(srv *s) {
    srv_conn *oldest = NULL;
    for (size_t i = 0; i < SRV_CONNS_MAX; i++) {
        srv_conn *c = &s->conns[i];
        if (c->state == SRV_FREE) return c;
        if (c->state != SRV_QUEUED && c->state != SRV_RUNNING && (!oldest || c->since_ns < oldest->since_ns))
            oldest = c;
    }
    if (oldest) hang_up(s, oldest);
    return oldest;
}

static void accept_one(srv *s, plat_stream *stream) {
    srv_conn *c = free_place(s);
    if (!c) {
        plat_stream_close(stream);
        return;
    }
    srv_buf body = c->body, out = c->out;
    memset(c, 0, sizeof *c);
    c->stream = stream;
    c->body = body;
    c->out = out;
    enter(c, SRV_READ_HEAD);
}

static void accept_all(srv *s, uint64_t now) {
    for (int i = 0; i < 64; i++) { /* others want to be served, too */
        plat_stream *stream;
        int error = plat_accept(s->listener, &stream);
        if (error == PLAT_AGAIN) return;
        if (error) {
            s->accept_ns = now + ACCEPT_PAUSE_NS;
            return;
        }
        accept_one(s, stream);
    }
}

/* ---- sending ------------------------------------------------------------------------------------------------ */

static void after_answer(srv *s, srv_conn *c) {
    srv_buf_empty(&c->out);
    c->n_sent = 0;
    if (c->keep && (!s->draining || c->n_in)) {
        enter(c, SRV_READ_HEAD);
        s->again |= c->again = c->n_in > 0;
    } else {
        plat_stream_end(c->stream);
        enter(c, SRV_LINGER);
    }
}

void srv_conn_flush(srv *s, srv_conn *c) {
    if (c->out.failed) c->gone = true; /* more than it may hold, or no memory for it: what came is not whole */
    while (c->n_sent < c->out.n && !c->gone) {
        int64_t n = plat_send(c->stream, c->out.at + c->n_sent, c->out.n - c->n_sent);
        if (n == PLAT_AGAIN) {
            if (!c->blocked) c->since_ns = plat_time_ns();
            c->blocked = true;
            return;
        }
        if (n < 0) c->gone = true;
        else c->n_sent += (size_t)n;
        c->blocked = false;
    }
    if (c->gone) hang_up(s, c);
    else if (c->state == SRV_SEND) after_answer(s, c);
    else if (c->n_sent == c->out.n) srv_buf_empty(&c->out), c->n_sent = 0; /* a stream may be long */
}

void srv_conn_answered(srv *s, srv_conn *c) {
    drop_body(s, c);
    if (!c->gone) *(c->status < 400 ? &s->count.answers_2xx : c->status < 500 ? &s->count.answers_4xx
                                                                             : &s->count.answers_5xx) += 1;
    enter(c, SRV_SEND);
    if (s->o->log) {
        char line[512];
        fmt(line, sizeof line, "%s%s %d %.1f ms%s", c->route ? c->route->path : "-", c->name, c->status,
            (double)(plat_time_ns() - c->asked_ns) / 1e6, c->gone ? " (the client hung up)" : "");
        s->o->log(s->o->user, line);
    }
    srv_conn_flush(s, c);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static void refuse(srv *s, srv_conn *c, const srv_error *e) {
    c->keep = false; /* what follows is a body that nobody reads, or cannot be understood */
    srv_reply_error(s, c, e);
}

static void take_head(srv *s, srv_conn *c) {
    srv_head h;
    srv_error e;
    const char *why;
    int status = srv_http_head((str){c->in, c->n_in}, &h, &why);
    if (!status) return;
    s->count.requests++;
    c->asked_ns = plat_time_ns();
    c->route = NULL;
    c->origin[0] = c->name[0] = 0;
    c->bare = c->streaming = c->ended = false;
    c->n_asked = c->n_early = 0;
    c->old = h.old;
    c->keep = h.keep;
    c->chunked = h.chunked;
    if (status > 1) {
        srv_fail(&e, status, "invalid_request_error", NULL, "%s", why);
        refuse(s, c, &e);
        return;
    }
    c->bare = h.method == SRV_HEAD;
    status = srv_route_find(s, c, &h, &e); /* keeps what it needs of the head */
    c->n_in -= h.bytes;
    memmove(c->in, c->in + h.bytes, c->n_in);
    if (!status && h.length > SRV_BODY_BYTES_MAX)
        status = srv_fail(&e, 413, "invalid_request_error", NULL, "the body has %llu bytes, at most %d are taken",
                          (unsigned long long)h.length, SRV_BODY_BYTES_MAX);
    if (!status && s->bodies_bytes + h.length > SRV_BODIES_BYTES_MAX)
        status = srv_fail(&e, 503, "server_error", NULL, "too many requests are held; try again later");
    if (status) {
        if (h.length || h.chunked) c->keep = false;
        srv_reply_error(s, c, &e);
        return;
    }
    enter(c, SRV_READ_BODY);
    c->body_left = h.length;
    c->chunks = (srv_chunks){0};
    if (h.expects && (h.length || h.chunked) && !c->n_in) {
        srv_buf_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        srv_conn_flush(s, c);
    }
}

static void put_body(srv *s, srv_conn *c, str part) {
    size_t before = c->body.n;
    srv_buf_put(&c->body, part.ptr, part.len);
    s->bodies_bytes += c->body.n - before;
}

/* Takes the body's bytes off *in. */
static void take_body(srv *s, srv_conn *c, str *in) {
    srv_error e;
    bool whole = false;
    int status = 0;
    if (c->chunked) {
        str data = {0};
        srv_chunk kind;
        while ((kind = srv_http_chunk(&c->chunks, in, &data)) == SRV_CHUNK_DATA && c->body.n <= SRV_BODY_BYTES_MAX)
            put_body(s, c, data);
        whole = kind == SRV_CHUNK_END;
        if (kind == SRV_CHUNK_BAD)
            status = srv_fail(&e, 400, "invalid_request_error", NULL, "the body's chunks are malformed");
        else if (c->body.n > SRV_BODY_BYTES_MAX)
            status = srv_fail(&e, 413, "invalid_request_error", NULL, "the body has more than %d bytes",
                              SRV_BODY_BYTES_MAX);
    } else {
        str part = str_cut(*in, 0, (size_t)MIN(c->body_left, (uint64_t)in->len));
        put_body(s, c, part);
        *in = str_cut(*in, part.len, in->len);
        c->body_left -= part.len;
        whole = !c->body_left;
    }
    if (!status && s->bodies_bytes > SRV_BODIES_BYTES_MAX) /* a head announces only what is to come */
        status = srv_fail(&e, 503, "server_error", NULL, "too many requests are held; try again later");
    if (!status && c->body.failed)
        status = srv_fail(&e, 503, "server_error", NULL, "no memory for this request; try again later");
    if (status) refuse(s, c, &e);
    else if (whole) srv_route_answer(s, c);
}

/* Does what can be done with the bytes that are there; requests that came ahead are taken one after the other. */
static void advance(srv *s, srv_conn *c) {
    for (size_t before = SIZE_MAX; c->stream && c->n_in != before;) {
        before = c->n_in;
        c->again = false;
        if (c->state == SRV_READ_HEAD && c->n_in) take_head(s, c);
        if (c->state == SRV_READ_BODY) {
            str rest = {c->in, c->n_in};
            take_body(s, c, &rest);
            if (!c->stream) return;
            memmove(c->in, rest.ptr, rest.len);
            c->n_in = rest.len;
        }
        if (c->state != SRV_READ_HEAD && c->state != SRV_READ_BODY) return;
    }
}

static void receive(srv *s, srv_conn *c) {
    char bytes[sizeof c->in];
    for (int i = 0; i < 16 && c->stream; i++) { /* then others are served, too */
        bool head = c->state == SRV_READ_HEAD;
        if (!head && c->state != SRV_READ_BODY && c->state != SRV_LINGER) return;
        size_t room = head ? sizeof c->in - c->n_in : sizeof c->in; /* what follows a body fits in c->in */
        int64_t n = plat_recv(c->stream, bytes, room);
        if (n == PLAT_AGAIN) return;
        if (n <= 0) {
            hang_up(s, c);
            return;
        }
        if (c->state == SRV_LINGER) continue; /* what comes now is not read */
        str in = {bytes, (size_t)n};
        if (!head) { /* the body is not copied twice, what follows it is kept */
            take_body(s, c, &in);
            if (!c->stream) return;
        } else if (!c->n_in) {
            c->since_ns = plat_time_ns();
        }
        memcpy(c->in + c->n_in, in.ptr, in.len);
        c->n_in += in.len;
        advance(s, c);
    }
}

/* ---- the loop ----------------------------------------------------------------------------------------------- */

/* The time of its state is over. */
static void expire(srv *s, srv_conn *c) {
    srv_error e;
    if ((c->state == SRV_READ_HEAD && c->n_in) || c->state == SRV_READ_BODY) {
        srv_fail(&e, 408, "invalid_request_error", NULL, "the request did not come in time");
        c->route = NULL;
        refuse(s, c, &e);
    } else {
        hang_up(s, c);
    }
}

static bool reads(const srv_conn *c) {
    return c->state == SRV_READ_HEAD || c->state == SRV_READ_BODY || c->state == SRV_LINGER;
}
static bool waits(const srv_conn *c) { return c->state == SRV_QUEUED || c->state == SRV_RUNNING; }

/* A client that waits for its answer sends nothing more: it has closed its side, or all of the connection. The two look
 * alike until something is sent, which a machine that has closed refuses. So it gets the first byte of its answer, a
 * second later the next, then after two, four and so on; in a stream a comment. */
static void ask_if_there(srv *s, srv_conn *c, uint64_t now) {
    plat_ready ready = {.stream = c->stream};
    c->ended = true;
    c->ask_ns = now + (SECOND_NS << MIN(c->n_asked, 6));
    c->n_asked++;
    if (c->streaming) srv_buf_text(&c->out, c->old ? ":\n\n" : "3\r\n:\n\n\r\n");
    else if (c->n_early < sizeof SRV_START - 1) srv_buf_put(&c->out, &SRV_START[c->n_early++], 1);
    srv_conn_flush(s, c);
    if (c->stream && plat_poll(&ready, 1, 0) && ready.got & PLAT_READY_GONE) hang_up(s, c);
}

static void serve_one(srv *s, srv_conn *c, uint32_t got) {
    if (got & PLAT_READY_RECV && reads(c)) receive(s, c);
    else if (got & PLAT_READY_GONE) hang_up(s, c);
    else if (got & PLAT_READY_END && waits(c)) ask_if_there(s, c, s->polled_ns);
    if (got & PLAT_READY_SEND && c->stream) srv_conn_flush(s, c);
}

/* The end was asked for: what has come by now is answered, nothing more is accepted. */
static void stop_listening(srv *s) {
    plat_stream_close(s->listener);
    s->listener = NULL;
    for (size_t i = 0; i < SRV_CONNS_MAX; i++)
        if (s->conns[i].state == SRV_READ_HEAD && !s->conns[i].n_in) hang_up(s, &s->conns[i]);
}

static void poll_once(srv *s, uint64_t timeout_ns) {
    plat_ready ready[SRV_CONNS_MAX + 1];
    srv_conn *whose[SRV_CONNS_MAX + 1];
    uint64_t now = plat_time_ns();
    size_t n = 0;
    if (!s->draining && plat_interrupted()) {
        s->draining = true;
        s->last_polls = LAST_POLLS;
    }
    for (size_t i = 0; i < SRV_CONNS_MAX; i++) {
        srv_conn *c = &s->conns[i];
        if (c->state == SRV_FREE || c->gone) continue;
        uint32_t want = (reads(c) ? PLAT_READY_RECV : 0u) | (c->n_sent < c->out.n ? PLAT_READY_SEND : 0u) |
                        (waits(c) && !c->ended ? PLAT_READY_END : 0u);
        whose[n] = c;
        ready[n++] = (plat_ready){.stream = c->stream, .want = want};
    }
    bool accepts = s->listener && now >= s->accept_ns;
    if (accepts) ready[n++] = (plat_ready){.stream = s->listener, .want = PLAT_READY_RECV};
    plat_poll(ready, n, s->again || s->last_polls ? 0 : timeout_ns);
    s->polled_ns = now = plat_time_ns();
    s->again = false;
    if (accepts) n--;
    for (size_t i = 0; i < n; i++) {
        srv_conn *c = whose[i];
        if (c->again) advance(s, c); /* before more is read, or the end */
        if (c->stream && ready[i].got) serve_one(s, c, ready[i].got);
        if (c->stream && waits(c) && c->ended && now > c->ask_ns && c->n_sent == c->out.n) ask_if_there(s, c, now);
        uint64_t limit = c->stream && !c->gone ? limit_ns(c) : UINT64_MAX;
        if (limit != UINT64_MAX && now > c->since_ns && now - c->since_ns > limit) expire(s, c);
    }
    if (accepts && ready[n].got) accept_all(s, now);
    if (s->last_polls && !--s->last_polls) stop_listening(s);
}

void srv_poll(srv *s, uint64_t timeout_ns) {
    s->polling = true;
    poll_once(s, timeout_ns);
    s->polling = false;
}

/* Also called by what is answered at once, within srv_poll: that is short. */
bool srv_yield(void *handle) {
    srv *s = handle;
    if (s->polling) return false;
    if (plat_time_ns() - s->polled_ns > YIELD_NS) srv_poll(s, 0);
    return s->running && s->running->gone;
}

static bool busy(const srv *s) {
    for (size_t i = 0; i < SRV_CONNS_MAX; i++)
        if (s->conns[i].state != SRV_FREE) return true;
    return false;
}

bool srv_step(srv *s, uint64_t timeout_ns) {
    if (s->draining && !s->last_polls && !busy(s)) return false;
    bool queued = s->n_queue > 0;
    if (queued) srv_job_next(s);
    leat_model_watch(s->model); /* also while nobody asks for anything */
    srv_poll(s, queued ? 0 : timeout_ns);
    return true;
}

err_code srv_open(srv **out, const srv_opts *o, err *e) {
    *out = NULL;
    srv *s = mem_block(MEM_TOOLS, sizeof *s);
    if (!s) return ERR(e, ERR_MEMORY, "no memory for a server");
    s->o = o;
    err_code code = arena_open(&s->scratch, MEM_TOOLS, SRV_SCRATCH_BYTES_MAX, e);
    int error = code ? PLAT_OK : plat_listen(&s->listener, o->host, o->port);
    if (error)
        code = ERR(e, ERR_IO, "cannot listen at %.100s, port %u: %s", o->host, o->port,
                   error == PLAT_EXISTS ? "another program does" : error == PLAT_NOT_FOUND
                       ? "no such address on this machine" : plat_error_name(error));
    if (code) {
        srv_close(s);
        return code;
    }
    uint64_t seed;
    plat_entropy(&seed, sizeof seed);
    rng_seed(&s->ids, seed);
    s->started_s = plat_wall_ns() / SECOND_NS;
    *out = s;
    return ERR_NONE;
}

uint16_t srv_port(const srv *s) { return plat_stream_port(s->listener); }

void srv_close(srv *s) {
    if (!s) return;
    srv_job_close(s);
    for (size_t i = 0; i < SRV_CONNS_MAX; i++) {
        plat_stream_close(s->conns[i].stream);
        srv_buf_close(&s->conns[i].body);
        srv_buf_close(&s->conns[i].out);
    }
    plat_stream_close(s->listener);
    srv_buf_close(&s->json);
    arena_close(&s->scratch);
    arena_close(&s->settings);
    mem_block_free(s);
}
