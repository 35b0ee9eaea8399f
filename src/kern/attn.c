/* attn.c: keys and values rounded to the type of the cache and laid out as kern.h says. The encoders are those of
 * weights: a position's rows become blocks, whose bytes then go to their places. Read on in kern_attn.h.
 */
#include "kern/kern_int.h"

#define STORE_AT_ONCE 512 /* values: the encoders work on 16 blocks of 32 side by side */

size_t kern_attn_scratch_bytes(size_t n_q, size_t dim_k, size_t dim_v) {
    return (KERN_ATTN_TILE * (n_q + MAX(dim_k, dim_v)) + 16) * sizeof(float);
}

/* One position of one head. A block loses its scale to another place. */
static void store_row(const quant_type *t, bool keys, const uint8_t *blocks, size_t dim, uint8_t *tile, size_t pos) {
    size_t n = dim / t->block_len, head = t->block_len > 1 ? 2 : 0, body = t->block_bytes - head;
    size_t group = pos / 16, lane = pos % 16;
    uint8_t *scales = tile + KERN_ATTN_TILE * n * body;
    if (!keys && !head) {
        memcpy(tile + pos * n * body, blocks, n * body);
        return;
    }
    for (size_t b = 0; b < n; b++, blocks += t->block_bytes) {
        const uint8_t *from = blocks + head;
        if (head) memcpy(scales + 2 * (keys ? (group * n + b) * 16 + lane : pos * n + b), blocks, 2);
        if (!keys) memcpy(tile + (pos * n + b) * body, from, body);
        else if (!head) memcpy(tile + 2 * ((group * n + b) * 16 + lane), from, 2);
        else
            for (size_t i = 0; i < body; i++) tile[((group * n + b) * body + i) * 16 + lane] = from[i];
    }
}

void kern_attn_store(const kern *k, quant_id type, bool keys, const float *x, size_t n_heads, size_t dim, void *tiles,
                     size_t pos) {
    const quant_type *t = quant_find(type);
    uint8_t blocks[2 * KERN_ATTN_DIM_MAX];
    ASSERT(dim <= KERN_ATTN_DIM_MAX);
    size_t at_once = MAX(STORE_AT_ONCE / dim, 1), row_bytes = dim / t->block_len * t->block_bytes;
    for (size_t first = 0; first < n_heads; first += at_once) {
        size_t n = MIN(at_once, n_heads - first);
        uint8_t *to = (uint8_t *)tiles + first * KERN_ATTN_TILE * row_bytes;
        kern_encoder(k, type)(x + first * dim, NULL, blocks, n * dim);
        for (size_t h = 0; h < n; h++)
            store_row(t, keys, blocks + h * row_bytes, dim, to + h * KERN_ATTN_TILE * row_bytes, pos);
    }
}
