/* cpu_aarch64.c: the levels of 64-bit ARM and what this CPU offers, which programs learn from the system.
 */
#include "kern/kern_int.h"
#include "plat/plat.h"

const kern *const kern_levels[] = {&kern_scalar, &kern_neon, NULL};

uint32_t kern_cpu_features(void) {
    uint32_t system = plat_cpu();
    if (!(system & PLAT_CPU_ARM_DOT)) return 0;
    return KERN_CPU_NEON_DOT | (system & PLAT_CPU_ARM_I8MM ? KERN_CPU_NEON_I8MM : 0);
}
