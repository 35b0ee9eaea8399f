/* rope.c: the angles of the rotary embedding for one position.
 *
 * The angle of pair i is position * base^(-2i / n_rot), computed as the reference does: one float product after
 * another. At long contexts a float angle is off by more than the cosine's own error, so doing it "better" would
 * move the logits away from those the model was checked with.
 */
#include "model/model_int.h"

/* The pair index at which a rotation makes `turns` full turns over the original context (YaRN, appendix). */
static float yarn_pair(const model_shape *s, float turns) {
    double ratio = (double)((float)s->rope_ctx_orig / (turns * 2 * 3.14159265358979323846f));
    return (float)s->n_rot * (float)math_log(ratio) / (2 * (float)math_log((double)s->rope_base));
}

static float yarn_ceil(float x) { return -(float)math_floor(-(double)x); }

static float mscale(float factor, float mul) {
    return factor <= 1 ? 1.0f : 0.1f * mul * (float)math_log((double)factor) + 1.0f;
}

/* The magnitude that the rotated rows get. YaRN's own factor, with the part that a log multiplier takes back. */
static float magnitude(const model_shape *s) {
    if (s->rope_scaling != MODEL_ROPE_YARN) return s->rope_attn_factor;
    float factor = s->rope_factor, stretch = 1.0f + 0.1f * (float)math_log((double)factor);
    float scale = s->yarn_log_mul != 0 ? mscale(factor, 1) / mscale(factor, s->yarn_log_mul) : mscale(factor, 1);
    scale *= 1.0f / stretch;
    scale *= s->rope_attn_factor;
    return scale * stretch;
}

void model_rope_row(const model *m, size_t pos, float *cos_sin) {
    const model_shape *s = &m->shape;
    float step = (float)math_pow((double)s->rope_base, (double)(-2.0f / (float)s->n_rot));
    float freq_scale = 1.0f / s->rope_factor, scale = magnitude(s), angle = (float)pos;
    bool yarn = s->rope_scaling == MODEL_ROPE_YARN;
    float low = 0, high = 0;
    if (yarn) {
        low = MAX(0.0f, (float)math_floor((double)yarn_pair(s, s->yarn_beta_fast)));
        high = MIN((float)(s->n_rot - 1), yarn_ceil(yarn_pair(s, s->yarn_beta_slow)));
    }
    for (size_t i = 0; i < s->n_rot / 2; i++, angle *= step) {
        float extrapolated = m->rope_freqs ? angle / m->rope_freqs[i] : angle;
        float theta = freq_scale * extrapolated;
        if (yarn) {
            float ramp = ((float)i - low) / MAX(0.001f, high - low);
            float mix = 1 - MIN(1.0f, MAX(0.0f, ramp));
            theta = theta * (1 - mix) + extrapolated * mix;
        }
        cos_sin[2 * i] = (float)math_cos((double)theta) * scale;
        cos_sin[2 * i + 1] = (float)math_sin((double)theta) * scale;
    }
}
