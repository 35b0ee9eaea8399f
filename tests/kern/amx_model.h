/* amx_model.h: the words of vec_amx.h on memory instead of tiles: what Intel's manual says that the instructions do
 * (Software Developer's Manual, volume 2: LDTILECFG, TILELOADD, TDPBSUD, TDPBF16PS, TILESTORED), faults included.
 */
#ifndef LEAT_AMX_MODEL_H
#define LEAT_AMX_MODEL_H

#include <stdio.h>
#include <stdlib.h>

#include "kern/vec_avx512.h"

typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

static struct {
    bool configured;
    tile_shapes shapes;
    uint8_t b[8][16][64];
} tiles;

static inline void tile_fault(bool wrong, const char *what) {
    if (!wrong) return;
    fprintf(stderr, "tiles: %s\n", what);
    abort();
}

static inline void tile_configure(const tile_shapes *s) {
    _Static_assert(sizeof *s == 64, "as the instruction reads it");
    tile_fault(s->palette != 1 || s->start_row != 0, "palette or first row");
    for (size_t i = 0; i < 14; i++) tile_fault(s->reserved[i] != 0, "reserved bytes");
    for (size_t i = 0; i < 16; i++)
        tile_fault(i < 8 ? s->rows[i] > 16 || s->row_bytes[i] > 64 || !s->rows[i] != !s->row_bytes[i] : s->rows[i] || s->row_bytes[i],
                   "shape");
    tiles.configured = true;
    tiles.shapes = *s;
    memset(tiles.b, 0, sizeof tiles.b);
}
static inline void tile_release(void) { tiles.configured = false; }
static inline void tile_zero(size_t t) {
    tile_fault(!tiles.configured, "no shapes");
    memset(tiles.b[t], 0, sizeof tiles.b[t]);
}
static inline void tile_load(size_t t, const void *from, size_t stride) {
    tile_zero(t);
    for (size_t r = 0; r < tiles.shapes.rows[t]; r++)
        memcpy(tiles.b[t][r], (const char *)from + r * stride, tiles.shapes.row_bytes[t]);
}
static inline void tile_store(size_t t, void *to, size_t stride) {
    tile_fault(!tiles.configured, "no shapes");
    for (size_t r = 0; r < tiles.shapes.rows[t]; r++) memcpy((char *)to + r * stride, tiles.b[t][r], tiles.shapes.row_bytes[t]);
}
static inline void tile_match(size_t sum, size_t x, size_t w) {
    const tile_shapes *s = &tiles.shapes;
    tile_fault(!tiles.configured, "no shapes");
    tile_fault(sum == x || x == w || sum == w, "a tile twice");
    tile_fault(s->rows[sum] != s->rows[x] || s->row_bytes[sum] != s->row_bytes[w] || s->row_bytes[x] != 4 * s->rows[w],
               "shapes do not match");
}
static inline void tile_dot_bytes(size_t sum, size_t x, size_t w) {
    tile_match(sum, x, w);
    for (size_t m = 0; m < tiles.shapes.rows[sum]; m++)
        for (size_t k = 0; k < tiles.shapes.row_bytes[x] / 4u; k++)
            for (size_t n = 0; n < tiles.shapes.row_bytes[sum] / 4u; n++) {
                int32_t d;
                memcpy(&d, &tiles.b[sum][m][4 * n], 4);
                for (size_t i = 0; i < 4; i++) d += (int8_t)tiles.b[x][m][4 * k + i] * tiles.b[w][k][4 * n + i];
                memcpy(&tiles.b[sum][m][4 * n], &d, 4);
            }
}
/* Even and odd products have sums of their own; what is below the normal range is zero, before and after. */
static inline float tile_flush(float x) { return x < 0x1p-126f && x > -0x1p-126f ? 0.0f * x : x; }
static inline float tile_half(const uint8_t *b) { return tile_flush(f32_of_bf16(load_u16(b))); }
static inline void tile_dot_halves(size_t sum, size_t x, size_t w) {
    tile_match(sum, x, w);
    for (size_t m = 0; m < tiles.shapes.rows[sum]; m++)
        for (size_t n = 0; n < tiles.shapes.row_bytes[sum] / 4u; n++) {
            float part[2] = {0, 0}, d;
            for (size_t k = 0; k < tiles.shapes.row_bytes[x] / 4u; k++)
                for (size_t i = 0; i < 2; i++)
                    part[i] = tile_flush(part[i] + tile_half(&tiles.b[x][m][4 * k + 2 * i]) * tile_half(&tiles.b[w][k][4 * n + 2 * i]));
            memcpy(&d, &tiles.b[sum][m][4 * n], 4);
            d = tile_flush(tile_flush(d) + tile_flush(part[0] + part[1]));
            memcpy(&tiles.b[sum][m][4 * n], &d, 4);
        }
}

#endif
