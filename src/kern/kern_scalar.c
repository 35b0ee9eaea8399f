/* kern_scalar.c: the level that every machine has, and the specification of the others.
 *
 * All quantised types take the reference unpackers of quant/, so that the loaders of kern_formats.h have something
 * independent to be checked against.
 */
#include "kern/vec_scalar.h"

#define VEC_ENCODE_Q8_0 NULL
#define VEC_ENCODERS NULL
#define VEC_LOADED(ROW)
#define VEC_FOLDED(ROW)
#define VEC_UNPACKED(CODE) CODE
#define VEC_UNPACKED_TYPES(ROW) KERN_FORMATS(ROW)
#define VEC_STORED(KIND)
#define VEC_KINDS(KIND) KERN_WIDE_KINDS(KIND)
#include "kern/kern_level.h"
