/* inspect.c: `leat inspect`, what is in a GGUF file and whether this machine and leat can run it. Shows what
 * inspect_facts.c collects, as text or JSON; text from the file is escaped in both, for it may hold anything.
 */
#include "tools/inspect.h"
#include "tools/tools.h"

enum { TEXT_MAX = 160, ITEMS_MAX = 8 }; /* what a line of text shows of a string and of an array */

typedef struct inspect_values {
    const char *file;
    int32_t n_ctx;
    bool kv, tensors, json;
} inspect_values;

typedef unsigned long long ull;

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void out_text(tools *t, str s) { tools_out_escaped(t, s, TEXT_MAX, false); }
static void out_whole(tools *t, str s) { tools_out_escaped(t, s, SIZE_MAX, false); }

static void out_count(tools *t, uint64_t n) { /* 1234567 as 1.23 M */
    if (n < 1000) tools_out(t, "%llu", (ull)n);
    else if (n < 1000000) tools_out(t, "%.2f K", (double)n / 1e3);
    else if (n < 1000000000) tools_out(t, "%.2f M", (double)n / 1e6);
    else tools_out(t, "%.2f B", (double)n / 1e9);
}

static void out_bytes(tools *t, uint64_t n) {
    char buf[32];
    tools_out(t, "%s", fmt_bytes(buf, sizeof buf, n));
}

static void label(tools *t, const char *name) { tools_out(t, "%-13s ", name); }

static void text_file(tools *t, const inspect_facts *f, const gguf *g) {
    label(t, "file");
    out_whole(t, str_of(gguf_part_path(g, 0)));
    tools_out(t, "\n%-13s GGUF version %u, %zu part%s, ", "", gguf_version(g), gguf_part_count(g),
              gguf_part_count(g) == 1 ? "" : "s");
    out_bytes(t, gguf_total_bytes(g));
    tools_out(t, ", %zu tensors, %zu keys\n", gguf_tensor_count(g), gguf_kv_count(g));
    label(t, "name");
    out_text(t, f->name.len ? f->name : STR("none"));
    tools_out(t, "\n");
    label(t, "architecture");
    out_text(t, f->arch.len ? f->arch : STR("none"));
    tools_out(t, "\n");
}

static void text_shape(tools *t, const inspect_facts *f) {
    label(t, "shape");
    tools_out(t, "%llu layers, %llu wide, %llu heads of %llu over %llu, feed-forward %llu, vocabulary %llu\n",
              (ull)f->n_layer, (ull)f->n_embd, (ull)f->n_head, (ull)f->dim_k, (ull)f->n_head_kv, (ull)f->n_ff,
              (ull)f->n_vocab);
    if (f->n_expert) {
        label(t, "experts");
        tools_out(t, "%llu, of which %llu a token, each %llu wide\n", (ull)f->n_expert, (ull)f->n_expert_used,
                  (ull)(f->n_ff_expert ? f->n_ff_expert : f->n_ff));
    }
    label(t, "context");
    tools_out(t, "%llu tokens", (ull)f->n_ctx_train);
    if (f->window) tools_out(t, ", attention over the last %llu", (ull)f->window);
    if (f->rope_base > 0) tools_out(t, ", rope base %g", f->rope_base);
    if (f->rope_scaling.len && f->rope_factor > 0) {
        tools_out(t, ", scaled ");
        out_text(t, f->rope_scaling);
        tools_out(t, " by %g", f->rope_factor);
    }
    tools_out(t, "\n");
}

static void text_weights(tools *t, const inspect_facts *f) {
    label(t, "parameters");
    if (!f->n_types) {
        tools_out(t, "none\n");
        return;
    }
    out_count(t, f->n_weights);
    if (f->n_weights_active != f->n_weights) {
        tools_out(t, ", ");
        out_count(t, f->n_weights_active);
        tools_out(t, " active");
    }
    tools_out(t, "; ");
    out_bytes(t, f->weight_bytes);
    tools_out(t, ", %.2f bits a weight\n", f->bits_per_weight);
    for (size_t i = 0; i < f->n_types; i++) {
        const inspect_type *y = &f->types[i];
        label(t, i ? "" : "types");
        if (quant_find(y->id)) tools_out(t, "%-8s", gguf_type_name(y->id));
        else tools_out(t, "type %u (%s)", y->id, gguf_type_name(y->id));
        tools_out(t, " %4llu tensors, ", (ull)y->n_tensors);
        out_count(t, y->n_weights);
        tools_out(t, " weights, %.1f %% of the bytes\n",
                  f->weight_bytes ? 100.0 * (double)y->n_bytes / (double)f->weight_bytes : 0.0);
    }
}

static void text_special(tools *t, const char *name, int64_t id, str text) {
    if (id < 0) return;
    tools_out(t, ", %s %lld ", name, (long long)id);
    tools_out_escaped(t, text, TEXT_MAX, true);
}

static void text_tokenizer(tools *t, const inspect_facts *f) {
    label(t, "tokenizer");
    if (f->tok_model.len == 0) {
        tools_out(t, "none");
    } else {
        out_text(t, f->tok_model);
        if (f->tok_pre.len) tools_out(t, ", pre-tokenizer ");
        out_text(t, f->tok_pre);
        if (f->n_tokens) tools_out(t, ", %llu tokens", (ull)f->n_tokens);
        text_special(t, "BOS", f->bos, f->bos_text);
        text_special(t, "EOS", f->eos, f->eos_text);
    }
    tools_out(t, "\n");
    label(t, "template");
    if (f->chat_template.len) tools_out(t, "present, %zu bytes\n", f->chat_template.len);
    else tools_out(t, "none\n");
}

static void text_verdict(tools *t, const inspect_facts *f) {
    uint64_t total = plat_mem_total(), available = plat_mem_available();
    label(t, "memory");
    tools_out(t, "with %llu tokens of context: ", (ull)f->n_ctx);
    out_bytes(t, f->weight_bytes);
    tools_out(t, " of weights, ");
    out_bytes(t, f->kv_bytes);
    tools_out(t, " of keys and values, %s", f->n_problems ? "about " : "");
    out_bytes(t, f->scratch_bytes);
    tools_out(t, " besides\n%-13s %s: ", "",
              f->need_bytes <= available ? "fits"
              : f->need_bytes <= total   ? "would fit, were the memory free"
                                         : "does not fit");
    out_bytes(t, available);
    tools_out(t, " of ");
    out_bytes(t, total);
    tools_out(t, " are available here\n");
    label(t, "runs in leat");
    if (!f->n_problems) tools_out(t, "yes\n");
    for (size_t i = 0; i < f->n_problems; i++) {
        tools_out(t, i ? "%-13s     " : "no: ", "");
        out_whole(t, str_of(f->problems[i]));
        tools_out(t, "\n");
    }
}

/* With as few digits as tell it from its neighbours. */
static void out_number(tools *t, double v, bool is_f32) {
    char text[40];
    double back;
    for (int digits = is_f32 ? 6 : 15; digits <= 17; digits++) {
        size_t n = fmt(text, sizeof text, "%.*g", digits, v);
        if (!parse_f64((str){text, n}, &back) || (is_f32 ? (float)back == (float)v : back == v)) break;
    }
    tools_out(t, "%s", text);
}

/* One value, or one item of an array; strings come from the cursor. */
static void out_value(tools *t, const gguf_kv *kv, uint64_t i, gguf_cursor *c, bool json) {
    uint64_t u;
    int64_t n;
    double d;
    str s;
    if (kv->item == GGUF_STR) {
        if (!gguf_next_str(kv, c, &s)) return;
        if (json) tools_out_json_str(t, s);
        else tools_out_escaped(t, s, TEXT_MAX, true);
    } else if (kv->item == GGUF_BOOL) {
        tools_out(t, kv->data[i] ? "true" : "false");
    } else if (gguf_item_i64(kv, i, &n)) {
        tools_out(t, "%lld", (long long)n);
    } else if (gguf_item_u64(kv, i, &u)) {
        tools_out(t, "%llu", (ull)u);
    } else if (gguf_item_f64(kv, i, &d)) {
        if (json && d - d != 0) tools_out(t, "null"); /* JSON has no infinities */
        else out_number(t, d, kv->item == GGUF_F32);
    }
}

static void text_keys(tools *t, const gguf *g) {
    tools_out(t, "\nkeys\n");
    for (size_t i = 0; i < gguf_kv_count(g) && !tools_out_closed(t); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        gguf_cursor c = {0, 0};
        tools_out(t, "  ");
        tools_out_bytes(t, kv->key.ptr, kv->key.len);
        if (kv->kind != GGUF_ARR) {
            tools_out(t, "  %s  ", gguf_kind_name(kv->kind));
            out_value(t, kv, 0, &c, false);
            tools_out(t, "\n");
            continue;
        }
        tools_out(t, "  %s[%llu]  ", gguf_kind_name(kv->item), (ull)kv->count);
        for (uint64_t k = 0; k < MIN(kv->count, (uint64_t)ITEMS_MAX); k++) {
            if (k) tools_out(t, ", ");
            out_value(t, kv, k, &c, false);
        }
        tools_out(t, kv->count > ITEMS_MAX ? ", ...\n" : "\n");
    }
}

static void text_tensors(tools *t, const gguf *g) {
    tools_out(t, "\ntensors\n");
    for (size_t i = 0; i < gguf_tensor_count(g) && !tools_out_closed(t); i++) {
        const gguf_tensor *x = gguf_tensor_at(g, i);
        tools_out(t, "  ");
        tools_out_bytes(t, x->name.ptr, x->name.len);
        tools_out(t, "%*s  %-8s [", (int)(40 - MIN(x->name.len, (size_t)40)), "", gguf_type_name(x->type_id));
        for (uint32_t k = 0; k < x->n_dims; k++) tools_out(t, "%s%llu", k ? ", " : "", (ull)x->dims[k]);
        tools_out(t, "]  %llu bytes at %llu", (ull)x->bytes, (ull)x->offset);
        if (gguf_part_count(g) > 1) tools_out(t, " of part %u", x->part + 1);
        tools_out(t, "\n");
    }
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void json_str(tools *t, const char *name, str s) {
    tools_out(t, ",\n  \"%s\": ", name);
    if (s.len) tools_out_json_str(t, s);
    else tools_out(t, "null");
}
static void json_count(tools *t, const char *name, uint64_t v) { tools_out(t, ",\n  \"%s\": %llu", name, (ull)v); }
static void json_number(tools *t, const char *name, double v) {
    tools_out(t, v - v == 0 ? ",\n  \"%s\": %.9g" : ",\n  \"%s\": null", name, v);
}
static void json_id(tools *t, const char *name, int64_t v) {
    if (v < 0) tools_out(t, ",\n  \"%s\": null", name);
    else tools_out(t, ",\n  \"%s\": %lld", name, (long long)v);
}

static void json_facts(tools *t, const inspect_facts *f, const gguf *g) {
    tools_out(t, "{\n  \"parts\": [");
    for (size_t i = 0; i < gguf_part_count(g); i++) {
        tools_out(t, i ? ", " : "");
        tools_out_json_str(t, str_of(gguf_part_path(g, i)));
    }
    tools_out(t, "]");
    json_count(t, "version", gguf_version(g));
    json_count(t, "alignment", gguf_alignment(g));
    json_count(t, "file_bytes", gguf_total_bytes(g));
    json_count(t, "n_tensors", gguf_tensor_count(g));
    json_count(t, "n_keys", gguf_kv_count(g));
    json_str(t, "name", f->name);
    json_str(t, "architecture", f->arch);
    json_count(t, "n_layer", f->n_layer);
    json_count(t, "n_embd", f->n_embd);
    json_count(t, "n_head", f->n_head);
    json_count(t, "n_head_kv", f->n_head_kv);
    json_count(t, "dim_k", f->dim_k);
    json_count(t, "dim_v", f->dim_v);
    json_count(t, "n_ff", f->n_ff);
    json_count(t, "n_expert", f->n_expert);
    json_count(t, "n_expert_used", f->n_expert_used);
    json_count(t, "n_ff_expert", f->n_ff_expert);
    json_count(t, "n_vocab", f->n_vocab);
    json_count(t, "n_ctx_train", f->n_ctx_train);
    json_count(t, "window", f->window);
    json_number(t, "rope_base", f->rope_base);
    json_str(t, "rope_scaling", f->rope_scaling);
    json_number(t, "rope_factor", f->rope_factor);
    json_count(t, "parameters", f->n_weights);
    json_count(t, "parameters_active", f->n_weights_active);
    json_count(t, "weight_bytes", f->weight_bytes);
    json_number(t, "bits_per_weight", f->bits_per_weight);
    tools_out(t, ",\n  \"types\": [");
    for (size_t i = 0; i < f->n_types; i++) {
        const inspect_type *y = &f->types[i];
        tools_out(t, "%s{\"type\": \"%s\", \"id\": %u, \"tensors\": %llu, \"weights\": %llu, \"bytes\": %llu}",
                  i ? ",\n    " : "\n    ", gguf_type_name(y->id), y->id, (ull)y->n_tensors, (ull)y->n_weights,
                  (ull)y->n_bytes);
    }
    tools_out(t, "]");
    json_str(t, "tokenizer", f->tok_model);
    json_str(t, "pre_tokenizer", f->tok_pre);
    json_count(t, "n_tokens", f->n_tokens);
    json_id(t, "bos", f->bos);
    json_id(t, "eos", f->eos);
    tools_out(t, ",\n  \"chat_template\": %s", f->chat_template.len ? "true" : "false");
}

static void json_verdict(tools *t, const inspect_facts *f) {
    json_count(t, "n_ctx", f->n_ctx);
    json_count(t, "kv_bytes", f->kv_bytes);
    json_count(t, "scratch_bytes", f->scratch_bytes);
    json_count(t, "need_bytes", f->need_bytes);
    json_count(t, "memory_bytes", plat_mem_total());
    uint64_t available = plat_mem_available();
    json_count(t, "memory_available_bytes", available);
    tools_out(t, ",\n  \"fits\": %s", f->need_bytes <= available ? "true" : "false");
    tools_out(t, ",\n  \"runs\": %s,\n  \"problems\": [", f->n_problems ? "false" : "true");
    for (size_t i = 0; i < f->n_problems; i++) {
        tools_out(t, i ? ", " : "");
        tools_out_json_str(t, str_of(f->problems[i]));
    }
    tools_out(t, "]");
}

static void json_keys(tools *t, const gguf *g) {
    tools_out(t, ",\n  \"kv\": [");
    for (size_t i = 0; i < gguf_kv_count(g) && !tools_out_closed(t); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        gguf_cursor c = {0, 0};
        tools_out(t, i ? ",\n    {\"key\": " : "\n    {\"key\": ");
        tools_out_json_str(t, kv->key);
        bool array = kv->kind == GGUF_ARR;
        tools_out(t, ", \"kind\": \"%s%s\", \"value\": ", gguf_kind_name(kv->item), array ? "[]" : "");
        if (array) tools_out(t, "[");
        for (uint64_t k = 0; k < kv->count && !tools_out_closed(t); k++) {
            if (k) tools_out(t, ", ");
            out_value(t, kv, k, &c, true);
        }
        tools_out(t, array ? "]}" : "}");
    }
    tools_out(t, "]");
}

static void json_tensors(tools *t, const gguf *g) {
    tools_out(t, ",\n  \"tensors\": [");
    for (size_t i = 0; i < gguf_tensor_count(g) && !tools_out_closed(t); i++) {
        const gguf_tensor *x = gguf_tensor_at(g, i);
        tools_out(t, i ? ",\n    {\"name\": " : "\n    {\"name\": ");
        tools_out_json_str(t, x->name);
        tools_out(t, ", \"type\": \"%s\", \"id\": %u, \"dims\": [", gguf_type_name(x->type_id), x->type_id);
        for (uint32_t k = 0; k < x->n_dims; k++) tools_out(t, "%s%llu", k ? ", " : "", (ull)x->dims[k]);
        tools_out(t, "], \"part\": %u, \"offset\": %llu, \"bytes\": %llu}", x->part, (ull)x->offset, (ull)x->bytes);
    }
    tools_out(t, "]");
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static int run(tools *t, const void *values) {
    const inspect_values *o = values;
    gguf *g;
    err e;
    if (gguf_open_opts(&g, o->file, &(gguf_opts){.keep_unknown = true}, &e)) return tools_fail_text(t, e.text);
    inspect_facts facts, *f = &facts;
    inspect_facts_collect(f, g, (uint64_t)o->n_ctx);
    if (o->json) {
        json_facts(t, f, g);
        json_verdict(t, f);
        if (o->kv) json_keys(t, g);
        if (o->tensors) json_tensors(t, g);
        tools_out(t, "\n}\n");
    } else {
        text_file(t, f, g);
        text_shape(t, f);
        text_weights(t, f);
        text_tokenizer(t, f);
        text_verdict(t, f);
        if (o->kv) text_keys(t, g);
        if (o->tensors) text_tensors(t, g);
    }
    gguf_close(g);
    return TOOLS_OK;
}

#define T inspect_values
static const tools_option options[] = {
    TOOLS_MODEL(T, file),
    TOOLS_INT(T, n_ctx, 'c', "ctx-size", "N", 1, 1 << 24,
              "context to count memory for (default: the file's, at most 4096)"),
    TOOLS_FLAG(T, kv, 0, "kv", "also list all keys and values"),
    TOOLS_FLAG(T, tensors, 0, "tensors", "also list all tensors"),
    TOOLS_FLAG(T, json, 0, "json", "as one JSON object; --kv then shows arrays whole"),
};
#undef T

const tools_command tools_inspect = {
    .name = "inspect",
    .summary = "Show what is in a GGUF file and whether it can run here",
    .usage = "FILE [-c N] [--kv] [--tensors] [--json]",
    .notes = "Reads the header alone; the architecture need not be one that leat can run.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(inspect_values),
    .run = run,
};
