/* encode.h: the encoders of all tensor types.
 *
 * This is a template: it is compiled as the reference (encode.c) and once more for each instruction set
 * (kern/encode_<level>.c), on the vectors that the includer provides (encode_vec.h). All give the same bytes.
 *
 * encode_<type>(x, importance, blocks, n) is as quant.h describes it: the search for the scales is on sixteen groups at
 * a time (encode_batch.h), then each block is rounded and packed in its own order. quant_unpack.h has the layouts.
 * Next: encode_scale.h, the simplest search.
 */
#ifndef LEAT_ENCODE_H
#define LEAT_ENCODE_H

#include "quant/quant_int.h"
#include "quant/encode_affine.h"
#include "quant/encode_affine_k.h"
#include "quant/encode_batch.h"
#include "quant/encode_fit.h"
#include "quant/encode_fp4.h"
#include "quant/encode_iq1.h"
#include "quant/encode_iq2.h"
#include "quant/encode_iq3.h"
#include "quant/encode_level_k.h"
#include "quant/encode_scale.h"
#include "quant/encode_ternary.h"

/* ---- floats --------------------------------------------------------------------------------------------- */

static void encode_f32(const float *x, const float *importance, void *blocks, size_t n) {
    (void)importance;
    memcpy(blocks, x, n * sizeof *x);
}

static void encode_f64(const float *x, const float *importance, void *blocks, size_t n) {
    uint8_t *to = blocks;
    (void)importance;
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i];
        memcpy(to + 8 * i, &v, 8);
    }
}

static void encode_f16(const float *x, const float *importance, void *blocks, size_t n) {
    uint8_t *to = blocks;
    size_t i = 0;
    (void)importance;
    for (; i + ENCODE_LANES <= n; i += ENCODE_LANES) vi_store_halves(to + 2 * i, vi_half(vf_load(x + i)));
    for (; i < n; i++) store_u16(to + 2 * i, f16_of_f32(x[i]));
}

static void encode_bf16(const float *x, const float *importance, void *blocks, size_t n) {
    uint8_t *to = blocks;
    size_t i = 0;
    (void)importance;
    for (; i + ENCODE_LANES <= n; i += ENCODE_LANES) vi_store_halves(to + 2 * i, vi_bf16(vf_load(x + i)));
    for (; i < n; i++) store_u16(to + 2 * i, bf16_of_f32(x[i]));
}

#endif
