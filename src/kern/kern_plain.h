/* kern_plain.h: a level without orders of activations of its own: what AVX-512 does in other ways (kern_signed.h,
 * kern_paired.h, kern_fives.h) goes the two ways of kern_decode.h.
 */
#ifndef LEAT_KERN_PLAIN_H
#define LEAT_KERN_PLAIN_H

#define VEC_ACT_SIGNED KERN_ACT_I16
#define VEC_ACT_SIXES KERN_ACT_I16
#define VEC_ACT_PAIRED KERN_ACT_I16
#define VEC_ACT_DIGITS KERN_ACT_I16
#define VEC_PREPARE_MORE
#define VEC_OPS_MORE
#define VEC_DECODE_SIGNED DECODE_STORED
#define VEC_DECODE_FOURS DECODE_FUSED
#define VEC_DECODE_SIXES DECODE_FUSED
#define VEC_DECODE_PAIRED DECODE_FUSED
#define VEC_DECODE_DIGITS DECODE_STORED

#endif
