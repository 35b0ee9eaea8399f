/* kern_tiles.h: panels times activations by products of tiles (template of a level with the words of vec_amx.h).
 *
 * Bytes: a tile gives the integer sums of 16 activations by 16 rows over a unit or a block; those of a few blocks go to memory,
 * whence the arithmetic of kern_panel.h takes them as if dot products had made them: the bits are those of AVX-512.
 *
 * Floats: a float is the sum of three BF16 of 8 bits each, without rounding; a weight of F16 of two, one of BF16 is itself.
 * Of their products those are added that matter to a float: the sums are as exact as those of fused multiply-adds, in
 * other bits (Henry, Tang, Heinecke 2019, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
 * Computations"). What the tiles take for zero is below 2^-126.
 */
#ifndef LEAT_KERN_TILES_H
#define LEAT_KERN_TILES_H

#define TILE 16       /* activations, and rows, of a tile of sums */
#define TILE_BLOCKS 4 /* whose sums stay in L1 */
#define TILE_PARTS 3  /* of a float */
#define TILE_DEPTH 32 /* columns of a tile of parts */

/* The panel comes first. */
typedef struct tile_scratch {
    kern_panel p;
    union {
        struct {
            _Alignas(64) int8_t x[TILE_BLOCKS][TILE][KERN_ACT8_LEN];
            int32_t dots[TILE_BLOCKS][2][KERN_PANEL_SUBS][TILE][16]; /* by unit; those of a whole block are its first */
            size_t first; /* activation of the next tile of kern_panel.h, of the 16 */
        };
        struct {
            uint16_t x_parts[KERN_PANEL_FLOAT_DEPTH / TILE_DEPTH][TILE_PARTS][TILE][TILE_DEPTH];
            uint16_t w_parts[KERN_PANEL_FLOAT_DEPTH / TILE_DEPTH][TILE_PARTS][KERN_PANEL_SUBS][TILE][TILE_DEPTH];
            float floats[KERN_PANEL_SUBS][TILE][16];
        };
    };
} tile_scratch;
#define TILE_MORE_BYTES (sizeof(tile_scratch) - sizeof(kern_panel))

/* Tiles 0 to sums - 1 are sums, those from acts to acts_end - 1 activations, the others weights; n words of a row at a time. */
static void shapes_of(uint8_t sums, uint8_t acts, uint8_t acts_end, uint8_t n) {
    _Alignas(64) tile_shapes s = {.palette = 1};
    for (uint8_t i = 0; i < 8; i++) {
        bool is_act = i >= acts && i < acts_end;
        s.rows[i] = i < sums || is_act ? TILE : n;
        s.row_bytes[i] = is_act ? (uint16_t)(4 * n) : 64;
    }
    tile_configure(&s);
}

/* ---- bytes ------------------------------------------------------------------------------------------------ */

/* Of 16 activations and n blocks from `at` on. Whole: both units of a block have one sum. */
KERN_OUTLINE void tile_dots(tile_scratch *s, const kern_act8 *const x[TILE], size_t at, size_t n, bool whole) {
    const size_t near = sizeof s->p.q[0];
    for (size_t b = 0; b < n; b++)
        for (size_t i = 0; i < TILE; i++) memcpy(s->x[b][i], x[i][at + b].q, KERN_ACT8_LEN);
    for (size_t b = 0; b < n; b++)
        for (size_t u = 0; u < (whole ? 1 : 2); u++) {
            uint8_t(*w)[64] = s->p.q[8 * (at + b) + 4 * u];
            tile_load(6, s->x[b][0] + KERN_UNIT * u, KERN_ACT8_LEN);
            tile_zero(0);
            tile_load(4, w[0], near);
            tile_dot_bytes(0, 6, 4);
            tile_store(0, s->dots[b][u][0], 64);
            tile_zero(1);
            tile_load(5, w[1], near);
            tile_dot_bytes(1, 6, 5);
            tile_store(1, s->dots[b][u][1], 64);
        }
}
_Static_assert(KERN_PANEL_SUBS == 2, "a tile of weights for each");
_Static_assert(TILE_BLOCKS % KERN_PANEL_GROUP == 0, "whole groups");

KERN_INLINE void panel_steps(vi sum[][VEC_SUBS], const kern_panel *p, size_t sub, size_t block, size_t from, size_t n,
                             const kern_act8 *const *x, size_t n_tok, format f) {
    (void)n;
    (void)x;
    (void)f;
    const tile_scratch *s = (const tile_scratch *)p;
    for (size_t t = 0; t < n_tok; t++)
        for (size_t i = 0; i < VEC_SUBS; i++)
            sum[t][i] = vi_add(sum[t][i], vb_load(s->dots[block % TILE_BLOCKS][from / 4][sub + i][s->first + t]));
}

#include "kern/kern_panel.h"

/* What is missing of 16 activations is copies of the last; their sums are in excess. */
KERN_OUTLINE void multiply_tiles(kern_panel *p, const kern_act8 *const *acts, size_t n, size_t n_blocks,
                                 float (*sums)[KERN_PANEL_SUBS][16], kern_tiler *tiler, bool whole) {
    tile_scratch *s = (tile_scratch *)p;
    shapes_of(4, 6, 8, whole ? 8 : 4);
    for (size_t t = 0; t < n; t += TILE) {
        const kern_act8 *x[TILE];
        for (size_t i = 0; i < TILE; i++) x[i] = acts[MIN(t + i, n - 1)];
        for (size_t at = 0; at < n_blocks; at += TILE_BLOCKS) {
            size_t here = MIN(n_blocks - at, (size_t)TILE_BLOCKS);
            tile_dots(s, x, at, here, whole);
            for (s->first = 0; s->first < TILE && t + s->first < n; s->first += VEC_TOKENS)
                for (size_t sub = 0; sub < KERN_PANEL_SUBS; sub += VEC_SUBS)
                    tiler(p, sub, at, at + here, (const void *const *)x + s->first, sums + t + s->first);
        }
    }
    tile_release();
}
_Static_assert(TILE % VEC_TOKENS == 0 && VEC_TOKENS <= KERN_PANEL_EXCESS, "sums in excess have a place");

#define TILES(group, acts, has_min, top)                                                                                \
    TILER(tiler_##group##_##acts##_##has_min##_##top, VEC_TOKENS, group, acts, has_min, top)                            \
    static void multiply_##group##_##acts##_##has_min##_##top(kern_panel *p, const kern_act8 *const *x, size_t n,       \
                                                              size_t n_blocks, float (*sums)[KERN_PANEL_SUBS][16]) {    \
        multiply_tiles(p, x, n, n_blocks, sums, tiler_##group##_##acts##_##has_min##_##top, group >= 32 && acts == 32); \
    }
KERN_KINDS(TILES)

/* For the bench: sums of TILE by TILE, `columns` a product. */
#define TILE_PEAK(name, dot, columns)           \
    static uint64_t name(uint64_t rounds) {     \
        _Alignas(64) uint8_t some[TILE][64] = {{0}}; \
        shapes_of(4, 6, 8, 16);                 \
        tile_load(4, some, 64);                 \
        tile_load(6, some, 64);                 \
        for (uint64_t i = 0; i < rounds; i++) { \
            dot(0, 6, 4);                       \
            dot(1, 6, 4);                       \
            dot(2, 6, 4);                       \
            dot(3, 6, 4);                       \
        }                                       \
        tile_release();                         \
        return rounds * 4 * TILE * TILE * (columns); \
    }
TILE_PEAK(byte_peak, tile_dot_bytes, 64)

/* ---- floats ------------------------------------------------------------------------------------------------- */

/* The upper halves of the words are BF16: cut off, not rounded, so that each difference is exact. */
KERN_INLINE void split(vf x, vi parts[TILE_PARTS]) {
    for (size_t i = 0; i < TILE_PARTS; i++) {
        parts[i] = vb_and(vi_of_bits(x), vi_set((int32_t)0xffff0000));
        x = vf_sub(x, vf_of_bits(parts[i]));
    }
}

/* n_in columns of 16 activations from t on, to tiles: a row each. */
static void split_acts(tile_scratch *s, const float *const *acts, size_t t, size_t n, size_t n_in) {
    for (size_t i = 0; i < TILE; i++) {
        const float *x = acts[MIN(t + i, n - 1)];
        for (size_t at = 0; at < n_in; at += 16) {
            vi parts[TILE_PARTS];
            split(vf_load(x + at), parts);
            for (size_t k = 0; k < TILE_PARTS; k++)
                vi_store_high(s->x_parts[at / TILE_DEPTH][k][i] + at % TILE_DEPTH, parts[k]);
        }
    }
}

/* A panel to tiles: columns by pairs, 16 rows side by side. Returns how many of the parts are not zero throughout. */
static size_t split_weights(tile_scratch *s, size_t n_in) {
    vi any[TILE_PARTS];
    for (size_t k = 0; k < TILE_PARTS; k++) any[k] = vi_set(0);
    for (size_t at = 0; at < align_up(n_in, TILE_DEPTH); at += 2)
        for (size_t sub = 0; sub < KERN_PANEL_SUBS; sub++) {
            vi even[TILE_PARTS], odd[TILE_PARTS];
            split(at < n_in ? vf_load(s->p.f[at][sub]) : vf_set(0), even);
            split(at + 1 < n_in ? vf_load(s->p.f[at + 1][sub]) : vf_set(0), odd);
            for (size_t k = 0; k < TILE_PARTS; k++) {
                any[k] = vb_or_and(vb_or_and(any[k], even[k], vi_set(-1)), odd[k], vi_set(-1));
                vb_store(s->w_parts[at / TILE_DEPTH][k][sub][at % TILE_DEPTH / 2], vi_high_pairs(even[k], odd[k]));
            }
        }
    size_t n = TILE_PARTS;
    while (n > 1 && vi_is_zero(any[n - 1])) n--;
    return n;
}

/* Small products first. Tiles 2, 3, 4 have the parts of the activations, 5, 6, 7 those of weights. */
#define ADD_PARTS(sum, w, n_parts)                           \
    do {                                                     \
        tile_load(5, (w)[0][sum], 4 * TILE);                 \
        if (n_parts > 1) tile_load(6, (w)[1][sum], 4 * TILE); \
        if (n_parts > 2) tile_load(7, (w)[2][sum], 4 * TILE); \
        if (n_parts > 2) tile_dot_halves(sum, 2, 7);         \
        if (n_parts > 1) tile_dot_halves(sum, 3, 6);         \
        tile_dot_halves(sum, 4, 5);                          \
        if (n_parts > 1) tile_dot_halves(sum, 2, 6);         \
        tile_dot_halves(sum, 3, 5);                          \
        tile_dot_halves(sum, 2, 5);                          \
    } while (0)

/* The sums of a panel start at zero and are added to those before at its end, as elsewhere. */
static void multiply_floats(kern_panel *p, const float *const *acts, size_t n, size_t n_in, float (*sums)[KERN_PANEL_SUBS][16]) {
    tile_scratch *s = (tile_scratch *)p;
    size_t n_parts = split_weights(s, n_in), depth = align_up(n_in, TILE_DEPTH);
    shapes_of(2, 2, 5, 16);
    for (size_t t = 0; t < n; t += TILE) {
        split_acts(s, acts, t, n, depth);
        tile_zero(0);
        tile_zero(1);
        for (size_t k = 0; k < depth / TILE_DEPTH; k++) {
            tile_load(2, s->x_parts[k][0], 64);
            tile_load(3, s->x_parts[k][1], 64);
            tile_load(4, s->x_parts[k][2], 64);
            ADD_PARTS(0, s->w_parts[k], n_parts);
            ADD_PARTS(1, s->w_parts[k], n_parts);
        }
        tile_store(0, s->floats[0], 64);
        tile_store(1, s->floats[1], 64);
        for (size_t i = 0; i < TILE && t + i < n; i++)
            for (size_t sub = 0; sub < KERN_PANEL_SUBS; sub++)
                vf_store(sums[t + i][sub], vf_add(vf_load(sums[t + i][sub]), vf_load(s->floats[sub][i])));
    }
    tile_release();
}

TILE_PEAK(part_peak, tile_dot_halves, TILE_DEPTH)
/* A product of a BF16 and a float is three. */
static uint64_t float_peak(uint64_t rounds) { return part_peak(rounds) / 3; }

static const kern_bytes bytes = {.multiply = {KERN_FORMATS(ENTRY_MULTIPLY)}, .peak = byte_peak};
static const kern_floats floats = {.multiply = multiply_floats, .peak = float_peak};

#endif
