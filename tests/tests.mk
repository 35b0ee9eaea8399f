include tests/tidy/tidy.mk
