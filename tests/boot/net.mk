# net.mk: the network of the bootable image, in an emulator: part of `make check-boot`, and what takes long of check-all.

BOOT_SUITES += boot-net
LONG_SUITES += $(if $(filter x86_64,$(ARCH)),boot-http)

$(B)/relay: tests/net/relay.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) -O1 -D_GNU_SOURCE -o $@ $<
suite-boot-net: $(B)/leat $(B)/leat.elf $(B)/leat-boot.img $(B)/srv-check $(B)/relay $(B)/models/done
	@B=$(B) tests/boot/net.sh
suite-boot-http: $(B)/leat $(B)/leat.elf $(B)/srv-check $(B)/models/done linux-image
	@B=$(B) tests/boot/http.sh
suite-boot-lazy: $(B)/leat $(B)/leat.elf $(B)/srv-check
	@B=$(B) tests/boot/http.sh lazy
.PHONY: suite-boot-net suite-boot-http suite-boot-lazy
