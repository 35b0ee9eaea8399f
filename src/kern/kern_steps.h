/* kern_steps.h: the integer sums of a panel and activations, by dot products of four bytes (template of a level).
 */
#ifndef LEAT_KERN_STEPS_H
#define LEAT_KERN_STEPS_H

/* Steps [from, from + n) of a block's 8, added to sum. */
KERN_INLINE void panel_steps(vi sum[][VEC_SUBS], const kern_panel *p, size_t sub, size_t block, size_t from, size_t n,
                             const kern_act8 *const *x, size_t n_tok, format f) {
    if (VEC_STEPS_MANY && n_tok == VEC_TOKENS) {
        const int8_t *columns[VEC_TOKENS];
        for (size_t t = 0; t < VEC_TOKENS; t++) columns[t] = x[t][block].q + 4 * from;
        v_steps_many(sum, p, sub, 8 * block + from, columns, n, f.top);
        return;
    }
    for (size_t at = from, to = from + VEC_ROLLED(f.top, n); at < to; at += VEC_STEPS(f.top, n)) {
        vd d[VEC_TOKENS][VEC_SUBS];
        for (size_t t = 0; t < n_tok; t++)
            for (size_t s = 0; s < VEC_SUBS; s++) d[t][s] = vd_start(sum[t][s], f.top);
        for (size_t step = at; step < at + VEC_STEPS(f.top, n); step++) {
            vb w[VEC_SUBS];
            for (size_t s = 0; s < VEC_SUBS; s++) w[s] = vb_load(p->q[8 * block + step][sub + s]);
            for (size_t t = 0; t < n_tok; t++) {
                vb q = vb_load_4(x[t][block].q + 4 * step);
                for (size_t s = 0; s < VEC_SUBS; s++) d[t][s] = vd_dot(d[t][s], w[s], q, f.top);
            }
        }
        for (size_t t = 0; t < n_tok; t++)
            for (size_t s = 0; s < VEC_SUBS; s++) sum[t][s] = vd_end(sum[t][s], d[t][s], f.top);
    }
}

KERN_OUTLINE void panel_multiply(kern_panel *p, const kern_act8 *const *acts, size_t n, size_t n_blocks,
                                 float (*sums)[KERN_PANEL_SUBS][16], kern_tiler *many, kern_tiler *one) {
    kern_panel_tiles(p, (const void *const *)acts, n, n_blocks, sums, (kern_tilers){many, one, VEC_TOKENS, VEC_SUBS, MAX(2, VEC_TOKENS / 2)});
}
_Static_assert(VEC_TOKENS <= KERN_PANEL_EXCESS, "sums in excess have a place");

#endif
