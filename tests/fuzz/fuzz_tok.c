/* fuzz_tok.c: any vocabulary and any text.
 *
 * The first byte chooses. Below 128: the rest is a text for one of the vocabularies made here, one per family of
 * pre-tokenizers, in which every byte has a token: what comes back must be the text. From 128 on: the second byte is
 * the length of a text that follows, and the rest is a GGUF file whose vocabulary takes it. Whatever opens must keep
 * the promises of tok.h; nothing stays behind.
 */
#include "fuzz/fuzz.h"
#include "tok/tok.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One pre-tokenizer of each family that decodes without tidying; the first two names are other kinds. */
static const char *const pres[] = {
    "spm", "wpm", "afmoe", "chameleon", "command-r", "deepseek-coder", "deepseek-llm", "deepseek-v3", "gpt-4o",
    "granite-docling", "granite-embed-multi-97m", "kimi-k2", "laguna", "poro-chat", "qwen2", "qwen35", "seed-coder",
    "spark2_5", "superbpe", "tekken", "tiny_aya", "ufakzeka", "viking", "youtu", "jais-2", "exaone-moe", "minicpm5",
    "default", "falcon"};
enum { N_PRES = sizeof pres / sizeof *pres, TIDIES_FROM = N_PRES - 5 };

static char texts[512][8];
static str tokens[512];
static size_t n_tokens;

static void add_token(const char *text, size_t len) {
    memcpy(texts[n_tokens], text, len);
    tokens[n_tokens] = (str){texts[n_tokens], len};
    n_tokens++;
}

/* The byte alphabet of GPT-2, or the byte tokens of SPM. */
static void add_bytes(bool alphabet) {
    for (uint32_t b = 0, next = 256; b < 256; b++) {
        char text[8];
        bool plain = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
        if (alphabet) add_token(text, utf8_encode(plain ? b : next++, text));
        else add_token(text, fmt(text, sizeof text, "<0x%02X>", b));
    }
}

static const char *write_vocab(size_t which) {
    static const str merges[] = {STR("a b"), STR("ab c"), STR("\xC4\xA0 a"), STR("\xC4\xA0 \xC4\xA0"),
                                 STR("1 2"), STR("! !"), STR("\xC4\x8A \xC4\x8A"), STR("' s"), STR("A a"),
                                 STR("a \xC4\xA0"), STR("a 1"), STR("\xC3\x8C \xC4\xA3")};
    static char path[64];
    int32_t kinds[512];
    err e;
    gguf_writer *w;
    n_tokens = 0;
    require(!gguf_writer_open(&w, 3, 32, &e), "a writer");
    gguf_put_str(w, "tokenizer.ggml.model", which == 0 ? STR("llama") : which == 1 ? STR("bert") : STR("gpt2"));
    gguf_put_str(w, "tokenizer.ggml.pre", str_of(pres[which]));
    add_token("<s>", 3);
    add_token("[U]", 3);
    add_bytes(which > 1);
    for (size_t i = 0; i < sizeof merges / sizeof *merges && which > 1; i++) {
        char joined[8];
        size_t cut = str_find(merges[i], STR(" "));
        memcpy(joined, merges[i].ptr, cut);
        memcpy(joined + cut, merges[i].ptr + cut + 1, merges[i].len - cut - 1);
        add_token(joined, merges[i].len - 1);
    }
    if (which <= 1) {
        static const char *const pieces[] = {"\xE2\x96\x81", "\xE2\x96\x81" "a", "a", "b", "ab",
                                             "\xE2\x96\x81" "ab", "\xC3\xA9", "aa", "!"};
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) add_token(pieces[i], cstr_len(pieces[i]));
    }
    add_token("<u>", 3);
    for (size_t i = 0; i < n_tokens; i++) kinds[i] = which == 0 && i >= 2 && i < 258 ? 6 : 1;
    kinds[0] = kinds[1] = 3;
    kinds[n_tokens - 1] = 4;
    gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, n_tokens);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, kinds, n_tokens);
    if (which > 1) gguf_put_strs(w, "tokenizer.ggml.merges", merges, sizeof merges / sizeof *merges);
    snprintf(path, sizeof path, "/tmp/leat-fuzz-tok-%d.gguf", (int)getpid());
    require(!gguf_write_begin(w, path, &e) && !gguf_write_finish(w, &e), e.text);
    gguf_writer_close(w);
    return path;
}

static const tok *vocab(size_t which) {
    static tok *opened[N_PRES];
    if (!opened[which]) {
        gguf *g;
        err e = {0};
        const char *path = write_vocab(which);
        require(!gguf_open(&g, path, &e) && !tok_open(&opened[which], g, &e), e.text);
        gguf_close(g);
        unlink(path);
    }
    return opened[which];
}

/* ---- promises ------------------------------------------------------------------------------------------- */

static char *decoded(const tok *t, const int32_t *ids, size_t n, size_t *len) {
    size_t again;
    require(!tok_decode(t, ids, n, true, NULL, 0, len, NULL), "ids decode");
    char *text = malloc(*len + 1);
    require(!tok_decode(t, ids, n, true, text, *len, &again, NULL) && again == *len,
            "they decode to the same length twice");
    return text;
}

static void use(const tok *t, str text, uint32_t flags, bool comes_back) {
    size_t cap = 4 * text.len + 16, n, again, len;
    int32_t *ids = malloc(cap * sizeof *ids), *half = malloc(cap * sizeof *ids);
    err e = {0};
    require(!tok_encode(t, text, flags, ids, cap, &n, &e), "a text can be encoded");
    require(n <= cap, "there are no more ids than promised");
    require(!tok_encode(t, text, flags, half, n / 2, &again, &e) && again == n,
            "the count does not depend on the room");
    require(memcmp(ids, half, n / 2 * sizeof *ids) == 0, "nor do the ids");
    for (size_t i = 0; i < n; i++) require(ids[i] >= 0 && (size_t)ids[i] < tok_count(t), "an id is in the vocabulary");
    char *back = decoded(t, ids, n, &len);
    if (comes_back) require(str_eq(text, (str){back, len}), "the text comes back");
    free(ids);
    free(half);
    free(back);
}

/* Not what a decoder may change: broken characters, and U+2581. */
static bool is_plain(str text) {
    for (size_t at = 0, len; at < text.len; at += len) {
        uint32_t cp = utf8_decode(text.ptr + at, text.len - at, &len);
        if (cp == UTF8_INVALID || cp == 0x2581) return false;
    }
    return true;
}

static void use_file(str file, str text) {
    gguf *g;
    tok *t = NULL;
    err e = {0};
    size_t held = mem_bytes(MEM_TOK);
    if (gguf_open(&g, fuzz_file(file.ptr, file.len), &e)) return;
    err_code code = tok_open(&t, g, &e);
    gguf_close(g); /* it has no further use for the file */
    require((code == ERR_NONE) == (t != NULL), "a handle or an error");
    if (code) require(code == e.code && code != ERR_INTERNAL && e.text[0] != 0, "an error says why");
    for (uint32_t flags = 0; flags < 4 && t; flags++) use(t, text, flags, false);
    for (int32_t id = -1; t && id <= (int32_t)tok_count(t); id++) {
        char piece[4];
        size_t n = tok_piece(t, id, id & 1, piece, sizeof piece);
        require(n <= TOK_PIECE_MAX && tok_text(t, id).len <= TOK_PIECE_MAX, "a piece is no longer than promised");
        require(!tok_ends(t, id) || (id >= 0 && (size_t)id < tok_count(t)), "only a token ends a text");
    }
    tok_close(t);
    require(mem_bytes(MEM_TOK) == held, "nothing stays behind");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    str rest = {(const char *)data + 1, size - 1};
    if (data[0] < 128) {
        size_t which = data[0] % N_PRES;
        bool comes_back = which != 1 && which < TIDIES_FROM && is_plain(rest);
        /* SPM puts a space before text that follows a token of its own, here <u>, as before the first text. */
        if (which == 0 && str_find(rest, STR("<u>")) != SIZE_MAX) comes_back = false;
        for (uint32_t flags = 0; flags < 4; flags++) use(vocab(which), rest, flags, comes_back && flags == 0);
    } else {
        str text = str_cut(rest, 1, data[1]);
        use_file(str_cut(rest, 1 + text.len, rest.len), text);
    }
    return 0;
}
