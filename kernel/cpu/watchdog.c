/* watchdog.c: reboots a machine whose core 0 asks no devices any more, or waits for ever, and remembers it in the clock
 * chip's memory, which a reset keeps, for the next start to say. Every core ticks once a second and looks, so that no
 * single one can hang unseen. Compiled for general registers only: the tick is an interrupt.
 */
#include "kernel/cpu/cpu_int.h"

enum { MARK_AT = 0x7e, MARK = 0xd6 };

static _Atomic uint64_t limit_tsc, fed_tsc; /* limit 0: off */

static uint8_t read_mark(void) {
    cpu_out8(0x70, MARK_AT);
    return cpu_in8(0x71);
}

static void write_mark(uint8_t v) {
    cpu_out8(0x70, MARK_AT);
    cpu_out8(0x71, v);
}

bool cpu_watchdog_rebooted(void) {
    if (read_mark() != MARK) return false;
    write_mark(0);
    return true;
}

void cpu_watchdog(uint32_t seconds) {
    cpu_watchdog_feed();
    atomic_store(&limit_tsc, seconds * cpu_tsc_hz());
    for (int i = 0; seconds && i < cpu_count(); i++) cpu_apic_send(cpu_cores[i]->apic_id, CPU_VECTOR_TICK);
}

uint32_t cpu_watchdog_seconds(void) { return (uint32_t)(atomic_load(&limit_tsc) / cpu_tsc_hz()); }
void cpu_watchdog_feed(void) { atomic_store_explicit(&fed_tsc, cpu_tsc(), memory_order_relaxed); }

bool cpu_watchdog_tick(void) {
    uint64_t limit = atomic_load(&limit_tsc), fed = atomic_load(&fed_tsc), now = cpu_tsc();
    if (!limit) return false;
    if (now < fed || now - fed < limit) return true;
    write_mark(MARK);
    cpu_reset();
}
