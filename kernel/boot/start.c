/* start.c: from the entry to kernel_main, by way of boot_info: relocation, the three protocols, modules, the command
 * line. Next: kernel.c.
 */
#include "kernel/boot/boot_int.h"
#include "kernel/kernel.h"

boot_info boot;

/* Relocations as ELF has them; the linker is told to make relative ones only. */
typedef struct rela {
    uint64_t at, type, addend;
} rela;
#define RELATIVE 8
#define LINKED_FOR 0x200000u

extern const rela kernel_rela[], kernel_rela_end[];
extern char boot_image[];
void boot_relocate(void);

/* Called by entry.S before anything else: what is called from here must not need relocation itself. */
void boot_relocate(void) {
    uint64_t by = (uint64_t)(uintptr_t)boot_image - LINKED_FOR;
    for (const rela *r = kernel_rela; r < kernel_rela_end; r++)
        if ((uint32_t)r->type == RELATIVE) *(uint64_t *)(uintptr_t)(r->at + by) = r->addend + by;
}

void boot_enter(uint64_t magic, const void *info) {
    if (magic == BOOT_PVH_MAGIC) boot_from_pvh(info);
    else if (magic == BOOT_MULTIBOOT_MAGIC) boot_from_multiboot(info);
    else if (magic == BOOT_MAGIC) boot = *(const boot_info *)info;
    boot.magic = BOOT_MAGIC;
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
    str line = str_of(boot.line);
    size_t key_len = cstr_len(key);
    for (size_t at = 0; at < line.len;) {
        if (line.ptr[at] == ' ' || line.ptr[at] == '\n') {
            at++;
            continue;
        }
        size_t from = at;
        bool quoted = false;
        for (; at < line.len && (quoted || (line.ptr[at] != ' ' && line.ptr[at] != '\n')); at++)
            if (line.ptr[at] == '"') quoted = !quoted;
        str word = str_cut(line, from, at - from);
        if (!str_starts(word, str_of(key)) || word.len <= key_len || word.ptr[key_len] != '=') continue;
        if (nth--) continue;
        str text = str_cut(word, key_len + 1, word.len);
        if (text.len >= 2 && text.ptr[0] == '"') text = str_cut(text, 1, text.len - 2);
        fmt(value, cap, "%.*s", (int)text.len, text.ptr);
        return true;
    }
    return false;
}
