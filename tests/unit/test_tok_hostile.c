/* Tokenizers on files that are wrong, texts that are made to hurt, and machines without memory. */
#include "check.h"
#include "gen/tok_vocab.h"
#include "tok/tok.h"

#include <string.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 20
#else
#define SLOWER 1
#endif

/* ---- wrong files ------------------------------------------------------------------------------------------- */

static const char *vocab_path(void) { return test_path(6, "tok-hostile.gguf"); }

typedef void put_fn(gguf_writer *w);

/* A file with what two functions put in, opened. */
static err_code open_with(tok **out, put_fn *first, put_fn *second, err *e) {
    gguf_writer *w;
    gguf *g;
    CHECK(!gguf_writer_open(&w, 3, 32, e));
    gguf_put_str(w, "general.architecture", STR("llama"));
    if (first) first(w);
    if (second) second(w);
    CHECK_MSG(!gguf_write_begin(w, vocab_path(), e) && !gguf_write_finish(w, e), "%s", e->text);
    gguf_writer_close(w);
    CHECK_MSG(!gguf_open(&g, vocab_path(), e), "%s", e->text);
    err_code code = tok_open(out, g, e);
    gguf_close(g);
    CHECK((code == ERR_NONE) == (*out != NULL));
    return code;
}

static void check_refused(put_fn *first, put_fn *second, err_code wanted, const char *words) {
    err e = {0};
    tok *t;
    err_code code = open_with(&t, first, second, &e);
    tok_close(t);
    CHECK_MSG(code == wanted && strstr(e.text, words), "%s: %s, wanted %s with \"%s\"", err_name(code), e.text,
              err_name(wanted), words);
    CHECK_EQ(mem_bytes(MEM_TOK), 0);
}

static void put_model(gguf_writer *w, const char *model, const char *pre) {
    gguf_put_str(w, "tokenizer.ggml.model", str_of(model));
    if (pre) gguf_put_str(w, "tokenizer.ggml.pre", str_of(pre));
}
static void bpe(gguf_writer *w) { put_model(w, "gpt2", "gpt-2"); }
static void bpe_default(gguf_writer *w) { put_model(w, "gpt2", NULL); }
static void bpe_unknown(gguf_writer *w) { put_model(w, "gpt2", "no-such-pre"); }
static void spm(gguf_writer *w) { put_model(w, "llama", NULL); }
static void ugm(gguf_writer *w) { put_model(w, "t5", NULL); }
static void none(gguf_writer *w) { put_model(w, "none", NULL); }

static const str letters[] = {STR("a"), STR("b"), STR("ab"), STR("c")};
static void put_letters(gguf_writer *w) { gguf_put_strs(w, "tokenizer.ggml.tokens", letters, 4); }
static void put_merge(gguf_writer *w, const char *merge) {
    str m = str_of(merge);
    put_letters(w);
    gguf_put_strs(w, "tokenizer.ggml.merges", &m, 1);
}
static void good(gguf_writer *w) { put_merge(w, "a b"); }
static void token_numbers(gguf_writer *w) { gguf_put_array(w, "tokenizer.ggml.tokens", GGUF_U32, "\1\0\0\0", 1); }
static void token_string(gguf_writer *w) { gguf_put_str(w, "tokenizer.ggml.tokens", STR("a")); }
static void no_tokens(gguf_writer *w) { gguf_put_strs(w, "tokenizer.ggml.tokens", letters, 0); }
static void merge_numbers(gguf_writer *w) {
    put_letters(w);
    gguf_put_array(w, "tokenizer.ggml.merges", GGUF_U32, "\1\0\0\0", 1);
}
static void twice(gguf_writer *w) {
    const str same[] = {STR("a"), STR("b"), STR("a")};
    gguf_put_strs(w, "tokenizer.ggml.tokens", same, 3);
}
static void few_types(gguf_writer *w) {
    good(w);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, "\1\0\0\0\1\0\0\0", 2);
}
static void text_types(gguf_writer *w) {
    good(w);
    gguf_put_strs(w, "tokenizer.ggml.token_type", letters, 4);
}
static void few_scores(gguf_writer *w) {
    put_letters(w);
    gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, (float[3]){0}, 3);
}
static void nan_score(gguf_writer *w) {
    put_letters(w);
    gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, (float[4]){0, 0, F32_INF - F32_INF, 0}, 4);
}
static void long_token(gguf_writer *w) {
    str t = {calloc(1, TOK_PIECE_MAX + 1), TOK_PIECE_MAX + 1};
    gguf_put_strs(w, "tokenizer.ggml.tokens", &t, 1);
    free((char *)(uintptr_t)t.ptr);
}

TEST(tok_refuses_wrong_files) {
    check_refused(NULL, put_letters, ERR_FORMAT, "tokenizer.ggml.model: missing");
    check_refused(none, put_letters, ERR_FORMAT, "tokenizer.ggml.model: missing");
    check_refused(ugm, put_letters, ERR_UNSUPPORTED, "\"t5\"");
    check_refused(bpe_unknown, good, ERR_UNSUPPORTED, "\"no-such-pre\"");
    check_refused(bpe, NULL, ERR_FORMAT, "tokenizer.ggml.tokens: missing");
    check_refused(bpe, put_letters, ERR_FORMAT, "tokenizer.ggml.merges: missing");
    check_refused(bpe, token_numbers, ERR_FORMAT, "tokenizer.ggml.tokens: array of u32, wanted an array of str");
    check_refused(bpe, token_string, ERR_FORMAT, "tokenizer.ggml.tokens: str, wanted an array of str");
    check_refused(bpe, no_tokens, ERR_FORMAT, "tokenizer.ggml.tokens: 0 items");
    check_refused(bpe, merge_numbers, ERR_FORMAT, "tokenizer.ggml.merges: array of u32, wanted an array of str");
    check_refused(bpe, twice, ERR_FORMAT, "tokens 0 and 2 have the same text \"a\"");
    check_refused(bpe, few_types, ERR_FORMAT, "tokenizer.ggml.token_type: 2 items, wanted one for each of 4");
    check_refused(bpe, text_types, ERR_FORMAT, "tokenizer.ggml.token_type: array of str, wanted an array of numbers");
    check_refused(spm, few_scores, ERR_FORMAT, "tokenizer.ggml.scores: 3 items, wanted one for each of 4");
    check_refused(spm, nan_score, ERR_FORMAT, "score of token 2 is not a number");
    check_refused(bpe, long_token, ERR_FORMAT, "token 0 has 65537 bytes");
}

/* ---- odd files that are fine --------------------------------------------------------------------------------- */

static void check_ids(put_fn *first, put_fn *second, const char *text, uint32_t flags, size_t n,
                      const int32_t *wanted) {
    err e;
    tok *t;
    int32_t ids[64];
    size_t got;
    CHECK_MSG(!open_with(&t, first, second, &e), "%s", e.text);
    err_code code = tok_encode(t, str_of(text), flags, ids, 64, &got, &e);
    tok_close(t);
    CHECK_MSG(!code, "%s", e.text);
    CHECK_EQ(got, n);
    for (size_t i = 0; i < n; i++) CHECK_EQ(ids[i], wanted[i]);
}
#define IDS(...) sizeof((int32_t[]){__VA_ARGS__}) / 4, (int32_t[]){__VA_ARGS__}

static void ids_beyond(gguf_writer *w) {
    good(w);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 4);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    gguf_put_bool(w, "tokenizer.ggml.add_eos_token", true);
}
static void cut_merge(gguf_writer *w) { put_merge(w, "a "); }
static void no_merge(gguf_writer *w) { put_merge(w, ""); }
static void merge_beyond(gguf_writer *w) { /* "cb" is no token, and neither is "z" */
    const str m[] = {STR("c b"), STR("cb a"), STR("z a")};
    put_letters(w);
    gguf_put_strs(w, "tokenizer.ggml.merges", m, 3);
}
static void empty_token(gguf_writer *w) {
    const str t[] = {STR("a"), STR(""), STR("b")};
    gguf_put_strs(w, "tokenizer.ggml.tokens", t, 3);
    gguf_put_strs(w, "tokenizer.ggml.merges", t, 0);
}
static void no_scores(gguf_writer *w) { put_letters(w); }

TEST(tok_bears_odd_files) {
    check_ids(bpe, ids_beyond, "abc", TOK_BOS, IDS(2, 3)); /* no BOS, no EOS: there are none */
    check_ids(bpe_default, good, "ab", 0, IDS(2));
    check_ids(bpe, cut_merge, "ab", 0, IDS(0, 1));
    check_ids(bpe, no_merge, "ab", 0, IDS(0, 1));
    check_ids(bpe, good, "abxyz a", 0, IDS(2, 0)); /* bytes without a token are left out, as everywhere */
    check_ids(bpe, merge_beyond, "cbaz", 0, IDS(3, 1, 0));
    check_ids(bpe, empty_token, "ab", 0, IDS(0, 2));
    check_ids(spm, no_scores, "abc", 0, IDS(0, 0, 0, 2, 3)); /* three bytes of the space are unknown: token 0 */
    err e;
    tok *t;
    CHECK(!open_with(&t, bpe, empty_token, &e));
    CHECK(str_is(tok_text(t, 1), "[EMPTY_1]"));
    CHECK_EQ(tok_bos(t), -1); /* the kind's default, 11, is beyond three tokens */
    CHECK(!tok_ends(t, -1) && !tok_ends(t, 3) && !tok_ends(t, INT32_MIN));
    tok_close(t);
    CHECK(!open_with(&t, bpe_default, good, &e));
    CHECK_STR(tok_pre_name(t), "default");
    tok_close(t);
}

/* ---- special tokens ------------------------------------------------------------------------------------------- */

enum { NORMAL = 1, CONTROL = 3, USER = 4 };
static void put_specials(gguf_writer *w, const char *name) {
    static const str t[] = {STR("a"), STR("b"), STR(" "), STR("ab"), STR("abab"), STR("<|im_end|>"), STR("<|end|>"),
                            STR("<c>"), STR("<mask>"), STR("  "), STR("\xC4\xA0"), STR("<|return|>"), STR("<|call|>")};
    static const int32_t kinds[] = {NORMAL,  NORMAL,  NORMAL, USER,   USER,    NORMAL, CONTROL,
                                    CONTROL, CONTROL, USER,   NORMAL, CONTROL, CONTROL};
    gguf_put_str(w, "general.name", str_of(name));
    gguf_put_strs(w, "tokenizer.ggml.tokens", t, COUNT_OF(t));
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, kinds, COUNT_OF(t));
    gguf_put_strs(w, "tokenizer.ggml.merges", t, 0);
}
static void specials(gguf_writer *w) { put_specials(w, "some"); }
static void specials_phi3(gguf_writer *w) { put_specials(w, "Tiny-PHI3"); }
static void bpe_jina(gguf_writer *w) { put_model(w, "gpt2", "jina-v2-es"); }

TEST(tok_special_tokens) {
    check_ids(bpe, specials, "ababa", 0, IDS(4, 0));         /* the user's are always found, the longest first, ... */
    check_ids(bpe, specials, "aababab", 0, IDS(0, 4, 3));    /* ... and then from the left */
    check_ids(bpe, specials, "<c>a", TOK_SPECIAL, IDS(7, 0)); /* control tokens where asked for */
    check_ids(bpe, specials, "<c>a", 0, IDS(0));
    check_ids(bpe, specials, "a<|im_end|>b", TOK_SPECIAL, IDS(0, 5, 1)); /* one by its text, whatever its kind */
    check_ids(bpe, specials, "a   a", 0, IDS(0, 9, 10, 0));
    check_ids(bpe, specials, "a <mask> a", TOK_SPECIAL, IDS(0, 10, 8, 10, 0));
    check_ids(bpe_jina, specials, "a <mask> a", TOK_SPECIAL, IDS(0, 8, 10, 0));       /* swallows the space before */
    check_ids(bpe, specials_phi3, "a <c> \n a", TOK_SPECIAL, IDS(0, 10, 7, 0)); /* all of them, the space behind */
    check_ids(bpe, specials_phi3, "a   <c>  a", TOK_SPECIAL, IDS(0, 9, 7, 0));        /* those made of space too */
    tok *t;
    err e;
    CHECK(!open_with(&t, bpe, specials, &e));
    CHECK(tok_ends(t, 5) && tok_ends(t, 11) && tok_ends(t, 12) && !tok_ends(t, 7));
    CHECK(!tok_ends(t, 6)); /* <|end|> ends a part only, where <|return|> and <|call|> end the whole */
    char piece[16];
    CHECK_EQ(tok_piece(t, 7, false, piece, sizeof piece), 0);
    CHECK_EQ(tok_piece(t, 7, true, piece, sizeof piece), 3);
    CHECK_EQ(tok_piece(t, 5, false, piece, sizeof piece), 0);
    CHECK_EQ(tok_piece(t, 6, false, piece, sizeof piece), 7);
    tok_close(t);
}

/* ---- a megabyte ------------------------------------------------------------------------------------------------- */

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum { MEGABYTE = 1000000 };

static void check_fast(const tok *t, const char *what, const char *text, const char *name) {
    static int32_t ids[MEGABYTE * 2];
    size_t n;
    err e;
    double seconds = 1e9;
    for (int i = 0; i < 5 && seconds >= 1.0 * SLOWER; i++) { /* cores shared with others are slow ones at times */
        double from = cpu_seconds();
        CHECK_MSG(!tok_encode(t, (str){text, MEGABYTE}, TOK_SPECIAL, ids, COUNT_OF(ids), &n, &e), "%s", e.text);
        seconds = cpu_seconds() - from;
    }
    CHECK_MSG(seconds < 1.0 * SLOWER, "%s: a megabyte of %s took %.2f s", what, name, seconds);
}

static tok *open_vocab(const char *name, const char *pre) {
    gguf *g;
    tok *t;
    err e;
    tok_vocab_write(name, pre, vocab_path());
    CHECK(!gguf_open(&g, vocab_path(), &e));
    CHECK_MSG(!tok_open(&t, g, &e), "%s", e.text);
    gguf_close(g);
    return t;
}

TEST(tok_a_megabyte_takes_less_than_a_second) {
    static const struct { const char *name, *pattern; } texts[] = {
        {"prose", "The quick brown fox, 1234 times. "}, {"one letter", "a"}, {"spaces", " "},
        {"emoji", "\xF0\x9F\x98\x80"}, {"combining marks", "\xCC\x81"}, {"special tokens", "<s>"},
        {"letters without a rule", NULL}};
    static const char *const vocabs[][2] = {
        {"spm-phi3", NULL}, {"wpm", NULL},       {"bpe-special", NULL}, {"bpe-utf8", NULL},      {"bpe", "jais-2"},
        {"bpe", "superbpe"}, {"bpe", "exaone-moe"}, {"bpe", "default"}, {"bpe", "deepseek-llm"}};
    rng r;
    rng_seed(&r, 7);
    char *text[COUNT_OF(texts)];
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        size_t len = texts[i].pattern ? strlen(texts[i].pattern) : 1;
        text[i] = malloc(MEGABYTE);
        for (size_t k = 0; k < MEGABYTE; k++)
            text[i][k] = texts[i].pattern ? texts[i].pattern[k % len] : (char)('a' + rng_u64(&r) % 26);
    }
    for (size_t v = 0; v < COUNT_OF(vocabs); v++) {
        tok *t = open_vocab(vocabs[v][0], vocabs[v][1]);
        /* The pre-tokenizers differ in how they look at space and at what no rule matches. */
        for (size_t i = 0; i < COUNT_OF(texts); i++)
            if (!vocabs[v][1] || i == 2 || i == 4)
                check_fast(t, vocabs[v][vocabs[v][1] != NULL], text[i], texts[i].name);
        tok_close(t);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) free(text[i]);
}

/* ---- no memory --------------------------------------------------------------------------------------------------- */

/* With every limit there is, both calls work or say ERR_MEMORY, and nothing stays behind. */
TEST(tok_bears_having_no_memory) {
    static const char *const vocabs[] = {"bpe", "bpe-special", "spm", "wpm"};
    char *text = malloc(100000);
    for (size_t i = 0; i < 100000; i++) text[i] = "a <s> b"[i % 7];
    memset(text, 'x', 50000); /* a word that needs a block of its own */
    for (size_t v = 0; v < COUNT_OF(vocabs); v++) {
        tok_vocab_write(vocabs[v], NULL, vocab_path());
        gguf *g;
        err e;
        CHECK(!gguf_open(&g, vocab_path(), &e));
        size_t before = mem_bytes_total(), opened = 0, encoded = 0, refused = 0;
        for (size_t extra = 4096; extra < (size_t)8 << 20; extra += MAX(extra / 16, 4096)) {
            tok *t;
            size_t n;
            mem_limit_set(before + extra);
            err_code code = tok_open(&t, g, &e);
            if (!code) {
                opened++;
                code = tok_encode(t, (str){text, 100000}, TOK_SPECIAL, NULL, 0, &n, &e);
                encoded += !code;
            }
            tok_close(t);
            mem_limit_set(0);
            refused += code == ERR_MEMORY;
            CHECK_MSG(!code || code == ERR_MEMORY, "%s", e.text);
            CHECK_EQ(mem_bytes_total(), before);
        }
        CHECK_MSG(encoded && opened > encoded && refused > 1, "%s: %zu opened, %zu encoded, %zu refused", vocabs[v],
                  opened, encoded, refused);
        gguf_close(g);
    }
    free(text);
}
