/* encode_iq3.h: IQ3_XXS and IQ3_S: words of four weights, eight levels. The search is in encode_grid.h, the layouts in
 * quant_unpack.h.
 */
#ifndef LEAT_ENCODE_IQ3_H
#define LEAT_ENCODE_IQ3_H

#include "quant/encode_grid.h"

/* The entries of both words of a unit. */
static inline void iq3_find(const grid_block *g, size_t unit, uint32_t entry[2]) {
    uint32_t digits = (uint32_t)g->word[unit % 2][unit / 2];
    for (size_t i = 0; i < 2; i++) entry[i] = book_find(&g->book, digits >> 12 * i & 0xfff, 3);
}

static void encode_iq3_xxs(const float *x, const float *importance, void *blocks, size_t n) {
    static const grid_kind kind = {.first = 4, .step = 8, .extra = 2, .digit_bits = 3, .even = true, .shared = 2,
                                   .top = 31, .unit = 0.25f, .of_rms = 0.0086f, .of_peak = 0.0119f};
    grid_block g = {.kind = &kind};
    uint8_t *to = blocks;
    book_load_4(&g.book, quant_grid_iq3_xxs, 256, 3);
    for (size_t at = 0; at < n; at += 256, to += 98) {
        memset(to, 0, 98);
        if (!grid_search(&g, x + at, importance ? importance + at : NULL)) continue;
        store_u16(to, g.half);
        for (size_t u = 0; u < 32; u++) {
            uint32_t entry[2], signs = (uint32_t)g.signs[u % 2][u / 2] & 127, packed = load_u32(to + 66 + u / 4 * 4);
            iq3_find(&g, u, entry);
            to[2 + 2 * u] = (uint8_t)entry[0];
            to[3 + 2 * u] = (uint8_t)entry[1];
            store_u32(to + 66 + u / 4 * 4, packed | signs << 7 * (u % 4) | (uint32_t)g.level[u / 2] << 28);
        }
    }
}

static void encode_iq3_s(const float *x, const float *importance, void *blocks, size_t n) {
    static const grid_kind kind = {.first = 1, .step = 2, .digit_bits = 3, .shared = 2,
                                   .top = 31, .unit = 1, .of_rms = 0.0359f, .of_peak = 0.0507f};
    grid_block g = {.kind = &kind};
    uint8_t *to = blocks;
    book_load_4(&g.book, quant_grid_iq3_s, 512, 1);
    for (size_t at = 0; at < n; at += 256, to += 110) {
        memset(to, 0, 110);
        if (!grid_search(&g, x + at, importance ? importance + at : NULL)) continue;
        store_u16(to, g.half);
        for (size_t u = 0; u < 32; u++) {
            uint32_t entry[2];
            iq3_find(&g, u, entry);
            to[2 + 2 * u] = (uint8_t)entry[0];
            to[3 + 2 * u] = (uint8_t)entry[1];
            to[66 + u / 4] |= (uint8_t)((entry[0] >> 8 | entry[1] >> 8 << 1) << 2 * (u % 4));
            to[74 + u] = (uint8_t)g.signs[u % 2][u / 2];
        }
        for (size_t i = 0; i < 8; i++) to[106 + i / 2] |= (uint8_t)((uint32_t)g.level[2 * i] << 4 * (i % 2));
    }
}

#endif
