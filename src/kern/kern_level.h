/* kern_level.h: the templates of a level, put together into its table. Included once, at the end of kern_<level>.c.
 *
 * Read on in kern_decode.h (one token: a fused dot), kern_panel.h (many: panels), kern_attn.h, kern_rows.h.
 */
#include "kern/kern_chunk.h"
#include "kern/kern_acts.h"
#include "kern/kern_load.h"
#include "kern/kern_decode.h"
#include "kern/kern_steps.h"
#include "kern/kern_panel.h"
VEC_KINDS(MULTIPLIER)
#include "kern/kern_panel_floats.h"
#include "kern/kern_rows.h"
#include "kern/kern_peak.h"
#include "kern/kern_attn.h"

#define ENTRY_DECODE(type, id, ...) [QUANT_##id] = decode_##type,
#define ENTRY_DECODE_UNPACKED(type, id, ...) [QUANT_##id] = decode_unpacked,
#define ENTRY_ROWS(type, id, ...) [QUANT_##id] = rows_##type,
#define ENTRY_ROWS_UNPACKED(type, id, ...) [QUANT_##id] = rows_unpacked,
#define UNPACKED_GROUP_16 16
#define UNPACKED_GROUP_32 32
#define UNPACKED_GROUP_128 16 /* scales are not folded */
#define MULTIPLY_255(group, acts, has_min) multiply_##group##_##acts##_##has_min##_255
#define MULTIPLY_UNPACKED(group, acts, has_min) MULTIPLY_255(group, acts, has_min)
#define ENTRY_MULTIPLY_UNPACKED(type, id, len, bytes, group, zero, panel_group, acts, has_min, top, way, narrow, most) \
    [QUANT_##id] = MULTIPLY_UNPACKED(UNPACKED_GROUP_##panel_group, acts, has_min),
#define ENTRY_FOLDED(type, id, ...) [QUANT_##id] = folded_##type,
#define ENTRY_ZERO(type, id, len, bytes, group, zero, ...) [QUANT_##id] = (zero) ? __builtin_ctz(zero) : 0,
#define ENTRY_ZERO_UNPACKED(type, id, ...) [QUANT_##id] = 7,
#define ENTRY_MIN(type, id, len, bytes, group, zero, panel_group, acts, has_min, ...) [QUANT_##id] = has_min,
#define ENTRY_ACT(type, id, len, bytes, group, zero, panel_group, acts, ...) [QUANT_##id] = KERN_ACT_I8_##acts,
#define ENTRY_DECODE_ACT(type, id, len, bytes, group, zero, panel_group, acts, has_min, top, way, narrow, most) [QUANT_##id] = VEC_ACT_##way(len, most),
#define ENTRIES(entry) VEC_LOADED(entry) VEC_UNPACKED_TYPES(entry##_UNPACKED)

const kern_ops KERN_OF(VEC_LEVEL, _ops) = {
    .prepare = {[KERN_ACT_F32] = prepare_f32, VEC_PREPARE
                [KERN_ACT_I8_16] = prepare_i8_16, [KERN_ACT_I8_32] = prepare_i8_32},
    .prompt_act = {KERN_FORMATS(ENTRY_ACT)}, /* 0, KERN_ACT_F32, for float types */
    .decode_act = {KERN_FORMATS(ENTRY_DECODE_ACT)},
    .has_min = {KERN_FORMATS(ENTRY_MIN)},
    .zero_shift = {ENTRIES(ENTRY_ZERO)},
    .decode = {ENTRIES(ENTRY_DECODE) KERN_FLOAT_FORMATS(ENTRY_DECODE)},
    .load_rows = {ENTRIES(ENTRY_ROWS)},
    .load_folded = {VEC_FOLDED(ENTRY_FOLDED)},
    .load_floats = {KERN_FLOAT_FORMATS(ENTRY_ROWS)},
    .turn = turn,
    VEC_OPS_MORE
    .attn = attn_tile,
    .rms_norm = rms_norm,
    .add = add,
    .scale = scale,
    .axpy = axpy,
    .swiglu = swiglu,
    .softmax = softmax,
    .rope = rope,
    .f32_of_f16 = from_f16,
    .f32_of_bf16 = from_bf16,
    .all_finite = all_finite,
    .encoders = VEC_ENCODERS,
    .encode_q8_0 = VEC_ENCODE_Q8_0,
    .read = read_bytes,
};

const kern_bytes KERN_OF(VEC_LEVEL, _bytes) = {.multiply = {ENTRIES(ENTRY_MULTIPLY)}, .unfolded = {VEC_LOADED(ENTRY_UNFOLDED)}, .peak = byte_peak};
const kern_floats KERN_OF(VEC_LEVEL, _floats) = {.multiply = multiply_floats, .peak = float_peak};
const kern KERN_OF(VEC_LEVEL, ) = {
    .name = KERN_NAME(VEC_LEVEL),
    .needs = VEC_NEEDS,
    .more_bytes = VEC_MORE_BYTES,
    .ops = &KERN_OF(VEC_LEVEL, _ops),
    .bytes = &KERN_OF(VEC_LEVEL, _bytes),
    .floats = &KERN_OF(VEC_LEVEL, _floats),
};
