/* srv_client.c: see srv_client.h. It takes answers apart with as little code as possible: the answers are ours. */
#include "srv/srv_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

void server_start(server *s, const char *leat, const char *const *words, bool ready) {
    const char *argv[32] = {leat, "serve", "--port", "0"};
    size_t n = 4;
    while (*words && n < 31) argv[n++] = *words++;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) die("pipe");
    s->pid = fork();
    if (s->pid == 0) {
        dup2(ends[1], 2);
        execv(leat, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(ends[1]);
    s->err = ends[0];
    char text[4096];
    size_t bytes = 0;
    s->port = 0;
    while (bytes < sizeof text - 1 && (!s->port || (ready && !strstr(text, "context ")))) {
        ssize_t got = read(s->err, text + bytes, sizeof text - 1 - bytes);
        if (got <= 0) break;
        text[bytes += (size_t)got] = 0;
        char *at = strstr(text, "http://"), *line = at ? strchr(at, '\n') : NULL;
        if (line && (at = strrchr(at, ':'))) {
            while (line > text && line[-1] != ':') line--;
            s->port = (uint16_t)atoi(line);
        }
    }
    if (!s->port) {
        text[bytes] = 0;
        fprintf(stderr, "the server did not start: %s\n", text);
        exit(1);
    }
    fcntl(s->err, F_SETFL, O_NONBLOCK);
}

int server_end(server *s) {
    kill(s->pid, SIGTERM);
    return server_wait(s);
}

int server_wait(server *s) {
    int status = 0;
    char text[4096];
    if (waitpid(s->pid, &status, 0) != s->pid) die("waitpid");
    ssize_t n = read(s->err, text, sizeof text - 1);
    close(s->err);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (code && n > 0) fprintf(stderr, "%.*s", (int)n, text);
    return code;
}

size_t server_rss_kib(const server *s) {
    char path[64], line[256];
    size_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)s->pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "RssAnon:", 8)) kib = strtoul(line + 8, NULL, 10);
    if (f) fclose(f);
    return kib;
}

int try_dial(const server *s) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval limit = {300, 0};
    for (int tries = 0; tries < 5; tries++) { /* a server's machine that stands still for a minute, accepts later */
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) die("socket");
        if (!connect(fd, (struct sockaddr *)&at, sizeof at)) {
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
            return fd;
        }
        int error = errno;
        close(fd);
        errno = error;
        if (error != ETIMEDOUT) break;
    }
    return -1;
}

int dial(const server *s) {
    int fd = try_dial(s);
    if (fd < 0) die("connect");
    return fd;
}

void send_text(int fd, const char *text) {
    for (size_t n = strlen(text); n;) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        if (sent <= 0) return;
        text += sent;
        n -= (size_t)sent;
    }
}

/* Reads to the end of a line; the line with its LF, or NULL. */
static char *read_line(int fd) {
    size_t n = 0;
    char *line = malloc(1);
    for (;;) {
        char ahead[512];
        ssize_t seen = recv(fd, ahead, sizeof ahead, MSG_PEEK);
        char *end = seen > 0 ? memchr(ahead, '\n', (size_t)seen) : NULL;
        size_t part = end ? (size_t)(end - ahead) + 1 : seen > 0 ? (size_t)seen : 0;
        line = realloc(line, n + part + 1);
        if (!part || recv(fd, line + n, part, MSG_WAITALL) != (ssize_t)part) break;
        n += part;
        line[n] = 0;
        if (end) return line;
    }
    free(line);
    return NULL;
}

/* n more bytes to the body; false when they do not come. */
static bool read_bytes(int fd, answer *a, size_t n) {
    a->body = realloc(a->body, a->bytes + n + 1);
    while (n) {
        ssize_t got = recv(fd, a->body + a->bytes, n, 0);
        if (got <= 0) return false;
        a->bytes += (size_t)got;
        n -= (size_t)got;
    }
    a->body[a->bytes] = 0;
    return true;
}

answer read_answer(int fd) {
    answer a = {.head = calloc(1, 1), .body = calloc(1, 1), .keep = true};
    size_t head = 0, length = 0;
    bool chunked = false, ok = true;
    for (char *line; (line = read_line(fd));) {
        size_t n = strlen(line);
        if (!head) a.status = atoi(line + 9);
        a.head = realloc(a.head, head + n + 1);
        memcpy(a.head + head, line, n + 1);
        head += n;
        if (!strncmp(line, "Content-Length: ", 16)) length = strtoul(line + 16, NULL, 10);
        if (!strncmp(line, "Transfer-Encoding: chunked", 26)) chunked = true;
        if (!strncmp(line, "Connection: close", 17)) a.keep = false;
        free(line);
        if (n == 2) break;
    }
    if (a.status == 100) return a;
    while (chunked && ok) {
        char *line = read_line(fd), tail[2];
        size_t n = line ? strtoul(line, NULL, 16) : 0;
        ok = line && (!n || read_bytes(fd, &a, n)) && recv(fd, tail, 2, MSG_WAITALL) == 2;
        free(line);
        if (!n) break;
    }
    if (!chunked) ok = read_bytes(fd, &a, length);
    if (!ok) a.status = 0;
    return a;
}

void answer_free(answer *a) {
    free(a->head);
    free(a->body);
    *a = (answer){0};
}

answer ask_with(const server *s, const char *method, const char *path, const char *headers, const char *body) {
    size_t n = strlen(path) + strlen(headers) + (body ? strlen(body) : 0) + 256;
    char *text = malloc(n);
    int fd = dial(s);
    snprintf(text, n, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", method, path, headers,
             body ? strlen(body) : 0, body ? body : "");
    send_text(fd, text);
    free(text);
    answer a = read_answer(fd);
    close(fd);
    return a;
}

answer ask(const server *s, const char *path, const char *body) {
    return ask_with(s, body ? "POST" : "GET", path, "", body);
}

char *text_in(const char *json, const char *key) {
    char mark[64];
    snprintf(mark, sizeof mark, "\"%s\":\"", key);
    const char *at = json ? strstr(json, mark) : NULL;
    char *out = calloc(1, at ? strlen(at) + 1 : 1);
    size_t n = 0;
    for (at = at ? at + strlen(mark) : "\""; *at && *at != '"'; at++) {
        if (*at == '\\') {
            at++;
            out[n++] = *at == 'n' ? '\n' : *at == 't' ? '\t' : *at;
        } else {
            out[n++] = *at;
        }
    }
    return out;
}

double number_in(const char *json, const char *key) {
    char mark[64];
    snprintf(mark, sizeof mark, "\"%s\":", key);
    const char *at = json ? strstr(json, mark) : NULL;
    if (!at) {
        snprintf(mark, sizeof mark, "\n%s ", key); /* a metric */
        at = json ? strstr(json, mark) : NULL;
    }
    return at ? atof(at + strlen(mark)) : -1e9;
}

char *output_of(const char *const *words) {
    int ends[2], status;
    if (pipe2(ends, O_CLOEXEC)) die("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        execv(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    close(ends[1]);
    size_t n = 0, cap = 65536;
    char *text = malloc(cap);
    for (ssize_t got; (got = read(ends[0], text + n, cap - 1 - n)) > 0;) n += (size_t)got;
    text[n] = 0;
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (status) fprintf(stderr, "%s %s: status %d\n", words[0], words[1], status);
    return text;
}
