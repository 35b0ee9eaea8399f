/* console.h: what a person sees and types: the first serial port, the screen and its keyboard, and the log of the
 * kernel.
 *
 * Both outputs show the same; keys of both come in as the bytes that a terminal would send. Everything is polled.
 */
#ifndef LEAT_CONSOLE_H
#define LEAT_CONSOLE_H

#include "base/base.h"

void console_start_serial(void); /* the first thing of all */
void console_start_screen(void); /* after memory; screen and keyboard, where there are any */

/* One line of the log, without its newline: "[0.012] ...". Kept for dmesg; shown unless quiet=1. From any core. */
void console_log(const char *format, ...) PRINTF_LIKE(1, 2);
/* The log as far as it is kept, oldest first: bytes from `at` on. */
size_t console_log_read(size_t at, char *to, size_t bytes);

void console_write(const char *bytes, size_t n);
/* Past all locks, for a machine that is about to stop. */
void console_write_now(const char *bytes, size_t n);
/* Keys that have come; 0 when none. */
size_t console_read(char *to, size_t bytes);
bool console_ready(void);
/* Looks at the devices; part of core 0's idling. Ctrl-C is seen here. */
void console_poll(void);
bool console_interrupted(void);
void console_interrupt_clear(void);
void console_keep_ctrl_c(bool on); /* it is a key like any other, and interrupts nothing */
int console_columns(void);
int console_rows(void);
const char *console_kind(void); /* "serial", "serial and screen" */

#endif
