/* input.c: whole files, standard input, and files of token ids. All of it is somebody else's: limits are checked
 * here and errors name the file, the place, the value and what was wanted. Next: run.c, where it is used.
 */
#include "gguf/gguf.h"
#include "tools/tools_int.h"

#define STDIN_BYTES_MAX ((size_t)1 << 28)  /* reserved as address space; a file reserves its size */
#define STDIN_STEP_BYTES ((size_t)1 << 20) /* committed at a time */

static err_code read_stdin(tools_text *text, err *e) {
    err_code code = arena_open(&text->memory, MEM_TOOLS, STDIN_BYTES_MAX, e);
    if (code) return code;
    for (;;) {
        char *at = arena_alloc(&text->memory, STDIN_STEP_BYTES, 1); /* directly behind the last one */
        if (!at) return ERR(e, ERR_MEMORY, "standard input: more than %zu bytes, or no memory for them", text->bytes);
        if (!text->data) text->data = at;
        size_t n = 0;
        while (n < STDIN_STEP_BYTES) {
            int64_t got = plat_stdin_read(at + n, STDIN_STEP_BYTES - n);
            if (got < 0) return ERR(e, ERR_IO, "standard input: %s", plat_error_name((int)got));
            if (got == 0) break;
            n += (size_t)got;
        }
        text->bytes += n;
        if (n < STDIN_STEP_BYTES) return ERR_NONE;
    }
}

static err_code read_file(tools_text *text, plat_file *file, const char *path, err *e) {
    uint64_t bytes = plat_file_bytes(file);
    if (bytes >= SIZE_MAX) return ERR(e, ERR_LIMIT, "%.150s: too large", path);
    err_code code = arena_open(&text->memory, MEM_TOOLS, (size_t)bytes + 1, e);
    if (code) return code;
    text->data = arena_alloc(&text->memory, (size_t)bytes + 1, 1);
    if (!text->data)
        return ERR(e, ERR_MEMORY, "%.150s: no memory for its %llu bytes", path, (unsigned long long)bytes);
    while (text->bytes < bytes) {
        int64_t got = plat_file_read(file, text->bytes, text->data + text->bytes, (size_t)bytes - text->bytes);
        if (got < 0)
            return ERR(e, ERR_IO, "%.150s at byte %zu: %s", path, text->bytes, plat_error_name((int)got));
        if (got == 0) break; /* it was cut while we read: what is there is the file */
        text->bytes += (size_t)got;
    }
    return ERR_NONE;
}

err_code tools_text_open(tools_text *out, const char *path, err *e) {
    *out = (tools_text){0};
    err_code code;
    if (cstr_eq(path, "-")) {
        code = read_stdin(out, e);
    } else {
        plat_file *file;
        int status = plat_file_open(&file, path);
        if (status) return ERR(e, ERR_IO, "%.150s: %s", path, plat_error_name(status));
        code = read_file(out, file, path, e);
        plat_file_close(file);
    }
    if (code) tools_text_close(out);
    return code;
}

void tools_text_close(tools_text *text) {
    arena_close(&text->memory);
    *text = (tools_text){0};
}

static bool is_of(const uint64_t id[2], const char *read) {
    char path[4096];
    str stem;
    uint64_t no, count = 1, other[2];
    bool split = gguf_split_name(str_of(read), &stem, &no, &count);
    for (no = 1; no <= count; no++) {
        if (split)
            fmt(path, sizeof path, "%.*s-%05llu-of-%05llu.gguf", (int)stem.len, stem.ptr, (unsigned long long)no,
                (unsigned long long)count);
        if (!plat_file_id(split ? path : read, other) && !memcmp(id, other, sizeof other)) return true;
    }
    return false;
}

err_code tools_check_out(const char *out, const char *const *read, size_t n, err *e) {
    char aside[4096];
    uint64_t id[2];
    for (const char *path = out; path; path = path == out && plat_out_aside(out, aside, sizeof aside) ? aside : NULL) {
        if (plat_file_id(path, id)) continue; /* nothing is there, or what keeps nothing */
        for (size_t i = 0; i < n; i++)
            if (read[i] && is_of(id, read[i]))
                return ERR(e, ERR_ARGUMENT, "%.150s is a file that is read: write to another", path);
    }
    return ERR_NONE;
}

/* ---- ids ------------------------------------------------------------------------------------------- */

static bool is_separator(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ','; }

static err_code parse_ids(tools_ids *out, str text, const char *path, int32_t n_vocab, err *e) {
    size_t line = 1;
    for (size_t i = 0; i < text.len;) {
        if (is_separator(text.ptr[i])) {
            line += text.ptr[i++] == '\n';
            continue;
        }
        size_t end = i;
        while (end < text.len && !is_separator(text.ptr[end])) end++;
        str word = str_cut(text, i, end - i);
        int64_t id;
        if (!parse_i64(word, &id))
            return ERR(e, ERR_FORMAT, "%.100s line %zu: '%.*s' is not a token id", path, line,
                       (int)MIN(word.len, (size_t)40), word.ptr);
        if (id < 0 || id >= n_vocab)
            return ERR(e, ERR_FORMAT, "%.100s line %zu: token id %lld is outside the vocabulary of %d", path, line,
                       (long long)id, n_vocab);
        out->at[out->n++] = (int32_t)id;
        i = end;
    }
    if (!out->n) return ERR(e, ERR_FORMAT, "%.150s: has no token ids", path);
    return ERR_NONE;
}

err_code tools_ids_open(tools_ids *out, const char *path, int32_t n_vocab, err *e) {
    *out = (tools_ids){0};
    tools_text text;
    err_code code = tools_text_open(&text, path, e);
    if (code) return code;
    /* An id and what parts it from the next: two bytes at least. */
    size_t n_max = text.bytes / 2 + 1, bytes = n_max * sizeof(int32_t);
    code = arena_open(&out->memory, MEM_TOOLS, bytes, e);
    if (!code) {
        out->at = arena_alloc(&out->memory, bytes, 0);
        code = out->at ? parse_ids(out, (str){text.data, text.bytes}, path, n_vocab, e)
                       : ERR(e, ERR_MEMORY, "%.150s: no memory for %zu token ids", path, n_max);
    }
    tools_text_close(&text);
    if (code) tools_ids_close(out);
    return code;
}

err_code tools_ids_encode(tools_ids *out, const leat_model *model, str text, bool special, err *e) {
    leat_error failed;
    size_t cap = text.len + 16; /* enough for nearly every text; else the count says how many */
    *out = (tools_ids){0};
    for (int attempt = 0; attempt < 2; attempt++, cap = out->n) {
        tools_ids_close(out);
        if (cap > SIZE_MAX / sizeof(int32_t) || arena_open(&out->memory, MEM_TOOLS, cap * sizeof(int32_t), NULL) ||
            !(out->at = arena_array(&out->memory, cap, sizeof(int32_t))))
            return ERR(e, ERR_MEMORY, "no memory for the token ids of a text of %zu bytes", text.len);
        leat_code code = leat_tokenize(model, text.ptr, text.len, true, special, out->at, cap, &out->n, &failed);
        if (code) return err_set(e, (err_code)code, "tools", "%s", failed.text);
        if (out->n <= cap) break;
    }
    return ERR_NONE;
}

void tools_ids_close(tools_ids *ids) {
    arena_close(&ids->memory);
    *ids = (tools_ids){0};
}
