/* test_huge.c: a model of more than 100 GB, of which there is the header alone: it opens, a plan is made of it, and
 * hardly anything of the file is read for that.
 */
#include "huge_model.h"
#include "leat.h"
#include "plat/plat.h"

enum { LAYERS = 64, EXPERTS = 8 };

/* Bytes of the file that are in the page cache, near the norms: where a layer begins. */
static uint64_t cached_bytes(int fd, uint64_t size) {
    enum { WINDOW = 32 << 20, PAGE = 4096 };
    static unsigned char in[WINDOW / PAGE];
    uint64_t n = 0;
    for (uint64_t l = 0; l < LAYERS; l++) {
        void *map = mmap(NULL, WINDOW, PROT_READ, MAP_SHARED, fd, (off_t)(size / LAYERS * l / PAGE * PAGE));
        CHECK(map != MAP_FAILED && mincore(map, WINDOW, in) == 0);
        for (size_t i = 0; i < WINDOW / PAGE; i++) n += in[i] & 1 ? PAGE : 0;
        munmap(map, WINDOW);
    }
    return n;
}

static FILE *huge_file(const huge_model *m, const char *path, uint64_t *size) {
    if (!huge_write(m, path, size)) test_skip("no sparse files of 100 GB here");
    CHECK(*size > (uint64_t)100 << 30);
    FILE *f = fopen(path, "rb");
    CHECK(f);
    return f;
}

TEST(huge_headers_open_without_reading_weights) {
    static const huge_model model = {"llama", "huge", LAYERS, 4096, 32, 32, 128, 32768, EXPERTS, 2, 256, 4096};
    const char *path = test_path(6, "huge.gguf");
    uint64_t size;
    FILE *f = huge_file(&model, path, &size);
    leat_model *m;
    leat_session *s;
    leat_error e;
    leat_plan p;
    CHECK_MSG(leat_model_open(&m, path, &(leat_model_options){.map = true}, &e) == LEAT_OK, "%s", e.text);
    leat_session_options options = {.n_ctx = 64, .n_threads = 1};
    CHECK_MSG(leat_session_open(&s, m, &options, &e) == LEAT_OK, "%s", e.text);
    CHECK_MSG(leat_plan_memory(s, (uint64_t)16 << 30, &p, &e) == LEAT_OK, "%s", e.text);
    CHECK(!p.fits && p.n_experts == LAYERS * EXPERTS && p.n_slots > 2 && p.n_pinned == p.n_dense);
    leat_session_close(s);
    leat_model_close(m);
    /* The header, and the page of each norm and what the system reads around it. */
    uint64_t read = cached_bytes(fileno(f), size);
    CHECK_MSG(read < 64 << 20, "%llu bytes of it were read", (unsigned long long)read);
    fclose(f);
    remove(path);
}

/* The same to be streamed: memory for weights is taken, none of them is read before the first token wants it. */
TEST(huge_models_stream_without_reading_weights_first) {
    static const huge_model model = {"qwen3moe", "huge", 72, 1024, 16, 4, 64, 3584, 256, 8, 256, 4096};
    const char *path = test_path(6, "huge-stream.gguf");
    uint64_t size;
    FILE *f = huge_file(&model, path, &size);
    leat_model *m;
    leat_session *s;
    leat_error e;
    char how[256];
    uint64_t faults = plat_major_faults();
    CHECK_MSG(leat_model_open(&m, path, &(leat_model_options){.ram_bytes = (uint64_t)320 << 20}, &e) == LEAT_OK, "%s",
              e.text);
    leat_session_options options = {.n_ctx = 64, .n_threads = 1, .n_chunk = 8};
    CHECK_MSG(leat_session_open(&s, m, &options, &e) == LEAT_OK, "%s", e.text);
    CHECK_MSG(strncmp(leat_session_memory(s, how, sizeof how), "streaming", 9) == 0, "%s", how);
    leat_stats stats = leat_session_stats(s);
    CHECK_EQ(stats.read_bytes, 0);
    CHECK_MSG(stats.major_faults - faults < 100, "%llu major faults",
              (unsigned long long)(stats.major_faults - faults));
    CHECK(stats.held_bytes <= (uint64_t)320 << 20);
    uint64_t read = cached_bytes(fileno(f), size);
    CHECK_MSG(read < 64 << 20, "%llu bytes of it are in the page cache", (unsigned long long)read);
    leat_session_close(s);
    leat_model_close(m);
    fclose(f);
    remove(path);
}
