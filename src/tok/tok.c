/* tok.c: opens the tokenizer of a file and takes texts through it.
 *
 * Here is what the kinds have in common: the vocabulary, the defaults of each kind and what the file says instead, and
 * the walk over a text, whose special tokens are taken out first. tok_int.h says which file has the rest. What a file
 * leaves open follows llama.cpp (release v0.5.0), so that a file gives the same tokens here and there.
 */
#include "tok/tok_int.h"

#include "plat/plat.h"

/* ---- the vocabulary ----------------------------------------------------------------------------------- */

err_code tok_array(const gguf *g, const char *key, bool want_str, uint64_t n, const gguf_kv **out, err *e) {
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return ERR(e, ERR_FORMAT, "%s: missing", key);
    bool number = kv->item != GGUF_STR && kv->item != GGUF_BOOL && kv->item != GGUF_ARR;
    if (kv->kind != GGUF_ARR || (want_str ? kv->item != GGUF_STR : !number))
        return ERR(e, ERR_FORMAT, "%s: %s%s, wanted an array of %s", key, kv->kind == GGUF_ARR ? "array of " : "",
                   gguf_kind_name(kv->item), want_str ? "str" : "numbers");
    if (kv->count < n)
        return ERR(e, ERR_FORMAT, "%s: %llu items, wanted one for each of %llu tokens", key,
                   (unsigned long long)kv->count, (unsigned long long)n);
    *out = kv;
    return ERR_NONE;
}

/* Copies the tokens' texts, so that the file may be closed. A token without text gets a name that says so. */
static err_code copy_tokens(tok *t, const gguf_kv *kv, err *e) {
    char *at = arena_alloc(&t->mem, kv->data_bytes, 1); /* more than enough: the file has the lengths too */
    if (!at) return ERR(e, ERR_MEMORY, "no memory for %llu tokens", (unsigned long long)kv->count);
    gguf_cursor c = {0, 0};
    for (str text; gguf_next_str(kv, &c, &text);) {
        uint32_t id = (uint32_t)c.index - 1;
        if (text.len > TOK_PIECE_MAX)
            return ERR(e, ERR_FORMAT, "tokenizer.ggml.tokens: token %u has %zu bytes, at most %d wanted", id, text.len,
                       TOK_PIECE_MAX);
        if (text.len) {
            t->names.items[id] = (str){memcpy(at, text.ptr, text.len), text.len};
            at += text.len;
        } else {
            char *empty = arena_alloc(&t->mem, 24, 1);
            if (!empty) return ERR(e, ERR_MEMORY, "no memory for token %u", id);
            t->names.items[id] = (str){empty, fmt(empty, 24, "[EMPTY_%u]", id)};
        }
        t->token_bytes_max = MAX(t->token_bytes_max, t->names.items[id].len);
    }
    return ERR_NONE;
}

static err_code read_tokens(tok *t, const gguf_kv *kv, err *e) {
    uint64_t seed;
    plat_entropy(&seed, sizeof(seed));
    uint32_t n = (uint32_t)kv->count;
    t->attr = arena_array(&t->mem, n, sizeof(uint16_t));
    if (!t->attr || !tok_names_open(&t->names, &t->mem, n, seed))
        return ERR(e, ERR_MEMORY, "no memory for %u tokens", n);
    err_code code = copy_tokens(t, kv, e);
    for (uint32_t i = 0; i < n && code == ERR_NONE; i++) {
        str text = t->names.items[i]; /* which is where it will be */
        if (i + 16 < n) tok_names_warm(&t->names, tok_names_hash(&t->names, t->names.items[i + 16]), 0);
        uint32_t at = tok_names_add(&t->names, &t->mem, text);
        if (at != i)
            code = ERR(e, ERR_FORMAT, "tokenizer.ggml.tokens: tokens %u and %u have the same text \"%.*s\"", at, i,
                       (int)MIN(text.len, 64), text.ptr);
    }
    return code;
}

static err_code read_attrs(tok *t, const gguf *g, err *e) {
    /* By kind in the file: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; others: none of these. */
    static const uint16_t attrs[] = {0, ATTR_NORMAL, ATTR_UNKNOWN, ATTR_CONTROL, ATTR_USER, ATTR_UNUSED, ATTR_BYTE};
    const gguf_kv *kv = NULL;
    if (gguf_find(g, "tokenizer.ggml.token_type")) {
        err_code code = tok_array(g, "tokenizer.ggml.token_type", false, t->names.count, &kv, e);
        if (code != ERR_NONE) return code;
    }
    for (uint32_t i = 0; i < t->names.count; i++) {
        uint64_t kind = 1;
        if (kv && !gguf_item_u64(kv, i, &kind)) kind = 0;
        t->attr[i] = kind < COUNT_OF(attrs) ? attrs[kind] : 0;
    }
    return ERR_NONE;
}

/* ---- kinds ----------------------------------------------------------------------------------------------- */

static err_code choose_pre(tok *t, str name, err *e) {
    if (name.len == 0) name = STR("default");
    t->pre = tok_pre_find(name);
    if (!t->pre)
        return ERR(e, ERR_UNSUPPORTED, "tokenizer.ggml.pre: pre-tokenizer \"%.*s\" is unknown", (int)MIN(name.len, 64),
                   name.ptr);
    t->pre_flags = tok_pre_flags(t->pre);
    t->add_bos = t->pre_flags & (PRE_ADD_BOS | PRE_FORCE_BOS);
    t->tidy_spaces = !(t->pre_flags & PRE_KEEP_SPACES);
    if (t->pre_flags & PRE_NO_BOS) t->bos = -1;
    return ERR_NONE;
}

/* What holds unless the file says otherwise. */
static err_code choose_kind(tok *t, const gguf *g, err *e) {
    str model = STR(""), pre = STR("");
    if (!tok_present(g)) return ERR(e, ERR_FORMAT, "tokenizer.ggml.model: missing; this file has no tokenizer");
    gguf_get_str(g, "tokenizer.ggml.model", &model);
    gguf_get_str(g, "tokenizer.ggml.pre", &pre);
    t->unk = t->sep = -1;
    if (str_is(model, "llama")) {
        t->kind = TOK_SPM;
        t->bos = 1, t->eos = 2, t->unk = 0;
        t->add_space = t->add_bos = true;
        return ERR_NONE;
    }
    if (str_is(model, "bert")) {
        t->kind = TOK_WPM;
        t->bos = 101, t->eos = -1, t->unk = 100, t->sep = 102;
        t->add_bos = t->tidy_spaces = t->lower = true;
        return ERR_NONE;
    }
    t->kind = TOK_BPE;
    t->bos = t->eos = 11;
    if (str_is(model, "gpt2") || str_is(model, "whitespace")) return choose_pre(t, pre, e);
    t->bos = t->eos = -1;
    if (str_is(model, "gemma4")) return choose_pre(t, model, e);
    return ERR(e, ERR_UNSUPPORTED,
               "tokenizer.ggml.model: tokenizer \"%.*s\" is not known here, wanted gpt2, llama, bert or gemma4",
               (int)MIN(model.len, 64), model.ptr);
}

static void read_options(tok *t, const gguf *g) {
    gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &t->add_space);
    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->add_bos);
    gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &t->add_eos);
    gguf_get_bool(g, "tokenizer.ggml.normalizer.lowercase", &t->lower);
    t->strip_accents = t->lower;
    gguf_get_bool(g, "tokenizer.ggml.normalizer.strip_accents", &t->strip_accents);
    if (t->pre_flags & PRE_FORCE_BOS) t->add_bos = true;
    if (t->kind == TOK_BPE && !(t->pre_flags & PRE_DROP_SPACES)) t->lower = false;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

/* A bound on what the tables may take, for address space only: each string has a text, twice a place in a table while
 * that grows, a slot or two; each merge three strings and two slots. */
static size_t bound(const gguf *g) {
    const gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens"), *merges = gguf_find(g, "tokenizer.ggml.merges");
    size_t bytes = (size_t)1 << 20;
    if (tokens) bytes += 2 * tokens->data_bytes + 128 * (size_t)tokens->count;
    if (merges) bytes += 4 * merges->data_bytes + 1024 * (size_t)merges->count;
    return bytes + sizeof(tok);
}

static err_code fill(tok *t, const gguf *g, err *e) {
    const gguf_kv *tokens = NULL;
    err_code code = choose_kind(t, g, e);
    if (code == ERR_NONE) code = tok_array(g, "tokenizer.ggml.tokens", true, 1, &tokens, e);
    if (code == ERR_NONE) code = read_tokens(t, tokens, e);
    if (code == ERR_NONE) code = read_attrs(t, g, e);
    if (code == ERR_NONE) read_options(t, g);
    if (code == ERR_NONE) code = tok_special_open(t, g, e);
    if (code == ERR_NONE && t->kind == TOK_BPE) code = tok_bpe_open(t, g, e);
    if (code == ERR_NONE && t->kind == TOK_SPM) code = tok_spm_open(t, g, e);
    if (code == ERR_NONE && t->kind == TOK_WPM) code = tok_wpm_open(t, e);
    return code;
}

err_code tok_open(tok **out, const gguf *g, err *e) {
    arena mem = {0};
    *out = NULL;
    err_code code = arena_open(&mem, MEM_TOK, bound(g), e);
    tok *t = code == ERR_NONE ? arena_alloc(&mem, sizeof(tok), 64) : NULL;
    if (!t) {
        arena_close(&mem);
        return code != ERR_NONE ? code : ERR(e, ERR_MEMORY, "no memory for a tokenizer");
    }
    t->mem = mem;
    code = fill(t, g, e);
    if (code == ERR_NONE) *out = t;
    else tok_close(t);
    return code;
}

void tok_close(tok *t) {
    if (!t) return;
    arena mem = t->mem; /* which holds t */
    arena_close(&mem);
}

/* ---- encoding -------------------------------------------------------------------------------------------- */

static err_code encode_text(tok_work *w, str text, bool after_special, err *e) {
    switch (w->t->kind) {
    case TOK_BPE: return tok_bpe_encode(w, text, e);
    case TOK_SPM: return tok_spm_encode(w, text, w->t->add_space && after_special, e);
    case TOK_WPM: return tok_wpm_encode(w, text, e);
    }
    return ERR_INTERNAL;
}

/* Text and special tokens in turn, as the cover has them. */
static err_code encode_covered(tok_work *w, str text, const uint8_t *cover, err *e) {
    err_code code = ERR_NONE;
    bool after_special = true;
    for (size_t from = 0, to; from < text.len && code == ERR_NONE && !w->cancelled; from = to) {
        uint8_t what = cover ? cover[from] : COVER_TEXT;
        uint8_t more = what == COVER_TOKEN ? COVER_REST : what;
        for (to = cover ? from + 1 : text.len; to < text.len && cover[to] == more;) to++;
        str part = str_cut(text, from, to - from);
        if (what == COVER_TEXT) code = encode_text(w, part, after_special, e);
        if (what == COVER_TOKEN) tok_emit(w, (int32_t)tok_names_find(&w->t->names, part));
        after_special = what == COVER_TOKEN || (what == COVER_DROPPED && after_special);
    }
    return code;
}

/* What encoding puts around a text; -1: nothing. */
static int32_t first_id(const tok *t) { return t->kind == TOK_WPM || t->add_bos ? t->bos : -1; }
static int32_t last_id(const tok *t) { return t->kind == TOK_WPM ? t->sep : t->add_eos ? t->eos : -1; }

err_code tok_encode(const tok *t, str text, uint32_t flags, int32_t *ids, size_t cap, size_t *count, err *e) {
    return tok_encode_yielding(t, text, flags, NULL, ids, cap, count, e);
}

err_code tok_encode_yielding(const tok *t, str text, uint32_t flags, const yield_hook *yield, int32_t *ids, size_t cap,
                             size_t *count, err *e) {
    tok_work w = {.t = t, .ids = ids, .cap = cap, .yield = yield};
    uint8_t *cover = NULL;
    *count = 0;
    if (text.len > TOK_TEXT_MAX)
        return ERR(e, ERR_LIMIT, "a text of %zu bytes is too long, at most %zu wanted", text.len, TOK_TEXT_MAX);
    err_code code = tok_work_open(&w, text.len, e);
    if (code == ERR_NONE) code = tok_special_cover(&w, text, flags & TOK_SPECIAL, &cover, e);
    if ((flags & TOK_BOS) && first_id(t) >= 0) tok_emit(&w, first_id(t));
    if (code == ERR_NONE) code = encode_covered(&w, text, cover, e);
    if ((flags & TOK_BOS) && last_id(t) >= 0) tok_emit(&w, last_id(t));
    tok_work_close(&w);
    if (code == ERR_NONE && w.cancelled) code = ERR(e, ERR_CANCELLED, "a text of %zu bytes: cancelled", text.len);
    if (code == ERR_NONE) *count = w.count;
    return code;
}

size_t tok_unwrap(const tok *t, const int32_t **ids, size_t n) {
    if (n && **ids == first_id(t)) (*ids)++, n--;
    if (n && (*ids)[n - 1] == last_id(t)) n--;
    return n;
}

/* ---- what a tokenizer says of itself ------------------------------------------------------------------------ */

size_t tok_count(const tok *t) { return t->names.count; }
int32_t tok_bos(const tok *t) { return t->bos; }
bool tok_adds_bos(const tok *t) { return first_id(t) >= 0; }
bool tok_ends(const tok *t, int32_t id) {
    return id >= 0 && (uint32_t)id < t->names.count && (t->attr[id] & ATTR_ENDS);
}
str tok_text(const tok *t, int32_t id) {
    return id >= 0 && (uint32_t)id < t->names.count ? t->names.items[id] : STR("");
}
const char *tok_pre_name(const tok *t) { return t->pre ? tok_pre_title(t->pre) : ""; }

const char *tok_kind_name(const tok *t) {
    static const char *const names[] = {"BPE", "SPM", "WPM"};
    return names[t->kind];
}

bool tok_present(const gguf *g) {
    str model;
    return gguf_get_str(g, "tokenizer.ggml.model", &model) && !str_is(model, "no_vocab") && !str_is(model, "none");
}
