/* amx_model_avx512.c: the level of kern_amx.c with amx_model.h in place of the instructions, for any CPU with AVX-512. */
#include "amx_model.h"
#include "check_kern.h"

#undef VEC_TOKENS
#define VEC_TOKENS 4
#include "kern/kern_chunk.h"
#include "kern/kern_tiles.h"

const kern ck_amx_model = {
    .name = "amx-model",
    .needs = KERN_CPU_AVX2 | KERN_CPU_AVX512,
    .more_bytes = TILE_MORE_BYTES,
    .ops = &kern_avx512_ops,
    .bytes = &bytes,
    .floats = &floats,
};

TEST(amx_peaks_count_products) {
    if (!kern_runs(&ck_amx_model)) test_skip("no AVX-512 here");
    CHECK_EQ(kern_dot_peak(&ck_amx_model, false, 1), 4 * 16 * 16 * 64);
    CHECK_EQ(kern_dot_peak(&ck_amx_model, true, 3), 4 * 16 * 16 * 32);
}
