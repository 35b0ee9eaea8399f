/* api_chat.c: leat_chat: messages to the tokens of a prompt, and the tokens of an answer to reasoning and text.
 * Next: template.c.
 */
#include "engine/engine.h"
#include "engine/engine_int.h"

#define WORK_BYTES ((size_t)1 << 32) /* reserved address space: what a template may make, and its tokens */
#define TAG_BYTES_MAX 64

/* How models mark their reasoning; the first pair whose beginning is in the template holds. */
typedef struct tags {
    str begin, end;
} tags;
#define TAGS(begin, end) {{begin, sizeof(begin) - 1}, {end, sizeof(end) - 1}}
static const tags known_tags[] = {
    TAGS("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    TAGS("<|START_THINKING|>", "<|END_THINKING|>"),
    TAGS("[THINK]", "[/THINK]"),
    TAGS("<seed:think>", "</seed:think>"),
    TAGS("◁think▷", "◁/think▷"),
    TAGS("<think>", "</think>"),
};

struct leat_chat {
    const leat_model *model;
    engine_template rendered;
    arena memory, work; /* this handle; one render */
    tags tags;          /* both empty: the template knows none */
    /* The answer. */
    bool reasoning, after_tag;
    size_t n_held;
    char held[TAG_BYTES_MAX]; /* what may be the beginning of a tag */
    char *piece;              /* (TOK_PIECE_MAX) */
};

static void find_tags(leat_chat *c, const char *from) {
    str source = {0};
    if (from) source = str_of(from);
    else if (c->model->chat_template) source = str_of(c->model->chat_template);
    /* gpt-oss puts its tags together from parts; the answer is what shows them. */
    if (str_find(source, STR("<|channel|>")) != SIZE_MAX) c->tags = known_tags[0];
    for (size_t i = 1; i < COUNT_OF(known_tags) && !c->tags.end.len; i++)
        if (str_find(source, known_tags[i].end) != SIZE_MAX) c->tags = known_tags[i];
}

leat_code leat_chat_open(leat_chat **out, const leat_model *m, const char *from, leat_error *error) {
    err *e = err_of(error);
    arena memory;
    *out = NULL;
    if (!m->tokens) return (leat_code)ERR(e, ERR_UNSUPPORTED, "%s carries no tokenizer: it cannot chat", m->name);
    err_code code = arena_open(&memory, MEM_ENGINE, sizeof(leat_chat) + TOK_PIECE_MAX + 4096, e);
    if (code) return (leat_code)code;
    leat_chat *c = arena_alloc(&memory, sizeof *c, 64);
    if (!c) goto no_memory;
    c->piece = arena_alloc(&memory, TOK_PIECE_MAX, 1);
    if (!c->piece) goto no_memory;
    c->memory = memory;
    c->model = m;
    code = arena_open(&c->work, MEM_ENGINE, WORK_BYTES, e);
    if (!code) code = engine_template_open(&c->rendered, m->file, from, e);
    find_tags(c, from);
    if (code) leat_chat_close(c);
    else *out = c;
    return (leat_code)code;
no_memory:
    arena_close(&memory);
    return (leat_code)ERR(e, ERR_MEMORY, "no memory for a chat");
}

void leat_chat_close(leat_chat *c) {
    if (!c) return;
    engine_template_close(&c->rendered);
    arena_close(&c->work);
    arena memory = c->memory; /* the handle lies inside */
    arena_close(&memory);
}

const char *leat_chat_warning(const leat_chat *c) { return c->rendered.warning; }

/* ---- the prompt ------------------------------------------------------------------------------------------- */

static err_code parse(leat_chat *c, const char *what, leat_text text, json_value *out, err *e) {
    err inner;
    if (!text.at) return ERR_NONE; /* null */
    err_code code = json_parse_yielding(&c->work, (str){text.at, text.bytes}, &c->model->yield, out, &inner);
    return code ? ERR(e, code, "%s: %s", what, inner.text) : ERR_NONE;
}

static err_code encode(leat_chat *c, str text, int32_t **ids, size_t *n, err *e) {
    const tok *t = c->model->tokens;
    size_t cap = text.len + 16;
    for (int attempt = 0;; attempt++) {
        *ids = arena_array(&c->work, cap + 1, sizeof **ids);
        if (!*ids) return ERR(e, ERR_MEMORY, "no memory for the tokens of %zu bytes", text.len);
        err_code code = tok_encode_yielding(t, text, TOK_SPECIAL, &c->model->yield, *ids + 1, cap, n, e);
        if (code) return code;
        if (*n <= cap || attempt) break;
        cap = *n;
    }
    /* Templates of files often begin with BOS; the built-in ones never do. */
    if (tok_bos(t) >= 0 && tok_adds_bos(t) && !(*n && (*ids)[1] == tok_bos(t))) {
        (*ids)[0] = tok_bos(t);
        ++*n;
    } else {
        ++*ids;
    }
    return *n ? ERR_NONE : ERR(e, ERR_FORMAT, "the template makes no text of these messages");
}

/* A walk over the bytes of tokens. */
typedef struct spelling {
    const tok *t;
    const int32_t *ids;
    size_t n, at; /* the token whose bytes come next */
    char *piece;
    size_t used, bytes;
} spelling;

static bool spell_on(spelling *s) {
    if (s->used < s->bytes) return true;
    if (s->at == s->n) return false;
    s->used = 0;
    s->bytes = tok_piece(s->t, s->ids[s->at++], true, s->piece, TOK_PIECE_MAX);
    return s->bytes > 0;
}

/* Where the session holds other tokens of the same bytes, they replace those of the tokenizer. */
static err_code take_held(leat_chat *c, const leat_session *session, int32_t **ids, size_t *n, err *e) {
    size_t n_held = (size_t)leat_session_length(session), same = 0, own = 0, theirs = 0;
    const int32_t *held = leat_session_tokens(session);
    while (same < *n && same < n_held && (*ids)[same] == held[same]) same++;
    if (same == *n || same == n_held) return ERR_NONE;
    spelling a = {c->model->tokens, held, n_held, same, c->piece, 0, 0};
    spelling b = {c->model->tokens, *ids, *n, same, arena_alloc(&c->work, TOK_PIECE_MAX, 1), 0, 0};
    if (!b.piece) return ERR(e, ERR_MEMORY, "no memory to compare tokens");
    for (;;) {
        if (a.used == a.bytes && b.used == b.bytes) own = a.at, theirs = b.at; /* a border of both */
        if (!spell_on(&a) || !spell_on(&b)) break;
        size_t step = MIN(a.bytes - a.used, b.bytes - b.used);
        if (memcmp(a.piece + a.used, b.piece + b.used, step)) break;
        a.used += step;
        b.used += step;
    }
    if (own == same) return ERR_NONE;
    int32_t *mixed = arena_array(&c->work, own + *n - theirs, sizeof *mixed);
    if (!mixed) return ERR(e, ERR_MEMORY, "no memory for %zu tokens", own + *n - theirs);
    memcpy(mixed, held, own * sizeof *mixed);
    memcpy(mixed + own, *ids + theirs, (*n - theirs) * sizeof *mixed);
    *n = own + *n - theirs;
    *ids = mixed;
    return ERR_NONE;
}

leat_code leat_chat_render(leat_chat *c, const leat_chat_input *in, const leat_session *session, leat_chat_prompt *out,
                           leat_error *error) {
    err *e = err_of(error);
    str text;
    int32_t *ids;
    size_t n;
    engine_conversation all = {.no_prompt = in->no_prompt, .now_s = in->now_s, .yield = &c->model->yield};
    if (!all.now_s) all.now_s = plat_wall_ns() / 1000000000;
    arena_reset(&c->work, 0);
    err_code code = parse(c, "messages", in->messages, &all.messages, e);
    if (!code) code = parse(c, "tools", in->tools, &all.tools, e);
    if (!code) code = parse(c, "variables", in->variables, &all.variables, e);
    if (!code) code = engine_template_render(&c->rendered, &all, &c->work, &text, e);
    if (!code) code = encode(c, text, &ids, &n, e);
    if (!code && session) code = take_held(c, session, &ids, &n, e);
    if (code) return (leat_code)code;
    bool open = c->tags.begin.len && str_ends(str_trim(text), c->tags.begin);
    *out = (leat_chat_prompt){text.ptr, text.len, ids, n, open && !in->no_prompt};
    return LEAT_OK;
}

/* ---- the answer ------------------------------------------------------------------------------------------- */

void leat_answer_begin(leat_chat *c, bool reasoning) {
    c->reasoning = c->after_tag = reasoning;
    c->n_held = 0;
}

static void give(leat_chat *c, const char *bytes, size_t n, leat_part_fn *put, void *user) {
    while (c->after_tag && n && (*bytes == '\n' || *bytes == ' ')) bytes++, n--;
    if (!n) return;
    c->after_tag = false;
    put(user, c->reasoning, bytes, n);
}

/* Bytes of an answer, one by one: what begins a tag is held until it is one or is not. */
static void take_byte(leat_chat *c, char byte, leat_part_fn *put, void *user) {
    str tag = c->reasoning ? c->tags.end : c->tags.begin;
    c->held[c->n_held++] = byte;
    size_t skip = c->n_held > tag.len; /* the longest end of what is held that begins the tag stays */
    while (memcmp(c->held + skip, tag.ptr, c->n_held - skip)) skip++;
    give(c, c->held, skip, put, user);
    c->n_held -= skip;
    memmove(c->held, c->held + skip, c->n_held);
    if (!c->n_held || c->n_held < tag.len) return;
    c->reasoning = !c->reasoning;
    c->after_tag = true;
    c->n_held = 0;
}

void leat_answer_token(leat_chat *c, int32_t id, leat_part_fn *put, void *user) {
    const tok *t = c->model->tokens;
    size_t n = tok_piece(t, id, false, c->piece, TOK_PIECE_MAX);
    if (!n) { /* a control token shows only as a part of a tag */
        str tag = c->reasoning ? c->tags.end : c->tags.begin;
        n = tok_piece(t, id, true, c->piece, TOK_PIECE_MAX);
        if (n > tag.len - c->n_held || memcmp(c->held, tag.ptr, c->n_held) ||
            memcmp(c->piece, tag.ptr + c->n_held, n))
            n = 0;
    }
    /* Without tags nothing is held; the text goes as it is. */
    if (!c->tags.end.len) {
        give(c, c->piece, n, put, user);
        return;
    }
    for (size_t i = 0; i < n; i++) take_byte(c, c->piece[i], put, user);
}

bool leat_answer_end(leat_chat *c, leat_part_fn *put, void *user) {
    give(c, c->held, c->n_held, put, user);
    c->n_held = 0;
    return c->reasoning;
}
