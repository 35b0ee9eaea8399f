/* efi.c: our UEFI loader, BOOTX64.EFI: puts the kernel and its modules into memory, says what the firmware knows in a
 * boot_info, ends the firmware's services and jumps. A program of its own, not part of the kernel.
 *
 * From the volume that it lies on it reads leat\leat.elf, leat\leat.conf (the kernel's options, as on a command line)
 * and, for each option module=NAME in there, leat\NAME. Source: UEFI Specification 2.10.
 */
#include "kernel/boot/boot.h"

typedef uint64_t status;
typedef struct guid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
} guid;

typedef struct text_output {
    void *reset;
    status (*output)(struct text_output *self, const uint16_t *text);
} text_output;

typedef struct file {
    uint64_t revision;
    status (*open)(struct file *self, struct file **out, const uint16_t *name, uint64_t mode, uint64_t attributes);
    status (*close)(struct file *self);
    void *delete;
    status (*read)(struct file *self, uint64_t *bytes, void *to);
    void *write;
    status (*tell)(struct file *self, uint64_t *at);
    status (*seek)(struct file *self, uint64_t at);
} file;

typedef struct volume {
    uint64_t revision;
    status (*open)(struct volume *self, file **root);
} volume;

typedef struct loaded_image {
    uint64_t revision;
    void *parent, *system, *device;
} loaded_image;

typedef struct screen_mode {
    uint32_t n_modes, mode;
    struct {
        uint32_t version, width, height, format, masks[4], pixels_per_line;
    } *info;
    uint64_t info_bytes, start, bytes;
} screen_mode;
typedef struct screen {
    void *query, *set, *copy;
    screen_mode *mode;
} screen;

typedef struct range {
    uint32_t kind, reserved;
    uint64_t start, virtual_start, pages, attributes;
} range;

typedef struct boot_services {
    char head[24];
    void *priority[2];
    status (*allocate)(uint32_t how, uint32_t kind, uint64_t pages, uint64_t *at);
    void *free;
    status (*map)(uint64_t *bytes, void *to, uint64_t *key, uint64_t *step, uint32_t *version);
    void *pool_and_events[11];
    status (*protocol)(void *handle, const guid *which, void **out);
    void *handles[9];
    status (*end)(void *image, uint64_t key);
    void *counter_and_stall[2];
    status (*watchdog)(uint64_t seconds, uint64_t code, uint64_t bytes, const uint16_t *text);
    void *drivers[7];
    status (*locate)(const guid *which, void *registration, void **out);
} boot_services;

typedef struct system_table {
    char head[24];
    void *vendor;
    uint64_t revision;
    void *input_handle, *input, *output_handle;
    text_output *output;
    void *error_handle, *error, *runtime;
    boot_services *boot;
    uint64_t n_tables;
    struct {
        guid which;
        void *at;
    } *tables;
} system_table;

typedef struct elf_part {
    uint32_t kind, flags;
    uint64_t offset, address, physical, file_bytes, bytes, align;
} elf_part;

enum { ANY_PAGES, MAX_ADDRESS, LOADER_DATA = 2, FILE_READ = 1, ELF_LOAD = 1 };
#define PAGE 4096u
#define LARGE ((uint64_t)2 << 20)
#define FOUR_GIB ((uint64_t)1 << 32)
#define ENTRY_SYSV __attribute__((sysv_abi))

static const guid image_id = {0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}},
                  volume_id = {0x964e5b22, 0x6459, 0x11d2, {0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}},
                  screen_id = {0x9042a9de, 0x23dc, 0x4a38, {0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a}},
                  acpi_2_id = {0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0, 0x80, 0xc7, 0x3c, 0x88, 0x81}},
                  acpi_1_id = {0xeb9d2d30, 0x2d88, 0x11d3, {0x9a, 0x16, 0, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};

static system_table *efi;
static boot_info info;

static void say(const char *text) {
    uint16_t c[2] = {0, 0};
    for (; *text; text++) {
        c[0] = (uint16_t)*text;
        efi->output->output(efi->output, c);
    }
}

/* Back to the firmware, which tries its next boot entry. */
static status fail(const char *what, const char *name) {
    say("leat: ");
    say(what);
    say(name);
    say("\r\n");
    return (uint64_t)1 << 63 | 1;
}

/* Memory below 4 GiB, where the kernel's first tables reach. 0: none. */
static uint64_t pages(uint64_t bytes, uint64_t max) {
    uint64_t at = max - 1;
    return efi->boot->allocate(MAX_ADDRESS, LOADER_DATA, (bytes + PAGE - 1) / PAGE, &at) ? 0 : at;
}

/* The whole of leat\NAME in memory of its own; false where there is no such file, or no memory. */
static bool load(file *root, const char *name, size_t name_len, uint64_t *at, uint64_t *bytes) {
    uint16_t path[128] = {'l', 'e', 'a', 't', '\\'};
    file *f;
    for (size_t i = 0; i < name_len && i < 120; i++) path[5 + i] = (uint16_t)(name[i] == '/' ? '\\' : name[i]);
    if (root->open(root, &f, path, FILE_READ, 0)) return false;
    uint64_t end = 0, read = 0;
    f->seek(f, UINT64_MAX); /* the end */
    f->tell(f, &end);
    f->seek(f, 0);
    *at = end ? pages(end, UINT64_MAX) : 0;
    while (*at && read < end) {
        uint64_t n = end - read < LARGE ? end - read : LARGE;
        if (f->read(f, &n, (void *)(*at + read)) || !n) break;
        read += n;
    }
    f->close(f);
    *bytes = end;
    return *at && read == end;
}

static void add_module(uint64_t at, uint64_t bytes, const char *name, size_t name_len) {
    if (info.n_modules >= BOOT_MODULES_MAX) return;
    boot_module *m = &info.modules[info.n_modules++];
    m->start = at;
    m->bytes = bytes;
    memcpy(m->name, name, name_len < sizeof m->name ? name_len : sizeof m->name - 1);
}

/* The options module=NAME of leat.conf; false after a message. */
static bool load_modules(file *root, const char *text, uint64_t bytes) {
    for (uint64_t at = 0; at < bytes;) {
        uint64_t end = at;
        while (end < bytes && text[end] != ' ' && text[end] != '\n' && text[end] != '\r') end++;
        if (end - at > 7 && !memcmp(text + at, "module=", 7)) {
            uint64_t start, n;
            char name[104] = "";
            memcpy(name, text + at + 7, end - at - 7 < 103 ? end - at - 7 : 103);
            if (!load(root, name, end - at - 7, &start, &n)) return fail("cannot load ", name), false;
            add_module(start, n, name, end - at - 7);
        }
        at = end + 1;
    }
    return true;
}

static const elf_part *part_of(const char *elf, int i) {
    return (const elf_part *)(elf + *(const uint64_t *)(elf + 32) + (uint64_t)i * sizeof(elf_part));
}

/* Copies the kernel to memory of its own, on 2 MiB; relocating it is its own affair. False where it is none, or no
 * memory. */
static bool place_kernel(const char *elf, uint64_t bytes) {
    if (bytes < 64 || memcmp(elf, "\177ELF\2\1", 6) || *(const uint16_t *)(elf + 54) != sizeof(elf_part)) return false;
    uint64_t parts_at = *(const uint64_t *)(elf + 32), low = UINT64_MAX, high = 0;
    int n_parts = *(const uint16_t *)(elf + 56);
    if (parts_at > bytes || (uint64_t)n_parts * sizeof(elf_part) > bytes - parts_at) return false;
    for (int i = 0; i < n_parts; i++) {
        const elf_part *p = part_of(elf, i);
        if (p->kind != ELF_LOAD) continue;
        if (p->offset > bytes || p->file_bytes > bytes - p->offset || p->file_bytes > p->bytes) return false;
        low = p->address < low ? p->address : low;
        high = p->address + p->bytes > high ? p->address + p->bytes : high;
    }
    uint64_t room = low < high ? pages(high - low + LARGE, FOUR_GIB) : 0;
    if (!room) return false;
    info.kernel_start = (room + LARGE - 1) & ~(LARGE - 1);
    for (int i = 0; i < n_parts; i++) {
        const elf_part *p = part_of(elf, i);
        if (p->kind != ELF_LOAD) continue;
        char *to = (char *)(info.kernel_start + p->address - low);
        memcpy(to, elf + p->offset, p->file_bytes);
        memset(to + p->file_bytes, 0, p->bytes - p->file_bytes);
    }
    return true;
}

static void describe_screen(void) {
    screen *s;
    if (efi->boot->locate(&screen_id, NULL, (void **)&s) || s->mode->info->format > 1) return;
    bool red_first = s->mode->info->format == 0;
    info.screen = (boot_screen){.start = s->mode->start, .bytes = s->mode->bytes, .width = s->mode->info->width,
                                .height = s->mode->info->height, .pitch_bytes = s->mode->info->pixels_per_line * 4,
                                .red_shift = red_first ? 0 : 16, .green_shift = 8, .blue_shift = red_first ? 16 : 0,
                                .bits = 32};
}

/* The kinds of memory that are ours once the firmware's services have ended. */
static uint64_t kind_of(uint32_t kind) {
    if (kind == 9) return BOOT_TABLES;
    return kind == 1 || kind == 2 || kind == 3 || kind == 4 || kind == 7 ? BOOT_RAM : BOOT_RESERVED;
}

/* The last thing that the firmware does. Its map changes while it is asked for; then it wants to be asked again. */
static bool end_services(void *image) {
    static char map[65536];
    for (int tries = 0; tries < 4; tries++) {
        uint64_t bytes = sizeof map, key, step;
        uint32_t version;
        if (efi->boot->map(&bytes, map, &key, &step, &version)) return false;
        info.n_ranges = 0;
        for (uint64_t at = 0; at + step <= bytes && info.n_ranges < BOOT_RANGES_MAX; at += step) {
            const range *r = (const range *)(map + at);
            uint64_t kind = kind_of(r->kind);
            boot_range *last = info.n_ranges ? &info.ranges[info.n_ranges - 1] : NULL;
            if (last && last->kind == kind && last->start + last->bytes == r->start) last->bytes += r->pages * PAGE;
            else info.ranges[info.n_ranges++] = (boot_range){r->start, r->pages * PAGE, kind};
        }
        if (!efi->boot->end(image, key)) return true;
    }
    return false;
}

status efi_main(void *image, system_table *table);
status efi_main(void *image, system_table *table) {
    efi = table;
    loaded_image *self;
    volume *v;
    file *root;
    uint64_t elf, elf_bytes, conf, conf_bytes;
    efi->boot->watchdog(0, 0, 0, NULL);
    if (efi->boot->protocol(image, &image_id, (void **)&self) ||
        efi->boot->protocol(self->device, &volume_id, (void **)&v) || v->open(v, &root))
        return fail("the volume that this was started from cannot be read", "");
    if (!load(root, "leat.elf", 8, &elf, &elf_bytes)) return fail("cannot load ", "leat.elf");
    if (load(root, "leat.conf", 9, &conf, &conf_bytes)) {
        add_module(conf, conf_bytes, "leat.conf", 9);
        if (!load_modules(root, (const char *)conf, conf_bytes)) return (uint64_t)1 << 63 | 1;
    }
    if (!place_kernel((const char *)elf, elf_bytes)) return fail("no kernel: ", "leat.elf");
    describe_screen();
    for (uint64_t i = 0; i < efi->n_tables; i++) {
        bool is_2 = !memcmp(&efi->tables[i].which, &acpi_2_id, sizeof acpi_2_id);
        if (is_2 || (!info.rsdp && !memcmp(&efi->tables[i].which, &acpi_1_id, sizeof acpi_1_id)))
            info.rsdp = (uint64_t)efi->tables[i].at;
    }
    memcpy(info.loader, "UEFI", 5);
    info.magic = BOOT_MAGIC;
    if (!end_services(image)) return fail("the firmware does not let go", "");
    ((void ENTRY_SYSV (*)(uint64_t, boot_info *))info.kernel_start)(BOOT_MAGIC, &info);
    return 0;
}
