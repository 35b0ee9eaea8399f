/* group.c: what the control groups (v1 and v2) grant this process: memory, and time on the cores; and whether memory is
 * short there.
 *
 * Every group is bounded by its ancestors too, so each hierarchy is walked from our group up to its mount.
 */
#include "plat/posix/posix.h"

#include <stdio.h>
#include <stdlib.h>

#define NO_LIMIT ((uint64_t)1 << 62) /* v1 says about 2^63 for memory and -1 for time */

int posix_file_numbers(const char *path, const char *key, uint64_t out[2]) {
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    char line[256];
    size_t key_len = strlen(key);
    int n = 0;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, key, key_len)) continue;
        for (char *at = line + key_len, *end; n < 2; at = end) {
            out[n] = strtoull(at, &end, 10);
            if (end == at) break;
            n++;
        }
        break;
    }
    fclose(f);
    return n;
}

/* The first number in a group's file; fallback where there is none ("max") or no such file. */
static uint64_t number(const char *dir, const char *name, const char *key, uint64_t fallback) {
    char file[4200];
    uint64_t v[2];
    snprintf(file, sizeof file, "%s/%s", dir, name);
    return posix_file_numbers(file, key, v) ? v[0] : fallback;
}

/* The share of time in which somebody below `dir` waited for memory. Where a quarter of it is left, those who wait have
 * a limit of their own, which nothing that we give back would lift: then it says no more than that this is no time to
 * grow. */
static double pressure(const char *dir, const char *name, uint64_t left, uint64_t of) {
    double share = (double)number(dir, name, "some avg10=", 0) / 100;
    return left < of / 4 ? share : MIN(share, 0.05);
}

static void one_group(const char *dir, bool v2, posix_limits *l) {
    uint64_t most = number(dir, v2 ? "memory.max" : "memory.limit_in_bytes", "", NO_LIMIT);
    /* Above it everything is slow, or taken back first: the one that can fall below what is held, while we can obey. */
    uint64_t slow = number(dir, v2 ? "memory.high" : "memory.soft_limit_in_bytes", "", NO_LIMIT);
    most = MIN(most, slow);
    if (most < NO_LIMIT) {
        uint64_t used = number(dir, v2 ? "memory.current" : "memory.usage_in_bytes", "", 0);
        uint64_t cache = number(dir, "memory.stat", v2 ? "inactive_file " : "total_inactive_file ", 0) +
                         number(dir, "memory.stat", v2 ? "active_file " : "total_active_file ", 0);
        used -= MIN(used, cache);
        l->memory_bytes = MIN(l->memory_bytes, most);
        l->memory_free_bytes = MIN(l->memory_free_bytes, most - MIN(most, used));
        if (v2) l->pressure = MAX(l->pressure, pressure(dir, "memory.pressure", most - MIN(most, used), most));
        if (used > most) l->pressure = 1; /* the limit fell: of all in the group somebody has to give */
    }
    uint64_t time[2] = {NO_LIMIT, 100000}; /* microseconds: of which each period has so many */
    char file[4200];
    snprintf(file, sizeof file, "%s/cpu.max", dir);
    if (v2) {
        posix_file_numbers(file, "", time);
    } else {
        time[0] = number(dir, "cpu.cfs_quota_us", "", NO_LIMIT);
        time[1] = number(dir, "cpu.cfs_period_us", "", time[1]);
    }
    if (time[0] < NO_LIMIT && time[1]) l->cores = MIN(l->cores, MAX(1, (time[0] + time[1] - 1) / time[1]));
}

/* From the group at mount + path up to the mount. */
static void walk(const char *mount, const char *path, bool v2, posix_limits *l) {
    char dir[4096];
    size_t mount_len = strlen(mount);
    int n = snprintf(dir, sizeof dir, "%s%s", mount, strcmp(path, "/") ? path : "");
    if (n < 0 || (size_t)n >= sizeof dir) return;
    for (;;) {
        one_group(dir, v2, l);
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < mount_len) return;
        *slash = 0;
    }
}

/* Whether a mount line belongs to the hierarchy: cgroup2 for no controller, else cgroup with that controller. */
static bool mount_matches(const char *type_and_options, const char *controller) {
    if (!*controller) return strncmp(type_and_options, "cgroup2 ", 8) == 0;
    if (strncmp(type_and_options, "cgroup ", 7)) return false;
    size_t len = strlen(controller);
    for (const char *p = type_and_options; (p = strstr(p, controller)); p++)
        if ((p[-1] == ',' || p[-1] == ' ') && (p[len] == ',' || p[len] == '\n' || !p[len])) return true;
    return false;
}

/* One hierarchy of this process: finds its mount and walks from the group `path` in it. */
static void hierarchy(const char *root, const char *path, const char *controller, posix_limits *l) {
    char file[4200], line[4096], mount[4096], mount_root[4096], at[4096];
    snprintf(file, sizeof file, "%s/proc/self/mountinfo", root);
    FILE *f = fopen(file, "re");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        char *type = strstr(line, " - ");
        if (!type || !mount_matches(type + 3, controller)) continue;
        if (sscanf(line, "%*s %*s %*s %4095s %4095s", mount_root, mount) != 2) continue;
        /* In a container the mount shows a subtree only, and the group's path may be the host's. */
        size_t root_len = strcmp(mount_root, "/") ? strlen(mount_root) : 0;
        bool inside = strncmp(path, mount_root, root_len) == 0 && (path[root_len] == '/' || !path[root_len]);
        if (snprintf(at, sizeof at, "%s%s", root, mount) >= (int)sizeof at) continue;
        walk(at, inside && !strstr(path, "/..") ? path + root_len : "", !*controller, l);
    }
    fclose(f);
}

void posix_group_limits(const char *root, posix_limits *l) {
    char file[4200], line[4096];
    *l = (posix_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX, 0};
    l->pressure = pressure(root, "proc/pressure/memory", number(root, "proc/meminfo", "MemAvailable:", 0),
                           number(root, "proc/meminfo", "MemTotal:", UINT64_MAX));
    snprintf(file, sizeof file, "%s/proc/self/cgroup", root);
    FILE *f = fopen(file, "re");
    if (!f) return;
    while (fgets(line, sizeof line, f)) { /* ID:CONTROLLERS:PATH */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *controllers++ = *path++ = 0;
        if (!*controllers) hierarchy(root, path, "", l);
        for (char *at, *name = strtok_r(controllers, ",", &at); name; name = strtok_r(NULL, ",", &at))
            if (!strcmp(name, "memory") || !strcmp(name, "cpu")) hierarchy(root, path, name, l);
    }
    fclose(f);
}
