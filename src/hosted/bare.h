/* bare.h: the commands that only the bare machine has, and the model that its console holds. */
#ifndef LEAT_HOSTED_BARE_H
#define LEAT_HOSTED_BARE_H

#include "tools/tools.h"

/* Most of them take one word, or none. */
typedef struct bare_word {
    const char *word; /* NULL: none */
} bare_word;

#define BARE_COMMAND(name_, summary_) {.name = #name_, .summary = summary_, .usage = "", .run = name_##_run}
#define BARE_COMMAND_WORD(name_, word_, summary_, help_)                                                               \
    {.name = #name_, .summary = summary_, .usage = "[" word_ "]", .n_options = 1, .values_bytes = sizeof(bare_word),   \
     .options = (const tools_option[]){TOOLS_ROW(TOOLS_KIND_STR, bare_word, word, const char *, 0, "word", word_,      \
                                                 help_, .bare = true)},                                                \
     .run = name_##_run}
#define BARE_COMMAND_OPTIONS(name_, usage_, T, options_, defaults_, summary_)                                          \
    {.name = #name_, .summary = summary_, .usage = usage_, .n_options = COUNT_OF(options_), .options = options_,       \
     .values_bytes = sizeof(T), .defaults = defaults_, .run = name_##_run}

/* Of bare_machine.c, bare_models.c, bare_disks.c, bare_net.c; after the last one a row of zeros. */
extern const tools_command bare_machine_commands[], bare_model_commands[], bare_disk_commands[], bare_net_commands[];

/* The model that commands take when none is named; "" without one. */
const char *bare_model_now(void);
/* At start: the first model there is, if there is one. */
void bare_model_first(void);
/* Whether a word names a file that is there. */
bool bare_is_file(const char *word);

#endif
