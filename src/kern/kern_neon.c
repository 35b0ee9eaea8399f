/* kern_neon.c: the level of ARM CPUs with dot products of bytes (ARMv8.2 and later; nearly all since 2019).
 */
#include "kern/vec_neon_dots.h"

#define VEC_ENCODE_Q8_0 NULL
#define VEC_ENCODERS NULL /* those of quant/ are vectors of four already */
#define VEC_LOADED(ROW) KERN_FORMATS(ROW)
#define VEC_FOLDED(ROW) KERN_FOLDED(ROW)
#define VEC_UNPACKED(CODE)
#define VEC_UNPACKED_TYPES(ROW)
#define VEC_STORED(KIND) KIND(32, 0) KIND(32, 1) KIND(16, 0) KIND(16, 1)
#define VEC_KINDS(KIND) KERN_KINDS(KIND)
#include "kern/kern_chunk.h"
#include "quant/quant_grids.h"
#include "kern/kern_formats.h"
#include "kern/kern_level.h"
