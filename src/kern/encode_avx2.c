/* encode_avx2.c: the encoders of quant/ for CPUs with AVX2.
 */
#include <immintrin.h>

#define ENCODE_LANES 8
#include "quant/encode_vec.h"

static inline vf vf_min(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
static inline vf vf_max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
static inline vf vf_sqrt(vf v) { return (vf)_mm256_sqrt_ps((__m256)v); }

#include "kern/kern_int.h"
#include "quant/encode.h"

#define ENTRY(type, id) [QUANT_##id] = encode_##type,
quant_encode *const kern_encoders_avx2[QUANT_ID_MAX] = {QUANT_ENCODERS(ENTRY)};
