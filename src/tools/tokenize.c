/* tokenize.c: `leat tokenize`, text to token ids and back. It reads the vocabulary only, so a file without weights will
 * do. Next: tok/tok.h, which it shows to the command line.
 */
#include "tok/tok.h"
#include "tools/tools.h"

typedef struct tokenize_values {
    const char *model, *text, *file;
    bool no_bos, no_special, detokenize;
} tokenize_values;

/* Room for n items, doubled by who needs more. */
static void *room(size_t n, size_t size) {
    size_t bytes;
    return mul_size(n, size, &bytes) ? mem_block(MEM_TOOLS, bytes) : NULL;
}

static int write_ids(tools *t, const tokenize_values *o, const tok *vocab, str text) {
    uint32_t flags = (o->no_bos ? 0 : TOK_BOS) | (o->no_special ? 0 : TOK_SPECIAL);
    size_t cap = text.len + 16, n = 0;
    err e;
    int32_t *ids = NULL;
    err_code code = ERR_NONE;
    for (bool fits = false; !fits && !code; fits = n <= cap, cap = MAX(cap, n)) {
        mem_block_free(ids);
        ids = room(cap, sizeof(int32_t));
        code = ids ? tok_encode(vocab, text, flags, ids, cap, &n, &e)
                   : ERR(&e, ERR_MEMORY, "no memory for %zu ids", cap);
    }
    for (size_t i = 0; i < n && !code && !tools_out_closed(t); i++) tools_out(t, i ? " %d" : "%d", ids[i]);
    if (!code) tools_out(t, "\n");
    mem_block_free(ids);
    return code ? tools_fail_text(t, e.text) : TOOLS_OK;
}

/* Ids, parted by white space or commas, into *ids, which has room for them. False, and e says why, if one is none. */
static bool read_ids(const tok *vocab, str text, int32_t *ids, size_t *n, err *e) {
    for (size_t i = 0, end; i < text.len; i = end + 1) {
        for (end = i; end < text.len && text.ptr[end] > ' ' && text.ptr[end] != ',';) end++;
        str word = str_cut(text, i, end - i);
        uint64_t id;
        if (!word.len) continue;
        if (!parse_u64(word, &id) || id >= tok_count(vocab)) {
            ERR(e, ERR_FORMAT, "'%.*s' is no token id, wanted numbers from 0 to %zu", (int)MIN(word.len, (size_t)40),
                word.ptr, tok_count(vocab) - 1);
            return false;
        }
        ids[(*n)++] = (int32_t)id;
    }
    return true;
}

static int write_text(tools *t, const tokenize_values *o, const tok *vocab, str text) {
    size_t n = 0, len = 0;
    int32_t *ids = room(text.len / 2 + 1, sizeof(int32_t)); /* an id and what parts it from the next */
    char *out = NULL;
    err e;
    err_code code = ids ? ERR_NONE : ERR(&e, ERR_MEMORY, "no memory for the ids");
    if (!code && !read_ids(vocab, text, ids, &n, &e)) code = e.code;
    const int32_t *at = ids;
    if (!code && !o->no_bos) n = tok_unwrap(vocab, &at, n);
    if (!code) code = tok_decode(vocab, at, n, !o->no_special, NULL, 0, &len, &e);
    if (!code && len) {
        out = room(len, 1);
        code = out ? tok_decode(vocab, at, n, !o->no_special, out, len, &len, &e)
                   : ERR(&e, ERR_MEMORY, "no memory for a text of %zu bytes", len);
    }
    if (!code && len) tools_out_bytes(t, out, len);
    mem_block_free(out);
    mem_block_free(ids);
    return code ? tools_fail_text(t, e.text) : TOOLS_OK;
}

static int run(tools *t, const void *values) {
    const tokenize_values *o = values;
    tools_text input = {0};
    gguf *file = NULL;
    tok *vocab = NULL;
    err e;
    str pre, text = o->text ? str_of(o->text) : STR("");
    int status = TOOLS_OK;
    if (o->text && o->file) return tools_usage(t, "-p and -f exclude each other");
    err_code code = gguf_open(&file, o->model, &e);
    if (!code) code = tok_open(&vocab, file, &e);
    if (!code && !o->text) code = tools_text_open(&input, o->file ? o->file : "-", &e);
    if (code) {
        status = tools_fail_text(t, e.text);
        goto done;
    }
    if (!o->text) text = (str){input.data, input.bytes};
    if (cstr_eq(tok_kind_name(vocab), "BPE") && !gguf_get_str(file, "tokenizer.ggml.pre", &pre))
        tools_err(t, "leat tokenize: the file names no pre-tokenizer; \"%s\" may cut words in other places than the "
                     "model's own\n", tok_pre_name(vocab));
    status = o->detokenize ? write_text(t, o, vocab, text) : write_ids(t, o, vocab, text);
done:
    tools_text_close(&input);
    tok_close(vocab);
    gguf_close(file);
    return status;
}

static const tools_option options[] = {
    TOOLS_MODEL(tokenize_values, model),
    TOOLS_STR(tokenize_values, text, 'p', "prompt", "TEXT", "the text (default: standard input)"),
    TOOLS_STR(tokenize_values, file, 'f', "file", "FILE", "a file with the text, taken byte by byte"),
    TOOLS_FLAG(tokenize_values, no_bos, 0, "no-bos", "add no BOS, EOS, CLS or SEP; with --detokenize, keep them"),
    TOOLS_FLAG(tokenize_values, no_special, 0, "no-special",
               "take spelled-out special tokens for plain text; with --detokenize, leave them out"),
    TOOLS_FLAG(tokenize_values, detokenize, 0, "detokenize", "the text is token ids; write the bytes they stand for"),
};

const tools_command tools_tokenize = {
    .name = "tokenize",
    .summary = "Turn text into token ids, or ids into text",
    .usage = "-m FILE [-p TEXT | -f FILE] [--detokenize] [options]",
    .notes = "Ids are written on one line, parted by spaces. Ids are read in the same form, or with commas or lines "
             "between. Text that many BPE vocabularies decode loses spaces before punctuation, as their files ask.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(tokenize_values),
    .run = run,
};
