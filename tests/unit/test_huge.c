/* test_huge.c: a model of more than 100 GB, of which there is the header alone: it opens, a plan is made of it, and
 * hardly anything of the file is read for that.
 */
#include "gguf_bytes.h"
#include "leat.h"

enum { LAYERS = 64, EXPERTS = 8, EMBD = 4096, FF = 32768, VOCAB = 256 };

static uint64_t next; /* offset of the next tensor's data */

static void add(bytes *b, int layer, const char *name, uint64_t d0, uint64_t d1, uint64_t d2, quant_id type) {
    char full[64];
    size_t data;
    uint64_t dims[3] = {d0, d1, d2};
    if (layer < 0) snprintf(full, sizeof full, "%s.weight", name);
    else snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);
    add_tensor(b, full, d2 ? 3 : d1 ? 2 : 1, dims, type, next);
    CHECK(quant_bytes(quant_find(type), d0 * MAX(d1, 1) * MAX(d2, 1), &data));
    next = (next + data + 31) / 32 * 32;
}

static void add_header(bytes *b) {
    next = 0;
    add_start(b, 3, 3 + LAYERS * 10, 10);
    add_key(b, "general.architecture", GGUF_STR);
    add_str(b, "llama");
    add_key_u32(b, "llama.vocab_size", VOCAB);
    add_key_u32(b, "llama.context_length", 4096);
    add_key_u32(b, "llama.embedding_length", EMBD);
    add_key_u32(b, "llama.block_count", LAYERS);
    add_key_u32(b, "llama.feed_forward_length", FF);
    add_key_u32(b, "llama.attention.head_count", 32);
    add_key(b, "llama.attention.layer_norm_rms_epsilon", GGUF_F32);
    add_bytes(b, &(float){1e-5f}, sizeof(float));
    add_key_u32(b, "llama.expert_count", EXPERTS);
    add_key_u32(b, "llama.expert_used_count", 2);
    add(b, -1, "token_embd", EMBD, VOCAB, 0, QUANT_Q4_K);
    add(b, -1, "output_norm", EMBD, 0, 0, QUANT_F32);
    add(b, -1, "output", EMBD, VOCAB, 0, QUANT_Q4_K);
    for (int l = 0; l < LAYERS; l++) {
        add(b, l, "attn_norm", EMBD, 0, 0, QUANT_F32);
        add(b, l, "ffn_norm", EMBD, 0, 0, QUANT_F32);
        add(b, l, "attn_q", EMBD, EMBD, 0, QUANT_Q4_K);
        add(b, l, "attn_k", EMBD, EMBD, 0, QUANT_Q4_K);
        add(b, l, "attn_v", EMBD, EMBD, 0, QUANT_Q4_K);
        add(b, l, "attn_output", EMBD, EMBD, 0, QUANT_Q4_K);
        add(b, l, "ffn_gate_inp", EMBD, EXPERTS, 0, QUANT_F32);
        add(b, l, "ffn_gate_exps", EMBD, FF, EXPERTS, QUANT_Q4_K);
        add(b, l, "ffn_up_exps", EMBD, FF, EXPERTS, QUANT_Q4_K);
        add(b, l, "ffn_down_exps", FF, EMBD, EXPERTS, QUANT_Q4_K);
    }
    add_data(b, 32, 0);
}

/* Bytes of the file that are in the page cache, near the norms: where a layer begins. */
static uint64_t cached_bytes(int fd, uint64_t size) {
    enum { WINDOW = 32 << 20, PAGE = 4096 };
    static unsigned char in[WINDOW / PAGE];
    uint64_t n = 0;
    for (uint64_t l = 0; l < LAYERS; l++) {
        void *map = mmap(NULL, WINDOW, PROT_READ, MAP_SHARED, fd, (off_t)(size / LAYERS * l / PAGE * PAGE));
        CHECK(map != MAP_FAILED && mincore(map, WINDOW, in) == 0);
        for (size_t i = 0; i < WINDOW / PAGE; i++) n += in[i] & 1 ? PAGE : 0;
        munmap(map, WINDOW);
    }
    return n;
}

TEST(huge_headers_open_without_reading_weights) {
    static bytes b;
    const char *path = test_path(6, "huge.gguf");
    add_header(&b);
    write_file(path, b.at, b.n);
    uint64_t size = b.n + next;
    CHECK(size > (uint64_t)100 << 30);
    if (truncate(path, (off_t)size) != 0) test_skip("no sparse files of 100 GB here");
    FILE *f = fopen(path, "rb");
    CHECK(f);
    leat_model *m;
    leat_session *s;
    leat_error e;
    leat_plan p;
    CHECK_MSG(leat_model_open(&m, path, &(leat_model_options){.map = true}, &e) == LEAT_OK, "%s", e.text);
    leat_session_options options = {.n_ctx = 64, .n_threads = 1};
    CHECK_MSG(leat_session_open(&s, m, &options, &e) == LEAT_OK, "%s", e.text);
    CHECK_MSG(leat_plan_memory(s, (uint64_t)16 << 30, &p, &e) == LEAT_OK, "%s", e.text);
    CHECK(!p.fits && p.n_experts == LAYERS * EXPERTS && p.n_slots > 2 && p.n_pinned == p.n_dense);
    leat_session_close(s);
    leat_model_close(m);
    /* The header, and the page of each norm and what the system reads around it. */
    uint64_t read = cached_bytes(fileno(f), size);
    CHECK_MSG(read < 64 << 20, "%llu bytes of it were read", (unsigned long long)read);
    fclose(f);
    remove(path);
}
