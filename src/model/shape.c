/* shape.c: the header's hyper-parameters. Keys that a family does not have are not read: real headers carry defaults
 * (0, "linear", soft-caps) that mean nothing there.
 */
#include "model/model_int.h"

/* No real model is near these; they keep products of two dimensions far from overflow. */
#define LAYERS_MAX 1024
#define DIM_MAX ((uint64_t)1 << 24)

static const char *key_of(const model *m, const char *name, char *buf, size_t cap) {
    fmt(buf, cap, "%s.%s", m->family->name, name);
    return buf;
}

#define NEEDED ((uint32_t)1 << 31) /* beside a least value: the key must be there */

/* A whole number, or an array of equal ones (some converters write one value a layer). Absent: *out unchanged. */
static err_code read_size(const model *m, const char *name, uint32_t least, uint64_t max, size_t *out, err *e) {
    char key[128];
    const gguf_kv *kv = gguf_find(m->file, key_of(m, name, key, sizeof key));
    uint64_t value = 0, next, min = least & ~NEEDED;
    if (!kv) {
        if (least & NEEDED) return ERR(e, ERR_FORMAT, "key %s is missing; %s needs it", key, m->family->name);
        return ERR_NONE;
    }
    if (kv->count == 0 || !gguf_item_u64(kv, 0, &value))
        return ERR(e, ERR_FORMAT, "key %s is %s, wanted a whole number", key, gguf_kind_name(kv->kind));
    for (uint64_t i = 1; i < MIN(kv->count, (uint64_t)LAYERS_MAX); i++)
        if (!gguf_item_u64(kv, i, &next) || next != value)
            return ERR(e, ERR_UNSUPPORTED, "key %s differs from layer to layer (%llu, then %llu): not supported", key,
                       (unsigned long long)value, (unsigned long long)next);
    if (value < min || value > max)
        return ERR(e, ERR_FORMAT, "key %s is %llu, wanted %llu to %llu", key, (unsigned long long)value,
                   (unsigned long long)min, (unsigned long long)max);
    *out = (size_t)value;
    return ERR_NONE;
}

static void read_float(const model *m, const char *name, float *out) {
    char key[128];
    double value;
    if (gguf_get_f64(m->file, key_of(m, name, key, sizeof key), &value)) *out = (float)value;
}

static err_code read_heads(model *m, err *e) {
    model_shape *s = &m->shape;
    err_code code;
    if ((code = read_size(m, "attention.head_count", NEEDED | 1, 4096, &s->n_head, e))) return code;
    s->n_head_kv = s->n_head;
    if ((code = read_size(m, "attention.head_count_kv", 1, 4096, &s->n_head_kv, e))) return code;
    if (s->n_head % s->n_head_kv)
        return ERR(e, ERR_FORMAT, "attention.head_count %zu is no multiple of head_count_kv %zu", s->n_head,
                   s->n_head_kv);
    s->dim_k = s->dim_v = s->n_embd / s->n_head;
    if ((code = read_size(m, "attention.key_length", 2, 4096, &s->dim_k, e))) return code;
    if ((code = read_size(m, "attention.value_length", 1, 4096, &s->dim_v, e))) return code;
    s->n_rot = s->dim_k;
    if ((code = read_size(m, "rope.dimension_count", 2, 4096, &s->n_rot, e))) return code;
    if (s->n_rot > s->dim_k || s->n_rot % 2 || s->dim_k == 0 || s->dim_v == 0)
        return ERR(e, ERR_FORMAT, "rope.dimension_count is %zu, wanted an even number up to the head size %zu",
                   s->n_rot, s->dim_k);
    return ERR_NONE;
}

static err_code read_rope(model *m, err *e) {
    model_shape *s = &m->shape;
    char key[128];
    str scaling = STR("linear");
    s->rope_base = 10000.0f;
    read_float(m, "rope.freq_base", &s->rope_base);
    gguf_get_str(m->file, key_of(m, "rope.scaling.type", key, sizeof key), &scaling);
    if (str_is(scaling, "none")) s->rope_scaling = MODEL_ROPE_NONE;
    else if (str_is(scaling, "linear")) s->rope_scaling = MODEL_ROPE_LINEAR;
    else if (str_is(scaling, "yarn")) s->rope_scaling = MODEL_ROPE_YARN;
    else
        return ERR(e, ERR_UNSUPPORTED, "key %s is \"%.*s\", leat knows none, linear and yarn", key,
                   (int)MIN(scaling.len, 40), scaling.ptr);
    s->rope_factor = 0;
    read_float(m, "rope.scale_linear", &s->rope_factor);
    read_float(m, "rope.scaling.factor", &s->rope_factor);
    if (s->rope_factor == 0 || s->rope_scaling == MODEL_ROPE_NONE) s->rope_factor = 1;
    s->rope_attn_factor = 1;
    read_float(m, "rope.scaling.attn_factor", &s->rope_attn_factor);
    s->rope_ctx_orig = s->n_ctx_train;
    err_code code = read_size(m, "rope.scaling.original_context_length", 0, UINT32_MAX, &s->rope_ctx_orig, e);
    if (code) return code;
    if (s->rope_ctx_orig == 0) s->rope_ctx_orig = s->n_ctx_train;
    s->yarn_beta_fast = 32;
    s->yarn_beta_slow = 1;
    if (m->family->blocks & FAMILY_ATTN_TEMPERATURE) {
        read_float(m, "rope.scaling.yarn_beta_fast", &s->yarn_beta_fast);
        read_float(m, "rope.scaling.yarn_beta_slow", &s->yarn_beta_slow);
        read_float(m, "rope.scaling.yarn_log_multiplier", &s->yarn_log_mul);
        read_float(m, "attention.temperature_scale", &s->attn_temperature_scale);
    }
    if (!(s->rope_base > 1) || !f32_is_finite(s->rope_base) || !(s->rope_factor > 0) ||
        !f32_is_finite(s->rope_factor) || !f32_is_finite(s->rope_attn_factor))
        return ERR(e, ERR_FORMAT,
                   "rope: freq_base %g, scaling factor %g, attn_factor %g; wanted a base above 1 and a positive factor",
                   (double)s->rope_base, (double)s->rope_factor, (double)s->rope_attn_factor);
    return ERR_NONE;
}

static err_code read_experts(model *m, err *e) {
    model_shape *s = &m->shape;
    uint32_t blocks = m->family->blocks;
    err_code code;
    if (!(blocks & FAMILY_EXPERTS)) return ERR_NONE;
    if ((code = read_size(m, "expert_count", 0, DEV_EXPERTS_MAX, &s->n_expert, e))) return code;
    if (s->n_expert == 0) {
        if (blocks & FAMILY_EXPERTS_ONLY)
            return ERR(e, ERR_FORMAT, "key %s.expert_count is 0 or missing, wanted at least 1", m->family->name);
        return ERR_NONE;
    }
    if ((code = read_size(m, "expert_used_count", NEEDED | 1, s->n_expert, &s->n_expert_used, e))) return code;
    size_t groups = 0;
    if ((code = read_size(m, "expert_group_count", 0, DEV_EXPERTS_MAX, &groups, e))) return code;
    if (groups > 1)
        return ERR(e, ERR_UNSUPPORTED, "key %s.expert_group_count is %zu: routing in groups is not supported",
                   m->family->name, groups);
    s->n_ff_expert = s->n_ff;
    if (blocks & FAMILY_EXPERT_FF) {
        s->n_ff_expert = 0;
        if ((code = read_size(m, "expert_feed_forward_length", 0, DIM_MAX, &s->n_ff_expert, e))) return code;
        if (s->n_ff_expert == 0) s->n_ff_expert = s->n_ff / s->n_expert_used;
    }
    if (blocks & FAMILY_SHARED_EXPERT) {
        if ((code = read_size(m, "expert_shared_feed_forward_length", 0, DIM_MAX, &s->n_ff_shared, e)))
            return code;
        if (s->n_ff_shared == 0) s->n_ff_shared = s->n_ff;
        if (s->n_ff_shared == 0)
            return ERR(e, ERR_FORMAT, "key %s.expert_shared_feed_forward_length is 0 or missing",
                       m->family->name);
    }
    s->n_ff = 0;
    if (s->n_ff_expert == 0) return ERR(e, ERR_FORMAT, "experts of width 0: feed_forward_length is missing");
    return ERR_NONE;
}

err_code model_read_shape(model *m, err *e) {
    model_shape *s = &m->shape;
    char names[160];
    str name;
    if (!gguf_get_str(m->file, "general.architecture", &name))
        return ERR(e, ERR_FORMAT, "key general.architecture is missing");
    m->family = model_family_find(name);
    if (!m->family) {
        model_family_names(names, sizeof names);
        return ERR(e, ERR_UNSUPPORTED, "architecture \"%.*s\" is not supported; leat runs %s", (int)MIN(name.len, 40),
                   name.ptr, names);
    }
    uint32_t dense = m->family->blocks & FAMILY_EXPERT_FF ? 0 : NEEDED;
    err_code code;
    if ((code = read_size(m, "block_count", NEEDED | 1, LAYERS_MAX, &s->n_layer, e))) return code;
    if ((code = read_size(m, "embedding_length", NEEDED | 1, DIM_MAX, &s->n_embd, e))) return code;
    if ((code = read_size(m, "context_length", NEEDED | 1, UINT32_MAX, &s->n_ctx_train, e))) return code;
    if ((code = read_size(m, "feed_forward_length", dense, DIM_MAX, &s->n_ff, e))) return code;
    if ((code = read_heads(m, e)) || (code = read_rope(m, e)) || (code = read_experts(m, e))) return code;
    if (s->n_ff == 0 && s->n_expert == 0)
        return ERR(e, ERR_FORMAT, "key %s.feed_forward_length is 0, wanted 1 at least", m->family->name);
    s->rms_eps = -1;
    read_float(m, "attention.layer_norm_rms_epsilon", &s->rms_eps);
    if (!(s->rms_eps >= 0 && s->rms_eps < 1))
        return ERR(e, ERR_FORMAT, "key %s.attention.layer_norm_rms_epsilon is missing or not in [0, 1)",
                   m->family->name);
    if (m->family->blocks & FAMILY_WINDOW)
        return read_size(m, "attention.sliding_window", 0, UINT32_MAX, &s->window, e);
    return ERR_NONE;
}
