/* api_usage.c: which experts a model's texts have used, kept from run to run in the user's state folder, so that a
 * cache knows from its first token who is worth keeping. A hint: whatever is wrong with the file, the model runs
 * without it.
 *
 * The file: "leatuse1"; the model's identity, layers, experts; tokens seen by each layer; uses of each expert; a hash
 * of all that. It is written aside, synced and renamed, so that an end at any moment leaves the old one or the new one.
 */
#include "engine/engine_int.h"

#define MAGIC "leatuse1"

typedef struct usage_head {
    char magic[8];
    uint64_t identity;
    uint32_t n_layers, n_experts;
} usage_head;

typedef struct usage_file {
    char *at; /* head, tokens, uses, hash */
    size_t bytes;
    store_usage usage;
    char path[512];
} usage_file;

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

/* Room for a file of this model; false where there is nothing to keep, or no place for it. */
static bool open_file(const leat_model *m, usage_file *f, usage_head *head) {
    char name[32];
    *f = (usage_file){0};
    store_usage_size(m->weights, &f->usage);
    if (!m->keep_usage || !f->usage.n_experts) return false;
    *head = (usage_head){.identity = identify(m), .n_layers = (uint32_t)f->usage.n_layers,
                         .n_experts = (uint32_t)f->usage.n_experts};
    memcpy(head->magic, MAGIC, sizeof head->magic);
    fmt(name, sizeof name, "experts-%016llx", (unsigned long long)head->identity);
    if (!plat_state_path(name, f->path, sizeof f->path - 8)) return false;
    f->bytes = sizeof *head + (f->usage.n_layers + f->usage.n_experts) * sizeof(float) + sizeof(uint64_t);
    if (!(f->at = mem_block(MEM_ENGINE, f->bytes + 1))) return false;
    f->usage.tokens = (float *)(void *)(f->at + sizeof *head);
    f->usage.uses = f->usage.tokens + f->usage.n_layers;
    return true;
}

static uint64_t hash_of(const usage_file *f) { return hash_bytes(f->at, f->bytes - sizeof(uint64_t), 0); }

/* NULL, or what is wrong with the bytes read. */
static const char *flaw(const usage_file *f, const usage_head *want, int64_t got) {
    const store_usage *u = &f->usage;
    if (got < 0) return plat_error_name((int)got);
    if ((size_t)got >= sizeof MAGIC - 1 && memcmp(f->at, MAGIC, sizeof MAGIC - 1) != 0) return "of another version";
    if ((size_t)got != f->bytes || load_u64(f->at + f->bytes - sizeof(uint64_t)) != hash_of(f)) return "damaged";
    if (memcmp(f->at, want, sizeof *want) != 0) return "of another model";
    for (size_t i = 0; i < u->n_layers + u->n_experts; i++)
        if (!(u->tokens[i] >= 0 && u->tokens[i] <= 1e6f)) return "damaged";
    return NULL;
}

void engine_load_usage(leat_model *m) {
    usage_file f;
    usage_head want;
    plat_file *file;
    if (!open_file(m, &f, &want)) return;
    int error = plat_file_open(&file, f.path);
    if (!error) {
        const char *wrong = flaw(&f, &want, plat_file_read(file, 0, f.at, f.bytes + 1));
        plat_file_close(file);
        if (!wrong) store_usage_set(m->weights, &f.usage);
        else fmt(m->warning, sizeof m->warning, "%s is %s: experts are counted anew", f.path, wrong);
    } else if (error != PLAT_NOT_FOUND) {
        fmt(m->warning, sizeof m->warning, "%s: %s: experts are counted anew", f.path, plat_error_name(error));
    }
    mem_block_free(f.at);
}

/* Best effort: what cannot be kept is not worth a word. */
void engine_save_usage(const leat_model *m) {
    usage_file f;
    usage_head head;
    char aside[520];
    plat_out *out;
    if (store_mode_of(m->weights) != STORE_STREAMING || !open_file(m, &f, &head)) return;
    memcpy(f.at, &head, sizeof head);
    store_usage_get(m->weights, &f.usage);
    uint64_t hash = hash_of(&f);
    memcpy(f.at + f.bytes - sizeof hash, &hash, sizeof hash);
    fmt(aside, sizeof aside, "%s.new", f.path);
    if (!plat_out_create_private(&out, aside)) {
        int error = plat_out_write(out, f.at, f.bytes), closed = plat_out_close(out, true);
        if (error || closed || plat_file_rename(aside, f.path)) plat_file_remove(aside);
    }
    mem_block_free(f.at);
}

const char *leat_model_warning(const leat_model *m) { return m->warning; }
