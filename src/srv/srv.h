/* srv.h: `leat serve`: one model behind HTTP, with OpenAI's calls and a few of llama.cpp's server. docs/API.md is the
 * user's page: every endpoint and field.
 *
 * One thread does all of it. Requests that compute, and those with a large body, wait in a queue and are answered one
 * by one, in order; while one is worked on, the yield hooks of engine, tokenizer, template and JSON reader serve the
 * network: other requests are read, the small ones answered, and a client that hangs up is noticed, whose request then
 * ends within one layer. Clients are hostile: every size, time and count has a limit below, and ends with an answer
 * that says so.
 *
 * Next: srv_http.c (requests as bytes), srv_conn.c (connections), srv_route.c (who answers what), srv_request.c (JSON
 * of a request), srv_job.c (the queue, and computing), srv_answer.c (JSON of an answer).
 */
#ifndef LEAT_SRV_H
#define LEAT_SRV_H

#include "leat.h"
#include "mem/mem.h"

enum {
    SRV_CONNS_MAX = 256,          /* open at a time; a new one then closes one that asks for nothing     */
    SRV_BODY_BYTES_MAX = 8 << 20, /* of a request                                                        */
    SRV_AT_ONCE_BYTES_MAX = 256 << 10, /* of the body of one that is answered out of turn: nobody is served meanwhile */
    SRV_BODIES_BYTES_MAX = 256 << 20, /* of all requests held                                            */
    SRV_REPLY_BYTES_MAX = 64 << 20, /* of an answer that its client does not read                        */
    SRV_QUEUE_MAX = 1024,
    SRV_KEYS_MAX = 256,
    SRV_STOPS_MAX = 16,           /* stop strings of a request                                           */
    SRV_STOP_BYTES_MAX = 4096,    /* of one                                                              */
    SRV_CHOICES_MAX = 128,        /* n, times the prompts of the request                                 */
    SRV_TOP_MAX = 100,            /* top_logprobs; OpenAI allows 20                                      */
    SRV_BIASES_MAX = 4096,        /* entries of logit_bias                                               */
    SRV_IDLE_S = 60,              /* an open connection without a request                                */
    SRV_HEAD_S = 10,              /* from a request's first byte to the end of its headers               */
    SRV_BODY_S = 60,              /* from there to the end of its body                                   */
    SRV_SEND_S = 30,              /* an answer of which nothing more can be sent                         */
    SRV_LINGER_S = 2,             /* for a client to read the answer before its connection is closed     */
};

typedef struct srv srv;

typedef struct srv_opts {
    const char *host;
    uint16_t port;            /* 0: any free one                                               */
    const char *path;         /* of the model's file, for /props                               */
    const char *alias;        /* the model's names, parted by commas; NULL: that of its file   */
    const char *const *keys;  /* (n_keys) one of them must come with a request; none: no key   */
    size_t n_keys;
    const char *chat_template; /* Jinja, or the name of a built-in one; NULL: the file's own     */
    const char *variables;    /* JSON: an object of more variables for the template; or NULL   */
    const char *cors;         /* "local", "none", "*", or one origin                           */
    int32_t queue_max;        /* requests that wait                                            */
    leat_sampler_options sampler; /* where a request says nothing; seed: if seeded             */
    bool seeded;
    bool verbose;             /* likewise: chats show their prompt                             */
    int32_t n_predict;        /* likewise: tokens of an answer at most; -1: no limit           */
    int32_t n_draft;          /* tokens guessed ahead at a time; 0: none                       */
    void (*log)(void *user, const char *line); /* of a request that was answered; may be NULL  */
    void *user;
} srv_opts;

/* Listens. Requests are answered with 503 until there is a model. opts and what it points to outlive the handle. */
err_code srv_open(srv **out, const srv_opts *opts, err *e);
uint16_t srv_port(const srv *s);
/* The session must have been opened with srv_yield and the handle; so must that of the model's draft, or NULL. */
err_code srv_start(srv *s, leat_model *model, leat_session *session, leat_session *draft, err *e);
const char *srv_warning(const srv *s); /* of the chat template, once it has started; "" when there is nothing to say */
bool srv_yield(void *handle);
/* Serves the network for at most timeout_ns, then returns. */
void srv_poll(srv *s, uint64_t timeout_ns);
/* The same, and before it computes and answers the request that waits for longest. False when there is nothing to do
 * any more: plat_interrupted, and all requests that came before are answered. */
bool srv_step(srv *s, uint64_t timeout_ns);
void srv_close(srv *s); /* accepts NULL */

#endif
