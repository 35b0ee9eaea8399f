/* console.c: the standard streams over kernel/console: lines with an echo, or keys. Both outputs go to the one
 * console. */
#include "plat/bare/bare.h"

#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"

static bool raw;
static char line[1024]; /* typed, and not yet read */
static size_t line_used, line_read;
static bool line_done, ended;

bool plat_interrupted(void) {
    cpu_ask_devices();
    return console_interrupted();
}
void plat_interrupt_clear(void) { console_interrupt_clear(); }

/* One key of a line in the making: Backspace takes a character back, Ctrl-D on an empty line ends the input. */
static void edit(char c) {
    if (c == '\r' || c == '\n') {
        console_write("\n", 1);
        line[line_used++] = '\n';
        line_done = true;
    } else if ((c == 8 || c == 127) && line_used) {
        while (line_used && ((uint8_t)line[--line_used] & 0xc0) == 0x80) {}
        console_write("\b \b", 3);
    } else if (c == 4 && !line_used) {
        line_done = ended = true;
    } else if (((uint8_t)c >= ' ' && c != 127) && line_used + 2 < sizeof line) {
        line[line_used++] = c;
        console_write(&c, 1);
    }
}

static void wait_for_keys(void) {
    while (!console_ready() && !console_interrupted()) cpu_sleep_ns(2000000);
}

int64_t plat_stdin_read(void *to, size_t bytes) {
    if (raw) {
        wait_for_keys();
        size_t n = console_read(to, bytes);
        return n ? (int64_t)n : PLAT_INTERRUPTED;
    }
    while (!line_done) {
        wait_for_keys();
        char c;
        if (console_interrupted()) {
            line_used = 0;
            return PLAT_INTERRUPTED;
        }
        while (!line_done && console_read(&c, 1)) edit(c);
    }
    size_t n = MIN(bytes, line_used - line_read);
    memcpy(to, line + line_read, n);
    line_read += n;
    if (line_read == line_used) line_read = line_used = 0, line_done = ended = false;
    return (int64_t)n;
}

int plat_stdout_write(const void *bytes, size_t n) {
    console_write(bytes, n);
    return PLAT_OK;
}
int plat_stderr_write(const void *bytes, size_t n) { return plat_stdout_write(bytes, n); }

bool plat_is_terminal(int fd) { return fd >= 0 && fd <= 2; }
int plat_terminal_columns(void) { return console_columns(); }
int plat_terminal_rows(void) { return console_rows(); }

bool plat_terminal_dumb(void) { return false; }

bool plat_terminal_colours(void) {
    char value[8];
    return !boot_option("plain", 0, value, sizeof value);
}

int plat_terminal_keys(plat_keys how) {
    raw = how != PLAT_KEYS_LINES;
    console_keep_ctrl_c(how == PLAT_KEYS_BYTES);
    return PLAT_OK;
}

bool plat_stdin_ready(uint64_t timeout_ns) {
    uint64_t from = cpu_time_ns();
    while (!console_ready() && !(line_done && !raw)) {
        uint64_t passed = cpu_time_ns() - from;
        if (passed >= timeout_ns || console_interrupted()) return false;
        cpu_sleep_ns(MIN(timeout_ns - passed, 2000000));
    }
    return true;
}

bool plat_state_path(const char *name, char *buf, size_t cap) {
    (void)name, (void)buf, (void)cap;
    return false;
}
