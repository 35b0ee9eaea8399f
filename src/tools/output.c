/* output.c: standard output through a buffer, standard error in whole lines, and progress. Next: input.c. */
#include "tools/tools_int.h"

#define REDRAW_NS 100000000u /* a bar moves ten times a second at most                 */
#define LINE_NS 5000000000u  /* where there is no terminal: a line every five seconds */
#define BAR_CELLS 24

void tools_out_flush(tools *t) {
    if (t->out_used && !t->out_error) t->out_error = plat_stdout_write(t->out, t->out_used);
    t->out_used = 0;
}

bool tools_out_closed(const tools *t) { return t->out_error != 0; }

void tools_out_bytes(tools *t, const void *bytes, size_t n) {
    if (n > TOOLS_OUT_BYTES - t->out_used) tools_out_flush(t);
    if (n > TOOLS_OUT_BYTES) {
        if (!t->out_error) t->out_error = plat_stdout_write(bytes, n);
        return;
    }
    memcpy(t->out + t->out_used, bytes, n);
    t->out_used += n;
}

void tools_out(tools *t, const char *format, ...) {
    if (TOOLS_OUT_BYTES - t->out_used <= TOOLS_PIECE_MAX) tools_out_flush(t);
    va_list args;
    va_start(args, format);
    t->out_used += fmt_v(t->out + t->out_used, TOOLS_PIECE_MAX + 1, format, args);
    va_end(args);
}

void tools_out_json_str(tools *t, str s) {
    tools_out(t, "\"");
    for (size_t i = 0; i < s.len;) {
        size_t len;
        uint32_t cp = utf8_decode(s.ptr + i, s.len - i, &len);
        if (cp == UTF8_INVALID) tools_out(t, "\\ufffd");
        else if (cp == '"' || cp == '\\') tools_out(t, "\\%c", (int)cp);
        else if (cp < 0x20) tools_out(t, "\\u%04x", (unsigned)cp);
        else tools_out_bytes(t, s.ptr + i, len);
        i += len;
    }
    tools_out(t, "\"");
}

void tools_out_escaped(tools *t, str s, size_t bytes_max, bool quoted) {
    if (quoted) tools_out(t, "\"");
    str shown = str_cut(s, 0, s.len > bytes_max ? utf8_complete(s.ptr, bytes_max) : s.len);
    for (size_t i = 0, len; i < shown.len; i += len) {
        uint32_t cp = utf8_decode(shown.ptr + i, shown.len - i, &len);
        if (quoted && (cp == '"' || cp == '\\')) tools_out(t, "\\%c", (int)cp);
        else if (cp == '\n') tools_out(t, "\\n");
        else if (cp == '\t') tools_out(t, "\\t");
        else if (cp == UTF8_INVALID || cp < 0x20 || cp == 0x7F) tools_out(t, "\\x%02x", (uint8_t)shown.ptr[i]);
        else if (cp >= 0x80 && cp < 0xA0) tools_out(t, "\\u%04x", (unsigned)cp);
        else tools_out_bytes(t, shown.ptr + i, len);
    }
    if (quoted) tools_out(t, "\"");
    if (shown.len < s.len) tools_out(t, "... (%zu bytes)", s.len);
}

static void err_v(tools *t, const char *format, va_list args) {
    char line[TOOLS_PIECE_MAX + 1];
    tools_out_flush(t);
    size_t n = fmt_v(line, sizeof line, format, args);
    plat_stderr_write(line, n);
}

void tools_err(tools *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    err_v(t, format, args);
    va_end(args);
}

/* The text may quote a file or a command line, which may hold what a terminal obeys: that is not passed on. */
static void complain(tools *t, const char *format, va_list args) {
    char text[TOOLS_PIECE_MAX + 1];
    size_t n = fmt_v(text, sizeof text, format, args);
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7F) text[i] = '?';
    if (t->command) tools_err(t, "leat %s: ", t->command->name);
    else tools_err(t, "leat: ");
    tools_err(t, "%s\n", text);
}

int tools_fail(tools *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(t, format, args);
    va_end(args);
    return TOOLS_FAILED;
}

int tools_fail_text(tools *t, const char *text) { return tools_fail(t, "%s", text); }

int tools_usage(tools *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(t, format, args);
    va_end(args);
    if (t->command) tools_err(t, "`leat %s --help` lists the options\n", t->command->name);
    else tools_err(t, "`leat --help` lists the commands\n");
    return TOOLS_USAGE;
}

const char *tools_name(const tools *t) { return t->command ? t->command->name : ""; }

/* ---- progress -------------------------------------------------------------------------------------- */

void tools_progress_start(tools_progress *p, tools *t, const char *label) {
    bool terminal = plat_is_terminal(2) && !plat_terminal_dumb();
    *p = (tools_progress){.t = t, .label = label, .shown_ns = plat_time_ns(), .terminal = terminal};
}

void tools_progress_show(tools_progress *p, uint64_t done, uint64_t total, const char *format, ...) {
    uint64_t now = plat_time_ns();
    if (p->terminal ? p->drawn && done < total && now - p->shown_ns < REDRAW_NS : now - p->shown_ns < LINE_NS) return;
    char text[128], bar[BAR_CELLS + 1];
    va_list args;
    va_start(args, format);
    fmt_v(text, sizeof text, format, args);
    va_end(args);
    p->shown_ns = now;
    if (!p->terminal) {
        tools_err(p->t, "%s: %llu/%llu %s\n", p->label, (unsigned long long)done, (unsigned long long)total, text);
        return;
    }
    p->drawn = true;
    uint64_t cells = total ? done * BAR_CELLS / total : BAR_CELLS;
    for (uint64_t i = 0; i < BAR_CELLS; i++) bar[i] = i < cells ? '#' : '.';
    bar[BAR_CELLS] = 0;
    tools_err(p->t, "\r\33[K%s [%s] %llu/%llu %s", p->label, bar, (unsigned long long)done, (unsigned long long)total,
              text);
}

void tools_progress_end(tools_progress *p) {
    if (p->drawn) tools_err(p->t, "\r\33[K");
    p->drawn = false;
}
