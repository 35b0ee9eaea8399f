/* main_bare.c: `leat` as all that runs on a machine: the commands of the Linux program at a prompt, or from the command
 * line of the kernel: run="COMMAND...", repeated as wanted, then then=prompt|shutdown|reboot|exit.
 */
#include "hosted/hosted.h"
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/kernel.h"
#include "kernel/net/net.h"
#include "plat/bare/bare.h"

#define WORDS_MAX 64

/* Words parted by spaces; "..." and '...' hold them together. Cut in place. */
static int split(char *line, char **words, int max) {
    int n = 0;
    char *to = line, quote = 0;
    for (char *at = line; n < max;) {
        while (*at == ' ' || *at == '\n' || *at == '\r') at++;
        if (!*at) break;
        words[n++] = to;
        for (; *at && (quote || (*at != ' ' && *at != '\n' && *at != '\r')); at++) {
            if (quote ? *at == quote : *at == '"' || *at == '\'') quote = quote ? 0 : *at;
            else *to++ = *at;
        }
        if (*at) at++;
        *to++ = 0;
    }
    return n;
}

static int run(char *line) {
    char *words[WORDS_MAX + 2] = {(char[]){"leat"}};
    int n = split(line, words + 1, WORDS_MAX) + 1;
    if (n == 1) return TOOLS_OK;
    if (cstr_eq(words[1], "shutdown")) kernel_power_off();
    if (cstr_eq(words[1], "reboot")) kernel_reboot();
    plat_interrupt_clear();
    if (net_command(n - 1, words + 1)) return TOOLS_OK;
    int status = tools_main(n, words, bare_disk_commands, BARE_DISK_COMMANDS);
    plat_terminal_keys(PLAT_KEYS_LINES);
    return status;
}

void kernel_program(void) {
    char line[1024], then[16] = "prompt";
    int status = TOOLS_OK;
    bare_volumes_start();
    console_log("READY");
    for (size_t i = 0; boot_option("run", i, line, sizeof line); i++) {
        int s = run(line);
        status = status ? status : s;
    }
    boot_option("then", 0, then, sizeof then);
    if (cstr_eq(then, "exit")) kernel_debug_exit(status ? 0x11 : 0x10);
    if (cstr_eq(then, "shutdown")) kernel_power_off();
    if (cstr_eq(then, "reboot")) kernel_reboot();
    for (;;) {
        plat_stdout_write("leat> ", 6);
        int64_t n = plat_stdin_read(line, sizeof line - 1);
        plat_interrupt_clear();
        if (n <= 0) continue;
        line[n] = 0;
        run(line);
    }
}
