/* api_learnt.c: what a run learns and leaves to the next in the user's state folder: which experts a model's texts have
 * used, so that a cache knows from its first token who is worth keeping, and how fast a disk was, so that it is not
 * measured again at every start. Hints: whatever is wrong with a file, the model runs without it.
 *
 * A file: what it is and its version in eight letters, of what, two sizes, the values, a hash of all that. It is
 * replaced as a whole (plat_out_create), so that an end at any moment leaves the old one or the new one.
 */
#include "engine/engine_int.h"

typedef struct learnt_head {
    char magic[8];
    uint64_t identity;
    uint32_t n_layers, n_experts;
} learnt_head;

typedef struct learnt_file {
    char *at; /* head, values, hash */
    size_t bytes;
    learnt_head head;
    const char *consequence; /* of a file with anything wrong */
    char path[512];
} learnt_file;

/* ---- any of them ------------------------------------------------------------------------------------------- */

/* Room for a file NAME-IDENTITY of so many bytes of values; false where there is no place for it. */
static bool open_learnt(learnt_file *f, const char *name, size_t bytes) {
    char full[48];
    fmt(full, sizeof full, "%s-%016llx", name, (unsigned long long)f->head.identity);
    if (!plat_state_path(full, f->path, sizeof f->path)) return false;
    f->bytes = sizeof f->head + bytes + sizeof(uint64_t);
    f->at = mem_block(MEM_ENGINE, f->bytes + 1);
    return f->at != NULL;
}

static uint64_t hash_of(const learnt_file *f) { return hash_bytes(f->at, f->bytes - sizeof(uint64_t), 0); }

/* NULL, or what is wrong with the bytes read. */
static const char *flaw(const learnt_file *f, int64_t got) {
    size_t magic = sizeof f->head.magic;
    if (got < 0) return plat_error_name((int)got);
    if ((size_t)got >= magic && memcmp(f->at, f->head.magic, magic) != 0) return "of another version";
    if ((size_t)got != f->bytes || load_u64(f->at + f->bytes - sizeof(uint64_t)) != hash_of(f)) return "damaged";
    return memcmp(f->at, &f->head, sizeof f->head) ? "of another model" : NULL;
}

static void warn(leat_model *m, const learnt_file *f, const char *wrong) {
    engine_warn(m, "%s is %s: %s", f->path, wrong, f->consequence);
}

/* False where there is none, and with a warning where there is something wrong with it. */
static bool load_learnt(leat_model *m, const learnt_file *f) {
    plat_file *file;
    int error = plat_file_open(&file, f->path);
    const char *wrong = error ? plat_error_name(error) : NULL;
    if (error == PLAT_NOT_FOUND) return false;
    if (!error) {
        wrong = flaw(f, plat_file_read(file, 0, f->at, f->bytes + 1));
        plat_file_close(file);
    }
    if (wrong) warn(m, f, wrong);
    return !wrong;
}

/* Best effort: what cannot be kept is not worth a word. */
static void save_learnt(learnt_file *f) {
    plat_out *out;
    memcpy(f->at, &f->head, sizeof f->head);
    uint64_t hash = hash_of(f);
    memcpy(f->at + f->bytes - sizeof hash, &hash, sizeof hash);
    if (plat_out_create(&out, f->path, true)) return;
    plat_out_settle(out, plat_out_write(out, f->at, f->bytes));
}

/* ---- experts ------------------------------------------------------------------------------------------------- */

/* Of the header alone: nothing is read for it. Weights trained further use much the same experts. */
static uint64_t identify(const leat_model *m) {
    uint64_t hash = hash_bytes(m->name, cstr_len(m->name), gguf_total_bytes(m->file));
    for (size_t i = 0; i < gguf_tensor_count(m->file); i++) {
        const gguf_tensor *t = gguf_tensor_at(m->file, i);
        uint64_t facts[] = {t->type_id, t->dims[0], t->dims[1], t->dims[2], t->offset};
        hash = hash_bytes(t->name.ptr, t->name.len, hash_bytes(facts, sizeof facts, hash));
    }
    return hash;
}

static bool open_usage(const leat_model *m, learnt_file *f, store_usage *u) {
    if (!m->keep_learnt || !u->n_experts) return false;
    *f = (learnt_file){.head = {"leatuse1", identify(m), (uint32_t)u->n_layers, (uint32_t)u->n_experts},
                     .consequence = "experts are counted anew"};
    if (!open_learnt(f, "experts", (u->n_layers + u->n_experts) * sizeof(float))) return false;
    u->tokens = (float *)(void *)(f->at + sizeof f->head);
    u->uses = u->tokens + u->n_layers;
    return true;
}

static bool load_usage(leat_model *m, const learnt_file *f, const store_usage *u) {
    if (!load_learnt(m, f)) return false;
    for (size_t i = 0; i < u->n_layers + u->n_experts; i++)
        if (!(u->tokens[i] >= 0 && u->tokens[i] <= 1e6f)) {
            warn(m, f, "damaged");
            return false;
        }
    return true;
}

void engine_load_usage(leat_model *m) {
    learnt_file f;
    store_usage u;
    store_usage_size(m->weights, &u);
    if (!open_usage(m, &f, &u)) return;
    if (load_usage(m, &f, &u)) store_usage_set(m->weights, &u);
    mem_block_free(f.at);
}

#define HITS_TOKENS 64.0f /* fewer tokens say nothing of experts used rarely */

/* What is used most lies in memory: the n_most largest of n shares, over their sum. In place of sorting, the share that
 * so many are above is looked for. */
static float share_of_most(const float *shares, size_t n, size_t n_most) {
    float low = 0, high = 1, all = 0, most = 0;
    size_t above = 0;
    for (int i = 0; i < 24; i++) {
        float middle = (low + high) / 2;
        above = 0;
        for (size_t k = 0; k < n; k++) above += shares[k] > middle;
        *(above > n_most ? &low : &high) = middle;
    }
    above = 0;
    for (size_t k = 0; k < n; k++) {
        all += shares[k];
        most += shares[k] > high ? shares[k] : 0;
        above += shares[k] > high;
    }
    most += (float)(n_most - MIN(above, n_most)) * high;
    return all > 0 ? MIN(most / all, 1.0f) : 1.0f;
}

float engine_known_hits(leat_model *m, size_t n_experts, size_t n_slots) {
    learnt_file f;
    size_t n_layer = model_shape_of(m->model)->n_layer, each = n_experts / n_layer;
    store_usage u = {.n_layers = n_layer + 1, .n_experts = n_experts};
    float hits = -1;
    if (!open_usage(m, &f, &u)) return hits;
    bool known = load_usage(m, &f, &u);
    for (size_t i = 0; i < n_experts && known; i++) {
        known = u.tokens[i / each] >= HITS_TOKENS;
        u.uses[i] /= u.tokens[i / each];
    }
    if (known) hits = share_of_most(u.uses, n_experts, n_slots);
    mem_block_free(f.at);
    return hits;
}

void engine_save_usage(const leat_model *m) {
    learnt_file f;
    store_usage u;
    store_usage_size(m->weights, &u);
    if (store_mode_of(m->weights) != STORE_STREAMING || !open_usage(m, &f, &u)) return;
    store_usage_get(m->weights, &u);
    save_learnt(&f);
    mem_block_free(f.at);
}

/* ---- disks ----------------------------------------------------------------------------------------------------- */

#define DISK_STALE_NS (uint64_t)(7 * 86400 * 1000000000ull)
#define DISK_SEEN_BYTES ((uint64_t)256 << 20) /* read before a run's own speed says something */
#define DISK_OFF 3.0 /* times faster or slower than was kept: it is measured anew the next time */

enum { DISK_BYTES_S, DISK_DEPTH, DISK_WHEN_NS, DISK_VALUES };

/* By the file system, that is the device number, that the model's last part lies on, which is the one probed. */
static bool open_disk(const leat_model *m, learnt_file *f) {
    uint64_t id[2];
    if (!m->keep_learnt || plat_file_id(gguf_part_path(m->file, gguf_part_count(m->file) - 1), id)) return false;
    *f = (learnt_file){.head = {"leatdsk1", id[0], 0, 0}, .consequence = "the disk is measured anew"};
    return open_learnt(f, "disk", DISK_VALUES * sizeof(uint64_t));
}

void engine_load_disk(leat_model *m) {
    learnt_file f;
    if (!open_disk(m, &f)) return;
    if (load_learnt(m, &f)) {
        const char *values = f.at + sizeof f.head;
        double bytes_s = load_f64(values + 8 * DISK_BYTES_S);
        uint64_t depth = load_u64(values + 8 * DISK_DEPTH), when = load_u64(values + 8 * DISK_WHEN_NS);
        uint64_t now = plat_wall_ns();
        bool sound = bytes_s >= 1e3 && bytes_s <= 1e15 && depth && depth <= STORE_DEPTH_MAX;
        if (!sound) warn(m, &f, "damaged");
        else if (when <= now && now - when <= DISK_STALE_NS) store_know_disk(m->weights, bytes_s, (size_t)depth);
    }
    mem_block_free(f.at);
}

void engine_save_disk(const leat_model *m, double bytes_s, size_t depth) {
    learnt_file f;
    if (bytes_s <= 0 || !open_disk(m, &f)) return;
    uint64_t values[DISK_VALUES] = {[DISK_DEPTH] = depth, [DISK_WHEN_NS] = plat_wall_ns()};
    memcpy(&values[DISK_BYTES_S], &bytes_s, sizeof bytes_s);
    memcpy(f.at + sizeof f.head, values, sizeof values);
    save_learnt(&f);
    mem_block_free(f.at);
}

void engine_judge_disk(const leat_model *m) {
    learnt_file f;
    store_stats t = store_stats_of(m->weights);
    if (t.read_bytes < DISK_SEEN_BYTES || t.disk_bytes_s <= 0) return;
    /* Nobody takes in what has been read while something is computed: slow it was only where that was awaited. */
    double seen = (double)t.read_bytes * 1e9 / (double)MAX(t.busy_ns, 1);
    bool slower = seen * DISK_OFF < t.disk_bytes_s && t.stall_ns >= t.busy_ns / 2;
    if ((!slower && seen <= t.disk_bytes_s * DISK_OFF) || !open_disk(m, &f)) return;
    plat_file_remove(f.path);
    mem_block_free(f.at);
}

/* ---- warnings --------------------------------------------------------------------------------------------------- */

void engine_warn(leat_model *m, const char *format, ...) {
    size_t n = cstr_len(m->warning);
    if (n) n += fmt(m->warning + n, sizeof m->warning - n, "; ");
    va_list args;
    va_start(args, format);
    fmt_v(m->warning + n, sizeof m->warning - n, format, args);
    va_end(args);
}

const char *leat_model_warning(const leat_model *m) { return m->warning; }
