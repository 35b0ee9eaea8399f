/* kern_avx2.c: the level of CPUs with AVX2, FMA and F16C (Intel since Haswell, AMD since Zen).
 */
#include "kern/vec_avx2_dots.h"

#define VEC_ENCODE_Q8_0 NULL
#define VEC_ENCODERS kern_encoders_avx2
#define VEC_LOADED(ROW) KERN_FORMATS(ROW)
#define VEC_FOLDED(ROW) KERN_FOLDED(ROW)
#define VEC_UNPACKED(CODE)
#define VEC_UNPACKED_TYPES(ROW)
#define VEC_STORED(KIND)
#define VEC_KINDS(KIND) KERN_NARROW_KINDS(KIND)
#include "kern/kern_chunk.h"
#include "quant/quant_grids.h"
#include "kern/kern_formats.h"
static void prepare_i16_halves(const float *x, size_t n, void *act); /* kern_words.h */
static void prepare_i16_beside(const float *x, size_t n, void *act);
static void prepare_i8_halves(const float *x, size_t n, void *act); /* kern_bytes.h */
#include "kern/kern_level.h"
#include "kern/kern_words.h"
#include "kern/kern_bytes.h"
