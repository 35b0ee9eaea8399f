/* cpu.h: the cores of the machine: instructions that C has no words for, time, locks, cores, threads, exceptions, ACPI.
 *
 * Every core runs cooperative threads: a thread keeps its core until it waits, sleeps, yields or ends. Interrupts only
 * wake a core that halts, flush its TLB or tick for the watchdog; no device raises any. Core 0, whenever it has nothing
 * to run or yields, asks the devices that registered with cpu_on_idle.
 */
#ifndef LEAT_CPU_H
#define LEAT_CPU_H

#include "base/base.h"

/* ---- instructions -------------------------------------------------------------------------------- */

static inline uint8_t cpu_in8(uint16_t port) {
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint16_t cpu_in16(uint16_t port) {
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint32_t cpu_in32(uint16_t port) {
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline void cpu_out8(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void cpu_out16(uint16_t port, uint16_t v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static inline void cpu_out32(uint16_t port, uint32_t v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }

static inline uint64_t cpu_msr(uint32_t msr) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}
static inline void cpu_set_msr(uint32_t msr, uint64_t v) {
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t cpu_tsc(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}
typedef struct cpu_id {
    uint32_t a, b, c, d;
} cpu_id;
static inline cpu_id cpu_id_of(uint32_t leaf, uint32_t sub) {
    cpu_id r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
    return r;
}

/* Resets the machine: by the chip set, the keyboard controller, or an exception that nobody takes. */
static inline _Noreturn void cpu_reset(void) {
    static const char none[10];
    cpu_out8(0xcf9, 6);
    cpu_out8(0x64, 0xfe);
    for (;;) __asm__ volatile("lidt %0; int3" : : "m"(none));
}

/* AMX, whose state every core has switched on. */
bool cpu_has_tiles(void);

/* ---- time ---------------------------------------------------------------------------------------- */

uint64_t cpu_time_ns(void);  /* since the start; monotonic, the same on all cores */
uint64_t cpu_before_ns(void); /* from the processor's reset until then: what firmware and loader took */
uint64_t cpu_wall_ns(void);  /* since 1970, by the clock of the board; that clock's zero where there is none */
void cpu_delay_ns(uint64_t ns); /* spins; for devices that want a moment. Threads sleep with cpu_sleep_ns. */
uint64_t cpu_tsc_hz(void);
const char *cpu_tsc_source(void); /* what the rate was measured against */

/* ---- locks: short, never held across a wait ------------------------------------------------------ */

typedef struct cpu_lock {
    _Atomic uint32_t taken;
} cpu_lock;
void cpu_lock_take(cpu_lock *l);
void cpu_lock_leave(cpu_lock *l);

/* ---- cores and threads --------------------------------------------------------------------------- */

#define CPU_CORES_MAX 256

int cpu_count(void); /* cores that run */
int cpu_self(void);  /* the one that asks */

typedef struct cpu_thread cpu_thread;
/* core < 0: the one with the fewest threads, but core 0 only where it is alone. NULL without memory. */
cpu_thread *cpu_thread_start(void (*fn)(void *), void *arg, int core);
void cpu_thread_join(cpu_thread *t); /* waits for its end and frees it */
/* As plat_wait and plat_wake. */
void cpu_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void cpu_wake(_Atomic uint32_t *word, uint32_t count);
void cpu_yield(void);             /* others of this core run, core 0 asks the devices; then it returns */
void cpu_sleep_ns(uint64_t ns);   /* 0 is a yield */
/* Core 0 calls it while it has nothing better to do, at least every interval_ns. It must not wait. At most 8. */
void cpu_on_idle(void (*poll)(void), uint64_t interval_ns);
/* For who computes for long and does not wait: asks them if it is core 0 and if it is time to. */
void cpu_ask_devices(void);

/* ---- starting (kernel_main) ---------------------------------------------------------------------- */

void cpu_start_first(void);  /* descriptors, exceptions, vector state of this core; before memory */
void cpu_start_clock(void);  /* after ACPI's tables */
void cpu_start_others(void); /* all other cores that ACPI names */
void cpu_flush_tlbs(void);   /* after memory was unmapped: no core remembers it on return */
/* Stops all other cores for good. */
void cpu_stop_others(void);

/* ---- quiet, and watched over --------------------------------------------------------------------- */

/* Cores that wait spin instead of halting: no timer, no interrupt to wake them. The watchdog does not tick. */
void cpu_set_quiet(bool on);
bool cpu_is_quiet(void);
/* Reboots when core 0 has not asked its devices for that long, or has waited for others for ten times that; 0: off. */
void cpu_watchdog(uint32_t seconds);
uint32_t cpu_watchdog_seconds(void);
/* Whether that is why the machine started; told once. */
bool cpu_watchdog_rebooted(void);

/* ---- ACPI ---------------------------------------------------------------------------------------- */

/* A table by its signature, the nth one; NULL where there is none. Checksums were verified. */
const void *cpu_acpi_table(const char signature[4], size_t nth, size_t *bytes);
void cpu_acpi_start(void);
/* They return only if the machine does not do it. */
void cpu_acpi_power_off(void);
void cpu_acpi_reset(void);

/* ---- exceptions ---------------------------------------------------------------------------------- */

/* What follows an exception or an assertion, by the option on-panic=: halt, reboot, or exit (to QEMU). */
_Noreturn void cpu_panic(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
