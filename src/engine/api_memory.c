/* api_memory.c: how much memory the weights may take, and so how they are held. Decided once for a model, when its
 * first session is opened: only then is it known what context and activations take.
 */
#include "engine/engine_int.h"

/* What the counted memory does not show: the program itself, its stacks, the file's header in the page cache, the
 * kernel's part of the reads under way; a sampler, which comes later; page tables, 8 bytes for each 4096 where there
 * are no larger pages, of what is used of `ram` beside so many bytes that are not weights. */
static uint64_t overhead(const leat_model *m, uint64_t others, uint64_t ram) {
    uint64_t header = gguf_tensor_count(m->file) ? gguf_tensor_at(m->file, 0)->offset : 0;
    uint64_t used = MIN(ram, others + store_units_bytes(m->weights));
    return ((uint64_t)6 << 20) + engine_sampler_bytes(m) + MIN(header, (uint64_t)64 << 20) + used / 512;
}

static uint64_t draft_bytes(const leat_model *m) { return m->draft ? store_units_bytes(m->draft->weights) : 0; }

uint64_t engine_all_weights(const leat_model *m) { return store_units_bytes(m->weights) + draft_bytes(m); }

/* The draft, as far as the counted memory does not show it. */
static uint64_t draft_unread(const leat_model *m) { return m->draft ? store_unread_bytes(m->draft->weights) : 0; }

#define MIB(bytes) ((unsigned long long)((bytes) >> 20))
#define PATH_SHOWN 40 /* its end */

static err_code too_small(const leat_session *s, uint64_t ram, uint64_t others, uint64_t least, err *e) {
    const leat_model *m = s->model;
    uint64_t draft = draft_bytes(m), all = others + least;
    const char *asked = ram < m->ram_bytes ? " that are free here" : "";
    char seen[32], rest[32], besides[32], wanted[32], taken[128] = "";
    fmt_bytes(seen, sizeof seen, ram);
    if (m->draft) {
        str path = str_of(gguf_part_path(m->draft->file, 0));
        const char *shown = path.ptr + path.len - MIN(path.len, (size_t)PATH_SHOWN);
        while ((*shown & 0xC0) == 0x80) shown++; /* whole characters */
        fmt(taken, sizeof taken, ", of which the draft model %s takes %s and leaves %s,", shown,
            fmt_bytes(wanted, sizeof wanted, draft), fmt_bytes(rest, sizeof rest, ram - MIN(ram, draft)));
    }
    all += (all - MIN(all, ram)) / 256; /* what `others` grows by */
    return ERR(e, ERR_MEMORY,
               "%s of memory%s%s are too little: %s for context (%zu tokens), activations and tables, then %s for "
               "weights at least; %llu MiB would do",
               seen, asked, taken, fmt_bytes(besides, sizeof besides, others - draft), s->n_ctx,
               fmt_bytes(wanted, sizeof wanted, least), MIB(all) + 1);
}

/* Of `ram` bytes `others` are not for weights, and the tables of their parts, which are added: what streaming does with
 * the rest. */
static err_code plan_weights(const leat_session *s, uint64_t ram, uint64_t *others, store_plan *p, err *e) {
    const leat_model *m = s->model;
    uint64_t held = mem_bytes_total();
    *p = (store_plan){0};
    err_code code = model_split_units(m->model, e); /* else whole tensors are the least */
    *others += mem_bytes_total() - held;
    if (!code) code = store_plan_within(m->weights, (size_t)MIN(ram - MIN(ram, *others), (uint64_t)SIZE_MAX), p, e);
    return p->least_bytes ? too_small(s, ram, *others, p->least_bytes, e) : code;
}

/* What could be held: what is free, and what is held already. A context still unwritten counts as free. */
static uint64_t within_reach(uint64_t available) {
    uint64_t held = mem_bytes_total(), resident = plat_mem_resident();
    return available + MIN(held, resident);
}

uint64_t engine_ram(const leat_model *m) {
    return m->ram_bytes ? MIN(m->ram_bytes, within_reach(plat_mem_available())) : 0;
}

/* Of `ram` bytes, or of what is free, what is not for weights. */
static uint64_t all_but_weights(const leat_model *m, uint64_t *ram) {
    uint64_t held = mem_bytes_total() + draft_unread(m), available = *ram ? 0 : plat_mem_available();
    if (!*ram) *ram = within_reach(available) - available / 16; /* it shrinks as others work: a part stays theirs */
    return held + overhead(m, held, *ram);
}

static uint64_t bytes_for_weights(const leat_model *m) {
    uint64_t ram = MIN(m->ceiling_bytes, plat_mem_total()), bytes = ram - MIN(ram, m->other_bytes);
    return bytes - bytes / 16 * m->squeezed;
}

static bool resize(leat_model *m) {
    m->weights_bytes = bytes_for_weights(m);
    return store_resize(m->weights, (size_t)m->weights_bytes);
}

/* What is not for weights has changed: the weights give way, where they can. */
static bool share_anew(leat_model *m) {
    uint64_t held = mem_bytes_total() + draft_unread(m), weights = store_held_bytes(m->weights);
    weights += m->table_bytes;
    uint64_t others = held - MIN(held, weights);
    others += overhead(m, others, m->ram_bytes);
    if (store_mode_of(m->weights) != STORE_STREAMING)
        return !m->ram_bytes || others + store_units_bytes(m->weights) <= engine_ram(m);
    m->other_bytes = others;
    return resize(m);
}

void engine_session_closed(leat_model *m) {
    if (store_mode_of(m->weights) == STORE_STREAMING) share_anew(m);
}

#define CHUNK_SHORT 256
#define CHUNK_LONG 512
#define CHUNK_LONG_RAM ((uint64_t)512 << 20) /* below it the rows of a long one take too much of the memory */

/* What is streamed is read once a step, and an expert is unpacked once for those rows of a step that chose it. */
size_t engine_chunk_within(const leat_model *m, uint64_t ram, bool map) {
    if (!ram) ram = plat_mem_available();
    bool streams = !map && engine_all_weights(m) > ram;
    return ram >= CHUNK_LONG_RAM && (streams || model_shape_of(m->model)->n_expert) ? CHUNK_LONG : CHUNK_SHORT;
}

int32_t leat_plan_chunk(const leat_model *m, uint64_t ram) { return (int32_t)engine_chunk_within(m, ram, false); }

static err_code place_weights(const leat_session *s, err *e) {
    leat_model *m = s->model;
    char asked[32], there[32];
    if (m->map || m->guesses) return ERR_NONE;
    if (m->placed)
        return share_anew(m) ? ERR_NONE
                             : ERR(e, ERR_MEMORY,
                                   "%s of memory are too little for one more session of %zu tokens, or none is given",
                                   fmt_bytes(asked, sizeof asked, m->ram_bytes), s->n_ctx);
    uint64_t ram = engine_ram(m);
    *m->warning = 0;
    if (ram < m->ram_bytes)
        engine_warn(m, "%s of memory were asked for, only %s are free here",
                    fmt_bytes(asked, sizeof asked, m->ram_bytes), fmt_bytes(there, sizeof there, ram));
    uint64_t others = all_but_weights(m, &ram), weights = store_unread_bytes(m->weights);
    if (weights <= ram && others <= ram - weights) {
        m->placed = true;
        store_expect_all(m->weights);
        return ERR_NONE;
    }
    store_plan p;
    err_code code = plan_weights(s, ram, &others, &p, e);
    if (code) return code;
    uint64_t held = mem_bytes_total();
    engine_load_disk(m);
    if ((code = store_stream(m->weights, (size_t)(ram - others), e))) return code;
    m->placed = true;
    engine_load_usage(m);
    store_disk disk = store_disk_of(m->weights);
    if (!disk.known) engine_save_disk(m, disk.bytes_s, disk.depth);
    m->table_bytes = mem_bytes_total() - held - store_held_bytes(m->weights);
    m->other_bytes = others;
    m->ram_bytes = m->ceiling_bytes = ram;
    m->weights_bytes = ram - others;
    return ERR_NONE;
}

err_code engine_place_weights(leat_session *s, err *e) {
    const leat_model *m = s->model;
    err_code code = place_weights(s, e);
    yield_hook yield = {s->yield, s->user};
    if (!code && m->draft) code = store_read_all(m->draft->weights, m->ram_bytes > 0, &yield, e);
    /* Without mapping: what were read later would be in the page cache as well. */
    if (!code && m->ram_bytes && !m->guesses) code = store_read_all(m->weights, true, &yield, e);
    return code;
}

#define LOOK_NS 1000000000u
#define PRESSURE_HIGH 0.10 /* of the time somebody waits for memory: give some back */
#define PRESSURE_LOW 0.01
#define SQUEEZED_MOST 12

/* For a sixteenth more, beside what may be read already and was not yet: else it would have to go again. */
static bool has_room(const leat_model *m) {
    uint64_t more = m->weights_bytes / (16 - m->squeezed) + store_unfilled_bytes(m->weights);
    return plat_mem_available() >= more;
}

void leat_model_watch(leat_model *m) {
    if (!m || store_mode_of(m->weights) != STORE_STREAMING) return;
    uint64_t now = plat_time_ns();
    if (now - m->looked_ns < LOOK_NS) return;
    m->looked_ns = now;
    double pressure = plat_mem_pressure();
    if (pressure > PRESSURE_HIGH) m->squeezed = MIN(m->squeezed + 1, SQUEEZED_MOST);
    else if (pressure < PRESSURE_LOW && m->squeezed && has_room(m)) m->squeezed--;
    if (bytes_for_weights(m) != m->weights_bytes) resize(m);
}

void leat_model_resize(leat_model *m, uint64_t ram_bytes) {
    if (store_mode_of(m->weights) != STORE_STREAMING) return;
    m->ceiling_bytes = MIN(ram_bytes, m->ram_bytes);
    resize(m);
}

leat_code leat_plan_memory(const leat_session *s, uint64_t ram, leat_plan *out, leat_error *error) {
    leat_model *m = s->model;
    err *e = err_of(error);
    store_plan p;
    if (store_mode_of(m->weights) != STORE_MAPPED)
        return (leat_code)ERR(e, ERR_ARGUMENT, "a plan is made of mapped weights only");
    uint64_t others = all_but_weights(m, &ram);
    *m->warning = 0;
    err_code code = plan_weights(s, ram, &others, &p, e);
    if (code) return (leat_code)code;
    *out = (leat_plan){.fits = p.fits,
                       .ram_bytes = ram,
                       .other_bytes = others,
                       .weight_bytes = store_units_bytes(m->weights),
                       .n_dense = (int32_t)p.n_dense,
                       .n_pinned = (int32_t)p.n_pinned,
                       .n_experts = (int32_t)p.n_experts,
                       .n_slots = (int32_t)p.n_slots,
                       .pinned_bytes = p.pinned_bytes,
                       .ring_bytes = p.ring_bytes,
                       .slot_bytes = p.slot_bytes,
                       .scan_bytes = p.scan_bytes,
                       .pool_bytes = p.pool_bytes,
                       .routed_bytes = p.routed_bytes,
                       .known_hits = engine_known_hits(m, p.n_experts, p.n_slots)};
    return LEAT_OK;
}

leat_code leat_measure_disk(const leat_session *s, double *bytes_s, int32_t *depth, leat_error *error) {
    size_t n = 0;
    if (store_mode_of(s->model->weights) != STORE_MAPPED)
        return (leat_code)ERR(err_of(error), ERR_ARGUMENT, "the disk is measured beside mapped weights only");
    err_code code = store_measure_disk(s->model->weights, bytes_s, &n, err_of(error));
    *depth = (int32_t)n;
    if (!code) engine_save_disk(s->model, *bytes_s, n);
    return (leat_code)code;
}

const char *leat_session_memory(const leat_session *s, char *buf, size_t cap) {
    if (cap) store_describe(s->model->weights, buf, cap);
    return buf;
}

void leat_session_await_memory(leat_session *s) {
    if (store_mode_of(s->model->weights) != STORE_STREAMING) return;
    store_await_memory(s->model->weights);
    model_graph_touch(s->graph);
}

leat_stats leat_session_stats(const leat_session *s) {
    store_stats t = store_stats_of(s->model->weights);
    return (leat_stats){.reads = t.reads,
                        .read_bytes = t.read_bytes,
                        .expert_hits = t.hits,
                        .expert_misses = t.misses,
                        .experts_ahead = t.ahead,
                        .experts_ahead_used = t.ahead_used,
                        .stall_ns = t.stall_ns,
                        .busy_ns = t.busy_ns,
                        .disk_bytes_s = t.disk_bytes_s,
                        .weights_bytes = store_held_bytes(s->model->weights),
                        .held_bytes = mem_bytes_total(),
                        .held_peak_bytes = mem_bytes_peak_total(),
                        .major_faults = plat_major_faults(),
                        .disk_bytes = plat_disk_bytes()};
}
