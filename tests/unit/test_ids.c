/* Token ids of a text where there are more of them than the text and a vocabulary of good will would give. */
#include "check.h"
#include "gen/tiny.h"
#include "leat.h"
#include "tools/tools_int.h"

#include <stdlib.h>
#include <string.h>

/* In the file's list of tokens `from` becomes `to`, of as many bytes. */
static void rename_token(unsigned char *file, size_t bytes, const char *from, const char *to) {
    static const char key[] = "tokenizer.ggml.tokens";
    unsigned char *at = memmem(file, bytes, key, sizeof key - 1);
    CHECK(at != NULL);
    uint64_t n, len;
    memcpy(&n, at + sizeof key - 1 + 8, 8);
    at += sizeof key - 1 + 16;
    for (; n; n--, at += len) {
        memcpy(&len, at, 8);
        at += 8;
        if (len == strlen(from) && !memcmp(at, from, len)) memcpy(at, to, len);
    }
}

/* A byte that is no UTF-8 is read as U+FFFD: three bytes, each two in the byte alphabet, and those two no token. */
TEST(ids_of_a_hostile_vocabulary) {
    static const char *const renamed[][2] = {{"a", "\xc3"}, {"b", "\xc2"}, {"c", "\xaf"}, {"d", "\xbf"}, {"e", "\xbd"},
                                             {"\xc3\xaf", "qj"}, {"\xc2\xbf", "zk"}, {"\xc2\xbd", "vx"}};
    enum { BYTES = 100 };
    const char *path = test_path(2, "hostile-ids.gguf");
    tiny_spec spec = tiny_default("qwen3");
    spec.tok = TINY_TOK_BPE;
    tiny_write(&spec, path);
    size_t bytes;
    unsigned char *file = test_slurp(path, &bytes);
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        rename_token(file, bytes, renamed[i][0], renamed[i][1]);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(file, 1, bytes, f) == bytes && !fclose(f));
    free(file);

    leat_model *m;
    leat_error failed;
    CHECK_MSG(leat_model_open(&m, path, NULL, &failed) == LEAT_OK, "%s", failed.text);
    char text[BYTES];
    memset(text, 0xff, sizeof text);
    tools_ids ids;
    err e;
    CHECK_MSG(!tools_ids_encode(&ids, m, (str){text, BYTES}, true, &e), "%s", e.text);
    CHECK_MSG(ids.n >= 6 * BYTES && ids.memory.reserved_bytes >= ids.n * sizeof *ids.at, "%zu ids", ids.n);
    for (size_t i = 0; i < ids.n; i++) CHECK(ids.at[i] >= 0 && ids.at[i] < leat_model_n_vocab(m));
    tools_ids_close(&ids);
    leat_model_close(m);
}
