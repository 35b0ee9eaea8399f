/* half.c: IEEE binary16 and bfloat16, bit for bit as the hardware converts (round to nearest even, NaNs made quiet). */
#include "base/base.h"

float f32_of_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7FFF;
    if (rest >= 0x7C00) return f32_of_bits(sign | 0x7F800000 | (rest & 0x3FF) << 13 | (rest > 0x7C00 ? 0x400000 : 0));
    if (rest >= 0x0400) return f32_of_bits(sign | ((rest << 13) + (112u << 23)));
    return f32_of_bits(sign | bits_of_f32((float)rest * 0x1p-24f)); /* subnormal: exact */
}

uint16_t f16_of_f32(float f) {
    uint32_t bits = bits_of_f32(f), sign = bits >> 16 & 0x8000, rest = bits & 0x7FFFFFFF;
    if (rest > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (rest >> 13 & 0x3FF));
    if (rest >= 0x47800000) return (uint16_t)(sign | 0x7C00); /* 65536 and more, infinity */
    if (rest < 0x38800000) {
        /* Subnormal or zero: adding 0.5 puts the last kept bit (2^-24) at the end of the float, which rounds it. */
        return (uint16_t)(sign | (bits_of_f32(f32_of_bits(rest) + 0.5f) - 0x3F000000));
    }
    rest += 0xFFF + (rest >> 13 & 1); /* a carry may run into the exponent, up to infinity: as wanted */
    return (uint16_t)(sign | ((rest >> 13) - (112 << 10)));
}

uint16_t bf16_of_f32(float f) {
    uint32_t bits = bits_of_f32(f);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
