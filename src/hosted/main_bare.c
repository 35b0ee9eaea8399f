/* main_bare.c: `leat` as all that runs on a machine: a console with the commands of the Linux program and those of
 * bare.h.
 *
 * Options of the kernel (its command line, or leat.conf): run="COMMAND..." repeated as wanted, then
 * then=prompt|shutdown|reboot|exit; watchdog=SECONDS|off. After a reboot by the watchdog the commands are left out, so
 * that one that hangs does not hang the machine for ever.
 */
#include "hosted/bare.h"
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/kernel.h"
#include "kernel/net/net.h"
#include "plat/bare/bare.h"
#include "tools/chat_line.h"

#define WORDS_MAX 64
#define LINE_BYTES 2048
#define WATCHDOG_SECONDS 120

static const tools_command *const own[] = {
    &bare_status,        &bare_load,  &bare_switch, &bare_unload,  &bare_perf,   &bare_validate,
    &bare_deterministic, &bare_mem,   &bare_memmap, &bare_cpuid,   &bare_net,    &bare_ip,
    &bare_ping,          &bare_ss,    &bare_dmesg,  &bare_config,  &bare_uptime, &bare_watchdog,
    &bare_clear,         &bare_fault, &bare_reboot, &bare_shutdown};
static const tools_command *all[COUNT_OF(own) + BARE_DISK_COMMANDS]; /* of the disks, then these */
static size_t n_all;

/* Words parted by spaces; "..." and '...' hold them together. Cut in place. */
static int split(char *text, char **words, int max) {
    int n = 0;
    char *to = text, quote = 0;
    for (char *at = text; n < max;) {
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

/* Whether the command wants a model and none of its words is one. */
static bool lacks_model(char **words, int n) {
    static const char *const take_one[] = {"run",  "chat",       "serve", "bench",    "inspect",    "tokenize",
                                           "eval", "perplexity", "plan",  "template", "fingerprint"};
    bool takes = false;
    for (size_t i = 0; i < COUNT_OF(take_one); i++) takes |= cstr_eq(words[1], take_one[i]);
    for (int i = 2; i < n && takes; i++)
        if (cstr_eq(words[i], "-m") || cstr_eq(words[i], "--help") || cstr_eq(words[i], "-h") ||
            str_starts(str_of(words[i]), STR("--model")) || (words[i][0] != '-' && bare_is_file(words[i])))
            takes = false;
    return takes && *bare_model_now();
}

static int run(char *text) {
    static char program[] = "leat", option[] = "-m", name[128];
    char *words[WORDS_MAX + 4] = {program};
    int n = split(text, words + 1, WORDS_MAX) + 1;
    if (n == 1) return TOOLS_OK;
    if (lacks_model(words, n)) {
        fmt(name, sizeof name, "%s", bare_model_now());
        words[n++] = option;
        words[n++] = name;
    }
    plat_interrupt_clear();
    int status = tools_main(n, words, all, n_all);
    plat_terminal_keys(PLAT_KEYS_LINES);
    return status;
}

static int run_options(void) {
    char text[LINE_BYTES];
    int status = TOOLS_OK;
    for (size_t i = 0; boot_option("run", i, text, sizeof text); i++) {
        int s = run(text);
        status = status ? status : s;
    }
    return status;
}

static void start_watchdog(void) {
    char text[16];
    uint64_t seconds = WATCHDOG_SECONDS;
    if (boot_option("watchdog", 0, text, sizeof text) && !parse_u64(str_of(text), &seconds)) seconds = 0;
    cpu_watchdog((uint32_t)MIN(seconds, 86400));
}

/* The prompt, for ever. */
static int prompt(tools *t, const void *values) {
    line *l = NULL;
    err e;
    char text[LINE_BYTES];
    (void)values;
    if (chat_line_open(&l, t, NULL, plat_terminal_colours(), &e)) return tools_fail(t, "%s", e.text);
    for (;;) {
        line_result result = chat_line_read(l, "> ");
        if (result == LINE_FAILED) break;
        if (result != LINE_OK) continue;
        str typed = chat_line_text(l);
        fmt(text, sizeof text, "%.*s", (int)MIN(typed.len, sizeof text - 1), typed.ptr);
        run(text);
        plat_interrupt_clear();
        plat_terminal_keys(PLAT_KEYS_SIGNAL);
    }
    chat_line_close(l);
    return TOOLS_FAILED;
}

void kernel_program(void) {
    char then[16] = "prompt";
    for (size_t i = 0; i < BARE_DISK_COMMANDS; i++) all[n_all++] = bare_disk_commands[i];
    for (size_t i = 0; i < COUNT_OF(own); i++) all[n_all++] = own[i];
    bare_volumes_start();
    net_start();
    bare_model_first();
    start_watchdog();
    console_log("READY");
    bool hung = cpu_watchdog_rebooted();
    if (hung) console_log("the watchdog rebooted this machine: it had hung; run= options are left out");
    int status = hung ? TOOLS_OK : run_options();
    boot_option("then", 0, then, sizeof then);
    if (cstr_eq(then, "exit")) kernel_debug_exit(status ? 0x11 : 0x10);
    if (cstr_eq(then, "shutdown")) kernel_power_off();
    if (cstr_eq(then, "reboot")) kernel_reboot();
    static const tools_command console = {.name = "console", .summary = "", .usage = "", .run = prompt};
    static const tools_command *const only[] = {&console};
    static const char hello[] = "leat: `help` lists the commands, `chat` talks with the model\n";
    console_write(hello, sizeof hello - 1);
    for (;;) tools_main(2, (char *[]){(char[]){"leat"}, (char[]){"console"}, NULL}, only, 1);
}
