/* uni.h: what the tokenizers need to know about Unicode, from generated tables (Unicode 15.1.0).
 *
 * One class per code point, the simple lower-case mapping, and the first code point of the canonical
 * decomposition. It refuses everything else: no full normal forms, no locale, no case folding. The tables
 * agree with those of llama.cpp on every code point (its lower-casing of U+0130 to U+0069 included).
 * gen/uni_gen.py writes uni_tables.c; what uses this is tok/.
 */
#ifndef LEAT_UNI_H
#define LEAT_UNI_H

#include "base/base.h"

/* The first letter of the general category, but for White_Space, which goes before it. */
typedef enum {
    UNI_UNASSIGNED, /* Cn, and everything above U+10FFFF */
    UNI_LETTER,     /* L*                                */
    UNI_NUMBER,     /* N*                                */
    UNI_MARK,       /* M*                                */
    UNI_PUNCT,      /* P*                                */
    UNI_SYMBOL,     /* S*                                */
    UNI_SPACE,      /* White_Space: Z* and nine controls */
    UNI_CONTROL,    /* the other Cc, Cf, Co, Cs          */
    UNI_CLASSES
} uni_class;

uni_class uni_class_of(uint32_t cp);
uint32_t uni_lower(uint32_t cp); /* cp itself where it has no lower case */
uint32_t uni_upper(uint32_t cp); /* the first code point whose lower case is cp; cp itself where there is none */
int uni_width(uint32_t cp);      /* cells on a terminal: 0 (marks, controls, joiners), 1, or 2 (East Asian, emoji) */
uint32_t uni_base(uint32_t cp);  /* first code point of NFD(cp): a letter without its accents */

#endif
