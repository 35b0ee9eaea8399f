# tests.mk: `make check` (every test, offline, under a minute) and `make check-all` (then also the long ones).
#
# A suite is a target suite-NAME that ends with the line `N passed, N failed`; tests/suites.sh runs suites one by one,
# shows what failed and adds up. A folder with suites of its own has a .mk file that says
#     SUITES += NAME            (or LONG_SUITES += NAME)
#     SUITE_FILES += what make must have built before
#     suite-NAME: ; commands

SUITES := unit
LONG_SUITES :=
SUITE_FILES := $(B)/test
include tests/tidy/tidy.mk
-include tests/fuzz/fuzz.mk tests/kern/kern.mk tests/golden/golden.mk tests/tmpl/tmpl.mk tests/sample/sample.mk tests/srv/srv.mk
-include tests/bench/bench.mk tests/pool/pool.mk tests/isa/isa.mk tests/net/net.mk tests/boot/net.mk tests/boot/disks.mk tests/boot/boot.mk

SUITES += tidy example cli plans chat quantize size
SUITE_FILES += $(B)/complete $(B)/tiny-models $(B)/huge-models $(B)/pty
LONG_SUITES += group filesystems clang asan cli-asan chat-asan quantize-asan soak tsan valgrind fuzzing readers

LEAT_BYTES_MAX := 1195000 # of the stripped program: half of it is kernels
MODELS := $(B)/models
CLANG ?= clang
# Sub-makes use all cores, unless this make was told otherwise (only recipes see the -j that it was given).
JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

setup:
	@scripts/setup.sh
# Make itself is started again, since it asked the compiler for its folders before there was one.
check: setup
	@$(MAKE) $(JOBS) -s --no-print-directory all $(SUITE_FILES)
	@B=$(B) MAKE="$(MAKE)" tests/suites.sh $(SUITES)
check-all: check
	@scripts/setup.sh all
	@B=$(B) MAKE="$(MAKE)" tests/suites.sh $(LONG_SUITES)
	@B=$(B) tests/suites.sh --sum $(SUITES) $(LONG_SUITES)

# ---- make check ------------------------------------------------------------------------------------

# Two processes, since most tests keep one core busy.
suite-unit: $(B)/test
	@LEAT_TEST_DIR=$(B)/test-files tests/halves.sh $(B)/test

suite-tidy:
	@$(MAKE) --no-print-directory tidy && echo "1 passed, 0 failed"

# tests/gen draws tiny models of any kind; this program writes those that the command-line tests use.
$(B)/tiny-models: $(call obj,tests/cli/models.c tests/cli/fail.c $(wildcard tests/gen/*.c)) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ -lm
$(B)/huge-models: $(call obj,tests/cli/huge.c tests/cli/fail.c) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ -lm
$(call obj,tests/cli/models.c tests/cli/huge.c tests/cli/fail.c): $(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -Itests -c $< -o $@
$(MODELS)/done: $(B)/tiny-models
	@mkdir -p $(@D)
	@$(B)/tiny-models $(@D)
	@touch $@

$(B)/complete: examples/complete.c $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) $(LINK) -o $@ $^
# The example and `leat run` must say the same.
suite-example: $(B)/complete $(B)/leat $(MODELS)/done
	@set -e; \
	$(B)/complete $(MODELS)/demo.gguf "Once upon a time" > $(B)/example.txt; \
	$(B)/leat run $(MODELS)/demo.gguf -p "Once upon a time" -n 64 --temp 0 -q > $(B)/example-run.txt; \
	echo >> $(B)/example-run.txt; cmp $(B)/example.txt $(B)/example-run.txt; \
	wc -c < $(B)/example.txt | awk '{ exit $$1 < 3 }'; echo "1 passed, 0 failed"

suite-cli: $(B)/leat $(MODELS)/done
	@tests/cli/cli.sh $(B)/leat $(MODELS) $(B)/test-files/cli

# The tables of docs/STREAMING.md.
suite-plans: $(B)/leat $(B)/huge-models
	@tests/cli/plans.sh $(B)/leat $(B)/huge-models $(B)/test-files/plans

# A program on a terminal, for the tests of `leat chat`.
$(B)/pty: tests/cli/pty.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) -O1 -D_GNU_SOURCE -o $@ $< -lutil
suite-chat: $(B)/leat $(B)/pty $(MODELS)/done
	@tests/cli/chat.sh $(B)/leat $(B)/pty $(MODELS) $(B)/test-files/chat

suite-quantize: $(B)/leat $(MODELS)/done
	@tests/cli/quantize.sh $(B)/leat $(MODELS) $(B)/test-files/quantize

suite-size: $(B)/leat
	@strip -o $(B)/leat.stripped $<; bytes=$$(wc -c < $(B)/leat.stripped); \
	echo "stripped: $$bytes bytes, at most $(strip $(LEAT_BYTES_MAX))"; \
	[ $$bytes -le $(strip $(LEAT_BYTES_MAX)) ] && echo "1 passed, 0 failed" || { echo "0 passed, 1 failed"; false; }

# ---- make check-all --------------------------------------------------------------------------------

# Its kernel has to boot as well, and to compute what its program does.
suite-clang:
	@$(MAKE) $(JOBS) --no-print-directory CC=$(CLANG) B=$(B)/clang all $(B)/clang/test \
		$(if $(filter x86_64,$(ARCH)),kernel $(B)/clang/bootx64.efi)
	$(if $(filter x86_64,$(ARCH)),@ONLY='^bits-1$$' B=$(B)/clang tests/boot/boot.sh)
	@LEAT_TEST_DIR=$(B)/clang/test-files tests/halves.sh $(B)/clang/test

suite-asan:
	@$(MAKE) $(JOBS) --no-print-directory SAN=1 B=$(B)/san all $(B)/san/test
	@LEAT_TEST_DIR=$(B)/san/test-files tests/halves.sh $(B)/san/test
suite-cli-asan: $(MODELS)/done
	@$(MAKE) $(JOBS) --no-print-directory SAN=1 B=$(B)/san all
	@tests/cli/cli.sh $(B)/san/leat $(MODELS) $(B)/san/test-files/cli
suite-chat-asan: $(B)/pty $(MODELS)/done
	@$(MAKE) $(JOBS) --no-print-directory SAN=1 B=$(B)/san all
	@tests/cli/chat.sh $(B)/san/leat $(B)/pty $(MODELS) $(B)/san/test-files/chat
suite-quantize-asan: $(MODELS)/done
	@$(MAKE) $(JOBS) --no-print-directory SAN=1 B=$(B)/san all
	@tests/cli/quantize.sh $(B)/san/leat $(MODELS) $(B)/san/test-files/quantize

# A streamed model while the limit of its control group changes.
$(MODELS)/8x32.gguf: $(B)/bench-model
	@mkdir -p $(@D)
	@$< 8x32 q4_k $@
suite-group: $(B)/leat $(MODELS)/8x32.gguf
	@tests/cli/group.sh $(B)/leat $(MODELS)/8x32.gguf $(B)/test-files/group

suite-filesystems: $(B)/leat $(MODELS)/8x32.gguf
	@tests/cli/filesystems.sh $(B)/leat $(MODELS)/8x32.gguf $(B)/test-files/filesystems

# A streamed model while its memory changes and its disk fails.
suite-soak: $(B)/test
	@LEAT_SOAK_SECONDS=10 LEAT_TEST_DIR=$(B)/soak-files $(B)/test soak_
soak: $(B)/test
	@LEAT_SOAK_SECONDS=$(SOAK_SECONDS) LEAT_STORM_SEEDS=20000 LEAT_TEST_DIR=$(B)/soak-files $(B)/test soak_ storm -v
SOAK_SECONDS := 1200
.PHONY: soak

# The parts where threads meet.
suite-tsan:
	@$(MAKE) $(JOBS) --no-print-directory SAN=thread B=$(B)/tsan $(B)/tsan/test
	@LEAT_TEST_DIR=$(B)/tsan/test-files $(B)/tsan/test test_pool test_store test_plat test_quantize with_wide_rows

suite-valgrind: $(B)/leat $(MODELS)/done
	@tests/cli/valgrind.sh $(B)/leat $(MODELS) $(B)/test-files/valgrind

# What leat writes, read by others.
suite-readers: $(B)/leat $(MODELS)/done
	@tests/cli/readers.sh $(B)/leat $(MODELS) $(B)/test-files/readers

# A short search, the same each time, so that a change is judged by itself; `make fuzz FUZZ_SECONDS=3600` is the long one.
suite-fuzzing:
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=10 FUZZ_FLAGS="-seed=1 -runs=100000"
	@echo "$(words $(FUZZ)) passed, 0 failed"

# ---- make demo -------------------------------------------------------------------------------------

demo: setup
	@$(MAKE) $(JOBS) -s --no-print-directory all
	@scripts/demo.sh $(B)/leat sample/sample.gguf

.PHONY: setup check check-all demo $(addprefix suite-,$(SUITES) $(LONG_SUITES))
