/* interrupt.c: the few interrupts there are. Compiled for general registers only, so that the code they interrupt keeps
 * its vector registers.
 */
#include "kernel/cpu/cpu_int.h"

void cpu_interrupt(uint64_t vector) {
    cpu_core *c = cpu_here();
    if (vector == CPU_VECTOR_FLUSH) {
        uint64_t root;
        __asm__ volatile("movq %%cr3, %0; movq %0, %%cr3" : "=r"(root) : : "memory");
        atomic_fetch_add(&c->flushed, 1);
    }
    if (vector == CPU_VECTOR_TICK && cpu_watchdog_tick()) {
        if (cpu_apic_registers) {
            cpu_apic_registers[0x320 / 4] = CPU_VECTOR_TICK;
            cpu_apic_registers[0x380 / 4] = cpu_apic_second;
        } else {
            cpu_set_msr(0x832, CPU_VECTOR_TICK);
            cpu_set_msr(0x838, cpu_apic_second);
        }
    }
    if (vector < CPU_VECTOR_WAKE || vector > CPU_VECTOR_TICK) return;
    if (cpu_apic_registers) cpu_apic_registers[0xb0 / 4] = 0; /* end of interrupt */
    else cpu_set_msr(0x80b, 0);
}
