/* cpu_x86_64.c: what this CPU offers. Each architecture has such a file; the Makefile takes one.
 */
#include <cpuid.h>

#include "kern/cpu_x86_64.h"
#include "plat/plat.h"

#define AVXVNNI (1u << 4)                                /* leaf 7.1, EAX */
#define TILES (1u << 22 | 1u << 24 | 1u << 25)           /* leaf 7, EDX: AMX-BF16, AMX-TILE, AMX-INT8 */
#define TILES_SAVED (UINT64_C(1) << 17 | UINT64_C(1) << 18) /* XCR0: their configuration, their contents */

static bool all(uint64_t word, uint64_t bits) { return (word & bits) == bits; }

uint32_t kern_cpu_judge(const kern_cpu_words *w, uint32_t *withheld) {
    *withheld = 0;
    if (!all(w->c1, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C) || !all(w->b7, bit_AVX2 | bit_BMI2)) return 0;
    if (!all(w->saved, 0x06)) return 0; /* XMM, YMM */
    uint32_t features = KERN_CPU_AVX2 | (all(w->a71, AVXVNNI) ? KERN_CPU_AVXVNNI : 0);
    if (!all(w->saved, 0xE6)) return features; /* besides masks, ZMM */
    if (!all(w->b7, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ) || !all(w->c7, bit_AVX512VNNI)) return features;
    features |= KERN_CPU_AVX512;
    if (!all(w->d7, TILES)) return features;
    if (all(w->saved, TILES_SAVED) && w->system & PLAT_CPU_X86_TILES) return features | KERN_CPU_TILES;
    *withheld = KERN_CPU_TILES;
    return features;
}

uint32_t kern_cpu_features(uint32_t *withheld) {
    kern_cpu_words w = {0};
    uint32_t a, b, c, d, none;
    if (__get_cpuid(1, &a, &b, &w.c1, &d) && __get_cpuid_count(7, 0, &a, &w.b7, &w.c7, &w.d7) && a >= 1)
        __get_cpuid_count(7, 1, &w.a71, &b, &c, &d);
    if (all(w.c1, bit_OSXSAVE)) {
        uint32_t low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        w.saved = (uint64_t)high << 32 | low;
    }
    if (all(w.d7, TILES) && all(w.saved, TILES_SAVED)) w.system = plat_cpu();
    return kern_cpu_judge(&w, withheld ? withheld : &none);
}
