/* encode_iq2.h: IQ2_XXS, IQ2_XS and IQ2_S: words of eight weights, three levels. The search is in encode_grid.h, the
 * layouts in quant_unpack.h.
 */
#ifndef LEAT_ENCODE_IQ2_H
#define LEAT_ENCODE_IQ2_H

#include "quant/encode_grid.h"

static void encode_iq2_xxs(const float *x, const float *importance, void *blocks, size_t n) {
    static const grid_kind kind = {.first = 8, .step = 17, .extra = 1, .digit_bits = 2, .even = true, .shared = 2,
                                   .top = 31, .unit = 0.125f, .of_rms = 0.0277f, .of_peak = 0.0065f};
    grid_block g = {.kind = &kind};
    uint8_t *to = blocks;
    book_load_8(&g.book, quant_grid_iq2_xxs, 256, 0, 4);
    for (size_t at = 0; at < n; at += 256, to += 66) {
        memset(to, 0, 66);
        if (!grid_search(&g, x + at, importance ? importance + at : NULL)) continue;
        store_u16(to, g.half);
        for (size_t u = 0; u < 32; u++) {
            uint8_t *group = to + 2 + u / 4 * 8;
            uint32_t signs = (uint32_t)g.signs[u % 2][u / 2] & 127, packed = load_u32(group + 4);
            group[u % 4] = (uint8_t)book_find(&g.book, (uint32_t)g.word[u % 2][u / 2], 2);
            store_u32(group + 4, packed | signs << 7 * (u % 4) | (uint32_t)g.level[u / 2] << 28);
        }
    }
}

/* The eight nibbles of the l of 16 groups. */
static inline void iq2_pack_levels(const grid_block *g, uint8_t to[8]) {
    for (size_t i = 0; i < 8; i++) to[i] = (uint8_t)((uint32_t)g->level[2 * i] | (uint32_t)g->level[2 * i + 1] << 4);
}

static void encode_iq2_xs(const float *x, const float *importance, void *blocks, size_t n) {
    static const grid_kind kind = {.first = 8, .step = 17, .extra = 1, .digit_bits = 2, .even = true, .shared = 1,
                                   .top = 31, .unit = 0.125f, .of_rms = 0.0213f, .of_peak = 0.0093f};
    grid_block g = {.kind = &kind};
    uint8_t *to = blocks;
    book_load_8(&g.book, quant_grid_iq2_xs, 512, 0, 4);
    for (size_t at = 0; at < n; at += 256, to += 74) {
        memset(to, 0, 74);
        if (!grid_search(&g, x + at, importance ? importance + at : NULL)) continue;
        store_u16(to, g.half);
        for (size_t u = 0; u < 32; u++) {
            uint32_t signs = (uint32_t)g.signs[u % 2][u / 2] & 127;
            store_u16(to + 2 + 2 * u, (uint16_t)(book_find(&g.book, (uint32_t)g.word[u % 2][u / 2], 2) | signs << 9));
        }
        iq2_pack_levels(&g, to + 66);
    }
}

static void encode_iq2_s(const float *x, const float *importance, void *blocks, size_t n) {
    static const grid_kind kind = {.first = 8, .step = 17, .extra = 1, .digit_bits = 2, .shared = 1,
                                   .top = 31, .unit = 0.125f, .of_rms = 0.0227f, .of_peak = 0.0089f};
    grid_block g = {.kind = &kind};
    uint8_t *to = blocks;
    book_load_8(&g.book, quant_grid_iq2_s, 1024, 0, 4);
    for (size_t at = 0; at < n; at += 256, to += 82) {
        memset(to, 0, 82);
        if (!grid_search(&g, x + at, importance ? importance + at : NULL)) continue;
        store_u16(to, g.half);
        for (size_t u = 0; u < 32; u++) {
            uint32_t entry = book_find(&g.book, (uint32_t)g.word[u % 2][u / 2], 2);
            to[2 + u] = (uint8_t)entry;
            to[34 + u] = (uint8_t)g.signs[u % 2][u / 2];
            to[66 + u / 4] |= (uint8_t)(entry >> 8 << 2 * (u % 4));
        }
        iq2_pack_levels(&g, to + 74);
    }
}

#endif
