# net.mk: the network of the bootable image, without a machine to boot: its streams and lwIP against another lwIP. Two of them in
# one program: of either, only what it is asked for keeps its name.

LONG_SUITES += net net-asan net-fuzzing
NET_FLAGS = $(WARN) $(COMMON) -I. -Itests -Ikernel/net/lwip -isystem $(LWIP)/src/include $(FREE)

$(B)/obj/net/%.o: %.c $(LWIP_O)
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(NET_FLAGS) -c $< -o $@
$(B)/obj/net/tests/net/net_check.o: tests/net/net_check.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -I. -Itests -c $< -o $@
$(B)/obj/net/server.o: $(addprefix $(B)/obj/net/,kernel/net/net.o kernel/net/net_config.o src/plat/bare/stream.o) $(LWIP_O)
	$(Q)$(LD) -r -o $@ $^ && objcopy -w --keep-global-symbol='plat_*' --keep-global-symbol='net_*' \
		--redefine-sym plat_time_ns=wire_time_ns --redefine-sym plat_entropy=wire_entropy --redefine-sym plat_sleep_ns=wire_sleep_ns $@
$(B)/obj/net/peer.o: $(B)/obj/net/tests/net/peer.o $(LWIP_O)
	$(Q)$(LD) -r -o $@ $^ && objcopy -w --keep-global-symbol='peer_*' $@
$(B)/net-check: $(addprefix $(B)/obj/net/,tests/net/net_check.o server.o peer.o) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^
# Any frames, to the server's end of it: make fuzz-net, FUZZ_SECONDS and FUZZ_FLAGS as of `make fuzz`; the corpus is replayed first.
$(B)/obj/net/all.o: $(addprefix $(B)/obj/net/,kernel/net/net.o kernel/net/net_config.o src/plat/bare/stream.o tests/net/fuzz_net.o) $(LWIP_O)
	$(Q)$(LD) -r -o $@ $^ && objcopy --redefine-sym plat_time_ns=wire_time_ns --redefine-sym plat_entropy=wire_entropy \
		--redefine-sym plat_sleep_ns=wire_sleep_ns $@
$(B)/fuzz_net: $(B)/obj/net/all.o $(call obj,$(wildcard src/base/*.c src/mem/*.c)) $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -fsanitize=fuzzer -pthread -o $@ $^ -lm
fuzz-net:
	@$(MAKE) --no-print-directory SAN=1 CC="$(CLANG) -fsanitize=fuzzer-no-link" B=build/fuzz build/fuzz/fuzz_net
	@mkdir -p build/fuzz/found/net build/fuzz/broken
	@build/fuzz/fuzz_net -runs=0 tests/data/fuzz/net
	@build/fuzz/fuzz_net -max_total_time=$(FUZZ_SECONDS) $(FUZZ_FLAGS) -max_len=$(FUZZ_LEN) -timeout=10 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix=build/fuzz/broken/net- build/fuzz/found/net tests/data/fuzz/net
suite-net-fuzzing:
	@$(MAKE) --no-print-directory fuzz-net FUZZ_SECONDS=10 FUZZ_FLAGS="-seed=1 -runs=100000"
	@echo "1 passed, 0 failed"
.PHONY: fuzz-net

-include $(addprefix $(B)/obj/net/,tests/net/fuzz_net.d kernel/net/net.d kernel/net/net_config.d src/plat/bare/stream.d tests/net/peer.d tests/net/net_check.d)

suite-net: $(B)/net-check
	@$(B)/net-check
suite-net-asan:
	@$(MAKE) $(JOBS) --no-print-directory SAN=1 B=$(B)/san $(B)/san/net-check
	@$(B)/san/net-check
