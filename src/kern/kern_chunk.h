/* kern_chunk.h: a chunk of weights in registers, and what the templates know of a type (template of a level).
 */
#ifndef LEAT_KERN_CHUNK_H
#define LEAT_KERN_CHUNK_H

#define KERN_INLINE static inline __attribute__((always_inline))
#define KERN_OUTLINE static __attribute__((noinline)) /* one copy does for all */

/* 256 weights: weight = scale * (q - zero) - min of its unit, zero being a constant of the type. Vector k holds units k,
 * 4 + k, 8 + k, 12 + k. min is anything for types without offsets. */
typedef struct chunk {
    vb q[4];
    vf scale, min; /* a unit each */
} chunk;

/* A loader gets the bytes of 256 weights; that of a type with a codebook also what its first step has left: 128 bytes at
 * most. In two steps, since their chains of dependent instructions are longer than a CPU sees ahead. */
typedef chunk chunk_load(const uint8_t *b);
typedef void chunk_look_up(const uint8_t *b, uint8_t *to);
typedef chunk chunk_load_coded(const uint8_t *b, const uint8_t *codes);

/* In templates these are constants: but for unpack, bytes and zero, where load is NULL. */
typedef struct format {
    chunk_load *load;
    chunk_look_up *look_up;
    chunk_load_coded *load_coded;
    kern_unpack *unpack; /* used where load is NULL: then zero is 128 and top 255 */
    size_t bytes;        /* of 256 weights */
    int group;           /* weights a scale: 16 or 32 */
    int acts;            /* activations a scale in prefill: 16 or 32 */
    bool has_min;
    int zero, top;       /* q lies in 0..top */
} format;

KERN_INLINE chunk format_load(format f, const uint8_t *b) {
    if (f.load) return f.load(b);
    quant_unpacked u;
    chunk c;
    f.unpack(b, &u, KERN_CHUNK);
    for (size_t k = 0; k < 4; k++) c.q[k] = vb_xor(vb_load_lanes(u.q + KERN_UNIT * k, 4 * KERN_UNIT), vb_set(0x80));
    c.scale = vf_load(u.scale);
    c.min = vf_load(u.min);
    return c;
}

#define LOADERS_FUSED(type) load_##type, NULL, NULL
#define LOADERS_STORED LOADERS_FUSED
#define LOADERS_FOURS LOADERS_FUSED
#define LOADERS_SIXES LOADERS_FUSED
#define LOADERS_PAIRED LOADERS_FUSED
#define LOADERS_DIGITS LOADERS_FUSED
#define LOADERS_SIGNED(type) NULL, look_up_##type, load_##type
#define FORMAT_LOADED(type, id, len, bytes, group, zero, panel_group, acts, has_min, top, way, narrow, most) \
    ((format){LOADERS_##way(type), NULL, (bytes) * (KERN_CHUNK / (len)), group, acts, has_min, zero, top})
/* Of a type without a loader: the most general kind does for all. */
#define FORMAT_UNPACKED(t) \
    ((format){NULL, NULL, NULL, (t)->unpack, (size_t)(t)->block_bytes * (KERN_CHUNK / (t)->block_len), 16, 32, true, 128, 255})

#endif
