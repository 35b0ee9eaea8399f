/* api_saved.c: sessions as files, and what tells one model file from another. Next: kv/kv_file.c.
 */
#include "engine/engine_int.h"

#define SAMPLES 64
#define SAMPLE_BYTES 4096

/* Of the header, all its keys included, and of samples from the weights: two trainings of one model may have the same
 * header. */
static err_code hash_model(leat_model *m, uint64_t *out, err *e) {
    uint64_t hash = gguf_total_bytes(m->file), n = gguf_tensor_count(m->file);
    char *sample = mem_block(MEM_ENGINE, SAMPLE_BYTES);
    err_code code = sample ? ERR_NONE : ERR(e, ERR_MEMORY, "no memory to tell models apart");
    for (size_t i = 0; i < gguf_kv_count(m->file); i++) {
        const gguf_kv *kv = gguf_kv_at(m->file, i);
        hash = hash_bytes(kv->data, kv->data_bytes, hash_bytes(kv->key.ptr, kv->key.len, hash + kv->kind));
    }
    for (size_t i = 0; i < n; i++) {
        const gguf_tensor *t = gguf_tensor_at(m->file, i);
        uint64_t facts[] = {t->type_id, t->dims[0], t->dims[1], t->dims[2], t->dims[3], t->offset};
        hash = hash_bytes(t->name.ptr, t->name.len, hash_bytes(facts, sizeof facts, hash));
    }
    for (size_t part = 0; part < gguf_part_count(m->file) && !code; part++) {
        plat_file *file = gguf_part_file(m->file, part);
        uint64_t bytes = plat_file_bytes(file);
        for (uint64_t i = 0; i < SAMPLES && !code; i++) {
            uint64_t at = bytes / SAMPLES * i;
            size_t wanted = (size_t)MIN(bytes - at, (uint64_t)SAMPLE_BYTES);
            int64_t got = plat_file_read(file, at, sample, wanted);
            hash = hash_bytes(sample, (size_t)MAX(got, 0), hash);
            if (got < (int64_t)wanted) /* what is there for now tells nothing: it would be taken for another model */
                code = ERR(e, ERR_IO, "%.150s: %s", gguf_part_path(m->file, part),
                           got < 0 ? plat_error_name((int)got) : "it ends early");
        }
    }
    mem_block_free(sample);
    *out = hash | 1; /* never 0 */
    return code;
}

static err_code identify(const leat_session *s, kv_identity *who, err *e) {
    leat_model *m = s->model;
    if (!m->identity) {
        err_code code = hash_model(m, &m->identity, e);
        if (code) return m->identity = 0, code;
    }
    *who = (kv_identity){.model = m->identity, .n_vocab = leat_model_n_vocab(m)};
    fmt(who->isa, sizeof who->isa, "%s", kern_name(s->kern));
    return ERR_NONE;
}

leat_code leat_session_save(const leat_session *s, const char *path, const char *note, size_t note_bytes,
                            leat_error *error) {
    kv_identity who;
    err_code code = identify(s, &who, err_of(error));
    if (!code) code = kv_save(s->sequence, path, &who, s->tokens, s->roles, (str){note, note_bytes}, err_of(error));
    return (leat_code)code;
}

leat_code leat_session_load(leat_session *s, const char *path, leat_error *error) {
    kv_identity who;
    err_code code = identify(s, &who, err_of(error));
    if (code) return (leat_code)code;
    while (engine_kept_drop(s)) {} /* the file wants their pages */
    code = kv_load(s->sequence, path, &who, s->tokens, s->roles, s->n_ctx, err_of(error));
    if (!code || !kv_seq_length(s->sequence)) s->has_logits = false;
    return (leat_code)code;
}

leat_code leat_saved_note(const char *path, char *buf, size_t cap, size_t *bytes, leat_error *error) {
    return (leat_code)kv_load_note(path, buf, cap, bytes, err_of(error));
}

_Static_assert(LEAT_NOTE_BYTES_MAX == KV_NOTE_BYTES_MAX, "one limit");
