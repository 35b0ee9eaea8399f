/* tok_bpe.c: byte-pair encoding, on the byte alphabet of GPT-2 or, where the pre-tokenizer says so, on characters.
 *
 * A symbol is the id of a token. Merges may also make, and use, texts that are no tokens; those get numbers from
 * names.count on (tok.extra), and what is left of them in the end is spelled byte by byte. So a merge is two numbers,
 * and the text of a word matters no more once it is cut into its first symbols.
 */
#include "tok/tok_int.h"

/* ---- opening ------------------------------------------------------------------------------------------ */

/* Printable bytes of Latin-1 stand for themselves, the others, in order, for U+0100 and on. */
static void make_alphabet(tok *t) {
    uint32_t next = 256;
    for (uint32_t i = 0; i < COUNT_OF(t->cp_byte); i++) t->cp_byte[i] = -1;
    for (uint32_t b = 0; b < 256; b++) {
        bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
        t->byte_cp[b] = (uint16_t)(printable ? b : next++);
        t->cp_byte[t->byte_cp[b]] = (int16_t)b;
    }
}

static uint32_t find_hashed(const tok *t, str text, uint64_t hash) {
    uint32_t id = tok_names_find_hashed(&t->names, text, hash);
    if (id != TOK_NONE || t->extra.count == 0) return id;
    id = tok_names_find_hashed(&t->extra, text, hash);
    return id == TOK_NONE ? id : t->names.count + id;
}

static uint32_t find_symbol(const tok *t, str text) {
    return find_hashed(t, text, tok_names_hash(&t->names, text));
}

/* The symbol of a text, a new one where there is none. TOK_NONE without memory. */
static uint32_t symbol_of(tok *t, str text, uint64_t hash) {
    uint32_t id = find_hashed(t, text, hash);
    if (id != TOK_NONE) return id;
    char *copy = arena_copy(&t->mem, text);
    if (!copy) return TOK_NONE;
    id = tok_names_add(&t->extra, &t->mem, (str){copy, text.len});
    return id == TOK_NONE ? id : t->names.count + id;
}

static uint32_t pair_hash(const tok *t, uint32_t left, uint32_t right) {
    uint64_t hash = (((uint64_t)left << 32 | right) ^ t->names.seed) * 0x9E3779B97F4A7C15u;
    return (uint32_t)((hash ^ hash >> 32) * 0xBB67AE8584CAA73Bu >> 32);
}

static tok_pair *pair_slot(const tok *t, uint32_t left, uint32_t right) {
    for (uint32_t at = pair_hash(t, left, right);; at++) {
        tok_pair *p = &t->pairs[at & t->pair_mask];
        if (!p->merged || (p->left == left && p->right == right)) return p;
    }
}

static bool is_joined(const tok *t, uint32_t id, str left, str right) {
    if (id >= t->names.count || t->names.items[id].len != left.len + right.len) return false;
    const char *text = t->names.items[id].ptr;
    return memcmp(text, left.ptr, left.len) == 0 && memcmp(text + left.len, right.ptr, right.len) == 0;
}

/* What left and right make. Merges mostly come in the order of their results, so the token of the merge before, or the
 * next one, saves most searches. */
static uint32_t joined_symbol(tok *t, str left, str right, uint32_t before) {
    char small[256], *text = small;
    if (is_joined(t, before, left, right)) return before;
    if (is_joined(t, before + 1, left, right)) return before + 1;
    if (left.len + right.len > sizeof(small)) text = arena_alloc(&t->mem, left.len + right.len, 1);
    if (!text) return TOK_NONE;
    memcpy(text, left.ptr, left.len);
    memcpy(text + left.len, right.ptr, right.len);
    str joined = {text, left.len + right.len};
    return symbol_of(t, joined, tok_names_hash(&t->names, joined));
}

/* A merge on its way into the table. */
typedef struct pending {
    str left, right;
    uint64_t left_hash, right_hash;
    uint32_t rank, l, r, made;
} pending;

/* A merge is two texts with a space between: the first space that is not the first byte. Without a space it is none. */
static bool cut_merge(const tok *t, str merge, pending *m) {
    size_t cut = 1;
    while (cut < merge.len && merge.ptr[cut] != ' ') cut++;
    if (cut >= merge.len) return false;
    m->left = (str){merge.ptr, cut};
    m->right = (str){merge.ptr + cut + 1, merge.len - cut - 1};
    m->left_hash = tok_names_hash(&t->names, m->left);
    m->right_hash = tok_names_hash(&t->names, m->right);
    return true;
}

/* Merges go in by the hundred: nearly all of the time is waiting for memory, and so many can wait together. The earlier
 * of two equal merges counts. `before` is what the last merge made. */
static err_code add_merges(tok *t, pending *m, size_t n, uint32_t *before, err *e) {
    for (int step = 0; step < 3; step++) {
        for (size_t i = 0; i < n; i++) {
            tok_names_warm(&t->names, m[i].left_hash, step);
            tok_names_warm(&t->names, m[i].right_hash, step);
        }
    }
    for (size_t i = 0; i < n; i++) {
        m[i].l = symbol_of(t, m[i].left, m[i].left_hash);
        m[i].r = symbol_of(t, m[i].right, m[i].right_hash);
        m[i].made = joined_symbol(t, m[i].left, m[i].right, *before);
        if (m[i].l == TOK_NONE || m[i].r == TOK_NONE || m[i].made == TOK_NONE)
            return ERR(e, ERR_MEMORY, "no memory for merge %u", m[i].rank);
        *before = m[i].made;
        __builtin_prefetch(&t->pairs[pair_hash(t, m[i].l, m[i].r) & t->pair_mask]);
    }
    for (size_t i = 0; i < n; i++) {
        tok_pair *p = pair_slot(t, m[i].l, m[i].r);
        if (!p->merged) *p = (tok_pair){m[i].l, m[i].r, m[i].rank, m[i].made + 1};
    }
    return ERR_NONE;
}

static err_code read_merges(tok *t, const gguf *g, err *e) {
    const gguf_kv *kv = NULL;
    size_t slots = 16, n = 0;
    uint32_t before = 0;
    /* Where words are whole tokens a file may do without merges. */
    bool needed = !(t->pre_flags & PRE_MERGES_OPTIONAL) || gguf_find(g, "tokenizer.ggml.merges");
    err_code code = needed ? tok_array(g, "tokenizer.ggml.merges", true, 0, &kv, e) : ERR_NONE;
    if (code != ERR_NONE) return code;
    uint64_t count = kv ? kv->count : 0;
    while (slots < count + count / 2) slots *= 2;
    t->pairs = arena_array(&t->mem, slots, sizeof(tok_pair));
    t->pair_mask = (uint32_t)(slots - 1);
    if (!t->pairs || !tok_names_open(&t->extra, &t->mem, 0, t->names.seed))
        return ERR(e, ERR_MEMORY, "no memory for %llu merges", (unsigned long long)count);
    pending batch[96];
    gguf_cursor c = {0, 0};
    for (str merge; code == ERR_NONE && kv && gguf_next_str(kv, &c, &merge);) {
        batch[n].rank = (uint32_t)c.index - 1;
        n += cut_merge(t, merge, &batch[n]);
        if (n < COUNT_OF(batch)) continue;
        code = add_merges(t, batch, n, &before, e);
        n = 0;
    }
    return code == ERR_NONE ? add_merges(t, batch, n, &before, e) : code;
}

err_code tok_bpe_open(tok *t, const gguf *g, err *e) {
    make_alphabet(t);
    err_code code = read_merges(t, g, e);
    if (code != ERR_NONE) return code;
    for (uint32_t b = 0; b < 256; b++) {
        char text[8];
        t->byte_symbol[b] = find_symbol(t, (str){text, tok_put_cp(t->byte_cp[b], text)});
        size_t len = t->pre_flags & PRE_UTF8 ? fmt(text, sizeof(text), "<0x%02X>", b) : (text[0] = (char)b, 1);
        t->byte_token[b] = tok_names_find(&t->names, (str){text, len});
    }
    return ERR_NONE;
}

/* ---- encoding ----------------------------------------------------------------------------------------- */

static bool find_pair(const tok_work *w, const tok_symbol *left, const tok_symbol *right, uint32_t *rank,
                      uint32_t *merged) {
    const tok_pair *p = pair_slot(w->t, left->id, right->id);
    *rank = p->rank;
    *merged = p->merged - 1;
    return p->merged != 0;
}

/* The word as the vocabulary writes it, when that may be a token. */
static uint32_t whole_token(const tok_work *w, str word) {
    const tok *t = w->t;
    if (word.len > t->token_bytes_max) return TOK_NONE;
    if (t->pre_flags & PRE_UTF8) return tok_names_find(&t->names, word);
    size_t n = 0;
    for (size_t i = 0; i < word.len; i++) n += tok_put_cp(t->byte_cp[(uint8_t)word.ptr[i]], w->spelled + n);
    return tok_names_find(&t->names, (str){w->spelled, n});
}

/* A text that is no token: by its bytes, as the vocabulary writes them; those that it lacks are dropped. */
static void emit_bytes(tok_work *w, const char *bytes, size_t n) {
    const tok *t = w->t;
    for (size_t i = 0; i < n; i++) {
        char spelled[4] = {bytes[i]};
        size_t len = t->pre_flags & PRE_UTF8 ? 1 : tok_put_cp(t->byte_cp[(uint8_t)bytes[i]], spelled);
        for (size_t k = 0; k < len; k++) {
            uint32_t id = t->byte_token[(uint8_t)spelled[k]];
            if (id != TOK_NONE) tok_emit(w, (int32_t)id);
        }
    }
}

static err_code encode_word(tok_work *w, str word, err *e) {
    const tok *t = w->t;
    bool newlines = (t->pre_flags & PRE_WHOLE_NEWLINES) && word.ptr[0] == '\n'; /* such words have nothing else */
    uint32_t whole = newlines || (t->pre_flags & PRE_WHOLE_WORDS) ? whole_token(w, word) : TOK_NONE;
    if (whole != TOK_NONE) {
        tok_emit(w, (int32_t)whole);
        return ERR_NONE;
    }
    if (!tok_work_reserve(w, word.len)) return ERR(e, ERR_MEMORY, "no memory to merge a word of %zu bytes", word.len);
    uint32_t n = 0;
    for (size_t at = 0, len; at < word.len && (!n || !tok_stopped(w)); at += len, n++) {
        len = t->pre_flags & PRE_UTF8 ? MIN(tok_char_len(word.ptr[at]), word.len - at) : 1;
        str one = {word.ptr + at, len};
        uint32_t id = t->pre_flags & PRE_UTF8 ? find_symbol(t, one) : t->byte_symbol[(uint8_t)word.ptr[at]];
        w->symbols[n] = (tok_symbol){.at = (uint32_t)at, .prev = n - 1, .next = n + 1, .id = id};
    }
    w->symbols[n - 1].next = TOK_NONE;
    w->word = word;
    tok_merge(w, n, find_pair);
    for (uint32_t i = 0; i != TOK_NONE && !tok_stopped(w); i = w->symbols[i].next) {
        const tok_symbol *s = &w->symbols[i];
        size_t end = s->next == TOK_NONE ? word.len : w->symbols[s->next].at;
        if (s->id < t->names.count) tok_emit(w, (int32_t)s->id);
        else emit_bytes(w, word.ptr + s->at, end - s->at);
    }
    return ERR_NONE;
}

/* The characters of a word as UTF-8. */
static str word_text(const tok *t, const uint32_t *chars, size_t n, char *out) {
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t cp = CHAR_CP(chars[i]);
        if (cp == ' ' && (t->pre_flags & PRE_BLANKS)) cp = TOK_BLANK_CP;
        if (t->lower) cp = uni_lower(cp);
        len += tok_put_cp(cp, out + len);
    }
    return (str){out, len};
}

err_code tok_bpe_encode(tok_work *w, str text, err *e) {
    const tok *t = w->t;
    size_t mark = arena_mark(&w->mem), longest = 0;
    uint32_t *chars = arena_array(&w->mem, text.len, sizeof(uint32_t));
    if (!chars) return ERR(e, ERR_MEMORY, "no memory for a text of %zu bytes", text.len);
    size_t n = tok_pre_split(t->pre, text, chars, w);
    for (size_t from = 0, i = 1; i <= n; i++) {
        if (i < n && !(chars[i] & CHAR_BEGINS)) continue;
        longest = MAX(longest, i - from);
        from = i;
    }
    char *word = arena_alloc(&w->mem, 4 * longest, 1);
    err_code code = word ? ERR_NONE : ERR(e, ERR_MEMORY, "no memory for a word of %zu characters", longest);
    for (size_t from = 0, to; from < n && code == ERR_NONE; from = to) {
        for (to = from + 1; to < n && !(chars[to] & CHAR_BEGINS);) to++;
        if ((t->pre_flags & PRE_DROP_SPACES) && uni_class_of(CHAR_CP(chars[from])) == UNI_SPACE) continue;
        code = tok_word(w, word_text(t, chars + from, to - from, word), encode_word, e);
    }
    arena_reset(&w->mem, mark);
    return code;
}
