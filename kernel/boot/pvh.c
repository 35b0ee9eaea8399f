/* pvh.c: what a virtual machine's loader leaves by Xen's PVH protocol (QEMU -kernel, Firecracker, Cloud Hypervisor).
 * Source: xen/include/public/arch-x86/hvm/start_info.h.
 */
#include "kernel/boot/boot_int.h"

typedef struct start_info {
    uint32_t magic, version, flags, n_modules;
    uint64_t modules_at, line_at, rsdp;
    uint64_t ranges_at; /* from version 1 on */
    uint32_t n_ranges, reserved;
} start_info;

typedef struct start_module {
    uint64_t start, bytes, line_at, reserved;
} start_module;

typedef struct start_range {
    uint64_t start, bytes;
    uint32_t kind, reserved; /* 1 RAM, 3 ACPI's tables, else reserved: as E820 has it */
} start_range;

void boot_from_pvh(const void *info) {
    const start_info *s = info;
    fmt(boot.loader, sizeof boot.loader, "PVH");
    boot.rsdp = s->rsdp;
    if (s->line_at) fmt(boot.line, sizeof boot.line, "%s", (const char *)(uintptr_t)s->line_at);
    const start_range *r = (const start_range *)(uintptr_t)s->ranges_at;
    for (uint32_t i = 0; r && i < s->n_ranges; i++)
        boot_add_range(r[i].start, r[i].bytes,
                       r[i].kind == 1 ? BOOT_RAM : r[i].kind == 3 ? BOOT_TABLES : BOOT_RESERVED);
    const start_module *m = (const start_module *)(uintptr_t)s->modules_at;
    for (uint32_t i = 0; i < s->n_modules; i++) {
        /* QEMU's -initrd has no name. */
        str name = m[i].line_at ? str_of((const char *)(uintptr_t)m[i].line_at) : STR("model.gguf");
        boot_add_module(m[i].start, m[i].bytes, name);
    }
}
