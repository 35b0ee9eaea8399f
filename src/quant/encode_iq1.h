/* encode_iq1.h: IQ1_S and IQ1_M: words of eight weights, each -1, 0 or 1, and all moved by an eighth up or down. The
 * search is in encode_grid.h, the layouts in quant_unpack.h.
 */
#ifndef LEAT_ENCODE_IQ1_H
#define LEAT_ENCODE_IQ1_H

#include "quant/encode_grid.h"

static void encode_iq1_s(const float *x, const float *importance, void *blocks, size_t n) {
    static const grid_kind kind = {.first = -8, .step = 8, .digit_bits = 2, .shifted = true, .shared = 2,
                                   .top = 15, .unit = 0.125f, .of_rms = 0.135f, .of_peak = 0.0092f};
    grid_block g = {.kind = &kind};
    uint8_t *to = blocks;
    book_load_8(&g.book, quant_grid_iq1, 2048, 0x7777777777777777u, 3);
    for (size_t at = 0; at < n; at += 256, to += 50) {
        memset(to, 0, 50);
        if (!grid_search(&g, x + at, importance ? importance + at : NULL)) continue;
        store_u16(to, g.half);
        for (size_t u = 0; u < 32; u++) {
            uint8_t *high = to + 34 + u / 4 * 2;
            uint32_t entry = book_find(&g.book, (uint32_t)g.word[u % 2][u / 2], 2), down = g.shift[u % 2][u / 2] < 0;
            uint32_t packed = entry >> 8 << 3 * (u % 4) | (uint32_t)g.level[u / 2] << 12 | down << 15;
            to[2 + u] = (uint8_t)entry;
            store_u16(high, (uint16_t)(load_u16(high) | packed));
        }
    }
}

static void encode_iq1_m(const float *x, const float *importance, void *blocks, size_t n) {
    static const grid_kind kind = {.first = -8, .step = 8, .digit_bits = 2, .shifted = true, .shared = 1,
                                   .top = 15, .unit = 0.125f, .of_rms = 0.1259f, .of_peak = 0.0142f};
    grid_block g = {.kind = &kind};
    uint8_t *to = blocks;
    book_load_8(&g.book, quant_grid_iq1, 2048, 0x7777777777777777u, 3);
    for (size_t at = 0; at < n; at += 256, to += 56) {
        memset(to, 0, 56);
        if (!grid_search(&g, x + at, importance ? importance + at : NULL)) continue;
        for (size_t u = 0; u < 32; u++) {
            uint32_t entry = book_find(&g.book, (uint32_t)g.word[u % 2][u / 2], 2);
            uint32_t down = g.shift[u % 2][u / 2] < 0;
            to[u] = (uint8_t)entry;
            to[32 + u / 2] |= (uint8_t)((entry >> 8 | down << 3) << 4 * (u % 2));
        }
        for (size_t i = 0; i < 4; i++) {
            uint32_t packed = (uint32_t)g.half >> 4 * i << 12;
            for (size_t j = 0; j < 4; j++) packed |= (uint32_t)g.level[4 * i + j] << 3 * j;
            store_u16(to + 48 + 2 * i, (uint16_t)packed);
        }
    }
}

#endif
