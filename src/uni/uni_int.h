/* uni_int.h: the shape of the generated tables. */
#ifndef LEAT_UNI_INT_H
#define LEAT_UNI_INT_H

#include "uni/uni.h"

#define UNI_BLOCK 128 /* code points that share an entry of uni_block */

typedef struct uni_case {
    uint32_t first, last;
    int32_t delta;
    uint32_t step; /* 1: every code point of the range; 2: every second one */
} uni_case;

typedef struct uni_pair16 {
    uint16_t from, to;
} uni_pair16;

typedef struct uni_pair32 {
    uint32_t from, to;
} uni_pair32;

extern const uint8_t uni_block[0x110000 / UNI_BLOCK]; /* code point / UNI_BLOCK -> row of uni_classes */
extern const uint8_t uni_classes[][UNI_BLOCK / 2];    /* two classes a byte, the lower code point in the low half */

/* All sorted by code point. Hangul syllables are not in the bases: they follow a formula. */
extern const uni_case uni_cases[];
extern const uint32_t uni_case_count;
extern const uni_pair16 uni_bases16[];
extern const uint32_t uni_base16_count;
extern const uni_pair32 uni_bases32[];
extern const uint32_t uni_base32_count;

#endif
