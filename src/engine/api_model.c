/* api_model.c: leat_model: a file, its weights, its tokenizer; and the token calls of include/leat.h. */
#include "engine/engine_int.h"
#include "version.h"

const char *leat_version(void) { return "0.1.0 (" LEAT_COMMIT ")"; }

static const char *copy_text(leat_model *m, const char *key) {
    str text;
    return gguf_get_str(m->file, key, &text) ? arena_copy(&m->memory, text) : NULL;
}

/* A copy for showing: a file may hold what a terminal obeys, or what is no UTF-8. */
static const char *copy_shown(leat_model *m, const char *key) {
    str text;
    char *copy = gguf_get_str(m->file, key, &text) ? arena_copy(&m->memory, text) : NULL;
    for (size_t i = 0, len; copy && i < text.len; i += len) {
        uint32_t cp = utf8_decode(copy + i, text.len - i, &len);
        if (cp == UTF8_INVALID || cp < 0x20 || (cp >= 0x7F && cp < 0xA0)) memset(copy + i, '?', len);
    }
    return copy;
}

leat_code leat_model_open(leat_model **out, const char *path, const leat_model_options *options, leat_error *error) {
    err *e = err_of(error);
    err_code code;
    arena memory;
    *out = NULL;
    /* Name and template are copies out of the header, which is far smaller than this. */
    if ((code = arena_open(&memory, MEM_ENGINE, (size_t)1 << 30, e))) return (leat_code)code;
    leat_model *m = arena_alloc(&memory, sizeof *m, 0);
    if (!m) {
        arena_close(&memory);
        return (leat_code)ERR(e, ERR_MEMORY, "no memory for a model handle");
    }
    m->memory = memory;
    if (options) m->map = options->map, m->ram_bytes = options->ram_bytes, m->keep_learnt = options->keep_learnt;
    store_opts weights = {.no_map = options && options->no_map};
    if ((code = gguf_open(&m->file, path, e)) || (code = store_open(&m->weights, m->file, &weights, e)) ||
        (code = model_open(&m->model, m->file, m->weights, e)))
        goto fail;
    if (tok_present(m->file) && (code = tok_open(&m->tokens, m->file, e))) goto fail;
    if (options && options->draft) {
        if ((code = engine_draft_same_tokens(m, options->draft, e))) goto fail;
        m->draft = options->draft;
        m->draft->guesses = true;
    }
    m->name = copy_shown(m, "general.name");
    if (!m->name) m->name = model_family_name(m->model);
    m->chat_template = copy_text(m, "tokenizer.chat_template");
    *out = m;
    return LEAT_OK;
fail:
    leat_model_close(m);
    return (leat_code)code;
}

void leat_model_close(leat_model *m) {
    if (!m) return;
    if (m->placed) {
        engine_save_usage(m);
        engine_judge_disk(m);
    }
    tok_close(m->tokens);
    model_close(m->model);
    store_close(m->weights);
    gguf_close(m->file);
    arena memory = m->memory; /* the handle lies inside */
    arena_close(&memory);
}

int32_t leat_model_n_vocab(const leat_model *m) { return (int32_t)model_shape_of(m->model)->n_vocab; }
int32_t leat_model_n_ctx_train(const leat_model *m) {
    return (int32_t)MIN(model_shape_of(m->model)->n_ctx_train, (size_t)INT32_MAX);
}
const char *leat_model_name(const leat_model *m) { return m->name; }
const char *leat_model_architecture(const leat_model *m) { return model_family_name(m->model); }
const char *leat_model_chat_template(const leat_model *m) { return m->chat_template; }

uint64_t leat_model_n_params(const leat_model *m) {
    uint64_t n = 0;
    for (size_t i = 0; i < gguf_tensor_count(m->file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->file, i);
        n += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    }
    return n;
}

uint64_t leat_model_bytes(const leat_model *m) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < gguf_tensor_count(m->file); i++) bytes += gguf_tensor_at(m->file, i)->bytes;
    return bytes;
}

/* ---- tokens ------------------------------------------------------------------------------------------------- */

bool leat_has_tokenizer(const leat_model *m) { return m->tokens != NULL; }

static err_code need_tokenizer(const leat_model *m, err *e) {
    return m->tokens ? ERR_NONE : ERR(e, ERR_UNSUPPORTED, "%s carries no tokenizer; use token ids", m->name);
}

leat_code leat_tokenize(const leat_model *m, const char *text, size_t bytes, bool add_bos, bool special, int32_t *ids,
                        size_t cap, size_t *count, leat_error *error) {
    err_code code = need_tokenizer(m, err_of(error));
    if (code) return (leat_code)code;
    uint32_t flags = (add_bos ? TOK_BOS : 0u) | (special ? TOK_SPECIAL : 0u);
    return (leat_code)tok_encode_yielding(m->tokens, (str){text, bytes}, flags, &m->yield, ids, cap, count,
                                          err_of(error));
}

void leat_model_yield(leat_model *m, bool (*yield)(void *user), void *user) { m->yield = (yield_hook){yield, user}; }

size_t leat_piece(const leat_model *m, int32_t id, bool special, char *buf, size_t cap) {
    return m->tokens ? tok_piece(m->tokens, id, special, buf, cap) : 0;
}

leat_code leat_detokenize(const leat_model *m, const int32_t *ids, size_t n, bool special, char *buf, size_t cap,
                          size_t *bytes, leat_error *error) {
    err_code code = need_tokenizer(m, err_of(error));
    if (code) return (leat_code)code;
    return (leat_code)tok_decode(m->tokens, ids, n, special, buf, cap, bytes, err_of(error));
}

bool leat_ends(const leat_model *m, int32_t id) { return m->tokens && tok_ends(m->tokens, id); }
int32_t leat_bos(const leat_model *m) { return m->tokens ? tok_bos(m->tokens) : -1; }
