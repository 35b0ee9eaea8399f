/* screen.c: the firmware's frame buffer as a terminal. */
#include "kernel/boot/boot.h"
#include "kernel/console/console_int.h"

bool screen_present(void) { return false; }
int screen_columns(void) { return 80; }
int screen_rows(void) { return 24; }
void screen_write(const char *bytes, size_t n) { (void)bytes, (void)n; }
void console_start_screen(void) {}
bool keyboard_start(void) { return false; }
size_t keyboard_read(char to[8]) { return (void)to, 0; }
