/* kern_plain.h: a level without orders of activations of its own: what AVX-512 (kern_fours.h, kern_signed.h,
 * kern_paired.h, kern_fives.h) and AVX2 (kern_words.h, kern_entries.h, kern_bytes.h) do in other ways goes the two ways of kern_decode.h.
 */
#ifndef LEAT_KERN_PLAIN_H
#define LEAT_KERN_PLAIN_H

#define VEC_ACT_FUSED(len, most) KERN_ACT_I16
#define VEC_ACT_STORED(len, most) KERN_ACT_I16
#define VEC_ACT_SIGNED(len, most) KERN_ACT_I16
#define VEC_ACT_FOURS(len, most) KERN_ACT_I16
#define VEC_ACT_SIXES(len, most) KERN_ACT_I16
#define VEC_ACT_PAIRED(len, most) KERN_ACT_I16
#define VEC_ACT_DIGITS(len, most) KERN_ACT_I16
#define VEC_PREPARE [KERN_ACT_I16] = prepare_i16,
#define VEC_OPS_MORE
#define VEC_DECODE_FUSED DECODE_TILES
#define VEC_DECODE_STORED DECODE_BY_MEMORY
#define VEC_DECODE_SIGNED DECODE_BY_MEMORY
#define VEC_DECODE_FOURS DECODE_TILES
#define VEC_DECODE_SIXES DECODE_TILES
#define VEC_DECODE_PAIRED DECODE_TILES
#define VEC_DECODE_DIGITS DECODE_BY_MEMORY

#endif
