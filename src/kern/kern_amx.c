/* kern_amx.c: the level of CPUs with AMX for bytes and BF16, beside AVX-512 (Intel Xeon since Sapphire Rapids).
 *
 * That of AVX-512 but for panels. Written without such a CPU: the tests run its templates with the instructions written out.
 */
#include "kern/vec_amx.h"

#undef VEC_TOKENS
#define VEC_TOKENS 4
#include "kern/kern_chunk.h"
#include "kern/kern_tiles.h"

const kern kern_amx = {
    .name = "amx",
    .needs = KERN_CPU_AVX2 | KERN_CPU_AVX512 | KERN_CPU_TILES,
    .more_bytes = TILE_MORE_BYTES,
    .ops = &kern_avx512_ops,
    .bytes = &bytes,
    .floats = &floats,
};
