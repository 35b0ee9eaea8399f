/* bare_prompt.h: the console, and what it wants of the machine it is on. */
#ifndef LEAT_HOSTED_BARE_PROMPT_H
#define LEAT_HOSTED_BARE_PROMPT_H

#include "tools/tools.h"

typedef struct bare_home {
    bool (*option)(const char *key, size_t nth, char *value, size_t cap); /* KEY=VALUE of the configuration */
    const tools_command *const *commands;                                 /* beside those of tools_main */
    size_t n_commands;
    const char *(*model)(void);        /* what commands take when none is named; "" without one */
    bool (*is_file)(const char *word); /* whether a word names a file that is there */
} bare_home;

/* Runs the commands of all run= options; the status of the first one that failed. */
int bare_prompt_options(const bare_home *h);
_Noreturn void bare_prompt_stay(const bare_home *h);

#endif
