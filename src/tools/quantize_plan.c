/* quantize_plan.c: decides what becomes of each tensor before anything is written: its type (what the user named, what
 * the mix says, what its rows can be divided into), its importance, its size, its part. What can be refused is refused
 * here. Next: quantize_out.c.
 */
#include "tools/quantize.h"

#define CHOICES_MAX 4096
#define SHOWN(s) (int)MIN((s).len, (size_t)64), (s).ptr

/* ---- types chosen by name ---------------------------------------------------------------------------------------- */

static err_code find_type(const char *option, str name, const quant_type **out, err *e) {
    *out = quant_find_name(name);
    if (!*out || (*out)->id == QUANT_F64 || !(*out)->encode)
        return ERR(e, ERR_ARGUMENT, "%s: '%.*s' is no tensor type that can be written (q4_k, iq4_xs, f16, ...)", option,
                   SHOWN(name));
    return ERR_NONE;
}

static err_code add_choice(quantize_plan *p, str text, const char *option, err *e) {
    size_t type_at = text.len;
    while (type_at > 0 && text.ptr[type_at - 1] != '=') type_at--;
    if (type_at < 2 || type_at == text.len)
        return ERR(e, ERR_ARGUMENT, "%s: '%.*s' is not PATTERN=TYPE (attn_v=q6_k)", option, SHOWN(text));
    if (p->n_choices == CHOICES_MAX) return ERR(e, ERR_LIMIT, "%s: more than %d patterns", option, CHOICES_MAX);
    /* Directly behind the last one. */
    quantize_choice *c = arena_alloc(&p->choice_memory, sizeof *c, _Alignof(quantize_choice));
    if (!c) return ERR(e, ERR_MEMORY, "no memory for %zu patterns", p->n_choices + 1);
    if (!p->n_choices++) p->choices = c;
    c->text = text;
    err inner;
    err_code code = pattern_compile(&c->pattern, str_cut(text, 0, type_at - 1), &inner);
    if (code) return ERR(e, code, "%s %.*s: %s", option, SHOWN(text), inner.text);
    return find_type(option, str_cut(text, type_at, text.len), &c->type, e);
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static err_code add_choices(quantize_plan *p, const quantize_values *o, err *e) {
    err_code code = arena_open(&p->choice_memory, MEM_TOOLS, CHOICES_MAX * sizeof(quantize_choice), e);
    for (size_t i = 0; i < o->types.n && !code; i++) code = add_choice(p, str_of(o->types.at[i]), "--tensor-type", e);
    if (!code && o->type_file) code = tools_text_open(&p->type_file, o->type_file, e);
    const tools_text *text = &p->type_file;
    for (size_t i = 0, end; i < text->bytes && !code; i = end + 1) {
        for (end = i; end < text->bytes && !is_space(text->data[end]);) end++;
        if (end > i) code = add_choice(p, (str){text->data + i, end - i}, "--tensor-type-file", e);
    }
    return code;
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

/* A whole number under "ARCH.key", of the first layer where each has its own; 0 where there is none. */
static bool get(const gguf *g, str arch, const char *key, uint64_t *out) {
    char name[128];
    fmt(name, sizeof name, "%.*s.%s", SHOWN(arch), key);
    const gguf_kv *kv = gguf_find(g, name);
    return kv && kv->count > 0 && gguf_item_u64(kv, 0, out);
}

static mix_model facts_of(const quantize_plan *p) {
    const gguf *g = p->in;
    mix_model m = {.has_importance = p->importance != NULL};
    gguf_get_str(g, "general.architecture", &m.arch);
    get(g, m.arch, "block_count", &m.n_layer);
    get(g, m.arch, "expert_count", &m.n_expert);
    if (get(g, m.arch, "attention.head_count", &m.n_head)) m.n_head_kv = m.n_head;
    get(g, m.arch, "attention.head_count_kv", &m.n_head_kv);
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        mix_role role = mix_role_of(gguf_tensor_at(g, i)->name);
        m.n_values += role == MIX_VALUE;
        m.has_output |= role == MIX_OUTPUT;
    }
    return m;
}

/* Sifts order[at] down in a heap of n items, the last by mix_before on top. */
static void sift(uint32_t *order, size_t at, size_t n, const quantize_item *items) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && mix_before(items[order[child]].from->name, items[order[child + 1]].from->name)) child++;
        if (!mix_before(items[order[at]].from->name, items[order[child]].from->name)) return;
        uint32_t swap = order[at];
        order[at] = order[child];
        order[child] = swap;
    }
}

/* The numbers of the items in the order of layers and names. NULL without memory. */
static uint32_t *ordered(quantize_plan *p) {
    size_t n = p->n_items;
    uint32_t *order = arena_array(&p->memory, n + 1, sizeof *order);
    if (!order) return NULL;
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = n / 2; i-- > 0;) sift(order, i, n, p->items);
    for (size_t end = n; end-- > 1;) {
        uint32_t last = order[0];
        order[0] = order[end];
        order[end] = last;
        sift(order, 0, end, p->items);
    }
    return order;
}

/* ---- one tensor -------------------------------------------------------------------------------------------------- */

typedef struct decider {
    quantize_plan *p;
    const quantize_values *o;
    const quant_type *output_type, *embedding_type; /* NULL: not named */
    mix_model model;
    mix_counts seen;
} decider;

static quantize_choice *choice_for(quantize_plan *p, str name) {
    for (size_t i = 0; i < p->n_choices; i++)
        if (pattern_finds(&p->choices[i].pattern, name)) return &p->choices[i];
    return NULL;
}

/* The type it should have; NULL: its own. */
static const quant_type *decide_type(decider *d, const gguf_tensor *t) {
    quantize_plan *p = d->p;
    const mix_tensor m = {t->name, t->dims};
    mix_role role = mix_role_of(t->name);
    if (p->mix->copy || !mix_may_encode(&m) || (role == MIX_OUTPUT && d->o->leave_output)) return NULL;
    quantize_choice *named = choice_for(p, t->name);
    /* The table of each layer's own embeddings is large enough to be named for itself. */
    bool own_name = named && !str_is(t->name, "token_embd.weight");
    if (role == MIX_EMBEDDING && d->embedding_type && !own_name) return d->embedding_type;
    if (role == MIX_OUTPUT && d->output_type) return d->output_type;
    if (named) {
        named->n_found++;
        return named->type;
    }
    if (d->o->pure) return quant_find(p->mix->base);
    quant_id type = mix_type(p->mix, &d->model, &d->seen, &m);
    if (role == MIX_EMBEDDING && !d->model.has_output && d->output_type) return d->output_type;
    return quant_find(type);
}

static bool any_in(const tools_strs *words, str name) {
    for (size_t i = 0; i < words->n; i++)
        if (str_find(name, str_of(words->at[i])) != SIZE_MAX) return true;
    return false;
}

static bool is_included(const quantize_values *o, str name) {
    return !any_in(&o->exclude, name) && (!o->include.n || any_in(&o->include, name));
}

static err_code find_columns(decider *d, quantize_item *x, err *e) {
    quantize_plan *p = d->p;
    const gguf_tensor *t = x->from;
    if (!x->to->unpack) return ERR_NONE; /* floats need none */
    const imatrix_entry *entry =
        p->importance && is_included(d->o, t->name) ? imatrix_find(p->importance, t->name) : NULL;
    if (entry) {
        err_code code = imatrix_check(entry, t->dims[0], t->dims[2] * t->dims[3], e);
        if (!code) x->columns = entry;
        else if (mix_role_of(t->name) != MIX_EMBEDDING) return code; /* rows are looked up there, not multiplied */
    }
    if (p->importance && !x->columns) p->n_blind++;
    if (!x->columns && !p->poor && mix_needs_importance(p->mix, t->name, x->to->id)) p->poor = x;
    return ERR_NONE;
}

static err_code decide(decider *d, quantize_item *x, err *e) {
    const gguf_tensor *t = x->from;
    const quant_type *wanted = decide_type(d, t);
    if (!wanted) wanted = t->type;
    x->wanted = wanted;
    x->to = wanted == t->type ? t->type : quant_find(mix_fit(wanted->id, t->dims[0]));
    x->bytes = t->bytes;
    if (x->to == t->type) return ERR_NONE;
    size_t bytes;
    if (t->type->unpack && !d->o->allow_requantize)
        return ERR(e, ERR_UNSUPPORTED,
                   "tensor %.*s is %s, so it was quantised before: begin with the original, or lose more "
                   "with --allow-requantize",
                   SHOWN(t->name), t->type->name);
    if (!x->to->encode && !d->o->dry_run)
        return ERR(e, ERR_UNSUPPORTED, "tensor %.*s: %s cannot be written yet", SHOWN(t->name), x->to->name);
    if (!quant_bytes(x->to, t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3], &bytes))
        return ERR(e, ERR_LIMIT, "tensor %.*s: as %s its size overflows", SHOWN(t->name), x->to->name);
    x->bytes = bytes;
    return find_columns(d, x, e);
}

/* ---- parts, sums ------------------------------------------------------------------------------------------------- */

static uint64_t padded(uint64_t bytes, const gguf *g) { return align_up((size_t)bytes, gguf_alignment(g)); }

/* About the bytes of a header: of the keys for the first part, and of the tensors' names. */
static uint64_t keys_bytes(const gguf *g) {
    uint64_t bytes = 1024;
    for (size_t i = 0; i < gguf_kv_count(g); i++)
        bytes += gguf_kv_at(g, i)->key.len + gguf_kv_at(g, i)->data_bytes + 32;
    return bytes;
}

static void place(quantize_plan *p, const quantize_values *o) {
    p->n_parts = 1;
    if (o->keep_split) {
        for (size_t i = 0; i < p->n_items; i++) p->items[i].part = p->items[i].from->part;
        p->n_parts = gguf_part_count(p->in);
    } else if (o->part_bytes_max) {
        uint64_t held = keys_bytes(p->in);
        bool empty = true;
        for (size_t i = 0; i < p->n_items; i++) {
            quantize_item *x = &p->items[i];
            uint64_t bytes = padded(x->bytes, p->in) + x->from->name.len + 64;
            if (!empty && (held > o->part_bytes_max || bytes > o->part_bytes_max - held)) {
                p->n_parts++;
                held = 1024;
            }
            x->part = (uint32_t)(p->n_parts - 1);
            held += bytes;
            p->n_large += held > o->part_bytes_max;
            empty = false;
        }
    }
}

static void add_up(quantize_plan *p, const quantize_values *o) {
    for (size_t i = 0; i < p->n_items; i++) {
        const gguf_tensor *t = p->items[i].from;
        p->in_bytes += t->bytes;
        p->out_bytes += p->items[i].bytes;
        p->n_weights += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    }
    for (size_t i = 0; p->importance && i < imatrix_entry_count(p->importance); i++)
        p->n_columns += is_included(o, imatrix_entry_at(p->importance, i)->name);
}

err_code quantize_plan_open(quantize_plan *p, const gguf *in, const imatrix *importance, const quantize_values *o,
                            err *e) {
    *p = (quantize_plan){.in = in, .importance = importance, .n_items = gguf_tensor_count(in)};
    decider d = {.p = p, .o = o};
    err_code code = ERR_NONE;
    p->mix = mix_find(str_of(o->type));
    if (!p->mix) code = ERR(e, ERR_ARGUMENT, "'%.60s' is no type to quantise to; --list names them", o->type);
    if (!code) code = arena_open(&p->memory, MEM_TOOLS, p->n_items * (sizeof(quantize_item) + 4) + 4096, e);
    if (!code) code = add_choices(p, o, e);
    if (!code && o->output_type) code = find_type("--output-tensor-type", str_of(o->output_type), &d.output_type, e);
    if (!code && o->embedding_type)
        code = find_type("--token-embedding-type", str_of(o->embedding_type), &d.embedding_type, e);
    if (!code) {
        p->items = arena_array(&p->memory, p->n_items + 1, sizeof *p->items);
        for (size_t i = 0; p->items && i < p->n_items; i++) p->items[i].from = gguf_tensor_at(in, i);
        const uint32_t *order = p->items ? ordered(p) : NULL;
        if (!order) code = ERR(e, ERR_MEMORY, "no memory to plan for %zu tensors", p->n_items);
        d.model = facts_of(p);
        for (size_t i = 0; i < p->n_items && !code; i++) code = decide(&d, &p->items[order[i]], e);
    }
    if (!code) place(p, o), add_up(p, o);
    if (code) quantize_plan_close(p);
    return code;
}

void quantize_plan_close(quantize_plan *p) {
    tools_text_close(&p->type_file);
    arena_close(&p->choice_memory);
    arena_close(&p->memory);
    *p = (quantize_plan){0};
}
