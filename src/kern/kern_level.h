/* kern_level.h: the templates of a level, put together into its table. Included once, at the end of kern_<level>.c.
 *
 * Read on in kern_decode.h (one token: a fused dot), kern_panel.h (many: panels), kern_attn.h, kern_rows.h.
 */
#define KERN_NOTHING(...)
#include "kern/kern_chunk.h"
#include "kern/kern_acts.h"
#include "kern/kern_decode.h"
#include "kern/kern_panel.h"
#include "kern/kern_rows.h"
#include "kern/kern_attn.h"

#define DECODE_ENTRY(type, id, ...) [QUANT_##id] = decode_##type,
#define DECODE_ENTRY_OTHER(type, id, ...) [QUANT_##id] = decode_other,
#define ROWS_ENTRY(type, id, ...) [QUANT_##id] = rows_##type,
#define ROWS_ENTRY_OTHER(type, id, ...) [QUANT_##id] = rows_other,
#define MULTIPLY_ENTRY(type, id, len, bytes, group, acts, has_min, zero, top) \
    [QUANT_##id] = multiply_##group##_##acts##_##has_min##_##top,
#define MULTIPLY_ENTRY_OTHER(type, id, len, bytes, group, acts, has_min, ...) \
    [QUANT_##id] = multiply_##group##_##acts##_##has_min##_255,
#define MIN_ENTRY(type, id, len, bytes, group, acts, has_min, ...) [QUANT_##id] = has_min,
#define ACT_ENTRY(type, id, len, bytes, group, acts, ...) [QUANT_##id] = KERN_ACT_I8_##acts,

const kern VEC_TABLE = {
    .name = VEC_NAME,
    .needs = VEC_NEEDS,
    .prepare = {[KERN_ACT_F32] = prepare_f32, [KERN_ACT_I16] = prepare_i16, [KERN_ACT_I8_16] = prepare_i8_16,
                [KERN_ACT_I8_32] = prepare_i8_32},
        .decode = {VEC_FORMATS(DECODE_ENTRY, DECODE_ENTRY_OTHER) KERN_FLOAT_FORMATS(DECODE_ENTRY)},
    .load_rows = {VEC_FORMATS(ROWS_ENTRY, ROWS_ENTRY_OTHER)},
    .multiply = {VEC_FORMATS(MULTIPLY_ENTRY, MULTIPLY_ENTRY_OTHER)},
    .load_floats = {KERN_FLOAT_FORMATS(ROWS_ENTRY)},
    .multiply_floats = multiply_floats,
    .turn = turn,
    .prompt_act = {KERN_VECTOR_FORMATS(ACT_ENTRY) KERN_OTHER_FORMATS(ACT_ENTRY)}, /* 0, KERN_ACT_F32, for float types */
    .has_min = {KERN_VECTOR_FORMATS(MIN_ENTRY) KERN_OTHER_FORMATS(MIN_ENTRY)},
    .attn = attn_tile,
    .rms_norm = rms_norm,
    .add = add,
    .mul = mul,
    .scale = scale,
    .axpy = axpy,
    .swiglu = swiglu,
    .softmax = softmax,
    .max = max,
    .rope = rope,
    .f16_of_f32 = to_f16,
    .f32_of_f16 = from_f16,
    .encoders = VEC_ENCODERS,
    .read = read_bytes,
    .dot_peak = dot_peak,
};
