/* test_disk_speed.c: how fast a disk was is kept from run to run: measured once, used while it is fresh, sound and
 * borne out by what is read then; else measured anew. The model is a sparse file, with a word in each MiB: one of holes
 * alone says nothing of the disk.
 */
#include "huge_model.h"
#include "leat.h"
#include "state_folder.h"

#include <time.h>

static char warning[640], memory[512];
static uint64_t ram_bytes = (uint64_t)96 << 20;

/* Streams; feeds so many tokens. The disk's speed as the session has it. */
static double stream(const char *path, bool keep, int n_tokens) {
    static const int32_t id = 1;
    leat_model *m;
    leat_session *s;
    leat_error e;
    leat_model_options options = {.ram_bytes = ram_bytes, .keep_learnt = keep};
    CHECK_MSG(leat_model_open(&m, path, &options, &e) == LEAT_OK, "%s", e.text);
    leat_session_options session = {.n_ctx = 64, .n_threads = 1, .n_chunk = 8};
    CHECK_MSG(leat_session_open(&s, m, &session, &e) == LEAT_OK, "%s", e.text);
    leat_session_memory(s, memory, sizeof memory);
    CHECK_MSG(strncmp(memory, "streaming", 9) == 0, "%s", memory);
    snprintf(warning, sizeof warning, "%s", leat_model_warning(m));
    for (int i = 0; i < n_tokens; i++)
        CHECK_MSG(leat_feed(s, &id, 1, LEAT_GENERATED, &e) == LEAT_OK, "%s", e.text);
    leat_stats stats = leat_session_stats(s);
    CHECK(!n_tokens || stats.read_bytes > (uint64_t)256 << 20);
    leat_session_close(s);
    leat_model_close(m);
    return stats.disk_bytes_s;
}

/* As `leat plan` does. */
static double measure_again(const char *path) {
    leat_model *m;
    leat_session *s;
    leat_error e;
    double bytes_s;
    int32_t depth;
    CHECK(leat_model_open(&m, path, &(leat_model_options){.map = true, .keep_learnt = true}, &e) == LEAT_OK);
    leat_session_options session = {.n_ctx = 64, .n_threads = 1, .n_chunk = 8};
    CHECK(leat_session_open(&s, m, &session, &e) == LEAT_OK);
    CHECK(leat_measure_disk(s, &bytes_s, &depth, &e) == LEAT_OK && depth > 0);
    leat_session_close(s);
    leat_model_close(m);
    return bytes_s;
}

static const char *state;

static void open_state(void) { state = state_folder(4, "disk-state", "disk-"); }
/* The file that has the speed, or "". */
static const char *kept(void) { return state_file(state, "disk-"); }

enum { HEAD = 24, BYTES = HEAD + 3 * 8 + 8 };

static void read_kept(char *to) {
    FILE *f = fopen(kept(), "rb");
    CHECK(f && fread(to, 1, BYTES + 1, f) == BYTES);
    fclose(f);
}
static void write_kept(const char *path, const char *from, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(from, 1, n, f) == n && fclose(f) == 0);
}

/* A sound file of these values. */
static void forge(const char *path, const char *head, double bytes_s, uint64_t depth, int64_t age_s) {
    char to[BYTES];
    uint64_t when = (uint64_t)((int64_t)time(NULL) - age_s) * 1000000000u;
    memcpy(to, head, HEAD);
    memcpy(to + HEAD, &bytes_s, 8);
    memcpy(to + HEAD + 8, &depth, 8);
    memcpy(to + HEAD + 16, &when, 8);
    uint64_t hash = hash_bytes(to, BYTES - 8, 0);
    memcpy(to + BYTES - 8, &hash, 8);
    write_kept(path, to, BYTES);
}

static const char *write_model(const huge_model *model, bool holes) {
    const char *path = test_path(6, "disk-speed.gguf");
    uint64_t size;
    if (!huge_write(model, path, &size)) test_skip("no sparse files here");
    CHECK(size > (uint64_t)256 << 20);
    FILE *f = fopen(path, "r+b");
    CHECK(f);
    for (long at = 1 << 20; !holes && at + 8 < (long)size; at += 1 << 20)
        CHECK(fseek(f, at, SEEK_SET) == 0 && fwrite("\1\1\1\1\1\1\1\1", 1, 8, f) == 8);
    CHECK(fclose(f) == 0);
    return path;
}

static const char *model_file(bool holes) {
    static const huge_model model = {"qwen3moe", "sparse", 12, 1024, 8, 4, 64, 3584, 8, 4, 256, 4096};
    return write_model(&model, holes);
}

TEST(disk_speed_is_kept_and_never_trusted) {
    const char *path = model_file(false);
    char whole[BYTES + 1], bad[BYTES + 1], file[900];
    open_state();
    double plain = stream(path, false, 0);
    CHECK_STR(kept(), "");
    if (plain <= 0) {
        remove(path);
        test_skip("no direct reads here");
    }
    double first = stream(path, true, 0);
    CHECK(!*warning && !strstr(memory, "before"));
    read_kept(whole);
    CHECK(load_f64(whole + HEAD) == first && load_u64(whole + HEAD + 8) >= 2);
    CHECK(stream(path, true, 0) == first);
    CHECK_MSG(!*warning && strstr(memory, "GB/s as measured before"), "%s", memory);
    snprintf(file, sizeof file, "%s", kept());
    forge(file, whole, 7.77e9, 3, 60);
    CHECK(stream(path, true, 0) == 7.77e9);
    CHECK_MSG(strstr(memory, " 3 at a time, 7.77 GB/s as measured before"), "%s", memory);
    CHECK(stream(path, false, 0) != 7.77e9 && !*warning); /* whoever keeps nothing knows nothing */

    for (int way = 0; way < 8; way++) {
        static const char *const says[] = {"", "", "damaged", "damaged", "damaged", "damaged", "of another version",
                                           "damaged"};
        size_t length = BYTES;
        memcpy(bad, whole, BYTES);
        switch (way) {
        case 0: forge(file, whole, 7.77e9, 3, 8 * 86400); break; /* old       */
        case 1: forge(file, whole, 7.77e9, 3, -3600); break;     /* to come   */
        case 2: forge(file, whole, -1, 3, 60); break;            /* no speed  */
        case 3: forge(file, whole, 7.77e9, 33, 60); break;       /* too deep  */
        case 4: bad[HEAD + 3] ^= 1; break;
        case 5: length = 30; break;
        case 6: bad[7] = '9'; break;
        case 7: length = 0; break;
        }
        if (way >= 4) write_kept(file, bad, length);
        CHECK(stream(path, true, 0) != 7.77e9);
        CHECK_MSG(*says[way] ? strstr(warning, says[way]) && strstr(warning, "disk-") : !*warning, "way %d: \"%s\"",
                  way, warning);
        CHECK_MSG(!strstr(memory, "before"), "way %d: %s", way, memory);
        stream(path, true, 0);
        CHECK_MSG(!*warning && strstr(memory, "before"), "way %d: not replaced: %s %s", way, warning, memory);
    }
    forge(file, whole, 7.77e9, 3, 60);
    CHECK(measure_again(path) > 0);
    CHECK(stream(path, true, 0) != 7.77e9 && strstr(memory, "before"));
    remove(path);
    remove(file);
}

TEST(disk_speed_that_reads_belie_is_forgotten) {
    const char *path = model_file(false);
    char whole[BYTES + 1];
    open_state();
    if (stream(path, true, 0) <= 0) {
        remove(path);
        test_skip("no direct reads here");
    }
    read_kept(whole);
    forge(kept(), whole, 1e4, 2, 60); /* 10 KB a second */
    CHECK(stream(path, true, 0) == 1e4 && *kept()); /* nothing was read: nothing is known better */
    CHECK(stream(path, true, 2) == 1e4);
    CHECK_STR(kept(), "");
    CHECK(stream(path, true, 0) > 1e4 && *kept());
    remove(path);
    remove(kept());
}

TEST(disk_speed_of_holes_is_none) {
    const char *path = model_file(true);
    open_state();
    CHECK(measure_again(path) == 0);
    CHECK_STR(kept(), "");
    CHECK(stream(path, true, 0) == 0 && !strstr(memory, "GB/s"));
    CHECK_STR(kept(), "");
    remove(path);
}

/* Memory of a few reads tells nothing of many at once, and what is kept is for models with more memory, too. */
TEST(disk_speed_is_not_measured_in_little_memory) {
    static const huge_model model = {"qwen3moe", "sparse", 12, 1024, 8, 4, 64, 512, 32, 1, 256, 4096};
    uint64_t usual = ram_bytes;
    int mib;
    const char *path = write_model(&model, false);
    open_state();
    bool measures = stream(path, true, 0) > 0;
    if (measures) remove(kept());
    ram_bytes = (uint64_t)24 << 20;
    double speed = stream(path, true, 0);
    CHECK_MSG(sscanf(memory, "streaming: %d", &mib) == 1 && mib < 16, "%s", memory);
    CHECK_MSG(speed == 0 && !*kept(), "%s", memory);
    ram_bytes = usual;
    CHECK((stream(path, true, 0) > 0) == measures);
    if (measures) remove(kept());
    remove(path);
}
