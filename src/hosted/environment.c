/* environment.c: LEAT_* of the environment as options of `leat serve`. Services are set up that way; the core has no
 * environment. They are put before those of the command line, which win.
 */
#include "hosted/hosted.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

char **hosted_environment(int *argc, char **argv) {
    const tools_command *c = &tools_serve;
    if (*argc < 2 || strcmp(argv[1], c->name)) return argv;
    static char **all; /* so that leak checkers see that it is held */
    all = calloc((size_t)*argc + c->n_options + 1, sizeof *all);
    if (!all) return argv;
    int n = 0;
    all[n++] = argv[0];
    all[n++] = argv[1];
    for (size_t i = 0; i < c->n_options; i++) {
        const tools_option *o = &c->options[i];
        char name[64] = "LEAT_";
        for (size_t k = 0; o->name[k] && k + 6 < sizeof name; k++)
            name[5 + k] = o->name[k] == '-' ? '_' : (char)toupper((unsigned char)o->name[k]);
        const char *value = getenv(name);
        bool flag = o->kind == TOOLS_KIND_FLAG;
        if (o->bare || !value || !*value || (flag && strcmp(value, "1"))) continue;
        size_t bytes = strlen(o->name) + strlen(value) + 4;
        char *word = malloc(bytes);
        if (!word) return argv;
        snprintf(word, bytes, flag ? "--%s" : "--%s=%s", o->name, value);
        all[n++] = word;
    }
    for (int i = 2; i < *argc; i++) all[n++] = argv[i];
    *argc = n;
    return all;
}
