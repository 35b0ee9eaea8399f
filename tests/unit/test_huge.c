/* test_huge.c: a model of more than 100 GB, of which there is the header alone: it opens, a plan is made of it, and
 * hardly anything of the file is read for that.
 */
#include "huge_model.h"
#include "leat.h"

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

TEST(huge_headers_open_without_reading_weights) {
    static const huge_model model = {"llama", "huge", LAYERS, 4096, 32, 32, 128, 32768, EXPERTS, 2, 256, 4096};
    const char *path = test_path(6, "huge.gguf");
    uint64_t size;
    if (!huge_write(&model, path, &size)) test_skip("no sparse files of 100 GB here");
    CHECK(size > (uint64_t)100 << 30);
    FILE *f = fopen(path, "rb");
    CHECK(f);
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
