/* keyboard.c: a PS/2 keyboard with an American layout: scan codes of set 1, as the controller translates them, to the
 * bytes that a terminal would send. USB keyboards work where the firmware passes them off as this one. Polled.
 */
#include "kernel/console/console_int.h"
#include "kernel/cpu/cpu.h"

enum { DATA = 0x60, STATUS = 0x64, FULL = 1, BUSY = 2 };

static bool shift, control, caps, extended;

/* By scan code, from 1 on: plain, then shifted. 0: none of ours. */
static const char plain[] = "\033" "1234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\033" "!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

/* Keys that send a sequence: the code after e0, what follows ESC. */
static const struct {
    uint8_t code;
    char sequence[4];
} sequences[] = {{0x48, "[A"}, {0x50, "[B"}, {0x4d, "[C"}, {0x4b, "[D"}, {0x47, "[H"},
                 {0x4f, "[F"}, {0x53, "[3~"}, {0x49, "[5~"}, {0x51, "[6~"}};

static bool wait_for(uint8_t bit, bool set) {
    for (int i = 0; i < 10000; i++, cpu_pause())
        if (!!(cpu_in8(STATUS) & bit) == set) return true;
    return false;
}

static bool command(uint8_t c) {
    if (!wait_for(BUSY, false)) return false;
    cpu_out8(STATUS, c);
    return true;
}

bool keyboard_start(void) {
    if (cpu_in8(STATUS) == 0xff) return false; /* no controller */
    for (int i = 0; i < 32 && (cpu_in8(STATUS) & FULL); i++) (void)cpu_in8(DATA);
    if (!command(0xad) || !command(0xa7) || !command(0x20) || !wait_for(FULL, true)) return false;
    uint8_t configuration = cpu_in8(DATA);
    configuration = (uint8_t)((configuration & ~3u) | 0x40); /* no interrupts; translated to set 1 */
    if (!command(0x60) || !wait_for(BUSY, false)) return false;
    cpu_out8(DATA, configuration);
    if (!command(0xae) || !wait_for(BUSY, false)) return false;
    cpu_out8(DATA, 0xf4); /* keys, please; the answer is no key of ours */
    return true;
}

static size_t key_down(uint8_t code, char to[8]) {
    for (size_t i = 0; extended && i < COUNT_OF(sequences); i++)
        if (sequences[i].code == code) return fmt(to, 8, "\033%s", sequences[i].sequence);
    if (extended && code != 0x1c && code != 0x35) return 0;
    if (code < 1 || code >= sizeof plain) return 0;
    char c = (shift ? shifted : plain)[code - 1], letter = (char)(c | 0x20);
    if (!c) return 0;
    bool is_letter = letter >= 'a' && letter <= 'z';
    if (is_letter && caps) c ^= 0x20;
    if (is_letter && control) c = (char)(letter - 'a' + 1);
    to[0] = c;
    return 1;
}

size_t keyboard_read(char to[8]) {
    while (cpu_in8(STATUS) & FULL) {
        bool mouse = cpu_in8(STATUS) & 0x20;
        uint8_t byte = cpu_in8(DATA), code = byte & 0x7f;
        if (mouse) continue;
        if (byte == 0xe0 || byte == 0xe1 || byte >= 0xfa) {
            extended = byte == 0xe0;
            continue;
        }
        bool down = !(byte & 0x80);
        size_t n = 0;
        if (code == 0x2a || code == 0x36) shift = extended ? shift : down;
        else if (code == 0x1d) control = down;
        else if (code == 0x3a) caps ^= down;
        else if (down) n = key_down(code, to);
        extended = false;
        if (n) return n;
    }
    return 0;
}
