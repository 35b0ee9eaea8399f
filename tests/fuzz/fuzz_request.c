/* fuzz_request.c: any bytes as the body of a request. What is taken is within its limits, what is refused says why. */
#include "fuzz/fuzz.h"
#include "srv/srv_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const srv_request *o) {
    require(o->n >= 1 && o->n <= SRV_CHOICES_MAX && o->max_tokens >= -1, "counts");
    require(o->top >= 0 && o->top <= SRV_TOP_MAX && o->n_stops <= SRV_STOPS_MAX, "counts");
    for (size_t i = 0; i < o->n_stops; i++)
        require(o->stops[i].len && o->stops[i].len <= SRV_STOP_BYTES_MAX, "stop strings");
    require(o->sampler.temperature >= 0 && o->sampler.top_p <= 1 && o->sampler.min_p >= 0, "the sampler");
    if (o->kind != SRV_TEXT && o->kind != SRV_NATIVE) {
        require(o->messages && o->messages->kind == JSON_ARRAY && o->messages->count, "messages");
        require(!o->variables || o->variables->kind == JSON_OBJECT, "variables");
        for (uint32_t i = 0; i < o->messages->count; i++)
            require(json_get(&o->messages->items[i], "role") != NULL, "a role");
    } else {
        require(o->prompts && o->n_prompts >= 1 && o->n_prompts * (size_t)o->n <= SRV_CHOICES_MAX, "prompts");
        for (size_t i = 0; i < o->n_prompts; i++) {
            const json_value *p = srv_request_prompt(o, i);
            require(p->kind == JSON_STR || (p->kind == JSON_ARRAY && p->count), "a prompt");
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena a;
    json_value body;
    err e = {0};
    char *copy = malloc(size + 1);
    if (!copy || arena_open(&a, MEM_TOOLS, 32 * size + (1 << 16), &e)) abort();
    memcpy(copy, data, size);
    if (!json_parse(&a, (str){copy, size}, &body, &e)) {
        for (int kind = SRV_CHAT; kind <= SRV_COUNT; kind++) {
            srv_request o = {.max_tokens = -1, .sampler = {.temperature = 0.8f, .top_p = 0.95f, .min_p = 0.05f}};
            srv_wrong wrong = {0};
            srv_request_read(&o, (srv_kind)kind, &body, &wrong);
            if (wrong.status) require(wrong.status == 400 && wrong.text[0], "what is refused says why");
            else check(&o);
        }
    }
    arena_close(&a);
    free(copy);
    return 0;
}
