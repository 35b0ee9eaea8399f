/* What bounds tokens from streamed weights: reading them, or computing as the quickest did. */
#include "check.h"
#include "tools/load.h"

static bool near(double a, double b) { return a > b * 0.999 && a < b * 1.001; }

/* 16 tokens, of which the first 8, slowed by something, take 1 s computing and 0.2 s waiting, the others 0.08 and
 * 0.04 s. */
static load_meter slow_beginning(leat_stats *now) {
    load_meter m = {.before = {.stall_ns = 7, .weights_bytes = 1}, .row_stall_ns = 7};
    m.n_tokens = m.n_row = 8;
    m.ns = m.row_ns = 1200000000;
    load_meter_end_row(&m, 200000007);
    m.n_tokens = 16;
    m.n_row = 8;
    m.ns += m.row_ns = 120000000;
    load_meter_end_row(&m, 240000007);
    *now = (leat_stats){.stall_ns = 240000007, .weights_bytes = 1};
    return m;
}

TEST(load_bound_is_of_the_quickest_tokens) {
    leat_stats now;
    load_meter m = slow_beginning(&now);
    CHECK(near(load_meter_compute_ns(&m, &now), 1e7));
    now.read_bytes = 16000000; /* a token 1 MB, by a disk that brings 1 GB/s: 1 ms */
    now.disk_bytes_s = 1e9;
    now.busy_ns = 32000000;
    now.expert_hits = 30;
    now.expert_misses = 10;
    now.major_faults = 8;
    load_reads r = load_meter_read(&m, &now, load_meter_compute_ns(&m, &now));
    CHECK(near(r.bound, 100) && near(r.tok_s, 16 / 1.32)); /* 12 % of it, where time without stalls would be 82 */
    CHECK(near(r.hit_rate, 0.75) && near(r.token_bytes, 1e6) && near(r.bytes_s, 5e8) && near(r.disk_share, 0.5));
    CHECK(near(r.stalled, 0.24 / 1.32) && near(r.major_faults, 0.5));
}

TEST(load_bound_is_of_the_disk) {
    leat_stats now;
    load_meter m = slow_beginning(&now);
    now.read_bytes = 1600000000; /* a token 100 MB: 50 ms at 2 GB/s */
    now.disk_bytes_s = 2e9;
    now.busy_ns = 1600000000; /* seen are 1 GB/s */
    CHECK(near(load_meter_read(&m, &now, 1e7).bound, 20));
    now.disk_bytes_s = 0; /* never probed: what was seen */
    load_reads r = load_meter_read(&m, &now, 0);
    CHECK(near(r.bound, 10) && r.disk_share == 0);
    now.read_bytes = 0;
    CHECK(load_meter_read(&m, &now, 0).bound == 0); /* nothing bounds it */
}

TEST(load_few_tokens_are_all_of_them) {
    load_meter m = {.n_tokens = 4, .ns = 50000000};
    leat_stats now = {.stall_ns = 10000000};
    CHECK(near(load_meter_compute_ns(&m, &now), 1e7));
}
