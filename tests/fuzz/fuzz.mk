# fuzz.mk: parsers against hostile input.
#
# A target is tests/fuzz/fuzz_NAME.c with LLVMFuzzerTestOneInput, and a corpus in tests/data/fuzz/NAME (small: a few
# dozen files under 4 KB; a word list for the mutator, if any, is tests/fuzz/NAME.dict). `make check` replays every
# corpus. `make fuzz` searches for new inputs, with clang's libFuzzer and sanitizers: FUZZ_SECONDS each, FUZZ=NAME for
# one target alone. What it finds stays in build/fuzz/found, what breaks the target in build/fuzz/broken: such an input
# joins the corpus together with the fix.

FUZZ ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_C))
FUZZ_SECONDS ?= 60
FUZZ_LEN ?= 4096
FUZZ_FLAGS ?= # more of libFuzzer's options
# What parses: kernels are left out, as they take minutes to build with sanitizers.
FUZZ_CORE_O := $(call obj,$(foreach d,base mem quant gguf uni volume imatrix json tok tmpl gram kv,$(wildcard src/$(d)/*.c)) src/kern/attn_shape.c \
	src/srv/srv_http.c src/srv/srv_request.c)
FUZZ_REPLAYS := $(patsubst tests/fuzz/fuzz_%.c,$(B)/fuzz/replay_%,$(FUZZ_C))

SUITES += fuzz
SUITE_FILES += $(FUZZ_REPLAYS)

$(call obj,tests/fuzz/replay.c): $(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -Itests -c $< -o $@
$(B)/fuzz/replay_%: $(B)/obj/tests/fuzz/fuzz_%.o $(call obj,tests/fuzz/replay.c) $(B)/libleat.a $(B)/libleat_posix.a
	@mkdir -p $(@D)
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ $(B)/libleat.a -lm
suite-fuzz: $(FUZZ_REPLAYS)
	@total=0; for f in $^; do name=$${f##*/replay_}; n=$$($$f tests/data/fuzz/$$name) || exit 1; total=$$((total + n)); \
	echo "$$name: $$n inputs"; done; echo "$$total passed, 0 failed"

# The same make again, with the objects instrumented.
fuzz:
	@for name in $(FUZZ); do \
	    $(MAKE) --no-print-directory SAN=1 CC="$(CLANG) -fsanitize=fuzzer-no-link" B=build/fuzz build/fuzz/fuzz_$$name && \
	    mkdir -p build/fuzz/found/$$name build/fuzz/broken && \
	    build/fuzz/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) $(FUZZ_FLAGS) -max_len=$(FUZZ_LEN) -timeout=10 -rss_limit_mb=2048 \
	        -print_final_stats=1 -artifact_prefix=build/fuzz/broken/$$name- \
	        $$(test -f tests/fuzz/$$name.dict && echo -dict=tests/fuzz/$$name.dict) \
	        build/fuzz/found/$$name tests/data/fuzz/$$name || exit 1; done
$(B)/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(FUZZ_CORE_O) $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -fsanitize=fuzzer -pthread -o $@ $^ -lm

.SECONDARY: $(call obj,$(FUZZ_C))
.PHONY: fuzz
