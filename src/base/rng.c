/* rng.c: xoshiro256** (Blackman, Vigna 2018): the same stream on every machine. */
#include "base/base.h"

static uint64_t rotate(uint64_t v, int by) { return v << by | v >> (64 - by); }

void rng_seed(rng *r, uint64_t seed) {
    for (size_t i = 0; i < COUNT_OF(r->s); i++) { /* splitmix64 */
        uint64_t z = seed += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t rng_u64(rng *r) {
    uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double rng_unit(rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }

float rng_normal(rng *r) {
    double u = 1.0 - rng_unit(r), v = rng_unit(r); /* u in (0, 1]: its logarithm is finite */
    return (float)(math_sqrt(-2.0 * math_log(u)) * math_cos(6.283185307179586 * v));
}
