/* sha256.c: SHA-256 (FIPS 180-4), for checking that a file is the file that it should be. */
#include "base/base.h"

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turn(uint32_t x, int by) { return x >> by | x << (32 - by); }

/* One step; the eight words change places instead of being moved. */
static inline __attribute__((always_inline)) void step(uint32_t v[8], int i, uint32_t x) {
    uint32_t a = v[-i & 7], b = v[(1 - i) & 7], c = v[(2 - i) & 7], e = v[(4 - i) & 7], f = v[(5 - i) & 7],
             g = v[(6 - i) & 7];
    uint32_t one = v[(7 - i) & 7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (g ^ (e & (f ^ g))) + x;
    uint32_t two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) | (c & (a | b)));
    v[(3 - i) & 7] += one;
    v[(7 - i) & 7] = one + two;
}

static void block(sha256 *h, const uint8_t *at) {
    uint32_t w[16], v[8];
    memcpy(v, h->state, sizeof v);
    for (int i = 0; i < 64; i += 8) {
        for (int n = i; n < i + 8; n++) {
            uint32_t a = w[(n + 1) & 15], b = w[(n + 14) & 15];
            if (i < 16) w[n] = __builtin_bswap32(load_u32(at + 4 * n));
            else
                w[n & 15] +=
                    (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[(n + 9) & 15] + (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
        }
#pragma GCC unroll 8 /* the words become registers */
        for (int n = 0; n < 8; n++) step(v, n, k[i + n] + w[(i + n) & 15]);
    }
    for (int i = 0; i < 8; i++) h->state[i] += v[i];
}

void sha256_start(sha256 *h) {
    *h = (sha256){
        .state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_add(sha256 *h, const void *bytes, size_t n) {
    const uint8_t *at = bytes;
    while (n) {
        size_t used = h->bytes % 64, take = MIN(n, 64 - used);
        if (take == 64) {
            block(h, at);
        } else {
            memcpy(h->part + used, at, take);
            if (used + take == 64) block(h, h->part);
        }
        h->bytes += take;
        at += take;
        n -= take;
    }
}

void sha256_end(sha256 *h, uint8_t out[32]) {
    static const uint8_t fill[64] = {0x80};
    uint64_t bits = __builtin_bswap64(h->bytes * 8);
    sha256_add(h, fill, 1 + (119 - h->bytes % 64) % 64);
    sha256_add(h, &bits, 8);
    for (int i = 0; i < 8; i++) store_u32(out + 4 * i, __builtin_bswap32(h->state[i]));
}
