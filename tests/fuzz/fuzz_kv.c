/* fuzz_kv.c: any bytes as a saved session: loaded as they are, and once more with both checksums made right, since no
 * search would guess them. What loads has tokens of the vocabulary; what does not says why, and leaves a sequence that
 * can be used. The kernels are not linked, but for what they say of the size of a page (attn_shape.c).
 */
#include "fuzz/fuzz.h"
#include "kv/kv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_CTX = 3 * KV_PAGE, N_VOCAB = 100, HEAD = 96 };

static void load(kv_seq *s, const char *path) {
    const kv_identity who = {.model = 0x6c656174, .isa = "scalar", .n_vocab = N_VOCAB};
    static int32_t tokens[N_CTX];
    static uint8_t roles[N_CTX];
    char note[64];
    size_t bytes = 0;
    err e = {0};
    if (kv_load_note(path, note, sizeof note, &bytes, &e)) require(e.text[0] != 0, "an error says why");
    else require(bytes <= KV_NOTE_BYTES_MAX, "the note is within its limit");
    err_code code = kv_load(s, path, &who, tokens, roles, N_CTX, &e);
    if (code) {
        require(code == e.code && code != ERR_INTERNAL && e.text[0] != 0, "an error says why");
        kv_seq_truncate(s, 0);
    }
    for (size_t i = 0; i < kv_seq_length(s); i++)
        require(tokens[i] >= 0 && tokens[i] < N_VOCAB && roles[i] <= 1, "tokens are of the vocabulary");
    require(kv_seq_length(s) <= N_CTX && !kv_seq_reserve(s, N_CTX - kv_seq_length(s), &e), "the rest can be used");
    kv_seq_truncate(s, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const kv_shape shape = {.n_layer = 1, .n_head_kv = 1, .dim_k = 4, .dim_v = 4, .type_k = QUANT_F16,
                            .type_v = QUANT_F16, .window = size % 2 ? KV_PAGE : 0};
    kv_cache *c;
    kv_seq *s = NULL;
    require(!kv_open(&c, &shape, N_CTX, N_CTX, 1, NULL) && !kv_seq_open(c, &s, NULL), "a cache");
    load(s, fuzz_file(data, size));
    uint64_t note = size > HEAD + 8 ? load_u64(data + 48) : UINT64_MAX;
    if (note <= size - HEAD - 8 && size > HEAD + 8) {
        uint8_t *copy = malloc(size);
        require(copy != NULL, "memory");
        memcpy(copy, data, size);
        store_u64(copy + 88, hash_bytes(copy + HEAD, (size_t)note, hash_bytes(copy, 88, 0)));
        /* The parts that kv_save hashes one after the other. */
        uint64_t n = load_u64(copy + 40), hash = hash_bytes(copy, HEAD, 0), at = HEAD;
        uint64_t page = load_u32(copy + 12), first = load_u32(copy + 80), parts[2] = {note, 4 * n};
        uint64_t n_pages = div_up((size_t)n, KV_PAGE);
        if (n <= N_CTX && first <= n_pages && HEAD + note + 5 * n + (n_pages - first) * page + 8 == size) {
            for (size_t i = 0; i < 2; i++) {
                if (parts[i]) hash = hash_bytes(copy + at, (size_t)parts[i], hash);
                at += parts[i];
            }
            if (n) hash = hash_bytes(copy + at, (size_t)n, hash);
            for (at += n; at + 8 < size && page; at += page) hash = hash_bytes(copy + at, (size_t)page, hash);
            store_u64(copy + size - 8, hash);
        }
        load(s, fuzz_file(copy, size));
        free(copy);
    }
    kv_close(c);
    require(mem_bytes(MEM_KV) == 0, "nothing stays behind");
    return 0;
}
