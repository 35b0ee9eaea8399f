/* kern_panel.h: a panel of quantised weights times activations (template of a level).
 *
 * A tile is 16 * VEC_SUBS rows by up to VEC_TOKENS activations, in registers. Sums of 16 or 32 products are exact integers,
 * however a level comes by them (panel_steps and panel_multiply: kern_steps.h); scales and offsets are applied and added in
 * float, in the same order at all levels. AVX-512 has its tiles in instructions (kern_asm.h). panel.c has the loops around.
 */
#ifndef LEAT_KERN_PANEL_H
#define LEAT_KERN_PANEL_H

/* sum = minus * zero: what the weights' zero point adds. Narrow integers with offsets have none. */
KERN_INLINE void panel_start(vi sum[VEC_SUBS], const kern_panel *p, const int32_t *minus, format f) {
    vi start = f.has_min && f.top < 255 ? vi_set(0) : vi_shift_left(vi_load_1(minus), p->zero_shift);
    for (size_t s = 0; s < VEC_SUBS; s++) sum[s] = vd_signed(start, minus, f.top);
}

/* acc -= offsets * sums of the activations */
KERN_INLINE void panel_offsets(vf acc[][VEC_SUBS], const kern_panel *p, size_t sub, size_t block, const kern_act8 *const *x, size_t n_tok,
                               format f) {
    for (size_t u = 0; u < (f.group == 32 ? 1 : 2); u++)
        for (size_t s = 0; s < VEC_SUBS; s++) {
            vf min = vf_load(p->min[2 * block + u][sub + s]);
            for (size_t t = 0; t < n_tok; t++)
                acc[t][s] = vf_fnma(min, vf_set(f.group == 32 && f.acts == 16 ? x[t][block].unit[0].sum_both : x[t][block].unit[u].sum), acc[t][s]);
        }
}

/* acc += 32 columns: the sums of both units, or of the block where both scales hold for it. What the units have in common
 * is applied once; a scale of 128 weights not here. */
KERN_INLINE void panel_block(vf acc[][VEC_SUBS], const kern_panel *p, size_t sub, size_t block,
                             const kern_act8 *const *x, size_t n_tok, format f) {
    vf part[VEC_TOKENS][VEC_SUBS];
    const bool whole = f.group >= 32 && f.acts == 32, apart = f.group == 16 && f.acts == 16;
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) part[t][s] = vf_set(0);
    for (size_t u = 0; u < (whole ? 1 : 2); u++) {
        vi sum[VEC_TOKENS][VEC_SUBS];
        for (size_t t = 0; t < n_tok; t++) panel_start(sum[t], p, whole ? &x[t][block].unit[0].minus_both : &x[t][block].unit[u].minus, f);
        panel_steps(sum, p, sub, block, 4 * u, whole ? 8 : 4, x, n_tok, f);
        for (size_t s = 0; s < VEC_SUBS; s++) {
            vf weights = vf_load(p->scale[2 * block + (f.group == 16 ? u : 0)][sub + s]);
            for (size_t t = 0; t < n_tok; t++) {
                vf dot = vf_of_vi(sum[t][s]), act = vf_set(x[t][block].unit[u].scale), by = f.acts == 16 ? act : weights;
                if (f.group == 128) {
                    acc[t][s] = vf_fma(dot, act, acc[t][s]);
                } else if (whole || apart) {
                    acc[t][s] = vf_fma(vf_mul(dot, act), weights, acc[t][s]);
                } else {
                    part[t][s] = u == 0 ? vf_mul(dot, by) : vf_fma(dot, by, part[t][s]);
                    if (u == 1) acc[t][s] = vf_fma(part[t][s], f.acts == 16 ? weights : act, acc[t][s]);
                }
            }
        }
    }
}

/* out += a group of 128 weights, of which the integers have their scales in them but for one. What there was waits in memory. */
KERN_INLINE void panel_group(float (*out)[KERN_PANEL_SUBS][16], const kern_panel *p, size_t sub, size_t from, size_t to,
                             const kern_act8 *const *x, size_t n_tok, format f) {
    vf part[VEC_TOKENS][VEC_SUBS];
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) part[t][s] = vf_set(0);
    for (size_t b = from; b < to; b++) panel_block(part, p, sub, b, x, n_tok, f);
    for (size_t s = 0; s < VEC_SUBS; s++) {
        vf scale = vf_load(p->scale[2 * from][sub + s]);
        for (size_t t = 0; t < n_tok; t++) part[t][s] = vf_fma(part[t][s], scale, vf_load(out[t][sub + s]));
    }
    if (f.has_min)
#pragma GCC unroll 1
        for (size_t b = from; b < to; b++) panel_offsets(part, p, sub, b, x, n_tok, f);
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) vf_store(out[t][sub + s], part[t][s]);
}

/* out += panel * activations over blocks [from, to) of 32 columns; n_tok is a constant. */
KERN_INLINE void panel_tile(const kern_panel *p, size_t sub, size_t from, size_t to, const kern_act8 *const *x, float (*out)[KERN_PANEL_SUBS][16],
                            size_t n_tok, format f) {
    vf acc[VEC_TOKENS][VEC_SUBS];
    if (f.group == 128) {
        for (size_t b = from; b < to; b += KERN_PANEL_GROUP) panel_group(out, p, sub, b, b + KERN_PANEL_GROUP, x, n_tok, f);
        return;
    }
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) acc[t][s] = vf_load(out[t][sub + s]);
    for (size_t b = from; b < to; b++) {
        panel_block(acc, p, sub, b, x, n_tok, f);
        if (f.has_min) panel_offsets(acc, p, sub, b, x, n_tok, f);
    }
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) vf_store(out[t][sub + s], acc[t][s]);
}

/* A multiplier per kind of type, of which there are fewer than types; a loader for each type. */
#define TILER(name, n_tok, group, acts, has_min, top)                                                                   \
    static void name(kern_panel *p, size_t sub, size_t from, size_t to, const void *const *x,                           \
                     float (*out)[KERN_PANEL_SUBS][16]) {                                                               \
        panel_tile(p, sub, from, to, (const kern_act8 *const *)x, out, n_tok, (format){NULL, NULL, NULL, NULL, 0, group, acts, has_min, 0, top});             \
    }
#define MULTIPLIER(group, acts, has_min, top)                                                                           \
    VEC_MANY(many_##group##_##acts##_##has_min##_##top, VEC_TOKENS, group, acts, has_min, top)                          \
    TILER(one_##group##_##acts##_##has_min##_##top, 1, group, acts, has_min, top)                                       \
    static void multiply_##group##_##acts##_##has_min##_##top(kern_panel *p, const kern_act8 *const *x, size_t n, \
                                                              size_t n_blocks, float (*sums)[KERN_PANEL_SUBS][16]) {    \
        panel_multiply(p, x, n, n_blocks, sums, many_##group##_##acts##_##has_min##_##top,                              \
                       one_##group##_##acts##_##has_min##_##top);                                                       \
    }
#define ENTRY_MULTIPLY(type, id, len, bytes, group, zero, panel_group, acts, has_min, top, way, narrow, most) \
    [QUANT_##id] = MULTIPLY_KIND(VEC_NARROW(panel_group, narrow), acts, has_min, VEC_NARROW(top, most)),
#define ENTRY_UNFOLDED(type, id, len, bytes, group, zero, panel_group, acts, has_min, top, way, narrow, most) \
    [QUANT_##id] = VEC_NARROW(panel_group, narrow) != (panel_group),
#define MULTIPLY_KIND(group, acts, has_min, top) MULTIPLY_NAME(group, acts, has_min, top)
#define MULTIPLY_NAME(group, acts, has_min, top) multiply_##group##_##acts##_##has_min##_##top

#endif
