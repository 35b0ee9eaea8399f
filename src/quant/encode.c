/* encode.c: the encoders compiled for no machine in particular.
 *
 * The same bytes come out as of those that kern/ compiles for an instruction set, later. Next: encode.h.
 */
#include "quant/encode_plain.h"
#include "quant/encode.h"

#define ENCODER(type, id)                                                                       \
    void quant_encode_##type(const float *x, const float *importance, void *blocks, size_t n) { \
        encode_##type(x, importance, blocks, n);                                                \
    }
QUANT_ENCODERS(ENCODER)
