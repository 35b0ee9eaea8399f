/* take_errors.c: prints the table of test_encode_error.c: the errors of a live libggml-base (how: README.md). */
#include "../../unit/encode_rows.h"
#include "quant/quant.h"

#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    void *lib = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    size_t (*quantize)(int, const float *, void *, int64_t, int64_t, int64_t, const float *) = NULL;
    if (lib) *(void **)&quantize = dlsym(lib, "ggml_quantize_chunk");
    if (!quantize) {
        fprintf(stderr, "usage: take_errors DIR/libggml-base.so\n");
        return 1;
    }
    for (uint32_t id = 0; id < QUANT_ID_MAX; id++) {
        const quant_type *t = quant_find(id);
        if (!t || !t->unpack) continue;
        printf("    {\"%s\", {", t->name);
        for (int k = 0; k < 4; k++) {
            static encode_rows d;
            static uint8_t blocks[sizeof d.x];
            static float y[ROWS_N * ROWS_N_IN];
            encode_rows_draw(&d, k / 2);
            double error = 0;
            if (k % 2 || !t->needs_importance) {
                quantize((int)id, d.x, blocks, 0, ROWS_N, ROWS_N_IN, k % 2 ? d.importance : NULL);
                t->decode(blocks, y, ROWS_N * ROWS_N_IN);
                error = encode_rows_error(&d, y, k % 2);
            }
            printf("%s%.5f", k ? ", " : "", error);
        }
        printf("}},\n");
    }
    return 0;
}
