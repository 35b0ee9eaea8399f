/* clock.c: the time-stamp counter, measured once against a clock whose rate is known, and the clock of the board.
 * Microvms have no port 0x61, so the timer chip's first counter is read back by latching it.
 */
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu_int.h"
#include "kernel/memory/memory.h"

#define PIT_HZ 1193182u
#define PM_TIMER_HZ 3579545u
#define MEASURE_MS 4

static uint64_t tsc_start, hz = 1000000000; /* a guess, for what is timed before the measurement */
static double ns_a_tick = 1;
static const char *source = "nothing: 1 GHz is assumed";

static uint16_t pit_now(void) {
    cpu_out8(0x43, 0); /* latch */
    uint8_t low = cpu_in8(0x40);
    return (uint16_t)(low | cpu_in8(0x40) << 8);
}

/* 0 where the chip does not count. */
static uint64_t measure_pit(void) {
    cpu_out8(0x43, 0x34); /* counter 0, both bytes, rate generator from 65536 down */
    cpu_out8(0x40, 0);
    cpu_out8(0x40, 0);
    uint16_t first = pit_now(), start;
    int looks = 0;
    while ((start = pit_now()) == first)
        if (++looks > 10000) return 0;
    uint64_t from = cpu_tsc(), passed = 0, to = from;
    while (passed < PIT_HZ * MEASURE_MS / 1000) {
        uint16_t now = pit_now();
        to = cpu_tsc();
        passed = (uint16_t)(start - now);
    }
    return (to - from) * PIT_HZ / passed;
}

static uint64_t measure_pm(void) {
    size_t bytes;
    const char *fadt = cpu_acpi_table("FACP", 0, &bytes);
    uint16_t port = fadt && bytes >= 80 ? (uint16_t)load_u32(fadt + 76) : 0;
    if (!port) return 0;
    uint32_t start = cpu_in32(port), passed = 0;
    uint64_t from = cpu_tsc(), to = from;
    for (int looks = 0; passed < PM_TIMER_HZ * MEASURE_MS / 1000; looks++) {
        passed = (cpu_in32(port) - start) & 0xffffff;
        to = cpu_tsc();
        if (looks > 10000 && !passed) return 0;
    }
    return (to - from) * PM_TIMER_HZ / passed;
}

void cpu_start_clock(void) {
    cpu_id crystal = cpu_id_of(0, 0).a >= 0x15 ? cpu_id_of(0x15, 0) : (cpu_id){0};
    cpu_id guest = cpu_id_of(1, 0).c >> 31 ? cpu_id_of(0x40000000, 0) : (cpu_id){0};
    uint64_t found = 0;
    if (crystal.a && crystal.b && crystal.c) {
        found = (uint64_t)crystal.c * crystal.b / crystal.a;
        source = "CPUID 15h";
    } else if (guest.a >= 0x40000010 && guest.a < 0x40010000 && cpu_id_of(0x40000010, 0).a) {
        found = (uint64_t)cpu_id_of(0x40000010, 0).a * 1000;
        source = "the hypervisor";
    } else if ((found = measure_pm())) {
        source = "ACPI's timer";
    } else if ((found = measure_pit())) {
        source = "the timer chip";
    }
    if (found) hz = found;
    ns_a_tick = 1e9 / (double)hz;
}

uint64_t cpu_time_ns(void) {
    if (!tsc_start) tsc_start = cpu_tsc();
    return (uint64_t)((double)(cpu_tsc() - tsc_start) * ns_a_tick);
}

uint64_t cpu_before_ns(void) { return (uint64_t)((double)tsc_start * ns_a_tick); }
uint64_t cpu_tsc_hz(void) { return hz; }
const char *cpu_tsc_source(void) { return source; }

void cpu_delay_ns(uint64_t ns) {
    uint64_t from = cpu_time_ns();
    while (cpu_time_ns() - from < ns) cpu_pause();
}

/* ---- the clock of the board ---------------------------------------------------------------------- */

static uint8_t cmos(uint8_t at) {
    cpu_out8(0x70, at);
    return cpu_in8(0x71);
}

static uint64_t days_since_1970(uint64_t year, uint64_t month, uint64_t day) {
    year -= month <= 2;
    uint64_t shifted = (month + 9) % 12, in_year = (153 * shifted + 2) / 5 + day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + in_year - 719468;
}

static uint64_t board_seconds(void) {
    uint8_t at[6] = {0, 2, 4, 7, 8, 9}, v[6], again[6];
    for (int tries = 0; tries < 100; tries++) {
        while (cmos(0x0a) >> 7 && tries++ < 100) cpu_delay_ns(100000);
        for (int i = 0; i < 6; i++) v[i] = cmos(at[i]);
        for (int i = 0; i < 6; i++) again[i] = cmos(at[i]);
        if (!memcmp(v, again, 6)) break;
    }
    uint8_t mode = cmos(0x0b);
    bool afternoon = !(mode & 2) && v[2] & 0x80;
    v[2] &= 0x7f;
    if (!(mode & 4))
        for (int i = 0; i < 6; i++) v[i] = (uint8_t)((v[i] >> 4) * 10 + (v[i] & 15));
    if (!(mode & 2)) v[2] = (uint8_t)(v[2] % 12 + (afternoon ? 12 : 0));
    if (v[3] < 1 || v[3] > 31 || v[4] < 1 || v[4] > 12 || v[5] > 99) return 0; /* no such chip */
    return days_since_1970(2000u + v[5], v[4], v[3]) * 86400 + v[2] * 3600u + v[1] * 60u + v[0];
}

uint64_t cpu_wall_ns(void) {
    static uint64_t at_start;
    if (!at_start) at_start = board_seconds() * 1000000000 - cpu_time_ns();
    return at_start + cpu_time_ns();
}
