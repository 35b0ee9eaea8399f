/* hash.c: a multiply-and-fold hash, 16 bytes a step. Not for secrets. */
#include "base/base.h"

static uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed) {
    /* Odd constants with about as many ones as zeros: digits of the golden ratio and of the square root of 2, 3. */
    static const uint64_t k[3] = {0x9E3779B97F4A7C15u, 0x6A09E667F3BCC909u, 0xBB67AE8584CAA73Bu};
    const uint8_t *at = p;
    uint64_t h = seed ^ k[0], a = 0, b = 0;
    size_t left = n;
    for (; left > 16; left -= 16, at += 16) h = fold(load_u64(at) ^ k[1], load_u64(at + 8) ^ h);
    if (left >= 8) {
        a = load_u64(at);
        b = load_u64(at + left - 8);
    } else if (left >= 4) {
        a = load_u32(at);
        b = load_u32(at + left - 4);
    } else if (left) {
        a = (uint64_t)at[0] << 16 | (uint64_t)at[left / 2] << 8 | at[left - 1];
    }
    return fold(fold(a ^ k[1], b ^ h) ^ k[2], n ^ k[0]);
}
