/* bounds.h: how fast a model could run on this machine. What the machine can do is measured, what a token costs is
 * counted from the file's tensors; their quotient is the bound that `leat bench` holds each figure against.
 */
#ifndef LEAT_TOOLS_BOUNDS_H
#define LEAT_TOOLS_BOUNDS_H

#include "gguf/gguf.h"
#include "kern/kern.h"

/* All threads together. On a shared machine this changes from second to second: a figure is held against looks taken
 * beside it. */
typedef struct bounds_machine {
    int n_threads;
    double read_bytes_s; /* sequential reads of memory too large for the caches; 0: no room for so much */
    double dot_mac_s;    /* int8 multiply-adds a second, in registers                */
    double float_mac_s;  /* float multiply-adds a second, in registers               */
} bounds_machine;
/* Holds a pool and up to 512 MiB. n_threads 0: one per core available. */
typedef struct bounds_probe bounds_probe;
/* With all else that is held it stays within bytes_max (0: no limit) and what is free, for reads of 32 MiB at least:
 * where there is not so much room, no reads are measured. */
err_code bounds_probe_open(bounds_probe **out, const kern *k, int n_threads, bool no_pin, uint64_t bytes_max, err *e);
void bounds_probe_close(bounds_probe *p); /* accepts NULL */
/* Takes about ns, reading only or, for a prompt, mostly multiplying: the means of all passes, which is what others on
 * the machine leave to one who does nothing else. What was not measured stays 0. */
void bounds_mean(bounds_probe *p, bool prompt, uint64_t ns, bounds_machine *out);
/* Takes about ns; the best of several passes, since others may disturb a pass and nobody can speed one up. */
void bounds_look(bounds_probe *p, uint64_t ns, bounds_machine *out);
/* One look of half a second and more, the probe opened and closed. */
err_code bounds_measure(bounds_machine *out, const kern *k, int n_threads, bool no_pin, uint64_t bytes_max, err *e);

#define BOUNDS_LAYERS_MAX 1024

typedef struct bounds_model {
    double read_bytes;        /* weights a generated token reads: all but the input embedding, experts by those used */
    double expert_read_bytes; /* the experts' part of it                                                              */
    double expert_share;      /* experts used of experts there are, for a token                                       */
    uint64_t n_layer, n_expert, n_used;
    uint64_t expert_bytes[BOUNDS_LAYERS_MAX]; /* of one expert, by layer: mixtures of types give them different sizes */
    double dot_macs;          /* a prompt token, quantised weights, without the output matrix                         */
    double float_macs;        /* the same, float weights                                                              */
    double kv_bytes;          /* read for each position that a token attends to                                       */
    double kv_macs;           /* multiply-adds for each of them                                                       */
    double window;            /* positions attended to at most; 0: all                                                */
} bounds_model;
/* With keys and values kept in these types; n_used experts a token, 0: as many as the model says. */
err_code bounds_count(bounds_model *out, const char *path, quant_id type_k, quant_id type_v, uint64_t n_used, err *e);

/* Tokens a second that cannot be beaten: n generated one by one, or fed as a prompt, after `depth` others. 0: no reads
 * were measured. */
double bounds_decode(const bounds_model *m, const bounds_machine *on, int n, int depth);
double bounds_prompt(const bounds_model *m, const bounds_machine *on, int n, int depth);

#endif
