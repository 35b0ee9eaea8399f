/* kern_peak.h: how many products of bytes a level can add at best, for the bench (template of a level).
 */
#ifndef LEAT_KERN_PEAK_H
#define LEAT_KERN_PEAK_H

/* As many sums as registers hold, so that no step waits for another. Where a product and its sum are two instructions,
 * each sum has activations of its own, and where they lie is hidden from the compiler in each step: or products would be
 * formed once. Where they are one, all sums share activations: loads would take longer than products where a register of
 * 64 bytes is loaded in two halves (Zen 4). Where there are many sums, several steps a round: compilers copy sums from
 * register to register at its end (10 %), but with few registers and several steps they keep products in memory (30 %). */
enum { PEAK_BYTES = MAX(VEC_TOKENS * VEC_SUBS, 3) };
enum { PEAK_STEPS = PEAK_BYTES < 8 ? 1 : 4 };
enum { PEAK_ACTS = VEC_DOT_ADDS ? 1 : PEAK_BYTES };

static uint64_t byte_peak(uint64_t rounds) {
    const uint64_t dots = rounds * PEAK_STEPS * PEAK_BYTES * 64;
    vd d[PEAK_BYTES];
    _Alignas(64) uint8_t bytes[1 + PEAK_ACTS][64];
    memset(bytes, 3, sizeof bytes);
    for (size_t i = 0; i < PEAK_BYTES; i++) d[i] = vd_start(vi_set(0), 15);
    do {
        for (size_t k = 0; k < PEAK_STEPS; k++) {
            const uint8_t *at = bytes[0];
            __asm__ volatile("" : "+r"(at));
            vb w = vb_load(at), x[PEAK_ACTS];
            for (size_t i = 0; i < PEAK_ACTS; i++) x[i] = vb_load(at + 64 * (i + 1));
            for (size_t i = 0; i < PEAK_BYTES; i++) d[i] = vd_dot(d[i], w, x[i % PEAK_ACTS], 15);
        }
    } while (--rounds);
    vf sum = vf_set(0);
    for (size_t i = 0; i < PEAK_BYTES; i++) sum = vf_add(sum, vf_of_vi(vd_end(vi_set(0), d[i], 15)));
    volatile float keep = vf_sum(sum); /* or the loop would go */
    (void)keep;
    return dots;
}

#endif
