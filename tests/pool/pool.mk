# pool.mk: the pool's throughput when cores are short (part of `make check-all`).
LONG_SUITES += pool
$(B)/pool-speed: $(call obj,tests/pool/pool_speed.c) $(B)/libleat.a $(B)/libleat_posix.a $(B)/libleat.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $(call obj,tests/pool/pool_speed.c) -Wl,--start-group $(B)/libleat.a $(B)/libleat_posix.a -Wl,--end-group
$(call obj,tests/pool/pool_speed.c): $(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -Itests -c $< -o $@
suite-pool: $(B)/pool-speed
	@$(B)/pool-speed
-include $(patsubst %.o,%.d,$(call obj,tests/pool/pool_speed.c))
