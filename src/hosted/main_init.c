/* main_init.c: `leat` as the first process of a Linux that has nothing else: for machines whose devices kernel/ has no
 * driver for (make linux-image). The same configuration as without an operating system, from the kernel's command line
 * and /leat.conf: run="COMMAND...", then=prompt|shutdown|reboot, ip=HOW. Next: init_net.c.
 */
#include "hosted/bare_prompt.h"
#include "hosted/init_net.h"
#include "kernel/boot/boot.h"
#include "plat/posix/posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char options[8192];
static char model[512];

static void say(const char *what, const char *which) {
    fprintf(stderr, "leat: %s %s: %s\n", what, which, strerror(errno));
}

/* ---- configuration ------------------------------------------------------------------------------- */

static void read_options(const char *path) {
    size_t used = strlen(options);
    FILE *f = fopen(path, "re");
    char text[4096];
    while (f && fgets(text, sizeof text, f)) {
        if (text[0] == '#') continue;
        if (used + 1 + strlen(text) >= sizeof options) {
            fprintf(stderr, "leat: %s: more than %zu bytes of options: the rest is ignored\n", path, sizeof options);
            break;
        }
        used += fmt(options + used, sizeof options - used, " %s", text);
    }
    if (f) fclose(f);
}

static bool option(const char *key, size_t nth, char *value, size_t cap) {
    return boot_option_in(options, key, nth, value, cap);
}

static const char *model_now(void) { return model; }
static bool is_file(const char *word) { return access(word, R_OK) == 0 && strchr(word, '.'); }

static void find_model(const char *dir) {
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && !*model && (entry = readdir(d));)
        if (str_ends(str_of(entry->d_name), STR(".gguf"))) snprintf(model, sizeof model, "%s/%s", dir, entry->d_name);
    if (d) closedir(d);
}

/* ---- the machine --------------------------------------------------------------------------------- */

/* Drivers, in the order that scripts/linux-image.sh wrote down: each after those that it needs. */
static void load_drivers(void) {
    FILE *f = fopen("/drivers/order", "re");
    char name[256], path[300];
    while (f && fgets(name, sizeof name, f)) {
        name[strcspn(name, "\n")] = 0;
        snprintf(path, sizeof path, "/drivers/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST && errno != ENODEV)) say("driver", name);
        if (fd >= 0) close(fd);
    }
    if (f) fclose(f);
}

/* As without an operating system: DHCP unless told otherwise. */
static void start_network(void) {
    char text[64] = "dhcp";
    net_config c;
    err e;
    option("ip", 0, text, sizeof text);
    if (!strcmp(text, "none")) return;
    if (net_config_parse(str_of(text), &c, &e) != ERR_NONE) {
        fprintf(stderr, "leat: %s; dhcp is asked\n", e.text);
        c = (net_config){.dhcp = true};
    }
    init_net_start(&c);
}

/* The last one that the kernel was told of, itself and not by the name /dev/console: only of a terminal that is ours
 * Ctrl-C comes as a signal.
 */
static void open_console(void) {
    char name[128] = "", path[160] = "/dev/console", *last;
    FILE *f = fopen("/sys/class/tty/console/active", "re");
    if (f && fgets(name, sizeof name, f)) {
        name[strcspn(name, "\n")] = 0;
        last = strrchr(name, ' ');
        snprintf(path, sizeof path, "/dev/%s", last ? last + 1 : name);
    }
    if (f) fclose(f);
    int console = open(path, O_RDWR);
    if (console < 0) console = open("/dev/console", O_RDWR);
    for (int fd = 0; fd < 3 && console >= 0; fd++) dup2(console, fd);
    if (console > 2) close(console);
    setsid();
    ioctl(0, TIOCSCTTY, 0);
}

static _Noreturn void end(int how) {
    sync();
    reboot(how);
    for (;;) pause();
}

static int shutdown_run(tools *t, const void *values) {
    (void)values;
    tools_out_flush(t);
    end(RB_POWER_OFF);
}
static int reboot_run(tools *t, const void *values) {
    (void)values;
    tools_out_flush(t);
    end(RB_AUTOBOOT);
}

int main(void) {
    static const tools_command off = {.name = "shutdown", .summary = "Power the machine off", .run = shutdown_run},
                               again = {.name = "reboot", .summary = "Start the machine again", .run = reboot_run};
    static const tools_command *const commands[] = {&off, &again};
    static const bare_home home = {option, commands, COUNT_OF(commands), model_now, is_file};
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    open_console();
    read_options("/proc/cmdline");
    read_options("/leat.conf");
    load_drivers();
    start_network();
    plat_posix_start();
    find_model("/models");
    printf("READY\n");
    fflush(stdout);
    int status = bare_prompt_options(&home);
    char then[16] = "prompt";
    option("then", 0, then, sizeof then);
    if (status) printf("a command of run= failed\n");
    fflush(stdout);
    if (!strcmp(then, "shutdown") || !strcmp(then, "exit")) end(RB_POWER_OFF);
    if (!strcmp(then, "reboot")) end(RB_AUTOBOOT);
    bare_prompt_stay(&home);
}
