# kern.mk: build/kern-bench, the micro-benchmark of the kernels (make kern-bench; not a test).
KERN_BENCH_O := $(call obj,$(wildcard tests/kern/bench/*.c) tests/kern/blocks.c)
$(call obj,$(wildcard tests/kern/bench/*.c)): $(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -Itests/kern -c $< -o $@
$(B)/kern-bench: $(KERN_BENCH_O) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ -lm
kern-bench: $(B)/kern-bench
.PHONY: kern-bench
-include $(KERN_BENCH_O:.o=.d)
