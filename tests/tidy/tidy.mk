# tidy: the tree's own rules. Part of `make check`; alone: make tidy.
# Symbols are judged in plain builds only: sanitizers bring their own.

PUBLIC_H := $(wildcard include/*.h) $(foreach d,$(FLOORS) plat,$(wildcard src/$(d)/$(d).h))
TIDY_DIRS := $(wildcard src include tests examples kernel)

$(B)/tidy: tests/tidy/tidy.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -o $@ $<

tidy: $(B)/tidy $(CORE_O)
	@failed=0; \
	$(B)/tidy $(TIDY_DIRS) || failed=1; \
	sh tests/tidy/headers.sh '$(CC) $(WARN) $(filter-out -MMD -MP,$(COMMON)) $(FREE) -Wno-unused-function' $(PUBLIC_H) || failed=1; \
	[ $(SAN) = 1 ] || NM='$(NM)' sh tests/tidy/symbols.sh $(CORE_O) || failed=1; \
	sh tests/tidy/selftest.sh $(B) '$(CC)' '$(NM)' || failed=1; \
	exit $$failed

.PHONY: tidy
