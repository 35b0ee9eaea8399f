/* The encoders of the types with codebooks: their error beside llama.cpp's, and their search beside one that tries
 * everything. That all instruction sets give the same bytes, and that any row is survived, is in test_encode.c. */
#include "base/base.h"
#include "check.h"
#include "kern/kern.h"
#include "quant/quant.h"
#include "quant/quant_grids.h"

#include <math.h>

enum { N_IN = 1024, N_ROWS = 16, N = N_IN * N_ROWS };

static const quant_id iq_types[] = {QUANT_IQ3_XXS, QUANT_IQ3_S,  QUANT_IQ2_XXS, QUANT_IQ2_XS,
                                    QUANT_IQ2_S,   QUANT_IQ1_S, QUANT_IQ1_M};

/* Normal rows, or Student's t with three degrees of freedom; importance of columns is lognormal. */
static void draw_rows(bool heavy, float *x, float *importance) {
    rng r;
    rng_seed(&r, heavy ? 5 : 4);
    for (size_t i = 0; i < N; i++) {
        double v = (double)rng_normal(&r), sum = 0;
        for (size_t k = 0; heavy && k < 3; k++) {
            double u = (double)rng_normal(&r);
            sum += u * u;
        }
        x[i] = (float)(0.02 * (heavy ? v / sqrt(sum / 3) : v));
    }
    for (size_t i = 0; i < N_IN; i++) importance[i] = (float)math_exp((double)rng_normal(&r));
}

/* Encodes and decodes; the weighted error relative to the weights. */
static double measure(const quant_type *t, const float *x, const float *importance, float *y) {
    static uint8_t blocks[N];
    double error = 0, sum = 0;
    for (size_t i = 0; i < N_ROWS; i++)
        kern_encoder(kern_best(), t->id)(x + i * N_IN, importance, blocks + i * (N_IN / 256) * t->block_bytes, N_IN);
    t->decode(blocks, y, N);
    for (size_t i = 0; i < N; i++) {
        double w = importance ? (double)importance[i % N_IN] : 1, e = (double)x[i] - (double)y[i];
        error += w * e * e;
        sum += w * (double)x[i] * (double)x[i];
    }
    return sqrt(error / sum);
}

/* What ggml_quantize_chunk of llama.cpp (ggml 0.5.0) leaves on these rows: normal, heavy; without importance, with. */
typedef struct peer_error {
    quant_id id;
    double error[2][2];
} peer_error;
static const peer_error peer_errors[] = {
    {QUANT_IQ3_XXS, {{0.21274, 0.15525}, {0.28625, 0.22155}}},
    {QUANT_IQ3_S, {{0.16696, 0.12119}, {0.22246, 0.18710}}},
    {QUANT_IQ2_XXS, {{0, 0.30056}, {0, 0.46359}}},
    {QUANT_IQ2_XS, {{0, 0.26146}, {0, 0.39295}}},
    {QUANT_IQ2_S, {{0, 0.22585}, {0, 0.36050}}},
    {QUANT_IQ1_S, {{0, 0.44963}, {0, 0.58219}}},
    {QUANT_IQ1_M, {{0, 0.39667}, {0, 0.47466}}},
};

TEST(encode_iq_errs_less_than_llama_cpp) {
    static float x[N], y[N], importance[N_IN];
    for (size_t heavy = 0; heavy < 2; heavy++) {
        draw_rows(heavy, x, importance);
        for (size_t k = 0; k < COUNT_OF(peer_errors); k++)
            for (size_t weighted = 0; weighted < 2; weighted++) {
                double peer = peer_errors[k].error[heavy][weighted];
                const quant_type *t = quant_find(peer_errors[k].id);
                if (peer == 0) continue; /* it needs importance */
                double seen = measure(t, x, weighted ? importance : NULL, y);
                CHECK_MSG(seen < peer, "%s, %s, %s importance: error %.5f, llama.cpp's %.5f", t->name,
                          heavy ? "heavy" : "normal", weighted ? "with" : "without", seen, peer);
            }
    }
}

/* A power of two changes nothing but the exponent of the scale. */
TEST(encode_iq_knows_no_size) {
    static float x[N], big[N], y[N], z[N], importance[N_IN];
    draw_rows(true, x, importance);
    for (size_t i = 0; i < N; i++) big[i] = x[i] * 1024;
    for (size_t k = 0; k < COUNT_OF(iq_types); k++) {
        const quant_type *t = quant_find(iq_types[k]);
        for (size_t i = 0; i < N; i++) x[i] = big[i] / 16;
        measure(t, x, importance, y);
        measure(t, big, importance, z);
        for (size_t i = 0; i < N; i++)
            CHECK_MSG(z[i] == 16 * y[i], "%s: weight %zu is %g, 16 times larger %g", t->name, i, (double)y[i],
                      (double)z[i]);
    }
}

/* Columns that never mattered still come out as something of their size: they may matter to other texts. */
TEST(encode_iq_keeps_what_has_no_importance) {
    static float x[N], y[N], importance[N_IN];
    draw_rows(false, x, importance);
    for (size_t i = 0; i < N_IN; i++)
        if (i % 8 == 5) importance[i] = 0;
    for (size_t k = 0; k < COUNT_OF(iq_types); k++) {
        const quant_type *t = quant_find(iq_types[k]);
        double error = 0, sum = 0;
        measure(t, x, importance, y);
        for (size_t i = 5; i < N; i += 8) {
            error += (double)(x[i] - y[i]) * (double)(x[i] - y[i]);
            sum += (double)x[i] * (double)x[i];
        }
        CHECK_MSG(error < 1.5 * sum, "%s: the error of what has no importance is %.3f times its squares", t->name,
                  error / sum);
    }
}

/* ---- all entries of the codebooks ---------------------------------------------------------------------------- */

typedef struct book {
    const void *entries;
    size_t n, len;    /* entries; weights an entry */
    bool even, signs; /* the number of minus signs is even; there are signs at all */
} book;

static book book_of(quant_id id) {
    switch (id) {
    case QUANT_IQ3_XXS: return (book){quant_grid_iq3_xxs, 256, 4, true, true};
    case QUANT_IQ3_S: return (book){quant_grid_iq3_s, 512, 4, false, true};
    case QUANT_IQ2_XXS: return (book){quant_grid_iq2_xxs, 256, 8, true, true};
    case QUANT_IQ2_XS: return (book){quant_grid_iq2_xs, 512, 8, true, true};
    case QUANT_IQ2_S: return (book){quant_grid_iq2_s, 1024, 8, false, true};
    default: return (book){quant_grid_iq1, 2048, 8, false, false};
    }
}

/* The least errors of a word for a scale, with no sign turned [0] and with one [1]. */
static void best_word(const book *k, const float *x, const float *w, double scale, double shift, double least[2]) {
    least[0] = least[1] = 1e30;
    for (size_t e = 0; e < k->n; e++) {
        const uint8_t *levels = (const uint8_t *)k->entries + e * k->len;
        double error = 0, turn = 1e30;
        for (size_t i = 0; i < k->len; i++) {
            double v = (double)x[i], at = scale * (k->signs ? levels[i] : levels[i] - 127.0 + shift);
            if (k->signs) v = fabs(v);
            error += (double)w[i] * (v - at) * (v - at);
            turn = fmin(turn, 4 * (double)w[i] * v * at);
        }
        least[0] = fmin(least[0], error);
        least[1] = fmin(least[1], error + turn);
    }
}

/* The least error of eight weights for a scale. */
static double best_unit(const book *k, const float *x, const float *w, double scale, double shift) {
    double a[2], b[2] = {0, 1e30};
    bool odd = false;
    for (size_t i = 0; i < 8; i++) odd ^= x[i] < 0;
    best_word(k, x, w, scale, shift, a);
    if (k->len == 4) best_word(k, x + 4, w + 4, scale, shift, b);
    return k->even && odd ? fmin(a[0] + b[1], a[1] + b[0]) : a[0] + b[0];
}

/* What the encoders weigh errors of a block with: larger weights count more. */
static void weigh(const float *x, const float *importance, float w[256]) {
    double mean = 0;
    for (size_t i = 0; i < 256; i++) mean += (double)x[i] * (double)x[i] / 256;
    for (size_t i = 0; i < 256; i++) w[i] = importance[i] * (float)sqrt(sqrt(1 + (double)x[i] * (double)x[i] / mean));
}

/* For the scales that were stored nothing in the codebook is better than what was stored. (The scale of the block is
 * chosen at last so that nothing shrinks, and other words may be better for that one.) */
TEST(encode_iq_finds_the_best_words) {
    static float x[N], importance[N_IN];
    float w[256];
    uint8_t block[128];
    quant_unpacked u;
    draw_rows(false, x, importance);
    for (size_t k = 0; k < COUNT_OF(iq_types); k++) {
        const quant_type *t = quant_find(iq_types[k]);
        book b = book_of(t->id);
        double stored = 0, best = 0;
        for (size_t at = 0; at < 1024; at += 256) {
            t->encode(x + at, importance + at, block, 256);
            t->unpack(block, &u, 256);
            weigh(x + at, importance + at, w);
            for (size_t i = 0; i < 256; i++) {
                double e = (double)x[at + i] - (double)u.scale[i / 16] * u.q[i];
                stored += (double)w[i] * e * e;
            }
            for (size_t i = 0; i < 256; i += 8) {
                double shift = (u.q[i] & 7) == 1 ? 1 : -1; /* of IQ1: 8 times a level, plus or minus 1 */
                best += best_unit(&b, x + at + i, w + i, (double)u.scale[i / 16], shift);
            }
        }
        CHECK_MSG(stored <= 1.05 * best, "%s: error %.6g, that of the best words %.6g", t->name, stored, best);
        CHECK_MSG(stored >= 0.999999 * best, "%s: error %.6g is less than the best words' %.6g", t->name, stored, best);
    }
}
