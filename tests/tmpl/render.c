/* render.c: renders templates for a peer to compare with. A line of standard input is a case,
 *     {"template": "...", "variables": {...}, "now": 0}
 * and a line of standard output says what became of it: {"text": "..."} or {"error": "...", "code": "..."}.
 */
#include "tmpl/tmpl.h"

#include <stdio.h>
#include <stdlib.h>

static void put(void *to, const char *bytes, size_t n) { fwrite(bytes, 1, n, to); }

static err_code render(const json_value *c, arena *a, str *text, err *e) {
    const json_value *source = json_get(c, "template"), *now = json_get(c, "now");
    tmpl_opts opts = {.now_s = now && now->kind == JSON_INT ? (uint64_t)now->i : 0};
    tmpl *t;
    if (!source || source->kind != JSON_STR) return ERR(e, ERR_ARGUMENT, "a case without a template");
    err_code code = tmpl_open(&t, json_str(source), e);
    if (!code) code = tmpl_render(t, json_get(c, "variables"), &opts, a, text, e);
    tmpl_close(t);
    return code;
}

int main(void) {
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        arena a;
        json_value c;
        json_writer w;
        str text;
        err e = {0};
        err_code code = arena_open(&a, MEM_TOOLS, (size_t)1 << 32, &e);
        if (code) return 1;
        if (!(code = json_parse(&a, (str){line, (size_t)n}, &c, &e))) code = render(&c, &a, &text, &e);
        json_write_start(&w, &json_compact, put, stdout);
        json_write_open(&w, JSON_OBJECT);
        json_write_key(&w, code ? str_of("error") : str_of("text"));
        json_write_str(&w, code ? str_of(e.text) : text);
        if (code) {
            json_write_key(&w, str_of("code"));
            json_write_str(&w, str_of(err_name(code)));
        }
        json_write_close(&w, JSON_OBJECT);
        putchar('\n');
        fflush(stdout);
        arena_close(&a);
    }
    free(line);
    return 0;
}
