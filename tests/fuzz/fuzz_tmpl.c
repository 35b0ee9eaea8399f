/* fuzz_tmpl.c: any bytes as a chat template, rendered with one conversation. It ends within its limits, with a text or
 * an error, and nothing stays behind.
 */
#include "fuzz/fuzz.h"
#include "tmpl/tmpl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char variables[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi "
    "\\u00e9\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":"
    "{\"name\":\"f\",\"arguments\":{\"a\":1,\"b\":[2.5,\"x\"]}}}]},{\"role\":\"tool\",\"content\":[{\"type\":\"text\","
    "\"text\":\"y\"}]}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}],\"add_generation_prompt\":"
    "true,\"bos_token\":\"<s>\","
    "\"n\":3,\"f\":2.5,\"s\":\"a,b c\",\"l\":[3,1,2],\"d\":{\"k\":\"v\",\"items\":[1]},\"none\":null}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena a;
    json_value v;
    tmpl *t;
    str text;
    err e = {0};
    tmpl_opts opts = {.steps_max = 100000, .bytes_max = 8 << 20, .now_s = 1753963200};
    require(!arena_open(&a, MEM_TOOLS, 16 << 20, &e) && !json_parse(&a, STR(variables), &v, &e), "variables");
    err_code code = tmpl_open(&t, (str){(const char *)data, size}, &e);
    require((code == ERR_NONE) == (t != NULL), "a handle or an error");
    if (!code) {
        code = tmpl_render(t, &v, &opts, &a, &text, &e);
        size_t len;
        for (size_t i = 0; !code && i < text.len; i += len)
            require(utf8_decode(text.ptr + i, text.len - i, &len) != UTF8_INVALID, "the text is UTF-8");
    }
    /* raise_exception may have nothing to say */
    if (code)
        require(code == e.code && code != ERR_INTERNAL && (e.text[0] || code == ERR_ARGUMENT), "an error says why");
    tmpl_close(t);
    arena_close(&a);
    require(mem_bytes(MEM_ENGINE) == 0 && mem_bytes(MEM_TOOLS) == 0, "nothing stays behind");
    return 0;
}
