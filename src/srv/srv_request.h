/* srv_request.h: the body of a request that computes: JSON, checked and with its defaults filled in. Calls nothing of
 * the engine, so that tests/fuzz/fuzz_request.c can link it. */
#ifndef LEAT_SRV_REQUEST_H
#define LEAT_SRV_REQUEST_H

#include "json/json.h"
#include "srv/srv.h"

typedef enum {
    SRV_CHAT,       /* /v1/chat/completions                                            */
    SRV_TEXT,       /* /v1/completions                                                 */
    SRV_NATIVE,     /* /completion, as llama.cpp's server has it                       */
    SRV_TEMPLATE,   /* /apply-template                                                 */
    SRV_COUNT,      /* /v1/chat/completions/input_tokens                               */
    SRV_TOKENIZE,   /* the rest is no request that computes: see srv_route.c           */
    SRV_DETOKENIZE,
    SRV_MODELS,
    SRV_MODEL,
    SRV_HEALTH,
    SRV_METRICS,
    SRV_PROPS,
    SRV_SLOTS,
} srv_kind;

typedef struct srv_request {
    srv_kind kind;
    bool stream, usage;        /* stream_options.include_usage                               */
    bool echo, logprobs, cache, timings, ignore_eos, return_tokens, start_answer, verbose;
    int32_t n, max_tokens;     /* -1: no limit but the context                               */
    int32_t top;               /* likeliest tokens to tell of beside the one taken           */
    leat_sampler_options sampler;
    bool seeded;
    str stops[SRV_STOPS_MAX];
    size_t n_stops;
    str model;                 /* empty: any                                                 */
    const json_value *prompts; /* (n_prompts): see srv_request_prompt                        */
    size_t n_prompts;
    const json_value *messages, *tools, *variables, *bias; /* NULL where there are none      */
} srv_request;

/* What is wrong, or NULL. Static text or text of e; *param is the field. */
typedef struct srv_wrong {
    int status; /* 0: nothing */
    const char *param;
    char text[256];
} srv_wrong;

/* o: zero but for sampler, seeded, max_tokens and verbose, which have their defaults. Views of the body, which must
 * outlive it. */
void srv_request_read(srv_request *o, srv_kind kind, const json_value *body, srv_wrong *wrong);
/* *flag becomes what a field of an object (NULL: none) says, where there is one. */
void srv_request_flag(bool *flag, const json_value *object, const char *key, srv_wrong *wrong);
/* Number i: a string, or an array of ids and strings. */
const json_value *srv_request_prompt(const srv_request *o, size_t i);
/* The settings of an answer as an object: what was asked for, and where nothing was, the defaults. */
void srv_request_settings(json_writer *w, const srv_request *o);

#endif
