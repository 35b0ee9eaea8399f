# bench.mk: `make bench` measures this machine, and writes docs/bench/NAME.md and .svg. Minutes; see scripts/bench.sh.
$(B)/bench-model: $(call obj,tests/bench/models.c tests/cli/fail.c $(wildcard tests/gen/*.c)) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ -lm
$(call obj,tests/bench/models.c): $(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -Itests -c $< -o $@
bench: $(B)/leat $(B)/bench-model
	@scripts/bench.sh $(B)
.PHONY: bench
-include $(patsubst %.o,%.d,$(call obj,tests/bench/models.c))

# `make bench-streaming`: models larger than the memory. Three rounds of a quarter of an hour; see scripts/bench-streaming.sh.
bench-streaming: $(B)/leat $(B)/bench-model
	@scripts/bench-streaming.sh $(B)
.PHONY: bench-streaming
