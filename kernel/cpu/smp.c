/* smp.c: the other cores: found in ACPI's MADT, started by INIT and SIPI, one after the other, each with a stack of its
 * own. Source: Intel SDM 3A, 8.4; ACPI 6.5, 5.2.12.
 */
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu_int.h"
#include "kernel/memory/memory.h"

#define STACK_BYTES ((size_t)64 << 10)

static _Atomic int n_cores = 1;
static _Atomic uint32_t stopped;

int cpu_count(void) { return atomic_load(&n_cores); }
int cpu_self(void) { return cpu_here()->index; }

static _Noreturn void enter(cpu_core *c) {
    cpu_core_start(c);
    cpu_apic_start();
    atomic_store(&c->running, 1);
    __asm__ volatile("sti");
    cpu_core_run(c);
    __builtin_unreachable();
}

static bool start_one(uint32_t apic_id) {
    int index = cpu_count();
    cpu_core *c = memory_pages(sizeof *c);
    uint64_t page = memory_low_page();
    char *stack = memory_stack(STACK_BYTES);
    if (!c || !page || !stack || index >= CPU_CORES_MAX) {
        memory_pages_free(c, sizeof *c);
        memory_stack_free(stack, STACK_BYTES);
        return false;
    }
    c->index = index;
    c->apic_id = apic_id;
    cpu_cores[index] = c;
    char *copy = (char *)(uintptr_t)page, *filled = copy + (cpu_trampoline_at - cpu_trampoline);
    memcpy(copy, cpu_trampoline, (size_t)(cpu_trampoline_end - cpu_trampoline));
    store_u64(filled, memory_root());
    store_u32(filled + 8, load_u32(filled + 8) + (uint32_t)page);
    store_u64(filled + 16, (uintptr_t)stack);
    store_u64(filled + 24, (uintptr_t)c);
    store_u64(filled + 32, (uintptr_t)enter);
    char *gdt = cpu_trampoline_end - cpu_trampoline + copy - 8;
    store_u32(gdt + 2, load_u32(gdt + 2) + (uint32_t)page);
    cpu_apic_send(apic_id, CPU_APIC_INIT);
    cpu_delay_ns(200000);
    for (int tries = 0; tries < 2 && !atomic_load(&c->running); tries++) {
        cpu_apic_send(apic_id, CPU_APIC_STARTUP | (uint32_t)(page >> 12));
        uint64_t from = cpu_time_ns();
        while (!atomic_load(&c->running) && cpu_time_ns() - from < (tries ? 1000000000u : 50000000u)) cpu_pause();
    }
    if (!atomic_load(&c->running)) {
        /* Its memory stays as it is: it might still come. */
        console_log("cpu: the core with APIC id %u does not start", apic_id);
        return false;
    }
    atomic_fetch_add(&n_cores, 1);
    return true;
}

void cpu_start_others(void) {
    cpu_apic_start();
    cpu_core *c = cpu_here();
    c->apic_id = cpu_apic_id();
    cpu_apic_timer_start();
    __asm__ volatile("sti");
    size_t bytes = 0;
    const uint8_t *madt = cpu_acpi_table("APIC", 0, &bytes);
    char text[16];
    uint64_t most = CPU_CORES_MAX;
    if (boot_option("cores", 0, text, sizeof text)) parse_u64(str_of(text), &most);
    for (size_t at = 44; madt && at + 2 <= bytes && madt[at + 1] >= 2; at += madt[at + 1]) {
        uint32_t id = 0, flags = 0;
        if (madt[at] == 0 && at + 8 <= bytes) id = madt[at + 3], flags = load_u32(madt + at + 4);
        if (madt[at] == 9 && at + 16 <= bytes) id = load_u32(madt + at + 4), flags = load_u32(madt + at + 8);
        if ((flags & 1) && id != c->apic_id && (uint64_t)cpu_count() < most) start_one(id);
    }
}

void cpu_flush_tlbs(void) {
    int n = cpu_count(), me = cpu_self();
    for (int i = 0; i < n; i++) {
        if (i == me) continue;
        uint32_t before = atomic_load(&cpu_cores[i]->flushed);
        cpu_apic_send(cpu_cores[i]->apic_id, CPU_VECTOR_FLUSH);
        while (atomic_load(&cpu_cores[i]->flushed) == before) cpu_pause();
    }
}

void cpu_stop_others(void) {
    if (atomic_exchange(&stopped, 1)) return;
    for (int i = 0; i < cpu_count(); i++)
        if (i != cpu_self()) cpu_apic_send(cpu_cores[i]->apic_id, CPU_APIC_INIT);
}
