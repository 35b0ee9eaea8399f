/* kern_avx512.c: the level of CPUs with AVX-512 F BW VL DQ VNNI (Intel since Cascade Lake, AMD since Zen 4).
 */
#include "kern/vec_avx512.h"

#define VEC_ENCODE_Q8_0 kern_encode_q8_0_avx512
#define VEC_ENCODERS kern_encoders_avx2 /* half as fast as in vectors of 16, and 50 KB less of program */
#define VEC_LOADED(ROW) KERN_FORMATS(ROW)
#define VEC_FOLDED(ROW) KERN_FOLDED(ROW)
#define VEC_UNPACKED(CODE)
#define VEC_UNPACKED_TYPES(ROW)
#define VEC_STORED(KIND) KIND(32, 0) KIND(32, 1) KIND(16, 0)
#define VEC_KINDS(KIND) KERN_KINDS(KIND)
#include "kern/kern_chunk.h"
#include "quant/quant_grids.h"
#include "kern/kern_formats.h"
static void prepare_i16_lanes(const float *x, size_t n, void *act); /* kern_signed.h */
static void prepare_i16_pairs(const float *x, size_t n, void *act); /* kern_paired.h */
static void prepare_i16_fives(const float *x, size_t n, void *act); /* kern_fives.h */
static void prepare_i16_units(const float *x, size_t n, void *act); /* kern_fours.h */
#include "kern/kern_asm.h"
#include "kern/kern_fill.h"
#include "kern/kern_level.h"
#include "kern/kern_paired.h"
#include "kern/kern_signed.h"
#include "kern/kern_fives.h"
#include "kern/kern_fours.h"
