/* memory.c: pages by mmap, and how much memory this process may have. */
#include "plat/posix/posix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *plat_reserve(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

int plat_commit(void *at, size_t bytes) {
    return mprotect(at, bytes, PROT_READ | PROT_WRITE) ? PLAT_NO_MEMORY : PLAT_OK;
}

void plat_decommit(void *at, size_t bytes) {
    madvise(at, bytes, MADV_DONTNEED);
    mprotect(at, bytes, PROT_NONE);
}

void plat_release(void *at, size_t bytes) { munmap(at, bytes); }
void plat_huge_pages(void *at, size_t bytes) { madvise(at, bytes, MADV_HUGEPAGE); }
size_t plat_page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* ---- limits ------------------------------------------------------------------------------------- */

/* The number after `key` at the start of a line (or at the start of the file for an empty key); fallback where there
 * is none: "max" has no limit. */
static uint64_t file_number(const char *path, const char *key, uint64_t fallback) {
    FILE *f = fopen(path, "re");
    if (!f) return fallback;
    char line[256];
    size_t key_len = strlen(key);
    uint64_t value = fallback;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, key, key_len)) continue;
        char *end;
        unsigned long long v = strtoull(line + key_len, &end, 10);
        if (end != line + key_len) value = v;
        break;
    }
    fclose(f);
    return value;
}

typedef struct group_names {
    const char *limit, *usage, *inactive, *active;
} group_names;

static const group_names names_v1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ",
                                     "total_active_file "};
static const group_names names_v2 = {"memory.max", "memory.current", "inactive_file ", "active_file "};

/* Walks from the group at mount + path up to the mount, taking the tightest limit and the least free memory. */
static uint64_t walk_groups(const char *mount, const char *path, const group_names *names, uint64_t *free_bytes) {
    char dir[4096], file[4200];
    uint64_t least = UINT64_MAX;
    size_t mount_len = strlen(mount);
    int n = snprintf(dir, sizeof dir, "%s%s", mount, strcmp(path, "/") ? path : "");
    if (n < 0 || (size_t)n >= sizeof dir) return least;
    for (;;) {
        snprintf(file, sizeof file, "%s/%s", dir, names->limit);
        uint64_t limit = file_number(file, "", UINT64_MAX);
        if (limit < (uint64_t)1 << 62) { /* v1 says about 2^63 for no limit */
            least = MIN(least, limit);
            snprintf(file, sizeof file, "%s/%s", dir, names->usage);
            uint64_t used = file_number(file, "", 0);
            snprintf(file, sizeof file, "%s/memory.stat", dir);
            uint64_t cache = file_number(file, names->inactive, 0) + file_number(file, names->active, 0);
            used -= MIN(used, cache);
            *free_bytes = MIN(*free_bytes, limit - MIN(limit, used));
        }
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < mount_len) return least;
        *slash = 0;
    }
}

/* Whether a mount line belongs to the hierarchy: cgroup2, or cgroup (v1) with the memory controller. */
static bool mount_matches(const char *type_and_options, bool v2) {
    if (v2) return strncmp(type_and_options, "cgroup2 ", 8) == 0;
    if (strncmp(type_and_options, "cgroup ", 7)) return false;
    for (const char *p = type_and_options; (p = strstr(p, "memory")); p++)
        if ((p[-1] == ',' || p[-1] == ' ') && (p[6] == ',' || p[6] == '\n' || !p[6])) return true;
    return false;
}

/* One hierarchy of this process: finds its mount and walks the group `path` in it. */
static uint64_t hierarchy_memory(const char *root, const char *path, bool v2, uint64_t *free_bytes) {
    char file[4200], line[4096], mount[4096], mount_root[4096], at[4096];
    uint64_t least = UINT64_MAX;
    snprintf(file, sizeof file, "%s/proc/self/mountinfo", root);
    FILE *f = fopen(file, "re");
    if (!f) return least;
    while (fgets(line, sizeof line, f)) {
        char *type = strstr(line, " - ");
        if (!type || !mount_matches(type + 3, v2)) continue;
        if (sscanf(line, "%*s %*s %*s %4095s %4095s", mount_root, mount) != 2) continue;
        /* In a container the mount shows a subtree only, and the group's path may be the host's. */
        size_t root_len = strcmp(mount_root, "/") ? strlen(mount_root) : 0;
        bool inside = strncmp(path, mount_root, root_len) == 0 && (path[root_len] == '/' || !path[root_len]);
        if (snprintf(at, sizeof at, "%s%s", root, mount) >= (int)sizeof at) continue;
        least = MIN(least, walk_groups(at, inside && !strstr(path, "/..") ? path + root_len : "",
                                       v2 ? &names_v2 : &names_v1, free_bytes));
    }
    fclose(f);
    return least;
}

uint64_t posix_group_memory(const char *root, uint64_t *free_bytes) {
    char file[4200], line[4096];
    uint64_t least = UINT64_MAX;
    *free_bytes = UINT64_MAX;
    snprintf(file, sizeof file, "%s/proc/self/cgroup", root);
    FILE *f = fopen(file, "re");
    if (!f) return least;
    while (fgets(line, sizeof line, f)) { /* ID:CONTROLLERS:PATH */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *controllers++ = *path++ = 0;
        bool v2 = !*controllers, v1 = false;
        for (char *at, *name = strtok_r(controllers, ",", &at); name; name = strtok_r(NULL, ",", &at))
            v1 |= !strcmp(name, "memory");
        if (v1 || v2) least = MIN(least, hierarchy_memory(root, path, v2, free_bytes));
    }
    fclose(f);
    return least;
}

uint64_t plat_mem_total(void) {
    uint64_t group_free, machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * plat_page_bytes();
    uint64_t group = posix_group_memory("", &group_free);
    return MIN(machine, group);
}

uint64_t plat_mem_available(void) {
    uint64_t pages_free = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * plat_page_bytes(), group_free;
    uint64_t machine = file_number("/proc/meminfo", "MemAvailable:", pages_free / 1024);
    posix_group_memory("", &group_free);
    return MIN(machine * 1024, group_free);
}
