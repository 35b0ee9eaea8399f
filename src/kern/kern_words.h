/* kern_words.h: decode in 256-bit registers without dot products of bytes (AVX2; in place of kern_decode.h's way).
 *
 * Rare types and more than a few activations go by way of memory; types with codebooks: kern_entries.h; K types: kern_bytes.h.
 *
 * Integers are multiplied as words of 16 bits, as activations are: those of bytes of even place, then those of odd place.
 * Below 32 such a pair need not be taken apart: as it is, it is 256 times the odd one and the even one beside it, which its own
 * activation has less of then (KERN_ACT_I16_BESIDE). All is 256 times as large.
 * Activations come as KERN_ACT_I16_HALVES: vector k of eight has units k and 8 + k, a lane each. So a lane has half a chunk, and
 * one register the scales of eight blocks, of which in-lane shuffles give each vector its own. Rows are taken one by one: a CPU
 * sees two chunks ahead, and registers are few.
 */
#ifndef LEAT_KERN_WORDS_H
#define LEAT_KERN_WORDS_H

/* 32 weights: those of even place, those of odd place. */
typedef struct words {
    __m256i even, odd;
} words;
/* Scales, a unit each (0 to 3 and 8 to 11, then the others) or a block of 32 each (in turn), and what is to be taken off, a block each. */
typedef struct words_scales {
    __m256 scale[2], min;
} words_scales;
/* Vector k; k is a constant, and what several vectors have in common is done once by the compiler. */
typedef words words_load(const uint8_t *b, size_t k);
typedef words_scales words_scales_of(const uint8_t *b);

typedef struct words_type {
    size_t bytes, group; /* of a chunk; weights a scale: 16, 32 or all 256 */
    words_load *words;
    words_scales_of *scales;
    bool has_min;
    float zero; /* where there are no offsets: scales count so many times */
} words_type;

/* ---- what types are made of -------------------------------------------------------------------------------- */

KERN_INLINE __m256i words_set(int x) { return _mm256_set1_epi16((short)x); }
/* 16 bytes of each half of a chunk. */
KERN_INLINE __m256i words_halves(const uint8_t *b, size_t apart) { return join(load_16(b, 0), load_16(b, apart)); }
KERN_INLINE words words_bytes(__m256i x) {
    return (words){_mm256_and_si256(x, words_set(255)), _mm256_srli_epi16(x, 8)};
}
KERN_INLINE words words_beside(__m256i x) { return (words){_mm256_slli_epi16(x, 8), x}; }
/* Nibbles as bytes, the low ones or the high ones. */
KERN_INLINE __m256i words_nibbles(__m256i x, bool high) {
    return _mm256_and_si256(high ? _mm256_srli_epi16(x, 4) : x, _mm256_set1_epi8(15));
}
KERN_INLINE __m256i words_looked_up(__m256i nibbles, const int8_t table[16], uint8_t plus) {
    __m256i values = _mm256_add_epi8(_mm256_broadcastsi128_si256(load_16(table, 0)), _mm256_set1_epi8((char)plus));
    return _mm256_shuffle_epi8(values, nibbles);
}
/* Eight bytes as numbers, by way of memory, whence they are spread by the load: the units for shuffles have enough to do. */
KERN_INLINE __m256i words_spread(uint64_t bytes) {
    __asm__("" : "+m"(bytes));
    return _mm256_castpd_si256(_mm256_broadcast_sd((const double *)&bytes));
}
/* Bytes below 64, each less 32. */
KERN_INLINE uint64_t words_less_32(uint64_t bytes) { return (bytes + 0x60 * EACH_BYTE) ^ 0x80 * EACH_BYTE; }
#define NUMBER(i) i, -1, -1, -1
#define TOP(i) -1, -1, -1, i /* whence a shift brings it down with its sign */
KERN_INLINE __m256i words_places(void) {
    return _mm256_setr_epi8(NUMBER(0), NUMBER(1), NUMBER(2), NUMBER(3), NUMBER(4), NUMBER(5), NUMBER(6), NUMBER(7));
}
KERN_INLINE __m256 words_half(const uint8_t *b) { return _mm256_cvtph_ps(_mm_set1_epi16((short)load_u16(b))); }

/* ---- types ------------------------------------------------------------------------------------------------- */

KERN_INLINE words words_iq4_xs(const uint8_t *b, size_t k) {
    return words_bytes(words_looked_up(words_nibbles(words_halves(b + 8 + 16 * (k / 2), 64), k % 2), quant_values_iq4, 128));
}
/* Eight bytes with signs times a half. */
KERN_INLINE words_scales words_scales_iq4_xs(const uint8_t *b) {
    uint64_t bytes = u64_deposit(load_u32(b + 4), 15 * EACH_BYTE) | u64_deposit(load_u16(b + 2), 0x30 * EACH_BYTE);
    __m256i tops = _mm256_setr_epi8(TOP(0), TOP(1), TOP(2), TOP(3), TOP(4), TOP(5), TOP(6), TOP(7));
    __m256i numbers = _mm256_srai_epi32(_mm256_shuffle_epi8(words_spread(words_less_32(bytes)), tops), 24);
    return (words_scales){.scale = {_mm256_mul_ps(_mm256_cvtepi32_ps(numbers), words_half(b))}};
}

/* Eight blocks of 32: a lane has block g, the other block 4 + g. */
KERN_INLINE __m256i words_blocks(const uint8_t *b, size_t at, size_t bytes, size_t k) {
    return words_nibbles(words_halves(b + at + bytes * (k / 2), 4 * bytes), k % 2);
}
KERN_INLINE words words_q4_0(const uint8_t *b, size_t k) { return words_beside(words_blocks(b, 2, 18, k)); }
/* The half at the beginning of each of eight blocks. */
KERN_INLINE __m256 words_half_of_each(const uint8_t *b, size_t bytes) {
#define HALF(i) _mm_set1_epi16((short)load_u16(b + bytes * (i)))
    __m128i x = _mm_blend_epi16(_mm_blend_epi16(HALF(0), HALF(1), 0x02), _mm_blend_epi16(HALF(2), HALF(3), 0x08), 0x0C);
    __m128i y = _mm_blend_epi16(_mm_blend_epi16(HALF(4), HALF(5), 0x20), _mm_blend_epi16(HALF(6), HALF(7), 0x80), 0xC0);
#undef HALF
    return _mm256_cvtph_ps(_mm_blend_epi16(x, y, 0xF0));
}
KERN_INLINE words_scales words_scales_q4_0(const uint8_t *b) { return (words_scales){.scale = {words_half_of_each(b, 18)}}; }
KERN_INLINE words_scales words_scales_q4_1(const uint8_t *b) {
    words_scales s = {.scale = {words_half_of_each(b, 20)}, .min = words_half_of_each(b + 2, 20)};
    s.min = _mm256_sub_ps(_mm256_setzero_ps(), s.min); /* added, not taken off */
    return s;
}
KERN_INLINE words words_q4_1(const uint8_t *b, size_t k) { return words_beside(words_blocks(b, 4, 20, k)); }
KERN_INLINE words words_q5_0(const uint8_t *b, size_t k) {
    __m256i bits = bits_of(words_halves(b + 2 + 22 * (k / 2), 88), k % 2 * 2);
    return words_beside(_mm256_or_si256(words_blocks(b, 6, 22, k), _mm256_and_si256(bits, _mm256_set1_epi8(16))));
}
KERN_INLINE words_scales words_scales_q5_0(const uint8_t *b) { return (words_scales){.scale = {words_half_of_each(b, 22)}}; }
KERN_INLINE words words_q8_0(const uint8_t *b, size_t k) {
    return words_bytes(_mm256_xor_si256(words_halves(b + 2 + 34 * (k / 2) + 16 * (k % 2), 136), _mm256_set1_epi8((char)0x80)));
}
KERN_INLINE words_scales words_scales_q8_0(const uint8_t *b) { return (words_scales){.scale = {words_half_of_each(b, 34)}}; }
KERN_INLINE words words_iq4_nl(const uint8_t *b, size_t k) { return words_bytes(words_looked_up(words_blocks(b, 2, 18, k), quant_values_iq4, 128)); }
KERN_INLINE words words_mxfp4(const uint8_t *b, size_t k) { return words_beside(words_looked_up(words_blocks(b, 1, 17, k), quant_values_fp4, 16)); }
KERN_INLINE words_scales words_scales_mxfp4(const uint8_t *b) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < 8; i++) bytes |= (uint64_t)b[17 * i] << 8 * i;
    words_scales s;
    s.scale[0] = halves_of_e8m0(_mm256_shuffle_epi8(words_spread(bytes), words_places()));
    return s;
}

/* ---- base-3 digits ---- */

/* Units 0 to 9 are digits of 32 bytes, units 10 to 14 of 16 bytes, 15 of 4 (load_tq1_0): a byte times a power of three, in the
 * upper half of a word, has the digit as the upper half of three times itself. */
KERN_INLINE words words_tq1_0(const uint8_t *b, size_t k) {
#define POWERS(p) p, p, p, p, p, p, p, p
    static const _Alignas(32) uint16_t power[8][16] = {
        {POWERS(1), POWERS(81)}, {POWERS(1), POWERS(81)}, {POWERS(3), POWERS(1)}, {POWERS(3), POWERS(3)},
        {POWERS(9), POWERS(9)}, {POWERS(9), POWERS(27)}, {POWERS(27), POWERS(81)}, {POWERS(27), 1, 1, 3, 3, 9, 9, 27, 27}};
#undef POWERS
    __m128i last = k < 7 ? load_16(b, k < 2 ? 16 * k : 32) : _mm_set1_epi32((int)load_u32(b + 48));
    __m256i x = join(load_16(b, 16 * (k % 2)), last), by = load_32(power[k], 0), three = words_set(3);
    __m256i even = _mm256_mullo_epi16(x, _mm256_slli_epi16(by, 8)), odd = _mm256_mullo_epi16(_mm256_and_si256(x, words_set(0xff00)), by);
    return (words){_mm256_mulhi_epu16(even, three), _mm256_mulhi_epu16(odd, three)};
}
KERN_INLINE words_scales words_scales_tq1_0(const uint8_t *b) { return (words_scales){.scale = {words_half(b + 52)}}; }

/* ---- chunks and rows --------------------------------------------------------------------------------------- */

KERN_INLINE __m256i words_dot(words w, const kern_act16 *act, size_t k) {
    return _mm256_add_epi32(_mm256_madd_epi16(w.even, load_32(act->x, 64 * k)), _mm256_madd_epi16(w.odd, load_32(act->x, 64 * k + 32)));
}
/* Element k of both lanes, for all of each. */
KERN_INLINE __m256 words_scale(__m256 x, size_t k) {
    switch (k) {
    case 0: return _mm256_permute_ps(x, 0x00);
    case 1: return _mm256_permute_ps(x, 0x55);
    case 2: return _mm256_permute_ps(x, 0xAA);
    default: return _mm256_permute_ps(x, 0xFF);
    }
}

/* Sums of a row, to be added up at its end: two for the vectors in turn, and what is to be taken off. Chains of additions a
 * chunk long would keep the next chunk out of a CPU's schedulers. */
typedef struct words_sums {
    __m256 of[2], below;
} words_sums;

/* No overflow: an element adds at most 8 products of 255 * 32639 or 256 * 31 * 32640, or 32 of 2 * 32639. */
KERN_INLINE void words_add(words_sums *to, const uint8_t *b, words_scales s, const kern_act16 *act, words_type f) {
    __m256 by = _mm256_set1_ps(act->scale);
    const float *of = f.group == 16 ? act->sums : act->blocks[0];
    for (size_t i = 0; i < (f.group == 16 ? 2 : 1); i++) {
        s.scale[i] = _mm256_mul_ps(s.scale[i], by);
        to->below = _mm256_fmadd_ps(f.has_min ? _mm256_mul_ps(s.min, by) : s.scale[i], _mm256_load_ps(of + 8 * i), to->below);
    }
    __m256i all = _mm256_setzero_si256();
#pragma GCC unroll 4 /* where a vector is long, gcc would not, and k must be a constant */
    for (size_t k = 0; k < 8; k += 2) {
        __m256i dot = words_dot(f.words(b, k), act, k), next = words_dot(f.words(b, k + 1), act, k + 1);
        __m256 *sum = &to->of[k / 2 % 2];
        if (f.group == 16) {
            to->of[0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), words_scale(s.scale[k / 4], k % 4), to->of[0]);
            to->of[1] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(next), words_scale(s.scale[k / 4], k % 4 + 1), to->of[1]);
        } else if (f.group == 32) {
            *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_add_epi32(dot, next)), words_scale(s.scale[0], k / 2), *sum);
        } else {
            all = _mm256_add_epi32(all, _mm256_add_epi32(dot, next));
        }
    }
    if (f.group == 256) to->of[0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(all), s.scale[0], to->of[0]);
}
KERN_INLINE words_sums words_start(void) { return (words_sums){{_mm256_setzero_ps(), _mm256_setzero_ps()}, _mm256_setzero_ps()}; }
KERN_INLINE float words_end(words_sums s, words_type f) {
    __m256 sum = _mm256_add_ps(s.of[0], s.of[1]);
    return vf_sum(VF(_mm256_fnmadd_ps(s.below, _mm256_set1_ps(f.has_min ? 1 : f.zero), sum), _mm256_setzero_ps()));
}

KERN_INLINE void words_row(const kern_matmul *m, size_t r, size_t a, words_type f) {
    uint8_t padded[KERN_CHUNK_BYTES_MAX];
    const uint8_t *b = (const uint8_t *)m->weights + r * m->row_bytes;
    const kern_act16 *act = m->acts[a];
    words_sums sums = words_start();
    size_t rest = m->n_in % KERN_CHUNK, last = rest != 0;
    for (size_t left = div_up(m->n_in, KERN_CHUNK); left; left--, b += f.bytes, act++) {
        for (size_t line = 0; line < f.bytes; line += 64) v_prefetch(b + VEC_AHEAD + line);
        if (left == last) b = load_end(padded, b, rest * f.bytes / KERN_CHUNK);
        words_add(&sums, b, f.scales(b), act, f);
    }
    m->outs[a][m->out_first + r] = words_end(sums, f) * m->scale;
}

/* ---- by way of memory -------------------------------------------------------------------------------------- */

/* What kern_load.h makes of a chunk of any type: bytes in the order of kern_chunk.h, scales and offsets of the units in turn. */
KERN_INLINE __m256i words_in_rows(const uint8_t *q, size_t k) { return words_halves(q + 64 * (k % 4) + 16 * (k / 4), 32); }
/* The same, split into words once for all activations. */
KERN_INLINE words words_split(const uint8_t *w, size_t k) { return ((const words *)w)[k]; }
KERN_INLINE __m256 words_of_units(const float *x, size_t i) { return _mm256_set_m128(_mm_load_ps(x + 8 + 4 * i), _mm_load_ps(x + 4 * i)); }
KERN_INLINE __m256 words_of_blocks(const float *x) { /* two units have the same */
    __m256 evens = _mm256_shuffle_ps(_mm256_load_ps(x), _mm256_load_ps(x + 8), 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(evens), 0xD8));
}
KERN_INLINE words_scales words_scales_loaded(const float *scale, const float *min, words_type f) {
    words_scales s = {.scale = {_mm256_setzero_ps()}};
    for (size_t i = 0; i < (f.group == 16 ? 2 : 1); i++) s.scale[i] = f.group == 16 ? words_of_units(scale, i) : words_of_blocks(scale);
    if (f.has_min) s.min = words_of_blocks(min);
    return s;
}

/* A row times up to DECODE_ACTS activations: 16 chunks of it are loaded to memory and split into words for all of them. */
KERN_INLINE void words_row_loaded(const kern_matmul *m, const quant_type *t, size_t r, size_t a, size_t n, words_type f) {
    const bool beside = KERN_OF(VEC_LEVEL, _ops).decode_act[m->type] == KERN_ACT_I16_BESIDE;
    kern_rows rows;
    words split[16][8];
    words_sums sums[DECODE_ACTS];
    const uint8_t *b = (const uint8_t *)m->weights + r * m->row_bytes;
    size_t n_chunks = div_up(m->n_in, KERN_CHUNK);
    for (size_t x = 0; x < n; x++) sums[x] = words_start();
    for (size_t i = 0; i < n_chunks; i += 16, b += 16 * f.bytes) {
        size_t here = MIN(n_chunks - i, (size_t)16);
        load_chunks(&rows, m, t, b, i, here, f.bytes);
        fetch_ahead(b + VEC_AHEAD, here * f.bytes);
        for (size_t j = 0; j < here; j++)
            if (beside)
                for (size_t k = 0; k < 8; k++) split[j][k] = words_beside(words_in_rows(rows.q[j], k));
            else
                for (size_t k = 0; k < 8; k++) split[j][k] = words_bytes(words_in_rows(rows.q[j], k));
        for (size_t x = 0; x < n; x++) {
            const kern_act16 *act = (const kern_act16 *)m->acts[a + x] + i;
            words_sums sum = sums[x];
            for (size_t j = 0; j < here; j++)
                words_add(&sum, (const uint8_t *)split[j], words_scales_loaded(rows.scale[j], rows.min[j], f), act + j, f);
            sums[x] = sum;
        }
    }
    for (size_t x = 0; x < n; x++) m->outs[a + x][m->out_first + r] = words_end(sums[x], f) * m->scale;
}
#define WORDS_LOADED(group, has_min)                                                                                  \
    KERN_OUTLINE void words_loaded_##group##_##has_min(const kern_matmul *m) {                                        \
        const quant_type *t = quant_find(m->type);                                                                    \
        const float zero = (float)(1 << KERN_OF(VEC_LEVEL, _ops).zero_shift[m->type]);                                \
        const size_t bytes = (size_t)t->block_bytes * (KERN_CHUNK / t->block_len);                                    \
        const words_type f = {bytes, group, words_split, NULL, has_min, zero};                                        \
        for (size_t r = 0; r < m->n_rows; r++)                                                                        \
            for (size_t a = 0; a < m->n_act; a += DECODE_ACTS)                                                        \
                words_row_loaded(m, t, r, a, MIN(m->n_act - a, (size_t)DECODE_ACTS), f);                              \
    }
WORDS_LOADED(16, 0)
WORDS_LOADED(32, 0)
WORDS_LOADED(32, 1)
WORDS_LOADED(256, 0)

#include "kern/kern_entries.h" /* of types with codebooks */

/* ---- all types --------------------------------------------------------------------------------------------- */

#define WORDS_ROWS(type, bytes, group, words, scales, has_min, zero)          \
    static void decode_##type(const kern_matmul *m) {                         \
        const words_type f = {bytes, group, words, scales, has_min, zero};    \
        if (m->n_act > DECODE_EACH) words_loaded_##group##_##has_min(m);      \
        else                                                                  \
            for (size_t r = 0; r < m->n_rows; r++)                            \
                for (size_t a = 0; a < m->n_act; a++) words_row(m, r, a, f);  \
    }
WORDS_ROWS(q4_0, 144, 32, words_q4_0, words_scales_q4_0, 0, 8)
WORDS_ROWS(q4_1, 160, 32, words_q4_1, words_scales_q4_1, 1, 0)
WORDS_ROWS(q5_0, 176, 32, words_q5_0, words_scales_q5_0, 0, 16)
WORDS_ROWS(q8_0, 272, 32, words_q8_0, words_scales_q8_0, 0, 128)
WORDS_ROWS(iq4_nl, 144, 32, words_iq4_nl, words_scales_q4_0, 0, 128)
WORDS_ROWS(iq4_xs, 136, 32, words_iq4_xs, words_scales_iq4_xs, 0, 128)
WORDS_ROWS(tq1_0, 54, 256, words_tq1_0, words_scales_tq1_0, 0, 1)
WORDS_ROWS(mxfp4, 136, 32, words_mxfp4, words_scales_mxfp4, 0, 16)

/* Others by way of memory only, and those with codebooks. */
#define WORDS_NONE(type, ...)
#define WORDS_STORED(type, bytes, group, zero, has_min) \
    static void decode_##type(const kern_matmul *m) { words_loaded_##group##_##has_min(m); }
#define WORDS_DIGITS WORDS_NONE
#define WORDS_SIGNED ENTRIES_ROWS
#define WORDS_FUSED WORDS_NONE
#define WORDS_FOURS WORDS_NONE
#define WORDS_SIXES WORDS_NONE
#define WORDS_PAIRED WORDS_NONE
#define WORDS_OTHERS(type, id, len, bytes, group, zero, panel_group, acts, has_min, top, way, narrow, most) WORDS_##way(type, bytes, group, zero, has_min)
KERN_FORMATS(WORDS_OTHERS)

/* ---- activations ------------------------------------------------------------------------------------------- */

/* Of a vector's 32 words (a unit, and the one eight later) those of even place, then those of odd place. */
static void prepare_i16_halves(const float *x, size_t n, void *act) {
    kern_act16 *to = act;
    _Alignas(64) int16_t q[KERN_CHUNK];
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        prepare_chunk(x + at, MIN(n - at, KERN_CHUNK), to, q);
        for (size_t k = 0; k < 8; k++) {
            __m256i first = split_places(load_32(q + KERN_UNIT * k, 0)), second = split_places(load_32(q + KERN_UNIT * (8 + k), 0));
            _mm256_store_si256((void *)(to->x + 64 * k), _mm256_permute2x128_si256(first, second, 0x20));
            _mm256_store_si256((void *)(to->x + 64 * k + 32), _mm256_permute2x128_si256(first, second, 0x31));
        }
        float sums[KERN_UNITS];
        memcpy(sums, to->sums, sizeof sums);
        for (size_t i = 0; i < KERN_UNITS / 2; i++) to->blocks[i / 4][i % 4] = sums[2 * i] + sums[2 * i + 1];
        memcpy(to->sums + 4, sums + 8, 4 * sizeof *sums); /* in the order of the lanes */
        memcpy(to->sums + 8, sums + 4, 4 * sizeof *sums);
    }
}

/* The same, but words of even place are less a 256th of the odd ones beside them, all before it is rounded: an even weight beside
 * an odd one (words_beside) adds that to its product. A 256th of the scale makes up for weights 256 times as large, and sums are
 * those of all that weights of 1 would meet. Made for blocks of 32: sums of units stay as they were. */
static void prepare_i16_beside(const float *x, size_t n, void *act) {
    kern_act16 *to = act;
    prepare_i16_halves(x, n, act);
    for (size_t at = 0; at < n; at += KERN_CHUNK, to++) {
        float padded[KERN_CHUNK] = {0};
        memcpy(padded, x + at, MIN(n - at, KERN_CHUNK) * sizeof *x);
        __m256 inverse = _mm256_set1_ps(to->scale < 0x1p-115f ? 0 : 1 / to->scale), part = _mm256_set1_ps(0x1p-8f);
        for (size_t block = 0; block < KERN_UNITS / 2; block++) {
            __m256i sum = _mm256_setzero_si256();
            for (size_t u = 2 * block; u < 2 * block + 2; u++) {
                const float *from = padded + KERN_UNIT * u;
                uint8_t *even = to->x + 64 * (u % 8) + 16 * (u / 8);
                __m256 evens = _mm256_shuffle_ps(_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8), 0x88);
                evens = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(evens), 0xD8));
                __m256i odd = _mm256_cvtepi16_epi32(load_16(even, 32));
                evens = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(odd), part, _mm256_mul_ps(evens, inverse));
                __m256i less = _mm256_cvtps_epi32(evens);
                _mm_storeu_si128((void *)even, _mm_packs_epi32(_mm256_castsi256_si128(less), _mm256_extracti128_si256(less, 1)));
                sum = _mm256_add_epi32(_mm256_add_epi32(sum, odd), _mm256_slli_epi32(_mm256_add_epi32(odd, less), 8));
            }
            int32_t sums[8], all = 0;
            _mm256_storeu_si256((void *)sums, sum);
            for (size_t i = 0; i < 8; i++) all += sums[i];
            to->blocks[block / 4][block % 4] = (float)all;
        }
        to->scale *= 0x1p-8f;
    }
}

#endif
