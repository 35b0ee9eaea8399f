/* serial.c: the first serial port, 115200 8N1, polled. Source: the 16550's data sheet. */
#include "kernel/console/console_int.h"
#include "kernel/cpu/cpu.h"

#define PORT 0x3f8

static bool present;

void console_start_serial(void) {
    cpu_out8(PORT + 7, 0x5a);
    present = cpu_in8(PORT + 7) == 0x5a;
    if (!present) return;
    cpu_out8(PORT + 1, 0);
    cpu_out8(PORT + 3, 0x80); /* the divisor's turn */
    cpu_out8(PORT, 1);
    cpu_out8(PORT + 1, 0);
    cpu_out8(PORT + 3, 0x03);
    cpu_out8(PORT + 2, 0xc7); /* FIFOs, emptied */
    cpu_out8(PORT + 4, 0x03);
}

bool serial_present(void) { return present; }

void serial_write(const char *bytes, size_t n) {
    size_t room = 0;
    for (size_t i = 0; present && i < n; i++) {
        for (int looks = 0; !room && looks < 1000000; looks++)
            if (cpu_in8(PORT + 5) & 0x20) room = 16;
        if (!room) return; /* nobody takes them */
        cpu_out8(PORT, (uint8_t)bytes[i]);
        room--;
    }
}

bool serial_read(char *byte) {
    if (!present || !(cpu_in8(PORT + 5) & 1)) return false;
    *byte = (char)cpu_in8(PORT);
    return true;
}
