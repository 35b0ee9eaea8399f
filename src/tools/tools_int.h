/* tools_int.h: what the files of the framework share (tools.c, args.c, output.c, input.c). */
#ifndef LEAT_TOOLS_INT_H
#define LEAT_TOOLS_INT_H

#include "tools/tools.h"

#define TOOLS_OUT_BYTES 16384

struct tools {
    const tools_command *command; /* NULL before one is chosen                 */
    int out_error;                /* first plat_error of standard output, or 0 */
    size_t out_used;
    char out[TOOLS_OUT_BYTES];
};

/* Parses argv[0..argc), which follows the command's name, into values (zeroed, then the defaults). TOOLS_OK,
 * TOOLS_USAGE (reported), or TOOLS_HELPED when --help was asked for and printed. */
#define TOOLS_HELPED (-1)
int args_parse(tools *t, int argc, char **argv, void *values);
void args_help(tools *t);
/* The candidate nearest to `word`, or NULL when none is near: at most a third of its letters differ. Start with
 * *distance = SIZE_MAX and feed one candidate after the other. */
typedef struct args_nearest {
    str word;
    const char *best;
    size_t distance;
} args_nearest;
void args_consider(args_nearest *n, const char *candidate);

#endif
