/* encode_fp4.h: blocks of E2M1 floats whose scale is a float of eight bits: MXFP4, NVFP4.
 *
 * There are so few scales that all of those that can be best are tried, by their exact weighted squared error.
 */
#ifndef LEAT_ENCODE_FP4_H
#define LEAT_ENCODE_FP4_H

#include "quant/encode_fit.h"

/* The error with scales d, which are not 0, in units of the batch. */
static vf fp4_error(const batch *b, size_t l, vf d) {
    vf inverse = 1.0f / d, sum = {0};
    for (size_t i = 0; i < b->len; i++) {
        vf v = vf_load(&b->x[i][l]) * inverse, r = v - round_fp4(v);
        sum += vf_load(&b->w[i][l]) * r * r;
    }
    return sum * d * d;
}

/* n weights, a multiple of 16, as nibbles in a byte each: sign, then the place in 0 1 2 3 4 6 8 12. */
static inline void round_group_fp4(const float *x, size_t n, float inverse, int8_t *q) {
    for (size_t i = 0; i < n; i += ENCODE_LANES) {
        vf v = round_fp4(vf_load(x + i) * inverse);
        vi size = vi_round(vf_abs(v)), place = vi_pick(size > 8, vi_all(7), (size >> 1) + 2);
        vi_store_bytes(q + i, vi_pick(size > 4, place, size) | ((v < 0.0f) & 8));
    }
}

/* MXFP4. The scale of the table, which has doubled values, is 2^(e - 128). The e that brings the peak to 8 ... 16 (the
 * table ends at 12) is tried, and its neighbours; neither 0 (2^128 is no float) nor any above 252 (12 is too large). */
static void search_mxfp4(const batch *b, int32_t scales[BATCH_GROUPS]) {
    EACH_LANE(l) {
        vi unit = vi_bits(vf_load(&b->unit[l])) >> 23, top = (vi_bits(vf_abs(vf_load(&b->peak[l]))) >> 23) - 127;
        vf least = vf_all(F32_MAX);
        vi best = {0};
        for (int32_t k = -1; k <= 1; k++) {
            vi e = top + unit - 2 + k, low = e < 1, high = e > 252;
            e = vi_pick(low, vi_all(1), vi_pick(high, vi_all(252), e));
            vf error = fp4_error(b, l, vf_of_bits((e - unit + 126) << 23));
            vi better = error < least;
            least = vf_pick(better, error, least);
            best = vi_pick(better, e, best);
        }
        memcpy(&scales[l], &best, sizeof best);
    }
}

static void encode_mxfp4(const float *x, const float *importance, void *blocks, size_t n) {
    uint8_t *to = blocks;
    batch b;
    int32_t scales[BATCH_GROUPS];
    int8_t q[32];
    for (size_t at = 0; at < n; at += 32 * BATCH_GROUPS) {
        size_t n_here = MIN(n - at, 32 * BATCH_GROUPS);
        batch_load(&b, x + at, importance ? importance + at : NULL, n_here, 32, 1, FAVOUR_NONE);
        search_mxfp4(&b, scales);
        for (size_t g = 0; g < n_here / 32; g++, to += 17) {
            to[0] = (uint8_t)scales[g];
            round_group_fp4(x + at + 32 * g, 32, f32_of_bits((uint32_t)(255 - scales[g]) << 23), q);
            pack_nibbles(to + 1, q);
        }
    }
}

/* ---- NVFP4 ---------------------------------------------------------------------------------------------- */

#define NVFP4_BELOW 4
#define NVFP4_ABOVE 4

/* The value of an E4M3 code without sign, 0 ... 126, halved. */
static inline vf e4m3_half(vi code) {
    vi normal = (((code >> 3) + 119) << 23) | (code & 7) << 20;
    vf small = __builtin_convertvector(code, vf) * (1.0f / 1024);
    return vf_pick(code < 8, small, vf_of_bits(normal));
}

/* The code at or below a value that is not negative. */
static inline vi e4m3_floor(vf v) {
    vf capped = vf_min(v, vf_all(448.0f));
    vi normal = (vi_bits(capped) >> 20) - (120 << 3), small = __builtin_convertvector(capped * 512.0f, vi);
    return vi_pick(capped < 0x1p-6f, small, normal);
}

/* The codes of each group: those around the one that takes the peak to 12. Code 0 is a scale of 0. */
static void search_nvfp4(const batch *b, int32_t codes[BATCH_GROUPS]) {
    EACH_LANE(l) {
        vf unit = vf_load(&b->unit[l]), least = {0};
        vi from = e4m3_floor(vf_abs(vf_load(&b->peak[l])) * (1.0f / 6) * unit), best = {0};
        for (size_t i = 0; i < b->len; i++) {
            vf x = vf_load(&b->x[i][l]);
            least += vf_load(&b->w[i][l]) * x * x;
        }
        for (int32_t k = -NVFP4_BELOW; k <= NVFP4_ABOVE; k++) {
            vi code = from + k;
            code = vi_pick(code < 1, vi_all(1), vi_pick(code > 126, vi_all(126), code));
            vf error = fp4_error(b, l, e4m3_half(code) / unit);
            vi better = error < least;
            least = vf_pick(better, error, least);
            best = vi_pick(better, code, best);
        }
        memcpy(&codes[l], &best, sizeof best);
    }
}

static float e4m3_inverse(int32_t code) {
    return code ? 1.0f / e4m3_half(vi_all(code))[0] : 0.0f;
}

static void encode_nvfp4(const float *x, const float *importance, void *blocks, size_t n) {
    uint8_t *to = blocks;
    batch b;
    int32_t codes[BATCH_GROUPS];
    int8_t q[16];
    for (size_t at = 0; at < n; at += 16 * BATCH_GROUPS) {
        size_t n_here = MIN(n - at, 16 * BATCH_GROUPS);
        batch_load(&b, x + at, importance ? importance + at : NULL, n_here, 16, 4, FAVOUR_NONE);
        search_nvfp4(&b, codes);
        for (size_t g = 0; g < n_here / 16; g++) {
            uint8_t *block = to + (at / 64 + g / 4) * 36;
            block[g % 4] = (uint8_t)codes[g];
            round_group_fp4(x + at + 16 * g, 16, e4m3_inverse(codes[g]), q);
            for (size_t i = 0; i < 8; i++) block[4 + 8 * (g % 4) + i] = (uint8_t)(q[i] | q[i + 8] << 4);
        }
    }
}

#endif
