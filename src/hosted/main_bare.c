/* main_bare.c: `leat` as all that runs on a machine: a console with the commands of the Linux program and those of
 * bare.h.
 *
 * Options of the kernel (its command line, or leat.conf): run="COMMAND..." repeated as wanted, then
 * then=prompt|shutdown|reboot|exit; watchdog=SECONDS|off. After a reboot by the watchdog the commands are left out, so
 * that one that hangs does not hang the machine for ever.
 */
#include "hosted/bare.h"
#include "hosted/bare_prompt.h"
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/kernel.h"
#include "kernel/net/net.h"
#include "plat/bare/bare.h"

#define WATCHDOG_SECONDS 120
#define COMMANDS_MAX 64

static void start_watchdog(void) {
    char text[16];
    uint64_t seconds = WATCHDOG_SECONDS;
    if (boot_option("watchdog", 0, text, sizeof text) && !parse_u64(str_of(text), &seconds)) seconds = 0;
    cpu_watchdog((uint32_t)MIN(seconds, 86400));
}

void kernel_program(void) {
    static const tools_command *const lists[] = {bare_machine_commands, bare_model_commands, bare_disk_commands,
                                                 bare_net_commands},
                               *all[COMMANDS_MAX];
    static bare_home h = {boot_option, all, 0, bare_model_now, bare_is_file};
    char then[16] = "prompt";
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        for (const tools_command *c = lists[i]; c->name && h.n_commands < COMMANDS_MAX; c++) all[h.n_commands++] = c;
    bare_volumes_start();
    net_start();
    bare_model_first();
    start_watchdog();
    console_log("READY");
    bool hung = cpu_watchdog_rebooted();
    if (hung) console_log("the watchdog rebooted this machine: it had hung; run= options are left out");
    int status = hung ? TOOLS_OK : bare_prompt_options(&h);
    boot_option("then", 0, then, sizeof then);
    if (cstr_eq(then, "exit")) kernel_debug_exit(status ? 0x11 : 0x10);
    if (cstr_eq(then, "shutdown")) kernel_power_off();
    if (cstr_eq(then, "reboot")) kernel_reboot();
    bare_prompt_stay(&h);
}
