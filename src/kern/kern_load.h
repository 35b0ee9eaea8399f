/* kern_load.h: rows of weights loaded to memory, 16 by 256 at a time (template of a level).
 *
 * For whoever uses them more than once: panels (panel.c) and decode with several activations (kern_decode.h).
 */
#ifndef LEAT_KERN_LOAD_H
#define LEAT_KERN_LOAD_H

/* The end of a row that fills no chunk, with zeros after it. */
KERN_OUTLINE const uint8_t *load_end(uint8_t padded[KERN_CHUNK_BYTES_MAX], const uint8_t *b, size_t bytes) {
    memset(padded, 0, KERN_CHUNK_BYTES_MAX);
    return memcpy(padded, b, bytes);
}

KERN_INLINE void load_row(kern_rows *to, size_t r, const uint8_t *b, format f) {
    chunk c = f.load_coded ? f.load_coded(b, to->q[r]) : format_load(f, b);
    for (size_t k = 0; k < 4; k++) vb_store(to->q[r] + 64 * k, c.q[k]);
    vf_store(to->scale[r], c.scale);
    if (f.has_min) vf_store(to->min[r], c.min);
}

KERN_INLINE void load_rows(kern_rows *to, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, format f) {
    uint8_t padded[KERN_CHUNK_BYTES_MAX];
    if (f.look_up) /* of 256 weights a block */
        for (size_t r = 0; r < n_rows; r++) f.look_up(b + r * row_bytes, to->q[r]);
    for (size_t r = 0; r < n_rows; r++, b += row_bytes)
        load_row(to, r, n_in < KERN_CHUNK ? load_end(padded, b, n_in * f.bytes / KERN_CHUNK) : b, f);
}

#define ROWS(type, ...)                                                                                    \
    static void rows_##type(kern_rows *to, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, \
                            const quant_type *t) {                                                         \
        (void)t;                                                                                           \
        load_rows(to, b, row_bytes, n_rows, n_in, FORMAT_LOADED(type, __VA_ARGS__));                       \
    }
#define ROWS_UNPACKED                                                                                      \
    static void rows_unpacked(kern_rows *to, const uint8_t *b, size_t row_bytes, size_t n_rows,            \
                              size_t n_in, const quant_type *t) {                                          \
        load_rows(to, b, row_bytes, n_rows, n_in, FORMAT_UNPACKED(t));                                     \
    }
#define FOLDED(type, id, bytes, has_min)                                                                      \
    static void folded_##type(kern_rows *to, const uint8_t *b, size_t row_bytes, size_t n_rows, size_t n_in, \
                              const quant_type *t) {                                                         \
        (void)t;                                                                                             \
        load_rows(to, b, row_bytes, n_rows, n_in, (format){fold_##type, NULL, NULL, NULL, bytes, 16, 0, has_min, 0, 0}); \
    }
VEC_FOLDED(FOLDED)
VEC_LOADED(ROWS)
VEC_UNPACKED(ROWS_UNPACKED)

#endif
