/* cpu_x86_64.h: what an x86 CPU and its system say of themselves, and what follows (apart, so that tests can say anything).
 */
#ifndef LEAT_CPU_X86_64_H
#define LEAT_CPU_X86_64_H

#include "kern/kern_int.h"

typedef struct kern_cpu_words {
    uint32_t c1;              /* CPUID leaf 1: ECX      */
    uint32_t b7, c7, d7, a71; /* leaf 7, leaf 7.1: EAX  */
    uint64_t saved;           /* XCR0: the register sets that the system saves */
    uint32_t system;          /* plat_cpu */
} kern_cpu_words;

uint32_t kern_cpu_judge(const kern_cpu_words *w, uint32_t *withheld); /* KERN_CPU_... */

#endif
