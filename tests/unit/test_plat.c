/* test_plat.c: that this home keeps the promises of plat.h. */
#include "plat/posix/posix.h"
#include "check.h"

#include <fcntl.h>
#include <errno.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(plat_memory) {
    size_t page = plat_page_bytes(), bytes = 64 * page;
    char *p = plat_reserve(bytes);
    CHECK(p && plat_commit(p + page, 4 * page) == PLAT_OK);
    for (size_t i = 0; i < 4 * page; i++) CHECK(p[page + i] == 0);
    p[page] = 7;
    plat_huge_pages(p, bytes);
    plat_discard(p + page, 4 * page);
    p[page] = 7; /* it may still be used */
    plat_release(p, bytes);
    CHECK(plat_reserve((size_t)1 << 62) == NULL);
    CHECK(plat_mem_total() > 1 << 20 && plat_mem_available() > 1 << 20 && plat_mem_available() <= plat_mem_total());
}

static void write_file(const char *path, const char *text) {
    plat_out *o;
    CHECK_EQ(plat_out_create(&o, path, false), PLAT_OK);
    CHECK_EQ(plat_out_write(o, text, cstr_len(text)), PLAT_OK);
    CHECK_EQ(plat_out_settle(o, PLAT_OK), PLAT_OK);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

/* A machine on paper, without the pages of an earlier run. */
static const char *empty_tree(const char *name) {
    const char *root = test_path(0, name);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return root;
}

/* Writes name = text below the tree. */
static void tree(const char *root, const char *name, const char *text) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    write_file(path, text);
}

TEST(plat_group_limits_v2) {
    const char *root = empty_tree("groups-v2");
    posix_limits l;
    tree(root, "sys/fs/cgroup/memory.max", "max\n"); /* an earlier run left its end */
    tree(root, "proc/self/cgroup", "0::/a/b\n");
    tree(root, "proc/self/mountinfo",
         "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n31 23 0:5 / /tmp rw - tmpfs tmpfs rw\n");
    tree(root, "sys/fs/cgroup/memory.max", "max\n");
    tree(root, "sys/fs/cgroup/a/b/memory.max", "max\n");
    tree(root, "sys/fs/cgroup/a/memory.max", "1000000\n");
    tree(root, "sys/fs/cgroup/a/memory.current", "700000\n");
    tree(root, "sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 200000\nactive_file 100000\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.memory_bytes, 1000000);
    CHECK_EQ(l.memory_free_bytes, 600000);
    tree(root, "sys/fs/cgroup/a/b/memory.max", "500000\n");
    tree(root, "sys/fs/cgroup/a/b/memory.current", "450000\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.memory_bytes, 500000);
    CHECK_EQ(l.memory_free_bytes, 50000);
    /* In a container: the mount is the group itself, the path is outside or the host's. */
    tree(root, "sys/fs/cgroup/memory.max", "300000\n");
    tree(root, "proc/self/cgroup", "0::/../other\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.memory_bytes, 300000);
    tree(root, "proc/self/mountinfo", "30 23 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
    tree(root, "proc/self/cgroup", "0::/docker/x\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.memory_bytes, 300000);
    tree(root, "proc/self/cgroup", "0::/docker/x/a\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.memory_bytes, 300000);
    CHECK_EQ(l.memory_free_bytes, 300000);
    CHECK(l.cores == UINT64_MAX);
    tree(root, "sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.cores, 3);
    tree(root, "sys/fs/cgroup/a/cpu.max", "max 100000\n");
    tree(root, "sys/fs/cgroup/cpu.max", "5000 10000\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.cores, 1);
    tree(root, "sys/fs/cgroup/cpu.max", "max 10000\n");
    posix_group_limits("/no/such/root", &l);
    CHECK(l.memory_bytes == UINT64_MAX && l.memory_free_bytes == UINT64_MAX && l.cores == UINT64_MAX);
}

/* Who waits for memory: in the machine, or in a group of ours with a limit; and only where a quarter is not left. */
TEST(plat_group_pressure) {
    const char *root = empty_tree("groups-pressure"), *some = "some avg10=37.25 avg60=1.00 avg300=0.00 total=1\n";
    posix_limits l;
    tree(root, "proc/pressure/memory", some);
    posix_group_limits(root, &l);
    CHECK_NEAR(l.pressure, 0.37, 1e-9); /* nobody knows what is left */
    tree(root, "proc/meminfo", "MemTotal: 4000 kB\nMemFree: 10 kB\nMemAvailable: 999 kB\n");
    posix_group_limits(root, &l);
    CHECK_NEAR(l.pressure, 0.37, 1e-9);
    tree(root, "proc/meminfo", "MemTotal: 4000 kB\nMemFree: 10 kB\nMemAvailable: 1000 kB\n");
    posix_group_limits(root, &l);
    CHECK_NEAR(l.pressure, 0.05, 1e-9);
    tree(root, "proc/self/cgroup", "0::/a/b\n");
    tree(root, "proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    tree(root, "sys/fs/cgroup/a/b/memory.pressure", "some avg10=88.00\n"); /* no limit: it waits for the machine's */
    tree(root, "sys/fs/cgroup/a/memory.max", "1000000\n");
    tree(root, "sys/fs/cgroup/a/memory.current", "760000\n");
    tree(root, "sys/fs/cgroup/a/memory.pressure", "some avg10=64.00\n");
    posix_group_limits(root, &l);
    CHECK_NEAR(l.pressure, 0.64, 1e-9);
    tree(root, "sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 10000\n");
    posix_group_limits(root, &l);
    CHECK_NEAR(l.pressure, 0.05, 1e-9);
    tree(root, "proc/pressure/memory", "some avg10=0.00\n");
    tree(root, "sys/fs/cgroup/a/memory.pressure", "some avg10=0.00\n");
    posix_group_limits(root, &l);
    CHECK_NEAR(l.pressure, 0, 1e-9);
    tree(root, "sys/fs/cgroup/a/memory.current", "1010000\n");
    posix_group_limits(root, &l);
    CHECK_NEAR(l.pressure, 0, 1e-9);
    tree(root, "sys/fs/cgroup/a/memory.high", "999999\n"); /* less than is held, by whomever */
    posix_group_limits(root, &l);
    CHECK_NEAR(l.pressure, 1, 1e-9);
    tree(root, "sys/fs/cgroup/a/memory.high", "max\n");
}

TEST(plat_group_limits_v1) {
    const char *root = empty_tree("groups-v1");
    posix_limits l;
    tree(root, "proc/self/cgroup", "5:cpu,cpuacct:/c\n4:memory:/m/n\n0::/u\n");
    tree(root, "proc/self/mountinfo",
         "30 23 0:26 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n31 23 0:27 / /cg/memory rw - cgroup cgroup "
         "rw,memory\n");
    tree(root, "cg/memory/m/n/memory.limit_in_bytes", "9223372036854771712\n");
    tree(root, "cg/memory/m/memory.limit_in_bytes", "4000000\n");
    tree(root, "cg/memory/m/memory.usage_in_bytes", "1000000\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.memory_bytes, 4000000);
    CHECK_EQ(l.memory_free_bytes, 3000000);
    tree(root, "cg/memory/m/memory.soft_limit_in_bytes", "2000000\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.memory_bytes, 2000000);
    CHECK_NEAR(l.pressure, 0, 1e-9);
    tree(root, "cg/memory/m/memory.soft_limit_in_bytes", "900000\n");
    posix_group_limits(root, &l);
    CHECK_NEAR(l.pressure, 1, 1e-9);
    CHECK_EQ(l.memory_free_bytes, 0);
    CHECK(l.cores == UINT64_MAX);
    tree(root, "cg/cpu/c/cpu.cfs_quota_us", "-1\n");
    tree(root, "cg/cpu/cpu.cfs_quota_us", "400000\n");
    tree(root, "cg/cpu/cpu.cfs_period_us", "200000\n");
    posix_group_limits(root, &l);
    CHECK_EQ(l.cores, 2);
    tree(root, "cg/cpu/cpu.cfs_quota_us", "-1\n");
}

/* ---- threads ------------------------------------------------------------------------------------- */

static _Atomic uint32_t word;
static _Atomic int woken;

static void sleeper(void *arg) {
    (void)arg;
    while (atomic_load(&word) == 0) plat_wait(&word, 0, UINT64_MAX);
    atomic_fetch_add(&woken, 1);
}

TEST(plat_threads_wait_and_wake) {
    plat_thread *t[4];
    word = 0;
    woken = 0;
    for (int i = 0; i < 4; i++) CHECK_EQ(plat_thread_start(&t[i], sleeper, NULL, i % plat_core_count()), PLAT_OK);
    plat_sleep_ns(2000000);
    CHECK_EQ(woken, 0);
    word = 1;
    plat_wake(&word, UINT32_MAX);
    for (int i = 0; i < 4; i++) plat_thread_join(t[i]);
    CHECK_EQ(woken, 4);
    uint64_t from = plat_time_ns();
    plat_wait(&word, 0, UINT64_MAX); /* another value: returns at once */
    plat_wait(&word, 1, 3000000);
    uint64_t took = plat_time_ns() - from;
    CHECK_MSG(took > 2000000 && took < 60000000000u, "%llu ns", (unsigned long long)took);
}

/* ---- cores on paper ------------------------------------------------------------------------------- */

static void list_of(const char *root, const char *format, int number, const char *text) {
    char name[128];
    snprintf(name, sizeof name, format, number);
    tree(root, name, text);
}

static void siblings(const char *root, int processor, const char *text) {
    list_of(root, "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", processor, text);
}

/* The cores of processors [0, n), but those left out: as "0,8|1|2,10": "|" between cores, "/" between nodes, a capacity
 * behind "*" where it is not 1024. */
static const char *cores_of(const char *root, int n, uint64_t left_out) {
    static posix_cores c;
    static char text[1024];
    posix_processors mask = {0};
    size_t used = 0;
    for (int i = 0; i < n; i++)
        if (!(left_out >> i & 1)) CPU_SET_S((size_t)i, sizeof mask, mask.set);
    posix_cores_read(root, &mask, &c);
    CHECK_EQ(c.n_processors, CPU_COUNT_S(sizeof mask, mask.set));
    text[0] = 0;
    for (int core = 0; core < c.n; core++) {
        int seen = 0;
        if (core) used += fmt(text + used, sizeof text - used, c.at[core].node != c.at[core - 1].node ? " / " : "|");
        for (int i = 0; i < POSIX_PROCESSORS; i++)
            if (c.of[i] == core + 1) used += fmt(text + used, sizeof text - used, seen++ ? ",%d" : "%d", i);
        CHECK(seen > 0);
        if (c.at[core].capacity != 1024) used += fmt(text + used, sizeof text - used, "*%d", c.at[core].capacity);
    }
    return text;
}

/* Two sockets of four cores of two threads, numbered as servers do: first all cores, then their second threads. */
static const char *two_sockets(const char *name) {
    const char *root = empty_tree(name);
    tree(root, "sys/devices/system/node/online", "0-1\n");
    tree(root, "sys/devices/system/node/node0/cpulist", "0,2,4,6,8,10,12,14\n");
    tree(root, "sys/devices/system/node/node1/cpulist", "1,3,5,7,9,11,13,15\n");
    for (int i = 0; i < 16; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d,%d\n", i % 8, i % 8 + 8);
        siblings(root, i, text);
    }
    return root;
}

TEST(plat_cores_of_two_sockets) {
    const char *root = two_sockets("cores-2x4x2");
    CHECK_STR(cores_of(root, 16, 0), "0,8|2,10|4,12|6,14 / 1,9|3,11|5,13|7,15");
    CHECK_STR(cores_of(root, 16, 0xff01), "2|4|6 / 1|3|5|7"); /* not ours: all second threads, and a core */
    CHECK_STR(cores_of(root, 16, 0x00ff), "8|10|12|14 / 9|11|13|15");
    CHECK_STR(cores_of(root, 16, 0xaaaa), "0,8|2,10|4,12|6,14");
    CHECK_STR(cores_of(root, 20, 0x5555), "1,9|3,11|5,13|7,15 / 16|17|18|19"); /* of the last four nothing is known */
    CHECK_STR(cores_of(root, 0, 0), "");
}

TEST(plat_cores_with_holes) {
    const char *root = empty_tree("cores-holes");
    /* Processors 2 and 7 are offline, nodes 1 to 7 are not there, and node 9 has memory only. */
    tree(root, "sys/devices/system/node/online", "0,8-9\n");
    tree(root, "sys/devices/system/node/node0/cpulist", "0-1,3\n");
    tree(root, "sys/devices/system/node/node8/cpulist", "4-6\n");
    tree(root, "sys/devices/system/node/node9/cpulist", "\n");
    const char *lists[] = {"0-1\n", "0-1\n", NULL, "3\n", "4-5", "4-5", "6"};
    for (int i = 0; i < 7; i++)
        if (lists[i]) siblings(root, i, lists[i]);
    CHECK_STR(cores_of(root, 8, 0x84), "0,1|3 / 4,5|6");
}

TEST(plat_cores_of_two_speeds) {
    const char *root = empty_tree("cores-hybrid");
    for (int i = 0; i < 8; i++) {
        siblings(root, i, i > 3 ? "8191\n" : i < 2 ? "0-1\n" : "2-3\n"); /* a list without its own is not believed */
        list_of(root, "sys/devices/system/cpu/cpu%d/cpu_capacity", i, i < 4 ? "1024\n" : i < 7 ? "446\n" : "fast\n");
    }
    CHECK_STR(cores_of(root, 8, 0), "0,1|2,3|4*446|5*446|6*446|7");
}

/* What makes no sense costs the knowledge that it would have been, and no processor is lost or counted twice. */
TEST(plat_cores_of_broken_files) {
    static const char *const broken[] = {"", "\n", "x\n", "0-\n", "3-1\n", "0-8192\n", "-1\n", "0,,2\n", "0-3 4\n",
                                         "99999999999999999999\n", "0-3,"};
    CHECK_STR(cores_of(empty_tree("cores-none"), 4, 0), "0|1|2|3");
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        const char *root = two_sockets("cores-broken");
        siblings(root, 0, broken[i]);
        siblings(root, 3, broken[i]);
        CHECK_STR(cores_of(root, 16, 0), "0|2,10|4,12|6,14|8 / 1,9|3|5,13|7,15|11");
        tree(root, "sys/devices/system/node/node0/cpulist", broken[i]);
        CHECK_STR(cores_of(root, 8, 0), "1|3|5|7 / 0|2|4|6");
        tree(root, "sys/devices/system/node/online", broken[i]);
        CHECK_STR(cores_of(root, 4, 0), "0|1|2|3");
    }
    /* Two cores that both claim a processor; a node that has those of another. */
    const char *root = two_sockets("cores-quarrel");
    siblings(root, 2, "2,8,10\n");
    tree(root, "sys/devices/system/node/node1/cpulist", "0-15\n");
    CHECK_STR(cores_of(root, 16, 0), "0,8|2,10|4,12|6,14 / 1,9|3,11|5,13|7,15");
}

TEST(plat_pins_within_the_mask) {
    int cores = plat_core_count();
    CHECK(cores >= 1 && plat_processor_count() >= cores);
    for (int i = 0; i < cores; i++) {
        CHECK_EQ(plat_pin_self(i), PLAT_OK);
        CHECK_EQ(plat_pin_self(-1), PLAT_OK);
        CHECK(plat_core_at(i).node >= 0 && plat_core_at(i).capacity > 0 && plat_core_at(i).capacity <= 1024);
    }
    CHECK_EQ(plat_core_count(), cores);
    CHECK_EQ(plat_pin_self(cores), PLAT_INVALID);
    CHECK_EQ(plat_pin_self(-1), PLAT_OK);
    CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN) >= cores, 1);
}

static bool has_mask(const cpu_set_t *wanted) {
    cpu_set_t mask;
    return !sched_getaffinity(0, sizeof mask, &mask) && CPU_EQUAL(&mask, wanted);
}

/* Two who bind a thread, as two pools do: the thread is free when both have taken it back. */
TEST(plat_bindings_are_counted) {
    cpu_set_t whole, one;
    CHECK(!sched_getaffinity(0, sizeof whole, &whole));
    CHECK(!plat_pin_self(0) && !sched_getaffinity(0, sizeof one, &one) && !plat_pin_self(0));
    CHECK(!plat_pin_self(-1) && has_mask(&one));
    CHECK(!plat_pin_self(-1) && has_mask(&whole));
    CHECK(!plat_pin_self(-1) && has_mask(&whole));
}

static void note_own_mask(void *mask) { sched_getaffinity(0, sizeof(cpu_set_t), mask); }

static cpu_set_t mask_of_thread(int core) {
    cpu_set_t mask;
    plat_thread *t;
    CPU_ZERO(&mask);
    CHECK_EQ(plat_thread_start(&t, note_own_mask, &mask, core), PLAT_OK);
    plat_thread_join(t);
    return mask;
}

/* A thread that is to be bound to no core is not bound by who starts it; a mask that is not ours is left alone. */
TEST(plat_threads_have_the_mask_they_are_given) {
    cpu_set_t whole, one, seen;
    int processors = plat_processor_count();
    CHECK(!sched_getaffinity(0, sizeof whole, &whole));
    CHECK(!plat_pin_self(0) && !sched_getaffinity(0, sizeof one, &one));
    seen = mask_of_thread(-1);
    CHECK(CPU_EQUAL(&seen, &whole));
    seen = mask_of_thread(0);
    CHECK(CPU_EQUAL(&seen, &one));
    CHECK(!plat_pin_self(-1) && !sched_setaffinity(0, sizeof one, &one));
    seen = mask_of_thread(-1);
    CHECK(CPU_EQUAL(&seen, &one));
    CHECK(!sched_setaffinity(0, sizeof whole, &whole) && plat_processor_count() == processors);
}

/* ---- files --------------------------------------------------------------------------------------- */

static void settle(const char *path, const char *text, int error, int want) {
    plat_out *o;
    CHECK_EQ(plat_out_create(&o, path, true), PLAT_OK);
    CHECK_EQ(plat_out_write(o, text, strlen(text)), PLAT_OK);
    CHECK_EQ(plat_out_settle(o, error), want);
}

/* The file's bytes as text; "" where there is none. */
static const char *text_of(const char *path) {
    static char text[64];
    plat_file *f;
    text[0] = 0;
    if (plat_file_open(&f, path)) return text;
    int64_t n = plat_file_read(f, 0, text, sizeof text - 1);
    plat_file_close(f);
    CHECK(n >= 0);
    text[n] = 0;
    return text;
}

/* What stands where a private file is written first shows it to nobody. */
TEST(plat_files_replaced_in_private) {
    const char *path = test_path(0, "plat-private"), *other = test_path(1, "plat-bystander");
    char aside[600];
    struct stat st;
    plat_out *o;
    snprintf(aside, sizeof aside, "%s.part", path);
    write_file(aside, "left");
    CHECK_EQ(chmod(aside, 0666), 0);
    settle(path, "one", PLAT_OK, PLAT_OK);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    write_file(other, "whose");
    CHECK_EQ(symlink("plat-bystander", aside), 0);
    CHECK_EQ(plat_out_create(&o, path, true), PLAT_INVALID);
    CHECK_STR(text_of(other), "whose");
    CHECK_EQ(remove(aside), 0);
    CHECK_STR(text_of(path), "one");
    /* Nor does a file that is its owner's already, from the first byte on. */
    CHECK_EQ(plat_out_create(&o, path, false), PLAT_OK);
    CHECK(stat(aside, &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK_EQ(plat_out_settle(o, PLAT_NO_SPACE), PLAT_NO_SPACE);
}

TEST(plat_files_replaced_as_a_whole) {
    const char *path = test_path(0, "plat-replaced");
    char aside[600];
    plat_out *first, *second;
    snprintf(aside, sizeof aside, "%s.part", path);
    remove(path);
    write_file(aside, "what somebody left who was killed");
    settle(path, "one", PLAT_OK, PLAT_OK);
    CHECK_STR(text_of(path), "one");
    settle(path, "two", PLAT_NO_SPACE, PLAT_NO_SPACE);
    CHECK_STR(text_of(path), "one");
    CHECK(access(aside, F_OK) != 0);
    CHECK_EQ(plat_out_create(&first, path, true), PLAT_OK);
    CHECK_EQ(plat_out_write(first, "three", 5), PLAT_OK);
    CHECK_EQ(plat_out_create(&second, path, true), PLAT_AGAIN);
    CHECK(second == NULL);
    CHECK_EQ(plat_out_settle(first, PLAT_OK), PLAT_OK);
    CHECK_STR(text_of(path), "three");
    CHECK_EQ(remove(path), 0);
    CHECK_EQ(mkdir(path, 0700), 0);
    CHECK_EQ(plat_out_create(&first, path, true), PLAT_INVALID);
    CHECK(access(aside, F_OK) != 0);
    CHECK_EQ(rmdir(path), 0);
    CHECK_EQ(mkfifo(aside, 0600), 0); /* that is nothing to write to */
    CHECK_EQ(plat_out_create(&first, path, true), PLAT_IO_ERROR);
    CHECK_EQ(remove(aside), 0);
    CHECK_EQ(symlink("plat-nowhere", path), 0); /* nor is that: the link would be lost, and its file elsewhere */
    CHECK_EQ(plat_out_create(&first, path, true), PLAT_INVALID);
    CHECK(access(aside, F_OK) != 0 && remove(path) == 0);
    /* What was written as a whole and cannot get its name in the end is not thrown away. */
    CHECK_EQ(plat_out_create(&first, path, true), PLAT_OK);
    CHECK_EQ(plat_out_write(first, "four", 4), PLAT_OK);
    CHECK_EQ(mkdir(path, 0700), 0);
    CHECK_EQ(plat_out_settle(first, PLAT_OK), PLAT_INVALID);
    CHECK_STR(text_of(aside), "four");
    CHECK(rmdir(path) == 0 && remove(aside) == 0);
    snprintf(aside, sizeof aside, "%s/none", path);
    CHECK_EQ(plat_out_create(&first, aside, true), PLAT_NOT_FOUND);
}

TEST(plat_files_have_one_writer) {
    const char *path = test_path(0, "plat-written");
    plat_out *first, *second;
    write_file(path, "what was there before");
    CHECK_EQ(plat_out_create(&first, path, false), PLAT_OK);
    CHECK_EQ(plat_out_write(first, "one", 3), PLAT_OK);
    CHECK_EQ(plat_out_create(&second, path, false), PLAT_AGAIN);
    CHECK(second == NULL);
    CHECK_STR(text_of(path), "what was there before");
    CHECK_EQ(plat_out_settle(first, PLAT_OK), PLAT_OK);
    CHECK_STR(text_of(path), "one");
    /* Somebody takes the first one's file away while it is written, and a second one begins: that is not the first's to
     * rename, nor to remove. */
    char aside[600];
    snprintf(aside, sizeof aside, "%s.part", path);
    for (int error = PLAT_NO_SPACE; error <= PLAT_OK; error -= PLAT_NO_SPACE) {
        CHECK_EQ(plat_out_create(&first, path, false), PLAT_OK);
        CHECK_EQ(plat_out_write(first, "all", 3), PLAT_OK);
        CHECK_EQ(remove(aside), 0);
        CHECK_EQ(plat_out_create(&second, path, false), PLAT_OK);
        CHECK_EQ(plat_out_write(second, "half", 4), PLAT_OK);
        CHECK_EQ(plat_out_settle(first, error), error ? error : PLAT_NOT_FOUND);
        CHECK_STR(text_of(path), "one");
        CHECK_STR(text_of(aside), "half");
        CHECK_EQ(plat_out_settle(second, PLAT_NO_SPACE), PLAT_NO_SPACE);
    }
    CHECK_EQ(plat_out_create(&second, path, false), PLAT_OK);
    CHECK_EQ(plat_out_settle(second, PLAT_OK), PLAT_OK);
    CHECK_STR(text_of(path), "");
    for (int i = 0; i < 2; i++) CHECK_EQ(plat_out_create(i ? &second : &first, "/dev/null", false), PLAT_OK);
    CHECK_EQ(plat_out_settle(first, PLAT_OK), PLAT_OK);
    CHECK_EQ(plat_out_settle(second, PLAT_OK), PLAT_OK);
}

TEST(plat_files_read_map_write) {
    const char *path = test_path(0, "plat-a"), *other = test_path(1, "plat-b");
    unsigned char text[10000], back[10001];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (unsigned char)(i * 7);
    plat_out *o;
    CHECK_EQ(plat_out_create(&o, path, false), PLAT_OK);
    CHECK_EQ(plat_out_write(o, text, 5000), PLAT_OK);
    CHECK_EQ(plat_out_write(o, text + 5000, 5000), PLAT_OK);
    CHECK_EQ(plat_out_sync(o), PLAT_OK);
    CHECK_EQ(plat_out_settle(o, PLAT_OK), PLAT_OK);
    write_file(other, "old");
    CHECK_EQ(plat_file_rename(path, "/dev/null"), PLAT_INVALID); /* a device keeps its place */
    struct stat st;
    CHECK_EQ(chmod(path, 0644) | chmod(other, 0640), 0);
    CHECK_EQ(plat_file_rename(path, other), PLAT_OK);
    CHECK_EQ(stat(other, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0640); /* who might not read the old one may not read the new one */
    plat_file *f;
    CHECK_EQ(plat_file_open(&f, path), PLAT_NOT_FOUND);
    CHECK(f == NULL);
    CHECK_EQ(plat_file_open(&f, other), PLAT_OK);
    CHECK_EQ(plat_file_bytes(f), 10000);
    CHECK_EQ(plat_file_read(f, 0, back, sizeof back), 10000);
    CHECK(memcmp(text, back, 10000) == 0);
    CHECK_EQ(plat_file_read(f, 9990, back, 100), 10);
    CHECK_EQ(plat_file_read(f, 20000, back, 100), 0);
    CHECK_EQ(plat_file_read(f, UINT64_MAX, back, 100), PLAT_INVALID);
    const void *at;
    CHECK_EQ(plat_file_map(f, &at), PLAT_OK);
    plat_huge_pages(at, 10000); /* a hint, which changes no byte */
    CHECK(memcmp(text, at, 10000) == 0);
    plat_file_unmap(at);
    plat_file_close(f);
    CHECK_EQ(plat_file_remove(other), PLAT_OK);
    CHECK_EQ(plat_file_remove(other), PLAT_NOT_FOUND);
    plat_file_close(NULL);
}

TEST(plat_files_refused) {
    plat_file *f;
    plat_out *o;
    CHECK_EQ(plat_file_open(&f, "/"), PLAT_INVALID);
    const char *fifo = test_path(0, "a-pipe");
    remove(fifo);
    CHECK_EQ(mkfifo(fifo, 0666), 0);
    CHECK_EQ(plat_file_open(&f, fifo), PLAT_INVALID);
    remove(fifo);
    CHECK_EQ(plat_out_create(&o, "/no/such/directory/x", false), PLAT_NOT_FOUND);
    CHECK_EQ(plat_out_create(&o, "/", false), PLAT_INVALID);
    CHECK_EQ(plat_out_create(&o, "", false), PLAT_INVALID);
    const char *empty = test_path(0, "empty");
    write_file(empty, "");
    CHECK_EQ(plat_file_open(&f, empty), PLAT_OK);
    const void *at;
    CHECK_EQ(plat_file_map(f, &at), PLAT_INVALID);
    plat_file_close(f);
    if (plat_out_create(&o, "/dev/full", false) == PLAT_OK) {
        CHECK_EQ(plat_out_write(o, "x", 1), PLAT_NO_SPACE);
        CHECK_EQ(plat_out_settle(o, PLAT_OK), PLAT_OK);
    }
    struct rlimit files, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = files.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int error = plat_file_open(&f, empty);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    CHECK_STR(plat_error_name(error), "too many files are open");
    CHECK_STR(plat_error_name(PLAT_NO_SPACE), "no space left");
    CHECK_STR(plat_error_name(-1000), "unknown error");
    CHECK_STR(plat_error_name(1), "unknown error");
}

/* With or without io_uring. */
static void check_queue(bool uring) {
    enum { BYTES = 1 << 20, PIECE = 10007, DEPTH = 16 };
    static unsigned char text[BYTES], back[BYTES];
    for (size_t i = 0; i < BYTES; i++) text[i] = (unsigned char)(i * 31 >> 3);
    const char *path = test_path(0, "queue");
    plat_out *o;
    CHECK_EQ(plat_out_create(&o, path, false), PLAT_OK);
    CHECK_EQ(plat_out_write(o, text, BYTES), PLAT_OK);
    CHECK_EQ(plat_out_settle(o, PLAT_OK), PLAT_OK);
    plat_file *f;
    CHECK_EQ(plat_file_open(&f, path), PLAT_OK);
    CHECK_EQ(fcntl(posix_file_fd(f), F_GETFL) & O_NONBLOCK, 0); /* else older kernels refuse to read it */
    plat_queue *q;
    posix_uring_allow(uring);
    CHECK_EQ(plat_queue_open(&q, 0), PLAT_INVALID);
    CHECK_EQ(plat_queue_open(&q, DEPTH), PLAT_OK);
    posix_uring_allow(true);
    if (!uring) CHECK_STR(plat_queue_kind(q), "8 threads");
    plat_read done[DEPTH];
    CHECK_EQ(plat_queue_reap(q, done, DEPTH, UINT64_MAX), 0); /* nothing under way: returns */
    size_t at = 0, in_flight = 0, got = 0;
    while (got < BYTES) {
        while (at < BYTES && in_flight < DEPTH) {
            plat_read r = {.file = f, .offset = at, .to = back + at, .bytes = PIECE, .tag = at};
            if (at + PIECE > BYTES) r.to = back + at, r.bytes = BYTES - at;
            CHECK_EQ(plat_queue_submit(q, &r, 1), PLAT_OK);
            at += r.bytes;
            in_flight++;
        }
        if (in_flight == DEPTH) CHECK_EQ(plat_queue_submit(q, done, 1), PLAT_NO_SPACE);
        size_t n = plat_queue_reap(q, done, 5, UINT64_MAX);
        CHECK(n >= 1 && n <= 5);
        for (size_t i = 0; i < n; i++) {
            CHECK_EQ(done[i].result, done[i].bytes);
            CHECK((unsigned char *)done[i].to == back + done[i].tag);
            got += done[i].bytes;
        }
        in_flight -= n;
    }
    CHECK(memcmp(text, back, BYTES) == 0);
    plat_read past = {.file = f, .offset = BYTES - 5, .to = back, .bytes = 10};
    CHECK_EQ(plat_queue_submit(q, &past, 1), PLAT_OK);
    CHECK_EQ(plat_queue_reap(q, done, 1, UINT64_MAX), 1);
    CHECK_EQ(done[0].result, 5);
    plat_read many[DEPTH];
    for (size_t i = 0; i < DEPTH; i++) many[i] = (plat_read){.file = f, .to = back, .bytes = 1, .offset = i};
    for (size_t i = 0; i < DEPTH; i++) many[i].to = back + i;
    CHECK_EQ(plat_queue_submit(q, many, DEPTH), PLAT_OK);
    plat_queue_close(q); /* with reads under way */
    plat_queue_close(NULL);
    plat_file_close(f);
}

TEST(plat_queue_reads) {
    check_queue(true);
    check_queue(false);
}

/* Of this thread, and those it starts; false where there is no seccomp. */
static bool refuse_uring_enter(unsigned error) {
    struct sock_filter steps[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 1),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
                                  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {COUNT_OF(steps), steps};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

enum { REFUSED_READS = 12, REFUSED_BYTES = 5000 };

typedef struct refusal {
    unsigned error;
    size_t before; /* reads that are submitted before; 0: the queue is opened after */
    plat_file *file;
    bool refused;
    char kind[16];
    int64_t got[REFUSED_READS];
    unsigned char back[REFUSED_READS][REFUSED_BYTES];
} refusal;

static void read_while_refused(void *arg) {
    refusal *r = arg;
    plat_queue *q;
    plat_read done[REFUSED_READS];
    if (!r->before) r->refused = refuse_uring_enter(r->error);
    if (plat_queue_open(&q, REFUSED_READS)) return;
    snprintf(r->kind, sizeof r->kind, "%s", plat_queue_kind(q));
    size_t n_reads = r->before || r->kind[0] == '8' ? REFUSED_READS : 0, back = 0; /* a wrong queue is not waited for */
    for (size_t i = 0; i < n_reads; i++) {
        if (i && i == r->before) r->refused = refuse_uring_enter(r->error);
        plat_read read = {.file = r->file, .offset = i, .to = r->back[i], .bytes = REFUSED_BYTES, .tag = i};
        if (plat_queue_submit(q, &read, 1)) break;
    }
    if (r->before == REFUSED_READS) r->refused = refuse_uring_enter(r->error);
    while (back < n_reads) {
        size_t n = plat_queue_reap(q, done, REFUSED_READS, UINT64_MAX);
        for (size_t i = 0; i < n; i++) r->got[done[i].tag] = done[i].result;
        back += n;
    }
    plat_queue_close(q);
}

/* A sandbox that lets a ring be made and refuses to enter it; then one that closes while reads are under way. */
TEST(plat_queue_reads_where_io_uring_is_refused) {
    static const unsigned errors[] = {EPERM, ENOSYS};
    static unsigned char text[2 * REFUSED_BYTES];
    static refusal r;
    const char *path = test_path(0, "queue");
    for (size_t i = 0; i < sizeof text; i++) text[i] = (unsigned char)(i * 31 >> 3);
    plat_out *o;
    CHECK_EQ(plat_out_create(&o, path, false), PLAT_OK);
    CHECK_EQ(plat_out_write(o, text, sizeof text), PLAT_OK);
    CHECK_EQ(plat_out_settle(o, PLAT_OK), PLAT_OK);
    for (size_t i = 0; i < 8; i++) {
        plat_thread *t;
        r = (refusal){.error = errors[i % 2], .before = i / 2 * 4};
        CHECK_EQ(plat_file_open(&r.file, path), PLAT_OK);
        CHECK_EQ(plat_thread_start(&t, read_while_refused, &r, -1), PLAT_OK);
        plat_thread_join(t);
        plat_file_close(r.file);
        if (!r.refused) test_skip("no seccomp here");
        if (!r.before) CHECK_STR(r.kind, "8 threads");
        for (size_t k = 0; k < REFUSED_READS; k++)
            CHECK_MSG(r.got[k] == REFUSED_BYTES && !memcmp(r.back[k], text + k, REFUSED_BYTES), "read %zu: %lld", k,
                      (long long)r.got[k]);
    }
}

/* Past the page cache: aligned windows; the end of the file comes as a short read. */
TEST(plat_direct_reads) {
    enum { BYTES = 70001 };
    static _Alignas(4096) unsigned char back[81920];
    const char *path = test_path(0, "direct");
    unsigned char *text = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++) text[i] = (unsigned char)(i * 17 >> 2);
    plat_out *o;
    CHECK_EQ(plat_out_create(&o, path, false), PLAT_OK);
    CHECK_EQ(plat_out_write(o, text, BYTES), PLAT_OK);
    CHECK_EQ(plat_out_sync(o), PLAT_OK);
    CHECK_EQ(plat_out_settle(o, PLAT_OK), PLAT_OK);
    plat_file *f;
    CHECK_EQ(plat_file_open_direct(&f, "/no/such"), PLAT_NOT_FOUND);
    int error = plat_file_open_direct(&f, path);
    if (error == PLAT_UNSUPPORTED) {
        free(text);
        test_skip("this file system has no direct reads");
    }
    CHECK_EQ(error, PLAT_OK);
    size_t align = plat_file_align(f);
    CHECK(align > 1 && align <= 4096);
    for (int uring = 0; uring < 2; uring++) {
        plat_queue *q;
        posix_uring_allow(uring);
        CHECK_EQ(plat_queue_open(&q, 2), PLAT_OK);
        posix_uring_allow(true);
        memset(back, 0, sizeof back);
        plat_read r = {.file = f, .offset = 4096, .to = back, .bytes = sizeof back - 8192}, done;
        CHECK_EQ(plat_queue_submit(q, &r, 1), PLAT_OK);
        CHECK_EQ(plat_queue_reap(q, &done, 1, UINT64_MAX), 1);
        CHECK_EQ(done.result, BYTES - 4096);
        CHECK(memcmp(back, text + 4096, BYTES - 4096) == 0);
        plat_queue_close(q);
    }
    CHECK_EQ(plat_file_read(f, 8192, back, 4096), 4096);
    CHECK(memcmp(back, text + 8192, 4096) == 0);
    plat_file_close(f);
    free(text);
}

/* ---- process ------------------------------------------------------------------------------------- */

static int child_status(void (*fn)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        fn();
        _exit(99);
    }
    int status;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void interrupted_thrice(void) {
    plat_posix_start();
    if (plat_interrupted()) _exit(1);
    raise(SIGINT);
    if (!plat_interrupted()) _exit(2);
    plat_interrupt_clear();
    if (plat_interrupted()) _exit(3);
    raise(SIGTERM);
    if (!plat_interrupted()) _exit(4);
    plat_interrupt_clear();
    if (!plat_interrupted()) _exit(5); /* SIGTERM stays */
    raise(SIGINT);
    raise(SIGINT);
    raise(SIGINT);
    _exit(6);
}

static void writes_to_nobody(void) {
    plat_posix_start();
    int ends[2];
    if (pipe(ends) || dup2(ends[1], 1) != 1 || close(ends[0])) _exit(1);
    _exit(plat_stdout_write("x", 1) == PLAT_CLOSED ? 40 : 2);
}

/* Nothing to read, nor will there be. */
static void reads_and_is_ended(void) {
    plat_posix_start();
    int ends[2];
    char byte;
    if (pipe2(ends, O_NONBLOCK) || dup2(ends[0], 0) != 0) _exit(1);
    alarm(30); /* a hang ends the child */
    raise(SIGTERM);
    _exit(plat_stdin_read(&byte, 1) == PLAT_INTERRUPTED ? 43 : 2);
}

static bool sleeps(pid_t pid) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f) fclose(f);
    const char *name_end = strrchr(text, ')');
    return !name_end || name_end[2] == 'S';
}

static void reads_interrupted(void) {
    plat_posix_start();
    int ends[2];
    char c;
    if (pipe(ends) || dup2(ends[0], 0) != 0 || write(ends[1], "ab", 2) != 2) _exit(1);
    if (plat_stdin_read(&c, 1) != 1 || c != 'a') _exit(2);
    if (plat_stdin_read(&c, 1) != 1 || c != 'b') _exit(3);
    alarm(30); /* a hang ends the child */
    pid_t parent = getpid();
    if (fork() == 0) {
        while (!sleeps(parent)) usleep(1000);
        kill(parent, SIGINT);
        _exit(0);
    }
    if (plat_stdin_read(&c, 1) != PLAT_INTERRUPTED) _exit(4);
    close(ends[1]);
    plat_exit(41);
}

static void asserts(void) {
    plat_posix_start();
    if (!freopen("/dev/null", "w", stderr)) _exit(1);
    ASSERT(COUNT_OF("ab") == 2);
}

TEST(plat_process) {
    CHECK_EQ(child_status(interrupted_thrice), 130);
    CHECK_EQ(child_status(writes_to_nobody), 40);
    CHECK_EQ(child_status(reads_and_is_ended), 43);
    CHECK_EQ(child_status(reads_interrupted), 41);
    CHECK_EQ(child_status(asserts), -SIGABRT);
}

/* A mapped file that is made shorter, and whole again. Each check that fails has a status of its own. */
static void loses_what_is_mapped(void) {
    enum { PAGE = 65536, N = 4 * PAGE };
    static char bytes[N];
    const char *path = test_path(0, "mapped"), *other = test_path(1, "mapped too");
    const void *at, *beside;
    plat_file *f, *g;
    uint64_t offset = 0, mark, none;
    memset(bytes, 'x', N);
    plat_posix_start();
    for (int i = 0; i < 2; i++) {
        FILE *out = fopen(i ? other : path, "wb");
        if (!out || fwrite(bytes, 1, N, out) != N || fclose(out)) _exit(1);
    }
    if (plat_file_open(&f, path) || plat_file_open(&g, other)) _exit(2);
    if (plat_file_map(f, &at) || plat_file_map(g, &beside)) _exit(3);
    const volatile char *p = at;
    mark = plat_map_mark();
    if (p[2 * PAGE + 7] != 'x' || plat_map_failed(at, mark, &offset)) _exit(4);
    if (truncate(path, PAGE)) _exit(5);
    if (p[2 * PAGE + 7] != 0 || p[PAGE - 1] != 'x') _exit(6); /* the first touch of what is gone */
    if (!plat_map_failed(at, mark, &offset) || offset != 2 * PAGE + 7) _exit(7);
    if (plat_map_failed(beside, mark, &none)) _exit(8);
    mark = plat_map_mark();
    if (plat_map_failed(at, mark, &offset) || p[3 * PAGE] != 0) _exit(9); /* still gone */
    if (!plat_map_failed(at, mark, &offset) || offset != 3 * PAGE) _exit(10);
    FILE *out = fopen(path, "rb+");
    if (!out || fwrite(bytes, 1, N, out) != N || fclose(out)) _exit(11);
    mark = plat_map_mark();
    for (size_t i = 0; i < N; i++)
        if (p[i] != 'x') _exit(12);
    if (plat_map_failed(at, mark, &offset)) _exit(13);
    plat_file_unmap(at);
    plat_file_unmap(beside);
    plat_file_close(f);
    plat_file_close(g);
    _exit(44);
}

TEST(plat_mapped_file_that_cannot_be_read) {
    CHECK_EQ(child_status(loses_what_is_mapped), 44);
}

TEST(plat_machine) {
    char name[64], small[4];
    CHECK(plat_cpu_name(name, sizeof name) > 0 && name[0]);
    CHECK(plat_cpu_name(small, sizeof small) == 3);
    CHECK(plat_load() >= 0 && plat_load() < 1e6);
    uint64_t a[2] = {0}, b[2] = {0};
    plat_entropy(a, sizeof a);
    plat_entropy(b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(plat_time_ns() <= plat_time_ns() && plat_wall_ns() > 1600000000000000000u);
    CHECK(plat_terminal_columns() > 0);
    CHECK((plat_caps() & (PLAT_CAN_MAP | PLAT_CAN_WRITE)) == (PLAT_CAN_MAP | PLAT_CAN_WRITE));
}

/* ---- streams ---------------------------------------------------------------------------------------- */

static int client_of(uint16_t port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    return fd;
}

TEST(plat_streams) {
    plat_stream *listener, *s, *again;
    char text[16];
    CHECK_EQ(plat_listen(&listener, "127.0.0.1", 0), PLAT_OK);
    uint16_t port = plat_stream_port(listener);
    CHECK(port != 0);
    CHECK_EQ(plat_listen(&again, "127.0.0.1", port), PLAT_EXISTS);
    CHECK_EQ(plat_listen(&again, "no.such.host.invalid", port), PLAT_NOT_FOUND);
    CHECK(plat_accept(listener, &s) == PLAT_AGAIN && !s);
    plat_ready r[2] = {{.stream = listener, .want = PLAT_READY_RECV}};
    CHECK_EQ(plat_poll(r, 1, 1000000), 0);
    int fd = client_of(port);
    CHECK(plat_poll(r, 1, 1000000000) == 1 && r[0].got == PLAT_READY_RECV);
    CHECK_EQ(plat_accept(listener, &s), PLAT_OK);
    CHECK_EQ(plat_recv(s, text, sizeof text), PLAT_AGAIN);
    CHECK_EQ(plat_send(s, "hello", 5), 5);
    CHECK(read(fd, text, sizeof text) == 5 && !memcmp(text, "hello", 5));
    CHECK_EQ(write(fd, "hi", 2), 2);
    r[1] = (plat_ready){.stream = s, .want = PLAT_READY_RECV | PLAT_READY_SEND};
    CHECK(plat_poll(r, 2, 1000000000) == 1 && r[1].got == (PLAT_READY_RECV | PLAT_READY_SEND));
    CHECK_EQ(plat_recv(s, text, sizeof text), 2);
    plat_stream_end(s);
    CHECK_EQ(read(fd, text, sizeof text), 0);
    close(fd);
    r[1].want = 0;
    CHECK(plat_poll(r + 1, 1, 1000000000) == 1 && r[1].got & PLAT_READY_GONE);
    CHECK(plat_recv(s, text, sizeof text) <= 0);
    plat_stream_close(s);
    plat_stream_close(listener);
    plat_stream_close(NULL);
}

/* Who has closed one side still reads; who has closed both refuses what is sent. */
TEST(plat_streams_closed_by_half) {
    plat_stream *listener, *s;
    char text[16];
    CHECK_EQ(plat_listen(&listener, "127.0.0.1", 0), PLAT_OK);
    for (int both = 0; both < 2; both++) {
        int fd = client_of(plat_stream_port(listener));
        plat_ready r = {.stream = listener, .want = PLAT_READY_RECV};
        CHECK(plat_poll(&r, 1, 10000000000) == 1 && plat_accept(listener, &s) == PLAT_OK);
        if (both) close(fd);
        else CHECK_EQ(shutdown(fd, SHUT_WR), 0);
        r = (plat_ready){.stream = s, .want = PLAT_READY_END};
        CHECK_EQ(plat_poll(&r, 1, 10000000000), 1);
        CHECK_EQ(r.got, PLAT_READY_END);
        r.want = 0; /* it is not told again and again to who does not ask */
        CHECK_EQ(plat_poll(&r, 1, 0), 0);
        CHECK_EQ(plat_send(s, "hello", 5), 5);
        if (both) CHECK(plat_poll(&r, 1, 10000000000) == 1 && r.got & PLAT_READY_GONE);
        else CHECK(read(fd, text, sizeof text) == 5 && plat_poll(&r, 1, 0) == 0);
        plat_stream_close(s);
        if (!both) close(fd);
    }
    plat_stream_close(listener);
}
