/* screen.c: the firmware's frame buffer as a terminal of 8 by 16 cells: text in UTF-8, and of the control sequences
 * those that line editing, progress bars and coloured text use. Others are swallowed. Next: font_tables.c.
 */
#include "kernel/boot/boot.h"
#include "kernel/console/console_int.h"
#include "kernel/memory/memory.h"

enum { COLUMNS_MAX = 512, ROWS_MAX = 256, PARAMETERS_MAX = 4 };

typedef struct cell {
    uint8_t glyph, colour;
} cell;

static volatile uint32_t *pixels;
static uint32_t stride, palette[8];
static int columns, rows, column, row; /* column may be `columns`: the line is full, and not yet wrapped */
static uint8_t colour = 7;
/* What is shown: frame buffers are slow to read, so a line that scrolls is drawn anew where it differs. */
static cell shown[ROWS_MAX][COLUMNS_MAX];
/* Of a sequence or a character in the making. */
static enum { TEXT, ESCAPE, CONTROL } state;
static int parameters[PARAMETERS_MAX], n_parameters;
static char partial[4];
static size_t partial_used;

bool screen_present(void) { return pixels; }
int screen_columns(void) { return columns; }
int screen_rows(void) { return rows; }

/* ---- drawing ------------------------------------------------------------------------------------- */

static void draw(int r, int c, bool inverse) {
    cell at = shown[r][c];
    uint32_t ink = palette[at.colour], paper = palette[0];
    volatile uint32_t *to = pixels + (size_t)r * CELL_HEIGHT * stride + (size_t)c * CELL_WIDTH;
    for (int y = 0; y < CELL_HEIGHT; y++, to += stride) {
        uint32_t bits = font_row(at.glyph, y);
        for (int x = 0; x < CELL_WIDTH; x++)
            to[x] = ((bits >> (CELL_WIDTH - 1 - x) & 1) != 0) != inverse ? ink : paper;
    }
}

static void put(int r, int c, cell what) {
    if (shown[r][c].glyph == what.glyph && shown[r][c].colour == what.colour) return;
    shown[r][c] = what;
    draw(r, c, false);
}

static void clear(int r, int from, int to) {
    for (int c = from; c < to; c++) put(r, c, (cell){0, 7});
}

static void next_line(void) {
    if (++row < rows) return;
    row = rows - 1;
    for (int r = 0; r + 1 < rows; r++)
        for (int c = 0; c < columns; c++) put(r, c, shown[r + 1][c]);
    clear(rows - 1, 0, columns);
}

/* ---- text ---------------------------------------------------------------------------------------- */

/* The nearest glyph of what texts hold beside ASCII. */
static uint8_t glyph_of(uint32_t cp) {
    static const struct {
        uint16_t cp;
        char as;
    } like[] = {{0xa0, ' '},    {0xb7, '.'},    {0xd7, 'x'},    {0x2010, '-'}, {0x2011, '-'}, {0x2013, '-'},
                {0x2014, '-'},  {0x2018, '\''}, {0x2019, '\''}, {0x201c, '"'}, {0x201d, '"'}, {0x2022, '*'},
                {0x2026, '.'},  {0x2212, '-'},  {0x2500, '-'},  {0x2502, '|'}};
    static const char latin[] = "AAAAAAACEEEEIIIIDNOOOOOxOUUUUYTsaaaaaaaceeeeiiiidnooooo/ouuuuyty"; /* from U+00C0 on */
    _Static_assert(sizeof latin == 65, "one for each of U+00C0 to U+00FF");
    if (cp >= ' ' && cp <= '~') return (uint8_t)(cp - ' ');
    if (cp >= 0xc0 && cp <= 0xff) return (uint8_t)(latin[cp - 0xc0] - ' ');
    for (size_t i = 0; i < COUNT_OF(like); i++)
        if (like[i].cp == cp) return (uint8_t)(like[i].as - ' ');
    return FONT_GLYPHS - 1;
}

static void put_character(uint32_t cp) {
    if (column >= columns) {
        column = 0;
        next_line();
    }
    put(row, column++, (cell){glyph_of(cp), colour});
}

static void put_byte(char c) {
    partial[partial_used++] = c;
    size_t len;
    uint32_t cp = utf8_decode(partial, partial_used, &len);
    if (cp == UTF8_INVALID && partial_used < 4 && !utf8_complete(partial, partial_used)) return;
    partial_used = 0;
    put_character(cp == UTF8_INVALID ? 0xfffd : cp);
}

/* ---- control sequences --------------------------------------------------------------------------- */

static void set_colours(void) {
    for (int i = 0; i < MAX(n_parameters, 1); i++) {
        int p = i < n_parameters ? parameters[i] : 0;
        if (p >= 30 && p <= 37) colour = p == 30 ? 8 - 1 : (uint8_t)(p - 30);
        else if (p == 0 || p == 39) colour = 7;
    }
}

/* ESC [ parameters LETTER */
static void obey(char letter) {
    int n = n_parameters && parameters[0] ? parameters[0] : 1, mode = n_parameters ? parameters[0] : 0;
    int c = MIN(column, columns - 1);
    switch (letter) {
    case 'A': row = MAX(row - n, 0); break;
    case 'B': row = MIN(row + n, rows - 1); break;
    case 'C': column = MIN(c + n, columns - 1); break;
    case 'D': column = MAX(c - n, 0); break;
    case 'G': column = MIN(n, columns) - 1; break;
    case 'H':
        row = MIN(n, rows) - 1;
        column = n_parameters > 1 && parameters[1] ? MIN(parameters[1], columns) - 1 : 0;
        break;
    case 'K': clear(row, mode ? 0 : c, mode == 1 ? c + 1 : columns); break;
    case 'J':
        if (mode == 0) clear(row, c, columns);
        for (int r = mode == 2 ? 0 : row + 1; r < rows; r++) clear(r, 0, columns);
        break;
    case 'm': set_colours(); break;
    default: break;
    }
}

/* State machine over bytes. */
static void take(char c) {
    if (state == ESCAPE) {
        state = c == '[' ? CONTROL : TEXT;
        n_parameters = 0;
        memset(parameters, 0, sizeof parameters);
    } else if (state == CONTROL) {
        if (c >= '0' && c <= '9') {
            n_parameters = MAX(n_parameters, 1);
            int *p = &parameters[n_parameters - 1];
            *p = MIN(*p * 10 + (c - '0'), 9999);
        } else if (c == ';') {
            n_parameters = MIN(MAX(n_parameters, 1) + 1, PARAMETERS_MAX);
        } else if (c >= '@') {
            state = TEXT;
            obey(c);
        }
    } else if (c == 27) {
        state = ESCAPE;
    } else if (c == '\n') {
        column = 0;
        next_line();
    } else if (c == '\r') {
        column = 0;
    } else if (c == '\b') {
        column = MAX(MIN(column, columns - 1) - 1, 0);
    } else if (c == '\t') {
        do put_character(' ');
        while (column % 8 && column < columns);
    } else if ((uint8_t)c >= ' ') {
        put_byte(c);
    }
}

void screen_write(const char *bytes, size_t n) {
    if (!pixels) return;
    if (column < columns) draw(row, column, false); /* the cursor goes */
    for (size_t i = 0; i < n; i++) take(bytes[i]);
    if (column < columns) draw(row, column, true);
}

void screen_start(void) {
    const boot_screen *s = &boot.screen;
    char value[16];
    if (!s->start || s->bits != 32 || boot_option("no-screen", 0, value, sizeof value)) return;
    columns = MIN((int)s->width / CELL_WIDTH, COLUMNS_MAX);
    rows = MIN((int)s->height / CELL_HEIGHT, ROWS_MAX);
    stride = s->pitch_bytes / 4;
    if (columns < 20 || rows < 4 || stride < s->width) return;
    /* black, red, green, yellow, blue, magenta, cyan, white */
    static const uint8_t rgb[8][3] = {{16, 18, 24},    {240, 100, 90},  {120, 210, 120}, {230, 200, 100},
                                      {110, 160, 250}, {220, 130, 220}, {100, 210, 220}, {222, 222, 216}};
    for (int i = 0; i < 8; i++)
        palette[i] = (uint32_t)rgb[i][0] << s->red_shift | (uint32_t)rgb[i][1] << s->green_shift |
                     (uint32_t)rgb[i][2] << s->blue_shift;
    pixels = memory_map_screen(s->start, (size_t)s->pitch_bytes * s->height);
    for (uint32_t y = 0; y < s->height; y++)
        for (uint32_t x = 0; x < s->width; x++) pixels[(size_t)y * stride + x] = palette[0];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) shown[r][c] = (cell){0, 7};
}
