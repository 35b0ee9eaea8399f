# sample.mk: the bundled model answers as many held-out questions as it did when it was made, at every level of
# instructions: a wrong kernel, expert or rotation shows at once.

SUITES += sample
SUITE_FILES += $(B)/sample-score

$(call obj,tests/sample/score.c): $(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -c $< -o $@
$(B)/sample-score: $(call obj,tests/sample/score.c) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^
suite-sample: $(B)/sample-score $(B)/leat
	@tests/sample/sample.sh $(B)/leat $(B)/sample-score sample $(B)/test-files/sample

-include $(patsubst %.o,%.d,$(call obj,tests/sample/score.c))
