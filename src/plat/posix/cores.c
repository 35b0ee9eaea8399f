/* cores.c: which processors are one core, what memory it is near and how fast it is, by the files that Linux has of
 * them under /sys/devices/system (Documentation/admin-guide/cputopology.rst, ABI/stable/sysfs-devices-node). Refuses
 * nothing: containers hide such files, and hypervisors invent them.
 */
#include "plat/posix/posix.h"

#include <stdarg.h>
#include <stdio.h>

#define FULL_SPEED 1024

typedef posix_processors numbers;

static bool has(const numbers *s, size_t i) { return CPU_ISSET_S(i, sizeof *s, s->set); }

/* A list like "0-3,8" in a file. False where there is no such file, or it holds anything else. */
static bool read_list(numbers *out, const char *path) {
    FILE *f = fopen(path, "re");
    unsigned from, to;
    int end = ',';
    memset(out, 0, sizeof *out);
    while (f && end == ',' && fscanf(f, "%u", &from) == 1) {
        to = from;
        if ((end = fgetc(f)) == '-') end = fscanf(f, "%u", &to) == 1 ? fgetc(f) : 'x';
        if (from > to || to >= POSIX_PROCESSORS) end = 'x';
        for (; end != 'x' && from <= to; from++) CPU_SET_S(from, sizeof *out, out->set);
    }
    if (f) fclose(f);
    return end == '\n' || end == EOF;
}

static void processor_path(char path[4200], const char *root, size_t processor, const char *name) {
    snprintf(path, 4200, "%s/sys/devices/system/cpu/cpu%zu/%s", root, processor, name);
}

/* A core of this processor and of those of the mask that share it, and are in no other yet. */
static void add_core(const char *root, const numbers *mask, size_t first, int32_t node, posix_cores *out) {
    char path[4200];
    uint64_t capacity[2];
    numbers siblings;
    processor_path(path, root, first, "topology/thread_siblings_list");
    bool shared = read_list(&siblings, path) && has(&siblings, first);
    processor_path(path, root, first, "cpu_capacity");
    bool said = posix_file_numbers(path, "", capacity) && capacity[0] && capacity[0] < FULL_SPEED;
    out->at[out->n++] = (plat_core){node, said ? (int32_t)capacity[0] : FULL_SPEED};
    for (size_t i = first; i < POSIX_PROCESSORS; i++) {
        if (i != first && (!shared || !has(&siblings, i) || !has(mask, i) || out->of[i])) continue;
        out->of[i] = (uint16_t)out->n;
        out->n_processors++;
    }
}

static void add_cores(const char *root, const numbers *mask, const numbers *near, int32_t node, posix_cores *out) {
    for (size_t i = 0; i < POSIX_PROCESSORS; i++)
        if (has(mask, i) && has(near, i) && !out->of[i]) add_core(root, mask, i, node, out);
}

void posix_cores_read(const char *root, const posix_processors *mask, posix_cores *out) {
    char path[4200];
    numbers nodes, near;
    out->n = out->n_processors = 0;
    memset(out->of, 0, sizeof out->of);
    snprintf(path, sizeof path, "%s/sys/devices/system/node/online", root);
    bool any = read_list(&nodes, path);
    for (size_t node = 0; any && node < POSIX_PROCESSORS; node++) {
        if (!has(&nodes, node)) continue;
        snprintf(path, sizeof path, "%s/sys/devices/system/node/node%zu/cpulist", root, node);
        if (read_list(&near, path)) add_cores(root, mask, &near, (int32_t)node, out);
    }
    add_cores(root, mask, mask, 0, out); /* those that no node has */
}
