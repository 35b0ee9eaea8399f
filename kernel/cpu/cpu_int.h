/* cpu_int.h: between the files of kernel/cpu. */
#ifndef LEAT_CPU_INT_H
#define LEAT_CPU_INT_H

#include <stdatomic.h>

#include "kernel/cpu/cpu.h"

enum {
    CPU_VECTOR_WAKE = 0x40,  /* leave hlt                   */
    CPU_VECTOR_FLUSH = 0x41, /* forget the TLB              */
    CPU_VECTOR_TICK = 0x42,  /* the local timer             */
    CPU_VECTOR_SPURIOUS = 0xff,
};

struct cpu_thread {
    uint64_t stack_at; /* rsp while it does not run */
    void *stack_top;   /* NULL: a core's first thread */
    void (*fn)(void *);
    void *arg;
    int core;
    _Atomic uint32_t ended;
    /* While it waits: in the list of waiters, under its lock. */
    _Atomic uint32_t *word;
    uint64_t until_ns;
    cpu_thread *next_waiter;
    cpu_thread *next_ready;
};

/* One core. gs points to it. */
typedef struct cpu_core {
    struct cpu_core *self;
    int index;
    uint32_t apic_id;
    _Atomic uint32_t running;  /* it takes work */
    _Atomic uint32_t idle;     /* it halts, or is about to: wake it by an interrupt */
    _Atomic uint32_t flushed;  /* how many flushes it has done */
    _Atomic uint32_t threads;  /* that live on it, its first one not counted */
    cpu_lock lock;             /* of the queue */
    cpu_thread *ready, **ready_end;
    cpu_thread *now, *ended;   /* ended: its stack is still in use until somebody else runs */
    bool lent;                 /* `first` was switched to for its stack only */
    cpu_thread first;
    uint64_t gdt[8];
    struct __attribute__((packed)) {
        uint32_t reserved;
        uint64_t rsp[3], reserved_2, ist[7], reserved_3;
        uint16_t reserved_4, io_map;
    } tss;
    _Alignas(16) char fault_stack[2][8192];
} cpu_core;

extern cpu_core *cpu_cores[CPU_CORES_MAX];
static inline cpu_core *cpu_here(void) {
    cpu_core *c;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(c));
    return c;
}

/* exception.S */
extern const char cpu_stubs[];
void cpu_switch(uint64_t *save_at, uint64_t load_at);
void cpu_thread_first(void);
extern char cpu_trampoline[], cpu_trampoline_end[], cpu_trampoline_at[];

void cpu_core_start(cpu_core *c);     /* descriptors and vector state of the core that calls */
void cpu_core_run(cpu_core *c);       /* the others' life: runs threads, for ever */
void cpu_thread_enter(void);          /* of cpu_thread_first */
void cpu_interrupt(uint64_t vector);  /* of the stubs: may touch general registers only */

/* watchdog.c */
void cpu_watchdog_feed(void);
bool cpu_watchdog_tick(void); /* whether it wants another one in a second */

/* apic.c */
extern uint32_t cpu_apic_second;      /* ticks of the timer */
void cpu_apic_start(void); /* of the core that calls */
extern volatile uint32_t *cpu_apic_registers; /* NULL: by MSR */
uint32_t cpu_apic_id(void);
void cpu_apic_send(uint32_t apic_id, uint32_t command); /* of the interrupt command register */
void cpu_apic_timer_start(void);      /* measures its rate: after the clock */
void cpu_apic_timer(uint64_t ns);     /* one tick, that far from now; 0: none */
#define CPU_APIC_INIT 0x4500u
#define CPU_APIC_STARTUP 0x4600u
#define CPU_APIC_NMI 0x4400u

#endif
