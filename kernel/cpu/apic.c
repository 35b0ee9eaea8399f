/* apic.c: the local interrupt controller of each core: interrupts to other cores, and a timer to wake from hlt.
 * By memory, or by MSR where the firmware switched that mode on. Source: Intel SDM 3A, chapter 11.
 */
#include "kernel/cpu/cpu_int.h"
#include "kernel/memory/memory.h"

enum { ID = 0x20, EOI = 0xb0, SPURIOUS = 0xf0, COMMAND = 0x300, COMMAND_HIGH = 0x310, TIMER = 0x320, LINT0 = 0x350,
       LINT1 = 0x360, TIMER_START = 0x380, TIMER_NOW = 0x390, TIMER_DIVIDE = 0x3e0 };
#define MASKED 0x10000u

volatile uint32_t *cpu_apic_registers; /* NULL: by MSR */
#define registers cpu_apic_registers
uint32_t cpu_apic_second;
static uint64_t timer_hz;

static void set(uint32_t at, uint32_t v) {
    if (registers) registers[at / 4] = v;
    else cpu_set_msr(0x800 + at / 16, v);
}

static uint32_t get(uint32_t at) { return registers ? registers[at / 4] : (uint32_t)cpu_msr(0x800 + at / 16); }

void cpu_apic_start(void) {
    uint64_t base = cpu_msr(0x1b);
    cpu_set_msr(0x1b, base | 0x800);
    if (!(base & 0x400) && !registers) registers = memory_map_io(base & 0xffffff000u, 4096);
    set(TIMER, MASKED);
    set(LINT0, MASKED);
    set(LINT1, 0x400); /* NMI */
    set(TIMER_DIVIDE, 0xb); /* by 1 */
    set(SPURIOUS, 0x100 | CPU_VECTOR_SPURIOUS);
}

uint32_t cpu_apic_id(void) { return registers ? get(ID) >> 24 : get(ID); }

void cpu_apic_send(uint32_t apic_id, uint32_t command) {
    if (!registers) {
        cpu_set_msr(0x830, (uint64_t)apic_id << 32 | command);
        return;
    }
    uint64_t flags; /* no interrupt between the two halves */
    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags));
    while (get(COMMAND) & 0x1000) cpu_pause();
    set(COMMAND_HIGH, apic_id << 24);
    set(COMMAND, command);
    while (get(COMMAND) & 0x1000) cpu_pause();
    if (flags & 0x200) __asm__ volatile("sti");
}

void cpu_apic_timer_start(void) {
    set(TIMER_START, UINT32_MAX);
    uint64_t from = cpu_time_ns();
    while (cpu_time_ns() - from < 1000000) cpu_pause();
    uint32_t counted = UINT32_MAX - get(TIMER_NOW);
    timer_hz = (uint64_t)counted * 1000000000 / (cpu_time_ns() - from);
    cpu_apic_second = (uint32_t)MIN(timer_hz, UINT32_MAX);
    set(TIMER_START, 0);
}

void cpu_apic_timer(uint64_t ns) {
    if (!ns || !timer_hz) {
        set(TIMER, MASKED);
        set(TIMER_START, 0);
        return;
    }
    double ticks = (double)ns * 1e-9 * (double)timer_hz;
    set(TIMER, CPU_VECTOR_TICK);
    set(TIMER_START, ticks > 4e9 ? 4000000000u : ticks < 1 ? 1 : (uint32_t)ticks);
}
