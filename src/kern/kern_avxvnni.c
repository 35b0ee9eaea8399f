/* kern_avxvnni.c: the level of CPUs with AVX2 and AVX-VNNI (Intel since Alder Lake, which has no AVX-512; AMD since Zen 5).
 *
 * That of AVX2 but for panels of bytes. Decode has no kernels of its own: at the speed of memory there is little to gain
 * (docs/LAB.md), and they would be most of a level's code. Sums of bytes are exact and floats come in the same order: the
 * bits are those of AVX2, but for prompts of Q3_K (KERN_FORMATS, narrow).
 */
#include "kern/vec_avxvnni.h"

#include "kern/kern_chunk.h"
#include "kern/kern_steps.h"
#include "kern/kern_panel.h"
KERN_KINDS(MULTIPLIER)
#include "kern/kern_peak.h"

static const kern_bytes bytes = {.multiply = {KERN_FORMATS(ENTRY_MULTIPLY)}, .peak = byte_peak};
const kern kern_avxvnni = {
    .name = "avxvnni",
    .needs = KERN_CPU_AVX2 | KERN_CPU_AVXVNNI,
    .ops = &kern_avx2_ops,
    .bytes = &bytes,
    .floats = &kern_avx2_floats,
};
