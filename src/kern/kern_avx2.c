/* kern_avx2.c: the level of CPUs with AVX2, FMA and F16C (Intel since Haswell, AMD since Zen).
 */
#include "kern/vec_avx2.h"

#include "quant/quant_unpack.h"

#define UNPACKER(type, id, ...) [QUANT_##id] = quant_unpack_##type,
kern_unpack *const kern_unpack_avx2[QUANT_ID_MAX] = {KERN_OTHER_FORMATS(UNPACKER)};

#define VEC_UNPACK(t) (kern_unpack_avx2[(t)->id])
#define VEC_ENCODERS kern_encoders_avx2
#define VEC_FORMATS(VECTOR, OTHER) KERN_VECTOR_FORMATS(VECTOR) KERN_OTHER_FORMATS(OTHER)
#define VEC_KINDS(KIND) KERN_VECTOR_KINDS(KIND)
#define VEC_OTHER_KINDS(KIND) KERN_OTHER_KINDS(KIND)
#include "kern/kern_chunk.h"
#include "kern/kern_formats.h"
#include "kern/kern_level.h"
