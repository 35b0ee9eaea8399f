/* Tokenizers against the reference: golden vectors where they are at hand, and always the small vocabularies of
 * gen/tok_vocab.h, whose reference tokens gen/tok_peer.py has taken. */
#include "check.h"
#include "gen/tok_vocab.h"
#include "tok/tok.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

static tok *open_tok(const char *path) {
    gguf *g;
    tok *t = NULL;
    err e;
    CHECK_MSG(!gguf_open(&g, path, &e), "%s", e.text);
    err_code code = tok_open(&t, g, &e);
    gguf_close(g);
    CHECK_MSG(!code, "%s: %s", path, e.text);
    return t;
}

static const char *vocab_path(const char *name) {
    char file[64];
    snprintf(file, sizeof file, "tok-%s.gguf", name);
    return test_path(6, file);
}

/* pre "-": the vocabulary's own. */
static tok *open_vocab(const char *name, const char *pre) {
    const char *path = vocab_path(name);
    tok_vocab_write(name, !strcmp(pre, "-") ? NULL : pre, path);
    return open_tok(path);
}

typedef struct ids {
    int32_t *at;
    size_t n;
} ids;

static ids encode(const tok *t, str text, uint32_t flags) {
    ids r = {malloc((4 * text.len + 16) * sizeof(int32_t)), 0};
    err e;
    CHECK_MSG(!tok_encode(t, text, flags, r.at, 4 * text.len + 16, &r.n, &e), "%s", e.text);
    CHECK_MSG(r.n <= 4 * text.len + 16, "%zu ids for %zu bytes", r.n, text.len);
    return r;
}

static str decode(const tok *t, ids i, bool special) {
    size_t n = 0, again = 0;
    err e;
    CHECK(!tok_decode(t, i.at, i.n, special, NULL, 0, &n, &e));
    char *text = malloc(n + 1);
    CHECK(!tok_decode(t, i.at, i.n, special, text, n, &again, &e));
    CHECK_EQ(again, n);
    return (str){text, n};
}

static void free_str(str s) { free((char *)(uintptr_t)s.ptr); }

TEST(tok_writes_vocabularies) {
    for (const char *const *name = tok_vocab_names; *name; name++) tok_close(open_vocab(*name, "-"));
}

/* ---- the reference ---------------------------------------------------------------------------------------- */

static uint32_t fnv(uint32_t h, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) h = (h ^ ((const uint8_t *)bytes)[i]) * 0x01000193u;
    return h;
}

/* Of all that a tokenizer makes of a text; tok_peer.py computes the same. */
static uint32_t signature(const tok *t, bool decodes, str text) {
    const int32_t end = -1;
    ids plain = encode(t, text, 0), around = encode(t, text, TOK_BOS | TOK_SPECIAL);
    str hidden = decode(t, plain, false), shown = decode(t, plain, true);
    uint32_t h = fnv(0x811C9DC5u, plain.at, plain.n * sizeof end);
    h = fnv(h, &end, sizeof end);
    h = fnv(h, around.at, around.n * sizeof end);
    h = fnv(h, &end, sizeof end);
    h = fnv(h, hidden.ptr, decodes ? hidden.len : 0);
    h = fnv(h, "\xFF", decodes);
    h = fnv(h, shown.ptr, decodes ? shown.len : 0);
    free(plain.at);
    free(around.at);
    free_str(hidden);
    free_str(shown);
    return h;
}

static void check_case(const char *vocab, const char *pre, const char *hashes, const tok_records *records) {
    tok *t = open_vocab(vocab, pre);
    size_t n = 0;
    for (size_t file = 0; file < 2; file++) {
        for (size_t i = 0; i < records[file].n; i++, n++) {
            char *end;
            uint32_t wanted = (uint32_t)strtoul(hashes, &end, 16);
            uint32_t got = signature(t, strcmp(vocab, "bpe-words"), records[file].at[i]);
            CHECK_MSG(end == hashes + 8, "%s %s: no reference for record %zu", vocab, pre, n);
            CHECK_MSG(got == wanted, "%s %s: record %zu (%.*s) has other tokens than the reference", vocab, pre, n,
                      (int)records[file].at[i].len, records[file].at[i].ptr);
            hashes = end + 1;
        }
    }
    tok_close(t);
}

TEST(tok_agrees_with_reference) {
    size_t bytes, n_cases = 0;
    char *all = (char *)test_slurp("tests/data/tok/peer.txt", &bytes);
    tok_records records[2] = {tok_records_read("tests/data/tok/inputs.txt"),
                              tok_records_read("tests/data/tok/more.txt")};
    char *save_line;
    for (char *line = strtok_r(all, "\n", &save_line); line; line = strtok_r(NULL, "\n", &save_line)) {
        char *save, *vocab = strtok_r(line, " ", &save), *pres = strtok_r(NULL, " ", &save), *save_pre;
        for (char *pre = strtok_r(pres, ",", &save_pre); pre; pre = strtok_r(NULL, ",", &save_pre), n_cases++)
            check_case(vocab, pre, save, records);
    }
    CHECK_EQ(n_cases, 96);
    free(all);
    tok_records_free(&records[0]);
    tok_records_free(&records[1]);
}

/* ---- golden vectors, where they are -------------------------------------------------------------------------- */

static void check_golden(const tok *t, const char *ids_path, const tok_records *records) {
    size_t bytes, n = 0;
    char *all = (char *)test_slurp(ids_path, &bytes), *at = all;
    for (size_t i = 0; i < records->n; i++) {
        ids got = encode(t, records->at[i], 0);
        char *end_of_line = at + strcspn(at, "\n"), *next;
        for (n = 0; n <= got.n; n++, at = next) {
            long id = strtol(at, &next, 10);
            if (next == at || next > end_of_line) break;
            CHECK_MSG(n < got.n && got.at[n] == id, "%s: record %zu, token %zu: %ld wanted", ids_path, i, n, id);
        }
        CHECK_MSG(n == got.n, "%s: record %zu has %zu tokens, %zu wanted", ids_path, i, got.n, n);
        at = *end_of_line ? end_of_line + 1 : end_of_line;
        free(got.at);
    }
    free(all);
}

/* A copy of a file with another tokenizer.ggml.pre. */
static void write_with_pre(const char *from, const char *pre, const char *to) {
    gguf *g;
    gguf_writer *w;
    err e;
    CHECK(!gguf_open(&g, from, &e) && !gguf_writer_open(&w, 3, 32, &e));
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        if (str_is(kv->key, "tokenizer.ggml.pre")) gguf_put_str(w, "tokenizer.ggml.pre", str_of(pre));
        else gguf_put_kv(w, kv);
    }
    CHECK_MSG(!gguf_write_begin(w, to, &e) && !gguf_write_finish(w, &e), "%s", e.text);
    gguf_writer_close(w);
    gguf_close(g);
}

static const char *const golden_pres[] = {
    "a.x-4.0", "afmoe", "bailingmoe", "bailingmoe2", "bloom", "chameleon", "chatglm-bpe", "codeshell", "cohere2moe",
    "command-r", "dbrx", "deepseek-coder", "deepseek-llm", "deepseek-r1-qwen", "deepseek-v3", "default", "exaone-moe",
    "exaone", "exaone4", "f2llmv2", "falcon-h1", "falcon", "falcon3", "gemma4", "gigachat", "glm4", "gpt-2", "gpt-4o",
    "gpt3-finnish", "granite-docling", "granite-embed-multi-311m", "granite-embed-multi-97m", "grok-2", "hunyuan-dense",
    "hunyuan", "jais-2", "jais", "jina-de", "jina-es", "jina-v1-en", "jina-v2-code", "jina-v2-de", "jina-v2-es",
    "jina-v5-nano", "joyai-llm", "kanana2", "kimi-k2", "kormo", "lfm2", "llada-moe", "llama-bpe", "llama-v3", "llama3",
    "llama4", "megrez", "mellum", "mellum2", "midm-2.0", "minerva-7b", "minicpm5", "minimax-m2", "modern-bert", "mpt",
    "olmo", "phi-2", "pixtral", "poro-chat", "qwen2", "qwen35", "refact", "roberta-bpe", "sarvam-moe", "seed-coder",
    "smaug-bpe", "smollm", "solar-open", "stablelm2", "starcoder", "superbpe", "talkie", "tekken", "tiny_aya",
    "trillion", "viking", "youtu"};

TEST(tok_golden_pre_tokenizers) {
    if (!test_shared()) test_skip("no golden vectors here");
    char gpt2[256], ids_path[256];
    snprintf(gpt2, sizeof gpt2, "%s/golden/vocabs/gpt-2.gguf", test_shared());
    tok_records records = tok_records_read("tests/data/tok/inputs.txt");
    CHECK_EQ(COUNT_OF(golden_pres), 85);
    for (size_t i = 0; i < COUNT_OF(golden_pres); i++) {
        const char *path = vocab_path("golden");
        write_with_pre(gpt2, golden_pres[i], path);
        tok *t = open_tok(path);
        snprintf(ids_path, sizeof ids_path, "%s/golden/tokenizers/pre/%s.ids", test_shared(), golden_pres[i]);
        check_golden(t, ids_path, &records);
        tok_close(t);
    }
    unlink(vocab_path("golden"));
    tok_records_free(&records);
}

TEST(tok_golden_vocabularies) {
    static const char *const names[] = {"bert-bge", "deepseek-llm", "falcon", "gpt-2", "gpt-oss",
                                        "llama-spm", "phi-3", "qwen3", "smollm2"};
    if (!test_shared()) test_skip("no golden vectors here");
    tok_records records = tok_records_read("tests/data/tok/inputs.txt");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[256], ids_path[256];
        snprintf(path, sizeof path, "%s/golden/vocabs/%s.gguf", test_shared(), names[i]);
        snprintf(ids_path, sizeof ids_path, "%s/golden/vocabs/%s.ids", test_shared(), names[i]);
        tok *t = open_tok(path);
        check_golden(t, ids_path, &records);
        tok_close(t);
    }
    tok_records_free(&records);
}

/* ---- there and back ---------------------------------------------------------------------------------------- */

static bool is_utf8(str s) {
    for (size_t at = 0, len; at < s.len; at += len)
        if (utf8_decode(s.ptr + at, s.len - at, &len) == UTF8_INVALID) return false;
    return true;
}

static void check_round_trip(const tok *t, str text, uint32_t flags, bool special) {
    ids i = encode(t, text, flags);
    str back = decode(t, i, special);
    CHECK_MSG(str_eq(text, back), "\"%.*s\" came back as \"%.*s\"", (int)text.len, text.ptr, (int)back.len, back.ptr);
    free(i.at);
    free_str(back);
}

/* Every byte has a token in this vocabulary, so no pre-tokenizer may lose or move any. Letters may merge into a control
 * token, which must then be shown. */
TEST(tok_bpe_gives_the_text_back) {
    static const char *const pres[] = {"afmoe", "chameleon", "deepseek-llm", "deepseek-v3", "gpt-4o", "kimi-k2",
                                       "laguna", "poro-chat", "qwen2", "qwen35", "spark2_5", "superbpe", "tekken",
                                       "tiny_aya",
                                       "trillion", "viking", "youtu"};
    tok_records files[2] = {tok_records_read("tests/data/tok/inputs.txt"), tok_records_read("tests/data/tok/more.txt")};
    for (size_t p = 0; p < COUNT_OF(pres); p++) {
        tok *t = open_vocab("bpe-whole", pres[p]);
        for (size_t f = 0; f < 2; f++)
            for (size_t i = 0; i < files[f].n; i++)
                if (is_utf8(files[f].at[i])) check_round_trip(t, files[f].at[i], 0, true);
        tok_close(t);
    }
    tok_records_free(&files[0]);
    tok_records_free(&files[1]);
}

/* U+2581 itself comes back as a space; a broken character may swallow half of one. */
TEST(tok_spm_gives_the_text_back) {
    tok_records files[2] = {tok_records_read("tests/data/tok/inputs.txt"), tok_records_read("tests/data/tok/more.txt")};
    tok *t = open_vocab("spm", "-"), *bare = open_vocab("spm-bare", "-");
    for (size_t f = 0; f < 2; f++) {
        for (size_t i = 0; i < files[f].n; i++) {
            str text = files[f].at[i];
            if (!is_utf8(text) || str_find(text, STR("\xE2\x96\x81")) != SIZE_MAX) continue;
            check_round_trip(t, text, 0, true);
            check_round_trip(bare, text, 0, true);
            if (str_find(text, STR("<")) != SIZE_MAX || str_find(text, STR("[")) != SIZE_MAX) continue;
            check_round_trip(t, text, TOK_BOS, false);
            check_round_trip(bare, text, TOK_BOS, false);
        }
    }
    tok_close(t);
    tok_close(bare);
    tok_records_free(&files[0]);
    tok_records_free(&files[1]);
}

TEST(tok_unwrap_undoes_what_encode_adds) {
    for (const char *const *name = tok_vocab_names; *name; name++) {
        tok *t = open_vocab(*name, "-");
        ids plain = encode(t, STR("a text"), 0), around = encode(t, STR("a text"), TOK_BOS);
        ids none = encode(t, STR(""), TOK_BOS);
        const int32_t *at = around.at;
        CHECK_EQ(tok_unwrap(t, &at, around.n), plain.n);
        CHECK(memcmp(at, plain.at, plain.n * sizeof *at) == 0);
        CHECK_EQ(at > around.at, tok_adds_bos(t));
        at = none.at;
        CHECK_EQ(tok_unwrap(t, &at, none.n), 0);
        free(plain.at);
        free(around.at);
        free(none.at);
        tok_close(t);
    }
}

TEST(tok_writes_no_more_than_it_may) {
    str text = STR("the <tool>  abc 'll \xFF 12345 \xE4\xB8\xAD, and so on.");
    for (const char *const *name = tok_vocab_names; *name; name++) {
        tok *t = open_vocab(*name, "-");
        ids all = encode(t, text, TOK_BOS | TOK_SPECIAL);
        str whole = decode(t, all, true);
        for (size_t cap = 0; cap <= all.n; cap++) {
            int32_t *some = test_guard(cap * sizeof *some + 4);
            size_t n;
            CHECK(!tok_encode(t, text, TOK_BOS | TOK_SPECIAL, some + 1, cap, &n, NULL) && n == all.n);
            CHECK(memcmp(some + 1, all.at, cap * sizeof *some) == 0);
            test_guard_free(some, cap * sizeof *some + 4);
        }
        for (size_t cap = 0; cap <= whole.len; cap++) {
            char *some = test_guard(cap + 1);
            size_t n;
            CHECK(!tok_decode(t, all.at, all.n, true, some + 1, cap, &n, NULL) && n == whole.len);
            CHECK(memcmp(some + 1, whole.ptr, cap) == 0);
            test_guard_free(some, cap + 1);
        }
        for (int32_t id = -2; id <= (int32_t)tok_count(t) + 1; id++) {
            char piece[64], cut[1];
            size_t n = tok_piece(t, id, true, piece, sizeof piece);
            CHECK(n <= sizeof piece && tok_piece(t, id, true, cut, 1) == n && (n == 0 || cut[0] == piece[0]));
            bool known = id >= 0 && (size_t)id < tok_count(t);
            CHECK(known ? tok_text(t, id).len > 0 : n == 0 && tok_text(t, id).len == 0 && !tok_ends(t, id));
        }
        free(all.at);
        free_str(whole);
        tok_close(t);
    }
}
