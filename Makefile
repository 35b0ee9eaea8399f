# leat: `make` builds build/leat and build/libleat.a; `make demo` shows it; `make check` tests it.
# No configure. Other compilers: make CC=clang B=build/clang. Sanitizers: make SAN=1 (address and
# undefined behaviour, in build/san) or SAN=thread (build/tsan). For another architecture: make ARCH=aarch64
# (or riscv64; in build/ARCH, static). V=1 shows commands.

NATIVE := $(shell uname -m)
ARCH ?= $(NATIVE)
CROSS := $(if $(filter-out $(NATIVE),$(ARCH)),$(ARCH)-linux-gnu-)
ifneq ($(CROSS),)
CC := $(CROSS)gcc
AR := $(CROSS)ar
NM := $(CROSS)nm
LD := $(CROSS)ld
else ifeq ($(origin CC),default)
CC := $(or $(if $(shell command -v gcc),gcc),$(if $(shell command -v clang),clang),gcc)
endif
AR ?= ar
NM ?= nm
SAN ?= 0
B := $(if $(CROSS),build/$(ARCH),$(if $(filter 1,$(SAN)),build/san,$(if $(filter thread,$(SAN)),build/tsan,build)))

comma := ,
empty :=
space := $(empty) $(empty)
Q := $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)")
FLOORS := base mem quant gguf cache uni volume json emit imatrix kern pool store tok tmpl dev kv model engine srv tools
CORE_C := $(foreach d,$(FLOORS),$(wildcard src/$(d)/*.c))
POSIX_C := $(wildcard src/plat/posix/*.c)
FAULT_C := $(wildcard src/plat/fault/*.c)
HOSTED_C := $(filter-out src/hosted/validate%.c src/hosted/%bare.c src/hosted/bare_%.c src/hosted/main_init.c src/hosted/init_%.c,$(wildcard src/hosted/*.c))
VALIDATE_C := $(wildcard src/hosted/validate*.c)
TEST_C := $(wildcard tests/*.c tests/unit/*.c tests/kern/*.c tests/golden/*.c tests/fault/*.c tests/gen/*.c)
TEST_C := $(filter-out $(filter-out %_$(ARCH).c,$(filter %_x86_64.c %_aarch64.c,$(TEST_C))),$(TEST_C))
FUZZ_C := $(wildcard tests/fuzz/fuzz_*.c)

WARN := -std=c11 -Wall -Wextra -Werror -Wshadow -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef
COMMON := -O2 -g -fPIE -Isrc -Iinclude -I$(B) -MMD -MP -ffunction-sections -fdata-sections -fno-math-errno \
	-fno-trapping-math -ffp-contract=off -fvisibility=hidden -ffile-prefix-map=$(CURDIR)=.
# The core runs where there is no operating system: no libc headers, no libc calls.
FREE := -ffreestanding -nostdinc -mno-red-zone -fno-stack-protector -fno-asynchronous-unwind-tables \
	-Isrc/base/shim -isystem $(shell $(CC) -print-file-name=include)
HOST := -D_GNU_SOURCE -pthread -fno-asynchronous-unwind-tables
LINK := -pie -Wl,--gc-sections -Wl,--build-id=none
ifneq ($(CROSS),)
LINK := -static -Wl,--gc-sections -Wl,--build-id=none -Wl,--no-warnings # runs in an emulator that has no libraries of that architecture
else
# Relative relocations as a bitmap: 45 KB less in the program. Only where the linker has that and the C library runs it.
LINK += $(shell mkdir -p $(B); printf 'int main(void) { return 0; }' | $(CC) -pie -x c -Wl,-z,pack-relative-relocs - -o \
	$(B)/probe 2> /dev/null && $(B)/probe && echo -Wl,-z,pack-relative-relocs)
endif
SANITIZE_1 := -fsanitize=address,undefined
SANITIZE_thread := -fsanitize=thread
ifneq ($(SAN),0)
COMMON += $(SANITIZE_$(SAN)) $(if $(filter 1,$(SAN)),-fno-sanitize-recover=undefined) -fno-omit-frame-pointer -O1
LINK += $(SANITIZE_$(SAN))
endif

# ISA levels are chosen by file, never by #ifdef in the core: those of other architectures are left out, and so are their
# cpu_<architecture>.c. An architecture without a level of its own has the scalar one.
LEVELS_x86_64 := avx2 avxvnni avx512 amx
LEVELS_aarch64 := neon i8mm
ISA_avx2 := -mavx2 -mfma -mf16c -mbmi2
ISA_avxvnni := $(ISA_avx2) -mavxvnni
ISA_avx512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c -mbmi2
ISA_amx := $(ISA_avx512) -mamx-tile -mamx-int8 -mamx-bf16
ISA_neon := -march=armv8.2-a+dotprod
ISA_i8mm := $(ISA_neon)+i8mm
# A compiler that does not know an instruction set builds no level for it.
LEVELS := $(foreach l,$(LEVELS_$(ARCH)),$(if $(shell $(CC) $(ISA_$(l)) -E -x c /dev/null > /dev/null 2>&1 && echo yes),$(l)))
OTHERS := $(foreach l,$(filter-out $(LEVELS),$(LEVELS_x86_64) $(LEVELS_aarch64)),%_$(l).c)
TEST_C := $(filter-out $(OTHERS),$(TEST_C))
CORE_C := $(filter-out $(OTHERS) src/kern/cpu_%,$(CORE_C)) \
	src/kern/cpu_$(if $(LEVELS_$(ARCH)),$(ARCH),plain).c
ifneq ($(ARCH),x86_64)
FREE := $(filter-out -mno-red-zone,$(FREE))
endif
ISA_O := $(if $(filter 0,$(SAN)),-O3,-O1)
# With 16 registers and no dot products of bytes loops are long: gcc orders their instructions before it gives out registers
# (docs/LAB.md).
SCHEDULE := -fschedule-insns -fsched-pressure
SCHEDULE := $(if $(filter 0,$(SAN)),$(shell $(CC) -Werror $(SCHEDULE) -c -x c /dev/null -o /dev/null 2> /dev/null && echo $(SCHEDULE)))
# The scalar level passes vectors wider than the registers only within its own file: no ABI is at stake.
ISA_scalar := -Wno-psabi
isa_flags = $(if $(filter src/kern/kern_avx2.c,$(1)),$(SCHEDULE)) $(foreach l,$(LEVELS),$(if $(filter %_$(l).c,$(1)),$(ISA_$(l)) $(ISA_O)))$(if $(filter %_scalar.c,$(1)),$(ISA_scalar))
# All but the kernels waits for them, for the user, for a disk or for a file's header: small matters more than fast. The encoders are written
# in vectors: -O3 makes them twice as large and no faster. Their reference is for machines without AVX2, which are few.
SMALL := $(addprefix src/,tools/% srv/% emit/% json/% tmpl/% gguf/% imatrix/% cache/% store/% volume/% tok/% base/% model/% kv/% dev/% \
	engine/api_% engine/template% engine/generate% engine/draft% mem/% plat/posix/% hosted/% quant/% pool/% uni/% kern/kern.c)
small_flags = $(if $(filter 0,$(SAN)),$(if $(filter $(SMALL),$(1)),-Os)$(if $(filter src/kern/encode_%,$(1)),-O2))

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
# Asynchronous reads by io_uring, through liburing's static library; where there is none, by threads.
URING_A := $(filter /%,$(shell $(CC) -print-file-name=liburing.a))
CORE_O := $(call obj,$(CORE_C))
POSIX_O := $(call obj,$(POSIX_C))
TEST_O := $(call obj,$(TEST_C) $(FAULT_C))
# plat/fault stands between the core and plat/posix in the tests (see plat/fault/fault.h).
WRAP := $(patsubst __wrap_%,-Wl$(comma)--wrap=%,$(shell grep -oh '__wrap_plat_[a-z_0-9]*' $(FAULT_C) /dev/null | sort -u))

# What compares leat with other programs' libraries is for this machine only.
all: $(B)/leat $(B)/libleat.a $(B)/libleat_posix.a $(if $(CROSS),,$(if $(VALIDATE_C),$(B)/leat-validate))

# Flags are part of what an object is: objects follow the Makefile too.
$(CORE_O): $(B)/obj/%.o: %.c Makefile | $(B)/version.h $(B)/kern_levels.h
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(FREE) $(call isa_flags,$<) $(call small_flags,$<) -c $< -o $@
$(call obj,$(filter-out %/uring.c,$(POSIX_C)) $(HOSTED_C) $(VALIDATE_C)): $(B)/obj/%.o: %.c Makefile | $(B)/version.h
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) $(call small_flags,$<) -c $< -o $@
$(TEST_O) $(call obj,$(FUZZ_C)): $(B)/obj/%.o: %.c Makefile | $(B)/version.h
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) $(call isa_flags,$<) -Itests -c $< -o $@

# What liburing gives becomes part of this object, so that nobody who links it needs to know of it.
$(B)/obj/src/plat/posix/uring.o: src/plat/posix/uring.c Makefile
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) $(if $(URING_A),,-DPOSIX_NO_URING) -c $< -o $(@:.o=.own.o)
	$(Q)$(if $(URING_A),$(LD) -r -o $@ $(@:.o=.own.o) $(URING_A),cp $(@:.o=.own.o) $@)

$(B)/libleat.a: $(CORE_O)
	@rm -f $@
	$(call say,archive $@)
	$(Q)$(AR) rcsD $@ $^
$(B)/libleat_posix.a: $(POSIX_O)
	@rm -f $@
	$(call say,archive $@)
	$(Q)$(AR) rcsD $@ $^
$(call obj,src/hosted/image.c): HOST += -I.
$(B)/leat: $(call obj,$(HOSTED_C) kernel/net/net_config.c) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^
$(B)/leat-validate: $(call obj,$(VALIDATE_C)) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ -ldl -lm
$(B)/test: $(TEST_O) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread $(WRAP) -o $@ $^ -lm

# Rewritten only when the commit or the levels change, so that the same tree gives the same bytes.
$(B)/version.h: FORCE
	@mkdir -p $(B)
	@c=$$(git rev-parse --short=9 HEAD 2>/dev/null || echo unknown); \
	 printf '#define LEAT_COMMIT "%s"\n#define LEAT_LEVELS "%s"\n' "$$c" "scalar$(subst $(space),,$(addprefix |,$(LEVELS)))" > $@.new; \
	 cmp -s $@.new $@ && rm -f $@.new || mv $@.new $@
$(B)/kern_levels.h: FORCE
	@mkdir -p $(B)
	@echo '#define KERN_LEVELS(LEVEL)$(foreach l,scalar $(LEVELS), LEVEL($(l)))' > $@.new; \
	 cmp -s $@.new $@ && rm -f $@.new || mv $@.new $@

-include $(CORE_O:.o=.d) $(POSIX_O:.o=.d) $(TEST_O:.o=.d) $(patsubst %.o,%.d,$(call obj,$(HOSTED_C) $(VALIDATE_C) $(FUZZ_C)))
-include kernel/kernel.mk tests/tests.mk

clean:
	rm -rf build
FORCE:
.PHONY: all clean FORCE
.DELETE_ON_ERROR:
