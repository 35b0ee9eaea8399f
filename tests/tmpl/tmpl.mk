# tmpl.mk: chat templates beside Python's jinja2, where there is one (Debian: python3-jinja2).
#
#   make suite-templates TEMPLATES="DIR ..."   every *.jinja of the folders over all conversations of tests/tmpl/cases.py
#
# Without TEMPLATES the templates of tests/tmpl/cases.py are compared, and TEMPLATE_COUNT random ones, always the same.

PYTHON3 ?= /usr/bin/python3
TEMPLATES ?=
TEMPLATE_COUNT ?= 5000
LONG_SUITES += templates

$(call obj,tests/tmpl/render.c): $(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) $(WARN) $(COMMON) $(HOST) -c $< -o $@
$(B)/tmpl-render: $(call obj,tests/tmpl/render.c) $(B)/libleat.a $(B)/libleat_posix.a
	$(call say,link    $@)
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ $(B)/libleat.a
suite-templates: $(B)/tmpl-render
	@if $(PYTHON3) -c 'import jinja2' 2> /dev/null; then \
	    tests/tmpl/templates.sh $(PYTHON3) $< $(TEMPLATE_COUNT) $(TEMPLATES); \
	else echo "skip templates: $(PYTHON3) has no jinja2"; echo "0 passed, 0 failed"; fi
