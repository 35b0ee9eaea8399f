/* err.c: errors as values, and the end of the process for our own bugs. */
#include "base/base.h"

err_code err_set(err *e, err_code code, const char *where, const char *format, ...) {
    if (!e) return code;
    va_list args;
    va_start(args, format);
    e->code = code;
    e->where = where;
    fmt_v(e->text, sizeof e->text, format, args);
    va_end(args);
    return code;
}

const char *err_name(err_code code) {
    static const char *const names[] = {"no error",    "bad argument", "input or output failed",
                                        "bad format",  "unsupported",  "out of memory",
                                        "limit reached", "cancelled",  "internal error"};
    return (size_t)code < COUNT_OF(names) ? names[code] : "unknown error";
}

void (*assert_hook)(const char *text);

_Noreturn void assert_failed(const char *cond, const char *file, int line) {
    char text[512];
    fmt(text, sizeof text, "%s:%d: assertion failed: %s", file, line, cond);
    if (assert_hook) assert_hook(text);
    __builtin_trap();
}
