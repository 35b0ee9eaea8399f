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
enum { CELL_WIDTH = 8, CELL_HEIGHT = 16 };
extern const uint8_t font_glyphs[FONT_GLYPHS][8];
/* The pixels of a row of a cell, the left one highest: rows are doubled, five columns become seven pixels and a gap.
 * Outer columns are two pixels wide, and so are inner ones where a stroke ends that has room at its right. */
static inline uint32_t font_row(uint8_t glyph, int y) {
    uint32_t bits = font_glyphs[glyph][y / 2], inner = bits & 0xe, ends = inner & ~(bits << 1) & ~(bits << 2);
    return (bits >> 4 & 1) * 0xc0 | inner << 2 | ends << 1 | (bits & 1) * 0x06;
}

#endif
