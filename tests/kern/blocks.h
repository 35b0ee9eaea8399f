/* blocks.h: weights of any type made of seeded noise, for the checks and the bench of the kernels.
 */
#ifndef LEAT_BLOCKS_H
#define LEAT_BLOCKS_H

#include "quant/quant.h"

/* Blocks whose decoded values are all finite and neither very large nor very small. bytes is a multiple of a block. */
void blocks_random(rng *r, const quant_type *t, uint8_t *b, size_t bytes);

#endif
