/* kernel.c: the order of the start, the end of the machine, and the names of functions. Next: src/plat/bare, which
 * calls tools_main over it (src/hosted/main_bare.c).
 */
#include "kernel/kernel.h"
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/disk/disk.h"
#include "kernel/memory/memory.h"
#include "kernel/pci/pci.h"

extern char boot_guard[];

/* Of kernel/symbols.awk: for each function, in order, its offset from boot_image and the offset of its name. */
typedef struct symbol {
    uint32_t at, name;
} symbol;
extern const symbol kernel_symbols[], kernel_symbols_end[];
extern char kernel_names[] __attribute__((weak));

const char *kernel_symbol(uint64_t address, uint64_t *offset) {
    uint64_t at = address - (uintptr_t)boot_image;
    size_t low = 0, high = (size_t)(kernel_symbols_end - kernel_symbols);
    if (address < (uintptr_t)boot_image || address >= (uintptr_t)kernel_rodata || !high) return NULL;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (kernel_symbols[middle].at <= at) low = middle;
        else high = middle;
    }
    *offset = at - kernel_symbols[low].at;
    return kernel_names + kernel_symbols[low].name;
}

void kernel_debug_exit(uint8_t code) {
    cpu_out8(0xf4, code); /* QEMU's isa-debug-exit, where there is one */
    for (;;) __asm__ volatile("cli; hlt");
}

void kernel_power_off(void) {
    console_log("power off");
    cpu_stop_others();
    cpu_acpi_power_off();
    static const char sorry[] = "this machine does not power off by itself; it is halted\n";
    console_write_now(sorry, sizeof sorry - 1); /* a core that was stopped may hold the lock */
    for (;;) __asm__ volatile("cli; hlt");
}

void kernel_reboot(void) {
    console_log("reboot");
    cpu_stop_others();
    cpu_acpi_reset();
    cpu_reset();
}

static void on_assert(const char *text) { cpu_panic("%s", text); }

void kernel_main(void) {
    assert_hook = on_assert;
    console_start_serial();
    cpu_start_first();
    memory_start();
    memory_unmap_page(boot_guard);
    cpu_acpi_start();
    cpu_start_clock();
    console_start_screen();
    cpu_start_others();
    char total[24], free[24];
    fmt_bytes(total, sizeof total, memory_bytes_total());
    fmt_bytes(free, sizeof free, memory_bytes_free());
    console_log("leat by %s, %.3f s after power-on: %s of RAM, %s of them free; %d core%s; time by %s at %llu MHz; "
                "console: %s", boot.loader, (double)cpu_before_ns() * 1e-9, total, free, cpu_count(),
                cpu_count() == 1 ? "" : "s", cpu_tsc_source(), (unsigned long long)(cpu_tsc_hz() / 1000000),
                console_kind());
    cpu_on_idle(console_poll, 10000000);
    pci_start();
    disk_start();
    kernel_program(); /* which starts the network, once the files of the disks have said how */
}
