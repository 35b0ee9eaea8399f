/* tok_vocab.c: trains the vocabularies of tok_vocab.h: the most frequent pair of symbols becomes a symbol, again and
 * again; of two as frequent, the one that was there first.
 */
#include "gen/tok_vocab.h"

#include "check.h"

#include <string.h>

enum { SYMBOLS_MAX = 2200, SEQUENCE_MAX = 1 << 15, MERGES_MAX = 1000, TEXT_MAX = 64, BREAK = -1 };
typedef enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE } token_kind;
typedef enum { BYTES, CHARS, WORDS } training; /* byte alphabet; characters; characters that never pass a space */

const char *const tok_vocab_names[] = {"bpe",      "bpe-whole", "bpe-special", "bpe-utf8",  "bpe-words", "spm",
                                       "spm-bare", "spm-phi3",  "wpm",         "wpm-cased", NULL};

typedef struct trainer {
    char text[SYMBOLS_MAX][TEXT_MAX];
    int n_symbols, n_first; /* the first ones are no results of merges */
    int left[MERGES_MAX], right[MERGES_MAX], n_merges;
    int sequence[SEQUENCE_MAX];
    size_t n;
    int counts[SYMBOLS_MAX][SYMBOLS_MAX];
} trainer;

typedef struct vocab {
    str text[4096];
    int32_t kind[4096];
    float score[4096];
    uint64_t n;
    char *bytes; /* what the texts point to, one after the other */
    size_t n_bytes;
} vocab;

/* ---- records -------------------------------------------------------------------------------------------- */

tok_records tok_records_read(const char *path) {
    static const char separator[] = "\n__ggml_vocab_test__\n";
    tok_records r = {.n = 0};
    size_t n;
    r.bytes = (char *)test_slurp(path, &n);
    for (str left = {r.bytes, n}; r.n < COUNT_OF(r.at);) {
        size_t end = str_find(left, str_of(separator));
        r.at[r.n++] = str_cut(left, 0, end);
        if (end == SIZE_MAX) break;
        left = str_cut(left, end + sizeof separator - 1, left.len);
    }
    return r;
}

void tok_records_free(tok_records *r) { free(r->bytes); }

/* ---- training ------------------------------------------------------------------------------------------- */

static int symbol(trainer *t, const char *text) {
    for (int i = 0; i < t->n_symbols; i++)
        if (!strcmp(t->text[i], text)) return i;
    CHECK(t->n_symbols < SYMBOLS_MAX && strlen(text) < TEXT_MAX);
    strcpy(t->text[t->n_symbols], text);
    return t->n_symbols++;
}

static void append(trainer *t, int s) {
    CHECK(t->n < SEQUENCE_MAX);
    t->sequence[t->n++] = s;
}

static void byte_text(int b, char text[5]) {
    int cp = b;
    if (b <= 0x20) cp = 256 + b;
    else if (b >= 0x7F && b <= 0xA0) cp = 256 + 33 + b - 0x7F;
    else if (b == 0xAD) cp = 256 + 67;
    text[utf8_encode((uint32_t)cp, text)] = 0;
}

static void add_record(trainer *t, str r, training how) {
    for (size_t at = 0, len; at < r.len; at += len) {
        char text[8] = {0};
        uint32_t cp = utf8_decode(r.ptr + at, r.len - at, &len);
        if (how == BYTES) {
            byte_text((uint8_t)r.ptr[at], text);
            len = 1;
        } else if (cp == UTF8_INVALID || cp == 0 || (how == WORDS && cp <= ' ')) {
            append(t, BREAK);
            continue;
        } else {
            utf8_encode(cp == ' ' ? 0x2581 : cp, text);
        }
        append(t, symbol(t, text));
    }
    append(t, BREAK);
}

static void merge(trainer *t, int left, int right, int made) {
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        bool both = i + 1 < t->n && t->sequence[i] == left && t->sequence[i + 1] == right;
        t->sequence[n++] = both ? made : t->sequence[i];
        i += both;
    }
    t->n = n;
}

static bool train_step(trainer *t) {
    int left = 0, right = 0;
    for (size_t i = 0; i + 1 < t->n; i++)
        if (t->sequence[i] != BREAK && t->sequence[i + 1] != BREAK) t->counts[t->sequence[i]][t->sequence[i + 1]] = 0;
    t->counts[0][0] = 0;
    for (size_t i = 0; i + 1 < t->n; i++) {
        int a = t->sequence[i], b = t->sequence[i + 1];
        if (a == BREAK || b == BREAK || strlen(t->text[a]) + strlen(t->text[b]) >= 32) continue;
        int c = ++t->counts[a][b], best = t->counts[left][right];
        if (c > best || (c == best && (a < left || (a == left && b < right)))) left = a, right = b;
    }
    if (t->counts[left][right] < 2 || t->n_merges == MERGES_MAX) return false;
    char text[2 * TEXT_MAX];
    snprintf(text, sizeof text, "%s%s", t->text[left], t->text[right]);
    t->left[t->n_merges] = left;
    t->right[t->n_merges++] = right;
    merge(t, left, right, symbol(t, text));
    return true;
}

/* Each training is done once and kept. */
static const trainer *train(training how) {
    static trainer trainers[3];
    trainer *t = &trainers[how];
    if (t->n_symbols) return t;
    for (int b = 0; b < 256 && how == BYTES; b++) {
        char text[5];
        byte_text(b, text);
        symbol(t, text);
    }
    static const char *const files[] = {"tests/data/tok/inputs.txt", "tests/data/tok/more.txt"};
    for (size_t f = 0; f < 2; f++) {
        tok_records r = tok_records_read(files[f]);
        for (size_t i = 0; i < r.n; i++) add_record(t, r.at[i], how);
        tok_records_free(&r);
    }
    t->n_first = t->n_symbols;
    while (train_step(t)) {}
    return t;
}

/* ---- vocabularies --------------------------------------------------------------------------------------- */

static void add(vocab *v, const char *text, token_kind kind) {
    for (uint64_t i = 0; i < v->n; i++)
        if (*text && str_is(v->text[i], text)) return;
    CHECK(v->n < COUNT_OF(v->text));
    v->text[v->n] = (str){memcpy(v->bytes + v->n_bytes, text, strlen(text)), strlen(text)};
    v->n_bytes += strlen(text);
    v->kind[v->n] = kind;
    v->score[v->n] = kind == NORMAL ? -(float)v->n : 0;
    v->n++;
}

static void add_all(vocab *v, const char *const *texts, token_kind kind) {
    for (; *texts; texts++) add(v, *texts, kind);
}

static void add_bytes_tokens(vocab *v) {
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        add(v, text, BYTE);
    }
}

static const char *const users[] = {"<tool>", "  ", "   ", "    ", "\n\n", "ab", "abc", "bcd", "<s><s>", NULL};
static const char *const controls[] = {"<s>",   "</s>",  "<|im_end|>", "<|user|>", "[MASK]",
                                       "[CLS]", "[SEP]", "<pad>",      NULL};

/* Unless whole, every 23rd result of a merge is left out of the vocabulary. */
static void fill_bpe(vocab *v, const trainer *t, bool whole, bool special, bool utf8) {
    add(v, "<|endoftext|>", CONTROL);
    add(v, "<mask>", CONTROL);
    add(v, "", NORMAL);
    if (special) add_all(v, controls, CONTROL), add_all(v, users, USER), add(v, "<unk>", UNKNOWN);
    if (utf8) add_bytes_tokens(v);
    for (int i = 0; i < t->n_symbols; i++)
        if (whole || i < t->n_first || i % 23) add(v, t->text[i], NORMAL);
    add(v, "<|end|>", NORMAL); /* a control token all the same, by its text */
    add(v, "<unused0>", UNUSED);
}

static void fill_spm(vocab *v, const trainer *t, bool special) {
    add(v, "<unk>", UNKNOWN);
    add_all(v, controls, CONTROL);
    add(v, "<|endoftext|>", CONTROL);
    if (special) add_all(v, users, USER);
    add_bytes_tokens(v);
    for (int i = t->n_first; i < t->n_symbols; i++) add(v, t->text[i], NORMAL);
    for (int i = 0; i < t->n_first; i++)
        if (i % 7) add(v, t->text[i], NORMAL); /* the rest is spelled by its bytes */
}

static void fill_wpm(vocab *v, const trainer *t) {
    static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL};
    char text[TEXT_MAX + 4];
    add_all(v, specials, CONTROL);
    for (int i = 0; i < t->n_symbols; i++) {
        if (strstr(t->text[i], "\xE2\x96\x81")) continue;
        snprintf(text, sizeof text, "\xE2\x96\x81%s", t->text[i]);
        if (i % 3 || i < t->n_first) add(v, text, NORMAL);
        if (i % 5) add(v, t->text[i], NORMAL);
    }
}

static void put_merges(gguf_writer *w, const trainer *t) {
    static char bytes[MERGES_MAX][2 * TEXT_MAX + 1];
    str merges[MERGES_MAX + 2];
    int n = 0;
    merges[n++] = STR("nospace"); /* which is no merge */
    for (int i = 0; i < t->n_merges; i++) {
        snprintf(bytes[i], sizeof bytes[i], "%s %s", t->text[t->left[i]], t->text[t->right[i]]);
        merges[n++] = str_of(bytes[i]);
    }
    merges[n++] = merges[1]; /* the earlier one counts */
    gguf_put_strs(w, "tokenizer.ggml.merges", merges, (uint64_t)n);
}

static void put_id(gguf_writer *w, const vocab *v, const char *role, const char *text) {
    char key[64];
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", role);
    uint32_t id = UINT32_MAX; /* files have this where there is no such token */
    for (uint32_t i = 0; i < v->n; i++)
        if (str_is(v->text[i], text)) id = i;
    gguf_put_u32(w, key, id);
}

static void put_options(gguf_writer *w, const char *name, const vocab *v) {
    bool wpm = !strncmp(name, "wpm", 3), spm = !strncmp(name, "spm", 3);
    put_id(w, v, "bos", wpm ? "[CLS]" : spm ? "<s>" : "<|endoftext|>");
    put_id(w, v, "eos", wpm ? "[SEP]" : spm ? "</s>" : "<|endoftext|>");
    put_id(w, v, "seperator", "[SEP]");
    put_id(w, v, "padding", "[NONE]");
    put_id(w, v, "unknown", wpm ? "[UNK]" : "<unk>");
    if (!strcmp(name, "bpe-special")) {
        gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
        gguf_put_bool(w, "tokenizer.ggml.add_eos_token", true);
    }
    if (!strcmp(name, "spm-bare")) {
        gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", false);
        gguf_put_bool(w, "tokenizer.ggml.add_eos_token", true);
    }
    if (!strcmp(name, "wpm-cased")) gguf_put_bool(w, "tokenizer.ggml.normalizer.lowercase", false);
    if (!strcmp(name, "bpe-words")) gguf_put_bool(w, "tokenizer.ggml.normalizer.lowercase", true);
}

static void put_scores(gguf_writer *w, const char *name, const vocab *v) {
    static int32_t whole[4096];
    for (uint64_t i = 0; i < v->n; i++) whole[i] = (int32_t)v->score[i] / 2; /* some are equal */
    if (!strcmp(name, "spm-bare")) gguf_put_array(w, "tokenizer.ggml.scores", GGUF_I32, whole, v->n);
    else gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, v->score, v->n);
}

/* What other readers want of a file before they look at its vocabulary. */
static void put_head(gguf_writer *w, const char *name) {
    gguf_put_str(w, "general.architecture", STR("llama"));
    gguf_put_str(w, "general.name", !strcmp(name, "spm-phi3") ? STR("Tiny Phi-3") : STR("tiny"));
    gguf_put_u32(w, "llama.block_count", 1);
    gguf_put_u32(w, "llama.context_length", 128);
    gguf_put_u32(w, "llama.embedding_length", 64);
    gguf_put_u32(w, "llama.feed_forward_length", 64);
    gguf_put_u32(w, "llama.attention.head_count", 1);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

void tok_vocab_write(const char *name, const char *pre, const char *path) {
    static vocab v;
    bool wpm = !strncmp(name, "wpm", 3), spm = !strncmp(name, "spm", 3), words = !strcmp(name, "bpe-words");
    bool special = strchr(name, '-') != NULL, utf8 = words || !strcmp(name, "bpe-utf8");
    bool whole = !strcmp(name, "bpe-whole");
    const trainer *t = train(wpm || words ? WORDS : spm || utf8 ? CHARS : BYTES);
    v.n = v.n_bytes = 0;
    v.bytes = malloc(1 << 17);
    if (wpm) fill_wpm(&v, t);
    else if (spm) fill_spm(&v, t, special);
    else fill_bpe(&v, t, whole, special && !utf8 && !whole, utf8);
    gguf_writer *w;
    err e;
    CHECK_MSG(!gguf_writer_open(&w, 3, 32, &e), "%s", e.text);
    put_head(w, name);
    gguf_put_str(w, "tokenizer.ggml.model", str_of(wpm ? "bert" : spm ? "llama" : words ? "whitespace" : "gpt2"));
    if (!pre) pre = words ? "whitespace" : utf8 ? "gemma4" : "qwen2";
    if (!spm && !wpm) gguf_put_str(w, "tokenizer.ggml.pre", str_of(pre));
    gguf_put_strs(w, "tokenizer.ggml.tokens", v.text, v.n);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, v.kind, v.n);
    if (spm) put_scores(w, name, &v);
    else if (!wpm) put_merges(w, t);
    put_options(w, name, &v);
    err_code code = gguf_write_begin(w, path, &e);
    if (!code) code = gguf_write_finish(w, &e);
    gguf_writer_close(w);
    free(v.bytes);
    CHECK_MSG(!code, "%s", e.text);
}
