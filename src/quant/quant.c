/* quant.c: the table of tensor types and their decoders.
 *
 * A decoder multiplies what quant_unpack.h reads out: one description of each format serves reference and kernels
 * alike. It refuses nothing: ids are checked by quant_find, sizes by quant_bytes, and any bytes are a valid block.
 * Next: quant_unpack.h (the formats), quant_grids.c (codebooks), encode.c (the encoders), kern/ (the fast paths).
 */
#include "quant/quant_int.h"
#include "quant/quant_scalar.h"
#include "quant/quant_unpack.h"

typedef void unpack_fn(const void *blocks, quant_unpacked *out, size_t n);

/* The same operations in the same order as the reference, so the same bits: scale * q is exact or rounded once, the
 * difference is rounded once, and subtracting a zero offset changes nothing. The compiler must not contract. */
static void decode_packed(unpack_fn *unpack, size_t bytes_per_256, const void *blocks, float *out, size_t n) {
    const uint8_t *b = blocks;
    quant_unpacked u;
    for (size_t at = 0; at < n; at += 256, b += bytes_per_256) {
        size_t len = MIN(n - at, 256);
        unpack(b, &u, len);
        for (size_t i = 0; i < len; i++) out[at + i] = u.scale[i / 16] * (float)u.q[i] - u.min[i / 16];
    }
}

static void decode_f32(const void *blocks, float *out, size_t n) { memcpy(out, blocks, n * sizeof *out); }

static void decode_f16(const void *blocks, float *out, size_t n) {
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++) out[i] = f32_of_f16(load_u16(b + 2 * i));
}

static void decode_bf16(const void *blocks, float *out, size_t n) {
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++) out[i] = f32_of_bf16(load_u16(b + 2 * i));
}

static void decode_f64(const void *blocks, float *out, size_t n) {
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++) out[i] = (float)load_f64(b + 8 * i);
}

#define DECODER(type, id, len, bytes)                                             \
    static void decode_##type(const void *blocks, float *out, size_t n) {         \
        decode_packed(quant_unpack_##type, (bytes) * (256 / (len)), blocks, out, n); \
    }
QUANT_PACKED_TYPES(DECODER, DECODER)
#undef DECODER

/* Two bits a weight and less are wrong about so much that it has to be known where that matters. */
#define POOR(id)                                                                                                     \
    (QUANT_##id == QUANT_IQ2_XXS || QUANT_##id == QUANT_IQ2_XS || QUANT_##id == QUANT_IQ2_S ||                       \
     QUANT_##id == QUANT_IQ1_S || QUANT_##id == QUANT_IQ1_M)
#define FLOAT(type, id, bytes) \
    [QUANT_##id] = {#id, QUANT_##id, 1, bytes, false, decode_##type, NULL, quant_encode_##type, false},
#define PACKED(type, id, len, bytes) \
    [QUANT_##id] = {#id, QUANT_##id, len, bytes, false, decode_##type, quant_unpack_##type, quant_encode_##type,      \
                    POOR(id)},
#define PACKED_MIN(type, id, len, bytes) \
    [QUANT_##id] = {#id, QUANT_##id, len, bytes, true, decode_##type, quant_unpack_##type, quant_encode_##type,       \
                    POOR(id)},

/* By id; the gaps have no name. */
static const quant_type types[QUANT_ID_MAX] = {
    FLOAT(f32, F32, 4)
    FLOAT(f16, F16, 2)
    FLOAT(bf16, BF16, 2)
    FLOAT(f64, F64, 8)
    QUANT_PACKED_TYPES(PACKED, PACKED_MIN)
};
#undef POOR
#undef FLOAT
#undef PACKED
#undef PACKED_MIN

const quant_type *quant_find(uint32_t id) {
    return id < QUANT_ID_MAX && types[id].name ? &types[id] : NULL;
}

static bool same_name(const char *name, str s) {
    if (cstr_len(name) != s.len) return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        if (c != name[i]) return false;
    }
    return true;
}

const quant_type *quant_find_name(str name) {
    for (size_t i = 0; i < QUANT_ID_MAX; i++)
        if (types[i].name && same_name(types[i].name, name)) return &types[i];
    return NULL;
}

bool quant_bytes(const quant_type *t, uint64_t n, size_t *out) {
    uint64_t n_blocks = n / t->block_len;
    if (n % t->block_len != 0 || n_blocks > SIZE_MAX) return false;
    return mul_size((size_t)n_blocks, t->block_bytes, out);
}

size_t quant_find_not_finite(const float *x, size_t n) {
    for (size_t at = 0; at < n; at += 256) { /* whole pieces first, without a branch a weight */
        size_t len = MIN(n - at, 256);
        uint32_t found = 0;
        for (size_t i = 0; i < len; i++) found |= (bits_of_f32(x[at + i]) & 0x7fffffff) + 0x800000;
        if (!(found >> 31)) continue;
        for (size_t i = 0; i < len; i++)
            if (!f32_is_finite(x[at + i])) return at + i;
    }
    return n;
}
