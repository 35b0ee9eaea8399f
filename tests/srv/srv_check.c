/* srv_check.c: `leat serve` as its clients see it.
 *
 *     srv-check LEAT MODEL DIR                 the tests; one line at the end: N passed, N failed
 *     srv-check LEAT MODEL DIR PORT TEST...    some, with a server at that port that has the model: small, text, http,
 *                                              lazy, many=N requests (context 512, name `sample`), hanging (131072);
 *                                              isa=ISA: of the server; tokens=N: of the answers of many. PORT 0: each
 *                                              has a server of its own, as keys and queue=N (tokens) always have
 *
 * Answers at temperature 0 are compared with `leat run`'s.
 */
#include "srv/srv_client.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *leat, *model, *dir;
static int passed, failed;

static void check(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void check(bool ok, const char *format, ...) {
    va_list args;
    if (ok) {
        passed++;
        return;
    }
    failed++;
    printf("FAIL ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static void check_text(const char *what, const char *got, const char *wanted) {
    check(!strcmp(got, wanted), "%s: '%s', wanted '%s'", what, got, wanted);
}

/* Asks and checks the status and that the body has some text. */
static void expect(const server *s, const char *path, const char *body, int status, const char *has) {
    answer a = ask(s, path, body);
    check(a.status == status && strstr(a.body, has), "%s %.200s: %d %s; wanted %d and %s", path, body ? body : "",
          a.status, a.body, status, has);
    answer_free(&a);
}

static char *format(const char *text, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *text, ...) {
    char *out = NULL;
    va_list args;
    va_start(args, text);
    if (vasprintf(&out, text, args) < 0) abort();
    va_end(args);
    return out;
}

/* ---- answers --------------------------------------------------------------------------------------- */

#define N_PROMPTS 6
static const char *const prompts[N_PROMPTS] = {"What is 2+2?", "What is 17+25?", "Hello", "What is leat?",
                                               "Once upon a time", "What is 9-4?"};
static char *wanted[N_PROMPTS]; /* by leat run */
static const char *n_many = "24"; /* tokens of them */
static int n_requests = 1000, n_slow = 2000; /* of many; tokens of an answer that others wait for */
static const char *isa;           /* the server's, where it runs on another machine */

static char *run_text(const char *prompt) {
    return output_of((const char *const[]){leat, "run", model, "-p", prompt, "-n", n_many, "--temp", "0", "-q",
                                           isa ? "--isa" : NULL, isa, NULL});
}

/* The text of a stream of completions: all of its pieces. */
static char *stream_text(const char *events, const char *key) {
    char *out = calloc(1, strlen(events) + 1);
    for (const char *at = events; (at = strstr(at, "data: {")); at++) {
        const char *end = strstr(at, "\n\n");
        char *one = strndup(at, end ? (size_t)(end - at) : strlen(at)), *text = text_in(one, key);
        strcat(out, text);
        free(text);
        free(one);
    }
    return out;
}

/* Asks, and checks the text of the answer, whole or as a stream, and that the body has some text. */
static void expect_text(const server *s, const char *path, const char *body, const char *want, const char *has) {
    answer a = ask(s, path, body);
    const char *key = !strcmp(path, "/v1/completions") ? "text" : "content";
    char *text = strstr(body, "\"stream\":true") ? stream_text(a.body, key) : text_in(a.body, key);
    check_text(body, text, want);
    check(strstr(a.body, has) != NULL, "%s: %s; wanted %s", body, a.body, has);
    free(text), answer_free(&a);
}

static void test_completions(const server *s) {
    for (int i = 0; i < N_PROMPTS; i++) {
        char *fields = format("\"max_tokens\":24,\"temperature\":0,\"prompt\":\"%s\"", prompts[i]);
        char *body = format("{%s}", fields);
        char *stream = format("{%s,\"stream\":true,\"stream_options\":{\"include_usage\":true}}", fields);
        char *fresh = format("{\"prompt\":[\"%s\"],\"n_predict\":24,\"temperature\":0,\"cache_prompt\":false}",
                             prompts[i]);
        expect_text(s, "/v1/completions", body, wanted[i], "\"completion_tokens\":");
        expect_text(s, "/v1/completions", stream, wanted[i], "\"usage\":{");
        expect_text(s, "/v1/completions", stream, wanted[i], "data: [DONE]\n\n");
        expect_text(s, "/completion", fresh, wanted[i], "\"cache_n\":0");
        free(body), free(stream), free(fresh), free(fields);
    }
    static const char *const again = "{\"prompt\":\"What is 2+2?\",\"max_tokens\":24,\"temperature\":0}";
    expect_text(s, "/v1/completions", again, wanted[0], "\"prompt_tokens\":8,");
    expect_text(s, "/v1/completions", again, wanted[0], "\"cached_tokens\":7}"); /* all but the last */
    expect_text(s, "/v1/completions", "{\"prompt\":\"What is 2+2?\",\"max_tokens\":24,\"temperature\":0,"
                                      "\"stop\":[\"of 2\"]}", "The sum ", "\"finish_reason\":\"stop\"");
    expect_text(s, "/v1/completions", "{\"prompt\":\"What is 2+2?\",\"max_tokens\":24,\"temperature\":0,"
                                      "\"stop\":\"of 2\",\"stream\":true}", "The sum ", "\"finish_reason\":\"stop\"");
    /* The end of the text might have begun a stop string: it comes late, but ends nothing. */
    expect_text(s, "/v1/completions", "{\"prompt\":\"What is 2+2?\",\"max_tokens\":24,\"temperature\":0,"
                                      "\"stop\":\".!\",\"stream\":true}", wanted[0],
                "\"text\":\".\",\"logprobs\":null,\"finish_reason\":null");
    /* Tokens of a stop string are none of the answer's; one that text came of as well is. */
    expect(s, "/v1/completions", "{\"prompt\":\"What is 2+2?\",\"max_tokens\":24,\"temperature\":0,\"logprobs\":1,"
                                 "\"stop\":\"e sum of\"}", 200, "\"text\":\"Th\",\"logprobs\":{\"tokens\":[\"The\"],");
    expect(s, "/completion", "{\"prompt\":\"What is 2+2?\",\"temperature\":0,\"stop\":\" sum of\","
                             "\"return_tokens\":true}", 200, "\"content\":\"The\",\"tokens\":[383],");
    expect(s, "/v1/completions", "{\"prompt\":\"What is 2+2?\",\"max_tokens\":24,\"temperature\":0,\"logprobs\":1,"
                                 "\"echo\":true,\"stop\":\"The\"}", 200, "\"+\",\"2\",\"?\"],\"token_logprobs\"");
    static const struct {
        const char *body, *has;
    } rows[] = {
        {"{\"prompt\":\"a\",\"n\":2,\"max_tokens\":1,\"seed\":5}", "\"index\":1"},
        {"{\"prompt\":\"a\",\"max_tokens\":1,\"seed\":5.0}", "\"index\":0"},
        {"{\"prompt\":[\"a\",[5,6]],\"max_tokens\":1}", "\"index\":1"},
        {"{\"prompt\":[{\"prompt_string\":\"a\"},\"b\"],\"max_tokens\":1}", "\"index\":1"},
        {"{\"prompt\":\"What is 2+2?\",\"max_tokens\":1,\"temperature\":0,\"echo\":true}",
         "\"text\":\"What is 2+2?The\""},
        {"{\"prompt\":\"\",\"max_tokens\":1,\"temperature\":0,\"echo\":true}", "\"text\":\"I\""},
        {"{\"prompt\":\"What is\",\"max_tokens\":0,\"logprobs\":1,\"echo\":true}",
         "\"tokens\":[\"What\",\" is\"],\"token_logprobs\":[-"},
        {"{\"prompt\":\"What is 2+2?\",\"max_tokens\":1,\"temperature\":0,\"logit_bias\":{\"383\":-100}}",
         "\"finish_reason\":\"length\""},
        /* A token that begins a character which never comes. */
        {"{\"prompt\":\"a\",\"max_tokens\":1,\"temperature\":0,\"logprobs\":1,\"stream\":true,"
         "\"logit_bias\":{\"201\":1000}}", "\"tokens\":[\"bytes:\\\\xc3\"],\"token_logprobs\":[-"},
        {"{\"prompt\":\"a\",\"max_tokens\":2,\"ignore_eos\":true,\"logit_bias\":{\"2\":1e39}}",
         "\"completion_tokens\":2"},
        {"{\"prompt\":\"a\",\"max_tokens\":3,\"ignore_eos\":true,\"min_p\":0.1,\"top_k\":5,\"presence_penalty\":0.5,"
         "\"unknown\":{\"a\":[]}}", "\"completion_tokens\":3"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(s, "/v1/completions", rows[i].body, 200, rows[i].has);
}

static void test_chat(const server *s) {
    static const char *const messages = "\"messages\":[{\"role\":\"user\",\"content\":\"What is 2+2?\"}]";
    char *ids = format("%s/ids", dir), *body = format("{%s}", messages);
    expect(s, "/apply-template", body, 200, "\"prompt\":\"<s><|user|>What is 2+2?</s><|assistant|>\"");
    expect(s, "/v1/chat/completions/input_tokens", body, 200, "{\"input_tokens\":11}");
    expect(s, "/apply-template", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                                 "{\"type\":\"text\",\"text\":\"b\"}]}],\"add_generation_prompt\":false}", 200,
           "\"prompt\":\"<s><|user|>a\\nb</s>\"");
    /* The same tokens through leat run. */
    answer a = ask(s, "/tokenize", "{\"content\":\"<s><|user|>What is 2+2?</s><|assistant|>\"}");
    FILE *f = fopen(ids, "w");
    char *from = strchr(a.body, '['), *to = strchr(a.body, ']');
    check(f && from && to, "tokens: %s", a.body);
    if (f && from && to) fprintf(f, "%.*s\n", (int)(to - from - 1), from + 1);
    if (f) fclose(f);
    answer_free(&a), free(body);
    char *want = output_of((const char *const[]){leat, "run", model, "--ids", ids, "-n", "24", "--temp", "0", "-q",
                                                 NULL});
    static const struct {
        const char *path, *fields, *has;
    } rows[] = {{"/v1/chat/completions", "\"max_tokens\":24", "\"message\":{\"role\":\"assistant\","},
                {"/v1/chat/completions", "\"max_tokens\":24,\"verbose\":true", "\"__verbose\":{\"prompt\":\"<s>"},
                {"/chat/completions", "\"max_completion_tokens\":24,\"stream\":true",
                 "\"delta\":{\"role\":\"assistant\",\"content\":null}"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        body = format("{%s,\"temperature\":0,%s}", messages, rows[i].fields);
        expect_text(s, rows[i].path, body, want, rows[i].has);
        expect_text(s, rows[i].path, body, want, "\"finish_reason\":\"stop\"");
        free(body);
    }
    body = format("{%s,\"max_tokens\":2,\"temperature\":0,\"logprobs\":true,\"top_logprobs\":2}", messages);
    expect(s, "/v1/chat/completions", body, 200, "\"top_logprobs\":[{\"id\":");
    free(body);
    body = format("{%s,\"max_tokens\":1,\"temperature\":0,\"logprobs\":true,\"stream\":true,"
                  "\"logit_bias\":{\"201\":1000}}", messages);
    expect(s, "/v1/chat/completions", body, 200, "\"delta\":{},\"logprobs\":{\"content\":[{\"id\":201,");
    free(body), free(want), free(ids);
}

/* One turn of a conversation, of which `said` is the JSON so far; the answer joins it. Returns the prompt's tokens. */
static double take_turn(const server *s, const char *system, char **said, const char *question, double before) {
    char *more = format("%s,{\"role\":\"user\",\"content\":\"%s\"}", *said, question), *text[2];
    double prompt = 0;
    for (int fresh = 0; fresh < 2; fresh++) { /* the second computes all of the prompt */
        char *body = format("{\"messages\":[{\"role\":\"system\",\"content\":\"%s\"}%s],\"temperature\":0,"
                            "\"max_tokens\":24,\"cache_prompt\":%s}", system, more, fresh ? "false" : "true");
        answer a = ask(s, "/v1/chat/completions", body);
        double cached = number_in(a.body, "cache_n");
        prompt = number_in(a.body, "prompt_tokens");
        check(fresh ? cached == 0 : cached >= before && cached < prompt, "%g of %g are there, %g were before", cached,
              prompt, before);
        text[fresh] = text_in(a.body, "content");
        answer_free(&a), free(body);
    }
    check_text("a conversation that was there already", text[0], text[1]);
    free(*said);
    *said = format("%s,{\"role\":\"assistant\",\"content\":\"%s\"}", more, text[0]);
    free(more), free(text[0]), free(text[1]);
    return prompt;
}

/* Two take turns: of each all is there that was in its prompt before. */
static void test_two_conversations(const server *s) {
    char *said[2] = {strdup(""), strdup("")};
    double before[2] = {0, 0};
    for (int turn = 0; turn < 8; turn++) {
        int who = turn & 1;
        before[who] = take_turn(s, who ? "Be long." : "Be brief.", &said[who], prompts[(turn + who) % N_PROMPTS],
                                before[who]);
    }
    free(said[0]), free(said[1]);
}

static void test_small_ones(const server *s) {
    expect(s, "/health", NULL, 200, "\"ok\"");
    expect(s, "/v1/models", NULL, 200, "\"id\":\"sample\"");
    expect(s, "/v1/models/sample", NULL, 200, "\"object\":\"model\"");
    expect(s, "/v1/models/s%61mple", NULL, 200, "\"object\":\"model\"");
    expect(s, "/v1/models/other", NULL, 404, "model_not_found");
    expect(s, "/props", NULL, 200, "\"total_slots\":1");
    expect(s, "/metrics", NULL, 200, "\nleat_requests_total ");
    expect(s, "/tokenize", "{\"content\":\"Hi\",\"add_special\":true}", 200, "\"tokens\":[1,");
    expect(s, "/tokenize", "{\"content\":5}", 400, "content is an integer");
    expect(s, "/tokenize", "{\"content\":\"Hi\",\"with_pieces\":1}", 400,
           "with_pieces is an integer, wanted true or false");
    expect(s, "/apply-template",
           "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"add_generation_prompt\":\"no\"}", 400,
           "add_generation_prompt is a string");
    expect(s, "/v1/completions", "{\"prompt\":\"a\",\"stream_options\":{\"include_usage\":1}}", 400,
           "include_usage is an integer");
    expect(s, "/completion", "{\"prompt\":\"a\",\"n_predict\":1,\"n_probs\":2.0}", 200, "\"top_logprobs\"");
    expect(s, "/detokenize", "{\"tokens\":[409,376]}", 200, "\"content\":\"What is\"");
    expect(s, "/detokenize", "{\"tokens\":[-1]}", 400, "no id from 0 to 767");
    expect(s, "/nothing", NULL, 404, "there is no /nothing");
    expect(s, "/v1/completions", NULL, 405, "no such method");
    expect(s, "/v1/completions", "{\"prompt\":\"a\",", 400, "invalid_request_error");
    expect(s, "/v1/completions", "[]", 400, "wanted an object");
    expect(s, "/v1/completions", "{}", 400, "\"param\":\"prompt\"");
    expect(s, "/v1/completions", "{\"prompt\":\"a\",\"temperature\":\"hot\"}", 400, "\"param\":\"temperature\"");
    expect(s, "/v1/completions", "{\"prompt\":\"a\",\"model\":\"gpt\"}", 404, "model_not_found");
    expect(s, "/v1/completions", "{\"prompt\":\"a\",\"suffix\":\"b\"}", 400, "\"param\":\"suffix\"");
    expect(s, "/v1/completions", "{\"prompt\":{\"prompt_string\":\"a\",\"multimodal_data\":[\"\"]}}", 400, "an object");
    expect(s, "/v1/chat/completions",
           "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tool_choice\":\"required\"}", 400,
           "\"param\":\"tool_choice\"");
    expect(s, "/v1/completions", "{\"prompt\":\"a\",\"seed\":5.5}", 400, "seed is a float, wanted a whole number");
    expect(s, "/v1/completions", "{\"prompt\":[768]}", 400, "wanted 0 to 767");
    expect(s, "/v1/chat/completions", "{\"messages\":[{\"role\":\"user\"}]}", 400, "has no content");
    expect(s, "/v1/chat/completions", "{\"messages\":[]}", 400, "\"param\":\"messages\"");
    char *body = malloc(140000);
    strcpy(body, "{\"stream\":true,\"prompt\":[5");
    for (int i = 0; i < 600; i++) strcat(body, ",5");
    strcat(body, "]}");
    expect(s, "/v1/completions", body, 400, "\"exceed_context_size_error\"");
    expect(s, "/v1/completions", body, 400, "\"n_prompt_tokens\":601,\"n_ctx\":512");
    size_t n = (size_t)sprintf(body, "{\"prompt\":\"a\",\"max_tokens\":1,\"logit_bias\":{\"");
    for (int i = 0; i < 130000; i++) body[n++] = "ab"[i % 2 ^ i / 7 % 2 ^ i / 50 % 2];
    strcpy(body + n, "\":1}}");
    expect(s, "/v1/completions", body, 400, "the texts of logit_bias are more than");
    free(body);
}

/* ---- HTTP ------------------------------------------------------------------------------------------ */

static void raw(const server *s, const char *text, int status) {
    int fd = dial(s);
    send_text(fd, text);
    answer a = read_answer(fd);
    check(a.status == status, "%.60s: %d, wanted %d", text, a.status, status);
    answer_free(&a);
    close(fd);
}

static void test_http(const server *s) {
    raw(s, "GET /health HTTP/1.1\r\n\r\n", 200);
    raw(s, "\r\nGET http://here/health HTTP/1.1\r\n\r\n", 200);
    raw(s, "GET /health HTTP/1.1\nHost: a\n\n", 400);
    raw(s, "GET /health HTTP/2.0\r\n\r\n", 505);
    raw(s, "garbage\r\n\r\n", 400);
    raw(s, "\x16\x03\x01\x02\r\n\r\n", 400);
    raw(s, "GET /health HTTP/1.1\r\nA : b\r\n\r\n", 400);
    raw(s, "POST /tokenize HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1", 400);
    raw(s, "POST /tokenize HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1", 400);
    raw(s, "POST /tokenize HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501);
    raw(s, "POST /tokenize HTTP/1.1\r\nContent-Length: 8388609\r\n\r\n", 413);
    raw(s, "POST /tokenize HTTP/1.1\r\nExpect: more\r\n\r\n", 417);
    raw(s, "POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"con\r\nA;x\r\ntent\":\"a\"}\r\n"
           "0\r\nT: x\r\n\r\n", 200);
    raw(s, "POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400);
    char text[1024] = "";
    int fd = dial(s);
    send_text(fd, "HEAD /health HTTP/1.0\r\n\r\n");
    ssize_t n = recv(fd, text, sizeof text - 1, MSG_WAITALL);
    close(fd);
    check(n > 100 && !strncmp(text, "HTTP/1.1 200 OK\r\n", 17) && !strcmp(text + n - 4, "\r\n\r\n") &&
              strstr(text, "Content-Length: 15\r\nConnection: close\r\n"), "HEAD: %s", text);
    char *large = malloc(9000);
    memset(large, 'a', 8999);
    memcpy(large, "GET / HTTP/1.1\r\nA: ", 19);
    large[8999] = 0;
    raw(s, large, 431);
    free(large);
    fd = dial(s);
    send_text(fd, "POST /tokenize HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n");
    answer a = read_answer(fd);
    check(a.status == 100, "Expect: %d", a.status);
    answer_free(&a);
    send_text(fd, "{\"content\":\"a\"}");
    a = read_answer(fd);
    check(a.status == 200 && a.keep, "after 100 Continue: %d", a.status);
    answer_free(&a);
    /* On the same connection: three requests at once, one of which computes; their answers in order. */
    send_text(fd, "GET /health HTTP/1.1\r\n\r\nPOST /v1/completions HTTP/1.1\r\nContent-Length: 29\r\n\r\n"
                  "{\"prompt\":\"a\",\"max_tokens\":2}GET /v1/models HTTP/1.1\r\n\r\n");
    static const char *const has[] = {"ok", "text_completion", "list"};
    for (int i = 0; i < 3; i++) {
        a = read_answer(fd);
        check(a.status == 200 && strstr(a.body, has[i]), "pipelined %d: %d %s", i, a.status, a.body);
        answer_free(&a);
    }
    const char *slow = "POST /tokenize HTTP/1.1\r\nContent-Length: 15\r\n\r\n{\"content\":\"a\"}";
    for (; *slow; slow++) send_text(fd, (char[]){*slow, 0});
    a = read_answer(fd);
    check(a.status == 200, "byte by byte: %d", a.status);
    answer_free(&a);
    close(fd);
    a = ask_with(s, "OPTIONS", "/v1/completions",
                 "Origin: http://localhost:3000\r\nAccess-Control-Request-Headers: x-a\r\n", NULL);
    check(a.status == 200 && strstr(a.head, "Access-Control-Allow-Origin: http://localhost:3000\r\n") &&
              strstr(a.head, "Access-Control-Allow-Headers: x-a\r\n"), "preflight: %s", a.head);
    answer_free(&a);
    static const char *const foreign[] = {"http://localhost.evil.org", "http://localhost:8@evil.org",
                                          "http://evil.org", "http://localhost:", "ftp://localhost", "null"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char *origin = format("Origin: %s\r\n", foreign[i]);
        a = ask_with(s, "GET", "/health", origin, NULL);
        check(a.status == 200 && !strstr(a.head, "Access-Control"), "a foreign page: %s", a.head);
        answer_free(&a), free(origin);
    }
}

/* Who sends nothing more still gets answers: to all that was asked. */
static void test_half_closed(const server *s) {
    static const char *const body = "{\"prompt\":\"What is 2+2?\",\"max_tokens\":24,\"temperature\":0}";
    for (int old = 0; old < 2; old++) {
        int fd = dial(s), n = old ? 1 : 3;
        char *text = format("POST /v1/completions HTTP/1.%d\r\nContent-Length: %zu\r\n\r\n%s", !old, strlen(body),
                            body);
        for (int i = 0; i < n; i++) send_text(fd, text);
        shutdown(fd, SHUT_WR);
        for (int i = 0; i < n; i++) {
            answer a = read_answer(fd);
            char *got = text_in(a.body, "text");
            check_text("to a client that only reads", got, wanted[0]);
            free(got), answer_free(&a);
        }
        check(recv(fd, text, 1, 0) == 0, "then it is closed");
        close(fd), free(text);
    }
}

/* More connections than there is room for, none of which asks for anything whole. */
static void test_lazy_clients(const server *s) {
    int fds[300];
    for (int i = 0; i < 300; i++) {
        fds[i] = dial(s);
        if (i % 3) send_text(fds[i], i % 3 == 1 ? "GET /hea" : "POST /tokenize HTTP/1.1\r\nContent-Length: 9\r\n\r\n{");
    }
    expect(s, "/health", NULL, 200, "ok");
    expect(s, "/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":1}", 200, "text");
    for (int i = 0; i < 300; i++) close(fds[i]);
}

/* Bodies that never end, of as many clients as are taken, each of a size that is taken. */
static void test_too_many_bodies(const server *s) {
    enum { CLIENTS = 40, BODY = 8 << 20 };
    static char body[BODY];
    size_t before = server_rss_kib(s);
    int fds[CLIENTS], refused = 0;
    char *head = format("POST /tokenize HTTP/1.1\r\nContent-Length: %d\r\n\r\n", BODY);
    memset(body, ' ', BODY);
    for (int i = 0; i < CLIENTS; i++) fds[i] = dial(s), send_text(fds[i], head);
    expect(s, "/health", NULL, 200, "ok"); /* all heads have been read */
    for (int i = 0; i < CLIENTS; i++)
        for (ssize_t n, at = 0; at < BODY - 1; at += n)
            if ((n = send(fds[i], body + at, (size_t)(BODY - 1 - at), MSG_NOSIGNAL)) <= 0) break;
    expect(s, "/health", NULL, 200, "ok");
    size_t held = (server_rss_kib(s) - before) >> 10;
    check(held <= 256 + 32, "%zu MiB are held for bodies", held);
    for (int i = 0; i < CLIENTS; i++) {
        char line[13] = "";
        if (recv(fds[i], line, sizeof line - 1, MSG_DONTWAIT) > 0) refused += !strcmp(line, "HTTP/1.1 503");
        close(fds[i]);
    }
    check(refused > 0, "none of %d is told why", CLIENTS);
    free(head);
}

/* ---- hanging up ------------------------------------------------------------------------------------ */

static double metric(const server *s, const char *name) {
    answer a = ask(s, "/metrics", NULL);
    double value = number_in(a.body, name);
    answer_free(&a);
    return value;
}

/* Waits until a metric is above 0, or is 0 again. False when the request on fd was answered meanwhile: then it has been
 * missed, or never will be. */
static bool await_metric(const server *s, const char *name, bool above, int fd) {
    char c;
    while ((metric(s, name) > 0) != above)
        if (recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN) {
            check(false, "answered, or closed, before %s %s 0", name, above ? "was above" : "fell to");
            return false;
        }
    return true;
}

static void test_hanging_up(const server *s, const char *body) {
    double before = metric(s, "leat_requests_cancelled_total");
    int fd = dial(s);
    char *text = format("POST /v1/completions HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    send_text(fd, text);
    bool seen = await_metric(s, "leat_requests_processing", true, fd);
    int waits = dial(s); /* one behind it, which leaves before its turn */
    send_text(waits, text);
    seen = seen && await_metric(s, "leat_requests_deferred", true, fd);
    close(waits);
    seen = seen && await_metric(s, "leat_requests_deferred", false, fd);
    close(fd); /* how soon that is heard, tests/fault/test_fault_srv.c tells; a request ends by itself, too */
    while (seen && metric(s, "leat_requests_processing") > 0) {}
    if (seen) check(metric(s, "leat_requests_cancelled_total") == before + 2, "cancelled");
    free(text);
}

/* ---- other servers ---------------------------------------------------------------------------------- */

static void test_keys(void) {
    server s;
    char *file = format("%s/keys", dir);
    FILE *f = fopen(file, "w");
    if (f) fputs("first-key\n\n  second-key  \n", f), fclose(f);
    setenv("LEAT_API_KEY", "env-key", 1);
    setenv("LEAT_ALIAS", "by-environment", 1);
    server_start(&s, leat, (const char *const[]){
        model, "--api-key-file", file, "--alias", "mine, other", "-c", "64", "--chat-template", "{{ x }}{{ y }}",
        "--chat-template-kwargs", "{\"x\":1,\"y\":2}", NULL},
                 true);
    unsetenv("LEAT_API_KEY");
    unsetenv("LEAT_ALIAS");
    static const struct {
        const char *header;
        int status;
    } rows[] = {{"", 401}, {"Authorization: Bearer first-key\r\n", 200}, {"Authorization: Bearer second-key\r\n", 200},
                {"Authorization: Bearer env-key\r\n", 200}, {"X-Api-Key: first-key\r\n", 200},
                {"Authorization: Bearer first-keyx\r\n", 401}, {"Authorization: Bearer first-ke\r\n", 401},
                {"Authorization: Bearer \r\n", 401}, {"Authorization: first-key\r\n", 401}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        answer a = ask_with(&s, "GET", "/v1/models", rows[i].header, NULL);
        check(a.status == rows[i].status, "%s: %d", rows[i].header, a.status);
        if (a.status == 200) check(strstr(a.body, "\"id\":\"mine\"") != NULL, "%s", a.body);
        else check(strstr(a.body, "authentication_error") != NULL, "%s", a.body);
        answer_free(&a);
    }
    expect(&s, "/health", NULL, 200, "ok");
    answer a = ask_with(&s, "GET", "/v1/models/other", rows[1].header, NULL);
    check(a.status == 200 && strstr(a.body, "\"aliases\":[\"mine\",\"other\"]"), "%s", a.body);
    answer_free(&a);
    a = ask_with(&s, "POST", "/apply-template", rows[1].header,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"chat_template_kwargs\":{\"y\":3}}");
    check(a.status == 200 && strstr(a.body, "\"prompt\":\"13\""), "%s", a.body);
    answer_free(&a);
    check(server_end(&s) == 0, "a server with keys ends");
    free(file);
}

/* One request that is answered and one that waits, seen by a third; false when the first was done too soon. */
static bool fill_queue(const server *s, const char *body, int *first, int *second, answer *third) {
    char *text = format("POST /v1/completions HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body), c;
    bool done = false;
    *first = dial(s), *second = dial(s);
    send_text(*first, text);
    const int look = MSG_PEEK | MSG_DONTWAIT;
    while (!done && metric(s, "leat_requests_processing") == 0) done = recv(*first, &c, 1, look) == 1;
    if (!done) send_text(*second, text);
    while (!done && metric(s, "leat_requests_deferred") == 0) done = recv(*first, &c, 1, look) == 1;
    free(text);
    if (!done) *third = ask(s, "/v1/completions", body);
    done = done || recv(*first, &c, 1, look) == 1;
    if (done) close(*first), close(*second), answer_free(third);
    return !done;
}

/* Of a queue of one; and the end, for which it waits until all is answered. */
static void test_queue_and_end(void) {
    char *body = format("{\"prompt\":\"a\",\"max_tokens\":%d,\"ignore_eos\":true}", n_slow);
    server s;
    server_start(&s, leat, (const char *const[]){model, "--queue", "1", "-c", "4096", "-t", "1", NULL}, true);
    int first, second, idle = dial(&s), tries = 1;
    answer a = {0};
    while (!fill_queue(&s, body, &first, &second, &a) && tries < 20) tries++;
    check(a.status == 503 && strstr(a.head, "Retry-After: "), "a full queue: %d %s", a.status, a.head);
    answer_free(&a);
    kill(s.pid, SIGTERM);
    char byte;
    check(recv(idle, &byte, 1, 0) == 0 && try_dial(&s) < 0, "who asks for nothing is sent away, nothing is accepted");
    a = read_answer(first);
    check(a.status == 200 && number_in(a.body, "completion_tokens") == n_slow, "answered before the end: %d", a.status);
    answer_free(&a);
    a = read_answer(second);
    check(a.status == 200 && number_in(a.body, "completion_tokens") == n_slow, "so is what waited: %d", a.status);
    answer_free(&a);
    close(first), close(second), close(idle), free(body);
    check(server_wait(&s) == 0, "it ends with 0");
}

/* ---- many ------------------------------------------------------------------------------------------- */

#define N_OPEN 50

static uint32_t dice(uint32_t n) {
    static uint32_t state = 1;
    state = state * 1664525 + 1013904223;
    return (state >> 8) % n;
}

/* Of texts of random models, which may end within a character: JSON has U+FFFD there. */
static bool same_ascii(const char *a, const char *b) {
    for (;; a++, b++) {
        while (*a & 0x80) a++;
        while (*b & 0x80) b++;
        if (*a != *b || !*a) return *a == *b;
    }
}

static void test_many(const server *s) {
    int fds[N_OPEN], which[N_OPEN], errors = 0, answers = 0, aborts = 0;
    size_t rss = 0;
    double refused = metric(s, "leat_answers_5xx_total");
    for (int i = 0; i < N_OPEN; i++) fds[i] = -1;
    for (int n = 0; n < n_requests + N_OPEN; n++) {
        int slot = n % N_OPEN;
        if (n == n_requests / 3) rss = server_rss_kib(s);
        if (fds[slot] >= 0) { /* what was asked a round ago */
            bool stream = which[slot] >= N_PROMPTS;
            answer a = read_answer(fds[slot]);
            char *text = stream ? stream_text(a.body, "text") : text_in(a.body, "text");
            bool ok = a.status == 200 && same_ascii(text, wanted[which[slot] % N_PROMPTS]);
            if (!ok && !errors++) printf("first error: %d '%s'\n", a.status, text);
            answers++;
            if (!a.keep || dice(4) == 0) close(fds[slot]), fds[slot] = -1;
            free(text);
            answer_free(&a);
        }
        if (n >= n_requests) continue;
        if (fds[slot] < 0) fds[slot] = dial(s);
        which[slot] = (int)dice(2 * N_PROMPTS);
        char *body = format("{\"prompt\":\"%s\",\"max_tokens\":%s,\"temperature\":0,\"stream\":%s}",
                            prompts[which[slot] % N_PROMPTS], n_many, which[slot] < N_PROMPTS ? "false" : "true");
        char *text = format("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
                            body);
        if (dice(5) == 0) { /* leaves in the middle of the request, or of the answer */
            if (dice(2)) text[dice((uint32_t)strlen(text))] = 0;
            send_text(fds[slot], text);
            if (dice(2)) usleep(dice(3000));
            close(fds[slot]);
            fds[slot] = -1;
            aborts++;
        } else {
            send_text(fds[slot], text);
        }
        free(text), free(body);
    }
    for (int i = 0; i < N_OPEN; i++)
        if (fds[i] >= 0) close(fds[i]);
    size_t after = server_rss_kib(s);
    check(!errors && answers + aborts == n_requests, "%d of %d answers are wrong; %d aborts", errors, answers, aborts);
    check(after <= rss + 512, "memory: %zu KiB after a third, %zu KiB after all", rss, after);
    check(metric(s, "leat_answers_5xx_total") == refused, "no errors");
}

static void test_hanging_up_twice(const server *s) {
    test_hanging_up(s, "{\"prompt\":\"a\",\"max_tokens\":130000,\"ignore_eos\":true}");
    char *body = malloc(600000), *at = body + sprintf(body, "{\"max_tokens\":1,\"prompt\":[5");
    for (int i = 0; i < 120000; i++) at += sprintf(at, ",%d", i % 700 + 5);
    strcpy(at, "]}");
    test_hanging_up(s, body); /* while the prompt is being read */
    free(body);
}

static void test_text(const server *s) { test_completions(s), test_chat(s), test_two_conversations(s); }
static void test_connections(const server *s) { test_http(s), test_half_closed(s); }

static void with_server(const char *context, void (*test)(const server *)) {
    server s;
    server_start(&s, leat, (const char *const[]){model, "-c", context, "-t", "1", NULL}, true);
    test(&s);
    check(server_end(&s) == 0, "it ends with 0");
}

/* With a server that runs elsewhere, and goes on running, or one of its own (there: NULL). */
static bool test_named(const server *there, const char *what) {
    static const struct {
        const char *name, *context;
        void (*test)(const server *);
    } tests[] = {{"small", "512", test_small_ones},     {"text", "512", test_text},
                 {"http", "512", test_connections},     {"lazy", "512", test_lazy_clients},
                 {"many", "512", test_many},        {"hanging", "131072", test_hanging_up_twice}};
    const size_t n = strcspn(what, "=");
    if (!strcmp(what, "keys")) return test_keys(), true;
    if (!strncmp(what, "queue=", 6)) n_slow = atoi(what + 6);
    if (n == 5 && !strncmp(what, "queue", n)) return test_queue_and_end(), true;
    if (!strncmp(what, "many=", 5)) n_requests = atoi(what + 5);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (strlen(tests[i].name) != n || strncmp(tests[i].name, what, n) != 0) continue;
        if (there) tests[i].test(there);
        else with_server(tests[i].context, tests[i].test);
        return true;
    }
    return !strncmp(what, "isa=", 4) || !strncmp(what, "tokens=", 7);
}

static void test_all(const server *s) {
    test_small_ones(s);
    test_text(s);
    test_connections(s);
    test_lazy_clients(s);
    test_too_many_bodies(s);
    test_many(s);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    leat = argv[1], model = argv[2], dir = argv[3];
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 5; i < argc; i++) {
        if (!strncmp(argv[i], "isa=", 4)) isa = argv[i] + 4;
        if (!strncmp(argv[i], "tokens=", 7)) n_many = argv[i] + 7;
    }
    for (int i = 0; i < N_PROMPTS; i++) wanted[i] = run_text(prompts[i]);
    server s = {.port = argc > 4 ? (uint16_t)atoi(argv[4]) : 0};
    for (int i = 5; i < argc; i++)
        if (!test_named(s.port ? &s : NULL, argv[i])) return 2;
    if (argc == 4) {
        with_server("512", test_all);
        with_server("131072", test_hanging_up_twice);
        test_keys();
        test_queue_and_end();
    }
    for (int i = 0; i < N_PROMPTS; i++) free(wanted[i]);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
