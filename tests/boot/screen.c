/* screen.c: what a picture of the kernel's screen says: a PPM on standard input, its text on standard output, by the
 * font that the kernel draws with. A cell that is no letter of it is shown as U+FFFD, the cursor as what is under it.
 */
#include "kernel/console/console_int.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned width, height;
static unsigned char *pixels; /* (height, width, 3) */

/* Whether a pixel is ink: the paper is the colour that is everywhere, that of the last pixel. */
static bool is_ink(unsigned x, unsigned y) {
    const unsigned char *paper = pixels + 3 * ((size_t)width * height - 1);
    return memcmp(pixels + 3 * ((size_t)y * width + x), paper, 3) != 0;
}

static bool is_glyph(unsigned column, unsigned row, unsigned glyph, uint32_t inverse) {
    for (unsigned y = 0; y < CELL_HEIGHT; y++) {
        uint32_t bits = 0;
        for (unsigned x = 0; x < CELL_WIDTH; x++)
            bits = bits << 1 | is_ink(column * CELL_WIDTH + x, row * CELL_HEIGHT + y);
        if ((bits ^ inverse) != font_row((uint8_t)glyph, (int)y)) return false;
    }
    return true;
}

static const char *read_cell(unsigned column, unsigned row) {
    static char letter[2];
    for (unsigned glyph = 0; glyph + 1 < FONT_GLYPHS; glyph++)
        if (is_glyph(column, row, glyph, 0) || is_glyph(column, row, glyph, 0xff)) {
            letter[0] = (char)(' ' + glyph);
            return letter;
        }
    return "\xef\xbf\xbd";
}

/* Whether no two letters look alike. */
static bool is_legible(void) {
    bool legible = true;
    for (unsigned a = 0; a < FONT_GLYPHS; a++)
        for (unsigned b = 0; b < a; b++) {
            int same = 0;
            for (int y = 0; y < CELL_HEIGHT; y++) same += font_row((uint8_t)a, y) == font_row((uint8_t)b, y);
            if (same == CELL_HEIGHT) printf("%c and %c look alike\n", ' ' + a, ' ' + b), legible = false;
        }
    return legible;
}

int main(void) {
    if (!is_legible()) return 1;
    if (scanf("P6 %u %u 255%*c", &width, &height) != 2 || !width || !height || width > 8192 || height > 8192) return 1;
    size_t bytes = (size_t)width * height * 3;
    pixels = malloc(bytes);
    if (!pixels || fread(pixels, 1, bytes, stdin) != bytes) return 1;
    for (unsigned row = 0; row < height / CELL_HEIGHT; row++) {
        char line[8192 / CELL_WIDTH * 3 + 1];
        size_t n = 0, end = 0;
        for (unsigned column = 0; column < width / CELL_WIDTH; column++) {
            for (const char *c = read_cell(column, row); *c; c++) line[n++] = *c;
            if (line[n - 1] != ' ') end = n;
        }
        printf("%.*s\n", (int)end, line);
    }
    free(pixels);
    return 0;
}
