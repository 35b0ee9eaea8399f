/* encode_avx512.c: the encoders of quant/ for CPUs with AVX-512.
 */
#include <immintrin.h>

#define ENCODE_LANES 16
#include "quant/encode_vec.h"

static inline vf vf_min(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
static inline vf vf_max(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }

#include "kern/kern_int.h"
#include "quant/encode.h"

#define ENTRY(type, id) [QUANT_##id] = encode_##type,
quant_encode *const kern_encoders_avx512[QUANT_ID_MAX] = {QUANT_ENCODERS(ENTRY)};
