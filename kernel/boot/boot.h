/* boot.h: what every way of booting tells the kernel, in one form.
 *
 * Three protocols end here: PVH (entry.S, pvh.c), multiboot2 (entry.S, multiboot.c), and our own UEFI loader (efi.c),
 * which fills this struct itself. The kernel never asks which one it was, but for the name that `status` prints.
 */
#ifndef LEAT_BOOT_H
#define LEAT_BOOT_H

#include "base/base.h"

#define BOOT_MAGIC 0x746f6f427461656cu /* "leatBoot" */
#define BOOT_RANGES_MAX 512
#define BOOT_MODULES_MAX 16

enum {
    BOOT_RAM = 1,      /* free for us                                                */
    BOOT_RESERVED = 2, /* of the firmware or a device                                */
    BOOT_TABLES = 3,   /* RAM that holds ACPI's tables                               */
    BOOT_TAKEN = 5,    /* RAM that holds the kernel, its modules or this struct      */
};

typedef struct boot_range {
    uint64_t start, bytes;
    uint64_t kind;
} boot_range;

typedef struct boot_module {
    uint64_t start, bytes; /* physical; start is on a page */
    char name[104];
    uint64_t loaded; /* 1: from a file, by a command that gave it its memory */
} boot_module;

/* The screen that the firmware left: 32 bits a pixel, or bytes 0 where there is none. */
typedef struct boot_screen {
    uint64_t start, bytes;
    uint32_t width, height, pitch_bytes;
    uint8_t red_shift, green_shift, blue_shift, bits;
} boot_screen;

typedef struct boot_info {
    uint64_t magic;
    uint64_t rsdp;       /* physical address of ACPI's root pointer; 0: unknown              */
    uint64_t root_table; /* of the RSDT or XSDT itself, where the loader keeps the pointer; 0 */
    uint64_t kernel_start, kernel_bytes;
    boot_screen screen;
    uint64_t n_ranges, n_modules;
    char loader[48];
    char line[4096]; /* the kernel's options: its command line, and the module leat.conf */
    boot_range ranges[BOOT_RANGES_MAX]; /* in any order; where two overlap, the more restrictive one holds */
    boot_module modules[BOOT_MODULES_MAX];
} boot_info;

/* Of the running kernel: valid from kernel_main on. */
extern boot_info boot;
/* Of who takes memory before it is given out; drops what does not fit. */
void boot_add_range(uint64_t start, uint64_t bytes, uint64_t kind);
/* Drops what does not fit. */
void boot_add_module(uint64_t start, uint64_t bytes, str name);
/* The module of that name; NULL where there is none. */
const boot_module *boot_module_named(str name);
/* More of the command line, whose own options come first: lines, without those that start with #. The module leat.conf
 * is added by itself; where there is none, the file leat.conf of the first leat partition (plat/bare). */
void boot_add_options(str text);
/* The value of KEY=VALUE on the command line, which may be in double quotes; nth from 0 for keys that are repeated.
 * False where there is none. */
bool boot_option(const char *key, size_t nth, char *value, size_t cap);
/* The same in any text. */
bool boot_option_in(const char *text, const char *key, size_t nth, char *value, size_t cap);

#endif
