/* ops.c: what is not a matrix product in a layer of the sample model, for train.py, which compiles and loads this file.
 *
 * PyTorch would make a pass over memory for each of these steps, and those passes cost more than the products. Rows are
 * 256 wide, activations are bfloat16, sums are float. Every result is written by one thread, so that runs repeat.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { W = 256, HEADS = 8, KV = 4, HD = 32, HALF = HD / 2, QKV = 512, FF = 256, E = 8, LONGEST = 128 };
typedef uint16_t bf16;

static inline float wide(bf16 x) {
    uint32_t u = (uint32_t)x << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline bf16 narrow(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return (bf16)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

/* y = x / rms(x) * w, and r = 1 / rms(x). With router (E x W): logits (n x E) of y before it is rounded. */
void norm_forward(const float *x, const float *w, bf16 *y, float *r, const float *router, float *logits, long n) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        const float *xi = x + i * W;
        float s = 0, h[W];
        for (int j = 0; j < W; j++) s += xi[j] * xi[j];
        r[i] = 1 / sqrtf(s / W + 1e-5f);
        for (int j = 0; j < W; j++) h[j] = xi[j] * r[i] * w[j];
        for (int j = 0; j < W; j++) y[i * W + j] = narrow(h[j]);
        for (int e = 0; router && e < E; e++) {
            float d = 0;
            for (int j = 0; j < W; j++) d += h[j] * router[e * W + j];
            logits[i * E + e] = d;
        }
    }
}

/* dx = add + the gradient through the norm of dy (and, with a router, of dlogits). The rows are in `parts` runs, each
 * with gradients of w (and of the router) of its own: dw is parts x W, drouter is parts x E x W. add may be dx. */
void norm_backward(const float *x, const float *w, const float *r, const bf16 *dy, const float *add, float *dx,
                   float *dw, const float *router, const float *dlogits, float *drouter, long n, long parts) {
#pragma omp parallel for schedule(static)
    for (long part = 0; part < parts; part++) {
        float *dwp = dw + part * W, *drp = drouter + part * E * W;
        for (long i = n * part / parts; i < n * (part + 1) / parts; i++) {
            const float *xi = x + i * W;
            float g[W], s = 0;
            for (int j = 0; j < W; j++) g[j] = wide(dy[i * W + j]);
            for (int e = 0; router && e < E; e++) {
                float d = dlogits[i * E + e], dr = d * r[i];
                for (int j = 0; j < W; j++) g[j] += d * router[e * W + j];
                for (int j = 0; j < W; j++) drp[e * W + j] += dr * xi[j] * w[j];
            }
            for (int j = 0; j < W; j++) dwp[j] += g[j] * xi[j] * r[i];
            for (int j = 0; j < W; j++) g[j] *= w[j];
            for (int j = 0; j < W; j++) s += g[j] * xi[j];
            s *= r[i] * r[i] * r[i] / W;
            for (int j = 0; j < W; j++) dx[i * W + j] = add[i * W + j] + g[j] * r[i] - xi[j] * s;
        }
    }
}

typedef struct turned {
    float q[HEADS][LONGEST][HD], k[KV][LONGEST][HD], v[KV][LONGEST][HD];
} turned;

static void turn(float *out, const bf16 *in, const float *cos, const float *sin) {
    for (int j = 0; j < HALF; j++) {
        float a = wide(in[j]), b = wide(in[j + HALF]);
        out[j] = a * cos[j] - b * sin[j];
        out[j + HALF] = b * cos[j] + a * sin[j];
    }
}
static void turn_back(bf16 *out, const float *in, const float *cos, const float *sin) {
    for (int j = 0; j < HALF; j++) {
        out[j] = narrow(in[j] * cos[j] + in[j + HALF] * sin[j]);
        out[j + HALF] = narrow(in[j + HALF] * cos[j] - in[j] * sin[j]);
    }
}

static void load(turned *t, const bf16 *qkv, int n, const float *cos, const float *sin) {
    for (int i = 0; i < n; i++) {
        const bf16 *row = qkv + (long)i * QKV;
        for (int h = 0; h < HEADS; h++) turn(t->q[h][i], row + h * HD, cos + i * HALF, sin + i * HALF);
        for (int h = 0; h < KV; h++) turn(t->k[h][i], row + W + h * HD, cos + i * HALF, sin + i * HALF);
        for (int h = 0; h < KV; h++)
            for (int j = 0; j < HD; j++) t->v[h][i][j] = wide(row[W + (KV + h) * HD + j]);
    }
}

static float dot(const float *a, const float *b) {
    float s = 0;
    for (int j = 0; j < HD; j++) s += a[j] * b[j];
    return s;
}

/* p[0..i]: how much query i of head h sees of each key. */
static void look(const turned *t, int h, int i, float *p) {
    float most = -1e30f, sum = 0;
    for (int j = 0; j <= i; j++) p[j] = dot(t->q[h][i], t->k[h * KV / HEADS][j]) * 0.17677669529663687f;
    for (int j = 0; j <= i; j++) most = p[j] > most ? p[j] : most;
    for (int j = 0; j <= i; j++) sum += p[j] = expf(p[j] - most);
    for (int j = 0; j <= i; j++) p[j] /= sum;
}

/* Causal attention within each example: tokens start[s] to start[s + 1] of qkv (tokens x QKV) to out (tokens x W). */
void attention_forward(const bf16 *qkv, const int32_t *start, long examples, const float *cos, const float *sin,
                       bf16 *out) {
#pragma omp parallel
    {
        static _Thread_local turned t;
#pragma omp for schedule(dynamic, 4)
        for (long s = 0; s < examples; s++) {
            int n = start[s + 1] - start[s];
            load(&t, qkv + (long)start[s] * QKV, n, cos, sin);
            for (int h = 0; h < HEADS; h++)
                for (int i = 0; i < n; i++) {
                    float p[LONGEST], o[HD] = {0};
                    look(&t, h, i, p);
                    for (int j = 0; j <= i; j++)
                        for (int d = 0; d < HD; d++) o[d] += p[j] * t.v[h * KV / HEADS][j][d];
                    for (int d = 0; d < HD; d++) out[((long)start[s] + i) * W + h * HD + d] = narrow(o[d]);
                }
        }
    }
}

void attention_backward(const bf16 *qkv, const int32_t *start, long examples, const float *cos, const float *sin,
                        const bf16 *dout, bf16 *dqkv) {
#pragma omp parallel
    {
        static _Thread_local turned t, g;
#pragma omp for schedule(dynamic, 4)
        for (long s = 0; s < examples; s++) {
            int n = start[s + 1] - start[s];
            load(&t, qkv + (long)start[s] * QKV, n, cos, sin);
            memset(&g, 0, sizeof(g));
            for (int h = 0; h < HEADS; h++)
                for (int i = 0; i < n; i++) {
                    int kv = h * KV / HEADS;
                    float p[LONGEST], dp[LONGEST], go[HD], sum = 0;
                    look(&t, h, i, p);
                    for (int d = 0; d < HD; d++) go[d] = wide(dout[((long)start[s] + i) * W + h * HD + d]);
                    for (int j = 0; j <= i; j++) dp[j] = dot(go, t.v[kv][j]);
                    for (int j = 0; j <= i; j++) sum += dp[j] * p[j];
                    for (int j = 0; j <= i; j++) {
                        float ds = p[j] * (dp[j] - sum) * 0.17677669529663687f;
                        for (int d = 0; d < HD; d++) g.v[kv][j][d] += p[j] * go[d];
                        for (int d = 0; d < HD; d++) g.k[kv][j][d] += ds * t.q[h][i][d];
                        for (int d = 0; d < HD; d++) g.q[h][i][d] += ds * t.k[kv][j][d];
                    }
                }
            for (int i = 0; i < n; i++) {
                bf16 *row = dqkv + ((long)start[s] + i) * QKV;
                for (int h = 0; h < HEADS; h++) turn_back(row + h * HD, g.q[h][i], cos + i * HALF, sin + i * HALF);
                for (int h = 0; h < KV; h++) turn_back(row + W + h * HD, g.k[h][i], cos + i * HALF, sin + i * HALF);
                for (int h = 0; h < KV; h++)
                    for (int j = 0; j < HD; j++) row[W + (KV + h) * HD + j] = narrow(g.v[h][i][j]);
            }
        }
    }
}

/* The two experts of each token: chosen and weight are n x 2. Experts' rows are filled up to a multiple of `unit`;
 * ends[e] is where expert e's end, where[i][u] the row of token i, source the token of a row or -1 (the caller has room
 * for 2 n + E unit of them). */
void choose(const float *logits, long n, long unit, int32_t *chosen, float *weight, int32_t *ends, int32_t *where,
            int32_t *source) {
    int32_t count[E] = {0}, at[E];
    for (long i = 0; i < n; i++) {
        const float *l = logits + i * E;
        int a = 0, b = -1;
        for (int e = 1; e < E; e++)
            if (l[e] > l[a]) a = e;
        for (int e = 0; e < E; e++)
            if (e != a && (b < 0 || l[e] > l[b])) b = e;
        chosen[2 * i] = a;
        chosen[2 * i + 1] = b;
        weight[2 * i] = 1 / (1 + expf(l[b] - l[a]));
        weight[2 * i + 1] = 1 - weight[2 * i];
        count[a]++;
        count[b]++;
    }
    int32_t end = 0;
    for (int e = 0; e < E; e++) {
        at[e] = end;
        end += (int32_t)((count[e] + unit - 1) / unit * unit);
        ends[e] = end;
        for (int32_t i = at[e] + count[e]; i < end; i++) source[i] = -1;
    }
    for (long i = 0; i < 2 * n; i++) {
        where[i] = at[chosen[i]]++;
        source[where[i]] = (int32_t)(i / 2);
    }
}

void gather(const bf16 *x, const int32_t *source, long rows, bf16 *out) {
#pragma omp parallel for schedule(static)
    for (long p = 0; p < rows; p++) {
        if (source[p] < 0) memset(out + p * W, 0, 2 * W);
        else memcpy(out + p * W, x + (long)source[p] * W, 2 * W);
    }
}

/* act = silu(gate) * up, of h = (gate, up) */
void silu_forward(const bf16 *h, bf16 *act, long rows) {
#pragma omp parallel for schedule(static)
    for (long p = 0; p < rows; p++)
        for (int j = 0; j < FF; j++) {
            float g = wide(h[p * 2 * FF + j]), u = wide(h[p * 2 * FF + FF + j]);
            act[p * FF + j] = narrow(g / (1 + expf(-g)) * u);
        }
}
void silu_backward(const bf16 *h, const bf16 *dact, bf16 *dh, long rows) {
#pragma omp parallel for schedule(static)
    for (long p = 0; p < rows; p++)
        for (int j = 0; j < FF; j++) {
            float g = wide(h[p * 2 * FF + j]), u = wide(h[p * 2 * FF + FF + j]), d = wide(dact[p * FF + j]);
            float s = 1 / (1 + expf(-g));
            dh[p * 2 * FF + j] = narrow(d * u * s * (1 + g * (1 - s)));
            dh[p * 2 * FF + FF + j] = narrow(d * g * s);
        }
}

/* x + the weighted sum of each token's two rows of y */
void combine_forward(const float *x, const bf16 *y, const int32_t *where, const float *weight, float *out, long n) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        const bf16 *a = y + (long)where[2 * i] * W, *b = y + (long)where[2 * i + 1] * W;
        float u = weight[2 * i], v = weight[2 * i + 1];
        for (int j = 0; j < W; j++) out[i * W + j] = x[i * W + j] + u * wide(a[j]) + v * wide(b[j]);
    }
}
/* dy, and the gradients of the logits: of the choice, and of the balance loss `cost` E sum_e used[e] mean(p[e]). */
void combine_backward(const float *dout, const bf16 *y, const int32_t *where, const int32_t *source,
                      const int32_t *chosen, const float *weight, const float *logits, const float *used, float cost,
                      bf16 *dy, float *dlogits, long n, long rows) {
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (long i = 0; i < n; i++) {
            float d[2], p[E], most = -1e30f, sum = 0, mean = 0;
            for (int u = 0; u < 2; u++) {
                const bf16 *yi = y + (long)where[2 * i + u] * W;
                bf16 *dyi = dy + (long)where[2 * i + u] * W;
                float s = 0, w = weight[2 * i + u];
                for (int j = 0; j < W; j++) s += dout[i * W + j] * wide(yi[j]);
                for (int j = 0; j < W; j++) dyi[j] = narrow(dout[i * W + j] * w);
                d[u] = s;
            }
            for (int e = 0; e < E; e++) most = logits[i * E + e] > most ? logits[i * E + e] : most;
            for (int e = 0; e < E; e++) sum += p[e] = expf(logits[i * E + e] - most);
            for (int e = 0; e < E; e++) mean += (p[e] /= sum) * used[e];
            for (int e = 0; e < E; e++) dlogits[i * E + e] = cost * E / (float)n * p[e] * (used[e] - mean);
            float turn = weight[2 * i] * weight[2 * i + 1] * (d[0] - d[1]);
            dlogits[i * E + chosen[2 * i]] += turn;
            dlogits[i * E + chosen[2 * i + 1]] -= turn;
        }
#pragma omp for schedule(static)
        for (long p = 0; p < rows; p++)
            if (source[p] < 0) memset(dy + p * W, 0, 2 * W);
    }
}
void add_two(const bf16 *dxs, const int32_t *where, bf16 *dx, long n) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        const bf16 *a = dxs + (long)where[2 * i] * W, *b = dxs + (long)where[2 * i + 1] * W;
        for (int j = 0; j < W; j++) dx[i * W + j] = narrow(wide(a[j]) + wide(b[j]));
    }
}

/* x[pick] + y, and back: dx = 0 but at pick */
void add_rows(const float *x, const int32_t *pick, const bf16 *y, float *out, long n) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        const float *xi = x + (long)(pick ? pick[i] : i) * W;
        for (int j = 0; j < W; j++) out[i * W + j] = xi[j] + wide(y[i * W + j]);
    }
}
