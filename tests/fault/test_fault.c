/* test_fault.c: the lower floors on a machine that fails: no hang, no leak, no wrong byte. */
#include "fault/scenario.h"
#include "pool/pool.h"
#include "store/store.h"
#include "unit/store_file.h"

/* ---- mem and pool --------------------------------------------------------------------------------- */

static bool blocks_and_arenas(void) {
    bool ok = true;
    char *a = mem_block(MEM_TOOLS, 10000), *b = mem_block(MEM_TOOLS, 1);
    if (a) memset(a, 1, 10000);
    arena r;
    err e = {0};
    bool opened = arena_open(&r, MEM_TOOLS, 4 << 20, &e) == ERR_NONE;
    if (opened != (e.text[0] == 0)) ok = false;
    for (int i = 0; i < 20; i++) {
        char *p = arena_alloc(&r, 100000, 64);
        if (p) memset(p, 1, 100000);
        ok &= p != NULL;
    }
    arena_close(&r);
    mem_block_free(a);
    mem_block_free(b);
    return ok && a && b && opened;
}

static void count(void *arg, size_t step, int part, int n_parts) {
    (void)step, (void)n_parts;
    ((int *)arg)[part]++;
}

static bool open_and_run(void) {
    pool *p;
    err e = {0};
    if (pool_open(&p, &(pool_opts){.n_workers = 4}, &e)) {
        CHECK(p == NULL && e.text[0]);
        return false;
    }
    int runs[4] = {0};
    for (size_t i = 0; i < 5; i++) pool_run(p, count, runs, i);
    pool_close(p);
    for (int i = 0; i < 4; i++) CHECK_EQ(runs[i], 10);
    return true;
}

TEST(fault_mem_and_pool) {
    every_call_fails_once(blocks_and_arenas);
    every_call_fails_once(open_and_run);
    int worked = 0;
    random_faults(blocks_and_arenas, &(fault_plan){.memory_error = 0.2}, 100, &worked);
    random_faults(open_and_run, &(fault_plan){.memory_error = 0.1}, 100, &worked);
    CHECK(worked > 0 && worked < 200);
}

/* ---- store ---------------------------------------------------------------------------------------- */

static const char *file_path;

static bool lease_everything(void) {
    gguf *g;
    store *s = NULL;
    err e = {0};
    if (gguf_open(&g, file_path, &e)) {
        CHECK(e.text[0]);
        return false;
    }
    bool ok = store_open(&s, g, NULL, &e) == ERR_NONE;
    for (uint32_t t = 0; ok && t < STORE_FILE_TENSORS; t++) {
        static const uint32_t order[STORE_FILE_TENSORS] = {4, 3, 0, 5, 2, 1};
        store_want(s, order, COUNT_OF(order));
        store_lease lease;
        uint8_t row[128];
        if (store_lease_now(s, t, NULL, &lease, &e) == ERR_NONE) {
            CHECK(store_file_same(lease.at, t, 0, lease.bytes));
            store_release(s, &lease);
        } else {
            ok = false;
        }
        if (store_gather(s, t, 0, row, sizeof row, &e) == ERR_NONE) CHECK(store_file_same(row, t, 0, sizeof row));
        else ok = false;
    }
    CHECK(ok || e.text[0]);
    store_close(s);
    gguf_close(g);
    return ok;
}

TEST(fault_store) {
    file_path = store_file(false);
    every_call_fails_once(lease_everything);
    int worked = 0;
    random_faults(lease_everything, &(fault_plan){.no_map = true, .read_delay = 0.5}, 10, &worked);
    CHECK_EQ(worked, 10); /* slow is not wrong */
    worked = 0;
    random_faults(lease_everything, &(fault_plan){.no_map = true, .read_error = 0.03, .read_delay = 0.3}, 20, &worked);
    random_faults(lease_everything, &(fault_plan){.no_map = true, .read_short = 0.05, .read_delay = 0.2}, 20, &worked);
    random_faults(lease_everything, &(fault_plan){.memory_error = 0.05}, 20, &worked);
    CHECK(worked > 0 && worked < 60);
}

TEST(fault_store_retries) {
    file_path = store_file(true);
    gguf *g;
    store *s;
    store_lease lease;
    err e = {0};
    CHECK_EQ(gguf_open(&g, file_path, &e), ERR_NONE);
    CHECK_EQ(store_open(&s, g, &(store_opts){.no_map = true}, &e), ERR_NONE);
    size_t held = mem_bytes_total();
    fault_arm(&(fault_plan){.fail_at = -1, .read_error = 1});
    CHECK_EQ(store_lease_now(s, 3, NULL, &lease, &e), ERR_IO);
    CHECK_EQ(mem_bytes_total(), held);
    /* After the block (2), then submit and read, submit and read, submit: the third read. */
    fault_arm(&(fault_plan){.fail_at = 7});
    CHECK_EQ(store_lease_now(s, 3, NULL, &lease, &e), ERR_IO);
    fault_arm(NULL);
    CHECK_EQ(mem_bytes_total(), held);
    char want[300];
    fmt(want, sizeof want, "tensor blk.3.weight: %s, 1048960 bytes at offset %llu: input or output error",
        gguf_part_path(g, 1), (unsigned long long)gguf_tensor_at(g, 3)->offset + (16 << 20));
    CHECK_STR(e.text, want);
    CHECK_EQ(store_try_lease(s, 3, &lease, &e), STORE_FAILED);
    CHECK_EQ(store_lease_now(s, 3, NULL, &lease, &e), ERR_NONE);
    CHECK(store_file_same(lease.at, 3, 0, lease.bytes));
    store_close(s);
    gguf_close(g);
}

/* A store that is closed while delayed reads are out. */
TEST(fault_store_closes_with_delayed_reads) {
    file_path = store_file(false);
    size_t held = mem_bytes_total();
    for (uint64_t seed = 1; seed <= 10; seed++) {
        gguf *g;
        store *s;
        err e = {0};
        CHECK_EQ(gguf_open(&g, file_path, &e), ERR_NONE);
        CHECK_EQ(store_open(&s, g, &(store_opts){.no_map = true}, &e), ERR_NONE);
        fault_arm(&(fault_plan){.seed = seed, .fail_at = -1, .read_delay = 0.9, .read_error = 0.2});
        uint32_t all[] = {0, 1, 2, 3, 4, 5};
        store_want(s, all, COUNT_OF(all));
        for (uint64_t i = 0; i < seed; i++) store_poll(s, 1000000);
        store_close(s);
        fault_arm(NULL);
        gguf_close(g);
        CHECK_EQ(mem_bytes_total(), held);
    }
}

/* ---- writing -------------------------------------------------------------------------------------- */

static bool write_a_file(void) {
    gguf_writer *w;
    err e = {0};
    if (gguf_writer_open(&w, 3, 32, &e)) {
        CHECK(e.text[0]);
        return false;
    }
    gguf_put_str(w, "general.architecture", STR("test"));
    gguf_put_tensor(w, "a", quant_find(QUANT_F32), 1, (uint64_t[]){1000});
    static const uint8_t zeros[4000];
    bool ok = gguf_write_begin(w, file_path, &e) == ERR_NONE &&
              gguf_write_data(w, zeros, sizeof zeros, &e) == ERR_NONE && gguf_write_finish(w, &e) == ERR_NONE;
    CHECK(ok || e.text[0]);
    gguf_writer_close(w);
    return ok;
}

TEST(fault_writes_keep_the_old_file) {
    file_path = test_path(0, "fault-write.gguf");
    CHECK(write_a_file());
    size_t bytes;
    unsigned char *before = test_slurp(file_path, &bytes), *after;
    every_call_fails_once(write_a_file);
    int worked = 0;
    for (int i = 0; i < 50; i++) {
        random_faults(write_a_file, &(fault_plan){.write_error = 0.3}, 1, &worked);
        size_t now;
        after = test_slurp(file_path, &now);
        bool same = now == bytes && memcmp(before, after, bytes) == 0;
        free(after);
        CHECK_MSG(same, "round %d left a broken file", i);
    }
    free(before);
}
