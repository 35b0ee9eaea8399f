/* tok_spm.c: sentencepiece vocabularies: characters merge to the pair of the highest score, leftmost first.
 *
 * The whole text is one word, but a merge never spans two bytes that no token has side by side. The place before a
 * U+2581 (a space) is mostly of that kind, so the text is cut there, which gives the same tokens and makes the words
 * short and frequent. tok_merge.c does the merging.
 */
#include "tok/tok_int.h"

static bool is_blank(const char *s, size_t n) { return n >= 3 && memcmp(s, TOK_BLANK, 3) == 0; }

err_code tok_spm_open(tok *t, const gguf *g, err *e) {
    const gguf_kv *kv = NULL;
    uint32_t n = t->names.count;
    t->order = arena_array(&t->mem, n, sizeof(uint32_t));
    if (!t->order) return ERR(e, ERR_MEMORY, "no memory for the scores of %u tokens", n);
    if (gguf_find(g, "tokenizer.ggml.scores")) {
        err_code code = tok_array(g, "tokenizer.ggml.scores", false, n, &kv, e);
        if (code != ERR_NONE) return code;
    }
    for (uint32_t i = 0; i < n; i++) {
        double score = 0;
        if (kv) gguf_item_f64(kv, i, &score);
        float f = (float)score + 0.0f; /* -0 is 0 */
        if (f32_is_nan(f)) return ERR(e, ERR_FORMAT, "tokenizer.ggml.scores: score of token %u is not a number", i);
        uint32_t bits = bits_of_f32(f);
        t->order[i] = bits >> 31 ? bits : ~(bits | 0x80000000u);
        str text = t->names.items[i];
        for (size_t at = 1; at < text.len; at++)
            if (is_blank(text.ptr + at, text.len - at)) t->joins_blank[(uint8_t)text.ptr[at - 1]] = true;
    }
    for (uint32_t b = 0; b < 256; b++) {
        char text[8];
        size_t len = fmt(text, sizeof(text), "<0x%02X>", b);
        t->byte_token[b] = tok_names_find(&t->names, (str){text, len});
        text[0] = (char)b;
        if (t->byte_token[b] == TOK_NONE) t->byte_token[b] = tok_names_find(&t->names, (str){text, 1});
    }
    return ERR_NONE;
}

static bool find_pair(const tok_work *w, const tok_symbol *left, const tok_symbol *right, uint32_t *rank,
                      uint32_t *merged) {
    size_t end = right->next == TOK_NONE ? w->word.len : w->symbols[right->next].at;
    if (end - left->at > w->t->token_bytes_max) return false;
    *merged = tok_names_find(&w->t->names, (str){w->word.ptr + left->at, end - left->at});
    if (*merged == TOK_NONE) return false;
    *rank = w->t->order[*merged];
    return true;
}

static err_code encode_word(tok_work *w, str word, err *e) {
    const tok *t = w->t;
    uint32_t n = 0;
    for (size_t at = 0; at < word.len; at += tok_char_len(word.ptr[at])) n++;
    if (!tok_work_reserve(w, n)) return ERR(e, ERR_MEMORY, "no memory to merge a word of %u characters", n);
    n = 0;
    for (size_t at = 0; at < word.len && (!n || !tok_stopped(w)); at += tok_char_len(word.ptr[at]), n++)
        w->symbols[n] = (tok_symbol){.at = (uint32_t)at, .prev = n - 1, .next = n + 1, .id = TOK_NONE};
    w->symbols[n - 1].next = TOK_NONE;
    w->word = word;
    tok_merge(w, n, find_pair);
    for (uint32_t i = 0; i != TOK_NONE && !tok_stopped(w); i = w->symbols[i].next) {
        const tok_symbol *s = &w->symbols[i];
        size_t end = s->next == TOK_NONE ? word.len : w->symbols[s->next].at;
        uint32_t id = s->id;
        if (id == TOK_NONE) id = tok_names_find(&t->names, (str){word.ptr + s->at, end - s->at});
        if (id != TOK_NONE) {
            tok_emit(w, (int32_t)id);
            continue;
        }
        for (size_t at = s->at; at < end; at++) {
            id = t->byte_token[(uint8_t)word.ptr[at]];
            if (id == TOK_NONE) id = (uint32_t)t->unk;
            if (id != TOK_NONE) tok_emit(w, (int32_t)id);
        }
    }
    return ERR_NONE;
}

err_code tok_spm_encode(tok_work *w, str text, bool add_space, err *e) {
    size_t mark = arena_mark(&w->mem), n = 0;
    char *blanked = arena_alloc(&w->mem, 3 * text.len + 3, 1);
    if (!blanked) return ERR(e, ERR_MEMORY, "no memory for a text of %zu bytes", text.len);
    if (add_space) {
        memcpy(blanked, TOK_BLANK, 3);
        n = 3;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ' ') {
            memcpy(blanked + n, TOK_BLANK, 3);
            n += 3;
        } else {
            blanked[n++] = text.ptr[i];
        }
    }
    err_code code = ERR_NONE;
    for (size_t from = 0, to; from < n && code == ERR_NONE; from = to) {
        to = from + tok_char_len(blanked[from]);
        while (to < n && (!is_blank(blanked + to, n - to) || w->t->joins_blank[(uint8_t)blanked[to - 1]]) &&
               !tok_stopped(w))
            to += tok_char_len(blanked[to]);
        to = MIN(to, n); /* the last character may be cut short */
        code = tok_word(w, (str){blanked + from, to - from}, encode_word, e);
    }
    arena_reset(&w->mem, mark);
    return code;
}
