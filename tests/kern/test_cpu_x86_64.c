/* test_cpu_x86_64.c: which levels a CPU has, by what it and its system say: machines that are not at hand. */
#include "check.h"
#include "kern/cpu_x86_64.h"
#include "plat/plat.h"

/* Bits as in Intel's and AMD's manuals. */
enum {
    HASWELL_C1 = 1 << 12 | 1 << 27 | 1 << 28 | 1 << 29, /* FMA OSXSAVE AVX F16C        */
    HASWELL_B7 = 1 << 5 | 1 << 8,                       /* AVX2 BMI2                   */
    SKYLAKE_B7 = 1 << 16 | 1 << 17 | 1 << 30,           /* AVX-512 F DQ BW; VL below   */
    VNNI_C7 = 1 << 11,
    TILES_D7 = 1 << 22 | 1 << 24 | 1 << 25, /* AMX-BF16, AMX-TILE, AMX-INT8 */
    AVXVNNI_A71 = 1 << 4,
};
#define VL_B7 (1u << 31)

static void judge(const kern_cpu_words *w, uint32_t wanted, uint32_t wanted_withheld) {
    uint32_t withheld, seen = kern_cpu_judge(w, &withheld);
    CHECK_EQ(seen, wanted);
    CHECK_EQ(withheld, wanted_withheld);
}

TEST(cpu_words_make_features) {
    const kern_cpu_words sapphire_rapids = {HASWELL_C1, HASWELL_B7 | SKYLAKE_B7 | VL_B7, VNNI_C7, TILES_D7, AVXVNNI_A71, 0x602E7,
                                            PLAT_CPU_X86_TILES};
    const uint32_t but_tiles = KERN_CPU_AVX2 | KERN_CPU_AVXVNNI | KERN_CPU_AVX512;
    kern_cpu_words w = sapphire_rapids;
    judge(&w, but_tiles | KERN_CPU_TILES, 0);
    w.system = 0; /* the system refuses, or is too old to be asked */
    judge(&w, but_tiles, KERN_CPU_TILES);
    w = sapphire_rapids;
    w.saved = 0xE7; /* it would not keep the tiles */
    judge(&w, but_tiles, KERN_CPU_TILES);
    w.saved = 0x202E7; /* their configuration alone */
    judge(&w, but_tiles, KERN_CPU_TILES);
    w.saved = 0x07; /* no AVX-512 either */
    judge(&w, KERN_CPU_AVX2 | KERN_CPU_AVXVNNI, 0);
    w.saved = 0x03;
    judge(&w, 0, 0);
    for (uint32_t bit = 0; bit < 32; bit++) { /* one of the three without the others */
        w = sapphire_rapids;
        if (!(w.d7 & 1u << bit)) continue;
        w.d7 &= ~(1u << bit);
        judge(&w, but_tiles, 0);
    }
    w = (kern_cpu_words){HASWELL_C1, HASWELL_B7, 0, 0, AVXVNNI_A71, 0x07, 0}; /* Alder Lake */
    judge(&w, KERN_CPU_AVX2 | KERN_CPU_AVXVNNI, 0);
    w.a71 = 0;
    judge(&w, KERN_CPU_AVX2, 0);
    w.c1 &= ~(1u << 27); /* a system that saves nothing */
    judge(&w, 0, 0);
    w = (kern_cpu_words){HASWELL_C1, HASWELL_B7 | SKYLAKE_B7 | VL_B7, 0, 0, 0, 0xE7, 0}; /* Skylake-X: no VNNI */
    judge(&w, KERN_CPU_AVX2, 0);
    judge(&(kern_cpu_words){0}, 0, 0);
}

TEST(cpu_withholds_nothing_that_runs) {
    const kern *withheld = kern_withheld();
    CHECK(!withheld || !kern_runs(withheld));
}
