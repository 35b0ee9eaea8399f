/* trace.c: reads recorded routing. Refuses layers, experts and counts outside the shape that the file states, tokens
 * with an expert too many, too few or twice, and rows out of their order: each pass goes through all layers, with the
 * same tokens in each. Next: cache_sim.c.
 */
#include "tools/trace.h"

typedef struct reader {
    trace *t;
    const char *path;
    size_t line;
    uint64_t turn, phase, step, layer; /* of the row before          */
    size_t n_chosen;                   /* of its token               */
    uint64_t first, last;              /* steps of the pass in work  */
    bool any;
} reader;

static bool number(str text, const char *key, uint64_t *out) {
    size_t at = str_find(text, str_of(key));
    if (at == SIZE_MAX) return false;
    at += cstr_len(key);
    size_t end = at;
    while (end < text.len && text.ptr[end] >= '0' && text.ptr[end] <= '9') end++;
    return parse_u64(str_cut(text, at, end - at), out);
}

static err_code wrong(const reader *r, const char *what, uint64_t seen, uint64_t least, uint64_t most, err *e) {
    return ERR(e, ERR_FORMAT, "%.100s line %zu: %s is %llu, wanted %llu to %llu", r->path, r->line, what,
               (unsigned long long)seen, (unsigned long long)least, (unsigned long long)most);
}

static err_code amiss(const reader *r, const char *what, uint64_t seen, uint64_t wanted, err *e) {
    return ERR(e, ERR_FORMAT, "%.100s line %zu: %s is %llu, wanted %llu", r->path, r->line, what,
               (unsigned long long)seen, (unsigned long long)wanted);
}

/* A line of the shape. Others that begin with # are comments. */
static err_code read_shape(reader *r, str text, err *e) {
    trace *t = r->t;
    uint64_t n_layer, n_expert, n_used, layer, bytes;
    if (number(text, "n_layer=", &n_layer) && number(text, "n_expert=", &n_expert) &&
        number(text, "n_expert_used=", &n_used)) {
        if (t->n_layer) return ERR(e, ERR_FORMAT, "%.100s line %zu: a second shape", r->path, r->line);
        if (!n_layer || n_layer > TRACE_LAYERS_MAX) return wrong(r, "n_layer", n_layer, 1, TRACE_LAYERS_MAX, e);
        if (!n_expert || n_expert > TRACE_EXPERTS_MAX) return wrong(r, "n_expert", n_expert, 1, TRACE_EXPERTS_MAX, e);
        if (!n_used || n_used > n_expert) return wrong(r, "n_expert_used", n_used, 1, n_expert, e);
        t->n_layer = (size_t)n_layer;
        t->n_expert = (size_t)n_expert;
        t->n_used = (size_t)n_used;
        t->expert_bytes = arena_array(&t->memory, t->n_layer, sizeof(uint64_t));
        t->dense_bytes = arena_array(&t->memory, t->n_layer, sizeof(uint64_t));
        if (!t->expert_bytes || !t->dense_bytes) return ERR(e, ERR_MEMORY, "%.150s: no memory for its layers", r->path);
    } else if (t->n_layer && number(text, "layer=", &layer) && number(text, "expert_bytes=", &bytes)) {
        if (layer >= t->n_layer) return wrong(r, "layer", layer, 0, t->n_layer - 1, e);
        if (!bytes || bytes > (uint64_t)1 << 40) return wrong(r, "expert_bytes", bytes, 1, (uint64_t)1 << 40, e);
        t->expert_bytes[layer] = bytes;
        if (number(text, "dense_bytes=", &bytes)) t->dense_bytes[layer] = MIN(bytes, (uint64_t)1 << 40);
    }
    return ERR_NONE;
}

static bool whole_token(const reader *r) { return r->n_chosen == r->t->n_used; }
/* The layer has had all tokens of the pass; how many these are the first layer says. */
static bool whole_layer(const reader *r) { return whole_token(r) && (!r->layer || r->step == r->last); }

/* A token of the same layer, of the next one in this pass, or of a new pass. Of a prompt only what the output wants may
 * go through the last layer. */
static err_code check_order(reader *r, const uint64_t v[6], bool same_layer, err *e) {
    uint64_t turn = v[0], phase = v[1], step = v[2], layer = v[3], end = r->t->n_layer - 1;
    if (r->any && !whole_token(r)) return amiss(r, "the number of choices before", r->n_chosen, r->t->n_used, e);
    if (same_layer) {
        if (step != r->step + 1) return amiss(r, "the step", step, r->step + 1, e);
        return layer && step > r->last ? wrong(r, "the step", step, 0, r->last, e) : ERR_NONE;
    }
    uint64_t next = r->any && r->layer < end ? r->layer + 1 : 0;
    if (r->any && !whole_layer(r)) return amiss(r, "the last step of the layer before", r->step, r->last, e);
    if (layer != next) return amiss(r, "the layer", layer, next, e);
    if (!r->layer) r->last = r->step;
    if (!layer) {
        if (r->any && turn < r->turn) return amiss(r, "the turn", turn, r->turn, e);
        bool goes_on = r->any && turn == r->turn && phase == r->phase;
        if (goes_on && step != r->last + 1) return amiss(r, "the step", step, r->last + 1, e);
        r->first = step;
        return ERR_NONE;
    }
    if (turn != r->turn) return amiss(r, "the turn", turn, r->turn, e);
    if (phase != r->phase) return amiss(r, "the phase", phase, r->phase, e);
    bool fewer = layer == end && !phase && step > r->first && step <= r->last;
    return fewer || step == r->first ? ERR_NONE : amiss(r, "the step", step, r->first, e);
}

/* Begins a token, and a visit where it is not of the one before. */
static err_code place(reader *r, const uint64_t v[6], err *e) {
    trace *t = r->t;
    bool same = r->any && v[0] == r->turn && v[1] == r->phase && v[3] == r->layer;
    if (same && v[2] == r->step) return ERR_NONE;
    err_code code = check_order(r, v, same, e);
    if (code) return code;
    if (same && !v[1]) {
        t->visits[t->n_visits - 1].n_tokens++;
    } else {
        t->visits[t->n_visits++] =
            (trace_visit){.prompt = !v[1], .layer = (uint32_t)v[3], .n_tokens = 1, .first = t->n_choices};
        if (v[1] && !v[3]) t->n_generated++;
    }
    r->turn = v[0];
    r->phase = v[1];
    r->step = v[2];
    r->layer = v[3];
    r->n_chosen = 0;
    r->any = true;
    return ERR_NONE;
}

static err_code read_row(reader *r, str text, err *e) {
    trace *t = r->t;
    uint64_t v[6]; /* turn, phase, step, layer, slot, expert */
    for (size_t i = 0; i < COUNT_OF(v); i++) {
        size_t end = 0;
        while (end < text.len && text.ptr[end] != ',') end++;
        if (!parse_u64(str_cut(text, 0, end), &v[i]))
            return ERR(e, ERR_FORMAT, "%.100s line %zu: '%.*s' in column %zu is not a whole number", r->path, r->line,
                       (int)MIN(end, (size_t)40), text.ptr, i + 1);
        text = str_cut(text, MIN(end + 1, text.len), text.len);
    }
    if (!t->n_layer)
        return ERR(e, ERR_FORMAT, "%.100s line %zu: a choice before the shape (# n_layer=...)", r->path, r->line);
    if (v[1] > 1) return wrong(r, "the phase", v[1], 0, 1, e);
    if (v[3] >= t->n_layer) return wrong(r, "the layer", v[3], 0, t->n_layer - 1, e);
    if (v[5] >= t->n_expert) return wrong(r, "the expert", v[5], 0, t->n_expert - 1, e);
    err_code code = place(r, v, e);
    if (code) return code;
    if (whole_token(r))
        return ERR(e, ERR_FORMAT, "%.100s line %zu: more than the %zu choices of a token", r->path, r->line, t->n_used);
    if (v[4] != r->n_chosen) return amiss(r, "the slot", v[4], r->n_chosen, e);
    for (size_t i = t->n_choices - r->n_chosen; i < t->n_choices; i++)
        if (t->choices[i] == v[5])
            return ERR(e, ERR_FORMAT, "%.100s line %zu: expert %llu comes twice in a token, wanted once", r->path,
                       r->line, (unsigned long long)v[5]);
    t->choices[t->n_choices++] = (uint16_t)v[5];
    t->visits[t->n_visits - 1].n++;
    r->n_chosen++;
    return ERR_NONE;
}

static err_code read_lines(reader *r, str text, err *e) {
    bool titled = false;
    for (size_t at = 0; at < text.len;) {
        size_t end = at;
        while (end < text.len && text.ptr[end] != '\n') end++;
        str line = str_trim(str_cut(text, at, end - at));
        err_code code = ERR_NONE;
        at = end + 1;
        r->line++;
        if (!line.len) continue;
        if (line.ptr[0] == '#') {
            code = read_shape(r, line, e);
        } else if (!titled && (line.ptr[0] < '0' || line.ptr[0] > '9')) {
            titled = true; /* the names of the columns */
        } else {
            code = read_row(r, line, e);
        }
        if (code) return code;
    }
    if (r->any && (!whole_layer(r) || r->layer + 1 != r->t->n_layer))
        return ERR(e, ERR_FORMAT, "%.100s line %zu: the file ends in layer %llu with %zu choices of a token, wanted "
                   "layer %zu and %zu: it was cut off", r->path, r->line, (unsigned long long)r->layer, r->n_chosen,
                   r->t->n_layer - 1, r->t->n_used);
    if (!r->t->n_generated) return ERR(e, ERR_FORMAT, "%.150s: has no choices of generated tokens", r->path);
    for (size_t l = 0; l < r->t->n_layer; l++)
        if (!r->t->expert_bytes[l])
            return ERR(e, ERR_FORMAT, "%.100s: says no expert_bytes for layer %zu", r->path, l);
    return ERR_NONE;
}

err_code trace_open(trace *out, const char *path, err *e) {
    *out = (trace){0};
    tools_text text;
    err_code code = tools_text_open(&text, path, e);
    if (code) return code;
    size_t rows = text.bytes / 12 + 1; /* "0,0,0,0,0,0\n" */
    size_t bytes = rows * (sizeof(uint16_t) + sizeof(trace_visit)) + TRACE_LAYERS_MAX * 2 * sizeof(uint64_t) + 4096;
    bytes += rows * sizeof(uint16_t); /* trace_routing */
    code = arena_open(&out->memory, MEM_TOOLS, bytes, e);
    if (!code) {
        reader r = {.t = out, .path = path};
        out->choices = arena_array(&out->memory, rows, sizeof *out->choices);
        out->visits = arena_array(&out->memory, rows, sizeof *out->visits);
        code = out->choices && out->visits ? read_lines(&r, (str){text.data, text.bytes}, e)
                                           : ERR(e, ERR_MEMORY, "%.150s: no memory for its choices", path);
    }
    tools_text_close(&text);
    if (code) trace_close(out);
    return code;
}

err_code trace_routing(trace *t, leat_routing *out, err *e) {
    uint16_t *at = arena_array(&t->memory, t->n_generated * t->n_layer, t->n_used * sizeof *at);
    size_t row = 0;
    if (!at) return ERR(e, ERR_MEMORY, "no memory for the routing of %zu tokens", t->n_generated);
    for (size_t i = 0; i < t->n_visits; i++) {
        const trace_visit *v = &t->visits[i];
        if (v->prompt) continue;
        if (v->layer != row % t->n_layer)
            return ERR(e, ERR_FORMAT, "the routing was recorded several tokens at a time: layer %u comes where one at "
                       "a time wants layer %zu", v->layer, row % t->n_layer);
        memcpy(at + row++ * t->n_used, t->choices + v->first, t->n_used * sizeof *at);
    }
    *out = (leat_routing){.experts = at, .n_tokens = (int32_t)(row / t->n_layer), .n_layer = (int32_t)t->n_layer,
                          .n_used = (int32_t)t->n_used};
    return ERR_NONE;
}

void trace_close(trace *t) {
    arena_close(&t->memory);
    *t = (trace){0};
}
