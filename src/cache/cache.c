/* cache.c: the policy. A unit's probability p of being used when its layer is visited next is put together from a short
 * memory of its use (half-life 1 token), a medium one (16), and how often it came right after the units that were used
 * now; where little is known of those, from its share of all visits. The weights were fitted on recorded routing, and
 * half or twice of each changes little; docs/LAB.md has the figures. Next: store/store.h.
 */
#include "cache/cache.h"

#define SHORT_DECAY 0.5f        /* half-life of 1 token */
#define MEDIUM_DECAY 0.9576033f /* of 16                */
#define SHORT_WEIGHT 0.3f
#define MEDIUM_WEIGHT 0.3f
#define AFTER_WEIGHT 0.9f
#define P_FLOOR 0.05f          /* what was never seen may still come */
#define LONG_TOKENS_MAX 512.0f /* then old visits begin to fade */
#define LONG_PRIOR 8.0f        /* visits without use that everyone starts with */
#define AFTER_PRIOR 8.0f       /* visits that a pair's share must outweigh against the unit's own share */
#define AFTER_MAX 1024         /* visits a row of pairs remembers: then its counts are halved */
#define USED_MAX 64            /* units of a visit that pairs are counted for */

typedef struct unit {
    uint32_t layer;
    uint32_t slot; /* or CACHE_NONE */
    uint32_t local; /* its number in its layer */
    uint8_t class;
    float foreseen; /* the probability of cache_expect, until its layer's visit; 0: none */
    float short_use, medium_use, uses, after;
    float later; /* layers from its layer's next visit to its next use, as expected: L*(1/p - 1) */
} unit;

typedef struct slot {
    uint32_t unit; /* or CACHE_NONE */
    uint32_t holds;
} slot;

typedef struct size_class {
    size_t slot_bytes, n_units;
    size_t first_slot, n_slots, offset; /* in the arena */
    size_t n_least;                     /* slots, at least */
    size_t n_usable, n_free;            /* slots within the limit; those of them that are empty */
} size_class;

typedef struct classes {
    size_class at[CACHE_CLASSES_MAX];
    size_t n, all_bytes, least_bytes; /* slots for all units; the fewest of each size */
} classes;

/* Of one layer with n units: how often unit b was used in the visit after one that used unit a. */
typedef struct pairs {
    uint16_t *counts; /* (n, n), row a */
    uint16_t *visits; /* (n): visits after a's use */
    uint32_t *last;   /* (USED_MAX): local numbers of the units of the last visit */
    size_t n_last;
} pairs;

struct cache {
    arena memory;
    unit *units;
    slot *slots;
    uint32_t *first_unit; /* (n_layers + 1): units in order of their layers */
    uint32_t *by_layer;   /* (n_units) */
    float *tokens;        /* (n_layers): seen by the long memory */
    pairs *pairs;         /* (n_layers) */
    float *shares;        /* scratch: (the most units of a layer) */
    size_t n_units, n_layers, n_slots, bytes;
    classes classes;
    uint32_t layer; /* being computed */
};

/* ---- classes ------------------------------------------------------------------------------------- */

/* A size belongs to a class whose slots are at most an eighth too large for it. */
static bool fits(const size_class *k, size_t bytes) { return bytes <= k->slot_bytes && bytes >= k->slot_bytes / 8 * 7; }

static size_class *class_of(classes *all, size_t bytes) {
    for (size_t i = 0; i < all->n; i++)
        if (fits(&all->at[i], bytes)) return &all->at[i];
    return NULL;
}

/* Largest sizes first, so that the others may join them. */
static err_code make_classes(classes *all, const cache_opts *o, err *e) {
    size_t below = SIZE_MAX;
    *all = (classes){0};
    for (;;) {
        size_t largest = 0;
        for (size_t i = 0; i < o->n_units; i++) {
            size_t bytes = align_up(o->bytes_of[i], o->align);
            if (bytes < below && bytes > largest && !class_of(all, bytes)) largest = bytes;
        }
        if (!largest) break;
        if (all->n == CACHE_CLASSES_MAX)
            return ERR(e, ERR_LIMIT, "weights of more than %d sizes, the next being %zu bytes", CACHE_CLASSES_MAX,
                       largest);
        all->at[all->n++].slot_bytes = below = largest;
    }
    for (size_t i = 0; i < o->n_units; i++) {
        size_class *k = class_of(all, align_up(o->bytes_of[i], o->align));
        ASSERT(o->bytes_of[i] > 0 && k);
        all->all_bytes += k->slot_bytes;
        if (k->n_units++ >= MAX(o->slots_min, 1)) continue;
        k->n_least++;
        all->least_bytes += k->slot_bytes;
    }
    return ERR_NONE;
}

/* Each class gets its share of the bytes, and at least slots_min (or a slot for each of its units). */
static err_code share_out(cache *c, size_t bytes_max, err *e) {
    size_t all = c->classes.all_bytes, least = c->classes.least_bytes;
    if (least > bytes_max)
        return ERR(e, ERR_MEMORY, "%zu bytes for weights that come and go are too few, wanted %zu at least", bytes_max,
                   least);
    size_t spare = MIN(bytes_max, all) - least;
    for (size_t i = 0; i < c->classes.n; i++) {
        size_class *k = &c->classes.at[i];
        size_t rest = (k->n_units - k->n_least) * k->slot_bytes;
        double part = all > least ? (double)rest / (double)(all - least) : 0;
        k->n_slots = MIN(k->n_least + (size_t)((double)spare * part) / k->slot_bytes, k->n_units);
        k->first_slot = c->n_slots;
        k->offset = c->bytes;
        k->n_free = k->n_usable = k->n_slots;
        c->n_slots += k->n_slots;
        c->bytes += k->n_slots * k->slot_bytes;
    }
    return ERR_NONE;
}

/* ---- open and close ------------------------------------------------------------------------------ */

static size_t units_in(const cache *c, size_t layer) { return c->first_unit[layer + 1] - c->first_unit[layer]; }

static void sort_by_layer(cache *c) {
    for (size_t i = 0; i < c->n_units; i++) c->first_unit[c->units[i].layer + 1]++;
    for (size_t l = 0; l < c->n_layers; l++) c->first_unit[l + 1] += c->first_unit[l];
    for (size_t i = 0; i < c->n_units; i++) c->by_layer[c->first_unit[c->units[i].layer]++] = (uint32_t)i;
    for (size_t l = c->n_layers; l > 0; l--) c->first_unit[l] = c->first_unit[l - 1];
    c->first_unit[0] = 0;
    for (size_t l = 0; l < c->n_layers; l++)
        for (size_t i = 0; i < units_in(c, l); i++)
            c->units[c->by_layer[c->first_unit[l] + i]].local = (uint32_t)i;
}

/* Counted first, so that no more address space is asked for. */
static size_t table_bytes(const cache_opts *o, size_t *most) {
    size_t bytes = sizeof(cache) + o->n_units * (sizeof(unit) + sizeof(slot) + sizeof(uint32_t)) +
                   (o->n_layers + 1) * (sizeof(uint32_t) + sizeof(float) + sizeof(pairs)) + 16 * 64;
    *most = 0;
    for (size_t l = 0; l < o->n_layers; l++) {
        size_t n = 0;
        for (size_t i = 0; i < o->n_units; i++) n += o->layer_of[i] == l;
        bytes += n * (n + 1) * sizeof(uint16_t) + USED_MAX * sizeof(uint32_t) + 3 * 16;
        *most = MAX(*most, n);
    }
    return bytes + *most * sizeof(float);
}

err_code cache_needs(const cache_opts *o, cache_need *out, err *e) {
    classes all;
    size_t most;
    err_code code = make_classes(&all, o, e);
    *out = (cache_need){table_bytes(o, &most), all.least_bytes};
    return code;
}

/* When the unit is expected after its layer's next visit. */
static void judge(const cache *c, unit *u) {
    float p = P_FLOOR + SHORT_WEIGHT * u->short_use + MEDIUM_WEIGHT * u->medium_use + AFTER_WEIGHT * u->after;
    p = MAX(p, u->foreseen);
    u->later = p < 1 ? (float)c->n_layers * (1 / p - 1) : 0;
}

static bool open_tables(cache *c, const cache_opts *o, size_t most) {
    c->units = arena_array(&c->memory, o->n_units, sizeof *c->units);
    c->slots = arena_array(&c->memory, o->n_units, sizeof *c->slots); /* at most one for each unit */
    c->by_layer = arena_array(&c->memory, o->n_units, sizeof *c->by_layer);
    c->first_unit = arena_array(&c->memory, o->n_layers + 1, sizeof *c->first_unit);
    c->tokens = arena_array(&c->memory, o->n_layers, sizeof *c->tokens);
    c->pairs = arena_array(&c->memory, o->n_layers, sizeof *c->pairs);
    c->shares = arena_array(&c->memory, most, sizeof *c->shares);
    if (!c->units || !c->slots || !c->by_layer || !c->first_unit || !c->tokens || !c->pairs || !c->shares) return false;
    for (size_t i = 0; i < o->n_units; i++) {
        ASSERT(o->layer_of[i] < o->n_layers);
        c->units[i] = (unit){.layer = o->layer_of[i], .slot = CACHE_NONE};
        judge(c, &c->units[i]);
        c->slots[i].unit = CACHE_NONE;
    }
    sort_by_layer(c);
    for (size_t l = 0; l < c->n_layers; l++) {
        size_t n = units_in(c, l);
        c->pairs[l].counts = arena_array(&c->memory, n * n, sizeof(uint16_t));
        c->pairs[l].visits = arena_array(&c->memory, n, sizeof(uint16_t));
        c->pairs[l].last = arena_array(&c->memory, USED_MAX, sizeof(uint32_t));
        if (!c->pairs[l].counts || !c->pairs[l].visits || !c->pairs[l].last) return false;
    }
    return true;
}

err_code cache_open(cache **out, const cache_opts *o, err *e) {
    *out = NULL;
    arena memory;
    size_t most;
    ASSERT(o->n_units > 0 && o->n_units < CACHE_NONE && o->n_layers > 0);
    err_code code = arena_open(&memory, MEM_ENGINE, table_bytes(o, &most), e);
    if (code) return code;
    cache *c = arena_alloc(&memory, sizeof *c, 64);
    bool whole = false;
    if (c) {
        c->memory = memory;
        c->n_units = o->n_units;
        c->n_layers = o->n_layers;
        whole = open_tables(c, o, most);
        memory = c->memory;
    }
    if (!whole) {
        arena_close(&memory);
        return ERR(e, ERR_MEMORY, "no memory to keep track of %zu units of weights", o->n_units);
    }
    if ((code = make_classes(&c->classes, o, e)) || (code = share_out(c, o->bytes_max, e))) {
        cache_close(c);
        return code;
    }
    for (size_t i = 0; i < c->n_units; i++)
        c->units[i].class = (uint8_t)(class_of(&c->classes, align_up(o->bytes_of[i], o->align)) - c->classes.at);
    *out = c;
    return ERR_NONE;
}

void cache_close(cache *c) {
    if (!c) return;
    arena memory = c->memory; /* the handle lies inside */
    arena_close(&memory);
}

size_t cache_bytes(const cache *c) { return c->bytes; }
size_t cache_slots(const cache *c) { return c->n_slots; }

size_t cache_free_bytes(const cache *c) {
    size_t bytes = 0;
    for (size_t i = 0; i < c->classes.n; i++) bytes += c->classes.at[i].n_free * c->classes.at[i].slot_bytes;
    return bytes;
}

static const size_class *class_at(const cache *c, uint32_t s) {
    const size_class *k = c->classes.at;
    ASSERT(s < c->n_slots);
    while (s >= k->first_slot + k->n_slots) k++;
    return k;
}

size_t cache_slot_bytes(const cache *c, uint32_t s) { return class_at(c, s)->slot_bytes; }

size_t cache_slot_offset(const cache *c, uint32_t s) {
    const size_class *k = class_at(c, s);
    return k->offset + (s - k->first_slot) * k->slot_bytes;
}

bool cache_slot_left(const cache *c, uint32_t s) {
    const size_class *k = class_at(c, s);
    return s - k->first_slot >= k->n_usable && c->slots[s].unit == CACHE_NONE;
}

size_t cache_limit(cache *c, size_t bytes_max, uint32_t *gone) {
    size_t n = 0, least = c->classes.least_bytes;
    double spare = (double)(MIN(MAX(bytes_max, least), c->bytes) - least), rest = (double)MAX(c->bytes - least, 1);
    for (size_t i = 0; i < c->classes.n; i++) {
        size_class *k = &c->classes.at[i];
        k->n_usable = k->n_least + (size_t)((double)(k->n_slots - k->n_least) * spare / rest);
        k->n_free = 0;
        for (size_t at = 0; at < k->n_slots; at++) {
            slot *s = &c->slots[k->first_slot + at];
            if (at >= k->n_usable && s->unit != CACHE_NONE && !s->holds) {
                gone[n++] = s->unit;
                c->units[s->unit].slot = CACHE_NONE;
                s->unit = CACHE_NONE;
            }
            k->n_free += at < k->n_usable && s->unit == CACHE_NONE;
        }
    }
    return n;
}

/* ---- the estimate --------------------------------------------------------------------------------- */

/* decay to the n-th power; a prompt's chunk counts as that many tokens at once. */
static float faded(float decay, size_t n) {
    float all = 1;
    for (; n; n >>= 1, decay *= decay)
        if (n & 1) all *= decay;
    return all;
}

/* Counts which units followed those of the layer's last visit, and remembers these. */
static void count_pairs(pairs *p, size_t n_layer_units, const cache *c, const uint32_t *units, size_t n) {
    for (size_t j = 0; j < p->n_last; j++) {
        uint16_t *row = p->counts + p->last[j] * n_layer_units;
        if (p->visits[p->last[j]] == AFTER_MAX) {
            p->visits[p->last[j]] /= 2;
            for (size_t i = 0; i < n_layer_units; i++) row[i] /= 2;
        }
        p->visits[p->last[j]]++;
        for (size_t i = 0; i < n; i++) row[c->units[units[i]].local]++;
    }
    p->n_last = MIN(n, (size_t)USED_MAX);
    for (size_t j = 0; j < p->n_last; j++) p->last[j] = c->units[units[j]].local;
}

/* How likely each unit of the layer comes in the next visit, given the units of this one. */
static void expect_after(cache *c, uint32_t layer) {
    const pairs *p = &c->pairs[layer];
    const uint32_t *ids = c->by_layer + c->first_unit[layer];
    size_t n = units_in(c, layer);
    float own = 1.0f / (c->tokens[layer] + LONG_PRIOR), left = p->n_last ? 0.0f : 1.0f;
    for (size_t i = 0; i < n; i++) c->shares[i] = 0;
    for (size_t j = 0; j < p->n_last; j++) {
        const uint16_t *row = p->counts + p->last[j] * n;
        float weight = 1.0f / (((float)p->visits[p->last[j]] + AFTER_PRIOR) * (float)p->n_last);
        for (size_t i = 0; i < n; i++) c->shares[i] += (float)row[i] * weight;
        left += AFTER_PRIOR * weight;
    }
    for (size_t i = 0; i < n; i++) {
        unit *u = &c->units[ids[i]];
        u->after = c->shares[i] + left * u->uses * own;
        judge(c, u);
    }
}

void cache_visit(cache *c, uint32_t layer, const uint32_t *units, const uint32_t *counts, size_t n, size_t n_tokens) {
    ASSERT(layer < c->n_layers && n_tokens > 0);
    c->layer = layer;
    float short_left = faded(SHORT_DECAY, n_tokens), medium_left = faded(MEDIUM_DECAY, n_tokens);
    float seen = c->tokens[layer] + (float)n_tokens;
    float long_left = seen > LONG_TOKENS_MAX ? LONG_TOKENS_MAX / seen : 1.0f;
    c->tokens[layer] = seen * long_left;
    for (uint32_t i = c->first_unit[layer]; i < c->first_unit[layer + 1]; i++) {
        unit *u = &c->units[c->by_layer[i]];
        u->foreseen = 0;
        u->short_use *= short_left;
        u->medium_use *= medium_left;
        u->uses *= long_left;
    }
    for (size_t i = 0; i < n; i++) {
        ASSERT(units[i] < c->n_units && c->units[units[i]].layer == layer);
        unit *u = &c->units[units[i]];
        float used = counts ? (float)counts[i] : 1.0f, share = used / (float)n_tokens;
        u->short_use += (1 - short_left) * share;
        u->medium_use += (1 - medium_left) * share;
        u->uses += used * long_left;
    }
    /* Of many tokens together nobody knows what followed what. */
    if (n_tokens == 1) count_pairs(&c->pairs[layer], units_in(c, layer), c, units, n);
    else c->pairs[layer].n_last = 0;
    expect_after(c, layer);
}

/* In layers from now: when the unit is expected to be used next. */
static float expected(const cache *c, const unit *u) {
    uint32_t n = (uint32_t)c->n_layers;
    return (float)(u->layer > c->layer ? u->layer - c->layer : u->layer + n - c->layer) + u->later;
}

void cache_expect(cache *c, uint32_t id, float p) {
    ASSERT(id < c->n_units);
    c->units[id].foreseen = p;
    judge(c, &c->units[id]);
}

void cache_export(const cache *c, float *tokens, float *uses) {
    for (size_t l = 0; l < c->n_layers; l++) tokens[l] = c->tokens[l];
    for (size_t i = 0; i < c->n_units; i++) uses[i] = c->units[i].uses;
}

void cache_import(cache *c, const float *tokens, const float *uses) {
    for (size_t l = 0; l < c->n_layers; l++) {
        float share = tokens[l] > CACHE_KNOWN_TOKENS ? CACHE_KNOWN_TOKENS / tokens[l] : 1.0f;
        c->tokens[l] = tokens[l] * share;
        for (uint32_t i = c->first_unit[l]; i < c->first_unit[l + 1]; i++)
            c->units[c->by_layer[i]].uses = uses[c->by_layer[i]] * share;
        expect_after(c, (uint32_t)l);
    }
}

/* ---- slots ----------------------------------------------------------------------------------------- */

uint32_t cache_find(const cache *c, uint32_t u) {
    ASSERT(u < c->n_units);
    return c->units[u].slot;
}

/* A free slot of the class, else that of the unit expected last; CACHE_NONE when all are held. */
static uint32_t pick(const cache *c, const size_class *k, float *when) {
    uint32_t best = CACHE_NONE;
    *when = -1;
    for (size_t i = k->first_slot; i < k->first_slot + k->n_usable; i++) {
        const slot *s = &c->slots[i];
        if (s->holds) continue;
        if (s->unit == CACHE_NONE) {
            *when = F32_INF;
            return (uint32_t)i;
        }
        if (k->n_free) continue;
        float at = expected(c, &c->units[s->unit]);
        if (at <= *when) continue;
        *when = at;
        best = (uint32_t)i;
    }
    return best;
}

uint32_t cache_place(cache *c, uint32_t id, bool spare, uint32_t *evicted) {
    ASSERT(id < c->n_units && c->units[id].slot == CACHE_NONE);
    unit *u = &c->units[id];
    size_class *k = &c->classes.at[u->class];
    float when;
    uint32_t s = pick(c, k, &when);
    *evicted = CACHE_NONE;
    if (s == CACHE_NONE || (spare && when <= expected(c, u))) return CACHE_NONE;
    if (c->slots[s].unit != CACHE_NONE) {
        *evicted = c->slots[s].unit;
        cache_drop(c, *evicted);
    }
    k->n_free--;
    c->slots[s].unit = id;
    return u->slot = s;
}

void cache_hold(cache *c, uint32_t s) {
    ASSERT(s < c->n_slots && c->slots[s].unit != CACHE_NONE);
    c->slots[s].holds++;
}

void cache_let_go(cache *c, uint32_t s) {
    ASSERT(s < c->n_slots && c->slots[s].holds > 0);
    c->slots[s].holds--;
}

void cache_drop(cache *c, uint32_t id) {
    ASSERT(id < c->n_units);
    uint32_t s = c->units[id].slot;
    if (s == CACHE_NONE) return;
    ASSERT(c->slots[s].holds == 0);
    size_class *k = &c->classes.at[c->units[id].class];
    k->n_free += s - k->first_slot < k->n_usable;
    c->slots[s].unit = CACHE_NONE;
    c->units[id].slot = CACHE_NONE;
}
