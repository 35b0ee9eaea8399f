/* kern_avx512.c: the level of CPUs with AVX-512 F BW VL DQ VNNI (Intel since Cascade Lake, AMD since Zen 4).
 */
#include "kern/vec_avx512.h"

#define VEC_UNPACK(t) (kern_unpack_avx2[(t)->id])
#define VEC_ENCODERS kern_encoders_avx512
#define VEC_FORMATS(VECTOR, OTHER) KERN_VECTOR_FORMATS(VECTOR) KERN_OTHER_FORMATS(OTHER)
#define VEC_KINDS(KIND) KERN_VECTOR_KINDS(KIND)
#define VEC_OTHER_KINDS(KIND) KERN_OTHER_KINDS(KIND)
#include "kern/kern_chunk.h"
#include "kern/kern_formats.h"
#include "kern/kern_level.h"
