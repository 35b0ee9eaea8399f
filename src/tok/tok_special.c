/* tok_special.c: the tokens that are more than text: which ones end a generation, which ones are found in a text before
 * anything else, and where.
 *
 * Files say only part of it. What they leave out is known by the tokens' texts and the models' names, and the lists of
 * both here are llama.cpp's (release v0.5.0): a file that runs there must stop and split in the same places here.
 */
#include "tok/tok_int.h"

/* ---- ids by key, or else by text ------------------------------------------------------------------------ */

static const char *const eot_texts[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
                                        "<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]",
                                        "<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
                                        "<end_of_utterance>", NULL};
static const char *const eom_texts[] = {"<|eom_id|>", NULL};
static const char *const fim_pre_texts[] = {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>",
                                            "<\xEF\xBD\x9C" "fim\xE2\x96\x81" "begin\xEF\xBD\x9C>", "<PRE>",
                                            TOK_BLANK "<PRE>", "<|code_prefix|>", "<|prefix|>", NULL};
static const char *const fim_suf_texts[] = {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",
                                            "<\xEF\xBD\x9C" "fim\xE2\x96\x81hole\xEF\xBD\x9C>", "<SUF>",
                                            TOK_BLANK "<SUF>", "<|code_suffix|>", "<|suffix|>", NULL};
static const char *const fim_mid_texts[] = {"<|fim_middle|>", "<fim-middle>", "<fim_middle>",
                                            "<\xEF\xBD\x9C" "fim\xE2\x96\x81" "end\xEF\xBD\x9C>", "<MID>",
                                            TOK_BLANK "<MID>", "<|code_middle|>", "<|middle|>", NULL};
static const char *const fim_pad_texts[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", NULL};
static const char *const fim_rep_texts[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>",
                                            "<REPO>",       "<reponame>",    NULL};
static const char *const fim_sep_texts[] = {"<|file_sep|>", NULL};

/* Whatever the file says of them, these end a generation. */
static const char *const end_texts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>",
    "<eos>", "<turn|>", "<|tool_response>", "<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
    "[e~[", NULL};
/* Parts of a reply in the harmony format: always shown. */
static const char *const shown_texts[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", NULL};

typedef struct role {
    const char *key, *old_key; /* in the file */
    const char *const *texts;  /* where the file does not say; NULL: it must */
    bool ends;
} role;
enum { BOS, EOS, EOT, EOM, UNK, SEP, ROLES = 12 };
static const role roles[ROLES] = {
    [BOS] = {"tokenizer.ggml.bos_token_id", NULL, NULL, false},
    [EOS] = {"tokenizer.ggml.eos_token_id", NULL, NULL, true},
    [EOT] = {"tokenizer.ggml.eot_token_id", NULL, eot_texts, true},
    [EOM] = {"tokenizer.ggml.eom_token_id", NULL, eom_texts, true},
    [UNK] = {"tokenizer.ggml.unknown_token_id", NULL, NULL, false},
    [SEP] = {"tokenizer.ggml.seperator_token_id", NULL, NULL, false},
    {"tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id", fim_pre_texts, false},
    {"tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id", fim_suf_texts, false},
    {"tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id", fim_mid_texts, false},
    {"tokenizer.ggml.fim_pad_token_id", NULL, fim_pad_texts, true},
    {"tokenizer.ggml.fim_rep_token_id", NULL, fim_rep_texts, true},
    {"tokenizer.ggml.fim_sep_token_id", NULL, fim_sep_texts, true},
};

/* An id beyond the vocabulary is as good as none; real files have 4294967295 there. */
static void read_id(const tok *t, const gguf *g, const char *key, int32_t *id) {
    uint64_t v;
    if (key && gguf_get_u64(g, key, &v) && v < t->names.count) *id = (int32_t)v;
}

static uint32_t find(const tok *t, const char *text) { return tok_names_find(&t->names, str_of(text)); }

static bool ends(const tok *t, const char *text) {
    uint32_t id = find(t, text);
    return id != TOK_NONE && (t->attr[id] & ATTR_ENDS);
}

static void assign_roles(tok *t, const gguf *g) {
    int32_t ids[ROLES] = {t->bos, t->eos, -1, -1, t->unk, t->sep, -1, -1, -1, -1, -1, -1};
    for (size_t i = 0; i < ROLES; i++) {
        if (ids[i] >= 0 && (uint32_t)ids[i] >= t->names.count) ids[i] = -1;
        read_id(t, g, roles[i].key, &ids[i]);
        read_id(t, g, roles[i].old_key, &ids[i]);
        for (const char *const *text = roles[i].texts; text && *text && ids[i] < 0; text++) {
            ids[i] = (int32_t)find(t, *text);
            if (ids[i] >= 0) t->attr[ids[i]] |= ATTR_CONTROL;
        }
        if (ids[i] >= 0 && roles[i].ends) t->attr[ids[i]] |= ATTR_ENDS;
    }
    t->bos = ids[BOS];
    t->eos = ids[EOS];
    t->unk = ids[UNK];
    t->sep = ids[SEP];
}

static void set_attr(tok *t, const char *text, uint32_t attr, bool ends_too) {
    uint32_t id = find(t, text);
    if (id != TOK_NONE) t->attr[id] = (uint16_t)(attr | (ends_too ? t->attr[id] & ATTR_ENDS : 0));
}

static void assign_ends(tok *t) {
    for (const char *const *text = end_texts; *text; text++) {
        uint32_t id = find(t, *text);
        if (id != TOK_NONE) t->attr[id] |= ATTR_CONTROL | ATTR_ENDS;
    }
    for (const char *const *text = shown_texts; *text; text++) set_attr(t, *text, ATTR_USER, true);
    /* Where a reply ends with <|return|> or <|flush|>, <|end|> ends a part of it only; so does </s> before tools. */
    bool calls = ends(t, "<|call|>") || ends(t, "<|calls|>");
    if (calls && (ends(t, "<|return|>") || ends(t, "<|flush|>"))) set_attr(t, "<|end|>", ATTR_USER, false);
    if (ends(t, "<|tool_response>")) set_attr(t, "</s>", ATTR_NORMAL, false);
}

/* ---- by model --------------------------------------------------------------------------------------------- */

static bool names_one(str name, const char *const *parts) {
    for (; *parts; parts++)
        if (str_find(name, str_of(*parts)) != SIZE_MAX) return true;
    return false;
}

static void add_attr(tok *t, const char *text, uint32_t attr) {
    uint32_t id = find(t, text);
    if (id != TOK_NONE) t->attr[id] |= (uint16_t)attr;
}

/* Which tokens swallow the white space beside them is in no file; the names of models tell. */
static void assign_strips(tok *t, const gguf *g) {
    static const char *const mask_pres[] = {"jina-v2-de", "jina-v2-es", "jina-v2-code", NULL};
    static const char *const mask_archs[] = {"nomic-bert-moe", "jina-bert-v3", NULL};
    static const char *const phi3[] = {"phi-3", "phi3", NULL}, *const modern_bert[] = {"modern-bert", NULL};
    static const char *const phi3_not[] = {"<unk>", "<s>", "<|endoftext|>", NULL};
    str pre = STR(""), arch = STR(""), name = STR("");
    char low[256];
    gguf_get_str(g, "tokenizer.ggml.pre", &pre);
    gguf_get_str(g, "general.architecture", &arch);
    gguf_get_str(g, "general.name", &name);
    name.len = MIN(name.len, sizeof(low));
    for (size_t i = 0; i < name.len; i++)
        low[i] = (char)(name.ptr[i] | (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? 32 : 0));
    name.ptr = low;
    if (names_one(pre, mask_pres) || names_one(arch, mask_archs)) {
        add_attr(t, "<mask>", ATTR_LSTRIP);
    } else if (names_one(name, phi3)) {
        for (uint32_t i = 0; i < t->names.count; i++)
            if (t->attr[i] & ATTR_SPECIAL) t->attr[i] |= ATTR_RSTRIP;
        add_attr(t, "</s>", ATTR_RSTRIP);
        for (const char *const *text = phi3_not; *text; text++) {
            uint32_t id = find(t, *text);
            if (id != TOK_NONE) t->attr[id] &= (uint16_t)~ATTR_RSTRIP;
        }
    } else if (names_one(name, modern_bert)) {
        add_attr(t, "[MASK]", ATTR_LSTRIP);
    }
}

/* ---- what to look for in a text ------------------------------------------------------------------------------ */

static void note_start(tok *t, str text) {
    uint32_t first = (uint32_t)(uint8_t)text.ptr[0] << 8;
    for (uint32_t second = 0; second < 256; second++)
        if (text.len == 1 || second == (uint8_t)text.ptr[1])
            t->special_starts[(first | second) / 8] |= (uint8_t)(1 << second % 8);
}

static err_code index_specials(tok *t, err *e) {
    size_t len_max = t->token_bytes_max;
    /* By length: how many, then where the next goes. */
    uint32_t *place = arena_array(&t->mem, len_max + 1, sizeof(uint32_t));
    t->special_starts = arena_alloc(&t->mem, 65536 / 8, 1);
    t->special_rank = arena_array(&t->mem, t->names.count, sizeof(uint32_t));
    if (!place || !t->special_starts || !t->special_rank) return ERR(e, ERR_MEMORY, "no memory for the special tokens");
    for (uint32_t i = 0; i < t->names.count; i++) {
        if (!(t->attr[i] & ATTR_SPECIAL)) continue;
        t->n_special_lens += !place[t->names.items[i].len]++;
        t->n_specials++;
        note_start(t, t->names.items[i]);
        if (!(t->attr[i] & (ATTR_CONTROL | ATTR_UNKNOWN))) t->any_user = true;
    }
    t->specials = arena_array(&t->mem, t->n_specials + 1, sizeof(uint32_t));
    t->special_lens = arena_array(&t->mem, t->n_special_lens + 1, sizeof(uint32_t));
    if (!t->specials || !t->special_lens) return ERR(e, ERR_MEMORY, "no memory for the special tokens");
    uint32_t next = 0, n_lens = 0;
    for (size_t len = len_max; len > 0; len--) {
        uint32_t n = place[len];
        if (n) t->special_lens[n_lens++] = (uint32_t)len;
        place[len] = next;
        next += n;
    }
    for (uint32_t i = 0; i < t->names.count; i++) {
        if (!(t->attr[i] & ATTR_SPECIAL)) continue;
        t->special_rank[i] = place[t->names.items[i].len]++;
        t->specials[t->special_rank[i]] = i;
    }
    return ERR_NONE;
}

err_code tok_special_open(tok *t, const gguf *g, err *e) {
    assign_roles(t, g);
    assign_ends(t);
    assign_strips(t, g);
    return index_specials(t, e);
}

/* ---- finding them ----------------------------------------------------------------------------------------------- */

/* The longest special token at text[at] of at most len_max bytes; TOK_NONE where there is none. */
static uint32_t special_at(const tok *t, str text, size_t at, size_t len_max, bool control) {
    uint32_t pair = (uint32_t)(uint8_t)text.ptr[at] << 8 | (at + 1 < text.len ? (uint8_t)text.ptr[at + 1] : 0);
    if (!(t->special_starts[pair / 8] >> pair % 8 & 1)) return TOK_NONE;
    for (uint32_t i = 0; i < t->n_special_lens; i++) {
        size_t len = t->special_lens[i];
        if (len > len_max) continue;
        uint32_t id = tok_names_find(&t->names, (str){text.ptr + at, len});
        if (id == TOK_NONE || !(t->attr[id] & ATTR_SPECIAL)) continue;
        if (control || !(t->attr[id] & (ATTR_CONTROL | ATTR_UNKNOWN))) return id;
    }
    return TOK_NONE;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void place_token(const tok *t, str text, uint8_t *cover, size_t at, uint32_t id) {
    size_t end = at + t->names.items[id].len;
    memset(cover + at, COVER_REST, end - at);
    cover[at] = COVER_TOKEN;
    if (t->attr[id] & ATTR_LSTRIP)
        for (; at > 0 && cover[at - 1] == COVER_TEXT && is_space(text.ptr[at - 1]); at--) cover[at - 1] = COVER_DROPPED;
    if (t->attr[id] & ATTR_RSTRIP)
        for (; end < text.len && cover[end] == COVER_TEXT && is_space(text.ptr[end]); end++) cover[end] = COVER_DROPPED;
}

/* A longer token wins over a shorter one wherever they overlap, of two as long the one of the lower id, of the same one
 * the first in the text. So candidates, one per position, leave a heap by rank and position. One whose end is taken by
 * then comes back as the longest that still fits; what is taken is as long or longer, so its two ends tell. */
err_code tok_special_cover(tok_work *w, str text, bool control, uint8_t **cover, err *e) {
    const tok *t = w->t;
    size_t n = 0, count = 0;
    *cover = NULL;
    if (!control && !t->any_user) return ERR_NONE;
    for (size_t at = 0; at < text.len; at++) {
        if (tok_stopped(w)) break;
        n += special_at(t, text, at, text.len - at, control) != TOK_NONE;
    }
    if (n == 0) return ERR_NONE;
    uint8_t *c = arena_alloc(&w->mem, text.len, 1);
    size_t mark = arena_mark(&w->mem);
    uint64_t *heap = arena_array(&w->mem, n, sizeof(uint64_t));
    if (!c || !heap) return ERR(e, ERR_MEMORY, "no memory to look for special tokens in %zu bytes", text.len);
    for (size_t at = 0; at < text.len && !tok_stopped(w); at++) {
        uint32_t id = special_at(t, text, at, text.len - at, control);
        if (id != TOK_NONE) tok_heap_push(heap, &count, (uint64_t)t->special_rank[id] << 32 | at);
    }
    while (count && !tok_stopped(w)) {
        uint64_t key = tok_heap_pop(heap, &count);
        uint32_t id = t->specials[key >> 32];
        size_t at = (uint32_t)key, room = t->names.items[id].len;
        if (c[at] != COVER_TEXT) continue;
        if (c[at + room - 1] == COVER_TEXT) {
            place_token(t, text, c, at, id);
            continue;
        }
        while (c[at + room - 1] != COVER_TEXT) room--;
        id = special_at(t, text, at, room, control);
        if (id != TOK_NONE) tok_heap_push(heap, &count, (uint64_t)t->special_rank[id] << 32 | at);
    }
    arena_reset(&w->mem, mark);
    *cover = c;
    return ERR_NONE;
}
