/* cpu_aarch64.c: what a 64-bit ARM CPU offers, which programs learn from the system.
 */
#include "kern/kern_int.h"
#include "plat/plat.h"

uint32_t kern_cpu_features(uint32_t *withheld) {
    if (withheld) *withheld = 0;
    uint32_t system = plat_cpu();
    if (!(system & PLAT_CPU_ARM_DOT)) return 0;
    return KERN_CPU_NEON_DOT | (system & PLAT_CPU_ARM_I8MM ? KERN_CPU_NEON_I8MM : 0);
}
