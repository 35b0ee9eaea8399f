/* bare_disks.c: what the machine has of devices, disks and files, as commands of the prompt. Next: bare_net.c. */
#include "hosted/bare.h"
#include "kernel/pci/pci.h"
#include "plat/bare/bare.h"

static int lspci_run(tools *t, const void *values) {
    (void)values;
    const pci_device *d;
    for (size_t i = 0; (d = pci_at(i)); i++) {
        tools_out(t, "%02x:%02x.%x  %04x:%04x  %s (%02x%02x%02x)\n", d->bus, d->slot, d->function, d->vendor, d->device,
                  pci_class_name(d), d->class, d->subclass, d->interface);
        for (int b = 0; b < 6; b++)
            if (d->bar[b].bytes)
                tools_out(t, "         %s %d: %llx, %llu bytes\n", d->bar[b].port ? "ports" : "memory", b,
                          (unsigned long long)d->bar[b].base, (unsigned long long)d->bar[b].bytes);
    }
    return TOOLS_OK;
}

static int lsblk_run(tools *t, const void *values) {
    (void)values;
    const disk *d;
    const bare_volume *v;
    char bytes[24], read[24];
    for (size_t i = 0; (d = disk_at(i)); i++) {
        tools_out(t, "%-12s %10s  %s, blocks of %u, %u queues of %u; read: %llu commands, %s", d->name,
                  fmt_bytes(bytes, sizeof bytes, d->n_blocks * d->block_bytes), d->model, d->block_bytes, d->n_queues,
                  d->depth, (unsigned long long)d->n_commands, fmt_bytes(read, sizeof read, d->bytes_read));
        if (d->n_errors)
            tools_out(t, "; %llu errors, the last one at block %llu", (unsigned long long)d->n_errors,
                      (unsigned long long)d->error_block);
        tools_out(t, "%s\n", d->is_off ? "; switched off" : "");
        for (size_t k = 0; (v = bare_volume_at(k)); k++)
            if (v->d == d && (v->fs || v->trouble))
                tools_out(t, "  /%-9s %10s  %s\n", v->name, fmt_bytes(bytes, sizeof bytes, v->bytes),
                          v->fs ? volume_kind(v->fs) : v->trouble);
    }
    if (!disk_count()) tools_out(t, "no disks\n");
    return TOOLS_OK;
}

/* ---- verify --------------------------------------------------------------------------------------- */

static bool verify_one(tools *t, const char *path) {
    bare_sum sum;
    char hex[65];
    int error = bare_verify(path, &sum);
    for (size_t i = 0; i < 32; i++) fmt(hex + 2 * i, 3, "%02x", sum.sha256[i]);
    if (error) tools_out(t, "%s: %s\n", path, plat_error_name(error));
    else
        tools_out(t, "%s  %s  %s\n", hex, path,
                  !sum.known    ? ""
                  : sum.matches ? "as in the manifest"
                                : "NOT as in the manifest");
    tools_out_flush(t);
    return !error && (!sum.known || sum.matches);
}

typedef struct pass {
    tools *t;
    const bare_volume *v;
    size_t nth, seen;
    char path[VOLUME_NAME_MAX + 32];
} pass;

/* The file systems are busy while they are listed: one name each time. */
static void take_nth(void *ctx, str name, uint64_t bytes, bool folder) {
    pass *p = ctx;
    (void)bytes;
    if (!folder && p->seen++ == p->nth) fmt(p->path, sizeof p->path, "/%s/%.*s", p->v->name, (int)name.len, name.ptr);
}

static int verify_run(tools *t, const void *values) {
    const bare_word *o = values;
    bool ok = true;
    if (o->word) return verify_one(t, o->word) ? TOOLS_OK : TOOLS_FAILED;
    pass p = {.t = t};
    for (size_t i = 0; (p.v = bare_volume_at(i)); i++) {
        if (p.v->trouble) tools_out(t, "/%s: %s\n", p.v->name, p.v->trouble);
        ok = ok && !p.v->trouble;
        if (!p.v->fs || !cstr_eq(volume_kind(p.v->fs), "leat")) continue;
        for (p.nth = 0; !plat_interrupted(); p.nth++) {
            p.seen = 0;
            p.path[0] = 0;
            if (bare_volume_list(i, take_nth, &p) || !p.path[0]) break;
            ok = verify_one(t, p.path) && ok;
        }
    }
    return ok ? TOOLS_OK : TOOLS_FAILED;
}

/* ---- blkperf -------------------------------------------------------------------------------------- */

enum { BLKPERF_DEPTH_MAX = 64 };
typedef struct blkperf_values {
    const char *file;
    int32_t depth;
    uint64_t bytes, piece;
} blkperf_values;
static void blkperf_defaults(void *values) {
    *(blkperf_values *)values = (blkperf_values){NULL, 32, 256 << 20, 1 << 20};
}

/* Reads from the file's beginning, `depth` pieces at a time; a read's tag is its place in memory. */
static int64_t read_through(const blkperf_values *o, plat_file *f, plat_queue *q, char *memory, uint64_t *bytes) {
    uint64_t all = MIN(o->bytes, plat_file_bytes(f)), sent = 0;
    int32_t free_places[BLKPERF_DEPTH_MAX], n_free = o->depth;
    for (int32_t i = 0; i < o->depth; i++) free_places[i] = i;
    for (*bytes = 0; *bytes < all && !plat_interrupted();) {
        while (sent < all && n_free) {
            int32_t place = free_places[--n_free];
            plat_read r = {.file = f, .offset = sent, .bytes = o->piece, .tag = (uint64_t)place};
            r.to = memory + (size_t)place * o->piece;
            int error = plat_queue_submit(q, &r, 1);
            if (error) return error;
            sent += o->piece;
        }
        plat_read done;
        if (!plat_queue_reap(q, &done, 1, UINT64_MAX)) continue;
        if (done.result <= 0) return done.result ? done.result : PLAT_IO_ERROR;
        *bytes += (uint64_t)done.result;
        free_places[n_free++] = (int32_t)done.tag;
    }
    return PLAT_OK;
}

static int blkperf_run(tools *t, const void *values) {
    const blkperf_values *o = values;
    plat_file *f = NULL;
    plat_queue *q = NULL;
    char *memory = mem_block(MEM_TOOLS, (size_t)o->depth * o->piece);
    uint64_t bytes = 0;
    int64_t error = memory ? plat_file_open_direct(&f, o->file) : PLAT_NO_MEMORY;
    if (!error) error = plat_queue_open(&q, (uint32_t)o->depth);
    uint64_t from = plat_time_ns();
    if (!error) error = read_through(o, f, q, memory, &bytes);
    uint64_t ns = MAX(plat_time_ns() - from, 1);
    char text[24];
    plat_queue_close(q);
    plat_file_close(f);
    mem_block_free(memory);
    if (error) return tools_fail(t, "%s: %s", o->file, plat_error_name((int)error));
    tools_out(t, "%s in %.3f s: %.1f MB/s, %d reads of %llu bytes at a time\n", fmt_bytes(text, sizeof text, bytes),
              (double)ns * 1e-9, (double)bytes * 1e3 / (double)ns, o->depth, (unsigned long long)o->piece);
    return TOOLS_OK;
}

static const tools_option blkperf_options[] = {
    TOOLS_ROW(TOOLS_KIND_STR, blkperf_values, file, const char *, 'f', "file", "FILE", "a file, or a disk as /nvme0",
              .required = true, .bare = true),
    TOOLS_INT(blkperf_values, depth, 'd', "depth", "N", 1, BLKPERF_DEPTH_MAX,
              "reads under way at a time (default: {})"),
    TOOLS_SIZE(blkperf_values, bytes, 'n', "bytes", "BYTES", "how much to read (default: {})"),
    TOOLS_SIZE(blkperf_values, piece, 'b', "piece", "BYTES", "of each read (default: {})"),
};

const tools_command bare_disk_commands[] = {
    BARE_COMMAND(lspci, "List the devices of the PCI buses"),
    BARE_COMMAND(lsblk, "List disks and volumes"),
    BARE_COMMAND_WORD(verify, "FILE", "Read files and show their SHA-256, beside the manifest's",
                      "a file (default: all files of all manifests)"),
    BARE_COMMAND_OPTIONS(blkperf, "FILE [options]", blkperf_values, blkperf_options, blkperf_defaults,
                         "Measure how fast a disk is read"),
    {0},
};
