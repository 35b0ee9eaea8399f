/* start.c: from the entry to kernel_main, by way of boot_info: relocation, the three protocols, modules, the command
 * line. Next: kernel.c.
 */
#include "kernel/boot/boot_int.h"
#include "kernel/kernel.h"

boot_info boot;

/* Relocations as ELF's RELR has them: the address of a word, then bits for the 63 words after it, and so on. Every
 * such word gets how far we are from where we were linked. Hidden, as boot_image is: else a compiler may take their
 * addresses from a table that is to be relocated itself. */
extern __attribute__((visibility("hidden"))) const uint64_t kernel_relocations[], kernel_relocations_end[];
#define LINKED_FOR 0x200000u
void boot_relocate(void);

/* Called by entry.S before anything else: what is called from here must not need relocation itself. */
void boot_relocate(void) {
    uint64_t by = (uint64_t)(uintptr_t)boot_image - LINKED_FOR, *at = NULL;
    for (const uint64_t *r = kernel_relocations; r < kernel_relocations_end; r++) {
        if (!(*r & 1)) {
            at = (uint64_t *)(uintptr_t)(*r + by);
            *at++ += by;
            continue;
        }
        for (int i = 0; i < 63; i++)
            if (*r >> (i + 1) & 1) at[i] += by;
        at += 63;
    }
}

void boot_add_options(str text) {
    size_t used = cstr_len(boot.line);
    while (text.len) {
        size_t end = MIN(str_find(text, STR("\n")), text.len);
        if (text.ptr[0] != '#' && end + 2 < sizeof boot.line - used)
            used += fmt(boot.line + used, sizeof boot.line - used, " %.*s", (int)end, text.ptr);
        text = str_cut(text, end + 1, text.len);
    }
}

void boot_enter(uint64_t magic, const void *info) {
    if (magic == BOOT_PVH_MAGIC) boot_from_pvh(info);
    else if (magic == BOOT_MULTIBOOT_MAGIC) boot_from_multiboot(info);
    else if (magic == BOOT_MAGIC) boot = *(const boot_info *)info;
    boot.magic = BOOT_MAGIC;
    const boot_module *conf = boot_module_named(STR("leat.conf"));
    if (conf) boot_add_options((str){(const char *)(uintptr_t)conf->start, conf->bytes});
    boot.kernel_start = (uintptr_t)boot_image;
    boot.kernel_bytes = (uint64_t)(kernel_end - boot_image);
    kernel_main();
}

void boot_add_range(uint64_t start, uint64_t bytes, uint64_t kind) {
    if (boot.n_ranges < BOOT_RANGES_MAX && bytes && start + bytes > start)
        boot.ranges[boot.n_ranges++] = (boot_range){start, bytes, kind};
}

void boot_add_module(uint64_t start, uint64_t bytes, str name) {
    if (boot.n_modules >= BOOT_MODULES_MAX || !bytes) return;
    boot_module *m = &boot.modules[boot.n_modules++];
    *m = (boot_module){.start = start, .bytes = bytes};
    fmt(m->name, sizeof m->name, "%.*s", (int)MIN(name.len, sizeof m->name - 1), name.ptr);
}

const boot_module *boot_module_named(str name) {
    for (size_t i = 0; i < boot.n_modules; i++)
        if (str_is(name, boot.modules[i].name)) return &boot.modules[i];
    return NULL;
}

bool boot_option(const char *key, size_t nth, char *value, size_t cap) {
    return boot_option_in(boot.line, key, nth, value, cap);
}
