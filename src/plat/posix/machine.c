/* machine.c: clocks, entropy, and what there is to say about this machine. */
#include "plat/posix/posix.h"

#include <errno.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint32_t plat_caps(void) { return PLAT_CAN_MAP | PLAT_CAN_WRITE | (posix_can_pin() ? PLAT_CAN_PIN : 0); }

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t plat_time_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t plat_wall_ns(void) { return clock_ns(CLOCK_REALTIME); }

void plat_sleep_ns(uint64_t ns) {
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR && !plat_interrupted()) {}
}

void plat_entropy(void *out, size_t bytes) {
    char *at = out;
    while (bytes) {
        ssize_t n = getrandom(at, bytes, 0);
        if (n > 0) {
            at += n;
            bytes -= (size_t)n;
        } else if (errno != EINTR) {
            break;
        }
    }
    /* A kernel or sandbox without getrandom: seeds and hash keys are worth no more than the clock. */
    rng r;
    rng_seed(&r, plat_time_ns() ^ plat_wall_ns() << 20);
    for (; bytes; bytes--) *at++ = (char)rng_u64(&r);
}

uint32_t plat_cpu(void) {
    uint32_t found = 0;
#if defined(__x86_64__)
    /* Linux keeps room for tiles (8 KB a thread) only for processes that ask; Documentation/arch/x86/xstate.rst. */
    enum { GET_PERMITTED = 0x1022, ASK_PERMISSION = 0x1023, TILE_DATA = 18 };
    uint64_t permitted = 0;
    syscall(SYS_arch_prctl, ASK_PERMISSION, TILE_DATA);
    if (syscall(SYS_arch_prctl, GET_PERMITTED, &permitted)) return 0;
    if (permitted >> TILE_DATA & 1) found |= PLAT_CPU_X86_TILES;
#endif
#if defined(__aarch64__)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) found |= PLAT_CPU_ARM_DOT;
    if (getauxval(AT_HWCAP2) & HWCAP2_I8MM) found |= PLAT_CPU_ARM_I8MM;
#endif
    return found;
}

size_t plat_cpu_name(char *buf, size_t cap) {
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[512];
    while (f && fgets(line, sizeof line, f)) {
        str text = str_of(line);
        size_t colon = str_find(text, STR(":"));
        if (!str_starts(text, STR("model name")) || colon == SIZE_MAX) continue;
        str name = str_trim(str_cut(text, colon + 1, text.len));
        fclose(f);
        return fmt(buf, cap, "%.*s", (int)name.len, name.ptr);
    }
    if (f) fclose(f);
    return fmt(buf, cap, "unknown processor");
}

double plat_load(void) {
    /* The fourth field is RUNNABLE/ALL at this instant, ourselves included: the mean of a few looks. */
    enum { LOOKS = 8 };
    double sum = 0;
    for (int i = 0; i < LOOKS; i++) {
        unsigned runnable = 0;
        FILE *f = fopen("/proc/loadavg", "re");
        if (!f) return -1;
        int n = fscanf(f, "%*s %*s %*s %u/", &runnable);
        fclose(f);
        if (n != 1) return -1;
        sum += runnable > 1 ? runnable - 1 : 0;
        if (i + 1 < LOOKS) plat_sleep_ns(3000000);
    }
    return sum / LOOKS;
}
