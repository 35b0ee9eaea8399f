# srv.mk: `leat serve` against a client of ours; in the long suites also npm's openai, and the server with sanitizers.

SUITES += srv
LONG_SUITES += srv-asan openai
SRV_CHECK_C := tests/srv/srv_check.c tests/srv/srv_client.c
SUITE_FILES += $(B)/srv-check

$(call obj,$(SRV_CHECK_C)): $(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -Itests -c $< -o $@
$(B)/srv-check: $(call obj,$(SRV_CHECK_C))
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -o $@ $^
suite-srv: $(B)/srv-check $(B)/leat
	@mkdir -p $(B)/test-files/srv; $(B)/srv-check $(B)/leat sample/sample.gguf $(B)/test-files/srv
suite-srv-asan: $(B)/srv-check
	@$(MAKE) $(JOBS) --no-print-directory SAN=1 B=$(B)/san all
	@mkdir -p $(B)/test-files/srv; $(B)/srv-check $(B)/san/leat sample/sample.gguf $(B)/test-files/srv

# npm's openai as a client. Needs npm; where there is none, nothing is tested.
suite-openai: $(B)/leat
	@tests/srv/openai.sh $(B)/leat sample/sample.gguf $(B)/test-files/openai
