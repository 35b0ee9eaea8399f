/* scenario.h: a piece of work, run again and again on a machine that fails. */
#ifndef LEAT_SCENARIO_H
#define LEAT_SCENARIO_H

#include "check.h"
#include "mem/mem.h"
#include "plat/fault/fault.h"

/* A scenario returns true when everything it asked for worked; else it has been told why. */
typedef bool scenario(void);

/* Runs it with the first call failing, then the second, and so on, until a run meets no failure. */
static inline void every_call_fails_once(scenario *run) {
    size_t held = mem_bytes_total();
    for (int64_t at = 0;; at++) {
        fault_arm(&(fault_plan){.seed = 1, .fail_at = at, .no_map = true});
        bool worked = run();
        uint64_t hits = fault_hits(), calls = fault_calls();
        fault_arm(NULL);
        CHECK_MSG(mem_bytes_total() == held, "call %lld failing leaks %zu bytes", (long long)at,
                  mem_bytes_total() - held);
        CHECK_MSG(worked || hits, "failed without a fault");
        if (!hits) {
            CHECK(at >= 1 && calls <= (uint64_t)at);
            return;
        }
        CHECK_MSG(at < 5000, "no end after %lld calls", (long long)at);
    }
}

static inline void random_faults(scenario *run, const fault_plan *plan, int rounds, int *worked) {
    size_t held = mem_bytes_total();
    for (int i = 0; i < rounds; i++) {
        fault_plan p = *plan;
        p.seed = (uint64_t)i + 1;
        p.fail_at = -1;
        fault_arm(&p);
        *worked += run();
        fault_arm(NULL);
        CHECK_MSG(mem_bytes_total() == held, "seed %d leaks %zu bytes", i + 1, mem_bytes_total() - held);
    }
}

#endif
