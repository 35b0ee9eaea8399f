/* models.c: writes the tiny models that the command-line tests use: `tiny-models FOLDER`. */
#include "check.h"
#include "gen/tiny.h"

#include <string.h>

static void write_model(const char *folder, const char *name, const tiny_spec *spec) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    tiny_write(spec, path);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: tiny-models FOLDER\n"), 2;
    tiny_spec demo = tiny_default("llama");
    demo.tok = TINY_TOK_SPM;
    demo.n_ctx = 512;
    demo.type = QUANT_Q8_0;
    write_model(argv[1], "demo.gguf", &demo);

    tiny_spec bpe = tiny_default("qwen3");
    bpe.tok = TINY_TOK_BPE;
    bpe.type = QUANT_Q4_K;
    bpe.chat_template = "{{ messages }}";
    write_model(argv[1], "bpe.gguf", &bpe);

    tiny_spec ids = tiny_default("qwen2moe"); /* no tokenizer: ids in, ids out */
    ids.n_ctx = 64;
    write_model(argv[1], "ids.gguf", &ids);

    tiny_spec parts = tiny_default("llama");
    parts.tok = TINY_TOK_SPM;
    parts.parts = 3;
    write_model(argv[1], "parts-00001-of-00003.gguf", &parts);

    tiny_spec large = tiny_default("llama"); /* large enough to be interrupted while it is quantised */
    large.n_layer = 1;
    large.n_vocab = 24000;
    large.type = QUANT_BF16;
    write_model(argv[1], "large.gguf", &large);
    return 0;
}
