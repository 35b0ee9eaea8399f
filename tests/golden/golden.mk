# golden.mk: `leat validate` against a fake libllama; and the program that takes the reference logits of
# tests/data/models anew (tests/golden/retake/README.md).

SUITES += validate
SUITE_FILES += $(B)/leat-validate $(B)/fake/libllama.so

$(B)/fake/libllama.so: tests/golden/validate/fake_llama.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) -O1 -fPIC -shared -o $@ $<
suite-validate: $(B)/leat $(B)/leat-validate $(B)/fake/libllama.so $(B)/models/done
	@tests/golden/validate/validate.sh $(B)/leat $(B)/models $(B)/fake $(B)/test-files/validate

RETAKE_O := $(call obj,tests/golden/retake/retake.c tests/golden/model_cases.c tests/gen/tiny.c tests/gen/tiny_tok.c \
	tests/gen/tiny_weights.c src/hosted/validate_peer.c)

$(call obj,tests/golden/retake/retake.c): $(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -Itests -c $< -o $@
$(B)/retake: $(RETAKE_O) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ -ldl
retake: $(B)/retake
	@[ -n "$(LIB)" ] || { echo "make retake LIB=DIR, the folder of libllama"; exit 1; }
	@mkdir -p $(B)/retake-files
	$(B)/retake $(LIB) $(B)/retake-files tests/data/models

.PHONY: retake
