/* kern_scalar.c: the level that every machine has, and the specification of the others.
 *
 * All quantised types take the reference unpackers of quant/, so that the vector formats of kern_formats.h have
 * something independent to be checked against.
 */
#include "kern/vec_scalar.h"

#define VEC_UNPACK(t) ((t)->unpack)
#define VEC_ENCODERS NULL
#define VEC_FORMATS(VECTOR, OTHER) KERN_VECTOR_FORMATS(OTHER) KERN_OTHER_FORMATS(OTHER)
#define VEC_KINDS(KIND)
#define VEC_OTHER_KINDS(KIND) KERN_OTHER_KINDS(KIND) KIND(32, 32, 1, 128, 255) KIND(16, 16, 0, 128, 255) /* Q4_K and Q5_K */
#include "kern/kern_level.h"
