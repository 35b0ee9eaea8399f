/* posix.h: what main and the tests know of the Linux home beside plat.h, and what its files share. */
#ifndef LEAT_POSIX_H
#define LEAT_POSIX_H

#include "plat/plat.h"

#include <sched.h>

/* First call of main: Ctrl-C, SIGTERM and SIGHUP raise the flag of plat_interrupted (the third one ends the process at
 * once, with 128 + the signal), a closed stdout becomes an error instead of SIGPIPE, a mapped file that cannot be read
 * one of the step instead of SIGBUS, failed assertions print. */
void plat_posix_start(void);

int posix_error(int error_number); /* errno to plat_error */
bool posix_can_pin(void);
int posix_bind(int core); /* as plat_pin_self, whatever bound the thread before */
/* plat_file_read under a name of its own, for the threads of a queue. */
int64_t posix_read(plat_file *f, uint64_t offset, void *to, size_t bytes);
int posix_file_fd(const plat_file *f);
/* Who touched this could not read it: zeros are there now, see plat_map_mark. False where nothing is mapped. */
bool posix_map_fault(const void *touched);

/* io_uring behind plat_queue, see uring.c. NULL where the kernel or a sandbox forbids it, or leat was built without. */
typedef struct posix_uring posix_uring;
posix_uring *posix_uring_open(uint32_t depth);
void posix_uring_close(posix_uring *u);
int posix_uring_submit(posix_uring *u, const plat_read *reads, size_t n);
size_t posix_uring_reap(posix_uring *u, plat_read *done, size_t max, uint64_t timeout_ns);
/* For tests: queues opened from now on may use io_uring or not. */
void posix_uring_allow(bool allow);

/* What the control groups grant, all ancestors included; UINT64_MAX where they set no limit. `root` is put before
 * every path: "" but in tests. */
typedef struct posix_limits {
    uint64_t memory_bytes;
    uint64_t memory_free_bytes; /* left of it; file cache counts as free */
    uint64_t cores;             /* the share of time, rounded up to whole cores */
    double pressure;            /* as plat_mem_pressure: of the machine, or of a group with a limit (v2) */
} posix_limits;
void posix_group_limits(const char *root, posix_limits *l);

/* The cores of a mask, as /sys describes them; what it leaves out, or says in a way that makes no sense, is taken for a
 * machine of one memory whose processors are all cores alike. `root` as above. */
#define POSIX_PROCESSORS 8192
typedef struct posix_cores {
    int n_processors, n;
    plat_core at[POSIX_PROCESSORS];
    uint16_t of[POSIX_PROCESSORS]; /* 1 + the core of a processor; 0: it is not in the mask */
} posix_cores;
typedef struct posix_processors {
    cpu_set_t set[POSIX_PROCESSORS / CPU_SETSIZE];
} posix_processors;
void posix_cores_read(const char *root, const posix_processors *mask, posix_cores *out);

/* Up to two numbers after `key` at the start of a line of a text file (of the first line for ""); returns how many. */
int posix_file_numbers(const char *path, const char *key, uint64_t out[2]);

#endif
