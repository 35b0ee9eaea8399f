/* fault.h: a hostile machine for the tests. plat/fault wraps plat/posix at link time (ld --wrap): every call
 * passes through unless a test armed it. Seeded, counted, repeatable.
 */
#ifndef LEAT_FAULT_H
#define LEAT_FAULT_H

#include "plat/plat.h"

typedef struct fault_plan {
    uint64_t seed;
    double read_error;    /* chance that a file read fails with PLAT_IO_ERROR        */
    double read_short;    /* chance that it returns fewer bytes than asked            */
    double read_delay;    /* chance that a queued read stays unfinished for a while   */
    bool queued_only;     /* the three above strike queued reads alone, none when it is submitted */
    double memory_error;  /* chance that memory, a mapping, a thread, a queue is refused */
    double write_error;   /* chance that creating, writing, closing or renaming fails */
    double stream_error;  /* chance that a stream breaks: accept, recv, send          */
    double stream_short;  /* chance that it moves fewer bytes, or none just now       */
    int last_rename;      /* the process ends at the renaming of this number; 0: never */
    int64_t fail_at;      /* >= 0: exactly the call with this number (from 0) fails; -1 off */
    bool no_map;          /* hide PLAT_CAN_MAP                                        */
    bool no_direct;       /* files are not read past the page cache                   */
    bool caller_waits;    /* show PLAT_CALLER_WAITS                                   */
    uint64_t memory_total; /* what plat_mem_total says; 0: the truth                   */
    uint64_t memory_available; /* what plat_mem_available says; 0: the truth            */
    const plat_core *cores; /* what there are, where n_cores is not 0                  */
    int n_cores;
    int *pins; /* with them: the core of each thread that is started; none is bound */
    double memory_pressure; /* what plat_mem_pressure says, where memory_total is set  */
} fault_plan;

#define FAULT_DIED 99 /* exit status of last_rename */
void fault_arm(const fault_plan *plan); /* NULL: everything passes again */
uint64_t fault_calls(void);             /* faultable calls since the last arm */
uint64_t fault_hits(void);              /* of which failed                    */
/* Reads through the page cache, submitted since the last arm, of whose bytes nobody has said since that they may go. */
size_t fault_cached(void);
size_t fault_cached_most(void); /* as many there were at a time; 256 are counted at most */
/* Time stands still from the first call on, and leaps by ns with each; FAULT_CLOCK_RUNS: it runs again. */
#define FAULT_CLOCK_RUNS UINT64_MAX
void fault_clock(uint64_t ns);

#endif
