/* kern_panel_floats.h: a panel of floats times activations, and the rows that fill it (template of a level).
 */
#ifndef LEAT_KERN_PANEL_FLOATS_H
#define LEAT_KERN_PANEL_FLOATS_H

KERN_INLINE void load_float_rows(float to[16][16], const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in,
                                 load_floats *load, size_t bytes) {
    for (size_t r = 0; r < n_rows; r++, b += row_bytes) vf_store(to[r], n_in < 16 ? load_some(b, n_in, load, bytes) : load(b));
    memset(to[n_rows], 0, (16 - n_rows) * sizeof to[0]);
}
#define ROWS_FLOAT(type, id, bytes)                                                                                       \
    static void rows_##type(float to[16][16], const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in) {           \
        load_float_rows(to, b, row_bytes, n_rows, n_in, floats_##type, bytes);                                            \
    }
KERN_FLOAT_FORMATS(ROWS_FLOAT)

/* The sums of a panel start at zero and are added to those before at its end: short sums round less. n_tok is a constant. */
KERN_INLINE void panel_tile_floats(const kern_panel *p, size_t sub, size_t n_in, const float *const *x,
                                   float (*out)[KERN_PANEL_SUBS][16], size_t n_tok) {
    vf acc[VEC_FLOAT_TOKENS][VEC_SUBS];
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++) acc[t][s] = vf_set(0);
    for (size_t i = 0; i < n_in; i++) {
        vf w[VEC_SUBS];
        for (size_t s = 0; s < VEC_SUBS; s++) w[s] = vf_load(p->f[i][sub + s]);
        for (size_t t = 0; t < n_tok; t++) {
            vf a = vf_set(x[t][i]);
            for (size_t s = 0; s < VEC_SUBS; s++) acc[t][s] = vf_fma(a, w[s], acc[t][s]);
        }
    }
    for (size_t t = 0; t < n_tok; t++)
        for (size_t s = 0; s < VEC_SUBS; s++)
            vf_store(out[t][sub + s], vf_add(vf_load(out[t][sub + s]), acc[t][s]));
}

KERN_OUTLINE void many_floats(kern_panel *p, size_t sub, size_t from, size_t to, const void *const *x,
                              float (*out)[KERN_PANEL_SUBS][16]) {
    (void)from; /* 0 */
    panel_tile_floats(p, sub, to, (const float *const *)x, out, VEC_FLOAT_TOKENS);
}
KERN_OUTLINE void one_floats(kern_panel *p, size_t sub, size_t from, size_t to, const void *const *x,
                             float (*out)[KERN_PANEL_SUBS][16]) {
    (void)from;
    panel_tile_floats(p, sub, to, (const float *const *)x, out, 1);
}
static void multiply_floats(kern_panel *p, const float *const *acts, size_t n, size_t n_in,
                            float (*sums)[KERN_PANEL_SUBS][16]) {
    kern_panel_tiles(p, (const void *const *)acts, n, n_in, sums,
                     (kern_tilers){many_floats, one_floats, VEC_FLOAT_TOKENS, VEC_SUBS, MAX(2, VEC_FLOAT_TOKENS / 4)});
}
_Static_assert(VEC_FLOAT_TOKENS <= KERN_PANEL_EXCESS, "sums in excess have a place");

static void turn(const void *from, size_t stride, void *to, size_t far, size_t near) {
    v_transpose(from, stride, to, far, near);
}

/* For the bench. */
enum { PEAK_FLOATS = MAX(VEC_FLOAT_TOKENS, 3) };
static uint64_t float_peak(uint64_t rounds) {
    const uint64_t products = rounds * PEAK_FLOATS * 16;
    vf f[PEAK_FLOATS], a = vf_set(0.5f), b = vf_set(0.25f);
    for (size_t i = 0; i < PEAK_FLOATS; i++) f[i] = vf_set((float)i);
    do {
        for (size_t i = 0; i < PEAK_FLOATS; i++) f[i] = vf_fma(f[i], a, b);
    } while (--rounds);
    vf sum = vf_set(0);
    for (size_t i = 0; i < PEAK_FLOATS; i++) sum = vf_add(sum, f[i]);
    volatile float keep = vf_sum(sum);
    (void)keep;
    return products;
}

#endif
