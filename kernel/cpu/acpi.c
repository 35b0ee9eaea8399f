/* acpi.c: ACPI's tables: where they are, and what of them is needed to power off and to start anew. No interpreter: the
 * one package that matters, _S5_, is found by its bytes. Source: ACPI Specification 6.5, chapters 4, 5 and 7.
 */
#include "kernel/boot/boot.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu_int.h"
#include "kernel/memory/memory.h"

#define TABLES_MAX 64
#define TABLE_BYTES_MAX ((size_t)8 << 20)

static struct {
    const char *at;
    size_t bytes;
} tables[TABLES_MAX];
static size_t n_tables;

static bool sums_to_zero(const char *at, size_t bytes) {
    uint8_t sum = 0;
    for (size_t i = 0; i < bytes; i++) sum = (uint8_t)(sum + (uint8_t)at[i]);
    return sum == 0;
}

/* The table at a physical address; NULL where it is none. */
static const char *table_at(uint64_t physical, size_t *bytes) {
    const char *head = physical ? memory_map_tables(physical, 36) : NULL;
    if (!head) return NULL;
    *bytes = load_u32(head + 4);
    if (*bytes < 36 || *bytes > TABLE_BYTES_MAX || !memory_map_tables(physical, *bytes)) return NULL;
    return sums_to_zero(head, *bytes) ? head : NULL;
}

static void add(uint64_t physical) {
    size_t bytes;
    const char *at = table_at(physical, &bytes);
    if (!at || n_tables >= TABLES_MAX) return;
    tables[n_tables].at = at;
    tables[n_tables++].bytes = bytes;
}

/* BIOS leaves the pointer in its own memory, on 16 bytes. */
static uint64_t search(void) {
    const char *area = memory_map_tables(0xe0000, 0x20000);
    for (size_t i = 0; area && i < 0x20000; i += 16)
        if (!memcmp(area + i, "RSD PTR ", 8) && sums_to_zero(area + i, 20)) return 0xe0000 + i;
    return 0;
}

void cpu_acpi_start(void) {
    uint64_t root = boot.root_table;
    if (!root) {
        uint64_t pointer = boot.rsdp ? boot.rsdp : search();
        const char *p = pointer ? memory_map_tables(pointer, 36) : NULL;
        if (!p || memcmp(p, "RSD PTR ", 8)) {
            console_log("ACPI: no tables; one core, and no power-off");
            return;
        }
        root = p[15] >= 2 && load_u64(p + 24) ? load_u64(p + 24) : load_u32(p + 16);
    }
    size_t bytes = 0;
    const char *list = table_at(root, &bytes);
    if (!list) return;
    size_t step = list[0] == 'X' ? 8 : 4;
    for (size_t at = 36; at + step <= bytes; at += step) add(step == 8 ? load_u64(list + at) : load_u32(list + at));
    const char *fadt = cpu_acpi_table("FACP", 0, &bytes);
    if (fadt && bytes >= 44) add(bytes >= 148 && load_u64(fadt + 140) ? load_u64(fadt + 140) : load_u32(fadt + 40));
}

const void *cpu_acpi_table(const char signature[4], size_t nth, size_t *bytes) {
    for (size_t i = 0; i < n_tables; i++) {
        if (memcmp(tables[i].at, signature, 4) || nth--) continue;
        *bytes = tables[i].bytes;
        return tables[i].at;
    }
    return NULL;
}

/* The sleep type of S5 in the package after its name: 08 "_S5_" 12 length n 0a type ..., as every compiler writes
 * it. */
static int sleep_type(const char *code, size_t bytes) {
    for (size_t i = 36; i + 12 < bytes; i++) {
        if (memcmp(code + i, "_S5_", 4) || code[i + 4] != 0x12) continue;
        size_t at = i + 5 + (size_t)((uint8_t)code[i + 5] >> 6) + 2; /* the length's bytes, then the count */
        if (at + 1 >= bytes) return -1;
        return code[at] == 0x0a ? code[at + 1] : code[at];
    }
    return -1;
}

void cpu_acpi_power_off(void) {
    size_t bytes, code_bytes;
    const char *fadt = cpu_acpi_table("FACP", 0, &bytes), *code = cpu_acpi_table("DSDT", 0, &code_bytes);
    int type = code ? sleep_type(code, code_bytes) : -1;
    if (!fadt || bytes < 116) return;
    uint32_t flags = load_u32(fadt + 112);
    if (flags >> 20 & 1) { /* hardware-reduced: the sleep control register of the FADT's extension */
        uint64_t at = bytes >= 256 ? load_u64(fadt + 248) : 0;
        if (!at) return;
        uint8_t value = (uint8_t)((type < 0 ? 5 : type) << 2 | 0x20);
        if (fadt[244] == 1) cpu_out8((uint16_t)at, value);
        else *(volatile uint8_t *)memory_map_io(at, 1) = value;
    } else if (type >= 0) {
        uint16_t a = (uint16_t)load_u32(fadt + 64), b = (uint16_t)load_u32(fadt + 68);
        uint16_t enable = (uint16_t)load_u32(fadt + 48);
        if (enable && !(cpu_in16(a) & 1)) {
            cpu_out8(enable, (uint8_t)fadt[52]); /* ACPI mode */
            for (int i = 0; i < 300 && !(cpu_in16(a) & 1); i++) cpu_delay_ns(1000000);
        }
        cpu_out16(a, (uint16_t)(type << 10 | 1 << 13));
        if (b) cpu_out16(b, (uint16_t)(type << 10 | 1 << 13));
    }
    cpu_delay_ns(100000000);
}

void cpu_acpi_reset(void) {
    size_t bytes;
    const char *fadt = cpu_acpi_table("FACP", 0, &bytes);
    if (!fadt || bytes < 129 || !(load_u32(fadt + 112) >> 10 & 1)) return;
    uint64_t at = load_u64(fadt + 120);
    if (fadt[116] == 1) cpu_out8((uint16_t)at, (uint8_t)fadt[128]);
    else if (fadt[116] == 0) *(volatile uint8_t *)memory_map_io(at, 1) = (uint8_t)fadt[128];
    cpu_delay_ns(50000000);
}
