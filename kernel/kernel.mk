# kernel.mk: `make kernel` builds build/leat.elf, which boots by PVH and multiboot2: the same objects of the core as in libleat.a, over
# src/plat/bare and kernel/. For x86-64.

KERNEL_C := $(wildcard kernel/*.c kernel/*/*.c src/plat/bare/*.c) src/hosted/main_bare.c $(wildcard src/hosted/bare_*.c)
KERNEL_C := $(filter-out %/efi.c,$(KERNEL_C))
KERNEL_S := $(wildcard kernel/*/*.S)
KERNEL_O := $(call obj,$(KERNEL_C)) $(patsubst %.S,$(B)/obj/%.o,$(KERNEL_S))
KERNEL_FLAGS := -I. -Os
# Runs between two instructions of anything: vector registers are not its own.
$(call obj,kernel/cpu/interrupt.c kernel/cpu/watchdog.c): KERNEL_FLAGS += -mgeneral-regs-only
# Relocations as a bitmap: GRUB refuses files that have them in the usual form.
KERNEL_LINK := -z pack-relative-relocs -static -pie --no-dynamic-linker -z text -z norelro -z noexecstack --gc-sections --build-id=none -T kernel/kernel.ld
include kernel/net/net.mk
KERNEL_O += $(LWIP_O)
$(call obj,kernel/net/net.c src/plat/bare/stream.c): KERNEL_FLAGS += -Ikernel/net/lwip -isystem $(LWIP)/src/include
$(call obj,kernel/net/net.c src/plat/bare/stream.c): | $(LWIP)/src/include/lwip/opt.h

kernel: $(B)/leat.elf

$(call obj,$(KERNEL_C)): $(B)/obj/%.o: %.c Makefile kernel/kernel.mk | $(B)/version.h
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(FREE) $(KERNEL_FLAGS) -c $< -o $@
$(patsubst %.S,$(B)/obj/%.o,$(KERNEL_S)): $(B)/obj/%.o: %.S Makefile kernel/kernel.mk
	@mkdir -p $(@D)
	$(call say,as      $<)
	$(Q)$(CC) -c $< -o $@

# Linked twice: the second time with the names of the functions that the first one placed.
$(B)/leat.elf: $(KERNEL_O) $(B)/libleat.a kernel/kernel.ld kernel/symbols.awk
	$(call say,link    $@)
	@! objdump -r -j .text.boot_relocate $(B)/obj/kernel/boot/start.o | grep GOT # runs before that is relocated
	$(Q)$(LD) $(KERNEL_LINK) -o $@.1 $(KERNEL_O) $(B)/libleat.a
	$(Q)$(NM) -n $@.1 | awk -f kernel/symbols.awk > $@.s
	$(Q)$(CC) -c $@.s -o $@.o
	$(Q)$(LD) $(KERNEL_LINK) -o $@.2 $(KERNEL_O) $@.o $(B)/libleat.a
	$(Q)strip -R .rela.dyn -o $@ $@.2

-include $(patsubst %.o,%.d,$(call obj,$(KERNEL_C)))
.PHONY: kernel

# ---- the UEFI loader and the image that boots everywhere ------------------------------------------------

EFI_FLAGS := -target x86_64-unknown-windows -std=c11 -Wall -Wextra -Werror -ffreestanding -nostdlibinc -mno-red-zone -mno-sse \
	-fno-stack-protector -Os -Isrc/base/shim -Isrc -I.
$(B)/bootx64.efi: kernel/boot/efi.c src/plat/bare/bytes.c kernel/boot/boot.h
	$(call say,efi     $@)
	$(Q)$(CLANG) $(EFI_FLAGS) -c $< -o $@.1.o
	$(Q)$(CLANG) $(EFI_FLAGS) -c src/plat/bare/bytes.c -o $@.2.o
	$(Q)lld-link -subsystem:efi_application -entry:efi_main -nodefaultlib -timestamp:0 -out:$@ $@.1.o $@.2.o

# build/leat.iso: burnt on a CD or written to a disk or a stick, for BIOS (GRUB's core) and UEFI (our loader). Both
# read the same files: those of the FAT volume efi.img.
ISO_MODEL ?= sample/sample.gguf
# A file of the kernel's options.
ISO_OPTIONS ?= /dev/null
iso: $(B)/leat.iso
$(B)/leat.iso: $(B)/leat.elf $(B)/bootx64.efi kernel/iso.sh $(ISO_MODEL)
	$(call say,image   $@)
	$(Q)kernel/iso.sh $@ $(B)/leat.elf $(B)/bootx64.efi $(ISO_OPTIONS) $(ISO_MODEL)

# The image in an emulated machine, with the sample model, its console on this terminal; Ctrl-A X ends it.
# Options of the kernel: make boot BOOT_OPTIONS=...
boot: setup
	@scripts/setup.sh boot
	@$(MAKE) $(JOBS) -s --no-print-directory kernel
	@qemu-system-x86_64 -M q35 -accel tcg -cpu max -m 1G -smp 3 -kernel $(B)/leat.elf -initrd sample/sample.gguf \
		-nographic -no-reboot -netdev user,id=n,hostfwd=tcp:127.0.0.1:8080-:8080 -device virtio-net-pci,netdev=n \
		-append "$$BOOT_OPTIONS"
.PHONY: iso boot

# build/leat-boot.img: the same image without a model, and with room for a configuration: what `leat image` begins with.
image: $(B)/leat $(B)/leat-boot.img
$(B)/leat-boot.img: $(B)/leat.elf $(B)/bootx64.efi kernel/iso.sh
	$(call say,image   $@)
	$(Q)awk 'BEGIN { for (i = 0; i < 64; i++) printf "# leat.conf %-51d\n", i }' > $@.options
	$(Q)kernel/iso.sh $@ $(B)/leat.elf $(B)/bootx64.efi $@.options
.PHONY: image

# ---- the neighbour: Debian's Linux, with leat as its first process ---------------------------------------

INIT_O := $(call obj,src/hosted/main_init.c src/hosted/init_net.c)
$(INIT_O): $(B)/obj/%.o: %.c Makefile kernel/kernel.mk
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -I. -c $< -o $@
$(B)/leat-init: $(INIT_O) $(call obj,src/hosted/bare_prompt.c kernel/boot/option.c kernel/net/net_config.c) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) -static -Wl,--gc-sections -Wl,--no-warnings -pthread -s -o $@ $^
linux-image: setup $(B)/leat-init
	@scripts/setup.sh boot
	@scripts/linux-image.sh $(B)/linux $(B)/leat-init $(ISO_OPTIONS) $(ISO_MODEL)
-include $(INIT_O:.o=.d)
.PHONY: linux-image
