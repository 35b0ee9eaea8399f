/* mix.c: the mixes, as data.
 *
 * The choices are llama.cpp's, so that a file of that name has the size that people expect: which tensors of a
 * transformer deserve more bits was found by trial there and is common knowledge by now. A rule is a row: for these
 * mixes, for this role, under these conditions, this type; the first row that fits wins. What no rule names gets the
 * mix's base type. Next: quantize_plan.c, which asks for each tensor of a file.
 */
#include "tools/mix.h"

/* File types, as in general.file_type; they number bits of the sets below. */
enum {
    F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q8_0 = 7, Q5_0 = 8, Q5_1 = 9, Q2_K = 10, Q3_K_S = 11, Q3_K_M = 12,
    Q3_K_L = 13, Q4_K_S = 14, Q4_K_M = 15, Q5_K_S = 16, Q5_K_M = 17, Q6_K = 18, IQ2_XXS = 19, IQ2_XS = 20,
    Q2_K_S = 21, IQ3_XS = 22, IQ3_XXS = 23, IQ1_S = 24, IQ4_NL = 25, IQ3_S = 26, IQ3_M = 27, IQ2_S = 28, IQ2_M = 29,
    IQ4_XS = 30, IQ1_M = 31, BF16 = 32, TQ1_0 = 36, TQ2_0 = 37, MXFP4_MOE = 38, NVFP4 = 39, Q1_0 = 40, Q2_0 = 41,
};
#define IN(ftype) (UINT64_C(1) << (ftype))

static const mix mixes[] = {
    {"Q8_0", "8.50 bits: nearly the original", Q8_0, QUANT_Q8_0, false},
    {"Q6_K", "6.56 bits", Q6_K, QUANT_Q6_K, false},
    {"Q5_K_M", "5.7 bits", Q5_K_M, QUANT_Q5_K, false},
    {"Q5_K_S", "5.5 bits", Q5_K_S, QUANT_Q5_K, false},
    {"Q4_K_M", "4.8 bits: the usual choice", Q4_K_M, QUANT_Q4_K, false},
    {"Q4_K_S", "4.6 bits", Q4_K_S, QUANT_Q4_K, false},
    {"IQ4_NL", "4.5 bits", IQ4_NL, QUANT_IQ4_NL, false},
    {"IQ4_XS", "4.3 bits", IQ4_XS, QUANT_IQ4_XS, false},
    {"Q3_K_L", "4.3 bits", Q3_K_L, QUANT_Q3_K, false},
    {"Q3_K_M", "3.9 bits", Q3_K_M, QUANT_Q3_K, false},
    {"Q3_K_S", "3.5 bits", Q3_K_S, QUANT_Q3_K, false},
    {"IQ3_M", "3.7 bits", IQ3_M, QUANT_IQ3_S, false},
    {"IQ3_S", "3.4 bits", IQ3_S, QUANT_IQ3_S, false},
    {"IQ3_XS", "3.3 bits", IQ3_XS, QUANT_IQ3_S, false},
    {"IQ3_XXS", "3.1 bits", IQ3_XXS, QUANT_IQ3_XXS, false},
    {"Q2_K", "3.0 bits", Q2_K, QUANT_Q2_K, false},
    {"Q2_K_S", "2.8 bits", Q2_K_S, QUANT_Q2_K, false},
    {"IQ2_M", "2.7 bits", IQ2_M, QUANT_IQ2_S, false},
    {"IQ2_S", "2.5 bits", IQ2_S, QUANT_IQ2_XS, false},
    {"IQ2_XS", "2.4 bits", IQ2_XS, QUANT_IQ2_XS, false},
    {"IQ2_XXS", "2.1 bits", IQ2_XXS, QUANT_IQ2_XXS, false},
    {"IQ1_M", "1.8 bits", IQ1_M, QUANT_IQ1_M, false},
    {"IQ1_S", "1.6 bits", IQ1_S, QUANT_IQ1_S, false},
    {"Q5_1", "6.0 bits", Q5_1, QUANT_Q5_1, false},
    {"Q5_0", "5.5 bits", Q5_0, QUANT_Q5_0, false},
    {"Q4_1", "5.0 bits", Q4_1, QUANT_Q4_1, false},
    {"Q4_0", "4.5 bits: simple and fast everywhere", Q4_0, QUANT_Q4_0, false},
    {"MXFP4_MOE", "experts in MXFP4 (4.25 bits), the rest in Q8_0", MXFP4_MOE, QUANT_MXFP4, false},
    {"NVFP4", "4.5 bits", NVFP4, QUANT_NVFP4, false},
    {"TQ2_0", "2.06 bits, for models trained to three values", TQ2_0, QUANT_TQ2_0, false},
    {"TQ1_0", "1.69 bits, the same", TQ1_0, QUANT_TQ1_0, false},
    {"Q2_0", "2.25 bits, for models trained to four values", Q2_0, QUANT_Q2_0, false},
    {"Q1_0", "1.125 bits, for models trained to two values", Q1_0, QUANT_Q1_0, false},
    {"BF16", "16 bits", BF16, QUANT_BF16, false},
    {"F16", "16 bits", F16, QUANT_F16, false},
    {"F32", "32 bits", F32, QUANT_F32, false},
    {"COPY", "tensors as they are: to split, join or edit a file", F32, QUANT_F32, true},
};

static const struct {
    const char *name, *means;
} aliases[] = {{"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}, {"MXFP4", "MXFP4_MOE"}};

static bool same_name(str a, const char *b) {
    size_t n = cstr_len(b);
    for (size_t i = 0; i < a.len && a.len == n; i++) {
        char c = a.ptr[i] >= 'a' && a.ptr[i] <= 'z' ? (char)(a.ptr[i] - 'a' + 'A') : a.ptr[i];
        if (c != b[i]) return false;
    }
    return a.len == n;
}

const mix *mix_find(str name) {
    uint64_t number = UINT64_MAX;
    parse_u64(name, &number);
    for (size_t i = 0; i < COUNT_OF(aliases); i++)
        if (same_name(name, aliases[i].name)) name = str_of(aliases[i].means);
    for (size_t i = 0; i < COUNT_OF(mixes); i++)
        if (same_name(name, mixes[i].name) || (mixes[i].ftype == number && !mixes[i].copy)) return &mixes[i];
    return NULL;
}

const mix *mix_at(size_t i) { return i < COUNT_OF(mixes) ? &mixes[i] : NULL; }

/* ---- what a tensor is ----------------------------------------------------------------------------------- */

/* The first row found in the name counts. */
static const struct {
    const char *part;
    mix_role role;
} roles[] = {
    {"attn_qkv.weight", MIX_VALUE}, {"attn_kv_b.weight", MIX_VALUE}, {"attn_v.weight", MIX_VALUE},
    {"attn_k.weight", MIX_KEY},     {"attn_q.weight", MIX_QUERY},    {"attn_output.weight", MIX_ATTENTION_OUT},
    {"ffn_up", MIX_UP},             {"ffn_gate", MIX_GATE},          {"ffn_down", MIX_DOWN},
};

mix_role mix_role_of(str name) {
    if (str_is(name, "output.weight")) return MIX_OUTPUT;
    if (str_is(name, "token_embd.weight") || str_is(name, "per_layer_token_embd.weight")) return MIX_EMBEDDING;
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (str_find(name, str_of(roles[i].part)) != SIZE_MAX) return roles[i].role;
    return MIX_OTHER;
}

/* Matrices that stay: small ones whose error would cost more than their bytes are worth, and tables that are no
 * weights. */
static const char *const kept_parts[] = {
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
    "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight",
    "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight",
    "time_mix_v1.weight", "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight",
    "time_mix_g1.weight", "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight", "attn_rel_b.weight", ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_",
    ".rel_pos", ".patch_embd", ".patch_merger", "a.rvq.codebook", "mm.a.code_embd",
};

bool mix_may_encode(const mix_tensor *t) {
    if (t->dims[1] == 1 && t->dims[2] == 1 && t->dims[3] == 1) return false;
    if (!str_ends(t->name, STR("weight"))) return false;
    if (str_is(t->name, "position_embd.weight") || str_is(t->name, "token_types.weight")) return false;
    for (size_t i = 0; i < COUNT_OF(kept_parts); i++)
        if (str_find(t->name, str_of(kept_parts[i])) != SIZE_MAX) return false;
    return true;
}

/* N of a name that begins with "blk.N."; -1 for others, which come first. */
static int64_t layer_of(str name) {
    uint64_t n;
    if (!str_starts(name, STR("blk."))) return -1;
    str rest = str_cut(name, 4, name.len);
    size_t dot = str_find(rest, STR("."));
    return dot != SIZE_MAX && parse_u64(str_cut(rest, 0, dot), &n) && n <= INT32_MAX ? (int64_t)n : -1;
}

bool mix_before(str a, str b) {
    int64_t la = layer_of(a), lb = layer_of(b);
    return la != lb ? la < lb : str_cmp(a, b) < 0;
}

/* ---- the rules ------------------------------------------------------------------------------------------ */

/* Conditions; all that a rule names must hold. i counts the layer, n is the number of layers. */
enum {
    GROUPED = 1 << 0,      /* four query heads or more share a value head, so that values are small */
    EIGHT = 1 << 1,        /* eight experts: attention is a small share of the model                */
    EXPERTS = 1 << 2,      /* four experts or more                                                  */
    FIRST = 1 << 3,        /* i < n / 8                                                             */
    FIRST_16TH = 1 << 4,   /* i < n / 16                                                            */
    MIDDLE = 1 << 5,       /* n / 8 <= i < 7 n / 8                                                  */
    MORE = 1 << 6,         /* the first and the last eighth, and every third layer between          */
    FIRST_TWO = 1 << 7,    /* i < 2                                                                 */
    FIRST_FOUR = 1 << 8,   /* i < 4                                                                 */
    BLIND = 1 << 9,        /* no matrix of importance                                               */
    FALCON = 1 << 10,      /* the architecture                                                      */
    EXPERT_TENSOR = 1 << 11, /* matrices of several experts in one tensor                           */
};

typedef struct rule {
    mix_role role;
    uint64_t mixes;   /* a set of file types */
    uint32_t if_all, if_none;
    quant_id type;
} rule;

#define LOW_1 (IN(IQ1_S) | IN(IQ1_M))
#define LOW_2 (IN(IQ2_XXS) | IN(IQ2_XS))
#define LOW_3 (IN(IQ2_S) | IN(IQ2_M))
#define LOW (LOW_1 | LOW_2 | LOW_3)
#define ALL UINT64_MAX
/* Those that spend more on the output of attention where there are eight experts. */
#define FOR_EIGHT                                                                                                      \
    (IN(Q2_K) | IN(IQ3_XS) | IN(IQ3_XXS) | IN(Q3_K_S) | IN(Q3_K_M) | IN(IQ4_NL) | IN(Q4_K_S) | IN(Q4_K_M) |            \
     IN(IQ3_S) | IN(IQ3_M) | IN(IQ4_XS))

static const rule rules[] = {
    {MIX_OUTPUT, IN(MXFP4_MOE) | IN(Q8_0), 0, 0, QUANT_Q8_0},
    {MIX_OUTPUT, ALL, FALCON, 0, QUANT_Q8_0},
    {MIX_OUTPUT, LOW | IN(IQ3_XXS), 0, 0, QUANT_Q5_K},
    {MIX_OUTPUT, ALL, 0, 0, QUANT_Q6_K},

    {MIX_EMBEDDING, LOW_1 | LOW_2, 0, 0, QUANT_Q2_K},
    {MIX_EMBEDDING, LOW_3 | IN(IQ3_XXS), 0, 0, QUANT_IQ3_S},
    {MIX_EMBEDDING, IN(TQ1_0) | IN(TQ2_0) | IN(Q2_0), 0, 0, QUANT_Q4_K},

    {MIX_VALUE, LOW, GROUPED, 0, QUANT_Q4_K},
    {MIX_VALUE, LOW, EXPERTS, 0, QUANT_Q4_K},
    {MIX_VALUE, LOW_3, 0, 0, QUANT_IQ3_S},
    {MIX_VALUE, LOW, 0, 0, QUANT_Q2_K},
    {MIX_VALUE, ALL, EIGHT, 0, QUANT_Q8_0},
    {MIX_VALUE, IN(Q2_K) | IN(Q2_K_S) | IN(IQ3_XXS) | IN(IQ3_XS) | IN(IQ3_S), GROUPED, 0, QUANT_Q4_K},
    {MIX_VALUE, IN(Q2_K), 0, 0, QUANT_Q3_K},
    {MIX_VALUE, IN(IQ3_XXS), BLIND, 0, QUANT_IQ3_S},
    {MIX_VALUE, IN(IQ3_M), 0, 0, QUANT_Q4_K},
    {MIX_VALUE, IN(Q3_K_M), FIRST_TWO, 0, QUANT_Q5_K},
    {MIX_VALUE, IN(Q3_K_M), 0, 0, QUANT_Q4_K},
    {MIX_VALUE, IN(Q3_K_L), 0, 0, QUANT_Q5_K},
    {MIX_VALUE, IN(IQ4_NL) | IN(IQ4_XS), GROUPED, 0, QUANT_Q5_K},
    {MIX_VALUE, IN(Q4_K_M) | IN(Q5_K_M), MORE, 0, QUANT_Q6_K},
    {MIX_VALUE, IN(Q4_K_S), FIRST_FOUR, 0, QUANT_Q5_K},

    {MIX_KEY, LOW, EIGHT, 0, QUANT_Q4_K},
    {MIX_KEY, ALL & ~LOW, EIGHT, 0, QUANT_Q8_0},
    {MIX_KEY, IN(IQ3_XS), 0, 0, QUANT_IQ3_XXS},
    {MIX_KEY, IN(IQ3_XXS), 0, 0, QUANT_IQ2_S},
    {MIX_QUERY, IN(IQ3_XS), 0, 0, QUANT_IQ3_XXS},
    {MIX_QUERY, IN(IQ3_XXS), 0, 0, QUANT_IQ2_S},

    {MIX_ATTENTION_OUT, LOW | FOR_EIGHT, EIGHT, FALCON, QUANT_Q5_K},
    {MIX_ATTENTION_OUT, LOW, EIGHT, 0, QUANT_Q5_K},
    {MIX_ATTENTION_OUT, LOW_1, 0, 0, QUANT_IQ2_XXS},
    {MIX_ATTENTION_OUT, LOW_3, 0, 0, QUANT_IQ3_S},
    {MIX_ATTENTION_OUT, IN(Q3_K_L), FALCON, 0, QUANT_Q4_K},
    {MIX_ATTENTION_OUT, IN(Q2_K), 0, EIGHT | FALCON, QUANT_Q3_K},
    {MIX_ATTENTION_OUT, IN(IQ3_XXS), 0, EIGHT | FALCON, QUANT_IQ3_S},
    {MIX_ATTENTION_OUT, IN(Q3_K_M) | IN(IQ3_M), 0, EIGHT | FALCON, QUANT_Q4_K},
    {MIX_ATTENTION_OUT, IN(Q3_K_L), 0, EIGHT | FALCON, QUANT_Q5_K},

    {MIX_DOWN, LOW_3, FIRST, 0, QUANT_IQ3_S},
    {MIX_DOWN, LOW, FIRST, 0, QUANT_Q2_K},
    {MIX_DOWN, IN(Q2_K), 0, 0, QUANT_Q3_K},
    {MIX_DOWN, IN(Q2_K_S), FIRST, 0, QUANT_Q4_K},
    {MIX_DOWN, IN(IQ3_XXS), BLIND | FIRST, 0, QUANT_Q4_K},
    {MIX_DOWN, IN(IQ3_XXS), BLIND, 0, QUANT_Q3_K},
    {MIX_DOWN, IN(Q3_K_M), FIRST_16TH, 0, QUANT_Q5_K},
    {MIX_DOWN, IN(Q3_K_M), 0, FALCON, QUANT_Q4_K},
    {MIX_DOWN, IN(Q3_K_M), MORE, 0, QUANT_Q4_K},
    {MIX_DOWN, IN(IQ3_M), FIRST, 0, QUANT_Q4_K},
    {MIX_DOWN, IN(IQ3_M), EIGHT | MORE, 0, QUANT_Q4_K},
    {MIX_DOWN, IN(Q3_K_L), FALCON, 0, QUANT_Q4_K},
    {MIX_DOWN, IN(Q3_K_L), 0, 0, QUANT_Q5_K},
    {MIX_DOWN, IN(Q4_K_M), FALCON | FIRST_16TH, 0, QUANT_Q6_K},
    {MIX_DOWN, IN(Q4_K_M), FALCON | MORE, 0, QUANT_Q5_K},
    {MIX_DOWN, IN(Q4_K_M), MORE, FALCON, QUANT_Q6_K},
    {MIX_DOWN, IN(Q5_K_M), MORE, 0, QUANT_Q6_K},
    {MIX_DOWN, IN(IQ4_NL) | IN(IQ4_XS), BLIND | FIRST, 0, QUANT_Q5_K},
    {MIX_DOWN, IN(Q4_K_S), FIRST, FALCON, QUANT_Q5_K},
    {MIX_DOWN, IN(Q4_0), FIRST, BLIND, QUANT_Q4_1},
    {MIX_DOWN, IN(Q5_0), FIRST, BLIND, QUANT_Q5_1},

    {MIX_GATE, IN(IQ3_XS), MIDDLE, 0, QUANT_IQ3_XXS},
    {MIX_UP, IN(IQ3_XS), MIDDLE, 0, QUANT_IQ3_XXS},
};

/* Of MXFP4_MOE, whose rules go by shape. */
static const rule expert_rules[] = {
    {MIX_OTHER, IN(MXFP4_MOE), EXPERT_TENSOR, 0, QUANT_MXFP4},
    {MIX_OTHER, IN(MXFP4_MOE), 0, 0, QUANT_Q8_0},
};

/* Models of the size that llama.cpp calls 70B: their values get at least Q5_K. */
static const struct {
    const char *arch;
    uint64_t n_layer;
} large[] = {{"llama", 80}, {"deci", 80}, {"qwen2", 80}, {"olmo", 80}, {"jais2", 68}};

static bool is_large(const mix_model *m) {
    for (size_t i = 0; i < COUNT_OF(large); i++)
        if (str_is(m->arch, large[i].arch) && m->n_layer == large[i].n_layer)
            return i > 0 || m->n_head != m->n_head_kv;
    return false;
}

/* The i-th of n layers, as conditions. */
static uint32_t place_of(uint64_t i, uint64_t n) {
    uint32_t holds = 0;
    bool last = i >= 7 * n / 8;
    if (i < n / 8) holds |= FIRST;
    if (i < n / 16) holds |= FIRST_16TH;
    if (i >= n / 8 && !last) holds |= MIDDLE;
    if (i < n / 8 || last || (i - n / 8) % 3 == 2) holds |= MORE;
    if (i < 2) holds |= FIRST_TWO;
    if (i < 4) holds |= FIRST_FOUR;
    return holds;
}

/* Where the tensor stands among those of its role. Experts may lie in tensors of their own, in any order, so there the
 * name tells the layer. */
static uint32_t count(const mix *x, const mix_model *m, mix_counts *seen, const mix_tensor *t, mix_role role) {
    if (role == MIX_VALUE) return place_of(seen->value++, m->n_values);
    uint64_t *of = role == MIX_UP ? &seen->up : role == MIX_GATE ? &seen->gate : role == MIX_DOWN ? &seen->down : NULL;
    if (!of) return 0;
    uint64_t i = (*of)++;
    int64_t named = layer_of(t->name);
    bool by_name = m->n_expert > 1 && named >= 0 && !(IN(x->ftype) & LOW);
    return place_of(by_name ? (uint64_t)named : i, m->n_layer);
}

static const rule *first_fit(const rule *r, size_t n, const mix *x, mix_role role, uint32_t holds) {
    for (size_t i = 0; i < n; i++, r++)
        if (r->role == role && (r->mixes & IN(x->ftype)) && (holds & r->if_all) == r->if_all && !(holds & r->if_none))
            return r;
    return NULL;
}

quant_id mix_type(const mix *x, const mix_model *m, mix_counts *seen, const mix_tensor *t) {
    mix_role role = mix_role_of(t->name);
    const quant_type *base = quant_find(x->base);
    if (!base->unpack) return x->base; /* a float type is for all */
    if (role == MIX_EMBEDDING && !m->has_output) role = MIX_OUTPUT;
    if (role == MIX_OUTPUT && t->dims[0] % base->block_len != 0) return QUANT_Q8_0;
    uint32_t holds = 0;
    if (m->n_head_kv && m->n_head / m->n_head_kv >= 4) holds |= GROUPED;
    if (m->n_expert == 8) holds |= EIGHT;
    if (m->n_expert >= 4) holds |= EXPERTS;
    if (!m->has_importance) holds |= BLIND;
    if (str_is(m->arch, "falcon")) holds |= FALCON;
    /* Projections of latent attention have three dimensions as well; there the role tells. */
    bool shape_tells = !str_is(m->arch, "bailingmoe3") || role == MIX_UP || role == MIX_GATE || role == MIX_DOWN;
    if (t->dims[2] > 1 && shape_tells) holds |= EXPERT_TENSOR;
    const rule *r;
    if (x->ftype == MXFP4_MOE && role != MIX_OUTPUT) {
        r = first_fit(expert_rules, COUNT_OF(expert_rules), x, MIX_OTHER, holds);
    } else {
        holds |= count(x, m, seen, t, role);
        r = first_fit(rules, COUNT_OF(rules), x, role, holds);
    }
    quant_id type = r ? r->type : x->base;
    bool more = role == MIX_VALUE && !(IN(x->ftype) & LOW) && is_large(m);
    return more && (type == QUANT_Q3_K || type == QUANT_Q4_K) ? QUANT_Q5_K : type;
}

/* ---- shapes, importance --------------------------------------------------------------------------------- */

/* Where the blocks of a type do not divide a row: one with smaller blocks and about as good. */
static const struct {
    quant_id from, to;
} smaller[] = {
    {QUANT_IQ1_S, QUANT_IQ4_NL},   {QUANT_IQ1_M, QUANT_IQ4_NL}, {QUANT_IQ2_XXS, QUANT_IQ4_NL},
    {QUANT_IQ2_XS, QUANT_IQ4_NL},  {QUANT_IQ2_S, QUANT_IQ4_NL}, {QUANT_IQ3_XXS, QUANT_IQ4_NL},
    {QUANT_IQ3_S, QUANT_IQ4_NL},   {QUANT_IQ4_XS, QUANT_IQ4_NL}, {QUANT_Q1_0, QUANT_Q4_0},
    {QUANT_Q2_0, QUANT_Q4_0},      {QUANT_Q2_K, QUANT_Q4_0},    {QUANT_Q3_K, QUANT_Q4_0},
    {QUANT_TQ1_0, QUANT_Q4_0},     {QUANT_TQ2_0, QUANT_Q4_0},   {QUANT_NVFP4, QUANT_Q4_0},
    {QUANT_Q4_K, QUANT_Q5_0},      {QUANT_Q5_K, QUANT_Q5_1},    {QUANT_Q6_K, QUANT_Q8_0},
};

static bool divides(quant_id type, uint64_t n) { return n % quant_find(type)->block_len == 0; }

quant_id mix_fit(quant_id wanted, uint64_t n) {
    if (divides(wanted, n)) return wanted;
    for (size_t i = 0; i < COUNT_OF(smaller); i++)
        if (smaller[i].from == wanted && divides(smaller[i].to, n)) return smaller[i].to;
    return QUANT_F16;
}

bool mix_needs_importance(const mix *x, str name, quant_id type) {
    mix_role role = mix_role_of(name);
    if (role == MIX_EMBEDDING || role == MIX_OUTPUT) return false;
    switch (type) {
    case QUANT_IQ1_S:
    case QUANT_IQ1_M:
    case QUANT_IQ2_XXS:
    case QUANT_IQ2_XS:
    case QUANT_IQ2_S:
    case QUANT_IQ3_XXS: return true;
    case QUANT_Q2_K: return x->ftype == Q2_K_S;
    default: return false;
    }
}
