/* attn_shape.c: how large a tile of keys or values is, and which types hold which heads: what the KV cache asks of
 * kernels without computing. Next: attn.c.
 */
#include "kern/kern_int.h"

size_t kern_attn_tile_bytes(quant_id type, size_t dim) {
    const quant_type *t = quant_find(type);
    return KERN_ATTN_TILE * (dim / t->block_len) * t->block_bytes;
}

bool kern_attn_holds(quant_id type, size_t dim, size_t *wanted) {
    bool known = type == QUANT_F16 || type == QUANT_BF16 || type == QUANT_Q8_0 || type == QUANT_Q4_0;
    *wanted = known ? quant_find(type)->block_len : 0;
    return known && dim % *wanted == 0;
}
