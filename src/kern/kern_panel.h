/* kern_panel.h: a panel of quantised weights times activations (template of a level).
 *
 * A tile is 16 * VEC_SUBS rows by up to VEC_TOKENS activations, in registers. Sums of 16 or 32 products are exact integers,
 * however a level comes by them (panel_steps and panel_multiply, the loop over activations: kern_steps.h); scales and
 * offsets are applied and added in float, in the same order at all levels. panel.c has the loops around.
 */
#ifndef LEAT_KERN_PANEL_H
#define LEAT_KERN_PANEL_H

/* sum = minus * zero: what the weights' zero point adds. Narrow integers with offsets have none. */
KERN_INLINE void panel_start(vi sum[VEC_SUBS], const kern_panel *p, const int32_t *minus, format f) {
    vi start = f.has_min && f.top < 255 ? vi_set(0) : vi_shift_left(vi_load_1(minus), p->zero_shift);
    for (size_t s = 0; s < VEC_SUBS; s++) sum[s] = vd_signed(start, minus, f.top);
}

/* part = or += unit u of a block, times the scales that differ between its two units: of the weights, of the
 * activations, or both. */
KERN_INLINE void panel_unit(vf part[][VEC_SUBS], const kern_panel *p, size_t sub, size_t block, size_t u,
                            const kern_act8 *const *x, size_t n_tok, format f) {
    vi sum[VEC_TOKENS][VEC_SUBS];
    for (size_t t = 0; t < n_tok; t++) panel_start(sum[t], p, &x[t][block].minus[u], f);
    panel_steps(sum, p, sub, block, 4 * u, 4, x, n_tok, f);
    for (size_t s = 0; s < VEC_SUBS; s++) {
        vf scale = vf_load(p->scale[2 * block + u][sub + s]);
        for (size_t t = 0; t < n_tok; t++) {
            vf dot = vf_of_vi(sum[t][s]), by = f.group == 16 ? scale : vf_set(x[t][block].scale[u]);
            if (f.group == 16 && f.acts == 16) dot = vf_mul(dot, vf_set(x[t][block].scale[u]));
            part[t][s] = u == 0 ? vf_mul(dot, by) : vf_fma(dot, by, part[t][s]);
        }
    }
}

/* acc -= offsets * sums of the activations */
KERN_INLINE void panel_offsets(vf acc[][VEC_SUBS], const kern_panel *p, size_t sub, size_t block, const kern_act8 *const *x, size_t n_tok,
                               format f) {
    for (size_t u = 0; u < (f.group == 16 ? 2 : 1); u++)
        for (size_t s = 0; s < VEC_SUBS; s++) {
            vf min = vf_load(p->min[2 * block + u][sub + s]);
            for (size_t t = 0; t < n_tok; t++)
                acc[t][s] = vf_fnma(min, vf_set(f.group == 16 ? x[t][block].sum[u] : x[t][block].sum_both), acc[t][s]);
        }
}

/* acc += 32 columns. What both units have in common is applied to their sum. */
KERN_INLINE void panel_block(vf acc[][VEC_SUBS], const kern_panel *p, size_t sub, size_t block,
                             const kern_act8 *const *x, size_t n_tok, format f) {
    vf part[VEC_TOKENS][VEC_SUBS];
    if (f.group == 32 && f.acts == 32) {
        vi sum[VEC_TOKENS][VEC_SUBS];
        for (size_t t = 0; t < n_tok; t++) panel_start(sum[t], p, &x[t][block].minus_both, f);
        panel_steps(sum, p, sub, block, 0, 8, x, n_tok, f);
        for (size_t t = 0; t < n_tok; t++)
            for (size_t s = 0; s < VEC_SUBS; s++) part[t][s] = vf_mul(vf_of_vi(sum[t][s]), vf_set(x[t][block].scale[0]));
    } else {
        panel_unit(part, p, sub, block, 0, x, n_tok, f);
        panel_unit(part, p, sub, block, 1, x, n_tok, f);
    }
    for (size_t s = 0; s < VEC_SUBS; s++) {
        vf scale = vf_load(p->scale[2 * block][sub + s]);
        for (size_t t = 0; t < n_tok; t++) {
            if (f.group == 32) acc[t][s] = vf_fma(part[t][s], scale, acc[t][s]);
            else if (f.acts == 32) acc[t][s] = vf_fma(part[t][s], vf_set(x[t][block].scale[0]), acc[t][s]);
            else acc[t][s] = vf_add(acc[t][s], part[t][s]);
        }
    }
    if (f.has_min) panel_offsets(acc, p, sub, block, x, n_tok, f);
}

/* out += panel * activations over blocks [from, to) of 32 columns; n_tok is a constant. */
KERN_INLINE void panel_tile(const kern_panel *p, size_t sub, size_t from, size_t to, const kern_act8 *const *x, float (*out)[KERN_PANEL_SUBS][16],
                            size_t n_tok, format f) {
    vf acc[VEC_TOKENS][VEC_SUBS];
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) acc[t][s] = vf_load(out[t][sub + s]);
    for (size_t b = from; b < to; b++) panel_block(acc, p, sub, b, x, n_tok, f);
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) vf_store(out[t][sub + s], acc[t][s]);
}

/* A multiplier per kind of type, of which there are fewer than types; a loader for each type. */
#define TILER(name, n_tok, group, acts, has_min, top)                                                                   \
    static void name(const kern_panel *p, size_t sub, size_t from, size_t to, const kern_act8 *const *x,                       \
                     float (*out)[KERN_PANEL_SUBS][16]) {                                                               \
        panel_tile(p, sub, from, to, x, out, n_tok, (format){NULL, NULL, NULL, NULL, 0, group, acts, has_min, 0, top});             \
    }
#define MULTIPLIER(group, acts, has_min, top)                                                                           \
    TILER(many_##group##_##acts##_##has_min##_##top, VEC_TOKENS, group, acts, has_min, top)                             \
    TILER(one_##group##_##acts##_##has_min##_##top, 1, group, acts, has_min, top)                                       \
    static void multiply_##group##_##acts##_##has_min##_##top(kern_panel *p, const kern_act8 *const *x, size_t n, \
                                                              size_t n_blocks, float (*sums)[KERN_PANEL_SUBS][16]) {    \
        panel_multiply(p, x, n, n_blocks, sums, many_##group##_##acts##_##has_min##_##top,                              \
                       one_##group##_##acts##_##has_min##_##top);                                                       \
    }
#define ENTRY_MULTIPLY(type, id, len, bytes, group, zero, panel_group, acts, has_min, top, fused) \
    [QUANT_##id] = multiply_##panel_group##_##acts##_##has_min##_##top,

#endif
