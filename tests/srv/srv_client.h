/* srv_client.h: a small HTTP client and the process of a server, for the tests of `leat serve`. */
#ifndef LEAT_SRV_CLIENT_H
#define LEAT_SRV_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct server {
    pid_t pid;
    uint16_t port;
    int err; /* its standard error */
} server;
/* words: what follows `leat serve`, ended by NULL; --port 0 is added. Waits until it listens, and if ready until it has
 * its model. */
void server_start(server *s, const char *leat, const char *const *words, bool ready);
int server_end(server *s);        /* SIGTERM; its exit status, or 128 + the signal */
int server_wait(server *s);       /* the same without the SIGTERM */
size_t server_rss_kib(const server *s);

int dial(const server *s);        /* a connection, blocking */
int try_dial(const server *s);    /* the same; -1 when nobody listens */
void send_text(int fd, const char *text);
/* One answer off the connection. */
typedef struct answer {
    int status;   /* 0: none came */
    char *head;   /* with its lines */
    char *body;   /* chunks taken apart; terminated */
    size_t bytes;
    bool keep;
} answer;
answer read_answer(int fd);
void answer_free(answer *a);
/* A request on a connection of its own. body NULL: GET. */
answer ask(const server *s, const char *path, const char *body);
answer ask_with(const server *s, const char *method, const char *path, const char *headers, const char *body);
/* The text of the choice or the content in a JSON answer: unescaped; "" when there is none. Free it. */
char *text_in(const char *json, const char *key);
double number_in(const char *json, const char *key); /* -1e9 when there is none */
/* What the program writes to standard output. Free it. */
char *output_of(const char *const *words);

#endif
