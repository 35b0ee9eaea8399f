/* panel.c: rows of weights times many activations: the loops around the panel kernels of a level.
 *
 * A tile of rows is unpacked once into a panel of bytes (or floats) that stays in L1, then multiplied with all
 * activations: so any type has the speed of the plainest from its loader alone, and weights never exist twice in memory.
 * Columns come KERN_PANEL_DEPTH at a time, in order, each activation with sums of its own: a result does not depend on
 * what else is computed with it. No arithmetic here; read on in kern_panel.h.
 */
#include "kern/kern_int.h"

/* Lines of what comes next, n bytes of them: to L2 where all of a tile's rows must stay until they are used. */
static void fetch(kern_panel *p, size_t n) {
    for (size_t i = 0; i < n && p->next.n_rows; i += 64) {
        if (p->next.early) __builtin_prefetch(p->next.at + p->next.done, 0, 2);
        else __builtin_prefetch(p->next.at + p->next.done);
        p->next.done += 64;
        if (p->next.done < p->next.bytes) continue;
        p->next.done = 0;
        p->next.at += p->next.row_bytes;
        p->next.n_rows--;
    }
}

/* How integers get their units' scales, too; NULL: they do not. */
static kern_load_rows *load_folded(const kern *k, quant_id type) { return k->bytes->unfolded[type] ? NULL : k->ops->load_folded[type]; }

/* n_in columns from the start of the rows at b, of which n_rows exist. */
static void fill(const kern *k, kern_panel *p, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, const quant_type *t) {
    size_t near = sizeof p->q[0], per_unit = sizeof p->scale[0], chunk_bytes = (size_t)t->block_bytes * (KERN_CHUNK / t->block_len);
    kern_load_rows *load = load_folded(k, t->id) ? load_folded(k, t->id) : k->ops->load_rows[t->id];
    kern_rows rows;
    for (size_t sub = 0; sub < KERN_PANEL_SUBS; sub++, b += 16 * row_bytes) {
        size_t here = n_rows > 16 * sub ? MIN(n_rows - 16 * sub, 16) : 0;
        if (here < 16) memset(&rows, 0, sizeof rows);
        for (size_t at = 0; at < n_in; at += KERN_CHUNK) {
            size_t step = at / 4, unit = at / KERN_UNIT;
            if (p->next.early) fetch(p, 16 * chunk_bytes);
            if (k->ops->fill[t->id] && here == 16 && n_in - at >= KERN_CHUNK) {
                k->ops->fill[t->id](p, at, sub, b + at / KERN_CHUNK * chunk_bytes, row_bytes);
                continue;
            }
            load(&rows, b + at / KERN_CHUNK * chunk_bytes, row_bytes, here, MIN(n_in - at, KERN_CHUNK), t);
            for (size_t v = 0; v < 4; v++)
                k->ops->turn(rows.q[0] + 64 * v, KERN_CHUNK, p->q[step + 4 * v][sub], 16 * near, near);
            k->ops->turn(rows.scale, sizeof rows.scale[0], p->scale[unit][sub], 4 * per_unit, per_unit);
            if (k->ops->has_min[t->id]) k->ops->turn(rows.min, sizeof rows.min[0], p->min[unit][sub], 4 * per_unit, per_unit);
        }
    }
}

/* The same with panels of floats. */
static void fill_floats(const kern *k, kern_panel *p, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in,
                        const quant_type *t) {
    _Alignas(64) float w[16][16];
    for (size_t sub = 0; sub < KERN_PANEL_SUBS; sub++, b += 16 * row_bytes) {
        size_t here = n_rows > 16 * sub ? MIN(n_rows - 16 * sub, 16) : 0;
        for (size_t at = 0; at < n_in; at += 16) {
            if (p->next.early) fetch(p, 16 * 16 * (size_t)t->block_bytes);
            k->ops->load_floats[t->id](w, b + at * t->block_bytes, row_bytes, here, MIN(n_in - at, 16));
            k->ops->turn(w, sizeof w[0], p->f[at][sub], 4 * sizeof p->f[0], sizeof p->f[0]);
        }
    }
}

/* What comes after the panel of column `at` of rows from `row` on; after the last rows those of the next call. With few activations
 * it is the next tile of rows, all of it in the order of memory, which brings it soonest; with many, which drive out of L2
 * what waits for long, the next panel. */
static void look_ahead(kern_panel *p, const kern_matmul *m, const quant_type *t, size_t row, size_t at, size_t depth) {
    size_t n = MIN(m->n_rows - row, (size_t)KERN_PANEL_ROWS), after = MIN(m->n_rows - row - n, (size_t)KERN_PANEL_ROWS);
    const uint8_t *rows = (const uint8_t *)m->weights + row * m->row_bytes, *behind = after ? rows + n * m->row_bytes : m->then;
    size_t n_behind = after ? after : behind ? n : 0, column = at + depth < m->n_in ? at + depth : 0;
    p->next.done = 0;
    p->next.row_bytes = m->row_bytes;
    if (p->next.early) { /* as a single row */
        p->next.at = behind;
        p->next.n_rows = n_behind > 0;
        p->next.bytes = n_behind * m->row_bytes;
    } else {
        p->next.at = column ? rows + column / t->block_len * t->block_bytes : behind;
        p->next.n_rows = column ? n : n_behind;
        p->next.bytes = MIN(m->n_in - column, depth) / t->block_len * t->block_bytes + 63;
        p->next.share = p->next.n_rows * align_up(p->next.bytes, 64);
    }
}

static void put_sums(kern_panel *p, size_t n) {
    for (; p->out.done < MIN(n, p->out.n); p->out.done++) {
        float *out = p->out.to[p->out.done] + p->out.at;
        const float *sums = p->sums[p->out.done][0];
        if (p->out.n_rows == KERN_PANEL_ROWS) memcpy(out, sums, sizeof p->sums[0]); /* without a call */
        else memcpy(out, sums, p->out.n_rows * sizeof *out);
    }
}

/* Before a tile: n bytes of what comes next are prefetched, and the sums of the first `done` activations, which are complete,
 * leave, so that the tile hides what that takes. */
static void work_ahead(kern_panel *p, size_t n, size_t done) {
    put_sums(p, done);
    fetch(p, n);
}

void kern_panel_tiles(kern_panel *p, const void *const *acts, size_t n, size_t to, float (*sums)[KERN_PANEL_SUBS][16], kern_tilers t) {
    size_t i = 0, share = p->next.early ? 0 : div_up(p->next.share, div_up(n, t.tokens));
    for (; t.tokens > t.few && i + t.few < n; i += t.tokens) {
        const void *some[KERN_PANEL_EXCESS];
        for (size_t j = 0; i + t.tokens > n && j < t.tokens; j++) some[j] = acts[MIN(i + j, n - 1)];
        work_ahead(p, share, i);
        for (size_t sub = 0; sub < KERN_PANEL_SUBS; sub += t.subs) t.many(p, sub, 0, to, i + t.tokens > n ? some : acts + i, sums + i);
    }
    if (i < n) work_ahead(p, share, i);
    for (; i < n; i++)
        for (size_t sub = 0; sub < KERN_PANEL_SUBS; sub += t.subs) t.one(p, sub, 0, to, acts + i, sums + i);
}

/* One tile of rows, from `row` on, times the activations [first, first + n). */
static void run_tile(const kern *k, const kern_matmul *m, const quant_type *t, size_t row, size_t first, size_t n) {
    kern_panel *p = m->scratch;
    const uint8_t *b = (const uint8_t *)m->weights + row * m->row_bytes;
    const void *acts[KERN_PANEL_ACTS];
    bool floats = !k->ops->load_rows[t->id];
    size_t depth_max = floats ? KERN_PANEL_FLOAT_DEPTH : KERN_PANEL_DEPTH;
    p->zero_shift = !floats && load_folded(k, t->id) ? 7 : k->ops->zero_shift[t->id];
    memset(p->sums, 0, n * sizeof p->sums[0]);
    p->out.to = m->outs + first;
    p->out.at = m->out_first + row;
    p->out.n_rows = MIN(m->n_rows - row, (size_t)KERN_PANEL_ROWS);
    p->out.n = p->out.done = 0;
    p->next.early = n <= KERN_PANEL_FEW;
    for (size_t at = 0; at < m->n_in; at += depth_max) {
        size_t depth = MIN(m->n_in - at, depth_max), act_at = floats ? at * sizeof(float) : at / KERN_ACT8_LEN * sizeof(kern_act8);
        for (size_t i = 0; i < n; i++) acts[i] = (const char *)m->acts[first + i] + act_at;
        if (!at || !p->next.early) look_ahead(p, m, t, row, at, depth_max);
        if (at + depth == m->n_in) p->out.n = n;
        if (floats) {
            fill_floats(k, p, b + at * t->block_bytes, m->row_bytes, m->n_rows - row, depth, t);
            k->floats->multiply(p, (const float *const *)acts, n, depth, p->sums);
        } else {
            fill(k, p, b + at / t->block_len * t->block_bytes, m->row_bytes, m->n_rows - row, depth, t);
            k->bytes->multiply[t->id](p, (const kern_act8 *const *)acts, n, div_up(depth, KERN_ACT8_LEN), p->sums);
        }
    }
    put_sums(p, n);
    for (size_t i = 0; m->scale != 1 && i < n; i++) k->ops->scale(p->out.to[i] + p->out.at, m->scale, p->out.n_rows);
}

void kern_panel_run(const kern *k, const kern_matmul *m) {
    const quant_type *t = quant_find(m->type);
    for (size_t first = 0; first < m->n_act; first += KERN_PANEL_ACTS)
        for (size_t row = 0; row < m->n_rows; row += KERN_PANEL_ROWS)
            run_tile(k, m, t, row, first, MIN(m->n_act - first, (size_t)KERN_PANEL_ACTS));
}
