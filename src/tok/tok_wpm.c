/* tok_wpm.c: WordPiece as BERT has it: words at white space, punctuation and ideographs, each taken apart into the
 * longest tokens from its left, or unknown as a whole. A word begins with U+2581 in the vocabulary.
 */
#include "tok/tok_int.h"

static bool is_ideograph(uint32_t cp) {
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) || (cp >= 0x20000 && cp <= 0x2A6DF) ||
           (cp >= 0x2A700 && cp <= 0x2B81F) || (cp >= 0x2B920 && cp <= 0x2CEAF) || (cp >= 0xF900 && cp <= 0xFAFF) ||
           (cp >= 0x2F800 && cp <= 0x2FA1F);
}

static err_code encode_word(tok_work *w, str word, err *e) {
    const tok *t = w->t;
    size_t count = w->count, n_recent = w->n_recent, at = 0;
    (void)e;
    while (at < word.len) {
        uint32_t id = TOK_NONE;
        size_t len = MIN(word.len - at, t->token_bytes_max);
        for (; len > 0; len--) {
            id = tok_names_find(&t->names, (str){word.ptr + at, len});
            if (id != TOK_NONE) break;
        }
        if (id == TOK_NONE) break;
        tok_emit(w, (int32_t)id);
        at += len;
    }
    if (at < word.len) { /* what it was taken for so far does not count */
        w->count = count;
        w->n_recent = n_recent;
        if (t->unk >= 0) tok_emit(w, t->unk);
    }
    return ERR_NONE;
}

err_code tok_wpm_encode(tok_work *w, str text, err *e) {
    const tok *t = w->t;
    size_t mark = arena_mark(&w->mem), n = 3;
    char *word = arena_alloc(&w->mem, 4 * text.len + 8, 1);
    if (!word) return ERR(e, ERR_MEMORY, "no memory for a text of %zu bytes", text.len);
    memcpy(word, TOK_BLANK, 3);
    err_code code = ERR_NONE;
    for (size_t at = 0, len; at < text.len && code == ERR_NONE; at += len) {
        uint32_t cp = tok_get_cp(text.ptr + at, text.len - at, &len);
        if (t->strip_accents) cp = uni_base(cp);
        uni_class class = uni_class_of(cp);
        bool space = class == UNI_SPACE;
        bool alone = class == UNI_PUNCT || (cp < 0x7F && class == UNI_SYMBOL) || is_ideograph(cp);
        if (!space && (cp == 0 || cp == 0xFFFD || class == UNI_CONTROL || (t->strip_accents && class == UNI_MARK))) continue;
        if ((space || alone) && n > 3) {
            code = tok_word(w, (str){word, n}, encode_word, e);
            n = 3;
        }
        if (!space) n += tok_put_cp(t->lower ? uni_lower(cp) : cp, word + n);
        if (alone && code == ERR_NONE) {
            code = tok_word(w, (str){word, n}, encode_word, e);
            n = 3;
        }
    }
    if (n > 3 && code == ERR_NONE) code = tok_word(w, (str){word, n}, encode_word, e);
    arena_reset(&w->mem, mark);
    return code;
}
