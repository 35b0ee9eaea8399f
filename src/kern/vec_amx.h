/* vec_amx.h: the words for AMX's tiles (Intel since Sapphire Rapids). The tests have the same words without such a CPU.
 *
 * Eight tiles of up to 16 rows of up to 64 bytes; their shapes are set once for a while. Numbers of tiles are constants.
 */
#ifndef LEAT_VEC_AMX_H
#define LEAT_VEC_AMX_H

#include <immintrin.h>

#include "kern/vec_avx512.h"

/* As LDTILECFG reads it. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* gcc's intrinsics do not say that these instructions read and write memory (of the shapes only 8 bytes): what is at p is
 * written before, and read after. */
#define TILE_FENCE(p) __asm__ volatile("" : : "r"(p) : "memory")
static inline void tile_configure(const tile_shapes *s) {
    TILE_FENCE(s);
    _tile_loadconfig(s);
}
static inline void tile_release(void) { _tile_release(); }
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, from, stride)    \
    do {                              \
        TILE_FENCE(from);             \
        _tile_loadd(t, from, stride); \
    } while (0)
#define tile_store(t, to, stride)    \
    do {                             \
        _tile_stored(t, to, stride); \
        TILE_FENCE(to);              \
    } while (0)
/* sum[m][n] += x[m] . w[n]: signed bytes by unsigned ones, four to a word; pairs of BF16. w lies word by word: its row k has
 * word k of each n. */
#define tile_dot_bytes(sum, x, w) _tile_dpbsud(sum, x, w)
#define tile_dot_halves(sum, x, w) _tile_dpbf16ps(sum, x, w)

#endif
