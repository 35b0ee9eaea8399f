/* test_yield.c: what takes long with texts calls its hook now and then, gives the same as without, and ends when the
 * hook says so, at whichever call that is, with nothing left behind.
 */
#include "check.h"
#include "gen/tok_vocab.h"
#include "tmpl/tmpl.h"
#include "tok/tok.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES = 120000 };

typedef struct asked {
    size_t calls, stop_at; /* 0: never */
} asked;

static bool ask(void *user) {
    asked *a = user;
    return ++a->calls == a->stop_at;
}

/* One kind of work on a text: its code, and a number that its result has. */
typedef err_code work_fn(const void *with, str text, const yield_hook *yield, uint64_t *result, err *e);

static void check_work(const char *name, work_fn *work, const void *with, str text, size_t calls_min) {
    uint64_t plain = 0, same = 1;
    err e = {0};
    asked a = {0};
    size_t held = mem_bytes_total();
    CHECK_MSG(!work(with, text, NULL, &plain, &e), "%s: %s", name, e.text);
    CHECK_MSG(!work(with, text, &(yield_hook){ask, &a}, &same, &e), "%s: %s", name, e.text);
    CHECK_MSG(plain == same, "%s: another result", name);
    CHECK_MSG(a.calls >= calls_min, "%s: %zu calls, wanted %zu at least", name, a.calls, calls_min);
    for (size_t stop = 1, n = a.calls; stop <= n; stop += stop) {
        a = (asked){.stop_at = stop};
        err_code code = work(with, text, &(yield_hook){ask, &a}, &same, &e);
        CHECK_MSG(code == ERR_CANCELLED && a.calls == stop, "%s: stopped at call %zu of %zu: %s, %zu calls", name, stop,
                  n, err_name(code), a.calls);
    }
    CHECK_EQ(mem_bytes_total(), held);
}

static str repeated(const char *pattern) {
    char *text = malloc(BYTES);
    for (size_t i = 0, n = strlen(pattern); i < BYTES; i++) text[i] = pattern[i % n];
    return (str){text, BYTES};
}

static err_code encode(const void *with, str text, const yield_hook *yield, uint64_t *result, err *e) {
    static int32_t ids[4 * BYTES + 16];
    size_t n;
    err_code code = tok_encode_yielding(with, text, TOK_SPECIAL, yield, ids, COUNT_OF(ids), &n, e);
    if (!code) *result = hash_bytes((const char *)ids, n * sizeof *ids, 1);
    return code;
}

TEST(yield_while_a_text_becomes_tokens) {
    static const char *const vocabs[] = {"spm-phi3", "wpm", "bpe-special", "bpe-utf8", "bpe"};
    static const char *const patterns[] = {"a", "the mill. ", "<s>a"};
    for (size_t v = 0; v < COUNT_OF(vocabs); v++) {
        gguf *g;
        tok *t;
        err e;
        const char *path = test_path(0, "tok-yield.gguf");
        tok_vocab_write(vocabs[v], NULL, path);
        CHECK(!gguf_open(&g, path, &e));
        CHECK_MSG(!tok_open(&t, g, &e), "%s", e.text);
        for (size_t i = 0; i < COUNT_OF(patterns); i++) {
            str text = repeated(patterns[i]);
            check_work(vocabs[v], encode, t, text, i == 0 && v == 1 ? 0 : 2); /* WordPiece takes a word in one look */
            free((char *)(uintptr_t)text.ptr);
        }
        tok_close(t);
        gguf_close(g);
    }
}

static err_code parse(const void *with, str text, const yield_hook *yield, uint64_t *result, err *e) {
    arena a;
    json_value v;
    (void)with;
    CHECK(!arena_open(&a, MEM_TOOLS, (size_t)1 << 30, e));
    err_code code = json_parse_yielding(&a, text, yield, &v, e);
    *result = v.count;
    arena_close(&a);
    return code;
}

TEST(yield_while_json_is_read) {
    char *text = malloc(BYTES * 2);
    size_t n = 0;
    for (text[n++] = '['; n < BYTES;) n += (size_t)sprintf(text + n, "[%zu],", n);
    text[n - 1] = ']';
    check_work("an array", parse, NULL, (str){text, n}, 2);
    n = 0;
    for (text[n++] = '{'; n < BYTES;) n += (size_t)sprintf(text + n, "\"%zu\":0,", n);
    text[n - 1] = '}';
    check_work("an object", parse, NULL, (str){text, n}, 2);
    free(text);
}

static err_code render(const void *with, str text, const yield_hook *yield, uint64_t *result, err *e) {
    json_member m = {STR("text"), {.kind = JSON_STR, .count = (uint32_t)text.len, .s = text.ptr}};
    json_value variables = {.kind = JSON_OBJECT, .count = 1, .members = &m};
    arena a;
    str out;
    CHECK(!arena_open(&a, MEM_TOOLS, (size_t)1 << 30, e));
    err_code code = tmpl_render(with, &variables, &(tmpl_opts){.yield = yield}, &a, &out, e);
    if (!code) *result = hash_bytes(out.ptr, out.len, 1);
    arena_close(&a);
    return code;
}

TEST(yield_while_a_template_is_rendered) {
    tmpl *t;
    err e;
    str text = repeated("the mill. ");
    CHECK(!tmpl_open(&t, STR("{% for i in range(60000) %}{{ i }} {% endfor %}{{ text | upper }}"), &e));
    check_work("a template", render, t, text, 10);
    tmpl_close(t);
    free((char *)(uintptr_t)text.ptr);
}
