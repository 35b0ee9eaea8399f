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
    "POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: 44\r\n\r\n"
    "{\"prompt\":\"a\",\"max_tokens\":4,\"temperature\":0}",
    "POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: 58\r\n\r\n"
    "{\"prompt\":\"a\",\"max_tokens\":4,\"temperature\":0,\"stream\":true}",
    "POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: 71\r\n\r\n"
    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":2,\"logprobs\":true}",
    "POST /tokenize HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    "F\r\n{\"content\":\"a\"}\r\n0\r\n\r\n",
    "POST /apply-template HTTP/1.1\r\nConnection: close\r\nContent-Length: 46\r\n\r\n"
    "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}",
};

TEST(server_on_a_failing_machine) {
    static char out[65536], sound[COUNT_OF(requests)];
    err e;
    leat_error le;
    leat_model *m;
    leat_session *session;
    srv *s;
    const char *path = test_path(0, "srv.gguf");
    tiny_spec spec = tiny_default("llama");
    spec.tok = TINY_TOK_SPM;
    spec.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    tiny_write(&spec, path);
    size_t held = mem_bytes_total();
    srv_opts o = {.host = "127.0.0.1", .path = path, .cors = "local", .queue_max = 4, .n_predict = -1};
    leat_sampler_defaults(&o.sampler);
    CHECK(srv_open(&s, &o, &e) == ERR_NONE);
    ask(s, requests[0], out, sizeof out);
    CHECK_MSG(strstr(out, " 503 ") && strstr(out, "is being loaded"), "%s", out);
    CHECK(leat_model_open(&m, path, NULL, &le) == LEAT_OK);
    leat_session_options so = {.n_ctx = 64, .n_threads = 1, .yield = srv_yield, .user = s};
    CHECK(leat_session_open(&session, m, &so, &le) == LEAT_OK);
    CHECK(srv_start(s, m, session, &e) == ERR_NONE);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        CHECK(ask(s, requests[i], out, sizeof out) > 20);
        sound[i] = out[9];
        CHECK_MSG(out[9] == '2' || out[9] == '4', "%s", out);
    }
    uint64_t hits = 0, whole = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        fault_arm(&(fault_plan){.seed = seed, .stream_error = 0.01, .stream_short = 0.4, .memory_error = 0.02,
                                .fail_at = -1});
        for (size_t i = 0; i < COUNT_OF(requests); i++) {
            size_t n = ask(s, requests[i], out, sizeof out);
            CHECK_MSG(n < 9 || !memcmp(out, "HTTP/1.1 ", 9), "%s", out);
            CHECK_MSG(n < 10 || out[9] == sound[i] || out[9] == '5', "seed %d: %s", (int)seed, out);
            whole += n > 20 && out[9] == sound[i];
        }
        hits += fault_hits();
        fault_arm(NULL);
    }
    CHECK_MSG(hits > 200 && whole > 60, "%d faults, %d answers", (int)hits, (int)whole);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        CHECK(ask(s, requests[i], out, sizeof out) > 20);
        CHECK_MSG(out[9] == sound[i], "afterwards: %s", out);
    }
    srv_close(s);
    leat_session_close(session);
    leat_model_close(m);
    CHECK_EQ(mem_bytes_total(), held);
}
