/* cpu_x86_64.c: the levels of this architecture and what this CPU offers. Each architecture has such a file; the Makefile
 * takes one.
 */
#include <cpuid.h>

#include "kern/kern_int.h"

const kern *const kern_levels[] = {&kern_scalar, &kern_avx2, &kern_avx512, NULL};

/* The register sets that the OS saves (XCR0). */
static uint64_t os_saves(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool all(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

uint32_t kern_cpu_features(void) {
    uint32_t a, b, c, d, b7, c7, d7;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !all(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
    uint64_t saved = os_saves();
    if ((saved & 0x06) != 0x06 || !all(b7, bit_AVX2 | bit_BMI2)) return 0; /* XMM, YMM */
    uint32_t features = KERN_CPU_AVX2;
    if ((saved & 0xE6) == 0xE6 && all(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ) &&
        all(c7, bit_AVX512VNNI)) /* besides masks, ZMM */
        features |= KERN_CPU_AVX512;
    return features;
}
