/* fuzz_json.c: any bytes as JSON. What is read can be written, and reads back as the same; what is refused says where;
 * and the same holds for \u escapes, and for each style.
 */
#include "fuzz/fuzz.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct out {
    char *at;
    size_t n, cap;
} out;

static void put(void *to, const char *bytes, size_t n) {
    out *o = to;
    if (o->n + n > o->cap) o->at = realloc(o->at, o->cap = 2 * (o->n + n));
    memcpy(o->at + o->n, bytes, n);
    o->n += n;
}

static str written(const json_value *v, const json_style *style, out *o) {
    json_writer w;
    o->n = 0;
    json_write_start(&w, style, put, o);
    json_write_value(&w, v);
    return (str){o->at, o->n};
}

static size_t count(const json_value *v) {
    size_t n = 1;
    for (uint32_t i = 0; i < v->count && v->kind == JSON_ARRAY; i++) n += count(&v->items[i]);
    for (uint32_t i = 0; i < v->count && v->kind == JSON_OBJECT; i++) {
        for (uint32_t k = 0; k < i && v->count < 50; k++)
            require(!str_eq(v->members[i].key, v->members[k].key), "no key is there twice");
        n += count(&v->members[i].value);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena a, b;
    json_value v, again;
    out first = {0}, second = {0}, styled = {0};
    err e = {0};
    require(!arena_open(&a, MEM_TOOLS, 32 * size + (1 << 16), &e) &&
                !arena_open(&b, MEM_TOOLS, 256 * size + (1 << 16), &e),
            "memory");
    err_code code = json_parse(&a, (str){(const char *)data, size}, &v, &e);
    if (code) {
        require((code == ERR_FORMAT || code == ERR_LIMIT) && e.text[0], "an error says why");
    } else {
        str text = written(&v, &json_compact, &first);
        require(count(&v) <= size, "a value is a byte at least");
        json_style style = json_spaced;
        style.ascii = true, style.lines = true, style.indent = STR(" "), style.between = ",";
        require(!json_parse(&b, text, &again, &e), "what was written is read");
        require(str_eq(written(&again, &json_compact, &second), text), "and is the same");
        str lines = written(&v, &style, &styled);
        require(!json_parse(&b, lines, &again, &e), "and in lines of ASCII");
        require(str_eq(written(&again, &json_compact, &second), text), "and is the same");
    }
    free(first.at);
    free(second.at);
    free(styled.at);
    arena_close(&a);
    arena_close(&b);
    require(mem_bytes(MEM_TOOLS) == 0, "nothing stays behind");
    return 0;
}
