/* kern.c: which level runs, and the calls of kern.h handed to its table.
 *
 * No arithmetic here. Read on in kern_int.h (what a level is), then kern_level.h (how one is built).
 */
#include "kern/kern_int.h"
#include "kern_levels.h" /* by the Makefile: those that this architecture and compiler have, slowest first */

#define ENTRY(level) &kern_##level,
static const kern *const kern_levels[] = {KERN_LEVELS(ENTRY) NULL};

const kern *kern_at(size_t i) {
    for (size_t at = 0; kern_levels[at]; at++)
        if (at == i) return kern_levels[at];
    return NULL;
}

bool kern_runs(const kern *k) { return (k->needs & ~kern_cpu_features(NULL)) == 0; }

const kern *kern_withheld(void) {
    uint32_t withheld, features = kern_cpu_features(&withheld);
    for (size_t i = 0; kern_levels[i]; i++)
        if (kern_levels[i]->needs & withheld && !(kern_levels[i]->needs & ~(features | withheld))) return kern_levels[i];
    return NULL;
}

const kern *kern_best(void) {
    const kern *best = &kern_scalar;
    for (size_t i = 0; kern_levels[i]; i++)
        if (kern_runs(kern_levels[i])) best = kern_levels[i];
    return best;
}

const kern *kern_find(str name) {
    for (size_t i = 0; kern_levels[i]; i++)
        if (str_is(name, kern_levels[i]->name)) return kern_levels[i];
    return NULL;
}

err_code kern_choose(const kern **out, const char *name, err *e) {
    char names[160];
    const kern *withheld = kern_withheld();
    size_t n = 0;
    *out = name ? kern_find(str_of(name)) : kern_best();
    if (*out && kern_runs(*out)) return ERR_NONE;
    for (size_t i = 0; kern_levels[i]; i++)
        n += fmt(names + n, sizeof names - n, "%s%s%s", i ? ", " : "", kern_levels[i]->name,
                 kern_runs(kern_levels[i]) ? "" : kern_levels[i] == withheld ? " (not allowed here)" : " (not on this CPU)");
    if (!*out) return ERR(e, ERR_ARGUMENT, "isa \"%s\" is unknown; this leat has %s", name, names);
    return ERR(e, ERR_UNSUPPORTED, "isa %s does not run on this CPU; this leat has %s", name, names);
}

const char *kern_name(const kern *k) { return k->name; }

/* ---- matmul --------------------------------------------------------------------------------------------- */

kern_act kern_act_of(const kern *k, quant_id type, kern_role role) {
    return role == KERN_PROMPT ? k->ops->prompt_act[type] : k->ops->decode_act[type];
}

size_t kern_act_offset(const kern *k, kern_act format, size_t first) {
    (void)k;
    size_t n_chunks = div_up(first, KERN_CHUNK);
    if (format >= KERN_ACT_I16 && format <= KERN_ACT_I16_BESIDE) return n_chunks * sizeof(kern_act16);
    if (format == KERN_ACT_I16_FIVES) return n_chunks * sizeof(kern_act16_fives);
    if (format == KERN_ACT_I8_HALVES) return n_chunks * sizeof(kern_act8_halves);
    if (format == KERN_ACT_I8_16 || format == KERN_ACT_I8_32)
        return n_chunks * (KERN_CHUNK / KERN_ACT8_LEN) * sizeof(kern_act8);
    return align_up(first, 64) * sizeof(float);
}

/* An odd number of cache lines: rows one after the other then spread over all sets of the caches, where rows a power of two
 * apart would share a few (measured: about 3 %, within the noise). */
size_t kern_act_bytes(const kern *k, kern_act format, size_t n_in) { return kern_act_offset(k, format, n_in) | 64; }

void kern_act_prepare(const kern *k, kern_act format, const float *x, size_t n_in, void *act) {
    ASSERT(k->ops->prepare[format]);
    k->ops->prepare[format](x, n_in, act);
}

void kern_run_matmul(const kern *k, const kern_matmul *m) {
    if (m->role == KERN_DECODE) k->ops->decode[m->type](m);
    else kern_panel_run(k, m);
}

size_t kern_scratch_bytes(const kern *k, size_t n_in_max) {
    (void)n_in_max; /* panels are as deep as a constant */
    return sizeof(kern_panel) + k->more_bytes;
}

size_t kern_row_step(const kern *k) {
    (void)k;
    return KERN_PANEL_ROWS;
}

quant_encode *kern_encoder(const kern *k, quant_id type) {
    const quant_type *t = quant_find(type);
    if (k->ops->encode_q8_0 && type == QUANT_Q8_0) return k->ops->encode_q8_0;
    return k->ops->encoders ? k->ops->encoders[type] : t ? t->encode : NULL;
}

/* ---- the rest ------------------------------------------------------------------------------------------- */

void kern_run_attn(const kern *k, const kern_attn *a) { k->ops->attn(a); }
void kern_rms_norm(const kern *k, const float *x, const float *weight, size_t n, float eps, float *out) {
    k->ops->rms_norm(x, weight, n, eps, out);
}
void kern_add(const kern *k, float *x, const float *y, size_t n) { k->ops->add(x, y, n); }
void kern_scale(const kern *k, float *x, float s, size_t n) { k->ops->scale(x, s, n); }
void kern_axpy(const kern *k, float *x, float s, const float *y, size_t n) { k->ops->axpy(x, s, y, n); }
void kern_swiglu(const kern *k, const float *gate, const float *up, size_t n, float *out) { k->ops->swiglu(gate, up, n, out); }
void kern_softmax(const kern *k, float *x, size_t n) { k->ops->softmax(x, n); }
void kern_rope(const kern *k, float *x, const float *cos_sin, size_t n_rot, bool interleaved) {
    k->ops->rope(x, cos_sin, n_rot, interleaved);
}
void kern_f32_of_f16(const kern *k, const uint16_t *x, float *out, size_t n) { k->ops->f32_of_f16(x, out, n); }
void kern_f32_of_bf16(const kern *k, const uint16_t *x, float *out, size_t n) { k->ops->f32_of_bf16(x, out, n); }
bool kern_all_finite(const kern *k, const float *x, size_t n) { return k->ops->all_finite(x, n); }
uint64_t kern_read(const kern *k, const void *bytes, size_t n) { return k->ops->read(bytes, n); }
uint64_t kern_dot_peak(const kern *k, bool floats, uint64_t rounds) { return floats ? k->floats->peak(rounds) : k->bytes->peak(rounds); }
