/* kern_chunk.h: a chunk of weights in registers, and how types without vector code get there.
 */
#ifndef LEAT_KERN_CHUNK_H
#define LEAT_KERN_CHUNK_H

/* 256 weights: weight = scale * (q - zero) - min of its unit, zero being a constant of the type. Vector k holds units k,
 * 4 + k, 8 + k, 12 + k. min is anything for types without offsets. */
typedef struct chunk {
    vb q[4];
    vf scale, min; /* a unit each */
} chunk;

typedef chunk chunk_load(const uint8_t *b); /* b has the bytes of 256 weights */

#define KERN_INLINE static inline __attribute__((always_inline))

KERN_INLINE chunk chunk_of_unpacked(const quant_unpacked *u) {
    chunk c;
    for (size_t k = 0; k < 4; k++) c.q[k] = vb_xor(vb_load_lanes(u->q + KERN_UNIT * k, 4 * KERN_UNIT), vb_set(0x80));
    c.scale = vf_load(u->scale);
    c.min = vf_load(u->min);
    return c;
}

/* Defines load_<type> over the unpacker of quant_unpack.h: zero 128, largest q 255. */
#define LOAD_VECTOR(...)
#define LOAD_OTHER(type, ...)                    \
    static chunk load_##type(const uint8_t *b) { \
        quant_unpacked u;                        \
        quant_unpack_##type(b, &u, KERN_CHUNK);  \
        return chunk_of_unpacked(&u);            \
    }
VEC_FORMATS(LOAD_VECTOR, LOAD_OTHER)

#endif
