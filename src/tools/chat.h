/* chat.h: what the files of `leat chat` share.
 */
#ifndef LEAT_TOOLS_CHAT_H
#define LEAT_TOOLS_CHAT_H

#include "emit/emit.h"
#include "tools/chat_line.h"
#include "tools/load.h"

#define CHAT_MESSAGES_MAX 8192
#define CHAT_TIMES_MAX 65536

typedef struct chat_values {
    const char *model, *draft, *system, *prompt, *template, *builtin, *saved, *variables, *isa;
    int32_t n_predict, n_ctx, n_threads, n_draft;
    leat_sampler_options sampler;
    load_cache cache;
    load_memory memory;
    bool no_history, no_pin;
} chat_values;

/* Text that grows. */
typedef struct chat_text {
    arena memory;
    char *at;
    size_t n;
    bool cut; /* no memory for all of it */
} chat_text;

typedef struct chat_message {
    bool assistant;
    str content, reasoning; /* in chat.words */
    size_t mark;            /* of words, before this message */
} chat_message;

typedef struct chat_stats {
    size_t n_prompt, n_kept, n_fed, n_generated;
    leat_generator_stats guesses;
    uint64_t prompt_ns, decode_ns, first_ns;
    uint32_t times_us[CHAT_TIMES_MAX]; /* of each token but the first */
    size_t n_times;
} chat_stats;

typedef struct chat {
    tools *t;
    chat_values o;
    loaded l;
    char path[4096]; /* of its model */
    leat_chat *chat;
    line *line;
    bool interactive, colours;
    bool screen; /* what is shown goes to a terminal */
    arena words;
    chat_text system, json, answer, thought;
    chat_message *messages; /* (CHAT_MESSAGES_MAX) */
    size_t n_messages, n_answers;
    emit out;
    bool dim;  /* what is shown now */
    char last; /* byte shown */
    chat_stats stats;
} chat;

/* chat_talk.c */
err_code chat_talk_text_open(chat_text *text, err *e);
void chat_talk_text_set(chat_text *text, str s);
bool chat_talk_add(chat *c, bool assistant, str content, str reasoning); /* false, reported: no room */
void chat_talk_drop(chat *c);                                            /* the last message */
void chat_talk_clear(chat *c);                                           /* all of them */
void chat_talk_messages_json(chat *c);                                   /* into c->json */
err_code chat_talk_messages_parse(chat *c, str json, err *e);            /* replaces system and messages, or fails */
int chat_talk_render(chat *c, bool prompt, leat_chat_prompt *out);       /* errors are reported */
/* Answers the last message, which is the user's; shows and keeps the answer. TOOLS_INTERRUPTED: Ctrl-C. */
int chat_talk_answer(chat *c);
/* The same on a terminal: Ctrl-C is dealt with, and a message without an answer is taken back. */
void chat_talk_turn(chat *c);
void chat_talk_show(chat *c, str text); /* on a terminal without what it would obey */
void chat_talk_say(chat *c, const char *format, ...) PRINTF_LIKE(2, 3); /* a dim line */

/* chat_commands.c: a line that begins with a slash. True when the chat ends. */
bool chat_commands_run(chat *c, str text);
int chat_commands_load(chat *c, const char *path);

/* chat.c */
int chat_open_model(chat *c, const char *path); /* in place of the one that is open; errors are reported */

#endif
