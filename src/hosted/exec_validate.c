/* exec_validate.c: `leat validate` becomes leat-validate, the program beside this one. Loading a stranger's shared
 * library needs a dynamic linker and libc; leat itself shall need neither. Next: validate.c.
 */
#include "hosted/hosted.h"
#include "hosted/validate_options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The helper's path: this program's folder and another name. */
static bool helper_path(char *path, size_t cap) {
    static const char name[] = "leat-validate";
    ssize_t n = readlink("/proc/self/exe", path, cap);
    if (n <= 0 || (size_t)n >= cap) return false;
    while (n && path[n - 1] != '/') n--;
    if ((size_t)n + sizeof name > cap) return false;
    memcpy(path + n, name, sizeof name);
    return true;
}

static int run(tools *t, const void *values) {
    const validate_values *v = values;
    char path[4096], n_max[16], n_threads[16], nmse[32], no_pin[] = "--no-pin";
    char *args[20];
    size_t n = 0;
    fmt(n_max, sizeof n_max, "%d", v->n_max);
    fmt(n_threads, sizeof n_threads, "%d", v->n_threads);
    fmt(nmse, sizeof nmse, "%.9g", (double)v->nmse_max);
    const struct {
        const char *option, *value;
    } pairs[] = {
        {"-m", v->model}, {"--lib", v->lib}, {"-f", v->text}, {"--ids", v->ids}, {"-n", n_max}, {"--nmse", nmse},
        {"-t", v->n_threads ? n_threads : NULL}, {"--isa", v->isa},
    };
    _Static_assert(2 * COUNT_OF(pairs) + 3 <= COUNT_OF(args), "every option, the flag, the name and the end");
    if (!helper_path(path, sizeof path))
        return tools_fail(t, "this program's own path is not to be had from /proc/self/exe");
    args[n++] = path;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        if (!pairs[i].value) continue;
        memcpy(&args[n++], &pairs[i].option, sizeof *args); /* execv takes char *, and changes nothing */
        memcpy(&args[n++], &pairs[i].value, sizeof *args);
    }
    if (v->no_pin) args[n++] = no_pin;
    args[n] = NULL;
    tools_out_flush(t);
    execv(path, args);
    return tools_fail(t, "%s: %s (this helper is built by `make` and belongs beside leat)", path, strerror(errno));
}

const tools_command hosted_validate = VALIDATE_COMMAND(run);
