/* kernel.h: the image itself, and the order in which its parts start. For the parts themselves: boot/boot.h, cpu/cpu.h,
 * memory/memory.h, console/console.h, pci/pci.h, disk/disk.h, net/net.h. Nothing here knows of the engine;
 * src/plat/bare puts the two together.
 */
#ifndef LEAT_KERNEL_H
#define LEAT_KERNEL_H

#include "base/base.h"

/* Of kernel.ld. */
extern __attribute__((visibility("hidden"))) char boot_image[], kernel_rodata[], kernel_data[], kernel_end[];

_Noreturn void kernel_main(void);
/* What the machine is for: src/hosted/main_bare.c. */
_Noreturn void kernel_program(void);

/* Ends the machine. isa-debug-exit: the code goes to QEMU, whose exit status is 2 * code + 1; elsewhere it is a
 * power-off. */
_Noreturn void kernel_power_off(void);
_Noreturn void kernel_reboot(void);
_Noreturn void kernel_debug_exit(uint8_t code);

/* The name of the function that an address lies in, and how far in; NULL for none. */
const char *kernel_symbol(uint64_t address, uint64_t *offset);

#endif
