/* bare_machine.c: the commands of the bare console that show and steer the machine. Next: bare_models.c. */
#include "hosted/bare.h"
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/kernel.h"
#include "kernel/memory/memory.h"
#include "plat/bare/bare.h"

static const char *word_of(const void *values) {
    const bare_word *o = values;
    return o->word ? o->word : "";
}

static void uptime_text(char *buf, size_t cap) {
    uint64_t s = cpu_time_ns() / 1000000000;
    fmt(buf, cap, "%llu:%02llu:%02llu", (unsigned long long)(s / 3600), (unsigned long long)(s / 60 % 60),
        (unsigned long long)(s % 60));
}

static int status_run(tools *t, const void *values) {
    char cpu[64], total[24], free[24], up[32];
    (void)values;
    plat_cpu_name(cpu, sizeof cpu);
    uptime_text(up, sizeof up);
    fmt_bytes(total, sizeof total, memory_bytes_total());
    fmt_bytes(free, sizeof free, memory_bytes_free());
    tools_out(t, "leat      %s, started by %s, up %s\n", leat_version(), boot.loader, up);
    tools_out(t, "cores     %d of %s%s\n", cpu_count(), cpu,
              plat_caps() & PLAT_CALLER_WAITS ? "; core 0 for network, disks and console" : "");
    tools_out(t, "memory    %s, %s of them free\n", total, free);
    tools_out(t, "disks     %zu\n", disk_count());
    tools_out(t, "console   %s\n", console_kind());
    tools_out(t, "model     %s\n",
              bare_model_now()[0] ? bare_model_now() : "none; `models` lists them, `load NAME` takes one");
    tools_out(t, "mode      %s\n",
              cpu_is_quiet() ? "deterministic: cores spin, no timer" : "cores halt while they wait");
    if (cpu_watchdog_seconds()) tools_out(t, "watchdog  %u s\n", cpu_watchdog_seconds());
    else tools_out(t, "watchdog  off\n");
    return TOOLS_OK;
}

static int uptime_run(tools *t, const void *values) {
    char up[32];
    (void)values;
    uptime_text(up, sizeof up);
    tools_out(t, "%s\n", up);
    return TOOLS_OK;
}

static int mem_run(tools *t, const void *values) {
    char a[24], b[24];
    (void)values;
    uint64_t total = memory_bytes_total(), free = memory_bytes_free();
    tools_out(t, "RAM         %s\n", fmt_bytes(a, sizeof a, total));
    tools_out(t, "free        %s (%.2f %%)\n", fmt_bytes(a, sizeof a, free), 100.0 * (double)free / (double)total);
    for (mem_tag tag = 0; tag < MEM_TAGS; tag++)
        tools_out(t, "%-10s  %s, at most %s\n", mem_tag_name(tag), fmt_bytes(a, sizeof a, mem_bytes(tag)),
                  fmt_bytes(b, sizeof b, mem_bytes_peak(tag)));
    return TOOLS_OK;
}

static int memmap_run(tools *t, const void *values) {
    static const char *const names[] = {
        [BOOT_RAM] = "RAM", [BOOT_RESERVED] = "reserved", [BOOT_TABLES] = "ACPI", [BOOT_TAKEN] = "kernel and modules"};
    (void)values;
    for (size_t i = 0; i < memory_map_count(); i++) {
        uint64_t start, bytes, kind;
        char size[24];
        memory_map_at(i, &start, &bytes, &kind);
        tools_out(t, "%016llx-%016llx  %10s  %s\n", (unsigned long long)start, (unsigned long long)(start + bytes - 1),
                  fmt_bytes(size, sizeof size, bytes), kind < COUNT_OF(names) && names[kind] ? names[kind] : "?");
    }
    return TOOLS_OK;
}

static int cpuid_run(tools *t, const void *values) {
    static const struct {
        uint8_t leaf, word, bit;
        const char *name;
    } bits[] = {{1, 2, 0, "sse3"},      {1, 2, 12, "fma"},        {1, 2, 20, "sse4.2"},   {1, 2, 21, "x2apic"},
                {1, 2, 24, "deadline"}, {1, 2, 28, "avx"},        {1, 2, 29, "f16c"},     {1, 2, 30, "rdrand"},
                {1, 2, 31, "guest"},    {7, 1, 5, "avx2"},        {7, 1, 8, "bmi2"},      {7, 1, 16, "avx512f"},
                {7, 1, 30, "avx512bw"}, {7, 2, 11, "avx512vnni"}, {7, 3, 22, "amx-bf16"}, {7, 3, 24, "amx-tile"},
                {7, 3, 25, "amx-int8"}};
    char name[64];
    (void)values;
    plat_cpu_name(name, sizeof name);
    tools_out(t, "%s\nfamily and model %08x, %llu MHz by %s, %d cores\n", name, cpu_id_of(1, 0).a,
              (unsigned long long)(cpu_tsc_hz() / 1000000), cpu_tsc_source(), cpu_count());
    for (size_t i = 0; i < COUNT_OF(bits); i++) {
        cpu_id id = cpu_id_of(bits[i].leaf, 0);
        const uint32_t words[4] = {id.a, id.b, id.c, id.d};
        if (cpu_id_of(0, 0).a >= bits[i].leaf && words[bits[i].word] >> bits[i].bit & 1)
            tools_out(t, "%s ", bits[i].name);
    }
    tools_out(t, "\n");
    return TOOLS_OK;
}

static int dmesg_run(tools *t, const void *values) {
    char text[512];
    (void)values;
    for (size_t at = 0, n; (n = console_log_read(at, text, sizeof text)); at += n) tools_out_bytes(t, text, n);
    return TOOLS_OK;
}

static int config_run(tools *t, const void *values) {
    (void)values;
    tools_out(t, "%s\n", boot.line[0] ? boot.line : "no options");
    for (size_t i = 0; i < boot.n_modules; i++)
        tools_out(t, "module %s, %llu bytes\n", boot.modules[i].name, (unsigned long long)boot.modules[i].bytes);
    return TOOLS_OK;
}

static int watchdog_run(tools *t, const void *values) {
    const char *word = word_of(values);
    uint64_t seconds = 0;
    if (word[0] && !cstr_eq(word, "off") && (!parse_u64(str_of(word), &seconds) || !seconds || seconds > 86400))
        return tools_usage(t, "'%.40s' is neither off nor a number of seconds", word);
    if (word[0]) cpu_watchdog((uint32_t)seconds);
    if (cpu_watchdog_seconds()) tools_out(t, "reboots after %u s without a sign of life\n", cpu_watchdog_seconds());
    else tools_out(t, "off\n");
    return TOOLS_OK;
}

static int clear_run(tools *t, const void *values) {
    (void)values;
    tools_out(t, "\033[2J\033[H");
    return TOOLS_OK;
}

static int reboot_run(tools *t, const void *values) {
    (void)values;
    tools_out_flush(t);
    kernel_reboot();
}

static int shutdown_run(tools *t, const void *values) {
    (void)values;
    tools_out_flush(t);
    kernel_power_off();
}

/* Down until the page below the stack. */
static int recurse(int depth) {
    volatile char here[1024];
    here[depth % 1024] = 1;
    return depth ? recurse(depth - 1) + here[0] : here[0];
}

static void hang(void *arg) {
    for (;; cpu_pause()) (void)arg;
}

/* Breaks something on purpose, to see what is said. */
static int fault_run(tools *t, const void *values) {
    const char *word = word_of(values);
    tools_out_flush(t);
    if (cstr_eq(word, "read")) __asm__ volatile("movl 8, %%eax" : : : "eax", "memory");
    if (cstr_eq(word, "write")) *(volatile char *)(uintptr_t)boot_image = 0;
    if (cstr_eq(word, "run")) ((void (*)(void))(uintptr_t)&boot)();
    if (cstr_eq(word, "opcode")) __asm__ volatile("ud2");
    if (cstr_eq(word, "stack")) recurse(1 << 20);
    if (cstr_eq(word, "hang")) hang(NULL);
    if (cstr_eq(word, "core")) cpu_thread_join(cpu_thread_start(hang, NULL, -1)); /* another one, if there is one */
    return tools_usage(t, "one of read, write, run, opcode, stack, hang, core");
}

const tools_command bare_machine_commands[] = {
    BARE_COMMAND(status, "Show what this machine is and does"),
    BARE_COMMAND(uptime, "Tell how long it has been running"),
    BARE_COMMAND(mem, "Show what memory is used for"),
    BARE_COMMAND(memmap, "Show the firmware's map of the memory"),
    BARE_COMMAND(cpuid, "Show what the processor can do"),
    BARE_COMMAND(dmesg, "Show the kernel's log"),
    BARE_COMMAND(config, "Show the options it was started with"),
    BARE_COMMAND_WORD(watchdog, "SECONDS|off", "Reboot when nothing moves for so long",
                      "the time, or off; without: what it is now"),
    BARE_COMMAND(clear, "Clear the screen"),
    BARE_COMMAND(reboot, "Start the machine again"),
    BARE_COMMAND(shutdown, "Power the machine off"),
    BARE_COMMAND_WORD(fault, "HOW", "Break something on purpose, to see what is said",
                      "read, write, run, opcode, stack, hang or core"),
    {0},
};
