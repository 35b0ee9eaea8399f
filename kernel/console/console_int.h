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
/* The pixels of a row of a cell, the left one highest. Five columns become seven and a gap: the outer strokes are two
 * wide, and one that stands alone; rows are doubled. */
static inline uint32_t font_row(uint8_t glyph, int y) {
    uint32_t bits = font_glyphs[glyph][y / 2], left = bits >> 4 & 1, middle = bits >> 1 & 7, right = bits & 1;
    uint32_t alone = (bits & 0xf) == 4 ? 0x08 : (bits & 0x1c) == 8 ? 0x10 : 0;
    return left * 0xc0 | middle << 3 | alone | right * 0x06;
}

#endif
