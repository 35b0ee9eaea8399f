# net.mk: the network of the bootable image, in an emulator; part of `make check-boot`.

BOOT_SUITES += boot-net

$(B)/relay: tests/net/relay.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) -O1 -D_GNU_SOURCE -o $@ $<
suite-boot-net: $(B)/leat $(B)/leat.elf $(B)/leat-boot.img $(B)/srv-check $(B)/relay $(B)/models/done
	@B=$(B) tests/boot/net.sh
.PHONY: suite-boot-net
