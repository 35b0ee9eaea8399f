/* inspect_facts.c: collects what inspect.h lists. Numbers that do not add up are left at 0 rather than refused: a file
 * that leat cannot run is looked at all the same. Whether it can, is asked of the parts that would run it.
 */
#include "tools/inspect.h"

#include "leat.h"
#include "model/model.h"
#include "tok/tok.h"

enum {
    CTX_DEFAULT_MAX = 4096,
    PROMPT_ROWS = 256,  /* tokens of a prompt that are computed together */
    LAYERS_MAX = 65536, /* are counted one by one                        */
};

/* ARCH.name, where the file has it. */
static const gguf_kv *find(const gguf *g, str arch, const char *name) {
    char key[256];
    fmt(key, sizeof key, "%.*s.%s", (int)MIN(arch.len, sizeof key - 64), arch.ptr, name);
    return gguf_find(g, key);
}

/* A count of the architecture for one layer: a number for all, or an array. 0 where there is none. */
static uint64_t layer_count(const gguf *g, str arch, const char *name, uint64_t layer) {
    const gguf_kv *kv = find(g, arch, name);
    uint64_t v;
    return kv && gguf_item_u64(kv, kv->kind == GGUF_ARR ? layer : 0, &v) ? v : 0;
}

/* The largest over all layers. */
static uint64_t count(const gguf *g, str arch, const char *name) {
    const gguf_kv *kv = find(g, arch, name);
    uint64_t largest = 0, v;
    for (uint64_t i = 0; kv && i < MIN(kv->count, (uint64_t)LAYERS_MAX); i++)
        if (gguf_item_u64(kv, i, &v)) largest = MAX(largest, v);
    return largest;
}

static double number(const gguf *g, str arch, const char *name) {
    const gguf_kv *kv = find(g, arch, name);
    double v;
    return kv && kv->kind != GGUF_ARR && gguf_item_f64(kv, 0, &v) ? v : 0;
}

static uint64_t add_capped(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
static uint64_t mul_capped(uint64_t a, uint64_t b) {
    uint64_t r;
    return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

/* ---- the architecture ------------------------------------------------------------------------------------------- */

static void collect_shape(inspect_facts *f, const gguf *g) {
    gguf_get_str(g, "general.architecture", &f->arch);
    gguf_get_str(g, "general.name", &f->name);
    str a = f->arch;
    f->n_layer = count(g, a, "block_count");
    f->n_embd = count(g, a, "embedding_length");
    f->n_head = count(g, a, "attention.head_count");
    f->n_head_kv = find(g, a, "attention.head_count_kv") ? count(g, a, "attention.head_count_kv") : f->n_head;
    f->dim_k = find(g, a, "attention.key_length") ? count(g, a, "attention.key_length")
               : f->n_head                        ? f->n_embd / f->n_head
                                                  : 0;
    f->dim_v = find(g, a, "attention.value_length") ? count(g, a, "attention.value_length") : f->dim_k;
    f->n_ff = count(g, a, "feed_forward_length");
    f->n_expert = count(g, a, "expert_count");
    f->n_expert_used = count(g, a, "expert_used_count");
    f->n_ff_expert = count(g, a, "expert_feed_forward_length");
    f->n_vocab = count(g, a, "vocab_size");
    f->n_ctx_train = count(g, a, "context_length");
    f->window = count(g, a, "attention.sliding_window");
    f->rope_base = number(g, a, "rope.freq_base");
    f->rope_factor = number(g, a, "rope.scaling.factor");
    const gguf_kv *scaling = find(g, a, "rope.scaling.type");
    gguf_cursor start = {0, 0};
    if (scaling && scaling->kind == GGUF_STR) gguf_next_str(scaling, &start, &f->rope_scaling);
}

/* ---- the tensors ------------------------------------------------------------------------------------------------ */

static bool is_expert(str name) { return str_find(name, STR("_exps.")) != SIZE_MAX; }

static void count_type(inspect_facts *f, const gguf_tensor *t, uint64_t n) {
    size_t i = 0;
    while (i < f->n_types && f->types[i].id != t->type_id) i++;
    if (i == INSPECT_TYPES_MAX) return;
    if (i == f->n_types) f->types[f->n_types++].id = t->type_id;
    f->types[i].n_tensors++;
    f->types[i].n_weights = add_capped(f->types[i].n_weights, n);
    f->types[i].n_bytes += t->bytes;
}

static void collect_tensors(inspect_facts *f, const gguf *g) {
    uint64_t n_known = 0, n_experts = 0;
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        uint64_t n = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3]; /* gguf_open has checked the product */
        f->n_weights = add_capped(f->n_weights, n);
        if (is_expert(t->name)) n_experts = add_capped(n_experts, n);
        if (t->type) n_known += n;
        f->weight_bytes += t->bytes;
        count_type(f, t, n);
        if (str_is(t->name, "token_embd.weight") && !f->n_vocab) f->n_vocab = t->dims[1];
    }
    f->n_weights_active = f->n_weights;
    if (f->n_expert && f->n_expert_used < f->n_expert)
        f->n_weights_active -= n_experts / f->n_expert * (f->n_expert - f->n_expert_used);
    if (n_known) f->bits_per_weight = 8.0 * (double)f->weight_bytes / (double)n_known;
    for (size_t i = 1; i < f->n_types; i++)
        for (size_t k = i; k > 0 && f->types[k - 1].n_bytes < f->types[k].n_bytes; k--) {
            inspect_type swap = f->types[k];
            f->types[k] = f->types[k - 1];
            f->types[k - 1] = swap;
        }
}

/* ---- the tokenizer ---------------------------------------------------------------------------------------------- */

/* The id under a key, and its token; -1 where the file has none. */
static int64_t special(const gguf *g, const char *key, const gguf_kv *tokens, str *text) {
    uint64_t id;
    if (!gguf_get_u64(g, key, &id) || !tokens || id >= tokens->count) return -1;
    gguf_cursor at = {0, 0};
    for (uint64_t i = 0; i <= id; i++)
        if (!gguf_next_str(tokens, &at, text)) return -1;
    return (int64_t)id;
}

static void collect_tokenizer(inspect_facts *f, const gguf *g) {
    gguf_get_str(g, "tokenizer.ggml.model", &f->tok_model);
    gguf_get_str(g, "tokenizer.ggml.pre", &f->tok_pre);
    gguf_get_str(g, "tokenizer.chat_template", &f->chat_template);
    const gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    if (tokens && (tokens->kind != GGUF_ARR || tokens->item != GGUF_STR)) tokens = NULL;
    f->n_tokens = tokens ? tokens->count : 0;
    if (!f->n_vocab) f->n_vocab = f->n_tokens;
    f->bos = special(g, "tokenizer.ggml.bos_token_id", tokens, &f->bos_text);
    f->eos = special(g, "tokenizer.ggml.eos_token_id", tokens, &f->eos_text);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* Bytes of K and V that one position takes in all layers. Latent attention keeps one compressed row for both. */
static uint64_t kv_bytes_each(const inspect_facts *f, const gguf *g) {
    const uint64_t f16_bytes = 2;
    uint64_t latent = count(g, f->arch, "attention.kv_lora_rank"), bytes = 0;
    if (latent)
        return mul_capped(f16_bytes * MIN(f->n_layer, (uint64_t)LAYERS_MAX),
                          add_capped(latent, count(g, f->arch, "rope.dimension_count")));
    bool per_layer = find(g, f->arch, "attention.head_count_kv") != NULL;
    for (uint64_t i = 0; i < MIN(f->n_layer, (uint64_t)LAYERS_MAX); i++) {
        uint64_t n = layer_count(g, f->arch, per_layer ? "attention.head_count_kv" : "attention.head_count", i);
        bytes = add_capped(bytes, mul_capped(f16_bytes, mul_capped(n, add_capped(f->dim_k, f->dim_v))));
    }
    return bytes;
}

static void collect_memory(inspect_facts *f, const gguf *g, uint64_t n_ctx) {
    f->n_ctx = n_ctx ? n_ctx : MIN(f->n_ctx_train ? f->n_ctx_train : CTX_DEFAULT_MAX, (uint64_t)CTX_DEFAULT_MAX);
    uint64_t window = model_family_windows(f->arch) ? f->window : 0;
    f->kv_bytes = mul_capped(kv_bytes_each(f, g), kv_held(window, PROMPT_ROWS, f->n_ctx));
    /* An estimate, for where no session can be asked. A prompt's rows as floats: the residual stream and its norm,
     * queries, attention output, both halves of the feed-forward for each expert used; and the logits of one row. */
    uint64_t n_ff = f->n_ff_expert ? f->n_ff_expert : f->n_ff;
    if (f->n_expert_used) n_ff = mul_capped(n_ff, f->n_expert_used);
    uint64_t row = add_capped(mul_capped(3, f->n_embd), mul_capped(3, n_ff));
    row = add_capped(row, mul_capped(2, mul_capped(f->n_head, f->dim_k)));
    f->scratch_bytes = mul_capped(4, add_capped(mul_capped(PROMPT_ROWS, row), f->n_vocab));
    f->need_bytes = add_capped(f->weight_bytes, add_capped(f->kv_bytes, f->scratch_bytes));
}

/* ---- can leat run it? ------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void problem(inspect_facts *f, const char *format, ...) {
    if (f->n_problems == INSPECT_PROBLEMS_MAX) return;
    va_list args;
    va_start(args, format);
    fmt_v(f->problems[f->n_problems++], sizeof f->problems[0], format, args);
    va_end(args);
}

/* Opens a session as it would be in this memory, to see what it would take: of mapped weights, for which no memory is
 * taken and nothing read. */
static void try_session(inspect_facts *f, leat_model *m) {
    leat_session *session;
    leat_session_options options = {.n_ctx = (int32_t)f->n_ctx, .n_chunk = leat_plan_chunk(m, 0), .no_pin = true};
    if (leat_session_open(&session, m, &options, NULL)) return;
    size_t bytes = leat_session_bytes(session);
    leat_session_close(session);
    f->scratch_bytes = bytes - MIN(f->kv_bytes, (uint64_t)bytes);
    f->need_bytes = f->weight_bytes + f->kv_bytes + f->scratch_bytes;
}

static void collect_problems(inspect_facts *f, const gguf *g) {
    bool readable = true;
    for (size_t i = 0; i < f->n_types; i++) {
        if (quant_find(f->types[i].id)) continue;
        readable = false;
        problem(f, "%llu tensor%s of type %u (%s), which leat cannot read", (unsigned long long)f->types[i].n_tensors,
                f->types[i].n_tensors == 1 ? "" : "s", f->types[i].id, gguf_type_name(f->types[i].id));
    }
    bool empty = gguf_tensor_count(g) == 0, known = model_family_known(f->arch);
    if (empty) problem(f, "a file without tensors: a vocabulary alone");
    if (!known) {
        char names[200];
        model_family_names(names, sizeof names);
        problem(f, "architecture \"%.*s\", leat knows %s", (int)MIN(f->arch.len, (size_t)40), f->arch.ptr, names);
    }
    if (known && readable && !empty) {
        leat_model *m;
        leat_error e;
        if (leat_model_open(&m, gguf_part_path(g, 0), &(leat_model_options){.map = true}, &e)) {
            problem(f, "%s", e.text);
            return;
        }
        try_session(f, m);
        leat_model_close(m);
    } else if (tok_present(g)) { /* the rest of what is wrong */
        tok *t;
        err e;
        if (tok_open(&t, g, &e)) problem(f, "%s", e.text);
        else tok_close(t);
    }
}

void inspect_facts_collect(inspect_facts *f, const gguf *g, uint64_t n_ctx) {
    *f = (inspect_facts){.bos = -1, .eos = -1};
    collect_shape(f, g);
    collect_tensors(f, g);
    collect_tokenizer(f, g);
    collect_memory(f, g, n_ctx);
    collect_problems(f, g);
}
