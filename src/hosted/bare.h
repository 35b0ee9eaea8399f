/* bare.h: the commands that only the bare machine has, and the model that its console holds. */
#ifndef LEAT_HOSTED_BARE_H
#define LEAT_HOSTED_BARE_H

#include "tools/tools.h"

/* bare_machine.c */
extern const tools_command bare_status, bare_uptime, bare_mem, bare_memmap, bare_cpuid, bare_net, bare_ip, bare_ping,
    bare_ss, bare_dmesg, bare_config, bare_watchdog, bare_clear, bare_reboot, bare_shutdown, bare_fault;

/* bare_models.c */
extern const tools_command bare_load, bare_switch, bare_unload, bare_perf, bare_validate, bare_deterministic;
/* The model that commands take when none is named; "" without one. */
const char *bare_model_now(void);
/* At start: the first model there is, if there is one. */
void bare_model_first(void);
/* Whether a word names a file that is there. */
bool bare_is_file(const char *word);

#endif
