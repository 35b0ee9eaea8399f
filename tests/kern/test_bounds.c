/* test_bounds.c: the bounds of integers by which levels add products in 16 bits (KERN_FORMATS): what is loaded keeps to them,
 * and sums of the largest are right. */
#include "blocks.h"
#include "check_kern.h"
#include "kern/kern_int.h"

#include <string.h>

/* Of each type: the bound with its scale in the integers, or what is nearer where they are as they are. */
#define BOUND(type, id, len, bytes, group, zero, panel_group, acts, has_min, top, way, narrow, most) \
    [QUANT_##id] = {top, most, (narrow) != (panel_group)},
static const struct {
    int top, most;
    bool unfolded; /* `most` holds where the type is not folded, only */
} bounds[QUANT_ID_MAX] = {KERN_FORMATS(BOUND)};

static kern_load_rows *folded(const kern *k, uint32_t id) { return k->bytes->unfolded[id] ? NULL : k->ops->load_folded[id]; }
/* Levels without loaders have integers plus 128. */
static int most(const kern *k, uint32_t id) {
    if (k->ops->zero_shift[id] == 7 && !k->ops->load_folded[QUANT_Q2_K]) return 255;
    return bounds[id].unfolded && folded(k, id) ? bounds[id].top : bounds[id].most;
}

static void load_keeps(const kern *k, const quant_type *t, const uint8_t *b, size_t bytes) {
    static kern_rows rows;
    memset(&rows, 0, sizeof rows);
    (folded(k, t->id) ? folded(k, t->id) : k->ops->load_rows[t->id])(&rows, b, bytes, 16, KERN_CHUNK, t);
    int largest = 0;
    for (size_t r = 0; r < 16; r++)
        for (size_t i = 0; i < KERN_CHUNK; i++) largest = MAX(largest, rows.q[r][i]);
    CHECK_MSG(largest <= most(k, t->id), "%s %s: loaded %d, wanted %d at most", kern_name(k), t->name, largest, most(k, t->id));
}

TEST(kern_loads_integers_within_their_bounds) {
    static uint8_t b[16 * KERN_CHUNK_BYTES_MAX];
    rng r;
    rng_seed(&r, 5);
    for (size_t i = 0; kern_at(i); i++)
        for (uint32_t id = 0; id < QUANT_ID_MAX && kern_runs(kern_at(i)); id++) {
            const quant_type *t = quant_find(id);
            if (!t || !kern_at(i)->ops->load_rows[id]) continue;
            size_t bytes = (size_t)t->block_bytes * (KERN_CHUNK / t->block_len);
            for (int value = 0; value < 256; value += 16) {
                for (size_t row = 0; row < 16; row++) memset(b + row * bytes, value + (int)row, bytes);
                load_keeps(kern_at(i), t, b, bytes);
            }
            for (size_t n = 0; n < 50; n++) {
                for (size_t at = 0; at < 16 * bytes; at++) b[at] = (uint8_t)rng_u64(&r);
                load_keeps(kern_at(i), t, b, bytes);
            }
        }
}

enum { BLOCKS = KERN_PANEL_GROUP, ACTS_MAX = 7 };

static void sums_hold(const kern *k, const quant_type *t, size_t n_act) {
    static const int8_t patterns[][4] = {{-128, -128, -128, -128}, {127, 127, 127, 127}, {-128, 127, -128, 127}, {-128, -128, 127, 127}};
    static kern_act8 acts[ACTS_MAX][BLOCKS];
    const kern_act8 *at[ACTS_MAX];
    const bool both = k->ops->prompt_act[t->id] == KERN_ACT_I8_32;
    const int q = most(k, t->id), zero = q < 255 && k->ops->has_min[t->id] ? 0 : 1 << (folded(k, t->id) ? 7 : k->ops->zero_shift[t->id]);
    int wanted[ACTS_MAX] = {0};
    kern_panel *p = aligned_alloc(64, align_up(kern_scratch_bytes(k, KERN_PANEL_DEPTH), 64));
    memset(p, 0, sizeof *p);
    memset(p->q, q, sizeof p->q);
    for (size_t i = 0; i < COUNT_OF(p->scale); i++)
        for (size_t row = 0; row < KERN_PANEL_ROWS; row++) p->scale[i][row / 16][row % 16] = 1;
    p->zero_shift = __builtin_ctz((unsigned)(zero ? zero : 1));
    for (size_t a = 0; a < n_act; a++) {
        at[a] = acts[a];
        for (size_t i = 0; i < BLOCKS; i++) {
            kern_act8 *x = &acts[a][i];
            int sum[2] = {0};
            for (size_t j = 0; j < KERN_ACT8_LEN; j++) sum[j / 16] += x->q[j] = patterns[a % COUNT_OF(patterns)][j % 4];
            for (size_t u = 0; u < 2; u++) {
                x->unit[u].scale = 1;
                x->unit[u].minus = -sum[u];
                x->unit[u].sum = (float)(both ? sum[0] + sum[1] : sum[u]);
                if (both) x->unit[u].minus_both = -sum[0] - sum[1];
                else x->unit[u].sum_both = (float)(sum[0] + sum[1]);
            }
            wanted[a] += (q - zero) * (sum[0] + sum[1]);
        }
    }
    k->bytes->multiply[t->id](p, at, n_act, BLOCKS, p->sums);
    for (size_t a = 0; a < n_act; a++)
        for (size_t row = 0; row < KERN_PANEL_ROWS; row++) {
            float sum = p->sums[a][row / 16][row % 16];
            CHECK_MSG(sum == (float)wanted[a], "%s %s, activation %zu of %zu, row %zu: %g, wanted %d", kern_name(k), t->name, a, n_act, row,
                      (double)sum, wanted[a]);
            if (sum != (float)wanted[a]) row = KERN_PANEL_ROWS;
        }
    free(p);
}

TEST(kern_sums_of_the_largest_integers_are_right) {
    for (size_t i = 0; kern_at(i); i++)
        for (uint32_t id = 0; id < QUANT_ID_MAX && kern_runs(kern_at(i)); id++) {
            const quant_type *t = quant_find(id);
            if (!t || !kern_at(i)->bytes->multiply[id]) continue;
            for (size_t n = 1; n <= ACTS_MAX; n++) sums_hold(kern_at(i), t, n);
        }
}
