/* quant_scalar.h: the two primitives of quant_unpack.h in plain C, for those who have no better ones.
 */
#ifndef LEAT_QUANT_SCALAR_H
#define LEAT_QUANT_SCALAR_H

#include "base/base.h"

static inline float quant_half(const void *p) { return f32_of_f16(load_u16(p)); }

static inline void quant_lookup(const int8_t table[16], const uint8_t nibbles[16], int8_t low[16], int8_t high[16]) {
    for (size_t i = 0; i < 16; i++) {
        low[i] = table[nibbles[i] & 15];
        high[i] = table[nibbles[i] >> 4];
    }
}

#endif
