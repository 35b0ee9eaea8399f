/* encode_grid.h: the search that the types with codebooks share: IQ3, IQ2, IQ1.
 *
 * A weight is scale * (2 l + 1) * level: the block's scale, the small integer l of its group, and one level of eight or
 * three; which levels may stand together a codebook says, for words of 4 or 8 weights. So for a given scale of the
 * group each word looks for the entry of the smallest weighted squared error. All entries are looked at, and cheaply:
 * sixteen words side by side, one a lane; the error of half a word has few values, which are summed up once (64 or 81
 * vectors); and for each second half the least of the first halves that the codebook allows beside it is one minimum an
 * entry.
 *
 * A block is a batch of 16 lanes of 16 weights, two `units` of 8 each. Its search:
 *   1. Four scales about a guess for each group, and the best one after the fit; each gives words, and these a parabola
 *      of the error over the scale.
 *   2. Of sixteen scales of the block the one for which the parabolas, each at its best l, add up to the least.
 *   3. The words again, for the scales that are stored; then the block's scale, so that nothing shrinks (keep_size).
 * Types with seven signs for eight weights must make the number of minus signs even: the tries turn the sign of the
 * weight that matters least, the last step finds word and turned sign together.
 * The stack holds up to 56 KB. Next: encode_iq3.h, encode_iq2.h, encode_iq1.h, which pack.
 */
#ifndef LEAT_ENCODE_GRID_H
#define LEAT_ENCODE_GRID_H

#include "quant/encode_batch.h"
#include "quant/quant_grids.h"

#define GRID_UNITS 2   /* of 8 weights, in a lane */
#define GRID_HALVES 81 /* half words at most */
#define GRID_TRIES 5

/* What tells the types apart. */
typedef struct grid_kind {
    float first, step, extra; /* level j is first + step j, and the top one extra more                  */
    uint32_t digit_bits;      /* of a level's number: 2: three levels, words of 8; 3: eight, words of 4 */
    bool even;                /* the number of minus signs of a unit is even                            */
    bool shifted;             /* signed levels, which all are moved by +1 or -1 (see quant_unpack.h)    */
    size_t shared;            /* lanes that share an l, and a shift: 1 or 2                             */
    float top;                /* the largest 2 l + 1                                                    */
    float unit;               /* the stored scale is for levels this much larger                        */
    float of_rms, of_peak;    /* the guess of a group's scale is these parts of both                    */
} grid_kind;

/* Errors of half words, of two words side by side: both look up the same halves. */
typedef struct grid_halves {
    vf error[GRID_HALVES][2];
} grid_halves;

/* A codebook by the second half of its words: those from start[h] on have the second half h. Entry i of the grid has
 * the first half whose errors are low[i] bytes into grid_halves. */
typedef struct grid_book {
    size_t n_halves;
    uint16_t start[GRID_HALVES + 1];
    uint16_t tag[GRID_HALVES]; /* the digits of half h */
    uint16_t low[2048];
} grid_book;

typedef float grid_row[BATCH_GROUPS]; /* one weight of each lane */

typedef struct grid_block {
    const grid_kind *kind;
    grid_book book;
    batch b; /* x without sign, but for shifted kinds */
    _Alignas(64) float guess[16][BATCH_GROUPS];        /* x, the least important with a minus where a sign must turn */
    _Alignas(64) int32_t odd[GRID_UNITS][BATCH_GROUPS];   /* -1: the number of minus signs is odd */
    _Alignas(64) int32_t signs[GRID_UNITS][BATCH_GROUPS]; /* bit i: weight i is negative */
    _Alignas(64) float scale[BATCH_GROUPS];               /* of each group, what is tried */
    _Alignas(64) float shift[GRID_UNITS][BATCH_GROUPS];
    _Alignas(64) float sum_xx[BATCH_GROUPS];              /* of w x x, each lane's */
    /* What was found: */
    _Alignas(64) int32_t word[GRID_UNITS][BATCH_GROUPS];  /* digits of a unit's levels, the first lowest */
    _Alignas(64) float error[GRID_UNITS][BATCH_GROUPS];
    _Alignas(64) float xg[GRID_TRIES][BATCH_GROUPS], gg[GRID_TRIES][BATCH_GROUPS]; /* sums of w x g and w g g */
    _Alignas(64) float best[GRID_TRIES][BATCH_GROUPS];    /* xg / gg: the best scale for what a try found */
    float level[BATCH_GROUPS];                            /* l */
    uint16_t half;                                        /* the scale of the block as stored, */
    float d;                                              /* and in units of the batch         */
} grid_block;

/* ---- the codebook ------------------------------------------------------------------------------------------- */

/* The number of a half word among all: digits of 3 levels count in threes. */
static inline size_t grid_half(uint32_t digits, uint32_t digit_bits) {
    if (digit_bits == 3) return digits & 63;
    return (digits & 3) + 3 * (digits >> 2 & 3) + 9 * (digits >> 4 & 3) + 27 * (digits >> 6 & 3);
}

/* Where the errors of a word's first half are. */
static inline size_t grid_low(uint32_t digits, uint32_t digit_bits) {
    return grid_half(digits & (digit_bits == 3 ? 63 : 255), digit_bits) * sizeof(vf[2]);
}

static void book_open(grid_book *k, uint32_t digit_bits) {
    memset(k->start, 0, sizeof k->start);
    k->n_halves = digit_bits == 3 ? 64 : 81;
    for (uint32_t digits = 0; digits < (digit_bits == 3 ? 64 : 171); digits++)
        if (digit_bits == 3 || (digits & digits >> 1 & 0x55) == 0) /* a digit of two bits is never 3 */
            k->tag[grid_half(digits, digit_bits)] = (uint16_t)digits;
}

/* Entry i has these halves. Entries come in ascending order: those with the same second half are neighbours. */
static inline void book_add(grid_book *k, size_t i, uint32_t low, uint32_t high) {
    k->low[i] = (uint16_t)(low * sizeof(vf[2]));
    k->start[high + 1] = (uint16_t)(i + 1);
}

/* Second halves that no entry has begin where the next ones do. */
static void book_close(grid_book *k) {
    for (size_t h = 1; h <= k->n_halves; h++) k->start[h] = MAX(k->start[h], k->start[h - 1]);
}

/* The grid as quant_grids.h has it: 8 bytes an entry, of which two bits from `shift` on, after `less` is taken off, are
 * the digit. The product adds up four of them, times 1, 3, 9 and 27, in its top byte. */
static void book_load_8(grid_book *k, const uint64_t *grid, size_t n, uint64_t less, uint32_t shift) {
    book_open(k, 2);
    for (size_t i = 0; i < n; i++) {
        uint64_t digits = (grid[i] - less) >> shift & 0x0303030303030303u;
        book_add(k, i, (uint32_t)digits * 0x0103091bu >> 24, (uint32_t)(digits >> 32) * 0x0103091bu >> 24);
    }
    book_close(k);
}

/* 4 bytes an entry, of which three bits from `shift` on are the digit. */
static void book_load_4(grid_book *k, const uint32_t *grid, size_t n, uint32_t shift) {
    book_open(k, 3);
    for (size_t i = 0; i < n; i++) {
        uint32_t digits = grid[i] >> shift & 0x07070707, pairs = digits | digits >> 5;
        book_add(k, i, pairs & 63, pairs >> 16 & 63);
    }
    book_close(k);
}

/* The entry of these digits, which is in the book. */
static inline uint32_t book_find(const grid_book *k, uint32_t digits, uint32_t digit_bits) {
    size_t low = grid_low(digits, digit_bits);
    uint32_t at = k->start[grid_half(digits >> (digit_bits == 3 ? 6 : 8), digit_bits)];
    while (k->low[at] != low) at++;
    return at;
}

/* Errors of first halves carry their digits in the last eight bits of the number, where nobody misses them. */
static inline void book_tag(const grid_book *k, grid_halves *low) {
    for (size_t q = 0; q < k->n_halves; q++)
        for (size_t w = 0; w < 2; w++)
            low->error[q][w] = vf_of_bits((vi_bits(low->error[q][w]) & ~255) | (int32_t)k->tag[q]);
}

/* The best entry found so far. */
typedef struct grid_found {
    vf error;
    vi digits;
} grid_found;

/* One with this second half; first: the error and the digits of the best first half beside it. */
static inline void book_take(grid_found *f, vf first, vf second, vi tag) {
    vf sum = first + second;
    f->digits = vi_pick(sum < f->error, (vi_bits(first) & 255) | tag, f->digits);
    f->error = vf_min(sum, f->error);
}

static inline const vf *book_errors(const grid_halves *low, size_t offset) {
    return (const vf *)((const char *)low->error + offset);
}

/* The least low + high of all entries, for two words. */
static void book_best(const grid_book *k, const grid_halves *low, const grid_halves *high, grid_found to[2]) {
    grid_found a = {vf_all(F32_MAX), {0}}, b = a;
    int bits = k->n_halves == 64 ? 6 : 8;
    for (size_t h = 0, i = 0; h < k->n_halves; h++) {
        vf first_a = vf_all(F32_MAX), first_b = first_a;
        for (size_t end = k->start[h + 1]; i < end; i++) {
            const vf *at = book_errors(low, k->low[i]);
            first_a = vf_min(first_a, at[0]);
            first_b = vf_min(first_b, at[1]);
        }
        vi tag = vi_all((int32_t)k->tag[h] << bits);
        book_take(&a, first_a, high->error[h][0], tag);
        book_take(&b, first_b, high->error[h][1], tag);
    }
    to[0] = a;
    to[1] = b;
}

/* The same with no sign turned (to[.][0]) and with one, in the first half or in the second (to[.][1]). */
static void book_best_turned(const grid_book *k, const grid_halves *low, const grid_halves *high, grid_found (*to)[2]) {
    grid_found a = {vf_all(F32_MAX), {0}}, b = a, a_turned = a, b_turned = a;
    int bits = k->n_halves == 64 ? 6 : 8;
    for (size_t h = 0, i = 0; h < k->n_halves; h++) {
        vf first_a = vf_all(F32_MAX), first_b = first_a, turned_a = first_a, turned_b = first_a;
        for (size_t end = k->start[h + 1]; i < end; i++) {
            const vf *at = book_errors(low, k->low[i]), *turned = book_errors(low + 1, k->low[i]);
            first_a = vf_min(first_a, at[0]);
            first_b = vf_min(first_b, at[1]);
            turned_a = vf_min(turned_a, turned[0]);
            turned_b = vf_min(turned_b, turned[1]);
        }
        vi tag = vi_all((int32_t)k->tag[h] << bits);
        book_take(&a, first_a, high[0].error[h][0], tag);
        book_take(&b, first_b, high[0].error[h][1], tag);
        book_take(&a_turned, turned_a, high[0].error[h][0], tag);
        book_take(&b_turned, turned_b, high[0].error[h][1], tag);
        book_take(&a_turned, first_a, high[1].error[h][0], tag);
        book_take(&b_turned, first_b, high[1].error[h][1], tag);
    }
    to[0][0] = a;
    to[0][1] = a_turned;
    to[1][0] = b;
    to[1][1] = b_turned;
}

/* ---- errors of half words ------------------------------------------------------------------------------------ */

/* Of one weight at each of n points. */
static inline void grid_errors(vf x, vf w, const vf *points, size_t n, vf *to) {
    for (size_t j = 0; j < n; j++) {
        vf e = x - points[j];
        to[j] = w * e * e;
    }
}

/* Sums of any of a and any of b: to n * n places, which are two apart for halves. */
static inline void grid_pair(const vf *a, const vf *b, size_t n, size_t apart, vf *to) {
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < n; i++) to[apart * (n * j + i)] = a[i] + b[j];
}

/* A sign is turned in a or in b. */
static inline void grid_pair_turned(const vf *a, const vf *a_turned, const vf *b, const vf *b_turned, size_t n,
                                    size_t apart, vf *to) {
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < n; i++) to[apart * (n * j + i)] = vf_min(a_turned[i] + b[j], a[i] + b_turned[j]);
}

/* Of half a word, 2 weights of eight levels or 4 of three, whose rows begin at x and w: with no sign turned to to[0],
 * and with one, if that is wanted, to to[1]; both as half words beside others (grid_halves). */
static inline void grid_half_errors(const grid_row *x, const grid_row *w, size_t l, const vf *points, size_t n_levels,
                                    bool turn, vf *to[2]) {
    vf e[4][8], t[4][8], minus[8], pairs[2][9], turned[2][9];
    size_t n = n_levels == 8 ? 2 : 4;
    for (size_t j = 0; turn && j < n_levels; j++) minus[j] = -points[j];
    for (size_t i = 0; i < n; i++) {
        grid_errors(vf_load(&x[i][l]), vf_load(&w[i][l]), points, n_levels, e[i]);
        if (turn) grid_errors(vf_load(&x[i][l]), vf_load(&w[i][l]), minus, n_levels, t[i]);
    }
    if (n_levels == 8) {
        grid_pair(e[0], e[1], 8, 2, to[0]);
        if (turn) grid_pair_turned(e[0], t[0], e[1], t[1], 8, 2, to[1]);
        return;
    }
    for (size_t p = 0; p < 2; p++) {
        grid_pair(e[2 * p], e[2 * p + 1], 3, 1, pairs[p]);
        if (turn) grid_pair_turned(e[2 * p], t[2 * p], e[2 * p + 1], t[2 * p + 1], 3, 1, turned[p]);
    }
    grid_pair(pairs[0], pairs[1], 9, 2, to[0]);
    if (turn) grid_pair_turned(pairs[0], turned[0], pairs[1], turned[1], 9, 2, to[1]);
}

/* ---- words for given scales ----------------------------------------------------------------------------------- */

static inline vi grid_odd_signs(const grid_block *g, size_t k, size_t l) {
    vi odd;
    memcpy(&odd, &g->odd[k][l], sizeof odd);
    return odd;
}

/* The points at which a level of this unit can stand. */
static inline void grid_points(const grid_block *g, size_t k, size_t l, size_t n_levels, vf *points) {
    vf scale = vf_load(&g->scale[l]), shift = g->kind->shifted ? vf_load(&g->shift[k][l]) : (vf){0};
    for (size_t j = 0; j < n_levels; j++) {
        float level = g->kind->first + g->kind->step * (float)j + (j == n_levels - 1 ? g->kind->extra : 0.0f);
        points[j] = scale * (level + shift);
    }
}

/* Errors of the halves of two words: those of both units, or, where words have four weights, both of unit k. */
static inline void grid_both_errors(const grid_block *g, const grid_row *x, size_t k, size_t l, size_t n_levels,
                                    bool turn, grid_halves *low, grid_halves *high) {
    size_t n = n_levels == 8 ? 2 : 4;
    for (size_t w = 0; w < 2; w++) {
        vf points[8], *to_low[2] = {&low[0].error[0][w], NULL}, *to_high[2] = {&high[0].error[0][w], NULL};
        size_t at = n_levels == 8 ? 8 * k + 4 * w : 8 * w;
        if (turn) {
            to_low[1] = &low[1].error[0][w];
            to_high[1] = &high[1].error[0][w];
        }
        grid_points(g, at / 8, l, n_levels, points);
        grid_half_errors(x + at, g->b.w + at, l, points, n_levels, turn, to_low);
        grid_half_errors(x + at + n, g->b.w + at + n, l, points, n_levels, turn, to_high);
    }
    book_tag(&g->book, low);
    if (turn) book_tag(&g->book, low + 1);
}

static inline void grid_set_word(grid_block *g, size_t k, size_t l, vi word) {
    memcpy(&g->word[k][l], &word, sizeof word);
}

/* Words for x as it is. */
static void grid_words_of_8(grid_block *g, const grid_row *x) {
    EACH_LANE(l) {
        grid_halves low, high;
        grid_found found[2];
        grid_both_errors(g, x, 0, l, 3, false, &low, &high);
        book_best(&g->book, &low, &high, found);
        for (size_t k = 0; k < GRID_UNITS; k++) {
            grid_set_word(g, k, l, found[k].digits);
            vf_store(&g->error[k][l], found[k].error);
        }
    }
}

static void grid_words_of_4(grid_block *g, const grid_row *x) {
    EACH_LANE(l)
        for (size_t k = 0; k < GRID_UNITS; k++) {
            grid_halves low, high;
            grid_found found[2];
            grid_both_errors(g, x, k, l, 8, false, &low, &high);
            book_best(&g->book, &low, &high, found);
            grid_set_word(g, k, l, found[0].digits | found[1].digits << 12);
        }
}

/* Words for x without sign, where a sign has to be turned if their number is odd. */
static void grid_even_words_of_8(grid_block *g) {
    EACH_LANE(l) {
        grid_halves low[2], high[2];
        grid_found found[2][2];
        grid_both_errors(g, g->b.x, 0, l, 3, true, low, high);
        book_best_turned(&g->book, low, high, found);
        for (size_t k = 0; k < GRID_UNITS; k++)
            grid_set_word(g, k, l, vi_pick(grid_odd_signs(g, k, l), found[k][1].digits, found[k][0].digits));
    }
}

static void grid_even_words_of_4(grid_block *g) {
    EACH_LANE(l)
        for (size_t k = 0; k < GRID_UNITS; k++) {
            grid_halves low[2], high[2];
            grid_found a[2][2];
            grid_both_errors(g, g->b.x, k, l, 8, true, low, high);
            book_best_turned(&g->book, low, high, a);
            vi odd = grid_odd_signs(g, k, l), in_first = a[0][1].error + a[1][0].error < a[0][0].error + a[1][1].error;
            vi first = vi_pick(odd & in_first, a[0][1].digits, a[0][0].digits);
            vi second = vi_pick(odd & ~in_first, a[1][1].digits, a[1][0].digits);
            grid_set_word(g, k, l, first | second << 12);
        }
}

/* Where two lanes are a group both have its sum. */
static inline void grid_share(const grid_block *g, float v[BATCH_GROUPS]) {
    if (g->kind->shared == 1) return;
    for (size_t i = 0; i < BATCH_GROUPS; i += 2) v[i] = v[i + 1] = v[i] + v[i + 1];
}

/* Moves levels down by 1 where `up` less `down` is positive: of each unit, or of a group as one. */
static void grid_set_shift(grid_block *g, float gain[GRID_UNITS][BATCH_GROUPS]) {
    if (g->kind->shared == 2) {
        for (size_t i = 0; i < BATCH_GROUPS; i++) gain[0][i] = gain[1][i] = gain[0][i] + gain[1][i];
        for (size_t k = 0; k < GRID_UNITS; k++) grid_share(g, gain[k]);
    }
    for (size_t k = 0; k < GRID_UNITS; k++)
        for (size_t i = 0; i < BATCH_GROUPS; i++) g->shift[k][i] = gain[k][i] > 0 ? -1.0f : 1.0f;
}

/* The shift that would be better if all words were in the book. */
static void grid_guess_shift(grid_block *g) {
    _Alignas(64) float gain[GRID_UNITS][BATCH_GROUPS];
    for (size_t k = 0; k < GRID_UNITS; k++)
        EACH_LANE(l) {
            vf points[2][3], sum[2] = {{0}, {0}}, scale = vf_load(&g->scale[l]);
            for (size_t j = 0; j < 3; j++)
                for (size_t t = 0; t < 2; t++)
                    points[t][j] = scale * (g->kind->first + g->kind->step * (float)j + (t == 0 ? 1.0f : -1.0f));
            for (size_t i = 8 * k; i < 8 * k + 8; i++)
                for (size_t t = 0; t < 2; t++) {
                    vf e[3];
                    grid_errors(vf_load(&g->b.x[i][l]), vf_load(&g->b.w[i][l]), points[t], 3, e);
                    sum[t] += vf_min(vf_min(e[0], e[1]), e[2]);
                }
            vf_store(&gain[k][l], sum[0] - sum[1]);
        }
    grid_set_shift(g, gain);
}

/* Words of shifted kinds, with the better of the two shifts. */
static void grid_words_shifted(grid_block *g) {
    float gain[GRID_UNITS][BATCH_GROUPS];
    int32_t up[GRID_UNITS][BATCH_GROUPS];
    for (size_t k = 0; k < GRID_UNITS; k++)
        for (size_t i = 0; i < BATCH_GROUPS; i++) g->shift[k][i] = 1.0f;
    grid_words_of_8(g, g->b.x);
    memcpy(gain, g->error, sizeof gain);
    memcpy(up, g->word, sizeof up);
    for (size_t k = 0; k < GRID_UNITS; k++)
        for (size_t i = 0; i < BATCH_GROUPS; i++) g->shift[k][i] = -1.0f;
    grid_words_of_8(g, g->b.x);
    for (size_t k = 0; k < GRID_UNITS; k++)
        for (size_t i = 0; i < BATCH_GROUPS; i++) gain[k][i] -= g->error[k][i];
    grid_set_shift(g, gain);
    for (size_t k = 0; k < GRID_UNITS; k++)
        for (size_t i = 0; i < BATCH_GROUPS; i++)
            if (g->shift[k][i] > 0) g->word[k][i] = up[k][i];
}

/* Sums over each group for its words; turn: also turns the sign that it costs least to turn, where one must. */
static void grid_sums(grid_block *g, const grid_row *x, bool turn, float *xg, float *gg) {
    const grid_kind *kind = g->kind;
    int bits = (int)kind->digit_bits, mask = (1 << bits) - 1, last = bits == 3 ? 7 : 2;
    EACH_LANE(l) {
        vf sum_xg = {0}, sum_gg = {0};
        for (size_t k = 0; k < GRID_UNITS; k++) {
            vf least = vf_all(F32_MAX), shift = kind->shifted ? vf_load(&g->shift[k][l]) : (vf){0};
            vi word, odd, signs, at = {0};
            memcpy(&word, &g->word[k][l], sizeof word);
            for (int i = 0; i < 8; i++) {
                vi digit = (word >> (bits * i)) & mask;
                vf level = kind->first + kind->step * __builtin_convertvector(digit, vf) + shift;
                level += vf_where(digit == last, vf_all(kind->extra));
                vf wg = vf_load(&g->b.w[8 * k + (size_t)i][l]) * level, wxg = wg * vf_load(&x[8 * k + (size_t)i][l]);
                sum_xg += wxg;
                sum_gg += wg * level;
                at = vi_pick(wxg < least, vi_all(1 << i), at);
                least = vf_min(wxg, least);
            }
            if (!turn) continue;
            memcpy(&odd, &g->odd[k][l], sizeof odd);
            memcpy(&signs, &g->signs[k][l], sizeof signs);
            sum_xg -= vf_where(odd, least + least);
            signs ^= odd & at;
            memcpy(&g->signs[k][l], &signs, sizeof signs);
        }
        vf_store(&xg[l], sum_xg);
        vf_store(&gg[l], sum_gg);
    }
    grid_share(g, xg);
    grid_share(g, gg);
}

/* ---- a block --------------------------------------------------------------------------------------------------- */

/* No weight is without any importance, compared with the largest of the block: its column may yet see something. */
#define GRID_LEAST_IMPORTANCE 0x1p-10f

static void grid_load(grid_block *g, const float *x, const float *importance) {
    batch_load(&g->b, x, importance, 256, 16, 16, importance ? FAVOUR_FOURTH_ROOT : FAVOUR_NONE);
    EACH_LANE(l)
        for (size_t k = 0; k < GRID_UNITS; k++) {
            vf least = vf_all(F32_MAX);
            vi signs = {0}, odd = {0};
            for (size_t i = 0; i < 8; i++) {
                vf v = vf_load(&g->b.x[8 * k + i][l]), w = vf_load(&g->b.w[8 * k + i][l]) + GRID_LEAST_IMPORTANCE;
                vi minus = v < 0.0f;
                least = vf_min(w * v * v, least);
                signs |= minus & (1 << i);
                odd ^= minus;
                vf_store(&g->b.w[8 * k + i][l], w);
                if (!g->kind->shifted) vf_store(&g->b.x[8 * k + i][l], vf_abs(v));
            }
            memcpy(&g->signs[k][l], &signs, sizeof signs);
            memcpy(&g->odd[k][l], &odd, sizeof odd);
            for (size_t i = 8 * k; g->kind->even && i < 8 * k + 8; i++) {
                vf v = vf_load(&g->b.x[i][l]);
                vf_store(&g->guess[i][l], vf_pick(odd & (vf_load(&g->b.w[i][l]) * v * v == least), -v, v));
            }
        }
}

/* A first scale of each group, from its mean square and its largest. */
static void grid_guess_scale(grid_block *g, float scale[BATCH_GROUPS]) {
    _Alignas(64) float sum[BATCH_GROUPS], all[BATCH_GROUPS], peak[BATCH_GROUPS];
    EACH_LANE(l) {
        vf s = {0}, n = {0};
        for (size_t i = 0; i < 16; i++) {
            vf x = vf_load(&g->b.x[i][l]), w = vf_load(&g->b.w[i][l]);
            s += w * x * x;
            n += w;
        }
        vf_store(&sum[l], s);
        vf_store(&g->sum_xx[l], s);
        vf_store(&all[l], n);
        vf_store(&peak[l], vf_abs(vf_load(&g->b.peak[l])));
    }
    grid_share(g, sum);
    grid_share(g, all);
    batch_share_max(peak, g->kind->shared);
    for (size_t i = 0; i < BATCH_GROUPS; i++)
        scale[i] = g->kind->of_rms * (float)math_sqrt((double)(sum[i] / all[i])) + g->kind->of_peak * peak[i];
}

/* Fills row t of what was tried: words for the scales that are set, and the best scale for them. */
static void grid_try(grid_block *g, size_t t) {
    const grid_row *x = g->kind->even ? g->guess : g->b.x;
    if (g->kind->shifted) grid_guess_shift(g);
    if (g->kind->digit_bits == 3) grid_words_of_4(g, x);
    else grid_words_of_8(g, x);
    grid_sums(g, x, false, g->xg[t], g->gg[t]);
    EACH_LANE(l) {
        vf xg = vf_load(&g->xg[t][l]);
        vf_store(&g->best[t][l], vf_where(xg > 0.0f, xg / vf_load(&g->gg[t][l])));
    }
}

/* The scale of each group that leaves the least error of n tries. */
static void grid_best_scale(const grid_block *g, size_t n, float scale[BATCH_GROUPS]) {
    EACH_LANE(l) {
        vf most = {0}, best = {0};
        for (size_t t = 0; t < n; t++) {
            vf s = vf_load(&g->best[t][l]), gain = s * vf_load(&g->xg[t][l]);
            best = vf_pick(gain > most, s, best);
            most = vf_max(gain, most);
        }
        vf_store(&scale[l], best);
    }
}

/* For a block's scale d and a try's best scale: the nearest 2 l + 1 that can be stored. */
static inline vf grid_odd(const grid_block *g, vf best, vf per_d) {
    vf odd = vf_round((best * per_d - 1.0f) * 0.5f) * 2.0f + 1.0f;
    return vf_max(vf_min(odd, vf_all(g->kind->top)), vf_all(1.0f));
}

/* Of sixteen scales of the block the best one. A parabola is lowest at the nearest scale that can be stored. */
static float grid_choose_d(const grid_block *g, float largest) {
    static const float part[16] = {0.85f, 0.87f, 0.89f, 0.91f, 0.93f, 0.95f, 0.97f, 0.99f,
                                   1.01f, 1.03f, 1.05f, 1.07f, 1.09f, 1.11f, 1.13f, 1.15f};
    _Alignas(64) float ds[16], errors[16];
    size_t best = 0;
    EACH_LANE(l) {
        vf d = vf_load(&part[l]) * (largest / g->kind->top), per_d = 1.0f / d, sum = {0};
        for (size_t i = 0; i < BATCH_GROUPS; i += g->kind->shared) {
            vf least = vf_all(F32_MAX);
            for (size_t t = 0; t < GRID_TRIES; t++) {
                vf s = d * grid_odd(g, vf_all(g->best[t][i]), per_d);
                least = vf_min((g->gg[t][i] * s - 2.0f * g->xg[t][i]) * s, least);
            }
            sum += least;
        }
        vf_store(&ds[l], d);
        vf_store(&errors[l], sum);
    }
    for (size_t i = 1; i < 16; i++)
        if (errors[i] < errors[best]) best = i;
    return ds[best];
}

/* Sets l of each group for the block's scale, and the scale of the group that they make. */
static void grid_choose_levels(grid_block *g) {
    EACH_LANE(l) {
        vf least = vf_all(F32_MAX), best = vf_all(1.0f), d = vf_all(g->d), per_d = vf_all(1.0f / g->d);
        for (size_t t = 0; t < GRID_TRIES; t++) {
            vf odd = grid_odd(g, vf_load(&g->best[t][l]), per_d), s = d * odd;
            vf error = (vf_load(&g->gg[t][l]) * s - 2.0f * vf_load(&g->xg[t][l])) * s;
            best = vf_pick(error < least, odd, best);
            least = vf_min(error, least);
        }
        vf_store(&g->level[l], best * 0.5f - 0.5f);
        vf_store(&g->scale[l], d * best);
    }
}

/* The block's scale as it can be stored. */
static void grid_set_d(grid_block *g, float d) {
    float unit = g->b.unit[0];
    g->half = f16_of_f32(MIN(d / g->kind->unit * unit, 65504.0f));
    g->d = f32_of_f16(g->half) / unit * g->kind->unit;
}

/* Finds all that is stored of 256 weights; false where they are all zero, or too small for a half. */
static bool grid_search(grid_block *g, const float *x, const float *importance) {
    static const float ratio[GRID_TRIES - 1] = {0.8f, 0.95f, 1.13f, 1.35f};
    _Alignas(64) float guess[BATCH_GROUPS];
    float largest = 0, xg = 0, xx = 0;
    grid_load(g, x, importance);
    grid_guess_scale(g, guess);
    for (size_t t = 0; t < GRID_TRIES; t++) {
        if (t == GRID_TRIES - 1) grid_best_scale(g, t, g->scale);
        else
            EACH_LANE(l) vf_store(&g->scale[l], ratio[t] * vf_load(&guess[l]));
        grid_try(g, t);
    }
    grid_best_scale(g, GRID_TRIES, guess);
    for (size_t i = 0; i < BATCH_GROUPS; i++) largest = MAX(guess[i], largest);
    if (!(largest > 0)) return false;
    grid_set_d(g, grid_choose_d(g, largest));
    if (g->half == 0) return false;
    grid_choose_levels(g);
    if (g->kind->even && g->kind->digit_bits == 3) grid_even_words_of_4(g);
    else if (g->kind->even) grid_even_words_of_8(g);
    else if (g->kind->shifted) grid_words_shifted(g);
    else if (g->kind->digit_bits == 3) grid_words_of_4(g, g->b.x);
    else grid_words_of_8(g, g->b.x);
    grid_sums(g, g->b.x, g->kind->even, g->xg[0], g->gg[0]);
    for (size_t i = 0; i < BATCH_GROUPS; i += g->kind->shared) {
        float odd = 2.0f * g->level[i] + 1.0f;
        xg += odd * g->xg[0][i];
    }
    for (size_t i = 0; i < BATCH_GROUPS; i++) xx += g->sum_xx[i];
    if (xg > 0) grid_set_d(g, g->d * keep_size(xx, g->d * xg));
    return true;
}

#endif
