/* exception.c: the descriptors of a core, its vector registers, and what is said when something goes wrong.
 *
 * An exception is a bug or a broken machine: there is nobody to recover for. It prints all that helps to find it, stops
 * the other cores and ends as on-panic= wants. Next: apic.c.
 */
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu_int.h"
#include "kernel/kernel.h"
#include "kernel/memory/memory.h"

typedef struct frame {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error, rip, cs, flags, rsp, ss;
} frame;

typedef struct gate {
    uint16_t low, selector;
    uint8_t stack, kind;
    uint16_t middle;
    uint32_t high, reserved;
} gate;
_Static_assert(sizeof(gate) == 16, "Intel SDM 3A, 6.14.1");

static gate gates[256];
static cpu_core first_core;
cpu_core *cpu_cores[CPU_CORES_MAX];
_Noreturn void cpu_exception(const frame *f);

/* ---- saying it ----------------------------------------------------------------------------------- */

static void say(const char *format, ...) PRINTF_LIKE(1, 2);
static void say(const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    size_t n = fmt_v(text, sizeof text, format, args);
    va_end(args);
    console_write_now(text, n);
}

static void say_place(const char *what, uint64_t at) {
    uint64_t offset;
    const char *name = kernel_symbol(at, &offset);
    if (name) say("%s %s+0x%llx (0x%llx in the image)\n", what, name, (unsigned long long)offset,
                  (unsigned long long)(at - boot.kernel_start));
    else say("%s 0x%llx, no function of ours\n", what, (unsigned long long)at);
}

/* Frames are not kept: every word of the stack that points into a function is shown. */
static void say_stack(uint64_t rsp) {
    uint64_t offset;
    int shown = 0;
    for (uint64_t at = rsp; shown < 12 && at < rsp + 2048 && !(at & 7); at += 8) {
        if (!memory_physical((void *)(uintptr_t)at)) return;
        uint64_t word = *(uint64_t *)(uintptr_t)at;
        if (kernel_symbol(word, &offset) && offset) say_place("   ?", word), shown++;
    }
}

/* One core speaks; those that come later stop. */
static void alone(void) {
    static _Atomic uint32_t speaking;
    static uint32_t depth;
    uint32_t nobody = 0, me = (uint32_t)cpu_here()->index + 1;
    __asm__ volatile("cli");
    if (!atomic_compare_exchange_strong(&speaking, &nobody, me) && nobody != me)
        for (;;) __asm__ volatile("hlt");
    if (depth++ > 1) kernel_debug_exit(0x7f); /* the report itself faults */
    cpu_stop_others();
}

static _Noreturn void end(void) {
    char how[16] = "halt";
    boot_option("on-panic", 0, how, sizeof how);
    if (cstr_eq(how, "reboot")) kernel_reboot();
    if (cstr_eq(how, "exit")) kernel_debug_exit(0x20);
    say("halted; on-panic=reboot on the command line would start again\n");
    for (;;) __asm__ volatile("cli; hlt");
}

void cpu_exception(const frame *f) {
    static const char *const names[32] = {
        "divide error", "debug", "NMI", "breakpoint", "overflow", "bound", "invalid opcode", "no device",
        "double fault", "", "invalid TSS", "segment not present", "stack fault", "general protection", "page fault", "",
        "x87 error", "alignment check", "machine check", "SIMD error", "", "control protection"};
    alone();
    uint64_t cr2, cr3;
    __asm__("movq %%cr2, %0" : "=r"(cr2));
    __asm__("movq %%cr3, %0" : "=r"(cr3));
    say("\nEXCEPTION %llu (%s), error 0x%llx, on core %d\n", (unsigned long long)f->vector,
        names[f->vector & 31] ? names[f->vector & 31] : "?", (unsigned long long)f->error, cpu_self());
    if (f->vector == 14)
        say("%s of 0x%llx: %s\n", f->error & 16 ? "execution" : f->error & 2 ? "write" : "read",
            (unsigned long long)cr2, f->error & 1 ? "not permitted" : "not mapped");
    say_place("at", f->rip);
#define P(name) (unsigned long long)f->name
    say("rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", P(rax), P(rbx), P(rcx), P(rdx));
    say("rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n", P(rsi), P(rdi), P(rbp), P(rsp));
    say("r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n", P(r8), P(r9), P(r10), P(r11));
    say("r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n", P(r12), P(r13), P(r14), P(r15));
    say("rip %016llx flags %08llx cr2 %016llx cr3 %016llx\n", P(rip), P(flags), (unsigned long long)cr2,
        (unsigned long long)cr3);
#undef P
    say_stack(f->rsp);
    end();
}

void cpu_panic(const char *format, ...) {
    char text[300];
    va_list args;
    alone();
    va_start(args, format);
    fmt_v(text, sizeof text, format, args);
    va_end(args);
    say("\nPANIC on core %d: %s\n", cpu_self(), text);
    say_stack((uint64_t)(uintptr_t)__builtin_frame_address(0));
    end();
}

/* ---- descriptors --------------------------------------------------------------------------------- */

static void fill_gates(void) {
    for (int i = 0; i < 256; i++) {
        uint64_t at = (uintptr_t)cpu_stubs + (uint64_t)i * 16;
        gates[i] = (gate){.low = (uint16_t)at, .selector = 8, .kind = 0x8e, .middle = (uint16_t)(at >> 16),
                          .high = (uint32_t)(at >> 32)};
    }
    gates[2].stack = gates[18].stack = 2;                    /* they come at any time */
    gates[8].stack = gates[12].stack = gates[14].stack = 1; /* the stack may be what faulted */
}

static void load_descriptors(cpu_core *c) {
    /* The processor reads from `size` on; before it, what aligns the address, which a relocation may have to reach. */
    struct {
        uint16_t unused[3], size;
        uint64_t at;
    } gdt = {{0}, sizeof c->gdt - 1, (uintptr_t)c->gdt}, idt = {{0}, sizeof gates - 1, (uintptr_t)gates};
    uint64_t tss = (uintptr_t)&c->tss;
    c->gdt[1] = 0x00af9b000000ffff;
    c->gdt[2] = 0x00cf93000000ffff;
    c->gdt[4] = (sizeof c->tss - 1) | (tss & 0xffffff) << 16 | (uint64_t)0x89 << 40 | (tss >> 24 & 0xff) << 56;
    c->gdt[5] = tss >> 32;
    for (int i = 0; i < 2; i++) c->tss.ist[i] = (uintptr_t)(c->fault_stack[i] + sizeof c->fault_stack[i]);
    c->tss.io_map = sizeof c->tss;
    __asm__ volatile("lgdt %0; lidt %1" : : "m"(gdt.size), "m"(idt.size), "m"(gdt.at), "m"(idt.at));
    __asm__ volatile("movl %0, %%fs; movl %0, %%gs" : : "r"(0));
    __asm__ volatile("ltr %w0" : : "r"(32));
    cpu_set_msr(0xc0000101, (uintptr_t)c); /* gs */
}

/* Every vector register that the processor has and we know to save nothing of: threads change where calls do. */
static void enable_vectors(void) {
    uint64_t cr4, cr0;
    __asm__ volatile("movq %%cr0, %0" : "=r"(cr0));
    /* No emulation; errors of the FPU; write protection. */
    __asm__ volatile("movq %0, %%cr0" : : "r"((cr0 & ~(uint64_t)0xc) | 0x10022));
    __asm__ volatile("fninit");
    uint32_t mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    if (cpu_id_of(1, 0).c >> 26 & 1) {
        __asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
        __asm__ volatile("movq %0, %%cr4" : : "r"(cr4 | 1 << 18)); /* OSXSAVE */
        cpu_id has = cpu_id_of(0xd, 0);
        uint32_t want = has.a & 0x600e7; /* x87, SSE, AVX, AVX-512, AMX */
        if ((want & 0xe0) != 0xe0) want &= ~0xe0u;
        if ((want & 0x60000) != 0x60000) want &= ~0x60000u;
        __asm__ volatile("xsetbv" : : "c"(0), "a"(want), "d"(0));
    }
    /* Page attributes: write-through becomes write-combining; the others as after reset. */
    cpu_set_msr(0x277, 0x0007040600070106);
}

bool cpu_has_tiles(void) {
    uint32_t low = 0, high;
    if (cpu_id_of(1, 0).c >> 27 & 1) __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 0x60000) == 0x60000;
}

void cpu_core_start(cpu_core *c) {
    c->self = c;
    c->ready_end = &c->ready;
    c->now = &c->first;
    c->first.core = c->index;
    load_descriptors(c);
    enable_vectors();
}

void cpu_start_first(void) {
    fill_gates();
    cpu_cores[0] = &first_core;
    first_core.running = 1;
    cpu_core_start(&first_core);
}
