/* console_int.h: between the files of kernel/console. */
#ifndef LEAT_CONSOLE_INT_H
#define LEAT_CONSOLE_INT_H

#include "kernel/console/console.h"

bool serial_present(void);
void serial_write(const char *bytes, size_t n);
bool serial_read(char *byte);

void screen_start(void);
bool screen_present(void);
void screen_write(const char *bytes, size_t n);
int screen_columns(void), screen_rows(void);

bool keyboard_start(void); /* false where there is none */
/* What the keys pressed since send: at most 8 bytes at a time; 0 when none. */
size_t keyboard_read(char to[8]);

#define FONT_GLYPHS 96
extern const uint8_t font_glyphs[FONT_GLYPHS][8];

#endif
