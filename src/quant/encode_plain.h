/* encode_plain.h: the vectors of encode_vec.h where nothing is known of the instruction set: 128 bits are a register
 * on every machine that has vectors, and four floats on the others.
 */
#ifndef LEAT_ENCODE_PLAIN_H
#define LEAT_ENCODE_PLAIN_H

#define ENCODE_LANES 4
#include "quant/encode_vec.h"

static inline vf vf_min(vf a, vf b) { return vf_pick(a < b, a, b); }
static inline vf vf_max(vf a, vf b) { return vf_pick(a > b, a, b); }
static inline vf vf_sqrt(vf v) {
    for (size_t i = 0; i < ENCODE_LANES; i++) v[i] = (float)math_sqrt((double)v[i]);
    return v;
}

#endif
