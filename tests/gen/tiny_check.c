/* tiny_check.c: the generator inside a test. */
#include "check.h"
#include "gen/tiny.h"

void tiny_write(const tiny_spec *s, const char *path) {
    err e;
    CHECK_MSG(tiny_write_err(s, path, &e) == ERR_NONE, "%s: %s", path, e.text);
}
