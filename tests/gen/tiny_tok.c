/* tiny_tok.c: the vocabularies of the tiny models.
 *
 * Pieces are the prefixes of a few dozen words, each with and without a leading space, so that merging letter by letter
 * reaches every word: "t" "th" "the". The same words make an SPM, a BPE and a WPM vocabulary.
 */
#include "gen/tiny_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_MAX = 65536, BYTES_MAX = 2 << 20 };

static const char *const words[] = {
    "the", "and", "was", "that", "with", "you", "his", "her", "they", "she", "for", "not", "have", "from", "this",
    "had", "one", "said", "what", "were", "when", "once", "upon", "time", "there", "little", "girl", "boy", "water",
    "mill", "stone", "wheel", "river", "leat", "turn", "grain", "Hello", "world", "Lily", "day", "in", "to", "of",
    "it", "is", "a", "on", "he", "I", "2024", "123", "caf\xc3\xa9", "na\xc3\xafve", "\xe6\xb0\xb4",
};

typedef enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, UNUSED = 5, BYTE = 6 } token_kind;

static void add_token(tiny_vocab *v, const char *bytes, size_t len, token_kind kind, float score) {
    if (v->n == N_MAX || v->n_bytes + len > BYTES_MAX) abort();
    memcpy(v->bytes + v->n_bytes, bytes, len);
    v->text[v->n] = (str){v->bytes + v->n_bytes, len};
    v->n_bytes += len;
    v->kind[v->n] = kind;
    v->score[v->n++] = score;
}

static void add_text(tiny_vocab *v, const char *text, token_kind kind) { add_token(v, text, strlen(text), kind, 0); }

static bool has(const tiny_vocab *v, str s) {
    for (uint32_t i = 0; i < v->n; i++)
        if (str_eq(v->text[i], s)) return true;
    return false;
}

/* Bytes of the UTF-8 character that starts with this one. */
static size_t char_bytes(char c) {
    uint8_t b = (uint8_t)c;
    return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

/* ---- SPM -------------------------------------------------------------------------------------------------------- */

/* A piece that is not there yet; the earlier, the higher its score. */
static void add_piece(tiny_vocab *v, const char *text, size_t len) {
    if (!has(v, (str){text, len})) add_token(v, text, len, NORMAL, -(float)(v->n - 259));
}

static void make_spm(tiny_vocab *v) {
    add_text(v, "<unk>", UNKNOWN);
    add_text(v, "<s>", CONTROL);
    add_text(v, "</s>", CONTROL);
    for (int i = 0; i < 256; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", i);
        add_text(v, text, BYTE);
    }
    for (size_t i = 0; i < COUNT_OF(words); i++)
        for (int spaced = 1; spaced >= 0; spaced--) {
            char text[64];
            snprintf(text, sizeof text, "%s%s", spaced ? "\xe2\x96\x81" : "", words[i]);
            for (size_t at = 0, len = strlen(text); at < len;) {
                at += char_bytes(text[at]);
                add_piece(v, text, at);
            }
        }
    for (char c = 'a'; c <= 'z'; c++) add_piece(v, &c, 1);
    for (const char *c = ".,!?'\"\n"; *c; c++) add_piece(v, c, 1);
}

/* ---- BPE -------------------------------------------------------------------------------------------------------- */

/* GPT-2 writes a byte as a visible character: itself where it is one, else 256 and on. */
static size_t visible(uint8_t byte, char out[4]) {
    uint32_t cp = byte, n = 0;
    if (!((byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE)) {
        for (uint32_t b = 0; b < byte; b++) n += !((b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE);
        cp = 256 + n;
    }
    return utf8_encode(cp, out);
}

static void add_merge(tiny_vocab *v, str left, str right) {
    if (v->n_merges == N_MAX || v->n_bytes + left.len + right.len + 1 > BYTES_MAX) abort();
    char *at = v->bytes + v->n_bytes;
    memcpy(at, left.ptr, left.len);
    at[left.len] = ' ';
    memcpy(at + left.len + 1, right.ptr, right.len);
    v->merges[v->n_merges++] = (str){at, left.len + 1 + right.len};
    v->n_bytes += left.len + right.len + 1;
}

static void make_bpe(tiny_vocab *v) {
    char out[4];
    for (int i = 0; i < 256; i++) add_token(v, out, visible((uint8_t)i, out), NORMAL, 0);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        for (int spaced = 1; spaced >= 0; spaced--) {
            char text[128], plain[64];
            snprintf(plain, sizeof plain, "%s%s", spaced ? " " : "", words[i]);
            size_t len = 0;
            for (size_t k = 0; plain[k]; k++) {
                size_t before = len, more = visible((uint8_t)plain[k], text + len);
                len += more;
                if (k == 0 || has(v, (str){text, len})) continue;
                add_merge(v, (str){text, before}, (str){text + before, more});
                add_token(v, text, len, NORMAL, 0);
            }
        }
    add_text(v, "<|endoftext|>", CONTROL);
    add_text(v, "<|im_end|>", CONTROL);
}

/* ---- WPM -------------------------------------------------------------------------------------------------------- */

static void make_wpm(tiny_vocab *v) {
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (size_t i = 0; i < COUNT_OF(special); i++) add_text(v, special[i], CONTROL);
    char text[64];
    for (int spaced = 1; spaced >= 0; spaced--)
        for (char c = '!'; c <= '~'; c++) {
            snprintf(text, sizeof text, "%s%c", spaced ? "\xe2\x96\x81" : "", c);
            add_text(v, text, NORMAL);
        }
    for (size_t i = 0; i < COUNT_OF(words); i++)
        for (int spaced = 1; spaced >= 0; spaced--) {
            snprintf(text, sizeof text, "%s%s", spaced ? "\xe2\x96\x81" : "", words[i]);
            if (!has(v, str_of(text))) add_text(v, text, NORMAL);
        }
}

/* ---- all -------------------------------------------------------------------------------------------------------- */

void tiny_vocab_make(tiny_vocab *v, const tiny_spec *s) {
    *v = (tiny_vocab){0};
    if (s->tok == TINY_TOK_NONE) {
        v->n = s->n_vocab ? s->n_vocab : 128;
        return;
    }
    v->text = calloc(N_MAX, sizeof *v->text);
    v->score = calloc(N_MAX, sizeof *v->score);
    v->kind = calloc(N_MAX, sizeof *v->kind);
    v->merges = calloc(N_MAX, sizeof *v->merges);
    v->bytes = calloc(1, BYTES_MAX);
    if (!v->text || !v->score || !v->kind || !v->merges || !v->bytes) abort();
    if (s->tok == TINY_TOK_SPM) make_spm(v);
    if (s->tok == TINY_TOK_BPE) make_bpe(v);
    if (s->tok == TINY_TOK_WPM) make_wpm(v);
    for (uint32_t i = 0; v->n < s->n_vocab; i++) {
        char text[32];
        snprintf(text, sizeof text, "<extra_%u>", i);
        add_text(v, text, UNUSED);
    }
}

void tiny_vocab_free(tiny_vocab *v) {
    free(v->text);
    free(v->score);
    free(v->kind);
    free(v->merges);
    free(v->bytes);
}

void tiny_vocab_put(gguf_writer *w, const tiny_spec *s, const tiny_vocab *v) {
    static const char *const models[] = {"no_vocab", "llama", "gpt2", "bert"};
    gguf_put_str(w, "tokenizer.ggml.model", str_of(models[s->tok]));
    if (s->tok == TINY_TOK_NONE) return;
    if (s->tok == TINY_TOK_BPE) gguf_put_str(w, "tokenizer.ggml.pre", str_of(s->tok_pre ? s->tok_pre : "gpt-2"));
    gguf_put_strs(w, "tokenizer.ggml.tokens", v->text, v->n);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, v->kind, v->n);
    switch (s->tok) {
    case TINY_TOK_NONE: break;
    case TINY_TOK_SPM:
        gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, v->score, v->n);
        gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
        gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
        gguf_put_bool(w, "tokenizer.ggml.add_eos_token", false);
        gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", true);
        break;
    case TINY_TOK_BPE: {
        uint32_t end = 0;
        while (!str_is(v->text[end], "<|endoftext|>")) end++;
        gguf_put_strs(w, "tokenizer.ggml.merges", v->merges, v->n_merges);
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", end);
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", end);
        gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
        break;
    }
    case TINY_TOK_WPM:
        gguf_put_u32(w, "tokenizer.ggml.padding_token_id", 0);
        gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 1);
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 2);
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 3);
        gguf_put_u32(w, "tokenizer.ggml.seperator_token_id", 3); /* spelled so in the format */
        gguf_put_u32(w, "tokenizer.ggml.mask_token_id", 4);
        break;
    }
}
