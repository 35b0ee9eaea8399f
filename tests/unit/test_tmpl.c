/* test_tmpl.c: chat templates against what jinja2 made of them (tests/data/tmpl), their limits, and the built-in ones.
 */
#include "check.h"
#include "tmpl/tmpl.h"

#include <string.h>

#define NOW (1753963200 + 45296) /* as in tests/tmpl/peer.py */

static arena open_arena(void) {
    arena a;
    err e;
    CHECK(!arena_open(&a, MEM_TOOLS, (size_t)1 << 32, &e));
    return a;
}

static err_code render(str source, const json_value *variables, const tmpl_opts *opts, arena *a, str *text, err *e) {
    tmpl *t;
    err_code code = tmpl_open(&t, source, e);
    CHECK((code == ERR_NONE) == (t != NULL));
    if (!code) code = tmpl_render(t, variables, opts, a, text, e);
    tmpl_close(t);
    return code;
}

TEST(tmpl_as_jinja2) {
    size_t bytes;
    char *all = (char *)test_slurp("tests/data/tmpl/expected.jsonl", &bytes);
    arena cases = open_arena(), a = open_arena();
    str rest = {all, bytes};
    json_value variables = {.kind = JSON_OBJECT};
    tmpl_opts opts = {.now_s = NOW};
    int n = 0;
    for (size_t end; rest.len; rest = str_cut(rest, end + 1, rest.len), n++) {
        json_value c;
        err e = {0};
        str text = {"", 0};
        end = str_find(rest, STR("\n"));
        CHECK(end != SIZE_MAX && !json_parse(&cases, str_cut(rest, 0, end), &c, &e));
        if (json_get(&c, "variables")->kind == JSON_OBJECT) variables = *json_get(&c, "variables");
        str source = json_str(json_get(&c, "template"));
        const json_value *wanted = json_get(&c, "text"), *raised = json_get(&c, "raised");
        arena_reset(&a, 0);
        err_code code = render(source, &variables, &opts, &a, &text, &e);
        if (wanted)
            CHECK_MSG(!code && str_eq(text, json_str(wanted)), "%.*s\n  is    %.*s %s\n  wanted %.*s", (int)source.len,
                      source.ptr, (int)text.len, text.ptr, e.text, (int)wanted->count, wanted->s);
        else
            CHECK_MSG(code && (!raised || (code == ERR_ARGUMENT && str_is(json_str(raised), e.text))),
                      "%.*s\n  is \"%s\", wanted an error", (int)source.len, source.ptr, e.text);
    }
    CHECK(n > 250);
    free(all);
    arena_close(&a);
    arena_close(&cases);
    CHECK_EQ(mem_bytes(MEM_ENGINE), 0);
}

static const char *const errors[][2] = {
    {"a\n\n{{ x y }}", "template line 3: seen 'y', wanted '}}'"},
    {"{% if x %}\n", "seen the end, wanted {% endif %}"},
    {"{% for x of y %}{% endfor %}", "seen 'of', wanted in"},
    {"\n{% frobnicate %}", "template line 2: seen 'frobnicate', wanted a tag that is known here"},
    {"{% include 'x' %}", "the tag {% include %}"},
    {"{{ x|nope }}", "no filter named 'nope'"},
    {"{{ x is nope }}", "no test named 'nope'"},
    {"{{ 'abc }}", "a string without its closing '"},
    {"{{ [1, 2) }}", "seen ')', wanted ']'"},
    {"{{ 99999999999999999999 }}", "is out of range"},
    {"{{ a ! b }}", "seen '!', which begins nothing"},
    {"{{ f(a=1, 2) }}", "arguments of a call in an order that Python has not"},
    {"x\n{{ missing.y }}", "template line 2: 'missing' is undefined"},
    {"{{ {}.a.b }}", "a dict has no attribute 'a'"},
    {"{{ 1 + 'a' }}", "cannot add a int and a str"},
    {"{{ raise_exception('Roles must alternate') }}", "Roles must alternate"},
    {"{{ [].append(1) }}", "cannot be changed"},
    {"{{ 9223372036854775807 + 1 }}", "more than 64 bits"},
    {"{{ 'a'.encode() }}", "the method 'encode' of a str"},
};

TEST(tmpl_errors_say_where) {
    arena a = open_arena();
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        err e = {0};
        str text;
        CHECK_MSG(render(str_of(errors[i][0]), NULL, NULL, &a, &text, &e), "%s was rendered", errors[i][0]);
        CHECK_MSG(strstr(e.text, errors[i][1]) != NULL, "%s: \"%s\", wanted \"%s\"", errors[i][0], e.text,
                  errors[i][1]);
    }
    arena_close(&a);
}

/* Whatever a template does ends soon, with an error and without more memory than it may have. */
static const char *const hostile[] = {
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% set ns = namespace(s='x') %}{% for a in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s=[1]) %}{% for a in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s='x') %}{% for a in range(100000) %}{% set ns.s = ns.s ~ ns.s[1:] ~ 'yy' %}{% endfor %}",
    "{{ 'x' * 9999999999 }}",
    "{{ [0] * 9999999999999 }}",
    "{{ '%4096d' * 99999 % (1,) }}",
    "{{ 'x'.center(9999999999) }}",
    "{{ range(100001) }}",
    "{{ 10 ** 99999999999 }}",
    "{{ 'a' | indent(9999999999) }}",
    "{% set ns = namespace(s=[]) %}{% for a in range(5000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s=[]) %}{% for a in range(5000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s | tojson }}",
    "{% set ns = namespace(s=[], t=[]) %}{% for a in range(5000) %}{% set ns.s = [ns.s] %}{% set ns.t = [ns.t] %}{% "
    "endfor %}{{ ns.s == ns.t }}",
    "{% set ns = namespace(s=[1]) %}{% for a in range(5000) %}{% set ns.s = ns.s | map('string') %}{% endfor %}{{ ns.s "
    "| list }}",
    "{% set ns = namespace(s=(1,)) %}{% for a in range(5000) %}{% set ns.s = (ns.s,) %}{% endfor %}{{ {ns.s: 1} }}",
    "{{ ('x' * 1000000).replace('', 'y' * 1000000) }}",
};

TEST(tmpl_hostile_templates_end) {
    arena a = open_arena();
    tmpl_opts opts = {.steps_max = 2000000, .bytes_max = (size_t)32 << 20};
    /* As much as other tests held at once: from here on the peak tells what these hold. */
    void *others = mem_block(MEM_ENGINE, mem_bytes_peak(MEM_ENGINE));
    size_t before = mem_bytes_peak(MEM_ENGINE);
    CHECK(others && before == mem_bytes(MEM_ENGINE));
    for (size_t i = 0; i < COUNT_OF(hostile); i++) {
        err e = {0};
        str text;
        err_code code = render(str_of(hostile[i]), NULL, &opts, &a, &text, &e);
        CHECK_MSG(code != ERR_NONE && code != ERR_INTERNAL, "%s: %s", hostile[i], e.text);
        arena_reset(&a, 0);
    }
    CHECK(mem_bytes_peak(MEM_ENGINE) > before && mem_bytes_peak(MEM_ENGINE) - before < (size_t)128 << 20);
    mem_block_free(others);
    arena_close(&a);
    CHECK_EQ(mem_bytes(MEM_ENGINE), 0);
}

/* n times a piece, between two ends. */
static char *repeated(const char *begin, const char *piece, size_t n, const char *end) {
    size_t len = strlen(piece);
    char *s = malloc(strlen(begin) + n * len + strlen(end) + 1), *at = s + sprintf(s, "%s", begin);
    for (size_t i = 0; i < n; i++, at += len) memcpy(at, piece, len);
    strcpy(at, end);
    return s;
}

TEST(tmpl_hostile_sources_end) {
    static const struct {
        const char *begin, *piece, *end;
        bool fits; /* long, but flat */
    } sources[] = {
        {"{{ ", "(", " }}", false},
        {"{{ ", "[", " }}", false},
        {"{{ ", "not ", "1 }}", false},
        {"{{ ", "-", "1 }}", false},
        {"{{ x", ".x", " }}", false},
        {"{{ x", "|string", " }}", false},
        {"{{ 1", " + 1", " }}", false},
        {"{{ 1", " ~ 1", " }}", true},
        {"", "{% if 1 %}", "", false},
        {"", "{% for x in y %}", "", false},
        {"", "{% macro x() %}", "", false},
        {"{{ x", " if x else x", " }}", false},
        {"", "{% if 1 %}{% elif 2 %}{% else %}{% set x = 1 %}{% endif %}", "", true},
        {"{{ [", "1,", "] }}", true},
        {"{{ {", "1:1,", "} }}", true},
        {"{% if 1 %}", "{% elif 2 %}", "{% endif %}", true},
        {"", "{{ x }}{# c #}", "", true},
        {"{% set ", "x,", "y = z %}", true},
    };
    arena a = open_arena();
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        char *source = repeated(sources[i].begin, sources[i].piece, 20000 / strlen(sources[i].piece), sources[i].end);
        err e = {0};
        tmpl *t;
        err_code code = tmpl_open(&t, str_of(source), &e);
        CHECK_MSG((code == ERR_NONE) == sources[i].fits, "%s%s...: %s", sources[i].begin, sources[i].piece, e.text);
        tmpl_close(t);
        free(source);
    }
    arena_close(&a);
    CHECK_EQ(mem_bytes(MEM_ENGINE), 0);
}

TEST(tmpl_limits_are_the_callers) {
    arena a = open_arena();
    str text, source = STR("{% for i in range(1000) %}{{ 'x' * 1000 }}{% endfor %}");
    err e = {0};
    tmpl_opts opts = {.steps_max = 500};
    CHECK_EQ(render(source, NULL, &opts, &a, &text, &e), ERR_LIMIT);
    opts = (tmpl_opts){.bytes_max = 100000};
    CHECK_EQ(render(source, NULL, &opts, &a, &text, &e), ERR_MEMORY);
    CHECK_EQ(render(source, NULL, NULL, &a, &text, &e), ERR_NONE);
    CHECK_EQ(text.len, 1000000);
    json_value list = {.kind = JSON_ARRAY};
    CHECK_EQ(render(source, &list, NULL, &a, &text, &e), ERR_ARGUMENT);
    arena_close(&a);
}

/* Wherever a render is stopped, by its steps or by its memory, it leaves nothing behind. */
TEST(tmpl_stops_anywhere) {
    size_t bytes;
    char *all = (char *)test_slurp("tests/data/tmpl/expected.jsonl", &bytes);
    arena cases = open_arena(), a = open_arena();
    str rest = {all, bytes};
    json_value c, variables = {.kind = JSON_OBJECT};
    for (size_t end, n = 0; rest.len; rest = str_cut(rest, end + 1, rest.len), n++) {
        err e = {0};
        str text;
        end = str_find(rest, STR("\n"));
        CHECK(!json_parse(&cases, str_cut(rest, 0, end), &c, &e));
        if (json_get(&c, "variables")->kind == JSON_OBJECT) variables = *json_get(&c, "variables");
        str source = json_str(json_get(&c, "template"));
        tmpl_opts opts = {.steps_max = 1};
        for (err_code code = ERR_LIMIT; code == ERR_LIMIT && opts.steps_max < 100000;
             opts.steps_max += 1 + opts.steps_max / 4)
            code = render(source, &variables, &opts, &a, &text, &e);
        opts = (tmpl_opts){.bytes_max = 1};
        for (err_code code = ERR_MEMORY; code == ERR_MEMORY && opts.bytes_max < 1 << 20; opts.bytes_max += 4096)
            code = render(source, &variables, &opts, &a, &text, &e);
        arena_reset(&a, 0);
        CHECK_EQ(mem_bytes(MEM_ENGINE), 0);
    }
    free(all);
    arena_close(&a);
    arena_close(&cases);
}

/* What a long conversation appends costs what it is long. */
TEST(tmpl_appends_are_linear) {
    arena a = open_arena();
    str text;
    err e = {0};
    tmpl_opts opts = {.bytes_max = (size_t)48 << 20};
    CHECK_MSG(!render(STR("{% set ns = namespace(s='', l=[]) %}{% for i in range(100000) %}{% set ns.s = ns.s + 'line "
                          "of text ' ~ i %}"
                          "{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.s | length }} {{ ns.l | length }}"),
                      NULL, &opts, &a, &text, &e),
              "%s", e.text);
    CHECK(str_is(text, "1788890 100000"));
    arena_close(&a);
}

TEST(tmpl_builtins) {
    static const char messages[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":\"U\"}]},{\"role\":\"assistant\",\"content\":\" A\"},{\"role\":\"user\",\"content\":\"V\"}],"
        "\"add_generation_prompt\":true}";
    arena a = open_arena();
    json_value variables;
    char source[TMPL_BUILTIN_BYTES_MAX];
    err e = {0};
    str text;
    CHECK(!json_parse(&a, STR(messages), &variables, &e));
    size_t n = 0;
    for (str name; (name = tmpl_builtin_name(n)).len; n++) {
        size_t len = tmpl_builtin(name, source, sizeof source);
        CHECK(len > 0 && len + 1 < sizeof source);
        CHECK_MSG(!render((str){source, len}, &variables, NULL, &a, &text, &e), "%.*s: %s", (int)name.len, name.ptr,
                  e.text);
        CHECK(str_find(text, STR("S")) < str_find(text, STR("U")) &&
              str_find(text, STR("U")) < str_find(text, STR("V")));
        if (str_is(name, "llama3"))
            CHECK(str_is(
                text,
                "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU"
                "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user"
                "<|end_header_id|>\n\nV<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"));
        if (str_is(name, "llama2"))
            CHECK(str_is(text, "[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A</s>[INST] V [/INST]"));
        if (str_is(name, "gemma"))
            CHECK(str_is(
                text,
                "<start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\nV"
                "<end_of_turn>\n<start_of_turn>model\n"));
    }
    CHECK(n > 25);
    CHECK_EQ(tmpl_builtin(STR("nothing"), source, sizeof source), 0);
    CHECK(str_is(tmpl_builtin_like(STR("x <|im_start|> y")), "chatml"));
    CHECK(str_is(tmpl_builtin_like(STR("<|im_start|><|im_sep|>")), "phi4"));
    CHECK(str_is(tmpl_builtin_like(STR("<|start_header_id|>")), "llama3"));
    CHECK_EQ(tmpl_builtin_like(STR("nothing")).len, 0);
    arena_close(&a);
}
