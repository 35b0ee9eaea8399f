/* machine.c: plat.h over kernel/: memory, cores, time, entropy, and what there is to say about this machine. */
#include "plat/bare/bare.h"

#include "kernel/boot/boot.h"
#include "kernel/cpu/cpu.h"
#include "kernel/kernel.h"
#include "kernel/memory/memory.h"

const char *plat_error_name(int error) {
    static const char *const names[] = {
        [-PLAT_OK] = "no error", [-PLAT_NOT_FOUND] = "no such file", [-PLAT_DENIED] = "permission denied",
        [-PLAT_NO_MEMORY] = "out of memory", [-PLAT_IO_ERROR] = "input/output error", [-PLAT_EXISTS] = "exists already",
        [-PLAT_INVALID] = "invalid", [-PLAT_UNSUPPORTED] = "not supported", [-PLAT_INTERRUPTED] = "interrupted",
        [-PLAT_NO_SPACE] = "no space left", [-PLAT_CLOSED] = "nobody reads it", [-PLAT_AGAIN] = "not now"};
    return error <= 0 && (size_t)-error < COUNT_OF(names) ? names[-error] : "unknown error";
}

/* The first core that computes: core 0 serves network, disks and console, and waits for the others, unless it is the
 * only one, or io-core=off says that it is to compute, too. */
static int first_core(void) {
    char text[8] = "on";
    boot_option("io-core", 0, text, sizeof text);
    return cpu_count() > 1 && !cstr_eq(text, "off");
}

uint32_t plat_caps(void) { return PLAT_CAN_MAP | PLAT_CAN_PIN | (first_core() ? PLAT_CALLER_WAITS : 0); }

/* ---- memory -------------------------------------------------------------------------------------- */

void *plat_reserve(size_t bytes) { return memory_reserve(bytes); }
int plat_commit(void *at, size_t bytes) { return memory_commit(at, bytes) ? PLAT_OK : PLAT_NO_MEMORY; }
void plat_discard(void *at, size_t bytes) { (void)at, (void)bytes; } /* the machine is ours */
void plat_release(void *at, size_t bytes) { memory_release(at, bytes); }
/* Committed memory is there, in large pages where they fit. */
void plat_huge_pages(const void *at, size_t bytes) { (void)at, (void)bytes; }
void plat_populate(void *at, size_t bytes) { (void)at, (void)bytes; }
void plat_spread(void *at, size_t bytes) { (void)at, (void)bytes; }
size_t plat_page_bytes(void) { return MEMORY_PAGE; }
uint64_t plat_mem_total(void) { return memory_bytes_total(); }
uint64_t plat_mem_available(void) { return memory_bytes_free(); }
uint64_t plat_mem_resident(void) { return UINT64_MAX; }
double plat_mem_pressure(void) { return 0; } /* nobody else is here */
uint64_t plat_major_faults(void) { return 0; }
uint64_t plat_disk_bytes(void) { return 0; }

/* ---- cores --------------------------------------------------------------------------------------- */

/* Nobody is asked which processors share a core or a memory: each counts as a core, all as one node. */
int plat_core_count(void) { return cpu_count() - first_core(); }
int plat_processor_count(void) { return plat_core_count(); }
plat_core plat_core_at(int core) { return (void)core, (plat_core){0, 1024}; }
/* The first thread stays on core 0, and the pool's others each get a core of their own. */
int plat_pin_self(int core) { return core <= 0 ? PLAT_OK : PLAT_INVALID; }

int plat_thread_start(plat_thread **out, void (*fn)(void *), void *arg, int core) {
    *out = (plat_thread *)cpu_thread_start(fn, arg, core < 0 ? core : core + first_core());
    return *out ? PLAT_OK : PLAT_NO_MEMORY;
}

void plat_thread_join(plat_thread *t) { cpu_thread_join((cpu_thread *)t); }
void plat_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns) { cpu_wait(word, expected, timeout_ns); }
void plat_wake(_Atomic uint32_t *word, uint32_t count) { cpu_wake(word, count); }
void plat_yield(void) { cpu_yield(); }
uint32_t plat_cpu(void) { return cpu_has_tiles() ? PLAT_CPU_X86_TILES : 0; }

/* ---- time, entropy ------------------------------------------------------------------------------- */

uint64_t plat_time_ns(void) { return cpu_time_ns(); }
uint64_t plat_wall_ns(void) { return cpu_wall_ns(); }
void plat_sleep_ns(uint64_t ns) { cpu_sleep_ns(ns); }

static bool hardware_random(uint64_t *v) {
    uint8_t ok = 0;
    for (int tries = 0; tries < 20 && !ok; tries++) __asm__ volatile("rdrand %0; setc %1" : "=r"(*v), "=qm"(ok));
    return ok;
}

/* Without RDRAND: the low bits of how long things take, which differ from run to run, and no more than that. */
static uint64_t jitter(void) {
    uint64_t v = plat_wall_ns();
    for (int i = 0; i < 64; i++) {
        uint64_t from = cpu_tsc();
        (void)cpu_in8(0x80);
        uint64_t took = cpu_tsc() - from;
        v = hash_bytes(&took, sizeof took, v);
    }
    return v;
}

void plat_entropy(void *out, size_t bytes) {
    bool rdrand = cpu_id_of(1, 0).c >> 30 & 1;
    for (char *at = out; bytes;) {
        uint64_t v;
        if (!rdrand || !hardware_random(&v)) v = jitter();
        size_t n = MIN(bytes, sizeof v);
        memcpy(at, &v, n);
        at += n;
        bytes -= n;
    }
}

/* ---- about this machine -------------------------------------------------------------------------- */

size_t plat_cpu_name(char *buf, size_t cap) {
    char name[49] = "";
    if (cpu_id_of(0x80000000, 0).a >= 0x80000004)
        for (uint32_t i = 0; i < 3; i++) {
            cpu_id id = cpu_id_of(0x80000002 + i, 0);
            memcpy(name + 16 * i, &id, 16);
        }
    str s = str_trim(str_of(name));
    return s.len ? fmt(buf, cap, "%.*s", (int)s.len, s.ptr) : fmt(buf, cap, "unknown processor");
}

double plat_load(void) { return 0; }

/* There is no other program to return to. */
void plat_exit(int code) {
    (void)code;
    kernel_power_off();
}

int plat_command(const char *line, uint64_t timeout_ns, char *out, size_t cap, plat_ran *ran) {
    (void)line, (void)timeout_ns, (void)out, (void)cap;
    *ran = (plat_ran){0};
    return PLAT_UNSUPPORTED;
}
