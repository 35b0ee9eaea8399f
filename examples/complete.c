/* complete.c: a text completed with the library, always by the likeliest token.
 *     cc -Iinclude examples/complete.c build/libleat.a build/libleat_posix.a -pthread -o complete
 *     ./complete model.gguf "Once upon a time" */
#include "leat.h"
#include <stdio.h>
#include <string.h>

enum { TOKENS_MAX = 4096, GENERATE = 64 };

int main(int argc, char **argv) {
    leat_model *model = NULL;
    leat_session *session = NULL;
    leat_sampler *sampler = NULL;
    leat_error error = {0};
    leat_sampler_options options;
    int32_t tokens[TOKENS_MAX];
    size_t n = 0;
    if (argc != 3) return fprintf(stderr, "usage: %s MODEL TEXT\n", argv[0]), 2;
    leat_sampler_defaults(&options);
    options.temperature = 0;
    if (leat_model_open(&model, argv[1], NULL, &error)) goto done;
    if (leat_session_open(&session, model, NULL, &error)) goto done;
    if (leat_sampler_open(&sampler, model, &options, &error)) goto done;
    if (leat_tokenize(model, argv[2], strlen(argv[2]), true, true, tokens, TOKENS_MAX, &n, &error)) goto done;
    if (leat_feed(session, tokens, n < TOKENS_MAX ? n : TOKENS_MAX, LEAT_PROMPT, &error)) goto done;
    for (int i = 0; i < GENERATE; i++) {
        char piece[256];
        int32_t token = leat_sample(sampler, leat_logits(session));
        if (leat_ends(model, token)) break;
        size_t bytes = leat_piece(model, token, false, piece, sizeof piece);
        fwrite(piece, 1, bytes < sizeof piece ? bytes : sizeof piece, stdout);
        if (leat_feed(session, &token, 1, LEAT_GENERATED, &error)) break; /* also when the context is full */
    }
    puts("");
done:
    if (error.code) fprintf(stderr, "%s\n", error.text);
    leat_sampler_close(sampler);
    leat_session_close(session);
    leat_model_close(model);
    return error.code != LEAT_OK;
}
