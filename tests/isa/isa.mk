# isa.mk: leat for other architectures, run in an emulator (qemu-user): the plain level gives the bits that it gives here,
# the levels of that architecture pass the tests of the kernels and answer questions. Part of `make check-all`.

LONG_SUITES += aarch64 riscv64

# Where there is a compiler for it, every `make check` compiles the kernels of the other architecture that has levels of its
# own: a word that its vocabulary lacks is seen at once.
SUITES += $(if $(shell command -v aarch64-linux-gnu-gcc),arm)
kern-objects: $(filter $(B)/obj/src/kern/%,$(CORE_O))
suite-arm:
	@$(MAKE) $(JOBS) --no-print-directory ARCH=aarch64 B=$(B)/aarch64 kern-objects && echo "1 passed, 0 failed"
.PHONY: kern-objects suite-arm

# What takes long or is about time is left out; so are tests that are the same code for every instruction set.
ISA_TESTS := args_ err_ str_ fmt_ parse_ f16_ bf16_ hash_ rng_ math_ gguf_reads gguf_writes json_reads json_floats quant_ kv_ \
	mem_ arena_ pool_runs pool_shares plat_memory plat_threads plat_files plat_queue sampler_ store_leases tok_spm \
	attn_is_near rows_ matmul_ levels_
suite-aarch64 suite-riscv64: suite-%: $(B)/leat $(B)/sample-score
	@$(MAKE) $(JOBS) --no-print-directory ARCH=$* B=$(B)/$* all $(B)/$*/sample-score $(B)/$*/test
	@tests/isa/isa.sh $* $(B) sample $(B)/test-files/$* $(ISA_TESTS)
