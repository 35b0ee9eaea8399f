/* quant_grids.h: the codebooks that types with indices point into.
 *
 * Constant, as GGUF fixes them; quant_grids.c holds them. Byte i of an entry is weight i of its group.
 */
#ifndef LEAT_QUANT_GRIDS_H
#define LEAT_QUANT_GRIDS_H

#include <stdint.h>

#define QUANT_VALUES_IQ4 -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
extern const int8_t quant_values_iq4[16]; /* IQ4_NL, IQ4_XS                                            */
extern const int8_t quant_values_fp4[16]; /* MXFP4, NVFP4: the values of E2M1, doubled                 */
extern const uint8_t quant_signs[128];    /* seven signs; the eighth makes the number of ones even     */

extern const uint64_t quant_grid_iq1[2048]; /* IQ1_S, IQ1_M: 8 times -1, 0 or 1, plus 127 (quant_shift_iq1) */
extern const uint64_t quant_grid_iq2_xxs[256]; /* IQ2 magnitudes: 8, 25, 43 */
extern const uint64_t quant_grid_iq2_xs[512];
extern const uint64_t quant_grid_iq2_s[1024];
extern const uint32_t quant_grid_iq3_xxs[256]; /* magnitudes: 4, 12, 20, 28, 36, 44, 52, 62 */
extern const uint32_t quant_grid_iq3_s[512];   /* magnitudes: 1, 3 .. 15                    */

/* The same entries as codes, 64-byte aligned. IQ1, IQ2: two bits a weight, counting 0, 1, 2 in the order above, the
 * lowest those of weights 0, 1, 4, 5, then those of 2, 3, 6, 7. IQ3: a nibble a weight, 0 to 7. */
extern const uint16_t quant_codes_iq1[2048];
extern const uint16_t quant_codes_iq2_xxs[256], quant_codes_iq2_xs[512], quant_codes_iq2_s[1024];
extern const uint16_t quant_codes_iq3_xxs[256], quant_codes_iq3_s[512];

#endif
