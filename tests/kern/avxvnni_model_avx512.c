/* avxvnni_model_avx512.c: the level of kern_avxvnni.c for CPUs with AVX-512 and without AVX-VNNI, whose instruction they
 * have in another encoding. */
#include <immintrin.h>

#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#include "check_kern.h"
#include "kern/vec_avxvnni.h"

#include "kern/kern_chunk.h"
#include "kern/kern_steps.h"
#include "kern/kern_panel.h"
KERN_KINDS(MULTIPLIER)
#include "kern/kern_peak.h"

static const kern_bytes bytes = {.multiply = {KERN_FORMATS(ENTRY_MULTIPLY)}, .peak = byte_peak};
const kern ck_avxvnni_model = {
    .name = "avxvnni-model",
    .needs = KERN_CPU_AVX2 | KERN_CPU_AVX512,
    .ops = &kern_avx2_ops,
    .bytes = &bytes,
    .floats = &kern_avx2_floats,
};
