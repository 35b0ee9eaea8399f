# disks.mk: the bootable image and its disks, in an emulator; part of `make check-boot`.

BOOT_SUITES += boot-disks

$(B)/boot-model: $(call obj,tests/boot/model.c $(wildcard tests/gen/*.c)) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ -lm
$(call obj,tests/boot/model.c): $(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -Itests -c $< -o $@
suite-boot-disks: $(B)/leat $(B)/leat.elf $(B)/leat-boot.img $(B)/boot-model
	@B=$(B) tests/boot/disks.sh
.PHONY: suite-boot-disks
