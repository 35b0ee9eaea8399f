/* test_fault_srv.c: the server on a machine that fails: connections break, move a few bytes or none, memory is refused.
 * Clients get a whole answer or none; afterwards the server answers as ever, and nothing is left behind.
 */
#include "check.h"
#include "gen/tiny.h"
#include "mem/mem.h"
#include "plat/fault/fault.h"
#include "srv/srv.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static int dial(const srv *s) {
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(srv_port(s)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

/* What the server answers until it closes the connection, which it is asked to. */
static size_t ask(srv *s, const char *text, char *out, size_t cap) {
    int fd = dial(s);
    size_t n = 0, sent = 0, bytes = strlen(text);
    for (int turn = 0; turn < 4000; turn++) {
        ssize_t w = send(fd, text + sent, bytes - sent, MSG_NOSIGNAL);
        if (w > 0) sent += (size_t)w;
        CHECK(srv_step(s, 1000000));
        ssize_t got = recv(fd, out + n, cap - 1 - n, 0);
        if (got > 0) n += (size_t)got;
        if (got == 0 || (got < 0 && errno != EAGAIN)) break;
    }
    close(fd);
    out[n] = 0;
    return n;
}

static const char *const requests[] = {
    "GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n",
    "POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: 45\r\n\r\n"
    "{\"prompt\":\"a\",\"max_tokens\":4,\"temperature\":0}",
    "POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: 59\r\n\r\n"
    "{\"prompt\":\"a\",\"max_tokens\":4,\"temperature\":0,\"stream\":true}",
    "POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: 75\r\n\r\n"
    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":2,\"logprobs\":true}",
    "POST /tokenize HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    "F\r\n{\"content\":\"a\"}\r\n0\r\n\r\n",
    "POST /apply-template HTTP/1.1\r\nConnection: close\r\nContent-Length: 48\r\n\r\n"
    "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}",
};

/* A server in this process, with a tiny model. */
typedef struct machine {
    leat_model *model;
    leat_session *session;
    leat_model_options how;
    srv *s;
    srv_opts o;
    size_t held; /* memory before it */
} machine;

static void machine_open(machine *m, const char *architecture) {
    err e;
    m->held = mem_bytes_total();
    m->how = (leat_model_options){0};
    const char *path = test_path(0, "srv.gguf");
    tiny_spec spec = tiny_default(architecture);
    spec.n_expert *= 4;
    spec.tok = TINY_TOK_SPM;
    spec.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    tiny_write(&spec, path);
    m->o = (srv_opts){.host = "127.0.0.1", .path = path, .cors = "local", .queue_max = 4, .n_predict = -1};
    leat_sampler_defaults(&m->o.sampler);
    CHECK(srv_open(&m->s, &m->o, &e) == ERR_NONE);
}

static void machine_start(machine *m, int32_t n_ctx, bool (*yield)(void *), void *user) {
    err e;
    leat_error le;
    CHECK(leat_model_open(&m->model, m->o.path, &m->how, &le) == LEAT_OK);
    leat_session_options so = {.n_ctx = n_ctx, .n_threads = 1, .n_chunk = 64, .yield = yield, .user = user};
    CHECK(leat_session_open(&m->session, m->model, &so, &le) == LEAT_OK);
    CHECK(srv_start(m->s, m->model, m->session, NULL, &e) == ERR_NONE);
}

static void machine_close(machine *m) {
    srv_close(m->s);
    leat_session_close(m->session);
    leat_model_close(m->model);
    CHECK_EQ(mem_bytes_total(), m->held);
}

static int dense_pinned(const leat_session *s) {
    char how[256];
    int n = -1;
    const char *before = "in memory, ", *at = strstr(leat_session_memory(s, how, sizeof how), before);
    return at && sscanf(at + strlen(before), "%d of", &n) == 1 ? n : -1;
}

/* A server of which nobody asks anything gives memory back all the same. */
TEST(server_gives_memory_back_while_idle) {
    machine m;
    machine_open(&m, "llama");
    m.how.ram_bytes = (uint64_t)7 << 20;
    leat_error e;
    leat_session_options options = {.n_ctx = 64, .n_threads = 1};
    for (int n = -1; n < 50; m.how.ram_bytes += (uint64_t)64 << 10) { /* until some dense parts stay */
        CHECK(leat_model_open(&m.model, m.o.path, &m.how, &e) == LEAT_OK);
        if (!leat_session_open(&m.session, m.model, &options, &e)) n = dense_pinned(m.session);
        leat_session_close(m.session);
        leat_model_close(m.model);
        m.session = NULL;
    }
    machine_start(&m, 64, srv_yield, m.s);
    int most = dense_pinned(m.session);
    fault_arm(&(fault_plan){.fail_at = -1, .memory_total = m.how.ram_bytes - ((uint64_t)256 << 10)});
    fault_clock(2000000000);
    CHECK(srv_step(m.s, 0));
    CHECK_MSG(dense_pinned(m.session) < most, "%d dense parts stay pinned", most);
    fault_arm(NULL);
    fault_clock(2000000000);
    CHECK(srv_step(m.s, 0));
    CHECK_EQ(dense_pinned(m.session), most);
    fault_clock(FAULT_CLOCK_RUNS);
    machine_close(&m);
}

TEST(server_on_a_failing_machine) {
    static char out[65536], sound[COUNT_OF(requests)];
    machine m;
    machine_open(&m, "llama");
    ask(m.s, requests[0], out, sizeof out);
    CHECK_MSG(strstr(out, " 503 ") && strstr(out, "is being loaded"), "%s", out);
    machine_start(&m, 64, srv_yield, m.s);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        CHECK(ask(m.s, requests[i], out, sizeof out) > 20);
        sound[i] = out[9];
        CHECK_MSG(out[9] == '2' || out[9] == '4', "%s", out);
    }
    uint64_t hits = 0, whole = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        fault_arm(&(fault_plan){.seed = seed, .stream_error = 0.01, .stream_short = 0.4, .memory_error = 0.02,
                                .fail_at = -1});
        for (size_t i = 0; i < COUNT_OF(requests); i++) {
            size_t n = ask(m.s, requests[i], out, sizeof out);
            CHECK_MSG(n < 9 || !memcmp(out, "HTTP/1.1 ", 9), "%s", out);
            CHECK_MSG(n < 10 || out[9] == sound[i] || out[9] == '5', "seed %d: %s", (int)seed, out);
            whole += n > 20 && out[9] == sound[i];
        }
        hits += fault_hits();
        fault_arm(NULL);
    }
    CHECK_MSG(hits > 200 && whole > 60, "%d faults, %d answers", (int)hits, (int)whole);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        CHECK(ask(m.s, requests[i], out, sizeof out) > 20);
        CHECK_MSG(out[9] == sound[i], "afterwards: %s", out);
    }
    machine_close(&m);
}

/* Experts that cannot be read are an answer of their own, as often as they are asked for, until the file is whole. */
TEST(server_lives_when_reads_fail) {
    static const char prompt[] = "POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: 63\r\n\r\n"
                                 "{\"prompt\":[9,70,33,51,20,64,81],\"max_tokens\":4,\"temperature\":0}";
    static char out[65536];
    machine m;
    machine_open(&m, "qwen3moe");
    m.how.no_map = true;
    machine_start(&m, 64, srv_yield, m.s);
    ask(m.s, requests[1], out, sizeof out); /* reads the dense weights */
    CHECK_MSG(strstr(out, " 200 "), "%s", out);
    for (int i = 0; i < 3; i++) {
        fault_arm(&(fault_plan){.fail_at = -1, .queued_only = true, .read_short = 1});
        ask(m.s, prompt, out, sizeof out);
        fault_arm(NULL);
        CHECK_MSG(strstr(out, " 500 ") && strstr(out, "_exps.weight") && strstr(out, "srv.gguf ends early"), "%s", out);
    }
    for (int i = 0; i < 2; i++) {
        ask(m.s, i ? requests[1] : prompt, out, sizeof out);
        CHECK_MSG(strstr(out, " 200 "), "%s", out);
    }
    machine_close(&m);
}

/* ---- time --------------------------------------------------------------------------------------------- */

#define S ((uint64_t)1000000000)

/* Whether the server has closed the connection; the bytes it sent before are in out. What is to come takes a while also
 * on one machine: waits for the end, or for a text; NULL: for nothing. */
static bool closed(srv *s, int fd, char *out, size_t cap, const char *until) {
    size_t n = 0;
    for (int turn = 0; turn < 8; turn++) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        srv_poll(s, 0);
        poll(&readable, 1, until ? 2000 : 0);
        ssize_t got = recv(fd, out + n, cap - 1 - n, 0);
        if (got > 0) n += (size_t)got;
        out[n] = 0;
        if (got == 0 || (got < 0 && errno != EAGAIN)) return true;
        if (until && until[0] && strstr(out, until)) return false;
    }
    return false;
}

static int dial_and_send(srv *s, const char *text) {
    int fd = dial(s);
    CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
    for (int turn = 0; turn < 4; turn++) srv_poll(s, 50000000); /* accepted, and read */
    return fd;
}

TEST(server_waits_so_long_and_no_longer) {
    static const struct {
        const char *sent;
        uint64_t limit_s;
        const char *answer; /* before it closes */
    } rows[] = {{"", SRV_IDLE_S, ""},
                {"GET /health HT", SRV_HEAD_S, "HTTP/1.1 408 "},
                {"POST /tokenize HTTP/1.1\r\nContent-Length: 20\r\n\r\n{", SRV_BODY_S, "HTTP/1.1 408 "},
                {"GET /health HTTP/1.1\r\n\r\n", SRV_IDLE_S, "HTTP/1.1 200 "}};
    static char out[65536];
    machine m;
    machine_open(&m, "llama");
    machine_start(&m, 64, srv_yield, m.s);
    fault_clock(0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int fd = dial_and_send(m.s, rows[i].sent);
        if (i == 3) CHECK(!closed(m.s, fd, out, sizeof out, "ok") && !strncmp(out, rows[i].answer, 13));
        fault_clock(rows[i].limit_s * S);
        CHECK_MSG(!closed(m.s, fd, out, sizeof out, NULL) && !out[0], "row %zu: too early: %s", i, out);
        if (i == 1) CHECK(send(fd, "T", 1, MSG_NOSIGNAL) == 1); /* a byte now and then is no request */
        fault_clock(1);
        bool ended = closed(m.s, fd, out, sizeof out, "");
        CHECK_MSG(ended || i == 1 || i == 2, "row %zu is kept", i);
        if (i < 3) CHECK_MSG(!strncmp(out, rows[i].answer, strlen(rows[i].answer)), "row %zu: %s", i, out);
        if (!ended) fault_clock(SRV_LINGER_S * S + 1); /* it sent an error, and lets the client read it */
        CHECK_MSG(ended || closed(m.s, fd, out, sizeof out, ""), "row %zu lingers", i);
        close(fd);
    }
    fault_clock(FAULT_CLOCK_RUNS);
    machine_close(&m);
}

/* ---- clients that wait, or do not ----------------------------------------------------------------------- */

/* What happens at a certain call of the yield hook, which the engine makes once a layer. */
typedef struct script {
    machine m;
    int fd;
    uint64_t calls, at, each_ns; /* each_ns: passes before every call */
    enum { CLOSES, ENDS, ENDS_AND_CLOSES, NOTHING } does;
    uint64_t cancelled_at; /* the call that said stop; 0: none did */
} script;

static bool act(void *user) {
    script *c = user;
    c->calls++;
    fault_clock(c->each_ns);
    if (c->calls == c->at && (c->does == ENDS || c->does == ENDS_AND_CLOSES)) CHECK(shutdown(c->fd, SHUT_WR) == 0);
    bool closes = c->calls == c->at && c->does == CLOSES, late = c->calls == c->at + 4 && c->does == ENDS_AND_CLOSES;
    if (late) { /* closed with bytes unread the machine says so at once */
        struct pollfd readable = {.fd = c->fd, .events = POLLIN};
        char text[16];
        CHECK(poll(&readable, 1, 10000) == 1 && recv(c->fd, text, sizeof text, 0) > 0 && text[0] == 'H');
    }
    if (closes || late) close(c->fd);
    bool stop = srv_yield(c->m.s);
    /* What one end sends may take a while to the other, also on one machine. */
    for (int i = 0; i < 5000 && !stop && (closes || (late && c->each_ns >= S)); i++) {
        usleep(1000);
        fault_clock(c->each_ns);
        stop = srv_yield(c->m.s);
    }
    if (stop && !c->cancelled_at) c->cancelled_at = c->calls;
    return stop;
}

static void script_open(script *c, int32_t n_ctx) {
    machine_open(&c->m, "llama");
    machine_start(&c->m, n_ctx, act, c);
    fault_clock(0);
}

/* Asks, with a small window so that little fits between the two, and lets the server work it off. */
static void play(script *c, const char *body, uint64_t at, uint64_t each_ns, int does) {
    char text[8192];
    int small = 4096, n_polls = 0;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(srv_port(c->m.s)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    CHECK(connect(c->fd, (struct sockaddr *)&to, sizeof to) == 0 && fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0);
    size_t n = (size_t)snprintf(text, sizeof text, "POST /v1/completions HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
                                strlen(body), body);
    CHECK(send(c->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n);
    c->calls = c->cancelled_at = 0;
    c->at = at, c->each_ns = each_ns, c->does = does;
    while (!c->calls && ++n_polls < 1000) CHECK(srv_step(c->m.s, 10000000)); /* the step that computes does it all */
    CHECK(c->calls > 0);
}

/* The answer of a request that was worked off. */
static void whole(const script *c, const char *has) {
    static char out[65536];
    closed(c->m.s, c->fd, out, sizeof out, has);
    CHECK_MSG(!strncmp(out, "HTTP/1.1 200 OK\r\n", 17) && strstr(out, has), "%s", out);
}

TEST(server_hears_a_client_hang_up) {
    char prompt[4096] = "{\"max_tokens\":20,\"temperature\":0,\"ignore_eos\":true,\"prompt\":[5";
    char *end = prompt + strlen(prompt);
    script c = {0};
    script_open(&c, 512);
    for (int i = 1; i < 400; i++) end += sprintf(end, ",%d", i % 200 + 5);
    strcpy(end, "]}");
    for (uint64_t at = 1; at < 30; at += 4) { /* 14 layers of the prompt, then 26 calls of the answer */
        play(&c, prompt, at, 2000000, CLOSES);
        CHECK_EQ(c.cancelled_at, at); /* at once */
        play(&c, prompt, at, 2000000, ENDS_AND_CLOSES);
        CHECK_EQ(c.cancelled_at, 0); /* so soon it was not asked again */
        play(&c, prompt, at, 2 * S, ENDS_AND_CLOSES);
        CHECK_EQ(c.cancelled_at, at + 4); /* asked again, before the next layer */
        play(&c, prompt, at, 2 * S, ENDS);
        CHECK_EQ(c.cancelled_at, 0);
        whole(&c, "\"completion_tokens\":20");
        close(c.fd);
    }
    fault_clock(FAULT_CLOCK_RUNS);
    machine_close(&c.m);
}

/* Its answer comes as if it had not closed its side: as a stream too. */
TEST(server_answers_who_only_ends) {
    static const char *const bodies[] = {
        "{\"prompt\":\"abc\",\"max_tokens\":30,\"temperature\":0,\"ignore_eos\":true}",
        "{\"prompt\":\"abc\",\"max_tokens\":30,\"temperature\":0,\"ignore_eos\":true,\"stream\":true}"};
    static const char *const ends[] = {"\"completion_tokens\":30", "data: [DONE]\n\n\r\n0\r\n\r\n"};
    script c = {0};
    script_open(&c, 64);
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        for (uint64_t at = 1; at < 20; at += 9) {
            play(&c, bodies[i], at, S / 2, ENDS);
            CHECK_EQ(c.cancelled_at, 0);
            whole(&c, ends[i]);
            close(c.fd);
        }
    }
    fault_clock(FAULT_CLOCK_RUNS);
    machine_close(&c.m);
}

/* Who reads nothing loses the place when nothing could be sent for SRV_SEND_S: while the answer is made, and after. */
TEST(server_gives_up_on_who_does_not_read) {
    static const char body[] =
        "{\"prompt\":\"a\",\"max_tokens\":1500,\"ignore_eos\":true,\"logprobs\":100,\"stream\":%s}";
    static char out[1 << 16];
    char text[256];
    script c = {0};
    script_open(&c, 2048);
    snprintf(text, sizeof text, body, "true");
    play(&c, text, 1, S / 10, NOTHING);
    CHECK_MSG(c.cancelled_at > 300, "%d", (int)c.cancelled_at);
    close(c.fd);
    snprintf(text, sizeof text, body, "false");
    play(&c, text, 1, 1000, NOTHING);
    CHECK_EQ(c.cancelled_at, 0);
    fault_clock(SRV_SEND_S * S - S);
    CHECK(!closed(c.m.s, c.fd, out, sizeof out, NULL)); /* which read something */
    fault_clock(SRV_SEND_S * S - S);
    srv_poll(c.m.s, 0);
    fault_clock(SRV_SEND_S * S + 1);
    srv_poll(c.m.s, 0);
    struct timeval patience = {20, 0};
    ssize_t got;
    fcntl(c.fd, F_SETFL, 0);
    setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while ((got = recv(c.fd, out, sizeof out, 0)) > 0) {} /* what lies between the two */
    CHECK(got == 0 || errno == ECONNRESET);
    close(c.fd);
    fault_clock(FAULT_CLOCK_RUNS);
    machine_close(&c.m);
}

/* ---- large requests -------------------------------------------------------------------------------------- */

/* While the text of a large request is made tokens: another client, who asks at the first call of the hook. */
typedef struct meanwhile {
    machine m;
    const char *asks, *wants; /* NULL: the client of the large one hangs up instead */
    int fd, other;
    size_t calls;
    bool answered, cancelled, inside; /* inside: what is answered at once has the same hook */
} meanwhile;

static bool look(void *user) {
    meanwhile *w = user;
    char out[4096] = "";
    if (w->inside) return srv_yield(w->m.s);
    w->inside = true;
    w->calls++;
    fault_clock(2000000); /* time to look at the network again */
    if (w->calls == 1 && !w->asks) close(w->fd);
    if (w->calls == 1 && w->asks) {
        w->other = dial(w->m.s);
        CHECK(send(w->other, w->asks, strlen(w->asks), MSG_NOSIGNAL) == (ssize_t)strlen(w->asks));
    }
    /* What one end sends may take a while to the other, also on one machine. */
    for (int i = 0; i < 5000 && !w->answered && !w->cancelled; i++) {
        w->cancelled = srv_yield(w->m.s);
        ssize_t got = w->asks ? recv(w->other, out, sizeof out - 1, 0) : 0;
        w->answered = got > 0;
        if (w->answered) CHECK_MSG(strstr(out, w->wants), "%s", out);
        if (!w->answered) usleep(1000), fault_clock(w->asks ? 2000000 : S);
    }
    w->inside = false;
    return w->cancelled;
}

/* The server's work on a large request, until it is answered or given up. */
static void send_large(meanwhile *w, const char *path, const char *body, char *out, size_t cap) {
    char head[256];
    size_t bytes = strlen(body), n = 0, sent = 0;
    w->calls = 0;
    w->answered = w->cancelled = false;
    w->fd = dial(w->m.s);
    int length = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", path, bytes);
    CHECK(send(w->fd, head, (size_t)length, MSG_NOSIGNAL) == length);
    for (int turn = 0; turn < 20000 && !w->cancelled; turn++) {
        ssize_t more = send(w->fd, body + sent, bytes - sent, MSG_NOSIGNAL);
        if (more > 0) sent += (size_t)more;
        CHECK(srv_step(w->m.s, 1000000));
        ssize_t got = w->cancelled ? 0 : recv(w->fd, out + n, cap - 1 - n, 0);
        if (got > 0) n += (size_t)got;
        out[n] = 0;
        if (got > 0 && out[n - 1] == '}') break;
    }
    if (w->asks) close(w->fd);
    if (w->calls && w->asks) close(w->other);
}

TEST(server_serves_others_beside_a_large_request) {
    static const struct {
        const char *path, *before, *after, *has, *asks, *wants;
    } rows[] = {
        {"/tokenize", "{\"content\":\"", "\"}", "{\"tokens\":[", "GET /health HTTP/1.1\r\n\r\n", "ok"},
        {"/tokenize", "{\"content\":\"", "\"}", "{\"tokens\":[",
         "POST /tokenize HTTP/1.1\r\nContent-Length: 15\r\n\r\n{\"content\":\"a\"}", "{\"tokens\":["},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}]}",
         "exceed_context_size_error",
         "POST /apply-template HTTP/1.1\r\nContent-Length: 48\r\n\r\n"
         "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}", "{\"prompt\":\"user: hello"},
        /* Wrong, which is told in its turn, too. */
        {"/v1/chat/completions/input_tokens", "{\"messages\":[{\"role\":\"user\",\"content\":\"",
         "\"}],\"tools\":{}}", "tools is an object",
         "GET /metrics HTTP/1.1\r\n\r\n", "leat_requests_processing 1"},
        {"/tokenize", "{\"content\":\"", "\"}", NULL, NULL, NULL},
    };
    enum { TEXT = 270000, ROOM = 1 << 22 };
    char *body = malloc(TEXT + 256), *out = malloc(ROOM);
    meanwhile w = {0};
    machine_open(&w.m, "llama");
    machine_start(&w.m, 64, srv_yield, w.m.s);
    leat_model_yield(w.m.model, look, &w);
    fault_clock(0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *at = body + sprintf(body, "%s", rows[i].before);
        for (size_t k = 0; k < TEXT; k++) *at++ = (char)('a' + k % 3);
        strcpy(at, rows[i].after);
        w.asks = rows[i].asks, w.wants = rows[i].wants;
        send_large(&w, rows[i].path, body, out, ROOM);
        if (i == 3) CHECK_MSG(!w.calls, "%zu calls", w.calls);
        else if (w.asks) CHECK_MSG(w.calls > 5 && w.answered && !w.cancelled, "row %zu: %zu calls", i, w.calls);
        else CHECK_MSG(w.calls == 1 && w.cancelled, "%zu calls after hanging up", w.calls);
        CHECK_MSG(!rows[i].has || strstr(out, rows[i].has), "row %zu: %.300s", i, out);
    }
    fault_clock(FAULT_CLOCK_RUNS);
    free(body), free(out);
    machine_close(&w.m);
}
