/* leat.h: the public API. Open a model, make a session, feed tokens, read logits, sample.
 *
 * Handles are opaque. Calls return LEAT_OK (0) or an error code and fill the leat_error given (which may be
 * NULL). Nothing here prints. A model is read-only after open and may be shared by sessions. These are opened by one
 * thread at a time, and each is used by one at a time; where the weights are not mapped, all sessions of a model are.
 */
#ifndef LEAT_H
#define LEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    LEAT_OK = 0,
    LEAT_ARGUMENT,    /* the call made no sense                          */
    LEAT_IO,          /* the machine failed to read or write             */
    LEAT_FORMAT,      /* the file is malformed                           */
    LEAT_UNSUPPORTED, /* well-formed, but leat cannot run it             */
    LEAT_MEMORY,      /* no memory                                       */
    LEAT_LIMIT,       /* a limit was reached: the context is full        */
    LEAT_CANCELLED,   /* the yield hook said stop                        */
    LEAT_INTERNAL,    /* a bug in leat                                   */
} leat_code;

typedef struct leat_error {
    leat_code code;
    const char *where; /* static text                                            */
    char text[256];    /* names the thing, the value seen and the value wanted   */
} leat_error;

const char *leat_version(void); /* "0.1.0 (commit)" */

/* ---- model ---------------------------------------------------------------------------------------- */

typedef struct leat_model leat_model;

typedef struct leat_model_options {
    /* Read the weights into memory instead of mapping the file. Of mapped weights that cannot be read the system tells
     * by SIGBUS: leat's own program makes an error of the step of that, others have to handle it themselves. */
    bool no_map;
    bool map;    /* map the file even if it is larger than the memory: the system pages */
    /* All memory that leat may hold, weights, context and all sessions; no more than is free when the first session is
     * opened, of which leat_model_warning tells. Where the weights do not fit they are streamed: read again and again,
     * within it. 0: what is free then, within the limits of the process, less a sixteenth. */
    uint64_t ram_bytes;
    /* Where weights are streamed: keep which experts are used, per model, and how fast the disk reads, per file system,
     * in the user's state folder, for the next time. */
    bool keep_learnt;
    /* A smaller model with the same tokens, which is to guess for this one: opened with no_map before it and closed
     * after it, and its sessions are opened first. It is held in memory whole, within ram_bytes: read when this one's
     * first session is opened, which fails where it leaves too little. */
    leat_model *draft;
} leat_model_options;

/* Opens a GGUF file (or all parts, given the first). options may be NULL. */
leat_code leat_model_open(leat_model **out, const char *path, const leat_model_options *options, leat_error *error);
/* Where weights are streamed: all memory to hold from now on, at most what it was opened with. Between steps. leat does
 * so by itself when a control group's limit falls and while the machine is short of memory. Numbers stay the same. */
void leat_model_resize(leat_model *model, uint64_t ram_bytes);
/* What leat does by itself before each step, at most once a second, for a program that waits between steps: memory is
 * given back where it has become scarce, and taken again where that is over. Accepts NULL. */
void leat_model_watch(leat_model *model);
/* Sessions must be closed first. Accepts NULL. */
void leat_model_close(leat_model *model);
/* A line for the user, once the first session is open: all that there is to warn of, or "". */
const char *leat_model_warning(const leat_model *model);

int32_t leat_model_n_vocab(const leat_model *model);
int32_t leat_model_n_ctx_train(const leat_model *model); /* context_length of the header */
const char *leat_model_name(const leat_model *model);    /* general.name, or the architecture */
const char *leat_model_architecture(const leat_model *model);
uint64_t leat_model_n_params(const leat_model *model);
uint64_t leat_model_bytes(const leat_model *model);      /* of all tensors */
/* tokenizer.chat_template, or NULL. */
const char *leat_model_chat_template(const leat_model *model);

/* ---- tokens --------------------------------------------------------------------------------------- */

bool leat_has_tokenizer(const leat_model *model);
/* Ids of text[0..bytes). add_bos: what the file asks for (BOS, EOS, CLS, SEP). special: spelled-out control tokens in
 * the text become those tokens. Writes at most cap ids; *count is the full number: bytes + 16 suffice for nearly every
 * text, and of a strange vocabulary there may be several a byte. */
leat_code leat_tokenize(const leat_model *model, const char *text, size_t bytes, bool add_bos, bool special,
                        int32_t *ids, size_t cap, size_t *count, leat_error *error);
/* Bytes of one token in running text, which may be part of a UTF-8 character; control tokens give none unless
 * special. Returns the length; writes at most cap bytes. */
size_t leat_piece(const leat_model *model, int32_t id, bool special, char *buf, size_t cap);
/* Text of n ids. Same cap rule as leat_tokenize. */
leat_code leat_detokenize(const leat_model *model, const int32_t *ids, size_t n, bool special, char *buf, size_t cap,
                          size_t *bytes, leat_error *error);
/* yield is called on the calling thread, every few milliseconds while a long text is made tokens or a conversation a
 * prompt; it returns true to cancel (LEAT_CANCELLED). NULL, as at first: nobody is called. */
void leat_model_yield(leat_model *model, bool (*yield)(void *user), void *user);
bool leat_ends(const leat_model *model, int32_t id); /* end of sequence or of turn */
int32_t leat_bos(const leat_model *model);           /* -1 when there is none */

/* ---- session -------------------------------------------------------------------------------------- */

typedef struct leat_session leat_session;
#define LEAT_CTX_MAX (1 << 24) /* tokens of a context */
#define LEAT_KEPT_MAX 64

/* For measurements: the experts that a layer of a step used. */
typedef struct leat_routed {
    const uint32_t *experts; /* (n_tokens, n_used), each token's largest share first */
    int32_t layer, n_tokens, n_used;
} leat_routed;

/* For measurements: which experts are used, whatever the router says. The token at position p takes in layer l the
 * n_used different experts from experts[((p % n_tokens) * n_layer + l) * n_used] on. */
typedef struct leat_routing {
    const uint16_t *experts; /* (n_tokens, n_layer, n_used); must outlive the session */
    int32_t n_tokens, n_layer, n_used;
} leat_routing;

typedef struct leat_session_options {
    int32_t n_ctx;     /* tokens; 0: the header's, at most 4096 */
    int32_t n_threads; /* 0: one per core this process may use  */
    int32_t n_chunk;   /* prompt tokens a pass; 0: 256, and 512 where they gain by it. No logits depend on it. */
    const char *isa;   /* "scalar", "avx2", "avxvnni", ...; NULL: the best this CPU has */
    /* How keys and values are kept: "f16" "bf16" "q8_0" "q4_0"; NULL: f16. The last two only where heads have a
     * multiple of 32 dimensions. */
    const char *cache_type_k, *cache_type_v;
    bool no_pin;       /* do not bind threads to cores */
    bool importance;   /* sum up what goes into each weight matrix: see leat_importance_at */
    const leat_routing *routing; /* forced on a model with experts, of as many layers; NULL: its own */
    /* Earlier prompts that leat_reuse can go back to, at most LEAT_KEPT_MAX; 0: none. They live in what the context
     * leaves free and in memory for kept_tokens more (-1: as much as the context takes if there is plenty beside the
     * weights, else none); the least lately used make room. */
    int32_t n_kept, kept_tokens;
    /* Called on the calling thread at least once a layer; return true to cancel. May be NULL. */
    bool (*yield)(void *user);
    /* Called for each layer with experts. May be NULL. */
    void (*routed)(void *user, const leat_routed *what);
    void *user;
} leat_session_options;

/* options may be NULL. */
leat_code leat_session_open(leat_session **out, leat_model *model, const leat_session_options *options,
                            leat_error *error);
void leat_session_close(leat_session *session); /* accepts NULL */

int32_t leat_session_n_ctx(const leat_session *session);
int32_t leat_session_length(const leat_session *session); /* tokens fed so far */
const int32_t *leat_session_tokens(const leat_session *session); /* (length): these; valid until the next feed */
const char *leat_session_isa(const leat_session *session);
int32_t leat_session_threads(const leat_session *session);
size_t leat_session_bytes(const leat_session *session);   /* KV cache and scratch */

/* How the weights are held ("mapped: ...", "streaming: ..."): decided when the model's first session is opened. One
 * line; at most cap bytes with the terminating zero; returns buf. */
const char *leat_session_memory(const leat_session *session, char *buf, size_t cap);
/* Since the model was opened. Where the weights are mapped nobody knows more than what is said of the process. */
typedef struct leat_stats {
    uint64_t reads, read_bytes;          /* of weights                                           */
    uint64_t expert_hits, expert_misses; /* wanted experts that were in memory, and were not     */
    uint64_t experts_ahead, experts_ahead_used; /* read before they were chosen; of them, chosen */
    uint64_t stall_ns;                   /* waited for reads with nothing to compute             */
    uint64_t busy_ns;                    /* reads were under way                                 */
    double disk_bytes_s;                 /* the disk's speed as probed; 0: it was not            */
    uint64_t weights_bytes;              /* memory that weights are read into                    */
    uint64_t held_bytes, held_peak_bytes; /* all memory held, mapped files apart                  */
    uint64_t major_faults;               /* of the process: pages that had to be read from a disk */
    uint64_t disk_bytes;                 /* of the process: read from disks, by page faults too; 0: nobody counts */
} leat_stats;
leat_stats leat_session_stats(const leat_session *session);
/* Fresh memory costs page faults, on a virtual machine more than reading does. It is touched beside the first steps;
 * for measurements of streamed weights: waits until all of it has been, and touches the session's. */
void leat_session_await_memory(leat_session *session);

/* What a session like this one would do in so much memory (0: what is free), asked of one whose weights are mapped. */
typedef struct leat_plan {
    bool fits;                             /* all weights: nothing is streamed                              */
    uint64_t ram_bytes, other_bytes;       /* all memory; the part for context, activations, tables, leat    */
    uint64_t weight_bytes;                 /* of the file                                                    */
    int32_t n_dense, n_pinned;             /* layers' dense parts and the output; those that stay in memory  */
    int32_t n_experts, n_slots;            /* experts; those that fit at a time                              */
    uint64_t pinned_bytes, ring_bytes, slot_bytes; /* held: dense for good, dense in turn, experts           */
    uint64_t scan_bytes;                   /* of dense weights that every token reads from disk              */
    uint64_t pool_bytes, routed_bytes;     /* of all experts; of those that one token uses                   */
    float known_hits; /* how often these were in memory, by what keep_learnt kept of other texts; below 0: nothing */
} leat_plan;
/* Prompt tokens a pass (n_chunk) that a session would take by itself in so much memory, were the weights not mapped. */
int32_t leat_plan_chunk(const leat_model *model, uint64_t ram_bytes);
leat_code leat_plan_memory(const leat_session *session, uint64_t ram_bytes, leat_plan *out, leat_error *error);
/* Reads for half a second: bytes a second of direct reads and how many at a time they want; 0 where there are none.
 * With keep_learnt it replaces what is kept. */
leat_code leat_measure_disk(const leat_session *session, double *bytes_s, int32_t *depth, leat_error *error);

/* Prompt tokens are computed many at a time; generated ones by the decode kernels (also several at a time, each as if
 * alone). The choice is part of the numbers: the same tokens in the same roles give the same bits. */
typedef enum { LEAT_PROMPT, LEAT_GENERATED } leat_role;

/* Appends n tokens. Afterwards leat_logits gives the last token's logits. On an error the session is as before the
 * call, up to whole chunks: leat_session_length tells. LEAT_LIMIT when they do not fit in the context. */
leat_code leat_feed(leat_session *session, const int32_t *tokens, size_t n, leat_role role, leat_error *error);
/* The same, with the logits of every token handed to each() in order: logits (n_vocab), valid during the call. each may
 * return false to stop: LEAT_OK, with the rest of that token's chunk fed and no logits afterwards. */
typedef bool leat_logits_fn(void *user, size_t index, const float *logits);
leat_code leat_feed_each(leat_session *session, const int32_t *tokens, size_t n, leat_role role, leat_logits_fn *each,
                         void *user, leat_error *error);
/* (n_vocab) logits of the last token fed, or NULL when nothing was fed since the last rewind or load, or when a feed
 * ended early. */
const float *leat_logits(const leat_session *session);
/* Forgets all but the first n tokens. A model with a sliding window holds little more than the window; where it lacks
 * what the next token sees, these are computed again with the same bits: that takes its time, and after an error fewer
 * are left. */
leat_code leat_rewind(leat_session *session, int32_t n, leat_error *error);

/* Rewinds to what the session and tokens[0..n) have in common, but to n - 1 tokens at most, so that feeding the rest,
 * tokens[*kept..n), gives logits. Common tokens count in either role: what was generated stays as it was computed then.
 * prompt_only: no further than the first generated one, so that all bits are those of a new session; and to nothing,
 * *kept = 0, where leat_rewind would compute. n > 0.
 * With n_kept, a prompt of the session that is not all in common is kept, and one that was kept and has more in common
 * takes its place. */
leat_code leat_reuse(leat_session *session, const int32_t *tokens, size_t n, bool prompt_only, size_t *kept,
                     leat_error *error);

/* Writes what the session holds to a file, with a note of the caller's (any bytes, at most LEAT_NOTE_BYTES_MAX). The
 * file appears whole or not at all. */
#define LEAT_NOTE_BYTES_MAX ((size_t)16 << 20)
leat_code leat_session_save(const leat_session *session, const char *path, const char *note, size_t note_bytes,
                            leat_error *error);
/* Reads it back; the session then goes on, with the same bits, after a rewind of at least one token or a feed.
 * LEAT_UNSUPPORTED: of another model, instruction set or version; LEAT_LIMIT: longer than this context; LEAT_FORMAT:
 * damaged. The session is as before then, or empty when the file broke in its middle. */
leat_code leat_session_load(leat_session *session, const char *path, leat_error *error);
/* The note alone, whatever the model: writes at most cap bytes; *bytes is the full number. */
leat_code leat_saved_note(const char *path, char *buf, size_t cap, size_t *bytes, leat_error *error);

/* ---- chats ----------------------------------------------------------------------------------------- */

/* A model's chat template, ready to render conversations. Used by one thread at a time; the model must outlive it. */
typedef struct leat_chat leat_chat;

/* from: a Jinja template, or the name of a built-in one ("chatml", "llama3", ...); NULL: the file's own. Where the file
 * has none, and where a template needs what leat has not, a built-in one is taken: leat_chat_warning says so. */
leat_code leat_chat_open(leat_chat **out, const leat_model *model, const char *from, leat_error *error);
void leat_chat_close(leat_chat *chat); /* accepts NULL */
/* A line for the user; "" when there is nothing to warn of. A render may add one. */
const char *leat_chat_warning(const leat_chat *chat);

/* A part of the caller's text; NULL: not given. */
typedef struct leat_text {
    const char *at;
    size_t bytes;
} leat_text;

/* JSON in the shapes of OpenAI's chat API. */
typedef struct leat_chat_input {
    leat_text messages;  /* array of {"role", "content", ...}                                   */
    leat_text tools;     /* array; not given: null                                              */
    leat_text variables; /* object: more variables for the template ("enable_thinking", ...)    */
    bool no_prompt;      /* end with the last message; else with what begins an answer          */
    uint64_t now_s;      /* the date that templates are told, since 1970-01-01; 0: the clock's  */
} leat_chat_input;

typedef struct leat_chat_prompt {
    const char *text;
    size_t bytes;
    const int32_t *tokens; /* special tokens parsed, one BOS where the file wants one */
    size_t n_tokens;
    bool reasoning;        /* the answer begins inside its reasoning */
} leat_chat_prompt;

/* *out is valid until the chat's next render. Where `session` (may be NULL) holds other tokens of the same text, those
 * are taken: a model cuts its words otherwise than the tokenizer, and what it wrote need not be computed again.
 * LEAT_ARGUMENT: the template itself refuses these messages, in its own words; LEAT_FORMAT: bad JSON, or a template
 * that is wrong. */
leat_code leat_chat_render(leat_chat *chat, const leat_chat_input *input, const leat_session *session,
                           leat_chat_prompt *out, leat_error *error);

/* An answer parted into reasoning and text, token by token. The tags between the two are not shown, nor are white space
 * beside them and control tokens; an unfinished UTF-8 character may come in two pieces. */
typedef void leat_part_fn(void *user, bool reasoning, const char *bytes, size_t n);
/* Before the first token. reasoning: as the prompt says. Tags are those that the template knows. */
void leat_answer_begin(leat_chat *chat, bool reasoning);
void leat_answer_token(leat_chat *chat, int32_t id, leat_part_fn *put, void *user);
/* Gives what was held back for a tag that did not come; true while still in the reasoning. */
bool leat_answer_end(leat_chat *chat, leat_part_fn *put, void *user);

/* ---- importance ------------------------------------------------------------------------------------ */

/* How much the columns of a weight matrix matter, which is what quantisers want to know. */
typedef struct leat_importance {
    const char *tensor;     /* its name in the file                                              */
    size_t n_in, n_experts; /* columns; matrices in one tensor, 1 where there are no experts     */
    const double *squares;  /* (n_experts, n_in): what each column was multiplied with, squared, summed over tokens */
    const uint64_t *counts; /* (n_experts): the tokens                                           */
} leat_importance;
/* The matrices of a session opened with `importance`, one by one; false past the last one. Sums run from the session's
 * opening (a rewind keeps them; a feed that failed spoils them); they are valid until the next feed. The output matrix,
 * the last one, counts the tokens only whose logits were asked for. */
bool leat_importance_at(const leat_session *session, size_t index, leat_importance *out);

/* ---- sampling ------------------------------------------------------------------------------------- */

typedef struct leat_sampler leat_sampler;

/* The chain: penalties, DRY, top-n-sigma, top-k, typical, top-p, min-p, XTC, temperature. Fill with
 * leat_sampler_defaults first. */
typedef struct leat_sampler_options {
    uint64_t seed;
    float temperature;        /* 0: greedy                          (0.8)  */
    int32_t top_k;            /* 0: off                             (40)   */
    float top_p;              /* 1: off                             (0.95) */
    float min_p;              /* 0: off                             (0.05) */
    float typical_p;          /* 1: off                             (1)    */
    float top_n_sigma;        /* negative: off                      (-1)   */
    float xtc_probability;    /* 0: off                             (0)    */
    float xtc_threshold;      /*                                    (0.1)  */
    int32_t penalty_last_n;   /* tokens looked back on; 0: off      (64)   */
    float repeat_penalty;     /* 1: off                             (1)    */
    float presence_penalty;   /* 0: off                             (0)    */
    float frequency_penalty;  /* 0: off                             (0)    */
    float dry_multiplier;     /* 0: off                             (0)    */
    float dry_base;           /*                                    (1.75) */
    int32_t dry_allowed_length; /*                                  (2)    */
    int32_t dry_penalty_last_n; /* -1: the whole context            (-1)   */
} leat_sampler_options;

void leat_sampler_defaults(leat_sampler_options *options);
/* options may be NULL: the defaults. LEAT_ARGUMENT: one is out of its range. */
leat_code leat_sampler_open(leat_sampler **out, const leat_model *model, const leat_sampler_options *options,
                            leat_error *error);
void leat_sampler_close(leat_sampler *sampler); /* accepts NULL */
/* Remembers a token for the penalties (prompt tokens too, if they should count). */
void leat_sampler_accept(leat_sampler *sampler, int32_t token);
/* Draws a token from logits (n_vocab, unchanged). Does not accept it. */
int32_t leat_sample(leat_sampler *sampler, const float *logits);

/* ---- generating ----------------------------------------------------------------------------------- */

/* Token after token, sampled and fed. What may come is guessed ahead, by a smaller model or from repeats in the text;
 * guesses are computed in one pass and kept only where the sampler draws the same token from its logits, so the text
 * is the same with guesses and without. They are used while they gain time, which is measured all along.
 * After Leviathan et al., "Fast Inference from Transformers via Speculative Decoding" (2022), with drawing in place of
 * their rejection rule. */
typedef struct leat_generator leat_generator;

typedef struct leat_generator_options {
    int32_t n_draft;     /* guesses a pass at most, up to 64; 0: none                                         */
    leat_session *draft; /* of leat_model_options.draft; NULL: what followed the text's last words before */
    bool always;         /* guesses also where they gain nothing                                              */
    bool endless;        /* never draws a token that ends the text                                            */
    /* Draws in place of leat_sample, once for each token and in order: a token of logits (n_vocab), which it leaves as
     * they are. NULL: leat_sample. With guesses a token may be drawn that is never asked for. */
    int32_t (*draw)(void *user, const float *logits);
    void *user;
} leat_generator_options;

/* The session holds a prompt and its logits; until the generator is closed nobody else feeds or rewinds it. The sampler
 * has accepted the prompt. options may be NULL. All given must outlive the generator. */
leat_code leat_generator_open(leat_generator **out, leat_session *session, leat_sampler *sampler,
                              const leat_generator_options *options, leat_error *error);
/* The next token, accepted by the sampler. One that ends the text is handed out too; do not go on after it. LEAT_LIMIT
 * when the context is full, LEAT_IO when a read failed twice. After an error the same call may be tried again: nothing
 * is lost. */
leat_code leat_generate(leat_generator *generator, int32_t *token, leat_error *error);
/* Leaves the session with all tokens that were handed out, but for the last one. Accepts NULL. */
void leat_generator_close(leat_generator *generator);

typedef struct leat_generator_stats {
    uint64_t passes, tokens;   /* through the model; tokens that came of them */
    uint64_t drafted, matched; /* guesses; those that were right              */
    double gain;               /* speed over that without guesses, as measured last; 1 while there are none */
} leat_generator_stats;
leat_generator_stats leat_generator_stats_of(const leat_generator *generator);

#ifdef __cplusplus
}
#endif
#endif
