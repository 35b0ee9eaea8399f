/* boot_int.h: between the entries of kernel/boot. */
#ifndef LEAT_BOOT_INT_H
#define LEAT_BOOT_INT_H

#include "kernel/boot/boot.h"

#define BOOT_PVH_MAGIC 0x336ec578u
#define BOOT_MULTIBOOT_MAGIC 0x36d76289u

/* They fill `boot` from what the loader left at `info`, below 4 GiB. */
void boot_from_pvh(const void *info);
void boot_from_multiboot(const void *info);

/* The first C code, on the boot stack, with the first 4 GiB mapped one to one: magic says what `info` is. */
_Noreturn void boot_enter(uint64_t magic, const void *info);

#endif
