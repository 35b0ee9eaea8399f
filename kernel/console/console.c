/* console.c: serial port and screen as one terminal, the keys that came, and the log. Next: serial.c, screen.c,
 * keyboard.c. */
#include <stdatomic.h>

#include "kernel/boot/boot.h"
#include "kernel/console/console_int.h"
#include "kernel/cpu/cpu.h"

#define KEYS 4096       /* powers of two */
#define LOG_BYTES 65536

static char keys[KEYS], log_text[LOG_BYTES];
static size_t keys_in, keys_out, log_in;
static bool quiet, keyboard, keep_ctrl_c;
static atomic_bool interrupted;
static cpu_lock write_lock, log_lock;

/* ---- output -------------------------------------------------------------------------------------- */

static void write_both(const char *bytes, size_t n) {
    /* A terminal on a line wants a carriage return. */
    for (size_t from = 0, at = 0; at <= n; at++) {
        if (at < n && bytes[at] != '\n') continue;
        serial_write(bytes + from, at - from);
        if (at < n) serial_write("\r\n", 2);
        from = at + 1;
    }
    screen_write(bytes, n);
}

void console_write(const char *bytes, size_t n) {
    cpu_lock_take(&write_lock);
    write_both(bytes, n);
    cpu_lock_leave(&write_lock);
}

void console_write_now(const char *bytes, size_t n) { write_both(bytes, n); }

void console_log(const char *format, ...) {
    char line[400];
    va_list args;
    uint64_t ms = cpu_time_ns() / 1000000;
    size_t n = fmt(line, sizeof line, "[%llu.%03llu] ", (unsigned long long)(ms / 1000),
                   (unsigned long long)(ms % 1000));
    va_start(args, format);
    n += fmt_v(line + n, sizeof line - n - 1, format, args);
    va_end(args);
    line[n++] = '\n';
    cpu_lock_take(&log_lock);
    for (size_t i = 0; i < n; i++) log_text[log_in++ % LOG_BYTES] = line[i];
    cpu_lock_leave(&log_lock);
    if (!quiet) console_write(line, n);
}

size_t console_log_read(size_t at, char *to, size_t bytes) {
    cpu_lock_take(&log_lock);
    size_t from = (log_in > LOG_BYTES ? log_in - LOG_BYTES : 0) + at, n = 0;
    for (; n < bytes && from + n < log_in; n++) to[n] = log_text[(from + n) % LOG_BYTES];
    cpu_lock_leave(&log_lock);
    return n;
}

/* ---- input --------------------------------------------------------------------------------------- */

static void key(char c) {
    if (c == 3 && !keep_ctrl_c) {
        interrupted = true;
        return;
    }
    if (keys_in - keys_out < KEYS) keys[keys_in++ % KEYS] = c;
}

void console_start_screen(void) {
    screen_start();
    keyboard = keyboard_start();
    char value[4];
    quiet = boot_option("quiet", 0, value, sizeof value);
    /* What was logged before there was a screen. */
    char text[256];
    size_t n;
    for (size_t at = 0; screen_present() && (n = console_log_read(at, text, sizeof text)); at += n)
        screen_write(text, n);
}

void console_poll(void) {
    char c, sequence[8];
    for (int i = 0; i < 256 && serial_read(&c); i++) key(c);
    for (size_t n; keyboard && (n = keyboard_read(sequence));)
        for (size_t i = 0; i < n; i++) key(sequence[i]);
}

size_t console_read(char *to, size_t bytes) {
    size_t n = 0;
    while (n < bytes && keys_out < keys_in) to[n++] = keys[keys_out++ % KEYS];
    return n;
}

bool console_ready(void) { return keys_in != keys_out; }
bool console_interrupted(void) { return interrupted; }
void console_interrupt_clear(void) { interrupted = false; }
void console_keep_ctrl_c(bool on) { keep_ctrl_c = on; }
int console_columns(void) { return screen_present() ? screen_columns() : 80; }
int console_rows(void) { return screen_present() ? screen_rows() : 24; }

const char *console_kind(void) {
    return serial_present() ? screen_present() ? "serial and screen" : "serial" : screen_present() ? "screen" : "none";
}
