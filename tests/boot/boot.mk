# boot.mk: the bootable image in emulated machines: `make check-boot`, part of check-all. For x86-64.

# The other files here add to BOOT_SUITES before this one is read.
BOOT_SUITES += boot
LONG_SUITES += $(if $(filter x86_64,$(ARCH)),$(BOOT_SUITES))

# Control groups of version 2, in a Linux of Debian's: two minutes, and not a part of check-all, since pressure must rise in time.
suite-group2: $(B)/leat $(B)/boot-model
	@B=$(B) tests/boot/group2.sh

check-boot: setup
	@scripts/setup.sh boot
	@$(MAKE) $(JOBS) -s --no-print-directory all kernel $(B)/bootx64.efi
	@B=$(B) MAKE="$(MAKE)" tests/suites.sh $(BOOT_SUITES)
$(B)/boot-screen: tests/boot/screen.c kernel/console/console_int.h $(B)/obj/kernel/console/font_tables.o
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) -O1 -Isrc -I. -o $@ $< $(B)/obj/kernel/console/font_tables.o
suite-boot: $(B)/leat $(B)/leat.elf $(B)/leat-boot.img $(B)/bootx64.efi $(B)/boot-screen
	@B=$(B) tests/boot/boot.sh

.PHONY: check-boot suite-boot suite-group2
