/* multiboot.c: what GRUB leaves by the Multiboot2 protocol, under BIOS or UEFI.
 * Source: Multiboot2 Specification 2.0, section 3.6 (boot information format).
 */
#include "kernel/boot/boot_int.h"

enum { TAG_END, TAG_LINE, TAG_LOADER, TAG_MODULE, TAG_RANGES = 6, TAG_SCREEN = 8, TAG_RSDP_1 = 14, TAG_RSDP_2 = 15 };

static void take_ranges(const char *tag, uint32_t bytes) {
    uint32_t step = load_u32(tag + 8);
    for (uint32_t at = 16; step && at + step <= bytes; at += step) {
        uint32_t kind = load_u32(tag + at + 16);
        boot_add_range(load_u64(tag + at), load_u64(tag + at + 8),
                       kind == 1 ? BOOT_RAM : kind == 3 ? BOOT_TABLES : BOOT_RESERVED);
    }
}

static void take_screen(const char *tag) {
    if ((uint8_t)tag[29] != 1 || (uint8_t)tag[28] != 32) return; /* direct colours, 32 bits a pixel */
    boot_screen *s = &boot.screen;
    *s = (boot_screen){.start = load_u64(tag + 8), .pitch_bytes = load_u32(tag + 16), .width = load_u32(tag + 20),
                       .height = load_u32(tag + 24), .bits = 32};
    s->bytes = (uint64_t)s->pitch_bytes * s->height;
    s->red_shift = (uint8_t)tag[32];
    s->green_shift = (uint8_t)tag[34];
    s->blue_shift = (uint8_t)tag[36];
}

void boot_from_multiboot(const void *info) {
    const char *start = info;
    uint32_t total = load_u32(start);
    fmt(boot.loader, sizeof boot.loader, "multiboot2");
    for (uint32_t at = 8; at + 8 <= total;) {
        const char *tag = start + at;
        uint32_t kind = load_u32(tag), bytes = load_u32(tag + 4);
        if (kind == TAG_END || bytes < 8) break;
        if (kind == TAG_LINE) fmt(boot.line, sizeof boot.line, "%s", tag + 8);
        if (kind == TAG_LOADER) fmt(boot.loader, sizeof boot.loader, "multiboot2, %s", tag + 8);
        if (kind == TAG_MODULE)
            boot_add_module(load_u32(tag + 8), load_u32(tag + 12) - load_u32(tag + 8), str_of(tag + 16));
        if (kind == TAG_RANGES) take_ranges(tag, bytes);
        if (kind == TAG_SCREEN) take_screen(tag);
        /* The tags hold copies of the pointer, in memory that is not kept: what it points to is. */
        if (kind == TAG_RSDP_2) boot.root_table = load_u64(tag + 8 + 24);
        if (kind == TAG_RSDP_1 && !boot.root_table) boot.root_table = load_u32(tag + 8 + 16);
        at += (uint32_t)align_up(bytes, 8);
    }
}
