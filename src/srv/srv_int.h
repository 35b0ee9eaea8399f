/* srv_int.h: what the files of the server share. */
#ifndef LEAT_SRV_INT_H
#define LEAT_SRV_INT_H

#include "emit/emit.h"
#include "json/json.h"
#include "plat/plat.h"
#include "srv/srv.h"
#include "srv/srv_http.h"
#include "srv/srv_request.h"

/* Bytes that grow in place. Zeroed at its start. */
typedef struct srv_buf {
    arena memory;
    char *at;
    size_t n;
    bool failed; /* it is full, or there is no memory: n tells what was kept */
} srv_buf;
void srv_buf_put(void *buf, const char *bytes, size_t n); /* as json_writer wants it */
void srv_buf_text(srv_buf *b, const char *format, ...) PRINTF_LIKE(2, 3); /* at most 1 KiB */
void srv_buf_empty(srv_buf *b);                           /* gives large memory back */
void srv_buf_close(srv_buf *b);

typedef enum {
    SRV_FREE,
    SRV_READ_HEAD,
    SRV_READ_BODY,
    SRV_QUEUED,  /* a request that computes: it waits   */
    SRV_RUNNING, /* it is being computed                */
    SRV_SEND,    /* the answer is complete: it is sent  */
    SRV_LINGER,  /* it is sent: the client may read it  */
} srv_state;

typedef struct srv_conn {
    plat_stream *stream;
    srv_state state;
    bool gone;       /* the client has hung up */
    bool ended;      /* it sends nothing more, and may have hung up: see ask_if_there */
    uint8_t n_asked, n_early; /* how often it was asked; bytes of the answer's first line that were sent for it */
    uint64_t ask_ns; /* when to ask again */
    bool blocked;    /* an answer could not be sent since since_ns */
    bool keep, bare; /* the connection stays open; the answer has no body (HEAD) */
    bool old, chunked, streaming; /* HTTP/1.0; the request's body in chunks; the answer as a stream of events */
    const struct srv_route *route;
    bool again;                   /* what came ahead can be looked at */
    uint64_t since_ns, asked_ns;  /* the last step of its state; its request came */
    char in[SRV_HEAD_BYTES_MAX]; /* bytes that are not parsed yet */
    size_t n_in;
    uint64_t body_left;
    srv_chunks chunks;
    srv_buf body, out;
    size_t n_sent;
    int status;               /* of the answer */
    char origin[256];         /* that may read the answer, or "" */
    char name[256];           /* the end of a path: a model's id */
} srv_conn;

typedef struct srv_count {
    uint64_t requests, answers_2xx, answers_4xx, answers_5xx, cancelled;
    uint64_t prompt_tokens, cached_tokens, generated_tokens;
    uint64_t prompt_ns, generated_ns;
} srv_count;

struct srv {
    const srv_opts *o;
    plat_stream *listener; /* NULL: nothing more is accepted */
    uint64_t accept_ns; /* not before: the machine had no room for a connection */
    leat_model *model;  /* NULL while it is being loaded */
    leat_session *session, *draft; /* draft: of a smaller model that guesses ahead, or NULL */
    leat_chat *chat, *preview; /* of the job; of what is answered at once while the job has the other. NULL: the
                                * template is of no use */
    srv_conn conns[SRV_CONNS_MAX];
    size_t bodies_bytes;
    srv_conn *queue[SRV_QUEUE_MAX]; /* in order */
    size_t n_queue;
    srv_conn *running;
    uint64_t polled_ns, started_s;
    bool polling;     /* within srv_poll, which is not entered again */
    bool draining, again; /* to end; a connection has more that can be looked at */
    uint32_t last_polls;  /* in which what came before the end is still accepted */
    struct srv_job *job;     /* see below */
    srv_buf json;  /* an answer that is being written; never kept over a yield */
    arena scratch; /* of a request that is answered at once                    */
    rng ids;
    srv_count count;
    char id[256];  /* of the model */
    arena settings;
    json_value variables; /* of o->variables, in settings */
    char warning[320];
};

/* Of one request that is answered at once: its JSON as a tree, tokens, a prompt. */
#define SRV_SCRATCH_BYTES_MAX ((size_t)1 << 30)

/* What a request failed with. */
typedef struct srv_error {
    int status;
    const char *type, *code; /* OpenAI's; code may be NULL */
    const char *param;       /* the field, or NULL         */
    size_t n_prompt, n_ctx;  /* of exceed_context_size_error */
    char text[320];
} srv_error;
/* Fills *e and returns its status, which is not 0. */
int srv_fail(srv_error *e, int status, const char *type, const char *param, const char *format, ...) PRINTF_LIKE(5, 6);
int srv_fail_code(srv_error *e, leat_code code, const char *text); /* what the engine said */

#define SRV_START "HTTP/1.1 " /* of every answer */

/* ---- srv_reply.c: answers as bytes ------------------------------------------------------------------ */

/* The answer of the connection; the body is copied. */
void srv_reply(srv *s, srv_conn *c, int status, const char *type, str body);
void srv_reply_json(srv *s, srv_conn *c, int status); /* what s->json holds */
void srv_reply_buf(srv *s, srv_conn *c, int status, const srv_buf *json); /* what another one does */
void srv_reply_error(srv *s, srv_conn *c, const srv_error *e);
/* An answer in parts: events. */
void srv_stream_start(srv *s, srv_conn *c);
void srv_stream_event(srv *s, srv_conn *c); /* what s->json holds */
void srv_stream_end(srv *s, srv_conn *c, const srv_error *e); /* e: what ended it, or NULL */
/* A writer into s->json, emptied. */
void srv_json(srv *s, json_writer *w);
void srv_json_name(json_writer *w, const char *key);
void srv_json_str(json_writer *w, const char *key, const char *value); /* null for NULL */
void srv_json_int(json_writer *w, const char *key, int64_t value);
void srv_json_bool(json_writer *w, const char *key, bool value);
void srv_json_float(json_writer *w, const char *key, double value);

/* ---- srv_conn.c ------------------------------------------------------------------------------------------- */

void srv_conn_answered(srv *s, srv_conn *c); /* the answer is whole: the connection may go on once it is sent */
void srv_conn_flush(srv *s, srv_conn *c);    /* sends what can be sent now                              */

/* ---- srv_route.c: who answers what -------------------------------------------------------------------------- */

typedef struct srv_route {
    srv_method method;
    const char *path; /* a '*' at its end: the rest of the path is c->name */
    bool open;        /* without a key                                   */
    srv_kind kind;
} srv_route;
/* At the end of a request's head: finds the route. 0, or the status of *e. */
int srv_route_find(srv *s, srv_conn *c, const srv_head *h, srv_error *e);
/* The request is whole: answers it, or puts it in the queue. */
void srv_route_answer(srv *s, srv_conn *c);

/* ---- srv_job.c: requests that compute ------------------------------------------------------------------------ */

typedef struct srv_bias {
    int32_t id;
    float by; /* -infinity: never */
} srv_bias;

/* A token and what the model thought of it; n_top of srv_bias follow: the likeliest tokens and their logprobs. */
typedef struct srv_prob {
    int32_t id;
    float logprob; /* NaN: nothing stands before the token */
    uint32_t n_top;
} srv_prob;

typedef enum { SRV_NOT_YET, SRV_AT_END, SRV_AT_STOP, SRV_AT_LIMIT } srv_finish;

/* The request that is being computed. It gives n answers to each of its prompts. */
typedef struct srv_job {
    arena memory; /* of the request */
    srv_request request;
    srv_conn *conn;
    char id[48];
    int64_t created_s;
    char *piece;   /* of a token */
    float *logits; /* (n_vocab), biased; NULL: there are no biases */
    srv_bias *biases;
    size_t n_biases, n_biases_max;
    leat_sampler *sampler;
    /* the prompt */
    str prompt_text; /* empty where it came as tokens */
    int32_t *prompt; /* (n_prompt) */
    size_t n_prompt, n_cached, n_bos;
    bool reasons;    /* the answer begins inside its reasoning */
    /* the answer */
    size_t index, n_generated, n_chars; /* n_chars: characters before the next token, prompt included where echoed */
    srv_finish finish;
    uint64_t prompt_ns, generated_ns;
    emit out, thinking;
    bool stopped;
    srv_buf text, thoughts, ids, probs; /* of a stream: since the last part */
    size_t told_ids, told_probs;        /* bytes of these up to the last token that text came of */
    bool new_line;
    srv_buf choices;                  /* JSON of the answers before this one */
    size_t all_prompt, all_cached, all_generated;
} srv_job;

void srv_job_close(srv *s);
/* Takes a request into the queue if it makes sense. */
void srv_job_queue(srv *s, srv_conn *c);
void srv_job_forget(srv *s, srv_conn *c); /* its client hung up while it waited */
void srv_job_next(srv *s);                /* computes and answers the first of the queue */

/* Where a request with a body is worked on: at once, or in its turn. */
typedef struct srv_place {
    arena *memory;
    srv_buf *json; /* the answer */
    leat_chat *chat;
} srv_place;
/* What a json_writer fills while the network is served. */
typedef struct srv_sink {
    srv *s;
    srv_buf *to;
    uint32_t puts;
} srv_sink;
void srv_sink_put(void *sink, const char *bytes, size_t n);

/* For all requests; they return 0, or the status of *e. */
int srv_job_body(srv *s, srv_conn *c, arena *a, json_value *out, srv_error *e); /* the JSON of the body */
int srv_job_model(const srv *s, str name, srv_error *e);                  /* that name is the model's, or empty */
bool srv_next_name(str *list, str *name); /* takes the first of names parted by commas off; false at the end */
int srv_job_tokens(srv *s, arena *a, str text, bool bos, bool special, int32_t **ids, size_t *n, srv_error *e);
int srv_chat_prompt(srv *s, srv_error *e);                                /* of the job's request       */
/* SRV_TEMPLATE: the text, SRV_COUNT: its tokens. */
int srv_chat_template(srv *s, srv_kind kind, const json_value *body, const srv_place *at, srv_error *e);
/* The answer to a request with a body that needs no model: SRV_TEMPLATE to SRV_DETOKENIZE. */
int srv_route_work(srv *s, srv_conn *c, const srv_place *at, srv_error *e);
void srv_job_empty(arena *a); /* gives large memory back */

/* ---- srv_answer.c: JSON of answers ------------------------------------------------------------------------------ */

void srv_answer_first(srv *s);  /* of a stream: before the first part of an answer      */
void srv_answer_part(srv *s);   /* of a stream: what came since the last one            */
void srv_answer_end(srv *s);    /* an answer is over                                    */
void srv_answer_whole(srv *s);  /* all are: the usage, or all of what is not a stream   */

#endif
