/* test_mix.c: the choices of the mixes against tests/data/mix/choices.txt, which says what llama.cpp chooses for the
 * same shapes: the size of a file of that name must be the one that people know.
 */
#include "check.h"
#include "tools/mix.h"

#include <string.h>

#define TENSORS_MAX 1024

typedef struct pattern_row {
    char name[64];
    uint64_t dims[4];
    bool stays;
} pattern_row;

typedef struct tensor {
    char name[64];
    const pattern_row *row;
    uint64_t layer;
    quant_id type;
} tensor;

typedef struct shape {
    char name[64], arch[32];
    mix_model model;
    pattern_row rows[64];
    size_t n_rows, n;
    tensor tensors[TENSORS_MAX];
} shape;

static void add_tensor(shape *s, const pattern_row *row, uint64_t layer) {
    CHECK(s->n < TENSORS_MAX);
    tensor *t = &s->tensors[s->n++];
    const char *star = strchr(row->name, '*');
    if (star) snprintf(t->name, sizeof t->name, "%.*s%llu%s", (int)(star - row->name), row->name,
                       (unsigned long long)layer, star + 1);
    else snprintf(t->name, sizeof t->name, "%s", row->name);
    t->row = row;
    t->layer = layer;
}

/* The order in which the rules count. */
static int by_layer(const void *a, const void *b) {
    str x = str_of(((const tensor *)a)->name), y = str_of(((const tensor *)b)->name);
    return mix_before(x, y) ? -1 : mix_before(y, x);
}

static void finish_shape(shape *s) {
    s->n = 0;
    s->model.has_output = false;
    s->model.n_values = 0;
    for (size_t i = 0; i < s->n_rows; i++)
        for (uint64_t l = 0; l < (strchr(s->rows[i].name, '*') ? s->model.n_layer : 1); l++)
            add_tensor(s, &s->rows[i], l);
    qsort(s->tensors, s->n, sizeof s->tensors[0], by_layer);
    for (size_t i = 0; i < s->n; i++) {
        mix_role role = mix_role_of(str_of(s->tensors[i].name));
        s->model.has_output |= role == MIX_OUTPUT;
        s->model.n_values += role == MIX_VALUE;
    }
}

static void choose_all(shape *s, const mix *x) {
    mix_counts seen = {0};
    for (size_t i = 0; i < s->n; i++) {
        tensor *t = &s->tensors[i];
        const mix_tensor m = {str_of(t->name), t->row->dims};
        CHECK_MSG(mix_may_encode(&m) == !t->row->stays, "%s: %s %s", s->name, t->name,
                  t->row->stays ? "should stay" : "should not stay");
        if (!t->row->stays) t->type = mix_fit(mix_type(x, &s->model, &seen, &m), m.dims[0]);
    }
}

/* The type of layer number `layer` in "2*Q6_K,Q4_K". */
static quant_id type_of_layer(const char *types, uint64_t layer) {
    for (const char *at = types; *at;) {
        char *end;
        uint64_t n = 1;
        if (strchr(at, '*') && strcspn(at, "*") < strcspn(at, ",")) {
            n = strtoull(at, &end, 10);
            at = end + 1;
        }
        size_t len = strcspn(at, ",");
        if (layer < n) {
            const quant_type *t = quant_find_name((str){at, len});
            CHECK_MSG(t, "no type '%s'", at);
            return t->id;
        }
        layer -= n;
        at += len + (at[len] == ',');
    }
    test_fail(__FILE__, __LINE__, "'%s' ends before layer %llu", types, (unsigned long long)layer);
}

static int compare(shape *s, char *line) {
    char *word = strtok(line, " "), *how = strtok(NULL, " ");
    const mix *x = mix_find(str_of(word));
    const char *names[64], *types[64];
    size_t n = 0;
    CHECK_MSG(x && how, "no mix '%s'", word);
    for (char *item; (item = strtok(NULL, " "));) {
        char *sign = strchr(item, '=');
        CHECK(sign && n < 64);
        *sign = 0;
        names[n] = item;
        types[n++] = sign + 1;
    }
    s->model.has_importance = !strcmp(how, "importance");
    choose_all(s, x);
    for (size_t i = 0; i < s->n; i++) {
        const tensor *t = &s->tensors[i];
        quant_id wanted = x->base;
        if (t->row->stays) continue;
        for (size_t k = 0; k < n; k++)
            if (!strcmp(names[k], t->row->name)) wanted = type_of_layer(types[k], t->layer);
        CHECK_MSG(t->type == wanted, "%s %s %s: %s is %s, wanted %s", s->name, word, how, t->name,
                  quant_find(t->type)->name, quant_find(wanted)->name);
    }
    return (int)s->n;
}

TEST(mix_chooses_as_expected) {
    static shape s;
    size_t bytes;
    int n = 0;
    char *table = (char *)test_slurp("tests/data/mix/choices.txt", &bytes), *rest;
    for (char *line = strtok_r(table, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned long long v[4] = {1, 1, 1, 1};
        if (line[0] == '#') continue;
        if (sscanf(line, "shape %63s %31s %llu %llu %llu %llu", s.name, s.arch, &v[0], &v[1], &v[2], &v[3]) == 6) {
            s.n_rows = 0;
            s.model = (mix_model){.arch = str_of(s.arch), .n_layer = v[0], .n_head = v[1], .n_head_kv = v[2],
                                  .n_expert = v[3]};
        } else if (!strncmp(line, "tensor ", 7)) {
            pattern_row *r = &s.rows[s.n_rows++];
            CHECK(s.n_rows < 64);
            CHECK(sscanf(line, "tensor %63s %llu %llu %llu %llu", r->name, &v[0], &v[1], &v[2], &v[3]) >= 2);
            for (int i = 0; i < 4; i++) r->dims[i] = v[i];
            r->stays = strstr(line, " stays") != NULL;
            s.n = 0;
        } else {
            if (!s.n) finish_shape(&s);
            n += compare(&s, line);
        }
    }
    free(table);
    CHECK(n > 30000);
}

TEST(mix_names) {
    CHECK(mix_find(STR("q4_k_m")) && mix_find(STR("q4_k_m")) == mix_find(STR("Q4_K")));
    CHECK(mix_find(STR("15")) == mix_find(STR("Q4_K_M")));
    CHECK(mix_find(STR("0")) == mix_find(STR("f32")) && mix_find(STR("copy"))->copy);
    CHECK(!mix_find(STR("Q4_K_X")) && !mix_find(STR("")) && !mix_find(STR("Q4")) && !mix_find(STR("4")));
    for (size_t i = 0; mix_at(i); i++) {
        CHECK(mix_find(str_of(mix_at(i)->name)) == mix_at(i));
        CHECK(quant_find(mix_at(i)->base));
    }
}

TEST(mix_fits_rows) {
    CHECK_EQ(mix_fit(QUANT_Q4_K, 512), QUANT_Q4_K);
    CHECK_EQ(mix_fit(QUANT_Q4_K, 288), QUANT_Q5_0);
    CHECK_EQ(mix_fit(QUANT_Q6_K, 96), QUANT_Q8_0);
    CHECK_EQ(mix_fit(QUANT_IQ2_XXS, 96), QUANT_IQ4_NL);
    CHECK_EQ(mix_fit(QUANT_Q4_K, 100), QUANT_F16);
    CHECK_EQ(mix_fit(QUANT_Q8_0, 33), QUANT_F16);
    CHECK_EQ(mix_fit(QUANT_F32, 1), QUANT_F32);
    for (uint32_t id = 0; id < QUANT_ID_MAX; id++)
        for (uint64_t n = 1; quant_find(id) && n <= 512; n++)
            CHECK(n % quant_find(mix_fit((quant_id)id, n))->block_len == 0);
}

TEST(mix_importance) {
    const mix *low = mix_find(STR("IQ2_XXS")), *q2 = mix_find(STR("Q2_K")), *q2s = mix_find(STR("Q2_K_S"));
    CHECK(mix_needs_importance(low, STR("blk.0.attn_q.weight"), QUANT_IQ2_XXS));
    CHECK(!mix_needs_importance(low, STR("token_embd.weight"), QUANT_IQ2_XXS));
    CHECK(!mix_needs_importance(low, STR("output.weight"), QUANT_IQ2_XXS));
    CHECK(!mix_needs_importance(q2, STR("blk.0.attn_q.weight"), QUANT_Q2_K));
    CHECK(mix_needs_importance(q2s, STR("blk.0.attn_q.weight"), QUANT_Q2_K));
}
