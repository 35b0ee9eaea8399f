/* test_store.c: leases give the file's bytes in every mode; what fails names its file and place. */
#include "store/store.h"
#include "store_file.h"

#include <unistd.h>

static gguf *open_file(const char *path) {
    gguf *g;
    err e;
    CHECK_MSG(gguf_open(&g, path, &e) == ERR_NONE, "%s", e.text);
    CHECK_EQ(gguf_tensor_count(g), STORE_FILE_TENSORS);
    return g;
}

static store *open_store(const gguf *g, bool no_map) {
    store *s;
    err e;
    CHECK_MSG(store_open(&s, g, &(store_opts){.no_map = no_map}, &e) == ERR_NONE, "%s", e.text);
    CHECK_EQ(store_mode_of(s), no_map ? STORE_RESIDENT : STORE_MAPPED);
    return s;
}

static void check_all_leases(const char *path, bool no_map) {
    size_t held = mem_bytes_total();
    gguf *g = open_file(path);
    store *s = open_store(g, no_map);
    err e;
    for (uint32_t t = 0; t < STORE_FILE_TENSORS; t++) {
        uint8_t some[100];
        uint64_t bytes = gguf_tensor_at(g, t)->bytes;
        CHECK_EQ(store_gather(s, t, bytes - 100, some, 100, &e), ERR_NONE); /* also before it is there */
        CHECK(store_file_same(some, t, bytes - 100, 100));
        CHECK_EQ(store_gather(s, t, bytes, some, 0, &e), ERR_NONE);
        CHECK_EQ(store_gather(s, t, bytes - 99, some, 100, &e), ERR_ARGUMENT);
        CHECK_EQ(store_gather(s, t, UINT64_MAX, some, 2, &e), ERR_ARGUMENT);
        CHECK_EQ(store_gather(s, t, 1, some, SIZE_MAX, &e), ERR_ARGUMENT);
    }
    store_lease a[STORE_FILE_TENSORS], b;
    for (uint32_t t = 0; t < STORE_FILE_TENSORS; t++) {
        CHECK_MSG(store_lease_now(s, t, NULL, &a[t], &e) == ERR_NONE, "%s", e.text);
        CHECK_EQ(a[t].bytes, store_file_rows[t] * 128);
    }
    for (uint32_t t = 0; t < STORE_FILE_TENSORS; t++) {
        uint8_t some[8];
        CHECK(store_file_same(a[t].at, t, 0, a[t].bytes));
        CHECK_EQ(store_try_lease(s, t, &b, &e), STORE_READY);
        CHECK(b.at == a[t].at);
        CHECK_EQ(store_gather(s, t, 3, some, sizeof some, &e), ERR_NONE);
        CHECK(store_file_same(some, t, 3, sizeof some));
        store_release(s, &b);
        store_release(s, &a[t]);
    }
    store_close(s);
    gguf_close(g);
    CHECK_EQ(mem_bytes_total(), held);
}

TEST(store_leases_give_the_bytes) {
    const char *path = store_file(false);
    check_all_leases(path, false);
    check_all_leases(path, true);
    path = store_file(true);
    check_all_leases(path, false);
    check_all_leases(path, true);
    store_close(NULL);
}

TEST(store_wants_are_asynchronous) {
    gguf *g = open_file(store_file(false));
    store *s = open_store(g, true);
    uint32_t all[STORE_FILE_TENSORS] = {3, 3, 0, 5, 4, 2};
    store_want(s, all, COUNT_OF(all));
    store_want(s, all, COUNT_OF(all));
    store_lease lease;
    int ready = 0;
    bool got[STORE_FILE_TENSORS] = {false};
    for (int i = 0; ready < STORE_FILE_TENSORS && i < 1000000; i++) {
        uint32_t t = (uint32_t)i % STORE_FILE_TENSORS; /* tensor 1 was never wanted: asking for a lease is a want */
        store_state state = got[t] ? STORE_PENDING : store_try_lease(s, t, &lease, NULL);
        CHECK(state != STORE_FAILED);
        if (state == STORE_READY) {
            CHECK(store_file_same(lease.at, t, 0, lease.bytes));
            got[t] = true;
            ready++;
        }
        store_poll(s, i % 2 ? 0 : 1000000);
    }
    CHECK_EQ(ready, STORE_FILE_TENSORS);
    store_close(s);
    /* Closed with reads under way, and with a line behind them. */
    for (int i = 0; i < 20; i++) {
        s = open_store(g, true);
        store_want(s, all, COUNT_OF(all));
        if (i % 2) store_poll(s, 100000);
        store_close(s);
    }
    gguf_close(g);
}

TEST(store_names_what_it_could_not_read) {
    size_t held = mem_bytes_total();
    const char *path = store_file(false);
    gguf *g = open_file(path);
    store *s = open_store(g, true);
    store_lease lease;
    err e = {0};
    char want[400];
    /* The file shrinks under us: the last tensor ends early, in its middle. */
    const gguf_tensor *info = gguf_tensor_at(g, 5);
    CHECK_EQ(truncate(path, (off_t)(info->offset + 1000)), 0);
    CHECK_EQ(store_lease_now(s, 5, NULL, &lease, &e), ERR_IO);
    fmt(want, sizeof want, "tensor blk.5.weight: %s ends early: 1000 of 4224 bytes at offset %llu", path,
        (unsigned long long)info->offset);
    CHECK_STR(e.text, want);
    CHECK_EQ(store_try_lease(s, 5, &lease, &e), STORE_FAILED);
    uint8_t some[64];
    CHECK_EQ(store_gather(s, 5, 990, some, 64, &e), ERR_IO);
    CHECK_EQ(store_gather(s, 5, 900, some, 64, &e), ERR_NONE);
    CHECK(store_file_same(some, 5, 900, 64));
    store_file(false); /* the writer renames a new file into place: the open one stays short */
    CHECK_EQ(store_lease_now(s, 5, NULL, &lease, &e), ERR_IO);
    /* No memory for it: another text, and a later want succeeds. */
    mem_limit_set(mem_bytes_total() + (1 << 20));
    CHECK_EQ(store_lease_now(s, 3, NULL, &lease, &e), ERR_MEMORY);
    CHECK_MSG(strstr(e.text, "tensor blk.3.weight: no memory for its 17826176 bytes"), "%s", e.text);
    mem_limit_set(0);
    CHECK_EQ(store_lease_now(s, 3, NULL, &lease, &e), ERR_NONE);
    CHECK(store_file_same(lease.at, 3, 0, lease.bytes));
    store_close(s);
    gguf_close(g);
    CHECK_EQ(mem_bytes_total(), held);
}
