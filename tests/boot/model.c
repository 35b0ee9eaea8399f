/* model.c: boot-model PATH: a model of many experts, 160 MB of weights of which a token needs few, so that a guest with
 * less memory can stream it in an emulator. In three parts: PATH ends with -00001-of-00003.gguf.
 */
#include "gen/tiny.h"

#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: boot-model PATH\n");
        return 2;
    }
    tiny_spec spec = tiny_default("qwen3moe");
    spec.n_layer = 3;
    spec.n_expert = 128;
    spec.n_expert_used = 2;
    spec.n_ff_expert = 512;
    spec.type = spec.type2 = QUANT_Q8_0;
    spec.tok = TINY_TOK_SPM;
    spec.parts = 3;
    err e;
    if (!tiny_write_err(&spec, argv[1], &e)) return 0;
    fprintf(stderr, "boot-model: %s\n", e.text);
    return 1;
}
