/* tok_wpm.c: WordPiece as BERT has it: words at white space, punctuation and ideographs, each taken apart into the
 * longest tokens from its left, or unknown as a whole. A word begins with U+2581 in the vocabulary.
 */
#include "tok/tok_int.h"

static bool is_ideograph(uint32_t cp) {
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) || (cp >= 0x20000 && cp <= 0x2A6DF) ||
           (cp >= 0x2A700 && cp <= 0x2B81F) || (cp >= 0x2B920 && cp <= 0x2CEAF) || (cp >= 0xF900 && cp <= 0xFAFF) ||
           (cp >= 0x2F800 && cp <= 0x2FA1F);
}

/* Only lengths that tokens have are tried: one long token must not make every word slow. */
err_code tok_wpm_open(tok *t, err *e) {
    uint8_t *seen = arena_alloc(&t->mem, t->token_bytes_max + 1, 1);
    t->lens = arena_array(&t->mem, t->token_bytes_max, sizeof(uint32_t));
    if (!seen || !t->lens) return ERR(e, ERR_MEMORY, "no memory for the lengths of tokens");
    for (uint32_t i = 0; i < t->names.count; i++) seen[t->names.items[i].len] = 1;
    for (size_t len = t->token_bytes_max; len > 0; len--)
        if (seen[len]) t->lens[t->n_lens++] = (uint32_t)len;
    return ERR_NONE;
}

static uint32_t longest_token(const tok *t, str text, size_t *len) {
    for (uint32_t i = 0; i < t->n_lens; i++) {
        *len = t->lens[i];
        uint32_t id = *len > text.len ? TOK_NONE : tok_names_find(&t->names, (str){text.ptr, *len});
        if (id != TOK_NONE) return id;
    }
    return TOK_NONE;
}

static err_code encode_word(tok_work *w, str word, err *e) {
    const tok *t = w->t;
    size_t count = w->count, n_recent = w->n_recent, at = 0;
    (void)e;
    while (at < word.len) {
        size_t len;
        uint32_t id = longest_token(t, str_cut(word, at, word.len), &len);
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
        if (!space && (cp == 0 || cp == 0xFFFD || class == UNI_CONTROL || (t->strip_accents && class == UNI_MARK)))
            continue;
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
